/* SPDX-License-Identifier: Apache-2.0 */
/** @file pool.h
 *  The block pool: a fixed number of blocks of one size, allocated and freed in any order.
 *
 *  A block is one fixed-size piece that the pool hands out. It is out from the time it is
 *  allocated until it is freed. A slab is a piece of memory acquired from the source that holds
 *  many blocks. The first slab holds `block_count` blocks in one contiguous, page-aligned piece.
 *  So an index converts to the address of its block and back, and the slab can be registered
 *  with the kernel once. A pool may grow by whole slabs up to `max_block_count` blocks. The free
 *  blocks are kept as a stack of their addresses. Blocks that were never handed out are counted and
 *  not listed, so making a pool costs the same for any number of blocks.
 *
 *  Nothing is ever written into a block. What the pool knows about its blocks stands in side
 *  arrays: arrays beside a slab with a few bytes for each block. The free blocks are a sparse set
 *  (P. Briggs, L. Torczon, 1993): a side array says at which position of the stack each block
 *  would be. So a wrong aegis_pool_free is always detected and leaves the pool as it
 *  was: a foreign pointer, the middle of a block, a double free, a block of another pool. But if
 *  a block was freed and then allocated again, it is out. No pool can detect that its former
 *  owner frees it once more.
 *
 *  Invariants:
 *  1. A block that was handed out before is free if and only if it stands on the stack, from
 *     `free_blocks` to below `top`. NULL stands below the stack.
 *  2. The block with index i that stands on the stack below `placed` stands at
 *     `free_blocks[positions[i]]`. `placed` is the end of the array, unless an owner in Rust, which
 *     cannot free a block twice, has freed blocks without their positions. aegis_pool_free enters
 *     those positions first.
 *  3. The number of blocks that are out, plus those on the stack, is `touched_count`.
 *  4. The blocks with the indices `fresh_next .. fresh_end` were never handed out. All other
 *     blocks of the slabs held were.
 *
 *  Bound: 12 bytes beside each of `max_block_count` blocks (8 with 32-bit addresses), and 16 to 40
 *  bytes beside each slab after the first.
 *
 *  The source may use the pool while it gives the pool a slab or takes one back, and so may a
 *  pressure function of the budget. At that time no look-up and no count sees the slab. If the
 *  source calls a pool that is being finished, it finds a pool without blocks.
 *
 *  One thread owns a pool at a time. After a fork a child process may use its copy if the owner
 *  is the thread that forked, or if the owner was not inside a call. An all-zero aegis_pool is
 *  not ready for use, but aegis_pool_fini accepts it.
 */
#ifndef AEGIS_MEMORY_POOL_H
#define AEGIS_MEMORY_POOL_H

#include "base.h"
#include "budget.h"
#include "source.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Every slab starts at a multiple of this many bytes, or of the blocks' alignment if that is
 *  larger. */
#define AEGIS_POOL_SLAB_ALIGN 4096
/** The most blocks that a pool can have, including growth and the reserves for caches
 *  (lock_free_pool.h). With 32-bit addresses there are fewer, because the side arrays need room
 *  too; the error says how many. A pool has at most 536,870,913 slabs (16,777,217 with 32-bit
 *  addresses). */
#define AEGIS_POOL_MAX_BLOCKS 2147483392

/** How a pool is made. A field that is zero means a default, except `block_count`. */
typedef struct aegis_pool_options {
    /** Usable bytes of each block. 0 gives blocks that must not be dereferenced. */
    size_t block_bytes;
    /** Blocks of the first slab, and of each slab after it. At least 1. */
    size_t block_count;
    /** The pool grows up to this many blocks. 0: it never grows. The last slab may be
     *  smaller. */
    size_t max_block_count;
    /** Alignment of every block: a power of two. 0: 16 if block_bytes is a multiple of 16, else
     *  8. */
    size_t align_bytes;
    /** Where slabs come from; the struct is copied. NULL: anonymous pages. */
    const aegis_source *source;
    /** Charged for everything that the source gives: slabs and side arrays. NULL: no limit. The
     *  pool grows by whole slabs: if the budget has no room for one, the growth is refused. A
     *  smaller block_count uses a limit more fully. The pool holds a reference to the budget. */
    aegis_budget *budget;
    /** Says why the pool could not be made; it is written only then. aegis_error_explain writes it
     *  as a sentence. NULL: not wanted. */
    aegis_error *error;
    /** The longest wait for room in the budget, when the pool is made (for all that it takes then,
     *  at once) and when it grows. 0 does not wait; AEGIS_WAIT_FOREVER has no end. Requests get
     *  room in the order of their arrival at the budget (budget_arbitration.h). A thread that
     *  waits so is not cancelled. */
    uint64_t wait_ns;
} aegis_pool_options;

