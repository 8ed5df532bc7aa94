/* SPDX-License-Identifier: Apache-2.0 */
/* Buffers and their pool under the systematic scheduler. What is checked:
 *  - No block has two owners, and no block is lost.
 *  - No request is refused while a block is free.
 *  - Of the requests that are refused while no block comes back, at most one makes a barrier.
 *  - No wake-up is lost.
 *  - The last reference releases its owner, once.
 *  - The pool is freed with the last handle or buffer, and not touched afterwards. So is a pool
 * that is a reclaimer, while a thread reclaims.
 *  - A reclaimable pool gives an idle slab back while another trim runs, and for a request that
 *    waits when the slab becomes idle. */
#include "buffer_model.h"

#include "budget/state.h"

static aegis_buffer views[MODEL_MAX_THREADS];
static int late_count;
static bool success;

/* As many blocks as the threads have at one time at most: no request is refused, wherever the free
 * blocks lie. Here all blocks are new. In the next scenario all were used before, and threads that
 * still run cache blocks in private and shared stripes. */
static void begin_three(void) {
    make(3, 0);
}

static void thread_three(int number) {
    get_and_put(number);
    get_and_put(number);
}

static void end_three(void) {
    drain(3);
}

/* Thread 0 has two blocks at a time for a while, the others have one. */
static void thread_parked(int number) {
    aegis_buffer_mut first = get(number);
    if (number == 0)
        get_and_put(number);
    put(&first);
}

static void end_four(void) {
    drain(4);
}

/* Growth by one block at a time. */
static void begin_growth(void) {
    make(1, 3);
}

static void thread_growth(int number) {
    get_and_put(number);
}

/* Trim: one thread trims a pool that has grown, whose blocks are cached in stripes or at home. The
 * others take and release a block each. There are as many blocks, so no request is refused. */
static void begin_trim(void) {
    make(1, 2);
    writers[0] = get(0);
    writers[1] = get(1);
    put(&writers[0]);
    put(&writers[1]);
}

static void thread_trim(int number) {
    if (number == 1)
        aegis_buffer_pool_trim(&pools[number], 0);
    else
        get_and_put(number);
}

/* The same, and the threads wait for a block without a time limit. */
static void begin_trim_wait(void) {
    begin_trim();
    late_count = 0;
}

static void thread_trim_wait(int number) {
    aegis_buffer_mut writer;
    if (number == 1) {
        aegis_buffer_pool_trim_idle(&pools[number]);
        aegis_buffer_pool_trim_idle(&pools[number]);
        return;
    }
    MODEL_CHECK(try_get(number, FOREVER, &writer) == AEGIS_OK);
    put(&writer);
}

/* Demands that the pool, without a block out, gives back all that it had acquired later. */
static void end_trim(void) {
    aegis_buffer_pool_stats stats;
    aegis_buffer_pool_trim(&pools[0], 0);
    aegis_buffer_pool_get_stats(&pools[0], &stats);
    MODEL_CHECK(stats.classes[0].capacity == 1 && stats.classes[0].in_use == 0);
    MODEL_CHECK(stats.reserved_bytes == live_bytes);
    drain(2);
}

/* A pool of two blocks that is a reclaimer. The root of its budget is full. */
static aegis_budget *root;

static void begin_reclaim(void) {
    root = aegis_budget_new("root", AEGIS_BUDGET_UNLIMITED, NULL);
    charged = aegis_budget_new("pool", AEGIS_BUDGET_UNLIMITED, root);
    begin_trim();
    aegis_budget_figures figures;
    aegis_budget_get_figures(root, &figures);
    aegis_budget_set_limit(root, figures.used_bytes);
    /* The pool keeps it. */
    aegis_budget_destroy(charged);
    charged = NULL;
}

/* Demands that nothing but what thread 1 may have charged was left, and that nothing is registered.
 */
static void end_budget(void) {
    aegis_budget_figures figures;
    if (success)
        MODEL_CHECK(aegis_budget_uncharge(root, 1) == AEGIS_OK);
    aegis_budget_get_figures(root, &figures);
    MODEL_CHECK(figures.used_bytes == 0 && root->gate.reclaimers == NULL);
    aegis_budget_destroy(root);
}

/* One thread reclaims, and another one trims, but gives nothing back. */
static void thread_reclaim(int number) {
    if (number == 0)
        aegis_buffer_pool_trim(&pools[0], 2);
    else
        success = aegis_budget_charge(root, 1, NULL) == AEGIS_OK;
}

static void end_reclaim(void) {
    MODEL_CHECK(success);
    aegis_budget_set_limit(root, AEGIS_BUDGET_UNLIMITED);
    drain(2);
    end_budget();
}

/* A request waits at the budget until the second slab is idle. The other threads release its block
 * and that of the first slab, and one takes a block in between. */
static void begin_reclaim_for_waiter(void) {
    begin_reclaim();
    writers[0] = get(0);
    writers[1] = get(0);
    model_short_waits = 0;
}

