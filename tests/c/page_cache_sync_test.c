/* SPDX-License-Identifier: Apache-2.0 */
/* Tests what a failed sync means, pages that are thrown away, and the closing of files. */
#include "page_cache_support.h"

#include <time.h>

static aegis_page_cache cache;
static test_disk *disk;
static uint32_t file;

static void begin(size_t frame_count) {
    aegis_page_cache_options options = cache_options(frame_count);
    options.latch_wait_ns = 50 * MS;
    cache = cache_with(&options);
    disk = disk_new(64);
    file = open_disk(&cache, disk, NULL);
}

static void end(void) {
    CHECK_SIZE(cache_stats(&cache).pinned_count, 0);
    end_cache(&cache);
    disk_free(disk);
}

static bool is_durable(uint64_t first_page, uint64_t count, uint64_t version) {
    for (uint64_t page = first_page; page < first_page + count; page++)
        if (!page_is(disk->durable[page], page, version))
            return false;
    return true;
}

static void after_a_failed_sync_the_pages_are_written_again(void) {
    begin(16);
    for (uint64_t page = 0; page < 4; page++)
        change_page(&cache, file, page, 1, 0);
    CHECK(aegis_page_cache_flush(&cache, file, NULL) == AEGIS_OK);
    for (uint64_t page = 2; page < 6; page++)
        change_page(&cache, file, page, 2, 0);
    disk->fail_syncs = true;
    CHECK_ERROR(aegis_page_cache_flush(&cache, file, error), AEGIS_E_IO, AEGIS_PAGE_SYNC,
                "could not be synced; the pages written since the last sync are dirty again");
    disk->fail_syncs = false;
    /* Those of the good sync stay clean. */
    CHECK_SIZE(cache_stats(&cache).dirty_count, 4);
    CHECK_SIZE(cache_stats(&cache).sync_error_count, 1);
    CHECK(is_durable(2, 2, 1) && is_durable(4, 2, 0));
    size_t written = disk->written_page_count;
    CHECK(aegis_page_cache_flush(&cache, file, NULL) == AEGIS_OK);
    CHECK_SIZE(disk->written_page_count, written + 4);
    CHECK(is_durable(2, 4, 2) && is_durable(0, 2, 1));
    aegis_page_file_stats stats;
    CHECK(aegis_page_cache_get_file_stats(&cache, file, &stats) == AEGIS_OK);
    CHECK_SIZE(stats.sync_error_count, 1);
    CHECK_SIZE(stats.lost, 0);
    end();
}

/* Pages that were cleaned, and not synced, before the flush are in question too. */
static void pages_that_were_cleaned_before_the_flush_are_written_again(void) {
    begin(16);
    for (uint64_t page = 0; page < 4; page++)
        change_page(&cache, file, page, 1, 0);
    CHECK(aegis_page_cache_clean(&cache, 99, NULL, NULL) == AEGIS_OK);
    CHECK_SIZE(cache_stats(&cache).dirty_count, 0);
    for (int i = 0; i < 3; i++) {
        disk->fail_syncs = true;
        CHECK(aegis_page_cache_flush_all(&cache, NULL) == AEGIS_E_IO);
        CHECK_SIZE(cache_stats(&cache).dirty_count, 4);
    }
    disk->fail_syncs = false;
    CHECK(aegis_page_cache_flush_all(&cache, NULL) == AEGIS_OK);
    CHECK(is_durable(0, 4, 1));
    end();
}

