/* SPDX-License-Identifier: Apache-2.0 */
/* Tests the heap in an arena where it gets no more memory: wrong options and layouts, memory of a
 * fixed size, budgets, and what a source that fails leaves behind. */
#include "arena_heap_support.h"
#include "budget_support.h"
#include "report_support.h"

/* A heap under a limit that holds nothing else. */
static aegis_arena_heap limited_heap(test_source *state, aegis_budget *budget) {
    aegis_source source = test_source_get(state, false);
    aegis_arena_options options = heap_options(&source);
    options.budget = budget;
    aegis_arena_heap heap;
    CHECK(aegis_arena_heap_init(&heap, &options) == AEGIS_OK);
    return heap;
}

static void memory_of_the_caller_is_used_up_and_never_released(void) {
    static unsigned char memory[10001];
    aegis_arena_options options = heap_options(NULL);
    options.memory = memory + 1;
    options.memory_bytes = 10000;
    aegis_arena_heap heap;
    CHECK(aegis_arena_heap_init(&heap, &options) == AEGIS_OK);
    void *p[100];
    for (int round = 0; round < 3; round++) {
        size_t count = 0;
        while (count < 100 && (p[count] = aegis_arena_heap_alloc(&heap, 300)) != NULL)
            count++;
        CHECK(count > 20 && count < 34);
        aegis_error error;
        aegis_arena_heap_last_error(&heap, &error);
        CHECK(error.status == AEGIS_E_EXHAUSTED && error.requested_bytes == 300);
        CHECK(error.in_use_bytes + error.needed_bytes > error.limit_bytes);
        char text[200];
        CHECK(aegis_arena_heap_explain(&heap, text, sizeof text) < sizeof text);
        while (count != 0)
            aegis_arena_heap_free(&heap, p[--count]);
        void *whole = aegis_arena_heap_alloc(&heap, 9000);
        CHECK(whole != NULL);
        if (round == 1)
            aegis_arena_heap_reset(&heap);
        else
            aegis_arena_heap_free(&heap, whole);
        CHECK(aegis_arena_heap_alloc(&heap, 20000) == NULL);
    }
    CHECK_SIZE(heap_stats(&heap).reserved_bytes, 0);
    aegis_arena_heap_fini(&heap);
    /* Memory that is too small for a block. */
    options.memory_bytes = 40;
    CHECK(aegis_arena_heap_init(&heap, &options) == AEGIS_OK);
    CHECK(aegis_arena_heap_alloc(&heap, 1) == NULL);
    aegis_arena_heap_fini(&heap);
}

static void wrong_options_are_refused(void) {
    aegis_arena_heap heap;
    aegis_error error;
    aegis_arena_options options = heap_options(NULL);
    options.flags = 1024;
    CHECK(aegis_arena_heap_init(&heap, &options) == AEGIS_E_INVALID);
    aegis_arena_heap_last_error(&heap, &error);
    CHECK(error.what == AEGIS_WHAT_FLAGS && error.asked == 1024);
    options = heap_options(NULL);
    options.capacity_bytes = SIZE_MAX;
    CHECK(aegis_arena_heap_init(&heap, &options) == AEGIS_E_INVALID_LAYOUT);
    options.capacity_bytes = 100;
    options.memory = &error;
    options.memory_bytes = sizeof error;
    CHECK(aegis_arena_heap_init(&heap, &options) == AEGIS_E_INVALID);
    options.capacity_bytes = 0;
    options.memory_bytes = SIZE_MAX;
    CHECK(aegis_arena_heap_init(&heap, &options) == AEGIS_E_INVALID_LAYOUT);
    aegis_arena_heap_fini(&heap);
    aegis_arena_heap_fini(NULL);
    test_source state;
    aegis_source source = test_source_get(&state, false);
    options = heap_options(&source);
    options.capacity_bytes = 100;
    state.fail_at = 1;
    CHECK(aegis_arena_heap_init(&heap, &options) == AEGIS_E_OUT_OF_MEMORY);
    CHECK_SIZE(state.close_count, 0);
    /* A caller with an older, smaller struct. */
    state.fail_at = 0;
    CHECK(aegis_arena_heap_init_sized(&heap, &options, offsetof(aegis_arena_options, memory)) ==
          AEGIS_OK);
    size_t filled[2] = {1, 1};
    aegis_arena_heap_get_stats_sized(&heap, (aegis_arena_heap_stats *)(void *)filled,
                                     sizeof filled[0]);
    CHECK(filled[0] > 100 && filled[1] == 1);
    aegis_arena_heap_fini(&heap);
}

