/* SPDX-License-Identifier: Apache-2.0 */
/* Tests moves of charges from one budget to another. An oracle knows who holds what, so after each
 * move the counter of every budget is known, and so is whether the move must be refused. What is
 * above both budgets must not change, not even for a moment. AEGIS_TEST_SCALE scales the long runs.
 */
#include "budget_tree_support.h"

#include <pthread.h>
#include <stdatomic.h>

#define TEST_CHARGES scaled(200000)

static void move(tree *t, size_t from, size_t to, size_t size_bytes) {
    size_t full = refuser(t, from, to, size_bytes);
    aegis_error error;
    aegis_status status = aegis_budget_move(t->budgets[from], t->budgets[to], size_bytes, &error);
    CHECK((status == AEGIS_OK) == (full == NODES));
    if (status != AEGIS_OK) {
        CHECK(status == AEGIS_E_LIMIT_EXCEEDED && error.refused == t->budgets[full]);
        CHECK_SIZE(error.needed_bytes, size_bytes);
        CHECK_SIZE(error.limit_bytes, t->limit_bytes[full]);
        CHECK_SIZE(error.in_use_bytes, expected_use(t, full));
        return;
    }
    if (from < NODES)
        t->held_bytes[from] -= size_bytes;
    if (to < NODES)
        t->held_bytes[to] += size_bytes;
}

static void random_moves_agree_with_the_oracle(void) {
    static const size_t limits[NODES] = {900, 500, 400, 300, 200, 250, 600, 300};
    uint64_t seed = 13;
    size_t refused_count = 0, moved_count = 0;
    tree t;
    make(&t, limits);
    for (size_t round = 0; round < TEST_CHARGES / 20; round++) {
        size_t from = random_below(&seed, NODES + 1), to = random_below(&seed, NODES + 1);
        size_t held_bytes = from < NODES ? t.held_bytes[from] : 350;
        size_t size_bytes = random_below(&seed, held_bytes + 1);
        if (refuser(&t, from, to, size_bytes) < NODES)
            refused_count++;
        else if (from < NODES && to < NODES && from != to && size_bytes != 0)
            moved_count++;
        move(&t, from, to, size_bytes);
        check_all(&t);
    }
    CHECK(refused_count > TEST_CHARGES / 400 && moved_count > TEST_CHARGES / 400);
    take_apart(&t);
}