static void if_a_page_was_evicted_before_the_sync_failed_the_file_is_lost(void) {
    begin(4);
    test_disk *other_disk = disk_new(8);
    uint32_t other = open_disk(&cache, other_disk, NULL);
    change_page(&cache, file, 0, 1, 0);
    CHECK(aegis_page_cache_clean(&cache, 9, NULL, NULL) == AEGIS_OK);
    for (int round = 0; round < 100; round++)
        for (uint64_t page = 0; page < 8; page++)
            check_page(&cache, other, page, 0);
    CHECK(!aegis_page_cache_contains(&cache, file, 0));
    change_page(&cache, file, 1, 1, 0);
    disk->fail_syncs = true;
    CHECK_ERROR(aegis_page_cache_flush(&cache, file, error), AEGIS_E_IO, AEGIS_PAGE_SYNC,
                "could not be synced");
    disk->fail_syncs = false;
    for (uint64_t i = 1; i < 4; i++) {
        /* Also if the page is read and written again: what it had is not known to be right. */
        CHECK_ERROR(aegis_page_cache_flush(&cache, file, error), AEGIS_E_IO, AEGIS_PAGE_LOST,
                    "may be lost: close the file without writing, and recover it");
        check_page(&cache, file, 0, i);
        change_page(&cache, file, 0, i + 1, 0);
    }
    CHECK_ERROR(aegis_page_cache_close(&cache, file, 0, error), AEGIS_E_IO, AEGIS_PAGE_LOST,
                "recover it");
    CHECK(aegis_page_cache_flush_all(&cache, NULL) == AEGIS_E_IO);
    aegis_page_file_stats stats;
    CHECK(aegis_page_cache_get_file_stats(&cache, file, &stats) == AEGIS_OK);
    CHECK_SIZE(stats.lost, 1);
    /* The other file is well. */
    change_page(&cache, other, 1, 1, 0);
    CHECK(aegis_page_cache_flush(&cache, other, NULL) == AEGIS_OK);
    CHECK(page_is(other_disk->durable[1], 1, 1));
    CHECK(aegis_page_cache_close(&cache, file, AEGIS_CLOSE_DISCARD, NULL) == AEGIS_OK);
    file = open_disk(&cache, disk, NULL);
    change_page(&cache, file, 0, 3, 0);
    CHECK(aegis_page_cache_flush(&cache, file, NULL) == AEGIS_OK);
    CHECK(is_durable(0, 1, 3));
    end();
    disk_free(other_disk);
}

/* A page that was durable when it was evicted is not in question. */
static void an_evicted_page_that_was_durable_loses_nothing(void) {
    begin(4);
    change_page(&cache, file, 0, 1, 0);
    CHECK(aegis_page_cache_flush(&cache, file, NULL) == AEGIS_OK);
    for (uint64_t page = 10; page < 20; page++)
        check_page(&cache, file, page, 0);
    change_page(&cache, file, 1, 1, 0);
    disk->fail_syncs = true;
    CHECK(aegis_page_cache_flush(&cache, file, NULL) == AEGIS_E_IO);
    disk->fail_syncs = false;
    CHECK(aegis_page_cache_flush(&cache, file, NULL) == AEGIS_OK);
    CHECK(is_durable(0, 2, 1));
    end();
}

static void *flush_and_fail(void *unused) {
    CHECK(aegis_page_cache_flush(&cache, file, NULL) == AEGIS_E_IO);
    return unused;
}

/* A write that ends while a sync is under way is not covered by it, nor by its failure forgotten.
 */
static void a_write_during_a_sync_belongs_to_the_next_one(void) {
    begin(16);
    change_page(&cache, file, 1, 1, 0);
    disk->fail_syncs = true;
    disk_set(disk, &disk->hold_syncs, true);
    pthread_t flusher = start(flush_and_fail, NULL);
    disk_await_held(disk, 1);
    change_page(&cache, file, 1, 2, 0);
    change_page(&cache, file, 2, 2, 0);
    CHECK(aegis_page_cache_clean(&cache, 9, NULL, NULL) == AEGIS_OK);
    CHECK_SIZE(cache_stats(&cache).dirty_count, 0);
    disk_set(disk, &disk->hold_syncs, false);
    join(flusher);
    disk->fail_syncs = false;
    CHECK_SIZE(cache_stats(&cache).dirty_count, 2);
    CHECK(aegis_page_cache_flush(&cache, file, NULL) == AEGIS_OK);
    CHECK(is_durable(1, 2, 2));
    end();
}

