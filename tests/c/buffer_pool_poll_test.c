/* SPDX-License-Identifier: Apache-2.0 */
/* Tests requests for a buffer of a pool that are polled: which of them a released buffer wakes,
 * that no wake-up is lost, and what becomes of them at the end of the pool and after a fork. One
 * test uses threads; the others see every step. */
#include "fork_support.h" /* first, for _GNU_SOURCE */
#include "poll_support.h"

#include "buffer_pool_support.h"

static aegis_buffer_pool pool;
static test_source state;

/* A task with a request: its waker counts, and then does what `then` says. */
typedef struct task {
    aegis_buffer_pool_request *request;
    aegis_buffer_mut writer;
    size_t wanted_bytes;
    atomic_size_t wake_count;
    void (*then)(struct task *self);
    aegis_error error;
} task;

static void wake_task(void *context) {
    task *self = (task *)context;
    atomic_fetch_add(&self->wake_count, 1);
    if (self->then != NULL)
        self->then(self);
}

static aegis_status poll_task(task *self) {
    aegis_status status = aegis_buffer_pool_poll(&pool, &self->request, &self->writer,
                                                 self->wanted_bytes, wake_task, self, &self->error);
    CHECK((status == AEGIS_PENDING) == (self->request != NULL));
    CHECK((status == AEGIS_OK) != is_no_writer(&self->writer));
    return status;
}

static bool was_woken(task *self, size_t wake_count) {
    return atomic_load(&self->wake_count) == wake_count;
}

/* A pool of which all buffers are in `writers`. */
static void make(size_t count, size_t max_count, aegis_buffer_mut *writers) {
    aegis_source source = test_source_get(&state, true);
    pool = buffer_pool_of(64, count, max_count, &source);
    CHECK_SIZE(get_writers(&pool, writers, count, 1, NULL), count);
}

static void finish(void) {
    CHECK_SIZE(buffer_pool_stats(&pool).classes[0].in_use, 0);
    aegis_buffer_pool_release(&pool);
    CHECK_SIZE(state.live_count, 0);
    CHECK_SIZE(state.close_count, 1);
}

static void poll_takes_a_free_buffer_without_a_request(void) {
    task one = {0};
    aegis_buffer_mut writers[1];
    make(1, 0, writers);
    release_writers(writers, 1);
    CHECK(poll_task(&one) == AEGIS_OK);
    CHECK(one.writer.capacity == 64 && one.writer.length == 0);
    CHECK_SIZE(buffer_pool_stats(&pool).wait_count, 0);
    release_writers(&one.writer, 1);
    CHECK(was_woken(&one, 0));
    finish();
}

static void released_buffer_wakes_the_oldest_request_alone(void) {
    task tasks[3];
    aegis_buffer_mut writers[1];
    memset(tasks, 0, sizeof tasks);
    make(1, 0, writers);
    for (size_t i = 0; i < 3; i++)
        CHECK(poll_task(&tasks[i]) == AEGIS_PENDING);
    CHECK_SIZE(buffer_pool_stats(&pool).wait_count, 3);
    aegis_buffer_mut *last = writers;
    for (size_t i = 0; i < 3; i++) {
        release_writers(last, 1);
        for (size_t k = 0; k < 3; k++)
            CHECK(was_woken(&tasks[k], k <= i ? 1 : 0));
        CHECK(poll_task(&tasks[i]) == AEGIS_OK);
        last = &tasks[i].writer;
    }
    release_writers(last, 1);
    finish();
}

static void request_that_finds_its_buffer_taken_keeps_its_place(void) {
    task one = {0}, two = {0};
    aegis_buffer_mut writers[1], taken;
    make(1, 0, writers);
    CHECK(poll_task(&one) == AEGIS_PENDING);
    CHECK(poll_task(&two) == AEGIS_PENDING);
    release_writers(writers, 1);
    CHECK(was_woken(&one, 1) && was_woken(&two, 0));
    CHECK(aegis_buffer_pool_get(&pool, &taken, 1, NULL) == AEGIS_OK);
    CHECK(poll_task(&one) == AEGIS_PENDING);
    /* Polling in vain does not wake the other one, and does not change their order. */
    CHECK(was_woken(&two, 0));
    CHECK(poll_task(&two) == AEGIS_PENDING);
    release_writers(&taken, 1);
    CHECK(was_woken(&one, 2) && was_woken(&two, 0));
    CHECK(poll_task(&one) == AEGIS_OK);
    release_writers(&one.writer, 1);
    CHECK(was_woken(&two, 1));
    CHECK(poll_task(&two) == AEGIS_OK);
    release_writers(&two.writer, 1);
    finish();
}

