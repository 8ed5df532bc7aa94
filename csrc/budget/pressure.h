/* SPDX-License-Identifier: Apache-2.0 */
/* How charges and changes of a limit tell the pressure functions of a budget. Not installed. */
#ifndef AEGIS_MEMORY_I_BUDGET_PRESSURE_H
#define AEGIS_MEMORY_I_BUDGET_PRESSURE_H

#include "state.h"
#include "../base/port.h"

/* Whether any function is told of pressure on the budget. Acquire pairs with the release in
 * aegis_budget_on_pressure: the watcher's fields are seen. */
static inline const aegis_i_watcher *aegis_i_watchers_of(aegis_budget *budget) {
    return aegis_i_load(&budget->watchers, memory_order_acquire);
}

/* Tells the watchers with a threshold that one addition has reached. Additions to a counter come
 * one after the other, so of several threads exactly one sees each rise. */
AEGIS_I_HIDDEN void aegis_i_tell_rise(aegis_budget *budget, size_t from_bytes, size_t to_bytes);
/* The same for each budget of a charge that was made under the gate. */
AEGIS_I_HIDDEN void aegis_i_tell_path(const aegis_i_path *path, size_t size_bytes);
/* Tells the watchers with a threshold that a change of the limit, from `old_bytes`, has moved below
 * the use. */
AEGIS_I_HIDDEN void aegis_i_tell_limit(aegis_budget *budget, size_t old_bytes);
/* Tells all watchers that a charge was refused. */
AEGIS_I_HIDDEN void aegis_i_tell_all(aegis_budget *budget, size_t used_bytes, size_t limit_bytes);
/* Destroys all watchers of a budget that is being freed. */
AEGIS_I_HIDDEN void aegis_i_forget_watchers(aegis_budget *budget);
/* The bytes that the record of a watcher takes from the C heap, for the error when the heap has
 * none. */
AEGIS_I_HIDDEN size_t aegis_i_budget_watcher_bytes(void);

#endif
