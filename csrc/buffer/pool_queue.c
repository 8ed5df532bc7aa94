/* SPDX-License-Identifier: Apache-2.0 */
/* What waits for a block of a buffer pool: threads at a condition, and polled requests in a queue
 * of each class. This file has the queues, and how a block that has become free wakes what waits. A
 * comment that says "invariant" with a number means the list at the start of pool_state.h. */
#if !defined(_WIN32) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* condition.h */
#endif

#include "../base/cancel.h"
#include "pool_state.h"

bool aegis_i_buffer_pool_adopt(aegis_buffer_pool_shared *shared) {
    uint32_t whose = aegis_i_process_claim(&shared->process);
    if (whose != AEGIS_I_PROCESS_CLAIM)
        return whose == AEGIS_I_PROCESS_THIS;
    /* What the mutex guards may be half changed, and is forgotten (invariant 15). Relaxed: the
     * release in aegis_i_process_settle follows. */
    aegis_i_store(&shared->waiters, 0, memory_order_relaxed);
    aegis_i_store(&shared->wanted, 0, memory_order_relaxed);
    for (size_t i = 0; i < shared->class_count; i++)
        shared->classes[i].first_request = shared->classes[i].last_request = NULL;
    shared->generation++;
    aegis_i_mutex_init(&shared->mutex);
    bool made = aegis_i_condition_init(&shared->came_home);
    aegis_i_process_settle(&shared->process, made);
    return made;
}

void aegis_i_buffer_pool_enqueue(aegis_buffer_pool_request *request, aegis_i_buffer_class *home) {
    /* A request that comes back to the queue goes before those that came after it. */
    aegis_buffer_pool_request *previous = home->last_request;
    if (previous != NULL && previous->number > request->number) {
        previous = NULL;
        for (aegis_buffer_pool_request *next = home->first_request; next->number < request->number;
             next = next->next)
            previous = next;
    }
    request->home = home;
    request->previous = previous;
    request->next = previous != NULL ? previous->next : home->first_request;
    if (request->next != NULL)
        request->next->previous = request;
    else
        home->last_request = request;
    if (previous != NULL)
        previous->next = request;
    else
        home->first_request = request;
    request->is_queued = true;
    request->generation = request->shared->generation;
}

void aegis_i_buffer_pool_dequeue(aegis_buffer_pool_request *request) {
    aegis_i_buffer_class *home = request->home;
    if (request->next != NULL)
        request->next->previous = request->previous;
    else
        home->last_request = request->previous;
    if (request->previous != NULL)
        request->previous->next = request->next;
    else
        home->first_request = request->next;
    request->is_queued = false;
    /* Relaxed: a thread that sees this late only tries to wake a waiter that has gone. */
    (void)aegis_i_sub(&request->shared->waiters, 1, memory_order_relaxed);
}

/* The oldest request for which a block of this class is large enough; NULL if there is none. */
static aegis_buffer_pool_request *oldest(const aegis_i_buffer_class *home) {
    aegis_buffer_pool_request *found = NULL;
    for (const aegis_i_buffer_class *from = home->shared->classes; from <= home; from++)
        if (from->first_request != NULL &&
            (found == NULL || from->first_request->number < found->number))
            found = from->first_request;
    return found;
}

/* Wakes all threads that wait, and promises a block of the class to the oldest request, whose waker
 * it calls. False: no request waits for such a block. */
static bool wake_one(aegis_i_buffer_class *home) {
    aegis_buffer_pool_shared *shared = home->shared;
    aegis_wake_fn wake = NULL;
    void *context = NULL;
    (void)aegis_i_mutex_lock(&shared->mutex);
    aegis_i_condition_broadcast(&shared->came_home);
    aegis_buffer_pool_request *request = oldest(home);
    if (request != NULL) {
        aegis_i_buffer_pool_dequeue(request);
        request->promised = home;
        context = request->context;
        wake = aegis_i_buffer_take_waker(request);
    }
    aegis_i_mutex_unlock(&shared->mutex);
    if (wake != NULL) {
        int state = aegis_i_uncancelled_begin();
        wake(context);
        aegis_i_uncancelled_end(state);
    }
    return request != NULL;
}

void aegis_i_buffer_pool_wake(aegis_i_buffer_class *home, size_t count) {
    aegis_buffer_pool_shared *shared = home->shared;
    /* Acquire and release pair with the addition in aegis_i_buffer_pool_begin_wait (invariant 23).
     * A waker may fork, so each turn looks which process this is, and again when the budget has
     * called wakers. */
    for (size_t i = 0; i < count; i++) {
        if (aegis_i_add(&shared->waiters, 0, memory_order_acq_rel) == 0 ||
            !aegis_i_buffer_pool_adopt(shared))
            return;
        bool first = i == 0 && shared->wait_ns != 0;
        /* Relaxed: it was acquired with `waiters`. */
        if (first || aegis_i_load(&shared->wanted, memory_order_relaxed) != 0)
            shared->tell_budget(shared, first);
        if (!aegis_i_buffer_pool_adopt(shared) || !wake_one(home))
            return;
    }
}
