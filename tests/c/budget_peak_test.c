/* SPDX-License-Identifier: Apache-2.0 */
/* Tests what a budget remembers of its peak: the largest consumers, how exact that is, when a
 * record begins anew, and its sentence. With one thread a record must be exact: its use is at most
 * the peak and less than 1/16, or 1 byte, below it. With several threads the same must hold of the
 * number at which the next record is due. AEGIS_TEST_SCALE sets the work. */
#if !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* for condition.h */
#endif
#include "../../csrc/budget/state.h"
#include "budget_support.h"

#include <pthread.h>

static aegis_budget_peak peak_of(aegis_budget *budget) {
    aegis_budget_peak report;
    memset(&report, 0xEE, sizeof report);
    aegis_budget_get_peak(budget, &report);
    return report;
}

static void charge(aegis_budget *budget, size_t size_bytes) {
    CHECK(aegis_budget_charge(budget, size_bytes, NULL) == AEGIS_OK);
}

static void uncharge(aegis_budget *budget, size_t size_bytes) {
    CHECK(aegis_budget_uncharge(budget, size_bytes) == AEGIS_OK);
}

static bool is_consumer(const aegis_budget_consumer *consumer, const char *name,
                        size_t direct_bytes, uint32_t depth) {
    return strcmp(consumer->name, name) == 0 && consumer->direct_bytes == direct_bytes &&
           consumer->depth == depth;
}

static void record_names_the_largest_consumers_of_any_depth(void) {
    aegis_budget *process = aegis_budget_new("process", 100000, NULL);
    aegis_budget *server = aegis_budget_new("server", 100000, process);
    aegis_budget *query = aegis_budget_new("query", 100000, server);
    aegis_budget *sort = aegis_budget_new("sort", 100000, query);
    aegis_budget *cache = aegis_budget_new("cache", 100000, server);
    aegis_budget *small = aegis_budget_new("small", 100000, server);
    charge(small, 10);
    charge(query, 200);
    charge(cache, 300);
    charge(server, 50);
    charge(sort, 4000);
    uncharge(sort, 4000);
    uncharge(query, 200);
    aegis_budget_peak report = peak_of(server);
    CHECK(strcmp(report.name, "server") == 0);
    CHECK(report.peak_bytes == 4560 && report.used_bytes == 4560 && report.direct_bytes == 50);
    CHECK_SIZE(report.consumer_count, 3);
    CHECK(is_consumer(&report.consumers[0], "sort", 4000, 2));
    CHECK(is_consumer(&report.consumers[1], "cache", 300, 1));
    CHECK(is_consumer(&report.consumers[2], "query", 200, 1));
    CHECK(report.consumers[0].level == 3 && report.consumers[1].level == 2);
    report = peak_of(process);
    CHECK(report.direct_bytes == 0 && is_consumer(&report.consumers[0], "sort", 4000, 3));
    report = peak_of(query);
    CHECK(report.direct_bytes == 200 && report.used_bytes == 4200 && report.consumer_count == 1);
    uncharge(small, 10);
    uncharge(cache, 300);
    uncharge(server, 50);
    /* A record keeps the names of budgets that are gone. */
    aegis_budget_destroy(sort);
    aegis_budget_destroy(query);
    aegis_budget_destroy(cache);
    aegis_budget_destroy(small);
    CHECK(is_consumer(&peak_of(process).consumers[0], "sort", 4000, 3));
    aegis_budget_destroy(server);
    aegis_budget_destroy(process);
}

