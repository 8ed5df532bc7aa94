/* SPDX-License-Identifier: Apache-2.0 */
/* Tests the lock-free pool from one thread: allocating, freeing, growth, trim, and all refusals. No
 * block may be out twice, and a wrong free must be refused and change nothing. pool_stress_test.c
 * tests several threads, tests/model their schedules. */
#include "pool_support.h"

static test_source state;

static void all_blocks_can_be_had_then_the_pool_is_exhausted(void) {
    aegis_lock_free_pool pool;
    aegis_lock_free_pool_options options = lock_free_options(100, 10, 0, 0, NULL);
    CHECK(aegis_lock_free_pool_init(&pool, &options) == AEGIS_OK);
    void *blocks[10];
    aegis_error error;
    for (size_t i = 0; i < 10; i++) {
        blocks[i] = aegis_lock_free_pool_alloc(&pool, &error);
        CHECK(blocks[i] != NULL && is_aligned(blocks[i], 8));
        memset(blocks[i], (int)i + 1, 100);
    }
    CHECK(is_aligned(blocks[0], AEGIS_POOL_SLAB_ALIGN));
    CHECK(aegis_lock_free_pool_alloc(&pool, NULL) == NULL);
    CHECK(aegis_lock_free_pool_alloc_zeroed(&pool, &error) == NULL);
    CHECK(error.status == AEGIS_E_EXHAUSTED);
    CHECK_SIZE(error.limit_bytes, 1000);
    CHECK_SIZE(error.in_use_bytes, 1000);
    CHECK_SIZE(error.requested_bytes, 100);
    for (size_t i = 0; i < 10; i++)
        CHECK(is_filled(blocks[i], (unsigned char)(i + 1), 100));
    CHECK(aegis_lock_free_pool_fini(&pool) == AEGIS_E_BUSY);
    CHECK_SIZE(lock_free_stats(&pool).in_use, 10);
    CHECK_SIZE(lock_free_stats(&pool).available, 0);
    for (size_t i = 0; i < 10; i++)
        CHECK(aegis_lock_free_pool_free(&pool, blocks[i]) == AEGIS_OK);
    CHECK(aegis_lock_free_pool_alloc(&pool, NULL) == blocks[9]);
    CHECK(aegis_lock_free_pool_free(&pool, blocks[9]) == AEGIS_OK);
    CHECK_SIZE(lock_free_stats(&pool).peak_in_use, 10);
    CHECK(aegis_lock_free_pool_fini(&pool) == AEGIS_OK);
    CHECK(aegis_lock_free_pool_fini(&pool) == AEGIS_OK);
    CHECK(aegis_lock_free_pool_fini(NULL) == AEGIS_OK);
}

static void init_refuses_what_makes_no_pool(void) {
    aegis_lock_free_pool pool;
    aegis_lock_free_pool_options options = lock_free_options(8, 0, 0, 0, NULL);
    CHECK(aegis_lock_free_pool_init(&pool, NULL) == AEGIS_E_INVALID);
    CHECK(aegis_lock_free_pool_init(&pool, &options) == AEGIS_E_INVALID);
    options = lock_free_options(8, 1, 0, 0, NULL);
    options.flags = AEGIS_POOL_FIT_CACHES << 1;
    CHECK(aegis_lock_free_pool_init(&pool, &options) == AEGIS_E_INVALID);
    options = lock_free_options(8, 1, 0, AEGIS_POOL_MAX_CACHES + 1, NULL);
    CHECK(aegis_lock_free_pool_init(&pool, &options) == AEGIS_E_INVALID_LAYOUT);
    options = lock_free_options(8, AEGIS_POOL_MAX_BLOCKS, 0, 1, NULL);
    CHECK(aegis_lock_free_pool_init(&pool, &options) == AEGIS_E_INVALID_LAYOUT);
    options = lock_free_options(PTRDIFF_MAX / 8, 4, 0, 1, NULL);
    CHECK(aegis_lock_free_pool_init(&pool, &options) == AEGIS_E_INVALID_LAYOUT);
    CHECK(pool.shared == NULL);
}

