/* SPDX-License-Identifier: Apache-2.0 */
/* Makes every n-th request to the source fail, every n-th allocation of the budget, and every n-th
 * call of the store, for all n, and demands each time that no byte is lost: an oracle knows what
 * every page has, and what must be durable. */
#include "page_cache_support.h"

#define PAGES 24

static aegis_page_cache cache;
static test_disk *disk;
static uint32_t file;
/* The version of each page, and that which the last flush that succeeded has made durable. */
static uint64_t versions[PAGES];
static uint64_t durable_versions[PAGES];
static size_t failure_count;

/* Counts a call that may fail while faults are injected. */
static bool may_fail(aegis_status status, const aegis_page_error *error) {
    if (status == AEGIS_OK)
        return true;
    CHECK(error->status == status);
    failure_count++;
    return false;
}

static void change(uint64_t page, uint32_t mode) {
    aegis_page_pin pin;
    aegis_page_error error;
    if (!may_fail(aegis_page_cache_pin(&cache, file, page, mode, &pin, &error), &error))
        return;
    CHECK(mode == AEGIS_PIN_FRESH ? is_filled(pin.data, 0, PAGE_BYTES)
                                  : page_is(pin.data, page, versions[page]));
    page_fill(pin.data, page, ++versions[page]);
    unpin_page(&cache, &pin, AEGIS_UNPIN_DIRTY);
}

static void look(uint64_t page) {
    aegis_page_pin pin;
    aegis_page_error error;
    if (!may_fail(aegis_page_cache_pin(&cache, file, page, AEGIS_PIN_READ, &pin, &error), &error))
        return;
    CHECK(page_is(pin.data, page, versions[page]));
    unpin_page(&cache, &pin, 0);
}

/* After a good flush all versions up to now are durable. */
static void flush(void) {
    aegis_page_error error;
    if (!may_fail(aegis_page_cache_flush(&cache, file, &error), &error))
        return;
    memcpy(durable_versions, versions, sizeof versions);
    for (uint64_t page = 0; page < PAGES; page++)
        CHECK(page_is(disk->durable[page], page, versions[page]));
}

/* A bit of everything. */
static void work(void) {
    aegis_page_error error;
    size_t count;
    for (uint64_t page = 0; page < PAGES; page++) {
        change(page * 7 % PAGES, page % 5 == 0 ? AEGIS_PIN_FRESH : AEGIS_PIN_WRITE);
        look(page * 5 % PAGES);
    }
    (void)may_fail(aegis_page_cache_clean(&cache, 3, &count, &error), &error);
    (void)may_fail(aegis_page_cache_prefetch(&cache, file, 4, 12, 0, &count, &error), &error);
    flush();
    change(3, AEGIS_PIN_WRITE);
    (void)may_fail(aegis_page_cache_flush_page(&cache, file, 3, &error), &error);
    (void)may_fail(aegis_page_cache_resize(&cache, 16, &error), &error);
    for (uint64_t page = 0; page < PAGES; page += 2)
        change(page, AEGIS_PIN_WRITE);
    (void)may_fail(aegis_page_cache_resize(&cache, 4, &error), &error);
    look(1);
    flush();
}

static void begin(const aegis_source *source) {
    aegis_page_cache_options options = cache_options(8);
    options.max_frame_count = 16;
    options.source = source;
    cache = cache_with(&options);
    disk = disk_new(PAGES);
    file = open_disk(&cache, disk, NULL);
    memset(versions, 0, sizeof versions);
    memset(durable_versions, 0, sizeof durable_versions);
    failure_count = 0;
}

/* Demands that every page has its newest version, in the cache and after its end on the disk. */
static void check_all_and_end(bool faulted) {
    disk->fail_at = 0;
    disk->fail_on = false;
    for (uint64_t page = 0; page < PAGES; page++)
        check_page(&cache, file, page, versions[page]);
    CHECK_SIZE(cache_stats(&cache).pinned_count, 0);
    aegis_page_file_stats stats;
    CHECK(aegis_page_cache_get_file_stats(&cache, file, &stats) == AEGIS_OK);
    if (stats.lost != 0) {
        /* A sync failed after an eviction. It was said, and all is said to be lost until then. */
        CHECK(faulted);
        CHECK(aegis_page_cache_flush(&cache, file, NULL) == AEGIS_E_IO);
        CHECK(aegis_page_cache_close(&cache, file, AEGIS_CLOSE_DISCARD, NULL) == AEGIS_OK);
        end_cache(&cache);
    } else {
        end_cache(&cache);
        for (uint64_t page = 0; page < PAGES; page++)
            CHECK(page_is(disk->durable[page], page, versions[page]));
    }
    disk_free(disk);
}

