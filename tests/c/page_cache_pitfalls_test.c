/* SPDX-License-Identifier: Apache-2.0 */
/* Mistakes that shipped in page caches of others, a test for each. The names of the tests say which
 * mistake it is, and the comments where it happened. */
#include "page_cache_support.h"

static aegis_page_cache cache;
static test_disk *disk;
static uint32_t file;

static void begin_with(const aegis_page_cache_options *options, const aegis_page_hooks *hooks) {
    cache = cache_with(options);
    disk = disk_new(64);
    file = open_disk(&cache, disk, hooks);
}

static void begin(size_t frame_count) {
    aegis_page_cache_options options = cache_options(frame_count);
    begin_with(&options, NULL);
}

static void end(void) {
    aegis_page_cache_stats stats = cache_stats(&cache);
    CHECK_SIZE(stats.pinned_count, 0);
    CHECK_SIZE(stats.resident_count + stats.free_count, stats.frame_count);
    end_cache(&cache);
    disk_free(disk);
}

/* -- a frame that was evicted meanwhile (InnoDB bug 1664280, MariaDB MDEV-34453) -- */

static atomic_size_t wrong_count;
static atomic_bool stopped;

static void *pin_what_is_evicted(void *argument) {
    uint64_t seed = 7 + (uint64_t)(uintptr_t)argument;
    for (size_t i = 0; i < scaled(20000); i++) {
        uint64_t page = random_below(&seed, 8);
        aegis_page_pin pin;
        if (aegis_page_cache_pin(&cache, file, page,
                                 random_below(&seed, 8) == 0 ? AEGIS_PIN_WRITE : 0, &pin,
                                 NULL) != AEGIS_OK) {
            atomic_fetch_add(&wrong_count, 1);
            continue;
        }
        /* The first words tell the pages apart; all bytes are checked now and then. */
        unsigned char expected[PAGE_BYTES];
        page_fill(expected, page, 0);
        size_t count = i % 64 == 0 ? PAGE_BYTES : 16;
        if (pin.page != page || memcmp(pin.data, expected, count) != 0)
            atomic_fetch_add(&wrong_count, 1);
        if (aegis_page_cache_unpin(&cache, &pin, 0) != AEGIS_OK)
            atomic_fetch_add(&wrong_count, 1);
    }
    return NULL;
}

static void a_frame_that_was_evicted_meanwhile(void) {
    begin(6);
    atomic_store(&wrong_count, 0);
    pthread_t threads[4];
    for (size_t i = 0; i < 4; i++)
        threads[i] = start(pin_what_is_evicted, (void *)(uintptr_t)i);
    for (size_t i = 0; i < 4; i++)
        join(threads[i]);
    CHECK_SIZE(atomic_load(&wrong_count), 0);
    CHECK(cache_stats(&cache).evicted_clean_count > 2);
    /* No count of pins has gone wrong: every frame can be pinned, and written to. */
    aegis_page_pin pins[6];
    for (uint64_t i = 0; i < 6; i++)
        pins[i] = pin_page(&cache, file, 20 + i, AEGIS_PIN_WRITE | AEGIS_PIN_TRY);
    for (uint64_t i = 0; i < 6; i++)
        unpin_page(&cache, &pins[i], 0);
    end();
}

/* Pages that are thrown away, or whose slab goes, while threads pin them: nobody waits for a frame
 * that has no page any more. */
static void *throw_away(void *unused) {
    uint64_t seed = 99;
    while (!atomic_load(&stopped)) {
        (void)aegis_page_cache_discard(&cache, file, random_below(&seed, 8), 2, NULL, NULL);
        if (random_below(&seed, 4) == 0)
            (void)aegis_page_cache_resize(&cache, 6 + random_below(&seed, 11), NULL);
    }
    return unused;
}

static void a_frame_that_was_discarded_meanwhile(void) {
    aegis_page_cache_options options = cache_options(16);
    options.latch_wait_ns = AEGIS_WAIT_FOREVER;
    begin_with(&options, NULL);
    atomic_store(&wrong_count, 0);
    atomic_store(&stopped, false);
    pthread_t threads[4];
    pthread_t thrower = start(throw_away, NULL);
    for (size_t i = 0; i < 4; i++)
        threads[i] = start(pin_what_is_evicted, (void *)(uintptr_t)i);
    for (size_t i = 0; i < 4; i++)
        join(threads[i]);
    atomic_store(&stopped, true);
    join(thrower);
    CHECK_SIZE(atomic_load(&wrong_count), 0);
    end();
}

/* -- marked clean though changed (caetanosauer/zero #10) -- */

typedef struct gate {
    atomic_bool closed;
    atomic_uint waiting;
} gate;

