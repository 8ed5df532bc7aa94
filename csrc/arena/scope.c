/* SPDX-License-Identifier: Apache-2.0 */
/* Scopes: the memory of an arena moves into an inner arena, and back at the end.
 *
 * Invariants:
 * 1. While the scope is open, the inner arena has all blocks from before the scope. The outer arena
 *    has only blocks that it acquires meanwhile, or that it takes from the idle blocks of the inner
 *    arena (aegis_arena_scope_begin; find_idle in chain.c).
 * 2. The mark in the scope is the floor of the inner arena: nothing below it is freed or changed
 *    before the end (aegis_i_arena_floor, asked by aegis_arena_reset and aegis_arena_trim in
 *    mark.c, and by is_older_than_scope and is_latest in resize.c). aegis_arena_fini only resets
 *    the arena of a scope.
 * 3. Both arenas have new generations during the scope, so neither accepts marks from before it
 *    (begin_marks). The mark in the scope keeps the old generation. At the end the old marks are
 *    good again, unless the outer arena was reset during the scope (end_marks).
 * 4. A block that the outer arena acquires during the scope is flagged as an outer block of its
 *    depth (aegis_i_arena_block_flags). The next scope at that depth gives its outer arena the idle
 *    blocks with this flag (take_outer_blocks), so a loop of scopes acquires nothing new.
 *
 * The end is right: aegis_arena_scope_end goes back to the floor, which by 1 and 2 frees what the
 * inner arena has allocated and nothing else. Then it merges the blocks of the outer arena into the
 * inner one and moves that back into the outer arena, so what the outer arena has allocated stays.
 *
 * A merge closes one of the two current blocks without the test of may_serve in chain.c. So after
 * it the waste may be above a quarter. */
#include "scope.h"
#include "../base/text.h"
#include "blocks.h"
#include "defer.h"
#include "guard.h"
#include "mark.h"

_Static_assert(offsetof(aegis_arena_scope, arena) == 0, "an arena of a scope leads to the scope");

/* Gives `arena`, which has no blocks, the idle outer blocks of `from` that have its own depth. A
 * loop whose scopes see allocations from outside then finds its blocks again. */
