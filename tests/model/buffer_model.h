/* SPDX-License-Identifier: Apache-2.0 */
/* What the two models of the buffer pool share: the pools, a record of which thread owns which
 * block, and a source that overwrites the memory that is released to it. Threads 0 and 1 have
 * private stripes. Thread 2 has none, and uses the same shared stripe as thread 0. Only the file of
 * a model that has `main` includes this header. */
#ifndef MODEL_BUFFER_MODEL_H
#define MODEL_BUFFER_MODEL_H

#include "buffer/pool_state.h"

#include "aegis_memory.h"

#include <string.h>

#define MAX_BLOCKS 16
#define BLOCK_BYTES 64
#define FOREVER AEGIS_WAIT_FOREVER

uint64_t model_now_ns;
int model_short_waits;

static aegis_buffer_pool pools[MODEL_MAX_THREADS];
/* If this is not NULL, the pool is a reclaimer of this budget. */
static aegis_budget *charged;
/* These fields are plain, because a thread writes them only between two atomic operations of the
 * pool, where no other thread runs. */
static int owners[MAX_BLOCKS];
static const unsigned char *bases[MAX_BLOCKS];
static aegis_buffer_mut writers[MAX_BLOCKS];

uintptr_t model_thread_id(void) {
    static const uint32_t numbers[MODEL_MAX_THREADS] = {0, 1, AEGIS_I_OWN_NUMBERS};
    return (uintptr_t)&aegis_i_threads + (model_running() < 0 ? 0 : numbers[model_running()]);
}

/* How many of the next barriers are refused, and how many were asked for. */
static int refused_barriers;
static int barrier_count;

bool model_barrier(void) {
    model_yield();
    barrier_count++;
    if (refused_barriers == 0)
        return true;
    refused_barriers--;
    return false;
}

static uint32_t process = 1;

uint32_t model_process(void) {
    return process;
}

/* The process forks, and the model goes on in the child. */
static inline void fork_process(void) {
    uint64_t own = UINT64_C(1) << model_running();
    process++;
    model_end_others();
    aegis_i_threads.lost_numbers = aegis_i_threads.own_numbers & ~own;
    aegis_i_threads.own_numbers &= own;
}

/* Ends a thread, if it has a number of its own. */
static inline void end_thread(int number) {
    if (number < 2)
        aegis_i_thread_number_return(&aegis_i_threads, (uint32_t)number);
}

/* A source that starts anew in each run. It overwrites the memory that is released to it, and no
 * thread may write to that memory again. */
#define MEMORY_BYTES 32768
#define SPOILT 0xDD
static _Alignas(4096) unsigned char memory[MEMORY_BYTES];
static bool given_back[MEMORY_BYTES];
static size_t used_bytes;
static size_t live_bytes;
static int close_count;
static bool dry;
/* The budget of the next pool that is made, for which its gets wait without a time limit; or NULL.
 */
static aegis_budget *waited_for;

