/* SPDX-License-Identifier: Apache-2.0 */
/* Tests a page cache that becomes larger and smaller, by a call and for its budget. */
#include "page_cache_support.h"

static aegis_page_cache cache;
static test_disk *disk;
static uint32_t file;

static void begin_with(const aegis_page_cache_options *options) {
    cache = cache_with(options);
    disk = disk_new(DISK_PAGES);
    file = open_disk(&cache, disk, NULL);
}

static void begin(size_t frame_count, size_t max_frame_count) {
    aegis_page_cache_options options = cache_options(frame_count);
    options.max_frame_count = max_frame_count;
    begin_with(&options);
}

static void end(void) {
    CHECK_SIZE(cache_stats(&cache).pinned_count, 0);
    end_cache(&cache);
    disk_free(disk);
}

/* The number of frames fits the slabs that there are, and each frame is somewhere. */
static void check_frames(size_t frame_count) {
    aegis_page_cache_stats stats = cache_stats(&cache);
    aegis_page_slab slab;
    aegis_status status;
    size_t found = 0;
    CHECK_SIZE(stats.frame_count, frame_count);
    CHECK_SIZE(stats.resident_count + stats.free_count, frame_count);
    for (size_t i = 0; (status = aegis_page_cache_get_slab(&cache, i, &slab)) != AEGIS_E_INVALID;
         i++) {
        CHECK(status == AEGIS_OK || (status == AEGIS_E_EXHAUSTED && slab.base == NULL));
        found += slab.frame_count;
        CHECK(slab.base == NULL || is_aligned(slab.base, PAGE_BYTES));
    }
    CHECK_SIZE(found, frame_count);
}

static void a_resize_keeps_what_the_pages_have(void) {
    begin(16, 64);
    uint64_t version = 1;
    static const size_t sizes[] = {64, 16, 24, 2, 64, 1, 33, 16};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++, version++) {
        for (uint64_t page = 0; page < 48; page++) {
            if (version > 1)
                check_page(&cache, file, page, version - 1);
            change_page(&cache, file, page, version, 0);
        }
        CHECK(aegis_page_cache_resize(&cache, sizes[i], NULL) == AEGIS_OK);
        size_t frames = cache_stats(&cache).frame_count;
        CHECK(frames >= sizes[i] && frames < sizes[i] + 2);
        CHECK_SIZE(cache_stats(&cache).target_frame_count, frames);
        check_frames(frames);
    }
    for (uint64_t page = 0; page < 48; page++)
        check_page(&cache, file, page, version - 1);
    CHECK(aegis_page_cache_flush(&cache, file, NULL) == AEGIS_OK);
    for (uint64_t page = 0; page < 48; page++)
        CHECK(page_is(disk->durable[page], page, version - 1));
    end();
}

static void a_slab_with_a_pinned_page_stays(void) {
    begin(16, 0);
    aegis_page_pin pins[16];
    for (uint64_t i = 0; i < 16; i++)
        pins[i] = pin_page(&cache, file, i, i % 2 == 0 ? AEGIS_PIN_READ : AEGIS_PIN_WRITE);
    CHECK_ERROR(aegis_page_cache_resize(&cache, 4, error), AEGIS_E_BUSY, AEGIS_PAGE_PINNED,
                "pages are pinned");
    check_frames(16);
    for (uint64_t i = 4; i < 16; i++)
        unpin_page(&cache, &pins[i], 0);
    aegis_status status = aegis_page_cache_resize(&cache, 4, NULL);
    CHECK(status == AEGIS_OK || status == AEGIS_E_BUSY);
    CHECK(cache_stats(&cache).frame_count <= 10);
    check_frames(cache_stats(&cache).frame_count);
    for (uint64_t i = 0; i < 4; i++) {
        CHECK(page_is(pins[i].data, i, 0));
        unpin_page(&cache, &pins[i], 0);
    }
    CHECK(aegis_page_cache_resize(&cache, 2, NULL) == AEGIS_OK);
    check_frames(2);
    CHECK(aegis_page_cache_resize(&cache, 16, NULL) == AEGIS_OK);
    check_frames(16);
    end();
}

