/* SPDX-License-Identifier: Apache-2.0 */
/** @file base.h
 *  What every other header needs: the export macro, the status codes, the error record and the
 *  version. This is the only header that looks at the compiler. The others are plain C11.
 *
 *  Words that all headers use:
 *  - An object is an arena, a pool, a budget, or another struct that a header's functions work
 *    on. To finish an object means to call its `_fini` or `_destroy` function, which ends its
 *    life.
 *  - A source is the functions that an object calls to acquire memory and to release it: see
 *    source.h. A user allocates from an object and frees what was allocated.
 *  - A budget limits the bytes that objects may acquire: see budget.h.
 *  - Arenas and pools have three forms, for different numbers of threads: one with a single
 *    owner, a lock-free one, and a locked one.
 *
 *  Rules that hold for the whole library:
 *  - A call that returns a pointer returns NULL on failure. Most other calls return an
 *    aegis_status. A call that fails changes nothing except the error record of its object.
 *  - Every size is a number of bytes unless its name says otherwise. Size 0 is legal.
 *  - The caller may move the struct of an object with memcpy, because nothing in it points back
 *    into it. A struct that must stay where it is says so. The fields of an object are private
 *    unless its header tells the caller to use them. They are visible because the inline
 *    functions need them.
 *  - The library does not abort, unwind or print. But a debug build reports the mistakes of its
 *    user that it finds (see aegis_set_report), and its asserts abort if they find an object
 *    damaged. A debug build is a library that was compiled with AEGIS_DEBUG: see
 *    aegis_build_flags. NDEBUG changes nothing. The structs are the same in every build.
 *  - The library holds no lock while a function of the user's runs: a function of a source, a
 *    pressure function of a budget, a deferred function, or the release function of an owner.
 *    The declaration of each says what it may do with the object that calls it.
 *
 *  Structs that grow:
 *  - A later version may add fields to the end of a struct of options, statistics or a report. A
 *    function that reads or fills one exists in two forms. The one without a size is inline, so
 *    it is compiled into the caller: it passes the size of the struct that the caller was
 *    compiled with. The library has the other one, whose name ends with `_sized`. Callers in
 *    other languages call that one with the size of their struct.
 *  - The library writes no more bytes than that. Fields that it does not know become zero.
 *  - Options that the caller's struct lacks have their default, which is zero in every option.
 *    If a byte of the options is set that the library does not know, because it is older than
 *    the header, the call fails with AEGIS_E_INVALID and AEGIS_WHAT_UNKNOWN_OPTION.
 *  - All other structs keep their size as long as AEGIS_VERSION_MAJOR and AEGIS_VERSION_MINOR
 *    are the same: those of objects, error records, and structs that lie in an array or a report.
 *
 *  After a fork the child process has copies of the parent's objects, but only one thread:
 *  - An object works in the child if no other thread was inside a call on it at the moment of
 *    the fork.
 *  - Buffer pools, the lock-free forms, and charges to budgets also work if another thread was
 *    inside. The exception is a lock-free object that the other thread had alone, for instance
 *    to reset it.
 *  - Any other object that a thread was inside of is half changed in the child for good. A
 *    locked object then fails every call at once with AEGIS_E_FORKED, and a debug build reports
 *    it. An object with a single owner must not be used.
 *  - What other threads had allocated stays allocated. The child forgets the threads that
 *    waited.
 *  - All this holds for fork() as POSIX defines it, which runs the handlers of pthread_atfork. A
 *    child of vfork() or of a bare system call must not use the library. Nor may a child that
 *    has the process number of its parent, as the first process in a new PID namespace can. The
 *    rules do not hold either if the library is linked with libatomic, for a processor without
 *    atomic operations of 8 bytes. The functions of libatomic take locks, which another thread
 *    may have held.
 *
 *  Smaller builds, each chosen by a macro that the library and every user of it are compiled
 *  with:
 *  - AEGIS_OMIT_THREADS: for one thread, on a system that need not have threads. There are
 *    arenas, heaps and pools with a single owner, keyed pools and budgets. The structs are the
 *    same. A charge does not wait: if it is refused, that is final, as if no time was given. A
 *    request that is polled works as ever. The headers of what is left out cannot be included.
 *  - AEGIS_FREESTANDING: the same without a C library. The library calls memcpy, memmove, memset
 *    and memcmp, and what the compiler itself calls. There is no C heap, so the user says where
 *    memory comes from (aegis_set_default_source, or a source for each object).
 *
 *  Cancelling a thread:
 *  - A call that waits for a block or a buffer is a cancellation point while it waits. So is
 *    aegis_budget_charge_timeout. A thread that is cancelled there leaves the queue. If it has
 *    just received a block, the next thread in the queue gets the block. The cancelled thread
 *    holds no lock when it ends.
 *  - No other call is a cancellation point: the thread acts on the cancellation after the call.
 *    This holds for an object that acquires memory and waits for room in its budget (`wait_ns`).
 *  - This holds for deferred cancellation, which is the default of every thread. With
 *    PTHREAD_CANCEL_ASYNCHRONOUS the thread must not call the library.
 *  - A function of the user's that the library calls, such as a source's, must not end its
 *    thread. A thread must not be cancelled while it runs Rust code, because Rust does not allow
 *    that.
 */
