/* SPDX-License-Identifier: Apache-2.0 */
/* Reclaimers: functions of the user that give memory back when a budget has none.
 *
 * A session is what one thread does for one refused charge: it asks one reclaimer after the other
 * until the budget that refused has room.
 *
 * Invariants:
 * 1. The gate of the tree guards the list of reclaimers and the list of sessions, and no function
 *    of the user runs under it (ask_next).
 * 2. A reclaimer lives as long as it is in the list, its owner has the handle, or a thread runs its
 *    function: each has a reference. The thread that gives up the last one destroys it without the
 *    gate (drop_reclaimer).
 * 3. A session asks each reclaimer at most once: it notes its own number in those that it has asked
 *    (ask_next).
 * 4. For one budget one session runs at a time. The other threads that the same budget has refused
 *    wait for its end, and try their charge again before they ask for memory themselves
 *    (begin_session). So two requests do not empty a cache for one need. They do not wait longer
 *    than PATIENCE_NS, because a reclaimer may itself wait for one of them.
 * 5. A thread that runs a session begins no other one in the tree (find_own). So a reclaimer that
 *    asks for memory is not called from inside itself, and the recursion ends.
 *
 * A charge runs at most MOST_ROUNDS sessions. It needs a second one if another thread takes what
 * was reclaimed for it, or if a second budget refuses it.
 */
#if !defined(_WIN32) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* clock_gettime, pthread_condattr_setclock */
#endif

#include "reclaim.h"
#include "../base/arithmetic.h"
#include "../base/cancel.h"
#include "gate.h"
#include "pressure.h"

#include <stdlib.h>

#define PATIENCE_NS UINT64_C(1000000000)
#define MOST_ROUNDS (2 * AEGIS_BUDGET_MAX_DEPTH)

void aegis_i_reclaimer_drop(aegis_budget_reclaimer *reclaimer) {
    /* Acquire and release pair with each other: what each holder did with the reclaimer comes
     * before its end. */
    if (aegis_i_sub(&reclaimer->reference_count, 1, memory_order_acq_rel) != 1)
        return;
    if (reclaimer->destroy != NULL)
        reclaimer->destroy(reclaimer->context);
    free(reclaimer);
}

void aegis_i_forget_reclaimers(aegis_budget *budget) {
    /* Relaxed: whoever registered one had a reference to the budget, and gave it up before this. */
    if (aegis_i_load(&budget->root->gate.has_reclaimers, memory_order_relaxed) == 0 ||
        !aegis_i_gate_enter(budget))
        return;
    aegis_budget_reclaimer *forgotten = NULL;
    aegis_budget_reclaimer **link = &budget->root->gate.reclaimers;
    while (*link != NULL) {
        aegis_budget_reclaimer *reclaimer = *link;
        if (reclaimer->budget != budget) {
            link = &reclaimer->next;
            continue;
        }
        *link = reclaimer->next;
        reclaimer->next = forgotten;
        forgotten = reclaimer;
    }
    aegis_i_gate_leave(budget);
    while (forgotten != NULL) {
        aegis_budget_reclaimer *next = forgotten->next;
        aegis_i_reclaimer_drop(forgotten);
        forgotten = next;
    }
}

/* The session that this thread runs, or NULL. The caller has the gate. */
static aegis_i_session *find_own(const aegis_i_gate *gate) {
    uintptr_t self = aegis_i_thread_self();
    aegis_i_session *session = gate->sessions;
    while (session != NULL && session->thread != self)
        session = session->next;
    return session;
}

/* Whether another thread runs a session for the budget, for which this thread should wait. */
static aegis_i_session *find_other(const aegis_i_gate *gate, const aegis_budget *budget) {
    aegis_i_session *session = gate->sessions;
    while (session != NULL && session->budget != budget)
        session = session->next;
    return session;
}

/* What can be reclaimed from a budget for a request that `refusing` has refused: all it has in use,
 * but nothing that a guarantee on the way up to `refusing` covers. */
static size_t reclaimable_bytes(const aegis_budget *budget, const aegis_budget *refusing) {
    size_t most_bytes = aegis_i_budget_used(budget);
    for (; budget != NULL && budget != refusing; budget = budget->parent) {
        size_t kept_bytes = aegis_i_load(&budget->guaranteed_bytes, memory_order_relaxed);
        size_t used_bytes = aegis_i_budget_used(budget);
        most_bytes = aegis_i_min(most_bytes, used_bytes > kept_bytes ? used_bytes - kept_bytes : 0);
    }
    return budget != NULL ? most_bytes : 0;
}

/* Whether `a` is asked before `b`, of which it is known whether they belong to the requester and
 * how many bytes their budgets use. */
typedef struct candidate {
    aegis_budget_reclaimer *reclaimer;
    bool is_own;
    size_t used_bytes;
    size_t most_bytes;
} candidate;

static bool comes_before(const candidate *a, const candidate *b) {
    if (b->reclaimer == NULL || a->is_own != b->is_own)
        return b->reclaimer == NULL || b->is_own;
    if (a->reclaimer->priority != b->reclaimer->priority)
        return a->reclaimer->priority < b->reclaimer->priority;
    return a->used_bytes > b->used_bytes;
}

/* The reclaimer that is to be asked next; its `reclaimer` is NULL when there is none. */
static candidate choose(const aegis_i_gate *gate, uint64_t number, const aegis_budget *requester,
                        const aegis_budget *refusing) {
    candidate best = {NULL, false, 0, 0};
    for (aegis_budget_reclaimer *reclaimer = gate->reclaimers; reclaimer != NULL;
         reclaimer = reclaimer->next) {
        bool is_own = reclaimer->budget == requester;
        if (reclaimer->asked_by == number ||
            (is_own && (reclaimer->flags & AEGIS_RECLAIM_OWN_LAST) == 0))
            continue;
        candidate next = {reclaimer, is_own, aegis_i_budget_used(reclaimer->budget),
                          reclaimable_bytes(reclaimer->budget, refusing)};
        if (next.most_bytes != 0 && comes_before(&next, &best))
            best = next;
    }
    return best;
}

