/* SPDX-License-Identifier: Apache-2.0 */
/* The buffer pool under the systematic scheduler when the system refuses the barrier, or refuses
 * memory for a while, or when the process forks. What is checked:
 *  - Blocks that no search can reach become free again, and none is lost in the same process.
 *  - No block has two owners.
 *  - The pool is never freed too early. */
#include "buffer_model.h"

/* So many blocks are enough for two threads to fill a stripe each, and have one block more each. */
#define FILLING (2 * AEGIS_I_STRIPE_ITEMS + 2)

/* Whether the last handle still exists, and whether it did just before the last block was released.
 * When the process forks at the end: whether a block of another thread was still out. */
static bool handle_left;
static bool last_parked;
static size_t used_at_begin;

/* The system refuses the barrier. Blocks that a thread has cached cannot be taken until it comes
 * back. But no block is lost, and none has two owners. */
static void begin_refused(void) {
    begin_parked();
    refused_barriers = 99;
}

static void thread_refused(int number) {
    aegis_buffer_mut held[2];
    bool got[2];
    for (int i = 0; i < 2; i++)
        got[i] = try_get(number, 0, &held[i]) == AEGIS_OK;
    for (int i = 0; i < 2; i++)
        if (got[i])
            put(&held[i]);
    /* A thread that ends leaves its cached blocks to the others. */
    if (number == 1)
        end_thread(number);
}

/* Thread 1 ends at the latest now. Thread 0 is the one that drains. */
static void end_refused(void) {
    if ((aegis_i_threads.own_numbers & 2) != 0)
        end_thread(1);
    drain(4);
}

/* The system refuses the barrier once, and allows it later. */
static void begin_refused_once(void) {
    begin_parked();
    refused_barriers = 1;
}

static void end_refused_once(void) {
    refused_barriers = 0;
    drain(4);
}

/* The end without a barrier. The pool may stay as it is. It is freed only when all threads have
 * moved their cached blocks home, and never too early. */
static void begin_refused_end(void) {
    begin_end();
    refused_barriers = 99;
}

static void end_refused_end(void) {
    if (close_count == 0) {
        for (size_t i = 0; i < used_bytes; i++)
            MODEL_CHECK(!given_back[i]);
        return;
    }
    check_gone();
}

/* One thread caches two blocks and then releases a third, while the other gives up the last handle.
 * If the handle is given up before the third release, that release moves all blocks home. */
static void begin_third(void) {
    make(3, 0);
    for (int i = 0; i < 3; i++)
        writers[i] = get(1);
    aegis_buffer_pool_release(&pools[1]);
    aegis_buffer_pool_release(&pools[2]);
    refused_barriers = 99;
    handle_left = true;
}

static void thread_third(int number) {
    if (number == 0) {
        aegis_buffer_pool_release(&pools[0]);
        handle_left = false;
        return;
    }
    put(&writers[0]);
    put(&writers[1]);
    last_parked = handle_left;
    put(&writers[2]);
}

static void end_third(void) {
    if (!last_parked)
        check_gone();
    else
        end_refused_end();
}

/* There is memory again, and no thread is told. */
static void begin_memory_comes(void) {
    make(1, 2);
    writers[0] = get(0);
    dry = true;
}

static void thread_memory_comes(int number) {
    aegis_buffer_mut writer;
    if (number == 0) {
        MODEL_CHECK(try_get(number, FOREVER, &writer) == AEGIS_OK);
        put(&writer);
    } else {
        model_yield();
        dry = false;
    }
}

static void end_memory_comes(void) {
    put(&writers[0]);
    drain(2);
}

/* A thread ends that has cached all blocks, where the waiting thread cannot reach them. */
static void begin_end_for_waiter(void) {
    make(2, 0);
    writers[0] = get(1);
    writers[1] = get(1);
    refused_barriers = 99;
}

static void thread_end_for_waiter(int number) {
    aegis_buffer_mut writer;
    if (number == 0) {
        MODEL_CHECK(try_get(number, FOREVER, &writer) == AEGIS_OK);
        put(&writer);
    } else {
        put(&writers[0]);
        put(&writers[1]);
        end_thread(1);
    }
}

static void end_end_for_waiter(void) {
    drain(2);
}

/* In a child process, which has only thread 0: takes all free blocks. None of them is a block that
 * another thread of the parent had. */
static void take_all(void) {
    aegis_buffer_mut all[MAX_BLOCKS];
    size_t got_count = 0;
    while (try_get(0, 0, &all[got_count]) == AEGIS_OK)
        got_count++;
    /* A wait ends when its time is up, also here. */
    if (got_count != 0)
        MODEL_CHECK(try_get(0, 10, &all[got_count]) == AEGIS_E_EXHAUSTED);
    for (size_t i = 0; i < got_count; i++)
        put(&all[i]);
}

