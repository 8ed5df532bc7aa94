/* SPDX-License-Identifier: Apache-2.0 */
/* How a request that finds no room in the lock-free arena's current block gets another block: along
 * the chain, or a block of its own (an own block), which no other request uses.
 *
 * Invariants:
 * 1. A request goes along the chain only if the blocks that it passes over have at most twice its
 *    size together (aegis_i_shared_may_follow).
 * 2. It goes on to a new block only if that holds at least four such requests, or if no block comes
 *    before (aegis_i_shared_may_follow). For a request that will grow again, a block of at least
 *    twice its size is enough (grow). The end that it leaves in the block before is smaller than
 *    the request, so with four requests in the new block it is smaller than a quarter of that. If
 *    the source or a budget has refused such a block, a smaller one follows.
 * 3. A block is appended by a compare-and-swap of a `next` from NULL. A thread whose
 *    compare-and-swap fails has found the block of another thread there, and appends its own block
 *    behind that one (aegis_i_shared_next). `current` goes on only to a block with room for the
 *    request, or on the way to one, so a request that is refused changes nothing.
 * 4. Otherwise the request gets an own block. An idle own block belongs to the thread whose
 *    compare-and-swap sets its `taken` from 0 to 1 (aegis_i_shared_take_idle). Only a reset sets it
 *    back (rewind_block in lock_free_shared.c).
 * 5. Between two resets the list of idle own blocks does not change (retire_large and trim_large in
 *    lock_free_shared.c). Before the block in `large_untaken` every block of it is taken
 *    (first_untaken).
 *
 * No block is lost: by 3 every acquired block of the chain is appended, and `current` comes to it
 * in turn. By 4 no two requests have the same own block. The steps are lock-free: a
 * compare-and-swap fails only if another thread's has succeeded, or spuriously if it is a weak one.
 *
 * After a reset the same requests find the same blocks again, because the choice depends only on
 * the sizes of the requests and on what they have found before. Near a limit this is so because of
 * the last sentence of 3.
 *
 * Every request ends near a limit: it asks for the block that it wants, for what is left, and for
 * its exact size, once each (grow). It tries again only if another thread has appended a block.
 *
 * Source: the append is that of the queue of M. M. Michael and M. L. Scott (PODC 1996). The list of
 * own blocks acquired since the reset is R. K. Treiber's stack (IBM RJ 5118, 1986), which is only
 * pushed to. */
#include "growth.h"
#include "lock_free_state.h"

/* Sets the growth step that follows a step of `step_bytes`. Several threads may do so at once. */
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
    /* Acquire pairs with the release that appended the block, in aegis_i_shared_next: its block
     * header is written. */
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

/* Whether a refused block may be tried again in another size: the source is right, and no other
 * thread has appended a block meanwhile. */
static bool may_try_again(const aegis_i_shared_block *block, const aegis_i_refusal *why) {
    return why->status != AEGIS_E_SOURCE &&
           aegis_i_load(&block->next, memory_order_relaxed) == NULL;
}

/* Acquires the block that is to follow. It is of the growth step, or for a request that will grow
 * again of at least twice the request. If a budget refuses that block, this acquires a block of
 * what the budget has left. If that is refused too, because another thread was faster, or if the
 * source refuses, this acquires a block of exactly the request's size. It stops as soon as another
 * thread has appended a block. */
static aegis_i_shared_block *grow(aegis_lock_free_arena_shared *shared,
                                  const aegis_i_shared_block *block, const aegis_i_take *request,
                                  aegis_i_refusal *why) {
    size_t exact_bytes = AEGIS_I_SHARED_HEADER + request->need_bytes;
    size_t step_bytes = aegis_i_load(&shared->next_block_bytes, memory_order_relaxed);
    size_t reserved_bytes = aegis_i_load(&shared->reserved_bytes, memory_order_relaxed);
    size_t block_bytes = aegis_i_step_block(step_bytes, exact_bytes, reserved_bytes);
    if (request->regrows)
        block_bytes = aegis_i_max(step_bytes, 2 * exact_bytes);
    /* Other threads may have changed the step since aegis_i_shared_may_follow looked at it. */
    block_bytes = aegis_i_max(block_bytes, exact_bytes);
    aegis_i_shared_block *fresh = aegis_i_shared_acquire(
        shared, block_bytes, request->optional || block_bytes > exact_bytes, why);
    if (fresh != NULL) {
        if (block_bytes >= step_bytes)
            move_step(shared, step_bytes);
        return fresh;
    }
    if (block_bytes == exact_bytes)
        return NULL;
    size_t rest_bytes = why->status == AEGIS_E_LIMIT_EXCEEDED
                            ? aegis_i_rest_block(shared->budget, block_bytes, exact_bytes)
                            : 0;
    if (rest_bytes != 0 && may_try_again(block, why))
        fresh = aegis_i_shared_acquire(shared, rest_bytes, true, why);
    if (fresh == NULL && may_try_again(block, why))
        fresh = aegis_i_shared_acquire(shared, exact_bytes, request->optional, why);
    return fresh;
}

