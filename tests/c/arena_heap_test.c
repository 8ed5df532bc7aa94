/* SPDX-License-Identifier: Apache-2.0 */
/* Tests the heap in an arena: every call from one thread. arena_heap_limits_test.c tests what a
 * heap does when it gets no more memory, and arena_heap_model_test.c makes random calls. */
#include "arena_heap_support.h"
#include "budget_support.h"
#include "report_support.h"

static void sizes_and_alignments_are_as_asked(void) {
    test_source state;
    aegis_arena_heap heap = new_heap(&state, 0);
    static const size_t sizes[] = {0, 1, 8, 24, 25, 40, 1000, 1001, 4096, 100000, 131072, 1000000};
    void *kept[sizeof sizes / sizeof sizes[0]];
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        kept[i] = aegis_arena_heap_alloc(&heap, sizes[i]);
        CHECK(kept[i] != NULL && is_aligned(kept[i], AEGIS_ARENA_HEAP_ALIGN));
        CHECK(aegis_arena_heap_usable_size(&heap, kept[i]) >= sizes[i]);
        memset(kept[i], (int)i + 1, sizes[i]);
        for (size_t align = 1; align <= 65536; align *= 2) {
            void *p = aegis_arena_heap_alloc_aligned(&heap, sizes[i], align, align % 3 == 1);
            CHECK(p != NULL && is_aligned(p, align));
            CHECK(align % 3 != 1 || is_filled(p, 0, sizes[i]));
            memset(p, 0x55, sizes[i]);
            if (align % 5 != 1)
                aegis_arena_heap_free_sized(&heap, p, sizes[i]);
        }
    }
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        CHECK(is_filled(kept[i], (unsigned char)(i + 1), sizes[i]));
        aegis_arena_heap_free(&heap, kept[i]);
    }
    CHECK_SIZE(aegis_arena_heap_usable_size(&heap, NULL), 0);
    aegis_arena_heap_free(&heap, NULL);
    aegis_arena_heap_free_sized(&heap, NULL, 8);
    finish_heap(&heap, &state);
}

static void freed_memory_is_used_again(void) {
    test_source state;
    aegis_arena_heap heap = new_heap(&state, 0);
    for (size_t size = 0; size < 200000; size = size * 2 + 8) {
        void *first = aegis_arena_heap_alloc(&heap, size);
        aegis_arena_heap_free(&heap, first);
        size_t reserved_bytes = heap_stats(&heap).reserved_bytes;
        for (int i = 0; i < 100; i++)
            aegis_arena_heap_free(&heap, aegis_arena_heap_alloc(&heap, size));
        CHECK_SIZE(heap_stats(&heap).reserved_bytes, reserved_bytes);
    }
    CHECK_SIZE(heap_stats(&heap).used_bytes, 0);
    finish_heap(&heap, &state);
}

static void neighbours_that_are_free_serve_a_larger_request(void) {
    test_source state;
    aegis_arena_heap heap = new_heap(&state, 0);
    void *p[64];
    for (size_t i = 0; i < 64; i++)
        p[i] = aegis_arena_heap_alloc(&heap, 1000);
    size_t acquired = state.acquired_count;
    for (size_t i = 0; i < 64; i += 2)
        aegis_arena_heap_free(&heap, p[i]);
    for (size_t i = 1; i < 64; i += 2)
        aegis_arena_heap_free(&heap, p[i]);
    aegis_arena_heap_stats stats = heap_stats(&heap);
    CHECK_SIZE(stats.used_bytes, 0);
    /* What was small is one chunk in each block. */
    CHECK(aegis_arena_heap_alloc(&heap, stats.capacity_bytes / 12) != NULL);
    CHECK_SIZE(state.acquired_count, acquired);
    finish_heap(&heap, &state);
}