static void move_fits_although_the_common_ancestors_are_full(void) {
    tree t;
    make(&t, NULL);
    move(&t, NODES, 5, 70);
    /* Budgets 0 and 1 are above both. They are full, and then even above their limits. */
    aegis_budget_set_limit(t.budgets[0], 70);
    aegis_budget_set_limit(t.budgets[1], 10);
    CHECK(aegis_budget_move(t.budgets[5], t.budgets[4], 70, NULL) == AEGIS_OK);
    CHECK_SIZE(used(t.budgets[0]), 70);
    CHECK_SIZE(peak(t.budgets[0]), 70);
    CHECK_SIZE(peak(t.budgets[1]), 70);
    CHECK_SIZE(used(t.budgets[5]), 0);
    CHECK_SIZE(peak(t.budgets[4]), 70);
    /* Budget 1 is only above the new one, and refuses. */
    CHECK(aegis_budget_move(t.budgets[4], t.budgets[2], 70, NULL) == AEGIS_OK);
    aegis_error error;
    CHECK(aegis_budget_move(t.budgets[2], t.budgets[3], 70, &error) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK(error.refused == t.budgets[1]);
    t.held_bytes[5] = 0;
    t.held_bytes[2] = 70;
    check_all(&t);
    CHECK_SIZE(peak(t.budgets[3]), 70);
    take_apart(&t);
}

static void move_of_nothing_fits_above_a_lowered_limit(void) {
    tree t;
    make(&t, NULL);
    move(&t, NODES, 4, 30);
    aegis_budget_set_limit(t.budgets[4], 10);
    CHECK(aegis_budget_move(t.budgets[2], t.budgets[4], 0, NULL) == AEGIS_OK);
    CHECK(aegis_budget_move(t.budgets[2], t.budgets[4], 1, NULL) == AEGIS_E_INVALID);
    check_all(&t);
    take_apart(&t);
}

static void move_up_and_down_changes_only_what_is_between(void) {
    tree t;
    make(&t, NULL);
    move(&t, NODES, 0, 40);
    move(&t, 0, 5, 40);
    check_all(&t);
    CHECK_SIZE(used(t.budgets[5]), 40);
    move(&t, 5, 1, 40);
    check_all(&t);
    CHECK_SIZE(used(t.budgets[3]), 0);
    CHECK_SIZE(used(t.budgets[1]), 40);
    move(&t, 1, 1, 40);
    check_all(&t);
    CHECK_SIZE(peak(t.budgets[0]), 40);
    CHECK_SIZE(peak(t.budgets[1]), 40);
    take_apart(&t);
}

static void move_of_more_than_is_charged_changes_nothing(void) {
    tree t;
    make(&t, NULL);
    move(&t, NODES, 3, 30);
    move(&t, NODES, 4, 30);
    for (size_t to = 0; to <= NODES; to++) {
        aegis_error error;
        CHECK(aegis_budget_move(t.budgets[3], t.budgets[to], 31, &error) == AEGIS_E_INVALID);
        CHECK(error.status == AEGIS_E_INVALID && error.refused == NULL);
        CHECK_SIZE(error.requested_bytes, 31);
        CHECK_SIZE(error.in_use_bytes, 30);
        CHECK(aegis_budget_move(t.budgets[3], t.budgets[to], SIZE_MAX, NULL) == AEGIS_E_INVALID);
        check_all(&t);
    }
    CHECK_SIZE(peak(t.budgets[2]), 0);
    CHECK_SIZE(peak(t.budgets[7]), 0);
    take_apart(&t);
}

static void count_call(void *context, size_t used_bytes, size_t limit_bytes) {
    (void)used_bytes;
    (void)limit_bytes;
    ++*(size_t *)context;
}

static void move_tells_pressure_on_the_new_side_only(void) {
    tree t;
    size_t counts[NODES] = {0};
    make(&t, NULL);
    move(&t, NODES, 4, 60);
    for (size_t i = 0; i < NODES; i++) {
        aegis_budget_set_limit(t.budgets[i], 100);
        CHECK(aegis_budget_on_pressure(t.budgets[i], 50, count_call, NULL, &counts[i]) == AEGIS_OK);
    }
    CHECK(aegis_budget_move(t.budgets[4], t.budgets[5], 60, NULL) == AEGIS_OK);
    for (size_t i = 0; i < NODES; i++)
        CHECK_SIZE(counts[i], i == 3 || i == 5);
    t.held_bytes[4] = 0;
    t.held_bytes[5] = 60;
    take_apart(&t);
}

#define THREADS 4
static tree shared;
static atomic_size_t failure_count;
static atomic_bool stopping;

/* Moves its own bytes round the leaves of a tree whose root is full. */
static void *move_round(void *context) {
    static const size_t stops[] = {5, 4, 2, 3, 1};
    size_t number = *(size_t *)context, at = 5, failures = 0;
    uint64_t seed = 100 + number;
    for (size_t i = 0; i < TEST_CHARGES; i++) {
        size_t to = stops[random_below(&seed, 5)];
        failures += aegis_budget_move(shared.budgets[at], shared.budgets[to], 10 + number, NULL) !=
                    AEGIS_OK;
        at = to;
    }
    failures +=
        aegis_budget_move(shared.budgets[at], shared.budgets[2], 10 + number, NULL) != AEGIS_OK;
    atomic_fetch_add(&failure_count, failures);
    return NULL;
}

/* Looks at the root, which must have all bytes once, always. */
static void *watch_root(void *context) {
    size_t failures = 0;
    while (!atomic_load(&stopping))
        failures += used(shared.budgets[0]) != *(size_t *)context;
    atomic_fetch_add(&failure_count, failures);
    return NULL;
}

static void threads_that_move_under_a_full_root_never_change_it(void) {
    static size_t numbers[THREADS];
    pthread_t threads[THREADS], watcher;
    size_t sum_bytes = 0;
    make(&shared, NULL);
    atomic_store(&failure_count, 0);
    atomic_store(&stopping, false);
    for (size_t i = 0; i < THREADS; i++) {
        numbers[i] = i;
        sum_bytes += 10 + i;
        CHECK(aegis_budget_charge(shared.budgets[5], 10 + i, NULL) == AEGIS_OK);
    }
    aegis_budget_set_limit(shared.budgets[0], sum_bytes);
    CHECK(pthread_create(&watcher, NULL, watch_root, &sum_bytes) == 0);
    for (size_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, move_round, &numbers[i]) == 0);
    for (size_t i = 0; i < THREADS; i++)
        (void)pthread_join(threads[i], NULL);
    atomic_store(&stopping, true);
    (void)pthread_join(watcher, NULL);
    CHECK_SIZE(atomic_load(&failure_count), 0);
    CHECK_SIZE(peak(shared.budgets[0]), sum_bytes);
    shared.held_bytes[2] = sum_bytes;
    check_all(&shared);
    take_apart(&shared);
}

