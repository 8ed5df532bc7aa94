/* SPDX-License-Identifier: Apache-2.0 */
/* Tests that every function of arenas and budgets with an `aegis_error` parameter, or with options
 * that have one, fills the whole record when it fails: see filled_errors_support.h. */
#include "filled_errors_support.h"

#define HUGE_BYTES ((size_t)PTRDIFF_MAX)

/* -- arenas: the budget or the source refuses the first block -- */

static void last_error_of_arena(void *out, bool fails) {
    aegis_arena arena;
    CHECK(aegis_arena_init(&arena, NULL) == AEGIS_OK);
    CHECK(!fails || aegis_arena_alloc(&arena, SIZE_MAX) == NULL);
    aegis_arena_last_error(&arena, (aegis_error *)out);
    aegis_arena_fini(&arena);
}

static void last_error_of_heap(void *out, bool fails) {
    aegis_arena_heap heap;
    CHECK(aegis_arena_heap_init(&heap, NULL) == AEGIS_OK);
    CHECK(!fails || aegis_arena_heap_alloc(&heap, SIZE_MAX) == NULL);
    aegis_arena_heap_last_error(&heap, (aegis_error *)out);
    aegis_arena_heap_fini(&heap);
}

#define LOCK_FREE_ARENA(name, failed)                                                              \
    static void lock_free_##name(void *out, bool fails) {                                          \
        aegis_error *error = (aegis_error *)out;                                                   \
        aegis_lock_free_arena_options options = {0,    0, source_if(fails), budget_unless(fails),  \
                                                 NULL, 0};                                         \
        aegis_lock_free_arena arena;                                                               \
        CHECK(aegis_lock_free_arena_init(&arena, &options, NULL) == AEGIS_OK);                     \
        CHECK(failed);                                                                             \
        aegis_lock_free_arena_fini(&arena);                                                        \
    }

/* The library's own, which the Rust wrapper calls: see lock_free.c and locked.c in csrc/arena. */
void *aegis_i_lock_free_alloc_regrown(const aegis_lock_free_arena *arena, size_t size_bytes,
                                      size_t align_bytes, aegis_error *error);
void *aegis_i_locked_alloc_regrown(const aegis_locked_arena *arena, size_t size_bytes,
                                   size_t align_bytes, aegis_error *error);

LOCK_FREE_ARENA(regrown, aegis_i_lock_free_alloc_regrown(&arena, 100, 16, error) == NULL)
LOCK_FREE_ARENA(alloc, aegis_lock_free_arena_alloc(&arena, 100, error) == NULL)
LOCK_FREE_ARENA(alloc_huge, aegis_lock_free_arena_alloc(&arena, SIZE_MAX, error) == NULL)
LOCK_FREE_ARENA(alloc_zeroed, aegis_lock_free_arena_alloc_zeroed(&arena, 100, error) == NULL)
LOCK_FREE_ARENA(aligned, aegis_lock_free_arena_alloc_aligned(&arena, 100, 64, error) == NULL)
LOCK_FREE_ARENA(aligned_zeroed,
                aegis_lock_free_arena_alloc_aligned_zeroed(&arena, 100, 64, error) == NULL)
LOCK_FREE_ARENA(realloc,
                aegis_lock_free_arena_realloc_aligned(&arena, NULL, 0, 100, 16, error) == NULL)
LOCK_FREE_ARENA(memdup, aegis_lock_free_arena_memdup(&arena, "byte", 4, error) == NULL)
LOCK_FREE_ARENA(strdup, aegis_lock_free_arena_strdup(&arena, "text", error) == NULL)

LOCK_FREE_ARENA(defer, aegis_lock_free_arena_defer(&arena, fails ? NULL : nothing, NULL, error) !=
                           AEGIS_OK)

static void lock_free_arena_made(void *out, bool fails) {
    aegis_lock_free_arena_options options = {fails ? SIZE_MAX : 100, 0,    NULL,
                                             budget_unless(fails),   NULL, 0};
    aegis_lock_free_arena arena;
    CHECK(aegis_lock_free_arena_init(&arena, &options, (aegis_error *)out) != AEGIS_OK);
}

#define LOCKED_ARENA(name, failed)                                                                 \
    static void locked_##name(void *out, bool fails) {                                             \
        aegis_error *error = (aegis_error *)out;                                                   \
        aegis_arena_options options = arena_options(0, fails);                                     \
        aegis_locked_arena arena;                                                                  \
        CHECK(aegis_locked_arena_init(&arena, &options, NULL) == AEGIS_OK);                        \
        CHECK(failed);                                                                             \
        aegis_locked_arena_fini(&arena);                                                           \
    }

