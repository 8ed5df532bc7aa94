/* SPDX-License-Identifier: Apache-2.0 */
/* The pool behind a lock. Each waiting thread has a node, with a condition of its own, on its
 * stack; the nodes form a queue. Who gives a block back while the queue is not empty writes it into
 * the first node and takes that out of the queue, all under the lock: so the block is never free in
 * between, and a waiter that wakes for whatever reason finds it there or knows that it has none. */
#if !defined(_WIN32) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* clock_gettime, pthread_condattr_setclock */
#endif

#include "aegis_memory/locked_pool.h"
#include "condition.h"
#include "harden.h"
#include "pool_internal.h"

typedef struct waiter {
    struct waiter *next;
    struct waiter *previous;
    void *block;
    aegis_i_condition arrived;
} waiter;

struct aegis_locked_pool_shared {
    aegis_i_mutex mutex;
    aegis_pool pool;
    waiter *first;
    waiter *last;
    size_t waiting_count;
};

/* O(1) consistency, for asserts. Called under the lock. */
AEGIS_I_HIDDEN bool aegis_i_locked_pool_is_valid(const aegis_locked_pool_shared *shared);
bool aegis_i_locked_pool_is_valid(const aegis_locked_pool_shared *shared) {
    return aegis_i_pool_is_valid(&shared->pool) &&
           (shared->first == NULL) == (shared->waiting_count == 0) &&
           (shared->first == NULL) == (shared->last == NULL) &&
           (shared->first == NULL || shared->pool.free_count == 0);
}

static aegis_locked_pool_shared *enter(const aegis_locked_pool *pool) {
    (void)aegis_i_mutex_lock(&pool->shared->mutex);
    assert(aegis_i_locked_pool_is_valid(pool->shared));
    return pool->shared;
}

static void leave(aegis_locked_pool_shared *shared) {
    assert(aegis_i_locked_pool_is_valid(shared));
    aegis_i_mutex_unlock(&shared->mutex);
}

aegis_status aegis_locked_pool_init(aegis_locked_pool *pool, const aegis_pool_options *options) {
    aegis_pool inner;
    memset(pool, 0, sizeof *pool);
    aegis_status status = aegis_i_pool_init(&inner, options, sizeof(aegis_locked_pool_shared));
    if (status != AEGIS_OK)
        return status;
    aegis_locked_pool_shared *shared = (aegis_locked_pool_shared *)inner.slabs.meta;
    aegis_i_mutex_init(&shared->mutex);
    shared->pool = inner;
    pool->shared = shared;
    pool->block_bytes = inner.slabs.block_bytes;
    return AEGIS_OK;
}

aegis_status aegis_locked_pool_fini(aegis_locked_pool *pool) {
    if (pool == NULL || pool->shared == NULL)
        return AEGIS_OK;
    aegis_locked_pool_shared *shared = enter(pool);
    bool busy = shared->pool.free_count != shared->pool.touched_count || shared->first != NULL;
    leave(shared);
    if (busy)
        return AEGIS_E_BUSY;
    aegis_locked_pool_abandon(pool);
    return AEGIS_OK;
}

void aegis_locked_pool_abandon(aegis_locked_pool *pool) {
    if (pool == NULL || pool->shared == NULL)
        return;
    aegis_i_mutex_fini(&pool->shared->mutex);
    aegis_i_slabs_fini(&pool->shared->pool.slabs);
    memset(pool, 0, sizeof *pool);
}

static void enqueue(aegis_locked_pool_shared *shared, waiter *node) {
    node->next = NULL;
    node->previous = shared->last;
    if (shared->last != NULL)
        shared->last->next = node;
    else
        shared->first = node;
    shared->last = node;
    shared->waiting_count++;
}

static void dequeue(aegis_locked_pool_shared *shared, waiter *node) {
    if (node->next != NULL)
        node->next->previous = node->previous;
    else
        shared->last = node->previous;
    if (node->previous != NULL)
        node->previous->next = node->next;
    else
        shared->first = node->next;
    shared->waiting_count--;
}

/* Gives a block that is out to the thread that has waited longest. */
static void hand_over(aegis_locked_pool_shared *shared, void *block) {
    waiter *node = shared->first;
    dequeue(shared, node);
    node->block = block;
    /* Under the lock: the node is gone once its thread has it. */
    aegis_i_condition_signal(&node->arrived);
}

/* Takes a block. Threads that wait, because growth failed before, come first if it succeeds now. */
static void *take(aegis_locked_pool_shared *shared, bool *clean) {
    void *block = aegis_i_pool_take(&shared->pool, clean);
    while (block != NULL && shared->first != NULL) {
        hand_over(shared, block);
        block = aegis_i_pool_take(&shared->pool, clean);
    }
    return block;
}

