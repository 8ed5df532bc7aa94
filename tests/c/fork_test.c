/* SPDX-License-Identifier: Apache-2.0 */
/* Tests objects in child processes. Threads use one object of each kind without a pause while the
 * main thread forks, and each child then makes every call on every object. The child must end; an
 * alarm in the child ends it otherwise. A call must do what it promises or fail with
 * AEGIS_E_FORKED, and all calls on one object must do the same of the two. Lock-free objects must
 * work. */
#include "fork_support.h"

#if defined(TEST_TSAN)
#define TEST_CAN_START_THREADS_IN_CHILD 0
#else
#define TEST_CAN_START_THREADS_IN_CHILD 1
#endif

#if defined(_WIN32)

int main(void) {
    RUN(nothing_forks_here);
    return check_finish();
}

#else

#define THREADS 4
#define CHILDREN scaled(50)
#define NAMES 64
#define STORE_PAGE_BYTES ((size_t)512)

/* One object of each kind. */
static aegis_budget *budget;
static aegis_budget *kept_child;
static aegis_locked_pool locked_pool;
static aegis_lock_free_pool lock_free_pool;
static aegis_lock_free_pool trimmed_pool;
static aegis_locked_arena locked_arena;
static aegis_lock_free_arena lock_free_arena;
static aegis_arena_recycler recycler;
static aegis_page_store store;
static atomic_bool stopping;

static void make_all(void) {
    budget = aegis_budget_new("all", (size_t)1 << 30, NULL);
    kept_child = aegis_budget_new("kept", (size_t)1 << 29, budget);
    aegis_pool_options blocks = pool_options(64, 4, 64, NULL);
    blocks.budget = kept_child;
    CHECK(aegis_locked_pool_init(&locked_pool, &blocks) == AEGIS_OK);
    aegis_lock_free_pool_options shared_blocks = lock_free_options(64, 8, 1024, THREADS + 2, NULL);
    shared_blocks.blocks.budget = kept_child;
    CHECK(aegis_lock_free_pool_init(&lock_free_pool, &shared_blocks) == AEGIS_OK);
    shared_blocks = lock_free_options(64, 2, 64, 0, NULL);
    CHECK(aegis_lock_free_pool_init(&trimmed_pool, &shared_blocks) == AEGIS_OK);
    aegis_arena_options arena;
    memset(&arena, 0, sizeof arena);
    CHECK(aegis_locked_arena_init(&locked_arena, &arena, NULL) == AEGIS_OK);
    aegis_arena_recycler_options stock;
    memset(&stock, 0, sizeof stock);
    stock.max_idle_count = 4;
    stock.keep_bytes = 4096;
    CHECK(aegis_arena_recycler_init(&recycler, &stock) == AEGIS_OK);
    CHECK(aegis_page_store_memory(&store, NULL) == AEGIS_OK);
    aegis_lock_free_arena_options shared;
    memset(&shared, 0, sizeof shared);
    CHECK(aegis_lock_free_arena_init(&lock_free_arena, &shared, NULL) == AEGIS_OK);
}

static void finish_all(void) {
    CHECK(aegis_lock_free_pool_fini(&trimmed_pool) == AEGIS_OK);
    CHECK(aegis_locked_pool_fini(&locked_pool) == AEGIS_OK);
    CHECK(aegis_lock_free_pool_fini(&lock_free_pool) == AEGIS_OK);
    aegis_locked_arena_fini(&locked_arena);
    aegis_lock_free_arena_fini(&lock_free_arena);
    CHECK(aegis_arena_recycler_fini(&recycler) == AEGIS_OK);
    store.close(store.context);
    aegis_budget_destroy(kept_child);
    aegis_budget_destroy(budget);
}

static void print_nowhere(void *context, const char *line) {
    (void)context;
    (void)line;
}

