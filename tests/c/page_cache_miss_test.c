/* SPDX-License-Identifier: Apache-2.0 */
/* Tests misses: by many threads on one page, with an error for all, in two steps by the caller, and
 * ahead of time. */
#include "page_cache_support.h"

#define THREADS 8

static aegis_page_cache cache;
static test_disk *disk;
static uint32_t file;

static void begin(size_t frame_count, const aegis_page_hooks *hooks) {
    cache = cache_of(frame_count);
    disk = disk_new(64);
    file = open_disk(&cache, disk, hooks);
}

static void end(void) {
    CHECK_SIZE(cache_stats(&cache).pinned_count, 0);
    end_cache(&cache);
    CHECK_SIZE(disk->close_count, 1);
    disk_free(disk);
}

/* What one of several threads asks for, and gets. */
typedef struct asker {
    uint64_t page;
    uint32_t mode;
    aegis_status status;
    aegis_page_error error;
    bool right;
    pthread_t thread;
} asker;

static void *ask(void *argument) {
    asker *self = (asker *)argument;
    aegis_page_pin pin;
    memset(&self->error, 0, sizeof self->error);
    self->status = aegis_page_cache_pin(&cache, file, self->page, self->mode, &pin, &self->error);
    if (self->status == AEGIS_OK) {
        self->right = page_is(pin.data, self->page, 0);
        unpin_page(&cache, &pin, 0);
    }
    return NULL;
}

/* Starts threads that all want a page, every third to write. */
static void ask_all(asker *askers, uint64_t page) {
    for (int i = 0; i < THREADS; i++) {
        memset(&askers[i], 0, sizeof askers[i]);
        askers[i].page = page;
        askers[i].mode = i % 3 == 2 ? AEGIS_PIN_WRITE : AEGIS_PIN_READ;
        askers[i].thread = start(ask, &askers[i]);
    }
}

/* Returns when all threads but the one that reads wait for it. */
static void await_joined(uint64_t count) {
    while (cache_stats(&cache).join_count < count)
        sched_yield();
}

static void many_threads_that_miss_a_page_read_it_once(void) {
    begin(8, NULL);
    asker askers[THREADS];
    disk_set(disk, &disk->hold_reads, true);
    ask_all(askers, 5);
    await_joined(THREADS - 1);
    CHECK(!aegis_page_cache_contains(&cache, file, 5));
    disk_set(disk, &disk->hold_reads, false);
    for (int i = 0; i < THREADS; i++) {
        join(askers[i].thread);
        CHECK(askers[i].status == AEGIS_OK && askers[i].right);
    }
    CHECK_SIZE(disk->read_count, 1);
    aegis_page_cache_stats stats = cache_stats(&cache);
    CHECK_SIZE(stats.miss_count, 1);
    CHECK(stats.join_count >= THREADS - 1);
    CHECK(aegis_page_cache_contains(&cache, file, 5));
    end();
}

static void a_read_error_reaches_all_who_wait_and_leaves_no_page(void) {
    begin(8, NULL);
    asker askers[THREADS];
    for (int round = 0; round < 2; round++) {
        size_t reads = disk->read_count;
        uint64_t joined = cache_stats(&cache).join_count;
        disk->fail_with = round == 0 ? AEGIS_E_IO : AEGIS_E_UNSUPPORTED;
        disk->fail_reads = true;
        disk_set(disk, &disk->hold_reads, true);
        ask_all(askers, 5);
        await_joined(joined + THREADS - 1);
        disk_set(disk, &disk->hold_reads, false);
        for (int i = 0; i < THREADS; i++) {
            join(askers[i].thread);
            CHECK(askers[i].status == disk->fail_with);
            CHECK(askers[i].error.status == disk->fail_with);
            CHECK_SIZE(askers[i].error.reason, AEGIS_PAGE_READ);
            CHECK(askers[i].error.page == 5 && askers[i].error.file == file);
            check_sentence(&askers[i].error, "page 5 of file", __FILE__, __LINE__);
        }
        CHECK_SIZE(disk->read_count, reads + 1);
        aegis_page_cache_stats stats = cache_stats(&cache);
        CHECK_SIZE(stats.resident_count, 0);
        CHECK_SIZE(stats.free_count, 8);
        CHECK(!aegis_page_cache_contains(&cache, file, 5));
    }
    /* Whoever asks again reads again. */
    disk->fail_reads = false;
    check_page(&cache, file, 5, 0);
    CHECK_SIZE(cache_stats(&cache).read_error_count, 2);
    end();
}

