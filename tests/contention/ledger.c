/* SPDX-License-Identifier: Apache-2.0 */
/* Counts what threads cost each other, on a machine of any number of processors.
 *
 * The core is compiled with -fsanitize=thread, which turns each read, write and atomic operation
 * into a call of ThreadSanitizer's runtime. This file is linked in place of that runtime. It keeps
 * a table of the lines of memory, as the caches of processors do (the protocol MESI): which threads
 * have a copy of a line, and which one wrote it last.
 *   read   without a copy: the line is fetched from the thread that wrote it last
 *   write  without a copy: the same, and no other thread has a copy then
 *          with a copy, while others have one: the line is taken from them
 * The first access to a line that nobody else has written costs other threads nothing, and is not
 * counted. Lines are counted as taken for atomic operations only, because the compiler decides
 * whether a plain write comes before a plain read of the same line. Caches are never too small.
 *
 * The linker passes on the calls of malloc (--wrap), so that addresses are the same in each run,
 * and those by which the C library writes memory, so that these writes are seen.
 *
 * Only one thread runs at a time (turns.c), so nothing here is atomic except that the values of the
 * core's atomic operations are made by atomic operations. */
#define _GNU_SOURCE

#include "ledger.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES 64
#define TABLE_LINES (UINT32_C(1) << 20)
#define HEAP_BYTES ((size_t)128 << 20)
#define HEAP_CLASSES 4096

typedef enum kind { READ, WRITE, WRITE_ATOMIC } kind;

typedef struct line {
    /* The line's address divided by its size; 0 if the entry is free. */
    uintptr_t number;
    /* Bits: the threads that have a copy, and those that have used it in their calls. */
    uint64_t holders;
    uint64_t users;
    /* The thread that wrote it last, plus 1; 0 if none has. */
    int writer;
} line;

int ledger_thread = LEDGER_MAIN;
bool ledger_works;
bool ledger_counts;
int ledger_processors;
uint64_t ledger_totals[LEDGER_FIGURES];
void (*ledger_before_atomic)(void);
void (*ledger_wait)(const volatile uint32_t *word, uint32_t value);
void (*ledger_wake)(const volatile uint32_t *word);

static line lines[TABLE_LINES];
static uint32_t line_count;

static void count(ledger_figure figure) {
    if (ledger_counts)
        ledger_totals[figure]++;
}

static line *find_line(uintptr_t number) {
    uint32_t place = (uint32_t)((number * UINT64_C(0x9E3779B97F4A7C15)) >> 44);
    while (lines[place].number != number) {
        if (lines[place].number == 0) {
            if (++line_count > TABLE_LINES / 2) {
                fprintf(stderr, "contention: too many lines\n");
                abort();
            }
            lines[place].number = number;
            break;
        }
        place = (place + 1) % TABLE_LINES;
    }
    return &lines[place];
}

/* One access to the bytes, which may lie in several lines. */
static void touch(const volatile void *p, size_t size_bytes, kind of_access) {
    bool writes = of_access != READ;
    uint64_t own = UINT64_C(1) << ledger_thread;
    uintptr_t first = (uintptr_t)p / LINE_BYTES;
    uintptr_t last = size_bytes == 0 ? first : ((uintptr_t)p + size_bytes - 1) / LINE_BYTES;
    for (uintptr_t number = first; number <= last; number++) {
        line *touched = find_line(number);
        if ((touched->holders & own) == 0) {
            if (touched->writer != 0 && touched->writer != ledger_thread + 1)
                count(LEDGER_FETCHED);
        } else if (of_access == WRITE_ATOMIC && touched->holders != own) {
            count(LEDGER_TAKEN);
        }
        if (ledger_works)
            touched->users |= own;
        touched->holders = writes ? own : touched->holders | own;
        if (writes)
            touched->writer = ledger_thread + 1;
    }
}

static void before_atomic(void) {
    if (ledger_before_atomic != NULL && ledger_thread != LEDGER_MAIN)
        ledger_before_atomic();
}

static void modify(const volatile void *word, size_t size_bytes) {
    touch(word, size_bytes, WRITE_ATOMIC);
    count(LEDGER_RMW);
    if ((find_line((uintptr_t)word / LINE_BYTES)->users & ~(UINT64_C(1) << ledger_thread)) != 0)
        count(LEDGER_SHARED_RMW);
}

/* The runtime. Its functions are declared by no header. */
#pragma GCC diagnostic ignored "-Wmissing-prototypes"

void __tsan_init(void) {
}

