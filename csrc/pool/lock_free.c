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
#include "lock_free_state.h"

/* The longest pause after a lost race is 2^BACKOFF_LIMIT times the processor's own. */
#define BACKOFF_LIMIT 7
/* Indices that bulk operations hold on the machine stack. */
#define BATCH 64

/* Waits a while, longer each time up to the limit, so that one of the racing threads gets on. */
static void back_off(uint32_t *round) {
    for (uint32_t i = 0; i < UINT32_C(1) << *round; i++)
        aegis_i_cpu_relax();
    if (*round < BACKOFF_LIMIT)
        (*round)++;
}

/* The index of the n-th block that is no reserve: reserves lie behind the first slab's others. */
static uint32_t index_of_fresh(const aegis_lock_free_pool_shared *shared, uint32_t n) {
    return n < shared->slabs.step_count ? n : n + shared->reserve_count;
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
        uint32_t left_count = aegis_i_promised(shared, aegis_i_load_slab_count(shared)) - fresh;
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
    uint32_t slab = aegis_i_load_slab_count(shared);
    if (slab == slabs->slab_limit) {
        uint32_t fresh = aegis_i_load(&shared->fresh_count, memory_order_relaxed);
        aegis_i_slabs_exhausted(slabs, error, aegis_i_promised(shared, slab), fresh);
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
        if (aegis_i_load_slab_count(shared) != slab) {
            aegis_i_slabs_release(slabs, slab, entry);
            return AEGIS_OK;
        }
    }
    uintptr_t installed = aegis_i_slabs_install(slabs, slab, entry);
    if (installed != entry)
        aegis_i_slabs_release(slabs, slab, entry);
    /* Release pairs with the acquire in aegis_i_load_slab_count. */
    (void)aegis_i_cas(&shared->slab_count, &slab, slab + 1, memory_order_release,
                      memory_order_relaxed);
    return AEGIS_OK;
}

size_t aegis_i_lock_free_take(aegis_lock_free_pool_shared *shared, uint32_t *indices,
                              size_t want_count, bool *clean, aegis_error *error) {
    uint32_t final_count = aegis_i_promised(shared, shared->slabs.slab_limit);
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
        slab_count = aegis_i_load_slab_count(shared);
        size_t got_count = pop(shared, indices, want_count);
        if (got_count == 0)
            got_count = take_fresh(shared, indices, want_count, &clean);
        /* With the counter at its end an empty stack means that at this moment there is no block,
         * unless a slab was added meanwhile. */
        if (got_count == 0)
            got_count = pop(shared, indices, want_count);
        if (got_count != 0)
            return got_count;
    } while (aegis_i_load_slab_count(shared) != slab_count);
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
