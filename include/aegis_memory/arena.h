/* SPDX-License-Identifier: Apache-2.0 */
/* The file is longer than 500 lines, because most are the documentation of its functions. */
/** @file arena.h
 *  The bump arena: it allocates by moving a pointer, and frees everything at once.
 *
 *  An arena acquires blocks from its source and allocates from one of them, the current block.
 *  An allocation moves `ptr` up towards `limit`. If the request does not fit, one cold call
 *  finds another block. A closed block is one that is full or was left for another block. An
 *  idle block has nothing allocated in it and is kept for reuse. aegis_arena_reset goes back to
 *  the first block in constant time and keeps every block. So a loop that does the same work
 *  again acquires nothing.
 *
 *  Words:
 *  - block header: the bytes at the start of a block in which the arena keeps its record.
 *  - growth step: the size of the next block that an arena acquires by itself. It doubles up to
 *    a maximum.
 *  - mark: a position in an arena that aegis_arena_rewind returns to. A later call can make a
 *    mark unusable; it is then stale.
 *  - scope: a nested arena whose memory is freed when it ends.
 *  - guard: bytes behind an allocation that show an overrun. Checker: AddressSanitizer or
 *    Valgrind.
 *  - watched: an arena is watched if each allocation takes the slow path, so that guards or a
 *    checker see it.
 *
 *  Invariants:
 *  1. `ptr` and `limit` are multiples of AEGIS_ARENA_ALIGN and lie in one block.
 *  2. Every block ends at least AEGIS_ARENA_HEADROOM bytes below the top of the address space.
 *     With 64-bit addresses, the top of the lower half of the address space counts instead.
 *  3. The bytes of the current block at or above `dirty_end` are zero.
 *  4. The chain has the blocks in use first, up to `last`, in the order of their first use. The
 *     idle blocks follow.
 *
 *  Bounds: the unused ends of closed blocks are less than a quarter of the bytes of all blocks
 *  in use. This holds for any mix of sizes, unless scopes were merged into the arena. Before the
 *  arena asks its source, it looks for an idle block and takes the first one that fits.
 *
 *  One thread owns an arena at a time. After a fork a child process may use its copy if the
 *  owner is the thread that forked, or if the owner was not inside a call. An all-zero
 *  aegis_arena is not ready for use, but aegis_arena_fini accepts it.
 *
 *  The header is longer than 500 lines, because the fast paths need the whole struct, and marks,
 *  scopes and statistics are about its fields.
 */
#ifndef AEGIS_MEMORY_ARENA_H
#define AEGIS_MEMORY_ARENA_H

#include "base.h"
#include "budget.h"
#include "source.h"

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

/** Bytes of an arena's name, with the zero byte at its end. */
#define AEGIS_ARENA_NAME_BYTES 24

/** aegis_arena_options.flags: clear memory when it is freed, in a way that no compiler removes.
 *  Reset and the other calls that free memory then cost O(bytes in use). */
#define AEGIS_ARENA_WIPE 1u
/** aegis_arena_options.flags: fill uninitialised memory with 0xA5 when it is handed out, and
 *  with 0xDF when it is freed. The arena is watched. On in debug builds: see base.h. */
#define AEGIS_ARENA_FILL 2u
/** aegis_arena_options.flags: put a guard behind each allocation, and report the guards that
 *  reset, rewind and fini find changed. The arena is watched. On in debug builds. */
#define AEGIS_ARENA_GUARD 4u
/** aegis_arena_options.flags: acquire a block for each allocation and release it at reset, so
 *  that a checker of the heap sees each allocation. The arena is watched. */
#define AEGIS_ARENA_OWN_BLOCKS 8u
/** aegis_arena_options.flags: leave out the flags that a debug build sets by itself. */
#define AEGIS_ARENA_NO_DEBUG 16u

