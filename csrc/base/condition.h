/* SPDX-License-Identifier: Apache-2.0 */
/* The platform's condition variable, for the mutex of mutex.h, and waiting with a deadline on a
 * clock that cannot be set. Not installed. Without threads (AEGIS_OMIT_THREADS) no wait is begun.
 *
 * POSIX has condition variables for its own mutexes only. So there each has such a mutex inside. A
 * thread that waits locks it before it unlocks the object's mutex, and a thread that signals locks
 * it too. So a signal does not come between the unlocking and the wait.
 *
 * Who signals holds the object's mutex. So a thread that was woken, and locks that mutex again, may
 * end the condition variable: no other thread still uses it.
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

typedef struct aegis_i_condition {
    pthread_cond_t native;
    pthread_mutex_t inner;
} aegis_i_condition;

#define AEGIS_I_NS_PER_S UINT64_C(1000000000)

static inline bool aegis_i_condition_init(aegis_i_condition *condition) {
#if defined(__APPLE__)
    bool made = pthread_cond_init(&condition->native, NULL) == 0;
#else
    pthread_condattr_t attributes;
    if (pthread_condattr_init(&attributes) != 0)
        return false;
    bool made = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0 &&
                pthread_cond_init(&condition->native, &attributes) == 0;
    (void)pthread_condattr_destroy(&attributes);
#endif
    if (made && pthread_mutex_init(&condition->inner, NULL) != 0) {
        (void)pthread_cond_destroy(&condition->native);
        return false;
    }
    return made;
}

static inline void aegis_i_condition_fini(aegis_i_condition *condition) {
    (void)pthread_cond_destroy(&condition->native);
    (void)pthread_mutex_destroy(&condition->inner);
}

static inline void aegis_i_condition_signal(aegis_i_condition *condition) {
    (void)pthread_mutex_lock(&condition->inner);
    (void)pthread_cond_signal(&condition->native);
    (void)pthread_mutex_unlock(&condition->inner);
}

static inline void aegis_i_condition_broadcast(aegis_i_condition *condition) {
    (void)pthread_mutex_lock(&condition->inner);
    (void)pthread_cond_broadcast(&condition->native);
    (void)pthread_mutex_unlock(&condition->inner);
}

/* The time in nanoseconds, on a clock that cannot be set. */
static inline uint64_t aegis_i_now_ns(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * AEGIS_I_NS_PER_S + (uint64_t)now.tv_nsec;
}

static inline void aegis_i_condition_wait_until(aegis_i_condition *condition,
                                                uint64_t deadline_ns) {
    struct timespec until;
#if defined(__APPLE__)
    uint64_t now_ns = aegis_i_now_ns();
    uint64_t left_ns = deadline_ns > now_ns ? deadline_ns - now_ns : 0;
    until.tv_sec = (time_t)(left_ns / AEGIS_I_NS_PER_S);
    until.tv_nsec = (long)(left_ns % AEGIS_I_NS_PER_S);
    (void)pthread_cond_timedwait_relative_np(&condition->native, &condition->inner, &until);
#else
    /* A time_t of 32 bits cannot hold a far deadline: then the wait ends early, and the caller
     * resumes it. */
    uint64_t until_s = deadline_ns / AEGIS_I_NS_PER_S;
    until.tv_sec = until_s < INT32_MAX ? (time_t)until_s : (time_t)INT32_MAX;
    until.tv_nsec = (long)(deadline_ns % AEGIS_I_NS_PER_S);
    (void)pthread_cond_timedwait(&condition->native, &condition->inner, &until);
#endif
}

/* A wait, and what a thread does that is cancelled in it. */
typedef struct aegis_i_condition_waiter {
    aegis_i_condition *condition;
    aegis_i_mutex *mutex;
    aegis_i_give_up_fn give_up;
    void *context;
} aegis_i_condition_waiter;

static inline void aegis_i_condition_return(const aegis_i_condition_waiter *waiter) {
    (void)pthread_mutex_unlock(&waiter->condition->inner);
    /* It cannot fail, because this thread has locked the mutex in this process before. */
    (void)aegis_i_mutex_lock(waiter->mutex);
}

static inline void aegis_i_condition_cancelled(void *context) {
    const aegis_i_condition_waiter *waiter = (const aegis_i_condition_waiter *)context;
    aegis_i_condition_return(waiter);
    waiter->give_up(waiter->context);
}

static inline void aegis_i_condition_wait_native(const aegis_i_condition_waiter *waiter,
                                                 uint64_t deadline_ns) {
    if (deadline_ns == UINT64_MAX)
        (void)pthread_cond_wait(&waiter->condition->native, &waiter->condition->inner);
    else
        aegis_i_condition_wait_until(waiter->condition, deadline_ns);
}

/* Waits until signalled, or until about `deadline_ns`; may return early. With a function `give_up`
 * the wait is a cancellation point: a thread that is cancelled here calls that function, with the
 * mutex locked, and ends. The function takes out of the object what the thread has put into it,
 * such as its place in a queue, because the thread's stack is gone afterwards; and it unlocks the
 * mutex. If `give_up` is NULL, the thread acts on a cancellation later. */
static inline void aegis_i_condition_wait(aegis_i_condition *condition, aegis_i_mutex *mutex,
                                          uint64_t deadline_ns, aegis_i_give_up_fn give_up,
                                          void *context) {
    aegis_i_condition_waiter waiter = {condition, mutex, give_up, context};
    (void)pthread_mutex_lock(&condition->inner);
    aegis_i_mutex_unlock(mutex);
    if (give_up == NULL) {
        int state = aegis_i_uncancelled_begin();
        aegis_i_condition_wait_native(&waiter, deadline_ns);
        aegis_i_uncancelled_end(state);
    } else {
        pthread_cleanup_push(aegis_i_condition_cancelled, &waiter);
        aegis_i_condition_wait_native(&waiter, deadline_ns);
        pthread_cleanup_pop(0);
    }
    aegis_i_condition_return(&waiter);
}

#endif

/* Whether such a time has come. 0 has always come, and the clock is not asked for it. */
static inline bool aegis_i_deadline_has_come(uint64_t deadline_ns) {
    return deadline_ns == 0 || (deadline_ns != UINT64_MAX && aegis_i_now_ns() >= deadline_ns);
}

/* The time at which a wait that begins now ends; UINT64_MAX: never. */
static inline uint64_t aegis_i_deadline_ns(uint64_t timeout_ns) {
    uint64_t now_ns = timeout_ns != UINT64_MAX ? aegis_i_now_ns() : 0;
    return timeout_ns < UINT64_MAX - now_ns ? now_ns + timeout_ns : UINT64_MAX;
}

#endif
