/* SPDX-License-Identifier: Apache-2.0 */
/* The shared state of a lock-free pool, and the functions of it that the caches and the buffer pool
 * use. Not installed.
 *
 * Where a block is decides what its link says:
 *   on the stack          the index of the block below it, or `nil`
 *   out                   AEGIS_POOL_LINK_OUT
 *   in a cache, or being moved by the one thread that has claimed it
 *                         AEGIS_POOL_LINK_PARKED, or _PARKED_CLEAN when its bytes are zero
 *   never handed out      0, which counts as not out
 */
#ifndef AEGIS_MEMORY_I_POOL_LOCK_FREE_STATE_H
#define AEGIS_MEMORY_I_POOL_LOCK_FREE_STATE_H

#include "aegis_memory/lock_free_pool.h"
#include "../base/atomics.h"
#include "slab.h"

/* By how much a removal increases the tag. A model check sets it to 0 to show that the tag is
 * needed. */
#ifndef AEGIS_I_TAG_STEP
#define AEGIS_I_TAG_STEP UINT64_C(1)
#endif

/* States of a cache slot: no cache has had it; a cache has it; a cache had it. The reserve of a
 * slot is in circulation once a cache has had the slot. */
#define AEGIS_I_SLOT_UNUSED UINT32_C(0)
#define AEGIS_I_SLOT_LIVE UINT32_C(1)
#define AEGIS_I_SLOT_IDLE UINT32_C(2)

struct aegis_lock_free_pool_shared {
    /* Written by every operation. The low `index_bits` are the index of the top block, the bits
     * above them are the tag. */
    _Alignas(AEGIS_I_META_ALIGN) _Atomic uint64_t head;
    /* How many blocks were ever handed out, without the reserves of caches. It never decreases,
     * except by a trim. */
    _Alignas(AEGIS_I_META_ALIGN) _Atomic uint32_t fresh_count;
    /* The slabs in use; they are added in order. This and all that follows is rarely written. */
    _Alignas(AEGIS_I_META_ALIGN) _Atomic uint32_t slab_count;
    uint32_t index_bits;
    uint32_t nil;
    uint32_t reserve_count;
    uint32_t flags;
    /* The value of peak_in_use before the latest trim. */
    uint32_t old_peak;
    _Atomic uint32_t *links;
    uint32_t slot_limit;
    aegis_pool_slabs slabs;
    /* Behind the struct lie the states of slot_limit cache slots: see aegis_i_slots. */
};

static inline _Atomic uint32_t *aegis_i_slots(aegis_lock_free_pool_shared *shared) {
    return (_Atomic uint32_t *)(void *)(shared + 1);
}

/* The number of blocks in the first `slab_count` slabs, without the reserves. */
static inline uint32_t aegis_i_promised(const aegis_lock_free_pool_shared *shared,
                                        uint32_t slab_count) {
    uint32_t max_count = shared->slabs.index_limit - shared->reserve_count;
    uint64_t block_count = (uint64_t)slab_count * shared->slabs.step_count;
    return block_count < max_count ? (uint32_t)block_count : max_count;
}

static inline uint32_t aegis_i_load_slab_count(const aegis_lock_free_pool_shared *shared) {
    /* Acquire pairs with the release in grow (lock_free.c): the directory's entries for the slabs
     * counted are seen. */
    return aegis_i_load(&shared->slab_count, memory_order_acquire);
}

/* O(1) consistency of the fields that do not change, for asserts. */
AEGIS_I_HIDDEN bool aegis_i_lock_free_is_valid(const aegis_lock_free_pool_shared *shared);
/* Takes up to `want_count` blocks and returns how many; 0: `error`, which may be NULL, says why.
 * The blocks belong to the caller, which sets their links. `*clean` tells whether all their bytes
 * are zero. */
AEGIS_I_HIDDEN size_t aegis_i_lock_free_take(aegis_lock_free_pool_shared *shared, uint32_t *indices,
                                             size_t want_count, bool *clean, aegis_error *error);
/* The same without growth: it does not call the source or the budget. 0: at one moment no block of
 * the slabs held was free outside of caches. */
AEGIS_I_HIDDEN size_t aegis_i_lock_free_take_held(aegis_lock_free_pool_shared *shared,
                                                  uint32_t *indices, size_t want_count);
/* Puts blocks that the caller has claimed on the stack. */
AEGIS_I_HIDDEN void aegis_i_lock_free_put(aegis_lock_free_pool_shared *shared,
                                          const uint32_t *indices, size_t count);
/* Claims a block that is out. If several threads try at once, one succeeds. Returns the block's
 * index, or AEGIS_I_NO_INDEX. */
AEGIS_I_HIDDEN uint32_t aegis_i_lock_free_claim(aegis_lock_free_pool_shared *shared,
                                                const void *block);
/* Claims all of the blocks, or none and returns false. */
AEGIS_I_HIDDEN bool aegis_i_lock_free_claim_n(aegis_lock_free_pool_shared *shared,
                                              void *const *blocks, size_t count);
/* Puts claimed blocks, given by address, on the stack. */
AEGIS_I_HIDDEN void aegis_i_lock_free_put_blocks(aegis_lock_free_pool_shared *shared,
                                                 void *const *blocks, size_t count);

#endif
