/* SPDX-License-Identifier: Apache-2.0 */
/* Tests the local handles of a lock-free arena from one thread: how shards grow, how a handle
 * shares its arena's blocks with other handles, and what a reset does to a handle. Memory must
 * never be handed out twice, little of it may be stranded in shards, and a handle from before a
 * reset must be refused. */
#include "shared_support.h"

/* The largest part of the arena's memory that open handles may strand, in percent. */
#define STRANDED_PERCENT 5

static aegis_arena_local handle_of(const aegis_lock_free_arena *arena) {
    aegis_arena_local local;
    CHECK(aegis_arena_local_init(&local, arena, AEGIS_ARENA_NO_DEBUG) == AEGIS_OK);
    return local;
}

static void handle_bumps_in_shards_and_leaves_its_memory_behind(void) {
    aegis_lock_free_arena arena = shared_arena(1 << 20, 0, NULL);
    aegis_arena_local local = handle_of(&arena);
    CHECK_SIZE(shared_stats(&arena).used_bytes, 0);
    unsigned char *a = (unsigned char *)aegis_arena_alloc(&local.arena, 100);
    unsigned char *b = (unsigned char *)aegis_arena_alloc_zeroed(&local.arena, 100);
    CHECK(a != NULL && (is_watched(&local.arena) || b == a + 104));
    memset(a, 1, 100);
    memset(b, 2, 100);
    size_t used = shared_stats(&arena).used_bytes;
    CHECK(used >= 208 && used <= 1024 + 64);
    aegis_arena_local_fini(&local);
    CHECK(local.arena.ptr == NULL);
    CHECK(is_filled(a, 1, 100) && is_filled(b, 2, 100));
    CHECK(shared_stats(&arena).used_bytes < used);
    unsigned char *c = (unsigned char *)aegis_lock_free_arena_alloc_zeroed(&arena, 2000, NULL);
    CHECK(is_filled(c, 0, 2000));
    memset(c, 3, 2000);
    CHECK(is_filled(a, 1, 100) && is_filled(b, 2, 100));
    aegis_arena_local_fini(&local);
    aegis_arena_local_fini(NULL);
    aegis_lock_free_arena_fini(&arena);
}

static void shards_grow_with_the_handle_up_to_their_limit(void) {
    static const size_t limits[][2] = {
        {0, AEGIS_ARENA_LOCAL_MAX_SHARD}, {65536, 8192}, {1024, 128}};
    for (size_t i = 0; i < 3; i++) {
        aegis_lock_free_arena arena = shared_arena(0, limits[i][0], NULL);
        aegis_arena_local local = handle_of(&arena);
        size_t largest = 0;
        for (size_t done = 0; done < (size_t)16 << 20; done += 24) {
            size_t before = stats_of(&local.arena).reserved_bytes;
            CHECK(aegis_arena_alloc(&local.arena, 24) != NULL);
            size_t shard = stats_of(&local.arena).reserved_bytes - before;
            largest = shard > largest ? shard : largest;
            CHECK(shard <= 1024 || shard <= before / 24 || (shard <= 8192 && shard <= before) ||
                  is_watched(&local.arena));
        }
        CHECK_SIZE(largest, limits[i][1]);
        aegis_arena_local_fini(&local);
        aegis_lock_free_arena_fini(&arena);
    }
}

static void last_shard_takes_the_rest_of_a_block(void) {
    aegis_lock_free_arena arena = shared_arena(1 << 20, 0, NULL);
    aegis_arena_local locals[2] = {handle_of(&arena), handle_of(&arena)};
    /* Taking turns, neither handle can make its shard longer. */
    for (int turn = 0; shared_stats(&arena).block_count == 1; turn ^= 1)
        CHECK(aegis_arena_alloc(&locals[turn].arena, 64) != NULL);
    CHECK(stats_of(&locals[0].arena).reserved_bytes / 24 > 16 * AEGIS_ARENA_LOCAL_MIN_SHARD);
    CHECK(shared_stats(&arena).wasted_bytes < AEGIS_ARENA_LOCAL_MIN_SHARD + 64);
    /* A request that needs more than the rest gets it, and the rest stays for smaller ones. */
    CHECK(aegis_arena_alloc(&locals[0].arena, 100000) != NULL);
    for (int i = 0; i < 2; i++)
        aegis_arena_local_fini(&locals[i]);
    aegis_lock_free_arena_fini(&arena);
}

