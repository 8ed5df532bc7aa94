/* SPDX-License-Identifier: Apache-2.0 */
/* Tests each call of an arena alone: making, allocating, resizing, copying, errors, the caller's
 * memory. Each call has a normal case, its limits and its failures. A failed call must change
 * nothing except the error record. Blocks are tested in arena_blocks_test.c, marks and scopes in
 * arena_scope_test.c. */
#include "support.h"

static void init_with_null_options_works_and_fini_clears(void) {
    aegis_arena arena;
    aegis_arena zero;
    memset(&zero, 0, sizeof zero);
    memset(&arena, 0xFF, sizeof arena);
    CHECK(aegis_arena_init(&arena, NULL) == AEGIS_OK);
    CHECK_SIZE(stats_of(&arena).block_count, 0);
    CHECK(error_of(&arena).status == AEGIS_OK);
    memset(aegis_arena_alloc(&arena, 100), 1, 100);
    CHECK_SIZE(stats_of(&arena).block_count, 1);
    aegis_arena_fini(&arena);
    CHECK(memcmp(&arena, &zero, sizeof arena) == 0);
    aegis_arena_fini(&arena);
    aegis_arena_fini(NULL);
}

static void init_with_capacity_has_all_of_it_in_one_block(void) {
    static test_source state;
    aegis_source source = test_source_get(&state, true);
    for (size_t capacity = 1; capacity < 100000; capacity = capacity * 3 + 1) {
        aegis_arena arena;
        aegis_arena_options options = test_options(capacity, 0, &source, NULL, 0);
        CHECK(aegis_arena_init(&arena, &options) == AEGIS_OK);
        CHECK(stats_of(&arena).capacity_bytes >= capacity);
        CHECK(stats_of(&arena).remaining_bytes >= capacity);
        CHECK_SIZE(stats_of(&arena).acquired_count, 1);
        if (!is_watched(&arena)) {
            CHECK(aegis_arena_alloc(&arena, capacity) != NULL);
            CHECK_SIZE(stats_of(&arena).acquired_count, 1);
        }
        aegis_arena_fini(&arena);
    }
    test_source_check_done(&state);
}

static void init_with_capacity_above_the_maximum_is_invalid_layout(void) {
    static const size_t capacities[] = {SIZE_MAX, SIZE_MAX - 7, (size_t)PTRDIFF_MAX + 1,
                                        PTRDIFF_MAX};
    for (size_t i = 0; i < 4; i++) {
        aegis_arena arena;
        aegis_arena_options options = test_options(capacities[i], 0, NULL, NULL, 0);
        CHECK(aegis_arena_init(&arena, &options) == AEGIS_E_INVALID_LAYOUT);
        CHECK(error_of(&arena).status == AEGIS_E_INVALID_LAYOUT);
        CHECK_SIZE(error_of(&arena).requested_bytes, capacities[i]);
        aegis_arena_fini(&arena);
    }
    static unsigned char memory[8];
    aegis_arena arena;
    aegis_arena_options options = test_options(0, 0, NULL, memory, SIZE_MAX);
    CHECK(aegis_arena_init(&arena, &options) == AEGIS_E_INVALID_LAYOUT);
}

static void init_that_the_source_refuses_is_out_of_memory(void) {
    aegis_arena arena;
    aegis_arena_options options = test_options(PTRDIFF_MAX - 4096, 0, NULL, NULL, 0);
    test_hoard hoard = test_hoard_take();
    CHECK(aegis_arena_init(&arena, &options) == AEGIS_E_OUT_OF_MEMORY);
    test_hoard_give_back(&hoard);
    CHECK(error_of(&arena).status == AEGIS_E_OUT_OF_MEMORY);
    CHECK_SIZE(error_of(&arena).requested_bytes, PTRDIFF_MAX - 4096);
    aegis_arena_fini(&arena);

    static test_source state;
    aegis_source source = test_source_get(&state, true);
    state.fail_at = 1;
    aegis_arena_options refused = test_options(100, 0, &source, NULL, 0);
    CHECK(aegis_arena_init(&arena, &refused) == AEGIS_E_OUT_OF_MEMORY);
    CHECK_SIZE(state.close_count, 0);
    aegis_arena_fini(&arena);
    CHECK_SIZE(state.close_count, 0);
    test_source_check_done(&state);
}

