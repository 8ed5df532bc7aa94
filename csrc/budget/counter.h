/* SPDX-License-Identifier: Apache-2.0 */
/* The steps of charges and uncharges on one counter without the gate: see charge.c. Not
 * installed. */
#ifndef AEGIS_MEMORY_I_BUDGET_COUNTER_H
#define AEGIS_MEMORY_I_BUDGET_COUNTER_H

#include "state.h"

/* Adds to a counter, which was last seen as `*used_bytes` and may be at most `most_bytes` before
 * that. False: it is more, or the counter is gated. */
static inline bool aegis_i_counter_add(aegis_budget *budget, size_t *used_bytes, size_t size_bytes,
                                       size_t most_bytes) {
    /* Acquire pairs with the release in aegis_budget_take_peak. */
    while (*used_bytes <= most_bytes)
        if (aegis_i_cas_weak(&budget->used_bytes, used_bytes, *used_bytes + size_bytes,
                             memory_order_acquire, memory_order_relaxed))
            return true;
    return false;
}

/* Subtracts from a counter. False: the counter is gated, or smaller than that. `size_bytes` is at
 * most AEGIS_I_COUNTER_MAX. So one comparison finds both cases, because the difference is above
 * AEGIS_I_COUNTER_MAX in both. */
static inline bool aegis_i_counter_subtract(aegis_budget *budget, size_t size_bytes,
                                            size_t *left_bytes) {
    size_t used_bytes = aegis_i_load(&budget->used_bytes, memory_order_relaxed);
    do {
        *left_bytes = used_bytes - size_bytes;
        if (AEGIS_UNLIKELY(*left_bytes > AEGIS_I_COUNTER_MAX))
            return false;
    } while (!aegis_i_cas_weak(&budget->used_bytes, &used_bytes, *left_bytes, memory_order_relaxed,
                               memory_order_relaxed));
    return true;
}

#endif