static void shard_grows_in_place_until_something_is_carved_behind_it(void) {
    aegis_lock_free_arena arena = shared_arena(1 << 20, 0, NULL);
    for (int round = 0; round < 2; round++) {
        aegis_arena_local local = handle_of(&arena);
        for (size_t i = 0; i < 2000; i++) {
            unsigned char *p = (unsigned char *)aegis_arena_alloc_zeroed(&local.arena, 104);
            CHECK(p != NULL && is_filled(p, 0, 104));
            memset(p, 0xEE, 104);
        }
        aegis_arena_stats stats = stats_of(&local.arena);
        CHECK_SIZE(stats.block_count, 1);
        CHECK_SIZE(stats.wasted_bytes, 0);
        CHECK(stats.capacity_bytes >= 2000 * 104 && stats.remaining_bytes <= 10000);
        /* After a rewind to the middle, the shard grows again over bytes that are dirty, and then
         * beyond them. */
        aegis_arena_mark mark = aegis_arena_get_mark(&local.arena);
        for (size_t i = 0; i < 3; i++) {
            memset(aegis_arena_alloc(&local.arena, 5000), 0xEE, 5000);
            CHECK(aegis_arena_rewind(&local.arena, &mark) == AEGIS_OK);
            for (size_t n = 0; n < 2 * i; n++)
                CHECK(is_filled(aegis_arena_alloc_zeroed(&local.arena, 5000), 0, 5000));
        }
        CHECK_SIZE(stats_of(&local.arena).block_count, 1);
        /* An allocation of another owner behind the shard ends the shard. The shard keeps the
         * length that it had. */
        unsigned char *other = (unsigned char *)aegis_lock_free_arena_alloc(&arena, 64, NULL);
        memset(other, 7, 64);
        while (stats_of(&local.arena).block_count == 1)
            memset(aegis_arena_alloc(&local.arena, 104), 0xEE, 104);
        CHECK(is_filled(other, 7, 64));
        CHECK_SIZE(stats_of(&local.arena).block_count, 2);
        aegis_arena_local_fini(&local);
        aegis_lock_free_arena_reset(&arena);
    }
    aegis_lock_free_arena_fini(&arena);
}

static void request_larger_than_a_shard_is_served(void) {
    aegis_lock_free_arena arena = shared_arena(0, 0, NULL);
    aegis_arena_local local = handle_of(&arena);
    for (size_t size = 500; size < (size_t)4 << 20; size *= 3) {
        unsigned char *p = (unsigned char *)aegis_arena_alloc_zeroed(&local.arena, size);
        CHECK(p != NULL && is_filled(p, 0, size));
        p = (unsigned char *)aegis_arena_alloc_aligned(&local.arena, size, 4096);
        CHECK(p != NULL && is_aligned(p, 4096));
        memset(p, 1, size);
    }
    CHECK(aegis_arena_alloc(&local.arena, SIZE_MAX - 7) == NULL);
    aegis_arena_local_fini(&local);
    aegis_lock_free_arena_fini(&arena);
}

static void sixty_four_handles_strand_less_than_five_percent_of_64_mib(void) {
    enum { HANDLES = 64 };
    const size_t total = (size_t)64 << 20;
    static aegis_arena_local locals[HANDLES];
    aegis_lock_free_arena arena = shared_arena(total, 0, NULL);
    uint64_t seed = 3;
    size_t asked = 0;
    for (int i = 0; i < HANDLES; i++)
        locals[i] = handle_of(&arena);
    /* The handles allocate different amounts, so that they have shards of all sizes. */
    while (shared_stats(&arena).block_count == 1) {
        for (int n = 0; n < 2000; n++) {
            size_t i = random_below(&seed, HANDLES) * random_below(&seed, HANDLES) / HANDLES;
            size_t size = 16 + 8 * random_below(&seed, 31);
            CHECK(aegis_arena_alloc(&locals[i].arena, size) != NULL);
            asked += size;
        }
    }
    size_t used = shared_stats(&arena).used_bytes;
    size_t open_ends = 0, waste = 0, heads = 0;
    for (int i = 0; i < HANDLES; i++) {
        aegis_arena_stats stats = stats_of(&locals[i].arena);
        size_t bound = stats.reserved_bytes / 24 > 8192 ? stats.reserved_bytes / 24 : 8192;
        CHECK(stats.remaining_bytes <= bound);
        open_ends += stats.remaining_bytes;
        waste += stats.wasted_bytes;
        heads += stats.reserved_bytes - stats.capacity_bytes;
    }
    if (!is_gapped()) {
        CHECK(asked + open_ends + waste + heads <= used);
        CHECK((used - asked) * 100 < used * STRANDED_PERCENT);
    }
    for (int i = 0; i < HANDLES; i++)
        aegis_arena_local_fini(&locals[i]);
    aegis_lock_free_arena_fini(&arena);
}