/** A grid: where a row of equal blocks lies, and what converts between address and index. */
typedef struct aegis_pool_grid {
    unsigned char *base;
    size_t stride_bytes;
    /** The stride is `odd * 2^rotate` with an odd number. This is the inverse of that number
     *  modulo 2^N, where N is the bits of a size_t. */
    size_t inverse;
    size_t count;
    uint32_t rotate;
} aegis_pool_grid;

/** The slabs of a pool: for the library's own use. */
typedef struct aegis_pool_slabs {
    /** The first slab. */
    aegis_pool_grid grid;
    size_t block_bytes;
    size_t align_bytes;
    /** One entry for each slab: its base, and two flags in the lowest bits. One flag says that
     *  the source had zeroed the slab, the other that the slab is about to be released. */
    uintptr_t *directory;
    /** Finds the slabs after the first one by address. A window is a range of addresses of the
     *  size of a slab, rounded up to a power of two. Each entry is a slab number; 0 marks an
     *  empty entry. */
    uint32_t *windows;
    /** The first byte of the side arrays. */
    unsigned char *side;
    void *meta;
    size_t meta_bytes;
    size_t reserved_bytes;
    size_t acquired_count;
    size_t released_count;
    uint32_t window_mask;
    uint32_t window_shift;
    /** Blocks of each slab after the first. The last slab may have fewer. */
    uint32_t step_count;
    /** One past the highest index. */
    uint32_t index_limit;
    uint32_t slab_limit;
    aegis_source source;
    aegis_budget *budget;
    uint64_t wait_ns;
} aegis_pool_slabs;

/** A pool with one owner. See the invariants above. */
typedef struct aegis_pool {
    /** The first slab as the inline functions see it: it has as many blocks as were ever handed
     *  out, or none when a checker (AddressSanitizer, Valgrind) watches. */
    aegis_pool_grid grid;
    /** The stack of the free blocks as the inline functions see it: one past the block that is
     *  taken next. When a checker watches, it is empty. */
    void **top;
    /** See the invariants. */
    void **placed;
    /** NULL in a keyed pool. */
    void **free_blocks;
    uint32_t *positions;
    /** The top of the stack when a checker watches. */
    void **watched_top;
    /** The stack of the free indices in a keyed pool; otherwise NULL. */
    uint32_t *free_indices;
    /** The height of that stack. */
    size_t free_count;
    size_t touched_count;
    size_t fresh_next;
    size_t fresh_end;
    size_t capacity;
    size_t slab_count;
    size_t peak_in_use;
    aegis_error failed;
    aegis_pool_slabs slabs;
} aegis_pool;

/** The statistics of a pool of any form. */
typedef struct aegis_pool_stats {
    /** Usable bytes of each block. */
    size_t block_bytes;
    /** From the start of one block to the start of the next: block_bytes rounded up to
     *  align_bytes. A build with AddressSanitizer or Valgrind support adds 16 before it
     *  rounds. */
    size_t stride_bytes;
    /** The alignment of each block. */
    size_t align_bytes;
    /** Blocks of the slabs held now, without the reserves for caches. */
    size_t capacity;
    /** Blocks that the pool may grow to. */
    size_t max_capacity;
    /** Blocks that are out. */
    size_t in_use;
    /** Blocks that can be allocated without growth: capacity - in_use, or 0. */
    size_t available;
    /** The largest value in_use has had. For a pool with caches, blocks in caches count too. In a
     *  lock-free pool, so do the free blocks that a trim was sorting while a block was taken. */
    size_t peak_in_use;
    /** Free blocks that are in caches. */
    size_t parked;
    /** Slabs held now. */
    size_t slab_count;
    /** Bytes acquired from the source and not released: slabs, in which a block takes
     *  stride_bytes, side arrays, and what is set aside for caches. */
    size_t reserved_bytes;
    /** Pieces of memory acquired from the source so far: the slabs, and one piece for the side
     *  arrays. */
    uint64_t acquired_count;
    /** Pieces of memory released to the source so far. */
    uint64_t released_count;
    /** Bytes of reserved_bytes that the pool has set aside for caches: it would have acquired so
     *  many less if it had been made for none. Always 0 for a pool that has no caches. */
    size_t cache_reserve_bytes;
    /** How many caches of the pool may be open at a time. */
    size_t max_cache_count;
} aegis_pool_stats;

