/* SPDX-License-Identifier: Apache-2.0 */
/* The page cache under the systematic scheduler: a cache of 2 or 3 frames over a store that lets
 * other threads run in each of its calls, can fail, and forgets at a failed sync what it should
 * have made durable. What is checked in every schedule:
 *  - A page that is pinned to be read is the one that was asked for, whole, in its newest version,
 *    and does not change.
 *  - No wake-up is lost: waits have no end, except where a scenario says so.
 *  - At the end no frame is lost, each frame's word is at rest, the counts fit, every page has its
 *    newest version, and after a flush that succeeds the store has it for good.
 *  - No page is read twice by threads that miss it at the same time.
 * The file is longer than 500 lines, because all scenarios share the store and these checks. */
#include "aegis_memory/page_cache_control.h"
#include "cache/frame.h"
#include "cache/state.h"
#include "plain_system.h"

#include <string.h>

#define PAGE_BYTES 4096
#define WORDS (PAGE_BYTES / sizeof(uint64_t))
#define PAGES 6
#define NONE UINT64_MAX

/* -- memory -- */

#define MEMORY_BYTES 131072
static _Alignas(4096) unsigned char memory[MEMORY_BYTES];
static size_t used_bytes;
static size_t live_bytes;

static void *acquire(void *unused, size_t size_bytes, size_t align_bytes, bool *zeroed) {
    (void)unused;
    size_t at = (used_bytes + align_bytes - 1) & ~(align_bytes - 1);
    MODEL_CHECK(at + size_bytes <= MEMORY_BYTES);
    memset(memory + at, 0, size_bytes);
    used_bytes = at + size_bytes;
    live_bytes += size_bytes;
    *zeroed = true;
    return memory + at;
}

static void release(void *unused, void *piece, size_t size_bytes, size_t align_bytes) {
    (void)unused;
    (void)align_bytes;
    memset(piece, 0xDD, size_bytes);
    live_bytes -= size_bytes;
}

/* -- the store: a version for each page -- */

static uint64_t stored[PAGES];
static uint64_t durable[PAGES];
static bool unsynced[PAGES];
/* The versions that threads have written to the pages. */
static uint64_t newest[PAGES];
/* The same, of those whose pins to write have ended. */
static uint64_t settled[PAGES];
static int failing_reads;
static int failing_writes;
static int failing_syncs;
static int read_counts[PAGES];
static bool closed;
/* Whether a thread is in a call that must not read. */
static bool may_not_read[MODEL_MAX_THREADS];

static void stamp(unsigned char *bytes, uint64_t page, uint64_t version) {
    uint64_t *words = (uint64_t *)(void *)bytes;
    words[0] = page;
    words[1] = version;
    words[WORDS - 1] = version;
}

static aegis_status read_pages(void *unused, uint64_t first_page, unsigned char *const *pages,
                               size_t page_count, size_t page_bytes, size_t *read_bytes) {
    (void)unused;
    *read_bytes = 0;
    MODEL_CHECK(model_running() < 0 || !may_not_read[model_running()]);
    model_yield();
    MODEL_CHECK(!closed);
    if (failing_reads > 0) {
        failing_reads--;
        return AEGIS_E_IO;
    }
    for (size_t i = 0; i < page_count && first_page + i < PAGES; i++) {
        read_counts[first_page + i]++;
        stamp(pages[i], first_page + i, stored[first_page + i]);
        *read_bytes += page_bytes;
    }
    model_yield();
    return AEGIS_OK;
}

static aegis_status write_pages(void *unused, const aegis_page_write *pages, size_t page_count,
                                size_t page_bytes) {
    (void)unused;
    (void)page_bytes;
    model_yield();
    MODEL_CHECK(!closed);
    if (failing_writes > 0) {
        failing_writes--;
        return AEGIS_E_IO;
    }
    for (size_t i = 0; i < page_count; i++) {
        const uint64_t *words = (const uint64_t *)(const void *)pages[i].bytes;
        MODEL_CHECK(words[0] == pages[i].page && words[1] == words[WORDS - 1]);
        /* An older copy never comes after a newer one. */
        MODEL_CHECK(words[1] >= stored[pages[i].page]);
        stored[pages[i].page] = words[1];
        unsynced[pages[i].page] = true;
    }
    model_yield();
    return AEGIS_OK;
}