static void take_outer_blocks(aegis_arena *arena, aegis_arena *from) {
    if ((from->flags & AEGIS_I_ARENA_HAS_OUTER) == 0 || from->last == NULL)
        return;
    aegis_arena_block **list = &from->last->next;
    aegis_arena_block *tail = NULL;
    uint32_t flags = aegis_i_arena_block_flags(arena);
    while (*list != NULL) {
        aegis_arena_block *block = *list;
        if ((block->flags & ~AEGIS_I_BLOCK_OWN) != flags) {
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

/* Gives both arenas new generations, and lets them take numbers from one counter. The counter lies
 * in the outermost open scope, which is the first to begin and so the last to end. */
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

/* Makes the suspended marks of the outer arena, which is now in `inner`, good again, so it has the
 * number of resets from before the scope. After a reset of the outer arena they become stale
 * instead. */
static void end_marks(aegis_arena *arena, aegis_arena_scope *scope) {
    aegis_arena *inner = &scope->arena;
    bool was_reset = (arena->flags & AEGIS_I_ARENA_RESET) != 0;
    inner->generation = was_reset ? ++*arena->stamps : scope->mark.generation;
    inner->scoped_reset_count += inner->reset_count - scope->mark.reset_count;
    inner->reset_count = scope->mark.reset_count;
    aegis_i_arena_forget_marks(inner, scope->mark.stamp);
    if (arena->stamps == &scope->stamp_count) {
        inner->stamp_count = scope->stamp_count;
        inner->stamps = NULL;
    }
}

/* The flags that say how an arena is related to scopes. */
#define SCOPE_FLAGS                                                                                \
    (AEGIS_I_ARENA_SCOPED | AEGIS_I_ARENA_OUTER | AEGIS_I_ARENA_RESET | AEGIS_I_ARENA_WAS_OUTER |  \
     AEGIS_I_ARENA_WAS_RESET)

/* Sets the flags of both arenas, which begin as those of the outer arena. */
static void begin_flags(aegis_arena *arena, aegis_arena *inner) {
    uint32_t flags = (arena->flags & ~SCOPE_FLAGS) | AEGIS_I_ARENA_SCOPED;
    if ((arena->flags & AEGIS_I_ARENA_OUTER) != 0)
        flags |= AEGIS_I_ARENA_WAS_OUTER;
    if ((arena->flags & AEGIS_I_ARENA_RESET) != 0)
        flags |= AEGIS_I_ARENA_WAS_RESET;
    inner->flags = flags + AEGIS_I_ARENA_DEPTH_ONE;
    arena->flags = (arena->flags & ~AEGIS_I_ARENA_RESET) | AEGIS_I_ARENA_OUTER;
}

/* The flags of the outer arena after the scope. A reset during the scope also counts for the scopes
 * that are still open. */
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
    scope->arena.home = NULL;
    /* The arena of the scope has an error record of its own: nothing has failed yet. */
    scope->arena.failed_status = AEGIS_OK;
    scope->arena.failed_what = AEGIS_WHAT_BYTES;
    begin_marks(arena, scope);
    aegis_i_arena_forget_blocks(arena);
    arena->capacity_bytes = arena->reserved_bytes = arena->block_count = 0;
    arena->peak_used_bytes = 0;
    arena->acquired_count = arena->released_count = 0;
    arena->reset_count = arena->scoped_reset_count = 0;
    arena->next_block_bytes = aegis_i_min(AEGIS_ARENA_MIN_BLOCK, arena->max_block_bytes);
    begin_flags(arena, &scope->arena);
    arena->scope = &scope->arena;
    take_outer_blocks(arena, &scope->arena);
}

/* Puts the blocks of `from`, which must have some, behind the blocks of `to` that are in use. The
 * blocks in use stay in use. Of the two current blocks the one with more room stays current. */
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

    size_t used_bytes = aegis_i_arena_guarded(to) + aegis_i_arena_guarded(from);
    size_t to_room = (size_t)(aegis_i_arena_end(to) - to->ptr);
    size_t from_room = (size_t)(aegis_i_arena_end(from) - from->ptr);
    aegis_arena *roomier = from_room > to_room ? from : to;
    aegis_arena *other = roomier == to ? from : to;
    other->block->top = other->ptr;
    to->closed_bytes += from->closed_bytes + aegis_i_block_capacity(other->block);
    to->last = from->last;
    to->block = roomier->block;
    to->dirty_end = roomier->dirty_end;
    aegis_i_arena_set_ptr(to, roomier->ptr);
    to->used_from = (uintptr_t)to->ptr - used_bytes;
}

/* Moves everything that `from` holds into `to`. `from` is not used afterwards. */
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
        to->used_from = from->used_from;
        to->last = from->last;
        to->block = from->block;
        to->dirty_end = from->dirty_end;
        aegis_i_arena_set_ptr(to, from->ptr);
    }
    aegis_i_guard_merge(to, from);
    to->guards_bytes += from->guards_bytes;
    to->peak_used_bytes = aegis_i_max(to->peak_used_bytes, from->peak_used_bytes);
    to->capacity_bytes += from->capacity_bytes;
    to->reserved_bytes += from->reserved_bytes;
    to->block_count += from->block_count;
    to->acquired_count += from->acquired_count;
    to->released_count += from->released_count;
    to->scoped_reset_count += from->reset_count + from->scoped_reset_count;
}

/* Gives `to` the error record of `from`. */
static void copy_record(aegis_arena *to, const aegis_arena *from) {
    to->failed_bytes = from->failed_bytes;
    to->failed_align_bytes = from->failed_align_bytes;
    to->failed_limit_bytes = from->failed_limit_bytes;
    to->failed_in_use_bytes = from->failed_in_use_bytes;
    to->failed_needed_bytes = from->failed_needed_bytes;
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
    aegis_i_arena_set_home(arena);
    assert(aegis_i_arena_is_valid(arena));
}

bool aegis_i_arena_leave_scopes(aegis_arena *arena) {
    if ((arena->flags & AEGIS_I_ARENA_OUTER) == 0)
        return false;
    const uint32_t depth = arena->flags / AEGIS_I_ARENA_DEPTH_ONE;
    aegis_arena *latest = NULL;
    for (aegis_arena *inner = arena->scope; inner != NULL; inner = inner->scope) {
        /* The other arenas in this list belong to scopes that were begun on scopes. They stay as
         * they are. */
        if ((inner->flags - AEGIS_I_ARENA_DEPTH_ONE) / AEGIS_I_ARENA_DEPTH_ONE != depth)
            continue;
        inner->flags &= ~AEGIS_I_ARENA_SCOPED;
        (void)aegis_i_budget_keep(inner->budget);
        if (latest != NULL)
            latest->source.close = NULL;
        latest = inner;
    }
    return true;
}
