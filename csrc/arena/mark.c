/* SPDX-License-Identifier: Apache-2.0 */
/* Going back: marks, rewinding, reset.
 *
 * A mark is good if the arena can still go back to it: nothing has freed the memory that was in use
 * when the mark was taken. The arena knows by numbers which marks are good.
 *
 * Invariants:
 * 1. Every mark and every generation of an arena gets a number from a counter that only rises
 *    (aegis_i_arena_stamps). An arena and its open scopes use one counter (begin_marks in scope.c).
 * 2. A mark holds the generation of its arena and the number of resets (aegis_arena_get_mark). A
 *    reset counts that number up, which costs less than a new generation. A trim that may move the
 *    first block gives a new generation (aegis_i_arena_renew). So does the begin of a scope
 *    (begin_marks). The end of a scope gives the arena the generation and the number of resets from
 *    before the scope again, or a new generation if there was a reset (end_marks). So in one
 *    generation of an arena the number of resets only rises.
 * 3. A rewind makes every mark stale that is newer than its own mark. Their numbers are a span:
 *    above the number of its own mark, up to the latest number given (retire_marks).
 * 4. The spans are a stack in rising order, without overlaps. A rewind to a mark first drops the
 *    spans that begin at the mark's number or later (aegis_i_arena_forget_marks), because its own
 *    span covers them. So there is one span for each good mark after which other marks became
 *    stale.
 * 5. The stack begins in the struct and continues in the arena's own memory. A rewind puts its span
 *    at the place that it has gone back to (add_node). A rewind that frees this memory drops the
 *    span before that, by invariant 4 (aegis_i_arena_free_since).
 * 6. If there is no room for a span, two older spans that are neighbours become one (retire_marks).
 *    So the good marks between the two are refused, but never the mark of the latest rewind.
 *
 * No stale mark is accepted (is_good): after a reset, a trim or the border of a scope its
 * generation or its number of resets differs, by 2. After a rewind to an older mark its number is
 * in a span, by 3, and it stays in one, because spans are only joined or covered by a larger span,
 * by 4 and 6. A good mark is refused only by 6.
 *
 * Numbers are used once, by 1, so no stale mark is ever equal to a later good one. */
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

/* Tells the checkers that the bytes of the current block above `ptr` and the bytes of the idle
 * blocks are not handed out. Without a checker this costs nothing, not even the walk. */
static void hide_free(const aegis_arena *arena) {
    if (!AEGIS_I_CHECKED || arena->block == NULL)
        return;
    AEGIS_I_HIDE(arena->ptr, (size_t)(arena->block->end - arena->ptr));
    for (aegis_arena_block *block = arena->last->next; block != NULL; block = block->next)
        AEGIS_I_HIDE(aegis_i_block_start(block), aegis_i_block_capacity(block));
}

/* Cleans what is freed, as the flags ask: the current block from `ptr` on and the blocks in use
 * behind `last`. If each allocation has a block of its own, takes the blocks behind `last` out of
 * the chain and returns them. */
static AEGIS_I_COLD aegis_arena_block *clean_freed(aegis_arena *arena, aegis_arena_block *block,
                                                   unsigned char *ptr, aegis_arena_block *last) {
    if ((arena->flags & (AEGIS_ARENA_WIPE | AEGIS_ARENA_FILL)) != 0) {
        aegis_i_clean(arena, block, ptr);
        for (aegis_arena_block *freed = last; freed != arena->last;) {
            freed = freed->next;
            aegis_i_clean(arena, freed, aegis_i_block_start(freed));
        }
    }
    if ((arena->flags & AEGIS_ARENA_OWN_BLOCKS) == 0)
        return NULL;
    aegis_arena_block *freed_list = last->next;
    last->next = NULL;
    return freed_list;
}

/* Makes `block` the current block, at `ptr`. The blocks behind `last` become idle. If each
 * allocation has a block of its own, these blocks are returned instead, and the caller releases
 * them. */
static inline aegis_arena_block *go_back(aegis_arena *arena, aegis_arena_block *block,
                                         unsigned char *ptr, aegis_arena_block *last) {
    const uint32_t cleaned = AEGIS_ARENA_WIPE | AEGIS_ARENA_FILL;
    aegis_arena_block *freed_list = NULL;
    aegis_i_arena_sync_block(arena);
    /* One test for all these flags, because most arenas have none of them. */
    if ((arena->flags & (cleaned | AEGIS_ARENA_OWN_BLOCKS)) != 0)
        freed_list = clean_freed(arena, block, ptr, last);
    arena->block = block;
    block->single = 0;
    arena->last = last;
    arena->dirty_end = block->dirty_end;
    aegis_i_arena_set_ptr(arena, ptr);
    hide_free(arena);
    return freed_list;
}

