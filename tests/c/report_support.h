/* SPDX-License-Identifier: Apache-2.0 */
/* Runs mistakes that the library reports, each in a child process, and reads the reports. On
 * Windows, where no process forks, they run in this process one after the other. */
#ifndef REPORT_SUPPORT_H
#define REPORT_SUPPORT_H

#include "base_support.h"

#if defined(_WIN32)
#include <fcntl.h>
#include <io.h>
#else
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>
#endif

/* If a checker is compiled in, the checker's gap replaces the guards. */
#if defined(TEST_ASAN) || defined(AEGIS_VALGRIND)
#define TEST_CHECKED 1
#else
#define TEST_CHECKED 0
#endif

static inline bool is_debug(void) {
    return (aegis_build_flags() & AEGIS_BUILD_DEBUG) != 0;
}

static int report_pipe;

static inline void send_report(const char *message) {
#if defined(_WIN32)
    (void)_write(report_pipe, message, (unsigned)strlen(message));
    (void)_write(report_pipe, "\n", 1);
#else
    (void)!write(report_pipe, message, strlen(message));
    (void)!write(report_pipe, "\n", 1);
#endif
}

#if defined(_WIN32)

/* Runs the deed. Returns what it reported and what it printed to stderr, which must fit into the
 * pipe. */
static inline const char *reports_of(void (*deed)(void)) {
    static char words[65536];
    int ends[2];
    if (_pipe(ends, sizeof words, _O_BINARY) != 0)
        return "no pipe";
    fflush(NULL);
    int kept = _dup(2);
    report_pipe = ends[1];
    (void)_dup2(ends[1], 2);
    aegis_report_fn report = aegis_set_report(send_report);
    deed();
    (void)aegis_set_report(report);
    fflush(NULL);
    (void)_dup2(kept, 2);
    (void)_close(kept);
    (void)_close(ends[1]);
    size_t count = 0;
    int got;
    while ((got = _read(ends[0], words + count, (unsigned)(sizeof words - 1 - count))) > 0)
        count += (size_t)got;
    words[count] = '\0';
    (void)_close(ends[0]);
    return words;
}

#else

/* Runs the deed in a child process. Returns what it reported and what it printed to stderr. */
static inline const char *reports_of(void (*deed)(void)) {
    static char words[65536];
    int ends[2];
    if (pipe(ends) != 0)
        return "no pipe";
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        (void)alarm(60); /* if a faulty list has a cycle, the test must not hang */
        report_pipe = ends[1];
        (void)dup2(ends[1], STDERR_FILENO);
        (void)aegis_set_report(send_report);
        deed();
        _exit(0);
    }
    (void)close(ends[1]);
    size_t count = 0;
    ssize_t got;
    while ((got = read(ends[0], words + count, sizeof words - 1 - count)) > 0)
        count += (size_t)got;
    words[count] = '\0';
    (void)close(ends[0]);
    (void)waitpid(child, NULL, 0);
    return words;
}

#endif

static inline void expect_reports(void (*deed)(void), const char *expected, const char *file,
                                  int line) {
    const char *words = reports_of(deed);
    if (strcmp(words, expected) == 0)
        return;
    check_report(file, line, "the reports are as expected");
    fprintf(stderr, "    reported: %s    expected: %s", words, expected);
}

#define EXPECT(deed, expected) expect_reports(deed, expected, __FILE__, __LINE__)

#endif
