/* SPDX-License-Identifier: Apache-2.0 */
/* Tests the counts of references and users at their largest value. No count may wrap, whatever the
 * width of a word, because then an object would be freed while it is used. Each test sets a count
 * close to its end in the object's private fields, since counting up to there would take hours. */
#if !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* condition.h */
#endif

/* The recycler's struct is private to its source file. So this program compiles that file too, with
 * other names for its functions. */
#define aegis_arena_recycler_init_sized counted_recycler_init_sized
#define aegis_arena_recycler_fini counted_recycler_fini
#define aegis_arena_recycler_get counted_recycler_get
#define aegis_arena_recycler_put counted_recycler_put
#define aegis_arena_recycler_trim counted_recycler_trim
#define aegis_arena_recycler_trim_idle counted_recycler_trim_idle
#define aegis_arena_recycler_move_budget counted_recycler_move_budget
#define aegis_arena_recycler_get_stats_sized counted_recycler_get_stats_sized
#include "../../csrc/arena/recycler.c"

#include "../../csrc/budget/state.h"
#include "../../csrc/buffer/owner.h"
#include "../../csrc/buffer/pool_state.h"
#include "../../csrc/arena/lock_free_state.h"
#include "check.h"

#include <pthread.h>

#define ROUNDS 20000

/* Starts two threads with the same task and waits for them. */
static void run_two(void *(*task)(void *), void *context) {
    pthread_t threads[2];
    CHECK(pthread_create(&threads[0], NULL, task, context) == 0);
    CHECK(pthread_create(&threads[1], NULL, task, context) == 0);
    (void)pthread_join(threads[0], NULL);
    (void)pthread_join(threads[1], NULL);
}

/* -- budgets -- */

static void set_budget_count(aegis_budget *budget, size_t count) {
    aegis_i_store(&budget->reference_count, count, memory_order_relaxed);
}

static size_t budget_count(aegis_budget *budget) {
    return aegis_i_load(&budget->reference_count, memory_order_relaxed);
}

static bool freed;

static void note_freed(void *context) {
    (void)context;
    freed = true;
}

static void ignore_pressure(void *context, size_t used_bytes, size_t limit_bytes) {
    (void)context;
    (void)used_bytes;
    (void)limit_bytes;
}

/* Returns a budget that sets `freed` when it is freed. */
static aegis_budget *watched_budget(void) {
    aegis_budget *budget = aegis_budget_new("b", 100, NULL);
    freed = false;
    CHECK(aegis_budget_on_pressure(budget, 100, ignore_pressure, note_freed, NULL) == AEGIS_OK);
    return budget;
}

static void budget_whose_count_has_ended_is_never_freed(void) {
    static const size_t starts[] = {SIZE_MAX / 2 - 1, SIZE_MAX / 2, SIZE_MAX / 2 + 1, SIZE_MAX - 1,
                                    SIZE_MAX};
    for (size_t i = 0; i < sizeof starts / sizeof starts[0]; i++) {
        aegis_budget *budget = watched_budget();
        set_budget_count(budget, starts[i]);
        for (size_t n = 0; n < 4; n++)
            CHECK(aegis_budget_retain(budget) == budget);
        size_t ended = budget_count(budget);
        CHECK(ended > SIZE_MAX / 2);
        for (size_t n = 0; n < 1000; n++)
            aegis_budget_destroy(budget);
        CHECK_SIZE(budget_count(budget), ended);
        CHECK(!freed);
        aegis_budget *child = aegis_budget_new("child", 100, budget);
        CHECK(aegis_budget_charge(child, 10, NULL) == AEGIS_OK);
        CHECK(aegis_budget_uncharge(child, 10) == AEGIS_OK);
        aegis_budget_destroy(child);
        CHECK_SIZE(budget_count(budget), ended);
        CHECK(!freed);
        set_budget_count(budget, 1);
        aegis_budget_destroy(budget);
        CHECK(freed);
    }
}

static void budget_count_below_its_end_is_exact(void) {
    aegis_budget *budget = watched_budget();
    set_budget_count(budget, SIZE_MAX / 2);
    aegis_budget_destroy(budget);
    CHECK_SIZE(budget_count(budget), SIZE_MAX / 2 - 1);
    CHECK(aegis_budget_retain(budget) == budget);
    CHECK_SIZE(budget_count(budget), SIZE_MAX / 2);
    set_budget_count(budget, 2);
    aegis_budget_destroy(budget);
    CHECK(!freed);
    aegis_budget_destroy(budget);
    CHECK(freed);
}

