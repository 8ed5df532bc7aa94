/* SPDX-License-Identifier: Apache-2.0 */
/** @file page_store.h
 *  Where the pages of a file are kept: a struct of functions, and three that are built in.
 *
 *  A store is an array of pages that can be read and written by their numbers. The struct may be
 *  filled by the user, for instance for a remote disk or for a file format of its own. Built in
 *  are a file (aegis_page_store_open_file), memory (aegis_page_store_memory), and a store around
 *  another one that makes calls fail on demand, for tests (aegis_page_store_faults).
 *
 *  What each store must keep:
 *  1. Any thread may call any of the functions, also while others are in a call. `close` is
 *     called once, and alone. Two writes of one page at the same time leave either content, or a
 *     mixture.
 *  2. A page that was never written and lies before the end reads as zeros.
 *  3. Nothing is durable before a `sync` that began after the write has returned AEGIS_OK.
 *  4. After a `sync` that failed, the pages written since the last good one may be lost, even if
 *     they still read as written, and even if the next `sync` returns AEGIS_OK: the system may
 *     have given up on them. They are durable only when they were written again and synced.
 *
 *  One store has one page size: all calls have the same `page_bytes`, which are 1 to
 *  AEGIS_STORE_MAX_PAGE_BYTES. No byte of a store lies at an offset of INT64_MAX or more. The
 *  built-in stores refuse other sizes and numbers with AEGIS_E_INVALID_LAYOUT.
 *
 *  The struct is copied by whoever uses the store, and its `close` is called only once for all
 *  copies. A store that was given to nobody is closed with `store.close(store.context)`. On
 *  failure, the functions that make a store leave the struct all-zero.
 */
#ifndef AEGIS_MEMORY_PAGE_STORE_H
#define AEGIS_MEMORY_PAGE_STORE_H

#if defined(AEGIS_OMIT_THREADS) || defined(AEGIS_FREESTANDING)
#error "aegis_memory/page_store.h needs threads: AEGIS_OMIT_THREADS leaves it out"
#endif

#include "base.h"
#include "budget.h"

