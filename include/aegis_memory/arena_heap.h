/* SPDX-License-Identifier: Apache-2.0 */
/** @file arena_heap.h
 *  A heap in an arena: memory is allocated, resized and freed one piece at a time, what is freed
 *  is used again, and all of it can be freed at once. It is made for what C libraries put behind
 *  their malloc hooks, and for a part of a program that has its own memory and its own limit.
 *
 *  A heap acquires blocks, as an arena does, and cuts chunks from them. A chunk has a header of
 *  the size of a pointer before the bytes that the user gets. So a request takes as much as it
 *  takes in the GNU C library. All memory is aligned to AEGIS_ARENA_HEAP_ALIGN.
 *
 *  How chunks are used again:
 *  - A small chunk that is freed goes to the quick list of its size, and the next request of
 *    that size gets it: a few instructions each.
 *  - A larger chunk is merged with the free chunks beside it, and kept in one of
 *    AEGIS_ARENA_HEAP_BINS lists by its size. A request takes the smallest chunk that fits, and
 *    what it does not need stays free.
 *  - The quick lists are merged too when they hold more than an eighth of the blocks, when they
 *    hold more than 16 KiB and nothing is out, and before the heap acquires a block if they hold
 *    more than a sixteenth.
 *  - A request above a 32nd of the largest growth step (128 KiB) has a block of its own. That
 *    goes back to the source when it is freed.
 *  - A block is an eighth of what is reserved, so that little is reserved without use.
 *  - A request that a budget or the source refuses releases blocks of which nothing is out, as
 *    many as it needs, and asks again.
 *
 *  Mistakes: freeing memory a second time, while the heap still has its block and has not handed
 *  it out again, changes nothing in any build. A debug build reports it, as it does a pointer that
 *  is not of the heap, a wrong size, and bytes written behind an allocation (see
 *  aegis_set_report).
 *
 *  One thread owns a heap at a time, also after a fork: see base.h. For several threads there is
 *  locked_arena_heap.h. An all-zero aegis_arena_heap is not ready for use, but
 *  aegis_arena_heap_fini accepts it.
 */
#ifndef AEGIS_MEMORY_ARENA_HEAP_H
#define AEGIS_MEMORY_ARENA_HEAP_H

#include "arena.h"
#include "base.h"
#include "budget.h"
#include "source.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Every allocation starts at a multiple of this many bytes. */
#define AEGIS_ARENA_HEAP_ALIGN 16
/** Quick lists; list `i` has chunks of 16 * i bytes. */
#define AEGIS_ARENA_HEAP_QUICK 64
/** Lists of merged chunks: one for each multiple of 16 bytes below 1 KiB, then eight between a
 *  power of two and the next. */
#define AEGIS_ARENA_HEAP_BINS 192

typedef struct aegis_arena_heap_chunk aegis_arena_heap_chunk;
typedef struct aegis_arena_heap_block aegis_arena_heap_block;
typedef struct aegis_arena_heap_large aegis_arena_heap_large;

/** A heap in an arena. The fields are private. */
typedef struct aegis_arena_heap {
    aegis_arena_heap_chunk *quick[AEGIS_ARENA_HEAP_QUICK];
    /* Chunks below this size go to the quick lists; 0 if the heap is watched. */
    size_t quick_limit_bytes;
    size_t used_bytes;
    /* If fewer bytes are out, the quick lists have too much: they are merged. */
    size_t least_used_bytes;
    /* The free end of the current block; NULL when it has none. */
    aegis_arena_heap_chunk *top;
    size_t top_bytes;
    /* The bytes of the current block at or above this address are zero. */
    unsigned char *dirty_end;
    size_t binned_bytes;
    /* Bytes for chunks in the blocks in use. */
    size_t capacity_bytes;
    uint64_t bin_map[AEGIS_ARENA_HEAP_BINS / 64];
    aegis_arena_heap_chunk *bins[AEGIS_ARENA_HEAP_BINS];
    /* The blocks in use, up to `last`, then the idle ones. */
    aegis_arena_heap_block *first;
    aegis_arena_heap_block *last;
    /* Requests with a block of their own, and such blocks that a reset has left idle. */
    aegis_arena_heap_large *large;
    aegis_arena_heap_large *idle_large;
    size_t large_limit_bytes;
    size_t large_bytes;
    size_t reserved_bytes;
    size_t peak_reserved_bytes;
    size_t block_count;
    size_t max_block_bytes;
    uint64_t acquired_count;
    uint64_t released_count;
    uint64_t reset_count;
    aegis_source source;
    aegis_budget *budget;
    uint64_t wait_ns;
    size_t guard_bytes;
    uint32_t flags;
    char name[AEGIS_ARENA_NAME_BYTES];
    aegis_error failed;
} aegis_arena_heap;

