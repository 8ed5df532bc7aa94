/* SPDX-License-Identifier: Apache-2.0 */
/* Tests where the bytes of buffers come from: the heap, with an alignment and a budget; lent bytes;
 * arenas that a buffer takes over. A release function must run exactly once. A refused call must
 * charge nothing, release nothing and leave the caller's memory to the caller. */
#if !defined(_WIN32) && !defined(_POSIX_C_SOURCE)
#define _POSIX_C_SOURCE 200809L /* fork, setrlimit */
#endif

#include "buffer_support.h"

#if defined(__linux__) && !defined(TEST_ASAN) && !defined(TEST_TSAN) && !defined(AEGIS_VALGRIND)
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#define CAN_EXHAUST 1
#endif

static void heap_memory_is_aligned_as_asked(void) {
    static const size_t capacities[] = {0, 1, 15, 16, 17, 100, 4096, 100000};
    for (size_t align = 0; align <= 65536; align = align == 0 ? 1 : 2 * align) {
        for (size_t i = 0; i < sizeof capacities / sizeof *capacities; i++) {
            aegis_buffer_mut writer;
            CHECK(aegis_buffer_mut_alloc(&writer, capacities[i], align, NULL, NULL) == AEGIS_OK);
            CHECK(is_aligned(writer.data, align < 16 ? 16 : align));
            CHECK(writer.length == 0 && writer.capacity == capacities[i]);
            CHECK(writer.owner->base == writer.data && writer.owner->references == 1);
            CHECK((writer.owner->flags & AEGIS_BUFFER_WRITABLE) != 0);
            memset(writer.data, 0x5A, capacities[i]);
            CHECK(aegis_buffer_mut_release(&writer) == AEGIS_OK);
        }
    }
}

static void expect_no_memory(size_t capacity, size_t align, aegis_status expected) {
    aegis_buffer_mut writer = {NULL, 1, 1, NULL, 1};
    aegis_error error;
    CHECK(aegis_buffer_mut_alloc(&writer, capacity, align, NULL, &error) == expected);
    CHECK(is_no_writer(&writer));
    CHECK(error.status == expected && error.requested_bytes == capacity);
    CHECK(error.limit_bytes == 0 && error.in_use_bytes == 0 && error.refused == NULL);
    writer.length = 1;
    CHECK(aegis_buffer_mut_alloc(&writer, capacity, align, NULL, NULL) == expected);
    CHECK(is_no_writer(&writer));
}

static void impossible_memory_is_refused(void) {
    expect_no_memory(1, 3, AEGIS_E_INVALID_LAYOUT);
    expect_no_memory(1, 48, AEGIS_E_INVALID_LAYOUT);
    expect_no_memory(1, SIZE_MAX, AEGIS_E_INVALID_LAYOUT);
    expect_no_memory(0, SIZE_MAX / 2 + 1, AEGIS_E_INVALID_LAYOUT);
    expect_no_memory(SIZE_MAX, 0, AEGIS_E_INVALID_LAYOUT);
    expect_no_memory(SIZE_MAX - 64, 0, AEGIS_E_INVALID_LAYOUT);
    expect_no_memory(PTRDIFF_MAX, 0, AEGIS_E_INVALID_LAYOUT);
    expect_no_memory(PTRDIFF_MAX - 4096, 4096, AEGIS_E_INVALID_LAYOUT);
    test_hoard hoard = test_hoard_take();
    expect_no_memory(PTRDIFF_MAX / 2, 0, AEGIS_E_OUT_OF_MEMORY);
    test_hoard_give_back(&hoard);
    aegis_buffer view;
    aegis_error error;
    CHECK(aegis_buffer_copy(&view, "", SIZE_MAX, NULL, &error) == AEGIS_E_INVALID_LAYOUT);
    CHECK(is_no_buffer(&view) && error.status == AEGIS_E_INVALID_LAYOUT);
    CHECK(aegis_buffer_copy(&view, NULL, 1, NULL, &error) == AEGIS_E_INVALID);
    CHECK(is_no_buffer(&view) && error.status == AEGIS_E_INVALID);
}

