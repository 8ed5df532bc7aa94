/* SPDX-License-Identifier: Apache-2.0 */
/* Tests sources that do not align their memory as asked. Each object must refuse such memory, say
 * so in its error, give the memory back, and be as it was before. */
#include "support.h"

#define BAD_BLOCKS 64

/* A source that gives aligned memory until the `bad_from`-th acquire, counted from 1. From there on
 * its memory lies `off_bytes` beside the alignment. If `bad_from` is 0, all memory is aligned. */
typedef struct bad_source {
    size_t off_bytes;
    size_t bad_from;
    size_t acquire_count;
    size_t bad_count;
    size_t live_count;
    size_t wrong_count;
    struct {
        void *raw;
        void *memory;
        size_t size_bytes;
        size_t align_bytes;
    } blocks[BAD_BLOCKS];
} bad_source;

static bad_source state;

static void *bad_acquire(void *context, size_t size_bytes, size_t align_bytes, bool *zeroed) {
    bad_source *source = (bad_source *)context;
    (void)zeroed;
    source->acquire_count++;
    if (source->live_count == BAD_BLOCKS)
        return NULL;
    unsigned char *raw = (unsigned char *)malloc(size_bytes + 2 * align_bytes);
    if (raw == NULL)
        return NULL;
    unsigned char *memory = raw + ((size_t)(0 - (uintptr_t)raw) & (align_bytes - 1));
    if (source->bad_from != 0 && source->acquire_count >= source->bad_from) {
        memory += source->off_bytes & (align_bytes - 1);
        source->bad_count++;
    }
    source->blocks[source->live_count].raw = raw;
    source->blocks[source->live_count].memory = memory;
    source->blocks[source->live_count].size_bytes = size_bytes;
    source->blocks[source->live_count++].align_bytes = align_bytes;
    return memory;
}

static void bad_release(void *context, void *memory, size_t size_bytes, size_t align_bytes) {
    bad_source *source = (bad_source *)context;
    for (size_t i = 0; i < source->live_count; i++) {
        if (source->blocks[i].memory != memory)
            continue;
        source->wrong_count += source->blocks[i].size_bytes != size_bytes ||
                               source->blocks[i].align_bytes != align_bytes;
        free(source->blocks[i].raw);
        source->blocks[i] = source->blocks[--source->live_count];
        return;
    }
    source->wrong_count++;
}

static aegis_source get_source(size_t off_bytes, size_t bad_from) {
    aegis_source source = {bad_acquire, bad_release, NULL, &state};
    memset(&state, 0, sizeof state);
    state.off_bytes = off_bytes;
    state.bad_from = bad_from;
    return source;
}

static aegis_budget *budget;

static size_t charged(void) {
    aegis_budget_figures figures;
    aegis_budget_get_figures(budget, &figures);
    return figures.used_bytes;
}

static void check_error(const aegis_error *error, size_t size_bytes) {
    CHECK(error->status == AEGIS_E_SOURCE && error->refused == NULL);
    CHECK(size_bytes == 0 || error->requested_bytes == size_bytes);
}

static void check_done(void) {
    CHECK_SIZE(state.live_count, 0);
    CHECK_SIZE(state.wrong_count, 0);
    CHECK_SIZE(charged(), 0);
}

static const size_t offs[] = {1, 4, 8, 15};
#define OFFS (sizeof offs / sizeof offs[0])

static void arena_refuses_a_misaligned_block(void) {
    for (size_t i = 0; i < OFFS; i++) {
        for (int own = 0; own < 2; own++) {
            aegis_source source = get_source(offs[i], 2);
            aegis_arena_options options = test_options(100, 0, &source, NULL, 0);
            options.flags = own != 0 ? AEGIS_ARENA_OWN_BLOCKS : 0;
            options.budget = budget;
            aegis_arena arena;
            CHECK(aegis_arena_init(&arena, &options) == AEGIS_OK);
            aegis_arena before;
            memcpy(&before, &arena, sizeof before);
            size_t before_bytes = charged();
            CHECK(aegis_arena_alloc(&arena, 5000) == NULL);
            aegis_error error = error_of(&arena);
            check_error(&error, 5000);
            CHECK(is_same_state(&before, &arena));
            /* The arena asked only once: a smaller block would be no better. */
            CHECK_SIZE(state.bad_count, 1);
            CHECK_SIZE(state.live_count, 1);
            CHECK_SIZE(charged(), before_bytes);
            char text[200];
            (void)aegis_arena_explain(&arena, text, sizeof text);
            CHECK(strstr(text, aegis_status_message(AEGIS_E_SOURCE)) == text);
            CHECK(aegis_arena_defer(&arena, free, NULL) == (own != 0 ? AEGIS_E_SOURCE : AEGIS_OK));
            /* Once the source aligns its memory again, the arena works again. */
            state.bad_from = 0;
            CHECK(aegis_arena_alloc(&arena, 5000) != NULL);
            aegis_arena_fini(&arena);
            check_done();

            source = get_source(offs[i], 1);
            CHECK(aegis_arena_init(&arena, &options) == AEGIS_E_SOURCE);
            error = error_of(&arena);
            check_error(&error, 100);
            check_done();
        }
    }
}

