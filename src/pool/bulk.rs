// SPDX-License-Identifier: Apache-2.0
//! Several blocks at a time, into a caller's `Vec` and out of any iterator.
//!
//! [`Pool`](super::Pool) and [`PoolCache`](super::PoolCache) take and give back one after the other,
//! inlined. The pools that threads share go to the core, which takes or gives back up to [`BATCH`]
//! blocks with one compare-and-swap or under one lock; their addresses travel through an array on
//! the stack, so nothing is allocated.

use alloc::vec::Vec;
use core::ffi::c_void;
use core::mem::{self, MaybeUninit};
use core::ops::Deref;
use core::ptr::{self, NonNull};

use super::block::{Block, BlockByte, BlockPool};
use crate::error::AllocError;
use crate::sealed::KEY;
use crate::{ffi, unwind};

/// Blocks that the core takes or gives back in one call.
const BATCH: usize = 64;

type Room = [MaybeUninit<NonNull<u8>>; BATCH];

/// Appends `count` blocks to `blocks`, or none.
///
/// # Safety
///
/// - `zeroed`, unless `T` need not be initialised.
pub(super) unsafe fn append<'a, P: BlockPool, T: BlockByte>(
    pool: &'a P,
    count: usize,
    zeroed: bool,
    blocks: &mut Vec<Block<&'a P, T>>,
) -> Result<(), AllocError> {
    if blocks.try_reserve(count).is_err() {
        let requested = count.saturating_mul(mem::size_of::<Block<&P, T>>());
        let align = mem::align_of::<Block<&P, T>>();
        return Err(AllocError::out_of_memory(requested, align, mem::size_of_val(&**blocks)));
    }
    let mut taken = Taken { keep: blocks.len(), blocks };
    pool.take_n(KEY, count, zeroed, |memory| {
        // SAFETY: the block has just been taken, and zeroed if need be.
        taken.blocks.push(unsafe { Block::from_raw(pool, memory) });
    })
    .map_err(|error| error.of_blocks(count, taken.blocks.len() - taken.keep))?;
    taken.keep = usize::MAX;
    Ok(())
}

/// Blocks being taken, which go back if not all can be had, or the source panics.
struct Taken<'v, B> {
    blocks: &'v mut Vec<B>,
    keep: usize,
}

impl<B> Drop for Taken<'_, B> {
    fn drop(&mut self) {
        self.blocks.truncate(self.keep);
    }
}

/// Gives blocks back to `pool`, and those of other pools to theirs.
pub(super) fn give_back<P, H, T>(pool: &P, blocks: impl IntoIterator<Item = Block<H, T>>)
where
    P: BlockPool,
    H: Deref<Target = P>,
    T: BlockByte,
{
    let ours = blocks.into_iter().filter_map(|block| {
        // Another pool's is dropped here.
        ptr::eq(block.pool(), pool).then(|| block.parts().1.cast())
    });
    // SAFETY: these are blocks of this pool, and their owners are gone.
    unsafe { pool.give_back_n(KEY, ours) }
}

/// Takes `count` blocks through a function of the core, which gets room for addresses, their number
/// and an error record, and returns how many it has taken. Each is shown to `each`.
///
/// # Safety
///
/// - `take` fills as much of the room as it returns with blocks, and the record when that is less
///   than was asked; the budget in it is null or alive.
pub(super) unsafe fn take_by_batch(
    count: usize,
    mut take: impl FnMut(*mut *mut c_void, usize, *mut ffi::aegis_error) -> usize,
    mut each: impl FnMut(NonNull<u8>),
) -> Result<(), AllocError> {
    let mut room: Room = [MaybeUninit::uninit(); BATCH];
    let mut error = MaybeUninit::<ffi::aegis_error>::uninit();
    let mut left = count;
    while left > 0 {
        let want = left.min(BATCH);
        let all = |got: &usize| *got == want;
        let got = unwind::call_keeping(all, || {
            let got = take(room.as_mut_ptr().cast(), want, error.as_mut_ptr());
            for memory in &room[..got] {
                // SAFETY: the core has written that many addresses, none of them null.
                each(unsafe { memory.assume_init() });
            }
            got
        });
        if got < want {
            // SAFETY: the record is written, and the caller vouches for the budget.
            return Err(unsafe { AllocError::from_raw(error.assume_init_ref()) });
        }
        left -= want;
    }
    Ok(())
}

