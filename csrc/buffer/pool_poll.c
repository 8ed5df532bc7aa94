/* SPDX-License-Identifier: Apache-2.0 */
/* Requests for a buffer of a pool that are polled, so that no thread waits. Invariants 21 to 30 of
 * pool_state.h are the argument.
 *
 * A poll takes its request out of the queue, tries what a get tries, and puts the request back if
 * there is no block. So it runs without the mutex except for its last search. A request is in one
 * of three states:
 *  - in the queue of a class;
 *  - woken: out of the queue, and a block of a class was promised to it;
 *  - of a parent process: neither. */
#if !defined(_WIN32) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* condition.h */
#endif

#include "../base/text.h"
#include "owner.h"
#include "pool_state.h"

#include <stddef.h>
#include <stdlib.h>

/* Takes a request out of its queue and withdraws its waker. Returns the class that was promised to
 * it, or NULL. `*withdrawn` says whether there was a waker that was not called. */
static aegis_i_buffer_class *leave_queue(aegis_buffer_pool_request *request, bool *withdrawn) {
    aegis_buffer_pool_shared *shared = request->shared;
    aegis_i_buffer_class *promised = NULL;
    /* If the mutex cannot be had, no other thread of this process has touched the request. */
    bool locked = aegis_i_buffer_pool_adopt(shared);
    if (locked)
        (void)aegis_i_mutex_lock(&shared->mutex);
    if (locked && request->generation == shared->generation) {
        promised = request->promised;
        if (request->is_queued)
            aegis_i_buffer_pool_dequeue(request);
    }
    *withdrawn = aegis_i_buffer_take_waker(request) != NULL;
    request->is_queued = false;
    request->promised = NULL;
    if (locked)
        aegis_i_mutex_unlock(&shared->mutex);
    return promised;
}

/* Closes the promise of a request that has taken a block of class `taken`; NULL: none. Passes it
 * on, unless the request has taken such a block, or has found that there is none. A request that is
 * polled for more bytes than before has not looked into a class below `home`. */
static void pass_on(aegis_i_buffer_class *promised, const aegis_i_buffer_class *home,
                    const aegis_i_buffer_class *taken) {
    if (promised != NULL && promised != taken && (taken != NULL || promised < home))
        aegis_i_buffer_pool_wake(promised, 1);
}

/* Frees a request, which is in no queue of the pool. */
static void free_request(aegis_buffer_pool_request *request) {
    if (request == NULL)
        return;
    aegis_buffer_pool_shared *shared = request->shared;
    aegis_i_polled_end(&request->room);
    free(request);
    aegis_i_buffer_pool_drop(shared);
}

/* Whether a block of the class is out. */
static bool is_any_out(const aegis_i_buffer_class *home) {
    size_t capacity = aegis_lock_free_pool_capacity(&home->pool);
    for (size_t i = 0; i < capacity; i++) {
        const size_t *references = &home->slots[i].head.owner.references;
        if (aegis_i_load((const _Atomic size_t *)references, memory_order_relaxed) != 0)
            return true;
    }
    return false;
}

/* Whether a block that would do is out, so that it wakes the request when it comes home. The caller
 * has searched in vain: then all blocks are out, except those in stripes of a class that is
 * AEGIS_I_PRIVATE_LOST. */
static bool can_come_home(const aegis_buffer_pool_shared *shared,
                          const aegis_i_buffer_class *home) {
    for (; home != shared->classes_end; home++) {
        /* Relaxed: as in aegis_i_buffer_class_wakes. */
        bool lost =
            aegis_i_load(&home->private_state, memory_order_relaxed) == AEGIS_I_PRIVATE_LOST;
        if (lost ? is_any_out(home) : aegis_lock_free_pool_capacity(&home->pool) != 0)
            return true;
    }
    return false;
}

