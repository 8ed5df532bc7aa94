/* SPDX-License-Identifier: Apache-2.0 */
/* Tests how much memory the requests to an arena of any form make it reserve. The source counts.
 * What must hold:
 * 1. A request reserves at most 1.1 times its size plus one smallest block, so that a request just
 *    above a growth step does not cost twice its size.
 * 2. A sequence of small requests may get blocks that double beyond this bound, but the arena first
 *    uses up the block before. */
#include "aegis_memory/arena_local.h"
#include "aegis_memory/locked_arena.h"
#include "shared_support.h"

/* One arena of each form. Each form has functions that make, allocate, reset and finish it. */
static aegis_arena plain;
static aegis_locked_arena locked;
static aegis_lock_free_arena lock_free;
static aegis_arena_local local;

/* What a source over the C heap counts. */
static size_t asked_count, live_bytes;

/* The source refuses more than `most_bytes` in all, and blocks above `largest_bytes`. */
static size_t most_bytes = SIZE_MAX, largest_bytes = SIZE_MAX;
/* Unless NULL: the next acquire first calls this, and afterwards the source refuses everything
 * until `refuses` is false again. */
static void *(*nested_alloc)(size_t size_bytes);
static bool refuses;

static void *counted_acquire(void *context, size_t size_bytes, size_t align_bytes, bool *zeroed) {
    (void)context;
    aegis_source heap = aegis_source_heap();
    if (nested_alloc != NULL) {
        void *(*alloc)(size_t) = nested_alloc;
        nested_alloc = NULL;
        for (int i = 0; i < 8; i++)
            CHECK(alloc(300) != NULL);
        refuses = true;
    }
    if (refuses || size_bytes > largest_bytes || size_bytes > most_bytes - live_bytes)
        return NULL;
    asked_count++;
    live_bytes += size_bytes;
    return heap.acquire(heap.context, size_bytes, align_bytes, zeroed);
}

static void counted_release(void *context, void *memory, size_t size_bytes, size_t align_bytes) {
    (void)context;
    aegis_source heap = aegis_source_heap();
    live_bytes -= size_bytes;
    heap.release(heap.context, memory, size_bytes, align_bytes);
}

static const aegis_source counted = {counted_acquire, counted_release, NULL, NULL};

static void plain_init(void) {
    aegis_arena_options options = {0, 0, &counted, NULL, 0, NULL, "plain", 0, 0};
    CHECK(aegis_arena_init(&plain, &options) == AEGIS_OK);
}

static void *plain_alloc(size_t size_bytes) {
    return aegis_arena_alloc(&plain, size_bytes);
}

static void *plain_regrow(void *memory, size_t old_bytes, size_t new_bytes) {
    return aegis_arena_realloc(&plain, memory, old_bytes, new_bytes);
}

static void plain_reset(void) {
    aegis_arena_reset(&plain);
}

static void plain_fini(void) {
    aegis_arena_fini(&plain);
}

/* Allocates in a scope, which acquires the same blocks for its outer arena. */
static aegis_arena_scope scope;

static void scoped_init(void) {
    plain_init();
    aegis_arena_scope_begin(&plain, &scope);
}

static void *scoped_alloc(size_t size_bytes) {
    return aegis_arena_alloc(&scope.arena, size_bytes);
}

static void *scoped_regrow(void *memory, size_t old_bytes, size_t new_bytes) {
    return aegis_arena_realloc(&scope.arena, memory, old_bytes, new_bytes);
}

static void scoped_reset(void) {
    aegis_arena_scope_end(&plain, &scope);
    aegis_arena_scope_begin(&plain, &scope);
}

static void scoped_fini(void) {
    aegis_arena_scope_end(&plain, &scope);
    aegis_arena_fini(&plain);
}

static void locked_init(void) {
    aegis_arena_options options = {0, 0, &counted, NULL, 0, NULL, "locked", 0, 0};
    CHECK(aegis_locked_arena_init(&locked, &options, NULL) == AEGIS_OK);
}

