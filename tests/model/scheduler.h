/* SPDX-License-Identifier: Apache-2.0 */
/* A systematic scheduler: runs a scenario of a few threads, as coroutines, once for every order in
 * which their atomic operations can interleave with at most `preemption_bound` switches away from
 * a thread that could go on. Depth first: each run repeats a prefix of decisions and then goes on
 * with the running thread; the next run changes the last decision that has an alternative left.
 * Sequentially consistent: wrong memory orders are for ThreadSanitizer to find. */
#ifndef MODEL_SCHEDULER_H
#define MODEL_SCHEDULER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MODEL_MAX_THREADS 3

typedef struct model_scenario {
    const char *name;
    /* Makes the state anew; runs before the threads, not interleaved. */
    void (*begin)(void);
    /* What thread `number` does. */
    void (*thread)(int number);
    /* Checks the final state and takes it apart. */
    void (*end)(void);
    int thread_count;
    int preemption_bound;
    /* Looks at the state ahead of each atomic operation of a thread and at its end, so that it sees
     * every value there is; without such operations of its own. May be NULL. */
    void (*observe)(void);
} model_scenario;

/* The thread that runs; -1 in `begin` and `end`. */
int model_running(void);
/* Lets the others go on until the word has another value. If all wait, the schedule has failed. */
void model_wait_while(const _Atomic uint32_t *word, uint32_t value);
/* The same, but ends when all wait. */
void model_wait_or_idle(const _Atomic uint32_t *word, uint32_t value);
/* Ends all other threads where they are. */
void model_end_others(void);
/* Explores every schedule of each scenario and prints how many there were. Returns 0. */
int model_explore_all(const model_scenario *scenarios, size_t count);
/* Demands a condition: prints the schedule and ends the program with exit code 1 otherwise. */
void model_check(bool condition, const char *what);

#define MODEL_CHECK(condition) model_check((condition), #condition)

#endif
