// SPDX-License-Identifier: Apache-2.0
//! [`Splice`], which replaces a range of an [`ArenaVec`]. The one of `allocator-api2` would end the
//! process when the arena has no memory.
//!
//! The vector's length is the start of the range meanwhile. Behind it come the removed items and
//! the tail, which are the items behind the range. A [`Gap`] knows where the tail is. Its drop
//! moves the tail to the end of the vector, whatever has panicked before. If a `Splice` is
//! forgotten, so are the removed items and the tail.

use core::fmt;
use core::iter::FusedIterator;
use core::mem;
use core::ops::{Range, RangeBounds};
use core::ptr;

use super::room::part;
use super::vec::ArenaVec;
use crate::arena::{AnyArena, Arena};
use crate::error::{expect, AllocError};

/// Replaces a range of items. From [`ArenaVec::splice`].
///
/// ```
/// # use aegis_memory::collections::ArenaVec;
/// # let arena = aegis_memory::arena::Arena::default();
/// let mut numbers = ArenaVec::from_iter_in(0..3, &arena);
/// let removed = numbers.splice(1.., [7, 8, 9]);
/// assert_eq!(removed.len(), 2);
/// drop(removed);
/// assert_eq!(numbers, [0, 7, 8, 9]);
/// ```
pub struct Splice<'v, 'a, I: Iterator, A: AnyArena = Arena> {
    replace_with: I,
    /// Where the range begins.
    start: usize,
    /// The removed items that were not returned.
    removed: Range<usize>,
    // Dropped after the `drop` below, even if that panics.
    gap: Gap<'v, 'a, I::Item, A>,
}

/// A vector with a gap between its length and its tail.
struct Gap<'v, 'a, T, A: AnyArena> {
    vec: &'v mut ArenaVec<'a, T, A>,
    tail: Range<usize>,
}

impl<T, A: AnyArena> Gap<'_, '_, T, A> {
    /// Moves the tail so that the gap has room for `count` items.
    fn widen(&mut self, count: usize) -> Result<(), AllocError> {
        let start = self.vec.len().saturating_add(count);
        if start <= self.tail.start {
            return Ok(());
        }
        let needed = start.saturating_add(self.tail.len());
        if needed > self.vec.capacity() {
            // The whole room moves, with the tail in it.
            self.vec.grow_to(needed)?;
        }
        // SAFETY: there is room for the tail behind the gap.
        unsafe { self.move_tail(start) };
        Ok(())
    }

    /// Moves the tail.
    ///
    /// # Safety
    ///
    /// - `start` is at least the vector's length, and there is room for the tail from there on.
    unsafe fn move_tail(&mut self, start: usize) {
        let items = self.vec.as_mut_ptr();
        // SAFETY: the caller vouches for the room.
        unsafe { ptr::copy(items.add(self.tail.start), items.add(start), self.tail.len()) };
        self.tail = start..start + self.tail.len();
    }
}

impl<T, A: AnyArena> Drop for Gap<'_, '_, T, A> {
    fn drop(&mut self) {
        // SAFETY: the tail moves to where the gap begins, and is initialised.
        unsafe {
            self.move_tail(self.vec.len());
            self.vec.set_len(self.tail.end);
        }
    }
}

impl<'v, 'a, I: Iterator, A: AnyArena> Splice<'v, 'a, I, A> {
    #[track_caller]
    pub(super) fn new(
        vec: &'v mut ArenaVec<'a, I::Item, A>,
        range: impl RangeBounds<usize>,
        replace_with: I,
    ) -> Self {
        let len = vec.len();
        let removed = part(range, len);
        let tail = removed.end..len;
        // SAFETY: fewer items. The drop of the gap sets the length again.
        unsafe { vec.set_len(removed.start) };
        Self { replace_with, start: removed.start, removed, gap: Gap { vec, tail } }
    }

    /// Writes the new items into the gap, which is widened when it is full.
    fn fill(&mut self) -> Result<(), AllocError> {
        while let Some(item) = self.replace_with.next() {
            let len = self.gap.vec.len();
            if len == self.gap.tail.start {
                let (least, most) = self.replace_with.size_hint();
                let known = least.saturating_add(1);
                // The gap doubles, so that the tail moves seldom. It takes no more than the items
                // that can follow or, if the known ones have room, than the room. It takes less if
                // it has to.
                let mut double = (len - self.start).max(4);
                double = double.min(most.map_or(usize::MAX, |most| most.saturating_add(1)));
                let room = self.gap.vec.capacity() - self.gap.tail.end;
                if known <= room {
                    double = double.min(room);
                }
                let mut widened = self.gap.widen(known.max(double));
                for less in [double, 1] {
                    widened = widened.or_else(|_| self.gap.widen(less));
                }
                widened?;
            }
            // SAFETY: the gap has room for the item.
            unsafe { self.gap.vec.push_in_room(item) };
        }
        Ok(())
    }
}

impl<I: Iterator, A: AnyArena> Iterator for Splice<'_, '_, I, A> {
    type Item = I::Item;

    #[inline]
    fn next(&mut self) -> Option<I::Item> {
        let index = self.removed.next()?;
        // SAFETY: the item is initialised, and is not returned again.
        Some(unsafe { self.gap.vec.as_ptr().add(index).read() })
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        self.removed.size_hint()
    }
}

impl<I: Iterator, A: AnyArena> DoubleEndedIterator for Splice<'_, '_, I, A> {
    #[inline]
    fn next_back(&mut self) -> Option<I::Item> {
        let index = self.removed.next_back()?;
        // SAFETY: the item is initialised, and is not returned again.
        Some(unsafe { self.gap.vec.as_ptr().add(index).read() })
    }
}

impl<I: Iterator, A: AnyArena> ExactSizeIterator for Splice<'_, '_, I, A> {}

impl<I: Iterator, A: AnyArena> FusedIterator for Splice<'_, '_, I, A> {}

impl<I: Iterator, A: AnyArena> Drop for Splice<'_, '_, I, A> {
    #[track_caller]
    fn drop(&mut self) {
        let rest = mem::replace(&mut self.removed, 0..0);
        // SAFETY: these items are initialised, and are not used again.
        unsafe {
            let first = self.gap.vec.as_mut_ptr().add(rest.start);
            ptr::drop_in_place(ptr::slice_from_raw_parts_mut(first, rest.len()));
        }
        expect(self.fill());
    }
}

impl<I: Iterator, A: AnyArena> fmt::Debug for Splice<'_, '_, I, A>
where
    I::Item: fmt::Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let removed = &self.removed;
        // SAFETY: these items are initialised.
        let items = unsafe {
            let first = self.gap.vec.as_ptr().add(removed.start);
            core::slice::from_raw_parts(first, removed.len())
        };
        f.debug_tuple("Splice").field(&items).finish()
    }
}
