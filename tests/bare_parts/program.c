/* SPDX-License-Identifier: Apache-2.0 */
/* What the core for one thread must do on any machine, without a C library: arenas, pools and
 * budgets over a static region. tests/bare compiles this file for several machines; start_*.c, or a
 * script, calls `program` and says whether it failed. */
#include "aegis_memory.h"
#include "program.h"

static unsigned char memory[192 * 1024];
static aegis_region region;
static aegis_source below;
static size_t live_bytes;
static size_t failed_count;

static bool same_text(const char *a, const char *b) {
    while (*a != '\0' && *a == *b) {
        a++;
        b++;
    }
    return *a == *b;
}

static void check(bool condition, const char *what) {
    if (condition)
        return;
    failed_count++;
    program_print("failed: ");
    program_print(what);
    program_print("\n");
}

#define CHECK(condition) check((condition), #condition)
#define CHECK_TEXT(text, expected) check_text((text), (expected))

static void check_text(const char *text, const char *expected) {
    bool same = same_text(text, expected);
    check(same, expected);
    if (!same) {
        program_print("but is: ");
        program_print(text);
        program_print("\n");
    }
}

/* A source over the region that counts what is out. */
static void *acquire(void *context, size_t size_bytes, size_t align_bytes, bool *zeroed) {
    void *piece = below.acquire(below.context, size_bytes, align_bytes, zeroed);
    (void)context;
    if (piece != NULL)
        live_bytes += size_bytes;
    return piece;
}

static void release(void *context, void *piece, size_t size_bytes, size_t align_bytes) {
    (void)context;
    live_bytes -= size_bytes;
    below.release(below.context, piece, size_bytes, align_bytes);
}

static const aegis_source source = {acquire, release, NULL, NULL};

static size_t deferred_count;

static void count_deferred(void *context) {
    (void)context;
    deferred_count++;
}

static void arena_of_the_source_works(void) {
    aegis_arena_options options;
    aegis_arena arena;
    aegis_arena_scope scope;
    aegis_arena_stats stats;
    memset(&options, 0, sizeof options);
    options.source = &source;
    options.capacity_bytes = 1000;
    CHECK(aegis_arena_init(&arena, &options) == AEGIS_OK);
    char *text = aegis_arena_strdup(&arena, "kept");
    aegis_arena_mark mark = aegis_arena_get_mark(&arena);
    CHECK(aegis_arena_defer(&arena, count_deferred, NULL) == AEGIS_OK);
    unsigned char *bytes = (unsigned char *)aegis_arena_alloc_zeroed(&arena, 5000);
    CHECK(bytes != NULL && bytes[0] == 0 && bytes[4999] == 0);
    CHECK(((uintptr_t)aegis_arena_alloc_aligned(&arena, 100, 256) & 255) == 0);
    CHECK(aegis_arena_rewind(&arena, &mark) == AEGIS_OK && deferred_count == 1);
    aegis_arena_scope_begin(&arena, &scope);
    CHECK(aegis_arena_memdup(&scope.arena, text, 5) != NULL);
    aegis_arena_scope_end(&arena, &scope);
    CHECK_TEXT(text, "kept");
    CHECK(aegis_arena_alloc(&arena, SIZE_MAX) == NULL);
    aegis_arena_get_stats(&arena, &stats);
    CHECK(stats.block_count >= 2 && live_bytes >= stats.reserved_bytes);
    aegis_arena_reset(&arena);
    void *hooked = aegis_arena_hook_malloc(&arena, 100);
    hooked = aegis_arena_hook_realloc(&arena, hooked, 3000);
    CHECK(hooked != NULL && aegis_arena_hook_usable_size(&arena, hooked) >= 3000);
    aegis_arena_hook_free(&arena, hooked);
    aegis_arena_fini(&arena);
    CHECK(live_bytes == 0);
}

