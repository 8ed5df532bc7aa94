/* SPDX-License-Identifier: Apache-2.0 */
/** @file arena.h
 *  The bump arena: allocate by moving a pointer, free everything at once.
 *
 *  An arena is a chain of blocks. Allocation moves `ptr` up towards `limit`; when a block is full
 *  one cold call finds the next. aegis_arena_reset rewinds to the first block in constant time and
 *  keeps every block, so a loop that does the same work again asks the system for nothing.
 *
 *  Invariants: `ptr` and `limit` are multiples of AEGIS_ARENA_ALIGN and lie in one block. No block
 *  ends in the last AEGIS_ARENA_HEADROOM bytes of the address space or, where addresses have 64
 *  bits, of its lower half. Bytes of the current block at or above `dirty_end` are zero. The chain
 *  is: blocks in use in the order of their first use, up to `last`; then idle ones.
 *
 *  Bounds: abandoned block ends stay under a quarter of all block bytes in use, whatever the mix
 *  of sizes, unless scopes were merged into the arena. Idle blocks are tried first-fit before the
 * source is asked.
 *
 *  One thread owns an arena at a time. After a fork a child process may use its copy if the owner
 *  is the thread that forked, or was not inside of a call. An all-zero aegis_arena is not ready
 *  for use, but aegis_arena_fini accepts it.
 */
#ifndef AEGIS_MEMORY_ARENA_H
#define AEGIS_MEMORY_ARENA_H

#include "base.h"
#include "budget.h"
#include "source.h"

#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Every allocation starts at a multiple of this many bytes. */
#define AEGIS_ARENA_ALIGN 8
/** The first block of an arena without a capacity, and the smallest growth step, in bytes. */
#define AEGIS_ARENA_MIN_BLOCK 1024
/** The largest growth step unless the options say otherwise, in bytes (4 MiB). */
#define AEGIS_ARENA_MAX_BLOCK 4194304
/** Bytes at the top of the usable address space that no block reaches into. */
#define AEGIS_ARENA_HEADROOM 65536

/** Bytes of an arena's name, terminator included. */
#define AEGIS_ARENA_NAME_BYTES 24

/** aegis_arena_options.flags: clear memory when it is freed, in a way that no compiler drops. Reset
 *  and its kin then cost O(bytes in use). */
#define AEGIS_ARENA_WIPE 1u
/** aegis_arena_options.flags: fill uninitialised memory with 0xA5 when it is handed out and with
 *  0xDF when it is freed. Every allocation takes the slow path. On in debug builds: see base.h. */
#define AEGIS_ARENA_FILL 2u
/** aegis_arena_options.flags: put guard bytes behind each allocation and report those found changed
 *  at reset, rewind and fini. Every allocation takes the slow path. On in debug builds. */
#define AEGIS_ARENA_GUARD 4u
/** aegis_arena_options.flags: take a block of its own for each allocation, and give it back at
 *  reset, so that a checker of the heap sees each one. Every allocation takes the slow path. */
#define AEGIS_ARENA_OWN_BLOCKS 8u
/** aegis_arena_options.flags: leave out what a debug build turns on by itself. */
#define AEGIS_ARENA_NO_DEBUG 16u

typedef struct aegis_arena_block aegis_arena_block;
typedef struct aegis_arena_guard aegis_arena_guard;
typedef struct aegis_arena_deferred aegis_arena_deferred;

/** A function registered with aegis_arena_defer. */
typedef void (*aegis_arena_defer_fn)(void *context);

/** How an arena is to be made. All-zero means: all defaults. */
typedef struct aegis_arena_options {
    /** Usable bytes of the first block, acquired at once. 0: the first use acquires a block. */
    size_t capacity_bytes;
    /** The largest growth step: new blocks double up to it. 0: AEGIS_ARENA_MAX_BLOCK. A request
     *  that finds no room has a block of the step, or of a part of it, only if several such
     *  requests fit into it; one above 64 KiB also only if the block adds a tenth at most to what
     *  is reserved. Else the request gets a block of its own. So what a large request reserves is
     *  at most 1.1 times its size and AEGIS_ARENA_MIN_BLOCK, and its alignment where that is above
     *  16. A block that an allocation grows into has room for half as much again, or more. */
    size_t max_block_bytes;
    /** Where blocks come from, copied. NULL: the C heap, or nowhere if `memory` is set. */
    const aegis_source *source;
    /** The caller's memory, used before any block of the source. NULL: none. */
    void *memory;
    /** The size of `memory`. */
    size_t memory_bytes;
    /** Charged for every block of the source, head included. NULL: no limit. The arena holds a
     *  reference to it. */
    aegis_budget *budget;
    /** For reports; copied and cut to AEGIS_ARENA_NAME_BYTES. NULL: none. */
    const char *name;
    /** AEGIS_ARENA_* or 0. */
    uint32_t flags;
} aegis_arena_options;

