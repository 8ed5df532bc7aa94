// SPDX-License-Identifier: Apache-2.0
//! How a pool is made with settings other than the defaults.

use core::alloc::Layout;
use core::marker::PhantomData;
use core::mem::{self, MaybeUninit};
use core::ptr;
use core::time::Duration;

use super::block::Source;
use super::stats::PoolStats;
use crate::budget::MemoryBudget;
use crate::error::AllocError;
use crate::sealed::{Key, KEY};
use crate::source::{raw_source, BlockSource, ChosenSource, OwnedSource};
use crate::{ffi, unwind};

/// A pool that owns its blocks: [`Pool`](super::Pool), [`LockFreePool`](super::LockFreePool) or
/// [`LockedPool`](super::LockedPool).
///
/// It is a bound for code that works with a [`TypedPool`](super::TypedPool) or a [`PoolBuilder`] of
/// any of them. No other type implements it. Each method does what the method of the same name does
/// that the pool itself has. The blocks are taken by the methods of [`BlockPool`](super::BlockPool).
///
/// # Examples
///
/// ```
/// use aegis_memory::pool::{LockedPool, Pool, PoolKind, TypedPool};
/// use aegis_memory::AllocError;
///
/// // Makes a pool of any form.
/// fn pages<P: PoolKind>() -> Result<P, AllocError> {
///     P::builder().block_size(4096).blocks(64).build()
/// }
/// assert_eq!(pages::<Pool>()?.stats(), Pool::new(4096, 64).stats());
///
/// // Works with any form of pool.
/// fn count<P: PoolKind>(names: &TypedPool<String, P>) -> usize {
///     names.in_use()
/// }
/// assert_eq!(count(&TypedPool::<_, Pool>::new(8)), 0);
/// assert_eq!(count(&TypedPool::<_, LockedPool>::new(8)), 0);
/// # Ok::<(), AllocError>(())
/// ```
pub trait PoolKind: Make {
    /// Starts to make a pool.
    fn builder() -> PoolBuilder<Self> {
        PoolBuilder::new()
    }

    /// The pool's statistics.
    fn stats(&self) -> PoolStats {
        self.figures(KEY)
    }

    /// Releases empty slabs to the source, as `trim` of the pool.
    fn trim(&self, keep_blocks: usize) {
        self.shrink(KEY, keep_blocks);
    }

    /// Charges all memory of the pool to another budget, as `try_move_to` of the pool.
    ///
    /// # Errors
    ///
    /// [`AllocError::LimitExceeded`] when the new budget refuses.
    fn try_move_to(&mut self, budget: Option<&MemoryBudget>) -> Result<(), AllocError> {
        self.relocate(KEY, budget)
    }
}

impl<P: Make> PoolKind for P {}

/// How a pool is made, and what all pools can do. Code outside this crate cannot name this trait,
/// so it cannot implement it. It cannot call the methods either, because each takes a [`Key`].
pub trait Make: Source + Sized {
    /// Makes the pool. On failure, the reason is in the record that the options' `error` points to.
    /// A lock-free pool chooses the number of caches itself if it is `None`.
    ///
    /// # Safety
    ///
    /// The pointers in the options fulfil what the init function in C requires of them.
    unsafe fn make(
        key: Key,
        options: &ffi::aegis_pool_options,
        caches: Option<usize>,
    ) -> Option<Self>;

    /// The pool's statistics.
    fn figures(&self, key: Key) -> PoolStats;

    /// Releases empty slabs to the source.
    fn shrink(&self, key: Key, keep_blocks: usize);

    /// Moves the pool to another budget.
    fn relocate(&mut self, key: Key, budget: Option<&MemoryBudget>) -> Result<(), AllocError>;
}

/// The struct that an init function of the core makes, or `None` when the function fails.
///
/// # Safety
///
/// - `init` writes the whole struct, also when it fails.
pub(super) unsafe fn made<R>(init: impl FnOnce(*mut R) -> ffi::aegis_status) -> Option<R> {
    let mut raw = MaybeUninit::<R>::uninit();
    let status = init(raw.as_mut_ptr());
    // SAFETY: the call has written the whole struct.
    let raw = unsafe { raw.assume_init() };
    (status == ffi::AEGIS_OK as ffi::aegis_status).then_some(raw)
}

