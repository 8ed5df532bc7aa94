/* SPDX-License-Identifier: Apache-2.0 */
/* Scopes: an arena's memory moves into an inner arena and back. Meanwhile the outer arena has no
 * blocks but those it acquires or finds idle; at the end the two are merged, so that what came from
 * the outer one stays and what came from the inner one is free.
 *
 * The mark in the scope is the floor of the inner arena: nothing below it is freed or changed
 * before the end. Marks from before the scope are suspended with the outer arena's generation. */
#include "scope.h"
#include "../base/text.h"
#include "blocks.h"
#include "defer.h"
#include "guard.h"
#include "mark.h"

_Static_assert(offsetof(aegis_arena_scope, arena) == 0, "an arena of a scope leads to the scope");

/* Gives `arena`, which has no blocks, the idle outer blocks of `from` from its own depth: a loop
 * whose scopes see allocations from outside then finds its blocks again. */
static void take_outer_blocks(aegis_arena *arena, aegis_arena *from) {
    if ((from->flags & AEGIS_I_ARENA_HAS_OUTER) == 0 || from->last == NULL)
        return;
    aegis_arena_block **list = &from->last->next;
    aegis_arena_block *tail = NULL;
    uint32_t flags = aegis_i_arena_block_flags(arena);
    while (*list != NULL) {
        aegis_arena_block *block = *list;
        if (block->flags != flags) {
            list = &block->next;
            continue;
        }
        *list = block->next;
        block->next = NULL;
        if (tail == NULL)
            aegis_i_arena_enter(arena, block);
        else
            tail->next = block;
        tail = block;
        size_t capacity_bytes = aegis_i_block_capacity(block);
        from->capacity_bytes -= capacity_bytes;
        from->reserved_bytes -= block->total_bytes;
        from->block_count--;
        arena->capacity_bytes += capacity_bytes;
        arena->reserved_bytes += block->total_bytes;
        arena->block_count++;
        if (block->total_bytes >= arena->next_block_bytes)
            aegis_i_arena_grow_step(arena, arena->next_block_bytes);
    }
}

/* Gives both arenas new generations, and numbers from one counter, which lies in the scope that is
 * the first to begin and so the last to end. */
static void begin_marks(aegis_arena *arena, aegis_arena_scope *scope) {
    scope->stamp_count = arena->stamp_count;
    if (arena->stamps == NULL)
        arena->stamps = &scope->stamp_count;
    scope->arena.stamps = arena->stamps;
    scope->arena.generation = ++*arena->stamps;
    arena->generation = ++*arena->stamps;
    arena->stale_count = 0;
    arena->stale_nodes = NULL;
}

/* Suspended marks of the outer arena, now in `inner`, are good again, but for a reset. */
static void end_marks(aegis_arena *arena, aegis_arena_scope *scope) {
    aegis_arena *inner = &scope->arena;
    bool was_reset = (arena->flags & AEGIS_I_ARENA_RESET) != 0;
    inner->generation = was_reset ? ++*arena->stamps : scope->mark.generation;
    aegis_i_arena_forget_marks(inner, scope->mark.stamp);
    if (arena->stamps == &scope->stamp_count) {
        inner->stamp_count = scope->stamp_count;
        inner->stamps = NULL;
    }
}

/* The bits that say of an arena what it is to the scopes. */
#define SCOPE_FLAGS                                                                                \
    (AEGIS_I_ARENA_SCOPED | AEGIS_I_ARENA_OUTER | AEGIS_I_ARENA_RESET | AEGIS_I_ARENA_WAS_OUTER |  \
     AEGIS_I_ARENA_WAS_RESET)

/* Sets the flags of both arenas, which are those of the outer one. */
static void begin_flags(aegis_arena *arena, aegis_arena *inner) {
    uint32_t flags = (arena->flags & ~SCOPE_FLAGS) | AEGIS_I_ARENA_SCOPED;
    if ((arena->flags & AEGIS_I_ARENA_OUTER) != 0)
        flags |= AEGIS_I_ARENA_WAS_OUTER;
    if ((arena->flags & AEGIS_I_ARENA_RESET) != 0)
        flags |= AEGIS_I_ARENA_WAS_RESET;
    inner->flags = flags + AEGIS_I_ARENA_DEPTH_ONE;
    arena->flags = (arena->flags & ~AEGIS_I_ARENA_RESET) | AEGIS_I_ARENA_OUTER;
}

/* The flags of the outer arena after the scope. A reset counts for the scopes still open too. */
static uint32_t end_flags(const aegis_arena *arena, const aegis_arena *inner) {
    uint32_t flags = (inner->flags - AEGIS_I_ARENA_DEPTH_ONE) & ~SCOPE_FLAGS;
    flags |= arena->flags & SCOPE_FLAGS & ~(AEGIS_I_ARENA_OUTER | AEGIS_I_ARENA_RESET);
    if ((inner->flags & AEGIS_I_ARENA_WAS_OUTER) == 0)
        return flags;
    if (((arena->flags & AEGIS_I_ARENA_RESET) | (inner->flags & AEGIS_I_ARENA_WAS_RESET)) != 0)
        flags |= AEGIS_I_ARENA_RESET;
    return flags | AEGIS_I_ARENA_OUTER;
}

