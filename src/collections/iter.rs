// SPDX-License-Identifier: Apache-2.0
//! The iterators that move items out of an [`ArenaVec`]. The one over a range is that of the vector
//! beneath. [`IntoIter`] is written here, because for items without a size the one of that vector
//! gives more than there are from the back, and makes slices that are not aligned. [`ExtractIf`] is
//! written here, because that vector has none.

use core::fmt;
use core::iter::FusedIterator;
use core::ops::{Range, RangeBounds};
use core::{ptr, slice};

use allocator_api2_04::vec;

use super::room::{part, Handle};
use super::vec::ArenaVec;
use crate::arena::{AnyArena, Arena};

/// Moves the items out of an [`ArenaVec`]. From its `into_iter`.
///
/// ```
/// # let arena = aegis_memory::arena::Arena::default();
/// let names = aegis_memory::collections::arena_vec![in &arena; String::from("a")];
/// let names: Vec<String> = names.into_iter().collect();
/// ```
pub struct IntoIter<'a, T, A: AnyArena = Arena> {
    /// The room of the items, with the length 0. Dropped after the `drop` below, even if that panics.
    room: ArenaVec<'a, T, A>,
    /// The positions of the items that are left.
    left: Range<usize>,
}

/// Removes a range of items. From [`ArenaVec::drain`].
///
/// ```
/// # use aegis_memory::collections::ArenaVec;
/// # let arena = aegis_memory::arena::Arena::default();
/// let mut numbers = ArenaVec::from_iter_in(0..3, &arena);
/// let mut drain = numbers.drain(1..);
/// assert_eq!((drain.next(), drain.next_back()), (Some(1), Some(2)));
/// ```
pub struct Drain<'v, 'a, T, A: AnyArena = Arena>(pub(super) vec::Drain<'v, T, Handle<'a, A>>);

impl<'a, T, A: AnyArena> IntoIter<'a, T, A> {
    #[inline]
    pub(super) fn of(mut vec: ArenaVec<'a, T, A>) -> Self {
        let left = 0..vec.len();
        // SAFETY: fewer items. The iterator owns them.
        unsafe { vec.set_len(0) };
        Self { room: vec, left }
    }

    /// The items that are left.
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let mut iter = aegis_memory::collections::arena_vec![in &arena; 1, 2].into_iter();
    /// iter.next();
    /// assert_eq!(iter.as_slice(), [2]);
    /// ```
    pub fn as_slice(&self) -> &[T] {
        // SAFETY: the items that are left are initialised, and `self`, which is borrowed, owns them.
        unsafe { slice::from_raw_parts(self.room.as_ptr().add(self.left.start), self.left.len()) }
    }

    /// The items that are left, to be changed.
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let mut iter = aegis_memory::collections::arena_vec![in &arena; 1, 2].into_iter();
    /// iter.as_mut_slice()[0] = 7;
    /// assert_eq!(iter.next(), Some(7));
    /// ```
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        // SAFETY: as in `as_slice`, and exclusively.
        unsafe {
            let first = self.room.as_mut_ptr().add(self.left.start);
            slice::from_raw_parts_mut(first, self.left.len())
        }
    }
}

impl<T, A: AnyArena> Iterator for IntoIter<'_, T, A> {
    type Item = T;

    #[inline]
    fn next(&mut self) -> Option<T> {
        let index = self.left.next()?;
        // SAFETY: the item is initialised, and is no longer among those that are left.
        Some(unsafe { self.room.as_ptr().add(index).read() })
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        self.left.size_hint()
    }
}

impl<T, A: AnyArena> DoubleEndedIterator for IntoIter<'_, T, A> {
    #[inline]
    fn next_back(&mut self) -> Option<T> {
        let index = self.left.next_back()?;
        // SAFETY: the item is initialised, and is no longer among those that are left.
        Some(unsafe { self.room.as_ptr().add(index).read() })
    }
}

impl<T, A: AnyArena> Drop for IntoIter<'_, T, A> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the items that are left are not used again.
        unsafe { ptr::drop_in_place(self.as_mut_slice()) }
    }
}

impl<T, A: AnyArena> Drain<'_, '_, T, A> {
    /// The items of the range that are left.
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let mut numbers = aegis_memory::collections::arena_vec![in &arena; 1, 2, 3];
    /// assert_eq!(numbers.drain(..2).as_slice(), [1, 2]);
    /// assert_eq!(numbers, [3]);
    /// ```
    pub fn as_slice(&self) -> &[T] {
        self.0.as_slice()
    }
}

impl<T, A: AnyArena> Iterator for Drain<'_, '_, T, A> {
    type Item = T;

