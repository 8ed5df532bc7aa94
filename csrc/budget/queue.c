/* SPDX-License-Identifier: Apache-2.0 */
/* The queues of requests that wait at a budget, and which request is served when there is room. The
 * invariants are in gate.c. */
#if !defined(_WIN32) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* clock_gettime, pthread_condattr_setclock */
#endif

#include "gate.h"
#include "gated.h"

/* Puts a request at the end of a queue. */
static void enqueue(aegis_i_budget_waiter *waiter, aegis_budget *budget) {
    assert(is_gated(budget));
    waiter->next = NULL;
    waiter->previous = budget->last_waiter;
    if (budget->last_waiter != NULL)
        budget->last_waiter->next = waiter;
    else
        budget->first_waiter = waiter;
    budget->last_waiter = waiter;
}

/* Puts a request before all others. */
static void enqueue_first(aegis_i_budget_waiter *waiter, aegis_budget *budget) {
    assert(is_gated(budget));
    waiter->previous = NULL;
    waiter->next = budget->first_waiter;
    if (budget->first_waiter != NULL)
        budget->first_waiter->previous = waiter;
    else
        budget->last_waiter = waiter;
    budget->first_waiter = waiter;
}

/* Counts a request that has come to a queue. */
static void count_in(const aegis_i_budget_waiter *waiter) {
    aegis_budget *budget = waiter->at;
    budget->waiting_bytes = sum_of(budget->waiting_bytes, waiter->size_bytes);
    /* Acquire pairs with the release in aegis_budget_reclaimer_notify. Every change is a
     * read-modify-write, so that none comes between the two. */
    (void)aegis_i_add(&budget->waiting_count, 1, memory_order_acq_rel);
    if (budget->parent != NULL)
        renew(budget->parent)->waiting_beneath_count++;
}

static void dequeue(aegis_i_budget_waiter *waiter) {
    aegis_budget *budget = waiter->at;
    if (waiter->next != NULL)
        waiter->next->previous = waiter->previous;
    else
        budget->last_waiter = waiter->previous;
    if (waiter->previous != NULL)
        waiter->previous->next = waiter->next;
    else
        budget->first_waiter = waiter->next;
    waiter->at = NULL;
    budget->waiting_bytes = difference_of(budget->waiting_bytes, waiter->size_bytes);
    (void)aegis_i_sub(&budget->waiting_count, 1, memory_order_acq_rel);
    if (budget->parent != NULL)
        budget->parent->waiting_beneath_count--;
}

/* Notes that the queues from a budget up have to be served before the gate is given up. */
static void note_room(aegis_budget *budget) {
    aegis_i_gate *gate = &budget->root->gate;
    if (budget->to_be_served)
        return;
    budget->to_be_served = true;
    budget->next_served = gate->to_be_served;
    gate->to_be_served = budget;
}

/* Takes promises back: those of the budgets from number `first` of the way up. */
static void take_promises(aegis_i_budget_waiter *waiter, size_t first) {
    aegis_budget *node = waiter->budget;
    if (first >= waiter->promised_count)
        return;
    for (size_t i = 0; i < waiter->promised_count; i++, node = node->parent)
        if (i >= first)
            node->promised_bytes = difference_of(node->promised_bytes, waiter->size_bytes);
    waiter->promised_count = first;
    note_room(waiter->budget);
}

void aegis_i_gate_wait_at(aegis_i_budget_waiter *waiter, aegis_budget *refusing) {
    size_t i = 0;
    for (aegis_budget *node = waiter->budget; node != refusing; node = node->parent, i++)
        if (i >= waiter->promised_count)
            node->promised_bytes += waiter->size_bytes;
    if (i < waiter->promised_count) {
        take_promises(waiter, i);
        enqueue_first(waiter, refusing);
    } else {
        waiter->promised_count = i;
        enqueue(waiter, refusing);
    }
    waiter->at = refusing;
    waiter->asked = false;
    count_in(waiter);
    (void)aegis_i_add(&refusing->wait_count, 1, memory_order_relaxed);
}

void aegis_i_gate_forget(aegis_i_budget_waiter *waiter) {
    if (waiter->generation != waiter->budget->root->gate.generation)
        return;
    if (waiter->at != NULL)
        dequeue(waiter);
    take_promises(waiter, 0);
}

bool aegis_i_gate_may_ever_fit(const aegis_budget *budget, size_t size_bytes) {
    while (budget != NULL && size_bytes <= load(&budget->limit_bytes))
        budget = budget->parent;
    return budget == NULL;
}

/* Tries the first request of a queue. False: it stays where it is. */
static bool advance(aegis_i_budget_waiter *waiter) {
    aegis_i_refusal why;
    aegis_budget *at = waiter->at;
    aegis_budget *refusing =
        aegis_i_gate_charge(&waiter->path, waiter->budget, NULL, waiter->size_bytes, waiter, &why);
    if (refusing == at && waiter->size_bytes > load(&at->limit_bytes)) {
        /* The limit was lowered so much that it would be of no use to wait. */
        aegis_i_gate_forget(waiter);
        waiter->status = AEGIS_E_LIMIT_EXCEEDED;
        waiter->settle(waiter);
        return true;
    }
    if (refusing == at)
        return false;
    if (refusing != NULL && aegis_i_gate_freeze_way(waiter->budget, refusing))
        return true; /* It is looked at again, because it was changed without the gate so far. */
    dequeue(waiter);
    if (refusing != NULL) {
        aegis_i_gate_wait_at(waiter, refusing);
        return true;
    }
    /* The promises have become a charge. That takes less if a guarantee covers a part. */
    if (waiter->promised_count != 0)
        note_room(waiter->budget);
    waiter->promised_count = 0;
    waiter->status = AEGIS_OK;
    waiter->settle(waiter);
    return true;
}

/* Serves a queue. If there are reclaimers, the thread of the request that is then the first is to
 * ask them: see wait.c. */
static void serve_queue(aegis_budget *budget) {
    aegis_i_budget_waiter *first;
    while ((first = renew(budget)->first_waiter) != NULL && advance(first))
        continue;
    /* Relaxed: the gate orders the flag. */
    if (first != NULL && !first->asked &&
        aegis_i_load(&budget->root->gate.has_callees, memory_order_relaxed) != 0)
        first->settle(first);
}

/* Serves the children of a budget that divides its room among them. */
static void serve_shares(aegis_budget *budget) {
    if (!is_fair(budget) || budget->waiting_beneath_count == 0 ||
        !aegis_i_mutex_lock(&budget->lock))
        return;
    for (aegis_budget *child = budget->first_child; child != NULL; child = child->next_sibling)
        serve_queue(child);
    aegis_i_mutex_unlock(&budget->lock);
}

void aegis_i_gate_serve(aegis_budget *budget) {
    aegis_i_gate *gate = &budget->root->gate;
    note_room(budget);
    while ((budget = gate->to_be_served) != NULL) {
        gate->to_be_served = budget->next_served;
        budget->to_be_served = false;
        for (aegis_budget *node = budget; node != NULL; node = node->parent) {
            serve_queue(node);
            serve_shares(node);
        }
        aegis_i_gate_thaw(budget);
    }
}

void aegis_i_gate_ask_again(aegis_budget *budget) {
    for (aegis_budget *node = budget; node != NULL; node = node->parent)
        if (renew(node)->first_waiter != NULL)
            node->first_waiter->asked = false;
    aegis_i_gate_serve(budget);
}
