/* SPDX-License-Identifier: Apache-2.0 */
/** @file buffer_pool.h
 *  Pools of buffers for I/O: page-aligned, of one or several sizes, that find their way home.
 *
 *  A pool has up to AEGIS_BUFFER_MAX_CLASSES size classes, each a lock-free pool of blocks
 *  (lock_free_pool.h) with bounded growth, and one header a block beside it. A writer taken from
 *  the pool (aegis_buffer_pool_get) is frozen, split and shared like any buffer (buffer.h), and its
 *  block is home when the last handle is released, by any thread. The pool itself lives until its
 *  handles are given up and its last buffer has come home.
 *
 *  In front of each class stand stripes: small magazines of free buffers. A thread has a stripe of
 *  its own, which it uses without an atomic read-modify-write; where the system cannot do that (it
 *  takes Linux's membarrier), and for more threads than twice the processors, there are stripes
 *  that threads share, each under a flag that is taken with one compare-and-swap. Where a thread
 *  finds the flag taken it does not wait but goes to the lock-free pool behind. Only a thread that
 *  finds nothing there either looks through all stripes, and only then it waits for others, which
 *  are in one for a few instructions. So no thread's stripe can hide a buffer from another, no
 *  class grows while it has a free buffer, and a get is refused only if, at one moment, every
 *  buffer of a class that would do was out. After such a search the threads do without stripes of
 *  their own for a while, since it costs them dear: a pool with buffers to spare is a fast one.
 *
 *  Where the system refuses membarrier from some moment on, as a sandbox may, no call waits for it.
 *  Threads then do without stripes of their own for good, each bringing home what its stripe parks
 *  when it next uses the pool. Until it does or ends, a search does not find these buffers: at most
 *  28 for each such thread and class. If the last handle is given up meanwhile, the pool stays
 *  until such threads have released a buffer each, or for ever; a debug build reports that.
 *
 *  In a child of a fork the pool works, whatever the parent's other threads were doing. The buffers
 *  that they had, or were moving between a stripe and the pool behind, are not free there, and keep
 *  the pool; those that wait are forgotten.
 *
 *  What happens when all are out is the pool's policy: an error, a buffer from the C heap (charged
 *  to the same budget), or waiting for a time. A thread that waits is woken when a buffer comes
 *  home, in no particular order. While a class that would do may grow, it asks source and budget
 *  again every 10 ms, and once more when its time is up.
 *
 *  Bound: 64 bytes for each of `max_buffer_count` buffers, whose pages are touched with first use,
 *  beside what lock_free_pool.h says; 256 bytes for each of 4 to 64 pairs of stripes and class.
 *
 *  The struct is a handle: all shared state is out of line, so it may be moved with memcpy. An
 *  all-zero struct is not ready for use, but aegis_buffer_pool_release accepts it.
 */
#ifndef AEGIS_MEMORY_BUFFER_POOL_H
#define AEGIS_MEMORY_BUFFER_POOL_H

#include "base.h"
#include "buffer.h"
#include "budget.h"
#include "locked_pool.h"
#include "source.h"

