/* SPDX-License-Identifier: Apache-2.0 */
/* Tests how a lock-free pool gives slabs back: which slabs go, that the budget is credited at once,
 * that the pool decays to what it needs, and that trims take nothing from threads that use the pool
 * meanwhile. The slabs of the tests with threads are pages, which are unmapped when they go, so a
 * use of released memory ends the program. AEGIS_TEST_SCALE sets the work. */
#include "trim_support.h"

#define STEP ((size_t)8)

static test_source state;
static aegis_lock_free_pool pool;
static aegis_budget *budget;

/* Makes the pool with a budget of its own. */
static void make_from(const aegis_source *source, size_t block_bytes, size_t step_count,
                      size_t max_count, size_t cache_count) {
    aegis_lock_free_pool_options options =
        lock_free_options(block_bytes, step_count, max_count, cache_count, source);
    budget = aegis_budget_new("pools", SIZE_MAX, NULL);
    options.blocks.budget = budget;
    CHECK(aegis_lock_free_pool_init(&pool, &options) == AEGIS_OK);
}

static void make(size_t max_slab_count, size_t cache_count) {
    aegis_source source = test_source_get(&state, true);
    make_from(&source, 64, STEP, max_slab_count * STEP, cache_count);
}

static void finish(void) {
    CHECK(aegis_lock_free_pool_fini(&pool) == AEGIS_OK);
    CHECK_SIZE(used(budget), 0);
    aegis_budget_destroy(budget);
    test_source_check_done(&state);
}

static size_t slab_count(void) {
    return lock_free_stats(&pool).slab_count;
}

static size_t in_slab(const void *block) {
    size_t index = 0;
    CHECK(aegis_lock_free_pool_index_of(&pool, block, &index) == AEGIS_OK);
    return index / STEP;
}

/* Takes `count` blocks, writes them, and frees those for which `keep` is 0. Returns how many are
 * kept; they are the first of `blocks`. */
static size_t use_blocks(void **blocks, size_t count, size_t keep_each) {
    size_t kept_count = 0;
    CHECK_SIZE(aegis_lock_free_pool_alloc_n(&pool, blocks, count, NULL), count);
    for (size_t i = 0; i < count; i++) {
        memset(blocks[i], 0x5A, 64);
        if (keep_each != 0 && i % keep_each == 0)
            blocks[kept_count++] = blocks[i];
        else
            CHECK(aegis_lock_free_pool_free(&pool, blocks[i]) == AEGIS_OK);
    }
    return kept_count;
}

static void check_budget(void) {
    CHECK_SIZE(used(budget), lock_free_stats(&pool).reserved_bytes);
    CHECK_SIZE(used(budget), state.live_bytes);
}

static void trim_releases_each_slab_without_a_block_out(void) {
    make(8, 0);
    void *blocks[8 * STEP], *again[8 * STEP];
    /* One block of every second slab stays out. */
    size_t kept_count = use_blocks(blocks, 8 * STEP, 2 * STEP);
    CHECK_SIZE(kept_count, 4);
    check_budget();
    aegis_lock_free_pool_trim(&pool, 5 * STEP);
    CHECK_SIZE(slab_count(), 5);
    check_budget();
    aegis_lock_free_pool_trim(&pool, 0);
    CHECK_SIZE(slab_count(), 4);
    CHECK_SIZE(aegis_lock_free_pool_capacity(&pool), 4 * STEP);
    check_budget();
    for (size_t slab = 0; slab < 8; slab++) {
        aegis_pool_slab_info info;
        CHECK(aegis_lock_free_pool_get_slab(&pool, slab, &info) ==
              (slab % 2 == 0 ? AEGIS_OK : AEGIS_E_EXHAUSTED));
        CHECK((aegis_lock_free_pool_address_of(&pool, slab * STEP) == NULL) == (slab % 2 != 0));
    }
    /* The numbers of the slabs that went are used again, and all blocks can be had. */
    CHECK_SIZE(aegis_lock_free_pool_alloc_n(&pool, again, 8 * STEP, NULL), 8 * STEP - 4);
    CHECK_SIZE(slab_count(), 8);
    for (size_t i = 0; i < 8 * STEP - 4; i++) {
        memset(again[i], 1, 64);
        CHECK(aegis_lock_free_pool_owns(&pool, again[i]));
        for (size_t j = 0; j < i; j++)
            CHECK(again[i] != again[j]);
    }
    for (size_t i = 0; i < 4; i++)
        CHECK(is_filled(blocks[i], 0x5A, 64));
    CHECK(aegis_lock_free_pool_free_n(&pool, again, 8 * STEP - 4) == AEGIS_OK);
    CHECK(aegis_lock_free_pool_free_n(&pool, blocks, 4) == AEGIS_OK);
    CHECK_SIZE(lock_free_stats(&pool).peak_in_use, 8 * STEP);
    finish();
}

