/* SPDX-License-Identifier: Apache-2.0 */
/* The lock-free arena's way to another block, for a request that the current one has no room for:
 * along the chain, or to a block of its own. What is chosen depends on the sizes of the requests
 * and on what they have found before, so the same requests find the same blocks again after a
 * reset. */
#include "growth.h"
#include "lock_free_state.h"

/* Sets the growth step that follows one of `step_bytes`. Several threads may do so at once. */
static void move_step(aegis_lock_free_arena_shared *shared, size_t step_bytes) {
    size_t limit_bytes = aegis_i_max(step_bytes, shared->max_block_bytes);
    size_t next_bytes = aegis_i_min(aegis_i_min(step_bytes, PTRDIFF_MAX / 2) * 2, limit_bytes);
    aegis_i_store(&shared->next_block_bytes, next_bytes, memory_order_relaxed);
}

bool aegis_i_shared_may_follow(const aegis_lock_free_arena_shared *shared,
                               const aegis_i_shared_block *block, const aegis_i_take *request) {
    size_t need_bytes = request->need_bytes;
    if (need_bytes > shared->add_limit_bytes && !request->regrows)
        return false;
    size_t passed_bytes = 0;
    const aegis_i_shared_block *next = block;
    /* Acquire pairs with the release that appended the block: its head is written. */
    while (passed_bytes <= 2 * need_bytes &&
           (next = aegis_i_load(&next->next, memory_order_acquire)) != NULL) {
        if (need_bytes <= next->capacity_bytes)
            return true;
        passed_bytes += next->capacity_bytes;
    }
    if (passed_bytes > 2 * need_bytes)
        return false;
    if (request->regrows)
        return true;
    size_t exact_bytes = AEGIS_I_SHARED_HEADER + need_bytes;
    size_t step_bytes = aegis_i_load(&shared->next_block_bytes, memory_order_relaxed);
    size_t reserved_bytes = aegis_i_load(&shared->reserved_bytes, memory_order_relaxed);
    step_bytes = aegis_i_step_block(step_bytes, exact_bytes, reserved_bytes);
    return exact_bytes <= step_bytes / 4 || (step_bytes != 0 && block == &shared->origin);
}

/* Acquires the block that is to follow: of the growth step; for what is to grow, of twice the
 * request at least; if that is refused, of just the size of the request, unless another thread has
 * brought one meanwhile. */
static aegis_i_shared_block *grow(aegis_lock_free_arena_shared *shared,
                                  const aegis_i_shared_block *block, const aegis_i_take *request,
                                  aegis_i_refusal *why) {
    size_t exact_bytes = AEGIS_I_SHARED_HEADER + request->need_bytes;
    size_t step_bytes = aegis_i_load(&shared->next_block_bytes, memory_order_relaxed);
    size_t reserved_bytes = aegis_i_load(&shared->reserved_bytes, memory_order_relaxed);
    size_t block_bytes = aegis_i_step_block(step_bytes, exact_bytes, reserved_bytes);
    if (request->regrows)
        block_bytes = aegis_i_max(step_bytes, 2 * exact_bytes);
    /* Other threads may have moved the step since aegis_i_shared_may_follow looked. */
    block_bytes = aegis_i_max(block_bytes, exact_bytes);
    aegis_i_shared_block *fresh = aegis_i_shared_acquire(shared, block_bytes, why);
    if (fresh != NULL) {
        if (block_bytes >= step_bytes)
            move_step(shared, step_bytes);
        return fresh;
    }
    if (why->status == AEGIS_E_SOURCE || aegis_i_load(&block->next, memory_order_relaxed) != NULL)
        return NULL;
    return aegis_i_shared_acquire(shared, exact_bytes, why);
}

aegis_i_shared_block *aegis_i_shared_next(aegis_lock_free_arena_shared *shared,
                                          aegis_i_shared_block *block, const aegis_i_take *request,
                                          aegis_i_refusal *why) {
    /* Acquire: as in aegis_i_shared_may_follow. */
    aegis_i_shared_block *next = aegis_i_load(&block->next, memory_order_acquire);
    if (next != NULL)
        return next;
    aegis_i_shared_block *fresh = grow(shared, block, request, why);
    if (fresh != NULL) {
        aegis_i_shared_block *tail = block;
        aegis_i_shared_block *behind = NULL;
        /* A loser appends behind the winner's block, so that both are used in turn. Release
         * publishes the head; acquire on failure, as above, to look behind the other's block. */
        while (
            !aegis_i_cas(&tail->next, &behind, fresh, memory_order_release, memory_order_acquire)) {
            tail = behind;
            behind = NULL;
        }
    }
    return aegis_i_load(&block->next, memory_order_acquire);
}

