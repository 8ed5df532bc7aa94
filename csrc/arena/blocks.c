/* SPDX-License-Identifier: Apache-2.0 */
/* The list of blocks of an arena: first the blocks in use, up to `last`, then the idle ones. */
#include "blocks.h"
#include "../base/harden.h"

aegis_arena_block *aegis_i_arena_add(aegis_arena *arena, void *memory, size_t total_bytes,
                                     bool zeroed) {
    aegis_arena_block *block =
        aegis_i_block_lay(memory, total_bytes, zeroed, aegis_i_arena_block_flags(arena));
    arena->reserved_bytes += total_bytes;
    arena->block_count++;
    arena->acquired_count++;
    aegis_i_arena_link(arena, block);
    return block;
}

void aegis_i_arena_release(aegis_arena *arena, aegis_arena_block *block) {
    while (block != NULL) {
        aegis_arena_block *next = block->next;
        size_t total_bytes = block->total_bytes;
        AEGIS_I_SHOW_ZEROED(aegis_i_block_start(block), aegis_i_block_capacity(block));
        arena->capacity_bytes -= aegis_i_block_capacity(block);
        arena->block_count--;
        if ((block->flags & AEGIS_I_BLOCK_CALLER) == 0) {
            arena->reserved_bytes -= total_bytes;
            arena->released_count++;
            aegis_i_give_back(&arena->source, arena->budget, block, total_bytes,
                              AEGIS_I_BLOCK_ALIGN);
        }
        block = next;
    }
}
