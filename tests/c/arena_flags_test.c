/* SPDX-License-Identifier: Apache-2.0 */
/* Tests what each flag of an arena does: guards, fill patterns, wiping, a block for each
 * allocation. The tests make each mistake on purpose and collect the reports. A guard must report
 * each overrun exactly once; an unknown flag must be refused. */
#include "support.h"

static size_t report_count;
static char latest_report[256];

static void count_report(const char *message) {
    report_count++;
    (void)snprintf(latest_report, sizeof latest_report, "%s", message);
}

static test_source state;

static aegis_arena arena_with(uint32_t flags) {
    aegis_source source = test_source_get(&state, true);
    aegis_arena_options options = test_options(4096, 0, &source, NULL, 0);
    options.flags = flags;
    options.name = "tested";
    aegis_arena arena;
    CHECK(aegis_arena_init(&arena, &options) == AEGIS_OK);
    report_count = 0;
    return arena;
}

/* Whether guards are in use: where a checker is compiled in, the checker's own gap takes their
 * place. */
static bool has_guards(const aegis_arena *arena) {
    return (arena->flags & AEGIS_ARENA_GUARD) != 0;
}

static void finish(aegis_arena *arena) {
    aegis_arena_fini(arena);
    test_source_check_done(&state);
}

/* Each way to overrun an allocation, with each way to free it. Each overrun must be reported
 * exactly once. */
static void guard_reports_an_overrun_once(void) {
    static const size_t sizes[] = {1, 13, 16};
    for (size_t i = 0; i < 12; i++) {
        aegis_arena arena = arena_with(AEGIS_ARENA_GUARD);
        if (!has_guards(&arena)) {
            finish(&arena);
            return;
        }
        size_t size = sizes[i % 3];
        aegis_arena_mark mark = aegis_arena_get_mark(&arena);
        unsigned char *p = (unsigned char *)aegis_arena_alloc(&arena, size);
        unsigned char kept = p[size];
        p[size] = 0;
        CHECK(kept != 0);
        if (i / 3 == 0)
            aegis_arena_reset(&arena);
        else if (i / 3 == 1)
            CHECK(aegis_arena_rewind(&arena, &mark) == AEGIS_OK);
        else if (i / 3 == 2)
            aegis_arena_free_last(&arena, p, size);
        finish(&arena);
        CHECK_SIZE(report_count, 1);
        CHECK(strstr(latest_report, "tested") != NULL);
    }
}

static void guard_survives_an_overrun_of_its_fields(void) {
    aegis_arena arena = arena_with(AEGIS_ARENA_GUARD);
    unsigned char *p = (unsigned char *)aegis_arena_alloc(&arena, 16);
    unsigned char *q = (unsigned char *)aegis_arena_alloc(&arena, 16);
    if (has_guards(&arena)) {
        memset(q + 16, 0, 32);
        aegis_arena_free_last(&arena, p, 16);
        aegis_arena_free_last(&arena, q, 16);
        CHECK_SIZE(report_count, 1);
    }
    finish(&arena);
}

static void guard_found_destroyed_at_reset_is_reported_unless_silenced(void) {
    for (int silenced = 0; silenced < 2; silenced++) {
        aegis_arena arena = arena_with(AEGIS_ARENA_GUARD);
        unsigned char *p = (unsigned char *)aegis_arena_alloc(&arena, 16);
        aegis_report_fn before = silenced ? aegis_set_report(NULL) : NULL;
        if (has_guards(&arena)) {
            memset(p + 16, 0, 32);
            aegis_arena_reset(&arena);
            CHECK_SIZE(report_count, silenced ? 0 : 1);
        }
        finish(&arena);
        if (silenced)
            (void)aegis_set_report(before);
    }
}

static void guards_behind_a_destroyed_one_are_given_up(void) {
    aegis_arena arena = arena_with(AEGIS_ARENA_GUARD);
    if (has_guards(&arena)) {
        unsigned char *p = (unsigned char *)aegis_arena_alloc(&arena, 16);
        unsigned char *q = (unsigned char *)aegis_arena_alloc(&arena, 10000000);
        memset(q + 10000000, 0, 48);
        aegis_arena_free_last(&arena, p, 16);
        aegis_arena_reset(&arena);
        CHECK_SIZE(report_count, 1);
        aegis_arena_scope scope;
        aegis_arena_scope_begin(&arena, &scope);
        p = (unsigned char *)aegis_arena_alloc(&arena, 16);
        memset(p + 16, 0, 48);
        aegis_arena_scope_end(&arena, &scope);
        CHECK_SIZE(report_count, 2);
    }
    finish(&arena);
}

static void init_with_null_options_takes_the_defaults_of_the_build(void) {
    aegis_arena arena;
    CHECK(default_arena_init(&arena) == AEGIS_OK);
    CHECK(aegis_arena_alloc(&arena, 100) != NULL);
    aegis_arena_fini(&arena);
}

