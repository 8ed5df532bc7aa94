// SPDX-License-Identifier: Apache-2.0
//! `allocator_api2`'s `Allocator` for references to arenas, so that collections can live in one.
//!
//! Only shared references implement it. An owner that lends its arena as `&mut` could be reset
//! while the memory is in use.

use allocator_api2::alloc::{AllocError, Allocator};
use core::alloc::Layout;
use core::ptr::{self, NonNull};

use super::forms::{Allocate, Bytes};
use super::local::LocalArena;
use super::lock_free::LockFreeArena;
use super::locked::LockedArena;
use super::one_owner::Arena;

type Memory = Result<NonNull<[u8]>, AllocError>;

/// Adds the number of bytes to the pointer.
fn sized(bytes: Bytes, len: usize) -> Memory {
    bytes.map(|p| NonNull::slice_from_raw_parts(p, len)).map_err(|_| AllocError)
}

/// Resizes an allocation, in place if the arena can, else by a move into new memory. The new memory
/// is taken before the old memory is changed. So the old allocation is intact if the block source
/// panics and the panic continues.
///
/// # Safety
///
/// - `p` is a live allocation of this arena with this size. If the call returns another pointer,
///   `p` is not used afterwards.
#[inline]
unsafe fn resize<A: Allocate>(arena: &A, p: NonNull<u8>, old: usize, new: Layout) -> Bytes {
    let aligned = p.as_ptr() as usize % new.align() == 0;
    // SAFETY: the caller vouches for the allocation.
    if aligned && unsafe { arena.resize_in_place(p, old, new.size()) } {
        return Ok(p);
    }
    let moved = if new.size() > old { arena.take_regrown(new) } else { arena.take(new) }?;
    // SAFETY: two live allocations of at least this many bytes.
    unsafe { ptr::copy_nonoverlapping(p.as_ptr(), moved.as_ptr(), old.min(new.size())) };
    // SAFETY: the caller vouches for the allocation, which is not used again.
    unsafe { arena.give_back(p, old) };
    Ok(moved)
}

/// Implements the trait for references to an arena that implements [`Allocate`].
macro_rules! allocator {
    ($($arena:ty),*) => {$(
        // SAFETY: memory stays valid while the arena is borrowed, wherever the reference is moved
        // or copied to. What frees the memory takes the arena by `&mut`, or, for a handle, the
        // arena that the handle belongs to. Copies of the reference are the same allocator. If the
        // reference can go to another thread, the arena serves several threads at the same time.
        unsafe impl Allocator for &$arena {
            #[inline]
            fn allocate(&self, layout: Layout) -> Memory {
                sized(self.take(layout), layout.size())
            }

            #[inline]
            fn allocate_zeroed(&self, layout: Layout) -> Memory {
                sized(self.take_zeroed(layout.size(), layout.align()), layout.size())
            }

            unsafe fn deallocate(&self, p: NonNull<u8>, layout: Layout) {
                // SAFETY: the caller vouches that `p` is a live allocation of this arena with this
                // layout.
                unsafe { self.give_back(p, layout.size()) }
            }

            unsafe fn grow(&self, p: NonNull<u8>, old: Layout, new: Layout) -> Memory {
                // SAFETY: the caller keeps this function's contract, which is the same.
                sized(unsafe { resize(*self, p, old.size(), new) }, new.size())
            }

            unsafe fn grow_zeroed(&self, p: NonNull<u8>, old: Layout, new: Layout) -> Memory {
                // SAFETY: the caller keeps this function's contract, which is the same.
                let memory = sized(unsafe { resize(*self, p, old.size(), new) }, new.size())?;
                // SAFETY: the bytes behind the old ones belong to the allocation too.
                unsafe {
                    let end = memory.as_ptr().cast::<u8>().add(old.size());
                    ptr::write_bytes(end, 0, new.size() - old.size());
                }
                Ok(memory)
            }

            unsafe fn shrink(&self, p: NonNull<u8>, old: Layout, new: Layout) -> Memory {
                // SAFETY: the caller keeps this function's contract, which is the same.
                sized(unsafe { resize(*self, p, old.size(), new) }, new.size())
            }
        }
    )*};
}

allocator!(Arena, LockFreeArena, LocalArena<'_>, LockedArena);
