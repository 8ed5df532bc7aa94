/* SPDX-License-Identifier: Apache-2.0 */
/* Tests pages in memory: content, length, what is charged for them, refusals at every step,
 * functions of the user's that use the store while it asks for memory, threads and forks. */
#if !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* alarm, fork */
#endif
#include "aegis_memory/budget_arbitration.h"
#include "budget_support.h"
#include "fork_support.h"
#include "page_store_support.h"

#define PAGE 4096

static aegis_page_store store_of(aegis_budget *budget) {
    aegis_page_store store;
    CHECK(aegis_page_store_memory(&store, budget) == AEGIS_OK);
    CHECK_SIZE(aegis_page_store_os_error(&store), 0);
    return store;
}

static void pages_and_gaps_read_as_they_were_written(void) {
    static const size_t sizes[] = {1, 512, 4096, 5000, 65536};
    for (size_t i = 0; i < 5; i++) {
        aegis_page_store store = store_of(NULL);
        check_pages_and_gaps(&store, sizes[i]);
        close_store(&store);
    }
}

static void truncated_pages_are_gone_and_added_ones_zero(void) {
    static const size_t sizes[] = {512, 4096, 5000, 1 << 20};
    for (size_t i = 0; i < 4; i++) {
        aegis_page_store store = store_of(NULL);
        check_truncation(&store, sizes[i]);
        close_store(&store);
    }
}

static void impossible_numbers_are_refused(void) {
    aegis_page_store store = store_of(NULL);
    check_impossible_numbers(&store);
    close_store(&store);
}

/* Calls whose pages have other sizes than the first page that was written. */
static void store_is_the_same_bytes_for_every_size_of_pages(void) {
    aegis_page_store store = store_of(NULL);
    unsigned char page[3 * PAGE];
    CHECK(truncate_to(&store, 3, PAGE) == AEGIS_OK && has_range(&store, 0, 3, 0, PAGE));
    CHECK(write_range(&store, 0, 3, 1, PAGE) == AEGIS_OK);
    CHECK(truncate_to(&store, 9001, 1) == AEGIS_OK);
    CHECK_SIZE(length_of(&store, PAGE), 3);
    CHECK_SIZE(read_one(&store, 0, page, 3 * PAGE), 9001);
    for (size_t i = 0; i < 2; i++)
        CHECK(is_page(page + i * PAGE, i, 1, PAGE));
    CHECK(is_page(page + 2 * PAGE, 2, 1, 9001 - 2 * PAGE));
    CHECK(truncate_to(&store, 3, PAGE) == AEGIS_OK);
    CHECK_SIZE(read_one(&store, 2, page, PAGE), PAGE);
    CHECK(is_filled(page + 9001 - 2 * PAGE, 0, 3 * PAGE - 9001));
    CHECK(write_range(&store, 1, 1, 7, 5000) == AEGIS_OK && has_range(&store, 1, 1, 7, 5000));
    close_store(&store);
}

static void random_calls_agree_with_an_array(void) {
    enum { PAGES = 300, SIZE = 512 };
    static uint32_t versions[PAGES];
    uint32_t state = 7;
    size_t length = 0;
    aegis_page_store store = store_of(NULL);
    unsigned char page[SIZE];
    for (uint32_t step = 1; step < 20000; step++) {
        state = state * UINT32_C(1664525) + UINT32_C(1013904223);
        size_t at = (state >> 8) % PAGES;
        if (state >> 28 == 0) {
            CHECK(truncate_to(&store, at, SIZE) == AEGIS_OK);
            for (size_t i = at; i < PAGES; i++)
                versions[i] = 0;
            length = at;
        } else if (state >> 31 == 0) {
            CHECK(write_range(&store, at, 1, step, SIZE) == AEGIS_OK);
            versions[at] = step;
            length = at < length ? length : at + 1;
        } else {
            size_t read_bytes = read_one(&store, at, page, SIZE);
            CHECK_SIZE(read_bytes, at < length ? SIZE : 0);
            CHECK(at >= length || is_page(page, at, versions[at], SIZE));
        }
        CHECK_SIZE(length_of(&store, SIZE), length);
    }
    close_store(&store);
}

