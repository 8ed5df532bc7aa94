/* SPDX-License-Identifier: Apache-2.0 */
/* The scheduler of scheduler.h, with ucontext coroutines. It switches coroutines only where the
 * schedule changes the thread, so for most operations it only takes a decision. */
#define _XOPEN_SOURCE 700
#include "yield.h"
#include "scheduler.h"

#include <stdio.h>
#include <stdlib.h>
#include <ucontext.h>

#define STACK_BYTES 65536
#define MAX_STEPS 4096

/* One decision: which of `option_count` threads goes on. Option 0 is the running thread, if it can
 * go on. */
typedef struct decision {
    int option;
    int option_count;
    int thread;
} decision;

static const model_scenario *scenario;
static ucontext_t main_context;
static ucontext_t contexts[MODEL_MAX_THREADS];
static _Alignas(16) char stacks[MODEL_MAX_THREADS][STACK_BYTES];
static bool finished[MODEL_MAX_THREADS];
/* The word that each thread waits for; NULL if it does not wait. */
static const _Atomic uint32_t *awaited[MODEL_MAX_THREADS];
static uint32_t awaited_values[MODEL_MAX_THREADS];
/* Whether a thread's wait ends when no other thread can go on, and whether none can. */
static bool impatient[MODEL_MAX_THREADS];
static bool idle;
static decision path[MAX_STEPS];
static int path_length;
static int step;
static int preemptions;
/* How many there may be. */
static int bound;
static int running = -1;

void model_check(bool condition, const char *what) {
    if (condition)
        return;
    printf("%s: FAILED: %s\n  schedule:", scenario->name, what);
    for (int i = 0; i < step; i++)
        printf(" %d", path[i].thread);
    printf("\n");
    exit(1);
}

/* Whether the thread can go on. */
static bool is_ready(int thread) {
    return !finished[thread] &&
           (awaited[thread] == NULL || *awaited[thread] != awaited_values[thread] ||
            (idle && impatient[thread]));
}

/* The thread that option number `option` stands for. */
static int thread_of(int option, bool can_go_on) {
    if (can_go_on && option-- == 0)
        return running;
    for (int i = 0; i < scenario->thread_count; i++)
        if (is_ready(i) && !(can_go_on && i == running) && option-- == 0)
            return i;
    return -1;
}

static int count_ready(void) {
    int ready_count = 0;
    for (int i = 0; i < scenario->thread_count; i++)
        ready_count += is_ready(i);
    return ready_count;
}

/* Takes the next decision: the one that is repeated from the run before, or else option 0. Returns
 * the thread that goes on; -1 if all have finished. */
static int decide(bool can_go_on) {
    int left_count = 0;
    for (int i = 0; i < scenario->thread_count; i++)
        left_count += !finished[i];
    if (left_count == 0)
        return -1;
    idle = false;
    int option_count = count_ready();
    idle = option_count == 0;
    if (idle)
        option_count = count_ready();
    model_check(option_count != 0, "a thread can go on");
    if (can_go_on && preemptions >= bound)
        option_count = 1;
    model_check(step < MAX_STEPS, "the threads come to an end");
    decision *now = &path[step];
    if (step == path_length) {
        now->option = 0;
        path_length++;
    }
    now->option_count = option_count;
    now->thread = thread_of(now->option, can_go_on);
    step++;
    if (can_go_on && now->option != 0)
        preemptions++;
    return now->thread;
}

static void switch_to(int to) {
    int from = running;
    if (to == from)
        return;
    running = to;
    swapcontext(&contexts[from], &contexts[to]);
}

void model_yield(void) {
    if (running < 0)
        return;
    if (scenario->observe != NULL)
        scenario->observe();
    switch_to(decide(true));
}

int model_running(void) {
    return running;
}

void model_wait_while(const _Atomic uint32_t *word, uint32_t value) {
    if (running < 0) {
        model_check(*word != value, "nothing is waited for without threads");
        return;
    }
    int waiting = running;
    awaited[waiting] = word;
    awaited_values[waiting] = value;
    if (!is_ready(waiting))
        switch_to(decide(false));
    awaited[waiting] = NULL;
}

void model_wait_or_idle(const _Atomic uint32_t *word, uint32_t value) {
    if (running < 0)
        return;
    int waiting = running;
    impatient[waiting] = true;
    model_wait_while(word, value);
    impatient[waiting] = false;
}

void model_end_others(void) {
    for (int i = 0; i < scenario->thread_count; i++)
        finished[i] = i != running;
}

static void run_thread(int number) {
    scenario->thread(number);
    if (scenario->observe != NULL)
        scenario->observe();
    finished[number] = true;
    running = decide(false);
    setcontext(running >= 0 ? &contexts[running] : &main_context);
}

static void run_once(void) {
    step = preemptions = 0;
    scenario->begin();
    for (int i = 0; i < scenario->thread_count; i++) {
        finished[i] = false;
        awaited[i] = NULL;
        impatient[i] = false;
        getcontext(&contexts[i]);
        contexts[i].uc_stack.ss_sp = stacks[i];
        contexts[i].uc_stack.ss_size = STACK_BYTES;
        contexts[i].uc_link = NULL;
        /* makecontext takes a function whose parameters are not specified. */
        makecontext(&contexts[i], (void (*)(void))run_thread, 1, i);
    }
    running = decide(false);
    swapcontext(&main_context, &contexts[running]);
    running = -1;
    scenario->end();
}

/* Changes the last decision that has an option left. False: none has. */
static bool next_path(void) {
    path_length = step;
    while (path_length > 0) {
        decision *last = &path[path_length - 1];
        if (++last->option < last->option_count)
            return true;
        path_length--;
    }
    return false;
}

/* Runs every schedule of a scenario. Returns how many there were. With MODEL_SHORT in the
 * environment three threads are preempted at most twice, and two at most four times: once more
 * takes ten times as long. */
static size_t explore(const model_scenario *what) {
    size_t schedule_count = 0;
    scenario = what;
    bound = what->preemption_bound;
    int most = what->thread_count > 2 ? 2 : 4;
    if (getenv("MODEL_SHORT") != NULL && bound > most)
        bound = most;
    path_length = 0;
    do {
        run_once();
        schedule_count++;
    } while (next_path());
    return schedule_count;
}

int model_explore_all(const model_scenario *scenarios, size_t count) {
    for (size_t i = 0; i < count; i++) {
        size_t schedule_count = explore(&scenarios[i]);
        printf("%s: %zu schedules of %d threads, at most %d preemptions: none fails\n",
               scenarios[i].name, schedule_count, scenarios[i].thread_count, bound);
    }
    return 0;
}
