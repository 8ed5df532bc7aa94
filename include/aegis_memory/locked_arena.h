/* SPDX-License-Identifier: Apache-2.0 */
/** @file locked_arena.h
 *  The locked bump arena: an arena behind a mutex. It has every function of arena.h
 *  that allocates, for any thread. It packs as densely as an aegis_arena, resizes in place, and
 *  runs deferred functions.
 *
 *  Every allocation takes the lock for as long as it takes to find room. The lock is free while
 *  a thread acquires a block: other threads go on, and the source and the pressure functions of
 *  the budget may use the arena. So several threads may call the source at once, and two threads
 *  that need room may each acquire a block. The block that is not needed is kept for later. At a
 *  limit, a request may be refused while another thread is acquiring a block. When many threads
 *  allocate at once, a lock-free arena (lock_free_arena.h) is faster.
 *
 *  Reset, trim, clear, fini and a move need the arena alone, as those of the lock-free arena do: no
 *  other thread is inside a call, and what other threads did happens before. They do not hold
 *  the lock. So a deferred function may allocate, and so may the source while it takes a block
 *  back. But an arena that is being finished has no blocks left at that time, and gets none.
 *
 *  After a fork the arena works in the child process if no other thread was inside a call on it
 *  at that moment. Otherwise it is lost there. Calls that return a status or an error record
 *  then fail with AEGIS_E_FORKED, and the statistics are 0. Nothing is freed, and deferred
 *  functions do not run. aegis_locked_arena_fini gives up only the handle. What was allocated
 *  before can still be used.
 *
 *  The struct is a handle: the arena and the lock are on the C heap. An all-zero struct is not
 *  ready for use, but aegis_locked_arena_fini accepts it.
 */
#ifndef AEGIS_MEMORY_LOCKED_ARENA_H
#define AEGIS_MEMORY_LOCKED_ARENA_H

#if defined(AEGIS_OMIT_THREADS) || defined(AEGIS_FREESTANDING)
#error "aegis_memory/locked_arena.h needs threads: AEGIS_OMIT_THREADS leaves it out"
#endif

#include "arena.h"
#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct aegis_locked_arena_shared aegis_locked_arena_shared;

/** A bump arena for any number of threads, which use it one after the other. */
typedef struct aegis_locked_arena {
    aegis_locked_arena_shared *shared;
} aegis_locked_arena;

/** aegis_locked_arena_init for options of `options_bytes` bytes: see "Structs that grow" in
 *  base.h. */
AEGIS_API aegis_status aegis_locked_arena_init_sized(aegis_locked_arena *arena,
                                                     const aegis_arena_options *options,
                                                     size_t options_bytes, aegis_error *error);

/** Makes an arena.
 *  @param arena    memory for the struct; its content is overwritten.
 *  @param options  as for aegis_arena_init. Any thread may call the source, several threads at
 *                  once.
 *  @param error    overwritten on failure; aegis_error_explain writes it as a sentence. NULL if
 *                  the reason is not wanted.
 *  @return         as aegis_arena_init.
 *  On failure:     `arena` is all-zero; the source is not closed.
 *  Ownership:      the caller's; finish it with aegis_locked_arena_fini.
 *  Threads:        one, before any other uses the arena.
 *  Cost:           O(1), one allocation on the C heap; one acquire if a capacity is asked for.
 */
AEGIS_STATIC_INLINE aegis_status aegis_locked_arena_init(aegis_locked_arena *arena,
                                                         const aegis_arena_options *options,
                                                         aegis_error *error) {
    return aegis_locked_arena_init_sized(arena, options, sizeof *options, error);
}

/** Runs the deferred functions, newest first, and releases every block.
 *  @param arena  NULL and all-zero are accepted. All-zero afterwards.
 *  Ownership:    every pointer into the arena is dead.
 *  Threads:      one, after the calls of all others on the arena have returned.
 *  Cost:         O(blocks + deferred functions).
 */
