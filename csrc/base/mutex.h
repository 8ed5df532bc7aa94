/* SPDX-License-Identifier: Apache-2.0 */
/* A mutex, and what becomes of it after a fork. Not installed.
 *
 * On Linux it is a word of our own, on which threads wait by means of the kernel's futex (mutex.c).
 * Elsewhere, and with AEGIS_PTHREAD_MUTEX, it is the platform's mutex.
 *
 * A child process has a copy of every mutex, and one thread. A mutex that another thread of the
 * parent held at the fork stays held in the child for ever, and what it guards may be half changed.
 * So the first thread that locks a mutex in another process finds out whether that is so, and
 * either adopts the mutex or declares it broken.
 *
 * Invariants:
 * 1. A mutex knows the process that it is used in. A thread waits for the lock only if that is its
 *    own process.
 * 2. A mutex that comes from another process is adopted if it is free, and is broken if it is held.
 *    No thread holds it between the fork and this decision.
 * 3. A broken mutex stays broken in its process: each attempt to lock it fails at once.
 *
 * So if a mutex is adopted, no thread held it at the fork: what it guards is whole, and the mutex
 * is as good as new. If it is broken, the thread that holds it does not exist in this process, and
 * nothing is known of what the mutex guards.
 *
 * Our own mutex has process and state in one word, so one compare-and-swap is the decision, and it
 * also takes the lock. With the platform's mutex one thread claims the word that says the process,
 * and it alone tries the lock, in one call that does not block. All others wait until it has
 * settled the claim (aegis_i_process_claim, aegis_i_process_settle). Before that it takes no other
 * lock and calls no function of the user, so they do not wait for long.
 *
 * A child that forks in turn finds a mutex that belongs to its parent or to an older process, and
 * that may be claimed or broken there. In each case the process is another one, so only the state
 * of the lock counts. If the fork came between a claim and its decision, the lock may be held
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

#elif defined(__linux__) && !defined(AEGIS_PTHREAD_MUTEX)

#include <pthread.h>

/* The mutex is our own. */
#define AEGIS_I_FUTEX_MUTEX

/* The states of a mutex, which are the lower two bits of its word. Above them is the number of the
 * process that the mutex belongs to. */
#define AEGIS_I_MUTEX_FREE UINT32_C(0)
#define AEGIS_I_MUTEX_HELD UINT32_C(1)
/* It is held, and threads may wait for it: who unlocks it wakes one. */
#define AEGIS_I_MUTEX_AWAITED UINT32_C(2)
/* See invariant 3. */
#define AEGIS_I_MUTEX_BROKEN UINT32_C(3)
#define AEGIS_I_MUTEX_STATE UINT32_C(3)
#define AEGIS_I_MUTEX_WORD(process, state) ((uint32_t)(process) << 2 | (state))

typedef struct aegis_i_mutex {
    _Atomic uint32_t word;
    /* Threads may sleep on this word, until it is 0: who unlocks the mutex wakes one. Only a mutex
     * that stays uses it. The state of such a mutex is never "awaited". */
    _Atomic uint32_t sleeping;
    /* The mutex outlives every call on it (aegis_i_mutex_init_staying). */
    bool staying;
    /* Guarded by the lock: the mutex was adopted, and the object under it has not asked yet. */
    bool adopted;
} aegis_i_mutex;

/* A model checker lets this store take effect later, as a processor may. */
#ifndef AEGIS_I_UNLOCKING_STORE
#define AEGIS_I_UNLOCKING_STORE(word, value) aegis_i_store((word), (value), memory_order_release)
#define AEGIS_I_UNLOCKING_STORE_END() ((void)0)
#endif

/* No process has this number: the first thread that locks the mutex adopts it. */
#define AEGIS_I_MUTEX_INITIALIZER                                                                  \
    { ~AEGIS_I_MUTEX_STATE, 0, false, false }

/* The part of the functions below that waits or adopts. */
AEGIS_I_HIDDEN bool aegis_i_mutex_lock_slowly(aegis_i_mutex *mutex);
/* Stores the value with release, and wakes one thread that sleeps on the word. */
AEGIS_I_HIDDEN void aegis_i_mutex_store_and_wake(_Atomic uint32_t *word, uint32_t value);

