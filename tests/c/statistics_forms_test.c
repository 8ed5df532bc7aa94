/* SPDX-License-Identifier: Apache-2.0 */
/* Tests that the statistics of every object are the same in every build: debug, release, with and
 * without a checker. The numbers below are written down, and each build runs this program. Where
 * the documentation says that a checker's gap counts, the test adds the gap. */
#include "budget_support.h"
#include "statistics_support.h"

/* The bytes that a checker keeps behind each allocation and block. */
static size_t gap_bytes(void) {
    aegis_pool pool;
    aegis_pool_options options = {48, 1, 0, 0, NULL, NULL, NULL, 0};
    aegis_pool_stats stats;
    CHECK(aegis_pool_init(&pool, &options) == AEGIS_OK);
    aegis_pool_get_stats(&pool, &stats);
    CHECK(aegis_pool_fini(&pool) == AEGIS_OK);
    CHECK(stats.stride_bytes == 48 || stats.stride_bytes == 64);
    return stats.stride_bytes - 48;
}

/* Demands what is in use now and what was at most. */
static void check_use(const aegis_arena *arena, size_t used_bytes, size_t peak_bytes) {
    aegis_arena_stats stats;
    aegis_arena_get_stats(arena, &stats);
    CHECK_SIZE(stats.used_bytes, used_bytes);
    CHECK_SIZE(stats.peak_used_bytes, peak_bytes);
}

static void an_arena_of_the_build_says_what_is_used(void) {
    aegis_arena arena;
    aegis_arena_options options = {0};
    options.capacity_bytes = 65536;
    for (uint32_t flags = 0; flags < 32; flags++) {
        options.flags = flags;
        CHECK(aegis_arena_init(&arena, &options) == AEGIS_OK);
        for (size_t round = 1; round <= 3; round++) {
            aegis_arena_mark mark = aegis_arena_get_mark(&arena);
            for (size_t i = 0; i < 100; i++)
                CHECK(aegis_arena_alloc(&arena, 16) != NULL);
            check_use(&arena, 1600, 1600);
            if (round == 1)
                CHECK(aegis_arena_rewind(&arena, &mark) == AEGIS_OK);
            else if (round == 2)
                aegis_arena_reset(&arena);
            else
                aegis_arena_clear(&arena);
            check_use(&arena, 0, 1600);
        }
        aegis_arena_fini(&arena);
    }
}

/* The statistics that the source sees when a reset gives back blocks, and the functions that a
 * reset runs. */
static size_t calls_in_reset;

static void check_in_reset(void *context) {
    calls_in_reset++;
    check_use((const aegis_arena *)context, 100 * 16, 100 * 16);
}

static void check_and_release(void *context, void *memory, size_t size_bytes, size_t align_bytes) {
    const aegis_arena *const *watched = (const aegis_arena *const *)context;
    if (*watched != NULL) {
        calls_in_reset++;
        check_use(*watched, 0, 100 * 16);
    }
    steady_release(NULL, memory, size_bytes, align_bytes);
}

static void functions_that_a_reset_calls_see_true_statistics(void) {
    const aegis_arena *watched = NULL;
    aegis_source source = {steady_acquire, check_and_release, NULL, (void *)&watched};
    aegis_arena arena;
    aegis_arena_options options = {0};
    options.source = &source;
    for (uint32_t flags = 0; flags < 32; flags++) {
        options.flags = flags;
        CHECK(aegis_arena_init(&arena, &options) == AEGIS_OK);
        CHECK(aegis_arena_defer(&arena, check_in_reset, &arena) == AEGIS_OK);
        aegis_arena_stats stats;
        size_t block_count = 1;
        aegis_arena_get_stats(&arena, &stats);
        for (; stats.used_bytes < 100 * 16; block_count++) {
            CHECK(aegis_arena_alloc(&arena, stats.used_bytes % 16 != 0 ? 8 : 16) != NULL);
            aegis_arena_get_stats(&arena, &stats);
        }
        calls_in_reset = 0;
        watched = &arena;
        aegis_arena_reset(&arena);
        watched = NULL;
        CHECK_SIZE(calls_in_reset, 1 + ((flags & AEGIS_ARENA_OWN_BLOCKS) != 0 ? block_count : 0));
        check_use(&arena, 0, 100 * 16);
        aegis_arena_fini(&arena);
    }
}

