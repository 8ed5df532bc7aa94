/* SPDX-License-Identifier: Apache-2.0 */
/* Tests that every function with an `aegis_error` parameter, or with options that have one, fills
 * the whole record when it fails: see filled_support.h. Where a call can fail for two kinds of
 * reasons it does so in two rows. In the second row, the one of FILLS_ON_FAILURE, no budget
 * refuses: the source does, or the argument is wrong, or there is nothing left. */
#include "filled_support.h"

#define HUGE_BYTES ((size_t)PTRDIFF_MAX)

static aegis_budget *full_budget;

/* A budget that refuses every charge, or NULL. */
static aegis_budget *budget_unless(bool fails) {
    return fails ? NULL : full_budget;
}

static const aegis_source *source_if(bool fails) {
    return fails ? &filled_refusing : NULL;
}

/* -- arenas: the budget or the source refuses the first block -- */

static void last_error_of_arena(void *out, bool fails) {
    aegis_arena arena;
    CHECK(aegis_arena_init(&arena, NULL) == AEGIS_OK);
    CHECK(!fails || aegis_arena_alloc(&arena, SIZE_MAX) == NULL);
    aegis_arena_last_error(&arena, (aegis_error *)out);
    aegis_arena_fini(&arena);
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

static void nothing(void *context) {
    (void)context;
}

LOCK_FREE_ARENA(defer, aegis_lock_free_arena_defer(&arena, fails ? NULL : nothing, NULL, error) !=
                           AEGIS_OK)

static void lock_free_arena_made(void *out, bool fails) {
    aegis_lock_free_arena_options options = {fails ? SIZE_MAX : 100, 0,    NULL,
                                             budget_unless(fails),   NULL, 0};
    aegis_lock_free_arena arena;
    CHECK(aegis_lock_free_arena_init(&arena, &options, (aegis_error *)out) != AEGIS_OK);
}

static aegis_arena_options arena_options(size_t capacity_bytes, bool fails) {
    aegis_arena_options options = test_options(capacity_bytes, 0, source_if(fails), NULL, 0);
    options.budget = budget_unless(fails);
    return options;
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

static void pool_moved(void *out, bool fails) {
    aegis_pool_options options = {100, 1, 0, 0, NULL, NULL, NULL, 0};
    aegis_pool pool;
    CHECK(aegis_pool_init(&pool, &options) == AEGIS_OK);
    CHECK(!fails && aegis_pool_move_budget(&pool, full_budget, (aegis_error *)out) != AEGIS_OK);
    CHECK(aegis_pool_fini(&pool) == AEGIS_OK);
}

static void lock_free_pool_moved(void *out, bool fails) {
    aegis_lock_free_pool_options options = {{100, 1, 0, 0, NULL, NULL, NULL, 0}, 0, 0};
    aegis_lock_free_pool pool;
    CHECK(aegis_lock_free_pool_init(&pool, &options) == AEGIS_OK);
    CHECK(!fails &&
          aegis_lock_free_pool_move_budget(&pool, full_budget, (aegis_error *)out) != AEGIS_OK);
    CHECK(aegis_lock_free_pool_fini(&pool) == AEGIS_OK);
}

static void locked_pool_moved(void *out, bool fails) {
    aegis_pool_options options = {100, 1, 0, 0, NULL, NULL, NULL, 0};
    aegis_locked_pool pool;
    CHECK(aegis_locked_pool_init(&pool, &options) == AEGIS_OK);
    CHECK(!fails &&
          aegis_locked_pool_move_budget(&pool, full_budget, (aegis_error *)out) != AEGIS_OK);
    CHECK(aegis_locked_pool_fini(&pool) == AEGIS_OK);
}

/* -- pools: the budget refuses a second slab, or the only block is out -- */

typedef struct limited {
    aegis_budget *budget;
    aegis_pool_options options;
} limited;

static limited limited_begin(bool fails) {
    limited made = {aegis_budget_new("pool", AEGIS_BUDGET_UNLIMITED, NULL),
                    pool_options(64, 1, fails ? 1 : 2, NULL)};
    made.options.budget = made.budget;
    return made;
}

static void last_error_of_pool(void *out, bool fails) {
    limited made = limited_begin(fails);
    aegis_pool pool;
    CHECK(aegis_pool_init(&pool, &made.options) == AEGIS_OK && aegis_pool_alloc(&pool) != NULL);
    aegis_budget_set_limit(made.budget, 0);
    CHECK(aegis_pool_alloc(&pool) == NULL);
    aegis_pool_last_error(&pool, (aegis_error *)out);
    aegis_pool_abandon(&pool);
    aegis_budget_destroy(made.budget);
}

static void no_error_of_pool(void *out, bool fails) {
    aegis_pool pool;
    aegis_pool_options options = pool_options(64, 1, 1, NULL);
    CHECK(!fails && aegis_pool_init(&pool, &options) == AEGIS_OK);
    aegis_pool_last_error(&pool, (aegis_error *)out);
    aegis_pool_abandon(&pool);
}

/* On failure there is no cache left; else the cache had no failure. */
static void last_error_of_cache(void *out, bool fails) {
    aegis_lock_free_pool pool;
    aegis_pool_cache cache;
    aegis_lock_free_pool_options options = lock_free_options(64, 1, 1, fails ? 0 : 1, NULL);
    CHECK(aegis_lock_free_pool_init(&pool, &options) == AEGIS_OK);
    CHECK((aegis_pool_cache_init(&cache, &pool) != AEGIS_OK) == fails);
    aegis_pool_cache_last_error(&cache, (aegis_error *)out);
    aegis_pool_cache_fini(&cache);
    aegis_lock_free_pool_abandon(&pool);
}

#define LOCK_FREE_POOL(name, failed)                                                               \
    static void lock_free_pool_##name(void *out, bool fails) {                                     \
        aegis_error *error = (aegis_error *)out;                                                   \
        limited made = limited_begin(fails);                                                       \
        aegis_lock_free_pool_options options = {made.options, 0, 0};                               \
        aegis_lock_free_pool pool;                                                                 \
        void *blocks[2];                                                                           \
        CHECK(aegis_lock_free_pool_init(&pool, &options) == AEGIS_OK);                             \
        CHECK((blocks[0] = aegis_lock_free_pool_alloc(&pool, NULL)) != NULL);                      \
        aegis_budget_set_limit(made.budget, 0);                                                    \
        CHECK(failed);                                                                             \
        aegis_lock_free_pool_abandon(&pool);                                                       \
        aegis_budget_destroy(made.budget);                                                         \
    }

LOCK_FREE_POOL(alloc, aegis_lock_free_pool_alloc(&pool, error) == NULL)
LOCK_FREE_POOL(alloc_zeroed, aegis_lock_free_pool_alloc_zeroed(&pool, error) == NULL)
LOCK_FREE_POOL(alloc_n, aegis_lock_free_pool_alloc_n(&pool, blocks, 2, error) == 0)

#define LOCKED_POOL(name, failed)                                                                  \
    static void locked_pool_##name(void *out, bool fails) {                                        \
        aegis_error *error = (aegis_error *)out;                                                   \
        limited made = limited_begin(fails);                                                       \
        aegis_locked_pool pool;                                                                    \
        void *blocks[2];                                                                           \
        CHECK(aegis_locked_pool_init(&pool, &made.options) == AEGIS_OK);                           \
        CHECK((blocks[0] = aegis_locked_pool_alloc(&pool, NULL)) != NULL);                         \
        aegis_budget_set_limit(made.budget, 0);                                                    \
        CHECK(failed);                                                                             \
        aegis_locked_pool_abandon(&pool);                                                          \
        aegis_budget_destroy(made.budget);                                                         \
    }

