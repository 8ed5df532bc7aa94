/* SPDX-License-Identifier: Apache-2.0 */
/* The block chain of an arena: where an allocation goes when the current block is full.
 *
 * The chain holds the blocks in use, up to `last`, then the idle ones. A request that does not fit
 * takes the first idle block that may serve it, else a new one: of the growth step, which doubles
 * up to a maximum, or of just its own size. Of the block at hand and the block found, the one with
 * more room left stays current and the other is closed.
 *
 * A choice that would close a block whose unused end, with all ends closed before it, made up a
 * quarter of the blocks in use is not taken; a block of the request's own size leaves no end, so
 * there always is a choice. The same requests after a reset meet the same idle blocks in the same
 * order and pass the same test, so they acquire nothing. */
#include "harden.h"
#include "internal.h"

/* An idle block this many times larger than the growth step is kept for large requests. */
#define IDLE_EXCESS 4

bool aegis_i_arena_is_valid(const aegis_arena *arena) {
    const aegis_arena_block *block = arena->block;
    if (((uintptr_t)arena->ptr | (uintptr_t)arena->limit) % AEGIS_ARENA_ALIGN != 0)
        return false;
    if (arena->ptr == NULL || arena->ptr > arena->limit ||
        arena->wasted_bytes > arena->closed_bytes)
        return false;
    if (block == NULL)
        return arena->first == NULL && arena->last == NULL && arena->limit == arena->ptr;
    return arena->first != NULL && arena->last != NULL && arena->limit <= block->end &&
           arena->ptr >= aegis_i_block_start(block) && arena->dirty_end <= block->end &&
           arena->closed_bytes + aegis_i_block_capacity(block) <= arena->capacity_bytes;
}

void *aegis_i_arena_fail(aegis_arena *arena, const aegis_i_refusal *why, size_t size_bytes,
                         size_t align_bytes) {
    aegis_error error;
    (void)aegis_i_error_bytes(&error, why->status, size_bytes, align_bytes);
    error.limit_bytes = why->status == AEGIS_E_EXHAUSTED ? arena->capacity_bytes : 0;
    error.in_use_bytes = aegis_i_arena_used(arena);
    aegis_i_explain_refusal(why, &error);
    arena->failed_status = error.status;
    arena->failed_what = AEGIS_WHAT_BYTES;
    arena->failed_bytes = error.requested_bytes;
    arena->failed_align_bytes = error.align_bytes;
    arena->failed_limit_bytes = error.limit_bytes;
    arena->failed_in_use_bytes = error.in_use_bytes;
    arena->failed_budget = error.refused;
    return NULL;
}

/* Fails a request that no source was asked for. */
static void *fail_with(aegis_arena *arena, aegis_status status, size_t size_bytes,
                       size_t align_bytes) {
    const aegis_i_refusal why = {status, NULL};
    return aegis_i_arena_fail(arena, &why, size_bytes, align_bytes);
}

aegis_arena_block *aegis_i_block_lay(void *memory, size_t total_bytes, bool zeroed,
                                     uint32_t flags) {
    aegis_arena_block *block = (aegis_arena_block *)memory;
    size_t usable_bytes = (total_bytes - AEGIS_I_BLOCK_HEAD) & ~(size_t)(AEGIS_ARENA_ALIGN - 1);
    block->next = NULL;
    block->total_bytes = total_bytes;
    block->end = aegis_i_block_start(block) + usable_bytes;
    block->dirty_end = zeroed ? aegis_i_block_start(block) : block->end;
    block->top = aegis_i_block_start(block);
    block->flags = flags;
    AEGIS_I_HIDE(aegis_i_block_start(block), usable_bytes);
    return block;
}

void aegis_i_arena_enter(aegis_arena *arena, aegis_arena_block *block) {
    if (arena->first == NULL)
        arena->first = block;
    arena->block = block;
    arena->last = block;
    arena->dirty_end = block->dirty_end;
    aegis_i_arena_set_ptr(arena, aegis_i_block_start(block));
}

