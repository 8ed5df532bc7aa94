/* SPDX-License-Identifier: Apache-2.0 */
/* Tests pins of pages: the modes, waiting and not waiting, upgrade and downgrade, and misuse. */
#include "page_cache_support.h"

static aegis_page_cache cache;
static test_disk *disk;
static uint32_t file;

static void begin_with(aegis_page_cache_options *options) {
    cache = cache_with(options);
    disk = disk_new(32);
    file = open_disk(&cache, disk, NULL);
}

static void begin(size_t frame_count) {
    aegis_page_cache_options options = cache_options(frame_count);
    options.latch_wait_ns = 20 * MS;
    begin_with(&options);
}

static void end(void) {
    CHECK_SIZE(cache_stats(&cache).pinned_count, 0);
    end_cache(&cache);
    CHECK_SIZE(disk->close_count, 1);
    disk_free(disk);
}

static aegis_status try_pin(uint64_t page, uint32_t mode) {
    aegis_page_pin pin;
    aegis_page_error error;
    aegis_status status = aegis_page_cache_pin(&cache, file, page, mode, &pin, &error);
    CHECK((status == AEGIS_OK) == (pin.data != NULL));
    if (status == AEGIS_OK)
        unpin_page(&cache, &pin, 0);
    else
        CHECK(error.status == status && error.page == page && error.file == file);
    return status;
}

static void readers_share_and_writers_do_not(void) {
    begin(4);
    aegis_page_pin first = pin_page(&cache, file, 3, AEGIS_PIN_READ);
    aegis_page_pin second = pin_page(&cache, file, 3, AEGIS_PIN_READ);
    CHECK(first.data == second.data && first.page == 3 && first.file == file);
    CHECK(first.mode == AEGIS_PIN_READ);
    CHECK(try_pin(3, AEGIS_PIN_WRITE | AEGIS_PIN_TRY) == AEGIS_E_BUSY);
    CHECK(try_pin(3, AEGIS_PIN_FRESH | AEGIS_PIN_TRY) == AEGIS_E_BUSY);
    CHECK(try_pin(3, AEGIS_PIN_WRITE) == AEGIS_E_BUSY);
    /* The writer that gave up keeps nobody out. */
    CHECK(try_pin(3, AEGIS_PIN_READ | AEGIS_PIN_TRY) == AEGIS_OK);
    unpin_page(&cache, &first, 0);
    unpin_page(&cache, &second, 0);
    aegis_page_pin writer = pin_page(&cache, file, 3, AEGIS_PIN_WRITE);
    CHECK(writer.mode == AEGIS_PIN_WRITE);
    CHECK(try_pin(3, AEGIS_PIN_READ | AEGIS_PIN_TRY) == AEGIS_E_BUSY);
    CHECK(try_pin(3, AEGIS_PIN_READ) == AEGIS_E_BUSY);
    CHECK(try_pin(3, AEGIS_PIN_READ | AEGIS_PIN_ONCE) == AEGIS_E_BUSY);
    CHECK(try_pin(3, AEGIS_PIN_WRITE | AEGIS_PIN_TRY) == AEGIS_E_BUSY);
    unpin_page(&cache, &writer, 0);
    CHECK(try_pin(3, AEGIS_PIN_READ | AEGIS_PIN_TRY) == AEGIS_OK);
    CHECK_SIZE(disk->read_count, 1);
    CHECK_SIZE(cache_stats(&cache).dirty_count, 0);
    CHECK_ERROR(aegis_page_cache_pin(&cache, file, 100, AEGIS_PIN_READ, &first, error), AEGIS_E_IO,
                AEGIS_PAGE_BEYOND, "page 100 of file");
    end();
}

