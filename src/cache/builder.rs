// SPDX-License-Identifier: Apache-2.0
//! How a page cache is made: its settings.

use core::mem;
use core::ptr;
use core::time::Duration;

use super::error::{CacheError, NO_ERROR};
use crate::budget::MemoryBudget;
use crate::source::{raw_source, BlockSource, ChosenSource, OwnedSource};
use crate::{ffi, unwind};

/// The settings of a page cache that is to be made.
/// [`PageCache::builder`](super::PageCache::builder) makes one.
///
/// # Examples
///
/// ```
/// use aegis_memory::cache::PageCache;
/// use std::time::Duration;
///
/// let cache = PageCache::builder()
///     .page_size(8192)
///     .frames(256)
///     .max_frames(1024)
///     .cleaner(Duration::from_millis(100))
///     .build()?;
/// assert_eq!(cache.page_size(), 8192);
/// # Ok::<(), aegis_memory::cache::CacheError>(())
/// ```
#[must_use = "build() makes the cache"]
pub struct PageCacheBuilder {
    page_size: usize,
    frames: usize,
    max_frames: usize,
    min_frames: usize,
    source: ChosenSource,
    budget: Option<MemoryBudget>,
    reclaim_priority: Option<i32>,
    frame_wait_ns: u64,
    latch_wait_ns: u64,
    pub(super) cleaner: Option<Duration>,
}

impl PageCacheBuilder {
    pub(super) fn new() -> Self {
        Self {
            page_size: 0,
            frames: 0,
            max_frames: 0,
            min_frames: 0,
            source: Ok(None),
            budget: None,
            reclaim_priority: None,
            frame_wait_ns: 0,
            latch_wait_ns: 0,
            cleaner: None,
        }
    }

    /// Size of a page in bytes: a power of two from 512 to 1 MiB. The default, 0, means 4096.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::cache::PageCache;
    /// assert_eq!(PageCache::builder().frames(8).page_size(16384).build()?.page_size(), 16384);
    /// # Ok::<(), aegis_memory::cache::CacheError>(())
    /// ```
    pub fn page_size(self, bytes: usize) -> Self {
        Self { page_size: bytes, ..self }
    }

    /// How many frames the cache has at first. If there may be more later, it is rounded up to
    /// whole slabs, which have at most an eighth of the frames each.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::cache::PageCache;
    /// assert_eq!(PageCache::builder().frames(100).build()?.stats().frame_count, 100);
    /// # Ok::<(), aegis_memory::cache::CacheError>(())
    /// ```
    pub fn frames(self, count: usize) -> Self {
        Self { frames: count, ..self }
    }

    /// The most frames that [`resize`](super::PageCache::resize) may ask for. By default it cannot
    /// ask for more than there were at first. Each takes 64 bytes from the beginning.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::cache::PageCache;
    /// let cache = PageCache::builder().frames(8).max_frames(64).build()?;
    /// cache.resize(64)?;
    /// # Ok::<(), aegis_memory::cache::CacheError>(())
    /// ```
    pub fn max_frames(self, count: usize) -> Self {
        Self { max_frames: count, ..self }
    }

    /// The cache gives no frames to its budget below this number. The default is an eighth of
    /// [`frames`](Self::frames).
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::cache::PageCache;
    /// let cache = PageCache::builder().frames(64).min_frames(32).build()?;
    /// # Ok::<(), aegis_memory::cache::CacheError>(())
    /// ```
    pub fn min_frames(self, count: usize) -> Self {
        Self { min_frames: count, ..self }
    }