void __tsan_func_entry(void *caller) {
    (void)caller;
}

void __tsan_func_exit(void) {
}

void __tsan_atomic_signal_fence(int order) {
    (void)order;
}

void __tsan_atomic_thread_fence(int order) {
    (void)order;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

#define PLAIN(bytes)                                                                               \
    void __tsan_read##bytes(void *p) {                                                             \
        touch(p, bytes, READ);                                                                     \
    }                                                                                              \
    void __tsan_write##bytes(void *p) {                                                            \
        touch(p, bytes, WRITE);                                                                    \
    }                                                                                              \
    void __tsan_unaligned_read##bytes(void *p) {                                                   \
        touch(p, bytes, READ);                                                                     \
    }                                                                                              \
    void __tsan_unaligned_write##bytes(void *p) {                                                  \
        touch(p, bytes, WRITE);                                                                    \
    }                                                                                              \
    void __tsan_read_write##bytes(void *p) {                                                       \
        touch(p, bytes, WRITE);                                                                    \
    }
PLAIN(1)
PLAIN(2)
PLAIN(4)
PLAIN(8)
PLAIN(16)

void __tsan_read_range(void *p, size_t size_bytes) {
    touch(p, size_bytes, READ);
}

void __tsan_write_range(void *p, size_t size_bytes) {
    touch(p, size_bytes, WRITE);
}

/* The orders do not matter: one thread runs at a time. */
#define ATOMIC(bits, type)                                                                         \
    type __tsan_atomic##bits##_load(const volatile type *word, int order) {                        \
        (void)order;                                                                               \
        before_atomic();                                                                           \
        touch(word, sizeof *word, READ);                                                           \
        return __atomic_load_n(word, __ATOMIC_SEQ_CST);                                            \
    }                                                                                              \
    void __tsan_atomic##bits##_store(volatile type *word, type value, int order) {                 \
        (void)order;                                                                               \
        before_atomic();                                                                           \
        touch(word, sizeof *word, WRITE_ATOMIC);                                                   \
        __atomic_store_n(word, value, __ATOMIC_SEQ_CST);                                           \
    }                                                                                              \
    int __tsan_atomic##bits##_compare_exchange_strong(volatile type *word, type *expected,         \
                                                      type desired, int success, int failure) {    \
        (void)success;                                                                             \
        (void)failure;                                                                             \
        before_atomic();                                                                           \
        modify(word, sizeof *word);                                                                \
        return __atomic_compare_exchange_n(word, expected, desired, 0, __ATOMIC_SEQ_CST,           \
                                           __ATOMIC_SEQ_CST);                                      \
    }                                                                                              \
    int __tsan_atomic##bits##_compare_exchange_weak(volatile type *word, type *expected,           \
                                                    type desired, int success, int failure) {      \
        return __tsan_atomic##bits##_compare_exchange_strong(word, expected, desired, success,     \
                                                             failure);                             \
    }                                                                                              \
    type __tsan_atomic##bits##_compare_exchange_val(volatile type *word, type expected,            \
                                                    type desired, int success, int failure) {      \
        (void)__tsan_atomic##bits##_compare_exchange_strong(word, &expected, desired, success,     \
                                                            failure);                              \
        return expected;                                                                           \
    }
#define MODIFY(bits, type, verb, builtin)                                                          \
    type __tsan_atomic##bits##_##verb(volatile type *word, type value, int order) {                \
        (void)order;                                                                               \
        before_atomic();                                                                           \
        modify(word, sizeof *word);                                                                \
        return builtin(word, value, __ATOMIC_SEQ_CST);                                             \
    }
#define ATOMICS(bits, type)                                                                        \
    ATOMIC(bits, type)                                                                             \
    MODIFY(bits, type, exchange, __atomic_exchange_n)                                              \
    MODIFY(bits, type, fetch_add, __atomic_fetch_add)                                              \
    MODIFY(bits, type, fetch_sub, __atomic_fetch_sub)                                              \
    MODIFY(bits, type, fetch_and, __atomic_fetch_and)                                              \
    MODIFY(bits, type, fetch_or, __atomic_fetch_or)                                                \
    MODIFY(bits, type, fetch_xor, __atomic_fetch_xor)
ATOMICS(8, uint8_t)
ATOMICS(16, uint16_t)
ATOMICS(32, uint32_t)
ATOMICS(64, uint64_t)

/* The memory that the core gets from malloc: pieces with a header of 16 bytes, packed as those of
 * an allocator are, in pages that the system has not handed out yet. Pieces of one size are used
 * again, the latest first. What an allocator itself costs is not counted. */
