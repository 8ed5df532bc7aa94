/* SPDX-License-Identifier: Apache-2.0 */
/* Requests for a block of a locked pool that are polled, so that no thread waits. The invariants
 * stand in locked.c: a request stands in the same queue as the threads that wait.
 *
 * A request is in one of three states, and only its own calls and the lock's owner change it:
 *  - in the queue, without a block;
 *  - served: out of the queue, with a block in its node, which is out;
 *  - of a parent process: neither, because the child process has begun a new queue.
 * Only its own calls free it, after they have taken it out of the queue and of the list of the
 * wakers that are to be called (end_request). */
#if !defined(_WIN32) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* clock_gettime, pthread_condattr_setclock */
#endif

#include "aegis_memory/locked_pool.h"
#include "locked_state.h"

#include <stddef.h>
#include <stdlib.h>

/* Puts a request into the queue of this process. If blocks are free, which is so in a new child
 * process or if one became free in between, the queue is served. */
static void enter_queue(aegis_locked_pool_shared *shared, aegis_locked_pool_request *request) {
    request->is_due = false;
    aegis_i_locked_pool_enqueue(shared, &request->node);
    aegis_i_locked_pool_serve(shared);
}

/* Takes a request out of queue and list, and withdraws its waker. It keeps the block that it has.
 * Returns what aegis_i_locked_pool_disarm does. */
static bool end_request(aegis_locked_pool_shared *shared, aegis_locked_pool_request *request) {
    bool withdrawn = aegis_i_locked_pool_disarm(shared, request);
    if (request->node.block == NULL && request->node.generation == shared->generation)
        aegis_i_locked_pool_dequeue(shared, &request->node);
    return withdrawn;
}

/* Gives up the room in the budget that a request waits for. The lock is given up meanwhile.
 * AEGIS_E_FORKED: it could not be taken again. */
static aegis_status give_room_up(aegis_locked_pool_shared *shared,
                                 aegis_locked_pool_request *request) {
    aegis_i_locked_pool_leave(shared);
    aegis_i_polled_end(&request->room);
    return aegis_i_locked_pool_lock(shared) ? AEGIS_OK : AEGIS_E_FORKED;
}

/* Whether no block is out, so that none can come home. A block that a request was given is out. */
static bool is_hopeless(const aegis_locked_pool_shared *shared) {
    return aegis_i_pool_free_count(&shared->pool) == shared->pool.touched_count;
}

/* One step of a request that is in the queue. AEGIS_OK: the caller looks whether there is a block,
 * and takes another step if there is none. AEGIS_PENDING: the request is to wait. Any other status
 * ends the request; after AEGIS_E_FORKED the lock could not be taken again.
 *
 * A request that waits for the budget too asks it each time that it is polled, so that the waker of
 * the latest poll is called (invariant 5 of ../budget/polled.c). */
static aegis_status pursue_once(aegis_locked_pool_shared *shared,
                                aegis_locked_pool_request *request, aegis_error *error) {
    aegis_i_waiter *node = &request->node;
    uint64_t now_ns = aegis_i_now_ns();
    bool waits_for_budget = request->room.request != NULL;
    node->follows_growth = false;
    if (!aegis_i_pool_can_grow(&shared->pool)) {
        if (waits_for_budget)
            return give_room_up(shared, request);
        if (!is_hopeless(shared))
            return AEGIS_PENDING;
        aegis_i_locked_pool_exhausted(shared, error);
        return AEGIS_E_EXHAUSTED;
    }
    if (!waits_for_budget && aegis_i_locked_pool_is_growing(shared, node, now_ns)) {
        node->follows_growth = true;
        return AEGIS_PENDING;
    }
    if (!waits_for_budget && request->next_try_ns != 0 &&
        (now_ns < request->next_try_ns || !aegis_i_locked_pool_is_foremost(shared, node)))
        return AEGIS_PENDING;
    aegis_status status = aegis_i_locked_pool_grow(shared, node, error);
    /* If there is a slab but no block for this request, it asks for another slab. */
    if (status == AEGIS_OK)
        request->next_try_ns = 0;
    if (status == AEGIS_OK || status == AEGIS_E_FORKED)
        return status;
    request->next_try_ns = aegis_i_now_ns() + AEGIS_I_LOCKED_POOL_SLICE_NS;
    if (status != AEGIS_PENDING && node->block == NULL && is_hopeless(shared))
        return status;
    /* Budget or source has refused the slab. The request waits for a block that comes home, for
     * another growth or, if the status is AEGIS_PENDING, for room in the budget. */
    return node->block == NULL ? AEGIS_PENDING : AEGIS_OK;
}

/* Takes steps until the request has a block, is to wait, or has failed. */
static aegis_status pursue(aegis_locked_pool_shared *shared, aegis_locked_pool_request *request,
                           aegis_error *error) {
    aegis_status status = AEGIS_OK;
    while (status == AEGIS_OK) {
        /* The source has forked and this is the child process, or the request is of the parent. */
        if (request->node.block == NULL && request->node.generation != shared->generation)
            enter_queue(shared, request);
        if (request->node.block != NULL)
            return AEGIS_OK;
        if (aegis_i_locked_pool_has_due(shared))
            status = aegis_i_locked_pool_wake(shared) ? AEGIS_OK : AEGIS_E_FORKED;
        else
            status = pursue_once(shared, request, error);
    }
    return status;
}

