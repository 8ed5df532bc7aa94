/* SPDX-License-Identifier: Apache-2.0 */
/* Budgets under the systematic scheduler. What is checked:
 *  - At every moment the bytes in use of a budget are at most its limit, at least the sum of its
 *    children's less what is on the move between them, and at least the bytes that the threads
 *    hold.
 *  - A move between budgets never changes what is above both.
 *  - Each uncharge of held bytes succeeds, and nothing is left in use at the end.
 *  - Peak and pressure are right for the bytes that were in use over time.
 *  - The last reference frees the budget, once. If the count of references has reached its end, no
 *    reference frees it. */
#include "budget_model.h"

/* How many bytes each thread charges and to which budget, and whether it holds them to the end or
 * uncharges them. */
static size_t sizes[MODEL_MAX_THREADS];
static int places[MODEL_MAX_THREADS];
static bool holds;

static void thread_charge(int number) {
    if (charge(places[number], sizes[number]) && !holds)
        release(places[number], sizes[number]);
}

static void plan(const size_t *three_sizes, const int *three_places, bool hold) {
    memcpy(sizes, three_sizes, sizeof sizes);
    memcpy(places, three_places, sizeof places);
    holds = hold;
    all_fit = true;
    size_t left_bytes[] = {limit_bytes, leaves[0]->limit_bytes, AEGIS_BUDGET_UNLIMITED};
    for (int i = 0; i < MODEL_MAX_THREADS; i++) {
        all_fit = all_fit && sizes[i] <= left_bytes[0] && sizes[i] <= left_bytes[places[i]];
        left_bytes[0] -= sizes[i];
        if (places[i] != 0)
            left_bytes[places[i]] -= sizes[i];
    }
}

static const int one_leaf[] = {1, 1, 1};
static const int each_place[] = {0, 1, 2};
static const int two_leaves[] = {1, 1, 2};

/* Near the limit: any two charges fit, but not all three. */
static const size_t near[] = {4, 5, 3};

static void begin_near(void) {
    make(10, AEGIS_BUDGET_UNLIMITED);
    plan(near, one_leaf, false);
}

static void begin_near_held(void) {
    make(10, AEGIS_BUDGET_UNLIMITED);
    plan(near, each_place, true);
}

/* Sums beyond SIZE_MAX: no two charges fit beside each other, except the second and the third. */
static const size_t huge[] = {SIZE_MAX / 4 * 3, SIZE_MAX / 2 + 1, SIZE_MAX / 2};

static void begin_huge(void) {
    make(AEGIS_BUDGET_UNLIMITED, AEGIS_BUDGET_UNLIMITED);
    plan(huge, each_place, false);
}

static void begin_huge_held(void) {
    make(AEGIS_BUDGET_UNLIMITED, AEGIS_BUDGET_UNLIMITED);
    plan(huge, one_leaf, true);
}

/* Two threads race for the last bytes of a leaf, which refuses after the root has been charged. So
 * other threads may see the threshold reached by a charge that is then taken back. */
static void begin_leaf(void) {
    static const size_t all[] = {35, 35, 30};
    make(100, 60);
    plan(all, two_leaves, true);
}

static void begin_leaf_released(void) {
    static const size_t all[] = {35, 35, 30};
    make(100, 60);
    plan(all, two_leaves, false);
}

/* An uncharge of more than is in use changes nothing, not even for a moment. So charges that fit
 * beside each other are never refused. */
static void begin_wrong(void) {
    static const size_t all[] = {6, 0, 4};
    make(10, 10);
    plan(all, one_leaf, false);
}

static void thread_wrong(int number) {
    if (number == 1)
        MODEL_CHECK(aegis_budget_uncharge(leaves[0], 11) == AEGIS_E_INVALID);
    else
        thread_charge(number);
    MODEL_CHECK(refused_count == 0);
}

/* A thread uncharges what another thread is charging. One of the two uncharges is refused, and no
 * budget keeps bytes that none of its children has. */
static int invalid_count;

static void begin_theft(void) {
    make(10, AEGIS_BUDGET_UNLIMITED);
    invalid_count = 0;
}

