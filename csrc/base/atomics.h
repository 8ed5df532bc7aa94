/* SPDX-License-Identifier: Apache-2.0 */
/* The atomic operations of the core. A model checker defines AEGIS_I_YIELD before this header, so
 * that it can run another thread before each operation. Nothing else is different in its build.
 *
 * Without threads (AEGIS_OMIT_THREADS) the words are plain, and so are the operations. These then
 * evaluate their arguments more than once, except the memory orders, which they ignore. */
#ifndef AEGIS_MEMORY_I_BASE_ATOMICS_H
#define AEGIS_MEMORY_I_BASE_ATOMICS_H

#include "port.h"

#include <stddef.h>
#include <stdint.h>

#if !defined(AEGIS_OMIT_THREADS)

#include <stdatomic.h>

#ifndef AEGIS_I_YIELD
#define AEGIS_I_YIELD() ((void)0)
#endif

/* Public structs and side arrays hold plain words, which the core uses as atomic ones. */
_Static_assert(sizeof(_Atomic uint32_t) == sizeof(uint32_t), "an atomic word is a plain word");
_Static_assert(sizeof(_Atomic uint64_t) == sizeof(uint64_t), "an atomic word is a plain word");
_Static_assert(sizeof(_Atomic uintptr_t) == sizeof(uintptr_t), "an atomic word is a plain word");
_Static_assert(sizeof(_Atomic size_t) == sizeof(size_t), "an atomic word is a plain word");
_Static_assert(_Alignof(_Atomic uint32_t) == _Alignof(uint32_t), "an atomic word is a plain word");
_Static_assert(_Alignof(_Atomic uintptr_t) == _Alignof(uintptr_t),
               "an atomic word is a plain word");
_Static_assert(_Alignof(_Atomic size_t) == _Alignof(size_t), "an atomic word is a plain word");

/* The type of an atomic word. */
#define AEGIS_I_ATOMIC(type) _Atomic(type)
/* The declaration of an atomic field of 8 bytes. On 32-bit x86, gcc before version 11 aligned one
 * to 4 bytes only. So it could lie across two cache lines, and at another offset than with other
 * compilers. */
#define AEGIS_I_ATOMIC_U64 _Alignas(8) _Atomic uint64_t

#define aegis_i_atomic_init(word, value) atomic_init((word), (value))
#define aegis_i_load(word, order) (AEGIS_I_YIELD(), atomic_load_explicit((word), (order)))
#define aegis_i_store(word, value, order)                                                          \
    (AEGIS_I_YIELD(), atomic_store_explicit((word), (value), (order)))
#define aegis_i_add(word, value, order)                                                            \
    (AEGIS_I_YIELD(), atomic_fetch_add_explicit((word), (value), (order)))
#define aegis_i_sub(word, value, order)                                                            \
    (AEGIS_I_YIELD(), atomic_fetch_sub_explicit((word), (value), (order)))
#define aegis_i_exchange(word, value, order)                                                       \
    (AEGIS_I_YIELD(), atomic_exchange_explicit((word), (value), (order)))
/* Both compare-and-swaps take two orders: the one on success and the one on failure. */
#define aegis_i_cas(word, expected, desired, success, failure)                                     \
    (AEGIS_I_YIELD(),                                                                              \
     atomic_compare_exchange_strong_explicit((word), (expected), (desired), (success), (failure)))
#define aegis_i_cas_weak(word, expected, desired, success, failure)                                \
    (AEGIS_I_YIELD(),                                                                              \
     atomic_compare_exchange_weak_explicit((word), (expected), (desired), (success), (failure)))

#else

#define AEGIS_I_ATOMIC(type) type
#define AEGIS_I_ATOMIC_U64 uint64_t

#define aegis_i_atomic_init(word, value) ((void)(*(word) = (value)))
#define aegis_i_load(word, order) (*(word))
#define aegis_i_store(word, value, order) ((void)(*(word) = (value)))
/* Both return what the word was before. */
#define aegis_i_add(word, value, order) ((*(word) += (value)) - (value))
#define aegis_i_sub(word, value, order) ((*(word) -= (value)) + (value))
#define aegis_i_exchange(word, value, order) aegis_i_exchange_plain((word), (value))
#define aegis_i_cas(word, expected, desired, success, failure)                                     \
    (*(word) == *(expected) ? (*(word) = (desired), true) : (*(expected) = *(word), false))
#define aegis_i_cas_weak(word, expected, desired, success, failure)                                \
    aegis_i_cas(word, expected, desired, success, failure)

static inline size_t aegis_i_exchange_plain(size_t *word, size_t value) {
    size_t before = *word;
    *word = value;
    return before;
}

#endif

/* The most that a count of references may be. One more is refused, or the count is given up and
 * what it counts is never freed. Some threads add first and then take back what was too much. There
 * cannot be enough threads to make such a count reach the end of the word. */
#ifndef AEGIS_I_MAX_REFERENCES
#define AEGIS_I_MAX_REFERENCES (SIZE_MAX / 2)
#endif

#if !defined(AEGIS_OMIT_THREADS)

/* Tells the processor that this thread is spinning. */
static inline void aegis_i_cpu_relax(void) {
#if defined(__GNUC__) && (defined(__x86_64__) || defined(__i386__))
    __builtin_ia32_pause();
#elif defined(__GNUC__) && (defined(__aarch64__) || (defined(__ARM_ARCH) && __ARM_ARCH >= 7))
    __asm__ volatile("yield");
#endif
}

#endif

#endif
