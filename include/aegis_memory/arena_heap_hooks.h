/* SPDX-License-Identifier: Apache-2.0 */
/** @file arena_heap_hooks.h
 *  A heap in an arena (arena_heap.h) for the allocator hooks of other C libraries: functions in
 *  the shapes of malloc, calloc, realloc and free with a user pointer first. The user pointer is
 *  the heap. Each function takes it as `void *`, so that the functions fit hooks of that shape
 *  without a cast. For hooks without a user pointer, and for those that pass it last, hooks.h
 *  defines functions over these: its family aegis_arena_heap_hook.
 *
 *  All of them share one kind of memory: what one function allocates, each other one may resize
 *  or free, and so may the functions of arena_heap.h. All memory is aligned to 16 bytes. One
 *  thread owns the heap at a time. For libraries that allocate on several threads there is
 *  locked_arena_heap_hooks.h.
 */
#ifndef AEGIS_MEMORY_ARENA_HEAP_HOOKS_H
#define AEGIS_MEMORY_ARENA_HEAP_HOOKS_H

#include "arena_heap.h"
#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

/** The object that the functions work on, for the macros of hooks.h. */
typedef aegis_arena_heap aegis_arena_heap_hook_target;

/** Allocates memory, as malloc does.
 *  @param heap        an aegis_arena_heap.
 *  @param size_bytes  0 gives a pointer that must not be dereferenced.
 *  @return            uninitialised bytes, or NULL: see aegis_arena_heap_last_error.
 *  Ownership, Threads, Cost: as for aegis_arena_heap_alloc.
 */
AEGIS_INLINE void *aegis_arena_heap_hook_malloc(void *heap, size_t size_bytes) {
    return aegis_arena_heap_alloc(AEGIS_CAST(aegis_arena_heap *, heap), size_bytes);
}

/** Allocates a zeroed array, as calloc does.
 *  @return  zeroed bytes, or NULL; also NULL when count * size_bytes overflows.
 *  Ownership, Threads, Cost: as for aegis_arena_heap_alloc_zeroed.
 */
AEGIS_INLINE void *aegis_arena_heap_hook_calloc(void *heap, size_t count, size_t size_bytes) {
    bool overflows = size_bytes != 0 && count > SIZE_MAX / size_bytes;
    return aegis_arena_heap_alloc_zeroed(AEGIS_CAST(aegis_arena_heap *, heap),
                                         overflows ? SIZE_MAX : count * size_bytes);
}

/** Allocates an array, in the shape of zlib's alloc_func.
 *  @param count       elements.
 *  @param size_bytes  of one element.
 *  @return            uninitialised bytes, or NULL; also NULL when count * size_bytes overflows.
 *  Ownership, Threads, Cost: as for aegis_arena_heap_alloc.
 */
AEGIS_INLINE void *aegis_arena_heap_hook_zalloc(void *heap, unsigned count, unsigned size_bytes) {
    size_t items = count;
    bool overflows = size_bytes != 0 && items > SIZE_MAX / size_bytes;
    return aegis_arena_heap_alloc(AEGIS_CAST(aegis_arena_heap *, heap),
                                  overflows ? SIZE_MAX : items * size_bytes);
}

/** Frees memory, as free does.
 *  @param memory  of the heap, or NULL.
 *  Threads, Cost: as for aegis_arena_heap_free.
 */
AEGIS_INLINE void aegis_arena_heap_hook_free(void *heap, void *memory) {
    aegis_arena_heap_free(AEGIS_CAST(aegis_arena_heap *, heap), memory);
}

/** Resizes memory, as realloc does.
 *  @param memory      of the heap, or NULL to allocate.
 *  @param size_bytes  0 frees and returns NULL.
 *  @return            the bytes, or NULL.
 *  On failure:        `memory` is untouched and still good.
 *  Threads, Cost:     as for aegis_arena_heap_realloc.
 */
AEGIS_INLINE void *aegis_arena_heap_hook_realloc(void *heap, void *memory, size_t size_bytes) {
    if (size_bytes == 0 && memory != AEGIS_NULL) {
        aegis_arena_heap_hook_free(heap, memory);
        return AEGIS_NULL;
    }
    return aegis_arena_heap_realloc(AEGIS_CAST(aegis_arena_heap *, heap), memory, size_bytes);
}

/** Returns how many bytes of an allocation may be used: at least what was asked for.
 *  @param memory  of the heap; NULL gives 0.
 *  Threads, Cost: as for aegis_arena_heap_usable_size.
 */
AEGIS_INLINE size_t aegis_arena_heap_hook_usable_size(void *heap, const void *memory) {
    return aegis_arena_heap_usable_size(AEGIS_CAST(aegis_arena_heap *, heap), memory);
}

/** Allocates, resizes or frees memory, as an allocator of Lua does.
 *  @param memory     of the heap, or NULL to allocate.
 *  @param old_bytes  its present size, which the heap does not need.
 *  @param new_bytes  0 frees and returns NULL.
 *  @return           the bytes, or NULL.
 *  On failure:       `memory` is untouched and still good.
 *  Threads, Cost:    as for aegis_arena_heap_realloc.
 */
AEGIS_INLINE void *aegis_arena_heap_hook_resize_sized(void *heap, void *memory, size_t old_bytes,
                                                      size_t new_bytes) {
    (void)old_bytes;
    if (new_bytes == 0) {
        aegis_arena_heap_hook_free(heap, memory);
        return AEGIS_NULL;
    }
    return memory == AEGIS_NULL ? aegis_arena_heap_hook_malloc(heap, new_bytes)
                                : aegis_arena_heap_hook_realloc(heap, memory, new_bytes);
}

#ifdef __cplusplus
}
#endif

#endif