/** How many spans of stale marks an arena keeps in its struct: see aegis_arena_rewind. */
#define AEGIS_ARENA_STALE_SPANS 8

/** Marks made stale by a rewind: those numbered above `after`, up to `last`. */
typedef struct aegis_arena_stale_span {
    uint64_t after;
    uint64_t last;
} aegis_arena_stale_span;

typedef struct aegis_arena_stale_node aegis_arena_stale_node;

/** A bump arena. See the invariants above; `ptr` and `limit` stay the first two fields. */
typedef struct aegis_arena {
    unsigned char *ptr;
    unsigned char *limit;
    unsigned char *dirty_end;
    aegis_arena_block *block;
    aegis_arena_block *first;
    aegis_arena_block *last;
    /* The arena of the latest scope begun on this one, which has the idle blocks; or NULL. */
    struct aegis_arena *scope;
    aegis_arena_deferred *deferred;
    size_t closed_bytes;
    size_t wasted_bytes;
    size_t peak_used_bytes;
    size_t capacity_bytes;
    size_t reserved_bytes;
    size_t block_count;
    size_t next_block_bytes;
    size_t max_block_bytes;
    uint64_t acquired_count;
    uint64_t released_count;
    uint64_t reset_count;
    /* What the marks that are good now carry. */
    uint64_t generation;
    /* Numbers given to marks and generations so far, and where that is counted while a scope is
     * open; NULL otherwise. */
    uint64_t stamp_count;
    uint64_t *stamps;
    size_t stale_count;
    aegis_arena_stale_span stale[AEGIS_ARENA_STALE_SPANS];
    /* Further spans, newer than those, in the arena's memory; the newest first. */
    aegis_arena_stale_node *stale_nodes;
    aegis_source source;
    aegis_budget *budget;
    aegis_arena_guard *guards;
    size_t guards_bytes;
    uint64_t guard_count;
    size_t failed_bytes;
    size_t failed_align_bytes;
    size_t failed_limit_bytes;
    size_t failed_in_use_bytes;
    const aegis_budget *failed_budget;
    aegis_status failed_status;
    uint32_t flags;
    size_t guard_bytes;
    char name[AEGIS_ARENA_NAME_BYTES];
    uint64_t shared_generation;
    /** AEGIS_WHAT_*: what failed_bytes and failed_limit_bytes count, as `asked` and `allowed`. */
    uint32_t failed_what;
} aegis_arena;

/** A place to rewind to. Good until the arena is reset, cleared, trimmed while nothing is
 *  allocated, or rewound to an earlier mark. A scope suspends it: it is no good until the end, for
 *  either arena. One that is taken during the scope, of either arena, is good only until then. */
typedef struct aegis_arena_mark {
    aegis_arena_block *block;
    aegis_arena_block *last;
    unsigned char *ptr;
    aegis_arena_deferred *deferred;
    size_t closed_bytes;
    size_t wasted_bytes;
    size_t guards_bytes;
    uint64_t guard_count;
    uint64_t generation;
    uint64_t stamp;
} aegis_arena_mark;

/** A scope in progress: see aegis_arena_scope_begin. Allocate from `arena`, which stays the first
 *  field. */
typedef struct aegis_arena_scope {
    aegis_arena arena;
    aegis_arena_mark mark;
    uint64_t stamp_count;
} aegis_arena_scope;

