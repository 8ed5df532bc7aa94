/* SPDX-License-Identifier: Apache-2.0 */
/* Tests that objects can be charged to another budget. An oracle knows the budget of each object
 * and asks the object how much it has reserved, so after each step the counter of every budget is
 * known, and whether a move must be refused. Whatever fails must change nothing. */
#include "budget_tree_support.h"

#include <pthread.h>

#define ROUNDS 4000

/* -- arenas -- */

static const size_t arena_sizes[] = {16, 300, 2000, 9000};

static aegis_arena arena;
static aegis_lock_free_arena lock_free;
static aegis_locked_arena locked;
static aegis_arena_recycler recycler;
/* The arenas of the recycler that are out, and the budget of each by number. */
#define OUT 3
static aegis_arena out[OUT];
static size_t out_at[OUT];

static void arena_make(aegis_budget *budget) {
    aegis_arena_options options = {0};
    options.budget = budget;
    CHECK(aegis_arena_init(&arena, &options) == AEGIS_OK);
}

static void arena_work(uint64_t *seed) {
    if (random_below(seed, 8) == 0)
        aegis_arena_clear(&arena);
    else
        (void)aegis_arena_alloc(&arena, arena_sizes[random_below(seed, 4)]);
}

static size_t arena_held(void) {
    aegis_arena_stats stats;
    aegis_arena_get_stats(&arena, &stats);
    return stats.reserved_bytes;
}

static aegis_status arena_move(aegis_budget *budget, aegis_error *error) {
    return aegis_arena_move_budget(&arena, budget, error);
}

static void arena_end(void) {
    aegis_arena_fini(&arena);
}

static void lock_free_make(aegis_budget *budget) {
    aegis_lock_free_arena_options options = {0};
    options.budget = budget;
    CHECK(aegis_lock_free_arena_init(&lock_free, &options, NULL) == AEGIS_OK);
}

static void lock_free_work(uint64_t *seed) {
    if (random_below(seed, 8) == 0)
        aegis_lock_free_arena_clear(&lock_free);
    else
        (void)aegis_lock_free_arena_alloc(&lock_free, arena_sizes[random_below(seed, 4)], NULL);
}

static size_t lock_free_held(void) {
    aegis_arena_stats stats;
    aegis_lock_free_arena_get_stats(&lock_free, &stats);
    return stats.reserved_bytes;
}

static aegis_status lock_free_move(aegis_budget *budget, aegis_error *error) {
    return aegis_lock_free_arena_move_budget(&lock_free, budget, error);
}

static void lock_free_end(void) {
    aegis_lock_free_arena_fini(&lock_free);
}

static void locked_make(aegis_budget *budget) {
    aegis_arena_options options = {0};
    options.budget = budget;
    CHECK(aegis_locked_arena_init(&locked, &options, NULL) == AEGIS_OK);
}

static void locked_work(uint64_t *seed) {
    if (random_below(seed, 8) == 0)
        aegis_locked_arena_clear(&locked);
    else
        (void)aegis_locked_arena_alloc(&locked, arena_sizes[random_below(seed, 4)], NULL);
}

static size_t locked_held(void) {
    aegis_arena_stats stats;
    aegis_locked_arena_get_stats(&locked, &stats);
    return stats.reserved_bytes;
}

static aegis_status locked_move(aegis_budget *budget, aegis_error *error) {
    return aegis_locked_arena_move_budget(&locked, budget, error);
}

static void locked_end(void) {
    aegis_locked_arena_fini(&locked);
}

/* -- all objects -- */

typedef struct object {
    void (*make)(aegis_budget *budget);
    void (*work)(uint64_t *seed);
    size_t (*held)(void);
    aegis_status (*move)(aegis_budget *budget, aegis_error *error);
    void (*end)(void);
} object;

static const object objects[] = {
    {arena_make, arena_work, arena_held, arena_move, arena_end},
    {lock_free_make, lock_free_work, lock_free_held, lock_free_move, lock_free_end},
    {locked_make, locked_work, locked_held, locked_move, locked_end},
};
#define OBJECTS (sizeof objects / sizeof objects[0])

/* Where each object is charged, by number. */
static size_t places[OBJECTS];

static void count_held(tree *t) {
    memset(t->held_bytes, 0, sizeof t->held_bytes);
    for (size_t i = 0; i < OBJECTS; i++)
        t->held_bytes[places[i]] += objects[i].held();
}

