/* SPDX-License-Identifier: Apache-2.0 */
/* The lock-free pool and its caches under the systematic scheduler. No block has two owners, none
 * is lost, and no thread is refused a block while it has fewer than its share.
 *
 * A build with AEGIS_I_TAG_STEP=0 has a stack without its tag, and its first scenario must fail.
 * This is the ABA failure, and it proves that these scenarios can find one. */
#include "pool_model.h"

#include "pool/lock_free_state.h"

/* Demands that every block can be taken and freed: the promised blocks, and the reserves of all
 * cache slots that were ever used, which the pool's peak counts. Finishes the pool. */
static void drain(size_t promised_count) {
    void *blocks[MAX_BLOCKS + 1];
    aegis_pool_stats stats;
    aegis_lock_free_pool_get_stats(&pool, &stats);
    MODEL_CHECK(stats.in_use == 0 && stats.parked == 0);
    size_t got_count = aegis_lock_free_pool_alloc_n(&pool, blocks, MAX_BLOCKS + 1, NULL);
    for (size_t i = 0; i < got_count; i++)
        own(MAX_BLOCKS, blocks[i]);
    aegis_lock_free_pool_get_stats(&pool, &stats);
    MODEL_CHECK(stats.capacity == promised_count);
    MODEL_CHECK(got_count >= promised_count && got_count == stats.peak_in_use);
    MODEL_CHECK((got_count - promised_count) % AEGIS_POOL_CACHE_BLOCKS == 0);
    for (size_t i = 0; i < got_count; i++)
        disown(MAX_BLOCKS, blocks[i]);
    MODEL_CHECK(aegis_lock_free_pool_free_n(&pool, blocks, got_count) == AEGIS_OK);
    MODEL_CHECK(aegis_lock_free_pool_fini(&pool) == AEGIS_OK);
}

/* Stack: one thread takes two blocks and frees them in the order that deceives a stack without a
 * tag. The other threads take and free one block each. */
static void begin_stack(void) {
    make(4, 0, 0);
    recycle(4);
}

static void thread_stack(int number) {
    void *first = take(number);
    if (number == 0) {
        void *second = take(number);
        put(number, first);
        put(number, second);
    } else {
        put(number, first);
    }
}

static void end_stack(void) {
    drain(4);
}

/* Bulk: two threads take and free two blocks with one compare-and-swap, while the third takes and
 * frees a single block. */
static void begin_bulk(void) {
    make(5, 0, 0);
    recycle(5);
}

static void thread_bulk(int number) {
    void *blocks[2];
    if (number == 2) {
        blocks[0] = take(number);
        put(number, blocks[0]);
        return;
    }
    size_t got_count = aegis_lock_free_pool_alloc_n(&pool, blocks, 2, NULL);
    MODEL_CHECK(got_count == 2);
    own(number, blocks[0]);
    own(number, blocks[1]);
    disown(number, blocks[0]);
    disown(number, blocks[1]);
    MODEL_CHECK(aegis_lock_free_pool_free_n(&pool, blocks, 2) == AEGIS_OK);
}

static void end_bulk(void) {
    drain(5);
}

/* Exhaustion: there are as many blocks as threads, and no thread is refused one. Here the blocks
 * are fresh or recycled. In the next scenario the pool grows. */
static void begin_fresh(void) {
    make(3, 0, 0);
    recycle(1);
}

static void begin_growth(void) {
    make(1, 3, 0);
}

static void thread_take_twice(int number) {
    void *block = take(number);
    put(number, block);
    if (number != 2) {
        block = take(number);
        put(number, block);
    }
}

static void thread_take_once(int number) {
    put(number, take(number));
}

static void end_three(void) {
    drain(3);
}

/* The last slab: one thread adds it just after another thread has found the slab before it used up.
 */
static void begin_last_slab(void) {
    make(2, 4, 0);
}

static void thread_last_slab(int number) {
    void *first = take(number);
    if (number == 1)
        put(number, take(number));
    put(number, first);
}

static void end_last_slab(void) {
    drain(4);
}

/* Caches: there are as many promised blocks as threads, and no thread is refused one, whatever the
 * caches hold. A cache is filled, flushed by half, emptied and filled again, and finished while it
 * holds blocks. */
