/* SPDX-License-Identifier: Apache-2.0 */
/* Tests a page cache in the child of its process: resident pages can be read, all else fails, and
 * nothing is written. */
#if !defined(_GNU_SOURCE)
#define _GNU_SOURCE
#endif
#include "fork_support.h"
#include "page_cache_support.h"

#if defined(_WIN32)

int main(void) {
    RUN(nothing_forks_here);
    return check_finish();
}

#else

static aegis_page_cache cache;
static test_disk *disk;
static uint32_t file;
static aegis_page_pin reader;
static aegis_page_pin writer;
static aegis_page_read begun;

static void begin(void) {
    cache = cache_of(8);
    disk = disk_new(32);
    file = open_disk(&cache, disk, NULL);
    check_page(&cache, file, 1, 0);
    change_page(&cache, file, 2, 1, 0);
}

static void use_in_child(void) {
    aegis_page_pin pin;
    aegis_page_read read;
    test_disk *other = disk_new(4);
    aegis_page_store store = disk_store(other);
    uint32_t number;
    size_t calls = disk->call_count;
    check_page(&cache, file, 1, 0);
    check_page(&cache, file, 2, 1);
    CHECK_ERROR(aegis_page_cache_pin(&cache, file, 9, 0, &pin, error), AEGIS_E_FORKED,
                AEGIS_PAGE_NONE, aegis_status_message(AEGIS_E_FORKED));
    CHECK(pin.data == NULL);
    static const uint32_t modes[] = {AEGIS_PIN_WRITE, AEGIS_PIN_FRESH,
                                     AEGIS_PIN_WRITE | AEGIS_PIN_TRY};
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
        CHECK(aegis_page_cache_pin(&cache, file, 1, modes[i], &pin, NULL) == AEGIS_E_FORKED);
    CHECK(aegis_page_cache_begin_read(&cache, file, 1, 0, &pin, &read, NULL) == AEGIS_OK);
    CHECK_ERROR(aegis_page_cache_upgrade(&cache, &pin, 0, error), AEGIS_E_FORKED, AEGIS_PAGE_NONE,
                aegis_status_message(AEGIS_E_FORKED));
    CHECK(pin.mode == AEGIS_PIN_READ);
    unpin_page(&cache, &pin, 0);
    CHECK(aegis_page_cache_begin_read(&cache, file, 9, 0, &pin, &read, NULL) == AEGIS_E_FORKED);
    CHECK(aegis_page_cache_prefetch(&cache, file, 0, 9, 0, NULL, NULL) == AEGIS_E_FORKED);
    CHECK(aegis_page_cache_discard(&cache, file, 0, 9, NULL, NULL) == AEGIS_E_FORKED);
    CHECK(aegis_page_cache_clean(&cache, 9, NULL, NULL) == AEGIS_E_FORKED);
    CHECK(aegis_page_cache_clean(&cache, 0, NULL, NULL) == AEGIS_E_FORKED);
    CHECK(aegis_page_cache_flush_page(&cache, file, 2, NULL) == AEGIS_E_FORKED);
    CHECK(aegis_page_cache_flush(&cache, file, NULL) == AEGIS_E_FORKED);
    CHECK(aegis_page_cache_flush_all(&cache, NULL) == AEGIS_E_FORKED);
    CHECK(aegis_page_cache_resize(&cache, 4, NULL) == AEGIS_E_FORKED);
    CHECK(aegis_page_cache_open(&cache, &store, NULL, &number, NULL) == AEGIS_E_FORKED);
    CHECK(aegis_page_cache_close(&cache, file, 0, NULL) == AEGIS_E_FORKED);
    CHECK(aegis_page_cache_close(&cache, file, AEGIS_CLOSE_DISCARD, NULL) == AEGIS_E_FORKED);
    CHECK(aegis_page_cache_destroy(&cache, NULL) == AEGIS_E_FORKED);
    CHECK(cache.shared != NULL);
    CHECK_SIZE(disk->call_count, calls);
    aegis_page_cache_abandon(&cache);
    CHECK_SIZE(disk->call_count, calls);
    CHECK_SIZE(disk->write_count, 0);
    disk_free(other);
}