static void fresh_blocks_of_an_empty_slab_go_with_it(void) {
    make(3, 0);
    void *blocks[3 * STEP];
    for (int round = 0; round < 3; round++) {
        /* Three blocks of the second slab are used, and the others are not. */
        (void)use_blocks(blocks, STEP + 3, 0);
        CHECK_SIZE(slab_count(), 2);
        aegis_lock_free_pool_trim(&pool, 0);
        CHECK_SIZE(slab_count(), 1);
        CHECK_SIZE(lock_free_stats(&pool).peak_in_use, STEP + 3);
    }
    /* A slab that comes anew is clean again. */
    for (size_t i = 0; i < 2 * STEP; i++) {
        blocks[i] = aegis_lock_free_pool_alloc_zeroed(&pool, NULL);
        CHECK(blocks[i] != NULL && is_filled(blocks[i], 0, 64));
    }
    CHECK(aegis_lock_free_pool_free_n(&pool, blocks, 2 * STEP) == AEGIS_OK);
    finish();
}

static void slabs_that_are_not_used_between_two_calls_go(void) {
    make(10, 0);
    void *blocks[10 * STEP];
    (void)use_blocks(blocks, 10 * STEP, 0);
    aegis_lock_free_pool_trim_idle(&pool);
    CHECK_SIZE(slab_count(), 10);
    /* The load shrinks, and each time the pool keeps what was out at a time since the call before.
     */
    static const size_t loads[] = {10, 7, 7, 3, 1, 0};
    size_t needed = 10;
    for (size_t i = 0; i < sizeof loads / sizeof *loads; i++) {
        for (int round = 0; round < 5; round++)
            (void)use_blocks(blocks, loads[i] * STEP, 0);
        aegis_lock_free_pool_trim_idle(&pool);
        needed = loads[i] != 0 ? loads[i] : 1;
        CHECK_SIZE(slab_count(), needed);
        CHECK_SIZE(lock_free_stats(&pool).available, needed * STEP);
        check_budget();
    }
    CHECK_SIZE(lock_free_stats(&pool).peak_in_use, 10 * STEP);
    finish();
}

static void a_block_that_was_out_in_between_keeps_its_slab(void) {
    make(4, 0);
    void *blocks[4 * STEP];
    (void)use_blocks(blocks, 4 * STEP, 0);
    aegis_lock_free_pool_trim_idle(&pool);
    /* The first slab is used up first, so one more block comes from one of the idle slabs. */
    CHECK_SIZE(aegis_lock_free_pool_alloc_n(&pool, blocks, STEP, NULL), STEP);
    void *more = aegis_lock_free_pool_alloc(&pool, NULL);
    size_t slab = in_slab(more);
    CHECK(slab == 1);
    CHECK(aegis_lock_free_pool_free(&pool, more) == AEGIS_OK);
    CHECK(aegis_lock_free_pool_free_n(&pool, blocks, STEP) == AEGIS_OK);
    aegis_lock_free_pool_trim_idle(&pool);
    CHECK_SIZE(slab_count(), 2);
    CHECK(aegis_lock_free_pool_address_of(&pool, slab * STEP) != NULL);
    /* A trim in between does not make the slab look used. */
    aegis_lock_free_pool_trim(&pool, 2 * STEP);
    CHECK_SIZE(slab_count(), 2);
    aegis_lock_free_pool_trim_idle(&pool);
    CHECK_SIZE(slab_count(), 1);
    finish();
}

