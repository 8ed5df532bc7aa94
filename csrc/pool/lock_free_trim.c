/* SPDX-License-Identifier: Apache-2.0 */
/* How a lock-free pool gives slabs back while other threads allocate and free.
 *
 * A trim empties the depot onto the first stack. Then it takes all blocks of both stacks, sorts out
 * the slabs of which it has every block, puts the blocks of the other slabs back, and releases the
 * slabs that it has sorted out. The second stack holds blocks that were set aside. A request takes
 * them only when it finds no other block (take_free in lock_free.c), so the slabs that are not
 * needed stay whole.
 *
 * Invariants:
 * 1. There is one trim at a time, and no slab is added meanwhile (the gate, lock_free_grow.c).
 * 2. A block that the trim has taken off a stack, and no other, has AEGIS_I_LINK_HELD or
 *    AEGIS_I_LINK_HELD_ASIDE as its link, until the trim puts it back (seize, put_back).
 * 3. A slab is condemned only if each of its blocks is held in that way, or lay in the range of
 *    fresh blocks that the trim has taken with one compare-and-swap (is_whole, take_range).
 * 4. What a trim holds is free again, or its slab is condemned, before aegis_i_lock_free_end_trim.
 * 5. The source is called only after that (release_condemned).
 * 6. Only a call with `idle` puts blocks on the second stack that were not there, and only blocks
 *    of slabs that it holds whole (sort).
 *
 * Proof that no block of a released slab is out, in a cache, or free: a thread gets a block by
 * taking it off a stack or out of the range. By 3 the trim took all blocks of the slab, and each
 * block is taken by one thread only. By 4 it put none of them back. After 1 the slab is in use
 * again only if growth takes it back into use, and then it is not released (invariant 7 of slab.h).
 *
 * Proof that a slab which `idle` releases was not used since the latest call with `idle`: each of
 * its blocks lies on the second stack, where by 6 that call or an earlier one has put it. A block
 * that was handed out since, and came back, lies on the first stack.
 *
 * The other threads: a block can be freed at any time, and its link is not written by the trim (2).
 * A request that finds no block waits until the trim has put back what it holds, before it grows
 * the pool or fails (aegis_i_lock_free_watch).
 *
 * Loads and stores of links that only the trim may write are relaxed: the compare-and-swap that
 * takes a stack acquires, and the one that puts blocks back releases. */
#include "../base/harden.h"
#include "lock_free_state.h"

/* No other thread runs differently because of these accesses, so the model checker need not switch
 * threads at each of them. */
static uint32_t link_of(const aegis_lock_free_pool_shared *shared, uint32_t index) {
    return atomic_load_explicit(&shared->links[index], memory_order_relaxed);
}

static void set_link(aegis_lock_free_pool_shared *shared, uint32_t index, uint32_t link) {
    atomic_store_explicit(&shared->links[index], link, memory_order_relaxed);
}

/* Takes all blocks of a stack. Returns how many. */
static uint32_t seize(aegis_lock_free_pool_shared *shared, _Atomic uint64_t *stack, uint32_t mark) {
    uint64_t head = aegis_i_load(stack, memory_order_relaxed);
    uint64_t tag;
    /* Acquire pairs with the release in push. Release pairs with the acquires of requests that find
     * the stack empty: they see that there is a trim. */
    do {
        tag = (head >> shared->index_bits) + AEGIS_I_TAG_STEP;
    } while (!aegis_i_cas_weak(stack, &head, tag << shared->index_bits | shared->nil,
                               memory_order_acq_rel, memory_order_relaxed));
    uint32_t count = 0;
    for (uint32_t index = (uint32_t)head & shared->nil; index != shared->nil; count++) {
        uint32_t below = link_of(shared, index);
        set_link(shared, index, mark);
        index = below;
    }
    return count;
}

/* What a trim has of a slab. */
typedef struct share {
    uint32_t held_count;
    uint32_t aside_count;
    /* The word `fresh` if the range lies in the slab, and how many blocks that has. */
    uint64_t fresh;
    uint32_t fresh_count;
} share;

