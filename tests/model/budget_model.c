/* SPDX-License-Identifier: Apache-2.0 */
/* Budgets under the systematic scheduler. What is checked:
 *  - At every moment the bytes in use of a budget are at most its limit, at least the sum of its
 *    children's less what is on the move between them, and at least the bytes that the threads
 * hold.
 *  - A move between budgets never changes what is above both.
 *  - Each uncharge of held bytes succeeds, and nothing is left in use at the end.
 *  - Peak and pressure are right for the bytes that were in use over time.
 *  - A charge that overlaps the taking of a peak is in the peak that is taken or in the next one.
 *    What is held when the call returns is in the next one.
 *  - Once no charge is under way, no record of a peak is overdue. In one period only a record of a
 *    higher use replaces a record.
 *  - The last reference frees the budget, once. If the count of references has reached its end, no
 *    reference frees it. */
#include "budget/state.h"

#include <string.h>

#define LEAVES 2
#define THRESHOLD_PERCENT 60

/* What blocking.h needs. No thread waits here. */
uint64_t model_now_ns;
int model_short_waits;
uintptr_t model_thread_id(void) {
    return (uintptr_t)(model_running() + 1);
}
bool model_barrier(void) {
    return true;
}
uint32_t model_process(void) {
    return 1;
}

static aegis_budget *root;
static aegis_budget *leaves[LEAVES];
/* These are plain, because a thread reads and writes them only between two atomic operations, where
 * no other thread runs. */
static size_t limit_bytes;
static size_t held_bytes[1 + LEAVES];
static size_t moving_bytes;
static size_t most_held_bytes;
static size_t most_used_bytes;
static size_t last_used_bytes;
static int rise_count;
static int told_count;
static int unclear_count;
/* Whether all charges fit beside each other. If not, one may be refused at first, take back what it
 * has added, and succeed when it is tried again: then the use has risen one time more. */
static bool all_fit;
static int refused_count;
static int freed_count;

/* The bytes in use of a budget, read by an atomic operation that the scheduler does not see. */
static size_t used(const aegis_budget *budget) {
    size_t bytes = atomic_load_explicit(&budget->used_bytes, memory_order_relaxed);
    return bytes <= AEGIS_I_COUNTER_MAX
               ? bytes
               : atomic_load_explicit(&budget->held_bytes, memory_order_relaxed);
}

static size_t threshold(void) {
    return limit_bytes / 100 * THRESHOLD_PERCENT +
           (limit_bytes % 100 * THRESHOLD_PERCENT + 99) / 100;
}

/* Checks what must be true at every moment. */
static void observe(void) {
    size_t use = used(root), beneath_bytes = 0;
    MODEL_CHECK(use <= limit_bytes);
    for (size_t i = 0; i < LEAVES; i++) {
        MODEL_CHECK(used(leaves[i]) <= use + moving_bytes - beneath_bytes);
        MODEL_CHECK(held_bytes[1 + i] <= used(leaves[i]));
        beneath_bytes += used(leaves[i]);
    }
    MODEL_CHECK(held_bytes[0] <= use + moving_bytes - beneath_bytes);
    MODEL_CHECK(held_bytes[0] + held_bytes[1] + held_bytes[2] + moving_bytes <= use);
    if (last_used_bytes < threshold() && use >= threshold())
        rise_count++;
    last_used_bytes = use;
    if (most_used_bytes < use)
        most_used_bytes = use;
}

static void tell(void *context, size_t used_bytes, size_t limit) {
    (void)context;
    MODEL_CHECK(limit == limit_bytes && used_bytes >= threshold());
    /* More than the limit: a refused charge is told. The largest number may be either. */
    told_count += used_bytes <= limit;
    unclear_count += used_bytes == SIZE_MAX;
}

static void note_freed(void *context) {
    (void)context;
    freed_count++;
}

/* Whether peaks of the root are recorded. They are not where they would only add schedules. */
static void record(bool recorded) {
    root->recorded = recorded;
    root->record.reached_bytes = root->record.used_bytes = 0;
    root->record_due_bytes = recorded ? 1 : AEGIS_I_RECORD_NEVER;
}

/* Makes a root and its leaves. The first leaf has a limit of its own. */
static void make(size_t limit, size_t leaf_limit) {
    limit_bytes = limit;
    memset(held_bytes, 0, sizeof held_bytes);
    moving_bytes = 0;
    most_held_bytes = most_used_bytes = last_used_bytes = 0;
    all_fit = false;
    rise_count = told_count = unclear_count = refused_count = freed_count = 0;
    root = aegis_budget_new("root", limit, NULL);
    leaves[0] = aegis_budget_new("first", leaf_limit, root);
    leaves[1] = aegis_budget_new("second", AEGIS_BUDGET_UNLIMITED, root);
    record(false);
    MODEL_CHECK(aegis_budget_on_pressure(root, THRESHOLD_PERCENT, tell, note_freed, NULL) ==
                AEGIS_OK);
}

/* The budgets by number: the root, then the leaves. */
static aegis_budget *budget_of(int which) {
    return which == 0 ? root : leaves[which - 1];
}

