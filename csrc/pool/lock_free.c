/* SPDX-License-Identifier: Apache-2.0 */
/* The lock-free pool: R. K. Treiber's stack (IBM RJ 5118, 1986) over block indices, with a tag.
 *
 * Taking reads the head and the links below it, then swings the head with one compare-and-swap. The
 * links read belong to the stack only if nothing was removed in between; every removal bumps the
 * tag, so the swap succeeds in that case alone. A thread would have to sleep through a multiple of
 * 2^(64 - index_bits) removals and meet the same index to be deceived. Links read in vain may be
 * anything, but they are words of our array, never a block's bytes.
 *
 * Blocks that were never handed out are not on the stack: a counter tells how far they have gone.
 * It is consulted when the stack is empty, and the block source when the counter is at its end.
 *
 * Orders: the release of a put pairs with the acquire of a take, and takes in between, being
 * read-modify-writes, continue the release sequence. So who gets a block sees all that was done
 * with it, and its links. */
#include "aegis_memory/lock_free_pool.h"
#include "../base/harden.h"
#include "lock_free.h"

/* The longest pause after a lost race is 2^BACKOFF_LIMIT times the processor's own. */
#define BACKOFF_LIMIT 7
/* Indices that bulk operations hold on the machine stack. */
#define BATCH 64

/* The tag's step. A model check sets it to 0 to see that the tag is needed. */
#ifndef AEGIS_I_TAG_STEP
#define AEGIS_I_TAG_STEP UINT64_C(1)
#endif

/* What a pool is once its own state is given back to the source, which may call it then. */
static aegis_lock_free_pool_shared finished;

/* Waits a while, longer each time up to the limit, so that one of the racing threads gets on. */
static void back_off(uint32_t *round) {
    for (uint32_t i = 0; i < UINT32_C(1) << *round; i++)
        aegis_i_cpu_relax();
    if (*round < BACKOFF_LIMIT)
        (*round)++;
}

bool aegis_i_lock_free_is_valid(const aegis_lock_free_pool_shared *shared) {
    /* The source may call a pool that is being finished, which finds nothing and has nothing. */
    if (shared->slabs.meta == NULL)
        return shared->slot_limit == 0 && shared->slabs.slab_limit == 0;
    return aegis_i_slabs_is_valid(&shared->slabs) && shared->links != NULL &&
           shared->nil >= shared->slabs.index_limit &&
           shared->nil == (UINT32_C(1) << shared->index_bits) - 1 &&
           shared->reserve_count + shared->slabs.step_count == shared->slabs.grid.count;
}

/* Blocks of the first `slab_count` slabs, reserves aside. */
static uint32_t promised(const aegis_lock_free_pool_shared *shared, uint32_t slab_count) {
    uint32_t max_count = shared->slabs.index_limit - shared->reserve_count;
    uint64_t block_count = (uint64_t)slab_count * shared->slabs.step_count;
    return block_count < max_count ? (uint32_t)block_count : max_count;
}

/* The index of the n-th block that is no reserve: reserves lie behind the first slab's others. */
static uint32_t index_of_fresh(const aegis_lock_free_pool_shared *shared, uint32_t n) {
    return n < shared->slabs.step_count ? n : n + shared->reserve_count;
}

static uint32_t load_slab_count(const aegis_lock_free_pool_shared *shared) {
    /* Acquire pairs with the release in grow: the slab's entry in the directory is seen. */
    return aegis_i_load(&shared->slab_count, memory_order_acquire);
}

