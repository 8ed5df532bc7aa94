/* SPDX-License-Identifier: Apache-2.0 */
/* Tests reclaimers with several threads: threads that are refused at once, for one budget or for
 * several; a reclaimer that is removed while it runs; a thread that is cancelled in one. */
#include "reclaim_support.h"

static aegis_budget *root;
static aegis_budget *shared;
static aegis_budget_reclaimer *handle;
static atomic_size_t held_bytes;
static atomic_size_t freed_bytes;
static atomic_size_t call_count;
static atomic_size_t destroy_count;
static atomic_bool may_end;

/* Frees exactly what is wanted. */
static size_t free_wanted(void *unused, size_t wanted_bytes) {
    (void)unused;
    size_t held = atomic_load(&held_bytes), some;
    do
        some = wanted_bytes < held ? wanted_bytes : held;
    while (!atomic_compare_exchange_weak(&held_bytes, &held, held - some));
    atomic_fetch_add(&call_count, 1);
    atomic_fetch_add(&freed_bytes, some);
    sched_yield();
    CHECK(aegis_budget_uncharge(shared, some) == AEGIS_OK);
    return some;
}

static void count_destroy(void *unused) {
    (void)unused;
    atomic_fetch_add(&destroy_count, 1);
}

static void make(size_t limit_bytes, size_t cached_bytes, aegis_budget_reclaim_fn function) {
    root = aegis_budget_new("root", limit_bytes, NULL);
    shared = aegis_budget_new("cache", AEGIS_BUDGET_UNLIMITED, root);
    CHECK(aegis_budget_charge(shared, cached_bytes, NULL) == AEGIS_OK);
    atomic_store(&held_bytes, cached_bytes);
    atomic_store(&freed_bytes, 0);
    atomic_store(&call_count, 0);
    atomic_store(&destroy_count, 0);
    atomic_store(&may_end, false);
    CHECK(aegis_budget_on_reclaim(shared, 0, 0, function, count_destroy, NULL, &handle) ==
          AEGIS_OK);
}

static void take_apart(void) {
    aegis_budget_reclaimer_remove(handle);
    CHECK_SIZE(atomic_load(&destroy_count), 1);
    (void)check_tree(root, NULL);
    CHECK(aegis_budget_uncharge(shared, used(shared)) == AEGIS_OK);
    CHECK(aegis_budget_uncharge(root, used(root)) == AEGIS_OK);
    aegis_budget_destroy(shared);
    aegis_budget_destroy(root);
}

#define THREADS 64
#define EACH_BYTES 10

static void *charge_once(void *unused) {
    (void)unused;
    CHECK(aegis_budget_charge(root, EACH_BYTES, NULL) == AEGIS_OK);
    return NULL;
}

/* All have their bytes, and nothing was reclaimed that no thread needed. */
static void threads_that_are_refused_at_once_reclaim_what_they_need_and_no_more(void) {
    pthread_t threads[THREADS];
    for (size_t round = 0; round < scaled(20); round++) {
        make(1000, 1000, free_wanted);
        for (size_t i = 0; i < THREADS; i++)
            CHECK(pthread_create(&threads[i], NULL, charge_once, NULL) == 0);
        for (size_t i = 0; i < THREADS; i++)
            CHECK(pthread_join(threads[i], NULL) == 0);
        CHECK_SIZE(atomic_load(&freed_bytes), THREADS * EACH_BYTES);
        CHECK_SIZE(used(root), 1000);
        take_apart();
    }
}

static atomic_size_t inside_count;

/* Lets the other thread ask too, and frees nothing. */
static size_t free_nothing_together(void *context, size_t wanted_bytes) {
    (void)wanted_bytes;
    atomic_fetch_add((atomic_size_t *)context, 1);
    atomic_fetch_add(&inside_count, 1);
    for (int i = 0; i < 1000 && atomic_load(&inside_count) < 2; i++)
        sched_yield();
    atomic_fetch_sub(&inside_count, 1);
    return 0;
}

static void *refuse_once(void *context) {
    CHECK(aegis_budget_charge((aegis_budget *)context, EACH_BYTES, NULL) == AEGIS_E_LIMIT_EXCEEDED);
    return NULL;
}

/* Two budgets refuse, one beneath the other, and both ask the same reclaimers. */
static void two_sessions_ask_each_reclaimer_once(void) {
    atomic_size_t counts[3];
    aegis_budget_reclaimer *handles[3];
    for (size_t round = 0; round < scaled(100); round++) {
        pthread_t threads[2];
        make(100, 100, free_wanted);
        aegis_budget *narrow = aegis_budget_new("narrow", 50, root);
        aegis_budget *full = aegis_budget_new("full", 100, narrow);
        CHECK(aegis_budget_uncharge(shared, 100) == AEGIS_OK);
        atomic_store(&held_bytes, 0);
        CHECK(aegis_budget_charge(root, 50, NULL) == AEGIS_OK);
        CHECK(aegis_budget_charge(full, 50, NULL) == AEGIS_OK);
        for (size_t i = 0; i < 3; i++) {
            atomic_init(&counts[i], 0);
            CHECK(aegis_budget_on_reclaim(full, 0, 0, free_nothing_together, NULL, &counts[i],
                                          &handles[i]) == AEGIS_OK);
        }
        CHECK(pthread_create(&threads[0], NULL, refuse_once, narrow) == 0);
        CHECK(pthread_create(&threads[1], NULL, refuse_once, root) == 0);
        for (size_t i = 0; i < 2; i++)
            CHECK(pthread_join(threads[i], NULL) == 0);
        for (size_t i = 0; i < 3; i++) {
            CHECK_SIZE(atomic_load(&counts[i]), 2);
            aegis_budget_reclaimer_remove(handles[i]);
        }
        CHECK(aegis_budget_uncharge(full, 50) == AEGIS_OK);
        aegis_budget_destroy(full);
        aegis_budget_destroy(narrow);
        take_apart();
    }
}