/** The figures of an arena. */
typedef struct aegis_arena_stats {
    /** Usable bytes in all blocks. */
    size_t capacity_bytes;
    /** Bytes taken from the source and not given back, block headers included. */
    size_t reserved_bytes;
    /** Bytes handed out since the last reset, alignment padding included. */
    size_t used_bytes;
    /** The largest value used_bytes has had. */
    size_t peak_used_bytes;
    /** Bytes left in the current block. */
    size_t remaining_bytes;
    /** Bytes at the ends of blocks that were left before they were full. */
    size_t wasted_bytes;
    /** Blocks held now. */
    size_t block_count;
    /** Blocks ever acquired from the source. */
    uint64_t acquired_count;
    /** Blocks ever given back to the source. */
    uint64_t released_count;
    /** Calls of aegis_arena_reset so far. */
    uint64_t reset_count;
} aegis_arena_stats;

/** aegis_arena_block_info.state: allocations are being made here. */
#define AEGIS_ARENA_BLOCK_CURRENT 0
/** aegis_arena_block_info.state: in use, left full or for a block with more room. */
#define AEGIS_ARENA_BLOCK_CLOSED 1
/** aegis_arena_block_info.state: kept for reuse. */
#define AEGIS_ARENA_BLOCK_IDLE 2

/** One block, as aegis_arena_next_block reports it. */
typedef struct aegis_arena_block_info {
    /** Usable bytes. */
    size_t capacity_bytes;
    /** Bytes handed out; 0 when idle. */
    size_t used_bytes;
    /** AEGIS_ARENA_BLOCK_*. */
    uint32_t state;
} aegis_arena_block_info;

/** Makes an arena.
 *  @param arena    memory for the struct; its content is overwritten.
 *  @param options  NULL means all defaults.
 *  @return         AEGIS_OK, AEGIS_E_INVALID_LAYOUT (capacity or memory size above PTRDIFF_MAX),
 *                  AEGIS_E_INVALID (an unknown flag, or memory and a capacity),
 *                  AEGIS_E_OUT_OF_MEMORY, AEGIS_E_LIMIT_EXCEEDED, AEGIS_E_SOURCE.
 *  On failure:     `arena` is all-zero but for its error record; the source is not closed, and the
 *                  record is good while the budget is.
 *  Ownership:      the caller's; finish it with aegis_arena_fini. `options` may go at once, the
 *                  `memory` in it outlives the arena.
 *  Threads:        one owner.
 *  Cost:           O(1); one acquire if a capacity is asked for.
 */
AEGIS_API aegis_status aegis_arena_init(aegis_arena *arena, const aegis_arena_options *options);

/** Runs the deferred functions, newest first, and gives every block back. The arena of a scope is
 *  reset instead, which a debug build reports: only the end of the scope finishes it.
 *  @param arena  NULL and all-zero are accepted. All-zero afterwards.
 *  Ownership:    every pointer into the arena is dead.
 *  Threads:      one owner.
 *  Cost:         O(blocks + deferred functions).
 */
AEGIS_API void aegis_arena_fini(aegis_arena *arena);

/** The cold half of every allocation: finds or acquires a block. Call the functions below instead.
 *  @param zeroed  whether the bytes must be zero.
 *  @return        as aegis_arena_alloc_aligned.
 *  Threads:       one owner.
 *  Cost:          O(idle blocks); at most two acquires.
 */
AEGIS_API void *aegis_arena_alloc_slow(aegis_arena *arena, size_t size_bytes, size_t align_bytes,
                                       bool zeroed);

/** Allocates uninitialised bytes, aligned to AEGIS_ARENA_ALIGN.
 *  @param size_bytes  0 gives a pointer that must not be dereferenced.
 *  @return            the bytes, or NULL: see aegis_arena_last_error.
 *  On failure:        nothing changed but the error record.
 *  Ownership:         the arena's; good until reset, rewind past it, clear or fini.
 *  Threads:           one owner.
 *  Cost:              O(1); when the block is full, one aegis_arena_alloc_slow.
 */
