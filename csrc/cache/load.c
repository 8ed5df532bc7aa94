/* SPDX-License-Identifier: Apache-2.0 */
/* Reading pages: one that a thread waits for, and several ahead of time. */
#if !defined(_WIN32) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* condition.h */
#endif

#include "load.h"
#include "../base/cancel.h"
#include "claim.h"
#include "frame.h"
#include "lists.h"
#include "shared.h"
#include "table.h"

/* The most pages that one call of a store reads ahead, and the most bytes. */
#define MAX_RUN_PAGES 64
#define MAX_RUN_BYTES ((size_t)1 << 20)

/* The error for a page that the store did not give whole. */
static aegis_status fail_short(aegis_page_cache_shared *cache, const aegis_i_page_file *file,
                               uint64_t page, aegis_page_error *error) {
    uint64_t page_count = 0;
    aegis_status status = file->store.len(file->store.context, cache->page_bytes, &page_count);
    bool beyond = status == AEGIS_OK && page >= page_count;
    (void)aegis_i_page_fail(error, AEGIS_E_IO, beyond ? AEGIS_PAGE_BEYOND : AEGIS_PAGE_READ,
                            file->number, page);
    error->asked = page;
    error->allowed = page_count;
    return AEGIS_E_IO;
}

aegis_status aegis_i_cache_read(aegis_page_cache_shared *cache, const aegis_i_page_file *file,
                                uint64_t first_page, unsigned char *const *pages,
                                uint32_t page_count, uint32_t *read_count,
                                aegis_page_error *error) {
    size_t read_bytes = 0;
    int state = aegis_i_uncancelled_begin();
    aegis_status status = file->store.read(file->store.context, first_page, pages, page_count,
                                           cache->page_bytes, &read_bytes);
    *read_count =
        status == AEGIS_OK ? (uint32_t)aegis_i_min(read_bytes / cache->page_bytes, page_count) : 0;
    if (status != AEGIS_OK)
        (void)aegis_i_page_fail(error, status < 0 ? status : AEGIS_E_IO, AEGIS_PAGE_READ,
                                file->number, first_page);
    else if (*read_count < page_count)
        status = fail_short(cache, file, first_page + *read_count, error);
    aegis_i_uncancelled_end(state);
    if (status != AEGIS_OK && error->reason != AEGIS_PAGE_BEYOND)
        (void)aegis_i_add(&cache->read_error_count, 1, memory_order_relaxed);
    return status == AEGIS_OK ? AEGIS_OK : error->status;
}

aegis_status aegis_i_cache_verify(aegis_page_cache_shared *cache, const aegis_i_page_file *file,
                                  uint64_t page, unsigned char *bytes, aegis_page_error *error) {
    if (file->hooks.verify == NULL)
        return AEGIS_OK;
    int state = aegis_i_uncancelled_begin();
    aegis_status status = file->hooks.verify(file->hooks.context, page, bytes, cache->page_bytes);
    aegis_i_uncancelled_end(state);
    if (status == AEGIS_OK)
        return AEGIS_OK;
    (void)aegis_i_add(&cache->read_error_count, 1, memory_order_relaxed);
    return aegis_i_page_fail(error, status < 0 ? status : AEGIS_E_IO, AEGIS_PAGE_VERIFY,
                             file->number, page);
}

void aegis_i_cache_give_up(aegis_page_cache_shared *cache, uint32_t number,
                           const aegis_page_error *error) {
    if (!aegis_i_cache_lock(cache))
        return;
    aegis_i_cache_remove(cache, number, false);
    if (aegis_i_frame_load_failed(cache, number, error))
        aegis_i_cache_free_frame(cache, number);
    aegis_i_cache_unlock(cache);
}

/* -- ahead of time -- */

/* A run of neighbouring pages that one thread reads. */
typedef struct run {
    uint64_t first_page;
    uint32_t count;
    uint32_t frames[MAX_RUN_PAGES];
    unsigned char *pages[MAX_RUN_PAGES];
} run;

/* The most pages of a run. All of them are in frames at the same time, which must leave room for
 * others. */
static uint32_t max_run(const aegis_page_cache_shared *cache) {
    size_t most = aegis_i_min(MAX_RUN_PAGES, MAX_RUN_BYTES / cache->page_bytes);
    return (uint32_t)aegis_i_max(aegis_i_min(most, cache->frame_count / 4), 1);
}

uint32_t aegis_i_cache_scan(aegis_page_cache_shared *cache, aegis_i_page_file *file,
                            uint64_t page) {
    bool goes_on = page == file->scan_next && file->scan_pages != 0;
    file->scan_pages =
        goes_on ? (uint32_t)aegis_i_min(2 * (size_t)file->scan_pages, max_run(cache)) : 1;
    file->scan_next = page + file->scan_pages;
    return file->scan_pages;
}

