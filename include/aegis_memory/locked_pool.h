/* SPDX-License-Identifier: Apache-2.0 */
/** @file locked_pool.h
 *  The locked block pool, for any number of threads: an aegis_pool, a mutex, and a queue of threads
 *  that wait for a block. The words block, out, slab and side array are as in pool.h.
 *
 *  Choose it instead of the lock-free pool if threads must wait for blocks, or if slabs must be
 *  released while other threads work.
 *
 *  Waiting (aegis_locked_pool_alloc_timeout):
 *  - A block that is freed goes straight to the thread that has waited longest. A thread that
 *    comes later cannot take it in between. A block that growth makes goes the same way,
 *    whichever thread made the pool grow.
 *  - If the time of a waiting thread is up at the moment when its block arrives, the thread
 *    returns that block.
 *  - While threads wait and the pool may still grow, the first thread in the queue tries to make
 *    it grow every 10 ms. Each waiting thread tries once more when its time is up. The first
 *    attempt that a budget refuses reclaims memory, tells the pressure functions of the budget
 *    and is counted as a refusal. The later attempts of the same call are refused at once.
 *
 *  Waiting for the budget (aegis_pool_options.wait_ns):
 *  - A thread that finds no block and wants the pool to grow waits for the budget. It stands in
 *    the queue of the pool too. If a block comes to it there, it leaves the queue of the budget.
 *  - The lock is not held meanwhile. The other threads use the pool. Those that find no block ask
 *    the budget themselves after 50 ms.
 *  - A call with a time to wait for a block waits no longer than that, and for the budget once.
 *    A poll never waits.
 *
 *  Waiting without a thread (aegis_locked_pool_poll): a request stands in the same queue, and its
 *  owner is told by a waker when to ask again. So futures and event loops can be built on it.
 *  - A block goes straight to the request that is the first of the queue, as it goes to a thread,
 *    and is kept for it until it is polled or cancelled.
 *  - A waker is called with no lock held, by the thread that brought about what the request waits
 *    for, inside of that thread's call on the pool. It may use the pool, but must not finish it.
 *  - A request tries to make the pool grow when it is made, when it becomes the first of the
 *    queue, and when a growth that it waited for has ended. If the budget refuses, the request
 *    waits in the queue of the budget too, whatever `wait_ns` is: room there wakes it as a block
 *    does. What was charged for it and is not needed goes back when it is polled or cancelled.
 *    Nothing wakes it when the source has memory again.
 *  - The thread that makes room in the budget may be the one that calls the waker.
 *
 *  The source and the pressure functions of the budget:
 *  - The lock is not held while one of them runs. It may use the pool, wait for threads that use
 *    the pool, and take its time.
 *  - Among the threads that want a block, one at a time calls the source, and the others wait
 *    for the result. After 50 ms another thread may call it as well. A trim may call it at any
 *    time. So the source must accept calls from all threads that use the pool, several at once.
 *  - If the source calls a pool that is being finished, it does so through the handle that is
 *    being finished. It finds a pool without blocks, and no thread waits for one.
 *
 *  After a fork the pool works in the child process if no other thread was inside a call on it
 *  at that moment. The child forgets the threads that waited. A thread that waits, or is in the
 *  source, does not count as inside. Otherwise every call in the child that returns a status
 *  gives AEGIS_E_FORKED. The other calls find nothing and do nothing, but
 *  aegis_locked_pool_abandon releases the pool's memory. A slab that another thread was
 *  acquiring or releasing is lost to the child.
 *
 *  A request that was polled before the fork has left the queue in the child, and is not woken
 *  there. It may be polled there, and then enters the queue of the child, or be cancelled.
 *
 *  Invariant: while a thread or a request waits, no block is free. Bound: beside the slabs, the
 *  same as for aegis_pool, less than 1 KiB, and less than 1 KiB of the C heap for each request
 *  that waits.
 *
 *  The struct is a handle: all shared state lies elsewhere, so the handle may be moved with
 *  memcpy while no thread is inside a call. An all-zero struct is not ready for use, but
 *  aegis_locked_pool_fini accepts it.
 */
#ifndef AEGIS_MEMORY_LOCKED_POOL_H
#define AEGIS_MEMORY_LOCKED_POOL_H

#if defined(AEGIS_OMIT_THREADS) || defined(AEGIS_FREESTANDING)
#error "aegis_memory/locked_pool.h needs threads: AEGIS_OMIT_THREADS leaves it out"
#endif

#include "base.h"
#include "pool.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct aegis_locked_pool_shared aegis_locked_pool_shared;

