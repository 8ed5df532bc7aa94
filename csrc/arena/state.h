/* SPDX-License-Identifier: Apache-2.0 */
/* The state of an arena: its flags, what follows from its fields, and the record of its latest
 * failure. Not installed. */
#ifndef AEGIS_MEMORY_I_ARENA_STATE_H
#define AEGIS_MEMORY_I_ARENA_STATE_H

#include "../budget.h"
#include "block.h"

/* aegis_arena.flags of a scope's arena: what AEGIS_I_ARENA_OUTER and AEGIS_I_ARENA_RESET were in
 * the outer one when the scope began. */
#define AEGIS_I_ARENA_WAS_OUTER (UINT32_C(1) << 11)
#define AEGIS_I_ARENA_WAS_RESET (UINT32_C(1) << 12)
/* aegis_arena.flags: the arena was reset since the latest scope that is open on it began. */
#define AEGIS_I_ARENA_RESET (UINT32_C(1) << 13)
/* aegis_arena.flags: the arena of a scope, the first member of its aegis_arena_scope. */
#define AEGIS_I_ARENA_SCOPED (UINT32_C(1) << 14)
/* aegis_arena.flags: another object lends the blocks: see aegis_i_lender. */
#define AEGIS_I_ARENA_LENT (UINT32_C(1) << 15)
/* aegis_arena.flags: the arena has the caller's memory only and cannot grow. */
#define AEGIS_I_ARENA_FIXED (UINT32_C(1) << 16)
/* aegis_arena.flags: `limit` is kept at `ptr`, so that every allocation takes the slow path and
 * is seen by the checkers of harden.h. The inlined fast paths need no change for it. */
#define AEGIS_I_ARENA_WATCHED (UINT32_C(1) << 17)
/* aegis_arena.flags: a scope has the arena's memory; its new blocks are outer ones. */
#define AEGIS_I_ARENA_OUTER (UINT32_C(1) << 18)
/* aegis_arena.flags: some blocks may be outer ones. */
#define AEGIS_I_ARENA_HAS_OUTER (UINT32_C(1) << 19)
/* aegis_arena.flags: how many scopes the arena is inside of, in the bits from this one up. Counts
 * modulo 4096: deeper scopes share their blocks with shallow ones. */
#define AEGIS_I_ARENA_DEPTH_ONE (UINT32_C(1) << 20)

/* The flags of a block that the arena acquires now. */
static inline uint32_t aegis_i_arena_block_flags(const aegis_arena *arena) {
    uint32_t depth = arena->flags / AEGIS_I_ARENA_DEPTH_ONE;
    bool outer = (arena->flags & AEGIS_I_ARENA_OUTER) != 0;
    return outer ? AEGIS_I_BLOCK_OUTER | depth << AEGIS_I_BLOCK_DEPTH_SHIFT : 0;
}

/* Where the current block ends; `limit` may be lower in a watched arena. */
static inline unsigned char *aegis_i_arena_end(const aegis_arena *arena) {
    return arena->block != NULL ? arena->block->end : arena->ptr;
}

static inline size_t aegis_i_arena_used(const aegis_arena *arena) {
    size_t current =
        arena->block != NULL ? (size_t)(arena->ptr - aegis_i_block_start(arena->block)) : 0;
    return arena->closed_bytes - arena->wasted_bytes + current - arena->guards_bytes;
}

/* Whether no byte is handed out, so that every block may count as idle. */
static inline bool aegis_i_arena_is_unused(const aegis_arena *arena) {
    /* Not by the bytes used: an allocation of 0 bytes may have a guard. */
    return arena->closed_bytes == 0 && arena->ptr == aegis_i_block_start(arena->block);
}

/* Where the arena of a scope began, and below which nothing is its own; NULL for another arena, and
 * while a scope on this one has its memory. */
static inline const aegis_arena_mark *aegis_i_arena_floor(const aegis_arena *arena) {
    const uint32_t which = AEGIS_I_ARENA_SCOPED | AEGIS_I_ARENA_OUTER;
    if ((arena->flags & which) != AEGIS_I_ARENA_SCOPED)
        return NULL;
    return &((const aegis_arena_scope *)(const void *)arena)->mark;
}
/* O(1) consistency, for asserts. */
AEGIS_I_HIDDEN bool aegis_i_arena_is_valid(const aegis_arena *arena);
/* Sets `ptr` and, from it, `limit`. */
static inline void aegis_i_arena_set_ptr(aegis_arena *arena, unsigned char *ptr) {
    arena->ptr = ptr;
    arena->limit = (arena->flags & AEGIS_I_ARENA_WATCHED) != 0 ? ptr : aegis_i_arena_end(arena);
}

/* Where `ptr` and `limit` of an arena without blocks point: never written, in read-only memory. */
extern AEGIS_I_HIDDEN const unsigned char aegis_i_arena_nowhere[AEGIS_ARENA_ALIGN];

/* Leaves the arena without blocks; its other fields are untouched. */
static inline void aegis_i_arena_forget_blocks(aegis_arena *arena) {
    arena->block = arena->first = arena->last = NULL;
    arena->deferred = NULL;
    arena->guards = NULL;
    arena->closed_bytes = arena->wasted_bytes = arena->guards_bytes = 0;
    arena->dirty_end = (unsigned char *)(uintptr_t)aegis_i_arena_nowhere;
    aegis_i_arena_set_ptr(arena, (unsigned char *)(uintptr_t)aegis_i_arena_nowhere);
}

/* Keeps a failure for aegis_arena_last_error; returns NULL. The only writer of the record of a
 * request, called when it has failed for good. */
AEGIS_I_HIDDEN void *aegis_i_arena_fail(aegis_arena *arena, const aegis_i_refusal *why,
                                        size_t size_bytes, size_t align_bytes);
/* Keeps the refusal of an argument for aegis_arena_last_error, as aegis_i_error_refuse has it. */
AEGIS_I_HIDDEN aegis_status aegis_i_arena_refuse(aegis_arena *arena, aegis_status status,
                                                 uint32_t what, size_t asked, size_t allowed);

/* Records in the current block, which there must be, what the arena knows of it. */
static inline void aegis_i_arena_sync_block(aegis_arena *arena) {
    arena->peak_used_bytes = aegis_i_max(arena->peak_used_bytes, aegis_i_arena_used(arena));
    if (arena->ptr > arena->dirty_end)
        arena->dirty_end = arena->ptr;
    arena->block->dirty_end = arena->dirty_end;
}

#endif
