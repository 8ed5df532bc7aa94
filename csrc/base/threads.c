/* SPDX-License-Identifier: Apache-2.0 */
/* Ids for threads; the barrier on all threads, which is membarrier(2) of Linux; and the number of
 * this process, which is kept because asking the system takes longer. Where there is no barrier, no
 * id belongs to one thread alone. */
#if !defined(_WIN32) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* sched_yield, syscall, sysconf */
#endif

#include "threads.h"
#include "cancel.h"
#include "text.h"

#if defined(_WIN32)
#include <windows.h>
#else
#include <pthread.h>
#include <sched.h>
#include <time.h>
#include <unistd.h>
#endif

#if defined(__linux__) && defined(__GNUC__)
#include <sys/syscall.h>
#if defined(SYS_membarrier)
#define HAS_BARRIER 1
#endif
#endif

/* After SPIN_ROUNDS rounds a spinning thread lets others run. After YIELD_ROUNDS it sleeps for a
 * moment, so that a thread of a lower priority can run too. */
#define SPIN_ROUNDS 64
#define YIELD_ROUNDS 1024

aegis_i_thread_table aegis_i_threads;
AEGIS_I_THREAD_LOCAL uintptr_t aegis_i_thread_id_kept;

static uintptr_t keep_id(uint32_t number) {
    return aegis_i_thread_id_kept = (uintptr_t)&aegis_i_threads + number;
}

/* An id that other threads may have too. */
static uintptr_t give_common_id(void) {
    static _Atomic uint32_t next_number;
    /* Relaxed: nothing but the number is passed on. */
    uint32_t number = aegis_i_add(&next_number, 1, memory_order_relaxed);
    return keep_id(AEGIS_I_OWN_NUMBERS + number % AEGIS_I_OWN_NUMBERS);
}

#if defined(HAS_BARRIER)

/* From the kernel's interface: MEMBARRIER_CMD_PRIVATE_EXPEDITED and its registration, Linux 4.14.
 */
#define COMMAND_BARRIER (1 << 3)
#define COMMAND_REGISTER (1 << 4)

/* What is known of the barrier. UNKNOWN: nothing yet. NONE: there is none. KEY or more: it can be
 * had, and the value minus KEY is a thread-specific key. The key's value is 1 more than the number
 * of a thread that has a number of its own. */
#define UNKNOWN UINT64_C(0)
#define NONE UINT64_C(1)
#define KEY UINT64_C(2)
static _Atomic uint64_t barrier_state;

/* A thread with a number of its own ends. Other destructors may still run on it; they find it with
 * an id that it shares with others. */
static void give_number_back(void *value) {
    uint64_t bit = UINT64_C(1) << ((uintptr_t)value - 1);
    (void)give_common_id();
    /* Release pairs with the acquire in aegis_i_thread_id_new and in aegis_i_thread_number_borrow.
     */
    (void)aegis_i_sub(&aegis_i_threads.own_numbers, bit, memory_order_release);
}

/* If the library is unloaded before its threads end, they must not call into it. */
static void __attribute__((destructor)) forget_key(void) {
    uint64_t state = aegis_i_load(&barrier_state, memory_order_relaxed);
    if (state >= KEY)
        (void)pthread_key_delete((pthread_key_t)(state - KEY));
}

static bool membarrier(int command) {
    return syscall(SYS_membarrier, command, 0, 0) == 0;
}

/* Finds out whether the barrier can be had. Several threads may do so at once, and the result of
 * one of them is kept. pthread_once is not used: if the process forks meanwhile, some systems leave
 * it hanging in the child. */
static uint64_t prepare(void) {
    pthread_key_t key = 0;
    uint64_t known = UNKNOWN;
    bool made = membarrier(COMMAND_REGISTER) && membarrier(COMMAND_BARRIER) &&
                pthread_key_create(&key, give_number_back) == 0;
    uint64_t state = made ? KEY + key : NONE;
    /* Relaxed: nothing but the state is passed on. */
    if (aegis_i_cas(&barrier_state, &known, state, memory_order_relaxed, memory_order_relaxed))
        return state;
    if (made)
        (void)pthread_key_delete(key);
    return known;
}

