/* SPDX-License-Identifier: Apache-2.0 */
/* The file is longer than 500 lines, because most are the documentation of its functions. */
/** @file lock_free_pool.h
 *  The lock-free block pool, for any number of threads, and its caches. The words block, out,
 *  slab and side array are as in pool.h.
 *
 *  The free blocks are a Treiber stack of block indices. The head of the stack is one 64-bit
 *  word of an index and a tag. The index has as few bits as the pool's size needs, and the tag
 *  has the rest (40 bits for 16 million blocks). Every removal increases the tag. So a thread
 *  that slept while others removed blocks cannot bring back an old head. The links of the stack
 *  are in a side array, never in the blocks. The link of a block that is out has a special
 *  value, by which wrong frees are found.
 *
 *  Lock-free means: whatever other threads do, and wherever they are stopped, some thread that
 *  allocates or frees a block makes progress. This holds for all code of this library. The
 *  source, which growth calls, may lock. Threads that find the pool empty at the same time may
 *  each acquire a slab. All of them except one release theirs again. The source must accept
 *  calls from all threads that use the pool. There is one more exception: a request that finds
 *  no block free waits for a trim that is sorting the free blocks, and for a request without a
 *  cache that is emptying the depot. No free waits.
 *
 *  The header is longer than 500 lines, because pools and their caches share their fast paths.
 *
 *  If the options let growth wait for the budget (aegis_pool_options.wait_ns), a thread that finds
 *  no block stands in the queue of the budget. When another thread has added a slab, it takes a
 *  block of that, or keeps its place if none is left. It does not notice that a block is freed:
 *  it looks for that when the wait ends. So give such a pool a time that is not too long, or use
 *  a locked pool.
 *
 *  A cache (aegis_pool_cache) is an explicit handle of one thread. It holds a magazine of up to
 *  AEGIS_POOL_CACHE_BLOCKS free blocks in front of the stack. A full cache moves the older half
 *  of its blocks to the depot, where they stay together, and an empty cache takes such a half from
 *  there, each with two compare-and-swaps and without a store for each block. If the depot is full
 *  or empty, the cache uses the stack. A request without a cache that finds the stack empty moves
 *  what the depot has onto it. A block that was allocated through a cache may be freed through
 *  another cache, by another thread, or without a cache.
 *
 *  Bounds:
 *  - A cache holds at most AEGIS_POOL_CACHE_BLOCKS free blocks.
 *  - The pool is made for `max_cache_count` caches, or for as many as fit
 *    (AEGIS_POOL_FIT_CACHES). For each of them the first slab has a reserve of
 *    AEGIS_POOL_CACHE_BLOCKS more blocks, behind the others. When a cache is made, its reserve
 *    comes into use. For each cache the depot has room for as many blocks as a cache holds, which
 *    takes 388 bytes.
 *  - So at least `capacity` blocks can always be allocated, whatever the caches hold. Without
 *    caches it is exactly that number.
 *  - Beside the slabs: 4 bytes for each block, 16 to 40 bytes for each slab after the first, and
 *    512 bytes.
 *
 *  The source may use the pool while it gives the pool a slab, or takes one back during a trim.
 *  At that time no look-up and no count sees the slab. If the source calls a pool that is being
 *  finished, it does so through the handle that is being finished, and finds a pool without
 *  blocks.
 *
 *  After a fork the pool works in the child process, wherever other threads were stopped. Blocks
 *  that these threads had out or in their caches stay out there. So do the few blocks that they
 *  were allocating or freeing, and the free blocks that a trim of such a thread was sorting. A
 *  cache works in the child if its thread was not inside a call on
 *  it.
 *
 *  The struct is a handle: all shared state lies elsewhere. The handle and a cache may be moved
 *  with memcpy while no thread is inside a call. An all-zero struct is not ready for use, but
 *  the fini functions accept it.
 */
