/* SPDX-License-Identifier: Apache-2.0 */
/* What the options of a pool make of its slabs: the stride of the blocks, how many there may be,
 * and where the parts of the side memory begin. Nothing here calls the source or the budget.
 *
 * An address becomes an index without a division (aegis_pool_grid_find). The stride is an odd
 * number times a power of two, 2^r.
 * 1. Multiplying by the inverse of the odd number (invert_odd), modulo the size of a word, is a
 *    bijection of words. So is rotating a word by r bits.
 * 2. Both together take each multiple of the stride to its quotient: the multiplication leaves the
 *    quotient times 2^r, and the rotation shifts that right by r bits, which are 0.
 * 3. Because it is a bijection, each index below the number of blocks comes from one offset only,
 *    that of the block's start.
 *
 * So one comparison with the number of blocks tells the start of a block from every other address.
 * Source: T. Granlund, P. L. Montgomery, Division by invariant integers using multiplication (PLDI
 * 1994), section 9. */
#include "slab_plan.h"
#include "../base/arithmetic.h"
#include "../base/harden.h"

/* Inverts an odd number modulo 2^N, the size of a word. Each step of Newton's method doubles the
 * number of correct bits. */
static size_t invert_odd(size_t odd) {
    size_t inverse = odd;
    for (int right_bits = 3; right_bits < (int)sizeof(size_t) * 8; right_bits *= 2)
        inverse *= 2 - odd * inverse;
    return inverse;
}

/* The largest power of two that is not above `value`, which is not 0. */
static size_t floor_power_of_two(size_t value) {
    while (!aegis_i_is_power_of_two(value))
        value &= value - 1;
    return value;
}

/* The most bytes that a block can have, so that it and `reserve_count` more blocks fit into a slab.
 */
static size_t most_block_bytes(const aegis_pool_slabs *slabs, size_t reserve_count) {
    size_t stride_bytes = (PTRDIFF_MAX - aegis_i_slab_align(slabs)) / (1 + reserve_count);
    stride_bytes &= ~(slabs->align_bytes - 1);
    return stride_bytes > AEGIS_I_GUARD_BYTES ? stride_bytes - AEGIS_I_GUARD_BYTES : 0;
}

/* Sets block size, alignment, stride and what follows from them. */
static aegis_status set_stride(aegis_pool_slabs *slabs, const aegis_pool_options *options,
                               size_t reserve_count, aegis_error *error) {
    size_t block_bytes = options->block_bytes;
    size_t align_bytes = options->align_bytes;
    if (align_bytes == 0)
        align_bytes = block_bytes % 16 == 0 ? 16 : 8;
    if (!aegis_i_is_power_of_two(align_bytes))
        return aegis_i_error_bytes(error, AEGIS_E_INVALID_LAYOUT, block_bytes, align_bytes);
    /* With this bound a slab has room for a block and the reserve, and for its own alignment. */
    size_t most_align_bytes = floor_power_of_two(PTRDIFF_MAX / (4 + reserve_count));
    if (align_bytes > most_align_bytes)
        return aegis_i_error_refuse(error, AEGIS_E_INVALID_LAYOUT, AEGIS_WHAT_ALIGN, align_bytes,
                                    most_align_bytes);
    slabs->block_bytes = block_bytes;
    slabs->align_bytes = align_bytes;
    size_t most_bytes = most_block_bytes(slabs, reserve_count);
    if (block_bytes > most_bytes) {
        (void)aegis_i_error_bytes(error, AEGIS_E_INVALID_LAYOUT, block_bytes, align_bytes);
        error->allowed = most_bytes;
        return error->status;
    }
    size_t span_bytes = aegis_i_max(block_bytes + AEGIS_I_GUARD_BYTES, 1);
    size_t stride_bytes = aegis_i_round_up(span_bytes, align_bytes);
    slabs->grid.stride_bytes = stride_bytes;
    while ((stride_bytes & 1) == 0) {
        stride_bytes >>= 1;
        slabs->grid.rotate++;
    }
    slabs->grid.inverse = invert_odd(stride_bytes);
    return AEGIS_OK;
}

/* The most blocks that a pool can have, without the reserves: as many as there are indices, and as
 * there is room for in the side memory. */
static size_t most_blocks(size_t slab_count, size_t reserve_count, size_t head_bytes,
                          size_t side_bytes) {
    /* Beside the entries of the blocks there are the head, the directory, and at most 32 bytes of
     * windows for each slab. */
    uint64_t room_bytes = PTRDIFF_MAX - 4 * AEGIS_I_META_ALIGN - head_bytes;
    room_bytes -= slab_count * (sizeof(uintptr_t) + 8 * sizeof(uint32_t));
    uint64_t index_count = room_bytes / side_bytes;
    size_t most_count =
        index_count < AEGIS_POOL_MAX_BLOCKS ? (size_t)index_count : (size_t)AEGIS_POOL_MAX_BLOCKS;
    return most_count > reserve_count ? most_count - reserve_count : 0;
}