static size_t free_late(void *context, size_t wanted_bytes) {
    atomic_fetch_add(&call_count, 1);
    while (!atomic_load(&may_end))
        sched_yield();
    CHECK_SIZE(atomic_load(&destroy_count), 0);
    return free_wanted(context, wanted_bytes);
}

static void reclaimer_that_is_removed_while_it_runs_is_destroyed_after_it(void) {
    pthread_t thread;
    make(100, 100, free_late);
    CHECK(pthread_create(&thread, NULL, charge_once, NULL) == 0);
    while (atomic_load(&call_count) == 0)
        sched_yield();
    aegis_budget_reclaimer_remove(handle);
    handle = NULL;
    CHECK_SIZE(atomic_load(&destroy_count), 0);
    atomic_store(&may_end, true);
    CHECK(pthread_join(thread, NULL) == 0);
    take_apart();
}

static void *charge_many(void *unused) {
    (void)unused;
    for (size_t i = 0; i < scaled(200); i++)
        if (aegis_budget_charge_timeout(root, 60, LONG_NS, NULL) == AEGIS_OK)
            CHECK(aegis_budget_uncharge(root, 60) == AEGIS_OK);
        else
            CHECK(false);
    return NULL;
}

/* Fills the cache again, and registers and removes a reclaimer. */
static void *fill_cache(void *unused) {
    (void)unused;
    for (size_t i = 0; i < scaled(200); i++) {
        aegis_budget_reclaimer *brief = NULL;
        CHECK(aegis_budget_on_reclaim(shared, (int32_t)i, 0, free_wanted, NULL, NULL, &brief) ==
              AEGIS_OK);
        if (aegis_budget_charge(shared, 20, NULL) == AEGIS_OK)
            atomic_fetch_add(&held_bytes, 20);
        aegis_budget_reclaimer_remove(brief);
    }
    return NULL;
}

static void threads_that_wait_reclaim_and_fill_end_with_exact_sums(void) {
    pthread_t threads[4];
    make(100, 0, free_wanted);
    for (size_t i = 0; i < 4; i++)
        CHECK(pthread_create(&threads[i], NULL, i == 0 ? fill_cache : charge_many, NULL) == 0);
    for (size_t i = 0; i < 4; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK_SIZE(used(root), atomic_load(&held_bytes));
    CHECK_SIZE(used(shared), atomic_load(&held_bytes));
    take_apart();
}

#if !defined(_WIN32)

static size_t be_cancelled(void *context, size_t wanted_bytes) {
    CHECK(pthread_cancel(pthread_self()) == 0);
    pthread_testcancel();
    return free_wanted(context, wanted_bytes);
}

static void cancel_in_pressure(void *context, size_t used_bytes, size_t limit_bytes) {
    (void)context;
    if (used_bytes <= limit_bytes)
        return;
    CHECK(pthread_cancel(pthread_self()) == 0);
    pthread_testcancel();
    atomic_store(&may_end, true);
}

static void *charge_and_end(void *context) {
    (void)aegis_budget_charge((aegis_budget *)context, EACH_BYTES, NULL);
    pthread_testcancel();
    return NULL;
}

static void thread_that_is_cancelled_in_a_function_ends_after_the_charge(void) {
    pthread_t thread;
    void *result = NULL;
    make(100, 100, be_cancelled);
    CHECK(pthread_create(&thread, NULL, charge_and_end, root) == 0);
    CHECK(pthread_join(thread, &result) == 0 && result == PTHREAD_CANCELED);
    CHECK_SIZE(atomic_load(&freed_bytes), EACH_BYTES);
    CHECK(root->gate.sessions == NULL && root->gate.session_marks == 0);
    CHECK(aegis_budget_on_pressure(root, 100, cancel_in_pressure, NULL, NULL) == AEGIS_OK);
    CHECK(aegis_budget_uncharge(shared, 90) == AEGIS_OK);
    CHECK(aegis_budget_charge(root, 90, NULL) == AEGIS_OK);
    atomic_store(&held_bytes, 0);
    CHECK(pthread_create(&thread, NULL, charge_and_end, root) == 0);
    CHECK(pthread_join(thread, &result) == 0 && result == PTHREAD_CANCELED);
    CHECK(atomic_load(&may_end));
    CHECK(root->gate.sessions == NULL);
    take_apart();
}

#endif

int main(void) {
    check_alarm(300);
    RUN(threads_that_are_refused_at_once_reclaim_what_they_need_and_no_more);
    RUN(two_sessions_ask_each_reclaimer_once);
    RUN(reclaimer_that_is_removed_while_it_runs_is_destroyed_after_it);
    RUN(threads_that_wait_reclaim_and_fill_end_with_exact_sums);
#if !defined(_WIN32)
    RUN(thread_that_is_cancelled_in_a_function_ends_after_the_charge);
#endif
    return check_finish();
}
