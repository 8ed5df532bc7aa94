/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of buffers that move between budgets share: a pool of buffers that is charged to a
 * budget. */
#ifndef MOVE_SUPPORT_H
#define MOVE_SUPPORT_H

#include "budget_tree_support.h"

#define POOL_BYTES ((size_t)1000)

static aegis_buffer_pool pool;
/* What a buffer of the pool takes out of its slab. */
static size_t block_bytes;

static inline void pool_make(aegis_budget *budget, uint32_t when_empty) {
    aegis_buffer_class class_of = {POOL_BYTES, 3, 3};
    aegis_buffer_pool_options options = {0};
    options.classes = &class_of;
    options.class_count = 1;
    options.align_bytes = 16;
    options.when_empty = when_empty;
    options.budget = budget;
    aegis_buffer_mut writer;
    CHECK(aegis_buffer_pool_init(&pool, &options) == AEGIS_OK);
    CHECK(aegis_buffer_pool_get(&pool, &writer, 1, NULL) == AEGIS_OK);
    block_bytes = aegis_buffer_mut_retained_bytes(&writer);
    CHECK(block_bytes >= POOL_BYTES);
    CHECK(aegis_buffer_mut_release(&writer) == AEGIS_OK);
}

static inline size_t pool_reserved(void) {
    aegis_buffer_pool_stats stats;
    aegis_buffer_pool_get_stats(&pool, &stats);
    return stats.reserved_bytes;
}

#endif
