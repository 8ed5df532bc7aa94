/* SPDX-License-Identifier: Apache-2.0 */
/* The queue of a locked pool: what waits for a block, what gets it, and which wakers are to be
 * called. The invariants stand in locked.c. No function of this file calls a function of the
 * user's, except aegis_i_locked_pool_wake, which gives the lock up first. */
#if !defined(_WIN32) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* clock_gettime, pthread_condattr_setclock */
#endif

#include "aegis_memory/locked_pool.h"
#include "../base/cancel.h"
#include "locked_state.h"

/* Whether a request is in the list of this process. */
static bool is_due(const aegis_locked_pool_shared *shared,
                   const aegis_locked_pool_request *request) {
    return request->is_due && request->node.generation == shared->generation;
}

static void remove_due(aegis_locked_pool_shared *shared, aegis_locked_pool_request *request) {
    if (request->next_due != NULL)
        request->next_due->previous_due = request->previous_due;
    else
        shared->last_due = request->previous_due;
    if (request->previous_due != NULL)
        request->previous_due->next_due = request->next_due;
    else
        shared->first_due = request->next_due;
    request->is_due = false;
}

/* Wakes a waiter, whose node has the generation of this process. A request that has no waker is
 * being polled, and sees the change itself. */
static void tell(aegis_locked_pool_shared *shared, aegis_i_waiter *node) {
    aegis_locked_pool_request *request = node->request;
    if (request == NULL) {
        aegis_i_condition_signal(&node->arrived);
        return;
    }
    if (request->wake == NULL || request->is_due)
        return;
    request->next_due = NULL;
    request->previous_due = shared->last_due;
    request->is_due = true;
    if (shared->last_due != NULL)
        shared->last_due->next_due = request;
    else
        shared->first_due = request;
    shared->last_due = request;
}

void aegis_i_locked_pool_enqueue(aegis_locked_pool_shared *shared, aegis_i_waiter *node) {
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

/* The first node of a thread, from this node on. */
static aegis_i_waiter *first_thread(aegis_i_waiter *node) {
    while (node != NULL && node->request != NULL)
        node = node->next;
    return node;
}

bool aegis_i_locked_pool_is_foremost(const aegis_locked_pool_shared *shared,
                                     const aegis_i_waiter *node) {
    return shared->first == node || (node->request == NULL && first_thread(shared->first) == node);
}

void aegis_i_locked_pool_dequeue(aegis_locked_pool_shared *shared, aegis_i_waiter *node) {
    bool can_grow = aegis_i_pool_can_grow(&shared->pool);
    bool was_first = node->previous == NULL;
    bool was_trying = can_grow && node->request == NULL && first_thread(shared->first) == node;
    if (node->next != NULL)
        node->next->previous = node->previous;
    else
        shared->last = node->previous;
    if (node->previous != NULL)
        node->previous->next = node->next;
    else
        shared->first = node->next;
    shared->waiting_count--;
    /* From now on the next thread has to try growth, and so has a request that has become the
     * first. */
    aegis_i_waiter *thread = was_trying ? first_thread(node->next) : NULL;
    if (thread != NULL)
        tell(shared, thread);
    if (can_grow && was_first && node->next != NULL && node->next->request != NULL) {
        node->next->request->next_try_ns = 0;
        tell(shared, node->next);
    }
}

void aegis_i_locked_pool_serve(aegis_locked_pool_shared *shared) {
    while (shared->first != NULL && aegis_i_pool_has_free(&shared->pool)) {
        aegis_i_waiter *node = shared->first;
        aegis_i_locked_pool_dequeue(shared, node);
        node->block = aegis_i_pool_take_held(&shared->pool, &node->clean);
        /* Under the lock: once the thread has the lock, it may return, and its node is gone. */
        if (node->waits_for_budget)
            aegis_i_budget_call_all(shared->pool.slabs.budget, node);
        tell(shared, node);
    }
}

void aegis_i_locked_pool_tell_followers(aegis_locked_pool_shared *shared) {
    for (aegis_i_waiter *node = shared->first; node != NULL; node = node->next)
        if (node->follows_growth)
            tell(shared, node);
}

void aegis_i_locked_pool_tell_requests(aegis_locked_pool_shared *shared) {
    for (aegis_i_waiter *node = shared->first; node != NULL; node = node->next)
        if (node->request != NULL)
            tell(shared, node);
}

aegis_wake_fn aegis_i_locked_pool_take_waker(aegis_locked_pool_request *request) {
    aegis_wake_fn wake = request->wake;
    request->wake = NULL;
    return wake != NULL && aegis_i_polled_claim(&request->room) ? wake : NULL;
}

bool aegis_i_locked_pool_disarm(aegis_locked_pool_shared *shared,
                                aegis_locked_pool_request *request) {
    if (is_due(shared, request))
        remove_due(shared, request);
    request->is_due = false;
    return aegis_i_locked_pool_take_waker(request) != NULL;
}

bool aegis_i_locked_pool_wake(aegis_locked_pool_shared *shared) {
    aegis_locked_pool_request *request = shared->first_due;
    void *context = request->context;
    remove_due(shared, request);
    aegis_wake_fn wake = aegis_i_locked_pool_take_waker(request);
    aegis_i_locked_pool_leave(shared);
    int state = aegis_i_uncancelled_begin();
    if (wake != NULL)
        wake(context);
    aegis_i_uncancelled_end(state);
    return aegis_i_locked_pool_lock(shared);
}

void aegis_i_locked_pool_leave_waking(aegis_locked_pool_shared *shared) {
    while (aegis_i_locked_pool_has_due(shared))
        if (!aegis_i_locked_pool_wake(shared))
            return;
    aegis_i_locked_pool_leave(shared);
}
