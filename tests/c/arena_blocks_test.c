/* SPDX-License-Identifier: Apache-2.0 */
/* Tests which blocks an arena acquires, keeps and gives back: growth, reuse after a reset, trim,
 * clear, freeing of the latest allocation, and the walk over the blocks. Fixed and random requests
 * run over a source that counts. What must hold: less than a quarter of the memory is wasted, the
 * memory that an arena holds reaches a bound, and the same work after a reset acquires nothing. */
#include "support.h"

static test_source state;

static aegis_arena arena_with(size_t capacity_bytes, size_t max_block_bytes) {
    aegis_source source = test_source_get(&state, true);
    aegis_arena arena;
    aegis_arena_options options = test_options(capacity_bytes, max_block_bytes, &source, NULL, 0);
    CHECK(aegis_arena_init(&arena, &options) == AEGIS_OK);
    return arena;
}

static void finish(aegis_arena *arena) {
    check_figures(arena);
    CHECK_SIZE(stats_of(arena).reserved_bytes, state.live_bytes);
    CHECK_SIZE(stats_of(arena).block_count, state.live_count);
    CHECK_SIZE(stats_of(arena).acquired_count, state.acquired_count);
    aegis_arena_fini(arena);
    test_source_check_done(&state);
}

/* Kinds of requests, each a function of the generator. */
#define MIXES 9

static size_t mix_size(int mix, uint64_t *random, size_t i) {
    switch (mix) {
    case 0:
        return 1 + random_below(random, 64);
    case 1:
        return 1 + random_below(random, 4000);
    case 2: /* any magnitude */
        return (size_t)1 << random_below(random, 17);
    case 3: /* just over half of a block of any step */
        return ((size_t)512 << random_below(random, 8)) + 8;
    case 4: /* small, then one that never fits into the rest */
        return i % 2 == 0 ? 16 : 70000;
    case 5: /* larger than the largest step */
        return 60000 + random_below(random, 100000);
    case 6: /* each a little larger than the last block */
        return 900 + i * 17;
    case 7: /* each smaller than the last one */
        return 100000 / (i + 1) + 1;
    default: /* mostly tiny, seldom huge */
        return random_below(random, 50) == 0 ? 200000 : 1 + random_below(random, 100);
    }
}

static void check_waste(const aegis_arena *arena) {
    aegis_arena_stats stats = stats_of(arena);
    size_t in_use = arena->closed_bytes + stats.remaining_bytes +
                    (stats.used_bytes - (arena->closed_bytes - stats.wasted_bytes));
    CHECK(stats.wasted_bytes < in_use / 4 + 1);
}

static void waste_stays_under_a_quarter_for_any_mix(void) {
    static const size_t capacities[] = {0, 1, 1000, 65536};
    for (int mix = 0; mix < MIXES; mix++)
        for (size_t c = 0; c < 4; c++) {
            aegis_arena arena = arena_with(capacities[c], 65536);
            uint64_t random = 88172645463325252u + (uint64_t)mix;
            for (int round = 0; round < 3; round++) {
                for (size_t i = 0; i < 300; i++) {
                    CHECK(aegis_arena_alloc(&arena, mix_size(mix, &random, i)) != NULL);
                    check_waste(&arena);
                }
                aegis_arena_reset(&arena);
            }
            finish(&arena);
        }
}

/* Idle blocks of a size serve what was moved there to grow. */
static void what_grows_into_idle_blocks_wastes_less_than_a_quarter_and_goes_on_growing(void) {
    enum { COUNT = 6 };
    aegis_arena arena = arena_with(8080, 4096);
    for (int i = 0; i < COUNT; i++)
        CHECK(aegis_arena_alloc(&arena, 12000) != NULL);
    aegis_arena_reset(&arena);

    void *small[COUNT];
    for (int i = 0; i < COUNT; i++)
        small[i] = aegis_arena_alloc(&arena, 8);
    CHECK(aegis_arena_alloc(&arena, 64) != NULL); /* so that none of them is the latest */
    for (int i = 0; i < COUNT; i++) {
        void *moved = aegis_arena_realloc(&arena, small[i], 8, 8000);
        CHECK(moved != NULL);
        check_waste(&arena);
        CHECK(aegis_arena_resize_in_place(&arena, moved, 8000, 8500));
        check_waste(&arena);
    }
    finish(&arena);
}

/* A source that uses the arena as it is asked for the block of a growing allocation: it leaves an
 * idle block of just that size, and refuses. */
static aegis_arena reentered;

