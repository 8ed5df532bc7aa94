/* SPDX-License-Identifier: Apache-2.0 */
/* Tests the keyed pool: that a key finds its block until it is freed and is refused for ever after,
 * whatever happens to its index; growth, trim, reserve, retired indices, and all refusals. At the
 * end random work is compared with a list of the keys that are valid. */
#include "pool_support.h"

static test_source state;

static aegis_keyed_pool keyed_pool(size_t block_count, size_t max_block_count) {
    aegis_keyed_pool pool;
    aegis_source source = test_source_get(&state, false);
    aegis_pool_options options = pool_options(40, block_count, max_block_count, &source);
    CHECK(aegis_keyed_pool_init(&pool, &options) == AEGIS_OK);
    return pool;
}

static aegis_pool_stats keyed_stats(const aegis_keyed_pool *pool) {
    aegis_pool_stats stats;
    aegis_keyed_pool_get_stats(pool, &stats);
    return stats;
}

static void finish(aegis_keyed_pool *pool) {
    CHECK(aegis_keyed_pool_fini(pool) == AEGIS_OK);
    test_source_check_done(&state);
}

static void key_is_good_until_it_is_freed(void) {
    aegis_keyed_pool pool = keyed_pool(2, 0);
    uint64_t first, second, third;
    void *block = aegis_keyed_pool_alloc(&pool, &first);
    CHECK(block != NULL && first == ((uint64_t)1 << 32));
    memset(block, 0x11, 40);
    CHECK(aegis_keyed_pool_get(&pool, first) == block);
    CHECK(aegis_keyed_pool_key_of(&pool, block) == first);
    CHECK(aegis_keyed_pool_alloc(&pool, &second) != NULL);
    CHECK(aegis_keyed_pool_fini(&pool) == AEGIS_E_BUSY);
    CHECK_SIZE(aegis_keyed_pool_len(&pool), 2);
    CHECK(aegis_keyed_pool_free(&pool, first) == AEGIS_OK);
    CHECK(aegis_keyed_pool_get(&pool, first) == NULL);
    CHECK(aegis_keyed_pool_key_of(&pool, block) == 0);
    CHECK(aegis_keyed_pool_free(&pool, first) == AEGIS_E_INVALID);
    CHECK(aegis_keyed_pool_alloc(&pool, &third) == block && third != first);
    CHECK(aegis_keyed_pool_get(&pool, first) == NULL);
    CHECK(aegis_keyed_pool_get(&pool, third) == block);
    CHECK(aegis_keyed_pool_free(&pool, second) == AEGIS_OK);
    CHECK(aegis_keyed_pool_free(&pool, third) == AEGIS_OK);
    finish(&pool);
}

static void no_other_number_is_a_key(void) {
    aegis_keyed_pool pool = keyed_pool(4, 16);
    uint64_t key;
    void *block = aegis_keyed_pool_alloc(&pool, &key);
    const uint64_t wrong[] = {0,
                              key + 1,
                              key + 4,
                              key ^ (UINT64_C(3) << 32),
                              key - (UINT64_C(1) << 32),
                              16,
                              (UINT64_C(1) << 32) | 16,
                              UINT64_MAX,
                              UINT64_C(1) << 63};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        CHECK(aegis_keyed_pool_get(&pool, wrong[i]) == NULL);
        CHECK(aegis_keyed_pool_free(&pool, wrong[i]) == AEGIS_E_INVALID);
    }
    CHECK(aegis_keyed_pool_key_of(&pool, NULL) == 0);
    CHECK(aegis_keyed_pool_key_of(&pool, (unsigned char *)block + 1) == 0);
    CHECK(aegis_keyed_pool_key_of(&pool, &key) == 0);
    CHECK(aegis_keyed_pool_get(&pool, key) == block);
    CHECK(aegis_keyed_pool_free(&pool, key) == AEGIS_OK);
    finish(&pool);
    CHECK(aegis_keyed_pool_get(&pool, key) == NULL);
    CHECK(aegis_keyed_pool_fini(NULL) == AEGIS_OK && aegis_keyed_pool_fini(&pool) == AEGIS_OK);
}

