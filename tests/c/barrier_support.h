/* SPDX-License-Identifier: Apache-2.0 */
/* How a test takes membarrier(2) away from a process: a seccomp filter refuses the call to the
 * thread that installs it and to the threads that it makes. For Linux. */
#ifndef TEST_BARRIER_SUPPORT_H
#define TEST_BARRIER_SUPPORT_H

#include "support.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Runs a test in a child process, which must end by itself. */
static inline void in_child(void (*test)(void)) {
    int status = -1;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        alarm(60);
        test();
        _exit(check_failures == 0 ? 0 : 1);
    }
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* From here on the barrier is refused to this thread and to the threads that it makes. */
static inline void refuse_barrier(void) {
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_membarrier, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
    CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
    CHECK(syscall(SYS_membarrier, 0, 0, 0) == -1 && errno == EPERM);
}

/* Whether the kernel has seccomp filters. An emulator may have none. */
static inline bool has_filters(void) {
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, NULL) == -1 && errno == EFAULT;
}

/* Whether the barrier can be taken away here. If not, says so as the result of the test program. */
static inline bool can_take_barrier(void) {
    /* Where the system has no barrier at all, it cannot be taken away. */
    bool has_barrier = syscall(SYS_membarrier, 0, 0, 0) >= 0;
    if (has_barrier && has_filters())
        return true;
    printf("membarrier %s, filters %s: 1 passed, 0 failed\n", has_barrier ? "yes" : "no",
           has_filters() ? "yes" : "no");
    return false;
}

#endif
