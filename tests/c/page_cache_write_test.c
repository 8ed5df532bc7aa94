/* SPDX-License-Identifier: Apache-2.0 */
/* Tests writing back: the order and the batches, the write-ahead rule, writes that fail, pages that
 * change while they are written, and the hooks for checksums. */
#include "page_cache_support.h"

#include "aegis_memory/page_checksum.h"

static aegis_page_cache cache;
static test_disk *disk;
static uint32_t file;

static void begin(size_t frame_count, const aegis_page_hooks *hooks) {
    cache = cache_of(frame_count);
    disk = disk_new(DISK_PAGES);
    file = open_disk(&cache, disk, hooks);
}

static void end(void) {
    CHECK_SIZE(cache_stats(&cache).pinned_count, 0);
    end_cache(&cache);
    disk_free(disk);
}

/* Changes pages in an order without order. */
static void change_all(uint64_t count, uint64_t version) {
    for (uint64_t i = 0; i < count; i++)
        change_page(&cache, file, i * 37 % count, version, 0);
}

static void flush_writes_in_page_order_and_in_batches(void) {
    begin(128, NULL);
    change_all(100, 1);
    CHECK_SIZE(disk->write_count, 0);
    CHECK(aegis_page_cache_flush(&cache, file, NULL) == AEGIS_OK);
    CHECK_SIZE(disk->written_page_count, 100);
    CHECK(disk->write_count <= 20);
    uint64_t next = 0;
    for (size_t i = 0; i < disk->write_count; i++) {
        CHECK(disk->batches[i].ascending && disk->batches[i].first_page == next);
        next += disk->batches[i].count;
    }
    for (uint64_t page = 0; page < 100; page++)
        CHECK(page_is(disk->durable[page], page, 1));
    aegis_page_cache_stats stats = cache_stats(&cache);
    CHECK_SIZE(stats.dirty_count, 0);
    CHECK_SIZE(stats.write_batch_count, disk->write_count);
    CHECK_SIZE(stats.write_page_count, 100);
    CHECK_SIZE(stats.sync_count, 1);
    /* Nothing is dirty any more. */
    CHECK(aegis_page_cache_flush(&cache, file, NULL) == AEGIS_OK);
    CHECK_SIZE(disk->written_page_count, 100);
    CHECK_SIZE(disk->sync_count, 2);
    end();
}

static void clean_writes_so_many_and_does_not_sync(void) {
    begin(128, NULL);
    size_t count;
    CHECK(aegis_page_cache_clean(&cache, 10, &count, NULL) == AEGIS_OK);
    CHECK_SIZE(count, 0);
    change_all(50, 1);
    for (size_t left = 50; left > 0; left -= count) {
        CHECK(aegis_page_cache_clean(&cache, 7, &count, NULL) == AEGIS_OK);
        CHECK_SIZE(count, left < 7 ? left : 7);
        CHECK_SIZE(cache_stats(&cache).dirty_count, left - count);
    }
    for (size_t i = 0; i < disk->write_count; i++)
        CHECK(disk->batches[i].ascending);
    CHECK_SIZE(disk->written_page_count, 50);
    CHECK_SIZE(disk->sync_count, 0);
    /* Without waiting for a page that is pinned to be written. */
    change_all(3, 2);
    aegis_page_pin pin = pin_page(&cache, file, 1, AEGIS_PIN_WRITE);
    CHECK(aegis_page_cache_clean(&cache, SIZE_MAX, &count, NULL) == AEGIS_OK);
    CHECK_SIZE(count, 2);
    unpin_page(&cache, &pin, 0);
    /* A page that is pinned to be read is written. */
    pin = pin_page(&cache, file, 1, AEGIS_PIN_READ);
    CHECK(aegis_page_cache_clean(&cache, SIZE_MAX, &count, NULL) == AEGIS_OK);
    CHECK_SIZE(count, 1);
    unpin_page(&cache, &pin, 0);
    end();
}

