/* SPDX-License-Identifier: Apache-2.0 */
/** @file arena_hooks.h
 *  An arena for the allocator hooks of other C libraries: functions in the shapes of malloc,
 *  calloc, realloc and free with a user pointer first. The user pointer is the arena. Each
 *  function takes it as `void *`, so that the functions fit hooks of that shape without a cast.
 *  For hooks without a user pointer, and for those that pass it last, hooks.h defines functions
 *  over these.
 *
 *  There are two families:
 *  - The unsized family keeps the size of each allocation in the 16 bytes before it. It is for
 *    hooks that pass only a pointer when they free: zlib, zstd and Brotli as it is, SQLite,
 *    Expat, libxml2 and others by way of hooks.h.
 *  - The sized family stores nothing. It is for hooks that pass the old size (Lua).
 *
 *  Memory of one family must not be passed to the other. All memory is aligned to 16 bytes.
 *  Freeing makes only the latest allocation available again at once. The rest is freed when the
 *  arena is reset. So an arena is for a short piece of work; a library that frees and allocates
 *  for long wants a heap (arena_heap_hooks.h). One thread owns the arena at a time, also after a
 *  fork: see arena.h.
 */
#ifndef AEGIS_MEMORY_ARENA_HOOKS_H
#define AEGIS_MEMORY_ARENA_HOOKS_H

#include "arena.h"

#ifdef __cplusplus
extern "C" {
#endif

/** The object that the functions work on, for the macros of hooks.h. */
typedef aegis_arena aegis_arena_hook_target;

/** Allocates memory of the unsized family, as malloc does.
 *  @param arena       an aegis_arena.
 *  @param size_bytes  0 gives a pointer that must not be dereferenced.
 *  @return            uninitialised bytes, or NULL: see aegis_arena_last_error.
 *  Ownership:         the arena's; aegis_arena_hook_free is optional.
 *  Threads:           one owner.
 *  Cost:              as aegis_arena_alloc.
 */
AEGIS_API void *aegis_arena_hook_malloc(void *arena, size_t size_bytes);

/** Allocates a zeroed array of the unsized family, as calloc does.
 *  @return  zeroed bytes, or NULL; also NULL when count * size_bytes overflows.
 *  Ownership, Threads: as for aegis_arena_hook_malloc.
 *  Cost:    as aegis_arena_alloc_zeroed.
 */
AEGIS_API void *aegis_arena_hook_calloc(void *arena, size_t count, size_t size_bytes);

/** Allocates an array of the unsized family, in the shape of zlib's alloc_func.
 *  @param arena       an aegis_arena.
 *  @param count       elements.
 *  @param size_bytes  of one element.
 *  @return            uninitialised bytes, or NULL; also NULL when count * size_bytes overflows.
 *  Ownership, Threads, Cost: as for aegis_arena_hook_malloc.
 */
AEGIS_API void *aegis_arena_hook_zalloc(void *arena, unsigned count, unsigned size_bytes);

/** Resizes memory of the unsized family, as realloc does. It stays where it is if `memory` is
 *  the latest allocation and the new size fits, or if it shrinks.
 *  @param memory      of the unsized family, or NULL to allocate.
 *  @param size_bytes  0 frees and returns NULL.
 *  @return            the bytes, or NULL.
 *  On failure:        `memory` is untouched and still good.
 *  Threads:           one owner.
 *  Cost:              O(1) in place, else O(old size).
 */
AEGIS_API void *aegis_arena_hook_realloc(void *arena, void *memory, size_t size_bytes);

/** Frees memory of the unsized family, as free does.
 *  @param memory  of the unsized family, or NULL.
 *  Threads:       one owner.
 *  Cost:          O(1).
 */
AEGIS_API void aegis_arena_hook_free(void *arena, void *memory);

/** Returns the size that an allocation of the unsized family has now.
 *  @param memory  of the unsized family; NULL gives 0.
 *  Threads:       one owner.
 *  Cost:          O(1).
 */
AEGIS_API size_t aegis_arena_hook_usable_size(void *arena, const void *memory);

/** Allocates, resizes or frees memory of the sized family, as an allocator of Lua does.
 *  @param memory     of the sized family, or NULL to allocate (old_bytes is then ignored).
 *  @param old_bytes  its present size.
 *  @param new_bytes  0 frees and returns NULL.
 *  @return           the bytes, or NULL.
 *  On failure:       `memory` is untouched and still good.
 *  Threads:          one owner.
 *  Cost:             as aegis_arena_realloc_aligned.
 */
AEGIS_API void *aegis_arena_hook_resize_sized(void *arena, void *memory, size_t old_bytes,
                                              size_t new_bytes);

/** Frees memory of the sized family.
 *  @param memory      of the sized family, or NULL.
 *  @param size_bytes  its present size.
 *  Threads:           one owner.
 *  Cost:              O(1).
 */
AEGIS_API void aegis_arena_hook_free_sized(void *arena, void *memory, size_t size_bytes);

#ifdef __cplusplus
}
#endif

#endif
