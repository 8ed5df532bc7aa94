// SPDX-License-Identifier: Apache-2.0
//! The pool for any number of threads, without a lock: a stack of block indices behind one atomic
//! word with a tag. The algorithm is described in `aegis_memory/lock_free_pool.h`.

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
use crate::error::AllocError;
use crate::sealed::{Key, KEY};
use crate::{ffi, unwind};

/// A pool for any number of threads, without a lock: `Send` and `Sync`.
///
/// Whatever other threads do, or wherever they are stopped, a thread that takes or gives back a
/// block gets on; only growth calls the source, which may lock. Threads that use it much take a
/// [`cache`](Self::cache) each.
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

// SAFETY: the functions of the core that `&self` leads to may be called from any thread, sources
// are `Send + Sync`, and budgets any thread's.
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
    #[inline]
    pub fn alloc_owned(self: &Arc<Self>) -> Result<OwnedPoolBlock<Self>, AllocError> {
        Block::zeroed(self.clone())
    }

    /// Blocks that the slabs held now promise: so many can be had, whatever lies in caches.
    pub fn capacity(&self) -> usize {
        // SAFETY: any thread may ask.
        unsafe { ffi::aegis_lock_free_pool_capacity(&self.raw) }
    }

    /// The pool's figures. They are counted, 4 bytes read for each block ever handed out: exact
    /// while no other thread uses the pool, else each block as it was at some moment of the call.
    pub fn stats(&self) -> PoolStats {
        // SAFETY: any thread may ask; the call writes the whole struct.
        unsafe { PoolStats::read(|stats| ffi::aegis_lock_free_pool_get_stats(&self.raw, stats)) }
    }

    /// Gives slabs at the end with no block out (owned, leaked or forgotten) back to the source.
    /// The first slab stays, and so does every slab that is needed to keep `keep_blocks` in all.
    pub fn trim(&mut self, keep_blocks: usize) {
        // SAFETY: `&mut self`: no other thread uses the pool or a cache of it.
        unwind::call(|| unsafe { ffi::aegis_lock_free_pool_trim(&self.raw, keep_blocks) });
    }

    /// The C struct, for C code to take blocks from, on any thread. The pointer is good while the
    /// pool is neither moved nor dropped.
    pub fn as_raw(&self) -> *const ffi::aegis_lock_free_pool {
        &self.raw
    }

    /// Takes a C pool over.
    ///
    /// # Safety
    ///
    /// - `raw` was made by `aegis_lock_free_pool_init` or [`into_raw`](Self::into_raw), and is not
    ///   finished.
    /// - Nobody else finishes this pool afterwards. C uses it, caches of it and its blocks not
    ///   during a call that takes this one by `&mut`, and not after the drop; it frees no block that
    ///   Rust has out.
    /// - What it was made with, the source's context for one, is good until this pool is dropped.
    ///   The source may be used from any thread.
    pub unsafe fn from_raw(raw: ffi::aegis_lock_free_pool) -> Self {
        Self { raw }
    }

    /// Borrows a pool that C owns.
    ///
    /// # Safety
    ///
    /// - `raw` points to a pool made by `aegis_lock_free_pool_init` that is neither moved, trimmed
    ///   nor finished while `'a` lasts, and its source may be used from any thread.
    /// - C frees no block that Rust has out.
    pub unsafe fn borrow_raw<'a>(raw: *const ffi::aegis_lock_free_pool) -> &'a Self {
        // SAFETY: `LockFreePool` is a transparent wrapper, and the caller vouches for the rest.
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
    /// How many caches may be open at a time. For each, 64 more blocks are set aside behind those
    /// of the first slab, so that the pool's capacity can be had whatever caches hold.
    ///
    /// The default is one for every 64 of `blocks`, but at most 16, and no more than leave room for
    /// the blocks asked for; and none in a pool with a budget, which is charged for what is set
    /// aside.
    pub fn caches(mut self, count: usize) -> Self {
        self.caches = Some(count);
        self
    }
}

impl Make for LockFreePool {
    unsafe fn make(_: Key, options: &ffi::aegis_pool_options, caches: usize) -> Option<Self> {
        let options = ffi::aegis_lock_free_pool_options {
            blocks: *options,
            max_cache_count: caches,
            // A block has one owner, a value that gives it back once.
            flags: ffi::AEGIS_POOL_NO_RACING_FREES,
        };
        // SAFETY: the call writes the whole struct, and the caller vouches for the options.
        let raw = unsafe { made(|raw| ffi::aegis_lock_free_pool_init(raw, &options)) }?;
        Some(Self { raw })
    }

    fn figures(&self, _: Key) -> PoolStats {
        self.stats()
    }

    fn shrink(&mut self, _: Key, keep_blocks: usize) {
        self.trim(keep_blocks);
    }
}

impl Drop for LockFreePool {
    fn drop(&mut self) {
        // SAFETY: nobody else uses the pool any more. Blocks that are still out, and caches that
        // are still open, were forgotten: their borrow of the pool has ended.
        unwind::call(|| unsafe { ffi::aegis_lock_free_pool_abandon(&mut self.raw) });
    }
}
