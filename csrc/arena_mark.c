/* SPDX-License-Identifier: Apache-2.0 */
/* Going back: marks, rewinding, reset.
 *
 * Which marks are good: every mark and every generation of an arena gets a number from a counter
 * that never goes back, and that an arena shares with its scopes while they are open. A reset, a
 * trim that may move the first block, and each border of a scope give the arena a new generation,
 * which its older marks do not have. A rewind makes the marks between its own and the latest stale:
 * a span of numbers, kept in a short stack in rising order. A rewind further back swallows the
 * spans above it, so there is one for each mark in use that others were dropped behind. What falls
 * out at the bottom of a full stack goes unnoticed; to know all would take memory without bound,
 * as any selection of the marks made so far can be stale. */
#include "harden.h"
#include "internal.h"

/* Tells the checkers that nothing of the current block above `ptr` and of the idle blocks is
 * handed out. Costs nothing, not even the walk, without a checker. */
static void hide_free(const aegis_arena *arena) {
    if (!AEGIS_I_CHECKED || arena->block == NULL)
        return;
    AEGIS_I_HIDE(arena->ptr, (size_t)(arena->block->end - arena->ptr));
    for (aegis_arena_block *block = arena->last->next; block != NULL; block = block->next)
        AEGIS_I_HIDE(aegis_i_block_start(block), aegis_i_block_capacity(block));
}

/* Makes `block` current at `ptr`; the blocks behind `last` become idle, or are returned, to be
 * released, if each allocation has one of its own. */
static aegis_arena_block *go_back(aegis_arena *arena, aegis_arena_block *block, unsigned char *ptr,
                                  aegis_arena_block *last) {
    aegis_arena_block *freed_list = NULL;
    aegis_i_arena_sync_block(arena);
    if ((arena->flags & (AEGIS_ARENA_WIPE | AEGIS_ARENA_FILL)) != 0) {
        aegis_i_clean(arena, block, ptr);
        for (aegis_arena_block *freed = last; freed != arena->last;) {
            freed = freed->next;
            aegis_i_clean(arena, freed, aegis_i_block_start(freed));
        }
    }
    arena->block = block;
    arena->last = last;
    arena->dirty_end = block->dirty_end;
    aegis_i_arena_set_ptr(arena, ptr);
    if ((arena->flags & AEGIS_ARENA_OWN_BLOCKS) != 0) {
        freed_list = last->next;
        last->next = NULL;
    }
    hide_free(arena);
    return freed_list;
}

/* Frees everything; what was deferred has run. */
static void free_all(aegis_arena *arena) {
    if (arena->guards != NULL)
        aegis_i_guard_check(arena, 0);
    if (arena->first == NULL)
        return;
    aegis_arena_block *freed =
        go_back(arena, arena->first, aegis_i_block_start(arena->first), arena->first);
    arena->closed_bytes = arena->wasted_bytes = 0;
    aegis_i_arena_release(arena, freed);
    /* The source may have allocated as it took those back. */
    if ((arena->flags & AEGIS_ARENA_OWN_BLOCKS) != 0 && aegis_i_arena_is_unused(arena))
        aegis_i_arena_trim_unused(arena, 0);
}

void aegis_i_arena_free_since(aegis_arena *arena, const aegis_arena_mark *mark) {
    aegis_i_arena_run_deferred(arena, mark != NULL ? mark->deferred : NULL);
    if (mark == NULL || mark->block == NULL) {
        free_all(arena);
        return;
    }
    aegis_i_guard_check(arena, mark->guard_count);
    aegis_arena_block *freed = go_back(arena, mark->block, mark->ptr, mark->last);
    arena->closed_bytes = mark->closed_bytes;
    arena->wasted_bytes = mark->wasted_bytes;
    aegis_i_arena_release(arena, freed);
}

/* The counter that numbers come from. */
static uint64_t *stamps_of(aegis_arena *arena) {
    return arena->stamps != NULL ? arena->stamps : &arena->stamp_count;
}

void aegis_i_arena_forget_marks(aegis_arena *arena, uint64_t stamp) {
    while (arena->stale_count != 0 && arena->stale[arena->stale_count - 1].after >= stamp)
        arena->stale_count--;
}

void aegis_i_arena_renew(aegis_arena *arena) {
    const aegis_arena_mark *floor = aegis_i_arena_floor(arena);
    aegis_i_arena_forget_marks(arena, floor != NULL ? floor->stamp : 0);
    arena->generation = ++*stamps_of(arena);
}

/* Makes the marks that were taken after the one with this number stale. */
static void retire_marks(aegis_arena *arena, uint64_t stamp) {
    uint64_t latest = *stamps_of(arena);
    if (stamp == latest)
        return;
    aegis_i_arena_forget_marks(arena, stamp);
    if (arena->stale_count == AEGIS_ARENA_STALE_SPANS) {
        arena->stale_count--;
        memmove(&arena->stale[0], &arena->stale[1], arena->stale_count * sizeof arena->stale[0]);
    }
    aegis_arena_stale_span span = {stamp, latest};
    arena->stale[arena->stale_count++] = span;
}

static bool is_good(const aegis_arena *arena, const aegis_arena_mark *mark) {
    if ((arena->flags & AEGIS_I_ARENA_LOCAL) != 0 && !aegis_i_local_is_current(arena))
        return false;
    if (mark->generation != arena->generation)
        return false;
    for (size_t i = 0; i < arena->stale_count; i++)
        if (mark->stamp > arena->stale[i].after && mark->stamp <= arena->stale[i].last)
            return false;
    return true;
}

aegis_arena_mark aegis_arena_get_mark(aegis_arena *arena) {
    aegis_arena_mark mark = {arena->block,        arena->last,         arena->ptr,
                             arena->deferred,     arena->closed_bytes, arena->wasted_bytes,
                             arena->guards_bytes, arena->guard_count,  arena->generation,
                             ++*stamps_of(arena)};
    return mark;
}

aegis_status aegis_arena_rewind(aegis_arena *arena, const aegis_arena_mark *mark) {
    assert(aegis_i_arena_is_valid(arena));
    if (!is_good(arena, mark))
        return AEGIS_E_INVALID;
    aegis_i_arena_free_since(arena, mark);
    retire_marks(arena, mark->stamp);
    assert(aegis_i_arena_is_valid(arena));
    return AEGIS_OK;
}

void aegis_arena_reset(aegis_arena *arena) {
    assert(aegis_i_arena_is_valid(arena));
    aegis_i_arena_free_since(arena, aegis_i_arena_floor(arena));
    aegis_i_arena_renew(arena);
    if ((arena->flags & AEGIS_I_ARENA_OUTER) != 0)
        arena->flags |= AEGIS_I_ARENA_RESET;
    arena->reset_count++;
    assert(aegis_i_arena_is_valid(arena));
}
