/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of polled requests share: a context for each poll, which says whether its waker
 * was called, and threads that all run one function. */
#ifndef POLL_SUPPORT_H
#define POLL_SUPPORT_H

#if !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* sched_yield */
#endif
#include "pool_support.h"

#include <pthread.h>
#include <sched.h>

/* The context of one poll. It is freed when its waker was called or withdrawn, so a waker that
 * comes later is seen by a checker. */
typedef struct turn {
    atomic_bool called;
} turn;

static inline turn *turn_new(void) {
    turn *made = (turn *)calloc(1, sizeof *made);
    CHECK(made != NULL);
    return made;
}

/* The waker. */
static inline void turn_call(void *context) {
    atomic_store(&((turn *)context)->called, true);
}

static inline void turn_await(turn *context) {
    while (!atomic_load(&context->called))
        sched_yield();
}

/* Frees a context. If its waker was not withdrawn, it was called, or is to be. */
static inline void turn_end(turn *context, bool withdrawn) {
    if (!withdrawn)
        turn_await(context);
    free(context);
}

/* Runs a function in `count` threads, the first of which gets 1 as its argument. */
static inline void run_in_threads(size_t count, void *(*run)(void *argument)) {
    pthread_t threads[16];
    CHECK(count <= 16);
    for (size_t i = 0; i < count; i++)
        CHECK(pthread_create(&threads[i], NULL, run, (void *)(uintptr_t)(i + 1)) == 0);
    for (size_t i = 0; i < count; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
}

#endif
