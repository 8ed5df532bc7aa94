/* SPDX-License-Identifier: Apache-2.0 */
/* Tests arenas that wait for room in their budget. No test depends on how fast a thread is: the
 * threads find each other's requests in what the budget says when it refuses, and an alarm ends a
 * test that hangs. */
#if !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* sched_yield */
#endif
#include "wait_support.h"

#include <stdatomic.h>

#define SIZE_BYTES ((size_t)100)

enum { PLAIN, LOCKED, LOCK_FREE, LOCAL, RECYCLED, FORMS };

/* An arena of any form. */
typedef struct any_arena {
    int form;
    aegis_arena plain;
    aegis_locked_arena locked;
    aegis_lock_free_arena lock_free;
    aegis_arena_local local;
    aegis_arena_recycler recycler;
} any_arena;

static void make(any_arena *arena, int form, aegis_budget *budget, uint64_t wait_ns) {
    aegis_arena_options options = {0,      0, NULL, NULL, 0, budget, NULL, AEGIS_ARENA_NO_DEBUG,
                                   wait_ns};
    aegis_lock_free_arena_options shared = {0, 0, NULL, budget, NULL, wait_ns};
    aegis_arena_recycler_options recycler = {options, 1, 0, NULL};
    memset(arena, 0, sizeof *arena);
    arena->form = form;
    if (form == PLAIN) {
        CHECK(aegis_arena_init(&arena->plain, &options) == AEGIS_OK);
    } else if (form == LOCKED) {
        CHECK(aegis_locked_arena_init(&arena->locked, &options, NULL) == AEGIS_OK);
    } else if (form == RECYCLED) {
        CHECK(aegis_arena_recycler_init(&arena->recycler, &recycler) == AEGIS_OK);
        CHECK(aegis_arena_recycler_get(&arena->recycler, &arena->plain, NULL) == AEGIS_OK);
    } else {
        CHECK(aegis_lock_free_arena_init(&arena->lock_free, &shared, NULL) == AEGIS_OK);
        if (form == LOCAL)
            CHECK(aegis_arena_local_init(&arena->local, &arena->lock_free, AEGIS_ARENA_NO_DEBUG) ==
                  AEGIS_OK);
    }
}

static void finish(any_arena *arena) {
    if (arena->form == RECYCLED)
        aegis_arena_recycler_put(&arena->recycler, &arena->plain);
    CHECK(aegis_arena_recycler_fini(&arena->recycler) == AEGIS_OK);
    aegis_arena_fini(&arena->plain);
    aegis_locked_arena_fini(&arena->locked);
    aegis_arena_local_fini(&arena->local);
    aegis_lock_free_arena_fini(&arena->lock_free);
}

/* Makes an arena with a budget of its own, in which `charged_bytes` are in use. */
static aegis_budget *begin(any_arena *arena, int form, uint64_t wait_ns, size_t charged_bytes) {
    aegis_budget *budget = aegis_budget_new("b", LIMIT_BYTES, NULL);
    make(arena, form, budget, wait_ns);
    CHECK(aegis_budget_charge(budget, charged_bytes, NULL) == AEGIS_OK);
    return budget;
}

/* Ends both. `charged_bytes` are still in use beside the arena. */
static void end(any_arena *arena, aegis_budget *budget, size_t charged_bytes) {
    finish(arena);
    CHECK_SIZE(used(budget), charged_bytes);
    CHECK(aegis_budget_uncharge(budget, charged_bytes) == AEGIS_OK);
    aegis_budget_destroy(budget);
}

static void *alloc(any_arena *arena, size_t size_bytes, aegis_error *error) {
    if (arena->form == LOCKED)
        return aegis_locked_arena_alloc(&arena->locked, size_bytes, error);
    if (arena->form == LOCK_FREE)
        return aegis_lock_free_arena_alloc(&arena->lock_free, size_bytes, error);
    aegis_arena *plain = arena->form == LOCAL ? &arena->local.arena : &arena->plain;
    void *memory = aegis_arena_alloc(plain, size_bytes);
    if (memory == NULL)
        aegis_arena_last_error(plain, error);
    return memory;
}

typedef struct requester {
    any_arena *arena;
    size_t size_bytes;
    void *memory;
    aegis_error error;
    pthread_t thread;
} requester;

