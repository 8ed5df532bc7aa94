/* SPDX-License-Identifier: Apache-2.0 */
/* Tests the user's functions that a locked arena calls: source, pressure and report functions. The
 * arena must not hold its lock while they run, so they may use the arena, and other threads go on.
 * If the lock were held, the test would hang until an alarm ends it. */
#include "shared_support.h"

#include <pthread.h>

#define THREADS 4
#define ROUNDS 3000

static aegis_locked_arena shared;
static atomic_size_t call_count;
static atomic_size_t failure_count;
static _Thread_local int depth;

static void expect(bool condition) {
    if (!condition)
        atomic_fetch_add(&failure_count, 1);
}

static void finish(void) {
    aegis_locked_arena_fini(&shared);
    CHECK_SIZE(atomic_load(&failure_count), 0);
    atomic_store(&failure_count, 0);
    atomic_store(&call_count, 0);
}

static void count_run(void *context) {
    (void)context;
}

/* Uses the arena in every way that a thread may. The work needs several blocks. */
static void use_every_form(void) {
    unsigned char *p = (unsigned char *)aegis_locked_arena_alloc(&shared, 100, NULL);
    unsigned char *q = (unsigned char *)aegis_locked_arena_alloc_zeroed(&shared, 3000, NULL);
    unsigned char *r = (unsigned char *)aegis_locked_arena_alloc_aligned(&shared, 10, 256, NULL);
    unsigned char *s =
        (unsigned char *)aegis_locked_arena_alloc_aligned_zeroed(&shared, 5000, 64, NULL);
    expect(p != NULL && q != NULL && r != NULL && s != NULL);
    if (p == NULL || q == NULL || r == NULL || s == NULL)
        return;
    memset(p, 1, 100);
    expect(is_filled(q, 0, 3000) && is_aligned(r, 256) && is_filled(s, 0, 5000));
    memset(q, 2, 3000);
    memset(s, 3, 5000);
    p = (unsigned char *)aegis_locked_arena_realloc_aligned(&shared, p, 100, 9000, 8, NULL);
    expect(p != NULL && is_filled(p, 1, 100));
    expect(aegis_locked_arena_strdup(&shared, "text", NULL) != NULL);
    expect(aegis_locked_arena_defer(&shared, count_run, NULL, NULL) == AEGIS_OK);
    aegis_arena_stats stats;
    aegis_locked_arena_get_stats(&shared, &stats);
    expect(stats.block_count != 0);
    if (p != NULL)
        aegis_locked_arena_free_last(&shared, p, 9000);
}

static void *use_in_a_thread(void *context) {
    (void)context;
    depth = 1;
    use_every_form();
    return NULL;
}

/* Lets this thread and another one use the arena. A call inside this one does nothing. */
static void use_from_inside(void) {
    if (depth != 0)
        return;
    depth = 1;
    atomic_fetch_add(&call_count, 1);
    use_every_form();
    pthread_t other;
    expect(pthread_create(&other, NULL, use_in_a_thread, NULL) == 0);
    expect(pthread_join(other, NULL) == 0);
    depth = 0;
}

static void told_of_pressure(void *context, size_t used_bytes, size_t limit_bytes) {
    (void)context;
    (void)used_bytes;
    (void)limit_bytes;
    use_from_inside();
}

static void init(const aegis_source *source, aegis_budget *budget, uint32_t flags) {
    aegis_arena_options options = test_options(0, 0, source, NULL, 0);
    options.budget = budget;
    options.flags = flags | AEGIS_ARENA_NO_DEBUG;
    CHECK(aegis_locked_arena_init(&shared, &options, NULL) == AEGIS_OK);
}

static void pressure_function_may_use_the_arena(void) {
    for (int form = 0; form < 6; form++) {
        aegis_budget *budget = aegis_budget_new("q", 1 << 20, NULL);
        CHECK(aegis_budget_on_pressure(budget, 1, told_of_pressure, NULL, NULL) == AEGIS_OK);
        init(NULL, budget, form % 2 != 0 ? AEGIS_ARENA_OWN_BLOCKS : 0);
        void *p = NULL;
        if (form < 2) {
            p = aegis_locked_arena_alloc(&shared, 100000, NULL);
        } else if (form < 4) {
            p = aegis_locked_arena_alloc_aligned_zeroed(&shared, 100000, 128, NULL);
            CHECK(p != NULL && is_filled(p, 0, 100000));
        } else {
            p = aegis_locked_arena_strdup(&shared, "kept", NULL);
            p = aegis_locked_arena_realloc_aligned(&shared, p, 5, 100000, 8, NULL);
            CHECK(p != NULL && strcmp((char *)p, "kept") == 0);
        }
        CHECK(p != NULL);
        CHECK_SIZE(atomic_load(&call_count), 1);
        aegis_budget_figures figures;
        aegis_arena_stats stats;
        aegis_budget_get_figures(budget, &figures);
        aegis_locked_arena_get_stats(&shared, &stats);
        CHECK_SIZE(figures.used_bytes, stats.reserved_bytes);
        finish();
        aegis_budget_destroy(budget);
    }
}