static void a_slab_in_use_is_used_up_before_an_idle_one(void) {
    make(4, 0);
    void *blocks[4 * STEP];
    (void)use_blocks(blocks, 4 * STEP, 0);
    aegis_lock_free_pool_trim_idle(&pool);
    /* A block of the last slab goes out. The other blocks of that slab were set aside. */
    CHECK_SIZE(aegis_lock_free_pool_alloc_n(&pool, blocks, 3 * STEP + 1, NULL), 3 * STEP + 1);
    void *kept = blocks[3 * STEP];
    CHECK_SIZE(in_slab(kept), 3);
    CHECK(aegis_lock_free_pool_free_n(&pool, blocks, 3 * STEP) == AEGIS_OK);
    aegis_lock_free_pool_trim_idle(&pool);
    CHECK_SIZE(slab_count(), 4);
    CHECK_SIZE(aegis_lock_free_pool_alloc_n(&pool, blocks, 2 * STEP - 1, NULL), 2 * STEP - 1);
    for (size_t i = 0; i < 2 * STEP - 1; i++)
        CHECK(in_slab(blocks[i]) == 0 || in_slab(blocks[i]) == 3);
    aegis_lock_free_pool_trim_idle(&pool);
    CHECK_SIZE(slab_count(), 2);
    CHECK(aegis_lock_free_pool_free_n(&pool, blocks, 2 * STEP - 1) == AEGIS_OK);
    CHECK(aegis_lock_free_pool_free(&pool, kept) == AEGIS_OK);
    finish();
}

/* A source that gives no address twice. */
#define ROUNDS ((size_t)100)
#define MANY ((size_t)12)
#define PLACE_BYTES ((size_t)4096)
#define MAX_GAP ((size_t)8)
static unsigned char *places;
static size_t place_count;
static uint64_t place_seed = 3;

static void *place_acquire(void *context, size_t size_bytes, size_t align_bytes, bool *zeroed) {
    (void)context;
    if (align_bytes != AEGIS_POOL_SLAB_ALIGN)
        return aegis_source_heap().acquire(NULL, size_bytes, align_bytes, zeroed);
    CHECK(size_bytes <= PLACE_BYTES && place_count < ROUNDS * MANY * MAX_GAP);
    /* At random distances, so that slabs meet in the table by which they are found. */
    place_count += 1 + random_below(&place_seed, MAX_GAP);
    return places + place_count * PLACE_BYTES;
}

static void place_release(void *context, void *memory, size_t size_bytes, size_t align_bytes) {
    (void)context;
    if (align_bytes != AEGIS_POOL_SLAB_ALIGN)
        aegis_source_heap().release(NULL, memory, size_bytes, align_bytes);
}

/* One block of each second slab stays out during the trim, so the slabs that stay and those that go
 * share the table by which slabs are found. */
static void slabs_are_found_however_often_they_come_and_go(void) {
    aegis_source source = {place_acquire, place_release, NULL, NULL};
    unsigned char *raw = (unsigned char *)malloc((ROUNDS * MANY + 2) * MAX_GAP * PLACE_BYTES);
    places = raw + ((size_t)(0 - (uintptr_t)raw) & (AEGIS_POOL_SLAB_ALIGN - 1));
    make_from(&source, 64, STEP, MANY * STEP, 0);
    void *blocks[MANY * STEP];
    for (size_t round = 0; round < ROUNDS; round++) {
        void *kept[MANY] = {NULL};
        size_t count = aegis_lock_free_pool_alloc_n(&pool, blocks, MANY * STEP, NULL);
        CHECK_SIZE(count, MANY * STEP);
        for (size_t i = 0; i < count; i++) {
            size_t slab = in_slab(blocks[i]);
            if ((slab + round) % 2 == 0 && kept[slab] == NULL)
                kept[slab] = blocks[i];
            else
                CHECK(aegis_lock_free_pool_free(&pool, blocks[i]) == AEGIS_OK);
        }
        aegis_lock_free_pool_trim(&pool, 0);
        CHECK_SIZE(slab_count(), MANY / 2 + round % 2);
        for (size_t slab = 0; slab < MANY; slab++) {
            if (kept[slab] == NULL)
                continue;
            CHECK_SIZE(in_slab(kept[slab]), slab);
            CHECK(aegis_lock_free_pool_free(&pool, kept[slab]) == AEGIS_OK);
        }
        aegis_lock_free_pool_trim(&pool, 0);
        for (size_t i = MAX_GAP + 1; i <= place_count; i++)
            CHECK(!aegis_lock_free_pool_owns(&pool, places + i * PLACE_BYTES));
    }
    finish();
    free(raw);
}

