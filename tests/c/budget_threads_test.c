/* SPDX-License-Identifier: Apache-2.0 */
/* Tests that budgets stay exact when two threads use them at the same time: charges up to a limit,
 * pressure, changes of the tree, and peaks that are taken. At the end every counter must be 0 and
 * every budget freed. TEST_CHARGES scales the long run down for slow tools. */
#if !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* sched_yield */
#endif
#include "aegis_memory/budget_arbitration.h"
#include "budget_support.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#ifndef TEST_CHARGES
#define TEST_CHARGES 10000000
#endif

/* Starts two threads with the same task and waits for them. */
static void run_two(void *(*task)(void *), void *first, void *second) {
    pthread_t threads[2];
    CHECK(pthread_create(&threads[0], NULL, task, first) == 0);
    CHECK(pthread_create(&threads[1], NULL, task, second) == 0);
    (void)pthread_join(threads[0], NULL);
    (void)pthread_join(threads[1], NULL);
}

static void *charge_and_release(void *context) {
    aegis_budget *budget = (aegis_budget *)context;
    size_t failed_count = 0;
    for (size_t i = 0; i < TEST_CHARGES / 2; i++) {
        size_t bytes = (i % 7 + 1) * 16;
        failed_count += aegis_budget_charge(budget, bytes, NULL) != AEGIS_OK;
        failed_count += aegis_budget_uncharge(budget, bytes) != AEGIS_OK;
    }
    CHECK_SIZE(failed_count, 0);
    return NULL;
}

static void many_charges_of_two_threads_end_at_exactly_zero(void) {
    aegis_budget *levels[3];
    levels[0] = aegis_budget_new("process", 1000, NULL);
    levels[1] = aegis_budget_new("database", 1000, levels[0]);
    levels[2] = aegis_budget_new("query", 1000, levels[1]);
    aegis_budget *first = aegis_budget_new("operator 1", 1000, levels[2]);
    aegis_budget *second = aegis_budget_new("operator 2", 1000, levels[2]);
    run_two(charge_and_release, first, second);
    CHECK_SIZE(used(first), 0);
    CHECK_SIZE(used(second), 0);
    for (size_t i = 0; i < 3; i++) {
        CHECK_SIZE(used(levels[i]), 0);
        CHECK(peak(levels[i]) >= 112 && peak(levels[i]) <= 224);
    }
    aegis_budget_destroy(first);
    aegis_budget_destroy(second);
    for (size_t i = 0; i < 3; i++)
        aegis_budget_destroy(levels[i]);
}

/* Forces charges beyond the limits of its budget. The first thread also switches the gate of the
 * tree on and off. */
static void *force_and_release(void *context) {
    aegis_budget *budget = (aegis_budget *)context;
    bool is_first = strcmp(figures_of(budget).name, "first") == 0;
    for (size_t i = 0; i < TEST_CHARGES / 100; i++) {
        size_t bytes = i % 50;
        if (is_first && i % 64 == 0)
            CHECK(aegis_budget_set_guarantee(budget, i % 128 == 0 ? 1 : 0, NULL) == AEGIS_OK ||
                  i % 128 == 0);
        aegis_budget_force_charge(budget, bytes);
        CHECK(used(budget) >= bytes);
        if (aegis_budget_charge(budget, 3, NULL) == AEGIS_OK)
            CHECK(aegis_budget_uncharge(budget, 3) == AEGIS_OK);
        CHECK(aegis_budget_uncharge(budget, bytes) == AEGIS_OK);
    }
    return NULL;
}

static void forced_charges_of_two_threads_end_at_exactly_zero(void) {
    aegis_budget *root = aegis_budget_new("root", 40, NULL);
    aegis_budget *first = aegis_budget_new("first", 20, root);
    aegis_budget *second = aegis_budget_new("second", 30, root);
    run_two(force_and_release, first, second);
    CHECK_SIZE(used(first), 0);
    CHECK_SIZE(used(second), 0);
    CHECK(aegis_budget_set_guarantee(first, 0, NULL) == AEGIS_OK);
    CHECK_SIZE(used(root), 0);
    CHECK(peak(first) >= 49 && peak(first) <= 52);
    CHECK(peak(root) >= 49 && peak(root) <= 104);
    aegis_budget_destroy(first);
    aegis_budget_destroy(second);
    aegis_budget_destroy(root);
}

/* Charges more than two threads can have at the same time, and counts the charges that
 * succeeded. */
static void *contend(void *context) {
    aegis_budget *budget = (aegis_budget *)context;
    size_t mine = 0;
    for (size_t i = 0; i < TEST_CHARGES / 20; i++) {
        aegis_error error;
        if (aegis_budget_charge(budget, 30, &error) == AEGIS_OK) {
            mine += 30;
        } else {
            /* The numbers are those of the charge, although use changes meanwhile. */
            aegis_budget_refusal refusal;
            aegis_budget_get_refusal(&error, &refusal);
            CHECK_SIZE(refusal.needed_bytes, 30);
            CHECK(refusal.needed_bytes + refusal.budget.used_bytes > refusal.budget.limit_bytes);
        }
        if (mine >= 60) {
            CHECK(aegis_budget_uncharge(budget, mine) == AEGIS_OK);
            mine = 0;
        }
    }
    CHECK(aegis_budget_uncharge(budget, mine) == AEGIS_OK);
    return NULL;
}

