/* SPDX-License-Identifier: Apache-2.0 */
/* What several C tests need in addition to base_support.h: a block source that counts, fails on
 * demand and checks what is given back; and checks of an arena as a whole. */
#ifndef SUPPORT_H
#define SUPPORT_H

#include "base_support.h"

/* These tests count bytes, so their arenas leave out what a debug build adds to each allocation.
 * tests/c/arena_guard_test.c tests that part. */
static inline aegis_status plain_arena_init(aegis_arena *arena,
                                            const aegis_arena_options *options) {
    aegis_arena_options plain = {0, 0, NULL, NULL, 0, NULL, NULL, 0, 0};
    if (options != NULL)
        plain = *options;
    plain.flags |= AEGIS_ARENA_NO_DEBUG;
    return aegis_arena_init(arena, &plain);
}
/* Initialises an arena with the defaults of this build, which the wrapper above hides. */
static inline aegis_status default_arena_init(aegis_arena *arena) {
    return aegis_arena_init(arena, NULL);
}
#define aegis_arena_init plain_arena_init

#define TEST_SOURCE_BLOCKS 4096
/* Fresh blocks are filled with this byte unless the source promises zeroes. */
#define TEST_SOURCE_FILL 0xA5

typedef struct test_block {
    void *raw;
    unsigned char *memory;
    size_t size_bytes;
    size_t align_bytes;
} test_block;

/* A source for tests. It is ready for use when all its fields except `zeroing` are zero. */
typedef struct test_source {
    bool zeroing;
    /* The n-th acquire fails, counted from 1. 0: none fails. */
    size_t fail_at;
    /* Every acquire from `fail_at` on fails. */
    bool fail_on;
    size_t asked_count;
    size_t acquired_count;
    size_t live_count;
    size_t live_bytes;
    size_t wrong_release_count;
    size_t close_count;
    size_t last_size_bytes;
    test_block blocks[TEST_SOURCE_BLOCKS];
} test_source;

static inline void *test_source_acquire(void *context, size_t size_bytes, size_t align_bytes,
                                        bool *zeroed) {
    test_source *source = (test_source *)context;
    source->asked_count++;
    source->last_size_bytes = size_bytes;
    bool failing =
        source->fail_at != 0 && (source->fail_on ? source->asked_count >= source->fail_at
                                                 : source->asked_count == source->fail_at);
    if (failing || source->live_count == TEST_SOURCE_BLOCKS || size_bytes > (size_t)1 << 30)
        return NULL;
    void *raw = malloc(size_bytes + align_bytes);
    if (raw == NULL)
        return NULL;
    unsigned char *memory = (unsigned char *)raw;
    memory += (size_t)(0 - (uintptr_t)raw) & (align_bytes - 1);
    memset(memory, source->zeroing ? 0 : TEST_SOURCE_FILL, size_bytes);
    *zeroed = source->zeroing;
    test_block block = {raw, memory, size_bytes, align_bytes};
    source->blocks[source->live_count++] = block;
    source->live_bytes += size_bytes;
    source->acquired_count++;
    return memory;
}

static inline void test_source_release(void *context, void *memory, size_t size_bytes,
                                       size_t align_bytes) {
    test_source *source = (test_source *)context;
    for (size_t i = 0; i < source->live_count; i++) {
        test_block *block = &source->blocks[i];
        if (block->memory != memory)
            continue;
        if (block->size_bytes != size_bytes || block->align_bytes != align_bytes)
            source->wrong_release_count++;
        /* A later read of this memory finds a value that is visibly wrong. */
        memset(memory, 0xDD, size_bytes);
        free(block->raw);
        source->live_bytes -= block->size_bytes;
        *block = source->blocks[--source->live_count];
        return;
    }
    source->wrong_release_count++;
}

static inline void test_source_close(void *context) {
    ((test_source *)context)->close_count++;
}

static inline aegis_source test_source_get(test_source *state, bool zeroing) {
    memset(state, 0, sizeof *state);
    state->zeroing = zeroing;
    aegis_source source = {test_source_acquire, test_source_release, test_source_close, state};
    return source;
}

