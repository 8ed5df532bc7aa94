/* SPDX-License-Identifier: Apache-2.0 */
/* Tests reclaimers: which are asked, in which order, for how much, and that each is asked once;
 * what a reclaimer may do while it runs; how it ends. Threads that are refused at once are in
 * budget_reclaim_threads_test.c. */
#include "reclaim_support.h"

static aegis_budget *root;
static cache caches[4];
static size_t wake_count;

static void count_wake(void *unused) {
    (void)unused;
    wake_count++;
}

/* A root with a cache in each of `count` children, of 10, 20, ... bytes. */
static void make_caches(size_t root_limit, size_t count) {
    log_count = 0;
    root = aegis_budget_new("root", root_limit, NULL);
    for (size_t i = 0; i < count; i++)
        cache_make(&caches[i], root, AEGIS_BUDGET_UNLIMITED, 10 * (i + 1), 0, 0);
}

static void take_apart(size_t count) {
    for (size_t i = 0; i < count; i++)
        cache_end(&caches[i]);
    (void)check_tree(root, NULL);
    CHECK(aegis_budget_uncharge(root, used(root)) == AEGIS_OK);
    aegis_budget_destroy(root);
}

static void reclaimers_are_asked_by_priority_then_by_use_until_there_is_room(void) {
    log_count = 0;
    root = aegis_budget_new("root", 100, NULL);
    static const int32_t priorities[] = {5, -3, 5, 7};
    for (size_t i = 0; i < 4; i++)
        cache_make(&caches[i], root, AEGIS_BUDGET_UNLIMITED, 10 * (i + 1), priorities[i], 0);
    CHECK(aegis_budget_charge(root, 55, NULL) == AEGIS_OK);
    CHECK_SIZE(used(root), 100);
    /* First the one of 20 bytes with the lowest number, then that of 30, then that of 10. */
    CHECK_SIZE(log_count, 3);
    CHECK(log_of[0].from == &caches[1] && log_of[1].from == &caches[2]);
    CHECK(log_of[2].from == &caches[0]);
    CHECK_SIZE(log_of[0].wanted_bytes, 20);
    CHECK_SIZE(log_of[1].wanted_bytes, 30);
    CHECK_SIZE(log_of[2].wanted_bytes, 5);
    take_apart(4);
}

static void enough_is_freed_by_one_call_when_one_has_enough(void) {
    make_caches(100, 4);
    CHECK(aegis_budget_charge(root, 1, NULL) == AEGIS_OK);
    CHECK_SIZE(log_count, 1);
    CHECK(log_of[0].from == &caches[3]);
    CHECK_SIZE(log_of[0].wanted_bytes, 1);
    CHECK_SIZE(used(root), 100);
    take_apart(4);
}