static inline void *acquire(void *context, size_t size_bytes, size_t align_bytes, bool *zeroed) {
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

static inline void release(void *context, void *piece, size_t size_bytes, size_t align_bytes) {
    (void)context;
    (void)align_bytes;
    size_t at = (size_t)((unsigned char *)piece - memory);
    MODEL_CHECK(at + size_bytes <= used_bytes && !given_back[at]);
    memset(piece, SPOILT, size_bytes);
    memset(given_back + at, true, size_bytes);
    live_bytes -= size_bytes;
}

static inline void count_close(void *context) {
    (void)context;
    close_count++;
}

/* Makes a pool of these classes, and a handle of it for each thread. */
static inline void make_of(const aegis_buffer_class *classes, size_t class_count) {
    static const aegis_source source = {acquire, release, count_close, NULL};
    aegis_buffer_pool_options options;
    memset(&options, 0, sizeof options);
    options.classes = classes;
    options.class_count = class_count;
    options.align_bytes = BLOCK_BYTES;
    options.source = &source;
    options.budget = charged != NULL ? charged : waited_for;
    options.flags = charged != NULL ? AEGIS_BUFFER_RECLAIMABLE : 0;
    options.wait_ns = waited_for != NULL ? FOREVER : 0;
    used_bytes = live_bytes = 0;
    dry = false;
    close_count = 0;
    model_now_ns = 1;
    model_short_waits = 3;
    refused_barriers = barrier_count = 0;
    process = 1;
    aegis_i_threads.own_numbers = 3;
    aegis_i_threads.lost_numbers = 0;
    memset(bases, 0, sizeof bases);
    memset(given_back, 0, sizeof given_back);
    for (int i = 0; i < MAX_BLOCKS; i++)
        owners[i] = -1;
    MODEL_CHECK(aegis_buffer_pool_init(&pools[0], &options) == AEGIS_OK);
    /* On a system without the barrier there are no private stripes, and this model needs them. */
    MODEL_CHECK(pools[0].shared->classes[0].private_count == 2);
    MODEL_CHECK(aegis_buffer_pool_retain(&pools[0], &pools[1]) == AEGIS_OK);
    MODEL_CHECK(aegis_buffer_pool_retain(&pools[0], &pools[2]) == AEGIS_OK);
}

static inline void make(size_t count, size_t max_count) {
    aegis_buffer_class only = {BLOCK_BYTES, count, max_count};
    make_of(&only, 1);
}

/* Two classes of one block each, one of them twice as large. */
static inline void make_classes(void) {
    static const aegis_buffer_class classes[] = {{BLOCK_BYTES, 1, 0}, {2 * BLOCK_BYTES, 1, 0}};
    make_of(classes, 2);
}

/* The number of a block. A block gets its number when it is first seen. */
static inline size_t id_of(const aegis_buffer_owner *owner) {
    size_t id = 0;
    while (id < MAX_BLOCKS && bases[id] != NULL && bases[id] != owner->base)
        id++;
    MODEL_CHECK(id < MAX_BLOCKS);
    bases[id] = owner->base;
    return id;
}

static inline void own(int number, const aegis_buffer_mut *writer) {
    size_t id = id_of(writer->owner);
    MODEL_CHECK(owners[id] == -1);
    owners[id] = number;
    memset(writer->data, number, BLOCK_BYTES);
}

static inline aegis_status try_get(int number, uint64_t timeout_ns, aegis_buffer_mut *writer) {
    aegis_status status = timeout_ns == 0 ? aegis_buffer_pool_get(&pools[number], writer, 1, NULL)
                                          : aegis_buffer_pool_get_timeout(&pools[number], writer, 1,
                                                                          timeout_ns, NULL);
    if (status == AEGIS_OK)
        own(number, writer);
    return status;
}

static inline aegis_buffer_mut get(int number) {
    aegis_buffer_mut writer;
    MODEL_CHECK(try_get(number, 0, &writer) == AEGIS_OK);
    return writer;
}

/* Releases a writer. Another thread may have taken it. */
static inline void put(aegis_buffer_mut *writer) {
    size_t id = id_of(writer->owner);
    for (size_t i = 0; i < BLOCK_BYTES; i++)
        MODEL_CHECK(writer->data[i] == (unsigned char)owners[id]);
    owners[id] = -1;
    MODEL_CHECK(aegis_buffer_mut_release(writer) == AEGIS_OK);
}

static inline void get_and_put(int number) {
    aegis_buffer_mut writer = get(number);
    put(&writer);
}

/* Demands that the pool has released all memory, each piece once, and that no thread has written to
 * it since. */
static inline void check_gone(void) {
    MODEL_CHECK(close_count == 1 && live_bytes == 0);
    for (size_t i = 0; i < used_bytes; i++)
        MODEL_CHECK(!given_back[i] || memory[i] == SPOILT);
}

/* Demands that exactly `count` blocks can be taken, then gives up all handles. */
static inline void drain(size_t count) {
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

/* Four blocks. Thread 0 takes and releases them all, so its stripe caches as many as it can. */
static inline void begin_parked(void) {
    make(4, 0);
    for (int i = 0; i < 4; i++)
        writers[i] = get(0);
    for (int i = 0; i < 4; i++)
        put(&writers[i]);
}

/* The end: threads give up handles, release buffers and cache blocks at the same time. */
static inline void begin_end(void) {
    make(4, 0);
    for (int i = 0; i < 3; i++)
        writers[i] = get(i);
}

static inline void thread_end(int number) {
    if (number == 1) {
        put(&writers[number]);
        get_and_put(number);
        aegis_buffer_pool_release(&pools[number]);
    } else {
        aegis_buffer_pool_release(&pools[number]);
        put(&writers[number]);
    }
}

#endif
