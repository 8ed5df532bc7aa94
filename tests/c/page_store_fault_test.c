/* SPDX-License-Identifier: Apache-2.0 */
/* Tests the store that injects faults: that the n-th call of each kind fails and no other, what a
 * torn or short transfer leaves, what a lost sync undoes, the counts, and that threads lose nothing
 * that a good sync has covered. */
#if !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* clock_gettime */
#endif
#include "page_store_support.h"

#include <stdatomic.h>
#include <time.h>

#define PAGE 512

static aegis_page_store store_with(aegis_page_faults *faults, aegis_page_store *inner) {
    aegis_page_store store;
    CHECK(aegis_page_store_memory(inner, NULL) == AEGIS_OK);
    CHECK(aegis_page_store_faults(&store, inner, faults) == AEGIS_OK);
    return store;
}

static aegis_page_fault_counts counts_of(const aegis_page_faults *faults) {
    aegis_page_fault_counts counts;
    aegis_page_faults_counts(faults, &counts);
    return counts;
}

static void without_faults_it_is_the_inner_store(void) {
    for (uint32_t lost_pages = 0; lost_pages <= AEGIS_LOST_GARBLED; lost_pages++) {
        aegis_page_faults faults;
        memset(&faults, 0, sizeof faults);
        faults.lost_pages = lost_pages;
        aegis_page_store inner, store = store_with(&faults, &inner);
        check_pages_and_gaps(&store, PAGE);
        close_store(&store);
        store = store_with(&faults, &inner);
        check_truncation(&store, PAGE);
        close_store(&store);
        store = store_with(&faults, &inner);
        check_two_threads(&store);
        close_store(&store);
        CHECK_SIZE(counts_of(&faults).fault_count, 0);
    }
}

static void calls_and_pages_are_counted(void) {
    aegis_page_faults faults;
    memset(&faults, 0, sizeof faults);
    aegis_page_store inner, store = store_with(&faults, &inner);
    CHECK(write_range(&store, 0, 10, 1, PAGE) == AEGIS_OK);
    CHECK(has_range(&store, 0, 7, 1, PAGE) && !has_range(&store, 8, 4, 1, PAGE));
    CHECK(store.sync(store.context) == AEGIS_OK);
    aegis_page_fault_set(&faults.write, 1, 0);
    aegis_page_fault_set(&faults.read, 1, 0);
    CHECK(write_range(&store, 0, 5, 2, PAGE) == AEGIS_E_IO && !has_range(&store, 0, 5, 1, PAGE));
    aegis_page_fault_counts counts = counts_of(&faults);
    CHECK_SIZE(counts.read_count, 3);
    CHECK_SIZE(counts.read_page_count, 9);
    CHECK_SIZE(counts.write_count, 2);
    CHECK_SIZE(counts.written_page_count, 10);
    CHECK_SIZE(counts.sync_count, 1);
    CHECK_SIZE(counts.fault_count, 2);
    CHECK(has_range(&inner, 0, 10, 1, PAGE));
    close_store(&store);
}

/* Each rule, and a call of its function. */
static aegis_status call(const aegis_page_store *store, size_t rule) {
    unsigned char page[PAGE];
    size_t read_bytes = read_one(store, 0, page, PAGE);
    switch (rule) {
    case 0:
    case 1:
        return read_bytes == SIZE_MAX ? AEGIS_E_IO : AEGIS_OK;
    case 2:
        return read_bytes < PAGE ? AEGIS_E_IO : AEGIS_OK;
    case 3:
    case 4:
        return write_range(store, 0, 1, 1, PAGE);
    case 5:
    case 6:
        return store->sync(store->context);
    case 7:
        return length_of(store, PAGE) == 1 ? AEGIS_OK : AEGIS_E_IO;
    default:
        return truncate_to(store, 1, PAGE);
    }
}

static void nth_call_of_each_kind_fails_once(void) {
    for (size_t rule = 0; rule < 9; rule++) {
        aegis_page_faults faults;
        memset(&faults, 0, sizeof faults);
        aegis_page_store inner, store = store_with(&faults, &inner);
        aegis_page_fault *rules[] = {&faults.read,      &faults.torn_read,  &faults.short_read,
                                     &faults.write,     &faults.torn_write, &faults.sync,
                                     &faults.lost_sync, &faults.len,        &faults.truncate};
        CHECK(write_range(&store, 0, 1, 1, PAGE) == AEGIS_OK);
        for (size_t nth = 1; nth < 5; nth++) {
            aegis_page_fault_set(rules[rule], nth, 0);
            for (size_t i = 1; i < 8; i++)
                CHECK((call(&store, rule) == AEGIS_OK) == (i != nth));
        }
        CHECK_SIZE(counts_of(&faults).fault_count, 4);
        close_store(&store);
    }
}