static aegis_status wait_at_gate(void *context, uint32_t number, uint64_t max_lsn) {
    gate *self = (gate *)context;
    (void)number, (void)max_lsn;
    atomic_fetch_add(&self->waiting, 1);
    while (atomic_load(&self->closed))
        sched_yield();
    return AEGIS_OK;
}

static void *clean_all(void *unused) {
    CHECK(aegis_page_cache_clean(&cache, 99, NULL, NULL) == AEGIS_OK);
    return unused;
}

static void marked_clean_though_changed(void) {
    gate at = {true, 0};
    aegis_page_hooks hooks = {wait_at_gate, NULL, NULL, NULL, &at};
    aegis_page_cache_options options = cache_options(8);
    begin_with(&options, &hooks);
    change_page(&cache, file, 5, 1, 10);
    pthread_t cleaner = start(clean_all, NULL);
    while (atomic_load(&at.waiting) == 0)
        sched_yield();
    /* The page was copied, and is changed before the copy is written. */
    change_page(&cache, file, 5, 2, 20);
    atomic_store(&at.closed, false);
    join(cleaner);
    CHECK_SIZE(cache_stats(&cache).dirty_count, 1);
    CHECK(page_is(disk->pages[5], 5, 1));
    for (uint64_t page = 10; page < 40; page++)
        check_page(&cache, file, page, 0);
    check_page(&cache, file, 5, 2);
    CHECK(aegis_page_cache_flush(&cache, file, NULL) == AEGIS_OK);
    CHECK(page_is(disk->durable[5], 5, 2));
    end();
}

/* -- dead entries in eviction queues (DuckDB #2130, #22680, #23444) -- */

static void dead_entries_in_eviction_queues(void) {
    begin(16);
    size_t reserved = cache_stats(&cache).reserved_bytes;
    for (size_t i = 0; i < scaled(20000); i++) {
        check_page(&cache, file, i % 12, 0);
        CHECK(aegis_page_cache_discard(&cache, file, i % 12, 1, NULL, NULL) == AEGIS_OK);
        check_page(&cache, file, 12 + i % 2, 0);
    }
    aegis_page_cache_stats stats = cache_stats(&cache);
    CHECK_SIZE(stats.reserved_bytes, reserved);
    CHECK_SIZE(stats.resident_count, 2);
    CHECK_SIZE(stats.free_count, 14);
    CHECK_SIZE(stats.evicted_clean_count, 0);
    /* Files that come and go leave nothing either. */
    for (int i = 0; i < 200; i++) {
        test_disk *other_disk = disk_new(4);
        uint32_t other = open_disk(&cache, other_disk, NULL);
        for (uint64_t page = 0; page < 4; page++)
            check_page(&cache, other, page, 0);
        CHECK(aegis_page_cache_close(&cache, other, 0, NULL) == AEGIS_OK);
        disk_free(other_disk);
    }
    CHECK_SIZE(cache_stats(&cache).reserved_bytes, reserved);
    CHECK_SIZE(cache_stats(&cache).free_count, 14);
    for (uint64_t page = 0; page < 64; page++)
        check_page(&cache, file, page, 0);
    CHECK_SIZE(cache_stats(&cache).resident_count, 16);
    end();
}

/* -- one reason taken for another (DuckDB #25959, #25871) -- */

static void a_page_that_could_not_be_written_is_evicted_later(void) {
    begin(8);
    for (uint64_t page = 0; page < 4; page++)
        change_page(&cache, file, page, 1, 0);
    disk->fail_writes = true;
    for (int round = 0; round < 4; round++)
        for (uint64_t page = 10; page < 40; page++)
            check_page(&cache, file, page, 0);
    CHECK_SIZE(cache_stats(&cache).dirty_count, 4);
    disk->fail_writes = false;
    for (int round = 0; round < 4; round++)
        for (uint64_t page = 10; page < 40; page++)
            change_page(&cache, file, page, 1, 0);
    for (uint64_t page = 0; page < 4; page++) {
        CHECK(!aegis_page_cache_contains(&cache, file, page));
        check_page(&cache, file, page, 1);
    }
    end();
}

static void a_page_that_was_pinned_is_evicted_later(void) {
    begin(8);
    aegis_page_pin pin = pin_page(&cache, file, 0, AEGIS_PIN_READ);
    for (uint64_t page = 10; page < 60; page++)
        check_page(&cache, file, page, 0);
    CHECK(aegis_page_cache_contains(&cache, file, 0));
    unpin_page(&cache, &pin, 0);
    /* It was in use for long, so it is not the first to go. */
    for (int round = 0; round < 40; round++)
        for (uint64_t page = 10; page < 60; page++)
            check_page(&cache, file, page, 0);
    CHECK(!aegis_page_cache_contains(&cache, file, 0));
    end();
}

