/* SPDX-License-Identifier: Apache-2.0 */
/** @file lock_free_arena.h
 *  The bump arena that any number of threads allocate from at once, without a lock.
 *
 *  An allocation adds its size to the offset of the current block. A thread that finds no room
 *  appends a block to the chain and moves `current` on, each by compare-and-swap. Of several
 *  threads that do so at once all append; the chain keeps every block, and those not needed now are
 *  used next. No block is given back before the arena is reset, trimmed, cleared or finished by a
 *  thread that has it alone, so no pointer in the chain ever comes back with another meaning.
 *
 *  What may block:
 *  - With room in the block, and an alignment of at most 16, an allocation is one atomic addition:
 *    wait-free where the processor has one (x86-64, AArch64 with LSE), else lock-free.
 *  - A larger alignment, a request above a quarter of the largest growth step, resizing, and
 *    registering a function use compare-and-swap: lock-free.
 *  - So is the way to the next block, as far as it is ours: whatever other threads do or wherever
 *    they are stopped, some thread gets on. The source that is asked for a block may lock or wait,
 *    and so may what a budget calls on pressure; meanwhile the others are not held up.
 *    Since nobody waits, a request may be refused while another thread has the last block that the
 *    source or the budget would give in hand, but not yet on the chain.
 *  - Reset, trim, clear and fini have the arena alone: no other thread is in a call, and what the
 *    others did happens before, by a join or a lock of the caller's. Deferred functions run inside
 *    of reset, clear and fini.
 *
 *  A thread that allocates much makes itself a handle (arena_local.h), which carves shards out of
 *  the arena and bumps in them without atomic operations.
 *
 *  Bounds: the end that a block is left with is smaller than the request that it had no room for,
 *  and smaller than a quarter of the block acquired for that request. Blocks that are too small for
 *  a request are passed over only if they have twice its size or less together. An alignment of 16
 *  may cost 8 bytes; a larger one, in a shared block, only the padding. Each of several threads
 *  that find a block full at the same time may acquire one. Every block has a head of 64 bytes.
 *
 *  After a fork the arena works in the child process, wherever other threads were stopped: what
 *  they were allocating is used up until the reset. A block that another thread was acquiring is
 *  lost to the child. If another thread was resetting or finishing the arena, the child may not
 *  use it.
 *
 *  The struct is a handle: all shared state is out of line, on the C heap. It may be moved with
 *  memcpy while no thread is inside a call. An all-zero struct is not ready for use, but
 *  aegis_lock_free_arena_fini accepts it.
 */
#ifndef AEGIS_MEMORY_LOCK_FREE_ARENA_H
#define AEGIS_MEMORY_LOCK_FREE_ARENA_H

#include "arena.h"
#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

/** How a lock-free arena is to be made. All-zero means: all defaults. */
typedef struct aegis_lock_free_arena_options {
    /** Usable bytes of the first block, acquired at once. 0: the first use acquires a block. */
    size_t capacity_bytes;
    /** The largest growth step: see aegis_arena_options. 0: AEGIS_ARENA_MAX_BLOCK. At least
     *  AEGIS_ARENA_MIN_BLOCK. */
    size_t max_block_bytes;
    /** Where blocks come from, copied. Any thread that allocates may call it, several at once.
     *  NULL: the C heap. */
    const aegis_source *source;
    /** Charged for every block, head included. NULL: no limit. The arena holds a reference. */
    aegis_budget *budget;
    /** For reports; copied and cut to AEGIS_ARENA_NAME_BYTES. NULL: none. */
    const char *name;
} aegis_lock_free_arena_options;

typedef struct aegis_lock_free_arena_shared aegis_lock_free_arena_shared;

/** A bump arena for any number of threads. */
typedef struct aegis_lock_free_arena {
    aegis_lock_free_arena_shared *shared;
} aegis_lock_free_arena;

/** Makes an arena.
 *  @param arena    memory for the struct; its content is overwritten.
 *  @param options  NULL means all defaults.
 *  @param error    overwritten on failure; NULL if the reason is not wanted.
 *  @return         AEGIS_OK, AEGIS_E_INVALID_LAYOUT (a capacity above PTRDIFF_MAX),
 *                  AEGIS_E_OUT_OF_MEMORY, AEGIS_E_LIMIT_EXCEEDED, AEGIS_E_SOURCE.
 *  On failure:     `arena` is all-zero; the source is not closed.
 *  Ownership:      the caller's; finish it with aegis_lock_free_arena_fini.
 *  Threads:        one, before any other uses the arena.
 *  Cost:           O(1), one allocation on the C heap; one acquire if a capacity is asked for.
 */
