/* SPDX-License-Identifier: Apache-2.0 */
/* Tests requests for a block of a locked pool that are polled: the order in which they are served,
 * their wakers, growth, and their end. Two tests use threads; the others see every step. */
#include "poll_support.h"

#define BUDGET_BYTES ((size_t)1 << 20)

static aegis_locked_pool pool;
static test_source state;

/* A task with a request: its waker counts, and then does what `then` says. */
typedef struct task {
    aegis_locked_pool_request *request;
    void *block;
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
    return aegis_locked_pool_poll(&pool, &self->request, &self->block, wake_task, self,
                                  &self->error);
}

static bool was_woken(task *self, size_t wake_count) {
    return atomic_load(&self->wake_count) == wake_count;
}

static void make(size_t block_count, size_t max_block_count, aegis_budget *budget) {
    aegis_source source = test_source_get(&state, true);
    aegis_pool_options options = pool_options(4096, block_count, max_block_count, &source);
    options.budget = budget;
    CHECK(aegis_locked_pool_init(&pool, &options) == AEGIS_OK);
}

static void *take(void) {
    void *block = aegis_locked_pool_alloc(&pool, NULL);
    CHECK(block != NULL);
    return block;
}

static void give(void *block) {
    CHECK(aegis_locked_pool_free(&pool, block) == AEGIS_OK);
}

static void finish(void) {
    CHECK_SIZE(aegis_locked_pool_waiting(&pool), 0);
    CHECK_SIZE(locked_stats(&pool).in_use, 0);
    CHECK(aegis_locked_pool_fini(&pool) == AEGIS_OK);
    CHECK_SIZE(state.live_count, 0);
}

static void poll_takes_a_free_block_without_a_request(void) {
    task one = {0};
    make(1, 0, NULL);
    CHECK(poll_task(&one) == AEGIS_OK);
    CHECK(one.request == NULL && one.block != NULL);
    memset(one.block, 0xFF, 4096);
    give(one.block);
    CHECK(was_woken(&one, 0));
    finish();
}

static void freed_block_goes_to_the_first_request_and_wakes_it_alone(void) {
    task tasks[3];
    memset(tasks, 0, sizeof tasks);
    make(1, 0, NULL);
    void *block = take();
    for (size_t i = 0; i < 3; i++) {
        CHECK(poll_task(&tasks[i]) == AEGIS_PENDING);
        CHECK(tasks[i].request != NULL && tasks[i].block == NULL);
        /* Another poll keeps the place in the queue. */
        CHECK(poll_task(&tasks[i]) == AEGIS_PENDING);
    }
    CHECK_SIZE(aegis_locked_pool_waiting(&pool), 3);
    CHECK(aegis_locked_pool_fini(&pool) == AEGIS_E_BUSY);
    give(block);
    for (size_t i = 0; i < 3; i++) {
        CHECK(was_woken(&tasks[i], 1));
        for (size_t later = i + 1; later < 3; later++)
            CHECK(was_woken(&tasks[later], 0));
        /* The block is the request's, so no other can have it. */
        CHECK(aegis_locked_pool_alloc(&pool, NULL) == NULL);
        CHECK(aegis_locked_pool_fini(&pool) == AEGIS_E_BUSY);
        CHECK_SIZE(locked_stats(&pool).in_use, 1);
        CHECK(poll_task(&tasks[i]) == AEGIS_OK);
        CHECK(tasks[i].request == NULL && tasks[i].block == block);
        give(block);
    }
    finish();
}

static void cancelled_request_leaves_its_place_and_its_block_to_the_next(void) {
    task tasks[4];
    memset(tasks, 0, sizeof tasks);
    make(1, 0, NULL);
    void *block = take();
    for (size_t i = 0; i < 4; i++)
        CHECK(poll_task(&tasks[i]) == AEGIS_PENDING);
    /* One in the middle, which waits, and the first, which has a block. */
    CHECK(aegis_locked_pool_request_cancel(tasks[1].request));
    give(block);
    CHECK(was_woken(&tasks[0], 1) && was_woken(&tasks[2], 0));
    CHECK(!aegis_locked_pool_request_cancel(tasks[0].request));
    CHECK(was_woken(&tasks[1], 0) && was_woken(&tasks[2], 1) && was_woken(&tasks[3], 0));
    CHECK(poll_task(&tasks[2]) == AEGIS_OK);
    CHECK(aegis_locked_pool_request_cancel(tasks[3].request));
    give(tasks[2].block);
    CHECK(was_woken(&tasks[3], 0));
    CHECK(!aegis_locked_pool_request_cancel(NULL));
    finish();
}

