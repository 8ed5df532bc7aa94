/* SPDX-License-Identifier: Apache-2.0 */
/* Tests what arenas of each form do when the budget has no room for the growth step: they take what
 * is left in one block, so that it is not spent on a block header for each request. */
#include "budget_support.h"
#include "statistics_support.h"

#include <pthread.h>

enum { ARENA, LOCKED, LOCK_FREE, LOCAL, KIND_COUNT };

/* An arena of some form. Blocks come from a source that notes what it is asked for. */
typedef struct subject {
    int kind;
    aegis_arena arena;
    aegis_locked_arena locked;
    aegis_lock_free_arena shared;
    aegis_arena_local local;
    aegis_error error;
    size_t asked[64];
    size_t asked_count;
    /* The n-th acquire fails, counted from 1. 0: none fails. */
    size_t fail_at;
} subject;

static void *acquire(void *context, size_t size_bytes, size_t align_bytes, bool *zeroed) {
    subject *s = (subject *)context;
    s->asked[s->asked_count++ % 64] = size_bytes;
    if (s->asked_count == s->fail_at)
        return NULL;
    return steady_acquire(NULL, size_bytes, align_bytes, zeroed);
}

static void begin(subject *s, int kind_of, aegis_budget *budget) {
    memset(s, 0, sizeof *s);
    s->kind = kind_of;
    aegis_source source = {acquire, steady_release, NULL, s};
    aegis_arena_options options = {0};
    options.source = &source;
    options.budget = budget;
    options.flags = AEGIS_ARENA_NO_DEBUG;
    aegis_lock_free_arena_options shared = {0};
    shared.source = &source;
    shared.budget = budget;
    aegis_status status = AEGIS_OK;
    if (kind_of == ARENA)
        status = aegis_arena_init(&s->arena, &options);
    else if (kind_of == LOCKED)
        status = aegis_locked_arena_init(&s->locked, &options, NULL);
    else
        status = aegis_lock_free_arena_init(&s->shared, &shared, NULL);
    if (kind_of == LOCAL)
        CHECK(aegis_arena_local_init(&s->local, &s->shared, AEGIS_ARENA_NO_DEBUG) == AEGIS_OK);
    CHECK(status == AEGIS_OK);
}

static void end(subject *s) {
    aegis_arena_local_fini(&s->local);
    aegis_arena_fini(&s->arena);
    aegis_locked_arena_fini(&s->locked);
    aegis_lock_free_arena_fini(&s->shared);
}

static void *take(subject *s, size_t size_bytes) {
    void *p = NULL;
    if (s->kind == LOCKED)
        return aegis_locked_arena_alloc(&s->locked, size_bytes, &s->error);
    if (s->kind == LOCK_FREE)
        return aegis_lock_free_arena_alloc(&s->shared, size_bytes, &s->error);
    aegis_arena *arena = s->kind == LOCAL ? &s->local.arena : &s->arena;
    p = aegis_arena_alloc(arena, size_bytes);
    if (p == NULL)
        aegis_arena_last_error(arena, &s->error);
    return p;
}

static void reset(subject *s) {
    if (s->kind == ARENA) {
        aegis_arena_reset(&s->arena);
    } else if (s->kind == LOCKED) {
        aegis_locked_arena_reset(&s->locked);
    } else {
        aegis_arena_local_fini(&s->local);
        aegis_lock_free_arena_reset(&s->shared);
    }
    if (s->kind == LOCAL)
        CHECK(aegis_arena_local_init(&s->local, &s->shared, AEGIS_ARENA_NO_DEBUG) == AEGIS_OK);
}

/* The statistics of the arena that has the blocks of the source. */
static aegis_arena_stats stats_of(const subject *s) {
    aegis_arena_stats stats;
    if (s->kind == ARENA)
        aegis_arena_get_stats(&s->arena, &stats);
    else if (s->kind == LOCKED)
        aegis_locked_arena_get_stats(&s->locked, &stats);
    else
        aegis_lock_free_arena_get_stats(&s->shared, &stats);
    return stats;
}

static size_t header_of(const subject *s) {
    return s->kind >= LOCK_FREE ? 64 : sizeof(void *) == 8 ? 48 : 32;
}

/* How many blocks of growing steps a budget has room for, and what is left then. */
static size_t steps_within(size_t limit_bytes, size_t *left_bytes) {
    size_t count = 0, step_bytes = AEGIS_ARENA_MIN_BLOCK;
    for (; step_bytes <= limit_bytes; count++, step_bytes *= 2)
        limit_bytes -= step_bytes;
    *left_bytes = limit_bytes;
    return count;
}

