// SPDX-License-Identifier: Apache-2.0
//! The methods of [`ArenaVec`] that add many items. Each asks for its room once, as far as the
//! number of items is known.

use core::ops::RangeBounds;
use core::ptr;

use super::room::part;
use super::vec::ArenaVec;
use crate::arena::AnyArena;
use crate::error::{expect, AllocError};

/// The length of a vector while items are written behind it. The drop tells the vector, so that a
/// panic of the code that makes the items loses none. The compiler keeps it in a register, which it
/// cannot do with the length in the vector.
struct Tail<'v, 'a, T, A: AnyArena> {
    vec: &'v mut ArenaVec<'a, T, A>,
    items: *mut T,
    len: usize,
}

impl<'v, 'a, T, A: AnyArena> Tail<'v, 'a, T, A> {
    fn of(vec: &'v mut ArenaVec<'a, T, A>) -> Self {
        let (items, len) = (vec.as_mut_ptr(), vec.len());
        Self { vec, items, len }
    }

    /// Appends an item.
    ///
    /// # Safety
    ///
    /// - There is room for it.
    #[inline(always)]
    unsafe fn push(&mut self, item: T) {
        // SAFETY: the caller vouches for the room.
        unsafe { self.items.add(self.len).write(item) };
        self.len += 1;
    }
}

impl<T, A: AnyArena> Drop for Tail<'_, '_, T, A> {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: the items up to here were written into the room.
        unsafe { self.vec.set_len(self.len) };
    }
}

impl<'a, T, A: AnyArena> ArenaVec<'a, T, A> {
    /// Appends the items of an iterator, as [`Extend::extend`] does.
    ///
    /// # Errors
    ///
    /// As [`try_with_capacity_in`](Self::try_with_capacity_in). The items that were appended before
    /// stay, and the item that found no room is dropped.
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let mut numbers = aegis_memory::collections::ArenaVec::from_iter_in(0..2, &arena);
    /// numbers.try_extend(2..4)?;
    /// assert_eq!(numbers, [0, 1, 2, 3]);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    #[inline]
    pub fn try_extend(&mut self, iter: impl IntoIterator<Item = T>) -> Result<(), AllocError> {
        let mut iter = iter.into_iter();
        loop {
            // Items that a vector has room for are written in a loop of their own, which the
            // compiler can unroll.
            let mut room = self.capacity() - self.len();
            let mut tail = Tail::of(self);
            while room > 0 {
                let Some(item) = iter.next() else { return Ok(()) };
                // SAFETY: there is room for this item.
                unsafe { tail.push(item) };
                room -= 1;
            }
            drop(tail);
            let Some(item) = iter.next() else { return Ok(()) };
            self.try_reserve(iter.size_hint().0.saturating_add(1))?;
            // SAFETY: there is room for one item at least.
            unsafe { self.push_in_room(item) };
        }
    }

    /// Appends clones of items.
    ///
    /// # Panics
    ///
    /// When [`try_extend_from_slice`](Self::try_extend_from_slice) fails.
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let mut bytes = aegis_memory::collections::ArenaVec::new_in(&arena);
    /// bytes.extend_from_slice(b"text");
    /// assert_eq!(bytes, b"text");
    /// ```
    #[inline]
    #[track_caller]
    pub fn extend_from_slice(&mut self, items: &[T])
    where
        T: Clone,
    {
        expect(self.try_extend_from_slice(items));
    }

    /// Appends clones of items.
    ///
    /// # Errors
    ///
    /// As [`try_with_capacity_in`](Self::try_with_capacity_in).
    ///
    /// ```
    /// # use aegis_memory::collections::ArenaVec;
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let mut numbers = ArenaVec::from_iter_in(0..3, &arena);
    /// numbers.try_extend_from_slice(&[3])?;
    /// assert_eq!(numbers, [0, 1, 2, 3]);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    #[inline]
    pub fn try_extend_from_slice(&mut self, items: &[T]) -> Result<(), AllocError>
    where
        T: Clone,
    {
        self.try_reserve(items.len())?;
        let mut tail = Tail::of(self);
        // SAFETY: there is room for all of them.
        items.iter().for_each(|item| unsafe { tail.push(item.clone()) });
        Ok(())
    }

