/* SPDX-License-Identifier: Apache-2.0 */
/* The buffer pool under the systematic scheduler when the system is against it: it refuses the
 * barrier, or memory for a time. What is out of reach then comes back, nothing is lost, nothing has
 * two owners, and the pool never goes too early. */
#include "buffer_model.h"

/* Whether the last handle is there, and whether it was when the last block was given back. */
static bool handle_left;
static bool last_parked;

/* The system refuses the barrier. What a thread has parked that has not come back is not to be had,
 * but nothing is lost, and nothing has two owners. */
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
    /* A thread that ends leaves what it has parked to the others. */
    if (number == 1)
        end_thread(number);
}

/* Those that end meanwhile: thread 0 goes on as the one that drains. */
static void end_refused(void) {
    if ((aegis_i_threads.own_numbers & 2) != 0)
        end_thread(1);
    drain(4);
}

/* Refused once, the barrier may be had later. */
static void begin_refused_once(void) {
    begin_parked();
    refused_barriers = 1;
}

static void end_refused_once(void) {
    refused_barriers = 0;
    drain(4);
}

/* The end without a barrier: the pool may stay, as it is, but goes if all threads bring what they
 * have parked home; it never goes too early. */
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

/* One thread parks two and keeps a third, the other gives the last handle up: whatever the order,
 * the third brings all home. */
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

/* Memory is to be had again, and nobody says so. */
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

/* A thread ends that has parked all blocks, out of reach of the one that waits. */
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

int main(void) {
    static const model_scenario scenarios[] = {
        {"refused barrier", begin_refused, thread_refused, end_refused, 3, 2},
        {"barrier refused once", begin_refused_once, thread_refused, end_refused_once, 3, 2},
        {"refused barrier at the end", begin_refused_end, thread_end, end_refused_end, 3, 2},
        {"refused barrier, the third", begin_third, thread_third, end_third, 2, 3},
        {"memory comes", begin_memory_comes, thread_memory_comes, end_memory_comes, 2, 3},
        {"end for a waiter", begin_end_for_waiter, thread_end_for_waiter, end_end_for_waiter, 2, 2},
    };
    return explore(scenarios, sizeof scenarios / sizeof *scenarios);
}