/* Whether the trim has all blocks of a slab, if it gets the range. */
static bool is_whole(const aegis_lock_free_pool_shared *shared, uint32_t slab, share *has) {
    uint32_t start = aegis_i_slab_start(&shared->slabs, slab);
    uint32_t end = start + aegis_i_slab_blocks(&shared->slabs, slab);
    uint64_t word = aegis_i_load(&shared->fresh, memory_order_acquire);
    uint32_t number = aegis_i_fresh_number(shared, word);
    memset(has, 0, sizeof *has);
    if (aegis_i_fresh_ready(shared, word) && number >= start && number < end) {
        has->fresh = word;
        has->fresh_count = end - number;
        end = number;
    }
    for (uint32_t index = start; index < end; index++) {
        uint32_t link = link_of(shared, index);
        if (link != AEGIS_I_LINK_HELD && link != AEGIS_I_LINK_HELD_ASIDE)
            return false;
        has->held_count++;
        has->aside_count += link == AEGIS_I_LINK_HELD_ASIDE;
    }
    return true;
}

/* Takes the range of fresh blocks, if it lies in the slab. False: another thread was faster. */
static bool take_range(aegis_lock_free_pool_shared *shared, const share *has) {
    uint64_t word = has->fresh;
    return has->fresh_count == 0 ||
           aegis_i_cas(&shared->fresh, &word, aegis_i_fresh_next(shared, word),
                       memory_order_acq_rel, memory_order_relaxed);
}

static void mark_all(aegis_lock_free_pool_shared *shared, uint32_t slab, uint32_t link) {
    uint32_t start = aegis_i_slab_start(&shared->slabs, slab);
    for (uint32_t i = 0; i < aegis_i_slab_blocks(&shared->slabs, slab); i++)
        set_link(shared, start + i, link);
}

/* Condemns a slab that the trim has whole. */
static void condemn(aegis_lock_free_pool_shared *shared, const aegis_i_trim *wanted,
                    uint32_t slab) {
    uint32_t block_count = aegis_i_slab_blocks(&shared->slabs, slab);
    if (wanted->forget != NULL)
        wanted->forget(wanted->context, aegis_i_slab_start(&shared->slabs, slab), block_count);
    mark_all(shared, slab, 0);
    (void)aegis_i_sub(&shared->block_count, block_count, memory_order_relaxed);
    (void)aegis_i_sub(&shared->slab_count, 1, memory_order_relaxed);
    aegis_i_slabs_condemn(&shared->slabs, slab);
}

/* Decides about each slab except the first one, from the last one on. */
static void sort(aegis_lock_free_pool_shared *shared, const aegis_i_trim *wanted) {
    const aegis_pool_slabs *slabs = &shared->slabs;
    bool idle = (wanted->flags & AEGIS_I_TRIM_IDLE) != 0;
    size_t gone_bytes = 0;
    for (uint32_t slab = aegis_i_load(&shared->slab_end, memory_order_relaxed); slab-- > 1;) {
        share has;
        if (!aegis_i_slab_is_held(slabs, slab))
            continue;
        bool whole = is_whole(shared, slab, &has);
        size_t block_count = aegis_i_slab_blocks(slabs, slab);
        size_t left_count = aegis_i_load(&shared->block_count, memory_order_relaxed) - block_count;
        bool goes = whole && left_count >= wanted->keep_block_count &&
                    gone_bytes < wanted->want_bytes && (!idle || has.aside_count == block_count);
        if (goes && take_range(shared, &has)) {
            condemn(shared, wanted, slab);
            gone_bytes += aegis_i_slab_bytes(slabs, slab);
        } else if (idle && whole && take_range(shared, &has)) {
            mark_all(shared, slab, AEGIS_I_LINK_HELD_ASIDE);
        } else if (idle) {
            uint32_t start = aegis_i_slab_start(slabs, slab);
            for (uint32_t i = 0; i < block_count; i++)
                if (link_of(shared, start + i) == AEGIS_I_LINK_HELD_ASIDE)
                    set_link(shared, start + i, AEGIS_I_LINK_HELD);
        }
    }
}

/* A row of blocks to be put on a stack. */
typedef struct chain {
    uint32_t first;
    uint32_t last;
    uint32_t count;
} chain;

