/* SPDX-License-Identifier: Apache-2.0 */
/* Tests how many caches a lock-free pool has that was made with AEGIS_POOL_FIT_CACHES, and what the
 * pool says that it has set aside for them. Caches must never cost more than their share, never
 * take room from blocks, and never be the reason for a refusal. */
#include "pool_support.h"

#define FIT AEGIS_POOL_FIT_CACHES

static aegis_status make(aegis_lock_free_pool *pool, size_t block_bytes, size_t block_count,
                         size_t max_cache_count, uint32_t flags, aegis_budget *budget) {
    aegis_lock_free_pool_options options =
        lock_free_options(block_bytes, block_count, 0, max_cache_count, NULL);
    options.flags = flags;
    options.blocks.budget = budget;
    return aegis_lock_free_pool_init(pool, &options);
}

/* Makes a pool, reads its statistics and finishes it. */
static aegis_pool_stats made_stats(size_t block_bytes, size_t block_count, size_t max_cache_count,
                                   uint32_t flags) {
    aegis_lock_free_pool pool;
    CHECK(make(&pool, block_bytes, block_count, max_cache_count, flags, NULL) == AEGIS_OK);
    aegis_pool_stats stats = lock_free_stats(&pool);
    CHECK(aegis_lock_free_pool_fini(&pool) == AEGIS_OK);
    return stats;
}

/* How many caches of the pool can be open at a time, from 0 to 99. */
static size_t count_open(aegis_lock_free_pool *pool) {
    aegis_pool_cache caches[100];
    size_t open_count = 0;
    while (open_count < 99 && aegis_pool_cache_init(&caches[open_count], pool) == AEGIS_OK)
        open_count++;
    for (size_t i = 0; i < open_count; i++)
        aegis_pool_cache_fini(&caches[i]);
    return open_count;
}

static void caches_add_at_most_a_quarter_and_as_many_fit_as_can(void) {
    static const size_t sizes[] = {0, 1, 8, 24, 64, 1000, 4096};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        size_t size_bytes = sizes[i];
        for (size_t count = 1; count <= 100000; count += 1 + count / 16) {
            aegis_pool_stats plain = made_stats(size_bytes, count, 0, 0);
            aegis_pool_stats fit = made_stats(size_bytes, count, 0, FIT);
            CHECK(fit.reserved_bytes <= plain.reserved_bytes + plain.reserved_bytes / 4);
            CHECK_SIZE(fit.reserved_bytes - fit.cache_reserve_bytes, plain.reserved_bytes);
            CHECK_SIZE(fit.capacity, count);
            CHECK_SIZE(fit.max_capacity, count);
            /* A cache takes as much as 256 blocks give, what 2 magazines of 192 bytes and a slot
             * need, and a little for the alignment. */
            size_t each = 272 + 4 * (2 * 192 + 4) / (plain.stride_bytes + 4);
            CHECK(fit.max_cache_count >= (count < 16 * each ? count / each : 16));
            CHECK(count >= 64 || fit.max_cache_count == 0);
            if (fit.max_cache_count < 16) {
                aegis_pool_stats more = made_stats(size_bytes, count, fit.max_cache_count + 1, 0);
                CHECK(more.reserved_bytes > plain.reserved_bytes + plain.reserved_bytes / 4);
            }
        }
    }
}

static void the_bound_of_the_caller_takes_the_place_of_the_processors(void) {
    CHECK_SIZE(made_stats(64, 100000, 3, FIT).max_cache_count, 3);
    CHECK_SIZE(made_stats(64, 100000, 90, FIT).max_cache_count, 90);
    CHECK(made_stats(64, 1000, 90, FIT).max_cache_count <= 4);
    CHECK_SIZE(made_stats(64, 10, 90, FIT).max_cache_count, 0);
    CHECK(made_stats(64, 100000, AEGIS_POOL_MAX_CACHES, FIT).max_cache_count > 90);
}

