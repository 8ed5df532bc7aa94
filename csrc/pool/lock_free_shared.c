/* SPDX-License-Identifier: Apache-2.0 */
/* What a lock-free pool does beside handing blocks out: it is made, finished and counted.
 *
 * A pool with AEGIS_POOL_FIT_CACHES chooses its number of caches before it acquires anything. It
 * compares what pools with more or fewer caches would acquire with what the pool may spend
 * (fit_caches). So a budget does not see a charge that it would refuse because of caches, unless
 * its room shrinks meanwhile. If a request is refused all the same, the pool asks for fewer caches
 * (acquire_slabs).
 *
 * Finishing has the pool to itself: the caller has ordered all other calls before it. So its loads
 * and stores are relaxed. Only the source may use the pool meanwhile, in this same thread. For that
 * the pool is brought into a consistent state, without slabs, before the first slab goes back to
 * the source. Counting may run at any time. It reads each word on its own, so while other threads
 * work its numbers need not fit each other. */
#include "aegis_memory/lock_free_pool.h"
#include "../base/harden.h"
#include "../base/sized.h"
#include "../base/threads.h"
#include "lock_free_state.h"
#include "move.h"

#define FLAGS (AEGIS_POOL_NO_RACING_FREES | AEGIS_POOL_FIT_CACHES)
/* The most caches for AEGIS_POOL_FIT_CACHES if the options do not say a number, on a system with
 * few processors. */
#define DEFAULT_CACHES ((size_t)16)
/* With AEGIS_POOL_FIT_CACHES, this part of what the pool acquires without caches is spent on them.
 */
#define CACHE_SHARE 4

/* The state of a pool whose own state has gone back to the source, because the source may call the
 * pool then: it has no block. */
static aegis_lock_free_pool_shared finished;

bool aegis_i_lock_free_is_valid(const aegis_lock_free_pool_shared *shared) {
    /* The source may call a pool that is being finished: it has no slabs and no caches then. */
    if (shared->slabs.meta == NULL)
        return shared->slot_limit == 0 && shared->slabs.slab_limit == 0;
    return aegis_i_slabs_is_valid(&shared->slabs) && shared->links != NULL &&
           shared->nil >= shared->slabs.index_limit &&
           shared->nil == (UINT32_C(1) << shared->index_bits) - 1 &&
           shared->reserve_count + shared->slabs.step_count == shared->slabs.grid.count;
}

/* The bytes at the start of the side memory. */
static size_t head_bytes(size_t cache_count) {
    return sizeof(aegis_lock_free_pool_shared) +
           cache_count * (AEGIS_I_SLOT_MAGAZINES * sizeof(aegis_i_magazine) + sizeof(uint32_t));
}

/* What a pool acquires: at first, and when it has grown as far as it may. SIZE_MAX: no size_t can
 * hold the number, or there can be no such pool. */
typedef struct needs {
    size_t first_bytes;
    size_t grown_bytes;
} needs;

static needs count_needs(const aegis_pool_options *options, size_t cache_count) {
    needs needed = {SIZE_MAX, SIZE_MAX};
    aegis_pool_slabs slabs;
    aegis_error error;
    if (aegis_i_slabs_plan(&slabs, options, cache_count * AEGIS_POOL_CACHE_BLOCKS,
                           head_bytes(cache_count), sizeof(uint32_t), &error) != AEGIS_OK)
        return needed;
    size_t stride_bytes = slabs.grid.stride_bytes;
    /* Neither the side memory nor a slab is larger than PTRDIFF_MAX. */
    needed.first_bytes = slabs.meta_bytes + slabs.grid.count * stride_bytes;
    if (slabs.index_limit <= (SIZE_MAX - slabs.meta_bytes) / stride_bytes)
        needed.grown_bytes = slabs.meta_bytes + slabs.index_limit * stride_bytes;
    return needed;
}

size_t aegis_i_lock_free_first_bytes(const aegis_pool_options *options) {
    return count_needs(options, 0).first_bytes;
}

