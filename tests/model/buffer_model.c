/* SPDX-License-Identifier: Apache-2.0 */
/* Buffers and their pool under the systematic scheduler: no block has two owners, none is lost or
 * refused while one is free, no wake-up is lost, the last reference releases once, and the pool
 * goes with the last of all and is not touched afterwards. Threads 0 and 1 have private stripes,
 * thread 2 shares one with thread 0. */
#include "buffer_pool_internal.h"

#include "aegis_memory.h"

#include <stdio.h>
#include <string.h>

#define MAX_BLOCKS 8
#define BLOCK_BYTES 64
#define FOREVER AEGIS_WAIT_FOREVER

uint64_t model_now_ns;

static aegis_buffer_pool pools[MODEL_MAX_THREADS];
/* Written only between atomic operations of the pool, so plain fields are exact. */
static int owners[MAX_BLOCKS];
static const unsigned char *bases[MAX_BLOCKS];
static aegis_buffer_mut writers[MAX_BLOCKS];
static aegis_buffer views[MODEL_MAX_THREADS];
static int late_count;
static bool success;
/* Whether the last handle is there, and whether it was when the last block was given back. */
static bool handle_left;
static bool last_parked;

uintptr_t model_thread_id(void) {
    static const uint32_t numbers[MODEL_MAX_THREADS] = {0, 1, AEGIS_I_OWN_NUMBERS};
    return (uintptr_t)&aegis_i_threads + (model_running() < 0 ? 0 : numbers[model_running()]);
}

/* The next barriers, so many, are refused. */
static int refused_barriers;

bool model_barrier(void) {
    model_yield();
    if (refused_barriers == 0)
        return true;
    refused_barriers--;
    return false;
}

/* A thread with a number of its own ends. */
static void end_thread(int number) {
    if (number < 2)
        aegis_i_thread_number_return(&aegis_i_threads, (uint32_t)number);
}

/* A source that forgets everything between two runs. What is given back is spoilt, and must stay
 * as it is from then on. */
#define MEMORY_BYTES 32768
#define SPOILT 0xDD
static _Alignas(4096) unsigned char memory[MEMORY_BYTES];
static bool given_back[MEMORY_BYTES];
static size_t used_bytes;
static size_t live_bytes;
static int close_count;
static bool dry;

static void *acquire(void *context, size_t size_bytes, size_t align_bytes, bool *zeroed) {
    (void)context;
    size_t at = (used_bytes + align_bytes - 1) & ~(align_bytes - 1);
    if (dry)
        return NULL;
    MODEL_CHECK(at + size_bytes <= MEMORY_BYTES);
    memset(memory + at, 0, size_bytes);
    memset(given_back + at, 0, size_bytes);
    used_bytes = at + size_bytes;
    live_bytes += size_bytes;
    *zeroed = true;
    return memory + at;
}

static void release(void *context, void *piece, size_t size_bytes, size_t align_bytes) {
    (void)context;
    (void)align_bytes;
    size_t at = (size_t)((unsigned char *)piece - memory);
    MODEL_CHECK(at + size_bytes <= used_bytes && !given_back[at]);
    memset(piece, SPOILT, size_bytes);
    memset(given_back + at, true, size_bytes);
    live_bytes -= size_bytes;
}

static void count_close(void *context) {
    (void)context;
    close_count++;
}

