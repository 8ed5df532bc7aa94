/* SPDX-License-Identifier: Apache-2.0 */
/* Tests that each function of page caches that fills a struct fills all of it: caches, pins,
 * errors, and statistics: see filled_support.h. */
#include "page_cache_support.h"

#include "filled_support.h"

/* What each call has: a cache of 64 frames with a file of 100 pages. */
static test_disk *disk;
static aegis_page_cache cache;
static uint32_t file;

static void begin_with(const aegis_page_cache_options *options) {
    disk = disk_new(100);
    cache = cache_with(options);
    file = open_disk(&cache, disk, NULL);
}

static void begin(void) {
    aegis_page_cache_options options = cache_options(64);
    options.frame_wait_ns = 1;
    options.latch_wait_ns = 1;
    begin_with(&options);
}

static void end(void) {
    aegis_page_cache_abandon(&cache);
    disk_free(disk);
}

/* -- caches and pins -- */

static void cache_made(void *out, bool fails) {
    aegis_page_cache_options options = cache_options(64);
    options.page_bytes = fails ? 7 : PAGE_BYTES;
    aegis_page_cache *made = (aegis_page_cache *)out;
    CHECK(aegis_page_cache_init(made, &options) == (fails ? AEGIS_E_INVALID_LAYOUT : AEGIS_OK));
    aegis_page_cache filled = *made;
    aegis_page_cache_abandon(&filled);
}

static void cache_not_made(void *out, bool fails) {
    aegis_page_cache_options options = cache_options(fails ? 64 : SIZE_MAX);
    options.source = &filled_refusing;
    options.error = (aegis_page_error *)out;
    aegis_page_cache made;
    CHECK(aegis_page_cache_init(&made, &options) != AEGIS_OK);
}

static void pinned(void *out, bool fails) {
    begin();
    CHECK((aegis_page_cache_pin(&cache, file, fails ? 100 : 7, AEGIS_PIN_WRITE,
                                (aegis_page_pin *)out, NULL) != AEGIS_OK) == fails);
    end();
}

static void begun_pin(void *out, bool fails) {
    begin();
    aegis_page_read read;
    check_page(&cache, file, 7, 0);
    CHECK(!fails && aegis_page_cache_begin_read(&cache, file, 7, AEGIS_PIN_READ,
                                                (aegis_page_pin *)out, &read, NULL) == AEGIS_OK);
    end();
}

static void begun_read(void *out, bool fails) {
    begin();
    aegis_page_pin pin;
    CHECK(!fails && aegis_page_cache_begin_read(&cache, file, 7, AEGIS_PIN_READ, &pin,
                                                (aegis_page_read *)out, NULL) == AEGIS_PENDING);
    aegis_page_read read = *(aegis_page_read *)out;
    CHECK(aegis_page_cache_complete(&cache, &read, AEGIS_E_IO, &pin, NULL) == AEGIS_E_IO);
    end();
}

/* Completes a read of page 7 with this result. */
static void complete(aegis_status result, aegis_page_pin *pin, aegis_page_error *error) {
    aegis_page_read read;
    begin();
    CHECK(aegis_page_cache_begin_read(&cache, file, 7, AEGIS_PIN_READ, pin, &read, NULL) ==
          AEGIS_PENDING);
    CHECK(aegis_page_cache_complete(&cache, &read, result, pin, error) == result);
    end();
}

static void completed_pin(void *out, bool fails) {
    CHECK(!fails);
    complete(AEGIS_OK, (aegis_page_pin *)out, NULL);
}

static void completed_error(void *out, bool fails) {
    aegis_page_pin pin;
    CHECK(!fails);
    complete(AEGIS_E_IO, &pin, (aegis_page_error *)out);
}

/* A pin to write is made no buffer. */
static void made_buffer(aegis_buffer *buffer, bool fails, aegis_page_error *error) {
    begin();
    aegis_page_pin pin = pin_page(&cache, file, 7, fails ? AEGIS_PIN_WRITE : AEGIS_PIN_READ);
    CHECK((aegis_page_cache_into_buffer(&cache, &pin, buffer, error) != AEGIS_OK) == fails);
    aegis_buffer filled = *buffer;
    CHECK((aegis_buffer_release(&filled) != AEGIS_OK) == fails);
    end();
}

