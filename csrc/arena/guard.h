/* SPDX-License-Identifier: Apache-2.0 */
/* Guards behind allocations, and how bytes are filled or wiped when they are handed out and freed,
 * for debugging. This unit does not know when memory is freed: its callers say so. Not
 * installed. */
#ifndef AEGIS_MEMORY_I_ARENA_GUARD_H
#define AEGIS_MEMORY_I_ARENA_GUARD_H

#include "state.h"

/* Writes the guard behind an allocation and puts it at the front of the chain. */
AEGIS_I_HIDDEN void aegis_i_guard_set(aegis_arena *arena, unsigned char *p, size_t size_bytes);
/* How far an allocation was overrun: not at all, into its guard, or so far that the guard's fields
 * are lost. */
typedef enum aegis_i_overrun {
    AEGIS_I_INTACT,
    AEGIS_I_OVERRUN,
    AEGIS_I_OVERRUN_FAR
} aegis_i_overrun;

/* What was found out about one allocation, to be reported. */
typedef struct aegis_i_damage {
    aegis_i_overrun kind;
    size_t size_bytes;
    uint64_t number;
} aegis_i_damage;

/* Removes the guard of an allocation from the chain and checks it. The caller reports what was
 * found, without holding a lock, because reporting calls the user's function. */
AEGIS_I_HIDDEN void aegis_i_guard_drop(aegis_arena *arena, unsigned char *p, size_t size_bytes,
                                       aegis_i_damage *damage);
/* Reports an overrun if `damage` is one. */
AEGIS_I_HIDDEN void aegis_i_guard_report(const aegis_arena *arena, const aegis_i_damage *damage);

/* Checks the guards with numbers above `kept`, removes them from the chain, and reports each one
 * that was changed. */
AEGIS_I_HIDDEN void aegis_i_guard_check(aegis_arena *arena, uint64_t kept);
/* Moves the guards of `from` into `to`. They must be newer than those of `to`. */
AEGIS_I_HIDDEN void aegis_i_guard_merge(aegis_arena *to, aegis_arena *from);
/* Tells the checkers that the bytes are handed out uninitialised, and fills the bytes if the flags
 * ask for it. */
AEGIS_I_HIDDEN void aegis_i_show_fresh(const aegis_arena *arena, unsigned char *p,
                                       size_t size_bytes);
/* The size of a guard. */
AEGIS_I_HIDDEN size_t aegis_i_guard_size(void);
/* Wipes or fills the freed bytes of a block from `from` on, as the flags ask. */
AEGIS_I_HIDDEN void aegis_i_clean(const aegis_arena *arena, aegis_arena_block *block,
                                  unsigned char *from);
/* Wipes or fills freed bytes of the current block that stay below its dirty end, as the flags
 * ask. */
AEGIS_I_HIDDEN void aegis_i_clean_bytes(const aegis_arena *arena, unsigned char *p,
                                        size_t size_bytes);

#endif
