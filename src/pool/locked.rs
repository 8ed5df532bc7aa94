// SPDX-License-Identifier: Apache-2.0
//! The pool for any number of threads behind a lock, with a queue of threads that wait for a block.
//! `aegis_memory/locked_pool.h` describes the algorithm.

use alloc::sync::Arc;
use core::fmt;
use core::mem::{ManuallyDrop, MaybeUninit};
use core::ops::Deref;
use core::ptr::{self, NonNull};
use core::time::Duration;

use super::block::{Block, OwnedPoolBlock, Source};
use super::builder::{made, Make, PoolBuilder};
use super::bulk::bulk_methods;
use super::methods::pool_methods;
use super::one_owner::PoolBlock;
use super::shared::{call, shared_source};
use super::slab::PoolSlab;
use super::stats::PoolStats;
use crate::budget::{move_methods, MemoryBudget};
use crate::error::AllocError;
use crate::sealed::{Key, KEY};
use crate::{ffi, unwind};

/// A pool for any number of threads behind a lock: `Send` and `Sync`. Choose it if threads must
/// wait for blocks, or if slabs must be released while other threads use the pool.
///
/// After a fork the pool works in the child process too, unless another thread was inside a call of
/// the pool at the moment of the fork. Then the pool is lost in the child: requests fail with
/// [`AllocError::Forked`], and the statistics show no block and no slab.
///
/// # Examples
///
/// ```
/// use aegis_memory::pool::LockedPool;
/// use std::time::Duration;
///
/// let pool = LockedPool::new(4096, 1);
/// let page = pool.alloc()?;
/// std::thread::scope(|threads| {
///     threads.spawn(|| pool.alloc_timeout(Duration::from_secs(60)).expect("it is given back"));
///     drop(page);
/// });
/// # Ok::<(), aegis_memory::AllocError>(())
/// ```
#[repr(transparent)]
pub struct LockedPool {
    raw: ffi::aegis_locked_pool,
}

// SAFETY: any thread may call the functions of the core. Sources are `Send + Sync`, and any thread
// may use a budget.
unsafe impl Send for LockedPool {}
// SAFETY: as above.
unsafe impl Sync for LockedPool {}

pool_methods!(LockedPool, aegis_locked_pool, aegis_locked_pool_get_slab);

impl LockedPool {
    /// Takes a block of zeroes that keeps the pool alive.
    ///
    /// # Errors
    ///
    /// As [`alloc`](Self::alloc).
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::pool::LockedPool;
    /// use std::sync::Arc;
    /// let pool = Arc::new(LockedPool::new(4096, 8));
    /// let page = pool.alloc_owned()?;
    /// drop(pool);
    /// assert_eq!(page[0], 0, "the block keeps the pool");
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    #[inline]
    pub fn alloc_owned(self: &Arc<Self>) -> Result<OwnedPoolBlock<Self>, AllocError> {
        Block::zeroed(self.clone())
    }

