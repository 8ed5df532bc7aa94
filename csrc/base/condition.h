/* SPDX-License-Identifier: Apache-2.0 */
/* The platform's condition variable, for the mutex of mutex.h, and waiting with a deadline on a
 * clock that cannot be set. Not installed. Without threads (AEGIS_OMIT_THREADS) no wait is begun.
 *
 * A file that includes this header defines _GNU_SOURCE first, except on Windows. */
#ifndef AEGIS_MEMORY_I_BASE_CONDITION_H
#define AEGIS_MEMORY_I_BASE_CONDITION_H

#include "cancel.h"
#include "mutex.h"

#include <stdbool.h>
#include <stdint.h>

/* Called by a thread that is cancelled while it waits: see aegis_i_condition_wait. */
typedef void (*aegis_i_give_up_fn)(void *context);

#if defined(AEGIS_OMIT_THREADS)

typedef struct aegis_i_condition {
    char unused;
} aegis_i_condition;

static inline bool aegis_i_condition_init(aegis_i_condition *condition) {
    condition->unused = 0;
    return true;
}

static inline void aegis_i_condition_fini(aegis_i_condition *condition) {
    (void)condition;
}

static inline void aegis_i_condition_signal(aegis_i_condition *condition) {
    (void)condition;
}

static inline void aegis_i_condition_broadcast(aegis_i_condition *condition) {
    (void)condition;
}

static inline uint64_t aegis_i_now_ns(void) {
    return 0;
}

static inline void aegis_i_condition_wait(aegis_i_condition *condition, aegis_i_mutex *mutex,
                                          uint64_t deadline_ns, aegis_i_give_up_fn give_up,
                                          void *context) {
    (void)condition;
    (void)mutex;
    (void)deadline_ns;
    (void)give_up;
    (void)context;
    assert(false);
}

#elif defined(_WIN32)

typedef CONDITION_VARIABLE aegis_i_condition;

static inline bool aegis_i_condition_init(aegis_i_condition *condition) {
    InitializeConditionVariable(condition);
    return true;
}

static inline void aegis_i_condition_fini(aegis_i_condition *condition) {
    (void)condition;
}

static inline void aegis_i_condition_signal(aegis_i_condition *condition) {
    WakeConditionVariable(condition);
}

static inline void aegis_i_condition_broadcast(aegis_i_condition *condition) {
    WakeAllConditionVariable(condition);
}

/* The time in nanoseconds, on a clock that cannot be set. */
static inline uint64_t aegis_i_now_ns(void) {
    return (uint64_t)GetTickCount64() * UINT64_C(1000000);
}

/* Waits until signalled, or until about `deadline_ns`; may return early. */
static inline void aegis_i_condition_wait(aegis_i_condition *condition, aegis_i_mutex *mutex,
                                          uint64_t deadline_ns, aegis_i_give_up_fn give_up,
                                          void *context) {
    (void)give_up; /* Threads are not cancelled here. */
    (void)context;
    DWORD wait_ms = INFINITE;
    if (deadline_ns != UINT64_MAX) {
        uint64_t now_ns = aegis_i_now_ns();
        uint64_t left_ms =
            deadline_ns > now_ns ? (deadline_ns - now_ns - 1) / UINT64_C(1000000) + 1 : 0;
        /* A longer wait is resumed by the caller. */
        wait_ms = left_ms < 0x7fffffff ? (DWORD)left_ms : 0x7fffffff;
    }
    (void)SleepConditionVariableSRW(condition, &mutex->native, wait_ms, 0);
}

#else

#include <time.h>

typedef pthread_cond_t aegis_i_condition;

#define AEGIS_I_NS_PER_S UINT64_C(1000000000)

static inline bool aegis_i_condition_init(aegis_i_condition *condition) {
#if defined(__APPLE__)
    return pthread_cond_init(condition, NULL) == 0;
#else
    pthread_condattr_t attributes;
    if (pthread_condattr_init(&attributes) != 0)
        return false;
    bool made = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0 &&
                pthread_cond_init(condition, &attributes) == 0;
    (void)pthread_condattr_destroy(&attributes);
    return made;
#endif
}

static inline void aegis_i_condition_fini(aegis_i_condition *condition) {
    (void)pthread_cond_destroy(condition);
}

static inline void aegis_i_condition_signal(aegis_i_condition *condition) {
    (void)pthread_cond_signal(condition);
}

static inline void aegis_i_condition_broadcast(aegis_i_condition *condition) {
    (void)pthread_cond_broadcast(condition);
}

/* The time in nanoseconds, on a clock that cannot be set. */
static inline uint64_t aegis_i_now_ns(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * AEGIS_I_NS_PER_S + (uint64_t)now.tv_nsec;
}

static inline void aegis_i_condition_wait_until(aegis_i_condition *condition, aegis_i_mutex *mutex,
                                                uint64_t deadline_ns) {
    struct timespec until;
#if defined(__APPLE__)
    uint64_t now_ns = aegis_i_now_ns();
    uint64_t left_ns = deadline_ns > now_ns ? deadline_ns - now_ns : 0;
    until.tv_sec = (time_t)(left_ns / AEGIS_I_NS_PER_S);
    until.tv_nsec = (long)(left_ns % AEGIS_I_NS_PER_S);
    (void)pthread_cond_timedwait_relative_np(condition, &mutex->native, &until);
#else
    /* A time_t of 32 bits cannot hold a far deadline: then the wait ends early, and the caller
     * resumes it. */
    uint64_t until_s = deadline_ns / AEGIS_I_NS_PER_S;
    until.tv_sec = until_s < INT32_MAX ? (time_t)until_s : (time_t)INT32_MAX;
    until.tv_nsec = (long)(deadline_ns % AEGIS_I_NS_PER_S);
    (void)pthread_cond_timedwait(condition, &mutex->native, &until);
#endif
}

static inline void aegis_i_condition_wait_native(aegis_i_condition *condition, aegis_i_mutex *mutex,
                                                 uint64_t deadline_ns) {
    if (deadline_ns == UINT64_MAX)
        (void)pthread_cond_wait(condition, &mutex->native);
    else
        aegis_i_condition_wait_until(condition, mutex, deadline_ns);
}

/* Waits until signalled, or until about `deadline_ns`; may return early. With a function `give_up`
 * the wait is a cancellation point: a thread that is cancelled here calls that function, with the
 * mutex locked, and ends. The function takes out of the object what the thread has put into it,
 * such as its place in a queue, because the thread's stack is gone afterwards; and it unlocks the
 * mutex. If `give_up` is NULL, the thread acts on a cancellation later. */
static inline void aegis_i_condition_wait(aegis_i_condition *condition, aegis_i_mutex *mutex,
                                          uint64_t deadline_ns, aegis_i_give_up_fn give_up,
                                          void *context) {
    if (give_up == NULL) {
        int state = aegis_i_uncancelled_begin();
        aegis_i_condition_wait_native(condition, mutex, deadline_ns);
        aegis_i_uncancelled_end(state);
        return;
    }
    pthread_cleanup_push(give_up, context);
    aegis_i_condition_wait_native(condition, mutex, deadline_ns);
    pthread_cleanup_pop(0);
}

#endif

/* The time at which a wait that begins now ends; UINT64_MAX: never. */
static inline uint64_t aegis_i_deadline_ns(uint64_t timeout_ns) {
    uint64_t now_ns = timeout_ns != UINT64_MAX ? aegis_i_now_ns() : 0;
    return timeout_ns < UINT64_MAX - now_ns ? now_ns + timeout_ns : UINT64_MAX;
}

#endif