LOCKED_POOL(alloc, aegis_locked_pool_alloc(&pool, error) == NULL)
LOCKED_POOL(alloc_zeroed, aegis_locked_pool_alloc_zeroed(&pool, error) == NULL)
LOCKED_POOL(alloc_timeout, aegis_locked_pool_alloc_timeout(&pool, 1, error) == NULL)
LOCKED_POOL(alloc_n, aegis_locked_pool_alloc_n(&pool, blocks, 2, error) == 0)

/* A poll fails when no block is out, as in a pool that calls its source to finish. */
static const aegis_locked_pool *ending_pool;
static aegis_error *ending_error;

static void polling_release(void *context, void *memory, size_t size_bytes, size_t align_bytes) {
    aegis_locked_pool_request *request = NULL;
    void *block;
    if (ending_pool != NULL)
        CHECK(aegis_locked_pool_poll(ending_pool, &request, &block, NULL, NULL, ending_error) ==
              AEGIS_E_EXHAUSTED);
    ending_pool = NULL;
    aegis_source_heap().release(context, memory, size_bytes, align_bytes);
}

static void locked_pool_poll(void *out, bool fails) {
    aegis_source source = aegis_source_heap();
    aegis_pool_options options = pool_options(64, 1, 0, &source);
    aegis_locked_pool pool;
    CHECK(fails);
    source.release = polling_release;
    CHECK(aegis_locked_pool_init(&pool, &options) == AEGIS_OK);
    ending_pool = &pool;
    ending_error = (aegis_error *)out;
    CHECK(aegis_locked_pool_fini(&pool) == AEGIS_OK);
    CHECK(ending_pool == NULL);
}

