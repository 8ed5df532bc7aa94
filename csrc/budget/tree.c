/* SPDX-License-Identifier: Apache-2.0 */
/* References to budgets, and freeing them. new.c makes them. The tree and its locks are described
 * in state.h. */
#if !defined(_WIN32) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* for condition.h */
#endif

#include "charge.h"
#include "../base/arithmetic.h"
#include "../source.h"
#include "gate.h"
#include "pressure.h"
#include "reclaim.h"
#include "state.h"
#include "../base/text.h"

static void fini(aegis_budget *budget) {
    /* A child process first makes the condition variable anew, because threads of its parent may
     * have waited. If the gate is broken, it is left as it is. */
    if (budget->root != budget) {
        aegis_i_condition_fini(&budget->gate.session_ended);
    } else if (aegis_i_gate_enter(budget)) {
        aegis_i_gate_leave(budget);
        aegis_i_condition_fini(&budget->gate.session_ended);
    }
    aegis_i_mutex_fini(&budget->gate.mutex);
    aegis_i_mutex_fini(&budget->lock);
    aegis_i_record_free(budget);
}

aegis_budget *aegis_budget_retain(aegis_budget *budget) {
    size_t seen = aegis_i_load(&budget->reference_count, memory_order_relaxed);
    /* Relaxed: the caller's own reference keeps the budget. */
    while (seen <= AEGIS_I_MAX_REFERENCES &&
           !aegis_i_cas_weak(&budget->reference_count, &seen, seen + 1, memory_order_relaxed,
                             memory_order_relaxed))
        continue;
    return budget;
}

/* Gives up a reference. Returns whether it was the last one. A count above AEGIS_I_MAX_REFERENCES
 * does not say the number of references any more, and stays as it is. */
static bool drop_reference(aegis_budget *budget) {
    size_t seen = aegis_i_load(&budget->reference_count, memory_order_relaxed);
    /* Acquire pairs with the release here in other threads: what each of them did with the budget
     * comes before its end. */
    while (seen <= AEGIS_I_MAX_REFERENCES)
        if (aegis_i_cas_weak(&budget->reference_count, &seen, seen - 1, memory_order_acq_rel,
                             memory_order_relaxed))
            return seen == 1;
    return false;
}

static void unlink_from_parent(aegis_budget *budget) {
    aegis_budget *parent = budget->parent;
    if (!aegis_i_mutex_lock(&parent->lock))
        return;
    if (budget->previous_sibling != NULL)
        budget->previous_sibling->next_sibling = budget->next_sibling;
    else
        parent->first_child = budget->next_sibling;
    if (budget->next_sibling != NULL)
        budget->next_sibling->previous_sibling = budget->previous_sibling;
    else
        parent->last_child = budget->previous_sibling;
    aegis_i_mutex_unlock(&parent->lock);
}

/* Frees a budget to which there is no reference. */
static void free_budget(aegis_budget *budget) {
    size_t used_bytes = aegis_i_budget_used(budget);
    aegis_i_forget_reclaimers(budget);
    if (used_bytes != 0) {
        if (AEGIS_I_DEBUG)
            aegis_i_report("budget '%s' destroyed with %zu bytes charged", budget->name,
                           used_bytes);
        /* No thread can uncharge these bytes any more, so they must leave the ancestors now. */
        (void)aegis_budget_uncharge(budget, used_bytes);
    }
    if (budget->parent != NULL) {
        aegis_budget *parent = budget->parent;
        bool has_gate = aegis_i_gate_enter(parent);
        unlink_from_parent(budget);
        if (has_gate) {
            aegis_i_gate_part(budget);
            aegis_i_gate_serve(parent);
            aegis_i_gate_leave(parent);
        }
    }
    aegis_i_forget_watchers(budget);
    fini(budget);
}

void aegis_budget_destroy(aegis_budget *budget) {
    while (budget != NULL && drop_reference(budget)) {
        aegis_budget *parent = budget->parent;
        free_budget(budget);
        budget = parent;
    }
}

bool aegis_i_budget_is_lost(aegis_budget *budget) {
    if (!aegis_i_mutex_lock(&budget->lock))
        return true;
    aegis_i_mutex_unlock(&budget->lock);
    return false;
}