static void rise_is_recorded_from_a_sixteenth_on(void) {
    aegis_budget *root = aegis_budget_new("root", 100000, NULL);
    aegis_budget *first = aegis_budget_new("first", 100000, root);
    aegis_budget *second = aegis_budget_new("second", 100000, root);
    charge(first, 1600);
    charge(second, 99);
    aegis_budget_peak report = peak_of(root);
    CHECK(report.peak_bytes == 1699 && report.used_bytes == 1600 && report.consumer_count == 1);
    charge(second, 1);
    report = peak_of(root);
    CHECK(report.peak_bytes == 1700 && report.used_bytes == 1700 && report.consumer_count == 2);
    CHECK(is_consumer(&report.consumers[1], "second", 100, 1));
    /* A use below the peak is not recorded, and neither is a charge that is refused. */
    uncharge(first, 1600);
    charge(second, 1600);
    CHECK(aegis_budget_charge(second, 100000, NULL) == AEGIS_E_LIMIT_EXCEEDED);
    report = peak_of(root);
    CHECK(report.used_bytes == 1700 && is_consumer(&report.consumers[0], "first", 1600, 1));
    uncharge(second, 1700);
    aegis_budget_destroy(first);
    aegis_budget_destroy(second);
    aegis_budget_destroy(root);
}

static void peak_of_random_charges_is_less_than_a_sixteenth_above_its_record(void) {
    aegis_budget *root = aegis_budget_new("root", AEGIS_BUDGET_UNLIMITED, NULL);
    aegis_budget *children[4];
    size_t held[4] = {0}, record_count = 0, last_bytes = 0;
    uint64_t seed = 13;
    for (size_t i = 0; i < 4; i++)
        children[i] = aegis_budget_new("child", AEGIS_BUDGET_UNLIMITED, root);
    for (size_t i = 0; i < scaled(20000); i++) {
        size_t which = random_below(&seed, 4);
        size_t bytes = (size_t)1 << random_below(&seed, 16);
        if (random_below(&seed, 3) == 0) {
            bytes = bytes < held[which] ? bytes : held[which];
            uncharge(children[which], bytes);
            held[which] -= bytes;
        } else {
            charge(children[which], bytes);
            held[which] += bytes;
        }
        aegis_budget_peak report = peak_of(root);
        size_t sum_bytes = 0, step_bytes = report.used_bytes < 16 ? 1 : report.used_bytes / 16;
        for (size_t n = 0; n < report.consumer_count; n++)
            sum_bytes += report.consumers[n].direct_bytes;
        CHECK(report.used_bytes <= report.peak_bytes);
        CHECK(report.peak_bytes < report.used_bytes + step_bytes);
        /* Three of four consumers have at least three quarters. */
        CHECK(sum_bytes <= report.used_bytes && sum_bytes >= report.used_bytes / 4 * 3);
        CHECK_SIZE(report.direct_bytes, 0);
        record_count += report.used_bytes != last_bytes;
        last_bytes = report.used_bytes;
    }
    /* Fewer than 16 for the first 16 bytes, and 12 for each doubling. */
    CHECK(record_count < 16 + 12 * 8 * sizeof(size_t));
    for (size_t i = 0; i < 4; i++) {
        uncharge(children[i], held[i]);
        aegis_budget_destroy(children[i]);
    }
    aegis_budget_destroy(root);
}

static void budget_without_children_holds_its_peak_directly(void) {
    aegis_budget *root = aegis_budget_new("root", AEGIS_BUDGET_UNLIMITED, NULL);
    aegis_budget_peak report = peak_of(root);
    CHECK(report.peak_bytes == 0 && report.used_bytes == 0 && report.direct_bytes == 0);
    charge(root, SIZE_MAX);
    uncharge(root, SIZE_MAX - 1000);
    report = peak_of(root);
    CHECK(report.peak_bytes == SIZE_MAX && report.used_bytes == SIZE_MAX);
    CHECK(report.direct_bytes == SIZE_MAX && report.consumer_count == 0);
    CHECK_SIZE(aegis_budget_take_peak(root), SIZE_MAX);
    CHECK_SIZE(peak_of(root).direct_bytes, 1000);
    /* That stays true of a peak from before the first child. */
    aegis_budget *child = aegis_budget_new("child", AEGIS_BUDGET_UNLIMITED, root);
    uncharge(root, 900);
    charge(child, 500);
    report = peak_of(root);
    CHECK(report.peak_bytes == 1000 && report.used_bytes == 1000 && report.direct_bytes == 1000);
    charge(child, 600);
    report = peak_of(root);
    CHECK(report.used_bytes == 1200 && report.direct_bytes == 100);
    CHECK(is_consumer(&report.consumers[0], "child", 1100, 1));
    /* No number wraps at the end of its range, where fewer rises are recorded. */
    charge(child, SIZE_MAX - 2200);
    charge(child, 1);
    CHECK(peak_of(root).used_bytes == SIZE_MAX - 1000);
    charge(child, 999);
    report = peak_of(root);
    CHECK(report.used_bytes == SIZE_MAX && report.direct_bytes == 100);
    uncharge(child, SIZE_MAX - 100);
    uncharge(root, 100);
    aegis_budget_destroy(child);
    aegis_budget_destroy(root);
}

