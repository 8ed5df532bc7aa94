/* SPDX-License-Identifier: Apache-2.0 */
/** @file page_cache_control.h
 *  What an engine does with a page cache beside pinning pages: prefetch and discard, write back,
 *  read by itself, resize, and look inside. page_cache.h has the words and the rules.
 */
#ifndef AEGIS_MEMORY_PAGE_CACHE_CONTROL_H
#define AEGIS_MEMORY_PAGE_CACHE_CONTROL_H

#if defined(AEGIS_OMIT_THREADS) || defined(AEGIS_FREESTANDING)
#error "aegis_memory/page_cache_control.h needs threads: AEGIS_OMIT_THREADS leaves it out"
#endif

#include "page_cache.h"

#ifdef __cplusplus
extern "C" {
#endif

/* -- pages that nobody has pinned -- */

/** Reads those pages of a range that are not resident, neighbours in one call of the store.
 *  @param first_page  the first page.
 *  @param page_count  how many. Pages beyond the end of the file are left out.
 *  @param hint        AEGIS_PIN_ONCE, AEGIS_PIN_KEEP or 0.
 *  @param read_count  set to how many pages were read. May be NULL.
 *  @return            AEGIS_OK, also if some pages found no frame; otherwise as for
 *                     aegis_page_cache_pin.
 *  On failure:        the pages that were read before stay.
 *  Threads:           any thread.
 *  Cost:              the reads, on this thread.
 */
AEGIS_API aegis_status aegis_page_cache_prefetch(const aegis_page_cache *cache, uint32_t file,
                                                 uint64_t first_page, uint64_t page_count,
                                                 uint32_t hint, size_t *read_count,
                                                 aegis_page_error *error);

/** Forgets the pages of a range without writing them, also dirty ones.
 *  @param page_count       how many; UINT64_MAX: to the end.
 *  @param discarded_count  set to how many pages were resident and are gone. May be NULL.
 *  @return                 AEGIS_OK; AEGIS_E_BUSY if one is pinned; AEGIS_E_INVALID.
 *  On failure:             some pages may be gone.
 *  Threads:                any thread.
 *  Cost:                   O(the smaller of page_count and frames).
 */
AEGIS_API aegis_status aegis_page_cache_discard(const aegis_page_cache *cache, uint32_t file,
                                                uint64_t first_page, uint64_t page_count,
                                                size_t *discarded_count, aegis_page_error *error);

/** Says whether a page is resident at this moment.
 *  Threads:  any thread.
 *  Cost:     O(1) under one lock.
 */
AEGIS_API bool aegis_page_cache_contains(const aegis_page_cache *cache, uint32_t file,
                                         uint64_t page);

/** Gives a page another number, with its bytes and in its frame. It is then a page of that number
 *  as if it had been written by the pin: dirty if the pin ends with AEGIS_UNPIN_DIRTY, or if it
 *  was dirty before. What the store has under the old number stays there. A page that is resident
 *  under the new number is forgotten as by aegis_page_cache_discard.
 *  @param pin       a pin to write. `pin->page` is set.
 *  @param new_page  the new number. If it is the old one, nothing happens.
 *  @return          AEGIS_OK; AEGIS_E_BUSY if the page that has the number is pinned;
 *                   AEGIS_E_INVALID: it is no pin to write; AEGIS_E_CLOSED: another thread is
 *                   about to close the file; AEGIS_E_FORKED: this is a child of the cache's
 *                   process.
 *  On failure:      the pin is as before.
 *  Threads:         any thread.
 *  Cost:            O(1) under one lock, and a wait for a store that writes the page.
 */
AEGIS_API aegis_status aegis_page_cache_rekey(const aegis_page_cache *cache, aegis_page_pin *pin,
                                              uint64_t new_page, aegis_page_error *error);

/** Returns how many pages of a file are resident at this moment; 0 if no such file is open.
 *  Threads:  any thread.
 *  Cost:     O(1) under one lock.
 */
AEGIS_API size_t aegis_page_cache_count(const aegis_page_cache *cache, uint32_t file);

/* -- writing back -- */

/** Writes up to `page_count` dirty pages, in page order, without waiting for pages that are pinned
 *  to be written. An engine calls it from a thread of its own, so that threads that read find clean
 *  pages to evict. It does not sync.
 *  @param written_count  set to how many were written. May be NULL.
 *  @return               AEGIS_OK, also if fewer pages were dirty; otherwise as for
 *                        aegis_page_cache_flush.
 *  On failure:           pages that could not be written stay dirty.
 *  Threads:              any thread.
 *  Cost:                 the writes, and O(frames) in the worst case. As aegis_page_cache_flush, it
 *                        sorts more than 256 pages on the C heap if that has room.
 */
AEGIS_API aegis_status aegis_page_cache_clean(const aegis_page_cache *cache, size_t page_count,
                                              size_t *written_count, aegis_page_error *error);

/** Writes a page if it is dirty. It does not sync.
 *  @return   as for aegis_page_cache_flush; AEGIS_OK for a page that is not resident.
 *  Threads:  any thread.
 *  Cost:     a write.
 */
AEGIS_API aegis_status aegis_page_cache_flush_page(const aegis_page_cache *cache, uint32_t file,
                                                   uint64_t page, aegis_page_error *error);

/** Writes all dirty pages of a file, and syncs its store.
 *  @return      AEGIS_OK: every page that was dirty when the call began is durable. AEGIS_E_INVALID
 *               (no such file), AEGIS_E_CLOSED, AEGIS_E_BUSY (a page stayed pinned to be written
 *               for too long), AEGIS_E_IO or what else the store or a hook returned,
 *               AEGIS_E_FORKED. page_cache.h says what a failed sync means.
 *  On failure:  what could not be written is dirty.
 *  Threads:     any thread; one at a time flushes a file, and others wait.
 *  Cost:        O(frames), the writes and the sync. It uses 16 bytes of the C heap for each dirty
 *               page to sort them; if there are none, it sorts in smaller parts.
 */
AEGIS_API aegis_status aegis_page_cache_flush(const aegis_page_cache *cache, uint32_t file,
                                              aegis_page_error *error);

/** aegis_page_cache_flush for all files. If one fails, the others are still flushed, and the first
 *  error is returned. */
AEGIS_API aegis_status aegis_page_cache_flush_all(const aegis_page_cache *cache,
                                                  aegis_page_error *error);

/* -- reads in two steps, for callers that do the I/O themselves (io_uring, async) -- */

/** Begins to read a page, or pins it if it is resident. It does not wait and does no I/O.
 *  @param mode   AEGIS_PIN_READ, with AEGIS_PIN_ONCE, AEGIS_PIN_KEEP or neither.
 *  @param pin    filled in after AEGIS_OK.
 *  @param read   filled in after AEGIS_PENDING.
 *  @return       AEGIS_OK: the page is pinned. AEGIS_PENDING: the caller reads the page into
 *                `read->data` and then calls aegis_page_cache_complete; threads that want the page
 *                wait meanwhile. AEGIS_E_BUSY: another thread reads the page or has it pinned to
 *                write, or no frame is free and clean (AEGIS_PAGE_ALL_PINNED); otherwise as for
 *                aegis_page_cache_pin.
 *  Ownership:    a read that is begun must be completed.
 *  Threads:      any thread; another one may complete it.
 *  Cost:         O(1).
 */
AEGIS_API aegis_status aegis_page_cache_begin_read(const aegis_page_cache *cache, uint32_t file,
                                                   uint64_t page, uint32_t mode,
                                                   aegis_page_pin *pin, aegis_page_read *read,
                                                   aegis_page_error *error);

/** Completes a read: publishes the page, or the error to those who wait for it.
 *  @param read    all-zero afterwards.
 *  @param result  AEGIS_OK, and the bytes are there; or an error.
 *  @param pin     filled in after AEGIS_OK.
 *  @return        AEGIS_OK: the page is pinned to be read. `result`; what the hook `verify`
 *                 returned; AEGIS_E_INVALID for no read.
 *  Threads:       any thread.
 *  Cost:          O(1), and the hook.
 */
AEGIS_API aegis_status aegis_page_cache_complete(const aegis_page_cache *cache,
                                                 aegis_page_read *read, aegis_status result,
                                                 aegis_page_pin *pin, aegis_page_error *error);

/* -- size -- */

/** Changes the number of frames. To get smaller, pages are evicted, dirty ones after they were
 *  written.
 *  @param frame_count  at least 1; rounded up to whole slabs, each of which has at most an eighth
 *                      of the first number of frames.
 *  @return             AEGIS_OK; AEGIS_E_INVALID (0, or more than `max_frame_count`);
 *                      AEGIS_E_BUSY (another thread resizes, or no slab is free of pinned pages);
 *                      AEGIS_E_OUT_OF_MEMORY, AEGIS_E_LIMIT_EXCEEDED; AEGIS_E_IO and so on;
 *                      AEGIS_E_FORKED.
 *  On failure:         the number of frames is between the old and the new one, and no page is
 *                      lost.
 *  Threads:            any thread.
 *  Cost:               one acquire or release a slab, O(frames), the writes.
 */
AEGIS_API aegis_status aegis_page_cache_resize(const aegis_page_cache *cache, size_t frame_count,
                                               aegis_page_error *error);

/** Where a slab is. */
typedef struct aegis_page_slab {
    /** The first byte. */
    unsigned char *base;
    /** Bytes of the slab. */
    size_t size_bytes;
    /** The number of the first frame. */
    size_t first_frame;
    /** How many frames there are. */
    size_t frame_count;
} aegis_page_slab;

/** Tells where a slab is, to register it with the kernel.
 *  @param slab  counts from 0.
 *  @param info  overwritten.
 *  @return      AEGIS_OK; AEGIS_E_EXHAUSTED if this slab is not held; AEGIS_E_INVALID beyond the
 *               last.
 *  Threads:     any thread; a resize moves nothing, but adds and removes slabs.
 *  Cost:        O(1).
 */
AEGIS_API aegis_status aegis_page_cache_get_slab(const aegis_page_cache *cache, size_t slab,
                                                 aegis_page_slab *info);

/* -- figures -- */

/** The statistics of a cache. The counts are from its beginning. */
typedef struct aegis_page_cache_stats {
    /** Bytes of a page. */
    size_t page_bytes;
    /** Frames now. */
    size_t frame_count;
    /** The most frames that a resize may ask for. */
    size_t max_frame_count;
    /** Frames that were asked for: with a budget there may be fewer. */
    size_t target_frame_count;
    /** Frames without a page. */
    size_t free_count;
    /** Pages that are resident. */
    size_t resident_count;
    /** Pages that are pinned. */
    size_t pinned_count;
    /** Buffers that are made of pages. */
    size_t buffer_count;
    /** Pages that are dirty. */
    size_t dirty_count;
    /** The lowest LSN of a change that is not known to be durable, because its page is dirty, or
     *  was written and not synced: the log from there on is needed to recover. 0: there is none. */
    uint64_t oldest_dirty_lsn;
    /** Pins of pages that were resident. */
    uint64_t hit_count;
    /** Pins of pages that were not. */
    uint64_t miss_count;
    /** Pages that were made without reading. */
    uint64_t fresh_count;
    /** Pages that were read by prefetch. */
    uint64_t prefetch_count;
    /** Misses that found the page being read by another thread. */
    uint64_t join_count;
    /** Waits for a latch. */
    uint64_t latch_wait_count;
    /** Waits for a frame. */
    uint64_t frame_wait_count;
    /** Pages that were evicted and did not have to be written first. */
    uint64_t evicted_clean_count;
    /** Pages that were evicted after the thread which needed the frame had written them. */
    uint64_t evicted_dirty_count;
    /** Calls of write_batch. */
    uint64_t write_batch_count;
    /** Pages that these calls have written. */
    uint64_t write_page_count;
    /** Calls of write_batch that failed. */
    uint64_t write_error_count;
    /** The most pages in one call. */
    uint64_t largest_batch_count;
    /** Reads that failed. */
    uint64_t read_error_count;
    /** Syncs. */
    uint64_t sync_count;
    /** Syncs that failed. */
    uint64_t sync_error_count;
    /** Frames that the budget got back. */
    uint64_t reclaimed_frame_count;
    /** Frames that were added later in their place. */
    uint64_t regrown_frame_count;
    /** Bytes acquired from the source and not released. */
    size_t reserved_bytes;
    /** Bytes of `reserved_bytes` that are neither frames nor write buffers. */
    size_t overhead_bytes;
    /** Bytes of the write buffers. */
    size_t write_buffer_bytes;
} aegis_page_cache_stats;

/** aegis_page_cache_get_stats for a struct of `stats_bytes` bytes: see "Structs that grow" in
 *  base.h. */
AEGIS_API void aegis_page_cache_get_stats_sized(const aegis_page_cache *cache,
                                                aegis_page_cache_stats *stats, size_t stats_bytes);

/** Fills in the statistics. The hit ratio over a window is the difference of two of them.
 *  Threads:  any thread. Numbers that change meanwhile may not fit each other.
 *  Cost:     O(frames).
 */
AEGIS_STATIC_INLINE void aegis_page_cache_get_stats(const aegis_page_cache *cache,
                                                    aegis_page_cache_stats *stats) {
    aegis_page_cache_get_stats_sized(cache, stats, sizeof *stats);
}

/** The pages of one file. */
typedef struct aegis_page_file_stats {
    /** Pages that are resident. */
    size_t resident_count;
    /** Pages that are pinned. */
    size_t pinned_count;
    /** Pages that are dirty. */
    size_t dirty_count;
    /** Pages by temperature: how soon they are evicted if nobody uses them; [0] first. */
    size_t temperature_counts[4];
    /** Syncs that failed. */
    uint64_t sync_error_count;
    /** 1: each flush fails, see AEGIS_PAGE_LOST. */
    uint32_t lost;
} aegis_page_file_stats;

/** aegis_page_cache_get_file_stats for a struct of `stats_bytes` bytes. */
AEGIS_API aegis_status aegis_page_cache_get_file_stats_sized(const aegis_page_cache *cache,
                                                             uint32_t file,
                                                             aegis_page_file_stats *stats,
                                                             size_t stats_bytes);

/** Fills in the statistics of a file.
 *  @return   AEGIS_OK or AEGIS_E_INVALID.
 *  Threads:  any thread.
 *  Cost:     O(frames).
 */
AEGIS_STATIC_INLINE aegis_status aegis_page_cache_get_file_stats(const aegis_page_cache *cache,
                                                                 uint32_t file,
                                                                 aegis_page_file_stats *stats) {
    return aegis_page_cache_get_file_stats_sized(cache, file, stats, sizeof *stats);
}

/** Draws the cache: a line of figures, a map of the frames, and a line for each file.
 *  @param print    receives the lines.
 *  @param context  passed to it.
 *  Threads:        any thread.
 *  Cost:           O(frames + files).
 */
AEGIS_API void aegis_page_cache_print(const aegis_page_cache *cache, aegis_print_fn print,
                                      void *context);

#ifdef __cplusplus
}
#endif

#endif
