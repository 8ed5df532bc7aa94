/* SPDX-License-Identifier: Apache-2.0 */
/** @file lock_free_arena.h
 *  The lock-free bump arena: any number of threads allocate from it at once, without a lock. The
 *  words block, block header, growth step and idle are as in arena.h.
 *
 *  An allocation adds its size to the offset of the current block. A thread that finds no room
 *  appends a block to the chain and moves `current` on, each with one compare-and-swap. If
 *  several threads do so at once, the chain gets the blocks of all of them, and the blocks that
 *  are not needed now are used next. Blocks are released only by reset, trim, clear and fini,
 *  while the calling thread has the arena alone. So no pointer in the chain ever comes back with
 *  another meaning.
 *
 *  What may block:
 *  - If the block has room and the alignment is at most 16, an allocation is one atomic
 *    addition. That is wait-free where the processor has such an instruction (x86-64, AArch64
 *    with LSE), else lock-free.
 *  - A larger alignment, a request above a quarter of the largest growth step, resizing, and
 *    registering a deferred function use compare-and-swap: lock-free.
 *  - The way to the next block is lock-free in the library's own code. Whatever other threads
 *    do, and wherever they are stopped, some thread makes progress. But the source that is asked
 *    for a block may lock or wait, and so may a pressure function of the budget. That does not
 *    hold up other threads.
 *  - No thread waits for another one. So a request may be refused while another thread has
 *    acquired the last block that the source or the budget allows and has not appended it yet.
 *  - Reset, trim, clear and fini need the arena alone: no other thread is inside a call, and
 *    what other threads did happens before, through a join or a lock of the caller's. Deferred
 *    functions run inside reset, clear and fini.
 *
 *  A thread that allocates much makes a local handle for itself (arena_local.h). The handle
 *  carves shards out of the arena and allocates in them without atomic operations.
 *
 *  Bounds:
 *  - The unused end of a block is smaller than the request that found no room in it. It is also
 *    smaller than a quarter of the block that was acquired for that request, unless the source
 *    or a budget had no such block.
 *  - A request passes over idle blocks that are too small for it only if these have at most
 *    twice its size together.
 *  - An alignment of 16 may cost 8 bytes. A larger one costs only the padding, in a block that
 *    several requests share.
 *  - If several threads find a block full at the same time, each may acquire a new one.
 *  - A block header has 64 bytes.
 *
 *  After a fork the arena works in the child process, wherever other threads were stopped. What
 *  they were allocating counts as used until the reset. A block that another thread was
 *  acquiring is lost to the child. If another thread was resetting or finishing the arena, the
 *  child must not use it.
 *
 *  The struct is a handle: all shared state is on the C heap. It may be moved with memcpy while
 *  no thread is inside a call. An all-zero struct is not ready for use, but
 *  aegis_lock_free_arena_fini accepts it.
 */
#ifndef AEGIS_MEMORY_LOCK_FREE_ARENA_H
#define AEGIS_MEMORY_LOCK_FREE_ARENA_H

#if defined(AEGIS_OMIT_THREADS) || defined(AEGIS_FREESTANDING)
#error "aegis_memory/lock_free_arena.h needs threads: AEGIS_OMIT_THREADS leaves it out"
#endif

#include "arena.h"
#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

/** How a lock-free arena is made. All-zero means: all defaults. */
typedef struct aegis_lock_free_arena_options {
    /** Usable bytes of the first block, which is acquired at once. 0: the first use acquires
     *  it. */
    size_t capacity_bytes;
    /** The largest growth step: see aegis_arena_options. 0: AEGIS_ARENA_MAX_BLOCK. A value below
     *  AEGIS_ARENA_MIN_BLOCK is raised to that. */
    size_t max_block_bytes;
    /** Where blocks come from; the struct is copied. Any thread that allocates may call it,
     *  several threads at once. NULL: the C heap. */
    const aegis_source *source;
    /** Charged for every block, with its block header. NULL: no limit. Near a limit the arena
     *  does what aegis_arena_options.budget says. The arena holds a reference to the budget. */
    aegis_budget *budget;
    /** For reports; copied, and cut to AEGIS_ARENA_NAME_BYTES. NULL: no name. */
    const char *name;
    /** The longest wait of an acquire for room in the budget, as in aegis_arena_options. A thread
     *  that waits holds up no other thread of the arena. It does not look meanwhile whether
     *  other threads have brought a block or freed memory: it does so when the wait ends. Local
     *  handles wait in the same way. */
    uint64_t wait_ns;
} aegis_lock_free_arena_options;

