// SPDX-License-Identifier: Apache-2.0
//! The pool with one owner.
//!
//! Its fast path is that of `aegis_pool_alloc` and `aegis_pool_free` in C. It is written again here
//! over the same fields, so that it inlines. `tests/pool/fast_path.rs` checks that both do the
//! same. The one difference: a free neither looks for a double free, which the types make
//! impossible, nor enters the block's position, which only such a search needs.

use alloc::rc::Rc;
use core::fmt;
use core::mem::{ManuallyDrop, MaybeUninit};
use core::ptr::{self, NonNull};

use super::block::{Block, Source};
use super::builder::{made, Make, PoolBuilder};
use super::bulk::bulk_methods;
use super::methods::pool_methods;
use super::slab::PoolSlab;
use super::stats::PoolStats;
use crate::budget::{move_methods, MemoryBudget};
use crate::error::AllocError;
use crate::sealed::{Key, KEY};
use crate::unshared::Unshared;
use crate::{ffi, unwind};

/// A pool with one owner. It is `Send` but not `Sync`: it can move to another thread, and threads
/// cannot share it. Its blocks return to it, so they stay on its thread.
///
/// Threads that share a pool use a [`LockFreePool`](super::LockFreePool), each with its own
/// [`PoolCache`](super::PoolCache), or a [`LockedPool`](super::LockedPool), in which a thread can
/// wait for a block. These have the same methods, so the name of the type is what changes:
///
/// ```compile_fail,E0277
/// let pool = aegis_memory::pool::Pool::new(64, 4);
/// std::thread::scope(|threads| {
///     threads.spawn(|| pool.alloc().is_ok());
/// });
/// ```
///
/// ```
/// let pool = aegis_memory::pool::LockFreePool::new(64, 4);
/// std::thread::scope(|threads| {
///     threads.spawn(|| pool.alloc().is_ok());
/// });
/// ```
///
/// # Examples
///
/// ```
/// use aegis_memory::pool::Pool;
///
/// let pool = Pool::builder().block_size(4096).blocks(64).max_blocks(256).align(4096).build()?;
/// let pages = (0..100).map(|_| pool.alloc()).collect::<Result<Vec<_>, _>>()?;
/// assert_eq!((pages.len(), pool.capacity()), (100, 128));
/// # Ok::<(), aegis_memory::AllocError>(())
/// ```
#[repr(transparent)]
pub struct Pool {
    raw: Unshared<ffi::aegis_pool>,
}

/// A block borrowed from a pool `P`. It derefs to its bytes and returns itself when it is dropped.
///
/// `T`, a [`BlockByte`](super::BlockByte), is `u8`, or `MaybeUninit<u8>` when the content is
/// undefined. A block of a pool that threads share can be sent to another thread, and can return to
/// the pool from there.
///
/// # Examples
///
/// ```
/// use aegis_memory::pool::{Pool, PoolBlock};
///
/// let pool = Pool::new(4096, 8);
/// let mut page: PoolBlock<'_> = pool.alloc()?;
/// page[..4].copy_from_slice(b"data");
/// # Ok::<(), aegis_memory::AllocError>(())
/// ```
///
/// A block cannot outlive its pool:
///
/// ```compile_fail,E0505
/// let pool = aegis_memory::pool::Pool::new(64, 4);
/// let mut block = pool.alloc().unwrap();
/// drop(pool);
/// block[0] = 1;
/// ```
// It is defined here, also for the pools of other files, because `Pool` is its default.
pub type PoolBlock<'a, P = Pool, T = u8> = Block<&'a P, T>;

// SAFETY: the pool owns its slabs, and nothing in it is bound to a thread: sources are
// `Send + Sync`, and any thread may use a budget. The pool is not `Sync`, because it takes blocks
// through `&self` without synchronisation; `Unshared` makes it so.
#[cfg(aegis_threads)]
unsafe impl Send for Pool {}

pool_methods!(Pool, aegis_pool, aegis_pool_get_slab);

impl Pool {
    /// Takes a block of zeroes that keeps the pool alive.
    ///
    /// # Errors
    ///
    /// As [`alloc`](Self::alloc).
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::pool::Pool;
    /// use std::rc::Rc;
    /// let pool = Rc::new(Pool::new(4096, 8));
    /// let page = pool.alloc_owned()?;
    /// drop(pool);
    /// assert_eq!(page[0], 0, "the block keeps the pool");
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    #[inline]
    pub fn alloc_owned(self: &Rc<Self>) -> Result<Block<Rc<Self>>, AllocError> {
        Block::zeroed(self.clone())
    }

