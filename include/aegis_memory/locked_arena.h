/* SPDX-License-Identifier: Apache-2.0 */
/** @file locked_arena.h
 *  The bump arena behind the platform's mutex: every function of arena.h that allocates, from any
 *  thread. It packs as densely as an aegis_arena, resizes in place, and runs deferred functions.
 *
 *  Every allocation takes the lock for as long as it takes to find room. While a block is acquired
 *  the lock is free: other threads go on, and the source and functions told of pressure may use the
 *  arena. So the source may be called by several threads at once, and two that need room may bring
 *  a block each; the one that is not needed stays for later. At a limit, a request may be refused
 *  while another thread is just bringing a block. A lock-free arena (lock_free_arena.h) is faster
 *  under contention.
 *
 *  Reset, trim, clear and fini have the arena alone, as there: no other thread is in a call, and
 *  what the others did happens before. They do not hold the lock, so a deferred function may
 *  allocate, and so may the source as it takes a block back; but an arena that is being finished
 *  has no blocks left by then, and gets none.
 *
 *  After a fork the arena works in the child process if no other thread was inside of a call on it
 *  at that moment. Else it is lost there: what returns a status or an error record fails with
 *  AEGIS_E_FORKED, figures are 0, nothing is freed, deferred functions do not run, and
 *  aegis_locked_arena_fini gives up the handle alone. What was allocated before can still be used.
 *
 *  The struct is a handle: the arena and the lock are out of line, on the C heap. An all-zero
 *  struct is not ready for use, but aegis_locked_arena_fini accepts it.
 */
#ifndef AEGIS_MEMORY_LOCKED_ARENA_H
#define AEGIS_MEMORY_LOCKED_ARENA_H

#include "arena.h"
#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct aegis_locked_arena_shared aegis_locked_arena_shared;

/** A bump arena for any number of threads, one at a time. */
typedef struct aegis_locked_arena {
    aegis_locked_arena_shared *shared;
} aegis_locked_arena;

/** Makes an arena.
 *  @param arena    memory for the struct; its content is overwritten.
 *  @param options  as for aegis_arena_init. The source may be called by any thread, also by several
 *                  at once.
 *  @param error    overwritten on failure; NULL if the reason is not wanted.
 *  @return         as aegis_arena_init.
 *  On failure:     `arena` is all-zero; the source is not closed.
 *  Ownership:      the caller's; finish it with aegis_locked_arena_fini.
 *  Threads:        one, before any other uses the arena.
 *  Cost:           O(1), one allocation on the C heap; one acquire if a capacity is asked for.
 */
AEGIS_API aegis_status aegis_locked_arena_init(aegis_locked_arena *arena,
                                               const aegis_arena_options *options,
                                               aegis_error *error);

/** Runs the deferred functions, newest first, and gives every block back.
 *  @param arena  NULL and all-zero are accepted. All-zero afterwards.
 *  Ownership:    every pointer into the arena is dead.
 *  Threads:      one, after all others are done with the arena.
 *  Cost:         O(blocks + deferred functions).
 */
AEGIS_API void aegis_locked_arena_fini(aegis_locked_arena *arena);

/** Allocates uninitialised bytes, aligned to AEGIS_ARENA_ALIGN.
 *  @param size_bytes  0 gives a pointer that must not be dereferenced.
 *  @param error       overwritten on failure; NULL if the reason is not wanted.
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

/** Allocates uninitialised bytes at an alignment of the caller's choice.
 *  @param align_bytes  a power of two; below AEGIS_ARENA_ALIGN it is raised to that.
 *  @return, On failure, Ownership, Threads, Cost: as for aegis_locked_arena_alloc.
 */
AEGIS_API void *aegis_locked_arena_alloc_aligned(const aegis_locked_arena *arena, size_t size_bytes,
                                                 size_t align_bytes, aegis_error *error);

/** Allocates zeroed bytes at an alignment of the caller's choice.
 *  @param align_bytes  as for aegis_locked_arena_alloc_aligned.
 *  @return, On failure, Ownership, Threads, Cost: as for aegis_locked_arena_alloc_zeroed.
 */
AEGIS_API void *aegis_locked_arena_alloc_aligned_zeroed(const aegis_locked_arena *arena,
                                                        size_t size_bytes, size_t align_bytes,
                                                        aegis_error *error);

/** Resizes an allocation where it is, as aegis_arena_resize_in_place does.
 *  @param memory  as there; it is the caller's alone.
 *  @return, On failure: as there.
 *  Threads:       any thread.
 *  Cost:          one lock.
 */
AEGIS_API bool aegis_locked_arena_resize_in_place(const aegis_locked_arena *arena, void *memory,
                                                  size_t old_bytes, size_t new_bytes);

/** Resizes an allocation, as aegis_arena_realloc_aligned does.
 *  @param memory  as there; it is the caller's alone.
 *  @return, On failure, Ownership, Threads: as for aegis_locked_arena_alloc.
 *  Cost:          one lock, and aegis_arena_realloc_aligned.
 */
AEGIS_API void *aegis_locked_arena_realloc_aligned(const aegis_locked_arena *arena, void *memory,
                                                   size_t old_bytes, size_t new_bytes,
                                                   size_t align_bytes, aegis_error *error);

/** Gives an allocation back early: its bytes are reused if it is the latest one, else at reset.
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
 *  Cost:         one lock, not held for the copy; O(size_bytes).
 */
AEGIS_API void *aegis_locked_arena_memdup(const aegis_locked_arena *arena, const void *bytes,
                                          size_t size_bytes, aegis_error *error);

/** Copies a string, with its terminator, into the arena.
 *  @param text  a terminated string.
 *  @return, On failure, Ownership, Threads, Cost: as for aegis_locked_arena_memdup.
 */
AEGIS_API char *aegis_locked_arena_strdup(const aegis_locked_arena *arena, const char *text,
                                          aegis_error *error);

/** Registers a function to run when the arena is reset, cleared or finished, newest first, on the
 *  thread that does so.
 *  @param context  handed to `function`.
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

/** Gives idle blocks back, as aegis_arena_trim does.
 *  @param keep_bytes  bytes, block headers included.
 *  Threads:           one, while no other uses the arena.
 *  Cost:              O(blocks).
 */
AEGIS_API void aegis_locked_arena_trim(aegis_locked_arena *arena, size_t keep_bytes);

/** Resets and gives every block back to the source.
 *  Ownership:  every pointer into the arena is dead; the arena can be used again.
 *  Threads:    one, while no other uses the arena.
 *  Cost:       O(blocks).
 */
AEGIS_API void aegis_locked_arena_clear(aegis_locked_arena *arena);

/** Reports the arena's figures, all of one moment.
 *  @param stats  overwritten.
 *  Threads:      any thread.
 *  Cost:         one lock; O(1).
 */
AEGIS_API void aegis_locked_arena_get_stats(const aegis_locked_arena *arena,
                                            aegis_arena_stats *stats);

#ifdef __cplusplus
}
#endif

#endif