static void only_those_beneath_the_budget_that_refuses_are_asked(void) {
    aegis_error error;
    make_caches(1000, 2);
    aegis_budget *narrow = aegis_budget_new("narrow", 50, root);
    cache_make(&caches[2], narrow, AEGIS_BUDGET_UNLIMITED, 30, 0, 0);
    CHECK(aegis_budget_charge(narrow, 40, NULL) == AEGIS_OK);
    CHECK_SIZE(log_count, 1);
    CHECK(log_of[0].from == &caches[2]);
    CHECK_SIZE(log_of[0].wanted_bytes, 20);
    CHECK(aegis_budget_charge(narrow, 11, &error) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK_SIZE(error.in_use_bytes, 40);
    CHECK_SIZE(used(caches[2].budget), 0);
    CHECK(aegis_budget_uncharge(narrow, 40) == AEGIS_OK);
    cache_end(&caches[2]);
    aegis_budget_destroy(narrow);
    take_apart(2);
}

static void request_larger_than_the_limit_asks_no_reclaimer(void) {
    make_caches(100, 4);
    CHECK(aegis_budget_charge(root, 101, NULL) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK_SIZE(log_count, 0);
    CHECK(aegis_budget_charge(root, 100, NULL) == AEGIS_OK);
    CHECK_SIZE(log_count, 4);
    take_apart(4);
}

static void own_reclaimer_is_asked_last_or_not_at_all(void) {
    aegis_error error;
    log_count = 0;
    root = aegis_budget_new("root", 100, NULL);
    cache_make(&caches[0], root, AEGIS_BUDGET_UNLIMITED, 60, -9, 0);
    cache_make(&caches[1], root, AEGIS_BUDGET_UNLIMITED, 40, 9, AEGIS_RECLAIM_OWN_LAST);
    CHECK(aegis_budget_charge(caches[0].budget, 30, NULL) == AEGIS_OK);
    CHECK_SIZE(log_count, 1);
    CHECK(log_of[0].from == &caches[1]);
    CHECK(aegis_budget_charge(caches[0].budget, 20, &error) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK_SIZE(log_count, 2);
    CHECK_SIZE(caches[0].held_bytes, 60);
    CHECK(error.refusal == AEGIS_REFUSED_LIMIT);
    CHECK(aegis_budget_charge(caches[1].budget, 10, NULL) == AEGIS_OK);
    CHECK(aegis_budget_uncharge(caches[0].budget, 30) == AEGIS_OK);
    caches[1].held_bytes = 10;
    CHECK(aegis_budget_charge(caches[1].budget, 95, NULL) == AEGIS_OK);
    CHECK(log_of[log_count - 1].from == &caches[1] && log_of[log_count - 2].from == &caches[0]);
    CHECK_SIZE(used(caches[1].budget), 100);
    CHECK(aegis_budget_uncharge(caches[1].budget, 95) == AEGIS_OK);
    take_apart(2);
}

static void guaranteed_bytes_are_reclaimed_only_for_their_own_budget(void) {
    aegis_error error;
    log_count = 0;
    root = aegis_budget_new("root", 100, NULL);
    aegis_budget *query = aegis_budget_new("query", AEGIS_BUDGET_UNLIMITED, root);
    CHECK(aegis_budget_set_guarantee(query, 50, NULL) == AEGIS_OK);
    cache_make(&caches[0], query, AEGIS_BUDGET_UNLIMITED, 60, 0, 0);
    CHECK(aegis_budget_charge(root, 40, NULL) == AEGIS_OK);
    CHECK(aegis_budget_charge(root, 11, &error) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK_SIZE(log_of[0].wanted_bytes, 10);
    CHECK_SIZE(used(query), 50);
    CHECK(aegis_budget_charge(root, 10, NULL) == AEGIS_OK);
    CHECK_SIZE(log_count, 1);
    /* The operator is in the same query, so the guarantee is its own. */
    aegis_budget *op = aegis_budget_new("operator", AEGIS_BUDGET_UNLIMITED, query);
    CHECK(aegis_budget_charge(op, 45, NULL) == AEGIS_OK);
    CHECK_SIZE(log_count, 2);
    CHECK_SIZE(log_of[1].wanted_bytes, 45);
    CHECK_SIZE(used(query), 50);
    CHECK_SIZE(used(root), 100);
    CHECK(aegis_budget_uncharge(op, 45) == AEGIS_OK);
    aegis_budget_destroy(op);
    cache_end(&caches[0]);
    (void)check_tree(root, NULL);
    aegis_budget_destroy(query);
    take_apart(0);
}

static void what_a_reclaimer_says_is_not_believed(void) {
    make_caches(100, 4);
    caches[3].does = LIES;
    caches[2].does = FREES_ALL;
    CHECK(aegis_budget_charge(root, 5, NULL) == AEGIS_OK);
    CHECK_SIZE(log_count, 2);
    CHECK_SIZE(used(caches[3].budget), 40);
    CHECK_SIZE(used(caches[2].budget), 0);
    CHECK_SIZE(used(root), 75);
    take_apart(4);
}

static void reclaimer_without_anything_is_asked_once_and_the_charge_refused(void) {
    aegis_error error;
    make_caches(100, 4);
    for (size_t i = 0; i < 4; i++)
        caches[i].does = FREES_NOTHING;
    CHECK(aegis_budget_charge(root, 5, &error) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK_SIZE(log_count, 4);
    CHECK_SIZE(error.in_use_bytes, 100);
    take_apart(4);
}

static void charge_inside_a_reclaimer_is_refused_as_nested(void) {
    make_caches(100, 4);
    caches[3].does = CHARGES;
    CHECK(aegis_budget_charge(root, 5, NULL) == AEGIS_OK);
    CHECK(caches[3].inner.status == AEGIS_E_LIMIT_EXCEEDED);
    CHECK(caches[3].inner.refusal == AEGIS_REFUSED_NESTED);
    CHECK_SIZE(log_count, 2);
    take_apart(4);
}

/* Even where a request waits already, the reclaimer does not wait. */
static void charge_inside_a_reclaimer_does_not_wait_in_a_queue(void) {
    waiting request;
    make_caches(100, 4);
    aegis_budget *queued = aegis_budget_new("queued", 20, root);
    CHECK(aegis_budget_charge(queued, 10, NULL) == AEGIS_OK);
    waiting_start(&request, queued, 11, LONG_NS, queued);
    caches[3].does = CHARGES;
    caches[3].charged = queued;
    CHECK(aegis_budget_charge(root, 5, NULL) == AEGIS_OK);
    CHECK(caches[3].inner.status == AEGIS_E_LIMIT_EXCEEDED);
    CHECK(caches[3].inner.refusal == AEGIS_REFUSED_NESTED);
    aegis_budget_close(queued);
    CHECK(waiting_join(&request) == AEGIS_E_CLOSED);
    CHECK(aegis_budget_uncharge(queued, 10) == AEGIS_OK);
    aegis_budget_destroy(queued);
    take_apart(4);
}

static void charge_inside_a_reclaimer_that_fits_succeeds(void) {
    make_caches(100, 4);
    aegis_budget *elsewhere = aegis_budget_new("elsewhere", 1000, NULL);
    caches[3].does = CHARGES;
    caches[3].charged = elsewhere;
    CHECK(aegis_budget_charge(root, 5, NULL) == AEGIS_OK);
    CHECK_SIZE(used(elsewhere), CHARGED_INSIDE);
    CHECK(aegis_budget_uncharge(elsewhere, CHARGED_INSIDE) == AEGIS_OK);
    aegis_budget_destroy(elsewhere);
    take_apart(4);
}

/* Two trees whose reclaimers charge each other: the recursion ends at the third charge. The one
 * that waits asks twice. */
static void reclaimers_of_two_trees_that_charge_each_other_come_to_an_end(void) {
    make_caches(100, 0);
    aegis_budget *second = aegis_budget_new("second", 100, NULL);
    cache_make(&caches[0], root, AEGIS_BUDGET_UNLIMITED, 100, 0, 0);
    cache_make(&caches[1], second, AEGIS_BUDGET_UNLIMITED, 100, 0, 0);
    caches[0].does = caches[1].does = CHARGES;
    caches[0].charged = second;
    /* It is another tree, so this one waits. */
    caches[0].timeout_ns = NS_PER_MS;
    caches[1].charged = root;
    CHECK(aegis_budget_charge(root, 5, NULL) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK_SIZE(log_count, 3);
    CHECK(caches[1].inner.refusal == AEGIS_REFUSED_NESTED);
    CHECK(caches[0].inner.refusal == AEGIS_REFUSED_LIMIT && caches[0].inner.refused == second);
    cache_end(&caches[1]);
    aegis_budget_destroy(second);
    take_apart(1);
}

static void reclaimer_may_remove_itself_and_is_destroyed_after_its_call(void) {
    make_caches(100, 4);
    caches[3].does = REMOVES_ITSELF;
    CHECK(aegis_budget_charge(root, 50, NULL) == AEGIS_OK);
    CHECK_SIZE(caches[3].destroy_count, 1);
    CHECK(!caches[3].destroyed_inside);
    CHECK(aegis_budget_charge(root, 50, NULL) == AEGIS_OK);
    for (size_t i = 0; i < log_count; i++)
        CHECK(i == 0 || log_of[i].from != &caches[3]);
    take_apart(4);
}

/* Otherwise a reclaimer that registers another one at each call would never let the charge end. */
static void reclaimer_that_is_registered_by_another_is_not_asked_for_the_same_charge(void) {
    make_caches(100, 4);
    caches[3].does = REGISTERS;
    CHECK(aegis_budget_charge(root, 70, NULL) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK_SIZE(log_count, 4);
    size_t registered_count = caches[3].registered_count;
    CHECK_SIZE(registered_count, 1);
    take_apart(4);
    CHECK_SIZE(caches[3].destroy_count, 1 + registered_count);
}

static void reclaimer_may_destroy_the_budget_that_it_belongs_to(void) {
    make_caches(100, 3);
    CHECK(aegis_budget_charge(root, 40, NULL) == AEGIS_OK);
    aegis_budget_reclaimer_remove(caches[2].handle);
    caches[2].handle = NULL;
    CHECK_SIZE(caches[2].destroy_count, 1);
    /* Without a handle the reclaimer lives as long as the budget. */
    caches[2].does = DESTROYS_BUDGET;
    CHECK(aegis_budget_on_reclaim(caches[2].budget, 0, 0, cache_reclaim, cache_destroyed,
                                  &caches[2], NULL) == AEGIS_OK);
    CHECK(aegis_budget_charge(root, 25, NULL) == AEGIS_OK);
    CHECK_SIZE(caches[2].destroy_count, 2);
    CHECK(!caches[2].destroyed_inside && caches[2].budget == NULL);
    CHECK_SIZE(used(root), 95);
    take_apart(2);
}

static void handle_keeps_the_budget(void) {
    root = aegis_budget_new("root", 100, NULL);
    cache_make(&caches[0], root, 50, 10, 0, 0);
    aegis_budget_destroy(caches[0].budget);
    CHECK_SIZE(caches[0].destroy_count, 0);
    CHECK(aegis_budget_charge(root, 95, NULL) == AEGIS_OK);
    CHECK_SIZE(caches[0].held_bytes, 5);
    CHECK(aegis_budget_uncharge(caches[0].budget, 5) == AEGIS_OK);
    aegis_budget_reclaimer_remove(caches[0].handle);
    CHECK_SIZE(caches[0].destroy_count, 1);
    aegis_budget_reclaimer_remove(NULL);
    take_apart(0);
}

static void wrong_arguments_register_nothing(void) {
    aegis_budget_reclaimer *handle = NULL;
    make_caches(100, 0);
    CHECK(aegis_budget_on_reclaim(root, 0, 0, NULL, cache_destroyed, &caches[0], &handle) ==
          AEGIS_E_INVALID);
    CHECK(aegis_budget_on_reclaim(root, 0, 2, cache_reclaim, cache_destroyed, &caches[0],
                                  &handle) == AEGIS_E_INVALID);
    CHECK(handle == NULL);
    take_apart(0);
}

static void lowered_limit_asks_the_reclaimers(void) {
    make_caches(100, 4);
    aegis_budget_set_limit(root, 75);
    CHECK_SIZE(used(root), 75);
    CHECK_SIZE(log_count, 1);
    CHECK_SIZE(log_of[0].wanted_bytes, 25);
    aegis_budget_set_limit(root, 0);
    CHECK_SIZE(used(root), 0);
    CHECK_SIZE(log_count, 5);
    aegis_budget_set_limit(root, AEGIS_BUDGET_UNLIMITED);
    CHECK_SIZE(log_count, 5);
    take_apart(4);
}

/* A charge that two budgets refuse, one after the other: the reclaimers of each are asked. */
static void second_budget_that_refuses_reclaims_too(void) {
    make_caches(100, 1);
    aegis_budget *narrow = aegis_budget_new("narrow", 50, root);
    CHECK(aegis_budget_charge(root, 40, NULL) == AEGIS_OK);
    cache_make(&caches[1], narrow, AEGIS_BUDGET_UNLIMITED, 50, 1, 0);
    caches[1].does = MAKES_ROOM_LATE;
    caches[1].other = root;
    /* The narrow budget refuses first: its only reclaimer is asked, and fills the root. */
    CHECK(aegis_budget_charge(narrow, 10, NULL) == AEGIS_OK);
    CHECK_SIZE(log_count, 2);
    CHECK(log_of[0].from == &caches[1] && log_of[1].from == &caches[0]);
    CHECK_SIZE(used(root), 100);
    CHECK(aegis_budget_uncharge(narrow, 10) == AEGIS_OK);
    cache_end(&caches[1]);
    aegis_budget_destroy(narrow);
    take_apart(1);
}

/* A request that has waited at one budget is then refused by another. */
static void request_that_comes_to_another_queue_reclaims_there(void) {
    waiting request;
    make_caches(100, 0);
    aegis_budget *narrow = aegis_budget_new("narrow", 20, root);
    cache_make(&caches[0], root, AEGIS_BUDGET_UNLIMITED, 80, 0, 0);
    CHECK(aegis_budget_charge(root, 10, NULL) == AEGIS_OK);
    CHECK(aegis_budget_charge(narrow, 10, NULL) == AEGIS_OK);
    waiting_start(&request, narrow, 20, LONG_NS, narrow);
    CHECK_SIZE(log_count, 0);
    CHECK(aegis_budget_uncharge(narrow, 10) == AEGIS_OK);
    CHECK(waiting_join(&request) == AEGIS_OK);
    CHECK_SIZE(log_count, 1);
    CHECK_SIZE(log_of[0].wanted_bytes, 10);
    CHECK_SIZE(used(root), 100);
    CHECK(aegis_budget_uncharge(narrow, 20) == AEGIS_OK);
    check_open(narrow);
    aegis_budget_destroy(narrow);
    take_apart(1);
}

/* What it asked for before it waited may have gone to other charges, and the cache may have grown
 * again. From now on it is the next, so it asks once more. */
static void request_asks_again_once_it_is_the_first_that_waits(void) {
    make_caches(100, 0);
    cache_make(&caches[0], root, AEGIS_BUDGET_UNLIMITED, 100, 0, 0);
    caches[0].does = FREES_NEXT_TIME;
    CHECK(aegis_budget_charge_timeout(root, 60, LONG_NS, NULL) == AEGIS_OK);
    CHECK_SIZE(log_count, 2);
    aegis_budget_request *polled = NULL;
    caches[0].does = FREES_NEXT_TIME;
    CHECK(aegis_budget_poll_charge(root, 30, &polled, count_wake, NULL, NULL) == AEGIS_OK);
    CHECK(polled == NULL);
    CHECK_SIZE(log_count, 4);
    check_open(root);
    take_apart(1);
}

/* Its pages were pinned when it was asked. */
static void cache_that_can_free_more_is_asked_again(void) {
    waiting request;
    aegis_budget_request *polled = NULL;
    make_caches(100, 0);
    cache_make(&caches[0], root, AEGIS_BUDGET_UNLIMITED, 100, 0, 0);
    caches[0].does = FREES_NOTHING;
    aegis_budget_reclaimer_notify(caches[0].handle);
    CHECK_SIZE(log_count, 0);
    wake_count = 0;
    CHECK(aegis_budget_poll_charge(root, 40, &polled, count_wake, NULL, NULL) == AEGIS_PENDING);
    waiting_start(&request, root, 30, LONG_NS, root);
    caches[0].does = FREES;
    aegis_budget_reclaimer_notify(caches[0].handle);
    CHECK_SIZE(wake_count, 1);
    CHECK(aegis_budget_poll_charge(root, 40, &polled, count_wake, NULL, NULL) == AEGIS_OK);
    CHECK(waiting_join(&request) == AEGIS_OK);
    CHECK_SIZE(atomic_load(&caches[0].held_bytes), 30);
    aegis_budget_reclaimer_notify(NULL);
    check_open(root);
    take_apart(1);
}

static void request_that_becomes_the_first_asks(void) {
    waiting request;
    aegis_budget_request *first = NULL, *second = NULL;
    make_caches(100, 0);
    cache_make(&caches[0], root, AEGIS_BUDGET_UNLIMITED, 100, 0, 0);
    caches[0].does = FREES_NOTHING;
    wake_count = 0;
    CHECK(aegis_budget_poll_charge(root, 50, &first, count_wake, NULL, NULL) == AEGIS_PENDING);
    CHECK(aegis_budget_poll_charge(root, 40, &second, count_wake, NULL, NULL) == AEGIS_PENDING);
    waiting_start(&request, root, 30, LONG_NS, root);
    caches[0].does = FREES;
    /* The second of them is polled as soon as its waker is called. */
    CHECK(aegis_budget_request_cancel(first));
    CHECK_SIZE(wake_count, 1);
    CHECK(aegis_budget_poll_charge(root, 40, &second, count_wake, NULL, NULL) == AEGIS_OK);
    CHECK(waiting_join(&request) == AEGIS_OK);
    CHECK_SIZE(atomic_load(&caches[0].held_bytes), 30);
    check_open(root);
    take_apart(1);
}

/* Says in each call that it can free more, and frees nothing. */
static size_t promise_more(void *handle, size_t wanted_bytes) {
    (void)wanted_bytes;
    aegis_budget_reclaimer_notify(*(aegis_budget_reclaimer **)handle);
    return 0;
}

static void cache_that_always_says_it_can_free_more_keeps_no_request_from_its_end(void) {
    aegis_budget_reclaimer *handle;
    aegis_budget_request *polled = NULL;
    make_caches(100, 1);
    caches[0].does = FREES_NOTHING;
    CHECK(aegis_budget_on_reclaim(caches[0].budget, 0, 0, promise_more, NULL, (void *)&handle,
                                  &handle) == AEGIS_OK);
    CHECK(aegis_budget_charge_timeout(root, 95, 5 * NS_PER_MS, NULL) == AEGIS_E_LIMIT_EXCEEDED);
    wake_count = 0;
    CHECK(aegis_budget_poll_charge(root, 95, &polled, count_wake, NULL, NULL) == AEGIS_PENDING);
    /* The next poll asks again. */
    CHECK_SIZE(wake_count, 1);
    aegis_budget_reclaimer_remove(handle);
    CHECK(aegis_budget_poll_charge(root, 95, &polled, count_wake, NULL, NULL) == AEGIS_PENDING);
    CHECK_SIZE(wake_count, 1);
    CHECK(aegis_budget_request_cancel(polled));
    check_open(root);
    take_apart(1);
}

static aegis_error inner_error;
static size_t pressure_count;

static void charge_again(void *context, size_t used_bytes, size_t limit_bytes) {
    if (used_bytes <= limit_bytes)
        return; /* A charge that succeeded has reached the threshold. */
    pressure_count++;
    CHECK(aegis_budget_charge_timeout((aegis_budget *)context, 50, AEGIS_WAIT_FOREVER,
                                      &inner_error) == AEGIS_E_LIMIT_EXCEEDED);
}

static void pressure_function_runs_after_the_reclaimers_and_never_waits(void) {
    make_caches(100, 0);
    CHECK(aegis_budget_on_pressure(root, 100, charge_again, NULL, root) == AEGIS_OK);
    CHECK(aegis_budget_charge(root, 60, NULL) == AEGIS_OK);
    CHECK(aegis_budget_charge(root, 50, NULL) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK_SIZE(pressure_count, 1);
    CHECK(inner_error.refusal == AEGIS_REFUSED_NESTED);
    cache_make(&caches[0], root, AEGIS_BUDGET_UNLIMITED, 40, 0, 0);
    CHECK(aegis_budget_charge(root, 40, NULL) == AEGIS_OK);
    CHECK_SIZE(pressure_count, 1);
    CHECK(aegis_budget_charge(root, 50, NULL) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK_SIZE(pressure_count, 2);
    take_apart(1);
}

int main(void) {
    check_alarm(300);
    RUN(reclaimers_are_asked_by_priority_then_by_use_until_there_is_room);
    RUN(enough_is_freed_by_one_call_when_one_has_enough);
    RUN(only_those_beneath_the_budget_that_refuses_are_asked);
    RUN(request_larger_than_the_limit_asks_no_reclaimer);
    RUN(own_reclaimer_is_asked_last_or_not_at_all);
    RUN(guaranteed_bytes_are_reclaimed_only_for_their_own_budget);
    RUN(what_a_reclaimer_says_is_not_believed);
    RUN(reclaimer_without_anything_is_asked_once_and_the_charge_refused);
    RUN(charge_inside_a_reclaimer_is_refused_as_nested);
    RUN(charge_inside_a_reclaimer_does_not_wait_in_a_queue);
    RUN(charge_inside_a_reclaimer_that_fits_succeeds);
    RUN(reclaimers_of_two_trees_that_charge_each_other_come_to_an_end);
    RUN(reclaimer_may_remove_itself_and_is_destroyed_after_its_call);
    RUN(reclaimer_that_is_registered_by_another_is_not_asked_for_the_same_charge);
    RUN(reclaimer_may_destroy_the_budget_that_it_belongs_to);
    RUN(handle_keeps_the_budget);
    RUN(wrong_arguments_register_nothing);
    RUN(lowered_limit_asks_the_reclaimers);
    RUN(second_budget_that_refuses_reclaims_too);
    RUN(request_that_comes_to_another_queue_reclaims_there);
    RUN(request_asks_again_once_it_is_the_first_that_waits);
    RUN(request_that_becomes_the_first_asks);
    RUN(cache_that_can_free_more_is_asked_again);
    RUN(cache_that_always_says_it_can_free_more_keeps_no_request_from_its_end);
    RUN(pressure_function_runs_after_the_reclaimers_and_never_waits);
    return check_finish();
}
