/* SPDX-License-Identifier: Apache-2.0 */
/* What moving a writer to the heap needs to know of writers. Not installed. */
#ifndef AEGIS_MEMORY_I_BUFFER_WRITER_H
#define AEGIS_MEMORY_I_BUFFER_WRITER_H

#include "../base/port.h"
#include "aegis_memory/buffer.h"

/* Gives a writer that has its memory for itself all of it, if that holds `needed_bytes`. The bytes
 * move only when at least as much room is won as is moved: a window that slides over the memory a
 * little at a time would otherwise be moved each time. */
AEGIS_I_HIDDEN bool aegis_i_buffer_mut_extend(aegis_buffer_mut *writer, size_t needed_bytes);

#endif