static void only_the_latest_waker_is_called_and_only_once(void) {
    task first = {0}, second = {0};
    aegis_locked_pool_request *request = NULL;
    void *got = NULL;
    make(1, 0, NULL);
    void *block = take();
    CHECK(aegis_locked_pool_poll(&pool, &request, &got, wake_task, &first, NULL) == AEGIS_PENDING);
    CHECK(aegis_locked_pool_poll(&pool, &request, &got, wake_task, &second, NULL) == AEGIS_PENDING);
    give(block);
    CHECK(was_woken(&first, 0) && was_woken(&second, 1));
    CHECK(!aegis_locked_pool_request_disarm(request));
    CHECK(aegis_locked_pool_poll(&pool, &request, &got, NULL, NULL, NULL) == AEGIS_OK);
    /* One that was withdrawn is not called, nor is one that is not there. */
    CHECK(aegis_locked_pool_poll(&pool, &request, &got, wake_task, &first, NULL) == AEGIS_PENDING);
    CHECK(aegis_locked_pool_request_disarm(request));
    CHECK(!aegis_locked_pool_request_disarm(request));
    give(block);
    CHECK(was_woken(&first, 0) && was_woken(&second, 1));
    CHECK(aegis_locked_pool_poll(&pool, &request, &got, NULL, NULL, NULL) == AEGIS_OK);
    /* A request without a waker is served as the others are. */
    CHECK(aegis_locked_pool_poll(&pool, &request, &got, NULL, NULL, NULL) == AEGIS_PENDING);
    give(block);
    CHECK_SIZE(aegis_locked_pool_waiting(&pool), 0);
    CHECK(!aegis_locked_pool_request_disarm(request));
    CHECK(aegis_locked_pool_poll(&pool, &request, &got, NULL, NULL, NULL) == AEGIS_OK);
    give(block);
    finish();
}

/* A waker that takes part: it polls, writes, and frees the block, all inside of the call that woke
 * it. So it is called with no lock held. */
static void use_block(task *self) {
    CHECK(poll_task(self) == AEGIS_OK);
    memset(self->block, 0xFF, 4096);
    give(self->block);
}

static void waker_may_use_the_pool(void) {
    task tasks[3];
    memset(tasks, 0, sizeof tasks);
    make(1, 0, NULL);
    void *block = take();
    for (size_t i = 0; i < 3; i++) {
        tasks[i].then = use_block;
        CHECK(poll_task(&tasks[i]) == AEGIS_PENDING);
    }
    give(block);
    for (size_t i = 0; i < 3; i++)
        CHECK(was_woken(&tasks[i], 1) && tasks[i].request == NULL);
    finish();
}

static void cancel_self(task *self) {
    CHECK(!aegis_locked_pool_request_cancel(self->request));
}

static void waker_may_cancel_its_request(void) {
    task one = {0}, two = {0};
    make(1, 0, NULL);
    void *block = take();
    one.then = cancel_self;
    CHECK(poll_task(&one) == AEGIS_PENDING);
    CHECK(poll_task(&two) == AEGIS_PENDING);
    give(block);
    CHECK(was_woken(&one, 1) && was_woken(&two, 1));
    CHECK(poll_task(&two) == AEGIS_OK);
    give(two.block);
    finish();
}

static void poll_makes_the_pool_grow(void) {
    task one = {0};
    make(1, 2, NULL);
    void *block = take();
    CHECK(poll_task(&one) == AEGIS_OK);
    CHECK_SIZE(locked_stats(&pool).slab_count, 2);
    give(block);
    give(one.block);
    finish();
}

static void refuse_memory(bool refusing_all) {
    state.fail_at = refusing_all ? 1 : 0;
    state.fail_on = refusing_all;
}

