/* SPDX-License-Identifier: Apache-2.0 */
/* Tests resets, trims and other calls on the arena of an open scope. Whatever is done with that
 * arena, the memory that the outer arena held before must stay untouched. The tests run on every
 * kind of arena and with every flag. */
#include "support.h"

#define KINDS 4
#define WAYS 7

static test_source state;
static int run_count;
static int report_count;

static void count_run(void *context) {
    (void)context;
    run_count++;
}

static void count_report(const char *message) {
    (void)message;
    report_count++;
}

static const uint32_t flag_sets[] = {0,
                                     AEGIS_ARENA_WIPE,
                                     AEGIS_ARENA_FILL,
                                     AEGIS_ARENA_GUARD,
                                     AEGIS_ARENA_OWN_BLOCKS,
                                     AEGIS_ARENA_WIPE | AEGIS_ARENA_GUARD | AEGIS_ARENA_OWN_BLOCKS};
#define FLAG_SETS (sizeof flag_sets / sizeof flag_sets[0])

/* What a test works on: an arena of one of several kinds. */
typedef struct subject {
    aegis_arena plain;
    aegis_lock_free_arena shared;
    aegis_arena_local local;
    aegis_arena *arena;
    unsigned char memory[20000];
} subject;

static subject it;

/* 0: with a first block; 1: without one; 2: over the caller's memory; 3: a local handle. */
static void begin(int kind, uint32_t flags) {
    aegis_source source = test_source_get(&state, false);
    aegis_arena_options options = test_options(kind == 0 ? 1000 : 0, 4096, &source, NULL, 0);
    memset(&it, 0, sizeof it);
    it.arena = &it.plain;
    if (kind == 2) {
        options = test_options(0, 0, NULL, it.memory, sizeof it.memory);
    } else if (kind == 3) {
        aegis_lock_free_arena_options shared = {0, 0, &source, NULL, NULL, 0};
        CHECK(aegis_lock_free_arena_init(&it.shared, &shared, NULL) == AEGIS_OK);
        CHECK(aegis_arena_local_init(&it.local, &it.shared,
                                     AEGIS_ARENA_NO_DEBUG | (flags & AEGIS_ARENA_FILL)) ==
              AEGIS_OK);
        it.arena = &it.local.arena;
        return;
    }
    options.flags = flags;
    CHECK(aegis_arena_init(it.arena, &options) == AEGIS_OK);
}

static void end(int kind) {
    check_figures(it.arena);
    if (kind == 3) {
        aegis_arena_local_fini(&it.local);
        aegis_lock_free_arena_fini(&it.shared);
    } else {
        aegis_arena_fini(it.arena);
    }
    test_source_check_done(&state);
}

/* Calls one of the functions that free memory on the arena of a scope. */
static void free_all_of(aegis_arena *inner, int way) {
    if (way == 0)
        aegis_arena_reset(inner);
    else if (way == 1)
        aegis_arena_clear(inner);
    else if (way == 2)
        aegis_arena_trim(inner, 0);
    else if (way == 3)
        aegis_arena_fini(inner);
    else if (way == 4)
        aegis_arena_clear(inner), aegis_arena_trim(inner, 0), aegis_arena_reset(inner);
}

/* Passes memory from before the scope to the scope's arena, as if the scope had allocated it. */
static void meddle(aegis_arena *inner, unsigned char *old, size_t size_bytes, int way) {
    if (way == 5) {
        aegis_arena_free_last(inner, old, size_bytes);
    } else if (way == 6) {
        unsigned char *moved =
            (unsigned char *)aegis_arena_realloc(inner, old, size_bytes, size_bytes + 50);
        CHECK(moved != NULL && moved != old && is_filled(moved, old[0], size_bytes));
        if (moved != NULL)
            memset(moved, 9, size_bytes + 50);
        CHECK(aegis_arena_realloc(inner, old, size_bytes, size_bytes / 2) == old);
    }
}

static unsigned char *alloc_filled(aegis_arena *arena, size_t size_bytes, unsigned char value) {
    unsigned char *p = (unsigned char *)aegis_arena_alloc(arena, size_bytes);
    CHECK(p != NULL);
    if (p != NULL)
        memset(p, value, size_bytes);
    return p;
}