static void flush_all_flushes_the_others_when_one_fails(void) {
    begin(16);
    test_disk *other_disk = disk_new(8);
    uint32_t other = open_disk(&cache, other_disk, NULL);
    change_page(&cache, file, 1, 1, 0);
    change_page(&cache, other, 1, 1, 0);
    disk->fail_writes = true;
    CHECK_ERROR(aegis_page_cache_flush_all(&cache, error), AEGIS_E_IO, AEGIS_PAGE_WRITE,
                "page 1 of file");
    CHECK(page_is(other_disk->durable[1], 1, 1));
    CHECK_ERROR(aegis_page_cache_destroy(&cache, error), AEGIS_E_IO, AEGIS_PAGE_WRITE,
                "page 1 of file");
    check_page(&cache, file, 1, 1);
    disk->fail_writes = false;
    end();
    disk_free(other_disk);
}

/* -- discard -- */

static void discarded_pages_are_not_written(void) {
    begin(16);
    size_t count;
    for (uint64_t page = 0; page < 8; page++)
        change_page(&cache, file, page, 1, 0);
    CHECK(aegis_page_cache_discard(&cache, file, 2, 3, &count, NULL) == AEGIS_OK);
    CHECK_SIZE(count, 3);
    CHECK(aegis_page_cache_discard(&cache, file, 2, 3, &count, NULL) == AEGIS_OK);
    CHECK_SIZE(count, 0);
    CHECK_SIZE(cache_stats(&cache).dirty_count, 5);
    check_page(&cache, file, 3, 0);
    CHECK(aegis_page_cache_flush(&cache, file, NULL) == AEGIS_OK);
    CHECK(is_durable(2, 3, 0) && is_durable(0, 2, 1) && is_durable(5, 3, 1));
    aegis_page_pin pin = pin_page(&cache, file, 6, AEGIS_PIN_READ);
    CHECK_ERROR(aegis_page_cache_discard(&cache, file, 5, UINT64_MAX, &count, error), AEGIS_E_BUSY,
                AEGIS_PAGE_PINNED, "page 6 of file");
    CHECK(page_is(pin.data, 6, 1));
    unpin_page(&cache, &pin, 0);
    CHECK(aegis_page_cache_discard(&cache, file, 0, UINT64_MAX, &count, NULL) == AEGIS_OK);
    CHECK_SIZE(cache_stats(&cache).resident_count, 0);
    CHECK_SIZE(cache_stats(&cache).free_count, 16);
    end();
}

static void *clean_all(void *unused) {
    CHECK(aegis_page_cache_clean(&cache, 99, NULL, NULL) == AEGIS_OK);
    return unused;
}

static void *read_page_9(void *unused) {
    check_page(&cache, file, 9, 0);
    return unused;
}

static void *open_the_gates(void *unused) {
    while (cache_stats(&cache).latch_wait_count == 0)
        sched_yield();
    disk_set(disk, &disk->hold_writes, false);
    disk_set(disk, &disk->hold_reads, false);
    return unused;
}

static void discard_waits_for_reads_and_writes_on_their_way(void) {
    for (int reads = 0; reads < 2; reads++) {
        cache = cache_of(16);
        disk = disk_new(64);
        file = open_disk(&cache, disk, NULL);
        if (reads == 0)
            change_page(&cache, file, 9, 1, 0);
        disk_set(disk, reads != 0 ? &disk->hold_reads : &disk->hold_writes, true);
        pthread_t other = start(reads != 0 ? read_page_9 : clean_all, NULL);
        disk_await_held(disk, 1);
        pthread_t opener = start(open_the_gates, NULL);
        aegis_status status = aegis_page_cache_discard(&cache, file, 9, 1, NULL, NULL);
        /* The reader may have pinned the page before it could be thrown away. */
        CHECK(status == AEGIS_OK || (reads != 0 && status == AEGIS_E_BUSY));
        join(opener);
        join(other);
        end();
    }
}

/* -- close -- */