static void a_resize_that_cannot_write_loses_nothing(void) {
    begin(16, 0);
    for (uint64_t page = 0; page < 16; page++)
        change_page(&cache, file, page, 1, 0);
    disk->fail_writes = true;
    CHECK_ERROR(aegis_page_cache_resize(&cache, 2, error), AEGIS_E_IO, AEGIS_PAGE_WRITE,
                "stays dirty");
    check_frames(16);
    CHECK_SIZE(cache_stats(&cache).dirty_count, 16);
    for (uint64_t page = 0; page < 16; page++)
        check_page(&cache, file, page, 1);
    CHECK_SIZE(disk->read_count, 16);
    disk->fail_writes = false;
    CHECK(aegis_page_cache_resize(&cache, 2, NULL) == AEGIS_OK);
    for (uint64_t page = 0; page < 16; page++)
        check_page(&cache, file, page, 1);
    end();
}

static void a_source_that_refuses_leaves_the_size(void) {
    static test_source state;
    aegis_source source = test_source_get(&state, false);
    aegis_page_cache_options options = cache_options(8);
    options.max_frame_count = 64;
    options.source = &source;
    begin_with(&options);
    check_page(&cache, file, 3, 0);
    state.fail_at = state.asked_count + 3;
    state.fail_on = true;
    CHECK_ERROR(aegis_page_cache_resize(&cache, 32, error), AEGIS_E_OUT_OF_MEMORY, AEGIS_PAGE_NONE,
                "");
    check_frames(10);
    CHECK_SIZE(cache_stats(&cache).target_frame_count, 10);
    check_page(&cache, file, 3, 0);
    end();
    test_source_check_done(&state);
    CHECK_SIZE(state.close_count, 1);
}

static void *resize_down(void *unused) {
    CHECK(aegis_page_cache_resize(&cache, 4, NULL) == AEGIS_OK);
    return unused;
}

static void two_resizes_do_not_run_at_the_same_time(void) {
    begin(16, 0);
    for (uint64_t page = 0; page < 16; page++)
        change_page(&cache, file, page, 1, 0);
    disk_set(disk, &disk->hold_writes, true);
    pthread_t other = start(resize_down, NULL);
    disk_await_held(disk, 1);
    CHECK_ERROR(aegis_page_cache_resize(&cache, 8, error), AEGIS_E_BUSY, AEGIS_PAGE_RESIZING,
                "another call is changing the number of frames");
    disk_set(disk, &disk->hold_writes, false);
    join(other);
    check_frames(4);
    end();
}

/* -- the budget -- */

/* What has the limit, and beneath it what is charged for the cache and for others. */
static aegis_budget *budget;
static aegis_budget *own;
static aegis_budget *others;

static size_t used_bytes(void) {
    aegis_budget_figures figures;
    aegis_budget_get_figures(budget, &figures);
    return figures.used_bytes;
}

/* The bytes of 8 frames, which are a slab of 64 frames. Sanitizers have bytes between them. */
static size_t slab_bytes(void) {
    aegis_page_slab slab;
    CHECK(aegis_page_cache_get_slab(&cache, 1, &slab) == AEGIS_OK);
    CHECK_SIZE(slab.frame_count, 8);
    return slab.size_bytes;
}

static void begin_reclaimable(size_t frame_count, size_t min_frame_count) {
    aegis_page_cache_options options = cache_options(frame_count);
    budget = aegis_budget_new("b", AEGIS_BUDGET_UNLIMITED, NULL);
    own = aegis_budget_new("own", AEGIS_BUDGET_UNLIMITED, budget);
    others = aegis_budget_new("others", AEGIS_BUDGET_UNLIMITED, budget);
    options.budget = own;
    options.min_frame_count = min_frame_count;
    options.flags = AEGIS_PAGE_CACHE_RECLAIMABLE;
    begin_with(&options);
}

