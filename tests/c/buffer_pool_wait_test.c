/* SPDX-License-Identifier: Apache-2.0 */
/* Tests threads that wait for a buffer. Each wait must end with a buffer, at its deadline or with
 * an error, and no wake-up may be lost. No test depends on how fast a thread is: the threads find
 * each other's state in the statistics of the pool. AEGIS_TEST_SCALE sets the work. */
#if !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* sched_yield */
#endif
#include "buffer_pool_support.h"
#include "hurry_support.h"

#include <stdatomic.h>

#define NS_PER_MS UINT64_C(1000000)
#define WAITERS 6

static aegis_buffer_pool waiting_pool(const aegis_buffer_class *classes, size_t class_count,
                                      uint64_t timeout_ns, aegis_budget *budget) {
    aegis_buffer_pool pool;
    aegis_buffer_pool_options options = buffer_pool_options(classes, class_count, NULL);
    options.when_empty = AEGIS_BUFFER_WAIT;
    options.timeout_ns = timeout_ns;
    options.budget = budget;
    CHECK(aegis_buffer_pool_init(&pool, &options) == AEGIS_OK);
    return pool;
}

typedef struct waiting_thread {
    const aegis_buffer_pool *pool;
    size_t capacity_bytes;
    aegis_status status;
    aegis_buffer_mut writer;
    pthread_t thread;
} waiting_thread;

static void *wait_for_buffer(void *argument) {
    waiting_thread *self = (waiting_thread *)argument;
    self->status = aegis_buffer_pool_get(self->pool, &self->writer, self->capacity_bytes, NULL);
    return NULL;
}

/* Starts a thread that finds the pool empty. Returns when that thread waits. */
static void start(waiting_thread *self, const aegis_buffer_pool *pool, size_t capacity_bytes) {
    uint64_t wait_count = buffer_pool_stats(pool).wait_count;
    self->pool = pool;
    self->capacity_bytes = capacity_bytes;
    CHECK(pthread_create(&self->thread, NULL, wait_for_buffer, self) == 0);
    while (buffer_pool_stats(pool).wait_count == wait_count)
        sched_yield();
}

static void time_that_is_up_is_told_and_counted(void) {
    aegis_buffer_class only = {64, 1, 0};
    aegis_buffer_pool pool = waiting_pool(&only, 1, NS_PER_MS, NULL);
    aegis_buffer_mut writers[2];
    aegis_error error;
    CHECK_SIZE(get_writers(&pool, writers, 2, 1, &error), 1);
    CHECK(error.status == AEGIS_E_EXHAUSTED && error.in_use_bytes == 64);
    CHECK(is_no_writer(&writers[1]));
    /* A timeout of 0 does not wait, and a buffer larger than all classes is never waited for. */
    CHECK(aegis_buffer_pool_get_timeout(&pool, &writers[1], 1, 0, &error) == AEGIS_E_EXHAUSTED);
    CHECK(aegis_buffer_pool_get_timeout(&pool, &writers[1], 65, AEGIS_WAIT_FOREVER, &error) ==
          AEGIS_E_LIMIT_EXCEEDED);
    CHECK_SIZE(error.limit_bytes, 64);
    aegis_buffer_pool_stats stats = buffer_pool_stats(&pool);
    CHECK(stats.wait_count == 1 && stats.timeout_count == 1 && stats.refused_count == 3);
    release_writers(writers, 1);
    CHECK(aegis_buffer_pool_get_timeout(&pool, &writers[0], 1, 0, NULL) == AEGIS_OK);
    release_writers(writers, 1);
    aegis_buffer_pool_release(&pool);
}

static void a_call_may_wait_whatever_the_policy(void) {
    for (uint32_t policy = AEGIS_BUFFER_FAIL; policy <= AEGIS_BUFFER_HEAP; policy++) {
        aegis_buffer_class only = {64, 1, 0};
        aegis_buffer_pool_options options = buffer_pool_options(&only, 1, NULL);
        options.when_empty = policy;
        aegis_buffer_pool pool;
        aegis_buffer_mut writers[2];
        CHECK(aegis_buffer_pool_init(&pool, &options) == AEGIS_OK);
        CHECK_SIZE(get_writers(&pool, writers, 1, 1, NULL), 1);
        CHECK(aegis_buffer_pool_get_timeout(&pool, &writers[1], 1, NS_PER_MS, NULL) ==
              AEGIS_E_EXHAUSTED);
        aegis_buffer_pool_stats stats = buffer_pool_stats(&pool);
        CHECK(stats.wait_count == 1 && stats.timeout_count == 1 && stats.heap_count == 0);
        release_writers(writers, 1);
        aegis_buffer_pool_release(&pool);
    }
}