/* What was freed has the form of large blocks, of small ones, or both; what is asked for then has
 * the other one. */
static void what_is_free_makes_room_below_a_limit(void) {
    aegis_budget *budget = aegis_budget_new("heap", 1000000, NULL);
    test_source state;
    aegis_arena_heap heap = limited_heap(&state, budget);
    void *p[80];
    for (int round = 0; round < 3; round++) {
        CHECK(aegis_arena_heap_alloc(&heap, 600000) != NULL);
        aegis_arena_heap_reset(&heap);
        CHECK(aegis_arena_heap_alloc(&heap, 800000) != NULL);
        aegis_arena_heap_reset(&heap);
        for (size_t i = 0; i < 80; i++)
            CHECK((p[i] = aegis_arena_heap_alloc(&heap, 10000)) != NULL);
        if (round == 1)
            aegis_arena_heap_reset(&heap);
        for (size_t i = 0; i < 80 && round != 1; i++)
            aegis_arena_heap_free(&heap, p[i]);
        CHECK(aegis_arena_heap_alloc(&heap, 900000) != NULL);
        CHECK(heap_stats(&heap).peak_reserved_bytes <= 1000000);
        CHECK_SIZE(used(budget), heap_stats(&heap).reserved_bytes);
        CHECK(aegis_arena_heap_alloc(&heap, 200000) == NULL);
        aegis_arena_heap_reset(&heap);
    }
    finish_heap(&heap, &state);
    CHECK_SIZE(used(budget), 0);
    aegis_budget_destroy(budget);
}

/* Memory of a fixed size has a chunk that fits, behind more smaller ones of its bin than a request
 * looks at. */
static void full_memory_is_searched_to_the_end(void) {
    static unsigned char memory[60000];
    if (TEST_CHECKED)
        return; /* the sizes of chunks are others */
    aegis_arena_options options = test_options(0, 0, NULL, memory, sizeof memory);
    options.flags = AEGIS_ARENA_NO_DEBUG;
    aegis_arena_heap heap;
    CHECK(aegis_arena_heap_init(&heap, &options) == AEGIS_OK);
    void *p[12];
    for (size_t i = 0; i < 12; i++) {
        p[i] = aegis_arena_heap_alloc(&heap, i == 0 ? 1100 : 1032);
        CHECK(aegis_arena_heap_alloc(&heap, 1200) != NULL);
    }
    while (aegis_arena_heap_alloc(&heap, 1000) != NULL)
        continue;
    for (size_t i = 0; i < 12; i++)
        aegis_arena_heap_free(&heap, p[i]);
    CHECK(aegis_arena_heap_alloc(&heap, 1100) == p[0]);
    aegis_arena_heap_fini(&heap);
}

/* Lua and others do not expect that a realloc to fewer bytes can fail. */
static void realloc_to_less_does_not_fail(void) {
    test_source state;
    for (size_t flags = 0; flags <= AEGIS_ARENA_OWN_BLOCKS; flags += AEGIS_ARENA_OWN_BLOCKS) {
        aegis_source source = test_source_get(&state, false);
        aegis_arena_options options = heap_options(&source);
        options.flags = (uint32_t)flags;
        aegis_arena_heap heap;
        CHECK(aegis_arena_heap_init(&heap, &options) == AEGIS_OK);
        void *p = aegis_arena_heap_alloc(&heap, 800000);
        memset(p, 5, 800000);
        state.fail_at = 1;
        state.fail_on = true;
        CHECK(aegis_arena_heap_realloc(&heap, p, 100) == p && is_filled(p, 5, 100));
        aegis_error error;
        aegis_arena_heap_last_error(&heap, &error);
        CHECK(error.status == AEGIS_OK);
        CHECK(aegis_arena_heap_realloc(&heap, p, 900000) == NULL && is_filled(p, 5, 100));
        aegis_arena_heap_free(&heap, p);
        CHECK_SIZE(heap_stats(&heap).used_bytes, 0);
        finish_heap(&heap, &state);
    }
}

static void impossible_layouts_are_refused(void) {
    test_source state;
    aegis_arena_heap heap = new_heap(&state, 0);
    aegis_error error;
    CHECK(aegis_arena_heap_alloc(&heap, SIZE_MAX) == NULL);
    aegis_arena_heap_last_error(&heap, &error);
    CHECK(error.status == AEGIS_E_INVALID_LAYOUT && error.allowed == PTRDIFF_MAX - 15);
    CHECK(aegis_arena_heap_alloc(&heap, PTRDIFF_MAX) == NULL);
    CHECK(aegis_arena_heap_alloc_zeroed(&heap, PTRDIFF_MAX - 2000) == NULL);
    CHECK(aegis_arena_heap_alloc_aligned(&heap, 1, 0, false) == NULL);
    CHECK(aegis_arena_heap_alloc_aligned(&heap, 1, 24, false) == NULL);
    CHECK(aegis_arena_heap_alloc_aligned(&heap, 1, (size_t)PTRDIFF_MAX + 1, false) == NULL);
    CHECK_SIZE(state.asked_count, 1);
    finish_heap(&heap, &state);
}