static void init_refuses_what_makes_no_pool(void) {
    aegis_keyed_pool pool;
    aegis_pool_options options = pool_options(8, 0, 0, NULL);
    CHECK(aegis_keyed_pool_init(&pool, NULL) == AEGIS_E_INVALID);
    CHECK(aegis_keyed_pool_init(&pool, &options) == AEGIS_E_INVALID);
    options = pool_options(8, 10, 9, NULL);
    CHECK(aegis_keyed_pool_init(&pool, &options) == AEGIS_E_INVALID);
    options = pool_options(8, 1, SIZE_MAX, NULL);
    CHECK(aegis_keyed_pool_init(&pool, &options) == AEGIS_E_INVALID_LAYOUT);
    options = pool_options(8, SIZE_MAX / 2 + 2, SIZE_MAX, NULL);
    CHECK(aegis_keyed_pool_init(&pool, &options) == AEGIS_E_INVALID_LAYOUT);
    aegis_error error;
    aegis_pool_last_error(&pool.pool, &error);
    CHECK(error.status == AEGIS_E_INVALID_LAYOUT);
    CHECK(aegis_keyed_pool_fini(&pool) == AEGIS_OK);
}

static void keys_of_every_slab_are_found_and_stay_stale_when_it_goes(void) {
    /* 5 is rounded up to 8, and the last slab has 4 blocks. */
    aegis_keyed_pool pool = keyed_pool(5, 28);
    uint64_t keys[28], again[28];
    void *blocks[28];
    for (size_t i = 0; i < 28; i++) {
        blocks[i] = aegis_keyed_pool_alloc(&pool, &keys[i]);
        CHECK(blocks[i] != NULL);
        memset(blocks[i], (int)i, 40);
    }
    CHECK_SIZE(keyed_stats(&pool).slab_count, 4);
    CHECK(aegis_keyed_pool_alloc(&pool, &again[0]) == NULL && again[0] == 0);
    CHECK(aegis_keyed_pool_next_key(&pool) == 0);
    aegis_error error;
    aegis_pool_last_error(&pool.pool, &error);
    CHECK(error.status == AEGIS_E_EXHAUSTED);
    for (size_t i = 0; i < 28; i++) {
        CHECK(aegis_keyed_pool_get(&pool, keys[i]) == blocks[i]);
        CHECK(aegis_keyed_pool_key_of(&pool, blocks[i]) == keys[i]);
        CHECK(is_filled((unsigned char *)blocks[i], (unsigned char)i, 40));
    }
    for (size_t i = 8; i < 28; i++)
        CHECK(aegis_keyed_pool_free(&pool, keys[i]) == AEGIS_OK);
    aegis_keyed_pool_trim(&pool, 0);
    CHECK_SIZE(keyed_stats(&pool).slab_count, 1);
    for (size_t round = 0; round < 2; round++) {
        for (size_t i = 8; i < 28; i++)
            CHECK(aegis_keyed_pool_get(&pool, keys[i]) == NULL);
        for (size_t i = 8; round == 0 && i < 28; i++)
            CHECK(aegis_keyed_pool_alloc(&pool, &again[i]) != NULL && again[i] != keys[i]);
    }
    aegis_keyed_pool_clear(&pool);
    CHECK_SIZE(aegis_keyed_pool_len(&pool), 0);
    for (size_t i = 0; i < 28; i++)
        CHECK(aegis_keyed_pool_get(&pool, i < 8 ? keys[i] : again[i]) == NULL);
    finish(&pool);
}

static void next_key_is_that_of_the_next_block(void) {
    aegis_keyed_pool pool = keyed_pool(2, 4);
    uint64_t keys[4];
    for (size_t round = 0; round < 3; round++) {
        for (size_t i = 0; i < 4; i++) {
            uint64_t next = aegis_keyed_pool_next_key(&pool);
            CHECK(aegis_keyed_pool_get(&pool, next) == NULL);
            CHECK(aegis_keyed_pool_alloc(&pool, &keys[i]) != NULL && keys[i] == next);
        }
        size_t count = 0;
        for (uint64_t key = 0; (key = aegis_keyed_pool_next(&pool, key)) != 0; count++)
            CHECK(key == keys[0] || key == keys[1] || key == keys[2] || key == keys[3]);
        CHECK_SIZE(count, 4);
        for (size_t i = 0; i < 4; i++)
            CHECK(aegis_keyed_pool_free(&pool, keys[i]) == AEGIS_OK);
        CHECK(aegis_keyed_pool_next(&pool, 0) == 0);
        CHECK(aegis_keyed_pool_next(&pool, keys[3]) == 0);
    }
    finish(&pool);
}

