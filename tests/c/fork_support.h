/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of forks share: a function that runs a test in a child process, which must end by
 * itself and find no fault. */
#ifndef FORK_SUPPORT_H
#define FORK_SUPPORT_H

#if !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* alarm, sched_yield */
#endif
#include "pool_support.h"

#include <stdatomic.h>

/* The only check where no process with threads can fork. */
static inline void nothing_forks_here(void) {
    CHECK(aegis_status_message(AEGIS_E_FORKED) != NULL);
}

#if !defined(_WIN32)

#include <pthread.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#define NS_PER_MS UINT64_C(1000000)

static size_t report_count;

static inline void count_report(const char *message) {
    CHECK(strstr(message, "fork") != NULL);
    report_count++;
}

/* Forks and demands that the child ends by itself and finds no fault. */
static inline void run_in_child(void (*run)(void)) {
    /* Otherwise the child would print the buffered output a second time. */
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        check_failures = 0;
        (void)aegis_set_report(count_report);
        alarm(10);
        run();
        _exit(check_failures != 0);
    }
    int status = -1;
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

#endif

#endif