LOCKED_ARENA(regrown, aegis_i_locked_alloc_regrown(&arena, 100, 16, error) == NULL)
LOCKED_ARENA(alloc, aegis_locked_arena_alloc(&arena, 100, error) == NULL)
LOCKED_ARENA(alloc_huge, aegis_locked_arena_alloc(&arena, SIZE_MAX, error) == NULL)
LOCKED_ARENA(alloc_zeroed, aegis_locked_arena_alloc_zeroed(&arena, 100, error) == NULL)
LOCKED_ARENA(aligned, aegis_locked_arena_alloc_aligned(&arena, 100, 64, error) == NULL)
LOCKED_ARENA(aligned_zeroed,
             aegis_locked_arena_alloc_aligned_zeroed(&arena, 100, 64, error) == NULL)
LOCKED_ARENA(realloc, aegis_locked_arena_realloc_aligned(&arena, NULL, 0, 100, 16, error) == NULL)
LOCKED_ARENA(memdup, aegis_locked_arena_memdup(&arena, "byte", 4, error) == NULL)
LOCKED_ARENA(strdup, aegis_locked_arena_strdup(&arena, "text", error) == NULL)
LOCKED_ARENA(defer,
             aegis_locked_arena_defer(&arena, fails ? NULL : nothing, NULL, error) != AEGIS_OK)

static void locked_arena_made(void *out, bool fails) {
    aegis_arena_options options = arena_options(100, fails);
    aegis_locked_arena arena;
    CHECK(aegis_locked_arena_init(&arena, &options, (aegis_error *)out) != AEGIS_OK);
}

#define LOCKED_HEAP(name, failed)                                                                  \
    static void locked_heap_##name(void *out, bool fails) {                                        \
        aegis_error *error = (aegis_error *)out;                                                   \
        aegis_arena_options options = arena_options(0, fails);                                     \
        aegis_locked_arena_heap heap;                                                              \
        CHECK(aegis_locked_arena_heap_init(&heap, &options, NULL) == AEGIS_OK);                    \
        CHECK(failed);                                                                             \
        aegis_locked_arena_heap_fini(&heap);                                                       \
    }

LOCKED_HEAP(alloc, aegis_locked_arena_heap_alloc(&heap, 100, error) == NULL)
LOCKED_HEAP(alloc_huge, aegis_locked_arena_heap_alloc(&heap, SIZE_MAX, error) == NULL)
LOCKED_HEAP(alloc_zeroed, aegis_locked_arena_heap_alloc_zeroed(&heap, 100, error) == NULL)
LOCKED_HEAP(aligned, aegis_locked_arena_heap_alloc_aligned(&heap, 9, 64, false, error) == NULL)
LOCKED_HEAP(realloc, aegis_locked_arena_heap_realloc(&heap, NULL, 100, error) == NULL)
LOCKED_HEAP(realloc_aligned,
            aegis_locked_arena_heap_realloc_aligned(&heap, NULL, 0, 100, 16, error) == NULL)

static void locked_heap_made(void *out, bool fails) {
    aegis_arena_options options = arena_options(100, fails);
    aegis_locked_arena_heap heap;
    CHECK(aegis_locked_arena_heap_init(&heap, &options, (aegis_error *)out) != AEGIS_OK);
}

static void recycler_made(void *out, bool fails) {
    aegis_arena_recycler recycler;
    aegis_arena_recycler_options options;
    memset(&options, 0, sizeof options);
    options.error = (aegis_error *)out;
    options.max_idle_count = SIZE_MAX;
    options.arena.memory = fails ? &recycler : NULL;
    CHECK(aegis_arena_recycler_init(&recycler, &options) != AEGIS_OK);
}

static void recycler_get(void *out, bool fails) {
    aegis_arena_recycler recycler;
    aegis_arena_recycler_options options;
    aegis_arena arena;
    memset(&options, 0, sizeof options);
    options.arena = arena_options(100, fails);
    CHECK(aegis_arena_recycler_init(&recycler, &options) == AEGIS_OK);
    CHECK(aegis_arena_recycler_get(&recycler, &arena, (aegis_error *)out) != AEGIS_OK);
    CHECK(aegis_arena_recycler_fini(&recycler) == AEGIS_OK);
}

/* -- budgets -- */

static void charged(void *out, bool fails) {
    CHECK(!fails && aegis_budget_charge(full_budget, 100, (aegis_error *)out) != AEGIS_OK);
}

static void charged_with_a_wait(void *out, bool fails) {
    CHECK(!fails &&
          aegis_budget_charge_timeout(full_budget, 100, 1000, (aegis_error *)out) != AEGIS_OK);
}

