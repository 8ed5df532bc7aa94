/* SPDX-License-Identifier: Apache-2.0 */
/* The block chain of an arena: which block serves an allocation when the current block is full.
 *
 * The chain holds the blocks in use, up to `last`, then the idle blocks. A request that does not
 * fit into the current block takes the first idle block that may serve it. If there is none, the
 * arena acquires a block: of the growth step if several such requests fit into that, else of the
 * request's own size. The growth step doubles up to a maximum. If a budget refuses that block, the
 * arena takes what is left below the limit in one block, if that is enough for the request. A block
 * "may serve" a request if may_serve says so.
 *
 * Invariants:
 * 1. Of the current block and the other block that serves a request, the one with more room left
 *    stays current, and the other one is closed (place). So the end that is closed is the smaller
 *    of the two ends. There is one exception: a block that was acquired for one request alone is
 *    closed if a request leaves at most 1/32 of it. This holds for the request that acquired the
 *    block, and also for a request that finds it idle.
 * 2. A block serves a request only if the ends of all closed blocks, with the end that it closes,
 *    stay below a quarter of the blocks in use, or if it closes no end at all (may_serve, called by
 *    unlink_idle, want_block, refused and aegis_i_arena_receive).
 * 3. A block of exactly the request's size always may serve the request, because it closes no end.
 *    want_block and refused fall back on that size. An arena with AEGIS_ARENA_OWN_BLOCKS acquires
 *    no other.
 * 4. A reset keeps the blocks in the order of their first use (go_back in mark.c).
 * 5. After each refusal the request asks for a smaller block (refused). It asks once for what is
 *    left below the limit, and that is less than the block it was refused (aegis_i_rest_block in
 *    growth.h). Then it asks for the exact size, and a refusal of that ends the request. In an
 *    arena that is lent its blocks, each size is at most half of the refused one, or exact.
 *
 * The waste stays below a quarter. It starts at 0, and it grows only when a block is closed. By
 * invariant 2 the end that is closed then fits below the quarter. In the exception of invariant 1
 * the end is at most 1/32 of the new block, so the sum stays below a quarter too. (Ends are
 * multiples of 8 bytes, so a block of less than 256 bytes has no end then.) By invariant 3 there is
 * always a block that the request may have. A merge at the end of a scope does not keep this bound:
 * see scope.c.
 *
 * The same requests after a reset acquire nothing. By invariant 4 they meet the same blocks, now
 * idle, in the same order, and each block passes the same test again. By invariant 1 the same block
 * stays current: the flag AEGIS_I_BLOCK_OWN tells of a block that was acquired for one request
 * alone. This holds near a limit too: a block of what was left passed the test when it was
 * acquired, and like an exact block it is in the chain where it was first used. A request that was
 * refused changed no block, and what was left then was too little for it. So no block that came
 * later serves it now.
 *
 * Every request ends, whatever other threads take from the budget meanwhile, by invariant 5. No
 * request gets a larger block near a limit than elsewhere, by the same invariant.
 *
 * An allocation has three steps:
 * 1. aegis_i_arena_serve serves the request from the blocks held, or says which block it wants.
 * 2. The caller acquires that block (aegis_i_arena_acquire, or the lender). Only this step calls
 *    functions of the user.
 * 3. aegis_i_arena_receive takes the block over and serves the request.
 *
 * A locked arena gives its lock back for step 2. During that step the arena may change, because
 * functions of the user and other threads may use it. So step 3 looks at the current block and the
 * idle blocks again before it decides.
 *
 * Source: an arena as a list of blocks that are reused is from D. R. Hanson, "Fast allocation and
 * deallocation of memory based on object lifetimes" (Software: Practice and Experience 20,
 * 1990). */
#include "chain.h"
#include "../base/error_record.h"
#include "../base/harden.h"
#include "growth.h"
#include "guard.h"

/* A request does not take an idle block that is more than this many times as large as the growth
 * step and as the request. Such a block is kept for large requests. */
#define IDLE_EXCESS 4

/* Hands out the bytes at `p`. If `zeroed` is set, clears those of them that lie below
 * `dirty_end`. */