aegis_status aegis_lock_free_pool_init(aegis_lock_free_pool *pool,
                                       const aegis_lock_free_pool_options *options) {
    memset(pool, 0, sizeof *pool);
    aegis_error error;
    if (options == NULL)
        return AEGIS_E_INVALID;
    if ((options->flags & ~AEGIS_POOL_NO_RACING_FREES) != 0)
        return aegis_i_slabs_refuse(&options->blocks, &error, AEGIS_E_INVALID, AEGIS_WHAT_FLAGS,
                                    options->flags, AEGIS_POOL_NO_RACING_FREES);
    if (options->max_cache_count > AEGIS_POOL_MAX_CACHES)
        return aegis_i_slabs_refuse(&options->blocks, &error, AEGIS_E_INVALID_LAYOUT,
                                    AEGIS_WHAT_CACHES, options->max_cache_count,
                                    AEGIS_POOL_MAX_CACHES);
    size_t reserve_count = options->max_cache_count * AEGIS_POOL_CACHE_BLOCKS;
    size_t head_bytes =
        sizeof(aegis_lock_free_pool_shared) + options->max_cache_count * sizeof(uint32_t);
    aegis_pool_slabs slabs;
    aegis_status status = aegis_i_slabs_init(&slabs, &options->blocks, reserve_count, head_bytes,
                                             sizeof(uint32_t), &error);
    if (status != AEGIS_OK)
        return status;

    /* Slots, links and the counter are zero, as they should be. */
    aegis_lock_free_pool_shared *shared = (aegis_lock_free_pool_shared *)slabs.meta;
    while ((UINT32_C(1) << shared->index_bits) <= slabs.index_limit)
        shared->index_bits++;
    shared->nil = (UINT32_C(1) << shared->index_bits) - 1;
    shared->reserve_count = (uint32_t)reserve_count;
    shared->flags = options->flags;
    shared->links = (_Atomic uint32_t *)(void *)slabs.side;
    shared->slot_limit = (uint32_t)options->max_cache_count;
    shared->slabs = slabs;
    atomic_init(&shared->head, shared->nil);
    atomic_init(&shared->slab_count, 1);
    pool->shared = shared;
    pool->block_bytes = slabs.block_bytes;
    assert(aegis_i_lock_free_is_valid(shared));
    return AEGIS_OK;
}

/* Counts what the links of [from, to) say. */
static void count_links(const aegis_lock_free_pool_shared *shared, uint32_t from, uint32_t to,
                        size_t *out_count, size_t *parked_count) {
    for (uint32_t index = from; index < to; index++) {
        uint32_t link = aegis_i_load(&shared->links[index], memory_order_relaxed);
        *out_count += link == AEGIS_POOL_LINK_OUT;
        *parked_count += link == AEGIS_POOL_LINK_PARKED || link == AEGIS_POOL_LINK_PARKED_CLEAN;
    }
}

/* Counts what the links of all blocks ever handed out say. */
static void count_all(const aegis_lock_free_pool_shared *shared, size_t *out_count,
                      size_t *parked_count) {
    uint32_t fresh = aegis_i_load(&shared->fresh_count, memory_order_relaxed);
    uint32_t step_count = shared->slabs.step_count;
    uint32_t reserve_end = step_count + shared->reserve_count;
    *out_count = *parked_count = 0;
    count_links(shared, 0, fresh < step_count ? fresh : step_count, out_count, parked_count);
    count_links(shared, step_count, reserve_end, out_count, parked_count);
    if (fresh > step_count)
        count_links(shared, reserve_end, fresh + shared->reserve_count, out_count, parked_count);
}

/* The number of cache slots in a state. */
static uint32_t count_slots(aegis_lock_free_pool_shared *shared, uint32_t state) {
    uint32_t slot_count = 0;
    for (uint32_t slot = 0; slot < shared->slot_limit; slot++)
        slot_count += aegis_i_load(&aegis_i_slots(shared)[slot], memory_order_relaxed) == state;
    return slot_count;
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
    /* The source has called this as the pool was being finished. */
    if (shared->slabs.meta == NULL)
        return;
    /* Empty before the first slab goes. Relaxed: the pool is this thread's alone. */
    aegis_i_store(&shared->head, shared->nil, memory_order_relaxed);
    aegis_i_store(&shared->fresh_count, 0, memory_order_relaxed);
    aegis_i_store(&shared->slab_count, 0, memory_order_relaxed);
    shared->slot_limit = 0;
    shared->reserve_count = 0;
    aegis_i_slabs_empty(&shared->slabs, &rest);
    pool->shared = &finished;
    aegis_i_slabs_close(&rest);
    memset(pool, 0, sizeof *pool);
}