/* What each thread of the parent does until it is told to stop. */
static void *hammer(void *argument) {
    uint64_t seed = (uint64_t)(uintptr_t)argument;
    aegis_pool_cache cache;
    CHECK(aegis_pool_cache_init(&cache, &lock_free_pool) == AEGIS_OK);
    while (!atomic_load(&stopping)) {
        void *blocks[8];
        size_t count = aegis_locked_pool_alloc_n(&locked_pool, blocks, 8, NULL);
        (void)aegis_locked_pool_free_n(&locked_pool, blocks, count);
        void *block = aegis_locked_pool_alloc_timeout(&locked_pool, 100000, NULL);
        if (block != NULL)
            (void)aegis_locked_pool_free(&locked_pool, block);
        if (random_below(&seed, 8) == 0)
            aegis_locked_pool_trim(&locked_pool, 0);
        count = aegis_lock_free_pool_alloc_n(&trimmed_pool, blocks, 8, NULL);
        (void)aegis_lock_free_pool_free_n(&trimmed_pool, blocks, count);
        if (random_below(&seed, 2) == 0)
            aegis_lock_free_pool_trim(&trimmed_pool, 0);
        else
            aegis_lock_free_pool_trim_idle(&trimmed_pool);
        void *memory = aegis_locked_arena_alloc(&locked_arena, 24, NULL);
        if (memory != NULL)
            aegis_locked_arena_free_last(&locked_arena, memory, 24);
        aegis_arena arena;
        if (aegis_arena_recycler_get(&recycler, &arena, NULL) == AEGIS_OK) {
            (void)aegis_arena_alloc(&arena, 8);
            aegis_arena_recycler_put(&recycler, &arena);
        }
        unsigned char page[STORE_PAGE_BYTES] = {1};
        aegis_page_write written = {random_below(&seed, 4), page};
        CHECK(store.write_batch(store.context, &written, 1, sizeof page) == AEGIS_OK);
        CHECK(store.sync(store.context) == AEGIS_OK);
        aegis_budget *child = aegis_budget_new("child", 4096, budget);
        if (aegis_budget_charge(child, 16, NULL) == AEGIS_OK)
            (void)aegis_budget_uncharge(child, 16);
        aegis_budget_destroy(child);
        aegis_budget_figures figures[4];
        (void)aegis_budget_snapshot(budget, figures, 4);
        (void)aegis_budget_take_peak(budget);
        block = aegis_pool_cache_alloc(&cache);
        if (block != NULL)
            (void)aegis_pool_cache_free(&cache, block);
        if (random_below(&seed, 16) == 0) {
            aegis_pool_cache_flush(&cache);
            (void)aegis_lock_free_arena_alloc(&lock_free_arena, 40, NULL);
        }
    }
    aegis_pool_cache_fini(&cache);
    return NULL;
}

/* Whether an object is lost. All calls on the object must say the same, and a debug build must
 * report it once. */
typedef struct fate {
    bool known;
    bool lost;
} fate;

static fate begin(void) {
    fate object = {false, false};
    report_count = 0;
    return object;
}

static void note(fate *object, bool forked) {
    CHECK(!object->known || object->lost == forked);
    object->known = true;
    object->lost = forked;
    CHECK(report_count <= (size_t)forked);
}