static void *refuse_with_an_idle_block(void *context, size_t size_bytes, size_t align_bytes,
                                       bool *zeroed) {
    if (size_bytes < 400000 || state.fail_on)
        return test_source_acquire(context, size_bytes, align_bytes, zeroed);
    state.fail_on = true;
    aegis_arena_mark mark = aegis_arena_get_mark(&reentered);
    CHECK(aegis_arena_alloc(&reentered, size_bytes - 64) != NULL);
    CHECK(aegis_arena_rewind(&reentered, &mark) == AEGIS_OK);
    return NULL;
}

static void refused_growth_into_an_idle_block_of_its_size_wastes_less_than_a_quarter(void) {
    aegis_source source = test_source_get(&state, true);
    source.acquire = refuse_with_an_idle_block;
    aegis_arena_options options = test_options(0, 0, &source, NULL, AEGIS_ARENA_NO_DEBUG);
    CHECK(aegis_arena_init(&reentered, &options) == AEGIS_OK);
    void *grown = aegis_arena_alloc(&reentered, 100);
    CHECK(grown != NULL && aegis_arena_alloc(&reentered, 8) != NULL);
    grown = aegis_arena_realloc(&reentered, grown, 100, 300000);
    CHECK(grown != NULL && state.fail_on);
    check_waste(&reentered);
    aegis_arena_fini(&reentered);
    test_source_check_done(&state);
}

static void same_work_after_reset_acquires_nothing(void) {
    for (int mix = 0; mix < MIXES; mix++) {
        aegis_arena arena = arena_with(100, 65536);
        size_t acquired = 0;
        for (int round = 0; round < 5; round++) {
            uint64_t random = 12345;
            for (size_t i = 0; i < 300; i++) {
                size_t size = mix_size(mix, &random, i);
                void *p = i % 3 == 0   ? aegis_arena_alloc_zeroed(&arena, size)
                          : i % 3 == 1 ? aegis_arena_alloc_aligned(&arena, size, 64)
                                       : aegis_arena_alloc(&arena, size);
                CHECK(p != NULL);
                CHECK(i % 3 != 0 || is_filled(p, 0, size));
                memset(p, 0xEE, size);
            }
            if (round == 0)
                acquired = state.acquired_count;
            CHECK_SIZE(state.acquired_count, acquired);
            check_figures(&arena);
            aegis_arena_reset(&arena);
            CHECK_SIZE(stats_of(&arena).used_bytes, 0);
            CHECK_SIZE(stats_of(&arena).reset_count, (size_t)round + 1);
        }
        CHECK(acquired > 1);
        finish(&arena);
    }
}

static void reset_keeps_using_all_earlier_blocks(void) {
    aegis_arena arena = arena_with(0, 4096);
    while (state.acquired_count < 20)
        CHECK(aegis_arena_alloc(&arena, 500) != NULL);
    aegis_arena_reset(&arena);
    /* Small allocations must use all of the capacity before the arena asks the source. */
    size_t had_bytes = 0;
    while (state.acquired_count == 20) {
        CHECK(aegis_arena_alloc(&arena, 8) != NULL);
        had_bytes = stats_of(&arena).used_bytes;
    }
    aegis_arena_block_info info;
    size_t idle_count = 0;
    const aegis_arena_block *block = NULL;
    while ((block = aegis_arena_next_block(&arena, block, &info)) != NULL)
        idle_count += info.state == AEGIS_ARENA_BLOCK_IDLE;
    CHECK_SIZE(idle_count, 0);
    CHECK(had_bytes > 20 * 500);
    finish(&arena);
}

/* The same kind of work goes on for ever and is never the same twice. The memory that the arena
 * holds must reach a bound and stay there. */
static void steady_random_loop_does_not_grow_for_ever(void) {
    for (int mix = 0; mix < MIXES; mix++) {
        if (mix == 6 || mix == 7)
            continue;
        aegis_arena arena = arena_with(0, 65536);
        uint64_t random = 4711;
        size_t most_used = 0;
        size_t after_half = 0;
        for (int round = 0; round < 600; round++) {
            for (size_t i = 0; i < 60; i++)
                CHECK(aegis_arena_alloc(&arena, mix_size(mix, &random, i)) != NULL);
            if (stats_of(&arena).used_bytes > most_used)
                most_used = stats_of(&arena).used_bytes;
            aegis_arena_reset(&arena);
            if (round == 299)
                after_half = state.acquired_count;
        }
        CHECK(stats_of(&arena).reserved_bytes < 4 * most_used + 65536);
        CHECK(state.acquired_count <= after_half + after_half / 4 + 2);
        finish(&arena);
    }
}

