/* SPDX-License-Identifier: Apache-2.0 */
/* Charges that wait for room, and the end of all waiting when a budget is closed. The queues are in
 * gate.c.
 *
 * Invariants:
 * 1. A request is looked at and put into a queue in one step under the gate, with all budgets up to
 *    that queue gated before the last look (aegis_i_waiter_start). So no room becomes free in
 *    between, and no other charge takes what the budgets below promise.
 * 2. Only a thread with the gate changes `status` of a request, once, and then wakes its thread
 *    before it gives the gate up. A thread that finds AEGIS_PENDING with the gate is in a queue.
 * 3. The thread takes its request out of the queue with the gate before it returns or ends
 *    (aegis_i_budget_wait, give_up), unless another thread has settled it. So no queue has a
 *    request whose thread is gone. What was promised to it or charged for it goes to those behind.
 * 4. The reclaimers are asked for a request after it has become the first in a queue, because then
 *    no later charge takes what they free, and no cache grows there any more
 *    (aegis_i_waiter_is_to_ask, serve_queue). What they had freed for it before may have gone to
 *    others. A reclaimer that can free more later says so (aegis_budget_reclaimer_notify). A busy
 *    one may say so during each session. So after each session the thread looks at its deadline
 *    (wait_for), and a poll calls its own waker and returns (aegis_budget_poll_charge).
 * 5. A thread that waits for an object stays in its queue while it looks at the object
 *    (heed_call). It looks after it has entered the queue. So a change of the object that comes
 *    before the look is seen, and one that comes later finds the request in the queue
 *    (aegis_i_budget_call_all): the gate orders the two.
 * 6. A thread that waits for an object is not counted there while a function of the user's runs
 *    (reclaim_patiently). Such a function may fork, and the object forgets its threads then. */
#if !defined(_WIN32) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* clock_gettime, pthread_condattr_setclock */
#endif

#include "wait.h"
#include "reclaim.h"

void aegis_i_waiter_init(aegis_i_budget_waiter *waiter, aegis_budget *budget, size_t size_bytes,
                         void (*settle)(aegis_i_budget_waiter *waiter)) {
    memset(waiter, 0, sizeof *waiter);
    waiter->budget = budget;
    waiter->size_bytes = size_bytes;
    waiter->status = AEGIS_PENDING;
    waiter->generation = budget->root->gate.generation;
    waiter->settle = settle;
}

aegis_status aegis_i_waiter_start(aegis_i_budget_waiter *waiter, aegis_i_refusal *why) {
    aegis_budget *budget = waiter->budget;
    aegis_budget *refusing;
    /* Only when all budgets up to the one that refuses are gated, no room becomes free at it, and
     * none below loses what it is about to promise. */
    do {
        refusing = aegis_i_gate_charge(&waiter->path, budget, NULL, waiter->size_bytes, NULL, why);
        if (refusing == NULL)
            waiter->status = AEGIS_OK;
        else if (why->status == AEGIS_E_CLOSED ||
                 !aegis_i_gate_may_ever_fit(budget, waiter->size_bytes))
            waiter->status = why->status;
    } while (waiter->status == AEGIS_PENDING && aegis_i_gate_freeze_way(budget, refusing));
    if (waiter->status == AEGIS_PENDING)
        aegis_i_gate_wait_at(waiter, refusing);
    else
        aegis_i_gate_thaw(budget);
    return waiter->status;
}

aegis_status aegis_i_refuse_ended(const aegis_budget *budget, size_t size_bytes,
                                  aegis_status status, aegis_i_refusal *why) {
    memset(why, 0, sizeof *why);
    why->status = status;
    why->budget = budget;
    why->needed_bytes = size_bytes;
    return status;
}

aegis_status aegis_i_waiter_end(aegis_i_budget_waiter *waiter, aegis_i_refusal *why) {
    aegis_budget *budget = waiter->budget;
    if (waiter->status == AEGIS_OK)
        return AEGIS_OK;
    if (waiter->status == AEGIS_E_CLOSED)
        return aegis_i_refuse_ended(budget, waiter->size_bytes, AEGIS_E_CLOSED, why);
    if (waiter->at != NULL)
        (void)aegis_i_add(&waiter->at->timeout_count, 1, memory_order_relaxed);
    /* The last attempt says how things are now. */
    aegis_i_gate_forget(waiter);
    bool made =
        aegis_i_gate_charge(&waiter->path, budget, NULL, waiter->size_bytes, NULL, why) == NULL;
    waiter->status = made ? AEGIS_OK : why->status;
    aegis_i_gate_serve(budget);
    return waiter->status;
}

void aegis_i_waiter_withdraw(aegis_i_budget_waiter *waiter) {
    if (waiter->status == AEGIS_OK)
        aegis_i_gate_uncharge(waiter->budget, NULL, NULL, waiter->size_bytes);
    aegis_i_gate_forget(waiter);
    aegis_i_gate_serve(waiter->budget);
}