static void buffer_of_page(void *out, bool fails) {
    made_buffer((aegis_buffer *)out, fails, NULL);
}

static void no_buffer(void *out, bool fails) {
    aegis_buffer buffer;
    CHECK(!fails);
    made_buffer(&buffer, true, (aegis_page_error *)out);
}

/* -- errors: the store fails, or the argument is wrong -- */

#define ERROR(name, call)                                                                          \
    static void name(void *out, bool fails) {                                                      \
        aegis_page_error *error = (aegis_page_error *)out;                                         \
        uint32_t none = file + 1;                                                                  \
        begin();                                                                                   \
        change_page(&cache, file, 7, 1, 0);                                                        \
        aegis_page_pin pin = pin_page(&cache, file, 8, AEGIS_PIN_READ);                            \
        disk->fail_reads = disk->fail_writes = !fails;                                             \
        CHECK((call) < 0);                                                                         \
        (void)none;                                                                                \
        (void)pin;                                                                                 \
        end();                                                                                     \
    }

static aegis_status open_nothing(aegis_page_error *error) {
    aegis_page_store nothing;
    uint32_t number;
    memset(&nothing, 0, sizeof nothing);
    return aegis_page_cache_open(&cache, &nothing, NULL, &number, error);
}

static aegis_status begin_read_of(uint32_t number, aegis_page_error *error) {
    aegis_page_pin pin;
    aegis_page_read read;
    return aegis_page_cache_begin_read(&cache, number, 7, AEGIS_PIN_READ, &pin, &read, error);
}

static aegis_status pin_of(uint32_t number, uint64_t page, uint32_t mode, aegis_page_error *error) {
    aegis_page_pin pin;
    return aegis_page_cache_pin(&cache, number, page, mode, &pin, error);
}

ERROR(destroy_error, aegis_page_cache_destroy(&cache, error))
ERROR(open_error, open_nothing(error))
ERROR(close_error, aegis_page_cache_close(&cache, fails ? none : file, 0, error))
ERROR(pin_error, pin_of(fails ? none : file, 9, AEGIS_PIN_READ, error))
ERROR(latch_error, pin_of(file, 8, AEGIS_PIN_WRITE, error))
ERROR(upgrade_error, aegis_page_cache_upgrade(&cache, &pin, fails ? 2 : 0, error) == AEGIS_OK
                         ? aegis_page_cache_upgrade(&cache, &pin, 0, error)
                         : AEGIS_E_INVALID)
ERROR(prefetch_error, aegis_page_cache_prefetch(&cache, fails ? none : file, 20, 2, 0, NULL, error))
ERROR(discard_error, aegis_page_cache_discard(&cache, fails ? none : file, 0, 99, NULL, error))
ERROR(rekey_error, aegis_page_cache_rekey(&cache, &pin, 9, error))
ERROR(clean_error, aegis_page_cache_clean(&cache, 9, NULL, error))
ERROR(flush_page_error, aegis_page_cache_flush_page(&cache, fails ? none : file, 7, error))
ERROR(flush_error, aegis_page_cache_flush(&cache, fails ? none : file, error))
ERROR(flush_all_error, aegis_page_cache_flush_all(&cache, error))
ERROR(begin_read_error, begin_read_of(none, error))
ERROR(resize_error, aegis_page_cache_resize(&cache, fails ? 0 : 1, error))

/* -- figures -- */

static void slab(void *out, bool fails) {
    begin();
    CHECK((aegis_page_cache_get_slab(&cache, fails ? 9 : 1, (aegis_page_slab *)out) != AEGIS_OK) ==
          fails);
    end();
}

/* Reads pages of the file until one of them is not resident any more. */
static void evict(uint64_t page) {
    for (int round = 0; round < 100 && aegis_page_cache_contains(&cache, file, page); round++)
        for (uint64_t i = 20; i < 100; i++)
            check_page(&cache, file, i, 0);
    CHECK(!aegis_page_cache_contains(&cache, file, page));
}

/* Makes every statistic of a file other than zero. */
static void work_on_file(void) {
    change_page(&cache, file, 0, 1, 5);
    CHECK(aegis_page_cache_clean(&cache, 9, NULL, NULL) == AEGIS_OK);
    evict(0);
    change_page(&cache, file, 1, 1, 6);
    disk->fail_syncs = true;
    CHECK(aegis_page_cache_flush(&cache, file, NULL) == AEGIS_E_IO);
    disk->fail_syncs = false;
}

