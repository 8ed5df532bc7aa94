/* SPDX-License-Identifier: Apache-2.0 */
/* The list of blocks of an arena. Not installed. */
#ifndef AEGIS_MEMORY_I_ARENA_BLOCKS_H
#define AEGIS_MEMORY_I_ARENA_BLOCKS_H

#include "../acquire.h"
#include "state.h"

_Static_assert(AEGIS_I_HEADROOM == AEGIS_ARENA_HEADROOM, "no block ends in an arena's headroom");

/* Asks the source for memory, `*zeroed` if all of it is zero. NULL: `why` says why. It
 * reads only what does not change between init and fini: the arena may be in use meanwhile. */
AEGIS_I_HIDDEN void *aegis_i_arena_acquire(const aegis_arena *arena, size_t total_bytes,
                                           bool *zeroed, aegis_i_refusal *why);

/* Makes a block of memory that was acquired, and puts it behind `last` as idle. */
AEGIS_I_HIDDEN aegis_arena_block *aegis_i_arena_add(aegis_arena *arena, void *memory,
                                                    size_t total_bytes, bool zeroed);
/* Gives every block of the list back, except the caller's. */
AEGIS_I_HIDDEN void aegis_i_arena_release(aegis_arena *arena, aegis_arena_block *block);

/* Puts a block behind `last`: the first of the idle ones. An arena without blocks enters it. */
AEGIS_I_HIDDEN void aegis_i_arena_link(aegis_arena *arena, aegis_arena_block *block);
/* Sets the growth step that follows one of `step_bytes`. */
AEGIS_I_HIDDEN void aegis_i_arena_grow_step(aegis_arena *arena, size_t step_bytes);
/* Makes `block`, idle and behind `last`, the current one of an arena that has none. */
AEGIS_I_HIDDEN void aegis_i_arena_enter(aegis_arena *arena, aegis_arena_block *block);

#endif