AEGIS_INLINE void *aegis_arena_alloc(aegis_arena *arena, size_t size_bytes) {
    unsigned char *p = arena->ptr;
    /* A size known here is below the headroom, so the sum cannot wrap; another one is compared
     * before it is rounded, which is right up to SIZE_MAX. */
    if (AEGIS_IS_CONSTANT(size_bytes) && size_bytes <= AEGIS_ARENA_HEADROOM
            ? AEGIS_UNLIKELY(AEGIS_ADDRESS(p) + size_bytes > AEGIS_ADDRESS(arena->limit))
            : AEGIS_UNLIKELY(AEGIS_CAST(size_t, arena->limit - p) < size_bytes))
        return aegis_arena_alloc_slow(arena, size_bytes, AEGIS_ARENA_ALIGN, false);
    arena->ptr =
        p + ((size_bytes + (AEGIS_ARENA_ALIGN - 1)) & ~AEGIS_CAST(size_t, AEGIS_ARENA_ALIGN - 1));
    return p;
}

/** Allocates zeroed bytes, aligned to AEGIS_ARENA_ALIGN. Bytes fresh from a zeroing source are not
 *  cleared again.
 *  @param size_bytes  as for aegis_arena_alloc.
 *  @return            as for aegis_arena_alloc.
 *  On failure, Ownership, Threads: as for aegis_arena_alloc.
 *  Cost:              O(1) on fresh memory, else O(size_bytes).
 */
AEGIS_INLINE void *aegis_arena_alloc_zeroed(aegis_arena *arena, size_t size_bytes) {
    unsigned char *p = arena->ptr;
    unsigned char *dirty_end = arena->dirty_end;
    if (AEGIS_UNLIKELY(AEGIS_CAST(size_t, arena->limit - p) < size_bytes))
        return aegis_arena_alloc_slow(arena, size_bytes, AEGIS_ARENA_ALIGN, true);
    arena->ptr =
        p + ((size_bytes + (AEGIS_ARENA_ALIGN - 1)) & ~AEGIS_CAST(size_t, AEGIS_ARENA_ALIGN - 1));
    if (p < dirty_end) {
        size_t dirty_bytes = AEGIS_CAST(size_t, dirty_end - p);
        memset(p, 0, size_bytes <= dirty_bytes ? size_bytes : dirty_bytes);
    }
    return p;
}

/** Allocates uninitialised bytes at an alignment of the caller's choice.
 *  @param align_bytes  a power of two; below AEGIS_ARENA_ALIGN it is raised to that.
 *  @return             the bytes, or NULL: see aegis_arena_last_error.
 *  On failure, Ownership, Threads, Cost: as for aegis_arena_alloc.
 */
AEGIS_INLINE void *aegis_arena_alloc_aligned(aegis_arena *arena, size_t size_bytes,
                                             size_t align_bytes) {
    unsigned char *p = arena->ptr;
    size_t room_bytes = AEGIS_CAST(size_t, arena->limit - p);
    size_t pad_bytes = (0 - AEGIS_ADDRESS(p)) & (align_bytes - 1);
    if (AEGIS_UNLIKELY((align_bytes & (align_bytes - 1)) != 0 || align_bytes == 0 ||
                       pad_bytes > room_bytes || room_bytes - pad_bytes < size_bytes))
        return aegis_arena_alloc_slow(arena, size_bytes, align_bytes, false);
    p += pad_bytes;
    arena->ptr =
        p + ((size_bytes + (AEGIS_ARENA_ALIGN - 1)) & ~AEGIS_CAST(size_t, AEGIS_ARENA_ALIGN - 1));
    return p;
}

/** Resizes an allocation where it is: when it is the latest one and fits, or when it shrinks. The
 *  source is not called.
 *  @param memory     what an allocation of this arena returned, or NULL, which is never resized.
 *  @param old_bytes  the size `memory` was allocated with.
 *  @param new_bytes  the size wanted; bytes beyond old_bytes are uninitialised.
 *  @return           whether it was resized.
 *  On failure:       `memory` is untouched and still good.
 *  Threads:          one owner.
 *  Cost:             O(1).
 */
AEGIS_API bool aegis_arena_resize_in_place(aegis_arena *arena, void *memory, size_t old_bytes,
                                           size_t new_bytes);

