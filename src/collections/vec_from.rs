// SPDX-License-Identifier: Apache-2.0
//! What an [`ArenaVec`] is made of besides an iterator: clones of an item or of items, and arrays.

use super::vec::ArenaVec;
use crate::arena::AnyArena;
use crate::error::{expect, AllocError};

impl<'a, T, A: AnyArena> ArenaVec<'a, T, A> {
    /// Makes a vector of `count` clones of an item. As `arena_vec![in arena; item; count]`.
    ///
    /// # Panics
    ///
    /// When the arena has no memory.
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let zeros = aegis_memory::collections::ArenaVec::from_elem_in(0, 3, &arena);
    /// assert_eq!(zeros, [0, 0, 0]);
    /// ```
    #[inline]
    #[track_caller]
    pub fn from_elem_in(item: T, count: usize, arena: &'a A) -> Self
    where
        T: Clone,
    {
        let mut vec = Self::with_capacity_in(count, arena);
        vec.resize(count, item);
        vec
    }

    /// Makes a vector of clones of items.
    ///
    /// # Panics
    ///
    /// When [`try_from_slice_in`](Self::try_from_slice_in) fails.
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let numbers = aegis_memory::collections::ArenaVec::from_slice_in(&[1, 2], &arena);
    /// assert_eq!(numbers, [1, 2]);
    /// ```
    #[inline]
    #[track_caller]
    pub fn from_slice_in(items: &[T], arena: &'a A) -> Self
    where
        T: Clone,
    {
        expect(Self::try_from_slice_in(items, arena))
    }

    /// Makes a vector of clones of items.
    ///
    /// # Errors
    ///
    /// As [`try_with_capacity_in`](Self::try_with_capacity_in).
    ///
    /// ```
    /// # use aegis_memory::collections::ArenaVec;
    /// # let arena = aegis_memory::arena::Arena::default();
    /// assert_eq!(ArenaVec::try_from_slice_in(&[1, 2], &arena)?, [1, 2]);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    #[inline]
    pub fn try_from_slice_in(items: &[T], arena: &'a A) -> Result<Self, AllocError>
    where
        T: Clone,
    {
        let mut vec = Self::try_with_capacity_in(items.len(), arena)?;
        vec.try_extend_from_slice(items)?;
        Ok(vec)
    }
}

impl<'a, T, A: AnyArena, const N: usize> ArenaVec<'a, [T; N], A> {
    /// Makes one vector of the arrays' items, which stay where they are.
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let pairs = aegis_memory::collections::arena_vec![in &arena; [1, 2], [3, 4]];
    /// assert_eq!(pairs.into_flattened(), [1, 2, 3, 4]);
    /// ```
    pub fn into_flattened(self) -> ArenaVec<'a, T, A> {
        ArenaVec { items: self.items.into_flattened() }
    }
}