static void blocks_in_a_cache_keep_their_slabs(void) {
    aegis_pool_cache cache;
    make(40, 1);
    CHECK(aegis_pool_cache_init(&cache, &pool) == AEGIS_OK);
    void *blocks[32 * STEP];
    CHECK_SIZE(aegis_pool_cache_alloc_n(&cache, blocks, 32 * STEP), 32 * STEP);
    for (size_t i = 0; i < 32 * STEP; i++)
        CHECK(aegis_pool_cache_free(&cache, blocks[i]) == AEGIS_OK);
    CHECK(cache.count != 0);
    for (int i = 0; i < 3; i++)
        aegis_lock_free_pool_trim_idle(&pool);
    aegis_lock_free_pool_trim(&pool, 0);
    CHECK(slab_count() > 1 && slab_count() < 32);
    while (cache.count != 0)
        CHECK(aegis_lock_free_pool_owns(&pool, aegis_pool_cache_alloc(&cache)));
    aegis_pool_cache_fini(&cache);
    aegis_lock_free_pool_abandon(&pool);
    aegis_budget_destroy(budget);
    test_source_check_done(&state);
}

/* The threads. */
#define HELD ((size_t)24)
#define MAX_BLOCKS (THREADS * HELD)
#define BLOCK_BYTES ((size_t)1024)

static _Atomic uint32_t owners[MAX_BLOCKS];
static atomic_size_t live_bytes, release_count;

static void *count_acquire(void *context, size_t size_bytes, size_t align_bytes, bool *zeroed) {
    aegis_source *pages = (aegis_source *)context;
    void *memory = pages->acquire(pages->context, size_bytes, align_bytes, zeroed);
    if (memory != NULL)
        atomic_fetch_add(&live_bytes, size_bytes);
    return memory;
}

static void count_release(void *context, void *memory, size_t size_bytes, size_t align_bytes) {
    aegis_source *pages = (aegis_source *)context;
    /* No block of the slab is out: each block that is out has an owner, and says so in its bytes.
     */
    if (align_bytes == AEGIS_POOL_SLAB_ALIGN)
        for (size_t at = 0; at + BLOCK_BYTES <= size_bytes; at += BLOCK_BYTES)
            if (((unsigned char *)memory)[at] != 0)
                atomic_fetch_add(&failure_count, 1);
    atomic_fetch_sub(&live_bytes, size_bytes);
    atomic_fetch_add(&release_count, 1);
    pages->release(pages->context, memory, size_bytes, align_bytes);
}

static void own(const worker *self, void *block) {
    size_t index = 0;
    demand(aegis_lock_free_pool_index_of(&pool, block, &index) == AEGIS_OK);
    demand(aegis_lock_free_pool_address_of(&pool, index) == block);
    own_block(&owners[index], self);
    memset(block, (int)self->number, BLOCK_BYTES);
}

static void disown(const worker *self, void *block) {
    size_t index = 0;
    demand(aegis_lock_free_pool_index_of(&pool, block, &index) == AEGIS_OK);
    demand(is_filled(block, (unsigned char)self->number, BLOCK_BYTES));
    memset(block, 0, BLOCK_BYTES);
    disown_block(&owners[index], self);
}

/* Takes and frees blocks in waves, so that there is something to trim. No request is refused,
 * because the pool may have as many blocks as all threads hold at most. */
