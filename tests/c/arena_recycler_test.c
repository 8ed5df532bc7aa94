/* SPDX-License-Identifier: Apache-2.0 */
/* Tests the recycler, a stock of arenas. An arena that comes back must be reset and trimmed, the
 * stock must be bounded, and two threads must never have one arena at the same time. */
#include "shared_support.h"

#include <pthread.h>

#define THREADS 6
#define ROUNDS 2000

static aegis_arena_recycler recycler_of(size_t max_idle_count, size_t keep_bytes,
                                        const aegis_source *source, aegis_budget *budget) {
    aegis_arena_recycler_options options = {
        {1024, 0, source, NULL, 0, budget, "request", AEGIS_ARENA_NO_DEBUG, 0},
        max_idle_count,
        keep_bytes,
        NULL};
    aegis_arena_recycler recycler;
    CHECK(aegis_arena_recycler_init(&recycler, &options) == AEGIS_OK);
    return recycler;
}

static aegis_arena_recycler_stats recycler_stats(const aegis_arena_recycler *recycler) {
    aegis_arena_recycler_stats stats;
    aegis_arena_recycler_get_stats(recycler, &stats);
    return stats;
}

static void arena_put_back_is_the_next_one_got_reset_and_trimmed(void) {
    shared_source state;
    aegis_source source = shared_source_get(&state, true);
    aegis_arena_recycler recycler = recycler_of(2, 4096, &source, NULL);
    aegis_arena arena;
    CHECK(aegis_arena_recycler_get(&recycler, &arena, NULL) == AEGIS_OK);
    CHECK(strcmp(arena.name, "request") == 0);
    for (int i = 0; i < 1000; i++)
        (void)aegis_arena_alloc(&arena, 100);
    aegis_arena moved = arena;
    aegis_arena_recycler_put(&recycler, &moved);
    CHECK(moved.ptr == NULL);
    CHECK(atomic_load(&state.live_bytes) <= 4096);
    CHECK(atomic_load(&state.live_count) > 0);
    CHECK(aegis_arena_recycler_get(&recycler, &arena, NULL) == AEGIS_OK);
    CHECK_SIZE(stats_of(&arena).used_bytes, 0);
    CHECK_SIZE(stats_of(&arena).reset_count, 1);
    CHECK_SIZE(recycler_stats(&recycler).made_count, 1);
    CHECK_SIZE(recycler_stats(&recycler).reused_count, 1);
    CHECK_SIZE(recycler_stats(&recycler).out_count, 1);
    CHECK(aegis_arena_recycler_fini(&recycler) == AEGIS_E_BUSY);
    aegis_arena_recycler_put(&recycler, &arena);
    aegis_arena_recycler_put(&recycler, &arena);
    CHECK_SIZE(recycler_stats(&recycler).out_count, 0);
    CHECK_SIZE(atomic_load(&state.close_count), 0);
    CHECK(aegis_arena_recycler_fini(&recycler) == AEGIS_OK);
    CHECK(aegis_arena_recycler_fini(&recycler) == AEGIS_OK);
    CHECK(aegis_arena_recycler_fini(NULL) == AEGIS_OK);
    shared_source_check_done(&state);
}

static void recycled_arena_does_not_grow_from_where_it_was(void) {
    shared_source state;
    aegis_source source = shared_source_get(&state, true);
    aegis_arena_recycler recycler = recycler_of(1, 2048, &source, NULL);
    for (int i = 0; i < 20; i++) {
        aegis_arena arena;
        CHECK(aegis_arena_recycler_get(&recycler, &arena, NULL) == AEGIS_OK);
        for (int n = 0; n < 6; n++)
            CHECK(aegis_arena_alloc(&arena, 700) != NULL);
        CHECK(atomic_load(&state.live_bytes) <= 16384);
        aegis_arena_recycler_put(&recycler, &arena);
    }
    CHECK(aegis_arena_recycler_fini(&recycler) == AEGIS_OK);
    shared_source_check_done(&state);
}

static void stock_is_bounded(void) {
    shared_source state;
    aegis_source source = shared_source_get(&state, true);
    aegis_arena_recycler recycler = recycler_of(2, SIZE_MAX, &source, NULL);
    aegis_arena arenas[5];
    for (int i = 0; i < 5; i++)
        CHECK(aegis_arena_recycler_get(&recycler, &arenas[i], NULL) == AEGIS_OK);
    for (int i = 0; i < 5; i++)
        aegis_arena_recycler_put(&recycler, &arenas[i]);
    CHECK_SIZE(recycler_stats(&recycler).idle_count, 2);
    CHECK_SIZE(atomic_load(&state.live_count), 2);
    aegis_arena_recycler_trim(&recycler, 1);
    CHECK_SIZE(recycler_stats(&recycler).idle_count, 1);
    aegis_arena_recycler_trim(&recycler, 1);
    CHECK_SIZE(atomic_load(&state.live_count), 1);
    CHECK(aegis_arena_recycler_fini(&recycler) == AEGIS_OK);
    shared_source_check_done(&state);

    aegis_arena_recycler none = recycler_of(0, 0, NULL, NULL);
    CHECK(aegis_arena_recycler_get(&none, &arenas[0], NULL) == AEGIS_OK);
    aegis_arena_recycler_put(&none, &arenas[0]);
    CHECK_SIZE(recycler_stats(&none).idle_count, 0);
    CHECK(aegis_arena_recycler_fini(&none) == AEGIS_OK);
}

