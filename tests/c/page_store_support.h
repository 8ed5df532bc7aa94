/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of page stores share: pages with a content that says which page they are, and
 * calls of a store that check what it must keep. */
#ifndef PAGE_STORE_SUPPORT_H
#define PAGE_STORE_SUPPORT_H

#include "aegis_memory/page_store.h"
#include "base_support.h"

#include <pthread.h>

/* No test reads or writes more pages in one call. */
#define MAX_PAGES 700

static inline unsigned char byte_of(uint64_t page, uint32_t version, size_t i) {
    return (unsigned char)(1 + (page * 131 + version * 17 + i * 7 + i / 256) % 255);
}

/* A page in memory of its own. */
static inline unsigned char *page_new(uint64_t page, uint32_t version, size_t page_bytes) {
    unsigned char *bytes = (unsigned char *)malloc(page_bytes);
    for (size_t i = 0; i < page_bytes; i++)
        bytes[i] = byte_of(page, version, i);
    return bytes;
}

/* Whether the bytes are those of the page; version 0 is all zero. */
static inline bool is_page(const unsigned char *bytes, uint64_t page, uint32_t version,
                           size_t page_bytes) {
    for (size_t i = 0; i < page_bytes; i++)
        if (bytes[i] != (version == 0 ? 0 : byte_of(page, version, i)))
            return false;
    return true;
}

/* Writes the pages whose numbers are listed. The memory of neighbours is not neighbouring. */
static inline aegis_status write_pages(const aegis_page_store *store, const uint64_t *numbers,
                                       size_t count, uint32_t version, size_t page_bytes) {
    aegis_page_write *writes = (aegis_page_write *)calloc(count + 1, sizeof *writes);
    unsigned char **memory = (unsigned char **)malloc((count + 1) * sizeof *memory);
    for (size_t i = count; i != 0; i--) {
        memory[i - 1] = page_new(numbers[i - 1], version, page_bytes);
        writes[i - 1].page = numbers[i - 1];
        writes[i - 1].bytes = memory[i - 1];
    }
    aegis_status status = store->write_batch(store->context, writes, count, page_bytes);
    for (size_t i = 0; i < count; i++)
        free(memory[i]);
    free(memory);
    free(writes);
    return status;
}

static inline aegis_status write_range(const aegis_page_store *store, uint64_t first, size_t count,
                                       uint32_t version, size_t page_bytes) {
    uint64_t numbers[MAX_PAGES];
    for (size_t i = 0; i < count; i++)
        numbers[i] = first + i;
    return write_pages(store, numbers, count, version, page_bytes);
}

/* Reads one page. Returns the bytes read, or SIZE_MAX on failure. */
static inline size_t read_one(const aegis_page_store *store, uint64_t page, unsigned char *into,
                              size_t page_bytes) {
    size_t read_bytes = 12345;
    memset(into, 0xEE, page_bytes);
    aegis_status status = store->read(store->context, page, &into, 1, page_bytes, &read_bytes);
    return status == AEGIS_OK ? read_bytes : SIZE_MAX;
}

/* Whether neighbouring pages, read in one call, have this version. */
static inline bool has_range(const aegis_page_store *store, uint64_t first, size_t count,
                             uint32_t version, size_t page_bytes) {
    unsigned char *memory[MAX_PAGES] = {NULL};
    size_t read_bytes = 0;
    for (size_t i = 0; i < count; i++)
        memory[i] = (unsigned char *)malloc(page_bytes);
    bool good =
        store->read(store->context, first, memory, count, page_bytes, &read_bytes) == AEGIS_OK &&
        read_bytes == count * page_bytes;
    for (size_t i = 0; i < count; i++) {
        good = good && is_page(memory[i], first + i, version, page_bytes);
        free(memory[i]);
    }
    return good;
}

/* The number of pages; UINT64_MAX on failure. */
static inline uint64_t length_of(const aegis_page_store *store, size_t page_bytes) {
    uint64_t page_count = 12345;
    aegis_status status = store->len(store->context, page_bytes, &page_count);
    return status == AEGIS_OK ? page_count : UINT64_MAX;
}

static inline aegis_status truncate_to(const aegis_page_store *store, uint64_t page_count,
                                       size_t page_bytes) {
    return store->truncate(store->context, page_count, page_bytes);
}

static inline void close_store(aegis_page_store *store) {
    store->close(store->context);
}

static inline bool is_no_store(const aegis_page_store *store) {
    return is_filled(store, 0, sizeof *store);
}

/* -- what each built-in store must keep -- */