    /// Takes a block of zeroes, and waits if none is free. Threads that wait get blocks in the
    /// order in which they began to wait. With `Duration::MAX` the call waits without a limit.
    ///
    /// # Errors
    ///
    /// As [`alloc`](Self::alloc), when the time is over. At that moment the call tries once more,
    /// and the error is that of this last attempt.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::pool::LockedPool;
    /// use std::time::Duration;
    /// let pool = LockedPool::new(4096, 1);
    /// let page = pool.alloc()?;
    /// std::thread::scope(|threads| {
    ///     let waits = threads.spawn(|| pool.alloc_timeout(Duration::from_secs(60)).is_ok());
    ///     drop(page);
    ///     assert!(waits.join().expect("no panic"));
    /// });
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn alloc_timeout(&self, timeout: Duration) -> Result<PoolBlock<'_, Self>, AllocError> {
        Ok(wait(self, timeout)?.cleared())
    }

    /// Takes a block without clearing it, and waits if none is free.
    ///
    /// # Errors
    ///
    /// As [`alloc_timeout`](Self::alloc_timeout).
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::pool::LockedPool;
    /// use std::time::Duration;
    /// let pool = LockedPool::new(4096, 1);
    /// let mut page = pool.alloc_uninit_timeout(Duration::MAX)?;
    /// page[0].write(7);
    /// assert!(pool.alloc_uninit_timeout(Duration::from_millis(1)).is_err());
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn alloc_uninit_timeout(
        &self,
        timeout: Duration,
    ) -> Result<PoolBlock<'_, Self, MaybeUninit<u8>>, AllocError> {
        wait(self, timeout)
    }

    /// Takes a block of zeroes that keeps the pool alive, and waits if none is free.
    ///
    /// # Errors
    ///
    /// As [`alloc_timeout`](Self::alloc_timeout).
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::pool::LockedPool;
    /// use std::sync::Arc;
    /// use std::time::Duration;
    /// let pool = Arc::new(LockedPool::new(4096, 1));
    /// let page = pool.alloc_owned_timeout(Duration::from_secs(60))?;
    /// drop(pool);
    /// assert_eq!(page[0], 0);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn alloc_owned_timeout(
        self: &Arc<Self>,
        timeout: Duration,
    ) -> Result<OwnedPoolBlock<Self>, AllocError> {
        Ok(wait(self.clone(), timeout)?.cleared())
    }

    /// Threads that wait for a block.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::pool::LockedPool;
    /// assert_eq!(LockedPool::new(4096, 8).waiting(), 0);
    /// ```
    pub fn waiting(&self) -> usize {
        // SAFETY: any thread may call it.
        unsafe { ffi::aegis_locked_pool_waiting(&self.raw) }
    }

    /// Blocks in the slabs that the pool holds now.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::pool::LockedPool;
    /// assert_eq!(LockedPool::new(4096, 8).capacity(), 8);
    /// ```
    pub fn capacity(&self) -> usize {
        self.stats().capacity
    }

    /// The pool's statistics, all from the same moment. Constant time.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::pool::LockedPool;
    /// let pool = LockedPool::new(4096, 8);
    /// let page = pool.alloc()?;
    /// assert_eq!(pool.stats().in_use, 1);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn stats(&self) -> PoolStats {
        // SAFETY: any thread may call it, and it writes the whole struct.
        unsafe { PoolStats::read(|stats| ffi::aegis_locked_pool_get_stats(&self.raw, stats)) }
    }

    /// Releases slabs that have no block out to the source, the last slab first. The first slab
    /// stays, and so does every slab that is needed to keep `keep_blocks` blocks in all.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::pool::LockedPool;
    /// let pool = LockedPool::builder().block_size(4096).blocks(16).max_blocks(64).build()?;
    /// let burst: Vec<_> = (0..64).map_while(|_| pool.alloc().ok()).collect();
    /// drop(burst);
    /// pool.trim(32);
    /// assert_eq!(pool.capacity(), 32);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn trim(&self, keep_blocks: usize) {
        // SAFETY: any thread may call it, and it leaves slabs with blocks out alone.
        unwind::call(|| unsafe { ffi::aegis_locked_pool_trim(&self.raw, keep_blocks) });
    }

    move_methods!(
        aegis_locked_pool_move_budget,
        (&mut) self => &self.raw,
        "all memory of the pool, and later slabs,"
    );

    /// The C struct, so that C code can take blocks from the pool, on any thread. The pointer is
    /// valid until the pool is moved or dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::pool::LockedPool;
    /// use aegis_memory::ffi;
    /// let pool = LockedPool::new(4096, 8);
    /// // SAFETY: the pool is alive, and any thread may call this.
    /// assert_eq!(unsafe { ffi::aegis_locked_pool_waiting(pool.as_raw()) }, 0);
    /// ```
    pub fn as_raw(&self) -> *const ffi::aegis_locked_pool {
        &self.raw
    }

    /// Takes over a C pool.
    ///
    /// # Safety
    ///
    /// - `raw` was made by `aegis_locked_pool_init` or [`into_raw`](Self::into_raw), and is not
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
    /// # use aegis_memory::pool::LockedPool;
    /// let raw = LockedPool::new(4096, 8).into_raw();
    /// // SAFETY: the struct is used for this only.
    /// let pool = unsafe { LockedPool::from_raw(raw) };
    /// assert_eq!(pool.capacity(), 8);
    /// ```
    pub unsafe fn from_raw(raw: ffi::aegis_locked_pool) -> Self {
        Self { raw }
    }

    /// Borrows a pool that C owns.
    ///
    /// # Safety
    ///
    /// - `raw` points to a pool made by `aegis_locked_pool_init`. The pool is not moved or finished
    ///   while `'a` lasts, and its source may be used from any thread.
    /// - C code frees no block that Rust has out.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::pool::LockedPool;
    /// let pool = LockedPool::new(4096, 8);
    /// // SAFETY: the pool is not moved or finished while `same` is used.
    /// let same = unsafe { LockedPool::borrow_raw(pool.as_raw()) };
    /// assert_eq!(same.capacity(), 8);
    ///
    /// ```
    pub unsafe fn borrow_raw<'a>(raw: *const ffi::aegis_locked_pool) -> &'a Self {
        // SAFETY: `LockedPool` is a transparent wrapper, and the caller guarantees the rest.
        unsafe { &*raw.cast::<Self>() }
    }
}

/// Takes a block, and waits if none is free.
pub(super) fn wait<H>(pool: H, timeout: Duration) -> Result<Block<H, MaybeUninit<u8>>, AllocError>
where
    H: Deref<Target = LockedPool>,
{
    let timeout_ns = ffi::nanoseconds(timeout);
    // SAFETY: any thread may call it. It writes the record on failure, and the pool keeps the
    // budget alive.
    let memory = unsafe {
        call(|error| ffi::aegis_locked_pool_alloc_timeout(&pool.raw, timeout_ns, error))
    }?;
    // SAFETY: the block has just been taken, and `MaybeUninit<u8>` need not be initialised.
    Ok(unsafe { Block::from_raw(pool, memory) })
}

shared_source!(LockedPool {
    alloc: aegis_locked_pool_alloc,
    alloc_zeroed: aegis_locked_pool_alloc_zeroed,
    alloc_n: aegis_locked_pool_alloc_n,
    free: aegis_locked_pool_free,
    free_n: aegis_locked_pool_free_n,
    index_of: aegis_locked_pool_index_of,
});

impl Make for LockedPool {
    unsafe fn make(
        _: Key,
        options: &ffi::aegis_pool_options,
        _caches: Option<usize>,
    ) -> Option<Self> {
        // SAFETY: the call writes the whole struct, and the caller guarantees valid options.
        let raw = unsafe { made(|raw| ffi::aegis_locked_pool_init(raw, options)) }?;
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

impl Drop for LockedPool {
    fn drop(&mut self) {
        // SAFETY: no other code uses the pool any more. Blocks that are still out were forgotten:
        // their borrow of the pool has ended.
        unwind::call(|| unsafe { ffi::aegis_locked_pool_abandon(&mut self.raw) });
    }
}
