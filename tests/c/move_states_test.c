/* SPDX-License-Identifier: Apache-2.0 */
/* Tests moves to another budget of objects in a special state: an arena with an open scope, a local
 * arena, objects whose latest request was refused, and a pool that grows or is trimmed. */
#include "move_objects_support.h"

static void arena_with_an_open_scope_is_not_moved(void) {
    aegis_budget *from = aegis_budget_new("from", AEGIS_BUDGET_UNLIMITED, NULL);
    aegis_budget *to = aegis_budget_new("to", AEGIS_BUDGET_UNLIMITED, NULL);
    aegis_arena_scope scope;
    aegis_error error;
    arena_make(from);
    CHECK(aegis_arena_alloc(&arena, 100) != NULL);
    aegis_arena_scope_begin(&arena, &scope);
    size_t used_bytes = used(from);
    CHECK(aegis_arena_move_budget(&arena, to, &error) == AEGIS_E_BUSY);
    CHECK(error.status == AEGIS_E_BUSY && error.what == AEGIS_WHAT_SCOPE);
    CHECK(aegis_arena_move_budget(&scope.arena, to, &error) == AEGIS_E_BUSY);
    CHECK(error.status == AEGIS_E_BUSY && error.what == AEGIS_WHAT_SCOPE);
    CHECK_SIZE(used(from), used_bytes);
    CHECK_SIZE(used(to), 0);
    aegis_arena_scope_end(&arena, &scope);
    CHECK(aegis_arena_move_budget(&arena, to, NULL) == AEGIS_OK);
    CHECK_SIZE(used(to), used_bytes);
    aegis_arena_fini(&arena);
    aegis_budget_destroy(from);
    aegis_budget_destroy(to);
}

static void local_arena_is_not_moved_by_itself(void) {
    aegis_budget *from = aegis_budget_new("from", AEGIS_BUDGET_UNLIMITED, NULL);
    aegis_arena_local local;
    aegis_error error;
    lock_free_make(from);
    CHECK(aegis_arena_local_init(&local, &lock_free, 0) == AEGIS_OK);
    CHECK(aegis_arena_alloc(&local.arena, 100) != NULL);
    CHECK(aegis_arena_move_budget(&local.arena, NULL, &error) == AEGIS_E_INVALID);
    CHECK(error.status == AEGIS_E_INVALID);
    /* Its blocks move with those of the shared arena, and it goes on. */
    aegis_budget *to = aegis_budget_new("to", AEGIS_BUDGET_UNLIMITED, NULL);
    CHECK(aegis_lock_free_arena_move_budget(&lock_free, to, NULL) == AEGIS_OK);
    aegis_budget_destroy(from);
    CHECK_SIZE(used(to), lock_free_held());
    CHECK(aegis_arena_alloc(&local.arena, 20000) != NULL);
    CHECK_SIZE(used(to), lock_free_held());
    aegis_arena_local_fini(&local);
    aegis_lock_free_arena_fini(&lock_free);
    CHECK_SIZE(used(to), 0);
    aegis_budget_destroy(to);
}

static void error_record_of_an_arena_names_no_budget_after_a_move(void) {
    aegis_budget *from = aegis_budget_new("from", 5000, NULL);
    aegis_error error;
    char text[200];
    arena_make(from);
    CHECK(aegis_arena_alloc(&arena, 100) != NULL);
    CHECK(aegis_arena_alloc(&arena, 10000) == NULL);
    aegis_arena_last_error(&arena, &error);
    CHECK(error.refused == from);
    CHECK(aegis_arena_move_budget(&arena, NULL, NULL) == AEGIS_OK);
    aegis_budget_destroy(from);
    aegis_arena_last_error(&arena, &error);
    CHECK(error.status == AEGIS_E_LIMIT_EXCEEDED && error.refused == NULL);
    CHECK(aegis_arena_explain(&arena, text, sizeof text) != 0);
    aegis_arena_fini(&arena);
}

/* A source that moves the pool to another budget while the pool acquires a slab or releases one. */
static aegis_budget *next_budget;
static size_t nested_count;

static void move_nested(void) {
    aegis_budget *budget = next_budget;
    next_budget = NULL;
    if (budget != NULL) {
        nested_count++;
        CHECK(aegis_pool_move_budget(&pool, budget, NULL) == AEGIS_OK);
        aegis_budget_destroy(budget);
    }
}