    /// Appends copies of items. As [`extend_from_slice`](Self::extend_from_slice), and as fast
    /// without optimisation too.
    ///
    /// # Panics
    ///
    /// When [`try_extend_from_slice_copy`](Self::try_extend_from_slice_copy) fails.
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let mut bytes = aegis_memory::collections::ArenaVec::new_in(&arena);
    /// bytes.extend_from_slice_copy(b"text");
    /// assert_eq!(bytes, b"text");
    /// ```
    #[inline]
    #[track_caller]
    pub fn extend_from_slice_copy(&mut self, items: &[T])
    where
        T: Copy,
    {
        expect(self.try_extend_from_slice_copy(items));
    }

    /// Appends copies of items.
    ///
    /// # Errors
    ///
    /// As [`try_with_capacity_in`](Self::try_with_capacity_in).
    ///
    /// ```
    /// # use aegis_memory::collections::ArenaVec;
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let mut numbers = ArenaVec::from_iter_in(0..3, &arena);
    /// numbers.try_extend_from_slice_copy(&[3])?;
    /// assert_eq!(numbers, [0, 1, 2, 3]);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    #[inline]
    pub fn try_extend_from_slice_copy(&mut self, items: &[T]) -> Result<(), AllocError>
    where
        T: Copy,
    {
        self.try_reserve(items.len())?;
        // SAFETY: there is room for the items, which may be copied.
        unsafe { self.append_raw(items.as_ptr(), items.len()) };
        Ok(())
    }

    /// Appends copies of the items of several slices, for which it takes room once.
    ///
    /// # Panics
    ///
    /// When the arena has no memory.
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let mut bytes = aegis_memory::collections::ArenaVec::new_in(&arena);
    /// bytes.extend_from_slices_copy(&[b"key", b": ", b"value"]);
    /// assert_eq!(bytes, b"key: value");
    /// ```
    #[track_caller]
    pub fn extend_from_slices_copy(&mut self, slices: &[&[T]])
    where
        T: Copy,
    {
        let total = slices.iter().fold(0, |total: usize, items| total.saturating_add(items.len()));
        self.reserve(total);
        slices.iter().for_each(|items| self.extend_from_slice_copy(items));
    }

    /// Appends clones of a range of the vector's own items.
    ///
    /// # Panics
    ///
    /// When the range is no part of the items, and when
    /// [`try_extend_from_within`](Self::try_extend_from_within) fails.
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let mut numbers = aegis_memory::collections::ArenaVec::from_iter_in(0..3, &arena);
    /// numbers.extend_from_within(1..);
    /// assert_eq!(numbers, [0, 1, 2, 1, 2]);
    /// ```
    #[inline]
    #[track_caller]
    pub fn extend_from_within(&mut self, range: impl RangeBounds<usize>)
    where
        T: Clone,
    {
        expect(self.try_extend_from_within(range));
    }

    /// Appends clones of a range of the vector's own items.
    ///
    /// # Errors
    ///
    /// As [`try_with_capacity_in`](Self::try_with_capacity_in).
    ///
    /// # Panics
    ///
    /// When the range is no part of the items.
    ///
    /// ```
    /// # use aegis_memory::collections::ArenaVec;
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let mut numbers = ArenaVec::from_iter_in(0..3, &arena);
    /// numbers.try_extend_from_within(..2)?;
    /// assert_eq!(numbers, [0, 1, 2, 0, 1]);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    #[track_caller]
    pub fn try_extend_from_within(
        &mut self,
        range: impl RangeBounds<usize>,
    ) -> Result<(), AllocError>
    where
        T: Clone,
    {
        let range = part(range, self.len());
        self.try_reserve(range.len())?;
        let mut tail = Tail::of(self);
        for index in range {
            // SAFETY: the item is one of the vector's, and there is room for its clone.
            unsafe {
                let item = (*tail.items.add(index)).clone();
                tail.push(item);
            }
        }
        Ok(())
    }

    /// Moves all items of another vector, which may live in another arena, to the end of this one.
    ///
    /// # Panics
    ///
    /// When [`try_append`](Self::try_append) fails.
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// # use aegis_memory::collections::ArenaVec;
    /// let mut numbers = ArenaVec::from_iter_in(0..2, &arena);
    /// let mut others = ArenaVec::from_iter_in(2..4, &arena);
    /// numbers.append(&mut others);
    /// assert_eq!((&numbers[..], others.len()), (&[0, 1, 2, 3][..], 0));
    /// ```
    #[inline]
    #[track_caller]
    pub fn append<B: AnyArena>(&mut self, other: &mut ArenaVec<'_, T, B>) {
        expect(self.try_append(other));
    }