static void buffers_that_come_home_wake_those_who_wait(void) {
    aegis_buffer_class classes[2] = {{64, 1, 0}, {128, WAITERS, 0}};
    aegis_buffer_pool pool = waiting_pool(classes, 2, AEGIS_WAIT_FOREVER, NULL);
    aegis_buffer_mut writers[WAITERS + 1];
    CHECK_SIZE(get_writers(&pool, writers, WAITERS + 1, 1, NULL), WAITERS + 1);
    waiting_thread waiters[WAITERS];
    for (size_t i = 0; i < WAITERS; i++)
        start(&waiters[i], &pool, i % 2 == 0 ? 128 : 64);
    for (size_t i = 0; i <= WAITERS; i++)
        CHECK(aegis_buffer_mut_release(&writers[i]) == AEGIS_OK);
    for (size_t i = 0; i < WAITERS; i++) {
        pthread_join(waiters[i].thread, NULL);
        CHECK(waiters[i].status == AEGIS_OK);
        CHECK(waiters[i].writer.capacity >= waiters[i].capacity_bytes);
        release_writers(&waiters[i].writer, 1);
    }
    aegis_buffer_pool_stats stats = buffer_pool_stats(&pool);
    CHECK(stats.wait_count == WAITERS && stats.timeout_count == 0 && stats.refused_count == 0);
    CHECK(stats.classes[0].in_use == 0 && stats.classes[1].in_use == 0);
    aegis_buffer_pool_release(&pool);
}

/* A thread that waits for the larger class must go on waiting when the smaller class has a free
 * buffer. */
static void only_a_buffer_that_is_large_enough_ends_a_wait(void) {
    aegis_buffer_class classes[2] = {{64, 2, 0}, {128, 1, 0}};
    aegis_buffer_pool pool = waiting_pool(classes, 2, AEGIS_WAIT_FOREVER, NULL);
    aegis_buffer_mut writers[3];
    CHECK_SIZE(get_writers(&pool, writers, 3, 1, NULL), 3);
    waiting_thread large, small;
    start(&large, &pool, 128);
    start(&small, &pool, 64);
    CHECK(aegis_buffer_mut_release(&writers[0]) == AEGIS_OK);
    pthread_join(small.thread, NULL);
    CHECK(small.status == AEGIS_OK && small.writer.capacity == 64);
    CHECK(aegis_buffer_mut_release(&writers[1]) == AEGIS_OK);
    CHECK(aegis_buffer_mut_release(&writers[2]) == AEGIS_OK);
    pthread_join(large.thread, NULL);
    CHECK(large.status == AEGIS_OK && large.writer.capacity == 128);
    release_writers(&small.writer, 1);
    release_writers(&large.writer, 1);
    aegis_buffer_pool_release(&pool);
}

/* The budget refused to let the pool grow. Then another thread succeeds in growing it and makes
 * more buffers than it needs itself. */
static void growth_wakes_those_who_wait(void) {
    aegis_budget *budget = aegis_budget_new("buffers", AEGIS_BUDGET_UNLIMITED, NULL);
    aegis_buffer_class only = {64, 2, 4};
    aegis_buffer_pool pool = waiting_pool(&only, 1, AEGIS_WAIT_FOREVER, budget);
    aegis_budget_set_limit(budget, 0);
    aegis_buffer_mut writers[3];
    CHECK_SIZE(get_writers(&pool, writers, 2, 1, NULL), 2);
    waiting_thread waiter;
    start(&waiter, &pool, 1);
    aegis_budget_set_limit(budget, AEGIS_BUDGET_UNLIMITED);
    CHECK(aegis_buffer_pool_get(&pool, &writers[2], 1, NULL) == AEGIS_OK);
    pthread_join(waiter.thread, NULL);
    CHECK(waiter.status == AEGIS_OK);
    release_writers(&waiter.writer, 1);
    release_writers(writers, 3);
    aegis_buffer_pool_release(&pool);
    aegis_budget_destroy(budget);
}

/* A source that refuses for a time. */
static _Atomic bool is_dry;

static void *acquire_unless_dry(void *context, size_t size_bytes, size_t align_bytes,
                                bool *zeroed) {
    const aegis_source *pages = (const aegis_source *)context;
    return atomic_load(&is_dry) ? NULL
                                : pages->acquire(pages->context, size_bytes, align_bytes, zeroed);
}

