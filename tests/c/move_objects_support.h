/* SPDX-License-Identifier: Apache-2.0 */
/* Arenas and pools for the tests of moves between budgets: how each is made in a budget, works, is
 * moved and ends, and what it has reserved. */
#ifndef MOVE_OBJECTS_SUPPORT_H
#define MOVE_OBJECTS_SUPPORT_H

#include "budget_tree_support.h"

/* -- arenas -- */

static const size_t arena_sizes[] = {16, 300, 2000, 9000};

static aegis_arena arena;
static aegis_lock_free_arena lock_free;
static aegis_locked_arena locked;

static inline void arena_make(aegis_budget *budget) {
    aegis_arena_options options = {0};
    options.budget = budget;
    CHECK(aegis_arena_init(&arena, &options) == AEGIS_OK);
}

static inline void arena_work(uint64_t *seed) {
    if (random_below(seed, 8) == 0)
        aegis_arena_clear(&arena);
    else
        (void)aegis_arena_alloc(&arena, arena_sizes[random_below(seed, 4)]);
}

static inline size_t arena_held(void) {
    aegis_arena_stats stats;
    aegis_arena_get_stats(&arena, &stats);
    return stats.reserved_bytes;
}

static inline aegis_status arena_move(aegis_budget *budget, aegis_error *error) {
    return aegis_arena_move_budget(&arena, budget, error);
}

static inline void arena_end(void) {
    aegis_arena_fini(&arena);
}

static inline void lock_free_make(aegis_budget *budget) {
    aegis_lock_free_arena_options options = {0};
    options.budget = budget;
    CHECK(aegis_lock_free_arena_init(&lock_free, &options, NULL) == AEGIS_OK);
}

static inline void lock_free_work(uint64_t *seed) {
    if (random_below(seed, 8) == 0)
        aegis_lock_free_arena_clear(&lock_free);
    else
        (void)aegis_lock_free_arena_alloc(&lock_free, arena_sizes[random_below(seed, 4)], NULL);
}

static inline size_t lock_free_held(void) {
    aegis_arena_stats stats;
    aegis_lock_free_arena_get_stats(&lock_free, &stats);
    return stats.reserved_bytes;
}

static inline aegis_status lock_free_move(aegis_budget *budget, aegis_error *error) {
    return aegis_lock_free_arena_move_budget(&lock_free, budget, error);
}

static inline void lock_free_end(void) {
    aegis_lock_free_arena_fini(&lock_free);
}

static inline void locked_make(aegis_budget *budget) {
    aegis_arena_options options = {0};
    options.budget = budget;
    CHECK(aegis_locked_arena_init(&locked, &options, NULL) == AEGIS_OK);
}

static inline void locked_work(uint64_t *seed) {
    if (random_below(seed, 8) == 0)
        aegis_locked_arena_clear(&locked);
    else
        (void)aegis_locked_arena_alloc(&locked, arena_sizes[random_below(seed, 4)], NULL);
}

static inline size_t locked_held(void) {
    aegis_arena_stats stats;
    aegis_locked_arena_get_stats(&locked, &stats);
    return stats.reserved_bytes;
}

static inline aegis_status locked_move(aegis_budget *budget, aegis_error *error) {
    return aegis_locked_arena_move_budget(&locked, budget, error);
}

static inline void locked_end(void) {
    aegis_locked_arena_fini(&locked);
}

/* -- pools -- */

#define POOL_BLOCKS 60

static inline void set_blocks(aegis_pool_options *blocks, aegis_budget *budget) {
    blocks->block_bytes = 500;
    blocks->block_count = 8;
    blocks->max_block_count = POOL_BLOCKS;
    blocks->budget = budget;
}

static aegis_pool pool;
static size_t pool_out;
static void *pool_blocks[POOL_BLOCKS];

static inline void pool_make(aegis_budget *budget) {
    aegis_pool_options options = {0};
    aegis_pool_options *blocks = &options;
    set_blocks(blocks, budget);
    CHECK(aegis_pool_init(&pool, &options) == AEGIS_OK);
    pool_out = 0;
}

