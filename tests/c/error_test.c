/* SPDX-License-Identifier: Apache-2.0 */
/* Tests what failing calls leave in their error records. Tables list the calls with what was asked,
 * what was allowed, and the text, word for word. A call that refuses its options must acquire
 * nothing, charge nothing and close nothing. */
#include "pool_support.h"

#include <inttypes.h>

#define TEXT_BYTES 256

/* One call and what its record must say. `text` may be NULL where the sizes depend on the
 * machine. */
typedef struct row {
    const char *name;
    aegis_status status;
    uint32_t what;
    size_t asked;
    size_t allowed;
    const char *text;
} row;

static void check_row(const row *wanted, aegis_status status, const aegis_error *error) {
    char text[TEXT_BYTES];
    size_t length = aegis_error_explain(error, text, sizeof text);
    bool same = status == wanted->status && error->status == status &&
                error->what == wanted->what && error->asked == wanted->asked &&
                error->allowed == wanted->allowed && length == strlen(text) &&
                (wanted->text == NULL || strcmp(text, wanted->text) == 0);
    CHECK(same);
    if (!same)
        fprintf(stderr,
                "    %s: status %" PRId32 ", what %" PRIu32 ", asked %zu, allowed %zu: %s\n",
                wanted->name, status, error->what, error->asked, error->allowed, text);
}

/* -- pools -- */

static const row pool_rows[] = {
    {"no blocks", AEGIS_E_INVALID, AEGIS_WHAT_BLOCKS, 0, 1,
     "invalid argument: 0 blocks requested, at least 1 allowed"},
    {"a maximum below the count", AEGIS_E_INVALID, AEGIS_WHAT_MAX_BLOCKS, 5, 10,
     "invalid argument: growth up to 5 blocks requested, at least 10 allowed"},
    {"an odd alignment", AEGIS_E_INVALID_LAYOUT, AEGIS_WHAT_BYTES, 64, PTRDIFF_MAX,
     "invalid layout: size 64 with alignment 24; an alignment is a power of two"},
    {"an alignment too large", AEGIS_E_INVALID_LAYOUT, AEGIS_WHAT_ALIGN, SIZE_MAX / 4 + 1,
     SIZE_MAX / 16 + 1, NULL},
#if SIZE_MAX > UINT32_MAX
    {"too many blocks", AEGIS_E_INVALID_LAYOUT, AEGIS_WHAT_BLOCKS, (size_t)1 << 31,
     AEGIS_POOL_MAX_BLOCKS,
     "invalid argument: 2147483648 blocks requested, at most 2147483392 allowed"},
    {"too many to grow to", AEGIS_E_INVALID_LAYOUT, AEGIS_WHAT_MAX_BLOCKS, (size_t)1 << 31,
     AEGIS_POOL_MAX_BLOCKS,
     "invalid argument: growth up to 2147483648 blocks requested, at most 2147483392 allowed"},
    {"too many slabs", AEGIS_E_INVALID_LAYOUT, AEGIS_WHAT_SLABS, AEGIS_POOL_MAX_BLOCKS,
     ((size_t)1 << 29) + 1,
     "invalid argument: growth up to 2147483392 slabs requested, at most 536870913 allowed"},
#endif
    {"several faults", AEGIS_E_INVALID_LAYOUT, AEGIS_WHAT_BYTES, SIZE_MAX, PTRDIFF_MAX, NULL},
};

static aegis_pool_options pool_row_options(size_t number, const aegis_source *source) {
    aegis_pool_options options = pool_options(64, 10, 0, source);
    const char *name = pool_rows[number].name;
    if (strcmp(name, "no blocks") == 0) {
        options.block_count = 0;
    } else if (strcmp(name, "a maximum below the count") == 0) {
        options.max_block_count = 5;
    } else if (strcmp(name, "an odd alignment") == 0) {
        options.align_bytes = 24;
    } else if (strcmp(name, "an alignment too large") == 0) {
        options.align_bytes = SIZE_MAX / 4 + 1;
    } else if (strcmp(name, "too many blocks") == 0) {
        options.block_count = pool_rows[number].asked;
    } else if (strcmp(name, "several faults") == 0) {
        options.block_bytes = SIZE_MAX;
        options.block_count = 0;
        options.align_bytes = 3;
    } else {
        options.block_count = strcmp(name, "too many slabs") == 0 ? 1 : 10;
        options.max_block_count = pool_rows[number].asked;
    }
    return options;
}