static aegis_status sync_pages(void *unused) {
    (void)unused;
    model_yield();
    bool fails = failing_syncs > 0;
    failing_syncs -= fails;
    for (int i = 0; i < PAGES; i++) {
        if (unsynced[i] && !fails)
            durable[i] = stored[i];
        unsynced[i] = false;
    }
    model_yield();
    return fails ? AEGIS_E_IO : AEGIS_OK;
}

static aegis_status count_pages(void *unused, size_t page_bytes, uint64_t *page_count) {
    (void)unused;
    (void)page_bytes;
    *page_count = PAGES;
    return AEGIS_OK;
}

static aegis_status cut_pages(void *unused, uint64_t page_count, size_t page_bytes) {
    (void)unused;
    (void)page_count;
    (void)page_bytes;
    return AEGIS_E_UNSUPPORTED;
}

static void close_store(void *unused) {
    (void)unused;
    MODEL_CHECK(!closed);
    closed = true;
}

/* -- the cache -- */

static aegis_page_cache cache;
static uint32_t file;
/* How long a thread waits for a latch. */
static uint64_t latch_wait_ns = AEGIS_WAIT_FOREVER;

static aegis_page_pin pin_page(uint64_t page, uint32_t mode) {
    aegis_page_pin pin;
    MODEL_CHECK(aegis_page_cache_pin(&cache, file, page, mode, &pin, NULL) == AEGIS_OK);
    return pin;
}

static void unpin(aegis_page_pin *pin, uint32_t flags) {
    MODEL_CHECK(aegis_page_cache_unpin(&cache, pin, flags) == AEGIS_OK);
}

/* Demands that a pinned page is its own, whole and in the newest version. */
static void check_pinned(const aegis_page_pin *pin, uint64_t page) {
    const uint64_t *words = (const uint64_t *)(const void *)pin->data;
    MODEL_CHECK(pin->page == page && words[0] == page);
    MODEL_CHECK(words[1] == newest[page] && words[WORDS - 1] == newest[page]);
}

static void look(aegis_page_pin *pin, uint64_t page) {
    check_pinned(pin, page);
    model_yield();
    check_pinned(pin, page);
    unpin(pin, 0);
}

static void read_page(uint64_t page) {
    aegis_page_pin pin = pin_page(page, AEGIS_PIN_READ);
    look(&pin, page);
}

/* Changes a page that is pinned to be written. */
static void change(aegis_page_pin *pin, uint64_t page) {
    uint64_t *words = (uint64_t *)(void *)pin->data;
    MODEL_CHECK(words[0] == page && words[1] == newest[page] && words[WORDS - 1] == newest[page]);
    words[1]++;
    model_yield();
    words[WORDS - 1]++;
    MODEL_CHECK(words[1] == words[WORDS - 1]);
    uint64_t version = ++newest[page];
    unpin(pin, AEGIS_UNPIN_DIRTY);
    if (settled[page] < version)
        settled[page] = version;
}

static void write_page(uint64_t page) {
    aegis_page_pin pin = pin_page(page, AEGIS_PIN_WRITE);
    change(&pin, page);
}

static void make(size_t frame_count, size_t max_frame_count) {
    static const aegis_source source = {acquire, release, NULL, NULL};
    static const aegis_page_store store = {read_pages, write_pages, sync_pages, count_pages,
                                           cut_pages,  close_store, NULL};
    aegis_page_cache_options options;
    memset(&options, 0, sizeof options);
    options.page_bytes = PAGE_BYTES;
    options.frame_count = frame_count;
    options.max_frame_count = max_frame_count;
    options.source = &source;
    options.frame_wait_ns = AEGIS_WAIT_FOREVER;
    options.latch_wait_ns = latch_wait_ns;
    used_bytes = live_bytes = 0;
    model_now_ns = 1;
    model_short_waits = 0;
    memset(stored, 0, sizeof stored);
    memset(durable, 0, sizeof durable);
    memset(unsynced, 0, sizeof unsynced);
    memset(newest, 0, sizeof newest);
    memset(settled, 0, sizeof settled);
    memset(read_counts, 0, sizeof read_counts);
    failing_reads = failing_writes = failing_syncs = 0;
    closed = false;
    MODEL_CHECK(aegis_page_cache_init(&cache, &options) == AEGIS_OK);
    MODEL_CHECK(aegis_page_cache_open(&cache, &store, NULL, &file, NULL) == AEGIS_OK);
}

