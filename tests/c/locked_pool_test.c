/* SPDX-License-Identifier: Apache-2.0 */
/* Tests the locked pool, and its waiting most of all. Threads that wait must be served in the order
 * in which they came, and no block may be lost when a wait ends. No test depends on how fast a
 * thread is: the threads find each other's state in what the pool reports. */
#if !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* sched_yield */
#endif
#include "hurry_support.h"
#include "pool_support.h"

#define NS_PER_MS UINT64_C(1000000)
#define WAITERS 6

static test_source state;

static aegis_locked_pool make(size_t block_count) {
    aegis_locked_pool pool;
    aegis_pool_options options = pool_options(64, block_count, 0, NULL);
    CHECK(aegis_locked_pool_init(&pool, &options) == AEGIS_OK);
    return pool;
}

static void wait_for_waiters(const aegis_locked_pool *pool, size_t waiting_count) {
    while (aegis_locked_pool_waiting(pool) != waiting_count)
        sched_yield();
}

static void all_blocks_can_be_had_then_the_pool_is_exhausted(void) {
    aegis_locked_pool pool;
    aegis_source source = test_source_get(&state, true);
    aegis_pool_options options = pool_options(64, 3, 8, &source);
    CHECK(aegis_locked_pool_init(&pool, &options) == AEGIS_OK);
    void *blocks[9];
    aegis_error error;
    CHECK_SIZE(aegis_locked_pool_alloc_n(&pool, blocks, 9, &error), 8);
    CHECK(error.status == AEGIS_E_EXHAUSTED);
    CHECK(aegis_locked_pool_alloc(&pool, &error) == NULL && error.status == AEGIS_E_EXHAUSTED);
    CHECK(aegis_locked_pool_alloc_timeout(&pool, 0, NULL) == NULL);
    CHECK(aegis_locked_pool_alloc_timeout(&pool, NS_PER_MS, &error) == NULL);
    CHECK(error.status == AEGIS_E_EXHAUSTED);
    CHECK_SIZE(error.in_use_bytes, 512);
    CHECK(aegis_locked_pool_fini(&pool) == AEGIS_E_BUSY);
    for (size_t i = 0; i < 8; i++) {
        size_t index = SIZE_MAX;
        CHECK(aegis_locked_pool_index_of(&pool, blocks[i], &index) == AEGIS_OK);
        CHECK_SIZE(index, i);
        CHECK(aegis_locked_pool_address_of(&pool, i) == blocks[i]);
        CHECK(aegis_locked_pool_owns(&pool, blocks[i]));
        memset(blocks[i], 0xFF, 64);
    }
    aegis_pool_slab_info info;
    CHECK(aegis_locked_pool_get_slab(&pool, 2, &info) == AEGIS_OK);
    CHECK_SIZE(info.block_count, 2);
    CHECK(aegis_locked_pool_free_n(&pool, blocks, 8) == AEGIS_OK);
    void *block = aegis_locked_pool_alloc_zeroed(&pool, NULL);
    CHECK(is_filled(block, 0, 64));
    CHECK(aegis_locked_pool_free(&pool, block) == AEGIS_OK);
    aegis_locked_pool_trim(&pool, 0);
    CHECK_SIZE(locked_stats(&pool).slab_count, 1);
    CHECK_SIZE(locked_stats(&pool).peak_in_use, 8);
    CHECK(aegis_locked_pool_fini(&pool) == AEGIS_OK);
    CHECK(aegis_locked_pool_fini(&pool) == AEGIS_OK);
    CHECK(aegis_locked_pool_fini(NULL) == AEGIS_OK);
    test_source_check_done(&state);
    CHECK_SIZE(state.close_count, 1);
}

