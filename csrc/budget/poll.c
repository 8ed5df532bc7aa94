/* SPDX-License-Identifier: Apache-2.0 */
/* Charges that are polled, so that no thread waits. A request stands in the same queues as the
 * threads that wait: see wait.c.
 *
 * Invariants:
 * 1. The gate guards a request, and the list of those whose wakers are to be called (due). A
 * request enters the list only when it has a waker, and aegis_i_gate_leave takes it out before it
 * calls the waker without the gate.
 * 2. A waker is called at most once: it is taken out of the request first (aegis_i_gate_leave). One
 *    that is withdrawn is taken out with the gate (disarm), so it is not called afterwards.
 * 3. Only calls of its owner free a request, after it has left the queue and the list
 *    (aegis_budget_poll_charge, aegis_budget_request_cancel).
 * 4. A request knows by its generation whether it is of a parent process, whose queues and lists
 * this process has forgotten. It then begins again (aegis_budget_poll_charge).
 */
#if !defined(_WIN32) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* for condition.h */
#endif

#include "charge.h"
#include "../source.h"
#include "gate.h"
#include "pressure.h"
#include "wait.h"

#include <stddef.h>

/* The charge of a request was made, or will not be made, or the reclaimers are to be asked. */
static void settle(aegis_i_budget_waiter *waiter) {
    aegis_budget_request *request = (aegis_budget_request *)(void *)waiter;
    aegis_i_gate *gate = &waiter->budget->root->gate;
    if (request->wake == NULL || request->is_due)
        return;
    request->is_due = true;
    request->next_due = NULL;
    if (gate->last_due != NULL)
        gate->last_due->next_due = request;
    else
        gate->first_due = request;
    gate->last_due = request;
}

/* Withdraws the waker. False: there is none, or it was called. The caller has the gate. */
static bool disarm(aegis_budget_request *request) {
    aegis_i_gate *gate = &request->waiter.budget->root->gate;
    bool was_armed = request->wake != NULL;
    if (request->is_due && request->waiter.generation == gate->generation) {
        aegis_budget_request *before = NULL;
        aegis_budget_request **link = &gate->first_due;
        for (; *link != request; link = &(*link)->next_due)
            before = *link;
        *link = request->next_due;
        if (gate->last_due == request)
            gate->last_due = before;
    }
    request->is_due = false;
    request->wake = NULL;
    return was_armed;
}

static void free_request(aegis_budget_request *request) {
    aegis_budget *budget = request->waiter.budget;
    aegis_i_record_free(request);
    aegis_budget_destroy(budget);
}

/* Counts a request that has ended refused. Returns the status. */
static aegis_status fail(const aegis_i_refusal *why) {
    if (why->status == AEGIS_E_LIMIT_EXCEEDED)
        aegis_i_count_refusal(why);
    return why->status;
}

/* Ends a request in a child process that cannot have the gate. */
static aegis_status lose(aegis_budget_request **request, size_t size_bytes, aegis_i_refusal *why) {
    aegis_budget_request *mine = *request;
    *request = NULL;
    (void)aegis_i_refuse_ended(mine->waiter.budget, size_bytes, AEGIS_E_FORKED, why);
    free_request(mine);
    return why->status;
}

/* Makes a request after a plain charge was refused. */
static aegis_status begin(aegis_budget *budget, size_t size_bytes, aegis_budget_request **request,
                          aegis_i_refusal *why) {
    aegis_status status = aegis_i_budget_charge_uncounted(budget, size_bytes, why);
    if (status != AEGIS_E_LIMIT_EXCEEDED || why->reason == AEGIS_REFUSED_NESTED ||
        !aegis_i_gate_may_ever_fit(budget, size_bytes))
        return status;
    aegis_budget_request *made = (aegis_budget_request *)aegis_i_record_new(sizeof *made);
    if (made == NULL) {
        memset(why, 0, sizeof *why);
        return why->status = AEGIS_E_OUT_OF_MEMORY;
    }
    made->waiter.budget = aegis_budget_retain(budget);
    *request = made;
    return AEGIS_PENDING;
}

aegis_status aegis_i_budget_poll(aegis_budget *budget, size_t size_bytes,
                                 aegis_budget_request **request, aegis_wake_fn wake, void *context,
                                 aegis_i_refusal *why) {
    aegis_status status = AEGIS_PENDING;
    bool is_new = *request == NULL;
    if (is_new && (status = begin(budget, size_bytes, request, why)) != AEGIS_PENDING)
        return status == AEGIS_OK ? AEGIS_OK : fail(why);
    aegis_budget_request *mine = *request;
    aegis_i_budget_waiter *waiter = &mine->waiter;
    if (!aegis_i_gate_enter(budget))
        return lose(request, size_bytes, why);
    (void)disarm(mine);
    bool is_lost = waiter->generation != budget->root->gate.generation;
    if (is_new || (is_lost && waiter->status == AEGIS_PENDING)) {
        aegis_i_waiter_init(waiter, budget, size_bytes, settle);
        status = aegis_i_waiter_start(waiter, why);
    }
    if (status == AEGIS_PENDING) {
        if (!aegis_i_waiter_reclaim(waiter))
            return lose(request, size_bytes, why);
        if (waiter->status != AEGIS_PENDING)
            status = aegis_i_waiter_end(waiter, why);
    }
    if (status == AEGIS_PENDING) {
        mine->wake = wake;
        mine->context = context;
        /* A reclaimer that was asked has more to free by now. The next poll asks it, so that this
         * one comes to an end. */
        if (aegis_i_waiter_is_to_ask(waiter))
            settle(waiter);
    }
    aegis_i_gate_leave(budget);
    if (status == AEGIS_PENDING)
        return status;
    *request = NULL;
    if (status == AEGIS_OK)
        aegis_i_tell_path(&waiter->path, size_bytes);
    free_request(mine);
    return status == AEGIS_OK ? AEGIS_OK : fail(why);
}

aegis_status aegis_budget_poll_charge(aegis_budget *budget, size_t size_bytes,
                                      aegis_budget_request **request, aegis_wake_fn wake,
                                      void *context, aegis_error *error) {
    aegis_i_refusal why;
    aegis_status status = aegis_i_budget_poll(budget, size_bytes, request, wake, context, &why);
    if (status != AEGIS_OK && status != AEGIS_PENDING)
        aegis_i_explain_charge(&why, size_bytes, error);
    return status;
}

bool aegis_budget_request_disarm(aegis_budget_request *request) {
    if (!aegis_i_gate_enter(request->waiter.budget))
        return request->wake != NULL;
    bool withdrawn = disarm(request);
    aegis_i_gate_leave(request->waiter.budget);
    return withdrawn;
}

bool aegis_budget_request_cancel(aegis_budget_request *request) {
    if (request == NULL)
        return false;
    bool withdrawn;
    if (!aegis_i_gate_enter(request->waiter.budget)) {
        withdrawn = request->wake != NULL;
    } else {
        withdrawn = disarm(request);
        aegis_i_waiter_withdraw(&request->waiter);
        aegis_i_gate_leave(request->waiter.budget);
    }
    free_request(request);
    return withdrawn;
}
