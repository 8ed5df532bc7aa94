// SPDX-License-Identifier: Apache-2.0
//! A slice of the items of an iterator in reverse order: the last item comes first.
//!
//! If the iterator says how many items it has, they are written from the end of their room to its
//! start, so nothing moves afterwards. Otherwise the slice is collected as it comes and reversed
//! where it is, without further memory. An iterator that says a wrong number costs a copy.

use core::iter;
use core::mem::size_of;
use core::ptr::{self, NonNull};

use super::aligned::AlignedArena;
use super::forms::{array, Allocate, NoDrop};
use super::gather;
#[cfg(aegis_threads)]
use super::local::LocalArena;
#[cfg(aegis_threads)]
use super::lock_free::LockFreeArena;
#[cfg(aegis_threads)]
use super::locked::LockedArena;
use super::one_owner::Arena;
use crate::error::{expect, AllocError};

/// The items in reverse order. The caller has checked that `T` has no drop glue.
fn collect<A: Allocate, T>(
    arena: &A,
    items: impl IntoIterator<Item = T>,
) -> Result<NonNull<[T]>, AllocError> {
    let mut items = items.into_iter();
    let (least, most) = items.size_hint();
    if most != Some(least) {
        return reversed(arena, items);
    }
    let p = array::<A, T>(arena, least)?;
    // The items so far are those from `start` to the end of the room.
    let mut start = least;
    while let Some(item) = items.next() {
        if start == 0 {
            return with_more(arena, p, least, iter::once(item).chain(items));
        }
        start -= 1;
        // SAFETY: `start` is an index in the room.
        unsafe { p.as_ptr().add(start).write(item) };
    }
    let len = least - start;
    if start != 0 {
        let bytes = |len: usize| len * size_of::<T>();
        // SAFETY: `len` items are at the end of the room. Their new place is in the room too. The
        // room is an allocation of this arena with this size.
        unsafe {
            ptr::copy(p.as_ptr().add(start), p.as_ptr(), len);
            arena.resize_in_place(p.cast(), bytes(least), bytes(len));
        }
    }
    Ok(NonNull::slice_from_raw_parts(p, len))
}

/// Collects the items and reverses them where they are.
fn reversed<A: Allocate, T>(
    arena: &A,
    items: impl Iterator<Item = T>,
) -> Result<NonNull<[T]>, AllocError> {
    let mut slice = gather::collect(arena, items)?;
    // SAFETY: collected just now, and no other code has a pointer to it.
    unsafe { slice.as_mut() }.reverse();
    Ok(slice)
}

/// The slice of an iterator that has more than the `len` items that it said. Those are at `p`, in
/// reverse order.
#[cold]
fn with_more<A: Allocate, T>(
    arena: &A,
    p: NonNull<T>,
    len: usize,
    more: impl Iterator<Item = T>,
) -> Result<NonNull<[T]>, AllocError> {
    let more = reversed(arena, more)?;
    let all = more.len().saturating_add(len);
    let slice = array::<A, T>(arena, all)?;
    // SAFETY: new room for all items, which overlaps neither of the two others. They are
    // allocations of this arena with these sizes, and are not used afterwards.
    unsafe {
        ptr::copy_nonoverlapping(more.cast().as_ptr(), slice.as_ptr(), more.len());
        ptr::copy_nonoverlapping(p.as_ptr(), slice.as_ptr().add(more.len()), len);
        arena.give_back(more.cast(), more.len() * size_of::<T>());
        arena.give_back(p.cast(), len * size_of::<T>());
    }
    Ok(NonNull::slice_from_raw_parts(slice, all))
}

/// Writes the methods for a form of arena, as `allocation_forms` does.
macro_rules! reverse_forms {
    ({$($generics:tt)*} $arena:ty, $out:lifetime) => {
        impl $($generics)* $arena {
            /// Collects an iterator of items without [drop glue](crate::arena#drop-glue) into a
            /// slice in reverse order: the last item comes first.
            ///
            /// If the bounds of its `size_hint` are equal, the slice is allocated once and filled
            /// from its end. Otherwise it takes the room that
            /// [`alloc_slice_from_iter`](Self::alloc_slice_from_iter) takes, and is reversed where
            /// it is. The iterator may allocate from the arena.
            ///
            /// # Panics
            ///
            /// When [`try_alloc_slice_from_iter_rev`](Self::try_alloc_slice_from_iter_rev) fails, or
            /// the iterator panics.
            ///
            /// # Examples
            ///
            /// The path to the root of a tree, which is found from the leaf upwards:
            ///
            /// ```
            /// let arena = aegis_memory::arena::Arena::default();
            /// let parents = [0, 0, 1, 2, 0];
            /// let up = std::iter::successors(Some(3), |&node| (node != 0).then(|| parents[node]));
            /// assert_eq!(arena.alloc_slice_from_iter_rev(up), [0, 1, 2, 3]);
            /// ```
            #[track_caller]
            pub fn alloc_slice_from_iter_rev<T>(
                &self,
                items: impl IntoIterator<Item = T>,
            ) -> &$out mut [T] {
                let () = NoDrop::<T>::CHECK;
                expect(self.try_alloc_slice_from_iter_rev(items))
            }

            /// Collects an iterator of items without [drop glue](crate::arena#drop-glue) into a
            /// slice in reverse order.
            ///
            /// # Errors
            ///
            /// As [`try_alloc`](Self::try_alloc). The iterator may be partly consumed then, or
            /// completely.
            ///
            /// # Examples
            ///
            /// ```
            /// # let arena = aegis_memory::arena::Arena::default();
            /// assert_eq!(arena.try_alloc_slice_from_iter_rev(0..3)?, [2, 1, 0]);
            /// # Ok::<(), aegis_memory::AllocError>(())
            /// ```
            pub fn try_alloc_slice_from_iter_rev<T>(
                &self,
                items: impl IntoIterator<Item = T>,
            ) -> Result<&$out mut [T], AllocError> {
                let () = NoDrop::<T>::CHECK;
                // SAFETY: placed just now in memory that is valid for the lifetime.
                collect(self, items).map(|mut p| unsafe { p.as_mut() })
            }
        }
    };
}

reverse_forms!({} Arena, '_);
#[cfg(aegis_threads)]
reverse_forms!({} LockFreeArena, '_);
#[cfg(aegis_threads)]
reverse_forms!({} LockedArena, '_);
#[cfg(aegis_threads)]
reverse_forms!({<'a>} LocalArena<'a>, 'a);
reverse_forms!({<'a, const N: usize, A: Allocate>} AlignedArena<'a, N, A>, 'a);