static void every_alignment_is_kept_or_refused(void) {
    aegis_source source = get_source(8, 1);
    aegis_arena_options options = test_options(0, 0, &source, NULL, 0);
    aegis_arena arena;
    CHECK(aegis_arena_init(&arena, &options) == AEGIS_OK);
    for (size_t i = 0; i < 100; i++) {
        /* Every second acquire is bad. What the arena hands out in between must be aligned. */
        state.bad_from = i % 2;
        size_t align = (size_t)16 << (i % 9);
        void *p = aegis_arena_alloc_aligned(&arena, 100 + i * 50, align);
        CHECK(p == NULL || is_aligned(p, align));
    }
    CHECK(state.bad_count != 0);
    aegis_arena_fini(&arena);
    check_done();
}

static void lock_free_arena_refuses_a_misaligned_block(void) {
    for (size_t i = 0; i < OFFS; i++) {
        aegis_source source = get_source(offs[i], 2);
        aegis_lock_free_arena_options options = {100, 2048, &source, budget, NULL, 0};
        aegis_lock_free_arena arena;
        aegis_error error;
        CHECK(aegis_lock_free_arena_init(&arena, &options, NULL) == AEGIS_OK);
        size_t before_bytes = charged();
        /* The block is for a growth step, for one large request, for an alignment, or for a
         * handle. */
        CHECK(aegis_lock_free_arena_alloc(&arena, 300, &error) == NULL);
        check_error(&error, 300);
        CHECK_SIZE(state.bad_count, 1);
        CHECK(aegis_lock_free_arena_alloc(&arena, 50000, &error) == NULL);
        check_error(&error, 50000);
        CHECK(aegis_lock_free_arena_alloc_aligned_zeroed(&arena, 400, 256, &error) == NULL);
        check_error(&error, 400);
        aegis_arena_local local;
        CHECK(aegis_arena_local_init(&local, &arena, AEGIS_ARENA_NO_DEBUG) == AEGIS_OK);
        CHECK(aegis_arena_alloc(&local.arena, 3000) == NULL);
        error = error_of(&local.arena);
        check_error(&error, 3000);
        CHECK_SIZE(charged(), before_bytes);
        CHECK_SIZE(state.live_count, 1);
        state.bad_from = 0;
        CHECK(aegis_arena_alloc(&local.arena, 3000) != NULL);
        CHECK(aegis_lock_free_arena_alloc(&arena, 50000, NULL) != NULL);
        aegis_arena_local_fini(&local);
        aegis_lock_free_arena_fini(&arena);
        check_done();

        source = get_source(offs[i], 1);
        CHECK(aegis_lock_free_arena_init(&arena, &options, &error) == AEGIS_E_SOURCE);
        check_error(&error, 100);
        check_done();
    }
}

static void locked_arena_and_recycler_pass_the_reason_on(void) {
    aegis_source source = get_source(8, 1);
    aegis_arena_options options = test_options(0, 0, &source, NULL, 0);
    options.budget = budget;
    aegis_error error;
    aegis_locked_arena locked;
    CHECK(aegis_locked_arena_init(&locked, &options, NULL) == AEGIS_OK);
    CHECK(aegis_locked_arena_alloc(&locked, 70, &error) == NULL);
    check_error(&error, 70);
    CHECK(aegis_locked_arena_defer(&locked, free, NULL, &error) == AEGIS_E_SOURCE);
    check_error(&error, 0);
    aegis_locked_arena_fini(&locked);
    check_done();

    options.capacity_bytes = 100;
    CHECK(aegis_locked_arena_init(&locked, &options, &error) == AEGIS_E_SOURCE);
    check_error(&error, 100);
    aegis_arena_recycler recycler;
    aegis_arena_recycler_options recycled;
    memset(&recycled, 0, sizeof recycled);
    recycled.arena = options;
    aegis_arena arena;
    CHECK(aegis_arena_recycler_init(&recycler, &recycled) == AEGIS_OK);
    CHECK(aegis_arena_recycler_get(&recycler, &arena, &error) == AEGIS_E_SOURCE);
    check_error(&error, 100);
    CHECK(aegis_arena_recycler_fini(&recycler) == AEGIS_OK);
    check_done();
}

/* The acquires that the initialisation of a pool makes: the side memory first, then the first
 * slab. */