static void flush_page_writes_one_page(void) {
    begin(16, NULL);
    change_all(4, 1);
    CHECK(aegis_page_cache_flush_page(&cache, file, 2, NULL) == AEGIS_OK);
    CHECK(aegis_page_cache_flush_page(&cache, file, 2, NULL) == AEGIS_OK);
    CHECK(aegis_page_cache_flush_page(&cache, file, 99, NULL) == AEGIS_OK);
    CHECK_SIZE(disk->written_page_count, 1);
    CHECK(page_is(disk->pages[2], 2, 1));
    CHECK_SIZE(disk->sync_count, 0);
    disk->fail_writes = true;
    CHECK_ERROR(aegis_page_cache_flush_page(&cache, file, 3, error), AEGIS_E_IO, AEGIS_PAGE_WRITE,
                "page 3 of file");
    disk->fail_writes = false;
    CHECK_SIZE(cache_stats(&cache).dirty_count, 3);
    end();
}

/* -- the write-ahead rule -- */

typedef struct log_state {
    uint64_t durable_lsn;
    uint64_t asked_lsn;
    size_t call_count;
    aegis_status fail_with;
} log_state;

static aegis_status make_durable(void *context, uint32_t number, uint64_t max_lsn) {
    log_state *log = (log_state *)context;
    CHECK(number == file);
    log->call_count++;
    log->asked_lsn = max_lsn;
    if (log->fail_with == AEGIS_OK && max_lsn > log->durable_lsn)
        log->durable_lsn = max_lsn;
    return log->fail_with;
}

static void the_oldest_lsn_is_that_of_a_change_that_is_not_durable(void) {
    begin(4, NULL);
    change_page(&cache, file, 0, 1, 50);
    change_page(&cache, file, 1, 1, 60);
    CHECK_SIZE(cache_stats(&cache).oldest_dirty_lsn, 50);
    /* Written, but not synced. */
    CHECK(aegis_page_cache_clean(&cache, 9, NULL, NULL) == AEGIS_OK);
    CHECK_SIZE(cache_stats(&cache).dirty_count, 0);
    CHECK_SIZE(cache_stats(&cache).oldest_dirty_lsn, 50);
    change_page(&cache, file, 0, 2, 70);
    CHECK_SIZE(cache_stats(&cache).oldest_dirty_lsn, 50);
    /* Not even in the cache any more. */
    CHECK(aegis_page_cache_clean(&cache, 9, NULL, NULL) == AEGIS_OK);
    for (int round = 0; round < 200 && aegis_page_cache_contains(&cache, file, 0); round++)
        for (uint64_t page = 2; page < 8; page++)
            check_page(&cache, file, page, 0);
    CHECK(!aegis_page_cache_contains(&cache, file, 0));
    CHECK_SIZE(cache_stats(&cache).oldest_dirty_lsn, 50);
    disk->fail_syncs = true;
    CHECK(aegis_page_cache_flush(&cache, file, NULL) == AEGIS_E_IO);
    CHECK_SIZE(cache_stats(&cache).oldest_dirty_lsn, 50);
    disk->fail_syncs = false;
    aegis_page_cache_abandon(&cache);
    disk_free(disk);
}

static void a_sync_makes_the_oldest_lsn_rise(void) {
    begin(8, NULL);
    change_page(&cache, file, 0, 1, 50);
    CHECK(aegis_page_cache_flush(&cache, file, NULL) == AEGIS_OK);
    CHECK_SIZE(cache_stats(&cache).oldest_dirty_lsn, 0);
    change_page(&cache, file, 0, 2, 80);
    change_page(&cache, file, 1, 1, 90);
    CHECK_SIZE(cache_stats(&cache).oldest_dirty_lsn, 80);
    CHECK(aegis_page_cache_flush_page(&cache, file, 0, NULL) == AEGIS_OK);
    CHECK_SIZE(cache_stats(&cache).oldest_dirty_lsn, 80);
    CHECK(aegis_page_cache_flush(&cache, file, NULL) == AEGIS_OK);
    CHECK_SIZE(cache_stats(&cache).oldest_dirty_lsn, 0);
    end();
}