static void a_number_without_the_flag_is_kept_or_refused(void) {
    aegis_lock_free_pool pool;
    CHECK_SIZE(made_stats(64, 1, 20, 0).max_cache_count, 20);
    CHECK_SIZE(made_stats(64, 100000, 0, 0).max_cache_count, 0);
    CHECK(make(&pool, 64, 1, AEGIS_POOL_MAX_CACHES + 1, 0, NULL) == AEGIS_E_INVALID_LAYOUT);
    CHECK(make(&pool, 64, 1, AEGIS_POOL_MAX_CACHES + 1, FIT, NULL) == AEGIS_E_INVALID_LAYOUT);
    aegis_budget *budget = aegis_budget_new("b", made_stats(64, 1000, 1, 0).reserved_bytes, NULL);
    CHECK(make(&pool, 64, 1000, 2, 0, budget) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK(make(&pool, 64, 1000, 1, 0, budget) == AEGIS_OK);
    CHECK_SIZE(count_open(&pool), 1);
    CHECK(aegis_lock_free_pool_fini(&pool) == AEGIS_OK);
    aegis_budget_destroy(budget);
}

static void what_is_set_aside_is_told_apart(void) {
    aegis_pool_stats plain = made_stats(40, 100, 0, 0);
    CHECK_SIZE(plain.cache_reserve_bytes, 0);
    for (size_t cache_count = 1; cache_count <= 70; cache_count++) {
        aegis_pool_stats stats = made_stats(40, 100, cache_count, 0);
        CHECK_SIZE(stats.max_cache_count, cache_count);
        CHECK(stats.cache_reserve_bytes >=
              cache_count * AEGIS_POOL_CACHE_BLOCKS * (stats.stride_bytes + 4));
        CHECK_SIZE(stats.reserved_bytes - stats.cache_reserve_bytes, plain.reserved_bytes);
    }
    aegis_pool pool;
    aegis_locked_pool locked;
    aegis_pool_options options = pool_options(40, 1000, 0, NULL);
    CHECK(aegis_pool_init(&pool, &options) == AEGIS_OK);
    CHECK(aegis_locked_pool_init(&locked, &options) == AEGIS_OK);
    aegis_pool_stats one_owner = pool_stats(&pool), with_lock = locked_stats(&locked);
    CHECK_SIZE(one_owner.cache_reserve_bytes + one_owner.max_cache_count, 0);
    CHECK_SIZE(with_lock.cache_reserve_bytes + with_lock.max_cache_count, 0);
    CHECK(aegis_pool_fini(&pool) == AEGIS_OK);
    CHECK(aegis_locked_pool_fini(&locked) == AEGIS_OK);
}

/* A budget that has room for exactly some number of caches, and for one byte less. The limit is
 * that of the pool's own budget or of the one above it. */
static void a_budget_has_as_many_caches_as_it_has_room_for(void) {
    enum { BLOCKS = 2304, USED = 12345 };
    size_t most_count = made_stats(64, BLOCKS, 0, FIT).max_cache_count;
    CHECK(most_count >= 8);
    for (size_t room_count = 0; room_count <= most_count; room_count++) {
        size_t room_bytes = made_stats(64, BLOCKS, room_count, 0).reserved_bytes;
        for (int short_by = 0; short_by < 2; short_by++) {
            aegis_budget *parent = aegis_budget_new("parent", SIZE_MAX, NULL);
            aegis_budget *budget = aegis_budget_new("b", SIZE_MAX, parent);
            aegis_budget_set_limit(room_count % 2 == 0 ? budget : parent,
                                   USED + room_bytes - (size_t)short_by);
            CHECK(aegis_budget_charge(budget, USED, NULL) == AEGIS_OK);
            aegis_lock_free_pool pool;
            aegis_status status = make(&pool, 64, BLOCKS, 0, FIT, budget);
            if (room_count == 0 && short_by == 1) {
                CHECK(status == AEGIS_E_LIMIT_EXCEEDED);
            } else {
                CHECK(status == AEGIS_OK);
                CHECK_SIZE(lock_free_stats(&pool).max_cache_count, room_count - (size_t)short_by);
                CHECK_SIZE(count_open(&pool), room_count - (size_t)short_by);
            }
            aegis_budget_figures figures;
            aegis_budget_get_figures(budget, &figures);
            CHECK_SIZE(figures.used_bytes,
                       status == AEGIS_OK ? USED + lock_free_stats(&pool).reserved_bytes : USED);
            CHECK(status != AEGIS_OK || aegis_lock_free_pool_fini(&pool) == AEGIS_OK);
            CHECK(aegis_budget_uncharge(budget, USED) == AEGIS_OK);
            aegis_budget_destroy(budget);
            aegis_budget_destroy(parent);
        }
    }
}

/* A pool that may grow. Without caches it has room to grow to its end; or it has not, and caches
 * open as in a pool that cannot grow. */
static void caches_take_no_room_that_growth_needs(void) {
    enum { FIRST = 1024, MOST = 4096 };
    aegis_lock_free_pool_options options = lock_free_options(64, FIRST, MOST, 0, NULL);
    aegis_lock_free_pool pool;
    static void *blocks[MOST + 1000];
    CHECK(aegis_lock_free_pool_init(&pool, &options) == AEGIS_OK);
    CHECK_SIZE(aegis_lock_free_pool_alloc_n(&pool, blocks, MOST, NULL), MOST);
    size_t grown_bytes = lock_free_stats(&pool).reserved_bytes;
    CHECK(aegis_lock_free_pool_free_n(&pool, blocks, MOST) == AEGIS_OK);
    CHECK(aegis_lock_free_pool_fini(&pool) == AEGIS_OK);

    aegis_error error;
    for (size_t less_bytes = 0; less_bytes < 2; less_bytes++) {
        options.flags = FIT;
        options.blocks.error = &error;
        options.blocks.budget = aegis_budget_new("b", grown_bytes - less_bytes, NULL);
        CHECK(aegis_lock_free_pool_init(&pool, &options) == AEGIS_OK);
        CHECK(less_bytes == 0 ? count_open(&pool) == 0 : count_open(&pool) >= 4);
        size_t got_count = aegis_lock_free_pool_alloc_n(&pool, blocks, MOST, NULL);
        CHECK(less_bytes == 0 ? got_count == MOST : got_count >= MOST - FIRST);
        CHECK(aegis_lock_free_pool_free_n(&pool, blocks, got_count) == AEGIS_OK);
        CHECK(aegis_lock_free_pool_fini(&pool) == AEGIS_OK);
        aegis_budget_destroy(options.blocks.budget);
    }
}

/* The source refuses the n-th request, or all from the n-th on. */
static void fewer_caches_are_made_when_the_source_refuses(void) {
    for (size_t fail_at = 1; fail_at <= 12; fail_at++) {
        for (int on = 0; on < 2; on++) {
            test_source state = {0};
            aegis_source source = test_source_get(&state, true);
            state.fail_at = fail_at;
            state.fail_on = on == 1;
            aegis_error error = {0};
            aegis_lock_free_pool_options options = lock_free_options(64, 2304, 0, 8, &source);
            options.flags = FIT;
            options.blocks.error = &error;
            aegis_lock_free_pool pool;
            aegis_status status = aegis_lock_free_pool_init(&pool, &options);
            if (on == 1 && fail_at <= 2) {
                CHECK(status == AEGIS_E_OUT_OF_MEMORY && error.status == status);
                CHECK(pool.shared == NULL);
                CHECK_SIZE(state.live_bytes, 0);
                CHECK_SIZE(state.close_count, 0);
                /* 8, 4, 2, 1 and no caches. What is told is the refusal of the last request. */
                CHECK_SIZE(state.asked_count, 4 + fail_at);
                CHECK_SIZE(error.requested_bytes, state.last_size_bytes);
                continue;
            }
            CHECK(status == AEGIS_OK);
            CHECK(error.status == AEGIS_OK);
            aegis_pool_stats stats = lock_free_stats(&pool);
            CHECK_SIZE(stats.max_cache_count, fail_at <= 2 ? 4 : 8);
            CHECK_SIZE(stats.reserved_bytes, state.live_bytes);
            CHECK_SIZE(count_open(&pool), stats.max_cache_count);
            CHECK(aegis_lock_free_pool_fini(&pool) == AEGIS_OK);
            test_source_check_done(&state);
        }
    }
}

static void capacity_can_be_had_beside_the_caches_that_fit(void) {
    enum { BLOCKS = 6000 };
    aegis_lock_free_pool pool;
    CHECK(make(&pool, 16, BLOCKS, 0, FIT, NULL) == AEGIS_OK);
    size_t cache_count = lock_free_stats(&pool).max_cache_count;
    CHECK(cache_count >= 16 && cache_count <= BLOCKS / AEGIS_POOL_CACHE_BLOCKS);
    static aegis_pool_cache caches[BLOCKS / AEGIS_POOL_CACHE_BLOCKS];
    static void *blocks[BLOCKS];
    for (size_t i = 0; i < cache_count; i++)
        CHECK(aegis_pool_cache_init(&caches[i], &pool) == AEGIS_OK);
    for (size_t i = 0; i < cache_count; i++)
        CHECK_SIZE(caches[i].count, AEGIS_POOL_CACHE_BLOCKS);
    CHECK_SIZE(aegis_lock_free_pool_alloc_n(&pool, blocks, BLOCKS, NULL), BLOCKS);
    CHECK(aegis_lock_free_pool_alloc(&pool, NULL) == NULL);
    CHECK(aegis_lock_free_pool_free_n(&pool, blocks, BLOCKS) == AEGIS_OK);
    for (size_t i = 0; i < cache_count; i++)
        aegis_pool_cache_fini(&caches[i]);
    CHECK(aegis_lock_free_pool_fini(&pool) == AEGIS_OK);
}

int main(void) {
    RUN(caches_add_at_most_a_quarter_and_as_many_fit_as_can);
    RUN(the_bound_of_the_caller_takes_the_place_of_the_processors);
    RUN(a_number_without_the_flag_is_kept_or_refused);
    RUN(what_is_set_aside_is_told_apart);
    RUN(a_budget_has_as_many_caches_as_it_has_room_for);
    RUN(caches_take_no_room_that_growth_needs);
    RUN(fewer_caches_are_made_when_the_source_refuses);
    RUN(capacity_can_be_had_beside_the_caches_that_fit);
    return check_finish();
}
