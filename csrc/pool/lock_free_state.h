/* SPDX-License-Identifier: Apache-2.0 */
/* The shared state of a lock-free pool, and the functions of it that its files, the caches and the
 * buffer pool use. Not installed.
 *
 * Where a block is decides what its link says:
 *   on the stack          the index of the block below it, or `nil`
 *   out                   AEGIS_POOL_LINK_OUT
 *   in a cache, in the depot, or being moved by the one thread that has claimed it
 *                         AEGIS_POOL_LINK_PARKED, or _PARKED_CLEAN when its bytes are zero
 *   held by a trim        AEGIS_I_LINK_HELD, or _HELD_ASIDE for a block from the second stack
 *   not handed out since its slab was acquired, or its slab is not held
 *                         0, which counts as not out
 */
#ifndef AEGIS_MEMORY_I_POOL_LOCK_FREE_STATE_H
#define AEGIS_MEMORY_I_POOL_LOCK_FREE_STATE_H

#include "aegis_memory/lock_free_pool.h"
#include "../base/atomics.h"
#include "../base/threads.h"
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

/* Blocks that move between a cache and the pool at a time. */
#define AEGIS_I_MAGAZINE_BLOCKS ((uint32_t)AEGIS_POOL_CACHE_BLOCKS / 2)
/* How many magazines of the depot there are for each cache. */
#ifndef AEGIS_I_SLOT_MAGAZINES
#define AEGIS_I_SLOT_MAGAZINES 2
#endif

#define AEGIS_I_LINK_HELD (UINT32_MAX - 3)
#define AEGIS_I_LINK_HELD_ASIDE (UINT32_MAX - 4)

/* The low bits of a word of the depot: the number of a magazine, from 1, or 0. The bits above are
 * the tag. */
#define AEGIS_I_DEPOT_BITS 20

/* A magazine of the depot (depot.c). */
typedef struct aegis_i_magazine {
    /* The number of the one below it on its stack, or 0. */
    _Alignas(64) _Atomic uint32_t below;
    /* How many blocks it has, for statistics: all or none. */
    _Atomic uint32_t count;
    uint32_t items[AEGIS_POOL_CACHE_BLOCKS / 2];
} aegis_i_magazine;

struct aegis_lock_free_pool_shared {
    /* The stack of free blocks. Written by every operation. The low `index_bits` are the index of
     * the top block or `nil`, the bits above them are the tag. */
    _Alignas(AEGIS_I_META_ALIGN) _Atomic uint64_t head;
    /* The depot: the stacks of full and of empty magazines. A cache writes both in one go. */
    _Alignas(AEGIS_I_META_ALIGN) _Atomic uint64_t full;
    AEGIS_I_ATOMIC_U64 empty;
    /* The range of blocks that were not handed out since their slab was acquired, or what the pool
     * grows by next. It is one word: a number of `index_bits`, a bit that says which (see
     * aegis_i_fresh_ready), and a tag.
     * - Ready: the number is the first block of the range, which reaches to the end of its slab.
     * - Not ready: the number is the slab to be added next, or 0 if none is chosen yet. */
    _Alignas(AEGIS_I_META_ALIGN) _Atomic uint64_t fresh;
    /* The second stack: the blocks that aegis_lock_free_pool_trim_idle has set aside. */
    AEGIS_I_ATOMIC_U64 aside;
    /* How many blocks lie on it. A thread that takes some subtracts them later, so for a moment the
     * count may be wrong, even below 0 (it wraps). */
    _Atomic uint32_t aside_count;
    /* The slabs in use, and their blocks without the reserves of caches. */
    _Atomic uint32_t slab_count;
    _Atomic uint32_t block_count;
    /* One past the highest number that a slab has had. */
    _Atomic uint32_t slab_end;
    /* The gate: see lock_free_grow.c. */
    _Atomic uint32_t growers;
    _Atomic uint32_t trimmer;
    _Atomic uint32_t trim_count;
    /* The process that the gate belongs to: a word for aegis_i_process_claim. */
    _Atomic uint32_t process;
    /* The value of peak_in_use before the latest trim. */
    _Atomic uint32_t old_peak;
    /* All that follows is not written after the init. */
    _Alignas(AEGIS_I_META_ALIGN) uint32_t index_bits;
    uint32_t nil;
    uint32_t reserve_count;
    uint32_t flags;
    _Atomic uint32_t *links;
    uint32_t slot_limit;
    aegis_pool_slabs slabs;
    /* Behind the struct lie the magazines of slot_limit cache slots, and then the states of these:
     * see aegis_i_magazines and aegis_i_slots. */
};