static void *locked_alloc(size_t size_bytes) {
    return aegis_locked_arena_alloc(&locked, size_bytes, NULL);
}

static void *locked_regrow(void *memory, size_t old_bytes, size_t new_bytes) {
    return aegis_locked_arena_realloc_aligned(&locked, memory, old_bytes, new_bytes, 8, NULL);
}

static void locked_reset(void) {
    aegis_locked_arena_reset(&locked);
}

static void locked_fini(void) {
    aegis_locked_arena_fini(&locked);
}

static void lock_free_init(void) {
    lock_free = shared_arena(0, 0, &counted);
}

static void *lock_free_alloc(size_t size_bytes) {
    return aegis_lock_free_arena_alloc(&lock_free, size_bytes, NULL);
}

static void *lock_free_regrow(void *memory, size_t old_bytes, size_t new_bytes) {
    return aegis_lock_free_arena_realloc_aligned(&lock_free, memory, old_bytes, new_bytes, 8, NULL);
}

static void lock_free_reset(void) {
    aegis_lock_free_arena_reset(&lock_free);
}

static void lock_free_fini(void) {
    aegis_lock_free_arena_fini(&lock_free);
}

static void local_init(void) {
    lock_free_init();
    CHECK(aegis_arena_local_init(&local, &lock_free, 0) == AEGIS_OK);
}

static void *local_alloc(size_t size_bytes) {
    return aegis_arena_alloc(&local.arena, size_bytes);
}

static void *local_regrow(void *memory, size_t old_bytes, size_t new_bytes) {
    return aegis_arena_realloc(&local.arena, memory, old_bytes, new_bytes);
}

static void local_reset(void) {
    aegis_arena_local_fini(&local);
    aegis_lock_free_arena_reset(&lock_free);
    CHECK(aegis_arena_local_init(&local, &lock_free, 0) == AEGIS_OK);
}

static void local_fini(void) {
    aegis_arena_local_fini(&local);
    lock_free_fini();
}

typedef struct form {
    const char *name;
    /* The smallest block. A local arena adds the alignment of its shard and one more block
     * header. */
    size_t smallest_bytes;
    void (*init)(void);
    void *(*alloc)(size_t size_bytes);
    void *(*regrow)(void *memory, size_t old_bytes, size_t new_bytes);
    void (*reset)(void);
    void (*fini)(void);
} form;

static const form forms[] = {
    {"Arena", AEGIS_ARENA_MIN_BLOCK, plain_init, plain_alloc, plain_regrow, plain_reset,
     plain_fini},
    {"scope", AEGIS_ARENA_MIN_BLOCK, scoped_init, scoped_alloc, scoped_regrow, scoped_reset,
     scoped_fini},
    {"LockedArena", AEGIS_ARENA_MIN_BLOCK, locked_init, locked_alloc, locked_regrow, locked_reset,
     locked_fini},
    {"LockFreeArena", AEGIS_ARENA_MIN_BLOCK, lock_free_init, lock_free_alloc, lock_free_regrow,
     lock_free_reset, lock_free_fini},
    {"LocalArena", AEGIS_ARENA_MIN_BLOCK + 128, local_init, local_alloc, local_regrow, local_reset,
     local_fini},
};

#define FORMS (sizeof forms / sizeof *forms)
/* Shards double up to this size. */
#define SHARD_DOUBLED_BYTES ((size_t)8192)

/* Orders of requests: L is a request of the tested size, s is one of 10 bytes. */
static const char *const orders[] = {"L", "Ls", "sLs", "LLs", "sLsL", "ssLss"};