/* Makes a request and puts it into the queue. The lock is given up meanwhile. AEGIS_E_FORKED: the
 * lock could not be taken again. */
static aegis_status make_request(aegis_locked_pool_shared *shared, aegis_locked_pool_request **made,
                                 aegis_error *error) {
    aegis_i_locked_pool_leave(shared);
    aegis_locked_pool_request *request = (aegis_locked_pool_request *)calloc(1, sizeof *request);
    if (!aegis_i_locked_pool_lock(shared)) {
        free(request);
        return AEGIS_E_FORKED;
    }
    if (request == NULL) {
        aegis_i_slabs_fail(&shared->pool.slabs, sizeof *request, _Alignof(max_align_t), NULL,
                           error);
        return error->status;
    }
    aegis_i_locked_pool_init_waiter(&request->node, request, 0);
    request->shared = shared;
    enter_queue(shared, request);
    *made = request;
    return AEGIS_OK;
}

/* Frees a request that was ended. The caller does not hold the lock. */
static void free_request(aegis_locked_pool_request *request) {
    if (request != NULL)
        aegis_i_polled_end(&request->room);
    free(request);
}

/* Ends a poll. The caller holds the lock, unless the status is AEGIS_E_FORKED. */
static aegis_status finish(const aegis_locked_pool *pool, aegis_status status,
                           aegis_locked_pool_request **request, void **block,
                           const aegis_error *failed, aegis_error *error) {
    aegis_locked_pool_shared *shared = pool->shared;
    aegis_locked_pool_request *mine = *request;
    bool clean = false;
    if (status == AEGIS_PENDING) {
        aegis_i_locked_pool_leave_waking(shared);
        return status;
    }
    *request = NULL;
    if (status == AEGIS_E_FORKED) {
        (void)aegis_i_locked_pool_forked(pool, error);
        free_request(mine);
        return status;
    }
    if (mine != NULL) {
        (void)end_request(shared, mine);
        *block = mine->node.block;
        clean = mine->node.clean;
    }
    aegis_i_locked_pool_leave_waking(shared);
    free_request(mine);
    if (status == AEGIS_OK)
        aegis_i_slabs_show(&shared->pool.slabs, *block, false, clean);
    else if (error != NULL)
        *error = *failed;
    return status;
}

aegis_status aegis_locked_pool_poll(const aegis_locked_pool *pool,
                                    aegis_locked_pool_request **request, void **block,
                                    aegis_wake_fn wake, void *context, aegis_error *error) {
    aegis_locked_pool_shared *shared = aegis_i_locked_pool_enter(pool);
    aegis_status status = shared != NULL ? AEGIS_OK : AEGIS_E_FORKED;
    aegis_error failed;
    *block = NULL;
    if (status == AEGIS_OK && *request == NULL) {
        bool clean;
        *block = aegis_i_pool_take_held(&shared->pool, &clean);
        if (*block == NULL)
            status = make_request(shared, request, &failed);
    } else if (status == AEGIS_OK) {
        assert((*request)->shared == shared);
        (void)aegis_i_locked_pool_disarm(shared, *request);
    }
    if (status == AEGIS_OK && *request != NULL) {
        aegis_i_polled_begin(&(*request)->room, wake, context);
        /* Once more if there was room in the budget before this ended. */
        do
            status = pursue(shared, *request, &failed);
        while (status == AEGIS_PENDING && !aegis_i_polled_arm(&(*request)->room));
    }
    bool is_to_wake = false;
    if (status == AEGIS_PENDING) {
        (*request)->wake = wake;
        (*request)->context = context;
        is_to_wake = (*request)->room.is_to_wake;
    }
    status = finish(pool, status, request, block, &failed, error);
    aegis_i_polled_wake(is_to_wake, wake, context);
    return status;
}

bool aegis_locked_pool_request_disarm(aegis_locked_pool_request *request) {
    aegis_locked_pool_shared *shared = request->shared;
    if (!aegis_i_locked_pool_lock(shared))
        return aegis_i_locked_pool_take_waker(request) != NULL;
    bool withdrawn = aegis_i_locked_pool_disarm(shared, request);
    aegis_i_locked_pool_leave(shared);
    return withdrawn;
}

bool aegis_locked_pool_request_cancel(aegis_locked_pool_request *request) {
    if (request == NULL)
        return false;
    aegis_locked_pool_shared *shared = request->shared;
    bool withdrawn;
    if (!aegis_i_locked_pool_lock(shared)) {
        withdrawn = aegis_i_locked_pool_take_waker(request) != NULL;
    } else {
        withdrawn = end_request(shared, request);
        if (request->node.block != NULL) {
            (void)aegis_pool_free(&shared->pool, request->node.block);
            aegis_i_locked_pool_serve(shared);
        }
        aegis_i_locked_pool_leave_waking(shared);
    }
    free_request(request);
    return withdrawn;
}
