/* SPDX-License-Identifier: Apache-2.0 */
/* Tests charges that wait for room: the order, the numbers, the end of the time, limits that change
 * meanwhile, and the end of the waiting when a budget is closed. */
#include "arbitration_support.h"
#include "../../csrc/budget/charge.h"

static aegis_budget *levels[3];

/* A root, a child and a grandchild. */
static void make_levels(size_t root_limit, size_t middle_limit, size_t leaf_limit) {
    levels[0] = aegis_budget_new("root", root_limit, NULL);
    levels[1] = aegis_budget_new("middle", middle_limit, levels[0]);
    levels[2] = aegis_budget_new("leaf", leaf_limit, levels[1]);
}

static void take_apart(void) {
    (void)check_tree(levels[0], NULL);
    for (size_t i = 3; i != 0; i--)
        CHECK(aegis_budget_uncharge(levels[i - 1], used(levels[i - 1])) == AEGIS_OK);
    check_open(levels[2]);
    destroy_all(levels, 3);
}

static void charge_that_waits_gets_what_becomes_free(void) {
    waiting request;
    make_levels(100, 200, 200);
    CHECK(aegis_budget_charge(levels[0], 80, NULL) == AEGIS_OK);
    waiting_start(&request, levels[2], 50, LONG_NS, levels[0]);
    CHECK_SIZE(used(levels[2]), 0);
    CHECK(aegis_budget_uncharge(levels[0], 29) == AEGIS_OK);
    CHECK_SIZE(waiting_at(levels[0]), 1);
    CHECK(aegis_budget_uncharge(levels[0], 1) == AEGIS_OK);
    /* The thread that made the room has made the charge. */
    CHECK_SIZE(used(levels[2]), 50);
    CHECK_SIZE(used(levels[1]), 50);
    CHECK_SIZE(used(levels[0]), 100);
    CHECK(waiting_join(&request) == AEGIS_OK);
    CHECK_SIZE(peak(levels[0]), 100);
    check_open(levels[2]);
    take_apart();
}