static void *request(void *argument) {
    requester *self = (requester *)argument;
    self->memory = alloc(self->arena, self->size_bytes, &self->error);
    return NULL;
}

/* Starts a thread that allocates, and returns when it waits in the budget. */
static void start(requester *self, any_arena *arena, size_t size_bytes, aegis_budget *budget) {
    size_t old_bytes = waiting_bytes(budget);
    memset(self, 0, sizeof *self);
    self->arena = arena;
    self->size_bytes = size_bytes;
    CHECK(pthread_create(&self->thread, NULL, request, self) == 0);
    wait_for_more_waiting(budget, old_bytes);
}

static void arena_of_each_form_waits_until_another_thread_uncharges(void) {
    for (int form = 0; form < FORMS; form++) {
        any_arena arena;
        requester waiter;
        aegis_budget *budget = begin(&arena, form, AEGIS_WAIT_FOREVER, LIMIT_BYTES);
        start(&waiter, &arena, SIZE_BYTES, budget);
        /* The request that waits is for a block of the exact size: a block of the growth step has
         * at least AEGIS_ARENA_MIN_BLOCK bytes. */
        size_t asked_bytes = waiting_bytes(budget);
        CHECK(asked_bytes > SIZE_BYTES && asked_bytes < AEGIS_ARENA_MIN_BLOCK);
        CHECK(aegis_budget_uncharge(budget, asked_bytes - 1) == AEGIS_OK);
        CHECK_SIZE(waiting_bytes(budget), asked_bytes);
        CHECK(aegis_budget_uncharge(budget, LIMIT_BYTES - (asked_bytes - 1)) == AEGIS_OK);
        CHECK(pthread_join(waiter.thread, NULL) == 0);
        CHECK(waiter.memory != NULL);
        CHECK_SIZE(used(budget), asked_bytes);
        end(&arena, budget, 0);
    }
}

static void time_that_is_up_leaves_a_whole_error_and_nothing_else(void) {
    for (int form = 0; form < FORMS; form++) {
        any_arena arena;
        aegis_error error;
        aegis_budget *budget = begin(&arena, form, NS_PER_MS, LIMIT_BYTES - 8);
        memset(&error, 0, sizeof error);
        CHECK(alloc(&arena, SIZE_BYTES, &error) == NULL);
        CHECK(error.status == AEGIS_E_LIMIT_EXCEEDED && error.refused == budget);
        CHECK_SIZE(error.requested_bytes, SIZE_BYTES);
        CHECK_SIZE(error.limit_bytes, LIMIT_BYTES);
        CHECK_SIZE(error.in_use_bytes, LIMIT_BYTES - 8);
        CHECK(error.needed_bytes > SIZE_BYTES && error.needed_bytes < AEGIS_ARENA_MIN_BLOCK);
        CHECK_SIZE(waiting_bytes(budget), 0);
        CHECK_SIZE(used(budget), LIMIT_BYTES - 8);
        CHECK(aegis_budget_uncharge(budget, LIMIT_BYTES - 8) == AEGIS_OK);
        CHECK(alloc(&arena, SIZE_BYTES, &error) != NULL);
        end(&arena, budget, 0);
    }
}

static void closed_budget_ends_the_wait_of_each_form(void) {
    for (int form = 0; form < FORMS; form++) {
        any_arena arena;
        requester waiter;
        /* The library has a meaning of its own for this time, which no caller may meet. */
        aegis_budget *budget = begin(&arena, form, AEGIS_WAIT_FOREVER - 1, LIMIT_BYTES);
        start(&waiter, &arena, SIZE_BYTES, budget);
        aegis_budget_close(budget);
        CHECK(pthread_join(waiter.thread, NULL) == 0);
        CHECK(waiter.memory == NULL && waiter.error.status == AEGIS_E_CLOSED);
        end(&arena, budget, LIMIT_BYTES);
    }
}