static void cancelled_request_passes_its_wake_up_on(void) {
    task tasks[4];
    aegis_buffer_mut writers[1];
    memset(tasks, 0, sizeof tasks);
    make(1, 0, writers);
    for (size_t i = 0; i < 4; i++)
        CHECK(poll_task(&tasks[i]) == AEGIS_PENDING);
    CHECK(aegis_buffer_pool_request_cancel(tasks[1].request));
    release_writers(writers, 1);
    CHECK(was_woken(&tasks[0], 1) && was_woken(&tasks[2], 0));
    CHECK(!aegis_buffer_pool_request_cancel(tasks[0].request));
    CHECK(was_woken(&tasks[1], 0) && was_woken(&tasks[2], 1) && was_woken(&tasks[3], 0));
    CHECK(poll_task(&tasks[2]) == AEGIS_OK);
    CHECK(aegis_buffer_pool_request_cancel(tasks[3].request));
    release_writers(&tasks[2].writer, 1);
    CHECK(was_woken(&tasks[3], 0));
    CHECK(!aegis_buffer_pool_request_cancel(NULL));
    finish();
}

static void only_the_latest_waker_is_called_and_only_once(void) {
    task first = {0}, second = {0};
    aegis_buffer_pool_request *request = NULL;
    aegis_buffer_mut writers[1], got;
    make(1, 0, writers);
    CHECK(aegis_buffer_pool_poll(&pool, &request, &got, 1, wake_task, &first, NULL) ==
          AEGIS_PENDING);
    CHECK(aegis_buffer_pool_poll(&pool, &request, &got, 1, wake_task, &second, NULL) ==
          AEGIS_PENDING);
    release_writers(writers, 1);
    CHECK(was_woken(&first, 0) && was_woken(&second, 1));
    CHECK(!aegis_buffer_pool_request_disarm(request));
    CHECK(aegis_buffer_pool_poll(&pool, &request, &got, 1, NULL, NULL, NULL) == AEGIS_OK);
    CHECK(aegis_buffer_pool_poll(&pool, &request, writers, 1, wake_task, &first, NULL) ==
          AEGIS_PENDING);
    CHECK(aegis_buffer_pool_request_disarm(request));
    CHECK(!aegis_buffer_pool_request_disarm(request));
    release_writers(&got, 1);
    CHECK(was_woken(&first, 0) && was_woken(&second, 1));
    CHECK(aegis_buffer_pool_poll(&pool, &request, &got, 1, NULL, NULL, NULL) == AEGIS_OK);
    release_writers(&got, 1);
    finish();
}

/* A buffer wakes the oldest request that it is large enough for, and a request that gets another
 * buffer than the one that has woken it wakes the next. */