/** The statistics of a heap. In a debug build, and with a checker in the build, each allocation
 *  has a guard, which counts. */
typedef struct aegis_arena_heap_stats {
    /** Bytes acquired from the source and not released, with everything that the heap keeps in
     *  them. The caller's memory does not count. */
    size_t reserved_bytes;
    /** The largest value reserved_bytes has had. */
    size_t peak_reserved_bytes;
    /** Bytes that are out: what was allocated and not freed, with chunk headers and rounding. */
    size_t used_bytes;
    /** Bytes in blocks of their own that are out; a part of used_bytes. */
    size_t large_bytes;
    /** Bytes for chunks in the blocks in use, those of large requests not counted. */
    size_t capacity_bytes;
    /** Free bytes in the quick lists, which are not merged yet. */
    size_t quick_bytes;
    /** Blocks held now. */
    size_t block_count;
    /** Blocks acquired from the source so far. */
    uint64_t acquired_count;
    /** Blocks released to the source so far. */
    uint64_t released_count;
    /** Calls of aegis_arena_heap_reset and aegis_arena_heap_clear so far. */
    uint64_t reset_count;
} aegis_arena_heap_stats;

/** aegis_arena_heap_init for options of `options_bytes` bytes: see "Structs that grow" in
 *  base.h. */
AEGIS_API aegis_status aegis_arena_heap_init_sized(aegis_arena_heap *heap,
                                                   const aegis_arena_options *options,
                                                   size_t options_bytes);

/** Makes a heap.
 *  @param heap     memory for the struct; its content is overwritten.
 *  @param options  as for aegis_arena_init, with these differences. NULL means all defaults.
 *                  - `max_block_bytes` also sets from which size on a request has a block of its
 *                    own.
 *                  - With `memory` and without a source the heap has that memory only.
 *                  - AEGIS_ARENA_GUARD finds overruns when memory is freed, resized or reset.
 *                  - AEGIS_ARENA_OWN_BLOCKS: each allocation has a block of its own, which is
 *                    released when it is freed.
 *  @return         as aegis_arena_init.
 *  On failure:     `heap` is all-zero except for its error record, which is good as long as the
 *                  budget. The source is not closed.
 *  Ownership:      the caller's; finish it with aegis_arena_heap_fini. `options` is only read
 *                  during the call. The `memory` in it must outlive the heap.
 *  Threads:        one owner.
 *  Cost:           O(1); one acquire if a capacity is asked for.
 */
AEGIS_STATIC_INLINE aegis_status aegis_arena_heap_init(aegis_arena_heap *heap,
                                                       const aegis_arena_options *options) {
    return aegis_arena_heap_init_sized(heap, options, sizeof *options);
}

/** Makes a heap whose blocks are allocations of an arena. All requests share blocks, whatever
 *  their size is. The arena gets a block back only if it is the latest allocation. The heap
 *  wipes, fills and guards its memory if the arena does.
 *  @param heap   memory for the struct; its content is overwritten.
 *  @param arena  outlives the heap, and stays where it is. Finish the heap before the arena is
 *                reset or rewound to a mark from before the heap's first block.
 *  Ownership:    the caller's; finish it with aegis_arena_heap_fini.
 *  Threads:      one owner, the same as the arena's.
 *  Cost:         O(1).
 */
AEGIS_API void aegis_arena_heap_init_in(aegis_arena_heap *heap, aegis_arena *arena);

/** Releases every block.
 *  @param heap  NULL and all-zero are accepted. All-zero afterwards.
 *  Ownership:   every pointer into the heap is dead.
 *  Threads:     one owner.
 *  Cost:        O(blocks); with guards O(allocations).
 */
AEGIS_API void aegis_arena_heap_fini(aegis_arena_heap *heap);

/** Allocates uninitialised bytes, aligned to AEGIS_ARENA_HEAP_ALIGN.
 *  @param size_bytes  0 gives a pointer that must not be dereferenced.
 *  @return            the bytes, or NULL: see aegis_arena_heap_last_error.
 *  On failure:        nothing changed except the error record.
 *  Ownership:         the heap's; good until it is freed, or the heap is reset, cleared or
 *                     finished.
 *  Threads:           one owner.
 *  Cost:              O(1) if a chunk of the size was freed or the current block has room. Else
 *                     it may merge the quick lists, and acquire a block.
 */