static aegis_pool_options refused_options(void *out, bool fails) {
    aegis_pool_options options = pool_options(64, 1, 1, NULL);
    options.align_bytes = fails ? 24 : 0;
    options.budget = budget_unless(fails);
    options.error = (aegis_error *)out;
    return options;
}

static void pool_made(void *out, bool fails) {
    aegis_pool pool;
    aegis_pool_options options = refused_options(out, fails);
    CHECK(aegis_pool_init(&pool, &options) != AEGIS_OK);
}

static void lock_free_pool_made(void *out, bool fails) {
    aegis_lock_free_pool pool;
    aegis_lock_free_pool_options options = {refused_options(out, fails), 0, 0};
    CHECK(aegis_lock_free_pool_init(&pool, &options) != AEGIS_OK);
}

static void locked_pool_made(void *out, bool fails) {
    aegis_locked_pool pool;
    aegis_pool_options options = refused_options(out, fails);
    CHECK(aegis_locked_pool_init(&pool, &options) != AEGIS_OK);
}

static void view_moved(void *out, bool fails) {
    aegis_buffer buffer;
    aegis_buffer none = {NULL, 0, NULL};
    CHECK(aegis_buffer_copy(&buffer, "byte", 4, NULL, NULL) == AEGIS_OK);
    CHECK(aegis_buffer_move_budget(fails ? &none : &buffer, full_budget, (aegis_error *)out) !=
          AEGIS_OK);
    CHECK(aegis_buffer_release(&buffer) == AEGIS_OK);
}

static void buffer_pool_moved(void *out, bool fails) {
    aegis_buffer_class class_of = {100, 1, 1};
    aegis_buffer_pool_options options = {0};
    aegis_buffer_pool pool, other = {NULL};
    options.classes = &class_of;
    options.class_count = 1;
    CHECK(aegis_buffer_pool_init(&pool, &options) == AEGIS_OK);
    if (fails)
        CHECK(aegis_buffer_pool_retain(&pool, &other) == AEGIS_OK);
    CHECK(aegis_buffer_pool_move_budget(&pool, full_budget, (aegis_error *)out) != AEGIS_OK);
    aegis_buffer_pool_release(&other);
    aegis_buffer_pool_release(&pool);
}

static void writer_moved(void *out, bool fails) {
    aegis_buffer_mut writer;
    aegis_buffer_mut none = {NULL, 0, 0, NULL, 0};
    CHECK(aegis_buffer_mut_alloc(&writer, 100, 0, NULL, NULL) == AEGIS_OK);
    CHECK(aegis_buffer_mut_move_budget(fails ? &none : &writer, full_budget, (aegis_error *)out) !=
          AEGIS_OK);
    CHECK(aegis_buffer_mut_release(&writer) == AEGIS_OK);
}