static void the_log_is_durable_before_a_page_is_written(void) {
    log_state log = {0, 0, 0, AEGIS_OK};
    aegis_page_hooks hooks = {make_durable, NULL, NULL, NULL, &log};
    begin(8, &hooks);
    change_page(&cache, file, 1, 1, 0);
    CHECK(aegis_page_cache_flush(&cache, file, NULL) == AEGIS_OK);
    CHECK_SIZE(log.call_count, 0);
    change_page(&cache, file, 1, 2, 50);
    change_page(&cache, file, 2, 1, 40);
    change_page(&cache, file, 2, 2, 30);
    CHECK_SIZE(cache_stats(&cache).oldest_dirty_lsn, 30);
    CHECK(aegis_page_cache_flush(&cache, file, NULL) == AEGIS_OK);
    CHECK_SIZE(log.durable_lsn, 50);
    CHECK_SIZE(cache_stats(&cache).oldest_dirty_lsn, 0);
    /* If the log fails, no page with an LSN is written, whatever the call. */
    log.fail_with = AEGIS_E_CLOSED;
    change_page(&cache, file, 5, 1, 60);
    size_t written = disk->written_page_count;
    CHECK_ERROR(aegis_page_cache_flush(&cache, file, error), AEGIS_E_CLOSED, AEGIS_PAGE_LOG,
                "could not be made durable up to LSN 60");
    CHECK_ERROR(aegis_page_cache_clean(&cache, 9, NULL, error), AEGIS_E_CLOSED, AEGIS_PAGE_LOG,
                "LSN 60");
    CHECK_ERROR(aegis_page_cache_flush_page(&cache, file, 5, error), AEGIS_E_CLOSED, AEGIS_PAGE_LOG,
                "LSN 60");
    CHECK_ERROR(aegis_page_cache_close(&cache, file, 0, error), AEGIS_E_CLOSED, AEGIS_PAGE_LOG,
                "LSN 60");
    CHECK_ERROR(aegis_page_cache_destroy(&cache, error), AEGIS_E_CLOSED, AEGIS_PAGE_LOG, "LSN 60");
    for (uint64_t page = 10; page < 60; page++)
        check_page(&cache, file, page, 0);
    CHECK_SIZE(disk->written_page_count, written);
    CHECK(page_is(disk->pages[5], 5, 0));
    check_page(&cache, file, 5, 1);
    /* Also by the thread with a miss. */
    for (uint64_t page = 10; page < 17; page++)
        change_page(&cache, file, page, 1, 60 + page);
    aegis_page_pin pin;
    CHECK_ERROR(aegis_page_cache_pin(&cache, file, 70, 0, &pin, error), AEGIS_E_CLOSED,
                AEGIS_PAGE_LOG, "could not be made durable");
    CHECK_SIZE(disk->written_page_count, written);
    log.fail_with = AEGIS_OK;
    check_page(&cache, file, 70, 0);
    CHECK(aegis_page_cache_flush(&cache, file, NULL) == AEGIS_OK);
    CHECK(page_is(disk->durable[5], 5, 1) && page_is(disk->durable[16], 16, 1));
    CHECK_SIZE(log.durable_lsn, 76);
    end();
}

/* -- writes that fail -- */

static void a_failed_write_leaves_the_pages_dirty_and_counted(void) {
    begin(64, NULL);
    change_all(40, 1);
    size_t most = 0;
    for (int torn = 0; torn < 2; torn++) {
        disk->tear_writes = torn != 0;
        disk->fail_writes = true;
        uint64_t errors = cache_stats(&cache).write_error_count;
        CHECK_ERROR(aegis_page_cache_flush(&cache, file, error), AEGIS_E_IO, AEGIS_PAGE_WRITE,
                    "could not be written, and stays dirty");
        size_t count = 99;
        CHECK(aegis_page_cache_clean(&cache, 5, &count, NULL) == AEGIS_E_IO);
        CHECK_SIZE(count, 0);
        aegis_page_cache_stats stats = cache_stats(&cache);
        CHECK_SIZE(stats.dirty_count, 40);
        CHECK(stats.write_error_count > errors + 1);
        CHECK_SIZE(stats.write_page_count, 0);
        CHECK_SIZE(disk->sync_count, 0);
        for (uint64_t page = 0; page < 40; page++)
            check_page(&cache, file, page, 1);
        most = (size_t)stats.largest_batch_count;
    }
    disk->fail_writes = false;
    /* One batch of several fails: the others are written, and their pages are clean. */
    disk->fail_at = disk->call_count + 2;
    CHECK(aegis_page_cache_flush(&cache, file, NULL) == AEGIS_E_IO);
    CHECK_SIZE(cache_stats(&cache).dirty_count, most);
    CHECK_SIZE(disk->written_page_count, 40 - most);
    CHECK(aegis_page_cache_flush(&cache, file, NULL) == AEGIS_OK);
    for (uint64_t page = 0; page < 40; page++)
        CHECK(page_is(disk->durable[page], page, 1));
    end();
}

