/* SPDX-License-Identifier: Apache-2.0 */
/* Why memory was refused, as the core's own functions tell each other. Not installed. */
#ifndef AEGIS_MEMORY_I_BUDGET_REFUSAL_H
#define AEGIS_MEMORY_I_BUDGET_REFUSAL_H

#include "aegis_memory/budget.h"
#include "../base/error_record.h"
#include "../base/port.h"

/* Why memory was refused. If a budget refused it: which budget, AEGIS_REFUSED_*, the limit and the
 * use that the charge found there, which may have changed when the caller reads this, and the bytes
 * of the charge. */
typedef struct aegis_i_refusal {
    aegis_status status;
    uint32_t reason;
    const aegis_budget *budget;
    size_t limit_bytes;
    size_t in_use_bytes;
    size_t needed_bytes;
} aegis_i_refusal;

/* As aegis_error_explain, of a record whose `refused` is not NULL. */
AEGIS_I_HIDDEN size_t aegis_i_explain_refused(const aegis_error *error, char *buffer,
                                              size_t buffer_bytes);
/* Counts a refusal in the budget that refused. */
AEGIS_I_HIDDEN void aegis_i_count_refusal(const aegis_i_refusal *why);

/* Writes into an error record why memory was refused. If a budget refused it, that includes the
 * budget's limit and use, and the bytes of the charge. */
static inline void aegis_i_explain_refusal(const aegis_i_refusal *why, aegis_error *error) {
    error->status = why->status;
    error->refused = why->budget;
    if (why->budget == NULL)
        return;
    error->refusal = why->reason;
    error->limit_bytes = why->limit_bytes;
    error->in_use_bytes = why->in_use_bytes;
    error->needed_bytes = why->needed_bytes;
}

/* The same for a request that asked for `size_bytes` of a budget itself. `error` may be NULL. */
static inline void aegis_i_explain_charge(const aegis_i_refusal *why, size_t size_bytes,
                                          aegis_error *error) {
    if (error == NULL)
        return;
    (void)aegis_i_error_bytes(error, why->status, size_bytes, 0);
    aegis_i_explain_refusal(why, error);
}

#endif
