/* SPDX-License-Identifier: Apache-2.0 */
/* What the core needs to know of threads: their ids, how to spin, a memory barrier that one thread
 * makes all others execute, and which process they are in. Not installed.
 *
 * Several copies of this library may be in one process. Each copy has a table, and gives each
 * thread that runs its code an id.
 * 1. An id is an address in the table: the address of the table plus n is the copy's id number n.
 *    So two copies never give out the same id (keep_id in threads.c).
 * 2. A number below AEGIS_I_OWN_NUMBERS belongs to one thread at a time: the thread has its bit in
 *    `own_numbers` (aegis_i_thread_id_new), or has borrowed it (aegis_i_thread_number_borrow).
 * 3. When the thread ends or returns the number, another may get it, and sees all that the first
 *    one did (the release in give_number_back and aegis_i_thread_number_return).
 * 4. Such numbers are given out as long as there are any, but only where the barrier can be had and
 *    the process knows its number (aegis_i_thread_id_new).
 * 5. The other threads share as many numbers above these. Two of them may have the same number, but
 *    most have different ones (give_common_id).
 * 6. In a child process the numbers of the parent's other threads are lost: no thread gets one, but
 *    a thread can borrow one (begin_process).
 *
 * An object that gives something to each thread by its number keeps the table of the copy that made
 * it. By 1 it gives nothing to threads that run another copy's code, because their ids lie in
 * another table. */
#ifndef AEGIS_MEMORY_I_BASE_THREADS_H
#define AEGIS_MEMORY_I_BASE_THREADS_H

#include "atomics.h"
#include "port.h"

#define AEGIS_I_OWN_NUMBERS UINT32_C(64)

/* A model checker replaces these: it knows its threads itself, and must know on which value of
 * which word a thread spins. */
#ifndef AEGIS_I_THREAD_ID
#define AEGIS_I_THREAD_ID() aegis_i_thread_id()
#define AEGIS_I_THREAD_ID_KEPT() aegis_i_thread_id_kept
#define AEGIS_I_SPIN_PAUSE(word, value, round) aegis_i_spin_pause(round)
#define AEGIS_I_BARRIER() aegis_i_barrier()
#define AEGIS_I_PROCESS() aegis_i_process_now()
#define AEGIS_I_PROCESS_CACHED() aegis_i_process_cached()
#endif

#if defined(_MSC_VER) && !defined(__clang__)
#define AEGIS_I_THREAD_LOCAL __declspec(thread)
#else
#define AEGIS_I_THREAD_LOCAL _Thread_local
#endif

typedef struct aegis_i_thread_table {
    /* A bit for each number below AEGIS_I_OWN_NUMBERS: a thread has it or has borrowed it. */
    _Alignas(2 * AEGIS_I_OWN_NUMBERS) _Atomic uint64_t own_numbers;
    /* The numbers of threads that a parent process had. No thread of this process gets one, but a
     * thread can borrow it. */
    AEGIS_I_ATOMIC_U64 lost_numbers;
} aegis_i_thread_table;

_Static_assert(sizeof(aegis_i_thread_table) == 2 * AEGIS_I_OWN_NUMBERS, "all ids lie in the table");

/* The table of this copy. */
extern AEGIS_I_HIDDEN aegis_i_thread_table aegis_i_threads;
/* This thread's id. 0, which lies in no table: it has none yet. */
extern AEGIS_I_HIDDEN AEGIS_I_THREAD_LOCAL uintptr_t aegis_i_thread_id_kept;
/* Gives this thread its id and returns it. */
AEGIS_I_HIDDEN uintptr_t aegis_i_thread_id_new(void);
/* Whether aegis_i_barrier can be had. Must be called before the first call of aegis_i_barrier. */
AEGIS_I_HIDDEN bool aegis_i_barrier_prepare(void);
/* Makes every other thread of the process execute a full memory barrier. After the call the caller
 * sees what such a thread stored before its barrier, and such a thread, after its barrier, sees
 * what the caller stored before the call. It takes a few microseconds. False: the system has
 * refused, which it may do in a process that restricts its own system calls. Then nothing is known
 * of the other threads. */