static void pool_that_cannot_be_made_names_what_was_asked_and_allowed(void) {
    aegis_budget *budget = aegis_budget_new("b", 100, NULL);
    for (size_t i = 0; i < sizeof pool_rows / sizeof pool_rows[0]; i++) {
        test_source state = {0};
        aegis_source source = test_source_get(&state, false);
        for (int form = 0; form < 3; form++) {
            aegis_error error;
            aegis_pool pool;
            aegis_locked_pool locked;
            aegis_lock_free_pool lock_free;
            aegis_lock_free_pool_options options = {0};
            options.blocks = pool_row_options(i, &source);
            options.blocks.budget = budget;
            options.blocks.error = &error;
            aegis_status status = form == 0   ? aegis_pool_init(&pool, &options.blocks)
                                  : form == 1 ? aegis_locked_pool_init(&locked, &options.blocks)
                                              : aegis_lock_free_pool_init(&lock_free, &options);
            check_row(&pool_rows[i], status, &error);
            CHECK_SIZE(error.requested_bytes, options.blocks.block_bytes);
            if (form == 0) {
                aegis_error kept;
                aegis_pool_last_error(&pool, &kept);
                check_row(&pool_rows[i], status, &kept);
            }
        }
        CHECK_SIZE(state.asked_count, 0);
        CHECK_SIZE(state.close_count, 0);
    }
    aegis_budget_figures figures;
    aegis_budget_get_figures(budget, &figures);
    CHECK_SIZE(figures.peak_bytes, 0);
    aegis_budget_destroy(budget);
}

static void lock_free_pool_names_flags_and_caches(void) {
    static const row rows[] = {
        {"flags", AEGIS_E_INVALID, AEGIS_WHAT_FLAGS, 0x81,
         AEGIS_POOL_NO_RACING_FREES | AEGIS_POOL_FIT_CACHES,
         "invalid argument: flags 0x81 requested, only those of 0x3 allowed"},
        {"caches", AEGIS_E_INVALID_LAYOUT, AEGIS_WHAT_CACHES, 70000, AEGIS_POOL_MAX_CACHES,
         "invalid argument: 70000 caches requested, at most 65536 allowed"},
    };
    for (size_t i = 0; i < 2; i++) {
        aegis_error error;
        aegis_lock_free_pool pool;
        aegis_lock_free_pool_options options =
            lock_free_options(64, 10, 0, i == 1 ? 70000 : 0, NULL);
        options.flags = i == 0 ? 0x81 : 0;
        options.blocks.error = &error;
        check_row(&rows[i], aegis_lock_free_pool_init(&pool, &options), &error);
    }
}

static void pool_without_a_block_left_counts_blocks(void) {
    static const row wanted = {
        "exhausted",
        AEGIS_E_EXHAUSTED,
        AEGIS_WHAT_BLOCKS,
        1,
        0,
        "pool exhausted: 1 block of 128 bytes requested, 2 of 2 blocks in use"};
    aegis_pool_options options = pool_options(128, 2, 0, NULL);
    aegis_pool pool;
    aegis_error error;
    void *blocks[3];
    CHECK(aegis_pool_init(&pool, &options) == AEGIS_OK);
    CHECK_SIZE(aegis_pool_alloc_n(&pool, blocks, 3), 2);
    aegis_pool_last_error(&pool, &error);
    check_row(&wanted, error.status, &error);
    CHECK(aegis_pool_free_n(&pool, blocks, 2) == AEGIS_OK);
    CHECK(aegis_pool_fini(&pool) == AEGIS_OK);
}

static void cache_beyond_the_most_names_how_many_there_can_be(void) {
    static const row wanted = {"caches",
                               AEGIS_E_LIMIT_EXCEEDED,
                               AEGIS_WHAT_CACHES,
                               2,
                               1,
                               "invalid argument: 2 caches requested, at most 1 allowed"};
    aegis_lock_free_pool_options options = lock_free_options(64, 10, 0, 1, NULL);
    aegis_lock_free_pool pool;
    aegis_pool_cache first, second;
    aegis_error error;
    CHECK(aegis_lock_free_pool_init(&pool, &options) == AEGIS_OK);
    CHECK(aegis_pool_cache_init(&first, &pool) == AEGIS_OK);
    aegis_status status = aegis_pool_cache_init(&second, &pool);
    aegis_pool_cache_last_error(&second, &error);
    check_row(&wanted, status, &error);
    aegis_pool_cache_fini(&second);
    aegis_pool_cache_fini(&first);
    CHECK(aegis_lock_free_pool_fini(&pool) == AEGIS_OK);
}

