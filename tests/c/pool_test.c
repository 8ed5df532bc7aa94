/* SPDX-License-Identifier: Apache-2.0 */
/* Tests the pool with one owner: allocating, freeing, indices, growth, trim, and all refusals. No
 * block may be out twice, and a wrong free must be refused and change nothing. At the end random
 * work is compared with a list of the blocks that are out. */
#include "pool_support.h"

#define MAX_BLOCKS 64

static test_source state;

static void all_blocks_can_be_had_then_the_pool_is_exhausted(void) {
    aegis_pool pool;
    aegis_pool_options options = pool_options(100, 10, 0, NULL);
    CHECK(aegis_pool_init(&pool, &options) == AEGIS_OK);
    unsigned char *blocks[10];
    size_t stride_bytes = pool_stats(&pool).stride_bytes;
    for (size_t i = 0; i < 10; i++) {
        blocks[i] = (unsigned char *)aegis_pool_alloc(&pool);
        CHECK(blocks[i] != NULL && is_aligned(blocks[i], 8));
        CHECK(blocks[i] == blocks[0] + i * stride_bytes);
        memset(blocks[i], (int)i + 1, 100);
    }
    CHECK(is_aligned(blocks[0], AEGIS_POOL_SLAB_ALIGN));
    CHECK(aegis_pool_alloc(&pool) == NULL);
    aegis_error error;
    aegis_pool_last_error(&pool, &error);
    CHECK(error.status == AEGIS_E_EXHAUSTED);
    CHECK_SIZE(error.requested_bytes, 100);
    CHECK_SIZE(error.limit_bytes, 1000);
    CHECK_SIZE(error.in_use_bytes, 1000);
    for (size_t i = 0; i < 10; i++)
        CHECK(is_filled(blocks[i], (unsigned char)(i + 1), 100));
    CHECK(aegis_pool_fini(&pool) == AEGIS_E_BUSY);
    CHECK_SIZE(pool_stats(&pool).in_use, 10);
    for (size_t i = 0; i < 10; i++)
        CHECK(aegis_pool_free(&pool, blocks[i]) == AEGIS_OK);
    CHECK(aegis_pool_alloc(&pool) == blocks[9]);
    CHECK(aegis_pool_free(&pool, blocks[9]) == AEGIS_OK);
    CHECK_SIZE(pool_stats(&pool).peak_in_use, 10);
    CHECK(aegis_pool_fini(&pool) == AEGIS_OK);
}

static void init_refuses_what_makes_no_pool(void) {
    aegis_pool pool;
    aegis_pool_options options = pool_options(8, 0, 0, NULL);
    CHECK(aegis_pool_init(&pool, NULL) == AEGIS_E_INVALID);
    CHECK(aegis_pool_init(&pool, &options) == AEGIS_E_INVALID);
    options = pool_options(8, 10, 9, NULL);
    CHECK(aegis_pool_init(&pool, &options) == AEGIS_E_INVALID);
    options = pool_options(SIZE_MAX, 1, 0, NULL);
    CHECK(aegis_pool_init(&pool, &options) == AEGIS_E_INVALID_LAYOUT);
    options = pool_options(PTRDIFF_MAX / 2, 3, 0, NULL);
    CHECK(aegis_pool_init(&pool, &options) == AEGIS_E_INVALID_LAYOUT);
    options = pool_options(8, (size_t)AEGIS_POOL_MAX_BLOCKS + 1, 0, NULL);
    CHECK(aegis_pool_init(&pool, &options) == AEGIS_E_INVALID_LAYOUT);
    options = pool_options(8, 1, SIZE_MAX, NULL);
    CHECK(aegis_pool_init(&pool, &options) == AEGIS_E_INVALID_LAYOUT);
    options = pool_options(8, 1, 0, NULL);
    options.align_bytes = 24;
    CHECK(aegis_pool_init(&pool, &options) == AEGIS_E_INVALID_LAYOUT);
    aegis_error error;
    aegis_pool_last_error(&pool, &error);
    CHECK(error.status == AEGIS_E_INVALID_LAYOUT);
    CHECK(aegis_pool_fini(&pool) == AEGIS_OK);
    CHECK(aegis_pool_fini(NULL) == AEGIS_OK);
}