static inline aegis_i_magazine *aegis_i_magazines(aegis_lock_free_pool_shared *shared) {
    return (aegis_i_magazine *)(void *)(shared + 1);
}

static inline _Atomic uint32_t *aegis_i_slots(aegis_lock_free_pool_shared *shared) {
    return (_Atomic uint32_t *)(void *)(aegis_i_magazines(shared) +
                                        (size_t)shared->slot_limit * AEGIS_I_SLOT_MAGAZINES);
}

/* The most blocks that the pool can have, without the reserves. */
static inline uint32_t aegis_i_max_blocks(const aegis_lock_free_pool_shared *shared) {
    return shared->slabs.index_limit - shared->reserve_count;
}

/* One past the highest index that a block of the pool has had. */
static inline uint32_t aegis_i_lock_free_index_end(const aegis_lock_free_pool_shared *shared) {
    uint32_t slab_end = aegis_i_load(&shared->slab_end, memory_order_relaxed);
    if (slab_end == 0)
        return 0;
    return aegis_i_slab_start(&shared->slabs, slab_end - 1) +
           aegis_i_slab_blocks(&shared->slabs, slab_end - 1);
}

/* What the parts of `fresh` are: whether there is a range, the number, and the same word with the
 * next tag, nothing ready and no slab chosen. */
static inline bool aegis_i_fresh_ready(const aegis_lock_free_pool_shared *shared, uint64_t word) {
    return (word >> shared->index_bits & 1) != 0;
}

static inline uint32_t aegis_i_fresh_number(const aegis_lock_free_pool_shared *shared,
                                            uint64_t word) {
    return (uint32_t)word & shared->nil;
}

static inline uint64_t aegis_i_fresh_next(const aegis_lock_free_pool_shared *shared,
                                          uint64_t word) {
    return ((word >> shared->index_bits >> 1) + 1) << 1 << shared->index_bits;
}

/* One past the last block of a slab that is handed out as a fresh one: in the first slab the
 * reserves of caches follow. */
static inline uint32_t aegis_i_fresh_end(const aegis_lock_free_pool_shared *shared, uint32_t slab) {
    return slab == 0 ? shared->slabs.step_count
                     : aegis_i_slab_start(&shared->slabs, slab) +
                           aegis_i_slab_blocks(&shared->slabs, slab);
}

/* How many blocks are left in the range of a word. */
static inline uint32_t aegis_i_fresh_left(const aegis_lock_free_pool_shared *shared,
                                          uint64_t word) {
    uint32_t index = aegis_i_fresh_number(shared, word);
    if (!aegis_i_fresh_ready(shared, word))
        return 0;
    return aegis_i_fresh_end(shared, aegis_i_slab_of(&shared->slabs, index)) - index;
}

/* O(1) consistency of the fields that do not change, for asserts. */
AEGIS_I_HIDDEN bool aegis_i_lock_free_is_valid(const aegis_lock_free_pool_shared *shared);
/* Takes up to `want_count` blocks and returns how many; 0: `error`, which may be NULL, says why.
 * The blocks belong to the caller, which sets their links. `*clean` tells whether all their bytes
 * are zero. Growth waits for the budget as `patience` says; if its wait ends because the thread is
 * called back, the status in `error` is AEGIS_PENDING. NULL: growth waits as the options say, or
 * until another thread has added a slab. */
AEGIS_I_HIDDEN size_t aegis_i_lock_free_take(aegis_lock_free_pool_shared *shared, uint32_t *indices,
                                             size_t want_count, bool *clean,
                                             aegis_i_patience *patience, aegis_error *error);
/* The same without growth: it does not call the source or the budget. 0: at one moment no block of
 * the slabs held was free outside of caches. */
AEGIS_I_HIDDEN size_t aegis_i_lock_free_take_held(aegis_lock_free_pool_shared *shared,
                                                  uint32_t *indices, size_t want_count);