aegis_i_shared_block *aegis_i_shared_next(aegis_lock_free_arena_shared *shared,
                                          aegis_i_shared_block *block, const aegis_i_take *request,
                                          aegis_i_refusal *why) {
    /* If a block of the chain has room, `current` goes on to it. If none has, it goes on only when
     * another block is there: a request that is refused leaves the ends of blocks to others. */
    aegis_i_shared_block *tail = block;
    aegis_i_shared_block *behind;
    /* Acquire: as in aegis_i_shared_may_follow. */
    while ((behind = aegis_i_load(&tail->next, memory_order_acquire)) != NULL) {
        if (request->need_bytes <= behind->capacity_bytes)
            return aegis_i_load(&block->next, memory_order_acquire);
        tail = behind;
    }
    aegis_i_shared_block *fresh = grow(shared, tail, request, why);
    /* Another thread may have appended a block instead. Acquire: as above. */
    if (fresh == NULL && aegis_i_load(&tail->next, memory_order_acquire) == NULL)
        return NULL;
    if (fresh != NULL) {
        behind = NULL;
        /* If another thread has appended a block first, this thread appends its block behind that
         * one, so that both blocks are used in turn. Release publishes the block header; it pairs
         * with the acquires of `next`. Acquire on failure pairs with the same release of the other
         * thread: this thread goes on to the other block's `next`. */
        while (
            !aegis_i_cas(&tail->next, &behind, fresh, memory_order_release, memory_order_acquire)) {
            tail = behind;
            behind = NULL;
        }
    }
    /* Acquire: as in aegis_i_shared_may_follow. */
    return aegis_i_load(&block->next, memory_order_acquire);
}

/* The first idle own block that is not taken, as far as this thread sees. NULL: there is none. */
static aegis_i_shared_block *first_untaken(aegis_lock_free_arena_shared *shared) {
    aegis_i_shared_block *begun = aegis_i_load(&shared->large_untaken, memory_order_relaxed);
    aegis_i_shared_block *block = begun;
    while (block != NULL && aegis_i_load(&block->taken, memory_order_relaxed) != 0)
        block = aegis_i_load(&block->next, memory_order_relaxed);
    /* A slow thread may set large_untaken back to an earlier block. Every block before that one is
     * taken too, and a walk from it reaches this block again. */
    if (block != begun)
        aegis_i_store(&shared->large_untaken, block, memory_order_relaxed);
    return block;
}

/* The smallest idle own block with room for at least `need_bytes` and at most `most_bytes`. NULL:
 * there is none. */
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
        /* Relaxed, because nothing is to be ordered: what is in the block was written before the
         * reset. */
        if (aegis_i_cas(&block->taken, &taken, 1, memory_order_relaxed, memory_order_relaxed)) {
            aegis_i_store(&block->used_bytes, need_bytes, memory_order_relaxed);
            return block;
        }
    }
    return NULL;
}

/* The room in an own block for a request. */
static size_t own_capacity(size_t need_bytes) {
    return aegis_i_own_block(AEGIS_I_SHARED_HEADER + need_bytes) - AEGIS_I_SHARED_HEADER;
}

/* Acquires an own block for a request. If the source or a budget refuses the rounded size, this
 * acquires a block of exactly the request's size. */
static aegis_i_shared_block *acquire_own(aegis_lock_free_arena_shared *shared,
                                         const aegis_i_take *request, aegis_i_refusal *why) {
    size_t need_bytes = request->need_bytes;
    size_t exact_bytes = AEGIS_I_SHARED_HEADER + need_bytes;
    size_t own_bytes = AEGIS_I_SHARED_HEADER + own_capacity(need_bytes);
    size_t reserved_bytes = aegis_i_load(&shared->reserved_bytes, memory_order_relaxed);
    size_t step_bytes = aegis_i_load(&shared->next_block_bytes, memory_order_relaxed);
    aegis_i_shared_block *block = aegis_i_shared_acquire(
        shared, own_bytes, request->optional || own_bytes > exact_bytes, why);
    if (block == NULL && own_bytes > exact_bytes && why->status != AEGIS_E_SOURCE)
        block = aegis_i_shared_acquire(shared, exact_bytes, request->optional, why);
    if (block == NULL)
        return NULL;
    if (aegis_i_moves_step(step_bytes, exact_bytes, reserved_bytes))
        move_step(shared, step_bytes);
    aegis_i_store(&block->used_bytes, need_bytes, memory_order_relaxed);
    aegis_i_shared_block *newest = aegis_i_load(&shared->large, memory_order_relaxed);
    do {
        aegis_i_store(&block->next, newest, memory_order_relaxed);
        /* Release pairs with the acquire of `large` in sum_used (lock_free_shared.c): the block
         * header and its `next` are written. */
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
    return own != NULL ? own : acquire_own(shared, request, why);
}