typedef struct piece {
    struct piece *next;
    size_t size_bytes;
} piece;

static _Alignas(4096) unsigned char heap[HEAP_BYTES];
static size_t heap_used_bytes;
static piece *freed[HEAP_CLASSES];

static void *take_memory(size_t size_bytes, size_t align_bytes) {
    size_bytes = (size_bytes + 15) / 16 * 16;
    if (size_bytes > HEAP_BYTES)
        return NULL;
    piece **list =
        size_bytes / 16 < HEAP_CLASSES && align_bytes <= 16 ? &freed[size_bytes / 16] : NULL;
    if (list != NULL && *list != NULL) {
        piece *taken = *list;
        *list = taken->next;
        return taken + 1;
    }
    size_t at = (heap_used_bytes + sizeof(piece) + align_bytes - 1) / align_bytes * align_bytes;
    if (at > HEAP_BYTES - size_bytes)
        return NULL;
    heap_used_bytes = at + size_bytes;
    piece *taken = (piece *)(void *)(heap + at) - 1;
    /* An aligned piece is not used again. */
    taken->size_bytes = list != NULL ? size_bytes : HEAP_BYTES;
    return taken + 1;
}

/* The linker's names for the functions themselves. */
void *__real_memset(void *to, int value, size_t size_bytes);
void *__real_memcpy(void *to, const void *from, size_t size_bytes);
void *__real_memmove(void *to, const void *from, size_t size_bytes);
long __real_sysconf(int name);

void *__wrap_malloc(size_t size_bytes) {
    return take_memory(size_bytes, 16);
}

void *__wrap_aligned_alloc(size_t align_bytes, size_t size_bytes) {
    return take_memory(size_bytes, align_bytes < 16 ? 16 : align_bytes);
}

void *__wrap_calloc(size_t count, size_t size_bytes) {
    void *memory = take_memory(count * size_bytes, 16);
    return memory != NULL ? __real_memset(memory, 0, count * size_bytes) : NULL;
}

void *__wrap_realloc(void *memory, size_t size_bytes) {
    size_t old_bytes = memory != NULL ? ((piece *)memory - 1)->size_bytes : 0;
    void *moved = take_memory(size_bytes, 16);
    return moved != NULL && memory != NULL
               ? __real_memcpy(moved, memory, old_bytes < size_bytes ? old_bytes : size_bytes)
               : moved;
}

void __wrap_free(void *memory) {
    piece *given = (piece *)memory - 1;
    if (memory == NULL || given->size_bytes / 16 >= HEAP_CLASSES)
        return;
    given->next = freed[given->size_bytes / 16];
    freed[given->size_bytes / 16] = given;
}

void *__wrap_memset(void *to, int value, size_t size_bytes) {
    touch(to, size_bytes, WRITE);
    return __real_memset(to, value, size_bytes);
}

void *__wrap_memcpy(void *to, const void *from, size_t size_bytes) {
    touch(from, size_bytes, READ);
    touch(to, size_bytes, WRITE);
    return __real_memcpy(to, from, size_bytes);
}

void *__wrap_memmove(void *to, const void *from, size_t size_bytes) {
    touch(from, size_bytes, READ);
    touch(to, size_bytes, WRITE);
    return __real_memmove(to, from, size_bytes);
}

/* Only the system calls that the core makes by syscall(): the futex and the barrier. The barrier
 * needs no work: one thread runs at a time. */
long __wrap_syscall(long number, ...) {
    va_list arguments;
    va_start(arguments, number);
    count(LEDGER_CALLS);
    if (number == SYS_futex) {
        const volatile uint32_t *word = va_arg(arguments, const volatile uint32_t *);
        int command = va_arg(arguments, int) & 1;
        uint32_t value = va_arg(arguments, uint32_t);
        if (command == 1)
            ledger_wake(word);
        else
            ledger_wait(word, value);
    } else if (number != SYS_membarrier) {
        fprintf(stderr, "contention: the core makes the system call %ld\n", number);
        abort();
    }
    va_end(arguments);
    return 0;
}

long __wrap_sysconf(int name) {
    return name == _SC_NPROCESSORS_ONLN ? ledger_processors : __real_sysconf(name);
}

/* A spinning thread lets others run at its next atomic operation. */
int __wrap_sched_yield(void) {
    count(LEDGER_CALLS);
    return 0;
}

int __wrap_nanosleep(const struct timespec *time, struct timespec *left) {
    (void)time;
    (void)left;
    count(LEDGER_CALLS);
    return 0;
}