static void failed_calls_change_nothing(void) {
    aegis_page_faults faults;
    memset(&faults, 0, sizeof faults);
    aegis_page_store inner, store = store_with(&faults, &inner);
    CHECK(write_range(&store, 0, 4, 1, PAGE) == AEGIS_OK);
    faults.write.countdown = faults.truncate.countdown = 1;
    CHECK(write_range(&store, 0, 9, 2, PAGE) == AEGIS_E_IO);
    CHECK(truncate_to(&store, 1, PAGE) == AEGIS_E_IO);
    CHECK_SIZE(length_of(&store, PAGE), 4);
    CHECK(has_range(&store, 0, 4, 1, PAGE));
    close_store(&store);
}

static void same_seed_has_the_same_faults(void) {
    size_t struck[3] = {0, 0, 0};
    uint64_t pattern[3] = {0, 0, 0};
    for (size_t run = 0; run < 3; run++) {
        aegis_page_faults faults;
        memset(&faults, 0, sizeof faults);
        faults.seed = run == 2 ? 8 : 7;
        faults.sync.per_million = 250000;
        aegis_page_store inner, store = store_with(&faults, &inner);
        for (size_t i = 0; i < 1000; i++) {
            bool failed = store.sync(store.context) != AEGIS_OK;
            struck[run] += failed;
            if (i < 64)
                pattern[run] |= (uint64_t)failed << i;
        }
        CHECK(counts_of(&faults).fault_count == struck[run]);
        close_store(&store);
    }
    CHECK(struck[0] > 150 && struck[0] < 350);
    CHECK(pattern[0] == pattern[1] && pattern[0] != pattern[2]);
}

static void torn_write_leaves_the_first_bytes_only(void) {
    size_t whole_seen = 0, cut_seen = 0;
    aegis_page_faults faults;
    memset(&faults, 0, sizeof faults);
    aegis_page_store inner, store = store_with(&faults, &inner);
    unsigned char page[PAGE];
    for (uint32_t round = 0; round < 100; round++) {
        uint32_t before = 2 * round + 1, after = before + 1;
        CHECK(write_range(&store, 0, 8, before, PAGE) == AEGIS_OK);
        aegis_page_fault_set(&faults.torn_write, 1, 0);
        CHECK(write_range(&store, 0, 8, after, PAGE) == AEGIS_E_IO);
        size_t at = 0, cut = 0;
        while (at < 8 && has_range(&store, at, 1, after, PAGE))
            at++;
        CHECK(at < 8 && read_one(&store, at, page, PAGE) == PAGE);
        while (cut < PAGE && page[cut] == byte_of(at, after, cut))
            cut++;
        for (size_t i = cut; i < PAGE; i++)
            CHECK(page[i] == byte_of(at, before, i));
        CHECK(has_range(&store, at + 1, 7 - at, before, PAGE));
        whole_seen += at != 0;
        cut_seen += cut != 0;
    }
    CHECK(whole_seen > 10 && cut_seen > 10);
    close_store(&store);
}

static void short_and_torn_reads_have_the_first_bytes(void) {
    aegis_page_faults faults;
    memset(&faults, 0, sizeof faults);
    aegis_page_store inner, store = store_with(&faults, &inner);
    unsigned char memory[4 * PAGE], *pages[4];
    for (size_t i = 0; i < 4; i++)
        pages[i] = memory + i * PAGE;
    CHECK(write_range(&store, 0, 4, 1, PAGE) == AEGIS_OK);
    size_t torn_seen = 0;
    for (size_t round = 0; round < 50; round++) {
        size_t read_bytes = 0, good = 0;
        aegis_page_fault_set(&faults.short_read, 1, 0);
        CHECK(store.read(store.context, 0, pages, 4, PAGE, &read_bytes) == AEGIS_OK);
        CHECK(read_bytes < 4 * PAGE);
        for (size_t i = 0; i < read_bytes; i++)
            CHECK(memory[i] == byte_of(i / PAGE, 1, i % PAGE));
        aegis_page_fault_set(&faults.torn_read, 1, 0);
        CHECK(store.read(store.context, 0, pages, 4, PAGE, &read_bytes) == AEGIS_E_IO);
        while (good < 4 * PAGE && memory[good] == byte_of(good / PAGE, 1, good % PAGE))
            good++;
        CHECK(good < 4 * PAGE);
        torn_seen += good > PAGE;
    }
    CHECK(torn_seen > 10);
    CHECK(has_range(&store, 0, 4, 1, PAGE));
    close_store(&store);
}