static void init_with_memory_and_capacity_is_invalid(void) {
    static unsigned char memory[256];
    aegis_arena arena;
    aegis_arena_options options = test_options(100, 0, NULL, memory, sizeof memory);
    CHECK(aegis_arena_init(&arena, &options) == AEGIS_E_INVALID);
    CHECK(error_of(&arena).status == AEGIS_E_INVALID);
    aegis_arena_fini(&arena);
}

static void fini_closes_the_source_once(void) {
    static test_source state;
    aegis_source source = test_source_get(&state, true);
    aegis_arena arena;
    aegis_arena_options options = test_options(100, 0, &source, NULL, 0);
    CHECK(aegis_arena_init(&arena, &options) == AEGIS_OK);
    CHECK_SIZE(state.close_count, 0);
    aegis_arena_fini(&arena);
    aegis_arena_fini(&arena);
    CHECK_SIZE(state.close_count, 1);
    test_source_check_done(&state);
}

static void source_without_release_or_close_is_accepted(void) {
    static unsigned char memory[65536];
    aegis_region region = {memory, sizeof memory, 0};
    aegis_source source = aegis_source_region(&region);
    source.release = NULL;
    aegis_arena arena;
    aegis_arena_options options = test_options(100, 0, &source, NULL, 0);
    CHECK(aegis_arena_init(&arena, &options) == AEGIS_OK);
    CHECK(aegis_arena_alloc(&arena, 1000) != NULL);
    aegis_arena_clear(&arena);
    CHECK_SIZE(stats_of(&arena).block_count, 0);
    aegis_arena_fini(&arena);
}

static void alloc_zero_bytes_returns_aligned_non_null(void) {
    aegis_arena arena;
    CHECK(aegis_arena_init(&arena, NULL) == AEGIS_OK);
    for (int i = 0; i < 3; i++) {
        void *const memory[] = {aegis_arena_alloc(&arena, 0), aegis_arena_alloc_zeroed(&arena, 0),
                                aegis_arena_alloc_aligned(&arena, 0, 4096),
                                aegis_arena_memdup(&arena, NULL, 0),
                                aegis_arena_realloc(&arena, NULL, 0, 0)};
        for (size_t j = 0; j < 5; j++)
            CHECK(memory[j] != NULL && is_aligned(memory[j], AEGIS_ARENA_ALIGN));
        CHECK(is_aligned(memory[2], 4096));
        CHECK(aegis_arena_alloc(&arena, 1) != NULL);
    }
    aegis_arena_fini(&arena);
}

static void alloc_of_every_size_is_aligned_and_apart(void) {
    aegis_arena arena;
    CHECK(aegis_arena_init(&arena, NULL) == AEGIS_OK);
    unsigned char *previous = NULL;
    for (size_t size = 1; size < 3000; size++) {
        unsigned char *p = (unsigned char *)aegis_arena_alloc(&arena, size);
        CHECK(p != NULL && is_aligned(p, AEGIS_ARENA_ALIGN));
        if (p == NULL)
            break;
        memset(p, (int)(size & 0xFF), size);
        CHECK(previous == NULL || is_filled(previous, (unsigned char)(size - 1), size - 1));
        previous = p;
    }
    check_figures(&arena);
    aegis_arena_fini(&arena);
}

/* Calls every allocating function with a size that no arena can serve. */
static void check_refused(aegis_arena *arena, size_t size, aegis_status status) {
    unsigned char *kept = (unsigned char *)aegis_arena_alloc(arena, 16);
    CHECK(kept != NULL);
    aegis_arena before;
    memcpy(&before, arena, sizeof before);
    for (int call = 0; call < 7; call++) {
        void *p = call == 0   ? aegis_arena_alloc(arena, size)
                  : call == 1 ? aegis_arena_alloc_zeroed(arena, size)
                  : call == 2 ? aegis_arena_alloc_aligned(arena, size, 1)
                  : call == 3 ? aegis_arena_alloc_aligned(arena, size, 64)
                  : call == 4 ? aegis_arena_realloc(arena, kept, 16, size)
                  : call == 5 ? aegis_arena_memdup(arena, kept, size)
                              : aegis_arena_alloc_slow(arena, size, 8, true);
        aegis_error error = error_of(arena);
        CHECK(p == NULL);
        CHECK(error.status == status);
        CHECK_SIZE(error.requested_bytes, size);
        CHECK_SIZE(error.align_bytes, call == 2 && status == AEGIS_E_INVALID_LAYOUT ? 1
                                      : call == 3                                   ? 64
                                                                                    : 8);
        CHECK_SIZE(error.in_use_bytes, stats_of(arena).used_bytes);
        CHECK_SIZE(error.limit_bytes, 0);
        CHECK(is_same_state(arena, &before));
    }
}

