/* SPDX-License-Identifier: Apache-2.0 */
/* A systematic scheduler. It runs a scenario of a few threads, which are coroutines, once for every
 * order of their atomic operations. A switch away from a thread that could go on is a preemption,
 * and only orders with at most `preemption_bound` preemptions are run.
 *
 * The search is depth first. A run repeats the first decisions of the run before, and then lets the
 * running thread go on as long as it can. The next run changes the last decision that has an option
 * left, and keeps all decisions before that.
 * The operations are sequentially consistent here: ThreadSanitizer looks for wrong memory orders.
 * Source of the bound: M. Musuvathi and S. Qadeer, "Iterative context bounding for systematic
 * testing of multithreaded programs" (2007). */
#ifndef MODEL_SCHEDULER_H
#define MODEL_SCHEDULER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MODEL_MAX_THREADS 3

typedef struct model_scenario {
    const char *name;
    /* Makes the state anew. It runs before the threads, and no other code runs meanwhile. */
    void (*begin)(void);
    /* What thread `number` does. */
    void (*thread)(int number);
    /* Checks the final state and releases what `begin` has made. It runs after the threads. */
    void (*end)(void);
    int thread_count;
    int preemption_bound;
    /* Looks at the state before each atomic operation of a thread and at the thread's end, and so
     * sees every value that exists. It calls no such operation itself. May be NULL. */
    void (*observe)(void);
} model_scenario;

/* The number of the running thread; -1 in `begin` and `end`. */
int model_running(void);
/* Lets the other threads go on until the word has another value. If all wait, the schedule has
 * failed. */
void model_wait_while(const _Atomic uint32_t *word, uint32_t value);
/* The same, but the wait ends when all threads wait. */
void model_wait_or_idle(const _Atomic uint32_t *word, uint32_t value);
/* Ends all other threads at the place that each has reached. */
void model_end_others(void);
/* Runs every schedule of each scenario and prints how many there were. Returns 0. */
int model_explore_all(const model_scenario *scenarios, size_t count);
/* Demands a condition. If it is false, prints the schedule and ends the program with code 1. */
void model_check(bool condition, const char *what);

#define MODEL_CHECK(condition) model_check((condition), #condition)

#endif
