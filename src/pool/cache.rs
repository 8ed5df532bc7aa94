// SPDX-License-Identifier: Apache-2.0
//! The cache of one thread in front of a lock-free pool.
//!
//! Its fast path is that of `aegis_pool_cache_alloc` and `aegis_pool_cache_free` in C. It is
//! written again here over the same fields, so that it inlines. `tests/pool/fast_path.rs` checks
//! that both do the same.
//!
//! The file is longer than 500 lines, because each method has an example.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::mem::MaybeUninit;
use core::ops::Deref;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

use super::block::{Block, BlockByte, OwnedPoolBlock, Source};
use super::bulk::bulk_methods;
use super::lock_free::LockFreePool;
use super::one_owner::PoolBlock;
use super::slab::find;
use crate::error::AllocError;
use crate::sealed::{Key, KEY};
use crate::unshared::Unshared;
use crate::{ffi, unwind};

/// The most free blocks that a cache holds.
const CACHE_BLOCKS: usize = ffi::AEGIS_POOL_CACHE_BLOCKS as usize;

/// A magazine of up to 64 free blocks in front of a [`LockFreePool`], for one thread at a time:
/// `Send`, not `Sync`. `H` is the pointer to the pool. The usual names of this type are [`PoolCache`],
/// which borrows the pool, and [`OwnedPoolCache`], which keeps it alive.
///
/// A full cache moves the older half of its blocks to the pool, and an empty cache takes 32 blocks
/// from the pool. Either is two compare-and-swaps, and the blocks stay together. A block that was
/// taken from a cache returns to that cache. [`detach`](Block::detach) turns it into a block of the pool, which can be sent to
/// another thread and given to a cache there with [`put`](Self::put). Dropping the cache gives its
/// free blocks to the pool.
///
/// # Examples
///
/// ```
/// let pool = aegis_memory::pool::LockFreePool::new(4096, 1024);
/// let cache = pool.cache();
/// let page = cache.alloc()?;
/// std::thread::scope(|threads| {
///     let page = page.detach();
///     threads.spawn(|| pool.cache().put(page));
/// });
/// # Ok::<(), aegis_memory::AllocError>(())
/// ```
pub struct Cache<H: Deref<Target = LockFreePool>> {
    raw: Unshared<ffi::aegis_pool_cache>,
    /// Given up after the cache is finished.
    pool: H,
}

/// A cache that borrows its pool. From [`LockFreePool::cache`]. Each thread opens its own cache of the
/// pool.
///
/// # Examples
///
/// ```
/// use aegis_memory::pool::{LockFreePool, PoolCache};
///
/// fn fill(cache: &PoolCache<'_>) -> u8 {
///     cache.alloc().map_or(0, |page| page[0])
/// }
/// let pool = LockFreePool::new(4096, 1024);
/// assert_eq!(fill(&pool.cache()), 0);
/// ```
pub type PoolCache<'p> = Cache<&'p LockFreePool>;

/// A cache that keeps its pool alive, so that it can be a field of a worker. From
/// [`LockFreePool::cache_owned`].
///
/// # Examples
///
/// ```
/// use aegis_memory::pool::{LockFreePool, OwnedPoolBlock, OwnedPoolCache};
/// use std::sync::Arc;
///
/// struct Worker {
///     pages: OwnedPoolCache,
///     dirty: Vec<OwnedPoolBlock<LockFreePool>>,
/// }
/// let pool = Arc::new(LockFreePool::new(4096, 1024));
/// let worker = |_| Worker { pages: pool.cache_owned(), dirty: Vec::new() };
/// let workers: Vec<_> = (0..2).map(worker).collect();
/// let threads = workers.into_iter().map(|mut worker| {
///     std::thread::spawn(move || {
///         let page = worker.pages.alloc_owned().expect("there are 1024 pages");
///         worker.dirty.push(page);
///         worker.dirty.drain(..).for_each(|page| worker.pages.put(page));
///     })
/// });
/// threads.for_each(|thread| thread.join().unwrap());
/// assert_eq!(pool.in_use(), 0);
/// ```
pub type OwnedPoolCache = Cache<Arc<LockFreePool>>;