/** The block header. The usable bytes of the block follow it. A block does not point to its
 *  arena, so an arena can be moved. Only the library reads and writes the fields: they are here
 *  for the inline functions. */
typedef struct aegis_arena_block {
    /** The next block in the chain. */
    struct aegis_arena_block *next;
    /** The size of the block as acquired from the source, with the block header. */
    size_t total_bytes;
    /** One past the usable bytes. A multiple of AEGIS_ARENA_ALIGN. */
    unsigned char *end;
    /** The bytes at or above this address are zero, unless they are handed out. While the block
     *  is current, the arena's field `dirty_end` is the same. */
    unsigned char *dirty_end;
    /** One past the bytes that are handed out. Valid when the block is closed. */
    unsigned char *top;
    /** AEGIS_I_BLOCK_* */
    uint32_t flags;
    /** Other than 0 if the block holds one allocation and was closed with it at once, without
     *  being the current block. Then it tells how many marks there had been: see
     *  aegis_i_arena_stamp. */
    uint32_t single;
} aegis_arena_block;

/** The bytes of a block header, rounded up to the alignment of blocks. */
#define AEGIS_I_ARENA_BLOCK_HEADER ((sizeof(aegis_arena_block) + 15) & ~AEGIS_CAST(size_t, 15))

typedef struct aegis_arena_guard aegis_arena_guard;
typedef struct aegis_arena_deferred aegis_arena_deferred;

/** A function registered with aegis_arena_defer. */
typedef void (*aegis_arena_defer_fn)(void *context);

/** How an arena is made. All-zero means: all defaults. */
typedef struct aegis_arena_options {
    /** Usable bytes of the first block, which is acquired at once. 0: the first use acquires
     *  it. */
    size_t capacity_bytes;
    /** The largest growth step. 0: AEGIS_ARENA_MAX_BLOCK. A request that finds no room gets a
     *  block of the growth step, or of a part of it, if several such requests fit into that
     *  block. For a request above 64 KiB the block must also add at most a tenth to what is
     *  reserved. Otherwise the request gets a block of its own. So what large requests reserve
     *  together is at most 1.1 times their sizes, plus AEGIS_ARENA_MIN_BLOCK for each, plus its
     *  alignment if that is above 16. A block that an allocation grows into has room for at
     *  least half as much again. */
    size_t max_block_bytes;
    /** Where blocks come from; the struct is copied. NULL: the C heap, or nowhere if `memory` is
     *  set. */
    const aegis_source *source;
    /** The caller's memory, used before any block of the source. NULL: none. */
    void *memory;
    /** The size of `memory`. */
    size_t memory_bytes;
    /** Charged for every block of the source, with its block header. NULL: no limit. If there is
     *  no room for a block of the growth step, the arena takes what is left below the limit in
     *  one block, if that is enough for the request. The arena holds a reference to the
     *  budget. */
    aegis_budget *budget;
    /** For reports; copied, and cut to AEGIS_ARENA_NAME_BYTES. NULL: no name. */
    const char *name;
    /** AEGIS_ARENA_* or 0. */
    uint32_t flags;
    /** The longest wait of an acquire for room in the budget. 0 does not wait; AEGIS_WAIT_FOREVER
     *  has no end. Only a block of the exact size that a request needs is waited for: a larger
     *  one is given up at once. Requests get room in the order of their arrival at the budget
     *  (budget_arbitration.h). A thread that waits so is not cancelled. */
    uint64_t wait_ns;
} aegis_arena_options;

/** How many runs of stale marks an arena keeps in its struct: see aegis_arena_rewind. */
#define AEGIS_ARENA_STALE_SPANS 8

/** A run of marks that a rewind made stale: those with numbers above `after`, up to `last`. */
typedef struct aegis_arena_stale_span {
    uint64_t after;
    uint64_t last;
} aegis_arena_stale_span;

typedef struct aegis_arena_stale_node aegis_arena_stale_node;

