/* SPDX-License-Identifier: Apache-2.0 */
/* Tests how often a budget hears of one request for a block: one refusal, one call of the pressure
 * functions, one wait, whatever the pool asks for. Also a pool that moves while it asks. */
#if !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* sched_yield */
#endif
#include "pool_wait_support.h"

#include <time.h>

static uint64_t refused(aegis_budget *budget) {
    aegis_budget_figures figures;
    aegis_budget_get_figures(budget, &figures);
    return figures.refused_count;
}

/* Whatever a request asks the budget for, and how often, it is one refusal. */
static void request_that_is_refused_counts_as_one_refusal(void) {
    for (int form = 0; form < FORMS; form++) {
        for (uint64_t wait_ns = 0; wait_ns <= NS_PER_MS; wait_ns += NS_PER_MS) {
            aegis_budget *budget = aegis_budget_new("b", LIMIT_BYTES, NULL);
            any_pool pool;
            aegis_error error;
            make(&pool, form, 1, budget, wait_ns);
            size_t rest_bytes = fill(&pool, 1, budget);
            uint64_t old_count = refused(budget);
            if (form == LOCKED)
                CHECK(aegis_locked_pool_alloc_timeout(&pool.locked, 45 * NS_PER_MS, &error) ==
                      NULL);
            else
                CHECK(alloc(&pool, &error) == NULL);
            CHECK(error.status == AEGIS_E_LIMIT_EXCEEDED);
            CHECK(refused(budget) == old_count + 1);
            finish(&pool);
            CHECK(aegis_budget_uncharge(budget, rest_bytes) == AEGIS_OK);
            aegis_budget_destroy(budget);
        }
    }
}

/* The same for a request that is polled again and again. It waits for the budget, so it is not
 * refused. */
static void request_that_waits_for_the_budget_when_polled_is_not_refused(void) {
    aegis_budget *budget = aegis_budget_new("b", LIMIT_BYTES, NULL);
    any_pool pool;
    aegis_error error;
    aegis_locked_pool_request *polled = NULL;
    void *block;
    make(&pool, LOCKED, 1, budget, 0);
    size_t rest_bytes = fill(&pool, 1, budget);
    uint64_t old_count = refused(budget);
    struct timespec pause = {0, 11 * 1000 * 1000};
    for (int i = 0; i < 4; i++) {
        CHECK(aegis_locked_pool_poll(&pool.locked, &polled, &block, NULL, NULL, &error) ==
              AEGIS_PENDING);
        CHECK(nanosleep(&pause, NULL) == 0);
    }
    CHECK(refused(budget) == old_count);
    CHECK(waiting_bytes(budget) != 0);
    (void)aegis_locked_pool_request_cancel(polled);
    CHECK_SIZE(waiting_bytes(budget), 0);
    finish(&pool);
    CHECK(aegis_budget_uncharge(budget, rest_bytes) == AEGIS_OK);
    aegis_budget_destroy(budget);
}

/* A request that gets a block while it waits for the budget was not refused, and its time was not
 * up. */
static void wait_that_a_block_ends_is_no_refusal(void) {
    aegis_budget *budget = aegis_budget_new("b", LIMIT_BYTES, NULL);
    any_pool pool;
    requester waiter;
    aegis_budget_figures figures;
    make(&pool, LOCKED, 1, budget, AEGIS_WAIT_FOREVER);
    void *block = aegis_locked_pool_alloc(&pool.locked, NULL);
    size_t rest_bytes = LIMIT_BYTES - used(budget);
    CHECK(aegis_budget_charge(budget, rest_bytes, NULL) == AEGIS_OK);
    start(&waiter, &pool, NO_TIMEOUT);
    do {
        sched_yield();
        aegis_budget_get_figures(budget, &figures);
    } while (figures.waiting_count == 0);
    CHECK(aegis_locked_pool_free(&pool.locked, block) == AEGIS_OK);
    join(&waiter);
    aegis_budget_get_figures(budget, &figures);
    CHECK(figures.refused_count == 0 && figures.timeout_count == 0 && figures.wait_count == 1);
    CHECK_SIZE(figures.waiting_count, 0);
    finish(&pool);
    CHECK(aegis_budget_uncharge(budget, rest_bytes) == AEGIS_OK);
    aegis_budget_destroy(budget);
}

static aegis_budget *old_budget, *new_budget;
static any_pool *moving;

/* Moves the pool, and takes the room that it leaves in the old budget. */
static void move_away(void *context, size_t used_bytes, size_t limit_bytes) {
    (void)context;
    (void)used_bytes;
    (void)limit_bytes;
    any_pool *pool = moving;
    moving = NULL;
    if (pool == NULL)
        return;
    if (pool->form == SINGLE)
        CHECK(aegis_pool_move_budget(&pool->single, new_budget, NULL) == AEGIS_OK);
    else if (pool->form == LOCKED)
        CHECK(aegis_locked_pool_move_budget(&pool->locked, new_budget, NULL) == AEGIS_OK);
    else
        CHECK(aegis_lock_free_pool_move_budget(&pool->lock_free, new_budget, NULL) == AEGIS_OK);
    CHECK(aegis_budget_charge(old_budget, LIMIT_BYTES - used(old_budget), NULL) == AEGIS_OK);
}