static inline void check_pages_and_gaps(aegis_page_store *store, size_t page_bytes) {
    static const uint64_t numbers[] = {0, 1, 2, 5, 6, 9};
    unsigned char *page = (unsigned char *)malloc(page_bytes);
    CHECK_SIZE(length_of(store, page_bytes), 0);
    CHECK_SIZE(read_one(store, 0, page, page_bytes), 0);
    CHECK(write_pages(store, numbers, 6, 1, page_bytes) == AEGIS_OK);
    CHECK(has_range(store, 0, 3, 1, page_bytes) && has_range(store, 3, 2, 0, page_bytes));
    CHECK(has_range(store, 5, 2, 1, page_bytes) && has_range(store, 7, 2, 0, page_bytes));
    CHECK(has_range(store, 9, 1, 1, page_bytes));
    CHECK_SIZE(length_of(store, page_bytes), 10);
    CHECK_SIZE(read_one(store, 10, page, page_bytes), 0);
    CHECK_SIZE(read_one(store, 1000000, page, page_bytes), 0);
    CHECK(write_pages(store, numbers, 0, 1, page_bytes) == AEGIS_OK);
    /* More pages than one system call takes, read beyond the end of the store. */
    CHECK(write_range(store, 5, MAX_PAGES, 2, page_bytes) == AEGIS_OK);
    CHECK(has_range(store, 5, MAX_PAGES, 2, page_bytes) && has_range(store, 2, 1, 1, page_bytes));
    CHECK(!has_range(store, 6, MAX_PAGES, 2, page_bytes));
    CHECK(has_range(store, 6, MAX_PAGES - 1, 2, page_bytes));
    CHECK(store->sync(store->context) == AEGIS_OK);
    free(page);
}

static inline void check_truncation(aegis_page_store *store, size_t page_bytes) {
    unsigned char *page = (unsigned char *)malloc(page_bytes);
    CHECK(write_range(store, 0, 20, 1, page_bytes) == AEGIS_OK);
    CHECK(truncate_to(store, 7, page_bytes) == AEGIS_OK);
    CHECK_SIZE(length_of(store, page_bytes), 7);
    CHECK_SIZE(read_one(store, 7, page, page_bytes), 0);
    CHECK(truncate_to(store, 30, page_bytes) == AEGIS_OK);
    CHECK_SIZE(length_of(store, page_bytes), 30);
    CHECK(has_range(store, 0, 7, 1, page_bytes) && has_range(store, 7, 23, 0, page_bytes));
    CHECK(truncate_to(store, 0, page_bytes) == AEGIS_OK);
    CHECK_SIZE(length_of(store, page_bytes), 0);
    CHECK(write_range(store, 3, 1, 2, page_bytes) == AEGIS_OK);
    CHECK(has_range(store, 0, 3, 0, page_bytes) && has_range(store, 3, 1, 2, page_bytes));
    free(page);
}

static inline void check_impossible_numbers(aegis_page_store *store) {
    unsigned char *page = page_new(0, 1, 4096);
    size_t read_bytes = 1;
    uint64_t page_count = 0;
    aegis_page_write write = {UINT64_MAX, page};
    void *context = store->context;
    CHECK(store->write_batch(context, &write, 1, 4096) == AEGIS_E_INVALID_LAYOUT);
    write.page = (uint64_t)INT64_MAX / 4096;
    CHECK(store->write_batch(context, &write, 1, 4096) == AEGIS_E_INVALID_LAYOUT);
    write.page = 0;
    CHECK(store->write_batch(context, &write, 1, 0) == AEGIS_E_INVALID_LAYOUT);
    CHECK(store->read(context, UINT64_MAX, &page, 1, 4096, &read_bytes) == AEGIS_E_INVALID_LAYOUT);
    CHECK_SIZE(read_bytes, 0);
    CHECK(store->read(context, UINT64_MAX, &page, 1, 1, &read_bytes) == AEGIS_E_INVALID_LAYOUT);
    CHECK(store->read(context, 0, &page, 1, 0, &read_bytes) == AEGIS_E_INVALID_LAYOUT);
    CHECK(store->len(context, 0, &page_count) == AEGIS_E_INVALID_LAYOUT);
    CHECK(store->len(context, AEGIS_STORE_MAX_PAGE_BYTES + 1, &page_count) ==
          AEGIS_E_INVALID_LAYOUT);
    CHECK(truncate_to(store, UINT64_MAX / 2, 4096) == AEGIS_E_INVALID_LAYOUT);
    CHECK_SIZE(length_of(store, 4096), 0);
    free(page);
}

/* Two threads, of which each writes pages of its own and reads those of both. */
typedef struct store_task {
    const aegis_page_store *store;
    uint64_t first;
} store_task;

static inline void *use_store(void *argument) {
    const store_task *task = (const store_task *)argument;
    unsigned char *page = (unsigned char *)malloc(1024);
    for (uint32_t round = 1; round <= 200; round++) {
        uint64_t at = task->first + round % 7 * 16;
        CHECK(write_range(task->store, at, 8, round, 1024) == AEGIS_OK);
        CHECK(has_range(task->store, at, 8, round, 1024));
        CHECK(read_one(task->store, round % 100, page, 1024) <= 1024);
        CHECK(length_of(task->store, 1024) >= at + 8);
        if (round % 50 == 0)
            CHECK(task->store->sync(task->store->context) == AEGIS_OK);
    }
    free(page);
    return NULL;
}

static inline void check_two_threads(aegis_page_store *store) {
    pthread_t threads[2];
    store_task tasks[2] = {{store, 0}, {store, 8}};
    for (size_t i = 0; i < 2; i++)
        CHECK(pthread_create(&threads[i], NULL, use_store, &tasks[i]) == 0);
    for (size_t i = 0; i < 2; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
}

#endif