static void taken_peak_begins_a_new_record(void) {
    aegis_budget *root = aegis_budget_new("root", 100000, NULL);
    aegis_budget *first = aegis_budget_new("first", 100000, root);
    aegis_budget *second = aegis_budget_new("second", 100000, root);
    charge(first, 5000);
    uncharge(first, 5000);
    charge(second, 300);
    charge(root, 7);
    CHECK_SIZE(aegis_budget_take_peak(root), 5000);
    aegis_budget_peak report = peak_of(root);
    CHECK(report.peak_bytes == 307 && report.used_bytes == 307 && report.direct_bytes == 7);
    CHECK(report.consumer_count == 1 && is_consumer(&report.consumers[0], "second", 300, 1));
    charge(first, 400);
    report = peak_of(root);
    CHECK(report.used_bytes == 707 && is_consumer(&report.consumers[0], "first", 400, 1));
    uncharge(first, 400);
    uncharge(second, 300);
    uncharge(root, 7);
    CHECK_SIZE(aegis_budget_take_peak(root), 707);
    report = peak_of(root);
    CHECK(report.peak_bytes == 0 && report.used_bytes == 0 && report.consumer_count == 0);
    aegis_budget_destroy(first);
    aegis_budget_destroy(second);
    aegis_budget_destroy(root);
}

static void sentence_has_the_peak_and_the_consumers(void) {
    const char *expected = "budget 'root' peaked at 1650 bytes; largest at 1605 bytes: "
                           "'first' 1500 bytes, 'second' 100 bytes; 5 bytes held directly";
    char text[256];
    aegis_budget *root = aegis_budget_new("root", 100000, NULL);
    charge(root, 5);
    aegis_budget_peak report = peak_of(root);
    (void)aegis_budget_explain_peak(&report, text, sizeof text);
    CHECK(strcmp(text, "budget 'root' peaked at 5 bytes; 5 bytes held directly") == 0);
    aegis_budget *first = aegis_budget_new("first", 100000, root);
    aegis_budget *second = aegis_budget_new("second", 100000, root);
    charge(second, 100);
    charge(first, 1500);
    charge(first, 45);
    report = peak_of(root);
    CHECK_SIZE(aegis_budget_explain_peak(&report, text, sizeof text), strlen(expected));
    CHECK(strcmp(text, expected) == 0);
    CHECK_SIZE(aegis_budget_explain_peak(&report, NULL, 0), strlen(expected));
    CHECK_SIZE(aegis_budget_explain_peak(&report, text, 20), strlen(expected));
    CHECK(strlen(text) == 19 && memcmp(text, expected, 19) == 0);
    uncharge(first, 1545);
    uncharge(second, 100);
    uncharge(root, 5);
    aegis_budget_destroy(first);
    aegis_budget_destroy(second);
    aegis_budget_destroy(root);
}

