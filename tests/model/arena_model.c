/* SPDX-License-Identifier: Apache-2.0 */
/* The lock-free arena and its local handles under the systematic scheduler. The scenarios are the
 * way to the next block, giving memory back, blocks that hold one request each, the unused ends of
 * shards, and a source that refuses. No byte has two owners, memory that must be zero is zero, and
 * no block is lost. */
#include "yield.h"
#include "scheduler.h"

#include "aegis_memory.h"

#include <string.h>

#define MAX_PIECES 32
#define MEMORY_BYTES 65536

static aegis_lock_free_arena arena;

typedef struct piece {
    unsigned char *p;
    size_t size_bytes;
    unsigned char mark;
} piece;

/* These fields are plain, because a thread writes them only between two atomic operations of the
 * arena, where no other thread runs. */
static piece pieces[MAX_PIECES];
static size_t piece_count;
static size_t failed_count;
/* For each thread: whether it is in a call, and whether the source refused that call while no other
 * thread was in one. */
static bool inside[MODEL_MAX_THREADS];
static bool refused_alone[MODEL_MAX_THREADS];

/* A source that starts anew in each run. It refuses more than `largest_bytes`, so that a block has
 * the size of one request. After `left_count` more pieces of memory it refuses everything. */
static _Alignas(64) unsigned char memory[MEMORY_BYTES];
static size_t used_bytes;
static size_t largest_bytes;
static size_t left_count;
static bool zeroing;

static void *acquire(void *context, size_t size_bytes, size_t align_bytes, bool *zeroed) {
    (void)context;
    (void)align_bytes;
    int inside_count = 0, last = 0;
    for (int i = 0; i < MODEL_MAX_THREADS; i++) {
        inside_count += inside[i];
        last = inside[i] ? i : last;
    }
    if (left_count == 0 && inside_count == 1)
        refused_alone[last] = true;
    if (left_count == 0 || size_bytes > largest_bytes || size_bytes > MEMORY_BYTES - used_bytes)
        return NULL;
    left_count--;
    unsigned char *p = memory + used_bytes;
    used_bytes += size_bytes;
    memset(p, zeroing ? 0 : 0xA5, size_bytes);
    *zeroed = zeroing;
    return p;
}

static void make(size_t capacity_bytes, size_t largest, size_t count, bool zeroes) {
    aegis_source source = {acquire, NULL, NULL, NULL};
    aegis_lock_free_arena_options options = {capacity_bytes, 1024, &source, NULL, NULL, 0};
    used_bytes = piece_count = 0;
    largest_bytes = largest;
    left_count = count;
    zeroing = zeroes;
    MODEL_CHECK(aegis_lock_free_arena_init(&arena, &options, NULL) == AEGIS_OK);
}

/* Demands that no thread owns these bytes, and makes a thread their owner. */
static unsigned char *own(int number, void *allocated, size_t size_bytes) {
    unsigned char *p = (unsigned char *)allocated;
    MODEL_CHECK(p >= memory && p + size_bytes <= memory + used_bytes);
    MODEL_CHECK(piece_count < MAX_PIECES);
    for (size_t i = 0; i < piece_count; i++)
        MODEL_CHECK(p + size_bytes <= pieces[i].p || pieces[i].p + pieces[i].size_bytes <= p);
    piece taken = {p, size_bytes, (unsigned char)(number + 1)};
    pieces[piece_count++] = taken;
    memset(p, taken.mark, size_bytes);
    return p;
}

static void disown(const unsigned char *p) {
    size_t i = 0;
    while (pieces[i].p != p)
        i++;
    pieces[i] = pieces[--piece_count];
}

static void check_zero(const void *allocated, size_t size_bytes) {
    const unsigned char *p = (const unsigned char *)allocated;
    for (size_t i = 0; i < size_bytes; i++)
        MODEL_CHECK(p[i] == 0);
}

static void *take(int number, size_t size_bytes) {
    void *p = aegis_lock_free_arena_alloc(&arena, size_bytes, NULL);
    return own(number, p, size_bytes);
}

static void *take_zeroed(int number, size_t size_bytes) {
    void *p = aegis_lock_free_arena_alloc_zeroed(&arena, size_bytes, NULL);
    MODEL_CHECK(p != NULL);
    check_zero(p, size_bytes);
    return own(number, p, size_bytes);
}

/* Demands that all bytes are as their owners have written them. */
static void check_content(void) {
    for (size_t i = 0; i < piece_count; i++)
        for (size_t n = 0; n < pieces[i].size_bytes; n++)
            MODEL_CHECK(pieces[i].p[n] == pieces[i].mark);
}

/* Demands that after a reset every acquired block can be used again: each gives `size_bytes`, and
 * the arena acquires no other block. */
static void check_no_block_is_lost(size_t size_bytes) {
    aegis_arena_stats stats;
    aegis_lock_free_arena_get_stats(&arena, &stats);
    aegis_lock_free_arena_reset(&arena);
    piece_count = 0;
    left_count = 0;
    for (size_t i = 0; i < stats.block_count; i++)
        (void)take_zeroed(0, size_bytes);
    MODEL_CHECK(aegis_lock_free_arena_alloc(&arena, size_bytes, NULL) == NULL);
}

static void end(void) {
    check_content();
    aegis_lock_free_arena_fini(&arena);
}

/* The switch to the next block: each block has room for one allocation. */
static void begin_switch(void) {
    make(16, 100, SIZE_MAX, false);
}

static void thread_switch(int number) {
    (void)take_zeroed(number, 16);
    (void)take(number, 16);
}

static void end_switch(void) {
    aegis_arena_stats stats;
    aegis_lock_free_arena_get_stats(&arena, &stats);
    MODEL_CHECK(stats.used_bytes == 6 * 16);
    check_content();
    check_no_block_is_lost(16);
    end();
}