static void alloc_above_ptrdiff_max_is_invalid_layout(void) {
    aegis_arena arena;
    CHECK(aegis_arena_init(&arena, NULL) == AEGIS_OK);
    for (size_t less = 0; less < 64; less++)
        check_refused(&arena, SIZE_MAX - less, AEGIS_E_INVALID_LAYOUT);
    check_refused(&arena, (size_t)PTRDIFF_MAX + 1, AEGIS_E_INVALID_LAYOUT);
    aegis_arena_fini(&arena);
}

static void alloc_near_ptrdiff_max_is_refused_by_the_source(void) {
    aegis_arena arena;
    CHECK(aegis_arena_init(&arena, NULL) == AEGIS_OK);
    test_hoard hoard = test_hoard_take();
    for (size_t less = 64; less < 160; less += 8)
        check_refused(&arena, PTRDIFF_MAX - less, AEGIS_E_OUT_OF_MEMORY);
    test_hoard_give_back(&hoard);
    CHECK(aegis_arena_alloc(&arena, PTRDIFF_MAX) == NULL);
    aegis_arena_fini(&arena);
}

static void alloc_aligned_at_every_power_of_two_is_aligned(void) {
    aegis_arena arena;
    CHECK(aegis_arena_init(&arena, NULL) == AEGIS_OK);
    static const size_t sizes[] = {0, 1, 7, 8, 9, 100, 5000};
    for (size_t align = 1; align <= (size_t)2 << 20; align *= 2)
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            CHECK(aegis_arena_alloc(&arena, 1) != NULL);
            void *p = aegis_arena_alloc_aligned(&arena, sizes[i], align);
            CHECK(p != NULL && is_aligned(p, align) && is_aligned(p, AEGIS_ARENA_ALIGN));
            if (p != NULL)
                memset(p, 1, sizes[i]);
        }
    check_figures(&arena);
    aegis_arena_fini(&arena);
}

static void alloc_aligned_at_no_power_of_two_is_invalid_layout(void) {
    static const size_t aligns[] = {0, 3, 6, 12, SIZE_MAX, SIZE_MAX - 1, ((size_t)1 << 20) + 8};
    aegis_arena arena;
    CHECK(aegis_arena_init(&arena, NULL) == AEGIS_OK);
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < sizeof aligns / sizeof aligns[0]; i++) {
            CHECK(aegis_arena_alloc_aligned(&arena, 8, aligns[i]) == NULL);
            CHECK(error_of(&arena).status == AEGIS_E_INVALID_LAYOUT);
            CHECK_SIZE(error_of(&arena).align_bytes, aligns[i]);
            CHECK(aegis_arena_alloc_aligned(&arena, 0, aligns[i]) == NULL);
        }
        CHECK(aegis_arena_alloc(&arena, 100) != NULL);
    }
    CHECK(aegis_arena_alloc_aligned(&arena, 8, SIZE_MAX / 2 + 1) == NULL);
    CHECK(aegis_arena_alloc_aligned(&arena, PTRDIFF_MAX, 16) == NULL);
    aegis_arena_fini(&arena);
}

/* Fills the arena's memory with bytes that are not zero and frees it with `free`. Zeroed memory
 * that comes afterwards must be zero. */