    #[inline]
    fn next(&mut self) -> Option<T> {
        self.0.next()
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl<T, A: AnyArena> DoubleEndedIterator for Drain<'_, '_, T, A> {
    #[inline]
    fn next_back(&mut self) -> Option<T> {
        self.0.next_back()
    }
}

macro_rules! iterator_with_a_slice {
    ($name:ident, $($generics:tt)*) => {
        impl<$($generics)* T, A: AnyArena> ExactSizeIterator for $name<$($generics)* T, A> {}

        impl<$($generics)* T, A: AnyArena> FusedIterator for $name<$($generics)* T, A> {}

        impl<$($generics)* T, A: AnyArena> AsRef<[T]> for $name<$($generics)* T, A> {
            fn as_ref(&self) -> &[T] {
                self.as_slice()
            }
        }

        impl<$($generics)* T: fmt::Debug, A: AnyArena> fmt::Debug for $name<$($generics)* T, A> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($name)).field(&self.as_slice()).finish()
            }
        }
    };
}

iterator_with_a_slice!(IntoIter, 'a,);
iterator_with_a_slice!(Drain, 'v, 'a,);

/// Removes the items of a range for which a condition holds. From [`ArenaVec::extract_if`].
///
/// The items lie in this order: those that stay, a hole of `removed` items, those of the range that
/// are still to be looked at, and those behind the range. The vector's length is 0 meanwhile, so if
/// the iterator is forgotten, its items are too. The drop closes the hole.
///
/// ```
/// # use aegis_memory::collections::ArenaVec;
/// # let arena = aegis_memory::arena::Arena::default();
/// let mut numbers = ArenaVec::from_iter_in(0..3, &arena);
/// let mut odd = numbers.extract_if(.., |n| *n % 2 == 1);
/// assert_eq!(odd.next(), Some(1));
/// ```
#[must_use = "iterators do nothing until they are used; `retain_mut` drops the items"]
pub struct ExtractIf<'v, 'a, T, F, A: AnyArena = Arena> {
    vec: &'v mut ArenaVec<'a, T, A>,
    condition: F,
    /// The items that are still to be looked at.
    rest: Range<usize>,
    removed: usize,
    /// How many items there were.
    len: usize,
}

impl<'v, 'a, T, F: FnMut(&mut T) -> bool, A: AnyArena> ExtractIf<'v, 'a, T, F, A> {
    #[track_caller]
    pub(super) fn new(
        vec: &'v mut ArenaVec<'a, T, A>,
        range: impl RangeBounds<usize>,
        condition: F,
    ) -> Self {
        let len = vec.len();
        let rest = part(range, len);
        // SAFETY: fewer items. The drop sets the length again.
        unsafe { vec.set_len(0) };
        Self { vec, condition, rest, removed: 0, len }
    }
}

impl<T, F: FnMut(&mut T) -> bool, A: AnyArena> Iterator for ExtractIf<'_, '_, T, F, A> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        while self.rest.start < self.rest.end {
            // SAFETY: the item is initialised and was not looked at. If the condition panics, the
            // item stays.
            let item = unsafe { self.vec.as_mut_ptr().add(self.rest.start) };
            // SAFETY: as above, and the vector is borrowed exclusively.
            let is_removed = (self.condition)(unsafe { &mut *item });
            self.rest.start += 1;
            if is_removed {
                self.removed += 1;
                // SAFETY: the item's place belongs to the hole now, so no other code reads it.
                return Some(unsafe { item.read() });
            }
            // SAFETY: both places are in the room. The first one belongs to the hole, or is the
            // place of the item.
            unsafe { ptr::copy(item, item.sub(self.removed), 1) };
        }
        None
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.rest.len()))
    }
}

impl<T, F, A: AnyArena> Drop for ExtractIf<'_, '_, T, F, A> {
    fn drop(&mut self) {
        let start = self.rest.start;
        // SAFETY: the items behind the hole are initialised, and move to its start. What is then in
        // front are all items except those that were returned.
        unsafe {
            let behind = self.vec.as_mut_ptr().add(start);
            ptr::copy(behind, behind.sub(self.removed), self.len - start);
            self.vec.set_len(self.len - self.removed);
        }
    }
}

impl<T: fmt::Debug, F, A: AnyArena> fmt::Debug for ExtractIf<'_, '_, T, F, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The items that are left, whether the condition holds for them or not.
        let rest = &self.rest;
        // SAFETY: these items are initialised.
        let items = unsafe { slice::from_raw_parts(self.vec.as_ptr().add(rest.start), rest.len()) };
        f.debug_tuple("ExtractIf").field(&items).finish()
    }
}