#ifndef AEGIS_MEMORY_BASE_H
#define AEGIS_MEMORY_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(AEGIS_FREESTANDING) && !defined(AEGIS_OMIT_THREADS)
#define AEGIS_OMIT_THREADS
#endif

/* The functions that a program without a C library has all the same. The library's other headers
 * include this one instead of <string.h>. */
#if !defined(AEGIS_FREESTANDING)
#include <string.h>
#else
#if defined(__has_include)
#if __has_include(<string.h>)
#define AEGIS_I_HAS_STRING
#endif
#endif
#if defined(AEGIS_I_HAS_STRING)
#include <string.h>
#else
#ifdef __cplusplus
extern "C" {
#endif
void *memcpy(void *to, const void *from, size_t size_bytes);
void *memmove(void *to, const void *from, size_t size_bytes);
void *memset(void *to, int byte, size_t size_bytes);
int memcmp(const void *a, const void *b, size_t size_bytes);
#ifdef __cplusplus
}
#endif
#endif
#endif

/* The mark of every public function.
 * - AEGIS_SHARED: the library is the shared one, whose functions are exported. AEGIS_BUILD says
 *   that the library itself is being compiled; without it, a user of the library is.
 * - AEGIS_STATIC: the library is the static one. The program or plugin that links it exports
 *   none of its functions, and none of the copies that C++ makes of the inline ones. So a
 *   process may have several plugins with a copy of the library each, even of different
 *   versions.
 * - With neither, the settings of the compiler decide. That links with either library. */
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

/* The mark of the functions that are defined in these headers. C++ merges the copies that it
 * makes of them. In C, the library defines each of them once more as a symbol, and a DLL
 * exports that symbol. No other file defines one, whether `inline` has the meaning of C99 or of
 * GNU C89. */
#if defined(_WIN32)
#define AEGIS_I_INLINE_API
#else
#define AEGIS_I_INLINE_API AEGIS_API
#endif
#if defined(AEGIS_INLINE) /* by a file that defines the symbols */
#elif !defined(__cplusplus) && defined(__GNUC_GNU_INLINE__)
#define AEGIS_INLINE AEGIS_I_INLINE_API extern __inline__
#else
#define AEGIS_INLINE AEGIS_I_INLINE_API inline
#endif

/* The mark of the functions that tell the library what their caller was compiled with, such as
 * the size of a struct. Each file that calls one has its own copy. */
#if defined(__GNUC__)
#define AEGIS_STATIC_INLINE static __inline__
#else
#define AEGIS_STATIC_INLINE static inline
#endif

/* The mark of the functions that a macro defines in a user's file. A user need not use all of
 * them. */
#if defined(__GNUC__)
#define AEGIS_I_STATIC static __attribute__((unused))
#else
#define AEGIS_I_STATIC static inline
#endif

/* Casts in the syntax of each language, because compilers warn about C's casts in C++. */
#if defined(__cplusplus)
#define AEGIS_CAST(type, value) static_cast<type>(value)
#define AEGIS_ADDRESS(pointer) reinterpret_cast<uintptr_t>(pointer)
#define AEGIS_POINTER(type, address) reinterpret_cast<type>(address)
#else
#define AEGIS_CAST(type, value) ((type)(value))
#define AEGIS_ADDRESS(pointer) ((uintptr_t)(pointer))
#define AEGIS_POINTER(type, address) ((type)(address))
#endif

