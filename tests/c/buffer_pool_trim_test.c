/* SPDX-License-Identifier: Apache-2.0 */
/* Tests how a buffer pool gives slabs back: cached buffers do not keep their slabs, buffers that
 * are out do, the budget is credited at once, the pool decays to what it needs, and threads that
 * take and release buffers meanwhile lose nothing. AEGIS_TEST_SCALE sets the work. */
#if !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* condition.h */
#endif

#include "buffer_pool_support.h"
#include "trim_support.h"

#include "../../csrc/buffer/pool_state.h"

#define BUFFER_BYTES ((size_t)4096)
#define STEP ((size_t)4)

static aegis_buffer_pool pool_with(const aegis_buffer_class *classes, size_t class_count,
                                   const aegis_source *source, aegis_budget *budget) {
    aegis_buffer_pool pool;
    aegis_buffer_pool_options options = buffer_pool_options(classes, class_count, source);
    options.budget = budget;
    CHECK(aegis_buffer_pool_init(&pool, &options) == AEGIS_OK);
    return pool;
}

/* Takes `count` buffers, writes them, and releases all of them but the first `keep_count`. */
static void use_buffers(const aegis_buffer_pool *pool, aegis_buffer_mut *writers, size_t count,
                        size_t keep_count) {
    CHECK_SIZE(get_writers(pool, writers, count, BUFFER_BYTES, NULL), count);
    for (size_t i = 0; i < count; i++)
        memset(writers[i].data, (int)i + 1, BUFFER_BYTES);
    release_writers(writers + keep_count, count - keep_count);
}

static size_t capacity_of(const aegis_buffer_pool *pool) {
    return buffer_pool_stats(pool).classes[0].capacity;
}

static void cached_buffers_go_and_those_that_are_out_stay(void) {
    test_source *state = (test_source *)calloc(1, sizeof *state);
    aegis_source source = test_source_get(state, true);
    aegis_budget *budget = aegis_budget_new("buffers", SIZE_MAX, NULL);
    aegis_buffer_class only = {BUFFER_BYTES, STEP, 40 * STEP};
    aegis_buffer_pool pool = pool_with(&only, 1, &source, budget);
    size_t first_bytes = used(budget);
    aegis_buffer_mut writers[40 * STEP], kept;
    for (int round = 0; round < 3; round++) {
        use_buffers(&pool, writers, 40 * STEP, 2);
        CHECK_SIZE(capacity_of(&pool), 40 * STEP);
        aegis_buffer_pool_trim(&pool, 30 * STEP);
        CHECK_SIZE(capacity_of(&pool), 30 * STEP);
        aegis_buffer_pool_trim(&pool, 0);
        aegis_buffer_pool_stats stats = buffer_pool_stats(&pool);
        CHECK(stats.classes[0].capacity <= 3 * STEP);
        CHECK_SIZE(stats.classes[0].in_use, 2);
        CHECK_SIZE(stats.classes[0].parked, 0);
        CHECK_SIZE(used(budget), stats.reserved_bytes);
        CHECK_SIZE(used(budget), state->live_bytes);
        CHECK(is_filled(writers[0].data, 1, BUFFER_BYTES));
        CHECK(is_filled(writers[1].data, 2, BUFFER_BYTES));
        release_writers(writers, 2);
        aegis_buffer_pool_trim(&pool, 0);
        CHECK_SIZE(capacity_of(&pool), STEP);
        CHECK_SIZE(used(budget), first_bytes);
    }
    /* The slabs held need not be the first ones. */
    CHECK_SIZE(get_writers(&pool, writers, 40 * STEP, BUFFER_BYTES, NULL), 40 * STEP);
    kept = writers[40 * STEP - 1];
    release_writers(writers, 40 * STEP - 1);
    aegis_buffer_pool_trim(&pool, 0);
    CHECK_SIZE(capacity_of(&pool), 2 * STEP);
    CHECK_SIZE(buffer_pool_stats(&pool).classes[0].in_use, 1);
    release_writers(&kept, 1);
    /* A pool whose handles are given up ends with its last buffer, as without a trim. */
    use_buffers(&pool, writers, 8 * STEP, 1);
    aegis_buffer_pool_trim(&pool, 0);
    kept = writers[0];
    aegis_buffer_pool_release(&pool);
    CHECK_SIZE(state->close_count, 0);
    release_writers(&kept, 1);
    CHECK_SIZE(state->close_count, 1);
    CHECK_SIZE(used(budget), 0);
    aegis_buffer_pool_trim(&pool, 0);
    aegis_buffer_pool_trim_idle(&pool);
    aegis_budget_destroy(budget);
    test_source_check_done(state);
    free(state);
}

/* The addresses of a slab that comes back are others: the source gives back nothing that it has had
 * before. */
