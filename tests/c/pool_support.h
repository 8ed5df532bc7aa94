/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of pools need in addition to support.h: options and statistics. */
#ifndef POOL_SUPPORT_H
#define POOL_SUPPORT_H

#include "support.h"

#include <stdatomic.h>

static inline aegis_pool_options pool_options(size_t block_bytes, size_t block_count,
                                              size_t max_block_count, const aegis_source *source) {
    aegis_pool_options options;
    memset(&options, 0, sizeof options);
    options.block_bytes = block_bytes;
    options.block_count = block_count;
    options.max_block_count = max_block_count;
    options.source = source;
    return options;
}

static inline aegis_pool_stats pool_stats(const aegis_pool *pool) {
    aegis_pool_stats stats;
    aegis_pool_get_stats(pool, &stats);
    return stats;
}

#if !defined(AEGIS_OMIT_THREADS)

static inline aegis_lock_free_pool_options lock_free_options(size_t block_bytes, size_t block_count,
                                                             size_t max_block_count,
                                                             size_t max_cache_count,
                                                             const aegis_source *source) {
    aegis_lock_free_pool_options options;
    memset(&options, 0, sizeof options);
    options.blocks = pool_options(block_bytes, block_count, max_block_count, source);
    options.max_cache_count = max_cache_count;
    return options;
}

static inline aegis_pool_stats lock_free_stats(const aegis_lock_free_pool *pool) {
    aegis_pool_stats stats;
    aegis_lock_free_pool_get_stats(pool, &stats);
    return stats;
}

static inline aegis_pool_stats locked_stats(const aegis_locked_pool *pool) {
    aegis_pool_stats stats;
    aegis_locked_pool_get_stats(pool, &stats);
    return stats;
}

#endif

/* Whether the child of a process with threads may use the library. If not, the program prints why:
 * AddressSanitizer's heap may hang in the child, and so may libatomic where it takes locks. */
static inline bool test_can_fork_beside_threads(void) {
#if defined(TEST_ASAN) || ATOMIC_LLONG_LOCK_FREE != 2
    printf("no fork beside threads, as not all that the child needs is free of locks\n");
    return false;
#else
    return true;
#endif
}

#endif