/* Searches once more, and puts the request into the queue if there is still no block that would do,
 * and one can come home or the request waits for the budget too. AEGIS_OK, AEGIS_PENDING, or
 * AEGIS_E_EXHAUSTED if it would wait for nothing. Budget and source have refused to let a class
 * grow before this, or all classes have grown. If there is room in the budget by now, there is no
 * block after AEGIS_OK, and the caller asks again. */
static aegis_status enter_queue(aegis_buffer_pool_request *request, aegis_i_buffer_class **home,
                                uint32_t *index, aegis_wake_fn wake, void *context) {
    aegis_status status = AEGIS_E_EXHAUSTED;
    aegis_buffer_pool_shared *shared = request->shared;
    aegis_i_buffer_pool_begin_wait(shared);
    if (request->number == 0)
        request->number = ++shared->next_number;
    *index = aegis_i_buffer_pool_search_any(shared, home);
    bool waits = request->room.request != NULL;
    if (*index != AEGIS_I_NO_INDEX || (waits && !aegis_i_polled_arm(&request->room))) {
        status = AEGIS_OK;
    } else if (waits || can_come_home(shared, *home)) {
        status = AEGIS_PENDING;
        aegis_i_buffer_pool_enqueue(request, *home);
        request->wake = wake;
        request->context = context;
    }
    aegis_i_mutex_unlock(&shared->mutex);
    /* Relaxed: a thread that sees this late only tries to wake a waiter that has gone. */
    if (status != AEGIS_PENDING)
        (void)aegis_i_sub(&shared->waiters, 1, memory_order_relaxed);
    return status;
}

/* Makes a request that is in no queue. NULL: `error` says why. */
static aegis_buffer_pool_request *make_request(aegis_buffer_pool_shared *shared,
                                               aegis_error *error) {
    aegis_buffer_pool_request *request = (aegis_buffer_pool_request *)calloc(1, sizeof *request);
    if (request == NULL) {
        aegis_i_slabs_fail(&shared->classes[0].pool.shared->slabs, sizeof *request,
                           _Alignof(max_align_t), NULL, error);
        return NULL;
    }
    request->shared = shared;
    /* Both relaxed: the caller's handle keeps the pool. */
    (void)aegis_i_add(&shared->live, 1, memory_order_relaxed);
    (void)aegis_i_add(&shared->wait_count, 1, memory_order_relaxed);
    return request;
}

/* Looks once more for a block of class `*home` or of a larger class, and enters the queue.
 * AEGIS_OK: a block was there, with the number `*index`, and `*home` is its class. AEGIS_PENDING:
 * the request is in the queue. Any other status: `error` says why not. */
static aegis_status pursue(aegis_buffer_pool_shared *shared, aegis_buffer_pool_request **request,
                           aegis_i_polled *room, aegis_i_buffer_class **home, uint32_t *index,
                           aegis_error *error) {
    aegis_wake_fn wake = room->wake;
    void *context = room->context;
    if (!aegis_i_buffer_pool_adopt(shared))
        return aegis_i_error_bytes(error, AEGIS_E_FORKED, (*home)->buffer_bytes,
                                   shared->align_bytes);
    /* The error of aegis_i_buffer_pool_take_any stays, unless there is another one. */
    if (*request == NULL && (*request = make_request(shared, error)) == NULL)
        return error->status;
    aegis_i_polled given = {wake, context, NULL, NULL, 0, NULL, 0, false};
    (*request)->room = *room;
    *room = given;
    aegis_status status = enter_queue(*request, home, index, wake, context);
    return status == AEGIS_E_EXHAUSTED ? error->status : status;
}

/* Takes a block, from a new slab if need be, or lets the request wait. The results are those of
 * `pursue`. `room` has the waker. The request waits for the budget in it meanwhile, because there
 * may be no request yet that could keep it. */