/* The number of caches for AEGIS_POOL_FIT_CACHES. */
static size_t fit_caches(const aegis_lock_free_pool_options *options) {
    needs plain = count_needs(&options->blocks, 0);
    size_t room_bytes = aegis_i_budget_room(options->blocks.budget);
    /* Caches take no room from slabs that would fit into the budget without them. */
    bool spares_growth = plain.grown_bytes <= room_bytes;
    size_t least_count = 0;
    size_t most_count = options->max_cache_count;
    if (most_count == 0)
        most_count = aegis_i_max(DEFAULT_CACHES, (size_t)aegis_i_processor_count() * 2);
    most_count = aegis_i_min(most_count, AEGIS_POOL_MAX_CACHES);
    while (least_count < most_count) {
        size_t cache_count = most_count - (most_count - least_count) / 2;
        needs needed = count_needs(&options->blocks, cache_count);
        if (needed.first_bytes != SIZE_MAX &&
            needed.first_bytes - plain.first_bytes <= plain.first_bytes / CACHE_SHARE &&
            (spares_growth ? needed.grown_bytes : needed.first_bytes) <= room_bytes)
            least_count = cache_count;
        else
            most_count = cache_count - 1;
    }
    return least_count;
}

static aegis_status init_slabs(aegis_pool_slabs *slabs, const aegis_pool_options *blocks,
                               size_t cache_count, bool optional, aegis_error *error) {
    return aegis_i_slabs_init(slabs, blocks, cache_count * AEGIS_POOL_CACHE_BLOCKS,
                              head_bytes(cache_count), sizeof(uint32_t), optional, error);
}

/* Acquires the side memory and the first slab. With AEGIS_POOL_FIT_CACHES it first sets the number
 * of caches, and halves it as long as the memory is refused. It waits only for what a pool without
 * caches needs. On failure `error` and the record of the options say why. */
static aegis_status acquire_slabs(aegis_pool_slabs *slabs,
                                  const aegis_lock_free_pool_options *options, size_t *cache_count,
                                  aegis_error *error) {
    aegis_pool_options blocks = options->blocks;
    *cache_count = options->max_cache_count;
    if ((options->flags & AEGIS_POOL_FIT_CACHES) != 0) {
        /* A refusal that is not the last one leaves no record. */
        blocks.error = NULL;
        *cache_count = fit_caches(options);
        for (; *cache_count != 0; *cache_count /= 2)
            if (init_slabs(slabs, &blocks, *cache_count, true, error) == AEGIS_OK)
                return AEGIS_OK;
    }
    return init_slabs(slabs, &options->blocks, *cache_count, false, error);
}

_Static_assert(offsetof(aegis_lock_free_pool_options, max_cache_count) ==
                   sizeof(aegis_pool_options),
               "the options of the blocks may grow");

aegis_status aegis_lock_free_pool_init_sized(aegis_lock_free_pool *pool,
                                             const aegis_lock_free_pool_options *given,
                                             size_t options_bytes, size_t blocks_bytes) {
    aegis_lock_free_pool_options copy;
    memset(pool, 0, sizeof *pool);
    aegis_error error;
    if (given == NULL)
        return AEGIS_E_INVALID;
    size_t unknown = aegis_i_unknown_nested_option(given, options_bytes, blocks_bytes, sizeof copy,
                                                   sizeof copy.blocks);
    const aegis_lock_free_pool_options *options =
        (const aegis_lock_free_pool_options *)aegis_i_known_parts(
            given, options_bytes, blocks_bytes, &copy, sizeof copy, sizeof copy.blocks);
    if (unknown != 0)
        return aegis_i_slabs_refuse(&options->blocks, &error, AEGIS_E_INVALID,
                                    AEGIS_WHAT_UNKNOWN_OPTION, unknown, sizeof copy);
    if ((options->flags & ~FLAGS) != 0)
        return aegis_i_slabs_refuse(&options->blocks, &error, AEGIS_E_INVALID, AEGIS_WHAT_FLAGS,
                                    options->flags, FLAGS);
    if (options->max_cache_count > AEGIS_POOL_MAX_CACHES)
        return aegis_i_slabs_refuse(&options->blocks, &error, AEGIS_E_INVALID_LAYOUT,
                                    AEGIS_WHAT_CACHES, options->max_cache_count,
                                    AEGIS_POOL_MAX_CACHES);
    aegis_pool_slabs slabs;
    size_t cache_count;
    aegis_status status = acquire_slabs(&slabs, options, &cache_count, &error);
    if (status != AEGIS_OK)
        return status;

    /* The memory is zeroed: so all slots are unused, and the links and the counter are 0. */
    aegis_lock_free_pool_shared *shared = (aegis_lock_free_pool_shared *)slabs.meta;
    while ((UINT32_C(1) << shared->index_bits) <= slabs.index_limit)
        shared->index_bits++;
    shared->nil = (UINT32_C(1) << shared->index_bits) - 1;
    shared->reserve_count = (uint32_t)(cache_count * AEGIS_POOL_CACHE_BLOCKS);
    shared->flags = options->flags;
    shared->links = (_Atomic uint32_t *)(void *)slabs.side;
    shared->slot_limit = (uint32_t)cache_count;
    shared->slabs = slabs;
    atomic_init(&shared->head, shared->nil);
    atomic_init(&shared->aside, shared->nil);
    atomic_init(&shared->fresh, UINT64_C(1) << shared->index_bits);
    atomic_init(&shared->slab_count, 1);
    atomic_init(&shared->slab_end, 1);
    atomic_init(&shared->block_count, slabs.step_count);
    atomic_init(&shared->process, AEGIS_I_PROCESS());
    pool->shared = shared;
    pool->block_bytes = slabs.block_bytes;
    pool->align_bytes = slabs.align_bytes;
    assert(aegis_i_lock_free_is_valid(shared));
    return AEGIS_OK;
}

