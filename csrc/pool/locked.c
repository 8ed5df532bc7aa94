/* SPDX-License-Identifier: Apache-2.0 */
/* The pool behind a lock. No function of the user's is called under it: growth and trimming give
 * the lock up around the source, and look anew at the pool when they have it back.
 *
 * Each thread that finds no block has a node, with a condition of its own, on its stack; the nodes
 * form a queue. A thread that has a free block while the queue is not empty, one that came back or
 * one of a new slab, writes it into the first node and takes that out of the queue, all under the
 * lock: so the block is never free in between, and a waiter that wakes for whatever reason finds it
 * there or knows that it has none.
 *
 * Growth is tried by a thread as it comes, by a waiter once more at its deadline, and in between by
 * the first of the queue every SLICE_NS: nobody wakes a waiter when a budget or a source recovers.
 * While one thread is at it the others wait for what comes of it, but no longer than PATIENCE_NS,
 * for the source may wait for one of them; then the next one tries as well, and each of them once
 * this has gone on for ten times as long. A thread that the source calls back does not wait for
 * itself. A pool that can have no further slab stays so while a thread waits, as all its blocks are
 * out then: no thread tries, and all sleep. */
#if !defined(_WIN32) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* clock_gettime, pthread_condattr_setclock */
#endif

#include "aegis_memory/locked_pool.h"
#include "../base/threads.h"
#include "locked_state.h"

#define SLICE_NS UINT64_C(10000000)
#define PATIENCE_NS UINT64_C(50000000)

bool aegis_i_locked_pool_lock(aegis_locked_pool_shared *shared) {
    if (!aegis_i_mutex_lock(&shared->mutex))
        return false;
    if (aegis_i_mutex_take_adoption(&shared->mutex)) {
        /* The threads are not in this process, nor are their stacks. */
        shared->first = shared->last = NULL;
        shared->waiting_count = 0;
        shared->growths = NULL;
        shared->releasing_count = 0;
        shared->generation++;
    }
    assert(aegis_i_locked_pool_is_valid(shared));
    return true;
}

aegis_locked_pool_shared *aegis_i_locked_pool_enter(const aegis_locked_pool *pool) {
    return aegis_i_locked_pool_lock(pool->shared) ? pool->shared : NULL;
}

static void enqueue(aegis_locked_pool_shared *shared, aegis_i_waiter *node) {
    node->next = NULL;
    node->previous = shared->last;
    node->generation = shared->generation;
    if (shared->last != NULL)
        shared->last->next = node;
    else
        shared->first = node;
    shared->last = node;
    shared->waiting_count++;
}

static void dequeue(aegis_locked_pool_shared *shared, aegis_i_waiter *node) {
    if (node->next != NULL)
        node->next->previous = node->previous;
    else
        shared->last = node->previous;
    if (node->previous != NULL)
        node->previous->next = node->next;
    else
        shared->first = node->next;
    shared->waiting_count--;
    /* From now on the next one is to try growth. */
    if (node->previous == NULL && node->next != NULL && aegis_i_pool_can_grow(&shared->pool))
        aegis_i_condition_signal(&node->next->arrived);
}

/* Gives free blocks to the threads that wait, those first that have waited longest. */
static void serve(aegis_locked_pool_shared *shared) {
    while (shared->first != NULL && aegis_i_pool_has_free(&shared->pool)) {
        aegis_i_waiter *node = shared->first;
        dequeue(shared, node);
        node->block = aegis_i_pool_take_held(&shared->pool, &node->clean);
        /* Under the lock: the node is gone once its thread has it. */
        aegis_i_condition_signal(&node->arrived);
    }
}

bool aegis_i_locked_pool_release_slab(aegis_locked_pool_shared *shared, uint32_t slab,
                                      uintptr_t entry) {
    uint64_t generation = shared->generation;
    shared->releasing_count++;
    aegis_i_locked_pool_leave(shared);
    int state = aegis_i_uncancelled_begin();
    aegis_i_slabs_release(&shared->pool.slabs, slab, entry);
    aegis_i_uncancelled_end(state);
    if (!aegis_i_locked_pool_lock(shared))
        return false;
    if (shared->generation == generation)
        shared->releasing_count--;
    return true;
}