static void budget_is_charged_for_the_pages_that_were_written(void) {
    aegis_budget *budget = aegis_budget_new("store", 100 * 1024 * 1024, NULL);
    aegis_page_store store = store_of(budget);
    size_t empty = used(budget);
    CHECK(empty > 0 && empty < 1024);
    CHECK(truncate_to(&store, 1000, 8192) == AEGIS_OK);
    CHECK_SIZE(used(budget), empty);
    CHECK(write_range(&store, 500, 10, 1, 8192) == AEGIS_OK);
    CHECK_SIZE(used(budget), empty + 10 * 8192);
    CHECK(write_range(&store, 500, 10, 2, 8192) == AEGIS_OK);
    CHECK_SIZE(used(budget), empty + 10 * 8192);
    CHECK(truncate_to(&store, 503, 8192) == AEGIS_OK);
    CHECK_SIZE(used(budget), empty + 3 * 8192);
    close_store(&store);
    CHECK_SIZE(used(budget), 0);
    aegis_budget_destroy(budget);
}

/* What was cut off leaves nothing behind that grows. */
static void many_truncations_do_not_make_the_store_grow(void) {
    aegis_budget *budget = aegis_budget_new("store", AEGIS_BUDGET_UNLIMITED, NULL);
    aegis_page_store store = store_of(budget);
    size_t most = 0;
    for (uint64_t round = 0; round < 2000; round++) {
        CHECK(write_range(&store, round * 1000, 4, 1, PAGE) == AEGIS_OK);
        most = used(budget) > most ? used(budget) : most;
        CHECK(truncate_to(&store, 0, PAGE) == AEGIS_OK);
    }
    CHECK(most < 5 * PAGE);
    close_store(&store);
    aegis_budget_destroy(budget);
}

/* A limit that is larger each time, until all fits. */
static void refusal_at_every_step_leaves_the_store_usable(void) {
    size_t refused_count = 0;
    aegis_status written = AEGIS_E_LIMIT_EXCEEDED;
    for (size_t limit = 0; written != AEGIS_OK; limit += 400) {
        aegis_budget *budget = aegis_budget_new("store", limit, NULL);
        aegis_page_store store;
        aegis_status made = aegis_page_store_memory(&store, budget);
        if (made != AEGIS_OK) {
            CHECK(made == AEGIS_E_LIMIT_EXCEEDED && is_no_store(&store));
        } else {
            written = write_range(&store, 0, 40, 1, 512);
            uint64_t length = length_of(&store, 512);
            CHECK(written == AEGIS_OK || written == AEGIS_E_LIMIT_EXCEEDED);
            CHECK(length <= 40 && (written != AEGIS_OK || length == 40));
            CHECK(has_range(&store, 0, (size_t)length, 1, 512));
            CHECK(length == 0 || write_range(&store, 0, (size_t)length, 2, 512) == AEGIS_OK);
            CHECK(has_range(&store, 0, (size_t)length, 2, 512));
            close_store(&store);
        }
        refused_count += written != AEGIS_OK;
        CHECK_SIZE(used(budget), 0);
        aegis_budget_destroy(budget);
    }
    CHECK(refused_count > 20);
}

static size_t reclaim_count;

/* Gives memory of the store itself back, while the store asks for more. */
static size_t cut_store(void *context, size_t wanted_bytes) {
    aegis_page_store *store = (aegis_page_store *)context;
    (void)wanted_bytes;
    reclaim_count++;
    uint64_t length = length_of(store, PAGE);
    CHECK(length != UINT64_MAX && truncate_to(store, 0, PAGE) == AEGIS_OK);
    return (size_t)length * PAGE;
}

