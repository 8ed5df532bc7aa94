// SPDX-License-Identifier: Apache-2.0
//! The statistics of a page cache and of its files.

use crate::ffi;
use crate::lines::display_lines;

/// The statistics of a [`PageCache`](super::PageCache). They count pages, unless a name
/// says bytes. Those of type `u64` count from the beginning of the cache, except for
/// `oldest_dirty_lsn` and `largest_batch_count`.
///
/// # Examples
///
/// ```
/// use aegis_memory::cache::{MemoryStore, PageCache};
///
/// let cache = PageCache::new(64);
/// let file = cache.open(MemoryStore::new())?;
/// cache.fresh(file, 0)?;
/// let stats = cache.stats();
/// assert_eq!((stats.resident_count, stats.dirty_count, stats.fresh_count), (1, 1, 1));
/// println!("{stats}");
/// # Ok::<(), aegis_memory::cache::CacheError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct CacheStats {
    /// Size of a page.
    pub page_bytes: usize,
    /// Frames.
    pub frame_count: usize,
    /// Frames that the cache may have at most.
    pub max_frame_count: usize,
    /// Frames that were asked for. With a budget there may be fewer.
    pub target_frame_count: usize,
    /// Frames without a page.
    pub free_count: usize,
    /// Pages in frames.
    pub resident_count: usize,
    /// Pages that are pinned.
    pub pinned_count: usize,
    /// Buffers over pages.
    pub buffer_count: usize,
    /// Pages that are dirty.
    pub dirty_count: usize,
    /// The lowest LSN of a change that is not known to be durable, because its page is dirty, or was
    /// written and not synced. 0: there is none.
    pub oldest_dirty_lsn: u64,
    /// Pages of the largest batch ever written.
    pub largest_batch_count: u64,
    /// Bytes acquired from the source and not released.
    pub reserved_bytes: usize,
    /// Bytes of them that are neither frames nor write buffers.
    pub overhead_bytes: usize,
    /// Bytes of the write buffers.
    pub write_buffer_bytes: usize,
    /// Pins of pages that were resident.
    pub hit_count: u64,
    /// Pins of pages that were not.
    pub miss_count: u64,
    /// Pages that were made without reading.
    pub fresh_count: u64,
    /// Pages that were read by prefetch.
    pub prefetch_count: u64,
    /// Misses that found the page being read by another thread.
    pub join_count: u64,
    /// Waits for a page that another thread had pinned.
    pub latch_wait_count: u64,
    /// Waits for a frame.
    pub frame_wait_count: u64,
    /// Clean pages that were evicted.
    pub evicted_clean_count: u64,
    /// Pages that were evicted, and had to be written first.
    pub evicted_dirty_count: u64,
    /// Batches that were written.
    pub write_batch_count: u64,
    /// Pages in them.
    pub write_page_count: u64,
    /// Batches that failed.
    pub write_error_count: u64,
    /// Reads that failed.
    pub read_error_count: u64,
    /// Syncs.
    pub sync_count: u64,
    /// Syncs that failed.
    pub sync_error_count: u64,
    /// Frames that the budget got back.
    pub reclaimed_frame_count: u64,
    /// Frames that were added later.
    pub regrown_frame_count: u64,
}

display_lines!(CacheStats {
    page_bytes: Bytes,
    frame_count: Count,
    max_frame_count: Count,
    target_frame_count: Count,
    free_count: Count,
    resident_count: Count,
    pinned_count: Count,
    buffer_count: Count,
    dirty_count: Count,
    oldest_dirty_lsn: Count,
    largest_batch_count: Count,
    reserved_bytes: Bytes,
    overhead_bytes: Bytes,
    write_buffer_bytes: Bytes,
    hit_count: Count,
    miss_count: Count,
    fresh_count: Count,
    prefetch_count: Count,
    join_count: Count,
    latch_wait_count: Count,
    frame_wait_count: Count,
    evicted_clean_count: Count,
    evicted_dirty_count: Count,
    write_batch_count: Count,
    write_page_count: Count,
    write_error_count: Count,
    read_error_count: Count,
    sync_count: Count,
    sync_error_count: Count,
    reclaimed_frame_count: Count,
    regrown_frame_count: Count,
});

