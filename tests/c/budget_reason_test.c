/* SPDX-License-Identifier: Apache-2.0 */
/* Tests what a budget says of a refusal by its reason, word for word, and what it reports of its
 * terms. A request from inside a reclaimer or a pressure function never waits. */
#include "budget_support.h"

#include <pthread.h>

#define TEXT_BYTES 512

/* Demands that a charge is refused for this reason, with this sentence. */
static void expect_refusal(aegis_budget *budget, size_t size_bytes, uint32_t reason,
                           const char *sentence) {
    aegis_error error;
    aegis_budget_refusal refusal;
    char text[TEXT_BYTES];
    CHECK(aegis_budget_charge(budget, size_bytes, &error) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK_SIZE(error.refusal, reason);
    CHECK(error.needed_bytes + error.in_use_bytes > error.limit_bytes);
    aegis_budget_get_refusal(&error, &refusal);
    CHECK_SIZE(refusal.reason, reason);
    (void)aegis_error_explain(&error, text, sizeof text);
    CHECK(strcmp(text, sentence) == 0);
    if (strcmp(text, sentence) != 0)
        fprintf(stderr, "    %s\n    %s\n", text, sentence);
}

static void limit_share_and_guarantee_are_told_apart(void) {
    aegis_budget *root = aegis_budget_new("root", 100, NULL);
    CHECK(aegis_budget_set_policy(root, AEGIS_BUDGET_FAIR, NULL) == AEGIS_OK);
    aegis_budget *a = aegis_budget_new("a", 30, root);
    aegis_budget *b = aegis_budget_new("b", 100, root);
    aegis_budget *free_child = aegis_budget_new("free", 100, root);
    CHECK(aegis_budget_set_weight(free_child, 0, NULL) == AEGIS_OK);
    CHECK(aegis_budget_charge(b, 40, NULL) == AEGIS_OK);
    expect_refusal(a, 31, AEGIS_REFUSED_LIMIT,
                   "budget 'a' refused 31 bytes: limit 30 bytes, 0 bytes in use");
    expect_refusal(b, 11, AEGIS_REFUSED_SHARE,
                   "budget 'b' refused 11 bytes: its fair share is 50 bytes, 40 bytes in use");
    CHECK(aegis_budget_set_guarantee(a, 20, NULL) == AEGIS_OK);
    expect_refusal(free_child, 41, AEGIS_REFUSED_GUARANTEE,
                   "budget 'root' refused 41 bytes: limit 100 bytes, 60 bytes in use or "
                   "guaranteed; largest: 'b' 40 bytes");
    expect_refusal(free_child, 61, AEGIS_REFUSED_LIMIT,
                   "budget 'root' refused 61 bytes: limit 100 bytes, 60 bytes in use; largest: "
                   "'b' 40 bytes");
    CHECK(aegis_budget_uncharge(b, 40) == AEGIS_OK);
    aegis_budget_destroy(free_child);
    aegis_budget_destroy(b);
    aegis_budget_destroy(a);
    aegis_budget_destroy(root);
}

static void terms_are_those_that_were_set(void) {
    aegis_budget *root = aegis_budget_new("root", 100, NULL);
    aegis_budget_terms terms;
    CHECK(aegis_budget_set_policy(root, AEGIS_BUDGET_FAIR, NULL) == AEGIS_OK);
    aegis_budget *a = aegis_budget_new("a", AEGIS_BUDGET_UNLIMITED, root);
    aegis_budget *b = aegis_budget_new("b", 35, root);
    CHECK(aegis_budget_set_guarantee(a, 20, NULL) == AEGIS_OK);
    CHECK(aegis_budget_set_weight(a, 300, NULL) == AEGIS_OK);
    aegis_budget_get_terms(root, &terms);
    CHECK_SIZE(terms.policy, AEGIS_BUDGET_FAIR);
    CHECK_SIZE(terms.share_bytes, 100);
    CHECK_SIZE(terms.weight, AEGIS_BUDGET_DEFAULT_WEIGHT);
    CHECK_SIZE(terms.guaranteed_bytes, 0);
    aegis_budget_get_terms(a, &terms);
    CHECK_SIZE(terms.policy, AEGIS_BUDGET_GREEDY);
    CHECK_SIZE(terms.guaranteed_bytes, 20);
    CHECK_SIZE(terms.weight, 300);
    CHECK_SIZE(terms.share_bytes, 20 + 80 / 4 * 3);
    CHECK_SIZE(terms.waiting_count, 0);
    CHECK_SIZE(terms.closed, 0);
    aegis_budget_get_terms(b, &terms);
    CHECK_SIZE(terms.share_bytes, 80 / 4);
    CHECK(aegis_budget_set_weight(b, 0, NULL) == AEGIS_OK);
    aegis_budget_close(root);
    aegis_budget_get_terms(b, &terms);
    CHECK_SIZE(terms.share_bytes, 35);
    CHECK_SIZE(terms.closed, 1);
    aegis_budget_destroy(b);
    aegis_budget_destroy(a);
    aegis_budget_destroy(root);
}

/* -- requests of functions that the budget has called -- */

typedef struct nest {
    aegis_budget *budget;
    size_t count;
    aegis_status status;
    uint32_t refusal;
    char text[TEXT_BYTES];
} nest;

/* Asks for more than there is, and would wait for ever. */
static size_t ask_again(void *context, size_t wanted_bytes) {
    nest *n = (nest *)context;
    aegis_error error = {0};
    n->count++;
    n->status = aegis_budget_charge_timeout(n->budget, wanted_bytes, AEGIS_WAIT_FOREVER, &error);
    n->refusal = error.refusal;
    (void)aegis_error_explain(&error, n->text, sizeof n->text);
    return 0;
}

static void request_from_inside_a_reclaimer_is_refused_with_its_reason(void) {
    aegis_budget *root = aegis_budget_new("root", 100, NULL);
    aegis_budget *cache = aegis_budget_new("cache", 100, root);
    nest n = {0};
    n.budget = cache;
    CHECK(aegis_budget_on_reclaim(cache, 0, 0, ask_again, NULL, &n, NULL) == AEGIS_OK);
    CHECK(aegis_budget_charge(cache, 90, NULL) == AEGIS_OK);
    expect_refusal(root, 20, AEGIS_REFUSED_LIMIT,
                   "budget 'root' refused 20 bytes: limit 100 bytes, 100 bytes in use; largest: "
                   "'cache' 100 bytes");
    CHECK_SIZE(n.count, 1);
    CHECK(n.status == AEGIS_OK); /* It was asked for 10 bytes, and took the 10 that were left. */
    CHECK(aegis_budget_uncharge(cache, 10) == AEGIS_OK);
    expect_refusal(root, 30, AEGIS_REFUSED_LIMIT,
                   "budget 'root' refused 30 bytes: limit 100 bytes, 90 bytes in use; largest: "
                   "'cache' 90 bytes");
    CHECK_SIZE(n.count, 2);
    CHECK(n.status == AEGIS_E_LIMIT_EXCEEDED && n.refusal == AEGIS_REFUSED_NESTED);
    CHECK(strcmp(n.text, "budget 'cache' refused 20 bytes: limit 100 bytes, 90 bytes in use, asked "
                         "from inside a reclaimer or pressure function") == 0);
    CHECK(aegis_budget_uncharge(cache, 90) == AEGIS_OK);
    aegis_budget_destroy(cache);
    aegis_budget_destroy(root);
}

static void *wait_for_60(void *context) {
    CHECK(aegis_budget_charge_timeout((aegis_budget *)context, 60, AEGIS_WAIT_FOREVER, NULL) ==
          AEGIS_OK);
    return NULL;
}

static void until_one_waits(aegis_budget *budget) {
    aegis_budget_terms terms = {0};
    while (terms.waiting_count != 1)
        aegis_budget_get_terms(budget, &terms);
}

static void requests_that_came_earlier_are_counted_where_they_wait_and_below(void) {
    aegis_budget *root = aegis_budget_new("root", 100, NULL);
    aegis_budget *child = aegis_budget_new("child", 90, root);
    pthread_t thread;
    CHECK(aegis_budget_charge(root, 50, NULL) == AEGIS_OK);
    CHECK(pthread_create(&thread, NULL, wait_for_60, child) == 0);
    until_one_waits(root);
    expect_refusal(root, 1, AEGIS_REFUSED_QUEUE,
                   "budget 'root' refused 1 bytes: limit 100 bytes, 110 bytes in use or asked for "
                   "by requests that came earlier");
    expect_refusal(child, 31, AEGIS_REFUSED_QUEUE,
                   "budget 'child' refused 31 bytes: limit 90 bytes, 60 bytes in use or asked for "
                   "by requests that came earlier");
    CHECK(aegis_budget_uncharge(root, 50) == AEGIS_OK);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK_SIZE(used(child), 60);
    CHECK(aegis_budget_uncharge(child, 60) == AEGIS_OK);
    aegis_budget_destroy(child);
    aegis_budget_destroy(root);
}

/* The reclaimer's own request finds that the other budget has a queue. It must not wait in it. */
static void request_from_inside_a_reclaimer_does_not_stand_in_a_queue(void) {
    aegis_budget *root = aegis_budget_new("root", 1000, NULL);
    aegis_budget *cache = aegis_budget_new("cache", 1000, root);
    aegis_budget *busy = aegis_budget_new("busy", 100, root);
    pthread_t thread;
    nest n = {0};
    n.budget = busy;
    CHECK(aegis_budget_on_reclaim(cache, 0, 0, ask_again, NULL, &n, NULL) == AEGIS_OK);
    CHECK(aegis_budget_charge(cache, 900, NULL) == AEGIS_OK);
    CHECK(aegis_budget_charge(busy, 50, NULL) == AEGIS_OK);
    CHECK(pthread_create(&thread, NULL, wait_for_60, busy) == 0);
    until_one_waits(busy);
    CHECK(aegis_budget_charge(root, 60, NULL) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK_SIZE(n.count, 1);
    CHECK(n.status == AEGIS_E_LIMIT_EXCEEDED && n.refusal == AEGIS_REFUSED_NESTED);
    CHECK(aegis_budget_uncharge(busy, 50) == AEGIS_OK);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(aegis_budget_uncharge(busy, 60) == AEGIS_OK);
    CHECK(aegis_budget_uncharge(cache, 900) == AEGIS_OK);
    aegis_budget_destroy(busy);
    aegis_budget_destroy(cache);
    aegis_budget_destroy(root);
}

static void note_destroyed(void *context) {
    ++*(size_t *)context;
}

static size_t free_nothing(void *context, size_t wanted_bytes) {
    (void)context;
    (void)wanted_bytes;
    return 0;
}

static void reclaimer_that_is_kept_goes_with_its_budget(void) {
    aegis_budget *budget = aegis_budget_new("budget", 100, NULL);
    aegis_budget_reclaimer *reclaimer;
    size_t destroyed = 0;
    CHECK(aegis_budget_on_reclaim(budget, 0, 0, free_nothing, note_destroyed, &destroyed,
                                  &reclaimer) == AEGIS_OK);
    aegis_budget_reclaimer_keep(reclaimer);
    CHECK_SIZE(destroyed, 0);
    aegis_budget_destroy(budget);
    CHECK_SIZE(destroyed, 1);
    budget = aegis_budget_new("budget", 100, NULL);
    CHECK(aegis_budget_on_reclaim(budget, 0, 0, free_nothing, note_destroyed, &destroyed,
                                  &reclaimer) == AEGIS_OK);
    aegis_budget_destroy(budget);
    CHECK_SIZE(destroyed, 1);
    aegis_budget_reclaimer_keep(reclaimer);
    CHECK_SIZE(destroyed, 2);
    aegis_budget_reclaimer_keep(NULL);
}

static void guarantee_takes_from_the_ancestors_what_is_not_in_use_already(void) {
    aegis_budget *root = aegis_budget_new("root", 100, NULL);
    aegis_budget *child = aegis_budget_new("child", 100, root);
    aegis_error error;
    char text[TEXT_BYTES];
    CHECK(aegis_budget_charge(child, 30, NULL) == AEGIS_OK);
    CHECK(aegis_budget_charge(root, 30, NULL) == AEGIS_OK);
    CHECK(aegis_budget_set_guarantee(child, 71, &error) == AEGIS_E_LIMIT_EXCEEDED);
    (void)aegis_error_explain(&error, text, sizeof text);
    CHECK(strcmp(text, "budget 'root' refused 41 bytes for a request of 71 bytes: limit 100 bytes, "
                       "60 bytes in use; largest: 'child' 30 bytes; 30 bytes held directly") == 0);
    CHECK(aegis_budget_set_guarantee(child, 70, &error) == AEGIS_OK);
    CHECK(aegis_budget_charge(root, 1, NULL) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK(aegis_budget_charge(child, 40, NULL) == AEGIS_OK);
    CHECK(aegis_budget_set_guarantee(child, 101, &error) == AEGIS_E_INVALID);
    (void)aegis_error_explain(&error, text, sizeof text);
    CHECK(strcmp(text, "invalid argument: a guarantee of 101 bytes requested, at most 100 "
                       "allowed") == 0);
    CHECK(aegis_budget_uncharge(child, 70) == AEGIS_OK);
    CHECK(aegis_budget_uncharge(root, 30) == AEGIS_OK);
    aegis_budget_destroy(child);
    aegis_budget_destroy(root);
}

static void budget_that_is_in_use_keeps_its_policy(void) {
    aegis_budget *budget = aegis_budget_new("budget", 100, NULL);
    aegis_error error;
    char text[TEXT_BYTES];
    CHECK(aegis_budget_charge(budget, 1, NULL) == AEGIS_OK);
    CHECK(aegis_budget_set_policy(budget, AEGIS_BUDGET_FAIR, &error) == AEGIS_E_BUSY);
    (void)aegis_error_explain(&error, text, sizeof text);
    CHECK(strcmp(text, "still in use: the budget has children or bytes in use") == 0);
    CHECK(aegis_budget_set_policy(budget, 2, &error) == AEGIS_E_INVALID);
    (void)aegis_error_explain(&error, text, sizeof text);
    CHECK(strcmp(text, "invalid argument: policy number 2 requested, at most 1 allowed") == 0);
    CHECK(aegis_budget_uncharge(budget, 1) == AEGIS_OK);
    CHECK(aegis_budget_set_policy(budget, AEGIS_BUDGET_FAIR, &error) == AEGIS_OK);
    aegis_budget_destroy(budget);
}

int main(void) {
    check_alarm(60);
    RUN(limit_share_and_guarantee_are_told_apart);
    RUN(terms_are_those_that_were_set);
    RUN(request_from_inside_a_reclaimer_is_refused_with_its_reason);
    RUN(requests_that_came_earlier_are_counted_where_they_wait_and_below);
    RUN(request_from_inside_a_reclaimer_does_not_stand_in_a_queue);
    RUN(reclaimer_that_is_kept_goes_with_its_budget);
    RUN(guarantee_takes_from_the_ancestors_what_is_not_in_use_already);
    RUN(budget_that_is_in_use_keeps_its_policy);
    return check_finish();
}
