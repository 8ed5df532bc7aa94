/* SPDX-License-Identifier: Apache-2.0 */
/* Tests a buffer pool whose system takes membarrier(2) away, as a sandbox does that a process
 * enters after its start. Each test runs in a child process, where a seccomp filter refuses the
 * call to the thread that installs it. No block may be lost or have two owners, no call may hang,
 * and the pool must never be freed too early. AEGIS_TEST_SCALE sets the work. */
#if !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* syscall */
#endif
#include "buffer_pool_support.h"

#if defined(__linux__)

#include "barrier_support.h"

#include <pthread.h>
#include <stdatomic.h>

#define BLOCKS 4
#define THREADS 4
#define MAX_BLOCKS 64

static test_source state;
static aegis_buffer_pool pool;
static aegis_buffer_mut writers[BLOCKS + 1];
static pthread_barrier_t meeting;

static void make(size_t block_count) {
    aegis_source source = test_source_get(&state, true);
    pool = buffer_pool_of(64, block_count, 0, &source);
}

static void empty_pool_refuses(void) {
    make(2);
    refuse_barrier();
    for (int i = 0; i < 3; i++) {
        aegis_error error;
        CHECK_SIZE(get_writers(&pool, writers, 3, 1, &error), 2);
        CHECK(error.status == AEGIS_E_EXHAUSTED && error.in_use_bytes == 128);
        release_writers(writers, 2);
    }
    aegis_buffer_pool_release(&pool);
    test_source_check_done(&state);
}

/* Takes all blocks and gives them back, so that this thread's stripe caches as many as it can
 * hold. */
static void *park_all(void *unused) {
    (void)unused;
    aegis_buffer_mut all[BLOCKS];
    CHECK_SIZE(get_writers(&pool, all, BLOCKS, 1, NULL), BLOCKS);
    release_writers(all, BLOCKS);
    CHECK(buffer_pool_stats(&pool).classes[0].parked != 0);
    return NULL;
}

static void blocks_of_a_thread_that_has_ended_are_found(void) {
    pthread_t thread;
    make(BLOCKS);
    CHECK(pthread_create(&thread, NULL, park_all, NULL) == 0);
    pthread_join(thread, NULL);
    refuse_barrier();
    CHECK_SIZE(get_writers(&pool, writers, BLOCKS + 1, 1, NULL), BLOCKS);
    release_writers(writers, BLOCKS);
    aegis_buffer_pool_release(&pool);
    test_source_check_done(&state);
}

static void *park_and_come_back(void *unused) {
    aegis_buffer_mut writer;
    park_all(unused);
    pthread_barrier_wait(&meeting);
    pthread_barrier_wait(&meeting);
    CHECK(aegis_buffer_pool_get(&pool, &writer, 1, NULL) == AEGIS_OK);
    CHECK(aegis_buffer_mut_release(&writer) == AEGIS_OK);
    pthread_barrier_wait(&meeting);
    pthread_barrier_wait(&meeting);
    return NULL;
}

/* Without the barrier, this thread cannot know whether the other one is inside its stripe. So it
 * can get some blocks but not all: the blocks that the other thread has cached are out of reach.
 * Once the other thread has used the pool again, this thread can get all blocks. */
static void blocks_of_a_thread_that_comes_back_are_found(void) {
    pthread_t thread;
    make(BLOCKS);
    CHECK(pthread_create(&thread, NULL, park_and_come_back, NULL) == 0);
    pthread_barrier_wait(&meeting);
    size_t parked_count = buffer_pool_stats(&pool).classes[0].parked;
    refuse_barrier();
    size_t got_count = get_writers(&pool, writers, BLOCKS + 1, 1, NULL);
    CHECK_SIZE(got_count, BLOCKS - parked_count);
    release_writers(writers, got_count);
    pthread_barrier_wait(&meeting);
    pthread_barrier_wait(&meeting);
    CHECK_SIZE(get_writers(&pool, writers, BLOCKS + 1, 1, NULL), BLOCKS);
    release_writers(writers, BLOCKS);
    pthread_barrier_wait(&meeting);
    pthread_join(thread, NULL);
    aegis_buffer_pool_release(&pool);
    test_source_check_done(&state);
}

static void *park_and_keep_one(void *unused) {
    (void)unused;
    aegis_buffer_mut all[BLOCKS];
    CHECK_SIZE(get_writers(&pool, all, BLOCKS, 1, NULL), BLOCKS);
    release_writers(all, BLOCKS - 1);
    pthread_barrier_wait(&meeting);
    pthread_barrier_wait(&meeting);
    release_writers(&all[BLOCKS - 1], 1);
    pthread_barrier_wait(&meeting);
    return NULL;
}

static int report_count;

static void count_report(const char *message) {
    (void)message;
    report_count++;
}

/* Gives up the last handle. In a debug build the library reports that the pool may stay for
 * ever. */