AEGIS_API aegis_status aegis_lock_free_arena_init(aegis_lock_free_arena *arena,
                                                  const aegis_lock_free_arena_options *options,
                                                  aegis_error *error);

/** Runs the deferred functions, newest first, and gives every block back.
 *  @param arena  NULL and all-zero are accepted. All-zero afterwards.
 *  Ownership:    every pointer into the arena is dead, and so are its local handles: finish them
 *                first.
 *  Threads:      one, after all others are done with the arena.
 *  Cost:         O(blocks + deferred functions).
 */
AEGIS_API void aegis_lock_free_arena_fini(aegis_lock_free_arena *arena);

/** Allocates uninitialised bytes, aligned to AEGIS_ARENA_ALIGN.
 *  @param size_bytes  0 gives a pointer that must not be dereferenced.
 *  @param error       overwritten on failure; NULL if the reason is not wanted.
 *  @return            the bytes, or NULL: AEGIS_E_OUT_OF_MEMORY, AEGIS_E_LIMIT_EXCEEDED,
 *                     AEGIS_E_INVALID_LAYOUT.
 *  On failure:        nothing changed.
 *  Ownership:         the arena's; good until reset, clear or fini.
 *  Threads:           any thread. What is written there is for the caller to publish.
 *  Cost:              O(1): see the top; at most two acquires when the block is full.
 */
AEGIS_API void *aegis_lock_free_arena_alloc(const aegis_lock_free_arena *arena, size_t size_bytes,
                                            aegis_error *error);

/** Allocates zeroed bytes, aligned to AEGIS_ARENA_ALIGN. Bytes fresh from a zeroing source are not
 *  cleared again.
 *  Parameters, @return, On failure, Ownership, Threads: as for aegis_lock_free_arena_alloc.
 *  Cost:  O(1) on fresh memory, else O(size_bytes).
 */
AEGIS_API void *aegis_lock_free_arena_alloc_zeroed(const aegis_lock_free_arena *arena,
                                                   size_t size_bytes, aegis_error *error);

/** Allocates uninitialised bytes at an alignment of the caller's choice.
 *  @param align_bytes  a power of two; below AEGIS_ARENA_ALIGN it is raised to that.
 *  @return, On failure, Ownership, Threads, Cost: as for aegis_lock_free_arena_alloc.
 */
AEGIS_API void *aegis_lock_free_arena_alloc_aligned(const aegis_lock_free_arena *arena,
                                                    size_t size_bytes, size_t align_bytes,
                                                    aegis_error *error);

/** Allocates zeroed bytes at an alignment of the caller's choice.
 *  @param align_bytes  as for aegis_lock_free_arena_alloc_aligned.
 *  @return, On failure, Ownership, Threads, Cost: as for aegis_lock_free_arena_alloc_zeroed.
 */
AEGIS_API void *aegis_lock_free_arena_alloc_aligned_zeroed(const aegis_lock_free_arena *arena,
                                                           size_t size_bytes, size_t align_bytes,
                                                           aegis_error *error);

/** Resizes an allocation where it is: when no thread has allocated from the block since and it
 *  fits, or when it shrinks. The source is not called.
 *  @param memory     what an allocation of this arena returned, or NULL, which is never resized.
 *  @param old_bytes  the size `memory` was allocated with.
 *  @param new_bytes  the size wanted; bytes beyond old_bytes are uninitialised.
 *  @return           whether it was resized.
 *  On failure:       `memory` is untouched and still good.
 *  Threads:          any thread; `memory` is the caller's alone.
 *  Cost:             O(1).
 */
AEGIS_API bool aegis_lock_free_arena_resize_in_place(const aegis_lock_free_arena *arena,
                                                     void *memory, size_t old_bytes,
                                                     size_t new_bytes);

/** Resizes an allocation: in place when no thread has allocated from the block since, or when it
 *  shrinks; otherwise its first bytes are copied to a new place.
 *  @param memory       what an allocation of this arena returned, or NULL to allocate.
 *  @param old_bytes    the size `memory` was allocated with.
 *  @param new_bytes    the size wanted; bytes beyond old_bytes are uninitialised.
 *  @param align_bytes  a power of two; the alignment `memory` was allocated with.
 *  @return             as for aegis_lock_free_arena_alloc.
 *  On failure:         `memory` is untouched and still good.
 *  Ownership:          as for aegis_lock_free_arena_alloc; `memory` is dead unless returned.
 *  Threads:            any thread; `memory` is the caller's alone.
 *  Cost:               O(1) in place, else O(old_bytes).
 */
