/* SPDX-License-Identifier: Apache-2.0 */
/* Tests what a view keeps alive: how many bytes of memory, and whether two views keep the same. For
 * each kind of memory the number must be what is charged, acquired, mapped or said, for each part
 * of the memory, and no view of no bytes may keep anything. aegis_buffer_compact must go by it. */
#if !defined(_WIN32) && !defined(_POSIX_C_SOURCE)
#define _POSIX_C_SOURCE 200809L /* mkstemp */
#endif

#include "buffer_support.h"

#if defined(__unix__) || defined(__APPLE__)
#include <unistd.h>
#define HAS_FILES 1
#endif

static test_owner state;
static size_t released_count;

static void count_release(void *context) {
    (void)context;
    released_count++;
}

/* Takes the view. It and each part of it keep `retained_bytes` and the same memory. A part of no
 * bytes keeps nothing. */
static void check_parts(aegis_buffer view, size_t retained_bytes) {
    aegis_buffer part, nothing, copy;
    size_t length = view.length;
    CHECK(length >= 2);
    CHECK_SIZE(aegis_buffer_retained_bytes(&view), retained_bytes);
    CHECK(aegis_buffer_same_memory(&view, &view));
    CHECK(aegis_buffer_retain(&view, &copy) == AEGIS_OK);
    CHECK(aegis_buffer_split_off(&view, length - 1, &part) == AEGIS_OK);
    CHECK(aegis_buffer_slice(&view, 0, 0, &nothing) == AEGIS_OK);
    CHECK(aegis_buffer_slice(&view, 0, 1, &view) == AEGIS_OK);
    CHECK_SIZE(aegis_buffer_retained_bytes(&copy), retained_bytes);
    CHECK_SIZE(aegis_buffer_retained_bytes(&view), retained_bytes);
    CHECK_SIZE(aegis_buffer_retained_bytes(&part), retained_bytes);
    CHECK_SIZE(aegis_buffer_retained_bytes(&nothing), 0);
    CHECK(aegis_buffer_same_memory(&view, &part) && aegis_buffer_same_memory(&part, &copy));
    CHECK(!aegis_buffer_same_memory(&view, &nothing) && !aegis_buffer_same_memory(&nothing, &view));
    aegis_buffer other;
    CHECK(aegis_buffer_copy(&other, "other", 5, NULL, NULL) == AEGIS_OK);
    CHECK(!aegis_buffer_same_memory(&view, &other) && !aegis_buffer_same_memory(&other, &part));
    CHECK(aegis_buffer_release(&other) == AEGIS_OK);
    CHECK(aegis_buffer_release(&view) == AEGIS_OK && aegis_buffer_release(&part) == AEGIS_OK);
    CHECK(aegis_buffer_release(&copy) == AEGIS_OK && aegis_buffer_release(&nothing) == AEGIS_OK);
}

static void no_memory_is_kept_by_nothing_and_by_static_bytes(void) {
    aegis_buffer none = {NULL, 0, NULL};
    aegis_buffer_mut no_writer = {NULL, 0, 0, NULL, 0};
    aegis_buffer fixed = aegis_buffer_from_static("static", 6);
    aegis_buffer owned = test_owner_adopt(&state, 0);
    CHECK_SIZE(aegis_buffer_retained_bytes(&none), 0);
    CHECK_SIZE(aegis_buffer_retained_bytes(&fixed), 0);
    CHECK_SIZE(aegis_buffer_mut_retained_bytes(&no_writer), 0);
    CHECK(!aegis_buffer_same_memory(&none, &none) && !aegis_buffer_same_memory(&fixed, &fixed));
    CHECK(!aegis_buffer_same_memory(&fixed, &owned) && !aegis_buffer_same_memory(&owned, &none));
    CHECK(!aegis_buffer_mut_same_memory(&no_writer, &no_writer));
    CHECK(aegis_buffer_release(&owned) == AEGIS_OK && aegis_buffer_release(&fixed) == AEGIS_OK);
}