AEGIS_API void aegis_locked_arena_fini(aegis_locked_arena *arena);

/** Allocates uninitialised bytes, aligned to AEGIS_ARENA_ALIGN.
 *  @param size_bytes  0 gives a pointer that must not be dereferenced.
 *  @param error       overwritten on failure; aegis_error_explain writes it as a sentence. NULL
 *                     if the reason is not wanted.
 *  @return            the bytes, or NULL.
 *  On failure:        nothing changed.
 *  Ownership:         the arena's; good until reset, clear or fini.
 *  Threads:           any thread.
 *  Cost:              one lock, and aegis_arena_alloc.
 */
AEGIS_API void *aegis_locked_arena_alloc(const aegis_locked_arena *arena, size_t size_bytes,
                                         aegis_error *error);

/** Allocates zeroed bytes, aligned to AEGIS_ARENA_ALIGN.
 *  Parameters, @return, On failure, Ownership, Threads: as for aegis_locked_arena_alloc.
 *  Cost:  one lock, and aegis_arena_alloc_zeroed.
 */
AEGIS_API void *aegis_locked_arena_alloc_zeroed(const aegis_locked_arena *arena, size_t size_bytes,
                                                aegis_error *error);

/** Allocates uninitialised bytes at an alignment that the caller chooses.
 *  @param align_bytes  a power of two. A value below AEGIS_ARENA_ALIGN is raised to that.
 *  @return, On failure, Ownership, Threads, Cost: as for aegis_locked_arena_alloc.
 */
AEGIS_API void *aegis_locked_arena_alloc_aligned(const aegis_locked_arena *arena, size_t size_bytes,
                                                 size_t align_bytes, aegis_error *error);

/** Allocates zeroed bytes at an alignment that the caller chooses.
 *  @param align_bytes  as for aegis_locked_arena_alloc_aligned.
 *  @return, On failure, Ownership, Threads, Cost: as for aegis_locked_arena_alloc_zeroed.
 */
AEGIS_API void *aegis_locked_arena_alloc_aligned_zeroed(const aegis_locked_arena *arena,
                                                        size_t size_bytes, size_t align_bytes,
                                                        aegis_error *error);

/** Resizes an allocation where it is, as aegis_arena_resize_in_place does.
 *  @param memory  as for aegis_arena_resize_in_place; no other thread uses it.
 *  @return, On failure: as for aegis_arena_resize_in_place.
 *  Threads:       any thread.
 *  Cost:          one lock.
 */
AEGIS_API bool aegis_locked_arena_resize_in_place(const aegis_locked_arena *arena, void *memory,
                                                  size_t old_bytes, size_t new_bytes);

/** Resizes an allocation, as aegis_arena_realloc_aligned does.
 *  @param memory  as for aegis_arena_realloc_aligned; no other thread uses it.
 *  @param error   overwritten on failure; aegis_error_explain writes it as a sentence. NULL if
 *                 the reason is not wanted.
 *  @return        the bytes, or NULL.
 *  On failure:    `memory` is untouched and still good.
 *  Ownership:     as for aegis_arena_realloc_aligned.
 *  Threads:       any thread.
 *  Cost:          one lock, and aegis_arena_realloc_aligned.
 */
AEGIS_API void *aegis_locked_arena_realloc_aligned(const aegis_locked_arena *arena, void *memory,
                                                   size_t old_bytes, size_t new_bytes,
                                                   size_t align_bytes, aegis_error *error);

/** Frees an allocation early. Its bytes are reused at once if it is the latest allocation, else
 *  at reset.
 *  @param memory  as for aegis_arena_free_last.
 *  Ownership:     `memory` is dead.
 *  Threads:       any thread.
 *  Cost:          one lock.
 */
AEGIS_API void aegis_locked_arena_free_last(const aegis_locked_arena *arena, void *memory,
                                            size_t size_bytes);

