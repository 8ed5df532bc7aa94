/* SPDX-License-Identifier: Apache-2.0 */
/* Tests how a page cache is made, what it refuses, what its error records say, and what its memory
 * beside the frames is. */
#include "page_cache_support.h"

static aegis_status init_with(aegis_page_cache_options *options, aegis_page_error *error) {
    aegis_page_cache cache;
    options->error = error;
    aegis_status status = aegis_page_cache_init(&cache, options);
    CHECK(status != AEGIS_OK && cache.shared == NULL);
    return status;
}

static void a_size_that_is_no_power_of_two_is_refused(void) {
    aegis_page_cache_options options = cache_options(8);
    static const size_t wrong[] = {1, 256, 511, 513, 4095, 4097, (size_t)1 << 21, SIZE_MAX};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        options.page_bytes = wrong[i];
        CHECK_ERROR(init_with(&options, error), AEGIS_E_INVALID_LAYOUT, AEGIS_PAGE_SIZE,
                    "a power of two from 512 to 1048576 allowed");
    }
}

static void every_power_of_two_is_a_size(void) {
    for (size_t page_bytes = AEGIS_PAGE_MIN_BYTES; page_bytes <= AEGIS_PAGE_MAX_BYTES;
         page_bytes *= 2) {
        aegis_page_cache_options options = cache_options(5);
        options.page_bytes = page_bytes;
        aegis_page_cache cache = cache_with(&options);
        aegis_page_store store;
        uint32_t file;
        CHECK(aegis_page_store_memory(&store, NULL) == AEGIS_OK);
        CHECK(aegis_page_cache_open(&cache, &store, NULL, &file, NULL) == AEGIS_OK);
        for (uint64_t page = 0; page < 20; page++) {
            aegis_page_pin pin = pin_page(&cache, file, page, AEGIS_PIN_FRESH);
            CHECK(is_filled(pin.data, 0, page_bytes));
            CHECK(is_aligned(pin.data, page_bytes < 4096 ? page_bytes : 4096));
            memset(pin.data, (int)page + 1, page_bytes);
            unpin_page(&cache, &pin, AEGIS_UNPIN_DIRTY);
        }
        for (uint64_t page = 0; page < 20; page++) {
            aegis_page_pin pin = pin_page(&cache, file, page, AEGIS_PIN_READ);
            CHECK(is_filled(pin.data, (unsigned char)(page + 1), page_bytes));
            unpin_page(&cache, &pin, 0);
        }
        CHECK_SIZE(cache_stats(&cache).page_bytes, page_bytes);
        end_cache(&cache);
    }
}

static void numbers_of_frames_out_of_bounds_are_refused(void) {
    aegis_page_cache_options options = cache_options(0);
    CHECK_ERROR(init_with(&options, error), AEGIS_E_INVALID, AEGIS_PAGE_FRAMES,
                "0 frames requested, at least 1 allowed");
    options.frame_count = AEGIS_PAGE_MAX_FRAMES + 1;
    CHECK_ERROR(init_with(&options, error), AEGIS_E_INVALID, AEGIS_PAGE_FRAMES,
                "1073741825 frames requested, at most 1073741824 allowed");
    options.frame_count = 8;
    options.max_frame_count = 7;
    CHECK_ERROR(init_with(&options, error), AEGIS_E_INVALID, AEGIS_PAGE_FRAMES,
                "8 frames requested, at most 7 allowed");
    options.max_frame_count = SIZE_MAX;
    CHECK_ERROR(init_with(&options, error), AEGIS_E_INVALID, AEGIS_PAGE_FRAMES, "at most");
}

static void unknown_flags_and_options_are_refused(void) {
    aegis_page_cache_options options = cache_options(8);
    options.flags = 6;
    CHECK_ERROR(init_with(&options, error), AEGIS_E_INVALID, AEGIS_PAGE_FLAGS,
                "0x6 requested, only the bits of 0x1 allowed");
    aegis_page_cache cache;
    CHECK(aegis_page_cache_init_sized(&cache, NULL, 0) == AEGIS_E_INVALID);
    CHECK(cache.shared == NULL);
    struct {
        aegis_page_cache_options known;
        uint64_t unknown;
    } longer;
    memset(&longer, 0, sizeof longer);
    longer.known = cache_options(8);
    longer.unknown = 1;
    CHECK(aegis_page_cache_init_sized(&cache, &longer.known, sizeof longer) == AEGIS_E_INVALID);
    longer.unknown = 0;
    CHECK(aegis_page_cache_init_sized(&cache, &longer.known, sizeof longer) == AEGIS_OK);
    end_cache(&cache);
}

