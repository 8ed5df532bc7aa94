/* SPDX-License-Identifier: Apache-2.0 */
/* How large the blocks are that an arena acquires: the growth step, and blocks for one request. For
 * every form of arena. Not installed. */
#ifndef AEGIS_MEMORY_I_ARENA_GROWTH_H
#define AEGIS_MEMORY_I_ARENA_GROWTH_H

#include "block.h"

/* A request that takes no more of a block, head included, is small. */
#define AEGIS_I_SMALL_MAX ((size_t)64 << 10)

/* The block of the growth step, or of a half or less of it, that a request may have which takes
 * `exact_bytes` of it, heads included: into which several such requests fit, or which is hardly
 * larger than the request; 0 if there is none. A block of the request's own size is the other
 * choice, so no request reserves much more than it asks for; several in one block spare the source
 * as many calls. A large request may have a block for several when that adds a tenth at most to
 * what the arena has reserved. */
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

/* Whether a request that got a block of its own size moves the growth step on: by itself it says
 * nothing of what follows, but another one of as much does. */
static inline bool aegis_i_moves_step(size_t step_bytes, size_t exact_bytes,
                                      size_t reserved_bytes) {
    bool is_small = exact_bytes <= AEGIS_I_SMALL_MAX;
    return exact_bytes <= reserved_bytes && (is_small || step_bytes <= reserved_bytes / 20);
}

/* The block of its own that a request gets which takes `exact_bytes` of it, head included: one of
 * 32 sizes between a power of two and the next, so that a request of about the same size can have
 * it after a reset. */
static inline size_t aegis_i_own_block(size_t exact_bytes) {
    size_t grain_bytes = 16;
    while (grain_bytes <= exact_bytes / 64)
        grain_bytes *= 2;
    size_t block_bytes = aegis_i_round_up(exact_bytes, grain_bytes);
    return block_bytes <= PTRDIFF_MAX ? block_bytes : exact_bytes;
}

#endif