static void user_function_may_use_the_store_while_it_grows(void) {
    aegis_budget *budget = aegis_budget_new("store", 20 * PAGE, NULL);
    aegis_page_store store = store_of(budget);
    aegis_budget_reclaimer *reclaimer = NULL;
    CHECK(aegis_budget_on_reclaim(budget, 0, AEGIS_RECLAIM_OWN_LAST, cut_store, NULL, &store,
                                  &reclaimer) == AEGIS_OK);
    for (uint64_t page = 0; page < 200; page++)
        CHECK(write_range(&store, page, 1, 1, PAGE) == AEGIS_OK);
    CHECK(reclaim_count > 5 && has_range(&store, 199, 1, 1, PAGE));
    aegis_budget_reclaimer_remove(reclaimer);
    close_store(&store);
    CHECK_SIZE(used(budget), 0);
    aegis_budget_destroy(budget);
}

static void two_threads_use_one_store(void) {
    aegis_budget *budget = aegis_budget_new("store", AEGIS_BUDGET_UNLIMITED, NULL);
    aegis_page_store store = store_of(budget);
    check_two_threads(&store);
    close_store(&store);
    CHECK_SIZE(used(budget), 0);
    aegis_budget_destroy(budget);
}

/* Two threads that write the same new pages, so that one of them has memory too much. */
static void *write_same(void *argument) {
    const aegis_page_store *store = (const aegis_page_store *)argument;
    for (uint64_t page = 0; page < 3000; page++)
        CHECK(write_range(store, page, 1, 1, PAGE) == AEGIS_OK);
    return NULL;
}

static void threads_that_write_the_same_pages_charge_them_once(void) {
    aegis_budget *budget = aegis_budget_new("store", AEGIS_BUDGET_UNLIMITED, NULL);
    aegis_page_store store = store_of(budget);
    pthread_t threads[2];
    for (size_t i = 0; i < 2; i++)
        CHECK(pthread_create(&threads[i], NULL, write_same, &store) == 0);
    for (size_t i = 0; i < 2; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(used(budget) < 3000 * PAGE + 200 * 1024);
    CHECK(truncate_to(&store, 0, PAGE) == AEGIS_OK && used(budget) < 200 * 1024);
    close_store(&store);
    CHECK_SIZE(used(budget), 0);
    aegis_budget_destroy(budget);
}

#if !defined(_WIN32)

static aegis_page_store inherited;

static void use_inherited(void) {
    CHECK(has_range(&inherited, 0, 10, 1, PAGE));
    CHECK(write_range(&inherited, 5, 20, 2, PAGE) == AEGIS_OK);
    CHECK(has_range(&inherited, 5, 20, 2, PAGE));
    close_store(&inherited);
}

static void child_of_a_fork_has_a_copy(void) {
    inherited = store_of(NULL);
    CHECK(write_range(&inherited, 0, 10, 1, PAGE) == AEGIS_OK);
    run_in_child(use_inherited);
    CHECK(has_range(&inherited, 0, 10, 1, PAGE));
    close_store(&inherited);
}

#endif

int main(void) {
    check_alarm(300);
    RUN(pages_and_gaps_read_as_they_were_written);
    RUN(truncated_pages_are_gone_and_added_ones_zero);
    RUN(impossible_numbers_are_refused);
    RUN(store_is_the_same_bytes_for_every_size_of_pages);
    RUN(random_calls_agree_with_an_array);
    RUN(budget_is_charged_for_the_pages_that_were_written);
    RUN(many_truncations_do_not_make_the_store_grow);
    RUN(refusal_at_every_step_leaves_the_store_usable);
    RUN(user_function_may_use_the_store_while_it_grows);
    RUN(two_threads_use_one_store);
    RUN(threads_that_write_the_same_pages_charge_them_once);
#if !defined(_WIN32)
    RUN(child_of_a_fork_has_a_copy);
#endif
    return check_finish();
}
