/* SPDX-License-Identifier: Apache-2.0 */
/* Budgets: charges and releases through the tree, limits, lifetimes, pressure, texts, and what
 * remains exact when two threads contend. TEST_CHARGES scales the long run down for slow tools. */
#include "aegis_memory.h"
#include "check.h"

#include <pthread.h>
#include <stdatomic.h>

#ifndef TEST_CHARGES
#define TEST_CHARGES 10000000
#endif

static aegis_budget_figures figures_of(const aegis_budget *budget) {
    aegis_budget_figures figures;
    aegis_budget_get_figures(budget, &figures);
    return figures;
}

static size_t used(const aegis_budget *budget) {
    return figures_of(budget).used_bytes;
}

static size_t peak(const aegis_budget *budget) {
    return figures_of(budget).peak_bytes;
}

/* Reports of the library, for tests that expect one. */
static char reported[256];
static size_t report_count;

static void keep_report(const char *message) {
    snprintf(reported, sizeof reported, "%s", message);
    report_count++;
}

static void charge_counts_in_every_ancestor(void) {
    aegis_budget *process = aegis_budget_new("process", 1000, NULL);
    aegis_budget *database = aegis_budget_new("database", 800, process);
    aegis_budget *query = aegis_budget_new("query", 500, database);
    CHECK(aegis_budget_charge(query, 300, NULL) == AEGIS_OK);
    CHECK(aegis_budget_charge(database, 100, NULL) == AEGIS_OK);
    CHECK_SIZE(used(query), 300);
    CHECK_SIZE(used(database), 400);
    CHECK_SIZE(used(process), 400);
    CHECK(aegis_budget_uncharge(query, 300) == AEGIS_OK);
    CHECK(aegis_budget_uncharge(database, 100) == AEGIS_OK);
    CHECK_SIZE(used(process), 0);
    CHECK_SIZE(peak(process), 400);
    CHECK_SIZE(peak(query), 300);
    aegis_budget_figures figures = figures_of(query);
    CHECK(strcmp(figures.name, "query") == 0);
    CHECK_SIZE(figures.limit_bytes, 500);
    CHECK_SIZE(figures.depth, 0);
    CHECK_SIZE(figures.level, 2);
    aegis_budget_destroy(query);
    aegis_budget_destroy(database);
    aegis_budget_destroy(process);
}

