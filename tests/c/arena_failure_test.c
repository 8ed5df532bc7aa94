/* SPDX-License-Identifier: Apache-2.0 */
/* Tests each failure of a source: the n-th acquire fails, for every n until the work completes.
 * After each failure the arena must be as it was before the call, and at the end every block must
 * be given back. */
#include "support.h"

static test_source state;
static size_t calls_made;
static size_t calls_run;

static void count_run(void *context) {
    (void)context;
    calls_run++;
}

/* The state before a call, to compare with when the call has failed. */
static aegis_arena before;
static size_t refused_count;

static void remember(const aegis_arena *arena) {
    memcpy(&before, arena, sizeof before);
}

/* Demands that the call has either succeeded or changed nothing. */
static bool came_through(const aegis_arena *arena, bool succeeded, size_t size_bytes) {
    if (succeeded)
        return true;
    refused_count++;
    CHECK(is_same_state(arena, &before));
    CHECK(error_of(arena).status == AEGIS_E_OUT_OF_MEMORY);
    CHECK_SIZE(error_of(arena).requested_bytes, size_bytes);
    CHECK_SIZE(error_of(arena).in_use_bytes, stats_of(arena).used_bytes);
    check_figures(arena);
    return false;
}

/* One of each allocating call. */
static void allocate_each_way(aegis_arena *arena, size_t size_bytes) {
    remember(arena);
    unsigned char *p = (unsigned char *)aegis_arena_alloc(arena, size_bytes);
    if (came_through(arena, p != NULL, size_bytes)) {
        memset(p, 6, size_bytes);
        remember(arena);
        unsigned char *q =
            (unsigned char *)aegis_arena_realloc(arena, p, size_bytes, size_bytes * 3);
        came_through(arena, q != NULL, size_bytes * 3);
        CHECK(is_filled(q != NULL ? q : p, 6, size_bytes));
    }
    remember(arena);
    p = (unsigned char *)aegis_arena_alloc_zeroed(arena, size_bytes);
    if (came_through(arena, p != NULL, size_bytes))
        CHECK(is_filled(p, 0, size_bytes));
    remember(arena);
    p = (unsigned char *)aegis_arena_alloc_aligned(arena, size_bytes, 128);
    came_through(arena, p != NULL, size_bytes);
    remember(arena);
    char *text = aegis_arena_strdup(arena, "a text");
    came_through(arena, text != NULL, 7);
    remember(arena);
    bool deferred = aegis_arena_defer(arena, count_run, NULL) == AEGIS_OK;
    came_through(arena, deferred, 3 * sizeof(void *));
    calls_made += deferred;
}

static void work(aegis_arena *arena) {
    static const size_t sizes[] = {40, 700, 9000, 70000, 300, 3000};
    for (size_t i = 0; i < 6; i++)
        allocate_each_way(arena, sizes[i]);
    aegis_arena_mark mark = aegis_arena_get_mark(arena);
    allocate_each_way(arena, 5000);
    CHECK(aegis_arena_rewind(arena, &mark) == AEGIS_OK);
    aegis_arena_scope scope;
    aegis_arena_scope_begin(arena, &scope);
    allocate_each_way(&scope.arena, 6000);
    allocate_each_way(arena, 800);
    aegis_arena_scope_end(arena, &scope);
    check_figures(arena);
    aegis_arena_reset(arena);
    CHECK_SIZE(calls_run, calls_made);
    aegis_arena_trim(arena, 20000);
    allocate_each_way(arena, 4000);
}

/* Does the work with the n-th acquire failing. False when the work did not get that far. */
static bool survives(size_t n, bool fail_on, size_t capacity_bytes) {
    aegis_source source = test_source_get(&state, true);
    state.fail_at = n;
    state.fail_on = fail_on;
    calls_made = calls_run = refused_count = 0;
    aegis_arena arena;
    aegis_arena_options options = test_options(capacity_bytes, 32768, &source, NULL, 0);
    if (aegis_arena_init(&arena, &options) == AEGIS_OK) {
        work(&arena);
    } else {
        CHECK(n == 1 && capacity_bytes != 0);
        CHECK(error_of(&arena).status == AEGIS_E_OUT_OF_MEMORY);
        CHECK_SIZE(error_of(&arena).requested_bytes, capacity_bytes);
    }
    aegis_arena_fini(&arena);
    CHECK_SIZE(calls_run, calls_made);
    test_source_check_done(&state);
    CHECK(!fail_on || state.asked_count < n || refused_count != 0 || n == 1);
    return state.asked_count >= n;
}

static void check_every_n(bool fail_on, size_t capacity_bytes) {
    size_t n = 1;
    while (survives(n, fail_on, capacity_bytes) && n < 1000)
        n++;
    CHECK(n > 10 && n < 1000);
    CHECK_SIZE(refused_count, 0);
}

static void oom_at_every_step_once_leaves_arena_unchanged(void) {
    check_every_n(false, 0);
    check_every_n(false, 100);
    check_every_n(false, 20000);
}

static void oom_at_every_step_for_good_leaves_arena_unchanged(void) {
    check_every_n(true, 0);
    check_every_n(true, 100);
    check_every_n(true, 20000);
}

static void oom_of_the_growth_step_falls_back_to_the_request_itself(void) {
    aegis_source source = test_source_get(&state, true);
    aegis_arena arena;
    aegis_arena_options options = test_options(0, 0, &source, NULL, 0);
    CHECK(aegis_arena_init(&arena, &options) == AEGIS_OK);
    state.fail_at = 1;
    CHECK(aegis_arena_alloc(&arena, 100) != NULL);
    CHECK_SIZE(state.asked_count, 2);
    CHECK(state.last_size_bytes < 200);
    aegis_arena_fini(&arena);
    test_source_check_done(&state);
}

/* In the last bytes below the end of the address space, a pointer behind the memory would wrap. */
static void *acquire_at_the_top(void *context, size_t size_bytes, size_t align_bytes,
                                bool *zeroed) {
    (void)align_bytes;
    (void)zeroed;
    ++*(size_t *)context;
    return (void *)(UINTPTR_MAX - 15 - size_bytes / 16 * 16);
}

static void release_at_the_top(void *context, void *memory, size_t size_bytes, size_t align_bytes) {
    (void)memory;
    (void)size_bytes;
    (void)align_bytes;
    --*(size_t *)context;
}

static void block_at_the_end_of_the_address_space_is_given_back(void) {
    size_t live_count = 0;
    aegis_source source = {acquire_at_the_top, release_at_the_top, NULL, &live_count};
    aegis_arena arena;
    aegis_arena_options options = test_options(0, 0, &source, NULL, 0);
    CHECK(aegis_arena_init(&arena, &options) == AEGIS_OK);
    CHECK(aegis_arena_alloc(&arena, 100) == NULL);
    CHECK(error_of(&arena).status == AEGIS_E_OUT_OF_MEMORY);
    CHECK_SIZE(live_count, 0);
    source.release = NULL;
    arena.source.release = NULL;
    CHECK(aegis_arena_alloc(&arena, 100) == NULL);
    aegis_arena_fini(&arena);
}

int main(void) {
    RUN(oom_at_every_step_once_leaves_arena_unchanged);
    RUN(oom_at_every_step_for_good_leaves_arena_unchanged);
    RUN(oom_of_the_growth_step_falls_back_to_the_request_itself);
    RUN(block_at_the_end_of_the_address_space_is_given_back);
    return check_finish();
}
