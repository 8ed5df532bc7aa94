// SPDX-License-Identifier: Apache-2.0
//! [`ArenaVec`]: the type, how it is made, its room, and what it turns into. `edit.rs` has the
//! methods that change its items, `vec_traits.rs` its traits.
//!
//! It is a thin layer over the vector of `allocator-api2`, whose methods it calls where they need
//! no memory. `room.rs` says why it does not call the others.

use core::mem::{self, size_of, ManuallyDrop, MaybeUninit};
use core::ptr::NonNull;
use core::slice;

use allocator_api2_04::vec::Vec;

use super::room::{Handle, NoDrop};
use crate::arena::{AnyArena, Arena, ArenaBox};
use crate::error::{expect, AllocError};

/// A growable array in an arena, with the methods of the standard library's `Vec`.
///
/// It doubles its room when it is full. As long as it is the latest allocation of its arena, it
/// grows where it is, and no item is copied. Its drop drops the items, and gives the memory back if
/// it is the latest allocation. [`into_slice`](Self::into_slice) keeps the items in the arena
/// without a copy.
///
/// Each method that needs memory panics with the reason when there is none, and has a `try_` form
/// that returns the reason. None ends the process.
///
/// # Examples
///
/// ```
/// use aegis_memory::arena::Arena;
/// use aegis_memory::collections::ArenaVec;
///
/// let arena = Arena::default();
/// let mut numbers = ArenaVec::new_in(&arena);
/// numbers.push(3);
/// numbers.extend([1, 2]);
/// numbers.sort();
/// assert_eq!(numbers, [1, 2, 3]);
/// let kept: &mut [i32] = numbers.into_slice(); // not copied, and valid as long as the arena
/// assert_eq!(kept.len(), 3);
/// ```
pub struct ArenaVec<'a, T, A: AnyArena = Arena> {
    pub(super) items: Vec<T, Handle<'a, A>>,
}

impl<'a, T, A: AnyArena> ArenaVec<'a, T, A> {
    /// Makes an empty vector. It takes memory with its first item.
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let mut numbers = aegis_memory::collections::ArenaVec::new_in(&arena);
    /// numbers.push(1);
    /// ```
    #[inline]
    pub fn new_in(arena: &'a A) -> Self {
        Self { items: Vec::new_in(Handle(arena)) }
    }

    /// Makes an empty vector with room for this number of items.
    ///
    /// # Panics
    ///
    /// When [`try_with_capacity_in`](Self::try_with_capacity_in) fails.
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let numbers = aegis_memory::collections::ArenaVec::<u32>::with_capacity_in(10, &arena);
    /// assert_eq!((numbers.len(), numbers.capacity()), (0, 10));
    /// ```
    #[inline]
    #[track_caller]
    pub fn with_capacity_in(capacity: usize, arena: &'a A) -> Self {
        expect(Self::try_with_capacity_in(capacity, arena))
    }

    /// Makes an empty vector with room for this number of items.
    ///
    /// # Errors
    ///
    /// [`AllocError`] when the arena can get no block, or when the size is above `isize::MAX`. The
    /// other `try_` forms fail for the same reasons, and leave the vector as it is.
    ///
    /// ```
    /// # use aegis_memory::collections::ArenaVec;
    /// # let arena = aegis_memory::arena::Arena::default();
    /// assert!(ArenaVec::<u64>::try_with_capacity_in(10, &arena).is_ok());
    /// assert!(ArenaVec::<u64>::try_with_capacity_in(usize::MAX, &arena).is_err());
    /// ```
    #[inline]
    pub fn try_with_capacity_in(capacity: usize, arena: &'a A) -> Result<Self, AllocError> {
        let mut vec = Self::new_in(arena);
        vec.try_reserve_exact(capacity)?;
        Ok(vec)
    }

    /// Makes a vector of the items of an iterator. As `iter.collect_in(&arena)`.
    ///
    /// # Panics
    ///
    /// When [`try_from_iter_in`](Self::try_from_iter_in) fails.
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let numbers = aegis_memory::collections::ArenaVec::from_iter_in(1..4, &arena);
    /// assert_eq!(numbers, [1, 2, 3]);
    /// ```
    #[inline]
    #[track_caller]
    pub fn from_iter_in(iter: impl IntoIterator<Item = T>, arena: &'a A) -> Self {
        expect(Self::try_from_iter_in(iter, arena))
    }