/** A bump arena. See the invariants above. `ptr` and `limit` stay the first two fields. */
typedef struct aegis_arena {
    unsigned char *ptr;
    unsigned char *limit;
    unsigned char *dirty_end;
    /* The address of `ptr`, less the used bytes and their guards. It wraps if they are more than
     * the address. */
    size_t used_from;
    aegis_arena_block *block;
    /* The first block, if a reset need only go back there. NULL if there may be more to do:
     * something is deferred, the arena is watched or wiped, a scope, stale marks, no block. */
    aegis_arena_block *home;
    aegis_arena_block *last;
    size_t peak_used_bytes;
    size_t closed_bytes;
    /* Calls of aegis_arena_reset, except those in scopes that have ended. A mark can be good only
     * if it has the same number. */
    uint64_t reset_count;
    aegis_arena_block *first;
    /* The arena of the latest scope that was begun on this one and is open; or NULL. The idle
     * blocks from before the scope are in that arena. */
    struct aegis_arena *scope;
    aegis_arena_deferred *deferred;
    size_t capacity_bytes;
    size_t reserved_bytes;
    size_t block_count;
    size_t next_block_bytes;
    size_t max_block_bytes;
    uint64_t acquired_count;
    uint64_t released_count;
    /* Calls of aegis_arena_reset in scopes that have ended, with those of the outer arena. */
    uint64_t scoped_reset_count;
    /* The generation: a mark can be good only if it has the same one. */
    uint64_t generation;
    /* How many numbers marks and generations have got so far. While a scope is open, that is
     * counted where `stamps` points; otherwise `stamps` is NULL. */
    uint64_t stamp_count;
    uint64_t *stamps;
    size_t stale_count;
    aegis_arena_stale_span stale[AEGIS_ARENA_STALE_SPANS];
    /* Further runs, newer than those above, in the arena's memory; the newest first. */
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
    size_t failed_needed_bytes;
    const aegis_budget *failed_budget;
    aegis_status failed_status;
    uint32_t flags;
    size_t guard_bytes;
    char name[AEGIS_ARENA_NAME_BYTES];
    uint64_t shared_generation;
    /** AEGIS_WHAT_*: the unit of failed_bytes and failed_limit_bytes, if they are `asked` and
     *  `allowed` of the error record. */
    uint32_t failed_what;
    uint64_t wait_ns;
} aegis_arena;

/** A mark. It is good until the arena is reset, cleared, trimmed while nothing is allocated, or
 *  rewound to an earlier mark. Then it is stale. While a scope is open on the arena, neither
 *  arena accepts the marks from before the scope; after the end they are good again. A mark that
 *  is taken during the scope, of either arena, is good only until the scope ends. */
typedef struct aegis_arena_mark {
    aegis_arena_block *block;
    aegis_arena_block *last;
    unsigned char *ptr;
    aegis_arena_deferred *deferred;
    size_t closed_bytes;
    size_t used_from;
    size_t guards_bytes;
    uint64_t guard_count;
    uint64_t generation;
    uint64_t reset_count;
    uint64_t stamp;
} aegis_arena_mark;

/** An open scope: see aegis_arena_scope_begin. Allocate from `arena`, which stays the first
 *  field. */
typedef struct aegis_arena_scope {
    /** The arena of the scope. */
    aegis_arena arena;
    aegis_arena_mark mark;
    uint64_t stamp_count;
} aegis_arena_scope;

/** The statistics of an arena. They are the same in every build and with every flag, with these
 *  exceptions:
 *  - AEGIS_ARENA_GUARD, and a checker in the build, count in the fields that say so. These
 *    fields are as if each request for more than 0 bytes were larger by a guard (48 bytes with
 *    64-bit addresses), or by a checker's gap (16 bytes).
 *  - With AEGIS_ARENA_OWN_BLOCKS each allocation has a block, and `wasted_bytes` is 0. Freeing
 *    or resizing an allocation may change `used_bytes` only at the next reset.
 *  - An alignment above 16 can need another padding, because allocations lie elsewhere. */
