/* SPDX-License-Identifier: Apache-2.0 */
/* The pool behind a lock. Each thread that finds no free block puts a node into a queue and waits.
 * So does each polled request (locked_poll.c), but its thread does not wait.
 *
 * Invariants:
 * 1. No function of the user is called under the lock. Growth and trimming give the lock up around
 *    the source, and look at the pool anew when they have it again (aegis_i_locked_pool_grow,
 *    aegis_i_locked_pool_release_slab). So do the calls of wakers (aegis_i_locked_pool_wake).
 * 2. While the queue is not empty, no block is free. A waiter enters the queue only when it has
 *    found none (obtain, enter_queue), or is served at once. Each change that makes a block free
 *    calls aegis_i_locked_pool_serve before it gives the lock up (aegis_locked_pool_free and its _n
 *    form, aegis_i_locked_pool_grow, give_up, aegis_locked_pool_request_cancel).
 * 3. aegis_i_locked_pool_serve writes a block into the first node and takes the node out of the
 *    queue in the same step under the lock. So the block is not free in between.
 * 4. Other threads touch a node only under the lock, and only while it is in the queue. A node is
 *    out of the queue before its memory is gone: its own thread takes it out, if the step of 3 has
 *    not done it (obtain, give_up, end_request). So is a request out of the list of 7.
 * 5. A waiter is woken when it has a block (aegis_i_locked_pool_serve), when it becomes the first
 *    of the queue, or the first thread in it, and the pool can grow (aegis_i_locked_pool_dequeue),
 *    and when a growth that it waits for has ended (end_growth). If a thread waits for the budget
 *    when it gets a block, it is called back (aegis_i_locked_pool_serve), and gives up its request
 *    to the budget. It looks for a block when it has entered the queue of the budget (look), so it
 *    misses no call.
 * 6. A child process begins with an empty queue and a new generation (aegis_i_locked_pool_adopt). A
 *    thread that comes back from the source in a child process sees that the generation is not that
 *    of its node, and enters the new queue (obtain). So does a request that is polled there.
 * 7. To wake a request is to put it into a list, under the lock (tell). A thread that may have put
 *    one there calls the wakers of the list before it leaves or sleeps, until the list is empty
 *    (aegis_i_locked_pool_leave_waking, pursue). It takes the waker out of the request and the
 *    request out of the list in one step, gives the lock up, and calls the waker. So each waker is
 *    called at most once, and a call that withdraws a waker knows whether it was taken before
 *    (aegis_i_locked_pool_disarm).
 * 8. A request that a budget has refused waits in the queue of the budget too, and whichever comes
 *    first wakes it. It leaves that queue when it ends, or when the pool can have no further slab
 *    (free_request, give_room_up in locked_poll.c). Why its waker is called once all the same
 *    stands in ../budget/polled.c.
 *
 * So a block goes to the waiter that has waited longest, and no other can take it in between (2,
 * 3). A thread that wakes for any reason, and a request that is polled for any reason, finds the
 * block in its node, or knows that it has none (3). So no block is lost, and one that missed a
 * wake-up would still find its block.
 *
 * When growth is tried (pursue; pursue_once for requests):
 * 1. By each waiter when it comes, and by each thread once more at its deadline.
 * 2. Between these, by the first thread of the queue every AEGIS_I_LOCKED_POOL_SLICE_NS, because
 *    nothing wakes a thread when a budget or a source has memory again. A request that is the first
 *    of the queue tries when it is polled, but not more often, and one that waits for the budget
 *    tries each time that it is polled.
 * 3. While one thread is at it, the others wait for its result, but not longer than PATIENCE_NS,
 *    because the source may be waiting for one of them (aegis_i_locked_pool_is_growing). After that
 *    the next thread tries as well. A thread that has waited for 10 * PATIENCE_NS does not wait for
 *    the growths of other threads any more. A thread that the source calls back does not wait for
 *    itself.
 * 4. Only the first attempt of a waiter that a budget refuses reclaims memory, tells the pressure
 *    functions, is counted as a refusal and, of a thread, waits for the budget. It waits no longer
 *    than the thread waits for a block (limit_wait). The attempts after that are optional, because
 *    they are repeated (`wait_ns` of aegis_i_patience).
 * 5. If the pool can have no further slab, no thread tries and all sleep. This stays so while one
 *    waits: by 2 above all blocks are out then, so no trim can release a slab. */
