/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the page cache share: a disk in memory that says what was read and written in
 * which order, fails and blocks on demand, and forgets at a failed sync as Linux does; and pages
 * whose every byte says which page and which version it is. */
#ifndef PAGE_CACHE_SUPPORT_H
#define PAGE_CACHE_SUPPORT_H

#if !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* sched_yield */
#endif
#include "support.h"

#include "aegis_memory/page_cache_control.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#define PAGE_BYTES ((size_t)4096)
#define DISK_PAGES 128
#define DISK_BATCHES 256
#define MS UINT64_C(1000000)

/* A call of write_batch. */
typedef struct disk_batch {
    uint64_t first_page;
    size_t count;
    bool ascending;
} disk_batch;

/* The counts and flags are guarded by the mutex; a test sets them with disk_set, or while no other
 * thread uses the cache. */
typedef struct test_disk {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    /* What a read gives, what a crash leaves, and what a good sync will make durable. */
    unsigned char pages[DISK_PAGES][PAGE_BYTES];
    unsigned char durable[DISK_PAGES][PAGE_BYTES];
    bool unsynced[DISK_PAGES];
    uint64_t page_count;
    size_t read_count;
    size_t read_page_count;
    size_t write_count;
    size_t written_page_count;
    size_t sync_count;
    size_t close_count;
    disk_batch batches[DISK_BATCHES];
    /* The n-th call of any function but `close` fails; 0: none. `fail_on`: and all later ones. */
    size_t call_count;
    size_t fail_at;
    bool fail_on;
    bool fail_reads;
    bool fail_writes;
    bool fail_syncs;
    aegis_status fail_with;
    /* A failed write has written the first half of its first page. */
    bool tear_writes;
    /* Calls wait as long as the flag is set. `held_count` do. */
    bool hold_reads;
    bool hold_writes;
    bool hold_syncs;
    size_t held_count;
    /* How many calls of a kind are inside at most. */
    size_t inside_count;
    size_t most_inside_count;
} test_disk;

static inline void disk_lock(test_disk *disk) {
    CHECK(pthread_mutex_lock(&disk->mutex) == 0);
}

static inline void disk_unlock(test_disk *disk) {
    CHECK(pthread_mutex_unlock(&disk->mutex) == 0);
}

/* Sets a flag of a disk that other threads use. */
static inline void disk_set(test_disk *disk, bool *flag, bool value) {
    disk_lock(disk);
    *flag = value;
    CHECK(pthread_cond_broadcast(&disk->changed) == 0);
    disk_unlock(disk);
}

static inline size_t disk_get(test_disk *disk, const size_t *count) {
    disk_lock(disk);
    size_t value = *count;
    disk_unlock(disk);
    return value;
}

/* Returns when so many calls wait. */
static inline void disk_await_held(test_disk *disk, size_t count) {
    disk_lock(disk);
    while (disk->held_count < count)
        CHECK(pthread_cond_wait(&disk->changed, &disk->mutex) == 0);
    disk_unlock(disk);
}

/* Begins a call, which holds the mutex afterwards. Returns whether it fails. */
static inline bool disk_begin(test_disk *disk, const bool *hold, const bool *fail) {
    disk_lock(disk);
    disk->call_count++;
    bool fails = disk->fail_at != 0 && (disk->fail_on ? disk->call_count >= disk->fail_at
                                                      : disk->call_count == disk->fail_at);
    disk->held_count++;
    disk->inside_count++;
    if (disk->inside_count > disk->most_inside_count)
        disk->most_inside_count = disk->inside_count;
    CHECK(pthread_cond_broadcast(&disk->changed) == 0);
    while (*hold)
        CHECK(pthread_cond_wait(&disk->changed, &disk->mutex) == 0);
    disk->held_count--;
    disk->inside_count--;
    return fails || *fail;
}

static inline aegis_status disk_error(const test_disk *disk) {
    return disk->fail_with != AEGIS_OK ? disk->fail_with : AEGIS_E_IO;
}

static inline aegis_status disk_read(void *context, uint64_t first_page,
                                     unsigned char *const *pages, size_t page_count,
                                     size_t page_bytes, size_t *read_bytes) {
    test_disk *disk = (test_disk *)context;
    bool fails = disk_begin(disk, &disk->hold_reads, &disk->fail_reads);
    *read_bytes = 0;
    disk->read_count++;
    for (size_t i = 0; !fails && i < page_count && first_page + i < disk->page_count; i++) {
        memcpy(pages[i], disk->pages[first_page + i], page_bytes);
        *read_bytes += page_bytes;
        disk->read_page_count++;
    }
    aegis_status status = fails ? disk_error(disk) : AEGIS_OK;
    disk_unlock(disk);
    return status;
}

