/* SPDX-License-Identifier: Apache-2.0 */
/* Tests marks, scopes and deferred calls of an arena. A rewind or the end of a scope must free
 * exactly what came after its start, and the memory before it must keep its content. Deferred calls
 * must run once, the newest first. */
#include "support.h"

static test_source state;

static aegis_arena new_arena(void) {
    aegis_source source = test_source_get(&state, true);
    aegis_arena arena;
    aegis_arena_options options = test_options(0, 16384, &source, NULL, 0);
    CHECK(aegis_arena_init(&arena, &options) == AEGIS_OK);
    return arena;
}

static void finish(aegis_arena *arena) {
    check_figures(arena);
    CHECK_SIZE(stats_of(arena).reserved_bytes, state.live_bytes);
    aegis_arena_fini(arena);
    test_source_check_done(&state);
}

static void fill(aegis_arena *arena, int count) {
    for (int i = 0; i < count; i++)
        CHECK(aegis_arena_alloc(arena, 300) != NULL);
}

/* What deferred calls leave behind: their numbers, in the order in which the calls run. */
static int log_numbers[64];
static size_t log_count;
static int numbers[64];

static void log_call(void *context) {
    if (log_count < 64)
        log_numbers[log_count] = *(int *)context;
    log_count++;
}

static void defer_number(aegis_arena *arena, int number) {
    numbers[number] = number;
    CHECK(aegis_arena_defer(arena, log_call, &numbers[number]) == AEGIS_OK);
}

/* Demands that since the last look exactly the calls `from` down to `to` have run, in this
 * order. */
static void check_log(int from, int to) {
    CHECK_SIZE(log_count, (size_t)(from - to + 1));
    for (size_t i = 0; i < log_count && i < 64; i++)
        CHECK(log_numbers[i] == from - (int)i);
    log_count = 0;
}

static void rewind_frees_what_came_after_and_keeps_the_rest(void) {
    aegis_arena arena = new_arena();
    unsigned char *p = (unsigned char *)aegis_arena_alloc(&arena, 100);
    memset(p, 5, 100);
    aegis_arena_mark mark = aegis_arena_get_mark(&arena);
    size_t used_bytes = stats_of(&arena).used_bytes;
    size_t acquired = 0;
    for (int round = 0; round < 5; round++) {
        fill(&arena, 100);
        CHECK(aegis_arena_rewind(&arena, &mark) == AEGIS_OK);
        CHECK_SIZE(stats_of(&arena).used_bytes, used_bytes);
        CHECK(is_filled(p, 5, 100));
        check_figures(&arena);
        if (round == 0)
            acquired = state.acquired_count;
    }
    CHECK_SIZE(state.acquired_count, acquired);
    finish(&arena);
}

static void rewind_to_the_mark_of_an_empty_arena_frees_all(void) {
    aegis_arena arena = new_arena();
    aegis_arena_mark mark = aegis_arena_get_mark(&arena);
    CHECK(aegis_arena_rewind(&arena, &mark) == AEGIS_OK);
    fill(&arena, 100);
    CHECK(aegis_arena_rewind(&arena, &mark) == AEGIS_OK);
    CHECK_SIZE(stats_of(&arena).used_bytes, 0);
    finish(&arena);
}

static void rewind_to_a_stale_mark_is_invalid_and_changes_nothing(void) {
    for (int how = 0; how < 3; how++) {
        aegis_arena arena = new_arena();
        fill(&arena, 10);
        aegis_arena_mark mark = aegis_arena_get_mark(&arena);
        if (how == 0) {
            aegis_arena_reset(&arena);
        } else if (how == 1) {
            aegis_arena_clear(&arena);
        } else {
            aegis_arena_reset(&arena);
            mark = aegis_arena_get_mark(&arena);
            aegis_arena_trim(&arena, 0);
        }
        fill(&arena, 3);
        aegis_arena before;
        memcpy(&before, &arena, sizeof before);
        CHECK(aegis_arena_rewind(&arena, &mark) == AEGIS_E_INVALID);
        CHECK(memcmp(&before, &arena, sizeof before) == 0);
        finish(&arena);
    }
}

