/* SPDX-License-Identifier: Apache-2.0 */
/* The block chain of an arena: where an allocation goes when the current block is full.
 *
 * The chain holds the blocks in use, up to `last`, then the idle ones. A request that does not fit
 * takes the first idle block that may serve it, else a new one: of the growth step, which doubles
 * up to a maximum, if several such requests fit into it, or of just its own size. Of the block at
 * hand and the block found, the one with more room left stays current and the other is closed.
 *
 * A choice that would close a block whose unused end, with all ends closed before it, made up a
 * quarter of the blocks in use is not taken; a block of the request's own size leaves next to no
 * end, so there always is a choice. The same requests after a reset meet the same idle blocks in
 * the same order and pass the same test, so they acquire nothing.
 *
 * An allocation has three steps, so that one behind a lock can give the lock back for the second,
 * the only one that calls the user's functions: serve it from what is held, or say which block is
 * wanted; acquire that; receive it and serve the request. Between the steps the arena may change:
 * functions of the user that run in the second may use it, as other threads may. */
#include "chain.h"
#include "../base/error_record.h"
#include "../base/harden.h"
#include "growth.h"
#include "guard.h"

/* An idle block this many times larger than the growth step is kept for large requests. */
#define IDLE_EXCESS 4

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
static void *take_from_current(aegis_arena *arena, const aegis_i_request *request) {
    unsigned char *p = arena->ptr;
    size_t room_bytes = (size_t)(aegis_i_arena_end(arena) - p);
    size_t pad_bytes = aegis_i_padding(p, request->align_bytes);
    if (pad_bytes > room_bytes || room_bytes - pad_bytes < request->size_bytes)
        return NULL;
    size_t span_bytes = span_of(arena, request->size_bytes);
    if (room_bytes - pad_bytes < span_bytes)
        return NULL;
    p += pad_bytes;
    aegis_i_arena_set_ptr(arena, p + span_bytes);
    return hand_out(arena, p, request->size_bytes, arena->dirty_end, request->zeroed);
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
    aegis_i_arena_link(arena, block);
    return block;
}

/* Whether a block of `block_bytes`, head included, may serve the request. */
static bool may_acquire(const aegis_arena *arena, size_t block_bytes,
                        const aegis_i_request *request) {
    return may_serve(arena, block_bytes - AEGIS_I_BLOCK_HEADER, request->need_bytes);
}

/* A block that stays current and has room for half as much again, so that an allocation which grows
 * by a little at a time is not moved each time. The current block, whose end this closes, has less
 * room than the request needs: so a block of four times that always may serve. */
static size_t regrown_block(const aegis_arena *arena, size_t exact_bytes,
                            const aegis_i_request *request) {
    size_t room_bytes = (size_t)(aegis_i_arena_end(arena) - arena->ptr);
    if (exact_bytes > PTRDIFF_MAX / 4)
        return exact_bytes;
    size_t more_bytes = aegis_i_max(exact_bytes / 2, room_bytes + AEGIS_I_BLOCK_ALIGN);
    size_t block_bytes = aegis_i_own_block(exact_bytes + more_bytes);
    return may_acquire(arena, block_bytes, request) ? block_bytes : 4 * exact_bytes;
}

/* Says which block the request wants: of the growth step if that suits it and may serve it, else of
 * its own size. A block that is lent is a part of one that is there, so it may be larger: the step
 * doubles as long as the request does not fit. */
static void want_block(const aegis_arena *arena, aegis_i_request *request) {
    bool lent = (arena->flags & AEGIS_I_ARENA_LENT) != 0;
    size_t exact_bytes = AEGIS_I_BLOCK_HEADER + request->need_bytes;
    size_t step_bytes = arena->next_block_bytes;
    request->block_bytes = exact_bytes;
    if ((arena->flags & AEGIS_ARENA_OWN_BLOCKS) != 0)
        return;
    while (lent && step_bytes < exact_bytes && step_bytes <= arena->max_block_bytes / 2)
        step_bytes *= 2;
    if (!lent)
        step_bytes = aegis_i_step_block(step_bytes, exact_bytes, arena->reserved_bytes);
    size_t own_bytes = lent ? exact_bytes : aegis_i_own_block(exact_bytes);
    if (request->regrows)
        own_bytes = regrown_block(arena, exact_bytes, request);
    bool suits = step_bytes >= (request->regrows ? own_bytes : exact_bytes);
    request->grows = suits && may_acquire(arena, step_bytes, request);
    if (request->grows)
        request->block_bytes = step_bytes;
    else if (may_acquire(arena, own_bytes, request))
        request->block_bytes = own_bytes;
}