/** Resizes an allocation: in place when it is the latest one and fits, or when it shrinks;
 *  otherwise its first bytes are copied to a new place. Given memory from before the scope, the
 *  arena of a scope copies to grow and leaves the old bytes as they are.
 *  @param memory     what an allocation of this arena returned, or NULL to allocate.
 *  @param old_bytes  the size `memory` was allocated with.
 *  @param new_bytes  the size wanted; bytes beyond old_bytes are uninitialised.
 *  @param align_bytes  a power of two; the alignment `memory` was allocated with.
 *  @return           the bytes, or NULL: see aegis_arena_last_error.
 *  On failure:       `memory` is untouched and still good.
 *  Ownership:        as for aegis_arena_alloc; `memory` is dead unless returned.
 *  Threads:          one owner.
 *  Cost:             O(1) in place, else O(old_bytes).
 */
AEGIS_API void *aegis_arena_realloc_aligned(aegis_arena *arena, void *memory, size_t old_bytes,
                                            size_t new_bytes, size_t align_bytes);

/** aegis_arena_realloc_aligned at AEGIS_ARENA_ALIGN. */
AEGIS_API void *aegis_arena_realloc(aegis_arena *arena, void *memory, size_t old_bytes,
                                    size_t new_bytes);

/** Gives an allocation back early: its bytes are reused if it is the latest one, else at reset. The
 *  arena of a scope leaves memory from before the scope as it is.
 *  @param memory      what an allocation of this arena returned, or NULL to do nothing.
 *  @param size_bytes  the size it was allocated with.
 *  Ownership:         `memory` is dead.
 *  Threads:           one owner.
 *  Cost:              O(1).
 */
AEGIS_API void aegis_arena_free_last(aegis_arena *arena, void *memory, size_t size_bytes);

/** Copies bytes into the arena.
 *  @param bytes       may be NULL when size_bytes is 0.
 *  @return, On failure, Ownership, Threads: as for aegis_arena_alloc.
 *  Cost:              O(size_bytes).
 */
AEGIS_API void *aegis_arena_memdup(aegis_arena *arena, const void *bytes, size_t size_bytes);

/** Copies a string, with its terminator, into the arena.
 *  @param text  a terminated string.
 *  @return, On failure, Ownership, Threads: as for aegis_arena_alloc.
 *  Cost:        O(length).
 */
AEGIS_API char *aegis_arena_strdup(aegis_arena *arena, const char *text);

/** Registers a function to run when the arena is reset, rewound past this point or finished.
 *  Functions run newest first, each exactly once, and may allocate from the arena.
 *  @param context  handed to `function`.
 *  @return         AEGIS_OK; AEGIS_E_INVALID when `function` is NULL; else why the arena could
 *                  not allocate.
 *  On failure:     nothing is registered.
 *  Threads:        one owner.
 *  Cost:           one small allocation in the arena.
 */
AEGIS_API aegis_status aegis_arena_defer(aegis_arena *arena, aegis_arena_defer_fn function,
                                         void *context);

/** Remembers the present state, to rewind to. Each mark gets a number, by which an arena tells a
 *  mark that is good no longer.
 *  @return   a mark, by value; needs no release.
 *  Threads:  one owner.
 *  Cost:     O(1).
 */
AEGIS_API aegis_arena_mark aegis_arena_get_mark(aegis_arena *arena);

/** Frees everything allocated since the mark; runs what was deferred since, newest first. The mark
 *  stays good. Blocks are kept for reuse.
 *  @param mark  of this arena.
 *  @return      AEGIS_OK; AEGIS_E_INVALID when the mark is good no longer. The marks between a good
 *               one and the next that a rewind has made stale are a run; if there are more than
 *               AEGIS_ARENA_STALE_SPANS runs, each further one takes 24 bytes of the arena behind
 *               the mark rewound to. Where the blocks held have no room for that, some good marks
 *               are refused, but never the one rewound to.
 *  On failure:  nothing changed.
 *  Threads:     one owner.
 *  Cost:        O(1), O(runs) if there are many, and the deferred functions.
 */
AEGIS_API aegis_status aegis_arena_rewind(aegis_arena *arena, const aegis_arena_mark *mark);

