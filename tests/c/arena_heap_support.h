/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of heaps share. */
#ifndef ARENA_HEAP_SUPPORT_H
#define ARENA_HEAP_SUPPORT_H

#include "support.h"

/* The defaults with a source. The heaps of these tests have what a debug build adds. */
static inline aegis_arena_options heap_options(const aegis_source *source) {
    return test_options(0, 0, source, NULL, 0);
}

static inline aegis_arena_heap new_heap(test_source *state, size_t capacity_bytes) {
    aegis_source source = test_source_get(state, capacity_bytes % 2 == 0);
    aegis_arena_options options = heap_options(&source);
    options.capacity_bytes = capacity_bytes;
    options.name = "test";
    aegis_arena_heap heap;
    CHECK(aegis_arena_heap_init(&heap, &options) == AEGIS_OK);
    return heap;
}

static inline aegis_arena_heap_stats heap_stats(const aegis_arena_heap *heap) {
    aegis_arena_heap_stats stats;
    aegis_arena_heap_get_stats(heap, &stats);
    return stats;
}

/* Whether the build adds something to each allocation. */
static inline bool is_checked(void) {
    return aegis_build_flags() != 0;
}

static inline void finish_heap(aegis_arena_heap *heap, const test_source *state) {
    aegis_arena_heap_fini(heap);
    test_source_check_done(state);
    CHECK_SIZE(state->close_count, 1);
}

#endif
