// SPDX-License-Identifier: Apache-2.0
//! The pool for any number of threads, without a lock. Free blocks lie on a stack of block indices,
//! and one atomic word holds the top index and a tag. `aegis_memory/lock_free_pool.h` describes the
//! algorithm.

use alloc::sync::Arc;
use core::fmt;
use core::mem::{ManuallyDrop, MaybeUninit};
use core::ptr::{self, NonNull};

use super::block::{Block, OwnedPoolBlock, Source};
use super::builder::{made, Make, PoolBuilder};
use super::bulk::bulk_methods;
use super::methods::pool_methods;
use super::one_owner::PoolBlock;
use super::shared::shared_source;
use super::slab::PoolSlab;
use super::stats::PoolStats;
use crate::budget::{move_methods, MemoryBudget};
use crate::error::AllocError;
use crate::sealed::{Key, KEY};
use crate::{ffi, unwind};

/// A pool for any number of threads, without a lock: `Send` and `Sync`.
///
/// Whatever other threads do, and wherever they are stopped, some thread that takes a block or
/// gives one back makes progress. The only exception is growth, which calls the source, and the
/// source may lock. A thread that uses the pool much should make a [`cache`](Self::cache) of its
/// own.
///
/// # Examples
///
/// ```
/// use aegis_memory::pool::LockFreePool;
///
/// let pool = LockFreePool::new(4096, 1024);
/// std::thread::scope(|threads| {
///     for _ in 0..4 {
///         threads.spawn(|| {
///             let cache = pool.cache();
///             for _ in 0..1000 {
///                 let mut page = cache.alloc().expect("1024 blocks are enough for 4 threads");
///                 page[0] = 1;
///             }
///         });
///     }
/// });
/// assert_eq!(pool.in_use(), 0);
/// ```
#[repr(transparent)]
pub struct LockFreePool {
    raw: ffi::aegis_lock_free_pool,
}

// SAFETY: any thread may call the functions of the core that methods with `&self` use. Sources are
// `Send + Sync`, and any thread may use a budget.
unsafe impl Send for LockFreePool {}
// SAFETY: as above.
unsafe impl Sync for LockFreePool {}

pool_methods!(LockFreePool, aegis_lock_free_pool, aegis_lock_free_pool_get_slab);

impl LockFreePool {
    /// Takes a block of zeroes that keeps the pool alive.
    ///
    /// # Errors
    ///
    /// As [`alloc`](Self::alloc).
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::pool::LockFreePool;
    /// use std::sync::Arc;
    /// let pool = Arc::new(LockFreePool::new(4096, 8));
    /// let page = pool.alloc_owned()?;
    /// drop(pool);
    /// assert_eq!(page[0], 0, "the block keeps the pool");
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    #[inline]
    pub fn alloc_owned(self: &Arc<Self>) -> Result<OwnedPoolBlock<Self>, AllocError> {
        Block::zeroed(self.clone())
    }

    /// Blocks that can be out at a time with the slabs that the pool holds now, however many free
    /// blocks lie in caches.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::pool::LockFreePool;
    /// assert_eq!(LockFreePool::new(4096, 8).capacity(), 8);
    /// ```
    pub fn capacity(&self) -> usize {
        // SAFETY: any thread may call it.
        unsafe { ffi::aegis_lock_free_pool_capacity(&self.raw) }
    }