typedef struct aegis_arena_stats {
    /** Usable bytes in all blocks. Guards count. */
    size_t capacity_bytes;
    /** Bytes acquired from the source and not released, block headers included. Guards count. */
    size_t reserved_bytes;
    /** Bytes handed out since the last reset, alignment padding included. Guards and gaps do not
     *  count. */
    size_t used_bytes;
    /** The largest value used_bytes has had. After a scope it is the larger peak of its two
     *  arenas. */
    size_t peak_used_bytes;
    /** Bytes left in the current block. The guards of later allocations will take some. */
    size_t remaining_bytes;
    /** Unused bytes at the ends of closed blocks. Guards count: they change where blocks end. */
    size_t wasted_bytes;
    /** Blocks held now. Guards count: fewer allocations fit into a block. */
    size_t block_count;
    /** Blocks acquired from the source so far. Guards count, as for block_count. */
    uint64_t acquired_count;
    /** Blocks released to the source so far. Guards count, as for block_count. */
    uint64_t released_count;
    /** Calls of aegis_arena_reset and aegis_arena_clear so far. */
    uint64_t reset_count;
} aegis_arena_stats;

/** aegis_arena_block_info.state: the current block. */
#define AEGIS_ARENA_BLOCK_CURRENT 0
/** aegis_arena_block_info.state: a closed block. It was left because it was full, or because
 *  another block had more room. */
#define AEGIS_ARENA_BLOCK_CLOSED 1
/** aegis_arena_block_info.state: an idle block. */
#define AEGIS_ARENA_BLOCK_IDLE 2

/** One block, as aegis_arena_next_block reports it. */
typedef struct aegis_arena_block_info {
    /** Usable bytes. */
    size_t capacity_bytes;
    /** Bytes handed out; 0 when idle. */
    size_t used_bytes;
    /** AEGIS_ARENA_BLOCK_*. */
    uint32_t state;
    /** Where the usable bytes start. The first used_bytes of them are handed out: the allocations
     *  in the order in which they were made, with padding, guards and records of the arena
     *  between them. */
    const void *start;
} aegis_arena_block_info;

/** aegis_arena_init for options of `options_bytes` bytes: see "Structs that grow" in base.h. */
AEGIS_API aegis_status aegis_arena_init_sized(aegis_arena *arena,
                                              const aegis_arena_options *options,
                                              size_t options_bytes);

/** Makes an arena.
 *  @param arena    memory for the struct; its content is overwritten.
 *  @param options  NULL means all defaults.
 *  @return         AEGIS_OK, AEGIS_E_INVALID_LAYOUT (capacity or memory size above PTRDIFF_MAX),
 *                  AEGIS_E_INVALID (an unknown flag, or both memory and a capacity),
 *                  AEGIS_E_OUT_OF_MEMORY, AEGIS_E_LIMIT_EXCEEDED, AEGIS_E_SOURCE.
 *  On failure:     `arena` is all-zero except for its error record, which is good as long as the
 *                  budget. The source is not closed.
 *  Ownership:      the caller's; finish it with aegis_arena_fini. `options` is only read during
 *                  the call. The `memory` in it must outlive the arena.
 *  Threads:        one owner.
 *  Cost:           O(1); one acquire if a capacity is asked for.
 */
AEGIS_STATIC_INLINE aegis_status aegis_arena_init(aegis_arena *arena,
                                                  const aegis_arena_options *options) {
    return aegis_arena_init_sized(arena, options, sizeof *options);
}

/** Runs the deferred functions, newest first, and releases every block. The arena of a scope is
 *  only reset, which a debug build reports: the end of the scope finishes that arena.
 *  @param arena  NULL and all-zero are accepted. All-zero afterwards.
 *  Ownership:    every pointer into the arena is dead.
 *  Threads:      one owner.
 *  Cost:         O(blocks + deferred functions).
 */
