/* SPDX-License-Identifier: Apache-2.0 */
/* Tests one lock-free arena with more threads than cores. Its blocks hold a few allocations each,
 * so the threads spend most of the time on the way to the next block. No byte may have two owners,
 * zeroed memory must be zero, and content must stay. The same holds with sources and budgets that
 * refuse, and over cycles of reset and reuse. Each thread fills its allocations with its own mark
 * and checks them at the end of the round. The main thread then looks for overlaps among all
 * addresses. AEGIS_TEST_SCALE sets the work. */
#include "shared_support.h"

#include <pthread.h>

#define THREADS 8
#define ALLOCATIONS 600
#define ROUNDS 20

/* How a thread allocates. */
#define DIRECT 0
#define BY_HANDLE 1
#define MIXED 2

typedef struct piece {
    unsigned char *p;
    size_t size_bytes;
} piece;

typedef struct worker {
    int way;
    unsigned char mark;
    uint64_t seed;
    bool may_fail;
    size_t failed_count;
    size_t count;
    piece pieces[ALLOCATIONS];
    aegis_arena_local local;
    pthread_t thread;
} worker;

static aegis_lock_free_arena arena;
static worker workers[THREADS];
static atomic_size_t failure_count;

static void demand(bool condition) {
    if (!condition)
        atomic_fetch_add(&failure_count, 1);
}

/* Seven rounds have all that changes from round to round. */
static size_t rounds(void) {
    return scaled(ROUNDS) < 7 ? 7 : scaled(ROUNDS);
}

static unsigned char *take_direct(worker *self, size_t size, size_t kind) {
    aegis_error error = {0};
    unsigned char *p;
    if (kind == 0) {
        p = (unsigned char *)aegis_lock_free_arena_alloc(&arena, size, &error);
    } else if (kind == 1) {
        p = (unsigned char *)aegis_lock_free_arena_alloc_zeroed(&arena, size, &error);
        demand(p == NULL || is_filled(p, 0, size));
    } else if (kind == 2) {
        size_t align = (size_t)1 << random_below(&self->seed, 9);
        p = (unsigned char *)aegis_lock_free_arena_alloc_aligned_zeroed(&arena, size, align,
                                                                        &error);
        demand(p == NULL || (is_aligned(p, align) && is_filled(p, 0, size)));
    } else {
        p = (unsigned char *)aegis_lock_free_arena_alloc(&arena, 2 * size, &error);
        if (p != NULL) {
            memset(p, self->mark, 2 * size);
            if (kind == 3) {
                aegis_lock_free_arena_free_last(&arena, p, 2 * size);
                return take_direct(self, size, 1);
            }
            p = (unsigned char *)aegis_lock_free_arena_realloc_aligned(&arena, p, 2 * size, size, 8,
                                                                       &error);
            unsigned char *grown = (unsigned char *)aegis_lock_free_arena_realloc_aligned(
                &arena, p, size, size + 30, 8, NULL);
            p = grown != NULL ? grown : p;
            demand(is_filled(p, self->mark, size));
        }
    }
    demand(p != NULL || error.status == AEGIS_E_OUT_OF_MEMORY ||
           error.status == AEGIS_E_LIMIT_EXCEEDED);
    return p;
}

static unsigned char *take_local(worker *self, size_t size, size_t kind) {
    if (kind == 0)
        return (unsigned char *)aegis_arena_alloc(&self->local.arena, size);
    unsigned char *p = (unsigned char *)aegis_arena_alloc_zeroed(&self->local.arena, size);
    demand(p == NULL || is_filled(p, 0, size));
    return p;
}

static void *work(void *context) {
    worker *self = (worker *)context;
    bool handle = self->way != DIRECT;
    if (handle)
        demand(aegis_arena_local_init(&self->local, &arena, AEGIS_ARENA_NO_DEBUG) == AEGIS_OK);
    self->count = self->failed_count = 0;
    for (size_t i = 0; i < ALLOCATIONS; i++) {
        size_t size = random_below(&self->seed, 100) == 0 ? 300 + random_below(&self->seed, 2000)
                                                          : random_below(&self->seed, 100);
        size_t kind = random_below(&self->seed, 5);
        bool direct = self->way == DIRECT || (self->way == MIXED && i % 2 == 0);
        unsigned char *p =
            direct ? take_direct(self, size, kind) : take_local(self, size, kind % 2);
        if (p == NULL) {
            demand(self->may_fail);
            self->failed_count++;
            continue;
        }
        memset(p, self->mark, size);
        piece taken = {p, size};
        self->pieces[self->count++] = taken;
        /* Threads close and open handles, so that the rests of shards go from one handle to
         * another. */
        if (handle && random_below(&self->seed, 50) == 0) {
            aegis_arena_local_fini(&self->local);
            demand(aegis_arena_local_init(&self->local, &arena, AEGIS_ARENA_NO_DEBUG) == AEGIS_OK);
        }
    }
    for (size_t i = 0; i < self->count; i++)
        demand(is_filled(self->pieces[i].p, self->mark, self->pieces[i].size_bytes));
    if (handle)
        aegis_arena_local_fini(&self->local);
    return NULL;
}