static void charge_that_has_room_or_must_not_wait_does_not_wait(void) {
    aegis_error error;
    make_levels(100, 200, 200);
    CHECK(aegis_budget_charge_timeout(NULL, SIZE_MAX, AEGIS_WAIT_FOREVER, NULL) == AEGIS_OK);
    CHECK(aegis_budget_charge_timeout(levels[2], 100, AEGIS_WAIT_FOREVER, NULL) == AEGIS_OK);
    CHECK(aegis_budget_charge_timeout(levels[2], 0, AEGIS_WAIT_FOREVER, NULL) == AEGIS_OK);
    CHECK(aegis_budget_charge_timeout(levels[2], 1, 0, &error) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK(error.refused == levels[0] && error.refusal == AEGIS_REFUSED_LIMIT);
    CHECK_SIZE(used(levels[2]), 100);
    take_apart();
}

static void end_of_the_time_leaves_every_counter_as_it_was(void) {
    aegis_error error;
    make_levels(100, 200, 200);
    CHECK(aegis_budget_charge(levels[1], 70, NULL) == AEGIS_OK);
    CHECK(aegis_budget_charge_timeout(levels[2], 31, 5 * NS_PER_MS, &error) ==
          AEGIS_E_LIMIT_EXCEEDED);
    CHECK(error.status == AEGIS_E_LIMIT_EXCEEDED && error.refused == levels[0]);
    CHECK(error.refusal == AEGIS_REFUSED_LIMIT);
    CHECK_SIZE(error.limit_bytes, 100);
    CHECK_SIZE(error.in_use_bytes, 70);
    CHECK_SIZE(error.needed_bytes, 31);
    CHECK_SIZE(used(levels[0]), 70);
    CHECK_SIZE(peak(levels[2]), 0);
    check_open(levels[2]);
    take_apart();
}

static void requests_get_room_in_the_order_in_which_they_came(void) {
    waiting requests[4];
    make_levels(100, 200, 200);
    CHECK(aegis_budget_charge(levels[0], 100, NULL) == AEGIS_OK);
    for (size_t i = 0; i < 4; i++)
        waiting_start(&requests[i], levels[i % 3], 10 + i, LONG_NS, levels[0]);
    size_t expected_bytes = 100;
    for (size_t i = 0; i < 4; i++) {
        /* One byte less serves none of them, although the first of those behind is no larger. */
        CHECK(aegis_budget_uncharge(levels[0], 9 + i) == AEGIS_OK);
        CHECK_SIZE(waiting_at(levels[0]), 4 - i);
        CHECK(aegis_budget_uncharge(levels[0], 1) == AEGIS_OK);
        CHECK_SIZE(waiting_at(levels[0]), 3 - i);
        CHECK(waiting_join(&requests[i]) == AEGIS_OK);
        CHECK_SIZE(used(levels[0]), expected_bytes);
    }
    take_apart();
}

static void large_request_is_not_starved_by_small_ones(void) {
    waiting large, small;
    aegis_error error;
    make_levels(100, 200, 200);
    CHECK(aegis_budget_charge(levels[1], 10, NULL) == AEGIS_OK);
    waiting_start(&large, levels[2], 100, LONG_NS, levels[0]);
    CHECK(aegis_budget_charge(levels[0], 1, &error) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK(error.refusal == AEGIS_REFUSED_QUEUE && error.refused == levels[0]);
    CHECK_SIZE(error.in_use_bytes, 110);
    CHECK_SIZE(error.limit_bytes, 100);
    waiting_start(&small, levels[0], 1, LONG_NS, levels[0]);
    CHECK(aegis_budget_uncharge(levels[1], 10) == AEGIS_OK);
    CHECK(waiting_join(&large) == AEGIS_OK);
    CHECK_SIZE(waiting_at(levels[0]), 1);
    CHECK(aegis_budget_uncharge(levels[2], 100) == AEGIS_OK);
    CHECK(waiting_join(&small) == AEGIS_OK);
    CHECK_SIZE(used(levels[0]), 1);
    take_apart();
}

static void request_behind_one_whose_time_is_up_gets_the_room(void) {
    waiting large, small;
    make_levels(100, 200, 200);
    CHECK(aegis_budget_charge(levels[1], 50, NULL) == AEGIS_OK);
    waiting_start(&large, levels[2], 80, 50 * NS_PER_MS, levels[0]);
    waiting_start(&small, levels[1], 20, LONG_NS, levels[0]);
    CHECK(waiting_join(&large) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK(waiting_join(&small) == AEGIS_OK);
    CHECK_SIZE(used(levels[0]), 70);
    check_open(levels[2]);
    take_apart();
}

static void request_goes_from_queue_to_queue_up_the_tree(void) {
    waiting request;
    aegis_error error;
    make_levels(100, 60, 40);
    CHECK(aegis_budget_charge(levels[0], 40, NULL) == AEGIS_OK);
    CHECK(aegis_budget_charge(levels[1], 20, NULL) == AEGIS_OK);
    CHECK(aegis_budget_charge(levels[2], 20, NULL) == AEGIS_OK);
    waiting_start(&request, levels[2], 40, LONG_NS, levels[2]);
    CHECK(aegis_budget_uncharge(levels[2], 20) == AEGIS_OK);
    CHECK_SIZE(waiting_at(levels[2]), 0);
    CHECK_SIZE(waiting_at(levels[1]), 0);
    CHECK_SIZE(waiting_at(levels[0]), 0);
    CHECK(waiting_join(&request) == AEGIS_OK);
    CHECK_SIZE(used(levels[0]), 100);
    CHECK(aegis_budget_uncharge(levels[2], 1) == AEGIS_OK);
    CHECK(aegis_budget_charge(levels[0], 1, NULL) == AEGIS_OK);
    waiting_start(&request, levels[2], 1, LONG_NS, levels[0]);
    /* The budgets below have promised the byte. */
    CHECK(aegis_budget_charge(levels[2], 1, &error) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK(error.refused == levels[2]);
    CHECK_SIZE(error.in_use_bytes, 40);
    CHECK(aegis_budget_charge(levels[1], 1, &error) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK(error.refused == levels[1]);
    CHECK_SIZE(error.in_use_bytes, 60);
    CHECK(aegis_budget_uncharge(levels[0], 1) == AEGIS_OK);
    CHECK(waiting_join(&request) == AEGIS_OK);
    check_open(levels[2]);
    take_apart();
}

static void raised_limit_serves_the_queue(void) {
    waiting request;
    make_levels(100, 200, 40);
    CHECK(aegis_budget_charge(levels[2], 20, NULL) == AEGIS_OK);
    CHECK(aegis_budget_charge(levels[0], 60, NULL) == AEGIS_OK);
    waiting_start(&request, levels[2], 30, LONG_NS, levels[2]);
    aegis_budget_set_limit(levels[2], 50);
    await_waiting(levels[0], 1);
    CHECK_SIZE(waiting_at(levels[2]), 0);
    aegis_budget_set_limit(levels[0], AEGIS_BUDGET_UNLIMITED);
    CHECK(waiting_join(&request) == AEGIS_OK);
    CHECK_SIZE(used(levels[0]), 110);
    check_open(levels[2]);
    CHECK(aegis_budget_uncharge(levels[2], 50) == AEGIS_OK);
    take_apart();
}

/* No uncharge makes room for more than a limit. */
static void request_for_more_than_a_limit_does_not_wait(void) {
    waiting request;
    aegis_error error;
    make_levels(100, 80, 200);
    CHECK(aegis_budget_charge_timeout(levels[2], 81, AEGIS_WAIT_FOREVER, &error) ==
          AEGIS_E_LIMIT_EXCEEDED);
    CHECK(error.refused == levels[1]);
    CHECK(aegis_budget_charge(levels[0], 100, NULL) == AEGIS_OK);
    waiting_start(&request, levels[2], 70, LONG_NS, levels[0]);
    aegis_budget_set_limit(levels[0], 69);
    CHECK(waiting_join(&request) == AEGIS_E_LIMIT_EXCEEDED);
    check_open(levels[2]);
    CHECK(aegis_budget_uncharge(levels[0], 100) == AEGIS_OK);
    take_apart();
}

/* A promise does not outlive the limit under which it was given. The request then waits where the
 * limit was lowered, before those that came there later. */
static void lowered_limit_holds_for_requests_that_wait_further_up(void) {
    waiting first, second;
    make_levels(100, 80, 200);
    CHECK(aegis_budget_charge(levels[1], 10, NULL) == AEGIS_OK);
    CHECK(aegis_budget_charge(levels[0], 90, NULL) == AEGIS_OK);
    waiting_start(&first, levels[2], 50, LONG_NS, levels[0]);
    waiting_start(&second, levels[1], 40, LONG_NS, levels[1]);
    aegis_budget_set_limit(levels[1], 59);
    CHECK(aegis_budget_uncharge(levels[0], 90) == AEGIS_OK);
    CHECK_SIZE(used(levels[0]), 10);
    CHECK_SIZE(waiting_at(levels[1]), 2);
    CHECK_SIZE(levels[1]->promised_bytes, 0);
    aegis_budget_set_limit(levels[1], 60);
    CHECK(waiting_join(&first) == AEGIS_OK);
    CHECK_SIZE(waiting_at(levels[1]), 1);
    CHECK_SIZE(used(levels[2]), 50);
    CHECK(aegis_budget_uncharge(levels[2], 50) == AEGIS_OK);
    CHECK(waiting_join(&second) == AEGIS_OK);
    check_open(levels[2]);
    CHECK(aegis_budget_uncharge(levels[1], 50) == AEGIS_OK);
    take_apart();
}

static void bytes_of_a_budget_that_is_freed_go_to_the_request_that_waits(void) {
    waiting request;
    make_levels(100, 200, 200);
    aegis_budget *other = aegis_budget_new("other", 100, levels[0]);
    CHECK(aegis_budget_charge(other, 60, NULL) == AEGIS_OK);
    waiting_start(&request, levels[2], 90, LONG_NS, levels[0]);
    (void)aegis_set_report(NULL);
    CHECK(aegis_budget_uncharge(other, 59) == AEGIS_OK);
    CHECK(waiting_join(&request) == AEGIS_OK);
    CHECK(aegis_budget_uncharge(levels[2], 90) == AEGIS_OK);
    CHECK(aegis_budget_charge(other, 59, NULL) == AEGIS_OK);
    waiting_start(&request, levels[2], 90, LONG_NS, levels[0]);
    CHECK(aegis_budget_uncharge(other, 60) == AEGIS_OK);
    aegis_budget_destroy(other);
    CHECK(waiting_join(&request) == AEGIS_OK);
    take_apart();
}

static void closed_budget_ends_all_waiting_beneath_it(void) {
    waiting at_leaf, at_root, other;
    aegis_error error;
    make_levels(100, 90, 50);
    CHECK(aegis_budget_charge(levels[2], 45, NULL) == AEGIS_OK);
    CHECK(aegis_budget_charge(levels[0], 50, NULL) == AEGIS_OK);
    waiting_start(&at_root, levels[1], 20, AEGIS_WAIT_FOREVER, levels[0]);
    waiting_start(&at_leaf, levels[2], 10, AEGIS_WAIT_FOREVER, levels[2]);
    waiting_start(&other, levels[0], 5, LONG_NS, levels[0]);
    aegis_budget_close(levels[1]);
    CHECK(waiting_join(&at_leaf) == AEGIS_E_CLOSED && waiting_join(&at_root) == AEGIS_E_CLOSED);
    CHECK(at_leaf.error.status == AEGIS_E_CLOSED);
    /* A request that only waited behind them gets its room. */
    CHECK(waiting_join(&other) == AEGIS_OK);
    CHECK(aegis_budget_charge(levels[2], 0, &error) == AEGIS_E_CLOSED);
    CHECK(aegis_budget_charge(levels[1], 1, NULL) == AEGIS_E_CLOSED);
    CHECK(error.refused == levels[1]);
    CHECK(aegis_budget_charge_timeout(levels[2], 1, AEGIS_WAIT_FOREVER, NULL) == AEGIS_E_CLOSED);
    aegis_budget_close(levels[1]);
    CHECK_SIZE(used(levels[0]), 100);
    CHECK(aegis_budget_uncharge(levels[2], 45) == AEGIS_OK);
    CHECK_SIZE(used(levels[0]), 55);
    CHECK(aegis_budget_charge(levels[0], 45, NULL) == AEGIS_OK);
    (void)check_tree(levels[0], NULL);
    CHECK(aegis_budget_uncharge(levels[0], 100) == AEGIS_OK);
    check_open(levels[0]);
    destroy_all(levels, 3);
}

/* A guarantee covers a part of the request. So what the middle has promised is more than the
 * request takes in the end, and the rest is room for the one that waits there. */
static void room_that_a_promise_leaves_is_given_to_the_next(void) {
    waiting first, second;
    make_levels(60, 100, AEGIS_BUDGET_UNLIMITED);
    aegis_budget *other = aegis_budget_new("other", 100, levels[0]);
    CHECK(aegis_budget_set_guarantee(levels[2], 50, NULL) == AEGIS_OK);
    CHECK(aegis_budget_charge(other, 10, NULL) == AEGIS_OK);
    waiting_start(&first, levels[2], 60, LONG_NS, levels[0]);
    waiting_start(&second, levels[1], 30, LONG_NS, levels[1]);
    CHECK(aegis_budget_uncharge(other, 10) == AEGIS_OK);
    CHECK(waiting_join(&first) == AEGIS_OK);
    await_waiting(levels[0], 1);
    CHECK_SIZE(waiting_at(levels[1]), 0);
    CHECK(aegis_budget_uncharge(levels[2], 60) == AEGIS_OK);
    CHECK_SIZE(waiting_at(levels[0]), 1);
    CHECK(aegis_budget_set_guarantee(levels[2], 0, NULL) == AEGIS_OK);
    CHECK(waiting_join(&second) == AEGIS_OK);
    aegis_budget_destroy(other);
    take_apart();
}

/* Checks what the root has counted. A thread and a poll count alike. */
static void check_counts(uint64_t refused_count, uint64_t wait_count, uint64_t timeout_count) {
    aegis_budget_figures figures = figures_of(levels[0]);
    CHECK(figures.refused_count == refused_count && figures.wait_count == wait_count &&
          figures.timeout_count == timeout_count);
}

static void thread_that_waits_counts_as_refused_only_if_it_ends_so(void) {
    waiting request;
    make_levels(100, 200, 200);
    CHECK(aegis_budget_charge(levels[0], 80, NULL) == AEGIS_OK);
    waiting_start(&request, levels[2], 50, LONG_NS, levels[0]);
    check_counts(0, 1, 0);
    CHECK(aegis_budget_uncharge(levels[0], 30) == AEGIS_OK);
    CHECK(waiting_join(&request) == AEGIS_OK);
    check_counts(0, 1, 0);
    waiting_start(&request, levels[2], 50, LONG_NS, levels[0]);
    aegis_budget_set_limit(levels[0], 40);
    CHECK(waiting_join(&request) == AEGIS_E_LIMIT_EXCEEDED);
    check_counts(1, 2, 0);
    CHECK(aegis_budget_charge_timeout(levels[2], 41, LONG_NS, NULL) == AEGIS_E_LIMIT_EXCEEDED);
    check_counts(2, 2, 0);
    CHECK(aegis_budget_charge_timeout(levels[2], 40, 1, NULL) == AEGIS_E_LIMIT_EXCEEDED);
    check_counts(3, 3, 1);
    take_apart();
}

static void *charge_patiently(void *patience) {
    aegis_i_refusal why;
    CHECK(aegis_i_budget_charge_patiently(levels[2], 50, (aegis_i_patience *)patience, &why) ==
          AEGIS_OK);
    return NULL;
}

/* An object whose request needs a second charge does not wait the whole time again. */
static void charge_takes_what_it_has_waited_off_the_time(void) {
    aegis_i_patience patience = {LONG_NS, NULL, NULL, NULL, NULL, false, NULL};
    pthread_t thread;
    make_levels(100, 200, 200);
    CHECK(aegis_budget_charge(levels[0], 80, NULL) == AEGIS_OK);
    CHECK(pthread_create(&thread, NULL, charge_patiently, &patience) == 0);
    await_waiting(levels[0], 1);
    uint64_t begin_ns = aegis_i_now_ns();
    while (aegis_i_now_ns() == begin_ns)
        sched_yield();
    CHECK(aegis_budget_uncharge(levels[0], 30) == AEGIS_OK);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(patience.wait_ns < LONG_NS);
    take_apart();
}

static aegis_status poll_once(aegis_budget_request **request, size_t size_bytes) {
    aegis_error error;
    aegis_status status =
        aegis_budget_poll_charge(levels[2], size_bytes, request, NULL, NULL, &error);
    CHECK((status == AEGIS_PENDING) == (*request != NULL));
    return status;
}

static void poll_that_waits_counts_as_refused_only_if_it_ends_so(void) {
    aegis_budget_request *request = NULL;
    make_levels(100, 200, 200);
    CHECK(aegis_budget_charge(levels[0], 80, NULL) == AEGIS_OK);
    CHECK(poll_once(&request, 50) == AEGIS_PENDING && poll_once(&request, 50) == AEGIS_PENDING);
    check_counts(0, 1, 0);
    CHECK(aegis_budget_uncharge(levels[0], 30) == AEGIS_OK);
    CHECK(poll_once(&request, 50) == AEGIS_OK);
    check_counts(0, 1, 0);
    CHECK(poll_once(&request, 50) == AEGIS_PENDING);
    aegis_budget_set_limit(levels[0], 40);
    CHECK(poll_once(&request, 50) == AEGIS_E_LIMIT_EXCEEDED);
    check_counts(1, 2, 0);
    CHECK(poll_once(&request, 41) == AEGIS_E_LIMIT_EXCEEDED);
    check_counts(2, 2, 0);
    /* One that is cancelled has not ended refused. */
    CHECK(poll_once(&request, 40) == AEGIS_PENDING);
    (void)aegis_budget_request_cancel(request);
    check_counts(2, 3, 0);
    take_apart();
}

/* AddressSanitizer does not notice that the stack of a cancelled wait goes. */
#if !defined(TEST_ASAN) && !defined(_WIN32)

static void cancelled_thread_leaves_the_queue_and_gives_its_promises_back(void) {
    waiting first, second;
    void *result = NULL;
    make_levels(100, 70, 200);
    CHECK(aegis_budget_charge(levels[0], 60, NULL) == AEGIS_OK);
    waiting_start(&first, levels[2], 60, AEGIS_WAIT_FOREVER, levels[0]);
    waiting_start(&second, levels[1], 40, LONG_NS, levels[1]);
    CHECK(pthread_cancel(first.thread) == 0);
    CHECK(pthread_join(first.thread, &result) == 0 && result == PTHREAD_CANCELED);
    CHECK(waiting_join(&second) == AEGIS_OK);
    CHECK_SIZE(used(levels[0]), 100);
    CHECK_SIZE(used(levels[2]), 0);
    check_open(levels[2]);
    take_apart();
}

/* Whether the grant or the cancellation comes first: no byte is lost. */
static void cancellation_beside_a_grant_loses_nothing(void) {
    make_levels(100, 200, 200);
    for (size_t i = 0; i < scaled(300); i++) {
        waiting request;
        void *result = NULL;
        CHECK(aegis_budget_charge(levels[0], 100, NULL) == AEGIS_OK);
        waiting_start(&request, levels[2], 10, AEGIS_WAIT_FOREVER, levels[0]);
        CHECK(pthread_cancel(request.thread) == 0);
        CHECK(aegis_budget_uncharge(levels[0], 100) == AEGIS_OK);
        CHECK(pthread_join(request.thread, &result) == 0);
        bool cancelled_waiting = request.status == AEGIS_PENDING;
        CHECK_SIZE(used(levels[2]), cancelled_waiting ? 0 : 10);
        CHECK(aegis_budget_uncharge(levels[2], used(levels[2])) == AEGIS_OK);
        check_open(levels[2]);
    }
    take_apart();
}

static size_t wake_count;

/* A waker that is a cancellation point, as one that writes to a file is. */
static void wake_at_a_cancellation_point(void *unused) {
    (void)unused;
    wake_count++;
    pthread_testcancel();
}

static void *uncharge_and_end(void *budget) {
    CHECK(pthread_cancel(pthread_self()) == 0);
    CHECK(aegis_budget_uncharge((aegis_budget *)budget, 60) == AEGIS_OK);
    pthread_testcancel();
    return NULL;
}

static void thread_that_is_cancelled_in_a_waker_calls_the_others_first(void) {
    aegis_budget_request *requests[2] = {NULL, NULL};
    pthread_t thread;
    void *result = NULL;
    make_levels(100, 200, 200);
    CHECK(aegis_budget_charge(levels[0], 100, NULL) == AEGIS_OK);
    for (size_t i = 0; i < 2; i++)
        CHECK(aegis_budget_poll_charge(levels[2], 30, &requests[i], wake_at_a_cancellation_point,
                                       NULL, NULL) == AEGIS_PENDING);
    wake_count = 0;
    CHECK(pthread_create(&thread, NULL, uncharge_and_end, levels[0]) == 0);
    CHECK(pthread_join(thread, &result) == 0 && result == PTHREAD_CANCELED);
    CHECK_SIZE(wake_count, 2);
    for (size_t i = 0; i < 2; i++)
        CHECK(aegis_budget_poll_charge(levels[2], 30, &requests[i], NULL, NULL, NULL) == AEGIS_OK);
    take_apart();
}

#endif

int main(void) {
    check_alarm(300);
    RUN(charge_that_waits_gets_what_becomes_free);
    RUN(charge_that_has_room_or_must_not_wait_does_not_wait);
    RUN(end_of_the_time_leaves_every_counter_as_it_was);
    RUN(requests_get_room_in_the_order_in_which_they_came);
    RUN(large_request_is_not_starved_by_small_ones);
    RUN(request_behind_one_whose_time_is_up_gets_the_room);
    RUN(request_goes_from_queue_to_queue_up_the_tree);
    RUN(raised_limit_serves_the_queue);
    RUN(request_for_more_than_a_limit_does_not_wait);
    RUN(lowered_limit_holds_for_requests_that_wait_further_up);
    RUN(bytes_of_a_budget_that_is_freed_go_to_the_request_that_waits);
    RUN(closed_budget_ends_all_waiting_beneath_it);
    RUN(room_that_a_promise_leaves_is_given_to_the_next);
    RUN(thread_that_waits_counts_as_refused_only_if_it_ends_so);
    RUN(charge_takes_what_it_has_waited_off_the_time);
    RUN(poll_that_waits_counts_as_refused_only_if_it_ends_so);
#if !defined(TEST_ASAN) && !defined(_WIN32)
    RUN(cancelled_thread_leaves_the_queue_and_gives_its_promises_back);
    RUN(cancellation_beside_a_grant_loses_nothing);
    RUN(thread_that_is_cancelled_in_a_waker_calls_the_others_first);
#endif
    return check_finish();
}
