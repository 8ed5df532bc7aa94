// SPDX-License-Identifier: Apache-2.0
//! Taking several blocks into a caller's `Vec`, and giving back several blocks from any iterator.
//!
//! [`Pool`](super::Pool) and [`PoolCache`](super::PoolCache) take or give back one block after the
//! other, in inlined code. The pools that threads share call the core, which takes or gives back up
//! to [`BATCH`] blocks with one compare-and-swap or under one lock. The addresses of the blocks are
//! passed in an array on the stack, so nothing is allocated.

use alloc::vec::Vec;
use core::ffi::c_void;
use core::mem::{self, MaybeUninit};
use core::ops::Deref;
use core::ptr::{self, NonNull};

use super::block::{Block, BlockByte, BlockPool};
use crate::error::AllocError;
use crate::sealed::KEY;
use crate::{ffi, unwind};

/// The most blocks that the core takes or gives back in one call.
const BATCH: usize = 64;

type Room = [MaybeUninit<NonNull<u8>>; BATCH];

/// Takes `count` blocks from `pool` and appends them to `blocks`, or none. `handle` is the pointer of
/// each to its pool.
///
/// # Safety
///
/// - `zeroed` is true, or `T` is `MaybeUninit<u8>`.
/// - `handle` is a borrow or an `Arc` of `pool`, or of the pool behind it if `pool` is a cache.
pub(super) unsafe fn append<P, H, T>(
    pool: &P,
    handle: &H,
    count: usize,
    zeroed: bool,
    blocks: &mut Vec<Block<H, T>>,
) -> Result<(), AllocError>
where
    P: BlockPool,
    H: Deref + Clone,
    H::Target: BlockPool,
    T: BlockByte,
{
    if blocks.try_reserve(count).is_err() {
        let requested = count.saturating_mul(mem::size_of::<Block<H, T>>());
        let align = mem::align_of::<Block<H, T>>();
        return Err(AllocError::out_of_memory(requested, align, mem::size_of_val(&**blocks)));
    }
    let mut taken = Taken { keep: blocks.len(), blocks };
    pool.take_n(KEY, count, zeroed, |memory| {
        // SAFETY: the block has just been taken, and is zeroed if `T` is `u8`. The caller guarantees
        // the handle.
        taken.blocks.push(unsafe { Block::from_raw(handle.clone(), memory) });
    })
    .map_err(|error| error.of_blocks(count, taken.blocks.len() - taken.keep))?;
    taken.keep = usize::MAX;
    Ok(())
}

/// The blocks taken so far. Its drop gives them back if the pool has too few, or if the source
/// panics.
struct Taken<'v, B> {
    blocks: &'v mut Vec<B>,
    /// How many of `blocks` the drop keeps.
    keep: usize,
}

impl<B> Drop for Taken<'_, B> {
    fn drop(&mut self) {
        self.blocks.truncate(self.keep);
    }
}

/// Gives blocks back to `pool`. A block of another pool goes back to that pool.
pub(super) fn give_back<P, H, T>(pool: &P, blocks: impl IntoIterator<Item = Block<H, T>>)
where
    P: BlockPool,
    H: Deref<Target = P>,
    T: BlockByte,
{
    let ours = blocks.into_iter().filter_map(|block| {
        // A block of another pool is dropped here.
        ptr::eq(block.pool(), pool).then(|| block.parts().1.cast())
    });
    // SAFETY: these are blocks of this pool, and their handles are gone.
    unsafe { pool.give_back_n(KEY, ours) }
}

/// Takes `count` blocks with a function of the core, and calls `each` with each of them. `take`
/// gets an array for addresses, the number of blocks to take and an error record. It returns how
/// many blocks it has taken.
///
/// # Safety
///
/// - `take` writes as many addresses of blocks into the array as it returns. If it returns fewer
///   than it was asked for, it also writes the record; the budget in the record is null or alive.
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
            // SAFETY: the record is written, and the caller guarantees that the budget is alive.
            return Err(unsafe { AllocError::from_raw(error.assume_init_ref()) });
        }
        left -= want;
    }
    Ok(())
}

/// Gives blocks back with a function of the core. `free` gets an array of addresses and their
/// number.
///
/// # Safety
///
/// - `blocks` are blocks of the pool of `free` that are out, and nothing uses them again.
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

/// The blocks that are collected for the next call of `free`. Its drop gives them back, also when
/// the iterator that they come from panics.
struct Returning<F: Fn(*const *mut c_void, usize) -> ffi::aegis_status> {
    room: Room,
    len: usize,
    free: F,
}

impl<F: Fn(*const *mut c_void, usize) -> ffi::aegis_status> Returning<F> {
    fn flush(&mut self) {
        let len = mem::take(&mut self.len);
        let status = (self.free)(self.room.as_ptr().cast(), len);
        // A pool that was lost in a forked child process keeps its blocks.
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

/// The methods for several blocks, which are the same for all pools and for caches.
macro_rules! bulk_methods {
    ([$($generics:tt)*] $Pool:ty) => {
        impl $($generics)* $Pool {
            /// Takes `count` blocks of zeroes and appends them to `blocks`. It allocates nothing
            /// if `blocks` has room for them.
            ///
            /// # Errors
            ///
            /// As [`alloc`](Self::alloc) if the pool has too few blocks, and
            /// [`AllocError::OutOfMemory`] if `blocks` cannot grow. The blocks that were taken go
            /// back, and `blocks` is as it was before the call. The same happens when the source
            /// panics.
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
                // SAFETY: the blocks are zeroed, and the handle is a borrow of the pool.
                unsafe { super::bulk::append(self, &self, count, true, blocks) }
            }

            /// Takes `count` blocks without clearing them and appends them to `blocks`. It
            /// allocates nothing if `blocks` has room for them.
            ///
            /// # Errors
            ///
            /// As [`alloc_n`](Self::alloc_n).
            ///
            /// # Examples
            ///
            /// ```
            /// let pool = aegis_memory::pool::LockFreePool::new(4096, 64);
            /// let mut pages = Vec::new();
            /// pool.alloc_uninit_n(48, &mut pages)?;
            /// assert_eq!(pages.len(), 48);
            /// # Ok::<(), aegis_memory::AllocError>(())
            /// ```
            pub fn alloc_uninit_n<'a>(
                &'a self,
                count: usize,
                blocks: &mut alloc::vec::Vec<PoolBlock<'a, Self, MaybeUninit<u8>>>,
            ) -> Result<(), AllocError> {
                // SAFETY: `MaybeUninit<u8>` need not be initialised, and the handle is a borrow of the
                // pool.
                unsafe { super::bulk::append(self, &self, count, false, blocks) }
            }

            /// Gives several blocks back, for example those of a `drain(..)` of a `Vec`. A block of
            /// another pool goes back to that pool. Dropping the blocks does the same, one at a
            /// time.
            ///
            /// # Examples
            ///
            /// ```
            /// let pool = aegis_memory::pool::LockFreePool::new(4096, 64);
            /// let mut pages = Vec::new();
            /// pool.alloc_n(48, &mut pages)?;
            /// pool.free_n(pages.drain(8..));
            /// assert_eq!(pool.in_use(), 8);
            ///
            /// # Ok::<(), aegis_memory::AllocError>(())
            /// ```
            pub fn free_n<G, T>(&self, blocks: impl IntoIterator<Item = Block<G, T>>)
            where
                G: core::ops::Deref<Target = Self>,
                T: super::BlockByte,
            {
                super::bulk::give_back(self, blocks);
            }
        }
    };
}

pub(super) use bulk_methods;