static void guard_of_an_allocation_freed_after_a_large_one_is_dropped(void) {
    aegis_arena arena = arena_with(AEGIS_ARENA_GUARD);
    for (int i = 0; i < 20; i++) {
        size_t size = 100;
        unsigned char *p = (unsigned char *)aegis_arena_alloc(&arena, size);
        CHECK(aegis_arena_alloc(&arena, 10000000) != NULL);
        p = (unsigned char *)aegis_arena_realloc(&arena, p, size, 40);
        memset(p, 0xEE, 40);
        aegis_arena_free_last(&arena, p, 40);
        memset(aegis_arena_alloc(&arena, 300), 0xEE, 300);
        if (i % 5 == 4)
            aegis_arena_reset(&arena);
    }
    finish(&arena);
    CHECK_SIZE(report_count, 0);
}

static void guard_of_an_allocation_freed_after_a_mark_is_dropped(void) {
    aegis_arena arena = arena_with(AEGIS_ARENA_GUARD);
    CHECK(aegis_arena_alloc(&arena, 100) != NULL);
    unsigned char *p = (unsigned char *)aegis_arena_alloc(&arena, 100);
    aegis_arena_mark mark = aegis_arena_get_mark(&arena);
    aegis_arena_free_last(&arena, p, 100);
    memset(aegis_arena_alloc(&arena, 300), 0xEE, 300);
    CHECK(aegis_arena_rewind(&arena, &mark) == AEGIS_OK);
    memset(aegis_arena_alloc(&arena, 300), 0xEE, 300);
    finish(&arena);
    CHECK_SIZE(report_count, 0);
}

static void fill_marks_what_is_handed_out_and_what_is_freed(void) {
    aegis_arena arena = arena_with(AEGIS_ARENA_FILL);
    unsigned char *p = (unsigned char *)aegis_arena_alloc(&arena, 100);
    unsigned char *q = (unsigned char *)aegis_arena_alloc_zeroed(&arena, 100);
    CHECK(is_filled(q, 0, 100));
#if !defined(AEGIS_VALGRIND) /* for Valgrind the pattern is uninitialised memory, as it must be */
    CHECK(is_filled(p, 0xA5, 100));
#endif
#if !defined(TEST_ASAN) && !defined(AEGIS_VALGRIND)
    aegis_arena_reset(&arena);
    CHECK(is_filled(p, 0xDF, 100));
    CHECK(is_filled(q, 0xDF, 100));
#endif
    (void)p;
    finish(&arena);
}

static void wipe_clears_what_is_freed(void) {
    aegis_arena arena = arena_with(AEGIS_ARENA_WIPE | AEGIS_ARENA_NO_DEBUG);
    for (int how = 0; how < 3; how++) {
        aegis_arena_mark mark = aegis_arena_get_mark(&arena);
        unsigned char *p = (unsigned char *)aegis_arena_alloc(&arena, 100);
        unsigned char *q = (unsigned char *)aegis_arena_alloc(&arena, 20000);
        memset(p, 0xEE, 100);
        memset(q, 0xEE, 20000);
        if (how == 0)
            aegis_arena_reset(&arena);
        else if (how == 1)
            CHECK(aegis_arena_rewind(&arena, &mark) == AEGIS_OK);
        else
            aegis_arena_free_last(&arena, p, 100);
#if !defined(TEST_ASAN) && !defined(AEGIS_VALGRIND)
        CHECK(is_filled(p, 0, 100));
        CHECK(how == 2 || is_filled(q, 0, 20000));
#endif
    }
    finish(&arena);
}

static void own_blocks_take_and_give_back_a_block_for_each_allocation(void) {
    aegis_arena arena = arena_with(AEGIS_ARENA_OWN_BLOCKS);
    size_t before = state.live_count;
    for (size_t i = 0; i < 50; i++)
        CHECK(aegis_arena_alloc(&arena, 10) != NULL);
    CHECK(state.live_count >= before + 49);
    check_figures(&arena);
    aegis_arena_reset(&arena);
    CHECK(state.live_count <= 1);
    finish(&arena);
}

static void init_with_an_unknown_flag_is_invalid(void) {
    aegis_arena_options options = test_options(0, 0, NULL, NULL, 0);
    for (uint32_t flag = 32; flag != 0; flag <<= 1) {
        aegis_arena arena;
        options.flags = flag;
        CHECK(aegis_arena_init(&arena, &options) == AEGIS_E_INVALID);
    }
}

int main(void) {
    aegis_report_fn before = aegis_set_report(count_report);
    CHECK(before != NULL);
    RUN(guard_reports_an_overrun_once);
    RUN(guard_survives_an_overrun_of_its_fields);
    RUN(guard_found_destroyed_at_reset_is_reported_unless_silenced);
    RUN(guards_behind_a_destroyed_one_are_given_up);
    RUN(init_with_null_options_takes_the_defaults_of_the_build);
    RUN(guard_of_an_allocation_freed_after_a_large_one_is_dropped);
    RUN(guard_of_an_allocation_freed_after_a_mark_is_dropped);
    RUN(fill_marks_what_is_handed_out_and_what_is_freed);
    RUN(wipe_clears_what_is_freed);
    RUN(own_blocks_take_and_give_back_a_block_for_each_allocation);
    RUN(init_with_an_unknown_flag_is_invalid);
    CHECK(aegis_set_report(before) == count_report);
    return check_finish();
}
