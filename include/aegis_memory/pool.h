/* SPDX-License-Identifier: Apache-2.0 */
/** @file pool.h
 *  The block pool: a fixed number of blocks of one size, taken and given back in any order.
 *
 *  Blocks are carved from slabs. The first slab holds `block_count` blocks in one contiguous,
 *  page-aligned piece, so that the index and the address of a block convert both ways and the slab
 *  can be registered with the kernel once. A pool may grow by whole slabs up to `max_block_count`.
 *  Free blocks are a stack of indices; blocks that were never handed out are counted, not listed,
 *  so making a pool costs the same for any number of blocks.
 *
 *  Nothing is ever written into a block. The free indices are a sparse set (P. Briggs, L. Torczon,
 *  1993): an array beside the slabs says where in the stack each would be, so a wrong
 *  aegis_pool_free (a foreign pointer, the middle of a block, a double free, a block of another
 *  pool) is always detected and leaves the pool as it was. A block that was given back and has
 *  been handed out anew is out: no pool can tell its two owners apart.
 *
 *  Invariants: a block that was handed out before is free if and only if
 *  `positions[i] < free_count && free_indices[positions[i]] == i`. Blocks that are out, plus
 *  `free_count`, are `touched_count`. The indices in `fresh_next .. fresh_end`, and no other of the
 *  slabs held, were never handed out.
 *  Bound: 8 bytes beside each of `max_block_count` blocks; 16 to 40 beside each further slab.
 *
 *  The source may use the pool as it gives it a slab or takes one back, which is out of all
 *  look-ups and counts by then; so may a pressure function of the budget. A pool that the source
 *  calls as it is being finished has no blocks.
 *
 *  One thread owns a pool at a time. After a fork a child process may use its copy if the owner is
 *  the thread that forked, or was not inside of a call. An all-zero aegis_pool is not ready for
 *  use, but aegis_pool_fini accepts it.
 */
#ifndef AEGIS_MEMORY_POOL_H
#define AEGIS_MEMORY_POOL_H

#include "base.h"
#include "budget.h"
#include "source.h"

#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Every slab starts at a multiple of this many bytes, or of the blocks' alignment if larger. */
#define AEGIS_POOL_SLAB_ALIGN 4096
/** The most blocks a pool can have, growth and reserves of caches included. With 32-bit addresses
 *  there are fewer, as what lies beside the blocks must find room too: the error says how many.
 *  Growth is up to 536,870,913 slabs (16,777,217 with 32-bit addresses). */
#define AEGIS_POOL_MAX_BLOCKS 2147483392

/** How a pool is to be made. Zero fields, `block_count` aside, mean defaults. */
typedef struct aegis_pool_options {
    /** Usable bytes of each block. 0 gives blocks that must not be dereferenced. */
    size_t block_bytes;
    /** Blocks of the first slab, and of each further one. At least 1. */
    size_t block_count;
    /** The pool grows up to this many blocks. 0: it never grows. The last slab may be smaller. */
    size_t max_block_count;
    /** Alignment of every block: a power of two. 0: 16 if block_bytes is a multiple of 16, else 8.
     */
    size_t align_bytes;
    /** Where slabs come from, copied. NULL: anonymous pages. */
    const aegis_source *source;
    /** Charged for all that the source gives, slabs and side arrays. The pool holds a reference.
     *  NULL: none. */
    aegis_budget *budget;
    /** Says why the pool could not be made; written then only. NULL: not wanted. */
    aegis_error *error;
} aegis_pool_options;

/** Where a row of equal blocks lies, with what it takes to convert address and index fast. */
typedef struct aegis_pool_grid {
    unsigned char *base;
    size_t stride_bytes;
    /** The inverse of the stride's odd part modulo 2^N; `rotate` is the power of two in it. */
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
    /** One entry a slab: its base, and in the lowest two bits whether the source had
     *  zeroed it and whether it is about to go back. */
    uintptr_t *directory;
    /** Address window to slab number, for the slabs after the first. 0 marks an empty entry. */
    uint32_t *windows;
    /** The first byte of the side arrays of the pool's form. */
    unsigned char *side;
    void *meta;
    size_t meta_bytes;
    size_t reserved_bytes;
    size_t acquired_count;
    size_t released_count;
    uint32_t window_mask;
    uint32_t window_shift;
    /** Blocks of each slab after the first, the last one possibly aside. */
    uint32_t step_count;
    /** One past the highest index. */
    uint32_t index_limit;
    uint32_t slab_limit;
    aegis_source source;
    aegis_budget *budget;
} aegis_pool_slabs;