static inline void aegis_i_mutex_init(aegis_i_mutex *mutex) {
    atomic_init(&mutex->word, AEGIS_I_MUTEX_WORD(AEGIS_I_PROCESS(), AEGIS_I_MUTEX_FREE));
    atomic_init(&mutex->sleeping, 0);
    mutex->staying = mutex->adopted = false;
}

/* Makes a mutex whose memory is not freed before all calls on it have returned. To unlock it takes
 * a store instead of a read-modify-write, and a thread that must sleep pays for it (mutex.c). */
static inline void aegis_i_mutex_init_staying(aegis_i_mutex *mutex) {
    aegis_i_mutex_init(mutex);
    mutex->staying = aegis_i_barrier_prepare();
}

static inline void aegis_i_mutex_fini(aegis_i_mutex *mutex) {
    (void)mutex;
}

/* Locks the mutex if it is free and belongs to the process. */
static inline bool aegis_i_mutex_try_lock_in(aegis_i_mutex *mutex, uint32_t process) {
    uint32_t expected = AEGIS_I_MUTEX_WORD(process, AEGIS_I_MUTEX_FREE);
    /* Acquire pairs with the release in aegis_i_mutex_unlock. */
    return aegis_i_cas(&mutex->word, &expected, AEGIS_I_MUTEX_WORD(process, AEGIS_I_MUTEX_HELD),
                       memory_order_acquire, memory_order_relaxed);
}

/* Locks the mutex if it is free, without waiting. False: nothing is locked. A mutex that no thread
 * has locked since a fork counts as not free. */
static inline bool aegis_i_mutex_try_lock(aegis_i_mutex *mutex) {
    /* Without a kept number it is 0, which no word has. */
    return aegis_i_mutex_try_lock_in(mutex, AEGIS_I_PROCESS_CACHED());
}

/* Locks the mutex. False: nothing is locked, because a thread that does not exist in this process
 * held the mutex when the process forked. */
static inline bool aegis_i_mutex_lock(aegis_i_mutex *mutex) {
    if (AEGIS_UNLIKELY(!aegis_i_mutex_try_lock(mutex)))
        return aegis_i_mutex_lock_slowly(mutex);
    return true;
}

/* Locks the mutex after aegis_i_mutex_try_lock has failed. */
static inline bool aegis_i_mutex_lock_contended(aegis_i_mutex *mutex) {
    return aegis_i_mutex_lock_slowly(mutex);
}

static inline void aegis_i_mutex_unlock(aegis_i_mutex *mutex) {
    if (mutex->staying) {
        /* Relaxed: only this thread changes the word. Release pairs with the acquires of those who
         * lock. The compiler must not exchange the store and the load, and the processor does not
         * where it matters: see mutex.c. */
        uint32_t held = aegis_i_load(&mutex->word, memory_order_relaxed);
        AEGIS_I_UNLOCKING_STORE(&mutex->word, held - (AEGIS_I_MUTEX_HELD - AEGIS_I_MUTEX_FREE));
        atomic_signal_fence(memory_order_seq_cst);
        bool sleeping = aegis_i_load(&mutex->sleeping, memory_order_relaxed) != 0;
        AEGIS_I_UNLOCKING_STORE_END();
        if (AEGIS_UNLIKELY(sleeping))
            aegis_i_mutex_store_and_wake(&mutex->sleeping, 0);
        return;
    }
    /* Held becomes free, and awaited becomes held. Release pairs with the acquires of those who
     * lock. */
    uint32_t word = aegis_i_sub(&mutex->word, 1, memory_order_release);
    if (AEGIS_UNLIKELY((word & AEGIS_I_MUTEX_STATE) == AEGIS_I_MUTEX_AWAITED))
        /* Who sets "awaited" before this store does not sleep, because the word has changed. */
        aegis_i_mutex_store_and_wake(&mutex->word, word - AEGIS_I_MUTEX_AWAITED);
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

#endif

#if !defined(AEGIS_I_FUTEX_MUTEX)

static inline void aegis_i_mutex_init_staying(aegis_i_mutex *mutex) {
    aegis_i_mutex_init(mutex);
}

static inline bool aegis_i_mutex_lock_contended(aegis_i_mutex *mutex) {
    return aegis_i_mutex_lock(mutex);
}

#endif

#if !defined(AEGIS_OMIT_THREADS) && !defined(_WIN32)

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
