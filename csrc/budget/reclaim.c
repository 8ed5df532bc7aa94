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
 * 3. A session asks each reclaimer at most once: it leaves its mark, a bit that no other session
 * has at that time, in those that it has asked (ask_next). It does not ask those that are
 * registered while it runs (aegis_budget_on_reclaim).
 * 4. For one budget one session runs at a time. The other threads that the same budget has refused
 *    wait for its end, and try their charge again before they ask for memory themselves
 *    (begin_session). So two requests do not empty a cache for one need. A charge does not wait
 *    longer than PATIENCE_NS for others, because a reclaimer may itself wait for it.
 * 5. A thread that runs a session begins no other one in the tree (find_own). So a reclaimer that
 *    asks for memory is not called from inside itself, and the recursion ends. Nor is the thread
 *    cancelled meanwhile, because its session lies on its stack.
 *
 * A charge runs at most MOST_ROUNDS sessions. It needs a second one if another thread takes what
 * was reclaimed for it, or if a second budget refuses it. For a request that is larger than the
 * limit nothing is reclaimed, because that cannot help.
 */
#if !defined(_WIN32) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* clock_gettime, pthread_condattr_setclock */
#endif

#include "reclaim.h"
#include "../base/arithmetic.h"
#include "../base/cancel.h"
#include "../source.h"
#include "gate.h"
#include "pressure.h"

#define PATIENCE_NS UINT64_C(1000000000)
#define MOST_ROUNDS (2 * AEGIS_BUDGET_MAX_DEPTH)

/* Not inlined: gcc takes the second of two calls in a row for a use after the first has freed. */
AEGIS_I_COLD void aegis_i_reclaimer_drop(aegis_budget_reclaimer *reclaimer) {
    /* Acquire and release pair with each other: what each holder did with the reclaimer comes
     * before its end. */
    if (aegis_i_sub(&reclaimer->reference_count, 1, memory_order_acq_rel) != 1)
        return;
    if (reclaimer->destroy != NULL)
        reclaimer->destroy(reclaimer->context);
    aegis_i_record_free(reclaimer);
}

