/* SPDX-License-Identifier: Apache-2.0 */
/* What follows from the options of a pool alone: the grid of its blocks, the numbers of blocks and
 * slabs, and the layout of the side memory. Not installed. */
#ifndef AEGIS_MEMORY_I_POOL_SLAB_PLAN_H
#define AEGIS_MEMORY_I_POOL_SLAB_PLAN_H

#include "aegis_memory/pool.h"
#include "../base/arithmetic.h"
#include "../base/error_record.h"

/* The alignment of the side memory: two cache lines, because some processors fetch lines in pairs.
 */
#define AEGIS_I_META_ALIGN ((size_t)128)
/* The most slabs of a pool. The places of their windows are counted with 32 bits, and with 32-bit
 * addresses they take up less than half of the address space. */
#if SIZE_MAX > UINT32_MAX
#define AEGIS_I_MAX_SLABS ((UINT32_C(1) << 29) + 1)
#else
#define AEGIS_I_MAX_SLABS ((UINT32_C(1) << 24) + 1)
#endif

/* Where the parts of the side memory begin: the head, the arrays with an entry for each index, the
 * directory, the windows. */
typedef struct aegis_i_meta_layout {
    uint64_t side_at;
    uint64_t directory_at;
    uint64_t windows_at;
} aegis_i_meta_layout;

/* Sets what follows from the options alone: the grid without its base, the numbers of blocks and
 * slabs, the size of the side memory. It calls neither the source nor the budget. On failure
 * `error` says why. The parameters are as for aegis_i_slabs_init in slab.h. */
AEGIS_I_HIDDEN aegis_status aegis_i_slabs_plan(aegis_pool_slabs *slabs,
                                               const aegis_pool_options *options,
                                               size_t reserve_count, size_t head_bytes,
                                               size_t side_bytes, aegis_error *error);
/* Lays out the side memory, and sets its size and the number of windows. The grid and the numbers
 * of blocks and slabs are set. */
AEGIS_I_HIDDEN aegis_i_meta_layout aegis_i_slabs_lay_out(aegis_pool_slabs *slabs, size_t head_bytes,
                                                         size_t side_bytes);

/* The alignment of a slab. */
static inline size_t aegis_i_slab_align(const aegis_pool_slabs *slabs) {
    return aegis_i_max(slabs->align_bytes, AEGIS_POOL_SLAB_ALIGN);
}

#endif