static void fixed_arena_says_what_did_not_fit(void) {
    static unsigned char fixed[256];
    aegis_arena_options options;
    aegis_arena arena;
    char said[160];
    memset(&options, 0, sizeof options);
    options.memory = fixed;
    options.memory_bytes = sizeof fixed;
    options.flags = AEGIS_ARENA_NO_DEBUG;
    CHECK(aegis_arena_init(&arena, &options) == AEGIS_OK);
    CHECK(aegis_arena_alloc(&arena, 64) != NULL);
    CHECK(aegis_arena_alloc(&arena, 200000) == NULL);
    size_t length = aegis_arena_explain(&arena, said, sizeof said);
    said[24] = '\0';
    CHECK(length > 60);
    CHECK_TEXT(said, "fixed memory exhausted: ");
    CHECK(aegis_arena_explain(&arena, said, 10) == length);
    CHECK_TEXT(said, "fixed mem");
    aegis_arena_fini(&arena);
}

static char reported[256];

static void keep_report(const char *message) {
    size_t length = 0;
    while (message[length] != '\0')
        length++;
    memcpy(reported, message, length + 1);
}

static void overrun_is_reported(void) {
    aegis_arena_options options;
    aegis_arena arena;
    memset(&options, 0, sizeof options);
    options.source = &source;
    options.flags = AEGIS_ARENA_GUARD;
    options.name = "guarded";
    aegis_report_fn before = aegis_set_report(keep_report);
    CHECK(aegis_arena_init(&arena, &options) == AEGIS_OK);
    CHECK(aegis_arena_alloc(&arena, 100) != NULL);
    unsigned char *bytes = (unsigned char *)aegis_arena_alloc(&arena, 13);
    bytes[13] = 0;
    aegis_arena_fini(&arena);
    CHECK_TEXT(reported, "arena 'guarded': allocation 2, of 13 bytes, was overrun");
    CHECK(aegis_set_report(before) == keep_report && live_bytes == 0);
}

static void pool_grows_and_refuses(void) {
    aegis_pool_options options;
    aegis_pool pool;
    void *blocks[24];
    memset(&options, 0, sizeof options);
    options.block_bytes = 48;
    options.block_count = 8;
    options.max_block_count = 24;
    options.source = &source;
    CHECK(aegis_pool_init(&pool, &options) == AEGIS_OK);
    for (size_t i = 0; i < 24; i++) {
        blocks[i] = i % 2 == 0 ? aegis_pool_alloc(&pool) : aegis_pool_alloc_zeroed(&pool);
        CHECK(blocks[i] != NULL && aegis_pool_owns(&pool, blocks[i]));
    }
    CHECK(aegis_pool_alloc(&pool) == NULL);
    CHECK(aegis_pool_fini(&pool) == AEGIS_E_BUSY);
    CHECK(aegis_pool_free_n(&pool, blocks, 24) == AEGIS_OK);
    CHECK(aegis_pool_free(&pool, blocks[0]) == AEGIS_E_INVALID);
    aegis_pool_trim(&pool, 0);
    CHECK(aegis_pool_fini(&pool) == AEGIS_OK && live_bytes == 0);
}

static void stale_key_finds_nothing(void) {
    aegis_pool_options options;
    aegis_keyed_pool pool;
    uint64_t key, other;
    memset(&options, 0, sizeof options);
    options.block_bytes = 16;
    options.block_count = 4;
    options.max_block_count = 8;
    CHECK(aegis_keyed_pool_init(&pool, &options) == AEGIS_OK); /* of the default source */
    void *block = aegis_keyed_pool_alloc(&pool, &key);
    CHECK(block != NULL && aegis_keyed_pool_get(&pool, key) == block);
    CHECK(aegis_keyed_pool_free(&pool, key) == AEGIS_OK);
    CHECK(aegis_keyed_pool_alloc(&pool, &other) == block && other != key);
    CHECK(aegis_keyed_pool_get(&pool, key) == NULL);
    CHECK(aegis_keyed_pool_free(&pool, other) == AEGIS_OK);
    CHECK(aegis_keyed_pool_fini(&pool) == AEGIS_OK && live_bytes == 0);
}

