// SPDX-License-Identifier: Apache-2.0
//! Pools as allocators: each allocation is one block, and resizing one changes nothing. A request that
//! is larger than a block, or that asks for more alignment than the blocks have, is refused.

use core::alloc::Layout;
use core::ptr::{self, NonNull};

use super::block::Source;
#[cfg(aegis_threads)]
use super::cache::{OwnedPoolCache, PoolCache};
#[cfg(aegis_threads)]
use super::lock_free::LockFreePool;
#[cfg(aegis_threads)]
use super::locked::LockedPool;
use super::one_owner::Pool;
use crate::allocator::{faces, Memory};
use crate::sealed::KEY;

/// Whether a block of the pool has this size and alignment.
#[inline]
fn fits(pool: &impl Source, layout: Layout) -> bool {
    layout.size() <= pool.block_bytes(KEY) && layout.align() <= pool.block_align(KEY)
}

/// Implements [`Memory`] for a pool. There is no memory behind an allocation without bytes.
macro_rules! memory {
    ($($pool:ty),*) => {$(
        // SAFETY: a block has at least the size and alignment asked for, overlaps no other, and stays
        // valid until it is given back or the pool, which is borrowed, ends.
        unsafe impl Memory for $pool {
            #[inline]
            fn allocate(&self, layout: Layout) -> Option<NonNull<u8>> {
                take(self, layout, false)
            }

            #[inline]
            fn allocate_zeroed(&self, layout: Layout) -> Option<NonNull<u8>> {
                take(self, layout, true)
            }

            #[inline]
            unsafe fn deallocate(&self, p: NonNull<u8>, layout: Layout) {
                if layout.size() > 0 {
                    // SAFETY: the caller vouches for the allocation, which is a block.
                    unsafe { self.give_back(KEY, p) }
                }
            }

            #[inline]
            unsafe fn resize(&self, p: NonNull<u8>, old: Layout, new: Layout) -> Option<NonNull<u8>> {
                if old.size() > 0 && new.size() > 0 {
                    return fits(self, new).then_some(p);
                }
                let moved = Memory::allocate(self, new)?;
                // SAFETY: the caller vouches for the allocation.
                unsafe { Memory::deallocate(self, p, old) };
                Some(moved)
            }
        }
    )*};
}

/// A block for these bytes, or no memory for none.
#[inline]
fn take(pool: &impl Source, layout: Layout, zeroed: bool) -> Option<NonNull<u8>> {
    if layout.size() == 0 {
        return NonNull::new(ptr::null_mut::<u8>().wrapping_add(layout.align()));
    }
    if fits(pool, layout) {
        pool.take(KEY, zeroed).ok()
    } else {
        None
    }
}

memory!(Pool);
faces!(Pool);
#[cfg(aegis_threads)]
memory!(LockFreePool, LockedPool, PoolCache<'_>, OwnedPoolCache);
#[cfg(aegis_threads)]
faces!(LockFreePool, LockedPool, PoolCache<'_>, OwnedPoolCache);
