// SPDX-License-Identifier: Apache-2.0
//! The methods of [`ArenaVec`] that change its items one by one or remove them. `extend.rs` has
//! those that add many.
//!
//! A panic of a user's closure, or of the drop of an item, leaves a vector whose items are all
//! initialised. Which items these are is not specified.

use core::ops::RangeBounds;

use super::iter::{Drain, ExtractIf};
use super::room::part;
use super::splice::Splice;
use super::vec::ArenaVec;
use crate::arena::AnyArena;
use crate::error::{expect, AllocError};

impl<'a, T, A: AnyArena> ArenaVec<'a, T, A> {
    /// Appends an item.
    ///
    /// # Panics
    ///
    /// When [`try_push`](Self::try_push) fails.
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let mut numbers = aegis_memory::collections::ArenaVec::new_in(&arena);
    /// numbers.push(1);
    /// assert_eq!(numbers, [1]);
    /// ```
    #[inline]
    #[track_caller]
    pub fn push(&mut self, item: T) {
        expect(self.try_push(item));
    }

    /// Appends an item.
    ///
    /// # Errors
    ///
    /// As [`try_with_capacity_in`](Self::try_with_capacity_in). The item is dropped then.
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let mut numbers = aegis_memory::collections::ArenaVec::new_in(&arena);
    /// numbers.try_push(1)?;
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    #[inline]
    pub fn try_push(&mut self, item: T) -> Result<(), AllocError> {
        if !self.has_room_for(1) {
            self.grow(1)?;
        }
        // SAFETY: there is room for the item.
        unsafe { self.push_in_room(item) };
        Ok(())
    }

    /// Appends an item for which there is room.
    ///
    /// # Safety
    ///
    /// - The length is below the capacity.
    #[inline(always)]
    pub(super) unsafe fn push_in_room(&mut self, item: T) {
        let len = self.len();
        // SAFETY: the caller vouches for the room, which then holds one item more.
        unsafe {
            self.as_mut_ptr().add(len).write(item);
            self.set_len(len + 1);
        }
    }

    /// Removes the last item.
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let mut numbers = aegis_memory::collections::ArenaVec::from_iter_in(0..2, &arena);
    /// assert_eq!([numbers.pop(), numbers.pop(), numbers.pop()], [Some(1), Some(0), None]);
    /// ```
    #[inline]
    pub fn pop(&mut self) -> Option<T> {
        self.items.pop()
    }

    /// Removes the last item if the condition holds for it.
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let mut numbers = aegis_memory::collections::ArenaVec::from_iter_in(1..3, &arena);
    /// assert_eq!(numbers.pop_if(|last| *last % 2 == 0), Some(2));
    /// assert_eq!(numbers.pop_if(|last| *last % 2 == 0), None);
    /// ```
    #[inline]
    pub fn pop_if(&mut self, condition: impl FnOnce(&mut T) -> bool) -> Option<T> {
        let last = self.last_mut()?;
        if condition(last) {
            self.pop()
        } else {
            None
        }
    }

    /// Inserts an item before the one at `index`.
    ///
    /// # Panics
    ///
    /// When `index` is above the number of items, and when [`try_insert`](Self::try_insert) fails.
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let mut numbers = aegis_memory::collections::ArenaVec::from_iter_in([1, 3], &arena);
    /// numbers.insert(1, 2);
    /// assert_eq!(numbers, [1, 2, 3]);
    /// ```
    #[inline]
    #[track_caller]
    pub fn insert(&mut self, index: usize, item: T) {
        expect(self.try_insert(index, item));
    }

    /// Inserts an item before the one at `index`.
    ///
    /// # Errors
    ///
    /// As [`try_push`](Self::try_push).
    ///
    /// # Panics
    ///
    /// When `index` is above the number of items.
    ///
    /// ```
    /// # use aegis_memory::collections::ArenaVec;
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let mut numbers = ArenaVec::from_iter_in(0..3, &arena);
    /// numbers.try_insert(0, 9)?;
    /// assert_eq!(numbers, [9, 0, 1, 2]);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    #[inline]
    #[track_caller]
    pub fn try_insert(&mut self, index: usize, item: T) -> Result<(), AllocError> {
        part(index.., self.len());
        self.try_reserve(1)?;
        self.items.insert(index, item);
        Ok(())
    }

