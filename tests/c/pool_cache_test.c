/* SPDX-License-Identifier: Apache-2.0 */
/* Tests the caches of a lock-free pool from one thread that has several. A cache must hand out its
 * latest block first, and however many blocks the caches hold, `capacity` blocks can be had without
 * them. */
#include "pool_support.h"

#define PARKED AEGIS_POOL_CACHE_BLOCKS

static aegis_lock_free_pool make(size_t block_count, size_t max_cache_count, uint32_t flags) {
    aegis_lock_free_pool pool;
    aegis_lock_free_pool_options options =
        lock_free_options(64, block_count, 0, max_cache_count, NULL);
    options.flags = flags;
    CHECK(aegis_lock_free_pool_init(&pool, &options) == AEGIS_OK);
    return pool;
}

static void a_cache_hands_out_the_latest_block_first(void) {
    for (uint32_t flags = 0; flags <= AEGIS_POOL_NO_RACING_FREES; flags++) {
        aegis_lock_free_pool pool = make(100, 1, flags);
        aegis_pool_cache cache;
        CHECK(aegis_pool_cache_init(&cache, &pool) == AEGIS_OK);
        CHECK_SIZE(lock_free_stats(&pool).parked, PARKED);
        void *a = aegis_pool_cache_alloc(&cache), *b = aegis_pool_cache_alloc(&cache);
        CHECK(a != NULL && b != NULL && a != b);
        memset(a, 1, 64);
        memset(b, 2, 64);
        CHECK_SIZE(lock_free_stats(&pool).in_use, 2);
        CHECK(aegis_pool_cache_free(&cache, a) == AEGIS_OK);
        CHECK(aegis_pool_cache_alloc(&cache) == a);
        CHECK(aegis_pool_cache_free(&cache, a) == AEGIS_OK);
        CHECK(aegis_pool_cache_free(&cache, b) == AEGIS_OK);
        CHECK(aegis_lock_free_pool_fini(&pool) == AEGIS_E_BUSY);
        aegis_pool_cache_fini(&cache);
        aegis_pool_cache_fini(&cache);
        aegis_pool_cache_fini(NULL);
        CHECK(aegis_lock_free_pool_fini(&pool) == AEGIS_OK);
    }
}