static void buffer_wakes_a_request_for_which_it_is_large_enough(void) {
    aegis_buffer_class classes[2] = {{64, 1, 0}, {256, 1, 0}};
    aegis_source source = test_source_get(&state, true);
    aegis_buffer_pool_options options = buffer_pool_options(classes, 2, &source);
    aegis_buffer_mut small, large;
    task want_large = {0}, want_small = {0}, want_any = {0};
    want_large.wanted_bytes = 256;
    CHECK(aegis_buffer_pool_init(&pool, &options) == AEGIS_OK);
    CHECK(aegis_buffer_pool_get(&pool, &small, 64, NULL) == AEGIS_OK);
    CHECK(aegis_buffer_pool_get(&pool, &large, 256, NULL) == AEGIS_OK);
    CHECK(poll_task(&want_large) == AEGIS_PENDING);
    CHECK(poll_task(&want_small) == AEGIS_PENDING);
    CHECK(poll_task(&want_any) == AEGIS_PENDING);
    release_writers(&small, 1);
    CHECK(was_woken(&want_large, 0) && was_woken(&want_small, 1) && was_woken(&want_any, 0));
    CHECK(poll_task(&want_small) == AEGIS_OK);
    release_writers(&large, 1);
    CHECK(was_woken(&want_large, 1) && was_woken(&want_any, 0));
    CHECK(poll_task(&want_large) == AEGIS_OK);
    release_writers(&want_large.writer, 1);
    /* The large buffer has woken the request for any. It then finds a small one. */
    CHECK(was_woken(&want_any, 1));
    task late = {0};
    CHECK(aegis_buffer_pool_get(&pool, &large, 256, NULL) == AEGIS_OK);
    late.wanted_bytes = 256;
    CHECK(poll_task(&late) == AEGIS_PENDING);
    release_writers(&large, 1);
    CHECK(was_woken(&late, 1));
    CHECK(poll_task(&late) == AEGIS_OK);
    release_writers(&want_small.writer, 1);
    CHECK(poll_task(&want_any) == AEGIS_OK);
    CHECK(want_any.writer.capacity == 64);
    release_writers(&want_any.writer, 1);
    release_writers(&late.writer, 1);
    CHECK_SIZE(buffer_pool_stats(&pool).classes[1].in_use, 0);
    finish();
}

static void request_that_takes_another_buffer_wakes_the_next(void) {
    aegis_buffer_class classes[2] = {{64, 1, 0}, {256, 1, 0}};
    aegis_source source = test_source_get(&state, true);
    aegis_buffer_pool_options options = buffer_pool_options(classes, 2, &source);
    aegis_buffer_mut small, large;
    task first = {0}, second = {0};
    second.wanted_bytes = 256;
    CHECK(aegis_buffer_pool_init(&pool, &options) == AEGIS_OK);
    CHECK(aegis_buffer_pool_get(&pool, &small, 64, NULL) == AEGIS_OK);
    CHECK(aegis_buffer_pool_get(&pool, &large, 256, NULL) == AEGIS_OK);
    CHECK(poll_task(&first) == AEGIS_PENDING);
    CHECK(poll_task(&second) == AEGIS_PENDING);
    release_writers(&large, 1);
    CHECK(was_woken(&first, 1) && was_woken(&second, 0));
    release_writers(&small, 1);
    CHECK(was_woken(&second, 0));
    CHECK(poll_task(&first) == AEGIS_OK);
    CHECK_SIZE(first.writer.capacity, 64);
    CHECK(was_woken(&second, 1));
    CHECK(poll_task(&second) == AEGIS_OK);
    release_writers(&first.writer, 1);
    release_writers(&second.writer, 1);
    finish();
}

static void use_buffer(task *self) {
    CHECK(poll_task(self) == AEGIS_OK);
    memset(self->writer.data, 0xFF, self->writer.capacity);
    release_writers(&self->writer, 1);
}

static void waker_may_use_the_pool(void) {
    task tasks[3];
    aegis_buffer_mut writers[1];
    memset(tasks, 0, sizeof tasks);
    make(1, 0, writers);
    for (size_t i = 0; i < 3; i++) {
        tasks[i].then = use_buffer;
        CHECK(poll_task(&tasks[i]) == AEGIS_PENDING);
    }
    release_writers(writers, 1);
    for (size_t i = 0; i < 3; i++)
        CHECK(was_woken(&tasks[i], 1) && tasks[i].request == NULL);
    finish();
}