#if !defined(_WIN32) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* clock_gettime, pthread_condattr_setclock */
#endif

#include "aegis_memory/locked_pool.h"
#include "../base/cancel.h"
#include "../base/threads.h"
#include "locked_state.h"

/* 50 ms. */
#define PATIENCE_NS UINT64_C(50000000)

bool aegis_i_locked_pool_release_slab(aegis_locked_pool_shared *shared, uint32_t slab,
                                      uintptr_t entry) {
    uint64_t generation = shared->generation;
    shared->releasing_count++;
    aegis_i_locked_pool_leave_waking(shared);
    int state = aegis_i_uncancelled_begin();
    aegis_i_slabs_release(&shared->pool.slabs, slab, entry);
    aegis_i_uncancelled_end(state);
    if (!aegis_i_locked_pool_lock(shared))
        return false;
    if (shared->generation == generation)
        shared->releasing_count--;
    return true;
}

/* Takes a growth out of the list, unless a fork has made the pool forget the list, and tells all
 * that wait for its result. */
static void end_growth(aegis_locked_pool_shared *shared, const aegis_i_growth *ended) {
    aegis_i_growth **link = &shared->growths;
    while (*link != NULL && *link != ended)
        link = &(*link)->earlier;
    if (*link != NULL)
        *link = ended->earlier;
    aegis_i_locked_pool_tell_followers(shared);
}

/* A thread that waits for the budget so that the pool can grow. */
typedef struct grower {
    aegis_i_patience patience;
    aegis_locked_pool_shared *shared;
    const aegis_i_waiter *node;
} grower;

/* Whether the waiter has a block. */
static bool look(aegis_i_patience *patience) {
    const grower *self = (const grower *)(const void *)patience;
    /* No function of the user's has run since this process had the lock. */
    if (!aegis_i_locked_pool_lock(self->shared))
        return true;
    bool has_block = self->node->block != NULL;
    aegis_i_locked_pool_leave(self->shared);
    return has_block;
}

/* Acquires a slab for a waiter, without the lock. 0: `error` says why not. */
static uintptr_t acquire_slab(aegis_locked_pool_shared *shared, aegis_i_waiter *node, uint32_t slab,
                              aegis_error *error) {
    grower self = {aegis_i_slabs_patience(&shared->pool.slabs), shared, node};
    self.patience.wait_ns = node->wait_ns;
    self.patience.look = look;
    self.patience.key = node;
    if (node->request != NULL)
        self.patience.polled = &node->request->room;
    int state = aegis_i_uncancelled_begin();
    uintptr_t entry = aegis_i_slabs_acquire(&shared->pool.slabs, slab, &self.patience, error);
    aegis_i_uncancelled_end(state);
    node->wait_ns = self.patience.wait_ns;
    return entry;
}

aegis_status aegis_i_locked_pool_grow(aegis_locked_pool_shared *shared, aegis_i_waiter *node,
                                      aegis_error *error) {
    if (aegis_i_pool_revive(&shared->pool)) {
        aegis_i_locked_pool_serve(shared);
        return AEGIS_OK;
    }
    aegis_i_growth own = {shared->growths, aegis_i_thread_self(), aegis_i_now_ns() + PATIENCE_NS};
    uint32_t slab = aegis_i_pool_next_slab(&shared->pool);
    shared->growths = &own;
    node->waits_for_budget = node->wait_ns != 0 && node->wait_ns != AEGIS_I_OPTIONAL;
    aegis_i_locked_pool_leave(shared);
    uintptr_t entry = acquire_slab(shared, node, slab, error);
    if (!aegis_i_locked_pool_lock(shared)) {
        if (entry != 0)
            aegis_i_slabs_release(&shared->pool.slabs, slab, entry);
        return AEGIS_E_FORKED;
    }
    node->waits_for_budget = false;
    end_growth(shared, &own);
    bool added = entry != 0 && aegis_i_pool_add_slab(&shared->pool, slab, entry);
    aegis_i_locked_pool_serve(shared);
    if (entry == 0)
        return error->status != AEGIS_PENDING || node->request != NULL ? error->status : AEGIS_OK;
    return added || aegis_i_locked_pool_release_slab(shared, slab, entry) ? AEGIS_OK
                                                                          : AEGIS_E_FORKED;
}