/* Those who wait are told the same as the one who reads. */
static void the_end_of_the_file_is_told_to_all(void) {
    begin(8, NULL);
    asker askers[THREADS];
    disk_set(disk, &disk->hold_reads, true);
    ask_all(askers, 77);
    await_joined(THREADS - 1);
    disk_set(disk, &disk->hold_reads, false);
    for (int i = 0; i < THREADS; i++) {
        join(askers[i].thread);
        CHECK(askers[i].status == AEGIS_E_IO);
        CHECK_SIZE(askers[i].error.reason, AEGIS_PAGE_BEYOND);
        check_sentence(&askers[i].error, "lies beyond the end: the file has 64 pages", __FILE__,
                       __LINE__);
    }
    CHECK_SIZE(cache_stats(&cache).free_count, 8);
    end();
}

static aegis_status refuse_odd(void *context, uint64_t page, unsigned char *bytes,
                               size_t page_bytes) {
    (void)bytes;
    CHECK(page_bytes == PAGE_BYTES);
    atomic_fetch_add((atomic_uint *)context, 1);
    return page % 2 == 0 ? AEGIS_OK : AEGIS_E_IO;
}

static void a_page_that_verify_refuses_is_not_seen(void) {
    atomic_uint calls = 0;
    aegis_page_hooks hooks = {NULL, refuse_odd, NULL, NULL, &calls};
    begin(8, &hooks);
    aegis_page_pin pin;
    aegis_page_read read;
    size_t count;
    check_page(&cache, file, 2, 0);
    check_page(&cache, file, 2, 0);
    CHECK_SIZE(atomic_load(&calls), 1);
    CHECK_ERROR(aegis_page_cache_pin(&cache, file, 3, AEGIS_PIN_READ, &pin, error), AEGIS_E_IO,
                AEGIS_PAGE_VERIFY, "was read and is not valid");
    CHECK_ERROR(aegis_page_cache_prefetch(&cache, file, 4, 2, 0, &count, error), AEGIS_E_IO,
                AEGIS_PAGE_VERIFY, "page 5 of file");
    CHECK_SIZE(count, 1);
    CHECK(aegis_page_cache_begin_read(&cache, file, 7, 0, &pin, &read, NULL) == AEGIS_PENDING);
    memset(read.data, 0, PAGE_BYTES);
    CHECK_ERROR(aegis_page_cache_complete(&cache, &read, AEGIS_OK, &pin, error), AEGIS_E_IO,
                AEGIS_PAGE_VERIFY, "page 7 of file");
    CHECK(pin.data == NULL && read.data == NULL);
    CHECK_SIZE(cache_stats(&cache).resident_count, 2);
    CHECK_SIZE(cache_stats(&cache).read_error_count, 3);
    end();
}

/* -- in two steps -- */