/* Takes a growth out of the list, unless the list has been forgotten, and wakes the
 * threads that wait for it. */
static void end_growth(aegis_locked_pool_shared *shared, const aegis_i_growth *ended) {
    aegis_i_growth **link = &shared->growths;
    while (*link != NULL && *link != ended)
        link = &(*link)->earlier;
    if (*link != NULL)
        *link = ended->earlier;
    for (aegis_i_waiter *node = shared->first; node != NULL; node = node->next)
        if (node->follows_growth)
            aegis_i_condition_signal(&node->arrived);
}

/* Adds a slab to a pool that can have one, and serves the queue, in which the caller is. AEGIS_OK:
 * there was one. AEGIS_E_FORKED: the lock is lost. Any other status: `error` says why not. */
static aegis_status grow(aegis_locked_pool_shared *shared, aegis_error *error) {
    if (aegis_i_pool_revive(&shared->pool)) {
        serve(shared);
        return AEGIS_OK;
    }
    aegis_i_growth own = {shared->growths, aegis_i_thread_self(), aegis_i_now_ns() + PATIENCE_NS};
    uint32_t slab = aegis_i_pool_next_slab(&shared->pool);
    shared->growths = &own;
    aegis_i_locked_pool_leave(shared);
    int state = aegis_i_uncancelled_begin();
    uintptr_t entry = aegis_i_slabs_acquire(&shared->pool.slabs, slab, error);
    aegis_i_uncancelled_end(state);
    if (!aegis_i_locked_pool_lock(shared)) {
        if (entry != 0)
            aegis_i_slabs_release(&shared->pool.slabs, slab, entry);
        return AEGIS_E_FORKED;
    }
    end_growth(shared, &own);
    bool added = entry != 0 && aegis_i_pool_add_slab(&shared->pool, slab, entry);
    serve(shared);
    if (entry == 0)
        return error->status;
    return added || aegis_i_locked_pool_release_slab(shared, slab, entry) ? AEGIS_OK
                                                                          : AEGIS_E_FORKED;
}

/* Whether another thread is acquiring a slab and may well be done soon. */
static bool is_growing(const aegis_locked_pool_shared *shared, const aegis_i_waiter *node,
                       uint64_t now_ns) {
    return shared->growths != NULL && shared->growths->thread != aegis_i_thread_self() &&
           now_ns < shared->growths->overdue_ns && now_ns < node->impatient_ns;
}