typedef struct aegis_lock_free_arena_shared aegis_lock_free_arena_shared;

/** A bump arena for any number of threads. */
typedef struct aegis_lock_free_arena {
    aegis_lock_free_arena_shared *shared;
} aegis_lock_free_arena;

/** aegis_lock_free_arena_init for options of `options_bytes` bytes: see "Structs that grow" in
 *  base.h. */
AEGIS_API aegis_status aegis_lock_free_arena_init_sized(
    aegis_lock_free_arena *arena, const aegis_lock_free_arena_options *options,
    size_t options_bytes, aegis_error *error);

/** Makes an arena.
 *  @param arena    memory for the struct; its content is overwritten.
 *  @param options  NULL means all defaults.
 *  @param error    overwritten on failure; aegis_error_explain writes it as a sentence. NULL if
 *                  the reason is not wanted.
 *  @return         AEGIS_OK, AEGIS_E_INVALID_LAYOUT (a capacity above PTRDIFF_MAX),
 *                  AEGIS_E_OUT_OF_MEMORY, AEGIS_E_LIMIT_EXCEEDED, AEGIS_E_SOURCE.
 *  On failure:     `arena` is all-zero; the source is not closed.
 *  Ownership:      the caller's; finish it with aegis_lock_free_arena_fini.
 *  Threads:        one, before any other uses the arena.
 *  Cost:           O(1), one allocation on the C heap; one acquire if a capacity is asked for.
 */
AEGIS_STATIC_INLINE aegis_status
aegis_lock_free_arena_init(aegis_lock_free_arena *arena,
                           const aegis_lock_free_arena_options *options, aegis_error *error) {
    return aegis_lock_free_arena_init_sized(arena, options, sizeof *options, error);
}

/** Runs the deferred functions, newest first, and releases every block.
 *  @param arena  NULL and all-zero are accepted. All-zero afterwards.
 *  Ownership:    every pointer into the arena is dead, and so are its local handles: finish them
 *                first.
 *  Threads:      one, after all others are done with the arena.
 *  Cost:         O(blocks + deferred functions).
 */
AEGIS_API void aegis_lock_free_arena_fini(aegis_lock_free_arena *arena);

/** Allocates uninitialised bytes, aligned to AEGIS_ARENA_ALIGN.
 *  @param size_bytes  0 gives a pointer that must not be dereferenced.
 *  @param error       overwritten on failure; aegis_error_explain writes it as a sentence. NULL
 *                     if the reason is not wanted.
 *  @return            the bytes, or NULL: AEGIS_E_OUT_OF_MEMORY, AEGIS_E_LIMIT_EXCEEDED,
 *                     AEGIS_E_INVALID_LAYOUT.
 *  On failure:        nothing changed.
 *  Ownership:         the arena's; good until reset, clear or fini.
 *  Threads:           any thread. To show the content to other threads, the caller synchronizes
 *                     with them.
 *  Cost:              O(1): see "What may block" above. At most three acquires if the block has
 *                     no room.
 */
AEGIS_API void *aegis_lock_free_arena_alloc(const aegis_lock_free_arena *arena, size_t size_bytes,
                                            aegis_error *error);

/** Allocates zeroed bytes, aligned to AEGIS_ARENA_ALIGN. Bytes that the source has zeroed and
 *  that were never handed out are not cleared again.
 *  Parameters, @return, On failure, Ownership, Threads: as for aegis_lock_free_arena_alloc.
 *  Cost:  O(1) on such fresh memory, else O(size_bytes).
 */