/** One slab, as the get_slab functions report it. */
typedef struct aegis_pool_slab_info {
    /** The first block. */
    void *base;
    /** block_count times the stride. */
    size_t size_bytes;
    /** The index of its first block. */
    size_t first_index;
    /** Blocks in it, including the reserves of a pool with caches. */
    size_t block_count;
} aegis_pool_slab_info;

/** Converts an address to the index of the block that starts there. The result is exact for
 *  every address: an offset that is a multiple of the stride becomes its quotient, and no other
 *  offset becomes a number that small.
 *  @return   the index; or a number that is at least grid->count when no block of the grid
 *            starts there.
 *  Threads:  any thread.
 *  Cost:     O(1): a multiplication and a rotation.
 */
AEGIS_INLINE size_t aegis_pool_grid_find(const aegis_pool_grid *grid, const void *block) {
    size_t offset = (AEGIS_ADDRESS(block) - AEGIS_ADDRESS(grid->base)) * grid->inverse;
    uint32_t rotate = grid->rotate;
    return (offset >> rotate) |
           (offset << ((sizeof(size_t) * 8 - rotate) & (sizeof(size_t) * 8 - 1)));
}

/** aegis_pool_init for options of `options_bytes` bytes: see "Structs that grow" in base.h. */
AEGIS_API aegis_status aegis_pool_init_sized(aegis_pool *pool, const aegis_pool_options *options,
                                             size_t options_bytes);

/** Makes a pool.
 *  @param pool     memory for the struct; its content is overwritten.
 *  @param options  not NULL; see there. Only read during the call.
 *  @return         AEGIS_OK; AEGIS_E_INVALID (no options, no blocks, a maximum below the count);
 *                  AEGIS_E_INVALID_LAYOUT (an alignment that is not a power of two, too many
 *                  blocks, slabs or bytes); AEGIS_E_OUT_OF_MEMORY; AEGIS_E_LIMIT_EXCEEDED. The
 *                  error record says which option was refused, what it asked for and what is
 *                  allowed. If a budget refused, `requested_bytes` is block_count blocks, and
 *                  `needed_bytes` all that the pool was to take for them.
 *  On failure:     `pool` is all-zero except for its error record; the source is not closed.
 *  Ownership:      the caller's; finish it with aegis_pool_fini.
 *  Threads:        one owner.
 *  Cost:           O(1) and two acquires; O(blocks) if the source does not zero its memory.
 */
AEGIS_STATIC_INLINE aegis_status aegis_pool_init(aegis_pool *pool,
                                                 const aegis_pool_options *options) {
    return aegis_pool_init_sized(pool, options, sizeof *options);
}

/** Finishes a pool: releases all its memory.
 *  @param pool  NULL and all-zero are accepted. All-zero afterwards.
 *  @return      AEGIS_OK; AEGIS_E_BUSY when blocks are out.
 *  On failure:  nothing changed.
 *  Threads:     one owner.
 *  Cost:        O(slabs).
 */
AEGIS_API aegis_status aegis_pool_fini(aegis_pool *pool);

/** Finishes a pool even if blocks are out. Their memory is released too.
 *  @param pool  NULL and all-zero are accepted. All-zero afterwards.
 *  Ownership:   every pointer to a block is dead.
 *  Threads:     one owner.
 *  Cost:        O(slabs).
 */
AEGIS_API void aegis_pool_abandon(aegis_pool *pool);

/** The cold half of aegis_pool_alloc and aegis_pool_alloc_zeroed: blocks that were never handed
 *  out, slabs after the first, growth. Call those functions instead.
 *  @param zeroed  whether the bytes must be zero.
 *  @return        as for aegis_pool_alloc.
 *  Threads:       one owner.
 *  Cost:          O(1); O(slabs) and one acquire when the pool grows.
 */
AEGIS_API void *aegis_pool_alloc_slow(aegis_pool *pool, bool zeroed);

/** The cold half of aegis_pool_free: slabs after the first, missing positions, and refusals.
 *  Call that function instead.
 *  Parameters, @return: as for aegis_pool_free.
 *  Threads:  one owner.
 *  Cost:     O(1), and O(1) for each block that was freed without its position.
 */
AEGIS_API aegis_status aegis_pool_free_slow(aegis_pool *pool, void *block);