static void a_fresh_page_is_zero_dirty_and_not_read(void) {
    begin(4);
    for (int resident = 0; resident < 2; resident++) {
        aegis_page_pin pin = pin_page(&cache, file, 5, AEGIS_PIN_FRESH);
        CHECK(pin.mode == AEGIS_PIN_FRESH && is_filled(pin.data, 0, PAGE_BYTES));
        unpin_page(&cache, &pin, 0);
        CHECK_SIZE(cache_stats(&cache).dirty_count, 1);
        change_page(&cache, file, 5, 9, 0);
    }
    aegis_page_pin beyond = pin_page(&cache, file, 90, AEGIS_PIN_FRESH);
    page_fill(beyond.data, 90, 1);
    /* Downgraded, it is dirty too. */
    CHECK(aegis_page_cache_downgrade(&cache, &beyond, 0) == AEGIS_OK);
    CHECK(beyond.mode == AEGIS_PIN_READ);
    unpin_page(&cache, &beyond, 0);
    CHECK_SIZE(cache_stats(&cache).dirty_count, 2);
    CHECK_SIZE(disk->read_count, 0);
    CHECK(aegis_page_cache_flush(&cache, file, NULL) == AEGIS_OK);
    CHECK(page_is(disk->durable[5], 5, 9) && page_is(disk->durable[90], 90, 1));
    end();
}

static void upgrade_and_downgrade_keep_the_page(void) {
    begin(4);
    aegis_page_pin pin = pin_page(&cache, file, 2, AEGIS_PIN_READ);
    CHECK(aegis_page_cache_upgrade(&cache, &pin, 0, NULL) == AEGIS_OK);
    CHECK(pin.mode == AEGIS_PIN_WRITE);
    CHECK(try_pin(2, AEGIS_PIN_READ | AEGIS_PIN_TRY) == AEGIS_E_BUSY);
    page_fill(pin.data, 2, 7);
    CHECK(aegis_page_cache_downgrade(&cache, &pin, AEGIS_UNPIN_DIRTY) == AEGIS_OK);
    CHECK(try_pin(2, AEGIS_PIN_READ | AEGIS_PIN_TRY) == AEGIS_OK);
    CHECK_SIZE(cache_stats(&cache).dirty_count, 1);
    aegis_page_pin other = pin_page(&cache, file, 2, AEGIS_PIN_READ);
    CHECK_ERROR(aegis_page_cache_upgrade(&cache, &pin, AEGIS_PIN_TRY, error), AEGIS_E_BUSY,
                AEGIS_PAGE_PINNED, "page 2 of file");
    CHECK_ERROR(aegis_page_cache_upgrade(&cache, &pin, 0, error), AEGIS_E_BUSY, AEGIS_PAGE_PINNED,
                "is pinned");
    CHECK(pin.mode == AEGIS_PIN_READ);
    /* The failed upgrades keep nobody out. */
    CHECK(try_pin(2, AEGIS_PIN_READ | AEGIS_PIN_TRY) == AEGIS_OK);
    CHECK_ERROR(aegis_page_cache_upgrade(&cache, &pin, 8, error), AEGIS_E_INVALID, AEGIS_PAGE_FLAGS,
                "0x8 requested");
    unpin_page(&cache, &other, 0);
    unpin_page(&cache, &pin, 0);
    check_page(&cache, file, 2, 7);
    end();
}

static size_t misuse_count;

static void count_misuse(const char *message) {
    CHECK(strstr(message, "no pin of this page cache") != NULL);
    misuse_count++;
}

