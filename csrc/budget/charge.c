/* SPDX-License-Identifier: Apache-2.0 */
/* Budgets: counters that are charged from root to leaf, and uncharged from leaf to root. The tree
 * and its locks are described in state.h.
 *
 * Invariants of the counters:
 * 1. A counter changes only by a compare-and-swap from a value that allows the change. An addition
 *    starts from a value that leaves room below the limit (add), and a subtraction from a value
 *    that is not smaller than what is subtracted, or it ends at 0 (aegis_budget_uncharge,
 *    subtract).
 * 2. A charge adds its bytes from the root down (aegis_i_budget_charge). What takes bytes away
 *    begins at the lowest budget that has them and goes up (aegis_budget_uncharge, take_back).
 * 3. A peak is raised only when the whole charge has succeeded (aegis_i_budget_charge).
 *
 * So no charge brings a counter above the limit that it was compared with, and no counter wraps
 * (1). While a charge or an uncharge is under way, a budget holds its bytes only as long as all
 * its ancestors hold them (2). So a budget has in use at least what its children have together,
 * and a thread that finds a charge at a leaf finds it further up too. A refused charge raises no
 * peak by itself (3). The counters order nothing but themselves, so all their orders are relaxed.
 */
#include "charge.h"
#include "../base/arithmetic.h"
#include "pressure.h"
#include "state.h"

/* The way of a charge, from the budget that is charged (number 0) to its root. For each budget: the
 * most that may be in use before the addition, and what is in use before it. The latter is first
 * the value that was seen by `look`, and then the one that the addition found. */
typedef struct way {
    size_t count;
    aegis_budget *budgets[AEGIS_BUDGET_MAX_DEPTH];
    size_t most_bytes[AEGIS_BUDGET_MAX_DEPTH];
    size_t used_bytes[AEGIS_BUDGET_MAX_DEPTH];
} way;

/* Looks at each budget from `budget` up. Returns the first one that has no room, or NULL. */
static inline aegis_budget *look(way *up, aegis_budget *budget, size_t size_bytes,
                                 aegis_i_refusal *why) {
    size_t i = 0;
    for (; budget != NULL; budget = budget->parent, i++) {
        size_t limit_bytes = aegis_i_load(&budget->limit_bytes, memory_order_relaxed);
        size_t used_bytes = aegis_i_load(&budget->used_bytes, memory_order_relaxed);
        if (size_bytes > limit_bytes || used_bytes > limit_bytes - size_bytes) {
            why->limit_bytes = limit_bytes;
            why->in_use_bytes = used_bytes;
            break;
        }
        up->budgets[i] = budget;
        up->most_bytes[i] = limit_bytes - size_bytes;
        up->used_bytes[i] = used_bytes;
    }
    up->count = i;
    return budget;
}

/* Adds to number `i` of the way. False: its limit does not allow that. */
static inline bool add(way *up, size_t i, size_t size_bytes) {
    while (up->used_bytes[i] <= up->most_bytes[i])
        if (aegis_i_cas_weak(&up->budgets[i]->used_bytes, &up->used_bytes[i],
                             up->used_bytes[i] + size_bytes, memory_order_relaxed,
                             memory_order_relaxed))
            return true;
    return false;
}

/* Subtracts from one budget, but not below 0. Returns what is left. */
static inline size_t subtract(aegis_budget *budget, size_t size_bytes) {
    size_t used_bytes = aegis_i_load(&budget->used_bytes, memory_order_relaxed);
    size_t left_bytes;
    do {
        left_bytes = used_bytes > size_bytes ? used_bytes - size_bytes : 0;
    } while (!aegis_i_cas_weak(&budget->used_bytes, &used_bytes, left_bytes, memory_order_relaxed,
                               memory_order_relaxed));
    return left_bytes;
}

static inline void raise_peak(aegis_budget *budget, size_t used_bytes) {
    size_t peak_bytes = aegis_i_load(&budget->peak_bytes, memory_order_relaxed);
    while (peak_bytes < used_bytes &&
           !aegis_i_cas_weak(&budget->peak_bytes, &peak_bytes, used_bytes, memory_order_relaxed,
                             memory_order_relaxed))
        continue;
}

