/* SPDX-License-Identifier: Apache-2.0 */
/** @file locked_pool.h
 *  The block pool for any number of threads behind a lock: an aegis_pool, a platform mutex, and
 *  a queue of threads that wait for a block.
 *
 *  aegis_locked_pool_alloc_timeout waits when no block is left. A block given back goes straight
 *  to the thread that has waited longest, and no thread that comes later can take it on the way. A
 *  thread whose time is up as a block arrives returns that block. A block that growth makes goes
 *  the same way, whichever thread has made the pool grow. While threads wait, and the pool may
 *  still grow, the first of them tries to make it grow every 10 ms, and each of them once more when
 *  its time is up.
 *
 *  The lock is not held while the source, or a pressure function of the budget, is called: it may
 *  use the pool, wait for threads that do, and take its time. It is called by one thread at a time
 *  that wants a block, the others waiting for what comes of it, or by several once that has taken
 *  50 ms; a trim may call it beside them. It must accept calls from all threads that use the pool.
 *  A pool that the source calls as it is being finished has no blocks, and no thread waits for one;
 *  it calls it by the very handle that is being finished.
 *
 *  After a fork the pool works in the child process, without the threads that waited for it, if no
 *  other thread was inside of a call on it at that moment; a thread that waits, or is in the
 *  source, is not inside. Else AEGIS_E_FORKED is the status of every call in the child, and those
 *  without one find nothing and do nothing; only aegis_locked_pool_abandon gives its memory back. A
 *  slab that another thread was acquiring or giving back is lost to the child.
 *
 *  Choose it over the lock-free pool to wait for blocks, or to give slabs back while others work.
 *
 *  Invariant: while a thread waits, no block is free.
 *  Bound: beside the slabs, as aegis_pool, and less than 1 KiB.
 *
 *  The struct is a handle: all shared state is out of line, so it may be moved with memcpy while
 *  no thread is inside a call. An all-zero struct is not ready for use, but aegis_locked_pool_fini
 *  accepts it.
 */
#ifndef AEGIS_MEMORY_LOCKED_POOL_H
#define AEGIS_MEMORY_LOCKED_POOL_H

#include "base.h"
#include "pool.h"

