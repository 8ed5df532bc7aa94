/* SPDX-License-Identifier: Apache-2.0 */
/* Tests where a lock-free arena's memory comes from: growth, reuse, trim, budgets, sources that
 * fail, and more than 4 GiB. What the arena has reserved must be equal to what the source has
 * given, a failure must change nothing, and memory that is fresh from a zeroing source must not be
 * cleared. */
#include "shared_support.h"

static void blocks_double_up_to_the_step_and_ends_stay_small(void) {
    shared_source state;
    aegis_source source = shared_source_get(&state, true);
    aegis_lock_free_arena arena = shared_arena(0, 64 * 1024, &source);
    for (int i = 0; i < 20000; i++)
        CHECK(aegis_lock_free_arena_alloc(&arena, 1 + (size_t)i % 200, NULL) != NULL);
    aegis_arena_stats stats = shared_stats(&arena);
    CHECK(stats.block_count < 60);
    CHECK(stats.wasted_bytes <= stats.block_count * (200 + 64));
    CHECK_SIZE(stats.reserved_bytes, stats.capacity_bytes + stats.block_count * 64);
    CHECK_SIZE(stats.reserved_bytes, atomic_load(&state.live_bytes));
    /* The block has no room for the request, and the request is small beside the next block. */
    while (shared_stats(&arena).remaining_bytes >= 15 * 1024)
        (void)aegis_lock_free_arena_alloc(&arena, 200, NULL);
    stats = shared_stats(&arena);
    (void)aegis_lock_free_arena_alloc(&arena, 15 * 1024, NULL);
    CHECK_SIZE(shared_stats(&arena).reserved_bytes - stats.reserved_bytes, 64 * 1024);
    aegis_lock_free_arena_fini(&arena);
    shared_source_check_done(&state);
}

static void large_request_has_its_own_block_unless_it_fits(void) {
    shared_source state;
    aegis_source source = shared_source_get(&state, true);
    aegis_lock_free_arena arena = shared_arena(40000, 4096, &source);
    (void)aegis_lock_free_arena_alloc(&arena, 30000, NULL);
    CHECK_SIZE(shared_stats(&arena).block_count, 1);
    unsigned char *p =
        (unsigned char *)aegis_lock_free_arena_alloc_aligned(&arena, 50000, 512, NULL);
    CHECK(p != NULL && is_aligned(p, 512));
    memset(p, 1, 50000);
    CHECK_SIZE(shared_stats(&arena).block_count, 2);
    /* The arena must go on using the current block. */
    (void)aegis_lock_free_arena_alloc(&arena, 1000, NULL);
    CHECK_SIZE(shared_stats(&arena).block_count, 2);
    aegis_lock_free_arena_fini(&arena);
    shared_source_check_done(&state);
}

/* A mix of small, large and aligned requests, all zeroed and then written. */
static void run_workload(const aegis_lock_free_arena *arena, uint64_t seed) {
    for (int i = 0; i < 2000; i++) {
        size_t size =
            random_below(&seed, 16) == 0 ? random_below(&seed, 9000) : random_below(&seed, 90);
        size_t align = (size_t)1 << random_below(&seed, 8);
        unsigned char *p =
            (unsigned char *)aegis_lock_free_arena_alloc_aligned_zeroed(arena, size, align, NULL);
        CHECK(p != NULL && is_aligned(p, align) && is_filled(p, 0, size));
        memset(p, 0xEE, size);
    }
}

static void same_workload_after_reset_acquires_nothing_and_gets_zeroes(bool zeroing) {
    shared_source state;
    aegis_source source = shared_source_get(&state, zeroing);
    aegis_lock_free_arena arena = shared_arena(1000, 8192, &source);
    run_workload(&arena, 42);
    size_t asked = atomic_load(&state.asked_count);
    aegis_arena_stats first = shared_stats(&arena);
    for (int round = 1; round < 5; round++) {
        aegis_lock_free_arena_reset(&arena);
        CHECK_SIZE(shared_stats(&arena).used_bytes, 0);
        CHECK_SIZE(shared_stats(&arena).peak_used_bytes, first.used_bytes);
        run_workload(&arena, 42);
        CHECK_SIZE(atomic_load(&state.asked_count), asked);
        CHECK_SIZE(shared_stats(&arena).used_bytes, first.used_bytes);
    }
    CHECK_SIZE(shared_stats(&arena).reset_count, 4);
    aegis_lock_free_arena_fini(&arena);
    shared_source_check_done(&state);
}

