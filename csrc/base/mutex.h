/* SPDX-License-Identifier: Apache-2.0 */
/* The platform's mutex under one name, and what becomes of it after a fork. Not installed.
 *
 * A child process has a copy of every mutex, and one thread. A mutex that another thread of the
 * parent held at the fork stays held in the child for ever, and what it guards may be half changed.
 * So the first thread that locks a mutex in another process finds out whether that is so, and
 * either adopts the mutex or declares it broken.
 *
 * Invariants:
 * 1. A mutex knows the process that it is used in. A thread waits for the platform's lock only if
 *    that is its own process (aegis_i_mutex_lock).
 * 2. In another process one thread claims the mutex, and it alone tries the platform's lock. All
 *    others wait until it has settled the claim (aegis_i_process_claim, aegis_i_process_settle). So
 *    before that, no thread of this process has held the lock.
 * 3. The claiming thread makes one call that does not block. Before it settles the claim it takes
 *    no other lock and calls no function of the user (aegis_i_mutex_lock_claiming).
 * 4. A broken mutex stays broken in its process: each attempt to lock it fails at once.
 *
 * So if the claiming thread gets the platform's lock, no thread held it at the fork, and by 2 none
 * has held it since: what it guards is whole, and the mutex is as good as new. If it does not get
 * the lock, the thread that holds it does not exist in this process, and nothing is known of what
 * the mutex guards: it is broken. By 3 the threads that wait for the decision do not wait for long.
 *
 * A child that forks in turn finds a mutex that belongs to its parent or to an older process, and
 * that may be claimed or broken there. In each case the process is another one, so only the
 * platform's lock counts. If the fork came between a claim and its decision, the lock may be held
 * although all is whole. Then the mutex counts as broken without need, which is safe.
 *
 * Adoption does not bring back the threads that waited. When aegis_i_mutex_take_adoption says so,
 * the object under the mutex must forget its queue and make its condition variables anew.
 *
 * Without threads (AEGIS_OMIT_THREADS) a mutex guards nothing, and is never held by another. */
#ifndef AEGIS_MEMORY_I_BASE_MUTEX_H
#define AEGIS_MEMORY_I_BASE_MUTEX_H

#include "port.h"

#if !defined(AEGIS_OMIT_THREADS)
#include "threads.h"
#endif

#if defined(AEGIS_OMIT_THREADS)

typedef struct aegis_i_mutex {
    char unused;
} aegis_i_mutex;

static inline void aegis_i_mutex_init(aegis_i_mutex *mutex) {
    mutex->unused = 0;
}

static inline void aegis_i_mutex_fini(aegis_i_mutex *mutex) {
    (void)mutex;
}

static inline bool aegis_i_mutex_lock(aegis_i_mutex *mutex) {
    (void)mutex;
    return true;
}

static inline bool aegis_i_mutex_try_lock(aegis_i_mutex *mutex) {
    (void)mutex;
    return true;
}

static inline void aegis_i_mutex_unlock(aegis_i_mutex *mutex) {
    (void)mutex;
}

static inline bool aegis_i_mutex_take_adoption(aegis_i_mutex *mutex) {
    (void)mutex;
    return false;
}

static inline uintptr_t aegis_i_thread_self(void) {
    return 1;
}

#elif defined(_WIN32)

#include <windows.h>

/* No process forks here. */
typedef struct aegis_i_mutex {
    SRWLOCK native;
} aegis_i_mutex;

#define AEGIS_I_MUTEX_INITIALIZER                                                                  \
    { SRWLOCK_INIT }

static inline void aegis_i_mutex_init(aegis_i_mutex *mutex) {
    InitializeSRWLock(&mutex->native);
}

static inline void aegis_i_mutex_fini(aegis_i_mutex *mutex) {
    (void)mutex;
}

static inline bool aegis_i_mutex_lock(aegis_i_mutex *mutex) {
    AcquireSRWLockExclusive(&mutex->native);
    return true;
}

static inline bool aegis_i_mutex_try_lock(aegis_i_mutex *mutex) {
    return TryAcquireSRWLockExclusive(&mutex->native) != 0;
}