/* The outer arena of a scope frees what it used before the scope ends: its peak is kept. */
static void the_end_of_a_scope_keeps_the_peak_of_both_arenas(void) {
    for (uint32_t flags = 0; flags < 32; flags++) {
        aegis_arena arena;
        aegis_arena_options options = {0};
        options.flags = flags;
        CHECK(aegis_arena_init(&arena, &options) == AEGIS_OK);
        aegis_arena_scope scope;
        CHECK(aegis_arena_alloc(&arena, 96) != NULL);
        aegis_arena_scope_begin(&arena, &scope);
        CHECK(aegis_arena_alloc(&scope.arena, 200) != NULL);
        check_use(&scope.arena, 296, 296);
        CHECK(aegis_arena_alloc(&arena, 800) != NULL);
        check_use(&arena, 800, 800);
        aegis_arena_reset(&arena);
        aegis_arena_scope_end(&arena, &scope);
        check_use(&arena, 96, 800);
        aegis_arena_fini(&arena);
    }
}

static size_t report_count;

static void count_report(const char *message) {
    (void)message;
    report_count++;
}

/* An overrun breaks the chain of guards. What is in use is still known. */
static void an_overrun_does_not_change_statistics(void) {
    if (gap_bytes() != 0)
        return; /* the checker would end the program */
    aegis_report_fn before = aegis_set_report(count_report);
    aegis_arena arena;
    aegis_arena_options options = {0};
    options.capacity_bytes = 2000;
    options.flags = AEGIS_ARENA_GUARD;
    CHECK(aegis_arena_init(&arena, &options) == AEGIS_OK);
    for (size_t round = 0; round < 2; round++) {
        aegis_arena_scope scope;
        unsigned char *first = (unsigned char *)aegis_arena_alloc(&arena, 16);
        aegis_arena_mark mark = aegis_arena_get_mark(&arena);
        CHECK(aegis_arena_alloc(&arena, 24) != NULL);
        if (first != NULL)
            memset(first, 0x77, 16 + 40); /* the pattern and the link of the guard */
        check_use(&arena, 40, 40);
        CHECK(aegis_arena_rewind(&arena, &mark) == AEGIS_OK);
        check_use(&arena, 16, 40);
        void *p = aegis_arena_alloc(&arena, 24);
        check_use(&arena, 40, 40);
        aegis_arena_free_last(&arena, p, 24);
        check_use(&arena, 16, 40);
        aegis_arena_scope_begin(&arena, &scope);
        unsigned char *outer = (unsigned char *)aegis_arena_alloc(&arena, 8);
        if (outer != NULL)
            memset(outer, 0x77, 8 + 40);
        aegis_arena_scope_end(&arena, &scope);
        check_use(&arena, 24, 40);
        aegis_arena_reset(&arena);
        check_use(&arena, 0, 40);
    }
    CHECK(report_count >= 4);
    aegis_arena_fini(&arena);
    (void)aegis_set_report(before);
}

/* A lock-free arena does not know how many allocations it has, so the checker's gaps count. */
static void a_lock_free_arena_counts_the_gaps_of_a_checker(void) {
    aegis_lock_free_arena arena;
    aegis_lock_free_arena_options options = {0};
    options.capacity_bytes = 65536;
    aegis_arena_stats stats;
    const size_t used_bytes = 100 * (16 + gap_bytes());
    CHECK(aegis_lock_free_arena_init(&arena, &options, NULL) == AEGIS_OK);
    for (size_t i = 0; i < 100; i++)
        CHECK(aegis_lock_free_arena_alloc(&arena, 16, NULL) != NULL);
    for (size_t round = 0; round < 3; round++) {
        aegis_lock_free_arena_get_stats(&arena, &stats);
        CHECK_SIZE(stats.used_bytes, round == 0 ? used_bytes : 0);
        CHECK_SIZE(stats.peak_used_bytes, used_bytes);
        CHECK_SIZE(stats.wasted_bytes, 0);
        CHECK_SIZE(stats.capacity_bytes, round == 2 ? 0 : 65536);
        CHECK_SIZE(stats.reserved_bytes, round == 2 ? 0 : 65536 + 64);
        CHECK_SIZE(stats.remaining_bytes, stats.capacity_bytes - stats.used_bytes);
        CHECK_SIZE(stats.block_count, round == 2 ? 0 : 1);
        CHECK_SIZE(stats.acquired_count, 1);
        CHECK_SIZE(stats.released_count, round == 2 ? 1 : 0);
        CHECK_SIZE(stats.reset_count, round);
        if (round == 0)
            aegis_lock_free_arena_reset(&arena);
        else
            aegis_lock_free_arena_clear(&arena);
    }
    aegis_lock_free_arena_fini(&arena);
}