// SAFETY: nothing in a cache is bound to a thread, except perhaps the pointer to the pool. A cache is
// not `Sync`, because it takes blocks through `&self` without synchronisation; `Unshared` makes it so.
unsafe impl<H: Deref<Target = LockFreePool> + Send> Send for Cache<H> {}

bulk_methods!([<H: Deref<Target = LockFreePool>>] Cache<H>);

impl LockFreePool {
    /// A cache of up to 64 free blocks in front of the pool, for one thread.
    ///
    /// The number of caches that can be open at a time is
    /// [chosen or set](super::PoolBuilder::caches) when the pool is made, and
    /// [`PoolStats::max_cache_count`](super::PoolStats::max_cache_count) tells it. If that many are
    /// open already, this one is closed. The number is 0 in a small pool, in one whose budget had
    /// no room left, and after `.caches(0)`.
    ///
    /// A closed cache holds no blocks and passes every call to the pool. So it always works, and
    /// each call costs what the pool's own calls cost. It does not open later.
    /// [`PoolCache::is_open`] tells whether a cache is open.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::pool::LockFreePool;
    ///
    /// let pool = LockFreePool::builder().block_size(64).blocks(100).caches(1).build()?;
    /// let (first, second) = (pool.cache(), pool.cache());
    /// assert!(first.is_open() && !second.is_open());
    /// let block = second.alloc()?; // from the pool
    /// # drop(block);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn cache(&self) -> PoolCache<'_> {
        Cache::new(self)
    }

    /// A cache as of [`cache`](Self::cache) that keeps the pool alive instead of borrowing it.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::pool::LockFreePool;
    /// use std::sync::Arc;
    ///
    /// let pool = Arc::new(LockFreePool::new(4096, 1024));
    /// let cache = pool.cache_owned();
    /// drop(pool);
    /// assert_eq!(cache.alloc()?.len(), 4096);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn cache_owned(self: &Arc<Self>) -> OwnedPoolCache {
        Cache::new(self.clone())
    }
}

impl<H: Deref<Target = LockFreePool>> Cache<H> {
    /// `pool` is a borrow or an `Arc`. So it dereferences to the same pool every time, and the pool
    /// does not move.
    fn new(pool: H) -> Self {
        let mut raw = MaybeUninit::<ffi::aegis_pool_cache>::uninit();
        // SAFETY: `raw` is memory for the struct, and the pool outlives the cache. If no cache is
        // left, the struct is all-zero. Then taking finds the cache empty, giving back finds its
        // grid without blocks, and both call the slow path.
        unsafe { ffi::aegis_pool_cache_init(raw.as_mut_ptr(), pool.as_raw()) };
        // SAFETY: the call has written the whole struct.
        Self { raw: Unshared::new(unsafe { raw.assume_init() }), pool }
    }

