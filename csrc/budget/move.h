/* SPDX-License-Identifier: Apache-2.0 */
/* Moving a charge from one budget to another: in one step, or in two for an object that changes
 * its own record in between. Not installed. */
#ifndef AEGIS_MEMORY_I_BUDGET_MOVE_H
#define AEGIS_MEMORY_I_BUDGET_MOVE_H

#include "charge.h"

/* A move is a begin, and then an end or a cancel with the same arguments. Each budget may be NULL,
 * which is no budget. The caller has a reference to each budget until the move is over. */

/* Charges what is `to`'s alone. On failure `why` says why: a budget refused, or with
 * AEGIS_E_INVALID `from` has less than `size_bytes`; nothing was changed. It may run functions of
 * the user's. */
AEGIS_I_HIDDEN aegis_status aegis_i_move_begin(aegis_budget *from, aegis_budget *to,
                                               size_t size_bytes, aegis_i_refusal *why);
/* Uncharges what is `from`'s alone. AEGIS_E_INVALID: `from` has less than `size_bytes` and is
 * unchanged; the caller cancels the move. */
AEGIS_I_HIDDEN aegis_status aegis_i_move_end(aegis_budget *from, aegis_budget *to,
                                             size_t size_bytes);
/* Takes back what the begin has charged. */
AEGIS_I_HIDDEN void aegis_i_move_cancel(aegis_budget *from, aegis_budget *to, size_t size_bytes);

/* As aegis_budget_move. A failure is written into `why`. */
AEGIS_I_HIDDEN aegis_status aegis_i_budget_move(aegis_budget *from, aegis_budget *to,
                                                size_t size_bytes, aegis_i_refusal *why);

/* Writes the record of a move that failed, if the caller wants it. Returns the status. */
AEGIS_I_HIDDEN aegis_status aegis_i_explain_move(const aegis_i_refusal *why, size_t size_bytes,
                                                 aegis_error *error);

#endif