/* Demands that no frame is lost and none is in use, and that the counts fit. */
static void check_rest(void) {
    aegis_page_cache_shared *shared = cache.shared;
    aegis_page_cache_stats stats;
    aegis_page_cache_get_stats(&cache, &stats);
    MODEL_CHECK(stats.resident_count + stats.free_count == stats.frame_count);
    MODEL_CHECK(stats.pinned_count == 0);
    MODEL_CHECK(stats.dirty_count == shared->dirty_count);
    /* No count of pins has become less than nothing. */
    MODEL_CHECK(stats.hit_count < 1000);
    MODEL_CHECK(shared->writers_free == 3 && !shared->resizing && shared->wanted_count == 0);
    for (uint32_t i = 0; i < shared->max_frame_count; i++) {
        uint64_t seen = shared->frames[i].state;
        bool has_page = shared->frames[i].file != AEGIS_PAGE_NO_FILE;
        const uint64_t busy = AEGIS_I_READERS | AEGIS_I_PENDING | AEGIS_I_UPGRADING |
                              AEGIS_I_LOADING | AEGIS_I_FAILED | AEGIS_I_WRITING;
        MODEL_CHECK((seen & busy) == 0);
        MODEL_CHECK(((seen & AEGIS_I_EXCLUSIVE) == 0) == has_page ||
                    !aegis_i_slab_is_held(&shared->slabs, i >> shared->slab_shift));
        MODEL_CHECK((seen & AEGIS_I_CHANGED) == 0 || (seen & AEGIS_I_DIRTY) != 0);
        MODEL_CHECK(has_page || (seen & AEGIS_I_DIRTY) == 0);
    }
}

static void end_without_files(void) {
    check_rest();
    MODEL_CHECK(aegis_page_cache_destroy(&cache, NULL) == AEGIS_OK);
    MODEL_CHECK(closed && live_bytes == 0);
}

static void end(void) {
    check_rest();
    for (uint64_t page = 0; page < PAGES; page++)
        read_page(page);
    end_without_files();
    for (int i = 0; i < PAGES; i++)
        MODEL_CHECK(stored[i] == newest[i] && durable[i] == newest[i]);
}

/* -- hits, misses and eviction -- */

/* Two frames with the pages 0 and 1. */
static void begin_full(void) {
    make(2, 0);
    read_page(0);
    read_page(1);
}

static void thread_hit_evict(int number) {
    if (number != 1) {
        read_page(0);
        return;
    }
    read_page(2);
    read_page(3);
}

static aegis_page_pin writer;

static void begin_written(void) {
    begin_full();
    writer = pin_page(0, AEGIS_PIN_WRITE);
}

/* A reader is turned away while the policy looks at the page. */
static void thread_turned_away(int number) {
    aegis_page_pin pin;
    if (number == 0)
        MODEL_CHECK(aegis_page_cache_pin(&cache, file, 0, AEGIS_PIN_READ | AEGIS_PIN_TRY, &pin,
                                         NULL) == AEGIS_E_BUSY);
    else
        read_page(2);
}

static void end_written(void) {
    unpin(&writer, 0);
    end();
}

/* A page goes while another thread has found it in the page table. */
static void thread_hit_discard(int number) {
    if (number == 0) {
        read_page(0);
        return;
    }
    aegis_status status = aegis_page_cache_discard(&cache, file, 0, 1, NULL, NULL);
    MODEL_CHECK(status == AEGIS_OK || status == AEGIS_E_BUSY);
    /* It comes to the frame of the one before. */
    read_page(2);
}

/* The writer goes the long way, on which it waits for more. */
static void thread_write_discard(int number) {
    if (number == 0) {
        aegis_page_pin pin = pin_page(1, AEGIS_PIN_WRITE | AEGIS_PIN_ONCE);
        change(&pin, 1);
    } else {
        MODEL_CHECK(aegis_page_cache_discard(&cache, file, 0, 2, NULL, NULL) != AEGIS_E_IO);
    }
}