static void index_is_retired_when_its_generations_are_used_up(void) {
    aegis_keyed_pool pool = keyed_pool(2, 0);
    uint64_t key, other;
    CHECK(aegis_keyed_pool_alloc(&pool, &key) != NULL);
    CHECK(aegis_keyed_pool_free(&pool, key) == AEGIS_OK);
    pool.generations[0] = UINT32_MAX - 1;
    void *block = aegis_keyed_pool_alloc(&pool, &key);
    CHECK(block != NULL && key == ((uint64_t)UINT32_MAX << 32));
    CHECK(aegis_keyed_pool_get(&pool, key) == block);
    CHECK(aegis_keyed_pool_free(&pool, key) == AEGIS_OK);
    CHECK(aegis_keyed_pool_free(&pool, key) == AEGIS_E_INVALID);
    CHECK(aegis_keyed_pool_get(&pool, key) == NULL && aegis_keyed_pool_get(&pool, 0) == NULL);
    CHECK(aegis_keyed_pool_key_of(&pool, block) == 0);
    CHECK_SIZE(aegis_keyed_pool_len(&pool), 0);
    CHECK_SIZE(pool.retired_count, 1);
    CHECK_SIZE(keyed_stats(&pool).in_use, 0);
    CHECK_SIZE(keyed_stats(&pool).capacity, 1);
    CHECK_SIZE(keyed_stats(&pool).max_capacity, 1);
    CHECK(aegis_keyed_pool_alloc(&pool, &other) != NULL && (other & UINT32_MAX) == 1);
    CHECK(aegis_keyed_pool_alloc(&pool, &key) == NULL);
    aegis_keyed_pool_clear(&pool);
    CHECK_SIZE(aegis_keyed_pool_len(&pool), 0);
    finish(&pool);
}

static void reserve_adds_slabs_and_refuses_more_than_the_limit(void) {
    aegis_keyed_pool pool = keyed_pool(4, 14);
    uint64_t keys[14];
    CHECK(aegis_keyed_pool_alloc(&pool, &keys[0]) != NULL);
    CHECK(aegis_keyed_pool_reserve(&pool, 3) == AEGIS_OK);
    CHECK_SIZE(keyed_stats(&pool).slab_count, 1);
    CHECK(aegis_keyed_pool_reserve(&pool, 14) == AEGIS_E_EXHAUSTED);
    CHECK(aegis_keyed_pool_reserve(&pool, SIZE_MAX) == AEGIS_E_EXHAUSTED);
    CHECK_SIZE(keyed_stats(&pool).slab_count, 1);
    CHECK(aegis_keyed_pool_reserve(&pool, 10) == AEGIS_OK);
    CHECK_SIZE(keyed_stats(&pool).slab_count, 3);
    CHECK_SIZE(keyed_stats(&pool).available, 11);
    size_t acquired_count = pool.pool.slabs.acquired_count;
    for (size_t i = 1; i < 12; i++) {
        unsigned char *block = (unsigned char *)aegis_keyed_pool_alloc(&pool, &keys[i]);
        CHECK(block != NULL && (keys[i] & UINT32_MAX) < 12);
        memset(block, (int)i, 40);
    }
    CHECK_SIZE(pool.pool.slabs.acquired_count, acquired_count);
    for (size_t i = 1; i < 12; i++)
        CHECK(
            is_filled((unsigned char *)aegis_keyed_pool_get(&pool, keys[i]), (unsigned char)i, 40));
    CHECK_SIZE(keyed_stats(&pool).peak_in_use, 12);
    state.fail_at = state.asked_count + 1;
    CHECK(aegis_keyed_pool_reserve(&pool, 2) == AEGIS_E_OUT_OF_MEMORY);
    state.fail_at = 0;
    CHECK(aegis_keyed_pool_reserve(&pool, 2) == AEGIS_OK);
    aegis_keyed_pool_abandon(&pool);
    test_source_check_done(&state);
}