static void wrong_frees_are_refused_and_change_nothing(void) {
    aegis_locked_pool pool, other = make(1);
    CHECK(aegis_locked_pool_init(&pool, NULL) == AEGIS_E_INVALID);
    pool = make(4);
    void *blocks[5];
    CHECK_SIZE(aegis_locked_pool_alloc_n(&pool, blocks, 4, NULL), 4);
    void *foreign = aegis_locked_pool_alloc(&other, NULL);
    CHECK(aegis_locked_pool_free(&pool, NULL) == AEGIS_E_INVALID);
    CHECK(aegis_locked_pool_free(&pool, foreign) == AEGIS_E_INVALID);
    CHECK(aegis_locked_pool_free(&pool, (char *)blocks[1] + 8) == AEGIS_E_INVALID);
    blocks[4] = blocks[2];
    CHECK(aegis_locked_pool_free_n(&pool, blocks, 5) == AEGIS_E_INVALID);
    CHECK_SIZE(locked_stats(&pool).in_use, 4);
    CHECK(aegis_locked_pool_free_n(&pool, blocks, 4) == AEGIS_OK);
    CHECK(aegis_locked_pool_free(&pool, blocks[0]) == AEGIS_E_INVALID);
    CHECK(aegis_locked_pool_free(&other, foreign) == AEGIS_OK);
    CHECK(aegis_locked_pool_fini(&other) == AEGIS_OK);
    CHECK(aegis_locked_pool_fini(&pool) == AEGIS_OK);
}

static void oom_at_every_step_leaves_the_pool_as_it_was(void) {
    for (size_t fail_at = 1; fail_at <= 4; fail_at++) {
        aegis_source source = test_source_get(&state, false);
        state.fail_at = fail_at;
        aegis_locked_pool pool;
        aegis_pool_options options = pool_options(32, 1, 2, &source);
        if (aegis_locked_pool_init(&pool, &options) != AEGIS_OK) {
            CHECK(fail_at <= 2 && pool.shared == NULL);
            test_source_check_done(&state);
            continue;
        }
        aegis_error error;
        void *a = aegis_locked_pool_alloc(&pool, &error);
        void *b = aegis_locked_pool_alloc(&pool, &error);
        CHECK(a != NULL && (b == NULL) == (fail_at == 3));
        if (b == NULL) {
            CHECK(error.status == AEGIS_E_OUT_OF_MEMORY);
            b = aegis_locked_pool_alloc(&pool, NULL);
        }
        CHECK(aegis_locked_pool_free(&pool, a) == AEGIS_OK);
        CHECK(aegis_locked_pool_free(&pool, b) == AEGIS_OK);
        CHECK(aegis_locked_pool_fini(&pool) == AEGIS_OK);
        test_source_check_done(&state);
    }
}

typedef struct waiting_thread {
    const aegis_locked_pool *pool;
    uint64_t timeout_ns;
    void *block;
    aegis_error error;
    pthread_t thread;
} waiting_thread;

static void *wait_for_block(void *argument) {
    waiting_thread *self = (waiting_thread *)argument;
    self->block = aegis_locked_pool_alloc_timeout(self->pool, self->timeout_ns, &self->error);
    return NULL;
}

static void start(waiting_thread *self, const aegis_locked_pool *pool, uint64_t timeout_ns) {
    self->pool = pool;
    self->timeout_ns = timeout_ns;
    CHECK(pthread_create(&self->thread, NULL, wait_for_block, self) == 0);
}

/* Blocks that come back one at a time must go to the threads in the order in which these came. The
 * thread that gives the blocks back cannot take one itself in between. */
static void waiting_threads_are_served_in_order(void) {
    aegis_locked_pool pool = make(1);
    void *block = aegis_locked_pool_alloc(&pool, NULL);
    waiting_thread waiters[WAITERS];
    for (size_t i = 0; i < WAITERS; i++) {
        start(&waiters[i], &pool, i % 2 == 0 ? AEGIS_WAIT_FOREVER : UINT64_MAX / 2);
        wait_for_waiters(&pool, i + 1);
    }
    CHECK(aegis_locked_pool_fini(&pool) == AEGIS_E_BUSY);
    for (size_t i = 0; i < WAITERS; i++) {
        CHECK(aegis_locked_pool_free(&pool, block) == AEGIS_OK);
        CHECK(aegis_locked_pool_alloc(&pool, NULL) == NULL);
        pthread_join(waiters[i].thread, NULL);
        CHECK(waiters[i].block == block);
        CHECK_SIZE(aegis_locked_pool_waiting(&pool), WAITERS - 1 - i);
    }
    CHECK(aegis_locked_pool_free(&pool, block) == AEGIS_OK);
    CHECK(aegis_locked_pool_fini(&pool) == AEGIS_OK);
}

