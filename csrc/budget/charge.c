/* SPDX-License-Identifier: Apache-2.0 */
/* Budgets: counters that are charged from root to leaf, and uncharged from leaf to root. The tree
 * and its locks are described in state.h. What cannot be done on a counter alone is done under the
 * gate of the tree: see gate.c. All this file needs to know of it is that the counter of a gated
 * budget accepts no charge and no uncharge.
 *
 * Invariants of the counters:
 * 1. A counter changes only by a compare-and-swap from a value that allows the change. An addition
 *    starts from a value that leaves room below the limit (aegis_i_counter_add), and a subtraction
 *    from a value that is not smaller than what is subtracted (aegis_i_counter_subtract), or it
 *    ends at 0 (under the gate). Only charge_regardless does not ask for the limit.
 * 2. A charge adds its bytes from the root down (charge_open). What takes bytes away begins at the
 *    lowest budget that has them and goes up (aegis_i_budget_uncharge_below, take_back).
 * 3. A peak is raised only when the whole charge has succeeded (charge_open).
 *
 * So no charge brings a counter above the limit that it was compared with, and no counter wraps
 * (1). While a charge or an uncharge is under way, a budget holds its bytes only as long as all
 * its ancestors hold them (2). So a budget has in use at least what its children have together,
 * and a thread that finds a charge at a leaf finds it further up too. A refused charge raises no
 * peak by itself (3). The counters order nothing but themselves, so all their orders are relaxed,
 * except that of an addition, which peak.c needs.
 *
 * What happens to a charge that the counters do not accept (charge_now, and for 4 and 5
 * its callers):
 * 1. It is made under the gate, if a budget on its way is gated and accepts it there.
 * 2. If a budget refuses it, the reclaimers beneath that budget are asked (reclaim.c), and it is
 *    tried again.
 * 3. If it is still refused, the pressure functions of that budget run, and it is tried again.
 * 4. If it is still refused, it waits if the caller wants that (wait.c, poll.c).
 * 5. If it ends refused, the budget that refused counts one refusal. A request that waits counts
 *    only then.
 * An optional charge is refused after step 1.
 */
#if !defined(_WIN32) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* for condition.h */
#endif

#include "charge.h"
#include "../base/arithmetic.h"
#include "../base/cancel.h"
#include "counter.h"
#include "moving.h"
#include "peak_record.h"
#include "pressure.h"
#include "reclaim.h"
#include "wait.h"

/* The way of a charge, from the budget that is charged (number 0) up. For each budget: the most
 * that may be in use before the addition, and what is in use before it. The latter is first the
 * value that was seen by `look`, and then the one that the addition found. */
typedef struct way {
    size_t count;
    aegis_budget *budgets[AEGIS_BUDGET_MAX_DEPTH];
    size_t most_bytes[AEGIS_BUDGET_MAX_DEPTH];
    size_t used_bytes[AEGIS_BUDGET_MAX_DEPTH];
} way;

/* Looks at each budget from `budget` up. Returns the first one that has no room, or `stop`. */
static inline aegis_budget *look(way *up, aegis_budget *budget, const aegis_budget *stop,
                                 size_t size_bytes) {
    size_t i = 0;
    for (; budget != stop; budget = budget->parent, i++) {
        size_t limit_bytes = aegis_i_load(&budget->counter_limit_bytes, memory_order_relaxed);
        size_t used_bytes = aegis_i_load(&budget->used_bytes, memory_order_relaxed);
        if (size_bytes > limit_bytes || used_bytes > limit_bytes - size_bytes)
            break;
        up->budgets[i] = budget;
        up->most_bytes[i] = limit_bytes - size_bytes;
        up->used_bytes[i] = used_bytes;
    }
    up->count = i;
    return budget;
}

/* Takes bytes off the budgets from `budget` up. Its counter is gated, or smaller than that, because
 * an earlier uncharge named an ancestor instead of the budget beneath it. That is not reported,
 * because the caller may be in the middle of a change of its own. */