static void lost_sync_undoes_what_was_written_since_the_last_good_one(void) {
    static const uint64_t changed[] = {1, 2, 9};
    aegis_page_faults faults;
    memset(&faults, 0, sizeof faults);
    faults.lost_pages = AEGIS_LOST_RESTORED;
    aegis_page_store inner, store = store_with(&faults, &inner);
    CHECK(write_range(&store, 0, 4, 1, PAGE) == AEGIS_OK);
    CHECK(store.sync(store.context) == AEGIS_OK);
    CHECK(write_pages(&store, changed, 3, 2, PAGE) == AEGIS_OK);
    CHECK(write_pages(&store, changed, 2, 3, PAGE) == AEGIS_OK);
    faults.lost_sync.countdown = 1;
    CHECK(store.sync(store.context) == AEGIS_E_IO);
    /* The system believes that these pages are clean now. */
    CHECK(store.sync(store.context) == AEGIS_OK);
    CHECK(has_range(&store, 0, 4, 1, PAGE) && has_range(&store, 9, 1, 0, PAGE));
    /* A sync that only fails loses nothing, and the pages can still be lost. */
    CHECK(write_pages(&store, changed, 3, 4, PAGE) == AEGIS_OK);
    faults.sync.countdown = 1;
    CHECK(store.sync(store.context) == AEGIS_E_IO && has_range(&store, 1, 2, 4, PAGE));
    faults.lost_sync.countdown = 1;
    CHECK(store.sync(store.context) == AEGIS_E_IO && has_range(&store, 0, 4, 1, PAGE));
    /* Nothing was written since, so nothing is lost. */
    CHECK(write_pages(&store, changed, 3, 5, PAGE) == AEGIS_OK);
    CHECK(store.sync(store.context) == AEGIS_OK);
    faults.lost_sync.countdown = 1;
    CHECK(store.sync(store.context) == AEGIS_E_IO && has_range(&store, 1, 2, 5, PAGE));
    /* What is cut off stays so. */
    CHECK(write_pages(&store, changed, 3, 6, PAGE) == AEGIS_OK);
    CHECK(truncate_to(&store, 2, PAGE) == AEGIS_OK);
    faults.lost_sync.countdown = 1;
    CHECK(store.sync(store.context) == AEGIS_E_IO);
    CHECK_SIZE(length_of(&store, PAGE), 2);
    CHECK(has_range(&store, 0, 1, 1, PAGE) && has_range(&store, 1, 1, 5, PAGE));
    close_store(&store);
}

static void torn_write_is_lost_too(void) {
    aegis_page_faults faults;
    memset(&faults, 0, sizeof faults);
    faults.lost_pages = AEGIS_LOST_RESTORED;
    aegis_page_store inner, store = store_with(&faults, &inner);
    CHECK(write_range(&store, 0, 8, 1, PAGE) == AEGIS_OK);
    CHECK(store.sync(store.context) == AEGIS_OK);
    faults.torn_write.countdown = faults.lost_sync.countdown = 1;
    CHECK(write_range(&store, 0, 8, 2, PAGE) == AEGIS_E_IO);
    CHECK(store.sync(store.context) == AEGIS_E_IO);
    CHECK(has_range(&store, 0, 8, 1, PAGE));
    close_store(&store);
}

static void lost_pages_may_be_garbled(void) {
    aegis_page_faults faults;
    memset(&faults, 0, sizeof faults);
    faults.lost_pages = AEGIS_LOST_GARBLED;
    aegis_page_store inner, store = store_with(&faults, &inner);
    CHECK(write_range(&store, 0, 4, 1, PAGE) == AEGIS_OK);
    CHECK(store.sync(store.context) == AEGIS_OK);
    CHECK(write_range(&store, 1, 2, 2, PAGE) == AEGIS_OK);
    faults.lost_sync.countdown = 1;
    CHECK(store.sync(store.context) == AEGIS_E_IO);
    CHECK(has_range(&store, 0, 1, 1, PAGE) && has_range(&store, 3, 1, 1, PAGE));
    for (uint64_t page = 1; page < 3; page++)
        CHECK(!has_range(&store, page, 1, 1, PAGE) && !has_range(&store, page, 1, 2, PAGE));
    close_store(&store);
}