static inline void aegis_i_mutex_unlock(aegis_i_mutex *mutex) {
    ReleaseSRWLockExclusive(&mutex->native);
}

static inline bool aegis_i_mutex_take_adoption(aegis_i_mutex *mutex) {
    (void)mutex;
    return false;
}

static inline uintptr_t aegis_i_thread_self(void) {
    return GetCurrentThreadId();
}

#else

#include <pthread.h>

typedef struct aegis_i_mutex {
    pthread_mutex_t native;
    /* The word that aegis_i_process_claim works on. */
    _Atomic uint32_t process;
    /* Guarded by the lock: the mutex was adopted, and the object under it has not asked yet. */
    bool adopted;
} aegis_i_mutex;

/* The mutex belongs to no process yet: the first thread that locks it adopts it. */
#define AEGIS_I_MUTEX_INITIALIZER                                                                  \
    { PTHREAD_MUTEX_INITIALIZER, 0, false }

/* This is a plain mutex: if it is used correctly, none of the platform's calls on it can fail. */
static inline void aegis_i_mutex_init(aegis_i_mutex *mutex) {
    (void)pthread_mutex_init(&mutex->native, NULL);
    atomic_init(&mutex->process, aegis_i_process());
    mutex->adopted = false;
}

/* A mutex that is broken or belongs to another process is left as it is, because the platform's
 * mutex may be locked. */
static inline void aegis_i_mutex_fini(aegis_i_mutex *mutex) {
    /* Relaxed: no other thread uses the mutex any more. */
    if (aegis_i_load(&mutex->process, memory_order_relaxed) == aegis_i_process())
        (void)pthread_mutex_destroy(&mutex->native);
}

/* Locks a mutex that is not known to belong to this process. */
static inline bool aegis_i_mutex_lock_claiming(aegis_i_mutex *mutex) {
    uint32_t whose = aegis_i_process_claim(&mutex->process);
    if (whose == AEGIS_I_PROCESS_THIS)
        return pthread_mutex_lock(&mutex->native) == 0;
    if (whose == AEGIS_I_PROCESS_BROKEN)
        return false;
    bool whole = pthread_mutex_trylock(&mutex->native) == 0;
    if (whole)
        mutex->adopted = true;
    aegis_i_process_settle(&mutex->process, whole);
    return whole;
}

/* Locks the mutex. False: nothing is locked, because a thread that does not exist in this process
 * held the mutex when the process forked. */
static inline bool aegis_i_mutex_lock(aegis_i_mutex *mutex) {
    /* Acquire pairs with the release in aegis_i_process_settle. */
    uint32_t process = aegis_i_load(&mutex->process, memory_order_acquire);
    if (AEGIS_UNLIKELY(process != aegis_i_process_cached()))
        return aegis_i_mutex_lock_claiming(mutex);
    return pthread_mutex_lock(&mutex->native) == 0;
}

/* Locks the mutex if it is free, without waiting. False: nothing is locked. A mutex that no thread
 * has locked since a fork counts as not free. */
static inline bool aegis_i_mutex_try_lock(aegis_i_mutex *mutex) {
    /* Acquire pairs with the release in aegis_i_process_settle. */
    return aegis_i_load(&mutex->process, memory_order_acquire) == aegis_i_process_cached() &&
           pthread_mutex_trylock(&mutex->native) == 0;
}

static inline void aegis_i_mutex_unlock(aegis_i_mutex *mutex) {
    (void)pthread_mutex_unlock(&mutex->native);
}

/* Whether the mutex was adopted since the object under it last asked. The caller holds the lock. */
static inline bool aegis_i_mutex_take_adoption(aegis_i_mutex *mutex) {
    if (!AEGIS_UNLIKELY(mutex->adopted))
        return false;
    mutex->adopted = false;
    return true;
}

/* A value by which this thread differs from all others that run now. All copies of this library in
 * a process get the same value. */
static inline uintptr_t aegis_i_thread_self(void) {
    return (uintptr_t)pthread_self();
}

#endif

#endif