static void memory_of_the_heap_is_what_its_budget_was_charged(void) {
    static const size_t aligns[] = {0, 64, 4096};
    for (size_t i = 0; i < sizeof aligns / sizeof *aligns; i++) {
        aegis_budget *budget = aegis_budget_new("heap", AEGIS_BUDGET_UNLIMITED, NULL);
        aegis_buffer_mut writer, back;
        CHECK(aegis_buffer_mut_alloc(&writer, 1000, aligns[i], budget, NULL) == AEGIS_OK);
        size_t charged_bytes = budget_used(budget);
        CHECK(charged_bytes > 1000 + sizeof(aegis_buffer_owner));
        CHECK_SIZE(aegis_buffer_mut_retained_bytes(&writer), charged_bytes);
        CHECK(aegis_buffer_mut_append(&writer, "bytes", 5) == AEGIS_OK);
        CHECK(aegis_buffer_mut_split_off(&writer, 900, &back) == AEGIS_OK);
        CHECK_SIZE(aegis_buffer_mut_retained_bytes(&back), charged_bytes);
        CHECK(aegis_buffer_mut_same_memory(&writer, &back));
        CHECK(aegis_buffer_mut_release(&back) == AEGIS_OK);
        check_parts(aegis_buffer_mut_freeze(&writer), charged_bytes);
        CHECK_SIZE(budget_used(budget), 0);
        aegis_budget_destroy(budget);
    }
}

static void writers_of_other_memory_do_not_share(void) {
    aegis_buffer_mut a, b, rest;
    CHECK(aegis_buffer_mut_alloc(&a, 100, 0, NULL, NULL) == AEGIS_OK);
    CHECK(aegis_buffer_mut_alloc(&b, 0, 0, NULL, NULL) == AEGIS_OK);
    CHECK(!aegis_buffer_mut_same_memory(&a, &b) && aegis_buffer_mut_same_memory(&b, &b));
    /* A writer without room keeps its memory, because it can have all of it again. */
    CHECK(aegis_buffer_mut_split_off(&a, 100, &rest) == AEGIS_OK && rest.capacity == 0);
    CHECK(aegis_buffer_mut_same_memory(&a, &rest) && !aegis_buffer_mut_same_memory(&rest, &b));
    CHECK_SIZE(aegis_buffer_mut_retained_bytes(&rest), aegis_buffer_mut_retained_bytes(&a));
    CHECK(aegis_buffer_mut_release(&a) == AEGIS_OK && aegis_buffer_mut_release(&b) == AEGIS_OK);
    CHECK(aegis_buffer_mut_release(&rest) == AEGIS_OK);
}

static aegis_buffer_pool pool_of(size_t buffer_bytes, aegis_budget *budget) {
    aegis_buffer_class only = {buffer_bytes, 2, 0};
    aegis_buffer_pool_options options;
    memset(&options, 0, sizeof options);
    options.classes = &only;
    options.class_count = 1;
    options.budget = budget;
    options.when_empty = AEGIS_BUFFER_HEAP;
    aegis_buffer_pool pool;
    CHECK(aegis_buffer_pool_init(&pool, &options) == AEGIS_OK);
    return pool;
}