/* A budget that shares fairly is charged under the gate. */
static void charges_under_the_gate_are_recorded(void) {
    aegis_budget *root = aegis_budget_new("root", 100000, NULL);
    aegis_budget *fair = aegis_budget_new("fair", 50000, root);
    CHECK(aegis_budget_set_policy(fair, AEGIS_BUDGET_FAIR, NULL) == AEGIS_OK);
    aegis_budget *first = aegis_budget_new("first", 50000, fair);
    aegis_budget *second = aegis_budget_new("second", 50000, fair);
    charge(first, 300);
    charge(second, 1300);
    aegis_budget_peak report = peak_of(root);
    CHECK(report.peak_bytes == 1600 && report.used_bytes == 1600 && report.direct_bytes == 0);
    CHECK(is_consumer(&report.consumers[0], "second", 1300, 2));
    charge(first, 99);
    CHECK_SIZE(peak_of(fair).used_bytes, 1600);
    charge(first, 1);
    report = peak_of(fair);
    CHECK(report.used_bytes == 1700 && is_consumer(&report.consumers[1], "first", 400, 1));
    uncharge(second, 1300);
    CHECK_SIZE(aegis_budget_take_peak(fair), 1700);
    report = peak_of(fair);
    CHECK(report.used_bytes == 400 && is_consumer(&report.consumers[0], "first", 400, 1));
    uncharge(first, 400);
    aegis_budget_destroy(first);
    aegis_budget_destroy(second);
    aegis_budget_destroy(fair);
    aegis_budget_destroy(root);
}

static void count_call(void *context) {
    ++*(int *)context;
}

/* A larger share serves the queues of the children while the list lock of the fair budget is held.
 * A record that was made there would wait for that lock for ever. */
static void charge_that_waited_for_a_share_is_recorded(void) {
    int call_count = 0;
    aegis_budget_request *request = NULL;
    aegis_budget *fair = aegis_budget_new("fair", 800, NULL);
    CHECK(aegis_budget_set_policy(fair, AEGIS_BUDGET_FAIR, NULL) == AEGIS_OK);
    aegis_budget *first = aegis_budget_new("first", 5000, fair);
    aegis_budget *second = aegis_budget_new("second", 5000, fair);
    charge(first, 400);
    CHECK(aegis_budget_poll_charge(first, 100, &request, count_call, &call_count, NULL) ==
          AEGIS_PENDING);
    CHECK_SIZE(peak_of(fair).used_bytes, 400);
    aegis_budget_set_limit(fair, 1000);
    CHECK(call_count == 1);
    aegis_budget_peak report = peak_of(fair);
    CHECK(report.peak_bytes == 500 && report.used_bytes == 500);
    CHECK(report.consumer_count == 1 && is_consumer(&report.consumers[0], "first", 500, 1));
    CHECK(aegis_budget_poll_charge(first, 100, &request, count_call, &call_count, NULL) ==
          AEGIS_OK);
    uncharge(first, 500);
    aegis_budget_destroy(first);
    aegis_budget_destroy(second);
    aegis_budget_destroy(fair);
}

/* The last line of a tree, and how many lines it has. */
typedef struct drawn {
    size_t line_count;
    char last[512];
} drawn;

static void keep_last(void *context, const char *line) {
    drawn *kept = (drawn *)context;
    kept->line_count++;
    (void)snprintf(kept->last, sizeof kept->last, "%s", line);
}

static void drawn_tree_ends_with_the_consumers_of_a_peak_that_is_past(void) {
    drawn kept = {0, ""};
    aegis_budget *root = aegis_budget_new("root", 100000, NULL);
    aegis_budget *child = aegis_budget_new("child", 100000, root);
    charge(child, 3000);
    CHECK(aegis_budget_print(root, keep_last, &kept) == AEGIS_OK);
    CHECK_SIZE(kept.line_count, 2);
    uncharge(child, 3000);
    charge(root, 2048);
    charge(child, 2048);
    uncharge(child, 2048);
    kept.line_count = 0;
    CHECK(aegis_budget_print(root, keep_last, &kept) == AEGIS_OK);
    CHECK_SIZE(kept.line_count, 3);
    CHECK(strcmp(kept.last, "peak, recorded at 4.0 KiB: 'child' 2.0 KiB; 2.0 KiB held directly") ==
          0);
    /* A budget without children has no such line: its own line says all. */
    kept.line_count = 0;
    CHECK(aegis_budget_print(child, keep_last, &kept) == AEGIS_OK);
    CHECK_SIZE(kept.line_count, 1);
    uncharge(root, 2048);
    aegis_budget_destroy(child);
    aegis_budget_destroy(root);
}

