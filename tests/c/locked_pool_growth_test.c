/* SPDX-License-Identifier: Apache-2.0 */
/* Tests growth and trim of the locked pool: what the pool's source and budget may do while they are
 * called, and which of the waiting threads get the new blocks. No test depends on how fast a thread
 * is: the threads find each other's state in what the pool reports, and an alarm ends a test that
 * hangs. */
#if !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* sched_yield */
#endif
#include "pool_support.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#define NS_PER_MS UINT64_C(1000000)
#define THREADS 6
#define BUDGET_BYTES ((size_t)1 << 20)

static aegis_locked_pool pool;

/* A source of pages for one pool at a time. Before its functions act, they call what the test has
 * set. */
static void (*during_acquire)(void);
static void (*during_release)(void);
static atomic_bool refusing;
static atomic_size_t asked_count;
static atomic_size_t live_count;
static aegis_source pages;

static void *hooked_acquire(void *context, size_t size_bytes, size_t align_bytes, bool *zeroed) {
    atomic_fetch_add(&asked_count, 1);
    if (during_acquire != NULL)
        during_acquire();
    void *memory =
        atomic_load(&refusing) ? NULL : pages.acquire(context, size_bytes, align_bytes, zeroed);
    if (memory != NULL)
        atomic_fetch_add(&live_count, 1);
    return memory;
}

static void hooked_release(void *context, void *memory, size_t size_bytes, size_t align_bytes) {
    if (during_release != NULL)
        during_release();
    pages.release(context, memory, size_bytes, align_bytes);
    atomic_fetch_sub(&live_count, 1);
}

static void make(size_t block_count, size_t max_block_count, aegis_budget *budget) {
    pages = aegis_source_pages(0);
    aegis_source source = {hooked_acquire, hooked_release, NULL, pages.context};
    aegis_pool_options options = pool_options(4096, block_count, max_block_count, &source);
    options.budget = budget;
    during_acquire = during_release = NULL;
    atomic_store(&refusing, false);
    CHECK(aegis_locked_pool_init(&pool, &options) == AEGIS_OK);
}

static void finish(void) {
    during_acquire = during_release = NULL;
    CHECK_SIZE(aegis_locked_pool_waiting(&pool), 0);
    CHECK_SIZE(locked_stats(&pool).in_use, 0);
    CHECK(aegis_locked_pool_fini(&pool) == AEGIS_OK);
    CHECK_SIZE(atomic_load(&live_count), 0);
}

static void wait_for_waiters(size_t waiting_count) {
    while (aegis_locked_pool_waiting(&pool) != waiting_count)
        sched_yield();
}

typedef struct requester {
    uint64_t timeout_ns;
    void *block;
    aegis_error error;
    pthread_t thread;
} requester;

static void *request(void *argument) {
    requester *self = (requester *)argument;
    self->block = aegis_locked_pool_alloc_timeout(&pool, self->timeout_ns, &self->error);
    return NULL;
}

static void start(requester *self, uint64_t timeout_ns) {
    memset(self, 0, sizeof *self);
    self->timeout_ns = timeout_ns;
    CHECK(pthread_create(&self->thread, NULL, request, self) == 0);
}

/* What the limit has left, as long as no thread grows the pool. */
static size_t rest_of(const aegis_budget *budget) {
    aegis_budget_figures figures;
    aegis_budget_get_figures(budget, &figures);
    return BUDGET_BYTES - figures.used_bytes;
}

/* Charges all that the limit has left. */
static size_t charge_rest(aegis_budget *budget) {
    size_t rest_bytes = rest_of(budget);
    CHECK(aegis_budget_charge(budget, rest_bytes, NULL) == AEGIS_OK);
    return rest_bytes;
}

static void waiter_gets_a_block_once_its_budget_has_room_again(void) {
    aegis_budget *budget = aegis_budget_new("b", BUDGET_BYTES, NULL);
    make(1, 2, budget);
    void *block = aegis_locked_pool_alloc(&pool, NULL);
    size_t rest_bytes = charge_rest(budget);
    requester waiter;
    start(&waiter, AEGIS_WAIT_FOREVER);
    wait_for_waiters(1);
    CHECK(aegis_budget_uncharge(budget, rest_bytes) == AEGIS_OK);
    CHECK(pthread_join(waiter.thread, NULL) == 0);
    CHECK(waiter.block != NULL && waiter.block != block);
    CHECK(aegis_locked_pool_free(&pool, block) == AEGIS_OK);
    CHECK(aegis_locked_pool_free(&pool, waiter.block) == AEGIS_OK);
    finish();
    aegis_budget_destroy(budget);
}

