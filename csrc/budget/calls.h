/* SPDX-License-Identifier: Apache-2.0 */
/* The calls by which an arena or a pool uses its budget. An object finds them in the budget itself.
 * So a program that makes no budget links none of their code, which tests/linked holds. Each
 * function here accepts NULL, which is no budget. Not installed. */
#ifndef AEGIS_MEMORY_I_BUDGET_CALLS_H
#define AEGIS_MEMORY_I_BUDGET_CALLS_H

#include "../base/port.h"
#include "patience.h"
#include "refusal.h"

/* The functions behind the calls, each as where it is declared. The second field of a budget points
 * to them (struct aegis_budget in state.h). */
typedef struct aegis_i_budget_calls {
    /* aegis_budget_retain, aegis_budget_destroy, aegis_budget_uncharge */
    aegis_budget *(*retain)(aegis_budget *budget);
    void (*destroy)(aegis_budget *budget);
    aegis_status (*uncharge)(aegis_budget *budget, size_t size_bytes);
    /* aegis_i_budget_charge_patiently, aegis_i_polled_charge, aegis_i_room */
    aegis_status (*charge)(aegis_budget *budget, size_t size_bytes, aegis_i_patience *patience,
                           aegis_i_refusal *why);
    aegis_status (*polled_charge)(aegis_i_polled *polled, aegis_budget *budget, size_t size_bytes,
                                  aegis_i_refusal *why);
    size_t (*room)(const aegis_budget *budget);
    /* aegis_i_explain_refused */
    size_t (*explain)(const aegis_error *error, char *buffer, size_t buffer_bytes);
} aegis_i_budget_calls;

static inline const aegis_i_budget_calls *aegis_i_calls_of(const aegis_budget *budget) {
    return (const aegis_i_budget_calls *)((const void *const *)(const void *)budget)[1];
}

static inline aegis_budget *aegis_i_budget_keep(aegis_budget *budget) {
    return budget != NULL ? aegis_i_calls_of(budget)->retain(budget) : NULL;
}

static inline void aegis_i_budget_give_up(aegis_budget *budget) {
    if (budget != NULL)
        aegis_i_calls_of(budget)->destroy(budget);
}

/* Charges the budget, or polls it if the patience is that of a polled request. */
static inline aegis_status aegis_i_budget_take(aegis_budget *budget, size_t size_bytes,
                                               aegis_i_patience *patience, aegis_i_refusal *why) {
    if (budget == NULL)
        return AEGIS_OK;
    const aegis_i_budget_calls *calls = aegis_i_calls_of(budget);
    return patience->polled != NULL
               ? calls->polled_charge(patience->polled, budget, size_bytes, why)
               : calls->charge(budget, size_bytes, patience, why);
}

static inline void aegis_i_budget_put_back(aegis_budget *budget, size_t size_bytes) {
    if (budget != NULL)
        (void)aegis_i_calls_of(budget)->uncharge(budget, size_bytes);
}

static inline size_t aegis_i_budget_room(const aegis_budget *budget) {
    return budget != NULL ? aegis_i_calls_of(budget)->room(budget) : SIZE_MAX;
}

#endif