static void realloc_keeps_the_bytes(void) {
    test_source state;
    aegis_arena_heap heap = new_heap(&state, 0);
    unsigned char *p = (unsigned char *)aegis_arena_heap_realloc(&heap, NULL, 0);
    size_t size = 0;
    CHECK(p != NULL);
    for (int i = 0; i < 25; i++) {
        size_t larger = size * 2 + 1;
        p = (unsigned char *)aegis_arena_heap_realloc(&heap, p, larger);
        CHECK(p != NULL && is_filled(p, 7, size));
        memset(p, 7, larger);
        void *other = aegis_arena_heap_alloc(&heap, 8);
        CHECK(other != NULL);
        size = larger;
    }
    while (size != 0) {
        size /= 2;
        p = (unsigned char *)aegis_arena_heap_realloc(&heap, p, size);
        CHECK(p != NULL && is_filled(p, 7, size));
    }
    unsigned char *q = (unsigned char *)aegis_arena_heap_realloc_aligned(&heap, NULL, 0, 10, 256);
    memset(q, 9, 10);
    q = (unsigned char *)aegis_arena_heap_realloc_aligned(&heap, q, 10, 5000, 256);
    CHECK(q != NULL && is_aligned(q, 256) && is_filled(q, 9, 10));
    finish_heap(&heap, &state);
}

static void resizes_in_place_where_there_is_room(void) {
    test_source state;
    aegis_arena_heap heap = new_heap(&state, 65536);
    void *p = aegis_arena_heap_alloc(&heap, 100);
    CHECK(aegis_arena_heap_resize_in_place(&heap, p, 10000));
    CHECK(aegis_arena_heap_resize_in_place(&heap, p, 50));
    void *q = aegis_arena_heap_alloc(&heap, 2000);
    CHECK(!aegis_arena_heap_resize_in_place(&heap, p, 1000));
    aegis_arena_heap_free(&heap, q);
    CHECK(aegis_arena_heap_resize_in_place(&heap, p, 1000));
    CHECK(!aegis_arena_heap_resize_in_place(&heap, p, 100000000));
    CHECK(!aegis_arena_heap_resize_in_place(&heap, p, SIZE_MAX));
    CHECK(!aegis_arena_heap_resize_in_place(&heap, NULL, 8));
    void *large = aegis_arena_heap_alloc(&heap, 1000000);
    CHECK(aegis_arena_heap_resize_in_place(&heap, large, 900000));
    CHECK(!aegis_arena_heap_resize_in_place(&heap, large, 100));
    finish_heap(&heap, &state);
}

static void large_requests_go_back_when_they_are_freed(void) {
    test_source state;
    aegis_arena_heap heap = new_heap(&state, 1024);
    void *p[5];
    for (size_t i = 0; i < 5; i++)
        p[i] = aegis_arena_heap_alloc(&heap, 200000 + i);
    CHECK_SIZE(state.live_count, 6);
    CHECK(heap_stats(&heap).large_bytes > 1000000);
    static const size_t order[] = {2, 0, 4, 1, 3};
    for (size_t i = 0; i < 5; i++) {
        aegis_arena_heap_free(&heap, p[order[i]]);
        CHECK_SIZE(state.live_count, 5 - i);
    }
    CHECK_SIZE(heap_stats(&heap).large_bytes, 0);
    CHECK_SIZE(heap_stats(&heap).used_bytes, 0);
    finish_heap(&heap, &state);
}

/* A request is large by its alignment too, and its chunk is small then. */
static void small_requests_of_a_large_alignment_go_back_too(void) {
    test_source state;
    aegis_arena_heap heap = new_heap(&state, 0);
    for (size_t size = 0; size < 2000; size += 100) {
        void *p = aegis_arena_heap_alloc_aligned(&heap, size, 1 << 18, false);
        CHECK(p != NULL && is_aligned(p, 1 << 18));
        CHECK(heap_stats(&heap).large_bytes > size);
        p = aegis_arena_heap_realloc_aligned(&heap, p, size, size + 8000, 1 << 18);
        CHECK(p != NULL && is_aligned(p, 1 << 18));
        aegis_arena_heap_free(&heap, p);
        aegis_arena_heap_free(&heap, aegis_arena_heap_alloc_aligned(&heap, size, 1 << 18, false));
        CHECK_SIZE(heap_stats(&heap).used_bytes, 0);
        CHECK_SIZE(state.live_count, 0);
    }
    finish_heap(&heap, &state);
}

