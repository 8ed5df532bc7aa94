/* SPDX-License-Identifier: Apache-2.0 */
/* Runs each form with 1 to 32 threads and prints what ledger.c has counted, per operation.
 *
 * The threads are real ones, but one runs at a time, and passes the turn on to the next one in a
 * circle. So the counts are the same in each run and on each machine. There are two orders:
 *   calls  the turn passes on after each call on the object: no two threads are inside one
 *   steps  it passes on before each atomic operation: all threads are inside all the time. More
 *          threads cannot collide more often than that. A thread that waits for a word of a mutex
 *          is passed over until it is woken.
 * A thread that is done is passed over. So a thread whose compare-and-swaps fail again and again,
 * because others are always faster, gets its turn in the end.
 *
 * Each case is a process of its own, so it has its own thread numbers, memory and addresses.
 *
 * Usage: contention [PART_OF_A_NAME]. Exits with 1 if a count breaks what forms.c promises of its
 * form (check). */
#define _GNU_SOURCE

#include "forms.h"
#include "ledger.h"

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define WIDTHS 6

static const int widths[WIDTHS] = {1, 2, 4, 8, 16, 32};
static const char *const figure_names[LEDGER_FIGURES] = {"read-modify-writes", "in shared lines",
                                                         "lines written by others",
                                                         "lines taken from others", "system calls"};

typedef enum order { CALLS, STEPS } order;

static const char *const order_names[] = {"turns of calls", "turns of steps"};

/* All totals of one form, by order and number of threads. In memory that the processes share. */
typedef struct counts {
    uint64_t totals[2][WIDTHS][LEDGER_FIGURES];
} counts;

static const form *running;
static order running_order;
static int thread_count;
static int opened;
static sem_t turns[LEDGER_THREADS];
static sem_t all_gone;
/* The words for which threads wait, NULL for those that do not, and how long they have waited. */
static const volatile uint32_t *waits[LEDGER_THREADS];
static uint64_t wait_begins[LEDGER_THREADS];
static uint64_t wait_count;
/* Whether the operations of each thread are counted at the moment. */
static bool counting[LEDGER_THREADS];
static bool is_gone[LEDGER_THREADS];

/* There are many more turns of steps, most of all where threads collide. So each thread makes fewer
 * operations. */
static size_t part(const form *counted, order in) {
    return in == CALLS ? 1 : counted->steps.from_threads == 1 ? 2 : 8;
}

static void take_turn(int thread) {
    while (sem_wait(&turns[thread]) != 0)
        continue;
    ledger_thread = thread;
    ledger_counts = counting[thread];
}

/* Passes the turn on, without waiting for it. */
static void give_turn(int thread) {
    for (int i = 1; i <= thread_count; i++) {
        int next = (thread + i) % thread_count;
        if (waits[next] == NULL && !is_gone[next]) {
            (void)sem_post(&turns[next]);
            return;
        }
    }
    for (int i = 0; i < thread_count; i++) {
        if (!is_gone[i]) {
            fprintf(stderr, "contention: %s: all threads wait\n", running->name);
            abort();
        }
    }
    (void)sem_post(&all_gone);
}

static void pass_turn(void) {
    int thread = ledger_thread;
    give_turn(thread);
    take_turn(thread);
}

static void wait_for_word(const volatile uint32_t *word, uint32_t value) {
    int thread = ledger_thread;
    if (*word != value)
        return;
    waits[thread] = word;
    wait_begins[thread] = ++wait_count;
    pass_turn();
}

/* Wakes the thread that has waited longest. */
static void wake_for_word(const volatile uint32_t *word) {
    int woken = -1;
    for (int i = 0; i < thread_count; i++) {
        if (waits[i] == word && (woken < 0 || wait_begins[i] < wait_begins[woken]))
            woken = i;
    }
    if (woken >= 0)
        waits[woken] = NULL;
}

static void *run_thread(void *argument) {
    int thread = (int)(intptr_t)argument;
    size_t first = running->warm_count * running->call_count / part(running, running_order);
    size_t end = first + running->counted * running->call_count / part(running, running_order);
    take_turn(thread);
    if (running->open != NULL)
        running->open(thread);
    /* All threads have opened before the first call. */
    opened++;
    while (opened < thread_count)
        pass_turn();
    ledger_works = true;
    for (size_t number = 0; number < end; number++) {
        ledger_counts = counting[thread] = number >= first;
        running->call(thread, number);
        ledger_counts = counting[thread] = false;
        pass_turn();
    }
    /* No thread ends, because the core's code that would run then would run beside others. */
    is_gone[thread] = true;
    give_turn(thread);
    take_turn(thread);
    return NULL;
}