AEGIS_API void aegis_arena_fini(aegis_arena *arena);

/** The cold half of every allocation: finds or acquires a block. Call the functions below
 *  instead.
 *  @param zeroed  whether the bytes must be zero.
 *  @return        as for aegis_arena_alloc_aligned.
 *  Threads:       one owner.
 *  Cost:          O(idle blocks); at most three acquires.
 */
AEGIS_API void *aegis_arena_alloc_slow(aegis_arena *arena, size_t size_bytes, size_t align_bytes,
                                       bool zeroed);

/** Allocates uninitialised bytes, aligned to AEGIS_ARENA_ALIGN.
 *  @param size_bytes  0 gives a pointer that must not be dereferenced.
 *  @return            the bytes, or NULL: see aegis_arena_last_error.
 *  On failure:        nothing changed except the error record.
 *  Ownership:         the arena's; good until the arena is reset, cleared, finished, or rewound
 *                     to a mark from before the allocation.
 *  Threads:           one owner.
 *  Cost:              O(1); if the request does not fit, one aegis_arena_alloc_slow.
 */
AEGIS_INLINE void *aegis_arena_alloc(aegis_arena *arena, size_t size_bytes) {
    unsigned char *p = arena->ptr;
    const size_t low_bits = AEGIS_ARENA_ALIGN - 1;
    if (AEGIS_IS_CONSTANT(size_bytes) && size_bytes <= AEGIS_ARENA_HEADROOM) {
        /* The size is at most the headroom, so the sum cannot wrap. */
        size_t span_bytes = (size_bytes + low_bits) & ~low_bits;
        if (AEGIS_UNLIKELY(AEGIS_ADDRESS(p) + span_bytes > AEGIS_ADDRESS(arena->limit)))
            return aegis_arena_alloc_slow(arena, size_bytes, AEGIS_ARENA_ALIGN, false);
        arena->ptr = p + span_bytes;
        return p;
    }
    /* The size is compared before it is rounded, which is right up to SIZE_MAX. The address behind
     * the bytes is rounded instead of the size: a compiler can add all three terms at once. */
    if (AEGIS_UNLIKELY(AEGIS_CAST(size_t, arena->limit - p) < size_bytes))
        return aegis_arena_alloc_slow(arena, size_bytes, AEGIS_ARENA_ALIGN, false);
    arena->ptr = p + (((AEGIS_ADDRESS(p) + size_bytes + low_bits) & ~low_bits) - AEGIS_ADDRESS(p));
    return p;
}

/** Allocates zeroed bytes, aligned to AEGIS_ARENA_ALIGN. Bytes that the source has zeroed and
 *  that were never handed out are not cleared again.
 *  @param size_bytes  as for aegis_arena_alloc.
 *  @return            as for aegis_arena_alloc.
 *  On failure, Ownership, Threads: as for aegis_arena_alloc.
 *  Cost:              O(1) on such fresh memory, else O(size_bytes).
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

/** Allocates uninitialised bytes at an alignment that the caller chooses.
 *  @param align_bytes  a power of two. A value below AEGIS_ARENA_ALIGN is raised to that.
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

/** Resizes an allocation where it is. This is possible if it shrinks, or if it is the latest
 *  allocation and the new size fits into the block. The source is not called.
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

/** Resizes an allocation: where it is if aegis_arena_resize_in_place can do that, else by
 *  copying its first bytes to a new place. To grow memory from before a scope, the arena of the
 *  scope always copies it, and leaves the old bytes as they are.
 *  @param memory       what an allocation of this arena returned, or NULL to allocate.
 *  @param old_bytes    the size `memory` was allocated with.
 *  @param new_bytes    the size wanted; bytes beyond old_bytes are uninitialised.
 *  @param align_bytes  a power of two; the alignment `memory` was allocated with.
 *  @return             the bytes, or NULL: see aegis_arena_last_error.
 *  On failure:         `memory` is untouched and still good.
 *  Ownership:          as for aegis_arena_alloc; `memory` is dead unless it is what is returned.
 *  Threads:            one owner.
 *  Cost:               O(1) in place, else O(old_bytes).
 */