/* Asks the next reclaimer for up to `wanted_bytes`. False: there is none. The caller has the gate,
 * which is given up meanwhile; `*lost` is set if it cannot be had again. */
static bool ask_next(aegis_budget *refusing, const aegis_budget *requester, uint64_t number,
                     size_t wanted_bytes, bool *lost) {
    aegis_i_gate *gate = &refusing->root->gate;
    candidate next = choose(gate, number, requester, refusing);
    if (next.reclaimer == NULL)
        return false;
    next.reclaimer->asked_by = number;
    (void)aegis_i_add(&refusing->reclaim_count, 1, memory_order_relaxed);
    (void)aegis_i_add(&next.reclaimer->reference_count, 1, memory_order_relaxed);
    aegis_i_gate_leave(refusing);
    int state = aegis_i_uncancelled_begin();
    size_t freed_bytes = next.reclaimer->function(next.reclaimer->context,
                                                  aegis_i_min(wanted_bytes, next.most_bytes));
    aegis_i_reclaimer_drop(next.reclaimer);
    aegis_i_uncancelled_end(state);
    (void)aegis_i_add(&refusing->reclaimed_bytes, freed_bytes, memory_order_relaxed);
    *lost = !aegis_i_gate_enter(refusing);
    return true;
}

/* Begins a session for a budget that has refused a charge. False: this thread does not begin one;
 * `*again` says whether the charge should be tried again. The caller has the gate. */
static bool begin_session(aegis_i_session *session, aegis_budget *refusing, bool *again) {
    aegis_i_gate *gate = &refusing->root->gate;
    aegis_i_session *other = find_other(gate, refusing);
    uint64_t now_ns = aegis_i_now_ns();
    if (other != NULL && now_ns < other->overdue_ns) {
        aegis_i_condition_wait(&gate->session_ended, &gate->mutex, other->overdue_ns, NULL, NULL);
        *again = true;
        return false;
    }
    session->thread = aegis_i_thread_self();
    session->budget = refusing;
    session->overdue_ns = now_ns + PATIENCE_NS;
    session->next = gate->sessions;
    gate->sessions = session;
    return true;
}

static void end_session(aegis_i_gate *gate, aegis_i_session *session) {
    aegis_i_session **link = &gate->sessions;
    while (*link != NULL && *link != session)
        link = &(*link)->next;
    if (*link != NULL)
        *link = session->next;
    aegis_i_condition_broadcast(&gate->session_ended);
}

bool aegis_i_reclaim(aegis_i_session *session, aegis_budget *budget, size_t size_bytes,
                     aegis_i_refusal *why) {
    aegis_budget *refusing = (aegis_budget *)(uintptr_t)why->budget;
    aegis_i_gate *gate = &budget->root->gate;
    /* Relaxed: see aegis_budget_on_reclaim. */
    if (aegis_i_load(&gate->has_reclaimers, memory_order_relaxed) == 0 || session->exhausted ||
        session->round == MOST_ROUNDS || !aegis_i_gate_enter(budget))
        return false;
    bool nested = find_own(gate) != NULL;
    if (nested || why->reason == AEGIS_REFUSED_QUEUE) {
        if (nested)
            why->reason = AEGIS_REFUSED_NESTED;
        aegis_i_gate_leave(budget);
        return false;
    }
    bool again = false, lost = false;
    session->round++;
    if (begin_session(session, refusing, &again)) {
        uint64_t number = ++gate->session_count;
        size_t lacking_bytes;
        bool asked = true;
        while (!lost && asked &&
               (lacking_bytes = aegis_i_gate_lacking(budget, refusing, size_bytes)) != 0) {
            asked = ask_next(refusing, session->requester, number, lacking_bytes, &lost);
            again = again || asked;
        }
        session->exhausted = !asked;
        if (lost)
            return true;
        end_session(gate, session);
    }
    aegis_i_gate_leave(budget);
    return again || !session->exhausted;
}

bool aegis_i_tell_refused(aegis_i_session *session, const aegis_i_refusal *why) {
    aegis_budget *budget = (aegis_budget *)(uintptr_t)why->budget;
    if (aegis_i_watchers_of(budget) == NULL || !aegis_i_gate_enter(budget))
        return false;
    aegis_i_gate *gate = &budget->root->gate;
    bool nested = find_own(gate) != NULL;
    if (!nested) {
        session->thread = aegis_i_thread_self();
        session->budget = NULL;
        session->next = gate->sessions;
        gate->sessions = session;
    }
    aegis_i_gate_leave(budget);
    if (nested)
        return false;
    aegis_i_tell_all(
        budget, why->in_use_bytes + aegis_i_min(why->needed_bytes, SIZE_MAX - why->in_use_bytes),
        why->limit_bytes);
    if (aegis_i_gate_enter(budget)) {
        end_session(gate, session);
        aegis_i_gate_leave(budget);
    }
    return true;
}

void aegis_i_reclaim_excess(aegis_budget *budget) {
    aegis_i_session session = {0};
    aegis_i_refusal why = {AEGIS_E_LIMIT_EXCEEDED, AEGIS_REFUSED_LIMIT, budget, 0, 0, 0};
    while (aegis_i_reclaim(&session, budget, 0, &why) && !session.exhausted)
        continue;
}
