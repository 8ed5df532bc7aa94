/* SPDX-License-Identifier: Apache-2.0 */
/** @file locked_arena_heap.h
 *  The locked heap: a heap in an arena (arena_heap.h) behind a mutex, for libraries that allocate
 *  and free on several threads. Any thread may free what another has allocated.
 *
 *  A call holds the lock for as long as it takes to find or to free a chunk, and a call that
 *  needs more room merges the quick lists under it. The lock is free while a thread acquires or
 *  releases a block: other threads go on, and the source and the pressure functions of the budget
 *  may use the heap. So several threads may call the source at once, and two threads that need
 *  room may each acquire a block. The block that is not needed is kept for later. Bytes are
 *  cleared under the lock, and copied without it.
 *
 *  Reset, clear, fini and a move need the heap alone: no other thread is inside a call, and what
 *  other threads did happens before. They do not hold the lock.
 *
 *  After a fork the heap works in the child process if no other thread was inside a call on it
 *  at that moment. Otherwise it is lost there. Calls that return a status or an error record
 *  then fail with AEGIS_E_FORKED, and the statistics are 0. Nothing is freed.
 *  aegis_locked_arena_heap_fini gives up only the handle. What was allocated before can still be
 *  used.
 *
 *  The struct is a handle: the heap and the lock are on the C heap. An all-zero struct is not
 *  ready for use, but aegis_locked_arena_heap_fini accepts it.
 */
#ifndef AEGIS_MEMORY_LOCKED_ARENA_HEAP_H
#define AEGIS_MEMORY_LOCKED_ARENA_HEAP_H

#if defined(AEGIS_OMIT_THREADS) || defined(AEGIS_FREESTANDING)
#error "aegis_memory/locked_arena_heap.h needs threads: AEGIS_OMIT_THREADS leaves it out"
#endif

#include "arena_heap.h"
#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct aegis_locked_arena_heap_shared aegis_locked_arena_heap_shared;

/** A heap for any number of threads, which use it one after the other. */
typedef struct aegis_locked_arena_heap {
    aegis_locked_arena_heap_shared *shared;
} aegis_locked_arena_heap;

/** aegis_locked_arena_heap_init for options of `options_bytes` bytes: see "Structs that grow" in
 *  base.h. */
AEGIS_API aegis_status aegis_locked_arena_heap_init_sized(aegis_locked_arena_heap *heap,
                                                          const aegis_arena_options *options,
                                                          size_t options_bytes, aegis_error *error);

/** Makes a heap.
 *  @param heap     memory for the struct; its content is overwritten.
 *  @param options  as for aegis_arena_heap_init. Any thread may call the source, several threads
 *                  at once.
 *  @param error    overwritten on failure; aegis_error_explain writes it as a sentence. NULL if
 *                  the reason is not wanted.
 *  @return         as aegis_arena_heap_init.
 *  On failure:     `heap` is all-zero; the source is not closed.
 *  Ownership:      the caller's; finish it with aegis_locked_arena_heap_fini.
 *  Threads:        one, before any other uses the heap.
 *  Cost:           O(1), one allocation on the C heap; one acquire if a capacity is asked for.
 */
AEGIS_STATIC_INLINE aegis_status aegis_locked_arena_heap_init(aegis_locked_arena_heap *heap,
                                                              const aegis_arena_options *options,
                                                              aegis_error *error) {
    return aegis_locked_arena_heap_init_sized(heap, options, sizeof *options, error);
}

/** Releases every block.
 *  @param heap  NULL and all-zero are accepted. All-zero afterwards.
 *  Ownership:   every pointer into the heap is dead.
 *  Threads:     one, after the calls of all others on the heap have returned.
 *  Cost:        as aegis_arena_heap_fini.
 */
AEGIS_API void aegis_locked_arena_heap_fini(aegis_locked_arena_heap *heap);