/* The moves of an object, as the oracle expects them. Returns whether it was moved. */
static bool move_as_expected(tree *t, size_t number, size_t to) {
    size_t size_bytes = objects[number].held(), from = places[number];
    size_t full = size_bytes != 0 ? refuser(t, from, to, size_bytes) : NODES;
    aegis_error error;
    aegis_status status = objects[number].move(t->budgets[to], &error);
    CHECK(status == (full == NODES ? AEGIS_OK : AEGIS_E_LIMIT_EXCEEDED));
    if (status == AEGIS_OK) {
        places[number] = to;
    } else {
        CHECK(error.status == status && error.refused == t->budgets[full]);
        CHECK_SIZE(error.requested_bytes, size_bytes);
        CHECK_SIZE(error.needed_bytes, size_bytes);
        CHECK_SIZE(error.in_use_bytes, expected_use(t, full));
    }
    CHECK_SIZE(objects[number].held(), size_bytes);
    return status == AEGIS_OK;
}

static void random_moves_of_objects_agree_with_the_oracle(void) {
    static const size_t limits[NODES] = {400000, 200000, 150000, 90000,
                                         60000,  70000,  180000, 90000};
    uint64_t seed = 4;
    size_t moved_count = 0, refused_count = 0;
    tree t;
    make(&t, limits);
    for (size_t i = 0; i < OBJECTS; i++) {
        places[i] = i % (NODES + 1);
        objects[i].make(t.budgets[places[i]]);
    }
    for (size_t round = 0; round < ROUNDS; round++) {
        size_t number = random_below(&seed, OBJECTS);
        if (random_below(&seed, 3) == 0) {
            bool moved = move_as_expected(&t, number, random_below(&seed, NODES + 1));
            moved_count += moved;
            refused_count += !moved;
        } else {
            objects[number].work(&seed);
        }
        count_held(&t);
        check_all(&t);
    }
    CHECK(moved_count > ROUNDS / 10 && refused_count > ROUNDS / 100);
    for (size_t i = 0; i < OBJECTS; i++)
        objects[i].end();
    memset(t.held_bytes, 0, sizeof t.held_bytes);
    take_apart(&t);
}

static void note_freed(void *context) {
    ++*(size_t *)context;
}

static void ignore(void *context, size_t used_bytes, size_t limit_bytes) {
    (void)context;
    (void)used_bytes;
    (void)limit_bytes;
}

static aegis_budget *new_noted(size_t *freed_count) {
    aegis_budget *budget = aegis_budget_new("noted", AEGIS_BUDGET_UNLIMITED, NULL);
    CHECK(aegis_budget_on_pressure(budget, 100, ignore, note_freed, freed_count) == AEGIS_OK);
    return budget;
}

static void the_reference_of_an_object_moves_with_it(void) {
    for (size_t i = 0; i < OBJECTS; i++) {
        size_t freed_count = 0;
        uint64_t seed = 3;
        aegis_budget *first = new_noted(&freed_count), *second = new_noted(&freed_count);
        objects[i].make(first);
        objects[i].work(&seed);
        aegis_budget_destroy(first);
        CHECK_SIZE(freed_count, 0);
        CHECK(objects[i].move(second, NULL) == AEGIS_OK);
        CHECK_SIZE(used(second), objects[i].held());
        CHECK_SIZE(freed_count, 1);
        aegis_budget_destroy(second);
        CHECK_SIZE(freed_count, 1);
        CHECK(objects[i].move(NULL, NULL) == AEGIS_OK);
        CHECK_SIZE(freed_count, 2);
        objects[i].work(&seed);
        objects[i].end();
        CHECK_SIZE(freed_count, 2);
    }
}

/* A pressure function that uses the object while the move charges the new budget. */
static size_t number_in_use;
static size_t used_count;

static void use_object(void *context, size_t used_bytes, size_t limit_bytes) {
    (void)used_bytes;
    (void)limit_bytes;
    if (++used_count <= 3) {
        size_t held_bytes = objects[number_in_use].held();
        while (objects[number_in_use].held() == held_bytes)
            objects[number_in_use].work((uint64_t *)context);
    }
}

static void object_may_change_while_it_is_moved(void) {
    for (size_t i = 0; i < OBJECTS; i++) {
        uint64_t seed = 5;
        aegis_budget *from = aegis_budget_new("from", AEGIS_BUDGET_UNLIMITED, NULL);
        aegis_budget *to = aegis_budget_new("to", 1000, NULL);
        objects[i].make(from);
        while (objects[i].held() < 1000)
            objects[i].work(&seed);
        CHECK(aegis_budget_on_pressure(to, 1, use_object, NULL, &seed) == AEGIS_OK);
        aegis_budget_set_limit(to, (size_t)1 << 30);
        CHECK(aegis_budget_charge(to, ((size_t)1 << 30) / 100 - 500, NULL) == AEGIS_OK);
        number_in_use = i;
        used_count = 0;
        CHECK(objects[i].move(to, NULL) == AEGIS_OK);
        CHECK(used_count >= 1);
        CHECK_SIZE(used(from), 0);
        CHECK_SIZE(used(to), objects[i].held() + ((size_t)1 << 30) / 100 - 500);
        objects[i].end();
        CHECK(aegis_budget_uncharge(to, ((size_t)1 << 30) / 100 - 500) == AEGIS_OK);
        CHECK_SIZE(used(to), 0);
        aegis_budget_destroy(from);
        aegis_budget_destroy(to);
    }
}

