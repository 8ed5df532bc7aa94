/* SPDX-License-Identifier: Apache-2.0 */
/* The shared state of a locked pool, its lock and its queue. Not installed. The argument stands in
 * locked.c.
 *
 * A file that includes this header defines _GNU_SOURCE first, except on Windows. */
#ifndef AEGIS_MEMORY_I_POOL_LOCKED_STATE_H
#define AEGIS_MEMORY_I_POOL_LOCKED_STATE_H

#include "aegis_memory/locked_pool.h"
#include "../base/condition.h"
#include "../budget/polled.h"
#include "one_owner.h"

/* A thread or a polled request that wants a block and has found none free. The node of a thread
 * lies on the thread's stack, and that of a request in the request. */
typedef struct aegis_i_waiter {
    struct aegis_i_waiter *next;
    struct aegis_i_waiter *previous;
    /* The request that the node belongs to. NULL: it belongs to a thread. */
    aegis_locked_pool_request *request;
    /* The block that the waiter was given; NULL before. */
    void *block;
    /* Whether the block's bytes are zero. */
    bool clean;
    /* Whether the waiter is to be woken when a growth has ended. */
    bool follows_growth;
    /* The generation of the queue that the node is in. */
    uint64_t generation;
    /* From this time on the waiter does not wait for the growths of other threads any more. */
    uint64_t impatient_ns;
    /* The longest wait of the next growth for the budget, or AEGIS_I_OPTIONAL. */
    uint64_t wait_ns;
    /* Whether the thread may be waiting for the budget. */
    bool waits_for_budget;
    /* Only this thread waits for it. A request has none. */
    aegis_i_condition arrived;
} aegis_i_waiter;

/* A request that is polled. It lies on the C heap. */
struct aegis_locked_pool_request {
    aegis_i_waiter node;
    aegis_locked_pool_shared *shared;
    /* The waker. `wake` is NULL if there is none, and after the waker was taken for its call. */
    aegis_wake_fn wake;
    void *context;
    /* The place in the list of the wakers that are to be called, if `is_due`. */
    aegis_locked_pool_request *next_due;
    aegis_locked_pool_request *previous_due;
    bool is_due;
    /* Before this time a poll does not try growth again. 0: it has not tried it yet, or has a new
     * reason to. */
    uint64_t next_try_ns;
    /* The room in the budget that it waits for. While it has a waker, the bell in this is that of
     * the waker. */
    aegis_i_polled room;
};

/* A thread that is acquiring a slab. The node lies on the thread's stack. */
typedef struct aegis_i_growth {
    struct aegis_i_growth *earlier;
    uintptr_t thread;
    /* From this time on other threads do not wait for its result any more. */
    uint64_t overdue_ns;
} aegis_i_growth;

struct aegis_locked_pool_shared {
    aegis_i_mutex mutex;
    aegis_pool pool;
    /* The queue of the threads and requests that wait: the first has waited longest. */
    aegis_i_waiter *first;
    aegis_i_waiter *last;
    size_t waiting_count;
    /* The requests whose wakers are to be called, in this order. */
    aegis_locked_pool_request *first_due;
    aegis_locked_pool_request *last_due;
    /* The growths under way, the latest first. */
    aegis_i_growth *growths;
    /* The number of calls that are giving a slab back to the source. */
    size_t releasing_count;
    /* The number of the queue. A child process begins with a new queue. */
    uint64_t generation;
};

/* O(1) consistency, for asserts. The caller holds the lock. */
static inline bool aegis_i_locked_pool_is_valid(const aegis_locked_pool_shared *shared) {
    return aegis_i_pool_is_valid(&shared->pool) &&
           (shared->first == NULL) == (shared->waiting_count == 0) &&
           (shared->first == NULL) == (shared->last == NULL) &&
           (shared->first == NULL || !aegis_i_pool_has_free(&shared->pool));
}

static inline void aegis_i_locked_pool_leave(aegis_locked_pool_shared *shared) {
    assert(aegis_i_locked_pool_is_valid(shared));
    aegis_i_mutex_unlock(&shared->mutex);
}

/* Forgets the waiters of the parent process. The caller holds the lock, which was adopted. */
static inline void aegis_i_locked_pool_adopt(aegis_locked_pool_shared *shared) {
    /* The threads that waited, grew or released are not in this process, and their nodes are gone
     * with their stacks. A request knows by its generation that it is in no queue. */
    shared->first = shared->last = NULL;
    shared->waiting_count = 0;
    shared->first_due = shared->last_due = NULL;
    shared->growths = NULL;
    shared->releasing_count = 0;
    shared->generation++;
}

/* Takes the lock after aegis_i_locked_pool_try_lock has failed. False: the lock cannot be had in
 * this process (see base/mutex.h). */
static inline bool aegis_i_locked_pool_lock_contended(aegis_locked_pool_shared *shared) {
    if (!aegis_i_mutex_lock_contended(&shared->mutex))
        return false;
    if (aegis_i_mutex_take_adoption(&shared->mutex))
        aegis_i_locked_pool_adopt(shared);
    assert(aegis_i_locked_pool_is_valid(shared));
    return true;
}

/* Takes the lock if it is free. If it is had so, it is not adopted: the first owner after a fork
 * gets it from the function above. */