static void blocks_are_aligned_as_asked(void) {
    for (size_t align_bytes = 1; align_bytes <= (size_t)2 << 20; align_bytes *= 2) {
        aegis_pool pool;
        aegis_pool_options options = pool_options(40, 3, 6, NULL);
        options.align_bytes = align_bytes;
        CHECK(aegis_pool_init(&pool, &options) == AEGIS_OK);
        void *blocks[6];
        CHECK_SIZE(aegis_pool_alloc_n(&pool, blocks, 6), 6);
        for (size_t i = 0; i < 6; i++)
            CHECK(is_aligned(blocks[i], align_bytes));
        CHECK(aegis_pool_free_n(&pool, blocks, 6) == AEGIS_OK);
        CHECK(aegis_pool_fini(&pool) == AEGIS_OK);
    }
}

static void blocks_of_no_bytes_are_distinct(void) {
    aegis_pool pool;
    aegis_pool_options options = pool_options(0, 2, 0, NULL);
    CHECK(aegis_pool_init(&pool, &options) == AEGIS_OK);
    void *a = aegis_pool_alloc(&pool), *b = aegis_pool_alloc_zeroed(&pool);
    CHECK(a != NULL && b != NULL && a != b && is_aligned(a, 8) && is_aligned(b, 8));
    CHECK(aegis_pool_free(&pool, a) == AEGIS_OK && aegis_pool_free(&pool, b) == AEGIS_OK);
    CHECK(aegis_pool_fini(&pool) == AEGIS_OK);
}

/* Frees every address in and around the slabs, except the starts of blocks that are out. */
static void wrong_frees_are_refused_and_change_nothing(void) {
    for (size_t block_bytes = 8; block_bytes <= 104; block_bytes += 24) {
        aegis_pool pool, other;
        aegis_pool_options options = pool_options(block_bytes, 5, 10, NULL);
        CHECK(aegis_pool_init(&pool, &options) == AEGIS_OK);
        CHECK(aegis_pool_init(&other, &options) == AEGIS_OK);
        void *blocks[7];
        CHECK_SIZE(aegis_pool_alloc_n(&pool, blocks, 7), 7);
        void *foreign = aegis_pool_alloc(&other);
        CHECK(aegis_pool_free(&pool, blocks[3]) == AEGIS_OK);
        for (size_t slab = 0; slab < 2; slab++) {
            aegis_pool_slab_info info;
            CHECK(aegis_pool_get_slab(&pool, slab, &info) == AEGIS_OK);
            size_t end = info.size_bytes + 64;
            for (size_t offset = 0; offset < end + 64; offset++) {
                unsigned char *p = (unsigned char *)((uintptr_t)info.base + offset - 64);
                bool out = false;
                for (size_t i = 0; i < 7; i++)
                    out = out || (i != 3 && blocks[i] == p);
                if (!out)
                    CHECK(aegis_pool_free(&pool, p) == AEGIS_E_INVALID);
            }
        }
        CHECK(aegis_pool_free(&pool, NULL) == AEGIS_E_INVALID);
        CHECK(aegis_pool_free(&pool, &pool) == AEGIS_E_INVALID);
        CHECK(aegis_pool_free(&pool, foreign) == AEGIS_E_INVALID);
        CHECK(aegis_pool_free(&pool, aegis_pool_address_of(&pool, 9)) == AEGIS_E_INVALID);
        CHECK_SIZE(pool_stats(&pool).in_use, 6);
        CHECK(aegis_pool_alloc(&pool) == blocks[3]);
        CHECK(aegis_pool_free_n(&pool, blocks, 7) == AEGIS_OK);
        for (size_t i = 0; i < 7; i++)
            CHECK(aegis_pool_free(&pool, blocks[i]) == AEGIS_E_INVALID);
        CHECK(aegis_pool_free(&other, foreign) == AEGIS_OK);
        CHECK(aegis_pool_fini(&pool) == AEGIS_OK && aegis_pool_fini(&other) == AEGIS_OK);
    }
}