static void budget_refuses_and_explains(void) {
    aegis_budget *root = aegis_budget_new("root", 1000, NULL);
    aegis_budget *leaf = aegis_budget_new("leaf", AEGIS_BUDGET_UNLIMITED, root);
    aegis_budget_peak peak;
    aegis_error error;
    char said[200];
    CHECK(root != NULL && leaf != NULL);
#if defined(AEGIS_FREESTANDING)
    CHECK(live_bytes != 0);
#endif
    CHECK(aegis_budget_charge(leaf, 700, &error) == AEGIS_OK);
    CHECK(aegis_budget_charge(leaf, 400, &error) == AEGIS_E_LIMIT_EXCEEDED);
    (void)aegis_error_explain(&error, said, sizeof said);
    CHECK_TEXT(said, "budget 'root' refused 400 bytes: limit 1000 bytes, 700 bytes in use; "
                     "largest: 'leaf' 700 bytes");
    /* No other thread can make room, so the time is of no use. */
    CHECK(aegis_budget_charge_timeout(leaf, 400, AEGIS_WAIT_FOREVER, &error) ==
          AEGIS_E_LIMIT_EXCEEDED);
    aegis_budget_force_charge(leaf, 400);
    aegis_budget_get_peak(root, &peak);
    CHECK(peak.peak_bytes == 1100 && peak.consumer_count == 1);
    CHECK(aegis_budget_uncharge(leaf, 1100) == AEGIS_OK);
    CHECK(aegis_budget_uncharge(leaf, 1) == AEGIS_E_INVALID);
    aegis_budget_destroy(leaf);
    aegis_budget_destroy(root);
    CHECK(live_bytes == 0);
}

