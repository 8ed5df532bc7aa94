/* SPDX-License-Identifier: Apache-2.0 */
/* The depot of a lock-free pool: full magazines on their way from one cache to another. A magazine
 * is a record of the indices of HALF free blocks, which lie in a row. So a cache that takes it
 * reads a few lines of memory that it can fetch at once. On the stack of blocks it would have to
 * follow a chain of links, each of which is known only when the one before has come. The links of
 * the blocks are not written: they say that the blocks are parked, in a cache or in the depot.
 *
 * The magazines lie on two stacks, of full ones and of empty ones. Each slot of a cache brings
 * AEGIS_I_SLOT_MAGAZINES empty ones when it is used for the first time. If there is no empty one,
 * the cache uses the stack of blocks.
 *
 * Invariants:
 * 1. A magazine is on one of the stacks, or has one owner: the thread that took it off one (pop).
 *    Only the owner touches its items.
 * 2. Each removal increases the tag of the stack. So a stack that was empty twice with the same
 *    word was empty all the time in between: see found_nothing in lock_free.c.
 * 3. Caches take full magazines whole. Besides them only aegis_i_lock_free_spill takes some, which
 *    one thread at a time calls, between begin_trim and end_trim of lock_free_grow.c. It puts the
 *    blocks on the stack of blocks, where any request finds them. A request that finds nothing
 *    because of that waits for the end of it, as for other trims.
 *
 * Source: J. Bonwick, J. Adams, Magazines and Vmem (USENIX 2001). */
#include "../base/harden.h"
#include "lock_free_state.h"

#define HALF AEGIS_I_MAGAZINE_BLOCKS

_Static_assert(AEGIS_POOL_MAX_CACHES *AEGIS_I_SLOT_MAGAZINES < UINT32_C(1) << AEGIS_I_DEPOT_BITS,
               "a word has room for the number of each magazine");

static aegis_i_magazine *magazine(aegis_lock_free_pool_shared *shared, uint32_t number) {
    return &aegis_i_magazines(shared)[number - 1];
}

/* Takes a magazine off a stack. 0: there is none. */
static uint32_t pop(aegis_lock_free_pool_shared *shared, _Atomic uint64_t *stack) {
    /* Acquire, here and in the loop, pairs with the release in push, and with the one below: a
     * thread that finds the stack empty because of a trim sees that there is a trim. */
    uint64_t word = aegis_i_load(stack, memory_order_acquire);
    for (;;) {
        uint32_t number = aegis_i_depot_top(word);
        if (number == 0)
            return 0;
        /* Relaxed: if another thread has taken the magazine meanwhile, the swap fails. */
        uint64_t below = aegis_i_load(&magazine(shared, number)->below, memory_order_relaxed);
        uint64_t tag = (word >> AEGIS_I_DEPOT_BITS) + AEGIS_I_TAG_STEP;
        if (aegis_i_cas_weak(stack, &word, tag << AEGIS_I_DEPOT_BITS | below, memory_order_acq_rel,
                             memory_order_acquire))
            return number;
    }
}

static void push(aegis_lock_free_pool_shared *shared, _Atomic uint64_t *stack, uint32_t number) {
    uint64_t word = aegis_i_load(stack, memory_order_relaxed);
    uint32_t below;
    do {
        below = aegis_i_depot_top(word);
        aegis_i_store(&magazine(shared, number)->below, below, memory_order_relaxed);
        /* Release pairs with the acquire in pop: the items are written, or read. */
    } while (!aegis_i_cas_weak(stack, &word, (word ^ below) | number, memory_order_release,
                               memory_order_relaxed));
}

void aegis_i_depot_extend(aegis_lock_free_pool_shared *shared, uint32_t slot) {
    for (uint32_t i = 1; i <= AEGIS_I_SLOT_MAGAZINES; i++)
        push(shared, &shared->empty, slot * AEGIS_I_SLOT_MAGAZINES + i);
}

bool aegis_i_depot_put(aegis_lock_free_pool_shared *shared, const uint32_t *indices) {
    uint32_t number = pop(shared, &shared->empty);
    if (number == 0)
        return false;
    aegis_i_magazine *full = magazine(shared, number);
    memcpy(full->items, indices, sizeof full->items);
    /* Relaxed, here and below: only statistics read it. */
    aegis_i_store(&full->count, HALF, memory_order_relaxed);
    push(shared, &shared->full, number);
    return true;
}

size_t aegis_i_depot_take(aegis_lock_free_pool_shared *shared, uint32_t *indices) {
    uint32_t number = pop(shared, &shared->full);
    if (number == 0)
        return 0;
    aegis_i_magazine *taken = magazine(shared, number);
    memcpy(indices, taken->items, sizeof taken->items);
    aegis_i_store(&taken->count, 0, memory_order_relaxed);
    push(shared, &shared->empty, number);
    return HALF;
}

size_t aegis_i_depot_count(aegis_lock_free_pool_shared *shared) {
    size_t block_count = 0;
    for (uint32_t i = 1; i <= shared->slot_limit * AEGIS_I_SLOT_MAGAZINES; i++)
        block_count += aegis_i_load(&magazine(shared, i)->count, memory_order_relaxed);
    return block_count;
}