static void alloc_zeroed_of_dirty_memory_is_zero(void) {
    static test_source state;
    for (int zeroing = 0; zeroing < 2; zeroing++) {
        aegis_source source = test_source_get(&state, zeroing != 0);
        aegis_arena arena;
        aegis_arena_options options = test_options(4096, 0, &source, NULL, 0);
        CHECK(aegis_arena_init(&arena, &options) == AEGIS_OK);
        for (int round = 0; round < 50; round++) {
            aegis_arena_mark mark = aegis_arena_get_mark(&arena);
            size_t size = 40 + (size_t)round * 7;
            unsigned char *p = (unsigned char *)aegis_arena_alloc(&arena, size);
            memset(p, 0xEE, size);
            if (round % 4 == 0)
                aegis_arena_free_last(&arena, p, size);
            else if (round % 4 == 1)
                CHECK(aegis_arena_realloc(&arena, p, size, 8) == p);
            else if (round % 4 == 2)
                CHECK(aegis_arena_rewind(&arena, &mark) == AEGIS_OK);
            else
                aegis_arena_reset(&arena);
            unsigned char *q = (unsigned char *)aegis_arena_alloc_zeroed(&arena, size * 2);
            CHECK(q != NULL && is_filled(q, 0, size * 2));
            memset(q, 0xEE, size * 2);
            unsigned char *r = (unsigned char *)aegis_arena_alloc_slow(&arena, 9000, 64, true);
            CHECK(r != NULL && is_filled(r, 0, 9000));
            memset(r, 0xEE, 9000);
        }
        aegis_arena_fini(&arena);
        test_source_check_done(&state);
    }
}

static void realloc_of_latest_grows_and_shrinks_in_place(void) {
    aegis_arena arena;
    aegis_arena_options options = test_options(4096, 0, NULL, NULL, 0);
    CHECK(aegis_arena_init(&arena, &options) == AEGIS_OK);
    unsigned char *p = (unsigned char *)aegis_arena_alloc(&arena, 10);
    memset(p, 7, 10);
    CHECK(aegis_arena_realloc(&arena, p, 10, 1000) == p);
    CHECK(is_filled(p, 7, 10));
    memset(p, 7, 1000);
    CHECK(aegis_arena_realloc(&arena, p, 1000, 1000) == p);
    size_t used_bytes = stats_of(&arena).used_bytes;
    CHECK(aegis_arena_realloc(&arena, p, 1000, 3) == p);
    CHECK(is_filled(p, 7, 3));
    CHECK(stats_of(&arena).used_bytes == used_bytes - 1000 + 8);
    CHECK(stats_of(&arena).peak_used_bytes >= used_bytes);
    CHECK(aegis_arena_realloc(&arena, p, 3, 0) == p);
    aegis_arena_fini(&arena);
}

static void realloc_of_latest_without_room_moves_with_content(void) {
    aegis_arena arena;
    aegis_arena_options options = test_options(256, 0, NULL, NULL, 0);
    CHECK(aegis_arena_init(&arena, &options) == AEGIS_OK);
    unsigned char *p = (unsigned char *)aegis_arena_alloc(&arena, 100);
    memset(p, 7, 100);
    unsigned char *q = (unsigned char *)aegis_arena_realloc(&arena, p, 100, 100000);
    CHECK(q != NULL && q != p && is_filled(q, 7, 100));
    memset(q, 8, 100000);
    check_figures(&arena);
    aegis_arena_fini(&arena);
}

/* In a block with guards, the room for the gap behind the allocation ends first. */
static void realloc_of_latest_up_to_the_block_end_never_overruns(void) {
    aegis_arena arena;
    for (size_t less = 0; less < 40; less++) {
        aegis_arena_options options = test_options(256, 0, NULL, NULL, 0);
        CHECK(aegis_arena_init(&arena, &options) == AEGIS_OK);
        unsigned char *p = (unsigned char *)aegis_arena_alloc(&arena, 16);
        memset(p, 7, 16);
        size_t size = 16 + stats_of(&arena).remaining_bytes - less;
        unsigned char *q = (unsigned char *)aegis_arena_realloc(&arena, p, 16, size);
        CHECK(q != NULL && is_filled(q, 7, 16));
        memset(q, 8, size);
        check_figures(&arena);
        aegis_arena_fini(&arena);
    }
}

