/* SPDX-License-Identifier: Apache-2.0 */
/* What a heap does about mistakes and secrets when its flags ask for it, and what it tells
 * checkers: see heap_watch.c. Not installed. */
#ifndef AEGIS_MEMORY_I_ARENA_HEAP_WATCH_H
#define AEGIS_MEMORY_I_ARENA_HEAP_WATCH_H

#include "heap_chunk.h"

/* aegis_arena_heap.flags: fills, guards, wiping or a checker are on, so every call takes the slow
 * path. */
#define AEGIS_I_HEAP_WATCHED (UINT32_C(1) << 16)
/* aegis_arena_heap.flags: the heap has only the caller's memory. */
#define AEGIS_I_HEAP_FIXED (UINT32_C(1) << 17)
/* aegis_arena_heap.flags: the blocks are allocations of the caller's arena. */
#define AEGIS_I_HEAP_IN_ARENA (UINT32_C(1) << 18)

/* In place of the size of an allocation that the caller does not name. */
#define AEGIS_I_ANY_BYTES SIZE_MAX

typedef enum aegis_i_heap_mistake {
    AEGIS_I_HEAP_SOUND,
    AEGIS_I_HEAP_FOREIGN,
    AEGIS_I_HEAP_FREED,
    AEGIS_I_HEAP_OTHER_SIZE,
    AEGIS_I_HEAP_OVERRUN
} aegis_i_heap_mistake;

/* A mistake that was found. A locked heap reports it after it has given its lock back. */
typedef struct aegis_i_heap_damage {
    aegis_i_heap_mistake kind;
    const void *memory;
    size_t size_bytes;
    size_t named_bytes;
} aegis_i_heap_damage;

static inline bool aegis_i_heap_is_watched(const aegis_arena_heap *heap) {
    return (heap->flags & AEGIS_I_HEAP_WATCHED) != 0;
}

/* The bytes that a guard takes. */
AEGIS_I_HIDDEN size_t aegis_i_heap_guard_size(void);
/* Reports a mistake, if there is one and the heap's flags or the build say so. */
AEGIS_I_HIDDEN void aegis_i_heap_report(const aegis_arena_heap *heap,
                                        const aegis_i_heap_damage *damage);
/* Whether `memory` is an allocation that is out and has the size that the caller names, which may
 * be AEGIS_I_ANY_BYTES. If it is not out, the call that got it must do nothing. */
AEGIS_I_HIDDEN bool aegis_i_heap_is_out(const aegis_arena_heap *heap, const void *memory,
                                        size_t named_bytes, aegis_i_heap_damage *damage);
/* The bytes that were asked for; without guards and checkers, those that there are. */
AEGIS_I_HIDDEN size_t aegis_i_heap_size_of(const aegis_arena_heap *heap, const void *memory);
/* An allocation of a watched heap is handed out, or was resized from `old_bytes`. */
AEGIS_I_HIDDEN void aegis_i_heap_mark_out(const aegis_arena_heap *heap, void *memory,
                                          size_t old_bytes, size_t size_bytes);
/* An allocation of a watched heap is freed. */
AEGIS_I_HIDDEN void aegis_i_heap_mark_freed(const aegis_arena_heap *heap, void *memory);
/* The end of an allocation of a watched heap is freed. */
AEGIS_I_HIDDEN void aegis_i_heap_mark_cut(const aegis_arena_heap *heap, void *memory,
                                          size_t old_bytes, size_t new_bytes);
/* Everything in a watched heap is freed: reports what was overrun, and wipes. */
AEGIS_I_HIDDEN void aegis_i_heap_mark_reset(const aegis_arena_heap *heap);

#endif
