/* SPDX-License-Identifier: Apache-2.0 */
/** @file arena_hooks.h
 *  An arena for the allocator hooks of other C libraries: functions in the shapes of malloc,
 *  calloc, realloc and free with a user pointer. The user pointer is the arena.
 *
 *  There are two families:
 *  - The unsized family keeps the size of each allocation in the 16 bytes before it. It is for
 *    hooks that pass only a pointer (zlib, expat, SQLite, libxml2).
 *  - The sized family stores nothing. It is for hooks that pass the old size (Lua, Rust).
 *
 *  Memory of one family must not be passed to the other. All memory is aligned to 16 bytes.
 *  Freeing makes only the latest allocation available again at once. The rest is freed when the
 *  arena is reset. Each function takes the arena as `void *`, so that it fits the hook's type
 *  without a cast. One thread owns the arena at a time, also after a fork: see arena.h.
 */
#ifndef AEGIS_MEMORY_ARENA_HOOKS_H
#define AEGIS_MEMORY_ARENA_HOOKS_H

#include "arena.h"

#ifdef __cplusplus
extern "C" {
#endif

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