static void bulk_free_is_all_or_nothing(void) {
    aegis_pool pool;
    aegis_pool_options options = pool_options(16, 4, 0, NULL);
    CHECK(aegis_pool_init(&pool, &options) == AEGIS_OK);
    void *blocks[6];
    CHECK_SIZE(aegis_pool_alloc_n(&pool, blocks, 6), 4);
    blocks[4] = blocks[1];
    CHECK(aegis_pool_free_n(&pool, blocks, 5) == AEGIS_E_INVALID);
    blocks[4] = &pool;
    CHECK(aegis_pool_free_n(&pool, blocks, 5) == AEGIS_E_INVALID);
    CHECK_SIZE(pool_stats(&pool).in_use, 4);
    memset(blocks[0], 1, 16);
    CHECK(aegis_pool_free_n(&pool, blocks, 0) == AEGIS_OK);
    CHECK(aegis_pool_free_n(&pool, blocks, 4) == AEGIS_OK);
    CHECK(aegis_pool_free_n(&pool, blocks, 1) == AEGIS_E_INVALID);
    CHECK_SIZE(aegis_pool_alloc_n(&pool, blocks, 0), 0);
    CHECK(aegis_pool_fini(&pool) == AEGIS_OK);
}

static void index_and_address_convert_both_ways(void) {
    aegis_pool pool;
    aegis_pool_options options = pool_options(24, 3, 8, NULL);
    CHECK(aegis_pool_init(&pool, &options) == AEGIS_OK);
    void *blocks[8];
    CHECK(aegis_pool_address_of(&pool, 3) == NULL);
    CHECK_SIZE(aegis_pool_alloc_n(&pool, blocks, 8), 8);
    for (size_t i = 0; i < 8; i++) {
        size_t index = SIZE_MAX;
        CHECK(aegis_pool_index_of(&pool, blocks[i], &index) == AEGIS_OK);
        CHECK_SIZE(index, i);
        CHECK(aegis_pool_address_of(&pool, i) == blocks[i]);
        CHECK(aegis_pool_owns(&pool, blocks[i]));
        CHECK(!aegis_pool_owns(&pool, (unsigned char *)blocks[i] + 1));
        CHECK(aegis_pool_index_of(&pool, (unsigned char *)blocks[i] + 8, &index) ==
              AEGIS_E_INVALID);
    }
    CHECK(aegis_pool_address_of(&pool, 8) == NULL);
    CHECK(aegis_pool_address_of(&pool, SIZE_MAX) == NULL);
    aegis_pool_slab_info info;
    CHECK(aegis_pool_get_slab(&pool, 2, &info) == AEGIS_OK);
    CHECK(info.base == blocks[6]);
    CHECK_SIZE(info.block_count, 2);
    CHECK_SIZE(info.first_index, 6);
    CHECK(aegis_pool_get_slab(&pool, 3, &info) == AEGIS_E_INVALID);
    CHECK(aegis_pool_free_n(&pool, blocks, 8) == AEGIS_OK);
    CHECK(aegis_pool_fini(&pool) == AEGIS_OK);
}

static void zeroed_blocks_are_zero_and_fresh_ones_are_not_cleared(void) {
    for (int zeroing = 0; zeroing < 2; zeroing++) {
        aegis_pool pool;
        aegis_source source = test_source_get(&state, zeroing != 0);
        aegis_pool_options options = pool_options(64, 4, 8, &source);
        CHECK(aegis_pool_init(&pool, &options) == AEGIS_OK);
        void *blocks[8];
        for (int round = 0; round < 3; round++) {
            for (size_t i = 0; i < 8; i++) {
                blocks[i] = aegis_pool_alloc_zeroed(&pool);
                CHECK(is_filled(blocks[i], 0, 64));
                memset(blocks[i], 0xFF, 64);
            }
            CHECK(aegis_pool_free_n(&pool, blocks, 8) == AEGIS_OK);
        }
        CHECK(aegis_pool_fini(&pool) == AEGIS_OK);
        test_source_check_done(&state);
        CHECK_SIZE(state.close_count, 1);
    }
}

/* A fresh block is recognised by a byte that the pool has no reason to write. */
static void fresh_blocks_of_a_zeroing_source_cost_no_clearing(void) {
    aegis_pool pool;
    aegis_pool_options options = pool_options(64, 4, 0, NULL);
    CHECK(aegis_pool_init(&pool, &options) == AEGIS_OK);
#if !defined(TEST_ASAN) && !defined(AEGIS_VALGRIND)
    unsigned char *second = (unsigned char *)aegis_pool_address_of(&pool, 1);
    second[7] = 42;
    void *a = aegis_pool_alloc_zeroed(&pool);
    CHECK(aegis_pool_alloc_zeroed(&pool) == second);
    CHECK(second[7] == 42);
    CHECK(aegis_pool_free(&pool, second) == AEGIS_OK);
    CHECK(aegis_pool_alloc_zeroed(&pool) == second);
    CHECK(second[7] == 0);
    CHECK(aegis_pool_free(&pool, second) == AEGIS_OK && aegis_pool_free(&pool, a) == AEGIS_OK);
#endif
    CHECK(aegis_pool_fini(&pool) == AEGIS_OK);
}