#ifndef AEGIS_MEMORY_LOCK_FREE_POOL_H
#define AEGIS_MEMORY_LOCK_FREE_POOL_H

#if defined(AEGIS_OMIT_THREADS) || defined(AEGIS_FREESTANDING)
#error "aegis_memory/lock_free_pool.h needs threads: AEGIS_OMIT_THREADS leaves it out"
#endif

#include "base.h"
#include "pool.h"

#ifdef __cplusplus
extern "C" {
#endif

/** The most free blocks that a cache holds. */
#ifndef AEGIS_POOL_CACHE_BLOCKS
#define AEGIS_POOL_CACHE_BLOCKS 64
#endif
/** The most caches that a pool can be made for. */
#define AEGIS_POOL_MAX_CACHES 65536

/** aegis_lock_free_pool_options.flags: the caller promises that no two threads free the same
 *  block at the same time. Then a cache checks a free without an atomic exchange, which halves
 *  the cost of freeing. Every other wrong free is detected as without the flag. */
#define AEGIS_POOL_NO_RACING_FREES 1u

/** aegis_lock_free_pool_options.flags: the pool is made for as many caches as fit. The most is
 *  `max_cache_count`; if that is 0, the most is 16, or twice the number of processors if that is
 *  more. The pool is made for fewer, or for none, in these cases:
 *  - All caches together add at most a quarter to the bytes that the pool acquires when it is
 *    made. So there is one for about every 256 of `block_count`, and for about every 280 if a
 *    block takes 64 bytes.
 *  - The budget has too little room when the pool is made. If it has room for all blocks that
 *    the pool may grow to, caches leave that room.
 *  - The source refuses them.
 *
 *  So the pool is not refused because of its caches, and does not wait or reclaim for them.
 *  aegis_pool_stats.max_cache_count tells how many there are. */
#define AEGIS_POOL_FIT_CACHES 2u

/** How a lock-free pool is made. */
typedef struct aegis_lock_free_pool_options {
    /** The options that pools of every form have. */
    aegis_pool_options blocks;
    /** How many caches may be open at a time. For each the pool has a reserve of
     *  AEGIS_POOL_CACHE_BLOCKS more blocks. The pool is made for exactly this number, or not at
     *  all. 0: the pool has no caches, and aegis_pool_cache_init fails. The flag
     *  AEGIS_POOL_FIT_CACHES changes both. */
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
    /** Alignment of each block. */
    size_t align_bytes;
} aegis_lock_free_pool;

/** A cache of one thread in front of a lock-free pool. The first `count` entries of `items` are
 *  the indices of its blocks, which are free and in no other place. */
typedef struct aegis_pool_cache {
    /** The first slab as the inline functions see it: without blocks when a checker
     *  (AddressSanitizer, Valgrind) watches. */
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

/** aegis_lock_free_pool_init for options of `options_bytes` bytes, whose first field has
 *  `blocks_bytes` bytes: see "Structs that grow" in base.h. */
AEGIS_API aegis_status aegis_lock_free_pool_init_sized(aegis_lock_free_pool *pool,
                                                       const aegis_lock_free_pool_options *options,
                                                       size_t options_bytes, size_t blocks_bytes);

/** Makes a pool.
 *  @param pool     memory for the struct; its content is overwritten.
 *  @param options  not NULL; see there.
 *  @return         AEGIS_OK; AEGIS_E_INVALID (no options, no blocks, a maximum below the count,
 *                  an unknown flag); AEGIS_E_INVALID_LAYOUT (an alignment that is not a power of
 *                  two, too many blocks, caches or bytes); AEGIS_E_OUT_OF_MEMORY;
 *                  AEGIS_E_LIMIT_EXCEEDED.
 *  On failure:     `pool` is all-zero; the source is not closed.
 *  Ownership:      the caller's; finish it with aegis_lock_free_pool_fini.
 *  Threads:        one, before any other uses the pool.
 *  Cost:           O(1) and two acquires; O(blocks) if the source does not zero its memory. With
 *                  AEGIS_POOL_FIT_CACHES each refusal of the source or the budget adds two.
 */
AEGIS_STATIC_INLINE aegis_status
aegis_lock_free_pool_init(aegis_lock_free_pool *pool, const aegis_lock_free_pool_options *options) {
    return aegis_lock_free_pool_init_sized(pool, options, sizeof *options, sizeof options->blocks);
}

/** Finishes a pool: releases all its memory.
 *  @param pool  NULL and all-zero are accepted. All-zero afterwards.
 *  @return      AEGIS_OK; AEGIS_E_BUSY when blocks are out or caches are not finished.
 *  On failure:  nothing changed.
 *  Threads:     one, after all others are done with the pool.
 *  Cost:        O(blocks).
 */
AEGIS_API aegis_status aegis_lock_free_pool_fini(aegis_lock_free_pool *pool);

/** Finishes a pool even if blocks are out or caches are open. Their memory is released too.
 *  @param pool  NULL and all-zero are accepted. All-zero afterwards.
 *  Ownership:   every pointer to a block is dead, and so is every cache.
 *  Threads:     one, after all others are done with the pool.
 *  Cost:        O(slabs).
 */
AEGIS_API void aegis_lock_free_pool_abandon(aegis_lock_free_pool *pool);

/** Allocates a block. Its content is undefined.
 *  @param error  overwritten on failure; aegis_error_explain writes it as a sentence. NULL if
 *                the reason is not wanted.
 *  @return       the block, or NULL. AEGIS_E_EXHAUSTED: at one moment during the call all free
 *                blocks were in caches. AEGIS_E_OUT_OF_MEMORY, AEGIS_E_LIMIT_EXCEEDED: the pool
 *                had to grow, and the source or the budget refused.
 *  On failure:   nothing changed.
 *  Ownership:    the caller's until any thread frees it.
 *  Threads:      any thread.
 *  Cost:         O(1), lock-free; one acquire when the pool grows.
 */
AEGIS_API void *aegis_lock_free_pool_alloc(const aegis_lock_free_pool *pool, aegis_error *error);

/** Allocates a block of zeroes. If the source had zeroed the memory and the block is handed out
 *  for the first time, it is not cleared again.
 *  @return, On failure, Ownership, Threads: as for aegis_lock_free_pool_alloc.
 *  Cost:  O(block_bytes); O(1) on such fresh memory.
 */
AEGIS_API void *aegis_lock_free_pool_alloc_zeroed(const aegis_lock_free_pool *pool,
                                                  aegis_error *error);

/** Allocates several blocks, with one compare-and-swap if possible. Their content is undefined.
 *  @param blocks  room for `count` pointers.
 *  @param error   overwritten when fewer than `count` are allocated; aegis_error_explain writes
 *                 it as a sentence. NULL if the reason is not wanted.
 *  @return        how many were allocated; they are the first entries of `blocks`.
 *  Ownership, Threads: as for aegis_lock_free_pool_alloc.
 *  Cost:          O(count), lock-free.
 */
AEGIS_API size_t aegis_lock_free_pool_alloc_n(const aegis_lock_free_pool *pool, void **blocks,
                                              size_t count, aegis_error *error);

/** Frees a block.
 *  @param block  any pointer.
 *  @return       AEGIS_OK; AEGIS_E_INVALID unless it is a block of this pool that is out. So it
 *                detects NULL, a foreign pointer, the middle of a block, and a double free. If
 *                several threads free one block at the same time, one of them succeeds.
 *  On failure:   nothing changed.
 *  Ownership:    the pool's again.
 *  Threads:      any thread.
 *  Cost:         O(1), lock-free.
 */
AEGIS_API aegis_status aegis_lock_free_pool_free(const aegis_lock_free_pool *pool, void *block);

/** Frees several blocks, or none of them, with one compare-and-swap on the stack.
 *  @return      AEGIS_OK; AEGIS_E_INVALID when one of them is not a block of this pool that is
 *               out, or stands there twice.
 *  On failure:  nothing changed.
 *  Ownership, Threads: as for aegis_lock_free_pool_free.
 *  Cost:        O(count), lock-free.
 */
AEGIS_API aegis_status aegis_lock_free_pool_free_n(const aegis_lock_free_pool *pool,
                                                   void *const *blocks, size_t count);

/** Converts an address to the index of the block that starts there, whether it is out or not.
 *  @param index  overwritten. The indices start at 0 with the first block of the first slab.
 *  @return       AEGIS_OK; AEGIS_E_INVALID when no block of this pool starts there.
 *  On failure:   `index` is untouched.
 *  Threads:      any thread.
 *  Cost:         O(1).
 */
AEGIS_API aegis_status aegis_lock_free_pool_index_of(const aegis_lock_free_pool *pool,
                                                     const void *block, size_t *index);

/** Converts an index to the address of the block, whether it is out or not.
 *  @return   the address; NULL when no slab held now has the index.
 *  Threads:  any thread.
 *  Cost:     O(1).
 */
AEGIS_API void *aegis_lock_free_pool_address_of(const aegis_lock_free_pool *pool, size_t index);

/** Tells whether a block of this pool starts at an address.
 *  @return   true also for a block that is not out.
 *  Threads:  any thread.
 *  Cost:     O(1).
 */
AEGIS_API bool aegis_lock_free_pool_owns(const aegis_lock_free_pool *pool, const void *block);

/** aegis_lock_free_pool_get_slab for a description of `info_bytes` bytes: see "Structs that
 *  grow" in base.h. */
AEGIS_API aegis_status aegis_lock_free_pool_get_slab_sized(const aegis_lock_free_pool *pool,
                                                           size_t slab, aegis_pool_slab_info *info,
                                                           size_t info_bytes);

/** Reports a slab, for instance to register it with the kernel.
 *  @param slab  from 0. The first slab stays where it is as long as the pool lives.
 *  @param info  overwritten when the slab is held.
 *  @return      AEGIS_OK; AEGIS_E_INVALID when there is no such slab; AEGIS_E_EXHAUSTED when it
 *               is not held now.
 *  Threads:     any thread.
 *  Cost:        O(1).
 */
AEGIS_STATIC_INLINE aegis_status aegis_lock_free_pool_get_slab(const aegis_lock_free_pool *pool,
                                                               size_t slab,
                                                               aegis_pool_slab_info *info) {
    return aegis_lock_free_pool_get_slab_sized(pool, slab, info, sizeof *info);
}

/** Releases slabs, starting with the last one. A slab stays if one of its blocks is out or in a
 *  cache. The first slab always stays. The budget is credited before the call returns.
 *  @param keep_block_count  a slab stays if the pool would have fewer blocks than this without
 *                           it.
 *  Threads:                 any thread, while others use the pool and its caches. Of several
 *                           trims at a time, those that find another one sorting do nothing.
 *  Cost:                    O(blocks of the slabs held), and one release for each slab that
 *                           goes. The free blocks are sorted first: during that time a request
 *                           that finds no other block free waits. The source is called after.
 */
AEGIS_API void aegis_lock_free_pool_trim(const aegis_lock_free_pool *pool, size_t keep_block_count);

/** Charges all memory of a pool to another budget instead of the present one. Later growth is
 *  charged there too. Blocks that are out stay good.
 *  @param budget  the new budget; NULL for none. The pool holds a reference to it, and gives up
 *                 the one to the old budget.
 *  @param error   overwritten on failure: it names the budget that refused. NULL if the reason
 *                 is not wanted.
 *  @return        AEGIS_OK; AEGIS_E_LIMIT_EXCEEDED as of aegis_budget_move.
 *  On failure:    nothing changed.
 *  Threads:       one, while no other uses the pool or a cache of it.
 *  Cost:          as aegis_budget_move.
 */
AEGIS_API aegis_status aegis_lock_free_pool_move_budget(const aegis_lock_free_pool *pool,
                                                        aegis_budget *budget, aegis_error *error);
/** Releases the slabs of which no block has been out or in a cache since the latest call, as
 *  aegis_lock_free_pool_trim does. A server that calls it every minute decays to what it needs.
 *  The first slab stays. The blocks of slabs that are not used are set aside: they are handed
 *  out only when no other block is free. So a slab that is not needed stays idle, and the next
 *  call releases it.
 *  Threads, Cost:  as for aegis_lock_free_pool_trim.
 */
AEGIS_API void aegis_lock_free_pool_trim_idle(const aegis_lock_free_pool *pool);

/** Returns how many blocks the slabs held now have, without the reserves for caches.
 *  @return   as `capacity` of aegis_pool_stats.
 *  Threads:  any thread.
 *  Cost:     O(1).
 */
AEGIS_API size_t aegis_lock_free_pool_capacity(const aegis_lock_free_pool *pool);

/** aegis_lock_free_pool_get_stats for statistics of `stats_bytes` bytes: see "Structs that grow"
 *  in base.h. */
AEGIS_API void aegis_lock_free_pool_get_stats_sized(const aegis_lock_free_pool *pool,
                                                    aegis_pool_stats *stats, size_t stats_bytes);

/** Reports the pool's statistics. The call counts them. They are exact when no other thread uses
 *  the pool; otherwise each block is counted as it was at some moment during the call.
 *  @param stats  overwritten.
 *  Threads:      any thread.
 *  Cost:         O(blocks of the slabs held): 4 bytes are read for each that was handed out
 *                since its slab was acquired.
 */
AEGIS_STATIC_INLINE void aegis_lock_free_pool_get_stats(const aegis_lock_free_pool *pool,
                                                        aegis_pool_stats *stats) {
    aegis_lock_free_pool_get_stats_sized(pool, stats, sizeof *stats);
}

/** Makes a cache in front of a pool.
 *  @param cache  memory for the struct; its content is overwritten.
 *  @param pool   outlives the cache.
 *  @return       AEGIS_OK; AEGIS_E_LIMIT_EXCEEDED when as many caches are open as the pool was
 *                made for: see `max_cache_count` of aegis_pool_stats.
 *  On failure:   `cache` is all-zero except for its error record.
 *  Ownership:    the caller's; finish it with aegis_pool_cache_fini, even if the thread that
 *                used it has ended.
 *  Threads:      any thread, each for a cache of its own.
 *  Cost:         O(max_cache_count + AEGIS_POOL_CACHE_BLOCKS).
 */
AEGIS_API aegis_status aegis_pool_cache_init(aegis_pool_cache *cache,
                                             const aegis_lock_free_pool *pool);

/** Finishes a cache: its free blocks go back to the pool. Blocks that were allocated through it
 *  stay out.
 *  @param cache  NULL and all-zero are accepted. All-zero afterwards.
 *  Threads:      one owner.
 *  Cost:         O(AEGIS_POOL_CACHE_BLOCKS), lock-free.
 */
AEGIS_API void aegis_pool_cache_fini(aegis_pool_cache *cache);

/** The cold half of aegis_pool_cache_alloc and _alloc_zeroed. It can also be called by itself.
 *  @param zeroed  whether the bytes must be zero.
 *  @return        as for aegis_pool_cache_alloc.
 *  Threads:       one owner.
 *  Cost:          O(AEGIS_POOL_CACHE_BLOCKS), lock-free.
 */
AEGIS_API void *aegis_pool_cache_alloc_slow(aegis_pool_cache *cache, bool zeroed);

/** The cold half of aegis_pool_cache_free. It can also be called by itself.
 *  Parameters, @return: as for aegis_pool_cache_free.
 *  Threads:  one owner.
 *  Cost:     O(AEGIS_POOL_CACHE_BLOCKS), lock-free.
 */
AEGIS_API aegis_status aegis_pool_cache_free_slow(aegis_pool_cache *cache, void *block);

/** Allocates a block. Its content is undefined.
 *  @return      the block, or NULL: see aegis_pool_cache_last_error. AEGIS_E_EXHAUSTED: this
 *               cache was empty, and at one moment during the call all free blocks were in other
 *               caches; at least `capacity` blocks are out then. AEGIS_E_OUT_OF_MEMORY,
 *               AEGIS_E_LIMIT_EXCEEDED: the pool had to grow, and the source or the budget
 *               refused.
 *  On failure:  nothing changed except the error record.
 *  Ownership:   the caller's until it is freed, through the pool or any cache of it.
 *  Threads:     one owner.
 *  Cost:        O(1); two compare-and-swaps for each half magazine.
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

/** Allocates a block of zeroes. If the source had zeroed the memory and the block is handed out
 *  for the first time, it is not cleared again.
 *  @return, On failure, Ownership, Threads: as for aegis_pool_cache_alloc.
 *  Cost:  O(block_bytes); O(1) on such fresh memory.
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

/** Frees a block, wherever it was allocated.
 *  @param block  any pointer.
 *  @return       AEGIS_OK; AEGIS_E_INVALID unless it is a block of this pool that is out. So it
 *                detects NULL, a foreign pointer, the middle of a block, and a double free. If
 *                several threads free one block at the same time, one of them succeeds, unless
 *                the pool was made with AEGIS_POOL_NO_RACING_FREES.
 *  On failure:   nothing changed.
 *  Ownership:    the pool's again.
 *  Threads:      one owner.
 *  Cost:         O(1); two compare-and-swaps for each half magazine.
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

/** Allocates several blocks. Their content is undefined.
 *  @param blocks  room for `count` pointers.
 *  @return        how many were allocated; they are the first entries of `blocks`. If there are
 *                 fewer than `count`, aegis_pool_cache_last_error says why.
 *  Ownership, Threads: as for aegis_pool_cache_alloc.
 *  Cost:          O(count), lock-free.
 */
AEGIS_API size_t aegis_pool_cache_alloc_n(aegis_pool_cache *cache, void **blocks, size_t count);

/** Frees several blocks, or none of them.
 *  @return      as for aegis_lock_free_pool_free_n.
 *  On failure:  nothing changed.
 *  Ownership, Threads: as for aegis_pool_cache_free.
 *  Cost:        O(count), lock-free.
 */
AEGIS_API aegis_status aegis_pool_cache_free_n(aegis_pool_cache *cache, void *const *blocks,
                                               size_t count);

/** Moves the cache's free blocks to the pool, for instance before its thread is idle for long.
 *  Threads:  one owner.
 *  Cost:     O(AEGIS_POOL_CACHE_BLOCKS), lock-free.
 */
AEGIS_API void aegis_pool_cache_flush(aegis_pool_cache *cache);

/** Reports why the latest failing request of this cache failed.
 *  @param error  overwritten; its status is AEGIS_OK when no request has failed.
 *  Threads:      one owner.
 *  Cost:         O(1).
 */
AEGIS_API void aegis_pool_cache_last_error(const aegis_pool_cache *cache, aegis_error *error);

/** Writes the record of aegis_pool_cache_last_error as an English sentence, as
 *  aegis_error_explain does.
 *  @param cache   also one that aegis_pool_cache_init could not make.
 *  @param buffer  where the text goes, ended with a zero byte unless buffer_bytes is 0. The text
 *                 is cut if the buffer is too small.
 *  @return        the bytes of the whole text, without the zero byte.
 *  Threads:       one owner.
 *  Cost:          O(text + budgets below the one that refused).
 */
AEGIS_API size_t aegis_pool_cache_explain(const aegis_pool_cache *cache, char *buffer,
                                          size_t buffer_bytes);

#ifdef __cplusplus
}
#endif

#endif