/** A pool for any number of threads. */
typedef struct aegis_locked_pool {
    aegis_locked_pool_shared *shared;
    /** Usable bytes of each block. */
    size_t block_bytes;
    /** Alignment of each block. */
    size_t align_bytes;
} aegis_locked_pool;

/** A request that waits for a block. One thread at a time uses it. */
typedef struct aegis_locked_pool_request aegis_locked_pool_request;

/** aegis_locked_pool_init for options of `options_bytes` bytes: see "Structs that grow" in
 *  base.h. */
AEGIS_API aegis_status aegis_locked_pool_init_sized(aegis_locked_pool *pool,
                                                    const aegis_pool_options *options,
                                                    size_t options_bytes);

/** Makes a pool.
 *  @param pool     memory for the struct; its content is overwritten.
 *  @param options  not NULL; see there.
 *  @return         as aegis_pool_init.
 *  On failure:     `pool` is all-zero; the source is not closed.
 *  Ownership:      the caller's; finish it with aegis_locked_pool_fini.
 *  Threads:        one, before any other uses the pool.
 *  Cost:           O(1) and two acquires; O(blocks) if the source does not zero its memory.
 */
AEGIS_STATIC_INLINE aegis_status aegis_locked_pool_init(aegis_locked_pool *pool,
                                                        const aegis_pool_options *options) {
    return aegis_locked_pool_init_sized(pool, options, sizeof *options);
}

/** Finishes a pool: releases all its memory.
 *  @param pool  NULL and all-zero are accepted. All-zero afterwards.
 *  @return      AEGIS_OK; AEGIS_E_BUSY when blocks are out, or when a thread or a request waits for
 *               a block, or a thread waits for the budget or calls the source; AEGIS_E_FORKED.
 *  On failure:  nothing changed.
 *  Threads:     one, after the calls of all others on the pool have returned.
 *  Cost:        O(slabs).
 */
AEGIS_API aegis_status aegis_locked_pool_fini(aegis_locked_pool *pool);

/** Finishes a pool even if blocks are out. Their memory is released too.
 *  @param pool  NULL and all-zero are accepted. All-zero afterwards.
 *  Ownership:   every pointer to a block is dead.
 *  Threads:     one, after all others are done with the pool; no thread and no request waits. A
 *               debug build reports those that do.
 *  Cost:        O(slabs).
 */
AEGIS_API void aegis_locked_pool_abandon(aegis_locked_pool *pool);

/** Allocates a block without waiting for one, except as aegis_pool_options.wait_ns says. Its
 *  content is undefined.
 *  @param error  overwritten on failure; aegis_error_explain writes it as a sentence. NULL if
 *                the reason is not wanted.
 *  @return       the block, or NULL. AEGIS_E_EXHAUSTED: all blocks are out.
 *                AEGIS_E_OUT_OF_MEMORY, AEGIS_E_LIMIT_EXCEEDED: the pool had to grow, and the
 *                source or the budget refused. AEGIS_E_FORKED.
 *  On failure:   nothing changed.
 *  Ownership:    the caller's until any thread frees it.
 *  Threads:      any thread.
 *  Cost:         O(1) under the lock. If the pool grows: an acquire outside of the lock, or the
 *                wait for the acquire of another thread.
 */
AEGIS_API void *aegis_locked_pool_alloc(const aegis_locked_pool *pool, aegis_error *error);

/** Allocates a block of zeroes without waiting for one. If the source had zeroed the memory and
 *  the block is handed out for the first time, it is not cleared again.
 *  @return, On failure, Ownership, Threads: as for aegis_locked_pool_alloc.
 *  Cost:  O(1) under the lock, and O(block_bytes) outside; O(1) on such fresh memory.
 */
AEGIS_API void *aegis_locked_pool_alloc_zeroed(const aegis_locked_pool *pool, aegis_error *error);

/** Allocates a block, and waits for one if necessary. Its content is undefined. Threads that
 *  wait are served in the order in which they came.
 *  @param timeout_ns  the longest wait. 0 does not wait; AEGIS_WAIT_FOREVER has no end.
 *  @param error       overwritten on failure, by the last attempt, which is made when the time
 *                     is up. aegis_error_explain writes it as a sentence. NULL if the reason is
 *                     not wanted.
 *  @return            as for aegis_locked_pool_alloc. An error says how things are when the time
 *                     is up.
 *  On failure:        nothing changed.
 *  Ownership:         as for aegis_locked_pool_alloc.
 *  Threads:           any thread. A thread may be cancelled while it waits, but not while it waits
 *                     for the budget or is in the source.
 *  Cost:              as aegis_locked_pool_alloc, and the wait.
 */