/** Moves the arena's memory into `scope->arena` until aegis_arena_scope_end. Meanwhile both may be
 *  used: what comes from `scope->arena` dies at the end, what comes from `arena` (out of other
 *  blocks) does not, and what was allocated before is untouched. Scopes nest.
 *
 *  Neither arena reaches what was allocated before, whatever is done with it. Of `scope->arena`
 *  reset and clear free what the scope has allocated, and run what was deferred in it; trim and
 *  clear give back idle blocks only; fini resets; free_last and realloc leave older memory alone.
 *  Of `arena` reset and clear free what it has allocated since the scope began; what is older
 *  stays allocated until the next reset, but every mark is stale.
 *  @param scope  memory for the struct; it must not be moved before the end.
 *  Threads:      one owner.
 *  Cost:         O(1), and O(idle blocks) after a scope during which `arena` acquired some; never a
 *                system call.
 */
AEGIS_API void aegis_arena_scope_begin(aegis_arena *arena, aegis_arena_scope *scope);

/** Ends a scope: frees all that it allocated, whatever was done with its arena, and merges what
 *  `arena` acquired in between.
 *  @param scope  the latest one begun on this arena that has not ended; those begun on its own
 *                arena have. A debug build reports another one.
 *  Threads:      one owner.
 *  Cost:         O(1), and O(blocks) for blocks that `arena` acquired during the scope.
 */
AEGIS_API void aegis_arena_scope_end(aegis_arena *arena, aegis_arena_scope *scope);

/** Frees everything: runs the deferred functions, newest first, rewinds to the first block and
 *  keeps every block for reuse. In and under a scope: see aegis_arena_scope_begin.
 *  Ownership:  every pointer into the arena is dead.
 *  Threads:    one owner.
 *  Cost:       O(1) for any number of allocations and blocks, and the deferred functions.
 */
AEGIS_API void aegis_arena_reset(aegis_arena *arena);

/** Gives idle blocks back to the source until at most `keep_bytes` are reserved or none is idle.
 *  The first block counts as idle when nothing is allocated. The caller's memory is never given
 *  back, and the arena of a scope keeps the blocks that were in use when the scope began.
 *  @param keep_bytes  bytes, block headers included.
 *  Threads:           one owner.
 *  Cost:              O(blocks).
 */
AEGIS_API void aegis_arena_trim(aegis_arena *arena, size_t keep_bytes);

/** Resets and gives every block back to the source.
 *  Ownership:  every pointer into the arena is dead; the arena can be used again.
 *  Threads:    one owner.
 *  Cost:       O(blocks).
 */
AEGIS_API void aegis_arena_clear(aegis_arena *arena);

/** Reports the arena's figures.
 *  @param stats  overwritten.
 *  Threads:      one owner.
 *  Cost:         O(1).
 */
AEGIS_API void aegis_arena_get_stats(const aegis_arena *arena, aegis_arena_stats *stats);

/** Walks the blocks: those in use in order of first use, then the idle ones.
 *  @param previous  NULL to begin, then what the last call returned.
 *  @param info      overwritten when a block is returned; pass the same one through the whole walk,
 *                   which reads in it how far it has come. May be NULL throughout.
 *  @return          the next block, or NULL at the end.
 *  Threads:         one owner; the arena is not used in between.
 *  Cost:            O(1).
 */
AEGIS_API const aegis_arena_block *aegis_arena_next_block(const aegis_arena *arena,
                                                          const aegis_arena_block *previous,
                                                          aegis_arena_block_info *info);

/** Reports why the latest failing request of this arena failed, whatever has succeeded since. An
 *  arena and those of its scopes have a record each.
 *  @param error  overwritten; its status is AEGIS_OK when none has failed.
 *  Threads:      one owner.
 *  Cost:         O(1).
 */
AEGIS_API void aegis_arena_last_error(const aegis_arena *arena, aegis_error *error);

/** Writes why the latest failing request of this arena failed, as an English sentence: what
 *  aegis_error_explain makes of its record.
 *  @param buffer  terminated unless buffer_bytes is 0; cut if it is too small.
 *  @return        the bytes of the whole text, terminator excluded.
 *  Threads:       one owner.
 *  Cost:          O(text + budgets beneath the one that refused).
 */
AEGIS_API size_t aegis_arena_explain(const aegis_arena *arena, char *buffer, size_t buffer_bytes);

#ifdef __cplusplus
}
#endif

#endif