/* Counts which of the blocks with the indices [from, to) are out, and which are in caches. */
static void count_links(const aegis_lock_free_pool_shared *shared, uint32_t from, uint32_t to,
                        size_t *out_count, size_t *parked_count) {
    for (uint32_t index = from; index < to; index++) {
        uint32_t link = aegis_i_load(&shared->links[index], memory_order_relaxed);
        *out_count += link == AEGIS_POOL_LINK_OUT;
        *parked_count += link == AEGIS_POOL_LINK_PARKED || link == AEGIS_POOL_LINK_PARKED_CLEAN;
    }
}

/* The same for all blocks of the slabs held, except those that were not handed out yet. */
static void count_all(const aegis_lock_free_pool_shared *shared, size_t *out_count,
                      size_t *parked_count) {
    const aegis_pool_slabs *slabs = &shared->slabs;
    uint64_t word = aegis_i_load(&shared->fresh, memory_order_relaxed);
    uint32_t fresh = aegis_i_fresh_number(shared, word);
    uint32_t fresh_end = fresh + aegis_i_fresh_left(shared, word);
    *out_count = *parked_count = 0;
    for (uint32_t slab = 0; slab < aegis_i_load(&shared->slab_end, memory_order_relaxed); slab++) {
        uint32_t start = aegis_i_slab_start(slabs, slab);
        uint32_t end = start + aegis_i_slab_blocks(slabs, slab);
        if (!aegis_i_slab_is_held(slabs, slab))
            continue;
        if (fresh_end > fresh && fresh >= start && fresh < end) {
            count_links(shared, start, fresh, out_count, parked_count);
            start = fresh_end;
        }
        count_links(shared, start, end, out_count, parked_count);
    }
}

/* The number of cache slots in a state. */
static uint32_t count_slots(aegis_lock_free_pool_shared *shared, uint32_t state) {
    uint32_t slot_count = 0;
    for (uint32_t slot = 0; slot < shared->slot_limit; slot++)
        slot_count += aegis_i_load(&aegis_i_slots(shared)[slot], memory_order_relaxed) == state;
    return slot_count;
}

/* What the pool would not have acquired if it were made for no caches. */
static size_t count_cache_bytes(const aegis_lock_free_pool_shared *shared) {
    return shared->reserve_count * (shared->slabs.grid.stride_bytes + sizeof(uint32_t)) +
           aegis_i_round_up(head_bytes(shared->slot_limit), AEGIS_I_META_ALIGN) -
           aegis_i_round_up(head_bytes(0), AEGIS_I_META_ALIGN);
}