static void another_page_size_is_refused_while_pages_are_kept(void) {
    aegis_page_faults faults;
    memset(&faults, 0, sizeof faults);
    faults.lost_pages = AEGIS_LOST_RESTORED;
    aegis_page_store inner, store = store_with(&faults, &inner);
    CHECK(write_range(&store, 0, 1, 1, PAGE) == AEGIS_OK);
    CHECK(write_range(&store, 0, 1, 1, 2 * PAGE) == AEGIS_E_INVALID);
    close_store(&store);
    faults.lost_pages = AEGIS_LOST_GARBLED + 1;
    CHECK(aegis_page_store_memory(&inner, NULL) == AEGIS_OK);
    CHECK(aegis_page_store_faults(&store, &inner, &faults) == AEGIS_E_INVALID);
    CHECK(is_no_store(&store) && length_of(&inner, PAGE) == 0);
    close_store(&inner);
}

static void delays_are_at_least_as_long_as_asked(void) {
    aegis_page_faults faults;
    memset(&faults, 0, sizeof faults);
    faults.read_delay_ns = faults.write_delay_ns = faults.sync_delay_ns = 10000000;
    aegis_page_store inner, store = store_with(&faults, &inner);
    struct timespec begin, end;
    CHECK(clock_gettime(CLOCK_MONOTONIC, &begin) == 0);
    CHECK(write_range(&store, 0, 1, 1, PAGE) == AEGIS_OK && has_range(&store, 0, 1, 1, PAGE));
    CHECK(store.sync(store.context) == AEGIS_OK);
    CHECK(clock_gettime(CLOCK_MONOTONIC, &end) == 0);
    int64_t passed_ns =
        (int64_t)(end.tv_sec - begin.tv_sec) * 1000000000 + (end.tv_nsec - begin.tv_nsec);
    /* The clocks of some systems differ by a little. */
    CHECK(passed_ns > 25000000);
    close_store(&store);
}

/* What two threads know of pages that a third one syncs. */
#define THREAD_PAGES 16

typedef struct writer {
    const aegis_page_store *store;
    uint64_t first;
    /* The newest version of each page that was written, and that is known to be durable. */
    uint32_t written[THREAD_PAGES], durable[THREAD_PAGES];
} writer;

/* The version of a page; UINT32_MAX: it has none of them. */
static uint32_t version_of(const writer *self, size_t i, uint32_t from, uint32_t to) {
    unsigned char page[PAGE];
    if (read_one(self->store, self->first + i, page, PAGE) != PAGE)
        return UINT32_MAX;
    for (uint32_t version = to; version + 1 > from; version--)
        if (is_page(page, self->first + i, version, PAGE))
            return version;
    return UINT32_MAX;
}

/* Writes pages of its own, and syncs. Whatever the other thread does, a page is never older than
 * what a good sync of this thread has covered, and never newer than what was written. */
static void *write_and_sync(void *argument) {
    writer *self = (writer *)argument;
    for (uint32_t version = 1; version < 2000; version++) {
        size_t i = version * 7 % THREAD_PAGES;
        if (write_range(self->store, self->first + i, 1, version, PAGE) == AEGIS_OK)
            self->written[i] = version;
        if (version % 5 != 0)
            continue;
        /* A page that another thread's lost sync has undone is written again, as a cache does. */
        for (size_t k = 0; k < THREAD_PAGES; k++)
            CHECK(version_of(self, k, self->durable[k], self->written[k]) != UINT32_MAX);
        for (size_t k = 0; k < THREAD_PAGES; k++)
            if (self->written[k] != self->durable[k])
                CHECK(write_range(self->store, self->first + k, 1, self->written[k], PAGE) ==
                      AEGIS_OK);
        uint32_t seen[THREAD_PAGES];
        for (size_t k = 0; k < THREAD_PAGES; k++)
            seen[k] = version_of(self, k, self->durable[k], self->written[k]);
        if (self->store->sync(self->store->context) != AEGIS_OK)
            continue;
        /* Another thread's lost sync may have come between the two. So only what still reads as it
         * did before is durable. */
        for (size_t k = 0; k < THREAD_PAGES; k++)
            if (version_of(self, k, self->durable[k], self->written[k]) == seen[k])
                self->durable[k] = seen[k];
    }
    return NULL;
}

