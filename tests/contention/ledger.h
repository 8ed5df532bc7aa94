/* SPDX-License-Identifier: Apache-2.0 */
/* Counts what threads cost each other: see ledger.c. */
#ifndef CONTENTION_LEDGER_H
#define CONTENTION_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The most simulated threads. */
#define LEDGER_THREADS 32
/* The number under which all that runs outside of a simulated thread is counted. */
#define LEDGER_MAIN LEDGER_THREADS

typedef enum ledger_figure {
    /* Atomic read-modify-writes, also those that fail. */
    LEDGER_RMW,
    /* Those of them in a line that another thread has used too. */
    LEDGER_SHARED_RMW,
    /* Accesses to a line that another thread has written since this thread had it. */
    LEDGER_FETCHED,
    /* Atomic writes to a line of which this thread has a copy, and others have one too. */
    LEDGER_TAKEN,
    /* System calls: waits and wake-ups of mutexes, and barriers on all threads. */
    LEDGER_CALLS,
    LEDGER_FIGURES
} ledger_figure;

/* The simulated thread that runs. turns.c sets it. */
extern int ledger_thread;
/* Whether threads make their calls, so that it matters who uses a line. */
extern bool ledger_works;
/* How many processors the machine seems to have. */
extern int ledger_processors;
/* Whether the accesses of the running thread are counted. Lines change hands in any case. */
extern bool ledger_counts;
/* What was counted. */
extern uint64_t ledger_totals[LEDGER_FIGURES];
/* Called before each atomic operation of a simulated thread. May let another thread run. */
extern void (*ledger_before_atomic)(void);
/* Called instead of the system calls by which threads wait for a word, and are woken. */
extern void (*ledger_wait)(const volatile uint32_t *word, uint32_t value);
extern void (*ledger_wake)(const volatile uint32_t *word);

#endif