/* Takes up to `want_count` blocks off the stack with one swap; 0 when it is empty. */
static size_t pop(aegis_lock_free_pool_shared *shared, uint32_t *indices, size_t want_count) {
    uint32_t round = 0;
    /* Acquire, here and on failure below, pairs with the release in push. */
    uint64_t head = aegis_i_load(&shared->head, memory_order_acquire);
    for (;;) {
        uint32_t index = (uint32_t)head & shared->nil;
        if (index == shared->nil)
            return 0;
        size_t got_count = 0;
        while (got_count < want_count && index < shared->slabs.index_limit) {
            indices[got_count++] = index;
            index = aegis_i_load(&shared->links[index], memory_order_relaxed);
        }
        if (index >= shared->slabs.index_limit && index != shared->nil) {
            /* A link of a block that another thread has taken meanwhile. */
            head = aegis_i_load(&shared->head, memory_order_acquire);
            continue;
        }
        uint64_t tag = (head >> shared->index_bits) + AEGIS_I_TAG_STEP;
        /* Acquire on success pairs with the release in push as well. */
        if (aegis_i_cas_weak(&shared->head, &head, tag << shared->index_bits | index,
                             memory_order_acquire, memory_order_acquire))
            return got_count;
        back_off(&round);
    }
}

/* Puts a chain on the stack whose links are set but for the last one's. */
static void push(aegis_lock_free_pool_shared *shared, uint32_t first, uint32_t last) {
    uint32_t round = 0;
    uint64_t head = aegis_i_load(&shared->head, memory_order_relaxed);
    for (;;) {
        uint32_t below = (uint32_t)head & shared->nil;
        aegis_i_store(&shared->links[last], below, memory_order_relaxed);
        /* Release pairs with the acquire in pop. The tag is left: nothing was removed. */
        if (aegis_i_cas_weak(&shared->head, &head, (head ^ below) | first, memory_order_release,
                             memory_order_relaxed))
            return;
        back_off(&round);
    }
}

/* Takes up to `want_count` blocks that were never handed out. */
static size_t take_fresh(aegis_lock_free_pool_shared *shared, uint32_t *indices, size_t want_count,
                         bool *clean) {
    /* Acquire pairs with the release below: a slab count behind the counter is never seen. */
    uint32_t fresh = aegis_i_load(&shared->fresh_count, memory_order_acquire);
    uint32_t got_count;
    do {
        uint32_t left_count = promised(shared, load_slab_count(shared)) - fresh;
        got_count = want_count < left_count ? (uint32_t)want_count : left_count;
        if (got_count == 0)
            return 0;
        /* Acquire and release pair with each other, in whatever thread was here before. */
    } while (!aegis_i_cas_weak(&shared->fresh_count, &fresh, fresh + got_count,
                               memory_order_acq_rel, memory_order_acquire));
    *clean = true;
    for (uint32_t i = 0; i < got_count; i++) {
        indices[i] = index_of_fresh(shared, fresh + i);
        uint32_t slab = aegis_i_slab_of(&shared->slabs, indices[i]);
        *clean = *clean && aegis_i_slab_is_zeroed(aegis_i_slabs_entry(&shared->slabs, slab));
    }
    return got_count;
}

/* Takes a condemned slab back into use, as the source may want it that is called by a trim, with
 * which no other thread is here. */
static bool revive(aegis_lock_free_pool_shared *shared, uint32_t slab) {
    const uintptr_t *place = &shared->slabs.directory[slab];
    uintptr_t entry = aegis_i_load((const _Atomic uintptr_t *)place, memory_order_relaxed);
    if ((entry & AEGIS_I_SLAB_CONDEMNED) == 0)
        return false;
    aegis_i_slabs_revive(&shared->slabs, slab);
    aegis_i_store(&shared->slab_count, slab + 1, memory_order_relaxed);
    return true;
}

/* Adds a slab, or finishes what another thread has begun. AEGIS_OK: worth trying again; else
 * `error` says why not. */
static aegis_status grow(aegis_lock_free_pool_shared *shared, aegis_error *error) {
    aegis_pool_slabs *slabs = &shared->slabs;
    uint32_t slab = load_slab_count(shared);
    if (slab == slabs->slab_limit) {
        uint32_t fresh = aegis_i_load(&shared->fresh_count, memory_order_relaxed);
        aegis_i_slabs_exhausted(slabs, error, promised(shared, slab), fresh);
        return AEGIS_E_EXHAUSTED;
    }
    uintptr_t entry = aegis_i_slabs_entry(slabs, slab);
    if (entry == 0 && revive(shared, slab))
        return AEGIS_OK;
    if (entry == 0) {
        entry = aegis_i_slabs_acquire(slabs, slab, error);
        if (entry == 0)
            return aegis_i_slabs_entry(slabs, slab) != 0 ? AEGIS_OK : error->status;
        /* Another thread was faster, or the source has trimmed the pool. */
        if (load_slab_count(shared) != slab) {
            aegis_i_slabs_release(slabs, slab, entry);
            return AEGIS_OK;
        }
    }
    uintptr_t installed = aegis_i_slabs_install(slabs, slab, entry);
    if (installed != entry)
        aegis_i_slabs_release(slabs, slab, entry);
    /* Release pairs with the acquire in load_slab_count. */
    (void)aegis_i_cas(&shared->slab_count, &slab, slab + 1, memory_order_release,
                      memory_order_relaxed);
    return AEGIS_OK;
}