static void bulk_free_serves_several_waiting_threads(void) {
    aegis_locked_pool pool = make(4);
    void *blocks[4];
    CHECK_SIZE(aegis_locked_pool_alloc_n(&pool, blocks, 4, NULL), 4);
    waiting_thread waiters[3];
    for (size_t i = 0; i < 3; i++)
        start(&waiters[i], &pool, AEGIS_WAIT_FOREVER);
    wait_for_waiters(&pool, 3);
    CHECK(aegis_locked_pool_free_n(&pool, blocks, 4) == AEGIS_OK);
    for (size_t i = 0; i < 3; i++) {
        pthread_join(waiters[i].thread, NULL);
        CHECK(waiters[i].block != NULL);
        CHECK(aegis_locked_pool_free(&pool, waiters[i].block) == AEGIS_OK);
    }
    CHECK_SIZE(locked_stats(&pool).in_use, 0);
    CHECK(aegis_locked_pool_fini(&pool) == AEGIS_OK);
}

/* One waiting thread gives up, mostly one in the middle of the queue. The others must be served in
 * order. */
static void a_thread_whose_time_is_up_leaves_the_queue_whole(void) {
    aegis_locked_pool pool = make(1);
    void *block = aegis_locked_pool_alloc(&pool, NULL);
    waiting_thread waiters[3];
    start(&waiters[0], &pool, AEGIS_WAIT_FOREVER);
    wait_for_waiters(&pool, 1);
    start(&waiters[1], &pool, 100 * NS_PER_MS);
    sched_yield();
    start(&waiters[2], &pool, AEGIS_WAIT_FOREVER);
    pthread_join(waiters[1].thread, NULL);
    wait_for_waiters(&pool, 2);
    CHECK(waiters[1].block == NULL && waiters[1].error.status == AEGIS_E_EXHAUSTED);
    for (size_t i = 0; i < 3; i += 2) {
        CHECK(aegis_locked_pool_free(&pool, block) == AEGIS_OK);
        pthread_join(waiters[i].thread, NULL);
        CHECK(waiters[i].block == block);
    }
    CHECK(aegis_locked_pool_free(&pool, block) == AEGIS_OK);
    CHECK(aegis_locked_pool_fini(&pool) == AEGIS_OK);
}

static bool alloc_in_a_hurry(hurried_thread *self, uint64_t timeout_ns) {
    const aegis_locked_pool *pool = (const aegis_locked_pool *)self->pool;
    unsigned char *block = (unsigned char *)aegis_locked_pool_alloc_timeout(pool, timeout_ns, NULL);
    if (block == NULL)
        return true;
    hurried_thread_use(self, block);
    return aegis_locked_pool_free(pool, block) == AEGIS_OK;
}

static void nothing_is_lost_when_time_is_up_as_a_block_arrives(void) {
    aegis_locked_pool pool = make(2);
    (void)run_hurried_threads(&pool, alloc_in_a_hurry);
    aegis_pool_stats stats = locked_stats(&pool);
    CHECK_SIZE(stats.in_use, 0);
    CHECK_SIZE(stats.available, 2);
    CHECK_SIZE(aegis_locked_pool_waiting(&pool), 0);
    CHECK(aegis_locked_pool_fini(&pool) == AEGIS_OK);
}

int main(void) {
    RUN(all_blocks_can_be_had_then_the_pool_is_exhausted);
    RUN(wrong_frees_are_refused_and_change_nothing);
    RUN(oom_at_every_step_leaves_the_pool_as_it_was);
    RUN(waiting_threads_are_served_in_order);
    RUN(bulk_free_serves_several_waiting_threads);
    RUN(a_thread_whose_time_is_up_leaves_the_queue_whole);
    RUN(nothing_is_lost_when_time_is_up_as_a_block_arrives);
    return check_finish();
}