static void no_more_caches_than_the_pool_was_made_for(void) {
    aegis_lock_free_pool pool = make(10, 2, 0);
    aegis_pool_cache caches[3];
    CHECK(aegis_pool_cache_init(&caches[0], &pool) == AEGIS_OK);
    CHECK(aegis_pool_cache_init(&caches[1], &pool) == AEGIS_OK);
    CHECK(aegis_pool_cache_init(&caches[2], &pool) == AEGIS_E_LIMIT_EXCEEDED);
    aegis_pool_cache_fini(&caches[2]);
    aegis_pool_cache_fini(&caches[0]);
    CHECK(aegis_pool_cache_init(&caches[2], &pool) == AEGIS_OK);
    CHECK_SIZE(caches[2].count, 0);
    aegis_pool_cache_fini(&caches[1]);
    aegis_pool_cache_fini(&caches[2]);
    CHECK(aegis_lock_free_pool_fini(&pool) == AEGIS_OK);

    aegis_lock_free_pool plain = make(10, 0, 0);
    CHECK(aegis_pool_cache_init(&caches[0], &plain) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK(aegis_lock_free_pool_fini(&plain) == AEGIS_OK);
}

/* What `capacity` promises: that many blocks can be allocated without the caches, however many
 * blocks the caches hold. */
static void capacity_blocks_can_be_had_whatever_caches_park(void) {
    enum { CAPACITY = 150, CACHES = 3 };
    aegis_lock_free_pool pool = make(CAPACITY, CACHES, 0);
    aegis_pool_cache caches[CACHES];
    void *blocks[CAPACITY + CACHES * PARKED];
    for (int i = 0; i < CACHES; i++)
        CHECK(aegis_pool_cache_init(&caches[i], &pool) == AEGIS_OK);
    for (int round = 0; round < 5; round++) {
        /* Takes all blocks through one cache, then gives them back through all caches in turn, so
         * that the caches are as full as they can be. */
        size_t all_count = 0;
        while ((blocks[all_count] = aegis_pool_cache_alloc(&caches[round % CACHES])) != NULL)
            all_count++;
        aegis_error error;
        aegis_pool_cache_last_error(&caches[round % CACHES], &error);
        CHECK(error.status == AEGIS_E_EXHAUSTED);
        CHECK(all_count >= CAPACITY);
        for (size_t i = 0; i < all_count; i++)
            CHECK(aegis_pool_cache_free(&caches[i % CACHES], blocks[i]) == AEGIS_OK);
        CHECK(lock_free_stats(&pool).parked <= CACHES * PARKED);
        CHECK_SIZE(lock_free_stats(&pool).capacity, CAPACITY);
        CHECK_SIZE(lock_free_stats(&pool).available, CAPACITY);
        CHECK_SIZE(aegis_lock_free_pool_alloc_n(&pool, blocks, CAPACITY, NULL), CAPACITY);
        CHECK(aegis_lock_free_pool_free_n(&pool, blocks, CAPACITY) == AEGIS_OK);
    }
    for (int i = 0; i < CACHES; i++)
        aegis_pool_cache_fini(&caches[i]);
    /* No block is lost: the blocks of the reserves are there as well. */
    size_t all_count =
        aegis_lock_free_pool_alloc_n(&pool, blocks, CAPACITY + CACHES * PARKED, NULL);
    CHECK_SIZE(all_count, CAPACITY + CACHES * PARKED);
    CHECK(aegis_lock_free_pool_free_n(&pool, blocks, all_count) == AEGIS_OK);
    CHECK(aegis_lock_free_pool_fini(&pool) == AEGIS_OK);
}

static void a_pool_without_open_caches_keeps_to_its_capacity(void) {
    aegis_lock_free_pool pool = make(10, 8, 0);
    void *blocks[11];
    CHECK_SIZE(aegis_lock_free_pool_alloc_n(&pool, blocks, 11, NULL), 10);
    CHECK(aegis_lock_free_pool_free_n(&pool, blocks, 10) == AEGIS_OK);
    CHECK(aegis_lock_free_pool_fini(&pool) == AEGIS_OK);
}

static void wrong_frees_are_refused_and_change_nothing(void) {
    for (uint32_t flags = 0; flags <= AEGIS_POOL_NO_RACING_FREES; flags++) {
        aegis_lock_free_pool pool = make(100, 2, flags), other = make(100, 1, flags);
        aegis_pool_cache a, b, foreign;
        CHECK(aegis_pool_cache_init(&a, &pool) == AEGIS_OK);
        CHECK(aegis_pool_cache_init(&b, &pool) == AEGIS_OK);
        CHECK(aegis_pool_cache_init(&foreign, &other) == AEGIS_OK);
        unsigned char *block = (unsigned char *)aegis_pool_cache_alloc(&a);
        unsigned char *alien = (unsigned char *)aegis_pool_cache_alloc(&foreign);
        for (size_t offset = 1; offset < 64; offset++)
            CHECK(aegis_pool_cache_free(&a, block + offset) == AEGIS_E_INVALID);
        CHECK(aegis_pool_cache_free(&a, NULL) == AEGIS_E_INVALID);
        CHECK(aegis_pool_cache_free(&a, &pool) == AEGIS_E_INVALID);
        CHECK(aegis_pool_cache_free(&a, alien) == AEGIS_E_INVALID);
        CHECK(aegis_pool_cache_free(&b, block) == AEGIS_OK);
        CHECK(aegis_pool_cache_free(&a, block) == AEGIS_E_INVALID);
        CHECK(aegis_pool_cache_free(&b, block) == AEGIS_E_INVALID);
        CHECK(aegis_lock_free_pool_free(&pool, block) == AEGIS_E_INVALID);
        aegis_pool_cache_flush(&b);
        CHECK_SIZE(b.count, 0);
        CHECK(aegis_pool_cache_free(&a, block) == AEGIS_E_INVALID);
        CHECK(aegis_pool_cache_free(&foreign, alien) == AEGIS_OK);
        aegis_pool_cache_fini(&a);
        aegis_pool_cache_fini(&b);
        aegis_pool_cache_fini(&foreign);
        CHECK(aegis_lock_free_pool_fini(&pool) == AEGIS_OK);
        CHECK(aegis_lock_free_pool_fini(&other) == AEGIS_OK);
    }
}

static void bulk_calls_pass_full_and_empty(void) {
    aegis_lock_free_pool pool = make(300, 1, 0);
    aegis_pool_cache cache;
    CHECK(aegis_pool_cache_init(&cache, &pool) == AEGIS_OK);
    void *blocks[400];
    for (size_t batch = 1; batch <= 300; batch = batch * 2 + 5) {
        CHECK_SIZE(aegis_pool_cache_alloc_n(&cache, blocks, batch), batch);
        CHECK_SIZE(lock_free_stats(&pool).in_use, batch);
        blocks[batch] = blocks[0];
        CHECK(aegis_pool_cache_free_n(&cache, blocks, batch + 1) == AEGIS_E_INVALID);
        CHECK_SIZE(lock_free_stats(&pool).in_use, batch);
        CHECK(aegis_pool_cache_free_n(&cache, blocks, batch) == AEGIS_OK);
    }
    CHECK_SIZE(aegis_pool_cache_alloc_n(&cache, blocks, 400), 300 + PARKED);
    CHECK(aegis_pool_cache_free_n(&cache, blocks, 300 + PARKED) == AEGIS_OK);
    aegis_pool_cache_fini(&cache);
    CHECK(aegis_lock_free_pool_fini(&pool) == AEGIS_OK);
}

static void zeroed_blocks_are_zero_and_fresh_ones_are_not_cleared(void) {
    aegis_lock_free_pool pool = make(100, 1, 0);
    aegis_pool_cache cache;
    CHECK(aegis_pool_cache_init(&cache, &pool) == AEGIS_OK);
#if !defined(TEST_ASAN) && !defined(AEGIS_VALGRIND)
    /* A byte of the next block that the pool has no reason to write. */
    unsigned char *next =
        (unsigned char *)aegis_lock_free_pool_address_of(&pool, cache.items[cache.count - 1]);
    next[7] = 42;
    CHECK(aegis_pool_cache_alloc_zeroed(&cache) == next && next[7] == 42);
    CHECK(aegis_pool_cache_free(&cache, next) == AEGIS_OK);
    CHECK(aegis_pool_cache_alloc_zeroed(&cache) == next && next[7] == 0);
    CHECK(aegis_pool_cache_free(&cache, next) == AEGIS_OK);
#endif
    unsigned char *blocks[150];
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < 150; i++) {
            blocks[i] = (unsigned char *)aegis_pool_cache_alloc_zeroed(&cache);
            CHECK(is_filled(blocks[i], 0, 64));
            memset(blocks[i], 0xFF, 64);
        }
        for (size_t i = 0; i < 150; i++)
            CHECK(aegis_pool_cache_free(&cache, blocks[i]) == AEGIS_OK);
    }
    aegis_pool_cache_fini(&cache);
    CHECK(aegis_lock_free_pool_fini(&pool) == AEGIS_OK);
}

