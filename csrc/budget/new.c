/* SPDX-License-Identifier: Apache-2.0 */
/* Making budgets, and the calls by which the objects that charge them use them. The tree and its
 * locks are described in state.h. */
#if !defined(_WIN32) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* for condition.h */
#endif

#include "../base/arithmetic.h"
#include "../base/text.h"
#include "../source.h"
#include "calls.h"
#include "charge.h"
#include "gate.h"
#include "peak_record.h"
#include "polled.h"
#include "state.h"

_Static_assert(offsetof(aegis_budget, calls) == sizeof(void *), "objects find it there");

static const aegis_i_budget_calls calls = {
    aegis_budget_retain,
    aegis_budget_destroy,
    aegis_budget_uncharge,
    aegis_i_budget_charge_patiently,
#if defined(AEGIS_OMIT_THREADS) /* Only the locked pools have requests that are polled. */
    NULL,
#else
    aegis_i_polled_charge,
#endif
    aegis_i_room,
    aegis_i_explain_refused,
};

/* Sets what does not depend on the parent. False: there is no condition variable to be had. */
static bool init(aegis_budget *budget, const char *name, size_t limit_bytes) {
    budget->calls = &calls;
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
    aegis_budget_destroy(budget);
    return NULL;
}

size_t aegis_i_budget_bytes(void) {
    return sizeof(aegis_budget);
}