    /// Makes a vector of the items of an iterator.
    ///
    /// # Errors
    ///
    /// As [`try_with_capacity_in`](Self::try_with_capacity_in). The items are dropped then.
    ///
    /// ```
    /// # use aegis_memory::collections::ArenaVec;
    /// # let arena = aegis_memory::arena::Arena::default();
    /// assert_eq!(ArenaVec::try_from_iter_in(0..2, &arena)?, [0, 1]);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    #[inline]
    pub fn try_from_iter_in(
        iter: impl IntoIterator<Item = T>,
        arena: &'a A,
    ) -> Result<Self, AllocError> {
        let iter = iter.into_iter();
        let mut vec = Self::try_with_capacity_in(iter.size_hint().0, arena)?;
        vec.try_extend(iter)?;
        Ok(vec)
    }

    /// Makes a vector of the items of an iterator, the last one first. The items are collected and
    /// then reversed where they are.
    ///
    /// # Panics
    ///
    /// As [`from_iter_in`](Self::from_iter_in).
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// // From a leaf to the root, to be read from the root.
    /// let parents = [0, 0, 1, 2];
    /// let way = std::iter::successors(Some(3), |&n| (n != 0).then(|| parents[n]));
    /// let path = aegis_memory::collections::ArenaVec::from_iter_rev_in(way, &arena);
    /// assert_eq!(path, [0, 1, 2, 3]);
    /// ```
    #[track_caller]
    pub fn from_iter_rev_in(iter: impl IntoIterator<Item = T>, arena: &'a A) -> Self {
        let mut vec = Self::from_iter_in(iter, arena);
        vec.reverse();
        vec
    }

    /// Makes a vector of room that was taken from the arena.
    /// [`into_raw_parts`](Self::into_raw_parts) returns its first three arguments.
    ///
    /// # Safety
    ///
    /// - `items`, `len` and `capacity` came from [`into_raw_parts`](Self::into_raw_parts) of a
    ///   vector of this arena, or `items` is aligned memory of this arena, for exactly `capacity`
    ///   items, the first `len` of which are initialised.
    /// - The vector owns them from then on. No other code uses them.
    ///
    /// ```
    /// use aegis_memory::collections::{arena_vec, ArenaVec};
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let (items, len, capacity) = arena_vec![in &arena; 1, 2].into_raw_parts();
    /// // SAFETY: the parts of a vector of this arena, which no longer exists.
    /// let numbers = unsafe { ArenaVec::from_raw_parts_in(items, len, capacity, &arena) };
    /// assert_eq!(numbers, [1, 2]);
    /// ```
    pub unsafe fn from_raw_parts_in(
        items: *mut T,
        len: usize,
        capacity: usize,
        arena: &'a A,
    ) -> Self {
        // SAFETY: the caller keeps this function's contract, which is the same.
        Self { items: unsafe { Vec::from_raw_parts_in(items, len, capacity, Handle(arena)) } }
    }

    /// Gives the items to the caller: where they are, their number, and the room. The arena keeps
    /// the memory, and nothing drops the items. See
    /// [`from_raw_parts_in`](Self::from_raw_parts_in) for an example.
    ///
    /// ```
    /// # use aegis_memory::collections::ArenaVec;
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let (items, len, capacity) = ArenaVec::from_iter_in(0..3, &arena).into_raw_parts();
    /// assert_eq!((len, capacity), (3, 3));
    /// // SAFETY: the arena keeps the items.
    /// assert_eq!(unsafe { *items.add(2) }, 2);
    /// ```
    pub fn into_raw_parts(self) -> (*mut T, usize, usize) {
        self.items.into_raw_parts()
    }