/* The page that is thrown away was not written by anybody, or is. */
static void end_write_discard(void) {
    aegis_page_pin pin = pin_page(1, AEGIS_PIN_READ);
    newest[1] = ((const uint64_t *)(const void *)pin.data)[1];
    unpin(&pin, 0);
    end();
}

static void begin_empty(void) {
    make(2, 0);
}

static void thread_miss(int number) {
    (void)number;
    read_page(3);
}

static void thread_miss_to_write(int number) {
    if (number == 0)
        read_page(3);
    else
        write_page(3);
}

static void end_miss(void) {
    MODEL_CHECK(read_counts[3] == 1);
    end();
}

static void thread_misses(int number) {
    read_page((uint64_t)number + 2);
}

/* The first read fails. Who was there gets the error, and later ones the page. */
static int error_count;

static void begin_failing(void) {
    make(2, 0);
    failing_reads = 1;
    error_count = 0;
}

static void thread_failing(int number) {
    aegis_page_pin pin;
    aegis_page_error error;
    aegis_status status = aegis_page_cache_pin(
        &cache, file, 3, number == 1 ? AEGIS_PIN_WRITE : AEGIS_PIN_READ, &pin, &error);
    if (status == AEGIS_OK) {
        look(&pin, 3);
        return;
    }
    MODEL_CHECK(status == AEGIS_E_IO && error.status == status);
    MODEL_CHECK(error.reason == AEGIS_PAGE_READ && error.page == 3 && error.file == file);
    error_count++;
}

static void end_failing(void) {
    MODEL_CHECK(error_count >= 1 && failing_reads == 0);
    end();
}

/* A new page while another thread reads the same page, which is on the disk. */
static void begin_fresh(void) {
    make(2, 0);
}

static void thread_fresh(int number) {
    aegis_page_pin pin;
    if (number != 0) {
        read_page(3);
        return;
    }
    /* If it does not get the page, the page is as before. */
    if (aegis_page_cache_pin(&cache, file, 3, AEGIS_PIN_FRESH | AEGIS_PIN_TRY, &pin, NULL) !=
        AEGIS_OK)
        return;
    const uint64_t *words = (const uint64_t *)(const void *)pin.data;
    MODEL_CHECK(words[0] == 0 && words[1] == 0 && words[WORDS - 1] == 0);
    newest[3] = 7;
    stamp(pin.data, 3, 7);
    unpin(&pin, 0);
}

static void read_in_steps(uint64_t page) {
    aegis_page_pin pin;
    aegis_page_read read;
    may_not_read[0] = true;
    aegis_status status = aegis_page_cache_begin_read(&cache, file, page, 0, &pin, &read, NULL);
    may_not_read[0] = false;
    if (status == AEGIS_PENDING) {
        size_t read_bytes;
        unsigned char *into = read.data;
        MODEL_CHECK(read_pages(NULL, page, &into, 1, PAGE_BYTES, &read_bytes) == AEGIS_OK);
        status = aegis_page_cache_complete(&cache, &read, AEGIS_OK, &pin, NULL);
    }
    MODEL_CHECK(status == AEGIS_OK || status == AEGIS_E_BUSY);
    if (status == AEGIS_OK)
        look(&pin, page);
}

/* A read in two steps, and a thread that joins it. */
static void thread_steps(int number) {
    if (number == 0)
        read_in_steps(3);
    else
        read_page(3);
}

/* A page that is pinned to be written when the read is begun, and may be gone a moment later. */
static void thread_steps_evict(int number) {
    if (number == 0) {
        read_in_steps(0);
    } else {
        aegis_page_pin pin = pin_page(0, AEGIS_PIN_WRITE);
        model_yield();
        unpin(&pin, 0);
        MODEL_CHECK(aegis_page_cache_discard(&cache, file, 0, 1, NULL, NULL) != AEGIS_E_IO);
    }
}

/* -- latches -- */

static void thread_writer_readers(int number) {
    if (number == 0)
        write_page(0);
    else
        read_page(0);
}

static void thread_writers(int number) {
    (void)number;
    write_page(0);
}

static bool upgrade(uint64_t page) {
    aegis_page_pin pin = pin_page(page, AEGIS_PIN_READ);
    check_pinned(&pin, page);
    aegis_status status = aegis_page_cache_upgrade(&cache, &pin, 0, NULL);
    if (status == AEGIS_OK) {
        check_pinned(&pin, page);
        change(&pin, page);
        return true;
    }
    MODEL_CHECK(status == AEGIS_E_BUSY);
    look(&pin, page);
    return false;
}