static void reuse_over_a_zeroing_source(void) {
    same_workload_after_reset_acquires_nothing_and_gets_zeroes(true);
}

static void reuse_over_a_dirty_source(void) {
    same_workload_after_reset_acquires_nothing_and_gets_zeroes(false);
}

static void large_requests_in_another_order_acquire_nothing(void) {
    shared_source state;
    aegis_source source = shared_source_get(&state, true);
    aegis_lock_free_arena arena = shared_arena(0, 1024, &source);
    for (size_t i = 0; i < 20; i++)
        (void)aegis_lock_free_arena_alloc(&arena, 1000 + 100 * i, NULL);
    size_t asked = atomic_load(&state.asked_count);
    for (size_t step = 1; step < 20; step += 2) {
        if (step == 5)
            continue;
        aegis_lock_free_arena_reset(&arena);
        for (size_t i = 0; i < 20; i++)
            (void)aegis_lock_free_arena_alloc(&arena, 1000 + 100 * (i * step % 20), NULL);
        CHECK_SIZE(atomic_load(&state.asked_count), asked);
    }
    aegis_lock_free_arena_fini(&arena);
}

static void memory_fresh_from_a_zeroing_source_is_not_cleared(void) {
    shared_source state;
    aegis_source source = shared_source_get(&state, true);
    aegis_lock_free_arena arena = shared_arena(4096, 0, &source);
    if (!is_gapped()) {
        unsigned char *p = (unsigned char *)aegis_lock_free_arena_alloc(&arena, 16, NULL);
        /* The test writes behind the end of the allocation. If nothing is cleared, the byte is
         * still there. */
        p[20] = 7;
        unsigned char *q = (unsigned char *)aegis_lock_free_arena_alloc_zeroed(&arena, 16, NULL);
        CHECK(q == p + 16 && q[4] == 7);
        /* After a reset the arena clears the bytes that were handed out before, and no others. */
        p[40] = 9;
        aegis_lock_free_arena_reset(&arena);
        p = (unsigned char *)aegis_lock_free_arena_alloc_zeroed(&arena, 48, NULL);
        CHECK(is_filled(p, 0, 32) && p[40] == 9);
    }
    aegis_lock_free_arena_fini(&arena);
}

static void trim_keeps_what_fits_and_what_is_in_use(void) {
    shared_source state;
    aegis_source source = shared_source_get(&state, true);
    aegis_lock_free_arena arena = shared_arena(1000, 8192, &source);
    run_workload(&arena, 7);
    size_t reserved = shared_stats(&arena).reserved_bytes;
    aegis_lock_free_arena_trim(&arena, 0);
    CHECK_SIZE(shared_stats(&arena).reserved_bytes, reserved);
    aegis_lock_free_arena_reset(&arena);
    void *kept = aegis_lock_free_arena_alloc_zeroed(&arena, 10, NULL);
    aegis_lock_free_arena_trim(&arena, reserved / 2);
    CHECK(shared_stats(&arena).reserved_bytes <= reserved / 2);
    CHECK(shared_stats(&arena).reserved_bytes > reserved / 4);
    CHECK_SIZE(shared_stats(&arena).reserved_bytes, atomic_load(&state.live_bytes));
    memset(kept, 1, 10);
    run_workload(&arena, 8);
    aegis_lock_free_arena_clear(&arena);
    CHECK_SIZE(atomic_load(&state.live_count), 0);
    CHECK_SIZE(shared_stats(&arena).capacity_bytes, 0);
    CHECK_SIZE(shared_stats(&arena).block_count, 0);
    /* Growth begins again from the start: a small request must not get a large block. */
    (void)aegis_lock_free_arena_alloc(&arena, 10, NULL);
    CHECK_SIZE(shared_stats(&arena).reserved_bytes, AEGIS_ARENA_MIN_BLOCK);
    run_workload(&arena, 9);
    aegis_lock_free_arena_fini(&arena);
    shared_source_check_done(&state);
}