static void a_read_in_two_steps_publishes_the_page(void) {
    begin(4, NULL);
    aegis_page_pin pin;
    aegis_page_read read;
    CHECK(aegis_page_cache_begin_read(&cache, file, 6, AEGIS_PIN_READ, &pin, &read, NULL) ==
          AEGIS_PENDING);
    CHECK(pin.data == NULL && read.data != NULL && read.page == 6 && read.file == file);
    aegis_page_read other;
    CHECK_ERROR(aegis_page_cache_begin_read(&cache, file, 6, 0, &pin, &other, error), AEGIS_E_BUSY,
                AEGIS_PAGE_PINNED, "page 6 of file");
    CHECK_ERROR(aegis_page_cache_pin(&cache, file, 6, AEGIS_PIN_READ | AEGIS_PIN_TRY, &pin, error),
                AEGIS_E_BUSY, AEGIS_PAGE_PINNED, "page 6 of file");
    asker askers[THREADS];
    uint64_t before = cache_stats(&cache).join_count;
    ask_all(askers, 6);
    await_joined(before + THREADS);
    page_fill(read.data, 6, 0);
    aegis_page_read copy = read;
    CHECK(aegis_page_cache_complete(&cache, &read, AEGIS_OK, &pin, NULL) == AEGIS_OK);
    CHECK(pin.mode == AEGIS_PIN_READ && page_is(pin.data, 6, 0) && read.data == NULL);
    aegis_page_pin again;
    CHECK_ERROR(aegis_page_cache_complete(&cache, &copy, AEGIS_OK, &again, error), AEGIS_E_INVALID,
                AEGIS_PAGE_HANDLE, "page 6 of file");
    CHECK(aegis_page_cache_complete(&cache, &read, AEGIS_OK, &again, NULL) == AEGIS_E_INVALID);
    unpin_page(&cache, &pin, 0);
    for (int i = 0; i < THREADS; i++) {
        join(askers[i].thread);
        CHECK(askers[i].status == AEGIS_OK && askers[i].right);
    }
    /* Now it is resident. */
    CHECK(aegis_page_cache_begin_read(&cache, file, 6, 0, &pin, &read, NULL) == AEGIS_OK);
    CHECK(pin.data != NULL && read.data == NULL);
    unpin_page(&cache, &pin, 0);
    CHECK_SIZE(disk->read_count, 0);
    end();
}

static void an_error_in_the_second_step_reaches_all_who_wait(void) {
    begin(4, NULL);
    aegis_page_pin pin;
    aegis_page_read read;
    asker askers[THREADS];
    CHECK(aegis_page_cache_begin_read(&cache, file, 6, 0, &pin, &read, NULL) == AEGIS_PENDING);
    ask_all(askers, 6);
    await_joined(THREADS);
    CHECK_ERROR(aegis_page_cache_complete(&cache, &read, AEGIS_E_CLOSED, &pin, error),
                AEGIS_E_CLOSED, AEGIS_PAGE_READ, "could not be read");
    for (int i = 0; i < THREADS; i++) {
        join(askers[i].thread);
        CHECK(askers[i].status == AEGIS_E_CLOSED && askers[i].error.page == 6);
    }
    CHECK_SIZE(cache_stats(&cache).free_count, 4);
    end();
}

static void a_first_step_does_not_wait_evict_dirty_or_read(void) {
    begin(2, NULL);
    aegis_page_pin pin;
    aegis_page_read reads[3];
    change_page(&cache, file, 0, 1, 0);
    change_page(&cache, file, 1, 1, 0);
    CHECK_ERROR(aegis_page_cache_begin_read(&cache, file, 6, 0, &pin, &reads[0], error),
                AEGIS_E_BUSY, AEGIS_PAGE_ALL_DIRTY, "no frame is free and clean");
    CHECK(aegis_page_cache_flush(&cache, file, NULL) == AEGIS_OK);
    for (int i = 0; i < 2; i++)
        CHECK(aegis_page_cache_begin_read(&cache, file, 6 + (uint64_t)i, 0, &pin, &reads[i],
                                          NULL) == AEGIS_PENDING);
    CHECK_ERROR(aegis_page_cache_begin_read(&cache, file, 9, 0, &pin, &reads[2], error),
                AEGIS_E_BUSY, AEGIS_PAGE_ALL_PINNED,
                "every frame is pinned: 2 of 2, 2 of them by file");
    CHECK(reads[2].data == NULL);
    CHECK(aegis_page_cache_destroy(&cache, NULL) == AEGIS_E_BUSY);
    for (int i = 0; i < 2; i++)
        CHECK(aegis_page_cache_complete(&cache, &reads[i], AEGIS_E_IO, &pin, NULL) == AEGIS_E_IO);
    end();
}