#define POOL_ACQUIRES 2

static aegis_pool_options pool_options(const aegis_source *source, aegis_error *error) {
    aegis_pool_options options;
    memset(&options, 0, sizeof options);
    options.block_bytes = 64;
    options.align_bytes = 64;
    options.block_count = 7;
    options.max_block_count = 14;
    options.source = source;
    options.budget = budget;
    options.error = error;
    return options;
}

static void pools_refuse_misaligned_memory(void) {
    aegis_error error;
    for (size_t bad_from = 1; bad_from <= POOL_ACQUIRES; bad_from++) {
        aegis_source source = get_source(8, bad_from);
        aegis_pool_options options = pool_options(&source, &error);
        aegis_pool pool;
        CHECK(aegis_pool_init(&pool, &options) == AEGIS_E_SOURCE);
        check_error(&error, 0);
        check_done();
        aegis_lock_free_pool_options shared_options = {options, 0, 0};
        aegis_lock_free_pool shared;
        source = get_source(8, bad_from);
        CHECK(aegis_lock_free_pool_init(&shared, &shared_options) == AEGIS_E_SOURCE);
        check_error(&error, 0);
        check_done();
        aegis_locked_pool locked;
        source = get_source(8, bad_from);
        CHECK(aegis_locked_pool_init(&locked, &options) == AEGIS_E_SOURCE);
        check_error(&error, 0);
        check_done();
    }
}

static void pool_that_grows_refuses_a_misaligned_slab(void) {
    aegis_source source = get_source(16, POOL_ACQUIRES + 1);
    aegis_pool_options options = pool_options(&source, NULL);
    aegis_pool pool;
    CHECK(aegis_pool_init(&pool, &options) == AEGIS_OK);
    size_t before_bytes = charged();
    for (int i = 0; i < 7; i++)
        CHECK(is_aligned(aegis_pool_alloc(&pool), 64));
    CHECK(aegis_pool_alloc(&pool) == NULL);
    aegis_error error;
    aegis_pool_last_error(&pool, &error);
    check_error(&error, 0);
    CHECK_SIZE(charged(), before_bytes);
    CHECK_SIZE(state.live_count, POOL_ACQUIRES);
    state.bad_from = 0;
    CHECK(is_aligned(aegis_pool_alloc(&pool), 64));
    aegis_pool_abandon(&pool);
    check_done();
}

static void buffer_pool_refuses_misaligned_memory(void) {
    for (size_t bad_from = 1; bad_from <= 3; bad_from++) {
        aegis_source source = get_source(512, bad_from);
        aegis_buffer_class of_one = {4096, 4, 0};
        aegis_buffer_pool_options options;
        aegis_error error;
        memset(&options, 0, sizeof options);
        options.classes = &of_one;
        options.class_count = 1;
        options.source = &source;
        options.budget = budget;
        options.error = &error;
        aegis_buffer_pool pool;
        /* The side memory may need a smaller alignment than the distance that the source is off
         * by. */
        aegis_status status = aegis_buffer_pool_init(&pool, &options);
        CHECK(status == AEGIS_OK || status == AEGIS_E_SOURCE);
        CHECK(bad_from != 1 || status == AEGIS_E_SOURCE);
        if (status == AEGIS_OK)
            aegis_buffer_pool_release(&pool);
        else
            check_error(&error, 0);
        check_done();
    }
}

static void heap_source_keeps_every_alignment(void) {
    aegis_source heap = aegis_source_heap();
    void *kept[200];
    for (size_t align = 1; align <= 4096; align *= 2) {
        for (size_t i = 0; i < 200; i++) {
            bool zeroed = false;
            size_t size = 40 + i * 12;
            kept[i] = heap.acquire(heap.context, size, align, &zeroed);
            CHECK(kept[i] != NULL && is_aligned(kept[i], align));
            CHECK(!zeroed || is_filled(kept[i], 0, size));
            memset(kept[i], 0xA5, size);
        }
        for (size_t i = 0; i < 200; i++)
            heap.release(heap.context, kept[i], 40 + i * 12, align);
    }
}

int main(void) {
    budget = aegis_budget_new("test", AEGIS_BUDGET_UNLIMITED, NULL);
    RUN(arena_refuses_a_misaligned_block);
    RUN(every_alignment_is_kept_or_refused);
    RUN(lock_free_arena_refuses_a_misaligned_block);
    RUN(locked_arena_and_recycler_pass_the_reason_on);
    RUN(pools_refuse_misaligned_memory);
    RUN(pool_that_grows_refuses_a_misaligned_slab);
    RUN(buffer_pool_refuses_misaligned_memory);
    RUN(heap_source_keeps_every_alignment);
    aegis_budget_destroy(budget);
    return check_finish();
}
