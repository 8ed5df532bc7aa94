/* SPDX-License-Identifier: Apache-2.0 */
/* Tests the pressure functions of a budget, which the budget calls when its use rises to a part of
 * its limit. Each rise must cause exactly one call, at the exact threshold, also after the limit
 * has changed. A pressure function may use the budget. */
#include "budget_support.h"

/* What a pressure function is called with. */
typedef struct witness {
    size_t count;
    size_t used_bytes;
    size_t limit_bytes;
    size_t destroyed;
    /* How often a refused charge was told, and what would have been in use. */
    size_t refused_count;
    size_t refused_bytes;
    aegis_budget *budget;
} witness;

static void see(void *context, size_t used_bytes, size_t limit_bytes) {
    witness *w = (witness *)context;
    if (used_bytes > limit_bytes) {
        w->refused_count++;
        w->refused_bytes = used_bytes;
        return;
    }
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
    CHECK_SIZE(half.refused_count, 1);
    CHECK_SIZE(full.refused_count, 1);
    CHECK_SIZE(full.refused_bytes, 101);
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

/* A pressure function that charges, uncharges, takes a snapshot, makes budgets and changes the
 * limit. */
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
    CHECK_SIZE(w.refused_count, 0);
    CHECK_SIZE(used(budget), 30);
    CHECK(aegis_budget_uncharge(budget, 30) == AEGIS_OK);
    aegis_budget_destroy(budget);
}

/* A pressure function that makes room, when a charge is refused, and asks again itself. */
static void make_room(void *context, size_t used_bytes, size_t limit_bytes) {
    witness *w = (witness *)context;
    see(context, used_bytes, limit_bytes);
    CHECK(aegis_budget_charge(w->budget, 1000, NULL) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK(aegis_budget_uncharge(w->budget, 60) == AEGIS_OK);
}

static void pressure_function_may_make_room_for_a_refused_charge(void) {
    aegis_budget *budget = aegis_budget_new("b", 100, NULL);
    witness w = {0};
    w.budget = budget;
    CHECK(aegis_budget_charge(budget, 90, NULL) == AEGIS_OK);
    CHECK(aegis_budget_on_pressure(budget, 100, make_room, NULL, &w) == AEGIS_OK);
    CHECK(aegis_budget_charge(budget, 20, NULL) == AEGIS_OK);
    CHECK_SIZE(w.refused_count, 1);
    CHECK_SIZE(w.refused_bytes, 110);
    CHECK_SIZE(used(budget), 50);
    CHECK(aegis_budget_uncharge(budget, 50) == AEGIS_OK);
    aegis_budget_destroy(budget);
}

static void forced_charge_is_told_as_a_refusal_and_as_a_rise(void) {
    aegis_budget *root = aegis_budget_new("root", 1000, NULL);
    aegis_budget *child = aegis_budget_new("child", 100, root);
    witness above = {0}, below = {0};
    CHECK(aegis_budget_on_pressure(root, 50, see, NULL, &above) == AEGIS_OK);
    CHECK(aegis_budget_on_pressure(child, 80, see, NULL, &below) == AEGIS_OK);
    aegis_budget_force_charge(child, 79);
    CHECK_SIZE(below.count, 0);
    aegis_budget_force_charge(child, 421);
    CHECK_SIZE(below.refused_count, 2);
    CHECK_SIZE(below.refused_bytes, 500);
    CHECK_SIZE(above.count, 1);
    /* The same under the gate. */
    CHECK(aegis_budget_uncharge(child, 500) == AEGIS_OK);
    CHECK(aegis_budget_set_guarantee(child, 10, NULL) == AEGIS_OK);
    aegis_budget_force_charge(child, 500);
    CHECK_SIZE(below.refused_count, 4);
    CHECK_SIZE(below.count, 0);
    CHECK_SIZE(above.count, 2);
    CHECK(aegis_budget_uncharge(child, 500) == AEGIS_OK);
    aegis_budget_destroy(child);
    aegis_budget_destroy(root);
}

int main(void) {
    RUN(pressure_is_told_once_per_rise);
    RUN(pressure_with_wrong_arguments_is_refused);
    RUN(pressure_threshold_is_exact_for_small_and_huge_limits);
    RUN(pressure_follows_a_changed_limit);
    RUN(pressure_function_may_use_the_budget);
    RUN(pressure_function_may_make_room_for_a_refused_charge);
    RUN(forced_charge_is_told_as_a_refusal_and_as_a_rise);
    return check_finish();
}