static AEGIS_I_COLD void uncharge_gated(aegis_budget *budget, aegis_budget *child,
                                        const aegis_budget *stop, size_t size_bytes) {
    if (!aegis_i_gate_enter(budget)) {
        aegis_i_gate_give_up(budget, stop);
        for (; budget != stop; budget = budget->parent)
            aegis_i_gate_subtract_open(budget, size_bytes);
        return;
    }
    aegis_i_gate_uncharge(budget, child, stop, size_bytes);
    aegis_i_gate_serve(budget);
    aegis_i_gate_leave(budget);
}

/* Takes bytes off `node` and the budgets above it, after those from `budget` up to it. */
static AEGIS_I_COLD aegis_status uncharge_rest(aegis_budget *budget, aegis_budget *node,
                                               const aegis_budget *stop, size_t size_bytes) {
    while (budget->parent != node)
        budget = budget->parent;
    uncharge_gated(node, budget, stop, size_bytes);
    return AEGIS_OK;
}

/* Takes bytes off the ancestors of a budget, whose counter has less already. */
static inline aegis_status uncharge_above(aegis_budget *budget, const aegis_budget *stop,
                                          size_t size_bytes) {
    size_t left_bytes;
    for (aegis_budget *node = budget->parent; node != stop; node = node->parent)
        if (AEGIS_UNLIKELY(!aegis_i_counter_subtract(node, size_bytes, &left_bytes)))
            return uncharge_rest(budget, node, stop, size_bytes);
    return AEGIS_OK;
}

/* Takes a charge back from number `first` of the way up. */
static AEGIS_I_COLD void take_back(const way *up, size_t first, const aegis_budget *stop,
                                   size_t size_bytes) {
    size_t left_bytes[AEGIS_BUDGET_MAX_DEPTH];
    size_t i = first;
    while (i < up->count && aegis_i_counter_subtract(up->budgets[i], size_bytes, &left_bytes[i]))
        i++;
    if (i < up->count)
        uncharge_gated(up->budgets[i], i != 0 ? up->budgets[i - 1] : NULL, stop, size_bytes);
    for (; i < up->count; i++)
        left_bytes[i] = aegis_i_budget_used(up->budgets[i]);
    /* While this charge was there, others may have been added on top of it. If this charge had
     * reached a threshold and the others still reach it without this charge, they saw no rise: so
     * this thread tells it. */
    for (i = first; i < up->count; i++)
        aegis_i_tell_rise(up->budgets[i], up->used_bytes[i],
                          aegis_i_min(up->used_bytes[i] + size_bytes, left_bytes[i]));
}

/* Charges the counters from `budget` up to, and without, `stop`. False: a counter did not accept
 * that, and all are as before. */
static inline bool charge_open(aegis_budget *budget, const aegis_budget *stop, size_t size_bytes) {
    way up;
    /* The charge looks first, so that a charge that does not fit is not in the way of others. Only
     * a race for the last bytes is decided by the additions. */
    if (AEGIS_UNLIKELY(look(&up, budget, stop, size_bytes) != stop))
        return false;
    size_t i = up.count;
    while (i != 0 && aegis_i_counter_add(up.budgets[i - 1], &up.used_bytes[i - 1], size_bytes,
                                         up.most_bytes[i - 1]))
        i--;
    if (AEGIS_UNLIKELY(i != 0)) {
        take_back(&up, i, stop, size_bytes);
        return false;
    }
    /* Peaks are raised only now, because a refused charge must leave none. All are raised and
     * recorded before a watcher is told. */
    bool noted = false;
    for (i = 0; i < up.count; i++)
        if (aegis_i_raise_peak(up.budgets[i], up.used_bytes[i] + size_bytes) ||
            aegis_i_watchers_of(up.budgets[i]) != NULL)
            noted = true;
    for (i = 0; noted && i < up.count; i++)
        if (aegis_i_record_is_due(up.budgets[i], up.used_bytes[i] + size_bytes))
            aegis_i_record_peak(up.budgets[i]);
    for (i = 0; noted && i < up.count; i++)
        aegis_i_tell_rise(up.budgets[i], up.used_bytes[i], up.used_bytes[i] + size_bytes);
    return true;
}