static void refused_growth_waits_for_a_block_and_asks_again_as_the_first(void) {
    task one = {0}, two = {0};
    make(1, 2, NULL);
    void *block = take();
    size_t asked_count = state.asked_count;
    refuse_memory(true);
    CHECK(poll_task(&one) == AEGIS_PENDING);
    CHECK(poll_task(&two) == AEGIS_PENDING);
    CHECK_SIZE(state.asked_count - asked_count, 2);
    /* The second of the queue does not ask again. */
    CHECK(poll_task(&two) == AEGIS_PENDING);
    CHECK_SIZE(state.asked_count - asked_count, 2);
    refuse_memory(false);
    give(block);
    CHECK(was_woken(&one, 1));
    CHECK(poll_task(&one) == AEGIS_OK);
    /* The second one has become the first, and is told to try growth. */
    CHECK(was_woken(&two, 1));
    CHECK(poll_task(&two) == AEGIS_OK);
    CHECK(one.block != two.block);
    give(one.block);
    give(two.block);
    finish();
}

/* Growth under way in the source, which calls this. */
static task *grower_watcher;
static aegis_source pages;
static bool refusing;

static void *polling_acquire(void *context, size_t size_bytes, size_t align_bytes, bool *zeroed) {
    task *self = grower_watcher;
    grower_watcher = NULL;
    /* This thread is the one that grows, so it does not wait for itself: it asks the source. */
    if (self != NULL)
        CHECK(poll_task(self) == AEGIS_PENDING);
    return refusing ? NULL : pages.acquire(context, size_bytes, align_bytes, zeroed);
}

static void source_may_poll_the_pool_that_calls_it(void) {
    task one = {0}, two = {0};
    pages = aegis_source_pages(0);
    aegis_source source = {polling_acquire, pages.release, NULL, pages.context};
    aegis_pool_options options = pool_options(4096, 1, 2, &source);
    refusing = false;
    grower_watcher = NULL;
    CHECK(aegis_locked_pool_init(&pool, &options) == AEGIS_OK);
    void *block = take();
    refusing = true;
    grower_watcher = &two;
    CHECK(poll_task(&one) == AEGIS_PENDING);
    CHECK_SIZE(aegis_locked_pool_waiting(&pool), 2);
    give(block);
    CHECK(was_woken(&one, 1));
    CHECK(poll_task(&one) == AEGIS_OK);
    give(one.block);
    CHECK(poll_task(&two) == AEGIS_OK);
    give(two.block);
    CHECK(aegis_locked_pool_fini(&pool) == AEGIS_OK);
}

/* A pool that is being finished has no block, and none that could come home. */
static task *at_the_end;

static void polling_release(void *context, void *memory, size_t size_bytes, size_t align_bytes) {
    task *self = at_the_end;
    at_the_end = NULL;
    if (self != NULL) {
        CHECK(poll_task(self) == AEGIS_E_EXHAUSTED);
        CHECK(self->request == NULL && self->error.status == AEGIS_E_EXHAUSTED);
    }
    pages.release(context, memory, size_bytes, align_bytes);
}

static void pool_without_a_block_that_could_come_home_refuses_at_once(void) {
    task one = {0};
    pages = aegis_source_pages(0);
    aegis_source source = {pages.acquire, polling_release, NULL, pages.context};
    aegis_pool_options options = pool_options(4096, 1, 2, &source);
    CHECK(aegis_locked_pool_init(&pool, &options) == AEGIS_OK);
    at_the_end = &one;
    CHECK(aegis_locked_pool_fini(&pool) == AEGIS_OK);
    CHECK(at_the_end == NULL && was_woken(&one, 0));
}

typedef struct waiter {
    uint64_t timeout_ns;
    void *block;
    pthread_t thread;
} waiter;

static void *wait_for_block(void *argument) {
    waiter *self = (waiter *)argument;
    self->block = aegis_locked_pool_alloc_timeout(&pool, self->timeout_ns, NULL);
    return NULL;
}

static void start(waiter *self, uint64_t timeout_ns) {
    size_t before = aegis_locked_pool_waiting(&pool);
    self->timeout_ns = timeout_ns;
    CHECK(pthread_create(&self->thread, NULL, wait_for_block, self) == 0);
    while (aegis_locked_pool_waiting(&pool) == before)
        sched_yield();
}