static uint64_t earlier(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

static void fail_exhausted(const aegis_locked_pool_shared *shared, aegis_error *error) {
    const aegis_pool *inner = &shared->pool;
    aegis_i_slabs_exhausted(&inner->slabs, error, inner->slabs.index_limit,
                            inner->touched_count - inner->free_count);
}

/* What a thread has put into the pool that waits. */
typedef struct place {
    aegis_locked_pool_shared *shared;
    aegis_i_waiter *node;
} place;

/* A thread is cancelled while it waits, and has the lock. A block that it has just got is the next
 * thread's. */
static void give_up(void *context) {
    place *mine = (place *)context;
    aegis_locked_pool_shared *shared = mine->shared;
    if (mine->node->block != NULL) {
        (void)aegis_pool_free(&shared->pool, mine->node->block);
        serve(shared);
    } else if (mine->node->generation == shared->generation) {
        dequeue(shared, mine->node);
    }
    aegis_i_condition_fini(&mine->node->arrived);
    aegis_i_locked_pool_leave(shared);
}

/* What a request does that has no block yet: waits, or tries growth. A deadline of 0 is that of a
 * request that does not wait. Returns AEGIS_OK when it is to be asked again, and else as `obtain`.
 */
static aegis_status pursue(aegis_locked_pool_shared *shared, aegis_i_waiter *node,
                           uint64_t deadline_ns, uint64_t *next_try_ns, aegis_error *error) {
    uint64_t now_ns = aegis_i_now_ns();
    bool late = deadline_ns != UINT64_MAX && now_ns >= deadline_ns;
    uint64_t until_ns = deadline_ns;
    if (!aegis_i_pool_can_grow(&shared->pool)) {
        if (late) {
            fail_exhausted(shared, error);
            return AEGIS_E_EXHAUSTED;
        }
    } else if (is_growing(shared, node, now_ns) && (!late || deadline_ns == 0)) {
        node->follows_growth = true;
        until_ns =
            earlier(deadline_ns != 0 ? deadline_ns : UINT64_MAX, shared->growths->overdue_ns);
    } else if (late || *next_try_ns == 0 || (shared->first == node && now_ns >= *next_try_ns)) {
        aegis_status status = grow(shared, error);
        if (status == AEGIS_E_FORKED || (status != AEGIS_OK && late))
            return status;
        if (status != AEGIS_OK)
            *next_try_ns = aegis_i_now_ns() + SLICE_NS;
        return AEGIS_OK;
    } else if (shared->first == node) {
        until_ns = earlier(deadline_ns, *next_try_ns);
    }
    place mine = {shared, node};
    /* A request that does not wait for blocks may have others in hand already. */
    aegis_i_condition_wait(&node->arrived, &shared->mutex, until_ns,
                           deadline_ns != 0 ? give_up : NULL, &mine);
    node->follows_growth = false;
    return AEGIS_OK;
}

/* Gets a block for a request that has found none free. AEGIS_OK: it is in the node. AEGIS_E_FORKED:
 * the lock is lost. In any case `error` says why there is none. */
static aegis_status obtain(aegis_locked_pool_shared *shared, aegis_i_waiter *node,
                           uint64_t timeout_ns, aegis_error *error) {
    uint64_t deadline_ns = timeout_ns != 0 ? aegis_i_deadline_ns(timeout_ns) : 0;
    uint64_t next_try_ns = 0;
    aegis_status status = AEGIS_OK;
    memset(node, 0, sizeof *node);
    node->impatient_ns = aegis_i_now_ns() + 10 * PATIENCE_NS;
    if (!aegis_i_condition_init(&node->arrived)) {
        aegis_i_slabs_fail(&shared->pool.slabs, shared->pool.slabs.block_bytes,
                           shared->pool.slabs.align_bytes, NULL, error);
        return error->status;
    }
    enqueue(shared, node);
    while (node->block == NULL && status == AEGIS_OK) {
        status = pursue(shared, node, deadline_ns, &next_try_ns, error);
        /* In a child process, in whose parent the source was called that forked: a new queue. */
        if (status != AEGIS_E_FORKED && node->block == NULL &&
            node->generation != shared->generation) {
            enqueue(shared, node);
            serve(shared);
        }
    }
    if (status != AEGIS_E_FORKED && node->block != NULL)
        status = AEGIS_OK;
    if (status != AEGIS_E_FORKED && node->block == NULL)
        dequeue(shared, node);
    aegis_i_condition_fini(&node->arrived);
    return status;
}

/* Takes a block for a request that has found none free. NULL: `error` says why, AEGIS_E_FORKED that
 * the lock is lost. */
static AEGIS_I_COLD void *take_slow(aegis_locked_pool_shared *shared, uint64_t timeout_ns,
                                    bool *clean, aegis_error *error) {
    aegis_i_waiter node;
    /* A pool that is being finished never has blocks again. */
    if ((timeout_ns == 0 || shared->pool.slabs.meta == NULL) &&
        !aegis_i_pool_can_grow(&shared->pool)) {
        fail_exhausted(shared, error);
        return NULL;
    }
    error->status = obtain(shared, &node, timeout_ns, error);
    *clean = node.clean;
    return error->status == AEGIS_OK ? node.block : NULL;
}

/* Says that a pool is lost in this process. */
static void *fail_forked(const aegis_locked_pool *pool, aegis_error *error) {
    if (error != NULL)
        (void)aegis_i_error_bytes(error, AEGIS_E_FORKED, pool->block_bytes,
                                  pool->shared->pool.slabs.align_bytes);
    return NULL;
}

static void *alloc(const aegis_locked_pool *pool, bool zeroed, uint64_t timeout_ns,
                   aegis_error *error) {
    aegis_locked_pool_shared *shared = aegis_i_locked_pool_enter(pool);
    aegis_error failed;
    bool clean;
    if (shared == NULL)
        return fail_forked(pool, error);
    void *block = aegis_i_pool_take_held(&shared->pool, &clean);
    if (AEGIS_UNLIKELY(block == NULL)) {
        block = take_slow(shared, timeout_ns, &clean, &failed);
        if (block == NULL && failed.status == AEGIS_E_FORKED)
            return fail_forked(pool, error);
    }
    aegis_i_locked_pool_leave(shared);
    if (block == NULL) {
        if (error != NULL)
            *error = failed;
        return NULL;
    }
    /* The block is ours alone by now. */
    aegis_i_slabs_show(&shared->pool.slabs, block, zeroed, clean);
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
    aegis_locked_pool_shared *shared = aegis_i_locked_pool_enter(pool);
    aegis_error failed;
    size_t got_count = 0;
    failed.status = shared != NULL ? AEGIS_OK : AEGIS_E_FORKED;
    while (failed.status == AEGIS_OK && got_count < count) {
        bool clean;
        void *block = aegis_i_pool_take_held(&shared->pool, &clean);
        if (block == NULL)
            block = take_slow(shared, 0, &clean, &failed);
        if (block == NULL)
            break;
        aegis_i_slabs_show(&shared->pool.slabs, block, false, clean);
        blocks[got_count++] = block;
    }
    if (failed.status == AEGIS_E_FORKED)
        (void)fail_forked(pool, &failed);
    else
        aegis_i_locked_pool_leave(shared);
    if (failed.status != AEGIS_OK && error != NULL)
        *error = failed;
    return got_count;
}

aegis_status aegis_locked_pool_free(const aegis_locked_pool *pool, void *block) {
    aegis_locked_pool_shared *shared = aegis_i_locked_pool_enter(pool);
    if (shared == NULL)
        return AEGIS_E_FORKED;
    aegis_status status = aegis_pool_free(&shared->pool, block);
    serve(shared);
    aegis_i_locked_pool_leave(shared);
    return status;
}

aegis_status aegis_locked_pool_free_n(const aegis_locked_pool *pool, void *const *blocks,
                                      size_t count) {
    aegis_locked_pool_shared *shared = aegis_i_locked_pool_enter(pool);
    if (shared == NULL)
        return AEGIS_E_FORKED;
    aegis_status status = aegis_pool_free_n(&shared->pool, blocks, count);
    serve(shared);
    aegis_i_locked_pool_leave(shared);
    return status;
}

aegis_status aegis_locked_pool_index_of(const aegis_locked_pool *pool, const void *block,
                                        size_t *index) {
    aegis_locked_pool_shared *shared = aegis_i_locked_pool_enter(pool);
    if (shared == NULL)
        return AEGIS_E_FORKED;
    aegis_status status = aegis_pool_index_of(&shared->pool, block, index);
    aegis_i_locked_pool_leave(shared);
    return status;
}

void *aegis_locked_pool_address_of(const aegis_locked_pool *pool, size_t index) {
    aegis_locked_pool_shared *shared = aegis_i_locked_pool_enter(pool);
    if (shared == NULL)
        return NULL;
    void *block = aegis_pool_address_of(&shared->pool, index);
    aegis_i_locked_pool_leave(shared);
    return block;
}

bool aegis_locked_pool_owns(const aegis_locked_pool *pool, const void *block) {
    aegis_locked_pool_shared *shared = aegis_i_locked_pool_enter(pool);
    if (shared == NULL)
        return false;
    bool owns = aegis_pool_owns(&shared->pool, block);
    aegis_i_locked_pool_leave(shared);
    return owns;
}

aegis_status aegis_locked_pool_get_slab(const aegis_locked_pool *pool, size_t slab,
                                        aegis_pool_slab_info *info) {
    aegis_locked_pool_shared *shared = aegis_i_locked_pool_enter(pool);
    if (shared == NULL)
        return AEGIS_E_FORKED;
    aegis_status status = aegis_pool_get_slab(&shared->pool, slab, info);
    aegis_i_locked_pool_leave(shared);
    return status;
}
