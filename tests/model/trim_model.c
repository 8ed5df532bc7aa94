/* SPDX-License-Identifier: Apache-2.0 */
/* Trims of the lock-free pool under the systematic scheduler. A trim releases no slab of which a
 * block is out. What pool_model.c checks holds while threads trim: no block has two owners, none is
 * lost, and no thread is refused a block while it has fewer than its share. */
#include "pool_model.h"

/* One thread trims a pool whose blocks all lie on the stack, or are set aside, while the others
 * take and free blocks, for which the pool grows again. There are as many blocks as threads that
 * take one, and no thread is refused. */
static void begin_trim(void) {
    make(1, 2, 0);
    recycle(2);
}

static void begin_trim_aside(void) {
    make(1, 2, 0);
    recycle(2);
    aegis_lock_free_pool_trim_idle(&pool);
}

static void thread_trim(int number) {
    if (number == 0) {
        aegis_lock_free_pool_trim(&pool, 0);
        return;
    }
    put(number, take(number));
}

static void thread_trim_idle(int number) {
    if (number == 0) {
        aegis_lock_free_pool_trim_idle(&pool);
        return;
    }
    void *block = take(number);
    put(number, block);
}

/* The same with a range of fresh blocks in the slab that may go. */
static void begin_trim_fresh(void) {
    make(2, 4, 0);
    recycle(3);
}

static void thread_trim_fresh(int number) {
    if (number == 0) {
        aegis_lock_free_pool_trim(&pool, 0);
        return;
    }
    void *blocks[2];
    MODEL_CHECK(aegis_lock_free_pool_alloc_n(&pool, blocks, 2, NULL) == 2);
    own(number, blocks[0]);
    own(number, blocks[1]);
    put(number, blocks[0]);
    put(number, blocks[1]);
}

/* Two trims at a time, and a thread that takes and frees all blocks. */
static void thread_trims(int number) {
    if (number != 2) {
        aegis_lock_free_pool_trim(&pool, 0);
        return;
    }
    void *first = take(number);
    void *second = take(number);
    put(number, first);
    put(number, second);
}

/* Two trims one after the other, of which the first keeps everything. So a request that finds
 * nothing because of the first one adds a slab while the second one is under way. */
static void thread_trims_again(int number) {
    if (number != 0) {
        put(number, take(number));
        return;
    }
    aegis_lock_free_pool_trim(&pool, 2);
    aegis_lock_free_pool_trim(&pool, 0);
}

/* A slab that one thread adds, uses and gives back while the other one acquires memory for the same
 * slab. Each thread may be refused while the other one has the block. */
static void begin_late(void) {
    make(1, 2, 0);
    shared_block = take(MAX_BLOCKS);
}

static void thread_late(int number) {
    void *block = aegis_lock_free_pool_alloc(&pool, NULL);
    if (block != NULL) {
        own(number, block);
        put(number, block);
    }
    if (number == 0)
        aegis_lock_free_pool_trim(&pool, 0);
}

/* Demands that all blocks can be had again, each once. Then all slabs but the first go. */
static void end_trim(size_t max_count) {
    void *blocks[MAX_BLOCKS + 1];
    aegis_pool_stats stats;
    size_t got_count = aegis_lock_free_pool_alloc_n(&pool, blocks, MAX_BLOCKS + 1, NULL);
    MODEL_CHECK(got_count == max_count);
    for (size_t i = 0; i < got_count; i++)
        own(MAX_BLOCKS, blocks[i]);
    aegis_lock_free_pool_get_stats(&pool, &stats);
    MODEL_CHECK(stats.capacity == max_count && stats.in_use == max_count);
    MODEL_CHECK(stats.slab_count == 2 && stats.peak_in_use == max_count);
    for (size_t i = 0; i < got_count; i++)
        put(MAX_BLOCKS, blocks[i]);
    aegis_lock_free_pool_trim(&pool, 0);
    aegis_lock_free_pool_get_stats(&pool, &stats);
    MODEL_CHECK(stats.capacity == max_count / 2 && stats.slab_count == 1);
    MODEL_CHECK(stats.acquired_count - stats.released_count == 2);
    MODEL_CHECK(aegis_lock_free_pool_fini(&pool) == AEGIS_OK);
    for (size_t i = 0; i < PAGES; i++)
        MODEL_CHECK(!page_used[i]);
}

static void end_trim_two(void) {
    end_trim(2);
}

static void end_late(void) {
    put(MAX_BLOCKS, shared_block);
    end_trim(2);
}

static void end_trim_four(void) {
    end_trim(4);
}

int main(void) {
    static const model_scenario scenarios[] = {
        {"trim", begin_trim, thread_trim, end_trim_two, 3, 3},
        {"trim set aside", begin_trim_aside, thread_trim, end_trim_two, 3, 3},
        {"trim idle", begin_trim_aside, thread_trim_idle, end_trim_two, 3, 3},
        {"trim fresh", begin_trim_fresh, thread_trim_fresh, end_trim_four, 3, 3},
        {"two trims", begin_trim, thread_trims, end_trim_two, 3, 3},
        {"late", begin_late, thread_late, end_late, 2, 3},
        {"trims again", begin_trim, thread_trims_again, end_trim_two, 2, 5},
    };
    return model_explore_all(scenarios, sizeof scenarios / sizeof *scenarios);
}
