/* SPDX-License-Identifier: Apache-2.0 */
/* Freeing and resizing an allocation, for an arena behind a lock. Not installed. */
#ifndef AEGIS_MEMORY_I_ARENA_RESIZE_H
#define AEGIS_MEMORY_I_ARENA_RESIZE_H

#include "guard.h"

/* As aegis_arena_free_last, except that damage is for the caller to report. */
AEGIS_I_HIDDEN void aegis_i_arena_free_last(aegis_arena *arena, void *memory, size_t size_bytes,
                                            aegis_i_damage *damage);
/* Resizes an allocation where it is, if it shrinks or is the latest one and fits. False: it must be
 * moved. */
AEGIS_I_HIDDEN bool aegis_i_arena_resize(aegis_arena *arena, unsigned char *p, size_t old_bytes,
                                         size_t new_bytes, aegis_i_damage *damage);

#endif
