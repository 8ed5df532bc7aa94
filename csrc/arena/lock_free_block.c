/* SPDX-License-Identifier: Apache-2.0 */
/* The blocks of a lock-free arena: acquiring one, and the error record of a refusal. */
#include "lock_free_state.h"
#include "../acquire.h"
#include "../base/error_record.h"

bool aegis_i_shared_is_valid(const aegis_lock_free_arena_shared *shared) {
    return shared != NULL && shared->source.acquire != NULL && shared->origin.capacity_bytes == 0 &&
           shared->add_limit_bytes < shared->max_block_bytes &&
           shared->shard_max_bytes <= shared->max_block_bytes;
}

unsigned char *aegis_i_shared_fail(const aegis_lock_free_arena_shared *shared,
                                   const aegis_i_refusal *why, size_t size_bytes,
                                   size_t align_bytes, aegis_error *error) {
    (void)aegis_i_error_bytes(error, why->status, size_bytes, align_bytes);
    error->in_use_bytes = aegis_i_load(&shared->reserved_bytes, memory_order_relaxed);
    aegis_i_explain_refusal(why, error);
    return NULL;
}

/* Writes the block header at the start of memory from the source. */
static aegis_i_shared_block *lay(void *memory, size_t total_bytes, bool zeroed) {
    aegis_i_shared_block *block = (aegis_i_shared_block *)memory;
    size_t capacity_bytes = total_bytes - AEGIS_I_SHARED_HEADER;
    atomic_init(&block->used_bytes, 0);
    block->capacity_bytes = capacity_bytes;
    atomic_init(&block->top_bytes, SIZE_MAX);
    atomic_init(&block->dirty_bytes, zeroed ? 0 : capacity_bytes);
    atomic_init(&block->next, NULL);
    block->total_bytes = total_bytes;
    atomic_init(&block->taken, 0);
    AEGIS_I_HIDE(aegis_i_shared_start(block), capacity_bytes);
    return block;
}

aegis_i_shared_block *aegis_i_shared_acquire(aegis_lock_free_arena_shared *shared,
                                             size_t total_bytes, bool optional,
                                             aegis_i_refusal *why) {
    bool zeroed;
    void *memory =
        aegis_i_acquire(&shared->source, shared->budget, total_bytes, AEGIS_I_BLOCK_ALIGN,
                        optional ? AEGIS_I_OPTIONAL : shared->wait_ns, &zeroed, why);
    if (memory == NULL)
        return NULL;
    aegis_i_shared_block *block = lay(memory, total_bytes, zeroed);
    (void)aegis_i_add(&shared->reserved_bytes, total_bytes, memory_order_relaxed);
    (void)aegis_i_add(&shared->capacity_bytes, block->capacity_bytes, memory_order_relaxed);
    (void)aegis_i_add(&shared->block_count, 1, memory_order_relaxed);
    (void)aegis_i_add(&shared->acquired_count, 1, memory_order_relaxed);
    return block;
}
