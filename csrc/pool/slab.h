/* SPDX-License-Identifier: Apache-2.0 */
/* What the pools of every form share: the slabs, and converting between index and address. Not
 * installed.
 *
 * Invariants:
 * 1. Indices are dense: slab 0 has those from 0 to grid.count - 1, and each further slab has the
 *    next `step_count` (aegis_i_slab_start, aegis_i_slab_blocks).
 * 2. Entries of the directory and of the window table are read and written atomically, because
 * other threads may look up at any time. A look-up compares addresses, and touches no slab.
 * 3. A slab's entry in the directory comes before its entries in the table (aegis_i_slabs_install,
 *    aegis_i_slabs_revive), and no block of it is handed out before both are there.
 * 4. A search in the table ends at an empty place. An entry that is removed leaves
 *    AEGIS_I_WINDOW_REMOVED, which does not end a search. It becomes an empty place only if the
 *    place behind it is empty (remove_window). So each entry is found as long as it is there.
 * 5. Entries are added by several threads at once, or removed by one, and never both at the same
 *    time (the callers: a lock, or the gate of lock_free_grow.c). So while entries are added no
 *    place becomes free, and all threads that add the same entry find it in the same place
 *    (add_window).
 * 6. A slab that is to go back is condemned first. Its entry stays in the directory, but no look-up
 *    sees it (aegis_i_slabs_entry), and no other slab gets its number. Only when all slabs that are
 *    to go are condemned does the first one leave the directory and go back to the source.
 * 7. Of several threads that take a condemned slab out of the directory or back into use, one
 *    succeeds (the compare-and-swaps in aegis_i_slabs_take_condemned and aegis_i_slabs_revive).
 *
 * So the source, which may use the pool while it takes a slab back, finds a consistent pool without
 * the condemned slabs. If such a use makes the pool grow and the number of a condemned slab is
 * needed, that slab is taken back into use. */
#ifndef AEGIS_MEMORY_I_POOL_SLAB_H
#define AEGIS_MEMORY_I_POOL_SLAB_H

#include "aegis_memory/pool.h"
#include "../acquire.h"
#include "../base/atomics.h"
#include "../base/error_record.h"
#include "slab_plan.h"

/* The index that a look-up returns when it finds no block. */
#define AEGIS_I_NO_INDEX UINT32_MAX
/* A directory entry is the address of a slab. Its bit 0 says that the source had zeroed the slab;
 * this bit says that the slab is condemned. */
#define AEGIS_I_SLAB_CONDEMNED ((uintptr_t)2)
/* What an entry of the window table is after its slab was condemned. No slab has this number. */
#define AEGIS_I_WINDOW_REMOVED UINT32_MAX

/* Acquires the side memory and the first slab.
 * - reserve_count: blocks of the first slab beyond options->block_count.
 * - head_bytes: bytes that the caller wants at the start of `meta`, zeroed.
 * - side_bytes: bytes that the caller wants for each index, zeroed, at `side`, which is aligned to
 *   AEGIS_I_META_ALIGN.
 * - optional: the caller asks for a smaller pool if this one is refused.
 * On failure `slabs` is all-zero, and `error` and options->error say why. */
AEGIS_I_HIDDEN aegis_status aegis_i_slabs_init(aegis_pool_slabs *slabs,
                                               const aegis_pool_options *options,
                                               size_t reserve_count, size_t head_bytes,
                                               size_t side_bytes, bool optional,
                                               aegis_error *error);
/* Gives back every slab and then the side memory, and closes the source. `slabs` may lie in the
 * side memory. It is made all-zero before the first slab goes back: look-ups find nothing from then
 * on. */
AEGIS_I_HIDDEN void aegis_i_slabs_fini(aegis_pool_slabs *slabs);
/* The same in two steps. The first gives back every slab, and leaves in `rest` what the second step
 * needs. The second gives back the side memory and closes the source. */