static void what_a_good_sync_has_covered_is_never_lost(void) {
    static writer writers[2];
    pthread_t threads[2];
    aegis_page_faults faults;
    memset(&faults, 0, sizeof faults);
    faults.lost_pages = AEGIS_LOST_RESTORED;
    faults.seed = 3;
    faults.lost_sync.per_million = 300000;
    aegis_page_store inner, store = store_with(&faults, &inner);
    CHECK(truncate_to(&store, 2 * THREAD_PAGES, PAGE) == AEGIS_OK);
    for (size_t i = 0; i < 2; i++) {
        writers[i].store = &store;
        writers[i].first = i * THREAD_PAGES;
        CHECK(pthread_create(&threads[i], NULL, write_and_sync, &writers[i]) == 0);
    }
    for (size_t i = 0; i < 2; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    size_t durable_count = 0;
    for (size_t i = 0; i < 2; i++)
        for (size_t k = 0; k < THREAD_PAGES; k++)
            durable_count += writers[i].durable[k] != 0;
    CHECK(durable_count > THREAD_PAGES && counts_of(&faults).fault_count > 100);
    close_store(&store);
}

/* Both threads find that a page is not remembered yet. */
static void *write_same(void *argument) {
    for (uint64_t page = 0; page < 3000; page++)
        CHECK(write_range((const aegis_page_store *)argument, page, 1, 2, PAGE) == AEGIS_OK);
    return NULL;
}

static void page_that_two_threads_write_is_remembered_once(void) {
    pthread_t threads[2];
    aegis_page_faults faults;
    memset(&faults, 0, sizeof faults);
    faults.lost_pages = AEGIS_LOST_RESTORED;
    aegis_page_store inner, store = store_with(&faults, &inner);
    for (size_t i = 0; i < 2; i++)
        CHECK(pthread_create(&threads[i], NULL, write_same, &store) == 0);
    for (size_t i = 0; i < 2; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    faults.lost_sync.countdown = 1;
    CHECK(store.sync(store.context) == AEGIS_E_IO && has_range(&store, 0, 100, 0, PAGE));
    CHECK(has_range(&store, 2900, 100, 0, PAGE));
    close_store(&store);
}

/* An inner store whose write takes long enough for a sync to pass it. */
static aegis_page_store slow_inner;
static atomic_bool is_writing, has_synced;

static aegis_status write_slowly(void *context, const aegis_page_write *pages, size_t page_count,
                                 size_t page_bytes) {
    struct timespec moment = {0, 50000000};
    atomic_store(&is_writing, true);
    (void)nanosleep(&moment, NULL);
    CHECK(!atomic_load(&has_synced));
    return slow_inner.write_batch(context, pages, page_count, page_bytes);
}

static void *write_one(void *argument) {
    CHECK(write_range((const aegis_page_store *)argument, 0, 1, 1, PAGE) == AEGIS_OK);
    return NULL;
}

static void sync_waits_for_a_write_that_is_under_way(void) {
    pthread_t thread;
    aegis_page_faults faults;
    memset(&faults, 0, sizeof faults);
    faults.lost_pages = AEGIS_LOST_RESTORED;
    CHECK(aegis_page_store_memory(&slow_inner, NULL) == AEGIS_OK);
    aegis_page_store inner = slow_inner, store;
    inner.write_batch = write_slowly;
    CHECK(aegis_page_store_faults(&store, &inner, &faults) == AEGIS_OK);
    CHECK(pthread_create(&thread, NULL, write_one, &store) == 0);
    while (!atomic_load(&is_writing))
        continue;
    CHECK(store.sync(store.context) == AEGIS_OK);
    atomic_store(&has_synced, true);
    CHECK(pthread_join(thread, NULL) == 0 && has_range(&store, 0, 1, 1, PAGE));
    close_store(&store);
}

int main(void) {
    check_alarm(300);
    RUN(without_faults_it_is_the_inner_store);
    RUN(calls_and_pages_are_counted);
    RUN(nth_call_of_each_kind_fails_once);
    RUN(failed_calls_change_nothing);
    RUN(same_seed_has_the_same_faults);
    RUN(torn_write_leaves_the_first_bytes_only);
    RUN(short_and_torn_reads_have_the_first_bytes);
    RUN(lost_sync_undoes_what_was_written_since_the_last_good_one);
    RUN(torn_write_is_lost_too);
    RUN(lost_pages_may_be_garbled);
    RUN(another_page_size_is_refused_while_pages_are_kept);
    RUN(delays_are_at_least_as_long_as_asked);
    RUN(page_that_two_threads_write_is_remembered_once);
    RUN(sync_waits_for_a_write_that_is_under_way);
    RUN(what_a_good_sync_has_covered_is_never_lost);
    return check_finish();
}