static void a_lower_limit_asks_for_what_is_too_much(void) {
    aegis_budget *root = aegis_budget_new("root", AEGIS_BUDGET_UNLIMITED, NULL);
    aegis_budget *own = aegis_budget_new("own", AEGIS_BUDGET_UNLIMITED, root);
    aegis_page_cache_options options = cache_options(16);
    options.budget = own;
    options.min_frame_count = 2;
    options.flags = AEGIS_PAGE_CACHE_RECLAIMABLE;
    begin_with(&options, NULL);
    for (uint64_t page = 0; page < 16; page++)
        change_page(&cache, file, page, 1, 0);
    aegis_budget_figures figures;
    aegis_budget_get_figures(root, &figures);
    aegis_budget_set_limit(root, figures.used_bytes - 1);
    CHECK(cache_stats(&cache).frame_count < 16);
    aegis_budget_get_figures(root, &figures);
    CHECK(figures.used_bytes <= figures.limit_bytes);
    for (uint64_t page = 0; page < 16; page++)
        check_page(&cache, file, page, 1);
    end();
    aegis_budget_destroy(own);
    aegis_budget_destroy(root);
}

/* -- a pin that nobody holds (pgrust #93) -- */

static void *prefetch_some(void *unused) {
    aegis_page_error error;
    aegis_status status = aegis_page_cache_prefetch(&cache, file, 0, 16, 0, NULL, &error);
    CHECK(status == AEGIS_OK || status == AEGIS_E_CLOSED);
    return unused;
}

static void *close_it(void *unused) {
    CHECK(aegis_page_cache_close(&cache, file, 0, NULL) == AEGIS_OK);
    return unused;
}

static void a_pin_that_nobody_holds(void) {
    begin(32);
    disk_set(disk, &disk->hold_reads, true);
    pthread_t reader = start(prefetch_some, NULL);
    disk_await_held(disk, 1);
    pthread_t closer = start(close_it, NULL);
    disk_set(disk, &disk->hold_reads, false);
    join(reader);
    join(closer);
    CHECK_SIZE(disk->close_count, 1);
    CHECK_SIZE(cache_stats(&cache).free_count, 32);
    end();
    /* A read that is begun and never completed: the wait for it can be given up. */
    aegis_page_cache_options options = cache_options(8);
    options.latch_wait_ns = 20 * MS;
    begin_with(&options, NULL);
    aegis_page_pin pin;
    aegis_page_read read;
    CHECK(aegis_page_cache_begin_read(&cache, file, 3, 0, &pin, &read, NULL) == AEGIS_PENDING);
    CHECK(aegis_page_cache_close(&cache, file, 0, NULL) == AEGIS_E_BUSY);
    CHECK(aegis_page_cache_discard(&cache, file, 3, 1, NULL, NULL) == AEGIS_E_BUSY);
    CHECK(aegis_page_cache_destroy(&cache, NULL) == AEGIS_E_BUSY);
    aegis_page_cache_abandon(&cache);
    CHECK_SIZE(disk->close_count, 1);
    disk_free(disk);
}

/* -- guard order (simpledb #90) -- */

static void *write_whole_pages(void *argument) {
    uint64_t seed = 3 + (uint64_t)(uintptr_t)argument;
    for (size_t i = 0; i < scaled(4000); i++) {
        uint64_t page = random_below(&seed, 12);
        aegis_page_pin pin;
        if (aegis_page_cache_pin(&cache, file, page, AEGIS_PIN_WRITE, &pin, NULL) != AEGIS_OK) {
            atomic_fetch_add(&wrong_count, 1);
            continue;
        }
        /* The page is whole: the one that had it before has given it up as a whole. */
        uint64_t version;
        memcpy(&version, pin.data, sizeof version);
        for (size_t k = 1; k < PAGE_BYTES / sizeof version; k++) {
            uint64_t word;
            memcpy(&word, pin.data + k * sizeof word, sizeof word);
            if (word != version)
                atomic_fetch_add(&wrong_count, 1);
        }
        version++;
        for (size_t k = 0; k < PAGE_BYTES / sizeof version; k++)
            memcpy(pin.data + k * sizeof version, &version, sizeof version);
        if (aegis_page_cache_unpin(&cache, &pin, AEGIS_UNPIN_DIRTY) != AEGIS_OK)
            atomic_fetch_add(&wrong_count, 1);
    }
    return NULL;
}

static void guard_order(void) {
    begin(6);
    for (size_t page = 0; page < 12; page++)
        memset(disk->pages[page], 0, PAGE_BYTES);
    atomic_store(&wrong_count, 0);
    pthread_t threads[4];
    for (size_t i = 0; i < 4; i++)
        threads[i] = start(write_whole_pages, (void *)(uintptr_t)i);
    for (size_t i = 0; i < 4; i++)
        join(threads[i]);
    CHECK_SIZE(atomic_load(&wrong_count), 0);
    CHECK(aegis_page_cache_flush(&cache, file, NULL) == AEGIS_OK);
    /* Each change is on the disk, so none was made to a page that was on its way out. */
    uint64_t sum = 0;
    for (size_t page = 0; page < 12; page++) {
        uint64_t version;
        memcpy(&version, disk->durable[page], sizeof version);
        sum += version;
    }
    CHECK_SIZE(sum, 4 * scaled(4000));
    end();
}