static void end_of_a_closed_handle_goes_to_the_block_or_to_the_next_handle(void) {
    aegis_lock_free_arena arena = shared_arena(1 << 20, 0, NULL);
    /* Nothing was allocated behind the shard, so the block gets the rest back. */
    aegis_arena_local local = handle_of(&arena);
    (void)aegis_arena_alloc(&local.arena, 8);
    aegis_arena_local_fini(&local);
    CHECK(shared_stats(&arena).used_bytes <= 128);
    /* Something was allocated behind each shard. The arena must find the ends of 16 such shards
     * again. */
    aegis_arena_local locals[16];
    for (int i = 0; i < 16; i++) {
        locals[i] = handle_of(&arena);
        for (int n = 0; n < 3000 || stats_of(&locals[i].arena).remaining_bytes < 2400; n++)
            (void)aegis_arena_alloc(&locals[i].arena, 32);
        aegis_arena_local other = handle_of(&arena);
        (void)aegis_arena_alloc(&other.arena, 8);
        (void)aegis_lock_free_arena_alloc(&arena, 8, NULL);
    }
    for (int i = 0; i < 16; i++)
        aegis_arena_local_fini(&locals[i]);
    size_t used = shared_stats(&arena).used_bytes;
    aegis_arena_local next = handle_of(&arena);
    unsigned char *p = (unsigned char *)aegis_arena_alloc_zeroed(&next.arena, 900);
    CHECK(is_filled(p, 0, 900));
    CHECK_SIZE(shared_stats(&arena).used_bytes, used);
    memset(p, 1, 900);
    aegis_arena_local_fini(&next);
    aegis_lock_free_arena_reset(&arena);
    CHECK_SIZE(shared_stats(&arena).used_bytes, 0);
    aegis_lock_free_arena_fini(&arena);
}

static void every_function_of_an_arena_works_on_a_handle(void) {
    aegis_lock_free_arena arena = shared_arena(0, 0, NULL);
    aegis_arena_local local = handle_of(&arena);
    char *text = aegis_arena_strdup(&local.arena, "kept");
    aegis_arena_mark mark = aegis_arena_get_mark(&local.arena);
    unsigned char *p = (unsigned char *)aegis_arena_alloc(&local.arena, 10);
    p = (unsigned char *)aegis_arena_realloc(&local.arena, p, 10, 5000);
    memset(p, 9, 5000);
    CHECK(aegis_arena_rewind(&local.arena, &mark) == AEGIS_OK);
    aegis_arena_scope scope;
    aegis_arena_scope_begin(&local.arena, &scope);
    p = (unsigned char *)aegis_arena_alloc_zeroed(&scope.arena, 20000);
    CHECK(is_filled(p, 0, 20000));
    void *outer = aegis_arena_alloc(&local.arena, 64);
    aegis_arena_scope_end(&local.arena, &scope);
    memset(outer, 1, 64);
    CHECK(strcmp(text, "kept") == 0);
    /* A reset of the handle frees its allocations and gives up its idle shards. */
    aegis_arena_reset(&local.arena);
    (void)aegis_arena_alloc(&local.arena, 8);
    aegis_arena_trim(&local.arena, 0);
    aegis_arena_local_fini(&local);
    local = handle_of(&arena);
    (void)aegis_arena_alloc(&local.arena, 8);
    aegis_arena_fini(&local.arena);
    aegis_lock_free_arena_fini(&arena);
}

static void count_call(void *context) {
    ++*(int *)context;
}

static void deferred_functions_run_when_the_handle_ends(void) {
    aegis_lock_free_arena arena = shared_arena(0, 0, NULL);
    aegis_arena_local local = handle_of(&arena);
    int calls = 0;
    CHECK(aegis_arena_defer(&local.arena, count_call, &calls) == AEGIS_OK);
    aegis_arena_local_fini(&local);
    CHECK_SIZE(calls, 1);
    aegis_lock_free_arena_fini(&arena);
}