AEGIS_API void *aegis_arena_realloc_aligned(aegis_arena *arena, void *memory, size_t old_bytes,
                                            size_t new_bytes, size_t align_bytes);

/** Does what aegis_arena_realloc_aligned does, at AEGIS_ARENA_ALIGN.
 *  Parameters, @return, On failure, Ownership, Threads, Cost: as for
 *  aegis_arena_realloc_aligned.
 */
AEGIS_API void *aegis_arena_realloc(aegis_arena *arena, void *memory, size_t old_bytes,
                                    size_t new_bytes);

/** Frees an allocation early. Its bytes are reused at once if it is the latest allocation, else
 *  at reset. The arena of a scope leaves memory from before the scope as it is.
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

/** Copies a string, with the zero byte at its end, into the arena.
 *  @param text  a string that ends with a zero byte.
 *  @return, On failure, Ownership, Threads: as for aegis_arena_alloc.
 *  Cost:        O(length).
 */
AEGIS_API char *aegis_arena_strdup(aegis_arena *arena, const char *text);

/** Registers a deferred function. It runs when the arena is reset, cleared, finished, or rewound
 *  to a mark from before this call. Deferred functions run newest first, each exactly once, and
 *  may allocate from the arena.
 *  @param context  passed to `function`.
 *  @return         AEGIS_OK; AEGIS_E_INVALID when `function` is NULL; else why the arena could
 *                  not allocate.
 *  On failure:     nothing is registered.
 *  Threads:        one owner.
 *  Cost:           one small allocation in the arena.
 */
AEGIS_API aegis_status aegis_arena_defer(aegis_arena *arena, aegis_arena_defer_fn function,
                                         void *context);

/** Makes a mark of the present position, to rewind to. Each mark gets a number, by which the
 *  arena knows the stale ones.
 *  @return   the mark, by value; it needs no release.
 *  Threads:  one owner.
 *  Cost:     O(1).
 */
AEGIS_API aegis_arena_mark aegis_arena_get_mark(aegis_arena *arena);

/** Frees everything that was allocated since the mark, and runs the functions that were deferred
 *  since, newest first. The mark stays good. Blocks are kept for reuse.
 *
 *  A run is the stale marks between one good mark and the next. The struct has room for
 *  AEGIS_ARENA_STALE_SPANS runs. Each further run takes 24 bytes of the arena, behind the mark
 *  that was rewound to. If the blocks held have no room for that, two runs become one, and the
 *  good marks between them are refused from then on. The mark that was rewound to is never
 *  refused so.
 *  @param mark  of this arena.
 *  @return      AEGIS_OK; AEGIS_E_INVALID when the mark is stale.
 *  On failure:  nothing changed.
 *  Threads:     one owner.
 *  Cost:        O(1), O(runs) if there are many, and the deferred functions.
 */
AEGIS_API aegis_status aegis_arena_rewind(aegis_arena *arena, const aegis_arena_mark *mark);

/** Begins a scope: moves the arena's memory into `scope->arena` until aegis_arena_scope_end.
 *  Both arenas may be used meanwhile. What is allocated from `scope->arena` is freed at the end.
 *  What is allocated from `arena`, which takes other blocks for it, stays allocated. What was
 *  allocated before is untouched. Scopes nest.
 *
 *  Neither arena frees or changes what was allocated before the scope:
 *  - `scope->arena`: reset and clear free what the scope has allocated, and run what was
 *    deferred in it. Trim and clear release only idle blocks. Fini resets. Free_last and realloc
 *    leave older memory alone.
 *  - `arena`: reset and clear free what it has allocated since the scope began. What is older
 *    stays allocated until a reset after the scope, but every mark is stale.
 *  @param scope  memory for the struct; it must not be moved before the end.
 *  Threads:      one owner.
 *  Cost:         O(1), and O(idle blocks) after a scope during which `arena` acquired some;
 *                never a system call.
 */