/** Allocates a block. Its content is undefined.
 *  @return      the block, or NULL: see aegis_pool_last_error. AEGIS_E_EXHAUSTED: all blocks are
 *               out. AEGIS_E_OUT_OF_MEMORY, AEGIS_E_LIMIT_EXCEEDED: the pool had to grow, and
 *               the source or the budget refused.
 *  On failure:  nothing changed except the error record.
 *  Ownership:   the caller's until aegis_pool_free.
 *  Threads:     one owner.
 *  Cost:        O(1); one acquire when the pool grows.
 */
AEGIS_INLINE void *aegis_pool_alloc(aegis_pool *pool) {
    void **top = pool->top;
    void *block = AEGIS_UNLIKELY(top == NULL) ? AEGIS_NULL : top[-1];
    if (AEGIS_UNLIKELY(block == NULL))
        return aegis_pool_alloc_slow(pool, false);
    pool->top = top - 1;
    return block;
}

/** Allocates a block of zeroes. If the source had zeroed the memory and the block is handed out
 *  for the first time, it is not cleared again.
 *  @return, On failure, Ownership, Threads: as for aegis_pool_alloc.
 *  Cost:  O(block_bytes); O(1) on such fresh memory.
 */
AEGIS_INLINE void *aegis_pool_alloc_zeroed(aegis_pool *pool) {
    void **top = pool->top;
    void *block = AEGIS_UNLIKELY(top == NULL) ? AEGIS_NULL : top[-1];
    if (AEGIS_UNLIKELY(block == NULL))
        return aegis_pool_alloc_slow(pool, true);
    pool->top = top - 1;
    return memset(block, 0, pool->slabs.block_bytes);
}

/** Frees a block.
 *  @param block  any pointer.
 *  @return       AEGIS_OK; AEGIS_E_INVALID unless it is a block of this pool that is out. So it
 *                detects NULL, a foreign pointer, the middle of a block, and a double free.
 *  On failure:   nothing changed.
 *  Ownership:    the pool's again.
 *  Threads:      one owner.
 *  Cost:         O(1).
 */
AEGIS_INLINE aegis_status aegis_pool_free(aegis_pool *pool, void *block) {
    size_t index = aegis_pool_grid_find(&pool->grid, block);
    void **top = pool->top, **entry;
    if (AEGIS_UNLIKELY(index >= pool->grid.count || top > pool->placed))
        return aegis_pool_free_slow(pool, block);
    entry = pool->free_blocks + pool->positions[index];
    if (AEGIS_UNLIKELY(entry < top && *entry == block))
        return AEGIS_E_INVALID;
    pool->positions[index] = AEGIS_CAST(uint32_t, top - pool->free_blocks);
    *top = block;
    pool->top = top + 1;
    return AEGIS_OK;
}

/** Allocates several blocks. Their content is undefined.
 *  @param blocks  room for `count` pointers.
 *  @return        how many were allocated; they are the first entries of `blocks`. If there are
 *                 fewer than `count`, aegis_pool_last_error says why.
 *  Ownership, Threads: as for aegis_pool_alloc.
 *  Cost:          O(count).
 */
AEGIS_API size_t aegis_pool_alloc_n(aegis_pool *pool, void **blocks, size_t count);

/** Frees several blocks, or none of them.
 *  @return      AEGIS_OK; AEGIS_E_INVALID when one of them is not a block of this pool that is
 *               out, or stands there twice.
 *  On failure:  nothing changed.
 *  Ownership, Threads: as for aegis_pool_free.
 *  Cost:        O(count).
 */
AEGIS_API aegis_status aegis_pool_free_n(aegis_pool *pool, void *const *blocks, size_t count);

/** Converts an address to the index of the block that starts there, whether it is out or not.
 *  @param index  overwritten. The indices start at 0 with the first block of the first slab.
 *  @return       AEGIS_OK; AEGIS_E_INVALID when no block of this pool starts there.
 *  On failure:   `index` is untouched.
 *  Threads:      one owner.
 *  Cost:         O(1).
 */
AEGIS_API aegis_status aegis_pool_index_of(const aegis_pool *pool, const void *block,
                                           size_t *index);

/** Converts an index to the address of the block, whether it is out or not.
 *  @return   the address; NULL when no slab held now has the index.
 *  Threads:  one owner.
 *  Cost:     O(1).
 */
AEGIS_API void *aegis_pool_address_of(const aegis_pool *pool, size_t index);

/** Tells whether a block of this pool starts at an address.
 *  @return   true also for a block that is not out.
 *  Threads:  one owner.
 *  Cost:     O(1).
 */
AEGIS_API bool aegis_pool_owns(const aegis_pool *pool, const void *block);