bool aegis_i_locked_pool_is_growing(const aegis_locked_pool_shared *shared,
                                    const aegis_i_waiter *node, uint64_t now_ns) {
    return shared->growths != NULL && shared->growths->thread != aegis_i_thread_self() &&
           now_ns < shared->growths->overdue_ns && now_ns < node->impatient_ns;
}

static uint64_t earlier(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

/* A thread waits no longer for the budget than for a block. */
static void limit_wait(aegis_i_waiter *node, uint64_t deadline_ns, uint64_t now_ns) {
    if (node->wait_ns != AEGIS_I_OPTIONAL && deadline_ns != 0 && deadline_ns != UINT64_MAX)
        node->wait_ns = earlier(node->wait_ns, deadline_ns > now_ns ? deadline_ns - now_ns : 0);
}

void aegis_i_locked_pool_exhausted(const aegis_locked_pool_shared *shared, aegis_error *error) {
    const aegis_pool *inner = &shared->pool;
    aegis_i_slabs_exhausted(&inner->slabs, error, inner->slabs.index_limit,
                            inner->touched_count - aegis_i_pool_free_count(inner));
}

/* What a waiting thread has put into the pool. */
typedef struct place {
    aegis_locked_pool_shared *shared;
    aegis_i_waiter *node;
} place;

/* A thread was cancelled while it waited; it holds the lock. If it was given a block, the block
 * goes to the next thread. */
static void give_up(void *context) {
    place *mine = (place *)context;
    aegis_locked_pool_shared *shared = mine->shared;
    if (mine->node->block != NULL) {
        (void)aegis_pool_free(&shared->pool, mine->node->block);
        aegis_i_locked_pool_serve(shared);
    } else if (mine->node->generation == shared->generation) {
        aegis_i_locked_pool_dequeue(shared, mine->node);
    }
    aegis_i_condition_fini(&mine->node->arrived);
    aegis_i_locked_pool_leave_waking(shared);
}

/* One step of a request that has no block yet: it waits, or tries growth. A deadline of 0 means
 * that the request does not wait for a block. AEGIS_OK: the caller looks into its node, and takes
 * another step if there is no block. Any other status ends the request, as that of `obtain`. */
static aegis_status pursue(aegis_locked_pool_shared *shared, aegis_i_waiter *node,
                           uint64_t deadline_ns, uint64_t *next_try_ns, aegis_error *error) {
    uint64_t now_ns = aegis_i_now_ns();
    bool late = deadline_ns != UINT64_MAX && now_ns >= deadline_ns;
    uint64_t until_ns = deadline_ns;
    /* Not while this thread sleeps: it may have brought the blocks itself. */
    if (aegis_i_locked_pool_has_due(shared))
        return aegis_i_locked_pool_wake(shared) ? AEGIS_OK : AEGIS_E_FORKED;
    if (!aegis_i_pool_can_grow(&shared->pool)) {
        if (late) {
            aegis_i_locked_pool_exhausted(shared, error);
            return AEGIS_E_EXHAUSTED;
        }
    } else if (aegis_i_locked_pool_is_growing(shared, node, now_ns) &&
               (!late || deadline_ns == 0)) {
        node->follows_growth = true;
        until_ns =
            earlier(deadline_ns != 0 ? deadline_ns : UINT64_MAX, shared->growths->overdue_ns);
    } else if (late || *next_try_ns == 0 ||
               (now_ns >= *next_try_ns && aegis_i_locked_pool_is_foremost(shared, node))) {
        limit_wait(node, deadline_ns, now_ns);
        aegis_status status = aegis_i_locked_pool_grow(shared, node, error);
        if (status == AEGIS_E_FORKED || (status != AEGIS_OK && late))
            return status;
        if (status != AEGIS_OK)
            *next_try_ns = aegis_i_now_ns() + AEGIS_I_LOCKED_POOL_SLICE_NS;
        return AEGIS_OK;
    } else if (aegis_i_locked_pool_is_foremost(shared, node)) {
        until_ns = earlier(deadline_ns, *next_try_ns);
    }
    place mine = {shared, node};
    /* A request that does not wait for a block may hold other blocks already
     * (aegis_locked_pool_alloc_n), which a cancellation would lose. So its wait is no cancellation
     * point. */
    aegis_i_condition_wait(&node->arrived, &shared->mutex, until_ns,
                           deadline_ns != 0 ? give_up : NULL, &mine);
    node->follows_growth = false;
    return AEGIS_OK;
}

void aegis_i_locked_pool_init_waiter(aegis_i_waiter *node, aegis_locked_pool_request *request,
                                     uint64_t wait_ns) {
    memset(node, 0, sizeof *node);
    node->request = request;
    node->wait_ns = wait_ns;
    node->impatient_ns = aegis_i_now_ns() + 10 * PATIENCE_NS;
}

/* Gets a block for a request that has found none free. AEGIS_OK: the block is in the node. Any
 * other status: `error` says why there is none; but after AEGIS_E_FORKED, which means that the lock
 * could not be taken again, the caller fills in the error. */
static aegis_status obtain(aegis_locked_pool_shared *shared, aegis_i_waiter *node,
                           uint64_t timeout_ns, uint64_t most_wait_ns, aegis_error *error) {
    uint64_t deadline_ns = timeout_ns != 0 ? aegis_i_deadline_ns(timeout_ns) : 0;
    uint64_t next_try_ns = 0;
    aegis_status status = AEGIS_OK;
    aegis_i_locked_pool_init_waiter(
        node, NULL, aegis_i_wait_ns(earlier(shared->pool.slabs.wait_ns, most_wait_ns)));
    if (!aegis_i_condition_init(&node->arrived)) {
        aegis_i_slabs_fail(&shared->pool.slabs, shared->pool.slabs.block_bytes,
                           shared->pool.slabs.align_bytes, NULL, error);
        return error->status;
    }
    aegis_i_locked_pool_enqueue(shared, node);
    while (node->block == NULL && status == AEGIS_OK) {
        status = pursue(shared, node, deadline_ns, &next_try_ns, error);
        /* The source has forked and this is the child process, which has begun a new queue. */
        if (status != AEGIS_E_FORKED && node->block == NULL &&
            node->generation != shared->generation) {
            aegis_i_locked_pool_enqueue(shared, node);
            aegis_i_locked_pool_serve(shared);
        }
    }
    if (status != AEGIS_E_FORKED && node->block != NULL)
        status = AEGIS_OK;
    if (status != AEGIS_E_FORKED && node->block == NULL)
        aegis_i_locked_pool_dequeue(shared, node);
    aegis_i_condition_fini(&node->arrived);
    return status;
}

/* Takes a block for a request that has found none free. It waits for the budget as the options say,
 * but no longer than `most_wait_ns`. NULL: `error` says why; with AEGIS_E_FORKED the lock could not
 * be taken again. */
static AEGIS_I_COLD void *take_slow(aegis_locked_pool_shared *shared, uint64_t timeout_ns,
                                    uint64_t most_wait_ns, bool *clean, aegis_error *error) {
    aegis_i_waiter node;
    /* A pool that is being finished never has a block again, so waiting is useless. */
    if ((timeout_ns == 0 || shared->pool.slabs.meta == NULL) &&
        !aegis_i_pool_can_grow(&shared->pool)) {
        aegis_i_locked_pool_exhausted(shared, error);
        return NULL;
    }
    error->status = obtain(shared, &node, timeout_ns, most_wait_ns, error);
    *clean = node.clean;
    return error->status == AEGIS_OK ? node.block : NULL;
}

void *aegis_i_locked_pool_forked(const aegis_locked_pool *pool, aegis_error *error) {
    if (error != NULL)
        (void)aegis_i_error_bytes(error, AEGIS_E_FORKED, pool->block_bytes,
                                  pool->shared->pool.slabs.align_bytes);
    return NULL;
}

/* Allocates. If `entered` is true, the caller has taken the lock. */
static AEGIS_I_COLD void *alloc_slow(const aegis_locked_pool *pool, bool entered, bool zeroed,
                                     uint64_t timeout_ns, uint64_t most_wait_ns,
                                     aegis_error *error) {
    aegis_locked_pool_shared *shared = pool->shared;
    aegis_error failed;
    bool clean;
    if (!entered && !aegis_i_locked_pool_lock_contended(shared))
        return aegis_i_locked_pool_forked(pool, error);
    void *block = aegis_i_pool_take_held(&shared->pool, &clean);
    if (AEGIS_UNLIKELY(block == NULL)) {
        block = take_slow(shared, timeout_ns, most_wait_ns, &clean, &failed);
        if (block == NULL && failed.status == AEGIS_E_FORKED)
            return aegis_i_locked_pool_forked(pool, error);
        aegis_i_locked_pool_leave_waking(shared);
    } else {
        aegis_i_locked_pool_leave(shared);
    }
    if (block == NULL) {
        if (error != NULL)
            *error = failed;
        return NULL;
    }
    /* Outside of the lock: the block belongs to this thread alone by now. */
    aegis_i_slabs_show(&shared->pool.slabs, block, zeroed, clean);
    return block;
}

/* The usual case calls no function, so it saves no registers. */
static inline void *alloc(const aegis_locked_pool *pool, bool zeroed, uint64_t timeout_ns,
                          uint64_t most_wait_ns, aegis_error *error) {
    aegis_locked_pool_shared *shared = pool->shared;
    bool entered = aegis_i_locked_pool_try_lock(shared);
    void *block = entered ? aegis_i_pool_pop(&shared->pool) : NULL;
    if (AEGIS_UNLIKELY(block == NULL))
        return alloc_slow(pool, entered, zeroed, timeout_ns, most_wait_ns, error);
    aegis_i_locked_pool_leave(shared);
    /* Outside of the lock: the block belongs to this thread alone by now. */
    return zeroed ? memset(block, 0, pool->block_bytes) : block;
}

void *aegis_locked_pool_alloc(const aegis_locked_pool *pool, aegis_error *error) {
    return alloc(pool, false, 0, UINT64_MAX, error);
}

void *aegis_locked_pool_alloc_zeroed(const aegis_locked_pool *pool, aegis_error *error) {
    return alloc(pool, true, 0, UINT64_MAX, error);
}

void *aegis_locked_pool_alloc_timeout(const aegis_locked_pool *pool, uint64_t timeout_ns,
                                      aegis_error *error) {
    return alloc(pool, false, timeout_ns, timeout_ns, error);
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
            block = take_slow(shared, 0, UINT64_MAX, &clean, &failed);
        if (block == NULL)
            break;
        aegis_i_slabs_show(&shared->pool.slabs, block, false, clean);
        blocks[got_count++] = block;
    }
    if (failed.status == AEGIS_E_FORKED)
        (void)aegis_i_locked_pool_forked(pool, &failed);
    else
        aegis_i_locked_pool_leave_waking(shared);
    if (failed.status != AEGIS_OK && error != NULL)
        *error = failed;
    return got_count;
}