AEGIS_API void *aegis_locked_pool_alloc_timeout(const aegis_locked_pool *pool, uint64_t timeout_ns,
                                                aegis_error *error);

/** Allocates a block, or enters a request for one into the queue, without waiting in either case.
 *  The content of the block is undefined.
 *  @param request  in and out. NULL in it makes a new request, and a request of this pool asks
 *                  for its result. Afterwards it is NULL, except after AEGIS_PENDING.
 *  @param block    overwritten: the block, or NULL.
 *  @param wake     called once, with `context`, when the request should be polled again. It
 *                  replaces the waker of the poll before. NULL: nothing is called.
 *  @param error    overwritten when the result is an error; aegis_error_explain writes it as a
 *                  sentence. NULL if the reason is not wanted.
 *  @return         AEGIS_OK: the block is there. AEGIS_PENDING: the request waits. It is polled
 *                  again when its waker was called, or at any other time, and may be PENDING
 *                  again. Errors: AEGIS_E_OUT_OF_MEMORY, when the C heap has no memory for the
 *                  request; otherwise as for aegis_locked_pool_alloc, but only if no block is
 *                  out, so that none can come home.
 *  Ownership:      the block is as that of aegis_locked_pool_alloc. The request is the caller's
 *                  until a poll makes it NULL or it is cancelled, which must be before the pool
 *                  is finished. A context may be released when its waker has run. It may be
 *                  released before only if aegis_locked_pool_request_disarm or _cancel has
 *                  returned true. So whoever counts references to contexts calls _disarm before
 *                  each poll of a request.
 *  Threads:        any thread; one at a time for a request.
 *  Cost:           as aegis_locked_pool_alloc, and an allocation on the C heap if no block is
 *                  free. No cancellation point.
 */
AEGIS_API aegis_status aegis_locked_pool_poll(const aegis_locked_pool *pool,
                                              aegis_locked_pool_request **request, void **block,
                                              aegis_wake_fn wake, void *context,
                                              aegis_error *error);

/** Withdraws the waker of a request, which stays in the queue.
 *  @param request  not NULL.
 *  @return         true: the waker was not called and will not be, and its context is not used
 *                  any more. False: the waker was called, or is being called by another thread at
 *                  this moment, this once; or the request has no waker.
 *  Threads:        any thread; one at a time for a request. The waker itself may call it.
 *  Cost:           O(1) under the lock.
 */
AEGIS_API bool aegis_locked_pool_request_disarm(aegis_locked_pool_request *request);

/** Gives a request up: its place in the queue, its waker, and the block that it was given. The
 *  block goes to the next in the queue.
 *  @param request  NULL is accepted. Freed.
 *  @return         as for aegis_locked_pool_request_disarm; false for NULL.
 *  Threads:        any thread; no other one uses the request.
 *  Cost:           O(1) under the lock, and the wakers of others. No cancellation point.
 */
AEGIS_API bool aegis_locked_pool_request_cancel(aegis_locked_pool_request *request);

/** Allocates several blocks without waiting, under one lock unless the pool grows. Their content
 *  is undefined.
 *  @param blocks  room for `count` pointers.
 *  @param error   overwritten when fewer than `count` are allocated; aegis_error_explain writes
 *                 it as a sentence. NULL if the reason is not wanted.
 *  @return        how many were allocated; they are the first entries of `blocks`.
 *  Ownership, Threads: as for aegis_locked_pool_alloc.
 *  Cost:          O(count) under the lock.
 */
AEGIS_API size_t aegis_locked_pool_alloc_n(const aegis_locked_pool *pool, void **blocks,
                                           size_t count, aegis_error *error);

/** Frees a block. If threads or requests wait, the one that has waited longest gets it.
 *  @param block  any pointer.
 *  @return       AEGIS_OK; AEGIS_E_INVALID unless it is a block of this pool that is out. So it
 *                detects NULL, a foreign pointer, the middle of a block, and a double free.
 *                AEGIS_E_FORKED.
 *  On failure:   nothing changed.
 *  Ownership:    the pool's again.
 *  Threads:      any thread.
 *  Cost:         O(1) under the lock.
 */
AEGIS_API aegis_status aegis_locked_pool_free(const aegis_locked_pool *pool, void *block);

/** Frees several blocks, or none of them, under one lock.
 *  @return      AEGIS_OK; AEGIS_E_INVALID when one of them is not a block of this pool that is
 *               out, or stands there twice; AEGIS_E_FORKED.
 *  On failure:  nothing changed.
 *  Ownership, Threads: as for aegis_locked_pool_free.
 *  Cost:        O(count) under the lock.
 */
