// SPDX-License-Identifier: Apache-2.0
//! How the room of a vector changes. The vector beneath, of `allocator-api2`, never asks for
//! memory: it would end the process when there is none. Each method that needs room calls
//! [`resized`] first, whose error says what was asked and what was in use. The vector beneath only
//! gives its memory back.

use core::alloc::Layout;
use core::mem::{align_of, needs_drop, size_of};
use core::ops::{Bound, Range, RangeBounds};
use core::ptr::NonNull;

use allocator_api2_04::alloc::{AllocError as NoMemory, Allocator};

use crate::arena::AnyArena;
use crate::error::AllocError;
use crate::sealed::KEY;

/// The arena of a vector, as the allocator of the vector beneath.
pub(super) struct Handle<'a, A>(pub(super) &'a A);

impl<A> Clone for Handle<'_, A> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<A> Copy for Handle<'_, A> {}

// SAFETY: the memory of an arena stays valid while the arena is borrowed. Copies of the reference
// are the same allocator.
unsafe impl<A: AnyArena> Allocator for Handle<'_, A> {
    #[inline]
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, NoMemory> {
        let p = self.0.allocate(KEY, layout).map_err(|_| NoMemory)?;
        Ok(NonNull::slice_from_raw_parts(p, layout.size()))
    }

    #[inline]
    unsafe fn deallocate(&self, p: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller keeps this function's contract, which is the same.
        unsafe { self.0.deallocate(KEY, p, layout) }
    }
}

/// Refuses, when code is made, a type whose drop would be forgotten.
pub(super) struct NoDrop<T>(T);

impl<T> NoDrop<T> {
    pub(super) const CHECK: () = assert!(
        !needs_drop::<T>(),
        "nothing would drop these items: use into_boxed_slice, or leak if they need no drop"
    );
}

/// Gives `items` with room for `old` items, 0 if it has none yet, room for `new` items, which are
/// at least one.
///
/// # Safety
///
/// - If `old` is not 0, `items` is a live allocation of this arena of this size. If the call
///   returns another pointer, `items` is not used afterwards.
/// - `T` has a size.
#[inline]
pub(super) unsafe fn resized<T, A: AnyArena>(
    arena: &A,
    items: NonNull<T>,
    old: usize,
    new: usize,
) -> Result<NonNull<T>, AllocError> {
    let Ok(layout) = Layout::array::<T>(new) else { return Err(too_many::<T>(new)) };
    if old == 0 {
        return Ok(arena.allocate(KEY, layout)?.cast());
    }
    // SAFETY: room of this size was allocated.
    let old = unsafe { Layout::array::<T>(old).unwrap_unchecked() };
    // SAFETY: the caller vouches for the allocation.
    Ok(unsafe { arena.resize(KEY, items.cast(), old, layout) }?.cast())
}

/// As [`resized`], for growth that takes a few instructions: the first room, in place, or a move in
/// the block. `None` leaves the room as it is, and [`resized`] may find more.
///
/// # Safety
///
/// - As [`resized`], and `new` is above `old`. `T` may be without a size.
#[inline(always)]
pub(super) unsafe fn extended<T, A: AnyArena>(
    arena: &A,
    items: NonNull<T>,
    old: usize,
    new: usize,
) -> Option<NonNull<T>> {
    let layout = Layout::array::<T>(new).ok().filter(|layout| layout.size() != 0)?;
    if old == 0 {
        return arena.quick(KEY, layout).map(NonNull::cast);
    }
    // SAFETY: room of this size was allocated.
    let old = unsafe { Layout::array::<T>(old).unwrap_unchecked() };
    // SAFETY: the caller vouches for the allocation.
    unsafe { arena.grow_by_bump(KEY, items.cast(), old, layout) }.map(NonNull::cast)
}

/// Room for how many items a vector takes that has room for `old` and needs room for `needed`. It
/// doubles its room, so that pushes take constant time on the average.
#[inline]
pub(super) fn amortized<T>(old: usize, needed: usize) -> usize {
    let least = match size_of::<T>() {
        1 => 8,
        0..=1024 => 4,
        _ => 1,
    };
    needed.max(old.saturating_mul(2)).max(least)
}

/// The error for a number of items that no layout can have.
#[cold]
pub(super) fn too_many<T>(count: usize) -> AllocError {
    AllocError::invalid(count.saturating_mul(size_of::<T>()), align_of::<T>())
}

/// The part of `len` items that a range means.
///
/// # Panics
///
/// When it is no part of them.
#[track_caller]
pub(super) fn part(range: impl RangeBounds<usize>, len: usize) -> Range<usize> {
    let after = |index: usize| index.checked_add(1).expect("the range ends behind `usize::MAX`");
    let start = match range.start_bound() {
        Bound::Included(&start) => start,
        Bound::Excluded(&start) => after(start),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(&end) => after(end),
        Bound::Excluded(&end) => end,
        Bound::Unbounded => len,
    };
    assert!(start <= end, "the range starts at {start} but ends at {end}");
    assert!(end <= len, "the range ends at {end} but there are {len} items");
    start..end
}
