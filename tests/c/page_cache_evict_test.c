/* SPDX-License-Identifier: Apache-2.0 */
/* Tests eviction: what is never evicted, what is said and done when all frames are pinned, and
 * what a miss waits for; and the hint for scans. */
#include "page_cache_support.h"

static aegis_page_cache cache;
static test_disk *disk;
static uint32_t file;

static void begin(size_t frame_count, uint64_t frame_wait_ns) {
    aegis_page_cache_options options = cache_options(frame_count);
    options.frame_wait_ns = frame_wait_ns;
    cache = cache_with(&options);
    disk = disk_new(64);
    file = open_disk(&cache, disk, NULL);
}

static void end(void) {
    CHECK_SIZE(cache_stats(&cache).pinned_count, 0);
    end_cache(&cache);
    disk_free(disk);
}

static void pinned_pages_are_never_evicted(void) {
    begin(8, 0);
    aegis_page_pin pins[7];
    for (uint64_t i = 0; i < 7; i++)
        pins[i] = pin_page(&cache, file, i, i % 2 == 0 ? AEGIS_PIN_READ : AEGIS_PIN_WRITE);
    for (int round = 0; round < 3; round++)
        for (uint64_t page = 7; page < 64; page++)
            check_page(&cache, file, page, 0);
    for (uint64_t i = 0; i < 7; i++) {
        CHECK(page_is(pins[i].data, i, 0));
        CHECK(aegis_page_cache_contains(&cache, file, i));
        unpin_page(&cache, &pins[i], 0);
    }
    aegis_page_cache_stats stats = cache_stats(&cache);
    CHECK_SIZE(stats.resident_count, 8);
    CHECK_SIZE(stats.evicted_clean_count, 3 * 57 - 1);
    CHECK_SIZE(stats.evicted_dirty_count, 0);
    end();
}

static void when_all_are_pinned_the_error_says_how_many_and_by_whom(void) {
    begin(8, 0);
    test_disk *other_disk = disk_new(8);
    uint32_t other = open_disk(&cache, other_disk, NULL);
    aegis_page_pin pins[8];
    aegis_page_pin more;
    for (uint64_t i = 0; i < 8; i++)
        pins[i] = pin_page(&cache, i < 3 ? file : other, i, i == 5 ? AEGIS_PIN_WRITE : 0);
    for (uint32_t mode = 0; mode <= AEGIS_PIN_TRY; mode += AEGIS_PIN_TRY) {
        CHECK_ERROR(aegis_page_cache_pin(&cache, file, 20, mode, &more, error), AEGIS_E_EXHAUSTED,
                    AEGIS_PAGE_ALL_PINNED, "every frame is pinned: 8 of 8, 5 of them by file");
        CHECK_ERROR(aegis_page_cache_pin(&cache, other, 20, mode | AEGIS_PIN_FRESH, &more, error),
                    AEGIS_E_EXHAUSTED, AEGIS_PAGE_ALL_PINNED, "5 of them by file");
    }
    aegis_page_error error;
    CHECK(aegis_page_cache_pin(&cache, file, 20, 0, &more, &error) == AEGIS_E_EXHAUSTED);
    CHECK(error.pinned_file == other && error.allowed == 8);
    CHECK_SIZE(error.pinned_count, 8);
    CHECK_SIZE(error.pinned_file_count, 5);
    /* What is resident can still be pinned. */
    check_page(&cache, file, 0, 0);
    CHECK_SIZE(cache_stats(&cache).frame_wait_count, 0);
    for (uint64_t i = 0; i < 8; i++) {
        CHECK(page_is(pins[i].data, i, 0));
        unpin_page(&cache, &pins[i], 0);
    }
    check_page(&cache, file, 20, 0);
    end();
    disk_free(other_disk);
}

static void *read_page_20(void *unused) {
    check_page(&cache, file, 20, 0);
    return unused;
}

static void a_miss_waits_for_a_frame(void) {
    for (uint32_t mode = AEGIS_PIN_READ; mode <= AEGIS_PIN_WRITE; mode++) {
        begin(2, AEGIS_WAIT_FOREVER);
        aegis_page_pin pins[2];
        for (uint64_t i = 0; i < 2; i++)
            pins[i] = pin_page(&cache, file, i, mode);
        pthread_t reader = start(read_page_20, NULL);
        while (cache_stats(&cache).frame_wait_count == 0)
            sched_yield();
        aegis_page_pin more;
        CHECK(aegis_page_cache_pin(&cache, file, 30, AEGIS_PIN_TRY, &more, NULL) ==
              AEGIS_E_EXHAUSTED);
        unpin_page(&cache, &pins[1], 0);
        join(reader);
        CHECK(page_is(pins[0].data, 0, 0));
        unpin_page(&cache, &pins[0], 0);
        end();
    }
}

static void a_wait_for_a_frame_ends_at_its_time(void) {
    begin(2, 30 * MS);
    aegis_page_pin pins[2];
    aegis_page_pin more;
    for (uint64_t i = 0; i < 2; i++)
        pins[i] = pin_page(&cache, file, i, AEGIS_PIN_READ);
    CHECK_ERROR(aegis_page_cache_pin(&cache, file, 20, 0, &more, error), AEGIS_E_EXHAUSTED,
                AEGIS_PAGE_ALL_PINNED, "2 of 2");
    CHECK_SIZE(cache_stats(&cache).frame_wait_count, 1);
    for (uint64_t i = 0; i < 2; i++)
        unpin_page(&cache, &pins[i], 0);
    end();
}

