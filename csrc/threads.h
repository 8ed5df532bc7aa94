/* SPDX-License-Identifier: Apache-2.0 */
/* What the core needs to know of threads: small numbers for them, how to spin, a memory barrier
 * that one thread makes all others execute, and which process they are in. Not installed.
 *
 * A number below AEGIS_I_OWN_NUMBERS belongs to one thread at a time; when that thread ends,
 * another may get it, and sees all that the first one did. Such numbers are given out only where
 * the barrier can be had, and as long as there are any. Higher numbers tell threads apart as a
 * rule. */
#ifndef AEGIS_MEMORY_THREADS_H
#define AEGIS_MEMORY_THREADS_H

#include "atomics.h"
#include "internal.h"

#define AEGIS_I_OWN_NUMBERS UINT32_C(64)

/* A model checker knows its threads itself, and which of them spins for which word. */
#ifndef AEGIS_I_THREAD_NUMBER
#define AEGIS_I_THREAD_NUMBER() aegis_i_thread_number()
#define AEGIS_I_THREAD_NUMBER_KEPT() (aegis_i_thread_number_kept - 1)
#define AEGIS_I_SPIN_PAUSE(word, round) aegis_i_spin_pause(round)
#endif

#if defined(_MSC_VER) && !defined(__clang__)
#define AEGIS_I_THREAD_LOCAL __declspec(thread)
#else
#define AEGIS_I_THREAD_LOCAL _Thread_local
#endif

/* This thread's number plus 1; 0 when it has none yet, which reads as the number UINT32_MAX. */
extern AEGIS_I_HIDDEN AEGIS_I_THREAD_LOCAL uint32_t aegis_i_thread_number_kept;
/* Gives this thread its number. */
AEGIS_I_HIDDEN uint32_t aegis_i_thread_number_new(void);
/* Whether aegis_i_barrier can be had; called before its first use and before that of numbers. */
AEGIS_I_HIDDEN bool aegis_i_barrier_prepare(void);
/* Makes every other thread of the process execute a full memory barrier: what such a thread has
 * stored before is seen after the call, and what the caller has stored before the call is seen by
 * whatever such a thread loads after. A few microseconds. */
AEGIS_I_HIDDEN void aegis_i_barrier(void);
/* Waits for a moment, longer in later rounds. */
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

/* The processors that are there; at least 1. */
AEGIS_I_HIDDEN uint32_t aegis_i_processor_count(void);

static inline uint32_t aegis_i_thread_number(void) {
    uint32_t kept = aegis_i_thread_number_kept;
    return AEGIS_UNLIKELY(kept == 0) ? aegis_i_thread_number_new() : kept - 1;
}

#endif