static inline bool aegis_i_locked_pool_try_lock(aegis_locked_pool_shared *shared) {
    if (AEGIS_UNLIKELY(!aegis_i_mutex_try_lock(&shared->mutex)))
        return false;
    assert(aegis_i_locked_pool_is_valid(shared));
    return true;
}

static inline bool aegis_i_locked_pool_lock(aegis_locked_pool_shared *shared) {
    return aegis_i_locked_pool_try_lock(shared) || aegis_i_locked_pool_lock_contended(shared);
}

/* Takes the lock and returns the pool's state; NULL when aegis_i_locked_pool_lock is false. */
static inline aegis_locked_pool_shared *aegis_i_locked_pool_enter(const aegis_locked_pool *pool) {
    return aegis_i_locked_pool_lock(pool->shared) ? pool->shared : NULL;
}

/* The queue (locked_queue.c). The caller of each of these functions holds the lock. */

/* Puts a waiter at the end of the queue. */
AEGIS_I_HIDDEN void aegis_i_locked_pool_enqueue(aegis_locked_pool_shared *shared,
                                                aegis_i_waiter *node);
/* Takes a waiter out of the queue. */
AEGIS_I_HIDDEN void aegis_i_locked_pool_dequeue(aegis_locked_pool_shared *shared,
                                                aegis_i_waiter *node);
/* Gives free blocks to those that wait, first to the one that has waited longest. */
AEGIS_I_HIDDEN void aegis_i_locked_pool_serve(aegis_locked_pool_shared *shared);
/* Tells all that wait for the result of a growth that a growth has ended. */
AEGIS_I_HIDDEN void aegis_i_locked_pool_tell_followers(aegis_locked_pool_shared *shared);
/* Tells all requests to ask again, because the pool has another budget. */
AEGIS_I_HIDDEN void aegis_i_locked_pool_tell_requests(aegis_locked_pool_shared *shared);
/* Whether it is this waiter's turn to try growth: of the threads the first one tries, and of the
 * requests the one that is the first of the queue. */
AEGIS_I_HIDDEN bool aegis_i_locked_pool_is_foremost(const aegis_locked_pool_shared *shared,
                                                    const aegis_i_waiter *node);
/* Withdraws the waker of a request. True: it was not called, and never will be. False: it has been
 * called, or another thread is about to call it, or there is none. */
AEGIS_I_HIDDEN bool aegis_i_locked_pool_disarm(aegis_locked_pool_shared *shared,
                                               aegis_locked_pool_request *request);
/* Takes the waker out of a request. NULL: it has none, or the budget has called it. */
AEGIS_I_HIDDEN aegis_wake_fn aegis_i_locked_pool_take_waker(aegis_locked_pool_request *request);
/* Whether the waker of a request is to be called. */
static inline bool aegis_i_locked_pool_has_due(const aegis_locked_pool_shared *shared) {
    return shared->first_due != NULL;
}

/* Calls the first waker that is to be called. The lock is given up meanwhile. False: the lock could
 * not be taken again. */
AEGIS_I_HIDDEN bool aegis_i_locked_pool_wake(aegis_locked_pool_shared *shared);
/* Calls all wakers that are to be called, and gives the lock up. */
AEGIS_I_HIDDEN void aegis_i_locked_pool_leave_waking(aegis_locked_pool_shared *shared);

/* What locked.c has for polled requests. The caller holds the lock. */

/* Adds a slab to a pool that can have one, and serves the queue, in which the caller is with
 * `node`. It waits for the budget as the node says. The lock is given up meanwhile. AEGIS_OK: the
 * source gave a slab, a condemned one was taken back into use, or the wait has ended because the
 * node has a block. AEGIS_PENDING: the node is that of a request, which waits for the budget too.
 * AEGIS_E_FORKED: the lock could not be taken again. Any other status: `error`
 * says why there is no slab. */
AEGIS_I_HIDDEN aegis_status aegis_i_locked_pool_grow(aegis_locked_pool_shared *shared,
                                                     aegis_i_waiter *node, aegis_error *error);
/* Whether another thread is acquiring a slab, and this waiter should wait for the result. */
AEGIS_I_HIDDEN bool aegis_i_locked_pool_is_growing(const aegis_locked_pool_shared *shared,
                                                   const aegis_i_waiter *node, uint64_t now_ns);
/* Sets up a node that is not in the queue. Its growth waits up to `wait_ns` for the budget. */
AEGIS_I_HIDDEN void aegis_i_locked_pool_init_waiter(aegis_i_waiter *node,
                                                    aegis_locked_pool_request *request,
                                                    uint64_t wait_ns);
/* Fills in the error of a request that finds all blocks out and cannot wait. */
AEGIS_I_HIDDEN void aegis_i_locked_pool_exhausted(const aegis_locked_pool_shared *shared,
                                                  aegis_error *error);
/* Fills in the error of a call on a pool that cannot be used in this process. Returns NULL. */
AEGIS_I_HIDDEN void *aegis_i_locked_pool_forked(const aegis_locked_pool *pool, aegis_error *error);
/* Gives a slab that is not installed back to the source. The lock is given up meanwhile. False: the
 * lock could not be taken again. */
AEGIS_I_HIDDEN bool aegis_i_locked_pool_release_slab(aegis_locked_pool_shared *shared,
                                                     uint32_t slab, uintptr_t entry);

/* How long a waiter that was refused a slab waits before it tries again: 10 ms. */
#define AEGIS_I_LOCKED_POOL_SLICE_NS UINT64_C(10000000)

#endif
