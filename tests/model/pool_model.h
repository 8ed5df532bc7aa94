/* SPDX-License-Identifier: Apache-2.0 */
/* What the models of the lock-free pool share: a source that notes what it gave, and blocks of
 * which each has one owner. Only the file of a model that has `main` includes this header. */
#ifndef MODEL_POOL_MODEL_H
#define MODEL_POOL_MODEL_H

#include "yield.h"
#include "scheduler.h"

#include "aegis_memory.h"

#define MAX_BLOCKS 16

static aegis_lock_free_pool pool;
static int owners[MAX_BLOCKS];
/* These fields are plain, because a thread writes them only between two atomic operations of the
 * pool, where no other thread runs. */
static void *shared_block;
static int success_count;

/* A source that starts anew in each run. It gives whole pages. */
#define PAGES 16
#define PAGE_BYTES ((size_t)4096)
static _Alignas(4096) unsigned char memory[PAGES * 4096];
static bool page_used[PAGES];
/* How many blocks of each page have an owner. */
static int out_in_page[PAGES];
static int released_count;

/* What blocking.h wants. */
uint64_t model_now_ns;
int model_short_waits;

uintptr_t model_thread_id(void) {
    return 0;
}

bool model_barrier(void) {
    return false;
}

uint32_t model_process(void) {
    return 1;
}

static inline void *acquire(void *context, size_t size_bytes, size_t align_bytes, bool *zeroed) {
    (void)context;
    (void)align_bytes;
    size_t wanted_count = (size_bytes + PAGE_BYTES - 1) / PAGE_BYTES;
    for (size_t first = 0; first + wanted_count <= PAGES; first++) {
        size_t count = 0;
        while (count < wanted_count && !page_used[first + count])
            count++;
        if (count < wanted_count)
            continue;
        for (size_t i = 0; i < wanted_count; i++)
            page_used[first + i] = true;
        *zeroed = false;
        return memory + first * PAGE_BYTES;
    }
    return NULL;
}

static inline void release(void *context, void *place, size_t size_bytes, size_t align_bytes) {
    (void)context;
    (void)align_bytes;
    size_t first = (size_t)((unsigned char *)place - memory) / PAGE_BYTES;
    released_count++;
    for (size_t i = 0; i < (size_bytes + PAGE_BYTES - 1) / PAGE_BYTES; i++) {
        MODEL_CHECK(page_used[first + i] && out_in_page[first + i] == 0);
        page_used[first + i] = false;
    }
}

static const aegis_source source = {acquire, release, NULL, NULL};

static inline int *out_beside(const void *block) {
    return &out_in_page[(size_t)((const unsigned char *)block - memory) / PAGE_BYTES];
}

/* The budget of the next pool that is made, for which its growth waits without a time limit; or
 * NULL. */
static aegis_budget *budget;

static inline void make(size_t block_count, size_t max_block_count, size_t max_cache_count) {
    aegis_lock_free_pool_options options = {{64, 0, 0, 0, NULL}, 0, 0};
    options.blocks.block_count = block_count;
    options.blocks.max_block_count = max_block_count;
    options.blocks.source = &source;
    options.blocks.budget = budget;
    options.blocks.wait_ns = budget != NULL ? AEGIS_WAIT_FOREVER : 0;
    options.max_cache_count = max_cache_count;
    memset(page_used, 0, sizeof page_used);
    memset(out_in_page, 0, sizeof out_in_page);
    released_count = 0;
    success_count = 0;
    for (int i = 0; i < MAX_BLOCKS; i++)
        owners[i] = -1;
    MODEL_CHECK(aegis_lock_free_pool_init(&pool, &options) == AEGIS_OK);
}

static inline void own(int number, void *block) {
    size_t index = 0;
    MODEL_CHECK(block != NULL);
    MODEL_CHECK(aegis_lock_free_pool_index_of(&pool, block, &index) == AEGIS_OK);
    MODEL_CHECK(owners[index] == -1);
    owners[index] = number;
    ++*out_beside(block);
}

static inline void disown(int number, void *block) {
    size_t index = 0;
    MODEL_CHECK(aegis_lock_free_pool_index_of(&pool, block, &index) == AEGIS_OK);
    MODEL_CHECK(owners[index] == number);
    owners[index] = -1;
    --*out_beside(block);
}

static inline void *take(int number) {
    void *block = aegis_lock_free_pool_alloc(&pool, NULL);
    own(number, block);
    return block;
}

static inline void put(int number, void *block) {
    disown(number, block);
    MODEL_CHECK(aegis_lock_free_pool_free(&pool, block) == AEGIS_OK);
}

/* Puts all blocks on the stack. */
static inline void recycle(size_t block_count) {
    void *blocks[MAX_BLOCKS];
    MODEL_CHECK(aegis_lock_free_pool_alloc_n(&pool, blocks, block_count, NULL) == block_count);
    for (size_t i = 0; i < block_count; i++)
        MODEL_CHECK(aegis_lock_free_pool_free(&pool, blocks[i]) == AEGIS_OK);
}

#endif