static aegis_status refuse_seven(void *context, uint64_t page, unsigned char *bytes,
                                 size_t page_bytes) {
    (void)context;
    CHECK(page_bytes == PAGE_BYTES);
    bytes[0] = (unsigned char)~bytes[0];
    return page == 7 ? AEGIS_E_UNSUPPORTED : AEGIS_OK;
}

static aegis_status turn_back(void *context, uint64_t page, unsigned char *bytes,
                              size_t page_bytes) {
    (void)context, (void)page, (void)page_bytes;
    bytes[0] = (unsigned char)~bytes[0];
    return AEGIS_OK;
}

static void seal_changes_the_copy_and_verify_the_page(void) {
    aegis_page_hooks hooks = {NULL, turn_back, refuse_seven, NULL, NULL};
    begin(8, &hooks);
    for (uint64_t page = 0; page < DISK_PAGES; page++)
        disk->pages[page][0] = (unsigned char)~disk->pages[page][0];
    change_page(&cache, file, 3, 1, 0);
    CHECK(aegis_page_cache_flush(&cache, file, NULL) == AEGIS_OK);
    check_page(&cache, file, 3, 1);
    CHECK(!page_is(disk->pages[3], 3, 1));
    for (uint64_t page = 10; page < 60; page++)
        check_page(&cache, file, page, 0);
    check_page(&cache, file, 3, 1);
    change_page(&cache, file, 7, 1, 0);
    CHECK_ERROR(aegis_page_cache_flush(&cache, file, error), AEGIS_E_UNSUPPORTED, AEGIS_PAGE_SEAL,
                "page 7 of file");
    CHECK_SIZE(cache_stats(&cache).dirty_count, 1);
    check_page(&cache, file, 7, 1);
    CHECK(aegis_page_cache_discard(&cache, file, 7, 1, NULL, NULL) == AEGIS_OK);
    end();
}

/* -- pages that change while they are written -- */

static void *flush_file(void *unused) {
    CHECK(aegis_page_cache_flush(&cache, file, NULL) == AEGIS_OK);
    return unused;
}

static void a_page_that_changes_while_it_is_written_stays_dirty(void) {
    begin(8, NULL);
    change_page(&cache, file, 3, 1, 10);
    disk_set(disk, &disk->hold_writes, true);
    pthread_t flusher = start(flush_file, NULL);
    disk_await_held(disk, 1);
    /* The store has the page, and nobody waits for it. */
    change_page(&cache, file, 3, 2, 20);
    check_page(&cache, file, 3, 2);
    disk_set(disk, &disk->hold_writes, false);
    join(flusher);
    CHECK(page_is(disk->pages[3], 3, 1));
    CHECK_SIZE(cache_stats(&cache).dirty_count, 1);
    CHECK(aegis_page_cache_flush(&cache, file, NULL) == AEGIS_OK);
    CHECK(page_is(disk->durable[3], 3, 2));
    CHECK_SIZE(cache_stats(&cache).dirty_count, 0);
    end();
}

/* The writes of two threads: one of them has an older copy of the page. It must not reach the store
 * after the newer one. */
static void an_older_copy_is_not_written_after_a_newer_one(void) {
    begin(8, NULL);
    change_page(&cache, file, 3, 1, 0);
    disk_set(disk, &disk->hold_writes, true);
    pthread_t first = start(flush_file, NULL);
    disk_await_held(disk, 1);
    change_page(&cache, file, 3, 2, 0);
    /* It waits for the page that is being written, or for the flush before it. */
    pthread_t second = start(flush_file, NULL);
    size_t count;
    CHECK(aegis_page_cache_clean(&cache, 9, &count, NULL) == AEGIS_OK);
    CHECK_SIZE(count, 0);
    CHECK_SIZE(disk_get(disk, &disk->held_count), 1);
    disk_set(disk, &disk->hold_writes, false);
    join(first);
    join(second);
    CHECK(page_is(disk->durable[3], 3, 2));
    CHECK_SIZE(disk->write_count, 2);
    end();
}

