/* SPDX-License-Identifier: Apache-2.0 */
/* A pool, drawn: a line for the whole, and a line for each slab. */
#include "../base/arithmetic.h"
#include "../base/print.h"
#include "../base/text.h"
#include "one_owner.h"

#if !defined(AEGIS_FREESTANDING)

static void print_slab(const aegis_pool *pool, uint32_t slab, const aegis_pool_slab_info *info,
                       aegis_print_fn print, void *context) {
    char buffer[160], bar[AEGIS_I_BAR_WIDTH + 1];
    aegis_i_text line = {buffer, sizeof buffer, 0};
    size_t out_count = aegis_i_pool_count_out(pool, slab);
    aegis_i_bar(bar, AEGIS_I_BAR_WIDTH, out_count, info->block_count);
    aegis_i_text_add(&line, "%3zu [%s] %zu of %zu blocks, from %p", (size_t)slab + 1, bar,
                     out_count, info->block_count, info->base);
    print(context, buffer);
}

void aegis_pool_print(const aegis_pool *pool, aegis_print_fn print, void *context) {
    if (print == NULL)
        print = aegis_i_print_to_stderr;
    char buffer[256], block[AEGIS_I_SIZE_TEXT], reserved[AEGIS_I_SIZE_TEXT];
    aegis_i_text line = {buffer, sizeof buffer, 0};
    aegis_pool_stats stats;
    aegis_pool_get_stats(pool, &stats);
    aegis_i_size_text(block, stats.block_bytes);
    aegis_i_size_text(reserved, stats.reserved_bytes);
    aegis_i_text_add(&line, "pool: %zu of %zu blocks of %s out, peak %zu, at most %zu; %s reserved",
                     stats.in_use, stats.capacity, block, stats.peak_in_use, stats.max_capacity,
                     reserved);
    print(context, buffer);
    aegis_pool_slab_info info;
    aegis_i_pool_place(pool);
    size_t printed_count = 0;
    for (uint32_t slab = 0; printed_count < stats.slab_count && slab < pool->slabs.slab_limit;
         slab++) {
        if (aegis_pool_get_slab(pool, slab, &info) != AEGIS_OK)
            continue;
        print_slab(pool, slab, &info, print, context);
        printed_count++;
    }
}

#endif