static void thread_upgrade_writer(int number) {
    if (number == 0)
        MODEL_CHECK(upgrade(0));
    else
        write_page(0);
}

static int upgrade_count;

static void begin_upgrades(void) {
    begin_full();
    upgrade_count = 0;
}

static void thread_upgrades(int number) {
    if (number < 2)
        upgrade_count += upgrade(0);
    else
        read_page(0);
}

static void end_upgrades(void) {
    MODEL_CHECK(upgrade_count >= 1);
    end();
}

static void thread_downgrade(int number) {
    if (number != 0) {
        write_page(0);
        return;
    }
    aegis_page_pin pin = pin_page(0, AEGIS_PIN_WRITE);
    stamp(pin.data, 0, ++newest[0]);
    MODEL_CHECK(aegis_page_cache_downgrade(&cache, &pin, AEGIS_UNPIN_DIRTY) == AEGIS_OK);
    look(&pin, 0);
}

/* A wait that ends too early, beside one that does not. */
static void begin_short(void) {
    latch_wait_ns = 1000;
    begin_full();
    latch_wait_ns = AEGIS_WAIT_FOREVER;
    model_short_waits = 1;
}

static void thread_short(int number) {
    aegis_page_pin pin;
    uint32_t mode = number == 2 ? AEGIS_PIN_READ : AEGIS_PIN_WRITE;
    aegis_status status = aegis_page_cache_pin(&cache, file, 0, mode, &pin, NULL);
    MODEL_CHECK(status == AEGIS_OK || status == AEGIS_E_BUSY);
    if (status == AEGIS_OK && number == 2)
        look(&pin, 0);
    else if (status == AEGIS_OK)
        change(&pin, 0);
}

/* All frames are pinned, and a thread waits for one. */
static aegis_page_pin held;

static void begin_wanted(void) {
    make(1, 0);
    held = pin_page(0, AEGIS_PIN_READ);
}

static void thread_wanted(int number) {
    if (number == 0)
        look(&held, 0);
    else
        read_page(number == 1 ? 2 : 3);
}

/* -- writing back -- */

static void clean(void) {
    MODEL_CHECK(aegis_page_cache_clean(&cache, 2, NULL, NULL) == AEGIS_OK);
}

static void begin_dirty(void) {
    begin_full();
    write_page(0);
    write_page(1);
}

static void begin_one_dirty(void) {
    begin_full();
    write_page(0);
}

static void thread_evict_dirty(int number) {
    if (number == 0)
        clean();
    else
        read_page((uint64_t)number + 1);
}

static void thread_clean_writer(int number) {
    if (number == 0)
        clean();
    else
        write_page(0);
}

/* Both write the page back, and one changes it in between. */
static void thread_cleaners(int number) {
    if (number == 1)
        write_page(0);
    clean();
}

static void begin_failing_write(void) {
    begin_one_dirty();
    failing_writes = 1;
}

static void thread_failing_write(int number) {
    if (number == 0)
        (void)aegis_page_cache_clean(&cache, 1, NULL, NULL);
    else
        write_page(0);
}

static void end_failing_write(void) {
    failing_writes = 0;
    end();
}

/* A dirty page is thrown away while it is written, and its frame is used for another one. */
static void thread_discard_clean(int number) {
    if (number == 0) {
        clean();
        return;
    }
    MODEL_CHECK(aegis_page_cache_discard(&cache, file, 0, 1, NULL, NULL) != AEGIS_E_IO);
    write_page(3);
}

static void end_discard_clean(void) {
    aegis_page_pin pin = pin_page(0, AEGIS_PIN_READ);
    newest[0] = stored[0];
    check_pinned(&pin, 0);
    unpin(&pin, 0);
    end();
}

/* A dirty page is thrown away while a flush looks for dirty pages. */
static void thread_discard_flush(int number) {
    if (number == 0)
        MODEL_CHECK(aegis_page_cache_flush(&cache, file, NULL) == AEGIS_OK);
    else
        MODEL_CHECK(aegis_page_cache_discard(&cache, file, 0, 1, NULL, NULL) != AEGIS_E_IO);
}