static void trim_gives_back_every_empty_slab(void) {
    aegis_pool pool;
    aegis_source source = test_source_get(&state, true);
    aegis_pool_options options = pool_options(64, 4, 18, &source);
    CHECK(aegis_pool_init(&pool, &options) == AEGIS_OK);
    void *blocks[19];
    CHECK_SIZE(aegis_pool_alloc_n(&pool, blocks, 19), 18);
    CHECK_SIZE(pool_stats(&pool).slab_count, 5);
    aegis_pool_trim(&pool, 0);
    CHECK_SIZE(pool_stats(&pool).slab_count, 5);
    /* One block of the last full slab but one is out, so that slab stays. The slabs before and
     * after it may go. */
    void *kept = blocks[13];
    for (size_t i = 0; i < 18; i++)
        if (i != 13)
            CHECK(aegis_pool_free(&pool, blocks[i]) == AEGIS_OK);
    aegis_pool_trim(&pool, 16);
    CHECK_SIZE(pool_stats(&pool).capacity, 16);
    aegis_pool_trim(&pool, 0);
    CHECK_SIZE(pool_stats(&pool).capacity, 8);
    CHECK_SIZE(pool_stats(&pool).slab_count, 2);
    CHECK_SIZE(state.live_count, 3);
    CHECK(aegis_pool_address_of(&pool, 4) == NULL);
    CHECK(aegis_pool_free(&pool, blocks[5]) == AEGIS_E_INVALID);
    aegis_pool_slab_info info;
    CHECK(aegis_pool_get_slab(&pool, 1, &info) == AEGIS_E_EXHAUSTED);
    /* The pool grows again into the places of the slabs that went. */
    CHECK_SIZE(aegis_pool_alloc_n(&pool, blocks, 19), 17);
    for (size_t i = 0; i < 17; i++)
        for (size_t j = 0; j < i; j++)
            CHECK(blocks[i] != blocks[j] && blocks[i] != kept);
    CHECK(aegis_pool_free_n(&pool, blocks, 17) == AEGIS_OK);
    CHECK(aegis_pool_free(&pool, kept) == AEGIS_OK);
    CHECK_SIZE(pool_stats(&pool).peak_in_use, 18);
    CHECK(aegis_pool_fini(&pool) == AEGIS_OK);
    test_source_check_done(&state);
}

static void oom_at_every_step_leaves_the_pool_as_it_was(void) {
    for (size_t fail_at = 1;; fail_at++) {
        aegis_source source = test_source_get(&state, true);
        state.fail_at = fail_at;
        aegis_pool pool;
        aegis_pool_options options = pool_options(32, 2, 7, &source);
        if (aegis_pool_init(&pool, &options) != AEGIS_OK) {
            CHECK(fail_at <= 2);
            test_source_check_done(&state);
            CHECK_SIZE(state.close_count, 0);
            continue;
        }
        void *blocks[7];
        size_t got_count = aegis_pool_alloc_n(&pool, blocks, 7);
        bool failed = got_count < 7;
        if (failed) {
            aegis_error error;
            aegis_pool_last_error(&pool, &error);
            CHECK(error.status == AEGIS_E_OUT_OF_MEMORY);
            CHECK_SIZE(got_count, pool_stats(&pool).capacity);
            got_count += aegis_pool_alloc_n(&pool, blocks + got_count, 7 - got_count);
        }
        CHECK_SIZE(got_count, 7);
        CHECK(aegis_pool_free_n(&pool, blocks, 7) == AEGIS_OK);
        CHECK(aegis_pool_fini(&pool) == AEGIS_OK);
        test_source_check_done(&state);
        if (!failed)
            break;
    }
}

