/* SPDX-License-Identifier: Apache-2.0 */
/* Tests the record of a failure. It must stay whole until the next failure, whatever succeeds in
 * between, and the object must be able to explain it as long as it lives. */
#include "pool_support.h"

static aegis_arena new_arena(aegis_budget *budget) {
    aegis_arena arena;
    aegis_arena_options options = test_options(256, 0, NULL, NULL, 0);
    options.budget = budget;
    CHECK(aegis_arena_init(&arena, &options) == AEGIS_OK);
    return arena;
}

/* Demands that the record names `size_bytes` and the budget that refused them. */
static void check_refused(const aegis_arena *arena, const aegis_budget *budget, size_t size_bytes) {
    char text[256];
    aegis_error error = error_of(arena);
    CHECK(error.status == AEGIS_E_LIMIT_EXCEEDED && error.refused == budget);
    CHECK_SIZE(error.requested_bytes, size_bytes);
    CHECK(error.limit_bytes != 0);
    CHECK(aegis_arena_explain(arena, text, sizeof text) < sizeof text);
    CHECK(strncmp(text, "budget 'q' refused ", 19) == 0);
}

static void record_is_whole_after_later_successes(void) {
    for (int kind = 0; kind < 3; kind++) {
        aegis_budget *budget = aegis_budget_new("q", 16384, NULL);
        aegis_arena plain = new_arena(budget);
        aegis_lock_free_arena shared;
        aegis_arena_local local;
        aegis_lock_free_arena_options options = {0, 0, NULL, budget, NULL, 0};
        CHECK(aegis_lock_free_arena_init(&shared, &options, NULL) == AEGIS_OK);
        CHECK(aegis_arena_local_init(&local, &shared, AEGIS_ARENA_NO_DEBUG) == AEGIS_OK);
        aegis_arena_scope scope;
        aegis_arena_scope_begin(&plain, &scope);
        aegis_arena *arena = kind == 0 ? &plain : kind == 1 ? &scope.arena : &local.arena;
        CHECK(aegis_arena_alloc(arena, 100000) == NULL);
        check_refused(arena, budget, 100000);
        for (int i = 0; i < 30; i++) {
            CHECK(aegis_arena_alloc(arena, 64) != NULL);
            check_refused(arena, budget, 100000);
        }
        if (kind != 2)
            aegis_arena_reset(arena);
        check_refused(arena, budget, 100000);
        /* A failure of another kind replaces the record, and the new record names no budget. */
        CHECK(aegis_arena_alloc_aligned(arena, 1, 3) == NULL);
        CHECK(error_of(arena).status == AEGIS_E_INVALID_LAYOUT && error_of(arena).refused == NULL);
        for (int i = 0; i < 10; i++)
            CHECK(aegis_arena_alloc(arena, 64) != NULL);
        CHECK(error_of(arena).status == AEGIS_E_INVALID_LAYOUT && error_of(arena).refused == NULL);
        aegis_arena_scope_end(&plain, &scope);
        aegis_arena_local_fini(&local);
        aegis_arena_fini(&plain);
        aegis_lock_free_arena_fini(&shared);
        aegis_budget_destroy(budget);
    }
}

static void record_of_an_arena_outlives_its_scopes(void) {
    aegis_budget *budget = aegis_budget_new("q", 16384, NULL);
    aegis_arena arena = new_arena(budget);
    aegis_arena_scope scope;
    aegis_arena_scope_begin(&arena, &scope);
    CHECK(aegis_arena_alloc(&arena, 70000) == NULL);
    CHECK(aegis_arena_alloc_aligned(&scope.arena, 1, 3) == NULL);
    CHECK(error_of(&scope.arena).status == AEGIS_E_INVALID_LAYOUT);
    aegis_arena_scope_end(&arena, &scope);
    check_refused(&arena, budget, 70000);
    aegis_arena_fini(&arena);
    aegis_budget_destroy(budget);
}

/* The record keeps a refused argument in the same way as a refused number of bytes. */
static void end_of_a_scope_takes_over_nothing_of_the_scopes_record(void) {
    for (int outer_argument = 0; outer_argument < 2; outer_argument++) {
        aegis_arena arena = new_arena(NULL);
        aegis_arena_scope scope;
        CHECK(aegis_arena_defer(&arena, NULL, NULL) == AEGIS_E_INVALID);
        aegis_arena_scope_begin(&arena, &scope);
        CHECK(error_of(&scope.arena).status == AEGIS_OK);
        CHECK(error_of(&scope.arena).what == AEGIS_WHAT_BYTES);
        aegis_arena *of_argument = outer_argument ? &arena : &scope.arena;
        aegis_arena *of_bytes = outer_argument ? &scope.arena : &arena;
        CHECK(aegis_arena_defer(of_argument, NULL, NULL) == AEGIS_E_INVALID);
        CHECK(aegis_arena_alloc_aligned(of_bytes, 1, 3) == NULL);
        aegis_error before = error_of(&arena);
        CHECK(before.what == (outer_argument ? AEGIS_WHAT_FUNCTION : AEGIS_WHAT_BYTES));
        aegis_arena_scope_end(&arena, &scope);
        aegis_error after = error_of(&arena);
        CHECK(after.status == before.status && after.what == before.what);
        CHECK_SIZE(after.asked, before.asked);
        CHECK_SIZE(after.allowed, before.allowed);
        CHECK_SIZE(after.requested_bytes, before.requested_bytes);
        aegis_arena_fini(&arena);
    }
}