/* The null pointer for inline functions and macros, because compilers warn about NULL in C++. */
#if defined(__cplusplus) && __cplusplus >= 201103L
#define AEGIS_NULL nullptr
#else
#define AEGIS_NULL NULL
#endif

/* Branch weight and compile-time constants, if the compiler has builtins for them. */
#if defined(__GNUC__)
#define AEGIS_UNLIKELY(condition) __builtin_expect(!!(condition), 0)
#define AEGIS_IS_CONSTANT(value) __builtin_constant_p(value)
#else
#define AEGIS_UNLIKELY(condition) (condition)
#define AEGIS_IS_CONSTANT(value) 0
#endif

/* Relaxed atomic access to a plain uint32_t, for inline functions over shared arrays. If the
 * compiler has no builtins for it, AEGIS_HAS_ATOMICS is 0 and those functions call into the
 * core. */
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

/** The first number of the version. */
#define AEGIS_VERSION_MAJOR 0
/** The second number: up to 1.0 a new one may change the interface. */
#define AEGIS_VERSION_MINOR 1
/** The third number. */
#define AEGIS_VERSION_PATCH 0
/** The version of these headers as one number, to compare with aegis_version. */
#define AEGIS_VERSION                                                                              \
    (AEGIS_VERSION_MAJOR * 10000 + AEGIS_VERSION_MINOR * 100 + AEGIS_VERSION_PATCH)