/* Sets the numbers of blocks and slabs. */
static aegis_status set_counts(aegis_pool_slabs *slabs, const aegis_pool_options *options,
                               size_t reserve_count, size_t head_bytes, size_t side_bytes,
                               aegis_error *error) {
    size_t step_count = options->block_count;
    size_t max_count = options->max_block_count != 0 ? options->max_block_count : step_count;
    if (step_count == 0)
        return aegis_i_error_refuse(error, AEGIS_E_INVALID, AEGIS_WHAT_BLOCKS, 0, 1);
    if (max_count < step_count)
        return aegis_i_error_refuse(error, AEGIS_E_INVALID, AEGIS_WHAT_MAX_BLOCKS, max_count,
                                    step_count);
    size_t slab_count = 1 + (max_count - 1) / step_count;
    size_t in_slab_count =
        (PTRDIFF_MAX - aegis_i_slab_align(slabs)) / slabs->grid.stride_bytes - reserve_count;
    size_t most_count = most_blocks(aegis_i_min(slab_count, AEGIS_I_MAX_SLABS), reserve_count,
                                    head_bytes, side_bytes);
    if (step_count > aegis_i_min(in_slab_count, most_count))
        return aegis_i_error_refuse(error, AEGIS_E_INVALID_LAYOUT, AEGIS_WHAT_BLOCKS, step_count,
                                    aegis_i_min(in_slab_count, most_count));
    if (max_count > most_count)
        return aegis_i_error_refuse(error, AEGIS_E_INVALID_LAYOUT, AEGIS_WHAT_MAX_BLOCKS, max_count,
                                    most_count);
    if (slab_count > AEGIS_I_MAX_SLABS)
        return aegis_i_error_refuse(error, AEGIS_E_INVALID_LAYOUT, AEGIS_WHAT_SLABS, slab_count,
                                    AEGIS_I_MAX_SLABS);
    slabs->grid.count = step_count + reserve_count;
    slabs->step_count = (uint32_t)step_count;
    slabs->index_limit = (uint32_t)(max_count + reserve_count);
    slabs->slab_limit = (uint32_t)slab_count;
    while (((size_t)1 << slabs->window_shift) < step_count * slabs->grid.stride_bytes)
        slabs->window_shift++;
    return AEGIS_OK;
}

aegis_i_meta_layout aegis_i_slabs_lay_out(aegis_pool_slabs *slabs, size_t head_bytes,
                                          size_t side_bytes) {
    aegis_i_meta_layout at;
    uint32_t window_count = 1;
    if (slabs->slab_limit > 1) {
        /* AEGIS_I_MAX_SLABS bounds slab_limit, so this ends at 2^31 at the latest. */
        uint64_t wanted_count = (uint64_t)(slabs->slab_limit - 1) * 4;
        while (window_count < wanted_count)
            window_count *= 2;
    }
    at.side_at = (head_bytes + (AEGIS_I_META_ALIGN - 1)) & ~(AEGIS_I_META_ALIGN - 1);
    at.directory_at = (at.side_at + (uint64_t)slabs->index_limit * side_bytes + 15) & ~15ULL;
    at.windows_at = at.directory_at + (uint64_t)slabs->slab_limit * sizeof(uintptr_t);
    uint64_t total_bytes = at.windows_at + (uint64_t)window_count * sizeof(uint32_t);
    assert(total_bytes <= PTRDIFF_MAX - AEGIS_I_META_ALIGN); /* see most_blocks */
    slabs->meta_bytes = (size_t)total_bytes;
    slabs->window_mask = window_count - 1;
    return at;
}

aegis_status aegis_i_slabs_plan(aegis_pool_slabs *slabs, const aegis_pool_options *options,
                                size_t reserve_count, size_t head_bytes, size_t side_bytes,
                                aegis_error *error) {
    memset(slabs, 0, sizeof *slabs);
    memset(error, 0, sizeof *error);
    aegis_status status = set_stride(slabs, options, reserve_count, error);
    if (status == AEGIS_OK)
        status = set_counts(slabs, options, reserve_count, head_bytes, side_bytes, error);
    if (status == AEGIS_OK)
        (void)aegis_i_slabs_lay_out(slabs, head_bytes, side_bytes);
    return status;
}