static void *retain_twice_and_drop_thrice(void *context) {
    aegis_budget *budget = (aegis_budget *)context;
    for (size_t i = 0; i < ROUNDS; i++) {
        (void)aegis_budget_retain(budget);
        (void)aegis_budget_retain(budget);
        for (size_t n = 0; n < 3; n++)
            aegis_budget_destroy(budget);
    }
    return NULL;
}

static void budget_count_that_two_threads_end_stays_ended(void) {
    aegis_budget *budget = watched_budget();
    set_budget_count(budget, SIZE_MAX / 2);
    run_two(retain_twice_and_drop_thrice, budget);
    CHECK_SIZE(budget_count(budget), SIZE_MAX / 2 + 1);
    CHECK(!freed);
    set_budget_count(budget, 1);
    aegis_budget_destroy(budget);
}

/* -- handles of a buffer pool -- */

static aegis_buffer_pool make_pool(void) {
    aegis_buffer_class sizes = {64, 4, 4};
    aegis_buffer_pool_options options;
    memset(&options, 0, sizeof options);
    options.classes = &sizes;
    options.class_count = 1;
    aegis_buffer_pool pool;
    CHECK(aegis_buffer_pool_init(&pool, &options) == AEGIS_OK);
    return pool;
}

static void handle_beyond_the_limit_is_refused(void) {
    aegis_buffer_pool pool = make_pool(), copy;
    aegis_i_store(&pool.shared->handles, SIZE_MAX / 2 - 1, memory_order_relaxed);
    CHECK(aegis_buffer_pool_retain(&pool, &copy) == AEGIS_OK);
    CHECK(copy.shared == pool.shared);
    for (size_t i = 0; i < 3; i++) {
        memset(&copy, 0xEE, sizeof copy);
        CHECK(aegis_buffer_pool_retain(&pool, &copy) == AEGIS_E_LIMIT_EXCEEDED);
        CHECK(copy.shared == NULL);
    }
    CHECK_SIZE(aegis_i_load(&pool.shared->handles, memory_order_relaxed), SIZE_MAX / 2);
    copy = pool;
    aegis_buffer_pool_release(&copy);
    CHECK(aegis_buffer_pool_retain(&pool, &copy) == AEGIS_OK);
    aegis_i_store(&pool.shared->handles, 1, memory_order_relaxed);
    aegis_buffer_pool_release(&pool);
}

/* Takes and gives up handles near the limit, where some are refused, and demands that the count
 * stays below the limit. */
static void *take_handles(void *context) {
    aegis_buffer_pool *pool = (aegis_buffer_pool *)context;
    for (size_t i = 0; i < ROUNDS; i++) {
        aegis_buffer_pool copies[3];
        for (size_t n = 0; n < 3; n++) {
            aegis_status status = aegis_buffer_pool_retain(pool, &copies[n]);
            CHECK(status == AEGIS_OK || status == AEGIS_E_LIMIT_EXCEEDED);
        }
        CHECK(aegis_i_load(&pool->shared->handles, memory_order_relaxed) <= SIZE_MAX / 2);
        for (size_t n = 0; n < 3; n++)
            aegis_buffer_pool_release(&copies[n]);
    }
    return NULL;
}

static void handles_that_two_threads_take_at_the_limit_stay_below_it(void) {
    aegis_buffer_pool pool = make_pool();
    aegis_i_store(&pool.shared->handles, SIZE_MAX / 2 - 4, memory_order_relaxed);
    run_two(take_handles, &pool);
    CHECK_SIZE(aegis_i_load(&pool.shared->handles, memory_order_relaxed), SIZE_MAX / 2 - 4);
    aegis_i_store(&pool.shared->handles, 1, memory_order_relaxed);
    aegis_buffer_pool_release(&pool);
}

/* -- references to a buffer -- */

static void *take_views(void *context) {
    aegis_buffer *view = (aegis_buffer *)context;
    for (size_t i = 0; i < ROUNDS; i++) {
        aegis_buffer copies[3];
        bool got[3];
        for (size_t n = 0; n < 3; n++) {
            aegis_status status = aegis_buffer_retain(view, &copies[n]);
            CHECK(status == AEGIS_OK || status == AEGIS_E_LIMIT_EXCEEDED);
            got[n] = status == AEGIS_OK;
        }
        for (size_t n = 0; n < 3; n++)
            if (got[n])
                CHECK(aegis_buffer_release(&copies[n]) == AEGIS_OK);
    }
    return NULL;
}

