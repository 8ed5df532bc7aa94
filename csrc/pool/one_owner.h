/* SPDX-License-Identifier: Apache-2.0 */
/* The functions of the one-owner pool that the locked pool and the keyed pool around it use. Not
 * installed. */
#ifndef AEGIS_MEMORY_I_POOL_ONE_OWNER_H
#define AEGIS_MEMORY_I_POOL_ONE_OWNER_H

#include "../base/harden.h"
#include "slab.h"

/* The top of the stack of a pool that is not keyed. */
static inline void ***aegis_i_pool_top(aegis_pool *pool) {
    return AEGIS_I_CHECKED ? &pool->watched_top : &pool->top;
}

/* How many blocks are on the stack. */
static inline size_t aegis_i_pool_free_count(const aegis_pool *pool) {
    return pool->free_indices != NULL
               ? pool->free_count
               : (size_t)((AEGIS_I_CHECKED ? pool->watched_top : pool->top) - pool->free_blocks);
}

/* The fast half of aegis_pool_alloc. NULL: nothing changed, and the rest of it must do it. */
static inline void *aegis_i_pool_pop(aegis_pool *pool) {
    void **top = pool->top, *block = AEGIS_UNLIKELY(top == NULL) ? NULL : top[-1];
    if (!AEGIS_UNLIKELY(block == NULL))
        pool->top = top - 1;
    return block;
}

/* The fast half of aegis_pool_free. False: nothing changed, and the rest of it must do it. */
static inline bool aegis_i_pool_push(aegis_pool *pool, void *block) {
    size_t index = aegis_pool_grid_find(&pool->grid, block);
    void **top = pool->top;
    if (AEGIS_UNLIKELY(index >= pool->grid.count || top > pool->placed))
        return false;
    void **entry = pool->free_blocks + pool->positions[index];
    if (AEGIS_UNLIKELY(entry < top && *entry == block))
        return false;
    pool->positions[index] = (uint32_t)(top - pool->free_blocks);
    *top = block;
    pool->top = top + 1;
    return true;
}

/* O(1) consistency, for asserts. */
AEGIS_I_HIDDEN bool aegis_i_pool_is_valid(const aegis_pool *pool);
/* Takes a block of the slabs held. The caller must still tell the checkers that the block is handed
 * out. `*clean` tells whether its bytes are zero. NULL: no block is free. */
AEGIS_I_HIDDEN void *aegis_i_pool_take_held(aegis_pool *pool, bool *clean);
/* Whether a block of the slabs held is free. */
AEGIS_I_HIDDEN bool aegis_i_pool_has_free(const aegis_pool *pool);
/* Whether the pool may have another slab. If not, it holds all slabs that it can have. */
AEGIS_I_HIDDEN bool aegis_i_pool_can_grow(const aegis_pool *pool);
/* A pool that can grow and has no free block grows in these steps. First this function: if all
 * slabs that are not held are condemned, it takes one of them back into use and returns true, and
 * the pool has grown. */
AEGIS_I_HIDDEN bool aegis_i_pool_revive(aegis_pool *pool);
/* If that returns false: the number of the slab that is to be acquired with aegis_i_slabs_acquire.
 */
AEGIS_I_HIDDEN uint32_t aegis_i_pool_next_slab(const aegis_pool *pool);
/* Then this function adds the slab. False: the slab is not needed any more, or no place is left for
 * it; the caller releases it. */
AEGIS_I_HIDDEN bool aegis_i_pool_add_slab(aegis_pool *pool, uint32_t slab, uintptr_t entry);
/* Condemns the slabs that a trim gives back. False: there are none. After it the pool is consistent
 * without them. aegis_i_slabs_take_condemned and aegis_i_slabs_release do the rest for each slab.
 */
AEGIS_I_HIDDEN bool aegis_i_pool_condemn(aegis_pool *pool, size_t keep_block_count);
/* Enters the positions of the blocks on the stack that may lack them. */
AEGIS_I_HIDDEN void aegis_i_pool_place(const aegis_pool *pool);
/* How many blocks of a slab that the pool holds are out. The blocks of the stack must be placed. */
AEGIS_I_HIDDEN size_t aegis_i_pool_count_out(const aegis_pool *pool, uint32_t slab);
/* Makes the pool grow if no block is free. False: it cannot, and `failed` says why. */
AEGIS_I_HIDDEN bool aegis_i_pool_make_free(aegis_pool *pool);
/* Puts up to `count` blocks that were never handed out on the stack of a keyed pool, below all
 * others and the first of them on top. From then on they count as handed out, but not in the peak.
 */
AEGIS_I_HIDDEN void aegis_i_pool_list_fresh(aegis_pool *pool, size_t count);
/* For a keyed pool: makes it grow until `count` blocks are free. False: it cannot, and `failed`
 * says why. */
AEGIS_I_HIDDEN bool aegis_i_pool_make_available(aegis_pool *pool, size_t count);
/* As aegis_pool_init_sized, with `head_bytes` zeroed bytes for the caller at the start of the
 * slabs' side memory. In a keyed pool `free_indices` is the stack, and four bytes for each index
 * stand behind `positions`. */
AEGIS_I_HIDDEN aegis_status aegis_i_pool_init(aegis_pool *pool, const aegis_pool_options *given,
                                              size_t options_bytes, size_t head_bytes, bool keyed);

#endif