/* If the request waited for the budget that the pool has left, it would not end. */
static void pool_that_is_moved_by_the_refused_request_waits_for_its_new_budget(void) {
    for (int form = 0; form < FORMS; form++) {
        any_pool pool;
        aegis_error error;
        old_budget = aegis_budget_new("old", LIMIT_BYTES, NULL);
        new_budget = aegis_budget_new("new", LIMIT_BYTES, NULL);
        moving = NULL;
        CHECK(aegis_budget_on_pressure(old_budget, 100, move_away, NULL, NULL) == AEGIS_OK);
        make(&pool, form, 1, old_budget, AEGIS_WAIT_FOREVER);
        (void)fill(&pool, 1, old_budget);
        moving = &pool;
        CHECK(alloc(&pool, &error) != NULL);
        CHECK(used(new_budget) >= 2 * BLOCK_BYTES);
        finish(&pool);
        CHECK_SIZE(used(new_budget), 0);
        CHECK_SIZE(used(old_budget), LIMIT_BYTES);
        CHECK(aegis_budget_uncharge(old_budget, LIMIT_BYTES) == AEGIS_OK);
        aegis_budget_destroy(old_budget);
        aegis_budget_destroy(new_budget);
    }
}

/* A thread that waits for a block asks the budget again and again. Only the first time the pressure
 * functions hear of it. */
static void repeated_attempts_do_not_tell_the_pressure_functions(void) {
    aegis_budget *budget = aegis_budget_new("b", LIMIT_BYTES, NULL);
    any_pool pool;
    aegis_error error;
    make(&pool, LOCKED, 1, budget, 0);
    size_t rest_bytes = fill(&pool, 1, budget);
    atomic_store(&told_count, 0);
    CHECK(aegis_budget_on_pressure(budget, 100, count_pressure, NULL, NULL) == AEGIS_OK);
    CHECK(aegis_locked_pool_alloc_timeout(&pool.locked, 60 * NS_PER_MS, &error) == NULL);
    CHECK(error.status == AEGIS_E_LIMIT_EXCEEDED && error.refused == budget);
    CHECK_SIZE(atomic_load(&told_count), 1);
    finish(&pool);
    CHECK(aegis_budget_uncharge(budget, rest_bytes) == AEGIS_OK);
    aegis_budget_destroy(budget);
}

/* What a pool takes that is made for so many caches. */
static size_t first_bytes(aegis_lock_free_pool_options options, size_t cache_count) {
    aegis_budget *budget = aegis_budget_new("b", AEGIS_BUDGET_UNLIMITED, NULL);
    aegis_lock_free_pool pool;
    options.blocks.budget = budget;
    options.max_cache_count = cache_count;
    options.flags = 0;
    CHECK(aegis_lock_free_pool_init(&pool, &options) == AEGIS_OK);
    size_t taken_bytes = used(budget);
    aegis_lock_free_pool_abandon(&pool);
    aegis_budget_destroy(budget);
    return taken_bytes;
}

/* A pool that would have caches asks without a word for the memory of fewer. It does not see that
 * its budget may have no more than a share of the room. */
static void fewer_caches_are_asked_for_without_a_word(void) {
    aegis_source source = aegis_source_heap();
    aegis_budget *root = aegis_budget_new("root", LIMIT_BYTES, NULL);
    CHECK(aegis_budget_set_policy(root, AEGIS_BUDGET_FAIR, NULL) == AEGIS_OK);
    aegis_budget *budget = aegis_budget_new("b", AEGIS_BUDGET_UNLIMITED, root);
    aegis_budget *other = aegis_budget_new("other", AEGIS_BUDGET_UNLIMITED, root);
    aegis_lock_free_pool_options options = {options_for(4096, budget, 0), 4, AEGIS_POOL_FIT_CACHES};
    aegis_lock_free_pool pool;
    aegis_budget_figures figures;
    aegis_pool_stats stats;
    options.blocks.source = &source;
    options.blocks.block_bytes = 16;
    options.blocks.max_block_count = 0;
    size_t plain_bytes = first_bytes(options, 0);
    CHECK(plain_bytes < first_bytes(options, 1));
    CHECK(aegis_budget_on_pressure(budget, 100, count_pressure, NULL, NULL) == AEGIS_OK);
    atomic_store(&told_count, 0);
    aegis_budget_set_limit(root, 2 * plain_bytes);
    CHECK(aegis_lock_free_pool_init(&pool, &options) == AEGIS_OK);
    aegis_lock_free_pool_get_stats(&pool, &stats);
    CHECK_SIZE(stats.max_cache_count, 0);
    aegis_lock_free_pool_abandon(&pool);
    CHECK_SIZE(atomic_load(&told_count), 0);
    /* A word is said when a pool without caches is refused. */
    aegis_budget_set_limit(root, 2 * plain_bytes - 2);
    CHECK(aegis_lock_free_pool_init(&pool, &options) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK_SIZE(atomic_load(&told_count), 1);
    aegis_budget_get_figures(budget, &figures);
    CHECK(figures.refused_count == 1);
    aegis_budget_set_limit(root, LIMIT_BYTES);
    CHECK(aegis_lock_free_pool_init(&pool, &options) == AEGIS_OK);
    aegis_lock_free_pool_get_stats(&pool, &stats);
    CHECK_SIZE(stats.max_cache_count, 4);
    aegis_lock_free_pool_abandon(&pool);
    aegis_budget_destroy(other);
    aegis_budget_destroy(budget);
    aegis_budget_destroy(root);
}

int main(void) {
    check_alarm(120);
    RUN(request_that_is_refused_counts_as_one_refusal);
    RUN(request_that_waits_for_the_budget_when_polled_is_not_refused);
    RUN(wait_that_a_block_ends_is_no_refusal);
    RUN(pool_that_is_moved_by_the_refused_request_waits_for_its_new_budget);
    RUN(repeated_attempts_do_not_tell_the_pressure_functions);
    RUN(fewer_caches_are_asked_for_without_a_word);
    return check_finish();
}