/* Whether one of the budgets of the way refuses the charge, none of which may be gated. The counter
 * of each may say `most_bytes`. */
static bool is_refused_open(aegis_budget *budget, const aegis_budget *stop, size_t size_bytes,
                            size_t most_bytes, aegis_i_refusal *why) {
    why->budget = NULL;
    for (; budget != stop; budget = budget->parent) {
        size_t limit_bytes = aegis_i_load(&budget->limit_bytes, memory_order_relaxed);
        size_t used_bytes = aegis_i_load(&budget->used_bytes, memory_order_relaxed);
        if (used_bytes > AEGIS_I_COUNTER_MAX)
            return false;
        limit_bytes = aegis_i_min(limit_bytes, most_bytes);
        if (why->budget != NULL ||
            (size_bytes <= limit_bytes && used_bytes <= limit_bytes - size_bytes))
            continue;
        why->status = AEGIS_E_LIMIT_EXCEEDED;
        why->reason = AEGIS_REFUSED_LIMIT;
        why->budget = budget;
        why->limit_bytes = limit_bytes;
        why->in_use_bytes = used_bytes;
        why->needed_bytes = size_bytes;
    }
    return why->budget != NULL;
}

/* One attempt at a charge, with the gate if it is needed. */
static aegis_status attempt(aegis_budget *budget, aegis_i_move *move, size_t size_bytes,
                            aegis_i_refusal *why) {
    const aegis_budget *stop = aegis_i_stop_of(move);
    aegis_i_path path;
    size_t most_bytes = SIZE_MAX;
    for (;;) {
        bool may_be_counted = aegis_i_move_may_be_counted(move);
        if (!may_be_counted && charge_open(budget, stop, size_bytes))
            return AEGIS_OK;
        if (!may_be_counted && is_refused_open(budget, stop, size_bytes, most_bytes, why))
            return why->status;
        if (aegis_i_gate_enter(budget))
            break;
        /* Without the gate no budget can have more than its counter says. */
        aegis_i_gate_give_up(budget, NULL);
        most_bytes = AEGIS_I_COUNTER_MAX;
    }
    bool made = aegis_i_gate_begin_move(&path, budget, move, size_bytes, NULL, why) == NULL;
    /* If a guarantee covers what moves here, `stop` needs to keep less free. */
    if (made && stop != NULL)
        aegis_i_gate_serve(budget);
    else
        aegis_i_gate_thaw(budget);
    aegis_i_gate_leave(budget);
    if (!made)
        return why->status;
    aegis_i_tell_path(&path, size_bytes);
    return AEGIS_OK;
}

/* Makes a charge that the counters have not accepted, or refuses it, without waiting. */
static AEGIS_I_COLD aegis_status charge_now(aegis_budget *budget, aegis_i_move *move,
                                            size_t size_bytes, bool optional,
                                            aegis_i_refusal *why) {
    const aegis_budget *stop = aegis_i_stop_of(move);
    aegis_i_session session = {0};
    session.requester = budget;
    bool told = false;
    aegis_status status;
    while ((status = attempt(budget, move, size_bytes, why)) == AEGIS_E_LIMIT_EXCEEDED &&
           !optional) {
        /* No reclaimer is asked for a guarantee that a move would leave unused. */
        if (stop != NULL && aegis_i_is_at_or_above(why->budget, stop))
            break;
        if (aegis_i_reclaim(&session, budget, size_bytes, why))
            continue;
        if (told || !aegis_i_tell_refused(&session, why))
            break;
        told = true;
    }
    return status;
}