    /// Takes a block of zeroes.
    ///
    /// # Errors
    ///
    /// As [`LockFreePool::alloc`]. [`AllocError::Exhausted`] means that at least as many blocks are
    /// out as the pool's capacity.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::pool::LockFreePool;
    /// # let pool = LockFreePool::builder().block_size(64).blocks(100).caches(1).build()?;
    /// # let cache = pool.cache();
    /// let block = cache.alloc()?;
    /// assert_eq!(block[0], 0);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    #[inline]
    pub fn alloc(&self) -> Result<PoolBlock<'_, Self>, AllocError> {
        Block::zeroed(self)
    }

    /// Takes a block without clearing it.
    ///
    /// # Errors
    ///
    /// As [`alloc`](Self::alloc).
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::pool::LockFreePool;
    /// # let pool = LockFreePool::builder().block_size(64).blocks(100).caches(1).build()?;
    /// # let cache = pool.cache();
    /// let mut block = cache.alloc_uninit()?;
    /// block[0].write(7);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    #[inline]
    pub fn alloc_uninit(&self) -> Result<PoolBlock<'_, Self, MaybeUninit<u8>>, AllocError> {
        Block::uninit(self)
    }

    /// Gives a block of the same pool back through this cache, whether it was taken from the pool
    /// or from any cache. A block of another pool goes back to that pool.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::pool::LockFreePool;
    /// # let pool = LockFreePool::builder().block_size(64).blocks(100).caches(1).build()?;
    /// # let cache = pool.cache();
    /// let block = pool.alloc()?; // not from the cache
    /// cache.put(block);
    /// assert!(cache.len() >= 1);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    #[inline]
    pub fn put<G, T>(&self, block: Block<G, T>)
    where
        G: Deref<Target = LockFreePool>,
        T: BlockByte,
    {
        let (pool, memory) = block.parts();
        let memory = memory.cast();
        // SAFETY: both structs are initialised; the field never changes.
        if ptr::eq(unsafe { (*pool.as_raw()).shared }, unsafe { (*self.pool.as_raw()).shared }) {
            // SAFETY: the block is of our pool, and its handle is gone.
            unsafe { self.give_back(KEY, memory) }
        } else {
            // SAFETY: the block is of that pool, and its handle is gone.
            unsafe { pool.give_back(KEY, memory) }
        }
    }

    /// Gives several blocks of the same pool back through this cache, as [`put`](Self::put) does. For
    /// blocks that were taken from this cache and not detached there is [`free_n`](Self::free_n).
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::pool::LockFreePool;
    /// # let pool = LockFreePool::new(64, 1024);
    /// # let cache = pool.cache();
    /// let mut blocks = Vec::with_capacity(20);
    /// pool.alloc_n(20, &mut blocks)?;
    /// cache.put_n(blocks.drain(..));
    /// assert!(cache.len() >= 20 && pool.in_use() == 0);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn put_n<G, T>(&self, blocks: impl IntoIterator<Item = Block<G, T>>)
    where
        G: Deref<Target = LockFreePool>,
        T: BlockByte,
    {
        blocks.into_iter().for_each(|block| self.put(block));
    }

    /// Gives the cache's free blocks to the pool, for example before the thread is idle for long.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::pool::LockFreePool;
    /// # let pool = LockFreePool::builder().block_size(64).blocks(100).caches(1).build()?;
    /// # let cache = pool.cache();
    /// drop(cache.alloc()?);
    /// cache.flush();
    /// assert!(cache.is_empty());
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn flush(&self) {
        if self.is_open() {
            // SAFETY: the cache is initialised, and ours because it is not `Sync`.
            unsafe { ffi::aegis_pool_cache_flush(self.raw.get()) }
        }
    }

    /// Free blocks in the cache.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::pool::LockFreePool;
    /// # let pool = LockFreePool::builder().block_size(64).blocks(100).caches(1).build()?;
    /// # let cache = pool.cache();
    /// drop(cache.alloc()?);
    /// assert!(cache.len() >= 1);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    #[inline]
    pub fn len(&self) -> usize {
        // SAFETY: the cache is initialised, and ours because it is not `Sync`.
        unsafe { (*self.raw.get()).count }
    }

    /// Whether the cache has no free block.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::pool::LockFreePool;
    /// # let pool = LockFreePool::builder().block_size(64).blocks(100).caches(1).build()?;
    /// # let cache = pool.cache();
    /// drop(cache.alloc()?);
    /// assert!(!cache.is_empty());
    /// cache.flush();
    /// assert!(cache.is_empty());
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the cache is open. A closed cache holds no blocks and passes each call to the pool.
    /// A cache is closed if the pool had no cache left when this one was made.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::pool::LockFreePool;
    /// # let pool = LockFreePool::builder().block_size(64).blocks(100).caches(1).build()?;
    /// # let cache = pool.cache();
    /// assert!(cache.is_open());
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    #[inline]
    pub fn is_open(&self) -> bool {
        // SAFETY: the cache is initialised; the field never changes.
        unsafe { !(*self.raw.get()).shared.is_null() }
    }

    /// The `i`-th entry of the array of cached block indices.
    #[inline(always)]
    fn item(&self, i: usize) -> *mut u32 {
        // SAFETY: the array is a field of the struct, and callers pass an `i` within its bounds.
        unsafe { ptr::addr_of_mut!((*self.raw.get()).items).cast::<u32>().add(i) }
    }

    /// The block's entry in the side array, which says where the block is: out, or cached.
    ///
    /// # Safety
    ///
    /// `index` is below the number of blocks in `grid`.
    #[inline(always)]
    unsafe fn link(&self, index: u32) -> &AtomicU32 {
        // SAFETY: there is a link for every index, and links are only accessed atomically.
        unsafe { AtomicU32::from_ptr((*self.raw.get()).links.add(index as usize)) }
    }

    /// The slow path: for an empty cache and for blocks of later slabs. If there is no block, a
    /// panic of the source continues here.
    #[cold]
    #[inline(never)]
    fn take_slow(&self, zeroed: bool) -> Result<NonNull<u8>, AllocError> {
        if !self.is_open() {
            return self.pool.take(KEY, zeroed);
        }
        let raw = self.raw.get();
        let memory = unwind::call_keeping(ffi::is_some, || {
            // SAFETY: the cache is initialised, and ours.
            unsafe { ffi::aegis_pool_cache_alloc_slow(raw, zeroed) }
        });
        match NonNull::new(memory.cast()) {
            Some(memory) => Ok(memory),
            // SAFETY: the core has written the record, and the pool keeps the budget alive.
            None => Err(unsafe { AllocError::from_raw(&(*raw).failed) }),
        }
    }

    #[cold]
    #[inline(never)]
    fn put_slow(&self, memory: NonNull<u8>) {
        if !self.is_open() {
            // SAFETY: the block is of our pool, is out, and is given back once.
            return unsafe { self.pool.give_back(KEY, memory) };
        }
        let (raw, memory) = (self.raw.get(), memory.as_ptr().cast());
        // SAFETY: the cache is initialised, and ours; the core checks the block.
        let status = unsafe { ffi::aegis_pool_cache_free_slow(raw, memory) };
        debug_assert_eq!(status, ffi::AEGIS_OK as ffi::aegis_status, "a block that was not out");
    }
}