static bool charge(int which, size_t size_bytes) {
    aegis_error error;
    aegis_status status = aegis_budget_charge(budget_of(which), size_bytes, &error);
    if (status != AEGIS_OK) {
        MODEL_CHECK(status == AEGIS_E_LIMIT_EXCEEDED);
        MODEL_CHECK(error.refused == budget_of(which) || error.refused == root);
        /* The sum may be above SIZE_MAX. */
        MODEL_CHECK(error.needed_bytes > error.limit_bytes ||
                    error.in_use_bytes > error.limit_bytes - error.needed_bytes);
        refused_count++;
        return false;
    }
    held_bytes[which] += size_bytes;
    size_t sum_bytes = held_bytes[0] + held_bytes[1] + held_bytes[2];
    if (most_held_bytes < sum_bytes)
        most_held_bytes = sum_bytes;
    return true;
}

static void release(int which, size_t size_bytes) {
    held_bytes[which] -= size_bytes;
    MODEL_CHECK(aegis_budget_uncharge(budget_of(which), size_bytes) == AEGIS_OK);
}

/* Uncharges all that is held, and destroys the budgets. */
static void take_apart(void) {
    for (int which = 0; which < 1 + LEAVES; which++)
        release(which, held_bytes[which]);
    for (size_t i = 0; i < LEAVES; i++)
        aegis_budget_destroy(leaves[i]);
    MODEL_CHECK(freed_count == 0);
    aegis_budget_destroy(root);
    MODEL_CHECK(freed_count == 1);
}

/* Demands that the bytes in use are the bytes held, and that peak and pressure are right. */
static void end(void) {
    aegis_budget_figures figures;
    observe();
    MODEL_CHECK(used(leaves[0]) == held_bytes[1] && used(leaves[1]) == held_bytes[2]);
    MODEL_CHECK(used(root) == held_bytes[0] + held_bytes[1] + held_bytes[2]);
    aegis_budget_get_figures(root, &figures);
    MODEL_CHECK(figures.peak_bytes >= most_held_bytes && figures.peak_bytes <= most_used_bytes);
    /* If a charge that was refused in the end made the use rise, no thread has to be told. */
    MODEL_CHECK(told_count - unclear_count <= rise_count);
    MODEL_CHECK(!all_fit || told_count == rise_count);
    MODEL_CHECK(used(root) < threshold() || told_count != 0);
    take_apart();
}

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

/* One thread takes the peak while the others charge. What follows is plain, as above. */
static enum { TAKE_COMING, TAKE_BEGUN, TAKE_ENDED } take_state;
static size_t taken_bytes;
/* The most that was held at the end of a charge: of those that had ended when the call began, of
 * those that began after it, and of all. */
static size_t most_before_bytes, most_after_bytes, most_bytes;
/* The most that was in use since the call began, and how many charges were under way then. */
static size_t most_used_since_bytes;
static int charging_count, charging_at_begin;

static size_t held_sum(void) {
    return held_bytes[0] + held_bytes[1] + held_bytes[2];
}

static void raise(size_t *most, size_t size_bytes) {
    if (*most < size_bytes)
        *most = size_bytes;
}

static void begin_taken(void) {
    make(100, AEGIS_BUDGET_UNLIMITED);
    take_state = TAKE_COMING;
    taken_bytes = most_before_bytes = most_after_bytes = most_bytes = most_used_since_bytes = 0;
    charging_count = charging_at_begin = 0;
}

static void observe_taken(void) {
    observe();
    if (take_state != TAKE_COMING)
        raise(&most_used_since_bytes, used(root));
    if (take_state == TAKE_ENDED)
        raise(&most_after_bytes, held_sum());
}

static void thread_take(void) {
    take_state = TAKE_BEGUN;
    charging_at_begin = charging_count;
    raise(&most_used_since_bytes, used(root));
    taken_bytes = aegis_budget_take_peak(root);
    take_state = TAKE_ENDED;
    raise(&most_after_bytes, held_sum());
}

static void charge_noted(int which, size_t size_bytes) {
    charging_count++;
    MODEL_CHECK(charge(which, size_bytes));
    charging_count--;
    raise(&most_bytes, held_sum());
    if (take_state == TAKE_COMING)
        raise(&most_before_bytes, held_sum());
}

/* Charges sizes that add up to another sum for each set of threads that holds bytes. */
static void thread_taken(int number) {
    static const size_t taken_sizes[] = {4, 10, 7};
    if (number == 2)
        thread_take();
    for (int i = number == 1 ? 2 : 0; number != 2 && i < (number == 1 ? 3 : 2); i++) {
        charge_noted(number, taken_sizes[i]);
        release(number, taken_sizes[i]);
    }
}

/* The same, and nothing is released. */
static void thread_taken_held(int number) {
    if (number == 2)
        thread_take();
    else
        charge_noted(number, number == 0 ? 4 : 7);
}