/* Puts a block behind `last`: the head of the idle ones. An arena without blocks enters it. */
static void link_block(aegis_arena *arena, aegis_arena_block *block) {
    arena->capacity_bytes += aegis_i_block_capacity(block);
    if (arena->last == NULL) {
        aegis_i_arena_enter(arena, block);
        return;
    }
    block->next = arena->last->next;
    arena->last->next = block;
}

/* Makes a block of memory that was acquired, and links it. NULL for NULL. */
static aegis_arena_block *link_acquired(aegis_arena *arena, void *memory, size_t total_bytes,
                                        bool zeroed) {
    if (memory == NULL)
        return NULL;
    aegis_arena_block *block =
        aegis_i_block_lay(memory, total_bytes, zeroed, aegis_i_arena_block_flags(arena));
    arena->reserved_bytes += total_bytes;
    arena->block_count++;
    arena->acquired_count++;
    link_block(arena, block);
    return block;
}

aegis_arena_block *aegis_i_arena_acquire(aegis_arena *arena, size_t total_bytes,
                                         aegis_i_refusal *why) {
    bool zeroed;
    void *memory;
    if ((arena->flags & AEGIS_I_ARENA_LOCAL) != 0)
        memory = aegis_i_local_acquire(arena, total_bytes, &zeroed, why);
    else
        memory = aegis_i_acquire(&arena->source, arena->budget, total_bytes, AEGIS_I_BLOCK_ALIGN,
                                 &zeroed, why);
    return link_acquired(arena, memory, total_bytes, zeroed);
}

void aegis_i_arena_release(aegis_arena *arena, aegis_arena_block *block) {
    while (block != NULL) {
        aegis_arena_block *next = block->next;
        size_t total_bytes = block->total_bytes;
        AEGIS_I_SHOW_ZEROED(aegis_i_block_start(block), aegis_i_block_capacity(block));
        arena->capacity_bytes -= aegis_i_block_capacity(block);
        arena->block_count--;
        if ((block->flags & AEGIS_I_BLOCK_CALLER) == 0) {
            arena->reserved_bytes -= total_bytes;
            arena->released_count++;
            aegis_i_give_back(&arena->source, arena->budget, block, total_bytes,
                              AEGIS_I_BLOCK_ALIGN);
        }
        block = next;
    }
}

/* Hands out bytes at `p`, clearing those below `dirty_end` if asked. */
static void *hand_out(aegis_arena *arena, unsigned char *p, size_t size_bytes,
                      unsigned char *dirty_end, bool zeroed) {
    if ((arena->flags & AEGIS_ARENA_GUARD) != 0)
        aegis_i_guard_set(arena, p, size_bytes);
    if (!zeroed) {
        aegis_i_show_fresh(arena, p, size_bytes);
        return p;
    }
    AEGIS_I_SHOW_ZEROED(p, size_bytes);
    if (p < dirty_end)
        memset(p, 0, aegis_i_min(size_bytes, (size_t)(dirty_end - p)));
    return p;
}

/* What an allocation takes of a block, its guard included. */
static size_t span_of(const aegis_arena *arena, size_t size_bytes) {
    return aegis_i_round_up(size_bytes, AEGIS_ARENA_ALIGN) + arena->guard_bytes;
}

/* Allocates from the current block, or returns NULL. What the fast paths do, for any request and
 * any arena. */
static void *take_from_current(aegis_arena *arena, size_t size_bytes, size_t align_bytes,
                               bool zeroed) {
    unsigned char *p = arena->ptr;
    size_t room_bytes = (size_t)(aegis_i_arena_end(arena) - p);
    size_t pad_bytes = aegis_i_padding(p, align_bytes);
    if (pad_bytes > room_bytes || room_bytes - pad_bytes < size_bytes)
        return NULL;
    size_t span_bytes = span_of(arena, size_bytes);
    if (room_bytes - pad_bytes < span_bytes)
        return NULL;
    p += pad_bytes;
    aegis_i_arena_set_ptr(arena, p + span_bytes);
    return hand_out(arena, p, size_bytes, arena->dirty_end, zeroed);
}

