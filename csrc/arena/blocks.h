/* SPDX-License-Identifier: Apache-2.0 */
/* The list of blocks of an arena: how blocks are acquired, put into the list and released. This
 * unit does not decide which block serves a request: chain.c does. Not installed. */
#ifndef AEGIS_MEMORY_I_ARENA_BLOCKS_H
#define AEGIS_MEMORY_I_ARENA_BLOCKS_H

#include "../acquire.h"
#include "state.h"

_Static_assert(AEGIS_I_HEADROOM == AEGIS_ARENA_HEADROOM, "no block ends in an arena's headroom");

/* Makes `block` the current block and the last one in use. `block` is the first idle block, or the
 * first block of an arena without blocks. A block that was current before must be closed already.
 * What is used stays used. */
static inline void aegis_i_arena_enter(aegis_arena *arena, aegis_arena_block *block) {
    arena->used_from += (uintptr_t)aegis_i_block_start(block) - (uintptr_t)arena->ptr;
    if (arena->first == NULL) {
        arena->first = block;
        aegis_i_arena_set_home(arena);
    }
    arena->block = block;
    block->single = 0;
    arena->last = block;
    arena->dirty_end = block->dirty_end;
    aegis_i_arena_set_ptr(arena, aegis_i_block_start(block));
}

/* Puts a block behind `last`, so that it is the first idle block. In an arena without blocks it
 * becomes the current block. */
static inline void aegis_i_arena_link(aegis_arena *arena, aegis_arena_block *block) {
    arena->capacity_bytes += aegis_i_block_capacity(block);
    if (arena->last == NULL) {
        aegis_i_arena_enter(arena, block);
        return;
    }
    block->next = arena->last->next;
    arena->last->next = block;
}

/* Asks the source for memory. Sets `*zeroed` if all of the memory is zero. On failure returns NULL,
 * and `why` says why. `optional`: the arena asks for a smaller block then, so this does not wait
 * for room in the budget. The function reads only
 * fields of the arena that do not change between init and fini, so the arena may be in use
 * meanwhile. */
static inline void *aegis_i_arena_acquire(const aegis_arena *arena, size_t total_bytes,
                                          bool optional, bool *zeroed, aegis_i_refusal *why) {
    return aegis_i_acquire(&arena->source, arena->budget, total_bytes, AEGIS_I_BLOCK_ALIGN,
                           optional ? AEGIS_I_OPTIONAL : arena->wait_ns, zeroed, why);
}

/* Sets the growth step that follows a step of `step_bytes`. */
static inline void aegis_i_arena_grow_step(aegis_arena *arena, size_t step_bytes) {
    size_t next_bytes = step_bytes <= arena->max_block_bytes / 2
                            ? step_bytes * 2
                            : aegis_i_max(step_bytes, arena->max_block_bytes);
    /* The step may have grown while the block was being acquired: then the larger step stays. */
    arena->next_block_bytes = aegis_i_max(arena->next_block_bytes, next_bytes);
}

/* Makes a block of acquired memory and puts it behind `last`, as an idle block. */
AEGIS_I_HIDDEN aegis_arena_block *aegis_i_arena_add(aegis_arena *arena, void *memory,
                                                    size_t total_bytes, bool zeroed);
/* Releases every block of the list, except the block in the caller's memory. */
AEGIS_I_HIDDEN void aegis_i_arena_release(aegis_arena *arena, aegis_arena_block *block);

#endif