void aegis_i_forget_reclaimers(aegis_budget *budget) {
    /* Relaxed: whoever registered one had a reference to the budget, and gave it up before this. */
    if (aegis_i_load(&budget->root->gate.has_callees, memory_order_relaxed) == 0 ||
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

/* What can be reclaimed from a budget for a request to `requester` that `refusing` has refused: all
 * it has in use, but nothing that is guaranteed to it or to a budget above it that the requester
 * does not belong to. */
static size_t reclaimable_bytes(const aegis_budget *budget, const aegis_budget *requester,
                                const aegis_budget *refusing) {
    size_t most_bytes = aegis_i_budget_used(budget);
    for (; budget != NULL && budget->level >= refusing->level; budget = budget->parent) {
        while (requester->level > budget->level)
            requester = requester->parent;
        if (budget == requester)
            return most_bytes;
        size_t kept_bytes = aegis_i_load(&budget->guaranteed_bytes, memory_order_relaxed);
        size_t used_bytes = aegis_i_budget_used(budget);
        most_bytes = aegis_i_min(most_bytes, used_bytes > kept_bytes ? used_bytes - kept_bytes : 0);
    }
    return 0;
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
static candidate choose(const aegis_i_gate *gate, const aegis_i_session *session) {
    const aegis_budget *refusing = session->budget;
    const aegis_budget *requester = session->requester != NULL ? session->requester : refusing;
    candidate best = {NULL, false, 0, 0};
    for (aegis_budget_reclaimer *reclaimer = gate->reclaimers; reclaimer != NULL;
         reclaimer = reclaimer->next) {
        bool is_own = reclaimer->budget == session->requester;
        if ((reclaimer->asked_by & session->mark) != 0 ||
            (is_own && (reclaimer->flags & AEGIS_RECLAIM_OWN_LAST) == 0))
            continue;
        candidate next = {reclaimer, is_own, aegis_i_budget_used(reclaimer->budget),
                          reclaimable_bytes(reclaimer->budget, requester, refusing)};
        if (next.most_bytes != 0 && comes_before(&next, &best))
            best = next;
    }
    return best;
}

/* Asks the next reclaimer for up to `wanted_bytes`. False: there is none. The caller has the gate,
 * which is given up meanwhile; `*lost` is set if it cannot be had again. `*freed_bytes` grows by
 * what the reclaimer says that it has freed. */
static bool ask_next(aegis_budget *refusing, const aegis_i_session *session, size_t wanted_bytes,
                     size_t *freed_bytes, bool *lost) {
    candidate next = choose(&refusing->root->gate, session);
    if (next.reclaimer == NULL)
        return false;
    next.reclaimer->asked_by |= session->mark;
    (void)aegis_i_add(&refusing->reclaim_count, 1, memory_order_relaxed);
    (void)aegis_i_add(&next.reclaimer->reference_count, 1, memory_order_relaxed);
    aegis_i_gate_leave(refusing);
    int state = aegis_i_uncancelled_begin();
    size_t said_bytes = next.reclaimer->function(next.reclaimer->context,
                                                 aegis_i_min(wanted_bytes, next.most_bytes));
    *freed_bytes += aegis_i_min(said_bytes, SIZE_MAX - *freed_bytes);
    aegis_i_reclaimer_drop(next.reclaimer);
    aegis_i_uncancelled_end(state);
    (void)aegis_i_add(&refusing->reclaimed_bytes, said_bytes, memory_order_relaxed);
    *lost = !aegis_i_gate_enter(refusing);
    return true;
}

/* Puts a session into the list of those that run. */
static void list_session(aegis_i_gate *gate, aegis_i_session *session,
                         const aegis_budget *refusing) {
    session->thread = aegis_i_thread_self();
    session->budget = refusing;
    session->next = gate->sessions;
    gate->sessions = session;
}

/* Begins a session for a budget that has refused a charge. False: this thread does not begin one,
 * because it has waited for the session of another thread. The caller has the gate. */
static bool begin_session(aegis_i_session *session, const aegis_budget *refusing) {
    aegis_i_gate *gate = &refusing->root->gate;
    const aegis_i_session *other = find_other(gate, refusing);
    uint64_t now_ns = aegis_i_now_ns();
    if (session->patient_ns == 0)
        session->patient_ns = now_ns + PATIENCE_NS;
    bool crowded = gate->session_marks == UINT64_MAX;
    if (other != NULL || crowded) {
        uint64_t until_ns = session->patient_ns;
        if (other != NULL && other->overdue_ns < until_ns)
            until_ns = other->overdue_ns;
        if (now_ns < until_ns) {
            aegis_i_condition_wait(&gate->session_ended, &gate->mutex, until_ns, NULL, NULL);
            return false;
        }
        if (crowded) {
            session->exhausted = refusing;
            return false;
        }
    }
    session->mark = ~gate->session_marks & (gate->session_marks + 1);
    gate->session_marks |= session->mark;
    for (aegis_budget_reclaimer *each = gate->reclaimers; each != NULL; each = each->next)
        each->asked_by &= ~session->mark;
    session->overdue_ns = now_ns + PATIENCE_NS;
    session->round++;
    list_session(gate, session, refusing);
    return true;
}

static void end_session(aegis_i_gate *gate, aegis_i_session *session) {
    aegis_i_session **link = &gate->sessions;
    while (*link != NULL && *link != session)
        link = &(*link)->next;
    /* In a child process that was forked meanwhile it is not in the list. */
    if (*link != NULL) {
        *link = session->next;
        gate->session_marks &= ~session->mark;
    }
    session->mark = 0;
    aegis_i_condition_broadcast(&gate->session_ended);
}

/* Whether reclaiming may help against the refusal. */
static bool may_help(const aegis_i_session *session, const aegis_i_refusal *why) {
    return session->exhausted != why->budget && session->round != MOST_ROUNDS &&
           why->reason != AEGIS_REFUSED_QUEUE &&
           (why->reason != AEGIS_REFUSED_LIMIT || why->needed_bytes <= why->limit_bytes);
}

bool aegis_i_reclaim(aegis_i_session *session, aegis_budget *budget, size_t size_bytes,
                     aegis_i_refusal *why) {
    aegis_budget *refusing = (aegis_budget *)(uintptr_t)why->budget;
    aegis_i_gate *gate = &budget->root->gate;
    /* Relaxed: see aegis_budget_on_reclaim. */
    if (aegis_i_load(&gate->has_callees, memory_order_relaxed) == 0 || !aegis_i_gate_enter(budget))
        return false;
    bool nested = find_own(gate) != NULL;
    if (nested)
        why->reason = AEGIS_REFUSED_NESTED;
    if (nested || !may_help(session, why)) {
        aegis_i_gate_leave(budget);
        return false;
    }
    bool again = true, lost = false;
    if (begin_session(session, refusing)) {
        size_t first_bytes = aegis_i_gate_lacking(budget, refusing, size_bytes);
        size_t lacking_bytes = first_bytes;
        size_t asked_count = 0, freed_bytes = 0;
        while (lacking_bytes != 0 &&
               ask_next(refusing, session, lacking_bytes, &freed_bytes, &lost)) {
            if (lost)
                return true;
            asked_count++;
            lacking_bytes = aegis_i_gate_lacking(budget, refusing, size_bytes);
        }
        /* The counters say whether there is room. If enough was freed and there is none, another
         * thread has taken it, and a second session may get more. */
        if (lacking_bytes != 0 && freed_bytes < first_bytes)
            session->exhausted = refusing;
        again = lacking_bytes == 0 || asked_count != 0;
        end_session(gate, session);
    } else {
        again = session->exhausted != refusing;
    }
    aegis_i_gate_leave(budget);
    return again;
}

bool aegis_i_tell_refused(aegis_i_session *session, const aegis_i_refusal *why) {
    aegis_budget *budget = (aegis_budget *)(uintptr_t)why->budget;
    if (aegis_i_watchers_of(budget) == NULL || !aegis_i_gate_enter(budget))
        return false;
    aegis_i_gate *gate = &budget->root->gate;
    bool nested = find_own(gate) != NULL;
    if (!nested) {
        list_session(gate, session, NULL);
        /* Relaxed: only this thread has to find it. */
        aegis_i_store(&gate->has_callees, 1, memory_order_relaxed);
    }
    aegis_i_gate_leave(budget);
    if (nested)
        return false;
    int state = aegis_i_uncancelled_begin();
    aegis_i_tell_all(
        budget, why->in_use_bytes + aegis_i_min(why->needed_bytes, SIZE_MAX - why->in_use_bytes),
        why->limit_bytes);
    aegis_i_uncancelled_end(state);
    if (aegis_i_gate_enter(budget)) {
        end_session(gate, session);
        aegis_i_gate_leave(budget);
    }
    return true;
}

void aegis_i_reclaim_excess(aegis_budget *budget) {
    aegis_i_session session = {0};
    aegis_i_refusal why = {AEGIS_E_LIMIT_EXCEEDED, AEGIS_REFUSED_LIMIT, budget, 0, 0, 0};
    while (aegis_i_budget_used(budget) > aegis_i_load(&budget->limit_bytes, memory_order_relaxed) &&
           aegis_i_reclaim(&session, budget, 0, &why))
        continue;
}