static void expect_bound(const form *tested, const char *order, size_t size_bytes) {
    asked_count = 0;
    tested->init();
    size_t bound_bytes = 0;
    for (const char *kind = order; *kind != '\0'; kind++) {
        size_t request_bytes = *kind == 'L' ? size_bytes : 10;
        bound_bytes += request_bytes + request_bytes / 10 + tested->smallest_bytes;
        /* A new shard may be as large as all that the handle has had. */
        if (tested->alloc == local_alloc && *kind == 's')
            bound_bytes += SHARD_DOUBLED_BYTES;
        CHECK(tested->alloc(request_bytes) != NULL);
        if (live_bytes > bound_bytes)
            fprintf(stderr, "    %s: %u bytes in order %s reserve %u\n", tested->name,
                    (unsigned)size_bytes, order, (unsigned)live_bytes);
        CHECK(live_bytes <= bound_bytes);
    }
    /* After a reset the same requests must find memory for all of them. */
    size_t acquired_count = asked_count;
    for (int round = 0; round < 3; round++) {
        tested->reset();
        for (const char *kind = order; *kind != '\0'; kind++)
            CHECK(tested->alloc(*kind == 'L' ? size_bytes : 10) != NULL);
    }
    CHECK_SIZE(asked_count, acquired_count);
    tested->fini();
    CHECK_SIZE(live_bytes, 0);
}

static void request_of_any_size_reserves_little_more_in_any_order(void) {
    static const size_t offsets[] = {0, 1, 8, 40, 48, 100};
    for (size_t f = 0; f < FORMS; f++)
        for (size_t o = 0; o < sizeof orders / sizeof *orders; o++)
            for (size_t size_bytes = 128; size_bytes <= (size_t)8 << 20; size_bytes *= 2)
                for (size_t i = 0; i < sizeof offsets / sizeof *offsets; i++) {
                    expect_bound(&forms[f], orders[o], size_bytes + offsets[i]);
                    expect_bound(&forms[f], orders[o],
                                 size_bytes - (offsets[i] < 60 ? offsets[i] : 60));
                }
}

static void large_requests_reserve_little_more_however_many_there_are(void) {
    for (size_t f = 0; f < FORMS; f++) {
        expect_bound(&forms[f], "LLLLLLLLLLLLLLLLLLLL", (size_t)64 << 10);
        expect_bound(&forms[f], "LsLsLsLsLsLsLsLsLsLs", 300000);
    }
}

/* An allocation that grows by a little at a time must be moved seldom, because the block that it
 * gets has room to grow. The arena is fresh, or its current block is in any state. */
static void what_grows_by_a_little_is_moved_seldom(void) {
    static const size_t steps[] = {2000, 8192, 40000};
    const size_t end_bytes = (size_t)3 << 20;
    for (size_t f = 0; f < FORMS; f++)
        for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
            for (size_t before = 0; before <= 20000; before = before * 3 + 1) {
                forms[f].init();
                for (size_t k = 0; k < before; k++)
                    CHECK(forms[f].alloc(64) != NULL);
                size_t reserved_bytes = live_bytes, moved_bytes = 0, size_bytes = steps[i];
                void *p = forms[f].alloc(size_bytes);
                for (; size_bytes < end_bytes; size_bytes += steps[i]) {
                    void *q = forms[f].regrow(p, size_bytes, size_bytes + steps[i]);
                    CHECK(q != NULL);
                    moved_bytes += q != p ? size_bytes : 0;
                    p = q;
                }
                CHECK(moved_bytes <= 4 * end_bytes);
                CHECK(live_bytes - reserved_bytes <= 6 * end_bytes);
                forms[f].fini();
            }
}

/* Each cycle makes one request of about the same size, and the source refuses above a limit. Idle
 * blocks must serve the requests. */
static void idle_memory_is_used_before_a_request_is_refused(void) {
    for (size_t f = 0; f < FORMS; f++) {
        most_bytes = 100000;
        forms[f].init();
        for (size_t k = 0; k < 300; k++) {
            CHECK(forms[f].alloc(20000 - 16 * k) != NULL);
            forms[f].reset();
        }
        forms[f].fini();
        most_bytes = SIZE_MAX;
    }
}

