/* SPDX-License-Identifier: Apache-2.0 */
/* The largest consumers beneath a budget, for refusals and for records of a peak.
 *
 * The counters are read one after the other while other threads may change them, so the numbers of
 * several budgets are not of one moment. Each number was true when it was read. */
#if !defined(_WIN32) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* for condition.h */
#endif

#include "consumers.h"
#include "../base/arithmetic.h"

/* Inserts a budget to which so many bytes are charged directly, if it is one of the largest. */
static void note(aegis_i_consumers *consumers, const aegis_budget *budget, size_t direct_bytes,
                 uint32_t depth) {
    size_t place = consumers->count;
    while (place > 0 && consumers->largest[place - 1].used_bytes < direct_bytes)
        place--;
    if (place == AEGIS_BUDGET_CONSUMERS)
        return;
    if (consumers->count < AEGIS_BUDGET_CONSUMERS)
        consumers->count++;
    memmove(&consumers->largest[place + 1], &consumers->largest[place],
            (consumers->count - 1 - place) * sizeof consumers->largest[0]);
    aegis_budget_get_figures(budget, &consumers->largest[place]);
    consumers->largest[place].used_bytes = direct_bytes;
    consumers->largest[place].depth = depth;
}

/* AEGIS_BUDGET_MAX_DEPTH bounds the recursion. */
size_t aegis_i_note_consumers(aegis_budget *budget, size_t used_bytes, uint32_t depth,
                              aegis_i_consumers *consumers) {
    size_t beneath_bytes = 0;
    for (aegis_budget *child = budget->first_child; child != NULL; child = child->next_sibling) {
        size_t child_bytes = aegis_i_budget_used(child);
        beneath_bytes += aegis_i_min(child_bytes, SIZE_MAX - beneath_bytes);
        /* If the children of the child are lost, it counts as if all were charged to it. */
        if (aegis_i_mutex_lock(&child->lock)) {
            child_bytes = aegis_i_note_consumers(child, child_bytes, depth + 1, consumers);
            aegis_i_mutex_unlock(&child->lock);
        }
        if (child_bytes != 0)
            note(consumers, child, child_bytes, depth + 1);
    }
    /* The budget's own use was read first, so the children may seem to have more. */
    return used_bytes > beneath_bytes ? used_bytes - beneath_bytes : 0;
}