/* What was dirty when the flush began is durable when it ends. */
static void flush_and_check(void) {
    uint64_t least = settled[0];
    aegis_page_error error;
    aegis_status status = aegis_page_cache_flush(&cache, file, &error);
    if (status == AEGIS_OK)
        MODEL_CHECK(durable[0] >= least);
    else
        MODEL_CHECK(error.reason == AEGIS_PAGE_SYNC || error.reason == AEGIS_PAGE_LOST);
}

static void thread_flush_writer(int number) {
    if (number == 0)
        flush_and_check();
    else if (number == 1)
        write_page(0);
    else
        clean();
}

static void thread_flushes(int number) {
    if (number == 0)
        write_page(0);
    flush_and_check();
}

/* A sync fails. Either all pages are written again by the next flush, or it says that some are
 * lost, which can be so only if one was evicted. */
static void begin_failing_sync(void) {
    begin_one_dirty();
    failing_syncs = 1;
}

/* With one frame, whatever is read evicts the page. */
static void begin_failing_sync_evict(void) {
    make(1, 0);
    write_page(0);
    failing_syncs = 1;
}

static void thread_failing_sync(int number) {
    if (number == 0) {
        flush_and_check();
        flush_and_check();
    } else {
        read_page(2);
    }
}

static void thread_failing_sync_writer(int number) {
    if (number == 0) {
        flush_and_check();
        flush_and_check();
    } else {
        write_page(0);
        clean();
    }
}

static void end_failing_sync(void) {
    aegis_page_file_stats stats;
    check_rest();
    MODEL_CHECK(aegis_page_cache_get_file_stats(&cache, file, &stats) == AEGIS_OK);
    MODEL_CHECK(stats.sync_error_count == 1);
    if (stats.lost == 0) {
        end();
        return;
    }
    aegis_page_cache_stats all;
    aegis_page_cache_get_stats(&cache, &all);
    MODEL_CHECK(all.evicted_clean_count + all.evicted_dirty_count != 0);
    MODEL_CHECK(aegis_page_cache_flush(&cache, file, NULL) == AEGIS_E_IO);
    MODEL_CHECK(aegis_page_cache_close(&cache, file, AEGIS_CLOSE_DISCARD, NULL) == AEGIS_OK);
    end_without_files();
}

/* -- size and files -- */

static void begin_resize(void) {
    make(3, 3);
    for (uint64_t page = 0; page < 3; page++)
        read_page(page);
    write_page(2);
}

static void resize(size_t frame_count) {
    aegis_status status = aegis_page_cache_resize(&cache, frame_count, NULL);
    MODEL_CHECK(status == AEGIS_OK || status == AEGIS_E_BUSY);
}

static void thread_shrink(int number) {
    if (number == 0)
        resize(1);
    else
        read_page(2);
}

static void thread_shrink_evict(int number) {
    if (number == 0)
        resize(2);
    else
        write_page(4);
}

static void thread_shrink_grow(int number) {
    if (number == 0) {
        resize(2);
        resize(3);
    } else {
        read_page(2);
        read_page(1);
    }
}

static void thread_close(int number) {
    if (number == 0) {
        aegis_status status = aegis_page_cache_close(&cache, file, 0, NULL);
        MODEL_CHECK(status == AEGIS_OK || status == AEGIS_E_BUSY);
        return;
    }
    aegis_page_pin pin;
    for (uint64_t page = 0; page < 4; page += 3) {
        aegis_status status = aegis_page_cache_pin(&cache, file, page, AEGIS_PIN_READ, &pin, NULL);
        if (status == AEGIS_OK)
            look(&pin, page);
        else
            MODEL_CHECK(status == AEGIS_E_CLOSED || status == AEGIS_E_INVALID);
    }
}

/* A page is changed by a pin that was there before the close, and cleaned by another thread. */
static void thread_close_upgrade(int number) {
    aegis_page_pin pin;
    if (number == 0) {
        thread_close(0);
    } else if (aegis_page_cache_pin(&cache, file, 0, AEGIS_PIN_READ, &pin, NULL) == AEGIS_OK) {
        if (aegis_page_cache_upgrade(&cache, &pin, 0, NULL) == AEGIS_OK)
            change(&pin, 0);
        else
            unpin(&pin, 0);
        (void)aegis_page_cache_clean(&cache, 2, NULL, NULL);
    }
}

