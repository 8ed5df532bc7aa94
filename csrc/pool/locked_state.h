/* SPDX-License-Identifier: Apache-2.0 */
/* The shared state of a locked pool, and its lock. Not installed.
 *
 * A file that includes this header defines _GNU_SOURCE first, except on Windows. */
#ifndef AEGIS_MEMORY_I_POOL_LOCKED_STATE_H
#define AEGIS_MEMORY_I_POOL_LOCKED_STATE_H

#include "aegis_memory/locked_pool.h"
#include "../base/condition.h"
#include "one_owner.h"

/* A thread that wants a block and has found none free. The node lies on the thread's stack. */
typedef struct aegis_i_waiter {
    struct aegis_i_waiter *next;
    struct aegis_i_waiter *previous;
    /* The block that the thread was given; NULL before. */
    void *block;
    /* Whether the block's bytes are zero. */
    bool clean;
    /* Whether the thread is to be woken when a growth has ended. */
    bool follows_growth;
    /* The generation of the queue that the node is in. */
    uint64_t generation;
    /* From this time on the thread does not wait for the growths of other threads any more. */
    uint64_t impatient_ns;
    /* Only this thread waits for it. */
    aegis_i_condition arrived;
} aegis_i_waiter;

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
    /* The queue of the threads that wait: the first has waited longest. */
    aegis_i_waiter *first;
    aegis_i_waiter *last;
    size_t waiting_count;
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

/* Takes the lock. False: the lock cannot be had in this process (see base/mutex.h). */
AEGIS_I_HIDDEN bool aegis_i_locked_pool_lock(aegis_locked_pool_shared *shared);
/* Takes the lock and returns the pool's state; NULL when aegis_i_locked_pool_lock is false. */
AEGIS_I_HIDDEN aegis_locked_pool_shared *aegis_i_locked_pool_enter(const aegis_locked_pool *pool);
/* Gives a slab that is not installed back to the source. The caller holds the lock, which is given
 * up meanwhile. False: the lock could not be taken again. */
AEGIS_I_HIDDEN bool aegis_i_locked_pool_release_slab(aegis_locked_pool_shared *shared,
                                                     uint32_t slab, uintptr_t entry);

#endif
