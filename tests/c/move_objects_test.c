/* SPDX-License-Identifier: Apache-2.0 */
/* Tests that objects can be charged to another budget. An oracle knows the budget of each object
 * and asks the object how much it has reserved, so after each step the counter of every budget is
 * known, and whether a move must be refused. Whatever fails must change nothing. */
#include "move_objects_support.h"

#define ROUNDS 4000

typedef struct object {
    void (*make)(aegis_budget *budget);
    void (*work)(uint64_t *seed);
    size_t (*held)(void);
    aegis_status (*move)(aegis_budget *budget, aegis_error *error);
    void (*end)(void);
} object;

static const object objects[] = {
    {arena_make, arena_work, arena_held, arena_move, arena_end},
    {lock_free_make, lock_free_work, lock_free_held, lock_free_move, lock_free_end},
    {locked_make, locked_work, locked_held, locked_move, locked_end},
    {pool_make, pool_work, pool_held, pool_move, pool_end},
    {free_pool_make, free_pool_work, free_pool_held, free_pool_move, free_pool_end},
    {locked_pool_make, locked_pool_work, locked_pool_held, locked_pool_move, locked_pool_end},
};
#define OBJECTS (sizeof objects / sizeof objects[0])

/* Where each object is charged, by number. */
static size_t places[OBJECTS];

static void count_held(tree *t) {
    memset(t->held_bytes, 0, sizeof t->held_bytes);
    for (size_t i = 0; i < OBJECTS; i++)
        t->held_bytes[places[i]] += objects[i].held();
}

/* The moves of an object, as the oracle expects them. Returns whether it was moved. */
static bool move_as_expected(tree *t, size_t number, size_t to) {
    size_t size_bytes = objects[number].held(), from = places[number];
    size_t full = size_bytes != 0 ? refuser(t, from, to, size_bytes) : NODES;
    aegis_error error;
    aegis_status status = objects[number].move(t->budgets[to], &error);
    CHECK(status == (full == NODES ? AEGIS_OK : AEGIS_E_LIMIT_EXCEEDED));
    if (status == AEGIS_OK) {
        places[number] = to;
    } else {
        CHECK(error.status == status && error.refused == t->budgets[full]);
        CHECK_SIZE(error.requested_bytes, size_bytes);
        CHECK_SIZE(error.needed_bytes, size_bytes);
        CHECK_SIZE(error.in_use_bytes, expected_use(t, full));
    }
    CHECK_SIZE(objects[number].held(), size_bytes);
    return status == AEGIS_OK;
}

static void random_moves_of_objects_agree_with_the_oracle(void) {
    static const size_t limits[NODES] = {400000, 200000, 150000, 90000,
                                         60000,  70000,  180000, 90000};
    uint64_t seed = 4;
    size_t moved_count = 0, refused_count = 0;
    tree t;
    make(&t, limits);
    for (size_t i = 0; i < OBJECTS; i++) {
        places[i] = i % (NODES + 1);
        objects[i].make(t.budgets[places[i]]);
    }
    for (size_t round = 0; round < ROUNDS; round++) {
        size_t number = random_below(&seed, OBJECTS);
        if (random_below(&seed, 3) == 0) {
            bool moved = move_as_expected(&t, number, random_below(&seed, NODES + 1));
            moved_count += moved;
            refused_count += !moved;
        } else {
            objects[number].work(&seed);
        }
        count_held(&t);
        check_all(&t);
    }
    CHECK(moved_count > ROUNDS / 10 && refused_count > ROUNDS / 100);
    for (size_t i = 0; i < OBJECTS; i++)
        objects[i].end();
    memset(t.held_bytes, 0, sizeof t.held_bytes);
    take_apart(&t);
}

static void the_reference_of_an_object_moves_with_it(void) {
    for (size_t i = 0; i < OBJECTS; i++) {
        size_t freed_count = 0;
        uint64_t seed = 3;
        aegis_budget *first = new_noted(&freed_count), *second = new_noted(&freed_count);
        objects[i].make(first);
        objects[i].work(&seed);
        aegis_budget_destroy(first);
        CHECK_SIZE(freed_count, 0);
        CHECK(objects[i].move(second, NULL) == AEGIS_OK);
        CHECK_SIZE(used(second), objects[i].held());
        CHECK_SIZE(freed_count, 1);
        aegis_budget_destroy(second);
        CHECK_SIZE(freed_count, 1);
        CHECK(objects[i].move(NULL, NULL) == AEGIS_OK);
        CHECK_SIZE(freed_count, 2);
        objects[i].work(&seed);
        objects[i].end();
        CHECK_SIZE(freed_count, 2);
    }
}

/* A pressure function that uses the object while the move charges the new budget. */
static size_t number_in_use;
static size_t used_count;

static void use_object(void *context, size_t used_bytes, size_t limit_bytes) {
    (void)used_bytes;
    (void)limit_bytes;
    if (++used_count <= 3) {
        size_t held_bytes = objects[number_in_use].held();
        while (objects[number_in_use].held() == held_bytes)
            objects[number_in_use].work((uint64_t *)context);
    }
}

static void object_may_change_while_it_is_moved(void) {
    for (size_t i = 0; i < OBJECTS; i++) {
        uint64_t seed = 5;
        aegis_budget *from = aegis_budget_new("from", AEGIS_BUDGET_UNLIMITED, NULL);
        aegis_budget *to = aegis_budget_new("to", 1000, NULL);
        objects[i].make(from);
        while (objects[i].held() < 1000)
            objects[i].work(&seed);
        CHECK(aegis_budget_on_pressure(to, 1, use_object, NULL, &seed) == AEGIS_OK);
        aegis_budget_set_limit(to, (size_t)1 << 30);
        CHECK(aegis_budget_charge(to, ((size_t)1 << 30) / 100 - 500, NULL) == AEGIS_OK);
        number_in_use = i;
        used_count = 0;
        CHECK(objects[i].move(to, NULL) == AEGIS_OK);
        CHECK(used_count >= 1);
        CHECK_SIZE(used(from), 0);
        CHECK_SIZE(used(to), objects[i].held() + ((size_t)1 << 30) / 100 - 500);
        objects[i].end();
        CHECK(aegis_budget_uncharge(to, ((size_t)1 << 30) / 100 - 500) == AEGIS_OK);
        CHECK_SIZE(used(to), 0);
        aegis_budget_destroy(from);
        aegis_budget_destroy(to);
    }
}

int main(void) {
    RUN(random_moves_of_objects_agree_with_the_oracle);
    RUN(the_reference_of_an_object_moves_with_it);
    RUN(object_may_change_while_it_is_moved);
    return check_finish();
}
