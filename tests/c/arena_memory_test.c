/* SPDX-License-Identifier: Apache-2.0 */
/* Tests arenas over the caller's memory, with and without a source behind it. The memory begins at
 * every misalignment and ends at the end of the address space. An arena must use only that memory,
 * must have all of it again after a reset, and must leave it to the caller at the end. */
#include "support.h"

static unsigned char memory[4096 + 64];

static aegis_arena over(void *start, size_t size_bytes) {
    aegis_arena arena;
    aegis_arena_options options = test_options(0, 0, NULL, start, size_bytes);
    CHECK(aegis_arena_init(&arena, &options) == AEGIS_OK);
    return arena;
}

static void memory_at_every_misalignment_is_used_within_its_bounds(void) {
    for (size_t shift = 0; shift < 32; shift++) {
        memset(memory, 0x77, sizeof memory);
        aegis_arena arena = over(memory + shift, 4096);
        CHECK_SIZE(stats_of(&arena).block_count, 1);
        CHECK_SIZE(stats_of(&arena).acquired_count, 0);
        CHECK_SIZE(stats_of(&arena).reserved_bytes, 0);
        size_t count = 0;
        for (unsigned char *p; (p = (unsigned char *)aegis_arena_alloc(&arena, 24)) != NULL;
             count++) {
            CHECK(p >= memory + shift && p + 24 <= memory + shift + 4096);
            CHECK(is_aligned(p, AEGIS_ARENA_ALIGN));
            memset(p, 0x11, 24);
        }
        CHECK(count > 80);
        CHECK(error_of(&arena).status == AEGIS_E_EXHAUSTED);
        CHECK_SIZE(error_of(&arena).limit_bytes, stats_of(&arena).capacity_bytes);
        /* Guards and gaps count here, so that what was needed and what is in use exceed the limit.
         */
        CHECK_SIZE(error_of(&arena).in_use_bytes,
                   stats_of(&arena).capacity_bytes - stats_of(&arena).remaining_bytes);
        check_figures(&arena);
        aegis_arena_fini(&arena);
        CHECK(is_filled(memory, 0x77, shift));
        CHECK(is_filled(memory + shift + 4096, 0x77, 64 - shift));
    }
}

static void memory_too_small_for_a_block_serves_only_zero_bytes(void) {
    for (size_t size = 0; size < 6 * sizeof(void *); size++) {
        memset(memory, 0x77, sizeof memory);
        aegis_arena arena = over(memory + 1, size);
        CHECK(aegis_arena_alloc(&arena, 0) != NULL);
        CHECK(aegis_arena_alloc(&arena, 1) == NULL);
        CHECK(error_of(&arena).status == AEGIS_E_EXHAUSTED);
        CHECK(aegis_arena_alloc_zeroed(&arena, 1) == NULL);
        CHECK(aegis_arena_alloc_aligned(&arena, 1, 16) == NULL);
        aegis_arena_reset(&arena);
        aegis_arena_trim(&arena, 0);
        aegis_arena_clear(&arena);
        aegis_arena_fini(&arena);
        CHECK(is_filled(memory, 0x77, sizeof memory));
    }
}

static void memory_at_the_end_of_the_address_space_is_not_used(void) {
    aegis_arena arena = over((void *)(UINTPTR_MAX - 8191), 4096);
    CHECK_SIZE(stats_of(&arena).block_count, 0);
    CHECK(aegis_arena_alloc(&arena, 1) == NULL);
    aegis_arena_fini(&arena);
}