    /// The pool's statistics. The call counts the blocks: it reads 4 bytes for each block that was
    /// ever handed out. The statistics are exact while no other thread uses the pool. Else each
    /// block is counted as it was at some moment during the call.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::pool::LockFreePool;
    /// let pool = LockFreePool::new(4096, 8);
    /// let page = pool.alloc()?;
    /// assert_eq!(pool.stats().in_use, 1);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn stats(&self) -> PoolStats {
        // SAFETY: any thread may call it, and it writes the whole struct.
        unsafe { PoolStats::read(|stats| ffi::aegis_lock_free_pool_get_stats(&self.raw, stats)) }
    }

    /// Releases slabs that have no block out (owned, leaked or forgotten) and none in a cache to the
    /// source, the last slab first. The first slab stays, and so does every slab that is needed to
    /// keep `keep_blocks` blocks in all. The budget is credited before the call returns.
    ///
    /// Other threads may take blocks and give them back meanwhile. The trim first sorts the free
    /// blocks. During that time a thread that finds no other block free waits. Of several trims at a
    /// time, those that find another one sorting do nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::pool::LockFreePool;
    ///
    /// let pool = LockFreePool::builder().block_size(4096).blocks(16).max_blocks(64).build()?;
    /// let burst: Vec<_> = (0..64).map_while(|_| pool.alloc().ok()).collect();
    /// drop(burst);
    /// pool.trim(32);
    /// assert_eq!(pool.capacity(), 32);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn trim(&self, keep_blocks: usize) {
        // SAFETY: any thread may call it, and it leaves slabs with blocks out or in caches alone.
        unwind::call(|| unsafe { ffi::aegis_lock_free_pool_trim(&self.raw, keep_blocks) });
    }

    move_methods!(
        aegis_lock_free_pool_move_budget,
        (&mut) self => &self.raw,
        "all memory of the pool, and later slabs,"
    );
    /// Releases slabs of which no block has been out or in a cache since the latest call, as
    /// [`trim`](Self::trim) does. A server that calls it every minute decays to what it needs. The
    /// first slab stays.
    ///
    /// The blocks of slabs that are not used are set aside: they are handed out only when no other
    /// block is free. So a slab that is not needed stays idle, and the next call releases it.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::pool::LockFreePool;
    /// let pool = LockFreePool::builder().block_size(4096).blocks(16).max_blocks(64).build()?;
    /// let burst: Vec<_> = (0..64).map_while(|_| pool.alloc().ok()).collect();
    /// drop(burst);
    /// pool.trim_idle(); // blocks of all slabs were out since the beginning
    /// pool.trim_idle();
    /// assert_eq!(pool.capacity(), 16);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn trim_idle(&self) {
        // SAFETY: as for `trim`.
        unwind::call(|| unsafe { ffi::aegis_lock_free_pool_trim_idle(&self.raw) });
    }

    /// The C struct, so that C code can take blocks from the pool, on any thread. The pointer is
    /// valid until the pool is moved or dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::pool::LockFreePool;
    /// use aegis_memory::ffi;
    /// let pool = LockFreePool::new(4096, 8);
    /// // SAFETY: the pool is alive, and any thread may call this.
    /// assert_eq!(unsafe { ffi::aegis_lock_free_pool_capacity(pool.as_raw()) }, 8);
    /// ```
    pub fn as_raw(&self) -> *const ffi::aegis_lock_free_pool {
        &self.raw
    }

    /// Takes over a C pool.
    ///
    /// # Safety
    ///
    /// - `raw` was made by `aegis_lock_free_pool_init` or [`into_raw`](Self::into_raw), and is not
    ///   finished.
    /// - No other code finishes this pool afterwards. C code does not use the pool, a cache of it
    ///   or a block of it during a call that takes this pool by `&mut`, or after its drop. C code
    ///   frees no block that Rust has out.
    /// - What the pool was made with, for example the source's context, is valid until this pool is
    ///   dropped. The source may be used from any thread.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::pool::LockFreePool;
    /// let raw = LockFreePool::new(4096, 8).into_raw();
    /// // SAFETY: the struct is used for this only.
    /// let pool = unsafe { LockFreePool::from_raw(raw) };
    /// assert_eq!(pool.capacity(), 8);
    /// ```
    pub unsafe fn from_raw(raw: ffi::aegis_lock_free_pool) -> Self {
        Self { raw }
    }

    /// Borrows a pool that C owns.
    ///
    /// # Safety
    ///
    /// - `raw` points to a pool made by `aegis_lock_free_pool_init`. The pool is not moved or
    ///   finished while `'a` lasts, and its source may be used from any thread.
    /// - C code frees no block that Rust has out.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::pool::LockFreePool;
    /// let pool = LockFreePool::new(4096, 8);
    /// // SAFETY: the pool is not moved or finished while `same` is used.
    /// let same = unsafe { LockFreePool::borrow_raw(pool.as_raw()) };
    /// assert_eq!(same.capacity(), 8);
    /// ```
    pub unsafe fn borrow_raw<'a>(raw: *const ffi::aegis_lock_free_pool) -> &'a Self {
        // SAFETY: `LockFreePool` is a transparent wrapper, and the caller guarantees the rest.
        unsafe { &*raw.cast::<Self>() }
    }
}

