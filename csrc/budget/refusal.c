/* SPDX-License-Identifier: Apache-2.0 */
/* What is told of a refused charge: the budget that refused, its largest consumers, the sentence.
 *
 * The limit, the use and the bytes of the charge are those that the charge met, so they always add
 * up: bytes in use and bytes to be charged are together above the limit. The consumers are read
 * afterwards, when the use may have changed. */
#if !defined(_WIN32) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* for condition.h */
#endif

#include "../base/arithmetic.h"
#include "../base/text.h"
#include "refusal.h"
#include "state.h"
#include "../base/threads.h"

/* Inserts a consumer into the list, which is sorted by use, if it is one of the largest. */
static void note_consumer(aegis_budget_refusal *refusal, const aegis_budget_figures *consumer) {
    size_t place = refusal->consumer_count;
    while (place > 0 && refusal->consumers[place - 1].used_bytes < consumer->used_bytes)
        place--;
    if (place == AEGIS_BUDGET_CONSUMERS)
        return;
    if (refusal->consumer_count < AEGIS_BUDGET_CONSUMERS)
        refusal->consumer_count++;
    memmove(&refusal->consumers[place + 1], &refusal->consumers[place],
            (refusal->consumer_count - 1 - place) * sizeof refusal->consumers[0]);
    refusal->consumers[place] = *consumer;
}

/* Notes what is charged directly to a budget, and to each budget beneath it. AEGIS_BUDGET_MAX_DEPTH
 * bounds the recursion. */
static void note_direct(aegis_budget *budget, uint32_t depth, aegis_budget_refusal *refusal) {
    aegis_budget_figures figures;
    size_t beneath_bytes = 0;
    bool locked = aegis_i_mutex_lock(&budget->lock);
    aegis_budget_get_figures(budget, &figures);
    for (aegis_budget *child = locked ? budget->first_child : NULL; child != NULL;
         child = child->next_sibling) {
        size_t used_bytes = aegis_i_budget_used(child);
        beneath_bytes += aegis_i_min(used_bytes, SIZE_MAX - beneath_bytes);
        note_direct(child, depth + 1, refusal);
    }
    if (locked)
        aegis_i_mutex_unlock(&budget->lock);
    /* The counters are read one after the other, so the children may seem to have more than the
     * budget. */
    size_t direct_bytes =
        figures.used_bytes > beneath_bytes ? figures.used_bytes - beneath_bytes : 0;
    if (depth == 0) {
        refusal->budget = figures;
        refusal->direct_bytes = direct_bytes;
    } else if (direct_bytes != 0) {
        figures.used_bytes = direct_bytes;
        figures.depth = depth;
        note_consumer(refusal, &figures);
    }
}

void aegis_i_count_refusal(const aegis_i_refusal *why) {
    aegis_budget *budget = (aegis_budget *)(uintptr_t)why->budget;
    (void)aegis_i_add(&budget->refused_count, 1, memory_order_relaxed);
}

void aegis_budget_get_refusal(const aegis_error *error, aegis_budget_refusal *refusal) {
    memset(refusal, 0, sizeof *refusal);
    if (error->refused == NULL)
        return;
    note_direct((aegis_budget *)(uintptr_t)error->refused, 0, refusal);
    refusal->budget.limit_bytes = error->limit_bytes;
    refusal->budget.used_bytes = error->in_use_bytes;
    refusal->requested_bytes = error->requested_bytes;
    refusal->needed_bytes = error->needed_bytes;
    refusal->reason = error->refusal;
}

/* What the limit is called that was not kept, and the words behind the bytes in use. */
static const struct {
    const char *limit;
    const char *behind;
} reasons[] = {
    [AEGIS_REFUSED_LIMIT] = {"limit", ""},
    [AEGIS_REFUSED_SHARE] = {"its fair share is", ""},
    [AEGIS_REFUSED_QUEUE] = {"limit", " or asked for by requests that came earlier"},
    [AEGIS_REFUSED_NESTED] = {"limit", ", asked from inside a reclaimer or pressure function"},
    [AEGIS_REFUSED_GUARANTEE] = {"limit", " or guaranteed"},
};

size_t aegis_budget_explain(const aegis_budget_refusal *refusal, char *buffer,
                            size_t buffer_bytes) {
    aegis_i_text text = {buffer, buffer_bytes, 0};
    aegis_i_text_add(&text, "budget '%s' refused %zu bytes", refusal->budget.name,
                     refusal->needed_bytes);
    if (refusal->needed_bytes != refusal->requested_bytes)
        aegis_i_text_add(&text, " for a request of %zu bytes", refusal->requested_bytes);
    uint32_t reason = refusal->reason <= AEGIS_REFUSED_GUARANTEE ? refusal->reason : 0;
    aegis_i_text_add(&text, ": %s %zu bytes, %zu bytes in use%s", reasons[reason].limit,
                     refusal->budget.limit_bytes, refusal->budget.used_bytes,
                     reasons[reason].behind);
    for (size_t i = 0; i < refusal->consumer_count; i++)
        aegis_i_text_add(&text, "%s'%s' %zu bytes", i == 0 ? "; largest: " : ", ",
                         refusal->consumers[i].name, refusal->consumers[i].used_bytes);
    if (refusal->direct_bytes != 0 && refusal->consumer_count != 0)
        aegis_i_text_add(&text, "; %zu bytes held directly", refusal->direct_bytes);
    return text.length;
}
