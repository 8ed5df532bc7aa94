/* SPDX-License-Identifier: Apache-2.0 */
/* Tests the allocations of a lock-free arena from one thread: they must be dense and aligned, and
 * resizing must keep their content. A refused request must change nothing. Where the memory comes
 * from is tested in lock_free_arena_memory_test.c, deferred functions in
 * lock_free_arena_defer_test.c, and threads in lock_free_arena_stress_test.c. */
#include "shared_support.h"

static void alloc_packs_densely_in_one_block(void) {
    aegis_lock_free_arena arena = shared_arena(4096, 0, NULL);
    unsigned char *a = (unsigned char *)aegis_lock_free_arena_alloc(&arena, 5, NULL);
    unsigned char *b = (unsigned char *)aegis_lock_free_arena_alloc(&arena, 8, NULL);
    unsigned char *c = (unsigned char *)aegis_lock_free_arena_alloc(&arena, 1, NULL);
    CHECK(a != NULL && is_aligned(a, AEGIS_ARENA_ALIGN));
    if (!is_gapped()) {
        CHECK(b == a + 8 && c == b + 8);
        CHECK_SIZE(shared_stats(&arena).used_bytes, 24);
        CHECK_SIZE(shared_stats(&arena).remaining_bytes, 4096 - 24);
    }
    CHECK_SIZE(shared_stats(&arena).block_count, 1);
    aegis_lock_free_arena_fini(&arena);
    CHECK(arena.shared == NULL);
    aegis_lock_free_arena_fini(&arena);
    aegis_lock_free_arena_fini(NULL);
}

static void zero_bytes_return_aligned_non_null_without_a_block(void) {
    aegis_lock_free_arena arena = shared_arena(0, 0, NULL);
    CHECK_SIZE(shared_stats(&arena).block_count, 0);
    void *p = aegis_lock_free_arena_alloc(&arena, 0, NULL);
    CHECK(p != NULL && is_aligned(p, AEGIS_ARENA_ALIGN));
    p = aegis_lock_free_arena_alloc_aligned_zeroed(&arena, 0, 4096, NULL);
    CHECK(p != NULL && is_aligned(p, 4096));
    p = aegis_lock_free_arena_memdup(&arena, NULL, 0, NULL);
    CHECK(p != NULL);
    aegis_lock_free_arena_fini(&arena);
}

static void every_alignment_is_kept_and_larger_ones_only_pad(void) {
    aegis_lock_free_arena arena = shared_arena(1 << 20, 0, NULL);
    for (size_t align = 1; align <= (size_t)2 << 20; align *= 2) {
        for (size_t size = 0; size < 40; size += 13) {
            (void)aegis_lock_free_arena_alloc(&arena, 8, NULL);
            unsigned char *p =
                (unsigned char *)aegis_lock_free_arena_alloc_aligned(&arena, size, align, NULL);
            CHECK(p != NULL && is_aligned(p, align));
            memset(p, 1, size);
            p = (unsigned char *)aegis_lock_free_arena_alloc_aligned_zeroed(&arena, size, align,
                                                                            NULL);
            CHECK(p != NULL && is_aligned(p, align) && is_filled(p, 0, size));
        }
    }
    aegis_lock_free_arena_reset(&arena);
    unsigned char *first = (unsigned char *)aegis_lock_free_arena_alloc(&arena, 8, NULL);
    unsigned char *page =
        (unsigned char *)aegis_lock_free_arena_alloc_aligned(&arena, 4096, 4096, NULL);
    unsigned char *next = (unsigned char *)aegis_lock_free_arena_alloc(&arena, 8, NULL);
    CHECK(page > first && page - first <= 4096);
    CHECK(is_gapped() || next == page + 4096);
    aegis_lock_free_arena_fini(&arena);
}

static void check_refused(const aegis_lock_free_arena *arena, size_t size, size_t align) {
    aegis_error error = {0};
    aegis_arena_stats before = shared_stats(arena);
    CHECK(aegis_lock_free_arena_alloc_aligned(arena, size, align, &error) == NULL);
    CHECK(error.status == AEGIS_E_INVALID_LAYOUT || error.status == AEGIS_E_OUT_OF_MEMORY);
    CHECK_SIZE(error.requested_bytes, size);
    CHECK_SIZE(error.align_bytes, align);
    CHECK(aegis_lock_free_arena_alloc_aligned(arena, size, align, NULL) == NULL);
    aegis_arena_stats after = shared_stats(arena);
    CHECK(memcmp(&before, &after, sizeof before) == 0);
}

static void impossible_layouts_are_refused_and_change_nothing(void) {
    aegis_lock_free_arena arena = shared_arena(100, 0, NULL);
    for (size_t back = 0; back < 80; back++) {
        check_refused(&arena, SIZE_MAX - back, 8);
        check_refused(&arena, SIZE_MAX - back, 16);
        check_refused(&arena, SIZE_MAX - back, 4096);
        check_refused(&arena, (size_t)PTRDIFF_MAX - back, 128);
    }
    check_refused(&arena, 8, 0);
    check_refused(&arena, 8, 24);
    aegis_error error;
    CHECK(aegis_lock_free_arena_alloc(&arena, SIZE_MAX, &error) == NULL);
    CHECK(error.status == AEGIS_E_INVALID_LAYOUT);
    CHECK(aegis_lock_free_arena_alloc_zeroed(&arena, SIZE_MAX, NULL) == NULL);
    CHECK(aegis_lock_free_arena_alloc(&arena, 100 - 16, NULL) != NULL);
    aegis_lock_free_arena_fini(&arena);

    aegis_lock_free_arena_options options = {SIZE_MAX - 8, 0, NULL, NULL, NULL, 0};
    CHECK(aegis_lock_free_arena_init(&arena, &options, &error) == AEGIS_E_INVALID_LAYOUT);
    CHECK(arena.shared == NULL && error.requested_bytes == SIZE_MAX - 8);
}