static shared_source state;

static void *use_and_acquire(void *context, size_t size_bytes, size_t align_bytes, bool *zeroed) {
    if (atomic_load(&call_count) % 50 == 0)
        use_from_inside();
    else
        atomic_fetch_add(&call_count, 1);
    return shared_source_acquire(context, size_bytes, align_bytes, zeroed);
}

static aegis_source using_source(void) {
    aegis_source source = shared_source_get(&state, true);
    source.acquire = use_and_acquire;
    state.any_size = true;
    return source;
}

static void source_may_use_the_arena(void) {
    for (int own = 0; own < 2; own++) {
        aegis_source source = using_source();
        init(&source, NULL, own != 0 ? AEGIS_ARENA_OWN_BLOCKS : 0);
        unsigned char *kept[200];
        for (size_t i = 0; i < 200; i++) {
            kept[i] = (unsigned char *)aegis_locked_arena_alloc(&shared, 10 + i * 13, NULL);
            CHECK(kept[i] != NULL);
            memset(kept[i], (int)i, 10 + i * 13);
        }
        for (size_t i = 0; i < 200; i++)
            CHECK(is_filled(kept[i], (unsigned char)i, 10 + i * 13));
        CHECK(atomic_load(&call_count) != 0);
        finish();
        shared_source_check_done(&state);
    }
}

static void release_and_use(void *context, void *memory, size_t size_bytes, size_t align_bytes) {
    /* Overwrites the block first, so that the test notices if the arena hands it out again. */
    memset(memory, 0x5A, size_bytes);
    shared_source_release(context, memory, size_bytes, align_bytes);
    if (depth != 0)
        return;
    depth = 1;
    atomic_fetch_add(&call_count, 1);
    unsigned char *p = (unsigned char *)aegis_locked_arena_alloc(&shared, 700, NULL);
    if (p != NULL)
        memset(p, 7, 700);
    depth = 0;
}

static void source_may_use_the_arena_as_it_takes_blocks_back(void) {
    for (int way = 0; way < 6; way++) {
        bool own = way >= 3;
        aegis_source source = shared_source_get(&state, true);
        source.release = release_and_use;
        state.any_size = true;
        init(&source, NULL, own ? AEGIS_ARENA_OWN_BLOCKS : 0);
        for (size_t i = 0; i < 50; i++)
            CHECK(aegis_locked_arena_alloc(&shared, 900, NULL) != NULL);
        if (way % 3 == 0) {
            aegis_locked_arena_reset(&shared);
            aegis_locked_arena_trim(&shared, 0);
        } else if (way % 3 == 1) {
            aegis_locked_arena_clear(&shared);
        }
        CHECK((atomic_load(&call_count) != 0) == (way % 3 != 2));
        unsigned char *kept[50];
        for (size_t i = 0; i < 50; i++) {
            kept[i] = (unsigned char *)aegis_locked_arena_alloc(&shared, 900, NULL);
            CHECK(kept[i] != NULL);
            memset(kept[i], (int)i, 900);
        }
        for (size_t i = 0; i < 50; i++)
            CHECK(is_filled(kept[i], (unsigned char)i, 900));
        aegis_arena_stats stats;
        aegis_locked_arena_get_stats(&shared, &stats);
        CHECK_SIZE(stats.reserved_bytes, atomic_load(&state.live_bytes));
        CHECK_SIZE(stats.block_count, atomic_load(&state.live_count));
        finish();
        shared_source_check_done(&state);
    }
}

static void block_that_is_not_needed_any_more_stays_for_later(void) {
    aegis_source source = using_source();
    init(&source, NULL, 0);
    CHECK(aegis_locked_arena_alloc(&shared, 100, NULL) != NULL);
    aegis_arena_stats stats;
    aegis_locked_arena_get_stats(&shared, &stats);
    CHECK_SIZE(stats.reserved_bytes, atomic_load(&state.live_bytes));
    CHECK_SIZE(stats.block_count, atomic_load(&state.live_count));
    /* The block that was brought although it was no longer needed must be used before the source is
     * asked again. */
    size_t asked_count = atomic_load(&state.asked_count);
    size_t room_bytes = stats.remaining_bytes;
    CHECK(aegis_locked_arena_alloc(&shared, room_bytes - (is_gapped() ? 64 : 0), NULL) != NULL);
    CHECK_SIZE(atomic_load(&state.asked_count), asked_count);
    finish();
    shared_source_check_done(&state);
}