/* Makes a pool, and a handle to it for every thread. */
static void make(size_t count, size_t max_count) {
    static const aegis_source source = {acquire, release, count_close, NULL};
    aegis_buffer_class only = {BLOCK_BYTES, count, max_count};
    aegis_buffer_pool_options options;
    memset(&options, 0, sizeof options);
    options.classes = &only;
    options.class_count = 1;
    options.align_bytes = BLOCK_BYTES;
    options.source = &source;
    used_bytes = live_bytes = 0;
    dry = false;
    close_count = late_count = 0;
    model_now_ns = 1;
    refused_barriers = 0;
    aegis_i_threads.own_numbers = 3;
    memset(bases, 0, sizeof bases);
    memset(given_back, 0, sizeof given_back);
    for (int i = 0; i < MAX_BLOCKS; i++)
        owners[i] = -1;
    MODEL_CHECK(aegis_buffer_pool_init(&pools[0], &options) == AEGIS_OK);
    /* Without the system's barrier there would be no private stripes to look at. */
    MODEL_CHECK(pools[0].shared->classes[0].private_count == 2);
    MODEL_CHECK(aegis_buffer_pool_retain(&pools[0], &pools[1]) == AEGIS_OK);
    MODEL_CHECK(aegis_buffer_pool_retain(&pools[0], &pools[2]) == AEGIS_OK);
}

/* The number of a block, given when it is first seen. */
static size_t id_of(const aegis_buffer_owner *owner) {
    size_t id = 0;
    while (id < MAX_BLOCKS && bases[id] != NULL && bases[id] != owner->base)
        id++;
    MODEL_CHECK(id < MAX_BLOCKS);
    bases[id] = owner->base;
    return id;
}

static void own(int number, const aegis_buffer_mut *writer) {
    size_t id = id_of(writer->owner);
    MODEL_CHECK(owners[id] == -1);
    owners[id] = number;
    memset(writer->data, number, BLOCK_BYTES);
}

static aegis_status try_get(int number, uint64_t timeout_ns, aegis_buffer_mut *writer) {
    aegis_status status = timeout_ns == 0 ? aegis_buffer_pool_get(&pools[number], writer, 1, NULL)
                                          : aegis_buffer_pool_get_timeout(&pools[number], writer, 1,
                                                                          timeout_ns, NULL);
    if (status == AEGIS_OK)
        own(number, writer);
    return status;
}

static aegis_buffer_mut get(int number) {
    aegis_buffer_mut writer;
    MODEL_CHECK(try_get(number, 0, &writer) == AEGIS_OK);
    return writer;
}

/* Gives a writer up, whoever took it. */
static void put(aegis_buffer_mut *writer) {
    size_t id = id_of(writer->owner);
    for (size_t i = 0; i < BLOCK_BYTES; i++)
        MODEL_CHECK(writer->data[i] == (unsigned char)owners[id]);
    owners[id] = -1;
    MODEL_CHECK(aegis_buffer_mut_release(writer) == AEGIS_OK);
}

static void get_and_put(int number) {
    aegis_buffer_mut writer = get(number);
    put(&writer);
}

/* Demands that all is given back, once, and not touched since. */
static void check_gone(void) {
    MODEL_CHECK(close_count == 1 && live_bytes == 0);
    for (size_t i = 0; i < used_bytes; i++)
        MODEL_CHECK(!given_back[i] || memory[i] == SPOILT);
}

/* Demands that `count` blocks can be had and no more, and gives all handles up. */
static void drain(size_t count) {
    aegis_buffer_mut all[MAX_BLOCKS];
    aegis_buffer_pool_stats stats;
    aegis_buffer_pool_get_stats(&pools[0], &stats);
    MODEL_CHECK(stats.classes[0].in_use == 0);
    for (size_t i = 0; i < count; i++)
        all[i] = get(0);
    MODEL_CHECK(aegis_buffer_pool_get(&pools[0], &all[count], 1, NULL) == AEGIS_E_EXHAUSTED);
    for (size_t i = 0; i < count; i++)
        put(&all[i]);
    for (int i = 0; i < MODEL_MAX_THREADS; i++)
        aegis_buffer_pool_release(&pools[i]);
    check_gone();
}

/* As many blocks as the threads ever have at a time: nobody goes without, wherever they lie. First
 * all fresh; then all parked, in private and shared stripes, by threads that go on. */
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

/* One thread wants two at a time, of which it returns one in between. */
static void begin_parked(void) {
    make(4, 0);
    for (int i = 0; i < 4; i++)
        writers[i] = get(0);
    for (int i = 0; i < 4; i++)
        put(&writers[i]);
}

