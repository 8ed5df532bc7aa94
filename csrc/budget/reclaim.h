/* SPDX-License-Identifier: Apache-2.0 */
/* How a charge that was refused asks the user's functions for memory. Not installed. */
#ifndef AEGIS_MEMORY_I_BUDGET_RECLAIM_H
#define AEGIS_MEMORY_I_BUDGET_RECLAIM_H

#include "refusal.h"
#include "state.h"
#include "../base/port.h"

/* Asks the reclaimers beneath the budget that has refused a charge, until there is room. True: the
 * charge should be tried again. False: nothing more can be reclaimed for it, and if that is because
 * this thread already runs such a function, `why` says so. */
AEGIS_I_HIDDEN bool aegis_i_reclaim(aegis_i_session *session, aegis_budget *budget,
                                    size_t size_bytes, aegis_i_refusal *why);
/* Runs the pressure functions of the budget that has refused a charge. False: it has none, or this
 * thread already runs such a function. */
AEGIS_I_HIDDEN bool aegis_i_tell_refused(aegis_i_session *session, const aegis_i_refusal *why);
/* Asks the reclaimers of a budget whose limit was lowered below its use. */
AEGIS_I_HIDDEN void aegis_i_reclaim_excess(aegis_budget *budget);
/* Takes the reclaimers of a budget that is being freed out of the tree, and destroys them. */
AEGIS_I_HIDDEN void aegis_i_forget_reclaimers(aegis_budget *budget);
/* Gives up a reference to a reclaimer. The caller does not have the gate. */
AEGIS_I_HIDDEN void aegis_i_reclaimer_drop(aegis_budget_reclaimer *reclaimer);

#endif
