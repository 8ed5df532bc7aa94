/* SPDX-License-Identifier: Apache-2.0 */
/* Charges and uncharges under the gate, the lock of a tree of budgets. Not installed.
 *
 * A file that includes this header defines _GNU_SOURCE first, except on Windows. */
#ifndef AEGIS_MEMORY_I_BUDGET_GATE_H
#define AEGIS_MEMORY_I_BUDGET_GATE_H

#include "refusal.h"
#include "state.h"

/* Takes the gate of the budget's tree. False: it cannot be had in this process (see base/mutex.h).
 */
AEGIS_I_HIDDEN bool aegis_i_gate_enter(aegis_budget *budget);
/* Gives the gate up, and then calls the wakers that are due. */
AEGIS_I_HIDDEN void aegis_i_gate_leave(aegis_budget *budget);
/* Gives the gate up. The caller has settled no request since it took the gate. If wakers are due,
 * the thread that calls one of them will take the gate again, and call the others. */
static inline void aegis_i_gate_leave_quietly(aegis_budget *budget) {
    aegis_i_mutex_unlock(&budget->root->gate.mutex);
}
/* Makes each gated counter up to `stop` an open one, because the gate cannot be had in this
 * process. The guarantees, weights and promises are void then. */
AEGIS_I_HIDDEN void aegis_i_gate_give_up(aegis_budget *budget, const aegis_budget *stop);

/* Subtracts from an open budget, but not below 0. */
AEGIS_I_HIDDEN void aegis_i_gate_subtract_open(aegis_budget *budget, size_t size_bytes);

/* All functions below are called with the gate. */

/* Counts the bytes in use of a budget under the gate. */
AEGIS_I_HIDDEN void aegis_i_gate_freeze(aegis_budget *budget);
/* The same for the budgets from `budget` up to, and with, `last`. False: they were gated already.
 */
AEGIS_I_HIDDEN bool aegis_i_gate_freeze_way(aegis_budget *budget, const aegis_budget *last);
/* Lets each budget from `budget` up to the root be counted without the gate if it can be. */
AEGIS_I_HIDDEN void aegis_i_gate_thaw(aegis_budget *budget);

/* Makes a charge, to the budgets from `budget` up to, and without, `stop`. `self` is the request
 * that waits, or NULL, or &aegis_i_gate_back: then all budgets of the way are gated, and none of
 * them refuses. NULL: it was made, and `path` says what was in use before. Otherwise the
 * budget that refuses, and `why`; nothing has changed. */
AEGIS_I_HIDDEN aegis_budget *aegis_i_gate_charge(aegis_i_path *path, aegis_budget *budget,
                                                 const aegis_budget *stop, size_t size_bytes,
                                                 const aegis_i_budget_waiter *self,
                                                 aegis_i_refusal *why);
/* Stands for bytes that come back to the budget that was charged for them before. */
extern AEGIS_I_HIDDEN const aegis_i_budget_waiter aegis_i_gate_back;
/* Takes bytes off the budgets from `budget` up to, and without, `stop`. They were charged to
 * `child`, whose counter is not gated and has less already, or to `budget` itself if that is NULL.
 */
AEGIS_I_HIDDEN void aegis_i_gate_uncharge(aegis_budget *budget, const aegis_budget *child,
                                          const aegis_budget *stop, size_t size_bytes);
/* Whether the budgets from `budget` up accept that the claim of a child grows. All of them are
 * gated. Returns the one that refuses, or NULL. */
AEGIS_I_HIDDEN aegis_budget *aegis_i_gate_refuses_claim(aegis_budget *budget, size_t more_bytes,
                                                        aegis_i_refusal *why);
/* What must be free at `budget` so that the request is not refused there; 0 when it is not. */
AEGIS_I_HIDDEN size_t aegis_i_gate_lacking(aegis_budget *charged, const aegis_budget *budget,
                                           size_t size_bytes);

/* What a budget claims of its parent: what it has in use and keeps free, but at least its
 * guarantee and what is on the move out of it.
 */
AEGIS_I_HIDDEN size_t aegis_i_gate_claim(const aegis_budget *budget);
/* What it would claim with that guarantee. */
AEGIS_I_HIDDEN size_t aegis_i_gate_claim_with(const aegis_budget *budget, size_t guaranteed_bytes);
/* Tells the budgets above that the claim of a budget was `old_bytes` and has changed, although no
 * bytes were charged. `counted`: the shares of its parent have the new claim already. */
AEGIS_I_HIDDEN void aegis_i_gate_shift_claim(aegis_budget *budget, size_t old_bytes, bool counted);
/* Tells the ancestors that a budget, or one beneath it, begins or ceases to have a guarantee, or a
 * move out of it. */
AEGIS_I_HIDDEN void aegis_i_gate_guard(aegis_budget *budget, bool guarded);
/* The most that a budget may have in total now: its limit, or its fair share if that is less. */
AEGIS_I_HIDDEN size_t aegis_i_gate_cap(const aegis_budget *budget, bool *is_share);

/* Counts a new child of a budget that divides its room among its children. */
AEGIS_I_HIDDEN void aegis_i_gate_join(aegis_budget *budget);
/* Takes a budget that is being freed out of what its ancestors count. */
AEGIS_I_HIDDEN void aegis_i_gate_part(aegis_budget *budget);
/* Sets what a budget is guaranteed, and its weight. The ancestors have room for the claim. */
AEGIS_I_HIDDEN void aegis_i_gate_set_terms(aegis_budget *budget, size_t guaranteed_bytes,
                                           uint32_t weight);

/* Whether the limits on the way would allow the charge if nothing else was in use. If not, it is of
 * no use to wait. */
AEGIS_I_HIDDEN bool aegis_i_gate_may_ever_fit(const aegis_budget *budget, size_t size_bytes);
/* Puts a request into the queue of the budget that has refused it. That budget, and those below
 * that the request is to charge, are gated. The request goes to the end, or to the front if it had
 * passed this budget before its limit or share was lowered. */
AEGIS_I_HIDDEN void aegis_i_gate_wait_at(aegis_i_budget_waiter *waiter, aegis_budget *refusing);
/* Takes a request out of its queue, and its promises back. The caller then serves the queues. */
AEGIS_I_HIDDEN void aegis_i_gate_forget(aegis_i_budget_waiter *waiter);
/* Makes the charges of the requests that wait at the budgets from `budget` up, as far as there is
 * room now, then lets the budgets be counted without the gate where they can be. */
AEGIS_I_HIDDEN void aegis_i_gate_serve(aegis_budget *budget);
/* The same, and the requests that are still the first then ask the reclaimers again. */
AEGIS_I_HIDDEN void aegis_i_gate_ask_again(aegis_budget *budget);

#endif