size_t aegis_i_lock_free_take(aegis_lock_free_pool_shared *shared, uint32_t *indices,
                              size_t want_count, bool *clean, aegis_error *error) {
    uint32_t final_count = promised(shared, shared->slabs.slab_limit);
    *clean = false;
    size_t got_count = pop(shared, indices, want_count);
    while (got_count == 0) {
        got_count = take_fresh(shared, indices, want_count, clean);
        if (got_count != 0)
            break;
        aegis_error failed;
        aegis_status status = grow(shared, &failed);
        /* Another thread may have added the last slab since the counter was read. */
        bool retry = status == AEGIS_OK ||
                     (status == AEGIS_E_EXHAUSTED &&
                      aegis_i_load(&shared->fresh_count, memory_order_relaxed) != final_count);
        /* Now that the counter is known to be at its final end, which it never leaves, an empty
         * stack means that at this moment there is no block. */
        got_count = pop(shared, indices, want_count);
        if (got_count == 0 && !retry) {
            if (error != NULL)
                *error = failed;
            break;
        }
    }
    return got_count;
}

size_t aegis_i_lock_free_take_held(aegis_lock_free_pool_shared *shared, uint32_t *indices,
                                   size_t want_count) {
    uint32_t slab_count;
    do {
        bool clean;
        slab_count = load_slab_count(shared);
        size_t got_count = pop(shared, indices, want_count);
        if (got_count == 0)
            got_count = take_fresh(shared, indices, want_count, &clean);
        /* With the counter at its end an empty stack means that at this moment there is no block,
         * unless a slab was added meanwhile. */
        if (got_count == 0)
            got_count = pop(shared, indices, want_count);
        if (got_count != 0)
            return got_count;
    } while (load_slab_count(shared) != slab_count);
    return 0;
}

void aegis_i_lock_free_put(aegis_lock_free_pool_shared *shared, const uint32_t *indices,
                           size_t count) {
    if (count == 0)
        return;
    for (size_t i = 0; i + 1 < count; i++)
        aegis_i_store(&shared->links[indices[i]], indices[i + 1], memory_order_relaxed);
    push(shared, indices[0], indices[count - 1]);
}

uint32_t aegis_i_lock_free_claim(aegis_lock_free_pool_shared *shared, const void *block) {
    uint32_t index = aegis_i_slabs_find(&shared->slabs, block);
    uint32_t out = AEGIS_POOL_LINK_OUT;
    /* Relaxed: the caller has the block from its taker, and so sees the mark. */
    if (index == AEGIS_I_NO_INDEX ||
        !aegis_i_cas(&shared->links[index], &out, AEGIS_POOL_LINK_PARKED, memory_order_relaxed,
                     memory_order_relaxed))
        return AEGIS_I_NO_INDEX;
    AEGIS_I_HIDE(block, shared->slabs.block_bytes);
    return index;
}

bool aegis_i_lock_free_claim_n(aegis_lock_free_pool_shared *shared, void *const *blocks,
                               size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (aegis_i_lock_free_claim(shared, blocks[i]) != AEGIS_I_NO_INDEX)
            continue;
        while (i-- > 0) {
            uint32_t index = aegis_i_slabs_find(&shared->slabs, blocks[i]);
            AEGIS_I_SHOW_ZEROED(blocks[i], shared->slabs.block_bytes);
            aegis_i_store(&shared->links[index], AEGIS_POOL_LINK_OUT, memory_order_relaxed);
        }
        return false;
    }
    return true;
}

