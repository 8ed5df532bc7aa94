/* SPDX-License-Identifier: Apache-2.0 */
/* The terms of a budget: its limit, its guarantee, its weight and its policy, all of which may
 * change at run time. What they mean for charges is in gate.c. */
#if !defined(_WIN32) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* for condition.h */
#endif

#include "../base/arithmetic.h"
#include "../base/sized.h"
#include "gate.h"
#include "pressure.h"
#include "reclaim.h"

/* The record to fill in, which the caller may not want. */
static aegis_error *record(aegis_error *wanted, aegis_error *unwanted) {
    return wanted != NULL ? wanted : unwanted;
}

static void store_limit(aegis_budget *budget, size_t limit_bytes) {
    aegis_i_store(&budget->limit_bytes, limit_bytes, memory_order_relaxed);
    aegis_i_store(&budget->counter_limit_bytes, aegis_i_min(limit_bytes, AEGIS_I_COUNTER_MAX),
                  memory_order_relaxed);
}

void aegis_budget_set_limit(aegis_budget *budget, size_t limit_bytes) {
    bool has_gate = aegis_i_gate_enter(budget);
    size_t old_bytes = aegis_i_load(&budget->limit_bytes, memory_order_relaxed);
    store_limit(budget, limit_bytes);
    if (has_gate) {
        /* If the limit is raised again, the ancestors may have no room for the old guarantee. So it
         * is lowered for good. */
        if (aegis_i_load(&budget->guaranteed_bytes, memory_order_relaxed) > limit_bytes)
            aegis_i_gate_set_terms(budget, limit_bytes,
                                   aegis_i_load(&budget->weight, memory_order_relaxed));
        aegis_i_gate_serve(budget);
        aegis_i_gate_leave(budget);
    }
    if (aegis_i_budget_used(budget) > limit_bytes)
        aegis_i_reclaim_excess(budget);
    aegis_i_tell_limit(budget, old_bytes);
}

/* Sets the guarantee if the ancestors have room for it. The caller has the gate. */
static aegis_status set_guarantee(aegis_budget *budget, size_t guaranteed_bytes,
                                  aegis_i_refusal *why) {
    /* Otherwise charges without the gate could take the room in between. */
    (void)aegis_i_gate_freeze_way(budget, NULL);
    size_t old_bytes = aegis_i_gate_claim(budget);
    size_t new_bytes = aegis_i_gate_claim_with(budget, guaranteed_bytes);
    size_t more_bytes = new_bytes > old_bytes ? new_bytes - old_bytes : 0;
    aegis_status status = AEGIS_OK;
    if (aegis_i_gate_refuses_claim(budget->parent, more_bytes, why) != NULL)
        status = why->status;
    else
        aegis_i_gate_set_terms(budget, guaranteed_bytes,
                               aegis_i_load(&budget->weight, memory_order_relaxed));
    aegis_i_gate_serve(budget);
    return status;
}

aegis_status aegis_budget_set_guarantee(aegis_budget *budget, size_t guaranteed_bytes,
                                        aegis_error *error) {
    aegis_error unwanted;
    error = record(error, &unwanted);
    aegis_i_refusal why = {AEGIS_E_FORKED, AEGIS_REFUSED_LIMIT, NULL, 0, 0, 0};
    aegis_status status = AEGIS_E_FORKED;
    if (aegis_i_gate_enter(budget)) {
        size_t most_bytes =
            aegis_i_min(aegis_i_load(&budget->limit_bytes, memory_order_relaxed), PTRDIFF_MAX);
        if (guaranteed_bytes > most_bytes) {
            aegis_i_gate_leave(budget);
            return aegis_i_error_refuse(error, AEGIS_E_INVALID, AEGIS_WHAT_GUARANTEE,
                                        guaranteed_bytes, most_bytes);
        }
        status = set_guarantee(budget, guaranteed_bytes, &why);
        aegis_i_gate_leave(budget);
    }
    if (status != AEGIS_OK)
        aegis_i_explain_charge(&why, guaranteed_bytes, error);
    return status;
}

aegis_status aegis_budget_set_weight(aegis_budget *budget, uint32_t weight, aegis_error *error) {
    aegis_error unwanted;
    error = record(error, &unwanted);
    if (weight > AEGIS_BUDGET_MAX_WEIGHT)
        return aegis_i_error_refuse(error, AEGIS_E_INVALID, AEGIS_WHAT_WEIGHT, weight,
                                    AEGIS_BUDGET_MAX_WEIGHT);
    if (!aegis_i_gate_enter(budget))
        return aegis_i_error_bytes(error, AEGIS_E_FORKED, 0, 0);
    aegis_i_gate_set_terms(budget, aegis_i_load(&budget->guaranteed_bytes, memory_order_relaxed),
                           weight);
    aegis_i_gate_serve(budget);
    aegis_i_gate_leave(budget);
    return AEGIS_OK;
}

aegis_status aegis_budget_set_policy(aegis_budget *budget, uint32_t policy, aegis_error *error) {
    aegis_error unwanted;
    error = record(error, &unwanted);
    aegis_status status = AEGIS_E_BUSY;
    if (policy > AEGIS_BUDGET_FAIR)
        return aegis_i_error_refuse(error, AEGIS_E_INVALID, AEGIS_WHAT_POLICY, policy,
                                    AEGIS_BUDGET_FAIR);
    if (!aegis_i_gate_enter(budget))
        return aegis_i_error_bytes(error, AEGIS_E_FORKED, 0, 0);
    /* New children join with the gate, so the list does not change here. */
    if (budget->first_child == NULL && aegis_i_budget_used(budget) == 0) {
        status = AEGIS_OK;
        aegis_i_store(&budget->policy, policy, memory_order_relaxed);
        if (policy == AEGIS_BUDGET_FAIR)
            aegis_i_gate_freeze(budget);
    }
    aegis_i_gate_thaw(budget);
    aegis_i_gate_leave(budget);
    if (status != AEGIS_OK)
        return aegis_i_error_refuse(error, status, AEGIS_WHAT_USED_BUDGET, policy, 0);
    return AEGIS_OK;
}

static void read_terms(aegis_budget *budget, aegis_budget_terms *terms) {
    bool is_share, has_gate = aegis_i_gate_enter(budget);
    memset(terms, 0, sizeof *terms);
    terms->guaranteed_bytes = aegis_i_load(&budget->guaranteed_bytes, memory_order_relaxed);
    terms->share_bytes = has_gate ? aegis_i_gate_cap(budget, &is_share)
                                  : aegis_i_load(&budget->limit_bytes, memory_order_relaxed);
    terms->weight = aegis_i_load(&budget->weight, memory_order_relaxed);
    terms->policy = aegis_i_load(&budget->policy, memory_order_relaxed);
    if (!has_gate)
        return;
    /* The threads that waited in a parent process are not in this one. */
    if (budget->generation == budget->root->gate.generation)
        terms->waiting_count = aegis_i_load(&budget->waiting_count, memory_order_relaxed);
    for (const aegis_budget *node = budget; node != NULL; node = node->parent)
        terms->closed |= node->closed ? 1 : 0;
    aegis_i_gate_leave(budget);
}

void aegis_budget_get_terms_sized(aegis_budget *budget, aegis_budget_terms *terms,
                                  size_t terms_bytes) {
    aegis_budget_terms filled;
    read_terms(budget, &filled);
    aegis_i_copy_sized(terms, terms_bytes, &filled, sizeof filled);
}
