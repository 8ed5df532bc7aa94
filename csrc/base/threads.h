/* SPDX-License-Identifier: Apache-2.0 */
/* What the core needs to know of threads: ids for them, how to spin, a memory barrier that one
 * thread makes all others execute, and which process they are in. Not installed.
 *
 * An id is an address, so that no two copies of this library in one process give out the same. Each
 * copy has a table, which its ids lie in: that of the table plus n is the copy's id number n. One
 * whose number is below AEGIS_I_OWN_NUMBERS belongs to one thread at a time; when that thread ends,
 * another may get it, and sees all that the first one did. Such ids are given out only where the
 * barrier can be had and the process knows its number, and as long as there are any. As many more
 * tell threads apart as a rule. An object that gives something to each thread by its number keeps
 * the table of the copy that made it: to threads that run another copy's code it gives nothing, as
 * their ids lie elsewhere. */
#ifndef AEGIS_MEMORY_I_BASE_THREADS_H
#define AEGIS_MEMORY_I_BASE_THREADS_H

#include "atomics.h"
#include "port.h"

#define AEGIS_I_OWN_NUMBERS UINT32_C(64)

/* A model checker knows its threads itself, and which of them spins while a word has which value.
 */
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
    /* A bit for each of the first numbers that a thread has, or has borrowed. */
    _Alignas(2 * AEGIS_I_OWN_NUMBERS) _Atomic uint64_t own_numbers;
    /* Those of threads that a parent process had: no thread here gets one, but it can be borrowed.
     */
    AEGIS_I_ATOMIC_U64 lost_numbers;
} aegis_i_thread_table;

_Static_assert(sizeof(aegis_i_thread_table) == 2 * AEGIS_I_OWN_NUMBERS, "all ids lie in the table");

/* This copy's. */
extern AEGIS_I_HIDDEN aegis_i_thread_table aegis_i_threads;
/* This thread's id; 0 when it has none yet, which lies in no table. */
extern AEGIS_I_HIDDEN AEGIS_I_THREAD_LOCAL uintptr_t aegis_i_thread_id_kept;
/* Gives this thread its id. */
AEGIS_I_HIDDEN uintptr_t aegis_i_thread_id_new(void);
/* Whether aegis_i_barrier can be had; called before its first use. */
AEGIS_I_HIDDEN bool aegis_i_barrier_prepare(void);
/* Makes every other thread of the process execute a full memory barrier: what such a thread has
 * stored before is seen after the call, and what the caller has stored before the call is seen by
 * whatever such a thread loads after. A few microseconds. False: the system has refused, as it may
 * to a process that confines itself, and nothing is known of the other threads. */
AEGIS_I_HIDDEN bool aegis_i_barrier(void);
/* Takes a number below AEGIS_I_OWN_NUMBERS that no thread has. False: one has it. What the thread
 * that had it did is seen, and one that gets it later sees what was done before it was returned. */
AEGIS_I_HIDDEN bool aegis_i_thread_number_borrow(aegis_i_thread_table *table, uint32_t number);
AEGIS_I_HIDDEN void aegis_i_thread_number_return(aegis_i_thread_table *table, uint32_t number);
/* Waits for a moment, longer in later rounds: it sleeps in the end, so that a thread gets on which
 * has a lower priority than the caller. No cancellation point. */
AEGIS_I_HIDDEN void aegis_i_spin_pause(uint32_t round);
/* Which process an object belongs to that was made in one and may be used in a child of it: a word
 * that aegis_i_process() is stored in at first. The two bits above a process number are for the
 * functions below. The number is the system's own, so that several copies of this library in one
 * process agree on it. */
#define AEGIS_I_PROCESS_CLAIMED (UINT32_C(1) << 31)
#define AEGIS_I_PROCESS_LOST (UINT32_C(1) << 30)
/* What aegis_i_process_claim says. The object belongs to this process. */
#define AEGIS_I_PROCESS_THIS UINT32_C(0)
/* It is of no use in this process. */
#define AEGIS_I_PROCESS_BROKEN UINT32_C(1)
/* It came from another process, and this thread, and no other, is to look whether it is whole; it
 * calls aegis_i_process_settle soon, without waiting for anybody before. */
#define AEGIS_I_PROCESS_CLAIM UINT32_C(2)

AEGIS_I_HIDDEN uint32_t aegis_i_process_claim(_Atomic uint32_t *process);
/* Ends a claim. An object that is not whole is reported in a debug build. */
AEGIS_I_HIDDEN void aegis_i_process_settle(_Atomic uint32_t *process, bool whole);
/* The number of this process; never 0. */
AEGIS_I_HIDDEN uint32_t aegis_i_process(void);
/* The same, or 0 where it is not at hand. */
extern AEGIS_I_HIDDEN _Atomic uint32_t aegis_i_process_kept;

static inline uint32_t aegis_i_process_cached(void) {
    /* Relaxed: it changes only in a child process, before that has a second thread. */
    return aegis_i_load(&aegis_i_process_kept, memory_order_relaxed);
}

/* The number of this process, sooner. */
static inline uint32_t aegis_i_process_now(void) {
    uint32_t cached = aegis_i_process_cached();
    return AEGIS_UNLIKELY(cached == 0) ? aegis_i_process() : cached;
}

/* The processors that are there; at least 1. */
AEGIS_I_HIDDEN uint32_t aegis_i_processor_count(void);

static inline uintptr_t aegis_i_thread_id(void) {
    uintptr_t kept = aegis_i_thread_id_kept;
    return AEGIS_UNLIKELY(kept == 0) ? aegis_i_thread_id_new() : kept;
}

/* The number in the table that an id has; beyond the table for an id of another copy, or for 0. */
static inline uintptr_t aegis_i_thread_number(const aegis_i_thread_table *table, uintptr_t id) {
    return id - (uintptr_t)table;
}

#endif