static int by_address(const void *left, const void *right) {
    uintptr_t a = (uintptr_t)((const piece *)left)->p, b = (uintptr_t)((const piece *)right)->p;
    return a < b ? -1 : a > b;
}

/* Demands that no two allocations of the round overlap. */
static void check_overlaps(void) {
    static piece all[THREADS * ALLOCATIONS];
    size_t count = 0;
    for (size_t i = 0; i < THREADS; i++)
        for (size_t n = 0; n < workers[i].count; n++)
            if (workers[i].pieces[n].size_bytes != 0)
                all[count++] = workers[i].pieces[n];
    qsort(all, count, sizeof *all, by_address);
    for (size_t i = 1; i < count; i++)
        CHECK(all[i - 1].p + all[i - 1].size_bytes <= all[i].p);
}

static void run_round(int way, bool may_fail, uint64_t seed) {
    for (size_t i = 0; i < THREADS; i++) {
        workers[i].way = way == MIXED ? (int)(i % 3) : way;
        workers[i].mark = (unsigned char)(i + 1);
        workers[i].seed = seed * 1000 + i + 1;
        workers[i].may_fail = may_fail;
        CHECK(pthread_create(&workers[i].thread, NULL, work, &workers[i]) == 0);
    }
    for (size_t i = 0; i < THREADS; i++)
        CHECK(pthread_join(workers[i].thread, NULL) == 0);
    check_overlaps();
}

/* Rounds of work and reset. The arena must stop growing: what a round left unused because of races,
 * the next rounds use. */
static void run_cycles(int way, size_t max_block_bytes, bool zeroing) {
    shared_source state;
    aegis_source source = shared_source_get(&state, zeroing);
    arena = shared_arena(0, max_block_bytes, &source);
    size_t most_used = 0;
    for (size_t round = 0; round < rounds(); round++) {
        run_round(way, false, round);
        aegis_arena_stats stats = shared_stats(&arena);
        most_used = stats.used_bytes > most_used ? stats.used_bytes : most_used;
        CHECK_SIZE(stats.reserved_bytes, atomic_load(&state.live_bytes));
        if (round % 7 == 6)
            aegis_lock_free_arena_clear(&arena);
        else
            aegis_lock_free_arena_reset(&arena);
    }
    CHECK(shared_stats(&arena).reserved_bytes < 4 * most_used + THREADS * max_block_bytes);
    CHECK_SIZE(atomic_load(&failure_count), 0);
    aegis_lock_free_arena_fini(&arena);
    shared_source_check_done(&state);
}

static void direct_over_tiny_blocks(void) {
    run_cycles(DIRECT, 1024, true);
    run_cycles(DIRECT, 1024, false);
}

static void direct_over_larger_blocks(void) {
    run_cycles(DIRECT, 65536, false);
}

static void handles_over_tiny_blocks(void) {
    run_cycles(BY_HANDLE, 4096, true);
}

static void direct_and_handles_mixed(void) {
    run_cycles(MIXED, 4096, false);
    run_cycles(MIXED, 1 << 20, true);
}

static void refusing_sources_stop_nobody_else(void) {
    for (size_t each = 2; each < 12; each++) {
        shared_source state;
        aegis_source source = shared_source_get(&state, each % 2 == 0);
        arena = shared_arena(0, 2048, &source);
        for (int round = 0; round < 2; round++) {
            atomic_store(&state.fail_each, each);
            run_round(MIXED, true, each);
            CHECK_SIZE(shared_stats(&arena).reserved_bytes, atomic_load(&state.live_bytes));
            aegis_lock_free_arena_reset(&arena);
        }
        /* Once the source gives memory again, nothing of the failures may remain. */
        atomic_store(&state.fail_each, 0);
        run_round(MIXED, false, each);
        aegis_lock_free_arena_fini(&arena);
        shared_source_check_done(&state);
    }
    CHECK_SIZE(atomic_load(&failure_count), 0);
}

static void source_that_dries_up_at_any_step_leaves_the_rest_usable(void) {
    for (size_t from = 1; from < 40; from += 3) {
        shared_source state;
        aegis_source source = shared_source_get(&state, true);
        arena = shared_arena(0, 1024, &source);
        atomic_store(&state.fail_from, from);
        run_round(DIRECT, true, from);
        size_t failed_count = 0;
        for (size_t i = 0; i < THREADS; i++)
            failed_count += workers[i].failed_count;
        CHECK(failed_count > 0);
        CHECK_SIZE(atomic_load(&state.live_count), from - 1);
        aegis_lock_free_arena_fini(&arena);
        shared_source_check_done(&state);
    }
    CHECK_SIZE(atomic_load(&failure_count), 0);
}

