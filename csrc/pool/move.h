/* SPDX-License-Identifier: Apache-2.0 */
/* Charging the slabs of a pool of any form to another budget. Not installed. */
#ifndef AEGIS_MEMORY_I_POOL_MOVE_H
#define AEGIS_MEMORY_I_POOL_MOVE_H

#include "aegis_memory/pool.h"
#include "../base/port.h"

/* Charges all that the slabs count to `budget`. The caller has the pool alone. */
AEGIS_I_HIDDEN aegis_status aegis_i_slabs_move(aegis_pool_slabs *slabs, aegis_budget *budget,
                                               aegis_error *error);

#endif