static void *work(void *argument) {
    worker *self = (worker *)argument;
    void *held[HELD];
    size_t held_count = 0;
    /* The trimmers may come late: without them the test would show nothing. */
    for (size_t i = 0; i < scaled(30000) || atomic_load(&release_count) == 0; i++) {
        size_t most_count = (i / 512) % 3 == 0 ? HELD : 2;
        if (held_count < most_count && random_below(&self->seed, 3) != 0) {
            size_t want_count = 1 + random_below(&self->seed, most_count - held_count);
            size_t got_count =
                aegis_lock_free_pool_alloc_n(&pool, held + held_count, want_count, NULL);
            demand(got_count == want_count);
            for (size_t j = 0; j < got_count; j++)
                own(self, held[held_count + j]);
            held_count += got_count;
        } else if (held_count != 0) {
            void *block = held[--held_count];
            disown(self, block);
            demand(aegis_lock_free_pool_free(&pool, block) == AEGIS_OK);
        }
    }
    while (held_count != 0) {
        disown(self, held[--held_count]);
        demand(aegis_lock_free_pool_free(&pool, held[held_count]) == AEGIS_OK);
    }
    return NULL;
}

static void *trim_all_the_time(void *argument) {
    worker *self = (worker *)argument;
    while (!atomic_load(&done)) {
        if (random_below(&self->seed, 3) == 0)
            aegis_lock_free_pool_trim_idle(&pool);
        else
            aegis_lock_free_pool_trim(&pool, random_below(&self->seed, 2) * MAX_BLOCKS / 2);
        /* Foreign pointers are never found. */
        demand(!aegis_lock_free_pool_owns(&pool, self));
        demand(aegis_lock_free_pool_free(&pool, self) == AEGIS_E_INVALID);
        pause_trimmer(self, 2000);
    }
    return NULL;
}

static void run_threads(size_t step_count, size_t trimmer_count) {
    aegis_source pages = aegis_source_pages(0);
    aegis_source source = {count_acquire, count_release, NULL, &pages};
    make_from(&source, BLOCK_BYTES, step_count, MAX_BLOCKS, 0);
    atomic_store(&release_count, 0);
    run_workers(work, trim_all_the_time, trimmer_count);
    aegis_lock_free_pool_trim(&pool, 0);
    aegis_pool_stats stats = lock_free_stats(&pool);
    CHECK_SIZE(stats.in_use, 0);
    CHECK_SIZE(stats.slab_count, 1);
    CHECK_SIZE(stats.capacity, step_count);
    CHECK(stats.peak_in_use <= MAX_BLOCKS);
    CHECK_SIZE(used(budget), stats.reserved_bytes);
    CHECK_SIZE(used(budget), atomic_load(&live_bytes));
    /* All blocks can still be had, each once. */
    void *all[MAX_BLOCKS + 1];
    CHECK_SIZE(aegis_lock_free_pool_alloc_n(&pool, all, MAX_BLOCKS + 1, NULL), MAX_BLOCKS);
    for (size_t i = 0; i < MAX_BLOCKS; i++)
        for (size_t j = 0; j < i; j++)
            CHECK(all[i] != all[j]);
    CHECK(aegis_lock_free_pool_free_n(&pool, all, MAX_BLOCKS) == AEGIS_OK);
    finish();
    CHECK_SIZE(atomic_load(&live_bytes), 0);
}

static void threads_lose_nothing_to_trims(void) {
    run_threads(4, 1);
}

static void several_trims_at_a_time_lose_nothing(void) {
    run_threads(1, 2);
}

int main(void) {
    check_alarm(300);
    RUN(trim_releases_each_slab_without_a_block_out);
    RUN(fresh_blocks_of_an_empty_slab_go_with_it);
    RUN(slabs_that_are_not_used_between_two_calls_go);
    RUN(a_block_that_was_out_in_between_keeps_its_slab);
    RUN(a_slab_in_use_is_used_up_before_an_idle_one);
    RUN(slabs_are_found_however_often_they_come_and_go);
    RUN(blocks_in_a_cache_keep_their_slabs);
    RUN(threads_lose_nothing_to_trims);
    RUN(several_trims_at_a_time_lose_nothing);
    return check_finish();
}