static void outer_memory_survives(int kind, uint32_t flags, int way, bool before) {
    begin(kind, flags);
    unsigned char *old[3] = {NULL, NULL, NULL};
    run_count = 0;
    if (before) {
        for (int i = 0; i < 3; i++)
            old[i] = alloc_filled(it.arena, (size_t)i * 400 + 100, 1);
        CHECK(aegis_arena_defer(it.arena, count_run, NULL) == AEGIS_OK);
        old[1] = alloc_filled(it.arena, 500, 1);
    }
    size_t used_bytes = stats_of(it.arena).used_bytes;
    aegis_arena_mark mark = aegis_arena_get_mark(it.arena);
    aegis_arena_scope scope;
    aegis_arena_scope_begin(it.arena, &scope);
    unsigned char *kept = NULL;
    for (int round = 0; round < 3; round++) {
        CHECK(aegis_arena_defer(&scope.arena, count_run, NULL) == AEGIS_OK);
        for (int i = 0; i < 10; i++)
            (void)alloc_filled(&scope.arena, 250, 2);
        if (round == 1 && kind != 2)
            kept = alloc_filled(it.arena, 300, 3);
        free_all_of(&scope.arena, way);
        if (before)
            meddle(&scope.arena, old[1], 500, way);
        (void)alloc_filled(&scope.arena, 100, 4);
        check_figures(&scope.arena);
    }
    aegis_arena_scope_end(it.arena, &scope);
    CHECK_SIZE(run_count, 3);
    CHECK(kept == NULL || is_filled(kept, 3, 300));
    for (int i = 0; before && i < 3; i++)
        CHECK(is_filled(old[i], 1, i == 1 ? 500 : (size_t)i * 400 + 100));
    CHECK(aegis_arena_rewind(it.arena, &mark) == AEGIS_OK);
    CHECK_SIZE(stats_of(it.arena).used_bytes, used_bytes);
    (void)alloc_filled(it.arena, 2000, 5);
    for (int i = 0; before && i < 3; i++)
        CHECK(is_filled(old[i], 1, i == 1 ? 500 : (size_t)i * 400 + 100));
    end(kind);
    CHECK_SIZE(run_count, before ? 4 : 3);
}

static void nothing_done_to_a_scopes_arena_reaches_what_came_before(void) {
    aegis_report_fn usual = aegis_set_report(count_report);
    for (int kind = 0; kind < KINDS; kind++)
        for (size_t flags = 0; flags < FLAG_SETS; flags++)
            for (int way = 0; way < WAYS; way++)
                for (int before = 0; before < 2; before++)
                    outer_memory_survives(kind, flag_sets[flags], way, before != 0);
    (void)aegis_set_report(usual);
}

static void reset_frees_what_the_scope_has_allocated(void) {
    begin(0, 0);
    (void)alloc_filled(it.arena, 100, 1);
    aegis_arena_scope scope;
    aegis_arena_scope_begin(it.arena, &scope);
    size_t used_bytes = stats_of(&scope.arena).used_bytes;
    unsigned char *first = alloc_filled(&scope.arena, 64, 2);
    aegis_arena_mark mark = aegis_arena_get_mark(&scope.arena);
    size_t acquired_count = 0;
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < 100; i++)
            (void)alloc_filled(&scope.arena, 100, 3);
        if (round == 0)
            acquired_count = state.acquired_count;
        aegis_arena_reset(&scope.arena);
        CHECK(aegis_arena_rewind(&scope.arena, &mark) == AEGIS_E_INVALID);
        CHECK_SIZE(stats_of(&scope.arena).used_bytes, used_bytes);
        CHECK(alloc_filled(&scope.arena, 64, 2) == first);
    }
    CHECK_SIZE(state.acquired_count, acquired_count);
    aegis_arena_scope_end(it.arena, &scope);
    end(0);
}

static void trim_of_a_scopes_arena_gives_back_idle_blocks_only(void) {
    begin(0, 0);
    unsigned char *old = alloc_filled(it.arena, 100, 1);
    aegis_arena_scope scope;
    aegis_arena_scope_begin(it.arena, &scope);
    for (int i = 0; i < 100; i++)
        (void)alloc_filled(&scope.arena, 100, 2);
    CHECK(state.live_count > 1);
    aegis_arena_clear(&scope.arena);
    CHECK_SIZE(state.live_count, 1);
    aegis_arena_scope_end(it.arena, &scope);
    CHECK(is_filled(old, 1, 100));
    /* The arena was empty before the scope. It keeps its first block, because marks may lead to
     * it. */
    aegis_arena_reset(it.arena);
    aegis_arena_mark mark = aegis_arena_get_mark(it.arena);
    aegis_arena_scope_begin(it.arena, &scope);
    aegis_arena_trim(&scope.arena, 0);
    CHECK_SIZE(state.live_count, 1);
    aegis_arena_scope_end(it.arena, &scope);
    CHECK(aegis_arena_rewind(it.arena, &mark) == AEGIS_OK);
    (void)alloc_filled(it.arena, 100, 1);
    end(0);
}

