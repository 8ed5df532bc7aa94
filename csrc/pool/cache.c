/* SPDX-License-Identifier: Apache-2.0 */
/* The caches of a lock-free pool. Each handle has one magazine of free blocks. The block that was
 * freed last lies on top and is allocated next.
 *
 * Whatever the caches hold, at least `capacity` blocks can be allocated. Invariants:
 * 1. A cache has a slot, and a slot has one cache at a time (the compare-and-swap in take_slot).
 * 2. A cache holds at most AEGIS_POOL_CACHE_BLOCKS blocks (refill takes half of that into an empty
 *    cache; aegis_pool_cache_free_slow and aegis_pool_cache_free_n make room or use the stack).
 * 3. When a slot is used for the first time, its reserve of AEGIS_POOL_CACHE_BLOCKS blocks comes
 *    into circulation, as the first content of its cache (bring_reserve). It stays there.
 * 4. An idle slot has no blocks: its cache moved them to the stack before (aegis_pool_cache_fini).
 *
 * Proof: when n slots have been used so far, `capacity` + n * AEGIS_POOL_CACHE_BLOCKS blocks are in
 * circulation (3), and all caches together hold at most n * AEGIS_POOL_CACHE_BLOCKS of them
 * (1, 2, 4). The others, at least `capacity`, are out or can be allocated: any request finds the
 * blocks of the depot (take_depot in lock_free.c).
 *
 * Source: J. Bonwick, J. Adams, Magazines and Vmem (USENIX 2001). */
#if !defined(_WIN32) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* for condition.h */
#endif

#include "../base/harden.h"
#include "../budget/state.h"
#include "lock_free_state.h"

#define MAGAZINE ((size_t)AEGIS_POOL_CACHE_BLOCKS)
/* How many blocks move between a cache and the pool at a time. */
#define HALF ((size_t)AEGIS_I_MAGAZINE_BLOCKS)

_Static_assert(AEGIS_POOL_CACHE_BLOCKS >= 2, "half a magazine is at least a block");

/* O(1) consistency, for asserts. */
AEGIS_I_HIDDEN bool aegis_i_pool_cache_is_valid(const aegis_pool_cache *cache);
bool aegis_i_pool_cache_is_valid(const aegis_pool_cache *cache) {
    return cache->shared != NULL && cache->count <= MAGAZINE && cache->block_bytes != SIZE_MAX &&
           cache->slot < cache->shared->slot_limit &&
           (cache->grid.count == 0 || cache->grid.base == cache->shared->slabs.grid.base);
}

/* Puts `count` blocks that the caller has taken into the cache, the first on top. */
static void fill(aegis_pool_cache *cache, const uint32_t *indices, size_t count, bool clean) {
    uint32_t link = clean ? AEGIS_POOL_LINK_PARKED_CLEAN : AEGIS_POOL_LINK_PARKED;
    while (count-- > 0) {
        aegis_i_store(&cache->shared->links[indices[count]], link, memory_order_relaxed);
        cache->items[cache->count++] = indices[count];
    }
}

/* Takes a slot that is in the given state. False: there is none. */
static bool take_slot(aegis_pool_cache *cache, uint32_t state) {
    aegis_lock_free_pool_shared *shared = cache->shared;
    for (uint32_t slot = 0; slot < shared->slot_limit; slot++) {
        uint32_t found = state;
        /* Acquire pairs with the release in aegis_pool_cache_fini: the blocks of the slot's last
         * cache are on the stack before this cache holds any. */
        if (aegis_i_cas(&aegis_i_slots(shared)[slot], &found, AEGIS_I_SLOT_LIVE,
                        memory_order_acquire, memory_order_relaxed)) {
            cache->slot = slot;
            return true;
        }
    }
    return false;
}

/* Fills the cache with the reserve of its slot. The reserve is in circulation from now on. */
static void bring_reserve(aegis_pool_cache *cache) {
    const aegis_pool_slabs *slabs = &cache->shared->slabs;
    uint32_t indices[MAGAZINE];
    uint32_t first = slabs->step_count + cache->slot * (uint32_t)MAGAZINE;
    for (uint32_t i = 0; i < MAGAZINE; i++)
        indices[i] = first + i;
    fill(cache, indices, MAGAZINE, aegis_i_slab_is_zeroed(aegis_i_slabs_entry(slabs, 0)));
    aegis_i_depot_extend(cache->shared, cache->slot);
}

aegis_status aegis_pool_cache_init(aegis_pool_cache *cache, const aegis_lock_free_pool *pool) {
    memset(cache, 0, sizeof *cache);
    cache->shared = pool->shared;
    /* Idle slots first, because their reserves are in circulation already. Then unused slots. Then
     * idle ones again: a slot may have become idle meanwhile. */
    if (!take_slot(cache, AEGIS_I_SLOT_IDLE)) {
        if (take_slot(cache, AEGIS_I_SLOT_UNUSED)) {
            bring_reserve(cache);
        } else if (!take_slot(cache, AEGIS_I_SLOT_IDLE)) {
            memset(cache, 0, sizeof *cache);
            return aegis_i_error_refuse(&cache->failed, AEGIS_E_LIMIT_EXCEEDED, AEGIS_WHAT_CACHES,
                                        (size_t)pool->shared->slot_limit + 1,
                                        pool->shared->slot_limit);
        }
    }
    cache->grid = pool->shared->slabs.grid;
    if (AEGIS_I_CHECKED)
        cache->grid.count = 0;
    cache->links = (uint32_t *)(void *)pool->shared->slabs.side;
    cache->flags = pool->shared->flags;
    cache->block_bytes = pool->shared->slabs.block_bytes;
    assert(aegis_i_pool_cache_is_valid(cache));
    return AEGIS_OK;
}

