/* SPDX-License-Identifier: Apache-2.0 */
/** @file base.h
 *  What every other header needs: the export macro, the status codes, the error record and
 *  the version. This is the one header that looks at the compiler; the rest is plain C11.
 *
 *  Rules that hold for the whole library:
 *  - Calls that return a pointer return NULL on failure; the others return an aegis_status.
 *    A call that fails changes nothing but the error record of its object.
 *  - Every size is a number of bytes unless its name says otherwise. Size 0 is legal.
 *  - Objects are plain structs. The caller may move them with memcpy; nothing in them points
 *    back into them. Fields are readable for the inline functions' sake and private otherwise.
 *  - Nothing in the library aborts or unwinds, or prints, except that a debug build reports a
 *    mistake of its user: see aegis_set_report. A debug build is a library that was compiled with
 *    AEGIS_DEBUG, as aegis_build_flags tells; NDEBUG says nothing. Structs are the same in each.
 *  - No lock of the library is held while a function of the user's runs: a source's, one told of
 *    pressure, a deferred one, the release function of an owner. What such a function may do with
 *    the object that calls it is said where it is declared.
 *  - After a fork the child has the objects of the parent but only one thread. An object that no
 *    other thread was inside of at that moment works in the child. So do budgets' charges, buffer
 *    pools, and lock-free forms unless a thread had one alone, to reset it, say. Any other object
 *    that a thread was inside of is half changed in the child's copy, for good. One behind a lock
 *    fails at once with AEGIS_E_FORKED, and goes on failing; a debug build reports it. One with a
 *    single owner must not be used. What other threads had in hand stays out; threads that waited
 *    are forgotten. All this holds for fork() as POSIX has it, which runs the handlers of
 *    pthread_atfork; a child of vfork() or of a bare system call may not use the library, nor may
 *    one that gets the process number of its parent, as the first in a new PID namespace can. Nor
 *    does it hold where the library is linked with libatomic, for a processor without atomic
 *    operations of 8 bytes: its functions take locks, which another thread may have held.
 *  - A call that waits for a block or a buffer is a cancellation point while it waits. A thread
 *    that is cancelled there leaves the queue, gives a block that it has just got to the next one,
 *    and holds no lock when it ends. No other call is a cancellation point: the thread acts on the
 *    cancellation after it. This holds for the deferred cancellation that threads have at first,
 *    not for PTHREAD_CANCEL_ASYNCHRONOUS, with which no call of the library may be made. A function
 *    of the user's that the library calls, such as a source, must not end its thread; nor may a
 *    thread be cancelled in Rust code, which does not allow it.
 */
#ifndef AEGIS_MEMORY_BASE_H
#define AEGIS_MEMORY_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The mark of every public function. AEGIS_SHARED: the library is the shared one, whose functions
 * are exported; with AEGIS_BUILD we are it, else we use it. AEGIS_STATIC: it is the static one, and
 * what it is linked into exports none of its functions, nor C++'s copies of the inline ones; so a
 * process may have several plugins with a copy each, even of different versions. Without either the
 * compiler's own settings hold, which link with whichever library there is. */
#if defined(_WIN32) && defined(AEGIS_SHARED)
#if defined(AEGIS_BUILD)
#define AEGIS_API __declspec(dllexport)
#else
#define AEGIS_API __declspec(dllimport)
#endif
#elif defined(__GNUC__) && defined(AEGIS_SHARED)
#define AEGIS_API __attribute__((visibility("default")))
#elif defined(__GNUC__) && !defined(_WIN32) && defined(AEGIS_STATIC)
#define AEGIS_API __attribute__((visibility("hidden")))
#else
#define AEGIS_API
#endif

/* The mark of the functions that are defined in these headers. C++ merges the copies that it makes
 * of them. In C csrc/inline.c defines each once more, as a symbol, which is the one that a DLL
 * exports; no other file does, whether `inline` means what C99 says or what GNU's C89 says. */
#if defined(_WIN32)
#define AEGIS_I_INLINE_API
#else
#define AEGIS_I_INLINE_API AEGIS_API
#endif
#if defined(AEGIS_INLINE) /* in csrc/inline.c */
#elif !defined(__cplusplus) && defined(__GNUC_GNU_INLINE__)
#define AEGIS_INLINE AEGIS_I_INLINE_API extern __inline__
#else
#define AEGIS_INLINE AEGIS_I_INLINE_API inline
#endif

/* Casts in either language's own words: compilers warn of C's in C++. */
#if defined(__cplusplus)
#define AEGIS_CAST(type, value) static_cast<type>(value)
#define AEGIS_ADDRESS(pointer) reinterpret_cast<uintptr_t>(pointer)
#else
#define AEGIS_CAST(type, value) ((type)(value))
#define AEGIS_ADDRESS(pointer) ((uintptr_t)(pointer))
#endif

