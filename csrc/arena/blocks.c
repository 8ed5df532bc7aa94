/* SPDX-License-Identifier: Apache-2.0 */
/* The list of blocks of an arena: first those in use, up to `last`, then the idle ones. */
#include "blocks.h"
#include "../base/harden.h"

void aegis_i_arena_enter(aegis_arena *arena, aegis_arena_block *block) {
    if (arena->first == NULL)
        arena->first = block;
    arena->block = block;
    arena->last = block;
    arena->dirty_end = block->dirty_end;
    aegis_i_arena_set_ptr(arena, aegis_i_block_start(block));
}

void aegis_i_arena_link(aegis_arena *arena, aegis_arena_block *block) {
    arena->capacity_bytes += aegis_i_block_capacity(block);
    if (arena->last == NULL) {
        aegis_i_arena_enter(arena, block);
        return;
    }
    block->next = arena->last->next;
    arena->last->next = block;
}

void *aegis_i_arena_acquire(const aegis_arena *arena, size_t total_bytes, bool *zeroed,
                            aegis_i_refusal *why) {
    return aegis_i_acquire(&arena->source, arena->budget, total_bytes, AEGIS_I_BLOCK_ALIGN, zeroed,
                           why);
}

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

void aegis_i_arena_grow_step(aegis_arena *arena, size_t step_bytes) {
    size_t next_bytes = step_bytes <= arena->max_block_bytes / 2
                            ? step_bytes * 2
                            : aegis_i_max(step_bytes, arena->max_block_bytes);
    /* Others may have gone further while the block was being acquired. */
    arena->next_block_bytes = aegis_i_max(arena->next_block_bytes, next_bytes);
}