/* The process forks while other threads take and release blocks. */
static void thread_fork(int number) {
    if (number == 0) {
        aegis_buffer_mut first = get(number);
        fork_process();
        take_all();
        put(&first);
        take_all();
    } else {
        get_and_put(number);
        get_and_put(number);
    }
}

/* The blocks that the other threads had keep the pool, and so do their handles. */
static void end_fork(void) {
    aegis_buffer_pool_release(&pools[0]);
    MODEL_CHECK(close_count == 0 && live_bytes == used_at_begin);
}

static void begin_fork(void) {
    begin_parked();
    used_at_begin = live_bytes;
}

/* The process forks while other threads move blocks home from full stripes. Thread 0 keeps some. */
static void begin_fork_full(void) {
    make(MAX_BLOCKS, 0);
    used_at_begin = live_bytes;
    for (int i = 0; i < MAX_BLOCKS; i++)
        writers[i] = get(0);
}

static void thread_fork_full(int number) {
    if (number == 0) {
        model_yield();
        fork_process();
        take_all();
        put(&writers[0]);
        take_all();
        return;
    }
    for (int i = number; i <= FILLING; i += 2)
        put(&writers[i]);
}

/* The process forks while another thread's search moves blocks home from the stripe of thread 0. */
static void begin_fork_search(void) {
    begin_parked();
    used_at_begin = live_bytes;
}

static void thread_fork_search(int number) {
    if (number == 0) {
        model_yield();
        fork_process();
        take_all();
        return;
    }
    for (int i = 0; i < 4; i++)
        writers[i] = get(number);
}

/* The process forks while other threads search, wait and wake. */
static void begin_fork_waiting(void) {
    make(2, 0);
    used_at_begin = live_bytes;
    writers[0] = get(0);
    writers[1] = get(1);
}

static void thread_fork_waiting(int number) {
    aegis_buffer_mut writer;
    if (number == 0) {
        model_yield();
        fork_process();
        put(&writers[0]);
        MODEL_CHECK(try_get(number, FOREVER, &writer) == AEGIS_OK);
        put(&writer);
        take_all();
    } else if (number == 1) {
        MODEL_CHECK(try_get(number, FOREVER, &writer) == AEGIS_OK);
        put(&writer);
    } else {
        put(&writers[1]);
    }
}

/* The process forks after the last handle was given up, while other threads release the last
 * buffers. The child frees the pool if it has all blocks. */
static void begin_fork_end(void) {
    make(3, 0);
    used_at_begin = live_bytes;
    for (int i = 0; i < 3; i++)
        writers[i] = get(0);
    aegis_buffer_pool_release(&pools[1]);
    aegis_buffer_pool_release(&pools[2]);
}

static void thread_fork_end(int number) {
    if (number != 0) {
        put(&writers[number]);
        return;
    }
    aegis_buffer_pool_release(&pools[0]);
    last_parked = owners[1] != -1 || owners[2] != -1;
    fork_process();
    put(&writers[0]);
}

static void end_fork_end(void) {
    if (close_count != 0)
        check_gone();
    else
        MODEL_CHECK(last_parked || live_bytes == used_at_begin);
}

/* The same without other threads: no block is lost, and the child frees the pool. */
static void thread_fork_alone(int number) {
    if (number != 0)
        return;
    put(&writers[1]);
    aegis_buffer_pool_release(&pools[0]);
    fork_process();
    put(&writers[0]);
    put(&writers[2]);
}

int main(void) {
    static const model_scenario scenarios[] = {
        {"refused barrier", begin_refused, thread_refused, end_refused, 3, 2},
        {"barrier refused once", begin_refused_once, thread_refused, end_refused_once, 3, 2},
        {"refused barrier at the end", begin_refused_end, thread_end, end_refused_end, 3, 2},
        {"refused barrier, the third", begin_third, thread_third, end_third, 2, 3},
        {"memory comes", begin_memory_comes, thread_memory_comes, end_memory_comes, 2, 3},
        {"end for a waiter", begin_end_for_waiter, thread_end_for_waiter, end_end_for_waiter, 2, 2},
        {"fork", begin_fork, thread_fork, end_fork, 3, 2},
        {"fork with full stripes", begin_fork_full, thread_fork_full, end_fork, 3, 2},
        {"fork during a search", begin_fork_search, thread_fork_search, end_fork, 2, 3},
        {"fork while others wait", begin_fork_waiting, thread_fork_waiting, end_fork, 3, 2},
        {"fork at the end", begin_fork_end, thread_fork_end, end_fork_end, 3, 2},
        {"fork after the end", begin_fork_end, thread_fork_alone, check_gone, 2, 2},
    };
    return model_explore_all(scenarios, sizeof scenarios / sizeof *scenarios);
}
