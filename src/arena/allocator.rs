// SPDX-License-Identifier: Apache-2.0
//! `allocator_api2`'s `Allocator` for `&Arena`, so that collections can live in one.
//!
//! For the shared reference only: an owner that exposes `&mut Arena` could be reset while its
//! memory is in use.

use allocator_api2::alloc::{AllocError, Allocator};
use core::alloc::Layout;
use core::ptr::{self, NonNull};

use super::Arena;
use crate::ffi;

fn bytes(p: NonNull<u8>, len: usize) -> NonNull<[u8]> {
    NonNull::slice_from_raw_parts(p, len)
}

/// Resizes; in place if the memory is the latest allocation, or shrinks without more alignment.
///
/// # Safety
///
/// As for [`Allocator::grow`] and [`Allocator::shrink`].
unsafe fn resize(
    arena: &Arena,
    p: NonNull<u8>,
    old: Layout,
    new: Layout,
) -> Result<NonNull<[u8]>, AllocError> {
    if p.as_ptr() as usize % new.align() == 0 {
        // SAFETY: the caller vouches that `p` is a live allocation of this arena and layout.
        let p = unsafe {
            ffi::aegis_arena_realloc_aligned(
                arena.as_raw(),
                p.as_ptr().cast(),
                old.size(),
                new.size(),
                new.align(),
            )
        };
        return arena.settle(p).map(|p| bytes(p, new.size())).map_err(|_| AllocError);
    }
    let moved = arena.try_alloc_layout(new).map_err(|_| AllocError)?;
    // SAFETY: two live allocations of at least this many bytes.
    unsafe { ptr::copy_nonoverlapping(p.as_ptr(), moved.as_ptr(), old.size().min(new.size())) };
    Ok(bytes(moved, new.size()))
}

// SAFETY: memory stays valid while the arena is borrowed, wherever the reference is moved or
// copied to: freeing it takes `&mut Arena`. Copies of the reference are the same allocator.
unsafe impl Allocator for &Arena {
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        let p = self.try_alloc_layout(layout).map_err(|_| AllocError)?;
        Ok(bytes(p, layout.size()))
    }

    fn allocate_zeroed(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        let memory = self.try_alloc_aligned(layout.size(), layout.align());
        memory.map(NonNull::from).map_err(|_| AllocError)
    }

    unsafe fn deallocate(&self, p: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller vouches that `p` is a live allocation of this arena and layout.
        unsafe {
            ffi::aegis_arena_free_last(self.as_raw(), p.as_ptr().cast(), layout.size());
        }
    }

    unsafe fn grow(
        &self,
        p: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: the caller keeps this function's contract, which is the same.
        unsafe { resize(self, p, old, new) }
    }

    unsafe fn grow_zeroed(
        &self,
        p: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: the caller keeps this function's contract, which is the same.
        let memory = unsafe { resize(self, p, old, new) }?;
        // SAFETY: the new end of the allocation is ours, and does not overlap the old bytes.
        unsafe {
            let end = memory.as_ptr().cast::<u8>().add(old.size());
            ptr::write_bytes(end, 0, new.size() - old.size());
        }
        Ok(memory)
    }

    unsafe fn shrink(
        &self,
        p: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: the caller keeps this function's contract, which is the same.
        unsafe { resize(self, p, old, new) }
    }
}