    /// Moves all items of another vector to the end of this one.
    ///
    /// # Errors
    ///
    /// As [`try_with_capacity_in`](Self::try_with_capacity_in). The items stay where they are then.
    ///
    /// ```
    /// # use aegis_memory::collections::ArenaVec;
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let mut numbers = ArenaVec::from_iter_in(0..3, &arena);
    /// numbers.try_append(&mut ArenaVec::from_iter_in(3..5, &arena))?;
    /// assert_eq!(numbers, [0, 1, 2, 3, 4]);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn try_append<B: AnyArena>(
        &mut self,
        other: &mut ArenaVec<'_, T, B>,
    ) -> Result<(), AllocError> {
        self.try_reserve(other.len())?;
        let len = other.len();
        // SAFETY: there is room for the items, which belong to this vector from then on.
        unsafe {
            other.set_len(0);
            self.append_raw(other.as_ptr(), len);
        }
        Ok(())
    }

    /// Appends items by copying their bytes.
    ///
    /// # Safety
    ///
    /// - There is room for them. They are initialised and not in this vector.
    /// - They may be copied, or no other code uses or drops them.
    #[inline(always)]
    pub(super) unsafe fn append_raw(&mut self, items: *const T, count: usize) {
        let len = self.len();
        // SAFETY: the caller vouches for the room and the items.
        unsafe {
            ptr::copy_nonoverlapping(items, self.as_mut_ptr().add(len), count);
            self.set_len(len + count);
        }
    }

    /// Sets the number of items. New ones are clones of `item`.
    ///
    /// # Panics
    ///
    /// When [`try_resize`](Self::try_resize) fails.
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let mut numbers = aegis_memory::collections::ArenaVec::new_in(&arena);
    /// numbers.resize(3, 7);
    /// assert_eq!(numbers, [7, 7, 7]);
    /// ```
    #[inline]
    #[track_caller]
    pub fn resize(&mut self, len: usize, item: T)
    where
        T: Clone,
    {
        expect(self.try_resize(len, item));
    }

    /// Sets the number of items. New ones are clones of `item`.
    ///
    /// # Errors
    ///
    /// As [`try_with_capacity_in`](Self::try_with_capacity_in).
    ///
    /// ```
    /// # use aegis_memory::collections::ArenaVec;
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let mut numbers = ArenaVec::from_iter_in(0..3, &arena);
    /// numbers.try_resize(4, 7)?;
    /// assert_eq!(numbers, [0, 1, 2, 7]);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    #[inline]
    pub fn try_resize(&mut self, len: usize, item: T) -> Result<(), AllocError>
    where
        T: Clone,
    {
        if len <= self.len() {
            self.truncate(len);
            return Ok(());
        }
        self.try_reserve(len - self.len())?;
        let mut tail = Tail::of(self);
        while tail.len + 1 < len {
            // SAFETY: there is room for as many.
            unsafe { tail.push(item.clone()) };
        }
        // SAFETY: as above, for the last one.
        unsafe { tail.push(item) };
        Ok(())
    }

    /// Sets the number of items. New ones are the results of `make`.
    ///
    /// # Panics
    ///
    /// When [`try_resize_with`](Self::try_resize_with) fails.
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let mut lists = aegis_memory::collections::ArenaVec::<Vec<u8>>::new_in(&arena);
    /// lists.resize_with(2, Default::default);
    /// assert!(lists.len() == 2 && lists[1].is_empty());
    /// ```
    #[inline]
    #[track_caller]
    pub fn resize_with(&mut self, len: usize, make: impl FnMut() -> T) {
        expect(self.try_resize_with(len, make));
    }

    /// Sets the number of items. New ones are the results of `make`.
    ///
    /// # Errors
    ///
    /// As [`try_with_capacity_in`](Self::try_with_capacity_in).
    ///
    /// ```
    /// # use aegis_memory::collections::ArenaVec;
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let mut numbers = ArenaVec::from_iter_in(0..3, &arena);
    /// numbers.try_resize_with(4, || 7)?;
    /// assert_eq!(numbers, [0, 1, 2, 7]);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    #[inline]
    pub fn try_resize_with(
        &mut self,
        len: usize,
        mut make: impl FnMut() -> T,
    ) -> Result<(), AllocError> {
        if len <= self.len() {
            self.truncate(len);
            return Ok(());
        }
        self.try_reserve(len - self.len())?;
        let mut tail = Tail::of(self);
        while tail.len < len {
            // SAFETY: there is room for as many.
            unsafe { tail.push(make()) };
        }
        Ok(())
    }
}