void aegis_i_lock_free_put_blocks(aegis_lock_free_pool_shared *shared, void *const *blocks,
                                  size_t count) {
    if (count == 0)
        return;
    uint32_t first = aegis_i_slabs_find(&shared->slabs, blocks[0]);
    uint32_t last = first;
    for (size_t i = 1; i < count; i++) {
        uint32_t index = aegis_i_slabs_find(&shared->slabs, blocks[i]);
        aegis_i_store(&shared->links[last], index, memory_order_relaxed);
        last = index;
    }
    push(shared, first, last);
}

/* Hands one block out. */
static void *take_block(const aegis_lock_free_pool *pool, bool zeroed, aegis_error *error) {
    aegis_lock_free_pool_shared *shared = pool->shared;
    uint32_t index;
    bool clean;
    if (aegis_i_lock_free_take(shared, &index, 1, &clean, error) == 0)
        return NULL;
    aegis_i_store(&shared->links[index], AEGIS_POOL_LINK_OUT, memory_order_relaxed);
    void *block = aegis_i_slabs_address(&shared->slabs, index);
    aegis_i_slabs_show(&shared->slabs, block, zeroed, clean);
    return block;
}

void *aegis_lock_free_pool_alloc(const aegis_lock_free_pool *pool, aegis_error *error) {
    return take_block(pool, false, error);
}

void *aegis_lock_free_pool_alloc_zeroed(const aegis_lock_free_pool *pool, aegis_error *error) {
    return take_block(pool, true, error);
}

size_t aegis_lock_free_pool_alloc_n(const aegis_lock_free_pool *pool, void **blocks, size_t count,
                                    aegis_error *error) {
    aegis_lock_free_pool_shared *shared = pool->shared;
    size_t done_count = 0;
    while (done_count < count) {
        uint32_t indices[BATCH];
        bool clean;
        size_t got_count = aegis_i_lock_free_take(
            shared, indices, aegis_i_min(count - done_count, BATCH), &clean, error);
        if (got_count == 0)
            break;
        for (size_t i = 0; i < got_count; i++) {
            aegis_i_store(&shared->links[indices[i]], AEGIS_POOL_LINK_OUT, memory_order_relaxed);
            void *block = aegis_i_slabs_address(&shared->slabs, indices[i]);
            aegis_i_slabs_show(&shared->slabs, block, false, clean);
            blocks[done_count++] = block;
        }
    }
    return done_count;
}

aegis_status aegis_lock_free_pool_free(const aegis_lock_free_pool *pool, void *block) {
    uint32_t index = aegis_i_lock_free_claim(pool->shared, block);
    if (index == AEGIS_I_NO_INDEX)
        return AEGIS_E_INVALID;
    push(pool->shared, index, index);
    return AEGIS_OK;
}

aegis_status aegis_lock_free_pool_free_n(const aegis_lock_free_pool *pool, void *const *blocks,
                                         size_t count) {
    if (!aegis_i_lock_free_claim_n(pool->shared, blocks, count))
        return AEGIS_E_INVALID;
    aegis_i_lock_free_put_blocks(pool->shared, blocks, count);
    return AEGIS_OK;
}

aegis_status aegis_lock_free_pool_index_of(const aegis_lock_free_pool *pool, const void *block,
                                           size_t *index) {
    uint32_t found = aegis_i_slabs_find(&pool->shared->slabs, block);
    if (found == AEGIS_I_NO_INDEX)
        return AEGIS_E_INVALID;
    *index = found;
    return AEGIS_OK;
}

void *aegis_lock_free_pool_address_of(const aegis_lock_free_pool *pool, size_t index) {
    return aegis_i_slabs_address(&pool->shared->slabs, index);
}

bool aegis_lock_free_pool_owns(const aegis_lock_free_pool *pool, const void *block) {
    return aegis_i_slabs_find(&pool->shared->slabs, block) != AEGIS_I_NO_INDEX;
}

aegis_status aegis_lock_free_pool_get_slab(const aegis_lock_free_pool *pool, size_t slab,
                                           aegis_pool_slab_info *info) {
    return aegis_i_slabs_get(&pool->shared->slabs, slab, info);
}

static size_t peak(aegis_lock_free_pool_shared *shared) {
    uint32_t fresh = aegis_i_load(&shared->fresh_count, memory_order_relaxed);
    uint32_t used_slots = shared->slot_limit - count_slots(shared, AEGIS_I_SLOT_UNUSED);
    return aegis_i_max(shared->old_peak, fresh + (size_t)used_slots * AEGIS_POOL_CACHE_BLOCKS);
}