static void reset_under_an_open_scope_frees_what_came_since(void) {
    begin(0, 0);
    unsigned char *old = alloc_filled(it.arena, 100, 1);
    aegis_arena_scope outer, inner;
    aegis_arena_scope_begin(it.arena, &outer);
    unsigned char *middle = alloc_filled(&outer.arena, 100, 2);
    aegis_arena_scope_begin(&outer.arena, &inner);
    unsigned char *latest = alloc_filled(&inner.arena, 100, 3);
    for (int round = 0; round < 3; round++) {
        (void)alloc_filled(&outer.arena, 3000, 4);
        (void)alloc_filled(it.arena, 3000, 5);
        aegis_arena_reset(&outer.arena);
        aegis_arena_clear(it.arena);
        CHECK_SIZE(stats_of(it.arena).used_bytes, 0);
        CHECK_SIZE(stats_of(&outer.arena).used_bytes, 0);
    }
    CHECK(is_filled(old, 1, 100) && is_filled(middle, 2, 100) && is_filled(latest, 3, 100));
    aegis_arena_scope_end(&outer.arena, &inner);
    aegis_arena_reset(&outer.arena);
    (void)alloc_filled(&outer.arena, 500, 6);
    CHECK(is_filled(old, 1, 100));
    aegis_arena_scope_end(it.arena, &outer);
    CHECK(is_filled(old, 1, 100));
    end(0);
}

static void resets_of_both_arenas_of_a_scope_are_counted(void) {
    begin(0, 0);
    aegis_arena_scope outer, inner;
    aegis_arena_reset(it.arena);
    aegis_arena_scope_begin(it.arena, &outer);
    aegis_arena_reset(it.arena);
    aegis_arena_reset(&outer.arena);
    aegis_arena_scope_begin(&outer.arena, &inner);
    aegis_arena_clear(&outer.arena);
    aegis_arena_reset(&inner.arena);
    aegis_arena_scope_end(&outer.arena, &inner);
    aegis_arena_scope_end(it.arena, &outer);
    CHECK_SIZE(stats_of(it.arena).reset_count, 5);
    end(0);
}

static void earlier_scope_still_knows_its_floor_when_a_later_one_ends(void) {
    begin(0, 0);
    (void)alloc_filled(it.arena, 100, 1);
    aegis_arena_scope first, second, nested;
    aegis_arena_scope_begin(it.arena, &first);
    unsigned char *in_first = alloc_filled(&first.arena, 100, 2);
    aegis_arena_scope_begin(it.arena, &second);
    unsigned char *in_second = alloc_filled(&second.arena, 100, 3);
    aegis_arena_scope_begin(&second.arena, &nested);
    aegis_arena_scope_end(&second.arena, &nested);
    /* No scope is open on the second one any more, so its reset goes back to where it began. */
    aegis_arena_reset(&second.arena);
    CHECK(alloc_filled(&second.arena, 100, 4) == in_second);
    aegis_arena_scope_end(it.arena, &second);
    CHECK(is_filled(in_first, 2, 100));
    aegis_arena_scope_end(it.arena, &first);
    end(0);
}

/* More scopes than a counter of scopes in the flags could count. */
#define DEPTH 4200

static void check_busy(aegis_arena *arena, const unsigned char *data) {
    aegis_buffer buffer;
    CHECK(aegis_buffer_from_arena(&buffer, arena, data, 16, NULL) == AEGIS_E_BUSY);
}

static void scopes_of_any_depth_are_known_as_such(void) {
    begin(0, 0);
    unsigned char *old = alloc_filled(it.arena, 100, 1);
    aegis_arena_scope *scopes = (aegis_arena_scope *)calloc(DEPTH, sizeof *scopes);
    CHECK(scopes != NULL);
    aegis_arena *arena = it.arena;
    for (int i = 0; scopes != NULL && i < DEPTH; i++) {
        unsigned char *kept = alloc_filled(arena, 16, 2);
        aegis_arena_scope_begin(arena, &scopes[i]);
        check_busy(arena, kept);
        arena = &scopes[i].arena;
        check_busy(arena, kept);
        (void)alloc_filled(arena, 16, 3);
        aegis_arena_reset(arena);
        CHECK(is_filled(kept, 2, 16));
    }
    for (int i = DEPTH; scopes != NULL && i-- > 0;)
        aegis_arena_scope_end(i == 0 ? it.arena : &scopes[i - 1].arena, &scopes[i]);
    free(scopes);
    CHECK(is_filled(old, 1, 100));
    aegis_buffer buffer;
    CHECK(aegis_buffer_from_arena(&buffer, it.arena, old, 100, NULL) == AEGIS_OK);
    CHECK(aegis_buffer_release(&buffer) == AEGIS_OK);
    test_source_check_done(&state);
}

