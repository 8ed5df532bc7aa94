/* SPDX-License-Identifier: Apache-2.0 */
/* Pressure functions: which of them a change of the use or of the limit has reached. */
#if !defined(_WIN32) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* for condition.h */
#endif

#include "pressure.h"
#include "../base/arithmetic.h"
#include "../source.h"

/* A function that is told of pressure. It is not removed before its budget is freed. */
struct aegis_i_watcher {
    aegis_i_watcher *next;
    aegis_budget_pressure_fn function;
    void (*destroy)(void *context);
    void *context;
    uint32_t percent;
};

/* The use from which on a watcher is told: its share of the limit, rounded up, and at least 1. */
static size_t threshold_bytes(const aegis_i_watcher *watch, size_t limit_bytes) {
    size_t share_bytes =
        limit_bytes / 100 * watch->percent + (limit_bytes % 100 * watch->percent + 99) / 100;
    return aegis_i_max(share_bytes, 1);
}

void aegis_i_tell_rise(aegis_budget *budget, size_t from_bytes, size_t to_bytes) {
    for (const aegis_i_watcher *watch = aegis_i_watchers_of(budget); watch != NULL;
         watch = watch->next) {
        size_t limit_bytes = aegis_i_load(&budget->limit_bytes, memory_order_relaxed);
        size_t threshold = threshold_bytes(watch, limit_bytes);
        if (from_bytes < threshold && threshold <= to_bytes)
            watch->function(watch->context, to_bytes, limit_bytes);
    }
}

void aegis_i_tell_path(const aegis_i_path *path, size_t size_bytes) {
    for (size_t i = 0; i < path->count; i++)
        aegis_i_tell_rise(path->budgets[i], path->used_bytes[i], path->used_bytes[i] + size_bytes);
}

void aegis_i_tell_limit(aegis_budget *budget, size_t old_bytes) {
    size_t limit_bytes = aegis_i_load(&budget->limit_bytes, memory_order_relaxed);
    size_t used_bytes = aegis_i_budget_used(budget);
    for (const aegis_i_watcher *watch = aegis_i_watchers_of(budget); watch != NULL;
         watch = watch->next)
        if (used_bytes < threshold_bytes(watch, old_bytes) &&
            used_bytes >= threshold_bytes(watch, limit_bytes))
            watch->function(watch->context, used_bytes, limit_bytes);
}

void aegis_i_tell_all(aegis_budget *budget, size_t used_bytes, size_t limit_bytes) {
    for (const aegis_i_watcher *watch = aegis_i_watchers_of(budget); watch != NULL;
         watch = watch->next)
        watch->function(watch->context, used_bytes, limit_bytes);
}

void aegis_i_forget_watchers(aegis_budget *budget) {
    aegis_i_watcher *watch = aegis_i_load(&budget->watchers, memory_order_relaxed);
    while (watch != NULL) {
        aegis_i_watcher *next = watch->next;
        if (watch->destroy != NULL)
            watch->destroy(watch->context);
        aegis_i_record_free(watch);
        watch = next;
    }
}

aegis_status aegis_budget_on_pressure(aegis_budget *budget, uint32_t percent,
                                      aegis_budget_pressure_fn function,
                                      void (*destroy)(void *context), void *context) {
    if (percent < 1 || percent > 100 || function == NULL)
        return AEGIS_E_INVALID;
    aegis_i_watcher *watch = (aegis_i_watcher *)aegis_i_record_new(sizeof *watch);
    if (watch == NULL)
        return AEGIS_E_OUT_OF_MEMORY;
    watch->function = function;
    watch->destroy = destroy;
    watch->context = context;
    watch->percent = percent;
    watch->next = aegis_i_load(&budget->watchers, memory_order_relaxed);
    /* Release pairs with the acquire in aegis_i_watchers_of. No watcher is removed, so a head that
     * has the value seen was not changed in between. */
    while (!aegis_i_cas_weak(&budget->watchers, &watch->next, watch, memory_order_release,
                             memory_order_relaxed))
        continue;
    return AEGIS_OK;
}

size_t aegis_i_budget_watcher_bytes(void) {
    return sizeof(aegis_i_watcher);
}