static void a_slab_that_comes_back_has_its_new_addresses(void) {
    aegis_buffer_class only = {BUFFER_BYTES, STEP, 8 * STEP};
    aegis_source pages = aegis_source_pages(0);
    aegis_buffer_pool pool = pool_with(&only, 1, &pages, NULL);
    aegis_buffer_mut writers[8 * STEP];
    aegis_iovec places[8 * STEP];
    void *taken[16];
    for (size_t round = 0; round < 16; round++) {
        use_buffers(&pool, writers, 8 * STEP, 8 * STEP);
        CHECK_SIZE(aegis_buffer_pool_iovecs(&pool, places, 8 * STEP), 8 * STEP);
        for (size_t i = 0; i < 8 * STEP; i++) {
            size_t id = SIZE_MAX;
            CHECK(aegis_buffer_pool_id_of(&pool, writers[i].owner, &id) == AEGIS_OK);
            CHECK(places[id].base == writers[i].data && places[id].length == BUFFER_BYTES);
            CHECK(writers[i].owner->base == writers[i].data);
        }
        release_writers(writers, 8 * STEP);
        aegis_buffer_pool_trim(&pool, 0);
        CHECK_SIZE(aegis_buffer_pool_iovecs(&pool, places, 8 * STEP), 8 * STEP);
        for (size_t i = 0; i < 8 * STEP; i++)
            CHECK((places[i].base != NULL) == (i < STEP));
        bool zeroed;
        taken[round] = pages.acquire(pages.context, STEP * BUFFER_BYTES, 4096, &zeroed);
    }
    for (size_t round = 0; round < 16; round++)
        pages.release(pages.context, taken[round], STEP * BUFFER_BYTES, 4096);
    aegis_buffer_pool_release(&pool);
}

static void a_pool_whose_load_shrinks_decays_to_what_it_needs(void) {
    aegis_budget *budget = aegis_budget_new("buffers", SIZE_MAX, NULL);
    aegis_buffer_class classes[2] = {{BUFFER_BYTES, STEP, 64 * STEP},
                                     {4 * BUFFER_BYTES, STEP, 16 * STEP}};
    aegis_buffer_pool pool = pool_with(classes, 2, NULL, budget);
    size_t first_bytes = used(budget);
    aegis_buffer_mut writers[80 * STEP];
    use_buffers(&pool, writers, 80 * STEP, 0);
    CHECK_SIZE(capacity_of(&pool), 64 * STEP);
    aegis_buffer_pool_trim_idle(&pool);
    CHECK_SIZE(capacity_of(&pool), 64 * STEP);
    static const size_t loads[] = {48, 48, 20, 6, 1};
    for (size_t i = 0; i < sizeof loads / sizeof *loads; i++) {
        for (int round = 0; round < 4; round++)
            use_buffers(&pool, writers, loads[i] * STEP, 0);
        aegis_buffer_pool_trim_idle(&pool);
        aegis_buffer_pool_stats stats = buffer_pool_stats(&pool);
        /* What a stripe was filled with counts as used: at most 28 buffers of one thread here. */
        CHECK(stats.classes[0].capacity >= loads[i] * STEP);
        CHECK(stats.classes[0].capacity <= loads[i] * STEP + 28 + STEP);
        CHECK_SIZE(stats.classes[1].capacity, STEP);
        CHECK_SIZE(used(budget), stats.reserved_bytes);
    }
    aegis_buffer_pool_trim_idle(&pool);
    aegis_buffer_pool_trim_idle(&pool);
    CHECK_SIZE(used(budget), first_bytes);
    aegis_buffer_pool_release(&pool);
    aegis_budget_destroy(budget);
}

static void giving_back_stops_when_it_is_enough(void) {
    aegis_budget *budget = aegis_budget_new("buffers", SIZE_MAX, NULL);
    aegis_buffer_class classes[2] = {{BUFFER_BYTES, STEP, 8 * STEP},
                                     {4 * BUFFER_BYTES, STEP, 8 * STEP}};
    aegis_buffer_pool pool = pool_with(classes, 2, NULL, budget);
    aegis_buffer_mut writers[16 * STEP];
    size_t first_bytes = used(budget);
    use_buffers(&pool, writers, 16 * STEP, 0);
    size_t all_bytes = used(budget);
    CHECK_SIZE(aegis_i_buffer_pool_give_back(pool.shared, 0, false), 0);
    CHECK_SIZE(used(budget), all_bytes);
    /* One slab of the larger class is enough for one byte. */
    size_t gone_bytes = aegis_i_buffer_pool_give_back(pool.shared, 1, false);
    CHECK(gone_bytes >= STEP * 4 * BUFFER_BYTES && gone_bytes < 2 * STEP * 4 * BUFFER_BYTES);
    CHECK_SIZE(used(budget), all_bytes - gone_bytes);
    CHECK_SIZE(buffer_pool_stats(&pool).classes[1].capacity, 7 * STEP);
    /* As much as it can. */
    gone_bytes += aegis_i_buffer_pool_give_back(pool.shared, SIZE_MAX, false);
    CHECK_SIZE(gone_bytes, all_bytes - first_bytes);
    CHECK_SIZE(used(budget), first_bytes);
    CHECK_SIZE(aegis_i_buffer_pool_give_back(pool.shared, SIZE_MAX, false), 0);
    aegis_buffer_pool_release(&pool);
    aegis_budget_destroy(budget);
}

