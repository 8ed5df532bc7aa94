// SPDX-License-Identifier: Apache-2.0
//! Arenas as allocators.

use core::alloc::Layout;
use core::ptr::{self, NonNull};

use super::aligned::AlignedArena;
use super::fixed::FixedArena;
use super::forms::{Allocate, Bytes};
#[cfg(aegis_threads)]
use super::local::LocalArena;
#[cfg(aegis_threads)]
use super::lock_free::LockFreeArena;
#[cfg(aegis_threads)]
use super::locked::LockedArena;
use super::one_owner::Arena;
use crate::allocator::{faces, Memory};

// SAFETY: `Allocate` demands the same.
unsafe impl<A: Allocate> Memory for A {
    #[inline]
    fn allocate(&self, layout: Layout) -> Option<NonNull<u8>> {
        self.take_quietly(layout)
    }

    #[inline]
    fn allocate_zeroed(&self, layout: Layout) -> Option<NonNull<u8>> {
        self.take_zeroed(layout.size(), layout.align()).ok()
    }

    #[inline]
    unsafe fn deallocate(&self, p: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller vouches for the allocation.
        unsafe { self.give_back(p, layout.size()) }
    }

    #[inline]
    unsafe fn grow(&self, p: NonNull<u8>, old: Layout, new: Layout) -> Option<NonNull<u8>> {
        // SAFETY: the caller vouches for the allocation.
        match unsafe { self.grow_by_bump(p, old, new) } {
            Some(grown) => Some(grown),
            // SAFETY: as above. Nothing has changed.
            None => unsafe { self.resize(p, old, new) },
        }
    }

    #[cold]
    unsafe fn resize(&self, p: NonNull<u8>, old: Layout, new: Layout) -> Option<NonNull<u8>> {
        // SAFETY: the caller keeps this function's contract, which is the same.
        unsafe { resized_slowly(self, p, old, new) }.ok()
    }
}

/// Resizes an allocation, as [`resized_slowly`] does.
///
/// # Safety
///
/// - As for [`resized_slowly`].
#[cfg(feature = "collections")]
#[inline]
pub(super) unsafe fn resized<A: Allocate>(
    arena: &A,
    p: NonNull<u8>,
    old: Layout,
    new: Layout,
) -> Bytes {
    // SAFETY: the caller vouches for the allocation.
    match unsafe { arena.grow_by_bump(p, old, new) } {
        Some(grown) => Ok(grown),
        // SAFETY: as above. Nothing has changed.
        None => unsafe { resized_slowly(arena, p, old, new) },
    }
}

/// Resizes an allocation in place if the arena can, else by a move into new memory. The new memory
/// is taken before the old memory is changed. So the old allocation is intact if the block source
/// panics and the panic continues.
///
/// # Safety
///
/// - `p` is a live allocation with the layout `old`. If the call returns another pointer, `p` is not
///   used afterwards.
#[cold]
unsafe fn resized_slowly<A: Allocate>(
    arena: &A,
    p: NonNull<u8>,
    old: Layout,
    new: Layout,
) -> Bytes {
    // An alignment is a power of two.
    let aligned = p.as_ptr() as usize & (new.align() - 1) == 0;
    // SAFETY: the caller vouches for the allocation.
    if aligned && unsafe { arena.resize_in_place(p, old.size(), new.size()) } {
        return Ok(p);
    }
    let grows = new.size() > old.size();
    let moved = if grows { arena.take_regrown(new) } else { arena.take(new) }?;
    // SAFETY: two live allocations of at least this many bytes.
    unsafe { ptr::copy_nonoverlapping(p.as_ptr(), moved.as_ptr(), old.size().min(new.size())) };
    // SAFETY: the caller vouches for the allocation, which is not used again.
    unsafe { arena.give_back(p, old.size()) };
    Ok(moved)
}

faces!(
    Arena,
    FixedArena<'_>,
    {<const N: usize, A: Allocate>} AlignedArena<'_, N, A>,
);
#[cfg(aegis_threads)]
faces!(LockFreeArena, LocalArena<'_>, LockedArena);