/* Whether a request waits and is the first in its queue. */
static bool is_first(const aegis_i_budget_waiter *waiter) {
    return waiter->status == AEGIS_PENDING &&
           waiter->generation == waiter->budget->root->gate.generation &&
           waiter->at->first_waiter == waiter;
}

/* Relaxed: the gate orders the flag. */
bool aegis_i_waiter_is_to_ask(const aegis_i_budget_waiter *waiter) {
    return is_first(waiter) && !waiter->asked &&
           aegis_i_load(&waiter->budget->root->gate.has_callees, memory_order_relaxed) != 0;
}

/* Asks the reclaimers until none can free more, or until the request is at an end, in another
 * queue, or to ask anew. False: the gate cannot be had again. */
static bool ask_all(aegis_i_budget_waiter *waiter) {
    aegis_i_session session = {0};
    aegis_budget *at = waiter->at;
    bool again, is_share;
    session.requester = waiter->budget;
    waiter->asked = true;
    do {
        aegis_i_refusal why = {AEGIS_E_LIMIT_EXCEEDED, AEGIS_REFUSED_LIMIT, at, 0, 0, 0};
        why.needed_bytes = waiter->size_bytes;
        why.limit_bytes = aegis_i_gate_cap(at, &is_share);
        why.reason = is_share ? AEGIS_REFUSED_SHARE : AEGIS_REFUSED_LIMIT;
        aegis_i_gate_leave(at);
        /* The room that this makes goes to the request at once. */
        again = aegis_i_reclaim(&session, waiter->budget, waiter->size_bytes, &why);
        if (!aegis_i_gate_enter(at))
            return false;
    } while (again && is_first(waiter) && waiter->at == at && waiter->asked);
    if (again)
        waiter->asked = false;
    return true;
}

bool aegis_i_waiter_reclaim(aegis_i_budget_waiter *waiter) {
    return !aegis_i_waiter_is_to_ask(waiter) || ask_all(waiter);
}

#if !defined(AEGIS_OMIT_THREADS)

static void wake(aegis_i_budget_waiter *waiter) {
    aegis_i_condition_signal(&waiter->arrived);
}

/* The thread is cancelled while it waits; it has the gate. */
static void give_up(void *context) {
    aegis_i_budget_waiter *waiter = (aegis_i_budget_waiter *)context;
    aegis_i_condition_fini(&waiter->arrived);
    aegis_i_waiter_withdraw(waiter);
    aegis_i_gate_leave(waiter->budget);
}

static void begin_patience(aegis_i_budget_waiter *waiter, aegis_i_patience *patience) {
    waiter->patience = patience;
    waiter->called = patience->look != NULL;
    /* Acquire and release: as in aegis_i_buffer_pool_begin_wait. */
    if (patience->waiting_count != NULL)
        (void)aegis_i_add(patience->waiting_count, 1, memory_order_acq_rel);
}

static void end_patience(aegis_i_budget_waiter *waiter) {
    const aegis_i_patience *patience = waiter->patience;
    waiter->patience = NULL;
    /* Relaxed: a thread that sees this late only makes a call in vain. */
    if (patience->waiting_count != NULL)
        (void)aegis_i_sub(patience->waiting_count, 1, memory_order_relaxed);
}

/* As aegis_i_waiter_reclaim, for a request that has begun its patience. */
static bool reclaim_patiently(aegis_i_budget_waiter *waiter) {
    aegis_i_patience *patience = waiter->patience;
    end_patience(waiter);
    bool has_gate = aegis_i_waiter_reclaim(waiter);
    begin_patience(waiter, patience);
    return has_gate;
}

/* Whether the wait is to end. If the thread was called back, lets it look at its object, without
 * the gate. */
static bool heed_call(aegis_i_budget_waiter *waiter) {
    aegis_i_patience *patience = waiter->patience;
    if (patience->place != NULL && *patience->place != waiter->budget)
        return true;
    if (!waiter->called)
        return false;
    waiter->called = false;
    aegis_i_gate_leave_quietly(waiter->budget);
    bool over = patience->look(patience);
    /* No function of the user's ran, so this is the same process. */
    (void)aegis_i_gate_enter(waiter->budget);
    return over;
}

void aegis_i_budget_call_all(aegis_budget *budget, const void *key) {
    if (budget == NULL || !aegis_i_gate_enter(budget))
        return;
    for (aegis_budget *node = budget; node != NULL; node = node->parent) {
        if (node->generation != node->root->gate.generation)
            continue;
        for (aegis_i_budget_waiter *waiter = node->first_waiter; waiter != NULL;
             waiter = waiter->next)
            if (waiter->patience != NULL && waiter->patience->key == key) {
                waiter->called = true;
                wake(waiter);
            }
    }
    aegis_i_gate_leave_quietly(budget);
}