static void budget_is_charged_by_block_and_named_when_it_refuses(void) {
    aegis_budget *process = aegis_budget_new("process", 10000, NULL);
    aegis_budget *query = aegis_budget_new("query", AEGIS_BUDGET_UNLIMITED, process);
    aegis_lock_free_arena_options options = {4096, 0, NULL, query, NULL, 0};
    aegis_lock_free_arena arena;
    aegis_budget_figures figures;
    CHECK(aegis_lock_free_arena_init(&arena, &options, NULL) == AEGIS_OK);
    aegis_budget_get_figures(query, &figures);
    CHECK_SIZE(figures.used_bytes, shared_stats(&arena).reserved_bytes);
    aegis_error error = {0};
    while (aegis_lock_free_arena_alloc(&arena, 100, &error) != NULL)
        continue;
    CHECK(error.status == AEGIS_E_LIMIT_EXCEEDED && error.refused == process);
    CHECK_SIZE(error.limit_bytes, 10000);
    aegis_budget_get_figures(query, &figures);
    CHECK(figures.used_bytes <= 10000 && figures.used_bytes > 9900 - 164);
    aegis_lock_free_arena_clear(&arena);
    aegis_budget_get_figures(query, &figures);
    CHECK_SIZE(figures.used_bytes, 0);
    options.capacity_bytes = 20000;
    aegis_lock_free_arena other;
    CHECK(aegis_lock_free_arena_init(&other, &options, &error) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK(error.refused == process);
    aegis_lock_free_arena_fini(&arena);
    aegis_budget_destroy(query);
    aegis_budget_destroy(process);
}

static void source_failing_at_every_step_changes_nothing(void) {
    for (size_t fail_at = 1;; fail_at++) {
        shared_source state;
        aegis_source source = shared_source_get(&state, true);
        atomic_store(&state.fail_from, fail_at);
        aegis_lock_free_arena_options options = {100, 2048, &source, NULL, NULL, 0};
        aegis_lock_free_arena arena;
        aegis_error error = {0};
        size_t failed_count = 0;
        if (aegis_lock_free_arena_init(&arena, &options, &error) != AEGIS_OK) {
            CHECK(arena.shared == NULL && error.status == AEGIS_E_OUT_OF_MEMORY);
            CHECK_SIZE(atomic_load(&state.live_count) + atomic_load(&state.close_count), 0);
            continue;
        }
        for (size_t i = 0; i < 60; i++) {
            aegis_arena_stats before = shared_stats(&arena);
            size_t size = i % 10 == 9 ? 3000 : 60;
            if (aegis_lock_free_arena_alloc(&arena, size, &error) != NULL)
                continue;
            aegis_arena_stats after = shared_stats(&arena);
            CHECK(memcmp(&before, &after, sizeof before) == 0);
            CHECK(error.status == AEGIS_E_OUT_OF_MEMORY && error.requested_bytes == size);
            failed_count++;
        }
        /* When the source gives memory again, the arena works again. */
        atomic_store(&state.fail_from, 0);
        CHECK(aegis_lock_free_arena_alloc(&arena, 3000, NULL) != NULL);
        CHECK(aegis_lock_free_arena_alloc(&arena, 60, NULL) != NULL);
        aegis_lock_free_arena_fini(&arena);
        shared_source_check_done(&state);
        if (failed_count == 0)
            return;
    }
}

#if UINTPTR_MAX > UINT32_MAX

#define HUGE_PIECES 20
#define HUGE_BYTES ((size_t)240 << 20)
#define HUGE_TOTAL (HUGE_PIECES * HUGE_BYTES)

/* The memory that the process has in use, or 0 where the system has no file that says it. */
static size_t resident_bytes(void) {
    FILE *file = fopen("/proc/self/status", "r");
    if (file == NULL)
        return 0;
    char line[256];
    size_t kib = 0;
    while (fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, "VmRSS:", 6) == 0)
            kib = (size_t)strtoul(line + 6, NULL, 10);
    (void)fclose(file);
    return kib * 1024;
}

/* Allocates more than 4 GiB from anonymous pages and touches only the ends of each piece. Does the
 * same after a reset, from the same blocks. */
