/* SPDX-License-Identifier: Apache-2.0 */
/* Freeing, resizing and copying allocations. */
#include "resize.h"
#include "../base/harden.h"
#include "chain.h"

/* The blocks among which the one before a freed block is looked for. */
#define SINGLE_STEPS 64

/* Whether `arena` is the arena of a scope and the memory is from before the scope. Such memory must
 * not be changed. */
static bool is_older_than_scope(const aegis_arena *arena, const unsigned char *p) {
    const aegis_arena_mark *floor = aegis_i_arena_floor(arena);
    if (floor == NULL || floor->block == NULL)
        return false;
    const aegis_arena_block *block = arena->first;
    while (block != floor->last && (p < aegis_i_block_start(block) || p > block->end))
        block = block->next;
    if (p < aegis_i_block_start(block) || p > block->end)
        return false;
    return block != floor->block || p < floor->ptr;
}

/* Whether the allocation is the last one of the current block, so that it can be freed or resized
 * in place. */
static bool is_latest(const aegis_arena *arena, const unsigned char *p, size_t size_bytes) {
    const aegis_arena_mark *floor = aegis_i_arena_floor(arena);
    if (floor != NULL && floor->block == arena->block && p < floor->ptr)
        return false;
    return arena->block != NULL && p >= aegis_i_block_start(arena->block) && p <= arena->ptr &&
           size_bytes <= (size_t)(arena->ptr - p) &&
           p + aegis_i_round_up(size_bytes, AEGIS_ARENA_ALIGN) + arena->guard_bytes == arena->ptr;
}

/* Resizes the latest allocation in place, in an arena in which nothing else has to see this: no
 * guard, no pattern, no wipe, no checker. False: it is another arena or allocation, or the block
 * has no room. */
static inline bool resize_plain(aegis_arena *arena, unsigned char *p, size_t old_bytes,
                                size_t new_bytes) {
    const uint32_t seen = AEGIS_I_ARENA_WATCHED | AEGIS_ARENA_WIPE;
    if ((arena->flags & seen) != 0 || !is_latest(arena, p, old_bytes) ||
        new_bytes > (size_t)(arena->limit - p))
        return false;
    aegis_i_arena_sync_block(arena);
    arena->ptr = p + aegis_i_round_up(new_bytes, AEGIS_ARENA_ALIGN);
    return true;
}

/* Cleans and hides the last bytes of the allocation at `p`, which are given up. */
static void drop_bytes(const aegis_arena *arena, unsigned char *p, unsigned char *from,
                       size_t size_bytes) {
    const uint32_t cleaned = AEGIS_ARENA_WIPE | AEGIS_ARENA_FILL;
    if (!AEGIS_I_CHECKED && (arena->flags & cleaned) == 0)
        return;
    if (is_older_than_scope(arena, p))
        return;
    aegis_i_clean_bytes(arena, from, size_bytes);
    AEGIS_I_HIDE(from, size_bytes);
}

/* The closed block that the allocation has to itself, if it is the last block in use, so that the
 * block can become idle again, as at a rewind. NULL: there is no such block, or a mark was taken
 * since. A rewind to that mark would go back to the block. */
static aegis_arena_block *single_block(aegis_arena *arena, const unsigned char *p,
                                       size_t size_bytes) {
    aegis_arena_block *block = arena->last;
    if (block == NULL || block == arena->block || (arena->flags & AEGIS_ARENA_OWN_BLOCKS) != 0)
        return NULL;
    /* An allocation that was made smaller has its guard behind its first end, and one with a large
     * alignment may have padding behind it. They stay. */
    bool holds = p >= aegis_i_block_start(block) && p < block->end &&
                 size_bytes <= (size_t)(block->end - p) &&
                 p + aegis_i_arena_span(arena, size_bytes) == block->top;
    if (!holds)
        return NULL;
    return block->single != 0 && block->single == aegis_i_arena_stamp(arena) ? block : NULL;
}

/* Makes the block of an allocation that has it to itself idle again. The block before it is looked
 * for in SINGLE_STEPS blocks, so that this takes constant time. False: it was not found. */
static bool free_single(aegis_arena *arena, unsigned char *p, size_t size_bytes,
                        aegis_i_damage *damage) {
    aegis_arena_block *block = single_block(arena, p, size_bytes);
    if (block == NULL)
        return false;
    aegis_arena_block *before = arena->block;
    for (int step = 0; before != NULL && before->next != block && step < SINGLE_STEPS; step++)
        before = before->next;
    if (before == NULL || before->next != block)
        return false;
    aegis_i_arena_sync_block(arena);
    aegis_i_guard_drop(arena, p, size_bytes, damage);
    arena->guards_bytes -= arena->guard_bytes;
    arena->closed_bytes -= aegis_i_block_capacity(block);
    arena->used_from += (size_t)(block->top - aegis_i_block_start(block));
    arena->last = before;
    assert(aegis_i_arena_is_valid(arena));
    return true;
}