static void file_figures(void *out, bool fails) {
    aegis_page_pin pin;
    begin();
    if (!fails) {
        work_on_file();
        pin = pin_page(&cache, file, 2, AEGIS_PIN_READ);
    }
    CHECK((aegis_page_cache_get_file_stats(&cache, file + fails, (aegis_page_file_stats *)out) !=
           AEGIS_OK) == fails);
    (void)pin;
    end();
}

/* Calls of the store that fail, and waits for what does not come. */
static void work_in_vain(void) {
    aegis_page_pin pins[64], pin;
    aegis_page_read read;
    disk->fail_reads = disk->fail_writes = true;
    CHECK(pin_of(file, 10, AEGIS_PIN_READ, NULL) == AEGIS_E_IO);
    CHECK(aegis_page_cache_flush(&cache, file, NULL) == AEGIS_E_IO);
    disk->fail_reads = disk->fail_writes = false;
    CHECK(aegis_page_cache_begin_read(&cache, file, 10, AEGIS_PIN_READ, &pin, &read, NULL) ==
          AEGIS_PENDING);
    CHECK(pin_of(file, 10, AEGIS_PIN_READ, NULL) == AEGIS_E_BUSY);
    CHECK(aegis_page_cache_complete(&cache, &read, AEGIS_E_IO, &pin, NULL) == AEGIS_E_IO);
    size_t frame_count = cache_stats(&cache).frame_count;
    for (uint64_t i = 0; i < frame_count; i++) {
        pins[i] = pin_page(&cache, file, 20 + i, AEGIS_PIN_WRITE);
        page_fill(pins[i].data, 20 + i, 0);
    }
    CHECK(pin_of(file, 10, AEGIS_PIN_READ, NULL) == AEGIS_E_EXHAUSTED);
    for (uint64_t i = 0; i < frame_count; i++)
        unpin_page(&cache, &pins[i], AEGIS_UNPIN_DIRTY);
    check_page(&cache, file, 10, 0); /* it writes first */
}

/* The budget takes frames and gives them back. */
static void work_on_budget(aegis_budget *own, aegis_budget *all) {
    aegis_budget_figures figures;
    aegis_page_slab last;
    aegis_budget *others = aegis_budget_new("others", AEGIS_BUDGET_UNLIMITED, all);
    CHECK(aegis_page_cache_get_slab(&cache, 1, &last) == AEGIS_OK);
    aegis_budget_get_figures(own, &figures);
    aegis_budget_set_limit(all, figures.used_bytes);
    for (size_t i = 0; i < 2; i++)
        CHECK(aegis_budget_charge(others, last.size_bytes, NULL) == AEGIS_OK);
    CHECK(aegis_budget_uncharge(others, last.size_bytes) == AEGIS_OK);
    for (int round = 0; round < 100 && cache_stats(&cache).regrown_frame_count == 0; round++)
        for (uint64_t page = 20; page < 100; page++)
            check_page(&cache, file, page, 0);
    CHECK(aegis_budget_uncharge(others, last.size_bytes) == AEGIS_OK);
    aegis_budget_destroy(others);
}

static void cache_figures(void *out, bool fails) {
    aegis_budget *all = aegis_budget_new("all", AEGIS_BUDGET_UNLIMITED, NULL);
    aegis_budget *own = aegis_budget_new("own", AEGIS_BUDGET_UNLIMITED, all);
    aegis_page_cache_options options = cache_options(64);
    aegis_buffer buffer;
    options.budget = own;
    options.flags = AEGIS_PAGE_CACHE_RECLAIMABLE;
    options.frame_wait_ns = 1;
    options.latch_wait_ns = MS;
    begin_with(&options);
    CHECK(!fails);
    work_on_budget(own, all);
    work_on_file();
    work_in_vain();
    aegis_page_pin pin = pin_page(&cache, file, 11, AEGIS_PIN_FRESH);
    CHECK(aegis_page_cache_set_lsn(&cache, &pin, 9) == AEGIS_OK);
    CHECK(pin_of(file, 11, AEGIS_PIN_READ, NULL) == AEGIS_E_BUSY);
    unpin_page(&cache, &pin, AEGIS_UNPIN_DIRTY);
    evict(12);
    CHECK(aegis_page_cache_prefetch(&cache, file, 12, 2, 0, NULL, NULL) == AEGIS_OK);
    CHECK(aegis_page_cache_discard(&cache, file, 12, 1, NULL, NULL) == AEGIS_OK);
    pin = pin_page(&cache, file, 11, AEGIS_PIN_READ);
    CHECK(aegis_page_cache_into_buffer(&cache, &pin, &buffer, NULL) == AEGIS_OK);
    aegis_page_cache_get_stats(&cache, (aegis_page_cache_stats *)out);
    CHECK(aegis_buffer_release(&buffer) == AEGIS_OK);
    end();
    aegis_budget_destroy(own);
    aegis_budget_destroy(all);
}