static void charge_up_to_the_limit_fits_and_one_more_does_not(void) {
    aegis_budget *budget = aegis_budget_new("b", 100, NULL);
    const aegis_budget *refused = NULL;
    CHECK(aegis_budget_charge(budget, 100, &refused) == AEGIS_OK);
    CHECK(refused == NULL);
    CHECK(aegis_budget_charge(budget, 0, &refused) == AEGIS_OK);
    CHECK(aegis_budget_charge(budget, 1, &refused) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK(refused == budget);
    CHECK(aegis_budget_charge(budget, SIZE_MAX, NULL) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK_SIZE(used(budget), 100);
    CHECK(aegis_budget_uncharge(budget, 100) == AEGIS_OK);
    aegis_budget_destroy(budget);

    budget = aegis_budget_new(NULL, 0, NULL);
    CHECK(figures_of(budget).name[0] == '\0');
    CHECK(aegis_budget_charge(budget, 0, NULL) == AEGIS_OK);
    CHECK(aegis_budget_charge(budget, 1, NULL) == AEGIS_E_LIMIT_EXCEEDED);
    aegis_budget_destroy(budget);
}

static void unlimited_budget_refuses_only_what_cannot_be_counted(void) {
    aegis_budget *budget = aegis_budget_new("all", AEGIS_BUDGET_UNLIMITED, NULL);
    CHECK(aegis_budget_charge(budget, SIZE_MAX - 1, NULL) == AEGIS_OK);
    CHECK(aegis_budget_charge(budget, 1, NULL) == AEGIS_OK);
    CHECK(aegis_budget_charge(budget, 1, NULL) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK_SIZE(used(budget), SIZE_MAX);
    CHECK(aegis_budget_uncharge(budget, SIZE_MAX) == AEGIS_OK);
    aegis_budget_destroy(budget);
}

static void refusal_by_an_ancestor_leaves_every_counter(void) {
    aegis_budget *process = aegis_budget_new("process", 100, NULL);
    aegis_budget *database = aegis_budget_new("database", 1000, process);
    aegis_budget *query = aegis_budget_new("query", 1000, database);
    CHECK(aegis_budget_charge(query, 60, NULL) == AEGIS_OK);
    const aegis_budget *refused = NULL;
    CHECK(aegis_budget_charge(query, 41, &refused) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK(refused == process);
    CHECK_SIZE(used(query), 60);
    CHECK_SIZE(used(database), 60);
    CHECK_SIZE(used(process), 60);
    CHECK_SIZE(peak(query), 60);
    CHECK_SIZE(peak(database), 60);
    CHECK(aegis_budget_uncharge(query, 60) == AEGIS_OK);
    aegis_budget_destroy(query);
    aegis_budget_destroy(database);
    aegis_budget_destroy(process);
}

static void release_of_more_than_is_charged_is_invalid_and_changes_nothing(void) {
    aegis_budget *parent = aegis_budget_new("parent", 1000, NULL);
    aegis_budget *child = aegis_budget_new("child", 1000, parent);
    CHECK(aegis_budget_charge(parent, 100, NULL) == AEGIS_OK);
    CHECK(aegis_budget_charge(child, 50, NULL) == AEGIS_OK);
    CHECK(aegis_budget_uncharge(child, 51) == AEGIS_E_INVALID);
    CHECK(aegis_budget_uncharge(child, SIZE_MAX) == AEGIS_E_INVALID);
    CHECK_SIZE(used(child), 50);
    CHECK_SIZE(used(parent), 150);
    CHECK_SIZE(peak(parent), 150);
    CHECK(aegis_budget_uncharge(child, 50) == AEGIS_OK);
    CHECK(aegis_budget_uncharge(parent, 100) == AEGIS_OK);
    aegis_budget_destroy(child);
    aegis_budget_destroy(parent);
}

static void null_budget_is_unlimited(void) {
    CHECK(aegis_budget_charge(NULL, SIZE_MAX, NULL) == AEGIS_OK);
    CHECK(aegis_budget_uncharge(NULL, SIZE_MAX) == AEGIS_OK);
    aegis_budget_destroy(NULL);
}

static void tree_is_as_deep_as_promised_and_no_deeper(void) {
    aegis_budget *chain[AEGIS_BUDGET_MAX_DEPTH];
    aegis_budget *parent = NULL;
    for (size_t i = 0; i < AEGIS_BUDGET_MAX_DEPTH; i++) {
        chain[i] = aegis_budget_new("level", 100, parent);
        CHECK(chain[i] != NULL);
        parent = chain[i];
    }
    CHECK(aegis_budget_new("too deep", 100, parent) == NULL);
    CHECK(aegis_budget_charge(parent, 100, NULL) == AEGIS_OK);
    CHECK_SIZE(used(chain[0]), 100);
    const aegis_budget *refused = NULL;
    aegis_budget_set_limit(chain[0], 99);
    CHECK(aegis_budget_charge(parent, 0, &refused) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK(refused == chain[0]);
    CHECK(aegis_budget_uncharge(parent, 100) == AEGIS_OK);
    for (size_t i = 0; i < AEGIS_BUDGET_MAX_DEPTH; i++)
        aegis_budget_destroy(chain[i]);
}

static void name_is_cut_between_characters(void) {
    /* 46 letters, then a character of two bytes, of which one would fit. */
    const char *name = "0123456789012345678901234567890123456789012345\xC3\xA9";
    aegis_budget *budget = aegis_budget_new(name, 1, NULL);
    CHECK_SIZE(strlen(figures_of(budget).name), 46);
    aegis_budget_destroy(budget);
    budget = aegis_budget_new(name + 1, 1, NULL);
    CHECK(strcmp(figures_of(budget).name, name + 1) == 0);
    aegis_budget_destroy(budget);
}

static void limit_changes_while_in_use(void) {
    aegis_budget *budget = aegis_budget_new("b", 100, NULL);
    CHECK(aegis_budget_charge(budget, 80, NULL) == AEGIS_OK);
    aegis_budget_set_limit(budget, 50);
    CHECK(aegis_budget_charge(budget, 1, NULL) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK(aegis_budget_uncharge(budget, 40) == AEGIS_OK);
    CHECK(aegis_budget_charge(budget, 10, NULL) == AEGIS_OK);
    CHECK(aegis_budget_charge(budget, 1, NULL) == AEGIS_E_LIMIT_EXCEEDED);
    aegis_budget_set_limit(budget, AEGIS_BUDGET_UNLIMITED);
    CHECK(aegis_budget_charge(budget, 10000, NULL) == AEGIS_OK);
    CHECK(aegis_budget_uncharge(budget, 10050) == AEGIS_OK);
    aegis_budget_destroy(budget);
}

static void destroy_in_any_order_frees_all(void) {
    for (unsigned order = 0; order < 6; order++) {
        static const unsigned char orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                                   {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
        aegis_budget *budgets[3];
        budgets[0] = aegis_budget_new("a", 10, NULL);
        budgets[1] = aegis_budget_new("b", 10, budgets[0]);
        budgets[2] = aegis_budget_new("c", 10, budgets[1]);
        for (size_t i = 0; i < 3; i++)
            aegis_budget_destroy(budgets[orders[order][i]]);
    }
}

static void destroyed_child_leaves_the_tree_and_its_siblings(void) {
    aegis_budget *parent = aegis_budget_new("parent", 100, NULL);
    aegis_budget *children[3];
    for (size_t i = 0; i < 3; i++)
        children[i] = aegis_budget_new(i == 0 ? "a" : i == 1 ? "b" : "c", 10, parent);
    aegis_budget_figures figures[4];
    CHECK_SIZE(aegis_budget_snapshot(parent, figures, 4), 4);
    CHECK(strcmp(figures[1].name, "a") == 0 && strcmp(figures[3].name, "c") == 0);
    aegis_budget_destroy(children[1]);
    CHECK_SIZE(aegis_budget_snapshot(parent, figures, 4), 3);
    CHECK(strcmp(figures[2].name, "c") == 0);
    aegis_budget_destroy(children[2]);
    CHECK_SIZE(aegis_budget_snapshot(parent, figures, 4), 2);
    aegis_budget *late = aegis_budget_new("late", 10, parent);
    aegis_budget_destroy(children[0]);
    CHECK_SIZE(aegis_budget_snapshot(parent, figures, 4), 2);
    CHECK(strcmp(figures[1].name, "late") == 0);
    aegis_budget_destroy(late);
    CHECK_SIZE(aegis_budget_snapshot(parent, NULL, 0), 1);
    aegis_budget_destroy(parent);
}

static void budget_outlives_its_handles_while_something_charges_it(void) {
    aegis_budget *root = aegis_budget_new("root", 100, NULL);
    aegis_budget *child = aegis_budget_new("child", 50, root);
    CHECK(aegis_budget_retain(child) == child); /* the object's reference */
    CHECK(aegis_budget_charge(child, 40, NULL) == AEGIS_OK);
    aegis_budget_destroy(child);
    CHECK_SIZE(used(root), 40);
    aegis_budget_figures figures[2];
    CHECK_SIZE(aegis_budget_snapshot(root, figures, 2), 2);
    aegis_budget_destroy(root);
    CHECK_SIZE(used(child), 40);
    CHECK(aegis_budget_uncharge(child, 40) == AEGIS_OK);
    aegis_budget_destroy(child);
}

static void destroy_with_bytes_charged_is_reported_and_frees_the_ancestors(void) {
    aegis_report_fn before = aegis_set_report(keep_report);
    report_count = 0;
    aegis_budget *root = aegis_budget_new("root", 100, NULL);
    aegis_budget *child = aegis_budget_new("leaky", 50, root);
    CHECK(aegis_budget_charge(child, 40, NULL) == AEGIS_OK);
    aegis_budget_destroy(child);
    CHECK_SIZE(used(root), 0);
    bool debug = (aegis_build_flags() & AEGIS_BUILD_DEBUG) != 0;
    CHECK_SIZE(report_count, debug ? 1 : 0);
    if (debug)
        CHECK(strcmp(reported, "budget 'leaky' destroyed with 40 bytes charged") == 0);
    aegis_budget_destroy(root);
    (void)aegis_set_report(before);
}

static void snapshot_is_parents_first_and_counts_what_does_not_fit(void) {
    aegis_budget *root = aegis_budget_new("root", 100, NULL);
    aegis_budget *a = aegis_budget_new("a", 100, root);
    aegis_budget *b = aegis_budget_new("b", 100, root);
    aegis_budget *a1 = aegis_budget_new("a1", 100, a);
    CHECK(aegis_budget_charge(a1, 7, NULL) == AEGIS_OK);
    aegis_budget_figures figures[4];
    CHECK_SIZE(aegis_budget_snapshot(root, figures, 4), 4);
    CHECK(strcmp(figures[1].name, "a") == 0 && strcmp(figures[2].name, "a1") == 0);
    CHECK_SIZE(figures[2].depth, 2);
    CHECK_SIZE(figures[2].level, 2);
    CHECK_SIZE(figures[3].depth, 1);
    CHECK_SIZE(figures[0].used_bytes, 7);
    memset(figures, 0xEE, sizeof figures);
    CHECK_SIZE(aegis_budget_snapshot(root, figures, 2), 4);
    CHECK((unsigned char)figures[2].name[0] == 0xEE);
    CHECK_SIZE(aegis_budget_snapshot(a, figures, 4), 2);
    CHECK_SIZE(figures[1].depth, 1);
    CHECK_SIZE(figures[1].level, 2);
    CHECK(aegis_budget_uncharge(a1, 7) == AEGIS_OK);
    aegis_budget_destroy(a1);
    aegis_budget_destroy(b);
    aegis_budget_destroy(a);
    aegis_budget_destroy(root);
}

static void refusal_names_the_largest_consumers(void) {
    static const char *const names[] = {"q0", "q1", "q2", "q3", "q4"};
    static const size_t bytes[] = {30, 0, 50, 10, 20};
    aegis_budget *root = aegis_budget_new("root", 120, NULL);
    aegis_budget *children[5];
    for (size_t i = 0; i < 5; i++) {
        children[i] = aegis_budget_new(names[i], 100, root);
        CHECK(aegis_budget_charge(children[i], bytes[i], NULL) == AEGIS_OK);
    }
    CHECK(aegis_budget_charge(root, 5, NULL) == AEGIS_OK);
    const aegis_budget *refused = NULL;
    CHECK(aegis_budget_charge(children[1], 6, &refused) == AEGIS_E_LIMIT_EXCEEDED);
    aegis_budget_refusal refusal;
    aegis_budget_get_refusal(refused, 6, &refusal);
    CHECK_SIZE(refusal.consumer_count, 3);
    CHECK_SIZE(refusal.direct_bytes, 5);
    CHECK_SIZE(refusal.requested_bytes, 6);
    CHECK(strcmp(refusal.budget.name, "root") == 0);
    CHECK_SIZE(refusal.consumers[2].depth, 1);

    const char *expected = "budget 'root' refused 6 bytes: limit 120 bytes, 115 bytes in use; "
                           "largest: 'q2' 50 bytes, 'q0' 30 bytes, 'q4' 20 bytes; "
                           "5 bytes held directly";
    char text[256];
    CHECK_SIZE(aegis_budget_explain(&refusal, text, sizeof text), strlen(expected));
    CHECK(strcmp(text, expected) == 0);
    for (size_t room = 0; room <= strlen(expected) + 1; room++) {
        memset(text, '!', sizeof text);
        CHECK_SIZE(aegis_budget_explain(&refusal, text, room), strlen(expected));
        CHECK(text[room] == '!');
        CHECK(room == 0 || strlen(text) == room - 1);
        CHECK(room == 0 || memcmp(text, expected, room - 1) == 0);
    }
    CHECK_SIZE(aegis_budget_explain(&refusal, NULL, 0), strlen(expected));

    for (size_t i = 0; i < 5; i++) {
        CHECK(aegis_budget_uncharge(children[i], bytes[i]) == AEGIS_OK);
        aegis_budget_destroy(children[i]);
    }
    CHECK(aegis_budget_uncharge(root, 5) == AEGIS_OK);
    aegis_budget_get_refusal(root, 200, &refusal);
    (void)aegis_budget_explain(&refusal, text, sizeof text);
    CHECK(strcmp(text, "budget 'root' refused 200 bytes: limit 120 bytes, 0 bytes in use") == 0);
    aegis_budget_destroy(root);
}

/* What a pressure function saw. */
typedef struct witness {
    size_t count;
    size_t used_bytes;
    size_t limit_bytes;
    size_t destroyed;
    aegis_budget *budget;
} witness;

static void see(void *context, size_t used_bytes, size_t limit_bytes) {
    witness *w = (witness *)context;
    w->count++;
    w->used_bytes = used_bytes;
    w->limit_bytes = limit_bytes;
}

static void note_destroyed(void *context) {
    ((witness *)context)->destroyed++;
}

static void pressure_is_told_once_per_rise(void) {
    aegis_budget *parent = aegis_budget_new("parent", 100, NULL);
    aegis_budget *child = aegis_budget_new("child", 1000, parent);
    witness half = {0}, full = {0};
    CHECK(aegis_budget_on_pressure(parent, 50, see, note_destroyed, &half) == AEGIS_OK);
    CHECK(aegis_budget_on_pressure(parent, 100, see, NULL, &full) == AEGIS_OK);
    CHECK(aegis_budget_charge(child, 49, NULL) == AEGIS_OK);
    CHECK_SIZE(half.count, 0);
    CHECK(aegis_budget_charge(child, 1, NULL) == AEGIS_OK);
    CHECK_SIZE(half.count, 1);
    CHECK_SIZE(half.used_bytes, 50);
    CHECK_SIZE(half.limit_bytes, 100);
    CHECK(aegis_budget_charge(child, 40, NULL) == AEGIS_OK);
    CHECK(aegis_budget_uncharge(child, 40) == AEGIS_OK);
    CHECK(aegis_budget_charge(child, 40, NULL) == AEGIS_OK);
    CHECK_SIZE(half.count, 1);
    CHECK(aegis_budget_charge(child, 11, NULL) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK_SIZE(full.count, 0);
    CHECK(aegis_budget_uncharge(child, 41) == AEGIS_OK);
    CHECK(aegis_budget_charge(child, 51, NULL) == AEGIS_OK);
    CHECK_SIZE(half.count, 2);
    CHECK_SIZE(full.count, 1);
    CHECK(aegis_budget_uncharge(child, 100) == AEGIS_OK);
    aegis_budget_destroy(child);
    CHECK_SIZE(half.destroyed, 0);
    aegis_budget_destroy(parent);
    CHECK_SIZE(half.destroyed, 1);
}

static void pressure_with_wrong_arguments_is_refused(void) {
    aegis_budget *budget = aegis_budget_new("b", 100, NULL);
    witness w = {0};
    CHECK(aegis_budget_on_pressure(budget, 0, see, note_destroyed, &w) == AEGIS_E_INVALID);
    CHECK(aegis_budget_on_pressure(budget, 101, see, note_destroyed, &w) == AEGIS_E_INVALID);
    CHECK(aegis_budget_on_pressure(budget, 50, NULL, note_destroyed, &w) == AEGIS_E_INVALID);
    aegis_budget_destroy(budget);
    CHECK_SIZE(w.destroyed, 0);
}

static void pressure_threshold_is_exact_for_small_and_huge_limits(void) {
    static const size_t limits[] = {1, 2, 3, 99, 150, SIZE_MAX - 1, SIZE_MAX};
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        aegis_budget *budget = aegis_budget_new("b", limits[i], NULL);
        witness half = {0}, full = {0};
        CHECK(aegis_budget_on_pressure(budget, 50, see, NULL, &half) == AEGIS_OK);
        CHECK(aegis_budget_on_pressure(budget, 100, see, NULL, &full) == AEGIS_OK);
        size_t below_bytes = limits[i] / 2 + limits[i] % 2 - 1;
        CHECK(aegis_budget_charge(budget, below_bytes, NULL) == AEGIS_OK);
        CHECK_SIZE(half.count, 0);
        CHECK(aegis_budget_charge(budget, 1, NULL) == AEGIS_OK);
        CHECK_SIZE(half.count, 1);
        CHECK_SIZE(full.count, limits[i] == 1 ? 1 : 0);
        CHECK(aegis_budget_charge(budget, limits[i] - below_bytes - 1, NULL) == AEGIS_OK);
        CHECK_SIZE(full.count, limits[i] == 1 || limits[i] != below_bytes + 1 ? 1 : 0);
        CHECK(aegis_budget_uncharge(budget, limits[i]) == AEGIS_OK);
        aegis_budget_destroy(budget);
    }
}

static void pressure_follows_a_changed_limit(void) {
    aegis_budget *budget = aegis_budget_new("b", 1000, NULL);
    witness w = {0};
    CHECK(aegis_budget_on_pressure(budget, 80, see, NULL, &w) == AEGIS_OK);
    aegis_budget_set_limit(budget, 0);
    aegis_budget_set_limit(budget, 1000);
    CHECK_SIZE(w.count, 0);
    CHECK(aegis_budget_charge(budget, 100, NULL) == AEGIS_OK);
    aegis_budget_set_limit(budget, 200);
    CHECK_SIZE(w.count, 0);
    aegis_budget_set_limit(budget, 125);
    CHECK_SIZE(w.count, 1);
    CHECK_SIZE(w.limit_bytes, 125);
    aegis_budget_set_limit(budget, 50);
    CHECK_SIZE(w.count, 1);
    aegis_budget_set_limit(budget, 1000);
    CHECK(aegis_budget_charge(budget, 699, NULL) == AEGIS_OK);
    CHECK_SIZE(w.count, 1);
    CHECK(aegis_budget_charge(budget, 1, NULL) == AEGIS_OK);
    CHECK_SIZE(w.count, 2);
    CHECK(aegis_budget_uncharge(budget, 800) == AEGIS_OK);
    aegis_budget_destroy(budget);
}

/* A pressure function that charges, releases, snapshots, makes budgets and changes the limit. */
static void meddle(void *context, size_t used_bytes, size_t limit_bytes) {
    witness *w = (witness *)context;
    see(context, used_bytes, limit_bytes);
    CHECK(aegis_budget_charge(w->budget, 5, NULL) == AEGIS_OK);
    CHECK(aegis_budget_uncharge(w->budget, 35) == AEGIS_OK);
    aegis_budget *child = aegis_budget_new("made under pressure", 10, w->budget);
    CHECK_SIZE(aegis_budget_snapshot(w->budget, NULL, 0), 2);
    aegis_budget_destroy(child);
    aegis_budget_set_limit(w->budget, 200);
}

static void pressure_function_may_use_the_budget(void) {
    aegis_budget *budget = aegis_budget_new("b", 100, NULL);
    witness w = {0};
    w.budget = budget;
    CHECK(aegis_budget_on_pressure(budget, 50, meddle, NULL, &w) == AEGIS_OK);
    CHECK(aegis_budget_charge(budget, 60, NULL) == AEGIS_OK);
    CHECK_SIZE(w.count, 1);
    CHECK_SIZE(used(budget), 30);
    CHECK(aegis_budget_uncharge(budget, 30) == AEGIS_OK);
    aegis_budget_destroy(budget);
}

static char printed[16][256];
static size_t printed_count;

static void keep_line(void *context, const char *line) {
    (void)context;
    if (printed_count < 16)
        snprintf(printed[printed_count], sizeof printed[0], "%s", line);
    printed_count++;
}

static void print_draws_a_line_per_budget(void) {
    aegis_budget *root = aegis_budget_new("process", 4096, NULL);
    aegis_budget *child = aegis_budget_new("database", AEGIS_BUDGET_UNLIMITED, root);
    CHECK(aegis_budget_charge(child, 1024, NULL) == AEGIS_OK);
    printed_count = 0;
    CHECK(aegis_budget_print(root, NULL, NULL) == AEGIS_E_INVALID);
    CHECK(aegis_budget_print(root, keep_line, NULL) == AEGIS_OK);
    CHECK_SIZE(printed_count, 2);
    CHECK(strcmp(printed[0], "process                      [######..................]  25%  "
                             "1.0 KiB of 4.0 KiB, peak 1.0 KiB") == 0);
    CHECK(strcmp(printed[1], "  database                   [........................]   -   "
                             "1.0 KiB, no limit, peak 1.0 KiB") == 0);
    CHECK(aegis_budget_uncharge(child, 1024) == AEGIS_OK);
    aegis_budget_destroy(child);
    aegis_budget_destroy(root);
}

static void print_of_a_budget_far_above_its_limit_is_a_full_bar(void) {
    static const size_t limits[] = {0, 1, 7};
    for (size_t i = 0; i < 3; i++) {
        aegis_budget *budget = aegis_budget_new("b", AEGIS_BUDGET_UNLIMITED, NULL);
        CHECK(aegis_budget_charge(budget, SIZE_MAX / 2, NULL) == AEGIS_OK);
        aegis_budget_set_limit(budget, limits[i]);
        printed_count = 0;
        CHECK(aegis_budget_print(budget, keep_line, NULL) == AEGIS_OK);
        CHECK(strstr(printed[0], "[########################]") != NULL);
        CHECK(aegis_budget_uncharge(budget, SIZE_MAX / 2) == AEGIS_OK);
        aegis_budget_destroy(budget);
    }
}

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

/* Charges more than two threads can have at once; keeps count of what it got. */
static void *contend(void *context) {
    aegis_budget *budget = (aegis_budget *)context;
    size_t mine = 0, refused_count = 0;
    for (size_t i = 0; i < TEST_CHARGES / 20; i++) {
        const aegis_budget *refused = NULL;
        if (aegis_budget_charge(budget, 30, &refused) == AEGIS_OK)
            mine += 30;
        else
            refused_count++;
        if (mine >= 60) {
            CHECK(aegis_budget_uncharge(budget, mine) == AEGIS_OK);
            mine = 0;
        }
    }
    CHECK(aegis_budget_uncharge(budget, mine) == AEGIS_OK);
    (void)refused_count;
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

/* Makes and drops children, retains and releases the parent, and looks at the tree. */
static void *churn(void *context) {
    aegis_budget *parent = (aegis_budget *)context;
    for (size_t i = 0; i < TEST_CHARGES / 1000; i++) {
        aegis_budget *held = aegis_budget_retain(parent);
        aegis_budget *child = aegis_budget_new("child", 100, held);
        aegis_budget_destroy(held);
        CHECK(aegis_budget_charge(child, 10, NULL) == AEGIS_OK);
        aegis_budget_figures figures[4];
        CHECK(aegis_budget_snapshot(parent, figures, 4) >= 2);
        aegis_budget_refusal refusal;
        aegis_budget_get_refusal(parent, 1, &refusal);
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
    RUN(charge_counts_in_every_ancestor);
    RUN(charge_up_to_the_limit_fits_and_one_more_does_not);
    RUN(unlimited_budget_refuses_only_what_cannot_be_counted);
    RUN(refusal_by_an_ancestor_leaves_every_counter);
    RUN(release_of_more_than_is_charged_is_invalid_and_changes_nothing);
    RUN(null_budget_is_unlimited);
    RUN(tree_is_as_deep_as_promised_and_no_deeper);
    RUN(name_is_cut_between_characters);
    RUN(limit_changes_while_in_use);
    RUN(destroy_in_any_order_frees_all);
    RUN(destroyed_child_leaves_the_tree_and_its_siblings);
    RUN(budget_outlives_its_handles_while_something_charges_it);
    RUN(destroy_with_bytes_charged_is_reported_and_frees_the_ancestors);
    RUN(snapshot_is_parents_first_and_counts_what_does_not_fit);
    RUN(refusal_names_the_largest_consumers);
    RUN(pressure_is_told_once_per_rise);
    RUN(pressure_with_wrong_arguments_is_refused);
    RUN(pressure_threshold_is_exact_for_small_and_huge_limits);
    RUN(pressure_follows_a_changed_limit);
    RUN(pressure_function_may_use_the_budget);
    RUN(print_draws_a_line_per_budget);
    RUN(print_of_a_budget_far_above_its_limit_is_a_full_bar);
    RUN(many_charges_of_two_threads_end_at_exactly_zero);
    RUN(contended_refusal_keeps_counters_exact);
    RUN(two_threads_that_rise_together_are_told_once);
    RUN(tree_may_change_while_others_look_at_it);
    return check_finish();
}