static void thread_theft(int number) {
    if (number == 0)
        MODEL_CHECK(aegis_budget_charge(leaves[0], 6, NULL) == AEGIS_OK);
    aegis_status status = aegis_budget_uncharge(leaves[0], 6);
    MODEL_CHECK(status == AEGIS_OK || status == AEGIS_E_INVALID);
    invalid_count += status == AEGIS_E_INVALID;
}

static void end_theft(void) {
    MODEL_CHECK(invalid_count == 1);
    end();
}

/* A thread uncharges from the root what another thread charges to a leaf, and the root cannot know
 * that this is wrong. The root's count never wraps, and nothing is left in use. */
static void begin_above(void) {
    static const size_t all[] = {6, 0, 4};
    make(10, AEGIS_BUDGET_UNLIMITED);
    plan(all, two_leaves, false);
}

static void thread_above(int number) {
    if (number == 1)
        (void)aegis_budget_uncharge(root, 6);
    else
        thread_charge(number);
    MODEL_CHECK(used(root) <= limit_bytes && refused_count == 0);
}

static void end_above(void) {
    MODEL_CHECK(used(root) == 0 && used(leaves[0]) == 0 && used(leaves[1]) == 0);
    take_apart();
}

/* A limit is lowered and raised again while other threads charge. */
static void begin_limit(void) {
    make(12, AEGIS_BUDGET_UNLIMITED);
    plan(near, each_place, true);
}

static void ignore(void *context, size_t used_bytes, size_t limit) {
    (void)context;
    (void)used_bytes;
    (void)limit;
}

static void thread_limit(int number) {
    if (number != 0) {
        thread_charge(number);
        return;
    }
    aegis_budget_set_limit(leaves[0], 4);
    /* The new limit refuses a later charge. */
    MODEL_CHECK(aegis_budget_charge(leaves[0], 5, NULL) == AEGIS_E_LIMIT_EXCEEDED);
    aegis_budget_set_limit(leaves[0], AEGIS_BUDGET_UNLIMITED);
    MODEL_CHECK(aegis_budget_on_pressure(leaves[0], 100, ignore, NULL, NULL) == AEGIS_OK);
}

/* Moves bytes that the thread holds. A refused move leaves them where they were. */
static aegis_status move(int from, int to, size_t size_bytes) {
    held_bytes[from] -= size_bytes;
    moving_bytes += size_bytes;
    aegis_error error;
    aegis_status status = aegis_budget_move(budget_of(from), budget_of(to), size_bytes, &error);
    moving_bytes -= size_bytes;
    held_bytes[status == AEGIS_OK ? to : from] += size_bytes;
    MODEL_CHECK(status == AEGIS_OK || error.refused == budget_of(to));
    return status;
}

/* Moves between the leaves, and from the root, while the root is full. */
static void begin_moves(void) {
    make(10, AEGIS_BUDGET_UNLIMITED);
    MODEL_CHECK(charge(1, 4) && charge(2, 3) && charge(0, 3));
}

static void thread_moves(int number) {
    static const int from[] = {1, 2, 0}, to[] = {2, 1, 1};
    MODEL_CHECK(move(from[number], to[number], number == 0 ? 4 : 3) == AEGIS_OK);
}

static void observe_full(void) {
    MODEL_CHECK(used(root) == limit_bytes);
    observe();
}

/* A leaf has room for one of two moves, or for a charge. */
static void begin_full_move(void) {
    make(16, 7);
    MODEL_CHECK(charge(2, 6) && charge(0, 5));
}

static void thread_full_move(int number) {
    if (number == 2) {
        if (charge(1, 4))
            release(1, 4);
        return;
    }
    int from = number == 0 ? 2 : 0;
    size_t size_bytes = number == 0 ? 6 : 5;
    if (move(from, 1, size_bytes) == AEGIS_OK)
        MODEL_CHECK(move(1, from, size_bytes) == AEGIS_OK);
    else
        refused_count++;
}

/* Two threads move the same bytes, to different budgets: one of them gets them. */
static int moved_count;

static void begin_same_move(void) {
    make(10, AEGIS_BUDGET_UNLIMITED);
    MODEL_CHECK(charge(1, 6));
    moved_count = 0;
}