static void copy_is_of_its_own(void) {
    char text[] = "abcdef";
    aegis_buffer view;
    aegis_buffer_mut writer;
    CHECK(aegis_buffer_copy(&view, text, 6, NULL, NULL) == AEGIS_OK);
    text[0] = 'x';
    CHECK(holds(&view, "abcdef", 6) && aegis_buffer_is_unique(&view));
    CHECK(aegis_buffer_try_into_mut(&view, &writer) == AEGIS_OK && writer.capacity == 6);
    CHECK(aegis_buffer_mut_release(&writer) == AEGIS_OK);
    CHECK(aegis_buffer_copy(&view, NULL, 0, NULL, NULL) == AEGIS_OK);
    CHECK(view.data != NULL && view.length == 0 && view.owner == NULL);
    CHECK(aegis_buffer_release(&view) == AEGIS_OK);
}

static void budget_is_charged_until_the_last_handle_is_gone(void) {
    aegis_budget *root = aegis_budget_new("root", 10000, NULL);
    aegis_budget *budget = aegis_budget_new("buffers", AEGIS_BUDGET_UNLIMITED, root);
    aegis_buffer view, part;
    aegis_buffer_mut writer;
    CHECK(aegis_buffer_mut_alloc(&writer, 1000, 4096, budget, NULL) == AEGIS_OK);
    /* The charge includes the header and the bytes before the aligned address. */
    size_t used_bytes = budget_used(budget);
    CHECK(used_bytes >= 1000 + sizeof(aegis_buffer_owner) && used_bytes <= 1000 + 4096 + 128);
    CHECK_SIZE(budget_used(root), used_bytes);
    CHECK(aegis_buffer_copy(&view, "abc", 3, budget, NULL) == AEGIS_OK);
    CHECK(budget_used(budget) > used_bytes + 3 && budget_used(budget) < used_bytes + 200);
    CHECK(aegis_buffer_slice(&view, 1, 2, &part) == AEGIS_OK);
    CHECK(aegis_buffer_mut_release(&writer) == AEGIS_OK);
    CHECK(aegis_buffer_release(&view) == AEGIS_OK);

    /* The buffer holds a reference to the budget. */
    aegis_report_fn before = watch_reports();
    aegis_budget_destroy(budget);
    CHECK_SIZE(atomic_load(&report_count), 0);
    CHECK(budget_used(root) != 0);
    CHECK(aegis_buffer_release(&part) == AEGIS_OK);
    CHECK_SIZE(budget_used(root), 0);
    aegis_budget_destroy(root);
    CHECK_SIZE(atomic_load(&report_count), 0);
    (void)aegis_set_report(before);
}

static void copies_and_growth_are_charged_to_the_budget_given(void) {
    aegis_budget *budget = aegis_budget_new("buffers", 1000, NULL);
    aegis_buffer view, copy;
    aegis_buffer_mut writer;
    CHECK(aegis_buffer_copy(&view, "0123456789", 10, NULL, NULL) == AEGIS_OK);
    CHECK(aegis_buffer_retain(&view, &copy) == AEGIS_OK);
    CHECK(aegis_buffer_into_mut(&copy, &writer, budget, NULL) == AEGIS_OK);
    size_t copied_bytes = budget_used(budget);
    CHECK(copied_bytes > 10);
    CHECK(aegis_buffer_mut_reserve(&writer, 100, budget, NULL) == AEGIS_OK);
    CHECK_SIZE(budget_used(budget), copied_bytes + 100);
    CHECK(aegis_buffer_mut_release(&writer) == AEGIS_OK);
    CHECK_SIZE(budget_used(budget), 0);
    CHECK(aegis_buffer_slice(&view, 2, 4, &view) == AEGIS_OK);
    CHECK(aegis_buffer_compact(&view, budget, NULL) == AEGIS_OK && holds(&view, "23", 2));
    CHECK_SIZE(budget_used(budget), copied_bytes - 8);
    CHECK(aegis_buffer_release(&view) == AEGIS_OK);
    CHECK_SIZE(budget_used(budget), 0);
    aegis_budget_destroy(budget);
}