static void tiny_first_block_doubles_up_to_the_maximum(void) {
    static const size_t capacities[] = {0, 1, 64};
    for (size_t c = 0; c < 3; c++) {
        aegis_arena arena = arena_with(capacities[c], (size_t)1 << 20);
        while (stats_of(&arena).used_bytes < (size_t)1 << 20)
            CHECK(aegis_arena_alloc(&arena, 32) != NULL);
        /* 1 KiB doubled ten times is the maximum. */
        CHECK(state.acquired_count <= 13);
        CHECK(state.last_size_bytes <= (size_t)1 << 20);
        finish(&arena);
    }
}

static void block_size_stays_at_the_maximum(void) {
    aegis_arena arena = arena_with(0, 5000);
    for (int i = 0; i < 5000; i++) {
        CHECK(aegis_arena_alloc(&arena, 32) != NULL);
        CHECK(state.last_size_bytes <= 5000);
    }
    CHECK(state.last_size_bytes > 2500);
    finish(&arena);
    /* One maximum is too small to hold anything, the other is larger than memory. The arena makes
     * both usable. */
    arena = arena_with(0, 1);
    for (int i = 0; i < 100; i++)
        CHECK(aegis_arena_alloc(&arena, 200) != NULL);
    finish(&arena);
    arena = arena_with(0, SIZE_MAX);
    for (int i = 0; i < 100; i++)
        CHECK(aegis_arena_alloc(&arena, 1000) != NULL);
    finish(&arena);
}

static void large_request_leaves_the_current_block_in_use(void) {
    aegis_arena arena = arena_with(10000, 16384);
    unsigned char *p = (unsigned char *)aegis_arena_alloc(&arena, 16);
    size_t remaining_bytes = stats_of(&arena).remaining_bytes;
    CHECK(aegis_arena_alloc(&arena, 1000000) != NULL);
    CHECK_SIZE(stats_of(&arena).remaining_bytes, remaining_bytes);
    unsigned char *q = (unsigned char *)aegis_arena_alloc(&arena, 16);
    CHECK(is_watched(&arena) || q == p + 16);
    CHECK(q > p && q < p + 10000);
    /* The block is a little larger than the request, so that a later request of about that size can
     * use it. */
    CHECK(stats_of(&arena).wasted_bytes <= 1000000 / 32);
    finish(&arena);
}

static void trim_keeps_at_most_what_it_is_told(void) {
    for (size_t keep = 0; keep < 200000; keep = keep * 2 + 100) {
        aegis_arena arena = arena_with(1000, 16384);
        for (int i = 0; i < 300; i++)
            CHECK(aegis_arena_alloc(&arena, 500) != NULL);
        size_t reserved_bytes = stats_of(&arena).reserved_bytes;
        /* No block is idle, so none is given back. */
        aegis_arena_trim(&arena, 0);
        CHECK_SIZE(stats_of(&arena).reserved_bytes, reserved_bytes);
        aegis_arena_reset(&arena);
        aegis_arena_trim(&arena, keep);
        CHECK(stats_of(&arena).reserved_bytes <= keep);
        CHECK(keep < reserved_bytes || stats_of(&arena).reserved_bytes == reserved_bytes);
        check_figures(&arena);
        CHECK_SIZE(stats_of(&arena).released_count + state.live_count, state.acquired_count);
        for (int i = 0; i < 300; i++) {
            unsigned char *p = (unsigned char *)aegis_arena_alloc_zeroed(&arena, 500);
            CHECK(p != NULL && is_filled(p, 0, 500));
            memset(p, 0xEE, 500);
        }
        finish(&arena);
    }
}

static void trim_in_use_gives_back_only_idle_blocks(void) {
    aegis_arena arena = arena_with(1000, 4096);
    for (int i = 0; i < 100; i++)
        CHECK(aegis_arena_alloc(&arena, 500) != NULL);
    size_t reserved_bytes = stats_of(&arena).reserved_bytes;
    aegis_arena_reset(&arena);
    unsigned char *p = (unsigned char *)aegis_arena_alloc(&arena, 700);
    memset(p, 9, 700);
    unsigned char *q = (unsigned char *)aegis_arena_alloc(&arena, 700);
    memset(q, 8, 700);
    aegis_arena_trim(&arena, reserved_bytes / 2);
    CHECK(stats_of(&arena).reserved_bytes <= reserved_bytes / 2);
    CHECK(stats_of(&arena).block_count > 2);
    check_figures(&arena);
    aegis_arena_trim(&arena, 0);
    CHECK_SIZE(stats_of(&arena).block_count, 2);
    CHECK(is_filled(p, 9, 700) && is_filled(q, 8, 700));
    finish(&arena);
}