#define BOTH(function, parameter, call)                                                            \
    FILLS(function, parameter, aegis_page_error, call),                                            \
        FILLS_ON_FAILURE(function, parameter, aegis_page_error, call)

static const filled_row rows[] = {
    FILLS_ALL_BUT(aegis_page_cache_init, cache, aegis_page_cache, cache_made, ""),
    FILLS_ON_FAILURE(aegis_page_cache_init, cache, aegis_page_cache, cache_made),
    BOTH(aegis_page_cache_init, options.error, cache_not_made),
    FILLS_ALL_BUT(aegis_page_cache_pin, pin, aegis_page_pin, pinned, "frame"),
    FILLS_ON_FAILURE(aegis_page_cache_pin, pin, aegis_page_pin, pinned),
    FILLS_ALL_BUT(aegis_page_cache_begin_read, pin, aegis_page_pin, begun_pin, "frame mode"),
    FILLS_ALL_BUT(aegis_page_cache_begin_read, read, aegis_page_read, begun_read, "frame"),
    FILLS_ALL_BUT(aegis_page_cache_complete, pin, aegis_page_pin, completed_pin, "frame mode"),
    FILLS(aegis_page_cache_complete, error, aegis_page_error, completed_error),
    FILLS(aegis_page_cache_into_buffer, buffer, aegis_buffer, buffer_of_page),
    FILLS_ON_FAILURE(aegis_page_cache_into_buffer, buffer, aegis_buffer, buffer_of_page),
    FILLS(aegis_page_cache_into_buffer, error, aegis_page_error, no_buffer),
    FILLS(aegis_page_cache_destroy, error, aegis_page_error, destroy_error),
    FILLS(aegis_page_cache_open, error, aegis_page_error, open_error),
    BOTH(aegis_page_cache_close, error, close_error),
    BOTH(aegis_page_cache_pin, error, pin_error),
    FILLS(aegis_page_cache_pin, error, aegis_page_error, latch_error),
    BOTH(aegis_page_cache_upgrade, error, upgrade_error),
    BOTH(aegis_page_cache_prefetch, error, prefetch_error),
    BOTH(aegis_page_cache_discard, error, discard_error),
    FILLS(aegis_page_cache_rekey, error, aegis_page_error, rekey_error),
    FILLS(aegis_page_cache_clean, error, aegis_page_error, clean_error),
    BOTH(aegis_page_cache_flush_page, error, flush_page_error),
    BOTH(aegis_page_cache_flush, error, flush_error),
    FILLS(aegis_page_cache_flush_all, error, aegis_page_error, flush_all_error),
    FILLS(aegis_page_cache_begin_read, error, aegis_page_error, begin_read_error),
    BOTH(aegis_page_cache_resize, error, resize_error),
    FILLS_ALL_BUT(aegis_page_cache_get_slab, info, aegis_page_slab, slab, ""),
    FILLS_ON_FAILURE(aegis_page_cache_get_slab, info, aegis_page_slab, slab),
    FILLS_ALL_BUT(aegis_page_cache_get_file_stats, stats, aegis_page_file_stats, file_figures, ""),
    FILLS_ON_FAILURE(aegis_page_cache_get_file_stats, stats, aegis_page_file_stats, file_figures),
    FILLS_ALL_BUT(aegis_page_cache_get_stats, stats, aegis_page_cache_stats, cache_figures, ""),
};

static void every_field_is_filled(void) {
    filled_check_all(rows, sizeof rows / sizeof rows[0]);
}

int main(void) {
    RUN(every_field_is_filled);
    return check_finish();
}