AEGIS_I_HIDDEN void aegis_i_slabs_empty(aegis_pool_slabs *slabs, aegis_pool_slabs *rest);
AEGIS_I_HIDDEN void aegis_i_slabs_close(aegis_pool_slabs *rest);
/* O(1) consistency, for asserts. */
AEGIS_I_HIDDEN bool aegis_i_slabs_is_valid(const aegis_pool_slabs *slabs);
/* The index of the block that starts at the address, or AEGIS_I_NO_INDEX. */
AEGIS_I_HIDDEN uint32_t aegis_i_slabs_find(const aegis_pool_slabs *slabs, const void *block);
/* The directory entry of a slab; 0 if the slab is not held or is condemned. */
AEGIS_I_HIDDEN uintptr_t aegis_i_slabs_entry(const aegis_pool_slabs *slabs, uint32_t slab);
/* The address of a block; NULL if its slab is not held or the index is beyond the limit. */
AEGIS_I_HIDDEN unsigned char *aegis_i_slabs_address(const aegis_pool_slabs *slabs, size_t index);
/* Acquires memory for a slab and returns the directory entry for it, but does not install it. It
 * waits for the budget as `patience` says; NULL: as the options say. 0: the source or the budget
 * refuses, and `error` says why. */
AEGIS_I_HIDDEN uintptr_t aegis_i_slabs_acquire(aegis_pool_slabs *slabs, uint32_t slab,
                                               aegis_i_patience *patience, aegis_error *error);
/* Installs the entry if the slab is not held. Returns the entry that is in place afterwards.
 * Several threads may install at once, and one may complete what another has begun. */
AEGIS_I_HIDDEN uintptr_t aegis_i_slabs_install(aegis_pool_slabs *slabs, uint32_t slab,
                                               uintptr_t entry);
/* Completes what another thread has begun to install: enters the slab, which is held, in the window
 * table. */
AEGIS_I_HIDDEN void aegis_i_slabs_enter_windows(aegis_pool_slabs *slabs, uint32_t slab);
/* Gives back the memory of an entry that is not installed, or not any more. */
AEGIS_I_HIDDEN void aegis_i_slabs_release(aegis_pool_slabs *slabs, uint32_t slab, uintptr_t entry);
/* Condemns a slab, which is not the first one, and removes it from the window table. Other threads
 * may look up, but none installs or revives a slab meanwhile. */
AEGIS_I_HIDDEN void aegis_i_slabs_condemn(aegis_pool_slabs *slabs, uint32_t slab);
/* Takes a slab back into use, if it is condemned. Its bytes count as not zeroed. False: it is not
 * condemned, or not any more. */
AEGIS_I_HIDDEN bool aegis_i_slabs_revive(aegis_pool_slabs *slabs, uint32_t slab);
/* If the slab is condemned, takes it out of the directory and returns its entry, for
 * aegis_i_slabs_release. Otherwise returns 0. */
AEGIS_I_HIDDEN uintptr_t aegis_i_slabs_take_condemned(aegis_pool_slabs *slabs, uint32_t slab);
/* The size of a slab. It is never 0. */
AEGIS_I_HIDDEN size_t aegis_i_slab_bytes(const aegis_pool_slabs *slabs, uint32_t slab);
/* Says where a slab is and what it holds: the body of the public get_slab functions. */
AEGIS_I_HIDDEN aegis_status aegis_i_slabs_get(const aegis_pool_slabs *slabs, size_t slab,
                                              aegis_pool_slab_info *info, size_t info_bytes);
/* Tells the checkers that a block is handed out. Clears the block if the caller wants it zeroed and
 * it is not `clean`. */
AEGIS_I_HIDDEN void aegis_i_slabs_show(const aegis_pool_slabs *slabs, void *block, bool zeroed,
                                       bool clean);
/* Acquires zeroed memory for an object that uses the pool. It is charged and counted together with
 * the slabs. NULL: `error` says why. */
AEGIS_I_HIDDEN void *aegis_i_slabs_acquire_beside(aegis_pool_slabs *slabs, size_t size_bytes,
                                                  size_t align_bytes, aegis_error *error);
