/* SPDX-License-Identifier: Apache-2.0 */
/* Functions that run before the memory of an arena is freed, the newest first. */
#include "defer.h"

/* Each entry is removed from the list before its function runs, so the arena is consistent whatever
 * the function does with it. */
void aegis_i_arena_run_deferred(aegis_arena *arena, const aegis_arena_deferred *stop) {
    while (arena->deferred != stop && arena->deferred != NULL) {
        aegis_arena_deferred *entry = arena->deferred;
        arena->deferred = entry->next;
        entry->function(entry->context);
    }
}

aegis_status aegis_arena_defer(aegis_arena *arena, aegis_arena_defer_fn function, void *context) {
    if (function == NULL)
        return aegis_i_arena_refuse(arena, AEGIS_E_INVALID, AEGIS_WHAT_FUNCTION, 0, 0);
    aegis_arena_deferred *entry = (aegis_arena_deferred *)aegis_arena_alloc(arena, sizeof *entry);
    if (entry == NULL)
        return arena->failed_status;
    aegis_i_arena_chain_deferred(arena, entry, function, context);
    return AEGIS_OK;
}

bool aegis_i_arena_always_defers(const aegis_arena *arena) {
    const uint32_t elsewhere = AEGIS_I_ARENA_FIXED | AEGIS_I_ARENA_LENT;
    return (arena->flags & AEGIS_I_ARENA_SCOPED) != 0 || (arena->flags & elsewhere) == 0;
}
