/* SPDX-License-Identifier: Apache-2.0 */
/* The operations that are counted: see forms.c. */
#ifndef CONTENTION_FORMS_H
#define CONTENTION_FORMS_H

#include <stdbool.h>
#include <stddef.h>

/* What is promised of the counts of an operation. */
typedef struct promise {
    /* With more threads than this they are at most a quarter higher than with this many. */
    int from_threads;
    /* Only for turns of steps, instead of that: they are at most as many times the counts with
     * turns of calls as there are threads, and a quarter. */
    bool is_retried;
} promise;

/* One form and what threads do with it. An operation is `call_count` calls. Every thread makes its
 * calls in the order of their numbers, from 0. */
typedef struct form {
    const char *name;
    /* The machine's processors. */
    int processor_count;
    /* With turns of calls, and of steps. */
    promise calls;
    promise steps;
    size_t call_count;
    /* Operations of each thread before the counting begins, and while it lasts. With turns of
     * steps there are fewer (part in turns.c). */
    size_t warm_count;
    size_t counted;
    /* Makes the object. */
    void (*begin)(int thread_count);
    /* What a thread does before its first call; may be NULL. */
    void (*open)(int thread);
    void (*call)(int thread, size_t number);
    /* There are no turns of steps: one call must not begin before another thread's has ended, or
     * calls in a row are no other than one at a time. */
    bool calls_only;
} form;

extern const form forms[];
extern const size_t form_count;

#endif