aegis_status aegis_lock_free_pool_fini(aegis_lock_free_pool *pool) {
    if (pool == NULL || pool->shared == NULL)
        return AEGIS_OK;
    assert(aegis_i_lock_free_is_valid(pool->shared));
    size_t out_count, parked_count;
    count_all(pool->shared, &out_count, &parked_count);
    if (out_count != 0 || count_slots(pool->shared, AEGIS_I_SLOT_LIVE) != 0)
        return AEGIS_E_BUSY;
    aegis_lock_free_pool_abandon(pool);
    return AEGIS_OK;
}

void aegis_lock_free_pool_abandon(aegis_lock_free_pool *pool) {
    if (pool == NULL || pool->shared == NULL)
        return;
    aegis_lock_free_pool_shared *shared = pool->shared;
    aegis_pool_slabs rest;
    /* The pool is being finished already: the source has called this. */
    if (shared->slabs.meta == NULL)
        return;
    /* The pool is empty before the first slab goes. Relaxed: this thread has the pool to itself. */
    aegis_i_store(&shared->head, shared->nil, memory_order_relaxed);
    aegis_i_store(&shared->aside, shared->nil, memory_order_relaxed);
    aegis_i_store(&shared->full, 0, memory_order_relaxed);
    aegis_i_store(&shared->fresh, 0, memory_order_relaxed);
    aegis_i_store(&shared->slab_count, 0, memory_order_relaxed);
    aegis_i_store(&shared->block_count, 0, memory_order_relaxed);
    aegis_i_store(&shared->slab_end, 0, memory_order_relaxed);
    shared->slot_limit = 0;
    shared->reserve_count = 0;
    aegis_i_slabs_empty(&shared->slabs, &rest);
    pool->shared = &finished;
    aegis_i_slabs_close(&rest);
    memset(pool, 0, sizeof *pool);
}

size_t aegis_i_lock_free_peak(aegis_lock_free_pool_shared *shared) {
    /* Blocks of the range and of the second stack are taken when no other is free. So all other
     * blocks were out or in caches at one moment since the latest trim, or there were none of the
     * others. While a trim holds blocks, this may count those too. */
    size_t block_count = aegis_i_load(&shared->block_count, memory_order_relaxed);
    int32_t aside_count = (int32_t)aegis_i_load(&shared->aside_count, memory_order_relaxed);
    size_t left_count =
        aegis_i_fresh_left(shared, aegis_i_load(&shared->fresh, memory_order_relaxed)) +
        (aside_count > 0 ? (size_t)aside_count : 0);
    uint32_t used_slots = shared->slot_limit - count_slots(shared, AEGIS_I_SLOT_UNUSED);
    size_t used_count = block_count > left_count ? block_count - left_count : 0;
    used_count += (size_t)used_slots * AEGIS_POOL_CACHE_BLOCKS;
    return aegis_i_max(aegis_i_load(&shared->old_peak, memory_order_relaxed), used_count);
}

aegis_status aegis_lock_free_pool_move_budget(const aegis_lock_free_pool *pool,
                                              aegis_budget *budget, aegis_error *error) {
    assert(aegis_i_lock_free_is_valid(pool->shared));
    return aegis_i_slabs_move(&pool->shared->slabs, budget, error);
}

size_t aegis_lock_free_pool_capacity(const aegis_lock_free_pool *pool) {
    return aegis_i_load(&pool->shared->block_count, memory_order_relaxed);
}

void aegis_lock_free_pool_get_stats_sized(const aegis_lock_free_pool *pool, aegis_pool_stats *stats,
                                          size_t stats_bytes) {
    aegis_lock_free_pool_shared *shared = pool->shared;
    aegis_pool_stats filled;
    aegis_i_slabs_get_stats(&shared->slabs, &filled);
    count_all(shared, &filled.in_use, &filled.parked);
    /* The links do not tell a cache from the depot. */
    filled.parked -= aegis_i_min(filled.parked, aegis_i_depot_count(shared));
    filled.capacity = aegis_lock_free_pool_capacity(pool);
    filled.available = filled.capacity > filled.in_use ? filled.capacity - filled.in_use : 0;
    filled.peak_in_use = aegis_i_lock_free_peak(shared);
    filled.slab_count = aegis_i_load(&shared->slab_count, memory_order_relaxed);
    filled.max_cache_count = shared->slot_limit;
    filled.cache_reserve_bytes = count_cache_bytes(shared);
    aegis_i_copy_sized(stats, stats_bytes, &filled, sizeof filled);
}
