/* SPDX-License-Identifier: Apache-2.0 */
/* The harness of the C tests. A test is a function without arguments that calls CHECK. A program
 * runs its tests with RUN and ends with `return check_finish();`. If a CHECK fails, it prints its
 * place and its condition, and the test goes on, so that one run shows all failures. */
#ifndef CHECK_H
#define CHECK_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if !defined(_WIN32)
#include <unistd.h>
#endif

static int check_failures;
static int check_passed_tests;
static int check_failed_tests;

#define CHECK_FAILURES_SHOWN 50

static inline void check_report(const char *file, int line, const char *what) {
    check_failures++;
    if (check_failures <= CHECK_FAILURES_SHOWN)
        fprintf(stderr, "%s:%d: failed: %s\n", file, line, what);
}

static inline void check_equal(size_t left, size_t right, const char *what, const char *file,
                               int line) {
    if (left == right)
        return;
    check_report(file, line, what);
    fprintf(stderr, "    left %zu, right %zu\n", left, right);
}

/* Demands that the condition holds. */
#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition))                                                                          \
            check_report(__FILE__, __LINE__, #condition);                                          \
    } while (0)

/* Demands that two sizes are equal; prints both when they are not. */
#define CHECK_SIZE(left, right)                                                                    \
    check_equal((size_t)(left), (size_t)(right), #left " == " #right, __FILE__, __LINE__)

/* Ends the program after a time, in case a call hangs. Windows and WASI have no alarm; there the
 * timeout of CTest does it. */
static inline void check_alarm(unsigned seconds) {
#if defined(_WIN32) || defined(__wasi__)
    (void)seconds;
#else
    (void)alarm(seconds);
#endif
}

/* Runs one test and counts it. */
#define RUN(test) check_run(#test, test)

static inline void check_run(const char *name, void (*test)(void)) {
    int before = check_failures;
    test();
    if (check_failures == before) {
        check_passed_tests++;
    } else {
        check_failed_tests++;
        fprintf(stderr, "FAILED %s\n", name);
    }
}

/* Prints the last line of the output and returns the exit code of the program. */
static inline int check_finish(void) {
    printf("%d passed, %d failed\n", check_passed_tests, check_failed_tests);
    return check_failed_tests == 0 && check_passed_tests > 0 ? 0 : 1;
}

#endif
