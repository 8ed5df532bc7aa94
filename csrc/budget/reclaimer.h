/* SPDX-License-Identifier: Apache-2.0 */
/* What the Rust wrapper and buffer pools need to know of reclaimers. Not installed. */
#ifndef AEGIS_MEMORY_I_BUDGET_RECLAIMER_H
#define AEGIS_MEMORY_I_BUDGET_RECLAIMER_H

#include "../base/port.h"

#include <stddef.h>

/* The bytes that the record of a reclaimer takes from the C heap. */
AEGIS_I_HIDDEN size_t aegis_i_budget_reclaimer_bytes(void);

#endif
