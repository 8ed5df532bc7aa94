/* SPDX-License-Identifier: Apache-2.0 */
/** @file locked_arena_heap_hooks.h
 *  A locked heap (locked_arena_heap.h) for the allocator hooks of C libraries that allocate on
 *  several threads: the functions of arena_heap_hooks.h, each with one lock. The user pointer is
 *  the heap. For hooks without a user pointer, and for those that pass it last, hooks.h defines
 *  functions over these: its family aegis_locked_arena_heap_hook.
 *
 *  The hooks of other libraries cannot say why they fail. So these give no reason either: if the
 *  heap has a budget, its counts do (aegis_budget_get_figures).
 */
#ifndef AEGIS_MEMORY_LOCKED_ARENA_HEAP_HOOKS_H
#define AEGIS_MEMORY_LOCKED_ARENA_HEAP_HOOKS_H

#if defined(AEGIS_OMIT_THREADS) || defined(AEGIS_FREESTANDING)
#error "aegis_memory/locked_arena_heap_hooks.h needs threads: AEGIS_OMIT_THREADS leaves it out"
#endif

#include "base.h"
#include "locked_arena_heap.h"

#ifdef __cplusplus
extern "C" {
#endif

/** The object that the functions work on, for the macros of hooks.h. */
typedef aegis_locked_arena_heap aegis_locked_arena_heap_hook_target;

/** Allocates memory, as malloc does.
 *  @param heap        an aegis_locked_arena_heap.
 *  @param size_bytes  0 gives a pointer that must not be dereferenced.
 *  @return            uninitialised bytes, or NULL.
 *  Ownership, Threads, Cost: as for aegis_locked_arena_heap_alloc.
 */
AEGIS_INLINE void *aegis_locked_arena_heap_hook_malloc(void *heap, size_t size_bytes) {
    return aegis_locked_arena_heap_alloc(AEGIS_CAST(aegis_locked_arena_heap *, heap), size_bytes,
                                         AEGIS_NULL);
}

/** Allocates a zeroed array, as calloc does.
 *  @return  zeroed bytes, or NULL; also NULL when count * size_bytes overflows.
 *  Ownership, Threads, Cost: as for aegis_locked_arena_heap_alloc_zeroed.
 */
AEGIS_INLINE void *aegis_locked_arena_heap_hook_calloc(void *heap, size_t count,
                                                       size_t size_bytes) {
    bool overflows = size_bytes != 0 && count > SIZE_MAX / size_bytes;
    return aegis_locked_arena_heap_alloc_zeroed(AEGIS_CAST(aegis_locked_arena_heap *, heap),
                                                overflows ? SIZE_MAX : count * size_bytes,
                                                AEGIS_NULL);
}

/** Allocates an array, in the shape of zlib's alloc_func.
 *  Parameters, @return: as for aegis_arena_heap_hook_zalloc.
 *  Ownership, Threads, Cost: as for aegis_locked_arena_heap_alloc.
 */
AEGIS_INLINE void *aegis_locked_arena_heap_hook_zalloc(void *heap, unsigned count,
                                                       unsigned size_bytes) {
    size_t items = count;
    bool overflows = size_bytes != 0 && items > SIZE_MAX / size_bytes;
    return aegis_locked_arena_heap_alloc(AEGIS_CAST(aegis_locked_arena_heap *, heap),
                                         overflows ? SIZE_MAX : items * size_bytes, AEGIS_NULL);
}

/** Frees memory, as free does.
 *  @param memory  of the heap, or NULL.
 *  Threads, Cost: as for aegis_locked_arena_heap_free.
 */
AEGIS_INLINE void aegis_locked_arena_heap_hook_free(void *heap, void *memory) {
    aegis_locked_arena_heap_free(AEGIS_CAST(aegis_locked_arena_heap *, heap), memory);
}

/** Resizes memory, as realloc does.
 *  Parameters, @return, On failure: as for aegis_arena_heap_hook_realloc.
 *  Threads, Cost: as for aegis_locked_arena_heap_realloc.
 */
AEGIS_INLINE void *aegis_locked_arena_heap_hook_realloc(void *heap, void *memory,
                                                        size_t size_bytes) {
    if (size_bytes == 0 && memory != AEGIS_NULL) {
        aegis_locked_arena_heap_hook_free(heap, memory);
        return AEGIS_NULL;
    }
    return aegis_locked_arena_heap_realloc(AEGIS_CAST(aegis_locked_arena_heap *, heap), memory,
                                           size_bytes, AEGIS_NULL);
}

/** Returns how many bytes of an allocation may be used: at least what was asked for.
 *  @param memory  of the heap; NULL gives 0.
 *  Threads, Cost: as for aegis_locked_arena_heap_usable_size.
 */
AEGIS_INLINE size_t aegis_locked_arena_heap_hook_usable_size(void *heap, const void *memory) {
    return aegis_locked_arena_heap_usable_size(AEGIS_CAST(aegis_locked_arena_heap *, heap), memory);
}

/** Allocates, resizes or frees memory, as an allocator of Lua does.
 *  Parameters, @return, On failure: as for aegis_arena_heap_hook_resize_sized.
 *  Threads, Cost: as for aegis_locked_arena_heap_realloc.
 */
AEGIS_INLINE void *aegis_locked_arena_heap_hook_resize_sized(void *heap, void *memory,
                                                             size_t old_bytes, size_t new_bytes) {
    (void)old_bytes;
    if (new_bytes == 0) {
        aegis_locked_arena_heap_hook_free(heap, memory);
        return AEGIS_NULL;
    }
    return memory == AEGIS_NULL ? aegis_locked_arena_heap_hook_malloc(heap, new_bytes)
                                : aegis_locked_arena_heap_hook_realloc(heap, memory, new_bytes);
}

#ifdef __cplusplus
}
#endif

#endif