static void wrong_frees_are_refused_and_change_nothing(void) {
    aegis_lock_free_pool pool, other;
    aegis_lock_free_pool_options options = lock_free_options(40, 5, 10, 1, NULL);
    CHECK(aegis_lock_free_pool_init(&pool, &options) == AEGIS_OK);
    CHECK(aegis_lock_free_pool_init(&other, &options) == AEGIS_OK);
    void *blocks[7];
    CHECK_SIZE(aegis_lock_free_pool_alloc_n(&pool, blocks, 7, NULL), 7);
    void *foreign = aegis_lock_free_pool_alloc(&other, NULL);
    CHECK(aegis_lock_free_pool_free(&pool, blocks[3]) == AEGIS_OK);
    for (size_t slab = 0; slab < 2; slab++) {
        aegis_pool_slab_info info;
        CHECK(aegis_lock_free_pool_get_slab(&pool, slab, &info) == AEGIS_OK);
        for (size_t offset = 0; offset < info.size_bytes + 128; offset++) {
            unsigned char *p = (unsigned char *)((uintptr_t)info.base + offset - 64);
            bool out = false;
            for (size_t i = 0; i < 7; i++)
                out = out || (i != 3 && blocks[i] == p);
            if (!out)
                CHECK(aegis_lock_free_pool_free(&pool, p) == AEGIS_E_INVALID);
        }
    }
    CHECK(aegis_lock_free_pool_free(&pool, NULL) == AEGIS_E_INVALID);
    CHECK(aegis_lock_free_pool_free(&pool, &pool) == AEGIS_E_INVALID);
    CHECK(aegis_lock_free_pool_free(&pool, foreign) == AEGIS_E_INVALID);
    CHECK_SIZE(lock_free_stats(&pool).in_use, 6);
    CHECK(aegis_lock_free_pool_alloc(&pool, NULL) == blocks[3]);
    CHECK(aegis_lock_free_pool_free_n(&pool, blocks, 7) == AEGIS_OK);
    for (size_t i = 0; i < 7; i++)
        CHECK(aegis_lock_free_pool_free(&pool, blocks[i]) == AEGIS_E_INVALID);
    CHECK(aegis_lock_free_pool_free(&other, foreign) == AEGIS_OK);
    CHECK(aegis_lock_free_pool_fini(&pool) == AEGIS_OK);
    CHECK(aegis_lock_free_pool_fini(&other) == AEGIS_OK);
}

static void bulk_free_is_all_or_nothing(void) {
    aegis_lock_free_pool pool;
    aegis_lock_free_pool_options options = lock_free_options(16, 200, 0, 0, NULL);
    CHECK(aegis_lock_free_pool_init(&pool, &options) == AEGIS_OK);
    void *blocks[201];
    aegis_error error;
    CHECK_SIZE(aegis_lock_free_pool_alloc_n(&pool, blocks, 201, &error), 200);
    CHECK(error.status == AEGIS_E_EXHAUSTED);
    blocks[200] = blocks[1];
    CHECK(aegis_lock_free_pool_free_n(&pool, blocks, 201) == AEGIS_E_INVALID);
    blocks[200] = &pool;
    CHECK(aegis_lock_free_pool_free_n(&pool, blocks, 201) == AEGIS_E_INVALID);
    CHECK_SIZE(lock_free_stats(&pool).in_use, 200);
    memset(blocks[0], 1, 16);
    CHECK(aegis_lock_free_pool_free_n(&pool, blocks, 0) == AEGIS_OK);
    CHECK(aegis_lock_free_pool_free_n(&pool, blocks, 200) == AEGIS_OK);
    /* This time the blocks come from the stack, in the stack's order. */
    void *again[200];
    CHECK_SIZE(aegis_lock_free_pool_alloc_n(&pool, again, 200, NULL), 200);
    for (size_t i = 0; i < 200; i++)
        CHECK(again[i] == blocks[i]);
    CHECK(aegis_lock_free_pool_free_n(&pool, again, 200) == AEGIS_OK);
    CHECK(aegis_lock_free_pool_fini(&pool) == AEGIS_OK);
}