/* The threads. */
#define HELD ((size_t)20)
#define MAX_BUFFERS (THREADS * HELD)

static aegis_buffer_pool pool;
static _Atomic uint32_t owners[MAX_BUFFERS];
/* Whether the workers wait for buffers. */
static bool waits;

static bool take(worker *self, aegis_buffer_mut *writer) {
    size_t id = 0;
    aegis_status status =
        waits ? aegis_buffer_pool_get_timeout(&pool, writer, 1, AEGIS_WAIT_FOREVER, NULL)
              : aegis_buffer_pool_get(&pool, writer, 1, NULL);
    demand(status == AEGIS_OK);
    if (status != AEGIS_OK)
        return false;
    demand(aegis_buffer_pool_id_of(&pool, writer->owner, &id) == AEGIS_OK && id < MAX_BUFFERS);
    own_block(&owners[id], self);
    memset(writer->data, (int)self->number, BUFFER_BYTES);
    return true;
}

static void put(const worker *self, aegis_buffer_mut *writer) {
    size_t id = 0;
    demand(aegis_buffer_pool_id_of(&pool, writer->owner, &id) == AEGIS_OK);
    demand(is_filled(writer->data, (unsigned char)self->number, BUFFER_BYTES));
    disown_block(&owners[id], self);
    demand(aegis_buffer_mut_release(writer) == AEGIS_OK);
}

/* Takes and releases buffers in waves. The pool may have as many buffers as all threads hold at
 * most, so no request is refused. */
static void *work(void *argument) {
    worker *self = (worker *)argument;
    aegis_buffer_mut held[HELD];
    size_t held_count = 0;
    for (size_t i = 0; i < scaled(20000); i++) {
        size_t most_count = (i / 512) % 3 == 0 ? HELD : 2;
        if (held_count < most_count && random_below(&self->seed, 3) != 0)
            held_count += take(self, &held[held_count]);
        else if (held_count != 0)
            put(self, &held[--held_count]);
    }
    while (held_count != 0)
        put(self, &held[--held_count]);
    return NULL;
}

static void *trim_all_the_time(void *argument) {
    worker *self = (worker *)argument;
    while (!atomic_load(&done)) {
        if (random_below(&self->seed, 3) == 0)
            aegis_buffer_pool_trim_idle(&pool);
        else
            aegis_buffer_pool_trim(&pool, random_below(&self->seed, 2) * MAX_BUFFERS / 2);
        pause_trimmer(self, 20000);
    }
    return NULL;
}

static void run_threads(size_t step_count, size_t trimmer_count, bool wait) {
    aegis_budget *budget = aegis_budget_new("buffers", SIZE_MAX, NULL);
    aegis_buffer_class only = {BUFFER_BYTES, step_count, MAX_BUFFERS};
    pool = pool_with(&only, 1, NULL, budget);
    size_t first_bytes = used(budget);
    waits = wait;
    run_workers(work, trim_all_the_time, trimmer_count);
    CHECK_SIZE(buffer_pool_stats(&pool).refused_count, 0);
    aegis_buffer_pool_trim(&pool, 0);
    CHECK_SIZE(capacity_of(&pool), step_count);
    CHECK_SIZE(used(budget), first_bytes);
    /* All buffers can still be had, each once. */
    aegis_buffer_mut all[MAX_BUFFERS + 1];
    CHECK_SIZE(get_writers(&pool, all, MAX_BUFFERS + 1, 1, NULL), MAX_BUFFERS);
    for (size_t i = 0; i < MAX_BUFFERS; i++)
        for (size_t j = 0; j < i; j++)
            CHECK(all[i].data != all[j].data && all[i].owner != all[j].owner);
    release_writers(all, MAX_BUFFERS);
    aegis_buffer_pool_release(&pool);
    CHECK_SIZE(used(budget), 0);
    aegis_budget_destroy(budget);
}

static void threads_lose_nothing_to_trims(void) {
    run_threads(4, 1, false);
}

static void several_trims_at_a_time_lose_nothing(void) {
    run_threads(1, 2, false);
}

static void threads_that_may_wait_lose_nothing_to_trims(void) {
    run_threads(2, 1, true);
}

int main(void) {
    check_alarm(300);
    RUN(cached_buffers_go_and_those_that_are_out_stay);
    RUN(a_slab_that_comes_back_has_its_new_addresses);
    RUN(a_pool_whose_load_shrinks_decays_to_what_it_needs);
    RUN(giving_back_stops_when_it_is_enough);
    RUN(threads_lose_nothing_to_trims);
    RUN(several_trims_at_a_time_lose_nothing);
    RUN(threads_that_may_wait_lose_nothing_to_trims);
    return check_finish();
}
