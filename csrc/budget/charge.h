/* SPDX-License-Identifier: Apache-2.0 */
/* The functions of a budget, beside the public ones, that the objects which charge it use. Not
 * installed. */
#ifndef AEGIS_MEMORY_I_BUDGET_CHARGE_H
#define AEGIS_MEMORY_I_BUDGET_CHARGE_H

#include "aegis_memory/budget_arbitration.h"
#include "../base/port.h"
#include "patience.h"
#include "refusal.h"

struct aegis_i_move; /* moving.h */

/* The bytes that a budget takes from the C heap, for the error when the heap has none. */
AEGIS_I_HIDDEN size_t aegis_i_budget_bytes(void);
/* Whether the budget's children are lost in this process, so that no further child can be made. */
AEGIS_I_HIDDEN bool aegis_i_budget_is_lost(aegis_budget *budget);

/* As aegis_budget_charge. If `move` is not NULL, it charges only the budgets below the common
 * ancestor, and begins the move. A refusal is written into `why`; a charge that succeeds leaves
 * `why` as it is.
 * `optional`: the caller asks for less if it is refused. So nothing is reclaimed for the charge, no
 * function is told, and no refusal is counted. */
AEGIS_I_HIDDEN aegis_status aegis_i_budget_charge_below(aegis_budget *budget,
                                                        struct aegis_i_move *move,
                                                        size_t size_bytes, bool optional,
                                                        aegis_i_refusal *why);
/* The same for all budgets of the way, for a request that may wait: the caller counts it if it ends
 * refused (aegis_i_count_refusal). */
AEGIS_I_HIDDEN aegis_status aegis_i_budget_charge_uncounted(aegis_budget *budget, size_t size_bytes,
                                                            aegis_i_refusal *why);
/* In place of a time to wait: the charge is optional. */
#define AEGIS_I_OPTIONAL (UINT64_MAX - 1)
/* The same time to wait, but never AEGIS_I_OPTIONAL, which only the library itself asks for. */
static inline uint64_t aegis_i_wait_ns(uint64_t wait_ns) {
    return wait_ns != AEGIS_I_OPTIONAL ? wait_ns : AEGIS_WAIT_FOREVER;
}
/* Charges a budget for an object, which waits as `patience` says, and is not cancelled meanwhile.
 * AEGIS_PENDING: the thread was called back to the object, or the object was moved. Then nothing is
 * charged, and no refusal is counted. */
AEGIS_I_HIDDEN aegis_status aegis_i_budget_charge_patiently(aegis_budget *budget, size_t size_bytes,
                                                            aegis_i_patience *patience,
                                                            aegis_i_refusal *why);
/* Charges a budget whatever the limits are, also when they are closed. Asks no reclaimer and tells
 * no pressure function. For memory that comes back to a pool, whose budget was charged for it
 * before. `move` is as for aegis_i_budget_charge_below. */
AEGIS_I_HIDDEN void aegis_i_budget_charge_back(aegis_budget *budget, struct aegis_i_move *move,
                                               size_t size_bytes);
/* As aegis_budget_poll_charge. If it fails, `why` says why. */
AEGIS_I_HIDDEN aegis_status aegis_i_budget_poll(aegis_budget *budget, size_t size_bytes,
                                                aegis_budget_request **request, aegis_wake_fn wake,
                                                void *context, aegis_i_refusal *why);
/* As aegis_budget_uncharge, for the budgets below `stop`. */
AEGIS_I_HIDDEN aegis_status aegis_i_budget_uncharge_below(aegis_budget *budget,
                                                          const aegis_budget *stop,
                                                          size_t size_bytes);

/* The most bytes that the budget, which may be NULL, and its ancestors would accept now as one
 * charge. Another thread may take them before the caller does. Shares, queues and what a guarantee
 * covers are left out, so a charge of so many bytes may be refused, or more may be accepted. */
AEGIS_I_HIDDEN size_t aegis_i_room(const aegis_budget *budget);

#endif