static void close_writes_and_forgets_the_file(void) {
    begin(16);
    test_disk *other_disk = disk_new(8);
    uint32_t other = open_disk(&cache, other_disk, NULL);
    change_page(&cache, other, 1, 1, 0);
    for (uint64_t page = 0; page < 4; page++)
        change_page(&cache, file, page, 1, 0);
    CHECK(aegis_page_cache_close(&cache, file, 0, NULL) == AEGIS_OK);
    CHECK(is_durable(0, 4, 1));
    CHECK_SIZE(disk->close_count, 1);
    CHECK_SIZE(cache_stats(&cache).resident_count, 1);
    /* The other file goes on. */
    check_page(&cache, other, 1, 1);
    CHECK_SIZE(other_disk->write_count, 0);
    file = open_disk(&cache, disk, NULL);
    for (uint64_t page = 0; page < 4; page++)
        check_page(&cache, file, page, 1);
    change_page(&cache, file, 1, 2, 0);
    CHECK(aegis_page_cache_close(&cache, file, AEGIS_CLOSE_DISCARD, NULL) == AEGIS_OK);
    CHECK(is_durable(0, 4, 1));
    CHECK_SIZE(disk->close_count, 2);
    aegis_page_cache_abandon(&cache);
    CHECK(page_is(other_disk->pages[1], 1, 0));
    CHECK_SIZE(other_disk->close_count, 1);
    CHECK_SIZE(other_disk->write_count, 0);
    disk_free(disk);
    disk_free(other_disk);
}

static void a_file_with_a_pin_or_an_error_stays_open(void) {
    begin(16);
    change_page(&cache, file, 1, 1, 0);
    for (uint32_t flags = 0; flags <= AEGIS_CLOSE_DISCARD; flags++) {
        aegis_page_pin pin = pin_page(&cache, file, 5, AEGIS_PIN_READ);
        CHECK_ERROR(aegis_page_cache_close(&cache, file, flags, error), AEGIS_E_BUSY,
                    AEGIS_PAGE_PINNED, "page 5 of file");
        CHECK_ERROR(aegis_page_cache_destroy(&cache, error), AEGIS_E_BUSY, AEGIS_PAGE_PINNED,
                    "pages are pinned (1 pages are)");
        CHECK(page_is(pin.data, 5, 0));
        unpin_page(&cache, &pin, 0);
        check_page(&cache, file, 1, flags == 0 ? 1 : 0);
        CHECK_SIZE(disk->close_count, 0);
        if (flags == 0) {
            CHECK(is_durable(1, 1, 1));
            page_fill(disk->pages[1], 1, 0);
        }
    }
    disk->fail_writes = true;
    change_page(&cache, file, 2, 1, 0);
    CHECK_ERROR(aegis_page_cache_close(&cache, file, 0, error), AEGIS_E_IO, AEGIS_PAGE_WRITE,
                "page 2 of file");
    check_page(&cache, file, 2, 1);
    CHECK_SIZE(cache_stats(&cache).dirty_count, 1);
    disk->fail_writes = false;
    CHECK(aegis_page_cache_close(&cache, file, 0, NULL) == AEGIS_OK);
    CHECK(is_durable(2, 1, 1));
    end();
}

static aegis_status read_status;

static void *read_page_20(void *unused) {
    aegis_page_pin pin;
    read_status = aegis_page_cache_pin(&cache, file, 20, AEGIS_PIN_READ, &pin, NULL);
    if (read_status == AEGIS_OK)
        unpin_page(&cache, &pin, 0);
    return unused;
}

static void close_drains_reads_and_refuses_new_ones(void) {
    cache = cache_of(16);
    disk = disk_new(64);
    file = open_disk(&cache, disk, NULL);
    aegis_page_pin pin;
    aegis_page_read read;
    CHECK(aegis_page_cache_begin_read(&cache, file, 9, 0, &pin, &read, NULL) == AEGIS_PENDING);
    disk->fail_reads = true;
    disk_set(disk, &disk->hold_reads, true);
    pthread_t reader = start(read_page_20, NULL);
    disk_await_held(disk, 1);
    pthread_t opener = start(open_the_gates, NULL);
    aegis_page_read late = read;
    CHECK(aegis_page_cache_complete(&cache, &late, AEGIS_E_IO, &pin, NULL) == AEGIS_E_IO);
    CHECK(aegis_page_cache_close(&cache, file, 0, NULL) == AEGIS_OK);
    join(reader);
    join(opener);
    CHECK(read_status == AEGIS_E_IO);
    CHECK_SIZE(disk->close_count, 1);
    CHECK_SIZE(cache_stats(&cache).free_count, 16);
    end();
}