AEGIS_I_HIDDEN bool aegis_i_barrier(void);
/* Takes a number below AEGIS_I_OWN_NUMBERS that no thread has. False: a thread has it. The caller
 * sees what the thread that had the number did. A thread that gets the number later sees what the
 * caller did before it returned the number. */
AEGIS_I_HIDDEN bool aegis_i_thread_number_borrow(aegis_i_thread_table *table, uint32_t number);
AEGIS_I_HIDDEN void aegis_i_thread_number_return(aegis_i_thread_table *table, uint32_t number);
/* Waits for a moment, longer in later rounds. In the last rounds it sleeps, so that a thread of a
 * lower priority than the caller can run. It is no cancellation point. */
AEGIS_I_HIDDEN void aegis_i_spin_pause(uint32_t round);
/* An object that was made in one process and may be used in a child of it has a word that says
 * which process it belongs to. The object's maker stores aegis_i_process() there. The two bits
 * above the process number are for the functions below. The number is the system's own, so all
 * copies of this library in one process agree on it. */
#define AEGIS_I_PROCESS_CLAIMED (UINT32_C(1) << 31)
#define AEGIS_I_PROCESS_LOST (UINT32_C(1) << 30)
/* Results of aegis_i_process_claim. This one: the object belongs to this process. */
#define AEGIS_I_PROCESS_THIS UINT32_C(0)
/* The object cannot be used in this process. */
#define AEGIS_I_PROCESS_BROKEN UINT32_C(1)
/* The object came from another process, and this thread alone has to find out whether it is whole.
 * It then calls aegis_i_process_settle, and waits for no other thread before. */
#define AEGIS_I_PROCESS_CLAIM UINT32_C(2)

/* Says whether an object belongs to this process. If another thread has claimed it, waits until
 * that thread has settled the claim. */
AEGIS_I_HIDDEN uint32_t aegis_i_process_claim(_Atomic uint32_t *process);
/* Ends a claim. If the object is not whole, every later claim in this process says so. A debug
 * build reports it. */
AEGIS_I_HIDDEN void aegis_i_process_settle(_Atomic uint32_t *process, bool whole);
/* Reports, in a debug build, an object that is not whole in this process. */
AEGIS_I_HIDDEN void aegis_i_process_report_lost(void *lock);
/* The number of this process; never 0. */
AEGIS_I_HIDDEN uint32_t aegis_i_process(void);
/* The same, or 0 if this process has not kept its number. */
extern AEGIS_I_HIDDEN _Atomic uint32_t aegis_i_process_kept;

static inline uint32_t aegis_i_process_cached(void) {
    /* Relaxed: it changes only in a child process, before the child has a second thread. */
    return aegis_i_load(&aegis_i_process_kept, memory_order_relaxed);
}

/* The number of this process, in less time if it is kept. */
static inline uint32_t aegis_i_process_now(void) {
    uint32_t cached = aegis_i_process_cached();
    return AEGIS_UNLIKELY(cached == 0) ? aegis_i_process() : cached;
}

/* The number of processors; at least 1. */
AEGIS_I_HIDDEN uint32_t aegis_i_processor_count(void);

static inline uintptr_t aegis_i_thread_id(void) {
    uintptr_t kept = aegis_i_thread_id_kept;
    return AEGIS_UNLIKELY(kept == 0) ? aegis_i_thread_id_new() : kept;
}

/* The number of an id in the table. An id of another copy, and 0, give a number beyond the table.
 */
static inline uintptr_t aegis_i_thread_number(const aegis_i_thread_table *table, uintptr_t id) {
    return id - (uintptr_t)table;
}

#endif
