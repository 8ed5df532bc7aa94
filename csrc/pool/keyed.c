/* SPDX-License-Identifier: Apache-2.0 */
/* The keyed pool: the pool with one owner, and a side array of generations. keyed_pool.h has the
 * invariants.
 *
 * Why a stale key is refused: a key holds the generation that its index had when the key was made.
 * 1. Generations only grow: an allocation and a free add 1 (aegis_keyed_pool_alloc, _free). A
 *    generation that cannot grow is set to 0 once, and its index is retired (free_slow). The pool
 *    does not hand it out again, because its block stays out.
 * 2. The side array lives as long as the pool, so a trim of a slab forgets no generation.
 * So no two keys of an index are equal, and when one is freed, its generation does not come back.
 *
 * Bound: every call is O(1), except those that go through all indices. */
#include "aegis_memory/keyed_pool.h"
#include "../base/arithmetic.h"
#include "../base/harden.h"
#include "../base/sized.h"
#include "one_owner.h"

/* How many blocks that were never handed out are put on the stack at a time. */
#define BATCH 32
/* In a pool that cannot grow, all indices are below 2^31 and lie in slab 0. */
#define ONE_SLAB_SHIFT 31

AEGIS_I_HIDDEN bool aegis_i_keyed_pool_is_valid(const aegis_keyed_pool *pool);
bool aegis_i_keyed_pool_is_valid(const aegis_keyed_pool *pool) {
    return aegis_i_pool_is_valid(&pool->pool) &&
           pool->retired_count <= pool->pool.touched_count - pool->pool.free_count &&
           pool->step_mask == ((uint32_t)1 << pool->step_shift) - 1;
}

static uint64_t make_key(uint32_t index, uint32_t generation) {
    return (uint64_t)generation << 32 | index;
}

/* The smallest power of two that is not below `count`. */
static size_t ceil_power_of_two(size_t count) {
    size_t power = 1;
    while (power < count && power <= SIZE_MAX / 2)
        power *= 2;
    return power;
}

aegis_status aegis_keyed_pool_init_sized(aegis_keyed_pool *pool, const aegis_pool_options *options,
                                         size_t options_bytes) {
    aegis_pool_options rounded;
    memset(pool, 0, sizeof *pool);
    if (options == NULL || aegis_i_unknown_option(options, options_bytes, sizeof rounded) != 0)
        /* It refuses them. */
        return aegis_i_pool_init(&pool->pool, options, options_bytes, 0, true);
    aegis_i_copy_sized(&rounded, sizeof rounded, options, options_bytes);
    if (rounded.block_count != 0 && rounded.max_block_count > rounded.block_count)
        rounded.block_count =
            aegis_i_min(ceil_power_of_two(rounded.block_count), rounded.max_block_count);
    aegis_status status = aegis_i_pool_init(&pool->pool, &rounded, sizeof rounded, 0, true);
    if (status != AEGIS_OK)
        return status;
    pool->generations = pool->pool.positions + pool->pool.slabs.index_limit;
    pool->step_shift = ONE_SLAB_SHIFT;
    if (pool->pool.slabs.slab_limit > 1)
        for (pool->step_shift = 0; pool->pool.slabs.step_count >> pool->step_shift != 1;)
            pool->step_shift++;
    pool->step_mask = ((uint32_t)1 << pool->step_shift) - 1;
    assert(aegis_i_keyed_pool_is_valid(pool));
    return AEGIS_OK;
}

aegis_status aegis_keyed_pool_fini(aegis_keyed_pool *pool) {
    if (pool == NULL)
        return AEGIS_OK;
    if (aegis_keyed_pool_len(pool) != 0)
        return AEGIS_E_BUSY;
    aegis_keyed_pool_abandon(pool);
    return AEGIS_OK;
}

void aegis_keyed_pool_abandon(aegis_keyed_pool *pool) {
    if (pool == NULL)
        return;
    aegis_pool rest = pool->pool;
    memset(pool, 0, sizeof *pool);
    aegis_pool_abandon(&rest);
}

/* Makes the pool grow if no block is free, and puts one on the stack. */
static bool list_free(aegis_keyed_pool *pool) {
    if (!aegis_i_pool_make_free(&pool->pool))
        return false;
    if (pool->pool.free_count == 0) {
        aegis_i_pool_list_fresh(&pool->pool, BATCH);
        pool->index_bound = aegis_i_max(pool->index_bound, pool->pool.fresh_next);
    }
    return true;
}