/* Whether a charge that was refused waits. */
static bool is_to_wait(uint64_t wait_ns, const aegis_i_refusal *why) {
    return why->status == AEGIS_E_LIMIT_EXCEEDED && why->reason != AEGIS_REFUSED_NESTED &&
           wait_ns != 0 && wait_ns != AEGIS_I_OPTIONAL;
}

static aegis_status wait_for_room(aegis_budget *budget, size_t size_bytes,
                                  aegis_i_patience *patience, aegis_i_refusal *why) {
    aegis_i_path path;
    aegis_status status = aegis_i_budget_wait(budget, size_bytes, patience, &path, why);
    if (status == AEGIS_OK)
        aegis_i_tell_path(&path, size_bytes);
    return status;
}

aegis_status aegis_i_budget_charge_below(aegis_budget *budget, aegis_i_move *move,
                                         size_t size_bytes, bool optional, aegis_i_refusal *why) {
    aegis_i_refusal refusal;
    if (!aegis_i_move_may_be_counted(move) &&
        charge_open(budget, aegis_i_stop_of(move), size_bytes))
        return AEGIS_OK;
    aegis_status status = charge_now(budget, move, size_bytes, optional, &refusal);
    if (status == AEGIS_E_LIMIT_EXCEEDED && !optional)
        aegis_i_count_refusal(&refusal);
    if (status != AEGIS_OK)
        *why = refusal;
    return status;
}

/* Charges a budget for an object, after the counters have not accepted the charge. */
static AEGIS_I_COLD aegis_status charge_for_object(aegis_budget *budget, size_t size_bytes,
                                                   aegis_i_patience *patience,
                                                   aegis_i_refusal *why) {
    bool optional = patience->wait_ns == AEGIS_I_OPTIONAL;
    aegis_status status = charge_now(budget, NULL, size_bytes, optional, why);
    if (status != AEGIS_OK && is_to_wait(patience->wait_ns, why)) {
        aegis_i_refusal waited = *why;
        int state = aegis_i_uncancelled_begin();
        aegis_status end = wait_for_room(budget, size_bytes, patience, &waited);
        aegis_i_uncancelled_end(state);
        /* If no thread can wait in this process, the object is told of the refusal. Otherwise it
         * would take the status for one of its own. */
        if (end != AEGIS_E_FORKED) {
            status = end;
            *why = waited;
        }
    }
    if (status == AEGIS_E_LIMIT_EXCEEDED && !optional && !patience->uncounted)
        aegis_i_count_refusal(why);
    if (status != AEGIS_OK && status != AEGIS_PENDING)
        patience->wait_ns = AEGIS_I_OPTIONAL;
    return status;
}

aegis_status aegis_i_budget_charge_patiently(aegis_budget *budget, size_t size_bytes,
                                             aegis_i_patience *patience, aegis_i_refusal *why) {
    aegis_i_refusal refusal;
    if (charge_open(budget, NULL, size_bytes))
        return AEGIS_OK;
    aegis_status status = charge_for_object(budget, size_bytes, patience, &refusal);
    if (status != AEGIS_OK)
        *why = refusal;
    return status;
}

aegis_status aegis_i_budget_charge_uncounted(aegis_budget *budget, size_t size_bytes,
                                             aegis_i_refusal *why) {
    return charge_open(budget, NULL, size_bytes) ? AEGIS_OK
                                                 : charge_now(budget, NULL, size_bytes, false, why);
}

/* Charges a budget for its user after the counters have not accepted it, and says in `error` why
 * not. */
static AEGIS_I_COLD aegis_status charge_for(aegis_budget *budget, size_t size_bytes,
                                            uint64_t wait_ns, aegis_error *error) {
    aegis_i_refusal why;
    aegis_i_patience patience = {wait_ns, NULL, NULL, NULL, NULL, false, NULL};
    aegis_status status = charge_now(budget, NULL, size_bytes, false, &why);
    if (status != AEGIS_OK && is_to_wait(wait_ns, &why))
        status = wait_for_room(budget, size_bytes, &patience, &why);
    if (status == AEGIS_E_LIMIT_EXCEEDED)
        aegis_i_count_refusal(&why);
    if (status != AEGIS_OK)
        aegis_i_explain_charge(&why, size_bytes, error);
    return status;
}