/** aegis_pool_get_slab for a description of `info_bytes` bytes: see "Structs that grow" in
 *  base.h. */
AEGIS_API aegis_status aegis_pool_get_slab_sized(const aegis_pool *pool, size_t slab,
                                                 aegis_pool_slab_info *info, size_t info_bytes);

/** Reports a slab, for instance to register it with the kernel.
 *  @param slab  from 0. The first slab stays where it is as long as the pool lives.
 *  @param info  overwritten when the slab is held.
 *  @return      AEGIS_OK; AEGIS_E_INVALID when there is no such slab; AEGIS_E_EXHAUSTED when it
 *               is not held now. In that case a later slab may still be held.
 *  Threads:     one owner.
 *  Cost:        O(1).
 */
AEGIS_STATIC_INLINE aegis_status aegis_pool_get_slab(const aegis_pool *pool, size_t slab,
                                                     aegis_pool_slab_info *info) {
    return aegis_pool_get_slab_sized(pool, slab, info, sizeof *info);
}

/** Releases slabs without a block that is out, the last slab first. The first slab stays.
 *  @param keep_block_count  a slab stays if the pool would have fewer blocks than this without
 *                           it.
 *  Threads:                 one owner.
 *  Cost:                    O(blocks).
 */
AEGIS_API void aegis_pool_trim(aegis_pool *pool, size_t keep_block_count);

/** Charges all memory of a pool to another budget instead of the present one. Later growth is
 *  charged there too. Blocks that are out stay good.
 *  @param budget  the new budget; NULL for none. The pool holds a reference to it, and gives up
 *                 the one to the old budget.
 *  @param error   overwritten on failure: it names the budget that refused. NULL if the reason
 *                 is not wanted.
 *  @return        AEGIS_OK; AEGIS_E_LIMIT_EXCEEDED as of aegis_budget_move.
 *  On failure:    nothing changed.
 *  Threads:       one owner.
 *  Cost:          as aegis_budget_move.
 */
AEGIS_API aegis_status aegis_pool_move_budget(aegis_pool *pool, aegis_budget *budget,
                                              aegis_error *error);

/** aegis_pool_get_stats for statistics of `stats_bytes` bytes: see "Structs that grow" in
 *  base.h. */
AEGIS_API void aegis_pool_get_stats_sized(const aegis_pool *pool, aegis_pool_stats *stats,
                                          size_t stats_bytes);

/** Reports the pool's statistics.
 *  @param stats  overwritten.
 *  Threads:      one owner.
 *  Cost:         O(1).
 */
AEGIS_STATIC_INLINE void aegis_pool_get_stats(const aegis_pool *pool, aegis_pool_stats *stats) {
    aegis_pool_get_stats_sized(pool, stats, sizeof *stats);
}

#if !defined(AEGIS_FREESTANDING)
/** Draws a pool: a line for the whole, and a line for each slab: how many of its blocks are out,
 *  and where it starts.
 *  @param print    called once for each line. NULL writes the lines to the standard error output,
 *                  for debuggers.
 *  @param context  passed to `print`.
 *  Threads:        one owner.
 *  Cost:           O(blocks + slabs), without an allocation or a lock.
 */
AEGIS_API void aegis_pool_print(const aegis_pool *pool, aegis_print_fn print, void *context);
#endif

/** Reports why the latest failing request of this pool failed.
 *  @param error  overwritten; its status is AEGIS_OK when no request has failed. If the pool was
 *                exhausted, `what` counts blocks, and all sizes are those of whole blocks. If
 *                a budget refused, `requested_bytes` is a block, and `needed_bytes` the slab for
 *                it. If the source had no memory, `requested_bytes` is the slab, and
 *                `in_use_bytes` all that the pool has reserved.
 *  Threads:      one owner.
 *  Cost:         O(1).
 */
AEGIS_API void aegis_pool_last_error(const aegis_pool *pool, aegis_error *error);

/** Writes the record of aegis_pool_last_error as an English sentence, as aegis_error_explain
 *  does. If a budget refused, the sentence names it and its largest consumers.
 *  @param pool    also one that aegis_pool_init could not make.
 *  @param buffer  where the text goes, ended with a zero byte unless buffer_bytes is 0. The text
 *                 is cut if the buffer is too small.
 *  @return        the bytes of the whole text, without the zero byte.
 *  Threads:       one owner.
 *  Cost:          O(text + budgets below the one that refused).
 */
AEGIS_API size_t aegis_pool_explain(const aegis_pool *pool, char *buffer, size_t buffer_bytes);

#ifdef __cplusplus
}
#endif

#endif