static void end_taken(void) {
    aegis_budget_figures figures;
    observe_taken();
    aegis_budget_get_figures(root, &figures);
    MODEL_CHECK(taken_bytes >= most_before_bytes && taken_bytes <= most_used_bytes);
    MODEL_CHECK(figures.peak_bytes >= most_after_bytes);
    /* A charge that was under way may raise the next peak to a use that was before the call. */
    MODEL_CHECK(figures.peak_bytes <= most_used_bytes);
    MODEL_CHECK(figures.peak_bytes <= most_used_since_bytes || charging_at_begin != 0);
    MODEL_CHECK(taken_bytes >= most_bytes || figures.peak_bytes >= most_bytes);
    take_apart();
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

/* Records of the peak, while two threads charge, and one of them releases. */
static size_t recorded_bytes;

static void begin_record(void) {
    make(100, AEGIS_BUDGET_UNLIMITED);
    record(true);
    recorded_bytes = 0;
}

/* A thread replaces the record between two of its atomic operations, so each record is seen. */
static void observe_record(void) {
    observe();
    MODEL_CHECK(root->record.reached_bytes >= recorded_bytes);
    recorded_bytes = root->record.reached_bytes;
}

static void thread_record(int number) {
    MODEL_CHECK(charge(1 + number, number == 0 ? 3 : 20));
    if (number == 0)
        MODEL_CHECK(charge(1, 5));
    else
        release(2, 20);
}

/* What is held to the end, so that each record finds at least the use that it is made for. */
static void thread_record_held(int number) {
    if (number == 2)
        (void)aegis_budget_take_peak(root);
    else
        MODEL_CHECK(charge(1 + number, number == 0 ? 3 : 20));
}

static void end_record(void) {
    aegis_budget_peak peak;
    aegis_budget_get_peak(root, &peak);
    MODEL_CHECK(peak.peak_bytes < root->record_due_bytes && peak.used_bytes <= most_used_bytes);
    end();
}

static void end_record_held(void) {
    aegis_budget_peak peak;
    aegis_budget_get_peak(root, &peak);
    size_t step_bytes = peak.used_bytes < 16 ? 1 : peak.used_bytes / 16;
    MODEL_CHECK(peak.used_bytes <= peak.peak_bytes && peak.peak_bytes < root->record_due_bytes);
    MODEL_CHECK(peak.peak_bytes < peak.used_bytes + step_bytes);
    size_t sum_bytes = peak.direct_bytes;
    for (size_t i = 0; i < peak.consumer_count; i++)
        sum_bytes += peak.consumers[i].direct_bytes;
    MODEL_CHECK(sum_bytes >= peak.used_bytes && sum_bytes <= used(root));
    end();
}

/* One thread charges, releases and holds, while another one takes the peak. */
static void thread_record_taken(int number) {
    if (number == 1) {
        (void)aegis_budget_take_peak(root);
        return;
    }
    MODEL_CHECK(charge(1, 40));
    release(1, 40);
    MODEL_CHECK(charge(1, 20));
    release(1, 20);
}

/* The peak may be that of the period before. */
static void end_record_taken(void) {
    MODEL_CHECK(root->peak_bytes < root->record_due_bytes);
    take_apart();
}

/* The first child is made while another thread charges. */
static aegis_budget *first_child;

static void begin_first_child(void) {
    make(100, AEGIS_BUDGET_UNLIMITED);
}

static void thread_first_child(int number) {
    if (number == 1) {
        first_child = aegis_budget_new("child", 10, root);
        return;
    }
    MODEL_CHECK(charge(0, 5));
    MODEL_CHECK(charge(0, 20));
}

static void end_first_child(void) {
    MODEL_CHECK(root->recorded && root->peak_bytes < root->record_due_bytes);
    MODEL_CHECK(root->record.used_bytes == 25 && root->record.direct_bytes == 25);
    aegis_budget_destroy(first_child);
    take_apart();
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
        {"a taken peak", begin_taken, thread_taken, end_taken, 3, 3, observe_taken},
        {"a taken peak, held", begin_taken, thread_taken_held, end_taken, 3, 3, observe_taken},
        {"moves under a full root", begin_moves, thread_moves, end, 3, 3, observe_full},
        {"moves to a full leaf", begin_full_move, thread_full_move, end, 3, 3, observe},
        {"two moves of the same", begin_same_move, thread_same_move, end_same_move, 2, 4,
         observe_root_only},
        {"a record", begin_record, thread_record, end_record, 2, 3, observe_record},
        {"a record, held", begin_record, thread_record_held, end_record_held, 2, 3, observe},
        {"a record, held, and a taken peak", begin_record, thread_record_held, end_record_held, 3,
         2, observe},
        {"a record and a taken peak", begin_record, thread_record_taken, end_record_taken, 2, 3,
         observe},
        {"a first child", begin_first_child, thread_first_child, end_first_child, 2, 4, NULL},
        {"references", begin_references, thread_references, end_references, 3, 3, NULL},
        {"an ended count", begin_ended, thread_ended, end_ended, 3, 3, NULL},
    };
    return model_explore_all(scenarios, sizeof scenarios / sizeof *scenarios);
}
