/* SPDX-License-Identifier: Apache-2.0 */
/* Tests budgets that are sized from the machine: which shares there are, what the budget is then
 * called, and that any thread may make one. tests/c/system_memory_test.c tests how the memory of
 * the machine is found. */
#include "../../csrc/budget/system.h"
#include "budget_support.h"

#include <math.h>

#define TEXT_BYTES 256

static const aegis_i_system_memory thousand = {1000, "cgroup v2 memory.max"};

static void share_is_the_limit_and_the_name_says_of_what(void) {
    static const struct {
        double share;
        size_t limit_bytes;
        const char *name;
    } rows[] = {
        {0.8, 800, "80% of cgroup v2 memory.max"},    {1.0, 1000, "100% of cgroup v2 memory.max"},
        {0.5, 500, "50% of cgroup v2 memory.max"},    {0.0019, 1, "0.19% of cgroup v2 memory.max"},
        {0.57, 570, "57% of cgroup v2 memory.max"},   {1.0 / 3, 333, NULL},
        {0.0001, 0, "0.01% of cgroup v2 memory.max"}, {5e-324, 0, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        aegis_budget *budget = NULL;
        aegis_error error;
        CHECK(aegis_i_budget_of_memory(&budget, thousand, rows[i].share, &error) == AEGIS_OK);
        aegis_budget_figures figures = figures_of(budget);
        /* 0.57 * 1000 is a little less than 570 as a double. */
        CHECK(figures.limit_bytes == rows[i].limit_bytes ||
              (rows[i].share == 0.57 && figures.limit_bytes == 569));
        CHECK(rows[i].name == NULL || strcmp(figures.name, rows[i].name) == 0);
        CHECK(strstr(figures.name, "% of cgroup v2 memory.max") != NULL);
        CHECK(figures.level == 0 && figures.used_bytes == 0);
        aegis_budget_destroy(budget);
    }
}

static void check_refused(double share, aegis_i_system_memory memory, aegis_status status,
                          size_t asked, size_t allowed, const char *wanted) {
    aegis_budget *budget = (aegis_budget *)&budget;
    aegis_error error;
    char text[TEXT_BYTES];
    CHECK(aegis_i_budget_of_memory(&budget, memory, share, &error) == status);
    CHECK(budget == NULL && error.status == status && error.what == AEGIS_WHAT_SHARE);
    CHECK_SIZE(error.asked, asked);
    CHECK_SIZE(error.allowed, allowed);
    (void)aegis_error_explain(&error, text, sizeof text);
    CHECK(wanted == NULL || strcmp(text, wanted) == 0);
    CHECK(aegis_i_budget_of_memory(&budget, memory, share, NULL) == status);
}

static void share_that_is_none_is_refused_with_what_is_allowed(void) {
    const char *none =
        "invalid argument: a share that is not above 0 requested, above 0 and at most "
        "100 percent allowed";
    check_refused(0.0, thousand, AEGIS_E_INVALID, 0, 100, none);
    check_refused(-0.0, thousand, AEGIS_E_INVALID, 0, 100, none);
    check_refused(-0.5, thousand, AEGIS_E_INVALID, 0, 100, none);
    check_refused((double)NAN, thousand, AEGIS_E_INVALID, 0, 100, none);
    check_refused(-(double)INFINITY, thousand, AEGIS_E_INVALID, 0, 100, none);
    check_refused(1.5, thousand, AEGIS_E_INVALID, 150, 100,
                  "invalid argument: a share of 150 percent requested, above 0 and at most 100 "
                  "percent allowed");
    check_refused(80.0, thousand, AEGIS_E_INVALID, 8000, 100, NULL);
    check_refused(1.0000000000000002, thousand, AEGIS_E_INVALID, 101, 100, NULL);
    check_refused((double)INFINITY, thousand, AEGIS_E_INVALID, SIZE_MAX, 100, NULL);
    check_refused(1e300, thousand, AEGIS_E_INVALID, SIZE_MAX, 100, NULL);
}

static void unknown_memory_is_refused(void) {
    aegis_i_system_memory unknown = {0, "physical memory"};
    check_refused(0.8, unknown, AEGIS_E_UNSUPPORTED, 80, 0,
                  "the system does not say how much memory it has");
    check_refused(1.5, unknown, AEGIS_E_INVALID, 150, 100, NULL);
}

static void memory_beyond_the_addresses_is_cut(void) {
    static const double shares[] = {1.0, 0.9999999999999999, 0.5};
    for (size_t i = 0; i < 3; i++) {
        aegis_i_system_memory all = {UINT64_MAX, "physical memory"};
        aegis_budget *budget;
        CHECK(aegis_i_budget_of_memory(&budget, all, shares[i], NULL) == AEGIS_OK);
        aegis_budget_figures figures = figures_of(budget);
        CHECK(figures.limit_bytes != AEGIS_BUDGET_UNLIMITED);
        CHECK(i != 0 || figures.limit_bytes == SIZE_MAX - 1);
        CHECK(i == 0 || figures.limit_bytes < SIZE_MAX - 1);
        CHECK(i != 2 || figures.limit_bytes / 4 - SIZE_MAX / 8 <= 1);
        CHECK(strstr(figures.name, "% of address space") != NULL);
        aegis_budget_destroy(budget);
    }
}

static void budget_of_this_machine_has_its_share(void) {
    aegis_budget *half, *all;
    aegis_error error;
    CHECK(aegis_budget_of_system(&half, 0.5, &error) == AEGIS_OK);
    CHECK(aegis_budget_of_system(&all, 1.0, NULL) == AEGIS_OK);
    aegis_budget_figures of_half = figures_of(half), of_all = figures_of(all);
    CHECK(strncmp(of_half.name, "50% of ", 7) == 0 && strncmp(of_all.name, "100% of ", 8) == 0);
    /* A machine that runs this test has a megabyte. */
    CHECK(of_half.limit_bytes >= (size_t)1 << 20);
    CHECK(of_all.limit_bytes / 2 >= of_half.limit_bytes - 1 &&
          of_all.limit_bytes / 2 <= of_half.limit_bytes + 1);
    CHECK(aegis_i_physical_bytes() >= of_all.limit_bytes);
    aegis_budget *child = aegis_budget_new("child", AEGIS_BUDGET_UNLIMITED, half);
    CHECK(aegis_budget_charge(child, of_half.limit_bytes + 1, &error) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK(error.refused == half);
    aegis_budget_destroy(child);
    aegis_budget_destroy(half);
    aegis_budget_destroy(all);
    CHECK(aegis_budget_of_system(&half, 2.0, &error) == AEGIS_E_INVALID && half == NULL);
}

#if !defined(_WIN32)

#include <pthread.h>

static void *ask_again_and_again(void *limit_bytes) {
    for (size_t i = 0; i < 20; i++) {
        aegis_budget *budget = NULL;
        CHECK(aegis_budget_of_system(&budget, 1.0, NULL) == AEGIS_OK);
        *(size_t *)limit_bytes = figures_of(budget).limit_bytes;
        aegis_budget_destroy(budget);
    }
    return NULL;
}

static void threads_ask_at_once(void) {
    pthread_t threads[4];
    size_t limits[4] = {0};
    for (size_t i = 0; i < 4; i++)
        CHECK(pthread_create(&threads[i], NULL, ask_again_and_again, &limits[i]) == 0);
    for (size_t i = 0; i < 4; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
        CHECK_SIZE(limits[i], limits[0]);
    }
}

#if !defined(__ANDROID__) && !defined(TEST_ASAN)
static bool came_back;

static void *ask_cancelled(void *unused) {
    aegis_budget *budget = NULL;
    (void)unused;
    CHECK(pthread_cancel(pthread_self()) == 0);
    CHECK(aegis_budget_of_system(&budget, 0.5, NULL) == AEGIS_OK);
    aegis_budget_destroy(budget);
    came_back = true;
    pthread_testcancel();
    return NULL;
}

static void cancelled_thread_finishes_the_call(void) {
    pthread_t thread;
    void *result = NULL;
    CHECK(pthread_create(&thread, NULL, ask_cancelled, NULL) == 0);
    CHECK(pthread_join(thread, &result) == 0);
    CHECK(came_back && result == PTHREAD_CANCELED);
}
#endif

#endif

int main(void) {
    RUN(share_is_the_limit_and_the_name_says_of_what);
    RUN(share_that_is_none_is_refused_with_what_is_allowed);
    RUN(unknown_memory_is_refused);
    RUN(memory_beyond_the_addresses_is_cut);
    RUN(budget_of_this_machine_has_its_share);
#if !defined(_WIN32)
    RUN(threads_ask_at_once);
#if !defined(__ANDROID__) && !defined(TEST_ASAN)
    RUN(cancelled_thread_finishes_the_call);
#endif
#endif
    return check_finish();
}