static void first_block_is_waited_for_too(void) {
    aegis_budget *budget = aegis_budget_new("b", LIMIT_BYTES, NULL);
    aegis_arena_options options = {LIMIT_BYTES, 0, NULL, NULL, 0, budget, NULL, 0, NS_PER_MS};
    aegis_lock_free_arena_options shared = {LIMIT_BYTES, 0, NULL, budget, NULL, NS_PER_MS};
    aegis_arena arena;
    aegis_lock_free_arena lock_free;
    aegis_error error;
    told_count = 0;
    CHECK(aegis_budget_on_pressure(budget, 100, count_pressure, NULL, NULL) == AEGIS_OK);
    CHECK(aegis_arena_init(&arena, &options) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK(aegis_lock_free_arena_init(&lock_free, &shared, &error) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK(error.refused == budget && error.requested_bytes == LIMIT_BYTES);
    CHECK_SIZE(atomic_load(&told_count), 2);
    aegis_budget_destroy(budget);
}

static void requests_of_all_forms_are_served_in_the_order_of_arrival(void) {
    aegis_budget *budget = aegis_budget_new("b", LIMIT_BYTES, NULL);
    any_arena arenas[2 * FORMS];
    requester waiters[2 * FORMS];
    size_t left_bytes = LIMIT_BYTES;
    for (int i = 0; i < 2 * FORMS; i++)
        make(&arenas[i], i % FORMS, budget, AEGIS_WAIT_FOREVER);
    CHECK(aegis_budget_charge(budget, LIMIT_BYTES, NULL) == AEGIS_OK);
    for (int i = 0; i < 2 * FORMS; i++)
        start(&waiters[i], &arenas[i], SIZE_BYTES, budget);
    for (int i = 0; i < 2 * FORMS; i++) {
        size_t old_bytes = waiting_bytes(budget);
        while (waiting_bytes(budget) == old_bytes) {
            CHECK(aegis_budget_uncharge(budget, 8) == AEGIS_OK);
            left_bytes -= 8;
        }
        /* Were it not the first that was served, this would not end. */
        CHECK(pthread_join(waiters[i].thread, NULL) == 0);
        CHECK(waiters[i].memory != NULL);
    }
    CHECK_SIZE(waiting_bytes(budget), 0);
    for (int i = 0; i < 2 * FORMS; i++)
        finish(&arenas[i]);
    CHECK_SIZE(used(budget), left_bytes);
    CHECK(aegis_budget_uncharge(budget, left_bytes) == AEGIS_OK);
    aegis_budget_destroy(budget);
}

static void thread_that_waits_holds_up_no_other_thread_of_its_arena(void) {
    for (int form = LOCKED; form <= LOCK_FREE; form++) {
        any_arena arena;
        requester waiter;
        aegis_error error;
        aegis_budget *budget = begin(&arena, form, AEGIS_WAIT_FOREVER, 0);
        CHECK(alloc(&arena, 1, &error) != NULL);
        size_t rest_bytes = LIMIT_BYTES - used(budget);
        CHECK(aegis_budget_charge(budget, rest_bytes, NULL) == AEGIS_OK);
        start(&waiter, &arena, 2 * AEGIS_ARENA_MIN_BLOCK, budget);
        CHECK(alloc(&arena, 1, &error) != NULL);
        CHECK(waiting_bytes(budget) != 0);
        CHECK(aegis_budget_uncharge(budget, rest_bytes) == AEGIS_OK);
        CHECK(pthread_join(waiter.thread, NULL) == 0);
        CHECK(waiter.memory != NULL);
        end(&arena, budget, 0);
    }
}

/* A request that is refused tells the pressure functions once, although it asks for larger blocks
 * first. */
static void larger_blocks_are_given_up_without_a_word(void) {
    for (int form = 0; form < FORMS; form++) {
        any_arena arena;
        aegis_error error;
        aegis_budget *budget = begin(&arena, form, 0, LIMIT_BYTES);
        told_count = 0;
        CHECK(aegis_budget_on_pressure(budget, 100, count_pressure, NULL, NULL) == AEGIS_OK);
        CHECK(alloc(&arena, SIZE_BYTES, &error) == NULL);
        CHECK_SIZE(atomic_load(&told_count), 1);
        end(&arena, budget, LIMIT_BYTES);
    }
}

int main(void) {
    check_alarm(120);
    RUN(arena_of_each_form_waits_until_another_thread_uncharges);
    RUN(time_that_is_up_leaves_a_whole_error_and_nothing_else);
    RUN(closed_budget_ends_the_wait_of_each_form);
    RUN(first_block_is_waited_for_too);
    RUN(requests_of_all_forms_are_served_in_the_order_of_arrival);
    RUN(thread_that_waits_holds_up_no_other_thread_of_its_arena);
    RUN(larger_blocks_are_given_up_without_a_word);
    return check_finish();
}
