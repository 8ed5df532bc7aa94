/* SPDX-License-Identifier: Apache-2.0 */
/** @file page_cache.h
 *  The page cache: a fixed amount of memory that holds pages of files. Database books call it the
 *  buffer pool. (buffer_pool.h is something else: buffers that come back to their pool.)
 *
 *  Words:
 *  - A page is a piece of a file, `page_bytes` long, with a number that counts from 0.
 *  - A frame is a place in memory for one page. Frames lie in page-aligned slabs.
 *  - A pin is the right to use a page: shared, to read it, or exclusive, to write it. A page that
 *    is pinned stays in its frame.
 *  - A page is dirty if it was written to and its store does not have the new bytes yet.
 *  - A store reads and writes the pages of one file (page_store.h).
 *
 *  What it does:
 *  - A pin of a page that is resident (a hit) takes no lock: it looks the page up, and adds to one
 *    atomic word of the frame. The unpin subtracts from that word.
 *  - Otherwise (a miss) the page is read into a free frame, or into the frame of a page that is
 *    evicted. Several threads that miss the same page read it once: the others wait for the first
 *    and get its page, or its error.
 *  - Dirty pages are written in batches in page order, by aegis_page_cache_clean and
 *    aegis_page_cache_flush, and by a thread with a miss only if it finds nothing clean to evict.
 *    A page is copied before it is written, so that nobody waits for the store to write it.
 *  - No lock is held while a store or a hook runs, except the latch of the frame that is read. A
 *    store or a hook must not use the cache that calls it: it could wait for its own caller.
 *
 *  Eviction: csrc/cache/policy.h has the algorithm and where it comes from. Pages that are read
 *  once, as by a scan, do not push out those that are used again and again.
 *
 *  The write-ahead rule: whoever changes a page under a log sets the LSN of the change
 *  (aegis_page_cache_set_lsn). Before a page is written, `before_write` is called with the highest
 *  LSN of the batch and must succeed: it makes the log durable up to there.
 *
 *  Errors of a store. A page that could not be written stays dirty. After a failed sync nobody
 *  knows which of the pages that were written since the last good sync are durable: Linux drops
 *  them and reports that once. So all of them that are resident become dirty again, and the next
 *  flush writes them again. If one of them was evicted meanwhile, its newest bytes may be lost:
 *  then each later flush of the file fails (AEGIS_PAGE_LOST), until the file is closed and opened
 * again, for the engine to recover it from its log. So a flush that succeeds says that all pages
 * that were dirty when it began are durable, as far as the store tells the truth.
 *
 *  Waiting. A pin waits while another thread has the page pinned in a way that excludes it, up to
 *  `latch_wait_ns`. A writer that waits keeps new readers out, so a thread must not pin a page that
 *  it has pinned already, unless it does not wait (AEGIS_PIN_TRY). What waits too long fails with
 *  AEGIS_E_BUSY.
 *
 *  After a fork the cache belongs to the parent. In the child a page that is resident can still be
 *  read; all else fails with AEGIS_E_FORKED, and aegis_page_cache_abandon frees the memory. The
 *  child writes to no store.
 *
 *  Bounds: 64 bytes for each of `max_frame_count` frames, beside the frames; the buffers from
 *  which pages are written, at most 1/128 of the frames or one page, and 2 MiB; and about 4 KiB.
 *  A record of the C heap for each open file, and one for each page that is a buffer.
 *
 *  The struct is a handle that may be moved with memcpy. An all-zero struct is no cache.
 *
 *  The header is longer than 500 lines, because pins, files and their errors belong together; what
 * an engine does beside them is in page_cache_control.h.
 */
#ifndef AEGIS_MEMORY_PAGE_CACHE_H
#define AEGIS_MEMORY_PAGE_CACHE_H

#if defined(AEGIS_OMIT_THREADS) || defined(AEGIS_FREESTANDING)
#error "aegis_memory/page_cache.h needs threads: AEGIS_OMIT_THREADS leaves it out"
#endif

