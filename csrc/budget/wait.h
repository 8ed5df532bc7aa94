/* SPDX-License-Identifier: Apache-2.0 */
/* Charges that wait. Not installed. */
#ifndef AEGIS_MEMORY_I_BUDGET_WAIT_H
#define AEGIS_MEMORY_I_BUDGET_WAIT_H

#include "gate.h"

#if defined(AEGIS_OMIT_THREADS)

/* There is no other thread that could make room, so the refusal of the charge before this stands.
 */
static inline aegis_status aegis_i_budget_wait(aegis_budget *budget, size_t size_bytes,
                                               aegis_i_patience *patience, aegis_i_path *path,
                                               aegis_i_refusal *why) {
    (void)budget;
    (void)size_bytes;
    (void)patience;
    (void)path;
    return why->status;
}

#else

/* Charges a budget, and waits for room as `patience` says. AEGIS_OK: `path` says what was in use
 * before the charge. AEGIS_PENDING: the wait has ended because the thread was called back, or
 * because the object was moved; nothing is charged. Any other status: `why` says why not, as it is
 * when the time is up. */
AEGIS_I_HIDDEN aegis_status aegis_i_budget_wait(aegis_budget *budget, size_t size_bytes,
                                                aegis_i_patience *patience, aegis_i_path *path,
                                                aegis_i_refusal *why);

#endif

/* Makes a request that is in no queue yet. The caller has the gate. */
AEGIS_I_HIDDEN void aegis_i_waiter_init(aegis_i_budget_waiter *waiter, aegis_budget *budget,
                                        size_t size_bytes,
                                        void (*settle)(aegis_i_budget_waiter *waiter));
/* Makes the charge, or puts the request into the queue of the budget that refuses it.
 * AEGIS_PENDING: it waits. Any other status but AEGIS_OK: it is of no use to wait, and `why` says
 * why. The caller has the gate. */
AEGIS_I_HIDDEN aegis_status aegis_i_waiter_start(aegis_i_budget_waiter *waiter,
                                                 aegis_i_refusal *why);
/* Ends a request that was started. If it still waits, makes the last attempt. Returns how it has
 * ended; `why` says why there is no charge. The caller has the gate. */
AEGIS_I_HIDDEN aegis_status aegis_i_waiter_end(aegis_i_budget_waiter *waiter, aegis_i_refusal *why);
/* Whether a request waits and the reclaimers are to be asked for it now: it is the first in its
 * queue, and since it came there they were not asked for it, or one can free more. The caller has
 * the gate. */
AEGIS_I_HIDDEN bool aegis_i_waiter_is_to_ask(const aegis_i_budget_waiter *waiter);
/* Asks the reclaimers for a request, if they are to be asked. Afterwards they may be to be asked
 * again. The caller has the gate, which is given up meanwhile. False: it cannot be had again. */
AEGIS_I_HIDDEN bool aegis_i_waiter_reclaim(aegis_i_budget_waiter *waiter);
/* Takes back what a request has or waits for. The caller has the gate. */
AEGIS_I_HIDDEN void aegis_i_waiter_withdraw(aegis_i_budget_waiter *waiter);
/* Says in `why` that a budget cannot be charged any more. Returns `status`. */
AEGIS_I_HIDDEN aegis_status aegis_i_refuse_ended(const aegis_budget *budget, size_t size_bytes,
                                                 aegis_status status, aegis_i_refusal *why);

#endif
