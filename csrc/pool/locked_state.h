/* SPDX-License-Identifier: Apache-2.0 */
/* The shared state of a locked pool, and its lock. Not installed.
 *
 * A file that includes it defines _GNU_SOURCE first, where it is not Windows. */
#ifndef AEGIS_MEMORY_I_POOL_LOCKED_STATE_H
#define AEGIS_MEMORY_I_POOL_LOCKED_STATE_H

#include "aegis_memory/locked_pool.h"
#include "../base/condition.h"
#include "one_owner.h"

typedef struct aegis_i_waiter {
    struct aegis_i_waiter *next;
    struct aegis_i_waiter *previous;
    void *block;
    /* Whether the block's bytes are zero. */
    bool clean;
    /* Whether it wants to know when a growth has ended. */
    bool follows_growth;
    /* Of the queue that it is in. */
    uint64_t generation;
    /* From then on it does not wait for other threads' growths any more. */
    uint64_t impatient_ns;
    aegis_i_condition arrived;
} aegis_i_waiter;

/* A thread that is acquiring a slab; it lies on its stack. */
typedef struct aegis_i_growth {
    struct aegis_i_growth *earlier;
    uintptr_t thread;
    uint64_t overdue_ns;
} aegis_i_growth;

struct aegis_locked_pool_shared {
    aegis_i_mutex mutex;
    aegis_pool pool;
    aegis_i_waiter *first;
    aegis_i_waiter *last;
    size_t waiting_count;
    /* Those under way, the latest first. */
    aegis_i_growth *growths;
    /* Calls that are giving a slab back. */
    size_t releasing_count;
    /* Counts the queues: a child process begins with a new one. */
    uint64_t generation;
};

/* O(1) consistency, for asserts. Called under the lock. */
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

/* False: the lock is not to be had in this process. */
AEGIS_I_HIDDEN bool aegis_i_locked_pool_lock(aegis_locked_pool_shared *shared);
/* NULL as aegis_i_locked_pool_lock is false. */
AEGIS_I_HIDDEN aegis_locked_pool_shared *aegis_i_locked_pool_enter(const aegis_locked_pool *pool);
/* Gives a slab back that is not installed, outside of the lock. False: the lock is lost. */
AEGIS_I_HIDDEN bool aegis_i_locked_pool_release_slab(aegis_locked_pool_shared *shared,
                                                     uint32_t slab, uintptr_t entry);

#endif