/* -- buffers: the budget refuses the heap, or an argument is wrong -- */

static void copied(void *out, bool fails) {
    aegis_buffer buffer;
    CHECK(aegis_buffer_copy(&buffer, fails ? NULL : "byte", 4, budget_unless(fails),
                            (aegis_error *)out) != AEGIS_OK);
}

static void wrapped(void *out, bool fails) {
    aegis_buffer buffer;
    CHECK(aegis_buffer_wrap(&buffer, NULL, 4, fails ? nothing : NULL, NULL, (aegis_error *)out) !=
          AEGIS_OK);
}

static void wrapped_sized(void *out, bool fails) {
    aegis_buffer buffer;
    CHECK(aegis_buffer_wrap_sized(&buffer, NULL, 4, 9, fails ? nothing : NULL, NULL,
                                  (aegis_error *)out) != AEGIS_OK);
}

static void from_arena(void *out, bool fails) {
    aegis_arena arena;
    aegis_buffer buffer;
    aegis_arena_options options = arena_options(0, fails);
    CHECK(aegis_arena_init(&arena, &options) == AEGIS_OK);
    CHECK(aegis_buffer_from_arena(&buffer, &arena, "byte", 4, (aegis_error *)out) != AEGIS_OK);
    aegis_arena_fini(&arena);
}

static void into_writer(void *out, bool fails) {
    aegis_buffer buffer = aegis_buffer_from_static(fails ? NULL : "byte", 4);
    aegis_buffer_mut writer;
    CHECK(aegis_buffer_into_mut(&buffer, &writer, full_budget, (aegis_error *)out) != AEGIS_OK);
}

static void compacted(void *out, bool fails) {
    static const char bytes[100] = {0};
    aegis_buffer buffer = aegis_buffer_from_static(NULL, 1);
    if (!fails) {
        CHECK(aegis_buffer_copy(&buffer, bytes, sizeof bytes, NULL, NULL) == AEGIS_OK);
        CHECK(aegis_buffer_slice(&buffer, 0, 1, &buffer) == AEGIS_OK);
    }
    CHECK(aegis_buffer_compact(&buffer, full_budget, (aegis_error *)out) != AEGIS_OK);
    CHECK(fails || aegis_buffer_release(&buffer) == AEGIS_OK);
}

static void writer_made(void *out, bool fails) {
    aegis_buffer_mut writer;
    CHECK(aegis_buffer_mut_alloc(&writer, fails ? HUGE_BYTES : 100, 0, budget_unless(fails),
                                 (aegis_error *)out) != AEGIS_OK);
}

static void writer_reserved(void *out, bool fails) {
    aegis_buffer_mut writer;
    CHECK(aegis_buffer_mut_alloc(&writer, 100, 0, NULL, NULL) == AEGIS_OK);
    CHECK(aegis_buffer_mut_append(&writer, "byte", 4) == AEGIS_OK);
    CHECK(aegis_buffer_mut_reserve(&writer, fails ? HUGE_BYTES : 200, full_budget,
                                   (aegis_error *)out) != AEGIS_OK);
    CHECK(aegis_buffer_mut_release(&writer) == AEGIS_OK);
}

static void keep(aegis_buffer_owner *owner) {
    (void)owner;
}

static unsigned char kept_bytes[100];
static aegis_buffer_owner kept;

/* A copy of a handle that was released. The owner is still there. */
static aegis_buffer stale_view(void) {
    const aegis_buffer_owner fresh = {1, keep, kept_bytes, sizeof kept_bytes, AEGIS_BUFFER_WRITABLE,
                                      0};
    kept = fresh;
    aegis_buffer buffer = aegis_buffer_adopt(&kept);
    aegis_buffer stale = buffer;
    CHECK(aegis_buffer_release(&buffer) == AEGIS_OK);
    return stale;
}

