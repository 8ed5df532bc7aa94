/* SPDX-License-Identifier: Apache-2.0 */
/* Making and freeing budgets. The tree and its locks are described in state.h. */
#if !defined(_WIN32) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* for condition.h */
#endif

#include "charge.h"
#include "../base/arithmetic.h"
#include "../source.h"
#include "gate.h"
#include "peak_record.h"
#include "pressure.h"
#include "reclaim.h"
#include "state.h"
#include "../base/text.h"

/* Sets what does not depend on the parent. False: there is no condition variable to be had. */
static bool init(aegis_budget *budget, const char *name, size_t limit_bytes) {
    aegis_i_atomic_init(&budget->used_bytes, 0);
    aegis_i_atomic_init(&budget->peak_bytes, 0);
    aegis_i_atomic_init(&budget->record_due_bytes, AEGIS_I_RECORD_NEVER);
    aegis_i_atomic_init(&budget->limit_bytes, limit_bytes);
    aegis_i_atomic_init(&budget->counter_limit_bytes,
                        aegis_i_min(limit_bytes, AEGIS_I_COUNTER_MAX));
    aegis_i_atomic_init(&budget->watchers, NULL);
    aegis_i_atomic_init(&budget->reference_count, 1);
    aegis_i_atomic_init(&budget->weight, AEGIS_BUDGET_DEFAULT_WEIGHT);
    budget->root = budget;
    aegis_i_atomic_init(&budget->waiting_count, 0);
    aegis_i_atomic_init(&budget->refused_count, 0);
    aegis_i_atomic_init(&budget->wait_count, 0);
    aegis_i_atomic_init(&budget->timeout_count, 0);
    aegis_i_atomic_init(&budget->reclaim_count, 0);
    aegis_i_atomic_init(&budget->reclaimed_bytes, 0);
    aegis_i_copy_name(budget->name, name != NULL ? name : "", AEGIS_BUDGET_NAME_BYTES);
    if (!aegis_i_condition_init(&budget->gate.session_ended))
        return false;
    aegis_i_mutex_init(&budget->lock);
    aegis_i_mutex_init(&budget->gate.mutex);
    return true;
}

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

/* Puts a budget into its parent's list. False: the list is lost in this process. The gate, if
 * there is one, is held, because a parent that shares fairly counts its children. */
static bool link_to(aegis_budget *budget, aegis_budget *parent) {
    if (!aegis_i_mutex_lock(&parent->lock))
        return false;
    if (!parent->recorded)
        aegis_i_peak_first_child(parent);
    (void)aegis_budget_retain(parent);
    budget->parent = parent;
    budget->root = parent->root;
    budget->level = parent->level + 1;
    budget->previous_sibling = parent->last_child;
    if (parent->last_child != NULL)
        parent->last_child->next_sibling = budget;
    else
        parent->first_child = budget;
    parent->last_child = budget;
    aegis_i_mutex_unlock(&parent->lock);
    return true;
}

aegis_budget *aegis_budget_new(const char *name, size_t limit_bytes, aegis_budget *parent) {
    if (parent != NULL && parent->level + 1 >= AEGIS_BUDGET_MAX_DEPTH)
        return NULL;
    aegis_budget *budget = (aegis_budget *)aegis_i_record_new(sizeof *budget);
    if (budget == NULL)
        return NULL;
    if (!init(budget, name, limit_bytes)) {
        aegis_i_record_free(budget);
        return NULL;
    }
    if (parent == NULL)
        return budget;
    bool has_gate = aegis_i_gate_enter(parent);
    bool linked = link_to(budget, parent);
    if (has_gate) {
        if (linked)
            aegis_i_gate_join(budget);
        aegis_i_gate_leave(parent);
    }
    if (linked)
        return budget;
    fini(budget);
    return NULL;
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

size_t aegis_i_budget_bytes(void) {
    return sizeof(aegis_budget);
}

bool aegis_i_budget_is_lost(aegis_budget *budget) {
    if (!aegis_i_mutex_lock(&budget->lock))
        return true;
    aegis_i_mutex_unlock(&budget->lock);
    return false;
}