static void end_close(void) {
    check_rest();
    aegis_status status = aegis_page_cache_close(&cache, file, 0, NULL);
    MODEL_CHECK(closed && (status == AEGIS_OK || status == AEGIS_E_INVALID));
    for (int i = 0; i < PAGES; i++)
        MODEL_CHECK(stored[i] == newest[i] && durable[i] == newest[i]);
    end_without_files();
}

int main(void) {
    static const model_scenario scenarios[] = {
        {"hit against evict", begin_full, thread_hit_evict, end, 2, 3, NULL},
        {"hits against evict", begin_full, thread_hit_evict, end, 3, 1, NULL},
        {"a reader that is turned away", begin_written, thread_turned_away, end_written, 2, 3,
         NULL},
        {"hit against discard", begin_full, thread_hit_discard, end, 2, 3, NULL},
        {"write against discard", begin_full, thread_write_discard, end_write_discard, 2, 3, NULL},
        {"miss against miss", begin_empty, thread_miss, end_miss, 3, 2, NULL},
        {"miss against miss to write", begin_empty, thread_miss_to_write, end_miss, 2, 3, NULL},
        {"misses of different pages", begin_full, thread_misses, end, 2, 3, NULL},
        {"a miss that fails", begin_failing, thread_failing, end_failing, 3, 2, NULL},
        {"a fresh page", begin_fresh, thread_fresh, end, 2, 3, NULL},
        {"a read in two steps", begin_empty, thread_steps, end, 2, 3, NULL},
        {"a read in two steps against discard", begin_full, thread_steps_evict, end, 2, 4, NULL},
        {"writer against readers", begin_full, thread_writer_readers, end, 3, 2, NULL},
        {"writers", begin_full, thread_writers, end, 3, 2, NULL},
        {"upgrade against writer", begin_full, thread_upgrade_writer, end, 2, 4, NULL},
        {"upgrades", begin_upgrades, thread_upgrades, end_upgrades, 3, 2, NULL},
        {"downgrade", begin_full, thread_downgrade, end, 2, 4, NULL},
        {"a wait that ends", begin_short, thread_short, end, 3, 2, NULL},
        {"a frame that is waited for", begin_wanted, thread_wanted, end, 3, 2, NULL},
        {"evict against dirty", begin_dirty, thread_evict_dirty, end, 2, 3, NULL},
        {"evicts against dirty", begin_dirty, thread_evict_dirty, end, 3, 1, NULL},
        {"clean against writer", begin_one_dirty, thread_clean_writer, end, 2, 4, NULL},
        {"cleaners", begin_one_dirty, thread_cleaners, end, 2, 3, NULL},
        {"a write that fails", begin_failing_write, thread_failing_write, end_failing_write, 2, 3,
         NULL},
        {"discard against clean", begin_one_dirty, thread_discard_clean, end_discard_clean, 2, 3,
         NULL},
        {"discard against flush", begin_one_dirty, thread_discard_flush, end_discard_clean, 2, 3,
         NULL},
        {"flush against writer", begin_one_dirty, thread_flush_writer, end, 2, 3, NULL},
        {"flush, writer and clean", begin_one_dirty, thread_flush_writer, end, 3, 1, NULL},
        {"two flushes", begin_one_dirty, thread_flushes, end, 2, 3, NULL},
        {"failed sync against evict", begin_failing_sync_evict, thread_failing_sync,
         end_failing_sync, 2, 2, NULL},
        {"failed sync against writer", begin_failing_sync, thread_failing_sync_writer,
         end_failing_sync, 2, 2, NULL},
        {"resize against hit", begin_resize, thread_shrink, end, 2, 3, NULL},
        {"resize against evict", begin_resize, thread_shrink_evict, end, 2, 2, NULL},
        {"resizes against hits", begin_resize, thread_shrink_grow, end, 2, 2, NULL},
        {"close against pins", begin_one_dirty, thread_close, end_close, 2, 2, NULL},
        {"close against upgrade", begin_one_dirty, thread_close_upgrade, end_close, 2, 2, NULL},
    };
    return model_explore_all(scenarios, sizeof scenarios / sizeof *scenarios);
}
