/* SPDX-License-Identifier: Apache-2.0 */
/* Tests threads that are cancelled inside a call. A thread that waits must end there; in every
 * other call the thread must end only after the call. In both cases the objects must stay whole,
 * and no lock, block or descriptor may be lost. Each test cancels its thread before or during the
 * call. */
#if !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* sched_yield, alarm */
#endif
#include "pool_support.h"
#include "wait_support.h"

#include <pthread.h>
#include <sched.h>
#include <unistd.h>

static void cancel_self(void) {
    CHECK(pthread_cancel(pthread_self()) == 0);
}

typedef struct task {
    void (*run)(void);
} task;

/* Has no variables: AddressSanitizer does not notice that the variables of a cancelled thread go
 * away. */
static void *run_task(void *argument) {
    ((const task *)argument)->run();
    pthread_testcancel();
    return NULL;
}

/* Runs a function in a thread and demands that the thread ends by being cancelled, and not before
 * the function has returned. */
static void run_cancelled(void (*run)(void)) {
    pthread_t thread;
    void *result = NULL;
    task cancelled = {run};
    CHECK(pthread_create(&thread, NULL, run_task, &cancelled) == 0);
    CHECK(pthread_join(thread, &result) == 0);
    CHECK(result == PTHREAD_CANCELED);
}

static aegis_locked_pool blocks;
static bool returned;

static void alloc_three(void) {
    void *three[3];
    cancel_self();
    CHECK_SIZE(aegis_locked_pool_alloc_n(&blocks, three, 3, NULL), 3);
    CHECK(aegis_locked_pool_free_n(&blocks, three, 3) == AEGIS_OK);
    returned = true;
}

static void request_that_does_not_wait_is_no_cancellation_point(void) {
    aegis_pool_options options = pool_options(64, 1, 3, NULL);
    CHECK(aegis_locked_pool_init(&blocks, &options) == AEGIS_OK);
    returned = false;
    run_cancelled(alloc_three);
    CHECK(returned);
    CHECK(aegis_locked_pool_fini(&blocks) == AEGIS_OK);
}

static aegis_budget *full;
static aegis_arena waiting_arena;

static void alloc_when_there_is_room(void) {
    cancel_self();
    CHECK(aegis_arena_alloc(&waiting_arena, 100) != NULL);
    void *block = aegis_locked_pool_alloc_timeout(&blocks, AEGIS_WAIT_FOREVER, NULL);
    CHECK(aegis_locked_pool_free(&blocks, block) == AEGIS_OK);
    returned = true;
}

/* Makes room in the budget as soon as the thread waits there. */
static void *make_room(void *unused) {
    (void)unused;
    for (int i = 0; i < 2; i++) {
        while (waiting_bytes(full) == 0)
            sched_yield();
        CHECK(aegis_budget_uncharge(full, LIMIT_BYTES / 4) == AEGIS_OK);
    }
    return NULL;
}

static void thread_cancelled_while_it_waits_for_a_budget_ends_after_the_call(void) {
    aegis_arena_options arena_options = {0, 0, NULL, NULL, 0, NULL, NULL, 0, AEGIS_WAIT_FOREVER};
    aegis_pool_options options = pool_options(LIMIT_BYTES / 4, 1, 2, NULL);
    pthread_t thread;
    full = aegis_budget_new("full", LIMIT_BYTES, NULL);
    arena_options.budget = options.budget = full;
    options.wait_ns = AEGIS_WAIT_FOREVER;
    CHECK(aegis_arena_init(&waiting_arena, &arena_options) == AEGIS_OK);
    CHECK(aegis_locked_pool_init(&blocks, &options) == AEGIS_OK);
    void *block = aegis_locked_pool_alloc(&blocks, NULL);
    size_t rest_bytes = LIMIT_BYTES - used(full);
    CHECK(aegis_budget_charge(full, rest_bytes, NULL) == AEGIS_OK);
    CHECK(pthread_create(&thread, NULL, make_room, NULL) == 0);
    returned = false;
    run_cancelled(alloc_when_there_is_room);
    CHECK(returned);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(aegis_locked_pool_free(&blocks, block) == AEGIS_OK);
    CHECK(aegis_locked_pool_fini(&blocks) == AEGIS_OK);
    aegis_arena_fini(&waiting_arena);
    CHECK_SIZE(used(full), rest_bytes - LIMIT_BYTES / 2);
    CHECK(aegis_budget_uncharge(full, rest_bytes - LIMIT_BYTES / 2) == AEGIS_OK);
    aegis_budget_destroy(full);
}