static void trim_keeps_the_memory_of_a_deferred_call(void) {
    aegis_arena arena = arena_with(1000, 4096);
    CHECK(aegis_arena_defer(&arena, (aegis_arena_defer_fn)free, NULL) == AEGIS_OK);
    aegis_arena_trim(&arena, 0);
    CHECK_SIZE(stats_of(&arena).block_count, 1);
    finish(&arena);
}

static void trim_keeps_a_closed_block_that_holds_nothing(void) {
    aegis_arena arena = arena_with(100, 4096);
    void *p = aegis_arena_alloc(&arena, 120);
    aegis_arena_free_last(&arena, p, 120);
    CHECK_SIZE(stats_of(&arena).used_bytes, 0);
    aegis_arena_mark mark = aegis_arena_get_mark(&arena);
    aegis_arena_trim(&arena, 0);
    CHECK_SIZE(stats_of(&arena).block_count, 2);
    CHECK(aegis_arena_rewind(&arena, &mark) == AEGIS_OK);
    finish(&arena);
}

static void trim_and_clear_of_an_empty_arena_do_nothing(void) {
    aegis_arena arena = arena_with(0, 0);
    aegis_arena_trim(&arena, 0);
    aegis_arena_reset(&arena);
    aegis_arena_clear(&arena);
    CHECK_SIZE(state.asked_count, 0);
    CHECK(aegis_arena_alloc(&arena, 10) != NULL);
    finish(&arena);
}

static void clear_gives_all_back_and_the_arena_works_on(void) {
    aegis_arena arena = arena_with(1000, 4096);
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 50; i++)
            CHECK(aegis_arena_alloc(&arena, 400) != NULL);
        CHECK(state.live_count > 1);
        aegis_arena_clear(&arena);
        CHECK_SIZE(state.live_count, 0);
        CHECK_SIZE(stats_of(&arena).capacity_bytes, 0);
        CHECK_SIZE(stats_of(&arena).released_count, state.acquired_count);
        check_figures(&arena);
    }
    finish(&arena);
}

static void walk_shows_the_bytes_of_each_block(void) {
    aegis_arena arena = arena_with(0, 4096);
    unsigned char *latest = NULL;
    for (int i = 0; i < 50; i++) {
        latest = (unsigned char *)aegis_arena_alloc(&arena, 400);
        CHECK(latest != NULL);
        memset(latest, i, 400);
    }
    size_t used_bytes = 0;
    bool found = false;
    aegis_arena_block_info info;
    const aegis_arena_block *block = NULL;
    while ((block = aegis_arena_next_block(&arena, block, &info)) != NULL) {
        const unsigned char *start = (const unsigned char *)info.start;
        CHECK(start != NULL && info.used_bytes <= info.capacity_bytes);
        /* The first allocation of a block starts where its bytes start. */
        CHECK(info.used_bytes >= 400 && start[0] == start[399]);
        found = found || (latest >= start && latest < start + info.used_bytes);
        used_bytes += info.used_bytes;
    }
    CHECK(found);
    CHECK(used_bytes >= stats_of(&arena).used_bytes);
    finish(&arena);
}

static void walk_without_info_visits_every_block(void) {
    aegis_arena arena = arena_with(0, 4096);
    CHECK(aegis_arena_next_block(&arena, NULL, NULL) == NULL);
    for (int i = 0; i < 50; i++)
        CHECK(aegis_arena_alloc(&arena, 400) != NULL);
    size_t count = 0;
    for (const aegis_arena_block *block = NULL;
         (block = aegis_arena_next_block(&arena, block, NULL)) != NULL;)
        count++;
    CHECK_SIZE(count, state.live_count);
    finish(&arena);
}

static void peak_survives_reset_and_clear(void) {
    aegis_arena arena = arena_with(0, 4096);
    for (int i = 0; i < 50; i++)
        CHECK(aegis_arena_alloc(&arena, 400) != NULL);
    size_t used_bytes = stats_of(&arena).used_bytes;
    CHECK(used_bytes >= 50 * 400);
    aegis_arena_reset(&arena);
    CHECK_SIZE(stats_of(&arena).peak_used_bytes, used_bytes);
    CHECK(aegis_arena_alloc(&arena, 8) != NULL);
    aegis_arena_clear(&arena);
    CHECK_SIZE(stats_of(&arena).peak_used_bytes, used_bytes);
    finish(&arena);
}