    /// The source that memory is acquired from. The default is [`Pages`](crate::source::Pages). If
    /// there is no memory to store the source, it is dropped, and [`build`](Self::build) fails.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::cache::PageCache;
    /// use aegis_memory::source::Pages;
    /// let cache = PageCache::builder().frames(64).source(Pages::new().huge_pages()).build()?;
    /// # Ok::<(), aegis_memory::cache::CacheError>(())
    /// ```
    pub fn source<S: BlockSource + 'static>(self, source: S) -> Self {
        Self { source: OwnedSource::try_new(source).map(Some), ..self }
    }

    /// Charges a budget for all memory of the cache. The cache keeps the budget alive. See
    /// [`crate::budget`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::cache::PageCache;
    /// use aegis_memory::budget::MemoryBudget;
    /// let budget = MemoryBudget::new("pages", 1 << 20);
    /// let cache = PageCache::builder().frames(64).budget(&budget).build()?;
    /// assert!(budget.used() >= 64 * 4096);
    /// # Ok::<(), aegis_memory::cache::CacheError>(())
    /// ```
    pub fn budget(self, budget: &MemoryBudget) -> Self {
        Self { budget: Some(budget.clone()), ..self }
    }

    /// Whether the cache is a reclaimer of its budget: when others in the tree of budgets need
    /// memory, it gives frames back, clean ones first, down to [`min_frames`](Self::min_frames),
    /// and grows again when there is room. Charges to its own budget do not ask it, so it has a
    /// budget of its own, which is a child of another one. Without a budget this has no effect.
    ///
    /// The cache works on the thread that charges, and may write to its stores there. So a store
    /// must not take a lock that a thread may hold while it charges a budget of the same tree.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::cache::PageCache;
    /// use aegis_memory::budget::MemoryBudget;
    /// let server = MemoryBudget::new("server", 2 << 20);
    /// let pages = server.child("pages", MemoryBudget::UNLIMITED);
    /// let cache = PageCache::builder().frames(400).budget(&pages).reclaimable(true).build()?;
    /// let query = server.reserve(1 << 20);
    /// assert!(cache.stats().frame_count < 400);
    /// # Ok::<(), aegis_memory::cache::CacheError>(())
    /// ```
    pub fn reclaimable(self, reclaimable: bool) -> Self {
        let priority = self.reclaim_priority.unwrap_or(0);
        Self { reclaim_priority: reclaimable.then_some(priority), ..self }
    }

    /// The cache is a reclaimer with this priority: the budget asks those with a low number first.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::cache::PageCache;
    /// use aegis_memory::budget::MemoryBudget;
    /// let budget = MemoryBudget::new("server", 2 << 20);
    /// let cache = PageCache::builder().frames(400).budget(&budget).reclaim_priority(10).build()?;
    /// # Ok::<(), aegis_memory::cache::CacheError>(())
    /// ```
    pub fn reclaim_priority(self, priority: i32) -> Self {
        Self { reclaim_priority: Some(priority), ..self }
    }

    /// The longest wait for a frame when all are pinned. The default does not wait;
    /// [`Duration::MAX`] has no end.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::cache::{MemoryStore, PageCache};
    /// use std::time::Duration;
    /// let cache = PageCache::builder().frames(1).frame_timeout(Duration::from_millis(1)).build()?;
    /// let file = cache.open(MemoryStore::new())?;
    /// let page = cache.fresh(file, 0)?;
    /// assert!(cache.fresh(file, 1).is_err());
    /// assert_eq!(cache.stats().frame_wait_count, 1);
    /// # Ok::<(), aegis_memory::cache::CacheError>(())
    /// ```
    pub fn frame_timeout(self, longest: Duration) -> Self {
        Self { frame_wait_ns: ffi::nanoseconds(longest), ..self }
    }

    /// The longest wait for a page that another thread has pinned, reads or writes. The default, 0,
    /// means 30 seconds; [`Duration::MAX`] has no end.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::cache::{MemoryStore, PageCache};
    /// use std::time::Duration;
    /// let cache = PageCache::builder().frames(8).latch_timeout(Duration::from_millis(1)).build()?;
    /// let file = cache.open(MemoryStore::new())?;
    /// let page = cache.fresh(file, 0)?;
    /// assert!(cache.read(file, 0).is_err(), "it would wait for this thread");
    /// # Ok::<(), aegis_memory::cache::CacheError>(())
    /// ```
    pub fn latch_timeout(self, longest: Duration) -> Self {
        Self { latch_wait_ns: ffi::nanoseconds(longest), ..self }
    }

    /// The cache has a thread of its own that writes dirty pages, so that threads that read find
    /// clean pages to evict. Each `interval` it writes all that are dirty, in batches. It does not
    /// sync. It is stopped when the cache is dropped. A page that it cannot write stays dirty, and
    /// is counted: see [`CacheStats::write_error_count`](super::CacheStats::write_error_count). If
    /// Rust's heap has no memory for the thread, the standard library ends the process.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::cache::{MemoryStore, PageCache};
    /// use std::time::Duration;
    /// let cache = PageCache::builder().frames(8).cleaner(Duration::from_millis(1)).build()?;
    /// let file = cache.open(MemoryStore::new())?;
    /// cache.fresh(file, 0)?[0] = 1;
    /// while cache.stats().dirty_count != 0 {
    ///     std::thread::yield_now();
    /// }
    /// # Ok::<(), aegis_memory::cache::CacheError>(())
    /// ```
    pub fn cleaner(self, interval: Duration) -> Self {
        Self { cleaner: Some(interval), ..self }
    }

    /// Makes the cache for [`build`](Self::build).
    pub(super) fn make(self) -> Result<ffi::aegis_page_cache, CacheError> {
        let source = self.source?;
        let mut error = NO_ERROR;
        let options = ffi::aegis_page_cache_options {
            page_bytes: self.page_size,
            frame_count: self.frames,
            max_frame_count: self.max_frames,
            min_frame_count: self.min_frames,
            source: raw_source(&source),
            budget: self.budget.as_ref().map_or(ptr::null_mut(), MemoryBudget::as_raw),
            flags: match self.reclaim_priority {
                Some(_) => ffi::AEGIS_PAGE_CACHE_RECLAIMABLE,
                None => 0,
            },
            reclaim_priority: self.reclaim_priority.unwrap_or(0),
            frame_wait_ns: self.frame_wait_ns,
            latch_wait_ns: self.latch_wait_ns,
            error: &mut error,
        };
        let mut raw = NO_CACHE;
        let status = unwind::call_keeping(ffi::is_ok, || {
            // SAFETY: the cache copies the source, if there is one, and the source's context lives
            // until the cache closes the source. The budget is alive.
            unsafe { ffi::aegis_page_cache_init(&mut raw, &options) }
        });
        if !ffi::is_ok(&status) {
            // SAFETY: the budget is alive.
            return Err(unsafe { CacheError::from_raw(status, error, None) });
        }
        // The cache owns the source now and closes it.
        mem::forget(source);
        Ok(raw)
    }
}

/// A handle for the core to fill in.
const NO_CACHE: ffi::aegis_page_cache = ffi::aegis_page_cache {
    shared: ptr::null_mut(),
    chains: ptr::null_mut(),
    frames: ptr::null_mut(),
    slabs: ptr::null_mut(),
    stride_bytes: 0,
    page_bytes: 0,
    chain_factor: 0,
    chain_count: 0,
    slab_shift: 0,
};
