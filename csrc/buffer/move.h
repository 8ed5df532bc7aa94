/* SPDX-License-Identifier: Apache-2.0 */
/* What owners have in common whose memory is charged to a budget. Not installed.
 *
 * Any handle can move the charge, while other threads use and release other handles.
 * 1. A word of the owner says which budget is charged (aegis_i_charged). A mover sets a flag in it
 *    by a compare-and-swap, so there is one mover at a time. A second mover fails at once, and so
 *    does a function that the move itself runs (aegis_i_buffer_exchange).
 * 2. A mover has a handle, so the memory is not released meanwhile. The release reads the word
 *    after the last reference was given up, which orders it after every mover.
 * 3. The word has a reference to its budget. Only the mover with the flag and the release give it
 *    up. So the budget from which a move starts is alive throughout.
 * So each move charges once and uncharges once, and the release uncharges the budget that the last
 * move has charged. In a child process the flag of a mover that was stopped by the fork stays. Its
 * handle stays too, so the memory is never released there, and a move is refused. */
#ifndef AEGIS_MEMORY_I_BUFFER_MOVE_H
#define AEGIS_MEMORY_I_BUFFER_MOVE_H

#include "../base/atomics.h"
#include "../budget/charge.h"
#include "owner.h"

/* How the memory of an owner moves to another budget. It is of the copy of this library that made
 * the owner: only that copy knows what lies behind an aegis_i_charged_owner. */
typedef struct aegis_i_owner_kind {
    aegis_status (*move)(aegis_buffer_owner *owner, aegis_budget *budget, aegis_error *error);
} aegis_i_owner_kind;

/* Which budget is charged: its address and flags. Without AEGIS_I_CHARGED_AWAY it is the budget of
 * the pool that the memory comes from, without a reference. */
typedef _Atomic uintptr_t aegis_i_charged;
#define AEGIS_I_CHARGED_MOVING ((uintptr_t)1)
#define AEGIS_I_CHARGED_AWAY ((uintptr_t)2)

/* An owner with the flag AEGIS_I_BUFFER_CHARGED, as every copy of this library in the process knows
 * it. What is charged is `owner.retained_bytes`. */
typedef struct aegis_i_charged_owner {
    aegis_buffer_owner owner;
    /* NULL: the memory is charged to no budget, and what follows is not there. */
    const aegis_i_owner_kind *kind;
    aegis_i_charged charged;
} aegis_i_charged_owner;

/* What the word of a piece of memory with a budget of its own begins with. Takes a reference. */
static inline uintptr_t aegis_i_charged_to(aegis_budget *budget) {
    if (budget != NULL)
        (void)aegis_budget_retain(budget);
    return (uintptr_t)budget | AEGIS_I_CHARGED_AWAY;
}

/* The budget that the release of the memory finds in the word. */
static inline aegis_budget *aegis_i_charged_budget(const aegis_i_charged_owner *memory) {
    /* Relaxed: the last reference was given up, see 2 above. */
    uintptr_t seen = aegis_i_load(&memory->charged, memory_order_relaxed);
    return (aegis_budget *)(seen & ~(AEGIS_I_CHARGED_MOVING | AEGIS_I_CHARGED_AWAY));
}

/* Charges the budget that an object keeps at `patience->place`, and makes the word of memory that
 * is charged there. A function of the user's may move the object meanwhile: then the charge begins
 * again at the new budget. A refusal is written into `why`. */
AEGIS_I_HIDDEN aegis_status aegis_i_buffer_charge(aegis_i_patience *patience, size_t size_bytes,
                                                  uintptr_t *word, aegis_i_refusal *why);
/* Takes that back. */
AEGIS_I_HIDDEN void aegis_i_buffer_uncharge(uintptr_t word, size_t size_bytes);
/* Moves the memory to `budget`. `home` is the budget that is charged while the word is not away.
 * If `release` is not NULL, it becomes the release function, which no other thread reads or writes
 * meanwhile (1 and 2 above). On failure nothing has changed; `error` may be NULL. */
AEGIS_I_HIDDEN aegis_status aegis_i_buffer_exchange(aegis_i_charged_owner *memory,
                                                    aegis_budget *home,
                                                    void (*release)(aegis_buffer_owner *owner),
                                                    aegis_budget *budget, aegis_error *error);
/* Sets a flag of the word, which keeps other movers out. False: another mover is there, and `error`
 * says so. */
AEGIS_I_HIDDEN bool aegis_i_buffer_begin_move(aegis_i_charged_owner *memory, uintptr_t *seen,
                                              aegis_error *error);
/* Gives the flag back, and stores the word that the move has made. */
static inline void aegis_i_buffer_end_move(aegis_i_charged_owner *memory, uintptr_t word) {
    /* Release pairs with the acquire in aegis_i_buffer_begin_move. */
    aegis_i_store(&memory->charged, word, memory_order_release);
}

#endif