/* A request that is too large for the current block has a block to itself. */
static void free_last_reuses_a_block_of_one_allocation(void) {
    aegis_arena arena;
    CHECK(aegis_arena_init(&arena, NULL) == AEGIS_OK);
    void *small = aegis_arena_alloc(&arena, 24);
    size_t used = stats_of(&arena).used_bytes;
    for (int round = 0; round < 3; round++) {
        void *p = aegis_arena_alloc(&arena, 100000);
        void *q = aegis_arena_alloc(&arena, 200000);
        CHECK(p != NULL && q != NULL && stats_of(&arena).used_bytes == used + 300000);
        aegis_arena_free_last(&arena, q, 200000);
        CHECK(stats_of(&arena).used_bytes == used + 100000);
        CHECK(aegis_arena_alloc(&arena, 200000) == q);
        /* The block of p is not the last one, and becomes the last one. */
        aegis_arena_free_last(&arena, p, 100000);
        CHECK(stats_of(&arena).used_bytes == used + 300000);
        aegis_arena_free_last(&arena, q, 200000);
        CHECK(stats_of(&arena).used_bytes == used + 100000);
        aegis_arena_free_last(&arena, p, 100000);
        CHECK(stats_of(&arena).used_bytes == used && stats_of(&arena).wasted_bytes == 0);
    }
    CHECK(stats_of(&arena).block_count == 3 && small != NULL);
    aegis_arena_fini(&arena);
}

/* A rewind may go back to a block only if the block is still in use. */
static void free_last_keeps_a_block_that_a_mark_knows(void) {
    aegis_arena arena;
    CHECK(aegis_arena_init(&arena, NULL) == AEGIS_OK);
    aegis_arena_alloc(&arena, 24);
    size_t used = stats_of(&arena).used_bytes;
    void *p = aegis_arena_alloc(&arena, 100000);
    aegis_arena_mark mark = aegis_arena_get_mark(&arena);
    aegis_arena_free_last(&arena, p, 100000);
    CHECK(stats_of(&arena).used_bytes == used + 100000);
    aegis_arena_trim(&arena, 0);
    CHECK(aegis_arena_rewind(&arena, &mark) == AEGIS_OK);
    aegis_arena_scope scope;
    void *q = aegis_arena_alloc(&arena, 200000);
    aegis_arena_scope_begin(&arena, &scope);
    aegis_arena_free_last(&scope.arena, q, 200000);
    void *r = aegis_arena_alloc(&scope.arena, 300000);
    aegis_arena_free_last(&scope.arena, r, 300000);
    CHECK(stats_of(&scope.arena).used_bytes == used + 300000);
    aegis_arena_scope_end(&arena, &scope);
    CHECK(stats_of(&arena).used_bytes == used + 300000);
    aegis_arena_fini(&arena);
}

int main(void) {
    RUN(waste_stays_under_a_quarter_for_any_mix);
    RUN(what_grows_into_idle_blocks_wastes_less_than_a_quarter_and_goes_on_growing);
    RUN(refused_growth_into_an_idle_block_of_its_size_wastes_less_than_a_quarter);
    RUN(same_work_after_reset_acquires_nothing);
    RUN(reset_keeps_using_all_earlier_blocks);
    RUN(steady_random_loop_does_not_grow_for_ever);
    RUN(tiny_first_block_doubles_up_to_the_maximum);
    RUN(block_size_stays_at_the_maximum);
    RUN(large_request_leaves_the_current_block_in_use);
    RUN(trim_keeps_at_most_what_it_is_told);
    RUN(trim_in_use_gives_back_only_idle_blocks);
    RUN(trim_keeps_the_memory_of_a_deferred_call);
    RUN(trim_keeps_a_closed_block_that_holds_nothing);
    RUN(trim_and_clear_of_an_empty_arena_do_nothing);
    RUN(clear_gives_all_back_and_the_arena_works_on);
    RUN(walk_shows_the_bytes_of_each_block);
    RUN(walk_without_info_visits_every_block);
    RUN(peak_survives_reset_and_clear);
    RUN(free_last_reuses_a_block_of_one_allocation);
    RUN(free_last_keeps_a_block_that_a_mark_knows);
    return check_finish();
}
