/* SPDX-License-Identifier: Apache-2.0 */
/* What gate.c, queue.c and move.c share: short ways to read a budget under the gate. Not
 * installed. */
#ifndef AEGIS_MEMORY_I_BUDGET_GATED_H
#define AEGIS_MEMORY_I_BUDGET_GATED_H

#include "../base/arithmetic.h"
#include "state.h"

static inline size_t load(const AEGIS_I_ATOMIC(size_t) * counter) {
    return aegis_i_load(counter, memory_order_relaxed);
}

static inline void store(AEGIS_I_ATOMIC(size_t) * counter, size_t value) {
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

static inline size_t total_of(const aegis_budget *budget) {
    return sum_of(load(&budget->held_bytes), load(&budget->reserved_bytes));
}

/* What the budget would claim of its parent with that guarantee and that total. What is on the move
 * out of it is about to be claimed by the other side, so no guarantee covers it. */
static inline size_t claim_with(const aegis_budget *budget, size_t guaranteed_bytes,
                                size_t total_bytes) {
    size_t staying_bytes = difference_of(total_bytes, budget->moving_bytes);
    return sum_of(aegis_i_max(guaranteed_bytes, staying_bytes), budget->moving_bytes);
}

/* The same with the guarantee that it has. */
static inline size_t claim_of(const aegis_budget *budget, size_t total_bytes) {
    return claim_with(budget, load(&budget->guaranteed_bytes), total_bytes);
}

/* What the total of a gated budget grows by when `size_bytes` are charged to a child whose claim
 * grows by `claim_bytes`: the rest was reserved. Less than that is reserved only after an uncharge
 * that named the wrong budget. */
static inline size_t growth_of(const aegis_budget *budget, size_t size_bytes, size_t claim_bytes) {
    return size_bytes - aegis_i_min(load(&budget->reserved_bytes), size_bytes - claim_bytes);
}

/* What the claim of a gated budget grows by when its total grows by `more_bytes`. */
static inline size_t claim_growth(const aegis_budget *budget, size_t more_bytes) {
    size_t total_bytes = total_of(budget);
    return claim_of(budget, sum_of(total_bytes, more_bytes)) - claim_of(budget, total_bytes);
}

#endif
