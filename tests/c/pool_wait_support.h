/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of pools that wait for their budget share: a pool of any form, and threads that
 * allocate from it. No test depends on how fast a thread is: the threads find each other's requests
 * in what the budget and the pool report, and an alarm ends a test that hangs. */
#ifndef POOL_WAIT_SUPPORT_H
#define POOL_WAIT_SUPPORT_H

#include "wait_support.h"

#define BLOCK_BYTES ((size_t)4096)

enum { SINGLE, LOCK_FREE, LOCKED, CACHED, FORMS };

/* A pool of any form. */
typedef struct any_pool {
    int form;
    aegis_pool single;
    aegis_lock_free_pool lock_free;
    aegis_locked_pool locked;
    aegis_pool_cache cache;
} any_pool;

static inline aegis_pool_options options_for(size_t block_count, aegis_budget *budget,
                                             uint64_t wait_ns) {
    aegis_pool_options options = {BLOCK_BYTES, block_count, 8 * block_count, 0, NULL,
                                  budget,      NULL,        wait_ns};
    return options;
}

static inline void make(any_pool *pool, int form, size_t block_count, aegis_budget *budget,
                        uint64_t wait_ns) {
    aegis_lock_free_pool_options options = {options_for(block_count, budget, wait_ns), 1, 0};
    memset(pool, 0, sizeof *pool);
    pool->form = form;
    if (form == SINGLE) {
        CHECK(aegis_pool_init(&pool->single, &options.blocks) == AEGIS_OK);
    } else if (form == LOCKED) {
        CHECK(aegis_locked_pool_init(&pool->locked, &options.blocks) == AEGIS_OK);
    } else {
        CHECK(aegis_lock_free_pool_init(&pool->lock_free, &options) == AEGIS_OK);
        if (form == CACHED)
            CHECK(aegis_pool_cache_init(&pool->cache, &pool->lock_free) == AEGIS_OK);
    }
}

static inline void *alloc(any_pool *pool, aegis_error *error) {
    void *block;
    if (pool->form == LOCKED)
        return aegis_locked_pool_alloc(&pool->locked, error);
    if (pool->form == LOCK_FREE)
        return aegis_lock_free_pool_alloc(&pool->lock_free, error);
    if (pool->form == CACHED) {
        block = aegis_pool_cache_alloc(&pool->cache);
        if (block == NULL)
            aegis_pool_cache_last_error(&pool->cache, error);
    } else {
        block = aegis_pool_alloc(&pool->single);
        if (block == NULL)
            aegis_pool_last_error(&pool->single, error);
    }
    return block;
}

static inline void finish(any_pool *pool) {
    aegis_pool_cache_fini(&pool->cache);
    aegis_pool_abandon(&pool->single);
    aegis_lock_free_pool_abandon(&pool->lock_free);
    aegis_locked_pool_abandon(&pool->locked);
}

/* Allocates all blocks that the pool holds, then charges what the budget has left. */
static inline size_t fill(any_pool *pool, size_t block_count, aegis_budget *budget) {
    aegis_error error;
    if (pool->form == CACHED)
        block_count += AEGIS_POOL_CACHE_BLOCKS;
    for (size_t i = 0; i < block_count; i++)
        CHECK(alloc(pool, &error) != NULL);
    size_t rest_bytes = LIMIT_BYTES - used(budget);
    CHECK(aegis_budget_charge(budget, rest_bytes, NULL) == AEGIS_OK);
    return rest_bytes;
}

typedef struct requester {
    any_pool *pool;
    /* UINT64_MAX - 1: allocates without a time to wait for a block. */
    uint64_t timeout_ns;
    void *block;
    aegis_error error;
    atomic_bool ended;
    pthread_t thread;
} requester;

#define NO_TIMEOUT (UINT64_MAX - 1)

static inline void *request(void *argument) {
    requester *self = (requester *)argument;
    self->block =
        self->timeout_ns == NO_TIMEOUT
            ? alloc(self->pool, &self->error)
            : aegis_locked_pool_alloc_timeout(&self->pool->locked, self->timeout_ns, &self->error);
    atomic_store(&self->ended, true);
    return NULL;
}

static inline void start(requester *self, any_pool *pool, uint64_t timeout_ns) {
    memset(self, 0, sizeof *self);
    self->pool = pool;
    self->timeout_ns = timeout_ns;
    CHECK(pthread_create(&self->thread, NULL, request, self) == 0);
}

/* The same, and returns when the thread waits in the budget. */
static inline void start_waiting(requester *self, any_pool *pool, uint64_t timeout_ns,
                                 aegis_budget *budget) {
    size_t old_bytes = waiting_bytes(budget);
    start(self, pool, timeout_ns);
    wait_for_more_waiting(budget, old_bytes);
}

static inline void join(requester *self) {
    CHECK(pthread_join(self->thread, NULL) == 0);
}

#endif
