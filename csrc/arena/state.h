/* SPDX-License-Identifier: Apache-2.0 */
/* The state of an arena: its flags, what follows from its fields, and its error record. This unit
 * knows the current block, but it does not choose, acquire or release blocks. Not installed. */
#ifndef AEGIS_MEMORY_I_ARENA_STATE_H
#define AEGIS_MEMORY_I_ARENA_STATE_H

#include "../budget/charge.h"
#include "block.h"

/* aegis_arena.flags of a scope's arena: the values that AEGIS_I_ARENA_OUTER and AEGIS_I_ARENA_RESET
 * had in the outer arena when the scope began. */
#define AEGIS_I_ARENA_WAS_OUTER (UINT32_C(1) << 11)
#define AEGIS_I_ARENA_WAS_RESET (UINT32_C(1) << 12)
/* aegis_arena.flags: the arena was reset after the latest scope that is open on it began. */
#define AEGIS_I_ARENA_RESET (UINT32_C(1) << 13)
/* aegis_arena.flags: this is the arena of a scope, so it is the first field of an
 * aegis_arena_scope. */
#define AEGIS_I_ARENA_SCOPED (UINT32_C(1) << 14)
/* aegis_arena.flags: another object lends the arena its blocks: see aegis_i_lender. */
#define AEGIS_I_ARENA_LENT (UINT32_C(1) << 15)
/* aegis_arena.flags: the arena has only the caller's memory and cannot grow. */
#define AEGIS_I_ARENA_FIXED (UINT32_C(1) << 16)
/* aegis_arena.flags: the arena is watched. Its `limit` is kept equal to `ptr`, so that every
 * allocation takes the slow path, where the checkers of harden.h see it. The inlined fast paths
 * need no change for this. */
#define AEGIS_I_ARENA_WATCHED (UINT32_C(1) << 17)
/* aegis_arena.flags: a scope has the arena's memory, so the blocks that the arena acquires now are
 * outer blocks (AEGIS_I_BLOCK_OUTER). */
#define AEGIS_I_ARENA_OUTER (UINT32_C(1) << 18)
/* aegis_arena.flags: some blocks may be outer blocks. */
#define AEGIS_I_ARENA_HAS_OUTER (UINT32_C(1) << 19)
/* aegis_arena.flags: the number of scopes that the arena is inside, in the bits from this one up.
 * The number counts modulo 4096, so scopes that are deeper than that share their outer blocks with
 * other scopes. */
#define AEGIS_I_ARENA_DEPTH_ONE (UINT32_C(1) << 20)

/* The flags of a block that the arena acquires now. */
static inline uint32_t aegis_i_arena_block_flags(const aegis_arena *arena) {
    uint32_t depth = arena->flags / AEGIS_I_ARENA_DEPTH_ONE;
    bool outer = (arena->flags & AEGIS_I_ARENA_OUTER) != 0;
    return outer ? AEGIS_I_BLOCK_OUTER | depth << AEGIS_I_BLOCK_DEPTH_SHIFT : 0;
}

/* The counter from which marks and generations get their numbers. */
static inline uint64_t *aegis_i_arena_stamps(aegis_arena *arena) {
    return arena->stamps != NULL ? arena->stamps : &arena->stamp_count;
}

/* The field `single` of a block that is closed with one allocation now: it tells whether there was
 * a mark since. 0, which says nothing, after very many marks. */
static inline uint32_t aegis_i_arena_stamp(aegis_arena *arena) {
    uint64_t count = *aegis_i_arena_stamps(arena);
    return count < UINT32_MAX ? (uint32_t)count + 1 : 0;
}

/* The end of the current block. In a watched arena `limit` is lower. */
static inline unsigned char *aegis_i_arena_end(const aegis_arena *arena) {
    return arena->block != NULL ? arena->block->end : arena->ptr;
}

/* The bytes that are handed out, with their guards. */
static inline size_t aegis_i_arena_guarded(const aegis_arena *arena) {
    return (uintptr_t)arena->ptr - arena->used_from;
}

static inline size_t aegis_i_arena_used(const aegis_arena *arena) {
    return aegis_i_arena_guarded(arena) - arena->guards_bytes;
}

/* The unused bytes at the ends of closed blocks. */
static inline size_t aegis_i_arena_wasted(const aegis_arena *arena) {
    if (arena->block == NULL)
        return 0;
    size_t current_bytes = (size_t)(arena->ptr - aegis_i_block_start(arena->block));
    return arena->closed_bytes - (aegis_i_arena_guarded(arena) - current_bytes);
}