static void begin_caches(void) {
    make(3, 0, 3);
}

static void thread_cache(int number) {
    aegis_pool_cache cache;
    MODEL_CHECK(aegis_pool_cache_init(&cache, &pool) == AEGIS_OK);
    void *blocks[3];
    int block_count = number == 0 ? 3 : 1;
    for (int i = 0; i < block_count; i++) {
        blocks[i] = aegis_pool_cache_alloc(&cache);
        own(number, blocks[i]);
    }
    for (int i = 0; i < block_count; i++) {
        disown(number, blocks[i]);
        MODEL_CHECK(aegis_pool_cache_free(&cache, blocks[i]) == AEGIS_OK);
    }
    aegis_pool_cache_fini(&cache);
}

/* Hand-over: a block that one cache has handed out is freed to another cache or to the pool. */
static void *handed_over[3];

static void begin_hand_over(void) {
    make(3, 0, 3);
    aegis_pool_cache cache;
    MODEL_CHECK(aegis_pool_cache_init(&cache, &pool) == AEGIS_OK);
    for (int i = 0; i < 3; i++) {
        handed_over[i] = aegis_pool_cache_alloc(&cache);
        own(i, handed_over[i]);
    }
    aegis_pool_cache_fini(&cache);
}

static void thread_hand_over(int number) {
    if (number == 2) {
        put(number, handed_over[number]);
        put(number, take(number));
        return;
    }
    aegis_pool_cache cache;
    MODEL_CHECK(aegis_pool_cache_init(&cache, &pool) == AEGIS_OK);
    disown(number, handed_over[number]);
    MODEL_CHECK(aegis_pool_cache_free(&cache, handed_over[number]) == AEGIS_OK);
    void *block = aegis_pool_cache_alloc(&cache);
    own(number, block);
    disown(number, block);
    MODEL_CHECK(aegis_pool_cache_free(&cache, block) == AEGIS_OK);
    aegis_pool_cache_fini(&cache);
}

/* Depot: a cache and the depot hold all free blocks. Two threads that have no cache take one each,
 * while a third one fills another magazine. There are as many promised blocks as threads, and no
 * thread is refused one. */
static aegis_pool_cache full_cache;
static void *last_block;

static void begin_depot(void) {
    void *blocks[5];
    make(3, 0, 1);
    MODEL_CHECK(aegis_pool_cache_init(&full_cache, &pool) == AEGIS_OK);
    MODEL_CHECK(aegis_pool_cache_alloc_n(&full_cache, blocks, 5) == 5);
    for (int i = 0; i < 4; i++)
        MODEL_CHECK(aegis_pool_cache_free(&full_cache, blocks[i]) == AEGIS_OK);
    aegis_pool_stats stats;
    aegis_lock_free_pool_get_stats(&pool, &stats);
    MODEL_CHECK(full_cache.count == 2 && stats.parked == 2 && stats.in_use == 1);
    last_block = blocks[4];
    own(0, last_block);
}

static void thread_depot(int number) {
    if (number != 0) {
        put(number, take(number));
        return;
    }
    disown(number, last_block);
    MODEL_CHECK(aegis_pool_cache_free(&full_cache, last_block) == AEGIS_OK);
    aegis_pool_cache_fini(&full_cache);
}

/* Racing frees: three threads free the same block, one through the pool and two through caches. One
 * of them succeeds. */
static void begin_race(void) {
    make(2, 0, 2);
    shared_block = aegis_lock_free_pool_alloc(&pool, NULL);
}

static void thread_race(int number) {
    aegis_status status;
    if (number == 0) {
        status = aegis_lock_free_pool_free(&pool, shared_block);
    } else {
        aegis_pool_cache cache;
        MODEL_CHECK(aegis_pool_cache_init(&cache, &pool) == AEGIS_OK);
        /* This makes room in a full cache. An empty cache must not take a block here, because that
         * could be the shared block, once it is free. */
        void *other = cache.count != 0 ? aegis_pool_cache_alloc(&cache) : NULL;
        status = aegis_pool_cache_free(&cache, shared_block);
        if (other != NULL)
            MODEL_CHECK(aegis_pool_cache_free(&cache, other) == AEGIS_OK);
        aegis_pool_cache_fini(&cache);
    }
    MODEL_CHECK(status == AEGIS_OK || status == AEGIS_E_INVALID);
    success_count += status == AEGIS_OK;
}