/* Frees everything. The deferred functions have run already. */
static void free_all(aegis_arena *arena) {
    if (arena->guards != NULL)
        aegis_i_guard_check(arena, 0);
    if (arena->first == NULL)
        return;
    aegis_arena_block *freed =
        go_back(arena, arena->first, aegis_i_block_start(arena->first), arena->first);
    arena->closed_bytes = arena->guards_bytes = 0;
    arena->used_from = (uintptr_t)arena->ptr;
    if ((arena->flags & AEGIS_ARENA_OWN_BLOCKS) == 0)
        return;
    aegis_i_arena_release(arena, freed);
    /* The source may have allocated from the arena while it took those blocks back. */
    if (aegis_i_arena_is_unused(arena))
        aegis_i_arena_trim_unused(arena, 0);
}

void aegis_i_arena_free_since(aegis_arena *arena, const aegis_arena_mark *mark) {
    if (arena->deferred != NULL)
        aegis_i_arena_run_deferred(arena, mark != NULL ? mark->deferred : NULL);
    /* This comes before the memory is freed, because some of the spans lie in that memory. */
    if (arena->stale_count != 0)
        aegis_i_arena_forget_marks(arena, mark != NULL ? mark->stamp : 0);
    if (mark == NULL || mark->block == NULL) {
        free_all(arena);
        return;
    }
    aegis_i_guard_check(arena, mark->guard_count);
    aegis_arena_block *freed = go_back(arena, mark->block, mark->ptr, mark->last);
    arena->closed_bytes = mark->closed_bytes;
    arena->used_from = mark->used_from;
    arena->guards_bytes = mark->guards_bytes;
    aegis_i_arena_release(arena, freed);
}

void aegis_i_arena_forget_marks(aegis_arena *arena, uint64_t stamp) {
    while (arena->stale_nodes != NULL && arena->stale_nodes->span.after >= stamp)
        arena->stale_nodes = arena->stale_nodes->older;
    if (arena->stale_nodes != NULL)
        return; /* The spans in the struct are older than the one that stays. */
    while (arena->stale_count != 0 && arena->stale[arena->stale_count - 1].after >= stamp)
        arena->stale_count--;
}

void aegis_i_arena_renew(aegis_arena *arena) {
    const aegis_arena_mark *floor = aegis_i_arena_floor(arena);
    if (arena->stale_count != 0)
        aegis_i_arena_forget_marks(arena, floor != NULL ? floor->stamp : 0);
    arena->generation = ++*aegis_i_arena_stamps(arena);
}

/* Puts the newest span into the arena's memory. It does not ask the source for a block, because the
 * source could use the arena meanwhile. False: no block has room. */
static bool add_node(aegis_arena *arena, aegis_arena_stale_span span) {
    aegis_i_request request = {
        sizeof(aegis_arena_stale_node), AEGIS_ARENA_ALIGN, 0, 0, false, false, false, false};
    aegis_arena_stale_node *node = (aegis_arena_stale_node *)aegis_i_arena_serve(arena, &request);
    if (node == NULL)
        return false;
    node->older = arena->stale_nodes;
    node->span = span;
    arena->stale_nodes = node;
    return true;
}

/* Makes the marks stale that were taken after the mark with this number. The spans that begin at
 * this number or later are dropped already. */
static void retire_marks(aegis_arena *arena, uint64_t stamp) {
    aegis_arena_stale_span span = {stamp, *aegis_i_arena_stamps(arena)};
    aegis_arena_stale_span *spans = arena->stale;
    bool full = arena->stale_count == AEGIS_ARENA_STALE_SPANS;
    if (span.after == span.last)
        return;
    arena->home = NULL;
    if (full && add_node(arena, span))
        return;
    if (arena->stale_nodes != NULL) {
        /* Joins the two spans before this one, so that the mark of this rewind stays good, and the
         * spans in the struct stay the older ones. */
        aegis_arena_stale_node *newest = arena->stale_nodes;
        aegis_arena_stale_span *before =
            newest->older != NULL ? &newest->older->span : &spans[AEGIS_ARENA_STALE_SPANS - 1];
        before->last = newest->span.last;
        newest->span = span;
        return;
    }
    if (full) {
        /* Joins the two oldest spans. */
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
    if (mark->generation != arena->generation || mark->reset_count != arena->reset_count)
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
    aegis_arena_mark mark = {arena->block,
                             arena->last,
                             arena->ptr,
                             arena->deferred,
                             arena->closed_bytes,
                             arena->used_from,
                             arena->guards_bytes,
                             arena->guard_count,
                             arena->generation,
                             arena->reset_count,
                             ++*aegis_i_arena_stamps(arena)};
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

void aegis_arena_reset_slow(aegis_arena *arena) {
    assert(aegis_i_arena_is_valid(arena));
    aegis_i_arena_free_since(arena, aegis_i_arena_floor(arena));
    aegis_i_arena_renew(arena);
    if ((arena->flags & AEGIS_I_ARENA_OUTER) != 0)
        arena->flags |= AEGIS_I_ARENA_RESET;
    arena->reset_count++;
    aegis_i_arena_set_home(arena);
    assert(aegis_i_arena_is_valid(arena));
}