static uint64_t get_barrier_state(void) {
    uint64_t state = aegis_i_load(&barrier_state, memory_order_relaxed);
    return state != UNKNOWN ? state : prepare();
}

bool aegis_i_barrier_prepare(void) {
    return get_barrier_state() >= KEY;
}

bool aegis_i_barrier(void) {
    /* The first call is refused if the process is not registered, which may be so after a fork. */
    return membarrier(COMMAND_BARRIER) ||
           (membarrier(COMMAND_REGISTER) && membarrier(COMMAND_BARRIER));
}

uintptr_t aegis_i_thread_id_new(void) {
    uint64_t state = get_barrier_state();
    _Atomic uint64_t *own_numbers = &aegis_i_threads.own_numbers;
    /* Relaxed: it changes only in a child process, before the child has a second thread. */
    uint64_t lost = aegis_i_load(&aegis_i_threads.lost_numbers, memory_order_relaxed);
    /* Acquire, here and in the loop, pairs with the release in give_number_back and in
     * aegis_i_thread_number_return. */
    uint64_t taken = aegis_i_load(own_numbers, memory_order_acquire);
    (void)aegis_i_process();
    while (state >= KEY && aegis_i_process_cached() != 0 && (taken | lost) != UINT64_MAX) {
        uint32_t number = 0;
        while (((taken | lost) >> number & 1) != 0)
            number++;
        if (!aegis_i_cas_weak(own_numbers, &taken, taken | UINT64_C(1) << number,
                              memory_order_acquire, memory_order_acquire))
            continue;
        void *value = (void *)((uintptr_t)number + 1);
        if (pthread_setspecific((pthread_key_t)(state - KEY), value) == 0)
            return keep_id(number);
        give_number_back(value);
        return aegis_i_thread_id_kept;
    }
    return give_common_id();
}

#else

bool aegis_i_barrier_prepare(void) {
    return false;
}

bool aegis_i_barrier(void) {
    return false;
}

uintptr_t aegis_i_thread_id_new(void) {
    return give_common_id();
}

#endif

bool aegis_i_thread_number_borrow(aegis_i_thread_table *table, uint32_t number) {
    uint64_t bit = UINT64_C(1) << number;
    /* Acquire, here and in the loop, pairs with the release in give_number_back and in
     * aegis_i_thread_number_return. */
    uint64_t taken = aegis_i_load(&table->own_numbers, memory_order_acquire);
    while ((taken & bit) == 0)
        if (aegis_i_cas_weak(&table->own_numbers, &taken, taken | bit, memory_order_acquire,
                             memory_order_acquire))
            return true;
    return false;
}

void aegis_i_thread_number_return(aegis_i_thread_table *table, uint32_t number) {
    /* Release pairs with the acquire in aegis_i_thread_id_new and in aegis_i_thread_number_borrow.
     */
    (void)aegis_i_sub(&table->own_numbers, UINT64_C(1) << number, memory_order_release);
}

void aegis_i_spin_pause(uint32_t round) {
    if (round < SPIN_ROUNDS) {
        aegis_i_cpu_relax();
        return;
    }
#if defined(_WIN32)
    if (round < YIELD_ROUNDS)
        (void)SwitchToThread();
    else
        Sleep(1);
#else
    if (round < YIELD_ROUNDS) {
        (void)sched_yield();
        return;
    }
    struct timespec moment = {0, 50000};
    int state = aegis_i_uncancelled_begin();
    (void)nanosleep(&moment, NULL);
    aegis_i_uncancelled_end(state);
#endif
}

_Atomic uint32_t aegis_i_process_kept;

#if defined(_WIN32)