static int reports;

static void count_report(const char *message) {
    reports += strstr(message, "'test'") != NULL && strstr(message, "reset") != NULL ? 1 : 100;
}

static void handle_used_after_a_reset_is_refused(void) {
    aegis_report_fn previous = aegis_set_report(count_report);
    aegis_lock_free_arena arena = shared_arena(0, 0, NULL);
    for (int debug = 0; debug < 2; debug++) {
        aegis_arena_local stale;
        CHECK(aegis_arena_local_init(&stale, &arena,
                                     debug ? AEGIS_ARENA_GUARD : AEGIS_ARENA_NO_DEBUG) == AEGIS_OK);
        CHECK(aegis_arena_alloc(&stale.arena, 8) != NULL);
        reports = 0;
        if (debug)
            aegis_lock_free_arena_clear(&arena);
        else
            aegis_lock_free_arena_reset(&arena);
        /* A handle with guards notices at each allocation; another one when it needs a shard. */
        CHECK(aegis_arena_alloc(&stale.arena, debug ? 8 : 100000) == NULL);
        CHECK(error_of(&stale.arena).status == AEGIS_E_INVALID);
        CHECK_SIZE(reports, (aegis_build_flags() & AEGIS_BUILD_DEBUG) != 0 ? 1 : 0);
        reports = 0;
        aegis_arena_local_fini(&stale);
        CHECK_SIZE(reports, 0);
        CHECK(stale.arena.ptr == NULL);
    }
    aegis_lock_free_arena_fini(&arena);
    aegis_set_report(previous);
}

static void refusals_reach_the_handle(void) {
    aegis_budget *budget = aegis_budget_new("table", 6000, NULL);
    aegis_lock_free_arena_options options = {1000, 0, NULL, budget, NULL, 0};
    aegis_lock_free_arena arena;
    CHECK(aegis_lock_free_arena_init(&arena, &options, NULL) == AEGIS_OK);
    aegis_arena_local local = handle_of(&arena);
    while (aegis_arena_alloc(&local.arena, 100) != NULL)
        continue;
    aegis_error error = error_of(&local.arena);
    CHECK(error.status == AEGIS_E_LIMIT_EXCEEDED && error.refused == budget);
    aegis_arena_local_fini(&local);
    aegis_lock_free_arena_fini(&arena);
    aegis_budget_destroy(budget);

    shared_source state;
    aegis_source source = shared_source_get(&state, true);
    arena = shared_arena(1000, 0, &source);
    local = handle_of(&arena);
    atomic_store(&state.fail_from, 2);
    while (aegis_arena_alloc(&local.arena, 100) != NULL)
        continue;
    CHECK(error_of(&local.arena).status == AEGIS_E_OUT_OF_MEMORY);
    atomic_store(&state.fail_from, 0);
    CHECK(aegis_arena_alloc(&local.arena, 100) != NULL);
    aegis_arena_local_fini(&local);
    aegis_lock_free_arena_fini(&arena);
    shared_source_check_done(&state);
}

static void unknown_flags_are_refused(void) {
    aegis_lock_free_arena arena = shared_arena(0, 0, NULL);
    aegis_arena_local local;
    CHECK(aegis_arena_local_init(&local, &arena, AEGIS_ARENA_OWN_BLOCKS) == AEGIS_E_INVALID);
    CHECK(aegis_arena_local_init(&local, &arena, 1u << 20) == AEGIS_E_INVALID);
    aegis_arena_local_fini(&local);
    aegis_lock_free_arena_fini(&arena);
}

int main(void) {
    RUN(handle_bumps_in_shards_and_leaves_its_memory_behind);
    RUN(shards_grow_with_the_handle_up_to_their_limit);
    RUN(last_shard_takes_the_rest_of_a_block);
    RUN(shard_grows_in_place_until_something_is_carved_behind_it);
    RUN(request_larger_than_a_shard_is_served);
    RUN(sixty_four_handles_strand_less_than_five_percent_of_64_mib);
    RUN(end_of_a_closed_handle_goes_to_the_block_or_to_the_next_handle);
    RUN(every_function_of_an_arena_works_on_a_handle);
    RUN(deferred_functions_run_when_the_handle_ends);
    RUN(handle_used_after_a_reset_is_refused);
    RUN(refusals_reach_the_handle);
    RUN(unknown_flags_are_refused);
    return check_finish();
}