AEGIS_API void *aegis_lock_free_arena_alloc_zeroed(const aegis_lock_free_arena *arena,
                                                   size_t size_bytes, aegis_error *error);

/** Allocates uninitialised bytes at an alignment that the caller chooses.
 *  @param align_bytes  a power of two. A value below AEGIS_ARENA_ALIGN is raised to that.
 *  @return, On failure, Ownership, Threads, Cost: as for aegis_lock_free_arena_alloc.
 */
AEGIS_API void *aegis_lock_free_arena_alloc_aligned(const aegis_lock_free_arena *arena,
                                                    size_t size_bytes, size_t align_bytes,
                                                    aegis_error *error);

/** Allocates zeroed bytes at an alignment that the caller chooses.
 *  @param align_bytes  as for aegis_lock_free_arena_alloc_aligned.
 *  @return, On failure, Ownership, Threads, Cost: as for aegis_lock_free_arena_alloc_zeroed.
 */
AEGIS_API void *aegis_lock_free_arena_alloc_aligned_zeroed(const aegis_lock_free_arena *arena,
                                                           size_t size_bytes, size_t align_bytes,
                                                           aegis_error *error);

/** Resizes an allocation where it is. This is possible if it shrinks, or if no thread has
 *  allocated from the block since and the new size fits. The source is not called.
 *  @param memory     what an allocation of this arena returned, or NULL, which is never resized.
 *  @param old_bytes  the size `memory` was allocated with.
 *  @param new_bytes  the size wanted; bytes beyond old_bytes are uninitialised.
 *  @return           whether it was resized.
 *  On failure:       `memory` is untouched and still good.
 *  Threads:          any thread; no other thread uses `memory`.
 *  Cost:             O(1).
 */
AEGIS_API bool aegis_lock_free_arena_resize_in_place(const aegis_lock_free_arena *arena,
                                                     void *memory, size_t old_bytes,
                                                     size_t new_bytes);

/** Resizes an allocation: where it is if aegis_lock_free_arena_resize_in_place can do that, else
 *  by copying its first bytes to a new place.
 *  @param memory       what an allocation of this arena returned, or NULL to allocate.
 *  @param old_bytes    the size `memory` was allocated with.
 *  @param new_bytes    the size wanted; bytes beyond old_bytes are uninitialised.
 *  @param align_bytes  a power of two; the alignment `memory` was allocated with.
 *  @return             as for aegis_lock_free_arena_alloc.
 *  On failure:         `memory` is untouched and still good.
 *  Ownership:          as for aegis_lock_free_arena_alloc; `memory` is dead unless it is what is
 *                      returned.
 *  Threads:            any thread; no other thread uses `memory`.
 *  Cost:               O(1) in place, else O(old_bytes).
 */
AEGIS_API void *aegis_lock_free_arena_realloc_aligned(const aegis_lock_free_arena *arena,
                                                      void *memory, size_t old_bytes,
                                                      size_t new_bytes, size_t align_bytes,
                                                      aegis_error *error);

/** Frees an allocation early. Its bytes are reused at once if no thread has allocated from the
 *  block since, else at reset.
 *  @param memory      what an allocation of this arena returned, or NULL to do nothing.
 *  @param size_bytes  the size it was allocated with.
 *  Ownership:         `memory` is dead.
 *  Threads:           any thread; no other thread uses `memory`.
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

/** Copies a string, with the zero byte at its end, into the arena.
 *  @param text  a string that ends with a zero byte.
 *  @return, On failure, Ownership, Threads: as for aegis_lock_free_arena_alloc.
 *  Cost:        O(length).
 */
AEGIS_API char *aegis_lock_free_arena_strdup(const aegis_lock_free_arena *arena, const char *text,
                                             aegis_error *error);