static void contended_refusal_keeps_counters_exact(void) {
    aegis_budget *root = aegis_budget_new("root", 70, NULL);
    aegis_budget *first = aegis_budget_new("1", 1000, root);
    aegis_budget *second = aegis_budget_new("2", 1000, root);
    run_two(contend, first, second);
    CHECK_SIZE(used(root), 0);
    CHECK_SIZE(used(first), 0);
    CHECK_SIZE(used(second), 0);
    CHECK(peak(root) <= 70);
    aegis_budget_destroy(first);
    aegis_budget_destroy(second);
    aegis_budget_destroy(root);
}

static atomic_size_t take_count;
static atomic_size_t highest_taken;
static atomic_bool taking_ended;

static void *take_peaks(void *context) {
    while (!atomic_load(&taking_ended)) {
        size_t taken = aegis_budget_take_peak((aegis_budget *)context);
        if (taken > atomic_load(&highest_taken))
            atomic_store(&highest_taken, taken);
        atomic_fetch_add(&take_count, 1);
    }
    return NULL;
}

/* Waits until the other thread has begun and ended a call. */
static void wait_for_take(void) {
    size_t count = atomic_load(&take_count);
    while (atomic_load(&take_count) < count + 2)
        (void)sched_yield();
}

/* Makes charges of one size after the other, each smaller than the one before. Each of them must be
 * the peak of some period. */
static void *charge_between_takes(void *context) {
    aegis_budget *budget = (aegis_budget *)context;
    size_t rounds = scaled(1000);
    for (size_t size = rounds; size > 0; size--) {
        wait_for_take();
        atomic_store(&highest_taken, 0);
        CHECK(aegis_budget_charge(budget, size, NULL) == AEGIS_OK);
        if (size % 2 == 0) {
            wait_for_take();
            CHECK_SIZE(peak(budget), size);
        }
        CHECK(aegis_budget_uncharge(budget, size) == AEGIS_OK);
        wait_for_take();
        CHECK_SIZE(atomic_load(&highest_taken), size);
    }
    atomic_store(&taking_ended, true);
    return NULL;
}

static void *take_or_charge(void *context) {
    static atomic_flag first = ATOMIC_FLAG_INIT;
    return atomic_flag_test_and_set(&first) ? take_peaks(context) : charge_between_takes(context);
}

static void charge_is_in_the_peak_that_is_taken_or_in_the_next(void) {
    aegis_budget *root = aegis_budget_new("root", AEGIS_BUDGET_UNLIMITED, NULL);
    run_two(take_or_charge, root, root);
    CHECK_SIZE(used(root), 0);
    aegis_budget_destroy(root);
}

static atomic_size_t rise_count;

static void count_rise(void *context, size_t used_bytes, size_t limit_bytes) {
    (void)context;
    (void)limit_bytes;
    CHECK(used_bytes >= 50);
    atomic_fetch_add(&rise_count, 1);
}

static void *charge_up(void *context) {
    for (size_t i = 0; i < 50; i++)
        CHECK(aegis_budget_charge((aegis_budget *)context, 1, NULL) == AEGIS_OK);
    return NULL;
}

static void two_threads_that_rise_together_are_told_once(void) {
    for (size_t round = 0; round < 200; round++) {
        aegis_budget *budget = aegis_budget_new("b", 100, NULL);
        CHECK(aegis_budget_on_pressure(budget, 50, count_rise, NULL, NULL) == AEGIS_OK);
        atomic_store(&rise_count, 0);
        run_two(charge_up, budget, budget);
        CHECK_SIZE(atomic_load(&rise_count), 1);
        CHECK(aegis_budget_uncharge(budget, 100) == AEGIS_OK);
        aegis_budget_destroy(budget);
    }
}

/* Makes and destroys children, retains and releases the parent, and reads the tree. */
static void *churn(void *context) {
    aegis_budget *parent = (aegis_budget *)context;
    for (size_t i = 0; i < TEST_CHARGES / 1000; i++) {
        aegis_budget *held = aegis_budget_retain(parent);
        aegis_budget *child = aegis_budget_new("child", 100, held);
        aegis_budget_destroy(held);
        CHECK(aegis_budget_charge(child, 10, NULL) == AEGIS_OK);
        aegis_budget_figures figures[4];
        CHECK(aegis_budget_snapshot(parent, figures, 4) >= 2);
        aegis_error error;
        aegis_budget_refusal refusal;
        CHECK(aegis_budget_charge(parent, 1001, &error) == AEGIS_E_LIMIT_EXCEEDED);
        aegis_budget_get_refusal(&error, &refusal);
        aegis_budget_set_limit(child, 50 + i % 50);
        CHECK(aegis_budget_uncharge(child, 10) == AEGIS_OK);
        aegis_budget_destroy(child);
    }
    return NULL;
}

static void tree_may_change_while_others_look_at_it(void) {
    aegis_budget *root = aegis_budget_new("root", 1000, NULL);
    aegis_budget *parent = aegis_budget_new("parent", 1000, root);
    run_two(churn, root, parent);
    CHECK_SIZE(aegis_budget_snapshot(root, NULL, 0), 2);
    CHECK_SIZE(used(root), 0);
    aegis_budget_destroy(root);
    aegis_budget_destroy(parent);
}

int main(void) {
    RUN(many_charges_of_two_threads_end_at_exactly_zero);
    RUN(forced_charges_of_two_threads_end_at_exactly_zero);
    RUN(contended_refusal_keeps_counters_exact);
    RUN(charge_is_in_the_peak_that_is_taken_or_in_the_next);
    RUN(two_threads_that_rise_together_are_told_once);
    RUN(tree_may_change_while_others_look_at_it);
    return check_finish();
}