static void budget_is_charged_for_what_is_reserved(void) {
    test_source state;
    aegis_source source = test_source_get(&state, true);
    aegis_budget *budget = aegis_budget_new("heap", 100000, NULL);
    aegis_arena_options options = heap_options(&source);
    options.budget = budget;
    aegis_arena_heap heap;
    CHECK(aegis_arena_heap_init(&heap, &options) == AEGIS_OK);
    void *p[2000];
    size_t count = 0;
    while (count < 2000 && (p[count] = aegis_arena_heap_alloc(&heap, 200)) != NULL)
        count++;
    aegis_error error;
    aegis_arena_heap_last_error(&heap, &error);
    CHECK(error.status == AEGIS_E_LIMIT_EXCEEDED && error.refused == budget);
    CHECK(error.in_use_bytes + error.needed_bytes > error.limit_bytes);
    /* What is left below the limit is used too. */
    CHECK(is_checked() || count * 208 > 95000);
    CHECK_SIZE(used(budget), heap_stats(&heap).reserved_bytes);
    /* A refused request merges the quick lists. */
    for (size_t i = 0; i < count; i++)
        aegis_arena_heap_free(&heap, p[i]);
    CHECK(aegis_arena_heap_alloc(&heap, 5000) != NULL);
    CHECK(aegis_arena_heap_alloc(&heap, 200000) == NULL);
    aegis_budget *other = aegis_budget_new("other", 200000, NULL);
    CHECK(aegis_arena_heap_move_budget(&heap, other, NULL) == AEGIS_OK);
    CHECK_SIZE(used(budget), 0);
    CHECK_SIZE(used(other), heap_stats(&heap).reserved_bytes);
    CHECK(aegis_arena_heap_alloc(&heap, 50000) != NULL);
    finish_heap(&heap, &state);
    CHECK_SIZE(used(other), 0);
    aegis_budget_destroy(budget);
    aegis_budget_destroy(other);
}

/* The same work with a source that fails at its n-th acquire, for each n until none fails. */
static void failing_source_at_every_acquire_leaves_the_heap_usable(void) {
    for (size_t fail_at = 2;; fail_at++) {
        test_source state;
        aegis_arena_heap heap = new_heap(&state, 100);
        state.fail_at = fail_at;
        void *p[60];
        bool failed = false;
        for (size_t i = 0; i < 60; i++) {
            size_t size = i % 7 == 3 ? 200000 : i * 97;
            p[i] = aegis_arena_heap_alloc(&heap, size);
            if (p[i] == NULL) {
                failed = true;
                p[i] = aegis_arena_heap_alloc(&heap, size);
            }
            CHECK(p[i] != NULL);
            memset(p[i], (int)i, size);
        }
        for (size_t i = 0; i < 60; i++) {
            size_t size = i % 7 == 3 ? 200000 : i * 97;
            CHECK(is_filled(p[i], (unsigned char)i, size));
            void *moved = aegis_arena_heap_realloc(&heap, p[i], size * 2);
            failed = failed || moved == NULL;
            p[i] = moved != NULL ? moved : p[i];
            CHECK(is_filled(p[i], (unsigned char)i, size));
            aegis_arena_heap_free(&heap, p[i]);
        }
        CHECK_SIZE(heap_stats(&heap).used_bytes, 0);
        bool over = state.asked_count < fail_at;
        finish_heap(&heap, &state);
        /* A block of the growth step that is refused is replaced by a smaller one. */
        if (over) {
            CHECK(!failed && fail_at > 10);
            break;
        }
    }
}

int main(void) {
    RUN(memory_of_the_caller_is_used_up_and_never_released);
    RUN(wrong_options_are_refused);
    RUN(what_is_free_makes_room_below_a_limit);
    RUN(full_memory_is_searched_to_the_end);
    RUN(realloc_to_less_does_not_fail);
    RUN(impossible_layouts_are_refused);
    RUN(budget_is_charged_for_what_is_reserved);
    RUN(failing_source_at_every_acquire_leaves_the_heap_usable);
    return check_finish();
}