/* Takes a charge back from number `first` of the way up to the root. */
static AEGIS_I_COLD void take_back(const way *up, size_t first, size_t size_bytes) {
    size_t left_bytes[AEGIS_BUDGET_MAX_DEPTH];
    for (size_t i = first; i < up->count; i++)
        left_bytes[i] = subtract(up->budgets[i], size_bytes);
    /* While this charge was there, others may have been added on top of it. If this charge had
     * reached a threshold and the others still reach it without this charge, they saw no rise: so
     * this thread tells it. */
    for (size_t i = first; i < up->count; i++)
        aegis_i_tell_rise(up->budgets[i], up->used_bytes[i],
                          aegis_i_min(up->used_bytes[i] + size_bytes, left_bytes[i]));
}

aegis_status aegis_i_budget_charge(aegis_budget *budget, size_t size_bytes, aegis_i_refusal *why) {
    way up;
    /* The charge looks first, so that a charge that does not fit is not in the way of others. Only
     * a race for the last bytes is decided by the additions. */
    aegis_budget *full = look(&up, budget, size_bytes, why);
    if (full == NULL) {
        size_t i = up.count;
        while (i != 0 && add(&up, i - 1, size_bytes))
            i--;
        if (i != 0) {
            full = up.budgets[i - 1];
            why->limit_bytes = up.most_bytes[i - 1] + size_bytes;
            why->in_use_bytes = up.used_bytes[i - 1];
            take_back(&up, i, size_bytes);
        }
    }
    if (full != NULL) {
        why->budget = full;
        why->needed_bytes = size_bytes;
        return why->status = AEGIS_E_LIMIT_EXCEEDED;
    }
    /* Peaks are raised only now, because a refused charge must leave none. All are raised before a
     * watcher is told. */
    bool watched = false;
    for (size_t i = 0; i < up.count; i++) {
        raise_peak(up.budgets[i], up.used_bytes[i] + size_bytes);
        watched = watched || aegis_i_watchers_of(up.budgets[i]) != NULL;
    }
    for (size_t i = 0; watched && i < up.count; i++)
        aegis_i_tell_rise(up.budgets[i], up.used_bytes[i], up.used_bytes[i] + size_bytes);
    return AEGIS_OK;
}

aegis_status aegis_budget_charge(aegis_budget *budget, size_t size_bytes, aegis_error *error) {
    aegis_i_refusal why;
    aegis_status status = aegis_i_budget_charge(budget, size_bytes, &why);
    if (status != AEGIS_OK && error != NULL) {
        (void)aegis_i_error_bytes(error, status, size_bytes, 0);
        aegis_i_explain_refusal(&why, error);
    }
    return status;
}

aegis_status aegis_budget_uncharge(aegis_budget *budget, size_t size_bytes) {
    if (budget == NULL)
        return AEGIS_OK;
    size_t used_bytes = aegis_i_load(&budget->used_bytes, memory_order_relaxed);
    do {
        if (used_bytes < size_bytes)
            return AEGIS_E_INVALID;
    } while (!aegis_i_cas_weak(&budget->used_bytes, &used_bytes, used_bytes - size_bytes,
                               memory_order_relaxed, memory_order_relaxed));
    /* What was charged here was charged to each ancestor too. An ancestor has less only if an
     * earlier uncharge named it instead of a budget beneath it: then it comes to 0. That is
     * not reported, because the caller may be in the middle of a change of its own. */
    for (aegis_budget *node = budget->parent; node != NULL; node = node->parent)
        (void)subtract(node, size_bytes);
    return AEGIS_OK;
}

void aegis_budget_set_limit(aegis_budget *budget, size_t limit_bytes) {
    size_t old_bytes = aegis_i_exchange(&budget->limit_bytes, limit_bytes, memory_order_relaxed);
    aegis_i_tell_limit(budget, old_bytes);
}

size_t aegis_i_room(const aegis_budget *budget) {
    size_t room_bytes = SIZE_MAX;
    for (; budget != NULL; budget = budget->parent) {
        size_t limit_bytes = aegis_i_load(&budget->limit_bytes, memory_order_relaxed);
        size_t used_bytes = aegis_i_load(&budget->used_bytes, memory_order_relaxed);
        size_t left_bytes = limit_bytes > used_bytes ? limit_bytes - used_bytes : 0;
        room_bytes = aegis_i_min(room_bytes, left_bytes);
    }
    return room_bytes;
}
