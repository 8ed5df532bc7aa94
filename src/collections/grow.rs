// SPDX-License-Identifier: Apache-2.0
//! How the room of an [`ArenaVec`] changes. A push that finds room is inlined. If it finds none, it
//! calls [`ArenaVec::grow`], in which the usual case takes a few instructions more: the vector is
//! the arena's latest allocation and grows where it is. What is seldom is in functions of its own.

use core::mem::{self, size_of};
use core::ptr::NonNull;

use super::room::{amortized, extended, resized, too_many};
use super::vec::ArenaVec;
use crate::arena::AnyArena;
use crate::error::AllocError;
use crate::sealed::KEY;

impl<T, A: AnyArena> ArenaVec<'_, T, A> {
    /// Whether `additional` items fit into the room.
    #[inline(always)]
    pub(super) fn has_room_for(&self, additional: usize) -> bool {
        additional <= self.capacity() - self.len()
    }

    /// Makes room for `additional` items more, which do not fit into the room that there is.
    #[inline(never)]
    pub(super) fn grow(&mut self, additional: usize) -> Result<(), AllocError> {
        let (arena, old) = (self.arena(), self.capacity());
        let Some(needed) = self.len().checked_add(additional) else {
            return Err(too_many::<T>(usize::MAX));
        };
        let wanted = amortized::<T>(old, needed);
        let items = self.start();
        // SAFETY: the vector's own room.
        if let Some(items) = unsafe { extended(arena, items, old, wanted) } {
            // SAFETY: the room has this size now.
            unsafe { self.assume_room(items, wanted) };
            return Ok(());
        }
        self.grow_to(needed)
    }

    /// Makes room for `needed` items, which is more than there is. If the arena has not as much as
    /// the vector wants, the vector takes what it needs. What is in the room behind the items moves
    /// with it.
    #[cold]
    #[inline(never)]
    pub(super) fn grow_to(&mut self, needed: usize) -> Result<(), AllocError> {
        let wanted = amortized::<T>(self.capacity(), needed);
        match self.set_capacity(wanted) {
            // The heap had no memory for the record of this refusal, and the error says so.
            Err(error @ AllocError::LimitExceeded { refusal: None, .. }) => Err(error),
            Err(_) if wanted > needed => self.set_capacity(needed),
            result => result,
        }
    }

    /// Sets the room. It is not 0 and at least the number of items. If the arena has no memory for
    /// it, or its block source panics, the vector is as it was.
    pub(super) fn set_capacity(&mut self, capacity: usize) -> Result<(), AllocError> {
        if size_of::<T>() == 0 {
            // There is room for `usize::MAX` items, which was not enough.
            return Err(too_many::<T>(capacity));
        }
        let (arena, old) = (self.arena(), self.capacity());
        let items = self.start();
        // SAFETY: the vector's own room. It is not used afterwards if it has moved.
        let items = unsafe { resized(arena, items, old, capacity) }?;
        // SAFETY: the room of the vector, which has this size now.
        unsafe { self.assume_room(items, capacity) };
        Ok(())
    }

    /// Gives the end of the room up. The items stay where they are.
    ///
    /// # Safety
    ///
    /// - `capacity` is at least the number of items, not 0, and at most the room. `T` has a size.
    #[inline]
    pub(super) unsafe fn give_up_room(&mut self, capacity: usize) {
        let (items, old) = (self.start(), self.capacity() * size_of::<T>());
        // SAFETY: the vector's own room, which has this size and becomes smaller.
        unsafe { self.arena().shrink(KEY, items.cast(), old, capacity * size_of::<T>()) };
        // SAFETY: the room has this size now.
        unsafe { self.assume_room(items, capacity) };
    }

    /// Where the room is.
    #[inline(always)]
    fn start(&mut self) -> NonNull<T> {
        // SAFETY: the pointer of a vector is not null.
        unsafe { NonNull::new_unchecked(self.as_mut_ptr()) }
    }

    /// Takes note of where the room is and of its size.
    ///
    /// # Safety
    ///
    /// - The room has this size and begins with the items. It takes the place of the former one.
    #[inline(always)]
    unsafe fn assume_room(&mut self, items: NonNull<T>, capacity: usize) {
        let (arena, len) = (self.arena(), self.len());
        // SAFETY: the caller vouches for the room.
        let resized = unsafe { Self::from_raw_parts_in(items.as_ptr(), len, capacity, arena) };
        mem::forget(mem::replace(self, resized));
    }
}