    /// The arena that the vector lives in.
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let names = aegis_memory::collections::ArenaVec::<&str>::new_in(&arena);
    /// let name = names.arena().alloc_str("beside the vector");
    /// ```
    #[inline]
    pub fn arena(&self) -> &'a A {
        self.items.allocator().0
    }

    /// How many items there is room for. `usize::MAX` for items without a size.
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let numbers = aegis_memory::collections::ArenaVec::<u32>::new_in(&arena);
    /// assert_eq!(numbers.capacity(), 0);
    /// ```
    #[inline]
    pub fn capacity(&self) -> usize {
        self.items.capacity()
    }

    /// Makes room for `additional` items more, and for as many as there are if that is more.
    ///
    /// # Panics
    ///
    /// When [`try_reserve`](Self::try_reserve) fails.
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let mut numbers = aegis_memory::collections::ArenaVec::from_iter_in(0..8, &arena);
    /// numbers.reserve(1);
    /// assert_eq!(numbers.capacity(), 16);
    /// ```
    #[inline]
    #[track_caller]
    pub fn reserve(&mut self, additional: usize) {
        expect(self.try_reserve(additional));
    }

    /// Makes room for `additional` items more, and for as many as there are if that is more.
    ///
    /// # Errors
    ///
    /// As [`try_with_capacity_in`](Self::try_with_capacity_in).
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let mut numbers = aegis_memory::collections::ArenaVec::<u64>::new_in(&arena);
    /// assert!(numbers.try_reserve(usize::MAX).is_err());
    /// ```
    #[inline]
    pub fn try_reserve(&mut self, additional: usize) -> Result<(), AllocError> {
        if self.has_room_for(additional) {
            return Ok(());
        }
        self.grow(additional)
    }

    /// Makes room for exactly `additional` items more.
    ///
    /// # Panics
    ///
    /// When [`try_reserve_exact`](Self::try_reserve_exact) fails.
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let mut numbers = aegis_memory::collections::ArenaVec::from_iter_in(0..8, &arena);
    /// numbers.reserve_exact(1);
    /// assert_eq!(numbers.capacity(), 9);
    /// ```
    #[inline]
    #[track_caller]
    pub fn reserve_exact(&mut self, additional: usize) {
        expect(self.try_reserve_exact(additional));
    }

    /// Makes room for exactly `additional` items more.
    ///
    /// # Errors
    ///
    /// As [`try_with_capacity_in`](Self::try_with_capacity_in).
    ///
    /// ```
    /// # use aegis_memory::collections::ArenaVec;
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let mut numbers = ArenaVec::from_iter_in(0..3, &arena);
    /// numbers.try_reserve_exact(1)?;
    /// assert_eq!(numbers.capacity(), 4);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    #[inline]
    pub fn try_reserve_exact(&mut self, additional: usize) -> Result<(), AllocError> {
        if self.has_room_for(additional) {
            return Ok(());
        }
        self.set_capacity(self.len().saturating_add(additional))
    }

    /// Gives back the room that has no item. The arena can use it again if the vector is its latest
    /// allocation.
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let mut numbers = aegis_memory::collections::ArenaVec::<u8>::with_capacity_in(1000, &arena);
    /// numbers.push(1);
    /// numbers.shrink_to_fit();
    /// assert_eq!((numbers.capacity(), arena.used()), (1, 8));
    /// ```
    #[inline]
    pub fn shrink_to_fit(&mut self) {
        self.shrink_to(0);
    }

    /// As [`shrink_to_fit`](Self::shrink_to_fit), and leaves room for at least `least` items.
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let mut numbers = aegis_memory::collections::ArenaVec::<u8>::with_capacity_in(1000, &arena);
    /// numbers.shrink_to(10);
    /// assert_eq!(numbers.capacity(), 10);
    /// ```
    pub fn shrink_to(&mut self, least: usize) {
        let capacity = self.len().max(least);
        if size_of::<T>() == 0 || capacity >= self.capacity() {
            return;
        }
        if capacity == 0 {
            let empty = Self::new_in(self.arena());
            drop(mem::replace(self, empty));
            return;
        }
        // SAFETY: this is less than the room that there is, and the items stay.
        unsafe { self.give_up_room(capacity) };
    }

    /// Keeps the items in the arena, as a slice that the caller owns. They are not copied. Room
    /// that has no item is given back if the vector is the arena's latest allocation.
    ///
    /// As a plain allocation of an arena, the slice never drops its items. So this refuses a type
    /// with drop glue when the program is built: see [drop glue](crate::arena#drop-glue). Such a
    /// type has [`into_boxed_slice`](Self::into_boxed_slice) and [`leak`](Self::leak).
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let numbers = aegis_memory::collections::ArenaVec::from_iter_in(0..3, &arena);
    /// let slice: &mut [i32] = numbers.into_slice();
    /// assert_eq!(slice, [0, 1, 2]);
    /// ```
    ///
    /// ```compile_fail
    /// # let arena = aegis_memory::arena::Arena::default();
    /// aegis_memory::collections::arena_vec![in &arena; String::new()].into_slice();
    /// ```
    #[inline]
    pub fn into_slice(self) -> &'a mut [T] {
        #[allow(clippy::let_unit_value)]
        let () = NoDrop::<T>::CHECK;
        self.leak()
    }

    /// Keeps the items in the arena, as [`into_slice`](Self::into_slice) does, and never drops
    /// them, whatever their type is.
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let names = aegis_memory::collections::arena_vec![in &arena; Some(Box::new(1)), None];
    /// let names: &mut [Option<Box<i32>>] = names.leak();
    /// names[0].take(); // the caller drops what needs it
    /// ```
    #[inline]
    pub fn leak(mut self) -> &'a mut [T] {
        self.shrink_to_fit();
        let mut this = ManuallyDrop::new(self);
        // SAFETY: the items live in an arena borrowed for 'a, and their only owner is forgotten.
        unsafe { slice::from_raw_parts_mut(this.as_mut_ptr(), this.len()) }
    }

    /// Keeps the items in the arena, in a box that drops them. They are not copied.
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let names = aegis_memory::collections::arena_vec![in &arena; String::from("a")];
    /// let names: aegis_memory::arena::ArenaBox<'_, [String]> = names.into_boxed_slice();
    /// assert_eq!(names.len(), 1);
    /// ```
    #[inline]
    pub fn into_boxed_slice(self) -> ArenaBox<'a, [T]> {
        // SAFETY: the items live in an arena borrowed for 'a, and the box is their only owner.
        unsafe { ArenaBox::from_raw(NonNull::from(self.leak())) }
    }

    /// The room behind the items, to be written before [`set_len`](Self::set_len).
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let mut bytes = aegis_memory::collections::ArenaVec::<u8>::with_capacity_in(8, &arena);
    /// bytes.spare_capacity_mut()[0].write(7);
    /// // SAFETY: there is room for the byte, and it is written.
    /// unsafe { bytes.set_len(1) };
    /// assert_eq!(bytes, [7]);
    /// ```
    #[inline]
    pub fn spare_capacity_mut(&mut self) -> &mut [MaybeUninit<T>] {
        self.items.spare_capacity_mut()
    }

    /// Sets the number of items.
    ///
    /// # Safety
    ///
    /// - `len` is at most [`capacity`](Self::capacity).
    /// - The items up to `len` are initialised.
    ///
    /// See [`spare_capacity_mut`](Self::spare_capacity_mut) for an example.
    ///
    /// ```
    /// # use aegis_memory::collections::ArenaVec;
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let mut numbers = ArenaVec::from_iter_in(0..3, &arena);
    /// // SAFETY: the items up to there are initialised.
    /// unsafe { numbers.set_len(1) };
    /// assert_eq!(numbers, [0]);
    /// ```
    #[inline]
    pub unsafe fn set_len(&mut self, len: usize) {
        // SAFETY: the caller keeps this function's contract, which is the same.
        unsafe { self.items.set_len(len) }
    }

    /// The items. The vector also derefs to them.
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let numbers = aegis_memory::collections::ArenaVec::from_iter_in(0..3, &arena);
    /// assert_eq!(numbers.as_slice().first(), Some(&0));
    /// ```
    #[inline]
    pub fn as_slice(&self) -> &[T] {
        self.items.as_slice()
    }

    /// The items, to be changed. The vector also derefs to them.
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let mut numbers = aegis_memory::collections::ArenaVec::from_iter_in(0..3, &arena);
    /// numbers.as_mut_slice().reverse();
    /// assert_eq!(numbers, [2, 1, 0]);
    /// ```
    #[inline]
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        self.items.as_mut_slice()
    }

    /// Where the items are. Dangling if there is no room for any.
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let numbers = aegis_memory::collections::ArenaVec::from_iter_in(0..3, &arena);
    /// // SAFETY: there are three items.
    /// assert_eq!(unsafe { *numbers.as_ptr().add(2) }, 2);
    /// ```
    #[inline]
    pub fn as_ptr(&self) -> *const T {
        self.items.as_ptr()
    }

    /// Where the items are, to be changed. Dangling if there is no room for any.
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let mut numbers = aegis_memory::collections::ArenaVec::from_iter_in(0..3, &arena);
    /// // SAFETY: there are three items.
    /// unsafe { *numbers.as_mut_ptr().add(2) = 9 };
    /// assert_eq!(numbers, [0, 1, 9]);
    /// ```
    #[inline]
    pub fn as_mut_ptr(&mut self) -> *mut T {
        self.items.as_mut_ptr()
    }
}