static void end_reclaimable(void) {
    end();
    CHECK_SIZE(used_bytes(), 0);
    aegis_budget_destroy(own);
    aegis_budget_destroy(others);
    aegis_budget_destroy(budget);
}

static void the_budget_gets_frames_down_to_the_minimum(void) {
    begin_reclaimable(64, 16);
    for (uint64_t page = 0; page < 64; page++)
        change_page(&cache, file, page, 1, 0);
    aegis_budget_set_limit(budget, used_bytes());
    size_t step_bytes = slab_bytes();
    CHECK(aegis_budget_charge(others, step_bytes, NULL) == AEGIS_OK);
    check_frames(56);
    CHECK_SIZE(cache_stats(&cache).reclaimed_frame_count, 8);
    CHECK(aegis_budget_charge(others, 5 * step_bytes, NULL) == AEGIS_OK);
    check_frames(16);
    CHECK(aegis_budget_charge(others, PAGE_BYTES, NULL) == AEGIS_E_LIMIT_EXCEEDED);
    check_frames(16);
    for (uint64_t page = 0; page < 64; page++)
        check_page(&cache, file, page, 1);
    /* It grows again when there is room. */
    CHECK(aegis_budget_uncharge(others, 6 * step_bytes) == AEGIS_OK);
    for (int round = 0; round < 20; round++)
        for (uint64_t page = 0; page < 64; page++)
            check_page(&cache, file, page, 1);
    check_frames(64);
    CHECK_SIZE(cache_stats(&cache).regrown_frame_count, 48);
    end_reclaimable();
}

static void clean_frames_are_given_before_dirty_ones(void) {
    begin_reclaimable(64, 8);
    for (uint64_t page = 0; page < 32; page++)
        check_page(&cache, file, page, 0);
    for (uint64_t page = 32; page < 64; page++)
        change_page(&cache, file, page, 1, 0);
    aegis_budget_set_limit(budget, used_bytes());
    size_t bytes = 3 * slab_bytes();
    CHECK(aegis_budget_charge(others, bytes, NULL) == AEGIS_OK);
    CHECK_SIZE(disk->write_count, 0);
    CHECK_SIZE(cache_stats(&cache).dirty_count, 32);
    CHECK(aegis_budget_uncharge(others, bytes) == AEGIS_OK);
    end_reclaimable();
}

static void pinned_frames_are_not_given(void) {
    begin_reclaimable(64, 8);
    aegis_page_pin pins[64];
    for (uint64_t page = 0; page < 64; page++)
        pins[page] = pin_page(&cache, file, page, AEGIS_PIN_READ);
    aegis_budget_set_limit(budget, used_bytes());
    CHECK(aegis_budget_charge(others, PAGE_BYTES, NULL) == AEGIS_E_LIMIT_EXCEEDED);
    check_frames(64);
    for (uint64_t page = 0; page < 64; page++) {
        CHECK(page_is(pins[page].data, page, 0));
        unpin_page(&cache, &pins[page], 0);
    }
    CHECK(aegis_budget_charge(others, PAGE_BYTES, NULL) == AEGIS_OK);
    CHECK(aegis_budget_uncharge(others, PAGE_BYTES) == AEGIS_OK);
    end_reclaimable();
}

/* Dirty pages that cannot be written are kept when the budget asks for them. */
static void pages_that_cannot_be_written_are_not_given(void) {
    begin_reclaimable(64, 8);
    for (uint64_t page = 0; page < 64; page++)
        change_page(&cache, file, page, 1, 0);
    aegis_budget_set_limit(budget, used_bytes());
    disk->fail_writes = true;
    CHECK(aegis_budget_charge(others, PAGE_BYTES, NULL) == AEGIS_E_LIMIT_EXCEEDED);
    disk->fail_writes = false;
    for (uint64_t page = 0; page < 64; page++)
        check_page(&cache, file, page, 1);
    CHECK_SIZE(disk->read_count, 64);
    end_reclaimable();
}

