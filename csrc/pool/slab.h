/* SPDX-License-Identifier: Apache-2.0 */
/* What the pools of every form share: the slabs, and converting index and address. Not installed.
 *
 * Indices are dense: slab 0 has [0, first), each further slab the next `step_count`. Entries of
 * the directory and of the window table are read and written atomically, so that a lock-free pool
 * may add slabs while others look up; a slab is removed under exclusive access only.
 *
 * A slab that goes is condemned first: its entry stays in the directory, but no look-up sees it,
 * and no other slab gets its number. Only when all that go are condemned does the first one leave
 * the directory and then go back. So the source, which may use the pool as it takes a slab back,
 * finds it whole. Growth meanwhile takes a condemned slab back into use if it needs its number. */
#ifndef AEGIS_MEMORY_I_POOL_SLAB_H
#define AEGIS_MEMORY_I_POOL_SLAB_H

#include "aegis_memory/pool.h"
#include "../acquire.h"
#include "../base/error_record.h"

/* No index: what a look-up returns when nothing is found. */
#define AEGIS_I_NO_INDEX UINT32_MAX
/* What the memory beside the slabs is aligned to: two cache lines, which some processors fetch
 * as a pair. */
#define AEGIS_I_META_ALIGN ((size_t)128)
/* The most slabs of a pool: their windows are counted with 32 bits and, with 32-bit addresses, take
 * up less than half of those. */
#if SIZE_MAX > UINT32_MAX
#define AEGIS_I_MAX_SLABS ((UINT32_C(1) << 29) + 1)
#else
#define AEGIS_I_MAX_SLABS ((UINT32_C(1) << 24) + 1)
#endif
/* In a directory entry: the slab is condemned. */
#define AEGIS_I_SLAB_CONDEMNED ((uintptr_t)2)

/* Acquires the side memory and the first slab.
 * reserve_count: blocks of the first slab beyond options->block_count.
 * head_bytes: bytes wanted at the start of `meta`. side_bytes: bytes wanted per index, at `side`,
 * which is aligned to META_ALIGN. Both are zeroed. On failure `slabs` is all-zero, and `error` and
 * options->error say why. */
AEGIS_I_HIDDEN aegis_status aegis_i_slabs_init(aegis_pool_slabs *slabs,
                                               const aegis_pool_options *options,
                                               size_t reserve_count, size_t head_bytes,
                                               size_t side_bytes, aegis_error *error);
/* Gives every slab and then the side memory back, and closes the source. `slabs` may lie in the
 * side memory. It is all-zero before the first slab goes: look-ups find nothing from then on. */
AEGIS_I_HIDDEN void aegis_i_slabs_fini(aegis_pool_slabs *slabs);
/* The same in two steps: gives every slab back, and leaves in `rest` what the second step needs,
 * which gives the side memory back. */
AEGIS_I_HIDDEN void aegis_i_slabs_empty(aegis_pool_slabs *slabs, aegis_pool_slabs *rest);
AEGIS_I_HIDDEN void aegis_i_slabs_close(aegis_pool_slabs *rest);
/* O(1) consistency, for asserts. */
AEGIS_I_HIDDEN bool aegis_i_slabs_is_valid(const aegis_pool_slabs *slabs);
/* The index of the block that starts at the address, or AEGIS_I_NO_INDEX. */
AEGIS_I_HIDDEN uint32_t aegis_i_slabs_find(const aegis_pool_slabs *slabs, const void *block);
/* The directory entry of a slab; 0 when it is not held, or condemned. */
AEGIS_I_HIDDEN uintptr_t aegis_i_slabs_entry(const aegis_pool_slabs *slabs, uint32_t slab);
/* The block's address, or NULL when its slab is not held or the index is beyond the limit. */
AEGIS_I_HIDDEN unsigned char *aegis_i_slabs_address(const aegis_pool_slabs *slabs, size_t index);
/* Acquires memory for a slab but does not install it. 0 when the source or the budget refuses:
 * then `error` says why. */
AEGIS_I_HIDDEN uintptr_t aegis_i_slabs_acquire(aegis_pool_slabs *slabs, uint32_t slab,
                                               aegis_error *error);
/* Installs the entry if the slab is not held; returns the entry that is in place afterwards.
 * Several threads may install at once, and one may finish what another began. */
AEGIS_I_HIDDEN uintptr_t aegis_i_slabs_install(aegis_pool_slabs *slabs, uint32_t slab,
                                               uintptr_t entry);
/* Gives the memory of an entry back that is not, or no longer, installed. */
AEGIS_I_HIDDEN void aegis_i_slabs_release(aegis_pool_slabs *slabs, uint32_t slab, uintptr_t entry);
/* Condemns a slab other than the first. Exclusive access only, and aegis_i_slabs_reindex before the
 * next look-up: open addressing cannot delete one entry. */
AEGIS_I_HIDDEN void aegis_i_slabs_condemn(aegis_pool_slabs *slabs, uint32_t slab);
/* Takes a condemned slab back into use; its bytes count as dirty. Exclusive access only. */
AEGIS_I_HIDDEN void aegis_i_slabs_revive(aegis_pool_slabs *slabs, uint32_t slab);
/* Uninstalls a slab if it is condemned, and returns what aegis_i_slabs_release wants; else 0. */
AEGIS_I_HIDDEN uintptr_t aegis_i_slabs_take_condemned(aegis_pool_slabs *slabs, uint32_t slab);
/* Makes the window table anew from the slabs held. Exclusive access only. */
AEGIS_I_HIDDEN void aegis_i_slabs_reindex(aegis_pool_slabs *slabs);
/* Reports a slab; the public get_slab functions. */
AEGIS_I_HIDDEN aegis_status aegis_i_slabs_get(const aegis_pool_slabs *slabs, size_t slab,
                                              aegis_pool_slab_info *info);