#ifdef __cplusplus
extern "C" {
#endif

/** The most size classes of a pool. */
#define AEGIS_BUFFER_MAX_CLASSES 8

/** aegis_buffer_pool_options.when_empty: the request fails. */
#define AEGIS_BUFFER_FAIL 0u
/** aegis_buffer_pool_options.when_empty: the request gets memory of the C heap, charged to the
 *  pool's budget: as much as a buffer of the smallest class that would do, or what was asked for if
 *  that is more than the largest class has. */
#define AEGIS_BUFFER_HEAP 1u
/** aegis_buffer_pool_options.when_empty: the request waits for a buffer to come home. */
#define AEGIS_BUFFER_WAIT 2u

/** One size class of a pool. */
typedef struct aegis_buffer_class {
    /** Capacity of each buffer; at least 1, and more than that of the class before. */
    size_t buffer_bytes;
    /** Buffers made at once; at least 1. */
    size_t buffer_count;
    /** The class grows up to this many, `buffer_count` at a time. 0: it never grows. */
    size_t max_buffer_count;
} aegis_buffer_class;

/** How a pool is to be made. Zero fields, `classes` and `class_count` aside, mean defaults. */
typedef struct aegis_buffer_pool_options {
    /** Only read during the call. */
    const aegis_buffer_class *classes;
    /** 1 to AEGIS_BUFFER_MAX_CLASSES. */
    size_t class_count;
    /** Alignment of every buffer: a power of two. 0: 4096. */
    size_t align_bytes;
    /** Where memory comes from, copied; called by any thread. NULL: anonymous pages. */
    const aegis_source *source;
    /** Charged for all of it. The pool holds a reference. NULL: none. */
    aegis_budget *budget;
    /** AEGIS_BUFFER_FAIL, _HEAP or _WAIT. */
    uint32_t when_empty;
    /** AEGIS_BUFFER_WAIT: how long at most; 0 does not wait, AEGIS_WAIT_FOREVER has no end. A
     *  thread may be cancelled while it waits. */
    uint64_t timeout_ns;
    /** Says why the pool could not be made; written then only. NULL: not wanted. */
    aegis_error *error;
} aegis_buffer_pool_options;

typedef struct aegis_buffer_pool_shared aegis_buffer_pool_shared;

/** A handle to a pool. */
typedef struct aegis_buffer_pool {
    aegis_buffer_pool_shared *shared;
} aegis_buffer_pool;

/** The figures of one size class. */
typedef struct aegis_buffer_class_stats {
    size_t buffer_bytes;
    /** Buffers made so far. */
    size_t capacity;
    size_t max_capacity;
    /** Buffers out. */
    size_t in_use;
    /** Free buffers that lie in stripes. */
    size_t parked;
} aegis_buffer_class_stats;

/** The figures of a pool. */
typedef struct aegis_buffer_pool_stats {
    size_t class_count;
    aegis_buffer_class_stats classes[AEGIS_BUFFER_MAX_CLASSES];
    /** Requests that got memory of the C heap, ever, and how much is out now, as it is charged. */
    uint64_t heap_count;
    size_t heap_bytes;
    /** Requests that waited, and those whose time was up. */
    uint64_t wait_count;
    uint64_t timeout_count;
    /** Requests that were refused, at once or after waiting, for whatever reason. */
    uint64_t refused_count;
    /** Bytes acquired from the source: buffers and all beside them. */
    size_t reserved_bytes;
} aegis_buffer_pool_stats;

/** Makes a pool.
 *  @param pool     overwritten.
 *  @param options  not NULL; see there.
 *  @return         AEGIS_OK; AEGIS_E_INVALID (no options or classes, classes out of order, one of 0
 *                  bytes or buffers, a maximum below the count, an unknown policy);
 *                  AEGIS_E_INVALID_LAYOUT (an alignment that is no power of two, too many buffers
 *                  or bytes); AEGIS_E_OUT_OF_MEMORY; AEGIS_E_LIMIT_EXCEEDED.
 *  On failure:     `pool` is all-zero; the source is not closed.
 *  Ownership:      the caller's first handle; give it up with aegis_buffer_pool_release. The source
 *                  is closed when the pool is gone.
 *  Threads:        any thread.
 *  Cost:           O(classes), one acquire and three a class; O(buffers) if the source does not
 *                  zero its memory.
 */
AEGIS_API aegis_status aegis_buffer_pool_init(aegis_buffer_pool *pool,
                                              const aegis_buffer_pool_options *options);

/** Makes another handle to the pool.
 *  @param copy  overwritten; all-zero on failure.
 *  @return      AEGIS_OK; AEGIS_E_INVALID for no pool; AEGIS_E_LIMIT_EXCEEDED when there are
 *               SIZE_MAX / 2 handles.
 *  Threads:     any thread.
 *  Cost:        one relaxed compare-and-swap.
 */
AEGIS_API aegis_status aegis_buffer_pool_retain(const aegis_buffer_pool *pool,
                                                aegis_buffer_pool *copy);

/** Gives a handle up. The pool is gone with the last one, or, if buffers are out then, when the
 *  last of them comes home: at once, except deep inside of release functions, where it waits as an
 *  owner does (buffer.h).
 *  @param pool  NULL and all-zero are accepted. All-zero afterwards.
 *  Threads:     any thread.
 *  Cost:        O(1); the last one O(stripes) and a system call, and O(slabs) when the pool goes.
 */
AEGIS_API void aegis_buffer_pool_release(aegis_buffer_pool *pool);

/** Takes an empty writer.
 *  @param writer              overwritten.
 *  @param min_capacity_bytes  the writer has at least this capacity: that of the smallest class
 *                             which is large enough and has a buffer left.
 *  @param error               overwritten on failure; NULL if the reason is not wanted. When the
 *                             pool is exhausted its sizes are those of the smallest class that
 *                             would do; else as for aegis_pool_last_error.
 *  @return                    AEGIS_OK; AEGIS_E_LIMIT_EXCEEDED for more bytes than the largest
 *                             class has (`limit_bytes` says how many), or when the budget refused;
 *                             AEGIS_E_EXHAUSTED when all buffers that would do are out;
 *                             AEGIS_E_OUT_OF_MEMORY when growth was due, or the C heap asked, in
 *                             vain; each of them, if the policy is to wait, when time was up, and
 *                             as things were then; AEGIS_E_INVALID_LAYOUT for
 *                             more bytes than there can be on the C heap; AEGIS_E_INVALID for no
 *                             pool.
 *  On failure:                `writer` is all-zero.
 *  Ownership:                 the caller's; release it, or freeze it and release all views.
 *  Threads:                   any thread.
 *  Cost:                      O(1), a few instructions where the thread's stripe has a buffer;
 *                             O(stripes) and a system call where no other place has one; one
 *                             acquire when the pool grows.
 */
AEGIS_API aegis_status aegis_buffer_pool_get(const aegis_buffer_pool *pool,
                                             aegis_buffer_mut *writer, size_t min_capacity_bytes,
                                             aegis_error *error);

/** Takes an empty writer, waiting for one up to a time, whatever the pool's policy is. It never
 *  comes from the C heap.
 *  @param timeout_ns  0 does not wait, AEGIS_WAIT_FOREVER has no end.
 *  The rest:          as for aegis_buffer_pool_get.
 */
AEGIS_API aegis_status aegis_buffer_pool_get_timeout(const aegis_buffer_pool *pool,
                                                     aegis_buffer_mut *writer,
                                                     size_t min_capacity_bytes, uint64_t timeout_ns,
                                                     aegis_error *error);

/** Tells which block of a pool a buffer lies in, to name a registered buffer to the kernel.
 *  @param owner  the `owner` of a view or a writer; any pointer.
 *  @param id     overwritten: the block's place in the table of aegis_buffer_pool_iovecs.
 *  @return       AEGIS_OK; AEGIS_E_INVALID when the buffer is in no block of this pool, as one on
 *                the C heap is not.
 *  On failure:   `id` is untouched.
 *  Threads:      any thread.
 *  Cost:         O(classes).
 */
AEGIS_API aegis_status aegis_buffer_pool_id_of(const aegis_buffer_pool *pool,
                                               const aegis_buffer_owner *owner, size_t *id);

/** Lists the pool's blocks, whether they are out or not, to register them with the kernel
 *  (io_uring's registered buffers, say). Places are given to every block that the pool may grow to,
 *  class by class; a block not made yet has a NULL base and no length. Places never change.
 *  @param iovecs  room for `count` entries; NULL if `count` is 0.
 *  @return        how many places there are; entries beyond `count` are not written.
 *  Threads:       any thread.
 *  Cost:          O(count).
 */
AEGIS_API size_t aegis_buffer_pool_iovecs(const aegis_buffer_pool *pool, aegis_iovec *iovecs,
                                          size_t count);

/** Reports the pool's figures: exact when no other thread uses the pool, else each buffer is
 *  counted as it was at some moment during the call.
 *  @param stats  overwritten.
 *  Threads:      any thread.
 *  Cost:         O(buffers).
 */
AEGIS_API void aegis_buffer_pool_get_stats(const aegis_buffer_pool *pool,
                                           aegis_buffer_pool_stats *stats);

#ifdef __cplusplus
}
#endif

#endif
