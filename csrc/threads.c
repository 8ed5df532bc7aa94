/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers for threads, and the barrier on all of them, which is membarrier(2) of Linux. Elsewhere
 * there is none, and no number belongs to one thread. And the number of this process, which is kept
 * because the system takes a while to tell it. */
#if !defined(_WIN32) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* sched_yield, syscall, sysconf */
#endif

#include "threads.h"

#if defined(_WIN32)
#include <windows.h>
#else
#include <pthread.h>
#include <sched.h>
#include <unistd.h>
#endif

#if defined(__linux__) && defined(__GNUC__)
#include <errno.h>
#include <sys/syscall.h>
#if defined(SYS_membarrier)
#define HAS_BARRIER 1
#endif
#endif

/* Rounds of spinning before the thread lets others run. */
#define SPIN_ROUNDS 64

AEGIS_I_THREAD_LOCAL uint32_t aegis_i_thread_number_kept;

/* A number that other threads may have too. */
static uint32_t give_common_number(void) {
    static _Atomic uint32_t next_number;
    /* Relaxed: the number is all there is. */
    uint32_t number = aegis_i_add(&next_number, 1, memory_order_relaxed) & INT32_MAX;
    number += AEGIS_I_OWN_NUMBERS;
    aegis_i_thread_number_kept = number + 1;
    return number;
}

#if defined(HAS_BARRIER)

/* Of the kernel's interface: MEMBARRIER_CMD_PRIVATE_EXPEDITED and its registration, Linux 4.14. */
#define COMMAND_BARRIER (1 << 3)
#define COMMAND_REGISTER (1 << 4)

static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool available;
/* Its value is the number plus 1 of a thread that has one of its own. */
static pthread_key_t key;
/* A bit for each number that a thread has. */
static _Atomic uint64_t own_numbers;

/* A thread with a number of its own ends. What is still to be done on it, other destructors', is
 * done under a common number. */
static void give_number_back(void *value) {
    uint64_t bit = UINT64_C(1) << ((uintptr_t)value - 1);
    (void)give_common_number();
    /* Release pairs with the acquire in aegis_i_thread_number_new. */
    (void)aegis_i_sub(&own_numbers, bit, memory_order_release);
}

static void prepare(void) {
    available = syscall(SYS_membarrier, COMMAND_REGISTER, 0, 0) == 0 &&
                syscall(SYS_membarrier, COMMAND_BARRIER, 0, 0) == 0 &&
                pthread_key_create(&key, give_number_back) == 0;
}

/* A library that is unloaded before its threads end must not be called by them. */
static void __attribute__((destructor)) forget_key(void) {
    if (available)
        (void)pthread_key_delete(key);
}

bool aegis_i_barrier_prepare(void) {
    (void)pthread_once(&once, prepare);
    return available;
}

void aegis_i_barrier(void) {
    /* Refused only to a process that is not registered, as one might be after a fork. */
    while (syscall(SYS_membarrier, COMMAND_BARRIER, 0, 0) != 0)
        (void)syscall(SYS_membarrier, COMMAND_REGISTER, 0, 0);
}

uint32_t aegis_i_thread_number_new(void) {
    /* Acquire, here and below, pairs with the release in give_number_back. */
    uint64_t taken = aegis_i_load(&own_numbers, memory_order_acquire);
    while (available && taken != UINT64_MAX) {
        uint32_t number = 0;
        while ((taken >> number & 1) != 0)
            number++;
        if (!aegis_i_cas_weak(&own_numbers, &taken, taken | UINT64_C(1) << number,
                              memory_order_acquire, memory_order_acquire))
            continue;
        aegis_i_thread_number_kept = number + 1;
        if (pthread_setspecific(key, (void *)((uintptr_t)number + 1)) == 0)
            return number;
        give_number_back((void *)((uintptr_t)number + 1));
        return aegis_i_thread_number_kept - 1;
    }
    return give_common_number();
}

#else

bool aegis_i_barrier_prepare(void) {
    return false;
}

void aegis_i_barrier(void) {
}

uint32_t aegis_i_thread_number_new(void) {
    return give_common_number();
}

#endif

void aegis_i_spin_pause(uint32_t round) {
    if (round < SPIN_ROUNDS) {
        aegis_i_cpu_relax();
        return;
    }
#if defined(_WIN32)
    (void)SwitchToThread();
#else
    (void)sched_yield();
#endif
}

_Atomic uint32_t aegis_i_process_kept;

#if defined(_WIN32)

/* Nothing forks. */
uint32_t aegis_i_process(void) {
    return 1;
}

#else

static void keep_process(void) {
    aegis_i_store(&aegis_i_process_kept, (uint32_t)getpid(), memory_order_relaxed);
}

/* The number is kept only by a process whose children are told to keep theirs. Not with
 * pthread_once, which some systems leave hanging in a child of a process that forks meanwhile: in
 * such a child nobody registers the handler any more, and the system is asked each time. */
uint32_t aegis_i_process(void) {
    static _Atomic uint32_t registered;
    uint32_t kept = aegis_i_process_cached();
    if (kept != 0)
        return kept;
    uint32_t none = 0;
    /* Relaxed, here and below: the number is all there is. The handler is there before it. */
    if (aegis_i_cas(&registered, &none, 1, memory_order_relaxed, memory_order_relaxed) &&
        pthread_atfork(NULL, NULL, keep_process) == 0)
        keep_process();
    return (uint32_t)getpid();
}

#endif

uint32_t aegis_i_process_claim(_Atomic uint32_t *process) {
    uint32_t self = aegis_i_process();
    for (uint32_t round = 0;; round++) {
        /* Acquire, here and below, pairs with the release in aegis_i_process_settle. */
        uint32_t seen = aegis_i_load(process, memory_order_acquire);
        if (seen == self)
            return AEGIS_I_PROCESS_THIS;
        if (seen == (self | AEGIS_I_PROCESS_LOST))
            return AEGIS_I_PROCESS_BROKEN;
        if (seen == (self | AEGIS_I_PROCESS_CLAIMED)) {
            AEGIS_I_SPIN_PAUSE(process, round);
            continue;
        }
        if (aegis_i_cas(process, &seen, self | AEGIS_I_PROCESS_CLAIMED, memory_order_acquire,
                        memory_order_relaxed))
            return AEGIS_I_PROCESS_CLAIM;
    }
}

void aegis_i_process_settle(_Atomic uint32_t *process, bool whole) {
    uint32_t self = aegis_i_process();
    /* Release pairs with the acquire in aegis_i_process_claim and in aegis_i_mutex_lock: what was
     * done under the claim is seen. */
    aegis_i_store(process, whole ? self : self | AEGIS_I_PROCESS_LOST, memory_order_release);
    if (AEGIS_I_DEBUG && !whole)
        aegis_i_report(
            "an object (its lock is at %p) was in use by another thread when the process "
            "forked: calls on it fail in this process",
            (void *)process);
}

uint32_t aegis_i_processor_count(void) {
#if defined(_WIN32)
    SYSTEM_INFO info;
    GetSystemInfo(&info);
    long processor_count = (long)info.dwNumberOfProcessors;
#else
    long processor_count = sysconf(_SC_NPROCESSORS_ONLN);
#endif
    return processor_count > 0 ? (uint32_t)processor_count : 1;
}