/* Over the C heap, which can move pages. */
static void large_allocations_grow_under_a_budget(void) {
    aegis_budget *budget = aegis_budget_new("heap", 5000000, NULL);
    aegis_arena_options options = heap_options(NULL);
    options.budget = budget;
    aegis_arena_heap heap;
    CHECK(aegis_arena_heap_init(&heap, &options) == AEGIS_OK);
    unsigned char *p[3] = {NULL, NULL, NULL};
    for (size_t size = 150000; size < 1200000; size += 70001) {
        for (size_t i = 0; i < 3; i++) {
            p[i] = (unsigned char *)aegis_arena_heap_realloc(&heap, p[i], size);
            CHECK(p[i] != NULL && is_aligned(p[i], 16));
            CHECK(size == 150000 || is_filled(p[i], (unsigned char)(i + 1), size - 70001));
            CHECK(aegis_arena_heap_usable_size(&heap, p[i]) >= size);
            memset(p[i], (int)i + 1, size);
            CHECK_SIZE(used(budget), heap_stats(&heap).reserved_bytes);
        }
    }
    CHECK_SIZE(heap_stats(&heap).block_count, 3);
    CHECK(aegis_arena_heap_realloc(&heap, p[1], 4000000) == NULL);
    CHECK(is_filled(p[1], 2, 1000000));
    CHECK_SIZE(used(budget), heap_stats(&heap).reserved_bytes);
    for (size_t i = 0; i < 3; i++)
        aegis_arena_heap_free(&heap, p[i]);
    CHECK_SIZE(used(budget), 0);
    CHECK_SIZE(heap_stats(&heap).used_bytes, 0);
    aegis_arena_heap_fini(&heap);
    aegis_budget_destroy(budget);
}

static void fill_some(aegis_arena_heap *heap) {
    for (size_t i = 0; i < 300; i++)
        CHECK(aegis_arena_heap_alloc(heap, i * i % 5000) != NULL);
    for (size_t i = 0; i < 4; i++)
        CHECK(aegis_arena_heap_alloc(heap, 300000) != NULL);
}

static void reset_keeps_blocks_and_the_same_work_acquires_nothing(void) {
    test_source state;
    aegis_arena_heap heap = new_heap(&state, 0);
    fill_some(&heap);
    size_t asked = state.asked_count;
    for (int round = 0; round < 3; round++) {
        aegis_arena_heap_reset(&heap);
        CHECK_SIZE(heap_stats(&heap).used_bytes, 0);
        fill_some(&heap);
        CHECK_SIZE(state.asked_count, asked);
    }
    aegis_arena_heap_reset(&heap);
    aegis_arena_heap_reset(&heap);
    /* A block that is left of a large request, and does not fit, is released. */
    size_t live = state.live_count;
    CHECK(aegis_arena_heap_alloc(&heap, 500000) != NULL);
    CHECK_SIZE(state.live_count, live - 3);
    CHECK_SIZE(heap_stats(&heap).reset_count, 5);
    aegis_arena_heap_clear(&heap);
    CHECK_SIZE(state.live_count, 0);
    fill_some(&heap);
    finish_heap(&heap, &state);
}

static void trim_releases_blocks_of_which_nothing_is_out(void) {
    test_source state;
    aegis_arena_heap heap = new_heap(&state, 0);
    void *p[400];
    for (size_t i = 0; i < 400; i++)
        p[i] = aegis_arena_heap_alloc(&heap, 900);
    aegis_arena_heap_trim(&heap, 0);
    CHECK(heap_stats(&heap).reserved_bytes >= 400 * 900);
    for (size_t i = 1; i < 400; i++)
        aegis_arena_heap_free(&heap, p[i]);
    size_t reserved_bytes = heap_stats(&heap).reserved_bytes;
    aegis_arena_heap_trim(&heap, reserved_bytes);
    CHECK_SIZE(heap_stats(&heap).reserved_bytes, reserved_bytes);
    aegis_arena_heap_trim(&heap, 0);
    CHECK(heap_stats(&heap).reserved_bytes < 20000);
    CHECK_SIZE(heap_stats(&heap).quick_bytes, 0);
    CHECK(aegis_arena_heap_alloc(&heap, 100000) != NULL);
    aegis_arena_heap_free(&heap, p[0]);
    finish_heap(&heap, &state);
}