/* The three forms of pool. */
typedef struct pools {
    int form;
    aegis_pool single;
    aegis_locked_pool locked;
    aegis_lock_free_pool lock_free;
} pools;

static void *take(pools *p) {
    return p->form == 0   ? aegis_pool_alloc(&p->single)
           : p->form == 1 ? aegis_locked_pool_alloc(&p->locked, NULL)
                          : aegis_lock_free_pool_alloc(&p->lock_free, NULL);
}

static void give(pools *p, void *block) {
    aegis_status status = p->form == 0   ? aegis_pool_free(&p->single, block)
                          : p->form == 1 ? aegis_locked_pool_free(&p->locked, block)
                                         : aegis_lock_free_pool_free(&p->lock_free, block);
    CHECK(status == AEGIS_OK);
}

static void check_pool(const pools *p, const aegis_budget *budget, const size_t expected[6]) {
    static size_t side_bytes;
    aegis_pool_stats stats;
    if (p->form == 0)
        aegis_pool_get_stats(&p->single, &stats);
    else if (p->form == 1)
        aegis_locked_pool_get_stats(&p->locked, &stats);
    else
        aegis_lock_free_pool_get_stats(&p->lock_free, &stats);
    size_t stride_bytes = 48 + gap_bytes();
    CHECK_SIZE(stats.block_bytes, 48);
    CHECK_SIZE(stats.align_bytes, 16);
    CHECK_SIZE(stats.stride_bytes, stride_bytes);
    CHECK_SIZE(stats.max_capacity, 25);
    CHECK_SIZE(stats.capacity, expected[0]);
    CHECK_SIZE(stats.in_use, expected[1]);
    CHECK_SIZE(stats.available, expected[0] - expected[1]);
    CHECK_SIZE(stats.peak_in_use, expected[2]);
    CHECK_SIZE(stats.parked, 0);
    CHECK_SIZE(stats.slab_count, expected[3]);
    CHECK_SIZE(stats.acquired_count, expected[4]);
    CHECK_SIZE(stats.released_count, expected[5]);
    if (expected[2] == 0)
        side_bytes = stats.reserved_bytes - 10 * stride_bytes;
    CHECK_SIZE(stats.reserved_bytes, side_bytes + expected[0] * stride_bytes);
    CHECK_SIZE(used(budget), stats.reserved_bytes);
}

static void pools_of_each_form_count_the_same(void) {
    for (int form = 0; form < 3; form++) {
        /* Capacity, in use, peak, slabs, acquired, released. */
        static const size_t made[] = {10, 0, 0, 1, 2, 0}, grown[] = {20, 12, 12, 2, 3, 0},
                            full[] = {25, 25, 25, 3, 4, 0}, freed[] = {25, 0, 25, 3, 4, 0},
                            trimmed[] = {10, 0, 25, 1, 4, 2}, again[] = {20, 12, 25, 2, 5, 2};
        pools p;
        void *blocks[25];
        aegis_budget *budget = aegis_budget_new("pools", SIZE_MAX, NULL);
        aegis_lock_free_pool_options options = {{48, 10, 25, 0, NULL, budget, NULL, 0}, 0, 0};
        p.form = form;
        CHECK((form == 0   ? aegis_pool_init(&p.single, &options.blocks)
               : form == 1 ? aegis_locked_pool_init(&p.locked, &options.blocks)
                           : aegis_lock_free_pool_init(&p.lock_free, &options)) == AEGIS_OK);
        check_pool(&p, budget, made);
        for (size_t i = 0; i < 12; i++)
            blocks[i] = take(&p);
        check_pool(&p, budget, grown);
        for (size_t i = 12; i < 25; i++)
            blocks[i] = take(&p);
        CHECK(take(&p) == NULL);
        check_pool(&p, budget, full);
        for (size_t i = 0; i < 25; i++)
            give(&p, blocks[i]);
        check_pool(&p, budget, freed);
        if (form == 0)
            aegis_pool_trim(&p.single, 0);
        else if (form == 1)
            aegis_locked_pool_trim(&p.locked, 0);
        else
            aegis_lock_free_pool_trim(&p.lock_free, 0);
        check_pool(&p, budget, trimmed);
        for (size_t i = 0; i < 12; i++)
            blocks[i] = take(&p);
        check_pool(&p, budget, again);
        for (size_t i = 0; i < 12; i++)
            give(&p, blocks[i]);
        CHECK((form == 0   ? aegis_pool_fini(&p.single)
               : form == 1 ? aegis_locked_pool_fini(&p.locked)
                           : aegis_lock_free_pool_fini(&p.lock_free)) == AEGIS_OK);
        CHECK_SIZE(used(budget), 0);
        aegis_budget_destroy(budget);
    }
}