static void release_to_pages(void *context, void *memory, size_t size_bytes, size_t align_bytes) {
    const aegis_source *pages = (const aegis_source *)context;
    pages->release(pages->context, memory, size_bytes, align_bytes);
}

/* The only buffer of the pool is out, and a thread waits for another one. Then memory becomes
 * available again, and no call tells the pool so. */
static void wait_for_memory(aegis_budget *budget, const aegis_source *source) {
    aegis_buffer_class only = {64, 1, 2};
    aegis_buffer_pool_options options = buffer_pool_options(&only, 1, source);
    aegis_buffer_pool pool;
    aegis_buffer_mut writer;
    waiting_thread waiter;
    options.when_empty = AEGIS_BUFFER_WAIT;
    options.timeout_ns = AEGIS_WAIT_FOREVER;
    options.budget = budget;
    CHECK(aegis_buffer_pool_init(&pool, &options) == AEGIS_OK);
    CHECK_SIZE(get_writers(&pool, &writer, 1, 1, NULL), 1);
    aegis_budget_set_limit(budget, 0);
    atomic_store(&is_dry, source != NULL);
    start(&waiter, &pool, 1);
    aegis_budget_set_limit(budget, AEGIS_BUDGET_UNLIMITED);
    atomic_store(&is_dry, false);
    pthread_join(waiter.thread, NULL);
    CHECK(waiter.status == AEGIS_OK);
    release_writers(&waiter.writer, 1);
    release_writers(&writer, 1);
    aegis_buffer_pool_release(&pool);
}

static void a_wait_ends_when_memory_is_to_be_had_again(void) {
    aegis_source pages = aegis_source_pages(0);
    aegis_source source = {acquire_unless_dry, release_to_pages, NULL, &pages};
    aegis_budget *budget = aegis_budget_new("buffers", AEGIS_BUDGET_UNLIMITED, NULL);
    wait_for_memory(budget, NULL);
    aegis_budget_set_limit(budget, AEGIS_BUDGET_UNLIMITED);
    wait_for_memory(budget, &source);
    aegis_budget_destroy(budget);
}

typedef struct timed_thread {
    const aegis_buffer_pool *pool;
    aegis_status status;
    aegis_error error;
    aegis_buffer_mut writer;
    pthread_t thread;
} timed_thread;

static void *wait_a_while(void *argument) {
    timed_thread *self = (timed_thread *)argument;
    self->status =
        aegis_buffer_pool_get_timeout(self->pool, &self->writer, 1, 100 * NS_PER_MS, &self->error);
    return NULL;
}

/* The error of a wait must say how the pool is at the end of the wait. The wait began because the
 * budget refused; then the class has grown to its maximum, and another thread has the new buffer
 * too. */
static void the_error_of_a_wait_is_that_of_its_last_look(void) {
    aegis_budget *budget = aegis_budget_new("buffers", AEGIS_BUDGET_UNLIMITED, NULL);
    aegis_buffer_class only = {64, 1, 2};
    aegis_buffer_pool pool = waiting_pool(&only, 1, AEGIS_WAIT_FOREVER, budget);
    aegis_buffer_mut writers[2];
    timed_thread waiter;
    memset(&waiter, 0, sizeof waiter);
    waiter.pool = &pool;
    CHECK_SIZE(get_writers(&pool, writers, 1, 1, NULL), 1);
    aegis_budget_set_limit(budget, 0);
    CHECK(pthread_create(&waiter.thread, NULL, wait_a_while, &waiter) == 0);
    while (buffer_pool_stats(&pool).wait_count == 0)
        sched_yield();
    aegis_budget_set_limit(budget, AEGIS_BUDGET_UNLIMITED);
    /* If the waiting thread is faster, it has the new buffer, and this thread waits for it. */
    CHECK(aegis_buffer_pool_get_timeout(&pool, &writers[1], 1, NS_PER_MS, NULL) == AEGIS_OK ||
          buffer_pool_stats(&pool).classes[0].in_use == 2);
    pthread_join(waiter.thread, NULL);
    if (waiter.status == AEGIS_OK) {
        release_writers(&waiter.writer, 1);
    } else {
        CHECK(waiter.status == AEGIS_E_EXHAUSTED && waiter.error.status == AEGIS_E_EXHAUSTED);
        CHECK(waiter.error.requested_bytes == 64 && waiter.error.refused == NULL);
        CHECK(waiter.error.limit_bytes == 128 && waiter.error.in_use_bytes == 128);
        release_writers(&writers[1], 1);
    }
    release_writers(writers, 1);
    aegis_buffer_pool_release(&pool);
    aegis_budget_destroy(budget);
}