static void a_budget_without_room_refuses_the_cache(void) {
    aegis_budget *budget = aegis_budget_new("small", 16 * PAGE_BYTES, NULL);
    aegis_page_cache_options options = cache_options(16);
    options.budget = budget;
    CHECK_ERROR(init_with(&options, error), AEGIS_E_LIMIT_EXCEEDED, AEGIS_PAGE_NONE, "small");
    aegis_budget_figures figures;
    aegis_budget_get_figures(budget, &figures);
    CHECK_SIZE(figures.used_bytes, 0);
    options.frame_count = 4;
    aegis_page_cache cache = cache_with(&options);
    aegis_budget_get_figures(budget, &figures);
    CHECK_SIZE(figures.used_bytes, cache_stats(&cache).reserved_bytes);
    end_cache(&cache);
    aegis_budget_get_figures(budget, &figures);
    CHECK_SIZE(figures.used_bytes, 0);
    aegis_budget_destroy(budget);
}

static void the_memory_beside_the_frames_is_64_bytes_a_frame(void) {
    static const size_t counts[] = {64, 1000, 4096, 100000};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        aegis_page_cache_options options = cache_options(counts[i]);
        options.page_bytes = 512;
        aegis_page_cache cache = cache_with(&options);
        aegis_page_cache_stats stats = cache_stats(&cache);
        CHECK(stats.frame_count >= counts[i]);
        /* Twice what the header says, because sanitizers and debug builds have larger mutexes. */
        CHECK(stats.overhead_bytes >= 64 * stats.max_frame_count);
        CHECK(stats.overhead_bytes <= 64 * stats.max_frame_count + 2 * 4096 + 16 * 1024);
        CHECK(stats.write_buffer_bytes <=
              stats.max_frame_count * 512 / 128 + ((size_t)2 << 20) + 2 * 4096);
        /* Sanitizers have bytes between the frames. */
        size_t frame_bytes = 0;
        aegis_page_slab slab;
        for (size_t k = 0; aegis_page_cache_get_slab(&cache, k, &slab) == AEGIS_OK; k++)
            frame_bytes += slab.size_bytes;
        CHECK(frame_bytes >= stats.frame_count * 512);
        CHECK_SIZE(stats.reserved_bytes,
                   frame_bytes + stats.overhead_bytes + stats.write_buffer_bytes);
        end_cache(&cache);
    }
}

static void a_store_without_a_function_is_refused(void) {
    aegis_page_cache cache = cache_of(4);
    test_disk *disk = disk_new(1);
    uint32_t file;
    for (int i = 0; i < 5; i++) {
        aegis_page_store store = disk_store(disk);
        if (i == 0)
            store.read = NULL;
        else if (i == 1)
            store.write_batch = NULL;
        else if (i == 2)
            store.sync = NULL;
        else if (i == 3)
            store.len = NULL;
        else
            store.truncate = NULL;
        CHECK_ERROR(aegis_page_cache_open(&cache, &store, NULL, &file, error), AEGIS_E_INVALID,
                    AEGIS_PAGE_FUNCTION, "the store lacks a function");
        CHECK(file == AEGIS_PAGE_NO_FILE);
    }
    CHECK_SIZE(disk->close_count, 0);
    aegis_page_store store = disk_store(disk);
    store.close = NULL;
    CHECK(aegis_page_cache_open(&cache, &store, NULL, &file, NULL) == AEGIS_OK);
    end_cache(&cache);
    CHECK_SIZE(disk->close_count, 0);
    disk_free(disk);
}