/* Branch weight and compile-time constants, where the compiler has words for them. */
#if defined(__GNUC__)
#define AEGIS_UNLIKELY(condition) __builtin_expect(!!(condition), 0)
#define AEGIS_IS_CONSTANT(value) __builtin_constant_p(value)
#else
#define AEGIS_UNLIKELY(condition) (condition)
#define AEGIS_IS_CONSTANT(value) 0
#endif

/* Relaxed atomic access to a plain uint32_t, for inline functions over shared arrays. Where the
 * compiler has no words for it, AEGIS_HAS_ATOMICS is 0 and those functions call into the core. */
#if defined(AEGIS_ATOMIC_LOAD_U32)
#define AEGIS_HAS_ATOMICS 1 /* supplied by a model checker */
#elif defined(__GNUC__)
#define AEGIS_HAS_ATOMICS 1
#define AEGIS_ATOMIC_LOAD_U32(word) __atomic_load_n((word), __ATOMIC_RELAXED)
#define AEGIS_ATOMIC_STORE_U32(word, value) __atomic_store_n((word), (value), __ATOMIC_RELAXED)
#define AEGIS_ATOMIC_CAS_U32(word, expected, desired)                                              \
    __atomic_compare_exchange_n((word), (expected), (desired), false, __ATOMIC_RELAXED,            \
                                __ATOMIC_RELAXED)
#else
#define AEGIS_HAS_ATOMICS 0
#define AEGIS_ATOMIC_LOAD_U32(word) (*(word))
#define AEGIS_ATOMIC_STORE_U32(word, value) ((void)(*(word) = (value)))
#define AEGIS_ATOMIC_CAS_U32(word, expected, desired) ((void)(expected), (void)(desired), false)
#endif

#define AEGIS_VERSION_MAJOR 0
#define AEGIS_VERSION_MINOR 1
#define AEGIS_VERSION_PATCH 0