/* The same work as before a reset must acquire nothing, whatever the sizes are and whichever blocks
 * the source refuses. (Where the source refuses shards, a local arena uses whatever else it is
 * given.) */
static void same_work_acquires_nothing(void) {
    uint64_t random = 42;
    for (size_t f = 0; f < FORMS; f++)
        for (int k = 0; k < 200; k++) {
            size_t sizes[30], magnitude = 1 + random_below(&random, 17);
            for (size_t i = 0; i < 30; i++)
                sizes[i] = 1 + random_below(&random, (size_t)1 << magnitude);
            if (k % 2 != 0 && forms[f].init != local_init)
                largest_bytes = ((size_t)1 << magnitude) + 300;
            forms[f].init();
            asked_count = 0;
            for (int round = 0; round < 4; round++) {
                for (size_t i = 0; i < 30; i++)
                    CHECK(forms[f].alloc(sizes[i]) != NULL);
                forms[f].reset();
                asked_count = round == 0 ? 0 : asked_count;
            }
            CHECK_SIZE(asked_count, 0);
            forms[f].fini();
            largest_bytes = SIZE_MAX;
        }
}

/* A source allocates from the arena that asks it, and then refuses. The block that the nested
 * request brought must serve the outer one. */
static void request_is_served_by_what_came_while_the_source_refused(void) {
    for (size_t f = 0; f < FORMS; f++) {
        if (forms[f].init == local_init)
            continue;
        forms[f].init();
        CHECK(forms[f].alloc(900) != NULL);
        nested_alloc = forms[f].alloc;
        CHECK(forms[f].alloc(2000) != NULL);
        CHECK(nested_alloc == NULL);
        refuses = false;
        forms[f].fini();
    }
}

/* Many requests of one size must share blocks, so that the arena asks the source seldom. */
static void many_requests_of_a_size_share_blocks(void) {
    static const size_t sizes[] = {500, 1000, 1100, 4096, 5000, 30000, 60000};
    for (size_t f = 0; f < FORMS; f++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            asked_count = 0;
            forms[f].init();
            for (int k = 0; k < 1000; k++)
                CHECK(forms[f].alloc(sizes[i]) != NULL);
            size_t used_bytes = 1000 * (sizes[i] + 50);
            CHECK(live_bytes <= 2 * used_bytes + used_bytes / 4);
            CHECK(asked_count <= 40);
            forms[f].fini();
            CHECK_SIZE(live_bytes, 0);
        }
}

/* Large requests share blocks too, if that adds little to what is reserved. */
static void many_large_requests_share_blocks(void) {
    static const size_t sizes[] = {66000, 100000, 200000, 500000};
    for (size_t f = 0; f < FORMS; f++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            /* With 32-bit addresses the chain of a lock-free arena holds smaller requests only. */
            bool is_lock_free = forms[f].init == lock_free_init || forms[f].init == local_init;
            if (is_lock_free && sizes[i] > SIZE_MAX >> 15)
                continue;
            asked_count = 0;
            forms[f].init();
            for (int k = 0; k < 1000; k++)
                CHECK(forms[f].alloc(sizes[i]) != NULL);
            CHECK(live_bytes <= 1000 * sizes[i] + 1000 * sizes[i] / 5);
            CHECK(asked_count <= 300);
            forms[f].fini();
        }
}

int main(void) {
    RUN(request_of_any_size_reserves_little_more_in_any_order);
    RUN(large_requests_reserve_little_more_however_many_there_are);
    RUN(what_grows_by_a_little_is_moved_seldom);
    RUN(idle_memory_is_used_before_a_request_is_refused);
    RUN(same_work_acquires_nothing);
    RUN(request_is_served_by_what_came_while_the_source_refused);
    RUN(many_requests_of_a_size_share_blocks);
    RUN(many_large_requests_share_blocks);
    return check_finish();
}
