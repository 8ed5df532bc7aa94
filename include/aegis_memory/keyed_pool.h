/* SPDX-License-Identifier: Apache-2.0 */
/** @file keyed_pool.h
 *  The keyed pool: a pool whose blocks are named by keys.
 *
 *  A key is a number of 64 bits: the index of a block in the low 32 bits, and a generation in the
 *  high 32 bits. It fits where the kernel or a file gives a program one number to remember, as
 *  the user data of epoll and io_uring. A key is valid from the time when its block is allocated
 *  until the block is freed. After that it is stale, and every function refuses it, also when the
 *  block is allocated again or its slab has gone back to the source. 0 is never a key. A key of
 *  one pool means nothing in another pool, which may have a block of its own under that number.
 *
 *  The blocks are those of an aegis_pool (pool.h). They never move, and nothing is written into
 *  them. A third side array has the generation of each index. It starts at 0, and every
 *  allocation and every free adds 1. So a generation is odd while the block is out, and only then
 *  can a key have it. This is how slot maps work (S. Parent's and A. Weissflog's handles, the
 *  crates slotmap and generational-arena), except that the generations lie beside the blocks.
 *
 *  A generation never starts again. When the 2,147,483,648th key of an index is freed, the index
 *  is retired: its block is not used again until the pool ends. So no key is handed out twice.
 *
 *  Invariants:
 *  1. `generations[i]` is odd if and only if the block with the index i is out and not retired.
 *  2. `generations[i]` is 0 for every index from `index_bound` on.
 *  3. The number of keys that are valid is the number of blocks that are out, minus
 *     `retired_count`.
 *  4. The stack of free blocks has blocks that were never handed out below all others: several are
 *     put there at once. So the inline functions take those too.
 *  5. Slab number s has the indices from `s << step_shift` on. For this, a pool that can grow has
 *     a power of two of blocks in each slab. In a pool that cannot grow, step_shift is 31.
 *
 *  Bound: 12 bytes beside each of `max_block_count` blocks, and 16 to 40 bytes beside each slab
 *  after the first. They are charged and acquired when the pool is made; anonymous pages take
 *  memory of the system only where they are used.
 *
 *  The `pool` inside may be given to these functions of pool.h: aegis_pool_get_slab, _index_of,
 *  _address_of, _owns, _move_budget, _last_error and _explain. No other function of pool.h may be
 *  called with it: `positions` is kept up to date only during a trim, and the peak is counted
 *  otherwise.
 *
 *  One thread owns a pool at a time, and several may read it while no thread changes it. An
 *  all-zero aegis_keyed_pool is not ready for use, but aegis_keyed_pool_fini accepts it, and no
 *  key is valid in it.
 */
#ifndef AEGIS_MEMORY_KEYED_POOL_H
#define AEGIS_MEMORY_KEYED_POOL_H

#include "base.h"
#include "pool.h"