/* How many requests were served when each request for which no step was left got a block. */
static size_t served_one_block_each(const subject *s, size_t limit_bytes, size_t size_bytes) {
    size_t left_bytes, served = 0;
    size_t count = steps_within(limit_bytes, &left_bytes);
    for (size_t i = 0; i < count; i++)
        served += (((size_t)AEGIS_ARENA_MIN_BLOCK << i) - header_of(s)) / size_bytes;
    return served + left_bytes / (header_of(s) + ((size_bytes + 15) & ~(size_t)15));
}

static void check_refusal(const subject *s, const aegis_budget *refusing, size_t size_bytes) {
    CHECK(s->error.status == AEGIS_E_LIMIT_EXCEEDED);
    CHECK(s->error.refused == refusing);
    CHECK_SIZE(s->error.requested_bytes, size_bytes);
    CHECK_SIZE(s->error.limit_bytes, figures_of(refusing).limit_bytes);
    CHECK_SIZE(s->error.in_use_bytes, used(refusing));
}

/* Whether a checker keeps a gap behind each allocation, so that fewer fit. */
static bool has_gaps(void) {
    aegis_pool_stats stats;
    aegis_pool pool;
    aegis_pool_options options = {48, 1, 0, 0, NULL, NULL, NULL, 0};
    CHECK(aegis_pool_init(&pool, &options) == AEGIS_OK);
    aegis_pool_get_stats(&pool, &stats);
    CHECK(aegis_pool_fini(&pool) == AEGIS_OK);
    return stats.stride_bytes != 48;
}

/* Allocates until the budget refuses. The limit is that of `refusing`, which may be an ancestor of
 * `budget` and have `other_bytes` in use for others. */
static void fill(int kind_of, aegis_budget *budget, aegis_budget *refusing, size_t other_bytes,
                 size_t size_bytes) {
    subject s;
    begin(&s, kind_of, budget);
    size_t served = 0, left_bytes;
    while (take(&s, size_bytes) != NULL)
        served++;
    size_t limit_bytes = figures_of(refusing).limit_bytes - other_bytes;
    size_t steps = steps_within(limit_bytes, &left_bytes);
    /* A handle asks for less and less, so what is left comes in a few blocks. */
    CHECK(stats_of(&s).block_count <= steps + (kind_of == LOCAL ? 4 : 2));
    CHECK(used(refusing) <= limit_bytes + other_bytes);
    /* Less is left than a block for one request takes. */
    CHECK(limit_bytes + other_bytes - used(refusing) < header_of(&s) + size_bytes + 48 + 64 + 16);
    if (kind_of != LOCAL && !has_gaps())
        CHECK(served >= served_one_block_each(&s, limit_bytes, size_bytes));
    check_refusal(&s, refusing, size_bytes);
    uint64_t acquired_count = stats_of(&s).acquired_count;
    for (size_t round = 0; round < 2; round++) {
        reset(&s);
        for (size_t i = 0; i < served; i++)
            CHECK(take(&s, size_bytes) != NULL);
        CHECK(take(&s, size_bytes) == NULL);
        check_refusal(&s, refusing, size_bytes);
        CHECK_SIZE(stats_of(&s).acquired_count, acquired_count);
    }
    end(&s);
    CHECK_SIZE(used(refusing), other_bytes);
}

static void what_is_left_is_taken_in_one_block(void) {
    for (int k = ARENA; k < KIND_COUNT; k++) {
        for (size_t limit_bytes = 3000; limit_bytes < 300000; limit_bytes += limit_bytes / 5 + 13) {
            for (size_t size_bytes = 8; size_bytes <= 200; size_bytes *= 5) {
                aegis_budget *budget = aegis_budget_new("b", limit_bytes, NULL);
                fill(k, budget, budget, 0, size_bytes);
                aegis_budget_destroy(budget);
            }
        }
        aegis_budget *budget = aegis_budget_new("arena", 262144, NULL);
        fill(k, budget, budget, 0, 32);
        aegis_budget_destroy(budget);
    }
}

/* The budget that refuses the step is not the one that has the least left. */
static void the_lowest_limit_on_the_way_to_the_root_counts(void) {
    for (int k = ARENA; k < KIND_COUNT; k++) {
        for (size_t limit_bytes = 70000; limit_bytes < 200000; limit_bytes += 9999) {
            aegis_budget *root = aegis_budget_new("root", limit_bytes + 5000, NULL);
            aegis_budget *middle = aegis_budget_new("middle", limit_bytes + 6000, root);
            aegis_budget *leaf = aegis_budget_new("leaf", limit_bytes + 1000, middle);
            CHECK(aegis_budget_charge(root, 5000, NULL) == AEGIS_OK);
            fill(k, leaf, root, 5000, 40);
            CHECK(aegis_budget_uncharge(root, 5000) == AEGIS_OK);
            aegis_budget_destroy(leaf);
            aegis_budget_destroy(middle);
            aegis_budget_destroy(root);
        }
    }
}

