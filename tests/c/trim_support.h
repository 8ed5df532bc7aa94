/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of trims share: threads that use a pool while others trim it, and who owns which
 * block meanwhile. */
#ifndef TRIM_SUPPORT_H
#define TRIM_SUPPORT_H

#include "budget_support.h"
#include "pool_support.h"

#include <pthread.h>

#define THREADS 4
#define MAX_TRIMMERS 2

static atomic_size_t failure_count;
static atomic_bool done;

/* A check for threads: it prints nothing. */
static inline void demand(bool condition) {
    if (!condition)
        atomic_fetch_add(&failure_count, 1);
}

typedef struct worker {
    uint32_t number;
    uint64_t seed;
    pthread_t thread;
} worker;

/* The number of the worker that owns a block, or 0. */
static inline void own_block(_Atomic uint32_t *owner, const worker *self) {
    demand(atomic_exchange(owner, self->number) == 0);
}

static inline void disown_block(_Atomic uint32_t *owner, const worker *self) {
    demand(atomic_exchange(owner, 0) == self->number);
}

/* Lets a moment pass between two trims, unless the workers are done. */
static inline void pause_trimmer(worker *self, size_t most_rounds) {
    for (size_t i = random_below(&self->seed, most_rounds); i > 0; i--)
        (void)atomic_load(&done);
}

/* Runs THREADS workers, and meanwhile trimmers, each of which runs until `done`. */
static inline void run_workers(void *(*work)(void *self), void *(*trim)(void *self),
                               size_t trimmer_count) {
    worker all[THREADS + MAX_TRIMMERS];
    CHECK(trimmer_count <= MAX_TRIMMERS);
    atomic_store(&done, false);
    atomic_store(&failure_count, 0);
    for (uint32_t i = 0; i < THREADS + trimmer_count; i++) {
        all[i].number = i + 1;
        all[i].seed = i + 77;
        CHECK(pthread_create(&all[i].thread, NULL, i < THREADS ? work : trim, &all[i]) == 0);
    }
    for (size_t i = 0; i < THREADS + trimmer_count; i++) {
        if (i == THREADS)
            atomic_store(&done, true);
        CHECK(pthread_join(all[i].thread, NULL) == 0);
    }
    CHECK_SIZE(atomic_load(&failure_count), 0);
}

#endif