static void polled_charge(void *out, bool fails) {
    aegis_budget_request *request = NULL;
    CHECK(!fails && aegis_budget_poll_charge(full_budget, HUGE_BYTES, &request, NULL, NULL,
                                             (aegis_error *)out) != AEGIS_OK);
}

static void guaranteed(void *out, bool fails) {
    CHECK(!fails &&
          aegis_budget_set_guarantee(full_budget, HUGE_BYTES, (aegis_error *)out) != AEGIS_OK);
}

static void weighted(void *out, bool fails) {
    CHECK(!fails &&
          aegis_budget_set_weight(full_budget, UINT32_MAX, (aegis_error *)out) != AEGIS_OK);
}

static void shared_out(void *out, bool fails) {
    CHECK(!fails && aegis_budget_set_policy(full_budget, 99, (aegis_error *)out) != AEGIS_OK);
}

static void of_system(void *out, bool fails) {
    aegis_budget *budget;
    CHECK(fails && aegis_budget_of_system(&budget, 2.0, (aegis_error *)out) == AEGIS_E_INVALID);
}

static void charge_moved(void *out, bool fails) {
    CHECK(aegis_budget_move(fails ? full_budget : NULL, full_budget, 100, (aegis_error *)out) !=
          AEGIS_OK);
}

static void arena_moved(void *out, bool fails) {
    aegis_arena arena;
    aegis_arena_scope scope;
    CHECK(aegis_arena_init(&arena, NULL) == AEGIS_OK);
    CHECK(aegis_arena_alloc(&arena, 100) != NULL);
    if (fails)
        aegis_arena_scope_begin(&arena, &scope);
    CHECK(aegis_arena_move_budget(&arena, full_budget, (aegis_error *)out) != AEGIS_OK);
    if (fails)
        aegis_arena_scope_end(&arena, &scope);
    aegis_arena_fini(&arena);
}

static void lock_free_arena_moved(void *out, bool fails) {
    aegis_lock_free_arena_options options = {100, 0, NULL, NULL, NULL, 0};
    aegis_lock_free_arena arena;
    CHECK(aegis_lock_free_arena_init(&arena, &options, NULL) == AEGIS_OK);
    CHECK(!fails &&
          aegis_lock_free_arena_move_budget(&arena, full_budget, (aegis_error *)out) != AEGIS_OK);
    aegis_lock_free_arena_fini(&arena);
}

static void heap_moved(void *out, bool fails) {
    aegis_arena_options options = test_options(0, 0, NULL, NULL, 0);
    aegis_arena arena;
    aegis_arena_heap heap;
    CHECK(aegis_arena_init(&arena, NULL) == AEGIS_OK);
    if (fails)
        aegis_arena_heap_init_in(&heap, &arena);
    else
        CHECK(aegis_arena_heap_init(&heap, &options) == AEGIS_OK);
    CHECK(aegis_arena_heap_alloc(&heap, 100) != NULL);
    CHECK(aegis_arena_heap_move_budget(&heap, full_budget, (aegis_error *)out) != AEGIS_OK);
    aegis_arena_heap_fini(&heap);
    aegis_arena_fini(&arena);
}

static void locked_heap_moved(void *out, bool fails) {
    aegis_locked_arena_heap heap;
    CHECK(!fails && aegis_locked_arena_heap_init(&heap, NULL, NULL) == AEGIS_OK);
    CHECK(aegis_locked_arena_heap_alloc(&heap, 100, NULL) != NULL);
    CHECK(aegis_locked_arena_heap_move_budget(&heap, full_budget, (aegis_error *)out) != AEGIS_OK);
    aegis_locked_arena_heap_fini(&heap);
}

static void locked_arena_moved(void *out, bool fails) {
    aegis_locked_arena arena;
    CHECK(aegis_locked_arena_init(&arena, NULL, NULL) == AEGIS_OK);
    CHECK(aegis_locked_arena_alloc(&arena, 100, NULL) != NULL);
    CHECK(!fails &&
          aegis_locked_arena_move_budget(&arena, full_budget, (aegis_error *)out) != AEGIS_OK);
    aegis_locked_arena_fini(&arena);
}

static void recycler_moved(void *out, bool fails) {
    aegis_arena_recycler_options options = {{0}, 1, 1000, NULL};
    aegis_arena_recycler recycler;
    aegis_arena arena;
    options.arena.capacity_bytes = 100;
    CHECK(aegis_arena_recycler_init(&recycler, &options) == AEGIS_OK);
    CHECK(aegis_arena_recycler_get(&recycler, &arena, NULL) == AEGIS_OK);
    aegis_arena_recycler_put(&recycler, &arena);
    CHECK(!fails &&
          aegis_arena_recycler_move_budget(&recycler, full_budget, (aegis_error *)out) != AEGIS_OK);
    CHECK(aegis_arena_recycler_fini(&recycler) == AEGIS_OK);
}

