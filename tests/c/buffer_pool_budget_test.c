/* SPDX-License-Identifier: Apache-2.0 */
/* Tests buffer pools that wait for room in their budget, with each policy. No test depends on how
 * fast a thread is: the threads find each other's requests in what the budget says when it refuses,
 * and an alarm ends a test that hangs. */
#if !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* sched_yield */
#endif
#include "buffer_pool_support.h"
#include "wait_support.h"

#define BUFFER_BYTES ((size_t)4096)
#define POLICIES 3

static aegis_budget *budget;
static size_t rest_bytes;

/* Makes a pool of one buffer that may grow, takes that buffer, and charges all that the budget has
 * left. */
static aegis_buffer_pool make(uint32_t policy, uint64_t timeout_ns, uint64_t wait_ns,
                              aegis_buffer_mut *writer) {
    aegis_buffer_class only = {BUFFER_BYTES, 1, 8};
    aegis_buffer_pool_options options = buffer_pool_options(&only, 1, NULL);
    aegis_buffer_pool pool;
    budget = aegis_budget_new("b", LIMIT_BYTES, NULL);
    options.budget = budget;
    options.when_empty = policy;
    options.timeout_ns = timeout_ns;
    options.wait_ns = wait_ns;
    CHECK(aegis_buffer_pool_init(&pool, &options) == AEGIS_OK);
    CHECK_SIZE(get_writers(&pool, writer, 1, 1, NULL), 1);
    rest_bytes = LIMIT_BYTES - used(budget);
    CHECK(aegis_budget_charge(budget, rest_bytes, NULL) == AEGIS_OK);
    return pool;
}

/* Ends all that `make` has begun. What it charged must be uncharged by now. */
static void finish(aegis_buffer_pool *pool, aegis_buffer_mut *writer) {
    CHECK_SIZE(waiting_bytes(budget), 0);
    release_writers(writer, 1);
    aegis_buffer_pool_release(pool);
    CHECK_SIZE(used(budget), 0);
    aegis_budget_destroy(budget);
}

static void uncharge_rest(void) {
    CHECK(aegis_budget_uncharge(budget, rest_bytes) == AEGIS_OK);
}

typedef struct requester {
    const aegis_buffer_pool *pool;
    aegis_status status;
    aegis_buffer_mut writer;
    pthread_t thread;
} requester;

static void *request(void *argument) {
    requester *self = (requester *)argument;
    self->status = aegis_buffer_pool_get(self->pool, &self->writer, 1, NULL);
    return NULL;
}

/* Starts a thread that wants a buffer, and returns when it waits in the budget. */
static void start(requester *self, const aegis_buffer_pool *pool) {
    size_t old_bytes = waiting_bytes(budget);
    memset(self, 0, sizeof *self);
    self->pool = pool;
    CHECK(pthread_create(&self->thread, NULL, request, self) == 0);
    wait_for_more_waiting(budget, old_bytes);
}

static void join(requester *self) {
    CHECK(pthread_join(self->thread, NULL) == 0);
    CHECK(self->status == AEGIS_OK);
    CHECK(self->writer.capacity >= 1);
}

static void get_waits_with_each_policy_until_another_thread_uncharges(void) {
    for (uint32_t policy = 0; policy < POLICIES; policy++) {
        aegis_buffer_mut writer;
        requester waiter;
        aegis_buffer_pool pool = make(policy, AEGIS_WAIT_FOREVER, AEGIS_WAIT_FOREVER, &writer);
        start(&waiter, &pool);
        size_t asked_bytes = waiting_bytes(budget);
        CHECK(asked_bytes >= BUFFER_BYTES && asked_bytes <= 3 * BUFFER_BYTES);
        CHECK(aegis_budget_uncharge(budget, asked_bytes - 1) == AEGIS_OK);
        CHECK_SIZE(waiting_bytes(budget), asked_bytes);
        CHECK(aegis_budget_uncharge(budget, 1) == AEGIS_OK);
        join(&waiter);
        rest_bytes -= asked_bytes;
        CHECK_SIZE(buffer_pool_stats(&pool).heap_count, policy == AEGIS_BUFFER_HEAP);
        CHECK_SIZE(used(budget), LIMIT_BYTES);
        release_writers(&waiter.writer, 1);
        uncharge_rest();
        finish(&pool, &writer);
    }
}

static void buffer_that_comes_home_ends_the_wait_with_each_policy(void) {
    for (uint32_t policy = 0; policy < POLICIES; policy++) {
        aegis_buffer_mut writer;
        requester waiter;
        aegis_buffer_pool pool = make(policy, AEGIS_WAIT_FOREVER, AEGIS_WAIT_FOREVER, &writer);
        start(&waiter, &pool);
        release_writers(&writer, 1);
        join(&waiter);
        CHECK_SIZE(used(budget), LIMIT_BYTES);
        CHECK_SIZE(buffer_pool_stats(&pool).heap_count, 0);
        uncharge_rest();
        finish(&pool, &waiter.writer);
    }
}

