/* SPDX-License-Identifier: Apache-2.0 */
/* Tests that a recycler moves with its stock to another budget, and that arenas which are out stay
 * charged where they are and come home when they are put back. The oracle knows the budget of each
 * arena. Threads use the recycler while it moves. */
#include "budget_tree_support.h"

#include <pthread.h>

#define ROUNDS 4000

static const size_t arena_sizes[] = {16, 300, 2000, 9000};

static aegis_arena_recycler recycler;
/* The arenas of the recycler that are out, and the budget of each by number. */
#define OUT 3
static aegis_arena out[OUT];
static size_t out_at[OUT];

static size_t reserved_of(const aegis_arena *one) {
    aegis_arena_stats stats;
    if (one->ptr == NULL)
        return 0;
    aegis_arena_get_stats(one, &stats);
    return stats.reserved_bytes;
}

static void recycler_make(aegis_budget *budget, size_t max_idle_count) {
    aegis_arena_recycler_options options = {{0}, 0, 0, NULL};
    options.arena.budget = budget;
    options.max_idle_count = max_idle_count;
    options.keep_bytes = 20000;
    CHECK(aegis_arena_recycler_init(&recycler, &options) == AEGIS_OK);
    memset(out, 0, sizeof out);
}

/* The bytes that are in stock are those of `home` that no arena that is out has. */
static size_t stock_bytes(const tree *t, size_t home) {
    size_t bytes = home < NODES ? used(t->budgets[home]) : 0;
    for (size_t i = 0; i < OUT; i++)
        bytes -= out_at[i] == home && home < NODES ? reserved_of(&out[i]) : 0;
    return bytes;
}

static size_t idle_count(void) {
    aegis_arena_recycler_stats stats;
    aegis_arena_recycler_get_stats(&recycler, &stats);
    return stats.idle_count;
}

/* The homes have no children, so all that is charged there is the test's. */
static void stock_moves_and_arenas_that_are_out_come_home(void) {
    static const size_t homes[] = {5, 4, 2, 7};
    uint64_t seed = 9;
    size_t home = 5;
    tree t;
    make(&t, NULL);
    recycler_make(t.budgets[home], 2);
    for (size_t round = 0; round < ROUNDS; round++) {
        size_t i = random_below(&seed, OUT), to = homes[random_below(&seed, 4)];
        if (out[i].ptr == NULL) {
            size_t before = stock_bytes(&t, home);
            out_at[i] = home;
            CHECK(aegis_arena_recycler_get(&recycler, &out[i], NULL) == AEGIS_OK);
            CHECK_SIZE(before, stock_bytes(&t, home) + reserved_of(&out[i]));
        } else if (random_below(&seed, 2) == 0) {
            (void)aegis_arena_alloc(&out[i], arena_sizes[random_below(&seed, 4)]);
        } else if (random_below(&seed, 2) == 0) {
            CHECK(aegis_arena_move_budget(&out[i], t.budgets[to], NULL) == AEGIS_OK);
            out_at[i] = to;
        } else {
            aegis_arena_recycler_put(&recycler, &out[i]);
        }
        size_t before = stock_bytes(&t, home);
        if (random_below(&seed, 4) == 0) {
            CHECK(aegis_arena_recycler_move_budget(&recycler, t.budgets[to], NULL) == AEGIS_OK);
            home = to;
            CHECK_SIZE(stock_bytes(&t, home), before);
        }
        CHECK(before == 0 || idle_count() != 0);
        for (size_t n = 0; n < 4; n++) {
            size_t expected = homes[n] == home ? before : 0;
            for (size_t k = 0; k < OUT; k++)
                expected += out_at[k] == homes[n] ? reserved_of(&out[k]) : 0;
            CHECK_SIZE(used(t.budgets[homes[n]]), expected);
        }
    }
    for (size_t i = 0; i < OUT; i++)
        aegis_arena_recycler_put(&recycler, &out[i]);
    CHECK(aegis_arena_recycler_fini(&recycler) == AEGIS_OK);
    take_apart(&t);
}