static void memory_of_a_pool_is_its_block_and_then_of_the_heap(void) {
    aegis_budget *budget = aegis_budget_new("pool", AEGIS_BUDGET_UNLIMITED, NULL);
    aegis_buffer_pool pool = pool_of(4096, budget);
    size_t pool_bytes = budget_used(budget);
    aegis_buffer_mut writers[3];
    aegis_buffer views[3];
    size_t retained_bytes[3];
    for (size_t i = 0; i < 3; i++) {
        CHECK(aegis_buffer_pool_get(&pool, &writers[i], 4096, NULL) == AEGIS_OK);
        retained_bytes[i] = aegis_buffer_mut_retained_bytes(&writers[i]);
        CHECK(aegis_buffer_mut_append(&writers[i], "page", 4) == AEGIS_OK);
    }
    /* A checker's gap may lie behind a block, and no more than one of the pool's alignment. */
    CHECK(retained_bytes[0] >= 4096 && retained_bytes[0] <= 2 * 4096);
    CHECK_SIZE(retained_bytes[1], retained_bytes[0]);
    CHECK_SIZE(retained_bytes[2], budget_used(budget) - pool_bytes);
    CHECK(!aegis_buffer_mut_same_memory(&writers[0], &writers[1]));
    CHECK(!aegis_buffer_mut_same_memory(&writers[1], &writers[2]));
    for (size_t i = 0; i < 3; i++)
        views[i] = aegis_buffer_mut_freeze(&writers[i]);
    for (size_t i = 0; i < 3; i++)
        check_parts(views[i], retained_bytes[i]);
    aegis_buffer_pool_release(&pool);

    pool = pool_of(5000, budget);
    CHECK(aegis_buffer_pool_get(&pool, &writers[0], 1, NULL) == AEGIS_OK);
    CHECK(aegis_buffer_mut_retained_bytes(&writers[0]) >= 2 * 4096);
    CHECK(writers[0].capacity < 2 * 4096);
    CHECK(aegis_buffer_mut_release(&writers[0]) == AEGIS_OK);
    aegis_buffer_pool_release(&pool);
    CHECK_SIZE(budget_used(budget), 0);
    aegis_budget_destroy(budget);
}

static void memory_of_an_arena_is_all_of_its_blocks(void) {
    aegis_budget *budget = aegis_budget_new("arena", AEGIS_BUDGET_UNLIMITED, NULL);
    aegis_arena_options options = {0, 0, NULL, NULL, 0, budget, NULL, 0, 0};
    aegis_arena arena;
    CHECK(aegis_arena_init(&arena, &options) == AEGIS_OK);
    for (size_t i = 0; i < 10; i++)
        CHECK(aegis_arena_alloc(&arena, 5000) != NULL);
    char *bytes = (char *)aegis_arena_alloc(&arena, 10);
    aegis_buffer view;
    CHECK(aegis_buffer_from_arena(&view, &arena, bytes, 10, NULL) == AEGIS_OK);
    size_t charged_bytes = budget_used(budget);
    CHECK(charged_bytes > 50000);
    check_parts(view, charged_bytes);
    CHECK_SIZE(budget_used(budget), 0);
    aegis_budget_destroy(budget);
}

#if defined(HAS_FILES)
static void memory_of_a_file_is_its_mapping(void) {
    const char *dir = getenv("TMPDIR");
    char path[4096];
    (void)snprintf(path, sizeof path, "%s/aegis_retained_XXXXXX", dir != NULL ? dir : "/tmp");
    int file = mkstemp(path);
    CHECK(file >= 0);
    size_t step_bytes = (size_t)sysconf(_SC_PAGESIZE);
    char *bytes = (char *)calloc(3, step_bytes);
    CHECK(write(file, bytes, 3 * step_bytes) == (ssize_t)(3 * step_bytes));
    free(bytes);
    aegis_buffer whole, piece;
    CHECK(aegis_buffer_map_file(&whole, path, NULL) == AEGIS_OK);
    CHECK(aegis_buffer_map_descriptor(&piece, file, step_bytes + 7, 10, NULL) == AEGIS_OK);
    CHECK(!aegis_buffer_same_memory(&whole, &piece));
    check_parts(whole, 3 * step_bytes);
    check_parts(piece, 17);
    CHECK(close(file) == 0 && unlink(path) == 0);
}
#endif

static aegis_buffer wrapped(const void *data, size_t length, size_t retained_bytes) {
    aegis_buffer view;
    CHECK(aegis_buffer_wrap_sized(&view, data, length, retained_bytes, count_release, NULL, NULL) ==
          AEGIS_OK);
    return view;
}