#if !defined(TEST_ASAN) /* it does not notice that the stack of a cancelled wait goes */

static uint64_t timeout_ns;
static void *got;

static void wait_for_block(void) {
    got = aegis_locked_pool_alloc_timeout(&blocks, timeout_ns, NULL);
    returned = true;
}

/* Starts a thread that waits for a block, and returns once it waits. */
static pthread_t start_waiting(task *waiting, uint64_t wait_ns) {
    pthread_t thread;
    size_t before = aegis_locked_pool_waiting(&blocks);
    waiting->run = wait_for_block;
    timeout_ns = wait_ns;
    CHECK(pthread_create(&thread, NULL, run_task, waiting) == 0);
    while (aegis_locked_pool_waiting(&blocks) != before + 1)
        sched_yield();
    return thread;
}

/* Whether the thread was cancelled. */
static bool was_cancelled(pthread_t thread) {
    void *result = NULL;
    CHECK(pthread_join(thread, &result) == 0);
    return result == PTHREAD_CANCELED;
}

static void thread_cancelled_while_it_waits_leaves_the_pool_as_it_was(void) {
    const uint64_t waits_ns[] = {AEGIS_WAIT_FOREVER, 60000 * NS_PER_MS};
    aegis_pool_options options = pool_options(64, 1, 0, NULL);
    CHECK(aegis_locked_pool_init(&blocks, &options) == AEGIS_OK);
    void *block = aegis_locked_pool_alloc(&blocks, NULL);
    for (size_t i = 0; i < 2; i++) {
        task waiting;
        returned = false;
        pthread_t thread = start_waiting(&waiting, waits_ns[i]);
        CHECK(pthread_cancel(thread) == 0);
        CHECK(was_cancelled(thread) && !returned);
        CHECK_SIZE(aegis_locked_pool_waiting(&blocks), 0);
    }
    CHECK(aegis_locked_pool_free(&blocks, block) == AEGIS_OK);
    CHECK(aegis_locked_pool_alloc(&blocks, NULL) == block);
    CHECK(aegis_locked_pool_free(&blocks, block) == AEGIS_OK);
    CHECK(aegis_locked_pool_fini(&blocks) == AEGIS_OK);
}

static void *take_and_free(void *unused) {
    (void)unused;
    void *block = aegis_locked_pool_alloc_timeout(&blocks, AEGIS_WAIT_FOREVER, NULL);
    CHECK(aegis_locked_pool_free(&blocks, block) == AEGIS_OK);
    return NULL;
}

/* The cancellation and the block come at the same time. Whichever is first, the block must not be
 * lost. */
static void thread_cancelled_as_its_block_comes_leaves_it_to_the_next(void) {
    aegis_pool_options options = pool_options(64, 1, 0, NULL);
    CHECK(aegis_locked_pool_init(&blocks, &options) == AEGIS_OK);
    for (int round = 0; round < 500; round++) {
        task waiting;
        pthread_t next;
        void *block = aegis_locked_pool_alloc_timeout(&blocks, AEGIS_WAIT_FOREVER, NULL);
        returned = false;
        pthread_t thread = start_waiting(&waiting, AEGIS_WAIT_FOREVER);
        CHECK(pthread_create(&next, NULL, take_and_free, NULL) == 0);
        CHECK(aegis_locked_pool_free(&blocks, block) == AEGIS_OK);
        CHECK(pthread_cancel(thread) == 0);
        CHECK(was_cancelled(thread) || returned);
        if (returned)
            CHECK(aegis_locked_pool_free(&blocks, got) == AEGIS_OK);
        CHECK(pthread_join(next, NULL) == 0);
    }
    CHECK(aegis_locked_pool_fini(&blocks) == AEGIS_OK);
}

static aegis_buffer_pool buffers;

static void wait_for_buffer(void) {
    aegis_buffer_mut writer;
    cancel_self();
    (void)aegis_buffer_pool_get_timeout(&buffers, &writer, 1, AEGIS_WAIT_FOREVER, NULL);
    returned = true;
}