/* If the block of the rest does not come either, the request still gets a block of its own size. */
static void the_exact_size_is_the_last_try(void) {
    for (int k = ARENA; k < LOCAL; k++) {
        aegis_budget *budget = aegis_budget_new("b", 1024 + 1504, NULL);
        subject s;
        begin(&s, k, budget);
        CHECK(take(&s, 900) != NULL);
        size_t first_count = s.asked_count;
        CHECK_SIZE(first_count, 1);
        size_t left_bytes = 1024 + 1504 - used(budget);
        s.fail_at = first_count + 1;
        CHECK(take(&s, 200) != NULL);
        CHECK_SIZE(s.asked_count, first_count + 2);
        CHECK_SIZE(s.asked[first_count], left_bytes & ~(size_t)15);
        CHECK(s.asked[first_count + 1] <= header_of(&s) + 200 + 32);
        /* What is left now serves the next request that needs a block. */
        CHECK(take(&s, 200) != NULL);
        CHECK(used(budget) > 1024 + 1504 - 16);
        end(&s);
        aegis_budget_destroy(budget);
    }
}

/* A request that gets a block of its own size takes no more than that when more is left. */
static void a_large_request_takes_only_its_own_size(void) {
    for (int k = ARENA; k < LOCAL; k++) {
        aegis_budget *budget = aegis_budget_new("b", 400000, NULL);
        subject s;
        begin(&s, k, budget);
        CHECK(take(&s, 100000) != NULL);
        CHECK(used(budget) <= 110000 + AEGIS_ARENA_MIN_BLOCK);
        CHECK(take(&s, 250000) != NULL);
        CHECK(used(budget) <= 385000 + 2 * AEGIS_ARENA_MIN_BLOCK);
        end(&s);
        aegis_budget_destroy(budget);
    }
}

/* An allocation that grows gets what is left to grow into. */
static void an_allocation_that_grows_gets_what_is_left(void) {
    aegis_budget *budget = aegis_budget_new("b", 1024 + 2048 + 1400, NULL);
    subject s;
    begin(&s, ARENA, budget);
    char *p = (char *)take(&s, 900);
    CHECK(take(&s, 1900) != NULL);
    uint64_t acquired_count = stats_of(&s).acquired_count;
    for (size_t size_bytes = 900; size_bytes < 1300; size_bytes += 100)
        CHECK((p = (char *)aegis_arena_realloc(&s.arena, p, size_bytes, size_bytes + 100)) != NULL);
    CHECK_SIZE(stats_of(&s).acquired_count, acquired_count + 1);
    end(&s);
    aegis_budget_destroy(budget);
}

/* Requests of all sizes: less than a quarter is wasted, and the same requests after a reset have
 * the same success and acquire nothing. */
static void mixed_requests_keep_the_bound_and_acquire_nothing_again(void) {
    for (int k = ARENA; k <= LOCK_FREE; k++) {
        for (size_t round = 0; round < scaled(60); round++) {
            const uint64_t seed = 88172645463325252u + round;
            uint64_t state = seed;
            aegis_budget *budget = aegis_budget_new("b", 3000 + random_below(&state, 300000), NULL);
            subject s;
            begin(&s, k, budget);
            static bool served[4000];
            uint64_t acquired_count = 0;
            for (size_t pass = 0; pass < 3; pass++) {
                uint64_t values = seed;
                for (size_t i = 0; i < 4000; i++) {
                    size_t most = random_below(&values, 20) == 0 ? 9000 : 300;
                    bool got = take(&s, random_below(&values, most)) != NULL;
                    CHECK(pass == 0 || got == served[i]);
                    served[i] = got;
                    aegis_arena_stats stats = stats_of(&s);
                    CHECK(k == LOCK_FREE || stats.wasted_bytes * 4 <= stats.capacity_bytes);
                }
                CHECK(pass == 0 || stats_of(&s).acquired_count == acquired_count);
                acquired_count = stats_of(&s).acquired_count;
                reset(&s);
            }
            end(&s);
            aegis_budget_destroy(budget);
        }
    }
}

/* The same, where most requests have a block of their own. An end that such a block leaves, or the
 * end of the block before it, serves the same requests after a reset. */