/* No process forks here. */
uint32_t aegis_i_process(void) {
    return 1;
}

#else

static void keep_process(void) {
    aegis_i_store(&aegis_i_process_kept, (uint32_t)getpid(), memory_order_relaxed);
}

/* The one thread of a child process calls this. The numbers of all other threads are lost. */
static void begin_process(void) {
    uintptr_t number = aegis_i_thread_number(&aegis_i_threads, aegis_i_thread_id_kept);
    uint64_t own = number < AEGIS_I_OWN_NUMBERS ? UINT64_C(1) << number : 0;
    uint64_t taken = aegis_i_load(&aegis_i_threads.own_numbers, memory_order_relaxed);
    uint64_t lost = aegis_i_load(&aegis_i_threads.lost_numbers, memory_order_relaxed);
    /* All relaxed: there is no other thread. */
    aegis_i_store(&aegis_i_threads.lost_numbers, lost | (taken & ~own), memory_order_relaxed);
    aegis_i_store(&aegis_i_threads.own_numbers, taken & own, memory_order_relaxed);
    keep_process();
}

/* A process keeps its number only if its children will keep theirs, which the handler registered
 * below does for them. pthread_once is not used: if the process forks meanwhile, some systems leave
 * it hanging in the child. With the flag `registered` instead, no thread of such a child registers
 * the handler any more, and the child asks the system each time. */
uint32_t aegis_i_process(void) {
    static _Atomic uint32_t registered;
    uint32_t kept = aegis_i_process_cached();
    if (kept != 0)
        return kept;
    uint32_t none = 0;
    /* Relaxed, here and in keep_process: nothing but the number is passed on. The handler is
     * registered before the number is kept. */
    if (aegis_i_cas(&registered, &none, 1, memory_order_relaxed, memory_order_relaxed) &&
        pthread_atfork(NULL, NULL, begin_process) == 0)
        keep_process();
    return (uint32_t)getpid();
}

#if defined(__GNUC__)
/* Runs when the library is loaded, so that this library's handler runs before those of the program.
 * So when a handler of the program runs in the child, the objects know their process already. */
static void __attribute__((constructor)) register_early(void) {
    (void)aegis_i_process();
}
#endif

#endif

uint32_t aegis_i_process_claim(_Atomic uint32_t *process) {
    uint32_t self = AEGIS_I_PROCESS();
    for (uint32_t round = 0;; round++) {
        /* Acquire, here and on success below, pairs with the release in aegis_i_process_settle. */
        uint32_t seen = aegis_i_load(process, memory_order_acquire);
        if (seen == self)
            return AEGIS_I_PROCESS_THIS;
        if (seen == (self | AEGIS_I_PROCESS_LOST))
            return AEGIS_I_PROCESS_BROKEN;
        if (seen == (self | AEGIS_I_PROCESS_CLAIMED)) {
            AEGIS_I_SPIN_PAUSE(process, seen, round);
            continue;
        }
        if (aegis_i_cas(process, &seen, self | AEGIS_I_PROCESS_CLAIMED, memory_order_acquire,
                        memory_order_relaxed))
            return AEGIS_I_PROCESS_CLAIM;
    }
}

void aegis_i_process_settle(_Atomic uint32_t *process, bool whole) {
    uint32_t self = AEGIS_I_PROCESS();
    /* Release pairs with the acquire in aegis_i_process_claim and in aegis_i_mutex_lock: a thread
     * that reads the word sees what was done under the claim. */
    aegis_i_store(process, whole ? self : self | AEGIS_I_PROCESS_LOST, memory_order_release);
    if (!whole)
        aegis_i_process_report_lost(process);
}

void aegis_i_process_report_lost(void *lock) {
    if (AEGIS_I_DEBUG)
        aegis_i_report(
            "an object (its lock is at %p) was in use by another thread when the process "
            "forked: calls on it fail in this process",
            lock);
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