/* -- ahead of time -- */

static void prefetch_reads_neighbours_in_one_call(void) {
    begin(64, NULL);
    size_t count = 99;
    check_page(&cache, file, 3, 0);
    CHECK(aegis_page_cache_prefetch(&cache, file, 0, 8, 0, &count, NULL) == AEGIS_OK);
    CHECK_SIZE(count, 7);
    CHECK_SIZE(disk->read_count, 3);
    CHECK_SIZE(disk->read_page_count, 8);
    for (uint64_t page = 0; page < 8; page++)
        check_page(&cache, file, page, 0);
    CHECK_SIZE(disk->read_count, 3);
    /* Beyond the end there is nothing to read. */
    CHECK(aegis_page_cache_prefetch(&cache, file, 60, 100, AEGIS_PIN_ONCE, &count, NULL) ==
          AEGIS_OK);
    CHECK_SIZE(count, 4);
    CHECK(aegis_page_cache_prefetch(&cache, file, UINT64_MAX - 2, UINT64_MAX, 0, &count, NULL) ==
          AEGIS_OK);
    CHECK_SIZE(count, 0);
    CHECK(aegis_page_cache_prefetch(&cache, file, 10, 0, 0, &count, NULL) == AEGIS_OK);
    CHECK_SIZE(count, 0);
    CHECK_SIZE(cache_stats(&cache).resident_count, 12);
    end();
}

static void prefetch_takes_what_frames_there_are(void) {
    begin(8, NULL);
    aegis_page_pin pins[8];
    size_t count;
    for (uint64_t i = 0; i < 7; i++)
        pins[i] = pin_page(&cache, file, i, AEGIS_PIN_READ);
    CHECK(aegis_page_cache_prefetch(&cache, file, 20, 10, 0, &count, NULL) == AEGIS_OK);
    CHECK(count >= 1);
    pins[7] = pin_page(&cache, file, 40, AEGIS_PIN_READ);
    CHECK(aegis_page_cache_prefetch(&cache, file, 50, 10, 0, &count, NULL) == AEGIS_OK);
    CHECK_SIZE(count, 0);
    for (uint64_t i = 0; i < 8; i++) {
        CHECK(page_is(pins[i].data, i == 7 ? 40 : i, 0));
        unpin_page(&cache, &pins[i], 0);
    }
    end();
}

static void prefetch_reports_an_error_and_keeps_what_was_read(void) {
    begin(64, NULL);
    size_t count;
    disk->fail_at = 2;
    CHECK_ERROR(aegis_page_cache_prefetch(&cache, file, 0, 40, 0, &count, error), AEGIS_E_IO,
                AEGIS_PAGE_READ, "could not be read");
    CHECK_SIZE(count, 16);
    CHECK_SIZE(cache_stats(&cache).resident_count, 16);
    CHECK_SIZE(cache_stats(&cache).free_count, 48);
    CHECK(aegis_page_cache_prefetch(&cache, file, 0, 40, 0, &count, NULL) == AEGIS_OK);
    CHECK_SIZE(count, 24);
    end();
}

int main(void) {
    check_alarm(120);
    RUN(many_threads_that_miss_a_page_read_it_once);
    RUN(a_read_error_reaches_all_who_wait_and_leaves_no_page);
    RUN(the_end_of_the_file_is_told_to_all);
    RUN(a_page_that_verify_refuses_is_not_seen);
    RUN(a_read_in_two_steps_publishes_the_page);
    RUN(an_error_in_the_second_step_reaches_all_who_wait);
    RUN(a_first_step_does_not_wait_evict_dirty_or_read);
    RUN(prefetch_reads_neighbours_in_one_call);
    RUN(prefetch_takes_what_frames_there_are);
    RUN(prefetch_reports_an_error_and_keeps_what_was_read);
    return check_finish();
}
