/* SPDX-License-Identifier: Apache-2.0 */
/* Tests one page cache with more threads than cores over a store that fails at random. The work
 * goes in rounds of about a second; each has its own cache, and its faults follow from its number.
 * Every page holds its number, its version, and a checksum over all bytes. An oracle knows which
 * version is the newest, and which were durable after a flush that has succeeded. A round ends in
 * one of two ways:
 *  - In order: the faults end, the cache is destroyed, and every page on the store must have its
 *    newest version.
 *  - By a crash: the cache is abandoned, and the store drops all that was not synced. What a flush
 *    had promised must be there. (Without torn writes, which no cache can undo.)
 * If the cache says that pages may be lost after a failed sync, the round ends at once, and only
 * what was promised before is checked.
 * AEGIS_TEST_SCALE, or the number of seconds as an argument, sets the work. */
#include "page_cache_support.h"

#include "aegis_memory/page_checksum.h"

#include <time.h>

#define BYTES ((size_t)1024)
#define THREADS 6
#define SHARED_PAGES 160
/* Pages that only one thread uses, which throws them away now and then. */
#define OWN_PAGES 8
#define PAGES (SHARED_PAGES + THREADS * OWN_PAGES)
#define BUFFERS 3

static aegis_page_cache cache;
static uint32_t file;
static aegis_page_store faulty;
static aegis_page_faults faults;
/* The version of each page, written under a pin; the same, after the end of that pin; and what is
 * durable for certain. */
static _Atomic uint64_t newest[PAGES];
static _Atomic uint64_t settled[PAGES];
static _Atomic uint64_t promised[PAGES];
static atomic_bool stopped;
/* Pages that were not as they should be, which is a failure unless the cache says that pages may be
 * lost; and calls that returned what they must not. */
static atomic_size_t suspect_count;
static atomic_size_t wrong_count;
static atomic_size_t turn_count;
/* All rounds together, so that the test knows that it has tested something. */
static size_t good_flushes;
static size_t crash_count;
static size_t lost_count;
static size_t fault_count;