static void *hand_out(aegis_arena *arena, unsigned char *p, size_t size_bytes,
                      unsigned char *dirty_end, bool zeroed) {
    arena->guards_bytes += arena->guard_bytes;
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

/* Allocates from the current block, or returns NULL. It does what the fast paths do, but for any
 * request and any arena. */
static void *take_from_current(aegis_arena *arena, const aegis_i_request *request) {
    unsigned char *p = arena->ptr;
    size_t room_bytes = (size_t)(aegis_i_arena_end(arena) - p);
    size_t pad_bytes = aegis_i_padding(p, request->align_bytes);
    if (pad_bytes > room_bytes || room_bytes - pad_bytes < request->size_bytes)
        return NULL;
    size_t span_bytes = aegis_i_arena_span(arena, request->size_bytes);
    if (room_bytes - pad_bytes < span_bytes)
        return NULL;
    p += pad_bytes;
    aegis_i_arena_set_ptr(arena, p + span_bytes);
    return hand_out(arena, p, request->size_bytes, arena->dirty_end, request->zeroed);
}

/* Whether a block of `capacity_bytes` may serve a request of `need_bytes`: if it does, the end that
 * this closes must keep the ends of all closed blocks under a quarter of the blocks in use. */
static bool may_serve(const aegis_arena *arena, size_t capacity_bytes, size_t need_bytes) {
    if (capacity_bytes < need_bytes)
        return false;
    if (arena->block == NULL)
        return true;
    size_t room_bytes = (size_t)(aegis_i_arena_end(arena) - arena->ptr);
    size_t closed_end_bytes = aegis_i_min(room_bytes, capacity_bytes - need_bytes);
    size_t total_bytes =
        arena->closed_bytes + aegis_i_block_capacity(arena->block) + capacity_bytes;
    return (aegis_i_arena_wasted(arena) + closed_end_bytes) < total_bytes / 4 ||
           closed_end_bytes == 0;
}

/* The room that is wanted behind an allocation of `size_bytes` in a block other than the current
 * one, if the allocation takes the place of a smaller one: half as much again, and more than the
 * current block has left, so that the other block becomes the current one and the allocation can
 * grow. */
static size_t room_to_grow(const aegis_arena *arena, size_t size_bytes) {
    size_t room_bytes = (size_t)(aegis_i_arena_end(arena) - arena->ptr);
    return aegis_i_max(size_bytes / 2, room_bytes + AEGIS_I_BLOCK_ALIGN);
}

/* Removes the first idle block of `owner` that may serve a request to `arena` from the list of
 * `owner`, and returns it. NULL: there is none. */
static aegis_arena_block *unlink_idle(aegis_arena *owner, const aegis_arena *arena,
                                      const aegis_i_request *request) {
    if (owner->last == NULL)
        return NULL;
    size_t least_bytes = request->need_bytes;
    if (request->regrows)
        least_bytes += room_to_grow(arena, request->need_bytes);
    size_t step_bytes = aegis_i_max(arena->next_block_bytes, least_bytes);
    for (aegis_arena_block **link = &owner->last->next; *link != NULL; link = &(*link)->next) {
        aegis_arena_block *block = *link;
        size_t capacity_bytes = aegis_i_block_capacity(block);
        if (capacity_bytes >= least_bytes && capacity_bytes / IDLE_EXCESS <= step_bytes &&
            may_serve(arena, capacity_bytes, request->need_bytes)) {
            *link = block->next;
            block->next = NULL;
            return block;
        }
    }
    return NULL;
}

/* Finds the first idle block that may serve the request: in `arena`, or in the arena of a scope
 * that was begun on it and is open. Makes it the first idle block of `arena`. */
static aegis_arena_block *find_idle(aegis_arena *arena, const aegis_i_request *request) {
    aegis_arena *owner = arena;
    aegis_arena_block *block = NULL;
    while (owner != NULL && (block = unlink_idle(owner, arena, request)) == NULL)
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

/* Whether a block of `block_bytes`, with its block header, may serve the request. */
static bool may_acquire(const aegis_arena *arena, size_t block_bytes,
                        const aegis_i_request *request) {
    return may_serve(arena, block_bytes - AEGIS_I_BLOCK_HEADER, request->need_bytes);
}

/* The size of a block with room for half as much again as the request needs. The block stays
 * current, so an allocation that grows by a little at a time is not moved each time. If such a
 * block may not serve, a block of four times the exact size always may: its use closes the end of
 * the current block, and that end is at most as large as the request. */
static size_t regrown_block(const aegis_arena *arena, size_t exact_bytes,
                            const aegis_i_request *request) {
    if (exact_bytes > PTRDIFF_MAX / 4)
        return exact_bytes;
    size_t block_bytes = aegis_i_own_block(exact_bytes + room_to_grow(arena, exact_bytes));
    return may_acquire(arena, block_bytes, request) ? block_bytes : 4 * exact_bytes;
}

/* Sets the block that the request wants: a block of the growth step if that suits the request and
 * may serve it, else a block of the request's own size. A lent block is a part of memory that is
 * already acquired, so it may be larger: its step doubles as long as the request does not fit. */
static void want_block(const aegis_arena *arena, aegis_i_request *request) {
    bool lent = (arena->flags & AEGIS_I_ARENA_LENT) != 0;
    size_t exact_bytes = aegis_i_exact_block(request);
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

/* Serves the request from `block`, the first idle block, and decides whether that block or the
 * current block stays current: see invariant 1 above. */
static void *place(aegis_arena *arena, aegis_arena_block *block, const aegis_i_request *request) {
    size_t capacity_bytes = aegis_i_block_capacity(block);
    size_t room_bytes = (size_t)(aegis_i_arena_end(arena) - arena->ptr);
    size_t rest_bytes = capacity_bytes - request->need_bytes;
    bool is_own = (block->flags & AEGIS_I_BLOCK_OWN) != 0 && rest_bytes <= block->total_bytes / 32;
    arena->last = block;
    if (rest_bytes > room_bytes && !is_own) {
        aegis_i_arena_sync_block(arena);
        arena->block->top = arena->ptr;
        arena->closed_bytes += aegis_i_block_capacity(arena->block);
        aegis_i_arena_enter(arena, block);
        return take_from_current(arena, request);
    }
    unsigned char *p = aegis_i_block_start(block);
    p += aegis_i_padding(p, request->align_bytes);
    void *memory = hand_out(arena, p, request->size_bytes, block->dirty_end, request->zeroed);
    block->top = aegis_i_block_start(block) + request->need_bytes;
    if (block->top > block->dirty_end)
        block->dirty_end = block->top;
    block->single = aegis_i_arena_stamp(arena);
    arena->closed_bytes += capacity_bytes;
    arena->used_from -= request->need_bytes;
    return memory;
}

/* Serves the request from a block that has room for it: the current block or the first idle
 * block. */
static void *serve_from(aegis_arena *arena, aegis_arena_block *block,
                        const aegis_i_request *request) {
    void *memory =
        block == arena->block ? take_from_current(arena, request) : place(arena, block, request);
    assert(memory != NULL && aegis_i_arena_is_valid(arena));
    return memory;
}

/* Serves the request from the blocks held, except the current block, or returns NULL. In an arena
 * that is lent its blocks, the lender may make the current block larger instead. */
static void *serve_from_idle(aegis_arena *arena, const aegis_i_request *request) {
    if ((arena->flags & AEGIS_ARENA_OWN_BLOCKS) != 0)
        return NULL;
    aegis_arena_block *block = find_idle(arena, request);
    if (block != NULL)
        return serve_from(arena, block, request);
    if ((arena->flags & AEGIS_I_ARENA_LENT) != 0 &&
        aegis_i_arena_lender(arena)->extend(arena, request->size_bytes, request->align_bytes))
        return take_from_current(arena, request);
    return NULL;
}

/* Fails the request finally: no other block is wanted. */
static void *fail(aegis_arena *arena, aegis_i_request *request, aegis_i_refusal why) {
    request->block_bytes = 0;
    if ((arena->flags & AEGIS_I_ARENA_FIXED) != 0 && why.status == AEGIS_E_OUT_OF_MEMORY)
        why.status = AEGIS_E_EXHAUSTED;
    return aegis_i_arena_fail(arena, &why, request->size_bytes, request->align_bytes);
}

static void *fail_with(aegis_arena *arena, aegis_i_request *request, aegis_status status) {
    aegis_i_refusal why = {status, AEGIS_REFUSED_LIMIT, NULL, 0, 0, 0};
    return fail(arena, request, why);
}

void *aegis_i_arena_serve(aegis_arena *arena, aegis_i_request *request) {
    size_t size_bytes = request->size_bytes;
    size_t align_bytes = request->align_bytes;
    request->block_bytes = 0;
    if (!aegis_i_arena_is_current(arena))
        return fail_with(arena, request, AEGIS_E_INVALID);
    assert(aegis_i_arena_is_valid(arena));
    /* An alignment of up to AEGIS_ARENA_ALIGN costs nothing, so it does not reduce the largest
     * size. */
    size_t excess_bytes = align_bytes > AEGIS_ARENA_ALIGN ? align_bytes - 1 : 0;
    if (!aegis_i_is_power_of_two(align_bytes) || size_bytes > PTRDIFF_MAX - excess_bytes)
        return fail_with(arena, request, AEGIS_E_INVALID_LAYOUT);
    request->align_bytes = align_bytes = aegis_i_max(align_bytes, AEGIS_ARENA_ALIGN);
    void *memory =
        (arena->flags & AEGIS_ARENA_OWN_BLOCKS) != 0 ? NULL : take_from_current(arena, request);
    if (memory != NULL)
        return memory;

    /* The most that the request can take of a new block. Both terms of the sum are below
     * PTRDIFF_MAX + 64, so it does not wrap. */
    size_t slack_bytes = align_bytes > AEGIS_I_BLOCK_ALIGN ? align_bytes - AEGIS_I_BLOCK_ALIGN : 0;
    request->need_bytes =
        aegis_i_round_up(slack_bytes + aegis_i_arena_span(arena, size_bytes), AEGIS_ARENA_ALIGN);
    if (request->need_bytes > PTRDIFF_MAX - AEGIS_I_BLOCK_HEADER)
        return fail_with(arena, request, AEGIS_E_OUT_OF_MEMORY);
    memory = serve_from_idle(arena, request);
    if (memory == NULL)
        want_block(arena, request);
    return memory;
}

/* The size of a block that takes what a budget has left after its refusal, or 0. The lender of a
 * lent block takes what is left by itself, so only a part of that must be found: each try asks for
 * half of what was refused. Any other arena asks for what is left once, because other threads could
 * go on taking it. */
static size_t rest_block(const aegis_arena *arena, const aegis_i_request *request,
                         size_t exact_bytes) {
    if ((arena->flags & AEGIS_I_ARENA_LENT) == 0)
        return request->takes_rest
                   ? 0
                   : aegis_i_rest_block(arena->budget, request->block_bytes, exact_bytes);
    size_t half_bytes = request->block_bytes / 2 & ~(AEGIS_I_BLOCK_ALIGN - 1);
    return half_bytes > exact_bytes ? half_bytes : 0;
}

/* The block that the request wanted was refused. If it was larger than the exact size, asks for a
 * block of what the budget has left, or else for a block of the exact size. Otherwise fails the
 * request. */
static void *refused(aegis_arena *arena, aegis_i_request *request, const aegis_i_refusal *why) {
    size_t exact_bytes = aegis_i_exact_block(request);
    if (request->block_bytes <= exact_bytes || why->status == AEGIS_E_SOURCE)
        return fail(arena, request, *why);
    size_t rest_bytes = 0;
    if (why->status == AEGIS_E_LIMIT_EXCEEDED)
        rest_bytes = rest_block(arena, request, exact_bytes);
    request->takes_rest = rest_bytes != 0 && may_acquire(arena, rest_bytes, request);
    request->block_bytes = request->takes_rest ? rest_bytes : exact_bytes;
    request->grows = false;
    return NULL;
}

void *aegis_i_arena_receive(aegis_arena *arena, aegis_i_request *request, void *memory, bool zeroed,
                            const aegis_i_refusal *why) {
    aegis_arena_block *block = NULL;
    if (memory != NULL) {
        if (request->grows)
            aegis_i_arena_grow_step(arena, request->block_bytes);
        else if (!request->takes_rest &&
                 aegis_i_moves_step(arena->next_block_bytes, request->block_bytes,
                                    arena->reserved_bytes))
            aegis_i_arena_grow_step(arena, arena->next_block_bytes);
        block = aegis_i_arena_add(arena, memory, request->block_bytes, zeroed);
        if (!request->grows && !request->regrows && !request->takes_rest)
            block->flags |= AEGIS_I_BLOCK_OWN;
    }
    /* If no block came, any room is enough: the request need not get room to grow. */
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
    /* The arena has changed so much meanwhile that this block would leave too large an end. The
     * block stays idle, and the request asks for one of its exact size. */
    request->grows = request->takes_rest = false;
    request->block_bytes = aegis_i_exact_block(request);
    return NULL;
}

static void *serve(aegis_arena *arena, aegis_i_request *request) {
    void *memory = aegis_i_arena_serve(arena, request);
    while (request->block_bytes != 0) {
        bool block_zeroed;
        aegis_i_refusal why;
        bool optional = aegis_i_wants_more(request);
        /* An allocation that grows needs all of the room behind it that it wants. */
        size_t least_bytes = request->regrows ? request->block_bytes : aegis_i_exact_block(request);
        void *block =
            (arena->flags & AEGIS_I_ARENA_LENT) != 0
                ? aegis_i_arena_lender(arena)->lend(arena, &request->block_bytes, least_bytes,
                                                    optional, &block_zeroed, &why)
                : aegis_i_arena_acquire(arena, request->block_bytes, optional, &block_zeroed, &why);
        memory = aegis_i_arena_receive(arena, request, block, block_zeroed, &why);
    }
    return memory;
}

void *aegis_arena_alloc_slow(aegis_arena *arena, size_t size_bytes, size_t align_bytes,
                             bool zeroed) {
    aegis_i_request request = {size_bytes, align_bytes, 0, 0, zeroed, false, false, false};
    return serve(arena, &request);
}

void *aegis_i_arena_alloc_regrown(aegis_arena *arena, size_t size_bytes, size_t align_bytes) {
    aegis_i_request request = {size_bytes, align_bytes, 0, 0, false, false, true, false};
    return serve(arena, &request);
}