/* Tells the checkers that a block is handed out, and clears it if that is asked for and due. */
AEGIS_I_HIDDEN void aegis_i_slabs_show(const aegis_pool_slabs *slabs, void *block, bool zeroed,
                                       bool clean);
/* Acquires zeroed memory for an object that uses the pool, charged and counted with its slabs.
 * NULL: `error` says why. */
AEGIS_I_HIDDEN void *aegis_i_slabs_acquire_beside(aegis_pool_slabs *slabs, size_t size_bytes,
                                                  size_t align_bytes, aegis_error *error);
/* Gives it back; before the slabs are finished. */
AEGIS_I_HIDDEN void aegis_i_slabs_release_beside(aegis_pool_slabs *slabs, void *memory,
                                                 size_t size_bytes, size_t align_bytes);
/* Says why memory was refused: `why`, or, if that is NULL, by the system. */
AEGIS_I_HIDDEN void aegis_i_slabs_fail(const aegis_pool_slabs *slabs, size_t size_bytes,
                                       size_t align_bytes, const aegis_i_refusal *why,
                                       aegis_error *error);
/* Fills in the figures that depend on the slabs alone; the rest is zero. */
AEGIS_I_HIDDEN void aegis_i_slabs_get_stats(const aegis_pool_slabs *slabs, aegis_pool_stats *stats);

/* The number of the slab that has the index, below the limit. */
static inline uint32_t aegis_i_slab_of(const aegis_pool_slabs *slabs, uint32_t index) {
    return index < slabs->grid.count
               ? 0
               : 1 + (index - (uint32_t)slabs->grid.count) / slabs->step_count;
}

/* The first index of a slab. */
static inline uint32_t aegis_i_slab_start(const aegis_pool_slabs *slabs, uint32_t slab) {
    return slab == 0 ? 0 : (uint32_t)slabs->grid.count + (slab - 1) * slabs->step_count;
}

/* The blocks of a slab, held or not. */
static inline uint32_t aegis_i_slab_blocks(const aegis_pool_slabs *slabs, uint32_t slab) {
    if (slab == 0)
        return (uint32_t)slabs->grid.count;
    uint32_t left_count = slabs->index_limit - aegis_i_slab_start(slabs, slab);
    return left_count < slabs->step_count ? left_count : slabs->step_count;
}

/* Under exclusive access. */
static inline bool aegis_i_slab_is_condemned(const aegis_pool_slabs *slabs, uint32_t slab) {
    return (slabs->directory[slab] & AEGIS_I_SLAB_CONDEMNED) != 0;
}

/* Whether a slab is held and not condemned. Under exclusive access. */
static inline bool aegis_i_slab_is_held(const aegis_pool_slabs *slabs, uint32_t slab) {
    return slabs->directory[slab] != 0 && !aegis_i_slab_is_condemned(slabs, slab);
}

/* Whether the slab of an entry was zeroed by the source. */
static inline bool aegis_i_slab_is_zeroed(uintptr_t entry) {
    return (entry & 1) != 0;
}

static inline unsigned char *aegis_i_slab_base(uintptr_t entry) {
    return (unsigned char *)(entry & ~(uintptr_t)3);
}

/* The bytes of so many blocks, or SIZE_MAX if that is too many to say. */
static inline size_t aegis_i_blocks_bytes(const aegis_pool_slabs *slabs, size_t block_count) {
    if (slabs->block_bytes != 0 && block_count > SIZE_MAX / slabs->block_bytes)
        return SIZE_MAX;
    return block_count * slabs->block_bytes;
}

/* Fills in the error record of a request for one block of an exhausted pool. */
static inline void aegis_i_slabs_exhausted(const aegis_pool_slabs *slabs, aegis_error *error,
                                           size_t limit_count, size_t in_use_count) {
    (void)aegis_i_error_bytes(error, AEGIS_E_EXHAUSTED, slabs->block_bytes, slabs->align_bytes);
    error->limit_bytes = aegis_i_blocks_bytes(slabs, limit_count);
    error->in_use_bytes = aegis_i_blocks_bytes(slabs, in_use_count);
    error->what = AEGIS_WHAT_BLOCKS;
    error->asked = 1;
    error->allowed = limit_count > in_use_count ? limit_count - in_use_count : 0;
}

/* Fills in the error record of options that no pool can be made from, and theirs; as
 * aegis_i_error_refuse, with the block asked for. */
static inline aegis_status aegis_i_slabs_refuse(const aegis_pool_options *options,
                                                aegis_error *error, aegis_status status,
                                                uint32_t what, size_t asked, size_t allowed) {
    (void)aegis_i_error_refuse(error, status, what, asked, allowed);
    if (options != NULL) {
        error->requested_bytes = options->block_bytes;
        error->align_bytes = options->align_bytes;
        if (options->error != NULL)
            *options->error = *error;
    }
    return status;
}

#endif
