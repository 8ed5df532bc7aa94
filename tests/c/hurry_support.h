/* SPDX-License-Identifier: Apache-2.0 */
/* Threads whose waits are so short that the time is often up just as a piece of memory arrives.
 * Tests of pools use them to show that no piece is lost then. */
#ifndef HURRY_SUPPORT_H
#define HURRY_SUPPORT_H

#include "pool_support.h"

#include <pthread.h>
#include <sched.h>

#define HURRIED_THREADS 6
#define HURRIED_TURNS scaled(4000)
#define HURRIED_BYTES 64

typedef struct hurried_thread hurried_thread;

/* One turn at a pool: waits up to `timeout_ns` for HURRIED_BYTES bytes. If they come, hands them to
 * `hurried_thread_use` and gives them back. Returns whether every call was as it must be. */
typedef bool (*hurried_turn)(hurried_thread *self, uint64_t timeout_ns);

struct hurried_thread {
    const void *pool;
    hurried_turn turn;
    uint64_t seed;
    size_t got_count;
    size_t failure_count;
    pthread_t thread;
};

/* Writes the bytes and demands that no other thread writes to them. */
static inline void hurried_thread_use(hurried_thread *self, unsigned char *bytes) {
    self->got_count++;
    unsigned char mark = (unsigned char)self->seed;
    memset(bytes, mark, HURRIED_BYTES);
    if (random_below(&self->seed, 4) == 0)
        sched_yield();
    self->failure_count += !is_filled(bytes, mark, HURRIED_BYTES);
}

static inline void *hurry(void *argument) {
    hurried_thread *self = (hurried_thread *)argument;
    for (size_t i = 0; i < HURRIED_TURNS; i++)
        self->failure_count += !self->turn(self, random_below(&self->seed, 60000));
    return NULL;
}

/* Runs the threads. Returns how often one of them got its bytes. */
static inline size_t run_hurried_threads(const void *pool, hurried_turn turn) {
    hurried_thread threads[HURRIED_THREADS];
    for (size_t i = 0; i < HURRIED_THREADS; i++) {
        memset(&threads[i], 0, sizeof threads[i]);
        threads[i].pool = pool;
        threads[i].turn = turn;
        threads[i].seed = 77 + i;
        CHECK(pthread_create(&threads[i].thread, NULL, hurry, &threads[i]) == 0);
    }
    size_t got_count = 0;
    for (size_t i = 0; i < HURRIED_THREADS; i++) {
        pthread_join(threads[i].thread, NULL);
        CHECK_SIZE(threads[i].failure_count, 0);
        got_count += threads[i].got_count;
    }
    CHECK(got_count != 0);
    return got_count;
}

#endif
