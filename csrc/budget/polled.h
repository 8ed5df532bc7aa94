/* SPDX-License-Identifier: Apache-2.0 */
/* The room in a budget that a polled request of a pool waits for. Not installed. */
#ifndef AEGIS_MEMORY_I_BUDGET_POLLED_H
#define AEGIS_MEMORY_I_BUDGET_POLLED_H

#include "../base/port.h"
#include "patience.h"
#include "refusal.h"

/* Charges a budget, or enters its queue. AEGIS_PENDING: the request waits. If aegis_i_polled_arm is
 * called for it, the waker of the poll is called when the budget has room. Any other status: there
 * is no request any more. The caller holds no lock. */
AEGIS_I_HIDDEN aegis_status aegis_i_polled_charge(aegis_i_polled *polled, aegis_budget *budget,
                                                  size_t size_bytes, aegis_i_refusal *why);
/* Begins a poll with this waker. */
AEGIS_I_HIDDEN void aegis_i_polled_begin(aegis_i_polled *polled, aegis_wake_fn wake, void *context);
/* The poll ends and leaves the request, whose waker may be called from now on. False: the budget
 * has called before this, and the poll is to ask again. If that was so too often, true, and
 * `is_to_wake` is set: the poll calls aegis_i_polled_wake when it has left everything. */
AEGIS_I_HIDDEN bool aegis_i_polled_arm(aegis_i_polled *polled);
/* Calls the waker of a poll that has left its request, if `is_to_wake`. The caller holds no
 * lock. */
AEGIS_I_HIDDEN void aegis_i_polled_wake(bool is_to_wake, aegis_wake_fn wake, void *context);
/* Whether the caller may call the waker that a poll has given the pool: the budget has not called
 * it, and will not. The caller has taken the waker out of the pool's request. */
AEGIS_I_HIDDEN bool aegis_i_polled_claim(aegis_i_polled *polled);
/* Takes back what the request has or waits for. The caller holds no lock. */
AEGIS_I_HIDDEN void aegis_i_polled_end(aegis_i_polled *polled);

#endif