static void a_number_that_no_file_has_is_refused_everywhere(void) {
    aegis_page_cache cache = cache_of(4);
    test_disk *disk = disk_new(1);
    uint32_t closed = open_disk(&cache, disk, NULL);
    CHECK(aegis_page_cache_close(&cache, closed, 0, NULL) == AEGIS_OK);
    uint32_t open = open_disk(&cache, disk, NULL);
    const uint32_t wrong[] = {AEGIS_PAGE_NO_FILE, closed, open + 1, UINT32_MAX};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        uint32_t file = wrong[i];
        aegis_page_pin pin;
        aegis_page_read read;
        aegis_page_file_stats stats;
        const char *words = "no file has the number";
        CHECK_ERROR(aegis_page_cache_pin(&cache, file, 0, AEGIS_PIN_READ, &pin, error),
                    AEGIS_E_INVALID, AEGIS_PAGE_FILE, words);
        CHECK(pin.data == NULL);
        CHECK_ERROR(aegis_page_cache_prefetch(&cache, file, 0, 1, 0, NULL, error), AEGIS_E_INVALID,
                    AEGIS_PAGE_FILE, words);
        CHECK_ERROR(aegis_page_cache_discard(&cache, file, 0, 1, NULL, error), AEGIS_E_INVALID,
                    AEGIS_PAGE_FILE, words);
        CHECK_ERROR(aegis_page_cache_flush(&cache, file, error), AEGIS_E_INVALID, AEGIS_PAGE_FILE,
                    words);
        CHECK_ERROR(aegis_page_cache_flush_page(&cache, file, 0, error), AEGIS_E_INVALID,
                    AEGIS_PAGE_FILE, words);
        CHECK_ERROR(
            aegis_page_cache_begin_read(&cache, file, 0, AEGIS_PIN_READ, &pin, &read, error),
            AEGIS_E_INVALID, AEGIS_PAGE_FILE, words);
        CHECK_ERROR(aegis_page_cache_close(&cache, file, 0, error), AEGIS_E_INVALID,
                    AEGIS_PAGE_FILE, words);
        CHECK(aegis_page_cache_get_file_stats(&cache, file, &stats) == AEGIS_E_INVALID);
        CHECK(!aegis_page_cache_contains(&cache, file, 0));
    }
    end_cache(&cache);
    CHECK_SIZE(disk->close_count, 2);
    disk_free(disk);
}

static void unknown_flags_of_calls_are_refused(void) {
    aegis_page_cache cache = cache_of(4);
    test_disk *disk = disk_new(2);
    uint32_t file = open_disk(&cache, disk, NULL);
    aegis_page_pin pin;
    aegis_page_read read;
    /* The page is resident in the second round. */
    for (int i = 0; i < 2; i++) {
        CHECK_ERROR(aegis_page_cache_pin(&cache, file, 0, 64, &pin, error), AEGIS_E_INVALID,
                    AEGIS_PAGE_FLAGS, "0x40 requested, only the bits of 0x3f allowed");
        CHECK_ERROR(aegis_page_cache_pin(&cache, file, 0, 2, &pin, error), AEGIS_E_INVALID,
                    AEGIS_PAGE_FLAGS, "0x2 requested");
        CHECK_ERROR(
            aegis_page_cache_begin_read(&cache, file, 0, AEGIS_PIN_WRITE, &pin, &read, error),
            AEGIS_E_INVALID, AEGIS_PAGE_FLAGS, "0x1 requested");
        CHECK(pin.data == NULL && read.data == NULL);
        check_page(&cache, file, 0, 0);
    }
    CHECK_ERROR(aegis_page_cache_prefetch(&cache, file, 0, 1, AEGIS_PIN_TRY, NULL, error),
                AEGIS_E_INVALID, AEGIS_PAGE_FLAGS, "0x4 requested");
    CHECK_ERROR(aegis_page_cache_close(&cache, file, 2, error), AEGIS_E_INVALID, AEGIS_PAGE_FLAGS,
                "0x2 requested");
    CHECK_ERROR(aegis_page_cache_resize(&cache, 0, error), AEGIS_E_INVALID, AEGIS_PAGE_FRAMES,
                "0 frames requested, at least 1 allowed");
    CHECK_ERROR(aegis_page_cache_resize(&cache, 5, error), AEGIS_E_INVALID, AEGIS_PAGE_FRAMES,
                "5 frames requested, at most 4 allowed");
    CHECK_SIZE(cache_stats(&cache).pinned_count, 0);
    end_cache(&cache);
    disk_free(disk);
}

static void many_files_are_told_apart(void) {
    enum { FILES = 40 };
    aegis_page_cache cache = cache_of(64);
    test_disk *disks[FILES];
    uint32_t files[FILES];
    for (uint64_t i = 0; i < FILES; i++) {
        disks[i] = disk_new(1);
        page_fill(disks[i]->pages[0], 0, 100 + i);
        files[i] = open_disk(&cache, disks[i], NULL);
        for (uint64_t k = 0; k < i; k++)
            CHECK(files[i] != files[k]);
    }
    for (int round = 0; round < 2; round++)
        for (uint64_t i = 0; i < FILES; i++)
            check_page(&cache, files[i], 0, 100 + i);
    /* The number of a file that was closed does not come back at once. */
    for (int i = 0; i < 100; i++) {
        uint32_t old = files[3];
        CHECK(aegis_page_cache_close(&cache, old, 0, NULL) == AEGIS_OK);
        files[3] = open_disk(&cache, disks[3], NULL);
        CHECK(files[3] != old);
        check_page(&cache, files[3], 0, 103);
    }
    for (uint64_t i = 0; i < FILES; i++)
        check_page(&cache, files[i], 0, 100 + i);
    end_cache(&cache);
    for (uint64_t i = 0; i < FILES; i++) {
        CHECK_SIZE(disks[i]->close_count, i == 3 ? 101 : 1);
        disk_free(disks[i]);
    }
}