/* Runs a case and ends the process. */
static void run_case(uint64_t *totals) {
    ledger_processors = running->processor_count;
    running->begin(thread_count);
    ledger_wait = wait_for_word;
    ledger_wake = wake_for_word;
    if (running_order == STEPS)
        ledger_before_atomic = pass_turn;
    (void)sem_init(&all_gone, 0, 0);
    for (int i = 0; i < thread_count; i++) {
        pthread_t thread;
        if (sem_init(&turns[i], 0, 0) != 0 ||
            pthread_create(&thread, NULL, run_thread, (void *)(intptr_t)i) != 0)
            abort();
    }
    (void)sem_post(&turns[0]);
    while (sem_wait(&all_gone) != 0)
        continue;
    memcpy(totals, ledger_totals, sizeof ledger_totals);
    _exit(0);
}

static double per_operation(const counts *results, const form *counted, order in, int width,
                            int figure) {
    size_t operations = counted->counted / part(counted, in) * (size_t)widths[width];
    return (double)results->totals[in][width][figure] / (double)operations;
}

/* What is allowed of a count. */
static double allow(const form *counted, order in, const counts *results, int width, int figure) {
    const promise *promised = in == CALLS ? &counted->calls : &counted->steps;
    int base = 0;
    if (promised->is_retried) {
        double once = per_operation(results, counted, CALLS, width, figure);
        /* Whether a line is fetched or taken depends on what others did in between. */
        if (figure == LEDGER_TAKEN)
            once += per_operation(results, counted, CALLS, width, LEDGER_FETCHED);
        return once * widths[width] * 1.25;
    }
    while (widths[base] < promised->from_threads)
        base++;
    if (width <= base)
        return (double)UINT64_MAX;
    return per_operation(results, counted, in, base, figure) * 1.25 + 0.05;
}

/* Whether the counts of a form are as promised. */
static bool check(const form *counted, order in, const counts *results) {
    bool holds = true;
    for (int figure = 0; figure < LEDGER_FIGURES; figure++) {
        for (int width = 0; width < WIDTHS; width++) {
            double allowed = allow(counted, in, results, width, figure);
            double found = per_operation(results, counted, in, width, figure);
            if (found <= allowed)
                continue;
            fprintf(stderr, "contention: %s, %s: %s: %.2f with %d threads, at most %.2f promised\n",
                    counted->name, order_names[in], figure_names[figure], found, widths[width],
                    allowed);
            holds = false;
        }
    }
    return holds;
}

static void print(const form *counted, order in, const counts *results) {
    printf("%s\n", counted->name);
    for (int figure = 0; figure < LEDGER_FIGURES; figure++) {
        uint64_t sum = 0;
        for (int width = 0; width < WIDTHS; width++)
            sum += results->totals[in][width][figure];
        if (sum == 0)
            continue;
        printf("  %-24s", figure_names[figure]);
        for (int width = 0; width < WIDTHS; width++)
            printf(" %7.2f", per_operation(results, counted, in, width, figure));
        printf("\n");
    }
}

/* Counts a form in an order with each number of threads. */
static bool run_form(const form *counted, order in, counts *results) {
    for (int width = 0; width < WIDTHS; width++) {
        running = counted;
        running_order = in;
        thread_count = widths[width];
        int status = 0;
        pid_t child = fork();
        if (child == 0)
            run_case(results->totals[in][width]);
        if (child < 0 || waitpid(child, &status, 0) != child || status != 0) {
            fprintf(stderr, "contention: %s fails with %d threads\n", counted->name, thread_count);
            exit(2);
        }
    }
    print(counted, in, results);
    return check(counted, in, results);
}

int main(int argument_count, char **arguments) {
    counts *results = (counts *)mmap(NULL, form_count * sizeof *results, PROT_READ | PROT_WRITE,
                                     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (results == MAP_FAILED)
        return 2;
    /* On one processor a turn passes faster. */
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    (void)sched_setaffinity(0, sizeof one, &one);
    bool holds = true;
    for (order in = CALLS; in <= STEPS; in++) {
        printf("%s%-26s", in == CALLS ? "" : "\n", order_names[in]);
        for (int width = 0; width < WIDTHS; width++)
            printf(" %7d", widths[width]);
        printf("\n");
        for (size_t i = 0; i < form_count; i++) {
            bool is_asked = argument_count < 2 || strstr(forms[i].name, arguments[1]) != NULL;
            if (is_asked && (in == CALLS || !forms[i].calls_only))
                holds = run_form(&forms[i], in, &results[i]) && holds;
        }
    }
    return holds ? 0 : 1;
}