static void *moving_acquire(void *context, size_t size_bytes, size_t align_bytes, bool *zeroed) {
    aegis_source heap = aegis_source_heap();
    (void)context;
    move_nested();
    return heap.acquire(heap.context, size_bytes, align_bytes, zeroed);
}

static void moving_release(void *context, void *memory, size_t size_bytes, size_t align_bytes) {
    aegis_source heap = aegis_source_heap();
    (void)context;
    move_nested();
    heap.release(heap.context, memory, size_bytes, align_bytes);
}

static void pool_may_move_while_it_grows_or_is_trimmed(void) {
    aegis_source source = {moving_acquire, moving_release, NULL, NULL};
    aegis_pool_options options = {0};
    size_t freed_count = 0;
    aegis_budget *budgets[3];
    void *blocks[9];
    for (size_t i = 0; i < 3; i++)
        budgets[i] = new_noted(&freed_count);
    set_blocks(&options, budgets[0]);
    options.source = &source;
    nested_count = 0;
    CHECK(aegis_pool_init(&pool, &options) == AEGIS_OK);
    aegis_budget_destroy(budgets[0]);
    next_budget = aegis_budget_retain(budgets[1]);
    for (size_t i = 0; i < 9; i++)
        CHECK((blocks[i] = aegis_pool_alloc(&pool)) != NULL);
    CHECK(nested_count == 1 && freed_count == 1);
    CHECK_SIZE(used(budgets[1]), pool_held());
    next_budget = aegis_budget_retain(budgets[2]);
    aegis_budget_destroy(budgets[1]);
    for (size_t i = 0; i < 9; i++)
        CHECK(aegis_pool_free(&pool, blocks[i]) == AEGIS_OK);
    aegis_pool_trim(&pool, 0);
    CHECK(nested_count == 2 && freed_count == 2);
    CHECK_SIZE(used(budgets[2]), pool_held());
    aegis_pool_fini(&pool);
    CHECK_SIZE(used(budgets[2]), 0);
    aegis_budget_destroy(budgets[2]);
    CHECK_SIZE(freed_count, 3);
}

static void records_of_a_pool_and_its_caches_name_no_budget_after_a_move(void) {
    aegis_budget *from = aegis_budget_new("from", AEGIS_BUDGET_UNLIMITED, NULL);
    aegis_lock_free_pool_options options = {0};
    aegis_pool_cache cache;
    aegis_error error;
    char text[200];
    set_blocks(&options.blocks, from);
    options.max_cache_count = 1;
    CHECK(aegis_lock_free_pool_init(&free_pool, &options) == AEGIS_OK);
    pool_make(from);
    aegis_budget_set_limit(from, 0);
    while (aegis_pool_alloc(&pool) != NULL)
        continue;
    aegis_pool_last_error(&pool, &error);
    CHECK(error.refused == from);
    CHECK(aegis_pool_cache_init(&cache, &free_pool) == AEGIS_OK);
    while (aegis_pool_cache_alloc(&cache) != NULL)
        continue;
    aegis_pool_cache_last_error(&cache, &error);
    CHECK(error.refused == from);
    CHECK(aegis_lock_free_pool_move_budget(&free_pool, NULL, NULL) == AEGIS_OK);
    CHECK(aegis_pool_move_budget(&pool, NULL, NULL) == AEGIS_OK);
    CHECK_SIZE(used(from), 0);
    aegis_budget_destroy(from);
    aegis_pool_last_error(&pool, &error);
    CHECK(error.status == AEGIS_E_LIMIT_EXCEEDED && error.refused == NULL);
    aegis_pool_cache_last_error(&cache, &error);
    CHECK(error.status == AEGIS_E_LIMIT_EXCEEDED && error.refused == NULL);
    CHECK(aegis_pool_cache_explain(&cache, text, sizeof text) != 0);
    CHECK(aegis_pool_explain(&pool, text, sizeof text) != 0);
    aegis_pool_abandon(&pool);
    aegis_lock_free_pool_abandon(&free_pool);
}

int main(void) {
    RUN(arena_with_an_open_scope_is_not_moved);
    RUN(local_arena_is_not_moved_by_itself);
    RUN(error_record_of_an_arena_names_no_budget_after_a_move);
    RUN(pool_may_move_while_it_grows_or_is_trimmed);
    RUN(records_of_a_pool_and_its_caches_name_no_budget_after_a_move);
    return check_finish();
}