aegis_status aegis_budget_charge(aegis_budget *budget, size_t size_bytes, aegis_error *error) {
    if (charge_open(budget, NULL, size_bytes))
        return AEGIS_OK;
    return charge_for(budget, size_bytes, 0, error);
}

aegis_status aegis_budget_charge_timeout(aegis_budget *budget, size_t size_bytes,
                                         uint64_t timeout_ns, aegis_error *error) {
    if (charge_open(budget, NULL, size_bytes))
        return AEGIS_OK;
    return charge_for(budget, size_bytes, aegis_i_wait_ns(timeout_ns), error);
}

/* As aegis_i_budget_uncharge_below, for a budget that is gated or has less than that. */
static AEGIS_I_COLD aegis_status uncharge_slow(aegis_budget *budget, const aegis_budget *stop,
                                               size_t size_bytes) {
    aegis_status status = AEGIS_E_INVALID;
    size_t used_bytes;
    while ((used_bytes = aegis_i_load(&budget->used_bytes, memory_order_relaxed)) <=
           AEGIS_I_COUNTER_MAX) {
        if (used_bytes < size_bytes)
            return AEGIS_E_INVALID;
        if (aegis_i_counter_subtract(budget, size_bytes, &used_bytes))
            return uncharge_above(budget, stop, size_bytes);
    }
    if (!aegis_i_gate_enter(budget)) {
        aegis_i_gate_give_up(budget, stop);
        return uncharge_slow(budget, stop, size_bytes);
    }
    if (aegis_i_budget_used(budget) >= size_bytes) {
        status = AEGIS_OK;
        aegis_i_gate_uncharge(budget, NULL, stop, size_bytes);
    }
    aegis_i_gate_serve(budget);
    aegis_i_gate_leave(budget);
    return status;
}

static inline aegis_status uncharge_below(aegis_budget *budget, const aegis_budget *stop,
                                          size_t size_bytes) {
    size_t left_bytes;
    if (budget == stop)
        return AEGIS_OK;
    if (AEGIS_UNLIKELY(size_bytes > AEGIS_I_COUNTER_MAX ||
                       !aegis_i_counter_subtract(budget, size_bytes, &left_bytes)))
        return uncharge_slow(budget, stop, size_bytes);
    return uncharge_above(budget, stop, size_bytes);
}

aegis_status aegis_i_budget_uncharge_below(aegis_budget *budget, const aegis_budget *stop,
                                           size_t size_bytes) {
    return uncharge_below(budget, stop, size_bytes);
}

aegis_status aegis_budget_uncharge(aegis_budget *budget, size_t size_bytes) {
    return uncharge_below(budget, NULL, size_bytes);
}

/* As charge_regardless, without the gate. False: a budget is gated, or is to have more than its
 * counter can say, and all are as before. */
static bool charge_regardless_open(aegis_budget *budget, const aegis_budget *stop,
                                   size_t size_bytes, bool tell) {
    way up;
    size_t most_bytes = AEGIS_I_COUNTER_MAX - aegis_i_min(size_bytes, AEGIS_I_COUNTER_MAX);
    size_t i = 0;
    for (aegis_budget *node = budget; node != stop; node = node->parent, i++) {
        up.budgets[i] = node;
        up.used_bytes[i] = aegis_i_load(&node->used_bytes, memory_order_relaxed);
        if (up.used_bytes[i] > most_bytes || size_bytes > AEGIS_I_COUNTER_MAX)
            return false;
    }
    up.count = i;
    while (i != 0 &&
           aegis_i_counter_add(up.budgets[i - 1], &up.used_bytes[i - 1], size_bytes, most_bytes))
        i--;
    if (i != 0 && i != up.count)
        (void)uncharge_below(up.budgets[i], stop, size_bytes);
    if (i != 0)
        return false;
    for (; i < up.count; i++)
        if (aegis_i_raise_peak(up.budgets[i], up.used_bytes[i] + size_bytes))
            aegis_i_record_peak(up.budgets[i]);
    for (i = 0; tell && i < up.count; i++)
        aegis_i_tell_rise(up.budgets[i], up.used_bytes[i], up.used_bytes[i] + size_bytes);
    return true;
}

