/* SPDX-License-Identifier: Apache-2.0 */
/* Guards behind allocations, and what is done to bytes that are handed out and freed, for
 * debugging. Not installed. */
#ifndef AEGIS_MEMORY_I_ARENA_GUARD_H
#define AEGIS_MEMORY_I_ARENA_GUARD_H

#include "state.h"

/* Writes the guard behind an allocation and chains it. */
AEGIS_I_HIDDEN void aegis_i_guard_set(aegis_arena *arena, unsigned char *p, size_t size_bytes);
/* How far an allocation was overrun: not at all, into its guard, or beyond what the guard knows. */
typedef enum aegis_i_overrun {
    AEGIS_I_INTACT,
    AEGIS_I_OVERRUN,
    AEGIS_I_OVERRUN_FAR
} aegis_i_overrun;

/* What was found of an allocation, to be reported. */
typedef struct aegis_i_damage {
    aegis_i_overrun kind;
    size_t size_bytes;
    uint64_t number;
} aegis_i_damage;

/* Takes the guard of an allocation off and checks it. What is found is the caller's to report, by
 * the user's function, with no lock held. */
AEGIS_I_HIDDEN void aegis_i_guard_drop(aegis_arena *arena, unsigned char *p, size_t size_bytes,
                                       aegis_i_damage *damage);
/* Reports an overrun, if it is one. */
AEGIS_I_HIDDEN void aegis_i_guard_report(const aegis_arena *arena, const aegis_i_damage *damage);

/* Checks and drops the guards with numbers above `kept`, reporting each that was changed. */
AEGIS_I_HIDDEN void aegis_i_guard_check(aegis_arena *arena, uint64_t kept);
/* Moves the guards of `from`, which are newer, into `to`. */
AEGIS_I_HIDDEN void aegis_i_guard_merge(aegis_arena *to, aegis_arena *from);
/* Shows bytes that are handed out uninitialised to the checkers, and fills them if asked. */
AEGIS_I_HIDDEN void aegis_i_show_fresh(const aegis_arena *arena, unsigned char *p,
                                       size_t size_bytes);
/* The size of a guard. */
AEGIS_I_HIDDEN size_t aegis_i_guard_size(void);
/* Wipes or fills freed bytes of a block from `from` on, as the flags ask. */
AEGIS_I_HIDDEN void aegis_i_clean(const aegis_arena *arena, aegis_arena_block *block,
                                  unsigned char *from);
/* Wipes freed bytes of the current block that stay below its dirty end, as the flags ask. */
AEGIS_I_HIDDEN void aegis_i_clean_bytes(const aegis_arena *arena, unsigned char *p,
                                        size_t size_bytes);

#endif