static void stale_into_writer(void *out, bool fails) {
    aegis_buffer stale = stale_view(), before = stale;
    aegis_buffer_mut writer;
    CHECK(fails &&
          aegis_buffer_into_mut(&stale, &writer, NULL, (aegis_error *)out) == AEGIS_E_INVALID);
    CHECK(writer.data == NULL && memcmp(&stale, &before, sizeof stale) == 0);
}

static void stale_compacted(void *out, bool fails) {
    aegis_buffer stale = stale_view(), before;
    stale.length = 1;
    before = stale;
    CHECK(fails && aegis_buffer_compact(&stale, NULL, (aegis_error *)out) == AEGIS_E_INVALID);
    CHECK(memcmp(&stale, &before, sizeof stale) == 0);
}

static void stale_reserved(void *out, bool fails) {
    aegis_buffer view = stale_view();
    aegis_buffer_mut stale = {kept.base, 4, view.length, view.owner, 0}, before = stale;
    CHECK(fails &&
          aegis_buffer_mut_reserve(&stale, 200, NULL, (aegis_error *)out) == AEGIS_E_INVALID);
    CHECK(memcmp(&stale, &before, sizeof stale) == 0);
}

static void buffer_pool_made(void *out, bool fails) {
    static const aegis_buffer_class one_class = {4096, 1, 0};
    aegis_buffer_pool pool;
    aegis_buffer_pool_options options;
    memset(&options, 0, sizeof options);
    options.classes = &one_class;
    options.class_count = fails ? 0 : 1;
    options.budget = budget_unless(fails);
    options.error = (aegis_error *)out;
    CHECK(aegis_buffer_pool_init(&pool, &options) != AEGIS_OK);
}

/* One buffer, which is out. On failure the request is too large. */
static void buffer_pool_ask(void *out, bool fails, bool waits) {
    static const aegis_buffer_class one_class = {4096, 1, 0};
    aegis_error *error = (aegis_error *)out;
    aegis_buffer_pool pool;
    aegis_buffer_pool_options options;
    aegis_buffer_mut writer, none;
    memset(&options, 0, sizeof options);
    options.classes = &one_class;
    options.class_count = 1;
    CHECK(aegis_buffer_pool_init(&pool, &options) == AEGIS_OK);
    CHECK(aegis_buffer_pool_get(&pool, &writer, 1, NULL) == AEGIS_OK);
    size_t size_bytes = fails ? 5000 : 1;
    CHECK((waits ? aegis_buffer_pool_get_timeout(&pool, &none, size_bytes, 1, error)
                 : aegis_buffer_pool_get(&pool, &none, size_bytes, error)) != AEGIS_OK);
    CHECK(aegis_buffer_mut_release(&writer) == AEGIS_OK);
    aegis_buffer_pool_release(&pool);
}

static void buffer_pool_get(void *out, bool fails) {
    buffer_pool_ask(out, fails, false);
}

static void buffer_pool_get_timeout(void *out, bool fails) {
    buffer_pool_ask(out, fails, true);
}

/* A poll of a request that could be served later is no error. */
static void buffer_pool_poll(void *out, bool fails) {
    static const aegis_buffer_class one_class = {4096, 1, 0};
    aegis_buffer_pool pool;
    aegis_buffer_pool_options options;
    aegis_buffer_pool_request *request = NULL;
    aegis_buffer_mut none;
    memset(&options, 0, sizeof options);
    options.classes = &one_class;
    options.class_count = 1;
    CHECK(fails && aegis_buffer_pool_init(&pool, &options) == AEGIS_OK);
    CHECK(aegis_buffer_pool_poll(&pool, &request, &none, 5000, NULL, NULL, (aegis_error *)out) ==
          AEGIS_E_LIMIT_EXCEEDED);
    aegis_buffer_pool_release(&pool);
    CHECK(aegis_buffer_pool_poll(&pool, &request, &none, 1, NULL, NULL, (aegis_error *)out) ==
          AEGIS_E_INVALID);
}

#define BOTH(function, parameter, call)                                                            \
    FILLS(function, parameter, aegis_error, call),                                                 \
        FILLS_ON_FAILURE(function, parameter, aegis_error, call)