static void check_class(const aegis_buffer_pool *pool, const aegis_budget *budget, size_t capacity,
                        size_t in_use, uint64_t refused_count) {
    static size_t side_bytes;
    aegis_buffer_pool_stats stats;
    aegis_buffer_pool_get_stats(pool, &stats);
    size_t gap = gap_bytes();
    size_t stride_bytes = 4096 * (gap != 0 ? 2 : 1);
    CHECK_SIZE(stats.class_count, 1);
    CHECK_SIZE(stats.classes[0].buffer_bytes, 4096);
    CHECK_SIZE(stats.classes[0].capacity, capacity);
    CHECK_SIZE(stats.classes[0].max_capacity, 8);
    CHECK_SIZE(stats.classes[0].in_use, in_use);
    /* Whether free buffers are cached depends on the system. */
    CHECK(stats.classes[0].parked <= capacity - in_use);
    CHECK(stats.heap_count == 0 && stats.heap_bytes == 0);
    CHECK(stats.wait_count == 0 && stats.timeout_count == 0);
    CHECK_SIZE(stats.refused_count, refused_count);
    if (side_bytes == 0)
        side_bytes = stats.reserved_bytes - capacity * stride_bytes;
    CHECK_SIZE(stats.reserved_bytes, side_bytes + capacity * stride_bytes);
    CHECK_SIZE(used(budget), stats.reserved_bytes);
}

static void a_buffer_pool_counts_the_same(void) {
    aegis_budget *budget = aegis_budget_new("buffers", SIZE_MAX, NULL);
    aegis_buffer_class class_of = {4096, 4, 8};
    aegis_buffer_pool_options options = {0};
    options.classes = &class_of;
    options.class_count = 1;
    options.budget = budget;
    aegis_buffer_pool pool;
    aegis_buffer_mut writers[9];
    aegis_error error;
    CHECK(aegis_buffer_pool_init(&pool, &options) == AEGIS_OK);
    check_class(&pool, budget, 4, 0, 0);
    for (size_t i = 0; i < 8; i++) {
        CHECK(aegis_buffer_pool_get(&pool, &writers[i], 100, &error) == AEGIS_OK);
        check_class(&pool, budget, i < 4 ? 4 : 8, i + 1, 0);
    }
    CHECK(aegis_buffer_pool_get(&pool, &writers[8], 100, &error) == AEGIS_E_EXHAUSTED);
    check_class(&pool, budget, 8, 8, 1);
    for (size_t i = 0; i < 8; i++)
        CHECK(aegis_buffer_mut_release(&writers[i]) == AEGIS_OK);
    check_class(&pool, budget, 8, 0, 1);
    aegis_buffer_pool_release(&pool);
    CHECK_SIZE(used(budget), 0);
    aegis_budget_destroy(budget);
}

int main(void) {
    check_alarm(300);
    RUN(an_arena_of_the_build_says_what_is_used);
    RUN(functions_that_a_reset_calls_see_true_statistics);
    RUN(the_end_of_a_scope_keeps_the_peak_of_both_arenas);
    RUN(an_overrun_does_not_change_statistics);
    RUN(a_lock_free_arena_counts_the_gaps_of_a_checker);
    RUN(pools_of_each_form_count_the_same);
    RUN(a_buffer_pool_counts_the_same);
    return check_finish();
}