#include "base.h"
#include "buffer.h"
#include "budget.h"
#include "page_store.h"
#include "source.h"

#ifdef __cplusplus
extern "C" {
#endif

/** The smallest page, in bytes. */
#define AEGIS_PAGE_MIN_BYTES AEGIS_CAST(size_t, 512)
/** The largest page, in bytes. */
#define AEGIS_PAGE_MAX_BYTES (AEGIS_CAST(size_t, 1) << 20)
/** The most frames of a cache. */
#define AEGIS_PAGE_MAX_FRAMES (AEGIS_CAST(size_t, 1) << 30)
/** The most files that are open at a time. */
#define AEGIS_PAGE_MAX_FILES AEGIS_CAST(size_t, 65536)
/** A number that no file has. */
#define AEGIS_PAGE_NO_FILE 0u

/** Pin to read: other readers may have the page pinned too. */
#define AEGIS_PIN_READ 0u
/** Pin to write: nobody else has the page pinned. */
#define AEGIS_PIN_WRITE 1u
/** Pin a new page to write. It is zeroed, not read, and is dirty in any case. */
#define AEGIS_PIN_FRESH 3u
/** Do not wait for another thread: fail with AEGIS_E_BUSY. A miss still reads. */
#define AEGIS_PIN_TRY 4u
/** The page is used once, as by a scan: it is the first to be evicted, and its use does not count
 *  for a page that is resident already. If the misses of a file with this flag follow each other,
 *  the pages behind are read ahead, more each time, up to 64 or 1 MiB or a quarter of the
 *  frames. */
#define AEGIS_PIN_ONCE 8u
/** The page will be used often, as the root of an index: it is evicted late. */
#define AEGIS_PIN_KEEP 16u
/** Do not read: a page that is not resident is AEGIS_PENDING. */
#define AEGIS_PIN_RESIDENT 32u

/** aegis_page_cache_unpin, _downgrade: the page was written to. */
#define AEGIS_UNPIN_DIRTY 1u

/** aegis_page_cache_close: throw dirty pages away instead of writing them. */
#define AEGIS_CLOSE_DISCARD 1u

/** aegis_page_cache_options.flags: the cache is a reclaimer of its budget. It gives slabs back on
 * the thread that charges, and writes dirty pages for that. So that thread must hold nothing that a
 *  store or a hook of the cache waits for. */
#define AEGIS_PAGE_CACHE_RECLAIMABLE 1u

/** aegis_page_error.reason: the status says it all, or `memory` does. */
#define AEGIS_PAGE_NONE 0u
/** aegis_page_error.reason: an option, named by its offset in the struct, is out of bounds: `asked`
 *  and `allowed`. */
#define AEGIS_PAGE_OPTION 1u
/** aegis_page_error.reason: no file with this number is open, or it is being closed. */
#define AEGIS_PAGE_FILE 2u
/** aegis_page_error.reason: the page is pinned by another thread, or by this one. */
#define AEGIS_PAGE_PINNED 3u
/** aegis_page_error.reason: every frame is pinned: `allowed` frames, most of them by
 *  `pinned_file`. */
#define AEGIS_PAGE_ALL_PINNED 4u
/** aegis_page_error.reason: the store could not read the page. */
#define AEGIS_PAGE_READ 5u
/** aegis_page_error.reason: the page lies beyond the end of the file, which has `allowed` pages. */
#define AEGIS_PAGE_BEYOND 6u
/** aegis_page_error.reason: the hook `verify` has refused the page. */
#define AEGIS_PAGE_VERIFY 7u
/** aegis_page_error.reason: the store could not write the page, or a batch that it was in. */
#define AEGIS_PAGE_WRITE 8u
/** aegis_page_error.reason: the hook `seal` has refused the page. */
#define AEGIS_PAGE_SEAL 9u
/** aegis_page_error.reason: the hook `before_write` has failed for the LSN `asked`. */
#define AEGIS_PAGE_LOG 10u
/** aegis_page_error.reason: the store could not sync. The pages are dirty again. */
#define AEGIS_PAGE_SYNC 11u
/** aegis_page_error.reason: a sync failed earlier, and pages that it should have made durable are
 *  no longer in memory. */
#define AEGIS_PAGE_LOST 12u
/** aegis_page_error.reason: a handle that is no pin of this cache, or not of the needed mode. */
#define AEGIS_PAGE_HANDLE 13u
/** aegis_page_error.reason: the number of frames `asked` is above what the options allow. */
#define AEGIS_PAGE_FRAMES 14u
/** aegis_page_error.reason: another call is changing the number of frames. */
#define AEGIS_PAGE_RESIZING 15u
/** aegis_page_error.reason: `asked` bytes are no size of a page: a power of two, and `allowed` is
 *  the bound. */
#define AEGIS_PAGE_SIZE 16u
/** aegis_page_error.reason: flags, or a mode, of which `allowed` has the known bits. */
#define AEGIS_PAGE_FLAGS 17u
/** aegis_page_error.reason: a function is NULL that a store must have. */
#define AEGIS_PAGE_FUNCTION 18u
/** aegis_page_error.reason: more than `allowed` pins of one page. */
#define AEGIS_PAGE_PINS 19u
/** aegis_page_error.reason: more than `allowed` open files. */
#define AEGIS_PAGE_FILES 20u
/** aegis_page_error.reason: no frame is free and clean, and the call does not write. */
#define AEGIS_PAGE_ALL_DIRTY 21u

/* For an inline implementation of a hit in another language, which does what csrc/cache/pin.h does.
 * The Rust crate has one. A change of these numbers is a change of the interface. */

/** A search looks at so many frames at most. */
#define AEGIS_PAGE_MAX_STEPS 64u
/** aegis_page_frame.state: the number of readers. */
#define AEGIS_FRAME_READERS 0xfffff
/** aegis_page_frame.state: a pin is counted by adding this. */
#define AEGIS_FRAME_ONE_PIN 0x100000000
/** aegis_page_frame.state: a reader that finds one of these bits does not enter. */
#define AEGIS_FRAME_CLOSED 0x8000000001380000
/** aegis_page_frame.state: a reader that finds one of these bits when it leaves calls
 *  aegis_page_cache_left. */
#define AEGIS_FRAME_TELL 0x3000000

/** Why a call on a page cache failed. */
typedef struct aegis_page_error {
    /** AEGIS_OK if nothing has failed. */
    aegis_status status;
    /** AEGIS_PAGE_*. */
    uint32_t reason;
    /** The file, or AEGIS_PAGE_NO_FILE. */
    uint32_t file;
    /** The file that has most of the frames pinned. */
    uint32_t pinned_file;
    /** The page. */
    uint64_t page;
    /** What was asked for. */
    uint64_t asked;
    /** What would have been allowed. */
    uint64_t allowed;
    /** How many frames are pinned. */
    size_t pinned_count;
    /** How many of them by `pinned_file`. */
    size_t pinned_file_count;
    /** Why memory was refused, if it was. */
    aegis_error memory;
} aegis_page_error;

/** Writes an error record as an English sentence.
 *  @param error   not NULL.
 *  @param buffer  where the text goes, ended with a zero byte unless buffer_bytes is 0. The text
 *                 is cut if the buffer is too small.
 *  @return        the bytes of the whole text, without the zero byte.
 *  Threads:       any thread, while the budget in the record is good.
 *  Cost:          O(text).
 */
AEGIS_API size_t aegis_page_error_explain(const aegis_page_error *error, char *buffer,
                                          size_t buffer_bytes);

/** How a cache is made. A field that is zero means a default. */
typedef struct aegis_page_cache_options {
    /** A power of two from AEGIS_PAGE_MIN_BYTES to AEGIS_PAGE_MAX_BYTES. 0: 4096. */
    size_t page_bytes;
    /** Frames at first; at least 1. If there may be more later, rounded up to whole slabs: each has
     *  at most an eighth of the frames. */
    size_t frame_count;
    /** The most that aegis_page_cache_resize may ask for. 0: `frame_count`. */
    size_t max_frame_count;
    /** The cache gives no frames to its budget below this number. 0: an eighth of
     *  `frame_count`. */
    size_t min_frame_count;
    /** Where memory comes from; the struct is copied. Any thread may call it. NULL: anonymous
     *  pages. */
    const aegis_source *source;
    /** Charged for all memory of the cache. NULL: no limit. The cache holds a reference. A
     *  reclaimable cache gives nothing back for charges to this very budget, as its own are, but
     *  for those to other budgets under the same limit. So give it a child of the budget that
     *  others charge. */
    aegis_budget *budget;
    /** AEGIS_PAGE_CACHE_RECLAIMABLE or 0. Without a budget the flag has no effect. */
    uint32_t flags;
    /** Reclaimers with a low number are asked first. */
    int32_t reclaim_priority;
    /** The longest wait for a frame when all are pinned. 0 does not wait; AEGIS_WAIT_FOREVER has
     *  no end. */
    uint64_t frame_wait_ns;
    /** The longest wait for a page that another thread has pinned, reads or writes. 0: 30 s;
     *  AEGIS_WAIT_FOREVER has no end. */
    uint64_t latch_wait_ns;
    /** Says why the cache could not be made; it is written only then. NULL: not wanted. */
    aegis_page_error *error;
} aegis_page_cache_options;

/** What an engine adds to the reading and writing of one file. Any thread may call the functions,
 *  several at a time. Each may be NULL. One that fails returns an error, which the call that needed
 *  it reports. */
typedef struct aegis_page_hooks {
    /** Called before pages are written. `max_lsn` is the highest LSN among them; it is not called
     *  if none has one. AEGIS_OK: the log is durable up to there. */
    aegis_status (*before_write)(void *context, uint32_t file, uint64_t max_lsn);
    /** Called after a page was read, before anybody sees it. It may change the bytes, to decrypt
     *  them. */
    aegis_status (*verify)(void *context, uint64_t page, unsigned char *bytes, size_t page_bytes);
    /** Called with the copy of a page that is to be written. It may change the bytes, to add a
     *  checksum or to encrypt them. */
    aegis_status (*seal)(void *context, uint64_t page, unsigned char *bytes, size_t page_bytes);
    /** Called once, when the file is closed. */
    void (*close)(void *context);
    /** Passed to all functions. */
    void *context;
} aegis_page_hooks;

/** Returns hooks that keep a CRC32C of each page in the page: 4 bytes, least significant first. The
 *  sum covers the number of the page and all other bytes of it. `verify` fails with AEGIS_E_IO if
 *  the sum is wrong, and accepts a page that is all zero, because a file may have holes.
 *  @param sum_at  where the 4 bytes are in the page. `seal` and `verify` fail with AEGIS_E_INVALID
 *                 if they are not inside.
 *  @return        hooks without a `before_write`, which the caller may set together with another
 *                 context only if the functions here are called from his own.
 *  Threads:       any thread.
 *  Cost:          O(1); a hook O(page).
 */
AEGIS_API aegis_page_hooks aegis_page_hooks_crc32c(size_t sum_at);

typedef struct aegis_page_cache_shared aegis_page_cache_shared;

/** What a hit reads and changes of a frame: for the library's own use. */
typedef struct aegis_page_frame {
    /** The page; the bits are in csrc/cache/frame.h. */
    uint64_t state;
    /** The number of the page. */
    uint64_t page;
    /** The highest LSN of its changes. */
    uint64_t lsn;
    /** The file of the page; AEGIS_PAGE_NO_FILE: the frame has none. */
    uint32_t file;
    /** The next frame of the same chain of the page table, plus 1; 0: none. */
    uint32_t next;
} aegis_page_frame;

/** A page cache. Nothing in the handle changes. */
typedef struct aegis_page_cache {
    /** What all copies of the handle share. */
    aegis_page_cache_shared *shared;
    /** The first frame of each chain of the page table, plus 1; 0: none. */
    uint32_t *chains;
    /** What is known of each frame. */
    aegis_page_frame *frames;
    /** One entry for each slab: its address, and flags in the lowest 2 bits. */
    uintptr_t *slabs;
    /** Bytes from a frame's memory to that of the next one. */
    size_t stride_bytes;
    /** Bytes of a page. */
    size_t page_bytes;
    /** A page's hash is (page + file * 2^40 + file) times this, modulo 2^64. Its chain is the
     *  product of the upper 32 bits of the hash and `chain_count`, divided by 2^32. */
    uint64_t chain_factor;
    /** Entries of `chains` that are used. */
    uint32_t chain_count;
    /** Frames of a slab: 2 to the power of this. */
    uint32_t slab_shift;
} aegis_page_cache;

/** A pin. All-zero is none. */
typedef struct aegis_page_pin {
    /** The bytes of the page, aligned to its size, but to at most 4096. */
    unsigned char *data;
    /** The number of the page. */
    uint64_t page;
    /** The file of the page. */
    uint32_t file;
    /** Where it is: the number of the frame. */
    uint32_t frame;
    /** AEGIS_PIN_READ, AEGIS_PIN_WRITE or AEGIS_PIN_FRESH. */
    uint32_t mode;
} aegis_page_pin;

/** A read that the caller does himself. */
typedef struct aegis_page_read {
    /** Where the bytes go. */
    unsigned char *data;
    /** The number of the page. */
    uint64_t page;
    /** The file of the page. */
    uint32_t file;
    /** Where it is: the number of the frame. */
    uint32_t frame;
} aegis_page_read;

/** aegis_page_cache_init for options of `options_bytes` bytes: see "Structs that grow" in
 *  base.h. */
AEGIS_API aegis_status aegis_page_cache_init_sized(aegis_page_cache *cache,
                                                   const aegis_page_cache_options *options,
                                                   size_t options_bytes);

/** Makes a cache.
 *  @param cache    overwritten.
 *  @param options  not NULL; see there.
 *  @return         AEGIS_OK; AEGIS_E_INVALID (an option out of bounds), AEGIS_E_INVALID_LAYOUT (a
 *                  page size that is no power of two), AEGIS_E_OUT_OF_MEMORY,
 *                  AEGIS_E_LIMIT_EXCEEDED.
 *  On failure:     `cache` is all-zero; the source is not closed.
 *  Ownership:      the caller's: aegis_page_cache_destroy or _abandon.
 *  Threads:        any thread.
 *  Cost:           one acquire a slab and two more; O(frames) if the source does not zero.
 */
AEGIS_STATIC_INLINE aegis_status aegis_page_cache_init(aegis_page_cache *cache,
                                                       const aegis_page_cache_options *options) {
    return aegis_page_cache_init_sized(cache, options, sizeof *options);
}

/** Writes all dirty pages, syncs and closes all files, and frees the cache. The memory of pages
 *  that are buffers (aegis_page_cache_into_buffer) stays until the last of these is released.
 *  @param cache  all-zero afterwards. An all-zero cache is accepted.
 *  @return       AEGIS_OK; AEGIS_E_BUSY if pages are pinned, other than by buffers; what
 *                aegis_page_cache_flush returns; AEGIS_E_FORKED.
 *  On failure:   the cache is as good as before, so nothing is lost: try again, or abandon it.
 *  Threads:      no other thread uses the cache.
 *  Cost:         O(frames), and the writes.
 */
AEGIS_API aegis_status aegis_page_cache_destroy(aegis_page_cache *cache, aegis_page_error *error);

/** Frees the cache without writing anything. All files are closed. Pins become invalid, except
 *  those of buffers.
 *  @param cache  all-zero afterwards. An all-zero cache is accepted.
 *  Threads:      no other thread uses the cache.
 *  Cost:         O(slabs + files).
 */
AEGIS_API void aegis_page_cache_abandon(aegis_page_cache *cache);

/* -- files -- */

/** aegis_page_cache_open for structs of these sizes: see "Structs that grow" in base.h. */
AEGIS_API aegis_status aegis_page_cache_open_sized(
    const aegis_page_cache *cache, const aegis_page_store *store, size_t store_bytes,
    const aegis_page_hooks *hooks, size_t hooks_bytes, uint32_t *file, aegis_page_error *error);

/** Opens a file in the cache.
 *  @param store  how to read and write its pages; the struct is copied. All functions but `close`
 *                are set. Two files must not have pages in common.
 *  @param hooks  the struct is copied. NULL: none.
 *  @param file   set to the number of the file.
 *  @return       AEGIS_OK; AEGIS_E_INVALID (a function is missing), AEGIS_E_EXHAUSTED (too many
 *                files), AEGIS_E_OUT_OF_MEMORY, AEGIS_E_FORKED.
 *  On failure:   the store is the caller's, and is not closed.
 *  Threads:      any thread.
 *  Cost:         one allocation on the C heap.
 */
AEGIS_STATIC_INLINE aegis_status aegis_page_cache_open(const aegis_page_cache *cache,
                                                       const aegis_page_store *store,
                                                       const aegis_page_hooks *hooks,
                                                       uint32_t *file, aegis_page_error *error) {
    return aegis_page_cache_open_sized(cache, store, sizeof *store, hooks, sizeof *hooks, file,
                                       error);
}

/** Writes the dirty pages of a file, syncs it, removes its pages and closes its store. Reads that
 *  are on their way are waited for.
 *  @param flags  AEGIS_CLOSE_DISCARD: nothing is written. Otherwise 0.
 *  @return       AEGIS_OK; AEGIS_E_INVALID (no such file, unknown flags); AEGIS_E_BUSY if pages are
 *                pinned; AEGIS_E_CLOSED if another thread closes it; what aegis_page_cache_flush
 *                returns.
 *  On failure:   the file is open as before, and nothing is lost.
 *  Threads:      any thread.
 *  Cost:         O(frames), and the writes.
 */
AEGIS_API aegis_status aegis_page_cache_close(const aegis_page_cache *cache, uint32_t file,
                                              uint32_t flags, aegis_page_error *error);

/* -- pins -- */

/** Pins a page, and reads it if it is not resident.
 *  @param mode   AEGIS_PIN_READ, _WRITE or _FRESH, with any of _TRY, _ONCE, _KEEP, _RESIDENT.
 *  @param pin    overwritten; all-zero on failure.
 *  @param error  overwritten on failure. NULL if the reason is not wanted.
 *  @return       AEGIS_OK; AEGIS_PENDING (AEGIS_PIN_RESIDENT, and it is not: nothing is pinned);
 *                AEGIS_E_INVALID (mode or file); AEGIS_E_CLOSED (the file is being closed);
 *                AEGIS_E_BUSY (the wait was too long, or AEGIS_PIN_TRY);
 *                AEGIS_E_EXHAUSTED (all frames are pinned); AEGIS_E_LIMIT_EXCEEDED (half a million
 *                pins of one page); AEGIS_E_IO or what else the store or a hook returned, also if
 *                another page had to be written and could not be; AEGIS_E_FORKED.
 *  Ownership:    the caller's, until aegis_page_cache_unpin or _into_buffer. A pin that is
 *                forgotten costs one frame.
 *  Threads:      any thread; also unpinned by another one.
 *  Cost:         a hit: O(1), no lock. A miss: O(1) under one lock, a read, and now and then a
 *                batch of writes.
 */
AEGIS_API aegis_status aegis_page_cache_pin(const aegis_page_cache *cache, uint32_t file,
                                            uint64_t page, uint32_t mode, aegis_page_pin *pin,
                                            aegis_page_error *error);

/** Gives a pin up.
 *  @param pin    all-zero afterwards.
 *  @param flags  AEGIS_UNPIN_DIRTY if the page was written to. Otherwise 0.
 *  @return       AEGIS_OK; AEGIS_E_INVALID for no pin of this cache, a pin that was given up
 *                before, or AEGIS_UNPIN_DIRTY for a pin to read. (A copy of a pin that was given up
 *                is found out unless the page is pinned by others.)
 *  On failure:   nothing has changed.
 *  Threads:      any thread.
 *  Cost:         O(1), no lock unless a thread waits for the page.
 */
AEGIS_API aegis_status aegis_page_cache_unpin(const aegis_page_cache *cache, aegis_page_pin *pin,
                                              uint32_t flags);

/** Makes a pin to read one to write, and waits until all other readers have gone.
 *  @param flags  AEGIS_PIN_TRY or 0.
 *  @return       AEGIS_OK; AEGIS_E_BUSY if the wait was too long, or at once if another thread
 *                waits to upgrade the same page, because both would wait for ever;
 *                AEGIS_E_INVALID.
 *  On failure:   the pin is as before.
 *  Threads:      any thread.
 *  Cost:         O(1), and the wait.
 */
AEGIS_API aegis_status aegis_page_cache_upgrade(const aegis_page_cache *cache, aegis_page_pin *pin,
                                                uint32_t flags, aegis_page_error *error);

/** Makes a pin to write one to read, so that nobody else writes in between.
 *  @param flags  AEGIS_UNPIN_DIRTY if the page was written to. Otherwise 0.
 *  @return       AEGIS_OK or AEGIS_E_INVALID.
 *  Threads:      any thread.
 *  Cost:         O(1).
 */
AEGIS_API aegis_status aegis_page_cache_downgrade(const aegis_page_cache *cache,
                                                  aegis_page_pin *pin, uint32_t flags);

/** Says that the page was changed by the log record with this LSN.
 *  @param pin  a pin to write.
 *  @param lsn  above 0. An LSN below that of the page changes nothing.
 *  @return     AEGIS_OK or AEGIS_E_INVALID.
 *  Threads:    any thread.
 *  Cost:       O(1).
 */
AEGIS_API aegis_status aegis_page_cache_set_lsn(const aegis_page_cache *cache,
                                                const aegis_page_pin *pin, uint64_t lsn);

/** Makes a buffer over the page, which stays pinned to be read as long as a view of it lives.
 *  @param pin     a pin to read. It is used up, and all-zero afterwards.
 *  @param buffer  overwritten; all-zero on failure.
 *  @return        AEGIS_OK; AEGIS_E_INVALID; AEGIS_E_OUT_OF_MEMORY.
 *  On failure:    the pin is as before.
 *  Ownership:     the caller's; aegis_buffer_release. It keeps the memory of the cache.
 *  Threads:       any thread.
 *  Cost:          one allocation on the C heap.
 */
AEGIS_API aegis_status aegis_page_cache_into_buffer(const aegis_page_cache *cache,
                                                    aegis_page_pin *pin, aegis_buffer *buffer,
                                                    aegis_page_error *error);

/** Wakes those who wait for what a reader has left: for an inline implementation of an unpin. It is
 *  called after 1 was taken off `state`, with release, if `before` has a bit of AEGIS_FRAME_TELL,
 *  or if the reader was the last and the first word of `*cache->shared`, a uint32_t, is not 0.
 *  @param frame   the number of the frame.
 *  @param before  `state` as it was before.
 *  Threads:       any thread.
 *  Cost:          O(1), and at most two locks.
 */
AEGIS_API void aegis_page_cache_left(const aegis_page_cache *cache, uint32_t frame,
                                     uint64_t before);

#ifdef __cplusplus
}
#endif

#endif