#ifdef __cplusplus
extern "C" {
#endif

/** The outcome of a call: AEGIS_OK or one of the negative codes below. */
typedef int32_t aegis_status;

/** The call did what it says. */
#define AEGIS_OK 0
/** The block source had no memory to give. */
#define AEGIS_E_OUT_OF_MEMORY (-1)
/** A limit set by the caller would have been exceeded. */
#define AEGIS_E_LIMIT_EXCEEDED (-2)
/** A size, alignment or number that no object can have: a size above PTRDIFF_MAX, an alignment that
 *  is not a power of two, more blocks than a pool can hold. */
#define AEGIS_E_INVALID_LAYOUT (-3)
/** An object of fixed size has nothing left that would fit. */
#define AEGIS_E_EXHAUSTED (-4)
/** An argument that the call can never accept: a stale mark, an unknown flag. */
#define AEGIS_E_INVALID (-5)

/** The object cannot be finished: something of it is still in use. */
#define AEGIS_E_BUSY (-6)
/** The operating system refused an operation on a file. */
#define AEGIS_E_IO (-7)
/** The block source broke its contract: its memory is not aligned as asked. It was given back. A
 *  call that may fail with AEGIS_E_OUT_OF_MEMORY for want of a source's memory may fail so too. */
#define AEGIS_E_SOURCE (-8)
/** The object was in use by another thread when the process forked: see the rules above. */
#define AEGIS_E_FORKED (-9)

struct aegis_budget;

/** aegis_error.what: bytes, as `requested_bytes` and `align_bytes` have them. */
#define AEGIS_WHAT_BYTES 0u
/** aegis_error.what: an alignment in bytes. */
#define AEGIS_WHAT_ALIGN 1u
/** aegis_error.what: blocks of a pool, or buffers of a size class. */
#define AEGIS_WHAT_BLOCKS 2u
/** aegis_error.what: the number of blocks or buffers that a pool may grow to. */
#define AEGIS_WHAT_MAX_BLOCKS 3u
/** aegis_error.what: slabs that a pool may grow to. */
#define AEGIS_WHAT_SLABS 4u
/** aegis_error.what: caches of a pool. */
#define AEGIS_WHAT_CACHES 5u
/** aegis_error.what: size classes of a buffer pool. */
#define AEGIS_WHAT_CLASSES 6u
/** aegis_error.what: bytes of a size class, which are more than those of the class before. */
#define AEGIS_WHAT_CLASS_BYTES 7u
/** aegis_error.what: bytes of a buffer, which the largest size class bounds. */
#define AEGIS_WHAT_BUFFER_BYTES 8u
/** aegis_error.what: arenas that a recycler keeps. */
#define AEGIS_WHAT_IDLE_ARENAS 9u
/** aegis_error.what: a capacity beside memory of the caller, whose size it is already. */
#define AEGIS_WHAT_CAPACITY 10u
/** aegis_error.what: memory of the caller where none can be used; `asked` is its size. */
#define AEGIS_WHAT_MEMORY 11u
/** aegis_error.what: flags; `allowed` has the bits of those that are known. */
#define AEGIS_WHAT_FLAGS 12u
/** aegis_error.what: what a buffer pool is to do when it is empty. */
#define AEGIS_WHAT_POLICY 13u
/** aegis_error.what: options that are NULL. */
#define AEGIS_WHAT_OPTIONS 14u
/** aegis_error.what: a function that is NULL. */
#define AEGIS_WHAT_FUNCTION 15u
/** aegis_error.what: data that is NULL; `asked` is its length. */
#define AEGIS_WHAT_DATA 16u
/** aegis_error.what: an object that was not made, or was released or reset since. */
#define AEGIS_WHAT_HANDLE 17u
/** aegis_error.what: an arena with a scope open on it. */
#define AEGIS_WHAT_SCOPE 18u
/** aegis_error.what: levels of a tree of budgets. */
#define AEGIS_WHAT_LEVELS 19u

/** Why a request failed, in numbers: what was asked, and what was allowed. */
typedef struct aegis_error {
    /** AEGIS_OK when nothing has failed yet. */
    aegis_status status;
    /** Bytes asked for. */
    size_t requested_bytes;
    /** Alignment asked for, in bytes. */
    size_t align_bytes;
    /** The limit that refused: bytes the object may hold; 0 when no limit was involved. */
    size_t limit_bytes;
    /** Bytes in use when the request failed, measured as the limit measures them. */
    size_t in_use_bytes;
    /** The budget that refused (see budget.h), with AEGIS_E_LIMIT_EXCEEDED; else NULL. Good while
     *  the budget that the object charges is. */
    const struct aegis_budget *refused;
    /** What was asked for, as `what` counts it: for bytes the same as `requested_bytes`. */
    size_t asked;
    /** What could have been asked for: the most, or the least when `asked` is below it. For bytes
     *  only with AEGIS_E_INVALID_LAYOUT, as the most at this alignment; else 0. For blocks of an
     *  exhausted pool, what is left. */
    size_t allowed;
    /** AEGIS_WHAT_*: what `asked` and `allowed` count. */
    uint32_t what;
} aegis_error;

/** Says in English what a status means.
 *  @param status  any value.
 *  @return        a static string; a fixed text for a value that is no status.
 *  Ownership:     the library's; good for ever.
 *  Threads:       any thread.
 *  Cost:          O(1).
 */
AEGIS_API const char *aegis_status_message(aegis_status status);

/** Writes what a record says, as an English sentence: what was asked for, and what was allowed. If
 *  a budget refused, it is named, with its largest consumers at this moment.
 *  @param error   not NULL.
 *  @param buffer  terminated unless buffer_bytes is 0; cut if it is too small.
 *  @return        the bytes of the whole text, terminator excluded.
 *  Threads:       any thread, while the budget in the record is good.
 *  Cost:          O(text + budgets beneath the one that refused).
 */
AEGIS_API size_t aegis_error_explain(const aegis_error *error, char *buffer, size_t buffer_bytes);

/** Returns the version of the library that is linked.
 *  @return   major * 10000 + minor * 100 + patch.
 *  Threads:  any thread.
 *  Cost:     O(1).
 */
AEGIS_API uint32_t aegis_version(void);

/** aegis_build_flags: guards, fill patterns, reports and internal checks are compiled in. */
#define AEGIS_BUILD_DEBUG 1u
/** aegis_build_flags: AddressSanitizer is told of every allocation. */
#define AEGIS_BUILD_ASAN 2u
/** aegis_build_flags: Valgrind's memcheck is told of every allocation. */
#define AEGIS_BUILD_VALGRIND 4u

/** Says how the library that is linked was built.
 *  @return   AEGIS_BUILD_*; 0 for a library without checks beside its work. A later version may
 *            have flags that are not listed here.
 *  Threads:  any thread.
 *  Cost:     O(1).
 */
AEGIS_API uint32_t aegis_build_flags(void);

/** Told of a mistake that the library has found in the use of its memory. */
typedef void (*aegis_report_fn)(const char *message);

/** Sets the function that mistakes are reported to: an overrun allocation, an arena finished with
 *  a scope open, a budget given up with bytes charged. A debug build looks for all of them, another
 *  build for overruns in arenas with AEGIS_ARENA_GUARD only.
 *  @param report  NULL silences reports. The default writes a line to stderr. It is called in the
 *                 middle of a call on an object, which it must not use.
 *  @return        the function set before.
 *  Threads:       any thread; it may then be called on any thread.
 *  Cost:          O(1).
 */
AEGIS_API aegis_report_fn aegis_set_report(aegis_report_fn report);

#ifdef __cplusplus
}
#endif

#endif