static void end_race(void) {
    MODEL_CHECK(success_count == 1);
    drain(2);
}

/* Two threads wait for the budget because all blocks are out. The room that comes is enough for one
 * slab, which has a block for each of them. */
static void *out_blocks[2];

static size_t used_by_pool(void) {
    aegis_budget_figures figures;
    aegis_budget_get_figures(budget, &figures);
    MODEL_CHECK(figures.waiting_count == 0);
    return figures.used_bytes;
}

static void begin_budget(void) {
    budget = aegis_budget_new("b", AEGIS_BUDGET_UNLIMITED, NULL);
    make(2, 6, 0);
    for (size_t i = 0; i < 2; i++)
        out_blocks[i] = take(MAX_BLOCKS);
    aegis_budget_set_limit(budget, used_by_pool());
}

static void thread_budget(int number) {
    if (number == 2) {
        aegis_pool_slab_info first;
        MODEL_CHECK(aegis_lock_free_pool_get_slab(&pool, 0, &first) == AEGIS_OK);
        aegis_budget_figures figures;
        aegis_budget_get_figures(budget, &figures);
        aegis_budget_set_limit(budget, figures.limit_bytes + first.size_bytes);
        return;
    }
    put(number, take(number));
}

static void finish_with_budget(void) {
    aegis_pool_stats stats;
    aegis_lock_free_pool_get_stats(&pool, &stats);
    MODEL_CHECK(stats.slab_count == 2 && stats.in_use == 0);
    MODEL_CHECK(used_by_pool() == stats.reserved_bytes);
    MODEL_CHECK(aegis_lock_free_pool_fini(&pool) == AEGIS_OK);
    MODEL_CHECK(used_by_pool() == 0);
    aegis_budget_destroy(budget);
    budget = NULL;
}

static void end_budget(void) {
    for (size_t i = 0; i < 2; i++)
        put(MAX_BLOCKS, out_blocks[i]);
    finish_with_budget();
}

/* Place: a thread waits for the budget, and room comes for one slab. Another thread takes all
 * blocks that it finds. The first has its block all the same: no more room comes, so it must not
 * have to wait again. */
static void begin_place(void) {
    budget = aegis_budget_new("b", AEGIS_BUDGET_UNLIMITED, NULL);
    make(1, 6, 0);
    out_blocks[0] = take(MAX_BLOCKS);
    aegis_budget_set_limit(budget, used_by_pool());
}

static void thread_place(int number) {
    if (number == 1) {
        uint32_t indices[MAX_BLOCKS];
        size_t got_count = aegis_i_lock_free_take_held(pool.shared, indices, MAX_BLOCKS);
        aegis_i_lock_free_put(pool.shared, indices, got_count);
        return;
    }
    thread_budget(number);
}

static void end_place(void) {
    put(MAX_BLOCKS, out_blocks[0]);
    finish_with_budget();
}

int main(void) {
    static const model_scenario scenarios[] = {
        {"stack", begin_stack, thread_stack, end_stack, 3, 4},
        {"bulk", begin_bulk, thread_bulk, end_bulk, 3, 3},
        {"fresh", begin_fresh, thread_take_twice, end_three, 3, 3},
        {"growth", begin_growth, thread_take_once, end_three, 3, 3},
        {"last slab", begin_last_slab, thread_last_slab, end_last_slab, 3, 3},
        {"caches", begin_caches, thread_cache, end_three, 3, 3},
        {"hand-over", begin_hand_over, thread_hand_over, end_three, 3, 3},
        {"depot", begin_depot, thread_depot, end_three, 3, 3},
        {"race", begin_race, thread_race, end_race, 3, 3},
        {"budget", begin_budget, thread_budget, end_budget, 3, 2},
        {"place", begin_place, thread_place, end_place, 3, 2},
    };
    return model_explore_all(scenarios, sizeof scenarios / sizeof *scenarios);
}