static void thread_cancelled_while_it_waits_for_a_buffer_leaves_the_pool_whole(void) {
    aegis_buffer_class wanted = {4096, 1, 1};
    aegis_buffer_pool_options options;
    aegis_buffer_mut writer;
    memset(&options, 0, sizeof options);
    options.classes = &wanted;
    options.class_count = 1;
    CHECK(aegis_buffer_pool_init(&buffers, &options) == AEGIS_OK);
    CHECK(aegis_buffer_pool_get(&buffers, &writer, 1, NULL) == AEGIS_OK);
    returned = false;
    run_cancelled(wait_for_buffer);
    CHECK(!returned);
    aegis_buffer_mut_release(&writer);
    CHECK(aegis_buffer_pool_get_timeout(&buffers, &writer, 1, AEGIS_WAIT_FOREVER, NULL) ==
          AEGIS_OK);
    aegis_buffer_mut_release(&writer);
    aegis_buffer_pool_release(&buffers);
}

#endif

#if !defined(TEST_ASAN) && !defined(AEGIS_VALGRIND) /* they find the overrun first */

static aegis_locked_arena arena;
static size_t report_count;

static void report_with_cancellation_point(const char *message) {
    (void)message;
    report_count++;
    pthread_testcancel();
}

static void overrun(void) {
    unsigned char *memory = (unsigned char *)aegis_locked_arena_alloc(&arena, 8, NULL);
    memory[8] ^= 1;
    cancel_self();
    aegis_locked_arena_free_last(&arena, memory, 8);
}

static void thread_cancelled_during_a_report_leaves_the_lock_free(void) {
    aegis_arena_options options;
    memset(&options, 0, sizeof options);
    options.flags = AEGIS_ARENA_GUARD;
    CHECK(aegis_locked_arena_init(&arena, &options, NULL) == AEGIS_OK);
    aegis_report_fn before = aegis_set_report(report_with_cancellation_point);
    run_cancelled(overrun);
    CHECK_SIZE(report_count, 1);
    CHECK(aegis_locked_arena_alloc(&arena, 8, NULL) != NULL);
    (void)aegis_set_report(before);
    aegis_locked_arena_fini(&arena);
}

#endif

static void print_with_cancellation_point(void *context, const char *line) {
    (void)line;
    ++*(size_t *)context;
    pthread_testcancel();
}

static void print_budget(void) {
    size_t line_count = 0;
    aegis_budget *budget = aegis_budget_new("a budget", 100, NULL);
    cancel_self();
    CHECK(aegis_budget_print(budget, print_with_cancellation_point, &line_count) == AEGIS_OK);
    CHECK_SIZE(line_count, 1);
    aegis_budget_destroy(budget);
}

static void thread_cancelled_while_it_prints_a_budget_frees_everything(void) {
    run_cancelled(print_budget);
}

static void map_file(void) {
    aegis_buffer buffer;
    cancel_self();
    if (aegis_buffer_map_file(&buffer, "Cargo.toml", NULL) == AEGIS_OK)
        CHECK(aegis_buffer_check_file(&buffer) == AEGIS_OK);
    aegis_buffer_release(&buffer);
    returned = true;
}

static void thread_cancelled_while_it_maps_a_file_closes_it(void) {
    returned = false;
    run_cancelled(map_file);
    CHECK(returned);
}

int main(void) {
    alarm(60);
#if !defined(TEST_ASAN)
    RUN(thread_cancelled_while_it_waits_leaves_the_pool_as_it_was);
    RUN(thread_cancelled_as_its_block_comes_leaves_it_to_the_next);
    RUN(thread_cancelled_while_it_waits_for_a_buffer_leaves_the_pool_whole);
#endif
    RUN(request_that_does_not_wait_is_no_cancellation_point);
    RUN(thread_cancelled_while_it_waits_for_a_budget_ends_after_the_call);
#if !defined(TEST_ASAN) && !defined(AEGIS_VALGRIND)
    RUN(thread_cancelled_during_a_report_leaves_the_lock_free);
#endif
    RUN(thread_cancelled_while_it_prints_a_budget_frees_everything);
    RUN(thread_cancelled_while_it_maps_a_file_closes_it);
    return check_finish();
}