static void every_call_of_the_store_fails_once(void) {
    size_t lost_count = 0;
    for (size_t n = 1;; n++) {
        begin(NULL);
        disk->fail_at = n;
        disk->tear_writes = n % 2 == 0;
        work();
        bool reached = disk->call_count >= n;
        /* The pages that were durable are so, unless a later version is. */
        for (uint64_t page = 0; page < PAGES; page++) {
            bool right = false;
            for (uint64_t i = durable_versions[page]; i <= versions[page]; i++)
                right = right || page_is(disk->durable[page], page, i) ||
                        (disk->tear_writes && i > durable_versions[page]);
            CHECK(right);
        }
        CHECK(reached || failure_count == 0);
        lost_count += failure_count;
        check_all_and_end(reached);
        if (!reached) {
            CHECK(n > 20);
            break;
        }
    }
    CHECK(lost_count != 0);
}

static void every_call_of_the_store_fails_from_one_on(void) {
    for (size_t n = 1;; n++) {
        begin(NULL);
        disk->fail_at = n;
        disk->fail_on = true;
        disk->tear_writes = n % 2 == 0;
        work();
        bool reached = disk->call_count >= n;
        check_all_and_end(reached);
        if (!reached)
            break;
    }
}

static void every_request_to_the_source_fails_once(void) {
    static test_source state;
    for (size_t n = 1;; n++) {
        aegis_source source = test_source_get(&state, n % 2 == 0);
        aegis_page_cache_options options = cache_options(8);
        aegis_page_error error;
        options.max_frame_count = 16;
        options.source = &source;
        options.error = &error;
        state.fail_at = n;
        aegis_status status = aegis_page_cache_init(&cache, &options);
        if (status != AEGIS_OK) {
            CHECK(status == AEGIS_E_OUT_OF_MEMORY && error.status == status);
            CHECK(cache.shared == NULL);
            CHECK_SIZE(state.close_count, 0);
            test_source_check_done(&state);
            continue;
        }
        aegis_page_cache_abandon(&cache);
        source = test_source_get(&state, n % 2 == 0);
        begin(&source);
        state.fail_at = n;
        work();
        bool reached = state.asked_count >= n;
        check_all_and_end(false);
        test_source_check_done(&state);
        CHECK_SIZE(state.close_count, 1);
        if (!reached) {
            CHECK(n > 8);
            break;
        }
    }
}

/* A budget with room for so many bytes, one step more each time. */
static void every_charge_fails_once(void) {
    size_t made_count = 0;
    for (size_t limit = PAGE_BYTES; made_count < 8; limit += PAGE_BYTES) {
        aegis_budget *budget = aegis_budget_new("b", limit, NULL);
        aegis_page_cache_options options = cache_options(8);
        aegis_page_error error;
        options.max_frame_count = 16;
        options.budget = budget;
        options.error = &error;
        aegis_status status = aegis_page_cache_init(&cache, &options);
        if (status == AEGIS_OK) {
            made_count++;
            disk = disk_new(PAGES);
            file = open_disk(&cache, disk, NULL);
            memset(versions, 0, sizeof versions);
            work();
            check_all_and_end(false);
        } else {
            CHECK(status == AEGIS_E_LIMIT_EXCEEDED && error.status == status);
        }
        aegis_budget_figures figures;
        aegis_budget_get_figures(budget, &figures);
        CHECK_SIZE(figures.used_bytes, 0);
        aegis_budget_destroy(budget);
    }
}

int main(void) {
    check_alarm(120);
    RUN(every_call_of_the_store_fails_once);
    RUN(every_call_of_the_store_fails_from_one_on);
    RUN(every_request_to_the_source_fails_once);
    RUN(every_charge_fails_once);
    return check_finish();
}