AEGIS_API void *aegis_lock_free_arena_realloc_aligned(const aegis_lock_free_arena *arena,
                                                      void *memory, size_t old_bytes,
                                                      size_t new_bytes, size_t align_bytes,
                                                      aegis_error *error);

/** Gives an allocation back early: its bytes are reused at once if no thread has allocated from the
 *  block since, else at reset.
 *  @param memory      what an allocation of this arena returned, or NULL to do nothing.
 *  @param size_bytes  the size it was allocated with.
 *  Ownership:         `memory` is dead.
 *  Threads:           any thread; `memory` is the caller's alone.
 *  Cost:              O(1).
 */
AEGIS_API void aegis_lock_free_arena_free_last(const aegis_lock_free_arena *arena, void *memory,
                                               size_t size_bytes);

/** Copies bytes into the arena.
 *  @param bytes  may be NULL when size_bytes is 0.
 *  @return, On failure, Ownership, Threads: as for aegis_lock_free_arena_alloc.
 *  Cost:         O(size_bytes).
 */
AEGIS_API void *aegis_lock_free_arena_memdup(const aegis_lock_free_arena *arena, const void *bytes,
                                             size_t size_bytes, aegis_error *error);

/** Copies a string, with its terminator, into the arena.
 *  @param text  a terminated string.
 *  @return, On failure, Ownership, Threads: as for aegis_lock_free_arena_alloc.
 *  Cost:        O(length).
 */
AEGIS_API char *aegis_lock_free_arena_strdup(const aegis_lock_free_arena *arena, const char *text,
                                             aegis_error *error);

/** Registers a function to run when the arena is reset, cleared or finished, on the thread that
 *  does so. Functions run newest first, each exactly once, and may allocate from the arena. Of
 *  those that threads register at once any may be the newest; one thread's keep their order.
 *  @param context  handed to `function`.
 *  @param error    overwritten on failure; NULL if the reason is not wanted.
 *  @return         AEGIS_OK, AEGIS_E_OUT_OF_MEMORY, AEGIS_E_LIMIT_EXCEEDED, or AEGIS_E_INVALID when
 *                  `function` is NULL.
 *  On failure:     nothing is registered.
 *  Threads:        any thread. What it wrote before the call, `function` sees.
 *  Cost:           one small allocation in the arena, and one compare-and-swap: lock-free.
 */
AEGIS_API aegis_status aegis_lock_free_arena_defer(const aegis_lock_free_arena *arena,
                                                   aegis_arena_defer_fn function, void *context,
                                                   aegis_error *error);

/** Frees everything: runs the deferred functions, newest first, and keeps every block for reuse.
 *  The same requests then acquire nothing, if they come in the same order; those that get blocks of
 *  their own, in any order.
 *  Ownership:  every pointer into the arena is dead. So are its local handles, which are only good
 *              to be finished or made anew: every build refuses them a shard, and a debug build any
 *              allocation, and reports it.
 *  Threads:    one, while no other uses the arena or a handle of it.
 *  Cost:       O(blocks), for any number of allocations, and the deferred functions; of itself
 *              never a system call.
 */
AEGIS_API void aegis_lock_free_arena_reset(aegis_lock_free_arena *arena);

/** Gives blocks that nothing is allocated in back to the source until at most `keep_bytes` are
 *  reserved or none is left.
 *  @param keep_bytes  bytes, block heads included.
 *  Threads:           one, while no other uses the arena or a handle of it.
 *  Cost:              O(blocks).
 */
AEGIS_API void aegis_lock_free_arena_trim(aegis_lock_free_arena *arena, size_t keep_bytes);

/** Resets and gives every block back to the source.
 *  Ownership:  as for aegis_lock_free_arena_reset; the arena can be used again.
 *  Threads:    one, while no other uses the arena or a handle of it.
 *  Cost:       O(blocks), and the deferred functions.
 */
AEGIS_API void aegis_lock_free_arena_clear(aegis_lock_free_arena *arena);

/** Reports the arena's figures. A shard counts as used, whole, from when it is carved. The peak is
 *  the largest of what resets found and what is used now.
 *  @param stats  overwritten.
 *  Threads:      any thread; exact when no other allocates, else each block is seen at some moment
 *                during the call.
 *  Cost:         O(blocks).
 */
AEGIS_API void aegis_lock_free_arena_get_stats(const aegis_lock_free_arena *arena,
                                               aegis_arena_stats *stats);

#ifdef __cplusplus
}
#endif

#endif