static void peak_counts_blocks_that_were_handed_out(void) {
    aegis_keyed_pool pool = keyed_pool(64, 256);
    uint64_t keys[256];
    CHECK_SIZE(keyed_stats(&pool).peak_in_use, 0);
    for (size_t i = 0; i < 3; i++)
        CHECK(aegis_keyed_pool_alloc(&pool, &keys[i]) != NULL);
    CHECK_SIZE(keyed_stats(&pool).peak_in_use, 3);
    CHECK(aegis_keyed_pool_reserve(&pool, 150) == AEGIS_OK);
    CHECK_SIZE(keyed_stats(&pool).peak_in_use, 3);
    CHECK(aegis_keyed_pool_free(&pool, keys[2]) == AEGIS_OK);
    for (size_t i = 2; i < 150; i++) {
        CHECK(aegis_keyed_pool_alloc(&pool, &keys[i]) != NULL);
        CHECK_SIZE(keyed_stats(&pool).peak_in_use, i < 3 ? 3 : i + 1);
    }
    for (size_t i = 10; i < 150; i++)
        CHECK(aegis_keyed_pool_free(&pool, keys[i]) == AEGIS_OK);
    aegis_keyed_pool_trim(&pool, 0);
    CHECK_SIZE(keyed_stats(&pool).slab_count, 1);
    CHECK_SIZE(keyed_stats(&pool).peak_in_use, 150);
    for (size_t i = 10; i < 100; i++)
        CHECK(aegis_keyed_pool_alloc(&pool, &keys[i]) != NULL);
    CHECK_SIZE(keyed_stats(&pool).peak_in_use, 150);
    CHECK_SIZE(keyed_stats(&pool).in_use, 100);
    size_t count = 0;
    for (uint64_t key = 0; (key = aegis_keyed_pool_next(&pool, key)) != 0;)
        count++;
    CHECK_SIZE(count, 100);
    aegis_keyed_pool_clear(&pool);
    finish(&pool);
}

/* -- random work -- */

#define KEYS 60

static void random_work_agrees_with_a_list(void) {
    aegis_keyed_pool pool = keyed_pool(8, KEYS);
    uint64_t keys[KEYS], stale[KEYS] = {0};
    size_t count = 0, step_count = scaled(20000);
    uint32_t random = 12345;
    for (size_t step = 0; step < step_count; step++) {
        random = random * 1664525 + 1013904223;
        uint32_t choice = random >> 16;
        if (choice % 5 < 3 && count < KEYS) {
            unsigned char *block = (unsigned char *)aegis_keyed_pool_alloc(&pool, &keys[count]);
            CHECK(block != NULL);
            memset(block, (int)(keys[count] * 31 >> 32 & 0xFF), 40);
            count++;
        } else if (count != 0) {
            size_t i = choice % count;
            uint64_t key = keys[i];
            unsigned char *block = (unsigned char *)aegis_keyed_pool_get(&pool, key);
            CHECK(block != NULL && is_filled(block, (unsigned char)(key * 31 >> 32 & 0xFF), 40));
            CHECK(aegis_keyed_pool_free(&pool, key) == AEGIS_OK);
            stale[key & UINT32_MAX] = key;
            keys[i] = keys[--count];
        }
        if (choice % 97 == 0)
            aegis_keyed_pool_trim(&pool, choice % 40);
        CHECK_SIZE(aegis_keyed_pool_len(&pool), count);
        CHECK(aegis_keyed_pool_get(&pool, stale[choice % KEYS]) == NULL);
    }
    aegis_keyed_pool_clear(&pool);
    finish(&pool);
}

int main(void) {
    RUN(key_is_good_until_it_is_freed);
    RUN(no_other_number_is_a_key);
    RUN(init_refuses_what_makes_no_pool);
    RUN(keys_of_every_slab_are_found_and_stay_stale_when_it_goes);
    RUN(next_key_is_that_of_the_next_block);
    RUN(index_is_retired_when_its_generations_are_used_up);
    RUN(reserve_adds_slabs_and_refuses_more_than_the_limit);
    RUN(peak_counts_blocks_that_were_handed_out);
    RUN(random_work_agrees_with_a_list);
    return check_finish();
}
