/* SPDX-License-Identifier: Apache-2.0 */
/* Tests the malloc-shaped hooks of arena_hooks.h: first each hook alone, then in the shapes in
 * which zlib, Lua and SQLite use them. Memory must be aligned as malloc's is, must know its size,
 * and must keep its content when it is resized; a failing source must give NULL and change
 * nothing. */
#include "support.h"

static aegis_arena new_arena(void) {
    aegis_arena arena;
    CHECK(aegis_arena_init(&arena, NULL) == AEGIS_OK);
    return arena;
}

static void malloc_of_every_size_is_aligned_and_knows_its_size(void) {
    aegis_arena arena = new_arena();
    for (size_t size = 0; size < 2000; size += 7) {
        unsigned char *p = (unsigned char *)aegis_arena_hook_malloc(&arena, size);
        CHECK(p != NULL && is_aligned(p, 16));
        memset(p, 0xEE, size);
        CHECK_SIZE(aegis_arena_hook_usable_size(&arena, p), size);
    }
    CHECK_SIZE(aegis_arena_hook_usable_size(&arena, NULL), 0);
    aegis_arena_fini(&arena);
}

static void malloc_beyond_all_limits_gives_null(void) {
    aegis_arena arena = new_arena();
    static const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 15, SIZE_MAX - 16, (size_t)PTRDIFF_MAX + 1,
                                   PTRDIFF_MAX};
    unsigned char *kept = (unsigned char *)aegis_arena_hook_malloc(&arena, 10);
    memset(kept, 3, 10);
    for (size_t i = 0; i < 5; i++) {
        CHECK(aegis_arena_hook_malloc(&arena, sizes[i]) == NULL);
        CHECK(error_of(&arena).status == AEGIS_E_INVALID_LAYOUT);
        CHECK(aegis_arena_hook_calloc(&arena, 1, sizes[i]) == NULL);
        CHECK(aegis_arena_hook_realloc(&arena, kept, sizes[i]) == NULL);
        CHECK(aegis_arena_hook_resize_sized(&arena, NULL, 0, sizes[i]) == NULL);
        CHECK_SIZE(aegis_arena_hook_usable_size(&arena, kept), 10);
        CHECK(is_filled(kept, 3, 10));
    }
    aegis_arena_fini(&arena);
}

static void calloc_is_zero_and_refuses_products_that_overflow(void) {
    aegis_arena arena = new_arena();
    for (size_t i = 1; i < 50; i++) {
        unsigned char *p = (unsigned char *)aegis_arena_hook_calloc(&arena, i, 13);
        CHECK(p != NULL && is_aligned(p, 16) && is_filled(p, 0, i * 13));
        CHECK_SIZE(aegis_arena_hook_usable_size(&arena, p), i * 13);
        memset(p, 0xEE, i * 13);
        if (i % 2 == 0)
            aegis_arena_hook_free(&arena, p);
        if (i % 20 == 0)
            aegis_arena_reset(&arena);
    }
    CHECK(aegis_arena_hook_calloc(&arena, SIZE_MAX / 2 + 1, 2) == NULL);
    CHECK(aegis_arena_hook_calloc(&arena, SIZE_MAX, SIZE_MAX) == NULL);
    CHECK(aegis_arena_hook_calloc(&arena, (size_t)1 << (sizeof(size_t) * 4),
                                  (size_t)1 << (sizeof(size_t) * 4)) == NULL);
    CHECK(aegis_arena_hook_calloc(&arena, 0, 8) != NULL);
    CHECK(aegis_arena_hook_calloc(&arena, 8, 0) != NULL);
    aegis_arena_fini(&arena);
}