static void requests_with_own_blocks_have_the_same_success_after_a_reset(void) {
    const size_t known[] = {4067, 18456, 278, 493, 292};
    for (size_t round = 0; round < scaled(4000); round++) {
        for (int k = ARENA; k <= LOCK_FREE; k++) {
            uint64_t values = 88172645463325252u + round;
            size_t limit_bytes = round == 0 ? 23889 : 1000 + random_below(&values, 30000);
            size_t count = round == 0 ? 5 : 1 + random_below(&values, 24);
            size_t sizes[24];
            for (size_t i = 0; i < count; i++)
                sizes[i] = round == 0 ? known[i] : random_below(&values, i % 2 == 0 ? 500 : 20000);
            aegis_budget *budget = aegis_budget_new("b", limit_bytes, NULL);
            subject s;
            begin(&s, k, budget);
            bool served[24] = {false};
            for (size_t pass = 0; pass < 2; pass++) {
                for (size_t i = 0; i < count; i++) {
                    bool got = take(&s, sizes[i]) != NULL;
                    CHECK(pass == 0 || got == served[i]);
                    served[i] = got;
                }
                reset(&s);
            }
            end(&s);
            aegis_budget_destroy(budget);
        }
    }
}

#define THREADS 4

typedef struct racer {
    pthread_t thread;
    int kind;
    aegis_budget *budget;
    /* The arena that all threads share, if it is a shared one. */
    const subject *all;
    size_t served_bytes;
} racer;

/* Allocates until the budget has refused a few times. */
static void *race(void *context) {
    racer *r = (racer *)context;
    subject own;
    if (r->kind == ARENA)
        begin(&own, ARENA, r->budget);
    for (size_t refused_count = 0; refused_count < 3;) {
        void *p = r->kind == ARENA    ? aegis_arena_alloc(&own.arena, 32)
                  : r->kind == LOCKED ? aegis_locked_arena_alloc(&r->all->locked, 32, NULL)
                                      : aegis_lock_free_arena_alloc(&r->all->shared, 32, NULL);
        refused_count += p == NULL;
        r->served_bytes += p != NULL ? 32 : 0;
    }
    if (r->kind == ARENA)
        end(&own);
    return NULL;
}

/* Shared arenas of the C heap, which any thread may use. */
static void begin_shared(subject *s, int kind_of, aegis_budget *budget) {
    aegis_arena_options options = {0};
    aegis_lock_free_arena_options shared = {0};
    memset(s, 0, sizeof *s);
    s->kind = kind_of;
    options.budget = shared.budget = budget;
    options.flags = AEGIS_ARENA_NO_DEBUG;
    if (kind_of == LOCKED)
        CHECK(aegis_locked_arena_init(&s->locked, &options, NULL) == AEGIS_OK);
    else if (kind_of == LOCK_FREE)
        CHECK(aegis_lock_free_arena_init(&s->shared, &shared, NULL) == AEGIS_OK);
}

static void threads_that_race_for_what_is_left_all_come_to_an_end(void) {
    for (size_t round = 0; round < scaled(30); round++) {
        for (int k = ARENA; k < LOCAL; k++) {
            const size_t limit_bytes = 200000 + round * 1000;
            aegis_budget *budget = aegis_budget_new("b", limit_bytes, NULL);
            subject all;
            racer racers[THREADS];
            size_t served_bytes = 0;
            begin_shared(&all, k, budget);
            memset(racers, 0, sizeof racers);
            for (size_t i = 0; i < THREADS; i++) {
                racers[i].kind = k;
                racers[i].budget = budget;
                racers[i].all = &all;
                CHECK(pthread_create(&racers[i].thread, NULL, race, &racers[i]) == 0);
            }
            for (size_t i = 0; i < THREADS; i++) {
                CHECK(pthread_join(racers[i].thread, NULL) == 0);
                served_bytes += racers[i].served_bytes;
            }
            CHECK(used(budget) <= limit_bytes && figures_of(budget).peak_bytes <= limit_bytes);
            CHECK(has_gaps() || k == ARENA || served_bytes > limit_bytes / 10 * 9);
            end(&all);
            CHECK_SIZE(used(budget), 0);
            aegis_budget_destroy(budget);
        }
    }
}

int main(void) {
    check_alarm(600);
    RUN(what_is_left_is_taken_in_one_block);
    RUN(the_lowest_limit_on_the_way_to_the_root_counts);
    RUN(the_exact_size_is_the_last_try);
    RUN(a_large_request_takes_only_its_own_size);
    RUN(an_allocation_that_grows_gets_what_is_left);
    RUN(mixed_requests_keep_the_bound_and_acquire_nothing_again);
    RUN(requests_with_own_blocks_have_the_same_success_after_a_reset);
    RUN(threads_that_race_for_what_is_left_all_come_to_an_end);
    return check_finish();
}