/* Serves the request from `block`, the head of the idle ones, and decides which of it and the
 * current block stays current. */
static void *place(aegis_arena *arena, aegis_arena_block *block, const aegis_i_request *request) {
    size_t capacity_bytes = aegis_i_block_capacity(block);
    size_t room_bytes = (size_t)(aegis_i_arena_end(arena) - arena->ptr);
    size_t rest_bytes = capacity_bytes - request->need_bytes;
    /* The rest of a block of the request's own size is rounding. */
    bool is_own =
        block->total_bytes == request->block_bytes && !request->grows && !request->regrows;
    arena->last = block;
    if (rest_bytes > room_bytes && !is_own) {
        aegis_i_arena_sync_block(arena);
        arena->block->top = arena->ptr;
        arena->closed_bytes += aegis_i_block_capacity(arena->block);
        arena->wasted_bytes += room_bytes;
        aegis_i_arena_enter(arena, block);
        return take_from_current(arena, request);
    }
    unsigned char *p = aegis_i_block_start(block);
    p += aegis_i_padding(p, request->align_bytes);
    void *memory = hand_out(arena, p, request->size_bytes, block->dirty_end, request->zeroed);
    block->top = aegis_i_block_start(block) + request->need_bytes;
    if (block->top > block->dirty_end)
        block->dirty_end = block->top;
    arena->closed_bytes += capacity_bytes;
    arena->wasted_bytes += rest_bytes;
    return memory;
}

/* Serves the request from a block that has room for it: the current one, or the head of the idle
 * ones. */
static void *serve_from(aegis_arena *arena, aegis_arena_block *block,
                        const aegis_i_request *request) {
    void *memory =
        block == arena->block ? take_from_current(arena, request) : place(arena, block, request);
    assert(memory != NULL && aegis_i_arena_is_valid(arena));
    return memory;
}

/* Serves the request from the blocks held, but for the current one, or returns NULL. */
static void *serve_from_idle(aegis_arena *arena, const aegis_i_request *request) {
    if ((arena->flags & AEGIS_ARENA_OWN_BLOCKS) != 0)
        return NULL;
    size_t wanted_bytes = request->need_bytes + (request->regrows ? request->need_bytes / 2 : 0);
    aegis_arena_block *block = find_idle(arena, wanted_bytes);
    if (block != NULL)
        return serve_from(arena, block, request);
    if ((arena->flags & AEGIS_I_ARENA_LENT) != 0 &&
        aegis_i_arena_lender(arena)->extend(arena, request->size_bytes, request->align_bytes))
        return take_from_current(arena, request);
    return NULL;
}

/* Fails the request for good. */
static void *fail(aegis_arena *arena, aegis_i_request *request, aegis_i_refusal why) {
    request->block_bytes = 0;
    if ((arena->flags & AEGIS_I_ARENA_FIXED) != 0 && why.status == AEGIS_E_OUT_OF_MEMORY)
        why.status = AEGIS_E_EXHAUSTED;
    return aegis_i_arena_fail(arena, &why, request->size_bytes, request->align_bytes);
}

static void *fail_with(aegis_arena *arena, aegis_i_request *request, aegis_status status) {
    aegis_i_refusal why = {status, NULL, 0, 0};
    return fail(arena, request, why);
}