static void end_pool(void) {
    aegis_report_fn before = aegis_set_report(count_report);
    aegis_buffer_pool_release(&pool);
    aegis_set_report(before);
    if ((aegis_build_flags() & AEGIS_BUILD_DEBUG) != 0)
        CHECK(report_count == 1);
    CHECK_SIZE(state.close_count, 0);
}

static void the_last_buffer_of_a_thread_ends_the_pool(void) {
    pthread_t thread;
    make(BLOCKS);
    CHECK(pthread_create(&thread, NULL, park_and_keep_one, NULL) == 0);
    pthread_barrier_wait(&meeting);
    refuse_barrier();
    end_pool();
    pthread_barrier_wait(&meeting);
    pthread_barrier_wait(&meeting);
    test_source_check_done(&state);
    pthread_join(thread, NULL);
}

static void *release_two_and_come_back(void *unused) {
    (void)unused;
    aegis_buffer_mut writer;
    release_writers(writers, 2);
    pthread_barrier_wait(&meeting);
    pthread_barrier_wait(&meeting);
    CHECK(aegis_buffer_pool_get(&pool, &writer, 1, NULL) == AEGIS_OK);
    pthread_barrier_wait(&meeting);
    pthread_barrier_wait(&meeting);
    release_writers(&writer, 1);
    return NULL;
}

static void count_wake(void *context) {
    ++*(int *)context;
}

/* A request waits only if a block is out that wakes it when it comes home. The blocks that another
 * thread has cached are out of reach, and do not. */
static void request_waits_only_for_blocks_that_are_out(void) {
    pthread_t thread;
    aegis_buffer_pool_request *request = NULL;
    aegis_buffer_mut writer;
    int wake_count = 0;
    make(2);
    CHECK_SIZE(get_writers(&pool, writers, 2, 1, NULL), 2);
    CHECK(pthread_create(&thread, NULL, release_two_and_come_back, NULL) == 0);
    pthread_barrier_wait(&meeting);
    CHECK_SIZE(buffer_pool_stats(&pool).classes[0].parked, 2);
    refuse_barrier();
    aegis_error error;
    CHECK(aegis_buffer_pool_poll(&pool, &request, &writer, 1, count_wake, &wake_count, &error) ==
          AEGIS_E_EXHAUSTED);
    CHECK(request == NULL && error.status == AEGIS_E_EXHAUSTED);
    pthread_barrier_wait(&meeting); /* the other thread takes one of them */
    pthread_barrier_wait(&meeting);
    CHECK(aegis_buffer_pool_poll(&pool, &request, &writers[0], 1, count_wake, &wake_count, NULL) ==
          AEGIS_OK);
    CHECK(aegis_buffer_pool_poll(&pool, &request, &writer, 1, count_wake, &wake_count, NULL) ==
          AEGIS_PENDING);
    pthread_barrier_wait(&meeting); /* and releases it */
    pthread_join(thread, NULL);
    CHECK(wake_count == 1);
    CHECK(aegis_buffer_pool_poll(&pool, &request, &writer, 1, count_wake, &wake_count, NULL) ==
          AEGIS_OK);
    release_writers(&writers[0], 1);
    release_writers(&writer, 1);
    aegis_buffer_pool_release(&pool);
    test_source_check_done(&state);
}

static void *park_and_stay(void *unused) {
    park_all(unused);
    pthread_barrier_wait(&meeting);
    pthread_barrier_wait(&meeting);
    return NULL;
}

static void a_pool_stays_whose_blocks_are_out_of_reach(void) {
    pthread_t thread;
    make(BLOCKS);
    CHECK(pthread_create(&thread, NULL, park_and_stay, NULL) == 0);
    pthread_barrier_wait(&meeting);
    refuse_barrier();
    end_pool();
    pthread_barrier_wait(&meeting);
    pthread_join(thread, NULL);
}

static void find_all_blocks(void) {
    refuse_barrier();
    CHECK_SIZE(get_writers(&pool, writers, BLOCKS + 1, 1, NULL), BLOCKS);
    release_writers(writers, BLOCKS);
}

/* The stripe belongs to a thread that does not exist in a child of this process. */
static void blocks_of_a_thread_that_a_fork_left_behind_are_found(void) {
    pthread_t thread;
    make(BLOCKS);
    CHECK(pthread_create(&thread, NULL, park_and_stay, NULL) == 0);
    pthread_barrier_wait(&meeting);
    in_child(find_all_blocks);
    pthread_barrier_wait(&meeting);
    pthread_join(thread, NULL);
    aegis_buffer_pool_release(&pool);
    test_source_check_done(&state);
}

static void *park_and_end(void *unused) {
    park_all(unused);
    pthread_barrier_wait(&meeting);
    while (buffer_pool_stats(&pool).wait_count == 0)
        usleep(1000);
    return NULL;
}