/* Random work, compared with a list of the blocks that are out. */
static void random_work_agrees_with_a_model(void) {
    uint64_t seed = 88172645463325252u;
    for (size_t run = 0; run < scaled(100); run++) {
        aegis_pool pool;
        size_t step_count = 1 + random_below(&seed, 9);
        size_t max_count = step_count + random_below(&seed, MAX_BLOCKS - step_count);
        aegis_pool_options options =
            pool_options(random_below(&seed, 100), step_count, max_count, NULL);
        CHECK(aegis_pool_init(&pool, &options) == AEGIS_OK);
        void *out[MAX_BLOCKS];
        size_t out_count = 0;
        for (size_t i = 0; i < 500; i++) {
            size_t action = random_below(&seed, 20);
            if (action < 11) {
                void *block = action < 5 ? aegis_pool_alloc(&pool) : aegis_pool_alloc_zeroed(&pool);
                CHECK((block == NULL) == (out_count == max_count));
                for (size_t j = 0; j < out_count; j++)
                    CHECK(out[j] != block);
                if (block != NULL)
                    out[out_count++] = memset(block, 0x5A, options.block_bytes);
            } else if (action < 19 && out_count != 0) {
                size_t victim = random_below(&seed, out_count);
                CHECK(is_filled(out[victim], 0x5A, options.block_bytes));
                CHECK(aegis_pool_free(&pool, out[victim]) == AEGIS_OK);
                CHECK(aegis_pool_free(&pool, out[victim]) == AEGIS_E_INVALID);
                out[victim] = out[--out_count];
            } else {
                aegis_pool_trim(&pool, random_below(&seed, max_count));
            }
            CHECK_SIZE(pool_stats(&pool).in_use, out_count);
        }
        CHECK(aegis_pool_free_n(&pool, out, out_count) == AEGIS_OK);
        CHECK(aegis_pool_fini(&pool) == AEGIS_OK);
    }
}

static void a_pool_moves_with_memcpy(void) {
    aegis_pool pool, moved;
    aegis_pool_options options = pool_options(32, 2, 4, NULL);
    CHECK(aegis_pool_init(&pool, &options) == AEGIS_OK);
    void *block = aegis_pool_alloc(&pool);
    memcpy(&moved, &pool, sizeof pool);
    memset(&pool, 0xEE, sizeof pool);
    CHECK(aegis_pool_free(&moved, block) == AEGIS_OK);
    CHECK(aegis_pool_alloc(&moved) == block);
    CHECK(aegis_pool_free(&moved, block) == AEGIS_OK);
    CHECK(aegis_pool_fini(&moved) == AEGIS_OK);
}

static void many_slabs_are_all_found(void) {
    aegis_pool pool;
    size_t block_count = 8 * (scaled(1000) + 10);
    aegis_pool_options options = pool_options(16, 8, block_count, NULL);
    void **blocks = (void **)malloc(block_count * sizeof *blocks);
    CHECK(aegis_pool_init(&pool, &options) == AEGIS_OK);
    CHECK_SIZE(aegis_pool_alloc_n(&pool, blocks, block_count), block_count);
    for (size_t i = 0; i < block_count; i++) {
        size_t index = SIZE_MAX;
        CHECK(aegis_pool_index_of(&pool, blocks[i], &index) == AEGIS_OK);
        CHECK_SIZE(index, i);
    }
    CHECK(aegis_pool_free_n(&pool, blocks, block_count) == AEGIS_OK);
    aegis_pool_trim(&pool, 0);
    CHECK_SIZE(pool_stats(&pool).slab_count, 1);
    CHECK(aegis_pool_fini(&pool) == AEGIS_OK);
    free(blocks);
}

int main(void) {
    RUN(all_blocks_can_be_had_then_the_pool_is_exhausted);
    RUN(init_refuses_what_makes_no_pool);
    RUN(blocks_are_aligned_as_asked);
    RUN(blocks_of_no_bytes_are_distinct);
    RUN(wrong_frees_are_refused_and_change_nothing);
    RUN(bulk_free_is_all_or_nothing);
    RUN(index_and_address_convert_both_ways);
    RUN(zeroed_blocks_are_zero_and_fresh_ones_are_not_cleared);
    RUN(fresh_blocks_of_a_zeroing_source_cost_no_clearing);
    RUN(trim_gives_back_every_empty_slab);
    RUN(oom_at_every_step_leaves_the_pool_as_it_was);
    RUN(random_work_agrees_with_a_model);
    RUN(a_pool_moves_with_memcpy);
    RUN(many_slabs_are_all_found);
    return check_finish();
}
