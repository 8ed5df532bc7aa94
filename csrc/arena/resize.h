/* SPDX-License-Identifier: Apache-2.0 */
/* Freeing and resizing one allocation, for an arena behind a lock. This unit knows no lock: it
 * reports no damage itself, so that the caller can unlock first. Not installed. */
#ifndef AEGIS_MEMORY_I_ARENA_RESIZE_H
#define AEGIS_MEMORY_I_ARENA_RESIZE_H

#include "guard.h"

/* Does what aegis_arena_free_last does, except that the caller reports the damage. */
AEGIS_I_HIDDEN void aegis_i_arena_free_last(aegis_arena *arena, void *memory, size_t size_bytes,
                                            aegis_i_damage *damage);
/* Resizes an allocation in place if it shrinks, or if it is the latest one and fits. False: it must
 * be moved. */
AEGIS_I_HIDDEN bool aegis_i_arena_resize(aegis_arena *arena, unsigned char *p, size_t old_bytes,
                                         size_t new_bytes, aegis_i_damage *damage);

#endif
