/* SPDX-License-Identifier: Apache-2.0 */
/* What all files of the page cache share: the state of a cache, and of a file in it. Not installed.
 *
 * The parts, and who may change what:
 * 1. A frame's word (frame.h) is changed by any thread, atomically.
 * 2. The page table (table.c), the queues of the policy (policy.c), the list of free frames, and
 *    the table of files are changed under `mutex`, which is held for a few hundred instructions,
 * and never while a store, a hook, a source or a budget is called. Hits do not take it.
 * 3. A frame is in one of these places: in the list of free frames; in the queues of the policy
 *    and the page table, with a page; with a thread that is about to put it into one of them;
 * FAILED (frame.h); or outside, in a slab that is not held or is on its way out. Except for the
 * last two places, aegis_i_cache_is_valid adds them up.
 * 4. A page is in at most one frame: it is entered into the page table only under the lock, after
 *    a search that did not find it.
 * 5. The bytes of a page are newest in its frame if it has one, else in its store: a dirty page
 *    leaves its frame only after it was written, or when it is discarded.
 *
 * How a failed sync is not forgotten: `epoch` of a file counts its syncs. A frame whose page was
 * written keeps the epoch in which the write had returned. The sync that ends an epoch makes its
 * pages durable (`synced`). A page that is evicted with an epoch above `synced` raises
 * `evicted_epoch`, so a sync that fails knows whether all pages in question are still resident.
 *
 * The first LSN of a frame is the lowest one of those changes of its page that are not known to be
 * durable. So it is kept when the page is written, and forgotten after a sync (settle). */
#ifndef AEGIS_MEMORY_I_CACHE_STATE_H
#define AEGIS_MEMORY_I_CACHE_STATE_H

#include "aegis_memory/page_cache_control.h"
#include "../base/condition.h"
#include "../base/threads.h"
#include "../pool/slab.h"
#include "policy.h"

#define AEGIS_I_LATCHES 32
/* The most that a frame is aligned to. */
#define AEGIS_I_FRAME_ALIGN ((size_t)4096)

typedef AEGIS_I_ATOMIC(uint64_t) aegis_i_word64;
typedef AEGIS_I_ATOMIC(uint32_t) aegis_i_word32;

/* Where the threads sleep that wait for one of the frames that share it. */
typedef struct aegis_i_latch {
    aegis_i_mutex mutex;
    aegis_i_condition changed;
} aegis_i_latch;

/* An open file. It is freed when it is closed, and nobody has counted himself in `users`. */
typedef struct aegis_i_page_file {
    uint32_t number;
    aegis_page_store store;
    aegis_page_hooks hooks;
    /* All below are guarded by the lock of the cache. */
    bool closing;
    /* A thread writes and syncs the file. */
    bool flushing;
    bool lost;
    size_t users;
    size_t resident_count;
    uint32_t epoch;
    uint32_t synced;
    uint32_t evicted_epoch;
    /* The lowest first LSN of the pages that were evicted and are not durable. */
    uint64_t evicted_lsn;
    uint64_t sync_error_count;
    /* Where the next miss of a scan is expected, and how many pages the last one has read. */
    uint64_t scan_next;
    uint32_t scan_pages;
} aegis_i_page_file;

/* Memory for the copies of a batch of pages, and what the store is told of them. */
typedef struct aegis_i_write_buffer {
    unsigned char *bytes;
    aegis_page_write *pages;
    uint32_t *frames;
} aegis_i_write_buffer;

#define AEGIS_I_WRITE_BUFFERS 2

struct aegis_page_cache_shared {
    /* Read by hits: how many threads wait for a frame; one more if the budget waits for one. */
    AEGIS_I_ATOMIC(uint32_t) wanted_count;
    uint32_t process;
    /* How many files are being closed. Then a pin to write looks under the lock whether its file is
     * one of them. */
    AEGIS_I_ATOMIC(uint32_t) closing_count;
    aegis_page_frame *frames;
    uint32_t *chains;
    /* For each frame, what a hit does not touch: the first LSN, see above (while the frame
     * is FAILED: the status, with the reason in the upper half, while `lsn` has what is allowed);
     * its place in the queues; its epoch, see above, or 0 if the page was not written since it was
     * read. */
    aegis_i_word64 *first_lsns;
    aegis_i_frame_links *links;
    aegis_i_word32 *epochs;
    aegis_pool_slabs slabs;
    size_t page_bytes;
    uint64_t chain_factor;
    uint32_t chain_count;
    uint32_t slab_shift;
    uint32_t max_frame_count;
    uint32_t min_frame_count;
    uint64_t frame_wait_ns;
    uint64_t latch_wait_ns;
    aegis_budget_reclaimer *reclaimer;
    /* Tells the budget that the reclaimer can do more (resize.c). Called without the lock. */
    void (*tell_budget)(aegis_page_cache_shared *cache);
    /* The owner of the handle, and each buffer that is out. The last one frees the memory. */
    AEGIS_I_ATOMIC(size_t) references;

