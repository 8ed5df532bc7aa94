/* SPDX-License-Identifier: Apache-2.0 */
/* A budget's fields, for budget.c and for tests that bring a counter close to its end. Not
 * installed. */
#ifndef AEGIS_MEMORY_I_BUDGET_STRUCT_H
#define AEGIS_MEMORY_I_BUDGET_STRUCT_H

#include "aegis_memory/budget.h"
#include "base/atomics.h"
#include "base/mutex.h"

typedef struct aegis_i_watcher aegis_i_watcher;

struct aegis_budget {
    _Atomic size_t used_bytes;
    _Atomic size_t peak_bytes;
    _Atomic size_t limit_bytes;
    /* What on_pressure registered, newest first. */
    _Atomic(aegis_i_watcher *) watchers;
    aegis_budget *parent;
    /* Above AEGIS_I_MAX_REFERENCES it has lost track of the references, and the budget is never
     * freed. */
    _Atomic size_t reference_count;
    aegis_i_mutex lock;
    aegis_budget *first_child;
    aegis_budget *last_child;
    aegis_budget *previous_sibling;
    aegis_budget *next_sibling;
    uint32_t level;
    char name[AEGIS_BUDGET_NAME_BYTES];
};

#endif
