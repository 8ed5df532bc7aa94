/* SPDX-License-Identifier: Apache-2.0 */
/* Our own mutex for Linux: how a thread waits for it, and how it is adopted. See mutex.h.
 *
 * A thread that waits sets the state to "awaited" and sleeps while the word says so. Who unlocks
 * the mutex sets it free and wakes one sleeper. That one cannot know whether others sleep, so it
 * locks the mutex as "awaited", and its unlock wakes the next one. Before a thread sleeps it spins
 * for a short time, as long as no thread waits, because most sections are shorter than a sleep.
 *
 * Nothing of the mutex is used after it was set free, except its address, for the call that wakes.
 * So the memory of a mutex may be freed by the next thread that has locked it.
 *
 * A mutex that stays (aegis_i_mutex_init_staying) is not freed so, and can do without a
 * read-modify-write when it is unlocked:
 * 1. A thread that must sleep sets `sleeping`, makes all threads execute a memory barrier, and
 *    tries once more. If that fails it sleeps while `sleeping` is set.
 * 2. Who unlocks sets the word free, and then loads `sleeping`. If it is set, it sets it to 0 and
 *    wakes one sleeper.
 * 3. A thread that was woken sets `sleeping` again before it tries, because others may sleep.
 *
 * Why no sleeper is forgotten: the try after the barrier fails because another thread has the lock,
 * and the store by which that one unlocks was not executed before the barrier. So neither was its
 * load of `sleeping`, which comes later in its program, and this load finds the flag set; or
 * another thread has set it to 0 since. That thread wakes a sleeper, which does (3). And who sets
 * the flag to 0 before the sleeper sleeps keeps it awake, because the system compares the flag.
 *
 * If the system refuses the barrier, the thread does not sleep but yields the processor.
 *
 * Sources: U. Drepper, "Futexes Are Tricky" (2011), the second mutex. D. Dice, H. Huang, M. Yang,
 * "Asymmetric Dekker Synchronization" (2001), for the barrier of one side. */
#if !defined(_WIN32) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* syscall */
#endif

#include "mutex.h"

#if defined(AEGIS_I_FUTEX_MUTEX)

#include <errno.h>

/* A model checker replaces the system calls and the number of rounds. */
#ifndef AEGIS_I_FUTEX_WAIT
#include <sys/syscall.h>
#include <unistd.h>

#if !defined(SYS_futex)
#define SYS_futex SYS_futex_time64 /* 32-bit machines whose system calls all have a long time_t */
#endif

/* FUTEX_WAIT_PRIVATE and FUTEX_WAKE_PRIVATE of linux/futex.h, which not every system has. */
#define AEGIS_I_FUTEX_WAIT_PRIVATE 128
#define AEGIS_I_FUTEX_WAKE_PRIVATE 129

/* Sleeps until a thread wakes this one, if the word has the value. May return early. */
#define AEGIS_I_FUTEX_WAIT(word, value)                                                            \
    (void)syscall(SYS_futex, (word), AEGIS_I_FUTEX_WAIT_PRIVATE, (value), NULL)
#define AEGIS_I_FUTEX_WAKE_ONE(word) (void)syscall(SYS_futex, (word), AEGIS_I_FUTEX_WAKE_PRIVATE, 1)
#define AEGIS_I_MUTEX_SPINS 100
#endif

/* Spins while another thread has the lock and none waits. Returns the word. */
static uint32_t spin(aegis_i_mutex *mutex) {
    for (uint32_t round = 0;; round++) {
        /* Relaxed: aegis_i_mutex_lock_slowly takes the lock by another operation, which is an
         * acquire. */
        uint32_t word = aegis_i_load(&mutex->word, memory_order_relaxed);
        if ((word & AEGIS_I_MUTEX_STATE) != AEGIS_I_MUTEX_HELD || round == AEGIS_I_MUTEX_SPINS)
            return word;
        aegis_i_cpu_relax();
    }
}

/* Decides about a mutex that comes from another process, unless another thread has done so. True:
 * the caller has adopted it and holds it. */
static bool adopt(aegis_i_mutex *mutex, uint32_t process) {
    uint32_t word = aegis_i_load(&mutex->word, memory_order_relaxed);
    while (word >> 2 != process) {
        bool whole = (word & AEGIS_I_MUTEX_STATE) == AEGIS_I_MUTEX_FREE;
        uint32_t state = whole ? AEGIS_I_MUTEX_HELD : AEGIS_I_MUTEX_BROKEN;
        /* Acquire, as in aegis_i_mutex_try_lock. */
        if (!aegis_i_cas(&mutex->word, &word, AEGIS_I_MUTEX_WORD(process, state),
                         memory_order_acquire, memory_order_relaxed))
            continue;
        if (whole)
            mutex->adopted = true;
        else
            aegis_i_process_report_lost(&mutex->word);
        return whole;
    }
    return false;
}

/* Sleeps until it has locked the mutex, which is one that stays. */
static void sleep_staying(aegis_i_mutex *mutex, uint32_t process) {
    for (uint32_t round = 0;; round++) {
        /* Relaxed: the barrier, or the system call that wakes, orders it. */
        aegis_i_store(&mutex->sleeping, 1, memory_order_relaxed);
        if (aegis_i_mutex_try_lock_in(mutex, process))
            return;
        bool seen = AEGIS_I_BARRIER();
        if (aegis_i_mutex_try_lock_in(mutex, process))
            return;
        if (seen)
            AEGIS_I_FUTEX_WAIT(&mutex->sleeping, 1);
        else
            AEGIS_I_SPIN_PAUSE(&mutex->word, AEGIS_I_MUTEX_WORD(process, AEGIS_I_MUTEX_HELD),
                               round);
        (void)spin(mutex);
    }
}

bool aegis_i_mutex_lock_slowly(aegis_i_mutex *mutex) {
    uint32_t process = AEGIS_I_PROCESS();
    if (adopt(mutex, process))
        return true;
    uint32_t word = spin(mutex);
    if ((word & AEGIS_I_MUTEX_STATE) == AEGIS_I_MUTEX_BROKEN)
        return false;
    if ((word & AEGIS_I_MUTEX_STATE) == AEGIS_I_MUTEX_FREE &&
        aegis_i_mutex_try_lock_in(mutex, process))
        return true;
    int kept_errno = errno;
    if (mutex->staying) {
        sleep_staying(mutex, process);
        errno = kept_errno;
        return true;
    }
    uint32_t awaited = AEGIS_I_MUTEX_WORD(process, AEGIS_I_MUTEX_AWAITED);
    /* Acquire pairs with the release in aegis_i_mutex_unlock. */
    while (word == awaited || (aegis_i_exchange(&mutex->word, awaited, memory_order_acquire) &
                               AEGIS_I_MUTEX_STATE) != AEGIS_I_MUTEX_FREE) {
        AEGIS_I_FUTEX_WAIT(&mutex->word, awaited);
        word = spin(mutex);
    }
    errno = kept_errno;
    return true;
}

void aegis_i_mutex_store_and_wake(_Atomic uint32_t *word, uint32_t value) {
    int kept_errno = errno;
    aegis_i_store(word, value, memory_order_release);
    AEGIS_I_FUTEX_WAKE_ONE(word);
    errno = kept_errno;
}

#else

/* Elsewhere all is in mutex.h. */
typedef int aegis_i_no_own_mutex;

#endif