/* The bytes that an allocation takes of a block, with its guard. */
static inline size_t aegis_i_arena_span(const aegis_arena *arena, size_t size_bytes) {
    return aegis_i_round_up(size_bytes, AEGIS_ARENA_ALIGN) + arena->guard_bytes;
}

/* Whether no byte is handed out, so that every block may count as idle. */
static inline bool aegis_i_arena_is_unused(const aegis_arena *arena) {
    /* The used bytes do not tell this, because an allocation of 0 bytes may have a guard. */
    return arena->closed_bytes == 0 && arena->ptr == aegis_i_block_start(arena->block);
}

/* The mark at which the scope of this arena began: the arena may not change what lies below it.
 * NULL if the arena belongs to no scope, or while a scope that was begun on the arena has its
 * memory. */
static inline const aegis_arena_mark *aegis_i_arena_floor(const aegis_arena *arena) {
    const uint32_t which = AEGIS_I_ARENA_SCOPED | AEGIS_I_ARENA_OUTER;
    if ((arena->flags & which) != AEGIS_I_ARENA_SCOPED)
        return NULL;
    return &((const aegis_arena_scope *)(const void *)arena)->mark;
}
/* Whether all that a reset must do is to go back to the first block, if there is one. */
static inline bool aegis_i_arena_is_plain(const aegis_arena *arena) {
    const uint32_t others =
        AEGIS_ARENA_WIPE | AEGIS_I_ARENA_WATCHED | AEGIS_I_ARENA_SCOPED | AEGIS_I_ARENA_OUTER;
    return (arena->flags & others) == 0 && arena->deferred == NULL && arena->stale_count == 0;
}
/* Sets `home`. What makes an arena other than plain sets it to NULL. It need not be set again at
 * once when the arena is plain again, because a reset does that. */
static inline void aegis_i_arena_set_home(aegis_arena *arena) {
    arena->home = aegis_i_arena_is_plain(arena) ? arena->first : NULL;
}
/* Whether the fields are consistent; O(1), for asserts. */
AEGIS_I_HIDDEN bool aegis_i_arena_is_valid(const aegis_arena *arena);
/* Sets `ptr`, and `limit` with it. */
static inline void aegis_i_arena_set_ptr(aegis_arena *arena, unsigned char *ptr) {
    arena->ptr = ptr;
    arena->limit = (arena->flags & AEGIS_I_ARENA_WATCHED) != 0 ? ptr : aegis_i_arena_end(arena);
}

/* `ptr` and `limit` of an arena without blocks point here. It is never written, so it may lie in
 * read-only memory. */
extern AEGIS_I_HIDDEN const unsigned char aegis_i_arena_nowhere[AEGIS_ARENA_ALIGN];

/* Leaves the arena without blocks. Fields that do not depend on blocks are unchanged. */
static inline void aegis_i_arena_forget_blocks(aegis_arena *arena) {
    arena->block = arena->first = arena->home = arena->last = NULL;
    arena->deferred = NULL;
    arena->guards = NULL;
    arena->closed_bytes = arena->guards_bytes = 0;
    arena->used_from = (uintptr_t)aegis_i_arena_nowhere;
    arena->dirty_end = (unsigned char *)(uintptr_t)aegis_i_arena_nowhere;
    aegis_i_arena_set_ptr(arena, (unsigned char *)(uintptr_t)aegis_i_arena_nowhere);
}

/* Writes the error record for aegis_arena_last_error; returns NULL. No other function records the
 * failure of a request, and it is called only when the request has finally failed. */
AEGIS_I_HIDDEN void *aegis_i_arena_fail(aegis_arena *arena, const aegis_i_refusal *why,
                                        size_t size_bytes, size_t align_bytes);
/* Writes the refusal of an argument into the error record, with the fields that
 * aegis_i_error_refuse sets. */
AEGIS_I_HIDDEN aegis_status aegis_i_arena_refuse(aegis_arena *arena, aegis_status status,
                                                 uint32_t what, size_t asked, size_t allowed);

/* Writes back what the arena knows about the current block: its dirty end, and the peak of the used
 * bytes. There must be a current block. */
static inline void aegis_i_arena_sync_block(aegis_arena *arena) {
    arena->peak_used_bytes = aegis_i_max(arena->peak_used_bytes, aegis_i_arena_used(arena));
    if (arena->ptr > arena->dirty_end)
        arena->block->dirty_end = arena->dirty_end = arena->ptr;
}

#endif