static void *wait_for_room(void *unused) {
    if (aegis_budget_charge_timeout(others, PAGE_BYTES, 20000 * MS, NULL) == AEGIS_OK)
        CHECK(aegis_budget_uncharge(others, PAGE_BYTES) == AEGIS_OK);
    return unused;
}

/* A request waits at the budget when the cache ends, and buffers are released after that. */
static void buffers_may_end_after_a_cache_that_the_budget_waits_for(void) {
    begin_reclaimable(64, 8);
    aegis_buffer buffers[64];
    for (uint64_t page = 0; page < 64; page++) {
        aegis_page_pin pin = pin_page(&cache, file, page, AEGIS_PIN_READ);
        CHECK(aegis_page_cache_into_buffer(&cache, &pin, &buffers[page], NULL) == AEGIS_OK);
    }
    aegis_budget_set_limit(budget, used_bytes());
    pthread_t thread = start(wait_for_room, NULL);
    /* The first word of the shared state says that somebody waits for frames. */
    while (atomic_load((_Atomic uint32_t *)(void *)cache.shared) == 0)
        sched_yield();
    end_cache(&cache);
    for (size_t i = 0; i < 64; i++)
        CHECK(aegis_buffer_release(&buffers[i]) == AEGIS_OK);
    join(thread);
    disk_free(disk);
    CHECK_SIZE(used_bytes(), 0);
    aegis_budget_destroy(own);
    aegis_budget_destroy(others);
    aegis_budget_destroy(budget);
}

/* As many pages as there are chains, at any usual distance, have almost all a chain for themselves.
 */
static void neighbours_have_chains_of_their_own(void) {
    static const size_t sizes[] = {1, 2, 3, 8, 100, 1000, 4096};
    static const uint64_t steps[] = {1, 2, 64, 1000, 1024, UINT64_C(1) << 20};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        cache = cache_of(sizes[i]);
        uint32_t count = cache.chain_count;
        CHECK(count >= 1 && count <= cache_stats(&cache).max_frame_count);
        unsigned *pages = (unsigned *)calloc(count, sizeof *pages);
        CHECK(pages != NULL);
        for (size_t step = 0; step < sizeof steps / sizeof *steps; step++) {
            unsigned shared_count = 0;
            memset(pages, 0, count * sizeof *pages);
            for (uint64_t page = 0; page < count; page++) {
                uint64_t key = page * steps[step] + (UINT64_C(1) << 16 << 40) + (1 << 16);
                uint64_t chain = ((key * cache.chain_factor >> 32) * count) >> 32;
                CHECK(chain < count);
                shared_count += pages[chain]++ != 0;
            }
            /* At the ends, because the fraction is rounded. */
            CHECK(shared_count <= 3);
        }
        free(pages);
        end_cache(&cache);
    }
}

int main(void) {
    check_alarm(120);
    RUN(neighbours_have_chains_of_their_own);
    RUN(a_resize_keeps_what_the_pages_have);
    RUN(a_slab_with_a_pinned_page_stays);
    RUN(a_resize_that_cannot_write_loses_nothing);
    RUN(a_source_that_refuses_leaves_the_size);
    RUN(two_resizes_do_not_run_at_the_same_time);
    RUN(the_budget_gets_frames_down_to_the_minimum);
    RUN(clean_frames_are_given_before_dirty_ones);
    RUN(pinned_frames_are_not_given);
    RUN(pages_that_cannot_be_written_are_not_given);
    RUN(buffers_may_end_after_a_cache_that_the_budget_waits_for);
    return check_finish();
}