static void index_and_address_convert_both_ways(void) {
    aegis_lock_free_pool pool;
    aegis_lock_free_pool_options options = lock_free_options(24, 3, 8, 2, NULL);
    CHECK(aegis_lock_free_pool_init(&pool, &options) == AEGIS_OK);
    void *blocks[9];
    CHECK_SIZE(aegis_lock_free_pool_alloc_n(&pool, blocks, 9, NULL), 8);
    size_t reserve_count = 2 * AEGIS_POOL_CACHE_BLOCKS;
    for (size_t i = 0; i < 8; i++) {
        size_t index = SIZE_MAX;
        CHECK(aegis_lock_free_pool_index_of(&pool, blocks[i], &index) == AEGIS_OK);
        CHECK_SIZE(index, i < 3 ? i : i + reserve_count);
        CHECK(aegis_lock_free_pool_address_of(&pool, index) == blocks[i]);
        CHECK(aegis_lock_free_pool_owns(&pool, blocks[i]));
        CHECK(!aegis_lock_free_pool_owns(&pool, (unsigned char *)blocks[i] + 1));
    }
    size_t none = 7;
    CHECK(aegis_lock_free_pool_index_of(&pool, &pool, &none) == AEGIS_E_INVALID && none == 7);
    CHECK(aegis_lock_free_pool_address_of(&pool, 8 + reserve_count) == NULL);
    CHECK(aegis_lock_free_pool_free_n(&pool, blocks, 8) == AEGIS_OK);
    CHECK(aegis_lock_free_pool_fini(&pool) == AEGIS_OK);
}

static void zeroed_blocks_are_zero(void) {
    for (int zeroing = 0; zeroing < 2; zeroing++) {
        aegis_lock_free_pool pool;
        aegis_source source = test_source_get(&state, zeroing != 0);
        aegis_lock_free_pool_options options = lock_free_options(64, 4, 8, 0, &source);
        CHECK(aegis_lock_free_pool_init(&pool, &options) == AEGIS_OK);
        void *blocks[8];
        for (int round = 0; round < 3; round++) {
            for (size_t i = 0; i < 8; i++) {
                blocks[i] = aegis_lock_free_pool_alloc_zeroed(&pool, NULL);
                CHECK(is_filled(blocks[i], 0, 64));
                memset(blocks[i], 0xFF, 64);
            }
            CHECK(aegis_lock_free_pool_free_n(&pool, blocks, 8) == AEGIS_OK);
        }
        CHECK(aegis_lock_free_pool_fini(&pool) == AEGIS_OK);
        test_source_check_done(&state);
        CHECK_SIZE(state.close_count, 1);
    }
}