static void growth_wakes_as_many_requests_as_it_has_buffers(void) {
    task tasks[4];
    aegis_buffer_mut writers[2], grown;
    memset(tasks, 0, sizeof tasks);
    make(2, 4, writers);
    state.fail_at = 1;
    state.fail_on = true;
    for (size_t i = 0; i < 4; i++)
        CHECK(poll_task(&tasks[i]) == AEGIS_PENDING);
    state.fail_on = false;
    state.fail_at = 0;
    CHECK(aegis_buffer_pool_get(&pool, &grown, 1, NULL) == AEGIS_OK);
    CHECK(was_woken(&tasks[0], 1) && was_woken(&tasks[2], 0) && was_woken(&tasks[3], 0));
    CHECK(poll_task(&tasks[0]) == AEGIS_OK);
    for (size_t i = 1; i < 4; i++)
        (void)aegis_buffer_pool_request_cancel(tasks[i].request);
    release_writers(writers, 2);
    release_writers(&grown, 1);
    release_writers(&tasks[0].writer, 1);
    finish();
}

static void too_many_bytes_and_a_released_handle_are_errors(void) {
    task one = {0}, two = {0};
    aegis_buffer_mut writers[1];
    make(1, 0, writers);
    one.wanted_bytes = 65;
    CHECK(poll_task(&one) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK(one.error.status == AEGIS_E_LIMIT_EXCEEDED && one.error.limit_bytes == 64);
    /* A request that asks for too much later ends, and wakes the next one. */
    one.wanted_bytes = 1;
    CHECK(poll_task(&one) == AEGIS_PENDING);
    CHECK(poll_task(&two) == AEGIS_PENDING);
    release_writers(writers, 1);
    one.wanted_bytes = 65;
    CHECK(was_woken(&one, 1) && was_woken(&two, 0));
    CHECK(poll_task(&one) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK(was_woken(&two, 1));
    CHECK_SIZE(buffer_pool_stats(&pool).refused_count, 2);
    /* A released handle ends the request, which was the last that kept the pool. */
    aegis_buffer_pool_release(&pool);
    CHECK_SIZE(state.close_count, 0);
    CHECK(poll_task(&two) == AEGIS_E_INVALID);
    CHECK_SIZE(state.close_count, 1);
    CHECK_SIZE(state.live_count, 0);
}

static void request_keeps_the_pool_after_its_last_handle(void) {
    task one = {0}, two = {0};
    aegis_buffer_mut writers[1];
    make(1, 0, writers);
    CHECK(poll_task(&one) == AEGIS_PENDING);
    CHECK(poll_task(&two) == AEGIS_PENDING);
    aegis_buffer_pool_release(&pool);
    release_writers(writers, 1);
    CHECK(was_woken(&one, 1));
    CHECK_SIZE(state.close_count, 0);
    CHECK(!aegis_buffer_pool_request_cancel(one.request));
    CHECK(was_woken(&two, 1));
    CHECK(!aegis_buffer_pool_request_cancel(two.request));
    CHECK_SIZE(state.close_count, 1);
    CHECK_SIZE(state.live_count, 0);
}

#if !defined(_WIN32)

static task waiting, woken;
static aegis_buffer_mut held[2];

static void use_requests_of_the_parent(void) {
    CHECK(was_woken(&woken, 1) && was_woken(&waiting, 0));
    /* In the child neither is in the queue, so the buffer wakes none. */
    release_writers(&held[1], 1);
    CHECK(was_woken(&woken, 1) && was_woken(&waiting, 0));
    CHECK(poll_task(&waiting) == AEGIS_OK);
    CHECK(poll_task(&woken) == AEGIS_OK);
    task third = {0};
    CHECK(poll_task(&third) == AEGIS_PENDING);
    release_writers(&waiting.writer, 1);
    CHECK(was_woken(&third, 1));
    CHECK(poll_task(&third) == AEGIS_OK);
    release_writers(&third.writer, 1);
    release_writers(&woken.writer, 1);
    finish();
}

static void cancel_requests_of_the_parent(void) {
    CHECK(aegis_buffer_pool_request_cancel(waiting.request));
    CHECK(!aegis_buffer_pool_request_cancel(woken.request));
    CHECK(was_woken(&waiting, 0));
    release_writers(&held[1], 1);
    finish();
}

static void requests_of_a_parent_can_be_polled_and_cancelled_in_a_child(void) {
    memset(&waiting, 0, sizeof waiting);
    memset(&woken, 0, sizeof woken);
    make(2, 0, held);
    CHECK(poll_task(&woken) == AEGIS_PENDING);
    CHECK(poll_task(&waiting) == AEGIS_PENDING);
    release_writers(&held[0], 1);
    run_in_child(use_requests_of_the_parent);
    run_in_child(cancel_requests_of_the_parent);
    CHECK(poll_task(&woken) == AEGIS_OK);
    release_writers(&held[1], 1);
    CHECK(was_woken(&waiting, 1));
    CHECK(poll_task(&waiting) == AEGIS_OK);
    release_writers(&woken.writer, 1);
    release_writers(&waiting.writer, 1);
    finish();
}

#endif

/* Tasks on several threads. Each thread polls a task of its own until it has a buffer, sleeping
 * until its waker says so, and now and then cancels. */
#define THREADS 6
#define TURNS scaled(3000)

/* Waits as a thread does, so that both kinds of waiters meet. */
static void wait_once(uint64_t *seed) {
    aegis_buffer_mut writer;
    CHECK(aegis_buffer_pool_get_timeout(&pool, &writer, 1 + random_below(seed, 200),
                                        AEGIS_WAIT_FOREVER, NULL) == AEGIS_OK);
    memset(writer.data, 0xFF, writer.capacity);
    release_writers(&writer, 1);
}

static void poll_once(uint64_t *seed) {
    aegis_buffer_pool_request *request = NULL;
    aegis_buffer_mut writer;
    turn *context = NULL;
    bool cancels = random_below(seed, 4) == 0;
    size_t wanted_bytes = 1 + random_below(seed, 200);
    for (;;) {
        turn *next = turn_new();
        if (request != NULL)
            turn_end(context, aegis_buffer_pool_request_disarm(request));
        context = next;
        aegis_status status = aegis_buffer_pool_poll(&pool, &request, &writer, wanted_bytes,
                                                     turn_call, context, NULL);
        CHECK(status == AEGIS_OK || status == AEGIS_PENDING);
        if (status != AEGIS_PENDING || cancels)
            break;
        turn_await(context);
    }
    if (request != NULL) {
        turn_end(context, aegis_buffer_pool_request_cancel(request));
        return;
    }
    free(context);
    memset(writer.data, 0xFF, writer.capacity);
    release_writers(&writer, 1);
}

static void *take_turns(void *argument) {
    uint64_t seed = (uint64_t)(uintptr_t)argument;
    for (size_t i = 0; i < TURNS; i++) {
        if (random_below(&seed, 8) == 0)
            wait_once(&seed);
        else
            poll_once(&seed);
    }
    return NULL;
}

static void many_threads_poll_wait_and_cancel_and_none_waits_in_vain(void) {
    aegis_buffer_class classes[2] = {{64, 1, 0}, {256, 2, 0}};
    aegis_source source = test_source_get(&state, true);
    aegis_buffer_pool_options options = buffer_pool_options(classes, 2, &source);
    CHECK(aegis_buffer_pool_init(&pool, &options) == AEGIS_OK);
    run_in_threads(THREADS, take_turns);
    CHECK_SIZE(buffer_pool_stats(&pool).classes[1].in_use, 0);
    finish();
}

int main(void) {
    RUN(poll_takes_a_free_buffer_without_a_request);
    RUN(released_buffer_wakes_the_oldest_request_alone);
    RUN(request_that_finds_its_buffer_taken_keeps_its_place);
    RUN(cancelled_request_passes_its_wake_up_on);
    RUN(only_the_latest_waker_is_called_and_only_once);
    RUN(buffer_wakes_a_request_for_which_it_is_large_enough);
    RUN(request_that_takes_another_buffer_wakes_the_next);
    RUN(waker_may_use_the_pool);
    RUN(growth_wakes_as_many_requests_as_it_has_buffers);
    RUN(too_many_bytes_and_a_released_handle_are_errors);
    RUN(request_keeps_the_pool_after_its_last_handle);
#if !defined(_WIN32)
    RUN(requests_of_a_parent_can_be_polled_and_cancelled_in_a_child);
#endif
    RUN(many_threads_poll_wait_and_cancel_and_none_waits_in_vain);
    return check_finish();
}
