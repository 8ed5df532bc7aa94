/* SPDX-License-Identifier: Apache-2.0 */
/* A block of an arena: what follows from the fields of its header, which arena.h has. This unit
 * knows no arena. Not installed. */
#ifndef AEGIS_MEMORY_I_ARENA_BLOCK_H
#define AEGIS_MEMORY_I_ARENA_BLOCK_H

#include "../base/error_record.h"
#include "../base/harden.h"
#include "aegis_memory/arena.h"

_Static_assert(AEGIS_ARENA_ALIGN == AEGIS_I_MIN_ALIGN, "the error record says so");

/* The block lies in the caller's memory, so the arena never releases it. */
#define AEGIS_I_BLOCK_CALLER UINT32_C(1)
/* The outer arena of a scope acquired this block while the scope was open. The next scope at the
 * same depth gives the block to its outer arena again. The bits above the flags hold that depth. */
#define AEGIS_I_BLOCK_OUTER UINT32_C(2)
/* The block was acquired for one request alone: see invariant 1 in chain.c. */
#define AEGIS_I_BLOCK_OWN UINT32_C(4)
#define AEGIS_I_BLOCK_DEPTH_SHIFT 3
/* The alignment of blocks that the arena asks its source for. The usable bytes start at a multiple
 * of it too. */
#define AEGIS_I_BLOCK_ALIGN ((size_t)16)
#define AEGIS_I_BLOCK_HEADER AEGIS_I_ARENA_BLOCK_HEADER
_Static_assert(AEGIS_I_BLOCK_HEADER % AEGIS_I_BLOCK_ALIGN == 0, "the bytes behind it are aligned");

static inline unsigned char *aegis_i_block_start(const aegis_arena_block *block) {
    return (unsigned char *)(uintptr_t)block + AEGIS_I_BLOCK_HEADER;
}

static inline size_t aegis_i_block_capacity(const aegis_arena_block *block) {
    return (size_t)(block->end - aegis_i_block_start(block));
}

/* Writes a block header at the start of `memory`, which has at least AEGIS_I_BLOCK_HEADER bytes. */
static inline aegis_arena_block *aegis_i_block_lay(void *memory, size_t total_bytes, bool zeroed,
                                                   uint32_t flags) {
    aegis_arena_block *block = (aegis_arena_block *)memory;
    size_t usable_bytes = (total_bytes - AEGIS_I_BLOCK_HEADER) & ~(size_t)(AEGIS_ARENA_ALIGN - 1);
    block->next = NULL;
    block->total_bytes = total_bytes;
    block->end = aegis_i_block_start(block) + usable_bytes;
    block->dirty_end = zeroed ? aegis_i_block_start(block) : block->end;
    block->top = aegis_i_block_start(block);
    block->flags = flags;
    block->single = 0;
    AEGIS_I_HIDE(aegis_i_block_start(block), usable_bytes);
    return block;
}

#endif
