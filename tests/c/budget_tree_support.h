/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of moves between budgets share: a tree of budgets, and an oracle of what each of
 * them must have in use, and of which budget must refuse a move. */
#ifndef BUDGET_TREE_SUPPORT_H
#define BUDGET_TREE_SUPPORT_H

#include "budget_support.h"

/* A tree with two roots:  0 -> {1 -> {3 -> {5}, 4}, 2}  and  6 -> {7}.  NODES stands for NULL. */
#define NODES 8
static const size_t parents[NODES] = {NODES, 0, 0, 1, 1, 3, NODES, 6};

typedef struct tree {
    aegis_budget *budgets[NODES + 1];
    size_t limit_bytes[NODES];
    /* What is charged to each budget directly, by the oracle. */
    size_t held_bytes[NODES + 1];
} tree;

static inline void make(tree *t, const size_t *limits) {
    memset(t, 0, sizeof *t);
    for (size_t i = 0; i < NODES; i++) {
        t->limit_bytes[i] = limits != NULL ? limits[i] : AEGIS_BUDGET_UNLIMITED;
        t->budgets[i] = aegis_budget_new("node", t->limit_bytes[i],
                                         parents[i] < NODES ? t->budgets[parents[i]] : NULL);
    }
}

static inline bool is_above(size_t upper, size_t lower) {
    while (lower < NODES && lower != upper)
        lower = parents[lower];
    return lower == upper;
}

static inline size_t expected_use(const tree *t, size_t node) {
    size_t sum_bytes = 0;
    for (size_t i = 0; i < NODES; i++)
        if (is_above(node, i))
            sum_bytes += t->held_bytes[i];
    return sum_bytes;
}

static inline void check_all(const tree *t) {
    for (size_t i = 0; i < NODES; i++)
        CHECK_SIZE(used(t->budgets[i]), expected_use(t, i));
}

static inline void take_apart(tree *t) {
    for (size_t i = 0; i < NODES; i++)
        CHECK(aegis_budget_uncharge(t->budgets[i], t->held_bytes[i]) == AEGIS_OK);
    for (size_t i = 0; i < NODES; i++) {
        CHECK_SIZE(used(t->budgets[i]), 0);
        aegis_budget_destroy(t->budgets[i]);
    }
}

/* The lowest budget that must refuse a move; NODES if none does. */
static inline size_t refuser(const tree *t, size_t from, size_t to, size_t size_bytes) {
    for (size_t i = to; i < NODES && !(from < NODES && is_above(i, from)); i = parents[i])
        if (size_bytes > t->limit_bytes[i] || expected_use(t, i) > t->limit_bytes[i] - size_bytes)
            return i;
    return NODES;
}

static inline void note_freed(void *context) {
    ++*(size_t *)context;
}

static inline void ignore(void *context, size_t used_bytes, size_t limit_bytes) {
    (void)context;
    (void)used_bytes;
    (void)limit_bytes;
}

/* Makes a budget that counts its end in `*freed_count`. */
static inline aegis_budget *new_noted(size_t *freed_count) {
    aegis_budget *budget = aegis_budget_new("noted", AEGIS_BUDGET_UNLIMITED, NULL);
    CHECK(aegis_budget_on_pressure(budget, 100, ignore, note_freed, freed_count) == AEGIS_OK);
    return budget;
}

#endif
