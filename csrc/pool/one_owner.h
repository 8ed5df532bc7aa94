/* SPDX-License-Identifier: Apache-2.0 */
/* What the one-owner pool offers to the locked pool around it. Not installed. */
#ifndef AEGIS_MEMORY_I_POOL_ONE_OWNER_H
#define AEGIS_MEMORY_I_POOL_ONE_OWNER_H

#include "slab.h"

/* O(1) consistency, for asserts. */
AEGIS_I_HIDDEN bool aegis_i_pool_is_valid(const aegis_pool *pool);
/* Takes a block of the slabs held, which the checkers do not know of yet; `*clean` tells whether
 * its bytes are zero. NULL when none is free. */
AEGIS_I_HIDDEN void *aegis_i_pool_take_held(aegis_pool *pool, bool *clean);
/* Whether a block of the slabs held is free. */
AEGIS_I_HIDDEN bool aegis_i_pool_has_free(const aegis_pool *pool);
/* Whether the pool may have another slab. If not, all it can hold is held. */
AEGIS_I_HIDDEN bool aegis_i_pool_can_grow(const aegis_pool *pool);
/* Growth, by a pool that can grow and has no free block, is one of these: if all the slabs that are
 * not held are condemned, one of them is taken back into use, and the call returns true; */
AEGIS_I_HIDDEN bool aegis_i_pool_revive(aegis_pool *pool);
/* or a slab of this number is acquired, */
AEGIS_I_HIDDEN uint32_t aegis_i_pool_next_slab(const aegis_pool *pool);
/* and added. False when it is not needed any more, or others have its place: it is to be released.
 */
AEGIS_I_HIDDEN bool aegis_i_pool_add_slab(aegis_pool *pool, uint32_t slab, uintptr_t entry);
/* Condemns the slabs that a trim gives back; false when there are none. The pool is whole after it,
 * and aegis_i_slabs_take_condemned and aegis_i_slabs_release do the rest, slab by slab. */
AEGIS_I_HIDDEN bool aegis_i_pool_condemn(aegis_pool *pool, size_t keep_block_count);
/* aegis_pool_init, with `head_bytes` zeroed bytes at the start of the slabs' meta memory for the
 * caller's use. */
AEGIS_I_HIDDEN aegis_status aegis_i_pool_init(aegis_pool *pool, const aegis_pool_options *options,
                                              size_t head_bytes);

#endif
