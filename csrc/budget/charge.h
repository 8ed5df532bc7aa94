/* SPDX-License-Identifier: Apache-2.0 */
/* The functions of a budget, beside the public ones, that the objects which charge it use. Not
 * installed. */
#ifndef AEGIS_MEMORY_I_BUDGET_CHARGE_H
#define AEGIS_MEMORY_I_BUDGET_CHARGE_H

#include "aegis_memory/budget.h"
#include "../base/error_record.h"
#include "../base/port.h"

/* The bytes that a budget takes from the C heap, for the error when the heap has none. */
AEGIS_I_HIDDEN size_t aegis_i_budget_bytes(void);
/* Whether the budget's children are lost in this process, so that no further child can be made. */
AEGIS_I_HIDDEN bool aegis_i_budget_is_lost(aegis_budget *budget);

/* Why memory was refused. If a budget refused it: which budget, the limit and the use that the
 * charge found there, which may have changed when the caller reads this, and the bytes of the
 * charge. */
typedef struct aegis_i_refusal {
    aegis_status status;
    const aegis_budget *budget;
    size_t limit_bytes;
    size_t in_use_bytes;
    size_t needed_bytes;
} aegis_i_refusal;

/* As aegis_budget_charge. A refusal is written into `why`; a charge that succeeds leaves `why` as
 * it is. */
AEGIS_I_HIDDEN aegis_status aegis_i_budget_charge(aegis_budget *budget, size_t size_bytes,
                                                  aegis_i_refusal *why);

/* The most bytes that the budget, which may be NULL, and its ancestors would accept now as one
 * charge. Another thread may take them before the caller does. */
AEGIS_I_HIDDEN size_t aegis_i_room(const aegis_budget *budget);

/* Writes into an error record why memory was refused. If a budget refused it, that includes the
 * budget's limit and use, and the bytes of the charge. */
static inline void aegis_i_explain_refusal(const aegis_i_refusal *why, aegis_error *error) {
    error->status = why->status;
    error->refused = why->budget;
    if (why->budget == NULL)
        return;
    error->limit_bytes = why->limit_bytes;
    error->in_use_bytes = why->in_use_bytes;
    error->needed_bytes = why->needed_bytes;
}

#endif
