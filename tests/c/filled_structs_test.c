/* SPDX-License-Identifier: Apache-2.0 */
/* Tests that statistics, descriptions of blocks and slabs, tables and figures of budgets have every
 * field filled: see filled_support.h. */
#include "filled_support.h"

/* -- arenas -- */

/* Allocates until the arena has released a block, was reset, has a closed block with an unused end,
 * and has room left. */
#define WORK(type, arena, alloc)                                                                   \
    do {                                                                                           \
        aegis_arena_stats now;                                                                     \
        CHECK(alloc != NULL);                                                                      \
        aegis_##type##_reset(arena);                                                               \
        aegis_##type##_trim(arena, 0);                                                             \
        do {                                                                                       \
            CHECK(alloc != NULL);                                                                  \
            aegis_##type##_get_stats(arena, &now);                                                 \
        } while (now.block_count < 2);                                                             \
    } while (0)

static void arena_stats(void *out, bool fails) {
    aegis_arena arena;
    CHECK(!fails && aegis_arena_init(&arena, NULL) == AEGIS_OK);
    WORK(arena, &arena, aegis_arena_alloc(&arena, 1000));
    aegis_arena_get_stats(&arena, (aegis_arena_stats *)out);
    aegis_arena_fini(&arena);
}

static void lock_free_arena_stats(void *out, bool fails) {
    aegis_lock_free_arena arena;
    CHECK(!fails && aegis_lock_free_arena_init(&arena, NULL, NULL) == AEGIS_OK);
    WORK(lock_free_arena, &arena, aegis_lock_free_arena_alloc(&arena, 200, NULL));
    aegis_lock_free_arena_get_stats(&arena, (aegis_arena_stats *)out);
    aegis_lock_free_arena_fini(&arena);
}

static void locked_arena_stats(void *out, bool fails) {
    aegis_locked_arena arena;
    CHECK(!fails && aegis_locked_arena_init(&arena, NULL, NULL) == AEGIS_OK);
    WORK(locked_arena, &arena, aegis_locked_arena_alloc(&arena, 1000, NULL));
    aegis_locked_arena_get_stats(&arena, (aegis_arena_stats *)out);
    aegis_locked_arena_fini(&arena);
}