/* Close gives up if a read of the caller's is never completed, and loses nothing. */
static void close_gives_up_on_a_read_that_is_not_completed(void) {
    begin(16);
    aegis_page_pin pin;
    aegis_page_read read;
    change_page(&cache, file, 1, 1, 0);
    CHECK(aegis_page_cache_begin_read(&cache, file, 9, 0, &pin, &read, NULL) == AEGIS_PENDING);
    CHECK_ERROR(aegis_page_cache_close(&cache, file, 0, error), AEGIS_E_BUSY, AEGIS_PAGE_PINNED,
                "page 9 of file");
    page_fill(read.data, 9, 0);
    CHECK(aegis_page_cache_complete(&cache, &read, AEGIS_OK, &pin, NULL) == AEGIS_OK);
    unpin_page(&cache, &pin, 0);
    check_page(&cache, file, 1, 1);
    CHECK(aegis_page_cache_close(&cache, file, 0, NULL) == AEGIS_OK);
    end();
}

static atomic_uint hook_closes;

static void count_hook_close(void *context) {
    CHECK(context == &hook_closes);
    atomic_fetch_add(&hook_closes, 1);
}

static void the_hooks_are_told_of_the_end_once(void) {
    aegis_page_hooks hooks = {NULL, NULL, NULL, count_hook_close, &hook_closes};
    cache = cache_of(4);
    disk = disk_new(4);
    file = open_disk(&cache, disk, &hooks);
    CHECK(aegis_page_cache_close(&cache, file, 0, NULL) == AEGIS_OK);
    CHECK_SIZE(atomic_load(&hook_closes), 1);
    file = open_disk(&cache, disk, &hooks);
    end();
    CHECK_SIZE(atomic_load(&hook_closes), 2);
}

/* The last page that there can be is one of all pages, and no range begins again at 0. */
static void a_range_ends_with_the_last_number(void) {
    begin(16);
    size_t count;
    aegis_page_pin pin = pin_page(&cache, file, UINT64_MAX, AEGIS_PIN_FRESH);
    unpin_page(&cache, &pin, 0);
    change_page(&cache, file, 0, 1, 0);
    change_page(&cache, file, 3, 1, 0);
    CHECK(aegis_page_cache_discard(&cache, file, UINT64_MAX - 1, 6, &count, NULL) == AEGIS_OK);
    CHECK_SIZE(count, 1);
    check_page(&cache, file, 0, 1);
    check_page(&cache, file, 3, 1);
    pin = pin_page(&cache, file, UINT64_MAX, AEGIS_PIN_FRESH);
    unpin_page(&cache, &pin, 0);
    CHECK(aegis_page_cache_close(&cache, file, AEGIS_CLOSE_DISCARD, NULL) == AEGIS_OK);
    end();
}

/* The log is needed for a page that was lost, also after the next sync. */
static void the_lsn_of_a_lost_page_stays(void) {
    begin(4);
    change_page(&cache, file, 0, 1, 100);
    CHECK(aegis_page_cache_flush_page(&cache, file, 0, NULL) == AEGIS_OK);
    for (uint64_t page = 1; page < 64; page++)
        check_page(&cache, file, page, 0);
    CHECK(!aegis_page_cache_contains(&cache, file, 0));
    disk->fail_syncs = true;
    CHECK(aegis_page_cache_flush(&cache, file, NULL) == AEGIS_E_IO);
    disk->fail_syncs = false;
    CHECK_ERROR(aegis_page_cache_flush(&cache, file, error), AEGIS_E_IO, AEGIS_PAGE_LOST, "");
    CHECK_SIZE(cache_stats(&cache).oldest_dirty_lsn, 100);
    CHECK(aegis_page_cache_close(&cache, file, AEGIS_CLOSE_DISCARD, NULL) == AEGIS_OK);
    CHECK_SIZE(cache_stats(&cache).oldest_dirty_lsn, 0);
    end();
}

