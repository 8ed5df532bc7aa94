/* SPDX-License-Identifier: Apache-2.0 */
/* The platform's mutex under one name, and what becomes of it after a fork. Not installed.
 *
 * A child process has a copy of every mutex and one thread. What another thread of the parent held
 * when the process forked is held there for ever, and what it guards may be half changed. So a
 * mutex knows the process that it is used in, and the first thread that locks it in another one
 * adopts it: of all the threads that come, one claims it, and tries the platform's lock. If that
 * succeeds, nobody was inside at the fork: nobody has been inside in this process either, for here
 * the lock is taken only once the mutex belongs to this process. So what it guards is whole, and
 * the mutex is as good as new. If it fails, the thread that holds it does not exist here: the mutex
 * is broken, this lock fails and every later one does, at once. Threads that come while that is
 * being decided wait for it, which takes the claiming thread one call that does not block; it takes
 * no lock and calls nobody meanwhile.
 *
 * A child that forks in turn finds a mutex of its parent or of an older process, claimed, broken or
 * neither: the process is another one in each case, and the platform's lock alone counts. One that
 * was claimed and not decided may be found locked though all is whole; then it is broken for
 * nothing, which is safe.
 *
 * Waiting threads are not adopted: the object under the mutex must forget their queue and make its
 * condition variables anew when aegis_i_mutex_take_adoption says so. */
#ifndef AEGIS_MEMORY_I_BASE_MUTEX_H
#define AEGIS_MEMORY_I_BASE_MUTEX_H

#include "threads.h"

#if defined(_WIN32)

#include <windows.h>

/* Nothing forks here. */
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
    /* As aegis_i_process_claim has it. */
    _Atomic uint32_t process;
    /* Under the lock: it was adopted, and the object under it has not asked yet. */
    bool adopted;
} aegis_i_mutex;

/* Of no process yet: the first one that locks it adopts it. */
#define AEGIS_I_MUTEX_INITIALIZER                                                                  \
    { PTHREAD_MUTEX_INITIALIZER, 0, false }

/* A plain mutex: none of the platform's calls can fail on one that is used correctly. */
static inline void aegis_i_mutex_init(aegis_i_mutex *mutex) {
    (void)pthread_mutex_init(&mutex->native, NULL);
    atomic_init(&mutex->process, aegis_i_process());
    mutex->adopted = false;
}

/* A broken mutex, or one of another process, is left as it is: the platform's may be locked. */
static inline void aegis_i_mutex_fini(aegis_i_mutex *mutex) {
    /* Relaxed: nobody else uses the mutex any more. */
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

/* False, and nothing is locked: a thread that does not exist in this process was inside when the
 * process forked. */
static inline bool aegis_i_mutex_lock(aegis_i_mutex *mutex) {
    /* Acquire pairs with the release in aegis_i_process_settle. */
    uint32_t process = aegis_i_load(&mutex->process, memory_order_acquire);
    if (AEGIS_UNLIKELY(process != aegis_i_process_cached()))
        return aegis_i_mutex_lock_claiming(mutex);
    return pthread_mutex_lock(&mutex->native) == 0;
}

static inline void aegis_i_mutex_unlock(aegis_i_mutex *mutex) {
    (void)pthread_mutex_unlock(&mutex->native);
}

/* Under the lock: whether the mutex was adopted since the object under it last asked. */
static inline bool aegis_i_mutex_take_adoption(aegis_i_mutex *mutex) {
    if (!AEGIS_UNLIKELY(mutex->adopted))
        return false;
    mutex->adopted = false;
    return true;
}

/* What tells this thread from all others that run now, for each copy of this library the same. */
static inline uintptr_t aegis_i_thread_self(void) {
    return (uintptr_t)pthread_self();
}

#endif

#endif
