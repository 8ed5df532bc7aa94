/* SPDX-License-Identifier: Apache-2.0 */
/* How large the blocks are that an arena acquires: blocks of the growth step, and blocks for one
 * request. The rules are the same for every form of arena, so this unit knows only sizes. Not
 * installed. */
#ifndef AEGIS_MEMORY_I_ARENA_GROWTH_H
#define AEGIS_MEMORY_I_ARENA_GROWTH_H

#include "../acquire.h"
#include "block.h"

/* A request is small if it takes at most this many bytes of a block, with the block header. */
#define AEGIS_I_SMALL_MAX ((size_t)64 << 10)

/* The size of the shared block that a request may have which takes `exact_bytes` of it, block
 * header included. 0: it may have none, and gets a block of its own size.
 *
 * The shared block is of the growth step. The request may have it if at least four such requests
 * fit into it, or if the block is hardly larger than the request. For a large request a block for
 * several must also add at most a tenth to what the arena has reserved. So the step is halved
 * first, as long as four such requests still fit. In this way no request reserves much more than it
 * asks for, and several requests in one block need only one call of the source. */
static inline size_t aegis_i_step_block(size_t step_bytes, size_t exact_bytes,
                                        size_t reserved_bytes) {
    bool is_small = exact_bytes <= AEGIS_I_SMALL_MAX;
    while (!is_small && step_bytes > reserved_bytes / 10 && exact_bytes <= step_bytes / 8)
        step_bytes = step_bytes / 2 & ~(size_t)15;
    if (exact_bytes <= step_bytes / 4 && (is_small || step_bytes <= reserved_bytes / 10))
        return step_bytes;
    bool is_near = exact_bytes <= step_bytes &&
                   step_bytes - exact_bytes <= exact_bytes / 32 + AEGIS_ARENA_MIN_BLOCK;
    return is_near ? step_bytes : 0;
}

/* Whether a request that got a block of its own size moves the growth step on. One such request
 * says nothing about the requests that follow it. But if the arena has already reserved as much
 * before, more are likely to follow. */
static inline bool aegis_i_moves_step(size_t step_bytes, size_t exact_bytes,
                                      size_t reserved_bytes) {
    bool is_small = exact_bytes <= AEGIS_I_SMALL_MAX;
    return exact_bytes <= reserved_bytes && (is_small || step_bytes <= reserved_bytes / 20);
}

/* The size of the block that takes what is left below the limits of a budget, after the budget has
 * refused a block of `refused_bytes` to a request that needs `exact_bytes`. 0: there is no such
 * block, because less is left than the request needs, or because enough is left by now for the
 * refused block. The block is smaller than the one that the request may have, so no request gets
 * more than without a limit. */
static inline size_t aegis_i_rest_block(const aegis_budget *budget, size_t refused_bytes,
                                        size_t exact_bytes) {
    size_t rest_bytes = aegis_i_budget_room(budget) & ~(AEGIS_I_BLOCK_ALIGN - 1);
    return rest_bytes > exact_bytes && rest_bytes < refused_bytes ? rest_bytes : 0;
}

/* The size of the block of its own that a request gets which takes `exact_bytes` of it, block
 * header included. There are 32 such sizes between a power of two and the next, so that after a
 * reset a request of about the same size can have the same block. */
static inline size_t aegis_i_own_block(size_t exact_bytes) {
    size_t grain_bytes = 16;
    while (grain_bytes <= exact_bytes / 64)
        grain_bytes *= 2;
    size_t block_bytes = aegis_i_round_up(exact_bytes, grain_bytes);
    return block_bytes <= PTRDIFF_MAX ? block_bytes : exact_bytes;
}

#endif