static void use_locked_pool(void) {
    fate object = begin();
    aegis_error error;
    void *blocks[4];
    size_t index;
    aegis_pool_slab_info slab;
    aegis_pool_stats stats;
    void *block = aegis_locked_pool_alloc(&locked_pool, &error);
    note(&object, block == NULL);
    CHECK(block != NULL || error.status == AEGIS_E_FORKED);
    void *waited = aegis_locked_pool_alloc_timeout(&locked_pool, 5 * NS_PER_MS, &error);
    note(&object, waited == NULL);
    CHECK(waited != NULL || error.status == AEGIS_E_FORKED);
    void *zeroed = aegis_locked_pool_alloc_zeroed(&locked_pool, NULL);
    note(&object, zeroed == NULL);
    CHECK(zeroed == NULL || is_filled(zeroed, 0, 64));
    aegis_locked_pool_request *request = NULL;
    void *polled;
    aegis_status polling =
        aegis_locked_pool_poll(&locked_pool, &request, &polled, NULL, NULL, &error);
    CHECK(polling == AEGIS_OK || (polling == AEGIS_E_FORKED && polling == error.status));
    note(&object, polling == AEGIS_E_FORKED && request == NULL);
    note(&object, aegis_locked_pool_free(&locked_pool, polled) == AEGIS_E_FORKED);
    size_t count = aegis_locked_pool_alloc_n(&locked_pool, blocks, 4, &error);
    note(&object, count == 0);
    CHECK(count == 4 || error.status == AEGIS_E_FORKED);
    note(&object, aegis_locked_pool_index_of(&locked_pool, block, &index) == AEGIS_E_FORKED);
    note(&object, aegis_locked_pool_address_of(&locked_pool, 0) == NULL);
    note(&object, !aegis_locked_pool_owns(&locked_pool, block));
    note(&object, aegis_locked_pool_get_slab(&locked_pool, 0, &slab) == AEGIS_E_FORKED);
    aegis_status moved = aegis_locked_pool_move_budget(&locked_pool, budget, &error);
    note(&object, moved == AEGIS_E_FORKED);
    CHECK(moved == AEGIS_OK || error.status == AEGIS_E_FORKED);
    aegis_locked_pool_get_stats(&locked_pool, &stats);
    note(&object, stats.capacity == 0);
    CHECK_SIZE(aegis_locked_pool_waiting(&locked_pool), 0);
    note(&object, aegis_locked_pool_free(&locked_pool, block) == AEGIS_E_FORKED);
    note(&object, aegis_locked_pool_free(&locked_pool, waited) == AEGIS_E_FORKED);
    note(&object, aegis_locked_pool_free(&locked_pool, zeroed) == AEGIS_E_FORKED);
    if (count != 0)
        CHECK(aegis_locked_pool_free_n(&locked_pool, blocks, count) == AEGIS_OK);
    aegis_locked_pool_trim(&locked_pool, 0);
    /* The blocks that other threads held at the fork are still out here. */
    aegis_status status = aegis_locked_pool_fini(&locked_pool);
    note(&object, status == AEGIS_E_FORKED);
    CHECK(status == AEGIS_OK || status == AEGIS_E_BUSY || status == AEGIS_E_FORKED);
    aegis_locked_pool_abandon(&locked_pool);
}

static void run_nothing(void *context) {
    (void)context;
}

static void use_locked_arena(void) {
    fate object = begin();
    aegis_error error;
    aegis_arena_stats stats;
    void *memory = aegis_locked_arena_alloc(&locked_arena, 24, &error);
    note(&object, memory == NULL);
    CHECK(memory != NULL || error.status == AEGIS_E_FORKED);
    note(&object, aegis_locked_arena_alloc_zeroed(&locked_arena, 24, NULL) == NULL);
    note(&object, aegis_locked_arena_alloc_aligned(&locked_arena, 24, 64, NULL) == NULL);
    note(&object, aegis_locked_arena_alloc_aligned_zeroed(&locked_arena, 24, 64, NULL) == NULL);
    note(&object, aegis_locked_arena_memdup(&locked_arena, "text", 5, NULL) == NULL);
    char *text = aegis_locked_arena_strdup(&locked_arena, "text", NULL);
    note(&object, text == NULL);
    text = (char *)aegis_locked_arena_realloc_aligned(&locked_arena, text, text != NULL ? 5 : 0,
                                                      500, 8, &error);
    note(&object, text == NULL);
    CHECK(text != NULL || error.status == AEGIS_E_FORKED);
    aegis_locked_arena_free_last(&locked_arena, text, 500);
    aegis_status status = aegis_locked_arena_move_budget(&locked_arena, kept_child, &error);
    note(&object, status == AEGIS_E_FORKED);
    CHECK(status == AEGIS_OK || error.status == AEGIS_E_FORKED);
    status = aegis_locked_arena_defer(&locked_arena, run_nothing, NULL, &error);
    note(&object, status == AEGIS_E_FORKED);
    CHECK(status == AEGIS_OK || error.status == AEGIS_E_FORKED);
    aegis_locked_arena_get_stats(&locked_arena, &stats);
    note(&object, stats.reserved_bytes == 0);
    aegis_locked_arena_reset(&locked_arena);
    aegis_locked_arena_trim(&locked_arena, 0);
    aegis_locked_arena_clear(&locked_arena);
    note(&object, aegis_locked_arena_alloc(&locked_arena, 24, NULL) == NULL);
    aegis_locked_arena_fini(&locked_arena);
}

