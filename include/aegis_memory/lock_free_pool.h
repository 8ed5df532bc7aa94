/* SPDX-License-Identifier: Apache-2.0 */
/** @file lock_free_pool.h
 *  The block pool for any number of threads, without a lock, and its per-thread caches.
 *
 *  Free blocks are a Treiber stack of block indices. Its head is one 64-bit word of index and tag:
 *  as few index bits as the pool's size needs, the rest tag (40 bits for 16 million blocks), and
 *  every removal bumps the tag, so a thread that slept through removals cannot bring back a head of
 *  old. The links lie in an array beside the blocks, never in them; the link of a block that is
 *  out holds a mark, which is how wrong frees are found.
 *
 *  Lock-free means: whatever other threads do, or wherever they are stopped, a thread that takes
 *  or gives back a block gets on. All of ours is so; the block source, which growth calls, may
 *  lock. Threads that find the pool empty at once may each acquire a slab; all but one give theirs
 *  back. The source must accept calls from the threads that use the pool.
 *
 *  A cache (aegis_pool_cache) is an explicit handle of one thread: a magazine of up to
 *  AEGIS_POOL_CACHE_BLOCKS indices in front of the stack. A full one moves its older half to the
 *  stack and an empty one takes half its size from it, each in one compare-and-swap. A block may
 *  be given back through another cache, by another thread, or without a cache.
 *
 *  Bounds: a cache parks at most AEGIS_POOL_CACHE_BLOCKS free blocks. The pool holds as many
 *  blocks in reserve for each of the `max_cache_count` caches it is made for, in the first slab
 *  behind the others, and a cache brings its reserve into circulation when it is made. So
 *  `capacity` blocks can always be had, whatever caches park; without caches no more than that.
 *  Beside the slabs: 4 bytes a block, 16 to 40 a further slab, 512 fixed.
 *
 *  The source may use the pool as it gives it a slab, or takes one back during a trim: the slab is
 *  out of all look-ups and counts by then. A pool that the source calls as it is being finished has
 *  no blocks; it calls it by the very handle that is being finished.
 *
 *  After a fork the pool works in the child process, wherever other threads were stopped. Blocks
 *  that these had out or in their caches stay out there, as do the few that they were taking or
 *  giving back. A cache works if its thread was not inside of a call on it.
 *
 *  The struct is a handle: all shared state is out of line. It and a cache may be moved with
 *  memcpy while no thread is inside a call. An all-zero struct is not ready for use, but the fini
 *  functions accept it.
 */
#ifndef AEGIS_MEMORY_LOCK_FREE_POOL_H
#define AEGIS_MEMORY_LOCK_FREE_POOL_H

#include "base.h"
#include "pool.h"