static void link_up(aegis_lock_free_pool_shared *shared, chain *row, uint32_t index) {
    if (row->count++ == 0)
        row->last = index;
    else
        set_link(shared, index, row->first);
    row->first = index;
}

/* Puts the blocks of a slab into the chains, the one with the lowest index on top. */
static void collect(aegis_lock_free_pool_shared *shared, uint32_t slab, chain *row, chain *aside) {
    uint32_t start = aegis_i_slab_start(&shared->slabs, slab);
    for (uint32_t i = aegis_i_slab_blocks(&shared->slabs, slab); i-- > 0;) {
        uint32_t link = link_of(shared, start + i);
        if (link == AEGIS_I_LINK_HELD)
            link_up(shared, row, start + i);
        else if (link == AEGIS_I_LINK_HELD_ASIDE)
            link_up(shared, aside, start + i);
    }
}

/* Puts back all blocks that the trim still holds. The first slabs lie on top, so that the last ones
 * are used least. */
static void put_back(aegis_lock_free_pool_shared *shared) {
    chain row = {0, 0, 0};
    chain aside = {0, 0, 0};
    for (uint32_t slab = aegis_i_load(&shared->slab_end, memory_order_relaxed); slab-- > 0;)
        if (aegis_i_slab_is_held(&shared->slabs, slab))
            collect(shared, slab, &row, &aside);
    if (row.count != 0)
        aegis_i_lock_free_push(shared, &shared->head, row.first, row.last);
    (void)aegis_i_add(&shared->aside_count, aside.count, memory_order_relaxed);
    if (aside.count != 0)
        aegis_i_lock_free_push(shared, &shared->aside, aside.first, aside.last);
}

/* Releases all slabs that are condemned, also those of another trim. */
static size_t release_condemned(aegis_lock_free_pool_shared *shared) {
    aegis_pool_slabs *slabs = &shared->slabs;
    size_t gone_bytes = 0;
    for (uint32_t slab = aegis_i_load(&shared->slab_end, memory_order_relaxed); slab-- > 1;) {
        uintptr_t entry = aegis_i_slabs_take_condemned(slabs, slab);
        if (entry == 0)
            continue;
        gone_bytes += aegis_i_slab_bytes(slabs, slab);
        aegis_i_slabs_release(slabs, slab, entry);
    }
    return gone_bytes;
}

size_t aegis_i_lock_free_trim(aegis_lock_free_pool_shared *shared, const aegis_i_trim *wanted) {
    assert(aegis_i_lock_free_is_valid(shared));
    /* A pool of one slab keeps it, and so does one that is being finished. */
    if (shared->slabs.slab_limit <= 1)
        return 0;
    while (!aegis_i_lock_free_begin_trim(shared)) {
        if ((wanted->flags & AEGIS_I_TRIM_PATIENT) == 0)
            return 0;
        (void)aegis_i_lock_free_watch(shared);
    }
    aegis_i_store(&shared->old_peak, (uint32_t)aegis_i_lock_free_peak(shared),
                  memory_order_relaxed);
    aegis_i_lock_free_spill(shared);
    (void)seize(shared, &shared->head, AEGIS_I_LINK_HELD);
    uint32_t aside_count = seize(shared, &shared->aside, AEGIS_I_LINK_HELD_ASIDE);
    (void)aegis_i_sub(&shared->aside_count, aside_count, memory_order_relaxed);
    sort(shared, wanted);
    put_back(shared);
    aegis_i_lock_free_end_trim(shared);
    return release_condemned(shared);
}

void aegis_lock_free_pool_trim(const aegis_lock_free_pool *pool, size_t keep_block_count) {
    aegis_i_trim wanted = {keep_block_count, SIZE_MAX, 0, NULL, NULL};
    (void)aegis_i_lock_free_trim(pool->shared, &wanted);
}

void aegis_lock_free_pool_trim_idle(const aegis_lock_free_pool *pool) {
    aegis_i_trim wanted = {0, SIZE_MAX, AEGIS_I_TRIM_IDLE, NULL, NULL};
    (void)aegis_i_lock_free_trim(pool->shared, &wanted);
}
