// SPDX-License-Identifier: Apache-2.0
//! What an engine does with a [`PageCache`] beside pinning pages: prefetch and discard, write back,
//! resize, and look inside.

use core::mem::MaybeUninit;
use core::ops::{Bound, RangeBounds};

use super::error::{CacheError, FileId};
use super::page_cache::PageCache;
use super::pins::Hint;
use super::stats::{CacheStats, FileStats};
use crate::ffi;

/// The first page of a range, and how many there are.
fn pages_of(range: &impl RangeBounds<u64>) -> (u64, u64) {
    let first = match range.start_bound() {
        Bound::Included(&first) => first,
        Bound::Excluded(&before) => before.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let count = match range.end_bound() {
        Bound::Included(&u64::MAX) => u64::MAX,
        Bound::Included(&last) => (last + 1).saturating_sub(first),
        Bound::Excluded(&end) => end.saturating_sub(first),
        Bound::Unbounded => u64::MAX,
    };
    (first, count)
}

impl PageCache {
    /// Reads those pages of a range that are not resident, neighbours in one call of the store.
    /// Pages beyond the end of the file are left out, and so are those that find no frame. Returns
    /// how many pages were read.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read). The pages that were read before stay.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::cache::{MemoryStore, PageCache, PageStore};
    /// let store = MemoryStore::new();
    /// store.truncate(20, 4096)?;
    /// let cache = PageCache::new(64);
    /// let file = cache.open(store)?;
    /// assert_eq!(cache.prefetch(file, 4..8)?, 4);
    /// assert_eq!(cache.prefetch(file, 6..)?, 12);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn prefetch(
        &self,
        file: FileId,
        pages: impl RangeBounds<u64>,
    ) -> Result<usize, CacheError> {
        self.prefetch_by(file, pages_of(&pages), 0)
    }

    /// [`prefetch`](Self::prefetch) with a hint.
    ///
    /// # Errors
    ///
    /// As [`prefetch`](Self::prefetch).
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::cache::{Hint, MemoryStore, PageCache, PageStore};
    /// # let store = MemoryStore::new();
    /// # store.truncate(20, 4096)?;
    /// # let cache = PageCache::new(64);
    /// let file = cache.open(store)?;
    /// assert_eq!(cache.prefetch_with(file, 0..20, Hint::Once)?, 20);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn prefetch_with(
        &self,
        file: FileId,
        pages: impl RangeBounds<u64>,
        hint: Hint,
    ) -> Result<usize, CacheError> {
        self.prefetch_by(file, pages_of(&pages), hint as u32)
    }

    fn prefetch_by(
        &self,
        file: FileId,
        (first, count): (u64, u64),
        hint: u32,
    ) -> Result<usize, CacheError> {
        let mut read = 0;
        // SAFETY: any thread may call it, with any numbers.
        self.call(|error| unsafe {
            ffi::aegis_page_cache_prefetch(self.raw(), file.0, first, count, hint, &mut read, error)
        })?;
        Ok(read)
    }

    /// Forgets the pages of a range without writing them, also dirty ones. Returns how many were
    /// resident.
    ///
    /// # Errors
    ///
    /// [`CacheErrorKind::Pinned`](super::CacheErrorKind::Pinned) if one is pinned. Some pages may
    /// be gone then.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::cache::{MemoryStore, PageCache};
    /// let cache = PageCache::new(64);
    /// let file = cache.open(MemoryStore::new())?;
    /// cache.fresh(file, 3)?;
    /// assert_eq!(cache.discard(file, 2..)?, 1);
    /// assert!(cache.read(file, 3).is_err(), "it was never written");
    /// # Ok::<(), aegis_memory::cache::CacheError>(())
    /// ```
    pub fn discard(&self, file: FileId, pages: impl RangeBounds<u64>) -> Result<usize, CacheError> {
        let ((first, count), mut gone) = (pages_of(&pages), 0);
        // SAFETY: any thread may call it, with any numbers.
        self.call(|error| unsafe {
            ffi::aegis_page_cache_discard(self.raw(), file.0, first, count, &mut gone, error)
        })?;
        Ok(gone)
    }

    /// Whether a page is resident at this moment.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::cache::{MemoryStore, PageCache};
    /// let cache = PageCache::new(64);
    /// let file = cache.open(MemoryStore::new())?;
    /// cache.fresh(file, 3)?;
    /// assert!(cache.contains(file, 3) && !cache.contains(file, 4));
    /// # Ok::<(), aegis_memory::cache::CacheError>(())
    /// ```
    pub fn contains(&self, file: FileId, page: u64) -> bool {
        // SAFETY: any thread may call it, with any numbers.
        unsafe { ffi::aegis_page_cache_contains(self.raw(), file.0, page) }
    }

    /// How many pages of a file are resident at this moment; 0 if it is not open.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::cache::{MemoryStore, PageCache};
    /// let cache = PageCache::new(64);
    /// let file = cache.open(MemoryStore::new())?;
    /// cache.fresh(file, 3)?;
    /// assert_eq!(cache.resident_count(file), 1);
    /// # Ok::<(), aegis_memory::cache::CacheError>(())
    /// ```
    pub fn resident_count(&self, file: FileId) -> usize {
        // SAFETY: any thread may call it, with any number.
        unsafe { ffi::aegis_page_cache_count(self.raw(), file.0) }
    }

    /// Writes up to `pages` dirty pages, in page order, without waiting for pages that are pinned
    /// to be written. It does not sync. Returns how many were written.
    ///
    /// An engine calls it from a thread of its own, so that threads that read find clean pages to
    /// evict; or [the builder](super::PageCacheBuilder::cleaner) makes a thread that does.
    ///
    /// # Errors
    ///
    /// As [`flush`](Self::flush). Pages that could not be written stay dirty.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::cache::{MemoryStore, PageCache};
    /// let cache = PageCache::new(64);
    /// let file = cache.open(MemoryStore::new())?;
    /// cache.fresh(file, 0)?;
    /// assert_eq!(cache.clean(100)?, 1);
    /// assert_eq!(cache.stats().dirty_count, 0);
    /// # Ok::<(), aegis_memory::cache::CacheError>(())
    /// ```
    pub fn clean(&self, pages: usize) -> Result<usize, CacheError> {
        let mut written = 0;
        // SAFETY: any thread may call it.
        self.call(|error| unsafe {
            ffi::aegis_page_cache_clean(self.raw(), pages, &mut written, error)
        })?;
        Ok(written)
    }

    /// Writes a page if it is resident and dirty. It does not sync.
    ///
    /// # Errors
    ///
    /// As [`flush`](Self::flush).
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::cache::{MemoryStore, PageCache};
    /// let cache = PageCache::new(64);
    /// let file = cache.open(MemoryStore::new())?;
    /// cache.fresh(file, 3)?;
    /// cache.flush_page(file, 3)?;
    /// assert_eq!(cache.stats().dirty_count, 0);
    /// # Ok::<(), aegis_memory::cache::CacheError>(())
    /// ```
    pub fn flush_page(&self, file: FileId, page: u64) -> Result<(), CacheError> {
        // SAFETY: any thread may call it, with any numbers.
        self.call(|error| unsafe {
            ffi::aegis_page_cache_flush_page(self.raw(), file.0, page, error)
        })
    }

    /// Writes all dirty pages of a file, and syncs its store. When it succeeds, every page that was
    /// dirty when the call began is durable, as far as the store tells the truth.
    ///
    /// # Errors
    ///
    /// - [`CacheErrorKind::NoFile`](super::CacheErrorKind::NoFile) and `Closing`.
    /// - `Write`, `Seal` and `Log`. What could not be written is dirty.
    /// - `Sync`. The pages that were written since the last sync are dirty again.
    /// - `Lost` if a sync failed earlier and some of these pages were no longer resident.
    /// - `Pinned` if a page stayed pinned to be written for too long.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::cache::{MemoryStore, PageCache, PageStore};
    /// # use std::sync::Arc;
    /// let store = Arc::new(MemoryStore::new());
    /// let cache = PageCache::new(64);
    /// let file = cache.open(Arc::clone(&store))?;
    /// cache.fresh(file, 0)?;
    /// cache.flush(file)?;
    /// assert_eq!(store.len(4096)?, 1);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn flush(&self, file: FileId) -> Result<(), CacheError> {
        // SAFETY: any thread may call it, with any number.
        self.call(|error| unsafe { ffi::aegis_page_cache_flush(self.raw(), file.0, error) })
    }

    /// [`flush`](Self::flush) for all files.
    ///
    /// # Errors
    ///
    /// The first error. The other files are still flushed.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::cache::{MemoryStore, PageCache};
    /// let cache = PageCache::new(64);
    /// let file = cache.open(MemoryStore::new())?;
    /// cache.fresh(file, 0)?;
    /// cache.flush_all()?;
    /// assert_eq!(cache.stats().sync_count, 1);
    /// # Ok::<(), aegis_memory::cache::CacheError>(())
    /// ```
    pub fn flush_all(&self) -> Result<(), CacheError> {
        // SAFETY: any thread may call it.
        self.call(|error| unsafe { ffi::aegis_page_cache_flush_all(self.raw(), error) })
    }

    /// Changes the number of frames. The cache adds whole slabs until it has so many frames or
    /// more, or removes whole slabs until it has so many or fewer, or one slab. To get smaller,
    /// pages are evicted, dirty ones after they were written.
    ///
    /// # Errors
    ///
    /// - [`CacheErrorKind::Invalid`](super::CacheErrorKind::Invalid) for 0 and for more than
    ///   [`max_frames`](super::PageCacheBuilder::max_frames).
    /// - `Resizing` if another thread resizes, `Pinned` if no slab is free of pinned pages.
    /// - `Memory`, and errors of writing.
    ///
    /// The number of frames is between the old and the new one then, and no page is lost.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::cache::PageCache;
    /// let cache = PageCache::builder().frames(64).max_frames(128).build()?;
    /// cache.resize(128)?;
    /// assert_eq!(cache.stats().frame_count, 128);
    /// cache.resize(8)?;
    /// assert_eq!(cache.stats().frame_count, 8);
    /// # Ok::<(), aegis_memory::cache::CacheError>(())
    /// ```
    pub fn resize(&self, frames: usize) -> Result<(), CacheError> {
        // SAFETY: any thread may call it.
        self.call(|error| unsafe { ffi::aegis_page_cache_resize(self.raw(), frames, error) })
    }

    /// The statistics of the cache. Numbers that other threads change meanwhile may not fit each
    /// other. The call looks at every frame.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::cache::PageCache;
    /// assert_eq!(PageCache::new(64).stats().free_count, 64);
    /// ```
    pub fn stats(&self) -> CacheStats {
        let mut raw = MaybeUninit::<ffi::aegis_page_cache_stats>::uninit();
        // SAFETY: any thread may call it, and it writes the whole struct.
        let raw = unsafe {
            ffi::aegis_page_cache_get_stats(self.raw(), raw.as_mut_ptr());
            raw.assume_init()
        };
        CacheStats::from_raw(&raw)
    }

    /// The statistics of a file. The call looks at every frame.
    ///
    /// # Errors
    ///
    /// [`CacheErrorKind::NoFile`](super::CacheErrorKind::NoFile).
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::cache::{MemoryStore, PageCache};
    /// let cache = PageCache::new(64);
    /// let file = cache.open(MemoryStore::new())?;
    /// assert_eq!(cache.file_stats(file)?.resident_count, 0);
    /// # Ok::<(), aegis_memory::cache::CacheError>(())
    /// ```
    pub fn file_stats(&self, file: FileId) -> Result<FileStats, CacheError> {
        let mut raw = MaybeUninit::<ffi::aegis_page_file_stats>::uninit();
        // SAFETY: any thread may call it, with any number.
        let status =
            unsafe { ffi::aegis_page_cache_get_file_stats(self.raw(), file.0, raw.as_mut_ptr()) };
        if !ffi::is_ok(&status) {
            return Err(CacheError::no_file(file, status));
        }
        // SAFETY: the call has written the whole struct.
        Ok(FileStats::from_raw(&unsafe { raw.assume_init() }))
    }
}