/* All threads try to move the same bytes from one budget to another: each time one succeeds. */
static void *move_the_same(void *context) {
    size_t number = *(size_t *)context, moved_count = 0;
    for (size_t i = 0; i < TEST_CHARGES; i++) {
        size_t from = number % 2 == 0 ? 4 : 5, to = number % 2 == 0 ? 5 : 4;
        aegis_status status =
            aegis_budget_move(shared.budgets[from], shared.budgets[to], 100, NULL);
        moved_count += status == AEGIS_OK;
        if (status != AEGIS_OK && status != AEGIS_E_INVALID)
            atomic_fetch_add(&failure_count, 1);
    }
    *(size_t *)context = moved_count;
    return NULL;
}

static void threads_that_move_the_same_bytes_leave_them_in_one_place(void) {
    static size_t numbers[THREADS];
    pthread_t threads[THREADS];
    make(&shared, NULL);
    atomic_store(&failure_count, 0);
    CHECK(aegis_budget_charge(shared.budgets[4], 100, NULL) == AEGIS_OK);
    for (size_t i = 0; i < THREADS; i++) {
        numbers[i] = i;
        CHECK(pthread_create(&threads[i], NULL, move_the_same, &numbers[i]) == 0);
    }
    for (size_t i = 0; i < THREADS; i++)
        (void)pthread_join(threads[i], NULL);
    CHECK_SIZE(atomic_load(&failure_count), 0);
    size_t there = numbers[0] + numbers[2], back = numbers[1] + numbers[3];
    CHECK(there == back || there == back + 1);
    shared.held_bytes[there == back ? 4 : 5] = 100;
    check_all(&shared);
    CHECK_SIZE(peak(shared.budgets[0]), 100);
    take_apart(&shared);
}

int main(void) {
    RUN(random_moves_agree_with_the_oracle);
    RUN(move_fits_although_the_common_ancestors_are_full);
    RUN(move_of_nothing_fits_above_a_lowered_limit);
    RUN(move_up_and_down_changes_only_what_is_between);
    RUN(move_of_more_than_is_charged_changes_nothing);
    RUN(move_tells_pressure_on_the_new_side_only);
    RUN(threads_that_move_under_a_full_root_never_change_it);
    RUN(threads_that_move_the_same_bytes_leave_them_in_one_place);
    return check_finish();
}