AEGIS_API void *aegis_arena_heap_alloc(aegis_arena_heap *heap, size_t size_bytes);

/** Allocates zeroed bytes, aligned to AEGIS_ARENA_HEAP_ALIGN. Bytes that the source has zeroed
 *  and that were never handed out are not cleared again.
 *  Parameters, @return, On failure, Ownership, Threads: as for aegis_arena_heap_alloc.
 *  Cost:  as aegis_arena_heap_alloc, and O(size_bytes).
 */
AEGIS_API void *aegis_arena_heap_alloc_zeroed(aegis_arena_heap *heap, size_t size_bytes);

/** Allocates bytes at an alignment that the caller chooses.
 *  @param align_bytes  a power of two. A value below AEGIS_ARENA_HEAP_ALIGN is raised to that.
 *  @param zeroed       whether the bytes must be zero.
 *  @return, On failure, Ownership, Threads, Cost: as for aegis_arena_heap_alloc_zeroed.
 */
AEGIS_API void *aegis_arena_heap_alloc_aligned(aegis_arena_heap *heap, size_t size_bytes,
                                               size_t align_bytes, bool zeroed);

/** Resizes an allocation where it is. This is possible if its chunk is large enough, or if a free
 *  chunk follows it. The source is not called.
 *  @param memory     what an allocation of this heap returned, or NULL, which is never resized.
 *  @param new_bytes  the size wanted; bytes beyond the old size are uninitialised.
 *  @return           whether it was resized.
 *  On failure:       `memory` is untouched and still good.
 *  Threads:          one owner.
 *  Cost:             O(1).
 */
AEGIS_API bool aegis_arena_heap_resize_in_place(aegis_arena_heap *heap, void *memory,
                                                size_t new_bytes);

/** Resizes an allocation: where it is if aegis_arena_heap_resize_in_place can do that, else by
 *  copying it to a new place, at AEGIS_ARENA_HEAP_ALIGN.
 *  @param memory     what an allocation of this heap returned, or NULL to allocate.
 *  @param new_bytes  the size wanted; bytes beyond the old size are uninitialised. 0 does not
 *                    free: it gives a pointer that must not be dereferenced.
 *  @return           the bytes, or NULL: see aegis_arena_heap_last_error. A size that is not
 *                    larger than the old one does not fail.
 *  On failure:       `memory` is untouched and still good.
 *  Ownership:        as for aegis_arena_heap_alloc; `memory` is dead unless it is what is
 *                    returned.
 *  Threads:          one owner.
 *  Cost:             O(1) in place, else O(old size) and aegis_arena_heap_alloc.
 */
AEGIS_API void *aegis_arena_heap_realloc(aegis_arena_heap *heap, void *memory, size_t new_bytes);

/** Resizes an allocation of a known size and alignment, as aegis_arena_heap_realloc does.
 *  @param old_bytes    the size `memory` has; a debug build reports a wrong one.
 *  @param align_bytes  a power of two; the alignment `memory` was allocated with.
 *  Other parameters, @return, On failure, Ownership, Threads, Cost: as for
 *  aegis_arena_heap_realloc.
 */
AEGIS_API void *aegis_arena_heap_realloc_aligned(aegis_arena_heap *heap, void *memory,
                                                 size_t old_bytes, size_t new_bytes,
                                                 size_t align_bytes);

/** Frees an allocation. A block of its own is released.
 *  @param memory  what an allocation of this heap returned, or NULL to do nothing.
 *  Ownership:     `memory` is dead.
 *  Threads:       one owner.
 *  Cost:          O(1).
 */
AEGIS_API void aegis_arena_heap_free(aegis_arena_heap *heap, void *memory);

/** Frees an allocation of a known size.
 *  @param size_bytes  the size `memory` has; a debug build reports a wrong one.
 *  Other parameters, Ownership, Threads, Cost: as for aegis_arena_heap_free.
 */
AEGIS_API void aegis_arena_heap_free_sized(aegis_arena_heap *heap, void *memory, size_t size_bytes);

/** Returns how many bytes of an allocation may be used: at least what was asked for. With guards
 *  or a checker it is what was asked for.
 *  @param memory  of this heap; NULL gives 0.
 *  Threads:       one owner.
 *  Cost:          O(1).
 */
