/* SPDX-License-Identifier: Apache-2.0 */
/* What is told of a refused charge: the budget that refused, its largest consumers, the sentence.
 *
 * The limit, the use and the bytes of the charge are those that the charge met, so they always add
 * up: bytes in use and bytes to be charged are together above the limit. The consumers are read
 * afterwards, when the use may have changed. */
#if !defined(_WIN32) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* for condition.h */
#endif

#include "../base/sized.h"
#include "../base/text.h"
#include "consumers.h"
#include "refusal.h"
#include "state.h"

void aegis_i_count_refusal(const aegis_i_refusal *why) {
    aegis_budget *budget = (aegis_budget *)(uintptr_t)why->budget;
    (void)aegis_i_add(&budget->refused_count, 1, memory_order_relaxed);
}

static void read_refusal(const aegis_error *error, aegis_budget_refusal *refusal) {
    memset(refusal, 0, sizeof *refusal);
    if (error->refused == NULL)
        return;
    aegis_budget *budget = (aegis_budget *)(uintptr_t)error->refused;
    aegis_i_consumers consumers = {0};
    bool locked = aegis_i_mutex_lock(&budget->lock);
    aegis_budget_get_figures(budget, &refusal->budget);
    refusal->direct_bytes = refusal->budget.used_bytes;
    if (locked) {
        refusal->direct_bytes =
            aegis_i_note_consumers(budget, refusal->budget.used_bytes, 0, &consumers);
        aegis_i_mutex_unlock(&budget->lock);
    }
    refusal->consumer_count = consumers.count;
    memcpy(refusal->consumers, consumers.largest, sizeof refusal->consumers);
    refusal->budget.limit_bytes = error->limit_bytes;
    refusal->budget.used_bytes = error->in_use_bytes;
    refusal->requested_bytes = error->requested_bytes;
    refusal->needed_bytes = error->needed_bytes;
    refusal->reason = error->refusal;
}

void aegis_budget_get_refusal_sized(const aegis_error *error, aegis_budget_refusal *refusal,
                                    size_t refusal_bytes) {
    aegis_budget_refusal filled;
    read_refusal(error, &filled);
    aegis_i_copy_sized(refusal, refusal_bytes, &filled, sizeof filled);
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

size_t aegis_budget_explain_sized(const aegis_budget_refusal *given, size_t refusal_bytes,
                                  char *buffer, size_t buffer_bytes) {
    aegis_budget_refusal copy;
    const aegis_budget_refusal *refusal =
        (const aegis_budget_refusal *)aegis_i_known_part(given, refusal_bytes, &copy, sizeof copy);
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

size_t aegis_i_explain_refused(const aegis_error *error, char *buffer, size_t buffer_bytes) {
    aegis_budget_refusal refusal;
    read_refusal(error, &refusal);
    return aegis_budget_explain(&refusal, buffer, buffer_bytes);
}