/* Claims frames for the pages from `*page` on, up to a page that is resident. The caller has the
 * lock. Returns whether no frame was found for `*page`. */
static bool claim_run(aegis_page_cache_shared *cache, aegis_i_page_file *file, uint64_t *page,
                      uint64_t end, uint32_t hint, uint32_t max_count, run *out,
                      aegis_i_dirty_pages *dirty) {
    out->count = 0;
    for (; *page < end && out->count < max_count; ++*page) {
        uint64_t hash = aegis_i_page_hash(cache, file->number, *page);
        bool resident =
            aegis_i_table_find(cache, hash, file->number, *page, UINT32_MAX) != AEGIS_I_NO_FRAME;
        if (resident && out->count == 0)
            continue;
        uint32_t number = resident ? AEGIS_I_NO_FRAME : aegis_i_cache_claim(cache, dirty);
        if (number == AEGIS_I_NO_FRAME)
            return !resident && out->count == 0;
        if (out->count == 0)
            out->first_page = *page;
        aegis_i_cache_enter(cache, file, number, *page, hint);
        out->frames[out->count] = number;
        out->pages[out->count++] = aegis_i_cache_bytes(cache, number);
    }
    return false;
}

/* Reads a run and publishes its pages. A page that cannot be read is given up. */
static aegis_status read_run(aegis_page_cache_shared *cache, const aegis_i_page_file *file,
                             const run *in, size_t *done_count, aegis_page_error *error) {
    uint32_t whole_count;
    aegis_page_error why;
    (void)aegis_i_page_fail(&why, AEGIS_OK, AEGIS_PAGE_NONE, file->number, in->first_page);
    aegis_status status =
        aegis_i_cache_read(cache, file, in->first_page, in->pages, in->count, &whole_count, &why);
    for (uint32_t i = 0; i < in->count; i++) {
        aegis_page_error own = why;
        aegis_status kept = i < whole_count ? aegis_i_cache_verify(cache, file, in->first_page + i,
                                                                   in->pages[i], &own)
                                            : status;
        if (kept == AEGIS_OK) {
            aegis_i_frame_loaded_unpinned(cache, in->frames[i]);
            ++*done_count;
            continue;
        }
        own.page = in->first_page + i;
        aegis_i_cache_give_up(cache, in->frames[i], &own);
        if (status == AEGIS_OK) {
            status = kept;
            why = own;
        }
    }
    if (status != AEGIS_OK && error != NULL)
        *error = why;
    return status != AEGIS_OK && why.reason == AEGIS_PAGE_BEYOND ? AEGIS_PENDING : status;
}

aegis_status aegis_page_cache_prefetch(const aegis_page_cache *handle, uint32_t number,
                                       uint64_t first_page, uint64_t page_count, uint32_t hint,
                                       size_t *read_count, aegis_page_error *error) {
    aegis_page_cache_shared *cache = handle->shared;
    aegis_status status;
    size_t done_count = 0;
    uint64_t page = first_page;
    uint64_t end = page_count < UINT64_MAX - first_page ? first_page + page_count : UINT64_MAX;
    uint32_t attempt = 0;
    uint64_t deadline_ns = AEGIS_I_OPTIONAL;
    if (read_count != NULL)
        *read_count = 0;
    if ((hint & ~(AEGIS_PIN_ONCE | AEGIS_PIN_KEEP)) != 0)
        return aegis_i_page_fail_bound(error, AEGIS_E_INVALID, AEGIS_PAGE_FLAGS, hint,
                                       AEGIS_PIN_ONCE | AEGIS_PIN_KEEP);
    aegis_i_page_file *file = aegis_i_cache_lock_file(cache, number, &status, error);
    if (file == NULL)
        return status;
    file->users++;
    uint32_t max_count = max_run(cache);
    while (status == AEGIS_OK && page < end) {
        run next;
        aegis_i_dirty_pages dirty;
        bool full = claim_run(cache, file, &page, end, hint, max_count, &next, &dirty);
        cache->prefetch_count += next.count;
        aegis_i_cache_unlock(cache);
        if (next.count != 0)
            status = read_run(cache, file, &next, &done_count, error);
        else if (full && aegis_i_cache_make_room(cache, &dirty, false, &attempt, &deadline_ns,
                                                 error) != AEGIS_OK)
            status = AEGIS_PENDING;
        if (!aegis_i_cache_lock(cache))
            return aegis_i_page_fail(error, AEGIS_E_FORKED, AEGIS_PAGE_NONE, number, 0);
        if (status == AEGIS_OK && file->closing)
            status = aegis_i_page_fail(error, AEGIS_E_CLOSED, AEGIS_PAGE_FILE, number, page);
    }
    aegis_i_cache_unlock(cache);
    aegis_i_cache_leave_file(cache, file);
    if (read_count != NULL)
        *read_count = done_count;
    /* The end of the file, or no more frames. */
    return status == AEGIS_PENDING ? AEGIS_OK : status;
}