static void time_that_is_up_leaves_a_whole_error_and_nothing_else(void) {
    for (uint32_t policy = 0; policy < POLICIES; policy++) {
        aegis_buffer_mut writer, none;
        aegis_error error;
        aegis_buffer_pool pool = make(policy, 3 * NS_PER_MS, NS_PER_MS, &writer);
        CHECK(aegis_buffer_pool_get(&pool, &none, 1, &error) == AEGIS_E_LIMIT_EXCEEDED);
        CHECK(is_no_writer(&none));
        CHECK(error.refused == budget && error.requested_bytes == 1);
        CHECK_SIZE(error.limit_bytes, LIMIT_BYTES);
        CHECK_SIZE(error.in_use_bytes, LIMIT_BYTES);
        CHECK(error.needed_bytes >= BUFFER_BYTES && error.needed_bytes <= 3 * BUFFER_BYTES);
        CHECK_SIZE(used(budget), LIMIT_BYTES);
        CHECK_SIZE(buffer_pool_stats(&pool).refused_count, 1);
        uncharge_rest();
        CHECK(aegis_buffer_pool_get(&pool, &none, 1, &error) == AEGIS_OK);
        release_writers(&none, 1);
        finish(&pool, &writer);
    }
}

static size_t acquires_left;

static void *acquire_while_some_are_left(void *context, size_t size_bytes, size_t align_bytes,
                                         bool *zeroed) {
    (void)context;
    if (acquires_left == 0)
        return NULL;
    acquires_left--;
    return aegis_source_heap().acquire(NULL, size_bytes, align_bytes, zeroed);
}

static void release_to_heap(void *context, void *memory, size_t size_bytes, size_t align_bytes) {
    (void)context;
    aegis_source_heap().release(NULL, memory, size_bytes, align_bytes);
}