static void a_dirty_page_is_written_before_it_is_evicted(void) {
    begin(8, 0);
    for (uint64_t version = 1; version <= 3; version++)
        for (uint64_t page = 0; page < 64; page++)
            change_page(&cache, file, page, version, 0);
    for (uint64_t page = 0; page < 64; page++)
        check_page(&cache, file, page, 3);
    aegis_page_cache_stats stats = cache_stats(&cache);
    CHECK(stats.evicted_dirty_count >= 3 * 64 - 8);
    CHECK_SIZE(stats.write_page_count, disk->written_page_count);
    CHECK(stats.largest_batch_count >= 2);
    end();
}

/* A miss while all pages are dirty and another thread is writing them waits for the write. It does
 * not fail, and does not spin. */
static void *flush_file(void *unused) {
    CHECK(aegis_page_cache_flush(&cache, file, NULL) == AEGIS_OK);
    return unused;
}

static void a_miss_waits_for_a_page_that_is_being_written(void) {
    begin(8, 0);
    aegis_page_pin pins[6];
    for (uint64_t i = 0; i < 6; i++)
        pins[i] = pin_page(&cache, file, i, AEGIS_PIN_READ);
    change_page(&cache, file, 10, 1, 0);
    change_page(&cache, file, 11, 1, 0);
    disk_set(disk, &disk->hold_writes, true);
    pthread_t flusher = start(flush_file, NULL);
    disk_await_held(disk, 1);
    CHECK_SIZE(cache_stats(&cache).dirty_count, 2);
    aegis_page_pin more;
    CHECK(aegis_page_cache_pin(&cache, file, 20, AEGIS_PIN_TRY, &more, NULL) == AEGIS_E_BUSY);
    pthread_t reader = start(read_page_20, NULL);
    while (cache_stats(&cache).latch_wait_count == 0)
        sched_yield();
    disk_set(disk, &disk->hold_writes, false);
    join(flusher);
    join(reader);
    CHECK(aegis_page_cache_contains(&cache, file, 20));
    for (uint64_t i = 0; i < 6; i++)
        unpin_page(&cache, &pins[i], 0);
    end();
}

/* A scan with the hint leaves the pages alone that are used again and again. */
static void a_scan_with_the_hint_leaves_the_hot_pages(void) {
    begin(16, 0);
    for (int round = 0; round < 8; round++)
        for (uint64_t page = 0; page < 8; page++)
            check_page(&cache, file, page, 0);
    for (uint64_t page = 8; page < 64; page++) {
        aegis_page_pin pin = pin_page(&cache, file, page, AEGIS_PIN_READ | AEGIS_PIN_ONCE);
        CHECK(page_is(pin.data, page, 0));
        unpin_page(&cache, &pin, 0);
    }
    for (uint64_t page = 0; page < 8; page++)
        CHECK(aegis_page_cache_contains(&cache, file, page));
    end();
}

static void a_page_that_cannot_be_written_does_not_keep_others_out(void) {
    begin(8, 0);
    test_disk *broken_disk = disk_new(8);
    uint32_t broken = open_disk(&cache, broken_disk, NULL);
    for (uint64_t page = 0; page < 4; page++)
        change_page(&cache, broken, page, 1, 0);
    broken_disk->fail_writes = true;
    for (int round = 0; round < 3; round++)
        for (uint64_t page = 0; page < 64; page++)
            change_page(&cache, file, page, (uint64_t)round + 1, 0);
    aegis_page_file_stats stats;
    CHECK(aegis_page_cache_get_file_stats(&cache, broken, &stats) == AEGIS_OK);
    CHECK_SIZE(stats.dirty_count, 4);
    /* If all are dirty and none can be written, the error is that of the store. */
    CHECK(aegis_page_cache_flush(&cache, file, NULL) == AEGIS_OK);
    for (uint64_t page = 4; page < 8; page++)
        change_page(&cache, broken, page, 1, 0);
    aegis_page_pin more;
    CHECK_ERROR(aegis_page_cache_pin(&cache, file, 63, 0, &more, error), AEGIS_E_IO,
                AEGIS_PAGE_WRITE, "stays dirty");
    broken_disk->fail_writes = false;
    check_page(&cache, file, 63, 3);
    for (uint64_t page = 0; page < 8; page++)
        check_page(&cache, broken, page, 1);
    end();
    disk_free(broken_disk);
}

int main(void) {
    check_alarm(120);
    RUN(pinned_pages_are_never_evicted);
    RUN(when_all_are_pinned_the_error_says_how_many_and_by_whom);
    RUN(a_miss_waits_for_a_frame);
    RUN(a_wait_for_a_frame_ends_at_its_time);
    RUN(a_dirty_page_is_written_before_it_is_evicted);
    RUN(a_miss_waits_for_a_page_that_is_being_written);
    RUN(a_scan_with_the_hint_leaves_the_hot_pages);
    RUN(a_page_that_cannot_be_written_does_not_keep_others_out);
    return check_finish();
}