static void use_recycler(void) {
    fate object = begin();
    aegis_arena arena;
    aegis_error error;
    aegis_arena_recycler_stats stats;
    aegis_status status = aegis_arena_recycler_get(&recycler, &arena, &error);
    note(&object, status == AEGIS_E_FORKED);
    CHECK(status == AEGIS_OK || error.status == AEGIS_E_FORKED);
    if (status == AEGIS_OK) {
        CHECK(aegis_arena_alloc(&arena, 100) != NULL);
        aegis_arena_recycler_put(&recycler, &arena);
    }
    status = aegis_arena_recycler_move_budget(&recycler, kept_child, &error);
    note(&object, status == AEGIS_E_FORKED);
    CHECK(status == AEGIS_OK || error.status == AEGIS_E_FORKED);
    aegis_arena_recycler_get_stats(&recycler, &stats);
    note(&object, stats.made_count == 0);
    aegis_arena_recycler_trim(&recycler, 0);
    status = aegis_arena_recycler_fini(&recycler);
    note(&object, status == AEGIS_E_FORKED);
    CHECK(status == AEGIS_OK || status == AEGIS_E_BUSY || status == AEGIS_E_FORKED);
}

static void use_store(void) {
    fate object = begin();
    unsigned char page[STORE_PAGE_BYTES];
    unsigned char *into = page;
    size_t read_bytes;
    uint64_t page_count;
    memset(page, 7, sizeof page);
    aegis_page_write written = {1, page};
    note(&object, store.write_batch(store.context, &written, 1, sizeof page) == AEGIS_E_FORKED);
    note(&object, store.len(store.context, sizeof page, &page_count) == AEGIS_E_FORKED);
    CHECK(object.lost || page_count >= 2);
    memset(page, 0, sizeof page);
    note(&object,
         store.read(store.context, 1, &into, 1, sizeof page, &read_bytes) == AEGIS_E_FORKED);
    CHECK(object.lost || is_filled(page, 7, sizeof page));
    CHECK(store.sync(store.context) == AEGIS_OK); /* it has nothing to do */
    note(&object, store.truncate(store.context, 0, sizeof page) == AEGIS_E_FORKED);
    store.close(store.context);
}