static void a_child_reads_resident_pages_and_writes_nothing(void) {
    begin();
    run_in_child(use_in_child);
    check_page(&cache, file, 2, 1);
    end_cache(&cache);
    CHECK(page_is(disk->durable[2], 2, 1));
    disk_free(disk);
}

/* The pins that the parent's threads had are in the child too. */
static void use_pins_in_child(void) {
    aegis_page_pin pin;
    CHECK(page_is(reader.data, 1, 0));
    CHECK(aegis_page_cache_rekey(&cache, &writer, 7, NULL) == AEGIS_E_FORKED);
    CHECK(writer.page == 5);
    unpin_page(&cache, &reader, 0);
    unpin_page(&cache, &writer, AEGIS_UNPIN_DIRTY);
    CHECK(aegis_page_cache_complete(&cache, &begun, AEGIS_OK, &pin, NULL) == AEGIS_E_FORKED);
    CHECK(pin.data == NULL);
    aegis_page_cache_abandon(&cache);
    CHECK_SIZE(disk->write_count, 0);
}

static void pins_of_the_parent_may_be_given_up_in_the_child(void) {
    aegis_page_pin pin;
    begin();
    reader = pin_page(&cache, file, 1, AEGIS_PIN_READ);
    writer = pin_page(&cache, file, 5, AEGIS_PIN_WRITE);
    CHECK(aegis_page_cache_begin_read(&cache, file, 6, 0, &pin, &begun, NULL) == AEGIS_PENDING);
    run_in_child(use_pins_in_child);
    unpin_page(&cache, &reader, 0);
    unpin_page(&cache, &writer, 0);
    CHECK(aegis_page_cache_complete(&cache, &begun, AEGIS_E_IO, &pin, NULL) == AEGIS_E_IO);
    end_cache(&cache);
    disk_free(disk);
}

/* Threads of the parent are inside the cache at the fork, with its locks. */
static atomic_bool stopped;

static void *use_cache(void *argument) {
    uint64_t seed = 1 + (uint64_t)(uintptr_t)argument;
    while (!atomic_load(&stopped)) {
        uint64_t page = 3 + random_below(&seed, 29);
        aegis_page_pin pin;
        if (aegis_page_cache_pin(&cache, file, page, random_below(&seed, 2) ? AEGIS_PIN_WRITE : 0,
                                 &pin, NULL) == AEGIS_OK)
            unpin_page(&cache, &pin, 0);
        (void)aegis_page_cache_clean(&cache, 2, NULL, NULL);
    }
    return NULL;
}

static void read_in_child(void) {
    aegis_page_pin pin;
    CHECK(page_is(reader.data, 1, 0));
    check_page(&cache, file, 1, 0);
    CHECK(aegis_page_cache_pin(&cache, file, 1, AEGIS_PIN_WRITE, &pin, NULL) == AEGIS_E_FORKED);
    CHECK(aegis_page_cache_flush_all(&cache, NULL) == AEGIS_E_FORKED);
    unpin_page(&cache, &reader, 0);
}

static void a_child_does_not_wait_for_threads_of_the_parent(void) {
    if (!test_can_fork_beside_threads())
        return;
    begin();
    atomic_store(&stopped, false);
    reader = pin_page(&cache, file, 1, AEGIS_PIN_READ);
    pthread_t threads[2];
    for (size_t i = 0; i < 2; i++)
        threads[i] = start(use_cache, (void *)(uintptr_t)i);
    for (size_t i = 0; i < scaled(50); i++)
        run_in_child(read_in_child);
    atomic_store(&stopped, true);
    for (size_t i = 0; i < 2; i++)
        join(threads[i]);
    unpin_page(&cache, &reader, 0);
    end_cache(&cache);
    disk_free(disk);
}

int main(void) {
    check_alarm(120);
    RUN(a_child_reads_resident_pages_and_writes_nothing);
    RUN(pins_of_the_parent_may_be_given_up_in_the_child);
    RUN(a_child_does_not_wait_for_threads_of_the_parent);
    return check_finish();
}

#endif