static void realloc_of_earlier_shrinks_in_place_and_moves_to_grow(void) {
    aegis_arena arena;
    CHECK(aegis_arena_init(&arena, NULL) == AEGIS_OK);
    unsigned char *p = (unsigned char *)aegis_arena_alloc(&arena, 100);
    memset(p, 7, 100);
    unsigned char *q = (unsigned char *)aegis_arena_alloc(&arena, 100);
    memset(q, 8, 100);
    CHECK(aegis_arena_realloc(&arena, p, 100, 50) == p);
    CHECK(is_filled(p, 7, 50));
    unsigned char *r = (unsigned char *)aegis_arena_realloc(&arena, p, 50, 51);
    CHECK(r != NULL && r != p && is_filled(r, 7, 50));
    memset(r, 9, 51);
    CHECK(is_filled(q, 8, 100));
    aegis_arena_fini(&arena);
}

static void resize_in_place_resizes_what_realloc_would_not_move(void) {
    aegis_arena arena;
    aegis_arena_options options = test_options(4096, 0, NULL, NULL, 0);
    CHECK(aegis_arena_init(&arena, &options) == AEGIS_OK);
    CHECK(!aegis_arena_resize_in_place(&arena, NULL, 0, 10));
    unsigned char *p = (unsigned char *)aegis_arena_alloc(&arena, 10);
    memset(p, 7, 10);
    CHECK(aegis_arena_resize_in_place(&arena, p, 10, 1000));
    CHECK(is_filled(p, 7, 10));
    memset(p, 7, 1000);
    aegis_arena_stats before = stats_of(&arena);
    CHECK(!aegis_arena_resize_in_place(&arena, p, 1000, 100000));
    CHECK(!aegis_arena_resize_in_place(&arena, p, 1000, SIZE_MAX));
    CHECK_SIZE(stats_of(&arena).used_bytes, before.used_bytes);
    CHECK_SIZE(stats_of(&arena).acquired_count, before.acquired_count);
    CHECK(aegis_arena_resize_in_place(&arena, p, 1000, 100));
    unsigned char *q = (unsigned char *)aegis_arena_alloc(&arena, 10);
    memset(q, 8, 10);
    CHECK(!aegis_arena_resize_in_place(&arena, p, 100, 101));
    CHECK(aegis_arena_resize_in_place(&arena, p, 100, 50));
    CHECK(is_filled(p, 7, 50) && is_filled(q, 8, 10));
    check_figures(&arena);
    aegis_arena_fini(&arena);
}

static void realloc_aligned_keeps_the_alignment_when_it_moves(void) {
    aegis_arena arena;
    CHECK(aegis_arena_init(&arena, NULL) == AEGIS_OK);
    size_t size = 10;
    unsigned char *p = (unsigned char *)aegis_arena_realloc_aligned(&arena, NULL, 0, size, 256);
    for (int i = 0; i < 10; i++) {
        CHECK(p != NULL && is_aligned(p, 256));
        memset(p, i, size);
        CHECK(aegis_arena_alloc(&arena, 8) != NULL);
        p = (unsigned char *)aegis_arena_realloc_aligned(&arena, p, size, size * 2, 256);
        CHECK(is_filled(p, (unsigned char)i, size));
        size *= 2;
    }
    CHECK(aegis_arena_realloc_aligned(&arena, p, size, size + 1, 3) == NULL ||
          stats_of(&arena).remaining_bytes != 0);
    aegis_arena_fini(&arena);
}

static void free_last_reuses_only_the_latest(void) {
    aegis_arena arena;
    CHECK(aegis_arena_init(&arena, NULL) == AEGIS_OK);
    aegis_arena_free_last(&arena, NULL, 0);
    void *p = aegis_arena_alloc(&arena, 24);
    void *q = aegis_arena_alloc(&arena, 24);
    aegis_arena_free_last(&arena, p, 24);
    CHECK(aegis_arena_alloc(&arena, 8) != p);
    void *r = aegis_arena_alloc(&arena, 24);
    aegis_arena_free_last(&arena, r, 24);
    CHECK(aegis_arena_alloc(&arena, 24) == r);
    CHECK(q != r);
    aegis_arena_fini(&arena);
}