static void waiters_get_blocks_once_their_source_has_memory_again(void) {
    make(1, THREADS + 1, NULL);
    void *block = aegis_locked_pool_alloc(&pool, NULL);
    requester waiters[THREADS];
    atomic_store(&refusing, true);
    for (size_t i = 0; i < THREADS; i++)
        start(&waiters[i], AEGIS_WAIT_FOREVER);
    wait_for_waiters(THREADS);
    atomic_store(&refusing, false);
    for (size_t i = 0; i < THREADS; i++) {
        CHECK(pthread_join(waiters[i].thread, NULL) == 0);
        CHECK(aegis_locked_pool_free(&pool, waiters[i].block) == AEGIS_OK);
    }
    CHECK(locked_stats(&pool).slab_count <= THREADS + 1);
    CHECK(aegis_locked_pool_free(&pool, block) == AEGIS_OK);
    finish();
}

/* The budget gets room for one slab at a time. Each slab must go to the thread that has waited
 * longest, also when a thread that came later makes it. */
static void growth_serves_the_thread_that_has_waited_longest(void) {
    aegis_budget *budget = aegis_budget_new("b", BUDGET_BYTES, NULL);
    make(1, 8, budget);
    void *block = aegis_locked_pool_alloc(&pool, NULL);
    aegis_pool_slab_info slab;
    CHECK(aegis_locked_pool_get_slab(&pool, 0, &slab) == AEGIS_OK);
    size_t rest_bytes = charge_rest(budget);
    requester waiters[3];
    for (size_t i = 0; i < 3; i++) {
        start(&waiters[i], AEGIS_WAIT_FOREVER);
        wait_for_waiters(i + 1);
    }
    for (size_t i = 0; i < 3; i++) {
        CHECK(aegis_budget_uncharge(budget, slab.size_bytes) == AEGIS_OK);
        CHECK(aegis_locked_pool_alloc(&pool, NULL) == NULL);
        CHECK(pthread_join(waiters[i].thread, NULL) == 0);
        CHECK(waiters[i].block != NULL);
        CHECK_SIZE(aegis_locked_pool_waiting(&pool), 2 - i);
    }
    CHECK(aegis_budget_uncharge(budget, rest_bytes - 3 * slab.size_bytes) == AEGIS_OK);
    for (size_t i = 0; i < 3; i++)
        CHECK(aegis_locked_pool_free(&pool, waiters[i].block) == AEGIS_OK);
    CHECK(aegis_locked_pool_free(&pool, block) == AEGIS_OK);
    finish();
    aegis_budget_destroy(budget);
}

/* While it waits, other attempts fail for other reasons. Its error must say what its own last
 * attempt met. */
static void time_that_is_up_is_explained_by_the_last_attempt(void) {
    aegis_budget *budget = aegis_budget_new("b", BUDGET_BYTES, NULL);
    make(1, 2, budget);
    void *blocks[2] = {aegis_locked_pool_alloc(&pool, NULL), NULL};
    size_t rest_bytes = rest_of(budget);
    atomic_store(&refusing, true);
    requester waiter;
    start(&waiter, 1000 * NS_PER_MS);
    wait_for_waiters(1);
    /* This does not succeed while the waiting thread tries: its charge is taken back only when the
     * source refuses. */
    while (aegis_budget_charge(budget, rest_bytes, NULL) != AEGIS_OK)
        sched_yield();
    atomic_store(&refusing, false);
    CHECK(pthread_join(waiter.thread, NULL) == 0);
    CHECK(waiter.block == NULL && waiter.error.status == AEGIS_E_LIMIT_EXCEEDED);
    CHECK(waiter.error.refused == budget);
    CHECK_SIZE(waiter.error.limit_bytes, BUDGET_BYTES);
    CHECK(waiter.error.in_use_bytes + waiter.error.requested_bytes > BUDGET_BYTES);
    CHECK(aegis_budget_uncharge(budget, rest_bytes) == AEGIS_OK);

    start(&waiter, 0);
    CHECK(pthread_join(waiter.thread, NULL) == 0);
    blocks[1] = waiter.block;
    CHECK(blocks[1] != NULL);
    start(&waiter, 20 * NS_PER_MS);
    CHECK(pthread_join(waiter.thread, NULL) == 0);
    CHECK(waiter.block == NULL && waiter.error.status == AEGIS_E_EXHAUSTED);
    CHECK_SIZE(waiter.error.limit_bytes, 2 * 4096);
    CHECK_SIZE(waiter.error.in_use_bytes, 2 * 4096);
    CHECK(aegis_locked_pool_free_n(&pool, blocks, 2) == AEGIS_OK);
    finish();
    aegis_budget_destroy(budget);
}