static inline aegis_status disk_write(void *context, const aegis_page_write *pages,
                                      size_t page_count, size_t page_bytes) {
    test_disk *disk = (test_disk *)context;
    bool fails = disk_begin(disk, &disk->hold_writes, &disk->fail_writes);
    disk_batch *batch = &disk->batches[disk->write_count++ % DISK_BATCHES];
    batch->first_page = pages[0].page;
    batch->count = page_count;
    batch->ascending = true;
    if (fails && disk->tear_writes) {
        memcpy(disk->pages[pages[0].page], pages[0].bytes, page_bytes / 2);
        disk->unsynced[pages[0].page] = true;
    }
    for (size_t i = 0; i < page_count; i++) {
        batch->ascending = batch->ascending && (i == 0 || pages[i - 1].page < pages[i].page);
        CHECK(pages[i].page < DISK_PAGES);
        if (fails)
            continue;
        memcpy(disk->pages[pages[i].page], pages[i].bytes, page_bytes);
        disk->unsynced[pages[i].page] = true;
        disk->written_page_count++;
        if (disk->page_count <= pages[i].page)
            disk->page_count = pages[i].page + 1;
    }
    aegis_status status = fails ? disk_error(disk) : AEGIS_OK;
    disk_unlock(disk);
    return status;
}

/* A sync that fails drops what it should have made durable, and the next one succeeds. */
static inline aegis_status disk_sync(void *context) {
    test_disk *disk = (test_disk *)context;
    bool fails = disk_begin(disk, &disk->hold_syncs, &disk->fail_syncs);
    disk->sync_count++;
    for (size_t i = 0; i < DISK_PAGES; i++) {
        if (disk->unsynced[i] && !fails)
            memcpy(disk->durable[i], disk->pages[i], PAGE_BYTES);
        disk->unsynced[i] = false;
    }
    aegis_status status = fails ? disk_error(disk) : AEGIS_OK;
    disk_unlock(disk);
    return status;
}

static inline aegis_status disk_len(void *context, size_t page_bytes, uint64_t *page_count) {
    test_disk *disk = (test_disk *)context;
    (void)page_bytes;
    disk_lock(disk);
    *page_count = disk->page_count;
    disk_unlock(disk);
    return AEGIS_OK;
}

static inline aegis_status disk_truncate(void *context, uint64_t page_count, size_t page_bytes) {
    test_disk *disk = (test_disk *)context;
    (void)page_bytes;
    disk_lock(disk);
    disk->page_count = page_count;
    disk_unlock(disk);
    return AEGIS_OK;
}

static inline void disk_close(void *context) {
    test_disk *disk = (test_disk *)context;
    disk_lock(disk);
    disk->close_count++;
    disk_unlock(disk);
}

static inline aegis_page_store disk_store(test_disk *disk) {
    aegis_page_store store = {disk_read,     disk_write, disk_sync, disk_len,
                              disk_truncate, disk_close, disk};
    return store;
}

/* -- pages -- */

/* Writes all bytes of a page. */
static inline void page_fill(unsigned char *bytes, uint64_t page, uint64_t version) {
    for (size_t i = 0; i < PAGE_BYTES / sizeof(uint64_t); i++) {
        uint64_t word = (page << 40 ^ version << 16 ^ i) * UINT64_C(0x9E3779B97F4A7C15);
        memcpy(bytes + i * sizeof word, &word, sizeof word);
    }
}

static inline bool page_is(const unsigned char *bytes, uint64_t page, uint64_t version) {
    unsigned char expected[PAGE_BYTES];
    page_fill(expected, page, version);
    return memcmp(bytes, expected, PAGE_BYTES) == 0;
}

/* Makes an empty disk, or one with so many pages of version 0. */
static inline test_disk *disk_new(uint64_t page_count) {
    test_disk *disk = (test_disk *)calloc(1, sizeof *disk);
    CHECK(pthread_mutex_init(&disk->mutex, NULL) == 0);
    CHECK(pthread_cond_init(&disk->changed, NULL) == 0);
    disk->page_count = page_count;
    for (uint64_t i = 0; i < page_count; i++) {
        page_fill(disk->pages[i], i, 0);
        page_fill(disk->durable[i], i, 0);
    }
    return disk;
}

static inline void disk_free(test_disk *disk) {
    CHECK(pthread_mutex_destroy(&disk->mutex) == 0);
    CHECK(pthread_cond_destroy(&disk->changed) == 0);
    free(disk);
}