/* -- what is special -- */

static void arena_with_an_open_scope_is_not_moved(void) {
    aegis_budget *from = aegis_budget_new("from", AEGIS_BUDGET_UNLIMITED, NULL);
    aegis_budget *to = aegis_budget_new("to", AEGIS_BUDGET_UNLIMITED, NULL);
    aegis_arena_scope scope;
    aegis_error error;
    arena_make(from);
    CHECK(aegis_arena_alloc(&arena, 100) != NULL);
    aegis_arena_scope_begin(&arena, &scope);
    size_t used_bytes = used(from);
    CHECK(aegis_arena_move_budget(&arena, to, &error) == AEGIS_E_BUSY);
    CHECK(error.status == AEGIS_E_BUSY && error.what == AEGIS_WHAT_SCOPE);
    CHECK(aegis_arena_move_budget(&scope.arena, to, &error) == AEGIS_E_BUSY);
    CHECK(error.status == AEGIS_E_BUSY && error.what == AEGIS_WHAT_SCOPE);
    CHECK_SIZE(used(from), used_bytes);
    CHECK_SIZE(used(to), 0);
    aegis_arena_scope_end(&arena, &scope);
    CHECK(aegis_arena_move_budget(&arena, to, NULL) == AEGIS_OK);
    CHECK_SIZE(used(to), used_bytes);
    aegis_arena_fini(&arena);
    aegis_budget_destroy(from);
    aegis_budget_destroy(to);
}

static void local_arena_is_not_moved_by_itself(void) {
    aegis_budget *from = aegis_budget_new("from", AEGIS_BUDGET_UNLIMITED, NULL);
    aegis_arena_local local;
    aegis_error error;
    lock_free_make(from);
    CHECK(aegis_arena_local_init(&local, &lock_free, 0) == AEGIS_OK);
    CHECK(aegis_arena_alloc(&local.arena, 100) != NULL);
    CHECK(aegis_arena_move_budget(&local.arena, NULL, &error) == AEGIS_E_INVALID);
    CHECK(error.status == AEGIS_E_INVALID);
    /* Its blocks move with those of the shared arena, and it goes on. */
    aegis_budget *to = aegis_budget_new("to", AEGIS_BUDGET_UNLIMITED, NULL);
    CHECK(aegis_lock_free_arena_move_budget(&lock_free, to, NULL) == AEGIS_OK);
    aegis_budget_destroy(from);
    CHECK_SIZE(used(to), lock_free_held());
    CHECK(aegis_arena_alloc(&local.arena, 20000) != NULL);
    CHECK_SIZE(used(to), lock_free_held());
    aegis_arena_local_fini(&local);
    aegis_lock_free_arena_fini(&lock_free);
    CHECK_SIZE(used(to), 0);
    aegis_budget_destroy(to);
}

static void error_record_of_an_arena_names_no_budget_after_a_move(void) {
    aegis_budget *from = aegis_budget_new("from", 5000, NULL);
    aegis_error error;
    char text[200];
    arena_make(from);
    CHECK(aegis_arena_alloc(&arena, 100) != NULL);
    CHECK(aegis_arena_alloc(&arena, 10000) == NULL);
    aegis_arena_last_error(&arena, &error);
    CHECK(error.refused == from);
    CHECK(aegis_arena_move_budget(&arena, NULL, NULL) == AEGIS_OK);
    aegis_budget_destroy(from);
    aegis_arena_last_error(&arena, &error);
    CHECK(error.status == AEGIS_E_LIMIT_EXCEEDED && error.refused == NULL);
    CHECK(aegis_arena_explain(&arena, text, sizeof text) != 0);
    aegis_arena_fini(&arena);
}

/* -- recyclers -- */

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
    RUN(random_moves_of_objects_agree_with_the_oracle);
    RUN(the_reference_of_an_object_moves_with_it);
    RUN(object_may_change_while_it_is_moved);
    RUN(arena_with_an_open_scope_is_not_moved);
    RUN(local_arena_is_not_moved_by_itself);
    RUN(error_record_of_an_arena_names_no_budget_after_a_move);
    RUN(stock_moves_and_arenas_that_are_out_come_home);
    RUN(arena_that_its_home_refuses_is_not_stocked);
    RUN(recycler_moves_while_threads_use_it);
    RUN(recycler_keeps_each_of_its_budgets_once);
    return check_finish();
}