static void owner_says_its_size_which_is_at_least_its_bytes(void) {
    aegis_buffer view;
    released_count = 0;
    CHECK(aegis_buffer_wrap(&view, "lent", 4, count_release, NULL, NULL) == AEGIS_OK);
    check_parts(view, 4);
    check_parts(wrapped("lent", 4, 1000), 1000);
    check_parts(wrapped("lent", 4, SIZE_MAX), SIZE_MAX);
    check_parts(wrapped("lent", 4, 3), 4);
    check_parts(wrapped("lent", 4, 0), 4);
    CHECK_SIZE(released_count, 5);
    /* A view of no bytes that was just made has an owner, as buffer.h says. */
    view = wrapped(NULL, 0, 1000);
    CHECK_SIZE(aegis_buffer_retained_bytes(&view), 1000);
    CHECK(aegis_buffer_same_memory(&view, &view));
    CHECK(aegis_buffer_compact(&view, NULL, NULL) == AEGIS_OK && view.length == 0);
    CHECK_SIZE(released_count, 6);
    CHECK_SIZE(aegis_buffer_retained_bytes(&view), 0);
    CHECK(aegis_buffer_release(&view) == AEGIS_OK);
    static const size_t said_bytes[] = {0, 1, OWNER_BYTES, OWNER_BYTES + 1, SIZE_MAX};
    for (size_t i = 0; i < sizeof said_bytes / sizeof *said_bytes; i++) {
        view = test_owner_adopt(&state, 0);
        state.owner.retained_bytes = said_bytes[i];
        check_parts(view, said_bytes[i] > OWNER_BYTES ? said_bytes[i] : OWNER_BYTES);
        CHECK_SIZE(state.release_count, 1);
    }
}

static void refused_wrap_releases_nothing(void) {
    aegis_error error;
    aegis_buffer view = {NULL, 1, NULL};
    released_count = 0;
    CHECK(aegis_buffer_wrap_sized(&view, "a", 1, 9, NULL, NULL, &error) == AEGIS_E_INVALID);
    CHECK(is_no_buffer(&view) && error.status == AEGIS_E_INVALID);
    CHECK(error.what == AEGIS_WHAT_FUNCTION && error.requested_bytes == 1);
    CHECK(aegis_buffer_wrap_sized(&view, NULL, 1, 9, count_release, NULL, &error) ==
          AEGIS_E_INVALID);
    CHECK(is_no_buffer(&view) && error.what == AEGIS_WHAT_DATA);
    CHECK(aegis_buffer_wrap_sized(&view, "a", SIZE_MAX, SIZE_MAX, count_release, NULL, NULL) ==
          AEGIS_E_INVALID_LAYOUT);
    CHECK(is_no_buffer(&view));
    CHECK_SIZE(released_count, 0);
}

static void overlapping_owners_keep_the_same_memory(void) {
    static const unsigned char bytes[30] = {0};
    aegis_buffer low = wrapped(bytes, 10, 0);
    aegis_buffer high = wrapped(bytes + 10, 20, 0);
    aegis_buffer across = wrapped(bytes + 9, 2, 0);
    aegis_buffer inner = wrapped(bytes + 3, 1, 0);
    aegis_buffer nothing = wrapped(bytes + 3, 0, 0);
    CHECK(!aegis_buffer_same_memory(&low, &high) && !aegis_buffer_same_memory(&high, &low));
    CHECK(aegis_buffer_same_memory(&low, &across) && aegis_buffer_same_memory(&across, &low));
    CHECK(aegis_buffer_same_memory(&high, &across) && aegis_buffer_same_memory(&across, &high));
    CHECK(aegis_buffer_same_memory(&low, &inner) && aegis_buffer_same_memory(&inner, &low));
    CHECK(!aegis_buffer_same_memory(&low, &nothing) && !aegis_buffer_same_memory(&nothing, &low));
    aegis_buffer *views[] = {&low, &high, &across, &inner, &nothing};
    for (size_t i = 0; i < sizeof views / sizeof *views; i++)
        CHECK(aegis_buffer_release(views[i]) == AEGIS_OK);
}

