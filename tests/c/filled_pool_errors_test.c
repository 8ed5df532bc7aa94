/* SPDX-License-Identifier: Apache-2.0 */
/* Tests that every function of pools and buffers with an `aegis_error` parameter, or with options
 * that have one, fills the whole record when it fails: see filled_errors_support.h. */
#include "filled_errors_support.h"

#define HUGE_BYTES ((size_t)PTRDIFF_MAX)

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

static void keyed_pool_made(void *out, bool fails) {
    aegis_keyed_pool pool;
    aegis_pool_options options = refused_options(out, fails);
    CHECK(aegis_keyed_pool_init(&pool, &options) != AEGIS_OK);
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

static void writer_reserved_aligned(void *out, bool fails) {
    aegis_buffer_mut writer;
    CHECK(aegis_buffer_mut_alloc(&writer, 100, 0, NULL, NULL) == AEGIS_OK);
    CHECK(aegis_buffer_mut_append(&writer, "byte", 4) == AEGIS_OK);
    CHECK(aegis_buffer_mut_reserve_aligned(&writer, fails ? HUGE_BYTES : 200, 64, full_budget,
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

static const filled_row rows[] = {
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
    BOTH(aegis_keyed_pool_init, options.error, keyed_pool_made),
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
    BOTH(aegis_buffer_mut_reserve_aligned, error, writer_reserved_aligned),
    FILLS_ON_FAILURE(aegis_buffer_into_mut, error, aegis_error, stale_into_writer),
    FILLS_ON_FAILURE(aegis_buffer_compact, error, aegis_error, stale_compacted),
    FILLS_ON_FAILURE(aegis_buffer_mut_reserve, error, aegis_error, stale_reserved),
    BOTH(aegis_buffer_pool_init, options.error, buffer_pool_made),
    BOTH(aegis_buffer_pool_get, error, buffer_pool_get),
    BOTH(aegis_buffer_pool_get_timeout, error, buffer_pool_get_timeout),
    FILLS_ON_FAILURE(aegis_buffer_pool_poll, error, aegis_error, buffer_pool_poll),
};

static void every_field_of_an_error_is_filled(void) {
    filled_check_errors(rows, sizeof rows / sizeof rows[0]);
}

int main(void) {
    RUN(every_field_of_an_error_is_filled);
    return check_finish();
}
