/* SPDX-License-Identifier: Apache-2.0 */
/* Registering reclaimers, and removing them: see reclaim.c. */
#if !defined(_WIN32) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* for condition.h */
#endif

#include "reclaimer.h"
#include "../source.h"
#include "gate.h"
#include "reclaim.h"

aegis_status aegis_budget_on_reclaim(aegis_budget *budget, int32_t priority, uint32_t flags,
                                     aegis_budget_reclaim_fn function,
                                     void (*destroy)(void *context), void *context,
                                     aegis_budget_reclaimer **reclaimer) {
    if (function == NULL || (flags & ~AEGIS_RECLAIM_OWN_LAST) != 0)
        return AEGIS_E_INVALID;
    aegis_budget_reclaimer *made = (aegis_budget_reclaimer *)aegis_i_record_new(sizeof *made);
    if (made == NULL)
        return AEGIS_E_OUT_OF_MEMORY;
    made->budget = budget;
    made->function = function;
    made->destroy = destroy;
    made->context = context;
    made->priority = priority;
    made->flags = flags;
    aegis_i_atomic_init(&made->reference_count, reclaimer != NULL ? 2 : 1);
    if (!aegis_i_gate_enter(budget)) {
        aegis_i_record_free(made);
        return AEGIS_E_FORKED;
    }
    aegis_i_gate *gate = &budget->root->gate;
    made->asked_by = gate->session_marks;
    made->next = gate->reclaimers;
    gate->reclaimers = made;
    /* Relaxed: a charge that does not see it yet began before this call returned. */
    aegis_i_store(&gate->has_callees, 1, memory_order_relaxed);
    aegis_i_gate_leave(budget);
    if (reclaimer != NULL) {
        (void)aegis_budget_retain(budget);
        *reclaimer = made;
    }
    return AEGIS_OK;
}

void aegis_budget_reclaimer_remove(aegis_budget_reclaimer *reclaimer) {
    if (reclaimer == NULL)
        return;
    /* The handle has a reference to the budget, so that is there. */
    aegis_budget *budget = reclaimer->budget;
    if (aegis_i_gate_enter(budget)) {
        aegis_budget_reclaimer **link = &budget->root->gate.reclaimers;
        while (*link != reclaimer)
            link = &(*link)->next;
        *link = reclaimer->next;
        aegis_i_gate_leave(budget);
    }
    /* Without the gate no thread of this process looks into the list, so the list's reference ends
     * in either case. */
    aegis_i_reclaimer_drop(reclaimer);
    aegis_i_reclaimer_drop(reclaimer);
    aegis_budget_destroy(budget);
}

void aegis_budget_reclaimer_keep(aegis_budget_reclaimer *reclaimer) {
    if (reclaimer == NULL)
        return;
    aegis_budget *budget = reclaimer->budget;
    aegis_i_reclaimer_drop(reclaimer);
    aegis_budget_destroy(budget);
}

void aegis_budget_reclaimer_notify(aegis_budget_reclaimer *reclaimer) {
    size_t waiting_count = 0;
    if (reclaimer == NULL)
        return;
    /* Release pairs with the acquire in count_in (queue.c): a request that this addition does not
     * see comes to its queue after it. So when the function is asked for that request, it sees
     * what this thread did before. */
    for (aegis_budget *node = reclaimer->budget; node != NULL; node = node->parent)
        waiting_count |= aegis_i_add(&node->waiting_count, 0, memory_order_acq_rel);
    if (waiting_count == 0 || !aegis_i_gate_enter(reclaimer->budget))
        return;
    aegis_i_gate_ask_again(reclaimer->budget);
    aegis_i_gate_leave(reclaimer->budget);
}

size_t aegis_i_budget_reclaimer_bytes(void) {
    return sizeof(aegis_budget_reclaimer);
}