static void use_in_a_report(const char *message) {
    (void)message;
    use_from_inside();
}

static void report_function_may_use_the_arena(void) {
    aegis_report_fn usual = aegis_set_report(use_in_a_report);
    for (int way = 0; way < 2; way++) {
        init(NULL, NULL, AEGIS_ARENA_GUARD);
        unsigned char *p = (unsigned char *)aegis_locked_arena_alloc(&shared, 24, NULL);
        bool guarded = !is_gapped();
        if (guarded)
            p[24] ^= 1;
        if (way == 0)
            aegis_locked_arena_free_last(&shared, p, 24);
        else
            CHECK(aegis_locked_arena_realloc_aligned(&shared, p, 24, 30, 8, NULL) == p);
        CHECK_SIZE(atomic_load(&call_count), guarded ? 1 : 0);
        finish();
    }
    (void)aegis_set_report(usual);
}

/* Allocates and checks its allocations, while the source uses the arena and refuses now and
 * then. */
static void *work(void *context) {
    unsigned char mark = (unsigned char)(uintptr_t)context;
    unsigned char *kept[16] = {NULL};
    size_t sizes[16] = {0};
    uint64_t seed = mark;
    for (int i = 0; i < ROUNDS; i++) {
        /* No other thread asks for this size, so the record of a failure shows whose request it
         * is. */
        size_t size = random_below(&seed, 400) * 8 + mark;
        int slot = i % 16;
        aegis_error error;
        unsigned char *p = (unsigned char *)aegis_locked_arena_alloc(&shared, size, &error);
        if (p == NULL) {
            expect(error.status == AEGIS_E_OUT_OF_MEMORY && error.requested_bytes == size);
            continue;
        }
        expect(kept[slot] == NULL || is_filled(kept[slot], mark, sizes[slot]));
        memset(p, mark, size);
        if (i % 7 == 0) {
            unsigned char *moved = (unsigned char *)aegis_locked_arena_realloc_aligned(
                &shared, p, size, size + 64, 8, &error);
            expect(moved != NULL || error.requested_bytes == size + 64);
            p = moved != NULL ? moved : p;
            expect(is_filled(p, mark, size));
        }
        kept[slot] = p;
        sizes[slot] = size;
    }
    return NULL;
}

static void *refuse_or_use(void *context, size_t size_bytes, size_t align_bytes, bool *zeroed) {
    size_t number = atomic_fetch_add(&call_count, 1);
    if (depth == 0 && number % 64 == 0) {
        depth = 1;
        expect(aegis_locked_arena_alloc(&shared, 200, NULL) != NULL || number != 0);
        (void)aegis_locked_arena_alloc_zeroed(&shared, 5000, NULL);
        depth = 0;
    }
    return shared_source_acquire(context, size_bytes, align_bytes, zeroed);
}

static void threads_go_on_while_the_source_uses_the_arena(void) {
    aegis_source source = shared_source_get(&state, false);
    source.acquire = refuse_or_use;
    state.any_size = true;
    init(&source, NULL, 0);
    pthread_t threads[THREADS];
    for (int round = 0; round < 2; round++) {
        atomic_store(&state.fail_each, round == 0 ? 0 : 3);
        for (uintptr_t i = 0; i < THREADS; i++)
            CHECK(pthread_create(&threads[i], NULL, work, (void *)(i + 1)) == 0);
        for (int i = 0; i < THREADS; i++)
            CHECK(pthread_join(threads[i], NULL) == 0);
        aegis_arena_stats stats;
        aegis_locked_arena_get_stats(&shared, &stats);
        CHECK_SIZE(stats.reserved_bytes, atomic_load(&state.live_bytes));
        aegis_locked_arena_clear(&shared);
        CHECK_SIZE(atomic_load(&state.live_bytes), 0);
    }
    finish();
    shared_source_check_done(&state);
}

int main(void) {
    check_alarm(120);
    RUN(pressure_function_may_use_the_arena);
    RUN(source_may_use_the_arena);
    RUN(source_may_use_the_arena_as_it_takes_blocks_back);
    RUN(block_that_is_not_needed_any_more_stays_for_later);
    RUN(report_function_may_use_the_arena);
    RUN(threads_go_on_while_the_source_uses_the_arena);
    return check_finish();
}