static void arena_that_its_home_refuses_is_not_stocked(void) {
    aegis_budget *home = aegis_budget_new("home", AEGIS_BUDGET_UNLIMITED, NULL);
    aegis_budget *away = aegis_budget_new("away", AEGIS_BUDGET_UNLIMITED, NULL);
    aegis_arena_recycler_stats stats;
    recycler_make(home, 2);
    for (size_t i = 0; i < 2; i++) {
        CHECK(aegis_arena_recycler_get(&recycler, &out[i], NULL) == AEGIS_OK);
        CHECK(aegis_arena_alloc(&out[i], 1000) != NULL);
    }
    CHECK(aegis_arena_move_budget(&out[1], away, NULL) == AEGIS_OK);
    aegis_arena_recycler_put(&recycler, &out[0]);
    aegis_budget_set_limit(home, used(home));
    aegis_arena_recycler_put(&recycler, &out[1]);
    aegis_arena_recycler_get_stats(&recycler, &stats);
    CHECK(stats.idle_count == 1 && stats.out_count == 0);
    CHECK(used(home) != 0);
    CHECK_SIZE(used(away), 0);
    /* A stock that the new budget refuses stays. */
    aegis_error error;
    aegis_budget_set_limit(away, used(home) - 1);
    CHECK(aegis_arena_recycler_move_budget(&recycler, away, &error) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK(error.refused == away);
    CHECK_SIZE(error.needed_bytes, used(home));
    CHECK_SIZE(used(away), 0);
    CHECK(aegis_arena_recycler_move_budget(&recycler, NULL, NULL) == AEGIS_OK);
    CHECK_SIZE(used(home), 0);
    CHECK(aegis_arena_recycler_fini(&recycler) == AEGIS_OK);
    aegis_budget_destroy(home);
    aegis_budget_destroy(away);
}

static void recycler_keeps_each_of_its_budgets_once(void) {
    size_t freed_count = 0;
    aegis_budget *first = new_noted(&freed_count), *second = new_noted(&freed_count);
    recycler_make(first, 2);
    for (size_t i = 0; i < 3; i++) {
        CHECK(aegis_arena_recycler_move_budget(&recycler, second, NULL) == AEGIS_OK);
        CHECK(aegis_arena_recycler_move_budget(&recycler, first, NULL) == AEGIS_OK);
    }
    CHECK(aegis_arena_recycler_move_budget(&recycler, NULL, NULL) == AEGIS_OK);
    aegis_budget_destroy(first);
    aegis_budget_destroy(second);
    CHECK_SIZE(freed_count, 0);
    CHECK(aegis_arena_recycler_fini(&recycler) == AEGIS_OK);
    CHECK_SIZE(freed_count, 2);
}

#define THREADS 3
static tree threads_tree;

/* Gets arenas, moves some of them, moves the recycler, and puts the arenas back. */
static void *use_recycler(void *context) {
    uint64_t seed = *(uint64_t *)context;
    static const size_t homes[] = {5, 4, 2};
    for (size_t round = 0; round < scaled(ROUNDS); round++) {
        aegis_arena one;
        aegis_error error;
        if (aegis_arena_recycler_get(&recycler, &one, &error) != AEGIS_OK)
            continue;
        (void)aegis_arena_alloc(&one, arena_sizes[random_below(&seed, 3)]);
        aegis_budget *to = threads_tree.budgets[homes[random_below(&seed, 3)]];
        if (random_below(&seed, 3) == 0)
            (void)aegis_arena_move_budget(&one, to, NULL);
        to = threads_tree.budgets[homes[random_below(&seed, 3)]];
        if (random_below(&seed, 5) == 0 &&
            aegis_arena_recycler_move_budget(&recycler, to, &error) != AEGIS_OK)
            CHECK(error.status == AEGIS_E_LIMIT_EXCEEDED && error.refused == to);
        aegis_arena_recycler_put(&recycler, &one);
    }
    return NULL;
}

static void recycler_moves_while_threads_use_it(void) {
    static uint64_t seeds[THREADS] = {1, 2, 3};
    pthread_t threads[THREADS];
    make(&threads_tree, NULL);
    aegis_budget_set_limit(threads_tree.budgets[4], 8000);
    recycler_make(threads_tree.budgets[5], 2);
    for (size_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, use_recycler, &seeds[i]) == 0);
    for (size_t i = 0; i < THREADS; i++)
        (void)pthread_join(threads[i], NULL);
    /* All arenas are home, so one budget has all of them. */
    size_t used_count = 0;
    for (size_t i = 2; i < 6; i++)
        used_count += i != 3 && used(threads_tree.budgets[i]) != 0;
    CHECK(used_count <= 1);
    CHECK((idle_count() != 0) == (used_count == 1));
    CHECK(aegis_arena_recycler_fini(&recycler) == AEGIS_OK);
    take_apart(&threads_tree);
}

int main(void) {
    RUN(stock_moves_and_arenas_that_are_out_come_home);
    RUN(arena_that_its_home_refuses_is_not_stocked);
    RUN(recycler_moves_while_threads_use_it);
    RUN(recycler_keeps_each_of_its_budgets_once);
    return check_finish();
}