static void marks_nest(void) {
    aegis_arena arena = new_arena();
    aegis_arena_mark marks[10];
    size_t used_bytes[10];
    for (int i = 0; i < 10; i++) {
        marks[i] = aegis_arena_get_mark(&arena);
        used_bytes[i] = stats_of(&arena).used_bytes;
        defer_number(&arena, i);
        fill(&arena, 20);
        CHECK(aegis_arena_alloc(&arena, 20000) != NULL);
    }
    for (int i = 9; i >= 0; i -= 2) {
        CHECK(aegis_arena_rewind(&arena, &marks[i]) == AEGIS_OK);
        CHECK_SIZE(stats_of(&arena).used_bytes, used_bytes[i]);
        check_figures(&arena);
        check_log(i == 9 ? 9 : i + 1, i);
    }
    finish(&arena);
    check_log(0, 0);
}

static void deferred_calls_run_newest_first_and_once(void) {
    aegis_arena arena = new_arena();
    for (int i = 0; i < 10; i++) {
        defer_number(&arena, i);
        fill(&arena, i);
    }
    CHECK_SIZE(log_count, 0);
    aegis_arena_reset(&arena);
    check_log(9, 0);
    aegis_arena_reset(&arena);
    aegis_arena_clear(&arena);
    CHECK_SIZE(log_count, 0);
    defer_number(&arena, 10);
    aegis_arena_clear(&arena);
    check_log(10, 10);
    defer_number(&arena, 11);
    defer_number(&arena, 12);
    finish(&arena);
    check_log(12, 11);
    aegis_arena_fini(&arena);
    CHECK_SIZE(log_count, 0);
}

static void defer_of_no_function_is_invalid(void) {
    aegis_arena arena = new_arena();
    CHECK(aegis_arena_defer(&arena, NULL, NULL) == AEGIS_E_INVALID);
    CHECK_SIZE(stats_of(&arena).used_bytes, 0);
    finish(&arena);
}

static void defer_without_memory_registers_nothing(void) {
    aegis_arena arena = new_arena();
    state.fail_at = 1;
    state.fail_on = true;
    CHECK(aegis_arena_defer(&arena, log_call, &numbers[0]) == AEGIS_E_OUT_OF_MEMORY);
    aegis_arena_reset(&arena);
    finish(&arena);
    CHECK_SIZE(log_count, 0);
}

static void allocate_and_log(void *context) {
    aegis_arena *arena = (aegis_arena *)context;
    fill(arena, 50);
    if (log_count < 3) {
        log_count++;
        CHECK(aegis_arena_defer(arena, allocate_and_log, arena) == AEGIS_OK);
    }
}

static void deferred_call_may_allocate_and_defer(void) {
    aegis_arena arena = new_arena();
    for (int how = 0; how < 3; how++) {
        aegis_arena_mark mark = aegis_arena_get_mark(&arena);
        CHECK(aegis_arena_defer(&arena, allocate_and_log, &arena) == AEGIS_OK);
        if (how == 0)
            aegis_arena_reset(&arena);
        else if (how == 1)
            CHECK(aegis_arena_rewind(&arena, &mark) == AEGIS_OK);
        else
            finish(&arena);
        CHECK_SIZE(how == 2 ? 0 : stats_of(&arena).used_bytes, 0);
        CHECK_SIZE(log_count, 3);
        log_count = 0;
    }
}

static void scope_end_frees_the_scope_and_keeps_the_rest(void) {
    aegis_arena arena = new_arena();
    unsigned char *before = (unsigned char *)aegis_arena_alloc(&arena, 100);
    memset(before, 1, 100);
    aegis_arena_scope scope;
    aegis_arena_scope_begin(&arena, &scope);
    fill(&scope.arena, 100);
    unsigned char *during = (unsigned char *)aegis_arena_alloc(&arena, 100);
    memset(during, 2, 100);
    check_figures(&scope.arena);
    check_figures(&arena);
    aegis_arena_scope_end(&arena, &scope);
    CHECK(is_filled(before, 1, 100) && is_filled(during, 2, 100));
    fill(&arena, 100);
    CHECK(is_filled(before, 1, 100) && is_filled(during, 2, 100));
    finish(&arena);
}

static void scope_on_an_empty_arena_works(void) {
    for (int how = 0; how < 4; how++) {
        aegis_arena arena = new_arena();
        aegis_arena_scope scope;
        aegis_arena_scope_begin(&arena, &scope);
        unsigned char *kept = NULL;
        if ((how & 1) != 0)
            fill(&scope.arena, 10);
        if ((how & 2) != 0)
            memset(kept = (unsigned char *)aegis_arena_alloc(&arena, 100), 3, 100);
        aegis_arena_scope_end(&arena, &scope);
        CHECK(kept == NULL || is_filled(kept, 3, 100));
        fill(&arena, 10);
        finish(&arena);
    }
}