#ifdef __cplusplus
extern "C" {
#endif

/** The most free blocks a cache parks. */
#ifndef AEGIS_POOL_CACHE_BLOCKS
#define AEGIS_POOL_CACHE_BLOCKS 64
#endif
/** The most caches a pool can be made for. */
#define AEGIS_POOL_MAX_CACHES 65536

/** aegis_lock_free_pool_options.flags: the caller promises that no two threads free one and the
 *  same block at the same time. Caches then check frees without an atomic exchange, which halves
 *  their cost. Every other wrong free is detected as without the flag. */
#define AEGIS_POOL_NO_RACING_FREES 1u

/** How a lock-free pool is to be made. */
typedef struct aegis_lock_free_pool_options {
    aegis_pool_options blocks;
    /** Caches that may be open at a time. Each sets AEGIS_POOL_CACHE_BLOCKS more blocks aside.
     *  0: the pool has no caches. */
    size_t max_cache_count;
    /** AEGIS_POOL_* or 0. */
    uint32_t flags;
} aegis_lock_free_pool_options;

typedef struct aegis_lock_free_pool_shared aegis_lock_free_pool_shared;

/** A pool for any number of threads. */
typedef struct aegis_lock_free_pool {
    aegis_lock_free_pool_shared *shared;
    /** Usable bytes of each block. */
    size_t block_bytes;
} aegis_lock_free_pool;

/** A cache of one thread in front of a lock-free pool. The indices in `items`, `count` of them,
 *  are free and in no other place. */
typedef struct aegis_pool_cache {
    /** The first slab as the inline functions see it: without blocks when a checker watches. */
    aegis_pool_grid grid;
    uint32_t *links;
    size_t count;
    uint32_t flags;
    uint32_t slot;
    size_t block_bytes;
    aegis_lock_free_pool_shared *shared;
    aegis_error failed;
    uint32_t items[AEGIS_POOL_CACHE_BLOCKS];
} aegis_pool_cache;

/** A link: the block is out. */
#define AEGIS_POOL_LINK_OUT UINT32_MAX
/** A link: the block is in a cache, or on its way between places. */
#define AEGIS_POOL_LINK_PARKED (UINT32_MAX - 1)
/** A link: the block is in a cache and its bytes are zero. */
#define AEGIS_POOL_LINK_PARKED_CLEAN (UINT32_MAX - 2)

/** Makes a pool.
 *  @param pool     memory for the struct; its content is overwritten.
 *  @param options  not NULL; see there.
 *  @return         AEGIS_OK; AEGIS_E_INVALID (no options, no blocks, a maximum below the count, an
 *                  unknown flag); AEGIS_E_INVALID_LAYOUT (an alignment that is no power of two,
 *                  too many blocks, caches or bytes); AEGIS_E_OUT_OF_MEMORY;
 *                  AEGIS_E_LIMIT_EXCEEDED.
 *  On failure:     `pool` is all-zero; the source is not closed.
 *  Ownership:      the caller's; finish it with aegis_lock_free_pool_fini.
 *  Threads:        one, before any other uses the pool.
 *  Cost:           O(1) and two acquires; O(blocks) if the source does not zero its memory.
 */
AEGIS_API aegis_status aegis_lock_free_pool_init(aegis_lock_free_pool *pool,
                                                 const aegis_lock_free_pool_options *options);

/** Gives all memory back.
 *  @param pool  NULL and all-zero are accepted. All-zero afterwards.
 *  @return      AEGIS_OK; AEGIS_E_BUSY when blocks are out or caches are not finished.
 *  On failure:  nothing changed.
 *  Threads:     one, after all others are done with the pool.
 *  Cost:        O(blocks).
 */
AEGIS_API aegis_status aegis_lock_free_pool_fini(aegis_lock_free_pool *pool);

/** Gives all memory back though blocks may be out and caches open, which are gone with it.
 *  @param pool  NULL and all-zero are accepted. All-zero afterwards.
 *  Threads:     one, after all others are done with the pool.
 *  Cost:        O(slabs).
 */
AEGIS_API void aegis_lock_free_pool_abandon(aegis_lock_free_pool *pool);

/** Takes a block, its content undefined.
 *  @param error  overwritten on failure; NULL if the reason is not wanted.
 *  @return       the block, or NULL. AEGIS_E_EXHAUSTED: at one moment during the call no block was
 *                free outside of caches; AEGIS_E_OUT_OF_MEMORY, AEGIS_E_LIMIT_EXCEEDED: growth
 *                was due and the source or the budget refused.
 *  On failure:   nothing changed.
 *  Ownership:    the caller's until it is given back, by whatever thread.
 *  Threads:      any thread.
 *  Cost:         O(1), lock-free; one acquire when the pool grows.
 */
AEGIS_API void *aegis_lock_free_pool_alloc(const aegis_lock_free_pool *pool, aegis_error *error);

/** Takes a block of zeroes. A block handed out for the first time, from memory that the source had
 *  zeroed, is not cleared again.
 *  @return, On failure, Ownership, Threads: as for aegis_lock_free_pool_alloc.
 *  Cost:         O(block_bytes); O(1) on fresh memory.
 */
AEGIS_API void *aegis_lock_free_pool_alloc_zeroed(const aegis_lock_free_pool *pool,
                                                  aegis_error *error);

/** Takes several blocks, their content undefined, with one compare-and-swap where it can.
 *  @param blocks  room for `count` pointers.
 *  @param error   overwritten when fewer than `count` are taken; may be NULL.
 *  @return        how many were taken, the first entries of `blocks`.
 *  Ownership, Threads: as for aegis_lock_free_pool_alloc.
 *  Cost:          O(count), lock-free.
 */
AEGIS_API size_t aegis_lock_free_pool_alloc_n(const aegis_lock_free_pool *pool, void **blocks,
                                              size_t count, aegis_error *error);

/** Gives a block back.
 *  @param block  any pointer.
 *  @return       AEGIS_OK; AEGIS_E_INVALID when it is not a block of this pool that is out: NULL,
 *                a foreign pointer, the middle of a block, a double free. Of several threads that
 *                free one block at the same time, one succeeds.
 *  On failure:   nothing changed.
 *  Ownership:    the pool's again.
 *  Threads:      any thread.
 *  Cost:         O(1), lock-free.
 */
AEGIS_API aegis_status aegis_lock_free_pool_free(const aegis_lock_free_pool *pool, void *block);

/** Gives several blocks back, all or none, with one compare-and-swap for the stack.
 *  @return      AEGIS_OK; AEGIS_E_INVALID when one of them is not a block of this pool that is out,
 *               or is there twice.
 *  On failure:  nothing changed.
 *  Ownership, Threads: as for aegis_lock_free_pool_free.
 *  Cost:        O(count), lock-free.
 */
AEGIS_API aegis_status aegis_lock_free_pool_free_n(const aegis_lock_free_pool *pool,
                                                   void *const *blocks, size_t count);

/** Converts an address to the index of the block that starts there, whether it is out or not.
 *  @param index  overwritten; numbers go from 0, first slab first.
 *  @return       AEGIS_OK; AEGIS_E_INVALID when no block of this pool starts there.
 *  On failure:   `index` is untouched.
 *  Threads:      any thread.
 *  Cost:         O(1).
 */
AEGIS_API aegis_status aegis_lock_free_pool_index_of(const aegis_lock_free_pool *pool,
                                                     const void *block, size_t *index);

/** Converts an index to the address of the block, whether it is out or not.
 *  @return   NULL when the index lies in no slab held now.
 *  Threads:  any thread.
 *  Cost:     O(1).
 */
AEGIS_API void *aegis_lock_free_pool_address_of(const aegis_lock_free_pool *pool, size_t index);

/** Tells whether a block of this pool starts at an address.
 *  Threads:  any thread.
 *  Cost:     O(1).
 */
AEGIS_API bool aegis_lock_free_pool_owns(const aegis_lock_free_pool *pool, const void *block);

/** Reports a slab, to register it with the kernel, say.
 *  @param slab  from 0; the first slab stays where it is for the pool's life.
 *  @param info  overwritten when the slab is held.
 *  @return      AEGIS_OK; AEGIS_E_INVALID when there is no such slab, AEGIS_E_EXHAUSTED when it is
 *               not held now.
 *  Threads:     any thread.
 *  Cost:        O(1).
 */
AEGIS_API aegis_status aegis_lock_free_pool_get_slab(const aegis_lock_free_pool *pool, size_t slab,
                                                     aegis_pool_slab_info *info);

/** Gives slabs at the end that have no block out or in a cache back to the source. The first slab
 *  stays.
 *  @param keep_block_count  no slab goes whose blocks are needed to keep this many in all.
 *  Threads:                 one, while no other uses the pool or a cache of it.
 *  Cost:                    O(blocks).
 */
AEGIS_API void aegis_lock_free_pool_trim(const aegis_lock_free_pool *pool, size_t keep_block_count);

/** Returns how many blocks the slabs held now promise.
 *  Threads:  any thread.
 *  Cost:     O(1).
 */
AEGIS_API size_t aegis_lock_free_pool_capacity(const aegis_lock_free_pool *pool);

/** Reports the pool's figures. They are counted, not kept: exact when no other thread uses the
 *  pool, else each block is counted as it was at some moment during the call.
 *  @param stats  overwritten.
 *  Threads:      any thread.
 *  Cost:         O(blocks ever handed out): 4 bytes are read for each.
 */
AEGIS_API void aegis_lock_free_pool_get_stats(const aegis_lock_free_pool *pool,
                                              aegis_pool_stats *stats);

/** Makes a cache in front of a pool.
 *  @param cache  memory for the struct; its content is overwritten.
 *  @param pool   outlives the cache.
 *  @return       AEGIS_OK; AEGIS_E_LIMIT_EXCEEDED when `max_cache_count` caches are open.
 *  On failure:   `cache` is all-zero but for its error record.
 *  Ownership:    the caller's; finish it with aegis_pool_cache_fini, whatever becomes of the thread
 *                that used it.
 *  Threads:      any thread, each for a cache of its own.
 *  Cost:         O(max_cache_count + AEGIS_POOL_CACHE_BLOCKS).
 */
AEGIS_API aegis_status aegis_pool_cache_init(aegis_pool_cache *cache,
                                             const aegis_lock_free_pool *pool);

/** Gives the parked blocks to the pool. Blocks taken through the cache stay out.
 *  @param cache  NULL and all-zero are accepted. All-zero afterwards.
 *  Threads:      one owner.
 *  Cost:         O(AEGIS_POOL_CACHE_BLOCKS), lock-free.
 */
AEGIS_API void aegis_pool_cache_fini(aegis_pool_cache *cache);

/** The cold half of aegis_pool_cache_alloc and _alloc_zeroed; complete by itself.
 *  Threads:  one owner.
 *  Cost:     O(AEGIS_POOL_CACHE_BLOCKS), lock-free.
 */
AEGIS_API void *aegis_pool_cache_alloc_slow(aegis_pool_cache *cache, bool zeroed);

/** The cold half of aegis_pool_cache_free; complete by itself.
 *  Threads:  one owner.
 *  Cost:     O(AEGIS_POOL_CACHE_BLOCKS), lock-free.
 */
AEGIS_API aegis_status aegis_pool_cache_free_slow(aegis_pool_cache *cache, void *block);

/** Takes a block, its content undefined.
 *  @return      the block, or NULL: see aegis_pool_cache_last_error. AEGIS_E_EXHAUSTED: this cache
 *               was empty, and at one moment during the call no block was free outside of caches;
 *               then at least `capacity` blocks are out. AEGIS_E_OUT_OF_MEMORY,
 *               AEGIS_E_LIMIT_EXCEEDED: growth was due and the source or the budget refused.
 *  On failure:  nothing changed but the error record.
 *  Ownership:   the caller's until it is given back, to the pool or any cache of it.
 *  Threads:     one owner.
 *  Cost:        O(1); amortised over half a magazine, one compare-and-swap.
 */
AEGIS_INLINE void *aegis_pool_cache_alloc(aegis_pool_cache *cache) {
    size_t count = cache->count;
    uint32_t index;
    if (AEGIS_UNLIKELY(!AEGIS_HAS_ATOMICS || count == 0))
        return aegis_pool_cache_alloc_slow(cache, false);
    index = cache->items[count - 1];
    if (AEGIS_UNLIKELY(index >= cache->grid.count))
        return aegis_pool_cache_alloc_slow(cache, false);
    cache->count = count - 1;
    AEGIS_ATOMIC_STORE_U32(&cache->links[index], AEGIS_POOL_LINK_OUT);
    return cache->grid.base + index * cache->grid.stride_bytes;
}

/** Takes a block of zeroes. A block handed out for the first time, from memory that the source had
 *  zeroed, is not cleared again.
 *  @return, On failure, Ownership, Threads: as for aegis_pool_cache_alloc.
 *  Cost:        O(block_bytes); O(1) on fresh memory.
 */
AEGIS_INLINE void *aegis_pool_cache_alloc_zeroed(aegis_pool_cache *cache) {
    size_t count = cache->count;
    uint32_t index;
    void *block;
    if (AEGIS_UNLIKELY(!AEGIS_HAS_ATOMICS || count == 0))
        return aegis_pool_cache_alloc_slow(cache, true);
    index = cache->items[count - 1];
    if (AEGIS_UNLIKELY(index >= cache->grid.count))
        return aegis_pool_cache_alloc_slow(cache, true);
    cache->count = count - 1;
    block = cache->grid.base + index * cache->grid.stride_bytes;
    if (AEGIS_ATOMIC_LOAD_U32(&cache->links[index]) != AEGIS_POOL_LINK_PARKED_CLEAN)
        memset(block, 0, cache->block_bytes);
    AEGIS_ATOMIC_STORE_U32(&cache->links[index], AEGIS_POOL_LINK_OUT);
    return block;
}

/** Gives a block back, wherever it was taken.
 *  @param block  any pointer.
 *  @return       AEGIS_OK; AEGIS_E_INVALID when it is not a block of this pool that is out: NULL,
 *                a foreign pointer, the middle of a block, a double free. Of several threads that
 *                free one block at the same time, one succeeds, unless the pool was made with
 *                AEGIS_POOL_NO_RACING_FREES.
 *  On failure:   nothing changed.
 *  Ownership:    the pool's again.
 *  Threads:      one owner.
 *  Cost:         O(1); amortised over half a magazine, one compare-and-swap.
 */
AEGIS_INLINE aegis_status aegis_pool_cache_free(aegis_pool_cache *cache, void *block) {
    size_t index = aegis_pool_grid_find(&cache->grid, block);
    size_t count = cache->count;
    uint32_t out = AEGIS_POOL_LINK_OUT;
    if (AEGIS_UNLIKELY(!AEGIS_HAS_ATOMICS || index >= cache->grid.count ||
                       count >= AEGIS_POOL_CACHE_BLOCKS))
        return aegis_pool_cache_free_slow(cache, block);
    if ((cache->flags & AEGIS_POOL_NO_RACING_FREES) != 0) {
        if (AEGIS_UNLIKELY(AEGIS_ATOMIC_LOAD_U32(&cache->links[index]) != out))
            return AEGIS_E_INVALID;
        AEGIS_ATOMIC_STORE_U32(&cache->links[index], AEGIS_POOL_LINK_PARKED);
    } else if (AEGIS_UNLIKELY(
                   !AEGIS_ATOMIC_CAS_U32(&cache->links[index], &out, AEGIS_POOL_LINK_PARKED))) {
        return AEGIS_E_INVALID;
    }
    cache->items[count] = index & UINT32_MAX;
    cache->count = count + 1;
    return AEGIS_OK;
}

/** Takes several blocks, their content undefined.
 *  @param blocks  room for `count` pointers.
 *  @return        how many were taken, the first entries of `blocks`; when fewer than `count`,
 *                 aegis_pool_cache_last_error says why.
 *  Ownership, Threads: as for aegis_pool_cache_alloc.
 *  Cost:          O(count), lock-free.
 */
AEGIS_API size_t aegis_pool_cache_alloc_n(aegis_pool_cache *cache, void **blocks, size_t count);

/** Gives several blocks back, all or none.
 *  @return      as aegis_lock_free_pool_free_n.
 *  On failure:  nothing changed.
 *  Ownership, Threads: as for aegis_pool_cache_free.
 *  Cost:        O(count), lock-free.
 */
AEGIS_API aegis_status aegis_pool_cache_free_n(aegis_pool_cache *cache, void *const *blocks,
                                               size_t count);

/** Gives the parked blocks to the pool: before the thread is idle for long, say.
 *  Threads:  one owner.
 *  Cost:     O(AEGIS_POOL_CACHE_BLOCKS), lock-free.
 */
AEGIS_API void aegis_pool_cache_flush(aegis_pool_cache *cache);

/** Reports why the latest failing request of this cache failed.
 *  @param error  overwritten; its status is AEGIS_OK when none has failed.
 *  Threads:      one owner.
 *  Cost:         O(1).
 */
AEGIS_API void aegis_pool_cache_last_error(const aegis_pool_cache *cache, aegis_error *error);

#ifdef __cplusplus
}
#endif

#endif
