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
                         bool idle) {
    aegis_i_trim wanted = {keep_count, want_bytes, idle, forget_blocks, home};
    /* Relaxed: a slab that is added at this moment is in use. */
    if (aegis_i_load(&home->pool.shared->slab_count, memory_order_relaxed) <= 1)
        return 0;
    aegis_i_buffer_class_bring_home(home);
    return aegis_i_lock_free_trim(home->pool.shared, &wanted);
}

size_t aegis_i_buffer_pool_give_back(aegis_buffer_pool_shared *shared, size_t want_bytes) {
    size_t gone_bytes = 0;
    for (size_t i = shared->class_count; i-- > 0 && gone_bytes < want_bytes;)
        gone_bytes += trim_class(&shared->classes[i], 0, want_bytes - gone_bytes, false);
    return gone_bytes;
}

void aegis_buffer_pool_trim(const aegis_buffer_pool *pool, size_t keep_count) {
    size_t class_count = pool->shared != NULL ? pool->shared->class_count : 0;
    for (size_t i = 0; i < class_count; i++)
        (void)trim_class(&pool->shared->classes[i], keep_count, SIZE_MAX, false);
}

void aegis_buffer_pool_trim_idle(const aegis_buffer_pool *pool) {
    size_t class_count = pool->shared != NULL ? pool->shared->class_count : 0;
    for (size_t i = 0; i < class_count; i++)
        (void)trim_class(&pool->shared->classes[i], 0, SIZE_MAX, true);
}
