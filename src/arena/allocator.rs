// SPDX-License-Identifier: Apache-2.0
//! Arenas as allocators.

use core::alloc::Layout;
use core::ptr::{self, NonNull};

use super::aligned::AlignedArena;
use super::fixed::FixedArena;
use super::forms::Allocate;
use super::local::LocalArena;
use super::lock_free::LockFreeArena;
use super::locked::LockedArena;
use super::one_owner::Arena;
use crate::allocator::{faces, Memory};

// SAFETY: `Allocate` demands the same.
unsafe impl<A: Allocate> Memory for A {
    #[inline]
    fn allocate(&self, layout: Layout) -> Option<NonNull<u8>> {
        self.take(layout).ok()
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

    /// In place if the arena can, else by a move into new memory. The new memory is taken before the
    /// old memory is changed. So the old allocation is intact if the block source panics and the
    /// panic continues.
    #[inline]
    unsafe fn resize(&self, p: NonNull<u8>, old: Layout, new: Layout) -> Option<NonNull<u8>> {
        let aligned = p.as_ptr() as usize % new.align() == 0;
        // SAFETY: the caller vouches for the allocation.
        if aligned && unsafe { self.resize_in_place(p, old.size(), new.size()) } {
            return Some(p);
        }
        let grows = new.size() > old.size();
        let moved = if grows { self.take_regrown(new) } else { self.take(new) }.ok()?;
        // SAFETY: two live allocations of at least this many bytes.
        unsafe { ptr::copy_nonoverlapping(p.as_ptr(), moved.as_ptr(), old.size().min(new.size())) };
        // SAFETY: the caller vouches for the allocation, which is not used again.
        unsafe { self.give_back(p, old.size()) };
        Some(moved)
    }
}

faces!(
    Arena,
    FixedArena<'_>,
    LockFreeArena,
    LocalArena<'_>,
    LockedArena,
    {<const N: usize, A: Allocate>} AlignedArena<'_, N, A>,
);