/// Gives blocks back through a function of the core, which gets addresses and their number.
///
/// # Safety
///
/// - `blocks` are blocks of the pool of `free` that are out, and are not used again.
pub(super) unsafe fn give_back_by_batch(
    blocks: impl Iterator<Item = NonNull<u8>>,
    free: impl Fn(*const *mut c_void, usize) -> ffi::aegis_status,
) {
    let mut returning = Returning { room: [MaybeUninit::uninit(); BATCH], len: 0, free };
    for memory in blocks {
        returning.room[returning.len].write(memory);
        returning.len += 1;
        if returning.len == BATCH {
            returning.flush();
        }
    }
}

/// Blocks on their way back, which none misses even if the iterator that they come from panics.
struct Returning<F: Fn(*const *mut c_void, usize) -> ffi::aegis_status> {
    room: Room,
    len: usize,
    free: F,
}

impl<F: Fn(*const *mut c_void, usize) -> ffi::aegis_status> Returning<F> {
    fn flush(&mut self) {
        let len = mem::take(&mut self.len);
        let status = (self.free)(self.room.as_ptr().cast(), len);
        // A pool that is lost in a child process keeps its blocks.
        debug_assert!(
            status == ffi::AEGIS_OK as ffi::aegis_status || status == ffi::AEGIS_E_FORKED,
            "a block that was not out"
        );
    }
}

impl<F: Fn(*const *mut c_void, usize) -> ffi::aegis_status> Drop for Returning<F> {
    fn drop(&mut self) {
        self.flush();
    }
}

/// The methods, alike for all pools and for caches.
macro_rules! bulk_methods {
    ([$($life:lifetime)?] $Pool:ty) => {
        impl$(<$life>)? $Pool {
            /// Takes `count` blocks of zeroes and appends them to `blocks`. Allocates nothing if
            /// `blocks` has room for them.
            ///
            /// # Errors
            ///
            /// As [`alloc`](Self::alloc) if fewer can be had: those that were taken go back, and
            /// `blocks` is as before, as it is when the source panics.
            /// [`AllocError::OutOfMemory`] also if `blocks` cannot grow.
            ///
            /// # Examples
            ///
            /// ```
            /// let pool = aegis_memory::pool::LockFreePool::new(4096, 64);
            /// let mut pages = Vec::with_capacity(48);
            /// pool.alloc_n(48, &mut pages)?;
            /// pages[47][0] = 42;
            /// pool.free_n(pages.drain(..));
            /// # Ok::<(), aegis_memory::AllocError>(())
            /// ```
            pub fn alloc_n<'a>(
                &'a self,
                count: usize,
                blocks: &mut alloc::vec::Vec<PoolBlock<'a, Self>>,
            ) -> Result<(), AllocError> {
                // SAFETY: zeroed.
                unsafe { super::bulk::append(self, count, true, blocks) }
            }

            /// Takes `count` blocks without clearing them and appends them to `blocks`. Allocates
            /// nothing if `blocks` has room for them.
            ///
            /// # Errors
            ///
            /// As [`alloc_n`](Self::alloc_n).
            pub fn alloc_uninit_n<'a>(
                &'a self,
                count: usize,
                blocks: &mut alloc::vec::Vec<PoolBlock<'a, Self, MaybeUninit<u8>>>,
            ) -> Result<(), AllocError> {
                // SAFETY: the content need not be initialised.
                unsafe { super::bulk::append(self, count, false, blocks) }
            }

            /// Gives several blocks back: a `drain(..)` of a `Vec`, say. A block of another pool
            /// goes back to that. Dropping them does the same, one at a time.
            pub fn free_n<H, T>(&self, blocks: impl IntoIterator<Item = Block<H, T>>)
            where
                H: core::ops::Deref<Target = Self>,
                T: super::BlockByte,
            {
                super::bulk::give_back(self, blocks);
            }
        }
    };
}

pub(super) use bulk_methods;