/* Serves those that wait, and gives the lock up. */
static void serve_and_leave(aegis_locked_pool_shared *shared) {
    if (AEGIS_UNLIKELY(shared->first != NULL)) {
        aegis_i_locked_pool_serve(shared);
        aegis_i_locked_pool_leave_waking(shared);
    } else {
        aegis_i_locked_pool_leave(shared);
    }
}

static AEGIS_I_COLD aegis_status free_slow(const aegis_locked_pool *pool, bool entered,
                                           void *block) {
    if (!entered && !aegis_i_locked_pool_lock_contended(pool->shared))
        return AEGIS_E_FORKED;
    aegis_status status = aegis_pool_free(&pool->shared->pool, block);
    serve_and_leave(pool->shared);
    return status;
}

aegis_status aegis_locked_pool_free(const aegis_locked_pool *pool, void *block) {
    aegis_locked_pool_shared *shared = pool->shared;
    bool entered = aegis_i_locked_pool_try_lock(shared);
    if (AEGIS_UNLIKELY(!entered || shared->first != NULL ||
                       !aegis_i_pool_push(&shared->pool, block)))
        return free_slow(pool, entered, block);
    aegis_i_locked_pool_leave(shared);
    return AEGIS_OK;
}

aegis_status aegis_locked_pool_free_n(const aegis_locked_pool *pool, void *const *blocks,
                                      size_t count) {
    aegis_locked_pool_shared *shared = aegis_i_locked_pool_enter(pool);
    if (shared == NULL)
        return AEGIS_E_FORKED;
    aegis_status status = aegis_pool_free_n(&shared->pool, blocks, count);
    serve_and_leave(shared);
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

aegis_status aegis_locked_pool_get_slab_sized(const aegis_locked_pool *pool, size_t slab,
                                              aegis_pool_slab_info *info, size_t info_bytes) {
    aegis_locked_pool_shared *shared = aegis_i_locked_pool_enter(pool);
    if (shared == NULL)
        return AEGIS_E_FORKED;
    aegis_status status = aegis_pool_get_slab_sized(&shared->pool, slab, info, info_bytes);
    aegis_i_locked_pool_leave(shared);
    return status;
}