AEGIS_API void aegis_arena_scope_begin(aegis_arena *arena, aegis_arena_scope *scope);

/** Ends a scope. All that the scope has allocated is freed, whatever was done with its arena.
 *  What `arena` has acquired during the scope is merged with the rest.
 *  @param scope  the latest scope that was begun on `arena` and is open. All scopes that were
 *                begun on `scope->arena` have ended. A debug build reports any other scope.
 *  Threads:      one owner.
 *  Cost:         O(1), and O(blocks) for blocks that `arena` acquired during the scope.
 */
AEGIS_API void aegis_arena_scope_end(aegis_arena *arena, aegis_arena_scope *scope);

/** The whole of aegis_arena_reset, for any arena. Call that instead.
 *  Threads:  one owner.
 *  Cost:     as of aegis_arena_reset.
 */
AEGIS_API void aegis_arena_reset_slow(aegis_arena *arena);

/** Frees everything: runs the deferred functions, newest first, goes back to the first block,
 *  and keeps every block for reuse. While a scope is open: see aegis_arena_scope_begin.
 *  Ownership:  every pointer into the arena is dead.
 *  Threads:    one owner.
 *  Cost:       O(1) for any number of allocations and blocks, and the deferred functions. A few
 *              inlined stores if nothing is deferred and the arena is not watched.
 */
AEGIS_INLINE void aegis_arena_reset(aegis_arena *arena) {
    aegis_arena_block *home = arena->home;
    unsigned char *ptr = arena->ptr;
    size_t used_bytes = AEGIS_ADDRESS(ptr) - arena->used_from;
    if (AEGIS_UNLIKELY(home == AEGIS_NULL)) {
        aegis_arena_reset_slow(arena);
        return;
    }
    /* Of the block headers only the first one is read, and the current one is written only if the
     * block was never so full: after many allocations they are in no cache. */
    arena->ptr = AEGIS_POINTER(unsigned char *, home) + AEGIS_I_ARENA_BLOCK_HEADER;
    arena->used_from = AEGIS_ADDRESS(arena->ptr);
    if (used_bytes > arena->peak_used_bytes)
        arena->peak_used_bytes = used_bytes;
    if (ptr > arena->dirty_end)
        arena->block->dirty_end = ptr;
    arena->limit = home->end;
    arena->dirty_end = home->dirty_end;
    arena->block = arena->last = home;
    arena->closed_bytes = 0;
    arena->reset_count++;
}

/** Releases idle blocks until at most `keep_bytes` are reserved or no block is idle. The first
 *  block counts as idle when nothing is allocated. The caller's memory is never released. The
 *  arena of a scope keeps the blocks that were in use when the scope began.
 *  @param keep_bytes  bytes, block headers included.
 *  Threads:           one owner.
 *  Cost:              O(blocks).
 */
AEGIS_API void aegis_arena_trim(aegis_arena *arena, size_t keep_bytes);

/** Charges all blocks of an arena to another budget instead of the present one. Later
 *  growth is charged there too. The budgets above both do not change, not even for a moment.
 *  @param budget  the new budget; NULL for none. The arena holds a reference to it, and gives up
 *                 the one to the old budget.
 *  @param error   overwritten on failure: it names the budget that refused. NULL if the reason
 *                 is not wanted.
 *  @return        AEGIS_OK; AEGIS_E_LIMIT_EXCEEDED as of aegis_budget_move; AEGIS_E_BUSY while a
 *                 scope is open on the arena, and for the arena of a scope; AEGIS_E_INVALID for a
 *                 local arena, whose blocks are charged by the arena that it belongs to.
 *  On failure:    nothing changed.
 *  Threads:       one owner, and not in a function that a call of this arena runs.
 *  Cost:          as aegis_budget_move.
 */