static void waiter_of_a_pool_that_cannot_grow_leaves_the_source_alone(void) {
    make(1, 2, NULL);
    void *blocks[2];
    CHECK_SIZE(aegis_locked_pool_alloc_n(&pool, blocks, 2, NULL), 2);
    size_t before_count = atomic_load(&asked_count);
    CHECK(aegis_locked_pool_alloc_timeout(&pool, 60 * NS_PER_MS, NULL) == NULL);
    CHECK_SIZE(atomic_load(&asked_count), before_count);
    CHECK(aegis_locked_pool_free_n(&pool, blocks, 2) == AEGIS_OK);
    finish();
}

static void *nested_block;
static aegis_status nested_status;

/* Uses the pool in every way, from inside a call on it. */
static void use_pool(void) {
    void (*outer)(void) = during_acquire;
    during_acquire = NULL;
    if (nested_block == NULL)
        nested_block = aegis_locked_pool_alloc_timeout(&pool, AEGIS_WAIT_FOREVER, NULL);
    CHECK(aegis_locked_pool_owns(&pool, nested_block));
    CHECK(locked_stats(&pool).in_use != 0);
    aegis_locked_pool_trim(&pool, 0);
    nested_status = aegis_locked_pool_fini(&pool);
    during_acquire = outer;
}

static void use_pool_under_pressure(void *context, size_t used_bytes, size_t limit_bytes) {
    (void)context;
    (void)used_bytes;
    (void)limit_bytes;
    use_pool();
}

static void source_may_use_the_pool_that_grows(void) {
    make(1, 4, NULL);
    void *block = aegis_locked_pool_alloc(&pool, NULL);
    nested_block = NULL;
    during_acquire = use_pool;
    void *second = aegis_locked_pool_alloc(&pool, NULL);
    CHECK(nested_status == AEGIS_E_BUSY);
    CHECK(nested_block != NULL && second != NULL && nested_block != second);
    CHECK(aegis_locked_pool_free(&pool, block) == AEGIS_OK);
    CHECK(aegis_locked_pool_free(&pool, second) == AEGIS_OK);
    CHECK(aegis_locked_pool_free(&pool, nested_block) == AEGIS_OK);
    finish();
}

static void pressure_function_may_use_the_pool_that_grows(void) {
    aegis_budget *budget = aegis_budget_new("b", BUDGET_BYTES, NULL);
    make(1, 4, budget);
    aegis_budget_figures figures;
    aegis_budget_get_figures(budget, &figures);
    uint32_t percent = (uint32_t)(figures.used_bytes * 100 / BUDGET_BYTES) + 1;
    CHECK(aegis_budget_on_pressure(budget, percent, use_pool_under_pressure, NULL, NULL) ==
          AEGIS_OK);
    void *blocks[4] = {NULL, NULL, NULL, NULL};
    nested_block = NULL;
    size_t got_count = aegis_locked_pool_alloc_n(&pool, blocks, 4, NULL);
    CHECK_SIZE(got_count + (nested_block != NULL), 4);
    CHECK(aegis_locked_pool_free_n(&pool, blocks, got_count) == AEGIS_OK);
    if (nested_block != NULL)
        CHECK(aegis_locked_pool_free(&pool, nested_block) == AEGIS_OK);
    finish();
    aegis_budget_destroy(budget);
}

static void source_may_use_the_pool_that_trims(void) {
    make(1, 4, NULL);
    void *blocks[4];
    CHECK_SIZE(aegis_locked_pool_alloc_n(&pool, blocks, 4, NULL), 4);
    CHECK(aegis_locked_pool_free_n(&pool, blocks, 4) == AEGIS_OK);
    nested_block = NULL;
    during_release = use_pool;
    aegis_locked_pool_trim(&pool, 0);
    CHECK(nested_status == AEGIS_E_BUSY);
    CHECK(nested_block != NULL);
    CHECK(aegis_locked_pool_free(&pool, nested_block) == AEGIS_OK);
    CHECK_SIZE(locked_stats(&pool).slab_count, 1);
    finish();
}

static void request_in_another_thread(void) {
    requester other;
    during_acquire = NULL;
    start(&other, 0);
    CHECK(pthread_join(other.thread, NULL) == 0);
    CHECK(other.block != NULL);
    nested_block = other.block;
}

/* The other thread waits for the growth, and the growth waits for that thread. This must not last
 * for ever. */
static void source_may_wait_for_another_thread_that_uses_the_pool(void) {
    make(1, 4, NULL);
    void *block = aegis_locked_pool_alloc(&pool, NULL);
    during_acquire = request_in_another_thread;
    void *second = aegis_locked_pool_alloc(&pool, NULL);
    CHECK(second != NULL && second != nested_block);
    CHECK(aegis_locked_pool_free(&pool, block) == AEGIS_OK);
    CHECK(aegis_locked_pool_free(&pool, second) == AEGIS_OK);
    CHECK(aegis_locked_pool_free(&pool, nested_block) == AEGIS_OK);
    finish();
}