/* Moves the older half of a full cache's blocks, which lies at the bottom, to the depot or, if that
 * is full, to the stack. */
static void make_room(aegis_pool_cache *cache) {
    if (!aegis_i_depot_put(cache->shared, cache->items))
        aegis_i_lock_free_put(cache->shared, cache->items, HALF);
    cache->count -= HALF;
    memmove(cache->items, cache->items + HALF, cache->count * sizeof *cache->items);
}

/* Fills an empty cache with a magazine of the depot or, if there is none, with blocks of the pool.
 * False: there are none. */
static bool refill(aegis_pool_cache *cache) {
    uint32_t indices[HALF];
    bool clean;
    cache->count = aegis_i_depot_take(cache->shared, cache->items);
    if (cache->count != 0)
        return true;
    size_t got_count =
        aegis_i_lock_free_take(cache->shared, indices, HALF, &clean, NULL, &cache->failed);
    fill(cache, indices, got_count, clean);
    return got_count != 0;
}

void aegis_pool_cache_flush(aegis_pool_cache *cache) {
    assert(aegis_i_pool_cache_is_valid(cache));
    aegis_i_lock_free_put(cache->shared, cache->items, cache->count);
    cache->count = 0;
}

void aegis_pool_cache_fini(aegis_pool_cache *cache) {
    if (cache == NULL)
        return;
    if (cache->shared != NULL) {
        aegis_pool_cache_flush(cache);
        /* Release pairs with the acquire in take_slot. */
        aegis_i_store(&aegis_i_slots(cache->shared)[cache->slot], AEGIS_I_SLOT_IDLE,
                      memory_order_release);
    }
    memset(cache, 0, sizeof *cache);
}

void *aegis_pool_cache_alloc_slow(aegis_pool_cache *cache, bool zeroed) {
    assert(aegis_i_pool_cache_is_valid(cache));
    aegis_lock_free_pool_shared *shared = cache->shared;
    if (cache->count == 0 && !refill(cache))
        return NULL;
    uint32_t index = cache->items[--cache->count];
    uint32_t link = aegis_i_load(&shared->links[index], memory_order_relaxed);
    aegis_i_store(&shared->links[index], AEGIS_POOL_LINK_OUT, memory_order_relaxed);
    void *block = aegis_i_slabs_address(&shared->slabs, index);
    aegis_i_slabs_show(&shared->slabs, block, zeroed, link == AEGIS_POOL_LINK_PARKED_CLEAN);
    return block;
}

aegis_status aegis_pool_cache_free_slow(aegis_pool_cache *cache, void *block) {
    assert(aegis_i_pool_cache_is_valid(cache));
    uint32_t index = aegis_i_lock_free_claim(cache->shared, block);
    if (index == AEGIS_I_NO_INDEX)
        return AEGIS_E_INVALID;
    if (cache->count == MAGAZINE)
        make_room(cache);
    cache->items[cache->count++] = index;
    return AEGIS_OK;
}

size_t aegis_pool_cache_alloc_n(aegis_pool_cache *cache, void **blocks, size_t count) {
    for (size_t i = 0; i < count; i++) {
        blocks[i] = aegis_pool_cache_alloc(cache);
        if (blocks[i] == NULL)
            return i;
    }
    return count;
}

aegis_status aegis_pool_cache_free_n(aegis_pool_cache *cache, void *const *blocks, size_t count) {
    assert(aegis_i_pool_cache_is_valid(cache));
    if (!aegis_i_lock_free_claim_n(cache->shared, blocks, count))
        return AEGIS_E_INVALID;
    size_t kept_count = aegis_i_min(count, MAGAZINE - cache->count);
    for (size_t i = 0; i < kept_count; i++)
        cache->items[cache->count++] = aegis_i_slabs_find(&cache->shared->slabs, blocks[i]);
    /* The blocks that do not fit go to the stack with one compare-and-swap. */
    aegis_i_lock_free_put_blocks(cache->shared, blocks + kept_count, count - kept_count);
    return AEGIS_OK;
}

void aegis_pool_cache_last_error(const aegis_pool_cache *cache, aegis_error *error) {
    *error = cache->failed;
    /* The pool may have moved to another budget since. Then the old one may be freed. */
    if (error->refused != NULL &&
        !aegis_i_is_at_or_above(error->refused, cache->shared->slabs.budget))
        error->refused = NULL;
}

size_t aegis_pool_cache_explain(const aegis_pool_cache *cache, char *buffer, size_t buffer_bytes) {
    aegis_error error;
    aegis_pool_cache_last_error(cache, &error);
    return aegis_error_explain(&error, buffer, buffer_bytes);
}