/* Waits in the queue until a block is handed over or time is up. */
static void *wait_in_queue(aegis_locked_pool_shared *shared, uint64_t deadline_ns) {
    waiter node;
    node.block = NULL;
    if (!aegis_i_condition_init(&node.arrived))
        return NULL;
    enqueue(shared, &node);
    while (node.block == NULL && (deadline_ns == UINT64_MAX || aegis_i_now_ns() < deadline_ns))
        aegis_i_condition_wait(&node.arrived, &shared->mutex, deadline_ns);
    if (node.block == NULL)
        dequeue(shared, &node);
    aegis_i_condition_fini(&node.arrived);
    return node.block;
}

static void *alloc(const aegis_locked_pool *pool, bool zeroed, uint64_t timeout_ns,
                   aegis_error *error) {
    uint64_t deadline_ns = timeout_ns != 0 ? aegis_i_deadline_ns(timeout_ns) : 0;
    aegis_locked_pool_shared *shared = enter(pool);
    bool clean;
    void *block = take(shared, &clean);
    if (block == NULL && timeout_ns != 0)
        block = wait_in_queue(shared, deadline_ns);
    if (block == NULL && error != NULL)
        *error = shared->pool.failed;
    leave(shared);
    /* The block is ours alone by now. */
    if (block != NULL)
        aegis_i_pool_show(&shared->pool.slabs, block, zeroed, clean);
    return block;
}

void *aegis_locked_pool_alloc(const aegis_locked_pool *pool, aegis_error *error) {
    return alloc(pool, false, 0, error);
}

void *aegis_locked_pool_alloc_zeroed(const aegis_locked_pool *pool, aegis_error *error) {
    return alloc(pool, true, 0, error);
}

void *aegis_locked_pool_alloc_timeout(const aegis_locked_pool *pool, uint64_t timeout_ns,
                                      aegis_error *error) {
    return alloc(pool, false, timeout_ns, error);
}

size_t aegis_locked_pool_alloc_n(const aegis_locked_pool *pool, void **blocks, size_t count,
                                 aegis_error *error) {
    aegis_locked_pool_shared *shared = enter(pool);
    size_t got_count = 0;
    while (got_count < count) {
        bool clean;
        void *block = take(shared, &clean);
        if (block == NULL) {
            if (error != NULL)
                *error = shared->pool.failed;
            break;
        }
        aegis_i_pool_show(&shared->pool.slabs, block, false, clean);
        blocks[got_count++] = block;
    }
    leave(shared);
    return got_count;
}

/* Gives free blocks, which have just come back, to the threads that wait. */
static void serve(aegis_locked_pool_shared *shared) {
    while (shared->first != NULL && shared->pool.free_count != 0) {
        bool clean;
        hand_over(shared, aegis_i_pool_take(&shared->pool, &clean));
    }
}

aegis_status aegis_locked_pool_free(const aegis_locked_pool *pool, void *block) {
    aegis_locked_pool_shared *shared = enter(pool);
    aegis_status status = aegis_pool_free(&shared->pool, block);
    serve(shared);
    leave(shared);
    return status;
}

aegis_status aegis_locked_pool_free_n(const aegis_locked_pool *pool, void *const *blocks,
                                      size_t count) {
    aegis_locked_pool_shared *shared = enter(pool);
    aegis_status status = aegis_pool_free_n(&shared->pool, blocks, count);
    serve(shared);
    leave(shared);
    return status;
}

aegis_status aegis_locked_pool_index_of(const aegis_locked_pool *pool, const void *block,
                                        size_t *index) {
    aegis_locked_pool_shared *shared = enter(pool);
    aegis_status status = aegis_pool_index_of(&shared->pool, block, index);
    leave(shared);
    return status;
}

void *aegis_locked_pool_address_of(const aegis_locked_pool *pool, size_t index) {
    aegis_locked_pool_shared *shared = enter(pool);
    void *block = aegis_pool_address_of(&shared->pool, index);
    leave(shared);
    return block;
}

bool aegis_locked_pool_owns(const aegis_locked_pool *pool, const void *block) {
    aegis_locked_pool_shared *shared = enter(pool);
    bool owns = aegis_pool_owns(&shared->pool, block);
    leave(shared);
    return owns;
}

aegis_status aegis_locked_pool_get_slab(const aegis_locked_pool *pool, size_t slab,
                                        aegis_pool_slab_info *info) {
    aegis_locked_pool_shared *shared = enter(pool);
    aegis_status status = aegis_pool_get_slab(&shared->pool, slab, info);
    leave(shared);
    return status;
}

void aegis_locked_pool_trim(const aegis_locked_pool *pool, size_t keep_block_count) {
    aegis_locked_pool_shared *shared = enter(pool);
    aegis_pool_trim(&shared->pool, keep_block_count);
    leave(shared);
}

void aegis_locked_pool_get_stats(const aegis_locked_pool *pool, aegis_pool_stats *stats) {
    aegis_locked_pool_shared *shared = enter(pool);
    aegis_pool_get_stats(&shared->pool, stats);
    leave(shared);
}

size_t aegis_locked_pool_waiting(const aegis_locked_pool *pool) {
    aegis_locked_pool_shared *shared = enter(pool);
    size_t waiting_count = shared->waiting_count;
    leave(shared);
    return waiting_count;
}