static void budget_that_refuses_is_named_and_nothing_changed(void) {
    aegis_budget *root = aegis_budget_new("root", 300, NULL);
    aegis_budget *budget = aegis_budget_new("buffers", AEGIS_BUDGET_UNLIMITED, root);
    CHECK(aegis_budget_charge(root, 200, NULL) == AEGIS_OK);
    test_owner state;
    aegis_buffer view, copy = test_owner_adopt(&state, 0);
    aegis_buffer_mut writer;
    aegis_error error;
    CHECK(aegis_buffer_copy(&view, state.memory, 100, budget, &error) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK(is_no_buffer(&view) && error.status == AEGIS_E_LIMIT_EXCEEDED && error.refused == root);
    CHECK(error.requested_bytes == 100 && error.align_bytes == 16);
    CHECK(error.limit_bytes == 300 && error.in_use_bytes == 200);
    /* A writer of no bytes has a header; a view of no bytes has none. */
    CHECK(aegis_budget_charge(root, 100, NULL) == AEGIS_OK);
    CHECK(aegis_buffer_mut_alloc(&writer, 0, 0, budget, NULL) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK(aegis_buffer_copy(&view, NULL, 0, budget, NULL) == AEGIS_OK && view.owner == NULL);

    aegis_buffer before = copy;
    CHECK(aegis_buffer_into_mut(&copy, &writer, budget, &error) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK(is_no_writer(&writer) && is_same_buffer(&copy, &before));
    CHECK(aegis_buffer_slice(&copy, 2, 4, &copy) == AEGIS_OK);
    before = copy;
    CHECK(aegis_buffer_compact(&copy, budget, &error) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK(is_same_buffer(&copy, &before) && error.in_use_bytes == 300);
    CHECK_SIZE(state.owner.references, 1);
    CHECK(aegis_buffer_release(&copy) == AEGIS_OK);
    CHECK_SIZE(budget_used(root), 300);
    /* The source has no memory, so the charge for it must be taken back. */
    aegis_budget *wide = aegis_budget_new("wide", AEGIS_BUDGET_UNLIMITED, NULL);
    test_hoard hoard = test_hoard_take();
    CHECK(aegis_buffer_mut_alloc(&writer, PTRDIFF_MAX / 2, 0, wide, &error) ==
          AEGIS_E_OUT_OF_MEMORY);
    test_hoard_give_back(&hoard);
    CHECK(error.refused == NULL && budget_used(wide) == 0);
    aegis_budget_destroy(wide);
    CHECK(aegis_budget_uncharge(root, 300) == AEGIS_OK);
    aegis_budget_destroy(budget);
    aegis_budget_destroy(root);
}

static void count_release(void *context) {
    (*(size_t *)context)++;
}

static void lent_bytes_are_given_back_once(void) {
    unsigned char bytes[] = "abcdef";
    size_t count = 0;
    aegis_buffer view, part;
    aegis_buffer_mut writer;
    CHECK(aegis_buffer_wrap(&view, bytes, 6, count_release, &count, NULL) == AEGIS_OK);
    CHECK(view.data == bytes && view.length == 6 && aegis_buffer_is_unique(&view));
    CHECK(aegis_buffer_try_into_mut(&view, &writer) == AEGIS_E_INVALID);
    CHECK(aegis_buffer_split_off(&view, 2, &part) == AEGIS_OK);
    CHECK(aegis_buffer_release(&view) == AEGIS_OK);
    CHECK_SIZE(count, 0);
    CHECK(aegis_buffer_into_mut(&part, &writer, NULL, NULL) == AEGIS_OK);
    CHECK_SIZE(count, 1);
    CHECK(writer.length == 4 && memcmp(writer.data, "cdef", 4) == 0);
    CHECK(aegis_buffer_mut_release(&writer) == AEGIS_OK);
    CHECK_SIZE(count, 1);

    CHECK(aegis_buffer_wrap(&view, NULL, 0, count_release, &count, NULL) == AEGIS_OK);
    CHECK(view.data != NULL && view.length == 0);
    CHECK(aegis_buffer_release(&view) == AEGIS_OK);
    CHECK_SIZE(count, 2);
}

static void refused_wrap_does_not_release(void) {
    size_t count = 0;
    aegis_buffer view = {NULL, 1, NULL};
    aegis_error error;
    CHECK(aegis_buffer_wrap(&view, "a", 1, NULL, &count, &error) == AEGIS_E_INVALID);
    CHECK(is_no_buffer(&view) && error.status == AEGIS_E_INVALID);
    CHECK(aegis_buffer_wrap(&view, NULL, 1, count_release, &count, NULL) == AEGIS_E_INVALID);
    CHECK(aegis_buffer_wrap(&view, "a", (size_t)PTRDIFF_MAX + 1, count_release, &count, &error) ==
          AEGIS_E_INVALID_LAYOUT);
    CHECK(is_no_buffer(&view) && error.status == AEGIS_E_INVALID_LAYOUT);
    CHECK_SIZE(count, 0);
}

/* A release function that makes and releases buffers itself, four levels deep. */
typedef struct chain {
    int depth;
    aegis_buffer held;
} chain;

static void release_next(void *context) {
    chain *link = (chain *)context;
    aegis_buffer copy;
    CHECK(aegis_buffer_copy(&copy, "abc", 3, NULL, NULL) == AEGIS_OK);
    CHECK(aegis_buffer_release(&copy) == AEGIS_OK);
    if (link->depth != 0)
        CHECK(aegis_buffer_release(&link->held) == AEGIS_OK);
    link->depth = -1;
}

static void release_function_may_use_buffers(void) {
    chain links[4];
    aegis_buffer view;
    for (int i = 0; i < 4; i++) {
        links[i].depth = i;
        if (i != 0)
            links[i].held = view;
        CHECK(aegis_buffer_wrap(&view, "a", 1, release_next, &links[i], NULL) == AEGIS_OK);
    }
    CHECK(aegis_buffer_release(&view) == AEGIS_OK);
    for (int i = 0; i < 4; i++)
        CHECK(links[i].depth == -1);
}

static void arena_is_finished_with_the_last_view(void) {
    test_source source_state;
    aegis_source source = test_source_get(&source_state, false);
    aegis_arena_options options = test_options(0, 0, &source, NULL, 0);
    aegis_arena arena;
    size_t count = 0;
    aegis_buffer view, part;
    CHECK(aegis_arena_init(&arena, &options) == AEGIS_OK);
    char *text = aegis_arena_strdup(&arena, "hello, world");
    CHECK(aegis_arena_defer(&arena, count_release, &count) == AEGIS_OK);
    CHECK(aegis_buffer_from_arena(&view, &arena, text, 12, NULL) == AEGIS_OK);
    CHECK(is_filled(&arena, 0, sizeof arena));
    aegis_arena_fini(&arena);
    CHECK(view.data == (unsigned char *)text && holds(&view, "hello, world", 12));
    CHECK_SIZE(source_state.acquired_count, 1);
    CHECK(aegis_buffer_slice(&view, 7, 12, &part) == AEGIS_OK);
    CHECK(aegis_buffer_release(&view) == AEGIS_OK);
    CHECK_SIZE(count, 0);
    CHECK(holds(&part, "world", 5));
    CHECK(aegis_buffer_release(&part) == AEGIS_OK);
    CHECK_SIZE(count, 1);
    CHECK_SIZE(source_state.close_count, 1);
    test_source_check_done(&source_state);

    CHECK(default_arena_init(&arena) == AEGIS_OK);
    CHECK(aegis_buffer_from_arena(&view, &arena, NULL, 0, NULL) == AEGIS_OK);
    CHECK(view.data != NULL && view.length == 0);
    CHECK(aegis_buffer_release(&view) == AEGIS_OK);
}

/* Demands that the call refuses the arena and leaves it to the caller. */
static void expect_refusal(aegis_arena *arena, const void *data, size_t length,
                           aegis_status expected) {
    aegis_arena before = *arena;
    aegis_buffer view = {NULL, 1, NULL};
    aegis_error error;
    CHECK(aegis_buffer_from_arena(&view, arena, data, length, &error) == expected);
    CHECK(is_no_buffer(&view) && error.status == expected && is_same_state(arena, &before));
    CHECK(aegis_buffer_from_arena(&view, arena, data, length, NULL) == expected);
}

static void refused_arena_stays_the_callers(void) {
    aegis_arena arena, none;
    aegis_arena_scope outer, inner;
    CHECK(default_arena_init(&arena) == AEGIS_OK);
    memset(&none, 0, sizeof none);
    expect_refusal(&none, "a", 1, AEGIS_E_INVALID);
    expect_refusal(&arena, NULL, 1, AEGIS_E_INVALID);
    expect_refusal(&arena, "a", (size_t)PTRDIFF_MAX + 1, AEGIS_E_INVALID_LAYOUT);
    aegis_arena_scope_begin(&arena, &outer);
    expect_refusal(&arena, "a", 1, AEGIS_E_BUSY);
    expect_refusal(&outer.arena, "a", 1, AEGIS_E_BUSY);
    aegis_arena_scope_begin(&outer.arena, &inner);
    expect_refusal(&outer.arena, "a", 1, AEGIS_E_BUSY);
    expect_refusal(&inner.arena, "a", 1, AEGIS_E_BUSY);
    aegis_arena_scope_end(&outer.arena, &inner);
    aegis_arena_scope_end(&arena, &outer);
    aegis_buffer view;
    CHECK(aegis_buffer_from_arena(&view, &arena, "a", 1, NULL) == AEGIS_OK);
    CHECK(aegis_buffer_release(&view) == AEGIS_OK);

    aegis_lock_free_arena shared = shared_arena(0, 0, NULL);
    aegis_arena_local local;
    CHECK(aegis_arena_local_init(&local, &shared, 0) == AEGIS_OK);
    expect_refusal(&local.arena, "a", 1, AEGIS_E_INVALID);
    aegis_arena_local_fini(&local);
    aegis_lock_free_arena_fini(&shared);
}

static void arena_without_room_for_the_header_says_so(void) {
    static _Alignas(16) unsigned char memory[200];
    aegis_arena arena;
    aegis_arena_options options = test_options(0, 0, NULL, memory, sizeof memory);
    CHECK(aegis_arena_init(&arena, &options) == AEGIS_OK);
    expect_refusal(&arena, "a", 1, AEGIS_E_EXHAUSTED);
    aegis_arena_fini(&arena);
    test_source source_state;
    aegis_source source = test_source_get(&source_state, true);
    options = test_options(0, 0, &source, NULL, 0);
    source_state.fail_at = 1;
    source_state.fail_on = true;
    CHECK(aegis_arena_init(&arena, &options) == AEGIS_OK);
    expect_refusal(&arena, "a", 1, AEGIS_E_OUT_OF_MEMORY);
    aegis_arena_fini(&arena);
    test_source_check_done(&source_state);
}

#if defined(CAN_EXHAUST)
/* More pieces than a process has in its heap. If malloc gives this many, the limit is not in force,
 * as under an emulator. */
#define MOST_PIECES 10000

/* Takes all the memory that the limit allows. Returns false if there seems to be no limit. */
static bool take_all_memory(void) {
    size_t piece_count = 0;
    void *volatile piece; /* volatile: a compiler may leave an unused malloc out */
    for (size_t bytes = 1 << 20; bytes != 0; bytes = bytes > 1024 ? bytes / 2 : bytes - 8)
        while ((piece = malloc(bytes)) != NULL)
            if (++piece_count == MOST_PIECES)
                return false;
    return true;
}

/* Runs in a child process that has no memory left. Returns 0 if the calls that need a header say
 * so. */
static int headers_without_memory(void) {
    struct rlimit before, none;
    aegis_buffer lent, mapped;
    aegis_error error;
    size_t count = 0;
    int os_error = -1;
    if (getrlimit(RLIMIT_AS, &before) != 0)
        return 2;
    none = before;
    none.rlim_cur = 0;
    if (setrlimit(RLIMIT_AS, &none) != 0)
        return 3;
    if (!take_all_memory())
        return 0;
    aegis_status wrapped = aegis_buffer_wrap(&lent, "a", 1, count_release, &count, &error);
    aegis_status opened = aegis_buffer_map_file(&mapped, "/bin/sh", &os_error);
    if (setrlimit(RLIMIT_AS, &before) != 0)
        return 4;
    if (wrapped != AEGIS_E_OUT_OF_MEMORY || error.status != wrapped || !is_no_buffer(&lent) ||
        count != 0)
        return 5;
    return opened == AEGIS_E_OUT_OF_MEMORY && os_error == 0 && is_no_buffer(&mapped) ? 0 : 6;
}
#endif

static void header_without_memory_is_refused(void) {
#if defined(CAN_EXHAUST)
    (void)fflush(NULL);
    pid_t child = fork();
    if (child == 0)
        exit(headers_without_memory());
    int status = 0;
    CHECK(child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status));
    CHECK_SIZE(WEXITSTATUS(status), 0);
#endif
}

int main(void) {
    RUN(heap_memory_is_aligned_as_asked);
    RUN(impossible_memory_is_refused);
    RUN(copy_is_of_its_own);
    RUN(budget_is_charged_until_the_last_handle_is_gone);
    RUN(copies_and_growth_are_charged_to_the_budget_given);
    RUN(budget_that_refuses_is_named_and_nothing_changed);
    RUN(lent_bytes_are_given_back_once);
    RUN(refused_wrap_does_not_release);
    RUN(release_function_may_use_buffers);
    RUN(arena_is_finished_with_the_last_view);
    RUN(refused_arena_stays_the_callers);
    RUN(arena_without_room_for_the_header_says_so);
    /* Valgrind does not work under a limit on memory. The other runs include this test. */
    const char *preload = getenv("LD_PRELOAD");
    if (preload == NULL || strstr(preload, "vgpreload") == NULL)
        RUN(header_without_memory_is_refused);
    return check_finish();
}