static uint64_t now_ns(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void fill(unsigned char *bytes, uint64_t page, uint64_t version) {
    uint64_t words[2] = {page, version};
    memset(bytes, (int)(page * 31 + version), BYTES);
    memcpy(bytes, words, sizeof words);
    uint32_t sum = aegis_crc32c(0, bytes, BYTES - sizeof sum);
    memcpy(bytes + BYTES - sizeof sum, &sum, sizeof sum);
}

/* The version of a page; UINT64_MAX if it is damaged or another page. A page that was never written
 * has version 0. */
static uint64_t version_of(const unsigned char *bytes, uint64_t page) {
    uint64_t words[2];
    uint32_t sum;
    memcpy(words, bytes, sizeof words);
    memcpy(&sum, bytes + BYTES - sizeof sum, sizeof sum);
    if (is_filled(bytes, 0, BYTES))
        return 0;
    return words[0] == page && sum == aegis_crc32c(0, bytes, BYTES - sizeof sum) ? words[1]
                                                                                 : UINT64_MAX;
}

static void demand(bool condition, const char *what) {
    if (condition)
        return;
    if (atomic_fetch_add(&wrong_count, 1) < 10)
        fprintf(stderr, "    wrong: %s\n", what);
}

static void demand_status(aegis_status status, const aegis_page_error *error, const char *what) {
    if (status == AEGIS_OK || (status == AEGIS_E_IO && error->status == AEGIS_E_IO))
        return;
    if (atomic_fetch_add(&wrong_count, 1) >= 10)
        return;
    char text[256];
    (void)aegis_page_error_explain(error, text, sizeof text);
    fprintf(stderr, "    wrong: %s: %d: %s\n", what, (int)status, text);
}

/* Demands that a pinned page is in its newest version. */
static void check_pinned(const unsigned char *bytes, uint64_t page) {
    if (version_of(bytes, page) == atomic_load(&newest[page]))
        return;
    atomic_fetch_add(&suspect_count, 1);
    atomic_store(&stopped, true);
}

static void raise_to(_Atomic uint64_t *word, uint64_t value) {
    uint64_t seen = atomic_load(word);
    while (seen < value && !atomic_compare_exchange_weak(word, &seen, value))
        continue;
}

static bool pin(uint64_t page, uint32_t mode, aegis_page_pin *out) {
    aegis_page_error error;
    aegis_status status = aegis_page_cache_pin(&cache, file, page, mode, out, &error);
    if (status == AEGIS_E_BUSY &&
        ((mode & AEGIS_PIN_TRY) != 0 || error.reason == AEGIS_PAGE_ALL_DIRTY))
        return false;
    demand_status(status, &error, "pin");
    return status == AEGIS_OK;
}

static void unpin(aegis_page_pin *out, uint32_t flags) {
    demand(aegis_page_cache_unpin(&cache, out, flags) == AEGIS_OK, "unpin");
}

/* Writes the next version to a page that is pinned to be written. */
static void change(aegis_page_pin *out) {
    uint64_t page = out->page;
    uint64_t version = atomic_load(&newest[page]) + 1;
    fill(out->data, page, version);
    atomic_store(&newest[page], version);
    (void)aegis_page_cache_set_lsn(&cache, out, version);
    unpin(out, AEGIS_UNPIN_DIRTY);
    raise_to(&settled[page], version);
}

static void flush(bool all) {
    uint64_t least[SHARED_PAGES];
    aegis_page_error error;
    for (size_t i = 0; i < SHARED_PAGES; i++)
        least[i] = atomic_load(&settled[i]);
    aegis_status status = all ? aegis_page_cache_flush_all(&cache, &error)
                              : aegis_page_cache_flush(&cache, file, &error);
    demand_status(status, &error, "flush");
    if (status == AEGIS_OK)
        for (size_t i = 0; i < SHARED_PAGES; i++)
            raise_to(&promised[i], least[i]);
    else if (error.reason == AEGIS_PAGE_LOST)
        atomic_store(&stopped, true);
}

/* One thread. */
typedef struct worker {
    uint64_t seed;
    size_t number;
    aegis_buffer buffers[BUFFERS];
    uint64_t buffer_pages[BUFFERS];
    pthread_t thread;
} worker;

static void release_buffer(worker *self, size_t at) {
    if (self->buffers[at].data == NULL)
        return;
    check_pinned(self->buffers[at].data, self->buffer_pages[at]);
    demand(aegis_buffer_release(&self->buffers[at]) == AEGIS_OK, "buffer");
    memset(&self->buffers[at], 0, sizeof self->buffers[at]);
}

static void make_buffer(worker *self, uint64_t page) {
    size_t at = random_below(&self->seed, BUFFERS);
    aegis_page_pin out;
    release_buffer(self, at);
    if (!pin(page, AEGIS_PIN_READ, &out))
        return;
    check_pinned(out.data, page);
    demand(aegis_page_cache_into_buffer(&cache, &out, &self->buffers[at], NULL) == AEGIS_OK,
           "into_buffer");
    self->buffer_pages[at] = page;
}

/* Throws pages of its own away, and goes on from what the store has. */
static void discard(worker *self) {
    uint64_t first = SHARED_PAGES + self->number * OWN_PAGES;
    aegis_page_error error;
    aegis_status status = aegis_page_cache_discard(&cache, file, first, OWN_PAGES, NULL, &error);
    /* A thread that was on its way to another page of the same frame may be in the way. */
    demand(status == AEGIS_OK || status == AEGIS_E_BUSY, "discard");
    for (uint64_t page = first; page < first + OWN_PAGES; page++) {
        aegis_page_pin out;
        if (pin(page, AEGIS_PIN_READ, &out)) {
            uint64_t version = version_of(out.data, page);
            unpin(&out, 0);
            demand(version == UINT64_MAX || version <= atomic_load(&newest[page]), "version");
        }
        /* A torn write may have damaged it, or it cannot be read. */
        if (pin(page, AEGIS_PIN_FRESH, &out)) {
            demand(is_filled(out.data, 0, BYTES), "fresh");
            change(&out);
        }
    }
}

static void read_in_steps(uint64_t page) {
    aegis_page_pin out;
    aegis_page_read read;
    aegis_page_error error;
    aegis_status status =
        aegis_page_cache_begin_read(&cache, file, page, AEGIS_PIN_READ, &out, &read, &error);
    if (status == AEGIS_PENDING) {
        size_t read_bytes;
        unsigned char *into = read.data;
        status = faulty.read(faulty.context, page, &into, 1, BYTES, &read_bytes);
        if (status == AEGIS_OK && read_bytes < BYTES)
            status = AEGIS_E_IO;
        status = aegis_page_cache_complete(&cache, &read, status, &out, &error);
    }
    if (status == AEGIS_OK) {
        check_pinned(out.data, page);
        unpin(&out, 0);
    } else if (status != AEGIS_E_BUSY) {
        demand_status(status, &error, "a read in two steps");
    }
}

static void upgrade(uint64_t page) {
    aegis_page_pin out;
    if (!pin(page, AEGIS_PIN_READ, &out))
        return;
    check_pinned(out.data, page);
    /* Buffers keep their page pinned for long, so it does not wait. */
    if (aegis_page_cache_upgrade(&cache, &out, AEGIS_PIN_TRY, NULL) != AEGIS_OK) {
        check_pinned(out.data, page);
        unpin(&out, 0);
        return;
    }
    check_pinned(out.data, page);
    fill(out.data, page, atomic_load(&newest[page]) + 1);
    atomic_fetch_add(&newest[page], 1);
    uint64_t version = atomic_load(&newest[page]);
    demand(aegis_page_cache_downgrade(&cache, &out, AEGIS_UNPIN_DIRTY) == AEGIS_OK, "downgrade");
    raise_to(&settled[page], version);
    check_pinned(out.data, page);
    unpin(&out, 0);
}

static void turn(worker *self) {
    uint64_t *seed = &self->seed;
    size_t action = random_below(seed, 1000);
    /* Half of the pages are used more often. */
    uint64_t page = random_below(seed, random_below(seed, 2) ? SHARED_PAGES : SHARED_PAGES / 4);
    aegis_page_pin out;
    aegis_page_error error;
    size_t count;
    if (action < 450) {
        static const uint32_t hints[] = {0, 0, 0, AEGIS_PIN_ONCE, AEGIS_PIN_KEEP, AEGIS_PIN_TRY};
        if (pin(page, AEGIS_PIN_READ | hints[random_below(seed, 6)], &out)) {
            check_pinned(out.data, page);
            if (random_below(seed, 16) == 0) {
                sched_yield();
                check_pinned(out.data, page);
            }
            unpin(&out, 0);
        }
    } else if (action < 700) {
        /* A buffer of this thread may have the page pinned. */
        if (pin(page, AEGIS_PIN_WRITE | AEGIS_PIN_TRY, &out)) {
            check_pinned(out.data, page);
            change(&out);
        }
    } else if (action < 730) {
        if (pin(page, AEGIS_PIN_FRESH | AEGIS_PIN_TRY, &out)) {
            demand(is_filled(out.data, 0, BYTES), "fresh");
            change(&out);
        }
    } else if (action < 780) {
        upgrade(page);
    } else if (action < 850) {
        make_buffer(self, page);
    } else if (action < 880) {
        read_in_steps(page);
    } else if (action < 920) {
        demand_status(aegis_page_cache_clean(&cache, 1 + random_below(seed, 40), &count, &error),
                      &error, "clean");
    } else if (action < 950) {
        demand_status(aegis_page_cache_flush_page(&cache, file, page, &error), &error,
                      "flush_page");
    } else if (action < 970) {
        demand_status(aegis_page_cache_prefetch(&cache, file, page, 1 + random_below(seed, 20),
                                                AEGIS_PIN_ONCE, &count, &error),
                      &error, "prefetch");
    } else if (action < 985) {
        discard(self);
    } else if (action < 990) {
        for (size_t i = 0; i < BUFFERS; i++)
            release_buffer(self, i);
    } else {
        flush(action % 2 == 0);
    }
}

static void *work(void *argument) {
    worker *self = (worker *)argument;
    while (!atomic_load(&stopped)) {
        turn(self);
        atomic_fetch_add(&turn_count, 1);
    }
    for (size_t i = 0; i < BUFFERS; i++)
        release_buffer(self, i);
    return NULL;
}

/* Changes the number of frames. */
static void *resize(void *argument) {
    uint64_t seed = (uint64_t)(uintptr_t)argument;
    while (!atomic_load(&stopped)) {
        aegis_page_error error;
        aegis_status status = aegis_page_cache_resize(&cache, 48 + random_below(&seed, 80), &error);
        if (status != AEGIS_E_BUSY)
            demand_status(status, &error, "resize");
        struct timespec time = {0, 5000000};
        (void)nanosleep(&time, NULL);
    }
    return NULL;
}

static void set_faults(size_t kind, uint64_t seed) {
    memset(&faults, 0, sizeof faults);
    faults.seed = seed;
    faults.lost_pages = AEGIS_LOST_RESTORED;
    faults.read_delay_ns = kind % 4 == 3 ? 50000 : 0;
    faults.write_delay_ns = kind % 4 == 3 ? 200000 : 0;
    if (kind % 4 == 0)
        return;
    faults.read.per_million = 2000;
    faults.short_read.per_million = 2000;
    faults.torn_read.per_million = 2000;
    faults.write.per_million = 20000;
    /* The second half of the rounds end by a crash. */
    faults.torn_write.per_million = kind % 2 == 0 ? 20000 : 0;
    faults.sync.per_million = 5000;
    faults.lost_sync.per_million = kind % 3 == 0 ? 5000 : 0;
    faults.len.per_million = 1000;
}

static void end_faults(void) {
    aegis_page_fault *all[] = {&faults.read,      &faults.short_read, &faults.torn_read,
                               &faults.write,     &faults.torn_write, &faults.sync,
                               &faults.lost_sync, &faults.len};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        aegis_page_fault_set(all[i], 0, 0);
}

/* The version of a page on the store. */
static uint64_t stored_version(uint64_t page) {
    unsigned char bytes[BYTES];
    unsigned char *into = bytes;
    size_t read_bytes;
    memset(bytes, 0, sizeof bytes);
    CHECK(faulty.read(faulty.context, page, &into, 1, BYTES, &read_bytes) == AEGIS_OK);
    return version_of(bytes, page);
}

static void end_round(bool crash) {
    aegis_page_file_stats stats;
    aegis_page_cache_stats all;
    aegis_page_cache_get_stats(&cache, &all);
    CHECK(aegis_page_cache_get_file_stats(&cache, file, &stats) == AEGIS_OK);
    CHECK_SIZE(all.pinned_count, 0);
    CHECK_SIZE(all.buffer_count, 0);
    CHECK_SIZE(all.resident_count + all.free_count, all.frame_count);
    CHECK_SIZE(atomic_load(&wrong_count), 0);
    CHECK(stats.lost != 0 || atomic_load(&suspect_count) == 0);
    good_flushes += (size_t)(all.sync_count - all.sync_error_count);
    lost_count += stats.lost;
    aegis_page_fault_counts counts;
    aegis_page_faults_counts(&faults, &counts);
    fault_count += counts.fault_count;
    end_faults();
    if (crash || stats.lost != 0) {
        crash_count++;
        aegis_page_cache_abandon(&cache);
        aegis_page_fault_set(&faults.lost_sync, 1, 0);
        CHECK(faulty.sync(faulty.context) == AEGIS_E_IO);
        for (uint64_t page = 0; page < SHARED_PAGES; page++) {
            uint64_t version = stored_version(page);
            /* A torn write may have become durable with the sync of others. */
            bool torn = !crash && version == UINT64_MAX;
            CHECK(torn || (version >= atomic_load(&promised[page]) &&
                           version <= atomic_load(&newest[page])));
        }
        return;
    }
    aegis_page_error error;
    CHECK(aegis_page_cache_destroy(&cache, &error) == AEGIS_OK);
    aegis_page_fault_set(&faults.lost_sync, 1, 0);
    CHECK(faulty.sync(faulty.context) == AEGIS_E_IO);
    for (uint64_t page = 0; page < PAGES; page++)
        CHECK(stored_version(page) == atomic_load(&newest[page]));
}

static void run_round(size_t kind, uint64_t seed, uint64_t round_ns) {
    aegis_page_store inner;
    aegis_page_cache_options options;
    memset(&options, 0, sizeof options);
    options.page_bytes = BYTES;
    /* Now and then all pages have a frame, so that a failed sync loses none. */
    options.frame_count = kind % 5 == 4 ? 2 * PAGES : 64;
    options.max_frame_count = kind % 5 == 4 ? 2 * PAGES : 128;
    options.frame_wait_ns = AEGIS_WAIT_FOREVER;
    set_faults(kind, seed);
    CHECK(aegis_page_store_memory(&inner, NULL) == AEGIS_OK);
    CHECK(aegis_page_store_faults(&faulty, &inner, &faults) == AEGIS_OK);
    CHECK(faulty.truncate(faulty.context, PAGES, BYTES) == AEGIS_OK);
    aegis_page_store given = faulty;
    given.close = NULL;
    CHECK(aegis_page_cache_init(&cache, &options) == AEGIS_OK);
    CHECK(aegis_page_cache_open(&cache, &given, NULL, &file, NULL) == AEGIS_OK);
    for (size_t i = 0; i < PAGES; i++) {
        atomic_store(&newest[i], 0);
        atomic_store(&settled[i], 0);
        atomic_store(&promised[i], 0);
    }
    atomic_store(&stopped, false);
    atomic_store(&suspect_count, 0);
    atomic_store(&wrong_count, 0);
    worker workers[THREADS];
    memset(workers, 0, sizeof workers);
    for (size_t i = 0; i < THREADS; i++) {
        workers[i].seed = seed * 100 + i + 1;
        workers[i].number = i;
        workers[i].thread = start(work, &workers[i]);
    }
    pthread_t resizer;
    bool resizes = kind % 5 != 4;
    if (resizes)
        resizer = start(resize, (void *)(uintptr_t)(seed + 77));
    uint64_t end_ns = now_ns() + round_ns;
    while (now_ns() < end_ns && !atomic_load(&stopped)) {
        struct timespec time = {0, 10000000};
        (void)nanosleep(&time, NULL);
    }
    atomic_store(&stopped, true);
    for (size_t i = 0; i < THREADS; i++)
        join(workers[i].thread);
    if (resizes)
        join(resizer);
    end_round(kind % 2 == 1);
    faulty.close(faulty.context);
}

static uint64_t time_ns;

static void nothing_is_lost_whatever_the_store_does(void) {
    uint64_t end_ns = now_ns() + time_ns;
    size_t round = 0;
    do {
        int before = check_failures;
        run_round(round, round + 1, 200 * MS);
        if (check_failures != before)
            fprintf(stderr, "    in round %zu\n", round);
        round++;
    } while (round < 12 || now_ns() < end_ns);
    CHECK(good_flushes != 0 && crash_count != 0 && fault_count != 0);
    printf("%zu rounds, %zu turns, %zu good syncs, %zu faults, %zu crashes, %zu files lost\n",
           round, atomic_load(&turn_count), good_flushes, fault_count, crash_count, lost_count);
}

int main(int count, char **arguments) {
    size_t seconds = count > 1 ? (size_t)strtoul(arguments[1], NULL, 10) : scaled(1);
    time_ns = seconds * 1000 * MS;
    check_alarm((unsigned)(seconds + 120));
    RUN(nothing_is_lost_whatever_the_store_does);
    return check_finish();
}