static void thread_parked(int number) {
    aegis_buffer_mut first = get(number);
    if (number == 0)
        get_and_put(number);
    put(&first);
}

static void end_four(void) {
    drain(4);
}

/* Growth by single blocks. */
static void begin_growth(void) {
    make(1, 3);
}

static void thread_growth(int number) {
    get_and_put(number);
}

/* Hand-over: each thread gives back what another had, and gets one again. */
static void begin_hand_over(void) {
    make(3, 0);
    for (int i = 0; i < 3; i++)
        writers[i] = get(i);
}

static void thread_hand_over(int number) {
    put(&writers[(number + 1) % 3]);
    get_and_put(number);
}

/* The end: handles and buffers are given up, and parked, at the same time. */
static void begin_end(void) {
    make(4, 0);
    for (int i = 0; i < 3; i++)
        writers[i] = get(i);
}

static void thread_end(int number) {
    if (number == 1) {
        put(&writers[number]);
        get_and_put(number);
        aegis_buffer_pool_release(&pools[number]);
    } else {
        aegis_buffer_pool_release(&pools[number]);
        put(&writers[number]);
    }
}

/* The same with a full stripe, part of which goes home. */
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

/* Waiting: one block for three, without an end. */
static void begin_wait(void) {
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

/* The same with the only block given back by a thread that wants none. */
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

/* A request that need not succeed, but may open the private stripes while another waits. */
static void thread_opened(int number) {
    if (number == 0)
        success = try_get(number, 0, &writers[2]) == AEGIS_OK;
    else if (number == 1)
        thread_arrival(0);
    else
        thread_wait(number);
}

static void end_opened(void) {
    if (success)
        put(&writers[2]);
    drain(2);
}

/* Time that is up as a block arrives. Who was refused was late, and the block is not lost. */
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

/* Growth that failed before, by two blocks when one was wanted: the other ends a wait. */
static void begin_growth_for_waiter(void) {
    make(2, 4);
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

static void end_growth_for_waiter(void) {
    for (int i = 0; i < 3; i++)
        put(&writers[i]);
    drain(4);
}

/* References: views of one block, copied and given up by all threads; the pool may go with the
 * last of them. */
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

int main(void) {
    static const model_scenario scenarios[] = {
        {"three of three", begin_three, thread_three, end_three, 3, 2},
        {"parked", begin_parked, thread_parked, end_four, 3, 2},
        {"growth", begin_growth, thread_growth, end_three, 3, 2},
        {"hand-over", begin_hand_over, thread_hand_over, end_three, 3, 2},
        {"end", begin_end, thread_end, check_gone, 3, 2},
        {"full end", begin_full_end, thread_full_end, check_gone, 3, 2},
        {"wait", begin_wait, thread_wait, end_one, 3, 2},
        {"arrival", begin_arrival, thread_arrival, end_two, 3, 2},
        {"opened", begin_arrival, thread_opened, end_opened, 3, 2},
        {"late", begin_wait, thread_late, end_late, 3, 2},
        {"growth for a waiter", begin_growth_for_waiter, thread_growth_for_waiter,
         end_growth_for_waiter, 2, 2},
        {"refused barrier", begin_refused, thread_refused, end_refused, 3, 2},
        {"barrier refused once", begin_refused_once, thread_refused, end_refused_once, 3, 2},
        {"refused barrier at the end", begin_refused_end, thread_end, end_refused_end, 3, 2},
        {"refused barrier, the third", begin_third, thread_third, end_third, 2, 3},
        {"references", begin_references, thread_references, check_gone, 3, 3},
    };
    for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++) {
        size_t schedule_count = model_explore(&scenarios[i]);
        printf("%s: %zu schedules of %d threads, at most %d preemptions: none fails\n",
               scenarios[i].name, schedule_count, scenarios[i].thread_count,
               scenarios[i].preemption_bound);
    }
    return 0;
}