/* The first idle block of its own that is not taken, as far as this thread sees. */
static aegis_i_shared_block *first_untaken(aegis_lock_free_arena_shared *shared) {
    aegis_i_shared_block *begun = aegis_i_load(&shared->large_untaken, memory_order_relaxed);
    aegis_i_shared_block *block = begun;
    while (block != NULL && aegis_i_load(&block->taken, memory_order_relaxed) != 0)
        block = aegis_i_load(&block->next, memory_order_relaxed);
    /* A thread that is late may set it back, to a block from which the way leads here again. */
    if (block != begun)
        aegis_i_store(&shared->large_untaken, block, memory_order_relaxed);
    return block;
}

/* The smallest idle block of its own with room for `need_bytes`, and for no more than `most_bytes`;
 * NULL if there is none. */
static aegis_i_shared_block *find_large(aegis_lock_free_arena_shared *shared, size_t need_bytes,
                                        size_t most_bytes) {
    aegis_i_shared_block *best = NULL;
    aegis_i_shared_block *block = first_untaken(shared);
    for (; block != NULL; block = aegis_i_load(&block->next, memory_order_relaxed)) {
        size_t capacity_bytes = block->capacity_bytes;
        if (capacity_bytes < need_bytes || capacity_bytes > most_bytes ||
            (best != NULL && best->capacity_bytes <= capacity_bytes) ||
            aegis_i_load(&block->taken, memory_order_relaxed) != 0)
            continue;
        best = block;
        if (capacity_bytes == need_bytes)
            break;
    }
    return best;
}

aegis_i_shared_block *aegis_i_shared_take_idle(aegis_lock_free_arena_shared *shared,
                                               size_t need_bytes, size_t most_bytes) {
    if (shared->large_idle == NULL)
        return NULL;
    aegis_i_shared_block *block;
    while ((block = find_large(shared, need_bytes, most_bytes)) != NULL) {
        uint32_t taken = 0;
        /* It orders nothing: what was in the block is from before the reset. */
        if (aegis_i_cas(&block->taken, &taken, 1, memory_order_relaxed, memory_order_relaxed)) {
            aegis_i_store(&block->used_bytes, need_bytes, memory_order_relaxed);
            return block;
        }
    }
    return NULL;
}

/* The room in a block of its own. */
static size_t own_capacity(size_t need_bytes) {
    return aegis_i_own_block(AEGIS_I_SHARED_HEADER + need_bytes) - AEGIS_I_SHARED_HEADER;
}

/* Acquires a block of its own for a request: of just its size if the source or a budget refuses a
 * rounded one. */
static aegis_i_shared_block *acquire_own(aegis_lock_free_arena_shared *shared, size_t need_bytes,
                                         aegis_i_refusal *why) {
    size_t exact_bytes = AEGIS_I_SHARED_HEADER + need_bytes;
    size_t own_bytes = AEGIS_I_SHARED_HEADER + own_capacity(need_bytes);
    size_t reserved_bytes = aegis_i_load(&shared->reserved_bytes, memory_order_relaxed);
    size_t step_bytes = aegis_i_load(&shared->next_block_bytes, memory_order_relaxed);
    aegis_i_shared_block *block = aegis_i_shared_acquire(shared, own_bytes, why);
    if (block == NULL && own_bytes > exact_bytes && why->status != AEGIS_E_SOURCE)
        block = aegis_i_shared_acquire(shared, exact_bytes, why);
    if (block == NULL)
        return NULL;
    if (aegis_i_moves_step(step_bytes, exact_bytes, reserved_bytes))
        move_step(shared, step_bytes);
    aegis_i_store(&block->used_bytes, need_bytes, memory_order_relaxed);
    aegis_i_shared_block *newest = aegis_i_load(&shared->large, memory_order_relaxed);
    do {
        aegis_i_store(&block->next, newest, memory_order_relaxed);
        /* Release pairs with the acquire in the walk of aegis_lock_free_arena_get_stats. */
    } while (!aegis_i_cas_weak(&shared->large, &newest, block, memory_order_release,
                               memory_order_relaxed));
    return block;
}

aegis_i_shared_block *aegis_i_shared_own(aegis_lock_free_arena_shared *shared,
                                         const aegis_i_take *request, bool follows,
                                         aegis_i_refusal *why) {
    size_t need_bytes = request->need_bytes;
    if (follows)
        return request->regrows
                   ? NULL
                   : aegis_i_shared_take_idle(shared, need_bytes, own_capacity(need_bytes));
    aegis_i_shared_block *own =
        aegis_i_shared_take_idle(shared, need_bytes, aegis_i_min(need_bytes, PTRDIFF_MAX / 4) * 4);
    return own != NULL ? own : acquire_own(shared, need_bytes, why);
}