void aegis_i_arena_free_last(aegis_arena *arena, void *memory, size_t size_bytes,
                             aegis_i_damage *damage) {
    if (is_latest(arena, (unsigned char *)memory, size_bytes)) {
        aegis_i_arena_sync_block(arena);
        aegis_i_guard_drop(arena, (unsigned char *)memory, size_bytes, damage);
        aegis_i_arena_set_ptr(arena, (unsigned char *)memory);
        arena->guards_bytes -= arena->guard_bytes;
    } else {
        (void)free_single(arena, (unsigned char *)memory, size_bytes, damage);
    }
    drop_bytes(arena, (unsigned char *)memory, (unsigned char *)memory, size_bytes);
}

void aegis_arena_free_last(aegis_arena *arena, void *memory, size_t size_bytes) {
    if (memory == NULL || resize_plain(arena, (unsigned char *)memory, size_bytes, 0))
        return;
    aegis_i_damage damage = {AEGIS_I_INTACT, 0, 0};
    aegis_i_arena_free_last(arena, memory, size_bytes, &damage);
    aegis_i_guard_report(arena, &damage);
}

/* Resizes the latest allocation in place. False: the block has no room for it. */
static bool resize_latest(aegis_arena *arena, unsigned char *p, size_t old_bytes, size_t new_bytes,
                          aegis_i_damage *damage) {
    size_t room_bytes = (size_t)(aegis_i_arena_end(arena) - p);
    if (new_bytes > room_bytes)
        return false;
    size_t span_bytes = aegis_i_round_up(new_bytes, AEGIS_ARENA_ALIGN) + arena->guard_bytes;
    if (span_bytes > room_bytes)
        return false;
    aegis_i_arena_sync_block(arena);
    aegis_i_guard_drop(arena, p, old_bytes, damage);
    if (new_bytes > old_bytes) {
        aegis_i_show_fresh(arena, p + old_bytes, new_bytes - old_bytes);
    } else {
        aegis_i_clean_bytes(arena, p + new_bytes, old_bytes - new_bytes);
        AEGIS_I_HIDE(p + new_bytes, old_bytes - new_bytes);
    }
    if ((arena->flags & AEGIS_ARENA_GUARD) != 0)
        aegis_i_guard_set(arena, p, new_bytes);
    aegis_i_arena_set_ptr(arena, p + span_bytes);
    return true;
}

bool aegis_i_arena_resize(aegis_arena *arena, unsigned char *p, size_t old_bytes, size_t new_bytes,
                          aegis_i_damage *damage) {
    assert(aegis_i_arena_is_valid(arena));
    if (is_latest(arena, p, old_bytes) && resize_latest(arena, p, old_bytes, new_bytes, damage))
        return true;
    if (new_bytes > old_bytes)
        return false;
    drop_bytes(arena, p, p + new_bytes, old_bytes - new_bytes);
    return true;
}

bool aegis_arena_resize_in_place(aegis_arena *arena, void *memory, size_t old_bytes,
                                 size_t new_bytes) {
    if (memory != NULL && resize_plain(arena, (unsigned char *)memory, old_bytes, new_bytes))
        return true;
    aegis_i_damage damage = {AEGIS_I_INTACT, 0, 0};
    bool resized = memory != NULL && aegis_i_arena_resize(arena, (unsigned char *)memory, old_bytes,
                                                          new_bytes, &damage);
    aegis_i_guard_report(arena, &damage);
    return resized;
}

void *aegis_arena_realloc_aligned(aegis_arena *arena, void *memory, size_t old_bytes,
                                  size_t new_bytes, size_t align_bytes) {
    if (memory == NULL)
        return aegis_arena_alloc_aligned(arena, new_bytes, align_bytes);
    if (aegis_arena_resize_in_place(arena, memory, old_bytes, new_bytes))
        return memory;
    void *moved = aegis_i_arena_alloc_regrown(arena, new_bytes, align_bytes);
    if (moved == NULL)
        return NULL;
    memcpy(moved, memory, old_bytes);
    aegis_arena_free_last(arena, memory, old_bytes);
    return moved;
}

void *aegis_arena_realloc(aegis_arena *arena, void *memory, size_t old_bytes, size_t new_bytes) {
    return aegis_arena_realloc_aligned(arena, memory, old_bytes, new_bytes, AEGIS_ARENA_ALIGN);
}

void *aegis_arena_memdup(aegis_arena *arena, const void *bytes, size_t size_bytes) {
    void *copy = aegis_arena_alloc(arena, size_bytes);
    if (copy != NULL && size_bytes != 0)
        memcpy(copy, bytes, size_bytes);
    return copy;
}

char *aegis_arena_strdup(aegis_arena *arena, const char *text) {
    return (char *)aegis_arena_memdup(arena, text, aegis_i_length(text) + 1);
}