    /// Removes the item at `index`. The items behind it move by one.
    ///
    /// # Panics
    ///
    /// When there is no such item.
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let mut numbers = aegis_memory::collections::ArenaVec::from_iter_in(0..3, &arena);
    /// assert_eq!(numbers.remove(0), 0);
    /// assert_eq!(numbers, [1, 2]);
    /// ```
    #[inline]
    #[track_caller]
    pub fn remove(&mut self, index: usize) -> T {
        self.items.remove(index)
    }

    /// Removes the item at `index`. The last item takes its place.
    ///
    /// # Panics
    ///
    /// When there is no such item.
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let mut numbers = aegis_memory::collections::ArenaVec::from_iter_in(0..4, &arena);
    /// assert_eq!(numbers.swap_remove(0), 0);
    /// assert_eq!(numbers, [3, 1, 2]);
    /// ```
    #[inline]
    #[track_caller]
    pub fn swap_remove(&mut self, index: usize) -> T {
        self.items.swap_remove(index)
    }

    /// Drops the items from `len` on.
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let mut numbers = aegis_memory::collections::ArenaVec::from_iter_in(0..4, &arena);
    /// numbers.truncate(2);
    /// assert_eq!(numbers, [0, 1]);
    /// ```
    #[inline]
    pub fn truncate(&mut self, len: usize) {
        self.items.truncate(len);
    }

    /// Drops all items, and keeps the room.
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let mut numbers = aegis_memory::collections::ArenaVec::from_iter_in(0..4, &arena);
    /// numbers.clear();
    /// assert_eq!((numbers.len(), numbers.capacity()), (0, 4));
    /// ```
    #[inline]
    pub fn clear(&mut self) {
        self.items.clear();
    }

    /// Keeps the items for which the condition holds.
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let mut numbers = aegis_memory::collections::ArenaVec::from_iter_in(0..6, &arena);
    /// numbers.retain(|n| n % 2 == 0);
    /// assert_eq!(numbers, [0, 2, 4]);
    /// ```
    #[inline]
    pub fn retain(&mut self, mut condition: impl FnMut(&T) -> bool) {
        self.items.retain_mut(|item| condition(item));
    }

    /// As [`retain`](Self::retain), with items that the condition can change.
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let mut lives = aegis_memory::collections::ArenaVec::from_iter_in([1, 2, 3], &arena);
    /// lives.retain_mut(|n| {
    ///     *n -= 1;
    ///     *n > 0
    /// });
    /// assert_eq!(lives, [1, 2]);
    /// ```
    #[inline]
    pub fn retain_mut(&mut self, condition: impl FnMut(&mut T) -> bool) {
        self.items.retain_mut(condition);
    }

    /// Drops each item that equals the one before it.
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let mut numbers = aegis_memory::collections::ArenaVec::from_iter_in([1, 1, 2, 1], &arena);
    /// numbers.dedup();
    /// assert_eq!(numbers, [1, 2, 1]);
    /// ```
    #[inline]
    pub fn dedup(&mut self)
    where
        T: PartialEq,
    {
        self.items.dedup();
    }

    /// Drops each item whose key equals that of the one before it.
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let mut numbers = aegis_memory::collections::ArenaVec::from_iter_in([10, 11, 20], &arena);
    /// numbers.dedup_by_key(|n| *n / 10);
    /// assert_eq!(numbers, [10, 20]);
    /// ```
    #[inline]
    pub fn dedup_by_key<K: PartialEq>(&mut self, mut key: impl FnMut(&mut T) -> K) {
        self.items.dedup_by(|a, b| key(a) == key(b));
    }

    /// Drops each item that is the same as the kept one before it. The function gets the item first
    /// and the kept one second.
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let mut words = aegis_memory::collections::ArenaVec::from_iter_in(["a", "A", "b"], &arena);
    /// words.dedup_by(|a, b| a.eq_ignore_ascii_case(b));
    /// assert_eq!(words, ["a", "b"]);
    /// ```
    #[inline]
    pub fn dedup_by(&mut self, same: impl FnMut(&mut T, &mut T) -> bool) {
        self.items.dedup_by(same);
    }