static void a_cache_grows_and_serves_later_slabs(void) {
    aegis_lock_free_pool pool;
    aegis_lock_free_pool_options options = lock_free_options(64, 10, 200, 1, NULL);
    CHECK(aegis_lock_free_pool_init(&pool, &options) == AEGIS_OK);
    aegis_pool_cache cache;
    CHECK(aegis_pool_cache_init(&cache, &pool) == AEGIS_OK);
    void *blocks[200 + PARKED + 1];
    for (int round = 0; round < 2; round++) {
        CHECK_SIZE(aegis_pool_cache_alloc_n(&cache, blocks, 200 + PARKED + 1), 200 + PARKED);
        for (size_t i = 0; i < 200 + PARKED; i++)
            memset(blocks[i], 7, 64);
        for (size_t i = 0; i < 200 + PARKED; i++)
            CHECK(aegis_pool_cache_free(&cache, blocks[i]) == AEGIS_OK);
    }
    CHECK_SIZE(lock_free_stats(&pool).slab_count, 20);
    aegis_pool_cache_fini(&cache);
    aegis_lock_free_pool_trim(&pool, 0);
    CHECK_SIZE(lock_free_stats(&pool).slab_count, 1);
    CHECK(aegis_lock_free_pool_fini(&pool) == AEGIS_OK);
}

