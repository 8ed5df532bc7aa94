/* SPDX-License-Identifier: Apache-2.0 */
/* Tests fair shares: what each child may have, and how that changes with weights, guarantees,
 * limits, and children that come and go, also while requests wait. */
#include "arbitration_support.h"

static aegis_budget *root;
static aegis_budget *children[8];
static size_t child_count;

static void make(size_t limit_bytes, size_t count) {
    root = aegis_budget_new("root", limit_bytes, NULL);
    CHECK(aegis_budget_set_policy(root, AEGIS_BUDGET_FAIR, NULL) == AEGIS_OK);
    for (child_count = 0; child_count < count; child_count++)
        children[child_count] = aegis_budget_new("child", AEGIS_BUDGET_UNLIMITED, root);
}

static void take_apart(void) {
    (void)check_tree(root, NULL);
    for (size_t i = 0; i < child_count; i++)
        CHECK(aegis_budget_uncharge(children[i], used(children[i])) == AEGIS_OK);
    (void)check_tree(root, NULL);
    destroy_all(children, child_count);
    CHECK(aegis_budget_uncharge(root, used(root)) == AEGIS_OK);
    CHECK(root->weight_sum == 0);
    CHECK_SIZE(root->shared_bytes, 0);
    CHECK(aegis_budget_set_policy(root, AEGIS_BUDGET_GREEDY, NULL) == AEGIS_OK);
    check_open(root);
    aegis_budget_destroy(root);
}

