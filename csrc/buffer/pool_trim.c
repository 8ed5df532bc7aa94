/* SPDX-License-Identifier: Apache-2.0 */
/* How a buffer pool gives memory back: each class moves its cached blocks home, and then trims the
 * lock-free pool behind it (../pool/lock_free_trim.c). A class of one slab has nothing to give
 * back, and its stripes are left alone.
 *
 * The header of a block has the block's address. A slab that goes and comes back may lie elsewhere.
 * So before a slab goes, the headers of its blocks are marked as not set (forget_blocks). At that
 * time the trim has all blocks of the slab, so no other thread reads these headers. The next thread
 * that takes such a block from home sees the mark, because what brings the block to it acquires
 * what the trim released (lock_free_grow.c). */
#if !defined(_WIN32) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* condition.h */
#endif

#include "pool_state.h"

/* Marks the headers of blocks as not set. A header that never was is not touched. */
static void forget_blocks(void *context, uint32_t first_index, uint32_t block_count) {
    aegis_i_buffer_slot *slots = ((aegis_i_buffer_class *)context)->slots + first_index;
    for (uint32_t i = 0; i < block_count; i++)
        if (slots[i].head.kind != NULL)
            slots[i].head.kind = NULL;
}

static size_t trim_class(aegis_i_buffer_class *home, size_t keep_count, size_t want_bytes,
                         uint32_t flags) {
    aegis_i_trim wanted = {keep_count, want_bytes, flags, forget_blocks, home};
    /* Relaxed: a slab that is added at this moment is in use. */
    if (aegis_i_load(&home->pool.shared->slab_count, memory_order_relaxed) <= 1)
        return 0;
    aegis_i_buffer_class_bring_home(home);
    return aegis_i_lock_free_trim(home->pool.shared, &wanted);
}

/* Whether no block of the slab is out. */
static bool is_idle(const aegis_i_buffer_class *home, uint32_t slab) {
    const aegis_pool_slabs *slabs = &home->pool.shared->slabs;
    const aegis_i_buffer_slot *slots = home->slots + aegis_i_slab_start(slabs, slab);
    /* Relaxed: a trim looks again. */
    for (uint32_t i = 0; i < aegis_i_slab_blocks(slabs, slab); i++)
        if (aegis_i_load((const _Atomic size_t *)&slots[i].head.owner.references,
                         memory_order_relaxed) != 0)
            return false;
    return true;
}

/* Whether a slab other than the first one can go. If a budget refuses often while all slabs are in
 * use, its requests should not close the stripes each time. */
static bool has_idle_slab(const aegis_i_buffer_class *home) {
    const aegis_lock_free_pool_shared *blocks = home->pool.shared;
    uint32_t end = aegis_i_load(&blocks->slab_end, memory_order_relaxed);
    for (uint32_t slab = 1; slab < end; slab++)
        if (aegis_i_slab_is_held(&blocks->slabs, slab) && is_idle(home, slab))
            return true;
    return false;
}

size_t aegis_i_buffer_pool_give_back(aegis_buffer_pool_shared *shared, size_t want_bytes,
                                     bool thorough) {
    size_t gone_bytes = 0;
    for (size_t i = shared->class_count; i-- > 0 && gone_bytes < want_bytes;)
        if (thorough || has_idle_slab(&shared->classes[i]))
            gone_bytes +=
                trim_class(&shared->classes[i], 0, want_bytes - gone_bytes, AEGIS_I_TRIM_PATIENT);
    return gone_bytes;
}

void aegis_i_buffer_pool_give_rest_back(aegis_buffer_pool_shared *shared) {
    for (size_t i = 0; i < shared->class_count; i++) {
        aegis_i_trim wanted = {0, SIZE_MAX, 0, forget_blocks, &shared->classes[i]};
        (void)aegis_i_lock_free_trim(shared->classes[i].pool.shared, &wanted);
    }
}

void aegis_buffer_pool_trim(const aegis_buffer_pool *pool, size_t keep_count) {
    size_t class_count = pool->shared != NULL ? pool->shared->class_count : 0;
    for (size_t i = 0; i < class_count; i++)
        (void)trim_class(&pool->shared->classes[i], keep_count, SIZE_MAX, 0);
}

void aegis_buffer_pool_trim_idle(const aegis_buffer_pool *pool) {
    size_t class_count = pool->shared != NULL ? pool->shared->class_count : 0;
    for (size_t i = 0; i < class_count; i++)
        (void)trim_class(&pool->shared->classes[i], 0, SIZE_MAX, AEGIS_I_TRIM_IDLE);
}