AEGIS_API aegis_status aegis_locked_pool_free_n(const aegis_locked_pool *pool, void *const *blocks,
                                                size_t count);

/** Converts an address to the index of the block that starts there, whether it is out or not.
 *  @param index  overwritten. The indices start at 0 with the first block of the first slab.
 *  @return       AEGIS_OK; AEGIS_E_INVALID when no block of this pool starts there;
 *                AEGIS_E_FORKED.
 *  On failure:   `index` is untouched.
 *  Threads:      any thread.
 *  Cost:         O(1) under the lock.
 */
AEGIS_API aegis_status aegis_locked_pool_index_of(const aegis_locked_pool *pool, const void *block,
                                                  size_t *index);

/** Converts an index to the address of the block, whether it is out or not.
 *  @return   the address; NULL when no slab held now has the index.
 *  Threads:  any thread.
 *  Cost:     O(1) under the lock.
 */
AEGIS_API void *aegis_locked_pool_address_of(const aegis_locked_pool *pool, size_t index);

/** Tells whether a block of this pool starts at an address.
 *  @return   true also for a block that is not out.
 *  Threads:  any thread.
 *  Cost:     O(1) under the lock.
 */
AEGIS_API bool aegis_locked_pool_owns(const aegis_locked_pool *pool, const void *block);

/** aegis_locked_pool_get_slab for a description of `info_bytes` bytes: see "Structs that grow"
 *  in base.h. */
AEGIS_API aegis_status aegis_locked_pool_get_slab_sized(const aegis_locked_pool *pool, size_t slab,
                                                        aegis_pool_slab_info *info,
                                                        size_t info_bytes);

/** Reports a slab, for instance to register it with the kernel.
 *  Parameters, @return: as for aegis_pool_get_slab, and AEGIS_E_FORKED.
 *  Threads:  any thread.
 *  Cost:     O(1) under the lock.
 */
AEGIS_STATIC_INLINE aegis_status aegis_locked_pool_get_slab(const aegis_locked_pool *pool,
                                                            size_t slab,
                                                            aegis_pool_slab_info *info) {
    return aegis_locked_pool_get_slab_sized(pool, slab, info, sizeof *info);
}

/** Releases slabs without a block that is out, the last slab first. The first slab stays.
 *  @param keep_block_count  a slab stays if the pool would have fewer blocks than this without
 *                           it.
 *  Threads:                 any thread.
 *  Cost:                    O(blocks) under the lock, and the releases outside of it.
 */
AEGIS_API void aegis_locked_pool_trim(const aegis_locked_pool *pool, size_t keep_block_count);

/** Charges all memory of a pool to another budget instead of the present one. Later growth is
 *  charged there too. Blocks that are out stay good.
 *  @param budget  the new budget; NULL for none. The pool holds a reference to it, and gives up
 *                 the one to the old budget.
 *  @param error   overwritten on failure: it names the budget that refused. NULL if the reason
 *                 is not wanted.
 *  @return        AEGIS_OK; AEGIS_E_LIMIT_EXCEEDED as of aegis_budget_move; AEGIS_E_FORKED if the
 *                 pool is lost in this process.
 *  On failure:    nothing changed.
 *  Threads:       one, while no other uses the pool.
 *  Cost:          as aegis_budget_move.
 */
AEGIS_API aegis_status aegis_locked_pool_move_budget(const aegis_locked_pool *pool,
                                                     aegis_budget *budget, aegis_error *error);

/** aegis_locked_pool_get_stats for statistics of `stats_bytes` bytes: see "Structs that grow" in
 *  base.h. */
AEGIS_API void aegis_locked_pool_get_stats_sized(const aegis_locked_pool *pool,
                                                 aegis_pool_stats *stats, size_t stats_bytes);

/** Reports the pool's statistics, all of the same moment.
 *  @param stats  overwritten. Where other calls return AEGIS_E_FORKED, every number that depends
 *                on blocks or slabs is 0.
 *  Threads:      any thread.
 *  Cost:         O(1) under the lock.
 */
AEGIS_STATIC_INLINE void aegis_locked_pool_get_stats(const aegis_locked_pool *pool,
                                                     aegis_pool_stats *stats) {
    aegis_locked_pool_get_stats_sized(pool, stats, sizeof *stats);
}

/** Returns how many threads and requests are waiting for a block. A request that was given a block
 *  does not wait any more.
 *  @return   the length of the queue.
 *  Threads:  any thread.
 *  Cost:     O(1) under the lock.
 */
AEGIS_API size_t aegis_locked_pool_waiting(const aegis_locked_pool *pool);

#ifdef __cplusplus
}
#endif

#endif