static void go_beyond_4_gib(size_t capacity_bytes, size_t max_block_bytes, size_t block_count) {
    aegis_source pages = aegis_source_pages(0);
    size_t resident_before = resident_bytes();
    aegis_lock_free_arena arena = shared_arena(capacity_bytes, max_block_bytes, &pages);
    unsigned char *pieces[HUGE_PIECES];
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < HUGE_PIECES; i++) {
            pieces[i] =
                (unsigned char *)(round == 0
                                      ? aegis_lock_free_arena_alloc_zeroed(&arena, HUGE_BYTES, NULL)
                                      : aegis_lock_free_arena_alloc(&arena, HUGE_BYTES, NULL));
            CHECK(pieces[i] != NULL && is_aligned(pieces[i], AEGIS_ARENA_ALIGN));
            if (pieces[i] == NULL) {
                aegis_lock_free_arena_fini(&arena);
                return;
            }
            CHECK(round == 1 || (pieces[i][0] == 0 && pieces[i][HUGE_BYTES - 1] == 0));
            pieces[i][0] = pieces[i][HUGE_BYTES - 1] = (unsigned char)(i + 1);
            for (size_t other = 0; other < i; other++)
                CHECK(pieces[other] + HUGE_BYTES <= pieces[i] ||
                      pieces[i] + HUGE_BYTES <= pieces[other]);
        }
        aegis_arena_stats stats = shared_stats(&arena);
        for (size_t i = 0; i < HUGE_PIECES; i++)
            CHECK(pieces[i][0] == i + 1 && pieces[i][HUGE_BYTES - 1] == i + 1);
        CHECK(stats.used_bytes >= HUGE_TOTAL && (stats.used_bytes == HUGE_TOTAL || is_gapped()));
        CHECK(stats.capacity_bytes >= HUGE_TOTAL);
        CHECK_SIZE(stats.reserved_bytes, stats.capacity_bytes + 64 * stats.block_count);
        CHECK_SIZE(stats.acquired_count, block_count);
        if (block_count == 1) {
            /* The latest piece is resized in place, beyond 4 GiB. */
            unsigned char *p = pieces[HUGE_PIECES - 1];
            CHECK(aegis_lock_free_arena_realloc_aligned(&arena, p, HUGE_BYTES, 8, 8, NULL) == p);
            CHECK_SIZE(shared_stats(&arena).used_bytes, stats.used_bytes - (HUGE_BYTES - 8));
            CHECK(aegis_lock_free_arena_realloc_aligned(&arena, p, 8, HUGE_BYTES, 8, NULL) == p);
            CHECK_SIZE(shared_stats(&arena).used_bytes, stats.used_bytes);
        }
        aegis_lock_free_arena_reset(&arena);
        CHECK_SIZE(shared_stats(&arena).used_bytes, 0);
    }
    /* Huge pages may make 2 MiB resident for each end. The shadow memory of a checker is not
     * counted here. */
    CHECK(is_gapped() || resident_bytes() < resident_before + HUGE_TOTAL / 16);
    aegis_lock_free_arena_fini(&arena);
}

static void arena_goes_beyond_4_gib_in_one_block(void) {
    go_beyond_4_gib(HUGE_TOTAL + ((size_t)1 << 20), (size_t)1 << 30, 1);
}

static void arena_goes_beyond_4_gib_in_a_block_and_blocks_of_one_request(void) {
    go_beyond_4_gib(HUGE_TOTAL / 4 + ((size_t)1 << 20), (size_t)1 << 30, 1 + HUGE_PIECES * 3 / 4);
}

static void arena_goes_beyond_4_gib_in_blocks_of_one_request(void) {
    go_beyond_4_gib(0, 0, HUGE_PIECES);
}

#endif

int main(void) {
    RUN(blocks_double_up_to_the_step_and_ends_stay_small);
    RUN(large_request_has_its_own_block_unless_it_fits);
    RUN(reuse_over_a_zeroing_source);
    RUN(reuse_over_a_dirty_source);
    RUN(large_requests_in_another_order_acquire_nothing);
    RUN(memory_fresh_from_a_zeroing_source_is_not_cleared);
    RUN(trim_keeps_what_fits_and_what_is_in_use);
    RUN(budget_is_charged_by_block_and_named_when_it_refuses);
    RUN(source_failing_at_every_step_changes_nothing);
#if UINTPTR_MAX > UINT32_MAX
    RUN(arena_goes_beyond_4_gib_in_one_block);
    RUN(arena_goes_beyond_4_gib_in_a_block_and_blocks_of_one_request);
    RUN(arena_goes_beyond_4_gib_in_blocks_of_one_request);
#endif
    return check_finish();
}