static void realloc_keeps_content_and_size(void) {
    aegis_arena arena = new_arena();
    unsigned char *p = (unsigned char *)aegis_arena_hook_realloc(&arena, NULL, 5);
    CHECK_SIZE(aegis_arena_hook_usable_size(&arena, p), 5);
    memset(p, 5, 5);
    for (size_t size = 5; size < 100000; size = size * 2 + 1) {
        if (size % 3 == 0)
            CHECK(aegis_arena_hook_malloc(&arena, 1) != NULL);
        p = (unsigned char *)aegis_arena_hook_realloc(&arena, p, size * 2 + 1);
        CHECK(p != NULL && is_aligned(p, 16) && is_filled(p, 5, size));
        memset(p, 5, size * 2 + 1);
        CHECK_SIZE(aegis_arena_hook_usable_size(&arena, p), size * 2 + 1);
    }
    CHECK(aegis_arena_hook_realloc(&arena, p, 3) == p);
    CHECK_SIZE(aegis_arena_hook_usable_size(&arena, p), 3);
    CHECK(is_filled(p, 5, 3));
    CHECK(aegis_arena_hook_realloc(&arena, p, 0) == NULL);
    aegis_arena_fini(&arena);
}

static void free_of_the_latest_gives_its_bytes_back(void) {
    aegis_arena arena = new_arena();
    void *p = aegis_arena_hook_malloc(&arena, 100);
    size_t used_bytes = stats_of(&arena).used_bytes;
    void *q = aegis_arena_hook_malloc(&arena, 100);
    aegis_arena_hook_free(&arena, q);
    CHECK(stats_of(&arena).used_bytes < used_bytes + 100);
    CHECK(aegis_arena_hook_malloc(&arena, 100) == q);
    aegis_arena_hook_free(&arena, p);
    aegis_arena_hook_free(&arena, NULL);
    aegis_arena_fini(&arena);
}

static void sized_resize_allocates_resizes_and_frees(void) {
    aegis_arena arena = new_arena();
    /* Where there is no old memory, Lua passes a type tag as the old size. The hook must ignore
     * it. */
    unsigned char *p = (unsigned char *)aegis_arena_hook_resize_sized(&arena, NULL, 6, 20);
    CHECK(p != NULL && is_aligned(p, 16));
    memset(p, 4, 20);
    CHECK(aegis_arena_hook_malloc(&arena, 1) != NULL);
    p = (unsigned char *)aegis_arena_hook_resize_sized(&arena, p, 20, 200);
    CHECK(p != NULL && is_aligned(p, 16) && is_filled(p, 4, 20));
    CHECK(aegis_arena_hook_resize_sized(&arena, p, 200, 10) == p);
    CHECK(aegis_arena_hook_resize_sized(&arena, p, 10, 0) == NULL);
    CHECK(aegis_arena_hook_resize_sized(&arena, NULL, 6, 0) == NULL);
    CHECK(aegis_arena_hook_resize_sized(&arena, NULL, 0, 10) == p);
    aegis_arena_hook_free_sized(&arena, p, 10);
    aegis_arena_hook_free_sized(&arena, NULL, 10);
    aegis_arena_fini(&arena);
}

/* zlib's functions: (opaque, items, size), and free with (opaque, address). */
static void *zlib_alloc(void *opaque, unsigned items, unsigned size) {
    return aegis_arena_hook_calloc(opaque, items, size);
}

static void zlib_shape_allocates_its_windows_and_frees_in_any_order(void) {
    aegis_arena arena = new_arena();
    size_t acquired_count = 0;
    for (int round = 0; round < 10; round++) {
        void *windows[4];
        static const unsigned sizes[] = {5952, 65536, 65536, 131072};
        for (size_t i = 0; i < 4; i++) {
            windows[i] = zlib_alloc(&arena, 1, sizes[i]);
            CHECK(windows[i] != NULL && is_filled(windows[i], 0, sizes[i]));
            memset(windows[i], round + 1, sizes[i]);
        }
        aegis_arena_hook_free(&arena, windows[2]);
        aegis_arena_hook_free(&arena, windows[0]);
        aegis_arena_hook_free(&arena, windows[3]);
        aegis_arena_hook_free(&arena, windows[1]);
        aegis_arena_reset(&arena);
        if (round == 0)
            acquired_count = (size_t)stats_of(&arena).acquired_count;
    }
    CHECK_SIZE(stats_of(&arena).acquired_count, acquired_count);
    aegis_arena_fini(&arena);
}

/* Lua has one function for everything, of type lua_Alloc. A string buffer grows by halves. */
typedef void *(*lua_alloc)(void *user, void *memory, size_t old_bytes, size_t new_bytes);