static aegis_budget *shared_root;
/* What is guaranteed to the threads' budgets. If it is not 0, all charges take the gate. */
static size_t guaranteed_bytes;

/* Charges a child of its own, makes and destroys others, takes the peak and reads the record. */
static void *work(void *context) {
    uint64_t seed = *(const uint64_t *)context;
    aegis_budget *own = aegis_budget_new("own", AEGIS_BUDGET_UNLIMITED, shared_root);
    CHECK(aegis_budget_set_guarantee(own, guaranteed_bytes, NULL) == AEGIS_OK);
    for (size_t i = 0; i < scaled(2000); i++) {
        size_t bytes = (size_t)1 << random_below(&seed, 20);
        CHECK(aegis_budget_charge(own, bytes, NULL) == AEGIS_OK);
        if (i % 64 == 0) {
            aegis_budget *child = aegis_budget_new("brief", AEGIS_BUDGET_UNLIMITED, own);
            CHECK(aegis_budget_charge(child, bytes, NULL) == AEGIS_OK);
            CHECK(aegis_budget_uncharge(child, bytes) == AEGIS_OK);
            aegis_budget_destroy(child);
        }
        if (random_below(&seed, 256) == 0)
            (void)aegis_budget_take_peak(shared_root);
        if (random_below(&seed, 16) == 0) {
            aegis_budget_peak report = peak_of(shared_root);
            CHECK(report.consumer_count <= 3);
            for (size_t n = 0; n < report.consumer_count; n++)
                CHECK(report.consumers[n].direct_bytes != 0 &&
                      (strcmp(report.consumers[n].name, "own") == 0 ||
                       strcmp(report.consumers[n].name, "brief") == 0));
        }
        CHECK(aegis_budget_uncharge(own, bytes) == AEGIS_OK);
    }
    aegis_budget_destroy(own);
    return NULL;
}

/* After each round no charge is under way. */
static void run_threads(void) {
    pthread_t threads[3];
    uint64_t seeds[3] = {1, 2, 3};
    shared_root = aegis_budget_new("root", AEGIS_BUDGET_UNLIMITED, NULL);
    for (size_t round = 0; round < 20; round++) {
        for (size_t i = 0; i < 3; i++)
            CHECK(pthread_create(&threads[i], NULL, work, &seeds[i]) == 0);
        for (size_t i = 0; i < 3; i++)
            (void)pthread_join(threads[i], NULL);
        CHECK(peak(shared_root) < atomic_load(&shared_root->record_due_bytes));
        CHECK_SIZE(used(shared_root), 0);
        (void)aegis_budget_take_peak(shared_root);
        CHECK_SIZE(peak(shared_root), 0);
    }
    aegis_budget_destroy(shared_root);
}

static void record_of_charges_by_threads_is_never_overdue(void) {
    guaranteed_bytes = 0;
    run_threads();
}

/* Each of the threads opens and gates the root, as its budget comes and goes. */
static void record_of_gated_charges_by_threads_is_never_overdue(void) {
    guaranteed_bytes = 1000;
    run_threads();
}

int main(void) {
    check_alarm(60);
    RUN(record_names_the_largest_consumers_of_any_depth);
    RUN(rise_is_recorded_from_a_sixteenth_on);
    RUN(peak_of_random_charges_is_less_than_a_sixteenth_above_its_record);
    RUN(budget_without_children_holds_its_peak_directly);
    RUN(taken_peak_begins_a_new_record);
    RUN(sentence_has_the_peak_and_the_consumers);
    RUN(drawn_tree_ends_with_the_consumers_of_a_peak_that_is_past);
    RUN(charges_under_the_gate_are_recorded);
    RUN(charge_that_waited_for_a_share_is_recorded);
    RUN(record_of_charges_by_threads_is_never_overdue);
    RUN(record_of_gated_charges_by_threads_is_never_overdue);
    return check_finish();
}