static void demand_misuse(aegis_page_pin *pin, uint32_t flags) {
    aegis_page_pin before = *pin;
    aegis_buffer buffer;
    aegis_page_cache_stats stats = cache_stats(&cache);
    CHECK(aegis_page_cache_unpin(&cache, pin, flags) == AEGIS_E_INVALID);
    CHECK(memcmp(&before, pin, sizeof before) == 0);
    if (flags != 0)
        return;
    CHECK(aegis_page_cache_downgrade(&cache, pin, 0) == AEGIS_E_INVALID);
    CHECK_ERROR(aegis_page_cache_upgrade(&cache, pin, 0, error), AEGIS_E_INVALID, AEGIS_PAGE_HANDLE,
                "is no pin of this cache");
    CHECK(aegis_page_cache_set_lsn(&cache, pin, 1) == AEGIS_E_INVALID);
    CHECK_ERROR(aegis_page_cache_into_buffer(&cache, pin, &buffer, error), AEGIS_E_INVALID,
                AEGIS_PAGE_HANDLE, "is no pin of this cache");
    CHECK(buffer.data == NULL && memcmp(&before, pin, sizeof before) == 0);
    CHECK_SIZE(cache_stats(&cache).pinned_count, stats.pinned_count);
    CHECK_SIZE(cache_stats(&cache).dirty_count, stats.dirty_count);
}

static void misuse_is_found_out_and_changes_nothing(void) {
    aegis_report_fn old = aegis_set_report(count_misuse);
    begin(4);
    aegis_page_cache other = cache_of(4);
    test_disk *other_disk = disk_new(8);
    uint32_t other_file = open_disk(&other, other_disk, NULL);
    for (uint32_t mode = AEGIS_PIN_READ; mode <= AEGIS_PIN_FRESH;
         mode = mode == AEGIS_PIN_WRITE ? AEGIS_PIN_FRESH : mode + 1) {
        /* Given up twice, through a copy. */
        aegis_page_pin pin = pin_page(&cache, file, 1, mode);
        aegis_page_pin copy = pin;
        unpin_page(&cache, &pin, 0);
        demand_misuse(&pin, 0);
        demand_misuse(&copy, 0);
        /* The frame has another page meanwhile. */
        for (uint64_t page = 8; page < 16; page++)
            check_page(&cache, file, page, 0);
        aegis_page_pin held =
            pin_page(&cache, file, 15, mode == AEGIS_PIN_READ ? AEGIS_PIN_READ : AEGIS_PIN_WRITE);
        demand_misuse(&copy, 0);
        /* A pin of another cache. */
        aegis_page_pin foreign = pin_page(&other, other_file, 1, mode);
        demand_misuse(&foreign, 0);
        unpin_page(&other, &foreign, 0);
        /* A handle that is made up. */
        aegis_page_pin wrong = held;
        wrong.frame = UINT32_MAX;
        demand_misuse(&wrong, 0);
        wrong = held;
        wrong.page++;
        demand_misuse(&wrong, 0);
        wrong = held;
        wrong.data++;
        demand_misuse(&wrong, 0);
        wrong = held;
        wrong.mode = 9;
        demand_misuse(&wrong, 0);
        unpin_page(&cache, &held, 0);
    }
    CHECK(aegis_page_cache_flush(&cache, file, NULL) == AEGIS_OK);
    /* Dirty without the mode to write. */
    aegis_page_pin reader = pin_page(&cache, file, 2, AEGIS_PIN_READ);
    demand_misuse(&reader, AEGIS_UNPIN_DIRTY);
    CHECK(aegis_page_cache_downgrade(&cache, &reader, 0) == AEGIS_E_INVALID);
    CHECK(aegis_page_cache_set_lsn(&cache, &reader, 1) == AEGIS_E_INVALID);
    CHECK_SIZE(cache_stats(&cache).dirty_count, 0);
    unpin_page(&cache, &reader, 0);
    aegis_page_pin writer = pin_page(&cache, file, 2, AEGIS_PIN_WRITE);
    aegis_page_pin before = writer;
    aegis_buffer buffer;
    CHECK(aegis_page_cache_unpin(&cache, &writer, 2) == AEGIS_E_INVALID);
    CHECK(aegis_page_cache_set_lsn(&cache, &writer, 0) == AEGIS_E_INVALID);
    CHECK(aegis_page_cache_upgrade(&cache, &writer, 0, NULL) == AEGIS_E_INVALID);
    CHECK(aegis_page_cache_into_buffer(&cache, &writer, &buffer, NULL) == AEGIS_E_INVALID);
    CHECK(memcmp(&before, &writer, sizeof before) == 0);
    unpin_page(&cache, &writer, 0);
    end();
    end_cache(&other);
    disk_free(other_disk);
    (void)aegis_set_report(old);
}

