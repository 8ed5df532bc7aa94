/* SPDX-License-Identifier: Apache-2.0 */
/* What gate.c and queue.c share: short ways to read a budget under the gate. Not installed. */
#ifndef AEGIS_MEMORY_I_BUDGET_GATED_H
#define AEGIS_MEMORY_I_BUDGET_GATED_H

#include "state.h"

static inline size_t load(const _Atomic size_t *counter) {
    return aegis_i_load(counter, memory_order_relaxed);
}

static inline void store(_Atomic size_t *counter, size_t value) {
    aegis_i_store(counter, value, memory_order_relaxed);
}

static inline size_t sum_of(size_t a, size_t b) {
    return a > SIZE_MAX - b ? SIZE_MAX : a + b;
}

static inline size_t difference_of(size_t a, size_t b) {
    return a > b ? a - b : 0;
}

/* Forgets the waiters of a parent process. Returns the budget. */
static inline aegis_budget *renew(aegis_budget *budget) {
    uint64_t generation = budget->root->gate.generation;
    if (AEGIS_UNLIKELY(budget->generation != generation)) {
        budget->generation = generation;
        budget->first_waiter = budget->last_waiter = NULL;
        budget->promised_bytes = budget->waiting_bytes = 0;
        budget->waiting_beneath_count = 0;
        store(&budget->waiting_count, 0);
    }
    return budget;
}

static inline bool is_gated(const aegis_budget *budget) {
    return load(&budget->used_bytes) == AEGIS_I_COUNTER_GATED;
}

static inline bool is_fair(const aegis_budget *budget) {
    return budget != NULL &&
           aegis_i_load(&budget->policy, memory_order_relaxed) == AEGIS_BUDGET_FAIR;
}

#endif
