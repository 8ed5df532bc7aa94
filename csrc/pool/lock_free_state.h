/* SPDX-License-Identifier: Apache-2.0 */
/* The shared state of a lock-free pool, and what its caches use of it. Not installed.
 *
 * A block's link, by where the block is:
 *   on the stack          the index below it, or `nil`
 *   out                   AEGIS_POOL_LINK_OUT
 *   in a cache, or being moved by the one thread that has claimed it
 *                         AEGIS_POOL_LINK_PARKED, or _PARKED_CLEAN when its bytes are zero
 *   never handed out      0, which nobody reads
 */
#ifndef AEGIS_MEMORY_I_POOL_LOCK_FREE_STATE_H
#define AEGIS_MEMORY_I_POOL_LOCK_FREE_STATE_H

#include "aegis_memory/lock_free_pool.h"
#include "../base/atomics.h"
#include "slab.h"

/* The tag's step. A model check sets it to 0 to see that the tag is needed. */
#ifndef AEGIS_I_TAG_STEP
#define AEGIS_I_TAG_STEP UINT64_C(1)
#endif

/* States of a cache slot. The reserve of a slot that was ever live is in circulation. */
#define AEGIS_I_SLOT_UNUSED UINT32_C(0)
#define AEGIS_I_SLOT_LIVE UINT32_C(1)
#define AEGIS_I_SLOT_IDLE UINT32_C(2)

struct aegis_lock_free_pool_shared {
    /* Written by every operation: index in the low `index_bits`, above it the tag. */
    _Alignas(AEGIS_I_META_ALIGN) _Atomic uint64_t head;
    /* Blocks handed out for the first time, caches' reserves aside. Only grows, except by trim. */
    _Alignas(AEGIS_I_META_ALIGN) _Atomic uint32_t fresh_count;
    /* Slabs in use; they are added in order. Rarely written, as all that follows. */
    _Alignas(AEGIS_I_META_ALIGN) _Atomic uint32_t slab_count;
    uint32_t index_bits;
    uint32_t nil;
    uint32_t reserve_count;
    uint32_t flags;
    /* What peak_in_use was before the latest trim. */
    uint32_t old_peak;
    _Atomic uint32_t *links;
    uint32_t slot_limit;
    aegis_pool_slabs slabs;
    /* Behind the struct: slot_limit states of caches. */
};

static inline _Atomic uint32_t *aegis_i_slots(aegis_lock_free_pool_shared *shared) {
    return (_Atomic uint32_t *)(void *)(shared + 1);
}

/* Blocks of the first `slab_count` slabs, reserves aside. */
static inline uint32_t aegis_i_promised(const aegis_lock_free_pool_shared *shared,
                                        uint32_t slab_count) {
    uint32_t max_count = shared->slabs.index_limit - shared->reserve_count;
    uint64_t block_count = (uint64_t)slab_count * shared->slabs.step_count;
    return block_count < max_count ? (uint32_t)block_count : max_count;
}

static inline uint32_t aegis_i_load_slab_count(const aegis_lock_free_pool_shared *shared) {
    /* Acquire pairs with the release in grow: the slab's entry in the directory is seen. */
    return aegis_i_load(&shared->slab_count, memory_order_acquire);
}

/* O(1) consistency of what does not change, for asserts. */
AEGIS_I_HIDDEN bool aegis_i_lock_free_is_valid(const aegis_lock_free_pool_shared *shared);
/* Takes up to `want_count` blocks and returns how many; 0: `error`, which may be NULL, says why.
 * They belong to the caller, who sets their links. `*clean` tells whether their bytes are all
 * zero. */
AEGIS_I_HIDDEN size_t aegis_i_lock_free_take(aegis_lock_free_pool_shared *shared, uint32_t *indices,
                                             size_t want_count, bool *clean, aegis_error *error);
/* The same without growth: it calls neither the source nor the budget. 0: at one moment no block of
 * the slabs held was free outside of caches. */
AEGIS_I_HIDDEN size_t aegis_i_lock_free_take_held(aegis_lock_free_pool_shared *shared,
                                                  uint32_t *indices, size_t want_count);
/* Puts blocks that the caller has claimed on the stack. */
AEGIS_I_HIDDEN void aegis_i_lock_free_put(aegis_lock_free_pool_shared *shared,
                                          const uint32_t *indices, size_t count);
/* Claims a block that is out: of several callers at once, one succeeds. Its index, or
 * AEGIS_I_NO_INDEX. */
AEGIS_I_HIDDEN uint32_t aegis_i_lock_free_claim(aegis_lock_free_pool_shared *shared,
                                                const void *block);
/* Claims all of the blocks or none. */
AEGIS_I_HIDDEN bool aegis_i_lock_free_claim_n(aegis_lock_free_pool_shared *shared,
                                              void *const *blocks, size_t count);
/* Puts claimed blocks, given by address, on the stack. */
AEGIS_I_HIDDEN void aegis_i_lock_free_put_blocks(aegis_lock_free_pool_shared *shared,
                                                 void *const *blocks, size_t count);

#endif
