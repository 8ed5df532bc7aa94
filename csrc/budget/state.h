/* SPDX-License-Identifier: Apache-2.0 */
/* The fields of a budget, for this folder and for tests that set a counter close to its maximum.
 * Not installed.
 *
 * Invariants of the tree:
 * 1. A budget's lock guards its list of children, with their links to each other. Locks are taken
 *    from parent to child (snapshot in report.c and note_direct in refusal.c), so threads cannot
 *    wait in a circle.
 * 2. A child holds a reference to its parent (aegis_budget_new, aegis_budget_destroy), and leaves
 *    the parent's list under the parent's lock before it is freed (unlink_from_parent).
 * 3. Whatever reads the list or its links takes the lock first.
 *
 * So a thread that holds the lock of a budget may read the budget's children.
 *
 * In a child process the list is lost if another thread held its lock at the fork: the lock is
 * broken there (base/mutex.h). By 3 no thread reads the list or the links of its budgets again, so
 * such a budget is freed without being taken out of the list. */
#ifndef AEGIS_MEMORY_I_BUDGET_STATE_H
#define AEGIS_MEMORY_I_BUDGET_STATE_H

#include "aegis_memory/budget.h"
#include "../base/atomics.h"
#include "../base/mutex.h"

typedef struct aegis_i_watcher aegis_i_watcher;

struct aegis_budget {
    _Atomic size_t used_bytes;
    _Atomic size_t peak_bytes;
    _Atomic size_t limit_bytes;
    /* The functions that aegis_budget_on_pressure registered, newest first. */
    _Atomic(aegis_i_watcher *) watchers;
    aegis_budget *parent;
    /* Above AEGIS_I_MAX_REFERENCES it does not say the number of references any more, and the
     * budget is never freed. */
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