AEGIS_API size_t aegis_arena_heap_usable_size(const aegis_arena_heap *heap, const void *memory);

/** Frees everything, and keeps every block for reuse.
 *  Ownership:  every pointer into the heap is dead.
 *  Threads:    one owner.
 *  Cost:       O(1) for any number of allocations and blocks; with guards, AEGIS_ARENA_WIPE or a
 *              checker O(allocations + bytes).
 */
AEGIS_API void aegis_arena_heap_reset(aegis_arena_heap *heap);

/** Merges the quick lists, and releases blocks of which nothing is out until at most `keep_bytes`
 *  are reserved or there is no such block. The caller's memory is never released.
 *  @param keep_bytes  bytes, as reserved_bytes counts them.
 *  Threads:           one owner.
 *  Cost:              O(blocks + chunks in quick lists).
 */
AEGIS_API void aegis_arena_heap_trim(aegis_arena_heap *heap, size_t keep_bytes);

/** Resets the heap and releases every block.
 *  Ownership:  every pointer into the heap is dead; the heap can be used again.
 *  Threads:    one owner.
 *  Cost:       O(blocks).
 */
AEGIS_API void aegis_arena_heap_clear(aegis_arena_heap *heap);

/** Charges all blocks of a heap to another budget instead of the present one. Later growth is
 *  charged there too. The budgets above both do not change, not even for a moment.
 *  @param budget  the new budget; NULL for none. The heap holds a reference to it, and gives up
 *                 the one to the old budget.
 *  @param error   overwritten on failure: it names the budget that refused. NULL if the reason
 *                 is not wanted.
 *  @return        AEGIS_OK; AEGIS_E_LIMIT_EXCEEDED as of aegis_budget_move; AEGIS_E_INVALID for a
 *                 heap in an arena of the caller.
 *  On failure:    nothing changed.
 *  Threads:       one owner, and not in a function that a call of this heap runs.
 *  Cost:          as aegis_budget_move.
 */
AEGIS_API aegis_status aegis_arena_heap_move_budget(aegis_arena_heap *heap, aegis_budget *budget,
                                                    aegis_error *error);

/** aegis_arena_heap_get_stats for statistics of `stats_bytes` bytes: see "Structs that grow" in
 *  base.h. */
AEGIS_API void aegis_arena_heap_get_stats_sized(const aegis_arena_heap *heap,
                                                aegis_arena_heap_stats *stats, size_t stats_bytes);

/** Reports the heap's statistics.
 *  @param stats  overwritten.
 *  Threads:      one owner.
 *  Cost:         O(1).
 */
AEGIS_STATIC_INLINE void aegis_arena_heap_get_stats(const aegis_arena_heap *heap,
                                                    aegis_arena_heap_stats *stats) {
    aegis_arena_heap_get_stats_sized(heap, stats, sizeof *stats);
}

#if !defined(AEGIS_FREESTANDING)
/** Draws a heap in one line: its name, what is out of what is reserved as a bar and in numbers, and
 *  how much is free in the quick lists or out in blocks of their own.
 *  @param print    called with the line. NULL writes it to the standard error output, for
 *                  debuggers.
 *  @param context  passed to `print`.
 *  Threads:        one owner.
 *  Cost:           as aegis_arena_heap_get_stats, without an allocation or a lock.
 */
AEGIS_API void aegis_arena_heap_print(const aegis_arena_heap *heap, aegis_print_fn print,
                                      void *context);
#endif

/** Reports why the latest failing request of this heap failed, even if later ones have succeeded.
 *  If the heap has memory of a fixed size, in_use_bytes is all of it but the largest free chunk.
 *  @param error  overwritten; its status is AEGIS_OK when no request has failed.
 *  Threads:      one owner.
 *  Cost:         O(1).
 */
AEGIS_API void aegis_arena_heap_last_error(const aegis_arena_heap *heap, aegis_error *error);

/** Writes the record of aegis_arena_heap_last_error as an English sentence, as
 *  aegis_error_explain does.
 *  @param buffer  where the text goes, ended with a zero byte unless buffer_bytes is 0. The text
 *                 is cut if the buffer is too small.
 *  @return        the bytes of the whole text, without the zero byte.
 *  Threads:       one owner.
 *  Cost:          O(text + budgets below the one that refused).
 */
AEGIS_API size_t aegis_arena_heap_explain(const aegis_arena_heap *heap, char *buffer,
                                          size_t buffer_bytes);

#ifdef __cplusplus
}
#endif

#endif
