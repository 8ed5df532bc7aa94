/* SPDX-License-Identifier: Apache-2.0 */
/* What the one-owner pool offers to the locked pool around it. Not installed. */
#ifndef AEGIS_MEMORY_POOL_INTERNAL_H
#define AEGIS_MEMORY_POOL_INTERNAL_H

#include "pool_slab.h"

/* O(1) consistency, for asserts. */
AEGIS_I_HIDDEN bool aegis_i_pool_is_valid(const aegis_pool *pool);
/* Takes a block that the checkers do not know of yet; `*clean` tells whether its bytes are zero.
 * NULL when none is left: the error record says why. */
AEGIS_I_HIDDEN void *aegis_i_pool_take(aegis_pool *pool, bool *clean);
/* aegis_pool_init, with `head_bytes` zeroed bytes at the start of the slabs' meta memory for the
 * caller's use. */
AEGIS_I_HIDDEN aegis_status aegis_i_pool_init(aegis_pool *pool, const aegis_pool_options *options,
                                              size_t head_bytes);

#endif