AEGIS_API aegis_status aegis_arena_move_budget(aegis_arena *arena, aegis_budget *budget,
                                               aegis_error *error);

/** Resets the arena and releases every block.
 *  Ownership:  every pointer into the arena is dead; the arena can be used again.
 *  Threads:    one owner.
 *  Cost:       O(blocks), and the deferred functions.
 */
AEGIS_API void aegis_arena_clear(aegis_arena *arena);

/** aegis_arena_get_stats for statistics of `stats_bytes` bytes: see "Structs that grow" in
 *  base.h. */
AEGIS_API void aegis_arena_get_stats_sized(const aegis_arena *arena, aegis_arena_stats *stats,
                                           size_t stats_bytes);

/** Reports the arena's statistics.
 *  @param stats  overwritten.
 *  Threads:      one owner.
 *  Cost:         O(1).
 */
AEGIS_STATIC_INLINE void aegis_arena_get_stats(const aegis_arena *arena, aegis_arena_stats *stats) {
    aegis_arena_get_stats_sized(arena, stats, sizeof *stats);
}

/** aegis_arena_next_block for a description of `info_bytes` bytes: see "Structs that grow" in
 *  base.h. */
AEGIS_API const aegis_arena_block *aegis_arena_next_block_sized(const aegis_arena *arena,
                                                                const aegis_arena_block *previous,
                                                                aegis_arena_block_info *info,
                                                                size_t info_bytes);

/** Walks the blocks: first those in use, in the order of their first use, then the idle ones.
 *  @param previous  NULL to begin, then what the last call returned.
 *  @param info      overwritten when a block is returned. Pass the same struct through the whole
 *                   walk, because the call reads there how far the walk has come. May be NULL
 *                   throughout.
 *  @return          the next block, or NULL at the end.
 *  Threads:         one owner; the arena is not used during the walk.
 *  Cost:            O(1).
 */
AEGIS_STATIC_INLINE const aegis_arena_block *
aegis_arena_next_block(const aegis_arena *arena, const aegis_arena_block *previous,
                       aegis_arena_block_info *info) {
    return aegis_arena_next_block_sized(arena, previous, info, sizeof *info);
}

#if !defined(AEGIS_FREESTANDING)
/** Draws an arena: a line for the whole, with its name, and a line for each block, in the order of
 *  aegis_arena_next_block: whether it is current, closed or idle, and how full it is.
 *  @param print    called once for each line. NULL writes the lines to the standard error output,
 *                  for debuggers.
 *  @param context  passed to `print`.
 *  Threads:        one owner.
 *  Cost:           O(blocks), without an allocation or a lock.
 */
AEGIS_API void aegis_arena_print(const aegis_arena *arena, aegis_print_fn print, void *context);
#endif

/** Reports why the latest failing request of this arena failed, even if later ones have
 *  succeeded. An arena and the arenas of its scopes each have an error record.
 *  @param error  overwritten; its status is AEGIS_OK when no request has failed.
 *  Threads:      one owner.
 *  Cost:         O(1).
 */
AEGIS_API void aegis_arena_last_error(const aegis_arena *arena, aegis_error *error);

/** Writes the record of aegis_arena_last_error as an English sentence, as aegis_error_explain
 *  does.
 *  @param buffer  where the text goes, ended with a zero byte unless buffer_bytes is 0. The text
 *                 is cut if the buffer is too small.
 *  @return        the bytes of the whole text, without the zero byte.
 *  Threads:       one owner.
 *  Cost:          O(text + budgets below the one that refused).
 */
AEGIS_API size_t aegis_arena_explain(const aegis_arena *arena, char *buffer, size_t buffer_bytes);

#ifdef __cplusplus
}
#endif

#endif