shared_source!(LockFreePool {
    alloc: aegis_lock_free_pool_alloc,
    alloc_zeroed: aegis_lock_free_pool_alloc_zeroed,
    alloc_n: aegis_lock_free_pool_alloc_n,
    free: aegis_lock_free_pool_free,
    free_n: aegis_lock_free_pool_free_n,
    index_of: aegis_lock_free_pool_index_of,
});

impl PoolBuilder<LockFreePool> {
    /// How many caches can be open at a time. For each of them, the pool reserves 64 more blocks
    /// behind those of the first slab. So the pool can hand out as many blocks as its capacity,
    /// however many free blocks lie in caches. The pool is made for exactly `count` caches. If the
    /// budget or the source refuses their reserves, [`build`](Self::build) fails. More than 65,536
    /// caches are refused as [`AllocError::Invalid`].
    ///
    /// Without this call, the pool has twice as many caches as there are processors, or 16 if that
    /// is more. It has fewer, or none, where they do not fit:
    ///
    /// - All caches together add at most a quarter to the bytes that the pool acquires when it is
    ///   built. So there is one cache for about every 256 of `blocks`, or 280 if a block has 64 bytes,
    ///   and none in a pool of fewer.
    /// - A [`budget`](Self::budget) must have room for them when the pool is built. If it has room
    ///   for all `max_blocks` blocks, it keeps that room.
    /// - If the source refuses them, the pool asks again with fewer.
    ///
    /// [`PoolStats::max_cache_count`] tells the number, and [`PoolStats::cache_reserve_bytes`] what
    /// it costs.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::pool::LockFreePool;
    /// let pool = LockFreePool::builder().block_size(64).blocks(100).caches(4).build()?;
    /// assert_eq!(pool.stats().max_cache_count, 4);
    ///
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn caches(mut self, count: usize) -> Self {
        self.caches = Some(count);
        self
    }
}

impl Make for LockFreePool {
    unsafe fn make(
        _: Key,
        options: &ffi::aegis_pool_options,
        caches: Option<usize>,
    ) -> Option<Self> {
        let fit = if caches.is_none() { ffi::AEGIS_POOL_FIT_CACHES } else { 0 };
        let options = ffi::aegis_lock_free_pool_options {
            blocks: *options,
            max_cache_count: caches.unwrap_or(0),
            // A block has one handle, which gives it back once.
            flags: ffi::AEGIS_POOL_NO_RACING_FREES | fit,
        };
        // SAFETY: the call writes the whole struct, and the caller guarantees valid options.
        let raw = unsafe { made(|raw| ffi::aegis_lock_free_pool_init(raw, &options)) }?;
        Some(Self { raw })
    }

    fn figures(&self, _: Key) -> PoolStats {
        self.stats()
    }

    fn shrink(&self, _: Key, keep_blocks: usize) {
        self.trim(keep_blocks);
    }

    fn relocate(&mut self, _: Key, budget: Option<&MemoryBudget>) -> Result<(), AllocError> {
        self.try_move_to(budget)
    }
}

impl Drop for LockFreePool {
    fn drop(&mut self) {
        // SAFETY: no other code uses the pool any more. Blocks that are still out, and caches that
        // are still open, were forgotten: their borrow of the pool has ended.
        unwind::call(|| unsafe { ffi::aegis_lock_free_pool_abandon(&mut self.raw) });
    }
}
