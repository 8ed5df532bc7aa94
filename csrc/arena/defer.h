/* SPDX-License-Identifier: Apache-2.0 */
/* Functions that run before the memory of an arena is freed. Not installed. */
#ifndef AEGIS_MEMORY_I_ARENA_DEFER_H
#define AEGIS_MEMORY_I_ARENA_DEFER_H

#include "state.h"

/* A function to run before its arena's memory is freed, in that memory. */
struct aegis_arena_deferred {
    aegis_arena_deferred *next;
    aegis_arena_defer_fn function;
    void *context;
};

/* Fills in an entry, which lies in the arena, and makes it the newest. */
static inline void aegis_i_arena_chain_deferred(aegis_arena *arena, aegis_arena_deferred *entry,
                                                aegis_arena_defer_fn function, void *context) {
    entry->next = arena->deferred;
    entry->function = function;
    entry->context = context;
    arena->deferred = entry;
}

/* Runs what was deferred after `stop`, newest first. */
AEGIS_I_HIDDEN void aegis_i_arena_run_deferred(aegis_arena *arena,
                                               const aegis_arena_deferred *stop);

#endif