static void scopes_nest_and_each_ends_by_itself(void) {
    aegis_arena arena = new_arena();
    for (int round = 0; round < 3; round++) {
        aegis_arena_scope outer, inner;
        aegis_arena_scope_begin(&arena, &outer);
        defer_number(&outer.arena, 1);
        unsigned char *p = (unsigned char *)aegis_arena_alloc(&outer.arena, 100);
        memset(p, 1, 100);
        aegis_arena_scope_begin(&outer.arena, &inner);
        defer_number(&inner.arena, 2);
        fill(&inner.arena, 60);
        unsigned char *q = (unsigned char *)aegis_arena_alloc(&outer.arena, 100);
        memset(q, 2, 100);
        unsigned char *r = (unsigned char *)aegis_arena_alloc(&arena, 100);
        memset(r, 3, 100);
        aegis_arena_scope_end(&outer.arena, &inner);
        check_log(2, 2);
        fill(&outer.arena, 60);
        CHECK(is_filled(p, 1, 100) && is_filled(q, 2, 100) && is_filled(r, 3, 100));
        aegis_arena_scope_end(&arena, &outer);
        check_log(1, 1);
        CHECK(is_filled(r, 3, 100));
        check_figures(&arena);
    }
    finish(&arena);
}

static void scopes_begun_one_after_another_on_one_arena_end_in_reverse(void) {
    aegis_arena arena = new_arena();
    size_t acquired = 0;
    for (int round = 0; round < 10; round++) {
        aegis_arena_scope first, second;
        aegis_arena_scope_begin(&arena, &first);
        fill(&first.arena, 20);
        unsigned char *p = (unsigned char *)aegis_arena_alloc(&arena, 100);
        memset(p, 1, 100);
        aegis_arena_scope_begin(&arena, &second);
        fill(&second.arena, 20);
        unsigned char *q = (unsigned char *)aegis_arena_alloc(&arena, 100);
        memset(q, 2, 100);
        aegis_arena_scope_end(&arena, &second);
        fill(&first.arena, 20);
        fill(&arena, 20);
        CHECK(is_filled(p, 1, 100) && is_filled(q, 2, 100));
        aegis_arena_scope_end(&arena, &first);
        CHECK(is_filled(p, 1, 100) && is_filled(q, 2, 100));
        check_figures(&arena);
        aegis_arena_reset(&arena);
        if (round == 1)
            acquired = state.acquired_count;
    }
    CHECK_SIZE(state.acquired_count, acquired);
    finish(&arena);
}

static void deferred_calls_of_scope_and_arena_run_at_their_own_ends(void) {
    aegis_arena arena = new_arena();
    aegis_arena_scope scope;
    defer_number(&arena, 1);
    aegis_arena_scope_begin(&arena, &scope);
    defer_number(&arena, 2);
    defer_number(&scope.arena, 4);
    defer_number(&arena, 3);
    aegis_arena_scope_end(&arena, &scope);
    check_log(4, 4);
    aegis_arena_reset(&arena);
    check_log(3, 1);
    finish(&arena);
}

static void mark_from_before_a_scope_is_good_after_it(void) {
    aegis_arena arena = new_arena();
    fill(&arena, 5);
    aegis_arena_mark mark = aegis_arena_get_mark(&arena);
    size_t used_bytes = stats_of(&arena).used_bytes;
    aegis_arena_scope scope;
    aegis_arena_scope_begin(&arena, &scope);
    fill(&scope.arena, 30);
    fill(&arena, 30);
    aegis_arena_scope_end(&arena, &scope);
    CHECK(aegis_arena_rewind(&arena, &mark) == AEGIS_OK);
    CHECK_SIZE(stats_of(&arena).used_bytes, used_bytes);
    finish(&arena);
}