static void threads_and_requests_stand_in_one_queue(void) {
    task one = {0}, three = {0};
    waiter two = {0};
    make(1, 0, NULL);
    void *block = take();
    CHECK(poll_task(&one) == AEGIS_PENDING);
    start(&two, AEGIS_WAIT_FOREVER);
    CHECK(poll_task(&three) == AEGIS_PENDING);
    give(block);
    CHECK(was_woken(&one, 1) && was_woken(&three, 0));
    CHECK(poll_task(&one) == AEGIS_OK);
    give(one.block);
    CHECK(pthread_join(two.thread, NULL) == 0);
    CHECK(two.block == block && was_woken(&three, 0));
    give(two.block);
    CHECK(was_woken(&three, 1));
    CHECK(poll_task(&three) == AEGIS_OK);
    give(three.block);
    finish();
}

/* The thread behind a request asks for memory again, because the request does not. */
static void thread_behind_a_request_makes_the_pool_grow_for_it(void) {
    aegis_budget *budget = aegis_budget_new("b", BUDGET_BYTES, NULL);
    task one = {0};
    waiter two = {0};
    make(1, 3, budget);
    void *block = take();
    aegis_budget_figures figures;
    aegis_budget_get_figures(budget, &figures);
    aegis_budget_set_limit(budget, figures.used_bytes);
    CHECK(poll_task(&one) == AEGIS_PENDING);
    start(&two, AEGIS_WAIT_FOREVER);
    CHECK(was_woken(&one, 0));
    aegis_budget_set_limit(budget, BUDGET_BYTES);
    CHECK(pthread_join(two.thread, NULL) == 0);
    CHECK(was_woken(&one, 1));
    CHECK(poll_task(&one) == AEGIS_OK);
    CHECK_SIZE(locked_stats(&pool).in_use, 3);
    give(block);
    give(one.block);
    give(two.block);
    finish();
    aegis_budget_destroy(budget);
}

/* Tasks on several threads. Each thread polls a task of its own until it has a block, sleeping
 * until its waker says so, and now and then cancels. */
#define THREADS 6
#define TURNS scaled(3000)

static void *take_turns(void *argument) {
    uint64_t seed = (uint64_t)(uintptr_t)argument;
    for (size_t i = 0; i < TURNS; i++) {
        aegis_locked_pool_request *request = NULL;
        void *block = NULL;
        turn *context = NULL;
        bool cancels = random_below(&seed, 4) == 0;
        for (;;) {
            turn *next = turn_new();
            if (request != NULL)
                turn_end(context, aegis_locked_pool_request_disarm(request));
            context = next;
            if (aegis_locked_pool_poll(&pool, &request, &block, turn_call, context, NULL) !=
                AEGIS_PENDING)
                break;
            if (cancels)
                break;
            turn_await(context);
        }
        if (request != NULL) {
            turn_end(context, aegis_locked_pool_request_cancel(request));
        } else {
            free(context);
            CHECK(block != NULL);
            memset(block, (int)i, 64);
            give(block);
        }
    }
    return NULL;
}

static void many_threads_poll_and_cancel_and_no_block_is_lost(void) {
    make(2, 0, NULL);
    run_in_threads(THREADS, take_turns);
    finish();
}

int main(void) {
    RUN(poll_takes_a_free_block_without_a_request);
    RUN(freed_block_goes_to_the_first_request_and_wakes_it_alone);
    RUN(cancelled_request_leaves_its_place_and_its_block_to_the_next);
    RUN(only_the_latest_waker_is_called_and_only_once);
    RUN(waker_may_use_the_pool);
    RUN(waker_may_cancel_its_request);
    RUN(poll_makes_the_pool_grow);
    RUN(refused_growth_waits_for_a_block_and_asks_again_as_the_first);
    RUN(source_may_poll_the_pool_that_calls_it);
    RUN(pool_without_a_block_that_could_come_home_refuses_at_once);
    RUN(threads_and_requests_stand_in_one_queue);
    RUN(thread_behind_a_request_makes_the_pool_grow_for_it);
    RUN(many_threads_poll_and_cancel_and_no_block_is_lost);
    return check_finish();
}