/** Copies bytes into the arena.
 *  @param bytes  may be NULL when size_bytes is 0.
 *  @return, On failure, Ownership, Threads: as for aegis_locked_arena_alloc.
 *  Cost:         one lock, which is not held during the copy; O(size_bytes).
 */
AEGIS_API void *aegis_locked_arena_memdup(const aegis_locked_arena *arena, const void *bytes,
                                          size_t size_bytes, aegis_error *error);

/** Copies a string, with the zero byte at its end, into the arena.
 *  @param text  a string that ends with a zero byte.
 *  @return, On failure, Ownership, Threads, Cost: as for aegis_locked_arena_memdup.
 */
AEGIS_API char *aegis_locked_arena_strdup(const aegis_locked_arena *arena, const char *text,
                                          aegis_error *error);

/** Registers a deferred function. It runs when the arena is reset, cleared or finished, on the
 *  thread that does so; the newest function runs first.
 *  @param context  passed to `function`.
 *  @param error    overwritten on failure; aegis_error_explain writes it as a sentence. NULL if
 *                  the reason is not wanted.
 *  @return         as aegis_arena_defer.
 *  On failure:     nothing is registered.
 *  Threads:        any thread.
 *  Cost:           one lock, and one small allocation in the arena.
 */
AEGIS_API aegis_status aegis_locked_arena_defer(const aegis_locked_arena *arena,
                                                aegis_arena_defer_fn function, void *context,
                                                aegis_error *error);

/** Frees everything, as aegis_arena_reset does.
 *  Ownership:  every pointer into the arena is dead.
 *  Threads:    one, while no other uses the arena.
 *  Cost:       as aegis_arena_reset.
 */
AEGIS_API void aegis_locked_arena_reset(aegis_locked_arena *arena);

/** Releases idle blocks, as aegis_arena_trim does.
 *  @param keep_bytes  bytes, block headers included.
 *  Threads:           one, while no other uses the arena.
 *  Cost:              O(blocks).
 */
AEGIS_API void aegis_locked_arena_trim(aegis_locked_arena *arena, size_t keep_bytes);

/** Charges all blocks of an arena to another budget instead of the present one. Later
 *  growth is charged there too. The budgets above both do not change, not even for a moment.
 *  @param budget  the new budget; NULL for none. The arena holds a reference to it, and gives up
 *                 the one to the old budget.
 *  @param error   overwritten on failure: it names the budget that refused. NULL if the reason
 *                 is not wanted.
 *  @return        AEGIS_OK; AEGIS_E_LIMIT_EXCEEDED as of aegis_budget_move; AEGIS_E_FORKED if the
 *                 arena is lost in this process.
 *  On failure:    nothing changed.
 *  Threads:       one, while no other uses the arena.
 *  Cost:          as aegis_budget_move.
 */
AEGIS_API aegis_status aegis_locked_arena_move_budget(aegis_locked_arena *arena,
                                                      aegis_budget *budget, aegis_error *error);

/** Resets the arena and releases every block.
 *  Ownership:  every pointer into the arena is dead; the arena can be used again.
 *  Threads:    one, while no other uses the arena.
 *  Cost:       O(blocks), and the deferred functions.
 */
AEGIS_API void aegis_locked_arena_clear(aegis_locked_arena *arena);

/** aegis_locked_arena_get_stats for statistics of `stats_bytes` bytes: see "Structs that grow"
 *  in base.h. */
AEGIS_API void aegis_locked_arena_get_stats_sized(const aegis_locked_arena *arena,
                                                  aegis_arena_stats *stats, size_t stats_bytes);

/** Reports the arena's statistics, all of the same moment.
 *  @param stats  overwritten.
 *  Threads:      any thread.
 *  Cost:         one lock; O(1).
 */
AEGIS_STATIC_INLINE void aegis_locked_arena_get_stats(const aegis_locked_arena *arena,
                                                      aegis_arena_stats *stats) {
    aegis_locked_arena_get_stats_sized(arena, stats, sizeof *stats);
}

#ifdef __cplusplus
}
#endif

#endif
