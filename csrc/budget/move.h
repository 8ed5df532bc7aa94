/* SPDX-License-Identifier: Apache-2.0 */
/* Moving a charge from one budget to another: in one step, or in two for an object that changes
 * its own record in between. Not installed. */
#ifndef AEGIS_MEMORY_I_BUDGET_MOVE_H
#define AEGIS_MEMORY_I_BUDGET_MOVE_H

#include "charge.h"
#include "../base/atomics.h"

/* A move is a begin, and then an end or a cancel. Each budget may be NULL, which is no budget. The
 * caller has a reference to each budget until the move is over. */

/* Sets `move`, and charges what is `to`'s alone. On failure `why` says why: a budget refused, or
 * with AEGIS_E_INVALID `from` has less than `size_bytes`; nothing was changed. It may run functions
 * of the user's. */
AEGIS_I_HIDDEN aegis_status aegis_i_move_begin(struct aegis_i_move *move, aegis_budget *from,
                                               aegis_budget *to, size_t size_bytes,
                                               aegis_i_refusal *why);
/* Uncharges what is `from`'s alone. AEGIS_E_INVALID: `from` has less than `size_bytes` and is
 * unchanged; the caller cancels the move. */
AEGIS_I_HIDDEN aegis_status aegis_i_move_end(struct aegis_i_move *move);
/* Takes back what the begin has charged. */
AEGIS_I_HIDDEN void aegis_i_move_cancel(struct aegis_i_move *move);

/* As aegis_budget_move. A failure is written into `why`. */
AEGIS_I_HIDDEN aegis_status aegis_i_budget_move(aegis_budget *from, aegis_budget *to,
                                                size_t size_bytes, aegis_i_refusal *why);

/* Moves bytes back to the budget of the pool that they come from, which cannot refuse them: its use
 * may be above its limit afterwards. Runs no pressure function and no reclaimer. */
AEGIS_I_HIDDEN void aegis_i_move_home(aegis_budget *from, aegis_budget *home, size_t size_bytes);

/* An object that is moved with all that it has charged. */
typedef struct aegis_i_movable {
    void *object;
    /* Sets `*place` to where the object keeps its budget, and `*held_bytes` to what is charged
     * there for it. If the object has a lock, takes it. On failure the object cannot be moved:
     * AEGIS_E_FORKED, AEGIS_E_INVALID, or AEGIS_E_BUSY, which `busy_what` explains. */
    aegis_status (*look)(void *object, aegis_budget ***place, size_t *held_bytes);
    /* Follows each look that has succeeded: gives the lock back. If `moved`, the object has
     * its new budget, and its error record must not name a budget any more: the old one may be
     * freed soon. */
    void (*leave)(void *object, bool moved);
    /* AEGIS_WHAT_*. */
    uint32_t busy_what;
} aegis_i_movable;

/* Moves what an object has charged, and its reference, to `to`, which may be NULL. No function of
 * the user's runs between a look and a leave. On failure the object is unchanged; `error` may be
 * NULL. */
AEGIS_I_HIDDEN aegis_status aegis_i_move_object(const aegis_i_movable *movable, aegis_budget *to,
                                                aegis_error *error);

/* The budgets that an object was ever charged to. An object that other threads use during a move
 * keeps them until it is finished, because a record of such a thread may still name the old one. */
typedef struct aegis_i_former {
    struct aegis_i_former *next;
    aegis_budget *budget;
} aegis_i_former;

/* As aegis_i_move_object. Keeps `to` in the list, once. AEGIS_E_OUT_OF_MEMORY: there is no memory
 * for its entry. */
AEGIS_I_HIDDEN aegis_status aegis_i_move_shared(const aegis_i_movable *movable, aegis_budget *to,
                                                AEGIS_I_ATOMIC(aegis_i_former *) * list,
                                                aegis_error *error);
/* Gives up the budgets of the list, which no thread uses any more. */
AEGIS_I_HIDDEN void aegis_i_forget_former(AEGIS_I_ATOMIC(aegis_i_former *) * list);

/* Writes the record of a move that failed, if the caller wants it. Returns the status. */
AEGIS_I_HIDDEN aegis_status aegis_i_explain_move(const aegis_i_refusal *why, size_t size_bytes,
                                                 aegis_error *error);

#endif