static void the_budget_that_still_refuses_is_named_when_time_is_up(void) {
    aegis_budget *budget = aegis_budget_new("buffers", AEGIS_BUDGET_UNLIMITED, NULL);
    aegis_buffer_class only = {64, 1, 2};
    aegis_buffer_pool pool = waiting_pool(&only, 1, 25 * NS_PER_MS, budget);
    aegis_buffer_mut writers[2];
    aegis_error error;
    CHECK_SIZE(get_writers(&pool, writers, 1, 1, NULL), 1);
    aegis_budget_set_limit(budget, 0);
    CHECK(aegis_buffer_pool_get(&pool, &writers[1], 1, &error) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK(error.status == AEGIS_E_LIMIT_EXCEEDED && error.refused == budget);
    CHECK(error.limit_bytes == 0 && error.in_use_bytes != 0);
    aegis_buffer_pool_stats stats = buffer_pool_stats(&pool);
    CHECK(stats.wait_count == 1 && stats.timeout_count == 1 && stats.refused_count == 1);
    release_writers(writers, 1);
    aegis_buffer_pool_release(&pool);
    aegis_budget_destroy(budget);
}

static bool get_in_a_hurry(hurried_thread *self, uint64_t timeout_ns) {
    const aegis_buffer_pool *pool = (const aegis_buffer_pool *)self->pool;
    aegis_buffer_mut writer;
    if (aegis_buffer_pool_get_timeout(pool, &writer, 1, timeout_ns, NULL) != AEGIS_OK)
        return true;
    hurried_thread_use(self, writer.data);
    return aegis_buffer_mut_release(&writer) == AEGIS_OK;
}

static void nothing_is_lost_when_time_is_up_as_a_buffer_arrives(void) {
    aegis_buffer_pool pool = buffer_pool_of(64, 2, 0, NULL);
    size_t got_count = run_hurried_threads(&pool, get_in_a_hurry);
    aegis_buffer_pool_stats stats = buffer_pool_stats(&pool);
    CHECK(stats.wait_count >= stats.timeout_count && stats.refused_count >= stats.timeout_count);
    CHECK_SIZE(got_count + stats.refused_count, HURRIED_THREADS * HURRIED_TURNS);
    CHECK_SIZE(stats.classes[0].in_use, 0);
    aegis_buffer_mut writers[3];
    CHECK_SIZE(get_writers(&pool, writers, 3, 1, NULL), 2);
    release_writers(writers, 2);
    aegis_buffer_pool_release(&pool);
}

static atomic_size_t failure_count;

/* Waits without a deadline, again and again. A lost wake-up would hang the test. */
static void *wait_often(void *argument) {
    const aegis_buffer_pool *pool = (const aegis_buffer_pool *)argument;
    for (size_t i = 0; i < scaled(4000); i++) {
        aegis_buffer_mut writer;
        bool failed = aegis_buffer_pool_get(pool, &writer, 1, NULL) != AEGIS_OK;
        if (failed || aegis_buffer_mut_release(&writer) != AEGIS_OK)
            atomic_fetch_add(&failure_count, 1);
    }
    return NULL;
}

static void no_wake_up_is_lost(void) {
    aegis_buffer_class only = {64, 2, 0};
    aegis_buffer_pool pool = waiting_pool(&only, 1, AEGIS_WAIT_FOREVER, NULL);
    pthread_t threads[WAITERS];
    for (size_t i = 0; i < WAITERS; i++)
        CHECK(pthread_create(&threads[i], NULL, wait_often, &pool) == 0);
    for (size_t i = 0; i < WAITERS; i++)
        pthread_join(threads[i], NULL);
    CHECK_SIZE(atomic_load(&failure_count), 0);
    CHECK(buffer_pool_stats(&pool).refused_count == 0);
    aegis_buffer_pool_release(&pool);
}

int main(void) {
    RUN(time_that_is_up_is_told_and_counted);
    RUN(a_call_may_wait_whatever_the_policy);
    RUN(buffers_that_come_home_wake_those_who_wait);
    RUN(only_a_buffer_that_is_large_enough_ends_a_wait);
    RUN(growth_wakes_those_who_wait);
    RUN(a_wait_ends_when_memory_is_to_be_had_again);
    RUN(the_error_of_a_wait_is_that_of_its_last_look);
    RUN(the_budget_that_still_refuses_is_named_when_time_is_up);
    RUN(nothing_is_lost_when_time_is_up_as_a_buffer_arrives);
    RUN(no_wake_up_is_lost);
    return check_finish();
}