static void a_flush_waits_for_a_page_that_is_written_to(void) {
    begin(8, NULL);
    change_page(&cache, file, 3, 1, 0);
    aegis_page_pin pin = pin_page(&cache, file, 3, AEGIS_PIN_WRITE);
    pthread_t flusher = start(flush_file, NULL);
    while (cache_stats(&cache).latch_wait_count == 0)
        sched_yield();
    page_fill(pin.data, 3, 2);
    unpin_page(&cache, &pin, AEGIS_UNPIN_DIRTY);
    join(flusher);
    CHECK(page_is(disk->durable[3], 3, 2));
    end();
    /* But not for ever. */
    aegis_page_cache_options options = cache_options(8);
    options.latch_wait_ns = 20 * MS;
    cache = cache_with(&options);
    disk = disk_new(8);
    file = open_disk(&cache, disk, NULL);
    change_page(&cache, file, 2, 1, 0);
    change_page(&cache, file, 3, 1, 0);
    pin = pin_page(&cache, file, 2, AEGIS_PIN_WRITE);
    CHECK_ERROR(aegis_page_cache_flush(&cache, file, error), AEGIS_E_BUSY, AEGIS_PAGE_PINNED,
                "page 2 of file");
    CHECK(page_is(disk->pages[3], 3, 1));
    unpin_page(&cache, &pin, 0);
    end();
}

/* -- checksums -- */

static void a_page_with_a_wrong_checksum_is_not_read(void) {
    aegis_page_hooks hooks = aegis_page_hooks_crc32c(PAGE_BYTES - 4);
    begin(8, &hooks);
    for (uint64_t page = 0; page < 8; page++) {
        aegis_page_pin pin = pin_page(&cache, file, page, AEGIS_PIN_FRESH);
        memset(pin.data, (int)page + 1, PAGE_BYTES);
        unpin_page(&cache, &pin, AEGIS_UNPIN_DIRTY);
    }
    CHECK(aegis_page_cache_flush(&cache, file, NULL) == AEGIS_OK);
    CHECK(aegis_page_cache_discard(&cache, file, 0, UINT64_MAX, NULL, NULL) == AEGIS_OK);
    disk->pages[2][100] ^= 1;
    memcpy(disk->pages[4], disk->pages[5], PAGE_BYTES);
    memset(disk->pages[6], 0, PAGE_BYTES);
    aegis_page_pin pin;
    for (uint64_t page = 0; page < 8; page++) {
        if (page == 2 || page == 4) {
            CHECK_ERROR(aegis_page_cache_pin(&cache, file, page, 0, &pin, error), AEGIS_E_IO,
                        AEGIS_PAGE_VERIFY, "was read and is not valid");
            continue;
        }
        pin = pin_page(&cache, file, page, AEGIS_PIN_READ);
        CHECK(is_filled(pin.data, page == 6 ? 0 : (unsigned char)(page + 1), PAGE_BYTES - 4));
        unpin_page(&cache, &pin, 0);
    }
    end();
    aegis_page_hooks outside = aegis_page_hooks_crc32c(PAGE_BYTES - 3);
    begin(8, &outside);
    CHECK_ERROR(aegis_page_cache_pin(&cache, file, 1, 0, &pin, error), AEGIS_E_INVALID,
                AEGIS_PAGE_VERIFY, "page 1 of file");
    end();
}

int main(void) {
    check_alarm(120);
    RUN(flush_writes_in_page_order_and_in_batches);
    RUN(clean_writes_so_many_and_does_not_sync);
    RUN(flush_page_writes_one_page);
    RUN(the_oldest_lsn_is_that_of_a_change_that_is_not_durable);
    RUN(a_sync_makes_the_oldest_lsn_rise);
    RUN(the_log_is_durable_before_a_page_is_written);
    RUN(a_failed_write_leaves_the_pages_dirty_and_counted);
    RUN(seal_changes_the_copy_and_verify_the_page);
    RUN(a_page_that_changes_while_it_is_written_stays_dirty);
    RUN(an_older_copy_is_not_written_after_a_newer_one);
    RUN(a_flush_waits_for_a_page_that_is_written_to);
    RUN(a_page_with_a_wrong_checksum_is_not_read);
    return check_finish();
}
