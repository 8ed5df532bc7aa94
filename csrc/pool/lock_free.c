/* SPDX-License-Identifier: Apache-2.0 */
/* The lock-free pool hands blocks out and takes them back. Free blocks that were out before lie on
 * a stack of indices. Its head is one word: the index of the top block, and a tag. Blocks that were
 * never handed out are not on the stack: `fresh_count` tells how many were. A request looks at the
 * stack first, then at the counter, and asks the source for a slab only if both have nothing.
 *
 * Invariants:
 * 1. A block on the stack has as its link the index of the block below it, or `nil` (push,
 *    aegis_i_lock_free_put and aegis_i_lock_free_put_blocks set it before the head names the
 *    block).
 * 2. Only the one thread that has claimed or taken a block writes its link: of several claims one
 *    succeeds (the compare-and-swap in aegis_i_lock_free_claim), and so does one of several takes
 *    (the one in pop, the one in take_fresh). While a block is on the stack, its link is constant.
 * 3. Each removal increases the tag, and an addition leaves it as it is (pop, push).
 * 4. The links are words of a side array, which is there as long as the pool, and never bytes of a
 *    block. pop looks at no link with an index beyond the array.
 * 5. `fresh_count` never decreases, except by a trim, which has the pool to itself.
 *
 * Proof that pop removes only blocks of the stack: it reads the head, follows the links, and then
 * sets the head by one compare-and-swap. If that succeeds, the tag is the one that was read, so by
 * 3 nothing was removed in between. Without a removal an addition changes the top for good, so
 * nothing was added either. By 1 and 2 the links that pop read are then those of the stack. If
 * anything was removed, the swap fails, and what was read is not used; by 4 reading it was
 * harmless. The tag comes round after 2^(64 - index_bits) removals: to be deceived, a thread would
 * have to sleep through a multiple of that number and then find the same index on top.
 *
 * Proof that a request fails for exhaustion only if at one moment no block was free outside of
 * caches: aegis_i_lock_free_take finds the counter at its final end, where by 5 it stays, and finds
 * the stack empty after that. At that moment there was no block in either place.
 *
 * Orders: the release in push pairs with the acquire in pop. All changes of the head in between are
 * read-modify-writes, so they continue the release sequence. So the thread that takes a block sees
 * all that was done with it before, and its link.
 *
 * Source: R. K. Treiber's stack (IBM RJ 5118, 1986), with a tag. */
#include "aegis_memory/lock_free_pool.h"
#include "../base/harden.h"
#include "lock_free_state.h"

/* The longest pause after a lost race is 2^BACKOFF_LIMIT times the processor's own. */
#define BACKOFF_LIMIT 7
/* Indices that bulk operations hold on the machine stack. */
#define BATCH 64

/* Waits a while, longer each time up to the limit, so that one of the racing threads can finish. */
static void back_off(uint32_t *round) {
    for (uint32_t i = 0; i < UINT32_C(1) << *round; i++)
        aegis_i_cpu_relax();
    if (*round < BACKOFF_LIMIT)
        (*round)++;
}

/* The index of block number n of those that are not reserves. The reserves lie in the first slab,
 * behind its other blocks. */
static uint32_t index_of_fresh(const aegis_lock_free_pool_shared *shared, uint32_t n) {
    return n < shared->slabs.step_count ? n : n + shared->reserve_count;
}

/* Takes up to `want_count` blocks off the stack with one compare-and-swap. Returns how many it
 * took; 0: the stack is empty. */
static size_t pop(aegis_lock_free_pool_shared *shared, uint32_t *indices, size_t want_count) {
    uint32_t round = 0;
    /* Acquire, here and in the loop, pairs with the release in push. */
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
            /* This was the link of a block that another thread has taken meanwhile. */
            head = aegis_i_load(&shared->head, memory_order_acquire);
            continue;
        }
        uint64_t tag = (head >> shared->index_bits) + AEGIS_I_TAG_STEP;
        /* Acquire, on success and on failure, pairs with the release in push. */
        if (aegis_i_cas_weak(&shared->head, &head, tag << shared->index_bits | index,
                             memory_order_acquire, memory_order_acquire))
            return got_count;
        back_off(&round);
    }
}

/* Puts a chain of blocks on the stack. The caller has set all links except that of the last block.
 */
static void push(aegis_lock_free_pool_shared *shared, uint32_t first, uint32_t last) {
    uint32_t round = 0;
    uint64_t head = aegis_i_load(&shared->head, memory_order_relaxed);
    for (;;) {
        uint32_t below = (uint32_t)head & shared->nil;
        aegis_i_store(&shared->links[last], below, memory_order_relaxed);
        /* Release pairs with the acquire in pop. The tag stays, because nothing is removed. */
        if (aegis_i_cas_weak(&shared->head, &head, (head ^ below) | first, memory_order_release,
                             memory_order_relaxed))
            return;
        back_off(&round);
    }
}

/* Takes up to `want_count` blocks that were never handed out. */
static size_t take_fresh(aegis_lock_free_pool_shared *shared, uint32_t *indices, size_t want_count,
                         bool *clean) {
    /* Acquire, here and on failure below, pairs with the release below. The thread that moved the
     * counter had seen a slab count that allows it, so this thread sees that count or a later one:
     * the subtraction below does not wrap. */
    uint32_t fresh = aegis_i_load(&shared->fresh_count, memory_order_acquire);
    uint32_t got_count;
    do {
        uint32_t left_count = aegis_i_promised(shared, aegis_i_load_slab_count(shared)) - fresh;
        got_count = want_count < left_count ? (uint32_t)want_count : left_count;
        if (got_count == 0)
            return 0;
        /* Acquire pairs with the release of the thread that moved the counter before. */
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

/* Takes a condemned slab back into use, if the slab is condemned. That can be so only during a
 * trim, when the source that the trim calls uses the pool: no other thread is inside then. */
static bool revive(aegis_lock_free_pool_shared *shared, uint32_t slab) {
    const uintptr_t *place = &shared->slabs.directory[slab];
    uintptr_t entry = aegis_i_load((const _Atomic uintptr_t *)place, memory_order_relaxed);
    if ((entry & AEGIS_I_SLAB_CONDEMNED) == 0)
        return false;
    aegis_i_slabs_revive(&shared->slabs, slab);
    aegis_i_store(&shared->slab_count, slab + 1, memory_order_relaxed);
    return true;
}

/* Adds a slab, or completes the addition that another thread has begun. AEGIS_OK: the caller tries
 * again to take a block. Any other status: `error` says why there is no slab. */
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
    /* Release pairs with the acquire in aegis_i_load_slab_count. If the compare-and-swap fails,
     * another thread has counted the slab. */
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
        /* Without a retry the counter is at its final end, which it never leaves, or the source or
         * the budget has refused. In the first case an empty stack means that there is no block at
         * this moment. */
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
        /* The counter is at the end of the slabs held. So an empty stack means that there is no
         * block at this moment, unless a slab was added meanwhile: the loop looks for that. */
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
    /* Relaxed: the block came to the caller from the thread that took it, and with it the mark that
     * the block is out. */
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

/* Takes a block and hands it out. */
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
