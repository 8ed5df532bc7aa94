/* SPDX-License-Identifier: Apache-2.0 */
/* Keeping a thread from being cancelled. Not installed. */
#ifndef AEGIS_MEMORY_I_BASE_CANCEL_H
#define AEGIS_MEMORY_I_BASE_CANCEL_H

#include "port.h"

/* Keeps this thread from being cancelled at a cancellation point until aegis_i_uncancelled_end,
 * which is given what this returns. */
AEGIS_I_HIDDEN int aegis_i_uncancelled_begin(void);
AEGIS_I_HIDDEN void aegis_i_uncancelled_end(int state);

#endif