static aegis_status take_or_pursue(aegis_buffer_pool_shared *shared,
                                   aegis_buffer_pool_request **request, aegis_i_polled *room,
                                   aegis_i_buffer_class **home, uint32_t *index,
                                   aegis_error *error) {
    aegis_status status = AEGIS_OK;
    do {
        aegis_i_buffer_taker taker;
        bool repeated = *request != NULL;
        if (repeated) {
            aegis_i_polled kept = (*request)->room;
            kept.wake = room->wake;
            kept.context = room->context;
            memset(&(*request)->room, 0, sizeof kept);
            *room = kept;
        }
        aegis_i_buffer_taker_begin(&taker, shared, *home);
        *index = aegis_i_buffer_pool_take_polled(&taker, room, repeated, home, error);
        if (*index == AEGIS_I_NO_INDEX)
            status = pursue(shared, request, room, home, index, error);
    } while (status == AEGIS_OK && *index == AEGIS_I_NO_INDEX);
    aegis_i_polled_end(room);
    return status;
}

aegis_status aegis_buffer_pool_poll(const aegis_buffer_pool *pool,
                                    aegis_buffer_pool_request **request, aegis_buffer_mut *writer,
                                    size_t min_capacity_bytes, aegis_wake_fn wake, void *context,
                                    aegis_error *error) {
    aegis_buffer_pool_shared *shared = pool->shared;
    aegis_buffer_pool_request *mine = *request;
    *request = NULL;
    if (shared == NULL) {
        (void)aegis_buffer_pool_request_cancel(mine);
        return aegis_i_buffer_pool_no_pool(writer, min_capacity_bytes, error);
    }
    assert(aegis_i_buffer_pool_is_valid(shared) && (mine == NULL || mine->shared == shared));
    bool withdrawn;
    aegis_i_buffer_class *promised = mine != NULL ? leave_queue(mine, &withdrawn) : NULL;
    aegis_i_buffer_class *wanted = aegis_i_buffer_class_for(shared, min_capacity_bytes);
    aegis_i_buffer_class *home = wanted != NULL ? wanted : shared->classes + shared->class_count;
    aegis_status status = AEGIS_OK;
    uint32_t index = AEGIS_I_NO_INDEX;
    aegis_error failed;
    if (wanted == NULL) {
        aegis_i_buffer_pool_too_large(shared, min_capacity_bytes, &failed);
        status = failed.status;
    } else {
        aegis_i_polled room = {wake, context, NULL, NULL, 0, NULL, 0, false};
        if (mine != NULL)
            aegis_i_polled_begin(&mine->room, wake, context);
        status = take_or_pursue(shared, &mine, &room, &home, &index, &failed);
    }
    pass_on(promised, home, index != AEGIS_I_NO_INDEX ? home : NULL);
    if (status == AEGIS_PENDING) {
        memset(writer, 0, sizeof *writer);
        *request = mine;
        aegis_i_polled_wake(mine->room.is_to_wake, wake, context);
        return status;
    }
    free_request(mine);
    if (status == AEGIS_OK)
        return aegis_i_buffer_hand_out(home, index, writer);
    return aegis_i_buffer_pool_refuse(shared, writer, min_capacity_bytes, &failed, error);
}

bool aegis_buffer_pool_request_disarm(aegis_buffer_pool_request *request) {
    aegis_buffer_pool_shared *shared = request->shared;
    bool locked = aegis_i_buffer_pool_adopt(shared);
    if (locked)
        (void)aegis_i_mutex_lock(&shared->mutex);
    bool withdrawn = aegis_i_buffer_take_waker(request) != NULL;
    if (locked)
        aegis_i_mutex_unlock(&shared->mutex);
    return withdrawn;
}

bool aegis_buffer_pool_request_cancel(aegis_buffer_pool_request *request) {
    bool withdrawn = false;
    if (request == NULL)
        return false;
    aegis_i_buffer_class *promised = leave_queue(request, &withdrawn);
    if (promised != NULL)
        aegis_i_buffer_pool_wake(promised, 1);
    free_request(request);
    return withdrawn;
}