static void guarantees_shares_and_moves_hold(void) {
    aegis_budget *root = aegis_budget_new("root", 1000, NULL);
    CHECK(aegis_budget_set_policy(root, AEGIS_BUDGET_FAIR, NULL) == AEGIS_OK);
    aegis_budget *one = aegis_budget_new("one", AEGIS_BUDGET_UNLIMITED, root);
    aegis_budget *two = aegis_budget_new("two", AEGIS_BUDGET_UNLIMITED, root);
    aegis_budget_terms terms;
    aegis_error error;
    CHECK(aegis_budget_set_weight(two, 300, NULL) == AEGIS_OK);
    CHECK(aegis_budget_set_guarantee(one, 200, NULL) == AEGIS_OK);
    aegis_budget_get_terms(one, &terms);
    CHECK(terms.share_bytes == 400); /* 200, and a fourth of 800 */
    CHECK(aegis_budget_charge(one, 401, &error) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK(error.refusal == AEGIS_REFUSED_SHARE);
    CHECK(aegis_budget_charge(one, 400, &error) == AEGIS_OK);
    CHECK(aegis_budget_move(one, two, 300, &error) == AEGIS_OK);
    CHECK(aegis_budget_uncharge(one, 100) == AEGIS_OK);
    CHECK(aegis_budget_uncharge(two, 300) == AEGIS_OK);
    aegis_budget_close(two);
    CHECK(aegis_budget_charge(two, 1, &error) == AEGIS_E_CLOSED);
    aegis_budget_destroy(one);
    aegis_budget_destroy(two);
    aegis_budget_destroy(root);
    CHECK(live_bytes == 0);
}

static size_t pressed_count;
static size_t woken_count;

static void count_pressure(void *context, size_t used_bytes, size_t limit_bytes) {
    (void)context;
    (void)used_bytes;
    (void)limit_bytes;
    pressed_count++;
}

static void count_wake(void *context) {
    (void)context;
    woken_count++;
}

static size_t give_back(void *context, size_t wanted_bytes) {
    aegis_budget *cache = (aegis_budget *)context;
    aegis_budget_figures figures;
    aegis_budget_get_figures(cache, &figures);
    size_t bytes = wanted_bytes < figures.used_bytes ? wanted_bytes : figures.used_bytes;
    CHECK(aegis_budget_uncharge(cache, bytes) == AEGIS_OK);
    return bytes;
}

static void functions_run_and_requests_are_polled(void) {
    aegis_budget *root = aegis_budget_new("root", 1000, NULL);
    aegis_budget *cache = aegis_budget_new("cache", AEGIS_BUDGET_UNLIMITED, root);
    aegis_budget *work = aegis_budget_new("work", AEGIS_BUDGET_UNLIMITED, root);
    aegis_budget_request *request = NULL;
    aegis_error error;
    CHECK(aegis_budget_on_pressure(root, 80, count_pressure, NULL, NULL) == AEGIS_OK);
    CHECK(aegis_budget_on_reclaim(cache, 0, 0, give_back, NULL, cache, NULL) == AEGIS_OK);
    CHECK(aegis_budget_charge(cache, 600, &error) == AEGIS_OK);
    CHECK(aegis_budget_charge(work, 900, &error) == AEGIS_OK && pressed_count == 1);
    /* The cache has 100 bytes left, and gives them up; then the request waits for the rest. */
    CHECK(aegis_budget_poll_charge(work, 1000, &request, count_wake, NULL, &error) ==
          AEGIS_PENDING);
    CHECK(request != NULL && woken_count == 0);
    CHECK(aegis_budget_uncharge(work, 900) == AEGIS_OK && woken_count == 1);
    CHECK(aegis_budget_poll_charge(work, 1000, &request, count_wake, NULL, &error) == AEGIS_OK);
    CHECK(request == NULL && aegis_budget_uncharge(work, 1000) == AEGIS_OK);
    aegis_budget_destroy(cache);
    aegis_budget_destroy(work);
    aegis_budget_destroy(root);
    CHECK(live_bytes == 0);
}

static void objects_charge_their_budget(void) {
    aegis_arena_options options;
    aegis_budget *budget = aegis_budget_new("objects", 8192, NULL);
    aegis_budget_figures figures;
    aegis_arena arena;
    aegis_error error;
    memset(&options, 0, sizeof options);
    options.budget = budget;
    CHECK(aegis_arena_init(&arena, &options) == AEGIS_OK);
    CHECK(aegis_arena_alloc(&arena, 4000) != NULL);
    CHECK(aegis_arena_alloc(&arena, 8000) == NULL);
    aegis_arena_last_error(&arena, &error);
    CHECK(error.status == AEGIS_E_LIMIT_EXCEEDED && error.refused == budget);
    aegis_budget_get_figures(budget, &figures);
    CHECK(figures.used_bytes >= 4000);
    aegis_arena_fini(&arena);
    aegis_budget_get_figures(budget, &figures);
    CHECK(figures.used_bytes == 0);
    aegis_budget_destroy(budget);
    CHECK(live_bytes == 0);
}

static void without_a_default_source_there_is_no_memory(void) {
#if defined(AEGIS_FREESTANDING)
    const aegis_source none = {NULL, NULL, NULL, NULL};
    aegis_source before = aegis_set_default_source(none);
    aegis_arena arena;
    CHECK(before.acquire == acquire);
    CHECK(aegis_budget_new("none", 1, NULL) == NULL);
    CHECK(aegis_arena_init(&arena, NULL) == AEGIS_OK);
    CHECK(aegis_arena_alloc(&arena, 1) == NULL);
    aegis_arena_fini(&arena);
    (void)aegis_set_default_source(before);
#endif
}

size_t program(void) {
    region.base = memory;
    region.size_bytes = sizeof memory;
    below = aegis_source_region(&region);
#if defined(AEGIS_FREESTANDING)
    (void)aegis_set_default_source(source);
#endif
    arena_of_the_source_works();
    fixed_arena_says_what_did_not_fit();
    overrun_is_reported();
    pool_grows_and_refuses();
    stale_key_finds_nothing();
    budget_refuses_and_explains();
    guarantees_shares_and_moves_hold();
    functions_run_and_requests_are_polled();
    objects_charge_their_budget();
    without_a_default_source_there_is_no_memory();
    if (failed_count == 0)
        program_print("bare: all checks passed\n");
    return failed_count;
}