/* A pool that waited with a part of what it needs in hand would wait for itself. */
static void new_pool_takes_all_at_once_if_it_may_wait(void) {
    const aegis_buffer_class classes[2] = {{BUFFER_BYTES, 2, 4}, {2 * BUFFER_BYTES, 1, 2}};
    aegis_source source = {acquire_while_some_are_left, release_to_heap, NULL, NULL};
    aegis_buffer_pool_options options = buffer_pool_options(classes, 2, &source);
    aegis_buffer_pool pool;
    aegis_error error;
    options.budget = budget = aegis_budget_new("b", AEGIS_BUDGET_UNLIMITED, NULL);
    options.error = &error;
    acquires_left = SIZE_MAX;
    CHECK(aegis_buffer_pool_init(&pool, &options) == AEGIS_OK);
    size_t all_bytes = used(budget), most_acquires = SIZE_MAX - acquires_left;
    aegis_buffer_pool_release(&pool);
    options.wait_ns = AEGIS_WAIT_FOREVER;
    aegis_budget_set_limit(budget, all_bytes - 1);
    CHECK(aegis_buffer_pool_init(&pool, &options) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK(error.status == AEGIS_E_LIMIT_EXCEEDED && error.refused == budget);
    CHECK_SIZE(error.requested_bytes, 4 * BUFFER_BYTES);
    CHECK_SIZE(error.needed_bytes, all_bytes);
    CHECK_SIZE(used(budget), 0);
    CHECK(figures_of(budget).refused_count == 1);
    aegis_budget_set_limit(budget, all_bytes);
    for (size_t i = 0; i < most_acquires; i++) {
        acquires_left = i;
        CHECK(aegis_buffer_pool_init(&pool, &options) == AEGIS_E_OUT_OF_MEMORY);
        CHECK_SIZE(used(budget), 0);
    }
    acquires_left = SIZE_MAX;
    CHECK(aegis_buffer_pool_init(&pool, &options) == AEGIS_OK);
    CHECK_SIZE(used(budget), all_bytes);
    CHECK_SIZE(buffer_pool_stats(&pool).reserved_bytes, all_bytes);
    aegis_buffer_pool_release(&pool);
    CHECK_SIZE(used(budget), 0);
    aegis_budget_destroy(budget);
}

static void time_of_a_get_bounds_its_wait_for_the_budget(void) {
    aegis_buffer_mut writer, none;
    aegis_error error;
    /* Without that bound none of these would end. */
    aegis_buffer_pool pool = make(AEGIS_BUFFER_WAIT, NS_PER_MS, AEGIS_WAIT_FOREVER, &writer);
    CHECK(aegis_buffer_pool_get(&pool, &none, 1, &error) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK_SIZE(buffer_pool_stats(&pool).timeout_count, 1);
    CHECK(aegis_buffer_pool_get_timeout(&pool, &none, 1, 0, &error) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK(aegis_buffer_pool_get_timeout(&pool, &none, 1, NS_PER_MS, &error) ==
          AEGIS_E_LIMIT_EXCEEDED);
    CHECK(error.refused == budget);
    uncharge_rest();
    finish(&pool, &writer);
}

static void get_goes_on_waiting_for_a_buffer_when_the_budget_has_refused(void) {
    aegis_buffer_mut writer;
    requester waiter;
    aegis_buffer_pool pool = make(AEGIS_BUFFER_WAIT, AEGIS_WAIT_FOREVER, NS_PER_MS, &writer);
    memset(&waiter, 0, sizeof waiter);
    waiter.pool = &pool;
    CHECK(pthread_create(&waiter.thread, NULL, request, &waiter) == 0);
    while (buffer_pool_stats(&pool).wait_count == 0)
        sched_yield();
    CHECK_SIZE(waiting_bytes(budget), 0);
    release_writers(&writer, 1);
    join(&waiter);
    uncharge_rest();
    finish(&pool, &waiter.writer);
}

/* A request that waits asks the budget again and again. The pressure functions hear of it once,
 * whatever else the request asks for. */
static void one_get_tells_the_pressure_functions_once(void) {
    for (uint32_t policy = 0; policy < POLICIES; policy++) {
        aegis_buffer_mut writer, none;
        aegis_buffer_pool pool = make(policy, 60 * NS_PER_MS, 0, &writer);
        atomic_store(&told_count, 0);
        CHECK(aegis_budget_on_pressure(budget, 100, count_pressure, NULL, NULL) == AEGIS_OK);
        CHECK(aegis_buffer_pool_get(&pool, &none, 1, NULL) == AEGIS_E_LIMIT_EXCEEDED);
        CHECK_SIZE(atomic_load(&told_count), 1);
        uncharge_rest();
        finish(&pool, &writer);
    }
}

static uint64_t refused(void) {
    aegis_budget_figures figures;
    aegis_budget_get_figures(budget, &figures);
    return figures.refused_count;
}

/* Two classes and the C heap may be asked for, some of them again and again. */
static void one_get_counts_as_one_refusal_and_one_poll_as_none(void) {
    aegis_buffer_class classes[] = {{BUFFER_BYTES, 1, 4}, {2 * BUFFER_BYTES, 1, 4}};
    for (uint32_t policy = 0; policy < 4 * POLICIES; policy++) {
        aegis_buffer_pool_options options = buffer_pool_options(classes, 2, NULL);
        aegis_buffer_pool pool;
        aegis_buffer_mut writers[2], none;
        budget = aegis_budget_new("b", LIMIT_BYTES, NULL);
        options.budget = budget;
        options.when_empty = policy % POLICIES;
        options.timeout_ns = 45 * NS_PER_MS;
        options.wait_ns = policy / POLICIES % 2 * NS_PER_MS;
        options.flags = policy < 2 * POLICIES ? 0 : AEGIS_BUFFER_RECLAIMABLE;
        CHECK(aegis_buffer_pool_init(&pool, &options) == AEGIS_OK);
        rest_bytes = LIMIT_BYTES - used(budget);
        CHECK(aegis_budget_charge(budget, rest_bytes, NULL) == AEGIS_OK);
        CHECK_SIZE(get_writers(&pool, writers, 2, 1, NULL), 2);
        uint64_t old_count = refused();
        CHECK(aegis_buffer_pool_get(&pool, &none, 1, NULL) == AEGIS_E_LIMIT_EXCEEDED);
        CHECK(refused() == old_count + 1);
        aegis_buffer_pool_request *polled = NULL;
        for (int i = 0; i < 3; i++)
            CHECK(aegis_buffer_pool_poll(&pool, &polled, &none, 1, NULL, NULL, NULL) ==
                  AEGIS_PENDING);
        CHECK(refused() == old_count + 1 && waiting_bytes(budget) != 0);
        (void)aegis_buffer_pool_request_cancel(polled);
        uncharge_rest();
        release_writers(&writers[1], 1);
        finish(&pool, &writers[0]);
    }
}

/* Two threads wait so that the class can have its last buffer. If the second went on waiting, it
 * would not end: no room comes for it, and the class could not use it. */
static void class_that_cannot_grow_any_more_ends_the_wait(void) {
    aegis_buffer_class only = {BUFFER_BYTES, 1, 2};
    aegis_buffer_pool_options options = buffer_pool_options(&only, 1, NULL);
    aegis_buffer_pool pool;
    aegis_buffer_mut writer;
    requester waiters[2];
    budget = aegis_budget_new("b", LIMIT_BYTES, NULL);
    options.budget = budget;
    options.wait_ns = AEGIS_WAIT_FOREVER;
    CHECK(aegis_buffer_pool_init(&pool, &options) == AEGIS_OK);
    CHECK_SIZE(get_writers(&pool, &writer, 1, 1, NULL), 1);
    rest_bytes = LIMIT_BYTES - used(budget);
    CHECK(aegis_budget_charge(budget, rest_bytes, NULL) == AEGIS_OK);
    for (size_t i = 0; i < 2; i++)
        start(&waiters[i], &pool);
    size_t slab_bytes = waiting_bytes(budget) / 2;
    CHECK(aegis_budget_uncharge(budget, slab_bytes) == AEGIS_OK);
    rest_bytes -= slab_bytes;
    for (size_t i = 0; i < 2; i++)
        CHECK(pthread_join(waiters[i].thread, NULL) == 0);
    size_t served = waiters[0].status == AEGIS_OK ? 0 : 1;
    CHECK(waiters[served].status == AEGIS_OK);
    CHECK(waiters[1 - served].status == AEGIS_E_EXHAUSTED);
    release_writers(&waiters[served].writer, 1);
    uncharge_rest();
    finish(&pool, &writer);
}

static void free_buffer_of_a_larger_class_is_taken_without_a_word(void) {
    aegis_buffer_class classes[] = {{64, 1, 2}, {4096, 1, 0}};
    aegis_buffer_pool_options options = buffer_pool_options(classes, 2, NULL);
    aegis_buffer_pool pool;
    aegis_buffer_mut writers[2], none;
    budget = aegis_budget_new("b", LIMIT_BYTES, NULL);
    options.budget = budget;
    options.wait_ns = AEGIS_WAIT_FOREVER;
    CHECK(aegis_buffer_pool_init(&pool, &options) == AEGIS_OK);
    rest_bytes = LIMIT_BYTES - used(budget);
    CHECK(aegis_budget_charge(budget, rest_bytes, NULL) == AEGIS_OK);
    atomic_store(&told_count, 0);
    CHECK(aegis_budget_on_pressure(budget, 100, count_pressure, NULL, NULL) == AEGIS_OK);
    CHECK_SIZE(get_writers(&pool, writers, 2, 1, NULL), 2);
    CHECK_SIZE(writers[1].capacity, 4096);
    CHECK_SIZE(atomic_load(&told_count), 0);
    /* Now the smaller class must grow. */
    CHECK(aegis_buffer_pool_get_timeout(&pool, &none, 1, NS_PER_MS, NULL) ==
          AEGIS_E_LIMIT_EXCEEDED);
    CHECK_SIZE(atomic_load(&told_count), 1);
    release_writers(&writers[1], 1);
    uncharge_rest();
    finish(&pool, &writers[0]);
}

static void writer_that_grows_asks_for_more_than_it_needs_without_a_word(void) {
    aegis_buffer_mut writer;
    budget = aegis_budget_new("b", LIMIT_BYTES, NULL);
    CHECK(aegis_buffer_mut_alloc(&writer, 1000, 0, budget, NULL) == AEGIS_OK);
    CHECK(aegis_buffer_mut_append(&writer, "x", 1) == AEGIS_OK);
    rest_bytes = LIMIT_BYTES - used(budget);
    CHECK(aegis_budget_charge(budget, rest_bytes, NULL) == AEGIS_OK);
    atomic_store(&told_count, 0);
    CHECK(aegis_budget_on_pressure(budget, 100, count_pressure, NULL, NULL) == AEGIS_OK);
    CHECK(aegis_buffer_mut_reserve(&writer, 1001, budget, NULL) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK_SIZE(atomic_load(&told_count), 1);
    CHECK(aegis_buffer_mut_release(&writer) == AEGIS_OK);
    uncharge_rest();
    aegis_budget_destroy(budget);
}

int main(void) {
    check_alarm(120);
    RUN(get_waits_with_each_policy_until_another_thread_uncharges);
    RUN(buffer_that_comes_home_ends_the_wait_with_each_policy);
    RUN(time_that_is_up_leaves_a_whole_error_and_nothing_else);
    RUN(new_pool_takes_all_at_once_if_it_may_wait);
    RUN(time_of_a_get_bounds_its_wait_for_the_budget);
    RUN(get_goes_on_waiting_for_a_buffer_when_the_budget_has_refused);
    RUN(one_get_tells_the_pressure_functions_once);
    RUN(one_get_counts_as_one_refusal_and_one_poll_as_none);
    RUN(class_that_cannot_grow_any_more_ends_the_wait);
    RUN(free_buffer_of_a_larger_class_is_taken_without_a_word);
    RUN(writer_that_grows_asks_for_more_than_it_needs_without_a_word);
    return check_finish();
}