static void realloc_grows_and_shrinks_in_place_at_the_end_else_moves(void) {
    aegis_lock_free_arena arena = shared_arena(4096, 0, NULL);
    unsigned char *p =
        (unsigned char *)aegis_lock_free_arena_realloc_aligned(&arena, NULL, 0, 10, 8, NULL);
    memset(p, 3, 10);
    CHECK(aegis_lock_free_arena_realloc_aligned(&arena, p, 10, 1000, 8, NULL) == p);
    memset(p + 10, 3, 990);
    CHECK(aegis_lock_free_arena_realloc_aligned(&arena, p, 1000, 100, 8, NULL) == p);
    unsigned char *q = (unsigned char *)aegis_lock_free_arena_alloc_zeroed(&arena, 950, NULL);
    CHECK(is_gapped() || q == p + 104);
    CHECK(is_filled(q, 0, 950));
    unsigned char *moved =
        (unsigned char *)aegis_lock_free_arena_realloc_aligned(&arena, p, 100, 200, 8, NULL);
    CHECK(moved != NULL && moved != p && is_filled(moved, 3, 100));
    /* An allocation can grow in place only up to the end of its block. */
    CHECK(aegis_lock_free_arena_realloc_aligned(&arena, moved, 200, 100000, 8, NULL) != moved);
    aegis_error error;
    CHECK(aegis_lock_free_arena_realloc_aligned(&arena, q, 950, SIZE_MAX, 8, &error) == NULL);
    CHECK(error.status == AEGIS_E_INVALID_LAYOUT && is_filled(q, 0, 950));
    aegis_lock_free_arena_fini(&arena);
}

static void resize_in_place_resizes_what_realloc_would_not_move(void) {
    aegis_lock_free_arena arena = shared_arena(4096, 0, NULL);
    CHECK(!aegis_lock_free_arena_resize_in_place(&arena, NULL, 0, 10));
    unsigned char *p = (unsigned char *)aegis_lock_free_arena_alloc(&arena, 10, NULL);
    memset(p, 3, 10);
    CHECK(aegis_lock_free_arena_resize_in_place(&arena, p, 10, 1000));
    memset(p, 3, 1000);
    aegis_arena_stats before = shared_stats(&arena);
    CHECK(!aegis_lock_free_arena_resize_in_place(&arena, p, 1000, 100000));
    CHECK(!aegis_lock_free_arena_resize_in_place(&arena, p, 1000, SIZE_MAX));
    CHECK_SIZE(shared_stats(&arena).used_bytes, before.used_bytes);
    CHECK_SIZE(shared_stats(&arena).acquired_count, before.acquired_count);
    CHECK(aegis_lock_free_arena_resize_in_place(&arena, p, 1000, 100));
    unsigned char *q = (unsigned char *)aegis_lock_free_arena_alloc_zeroed(&arena, 10, NULL);
    CHECK(!aegis_lock_free_arena_resize_in_place(&arena, p, 100, 200));
    CHECK(aegis_lock_free_arena_resize_in_place(&arena, p, 100, 50));
    CHECK(is_filled(p, 3, 50) && is_filled(q, 0, 10));
    aegis_lock_free_arena_fini(&arena);
}

static void free_last_reuses_the_bytes_and_they_are_zeroed_again(void) {
    aegis_lock_free_arena arena = shared_arena(4096, 0, NULL);
    unsigned char *p = (unsigned char *)aegis_lock_free_arena_alloc(&arena, 100, NULL);
    memset(p, 5, 100);
    aegis_lock_free_arena_free_last(&arena, p, 100);
    CHECK_SIZE(shared_stats(&arena).used_bytes, 0);
    unsigned char *q = (unsigned char *)aegis_lock_free_arena_alloc_zeroed(&arena, 100, NULL);
    CHECK(q == p && is_filled(q, 0, 100));
    (void)aegis_lock_free_arena_alloc(&arena, 8, NULL);
    size_t used = shared_stats(&arena).used_bytes;
    aegis_lock_free_arena_free_last(&arena, q, 100);
    aegis_lock_free_arena_free_last(&arena, NULL, 8);
    CHECK_SIZE(shared_stats(&arena).used_bytes, used);
    aegis_lock_free_arena_fini(&arena);
}

static void copies_are_equal_to_what_was_copied(void) {
    aegis_lock_free_arena arena = shared_arena(0, 0, NULL);
    CHECK(strcmp(aegis_lock_free_arena_strdup(&arena, "copied", NULL), "copied") == 0);
    CHECK(memcmp(aegis_lock_free_arena_memdup(&arena, "ab", 2, NULL), "ab", 2) == 0);
    aegis_lock_free_arena_fini(&arena);
}

int main(void) {
    RUN(alloc_packs_densely_in_one_block);
    RUN(zero_bytes_return_aligned_non_null_without_a_block);
    RUN(every_alignment_is_kept_and_larger_ones_only_pad);
    RUN(impossible_layouts_are_refused_and_change_nothing);
    RUN(realloc_grows_and_shrinks_in_place_at_the_end_else_moves);
    RUN(resize_in_place_resizes_what_realloc_would_not_move);
    RUN(free_last_reuses_the_bytes_and_they_are_zeroed_again);
    RUN(copies_are_equal_to_what_was_copied);
    return check_finish();
}