/* Unequal sizes: an addition may go beyond the end of a block, and a thread passes over blocks that
 * are too small for its allocation. */
static void begin_unequal(void) {
    make(32, 160, SIZE_MAX, true);
}

static void thread_unequal(int number) {
    (void)take(number, number == 0 ? 24 : 8);
    (void)take_zeroed(number, number == 2 ? 40 : 16);
}

static void end_unequal(void) {
    aegis_arena_stats stats;
    aegis_lock_free_arena_get_stats(&arena, &stats);
    MODEL_CHECK(stats.used_bytes == 24 + 8 + 8 + 16 + 16 + 40);
    end();
}

/* Freeing, shrinking and growing at the end of a block, while another thread allocates zeroed
 * memory. */
static void begin_back(void) {
    make(64, 160, SIZE_MAX, true);
}

static void thread_back(int number) {
    if (number == 0) {
        unsigned char *p = (unsigned char *)take(number, 24);
        disown(p);
        aegis_lock_free_arena_free_last(&arena, p, 24);
        (void)take_zeroed(number, 8);
    } else if (number == 1) {
        (void)take_zeroed(number, 16);
    } else {
        unsigned char *p = (unsigned char *)take(number, 24);
        disown(p);
        p = (unsigned char *)aegis_lock_free_arena_realloc_aligned(&arena, p, 24, 8, 8, NULL);
        (void)own(number, p, 8);
        disown(p);
        p = (unsigned char *)aegis_lock_free_arena_realloc_aligned(&arena, p, 8, 16, 8, NULL);
        (void)own(number, p, 16);
    }
}

/* Blocks that hold one request each: two are idle after a reset, and the threads need three. */
static void begin_large(void) {
    make(16, 4096, SIZE_MAX, false);
    for (size_t i = 0; i < 2; i++)
        (void)aegis_lock_free_arena_alloc(&arena, 600, NULL);
    aegis_lock_free_arena_reset(&arena);
}

static void thread_large(int number) {
    (void)take_zeroed(number, 600);
}

static void end_large(void) {
    aegis_arena_stats stats;
    aegis_lock_free_arena_get_stats(&arena, &stats);
    MODEL_CHECK(stats.block_count == 4);
    /* After a reset the three blocks can be used again, and there is no fourth. */
    aegis_lock_free_arena_reset(&arena);
    piece_count = left_count = 0;
    for (int i = 0; i < 3; i++)
        (void)take_zeroed(0, 600);
    MODEL_CHECK(aegis_lock_free_arena_alloc(&arena, 600, NULL) == NULL);
    end();
}

/* A source that refuses after it has given enough for all threads, in blocks with room for two
 * allocations. A request is refused only if another thread was in a call when the source refused,
 * because that thread may have had a block in hand. Afterwards there is memory for each request
 * that was refused in this way, and not for one request more. */
static void begin_dry(void) {
    failed_count = 0;
    memset(inside, 0, sizeof inside);
    make(16, 100, 3, false);
}

static void thread_dry(int number) {
    for (int i = 0; i < 2; i++) {
        inside[number] = true;
        refused_alone[number] = false;
        void *p = aegis_lock_free_arena_alloc(&arena, 8, NULL);
        inside[number] = false;
        if (p != NULL) {
            (void)own(number, p, 8);
            continue;
        }
        MODEL_CHECK(left_count == 0 && !refused_alone[number]);
        failed_count++;
    }
}

static void end_dry(void) {
    aegis_error error;
    for (size_t i = 0; i < failed_count; i++)
        (void)take(0, 8);
    MODEL_CHECK(piece_count == 6);
    MODEL_CHECK(aegis_lock_free_arena_alloc(&arena, 8, &error) == NULL);
    MODEL_CHECK(error.status == AEGIS_E_OUT_OF_MEMORY);
    end();
}

/* Local handles: they take shards from a block, and from the ends of shards that others left. */
static void begin_handles(void) {
    make(8192, 16384, SIZE_MAX, true);
    aegis_arena_local first;
    MODEL_CHECK(aegis_arena_local_init(&first, &arena, AEGIS_ARENA_NO_DEBUG) == AEGIS_OK);
    /* The handle has a shard for one request, and another allocation lies behind the shard. So when
     * the handle gives most of the shard up, the arena remembers the shard's unused end. */
    void *p = aegis_arena_alloc(&first.arena, 1500);
    (void)aegis_lock_free_arena_alloc(&arena, 8, NULL);
    aegis_arena_free_last(&first.arena, p, 1500);
    aegis_arena_local_fini(&first);
}

static void thread_handles(int number) {
    aegis_arena_local local;
    MODEL_CHECK(aegis_arena_local_init(&local, &arena, AEGIS_ARENA_NO_DEBUG) == AEGIS_OK);
    void *p = aegis_arena_alloc_zeroed(&local.arena, 40);
    MODEL_CHECK(p != NULL);
    check_zero(p, 40);
    (void)own(number, p, 40);
    aegis_arena_local_fini(&local);
    if (number == 2)
        (void)take_zeroed(number, 200);
}

int main(void) {
    static const model_scenario scenarios[] = {
        {"switch", begin_switch, thread_switch, end_switch, 3, 3},
        {"unequal", begin_unequal, thread_unequal, end_unequal, 3, 3},
        {"give back", begin_back, thread_back, end, 3, 3},
        {"large", begin_large, thread_large, end_large, 3, 3},
        {"dry source", begin_dry, thread_dry, end_dry, 3, 3},
        {"handles", begin_handles, thread_handles, end, 3, 3},
    };
    return model_explore_all(scenarios, sizeof scenarios / sizeof *scenarios);
}
