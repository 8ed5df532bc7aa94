/* SPDX-License-Identifier: Apache-2.0 */
/* Charges that wait. Not installed. */
#ifndef AEGIS_MEMORY_I_BUDGET_WAIT_H
#define AEGIS_MEMORY_I_BUDGET_WAIT_H

#include "gate.h"

/* Charges a budget, and waits for room up to `wait_ns`. AEGIS_OK: `path` says what was in use
 * before the charge. Any other status: `why` says why not, as it is when the time is up. */
AEGIS_I_HIDDEN aegis_status aegis_i_budget_wait(aegis_budget *budget, size_t size_bytes,
                                                uint64_t wait_ns, aegis_i_path *path,
                                                aegis_i_refusal *why);

#endif