    /// Removes a range of items, and returns an iterator of them. The range is removed even if the
    /// iterator is not used up.
    ///
    /// # Panics
    ///
    /// When the range is no part of the items.
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let mut numbers = aegis_memory::collections::ArenaVec::from_iter_in(0..5, &arena);
    /// assert_eq!(numbers.drain(1..3).collect::<Vec<_>>(), [1, 2]);
    /// assert_eq!(numbers, [0, 3, 4]);
    /// ```
    #[inline]
    #[track_caller]
    pub fn drain(&mut self, range: impl RangeBounds<usize>) -> Drain<'_, 'a, T, A> {
        Drain(self.items.drain(part(range, self.items.len())))
    }

    /// Returns an iterator that removes the items of a range for which the condition holds. Items
    /// that the iterator has not come to stay.
    ///
    /// # Panics
    ///
    /// When the range is no part of the items.
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let mut numbers = aegis_memory::collections::ArenaVec::from_iter_in(0..6, &arena);
    /// let odd = numbers.extract_if(.., |n| *n % 2 == 1).collect::<Vec<_>>();
    /// assert_eq!((odd, &numbers[..]), (vec![1, 3, 5], &[0, 2, 4][..]));
    /// ```
    #[inline]
    #[track_caller]
    pub fn extract_if<F: FnMut(&mut T) -> bool>(
        &mut self,
        range: impl RangeBounds<usize>,
        condition: F,
    ) -> ExtractIf<'_, 'a, T, F, A> {
        ExtractIf::new(self, range, condition)
    }

    /// Replaces a range of items by others, and returns an iterator of the removed ones. The others
    /// take their place when this iterator is dropped.
    ///
    /// # Panics
    ///
    /// When the range is no part of the items. The drop of the iterator panics when the arena has
    /// no memory for the others. The vector then has those that there was room for.
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let mut numbers = aegis_memory::collections::ArenaVec::from_iter_in([1, 5, 9], &arena);
    /// let removed: Vec<_> = numbers.splice(1..2, [2, 3]).collect();
    /// assert_eq!((removed, &numbers[..]), (vec![5], &[1, 2, 3, 9][..]));
    /// ```
    #[inline]
    #[track_caller]
    pub fn splice<I: IntoIterator<Item = T>>(
        &mut self,
        range: impl RangeBounds<usize>,
        replace_with: I,
    ) -> Splice<'_, 'a, I::IntoIter, A> {
        Splice::new(self, range, replace_with.into_iter())
    }

    /// Moves the items from `at` on into a new vector of the same arena.
    ///
    /// # Panics
    ///
    /// When `at` is above the number of items, and when [`try_split_off`](Self::try_split_off)
    /// fails.
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let mut numbers = aegis_memory::collections::ArenaVec::from_iter_in(0..4, &arena);
    /// assert_eq!(numbers.split_off(3), [3]);
    /// assert_eq!(numbers, [0, 1, 2]);
    /// ```
    #[inline]
    #[track_caller]
    pub fn split_off(&mut self, at: usize) -> Self {
        expect(self.try_split_off(at))
    }

    /// Moves the items from `at` on into a new vector of the same arena.
    ///
    /// # Errors
    ///
    /// As [`try_with_capacity_in`](Self::try_with_capacity_in). The items stay where they are then.
    ///
    /// # Panics
    ///
    /// When `at` is above the number of items.
    ///
    /// ```
    /// # use aegis_memory::collections::ArenaVec;
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let mut numbers = ArenaVec::from_iter_in(0..3, &arena);
    /// assert_eq!(numbers.try_split_off(2)?, [2]);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    #[track_caller]
    pub fn try_split_off(&mut self, at: usize) -> Result<Self, AllocError> {
        let moved = part(at.., self.len());
        let mut other = Self::try_with_capacity_in(moved.len(), self.arena())?;
        // SAFETY: the other vector has room for these items, which belong to it from then on.
        unsafe {
            self.set_len(at);
            other.append_raw(self.as_ptr().add(at), moved.len());
        }
        Ok(other)
    }
}