/* The number of the magazine on top of a stack of the depot, or 0. */
static inline uint32_t aegis_i_depot_top(uint64_t word) {
    return (uint32_t)(word & ((UINT64_C(1) << AEGIS_I_DEPOT_BITS) - 1));
}
/* Brings the magazines of a slot into the depot, when the slot is used for the first time. */
AEGIS_I_HIDDEN void aegis_i_depot_extend(aegis_lock_free_pool_shared *shared, uint32_t slot);
/* Puts AEGIS_I_MAGAZINE_BLOCKS parked blocks into the depot. False: it has no room for them. */
AEGIS_I_HIDDEN bool aegis_i_depot_put(aegis_lock_free_pool_shared *shared, const uint32_t *indices);
/* Takes a magazine of parked blocks and returns how many they are; 0: the depot is empty. */
AEGIS_I_HIDDEN size_t aegis_i_depot_take(aegis_lock_free_pool_shared *shared, uint32_t *indices);
/* How many blocks are in the depot. */
AEGIS_I_HIDDEN size_t aegis_i_depot_count(aegis_lock_free_pool_shared *shared);
/* Puts a chain of blocks on a stack. The caller has set all links except that of the last block. */
AEGIS_I_HIDDEN void aegis_i_lock_free_push(aegis_lock_free_pool_shared *shared,
                                           _Atomic uint64_t *stack, uint32_t first, uint32_t last);
/* Takes up to `want_count` blocks of the range `fresh` and returns how many. `*clean` tells whether
 * all their bytes are zero; it is set only if there were some. */
AEGIS_I_HIDDEN size_t aegis_i_lock_free_take_fresh(aegis_lock_free_pool_shared *shared,
                                                   uint32_t *indices, size_t want_count,
                                                   bool *clean);
/* Adds a slab, or completes the addition that another thread has begun. AEGIS_OK: `*own` is a block
 * that the caller has now, and `*clean` tells whether all its bytes are zero; or it is
 * AEGIS_I_NO_INDEX, and the caller tries again to take a block. AEGIS_PENDING: the thread was
 * called back while it waited for the budget. Any other status: `error` says why there is no slab.
 */
AEGIS_I_HIDDEN aegis_status aegis_i_lock_free_grow(aegis_lock_free_pool_shared *shared,
                                                   aegis_i_patience *patience, uint32_t *own,
                                                   bool *clean, aegis_error *error);
/* Waits until no trim holds blocks. Returns a number that changes before the next trim holds any.
 */
AEGIS_I_HIDDEN uint32_t aegis_i_lock_free_watch(aegis_lock_free_pool_shared *shared);
/* Whether a trim has held blocks since `watch` was returned by aegis_i_lock_free_watch. */
AEGIS_I_HIDDEN bool aegis_i_lock_free_trimmed_since(const aegis_lock_free_pool_shared *shared,
                                                    uint32_t watch);
/* Keeps growth out, or waits for no other trim and returns false. aegis_i_lock_free_end_trim lets
 * growth in again. */
AEGIS_I_HIDDEN bool aegis_i_lock_free_begin_trim(aegis_lock_free_pool_shared *shared);
AEGIS_I_HIDDEN void aegis_i_lock_free_end_trim(aegis_lock_free_pool_shared *shared);

/* Flags of a trim. IDLE: only slabs all of whose blocks lie on the second stack go. The blocks of
 * the other slabs of which no block is out or in a cache are set aside. PATIENT: a trim that finds
 * another one waits for its end, and then does its work. */
#define AEGIS_I_TRIM_IDLE 1u
#define AEGIS_I_TRIM_PATIENT 2u

/* What a trim gives back. */
typedef struct aegis_i_trim {
    /* A slab stays if the pool would have fewer blocks than this without it. */
    size_t keep_block_count;
    /* The trim stops when it gives back this many bytes or more. */
    size_t want_bytes;
    uint32_t flags;
    /* Told of the blocks of each slab that goes, before the slab does. No other thread has any of
     * them. NULL: not told. */
    void (*forget)(void *context, uint32_t first_index, uint32_t block_count);
    void *context;
} aegis_i_trim;

/* Gives slabs back. Returns how many bytes went back to the source. */
AEGIS_I_HIDDEN size_t aegis_i_lock_free_trim(aegis_lock_free_pool_shared *shared,
                                             const aegis_i_trim *wanted);
/* What a pool without caches takes when it is made. SIZE_MAX: there can be no such pool. */
AEGIS_I_HIDDEN size_t aegis_i_lock_free_first_bytes(const aegis_pool_options *options);
/* The value of peak_in_use. */
AEGIS_I_HIDDEN size_t aegis_i_lock_free_peak(aegis_lock_free_pool_shared *shared);
/* Puts blocks that the caller has claimed on the stack. */
AEGIS_I_HIDDEN void aegis_i_lock_free_put(aegis_lock_free_pool_shared *shared,
                                          const uint32_t *indices, size_t count);
/* Moves the blocks of the depot to the stack. The caller is between aegis_i_lock_free_begin_trim
 * and aegis_i_lock_free_end_trim. */
AEGIS_I_HIDDEN void aegis_i_lock_free_spill(aegis_lock_free_pool_shared *shared);
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