/* -- threads -- */

static atomic_uint arrived;

static void *read_one(void *argument) {
    uint64_t *version = (uint64_t *)argument;
    atomic_fetch_add(&arrived, 1);
    aegis_page_pin pin = pin_page(&cache, file, 4, AEGIS_PIN_READ);
    *version = page_is(pin.data, 4, 1) ? 1 : 0;
    unpin_page(&cache, &pin, 0);
    return NULL;
}

static void *write_one(void *argument) {
    (void)argument;
    atomic_fetch_add(&arrived, 1);
    change_page(&cache, file, 4, 1, 0);
    return NULL;
}

static void await_latch_waits(uint64_t count) {
    while (cache_stats(&cache).latch_wait_count < count)
        sched_yield();
}

static void a_reader_waits_for_a_writer(void) {
    aegis_page_cache_options options = cache_options(4);
    begin_with(&options);
    aegis_page_pin pin = pin_page(&cache, file, 4, AEGIS_PIN_WRITE);
    uint64_t version = 0;
    pthread_t reader = start(read_one, &version);
    await_latch_waits(1);
    page_fill(pin.data, 4, 1);
    unpin_page(&cache, &pin, AEGIS_UNPIN_DIRTY);
    join(reader);
    CHECK(version == 1);
    end();
}

static void a_writer_that_waits_keeps_new_readers_out(void) {
    aegis_page_cache_options options = cache_options(4);
    begin_with(&options);
    aegis_page_pin pin = pin_page(&cache, file, 4, AEGIS_PIN_READ);
    pthread_t writer = start(write_one, NULL);
    await_latch_waits(1);
    CHECK(try_pin(4, AEGIS_PIN_READ | AEGIS_PIN_TRY) == AEGIS_E_BUSY);
    uint64_t version = 0;
    pthread_t reader = start(read_one, &version);
    await_latch_waits(2);
    CHECK(page_is(pin.data, 4, 0));
    unpin_page(&cache, &pin, 0);
    join(writer);
    join(reader);
    check_page(&cache, file, 4, 1);
    end();
}

static void a_pin_may_be_given_up_by_another_thread(void) {
    aegis_page_cache_options options = cache_options(4);
    begin_with(&options);
    aegis_page_pin pin = pin_page(&cache, file, 4, AEGIS_PIN_READ);
    pthread_t writer = start(write_one, NULL);
    await_latch_waits(1);
    unpin_page(&cache, &pin, 0);
    join(writer);
    end();
}

static void *upgrade_one(void *argument) {
    aegis_page_pin *pin = (aegis_page_pin *)argument;
    CHECK(aegis_page_cache_upgrade(&cache, pin, 0, NULL) == AEGIS_OK);
    page_fill(pin->data, 4, 2);
    unpin_page(&cache, pin, AEGIS_UNPIN_DIRTY);
    return NULL;
}

static void of_two_upgrades_the_second_fails_at_once(void) {
    aegis_page_cache_options options = cache_options(4);
    begin_with(&options);
    aegis_page_pin first = pin_page(&cache, file, 4, AEGIS_PIN_READ);
    aegis_page_pin second = pin_page(&cache, file, 4, AEGIS_PIN_READ);
    pthread_t upgrader = start(upgrade_one, &first);
    await_latch_waits(1);
    CHECK_ERROR(aegis_page_cache_upgrade(&cache, &second, 0, error), AEGIS_E_BUSY,
                AEGIS_PAGE_PINNED, "is pinned");
    CHECK(page_is(second.data, 4, 0));
    unpin_page(&cache, &second, 0);
    join(upgrader);
    check_page(&cache, file, 4, 2);
    end();
}

