/* SPDX-License-Identifier: Apache-2.0 */
/* Giving blocks back to the source. Not installed. */
#ifndef AEGIS_MEMORY_I_ARENA_TRIM_H
#define AEGIS_MEMORY_I_ARENA_TRIM_H

#include "state.h"

/* Trims an arena in which nothing is allocated: every block counts as idle, the first one too. */
AEGIS_I_HIDDEN void aegis_i_arena_trim_unused(aegis_arena *arena, size_t keep_bytes);
/* Trims an arena in use, which has a block: gives back idle blocks until the arena holds at most
 * `keep_bytes` or has no idle block left. */
AEGIS_I_HIDDEN void aegis_i_arena_trim_idle(aegis_arena *arena, size_t keep_bytes);

#endif