/* The pressure function of the tests below uses these. */
static aegis_arena *pressed;
static int pressure_count;

static void fail_in_the_growing_arena(void *context, size_t used_bytes, size_t limit_bytes) {
    (void)context, (void)used_bytes, (void)limit_bytes;
    pressure_count++;
    CHECK(aegis_arena_alloc(pressed, 900000) == NULL);
}

static void failure_nested_in_a_success_is_recorded_whole(void) {
    aegis_budget *budget = aegis_budget_new("q", 100000, NULL);
    aegis_arena arena = new_arena(budget);
    pressed = &arena;
    pressure_count = 0;
    CHECK(aegis_budget_on_pressure(budget, 10, fail_in_the_growing_arena, NULL, NULL) == AEGIS_OK);
    CHECK(aegis_arena_alloc(&arena, 20000) != NULL);
    /* Once for the rise, and once for the refused request of the pressure function itself. */
    CHECK_SIZE(pressure_count, 2);
    check_refused(&arena, budget, 900000);
    aegis_arena_fini(&arena);
    aegis_budget_destroy(budget);
}

static void pool_record_is_whole_after_later_successes(void) {
    aegis_budget *budget = aegis_budget_new("q", 64 * 1024, NULL);
    aegis_pool pool;
    aegis_pool_options options;
    memset(&options, 0, sizeof options);
    options.block_bytes = 4096;
    options.block_count = 8;
    options.max_block_count = 32;
    options.budget = budget;
    CHECK(aegis_pool_init(&pool, &options) == AEGIS_OK);
    void *blocks[33];
    int count = 0;
    while (count < 33 && (blocks[count] = aegis_pool_alloc(&pool)) != NULL)
        count++;
    CHECK(count >= 8 && count < 32);
    for (int round = 0; round < 3; round++) {
        aegis_error error;
        aegis_pool_last_error(&pool, &error);
        CHECK(error.status == AEGIS_E_LIMIT_EXCEEDED && error.refused == budget);
        CHECK(error.limit_bytes == 64 * 1024);
        CHECK(aegis_pool_free(&pool, blocks[--count]) == AEGIS_OK);
        CHECK((blocks[count++] = aegis_pool_alloc(&pool)) != NULL);
    }
    aegis_pool_abandon(&pool);
    aegis_budget_destroy(budget);
}

/* A source that frees a block of the pool that is growing, and then refuses. */
static aegis_pool *growing;
static void *spare;
static size_t refusals;

static void *free_and_refuse(void *context, size_t size_bytes, size_t align_bytes, bool *zeroed) {
    (void)context;
    if (growing == NULL) {
        aegis_source pages = aegis_source_pages(0);
        return pages.acquire(pages.context, size_bytes, align_bytes, zeroed);
    }
    refusals++;
    CHECK(aegis_pool_free(growing, spare) == AEGIS_OK);
    return NULL;
}

static void pool_request_that_succeeds_records_no_failure(void) {
    aegis_pool pool;
    aegis_source pages = aegis_source_pages(0);
    aegis_source source = {free_and_refuse, pages.release, NULL, pages.context};
    aegis_pool_options options;
    memset(&options, 0, sizeof options);
    options.block_bytes = 4096;
    options.block_count = 1;
    options.max_block_count = 2;
    options.source = &source;
    growing = NULL;
    CHECK(aegis_pool_init(&pool, &options) == AEGIS_OK);
    spare = aegis_pool_alloc(&pool);
    growing = &pool;
    CHECK(aegis_pool_alloc(&pool) == spare);
    CHECK_SIZE(refusals, 1);
    aegis_error error;
    aegis_pool_last_error(&pool, &error);
    CHECK(error.status == AEGIS_OK);
    aegis_pool_abandon(&pool);
}

/* Demands that `explain` writes the sentence of the record, whole and cut, and returns its length.
 */
