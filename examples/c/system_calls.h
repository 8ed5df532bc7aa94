/* SPDX-License-Identifier: Apache-2.0 */
/* Counts what a whole program asks the system's allocator for. To include this file defines
 * malloc, calloc, realloc, free, aligned_alloc, memalign, posix_memalign and mmap in the program.
 * With the GNU C library they then stand in for its own, also for the calls that shared libraries
 * make, and for those that the C library makes itself (in fopen, for instance). Each counts the
 * call and passes it on.
 *
 * Not counted: memory that the C library's allocator and its threads take from the system by
 * internal calls, and memory that the loader takes.
 *
 * A counted call takes longer. So programs that are timed are compiled with
 * SYSTEM_CALLS_UNCOUNTED, and then nothing here is defined except the function that reads the
 * counts, which are 0. */
#ifndef SYSTEM_CALLS_H
#define SYSTEM_CALLS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/* Calls so far. */
typedef struct system_calls {
    uint64_t allocations; /* malloc, calloc, realloc and the aligned forms */
    uint64_t frees;       /* free of anything but NULL */
    uint64_t maps;        /* mmap */
} system_calls;

static atomic_uint_fast64_t system_allocations, system_frees, system_maps;

static system_calls system_calls_now(void) {
    system_calls now = {atomic_load(&system_allocations), atomic_load(&system_frees),
                        atomic_load(&system_maps)};
    return now;
}

#if defined(SYSTEM_CALLS_UNCOUNTED) || !defined(__GLIBC__)
#define SYSTEM_CALLS_COUNTED 0
#else
#define SYSTEM_CALLS_COUNTED 1

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The allocator of the GNU C library by its other names. */
extern void *__libc_malloc(size_t size_bytes);
extern void *__libc_calloc(size_t count, size_t size_bytes);
extern void *__libc_realloc(void *memory, size_t size_bytes);
extern void *__libc_memalign(size_t align_bytes, size_t size_bytes);
extern void __libc_free(void *memory);
void *memalign(size_t align_bytes, size_t size_bytes);

static void system_count(atomic_uint_fast64_t *count) {
    atomic_fetch_add_explicit(count, 1, memory_order_relaxed);
}

void *malloc(size_t size_bytes) {
    system_count(&system_allocations);
    return __libc_malloc(size_bytes);
}

void *calloc(size_t count, size_t size_bytes) {
    system_count(&system_allocations);
    return __libc_calloc(count, size_bytes);
}

void *realloc(void *memory, size_t size_bytes) {
    system_count(&system_allocations);
    return __libc_realloc(memory, size_bytes);
}

void *memalign(size_t align_bytes, size_t size_bytes) {
    system_count(&system_allocations);
    return __libc_memalign(align_bytes, size_bytes);
}

void *aligned_alloc(size_t align_bytes, size_t size_bytes) {
    return memalign(align_bytes, size_bytes);
}

int posix_memalign(void **memory, size_t align_bytes, size_t size_bytes) {
    void *aligned = memalign(align_bytes, size_bytes);
    if (aligned == NULL)
        return ENOMEM;
    *memory = aligned;
    return 0;
}

void free(void *memory) {
    if (memory != NULL)
        system_count(&system_frees);
    __libc_free(memory);
}

void *mmap(void *address, size_t size_bytes, int protection, int flags, int file, off_t offset) {
    system_count(&system_maps);
    return (void *)syscall(SYS_mmap, address, size_bytes, protection, flags, file, offset);
}

#endif
#endif