/* Takes the blocks from `limit` up off the stack, and forgets that they were ever handed out. */
static void forget_blocks(aegis_lock_free_pool_shared *shared, uint32_t limit) {
    uint64_t head = atomic_load_explicit(&shared->head, memory_order_relaxed);
    uint64_t tag = (head >> shared->index_bits) + AEGIS_I_TAG_STEP;
    uint32_t first = shared->nil;
    uint32_t last = shared->nil;
    for (uint32_t index = (uint32_t)head & shared->nil; index != shared->nil;) {
        uint32_t below = atomic_load_explicit(&shared->links[index], memory_order_relaxed);
        if (index < limit) {
            if (last != shared->nil)
                atomic_store_explicit(&shared->links[last], index, memory_order_relaxed);
            else
                first = index;
            last = index;
        }
        index = below;
    }
    if (last != shared->nil)
        atomic_store_explicit(&shared->links[last], shared->nil, memory_order_relaxed);
    atomic_store_explicit(&shared->head, tag << shared->index_bits | first, memory_order_relaxed);
    for (uint32_t index = limit; index < shared->slabs.index_limit; index++)
        atomic_store_explicit(&shared->links[index], 0, memory_order_relaxed);
}

/* Condemns all slabs from `slab_count` up; the pool is whole after it. */
static void condemn_from(aegis_lock_free_pool_shared *shared, uint32_t slab_count) {
    uint32_t fresh = atomic_load_explicit(&shared->fresh_count, memory_order_relaxed);
    uint32_t old_count = atomic_load_explicit(&shared->slab_count, memory_order_relaxed);
    uint32_t promised_count = promised(shared, slab_count);
    shared->old_peak = (uint32_t)peak(shared);
    forget_blocks(shared, aegis_i_slab_start(&shared->slabs, slab_count));
    atomic_store_explicit(&shared->fresh_count, fresh < promised_count ? fresh : promised_count,
                          memory_order_relaxed);
    atomic_store_explicit(&shared->slab_count, slab_count, memory_order_relaxed);
    for (uint32_t slab = slab_count; slab < old_count; slab++)
        aegis_i_slabs_condemn(&shared->slabs, slab);
    aegis_i_slabs_reindex(&shared->slabs);
}

void aegis_lock_free_pool_trim(const aegis_lock_free_pool *pool, size_t keep_block_count) {
    aegis_lock_free_pool_shared *shared = pool->shared;
    aegis_pool_slabs *slabs = &shared->slabs;
    uint32_t old_count = atomic_load_explicit(&shared->slab_count, memory_order_relaxed);
    uint32_t slab_count = old_count;
    while (slab_count > 1 && promised(shared, slab_count - 1) >= keep_block_count) {
        uint32_t start = aegis_i_slab_start(slabs, slab_count - 1);
        size_t out_count = 0, parked_count = 0;
        count_links(shared, start, start + aegis_i_slab_blocks(slabs, slab_count - 1), &out_count,
                    &parked_count);
        if (out_count + parked_count != 0)
            break;
        slab_count--;
    }
    if (slab_count == old_count)
        return;
    condemn_from(shared, slab_count);
    for (uint32_t slab = old_count; slab-- > slab_count;) {
        uintptr_t entry = aegis_i_slabs_take_condemned(slabs, slab);
        if (entry != 0)
            aegis_i_slabs_release(slabs, slab, entry);
    }
    assert(aegis_i_lock_free_is_valid(shared));
}

size_t aegis_lock_free_pool_capacity(const aegis_lock_free_pool *pool) {
    return promised(pool->shared, load_slab_count(pool->shared));
}

void aegis_lock_free_pool_get_stats(const aegis_lock_free_pool *pool, aegis_pool_stats *stats) {
    aegis_lock_free_pool_shared *shared = pool->shared;
    uint32_t slab_count = load_slab_count(shared);
    aegis_i_slabs_get_stats(&shared->slabs, stats);
    count_all(shared, &stats->in_use, &stats->parked);
    stats->capacity = promised(shared, slab_count);
    stats->available = stats->capacity > stats->in_use ? stats->capacity - stats->in_use : 0;
    stats->peak_in_use = peak(shared);
    stats->slab_count = slab_count;
}