static void mark_does_not_cross_the_border_of_a_scope_on_the_outer_arena(void) {
    aegis_arena arena = new_arena();
    fill(&arena, 5);
    size_t used_bytes = stats_of(&arena).used_bytes;
    aegis_arena_mark before = aegis_arena_get_mark(&arena);
    aegis_arena_scope scope;
    aegis_arena_scope_begin(&arena, &scope);
    /* Now the memory belongs to the scope. */
    CHECK(aegis_arena_rewind(&arena, &before) == AEGIS_E_INVALID);
    aegis_arena_mark during = aegis_arena_get_mark(&arena);
    fill(&arena, 5);
    CHECK(aegis_arena_rewind(&arena, &during) == AEGIS_OK);
    aegis_arena_scope_end(&arena, &scope);
    CHECK(aegis_arena_rewind(&arena, &during) == AEGIS_E_INVALID);
    CHECK_SIZE(stats_of(&arena).used_bytes, used_bytes);
    CHECK(aegis_arena_rewind(&arena, &before) == AEGIS_OK);
    finish(&arena);
}

static void scope_that_was_reset_or_trimmed_still_ends_empty(void) {
    for (int how = 0; how < 3; how++) {
        aegis_arena arena = new_arena();
        fill(&arena, 3);
        aegis_arena_reset(&arena);
        aegis_arena_scope scope;
        aegis_arena_scope_begin(&arena, &scope);
        if (how == 0)
            aegis_arena_reset(&scope.arena);
        else if (how == 1)
            aegis_arena_trim(&scope.arena, 0);
        else
            aegis_arena_clear(&scope.arena);
        fill(&scope.arena, 20);
        defer_number(&scope.arena, 1);
        aegis_arena_scope_end(&arena, &scope);
        check_log(1, 1);
        CHECK_SIZE(stats_of(&arena).used_bytes, 0);
        finish(&arena);
    }
}

static void outer_allocation_in_a_scope_loop_acquires_nothing_new(void) {
    aegis_arena arena = new_arena();
    size_t acquired = 0;
    for (int round = 0; round < 100; round++) {
        for (int i = 0; i < 3; i++) {
            aegis_arena_scope scope;
            aegis_arena_scope_begin(&arena, &scope);
            fill(&scope.arena, 10);
            unsigned char *kept = (unsigned char *)aegis_arena_alloc_zeroed(&arena, 700);
            CHECK(kept != NULL && is_filled(kept, 0, 700));
            memset(kept, 4, 700);
            fill(&arena, i);
            aegis_arena_scope_end(&arena, &scope);
            check_figures(&arena);
            CHECK(is_filled(kept, 4, 700));
        }
        aegis_arena_reset(&arena);
        if (round == 1)
            acquired = state.acquired_count;
    }
    CHECK_SIZE(state.acquired_count, acquired);
    finish(&arena);
}

static void scope_in_which_the_arena_stays_unused_wastes_nothing(void) {
    aegis_arena arena = new_arena();
    for (int round = 0; round < 20; round++) {
        aegis_arena_scope scope;
        aegis_arena_scope_begin(&arena, &scope);
        fill(&scope.arena, 10);
        if (round == 0)
            fill(&arena, 3);
        aegis_arena_scope_end(&arena, &scope);
        if (round == 0)
            aegis_arena_reset(&arena);
        CHECK_SIZE(stats_of(&arena).used_bytes, 0);
        CHECK_SIZE(stats_of(&arena).wasted_bytes, 0);
        check_figures(&arena);
    }
    finish(&arena);
}

int main(void) {
    RUN(rewind_frees_what_came_after_and_keeps_the_rest);
    RUN(rewind_to_the_mark_of_an_empty_arena_frees_all);
    RUN(rewind_to_a_stale_mark_is_invalid_and_changes_nothing);
    RUN(marks_nest);
    RUN(deferred_calls_run_newest_first_and_once);
    RUN(defer_of_no_function_is_invalid);
    RUN(defer_without_memory_registers_nothing);
    RUN(deferred_call_may_allocate_and_defer);
    RUN(scope_end_frees_the_scope_and_keeps_the_rest);
    RUN(scope_on_an_empty_arena_works);
    RUN(scopes_nest_and_each_ends_by_itself);
    RUN(scopes_begun_one_after_another_on_one_arena_end_in_reverse);
    RUN(deferred_calls_of_scope_and_arena_run_at_their_own_ends);
    RUN(mark_from_before_a_scope_is_good_after_it);
    RUN(mark_does_not_cross_the_border_of_a_scope_on_the_outer_arena);
    RUN(scope_that_was_reset_or_trimmed_still_ends_empty);
    RUN(outer_allocation_in_a_scope_loop_acquires_nothing_new);
    RUN(scope_in_which_the_arena_stays_unused_wastes_nothing);
    return check_finish();
}
