/* SPDX-License-Identifier: Apache-2.0 */
/* Giving blocks back to the source: which ones, and those of an arena in use. */
#include "trim.h"
#include "blocks.h"
#include "guard.h"

/* Splits the list. A block stays if it fits into what is left of `keep_bytes`: the first blocks of
 * the list are tried first. The block in the caller's memory stays too. The other blocks are
 * returned. */
static aegis_arena_block *split_off(aegis_arena_block **list, size_t keep_bytes) {
    aegis_arena_block *released = NULL;
    while (*list != NULL) {
        aegis_arena_block *block = *list;
        bool callers = (block->flags & AEGIS_I_BLOCK_CALLER) != 0;
        if (callers || block->total_bytes <= keep_bytes) {
            keep_bytes -= callers ? 0 : block->total_bytes;
            list = &block->next;
        } else {
            *list = block->next;
            block->next = released;
            released = block;
        }
    }
    return released;
}

void aegis_i_arena_trim_unused(aegis_arena *arena, size_t keep_bytes) {
    aegis_arena_block *list = arena->first;
    aegis_i_guard_check(arena, 0);
    aegis_i_arena_sync_block(arena);
    aegis_arena_block *released = split_off(&list, keep_bytes);
    aegis_i_arena_forget_blocks(arena);
    if (list != NULL)
        aegis_i_arena_enter(arena, list);
    /* This comes last, because the source may use the arena while it takes the blocks back. */
    aegis_i_arena_release(arena, released);
}

void aegis_i_arena_trim_idle(aegis_arena *arena, size_t keep_bytes) {
    size_t idle_bytes = 0;
    for (aegis_arena_block *block = arena->last->next; block != NULL; block = block->next)
        idle_bytes += block->total_bytes;
    size_t busy_bytes = arena->reserved_bytes - idle_bytes;
    size_t keep_idle_bytes = keep_bytes > busy_bytes ? keep_bytes - busy_bytes : 0;
    aegis_i_arena_release(arena, split_off(&arena->last->next, keep_idle_bytes));
}
