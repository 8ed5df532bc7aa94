/* SPDX-License-Identifier: Apache-2.0 */
/* Tests objects in a process that forks while threads of them wait for room in a budget. The child
 * forgets these threads: the objects and the budget must work there, and in the parent the threads
 * must get what they wait for. The child must end; an alarm in the child ends it otherwise. */
#include "fork_support.h"

#if defined(_WIN32)

int main(void) {
    RUN(nothing_forks_here);
    return check_finish();
}

#else

#include "wait_support.h"

enum { ARENA, LOCKED_POOL, LOCK_FREE_POOL, BUFFER_POOL, OBJECTS };

static aegis_budget *budget;
static aegis_locked_arena arena;
static aegis_locked_pool locked_pool;
static aegis_lock_free_pool lock_free_pool;
static aegis_buffer_pool buffer_pool;
static size_t rest_bytes;

static aegis_buffer_mut writers[2];

static void make_all(void) {
    aegis_arena_options arena_options = {0, 0, NULL, NULL, 0, NULL, NULL, 0, AEGIS_WAIT_FOREVER};
    aegis_lock_free_pool_options options = {
        {4096, 1, 8, 0, NULL, NULL, NULL, AEGIS_WAIT_FOREVER}, 0, 0};
    aegis_buffer_class buffers = {4096, 1, 8};
    aegis_buffer_pool_options buffer_options = {0};
    budget = aegis_budget_new("b", LIMIT_BYTES, NULL);
    arena_options.budget = options.blocks.budget = buffer_options.budget = budget;
    buffer_options.classes = &buffers;
    buffer_options.class_count = 1;
    buffer_options.wait_ns = AEGIS_WAIT_FOREVER;
    CHECK(aegis_locked_arena_init(&arena, &arena_options, NULL) == AEGIS_OK);
    CHECK(aegis_locked_pool_init(&locked_pool, &options.blocks) == AEGIS_OK);
    CHECK(aegis_lock_free_pool_init(&lock_free_pool, &options) == AEGIS_OK);
    CHECK(aegis_buffer_pool_init(&buffer_pool, &buffer_options) == AEGIS_OK);
    CHECK(aegis_locked_pool_alloc(&locked_pool, NULL) != NULL);
    CHECK(aegis_lock_free_pool_alloc(&lock_free_pool, NULL) != NULL);
    CHECK(aegis_buffer_pool_get(&buffer_pool, &writers[0], 1, NULL) == AEGIS_OK);
    rest_bytes = LIMIT_BYTES - used(budget);
    CHECK(aegis_budget_charge(budget, rest_bytes, NULL) == AEGIS_OK);
}

static void take_apart(void) {
    CHECK(aegis_buffer_mut_release(&writers[0]) == AEGIS_OK);
    CHECK(aegis_buffer_mut_release(&writers[1]) == AEGIS_OK);
    aegis_locked_arena_fini(&arena);
    aegis_locked_pool_abandon(&locked_pool);
    aegis_lock_free_pool_abandon(&lock_free_pool);
    aegis_buffer_pool_release(&buffer_pool);
    CHECK_SIZE(used(budget), 0);
    aegis_budget_destroy(budget);
}

/* Allocates from one object. Returns whether there was memory. */
static bool allocate(int object) {
    if (object == ARENA)
        return aegis_locked_arena_alloc(&arena, 100, NULL) != NULL;
    if (object == LOCKED_POOL)
        return aegis_locked_pool_alloc(&locked_pool, NULL) != NULL;
    if (object == LOCK_FREE_POOL)
        return aegis_lock_free_pool_alloc(&lock_free_pool, NULL) != NULL;
    return aegis_buffer_pool_get(&buffer_pool, &writers[1], 1, NULL) == AEGIS_OK;
}

static void *allocate_from(void *object) {
    CHECK(allocate(*(int *)object));
    return NULL;
}

static void use_all_without_the_threads(void) {
    CHECK_SIZE(waiting_bytes(budget), 0);
    CHECK_SIZE(used(budget), LIMIT_BYTES);
    CHECK(aegis_budget_uncharge(budget, rest_bytes) == AEGIS_OK);
    CHECK_SIZE(used(budget), LIMIT_BYTES - rest_bytes);
    for (int object = 0; object < OBJECTS; object++)
        CHECK(allocate(object));
}

static void threads_that_wait_are_forgotten_in_a_child(void) {
    static int objects[OBJECTS];
    pthread_t threads[OBJECTS];
    make_all();
    for (int i = 0; i < OBJECTS; i++) {
        size_t old_bytes = waiting_bytes(budget);
        objects[i] = i;
        CHECK(pthread_create(&threads[i], NULL, allocate_from, &objects[i]) == 0);
        wait_for_more_waiting(budget, old_bytes);
    }
    /* Once the threads sleep, none is inside a call, but they may still be on their way to sleep.
     */
    for (int i = 0; i < 1000; i++)
        sched_yield();
    run_in_child(use_all_without_the_threads);
    CHECK(aegis_budget_uncharge(budget, rest_bytes) == AEGIS_OK);
    for (int i = 0; i < OBJECTS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    take_apart();
}

static aegis_locked_pool_request *block_request;
static aegis_buffer_pool_request *buffer_request;

/* Polls both requests. */
static void poll_both(aegis_status expected) {
    void *block;
    CHECK(aegis_locked_pool_poll(&locked_pool, &block_request, &block, NULL, NULL, NULL) ==
          expected);
    CHECK(aegis_buffer_pool_poll(&buffer_pool, &buffer_request, &writers[1], 1, NULL, NULL, NULL) ==
          expected);
}

static void poll_both_again(void) {
    CHECK_SIZE(waiting_bytes(budget), 0);
    poll_both(AEGIS_PENDING);
    CHECK(waiting_bytes(budget) != 0);
    CHECK(aegis_budget_uncharge(budget, rest_bytes) == AEGIS_OK);
    poll_both(AEGIS_OK);
    CHECK_SIZE(waiting_bytes(budget), 0);
}

static void polled_requests_enter_the_queue_of_a_child(void) {
    make_all();
    poll_both(AEGIS_PENDING);
    run_in_child(poll_both_again);
    CHECK(waiting_bytes(budget) != 0);
    CHECK(aegis_budget_uncharge(budget, rest_bytes) == AEGIS_OK);
    poll_both(AEGIS_OK);
    take_apart();
}

int main(void) {
    check_alarm(60);
    if (test_can_fork_beside_threads())
        RUN(threads_that_wait_are_forgotten_in_a_child);
    RUN(polled_requests_enter_the_queue_of_a_child);
    return check_finish();
}

#endif