#ifdef __cplusplus
extern "C" {
#endif

/** The largest page of the built-in stores: 1 GiB. */
#define AEGIS_STORE_MAX_PAGE_BYTES 0x40000000u

/** A page to be written. */
typedef struct aegis_page_write {
    /** Its number. */
    uint64_t page;
    /** Its content: the `page_bytes` of the call. */
    const unsigned char *bytes;
} aegis_page_write;

/** Where pages are kept. Functions that return a status return AEGIS_OK, AEGIS_E_IO, or any
 *  other error. */
typedef struct aegis_page_store {
    /** Reads `page_count` neighbouring pages, the first of which is `first_page`, into pages[0],
     *  pages[1] and so on, of `page_bytes` bytes each. Sets `*read_bytes` to how many bytes were
     *  read, counted from the first byte of the first page: fewer than asked only where the
     *  store ends. After an error nothing is known of the memory. */
    aegis_status (*read)(void *context, uint64_t first_page, unsigned char *const *pages,
                         size_t page_count, size_t page_bytes, size_t *read_bytes);
    /** Writes pages, in ascending order of their numbers, some of them neighbours. The store
     *  grows where a page lies beyond its end. After an error any of the pages may be written,
     *  also in part. */
    aegis_status (*write_batch)(void *context, const aegis_page_write *pages, size_t page_count,
                                size_t page_bytes);
    /** Makes all that was written before, and the length, durable. */
    aegis_status (*sync)(void *context);
    /** Sets `*page_count` to the number of pages. A last page that is cut counts as one. */
    aegis_status (*len)(void *context, size_t page_bytes, uint64_t *page_count);
    /** Makes the store `page_count` pages long. What is cut off is gone; what is added is
     *  zero. */
    aegis_status (*truncate)(void *context, uint64_t page_count, size_t page_bytes);
    /** Ends the store. May be NULL. */
    void (*close)(void *context);
    /** Passed to every function. */
    void *context;
} aegis_page_store;

/* -- a file -- */

/** aegis_page_store_open_file: makes the file if there is none. */
#define AEGIS_STORE_CREATE 1u
/** The transfers do not go through the system's cache (O_DIRECT, FILE_FLAG_NO_BUFFERING,
 *  F_NOCACHE). The memory of the pages, and their size, must be multiples of what the device
 *  asks for. 4096 bytes are enough for all usual ones. */
#define AEGIS_STORE_DIRECT 2u
/** The file is opened for reading only. Writes and truncation are AEGIS_E_UNSUPPORTED. */
#define AEGIS_STORE_READ_ONLY 4u

/** Opens a regular file as a store. Page n is at the offset n * page_bytes.
 *
 *  Neighbouring pages are transferred with one system call where the system can (preadv and
 *  pwritev, up to 256 pages). Interrupted and partial transfers are continued. `sync` is
 *  fdatasync, F_FULLFSYNC on macOS, FlushFileBuffers on Windows, and fsync elsewhere. When the
 *  call makes a file, it makes the name of the file durable too. No function is a cancellation
 *  point. The file is not locked against other programs.
 *  @param store     overwritten.
 *  @param path      a path that ends with a zero byte; UTF-8 on Windows.
 *  @param flags     AEGIS_STORE_* or 0.
 *  @param os_error  set on failure to the system's error number (errno; GetLastError on
 *                   Windows), or to 0 when there is none. NULL: not wanted.
 *  @return          AEGIS_OK; AEGIS_E_IO when the system refused; AEGIS_E_INVALID if it is not a
 *                   regular file, and for an unknown flag, AEGIS_STORE_CREATE together with
 *                   AEGIS_STORE_READ_ONLY, or a path that is not UTF-8 on Windows;
 *                   AEGIS_E_UNSUPPORTED if the file system refuses AEGIS_STORE_DIRECT, or where
 *                   the library knows no files; AEGIS_E_OUT_OF_MEMORY.
 *  On failure:      `store` is all-zero. A file that was made stays.
 *  Ownership:       `close` closes the file.
 *  Threads:         any thread.
 *  Cost:            system calls and one allocation on the C heap.
 */
AEGIS_API aegis_status aegis_page_store_open_file(aegis_page_store *store, const char *path,
                                                  uint32_t flags, int *os_error);

/** Makes a store of an open file: see aegis_page_store_open_file.
 *  @param file   a file descriptor; on Windows a HANDLE that was opened without
 *                FILE_FLAG_OVERLAPPED. It is duplicated, stays the caller's, and may be closed
 *                at once.
 *  @param flags  AEGIS_STORE_READ_ONLY, and AEGIS_STORE_DIRECT to say that the file was opened
 *                so. AEGIS_STORE_DIRECT is AEGIS_E_INVALID if the system says that it was not.
 *  Other parameters, @return, On failure, Ownership, Threads, Cost: as for
 *  aegis_page_store_open_file.
 */
AEGIS_API aegis_status aegis_page_store_from_descriptor(aegis_page_store *store, intptr_t file,
                                                        uint32_t flags, int *os_error);

/** Returns why the system last refused a call of a file store.
 *  @param store  a store that is not closed.
 *  @return       the system's error number of the last call that failed with AEGIS_E_IO; 0 if
 *                none has, and for a store that is no file.
 *  Threads:      any thread. While several threads use the store, it may be another thread's
 *                error.
 *  Cost:         one relaxed load.
 */
AEGIS_API int aegis_page_store_os_error(const aegis_page_store *store);

/* -- memory -- */

/** Makes an empty store in memory, for tests and for data that need not outlive the process.
 *
 *  Pages that were not written take no memory, and `sync` does nothing. A page that is read
 *  while it is written is either the old one or the new one. In the child process of a fork all
 *  calls except `sync` and `close` fail with AEGIS_E_FORKED if another thread was in one.
 *  @param store   overwritten.
 *  @param budget  charged for all memory of the store: for each page, or each 4096 bytes of
 *                 smaller pages, and for a table of 16 bytes or more for each of these. A write
 *                 that it refuses fails with AEGIS_E_LIMIT_EXCEEDED and may reclaim memory of
 *                 others first. NULL: no limit. The store holds a reference to it.
 *  @return        AEGIS_OK; AEGIS_E_OUT_OF_MEMORY; AEGIS_E_LIMIT_EXCEEDED; or another refusal of
 *                 the budget.
 *  On failure:    `store` is all-zero.
 *  Ownership:     `close` gives the memory back.
 *  Threads:       any thread.
 *  Cost:          two allocations on the C heap.
 */
AEGIS_API aegis_status aegis_page_store_memory(aegis_page_store *store, aegis_budget *budget);

/* -- faults -- */

/** When a fault happens. Zero in both fields: never. Both may be used together. */
typedef struct aegis_page_fault {
    /** The n-th call from now on has the fault, once. Counted down to 0. */
    size_t countdown;
    /** Each call has the fault with this probability, in millionths. */
    size_t per_million;
} aegis_page_fault;

/** What a store that injects faults has done. */
typedef struct aegis_page_fault_counts {
    /** Calls of `read`. */
    size_t read_count;
    /** The whole pages that were read by those that succeeded. */
    size_t read_page_count;
    /** Calls of `write_batch`. */
    size_t write_count;
    /** The pages that were written by those that succeeded. */
    size_t written_page_count;
    /** Calls of `sync`. */
    size_t sync_count;
    /** Faults that were injected, of every kind. */
    size_t fault_count;
} aegis_page_fault_counts;

/** aegis_page_faults.lost_pages: they stay as they are. */
#define AEGIS_LOST_NONE 0u
/** aegis_page_faults.lost_pages: they get the content back that they had before. */
#define AEGIS_LOST_RESTORED 1u
/** aegis_page_faults.lost_pages: they get a random content. */
#define AEGIS_LOST_GARBLED 2u

/** Which faults a store injects. All-zero: none, and calls are counted only. While the store is
 *  in use, the faults are changed with aegis_page_fault_set and the counts are read with
 *  aegis_page_faults_counts; all other fields stay as they are. An injected error is
 *  AEGIS_E_IO. */
typedef struct aegis_page_faults {
    /** What is random follows from this number, and from the order of the calls. */
    uint64_t seed;
    /** How long each read sleeps before anything else. */
    uint64_t read_delay_ns;
    /** The same for each write. */
    uint64_t write_delay_ns;
    /** The same for each sync. */
    uint64_t sync_delay_ns;
    /** What becomes of the pages that were written since the last good sync when a sync is lost:
     *  AEGIS_LOST_*. With the last two, the store keeps the number of each such page and its
     *  former content on the C heap, writes and syncs wait for each other, and page sizes must
     *  not change. What `truncate` does is never lost. */
    uint32_t lost_pages;
    /** A read fails, and has read nothing. */
    aegis_page_fault read;
    /** A read succeeds, and has fewer bytes than asked. */
    aegis_page_fault short_read;
    /** A read fails after it has read a part of the bytes. The others are random. */
    aegis_page_fault torn_read;
    /** A write fails, and has written nothing. */
    aegis_page_fault write;
    /** A write fails after it has written a part of the pages, and of the last of them only the
     *  first bytes. */
    aegis_page_fault torn_write;
    /** A sync fails, and has not been made. */
    aegis_page_fault sync;
    /** A sync fails, and the pages are lost as `lost_pages` says. So a system behaves that drops
     *  what it could not write: the next sync succeeds. */
    aegis_page_fault lost_sync;
    /** `len` fails. */
    aegis_page_fault len;
    /** `truncate` fails, and has changed nothing. */
    aegis_page_fault truncate;
    /** Read with aegis_page_faults_counts. */
    aegis_page_fault_counts counts;
    /** Random numbers used so far. */
    size_t drawn_count;
} aegis_page_faults;

/** Makes a store that passes all calls on to another one, and makes some fail.
 *
 *  If several faults strike the same call, the one that is named first in the struct is
 *  injected, and the countdowns of all of them have counted the call.
 *  @param store   overwritten.
 *  @param inner   the store that has the pages; the struct is copied.
 *  @param faults  not NULL; the caller's, at least until the store is closed.
 *  @return        AEGIS_OK; AEGIS_E_INVALID for an unknown `lost_pages`; AEGIS_E_OUT_OF_MEMORY.
 *                 Calls of the store return what `inner` returns, AEGIS_E_IO for a fault, and,
 *                 with `lost_pages`, AEGIS_E_OUT_OF_MEMORY, AEGIS_E_INVALID for another page
 *                 size, or AEGIS_E_FORKED.
 *  On failure:    `store` is all-zero, and `inner` stays the caller's.
 *  Ownership:     `close` closes `inner`.
 *  Threads:       any thread.
 *  Cost:          one allocation on the C heap.
 */
AEGIS_API aegis_status aegis_page_store_faults(aegis_page_store *store,
                                               const aegis_page_store *inner,
                                               aegis_page_faults *faults);

/** Says when a fault happens, also while the store is in use.
 *  @param fault        a field of an aegis_page_faults.
 *  @param countdown    the n-th call from now on has the fault; 0: none.
 *  @param per_million  the probability for each call, in millionths.
 *  Threads:            any thread.
 *  Cost:               two relaxed stores.
 */
AEGIS_API void aegis_page_fault_set(aegis_page_fault *fault, size_t countdown, size_t per_million);

/** Reads the counts, also while the store is in use.
 *  @param faults  those that were passed to aegis_page_store_faults.
 *  @param counts  overwritten. Each count is exact; two of them may be of different moments.
 *  Threads:       any thread.
 *  Cost:          six relaxed loads.
 */
AEGIS_API void aegis_page_faults_counts(const aegis_page_faults *faults,
                                        aegis_page_fault_counts *counts);

#ifdef __cplusplus
}
#endif

#endif
