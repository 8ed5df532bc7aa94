// SPDX-License-Identifier: Apache-2.0
//! Pools with other than default settings.

use core::marker::PhantomData;
use core::mem::{self, MaybeUninit};
use core::ptr;

use super::block::Source;
use super::stats::PoolStats;
use crate::budget::MemoryBudget;
use crate::error::AllocError;
use crate::sealed::{Key, KEY};
use crate::source::{raw_source, BlockSource, ChosenSource, OwnedSource};
use crate::{ffi, unwind};

/// A pool that owns its blocks: [`Pool`](super::Pool), [`LockFreePool`](super::LockFreePool) or
/// [`LockedPool`](super::LockedPool). A bound for code that works with a
/// [`TypedPool`](super::TypedPool) or a [`PoolBuilder`] of any of them; it has no methods to call,
/// and nobody else implements it.
pub trait PoolKind: Make {}

impl<P: Make> PoolKind for P {}

/// How a pool is made, and what all have. Not nameable outside, so nobody else implements it; and
/// each method takes a [`Key`], so nobody else calls it.
pub trait Make: Source + Sized {
    /// Makes the pool, or leaves the reason in `error`.
    ///
    /// # Safety
    ///
    /// The options' pointers keep what the init function in C asks of them.
    unsafe fn make(key: Key, options: &ffi::aegis_pool_options, caches: usize) -> Option<Self>;

    /// The pool's figures.
    fn figures(&self, key: Key) -> PoolStats;

    /// Gives empty slabs back.
    fn shrink(&mut self, key: Key, keep_blocks: usize);
}

/// The struct that an init function of the core makes; `None` when it fails.
///
/// # Safety
///
/// - `init` writes the whole struct, on failure too.
pub(super) unsafe fn made<R>(init: impl FnOnce(*mut R) -> ffi::aegis_status) -> Option<R> {
    let mut raw = MaybeUninit::<R>::uninit();
    let status = init(raw.as_mut_ptr());
    // SAFETY: the call has written the whole struct.
    let raw = unsafe { raw.assume_init() };
    (status == ffi::AEGIS_OK as ffi::aegis_status).then_some(raw)
}

/// Settings of a pool to be made. From `builder()` of each pool.
#[must_use = "build() makes the pool"]
pub struct PoolBuilder<P> {
    block_size: usize,
    blocks: usize,
    max_blocks: usize,
    pub(super) align: usize,
    pub(super) caches: Option<usize>,
    source: ChosenSource,
    budget: Option<MemoryBudget>,
    makes: PhantomData<fn() -> P>,
}

impl<P: PoolKind> PoolBuilder<P> {
    pub(super) fn new() -> Self {
        Self {
            block_size: 0,
            blocks: 0,
            max_blocks: 0,
            align: 0,
            caches: None,
            source: Ok(None),
            budget: None,
            makes: PhantomData,
        }
    }

    /// Usable bytes of each block.
    pub fn block_size(self, bytes: usize) -> Self {
        Self { block_size: bytes, ..self }
    }

    /// Blocks of the first slab, and of each further one. At least 1.
    pub fn blocks(self, count: usize) -> Self {
        Self { blocks: count, ..self }
    }

    /// The pool grows up to this many blocks, a slab of `blocks` at a time; the last slab may be
    /// smaller. Without this, or below `blocks`, it never grows.
    pub fn max_blocks(self, count: usize) -> Self {
        Self { max_blocks: count, ..self }
    }

    /// Alignment of every block: a power of two, up to 2 MiB and beyond. 0, the default: 16 if the
    /// block size is a multiple of 16, else 8. The first block of a slab is always page-aligned.
    pub fn align(self, bytes: usize) -> Self {
        Self { align: bytes, ..self }
    }

    /// Where slabs come from. The default is [`Pages`](crate::source::Pages). A source that there is no
    /// memory to keep is dropped, and [`build`](Self::build) fails.
    ///
    /// The pool's lock, where it has one, is not held while the source is called: it may use the pool.
    pub fn source<S: BlockSource + 'static>(self, source: S) -> Self {
        Self { source: OwnedSource::try_new(source).map(Some), ..self }
    }

    /// Charges a budget, which the pool keeps alive, for all that comes from the source: whole
    /// slabs, the side arrays (at most 8 bytes a block), and the reserves of caches. See
    /// [`crate::budget`].
    ///
    /// The pool's lock, where it has one, is not held while a pressure callback is called: it may use
    /// the pool.
    pub fn budget(self, budget: &MemoryBudget) -> Self {
        Self { budget: Some(budget.clone()), ..self }
    }

    /// Makes the pool.
    ///
    /// # Errors
    ///
    /// [`AllocError::InvalidLayout`] for an alignment that is no power of two and for more bytes
    /// than a block can have; [`AllocError::Invalid`] for a pool of no blocks, and for more than
    /// there can be: 2,147,483,392, reserves of caches included, or fewer if they or what lies
    /// beside them would not fit into the address space; [`AllocError::OutOfMemory`] when the
    /// source refuses; [`AllocError::LimitExceeded`] when the budget does.
    pub fn build(self) -> Result<P, AllocError> {
        let caches = self.cache_count();
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
        };
        let made = unwind::call_keeping(Option::is_some, || {
            // SAFETY: the source, if any, is copied, and its context lives until it is closed.
            unsafe { P::make(KEY, &options, caches) }
        });
        match made {
            Some(pool) => {
                // The pool closes the source now.
                mem::forget(source);
                Ok(pool)
            }
            None => {
                // SAFETY: a core that makes no pool writes the record, and the budget is alive.
                Err(unsafe { AllocError::from_raw(error.assume_init_ref()) })
            }
        }
    }

    fn cache_count(&self) -> usize {
        let default = || {
            let most = self.max_blocks.max(self.blocks);
            let align = self.align.max(16);
            default_caches(self.blocks, most, self.block_size, align)
        };
        self.caches.unwrap_or_else(|| if self.budget.is_some() { 0 } else { default() })
    }
}

/// Caches of a pool that was not told how many: their reserves at most double it, and take neither
/// numbers nor room from the blocks that it was asked for.
fn default_caches(blocks: usize, max_blocks: usize, block_size: usize, align: usize) -> usize {
    const RESERVE: usize = ffi::AEGIS_POOL_CACHE_BLOCKS as usize;
    // What a block takes at most: a checker of memory has a gap behind each.
    let stride = block_size.saturating_add(align).saturating_add(16);
    let in_slab = (isize::MAX as usize).saturating_sub(align.max(4096)) / stride;
    // A link beside each block. What else lies there does not take half of the address space.
    let beside = isize::MAX as usize / 2 / mem::size_of::<u32>();
    let numbers = (ffi::AEGIS_POOL_MAX_BLOCKS as usize).min(beside.max(max_blocks));
    let room = in_slab.saturating_sub(blocks).min(numbers.saturating_sub(max_blocks));
    (blocks / RESERVE).min(16).min(room / RESERVE)
}
