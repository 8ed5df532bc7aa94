/* SPDX-License-Identifier: Apache-2.0 */
/* Tests the functions that a lock-free arena runs when its memory is freed. They must run exactly
 * once, the newest first, and may allocate and register further functions. A registration that
 * fails must say why and register nothing. */
#include "shared_support.h"

/* What deferred functions leave behind: their numbers, in the order in which they run. */
static int numbers[100];
static int ran_numbers[100];
static size_t ran_count;
static aegis_lock_free_arena deferring;

static void log_number(void *context) {
    if (ran_count < 100)
        ran_numbers[ran_count] = *(int *)context;
    ran_count++;
}

static void defer_numbers(int from, int to) {
    for (int i = from; i <= to; i++) {
        numbers[i] = i;
        CHECK(aegis_lock_free_arena_defer(&deferring, log_number, &numbers[i], NULL) == AEGIS_OK);
    }
}

/* Demands that since the last look exactly the functions `from` down to `to` have run, in this
 * order. */
static void check_ran(int from, int to) {
    CHECK_SIZE(ran_count, (size_t)(from - to + 1));
    for (size_t i = 0; i < ran_count && i < 100; i++)
        CHECK(ran_numbers[i] == from - (int)i);
    ran_count = 0;
}

static void deferred_functions_run_newest_first_and_once(void) {
    shared_source state;
    aegis_source source = shared_source_get(&state, false);
    deferring = shared_arena(0, 1024, &source);
    defer_numbers(0, 79);
    /* The trim must keep the blocks that hold the list of functions. */
    aegis_lock_free_arena_trim(&deferring, 0);
    CHECK_SIZE(ran_count, 0);
    aegis_lock_free_arena_reset(&deferring);
    check_ran(79, 0);
    aegis_lock_free_arena_reset(&deferring);
    aegis_lock_free_arena_trim(&deferring, 0);
    CHECK_SIZE(ran_count, 0);
    defer_numbers(80, 84);
    aegis_lock_free_arena_clear(&deferring);
    check_ran(84, 80);
    defer_numbers(85, 86);
    aegis_lock_free_arena_fini(&deferring);
    check_ran(86, 85);
    aegis_lock_free_arena_fini(&deferring);
    CHECK_SIZE(ran_count, 0);
    shared_source_check_done(&state);
}

/* Allocates more than the arena's blocks have room for, and registers itself twice more. */
static void allocate_and_defer(void *context) {
    for (size_t i = 0; i < 40; i++) {
        unsigned char *p =
            (unsigned char *)aegis_lock_free_arena_alloc_zeroed(&deferring, 100 * i, NULL);
        CHECK(p != NULL && is_filled(p, 0, 100 * i));
        memset(p, 1, 100 * i);
    }
    if (++ran_count < 3)
        CHECK(aegis_lock_free_arena_defer(&deferring, allocate_and_defer, context, NULL) ==
              AEGIS_OK);
}

static void deferred_function_may_allocate_and_defer(void) {
    for (int how = 0; how < 3; how++) {
        shared_source state;
        aegis_source source = shared_source_get(&state, true);
        deferring = shared_arena(0, 1024, &source);
        CHECK(aegis_lock_free_arena_defer(&deferring, allocate_and_defer, NULL, NULL) == AEGIS_OK);
        if (how == 0)
            aegis_lock_free_arena_reset(&deferring);
        else if (how == 1)
            aegis_lock_free_arena_clear(&deferring);
        else
            aegis_lock_free_arena_fini(&deferring);
        CHECK_SIZE(ran_count, 3);
        CHECK_SIZE(how == 2 ? 0 : shared_stats(&deferring).used_bytes, 0);
        aegis_lock_free_arena_fini(&deferring);
        CHECK_SIZE(ran_count, 3);
        ran_count = 0;
        shared_source_check_done(&state);
    }
}

static void defer_that_fails_says_why_and_registers_nothing(void) {
    aegis_error error = {0};
    deferring = shared_arena(100, 0, NULL);
    CHECK(aegis_lock_free_arena_defer(&deferring, NULL, NULL, &error) == AEGIS_E_INVALID);
    CHECK(error.status == AEGIS_E_INVALID && error.refused == NULL);
    CHECK(aegis_lock_free_arena_defer(&deferring, NULL, NULL, NULL) == AEGIS_E_INVALID);
    CHECK_SIZE(shared_stats(&deferring).used_bytes, 0);
    aegis_lock_free_arena_fini(&deferring);

    aegis_budget *budget = aegis_budget_new("query", 0, NULL);
    aegis_lock_free_arena_options options = {0, 0, NULL, budget, NULL, 0};
    CHECK(aegis_lock_free_arena_init(&deferring, &options, NULL) == AEGIS_OK);
    CHECK(aegis_lock_free_arena_defer(&deferring, log_number, &numbers[0], &error) ==
          AEGIS_E_LIMIT_EXCEEDED);
    CHECK(error.status == AEGIS_E_LIMIT_EXCEEDED && error.refused == budget);
    aegis_lock_free_arena_fini(&deferring);
    aegis_budget_destroy(budget);

    /* In each round the source fails from a later acquire on, until every function can be
     * registered. */
    for (size_t fail_from = 1, registered = 0; registered < 100; fail_from++) {
        shared_source state;
        aegis_source source = shared_source_get(&state, false);
        atomic_store(&state.fail_from, fail_from);
        deferring = shared_arena(0, 1024, &source);
        for (registered = 0; registered < 100; registered++) {
            aegis_arena_stats before = shared_stats(&deferring);
            numbers[registered] = (int)registered;
            aegis_status status =
                aegis_lock_free_arena_defer(&deferring, log_number, &numbers[registered], &error);
            if (status == AEGIS_OK)
                continue;
            aegis_arena_stats after = shared_stats(&deferring);
            CHECK(memcmp(&before, &after, sizeof before) == 0);
            CHECK(status == AEGIS_E_OUT_OF_MEMORY && error.status == status);
            CHECK(aegis_lock_free_arena_defer(&deferring, log_number, NULL, NULL) == status);
            break;
        }
        CHECK(fail_from > 1 || registered == 0);
        aegis_lock_free_arena_fini(&deferring);
        check_ran((int)registered - 1, 0);
        shared_source_check_done(&state);
    }
}

int main(void) {
    RUN(deferred_functions_run_newest_first_and_once);
    RUN(deferred_function_may_allocate_and_defer);
    RUN(defer_that_fails_says_why_and_registers_nothing);
    return check_finish();
}