#ifdef __cplusplus
extern "C" {
#endif

/** A keyed pool. See the invariants above. */
typedef struct aegis_keyed_pool {
    aegis_pool pool;
    /** One entry for each index. */
    uint32_t *generations;
    /** No index from here on has ever had a key. */
    size_t index_bound;
    /** Indices that are not used again. */
    size_t retired_count;
    uint32_t step_shift;
    /** All bits below step_shift. */
    uint32_t step_mask;
} aegis_keyed_pool;

/** aegis_keyed_pool_init for options of `options_bytes` bytes: see "Structs that grow" in
 *  base.h. */
AEGIS_API aegis_status aegis_keyed_pool_init_sized(aegis_keyed_pool *pool,
                                                   const aegis_pool_options *options,
                                                   size_t options_bytes);

/** Makes a pool.
 *  @param pool     memory for the struct; its content is overwritten.
 *  @param options  not NULL; as for aegis_pool_init. If max_block_count is larger than
 *                  block_count, block_count is rounded up to a power of two, or to
 *                  max_block_count if that is less.
 *  @return, On failure: as for aegis_pool_init; aegis_pool_last_error of the pool inside says why.
 *  Ownership:      the caller's; finish it with aegis_keyed_pool_fini.
 *  Threads:        one owner.
 *  Cost:           O(1) and two acquires; O(blocks) if the source does not zero its memory.
 */
AEGIS_STATIC_INLINE aegis_status aegis_keyed_pool_init(aegis_keyed_pool *pool,
                                                       const aegis_pool_options *options) {
    return aegis_keyed_pool_init_sized(pool, options, sizeof *options);
}

/** Finishes a pool: releases all its memory.
 *  @param pool  NULL and all-zero are accepted. All-zero afterwards.
 *  @return      AEGIS_OK; AEGIS_E_BUSY when blocks are out.
 *  On failure:  nothing changed.
 *  Threads:     one owner.
 *  Cost:        O(slabs).
 */
AEGIS_API aegis_status aegis_keyed_pool_fini(aegis_keyed_pool *pool);

/** Finishes a pool even if blocks are out. Their memory is released too.
 *  @param pool  NULL and all-zero are accepted. All-zero afterwards.
 *  Ownership:   every pointer to a block is dead.
 *  Threads:     one owner.
 *  Cost:        O(slabs).
 */
AEGIS_API void aegis_keyed_pool_abandon(aegis_keyed_pool *pool);

/** The cold half of aegis_keyed_pool_alloc. Call that function instead.
 *  Parameters, @return: as for aegis_keyed_pool_alloc.
 *  Threads:  one owner.
 *  Cost:     O(1); O(slabs) and one acquire when the pool grows.
 */
AEGIS_API void *aegis_keyed_pool_alloc_slow(aegis_keyed_pool *pool, uint64_t *key);

/** The cold half of aegis_keyed_pool_free. Call that function instead.
 *  Parameters, @return: as for aegis_keyed_pool_free.
 *  Threads:  one owner.
 *  Cost:     O(1).
 */
AEGIS_API aegis_status aegis_keyed_pool_free_slow(aegis_keyed_pool *pool, uint64_t key);

/** Allocates a block under a new key. Its content is undefined.
 *  @param key   overwritten with the key, which is not 0.
 *  @return      the block, or NULL: as for aegis_pool_alloc.
 *  On failure:  `key` is 0, and nothing else changed except the error record.
 *  Ownership:   the caller's until aegis_keyed_pool_free.
 *  Threads:     one owner.
 *  Cost:        O(1); one acquire when the pool grows.
 */
AEGIS_INLINE void *aegis_keyed_pool_alloc(aegis_keyed_pool *pool, uint64_t *key) {
    size_t free_count = pool->pool.free_count;
    uint32_t index, generation;
    if (AEGIS_UNLIKELY(free_count == 0))
        return aegis_keyed_pool_alloc_slow(pool, key);
    index = pool->pool.free_indices[free_count - 1];
    if (AEGIS_UNLIKELY(index >= pool->pool.grid.count))
        return aegis_keyed_pool_alloc_slow(pool, key);
    pool->pool.free_count = free_count - 1;
    generation = pool->generations[index] + 1;
    pool->generations[index] = generation;
    *key = AEGIS_CAST(uint64_t, generation) << 32 | index;
    return pool->pool.grid.base + index * pool->pool.grid.stride_bytes;
}

/** Finds the block of a key.
 *  @param key  any number.
 *  @return     the block; NULL when the key is not valid.
 *  Ownership:  the block's, until its key is freed.
 *  Threads:    several may call it while none changes the pool.
 *  Cost:       O(1): two comparisons and a multiplication in the first slab; a shift and one load
 *              more in a later one.
 */
AEGIS_INLINE void *aegis_keyed_pool_get(const aegis_keyed_pool *pool, uint64_t key) {
    const aegis_pool_grid *grid = &pool->pool.grid;
    uint32_t index = AEGIS_CAST(uint32_t, key & UINT32_MAX);
    uint32_t generation = AEGIS_CAST(uint32_t, key >> 32);
    uintptr_t slab = 0;
    if (index < grid->count) {
        if (pool->generations[index] == generation && (generation & 1) != 0)
            return grid->base + index * grid->stride_bytes;
    } else if (index < pool->pool.slabs.index_limit && pool->generations[index] == generation &&
               (generation & 1) != 0) {
        /* A block is out, so its slab is held. The lowest two bits are flags. */
        slab = pool->pool.slabs.directory[index >> pool->step_shift] & ~AEGIS_CAST(uintptr_t, 3);
        slab += (index & pool->step_mask) * grid->stride_bytes;
    }
    return AEGIS_POINTER(void *, slab);
}

/** Frees the block of a key. The key is stale from then on.
 *  @param key   any number.
 *  @return      AEGIS_OK; AEGIS_E_INVALID when the key is not valid.
 *  On failure:  nothing changed.
 *  Ownership:   the block is the pool's again.
 *  Threads:     one owner.
 *  Cost:        O(1).
 */
AEGIS_INLINE aegis_status aegis_keyed_pool_free(aegis_keyed_pool *pool, uint64_t key) {
    uint32_t index = AEGIS_CAST(uint32_t, key & UINT32_MAX);
    uint32_t generation = AEGIS_CAST(uint32_t, key >> 32);
    size_t free_count = pool->pool.free_count;
    if (AEGIS_UNLIKELY(index >= pool->pool.grid.count || generation == UINT32_MAX))
        return aegis_keyed_pool_free_slow(pool, key);
    if (AEGIS_UNLIKELY(pool->generations[index] != generation || (generation & 1) == 0))
        return AEGIS_E_INVALID;
    pool->generations[index] = generation + 1;
    pool->pool.free_indices[free_count] = index;
    pool->pool.free_count = free_count + 1;
    return AEGIS_OK;
}

/** Counts the keys that are valid.
 *  @return   how many.
 *  Threads:  several may call it while none changes the pool.
 *  Cost:     O(1).
 */
AEGIS_INLINE size_t aegis_keyed_pool_len(const aegis_keyed_pool *pool) {
    return pool->pool.touched_count - pool->pool.free_count - pool->retired_count;
}

/** Tells the key that the next aegis_keyed_pool_alloc returns, if no other call changes the pool
 *  before. The pool grows if it must.
 *  @return      the key; 0 when that allocation would fail: see aegis_pool_last_error.
 *  On failure:  nothing changed except the error record.
 *  Threads:     one owner.
 *  Cost:        O(1); one acquire when the pool grows.
 */
AEGIS_API uint64_t aegis_keyed_pool_next_key(aegis_keyed_pool *pool);

/** Finds the key of a block.
 *  @param block  any pointer.
 *  @return       the key; 0 when it is not the start of a block of this pool that is out.
 *  Threads:      several may call it while none changes the pool.
 *  Cost:         O(1).
 */
AEGIS_API uint64_t aegis_keyed_pool_key_of(const aegis_keyed_pool *pool, const void *block);

/** Goes through the valid keys in the order of their indices. The key that it continues from may
 *  have been freed meanwhile:
 *  `for (key = aegis_keyed_pool_next(pool, 0); key != 0; key = aegis_keyed_pool_next(pool, key))`
 *  @param key  the key before the one that is wanted; 0 for the first.
 *  @return     the key; 0 when there is no other.
 *  Threads:    several may call it while none changes the pool.
 *  Cost:       O(1) for each index on the way.
 */
AEGIS_API uint64_t aegis_keyed_pool_next(const aegis_keyed_pool *pool, uint64_t key);

/** Makes the pool grow until so many blocks can be allocated without further growth.
 *  @param count  blocks in addition to those that are out.
 *  @return       AEGIS_OK; AEGIS_E_EXHAUSTED, AEGIS_E_OUT_OF_MEMORY, AEGIS_E_LIMIT_EXCEEDED as for
 *                aegis_pool_alloc: see aegis_pool_last_error.
 *  On failure:   no block is taken, but slabs that were added stay.
 *  Threads:      one owner.
 *  Cost:         O(blocks added and free) and one acquire for each slab.
 */
AEGIS_API aegis_status aegis_keyed_pool_reserve(aegis_keyed_pool *pool, size_t count);

/** Releases slabs without a valid key, the last slab first. The first slab stays, and so does a
 *  slab with a retired index. Stale keys stay stale.
 *  @param keep_block_count  a slab stays if the pool would have fewer blocks than this without
 *                           it.
 *  Threads:                 one owner.
 *  Cost:                    O(blocks).
 */
AEGIS_API void aegis_keyed_pool_trim(aegis_keyed_pool *pool, size_t keep_block_count);

/** aegis_keyed_pool_get_stats for statistics of `stats_bytes` bytes: see "Structs that grow" in
 *  base.h. */
AEGIS_API void aegis_keyed_pool_get_stats_sized(const aegis_keyed_pool *pool,
                                                aegis_pool_stats *stats, size_t stats_bytes);

/** Reports the pool's statistics. Retired blocks are left out of all counts but the peak. The peak
 *  may be too high by 31, or by the blocks of a reserve, after slabs were released and came back.
 *  @param stats  overwritten.
 *  Threads:      several may call it while none changes the pool.
 *  Cost:         O(1); O(blocks reserved) as long as those were never handed out.
 */
AEGIS_STATIC_INLINE void aegis_keyed_pool_get_stats(const aegis_keyed_pool *pool,
                                                    aegis_pool_stats *stats) {
    aegis_keyed_pool_get_stats_sized(pool, stats, sizeof *stats);
}

/** Frees the blocks of all keys.
 *  Ownership:  every key is stale, and every pointer to a block is dead.
 *  Threads:    one owner.
 *  Cost:       O(index_bound).
 */
AEGIS_API void aegis_keyed_pool_clear(aegis_keyed_pool *pool);

#ifdef __cplusplus
}
#endif

#endif