/* Whether a request of `need_bytes` may be served from a block of `capacity_bytes`: whether the
 * block end that this closes keeps all closed ends under a quarter of the blocks in use. */
static bool may_serve(const aegis_arena *arena, size_t capacity_bytes, size_t need_bytes) {
    if (capacity_bytes < need_bytes)
        return false;
    if (arena->block == NULL)
        return true;
    size_t room_bytes = (size_t)(aegis_i_arena_end(arena) - arena->ptr);
    size_t closed_end_bytes = aegis_i_min(room_bytes, capacity_bytes - need_bytes);
    size_t total_bytes =
        arena->closed_bytes + aegis_i_block_capacity(arena->block) + capacity_bytes;
    return (arena->wasted_bytes + closed_end_bytes) < total_bytes / 4 || closed_end_bytes == 0;
}

/* Takes the first idle block of `owner` that may serve a request to `arena` out of its list. */
static aegis_arena_block *unlink_idle(aegis_arena *owner, const aegis_arena *arena,
                                      size_t need_bytes) {
    if (owner->last == NULL)
        return NULL;
    size_t step_bytes = aegis_i_max(arena->next_block_bytes, need_bytes);
    for (aegis_arena_block **link = &owner->last->next; *link != NULL; link = &(*link)->next) {
        aegis_arena_block *block = *link;
        size_t capacity_bytes = aegis_i_block_capacity(block);
        if (capacity_bytes / IDLE_EXCESS <= step_bytes &&
            may_serve(arena, capacity_bytes, need_bytes)) {
            *link = block->next;
            block->next = NULL;
            return block;
        }
    }
    return NULL;
}

/* Finds the first idle block that may serve the request, here or in a scope begun since, and makes
 * it the head of the idle. */
static aegis_arena_block *find_idle(aegis_arena *arena, size_t need_bytes) {
    aegis_arena *owner = arena;
    aegis_arena_block *block = NULL;
    while (owner != NULL && (block = unlink_idle(owner, arena, need_bytes)) == NULL)
        owner = owner->scope;
    if (block == NULL)
        return NULL;
    owner->capacity_bytes -= aegis_i_block_capacity(block);
    owner->reserved_bytes -= block->total_bytes;
    owner->block_count--;
    arena->reserved_bytes += block->total_bytes;
    arena->block_count++;
    link_block(arena, block);
    return block;
}

/* Acquires a block for the request: of the growth step if the request is no larger than the
 * largest step and may be served so, else, or if the source refuses that, of its own size. */
static aegis_arena_block *acquire_for(aegis_arena *arena, size_t need_bytes, aegis_i_refusal *why) {
    size_t exact_bytes = AEGIS_I_BLOCK_HEAD + need_bytes;
    size_t step_bytes = arena->next_block_bytes;
    while (step_bytes < exact_bytes && step_bytes <= arena->max_block_bytes / 2)
        step_bytes *= 2;
    if (step_bytes >= exact_bytes &&
        may_serve(arena, step_bytes - AEGIS_I_BLOCK_HEAD, need_bytes)) {
        aegis_arena_block *block = aegis_i_arena_acquire(arena, step_bytes, why);
        if (block != NULL) {
            arena->next_block_bytes = step_bytes <= arena->max_block_bytes / 2
                                          ? step_bytes * 2
                                          : aegis_i_max(step_bytes, arena->max_block_bytes);
            return block;
        }
        if (why->status == AEGIS_E_SOURCE)
            return NULL;
    }
    return aegis_i_arena_acquire(arena, exact_bytes, why);
}

/* Serves the request from `block`, the head of the idle ones, and decides which of it and the
 * current block stays current. */
