/* SPDX-License-Identifier: Apache-2.0 */
/* Tests guarantees: what they keep free in the budgets above, for whom, and what becomes of them
 * when limits change, when they lie in each other, and when the wrong bytes are uncharged. Also
 * counters near the largest numbers. */
#include "arbitration_support.h"

static aegis_budget *root, *middle, *leaf, *other;

static void make(size_t root_limit, size_t middle_limit) {
    root = aegis_budget_new("root", root_limit, NULL);
    middle = aegis_budget_new("middle", middle_limit, root);
    leaf = aegis_budget_new("leaf", AEGIS_BUDGET_UNLIMITED, middle);
    other = aegis_budget_new("other", AEGIS_BUDGET_UNLIMITED, root);
}

static void take_apart(void) {
    (void)check_tree(root, NULL);
    aegis_budget *const all[] = {root, middle, leaf, other};
    for (size_t i = 4; i != 0; i--)
        CHECK(aegis_budget_uncharge(all[i - 1], used(all[i - 1])) == AEGIS_OK);
    aegis_budget_destroy(leaf);
    aegis_budget_destroy(middle);
    aegis_budget_destroy(other);
    check_open(root);
    CHECK_SIZE(total_of_budget(root), 0);
    aegis_budget_destroy(root);
}

static void guaranteed_bytes_are_kept_for_their_budget(void) {
    aegis_error error;
    make(100, 100);
    CHECK(aegis_budget_set_guarantee(leaf, 40, NULL) == AEGIS_OK);
    CHECK_SIZE(used(root), 0);
    CHECK(aegis_budget_charge(other, 61, &error) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK(error.refused == root);
    CHECK_SIZE(error.in_use_bytes, 40);
    CHECK(aegis_budget_charge(other, 60, NULL) == AEGIS_OK);
    CHECK_SIZE(used(root), 60);
    for (size_t i = 0; i < 40; i++)
        CHECK(aegis_budget_charge(leaf, 1, NULL) == AEGIS_OK);
    CHECK(aegis_budget_charge(leaf, 1, NULL) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK_SIZE(used(root), 100);
    /* What it gives back stays its own. */
    CHECK(aegis_budget_uncharge(leaf, 40) == AEGIS_OK);
    CHECK(aegis_budget_charge(other, 1, NULL) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK(aegis_budget_set_guarantee(leaf, 30, NULL) == AEGIS_OK);
    CHECK(aegis_budget_charge(other, 10, NULL) == AEGIS_OK);
    CHECK(aegis_budget_charge(other, 1, NULL) == AEGIS_E_LIMIT_EXCEEDED);
    (void)check_tree(root, NULL);
    CHECK(aegis_budget_set_guarantee(leaf, 0, NULL) == AEGIS_OK);
    check_open(leaf);
    CHECK(aegis_budget_charge(other, 30, NULL) == AEGIS_OK);
    take_apart();
}

static void guarantee_for_which_there_is_no_room_is_refused_and_changes_nothing(void) {
    aegis_error error;
    make(100, 80);
    CHECK(aegis_budget_charge(other, 50, NULL) == AEGIS_OK);
    CHECK(aegis_budget_charge(leaf, 20, NULL) == AEGIS_OK);
    CHECK(aegis_budget_set_guarantee(leaf, 51, &error) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK(error.refused == root);
    CHECK(aegis_budget_set_guarantee(leaf, 81, &error) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK(error.refused == middle);
    CHECK(aegis_budget_set_guarantee(middle, 81, &error) == AEGIS_E_INVALID);
    check_open(leaf);
    CHECK(aegis_budget_charge(other, 30, NULL) == AEGIS_OK);
    CHECK(aegis_budget_uncharge(other, 30) == AEGIS_OK);
    CHECK(aegis_budget_set_guarantee(leaf, 50, NULL) == AEGIS_OK);
    CHECK(aegis_budget_charge(other, 1, NULL) == AEGIS_E_LIMIT_EXCEEDED);
    take_apart();
}

static void guarantees_in_guarantees_are_counted_once(void) {
    make(100, 80);
    CHECK(aegis_budget_set_guarantee(middle, 60, NULL) == AEGIS_OK);
    CHECK(aegis_budget_set_guarantee(leaf, 40, NULL) == AEGIS_OK);
    CHECK_SIZE(total_of_budget(middle), 40);
    CHECK_SIZE(total_of_budget(root), 60);
    CHECK(aegis_budget_charge(other, 40, NULL) == AEGIS_OK);
    /* Of the 60, 40 are the leaf's. */
    CHECK(aegis_budget_charge(middle, 21, NULL) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK(aegis_budget_charge(middle, 20, NULL) == AEGIS_OK);
    CHECK(aegis_budget_charge(leaf, 40, NULL) == AEGIS_OK);
    CHECK_SIZE(total_of_budget(root), 100);
    (void)check_tree(root, NULL);
    CHECK(aegis_budget_uncharge(other, 40) == AEGIS_OK);
    CHECK(aegis_budget_charge(leaf, 21, NULL) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK(aegis_budget_charge(leaf, 20, NULL) == AEGIS_OK);
    CHECK(aegis_budget_set_guarantee(leaf, 50, NULL) == AEGIS_OK);
    CHECK_SIZE(total_of_budget(root), 80);
    CHECK(aegis_budget_set_guarantee(middle, 0, NULL) == AEGIS_OK);
    CHECK(aegis_budget_uncharge(leaf, 60) == AEGIS_OK);
    CHECK_SIZE(total_of_budget(root), 70);
    take_apart();
}

/* The limit may be raised again when the ancestors have no room for the old guarantee. */
static void limit_below_the_guarantee_lowers_it_for_good(void) {
    make(100, 100);
    CHECK(aegis_budget_set_guarantee(middle, 50, NULL) == AEGIS_OK);
    aegis_budget_set_limit(middle, 10);
    (void)check_tree(root, NULL);
    CHECK(aegis_budget_charge(other, 91, NULL) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK(aegis_budget_charge(other, 90, NULL) == AEGIS_OK);
    aegis_budget_set_limit(middle, 100);
    CHECK_SIZE(total_of_budget(root), 100);
    CHECK(aegis_budget_charge(leaf, 11, NULL) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK(aegis_budget_charge(leaf, 10, NULL) == AEGIS_OK);
    take_apart();
}

static void guarantee_can_be_lowered_above_a_lowered_limit(void) {
    make(100, 100);
    CHECK(aegis_budget_set_guarantee(middle, 50, NULL) == AEGIS_OK);
    CHECK(aegis_budget_charge(leaf, 30, NULL) == AEGIS_OK);
    aegis_budget_set_limit(root, 20);
    /* It is covered by the guarantee, which the root has accepted before. */
    CHECK(aegis_budget_charge(leaf, 20, NULL) == AEGIS_OK);
    CHECK(aegis_budget_charge(leaf, 1, NULL) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK(aegis_budget_set_guarantee(middle, 51, NULL) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK(aegis_budget_set_guarantee(middle, 40, NULL) == AEGIS_OK);
    CHECK(aegis_budget_set_guarantee(middle, 0, NULL) == AEGIS_OK);
    CHECK_SIZE(total_of_budget(root), 50);
    take_apart();
}

static void destroyed_budget_leaves_its_guarantee(void) {
    make(100, 100);
    aegis_budget *brief = aegis_budget_new("brief", 70, middle);
    CHECK(aegis_budget_set_guarantee(brief, 70, NULL) == AEGIS_OK);
    CHECK(aegis_budget_charge(brief, 10, NULL) == AEGIS_OK);
    CHECK(aegis_budget_charge(other, 31, NULL) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK(aegis_budget_uncharge(brief, 10) == AEGIS_OK);
    aegis_budget_destroy(brief);
    check_open(leaf);
    CHECK(aegis_budget_charge(other, 100, NULL) == AEGIS_OK);
    take_apart();
}

static void lowered_guarantee_serves_the_queue(void) {
    waiting request;
    make(100, 100);
    CHECK(aegis_budget_set_guarantee(leaf, 60, NULL) == AEGIS_OK);
    waiting_start(&request, other, 50, LONG_NS, root);
    /* The guarantee covers it, so it goes by those that wait. */
    CHECK(aegis_budget_charge(leaf, 5, NULL) == AEGIS_OK);
    CHECK(aegis_budget_set_guarantee(leaf, 51, NULL) == AEGIS_OK);
    CHECK_SIZE(waiting_at(root), 1);
    CHECK(aegis_budget_set_guarantee(leaf, 50, NULL) == AEGIS_OK);
    CHECK(waiting_join(&request) == AEGIS_OK);
    CHECK_SIZE(total_of_budget(root), 100);
    take_apart();
}

/* The bytes go into room that was set aside already, so what they took becomes free. */
static void move_into_a_guarantee_serves_the_queue(void) {
    waiting request;
    make(100, 100);
    CHECK(aegis_budget_set_guarantee(leaf, 60, NULL) == AEGIS_OK);
    CHECK(aegis_budget_charge(other, 40, NULL) == AEGIS_OK);
    waiting_start(&request, other, 30, LONG_NS, root);
    CHECK(aegis_budget_move(other, leaf, 29, NULL) == AEGIS_OK);
    CHECK_SIZE(waiting_at(root), 1);
    CHECK_SIZE(total_of_budget(root), 71);
    CHECK(aegis_budget_move(other, leaf, 1, NULL) == AEGIS_OK);
    CHECK(waiting_join(&request) == AEGIS_OK);
    CHECK_SIZE(total_of_budget(root), 100);
    /* From an ancestor too. */
    CHECK(aegis_budget_move(other, root, 20, NULL) == AEGIS_OK);
    waiting_start(&request, other, 20, LONG_NS, root);
    CHECK(aegis_budget_move(root, leaf, 20, NULL) == AEGIS_OK);
    CHECK(waiting_join(&request) == AEGIS_OK);
    CHECK_SIZE(used(leaf), 50);
    CHECK_SIZE(total_of_budget(root), 100);
    take_apart();
}

static void count_waiting(void *context, size_t used_bytes, size_t limit_bytes) {
    (void)used_bytes;
    (void)limit_bytes;
    *(size_t *)context = waiting_at(root);
}

/* It is served as soon as the guarantee covers the bytes, before a function of the user's runs. */
static void move_into_a_guarantee_shows_no_room_that_it_does_not_give(void) {
    waiting request;
    size_t seen_count = SIZE_MAX;
    make(100, 100);
    CHECK(aegis_budget_set_guarantee(leaf, 60, NULL) == AEGIS_OK);
    aegis_budget_set_limit(leaf, 100);
    CHECK(aegis_budget_on_pressure(leaf, 1, count_waiting, NULL, &seen_count) == AEGIS_OK);
    CHECK(aegis_budget_charge(other, 40, NULL) == AEGIS_OK);
    waiting_start(&request, other, 30, LONG_NS, root);
    CHECK(aegis_budget_move(other, leaf, 30, NULL) == AEGIS_OK);
    CHECK(waiting_join(&request) == AEGIS_OK);
    CHECK_SIZE(seen_count, 0);
    take_apart();
}

/* The guarantee stays where it is, so the bytes need other room. */
static void move_out_of_a_guarantee_needs_room_above(void) {
    aegis_error error;
    make(100, 100);
    CHECK(aegis_budget_set_guarantee(leaf, 60, NULL) == AEGIS_OK);
    CHECK(aegis_budget_charge(leaf, 60, NULL) == AEGIS_OK);
    CHECK(aegis_budget_charge(other, 35, NULL) == AEGIS_OK);
    CHECK(aegis_budget_move(leaf, other, 6, &error) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK(error.refused == root && error.in_use_bytes == 95 && error.limit_bytes == 100);
    CHECK_SIZE(error.needed_bytes, 6);
    CHECK(aegis_budget_move(leaf, root, 6, NULL) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK_SIZE(used(leaf), 60);
    CHECK(aegis_budget_move(leaf, other, 5, NULL) == AEGIS_OK);
    CHECK_SIZE(total_of_budget(root), 100);
    CHECK(aegis_budget_charge(leaf, 5, NULL) == AEGIS_OK);
    CHECK_SIZE(used(root), 100);
    /* What is above the guarantee is not set aside. */
    CHECK(aegis_budget_move(other, leaf, 30, NULL) == AEGIS_OK);
    CHECK(aegis_budget_move(leaf, other, 30, NULL) == AEGIS_OK);
    CHECK(aegis_budget_move(leaf, other, 1, NULL) == AEGIS_E_LIMIT_EXCEEDED);
    /* Beneath the budget with the guarantee it stays covered. */
    CHECK(aegis_budget_move(leaf, middle, 60, NULL) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK(aegis_budget_set_guarantee(middle, 60, NULL) == AEGIS_OK);
    CHECK(aegis_budget_set_guarantee(leaf, 0, NULL) == AEGIS_OK);
    CHECK(aegis_budget_move(leaf, middle, 60, NULL) == AEGIS_OK);
    CHECK_SIZE(total_of_budget(root), 100);
    CHECK(aegis_budget_set_guarantee(middle, 0, NULL) == AEGIS_OK);
    take_apart();
}

/* Uncharges that name an ancestor make it count too little. But no counter wraps, and all is as it
 * should be when all was uncharged. */
/* Runs in the middle of a move: its new budget has the bytes, and the old one has them too. */
static void take_the_room(void *context, size_t used_bytes, size_t limit_bytes) {
    (void)used_bytes;
    (void)limit_bytes;
    aegis_status *outcomes = (aegis_status *)context;
    outcomes[0] = aegis_budget_charge(root, 21, NULL);
    outcomes[1] = aegis_budget_charge(root, 20, NULL);
    CHECK(aegis_budget_move(leaf, root, 1, NULL) == AEGIS_E_LIMIT_EXCEEDED);
}

static void move_out_of_a_guarantee_holds_the_room_that_it_needs_above(void) {
    aegis_status outcomes[2] = {AEGIS_OK, AEGIS_E_LIMIT_EXCEEDED};
    make(100, 100);
    CHECK(aegis_budget_set_guarantee(leaf, 40, NULL) == AEGIS_OK);
    CHECK(aegis_budget_charge(leaf, 40, NULL) == AEGIS_OK);
    aegis_budget_set_limit(other, 60);
    CHECK(aegis_budget_on_pressure(other, 50, take_the_room, NULL, outcomes) == AEGIS_OK);
    /* 40 are guaranteed and 40 are moved, so 20 are left. */
    CHECK(aegis_budget_move(leaf, other, 40, NULL) == AEGIS_OK);
    CHECK(outcomes[0] == AEGIS_E_LIMIT_EXCEEDED && outcomes[1] == AEGIS_OK);
    CHECK_SIZE(used(leaf), 0);
    CHECK_SIZE(used(root), 60);
    CHECK_SIZE(total_of_budget(root), 100);
    CHECK(aegis_budget_charge(leaf, 40, NULL) == AEGIS_OK);
    take_apart();
}

static void uncharge_of_an_ancestor_wraps_no_counter(void) {
    make(100, 100);
    CHECK(aegis_budget_set_guarantee(leaf, 50, NULL) == AEGIS_OK);
    CHECK(aegis_budget_charge(leaf, 50, NULL) == AEGIS_OK);
    CHECK(aegis_budget_uncharge(middle, 40) == AEGIS_OK);
    CHECK(aegis_budget_uncharge(middle, 11) == AEGIS_E_INVALID);
    CHECK(aegis_budget_uncharge(root, 11) == AEGIS_E_INVALID);
    CHECK(aegis_budget_uncharge(leaf, 50) == AEGIS_OK);
    CHECK_SIZE(used(root), 0);
    CHECK(total_of_budget(root) <= 100 && total_of_budget(middle) <= 100);
    for (size_t i = 0; i < 4; i++) {
        CHECK(aegis_budget_charge(leaf, 50, NULL) == AEGIS_OK);
        CHECK(total_of_budget(root) <= 100 && total_of_budget(middle) <= 100);
        CHECK(aegis_budget_uncharge(leaf, 50) == AEGIS_OK);
        CHECK(total_of_budget(root) <= 100 && total_of_budget(middle) <= 100);
    }
    CHECK(aegis_budget_charge(other, 50, NULL) == AEGIS_OK);
    take_apart();
}

static void uncharge_of_more_is_refused_under_the_gate(void) {
    make(100, 100);
    CHECK(aegis_budget_set_guarantee(leaf, 50, NULL) == AEGIS_OK);
    CHECK(aegis_budget_charge(leaf, 20, NULL) == AEGIS_OK);
    CHECK(aegis_budget_uncharge(leaf, 21) == AEGIS_E_INVALID);
    CHECK(aegis_budget_uncharge(leaf, SIZE_MAX) == AEGIS_E_INVALID);
    CHECK(aegis_budget_uncharge(leaf, (size_t)PTRDIFF_MAX + 1) == AEGIS_E_INVALID);
    CHECK_SIZE(used(root), 20);
    take_apart();
}

/* A budget that has more in use than its counter can say is counted under the gate. */
static void counters_reach_exactly_the_largest_number(void) {
    aegis_error error;
    make(AEGIS_BUDGET_UNLIMITED, AEGIS_BUDGET_UNLIMITED);
    CHECK(aegis_budget_charge(leaf, (size_t)PTRDIFF_MAX, NULL) == AEGIS_OK);
    CHECK(!is_gated_budget(root));
    CHECK(aegis_budget_charge(other, (size_t)PTRDIFF_MAX, NULL) == AEGIS_OK);
    CHECK(is_gated_budget(root) && !is_gated_budget(leaf) && !is_gated_budget(other));
    CHECK_SIZE(used(root), SIZE_MAX - 1);
    CHECK(aegis_budget_charge(leaf, 2, &error) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK(error.refused == root);
    CHECK_SIZE(error.in_use_bytes, SIZE_MAX - 1);
    CHECK_SIZE(used(leaf), (size_t)PTRDIFF_MAX);
    CHECK(aegis_budget_charge(leaf, 1, NULL) == AEGIS_OK);
    CHECK_SIZE(used(root), SIZE_MAX);
    CHECK(is_gated_budget(leaf));
    CHECK(aegis_budget_charge(root, 1, NULL) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK(aegis_budget_charge(root, 0, NULL) == AEGIS_OK);
    waiting request;
    waiting_start(&request, middle, SIZE_MAX, LONG_NS, middle);
    CHECK(aegis_budget_uncharge(leaf, (size_t)PTRDIFF_MAX + 1) == AEGIS_OK);
    await_waiting(root, 1);
    CHECK(aegis_budget_uncharge(other, (size_t)PTRDIFF_MAX) == AEGIS_OK);
    CHECK(waiting_join(&request) == AEGIS_OK);
    CHECK_SIZE(used(middle), SIZE_MAX);
    CHECK_SIZE(peak(root), SIZE_MAX);
    CHECK(aegis_budget_uncharge(middle, SIZE_MAX) == AEGIS_OK);
    check_open(leaf);
    take_apart();
}

static void guarantees_do_not_overflow(void) {
    aegis_error error;
    make(AEGIS_BUDGET_UNLIMITED, AEGIS_BUDGET_UNLIMITED);
    CHECK(aegis_budget_set_guarantee(leaf, SIZE_MAX, &error) == AEGIS_E_INVALID);
    CHECK(aegis_budget_set_guarantee(leaf, (size_t)PTRDIFF_MAX, NULL) == AEGIS_OK);
    CHECK(aegis_budget_set_guarantee(other, (size_t)PTRDIFF_MAX, NULL) == AEGIS_OK);
    CHECK_SIZE(total_of_budget(root), SIZE_MAX - 1);
    CHECK(aegis_budget_charge(root, 2, NULL) == AEGIS_E_LIMIT_EXCEEDED);
    aegis_budget *third = aegis_budget_new("third", AEGIS_BUDGET_UNLIMITED, root);
    CHECK(aegis_budget_set_guarantee(third, 2, &error) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK(error.refused == root);
    CHECK(aegis_budget_set_guarantee(third, 1, NULL) == AEGIS_OK);
    CHECK_SIZE(total_of_budget(root), SIZE_MAX);
    CHECK(aegis_budget_charge(leaf, (size_t)PTRDIFF_MAX, NULL) == AEGIS_OK);
    CHECK(aegis_budget_charge(leaf, 1, NULL) == AEGIS_E_LIMIT_EXCEEDED);
    aegis_budget_destroy(third);
    take_apart();
}

#define ROUNDS scaled(300)

/* Threads charge and uncharge without a pause while guarantees come and go and limits change. The
 * guaranteed bytes must be had each time. */
static atomic_bool stopping;

static void *charge_others(void *unused) {
    (void)unused;
    while (!atomic_load(&stopping))
        if (aegis_budget_charge(other, 30, NULL) == AEGIS_OK)
            CHECK(aegis_budget_uncharge(other, 30) == AEGIS_OK);
    return NULL;
}

static void guarantee_holds_against_charges_of_other_threads(void) {
    pthread_t threads[2];
    size_t made_count = 0;
    make(100, 100);
    atomic_store(&stopping, false);
    for (size_t i = 0; i < 2; i++)
        CHECK(pthread_create(&threads[i], NULL, charge_others, NULL) == 0);
    while (made_count < ROUNDS) {
        if (aegis_budget_set_guarantee(leaf, 50, NULL) != AEGIS_OK) {
            sched_yield();
            continue;
        }
        made_count++;
        CHECK(aegis_budget_charge(leaf, 50, NULL) == AEGIS_OK);
        CHECK(used(root) <= 100);
        CHECK(aegis_budget_uncharge(leaf, 50) == AEGIS_OK);
        CHECK(aegis_budget_set_guarantee(leaf, 0, NULL) == AEGIS_OK);
    }
    atomic_store(&stopping, true);
    for (size_t i = 0; i < 2; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    take_apart();
}

int main(void) {
    check_alarm(300);
    RUN(guaranteed_bytes_are_kept_for_their_budget);
    RUN(guarantee_for_which_there_is_no_room_is_refused_and_changes_nothing);
    RUN(guarantees_in_guarantees_are_counted_once);
    RUN(limit_below_the_guarantee_lowers_it_for_good);
    RUN(guarantee_can_be_lowered_above_a_lowered_limit);
    RUN(destroyed_budget_leaves_its_guarantee);
    RUN(lowered_guarantee_serves_the_queue);
    RUN(move_into_a_guarantee_serves_the_queue);
    RUN(move_into_a_guarantee_shows_no_room_that_it_does_not_give);
    RUN(move_out_of_a_guarantee_needs_room_above);
    RUN(move_out_of_a_guarantee_holds_the_room_that_it_needs_above);
    RUN(uncharge_of_an_ancestor_wraps_no_counter);
    RUN(uncharge_of_more_is_refused_under_the_gate);
    RUN(counters_reach_exactly_the_largest_number);
    RUN(guarantees_do_not_overflow);
    RUN(guarantee_holds_against_charges_of_other_threads);
    return check_finish();
}