/* Lets the source answer once all threads want a block, or one of them has stopped waiting for the
 * growth. */
static void wait_for_all_requesters(void) {
    while (aegis_locked_pool_waiting(&pool) != THREADS && atomic_load(&asked_count) == 1)
        sched_yield();
}

/* Returns how many times the source was asked. */
static size_t let_threads_want_one_slab(void) {
    make(THREADS, 4 * THREADS, NULL);
    void *blocks[THREADS];
    CHECK_SIZE(aegis_locked_pool_alloc_n(&pool, blocks, THREADS, NULL), THREADS);
    requester requesters[THREADS];
    atomic_store(&asked_count, 0);
    during_acquire = wait_for_all_requesters;
    for (size_t i = 0; i < THREADS; i++)
        start(&requesters[i], 0);
    for (size_t i = 0; i < THREADS; i++) {
        CHECK(pthread_join(requesters[i].thread, NULL) == 0);
        CHECK(requesters[i].block != NULL);
        CHECK(aegis_locked_pool_free(&pool, requesters[i].block) == AEGIS_OK);
    }
    size_t asked = atomic_load(&asked_count);
    if (asked == 1)
        CHECK_SIZE(locked_stats(&pool).slab_count, 2);
    CHECK(aegis_locked_pool_free_n(&pool, blocks, THREADS) == AEGIS_OK);
    finish();
    return asked;
}

/* A thread waits only a limited time for the growth of another one. On a busy machine not all
 * threads arrive in that time, so the test tries again until they do. */
static void threads_that_want_one_slab_get_one(void) {
    while (let_threads_want_one_slab() != 1 && check_failures == 0)
        continue;
}

typedef struct worker {
    uint64_t seed;
    size_t failure_count;
    pthread_t thread;
} worker;

static void *work(void *argument) {
    worker *self = (worker *)argument;
    for (size_t i = 0; i < scaled(3000); i++) {
        void *blocks[3] = {NULL, NULL, NULL};
        size_t got_count = 1;
        size_t what = random_below(&self->seed, 8);
        if (what < 3)
            blocks[0] = aegis_locked_pool_alloc(&pool, NULL);
        else if (what < 6)
            blocks[0] =
                aegis_locked_pool_alloc_timeout(&pool, random_below(&self->seed, 100) * 1000, NULL);
        else
            got_count = aegis_locked_pool_alloc_n(&pool, blocks, 3, NULL);
        if (blocks[0] == NULL)
            got_count = 0;
        for (size_t j = 0; j < got_count; j++)
            memset(blocks[j], (int)self->seed & 0xFF, 64);
        if (random_below(&self->seed, 4) == 0)
            atomic_store(&refusing, random_below(&self->seed, 2) == 0);
        if (random_below(&self->seed, 4) == 0)
            aegis_locked_pool_trim(&pool, random_below(&self->seed, 8));
        for (size_t j = 0; j < got_count; j++)
            self->failure_count += aegis_locked_pool_free(&pool, blocks[j]) != AEGIS_OK;
    }
    return NULL;
}

static void threads_that_grow_and_trim_lose_nothing(void) {
    worker workers[THREADS];
    make(1, 8, NULL);
    for (size_t i = 0; i < THREADS; i++) {
        workers[i].seed = 901 + i;
        workers[i].failure_count = 0;
        CHECK(pthread_create(&workers[i].thread, NULL, work, &workers[i]) == 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        CHECK(pthread_join(workers[i].thread, NULL) == 0);
        CHECK_SIZE(workers[i].failure_count, 0);
    }
    aegis_pool_stats stats = locked_stats(&pool);
    CHECK(stats.capacity <= 8 && stats.peak_in_use <= 8);
    /* the slabs and the side memory */
    CHECK_SIZE(atomic_load(&live_count), stats.slab_count + 1);
    CHECK_SIZE(stats.acquired_count - stats.released_count, stats.slab_count + 1);
    finish();
}

int main(void) {
    check_alarm(120);
    RUN(waiter_gets_a_block_once_its_budget_has_room_again);
    RUN(waiters_get_blocks_once_their_source_has_memory_again);
    RUN(growth_serves_the_thread_that_has_waited_longest);
    RUN(time_that_is_up_is_explained_by_the_last_attempt);
    RUN(waiter_of_a_pool_that_cannot_grow_leaves_the_source_alone);
    RUN(source_may_use_the_pool_that_grows);
    RUN(pressure_function_may_use_the_pool_that_grows);
    RUN(source_may_use_the_pool_that_trims);
    RUN(source_may_wait_for_another_thread_that_uses_the_pool);
    RUN(threads_that_want_one_slab_get_one);
    RUN(threads_that_grow_and_trim_lose_nothing);
    return check_finish();
}