/* -- the cache -- */

static inline aegis_page_cache_options cache_options(size_t frame_count) {
    aegis_page_cache_options options;
    memset(&options, 0, sizeof options);
    options.page_bytes = PAGE_BYTES;
    options.frame_count = frame_count;
    return options;
}

static inline aegis_page_cache cache_with(const aegis_page_cache_options *options) {
    aegis_page_cache cache;
    CHECK(aegis_page_cache_init(&cache, options) == AEGIS_OK);
    return cache;
}

static inline aegis_page_cache cache_of(size_t frame_count) {
    aegis_page_cache_options options = cache_options(frame_count);
    return cache_with(&options);
}

static inline uint32_t open_disk(const aegis_page_cache *cache, test_disk *disk,
                                 const aegis_page_hooks *hooks) {
    aegis_page_store store = disk_store(disk);
    uint32_t file = AEGIS_PAGE_NO_FILE;
    CHECK(aegis_page_cache_open(cache, &store, hooks, &file, NULL) == AEGIS_OK);
    CHECK(file != AEGIS_PAGE_NO_FILE);
    return file;
}

static inline aegis_page_cache_stats cache_stats(const aegis_page_cache *cache) {
    aegis_page_cache_stats stats;
    aegis_page_cache_get_stats(cache, &stats);
    return stats;
}

static inline aegis_page_pin pin_page(const aegis_page_cache *cache, uint32_t file, uint64_t page,
                                      uint32_t mode) {
    aegis_page_pin pin;
    aegis_page_error error;
    aegis_status status = aegis_page_cache_pin(cache, file, page, mode, &pin, &error);
    CHECK(status == AEGIS_OK);
    if (status != AEGIS_OK) {
        char text[256];
        (void)aegis_page_error_explain(&error, text, sizeof text);
        fprintf(stderr, "    page %llu: %s\n", (unsigned long long)page, text);
        exit(1);
    }
    return pin;
}

static inline void unpin_page(const aegis_page_cache *cache, aegis_page_pin *pin, uint32_t flags) {
    CHECK(aegis_page_cache_unpin(cache, pin, flags) == AEGIS_OK);
    CHECK(pin->data == NULL);
}

/* Reads a page and demands that it has this version. */
static inline void check_page(const aegis_page_cache *cache, uint32_t file, uint64_t page,
                              uint64_t version) {
    aegis_page_pin pin = pin_page(cache, file, page, AEGIS_PIN_READ);
    CHECK(page_is(pin.data, page, version));
    unpin_page(cache, &pin, 0);
}

/* Writes a version of a page, with an LSN if that is not 0. */
static inline void change_page(const aegis_page_cache *cache, uint32_t file, uint64_t page,
                               uint64_t version, uint64_t lsn) {
    aegis_page_pin pin = pin_page(cache, file, page, AEGIS_PIN_WRITE);
    page_fill(pin.data, page, version);
    if (lsn != 0)
        CHECK(aegis_page_cache_set_lsn(cache, &pin, lsn) == AEGIS_OK);
    unpin_page(cache, &pin, AEGIS_UNPIN_DIRTY);
}

static inline void end_cache(aegis_page_cache *cache) {
    CHECK(aegis_page_cache_destroy(cache, NULL) == AEGIS_OK);
    CHECK(cache->shared == NULL);
}

/* Demands that a call has failed with this status and reason, and that the sentence has these
 * words. */
#define CHECK_ERROR(call, expected, why, words)                                                    \
    do {                                                                                           \
        aegis_page_error error_;                                                                   \
        memset(&error_, 0xA5, sizeof error_);                                                      \
        aegis_page_error *error = &error_;                                                         \
        CHECK((call) == (expected));                                                               \
        CHECK(error->status == (expected));                                                        \
        CHECK_SIZE(error->reason, (why));                                                          \
        check_sentence(error, words, __FILE__, __LINE__);                                          \
    } while (0)

static inline void check_sentence(const aegis_page_error *error, const char *words,
                                  const char *file, int line) {
    char text[512];
    size_t length = aegis_page_error_explain(error, text, sizeof text);
    CHECK(length == strlen(text));
    if (strstr(text, words) == NULL) {
        check_report(file, line, "the sentence has the words");
        fprintf(stderr, "    \"%s\" in \"%s\"\n", words, text);
    }
}

/* A thread that runs a function with an argument. */
static inline pthread_t start(void *(*run)(void *), void *argument) {
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, run, argument) == 0);
    return thread;
}

static inline void join(pthread_t thread) {
    CHECK(pthread_join(thread, NULL) == 0);
}

#endif