#ifdef __cplusplus
extern "C" {
#endif

/** aegis_locked_pool_alloc_timeout: wait as long as it takes. */
#define AEGIS_WAIT_FOREVER UINT64_MAX

typedef struct aegis_locked_pool_shared aegis_locked_pool_shared;

/** A pool for any number of threads. */
typedef struct aegis_locked_pool {
    aegis_locked_pool_shared *shared;
    /** Usable bytes of each block. */
    size_t block_bytes;
} aegis_locked_pool;

/** Makes a pool.
 *  @param pool     memory for the struct; its content is overwritten.
 *  @param options  not NULL; see there.
 *  @return         as aegis_pool_init.
 *  On failure:     `pool` is all-zero; the source is not closed.
 *  Ownership:      the caller's; finish it with aegis_locked_pool_fini.
 *  Threads:        one, before any other uses the pool.
 *  Cost:           O(1) and two acquires; O(blocks) if the source does not zero its memory.
 */
AEGIS_API aegis_status aegis_locked_pool_init(aegis_locked_pool *pool,
                                              const aegis_pool_options *options);

/** Gives all memory back.
 *  @param pool  NULL and all-zero are accepted. All-zero afterwards.
 *  @return      AEGIS_OK; AEGIS_E_BUSY when blocks are out, or a thread waits for one or calls the
 *               source; AEGIS_E_FORKED.
 *  On failure:  nothing changed.
 *  Threads:     one, after all others are done with the pool.
 *  Cost:        O(slabs).
 */
AEGIS_API aegis_status aegis_locked_pool_fini(aegis_locked_pool *pool);

/** Gives all memory back though blocks may be out, which are gone with it.
 *  @param pool  NULL and all-zero are accepted. All-zero afterwards.
 *  Threads:     one, after all others are done with the pool; none waits.
 *  Cost:        O(slabs).
 */
AEGIS_API void aegis_locked_pool_abandon(aegis_locked_pool *pool);

/** Takes a block, its content undefined, without waiting for one.
 *  @param error  overwritten on failure; NULL if the reason is not wanted.
 *  @return       the block, or NULL. AEGIS_E_EXHAUSTED: all blocks are out; AEGIS_E_OUT_OF_MEMORY,
 *                AEGIS_E_LIMIT_EXCEEDED: growth was due and the source or the budget refused;
 *                AEGIS_E_FORKED.
 *  On failure:   nothing changed.
 *  Ownership:    the caller's until it is given back, by whatever thread.
 *  Threads:      any thread.
 *  Cost:         O(1) under the lock; when the pool grows, an acquire outside of it, or the wait
 *                for that of another thread.
 */
AEGIS_API void *aegis_locked_pool_alloc(const aegis_locked_pool *pool, aegis_error *error);

/** Takes a block of zeroes, without waiting for one. A block handed out for the first time, from
 *  memory that the source had zeroed, is not cleared again.
 *  @return, On failure, Ownership, Threads: as for aegis_locked_pool_alloc.
 *  Cost:         O(1) under the lock, and O(block_bytes) outside; O(1) on fresh memory.
 */
AEGIS_API void *aegis_locked_pool_alloc_zeroed(const aegis_locked_pool *pool, aegis_error *error);

/** Takes a block, its content undefined, waiting for one if need be. Threads that wait are served
 *  in the order in which they came.
 *  @param timeout_ns  how long to wait at most; 0 does not wait, AEGIS_WAIT_FOREVER has no end.
 *  @param error       overwritten on failure with what the last attempt met, which is made when
 *                     time is up; NULL if the reason is not wanted.
 *  @return, On failure, Ownership, Threads: as for aegis_locked_pool_alloc, when time is up. A
 *                     thread may be cancelled while it waits.
 *  Cost:              as aegis_locked_pool_alloc, and the waiting.
 */
AEGIS_API void *aegis_locked_pool_alloc_timeout(const aegis_locked_pool *pool, uint64_t timeout_ns,
                                                aegis_error *error);

/** Takes several blocks, their content undefined, without waiting, under one lock unless the pool
 *  grows.
 *  @param blocks  room for `count` pointers.
 *  @param error   overwritten when fewer than `count` are taken; may be NULL.
 *  @return        how many were taken, the first entries of `blocks`.
 *  Ownership, Threads: as for aegis_locked_pool_alloc.
 *  Cost:          O(count) under the lock.
 */
AEGIS_API size_t aegis_locked_pool_alloc_n(const aegis_locked_pool *pool, void **blocks,
                                           size_t count, aegis_error *error);

/** Gives a block back, to the thread that has waited longest if there is one.
 *  @param block  any pointer.
 *  @return       AEGIS_OK; AEGIS_E_INVALID when it is not a block of this pool that is out: NULL,
 *                a foreign pointer, the middle of a block, a double free; AEGIS_E_FORKED.
 *  On failure:   nothing changed.
 *  Ownership:    the pool's again.
 *  Threads:      any thread.
 *  Cost:         O(1) under the lock.
 */
AEGIS_API aegis_status aegis_locked_pool_free(const aegis_locked_pool *pool, void *block);

/** Gives several blocks back, all or none, under one lock.
 *  @return      AEGIS_OK; AEGIS_E_INVALID when one of them is not a block of this pool that is out,
 *               or is there twice; AEGIS_E_FORKED.
 *  On failure:  nothing changed.
 *  Ownership, Threads: as for aegis_locked_pool_free.
 *  Cost:        O(count) under the lock.
 */
AEGIS_API aegis_status aegis_locked_pool_free_n(const aegis_locked_pool *pool, void *const *blocks,
                                                size_t count);

/** Converts an address to the index of the block that starts there, whether it is out or not.
 *  @param index  overwritten; numbers go from 0, first slab first.
 *  @return       AEGIS_OK; AEGIS_E_INVALID when no block of this pool starts there; AEGIS_E_FORKED.
 *  On failure:   `index` is untouched.
 *  Threads:      any thread.
 *  Cost:         O(1) under the lock.
 */
AEGIS_API aegis_status aegis_locked_pool_index_of(const aegis_locked_pool *pool, const void *block,
                                                  size_t *index);

/** Converts an index to the address of the block, whether it is out or not.
 *  @return   NULL when the index lies in no slab held now.
 *  Threads:  any thread.
 *  Cost:     O(1) under the lock.
 */
AEGIS_API void *aegis_locked_pool_address_of(const aegis_locked_pool *pool, size_t index);

/** Tells whether a block of this pool starts at an address.
 *  Threads:  any thread.
 *  Cost:     O(1) under the lock.
 */
AEGIS_API bool aegis_locked_pool_owns(const aegis_locked_pool *pool, const void *block);

/** Reports a slab, to register it with the kernel, say.
 *  Parameters, @return: as for aegis_pool_get_slab, and AEGIS_E_FORKED.
 *  Threads:  any thread.
 *  Cost:     O(1) under the lock.
 */
AEGIS_API aegis_status aegis_locked_pool_get_slab(const aegis_locked_pool *pool, size_t slab,
                                                  aegis_pool_slab_info *info);

/** Gives slabs without blocks out back to the source, the last first. The first slab stays.
 *  @param keep_block_count  no slab goes whose blocks are needed to keep this many in all.
 *  Threads:                 any thread.
 *  Cost:                    O(blocks) under the lock, and the releases outside of it.
 */
AEGIS_API void aegis_locked_pool_trim(const aegis_locked_pool *pool, size_t keep_block_count);

/** Reports the pool's figures, all of one moment.
 *  @param stats  overwritten. When AEGIS_E_FORKED is what other calls return, all that depends on
 *                blocks and slabs is 0.
 *  Threads:      any thread.
 *  Cost:         O(1) under the lock.
 */
AEGIS_API void aegis_locked_pool_get_stats(const aegis_locked_pool *pool, aegis_pool_stats *stats);

/** Returns how many threads are waiting for a block.
 *  Threads:  any thread.
 *  Cost:     O(1) under the lock.
 */
AEGIS_API size_t aegis_locked_pool_waiting(const aegis_locked_pool *pool);

#ifdef __cplusplus
}
#endif

#endif
