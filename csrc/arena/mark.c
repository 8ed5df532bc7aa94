/* SPDX-License-Identifier: Apache-2.0 */
/* Going back: marks, rewinding, reset.
 *
 * Which marks are good: every mark and every generation of an arena gets a number from a counter
 * that never goes back, and that an arena shares with its scopes while they are open. A reset, a
 * trim that may move the first block, and each border of a scope give the arena a new generation,
 * which its older marks do not have. A rewind makes the marks between its own and the latest stale:
 * a span of numbers, kept in a stack in rising order. A rewind further back swallows the spans
 * above it, so there is one for each mark in use that others were dropped behind. The stack begins
 * in the struct and goes on in the arena's own memory: a span is put where the rewind has gone back
 * to, so that its memory is freed just when the span is swallowed. If there is no room, two spans
 * become one, and the good marks between them are refused. */
#include "mark.h"
#include "../base/harden.h"
#include "chain.h"
#include "defer.h"
#include "guard.h"
#include "trim.h"

struct aegis_arena_stale_node {
    aegis_arena_stale_node *older;
    aegis_arena_stale_span span;
};

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
static inline aegis_arena_block *go_back(aegis_arena *arena, aegis_arena_block *block,
                                         unsigned char *ptr, aegis_arena_block *last) {
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
    if ((arena->flags & AEGIS_ARENA_OWN_BLOCKS) == 0)
        return;
    aegis_i_arena_release(arena, freed);
    /* The source may have allocated as it took those back. */
    if (aegis_i_arena_is_unused(arena))
        aegis_i_arena_trim_unused(arena, 0);
}

void aegis_i_arena_free_since(aegis_arena *arena, const aegis_arena_mark *mark) {
    if (arena->deferred != NULL)
        aegis_i_arena_run_deferred(arena, mark != NULL ? mark->deferred : NULL);
    /* Before the memory goes that some of the spans are in. */
    if (arena->stale_count != 0)
        aegis_i_arena_forget_marks(arena, mark != NULL ? mark->stamp : 0);
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
    while (arena->stale_nodes != NULL && arena->stale_nodes->span.after >= stamp)
        arena->stale_nodes = arena->stale_nodes->older;
    if (arena->stale_nodes != NULL)
        return; /* Those in the struct are older. */
    while (arena->stale_count != 0 && arena->stale[arena->stale_count - 1].after >= stamp)
        arena->stale_count--;
}

void aegis_i_arena_renew(aegis_arena *arena) {
    const aegis_arena_mark *floor = aegis_i_arena_floor(arena);
    if (arena->stale_count != 0)
        aegis_i_arena_forget_marks(arena, floor != NULL ? floor->stamp : 0);
    arena->generation = ++*stamps_of(arena);
}

/* Puts the newest span into the arena's memory. Not by way of the source, which could use the arena
 * meanwhile. False: no block has room. */
static bool add_node(aegis_arena *arena, aegis_arena_stale_span span) {
    aegis_i_request request = {
        sizeof(aegis_arena_stale_node), AEGIS_ARENA_ALIGN, 0, 0, false, false, false};
    aegis_arena_stale_node *node = (aegis_arena_stale_node *)aegis_i_arena_serve(arena, &request);
    if (node == NULL)
        return false;
    node->older = arena->stale_nodes;
    node->span = span;
    arena->stale_nodes = node;
    return true;
}

/* Makes the marks that were taken after the one with this number stale. The spans that begin there
 * or later are forgotten already. */
static void retire_marks(aegis_arena *arena, uint64_t stamp) {
    aegis_arena_stale_span span = {stamp, *stamps_of(arena)};
    aegis_arena_stale_span *spans = arena->stale;
    bool full = arena->stale_count == AEGIS_ARENA_STALE_SPANS;
    if (span.after == span.last || (full && add_node(arena, span)))
        return;
    if (arena->stale_nodes != NULL) {
        /* The two newest: what is in the struct stays older. */
        arena->stale_nodes->span.last = span.last;
        return;
    }
    if (full) {
        /* The two oldest. */
        spans[1].after = spans[0].after;
        memmove(&spans[0], &spans[1], --arena->stale_count * sizeof spans[0]);
    }
    spans[arena->stale_count++] = span;
}

static bool is_in(uint64_t stamp, const aegis_arena_stale_span *span) {
    return stamp > span->after && stamp <= span->last;
}

static bool is_good(const aegis_arena *arena, const aegis_arena_mark *mark) {
    if (!aegis_i_arena_is_current(arena))
        return false;
    if (mark->generation != arena->generation)
        return false;
    for (size_t i = 0; i < arena->stale_count; i++)
        if (is_in(mark->stamp, &arena->stale[i]))
            return false;
    const aegis_arena_stale_node *node = arena->stale_nodes;
    while (node != NULL && !is_in(mark->stamp, &node->span))
        node = node->older;
    return node == NULL;
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