/** Registers a deferred function. It runs when the arena is reset, cleared or finished, on the
 *  thread that does so. Deferred functions run newest first, each exactly once, and may allocate
 *  from the arena. If several threads register functions at the same time, any of these may be
 *  the newest. The functions of one thread keep their order.
 *  @param context  passed to `function`.
 *  @param error    overwritten on failure; aegis_error_explain writes it as a sentence. NULL if
 *                  the reason is not wanted.
 *  @return         AEGIS_OK, AEGIS_E_OUT_OF_MEMORY, AEGIS_E_LIMIT_EXCEEDED, or AEGIS_E_INVALID
 *                  when `function` is NULL.
 *  On failure:     nothing is registered.
 *  Threads:        any thread. `function` sees what that thread wrote before the call.
 *  Cost:           one small allocation in the arena, and one compare-and-swap: lock-free.
 */
AEGIS_API aegis_status aegis_lock_free_arena_defer(const aegis_lock_free_arena *arena,
                                                   aegis_arena_defer_fn function, void *context,
                                                   aegis_error *error);

/** Frees everything: runs the deferred functions, newest first, and keeps every block for reuse.
 *  If the same requests come again in the same order, they acquire nothing. Requests that got
 *  blocks of their own may come in any order.
 *  Ownership:  every pointer into the arena is dead. The local handles are dead too: they may
 *              only be finished or made anew. Every build refuses them a new shard. A debug
 *              build refuses them every allocation, and reports it.
 *  Threads:    one, while no other uses the arena or a handle of it.
 *  Cost:       O(blocks), for any number of allocations, and the deferred functions; the reset
 *              itself makes no system call.
 */
AEGIS_API void aegis_lock_free_arena_reset(aegis_lock_free_arena *arena);

/** Releases idle blocks until at most `keep_bytes` are reserved or no block is idle.
 *  @param keep_bytes  bytes, block headers included.
 *  Threads:           one, while no other uses the arena or a handle of it.
 *  Cost:              O(blocks).
 */
AEGIS_API void aegis_lock_free_arena_trim(aegis_lock_free_arena *arena, size_t keep_bytes);

/** Charges all blocks of an arena to another budget instead of the present one. Later
 *  growth is charged there too. The budgets above both do not change, not even for a moment.
 *  @param budget  the new budget; NULL for none. The arena holds a reference to it, and gives up
 *                 the one to the old budget.
 *  @param error   overwritten on failure: it names the budget that refused. NULL if the reason
 *                 is not wanted.
 *  @return        AEGIS_OK; AEGIS_E_LIMIT_EXCEEDED as of aegis_budget_move.
 *  On failure:    nothing changed.
 *  Threads:       one, while no other uses the arena or a handle of it.
 *  Cost:          as aegis_budget_move.
 */
AEGIS_API aegis_status aegis_lock_free_arena_move_budget(aegis_lock_free_arena *arena,
                                                         aegis_budget *budget, aegis_error *error);

/** Resets the arena and releases every block.
 *  Ownership:  as for aegis_lock_free_arena_reset; the arena can be used again.
 *  Threads:    one, while no other uses the arena or a handle of it.
 *  Cost:       O(blocks), and the deferred functions.
 */
AEGIS_API void aegis_lock_free_arena_clear(aegis_lock_free_arena *arena);

/** aegis_lock_free_arena_get_stats for statistics of `stats_bytes` bytes: see "Structs that
 *  grow" in base.h. */
AEGIS_API void aegis_lock_free_arena_get_stats_sized(const aegis_lock_free_arena *arena,
                                                     aegis_arena_stats *stats, size_t stats_bytes);

/** Reports the arena's statistics. A whole shard counts as used as soon as it is carved. The
 *  peak is the largest use that a reset has found, or the present use if that is larger. A
 *  shard's guards count as used. In a build with AddressSanitizer or Valgrind support, the gap
 *  of 16 bytes behind each allocation counts too.
 *  @param stats  overwritten.
 *  Threads:      any thread. The numbers are exact when no other thread allocates. Otherwise
 *                each block is seen at some moment during the call.
 *  Cost:         O(blocks).
 */
AEGIS_STATIC_INLINE void aegis_lock_free_arena_get_stats(const aegis_lock_free_arena *arena,
                                                         aegis_arena_stats *stats) {
    aegis_lock_free_arena_get_stats_sized(arena, stats, sizeof *stats);
}

#ifdef __cplusplus
}
#endif

#endif