/* -- fsync that fails once (PostgreSQL's fsyncgate, redb #450, neon #8140, turso #3077) -- */

static void fsync_that_fails_once(void) {
    begin(8);
    change_page(&cache, file, 1, 1, 0);
    disk->fail_syncs = true;
    CHECK(aegis_page_cache_flush(&cache, file, NULL) == AEGIS_E_IO);
    disk->fail_syncs = false;
    CHECK(page_is(disk->durable[1], 1, 0));
    CHECK(aegis_page_cache_flush(&cache, file, NULL) == AEGIS_OK);
    CHECK(page_is(disk->durable[1], 1, 1));
    end();
}

/* -- errors that leave the cache inconsistent (turso #3189) -- */

static void errors_that_leave_the_cache_inconsistent(void) {
    begin(16);
    for (uint64_t page = 0; page < 12; page++)
        change_page(&cache, file, page, 1, 0);
    disk->fail_at = disk->call_count + 2;
    disk->tear_writes = true;
    CHECK(aegis_page_cache_flush(&cache, file, NULL) == AEGIS_E_IO);
    size_t dirty = cache_stats(&cache).dirty_count;
    CHECK(dirty > 0 && dirty < 12);
    for (uint64_t page = 0; page < 12; page++)
        check_page(&cache, file, page, 1);
    /* A rollback throws the pages away. */
    size_t count;
    CHECK(aegis_page_cache_discard(&cache, file, 0, UINT64_MAX, &count, NULL) == AEGIS_OK);
    CHECK_SIZE(count, 12);
    CHECK_SIZE(cache_stats(&cache).dirty_count, 0);
    CHECK(aegis_page_cache_flush(&cache, file, NULL) == AEGIS_OK);
    for (uint64_t page = 20; page < 64; page++)
        check_page(&cache, file, page, 0);
    end();
}

/* -- work in the wrong place (neo4j #4453) -- */

static void work_in_the_wrong_place(void) {
    begin(8);
    aegis_page_pin pin = pin_page(&cache, file, 3, AEGIS_PIN_READ);
    const unsigned char *bytes = pin.data;
    unpin_page(&cache, &pin, 0);
    CHECK(aegis_page_cache_discard(&cache, file, 3, 1, NULL, NULL) == AEGIS_OK);
    /* Whoever removes a page does not clear its memory, which is hidden from a checker. */
    if ((aegis_build_flags() & (AEGIS_BUILD_ASAN | AEGIS_BUILD_VALGRIND)) == 0)
        CHECK(page_is(bytes, 3, 0));
    /* The thread that needs a clear page does. */
    pin = pin_page(&cache, file, 60, AEGIS_PIN_FRESH);
    CHECK(pin.data == bytes && is_filled(pin.data, 0, PAGE_BYTES));
    unpin_page(&cache, &pin, 0);
    end();
}

/* -- stale copies (CSharpDB #3) -- */

static void stale_copies(void) {
    begin(8);
    change_page(&cache, file, 1, 1, 0);
    for (int round = 0; round < 3; round++)
        for (uint64_t page = 10; page < 40; page++)
            change_page(&cache, file, page, 1, 0);
    CHECK(!aegis_page_cache_contains(&cache, file, 1));
    CHECK(page_is(disk->pages[1], 1, 1));
    check_page(&cache, file, 1, 1);
    change_page(&cache, file, 1, 2, 0);
    CHECK(aegis_page_cache_flush(&cache, file, NULL) == AEGIS_OK);
    CHECK(page_is(disk->durable[1], 1, 2));
    check_page(&cache, file, 1, 2);
    end();
}

int main(void) {
    check_alarm(240);
    RUN(a_frame_that_was_evicted_meanwhile);
    RUN(a_frame_that_was_discarded_meanwhile);
    RUN(marked_clean_though_changed);
    RUN(dead_entries_in_eviction_queues);
    RUN(a_page_that_could_not_be_written_is_evicted_later);
    RUN(a_page_that_was_pinned_is_evicted_later);
    RUN(a_lower_limit_asks_for_what_is_too_much);
    RUN(a_pin_that_nobody_holds);
    RUN(guard_order);
    RUN(fsync_that_fails_once);
    RUN(errors_that_leave_the_cache_inconsistent);
    RUN(work_in_the_wrong_place);
    RUN(stale_copies);
    return check_finish();
}