static void memdup_and_strdup_copy(void) {
    aegis_arena arena;
    CHECK(aegis_arena_init(&arena, NULL) == AEGIS_OK);
    const char text[] = "bump";
    char *copy = aegis_arena_strdup(&arena, text);
    CHECK(copy != NULL && copy != text && strcmp(copy, text) == 0);
    char *empty = aegis_arena_strdup(&arena, "");
    CHECK(empty != NULL && empty[0] == '\0');
    void *bytes = aegis_arena_memdup(&arena, text, 3);
    CHECK(bytes != NULL && memcmp(bytes, text, 3) == 0);
    CHECK(aegis_arena_memdup(&arena, NULL, 0) != NULL);
    aegis_arena_fini(&arena);
}

static void arena_moved_by_memcpy_keeps_working(void) {
    static test_source state;
    aegis_source source = test_source_get(&state, true);
    aegis_arena *here = (aegis_arena *)malloc(sizeof *here);
    aegis_arena_options options = test_options(0, 0, &source, NULL, 0);
    CHECK(aegis_arena_init(here, &options) == AEGIS_OK);
    unsigned char *kept = NULL;
    for (int i = 0; i < 100; i++) {
        unsigned char *p = (unsigned char *)aegis_arena_alloc(here, 200);
        CHECK(p != NULL);
        memset(p, i, 200);
        CHECK(kept == NULL || is_filled(kept, (unsigned char)(i - 1), 200));
        kept = p;
        aegis_arena *there = (aegis_arena *)malloc(sizeof *there);
        memcpy(there, here, sizeof *there);
        memset(here, 0xFF, sizeof *here);
        free(here);
        here = there;
        check_figures(here);
        if (i % 30 == 29) {
            aegis_arena_reset(here);
            kept = NULL;
        }
    }
    aegis_arena_fini(here);
    free(here);
    test_source_check_done(&state);
}

static void last_error_without_failure_is_ok_and_keeps_the_latest(void) {
    aegis_arena arena;
    CHECK(aegis_arena_init(&arena, NULL) == AEGIS_OK);
    CHECK(error_of(&arena).status == AEGIS_OK);
    CHECK(aegis_arena_alloc(&arena, SIZE_MAX) == NULL);
    CHECK(aegis_arena_alloc(&arena, 8) != NULL);
    CHECK(error_of(&arena).status == AEGIS_E_INVALID_LAYOUT);
    CHECK(aegis_arena_alloc_aligned(&arena, 8, 3) == NULL);
    CHECK_SIZE(error_of(&arena).requested_bytes, 8);
    CHECK_SIZE(error_of(&arena).align_bytes, 3);
    aegis_arena_fini(&arena);
}

int main(void) {
    RUN(init_with_null_options_works_and_fini_clears);
    RUN(init_with_capacity_has_all_of_it_in_one_block);
    RUN(init_with_capacity_above_the_maximum_is_invalid_layout);
    RUN(init_that_the_source_refuses_is_out_of_memory);
    RUN(init_with_memory_and_capacity_is_invalid);
    RUN(fini_closes_the_source_once);
    RUN(source_without_release_or_close_is_accepted);
    RUN(alloc_zero_bytes_returns_aligned_non_null);
    RUN(alloc_of_every_size_is_aligned_and_apart);
    RUN(alloc_above_ptrdiff_max_is_invalid_layout);
    RUN(alloc_near_ptrdiff_max_is_refused_by_the_source);
    RUN(alloc_aligned_at_every_power_of_two_is_aligned);
    RUN(alloc_aligned_at_no_power_of_two_is_invalid_layout);
    RUN(alloc_zeroed_of_dirty_memory_is_zero);
    RUN(realloc_of_latest_grows_and_shrinks_in_place);
    RUN(realloc_of_latest_without_room_moves_with_content);
    RUN(realloc_of_latest_up_to_the_block_end_never_overruns);
    RUN(realloc_of_earlier_shrinks_in_place_and_moves_to_grow);
    RUN(resize_in_place_resizes_what_realloc_would_not_move);
    RUN(realloc_aligned_keeps_the_alignment_when_it_moves);
    RUN(free_last_reuses_only_the_latest);
    RUN(memdup_and_strdup_copy);
    RUN(arena_moved_by_memcpy_keeps_working);
    RUN(last_error_without_failure_is_ok_and_keeps_the_latest);
    return check_finish();
}