/* Demands that a budget may have exactly so many bytes more. */
static void check_room(aegis_budget *budget, size_t room_bytes, uint32_t reason) {
    aegis_error error;
    CHECK(aegis_budget_charge(budget, room_bytes + 1, &error) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK_SIZE(error.refusal, reason);
    CHECK(aegis_budget_charge(budget, room_bytes, &error) == AEGIS_OK);
    CHECK(aegis_budget_uncharge(budget, room_bytes) == AEGIS_OK);
}

static void children_have_equal_shares_used_or_not(void) {
    aegis_error error;
    make(100, 3);
    check_room(children[0], 33, AEGIS_REFUSED_SHARE);
    CHECK(aegis_budget_charge(children[0], 34, &error) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK(error.refused == children[0]);
    CHECK_SIZE(error.limit_bytes, 33);
    CHECK_SIZE(error.in_use_bytes, 0);
    for (size_t i = 0; i < 3; i++)
        CHECK(aegis_budget_charge(children[i], 33, NULL) == AEGIS_OK);
    check_room(children[1], 0, AEGIS_REFUSED_SHARE);
    take_apart();
}

static void share_follows_the_children_that_come_and_go(void) {
    make(100, 1);
    check_room(children[0], 100, AEGIS_REFUSED_SHARE);
    CHECK(aegis_budget_charge(children[0], 70, NULL) == AEGIS_OK);
    children[1] = aegis_budget_new("second", AEGIS_BUDGET_UNLIMITED, root);
    /* What is in use stays. The second may have its share as far as there is room. */
    check_room(children[0], 0, AEGIS_REFUSED_SHARE);
    check_room(children[1], 30, AEGIS_REFUSED_LIMIT);
    CHECK(aegis_budget_uncharge(children[0], 30) == AEGIS_OK);
    check_room(children[0], 10, AEGIS_REFUSED_SHARE);
    check_room(children[1], 50, AEGIS_REFUSED_SHARE);
    aegis_budget_destroy(children[1]);
    check_room(children[0], 60, AEGIS_REFUSED_SHARE);
    take_apart();
}

static void shares_are_by_weight(void) {
    make(1000, 3);
    CHECK(aegis_budget_set_weight(children[0], 300, NULL) == AEGIS_OK);
    CHECK(aegis_budget_set_weight(children[1], 600, NULL) == AEGIS_OK);
    check_room(children[0], 300, AEGIS_REFUSED_SHARE);
    check_room(children[1], 600, AEGIS_REFUSED_SHARE);
    check_room(children[2], 100, AEGIS_REFUSED_SHARE);
    CHECK(aegis_budget_set_weight(children[0], AEGIS_BUDGET_MAX_WEIGHT + 1, NULL) ==
          AEGIS_E_INVALID);
    CHECK(aegis_budget_set_weight(children[0], AEGIS_BUDGET_MAX_WEIGHT, NULL) == AEGIS_OK);
    check_room(children[2], 1000 * 100 / 10700, AEGIS_REFUSED_SHARE);
    /* A child without a weight has no share, and what it uses leaves less to be shared. */
    CHECK(aegis_budget_set_weight(children[0], 0, NULL) == AEGIS_OK);
    CHECK(aegis_budget_charge(children[0], 300, NULL) == AEGIS_OK);
    check_room(children[1], 600, AEGIS_REFUSED_SHARE);
    check_room(children[2], 100, AEGIS_REFUSED_SHARE);
    check_room(children[0], 700, AEGIS_REFUSED_LIMIT);
    take_apart();
}

static void direct_charges_leave_less_to_be_shared(void) {
    make(100, 2);
    CHECK(aegis_budget_charge(root, 40, NULL) == AEGIS_OK);
    check_room(children[0], 30, AEGIS_REFUSED_SHARE);
    CHECK(aegis_budget_charge(children[1], 30, NULL) == AEGIS_OK);
    check_room(children[0], 30, AEGIS_REFUSED_SHARE);
    take_apart();
}

static void guarantee_comes_beside_the_share(void) {
    make(100, 2);
    CHECK(aegis_budget_set_guarantee(children[0], 40, NULL) == AEGIS_OK);
    check_room(children[0], 70, AEGIS_REFUSED_SHARE);
    check_room(children[1], 30, AEGIS_REFUSED_SHARE);
    CHECK(aegis_budget_charge(children[0], 70, NULL) == AEGIS_OK);
    CHECK(aegis_budget_charge(children[1], 30, NULL) == AEGIS_OK);
    CHECK_SIZE(total_of_budget(root), 100);
    CHECK(aegis_budget_set_weight(children[0], 0, NULL) == AEGIS_OK);
    (void)check_tree(root, NULL);
    CHECK(aegis_budget_set_weight(children[0], 7, NULL) == AEGIS_OK);
    take_apart();
}

static void limits_bound_shares_and_no_limit_means_no_share(void) {
    make(100, 2);
    aegis_budget_set_limit(children[0], 20);
    check_room(children[0], 20, AEGIS_REFUSED_LIMIT);
    /* What the first may not use is not given to the second. */
    check_room(children[1], 50, AEGIS_REFUSED_SHARE);
    aegis_budget_set_limit(root, 60);
    check_room(children[1], 30, AEGIS_REFUSED_SHARE);
    aegis_budget_set_limit(root, AEGIS_BUDGET_UNLIMITED);
    CHECK(aegis_budget_charge(children[1], SIZE_MAX, NULL) == AEGIS_OK);
    take_apart();
}

static void largest_limit_is_divided_exactly(void) {
    make(SIZE_MAX - 1, 2);
    CHECK(aegis_budget_set_weight(children[0], AEGIS_BUDGET_MAX_WEIGHT, NULL) == AEGIS_OK);
    CHECK(aegis_budget_set_weight(children[1], AEGIS_BUDGET_MAX_WEIGHT, NULL) == AEGIS_OK);
    check_room(children[0], (SIZE_MAX - 1) / 2, AEGIS_REFUSED_SHARE);
    CHECK(aegis_budget_charge(children[0], (SIZE_MAX - 1) / 2, NULL) == AEGIS_OK);
    check_room(children[1], (SIZE_MAX - 1) / 2, AEGIS_REFUSED_SHARE);
    take_apart();
}

static void policy_is_chosen_before_there_are_children_or_bytes(void) {
    aegis_error error;
    make(100, 1);
    CHECK(aegis_budget_set_policy(root, AEGIS_BUDGET_GREEDY, &error) == AEGIS_E_BUSY);
    CHECK(aegis_budget_set_policy(root, 2, &error) == AEGIS_E_INVALID);
    take_apart();
    root = aegis_budget_new("root", 100, NULL);
    CHECK(aegis_budget_charge(root, 1, NULL) == AEGIS_OK);
    CHECK(aegis_budget_set_policy(root, AEGIS_BUDGET_FAIR, &error) == AEGIS_E_BUSY);
    CHECK(aegis_budget_uncharge(root, 1) == AEGIS_OK);
    aegis_budget_destroy(root);
}

static void fair_budgets_beneath_fair_budgets_divide_their_own_limit(void) {
    make(100, 2);
    aegis_budget_set_limit(children[0], 40);
    CHECK(aegis_budget_set_policy(children[0], AEGIS_BUDGET_FAIR, NULL) == AEGIS_OK);
    aegis_budget *below[2];
    for (size_t i = 0; i < 2; i++)
        below[i] = aegis_budget_new("below", AEGIS_BUDGET_UNLIMITED, children[0]);
    check_room(below[0], 20, AEGIS_REFUSED_SHARE);
    CHECK(aegis_budget_charge(below[0], 20, NULL) == AEGIS_OK);
    CHECK(aegis_budget_charge(below[1], 20, NULL) == AEGIS_OK);
    check_room(children[1], 50, AEGIS_REFUSED_SHARE);
    (void)check_tree(root, NULL);
    for (size_t i = 0; i < 2; i++)
        CHECK(aegis_budget_uncharge(below[i], 20) == AEGIS_OK);
    destroy_all(below, 2);
    take_apart();
}

/* Each change that makes a share larger serves the request that waits for it. */
static void request_that_waits_for_its_share_gets_it(void) {
    waiting request;
    make(120, 3);
    CHECK(aegis_budget_charge(children[0], 40, NULL) == AEGIS_OK);
    waiting_start(&request, children[0], 20, LONG_NS, children[0]);
    aegis_budget_destroy(children[2]);
    child_count = 2;
    CHECK(waiting_join(&request) == AEGIS_OK);
    waiting_start(&request, children[0], 20, LONG_NS, children[0]);
    CHECK(aegis_budget_set_weight(children[1], 50, NULL) == AEGIS_OK);
    CHECK(waiting_join(&request) == AEGIS_OK);
    waiting_start(&request, children[0], 8, LONG_NS, children[0]);
    aegis_budget_set_limit(root, 132);
    CHECK(waiting_join(&request) == AEGIS_OK);
    CHECK_SIZE(used(root), 88);
    CHECK(aegis_budget_charge(root, 30, NULL) == AEGIS_OK);
    waiting_start(&request, children[1], 40, LONG_NS, children[1]);
    CHECK(aegis_budget_uncharge(root, 10) == AEGIS_OK);
    CHECK_SIZE(waiting_at(children[1]), 1);
    CHECK(aegis_budget_uncharge(children[0], 80) == AEGIS_OK);
    CHECK(aegis_budget_uncharge(root, 10) == AEGIS_OK);
    CHECK(waiting_join(&request) == AEGIS_OK);
    waiting_start(&request, children[1], 40, LONG_NS, children[1]);
    CHECK(aegis_budget_set_guarantee(children[1], 80, NULL) == AEGIS_OK);
    CHECK(waiting_join(&request) == AEGIS_OK);
    CHECK_SIZE(waiting_at(root), 0);
    take_apart();
}

/* A guarantee that is used and has no weight claims its bytes beside the shares. While some move to
 * a share, they are claimed twice. The share is the same. */
static void move_out_of_a_guarantee_fills_a_share(void) {
    make(100, 2);
    CHECK(aegis_budget_set_weight(children[0], 0, NULL) == AEGIS_OK);
    CHECK(aegis_budget_set_guarantee(children[0], 10, NULL) == AEGIS_OK);
    CHECK(aegis_budget_charge(children[0], 10, NULL) == AEGIS_OK);
    CHECK(aegis_budget_charge(children[1], 85, NULL) == AEGIS_OK);
    CHECK(aegis_budget_move(children[0], children[1], 6, NULL) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK(aegis_budget_move(children[0], children[1], 5, NULL) == AEGIS_OK);
    CHECK_SIZE(used(root), 95);
    CHECK(aegis_budget_charge(children[1], 1, NULL) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK(aegis_budget_charge(children[0], 5, NULL) == AEGIS_OK);
    CHECK(aegis_budget_set_guarantee(children[0], 0, NULL) == AEGIS_OK);
    take_apart();
}

static void uncharge_of_an_ancestor_leaves_the_shares_whole(void) {
    make(100, 2);
    CHECK(aegis_budget_charge(children[0], 30, NULL) == AEGIS_OK);
    CHECK(aegis_budget_uncharge(root, 30) == AEGIS_OK);
    CHECK(aegis_budget_uncharge(children[0], 30) == AEGIS_OK);
    CHECK_SIZE(root->shared_bytes, 0);
    CHECK(aegis_budget_charge(root, 20, NULL) == AEGIS_OK);
    check_room(children[0], 40, AEGIS_REFUSED_SHARE);
    check_room(children[1], 40, AEGIS_REFUSED_SHARE);
    take_apart();
}

#define ROUNDS scaled(500)

/* Children come and go while another child's requests wait for a share. */
static void *come_and_go(void *unused) {
    for (size_t i = 0; i < ROUNDS; i++) {
        aegis_budget *child = aegis_budget_new("guest", AEGIS_BUDGET_UNLIMITED, root);
        if (aegis_budget_charge_timeout(child, 10, NS_PER_MS, NULL) == AEGIS_OK)
            CHECK(aegis_budget_uncharge(child, 10) == AEGIS_OK);
        CHECK(aegis_budget_set_weight(child, (uint32_t)(i % 300), NULL) == AEGIS_OK);
        aegis_budget_destroy(child);
    }
    return unused;
}

static void *wait_for_share(void *context) {
    aegis_budget *child = (aegis_budget *)context;
    for (size_t i = 0; i < ROUNDS; i++) {
        /* It fits when no guest is there, so it must come. */
        CHECK(aegis_budget_charge_timeout(child, 45, LONG_NS, NULL) == AEGIS_OK);
        CHECK(used(root) <= 100);
        CHECK(aegis_budget_uncharge(child, 45) == AEGIS_OK);
    }
    return NULL;
}

static void requests_get_their_share_while_children_come_and_go(void) {
    pthread_t threads[4];
    make(100, 2);
    for (size_t i = 0; i < 4; i++)
        CHECK(pthread_create(&threads[i], NULL, i % 2 == 0 ? come_and_go : wait_for_share,
                             children[i / 2]) == 0);
    for (size_t i = 0; i < 4; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK_SIZE(used(root), 0);
    take_apart();
}

int main(void) {
    check_alarm(300);
    RUN(children_have_equal_shares_used_or_not);
    RUN(share_follows_the_children_that_come_and_go);
    RUN(shares_are_by_weight);
    RUN(direct_charges_leave_less_to_be_shared);
    RUN(guarantee_comes_beside_the_share);
    RUN(limits_bound_shares_and_no_limit_means_no_share);
    RUN(largest_limit_is_divided_exactly);
    RUN(policy_is_chosen_before_there_are_children_or_bytes);
    RUN(fair_budgets_beneath_fair_budgets_divide_their_own_limit);
    RUN(request_that_waits_for_its_share_gets_it);
    RUN(move_out_of_a_guarantee_fills_a_share);
    RUN(uncharge_of_an_ancestor_leaves_the_shares_whole);
    RUN(requests_get_their_share_while_children_come_and_go);
    return check_finish();
}
