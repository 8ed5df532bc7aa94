/* SPDX-License-Identifier: Apache-2.0 */
/* A block of an arena: its header, and what follows from it. Knows no arena. Not installed. */
#ifndef AEGIS_MEMORY_I_ARENA_BLOCK_H
#define AEGIS_MEMORY_I_ARENA_BLOCK_H

#include "../base/error_record.h"
#include "../base/harden.h"
#include "aegis_memory/arena.h"

_Static_assert(AEGIS_ARENA_ALIGN == AEGIS_I_MIN_ALIGN, "the error record says so");

/* The head of a block; its usable bytes follow. The block knows no arena, so arenas can move. */
struct aegis_arena_block {
    aegis_arena_block *next;
    /* As acquired from the source, head included. */
    size_t total_bytes;
    /* One past the usable bytes; a multiple of AEGIS_ARENA_ALIGN. */
    unsigned char *end;
    /* Bytes at or above are zero. While the block is current, the arena's copy counts. */
    unsigned char *dirty_end;
    /* One past the bytes handed out, once the block is closed. */
    unsigned char *top;
    /* AEGIS_I_BLOCK_* */
    uint32_t flags;
};

/* The block lies in the caller's memory: never released. */
#define AEGIS_I_BLOCK_CALLER UINT32_C(1)
/* Acquired by an arena during a scope on it: given to such an arena again by the next scope at the
 * same depth. The bits above the flags count that depth. */
#define AEGIS_I_BLOCK_OUTER UINT32_C(2)
#define AEGIS_I_BLOCK_DEPTH_SHIFT 2
/* What the source is asked to align blocks to; the usable bytes start as aligned. */
#define AEGIS_I_BLOCK_ALIGN ((size_t)16)
#define AEGIS_I_BLOCK_HEADER                                                                       \
    ((sizeof(aegis_arena_block) + AEGIS_I_BLOCK_ALIGN - 1) & ~(AEGIS_I_BLOCK_ALIGN - 1))

static inline unsigned char *aegis_i_block_start(const aegis_arena_block *block) {
    return (unsigned char *)(uintptr_t)block + AEGIS_I_BLOCK_HEADER;
}

static inline size_t aegis_i_block_capacity(const aegis_arena_block *block) {
    return (size_t)(block->end - aegis_i_block_start(block));
}

/* Lays the head of a block over memory of at least AEGIS_I_BLOCK_HEADER bytes. */
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
    AEGIS_I_HIDE(aegis_i_block_start(block), usable_bytes);
    return block;
}

#endif
