/* SPDX-License-Identifier: Apache-2.0 */
/* The largest consumers beneath a budget. Not installed. */
#ifndef AEGIS_MEMORY_I_BUDGET_CONSUMERS_H
#define AEGIS_MEMORY_I_BUDGET_CONSUMERS_H

#include "state.h"
#include "../base/port.h"

typedef struct aegis_i_consumers {
    /* How many of `largest` are set. */
    size_t count;
    /* The largest first. Their `used_bytes` is what is charged to them directly. */
    aegis_budget_figures largest[AEGIS_BUDGET_CONSUMERS];
} aegis_i_consumers;

/* Adds the budgets beneath a budget to the list, as far as they are among the largest. Returns what
 * is charged to the budget directly, if `used_bytes` are in use there. The caller holds the
 * budget's lock. `depth` is that of the budget in the list. */
AEGIS_I_HIDDEN size_t aegis_i_note_consumers(aegis_budget *budget, size_t used_bytes,
                                             uint32_t depth, aegis_i_consumers *consumers);

#endif