/* Demands that everything was given back, with the right sizes and exactly once. */
static inline void test_source_check_done(const test_source *source) {
    CHECK_SIZE(source->live_count, 0);
    CHECK_SIZE(source->live_bytes, 0);
    CHECK_SIZE(source->wrong_release_count, 0);
}

/* The options that most tests set; a field that is added later stays zero. */
static inline aegis_arena_options test_options(size_t capacity_bytes, size_t max_block_bytes,
                                               const aegis_source *source, void *memory,
                                               size_t memory_bytes) {
    aegis_arena_options options;
    memset(&options, 0, sizeof options);
    options.capacity_bytes = capacity_bytes;
    options.max_block_bytes = max_block_bytes;
    options.source = source;
    options.memory = memory;
    options.memory_bytes = memory_bytes;
    return options;
}

/* All large blocks that the C heap can give, untouched. Without this, with 32-bit addresses, a test
 * could get half of all memory. */
typedef struct test_hoard {
    void *blocks[32];
    size_t count;
} test_hoard;

/* Takes them. Until they are given back, no block of PTRDIFF_MAX / 8 bytes can be had. */
static inline test_hoard test_hoard_take(void) {
    test_hoard hoard = {{NULL}, 0};
    while (hoard.count < 32 &&
           (hoard.blocks[hoard.count] = malloc((size_t)PTRDIFF_MAX / 8)) != NULL)
        hoard.count++;
    CHECK(hoard.count < 32);
    return hoard;
}

static inline void test_hoard_give_back(test_hoard *hoard) {
    while (hoard->count != 0)
        free(hoard->blocks[--hoard->count]);
}

static inline aegis_arena_stats stats_of(const aegis_arena *arena) {
    aegis_arena_stats stats;
    aegis_arena_get_stats(arena, &stats);
    return stats;
}

static inline aegis_error error_of(const aegis_arena *arena) {
    aegis_error error;
    aegis_arena_last_error(arena, &error);
    return error;
}

/* Whether a memory checker is compiled into the core. The checker keeps a gap behind each
 * allocation. */
static inline bool is_watched(const aegis_arena *arena) {
    return stats_of(arena).remaining_bytes != 0 && arena->limit == arena->ptr;
}

/* Whether two states of an arena are equal apart from the error record. */
static inline bool is_same_state(const aegis_arena *a, const aegis_arena *b) {
    return memcmp(a, b, offsetof(aegis_arena, failed_bytes)) == 0;
}

/* Demands that the walk over the blocks agrees with the statistics. */
static inline void check_figures(const aegis_arena *arena) {
    aegis_arena_stats stats = stats_of(arena);
    aegis_arena_block_info info;
    size_t block_count = 0, current_count = 0, capacity_bytes = 0, used_bytes = 0, wasted_bytes = 0;
    bool idle_seen = false;
    const aegis_arena_block *block = NULL;
    while ((block = aegis_arena_next_block(arena, block, &info)) != NULL) {
        block_count++;
        capacity_bytes += info.capacity_bytes;
        used_bytes += info.used_bytes;
        CHECK(info.used_bytes <= info.capacity_bytes);
        CHECK(!idle_seen || info.state == AEGIS_ARENA_BLOCK_IDLE);
        idle_seen = info.state == AEGIS_ARENA_BLOCK_IDLE;
        if (info.state == AEGIS_ARENA_BLOCK_CURRENT) {
            current_count++;
            CHECK_SIZE(info.capacity_bytes - info.used_bytes, stats.remaining_bytes);
        } else if (info.state == AEGIS_ARENA_BLOCK_CLOSED) {
            wasted_bytes += info.capacity_bytes - info.used_bytes;
        } else {
            CHECK_SIZE(info.used_bytes, 0);
        }
    }
    CHECK_SIZE(block_count, stats.block_count);
    CHECK_SIZE(current_count, block_count != 0 ? 1 : 0);
    CHECK_SIZE(capacity_bytes, stats.capacity_bytes);
    /* The statistics leave out the guards that the flags ask for. */
    CHECK_SIZE(used_bytes, stats.used_bytes + arena->guards_bytes);
    CHECK_SIZE(wasted_bytes, stats.wasted_bytes);
    CHECK(stats.peak_used_bytes >= stats.used_bytes);
    CHECK(stats.acquired_count >= stats.released_count);
}

#endif