static void memory_is_all_there_again_after_reset_trim_and_clear(void) {
    aegis_arena arena = over(memory, 4096);
    size_t capacity_bytes = stats_of(&arena).capacity_bytes;
    for (int round = 0; round < 12; round++) {
        unsigned char *p = (unsigned char *)aegis_arena_alloc_zeroed(&arena, 3000);
        CHECK(p != NULL && is_filled(p, 0, 3000));
        memset(p, 0xEE, 3000);
        CHECK(aegis_arena_alloc(&arena, 3000) == NULL);
        if (round % 3 == 0)
            aegis_arena_reset(&arena);
        else
            aegis_arena_clear(&arena);
        if (round % 3 == 2)
            aegis_arena_trim(&arena, 0);
        CHECK_SIZE(stats_of(&arena).capacity_bytes, capacity_bytes);
        CHECK_SIZE(stats_of(&arena).remaining_bytes, capacity_bytes);
        CHECK_SIZE(stats_of(&arena).released_count, 0);
    }
    aegis_arena_fini(&arena);
}

static void memory_with_a_source_is_used_first_and_then_grows(void) {
    static test_source state;
    aegis_source source = test_source_get(&state, true);
    aegis_arena arena;
    aegis_arena_options options = test_options(0, 0, &source, memory, 1024);
    CHECK(aegis_arena_init(&arena, &options) == AEGIS_OK);
    unsigned char *p = (unsigned char *)aegis_arena_alloc(&arena, 800);
    CHECK(p >= memory && p + 800 <= memory + 1024);
    CHECK_SIZE(state.live_count, 0);
    unsigned char *q = (unsigned char *)aegis_arena_alloc(&arena, 800);
    CHECK(q != NULL && (q < memory || q >= memory + 1024));
    CHECK_SIZE(state.live_count, 1);
    CHECK_SIZE(stats_of(&arena).reserved_bytes, state.live_bytes);
    check_figures(&arena);
    aegis_arena_clear(&arena);
    CHECK_SIZE(state.live_count, 0);
    CHECK_SIZE(stats_of(&arena).block_count, 1);
    CHECK(aegis_arena_alloc(&arena, 800) == p);
    state.fail_at = state.asked_count + 1;
    state.fail_on = true;
    CHECK(aegis_arena_alloc(&arena, 800) == NULL);
    CHECK(error_of(&arena).status == AEGIS_E_OUT_OF_MEMORY);
    CHECK_SIZE(error_of(&arena).limit_bytes, 0);
    aegis_arena_fini(&arena);
    test_source_check_done(&state);
}

static void memory_is_the_callers_again_after_fini(void) {
    aegis_arena arena = over(memory, sizeof memory);
    CHECK(aegis_arena_alloc(&arena, 100) != NULL);
    aegis_arena_fini(&arena);
    /* If bytes were still hidden, a checker would report this write. */
    memset(memory, 0, sizeof memory);
    CHECK(is_filled(memory, 0, sizeof memory));
}

static void memory_arena_defers_and_scopes_and_says_exhausted(void) {
    aegis_arena arena = over(memory, 1024);
    aegis_arena_scope scope;
    aegis_arena_scope_begin(&arena, &scope);
    CHECK(aegis_arena_alloc(&scope.arena, 500) != NULL);
    /* As long as the scope is open, it has all of the memory. */
    CHECK(aegis_arena_alloc(&arena, 8) == NULL);
    CHECK(error_of(&arena).status == AEGIS_E_EXHAUSTED);
    aegis_arena_scope_end(&arena, &scope);
    CHECK_SIZE(stats_of(&arena).used_bytes, 0);
    while (aegis_arena_alloc(&arena, 8) != NULL) {
    }
    CHECK(aegis_arena_defer(&arena, (aegis_arena_defer_fn)free, NULL) == AEGIS_E_EXHAUSTED);
    aegis_arena_fini(&arena);
}

int main(void) {
    RUN(memory_at_every_misalignment_is_used_within_its_bounds);
    RUN(memory_too_small_for_a_block_serves_only_zero_bytes);
    RUN(memory_at_the_end_of_the_address_space_is_not_used);
    RUN(memory_is_all_there_again_after_reset_trim_and_clear);
    RUN(memory_with_a_source_is_used_first_and_then_grows);
    RUN(memory_is_the_callers_again_after_fini);
    RUN(memory_arena_defers_and_scopes_and_says_exhausted);
    return check_finish();
}