#define WORK_HEAP(type, heap, ...)                                                                 \
    do {                                                                                           \
        CHECK(aegis_##type##_alloc(heap, 300000 __VA_ARGS__) != NULL);                             \
        aegis_##type##_reset(heap);                                                                \
        aegis_##type##_trim(heap, 0);                                                              \
        void *small = aegis_##type##_alloc(heap, 100 __VA_ARGS__);                                 \
        CHECK(aegis_##type##_alloc(heap, 300000 __VA_ARGS__) != NULL);                             \
        aegis_##type##_free(heap, small);                                                          \
    } while (0)

static void heap_stats(void *out, bool fails) {
    aegis_arena_heap heap;
    CHECK(!fails && aegis_arena_heap_init(&heap, NULL) == AEGIS_OK);
    WORK_HEAP(arena_heap, &heap, );
    aegis_arena_heap_get_stats(&heap, (aegis_arena_heap_stats *)out);
    aegis_arena_heap_fini(&heap);
}

static void locked_heap_stats(void *out, bool fails) {
    aegis_locked_arena_heap heap;
    CHECK(!fails && aegis_locked_arena_heap_init(&heap, NULL, NULL) == AEGIS_OK);
    WORK_HEAP(locked_arena_heap, &heap, , NULL);
    aegis_locked_arena_heap_get_stats(&heap, (aegis_arena_heap_stats *)out);
    aegis_locked_arena_heap_fini(&heap);
}

static void block_info(void *out, bool fails) {
    aegis_arena arena;
    CHECK(!fails && aegis_arena_init(&arena, NULL) == AEGIS_OK);
    CHECK(aegis_arena_alloc(&arena, 100) != NULL);
    CHECK(aegis_arena_next_block(&arena, NULL, (aegis_arena_block_info *)out) != NULL);
    aegis_arena_fini(&arena);
}

static void recycler_stats(void *out, bool fails) {
    aegis_arena_recycler recycler;
    aegis_arena_recycler_options options;
    aegis_arena kept, other;
    memset(&options, 0, sizeof options);
    options.max_idle_count = 2;
    CHECK(!fails && aegis_arena_recycler_init(&recycler, &options) == AEGIS_OK);
    CHECK(aegis_arena_recycler_get(&recycler, &kept, NULL) == AEGIS_OK);
    aegis_arena_recycler_put(&recycler, &kept);
    CHECK(aegis_arena_recycler_get(&recycler, &kept, NULL) == AEGIS_OK);
    CHECK(aegis_arena_recycler_get(&recycler, &other, NULL) == AEGIS_OK);
    aegis_arena_recycler_put(&recycler, &other);
    aegis_arena_recycler_get_stats(&recycler, (aegis_arena_recycler_stats *)out);
    aegis_arena_recycler_put(&recycler, &kept);
    CHECK(aegis_arena_recycler_fini(&recycler) == AEGIS_OK);
}

/* -- pools -- */

#define BLOCKS 9

/* Takes the blocks of three slabs, gives back all but the first, and releases two slabs. */
#define WORK_POOL(type, pool, blocks, ...)                                                         \
    do {                                                                                           \
        CHECK(aegis_##type##_alloc_n(pool, blocks, BLOCKS __VA_ARGS__) == BLOCKS);                 \
        CHECK(aegis_##type##_free_n(pool, (blocks) + 1, BLOCKS - 1) == AEGIS_OK);                  \
        aegis_##type##_trim(pool, 0);                                                              \
    } while (0)

static void pool_figures(void *out, bool fails) {
    aegis_pool pool;
    void *blocks[BLOCKS];
    aegis_pool_options options = pool_options(64, 4, 12, NULL);
    CHECK(!fails && aegis_pool_init(&pool, &options) == AEGIS_OK);
    WORK_POOL(pool, &pool, blocks, );
    aegis_pool_get_stats(&pool, (aegis_pool_stats *)out);
    aegis_pool_abandon(&pool);
}

static void keyed_pool_figures(void *out, bool fails) {
    aegis_keyed_pool pool;
    uint64_t keys[BLOCKS];
    aegis_pool_options options = pool_options(64, 4, 12, NULL);
    CHECK(!fails && aegis_keyed_pool_init(&pool, &options) == AEGIS_OK);
    for (size_t i = 0; i < BLOCKS; i++)
        CHECK(aegis_keyed_pool_alloc(&pool, &keys[i]) != NULL);
    for (size_t i = 2; i < BLOCKS; i++)
        CHECK(aegis_keyed_pool_free(&pool, keys[i]) == AEGIS_OK);
    aegis_keyed_pool_trim(&pool, 0);
    aegis_keyed_pool_get_stats(&pool, (aegis_pool_stats *)out);
    aegis_keyed_pool_abandon(&pool);
}

static void lock_free_pool_figures(void *out, bool fails) {
    aegis_lock_free_pool pool;
    aegis_pool_cache cache;
    void *blocks[BLOCKS];
    aegis_lock_free_pool_options options = lock_free_options(64, 4, 12, 1, NULL);
    CHECK(!fails && aegis_lock_free_pool_init(&pool, &options) == AEGIS_OK);
    WORK_POOL(lock_free_pool, &pool, blocks, , NULL);
    CHECK(aegis_pool_cache_init(&cache, &pool) == AEGIS_OK);
    aegis_lock_free_pool_get_stats(&pool, (aegis_pool_stats *)out);
    aegis_pool_cache_fini(&cache);
    aegis_lock_free_pool_abandon(&pool);
}

static void locked_pool_figures(void *out, bool fails) {
    aegis_locked_pool pool;
    void *blocks[BLOCKS];
    aegis_pool_options options = pool_options(64, 4, 12, NULL);
    CHECK(!fails && aegis_locked_pool_init(&pool, &options) == AEGIS_OK);
    WORK_POOL(locked_pool, &pool, blocks, , NULL);
    aegis_locked_pool_get_stats(&pool, (aegis_pool_stats *)out);
    aegis_locked_pool_abandon(&pool);
}

static void pool_slab(void *out, bool fails) {
    aegis_pool pool;
    void *blocks[BLOCKS];
    aegis_pool_options options = pool_options(64, 4, 12, NULL);
    CHECK(!fails && aegis_pool_init(&pool, &options) == AEGIS_OK);
    CHECK(aegis_pool_alloc_n(&pool, blocks, BLOCKS) == BLOCKS);
    CHECK(aegis_pool_get_slab(&pool, 1, (aegis_pool_slab_info *)out) == AEGIS_OK);
    aegis_pool_abandon(&pool);
}

static void lock_free_pool_slab(void *out, bool fails) {
    aegis_lock_free_pool pool;
    void *blocks[BLOCKS];
    aegis_lock_free_pool_options options = lock_free_options(64, 4, 12, 0, NULL);
    CHECK(!fails && aegis_lock_free_pool_init(&pool, &options) == AEGIS_OK);
    CHECK(aegis_lock_free_pool_alloc_n(&pool, blocks, BLOCKS, NULL) == BLOCKS);
    CHECK(aegis_lock_free_pool_get_slab(&pool, 1, (aegis_pool_slab_info *)out) == AEGIS_OK);
    aegis_lock_free_pool_abandon(&pool);
}

static void locked_pool_slab(void *out, bool fails) {
    aegis_locked_pool pool;
    void *blocks[BLOCKS];
    aegis_pool_options options = pool_options(64, 4, 12, NULL);
    CHECK(!fails && aegis_locked_pool_init(&pool, &options) == AEGIS_OK);
    CHECK(aegis_locked_pool_alloc_n(&pool, blocks, BLOCKS, NULL) == BLOCKS);
    CHECK(aegis_locked_pool_get_slab(&pool, 1, (aegis_pool_slab_info *)out) == AEGIS_OK);
    aegis_locked_pool_abandon(&pool);
}

/* -- buffers -- */

#define BUFFERS 4

/* Takes all buffers and one of the C heap, waits in vain for another one, and gives one back. On
 * failure there is no pool. */
static void buffer_pool_work(aegis_buffer_pool_stats *stats, bool fails) {
    static const aegis_buffer_class one_class = {4096, BUFFERS, 0};
    aegis_buffer_pool pool;
    aegis_buffer_pool_options options;
    aegis_buffer_mut writers[BUFFERS + 2];
    memset(&pool, 0, sizeof pool);
    memset(&options, 0, sizeof options);
    options.classes = &one_class;
    options.class_count = 1;
    options.when_empty = AEGIS_BUFFER_HEAP;
    if (fails) {
        aegis_buffer_pool_get_stats(&pool, stats);
        return;
    }
    CHECK(aegis_buffer_pool_init(&pool, &options) == AEGIS_OK);
    for (size_t i = 0; i < BUFFERS + 1; i++)
        CHECK(aegis_buffer_pool_get(&pool, &writers[i], 100, NULL) == AEGIS_OK);
    CHECK(aegis_buffer_pool_get_timeout(&pool, &writers[BUFFERS + 1], 100, 1, NULL) ==
          AEGIS_E_EXHAUSTED);
    CHECK(aegis_buffer_mut_release(&writers[0]) == AEGIS_OK);
    aegis_buffer_pool_get_stats(&pool, stats);
    for (size_t i = 1; i < BUFFERS + 1; i++)
        CHECK(aegis_buffer_mut_release(&writers[i]) == AEGIS_OK);
    aegis_buffer_pool_release(&pool);
}

static void buffer_pool_figures(void *out, bool fails) {
    buffer_pool_work((aegis_buffer_pool_stats *)out, fails);
}

static void buffer_class_figures(void *out, bool fails) {
    aegis_buffer_pool_stats stats;
    memset(&stats, *(unsigned char *)out, sizeof stats);
    buffer_pool_work(&stats, fails);
    memcpy(out, &stats.classes[0], sizeof stats.classes[0]);
}

static void buffer_table(void *out, bool fails) {
    aegis_buffer buffer = aegis_buffer_from_static("bytes", 5);
    CHECK(!fails && aegis_buffer_iovecs(&buffer, 1, (aegis_iovec *)out) == 5);
}

static void buffer_pool_table(void *out, bool fails) {
    static const aegis_buffer_class one_class = {4096, 1, 0};
    aegis_buffer_pool pool;
    aegis_buffer_pool_options options;
    memset(&options, 0, sizeof options);
    options.classes = &one_class;
    options.class_count = 1;
    CHECK(!fails && aegis_buffer_pool_init(&pool, &options) == AEGIS_OK);
    CHECK_SIZE(aegis_buffer_pool_iovecs(&pool, (aegis_iovec *)out, 1), 1);
    aegis_buffer_pool_release(&pool);
}

/* -- budgets -- */

typedef struct budgets {
    aegis_budget *root;
    aegis_budget *child;
} budgets;

static budgets budgets_begin(void) {
    budgets made;
    made.root = aegis_budget_new("root", 1000, NULL);
    made.child = aegis_budget_new("child", 900, made.root);
    CHECK(aegis_budget_charge(made.child, 300, NULL) == AEGIS_OK);
    CHECK(aegis_budget_charge(made.root, 200, NULL) == AEGIS_OK);
    CHECK(aegis_budget_charge(made.child, 601, NULL) == AEGIS_E_LIMIT_EXCEEDED);
    return made;
}

static void budgets_end(const budgets *made) {
    CHECK(aegis_budget_uncharge(made->child, 300) == AEGIS_OK);
    CHECK(aegis_budget_uncharge(made->root, 200) == AEGIS_OK);
    aegis_budget_destroy(made->child);
    aegis_budget_destroy(made->root);
}

static void budget_figures(void *out, bool fails) {
    budgets made = budgets_begin();
    CHECK(!fails);
    aegis_budget_get_figures(made.child, (aegis_budget_figures *)out);
    budgets_end(&made);
}

static void budget_snapshot(void *out, bool fails) {
    budgets made = budgets_begin();
    aegis_budget_figures figures[2];
    memset(figures, *(unsigned char *)out, sizeof figures);
    CHECK(!fails && aegis_budget_snapshot(made.root, figures, 2) == 2);
    memcpy(out, &figures[1], sizeof figures[1]);
    budgets_end(&made);
}

static void budget_refusal(void *out, bool fails) {
    budgets made = budgets_begin();
    aegis_error error;
    CHECK(aegis_budget_set_guarantee(made.child, 700, NULL) == AEGIS_OK);
    CHECK(!fails && aegis_budget_charge(made.root, 150, &error) == AEGIS_E_LIMIT_EXCEEDED);
    aegis_budget_get_refusal(&error, (aegis_budget_refusal *)out);
    budgets_end(&made);
}

static void budget_terms(void *out, bool fails) {
    aegis_budget *budget = aegis_budget_new("closed", 100, NULL);
    CHECK(!fails && aegis_budget_set_guarantee(budget, 10, NULL) == AEGIS_OK);
    CHECK(aegis_budget_set_policy(budget, AEGIS_BUDGET_FAIR, NULL) == AEGIS_OK);
    aegis_budget_close(budget);
    aegis_budget_get_terms(budget, (aegis_budget_terms *)out);
    aegis_budget_destroy(budget);
}

static void budget_consumer(void *out, bool fails) {
    budgets made = budgets_begin();
    aegis_budget_refusal refusal;
    memset(&refusal, *(unsigned char *)out, sizeof refusal);
    aegis_error error;
    CHECK(!fails && aegis_budget_charge(made.root, 2000, &error) == AEGIS_E_LIMIT_EXCEEDED);
    aegis_budget_get_refusal(&error, &refusal);
    memcpy(out, &refusal.consumers[0], sizeof refusal.consumers[0]);
    budgets_end(&made);
}

/* The peak is higher than the use. */
static budgets budgets_peak(void) {
    budgets made = budgets_begin();
    CHECK(aegis_budget_charge(made.child, 100, NULL) == AEGIS_OK);
    CHECK(aegis_budget_uncharge(made.child, 100) == AEGIS_OK);
    return made;
}

static void budget_peak(void *out, bool fails) {
    budgets made = budgets_peak();
    CHECK(!fails);
    aegis_budget_get_peak(made.root, (aegis_budget_peak *)out);
    budgets_end(&made);
}

static void budget_peak_consumer(void *out, bool fails) {
    budgets made = budgets_peak();
    aegis_budget_peak peak;
    memset(&peak, *(unsigned char *)out, sizeof peak);
    CHECK(!fails);
    aegis_budget_get_peak(made.root, &peak);
    memcpy(out, &peak.consumers[0], sizeof peak.consumers[0]);
    budgets_end(&made);
}

/* What no request has done to these budgets. */
#define NOT_COUNTED "waiting_count wait_count timeout_count reclaim_count reclaimed_bytes"

/* A debug build merges each chunk that is freed. */
#define QUICK "quick_bytes"

/* The state of the current block is 0. Only a lock-free pool has caches. */
/* -- page stores -- */

static void fault_counts(void *out, bool fails) {
    aegis_page_faults faults;
    aegis_page_store inner, store;
    unsigned char byte = 1, *page = &byte;
    aegis_page_write write = {0, page};
    size_t read_bytes = 0;
    memset(&faults, 0, sizeof faults);
    faults.sync.countdown = 1;
    CHECK(!fails && aegis_page_store_memory(&inner, NULL) == AEGIS_OK);
    CHECK(aegis_page_store_faults(&store, &inner, &faults) == AEGIS_OK);
    CHECK(store.write_batch(store.context, &write, 1, 1) == AEGIS_OK);
    CHECK(store.read(store.context, 0, &page, 1, 1, &read_bytes) == AEGIS_OK);
    CHECK(store.sync(store.context) == AEGIS_E_IO);
    aegis_page_faults_counts(&faults, (aegis_page_fault_counts *)out);
    store.close(store.context);
}

static const filled_row rows[] = {
    FILLS_ALL_BUT(aegis_arena_get_stats, stats, aegis_arena_stats, arena_stats, ""),
    FILLS_ALL_BUT(aegis_lock_free_arena_get_stats, stats, aegis_arena_stats, lock_free_arena_stats,
                  ""),
    FILLS_ALL_BUT(aegis_locked_arena_get_stats, stats, aegis_arena_stats, locked_arena_stats, ""),
    FILLS_ALL_BUT(aegis_arena_heap_get_stats, stats, aegis_arena_heap_stats, heap_stats, QUICK),
    FILLS_ALL_BUT(aegis_locked_arena_heap_get_stats, stats, aegis_arena_heap_stats,
                  locked_heap_stats, QUICK),
    FILLS_ALL_BUT(aegis_arena_next_block, info, aegis_arena_block_info, block_info, "state"),
    FILLS_ALL_BUT(aegis_arena_recycler_get_stats, stats, aegis_arena_recycler_stats, recycler_stats,
                  ""),
    FILLS_ALL_BUT(aegis_pool_get_stats, stats, aegis_pool_stats, pool_figures,
                  "parked max_cache_count cache_reserve_bytes"),
    FILLS_ALL_BUT(aegis_keyed_pool_get_stats, stats, aegis_pool_stats, keyed_pool_figures,
                  "parked max_cache_count cache_reserve_bytes"),
    FILLS_ALL_BUT(aegis_lock_free_pool_get_stats, stats, aegis_pool_stats, lock_free_pool_figures,
                  ""),
    FILLS_ALL_BUT(aegis_locked_pool_get_stats, stats, aegis_pool_stats, locked_pool_figures,
                  "parked max_cache_count cache_reserve_bytes"),
    FILLS_ALL_BUT(aegis_pool_get_slab, info, aegis_pool_slab_info, pool_slab, ""),
    FILLS_ALL_BUT(aegis_lock_free_pool_get_slab, info, aegis_pool_slab_info, lock_free_pool_slab,
                  ""),
    FILLS_ALL_BUT(aegis_locked_pool_get_slab, info, aegis_pool_slab_info, locked_pool_slab, ""),
    FILLS_ALL_BUT(aegis_buffer_pool_get_stats, stats, aegis_buffer_pool_stats, buffer_pool_figures,
                  ""),
    FILLS_ON_FAILURE(aegis_buffer_pool_get_stats, stats, aegis_buffer_pool_stats,
                     buffer_pool_figures),
    FILLS_ALL_BUT(aegis_buffer_pool_get_stats, stats.classes, aegis_buffer_class_stats,
                  buffer_class_figures, ""),
    FILLS_ALL_BUT(aegis_buffer_iovecs, iovecs, aegis_iovec, buffer_table, ""),
    FILLS_ALL_BUT(aegis_buffer_pool_iovecs, iovecs, aegis_iovec, buffer_pool_table, ""),
    FILLS_ALL_BUT(aegis_budget_get_figures, figures, aegis_budget_figures, budget_figures,
                  "depth " NOT_COUNTED),
    FILLS_ALL_BUT(aegis_budget_snapshot, figures, aegis_budget_figures, budget_snapshot,
                  NOT_COUNTED),
    FILLS_ALL_BUT(aegis_budget_get_refusal, refusal, aegis_budget_refusal, budget_refusal, ""),
    FILLS_ALL_BUT(aegis_budget_get_terms, terms, aegis_budget_terms, budget_terms, "waiting_count"),
    FILLS_ALL_BUT(aegis_budget_get_refusal, refusal.consumers, aegis_budget_figures,
                  budget_consumer, NOT_COUNTED),
    FILLS_ALL_BUT(aegis_budget_get_peak, peak, aegis_budget_peak, budget_peak, ""),
    FILLS_ALL_BUT(aegis_budget_get_peak, peak.consumers, aegis_budget_consumer,
                  budget_peak_consumer, ""),
    FILLS_ALL_BUT(aegis_page_faults_counts, counts, aegis_page_fault_counts, fault_counts, ""),
};

static void every_field_of_a_report_is_filled(void) {
    filled_check_all(rows, sizeof rows / sizeof rows[0]);
}

/* The fields of structs in structs are checked as bytes, so these have no padding. */
static void nested_structs_have_no_padding(void) {
    static const char *const nested[] = {"aegis_budget_figures", "aegis_budget_consumer",
                                         "aegis_buffer_class_stats"};
    for (size_t n = 0; n < sizeof nested / sizeof nested[0]; n++) {
        size_t size_bytes = 0, sum_bytes = 0;
        for (size_t i = 0; i < LAYOUT_LINES; i++) {
            if (strcmp(layouts[i].type, nested[n]) != 0)
                continue;
            if (layouts[i].field == NULL)
                size_bytes = layouts[i].size_bytes;
            else
                sum_bytes += layouts[i].size_bytes;
        }
        CHECK(size_bytes != 0);
        CHECK_SIZE(sum_bytes, size_bytes);
    }
}

int main(void) {
    RUN(every_field_of_a_report_is_filled);
    RUN(nested_structs_have_no_padding);
    return check_finish();
}