void aegis_arena_scope_begin(aegis_arena *arena, aegis_arena_scope *scope) {
    assert(aegis_i_arena_is_valid(arena));
    scope->mark = aegis_arena_get_mark(arena);
    scope->arena = *arena;
    /* Its record is its own: nothing has failed yet. */
    scope->arena.failed_status = AEGIS_OK;
    scope->arena.failed_what = AEGIS_WHAT_BYTES;
    begin_marks(arena, scope);
    aegis_i_arena_forget_blocks(arena);
    arena->capacity_bytes = arena->reserved_bytes = arena->block_count = 0;
    arena->peak_used_bytes = 0;
    arena->acquired_count = arena->released_count = 0;
    arena->next_block_bytes = aegis_i_min(AEGIS_ARENA_MIN_BLOCK, arena->max_block_bytes);
    begin_flags(arena, &scope->arena);
    arena->scope = &scope->arena;
    take_outer_blocks(arena, &scope->arena);
}

/* Puts the blocks of `from`, which must have some, behind those of `to` that are in use. Those in
 * use stay so, and of the two current blocks the one with more room stays current. */
static void merge_blocks(aegis_arena *to, aegis_arena *from) {
    aegis_i_arena_sync_block(to);
    aegis_i_arena_sync_block(from);
    aegis_arena_block *tail = from->last;
    while (tail->next != NULL)
        tail = tail->next;
    tail->next = to->last->next;
    to->last->next = from->first;
    if (aegis_i_arena_is_unused(from))
        return;

    size_t to_room = (size_t)(aegis_i_arena_end(to) - to->ptr);
    size_t from_room = (size_t)(aegis_i_arena_end(from) - from->ptr);
    aegis_arena *roomier = from_room > to_room ? from : to;
    aegis_arena *other = roomier == to ? from : to;
    other->block->top = other->ptr;
    to->closed_bytes += from->closed_bytes + aegis_i_block_capacity(other->block);
    to->wasted_bytes += from->wasted_bytes + aegis_i_min(to_room, from_room);
    to->last = from->last;
    to->block = roomier->block;
    to->dirty_end = roomier->dirty_end;
    aegis_i_arena_set_ptr(to, roomier->ptr);
}

/* Moves all that `from` holds into `to`; `from` is not used afterwards. */
static void merge(aegis_arena *to, aegis_arena *from) {
    if (from->deferred != NULL) {
        aegis_arena_deferred *oldest = from->deferred;
        while (oldest->next != NULL)
            oldest = oldest->next;
        oldest->next = to->deferred;
        to->deferred = from->deferred;
    }
    if (from->first != NULL)
        to->flags |= AEGIS_I_ARENA_HAS_OUTER;
    if (from->first != NULL && to->first != NULL) {
        merge_blocks(to, from);
    } else if (from->first != NULL) {
        to->first = from->first;
        to->closed_bytes = from->closed_bytes;
        to->wasted_bytes = from->wasted_bytes;
        to->last = from->last;
        to->block = from->block;
        to->dirty_end = from->dirty_end;
        aegis_i_arena_set_ptr(to, from->ptr);
    }
    aegis_i_guard_merge(to, from);
    to->capacity_bytes += from->capacity_bytes;
    to->reserved_bytes += from->reserved_bytes;
    to->block_count += from->block_count;
    to->acquired_count += from->acquired_count;
    to->released_count += from->released_count;
}

/* Gives `to` the error record of `from`. */
static void copy_record(aegis_arena *to, const aegis_arena *from) {
    to->failed_bytes = from->failed_bytes;
    to->failed_align_bytes = from->failed_align_bytes;
    to->failed_limit_bytes = from->failed_limit_bytes;
    to->failed_in_use_bytes = from->failed_in_use_bytes;
    to->failed_budget = from->failed_budget;
    to->failed_status = from->failed_status;
    to->failed_what = from->failed_what;
}

void aegis_arena_scope_end(aegis_arena *arena, aegis_arena_scope *scope) {
    aegis_arena *inner = &scope->arena;
    if (AEGIS_I_DEBUG && (arena->scope != inner || (inner->flags & AEGIS_I_ARENA_OUTER) != 0))
        aegis_i_report("arena '%s': a scope ended before one that began later", arena->name);
    aegis_i_arena_free_since(inner, &scope->mark);
    merge(inner, arena);
    end_marks(arena, scope);
    copy_record(inner, arena);
    inner->flags = end_flags(arena, inner);
    *arena = *inner;
    assert(aegis_i_arena_is_valid(arena));
}

bool aegis_i_arena_leave_scopes(aegis_arena *arena) {
    if ((arena->flags & AEGIS_I_ARENA_OUTER) == 0)
        return false;
    const uint32_t depth = arena->flags / AEGIS_I_ARENA_DEPTH_ONE;
    aegis_arena *latest = NULL;
    for (aegis_arena *inner = arena->scope; inner != NULL; inner = inner->scope) {
        /* The others were begun on scopes, and remain theirs. */
        if ((inner->flags - AEGIS_I_ARENA_DEPTH_ONE) / AEGIS_I_ARENA_DEPTH_ONE != depth)
            continue;
        inner->flags &= ~AEGIS_I_ARENA_SCOPED;
        if (inner->budget != NULL)
            (void)aegis_budget_retain(inner->budget);
        if (latest != NULL)
            latest->source.close = NULL;
        latest = inner;
    }
    return true;
}