/* Waits until the request is settled or the time is up (AEGIS_OK), or the thread is called back
 * (AEGIS_PENDING). The caller has the gate. AEGIS_E_FORKED: it has been lost, in a child process
 * that was forked by a reclaimer. */
static aegis_status wait_for(aegis_i_budget_waiter *waiter, aegis_i_patience *patience,
                             uint64_t deadline_ns) {
    aegis_i_gate *gate = &waiter->budget->root->gate;
    aegis_status status = AEGIS_OK;
    begin_patience(waiter, patience);
    while (status == AEGIS_OK && waiter->status == AEGIS_PENDING &&
           waiter->generation == gate->generation && !aegis_i_deadline_has_come(deadline_ns)) {
        if (heed_call(waiter))
            status = AEGIS_PENDING;
        else if (aegis_i_waiter_is_to_ask(waiter))
            status = reclaim_patiently(waiter) ? AEGIS_OK : AEGIS_E_FORKED;
        else if (!waiter->called && waiter->status == AEGIS_PENDING)
            aegis_i_condition_wait(&waiter->arrived, &gate->mutex, deadline_ns, give_up, waiter);
    }
    end_patience(waiter);
    return status;
}

/* What is left of a time to wait. */
static uint64_t rest_ns(uint64_t deadline_ns) {
    uint64_t now_ns = aegis_i_now_ns();
    if (deadline_ns == UINT64_MAX)
        return AEGIS_WAIT_FOREVER;
    return deadline_ns > now_ns ? deadline_ns - now_ns : 0;
}

aegis_status aegis_i_budget_wait(aegis_budget *budget, size_t size_bytes,
                                 aegis_i_patience *patience, aegis_i_path *path,
                                 aegis_i_refusal *why) {
    aegis_i_budget_waiter waiter;
    uint64_t deadline_ns = aegis_i_deadline_ns(patience->wait_ns);
    if (!aegis_i_gate_enter(budget))
        return aegis_i_refuse_ended(budget, size_bytes, AEGIS_E_FORKED, why);
    aegis_i_waiter_init(&waiter, budget, size_bytes, wake);
    if (!aegis_i_condition_init(&waiter.arrived)) {
        aegis_i_gate_leave(budget);
        return why->status;
    }
    aegis_status status = aegis_i_waiter_start(&waiter, why);
    if (status == AEGIS_PENDING) {
        status = wait_for(&waiter, patience, deadline_ns);
        if (status == AEGIS_E_FORKED)
            return aegis_i_refuse_ended(budget, size_bytes, AEGIS_E_FORKED, why);
        if (status == AEGIS_PENDING) {
            aegis_i_waiter_withdraw(&waiter);
            (void)aegis_i_refuse_ended(budget, size_bytes, status, why);
        } else {
            status = aegis_i_waiter_end(&waiter, why);
        }
        patience->wait_ns = rest_ns(deadline_ns);
    }
    *path = waiter.path;
    aegis_i_condition_fini(&waiter.arrived);
    aegis_i_gate_leave(budget);
    return status;
}

#endif

/* Ends the waiting in a queue of all requests that are to charge `closed` or a budget beneath it.
 */
static void close_queue(aegis_budget *budget, const aegis_budget *closed) {
    aegis_i_budget_waiter *next;
    if (budget->generation != budget->root->gate.generation)
        return;
    for (aegis_i_budget_waiter *waiter = budget->first_waiter; waiter != NULL; waiter = next) {
        next = waiter->next;
        if (!aegis_i_is_at_or_above(closed, waiter->budget))
            continue;
        aegis_i_gate_forget(waiter);
        waiter->status = AEGIS_E_CLOSED;
        waiter->settle(waiter);
    }
}

/* The same for all queues beneath a budget. AEGIS_BUDGET_MAX_DEPTH bounds the recursion. */
static void close_queues_beneath(aegis_budget *budget) {
    if (!aegis_i_mutex_lock(&budget->lock))
        return;
    for (aegis_budget *child = budget->first_child; child != NULL; child = child->next_sibling) {
        close_queue(child, budget);
        close_queues_beneath(child);
    }
    aegis_i_mutex_unlock(&budget->lock);
}

void aegis_budget_close(aegis_budget *budget) {
    if (!aegis_i_gate_enter(budget))
        return;
    budget->closed = true;
    aegis_i_gate_freeze(budget);
    for (aegis_budget *node = budget; node != NULL; node = node->parent)
        close_queue(node, budget);
    close_queues_beneath(budget);
    aegis_i_gate_serve(budget);
    aegis_i_gate_leave(budget);
}