impl<'p> PoolCache<'p> {
    /// The pool behind the cache.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::pool::LockFreePool;
    /// # let pool = LockFreePool::builder().block_size(64).blocks(100).caches(1).build()?;
    /// # let cache = pool.cache();
    /// assert_eq!(cache.pool().block_size(), 64);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn pool(&self) -> &'p LockFreePool {
        self.pool
    }
}

impl OwnedPoolCache {
    /// Takes a block of zeroes that keeps the pool alive. Its drop gives it to the pool, and
    /// [`put`](Self::put) to this cache or that of another thread.
    ///
    /// # Errors
    ///
    /// As [`alloc`](Self::alloc).
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::pool::LockFreePool;
    /// # let cache = std::sync::Arc::new(LockFreePool::new(64, 1024)).cache_owned();
    /// let block = cache.alloc_owned()?;
    /// cache.put(block);
    /// assert!(!cache.is_empty());
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    #[inline]
    pub fn alloc_owned(&self) -> Result<OwnedPoolBlock<LockFreePool>, AllocError> {
        self.alloc().map(Block::detach)
    }

    /// Takes `count` blocks of zeroes that keep the pool alive, and appends them to `blocks`.
    ///
    /// # Errors
    ///
    /// As [`alloc_n`](Self::alloc_n).
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::pool::LockFreePool;
    /// # let cache = std::sync::Arc::new(LockFreePool::new(64, 1024)).cache_owned();
    /// let mut blocks = Vec::with_capacity(20);
    /// cache.alloc_owned_n(20, &mut blocks)?;
    /// cache.put_n(blocks.drain(..));
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn alloc_owned_n(
        &self,
        count: usize,
        blocks: &mut Vec<OwnedPoolBlock<LockFreePool>>,
    ) -> Result<(), AllocError> {
        // SAFETY: the blocks are zeroed, and a block of the cache is one of the pool.
        unsafe { super::bulk::append(self, &self.pool, count, true, blocks) }
    }

    /// The pool behind the cache.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::pool::LockFreePool;
    /// # let cache = std::sync::Arc::new(LockFreePool::new(64, 1024)).cache_owned();
    /// assert_eq!(cache.pool().capacity(), 1024);
    /// ```
    pub fn pool(&self) -> &Arc<LockFreePool> {
        &self.pool
    }
}