void *aegis_keyed_pool_alloc_slow(aegis_keyed_pool *pool, uint64_t *key) {
    assert(aegis_i_keyed_pool_is_valid(pool));
    *key = 0;
    if (!list_free(pool))
        return NULL;
    uint32_t index = pool->pool.free_indices[--pool->pool.free_count];
    *key = make_key(index, ++pool->generations[index]);
    void *block = aegis_keyed_pool_get(pool, *key);
    AEGIS_I_SHOW(block, pool->pool.slabs.block_bytes);
    return block;
}

aegis_status aegis_keyed_pool_free_slow(aegis_keyed_pool *pool, uint64_t key) {
    assert(aegis_i_keyed_pool_is_valid(pool));
    void *block = aegis_keyed_pool_get(pool, key);
    if (block == NULL)
        return AEGIS_E_INVALID;
    AEGIS_I_HIDE(block, pool->pool.slabs.block_bytes);
    uint32_t index = (uint32_t)(key & UINT32_MAX);
    if (key >> 32 == UINT32_MAX) {
        /* The generations are used up. The block stays out. */
        pool->generations[index] = 0;
        pool->retired_count++;
        return AEGIS_OK;
    }
    pool->generations[index]++;
    pool->pool.free_indices[pool->pool.free_count++] = index;
    return AEGIS_OK;
}

uint64_t aegis_keyed_pool_next_key(aegis_keyed_pool *pool) {
    assert(aegis_i_keyed_pool_is_valid(pool));
    if (!list_free(pool))
        return 0;
    uint32_t index = pool->pool.free_indices[pool->pool.free_count - 1];
    return make_key(index, pool->generations[index] + 1);
}

uint64_t aegis_keyed_pool_key_of(const aegis_keyed_pool *pool, const void *block) {
    uint32_t index = aegis_i_slabs_find(&pool->pool.slabs, block);
    if (index == AEGIS_I_NO_INDEX || (pool->generations[index] & 1) == 0)
        return 0;
    return make_key(index, pool->generations[index]);
}

uint64_t aegis_keyed_pool_next(const aegis_keyed_pool *pool, uint64_t key) {
    size_t index = key == 0 ? 0 : (size_t)(key & UINT32_MAX) + 1;
    for (; index < pool->index_bound; index++)
        if ((pool->generations[index] & 1) != 0)
            return make_key((uint32_t)index, pool->generations[index]);
    return 0;
}

aegis_status aegis_keyed_pool_reserve(aegis_keyed_pool *pool, size_t count) {
    assert(aegis_i_keyed_pool_is_valid(pool));
    bool is_available = aegis_i_pool_make_available(&pool->pool, count);
    /* Any block of the slabs held may be on the stack now. */
    uint32_t slab = pool->pool.slabs.slab_limit;
    while (slab > 1 && !aegis_i_slab_is_held(&pool->pool.slabs, slab - 1))
        slab--;
    if (slab != 0)
        pool->index_bound =
            aegis_i_max(pool->index_bound, (size_t)aegis_i_slab_start(&pool->pool.slabs, slab - 1) +
                                               aegis_i_slab_blocks(&pool->pool.slabs, slab - 1));
    return is_available ? AEGIS_OK : pool->pool.failed.status;
}

/* How many blocks of the slabs held were ever out. Those that were not lie at the bottom of the
 * stack, and one of them is taken only when all others are out. So this is also the largest number
 * that was out since the latest trim. If a slab has come back after a trim, blocks of it that were
 * not out again count too. */
static size_t used_count(const aegis_keyed_pool *pool) {
    size_t unused_count = 0;
    while (unused_count < pool->pool.free_count &&
           pool->generations[pool->pool.free_indices[unused_count]] == 0)
        unused_count++;
    return pool->pool.touched_count - unused_count;
}

void aegis_keyed_pool_trim(aegis_keyed_pool *pool, size_t keep_block_count) {
    assert(aegis_i_keyed_pool_is_valid(pool));
    pool->pool.peak_in_use = aegis_i_max(pool->pool.peak_in_use, used_count(pool));
    aegis_pool_trim(&pool->pool, keep_block_count);
}

void aegis_keyed_pool_get_stats_sized(const aegis_keyed_pool *pool, aegis_pool_stats *stats,
                                      size_t stats_bytes) {
    aegis_pool_stats filled;
    aegis_pool_get_stats(&pool->pool, &filled);
    filled.in_use -= pool->retired_count;
    filled.capacity -= pool->retired_count;
    filled.max_capacity -= pool->retired_count;
    filled.peak_in_use = aegis_i_max(filled.peak_in_use, used_count(pool));
    aegis_i_copy_sized(stats, stats_bytes, &filled, sizeof filled);
}

void aegis_keyed_pool_clear(aegis_keyed_pool *pool) {
    uint64_t key = 0;
    while ((key = aegis_keyed_pool_next(pool, key)) != 0)
        (void)aegis_keyed_pool_free(pool, key);
}