/** Allocates uninitialised bytes, aligned to AEGIS_ARENA_HEAP_ALIGN.
 *  @param size_bytes  0 gives a pointer that must not be dereferenced.
 *  @param error       overwritten on failure; aegis_error_explain writes it as a sentence. NULL
 *                     if the reason is not wanted.
 *  @return            the bytes, or NULL.
 *  On failure:        nothing changed.
 *  Ownership:         the heap's; good until it is freed, or the heap is reset, cleared or
 *                     finished.
 *  Threads:           any thread.
 *  Cost:              one lock, and aegis_arena_heap_alloc.
 */
AEGIS_API void *aegis_locked_arena_heap_alloc(const aegis_locked_arena_heap *heap,
                                              size_t size_bytes, aegis_error *error);

/** Allocates zeroed bytes, aligned to AEGIS_ARENA_HEAP_ALIGN.
 *  Parameters, @return, On failure, Ownership, Threads: as for aegis_locked_arena_heap_alloc.
 *  Cost:  one lock, and aegis_arena_heap_alloc_zeroed.
 */
AEGIS_API void *aegis_locked_arena_heap_alloc_zeroed(const aegis_locked_arena_heap *heap,
                                                     size_t size_bytes, aegis_error *error);

/** Allocates bytes at an alignment that the caller chooses.
 *  @param align_bytes  a power of two. A value below AEGIS_ARENA_HEAP_ALIGN is raised to that.
 *  @param zeroed       whether the bytes must be zero.
 *  @return, On failure, Ownership, Threads: as for aegis_locked_arena_heap_alloc.
 *  Cost:               one lock, and aegis_arena_heap_alloc_aligned.
 */
AEGIS_API void *aegis_locked_arena_heap_alloc_aligned(const aegis_locked_arena_heap *heap,
                                                      size_t size_bytes, size_t align_bytes,
                                                      bool zeroed, aegis_error *error);

/** Resizes an allocation where it is, as aegis_arena_heap_resize_in_place does.
 *  @param memory  as for aegis_arena_heap_resize_in_place; no other thread uses it.
 *  @return, On failure: as for aegis_arena_heap_resize_in_place.
 *  Threads:       any thread.
 *  Cost:          one lock.
 */
AEGIS_API bool aegis_locked_arena_heap_resize_in_place(const aegis_locked_arena_heap *heap,
                                                       void *memory, size_t new_bytes);

/** Resizes an allocation, as aegis_arena_heap_realloc does.
 *  @param memory  as for aegis_arena_heap_realloc; no other thread uses it.
 *  @param error   overwritten on failure; aegis_error_explain writes it as a sentence. NULL if
 *                 the reason is not wanted.
 *  @return        the bytes, or NULL. A size that is not larger than the old one does not fail,
 *                 unless the heap is lost after a fork.
 *  On failure:    `memory` is untouched and still good.
 *  Ownership:     as for aegis_arena_heap_realloc.
 *  Threads:       any thread.
 *  Cost:          one lock, or three if the bytes move; and aegis_arena_heap_realloc.
 */
AEGIS_API void *aegis_locked_arena_heap_realloc(const aegis_locked_arena_heap *heap, void *memory,
                                                size_t new_bytes, aegis_error *error);

/** Resizes an allocation of a known size and alignment, as aegis_arena_heap_realloc_aligned does.
 *  @param old_bytes    the size `memory` has; a debug build reports a wrong one.
 *  @param align_bytes  a power of two; the alignment `memory` was allocated with.
 *  Other parameters, @return, On failure, Ownership, Threads, Cost: as for
 *  aegis_locked_arena_heap_realloc.
 */
AEGIS_API void *aegis_locked_arena_heap_realloc_aligned(const aegis_locked_arena_heap *heap,
                                                        void *memory, size_t old_bytes,
                                                        size_t new_bytes, size_t align_bytes,
                                                        aegis_error *error);