impl<H: Deref<Target = LockFreePool>> Source for Cache<H> {
    #[inline(always)]
    fn take(&self, _: Key, zeroed: bool) -> Result<NonNull<u8>, AllocError> {
        let raw = self.raw.get();
        // SAFETY: the cache is initialised, and ours because it is not `Sync`.
        let (grid, count) = unsafe { ((*raw).grid, (*raw).count) };
        let Some(top) = count.checked_sub(1) else {
            return self.take_slow(zeroed);
        };
        // SAFETY: `top` is below `count`, which is at most the array's length.
        let index = unsafe { *self.item(top) };
        if index as usize >= grid.count {
            return self.take_slow(zeroed);
        }
        // SAFETY: as above.
        unsafe { (*raw).count = top };
        // SAFETY: the index is below the number of blocks in the slab at `base`.
        let memory = unsafe { grid.base.add(index as usize * grid.stride_bytes) };
        // SAFETY: as above.
        let link = unsafe { self.link(index) };
        if zeroed && link.load(Relaxed) != ffi::AEGIS_POOL_LINK_PARKED_CLEAN {
            // SAFETY: the block is ours, and has that many bytes.
            unsafe { memory.write_bytes(0, (*raw).block_bytes) };
        }
        link.store(ffi::AEGIS_POOL_LINK_OUT, Relaxed);
        // SAFETY: a slab is not at address 0.
        Ok(unsafe { NonNull::new_unchecked(memory) })
    }

    #[inline(always)]
    unsafe fn give_back(&self, _: Key, memory: NonNull<u8>) {
        let raw = self.raw.get();
        // SAFETY: the cache is initialised, and ours because it is not `Sync`.
        let (grid, count) = unsafe { ((*raw).grid, (*raw).count) };
        let index = find(&grid, memory);
        if index >= grid.count || count >= CACHE_BLOCKS {
            return self.put_slow(memory);
        }
        // SAFETY: the index is below the number of blocks in the grid.
        unsafe { self.link(index as u32) }.store(ffi::AEGIS_POOL_LINK_PARKED, Relaxed);
        // SAFETY: `count` is below the array's length.
        unsafe { *self.item(count) = index as u32 };
        // SAFETY: as above.
        unsafe { (*raw).count = count + 1 };
    }

    fn index_of(&self, key: Key, memory: NonNull<u8>) -> usize {
        self.pool.index_of(key, memory)
    }

    #[inline(always)]
    fn block_bytes(&self, key: Key) -> usize {
        self.pool.block_bytes(key)
    }

    #[inline(always)]
    fn block_align(&self, key: Key) -> usize {
        self.pool.block_align(key)
    }
}

impl<H: Deref<Target = LockFreePool> + Clone, T: BlockByte> Block<&Cache<H>, T> {
    /// Turns this block of a cache into a block of the pool, which can leave the cache and the
    /// thread.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::pool::LockFreePool;
    /// # let pool = LockFreePool::builder().block_size(64).blocks(100).caches(1).build()?;
    /// # let cache = pool.cache();
    /// let block = cache.alloc()?.detach();
    /// std::thread::scope(|threads| {
    ///     threads.spawn(|| drop(block));
    /// });
    ///
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    #[inline]
    pub fn detach(self) -> Block<H, T> {
        let (cache, memory) = self.parts();
        // SAFETY: the block is of the pool behind the cache and is out, and its handle is gone.
        unsafe { Block::of_parts(cache.pool.clone(), memory) }
    }
}

impl<H: Deref<Target = LockFreePool>> Drop for Cache<H> {
    fn drop(&mut self) {
        // SAFETY: the cache is ours, and nothing uses it again.
        unsafe { ffi::aegis_pool_cache_fini(self.raw.get()) }
    }
}

impl<H: Deref<Target = LockFreePool>> fmt::Debug for Cache<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (is_open, len) = (self.is_open(), self.len());
        f.debug_struct("PoolCache").field("is_open", &is_open).field("len", &len).finish()
    }
}