static const filled_row rows[] = {
    BOTH(aegis_arena_last_error, error, last_error_of_arena),
    BOTH(aegis_arena_heap_last_error, error, last_error_of_heap),
    BOTH(aegis_lock_free_arena_init, error, lock_free_arena_made),
    BOTH(aegis_lock_free_arena_alloc, error, lock_free_alloc),
    BOTH(aegis_lock_free_arena_alloc, error, lock_free_alloc_huge),
    BOTH(aegis_lock_free_arena_alloc_zeroed, error, lock_free_alloc_zeroed),
    BOTH(aegis_lock_free_arena_alloc_aligned, error, lock_free_aligned),
    BOTH(aegis_lock_free_arena_alloc_aligned_zeroed, error, lock_free_aligned_zeroed),
    BOTH(aegis_lock_free_arena_realloc_aligned, error, lock_free_realloc),
    BOTH(aegis_lock_free_arena_memdup, error, lock_free_memdup),
    BOTH(aegis_lock_free_arena_strdup, error, lock_free_strdup),
    BOTH(aegis_lock_free_arena_defer, error, lock_free_defer),
    BOTH(aegis_i_lock_free_alloc_regrown, error, lock_free_regrown),
    BOTH(aegis_i_locked_alloc_regrown, error, locked_regrown),
    BOTH(aegis_locked_arena_init, error, locked_arena_made),
    BOTH(aegis_locked_arena_alloc, error, locked_alloc),
    BOTH(aegis_locked_arena_alloc, error, locked_alloc_huge),
    BOTH(aegis_locked_arena_alloc_zeroed, error, locked_alloc_zeroed),
    BOTH(aegis_locked_arena_alloc_aligned, error, locked_aligned),
    BOTH(aegis_locked_arena_alloc_aligned_zeroed, error, locked_aligned_zeroed),
    BOTH(aegis_locked_arena_realloc_aligned, error, locked_realloc),
    BOTH(aegis_locked_arena_memdup, error, locked_memdup),
    BOTH(aegis_locked_arena_strdup, error, locked_strdup),
    BOTH(aegis_locked_arena_defer, error, locked_defer),
    BOTH(aegis_locked_arena_heap_init, error, locked_heap_made),
    BOTH(aegis_locked_arena_heap_alloc, error, locked_heap_alloc),
    BOTH(aegis_locked_arena_heap_alloc, error, locked_heap_alloc_huge),
    BOTH(aegis_locked_arena_heap_alloc_zeroed, error, locked_heap_alloc_zeroed),
    BOTH(aegis_locked_arena_heap_alloc_aligned, error, locked_heap_aligned),
    BOTH(aegis_locked_arena_heap_realloc, error, locked_heap_realloc),
    BOTH(aegis_locked_arena_heap_realloc_aligned, error, locked_heap_realloc_aligned),
    BOTH(aegis_arena_recycler_init, options.error, recycler_made),
    BOTH(aegis_arena_recycler_get, error, recycler_get),
    FILLS(aegis_budget_charge, error, aegis_error, charged),
    FILLS(aegis_budget_charge_timeout, error, aegis_error, charged_with_a_wait),
    FILLS(aegis_budget_poll_charge, error, aegis_error, polled_charge),
    FILLS(aegis_budget_set_guarantee, error, aegis_error, guaranteed),
    FILLS(aegis_budget_set_weight, error, aegis_error, weighted),
    FILLS(aegis_budget_set_policy, error, aegis_error, shared_out),
    FILLS_ON_FAILURE(aegis_budget_of_system, error, aegis_error, of_system),
    BOTH(aegis_budget_move, error, charge_moved),
    BOTH(aegis_arena_move_budget, error, arena_moved),
    BOTH(aegis_arena_heap_move_budget, error, heap_moved),
    FILLS(aegis_locked_arena_heap_move_budget, error, aegis_error, locked_heap_moved),
    FILLS(aegis_lock_free_arena_move_budget, error, aegis_error, lock_free_arena_moved),
    FILLS(aegis_locked_arena_move_budget, error, aegis_error, locked_arena_moved),
    FILLS(aegis_arena_recycler_move_budget, error, aegis_error, recycler_moved),
};

static void every_field_of_an_error_is_filled(void) {
    filled_check_errors(rows, sizeof rows / sizeof rows[0]);
}

int main(void) {
    RUN(every_field_of_an_error_is_filled);
    return check_finish();
}
