/* SPDX-License-Identifier: Apache-2.0 */
/* Functions that run before the memory of an arena is freed. This unit knows the list of them, not
 * when memory is freed. Not installed. */
#ifndef AEGIS_MEMORY_I_ARENA_DEFER_H
#define AEGIS_MEMORY_I_ARENA_DEFER_H

#include "state.h"

/* A function that runs before the arena's memory is freed. The entry lies in that memory. */
struct aegis_arena_deferred {
    aegis_arena_deferred *next;
    aegis_arena_defer_fn function;
    void *context;
};

/* Fills in an entry, which lies in the arena, and makes it the newest one. */
static inline void aegis_i_arena_chain_deferred(aegis_arena *arena, aegis_arena_deferred *entry,
                                                aegis_arena_defer_fn function, void *context) {
    entry->next = arena->deferred;
    entry->function = function;
    entry->context = context;
    arena->deferred = entry;
    arena->home = NULL;
}

/* Runs the functions that were deferred after `stop`, newest first. */
AEGIS_I_HIDDEN void aegis_i_arena_run_deferred(aegis_arena *arena,
                                               const aegis_arena_deferred *stop);

/* Whether the memory of the arena is used again only after its deferred functions have run, also if
 * the owner of the struct forgets it. This is not so if the memory is the caller's or that of a
 * shared arena, which go on without the struct. A scope always ends. For the Rust crate. */
AEGIS_I_HIDDEN bool aegis_i_arena_always_defers(const aegis_arena *arena);

#endif