    aegis_i_mutex mutex;
    /* Something that threads wait for under the lock has changed. */
    aegis_i_condition changed;
    aegis_i_policy policy;
    uint32_t free_frames;
    uint32_t free_count;
    uint32_t frame_count;
    uint32_t target_count;
    /* The slab whose frames are to leave, or UINT32_MAX, and how many of them have left. */
    uint32_t leaving_slab;
    uint32_t left_count;
    bool resizing;
    bool ending;
    /* A request waits at the budget that the reclaimer could not serve. */
    bool budget_waits;
    /* Threads that tell the budget, which the end of the reclaimer waits for. */
    uint32_t telling_count;
    /* Misses until the cache tries again to get a slab that the budget has refused. */
    uint32_t regrow_in;
    /* Where aegis_page_cache_clean goes on. */
    AEGIS_I_ATOMIC(uint32_t) clean_at;
    aegis_i_page_file **files;
    uint32_t *generations;
    size_t files_size;
    size_t file_count;
    aegis_i_write_buffer writers[AEGIS_I_WRITE_BUFFERS];
    uint32_t writers_made;
    uint32_t writers_free;
    uint32_t batch_pages;
    size_t writers_bytes;
    size_t writers_align;

    /* A file with a `verify` was opened at some time. */
    AEGIS_I_ATOMIC(uint32_t) has_verify;
    AEGIS_I_ATOMIC(size_t) dirty_count;
    /* Counts under the lock. */
    uint64_t miss_count;
    uint64_t fresh_count;
    uint64_t prefetch_count;
    uint64_t evicted_count;
    /* Pages that were written by threads that needed a frame. */
    uint64_t evicted_dirty_count;
    uint64_t frame_wait_count;
    uint64_t write_batch_count;
    uint64_t write_page_count;
    uint64_t write_error_count;
    uint64_t largest_batch_count;
    uint64_t sync_count;
    uint64_t sync_error_count;
    uint64_t reclaimed_frame_count;
    uint64_t regrown_frame_count;
    /* Counts beside the lock. */
    AEGIS_I_ATOMIC_U64 taken_hits;
    AEGIS_I_ATOMIC_U64 join_count;
    AEGIS_I_ATOMIC_U64 latch_wait_count;
    AEGIS_I_ATOMIC_U64 read_error_count;
    AEGIS_I_ATOMIC_U64 once_hits[AEGIS_I_LATCHES];
    aegis_i_latch latches[AEGIS_I_LATCHES];
};

/* A page, for sorting. */
typedef struct aegis_i_page_record {
    uint64_t page;
    uint32_t file;
    uint32_t frame;
} aegis_i_page_record;

/* Whether a thread waits for frames. Relaxed: a thread that waits looks again every few
 * milliseconds, in case that a thread that leaves did not see it. */
static inline bool aegis_i_cache_is_wanted(aegis_page_cache_shared *cache) {
    return aegis_i_load(&cache->wanted_count, memory_order_relaxed) != 0;
}

/* The memory of a frame whose slab is held. */
static inline unsigned char *aegis_i_cache_bytes(const aegis_page_cache_shared *cache,
                                                 uint32_t frame) {
    uint32_t slab = frame >> cache->slab_shift;
    uint32_t at = frame & ((UINT32_C(1) << cache->slab_shift) - 1);
    return aegis_i_slab_base(aegis_i_slab_word(&cache->slabs, slab)) +
           at * cache->slabs.grid.stride_bytes;
}

/* A hash of a page, whose upper half is good (page_factor in init.c says why). */
static inline uint64_t aegis_i_page_hash(const aegis_page_cache_shared *cache, uint32_t file,
                                         uint64_t page) {
    return (page + ((uint64_t)file << 40) + file) * cache->chain_factor;
}

/* The same with all bits good, for the policy: the finalizer of SplitMix64 (Steele, Lea, Flood,
 * Fast splittable pseudorandom number generators, 2014). */
static inline uint64_t aegis_i_page_key(uint64_t hash) {
    hash = (hash ^ hash >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    hash = (hash ^ hash >> 27) * UINT64_C(0x94D049BB133111EB);
    return hash ^ hash >> 31;
}

/* The lower of two LSNs; 0 is none. */
static inline uint64_t aegis_i_lower_lsn(uint64_t a, uint64_t b) {
    return a == 0 || (b != 0 && b < a) ? b : a;
}

/* Fills in an error record, if there is one, and returns the status. */
static inline aegis_status aegis_i_page_fail(aegis_page_error *error, aegis_status status,
                                             uint32_t reason, uint32_t file, uint64_t page) {
    if (error == NULL)
        return status;
    memset(error, 0, sizeof *error);
    error->status = status;
    error->reason = reason;
    error->file = file;
    error->pinned_file = AEGIS_PAGE_NO_FILE;
    error->page = page;
    return status;
}

static inline aegis_status aegis_i_page_fail_bound(aegis_page_error *error, aegis_status status,
                                                   uint32_t reason, uint64_t asked,
                                                   uint64_t allowed) {
    (void)aegis_i_page_fail(error, status, reason, AEGIS_PAGE_NO_FILE, 0);
    if (error != NULL) {
        error->asked = asked;
        error->allowed = allowed;
    }
    return status;
}

#endif