static inline void pool_work(uint64_t *seed) {
    if (random_below(seed, 8) == 0) {
        while (pool_out != 0)
            CHECK(aegis_pool_free(&pool, pool_blocks[--pool_out]) == AEGIS_OK);
        aegis_pool_trim(&pool, 0);
        return;
    }
    for (size_t i = 0; i < 10 && pool_out < POOL_BLOCKS; i++) {
        void *block = aegis_pool_alloc(&pool);
        if (block != NULL)
            pool_blocks[pool_out++] = block;
    }
}

static inline size_t pool_held(void) {
    aegis_pool_stats stats;
    aegis_pool_get_stats(&pool, &stats);
    return stats.reserved_bytes;
}

static inline aegis_status pool_move(aegis_budget *budget, aegis_error *error) {
    return aegis_pool_move_budget(&pool, budget, error);
}

static inline void pool_end(void) {
    aegis_pool_abandon(&pool);
}

static aegis_lock_free_pool free_pool;
static size_t free_pool_out;
static void *free_pool_blocks[POOL_BLOCKS];

static inline void free_pool_make(aegis_budget *budget) {
    aegis_lock_free_pool_options options = {0};
    aegis_pool_options *blocks = &options.blocks;
    set_blocks(blocks, budget);
    CHECK(aegis_lock_free_pool_init(&free_pool, &options) == AEGIS_OK);
    free_pool_out = 0;
}

static inline void free_pool_work(uint64_t *seed) {
    if (random_below(seed, 8) == 0) {
        while (free_pool_out != 0)
            CHECK(aegis_lock_free_pool_free(&free_pool, free_pool_blocks[--free_pool_out]) ==
                  AEGIS_OK);
        aegis_lock_free_pool_trim(&free_pool, 0);
        return;
    }
    for (size_t i = 0; i < 10 && free_pool_out < POOL_BLOCKS; i++) {
        void *block = aegis_lock_free_pool_alloc(&free_pool, NULL);
        if (block != NULL)
            free_pool_blocks[free_pool_out++] = block;
    }
}

static inline size_t free_pool_held(void) {
    aegis_pool_stats stats;
    aegis_lock_free_pool_get_stats(&free_pool, &stats);
    return stats.reserved_bytes;
}

static inline aegis_status free_pool_move(aegis_budget *budget, aegis_error *error) {
    return aegis_lock_free_pool_move_budget(&free_pool, budget, error);
}

static inline void free_pool_end(void) {
    aegis_lock_free_pool_abandon(&free_pool);
}

static aegis_locked_pool locked_pool;
static size_t locked_pool_out;
static void *locked_pool_blocks[POOL_BLOCKS];

static inline void locked_pool_make(aegis_budget *budget) {
    aegis_pool_options options = {0};
    aegis_pool_options *blocks = &options;
    set_blocks(blocks, budget);
    CHECK(aegis_locked_pool_init(&locked_pool, &options) == AEGIS_OK);
    locked_pool_out = 0;
}

static inline void locked_pool_work(uint64_t *seed) {
    if (random_below(seed, 8) == 0) {
        while (locked_pool_out != 0)
            CHECK(aegis_locked_pool_free(&locked_pool, locked_pool_blocks[--locked_pool_out]) ==
                  AEGIS_OK);
        aegis_locked_pool_trim(&locked_pool, 0);
        return;
    }
    for (size_t i = 0; i < 10 && locked_pool_out < POOL_BLOCKS; i++) {
        void *block = aegis_locked_pool_alloc(&locked_pool, NULL);
        if (block != NULL)
            locked_pool_blocks[locked_pool_out++] = block;
    }
}

static inline size_t locked_pool_held(void) {
    aegis_pool_stats stats;
    aegis_locked_pool_get_stats(&locked_pool, &stats);
    return stats.reserved_bytes;
}

static inline aegis_status locked_pool_move(aegis_budget *budget, aegis_error *error) {
    return aegis_locked_pool_move_budget(&locked_pool, budget, error);
}

static inline void locked_pool_end(void) {
    aegis_locked_pool_abandon(&locked_pool);
}

#endif
