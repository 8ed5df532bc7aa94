/* SPDX-License-Identifier: Apache-2.0 */
/* Peaks of budgets, and their records, under the systematic scheduler. What is checked, beside what
 * budget_model.c checks:
 *  - A charge that overlaps the taking of a peak is in the peak that is taken or in the next one.
 *    What is held when the call returns is in the next one.
 *  - Once no charge is under way, no record of a peak is overdue. In one period only a record of a
 *    higher use replaces a record. */
#include "budget_model.h"

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

int main(void) {
    static const model_scenario scenarios[] = {
        {"a taken peak", begin_taken, thread_taken, end_taken, 3, 3, observe_taken},
        {"a taken peak, held", begin_taken, thread_taken_held, end_taken, 3, 3, observe_taken},
        {"a record", begin_record, thread_record, end_record, 2, 3, observe_record},
        {"a record, held", begin_record, thread_record_held, end_record_held, 2, 3, observe},
        {"a record, held, and a taken peak", begin_record, thread_record_held, end_record_held, 3,
         2, observe},
        {"a record and a taken peak", begin_record, thread_record_taken, end_record_taken, 2, 3,
         observe},
        {"a first child", begin_first_child, thread_first_child, end_first_child, 2, 4, NULL},
    };
    return model_explore_all(scenarios, sizeof scenarios / sizeof *scenarios);
}