    /// Blocks in the slabs that the pool holds now.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::pool::Pool;
    /// assert_eq!(Pool::new(4096, 8).capacity(), 8);
    /// ```
    #[inline]
    pub fn capacity(&self) -> usize {
        // SAFETY: the struct is initialised, and ours because `Pool` is not `Sync`.
        unsafe { (*self.as_raw()).capacity }
    }

    /// The pool's statistics. Constant time.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::pool::Pool;
    /// let pool = Pool::new(4096, 8);
    /// let page = pool.alloc()?;
    /// assert_eq!(pool.stats().in_use, 1);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn stats(&self) -> PoolStats {
        // SAFETY: the call reads the pool, which is ours, and writes the whole struct.
        unsafe { PoolStats::read(|stats| ffi::aegis_pool_get_stats(self.as_raw(), stats)) }
    }

    /// Releases slabs that have no block out to the source, the last slab first. The first slab
    /// stays, and so does every slab that is needed to keep `keep_blocks` blocks in all.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::pool::Pool;
    /// let pool = Pool::builder().block_size(4096).blocks(16).max_blocks(64).build()?;
    /// let burst: Vec<_> = (0..64).map_while(|_| pool.alloc().ok()).collect();
    /// drop(burst);
    /// pool.trim(32);
    /// assert_eq!(pool.capacity(), 32);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn trim(&self, keep_blocks: usize) {
        // SAFETY: the pool is ours, and the call leaves slabs with blocks out alone.
        unwind::call(|| unsafe { ffi::aegis_pool_trim(self.as_raw(), keep_blocks) });
    }

    move_methods!(
        aegis_pool_move_budget,
        (&) self => self.as_raw(),
        "all memory of the pool, and later slabs,"
    );

    /// The C struct, so that C code can take blocks from the pool. The pointer is valid until the
    /// pool is moved or dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::pool::Pool;
    /// use aegis_memory::ffi;
    /// let pool = Pool::new(4096, 8);
    /// // SAFETY: the pool is alive, and this thread owns it.
    /// let block = unsafe { ffi::aegis_pool_alloc(pool.as_raw()) };
    /// assert!(!block.is_null());
    /// ```
    pub fn as_raw(&self) -> *mut ffi::aegis_pool {
        self.raw.get()
    }

    /// Takes over a C pool.
    ///
    /// # Safety
    ///
    /// - `raw` was made by `aegis_pool_init` or [`into_raw`](Self::into_raw), and is not finished.
    /// - No other code uses or finishes this pool afterwards through any copy of the struct. No
    ///   code uses a block of it after this pool is dropped.
    /// - What the pool was made with, for example the source's context, is valid until this pool is
    ///   dropped. The source may be used from any thread.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::pool::Pool;
    /// let raw = Pool::new(4096, 8).into_raw();
    /// // SAFETY: the struct is used for this only.
    /// let pool = unsafe { Pool::from_raw(raw) };
    /// assert_eq!(pool.capacity(), 8);
    /// ```
    pub unsafe fn from_raw(raw: ffi::aegis_pool) -> Self {
        Self { raw: Unshared::new(raw) }
    }

    /// Borrows a pool that C owns.
    ///
    /// # Safety
    ///
    /// - `raw` points to a pool made by `aegis_pool_init`, which is not moved or finished while
    ///   `'a` lasts. So its source does not use it in this way while it is being finished.
    /// - No other thread uses it while `'a` lasts, and C code frees no block that Rust has out.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::pool::Pool;
    /// let pool = Pool::new(4096, 8);
    /// // SAFETY: the pool is not moved or finished while `same` is used.
    /// let same = unsafe { Pool::borrow_raw(pool.as_raw()) };
    /// assert_eq!(same.capacity(), 8);
    ///
    /// ```
    pub unsafe fn borrow_raw<'a>(raw: *mut ffi::aegis_pool) -> &'a Self {
        // SAFETY: `Pool` is a transparent wrapper, and the caller guarantees the rest.
        unsafe { &*raw.cast::<Self>() }
    }

    /// Takes the free block on top of the stack, unless a checker watches.
    #[inline(always)]
    fn pop(&self) -> Option<NonNull<u8>> {
        let raw = self.as_raw();
        // SAFETY: the struct is initialised, and ours because `Pool` is not `Sync`.
        let top = unsafe { (*raw).top };
        // SAFETY: NULL stands below the stack of a pool that is not finished.
        let below = unsafe { top.sub(1) };
        // SAFETY: as above.
        let block = NonNull::new(unsafe { *below }.cast())?;
        // SAFETY: the stack has this block.
        unsafe { (*raw).top = below };
        Some(block)
    }

    /// The slow path: for blocks that were never handed out, for later slabs and for growth. If
    /// there is no block, a panic of the source continues here.
    #[cold]
    #[inline(never)]
    fn take_slow(&self, zeroed: bool) -> Result<NonNull<u8>, AllocError> {
        let memory = unwind::call_keeping(ffi::is_some, || {
            // SAFETY: the pool is ours.
            unsafe { ffi::aegis_pool_alloc_slow(self.as_raw(), zeroed) }
        });
        NonNull::new(memory.cast()).ok_or_else(|| self.refusal())
    }

    /// Why the core has just returned NULL.
    fn refusal(&self) -> AllocError {
        let mut error = MaybeUninit::<ffi::aegis_error>::uninit();
        // SAFETY: the call reads the pool and writes the whole record.
        unsafe { ffi::aegis_pool_last_error(self.as_raw(), error.as_mut_ptr()) };
        // SAFETY: the record is written, and the pool keeps the budget alive.
        unsafe { AllocError::from_raw(error.assume_init_ref()) }
    }

    /// Puts a block where the position of each block is still entered. From this height upwards it
    /// is not entered any more, unless a checker watches, which the core must tell of each block.
    #[cold]
    #[inline(never)]
    fn put_slow(&self, memory: NonNull<u8>) {
        let raw = self.as_raw();
        // SAFETY: the pool is ours; the core checks the block.
        let status = unsafe { ffi::aegis_pool_free_slow(raw, memory.as_ptr().cast()) };
        debug_assert_eq!(status, ffi::AEGIS_OK as ffi::aegis_status, "a block that was not out");
        // SAFETY: the struct is initialised, and ours because `Pool` is not `Sync`.
        let (top, bottom) = unsafe { ((*raw).top, (*raw).free_blocks) };
        // When a checker watches, the inline functions see an empty stack.
        if top != bottom {
            // SAFETY: as above, and the block lies below the top.
            unsafe { (*raw).placed = top.sub(1) };
        }
    }
}