static void thread_reclaim_for_waiter(int number) {
    if (number == 0) {
        put(&writers[0]);
        put(&writers[1]);
    } else if (number == 1) {
        success = aegis_budget_charge_timeout(root, 1, AEGIS_WAIT_FOREVER, NULL) == AEGIS_OK;
    } else if (try_get(number, 0, &writers[2]) == AEGIS_OK) {
        put(&writers[2]);
    }
}

/* One thread reclaims, while the others give up the last handles and the last block, which lies in
 * the first slab. */
static void begin_reclaimed_end(void) {
    begin_reclaim();
    writers[0] = get(0);
    writers[1] = get(0);
    bool first = id_of(writers[0].owner) == 0;
    put(&writers[first ? 1 : 0]);
    if (!first)
        writers[0] = writers[1];
    aegis_buffer_pool_release(&pools[1]);
}

static void thread_reclaimed_end(int number) {
    if (number == 1)
        success = aegis_budget_charge(root, 1, NULL) == AEGIS_OK;
    else
        aegis_buffer_pool_release(&pools[number]);
    if (number == 2)
        put(&writers[0]);
}

static void end_reclaimed_end(void) {
    check_gone();
    end_budget();
}

/* All blocks are out, and all threads ask again and again. A block that comes back in between may
 * open the private stripes once. */
static void thread_refused(int number) {
    for (int i = 0; i < 2; i++)
        MODEL_CHECK(try_get(number, 0, &writers[2]) == AEGIS_E_EXHAUSTED);
}

static void end_refused(void) {
    MODEL_CHECK(barrier_count == 1);
    for (int i = 0; i < 2; i++) {
        put(&writers[i]);
        writers[i] = get(i);
        thread_refused(2);
        MODEL_CHECK(barrier_count <= 2 + i);
    }
    put(&writers[0]);
    put(&writers[1]);
    drain(2);
}

/* Hand-over: each thread releases a block that another thread has taken, and takes one again. */
static void begin_hand_over(void) {
    make(3, 0);
    for (int i = 0; i < 3; i++)
        writers[i] = get(i);
}

static void thread_hand_over(int number) {
    put(&writers[(number + 1) % 3]);
    get_and_put(number);
}

/* The end while a stripe is full, so that some of its blocks move home. */
static void begin_full_end(void) {
    make(5, 0);
    for (int i = 0; i < 5; i++)
        writers[i] = get(0);
    aegis_buffer_pool_release(&pools[2]);
}

static void thread_full_end(int number) {
    if (number == 2) {
        put(&writers[4]);
        return;
    }
    put(&writers[number * 2]);
    put(&writers[number * 2 + 1]);
    aegis_buffer_pool_release(&pools[number]);
}

/* Waiting: one block for three threads, which wait without a time limit. */
static void begin_wait(void) {
    late_count = 0;
    make(1, 0);
}

static void thread_wait(int number) {
    aegis_buffer_mut writer;
    MODEL_CHECK(try_get(number, FOREVER, &writer) == AEGIS_OK);
    put(&writer);
}

static void end_one(void) {
    drain(1);
}

/* Two threads wait. The third releases both blocks and takes none. */
static void begin_arrival(void) {
    make(2, 0);
    writers[0] = get(0);
    writers[1] = get(0);
}

static void thread_arrival(int number) {
    if (number == 0) {
        put(&writers[0]);
        put(&writers[1]);
        return;
    }
    thread_wait(number);
}

static void end_two(void) {
    drain(2);
}

/* A request that does not wait may take the block for which another thread was woken. */
static void thread_in_between(int number) {
    if (number == 0)
        success = try_get(number, 0, &writers[2]) == AEGIS_OK;
    else if (number == 1)
        thread_arrival(0);
    else
        thread_wait(number);
}

static void end_in_between(void) {
    if (success)
        put(&writers[2]);
    drain(2);
}

/* The time of a waiting thread is up while a block becomes free. Each refused request is counted as
 * a timeout, and the block is not lost. */
static void thread_late(int number) {
    aegis_buffer_mut writer;
    if (try_get(number, 10, &writer) == AEGIS_OK)
        put(&writer);
    else
        late_count++;
}

static void end_late(void) {
    aegis_buffer_pool_stats stats;
    aegis_buffer_pool_get_stats(&pools[0], &stats);
    MODEL_CHECK(stats.timeout_count == (uint64_t)late_count);
    MODEL_CHECK(stats.refused_count == stats.timeout_count && late_count < 3);
    drain(1);
}

/* Growth by two blocks, after it was refused before. One thread takes one of them, and the other
 * block ends the wait of another thread. */
static void begin_growth_for_waiter(void) {
    make(2, 4);
    model_short_waits = 0;
    writers[0] = get(0);
    writers[1] = get(0);
    dry = true;
}

static void thread_growth_for_waiter(int number) {
    aegis_buffer_mut writer;
    if (number == 0) {
        dry = false;
        writers[2] = get(number);
    } else if (number == 1) {
        MODEL_CHECK(try_get(number, FOREVER, &writer) == AEGIS_OK);
        put(&writer);
    }
}

