/* SPDX-License-Identifier: Apache-2.0 */
/* What heap.c uses of writers when it moves one to larger memory. Not installed. */
#ifndef AEGIS_MEMORY_I_BUFFER_WRITER_H
#define AEGIS_MEMORY_I_BUFFER_WRITER_H

#include "../base/port.h"
#include "aegis_memory/buffer.h"

/* Extends a writer to all of its owner's memory, if no other handle uses that and it holds
 * `needed_bytes` from an address aligned to `align_bytes`, a power of two. The written bytes move
 * to the first such address if necessary, but only if that frees at least as many bytes as it
 * moves. Otherwise a writer that advances through the memory in small steps would be moved at each
 * step. False: the writer is as it was. */
AEGIS_I_HIDDEN bool aegis_i_buffer_mut_extend(aegis_buffer_mut *writer, size_t needed_bytes,
                                              size_t align_bytes);

#endif
