/* SPDX-License-Identifier: Apache-2.0 */
/* Tests budgets on one thread: charges and releases through the tree, limits, and lifetimes. A
 * charge must count in every ancestor, a refusal must change no counter, and a budget must live
 * until nothing refers to it. */
#include "budget_support.h"

/* Collects the reports of the library, for tests that expect one. */
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
    aegis_error error = {0};
    CHECK(aegis_budget_charge(budget, 100, &error) == AEGIS_OK);
    CHECK(error.refused == NULL);
    CHECK(aegis_budget_charge(budget, 0, &error) == AEGIS_OK);
    CHECK(aegis_budget_charge(budget, 1, &error) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK(error.refused == budget);
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

static void forced_charge_counts_beyond_the_limits(void) {
    aegis_budget *root = aegis_budget_new("root", 100, NULL);
    aegis_budget *child = aegis_budget_new("child", 60, root);
    aegis_budget_force_charge(child, 50);
    CHECK_SIZE(used(root), 50);
    aegis_budget_force_charge(child, 0);
    aegis_budget_force_charge(child, 70);
    aegis_budget_force_charge(NULL, 70);
    CHECK_SIZE(used(child), 120);
    CHECK_SIZE(used(root), 120);
    CHECK_SIZE(peak(root), 120);
    CHECK_SIZE(figures_of(child).refused_count, 0);
    CHECK_SIZE(figures_of(root).refused_count, 0);
    CHECK(aegis_budget_charge(root, 1, NULL) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK(aegis_budget_uncharge(child, 70) == AEGIS_OK);
    CHECK(aegis_budget_charge(child, 10, NULL) == AEGIS_OK);
    CHECK(aegis_budget_uncharge(child, 60) == AEGIS_OK);
    aegis_budget_force_charge(child, SIZE_MAX);
    aegis_budget_force_charge(child, 10);
    CHECK_SIZE(used(root), SIZE_MAX);
    CHECK(aegis_budget_uncharge(child, SIZE_MAX) == AEGIS_OK);
    CHECK_SIZE(used(root), 0);
    aegis_budget_destroy(child);
    aegis_budget_destroy(root);
}

static void refusal_by_an_ancestor_leaves_every_counter(void) {
    aegis_budget *process = aegis_budget_new("process", 100, NULL);
    aegis_budget *database = aegis_budget_new("database", 1000, process);
    aegis_budget *query = aegis_budget_new("query", 1000, database);
    CHECK(aegis_budget_charge(query, 60, NULL) == AEGIS_OK);
    aegis_error error = {0};
    CHECK(aegis_budget_charge(query, 41, &error) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK(error.refused == process);
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

static void refusals_are_counted_where_they_happen(void) {
    aegis_budget *root = aegis_budget_new("root", 100, NULL);
    aegis_budget *child = aegis_budget_new("child", 50, root);
    aegis_error error;
    CHECK(aegis_budget_charge(child, 50, NULL) == AEGIS_OK);
    CHECK(aegis_budget_charge(child, 1, NULL) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK(aegis_budget_charge(child, SIZE_MAX, &error) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK(figures_of(child).refused_count == 2 && figures_of(root).refused_count == 0);
    CHECK(aegis_budget_charge(root, 51, NULL) == AEGIS_E_LIMIT_EXCEEDED);
    aegis_budget_set_limit(child, 200);
    CHECK(aegis_budget_charge(child, 51, NULL) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK(figures_of(child).refused_count == 2 && figures_of(root).refused_count == 2);
    aegis_budget_figures figures[2];
    CHECK_SIZE(aegis_budget_snapshot(root, figures, 2), 2);
    CHECK(figures[0].refused_count == 2 && figures[1].refused_count == 2);
    /* A refusal that asks nothing of reclaimers, and a request that does not wait. */
    CHECK(figures[1].waiting_count == 0 && figures[1].wait_count == 0);
    CHECK(figures[1].timeout_count == 0 && figures[1].reclaim_count == 0);
    CHECK(figures[1].reclaimed_bytes == 0);
    CHECK(aegis_budget_uncharge(child, 50) == AEGIS_OK);
    aegis_budget_destroy(child);
    aegis_budget_destroy(root);
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

static void taken_peak_starts_again_at_the_present_use(void) {
    aegis_budget *root = aegis_budget_new("root", 1000, NULL);
    aegis_budget *child = aegis_budget_new("child", 1000, root);
    CHECK_SIZE(aegis_budget_take_peak(root), 0);
    CHECK(aegis_budget_charge(child, 700, NULL) == AEGIS_OK);
    CHECK(aegis_budget_uncharge(child, 400) == AEGIS_OK);
    CHECK_SIZE(aegis_budget_take_peak(root), 700);
    CHECK(peak(root) == 300 && peak(child) == 700);
    CHECK(aegis_budget_charge(child, 701, NULL) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK_SIZE(peak(root), 300);
    CHECK(aegis_budget_charge(child, 10, NULL) == AEGIS_OK);
    CHECK(aegis_budget_uncharge(child, 310) == AEGIS_OK);
    CHECK_SIZE(aegis_budget_take_peak(root), 310);
    CHECK_SIZE(aegis_budget_take_peak(root), 0);
    CHECK_SIZE(aegis_budget_take_peak(child), 700);
    CHECK_SIZE(peak(child), 0);
    aegis_budget_destroy(child);
    aegis_budget_destroy(root);
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
    aegis_error error = {0};
    aegis_budget_set_limit(chain[0], 99);
    CHECK(aegis_budget_charge(parent, 0, &error) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK(error.refused == chain[0]);
    CHECK(aegis_budget_uncharge(parent, 100) == AEGIS_OK);
    for (size_t i = 0; i < AEGIS_BUDGET_MAX_DEPTH; i++)
        aegis_budget_destroy(chain[i]);
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
    CHECK(aegis_budget_retain(child) == child); /* the reference that an object takes */
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

int main(void) {
    RUN(charge_counts_in_every_ancestor);
    RUN(charge_up_to_the_limit_fits_and_one_more_does_not);
    RUN(unlimited_budget_refuses_only_what_cannot_be_counted);
    RUN(forced_charge_counts_beyond_the_limits);
    RUN(refusal_by_an_ancestor_leaves_every_counter);
    RUN(refusals_are_counted_where_they_happen);
    RUN(release_of_more_than_is_charged_is_invalid_and_changes_nothing);
    RUN(taken_peak_starts_again_at_the_present_use);
    RUN(null_budget_is_unlimited);
    RUN(tree_is_as_deep_as_promised_and_no_deeper);
    RUN(limit_changes_while_in_use);
    RUN(destroy_in_any_order_frees_all);
    RUN(destroyed_child_leaves_the_tree_and_its_siblings);
    RUN(budget_outlives_its_handles_while_something_charges_it);
    RUN(destroy_with_bytes_charged_is_reported_and_frees_the_ancestors);
    RUN(snapshot_is_parents_first_and_counts_what_does_not_fit);
    return check_finish();
}