/** Frees an allocation.
 *  @param memory  what an allocation of this heap returned, on any thread, or NULL to do nothing.
 *  Ownership:     `memory` is dead.
 *  Threads:       any thread.
 *  Cost:          one lock, and aegis_arena_heap_free.
 */
AEGIS_API void aegis_locked_arena_heap_free(const aegis_locked_arena_heap *heap, void *memory);

/** Frees an allocation of a known size.
 *  @param size_bytes  the size `memory` has; a debug build reports a wrong one.
 *  Other parameters, Ownership, Threads, Cost: as for aegis_locked_arena_heap_free.
 */
AEGIS_API void aegis_locked_arena_heap_free_sized(const aegis_locked_arena_heap *heap, void *memory,
                                                  size_t size_bytes);

/** Returns how many bytes of an allocation may be used, as aegis_arena_heap_usable_size does.
 *  @param memory  of this heap, and no other thread frees it meanwhile; NULL gives 0.
 *  Threads:       any thread.
 *  Cost:          one lock; O(1).
 */
AEGIS_API size_t aegis_locked_arena_heap_usable_size(const aegis_locked_arena_heap *heap,
                                                     const void *memory);

/** Frees everything, as aegis_arena_heap_reset does.
 *  Ownership:  every pointer into the heap is dead.
 *  Threads:    one, while no other uses the heap.
 *  Cost:       as aegis_arena_heap_reset.
 */
AEGIS_API void aegis_locked_arena_heap_reset(aegis_locked_arena_heap *heap);

/** Merges the quick lists and releases free blocks, as aegis_arena_heap_trim does.
 *  @param keep_bytes  bytes, as reserved_bytes counts them.
 *  Threads:           any thread.
 *  Cost:              one lock; O(blocks + chunks in quick lists).
 */
AEGIS_API void aegis_locked_arena_heap_trim(const aegis_locked_arena_heap *heap, size_t keep_bytes);

/** Resets the heap and releases every block.
 *  Ownership:  every pointer into the heap is dead; the heap can be used again.
 *  Threads:    one, while no other uses the heap.
 *  Cost:       O(blocks).
 */
AEGIS_API void aegis_locked_arena_heap_clear(aegis_locked_arena_heap *heap);

/** Charges all blocks of a heap to another budget instead of the present one. Later growth is
 *  charged there too. The budgets above both do not change, not even for a moment.
 *  @param budget  the new budget; NULL for none. The heap holds a reference to it, and gives up
 *                 the one to the old budget.
 *  @param error   overwritten on failure: it names the budget that refused. NULL if the reason
 *                 is not wanted.
 *  @return        AEGIS_OK; AEGIS_E_LIMIT_EXCEEDED as of aegis_budget_move; AEGIS_E_FORKED if the
 *                 heap is lost in this process.
 *  On failure:    nothing changed.
 *  Threads:       one, while no other uses the heap.
 *  Cost:          as aegis_budget_move.
 */
AEGIS_API aegis_status aegis_locked_arena_heap_move_budget(aegis_locked_arena_heap *heap,
                                                           aegis_budget *budget,
                                                           aegis_error *error);

/** aegis_locked_arena_heap_get_stats for statistics of `stats_bytes` bytes: see "Structs that
 *  grow" in base.h. */
AEGIS_API void aegis_locked_arena_heap_get_stats_sized(const aegis_locked_arena_heap *heap,
                                                       aegis_arena_heap_stats *stats,
                                                       size_t stats_bytes);

/** Reports the heap's statistics, all of the same moment.
 *  @param stats  overwritten.
 *  Threads:      any thread.
 *  Cost:         one lock; O(1).
 */
AEGIS_STATIC_INLINE void aegis_locked_arena_heap_get_stats(const aegis_locked_arena_heap *heap,
                                                           aegis_arena_heap_stats *stats) {
    aegis_locked_arena_heap_get_stats_sized(heap, stats, sizeof *stats);
}

#ifdef __cplusplus
}
#endif

#endif