impl Source for Pool {
    #[inline(always)]
    fn take(&self, _: Key, zeroed: bool) -> Result<NonNull<u8>, AllocError> {
        let Some(memory) = self.pop() else {
            return self.take_slow(zeroed);
        };
        if zeroed {
            // SAFETY: the block is ours, and has that many bytes.
            unsafe { memory.as_ptr().write_bytes(0, self.block_size()) };
        }
        Ok(memory)
    }

    #[inline(always)]
    unsafe fn give_back(&self, _: Key, memory: NonNull<u8>) {
        let raw = self.as_raw();
        // SAFETY: the struct is initialised, and ours because `Pool` is not `Sync`.
        let (top, placed) = unsafe { ((*raw).top, (*raw).placed) };
        if top < placed {
            return self.put_slow(memory);
        }
        // SAFETY: the block is out, so the stack has room for it.
        unsafe { *top = memory.as_ptr().cast() };
        // SAFETY: as above.
        unsafe { (*raw).top = top.add(1) };
    }

    fn index_of(&self, _: Key, memory: NonNull<u8>) -> usize {
        let mut index = usize::MAX;
        // SAFETY: the call reads the pool and compares the address. It writes the index if the
        // address is that of a block.
        unsafe { ffi::aegis_pool_index_of(self.as_raw(), memory.as_ptr().cast(), &mut index) };
        index
    }

    #[inline(always)]
    fn block_bytes(&self, _: Key) -> usize {
        // SAFETY: the struct is initialised, and this field is never written again.
        unsafe { (*self.as_raw()).slabs.block_bytes }
    }

    #[inline(always)]
    fn block_align(&self, _: Key) -> usize {
        // SAFETY: as in `block_bytes`.
        unsafe { (*self.as_raw()).slabs.align_bytes }
    }
}

impl Make for Pool {
    unsafe fn make(
        _: Key,
        options: &ffi::aegis_pool_options,
        _caches: Option<usize>,
    ) -> Option<Self> {
        // SAFETY: the call writes the whole struct, and the caller guarantees valid options.
        let raw = unsafe { made(|raw| ffi::aegis_pool_init(raw, options)) }?;
        Some(Self { raw: Unshared::new(raw) })
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

impl Drop for Pool {
    fn drop(&mut self) {
        // SAFETY: the pool is ours, and nothing uses it again. Blocks that are still out were
        // forgotten: their borrow of the pool has ended.
        unwind::call(|| unsafe { ffi::aegis_pool_abandon(self.as_raw()) });
    }
}