/** A pool with one owner. See the invariants above. */
typedef struct aegis_pool {
    /** The first slab as the inline functions see it: as many blocks as were ever handed out, or
     *  none when a checker watches. */
    aegis_pool_grid grid;
    uint32_t *free_indices;
    uint32_t *positions;
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

/** The figures of a pool of any form. */
typedef struct aegis_pool_stats {
    /** Usable bytes of each block. */
    size_t block_bytes;
    /** From the start of one block to that of the next: block_bytes rounded up to align_bytes, and
     *  16 more before rounding in a build with AddressSanitizer or Valgrind support. */
    size_t stride_bytes;
    size_t align_bytes;
    /** Blocks that the slabs held now promise. */
    size_t capacity;
    /** Blocks that the pool may grow to. */
    size_t max_capacity;
    /** Blocks handed out and not given back. */
    size_t in_use;
    /** Blocks that can be had without growth: capacity - in_use, or 0. */
    size_t available;
    /** The largest value in_use has had; for a pool with caches, blocks in caches included. */
    size_t peak_in_use;
    /** Free blocks that lie in caches. */
    size_t parked;
    /** Slabs held now. */
    size_t slab_count;
    /** Bytes taken from the source and not given back, side arrays included. */
    size_t reserved_bytes;
    /** Pieces of memory ever acquired from the source: the slabs, and one for the side arrays. */
    uint64_t acquired_count;
    /** Pieces of memory ever given back to the source. */
    uint64_t released_count;
} aegis_pool_stats;

/** One slab, as the get_slab functions report it. */
typedef struct aegis_pool_slab_info {
    void *base;
    /** block_count strides. */
    size_t size_bytes;
    /** The index of its first block. */
    size_t first_index;
    /** Blocks in it, reserves of a pool with caches included. */
    size_t block_count;
} aegis_pool_slab_info;

/** Converts an address to the index of the block that starts there. Exact for every address: a
 *  multiple of the stride goes to its quotient, and no other offset to a number that small.
 *  @return   the index, or a number not below grid->count when no block of the grid starts there.
 *  Threads:  any thread.
 *  Cost:     O(1): a multiplication and a rotation.
 */
AEGIS_INLINE size_t aegis_pool_grid_find(const aegis_pool_grid *grid, const void *block) {
    size_t offset = (AEGIS_ADDRESS(block) - AEGIS_ADDRESS(grid->base)) * grid->inverse;
    uint32_t rotate = grid->rotate;
    return (offset >> rotate) |
           (offset << ((sizeof(size_t) * 8 - rotate) & (sizeof(size_t) * 8 - 1)));
}

/** Makes a pool.
 *  @param pool     memory for the struct; its content is overwritten.
 *  @param options  not NULL; see there.
 *  @return         AEGIS_OK; AEGIS_E_INVALID (no options, no blocks, a maximum below the count);
 *                  AEGIS_E_INVALID_LAYOUT (an alignment that is no power of two, too many blocks,
 *                  slabs or bytes); AEGIS_E_OUT_OF_MEMORY; AEGIS_E_LIMIT_EXCEEDED. The error record
 *                  says which option it was, what it asked for and what is allowed.
 *  On failure:     `pool` is all-zero but for its error record; the source is not closed.
 *  Ownership:      the caller's; finish it with aegis_pool_fini. `options` may go at once.
 *  Threads:        one owner.
 *  Cost:           O(1) and two acquires; O(blocks) if the source does not zero its memory.
 */
AEGIS_API aegis_status aegis_pool_init(aegis_pool *pool, const aegis_pool_options *options);

/** Gives all memory back.
 *  @param pool   NULL and all-zero are accepted. All-zero afterwards.
 *  @return       AEGIS_OK; AEGIS_E_BUSY when blocks are out.
 *  On failure:   nothing changed.
 *  Threads:      one owner.
 *  Cost:         O(slabs).
 */
AEGIS_API aegis_status aegis_pool_fini(aegis_pool *pool);

/** Gives all memory back though blocks may be out, which are gone with it.
 *  @param pool   NULL and all-zero are accepted. All-zero afterwards.
 *  Threads:      one owner.
 *  Cost:         O(slabs).
 */
AEGIS_API void aegis_pool_abandon(aegis_pool *pool);

/** The cold half of aegis_pool_alloc and aegis_pool_alloc_zeroed: blocks that were never handed
 *  out, later slabs, growth. Call those instead.
 *  Threads:  one owner.
 *  Cost:     O(1); O(slabs) and one acquire when the pool grows.
 */
AEGIS_API void *aegis_pool_alloc_slow(aegis_pool *pool, bool zeroed);

/** The cold half of aegis_pool_free: later slabs and refusals. Call that instead.
 *  Threads:  one owner.
 *  Cost:     O(1).
 */
AEGIS_API aegis_status aegis_pool_free_slow(aegis_pool *pool, void *block);

/** Takes a block, its content undefined.
 *  @return      the block, or NULL: see aegis_pool_last_error. AEGIS_E_EXHAUSTED: all blocks are
 *               out; AEGIS_E_OUT_OF_MEMORY, AEGIS_E_LIMIT_EXCEEDED: growth was due and the source
 *               or the budget refused.
 *  On failure:  nothing changed but the error record.
 *  Ownership:   the caller's until aegis_pool_free.
 *  Threads:     one owner.
 *  Cost:        O(1); one acquire when the pool grows.
 */
AEGIS_INLINE void *aegis_pool_alloc(aegis_pool *pool) {
    size_t free_count = pool->free_count;
    uint32_t index;
    if (AEGIS_UNLIKELY(free_count == 0))
        return aegis_pool_alloc_slow(pool, false);
    index = pool->free_indices[free_count - 1];
    if (AEGIS_UNLIKELY(index >= pool->grid.count))
        return aegis_pool_alloc_slow(pool, false);
    pool->free_count = free_count - 1;
    return pool->grid.base + index * pool->grid.stride_bytes;
}

/** Takes a block of zeroes. A block handed out for the first time, from memory that the source
 *  had zeroed, is not cleared again.
 *  @return, On failure, Ownership, Threads: as for aegis_pool_alloc.
 *  Cost:        O(block_bytes); O(1) on fresh memory.
 */
AEGIS_INLINE void *aegis_pool_alloc_zeroed(aegis_pool *pool) {
    size_t free_count = pool->free_count;
    uint32_t index;
    if (AEGIS_UNLIKELY(free_count == 0))
        return aegis_pool_alloc_slow(pool, true);
    index = pool->free_indices[free_count - 1];
    if (AEGIS_UNLIKELY(index >= pool->grid.count))
        return aegis_pool_alloc_slow(pool, true);
    pool->free_count = free_count - 1;
    return memset(pool->grid.base + index * pool->grid.stride_bytes, 0, pool->slabs.block_bytes);
}

/** Gives a block back.
 *  @param block  any pointer.
 *  @return       AEGIS_OK; AEGIS_E_INVALID when it is not a block of this pool that is out: NULL,
 *                a foreign pointer, the middle of a block, a double free.
 *  On failure:   nothing changed.
 *  Ownership:    the pool's again.
 *  Threads:      one owner.
 *  Cost:         O(1).
 */
AEGIS_INLINE aegis_status aegis_pool_free(aegis_pool *pool, void *block) {
    size_t index = aegis_pool_grid_find(&pool->grid, block);
    size_t free_count = pool->free_count;
    uint32_t position;
    if (AEGIS_UNLIKELY(index >= pool->grid.count))
        return aegis_pool_free_slow(pool, block);
    position = pool->positions[index];
    if (AEGIS_UNLIKELY(position < free_count && pool->free_indices[position] == index))
        return AEGIS_E_INVALID;
    pool->positions[index] = free_count & UINT32_MAX;
    /* A block that goes back where it was taken finds its index there. Not storing it again keeps
     * the next taking, which loads it, from waiting for this address's conversion. */
    if (pool->free_indices[free_count] != index)
        pool->free_indices[free_count] = index & UINT32_MAX;
    pool->free_count = free_count + 1;
    return AEGIS_OK;
}

/** Takes several blocks, their content undefined.
 *  @param blocks  room for `count` pointers.
 *  @return        how many were taken, the first entries of `blocks`; when fewer than `count`,
 *                 aegis_pool_last_error says why.
 *  Ownership, Threads: as for aegis_pool_alloc.
 *  Cost:          O(count).
 */
AEGIS_API size_t aegis_pool_alloc_n(aegis_pool *pool, void **blocks, size_t count);

/** Gives several blocks back, all or none.
 *  @return      AEGIS_OK; AEGIS_E_INVALID when one of them is not a block of this pool that is out,
 *               or is there twice.
 *  On failure:  nothing changed.
 *  Ownership, Threads: as for aegis_pool_free.
 *  Cost:        O(count).
 */
AEGIS_API aegis_status aegis_pool_free_n(aegis_pool *pool, void *const *blocks, size_t count);

/** Converts an address to the index of the block that starts there, whether it is out or not.
 *  @param index  overwritten; numbers go from 0, first slab first.
 *  @return       AEGIS_OK; AEGIS_E_INVALID when no block of this pool starts there.
 *  On failure:   `index` is untouched.
 *  Threads:      one owner.
 *  Cost:         O(1).
 */
AEGIS_API aegis_status aegis_pool_index_of(const aegis_pool *pool, const void *block,
                                           size_t *index);

/** Converts an index to the address of the block, whether it is out or not.
 *  @return   NULL when the index lies in no slab held now.
 *  Threads:  one owner.
 *  Cost:     O(1).
 */
AEGIS_API void *aegis_pool_address_of(const aegis_pool *pool, size_t index);

/** Tells whether a block of this pool starts at an address.
 *  Threads:  one owner.
 *  Cost:     O(1).
 */
AEGIS_API bool aegis_pool_owns(const aegis_pool *pool, const void *block);

/** Reports a slab, to register it with the kernel, say.
 *  @param slab  from 0; the first slab stays where it is for the pool's life.
 *  @param info  overwritten when the slab is held.
 *  @return      AEGIS_OK; AEGIS_E_INVALID when there is no such slab, AEGIS_E_EXHAUSTED when it is
 *               not held now, but later ones may be.
 *  Threads:     one owner.
 *  Cost:        O(1).
 */
AEGIS_API aegis_status aegis_pool_get_slab(const aegis_pool *pool, size_t slab,
                                           aegis_pool_slab_info *info);

/** Gives slabs without blocks out back to the source, the last first. The first slab stays.
 *  @param keep_block_count  no slab goes whose blocks are needed to keep this many in all.
 *  Threads:                 one owner.
 *  Cost:                    O(blocks).
 */
AEGIS_API void aegis_pool_trim(aegis_pool *pool, size_t keep_block_count);

/** Reports the pool's figures.
 *  @param stats  overwritten.
 *  Threads:      one owner.
 *  Cost:         O(1).
 */
AEGIS_API void aegis_pool_get_stats(const aegis_pool *pool, aegis_pool_stats *stats);

/** Reports why the latest failing request of this pool failed.
 *  @param error  overwritten; its status is AEGIS_OK when none has failed. If the pool was
 *                exhausted, it counts blocks, and all sizes are those of whole ones; else what was
 *                asked for is a whole slab, and what is in use is all that the pool has reserved or
 *                that the budget is charged with.
 *  Threads:      one owner.
 *  Cost:         O(1).
 */
AEGIS_API void aegis_pool_last_error(const aegis_pool *pool, aegis_error *error);

#ifdef __cplusplus
}
#endif

#endif
