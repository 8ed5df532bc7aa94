/* SPDX-License-Identifier: Apache-2.0 */
/* What the objects that charge a budget use of it beside its public functions. Not installed. */
#ifndef AEGIS_MEMORY_I_BUDGET_H
#define AEGIS_MEMORY_I_BUDGET_H

#include "aegis_memory/budget.h"
#include "base/port.h"

/* The bytes that a budget takes of the C heap, for the error when they are not to be had. */
AEGIS_I_HIDDEN size_t aegis_i_budget_bytes(void);
/* The same for a function that is told of pressure. */
AEGIS_I_HIDDEN size_t aegis_i_budget_watcher_bytes(void);
/* Whether the budget's children are lost in this process, so that no more can be made. */
AEGIS_I_HIDDEN bool aegis_i_budget_is_lost(aegis_budget *budget);

/* Why memory was refused, and by which budget if that is why, with the figures that the charge
 * met: they may be others by the time that somebody asks. */
typedef struct aegis_i_refusal {
    aegis_status status;
    const aegis_budget *budget;
    size_t limit_bytes;
    size_t in_use_bytes;
} aegis_i_refusal;

/* As aegis_budget_charge; a refusal is written into `why`, which is else left as it is. */
AEGIS_I_HIDDEN aegis_status aegis_i_budget_charge(aegis_budget *budget, size_t size_bytes,
                                                  aegis_i_refusal *why);

#endif
