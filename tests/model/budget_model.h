/* SPDX-License-Identifier: Apache-2.0 */
/* What the models of budgets share: a root with two leaves, charges and releases of which each is
 * noted, and the checks of what is in use, of peak and of pressure. Only the file of a model that
 * has `main` includes this header. */
#ifndef MODEL_BUDGET_MODEL_H
#define MODEL_BUDGET_MODEL_H

#include "budget/state.h"
#include "plain_system.h"

#include <string.h>

#define LEAVES 2
#define THRESHOLD_PERCENT 60

static aegis_budget *root;
static aegis_budget *leaves[LEAVES];
/* These are plain, because a thread reads and writes them only between two atomic operations, where
 * no other thread runs. */
static size_t limit_bytes;
static size_t held_bytes[1 + LEAVES];
static size_t moving_bytes;
static size_t most_held_bytes;
static size_t most_used_bytes;
static size_t last_used_bytes;
static int rise_count;
static int told_count;
static int unclear_count;
/* Whether all charges fit beside each other. If not, one may be refused at first, take back what it
 * has added, and succeed when it is tried again: then the use has risen one time more. */
static bool all_fit;
static int refused_count;
static int freed_count;

/* The bytes in use of a budget, read by an atomic operation that the scheduler does not see. */
static inline size_t used(const aegis_budget *budget) {
    size_t bytes = atomic_load_explicit(&budget->used_bytes, memory_order_relaxed);
    return bytes <= AEGIS_I_COUNTER_MAX
               ? bytes
               : atomic_load_explicit(&budget->held_bytes, memory_order_relaxed);
}

static inline size_t threshold(void) {
    return limit_bytes / 100 * THRESHOLD_PERCENT +
           (limit_bytes % 100 * THRESHOLD_PERCENT + 99) / 100;
}

/* Checks what must be true at every moment. */
static inline void observe(void) {
    size_t use = used(root), beneath_bytes = 0;
    MODEL_CHECK(use <= limit_bytes);
    for (size_t i = 0; i < LEAVES; i++) {
        MODEL_CHECK(used(leaves[i]) <= use + moving_bytes - beneath_bytes);
        MODEL_CHECK(held_bytes[1 + i] <= used(leaves[i]));
        beneath_bytes += used(leaves[i]);
    }
    MODEL_CHECK(held_bytes[0] <= use + moving_bytes - beneath_bytes);
    MODEL_CHECK(held_bytes[0] + held_bytes[1] + held_bytes[2] + moving_bytes <= use);
    if (last_used_bytes < threshold() && use >= threshold())
        rise_count++;
    last_used_bytes = use;
    if (most_used_bytes < use)
        most_used_bytes = use;
}

static inline void tell(void *context, size_t used_bytes, size_t limit) {
    (void)context;
    MODEL_CHECK(limit == limit_bytes && used_bytes >= threshold());
    /* More than the limit: a refused charge is told. The largest number may be either. */
    told_count += used_bytes <= limit;
    unclear_count += used_bytes == SIZE_MAX;
}

static inline void note_freed(void *context) {
    (void)context;
    freed_count++;
}

/* Whether peaks of the root are recorded. They are not where they would only add schedules. */
static inline void record(bool recorded) {
    root->recorded = recorded;
    root->record.reached_bytes = root->record.used_bytes = 0;
    root->record_due_bytes = recorded ? 1 : AEGIS_I_RECORD_NEVER;
}

/* Makes a root and its leaves. The first leaf has a limit of its own. */
static inline void make(size_t limit, size_t leaf_limit) {
    limit_bytes = limit;
    memset(held_bytes, 0, sizeof held_bytes);
    moving_bytes = 0;
    most_held_bytes = most_used_bytes = last_used_bytes = 0;
    all_fit = false;
    rise_count = told_count = unclear_count = refused_count = freed_count = 0;
    root = aegis_budget_new("root", limit, NULL);
    leaves[0] = aegis_budget_new("first", leaf_limit, root);
    leaves[1] = aegis_budget_new("second", AEGIS_BUDGET_UNLIMITED, root);
    record(false);
    MODEL_CHECK(aegis_budget_on_pressure(root, THRESHOLD_PERCENT, tell, note_freed, NULL) ==
                AEGIS_OK);
}

/* The budgets by number: the root, then the leaves. */
static inline aegis_budget *budget_of(int which) {
    return which == 0 ? root : leaves[which - 1];
}

static inline bool charge(int which, size_t size_bytes) {
    aegis_error error;
    aegis_status status = aegis_budget_charge(budget_of(which), size_bytes, &error);
    if (status != AEGIS_OK) {
        MODEL_CHECK(status == AEGIS_E_LIMIT_EXCEEDED);
        MODEL_CHECK(error.refused == budget_of(which) || error.refused == root);
        /* The sum may be above SIZE_MAX. */
        MODEL_CHECK(error.needed_bytes > error.limit_bytes ||
                    error.in_use_bytes > error.limit_bytes - error.needed_bytes);
        refused_count++;
        return false;
    }
    held_bytes[which] += size_bytes;
    size_t sum_bytes = held_bytes[0] + held_bytes[1] + held_bytes[2];
    if (most_held_bytes < sum_bytes)
        most_held_bytes = sum_bytes;
    return true;
}

static inline void release(int which, size_t size_bytes) {
    held_bytes[which] -= size_bytes;
    MODEL_CHECK(aegis_budget_uncharge(budget_of(which), size_bytes) == AEGIS_OK);
}

/* Uncharges all that is held, and destroys the budgets. */
static inline void take_apart(void) {
    for (int which = 0; which < 1 + LEAVES; which++)
        release(which, held_bytes[which]);
    for (size_t i = 0; i < LEAVES; i++)
        aegis_budget_destroy(leaves[i]);
    MODEL_CHECK(freed_count == 0);
    aegis_budget_destroy(root);
    MODEL_CHECK(freed_count == 1);
}

/* Demands that the bytes in use are the bytes held, and that peak and pressure are right. */
static inline void end(void) {
    aegis_budget_figures figures;
    observe();
    MODEL_CHECK(used(leaves[0]) == held_bytes[1] && used(leaves[1]) == held_bytes[2]);
    MODEL_CHECK(used(root) == held_bytes[0] + held_bytes[1] + held_bytes[2]);
    aegis_budget_get_figures(root, &figures);
    MODEL_CHECK(figures.peak_bytes >= most_held_bytes && figures.peak_bytes <= most_used_bytes);
    /* If a charge that was refused in the end made the use rise, no thread has to be told. */
    MODEL_CHECK(told_count - unclear_count <= rise_count);
    MODEL_CHECK(!all_fit || told_count == rise_count);
    MODEL_CHECK(used(root) < threshold() || told_count != 0);
    take_apart();
}

#endif