static void count_lines(void *context, const char *line) {
    size_t *counts = (size_t *)context;
    counts[0]++;
    counts[1] += strstr(line, "2 dirty") != NULL;
    counts[2] += strchr(line, 'P') != NULL && strstr(line, "pinned") == NULL;
}

static void figures_and_the_picture_fit_the_cache(void) {
    aegis_page_cache cache = cache_of(16);
    test_disk *disk = disk_new(8);
    uint32_t file = open_disk(&cache, disk, NULL);
    for (uint64_t page = 0; page < 6; page++)
        check_page(&cache, file, page, 0);
    for (int i = 0; i < 3; i++)
        check_page(&cache, file, 1, 0);
    change_page(&cache, file, 2, 1, 30);
    change_page(&cache, file, 3, 1, 20);
    aegis_page_pin pin = pin_page(&cache, file, 7, AEGIS_PIN_FRESH);
    aegis_page_cache_stats stats = cache_stats(&cache);
    CHECK_SIZE(stats.frame_count, 16);
    CHECK_SIZE(stats.resident_count, 7);
    CHECK_SIZE(stats.free_count, 9);
    CHECK_SIZE(stats.pinned_count, 1);
    CHECK_SIZE(stats.dirty_count, 2);
    CHECK_SIZE(stats.oldest_dirty_lsn, 20);
    CHECK_SIZE(stats.hit_count, 5);
    CHECK_SIZE(stats.miss_count, 6);
    CHECK_SIZE(stats.fresh_count, 1);
    aegis_page_file_stats own;
    CHECK(aegis_page_cache_get_file_stats(&cache, file, &own) == AEGIS_OK);
    CHECK_SIZE(own.resident_count, 7);
    CHECK_SIZE(own.pinned_count, 1);
    CHECK_SIZE(own.dirty_count, 2);
    CHECK_SIZE(own.temperature_counts[0] + own.temperature_counts[1] + own.temperature_counts[2] +
                   own.temperature_counts[3],
               7);
    size_t counts[3] = {0, 0, 0};
    aegis_page_cache_print(&cache, count_lines, counts);
    CHECK(counts[0] >= 5);
    CHECK_SIZE(counts[1], 2);
    CHECK_SIZE(counts[2], 1);
    unpin_page(&cache, &pin, 0);
    end_cache(&cache);
    disk_free(disk);
}

static void an_all_zero_cache_may_be_ended(void) {
    aegis_page_cache cache;
    memset(&cache, 0, sizeof cache);
    CHECK(aegis_page_cache_destroy(&cache, NULL) == AEGIS_OK);
    CHECK(aegis_page_cache_destroy(NULL, NULL) == AEGIS_OK);
    aegis_page_cache_abandon(&cache);
    aegis_page_cache_abandon(NULL);
}

static void a_sentence_is_cut_where_the_buffer_ends(void) {
    aegis_page_error error;
    memset(&error, 0, sizeof error);
    error.status = AEGIS_E_BUSY;
    error.reason = AEGIS_PAGE_PINNED;
    error.file = 7;
    error.page = 12;
    char text[64];
    size_t length = aegis_page_error_explain(&error, text, sizeof text);
    CHECK(strcmp(text, "page 12 of file 7 is pinned") == 0);
    char cut[8];
    CHECK_SIZE(aegis_page_error_explain(&error, cut, sizeof cut), length);
    CHECK(memcmp(cut, "page 12", 8) == 0);
    CHECK_SIZE(aegis_page_error_explain(&error, NULL, 0), length);
}

int main(void) {
    check_alarm(120);
    RUN(a_size_that_is_no_power_of_two_is_refused);
    RUN(every_power_of_two_is_a_size);
    RUN(numbers_of_frames_out_of_bounds_are_refused);
    RUN(unknown_flags_and_options_are_refused);
    RUN(a_budget_without_room_refuses_the_cache);
    RUN(the_memory_beside_the_frames_is_64_bytes_a_frame);
    RUN(a_store_without_a_function_is_refused);
    RUN(a_number_that_no_file_has_is_refused_everywhere);
    RUN(unknown_flags_of_calls_are_refused);
    RUN(many_files_are_told_apart);
    RUN(figures_and_the_picture_fit_the_cache);
    RUN(an_all_zero_cache_may_be_ended);
    RUN(a_sentence_is_cut_where_the_buffer_ends);
    return check_finish();
}
