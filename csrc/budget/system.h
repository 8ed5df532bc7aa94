/* SPDX-License-Identifier: Apache-2.0 */
/* The part of aegis_budget_of_system that tests call with memory of any size. Not installed. */
#ifndef AEGIS_MEMORY_I_BUDGET_SYSTEM_H
#define AEGIS_MEMORY_I_BUDGET_SYSTEM_H

#include "aegis_memory/budget_system.h"
#include "../base/system_memory.h"

/* As aegis_budget_of_system, of this memory. */
AEGIS_I_HIDDEN aegis_status aegis_i_budget_of_memory(aegis_budget **budget,
                                                     aegis_i_system_memory memory, double share,
                                                     aegis_error *error);

#endif