static const filled_row rows[] = {
    BOTH(aegis_arena_last_error, error, last_error_of_arena),
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
    FILLS(aegis_lock_free_arena_move_budget, error, aegis_error, lock_free_arena_moved),
    FILLS(aegis_locked_arena_move_budget, error, aegis_error, locked_arena_moved),
    FILLS(aegis_arena_recycler_move_budget, error, aegis_error, recycler_moved),
    FILLS(aegis_pool_move_budget, error, aegis_error, pool_moved),
    FILLS(aegis_lock_free_pool_move_budget, error, aegis_error, lock_free_pool_moved),
    FILLS(aegis_locked_pool_move_budget, error, aegis_error, locked_pool_moved),
    FILLS(aegis_pool_last_error, error, aegis_error, no_error_of_pool),
    BOTH(aegis_pool_last_error, error, last_error_of_pool),
    BOTH(aegis_pool_cache_last_error, error, last_error_of_cache),
    BOTH(aegis_lock_free_pool_alloc, error, lock_free_pool_alloc),
    BOTH(aegis_lock_free_pool_alloc_zeroed, error, lock_free_pool_alloc_zeroed),
    BOTH(aegis_lock_free_pool_alloc_n, error, lock_free_pool_alloc_n),
    BOTH(aegis_locked_pool_alloc, error, locked_pool_alloc),
    BOTH(aegis_locked_pool_alloc_zeroed, error, locked_pool_alloc_zeroed),
    BOTH(aegis_locked_pool_alloc_timeout, error, locked_pool_alloc_timeout),
    BOTH(aegis_locked_pool_alloc_n, error, locked_pool_alloc_n),
    FILLS_ON_FAILURE(aegis_locked_pool_poll, error, aegis_error, locked_pool_poll),
    BOTH(aegis_pool_init, options.error, pool_made),
    BOTH(aegis_lock_free_pool_init, options.error, lock_free_pool_made),
    BOTH(aegis_locked_pool_init, options.error, locked_pool_made),
    BOTH(aegis_buffer_move_budget, error, view_moved),
    BOTH(aegis_buffer_mut_move_budget, error, writer_moved),
    BOTH(aegis_buffer_pool_move_budget, error, buffer_pool_moved),
    BOTH(aegis_buffer_copy, error, copied),
    BOTH(aegis_buffer_wrap, error, wrapped),
    BOTH(aegis_buffer_wrap_sized, error, wrapped_sized),
    BOTH(aegis_buffer_from_arena, error, from_arena),
    BOTH(aegis_buffer_into_mut, error, into_writer),
    BOTH(aegis_buffer_compact, error, compacted),
    BOTH(aegis_buffer_mut_alloc, error, writer_made),
    BOTH(aegis_buffer_mut_reserve, error, writer_reserved),
    FILLS_ON_FAILURE(aegis_buffer_into_mut, error, aegis_error, stale_into_writer),
    FILLS_ON_FAILURE(aegis_buffer_compact, error, aegis_error, stale_compacted),
    FILLS_ON_FAILURE(aegis_buffer_mut_reserve, error, aegis_error, stale_reserved),
    BOTH(aegis_buffer_pool_init, options.error, buffer_pool_made),
    BOTH(aegis_buffer_pool_get, error, buffer_pool_get),
    BOTH(aegis_buffer_pool_get_timeout, error, buffer_pool_get_timeout),
    FILLS_ON_FAILURE(aegis_buffer_pool_poll, error, aegis_error, buffer_pool_poll),
};

static void every_field_of_an_error_is_filled(void) {
    full_budget = aegis_budget_new("full", 0, NULL);
    aegis_report_fn report = aegis_set_report(NULL); /* the stale handles are meant */
    filled_check_all(rows, sizeof rows / sizeof rows[0]);
    (void)aegis_set_report(report);
    aegis_budget_destroy(full_budget);
}

int main(void) {
    RUN(every_field_of_an_error_is_filled);
    return check_finish();
}