/* Gives such memory back. It must go back before the slabs are finished. */
AEGIS_I_HIDDEN void aegis_i_slabs_release_beside(aegis_pool_slabs *slabs, void *memory,
                                                 size_t size_bytes, size_t align_bytes);
/* Fills in the error record of a request for memory: `why` says why it was refused, and NULL means
 * that the system had none. */
AEGIS_I_HIDDEN void aegis_i_slabs_fail(const aegis_pool_slabs *slabs, size_t size_bytes,
                                       size_t align_bytes, const aegis_i_refusal *why,
                                       aegis_error *error);
/* Fills in the statistics that depend on the slabs alone, and sets the others to zero. */
AEGIS_I_HIDDEN void aegis_i_slabs_get_stats(const aegis_pool_slabs *slabs, aegis_pool_stats *stats);

/* How the pool waits for its budget if its options say it all. */
static inline aegis_i_patience aegis_i_slabs_patience(const aegis_pool_slabs *slabs) {
    aegis_i_patience patience = {slabs->wait_ns, &slabs->budget, NULL, NULL, NULL, false, NULL};
    return patience;
}

/* The number of the slab that has the index, which is below the limit. */
static inline uint32_t aegis_i_slab_of(const aegis_pool_slabs *slabs, uint32_t index) {
    return index < slabs->grid.count
               ? 0
               : 1 + (index - (uint32_t)slabs->grid.count) / slabs->step_count;
}

/* The first index of a slab. */
static inline uint32_t aegis_i_slab_start(const aegis_pool_slabs *slabs, uint32_t slab) {
    return slab == 0 ? 0 : (uint32_t)slabs->grid.count + (slab - 1) * slabs->step_count;
}

/* How many blocks a slab has; the slab need not be held. */
static inline uint32_t aegis_i_slab_blocks(const aegis_pool_slabs *slabs, uint32_t slab) {
    if (slab == 0)
        return (uint32_t)slabs->grid.count;
    uint32_t left_count = slabs->index_limit - aegis_i_slab_start(slabs, slab);
    return left_count < slabs->step_count ? left_count : slabs->step_count;
}

/* What the directory has for a slab, condemned or not. */
static inline uintptr_t aegis_i_slab_word(const aegis_pool_slabs *slabs, uint32_t slab) {
    /* Acquire pairs with the release of the thread that changed it (aegis_i_slabs_install,
     * _condemn, _revive and _take_condemned). */
    return aegis_i_load((const AEGIS_I_ATOMIC(uintptr_t) *)&slabs->directory[slab],
                        memory_order_acquire);
}

/* Whether a slab is condemned. */
static inline bool aegis_i_slab_is_condemned(const aegis_pool_slabs *slabs, uint32_t slab) {
    return (aegis_i_slab_word(slabs, slab) & AEGIS_I_SLAB_CONDEMNED) != 0;
}

/* Whether a slab is held and not condemned. */
static inline bool aegis_i_slab_is_held(const aegis_pool_slabs *slabs, uint32_t slab) {
    uintptr_t word = aegis_i_slab_word(slabs, slab);
    return word != 0 && (word & AEGIS_I_SLAB_CONDEMNED) == 0;
}

/* Whether the slab of an entry was zeroed by the source. */
static inline bool aegis_i_slab_is_zeroed(uintptr_t entry) {
    return (entry & 1) != 0;
}

static inline unsigned char *aegis_i_slab_base(uintptr_t entry) {
    return (unsigned char *)(entry & ~(uintptr_t)3);
}

/* The bytes of `block_count` blocks, or SIZE_MAX if a size_t cannot hold the number. */
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
    error->needed_bytes = slabs->block_bytes;
    error->what = AEGIS_WHAT_BLOCKS;
    error->asked = 1;
    error->allowed = limit_count > in_use_count ? limit_count - in_use_count : 0;
}

/* Fills in the error record for options that no pool can be made from, and options->error. As
 * aegis_i_error_refuse, with the size and alignment of the block asked for. */
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