static void thread_same_move(int number) {
    aegis_status status = aegis_budget_move(leaves[0], number == 0 ? leaves[1] : root, 6, NULL);
    MODEL_CHECK(status == AEGIS_OK || status == AEGIS_E_INVALID);
    if (status == AEGIS_OK) {
        moved_count++;
        held_bytes[1] -= 6;
        held_bytes[number == 0 ? 2 : 0] += 6;
    }
}

static void observe_root_only(void) {
    MODEL_CHECK(used(root) == 6);
    last_used_bytes = most_used_bytes = 6;
    rise_count = 1;
}

static void end_same_move(void) {
    MODEL_CHECK(moved_count == 1);
    end();
}

/* References: each thread has one, takes another and gives both up. One thread also makes a child
 * and destroys it. */
static void begin_references(void) {
    make(10, AEGIS_BUDGET_UNLIMITED);
    for (size_t i = 0; i < LEAVES; i++)
        aegis_budget_destroy(leaves[i]);
    (void)aegis_budget_retain(root);
    (void)aegis_budget_retain(root);
}

static void thread_references(int number) {
    (void)aegis_budget_retain(root);
    aegis_budget_destroy(root);
    if (number == 1) {
        aegis_budget *child = aegis_budget_new("child", 10, root);
        MODEL_CHECK(freed_count == 0);
        aegis_budget_destroy(child);
    }
    MODEL_CHECK(freed_count == 0);
    aegis_budget_destroy(root);
}

static void end_references(void) {
    MODEL_CHECK(freed_count == 1);
}

/* A count of references at its end: from then on the budget stays, whatever is given up. */
static void begin_ended(void) {
    make(10, AEGIS_BUDGET_UNLIMITED);
    for (size_t i = 0; i < LEAVES; i++)
        aegis_budget_destroy(leaves[i]);
    root->reference_count = AEGIS_I_MAX_REFERENCES - 1;
}

static void thread_ended(int number) {
    for (int i = 0; i < 2; i++)
        (void)aegis_budget_retain(root);
    for (int i = 0; i < 2 + number; i++)
        aegis_budget_destroy(root);
}

static void end_ended(void) {
    /* Either all references were counted, or the count has been given up for good. */
    size_t count = root->reference_count;
    MODEL_CHECK(count > AEGIS_I_MAX_REFERENCES || count == AEGIS_I_MAX_REFERENCES - 1 - 3);
    MODEL_CHECK(freed_count == 0);
    root->reference_count = 1;
    aegis_budget_destroy(root);
    MODEL_CHECK(freed_count == 1);
}

int main(void) {
    static const model_scenario scenarios[] = {
        {"near the limit", begin_near, thread_charge, end, 3, 3, observe},
        {"near the limit, held", begin_near_held, thread_charge, end, 3, 3, observe},
        {"beyond SIZE_MAX", begin_huge, thread_charge, end, 3, 2, observe},
        {"beyond SIZE_MAX, held", begin_huge_held, thread_charge, end, 3, 2, observe},
        {"a full leaf", begin_leaf, thread_charge, end, 3, 3, observe},
        {"a full leaf, released", begin_leaf_released, thread_charge, end, 3, 3, observe},
        {"a wrong release", begin_wrong, thread_wrong, end, 3, 3, observe},
        {"a release of another's", begin_theft, thread_theft, end_theft, 2, 4, observe},
        {"a release further up", begin_above, thread_above, end_above, 3, 3, NULL},
        {"a changing limit", begin_limit, thread_limit, end, 3, 3, observe},
        {"moves under a full root", begin_moves, thread_moves, end, 3, 3, observe_full},
        {"moves to a full leaf", begin_full_move, thread_full_move, end, 3, 3, observe},
        {"two moves of the same", begin_same_move, thread_same_move, end_same_move, 2, 4,
         observe_root_only},
        {"references", begin_references, thread_references, end_references, 3, 3, NULL},
        {"an ended count", begin_ended, thread_ended, end_ended, 3, 3, NULL},
    };
    return model_explore_all(scenarios, sizeof scenarios / sizeof *scenarios);
}