#ifdef __cplusplus
extern "C" {
#endif

/** The outcome of a call: AEGIS_OK, or one of the negative codes below. Only a call that polls
 *  may also return AEGIS_PENDING, which is positive. */
typedef int32_t aegis_status;

/** The call did what it says. */
#define AEGIS_OK 0
/** The source had no memory to give. */
#define AEGIS_E_OUT_OF_MEMORY (-1)
/** A limit set by the caller would have been exceeded. */
#define AEGIS_E_LIMIT_EXCEEDED (-2)
/** A size, alignment or number that no object can have: for instance a size above PTRDIFF_MAX,
 *  an alignment that is not a power of two, or more blocks than a pool can hold. */
#define AEGIS_E_INVALID_LAYOUT (-3)
/** An object of fixed size has nothing left that would fit. */
#define AEGIS_E_EXHAUSTED (-4)
/** An argument that the call can never accept, such as an unknown flag. */
#define AEGIS_E_INVALID (-5)

/** The object cannot be finished, because something of it is still in use. */
#define AEGIS_E_BUSY (-6)
/** The operating system refused an operation on a file. */
#define AEGIS_E_IO (-7)
/** The source broke its contract: its memory is not aligned as asked. The memory was released
 *  again. A call that may fail with AEGIS_E_OUT_OF_MEMORY because a source has none may also
 *  fail with this status. */
#define AEGIS_E_SOURCE (-8)
/** The object was in use by another thread when the process forked: see "After a fork" above. */
#define AEGIS_E_FORKED (-9)
/** The budget was closed, so that nothing can be charged to it any more. */
#define AEGIS_E_CLOSED (-10)
/** Not an error: a request that does not block has to wait. Its waker will be called. */
#define AEGIS_PENDING 1
/** The system does not offer what the call needs, or the library does not know how to ask it. */
#define AEGIS_E_UNSUPPORTED (-11)

struct aegis_budget;

/** aegis_error.refusal: the limit of the budget. */
#define AEGIS_REFUSED_LIMIT 0u
/** aegis_error.refusal: the budget's fair share of its parent, which is less than its limit. */
#define AEGIS_REFUSED_SHARE 1u
/** aegis_error.refusal: requests that came earlier wait at the budget, or wait further up and
 *  have been promised the bytes. What they ask for counts in in_use_bytes. */
#define AEGIS_REFUSED_QUEUE 2u
/** aegis_error.refusal: the limit or the share, and nothing was reclaimed, because the thread is
 *  running a reclaimer or a pressure function of the same tree of budgets. */
#define AEGIS_REFUSED_NESTED 3u
/** aegis_error.refusal: the limit, because of the bytes that budgets beneath are guaranteed and
 *  do not use. They count in in_use_bytes. */
#define AEGIS_REFUSED_GUARANTEE 4u

/** A wait without an end, in place of a number of nanoseconds. */
#define AEGIS_WAIT_FOREVER UINT64_MAX

/** aegis_error.what: bytes, the same number as `requested_bytes`. */
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
/** aegis_error.what: bytes of a size class, which must be more than those of the class
 *  before. */
#define AEGIS_WHAT_CLASS_BYTES 7u
/** aegis_error.what: bytes of a buffer, of which the largest size class is the bound. */
#define AEGIS_WHAT_BUFFER_BYTES 8u
/** aegis_error.what: arenas that a recycler keeps. */
#define AEGIS_WHAT_IDLE_ARENAS 9u
/** aegis_error.what: a capacity, given together with memory of the caller. The size of that
 *  memory already is the capacity. */
#define AEGIS_WHAT_CAPACITY 10u
/** aegis_error.what: memory of the caller, given to an object that cannot use any; `asked` is
 *  its size. */
#define AEGIS_WHAT_MEMORY 11u
/** aegis_error.what: flags; `allowed` has the bits of the known ones. */
#define AEGIS_WHAT_FLAGS 12u
/** aegis_error.what: the policy of a buffer pool for when it is empty, or of a budget. */
#define AEGIS_WHAT_POLICY 13u
/** aegis_error.what: options that are NULL. */
#define AEGIS_WHAT_OPTIONS 14u
/** aegis_error.what: a function that is NULL. */
#define AEGIS_WHAT_FUNCTION 15u
/** aegis_error.what: data that is NULL; `asked` is its length. */
#define AEGIS_WHAT_DATA 16u
/** aegis_error.what: an object that was never made, or was released or reset since. */
#define AEGIS_WHAT_HANDLE 17u
/** aegis_error.what: an arena with a scope open on it. */
#define AEGIS_WHAT_SCOPE 18u
/** aegis_error.what: levels of a tree of budgets. */
#define AEGIS_WHAT_LEVELS 19u
/** aegis_error.what: bytes that a budget is guaranteed. */
#define AEGIS_WHAT_GUARANTEE 21u
/** aegis_error.what: the weight of a budget. */
#define AEGIS_WHAT_WEIGHT 22u
/** aegis_error.what: a share of the system's memory, in percent, rounded up; 0 for a share that
 *  is not above 0 or not a number. A share above 0 and up to `allowed` can be asked for, if the
 *  system says how much memory it has. */
#define AEGIS_WHAT_SHARE 20u
/** aegis_error.what: a budget that has children or bytes in use; `asked` is the policy that was
 *  to be set. */
#define AEGIS_WHAT_USED_BUDGET 23u
/** aegis_error.what: memory that another call is moving to another budget. */
#define AEGIS_WHAT_MOVE 24u
/** aegis_error.what: a buffer pool with other handles, or with buffers that are out. */
#define AEGIS_WHAT_OUT 25u
/** aegis_error.what: an option that is set and that the library does not know, because it is older
 *  than the header that its caller was compiled with; `asked` is the offset of the option in the
 *  struct of options, and `allowed` the size of the struct that the library knows. */
#define AEGIS_WHAT_UNKNOWN_OPTION 26u

/** Why a request failed, in numbers: what was asked, and what was allowed. aegis_error_explain
 *  writes any record as a sentence. */
typedef struct aegis_error {
    /** AEGIS_OK when nothing has failed yet. */
    aegis_status status;
    /** Bytes asked for. */
    size_t requested_bytes;
    /** Alignment asked for, in bytes. */
    size_t align_bytes;
    /** The limit that refused, or the fair share (`refusal`), in bytes that the object may hold;
     *  0 when no limit was involved. */
    size_t limit_bytes;
    /** Bytes in use when the request failed, counted in the same way as the limit: of an arena
     *  with memory of a fixed size, with the guards. If a budget refused, what the charge found,
     *  without what the same call had charged before and gave back, and with what is guaranteed
     *  to budgets beneath or was asked for earlier. */
    size_t in_use_bytes;
    /** What the request would have added to in_use_bytes: with AEGIS_E_EXHAUSTED the bytes with
     *  their padding and guard; if a budget refused, the bytes that were to be charged, with
     *  block headers, side arrays and all else that goes with the bytes asked for. Its sum with
     *  in_use_bytes is above limit_bytes. Else 0. */
    size_t needed_bytes;
    /** The budget that refused (see budget.h), with AEGIS_E_LIMIT_EXCEEDED; else NULL. The
     *  pointer is good as long as the budget that the object charges. */
    const struct aegis_budget *refused;
    /** AEGIS_REFUSED_*: what of that budget refused. */
    uint32_t refusal;
    /** What was asked for, in the unit that `what` names. */
    size_t asked;
    /** The bound that `asked` did not keep: the most that can be asked for, or the least when
     *  `asked` is below it. For bytes it is set only with AEGIS_E_INVALID_LAYOUT, to the most
     *  that this alignment allows; else it is 0. For blocks of an exhausted pool it is the
     *  number that is left. */
    size_t allowed;
    /** AEGIS_WHAT_*: the unit of `asked` and `allowed`. */
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

/** Writes an error record as an English sentence: what was asked for, and what was allowed. If a
 *  budget refused, the sentence names it and its largest consumers at this moment.
 *  @param error   not NULL.
 *  @param buffer  where the text goes, ended with a zero byte unless buffer_bytes is 0. The text
 *                 is cut if the buffer is too small.
 *  @return        the bytes of the whole text, without the zero byte.
 *  Threads:       any thread, while the budget in the record is good.
 *  Cost:          O(text + budgets below the one that refused).
 */
AEGIS_API size_t aegis_error_explain(const aegis_error *error, char *buffer, size_t buffer_bytes);

/** Returns the version of the library that is linked.
 *  @return   major * 10000 + minor * 100 + patch, as AEGIS_VERSION says it of the headers.
 *  Threads:  any thread.
 *  Cost:     O(1).
 */
AEGIS_API uint32_t aegis_version(void);

/** Says whether the library that is linked fits headers: aegis_version_fits(AEGIS_VERSION) is
 *  false in a program that was compiled with the headers of another version. Such a program must
 *  not make an object, because the structs of objects may differ.
 *  @param headers  AEGIS_VERSION.
 *  @return         whether major and minor number are equal, and the library is not older.
 *  Threads:        any thread.
 *  Cost:           O(1).
 */
AEGIS_STATIC_INLINE bool aegis_version_fits(uint32_t headers) {
    return aegis_version() / 100 == headers / 100 && aegis_version() >= headers;
}

/** aegis_build_flags: guards, fill patterns, reports and internal checks are compiled in. */
#define AEGIS_BUILD_DEBUG 1u
/** aegis_build_flags: every allocation is announced to AddressSanitizer. */
#define AEGIS_BUILD_ASAN 2u
/** aegis_build_flags: every allocation is announced to Valgrind's memcheck. */
#define AEGIS_BUILD_VALGRIND 4u

/** Says how the library that is linked was built.
 *  @return   AEGIS_BUILD_* flags; 0 for a library without any checks. A later version may have
 *            flags that are not listed here.
 *  Threads:  any thread.
 *  Cost:     O(1).
 */
AEGIS_API uint32_t aegis_build_flags(void);

/** Wakes what waits for a request that does not block: it tells an executor, an event loop or a
 *  thread to poll the request again. The library calls it with no lock held, on any thread. It
 *  should be short, and must not unwind. */
typedef void (*aegis_wake_fn)(void *context);

/** Receives one line of text without a line end, from a function that draws an object. */
typedef void (*aegis_print_fn)(void *context, const char *line);

/** Receives the text of a mistake that the library has found in the use of its memory. */
typedef void (*aegis_report_fn)(const char *message);

/** Sets the function that mistakes are reported to, such as an overrun allocation, an arena
 *  finished while a scope is open, or a budget freed with bytes charged. A debug build looks for
 *  all such mistakes. Other builds look only for overruns, in arenas with AEGIS_ARENA_GUARD.
 *  @param report  NULL silences reports. The default function writes a line to stderr. The
 *                 function is called in the middle of a call on an object, and must not use that
 *                 object.
 *  @return        the function set before.
 *  Threads:       any thread. Afterwards any thread may call `report`.
 *  Cost:          O(1).
 */
AEGIS_API aegis_report_fn aegis_set_report(aegis_report_fn report);

#ifdef __cplusplus
}
#endif

#endif