/* No thread wakes the waiting one: the other thread ends without another call on the pool. */
static void a_waiter_finds_blocks_of_a_thread_that_ends(void) {
    pthread_t thread;
    make(BLOCKS);
    CHECK(pthread_create(&thread, NULL, park_and_end, NULL) == 0);
    pthread_barrier_wait(&meeting);
    refuse_barrier();
    size_t got_count = get_writers(&pool, writers, BLOCKS, 1, NULL);
    CHECK(got_count < BLOCKS);
    CHECK(aegis_buffer_pool_get_timeout(&pool, &writers[got_count], 1, AEGIS_WAIT_FOREVER, NULL) ==
          AEGIS_OK);
    pthread_join(thread, NULL);
    release_writers(writers, got_count + 1);
    aegis_buffer_pool_release(&pool);
    test_source_check_done(&state);
}

static _Atomic uint32_t owners[MAX_BLOCKS];
static atomic_size_t failure_count;

/* From some round on, the barrier is refused to half of the threads. */
static void *hammer(void *argument) {
    size_t number = (size_t)(uintptr_t)argument;
    uint64_t seed = number + 5;
    for (size_t i = 0; i < scaled(100000); i++) {
        aegis_buffer_mut held[3];
        size_t ids[3] = {0, 0, 0};
        if (i == scaled(20000) && number % 2 == 0)
            refuse_barrier();
        size_t got_count = get_writers(&pool, held, 1 + random_below(&seed, 3), 1, NULL);
        for (size_t k = 0; k < got_count; k++) {
            bool known = aegis_buffer_pool_id_of(&pool, held[k].owner, &ids[k]) == AEGIS_OK;
            if (!known || atomic_exchange(&owners[ids[k]], 1) != 0)
                atomic_fetch_add(&failure_count, 1);
        }
        for (size_t k = 0; k < got_count; k++) {
            atomic_store(&owners[ids[k]], 0);
            if (aegis_buffer_mut_release(&held[k]) != AEGIS_OK)
                atomic_fetch_add(&failure_count, 1);
        }
    }
    return NULL;
}

static void no_block_is_lost_or_had_twice(void) {
    pthread_t threads[THREADS];
    aegis_buffer_mut all[7];
    make(6);
    for (size_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, hammer, (void *)(uintptr_t)i) == 0);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    CHECK_SIZE(atomic_load(&failure_count), 0);
    refuse_barrier();
    CHECK_SIZE(get_writers(&pool, all, 7, 1, NULL), 6);
    release_writers(all, 6);
    aegis_buffer_pool_release(&pool);
    test_source_check_done(&state);
}

static void without_the_barrier_an_empty_pool_refuses(void) {
    in_child(empty_pool_refuses);
}

static void without_the_barrier_blocks_of_an_ended_thread_are_found(void) {
    in_child(blocks_of_a_thread_that_has_ended_are_found);
}

static void without_the_barrier_a_thread_that_comes_back_brings_its_blocks(void) {
    in_child(blocks_of_a_thread_that_comes_back_are_found);
}

static void without_the_barrier_the_last_buffer_ends_the_pool(void) {
    in_child(the_last_buffer_of_a_thread_ends_the_pool);
}

static void without_the_barrier_a_pool_stays_rather_than_going_early(void) {
    in_child(a_pool_stays_whose_blocks_are_out_of_reach);
}

static void without_the_barrier_a_waiter_finds_blocks_of_a_thread_that_ends(void) {
    in_child(a_waiter_finds_blocks_of_a_thread_that_ends);
}

static void without_the_barrier_a_request_waits_only_for_blocks_that_are_out(void) {
    in_child(request_waits_only_for_blocks_that_are_out);
}

static void without_the_barrier_a_child_process_finds_all_blocks(void) {
    in_child(blocks_of_a_thread_that_a_fork_left_behind_are_found);
}

static void without_the_barrier_no_block_is_lost_or_had_twice(void) {
    in_child(no_block_is_lost_or_had_twice);
}

int main(void) {
    if (!can_take_barrier())
        return 0;
    CHECK(pthread_barrier_init(&meeting, NULL, 2) == 0);
    RUN(without_the_barrier_an_empty_pool_refuses);
    RUN(without_the_barrier_blocks_of_an_ended_thread_are_found);
    RUN(without_the_barrier_a_thread_that_comes_back_brings_its_blocks);
    RUN(without_the_barrier_the_last_buffer_ends_the_pool);
    RUN(without_the_barrier_a_pool_stays_rather_than_going_early);
    RUN(without_the_barrier_a_waiter_finds_blocks_of_a_thread_that_ends);
    RUN(without_the_barrier_a_request_waits_only_for_blocks_that_are_out);
    RUN(without_the_barrier_a_child_process_finds_all_blocks);
    RUN(without_the_barrier_no_block_is_lost_or_had_twice);
    return check_finish();
}

#else

int main(void) {
    printf("no membarrier here: 1 passed, 0 failed\n");
    return 0;
}

#endif