#define CHECK_EXPLAINS(type, object)                                                               \
    do {                                                                                           \
        char whole[256], own[256], cut[8];                                                         \
        aegis_error record;                                                                        \
        aegis_##type##_last_error(object, &record);                                                \
        size_t length = aegis_error_explain(&record, whole, sizeof whole);                         \
        CHECK_SIZE(aegis_##type##_explain(object, own, sizeof own), length);                       \
        CHECK(length > 0 && strcmp(own, whole) == 0);                                              \
        CHECK_SIZE(aegis_##type##_explain(object, cut, sizeof cut), length);                       \
        CHECK(strlen(cut) == sizeof cut - 1 && strncmp(cut, whole, strlen(cut)) == 0);             \
        CHECK_SIZE(aegis_##type##_explain(object, NULL, 0), length);                               \
    } while (0)

static bool explains(const aegis_pool *pool, const char *beginning) {
    char text[256];
    (void)aegis_pool_explain(pool, text, sizeof text);
    return strncmp(text, beginning, strlen(beginning)) == 0;
}

static void pool_explains_its_latest_failure(void) {
    aegis_budget *budget = aegis_budget_new("q", AEGIS_BUDGET_UNLIMITED, NULL);
    aegis_pool pool;
    aegis_pool_options options = pool_options(64, 1, 2, NULL);
    options.budget = budget;
    CHECK(aegis_pool_init(&pool, &options) == AEGIS_OK);
    CHECK(explains(&pool, "success"));
    CHECK(aegis_pool_alloc(&pool) != NULL);
    /* The second slab is refused. */
    aegis_budget_set_limit(budget, 0);
    CHECK(aegis_pool_alloc(&pool) == NULL);
    CHECK(explains(&pool, "budget 'q' refused "));
    CHECK_EXPLAINS(pool, &pool);
    /* With it, the pool is exhausted. */
    aegis_budget_set_limit(budget, AEGIS_BUDGET_UNLIMITED);
    CHECK(aegis_pool_alloc(&pool) != NULL && aegis_pool_alloc(&pool) == NULL);
    CHECK(explains(&pool, "pool exhausted: 1 block of 64 bytes requested, 2 of 2 blocks in use"));
    CHECK_EXPLAINS(pool, &pool);
    aegis_pool_abandon(&pool);
    aegis_budget_destroy(budget);
}

static void pool_that_was_not_made_explains_why(void) {
    aegis_budget *budget = aegis_budget_new("q", 0, NULL);
    aegis_pool pool;
    aegis_pool_options options = pool_options(64, 1, 0, NULL);
    options.budget = budget;
    CHECK(aegis_pool_init(&pool, &options) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK(explains(&pool, "budget 'q' refused "));
    CHECK_EXPLAINS(pool, &pool);
    options.align_bytes = 24;
    CHECK(aegis_pool_init(&pool, &options) == AEGIS_E_INVALID_LAYOUT);
    CHECK(explains(&pool, "invalid layout: size 64 with alignment 24"));
    CHECK(aegis_pool_init(&pool, NULL) == AEGIS_E_INVALID);
    CHECK(explains(&pool, "invalid argument: the options are NULL"));
    aegis_budget_destroy(budget);
}

static void cache_explains_its_latest_failure(void) {
    char text[256];
    aegis_budget *budget = aegis_budget_new("q", AEGIS_BUDGET_UNLIMITED, NULL);
    aegis_lock_free_pool pool;
    aegis_pool_cache cache, none;
    aegis_lock_free_pool_options options = lock_free_options(64, 1, 2, 1, NULL);
    options.blocks.budget = budget;
    CHECK(aegis_lock_free_pool_init(&pool, &options) == AEGIS_OK);
    CHECK(aegis_pool_cache_init(&cache, &pool) == AEGIS_OK);
    CHECK(aegis_pool_cache_explain(&cache, text, sizeof text) == strlen("success"));
    aegis_budget_set_limit(budget, 0);
    while (aegis_pool_cache_alloc(&cache) != NULL)
        continue;
    (void)aegis_pool_cache_explain(&cache, text, sizeof text);
    CHECK(strncmp(text, "budget 'q' refused ", 19) == 0);
    CHECK_EXPLAINS(pool_cache, &cache);
    aegis_budget_set_limit(budget, AEGIS_BUDGET_UNLIMITED);
    while (aegis_pool_cache_alloc(&cache) != NULL)
        continue;
    (void)aegis_pool_cache_explain(&cache, text, sizeof text);
    CHECK(strncmp(text, "pool exhausted: ", 16) == 0);
    CHECK_EXPLAINS(pool_cache, &cache);
    CHECK(aegis_pool_cache_init(&none, &pool) == AEGIS_E_LIMIT_EXCEEDED);
    (void)aegis_pool_cache_explain(&none, text, sizeof text);
    CHECK(strcmp(text, "invalid argument: 2 caches requested, at most 1 allowed") == 0);
    CHECK_EXPLAINS(pool_cache, &none);
    aegis_pool_cache_fini(&cache);
    aegis_lock_free_pool_abandon(&pool);
    aegis_budget_destroy(budget);
}

int main(void) {
    RUN(record_is_whole_after_later_successes);
    RUN(record_of_an_arena_outlives_its_scopes);
    RUN(end_of_a_scope_takes_over_nothing_of_the_scopes_record);
    RUN(failure_nested_in_a_success_is_recorded_whole);
    RUN(pool_record_is_whole_after_later_successes);
    RUN(pool_request_that_succeeds_records_no_failure);
    RUN(pool_explains_its_latest_failure);
    RUN(pool_that_was_not_made_explains_why);
    RUN(cache_explains_its_latest_failure);
    return check_finish();
}