/* A checkpoint may come between the LSN and the end of the pin. */
static void the_lsn_counts_while_the_page_is_pinned(void) {
    begin(4);
    aegis_page_pin pin = pin_page(&cache, file, 0, AEGIS_PIN_WRITE);
    CHECK(aegis_page_cache_set_lsn(&cache, &pin, 20) == AEGIS_OK);
    CHECK_SIZE(cache_stats(&cache).oldest_dirty_lsn, 20);
    unpin_page(&cache, &pin, AEGIS_UNPIN_DIRTY);
    CHECK_SIZE(cache_stats(&cache).oldest_dirty_lsn, 20);
    end();
}

static atomic_bool stop;

static aegis_status slow_read(void *context, uint64_t first_page, unsigned char *const *pages,
                              size_t page_count, size_t page_bytes, size_t *read_bytes) {
    struct timespec pause = {0, 300000};
    (void)nanosleep(&pause, NULL);
    return disk_read(context, first_page, pages, page_count, page_bytes, read_bytes);
}

static void *read_anew(void *unused) {
    aegis_page_pin pin;
    while (!atomic_load(&stop)) {
        (void)aegis_page_cache_discard(&cache, file, 0, 1, NULL, NULL);
        if (aegis_page_cache_pin(&cache, file, 0, AEGIS_PIN_READ, &pin, NULL) == AEGIS_OK)
            unpin_page(&cache, &pin, 0);
    }
    return unused;
}

/* After a sync each page with an LSN is looked at, also one that is being read again. A writer that
 * waits for such a page gets it before it is thrown away again, and need not wait for many reads.
 */
static void a_sync_leaves_no_page_pinned(void) {
    cache = cache_of(128);
    disk = disk_new(64);
    aegis_page_store store = disk_store(disk);
    store.read = slow_read;
    CHECK(aegis_page_cache_open(&cache, &store, NULL, &file, NULL) == AEGIS_OK);
    pthread_t thread = start(read_anew, NULL);
    for (size_t round = 0; round < scaled(1000); round++) {
        for (uint64_t page = 0; page < 64; page++)
            change_page(&cache, file, page, 1, 5);
        CHECK(aegis_page_cache_flush(&cache, file, NULL) == AEGIS_OK);
    }
    atomic_store(&stop, true);
    join(thread);
    CHECK(cache_stats(&cache).join_count <= 10 * scaled(1000));
    end();
}

int main(void) {
    check_alarm(120);
    RUN(after_a_failed_sync_the_pages_are_written_again);
    RUN(pages_that_were_cleaned_before_the_flush_are_written_again);
    RUN(if_a_page_was_evicted_before_the_sync_failed_the_file_is_lost);
    RUN(an_evicted_page_that_was_durable_loses_nothing);
    RUN(a_write_during_a_sync_belongs_to_the_next_one);
    RUN(flush_all_flushes_the_others_when_one_fails);
    RUN(discarded_pages_are_not_written);
    RUN(discard_waits_for_reads_and_writes_on_their_way);
    RUN(close_writes_and_forgets_the_file);
    RUN(a_file_with_a_pin_or_an_error_stays_open);
    RUN(close_drains_reads_and_refuses_new_ones);
    RUN(close_gives_up_on_a_read_that_is_not_completed);
    RUN(the_hooks_are_told_of_the_end_once);
    RUN(a_range_ends_with_the_last_number);
    RUN(the_lsn_of_a_lost_page_stays);
    RUN(the_lsn_counts_while_the_page_is_pinned);
    RUN(a_sync_leaves_no_page_pinned);
    return check_finish();
}