/* Compacts the view and tells whether it was copied. Compacting again never copies. */
static bool compacts(aegis_buffer *view) {
    aegis_buffer_owner *owner = view->owner;
    CHECK(aegis_buffer_compact(view, NULL, NULL) == AEGIS_OK);
    bool copied = view->owner != owner;
    owner = view->owner;
    CHECK(aegis_buffer_compact(view, NULL, NULL) == AEGIS_OK && view->owner == owner);
    return copied;
}

static void compact_goes_by_what_the_view_keeps(void) {
    aegis_buffer view;
    size_t copy_bytes = 0;
    for (size_t length = 1; length <= 100; length++) {
        static const char bytes[100] = {0};
        CHECK(aegis_buffer_copy(&view, bytes, length, NULL, NULL) == AEGIS_OK);
        copy_bytes = aegis_buffer_retained_bytes(&view);
        CHECK(!compacts(&view) && view.length == length);
        CHECK(aegis_buffer_release(&view) == AEGIS_OK);
    }
    size_t header_bytes = copy_bytes - 100;
    released_count = 0;
    /* The owner says how much it keeps: as much as the view has, twice as much, and more. */
    view = wrapped("four", 4, 4);
    CHECK(!compacts(&view));
    CHECK(aegis_buffer_release(&view) == AEGIS_OK);
    view = wrapped("four", 4, 8 + header_bytes);
    CHECK(!compacts(&view));
    CHECK(aegis_buffer_release(&view) == AEGIS_OK);
    CHECK_SIZE(released_count, 2);
    view = wrapped("four", 4, 9 + header_bytes);
    CHECK(compacts(&view) && holds(&view, "four", 4));
    CHECK_SIZE(released_count, 3);
    CHECK_SIZE(aegis_buffer_retained_bytes(&view), 4 + header_bytes);
    CHECK(aegis_buffer_release(&view) == AEGIS_OK);
    view = wrapped("four", 4, SIZE_MAX);
    CHECK(compacts(&view) && aegis_buffer_release(&view) == AEGIS_OK);
    CHECK_SIZE(released_count, 4);
}

static void small_view_of_an_arena_is_compacted(void) {
    aegis_budget *budget = aegis_budget_new("arena", AEGIS_BUDGET_UNLIMITED, NULL);
    aegis_arena_options options = {0, 0, NULL, NULL, 0, budget, NULL, 0, 0};
    aegis_arena arena;
    aegis_buffer view;
    CHECK(aegis_arena_init(&arena, &options) == AEGIS_OK);
    CHECK(aegis_arena_alloc(&arena, 50000) != NULL);
    char *bytes = (char *)aegis_arena_alloc(&arena, 10);
    memcpy(bytes, "0123456789", 10);
    CHECK(aegis_buffer_from_arena(&view, &arena, bytes, 10, NULL) == AEGIS_OK);
    CHECK(budget_used(budget) != 0);
    CHECK(compacts(&view) && holds(&view, "0123456789", 10));
    CHECK_SIZE(budget_used(budget), 0);
    CHECK(aegis_buffer_release(&view) == AEGIS_OK);
    aegis_budget_destroy(budget);
}

int main(void) {
    RUN(no_memory_is_kept_by_nothing_and_by_static_bytes);
    RUN(memory_of_the_heap_is_what_its_budget_was_charged);
    RUN(writers_of_other_memory_do_not_share);
    RUN(memory_of_a_pool_is_its_block_and_then_of_the_heap);
    RUN(memory_of_an_arena_is_all_of_its_blocks);
#if defined(HAS_FILES)
    RUN(memory_of_a_file_is_its_mapping);
#endif
    RUN(owner_says_its_size_which_is_at_least_its_bytes);
    RUN(refused_wrap_releases_nothing);
    RUN(overlapping_owners_keep_the_same_memory);
    RUN(compact_goes_by_what_the_view_keeps);
    RUN(small_view_of_an_arena_is_compacted);
    return check_finish();
}
