// SPDX-License-Identifier: Apache-2.0
//! The pool for any number of threads, without a lock: a stack of block indices behind one atomic
//! word with a tag. The algorithm is described in `aegis_memory/lock_free_pool.h`.

use alloc::sync::Arc;
use core::fmt;
use core::mem::{size_of, ManuallyDrop, MaybeUninit};
use core::ptr::{self, NonNull};

use super::block::{Block, OwnedPoolBlock, PoolBlock, Source};
use super::builder::{Make, PoolBuilder};
use super::bulk::{bulk_methods, give_back_by_batch, take_by_batch};
use super::methods::pool_methods;
use super::{PoolCache, PoolSlab, PoolStats};
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
    /// Caches of a pool that was not told how many: their reserves at most double it, and take
    /// neither numbers nor room from the blocks that it was asked for.
    pub(super) fn default_caches(
        blocks: usize,
        max_blocks: usize,
        block_size: usize,
        align: usize,
    ) -> usize {
        const RESERVE: usize = ffi::AEGIS_POOL_CACHE_BLOCKS as usize;
        // What a block takes at most: a checker of memory has a gap behind each.
        let stride = block_size.saturating_add(align).saturating_add(16);
        let in_slab = (isize::MAX as usize).saturating_sub(align.max(4096)) / stride;
        // A link beside each block. What else lies there does not take half of the address space.
        let beside = isize::MAX as usize / 2 / size_of::<u32>();
        let numbers = (ffi::AEGIS_POOL_MAX_BLOCKS as usize).min(beside.max(max_blocks));
        let room = in_slab.saturating_sub(blocks).min(numbers.saturating_sub(max_blocks));
        (blocks / RESERVE).min(16).min(room / RESERVE)
    }

    /// Takes a block of zeroes that keeps the pool alive.
    ///
    /// # Errors
    ///
    /// As [`alloc`](Self::alloc).
    #[inline]
    pub fn alloc_owned(self: &Arc<Self>) -> Result<OwnedPoolBlock<Self>, AllocError> {
        Block::zeroed(self.clone())
    }

    /// A cache of up to 64 free blocks in front of the pool, for one thread.
    ///
    /// When all caches that the pool was [made for](PoolBuilder::caches) are open, this one holds
    /// no blocks and passes every call to the pool: see [`PoolCache::is_open`].
    pub fn cache(&self) -> PoolCache<'_> {
        PoolCache::new(self)
    }

    /// Blocks that the slabs held now promise: so many can be had, whatever lies in caches.
    pub fn capacity(&self) -> usize {
        // SAFETY: any thread may ask.
        unsafe { ffi::aegis_lock_free_pool_capacity(&self.raw) }
    }

    /// The pool's figures. They are counted, 4 bytes read for each block ever handed out: exact
    /// while no other thread uses the pool, else each block as it was at some moment of the call.
    pub fn stats(&self) -> PoolStats {
        let mut raw = MaybeUninit::<ffi::aegis_pool_stats>::uninit();
        // SAFETY: any thread may ask; the call writes the whole struct.
        let raw = unsafe {
            ffi::aegis_lock_free_pool_get_stats(&self.raw, raw.as_mut_ptr());
            raw.assume_init()
        };
        PoolStats::from_raw(&raw)
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

impl Source for LockFreePool {
    #[inline]
    fn take(&self, _: Key, zeroed: bool) -> Result<NonNull<u8>, AllocError> {
        let mut error = MaybeUninit::<ffi::aegis_error>::uninit();
        let function = if zeroed {
            ffi::aegis_lock_free_pool_alloc_zeroed
        } else {
            ffi::aegis_lock_free_pool_alloc
        };
        let memory = unwind::call_keeping(ffi::is_some, || {
            // SAFETY: any thread may ask; the record is only written.
            unsafe { function(&self.raw, error.as_mut_ptr()) }
        });
        match NonNull::new(memory.cast()) {
            Some(memory) => Ok(memory),
            // SAFETY: the record is written on failure, and the pool holds the budget.
            None => Err(unsafe { AllocError::from_raw(error.assume_init_ref()) }),
        }
    }

    #[inline]
    unsafe fn give_back(&self, _: Key, memory: NonNull<u8>) {
        // SAFETY: any thread may give back; the core checks the block.
        let status = unsafe { ffi::aegis_lock_free_pool_free(&self.raw, memory.as_ptr().cast()) };
        debug_assert_eq!(status, ffi::AEGIS_OK as ffi::aegis_status, "a block that was not out");
    }

    fn take_n(
        &self,
        _: Key,
        count: usize,
        zeroed: bool,
        mut each: impl FnMut(NonNull<u8>),
    ) -> Result<(), AllocError> {
        let take = |room, count, error| {
            // SAFETY: any thread may ask; there is room for so many, and the record is only written.
            unsafe { ffi::aegis_lock_free_pool_alloc_n(&self.raw, room, count, error) }
        };
        let each = |memory: NonNull<u8>| {
            if zeroed {
                // SAFETY: the block is ours and that large.
                unsafe { memory.as_ptr().write_bytes(0, self.block_size()) };
            }
            each(memory);
        };
        // SAFETY: the function is the core's, and the pool holds the budget.
        unsafe { take_by_batch(count, take, each) }
    }

    unsafe fn give_back_n(&self, _: Key, blocks: impl Iterator<Item = NonNull<u8>>) {
        // SAFETY: the caller vouches for the blocks, and any thread may give them back.
        unsafe {
            give_back_by_batch(blocks, |room, count| {
                ffi::aegis_lock_free_pool_free_n(&self.raw, room, count)
            });
        }
    }

    fn index_of(&self, _: Key, memory: NonNull<u8>) -> usize {
        let mut index = usize::MAX;
        let memory = memory.as_ptr().cast();
        // SAFETY: compares the address, and writes the index if it is one.
        unsafe { ffi::aegis_lock_free_pool_index_of(&self.raw, memory, &mut index) };
        index
    }

    #[inline(always)]
    fn block_bytes(&self, _: Key) -> usize {
        self.raw.block_bytes
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
        let mut raw = MaybeUninit::<ffi::aegis_lock_free_pool>::uninit();
        // SAFETY: `raw` is memory for the struct, and the caller vouches for the options.
        let status = unsafe { ffi::aegis_lock_free_pool_init(raw.as_mut_ptr(), &options) };
        // SAFETY: the call has written the whole struct.
        let raw = unsafe { raw.assume_init() };
        (status == ffi::AEGIS_OK as ffi::aegis_status).then(|| Self { raw })
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
