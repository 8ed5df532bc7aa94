/* SPDX-License-Identifier: Apache-2.0 */
/* What a locked pool does beside handing blocks out: it is made, finished, trimmed, moved and
 * counted. Why
 * the lock is given up around the source stands in locked.c. */
#if !defined(_WIN32) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* clock_gettime, pthread_condattr_setclock */
#endif

#include "aegis_memory/locked_pool.h"
#include "../base/sized.h"
#include "../base/text.h"
#include "locked_state.h"

/* The state of a pool whose own state has gone back to the source, because the source may call the
 * pool then: it has no block. */
static aegis_locked_pool_shared finished = {.mutex = AEGIS_I_MUTEX_INITIALIZER};

aegis_status aegis_locked_pool_init_sized(aegis_locked_pool *pool,
                                          const aegis_pool_options *options, size_t options_bytes) {
    aegis_pool inner;
    memset(pool, 0, sizeof *pool);
    aegis_status status =
        aegis_i_pool_init(&inner, options, options_bytes, sizeof(aegis_locked_pool_shared), false);
    if (status != AEGIS_OK)
        return status;
    aegis_locked_pool_shared *shared = (aegis_locked_pool_shared *)inner.slabs.meta;
    aegis_i_mutex_init_staying(&shared->mutex);
    shared->pool = inner;
    pool->shared = shared;
    pool->block_bytes = inner.slabs.block_bytes;
    pool->align_bytes = inner.slabs.align_bytes;
    return AEGIS_OK;
}

aegis_status aegis_locked_pool_fini(aegis_locked_pool *pool) {
    if (pool == NULL || pool->shared == NULL)
        return AEGIS_OK;
    aegis_locked_pool_shared *shared = aegis_i_locked_pool_enter(pool);
    if (shared == NULL)
        return AEGIS_E_FORKED;
    bool busy = aegis_i_pool_free_count(&shared->pool) != shared->pool.touched_count ||
                shared->first != NULL || shared->growths != NULL || shared->releasing_count != 0;
    aegis_i_locked_pool_leave(shared);
    if (busy)
        return AEGIS_E_BUSY;
    aegis_locked_pool_abandon(pool);
    return AEGIS_OK;
}

void aegis_locked_pool_abandon(aegis_locked_pool *pool) {
    if (pool == NULL || pool->shared == NULL)
        return;
    aegis_locked_pool_shared *shared = pool->shared;
    /* If the lock cannot be had in this process, the pool is taken apart without it: no other
     * thread of this process can be inside. The directory is correct at any moment, even if the
     * fork stopped a thread in a change: a slab that is in the directory belongs to the pool. */
    bool locked = aegis_i_locked_pool_lock(shared);
    if (AEGIS_I_DEBUG && locked && shared->first != NULL)
        aegis_i_report("a locked pool was abandoned while %zu threads or requests wait",
                       shared->waiting_count);
    aegis_pool_slabs slabs = shared->pool.slabs, rest;
    memset(&shared->pool, 0, sizeof shared->pool);
    if (locked)
        aegis_i_locked_pool_leave(shared);
    /* The pool is being finished already: the source has called this. */
    if (slabs.meta == NULL)
        return;
    aegis_i_slabs_empty(&slabs, &rest);
    pool->shared = &finished;
    aegis_i_mutex_fini(&shared->mutex);
    aegis_i_slabs_close(&rest);
    memset(pool, 0, sizeof *pool);
}

void aegis_locked_pool_trim(const aegis_locked_pool *pool, size_t keep_block_count) {
    aegis_locked_pool_shared *shared = aegis_i_locked_pool_enter(pool);
    if (shared == NULL)
        return;
    uint32_t slab =
        aegis_i_pool_condemn(&shared->pool, keep_block_count) ? shared->pool.slabs.slab_limit : 0;
    while (slab > 1) {
        uintptr_t entry = aegis_i_slabs_take_condemned(&shared->pool.slabs, --slab);
        if (entry != 0 && !aegis_i_locked_pool_release_slab(shared, slab, entry))
            return;
    }
    aegis_i_locked_pool_leave(shared);
}

aegis_status aegis_locked_pool_move_budget(const aegis_locked_pool *pool, aegis_budget *budget,
                                           aegis_error *error) {
    aegis_locked_pool_shared *shared = aegis_i_locked_pool_enter(pool);
    if (shared == NULL) {
        if (error != NULL)
            (void)aegis_i_error_bytes(error, AEGIS_E_FORKED, 0, 0);
        return AEGIS_E_FORKED;
    }
    aegis_i_locked_pool_leave(shared);
    aegis_status status = aegis_pool_move_budget(&shared->pool, budget, error);
    /* The requests that wait for the old budget are to ask the new one. */
    if (status == AEGIS_OK && aegis_i_locked_pool_lock(shared)) {
        aegis_i_locked_pool_tell_requests(shared);
        aegis_i_locked_pool_leave_waking(shared);
    }
    return status;
}

void aegis_locked_pool_get_stats_sized(const aegis_locked_pool *pool, aegis_pool_stats *stats,
                                       size_t stats_bytes) {
    aegis_locked_pool_shared *shared = aegis_i_locked_pool_enter(pool);
    if (shared == NULL) {
        aegis_pool_stats filled;
        aegis_i_slabs_get_stats(&pool->shared->pool.slabs, &filled);
        aegis_i_copy_sized(stats, stats_bytes, &filled, sizeof filled);
        return;
    }
    aegis_pool_get_stats_sized(&shared->pool, stats, stats_bytes);
    aegis_i_locked_pool_leave(shared);
}

size_t aegis_locked_pool_waiting(const aegis_locked_pool *pool) {
    aegis_locked_pool_shared *shared = aegis_i_locked_pool_enter(pool);
    if (shared == NULL)
        return 0;
    size_t waiting_count = shared->waiting_count;
    aegis_i_locked_pool_leave(shared);
    return waiting_count;
}
