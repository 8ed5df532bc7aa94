/* SPDX-License-Identifier: Apache-2.0 */
/* Sections in which a thread is not cancelled. Not installed. */
#ifndef AEGIS_MEMORY_I_BASE_CANCEL_H
#define AEGIS_MEMORY_I_BASE_CANCEL_H

#include "port.h"

/* From here to aegis_i_uncancelled_end this thread is not cancelled at a cancellation point. The
 * value that this returns is given to aegis_i_uncancelled_end. */
AEGIS_I_HIDDEN int aegis_i_uncancelled_begin(void);
AEGIS_I_HIDDEN void aegis_i_uncancelled_end(int state);

#endif