static void trim_gives_back_every_empty_slab(void) {
    aegis_lock_free_pool pool;
    aegis_source source = test_source_get(&state, true);
    aegis_lock_free_pool_options options = lock_free_options(64, 4, 18, 0, &source);
    CHECK(aegis_lock_free_pool_init(&pool, &options) == AEGIS_OK);
    void *blocks[18], *again[19];
    CHECK_SIZE(aegis_lock_free_pool_alloc_n(&pool, blocks, 18, NULL), 18);
    void *kept = blocks[9];
    for (size_t i = 0; i < 18; i++)
        if (i != 9)
            CHECK(aegis_lock_free_pool_free(&pool, blocks[i]) == AEGIS_OK);
    aegis_lock_free_pool_trim(&pool, 17);
    CHECK_SIZE(lock_free_stats(&pool).slab_count, 5);
    aegis_lock_free_pool_trim(&pool, 15);
    CHECK_SIZE(lock_free_stats(&pool).slab_count, 4);
    aegis_lock_free_pool_trim(&pool, 0);
    CHECK_SIZE(lock_free_stats(&pool).slab_count, 2);
    CHECK_SIZE(lock_free_stats(&pool).capacity, 8);
    CHECK_SIZE(lock_free_stats(&pool).in_use, 1);
    CHECK(aegis_lock_free_pool_address_of(&pool, 4) == NULL);
    CHECK(aegis_lock_free_pool_address_of(&pool, 8) != NULL);
    CHECK(aegis_lock_free_pool_address_of(&pool, 12) == NULL);
    CHECK_SIZE(state.live_count, 3);
    CHECK_SIZE(aegis_lock_free_pool_alloc_n(&pool, again, 19, NULL), 17);
    for (size_t i = 0; i < 17; i++)
        for (size_t j = 0; j < i; j++)
            CHECK(again[i] != again[j] && again[i] != kept);
    CHECK(aegis_lock_free_pool_free_n(&pool, again, 17) == AEGIS_OK);
    CHECK(aegis_lock_free_pool_free(&pool, kept) == AEGIS_OK);
    aegis_lock_free_pool_trim(&pool, 0);
    CHECK_SIZE(lock_free_stats(&pool).capacity, 4);
    CHECK_SIZE(lock_free_stats(&pool).peak_in_use, 18);
    CHECK(aegis_lock_free_pool_fini(&pool) == AEGIS_OK);
    test_source_check_done(&state);
}

static void oom_at_every_step_leaves_the_pool_as_it_was(void) {
    for (size_t fail_at = 1;; fail_at++) {
        aegis_source source = test_source_get(&state, false);
        state.fail_at = fail_at;
        aegis_lock_free_pool pool;
        aegis_lock_free_pool_options options = lock_free_options(32, 2, 7, 1, &source);
        if (aegis_lock_free_pool_init(&pool, &options) != AEGIS_OK) {
            CHECK(fail_at <= 2);
            test_source_check_done(&state);
            CHECK_SIZE(state.close_count, 0);
            continue;
        }
        void *blocks[7];
        aegis_error error;
        size_t got_count = aegis_lock_free_pool_alloc_n(&pool, blocks, 7, &error);
        bool failed = got_count < 7;
        if (failed) {
            CHECK(error.status == AEGIS_E_OUT_OF_MEMORY);
            CHECK_SIZE(got_count, lock_free_stats(&pool).capacity);
            got_count +=
                aegis_lock_free_pool_alloc_n(&pool, blocks + got_count, 7 - got_count, NULL);
        }
        CHECK_SIZE(got_count, 7);
        CHECK(aegis_lock_free_pool_free_n(&pool, blocks, 7) == AEGIS_OK);
        CHECK(aegis_lock_free_pool_fini(&pool) == AEGIS_OK);
        test_source_check_done(&state);
        if (!failed)
            break;
    }
}

static void four_bytes_a_block_are_all_that_is_kept_beside_it(void) {
    size_t block_count = scaled(1000000) + 1000;
    aegis_lock_free_pool pool;
    aegis_lock_free_pool_options options = lock_free_options(64, block_count, 0, 0, NULL);
    CHECK(aegis_lock_free_pool_init(&pool, &options) == AEGIS_OK);
    aegis_pool_stats stats = lock_free_stats(&pool);
    CHECK(stats.reserved_bytes <= block_count * (stats.stride_bytes + 4) + 1024);
    CHECK_SIZE(stats.acquired_count, 2);
    CHECK(aegis_lock_free_pool_fini(&pool) == AEGIS_OK);
}

int main(void) {
    RUN(all_blocks_can_be_had_then_the_pool_is_exhausted);
    RUN(init_refuses_what_makes_no_pool);
    RUN(wrong_frees_are_refused_and_change_nothing);
    RUN(bulk_free_is_all_or_nothing);
    RUN(index_and_address_convert_both_ways);
    RUN(zeroed_blocks_are_zero);
    RUN(trim_gives_back_every_empty_slab);
    RUN(oom_at_every_step_leaves_the_pool_as_it_was);
    RUN(four_bytes_a_block_are_all_that_is_kept_beside_it);
    return check_finish();
}