/* Blocks in the depot are free: they count as such, and calls without a cache find them. */
static void magazines_between_caches_count_as_free(void) {
    aegis_lock_free_pool pool = make(96, 2, 0);
    aegis_pool_cache from, to;
    void *blocks[96 + PARKED], *all[96];
    CHECK(aegis_pool_cache_init(&from, &pool) == AEGIS_OK);
    CHECK_SIZE(aegis_pool_cache_alloc_n(&from, blocks, 96 + PARKED), 96 + PARKED);
    for (size_t i = 0; i < 96 + PARKED; i++)
        CHECK(aegis_pool_cache_free(&from, blocks[i]) == AEGIS_OK);
    CHECK_SIZE(from.count, PARKED);
    CHECK_SIZE(lock_free_stats(&pool).in_use, 0);
    CHECK_SIZE(lock_free_stats(&pool).parked, PARKED);
    CHECK(aegis_lock_free_pool_free(&pool, blocks[0]) == AEGIS_E_INVALID);
    CHECK(aegis_pool_cache_free(&from, blocks[0]) == AEGIS_E_INVALID);

    /* The depot has room for two halves. The other cache gets the second one. */
    CHECK(aegis_pool_cache_init(&to, &pool) == AEGIS_OK);
    CHECK_SIZE(aegis_pool_cache_alloc_n(&to, all, PARKED), PARKED);
    CHECK(aegis_pool_cache_alloc(&to) == blocks[63]);
    CHECK(aegis_pool_cache_free(&to, blocks[63]) == AEGIS_OK);
    for (size_t i = 0; i < PARKED; i++)
        CHECK(aegis_lock_free_pool_free(&pool, all[i]) == AEGIS_OK);

    CHECK_SIZE(aegis_lock_free_pool_alloc_n(&pool, all, 96, NULL), 96);
    CHECK_SIZE(lock_free_stats(&pool).in_use, 96);
    CHECK(aegis_lock_free_pool_free_n(&pool, all, 96) == AEGIS_OK);
    aegis_pool_cache_fini(&from);
    aegis_pool_cache_fini(&to);
    CHECK(aegis_lock_free_pool_fini(&pool) == AEGIS_OK);
}

int main(void) {
    RUN(magazines_between_caches_count_as_free);
    RUN(a_cache_hands_out_the_latest_block_first);
    RUN(no_more_caches_than_the_pool_was_made_for);
    RUN(capacity_blocks_can_be_had_whatever_caches_park);
    RUN(a_pool_without_open_caches_keeps_to_its_capacity);
    RUN(wrong_frees_are_refused_and_change_nothing);
    RUN(bulk_calls_pass_full_and_empty);
    RUN(zeroed_blocks_are_zero_and_fresh_ones_are_not_cleared);
    RUN(a_cache_grows_and_serves_later_slabs);
    return check_finish();
}