static void refusal_says_why_and_counts_nothing(void) {
    aegis_budget *budget = aegis_budget_new("requests", 3000, NULL);
    aegis_arena_recycler recycler = recycler_of(4, SIZE_MAX, NULL, budget);
    aegis_arena arenas[4];
    aegis_error error;
    size_t got = 0;
    while (aegis_arena_recycler_get(&recycler, &arenas[got], &error) == AEGIS_OK)
        got++;
    CHECK(got == 2 && error.status == AEGIS_E_LIMIT_EXCEEDED && error.refused == budget);
    CHECK_SIZE(recycler_stats(&recycler).out_count, 2);
    CHECK_SIZE(recycler_stats(&recycler).made_count, 2);
    aegis_arena_recycler_put(&recycler, &arenas[0]);
    CHECK(aegis_arena_recycler_get(&recycler, &arenas[0], NULL) == AEGIS_OK);
    aegis_arena_recycler_put(&recycler, &arenas[0]);
    aegis_arena_recycler_put(&recycler, &arenas[1]);
    CHECK(aegis_arena_recycler_fini(&recycler) == AEGIS_OK);
    aegis_budget_figures figures;
    aegis_budget_get_figures(budget, &figures);
    CHECK_SIZE(figures.used_bytes, 0);
    aegis_budget_destroy(budget);
}

static void impossible_options_are_refused(void) {
    aegis_arena_recycler_options options = {
        {0, 0, NULL, NULL, 0, NULL, NULL, 0, 0}, SIZE_MAX, 0, NULL};
    aegis_arena_recycler recycler;
    CHECK(aegis_arena_recycler_init(&recycler, NULL) == AEGIS_E_INVALID);
    CHECK(aegis_arena_recycler_init(&recycler, &options) == AEGIS_E_INVALID_LAYOUT);
    options.max_idle_count = PTRDIFF_MAX / sizeof(aegis_arena) / 2;
    test_hoard hoard = test_hoard_take();
    CHECK(aegis_arena_recycler_init(&recycler, &options) == AEGIS_E_OUT_OF_MEMORY);
    test_hoard_give_back(&hoard);
    options.arena.memory = &recycler;
    CHECK(aegis_arena_recycler_init(&recycler, &options) == AEGIS_E_INVALID);
    CHECK(recycler.shared == NULL);
}

static size_t used_of(const aegis_budget *budget) {
    aegis_budget_figures figures;
    aegis_budget_get_figures(budget, &figures);
    return figures.used_bytes;
}

static void stock_decays_to_what_is_needed(void) {
    aegis_budget *budget = aegis_budget_new("requests", SIZE_MAX, NULL);
    aegis_arena_recycler recycler = recycler_of(40, SIZE_MAX, NULL, budget);
    aegis_arena arenas[40];
    static const size_t loads[] = {40, 40, 23, 23, 3, 3, 0, 0};
    static const size_t left[] = {40, 40, 23, 23, 3, 3, 0, 0};
    size_t one_bytes = 0;
    for (size_t i = 0; i < sizeof loads / sizeof *loads; i++) {
        for (int round = 0; round < 3; round++) {
            for (size_t j = 0; j < loads[i]; j++)
                CHECK(aegis_arena_recycler_get(&recycler, &arenas[j], NULL) == AEGIS_OK);
            for (size_t j = 0; j < loads[i]; j++)
                aegis_arena_recycler_put(&recycler, &arenas[j]);
        }
        if (i == 0)
            one_bytes = used_of(budget) / 40;
        aegis_arena_recycler_trim_idle(&recycler);
        CHECK_SIZE(recycler_stats(&recycler).idle_count, left[i]);
        CHECK_SIZE(used_of(budget), left[i] * one_bytes);
    }
    CHECK_SIZE(recycler_stats(&recycler).made_count, 40);
    CHECK(aegis_arena_recycler_fini(&recycler) == AEGIS_OK);
    aegis_budget_destroy(budget);
}

static aegis_arena_recycler shared;
static atomic_size_t failure_count;

static void *work(void *context) {
    unsigned char mark = (unsigned char)(uintptr_t)context;
    for (int i = 0; i < ROUNDS; i++) {
        aegis_arena arena;
        if (aegis_arena_recycler_get(&shared, &arena, NULL) != AEGIS_OK) {
            atomic_fetch_add(&failure_count, 1);
            return NULL;
        }
        unsigned char *p = (unsigned char *)aegis_arena_alloc_zeroed(&arena, 700);
        unsigned char *q = (unsigned char *)aegis_arena_alloc_zeroed(&arena, 700);
        if (!is_filled(p, 0, 700) || !is_filled(q, 0, 700))
            atomic_fetch_add(&failure_count, 1);
        memset(p, mark, 700);
        memset(q, mark, 700);
        if (!is_filled(p, mark, 700))
            atomic_fetch_add(&failure_count, 1);
        aegis_arena_recycler_put(&shared, &arena);
        if (i % 16 == mark % 16)
            aegis_arena_recycler_trim_idle(&shared);
    }
    return NULL;
}

static void threads_have_an_arena_each(void) {
    pthread_t threads[THREADS];
    shared_source state;
    aegis_source source = shared_source_get(&state, false);
    shared = recycler_of(3, 2048, &source, NULL);
    for (uintptr_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, work, (void *)(i + 1)) == 0);
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK_SIZE(atomic_load(&failure_count), 0);
    CHECK(recycler_stats(&shared).idle_count <= 3);
    CHECK_SIZE(recycler_stats(&shared).out_count, 0);
    CHECK(aegis_arena_recycler_fini(&shared) == AEGIS_OK);
    shared_source_check_done(&state);
}

int main(void) {
    RUN(arena_put_back_is_the_next_one_got_reset_and_trimmed);
    RUN(recycled_arena_does_not_grow_from_where_it_was);
    RUN(stock_is_bounded);
    RUN(refusal_says_why_and_counts_nothing);
    RUN(stock_decays_to_what_is_needed);
    RUN(impossible_options_are_refused);
    RUN(threads_have_an_arena_each);
    return check_finish();
}