void *aegis_i_arena_serve(aegis_arena *arena, aegis_i_request *request) {
    size_t size_bytes = request->size_bytes;
    size_t align_bytes = request->align_bytes;
    request->block_bytes = 0;
    if (!aegis_i_arena_is_current(arena))
        return fail_with(arena, request, AEGIS_E_INVALID);
    assert(aegis_i_arena_is_valid(arena));
    /* An alignment that is no constraint here does not narrow the sizes either. */
    size_t excess_bytes = align_bytes > AEGIS_ARENA_ALIGN ? align_bytes - 1 : 0;
    if (!aegis_i_is_power_of_two(align_bytes) || size_bytes > PTRDIFF_MAX - excess_bytes)
        return fail_with(arena, request, AEGIS_E_INVALID_LAYOUT);
    request->align_bytes = align_bytes = aegis_i_max(align_bytes, AEGIS_ARENA_ALIGN);
    void *memory =
        (arena->flags & AEGIS_ARENA_OWN_BLOCKS) != 0 ? NULL : take_from_current(arena, request);
    if (memory != NULL)
        return memory;

    /* The most the request can take of a new block. Both terms are below
     * PTRDIFF_MAX + 64, so the sum does not wrap. */
    size_t slack_bytes = align_bytes > AEGIS_I_BLOCK_ALIGN ? align_bytes - AEGIS_I_BLOCK_ALIGN : 0;
    request->need_bytes =
        aegis_i_round_up(slack_bytes + span_of(arena, size_bytes), AEGIS_ARENA_ALIGN);
    if (request->need_bytes > PTRDIFF_MAX - AEGIS_I_BLOCK_HEADER)
        return fail_with(arena, request, AEGIS_E_OUT_OF_MEMORY);
    memory = serve_from_idle(arena, request);
    if (memory == NULL)
        want_block(arena, request);
    return memory;
}

/* The block that the request wanted was refused: says which other one it wants, or fails it. */
static void *refused(aegis_arena *arena, aegis_i_request *request, const aegis_i_refusal *why) {
    size_t exact_bytes = AEGIS_I_BLOCK_HEADER + request->need_bytes;
    if (request->block_bytes > exact_bytes && why->status != AEGIS_E_SOURCE) {
        request->grows = false;
        request->block_bytes = exact_bytes;
        return NULL;
    }
    return fail(arena, request, *why);
}

void *aegis_i_arena_receive(aegis_arena *arena, aegis_i_request *request, void *memory, bool zeroed,
                            const aegis_i_refusal *why) {
    aegis_arena_block *block = NULL;
    if (memory != NULL) {
        if (request->grows)
            aegis_i_arena_grow_step(arena, request->block_bytes);
        else if (aegis_i_moves_step(arena->next_block_bytes, request->block_bytes,
                                    arena->reserved_bytes))
            aegis_i_arena_grow_step(arena, arena->next_block_bytes);
        block = aegis_i_arena_add(arena, memory, request->block_bytes, zeroed);
    }
    /* Any room will do now. */
    request->regrows = request->regrows && block != NULL;
    void *served = NULL;
    bool own_block = (arena->flags & AEGIS_ARENA_OWN_BLOCKS) != 0;
    if (own_block && block != NULL)
        served = serve_from(arena, block, request);
    else if (!own_block && (served = take_from_current(arena, request)) == NULL) {
        if (block != NULL &&
            may_serve(arena, request->block_bytes - AEGIS_I_BLOCK_HEADER, request->need_bytes))
            served = serve_from(arena, block, request);
        else
            served = serve_from_idle(arena, request);
    }
    if (served != NULL) {
        request->block_bytes = 0;
        return served;
    }
    if (block == NULL)
        return refused(arena, request, why);
    /* So much has changed meanwhile that the block would leave too large an end: it stays idle. */
    request->grows = false;
    request->block_bytes = AEGIS_I_BLOCK_HEADER + request->need_bytes;
    return NULL;
}

static void *serve(aegis_arena *arena, aegis_i_request *request) {
    void *memory = aegis_i_arena_serve(arena, request);
    while (request->block_bytes != 0) {
        bool block_zeroed;
        aegis_i_refusal why;
        void *block = (arena->flags & AEGIS_I_ARENA_LENT) != 0
                          ? aegis_i_arena_lender(arena)->lend(arena, request->block_bytes,
                                                              &block_zeroed, &why)
                          : aegis_i_arena_acquire(arena, request->block_bytes, &block_zeroed, &why);
        memory = aegis_i_arena_receive(arena, request, block, block_zeroed, &why);
    }
    return memory;
}

void *aegis_arena_alloc_slow(aegis_arena *arena, size_t size_bytes, size_t align_bytes,
                             bool zeroed) {
    aegis_i_request request = {size_bytes, align_bytes, 0, 0, zeroed, false, false};
    return serve(arena, &request);
}

void *aegis_i_arena_alloc_regrown(aegis_arena *arena, size_t size_bytes, size_t align_bytes) {
    aegis_i_request request = {size_bytes, align_bytes, 0, 0, false, false, true};
    return serve(arena, &request);
}