/* -- buffer pools and buffers -- */

static void buffer_pool_that_cannot_be_made_names_what_was_asked_and_allowed(void) {
    static const aegis_buffer_class good[9] = {{64, 2, 0},   {128, 2, 0},  {256, 2, 0},
                                               {512, 2, 0},  {1024, 2, 0}, {2048, 2, 0},
                                               {4096, 2, 0}, {8192, 2, 0}, {16384, 2, 0}};
    static const aegis_buffer_class bad[][2] = {
        {{64, 2, 0}, {64, 2, 0}},
        {{64, 2, 0}, {128, 0, 0}},
        {{64, 2, 0}, {128, 2, 1}},
        {{64, 2, 0}, {128, SIZE_MAX, 0}},
    };
    const size_t most =
        PTRDIFF_MAX / 64 < AEGIS_POOL_MAX_BLOCKS ? (size_t)PTRDIFF_MAX / 64 : AEGIS_POOL_MAX_BLOCKS;
    const struct {
        const aegis_buffer_class *classes;
        size_t class_count;
        uint32_t when_empty;
        row wanted;
    } cases[] = {
        {NULL,
         3,
         0,
         {"NULL", AEGIS_E_INVALID, AEGIS_WHAT_CLASSES, 0, 1,
          "invalid argument: 0 size classes requested, at least 1 allowed"}},
        {good,
         9,
         0,
         {"nine", AEGIS_E_INVALID, AEGIS_WHAT_CLASSES, 9, 8,
          "invalid argument: 9 size classes requested, at most 8 allowed"}},
        {good,
         1,
         3,
         {"policy", AEGIS_E_INVALID, AEGIS_WHAT_POLICY, 3, 2,
          "invalid argument: policy number 3 requested, at most 2 allowed"}},
        {bad[0],
         2,
         0,
         {"order", AEGIS_E_INVALID, AEGIS_WHAT_CLASS_BYTES, 64, 65,
          "invalid argument: a size class of 64 bytes requested, at least 65 allowed"}},
        {bad[1],
         2,
         0,
         {"none", AEGIS_E_INVALID, AEGIS_WHAT_BLOCKS, 0, 1,
          "invalid argument: 0 blocks requested, at least 1 allowed"}},
        {bad[2],
         2,
         0,
         {"maximum", AEGIS_E_INVALID, AEGIS_WHAT_MAX_BLOCKS, 1, 2,
          "invalid argument: growth up to 1 blocks requested, at least 2 allowed"}},
        {bad[3], 2, 0, {"many", AEGIS_E_INVALID_LAYOUT, AEGIS_WHAT_BLOCKS, SIZE_MAX, most, NULL}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        test_source state = {0};
        aegis_source source = test_source_get(&state, false);
        aegis_buffer_pool_options options = {0};
        aegis_buffer_pool pool;
        aegis_error error;
        options.classes = cases[i].classes;
        options.class_count = cases[i].class_count;
        options.when_empty = cases[i].when_empty;
        options.source = &source;
        options.error = &error;
        check_row(&cases[i].wanted, aegis_buffer_pool_init(&pool, &options), &error);
        CHECK(pool.shared == NULL && state.asked_count == 0 && state.close_count == 0);
    }
}

static void buffers_name_what_was_asked_and_allowed(void) {
    static const row rows[] = {
        {"no pool", AEGIS_E_INVALID, AEGIS_WHAT_HANDLE, 9, 0,
         "invalid argument: the object was not made, or was released or reset since"},
        {"too large", AEGIS_E_LIMIT_EXCEEDED, AEGIS_WHAT_BUFFER_BYTES, 65, 64,
         "invalid argument: a buffer of 65 bytes requested, at most 64 allowed"},
        {"exhausted", AEGIS_E_EXHAUSTED, AEGIS_WHAT_BLOCKS, 1, 0,
         "pool exhausted: 1 block of 64 bytes requested, 1 of 1 blocks in use"},
        {"no data", AEGIS_E_INVALID, AEGIS_WHAT_DATA, 9, 0,
         "invalid argument: NULL given for 9 bytes of data"},
        {"no function", AEGIS_E_INVALID, AEGIS_WHAT_FUNCTION, 1, 0,
         "invalid argument: the function is NULL"},
        {"no buffer", AEGIS_E_INVALID, AEGIS_WHAT_HANDLE, 0, 0,
         "invalid argument: the object was not made, or was released or reset since"},
        {"a scope", AEGIS_E_BUSY, AEGIS_WHAT_SCOPE, 1, 0,
         "still in use: a scope is open on the arena"},
    };
    aegis_buffer_class only = {64, 1, 0};
    aegis_buffer_pool_options options = {0};
    aegis_buffer_pool pool, none = {NULL};
    aegis_buffer_mut held, writer;
    aegis_buffer view, no_view = {NULL, 0, NULL};
    aegis_error error;
    options.classes = &only;
    options.class_count = 1;
    CHECK(aegis_buffer_pool_init(&pool, &options) == AEGIS_OK);
    CHECK(aegis_buffer_pool_get(&pool, &held, 1, NULL) == AEGIS_OK);
    check_row(&rows[0], aegis_buffer_pool_get(&none, &writer, 9, &error), &error);
    check_row(&rows[1], aegis_buffer_pool_get(&pool, &writer, 65, &error), &error);
    check_row(&rows[2], aegis_buffer_pool_get(&pool, &writer, 10, &error), &error);
    check_row(&rows[3], aegis_buffer_copy(&view, NULL, 9, NULL, &error), &error);
    check_row(&rows[4], aegis_buffer_wrap(&view, "a", 1, NULL, NULL, &error), &error);
    check_row(&rows[5], aegis_buffer_compact(&no_view, NULL, &error), &error);
    aegis_arena arena;
    aegis_arena_scope scope;
    CHECK(aegis_arena_init(&arena, NULL) == AEGIS_OK);
    aegis_arena_scope_begin(&arena, &scope);
    check_row(&rows[6], aegis_buffer_from_arena(&view, &arena, "a", 1, &error), &error);
    aegis_arena_scope_end(&arena, &scope);
    aegis_arena_fini(&arena);
    CHECK(aegis_buffer_mut_release(&held) == AEGIS_OK);
    aegis_buffer_pool_release(&pool);
}

/* -- arenas -- */

static void expect_arena(const row *wanted, const aegis_arena *arena, aegis_status status) {
    aegis_error error;
    char text[TEXT_BYTES], explained[TEXT_BYTES];
    aegis_arena_last_error(arena, &error);
    check_row(wanted, status, &error);
    (void)aegis_error_explain(&error, text, sizeof text);
    CHECK_SIZE(aegis_arena_explain(arena, explained, sizeof explained), strlen(text));
    CHECK(strcmp(text, explained) == 0);
}

static void arenas_name_what_was_asked_and_allowed(void) {
    static const row rows[] = {
        {"capacity", AEGIS_E_INVALID, AEGIS_WHAT_CAPACITY, 100, 0,
         "invalid argument: beside the caller's memory a capacity of 100 bytes requested, at most "
         "0 allowed"},
        {"flags", AEGIS_E_INVALID, AEGIS_WHAT_FLAGS, 0x80 | AEGIS_ARENA_NO_DEBUG, 0x1F,
         "invalid argument: flags 0x90 requested, only those of 0x1f allowed"},
        {"local flags", AEGIS_E_INVALID, AEGIS_WHAT_FLAGS, AEGIS_ARENA_OWN_BLOCKS, 0x16,
         "invalid argument: flags 0x8 requested, only those of 0x16 allowed"},
        {"function", AEGIS_E_INVALID, AEGIS_WHAT_FUNCTION, 0, 0,
         "invalid argument: the function is NULL"},
        {"odd", AEGIS_E_INVALID_LAYOUT, AEGIS_WHAT_BYTES, 64, PTRDIFF_MAX,
         "invalid layout: size 64 with alignment 24; an alignment is a power of two"},
        {"large", AEGIS_E_INVALID_LAYOUT, AEGIS_WHAT_BYTES, SIZE_MAX, PTRDIFF_MAX - 63, NULL},
        {"refused", AEGIS_E_OUT_OF_MEMORY, AEGIS_WHAT_BYTES, 100, 0,
         "out of memory: 100 bytes requested at alignment 64, 0 bytes in use"},
        {"stale", AEGIS_E_INVALID, AEGIS_WHAT_HANDLE, 100000, 0,
         "invalid argument: the object was not made, or was released or reset since"},
    };
    static unsigned char memory[256];
    test_source state = {0};
    aegis_source source = test_source_get(&state, false);
    state.fail_at = 1;
    state.fail_on = true;
    aegis_arena arena;
    aegis_arena_options options = {100, 0, NULL, memory, sizeof memory, NULL, NULL, 0, 0};
    aegis_status status = aegis_arena_init(&arena, &options);
    expect_arena(&rows[0], &arena, status);
    aegis_arena_options flags = {0, 0, &source, NULL, 0, NULL, NULL, 0x80, 0};
    expect_arena(&rows[1], &arena, aegis_arena_init(&arena, &flags));
    flags.flags = 0;
    CHECK(aegis_arena_init(&arena, &flags) == AEGIS_OK);
    expect_arena(&rows[3], &arena, aegis_arena_defer(&arena, NULL, NULL));
    CHECK(aegis_arena_alloc_aligned(&arena, 64, 24) == NULL);
    expect_arena(&rows[4], &arena, AEGIS_E_INVALID_LAYOUT);
    CHECK(aegis_arena_alloc_aligned(&arena, SIZE_MAX, 64) == NULL);
    expect_arena(&rows[5], &arena, AEGIS_E_INVALID_LAYOUT);
    CHECK(aegis_arena_alloc_aligned(&arena, 100, 64) == NULL);
    expect_arena(&rows[6], &arena, AEGIS_E_OUT_OF_MEMORY);
    aegis_arena_fini(&arena);

    aegis_lock_free_arena shared;
    aegis_arena_local local;
    CHECK(aegis_lock_free_arena_init(&shared, NULL, NULL) == AEGIS_OK);
    status = aegis_arena_local_init(&local, &shared, AEGIS_ARENA_OWN_BLOCKS);
    expect_arena(&rows[2], &local.arena, status);
    aegis_arena_local_fini(&local);
    aegis_report_fn report = aegis_set_report(NULL);
    CHECK(aegis_arena_local_init(&local, &shared, AEGIS_ARENA_NO_DEBUG) == AEGIS_OK);
    aegis_lock_free_arena_reset(&shared);
    CHECK(aegis_arena_alloc(&local.arena, 100000) == NULL);
    expect_arena(&rows[7], &local.arena, AEGIS_E_INVALID);
    aegis_arena_local_fini(&local);
    (void)aegis_set_report(report);
    aegis_lock_free_arena_fini(&shared);
}

static void recycler_names_what_was_asked_and_allowed(void) {
    static const row memory_row = {
        "memory",
        AEGIS_E_INVALID,
        AEGIS_WHAT_MEMORY,
        256,
        0,
        "invalid argument: the use of 256 bytes of the caller's memory requested, at most 0 "
        "allowed"};
    static unsigned char memory[256];
    aegis_arena_recycler recycler;
    aegis_arena_recycler_options options = {0};
    aegis_error error;
    options.error = &error;
    options.arena.memory = memory;
    options.arena.memory_bytes = sizeof memory;
    check_row(&memory_row, aegis_arena_recycler_init(&recycler, &options), &error);
    options.arena.memory = NULL;
    options.max_idle_count = SIZE_MAX;
    CHECK(aegis_arena_recycler_init(&recycler, &options) == AEGIS_E_INVALID_LAYOUT);
    CHECK(error.what == AEGIS_WHAT_IDLE_ARENAS && error.asked == SIZE_MAX);
    /* The largest allowed number may be too large for the machine. The call then fails as out of
     * memory. */
    options.max_idle_count = error.allowed;
    aegis_status status = aegis_arena_recycler_init(&recycler, &options);
    CHECK(status == AEGIS_OK || status == AEGIS_E_OUT_OF_MEMORY);
    CHECK(status == AEGIS_OK ||
          (error.what == AEGIS_WHAT_BYTES && error.requested_bytes > SIZE_MAX / 4));
    CHECK(aegis_arena_recycler_fini(&recycler) == AEGIS_OK);
}

int main(void) {
    RUN(pool_that_cannot_be_made_names_what_was_asked_and_allowed);
    RUN(lock_free_pool_names_flags_and_caches);
    RUN(pool_without_a_block_left_counts_blocks);
    RUN(cache_beyond_the_most_names_how_many_there_can_be);
    RUN(buffer_pool_that_cannot_be_made_names_what_was_asked_and_allowed);
    RUN(buffers_name_what_was_asked_and_allowed);
    RUN(arenas_name_what_was_asked_and_allowed);
    RUN(recycler_names_what_was_asked_and_allowed);
    return check_finish();
}