static void budget_is_never_exceeded_and_wholly_released(void) {
    aegis_budget *budget = aegis_budget_new("table", 100000, NULL);
    aegis_lock_free_arena_options options = {0, 4096, NULL, budget, NULL, 0};
    aegis_budget_figures figures;
    CHECK(aegis_lock_free_arena_init(&arena, &options, NULL) == AEGIS_OK);
    for (uint64_t round = 0; round < 5; round++) {
        run_round(MIXED, true, round);
        aegis_budget_get_figures(budget, &figures);
        CHECK_SIZE(figures.used_bytes, shared_stats(&arena).reserved_bytes);
        CHECK(figures.used_bytes <= 100000);
        aegis_lock_free_arena_clear(&arena);
    }
    aegis_lock_free_arena_fini(&arena);
    aegis_budget_get_figures(budget, &figures);
    CHECK_SIZE(figures.used_bytes, 0);
    aegis_budget_destroy(budget);
    CHECK_SIZE(atomic_load(&failure_count), 0);
}

/* A registered call, in the arena's memory: the thread that registered it, and its number. */
typedef struct deferred_call {
    worker *owner;
    size_t number;
} deferred_call;

static size_t ran_count;

/* The functions of one thread must run in the reverse of the order in which it registered them. */
static void run_call(void *context) {
    const deferred_call *call = (const deferred_call *)context;
    CHECK_SIZE(call->number, --call->owner->count);
    ran_count++;
}

static void *defer_calls(void *context) {
    worker *self = (worker *)context;
    self->count = self->failed_count = 0;
    for (size_t i = 0; i < ALLOCATIONS; i++) {
        aegis_error error = {0};
        deferred_call *call =
            (deferred_call *)aegis_lock_free_arena_alloc(&arena, sizeof *call, NULL);
        if (call != NULL) {
            call->owner = self;
            call->number = self->count;
            if (aegis_lock_free_arena_defer(&arena, run_call, call, &error) == AEGIS_OK) {
                self->count++;
                continue;
            }
            demand(error.status == AEGIS_E_OUT_OF_MEMORY);
        }
        self->failed_count++;
    }
    return NULL;
}

static void functions_deferred_by_threads_at_once_run_once_each(void) {
    for (size_t round = 0; round < rounds(); round++) {
        bool may_fail = round % 3 == 2;
        shared_source state;
        aegis_source source = shared_source_get(&state, false);
        arena = shared_arena(0, round % 2 == 0 ? 1024 : 65536, &source);
        for (int cycle = 0; cycle < 3; cycle++) {
            /* In each cycle the source fails after five acquires. Later cycles reuse blocks. */
            atomic_store(&state.fail_from, may_fail ? atomic_load(&state.asked_count) + 5 : 0);
            size_t registered_count = 0, failed_count = 0;
            for (size_t i = 0; i < THREADS; i++)
                CHECK(pthread_create(&workers[i].thread, NULL, defer_calls, &workers[i]) == 0);
            for (size_t i = 0; i < THREADS; i++)
                CHECK(pthread_join(workers[i].thread, NULL) == 0);
            for (size_t i = 0; i < THREADS; i++) {
                failed_count += workers[i].failed_count;
                registered_count += workers[i].count;
            }
            CHECK_SIZE(registered_count + failed_count, THREADS * ALLOCATIONS);
            CHECK(may_fail ? failed_count > 0 || cycle > 0 : failed_count == 0);
            ran_count = 0;
            if (cycle == 0)
                aegis_lock_free_arena_reset(&arena);
            else if (cycle == 1)
                aegis_lock_free_arena_clear(&arena);
            else
                aegis_lock_free_arena_fini(&arena);
            CHECK_SIZE(ran_count, registered_count);
            for (size_t i = 0; i < THREADS; i++)
                CHECK_SIZE(workers[i].count, 0);
        }
        shared_source_check_done(&state);
    }
    CHECK_SIZE(atomic_load(&failure_count), 0);
}

int main(void) {
    RUN(direct_over_tiny_blocks);
    RUN(direct_over_larger_blocks);
    RUN(handles_over_tiny_blocks);
    RUN(direct_and_handles_mixed);
    RUN(refusing_sources_stop_nobody_else);
    RUN(source_that_dries_up_at_any_step_leaves_the_rest_usable);
    RUN(budget_is_never_exceeded_and_wholly_released);
    RUN(functions_deferred_by_threads_at_once_run_once_each);
    return check_finish();
}