/* Half a million pins of one page are refused, and cost nothing. The page can still be written. */
static void too_many_pins_of_a_page_are_refused(void) {
    begin(4);
    const size_t most = (size_t)1 << 19;
    change_page(&cache, file, 1, 1, 0);
    aegis_page_pin pin = pin_page(&cache, file, 1, AEGIS_PIN_READ);
    size_t count = 1;
    aegis_page_pin more;
    aegis_status status;
    while ((status = aegis_page_cache_pin(&cache, file, 1, AEGIS_PIN_READ, &more, NULL)) ==
               AEGIS_OK &&
           count <= most)
        count++;
    CHECK(status == AEGIS_E_LIMIT_EXCEEDED);
    CHECK_SIZE(count, most);
    CHECK_ERROR(aegis_page_cache_pin(&cache, file, 1, AEGIS_PIN_READ, &more, error),
                AEGIS_E_LIMIT_EXCEEDED, AEGIS_PAGE_PINS, "at most 524288");
    CHECK(aegis_page_cache_flush(&cache, file, NULL) == AEGIS_OK);
    CHECK_SIZE(cache_stats(&cache).dirty_count, 0);
    while (count > 0) {
        more = pin;
        CHECK(aegis_page_cache_unpin(&cache, &more, 0) == AEGIS_OK);
        count--;
    }
    CHECK(try_pin(1, AEGIS_PIN_WRITE | AEGIS_PIN_TRY) == AEGIS_OK);
    end();
}

/* More hits of one page than the word of the frame counts by itself. */
static void hits_are_counted_without_end(void) {
    begin(4);
    aegis_page_pin pin;
    size_t rounds = scaled(200000);
    for (size_t i = 0; i < rounds; i++) {
        CHECK(aegis_page_cache_pin(&cache, file, 1, AEGIS_PIN_READ | (i % 2 ? AEGIS_PIN_ONCE : 0),
                                   &pin, NULL) == AEGIS_OK);
        CHECK(aegis_page_cache_unpin(&cache, &pin, 0) == AEGIS_OK);
    }
    CHECK_SIZE(cache_stats(&cache).hit_count, rounds - 1);
    end();
}

static atomic_bool stop;

static void *knock(void *unused) {
    aegis_page_pin pin;
    while (!atomic_load(&stop))
        CHECK(aegis_page_cache_pin(&cache, file, 0, AEGIS_PIN_READ | AEGIS_PIN_TRY, &pin, NULL) ==
              AEGIS_E_BUSY);
    return unused;
}

/* Readers that are turned away are not counted, also while the policy looks at the page. */
static void readers_that_are_turned_away_are_no_hits(void) {
    begin(4);
    aegis_page_pin pin = pin_page(&cache, file, 0, AEGIS_PIN_WRITE);
    pthread_t thread = start(knock, NULL);
    for (size_t i = 0; i < scaled(2000); i++)
        check_page(&cache, file, 1 + i % 15, 0);
    atomic_store(&stop, true);
    join(thread);
    unpin_page(&cache, &pin, 0);
    CHECK(cache_stats(&cache).hit_count < UINT32_MAX);
    end();
}

int main(void) {
    check_alarm(120);
    RUN(readers_share_and_writers_do_not);
    RUN(a_fresh_page_is_zero_dirty_and_not_read);
    RUN(upgrade_and_downgrade_keep_the_page);
    RUN(misuse_is_found_out_and_changes_nothing);
    RUN(a_reader_waits_for_a_writer);
    RUN(a_writer_that_waits_keeps_new_readers_out);
    RUN(a_pin_may_be_given_up_by_another_thread);
    RUN(of_two_upgrades_the_second_fails_at_once);
    RUN(too_many_pins_of_a_page_are_refused);
    RUN(hits_are_counted_without_end);
    RUN(readers_that_are_turned_away_are_no_hits);
    return check_finish();
}