/* No time has passed, so the waiting thread was woken. */
static void end_growth_for_waiter(void) {
    MODEL_CHECK(model_now_ns == 1);
    for (int i = 0; i < 3; i++)
        put(&writers[i]);
    drain(4);
}

/* Two threads want a block. The pool could grow, but the waited_for has no room, so they wait for
 * that. A block that the third thread releases must end the wait of each of them in turn. */
static void begin_wait_for_budget(void) {
    waited_for = aegis_budget_new("b", AEGIS_BUDGET_UNLIMITED, NULL);
    make(1, 2);
    writers[0] = get(0);
    model_short_waits = 0;
    aegis_budget_figures figures;
    aegis_budget_get_figures(waited_for, &figures);
    aegis_budget_set_limit(waited_for, figures.used_bytes);
}

static void thread_wait_for_budget(int number) {
    aegis_buffer_mut writer;
    if (number == 2) {
        put(&writers[0]);
        return;
    }
    MODEL_CHECK(aegis_buffer_pool_get(&pools[number], &writer, 1, NULL) == AEGIS_OK);
    own(number, &writer);
    put(&writer);
}

/* The block comes home and the budget gets room at about the same time. Neither the block nor
 * the new slab may be lost. */
static void thread_room(int number) {
    thread_wait_for_budget(number == 0 ? 0 : 2);
    if (number == 1)
        aegis_budget_set_limit(waited_for, AEGIS_BUDGET_UNLIMITED);
}

static void end_wait_for_budget(void) {
    aegis_budget_set_limit(waited_for, AEGIS_BUDGET_UNLIMITED);
    drain(2);
    aegis_budget_figures figures;
    aegis_budget_get_figures(waited_for, &figures);
    MODEL_CHECK(figures.used_bytes == 0);
    aegis_budget_destroy(waited_for);
    waited_for = NULL;
}

/* References: all threads copy and release views of one block. The release of the last view may
 * free the pool. */
static void begin_references(void) {
    make(1, 0);
    aegis_buffer_mut writer = get(0);
    writer.length = BLOCK_BYTES;
    views[0] = aegis_buffer_mut_freeze(&writer);
    MODEL_CHECK(aegis_buffer_split_to(&views[0], 16, &views[1]) == AEGIS_OK);
    MODEL_CHECK(aegis_buffer_retain(&views[0], &views[2]) == AEGIS_OK);
    for (int i = 0; i < MODEL_MAX_THREADS; i++)
        aegis_buffer_pool_release(&pools[i]);
}

static void thread_references(int number) {
    aegis_buffer copy;
    MODEL_CHECK(close_count == 0);
    if (number != 1) {
        MODEL_CHECK(aegis_buffer_retain(&views[number], &copy) == AEGIS_OK);
        MODEL_CHECK(aegis_buffer_release(&views[number]) == AEGIS_OK);
        views[number] = copy;
    }
    MODEL_CHECK(close_count == 0 && views[number].data[0] == 0);
    MODEL_CHECK(aegis_buffer_release(&views[number]) == AEGIS_OK);
}

int main(void) {
    static const model_scenario scenarios[] = {
        {"three of three", begin_three, thread_three, end_three, 3, 2},
        {"parked", begin_parked, thread_parked, end_four, 3, 2},
        {"growth", begin_growth, thread_growth, end_three, 3, 2},
        {"trim", begin_trim, thread_trim, end_trim, 3, 2},
        {"trim and wait", begin_trim_wait, thread_trim_wait, end_trim, 3, 2},
        {"reclaim", begin_reclaim, thread_reclaim, end_reclaim, 2, 2},
        {"reclaim for a waiter", begin_reclaim_for_waiter, thread_reclaim_for_waiter, end_reclaim,
         3, 1},
        {"reclaim at the end", begin_reclaimed_end, thread_reclaimed_end, end_reclaimed_end, 3, 2},
        {"hand-over", begin_hand_over, thread_hand_over, end_three, 3, 2},
        {"end", begin_end, thread_end, check_gone, 3, 2},
        {"full end", begin_full_end, thread_full_end, check_gone, 3, 2},
        {"wait", begin_wait, thread_wait, end_one, 3, 2},
        {"arrival", begin_arrival, thread_arrival, end_two, 3, 2},
        {"refused", begin_arrival, thread_refused, end_refused, 2, 2},
        {"in between", begin_arrival, thread_in_between, end_in_between, 3, 2},
        {"late", begin_wait, thread_late, end_late, 3, 2},
        {"growth for a waiter", begin_growth_for_waiter, thread_growth_for_waiter,
         end_growth_for_waiter, 2, 2},
        {"budget", begin_wait_for_budget, thread_wait_for_budget, end_wait_for_budget, 3, 1, NULL},
        {"budget with room", begin_wait_for_budget, thread_room, end_wait_for_budget, 2, 2, NULL},
        {"references", begin_references, thread_references, check_gone, 3, 3},
    };
    return model_explore_all(scenarios, sizeof scenarios / sizeof *scenarios);
}
