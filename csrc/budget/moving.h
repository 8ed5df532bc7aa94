/* SPDX-License-Identifier: Apache-2.0 */
/* What is on the move from one budget to another, under the gate. Not installed.
 *
 * A file that includes this header defines _GNU_SOURCE first, except on Windows. */
#ifndef AEGIS_MEMORY_I_BUDGET_MOVING_H
#define AEGIS_MEMORY_I_BUDGET_MOVING_H

#include "gate.h"

/* A charge that is moved. `from` and `to` may be NULL, which is no budget. The caller has a
 * reference to each until the move is over. */
typedef struct aegis_i_move {
    aegis_budget *from;
    aegis_budget *to;
    /* The lowest budget that is above both, or one of them. NULL: there is none. */
    aegis_budget *stop;
    size_t size_bytes;
    /* The budgets from `from` up to, and without, `stop` count the bytes in `moving_bytes`. */
    bool counted;
} aegis_i_move;

/* Where the way of a charge ends: it charges the budgets below. */
static inline aegis_budget *aegis_i_stop_of(const aegis_i_move *move) {
    return move != NULL ? move->stop : NULL;
}

/* Whether the move may have to be counted, so that it must be made under the gate. */
static inline bool aegis_i_move_may_be_counted(const aegis_i_move *move) {
    return move != NULL && move->stop != NULL && move->from != move->stop &&
           aegis_i_load(&move->stop->used_bytes, memory_order_relaxed) == AEGIS_I_COUNTER_GATED;
}

/* All functions below are called with the gate. */

/* As aegis_i_gate_charge, for the beginning of a move: the charge of its new budget. If there are
 * guarantees beneath `stop`, the bytes are counted as moving from now on. NULL: it was made.
 * Otherwise the budget that refuses, which may be `stop` or above it: it has no room for a
 * guarantee that the move would leave unused. `move` may be NULL, for a charge. */
AEGIS_I_HIDDEN aegis_budget *aegis_i_gate_begin_move(aegis_i_path *path, aegis_budget *to,
                                                     aegis_i_move *move, size_t size_bytes,
                                                     const aegis_i_budget_waiter *self,
                                                     aegis_i_refusal *why);
/* Ends a move that is counted: takes its bytes off the old budget, or off the new one if it is
 * `cancelled`. AEGIS_E_INVALID: the old budget has less than that, and nothing has changed. */
AEGIS_I_HIDDEN aegis_status aegis_i_gate_end_move(aegis_i_move *move, bool cancelled);

#endif