/* The same without the gate of the tree, which cannot be had in this process. The counters of the
 * way are open, and end at the most that they can say. No pressure function is told. */
static AEGIS_I_COLD void charge_regardless_lost(aegis_budget *budget, const aegis_budget *stop,
                                                size_t size_bytes) {
    for (; budget != stop; budget = budget->parent) {
        size_t used_bytes = aegis_i_load(&budget->used_bytes, memory_order_relaxed), sum_bytes;
        do {
            sum_bytes = used_bytes + aegis_i_min(size_bytes, AEGIS_I_COUNTER_MAX - used_bytes);
        } while (!aegis_i_cas_weak(&budget->used_bytes, &used_bytes, sum_bytes,
                                   memory_order_acquire, memory_order_relaxed));
        if (aegis_i_raise_peak(budget, sum_bytes))
            aegis_i_record_peak(budget);
    }
}

/* Charges a budget whatever the limits are, also when they are closed. `tell`: the pressure
 * functions are told of a rise. */
static AEGIS_I_COLD void charge_regardless(aegis_budget *budget, aegis_i_move *move,
                                           size_t size_bytes, bool tell) {
    const aegis_budget *stop = aegis_i_stop_of(move);
    aegis_i_path path;
    aegis_i_refusal why;
    if (!aegis_i_move_may_be_counted(move) &&
        charge_regardless_open(budget, stop, size_bytes, tell))
        return;
    if (!aegis_i_gate_enter(budget)) {
        aegis_i_gate_give_up(budget, stop);
        charge_regardless_lost(budget, stop, size_bytes);
        return;
    }
    for (aegis_budget *node = budget; node != stop; node = node->parent)
        aegis_i_gate_freeze(node);
    (void)aegis_i_gate_begin_move(&path, budget, move, size_bytes, &aegis_i_gate_back, &why);
    aegis_i_gate_serve(budget);
    aegis_i_gate_leave(budget);
    if (tell)
        aegis_i_tell_path(&path, size_bytes);
}

void aegis_i_budget_charge_back(aegis_budget *budget, aegis_i_move *move, size_t size_bytes) {
    charge_regardless(budget, move, size_bytes, false);
}

void aegis_budget_force_charge(aegis_budget *budget, size_t size_bytes) {
    aegis_i_refusal why;
    /* A budget that is beyond its limit would refuse even no bytes, and ask for room. */
    if (size_bytes != 0 && aegis_i_budget_charge_uncounted(budget, size_bytes, &why) != AEGIS_OK)
        charge_regardless(budget, NULL, size_bytes, true);
}

size_t aegis_i_room(const aegis_budget *budget) {
    size_t room_bytes = SIZE_MAX;
    for (; budget != NULL; budget = budget->parent) {
        size_t limit_bytes = aegis_i_load(&budget->limit_bytes, memory_order_relaxed);
        size_t used_bytes = aegis_i_budget_used(budget);
        size_t kept_bytes = aegis_i_load(&budget->reserved_bytes, memory_order_relaxed);
        size_t left_bytes = limit_bytes > used_bytes ? limit_bytes - used_bytes : 0;
        left_bytes = left_bytes > kept_bytes ? left_bytes - kept_bytes : 0;
        room_bytes = aegis_i_min(room_bytes, left_bytes);
    }
    return room_bytes;
}