static void quick_lists_have_little_when_nothing_is_out(void) {
    test_source state;
    aegis_arena_heap heap = new_heap(&state, 0);
    static void *p[4000];
    for (size_t count = 3000; count <= 4000; count += 50) {
        for (size_t i = 0; i < count; i++)
            p[i] = aegis_arena_heap_alloc(&heap, 100);
        for (size_t i = 0; i < count; i++)
            aegis_arena_heap_free(&heap, p[i]);
        CHECK(heap_stats(&heap).quick_bytes <= 16384);
    }
    finish_heap(&heap, &state);
}

static void heap_in_an_arena_takes_its_blocks_from_there(void) {
    test_source state;
    aegis_source source = test_source_get(&state, false);
    aegis_arena_options options = test_options(0, 0, &source, NULL, 0);
    aegis_arena arena;
    CHECK(aegis_arena_init(&arena, &options) == AEGIS_OK);
    aegis_arena_heap heap;
    aegis_arena_heap_init_in(&heap, &arena);
    void *p = aegis_arena_heap_alloc(&heap, 10);
    void *q = aegis_arena_heap_alloc(&heap, 500000);
    CHECK(p != NULL && q != NULL);
    aegis_arena_heap_free(&heap, q);
    CHECK(aegis_arena_heap_alloc(&heap, 400000) != NULL);
    CHECK(aegis_arena_heap_move_budget(&heap, NULL, NULL) == AEGIS_E_INVALID);
    state.fail_at = 1;
    state.fail_on = true;
    CHECK(aegis_arena_heap_alloc(&heap, 5000000) == NULL);
    aegis_error error;
    aegis_arena_heap_last_error(&heap, &error);
    CHECK(error.status == AEGIS_E_OUT_OF_MEMORY && error.requested_bytes == 5000000);
    aegis_arena_heap_fini(&heap);
    /* The arena is not asked for what no heap can have, so it knows nothing of it. */
    aegis_arena_reset(&arena);
    aegis_arena other;
    CHECK(aegis_arena_init(&other, NULL) == AEGIS_OK);
    aegis_arena_heap_init_in(&heap, &other);
    CHECK(aegis_arena_heap_alloc(&heap, PTRDIFF_MAX - 100) == NULL);
    aegis_arena_heap_last_error(&heap, &error);
    CHECK(error.status == AEGIS_E_OUT_OF_MEMORY && error.requested_bytes == PTRDIFF_MAX - 100);
    aegis_arena_heap_fini(&heap);
    aegis_arena_fini(&other);
    CHECK_SIZE(state.close_count, 0);
    aegis_arena_fini(&arena);
    test_source_check_done(&state);
}

/* What is freed in a heap is freed for the user, though not for the arena. */
static void heap_in_an_arena_wipes_as_that_does(void) {
    static unsigned char memory[4000];
    aegis_arena_options options = test_options(0, 0, NULL, memory, sizeof memory);
    options.flags = AEGIS_ARENA_WIPE;
    aegis_arena arena;
    CHECK(aegis_arena_init(&arena, &options) == AEGIS_OK);
    aegis_arena_heap heap;
    aegis_arena_heap_init_in(&heap, &arena);
    unsigned char *p = (unsigned char *)aegis_arena_heap_alloc(&heap, 200);
    size_t offset = (size_t)(p - memory);
    memset(p, 0x77, 200);
    CHECK(aegis_arena_heap_alloc(&heap, 10) != NULL);
    aegis_arena_heap_free(&heap, p);
    CHECK(TEST_CHECKED || is_filled(memory + offset + 32, 0, 200 - 64));
    aegis_arena_heap_fini(&heap);
    aegis_arena_fini(&arena);
}

int main(void) {
    RUN(sizes_and_alignments_are_as_asked);
    RUN(freed_memory_is_used_again);
    RUN(neighbours_that_are_free_serve_a_larger_request);
    RUN(realloc_keeps_the_bytes);
    RUN(resizes_in_place_where_there_is_room);
    RUN(large_requests_go_back_when_they_are_freed);
    RUN(small_requests_of_a_large_alignment_go_back_too);
    RUN(large_allocations_grow_under_a_budget);
    RUN(reset_keeps_blocks_and_the_same_work_acquires_nothing);
    RUN(trim_releases_blocks_of_which_nothing_is_out);
    RUN(quick_lists_have_little_when_nothing_is_out);
    RUN(heap_in_an_arena_takes_its_blocks_from_there);
    RUN(heap_in_an_arena_wipes_as_that_does);
    return check_finish();
}