/// The settings of a pool that is to be made. `builder()` of each pool makes one.
///
/// # Examples
///
/// ```
/// use aegis_memory::pool::LockFreePool;
///
/// let pool = LockFreePool::builder().block_size(4096).blocks(16).max_blocks(64).align(4096).build()?;
/// assert_eq!(pool.capacity(), 16);
/// # Ok::<(), aegis_memory::AllocError>(())
/// ```
#[must_use = "build() makes the pool"]
pub struct PoolBuilder<P> {
    block_size: usize,
    blocks: usize,
    max_blocks: usize,
    pub(super) align: usize,
    pub(super) caches: Option<usize>,
    source: ChosenSource,
    budget: Option<MemoryBudget>,
    wait_ns: u64,
    makes: PhantomData<fn() -> P>,
}

impl<P: PoolKind> PoolBuilder<P> {
    /// Starts to make a pool of the form `P`, as `builder()` of that form does.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::pool::{LockFreePool, PoolBuilder, PoolKind};
    ///
    /// fn pages<P: PoolKind>() -> PoolBuilder<P> {
    ///     PoolBuilder::new().block_size(4096).blocks(64)
    /// }
    /// let pool: LockFreePool = pages().build()?;
    /// assert_eq!(pool.capacity(), 64);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn new() -> Self {
        Self {
            block_size: 0,
            blocks: 0,
            max_blocks: 0,
            align: 0,
            caches: None,
            source: Ok(None),
            budget: None,
            wait_ns: 0,
            makes: PhantomData,
        }
    }

    /// The same settings for a pool of another form. [`caches`](Self::caches) counts only for a
    /// [`LockFreePool`](super::LockFreePool).
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::pool::{LockedPool, Pool};
    ///
    /// let builder = Pool::builder().block_size(4096).blocks(64);
    /// let pool = builder.form::<LockedPool>().build()?;
    /// assert_eq!(pool.capacity(), 64);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn form<Q: PoolKind>(self) -> PoolBuilder<Q> {
        PoolBuilder {
            block_size: self.block_size,
            blocks: self.blocks,
            max_blocks: self.max_blocks,
            align: self.align,
            caches: self.caches,
            source: self.source,
            budget: self.budget,
            wait_ns: self.wait_ns,
            makes: PhantomData,
        }
    }

    /// Usable bytes of each block.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::pool::Pool;
    /// let pool = Pool::builder().block_size(100).blocks(8).build()?;
    /// assert_eq!(pool.alloc()?.len(), 100);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn block_size(self, bytes: usize) -> Self {
        Self { block_size: bytes, ..self }
    }

    /// Blocks of the first slab, and of each later slab. At least 1.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::pool::Pool;
    /// let pool = Pool::builder().block_size(64).blocks(8).build()?;
    /// assert_eq!(pool.capacity(), 8);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn blocks(self, count: usize) -> Self {
        Self { blocks: count, ..self }
    }

    /// The most blocks that the pool grows to. It grows by slabs of `blocks` blocks; the last slab
    /// may be smaller. If this is not set, or is below `blocks`, the pool never grows.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::pool::Pool;
    /// let pool = Pool::builder().block_size(64).blocks(8).max_blocks(16).build()?;
    /// let blocks: Vec<_> = (0..20).map_while(|_| pool.alloc().ok()).collect();
    /// assert_eq!(blocks.len(), 16);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn max_blocks(self, count: usize) -> Self {
        Self { max_blocks: count, ..self }
    }

    /// Alignment of every block: a power of two, which may be 2 MiB or more. The default, 0, means
    /// 16 if the block size is a multiple of 16, else 8. The first block of a slab is always
    /// page-aligned.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::pool::Pool;
    /// let pool = Pool::builder().block_size(64).blocks(8).align(4096).build()?;
    /// assert_eq!(pool.alloc()?.as_ptr() as usize % 4096, 0);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn align(self, bytes: usize) -> Self {
        Self { align: bytes, ..self }
    }

    /// The source that slabs are acquired from. The default is [`Pages`](crate::source::Pages). If
    /// there is no memory to store the source, it is dropped, and [`build`](Self::build) fails.
    ///
    /// A pool with a lock does not hold it while it calls the source, so the source may use the
    /// pool.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::pool::Pool;
    /// use aegis_memory::source::Heap;
    /// let pool = Pool::builder().block_size(64).blocks(8).source(Heap).build()?;
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn source<S: BlockSource + 'static>(self, source: S) -> Self {
        Self { source: OwnedSource::try_new(source).map(Some), ..self }
    }

    /// Charges a budget for all memory that comes from the source: whole slabs, the side arrays (at
    /// most 8 bytes for each block), and the reserves of caches. The pool grows by whole slabs: if
    /// the budget has no room for one, the growth is refused. The pool keeps the budget alive.
    /// See [`crate::budget`].
    ///
    /// The blocks come before the caches: a [`LockFreePool`](super::LockFreePool) has as many of
    /// its default caches as the budget has room for, and is not refused because of them.
    ///
    /// A pool with a lock does not hold it while a pressure callback runs, so the callback may use
    /// the pool.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::pool::Pool;
    /// use aegis_memory::budget::MemoryBudget;
    /// let budget = MemoryBudget::new("pages", 1 << 20);
    /// let pool = Pool::builder().block_size(4096).blocks(8).budget(&budget).build()?;
    /// assert!(budget.used() >= 8 * 4096);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn budget(self, budget: &MemoryBudget) -> Self {
        Self { budget: Some(budget.clone()), ..self }
    }

    /// The longest wait for room in the budget when the pool grows. The default does not wait;
    /// [`Duration::MAX`] has no end. Requests get room in the order of their arrival at the budget.
    /// [`build`](Self::build) waits too.
    ///
    /// - A [`LockedPool`](super::LockedPool) stays usable for other threads. A thread that waits
    ///   for the budget gets a block that is given back meanwhile. A call with a timeout waits no
    ///   longer than that.
    /// - In a [`LockFreePool`](super::LockFreePool) a thread that waits takes a block of a slab that
    ///   another thread has added. It does not notice meanwhile that a block is given back.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::pool::Pool;
    /// use aegis_memory::budget::MemoryBudget;
    /// use std::time::Duration;
    /// let budget = MemoryBudget::new("pages", 1 << 20);
    /// let held = budget.reserve(1 << 20);
    /// let pool = Pool::builder().block_size(64).blocks(8).budget(&budget);
    /// assert!(pool.wait(Duration::from_millis(1)).build().is_err(), "nobody gives memory back");
    /// ```
    pub fn wait(self, longest: Duration) -> Self {
        Self { wait_ns: ffi::nanoseconds(longest), ..self }
    }

    /// Makes the pool.
    ///
    /// # Errors
    ///
    /// - [`AllocError::InvalidLayout`] for an alignment that is no power of two, and for more bytes
    ///   than a block can have.
    /// - [`AllocError::Invalid`] for a pool of no blocks, and for too many blocks. The most is
    ///   2,147,483,392, reserves of caches included. It is fewer if the blocks or the side arrays
    ///   would not fit into the address space.
    /// - [`AllocError::OutOfMemory`] when the source refuses.
    /// - [`AllocError::LimitExceeded`] when the budget refuses.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::pool::Pool;
    /// assert!(Pool::builder().block_size(64).blocks(8).build().is_ok());
    /// assert!(Pool::builder().block_size(64).blocks(0).build().is_err());
    ///
    /// ```
    pub fn build(self) -> Result<P, AllocError> {
        self.make(|options, caches| {
            // SAFETY: `make` passes valid options.
            unsafe { P::make(KEY, options, caches) }
        })
    }

    /// The settings for blocks that have the size of a value and at least its alignment.
    pub(super) fn of_values(self, layout: Layout) -> Self {
        let align = self.align.max(layout.align());
        self.block_size(layout.size()).align(align)
    }

    /// Makes an object with these settings. `make` gets options whose pointers are valid: the pool
    /// copies the source, if there is one, and the source's context lives until the pool closes the
    /// source. If `make` returns `None`, the core has written the options' error record.
    pub(super) fn make<R>(
        self,
        make: impl FnOnce(&ffi::aegis_pool_options, Option<usize>) -> Option<R>,
    ) -> Result<R, AllocError> {
        let source = self.source?;
        let mut error = MaybeUninit::<ffi::aegis_error>::uninit();
        let options = ffi::aegis_pool_options {
            block_bytes: self.block_size,
            block_count: self.blocks,
            max_block_count: self.max_blocks.max(self.blocks),
            align_bytes: self.align,
            source: raw_source(&source),
            budget: self.budget.as_ref().map_or(ptr::null_mut(), MemoryBudget::as_raw),
            error: error.as_mut_ptr(),
            wait_ns: self.wait_ns,
        };
        match unwind::call_keeping(Option::is_some, || make(&options, self.caches)) {
            Some(pool) => {
                // The pool owns the source now and closes it.
                mem::forget(source);
                Ok(pool)
            }
            None => {
                // SAFETY: the core writes the record when it makes no pool, and the budget is
                // alive.
                Err(unsafe { AllocError::from_raw(error.assume_init_ref()) })
            }
        }
    }
}

impl<P: PoolKind> Default for PoolBuilder<P> {
    fn default() -> Self {
        Self::new()
    }
}