static void lua_shape_grows_a_table_and_frees_all(void) {
    aegis_arena arena = new_arena();
    lua_alloc alloc = aegis_arena_hook_resize_sized;
    size_t *table = NULL;
    size_t capacity = 0;
    for (size_t i = 0; i < 5000; i++) {
        if (i == capacity) {
            size_t wanted = capacity * 2 + 4;
            table =
                (size_t *)alloc(&arena, table, capacity * sizeof *table, wanted * sizeof *table);
            CHECK(table != NULL);
            capacity = wanted;
        }
        table[i] = i;
        char *text = (char *)alloc(&arena, NULL, 4, 20);
        CHECK(text != NULL);
        alloc(&arena, text, 20, 0);
    }
    for (size_t i = 0; i < 5000; i++)
        CHECK_SIZE(table[i], i);
    CHECK(alloc(&arena, table, capacity * sizeof *table, 0) == NULL);
    aegis_arena_fini(&arena);
}

/* SQLite has a table of malloc, free, realloc and size, without a user pointer. */
static aegis_arena sqlite_arena;

static void *sqlite_malloc(int size_bytes) {
    return aegis_arena_hook_malloc(&sqlite_arena, (size_t)size_bytes);
}

static void *sqlite_realloc(void *memory, int size_bytes) {
    return aegis_arena_hook_realloc(&sqlite_arena, memory, (size_t)size_bytes);
}

static int sqlite_size(void *memory) {
    return (int)aegis_arena_hook_usable_size(&sqlite_arena, memory);
}

static void sqlite_shape_counts_by_the_size_of_each_allocation(void) {
    sqlite_arena = new_arena();
    uint64_t random = 99;
    void *pages[20] = {0};
    int sizes[20] = {0};
    for (int i = 0; i < 2000; i++) {
        size_t at = random_below(&random, 20);
        int size = 1 + (int)random_below(&random, 1024);
        CHECK(sqlite_size(pages[at]) == sizes[at]);
        if (random_below(&random, 3) == 0) {
            aegis_arena_hook_free(&sqlite_arena, pages[at]);
            pages[at] = NULL;
            sizes[at] = 0;
            continue;
        }
        pages[at] = pages[at] == NULL ? sqlite_malloc(size) : sqlite_realloc(pages[at], size);
        sizes[at] = size;
        CHECK(pages[at] != NULL && is_aligned(pages[at], 8));
        memset(pages[at], 0xEE, (size_t)size);
    }
    check_figures(&sqlite_arena);
    aegis_arena_fini(&sqlite_arena);
}

static void hooks_of_a_failing_source_give_null_and_keep_memory(void) {
    static test_source state;
    aegis_source source = test_source_get(&state, true);
    aegis_arena arena;
    aegis_arena_options options = test_options(1024, 0, &source, NULL, 0);
    CHECK(aegis_arena_init(&arena, &options) == AEGIS_OK);
    unsigned char *p = (unsigned char *)aegis_arena_hook_malloc(&arena, 100);
    memset(p, 2, 100);
    state.fail_at = 1;
    state.fail_on = true;
    CHECK(aegis_arena_hook_malloc(&arena, 5000) == NULL);
    CHECK(aegis_arena_hook_calloc(&arena, 50, 100) == NULL);
    CHECK(aegis_arena_hook_realloc(&arena, p, 5000) == NULL);
    CHECK(error_of(&arena).status == AEGIS_E_OUT_OF_MEMORY);
    CHECK_SIZE(aegis_arena_hook_usable_size(&arena, p), 100);
    CHECK(is_filled(p, 2, 100));
    aegis_arena_fini(&arena);
    test_source_check_done(&state);
}

int main(void) {
    RUN(malloc_of_every_size_is_aligned_and_knows_its_size);
    RUN(malloc_beyond_all_limits_gives_null);
    RUN(calloc_is_zero_and_refuses_products_that_overflow);
    RUN(realloc_keeps_content_and_size);
    RUN(free_of_the_latest_gives_its_bytes_back);
    RUN(sized_resize_allocates_resizes_and_frees);
    RUN(zlib_shape_allocates_its_windows_and_frees_in_any_order);
    RUN(lua_shape_grows_a_table_and_frees_all);
    RUN(sqlite_shape_counts_by_the_size_of_each_allocation);
    RUN(hooks_of_a_failing_source_give_null_and_keep_memory);
    return check_finish();
}