static void fini_of_a_scopes_arena_is_reported_in_a_debug_build(void) {
    aegis_report_fn usual = aegis_set_report(count_report);
    aegis_arena plain;
    CHECK(default_arena_init(&plain) == AEGIS_OK);
    bool debug = (plain.flags & AEGIS_ARENA_FILL) != 0;
    aegis_arena_fini(&plain);
    report_count = 0;
    begin(0, 0);
    aegis_arena_scope scope;
    aegis_arena_scope_begin(it.arena, &scope);
    aegis_arena_fini(&scope.arena);
    aegis_arena_scope_end(it.arena, &scope);
    end(0);
    CHECK_SIZE(report_count, debug ? 1 : 0);
    (void)aegis_set_report(usual);
}

static void scope_that_ends_out_of_turn_is_reported_in_a_debug_build(void) {
    aegis_report_fn usual = aegis_set_report(count_report);
    aegis_arena plain;
    CHECK(default_arena_init(&plain) == AEGIS_OK);
    bool debug = (plain.flags & AEGIS_ARENA_FILL) != 0;
    aegis_arena_scope first, second;
    aegis_arena_scope_begin(&plain, &first);
    aegis_arena_scope_begin(&plain, &second);
    report_count = 0;
    aegis_arena_scope_end(&plain, &second);
    CHECK_SIZE(report_count, 0);
    aegis_arena_scope_begin(&plain, &second);
    if (debug) {
        /* Both structs stay where they are, so that the test may read what is left of the first
         * one. */
        aegis_arena_scope_end(&plain, &first);
        CHECK_SIZE(report_count, 1);
        aegis_arena_scope_end(&plain, &second);
    } else {
        aegis_arena_scope_end(&plain, &second);
        aegis_arena_scope_end(&plain, &first);
    }
    aegis_arena_fini(&plain);
    (void)aegis_set_report(usual);
}

static void scopes_of_an_arena_finished_too_early_can_be_finished(void) {
    aegis_report_fn usual = aegis_set_report(NULL);
    aegis_budget *budget = aegis_budget_new("b", 1 << 20, NULL);
    for (int round = 0; round < 2; round++) {
        aegis_source source = test_source_get(&state, false);
        aegis_arena_options options = test_options(1000, 0, &source, NULL, 0);
        options.budget = budget;
        CHECK(aegis_arena_init(&it.plain, &options) == AEGIS_OK);
        (void)alloc_filled(&it.plain, 100, 1);
        aegis_arena_scope first, second;
        aegis_arena_scope_begin(&it.plain, &first);
        aegis_arena_scope_begin(&first.arena, &second);
        (void)alloc_filled(&second.arena, 2000, 2);
        aegis_arena_fini(&it.plain);
        if (round == 0)
            aegis_arena_fini(&second.arena);
        aegis_arena_scope_end(&first.arena, &second);
        CHECK_SIZE(state.close_count, 0);
        aegis_arena_fini(&first.arena);
        CHECK_SIZE(state.close_count, 1);
        test_source_check_done(&state);
    }
    aegis_budget_figures figures;
    aegis_budget_get_figures(budget, &figures);
    CHECK_SIZE(figures.used_bytes, 0);
    aegis_budget_destroy(budget);
    (void)aegis_set_report(usual);
}

int main(void) {
    RUN(nothing_done_to_a_scopes_arena_reaches_what_came_before);
    RUN(reset_frees_what_the_scope_has_allocated);
    RUN(trim_of_a_scopes_arena_gives_back_idle_blocks_only);
    RUN(reset_under_an_open_scope_frees_what_came_since);
    RUN(resets_of_both_arenas_of_a_scope_are_counted);
    RUN(earlier_scope_still_knows_its_floor_when_a_later_one_ends);
    RUN(scopes_of_any_depth_are_known_as_such);
    RUN(fini_of_a_scopes_arena_is_reported_in_a_debug_build);
    RUN(scope_that_ends_out_of_turn_is_reported_in_a_debug_build);
    RUN(scopes_of_an_arena_finished_too_early_can_be_finished);
    return check_finish();
}