impl CacheStats {
    pub(super) fn from_raw(raw: &ffi::aegis_page_cache_stats) -> Self {
        // Without `..`, so that a field that is missing does not compile.
        let ffi::aegis_page_cache_stats {
            page_bytes,
            frame_count,
            max_frame_count,
            target_frame_count,
            free_count,
            resident_count,
            pinned_count,
            buffer_count,
            dirty_count,
            oldest_dirty_lsn,
            largest_batch_count,
            reserved_bytes,
            overhead_bytes,
            write_buffer_bytes,
            hit_count,
            miss_count,
            fresh_count,
            prefetch_count,
            join_count,
            latch_wait_count,
            frame_wait_count,
            evicted_clean_count,
            evicted_dirty_count,
            write_batch_count,
            write_page_count,
            write_error_count,
            read_error_count,
            sync_count,
            sync_error_count,
            reclaimed_frame_count,
            regrown_frame_count,
        } = *raw;
        Self {
            page_bytes,
            frame_count,
            max_frame_count,
            target_frame_count,
            free_count,
            resident_count,
            pinned_count,
            buffer_count,
            dirty_count,
            oldest_dirty_lsn,
            largest_batch_count,
            reserved_bytes,
            overhead_bytes,
            write_buffer_bytes,
            hit_count,
            miss_count,
            fresh_count,
            prefetch_count,
            join_count,
            latch_wait_count,
            frame_wait_count,
            evicted_clean_count,
            evicted_dirty_count,
            write_batch_count,
            write_page_count,
            write_error_count,
            read_error_count,
            sync_count,
            sync_error_count,
            reclaimed_frame_count,
            regrown_frame_count,
        }
    }

    /// The same with the counts from a moment on: a window.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::cache::{MemoryStore, PageCache};
    /// let cache = PageCache::new(64);
    /// let file = cache.open(MemoryStore::new())?;
    /// cache.fresh(file, 0)?;
    /// let before = cache.stats();
    /// cache.read(file, 0)?;
    /// let window = cache.stats().since(&before);
    /// assert_eq!((window.hit_count, window.fresh_count), (1, 0));
    /// # Ok::<(), aegis_memory::cache::CacheError>(())
    /// ```
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        macro_rules! counts_since {
            ($($count:ident),* $(,)?) => {
                Self { $($count: self.$count.saturating_sub(earlier.$count),)* ..*self }
            };
        }
        counts_since!(
            hit_count,
            miss_count,
            fresh_count,
            prefetch_count,
            join_count,
            latch_wait_count,
            frame_wait_count,
            evicted_clean_count,
            evicted_dirty_count,
            write_batch_count,
            write_page_count,
            write_error_count,
            read_error_count,
            sync_count,
            sync_error_count,
            reclaimed_frame_count,
            regrown_frame_count,
        )
    }

    /// The part of the pins that were hits, from 0 to 1. 1 if there were none. The ratio over a
    /// window is that of [`since`](Self::since).
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::cache::{MemoryStore, PageCache};
    /// let cache = PageCache::new(64);
    /// let file = cache.open(MemoryStore::new())?;
    /// cache.fresh(file, 0)?;
    /// cache.read(file, 0)?;
    /// assert_eq!(cache.stats().hit_ratio(), 1.0);
    /// # Ok::<(), aegis_memory::cache::CacheError>(())
    /// ```
    pub fn hit_ratio(&self) -> f64 {
        match self.hit_count + self.miss_count {
            0 => 1.0,
            all => self.hit_count as f64 / all as f64,
        }
    }
}

/// The pages of one file in a [`PageCache`](super::PageCache).
///
/// # Examples
///
/// ```
/// use aegis_memory::cache::{MemoryStore, PageCache};
///
/// let cache = PageCache::new(64);
/// let file = cache.open(MemoryStore::new())?;
/// cache.fresh(file, 0)?;
/// let stats = cache.file_stats(file)?;
/// assert_eq!((stats.resident_count, stats.dirty_count, stats.lost), (1, 1, false));
/// # Ok::<(), aegis_memory::cache::CacheError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct FileStats {
    /// Pages in frames.
    pub resident_count: usize,
    /// Pages that are pinned.
    pub pinned_count: usize,
    /// Pages that are dirty.
    pub dirty_count: usize,
    /// Pages by temperature: how soon they are evicted if nobody uses them, the coldest first.
    pub temperature_counts: [usize; 4],
    /// Syncs that failed.
    pub sync_error_count: u64,
    /// Each flush of the file fails: see [`CacheErrorKind::Lost`](super::CacheErrorKind::Lost).
    pub lost: bool,
}

impl FileStats {
    pub(super) fn from_raw(raw: &ffi::aegis_page_file_stats) -> Self {
        Self {
            resident_count: raw.resident_count,
            pinned_count: raw.pinned_count,
            dirty_count: raw.dirty_count,
            temperature_counts: raw.temperature_counts,
            sync_error_count: raw.sync_error_count,
            lost: raw.lost != 0,
        }
    }
}
