/* SPDX-License-Identifier: Apache-2.0 */
/* The statistics of budgets, one by one and as a tree. */
#if !defined(_WIN32) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* for condition.h */
#endif

#include "../base/sized.h"
#include "state.h"

static void read_figures(const aegis_budget *budget, uint32_t depth,
                         aegis_budget_figures *figures) {
    memset(figures, 0, sizeof *figures);
    memcpy(figures->name, budget->name, sizeof figures->name);
    figures->used_bytes = aegis_i_budget_used(budget);
    figures->peak_bytes = aegis_i_load(&budget->peak_bytes, memory_order_relaxed);
    figures->limit_bytes = aegis_i_load(&budget->limit_bytes, memory_order_relaxed);
    figures->depth = depth;
    figures->level = budget->level;
    figures->waiting_count = aegis_i_load(&budget->waiting_count, memory_order_relaxed);
    figures->refused_count = aegis_i_load(&budget->refused_count, memory_order_relaxed);
    figures->wait_count = aegis_i_load(&budget->wait_count, memory_order_relaxed);
    figures->timeout_count = aegis_i_load(&budget->timeout_count, memory_order_relaxed);
    figures->reclaim_count = aegis_i_load(&budget->reclaim_count, memory_order_relaxed);
    figures->reclaimed_bytes = aegis_i_load(&budget->reclaimed_bytes, memory_order_relaxed);
}

void aegis_budget_get_figures_sized(const aegis_budget *budget, aegis_budget_figures *figures,
                                    size_t figures_bytes) {
    aegis_budget_figures filled;
    read_figures(budget, 0, &filled);
    aegis_i_copy_sized(figures, figures_bytes, &filled, sizeof filled);
}

/* Writes the tree into the entries of `figures_bytes` bytes from number `count` on, as far as there
 * is room. Returns the count with the entries of the tree. AEGIS_BUDGET_MAX_DEPTH bounds the
 * recursion. */
static size_t snapshot(aegis_budget *budget, uint32_t depth, unsigned char *figures,
                       size_t figures_bytes, size_t capacity, size_t count) {
    if (count < capacity) {
        aegis_budget_figures filled;
        read_figures(budget, depth, &filled);
        aegis_i_copy_sized(figures + count * figures_bytes, figures_bytes, &filled, sizeof filled);
    }
    count++;
    if (!aegis_i_mutex_lock(&budget->lock))
        return count;
    for (aegis_budget *child = budget->first_child; child != NULL; child = child->next_sibling)
        count = snapshot(child, depth + 1, figures, figures_bytes, capacity, count);
    aegis_i_mutex_unlock(&budget->lock);
    return count;
}

size_t aegis_budget_snapshot_sized(aegis_budget *budget, aegis_budget_figures *figures,
                                   size_t figures_bytes, size_t capacity) {
    return snapshot(budget, 0, (unsigned char *)figures, figures_bytes, capacity, 0);
}