static void use_budget(void) {
    aegis_budget_figures figures[NAMES];
    aegis_budget_refusal refusal;
    aegis_error error;
    char text[512];
    CHECK(aegis_budget_charge(kept_child, 4096, NULL) == AEGIS_OK);
    CHECK(aegis_budget_charge(kept_child, SIZE_MAX / 4, &error) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK(error.refused == kept_child);
    CHECK(aegis_budget_move(kept_child, budget, 4096, NULL) == AEGIS_OK);
    CHECK(aegis_budget_uncharge(budget, 4096) == AEGIS_OK);
    CHECK(aegis_budget_snapshot(budget, figures, NAMES) >= 1);
    error.refused = budget;
    aegis_budget_get_refusal(&error, &refusal);
    CHECK(aegis_budget_explain(&refusal, text, sizeof text) != 0);
    CHECK(aegis_budget_print(budget, print_nowhere, NULL) == AEGIS_OK);
    aegis_budget_peak peak;
    CHECK(aegis_budget_take_peak(budget) >= 4096);
    CHECK(aegis_budget_charge(kept_child, 4096, NULL) == AEGIS_OK);
    aegis_budget_get_peak(budget, &peak);
    CHECK(peak.peak_bytes >= 4096 && peak.consumer_count <= AEGIS_BUDGET_CONSUMERS);
    CHECK(aegis_budget_explain_peak(&peak, text, sizeof text) != 0);
    CHECK(aegis_budget_uncharge(kept_child, 4096) == AEGIS_OK);
    for (size_t i = 0; i < 3; i++) {
        aegis_budget *child = aegis_budget_new("of the child", 4096, budget);
        if (child != NULL)
            CHECK(aegis_budget_charge(child, 1, NULL) == AEGIS_OK &&
                  aegis_budget_uncharge(child, 1) == AEGIS_OK);
        aegis_budget_destroy(child);
    }
    aegis_budget *machine = NULL;
    CHECK(aegis_budget_of_system(&machine, 0.5, &error) == AEGIS_OK);
    aegis_budget_destroy(machine);
}

static void use_lock_free_forms(void) {
    aegis_pool_cache cache;
    aegis_pool_stats stats;
    aegis_error error;
    void *block = aegis_lock_free_pool_alloc(&lock_free_pool, &error);
    CHECK(block != NULL);
    CHECK(aegis_lock_free_pool_free(&lock_free_pool, block) == AEGIS_OK);
    CHECK(aegis_pool_cache_init(&cache, &lock_free_pool) == AEGIS_OK);
    block = aegis_pool_cache_alloc(&cache);
    CHECK(block != NULL && aegis_pool_cache_free(&cache, block) == AEGIS_OK);
    aegis_pool_cache_fini(&cache);
    aegis_lock_free_pool_trim(&lock_free_pool, 0);
    aegis_lock_free_pool_get_stats(&lock_free_pool, &stats);
    CHECK(stats.capacity != 0);

    aegis_arena_local local;
    aegis_arena_stats figures;
    CHECK(aegis_lock_free_arena_alloc(&lock_free_arena, 100, &error) != NULL);
    CHECK(aegis_arena_local_init(&local, &lock_free_arena, 0) == AEGIS_OK);
    CHECK(aegis_arena_alloc(&local.arena, 100) != NULL);
    aegis_arena_local_fini(&local);
    aegis_lock_free_arena_get_stats(&lock_free_arena, &figures);
    CHECK(figures.used_bytes != 0);
    aegis_lock_free_arena_reset(&lock_free_arena);
    CHECK(aegis_lock_free_arena_alloc(&lock_free_arena, 100, &error) != NULL);
}

/* Blocks that a trim of the parent held may be lost, and those that other threads had are. The
 * child's own trims end, and no block is handed out twice. */
static void use_trimmed_pool(void) {
    void *blocks[64];
    aegis_error error;
    for (int round = 0; round < 3; round++) {
        size_t count = aegis_lock_free_pool_alloc_n(&trimmed_pool, blocks, 64, &error);
        CHECK(count == 64 || error.status == AEGIS_E_EXHAUSTED);
        for (size_t i = 0; i < count; i++) {
            memset(blocks[i], (int)i, 64);
            for (size_t j = 0; j < i; j++)
                CHECK(blocks[i] != blocks[j]);
        }
        for (size_t i = 0; i < count; i++)
            CHECK(is_filled(blocks[i], (unsigned char)i, 64));
        CHECK(aegis_lock_free_pool_free_n(&trimmed_pool, blocks, count) == AEGIS_OK);
        aegis_lock_free_pool_trim(&trimmed_pool, 0);
        aegis_lock_free_pool_trim_idle(&trimmed_pool);
    }
}

static void *use_locked_pool_with_others(void *lost_count) {
    aegis_error error;
    for (size_t i = 0; i < 20; i++) {
        void *block = aegis_locked_pool_alloc(&locked_pool, &error);
        if (block != NULL)
            CHECK(aegis_locked_pool_free(&locked_pool, block) == AEGIS_OK);
        else
            atomic_fetch_add((atomic_size_t *)lost_count, error.status == AEGIS_E_FORKED);
        CHECK(block != NULL || error.status == AEGIS_E_FORKED);
    }
    return NULL;
}

/* All threads find out at the same time what has become of the pool, and they must agree. */
static void use_locked_pool_by_threads(void) {
    pthread_t threads[THREADS];
    atomic_size_t lost_count;
    atomic_init(&lost_count, 0);
    for (size_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, use_locked_pool_with_others, &lost_count) == 0);
    for (size_t i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(atomic_load(&lost_count) == 0 || atomic_load(&lost_count) == THREADS * (size_t)20);
}

static void use_all(void) {
    use_lock_free_forms();
    use_trimmed_pool();
    use_budget();
    use_locked_arena();
    use_recycler();
    use_store();
    use_locked_pool();
}

static void use_all_in_child_of_child(void) {
    run_in_child(use_all);
    use_all();
}

/* The child has used its objects before it forks again, so by then they belong to the child. */
static void use_all_and_fork(void) {
    void *block = aegis_locked_pool_alloc(&locked_pool, NULL);
    use_budget();
    run_in_child(use_all);
    if (block != NULL)
        CHECK(aegis_locked_pool_free(&locked_pool, block) == AEGIS_OK);
    use_all();
}

static void run_beside_threads(void (*run)(void)) {
    pthread_t threads[THREADS];
    make_all();
    atomic_store(&stopping, false);
    for (size_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, hammer, (void *)(uintptr_t)(i + 1)) == 0);
    for (size_t i = 0; i < CHILDREN; i++) {
        sched_yield();
        run_in_child(run);
    }
    atomic_store(&stopping, true);
    for (size_t i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    finish_all();
}

static void child_of_a_process_with_threads_never_hangs(void) {
    run_beside_threads(use_all);
}

static void child_of_a_child_never_hangs(void) {
    run_beside_threads(use_all_in_child_of_child);
    run_beside_threads(use_all_and_fork);
}

static void threads_of_a_child_agree_on_what_is_lost(void) {
    run_beside_threads(use_locked_pool_by_threads);
}

static atomic_bool using_in_handler;

/* Runs in the child before the library's own handler, because the library registers that one
 * later. */
static void use_pool_in_handler(void) {
    if (!atomic_load(&using_in_handler))
        return;
    alarm(10);
    (void)aegis_set_report(NULL);
    void *block = aegis_locked_pool_alloc(&locked_pool, NULL);
    if (block != NULL)
        CHECK(aegis_locked_pool_free(&locked_pool, block) == AEGIS_OK);
}

static void handler_of_the_user_may_use_a_pool_in_the_child(void) {
    atomic_store(&using_in_handler, true);
    run_beside_threads(use_all);
    atomic_store(&using_in_handler, false);
}

int main(void) {
    CHECK(pthread_atfork(NULL, NULL, use_pool_in_handler) == 0);
    if (test_can_fork_beside_threads()) {
        RUN(child_of_a_process_with_threads_never_hangs);
        RUN(child_of_a_child_never_hangs);
        RUN(handler_of_the_user_may_use_a_pool_in_the_child);
        /* Under ThreadSanitizer the child of a process with threads cannot start threads of its
         * own. */
        if (TEST_CAN_START_THREADS_IN_CHILD)
            RUN(threads_of_a_child_agree_on_what_is_lost);
    } else {
        RUN(nothing_forks_here);
    }
    return check_finish();
}

#endif