static void *place(aegis_arena *arena, aegis_arena_block *block, size_t size_bytes,
                   size_t align_bytes, size_t need_bytes, bool zeroed) {
    size_t capacity_bytes = aegis_i_block_capacity(block);
    size_t room_bytes = (size_t)(aegis_i_arena_end(arena) - arena->ptr);
    size_t rest_bytes = capacity_bytes - need_bytes;
    arena->last = block;
    if (rest_bytes > room_bytes) {
        aegis_i_arena_sync_block(arena);
        arena->block->top = arena->ptr;
        arena->closed_bytes += aegis_i_block_capacity(arena->block);
        arena->wasted_bytes += room_bytes;
        aegis_i_arena_enter(arena, block);
        return take_from_current(arena, size_bytes, align_bytes, zeroed);
    }
    unsigned char *p = aegis_i_block_start(block);
    p += aegis_i_padding(p, align_bytes);
    void *memory = hand_out(arena, p, size_bytes, block->dirty_end, zeroed);
    block->top = aegis_i_block_start(block) + need_bytes;
    if (block->top > block->dirty_end)
        block->dirty_end = block->top;
    arena->closed_bytes += capacity_bytes;
    arena->wasted_bytes += rest_bytes;
    return memory;
}

void *aegis_arena_alloc_slow(aegis_arena *arena, size_t size_bytes, size_t align_bytes,
                             bool zeroed) {
    if ((arena->flags & AEGIS_I_ARENA_LOCAL) != 0 && !aegis_i_local_is_current(arena))
        return fail_with(arena, AEGIS_E_INVALID, size_bytes, align_bytes);
    assert(aegis_i_arena_is_valid(arena));
    /* An alignment that is no constraint here does not narrow the sizes either. */
    size_t excess_bytes = align_bytes > AEGIS_ARENA_ALIGN ? align_bytes - 1 : 0;
    if (!aegis_i_is_power_of_two(align_bytes) || size_bytes > PTRDIFF_MAX - excess_bytes)
        return fail_with(arena, AEGIS_E_INVALID_LAYOUT, size_bytes, align_bytes);
    align_bytes = aegis_i_max(align_bytes, AEGIS_ARENA_ALIGN);
    bool own_block = (arena->flags & AEGIS_ARENA_OWN_BLOCKS) != 0;
    void *memory = own_block ? NULL : take_from_current(arena, size_bytes, align_bytes, zeroed);
    if (memory != NULL)
        return memory;

    /* The most the request can take of a new block. Both terms are below
     * PTRDIFF_MAX + 64, so the sum does not wrap. */
    size_t slack_bytes = align_bytes > AEGIS_I_BLOCK_ALIGN ? align_bytes - AEGIS_I_BLOCK_ALIGN : 0;
    size_t need_bytes =
        aegis_i_round_up(slack_bytes + span_of(arena, size_bytes), AEGIS_ARENA_ALIGN);
    aegis_arena_block *block = NULL;
    aegis_i_refusal why = {AEGIS_E_OUT_OF_MEMORY, NULL};
    if (need_bytes <= PTRDIFF_MAX - AEGIS_I_BLOCK_HEAD) {
        if (own_block)
            block = aegis_i_arena_acquire(arena, AEGIS_I_BLOCK_HEAD + need_bytes, &why);
        else if ((block = find_idle(arena, need_bytes)) == NULL)
            block = (arena->flags & AEGIS_I_ARENA_LOCAL) != 0 &&
                            aegis_i_local_extend(arena, size_bytes, align_bytes)
                        ? arena->block
                        : acquire_for(arena, need_bytes, &why);
    }
    if (block == NULL) {
        if ((arena->flags & AEGIS_I_ARENA_FIXED) != 0)
            why.status = AEGIS_E_EXHAUSTED;
        return aegis_i_arena_fail(arena, &why, size_bytes, align_bytes);
    }
    memory = block == arena->block
                 ? take_from_current(arena, size_bytes, align_bytes, zeroed)
                 : place(arena, block, size_bytes, align_bytes, need_bytes, zeroed);
    assert(memory != NULL && aegis_i_arena_is_valid(arena));
    return memory;
}