static void views_that_two_threads_take_at_the_limit_are_counted_exactly(void) {
    aegis_buffer_pool pool = make_pool();
    aegis_buffer_mut writer;
    CHECK(aegis_buffer_pool_get(&pool, &writer, 64, NULL) == AEGIS_OK);
    writer.length = 64;
    aegis_buffer view = aegis_buffer_mut_freeze(&writer);
    _Atomic size_t *references = aegis_i_references(view.owner);
    aegis_i_store(references, SIZE_MAX / 2, memory_order_relaxed);
    aegis_buffer copy;
    CHECK(aegis_buffer_retain(&view, &copy) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK_SIZE(aegis_i_load(references, memory_order_relaxed), SIZE_MAX / 2);
    aegis_i_store(references, SIZE_MAX / 2 - 4, memory_order_relaxed);
    run_two(take_views, &view);
    CHECK_SIZE(aegis_i_load(references, memory_order_relaxed), SIZE_MAX / 2 - 4);
    aegis_i_store(references, 1, memory_order_relaxed);
    CHECK(aegis_buffer_release(&view) == AEGIS_OK);
    aegis_buffer_pool_release(&pool);
}

/* -- arenas that a recycler has given -- */

static void arena_beyond_what_a_recycler_can_count_is_refused(void) {
    aegis_arena_recycler recycler;
    aegis_arena_recycler_options options;
    memset(&options, 0, sizeof options);
    CHECK(aegis_arena_recycler_init(&recycler, &options) == AEGIS_OK);
    recycler.shared->stats.out_count = SIZE_MAX;
    aegis_arena arena;
    aegis_error error;
    memset(&error, 0xEE, sizeof error);
    CHECK(aegis_arena_recycler_get(&recycler, &arena, &error) == AEGIS_E_EXHAUSTED);
    CHECK(error.status == AEGIS_E_EXHAUSTED && error.refused == NULL);
    char text[64];
    (void)aegis_arena_explain(&arena, text, sizeof text);
    CHECK(strcmp(text, "fixed memory exhausted") == 0); /* no bytes were asked for */
    CHECK_SIZE(recycler.shared->stats.out_count, SIZE_MAX);
    CHECK(aegis_arena_recycler_fini(&recycler) == AEGIS_E_BUSY);
    /* As after any failure, the struct may be put back or finished. */
    aegis_arena_recycler_put(&recycler, &arena);
    aegis_arena_fini(&arena);
    CHECK_SIZE(recycler.shared->stats.out_count, SIZE_MAX);
    recycler.shared->stats.out_count = SIZE_MAX - 1;
    CHECK(aegis_arena_recycler_get(&recycler, &arena, NULL) == AEGIS_OK);
    aegis_arena_recycler_put(&recycler, &arena);
    recycler.shared->stats.out_count = 0;
    CHECK(aegis_arena_recycler_fini(&recycler) == AEGIS_OK);
}

/* -- resets of a shared arena -- */

static void ignore_report(const char *message) {
    (void)message;
}

static void local_handle_is_stale_after_as_many_resets_as_32_bits_count(void) {
    aegis_report_fn before = aegis_set_report(ignore_report);
    aegis_lock_free_arena shared;
    CHECK(aegis_lock_free_arena_init(&shared, NULL, NULL) == AEGIS_OK);
    aegis_arena_local local;
    CHECK(aegis_arena_local_init(&local, &shared, 0) == AEGIS_OK);
    aegis_i_store(&shared.shared->generation, UINT32_MAX, memory_order_relaxed);
    aegis_lock_free_arena_reset(&shared);
    CHECK(aegis_arena_alloc(&local.arena, 64) == NULL);
    aegis_arena_local_fini(&local);
    aegis_lock_free_arena_fini(&shared);
    (void)aegis_set_report(before);
}

int main(void) {
    RUN(budget_whose_count_has_ended_is_never_freed);
    RUN(budget_count_below_its_end_is_exact);
    RUN(budget_count_that_two_threads_end_stays_ended);
    RUN(handle_beyond_the_limit_is_refused);
    RUN(handles_that_two_threads_take_at_the_limit_stay_below_it);
    RUN(views_that_two_threads_take_at_the_limit_are_counted_exactly);
    RUN(arena_beyond_what_a_recycler_can_count_is_refused);
    RUN(local_handle_is_stale_after_as_many_resets_as_32_bits_count);
    return check_finish();
}
