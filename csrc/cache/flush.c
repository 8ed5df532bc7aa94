/* SPDX-License-Identifier: Apache-2.0 */
/* Which dirty pages are written when, and what a sync makes of them. state.h says how a failed sync
 * is remembered. */
#if !defined(_WIN32) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* condition.h */
#endif

#include "flush.h"
#include "../base/cancel.h"
#include "../source.h"
#include "frame.h"
#include "shared.h"
#include "table.h"
#include "write.h"

/* Pages that are sorted together without the C heap. */
#define SMALL_RECORDS 256
/* Frames that are looked at after a sync while the lock is held. */
#define SETTLE_AT_ONCE ((size_t)4096)

/* Notes up to `max_count` dirty pages of the file, or of any if that is AEGIS_PAGE_NO_FILE, from
 * the frame `*at` on, and moves `*at` behind the last. A frame that another thread has to itself
 * may become dirty, but was not when the caller began. */
static size_t gather(aegis_page_cache_shared *cache, uint32_t file, uint32_t *at,
                     aegis_i_page_record *records, size_t max_count) {
    size_t count = 0;
    for (; *at < cache->max_frame_count && count < max_count; ++*at) {
        /* Read once, because the page may go at any time. */
        aegis_i_page_record found = aegis_i_frame_record(cache, *at);
        if ((aegis_i_frame_state(&cache->frames[*at]) & AEGIS_I_DIRTY) != 0 &&
            found.file != AEGIS_PAGE_NO_FILE && (file == AEGIS_PAGE_NO_FILE || found.file == file))
            records[count++] = found;
    }
    return count;
}

/* Memory to sort pages in: of the C heap for up to `wanted` pages, or else that of the caller. */
typedef struct sorter {
    aegis_i_page_record few[SMALL_RECORDS];
    aegis_i_page_record *many;
    aegis_i_page_record *records;
    size_t most;
} sorter;

static void sorter_init(sorter *self, size_t wanted) {
    self->many = wanted > SMALL_RECORDS
                     ? (aegis_i_page_record *)aegis_i_record_new(wanted * sizeof *self->many)
                     : NULL;
    self->records = self->many != NULL ? self->many : self->few;
    self->most = self->many != NULL ? wanted : SMALL_RECORDS;
}

/* The pages that are dirty now, and some more: others may become dirty meanwhile. */
static size_t dirty_pages(aegis_page_cache_shared *cache) {
    size_t now = aegis_i_load(&cache->dirty_count, memory_order_relaxed);
    return aegis_i_min(now + SMALL_RECORDS, cache->max_frame_count);
}

/* Writes all pages of the file that are dirty now. */
static aegis_status write_all(aegis_page_cache_shared *cache, uint32_t file,
                              aegis_page_error *error) {
    sorter in;
    aegis_page_error own;
    aegis_status first = AEGIS_OK;
    uint32_t at = 0;
    size_t count;
    sorter_init(&in, dirty_pages(cache));
    while ((count = gather(cache, file, &at, in.records, in.most)) != 0) {
        size_t written_count = 0;
        aegis_i_cache_sort(in.records, count);
        aegis_status status =
            aegis_i_cache_write(cache, in.records, count, aegis_i_deadline_ns(cache->latch_wait_ns),
                                &written_count, first == AEGIS_OK ? error : &own);
        first = first == AEGIS_OK ? status : first;
    }
    aegis_i_record_free(in.many);
    return first;
}

/* Makes the pages dirty again of which a sync that failed leaves unknown whether they are durable:
 * those that were written since the last good one, and those that are being written, because their
 * write may have returned before the sync began. The caller has the lock. */
static void take_back(aegis_page_cache_shared *cache, aegis_i_page_file *file) {
    cache->sync_error_count++;
    file->sync_error_count++;
    file->lost |= file->evicted_epoch > file->synced;
    for (uint32_t i = 0; i < cache->max_frame_count; i++)
        if (aegis_i_frame_file(&cache->frames[i]) == file->number &&
            (aegis_i_load(&cache->epochs[i], memory_order_relaxed) > file->synced ||
             (aegis_i_frame_state(&cache->frames[i]) & AEGIS_I_WRITING) != 0))
            aegis_i_frame_redirty(cache, i);
}

/* Ends the epoch of a page that a sync has made durable, and forgets its first LSN if the page is
 * clean. The caller has the lock.
 *
 * A writer comes in by a read-modify-write of the word, and then sets the LSN, which depends on the
 * epoch (aegis_page_cache_set_lsn). The addition of 0 here comes before that one or after it. If it
 * comes after, it finds the writer. If it comes before, its release pairs with the acquire of the
 * writer: that sees the end of the epoch and sets another LSN, which the compare-and-swap leaves.
 */
static void end_epoch(aegis_page_cache_shared *cache, uint32_t number) {
    aegis_i_word64 *first = &cache->first_lsns[number];
    aegis_i_store(&cache->epochs[number], 0, memory_order_relaxed);
    uint64_t lsn = aegis_i_load(first, memory_order_relaxed);
    if (lsn == 0)
        return;
    uint64_t seen =
        aegis_i_add(aegis_i_frame_word(&cache->frames[number]), 0, memory_order_acq_rel);
    if ((seen & (AEGIS_I_DIRTY | AEGIS_I_WRITING | AEGIS_I_EXCLUSIVE)) == 0)
        (void)aegis_i_cas(first, &lsn, 0, memory_order_relaxed, memory_order_relaxed);
}

/* Ends the epochs of all pages that a sync has made durable. */
static void settle(aegis_page_cache_shared *cache, aegis_i_page_file *file) {
    for (uint32_t at = 0; at < cache->max_frame_count;) {
        uint32_t end = (uint32_t)aegis_i_min(at + SETTLE_AT_ONCE, cache->max_frame_count);
        if (!aegis_i_cache_lock(cache))
            return;
        for (; at < end; at++) {
            uint32_t epoch = aegis_i_load(&cache->epochs[at], memory_order_relaxed);
            if (epoch != 0 && epoch <= file->synced &&
                aegis_i_frame_file(&cache->frames[at]) == file->number)
                end_epoch(cache, at);
        }
        /* What was lost is needed from the log until the file is closed. */
        if (file->evicted_epoch <= file->synced && !file->lost)
            file->evicted_lsn = 0;
        aegis_i_cache_unlock(cache);
    }
}

/* Syncs the store of a file. */
static aegis_status sync_file(aegis_page_cache_shared *cache, aegis_i_page_file *file,
                              aegis_page_error *error) {
    if (!aegis_i_cache_lock(cache))
        return aegis_i_page_fail(error, AEGIS_E_FORKED, AEGIS_PAGE_NONE, file->number, 0);
    uint32_t epoch = file->epoch++;
    aegis_i_cache_unlock(cache);
    int state = aegis_i_uncancelled_begin();
    aegis_status status = file->store.sync(file->store.context);
    aegis_i_uncancelled_end(state);
    status = status > 0 ? AEGIS_E_IO : status;
    if (!aegis_i_cache_lock(cache))
        return aegis_i_page_fail(error, AEGIS_E_FORKED, AEGIS_PAGE_NONE, file->number, 0);
    cache->sync_count++;
    if (status == AEGIS_OK)
        file->synced = epoch;
    else
        take_back(cache, file);
    bool lost = file->lost;
    aegis_i_cache_unlock(cache);
    if (status != AEGIS_OK)
        return aegis_i_page_fail(error, status, AEGIS_PAGE_SYNC, file->number, 0);
    settle(cache, file);
    return lost ? aegis_i_page_fail(error, AEGIS_E_IO, AEGIS_PAGE_LOST, file->number, 0) : AEGIS_OK;
}

aegis_status aegis_i_cache_flush_file(aegis_page_cache_shared *cache, aegis_i_page_file *file,
                                      aegis_page_error *error) {
    if (!aegis_i_cache_lock(cache))
        return aegis_i_page_fail(error, AEGIS_E_FORKED, AEGIS_PAGE_NONE, file->number, 0);
    /* The thread that flushes the file ends by itself. */
    while (file->flushing)
        (void)aegis_i_cache_wait(cache, UINT64_MAX);
    file->flushing = true;
    aegis_i_cache_unlock(cache);
    aegis_status status = write_all(cache, file->number, error);
    if (status == AEGIS_OK)
        status = sync_file(cache, file, error);
    if (aegis_i_cache_lock(cache)) {
        file->flushing = false;
        aegis_i_cache_tell(cache);
        aegis_i_cache_unlock(cache);
    }
    return status;
}

aegis_status aegis_page_cache_flush(const aegis_page_cache *handle, uint32_t number,
                                    aegis_page_error *error) {
    aegis_page_cache_shared *cache = handle->shared;
    aegis_status status;
    aegis_i_page_file *file = aegis_i_cache_lock_file(cache, number, &status, error);
    if (file == NULL)
        return status;
    file->users++;
    aegis_i_cache_unlock(cache);
    status = aegis_i_cache_flush_file(cache, file, error);
    aegis_i_cache_leave_file(cache, file);
    return status;
}

aegis_status aegis_page_cache_flush_all(const aegis_page_cache *handle, aegis_page_error *error) {
    aegis_page_cache_shared *cache = handle->shared;
    aegis_status first = AEGIS_OK;
    aegis_page_error own;
    for (size_t slot = 0;; slot++) {
        if (!aegis_i_cache_lock(cache))
            return aegis_i_page_fail(error, AEGIS_E_FORKED, AEGIS_PAGE_NONE, AEGIS_PAGE_NO_FILE, 0);
        while (slot < cache->files_size &&
               (cache->files[slot] == NULL || cache->files[slot]->closing))
            slot++;
        bool end = slot >= cache->files_size;
        uint32_t number = end ? 0 : cache->files[slot]->number;
        aegis_i_cache_unlock(cache);
        if (end)
            return first;
        aegis_status status = aegis_page_cache_flush(handle, number, &own);
        /* Another thread has closed it. A store or a hook may return the same status. */
        bool closed = status != AEGIS_OK && own.reason == AEGIS_PAGE_FILE;
        if (first != AEGIS_OK || status == AEGIS_OK || closed)
            continue;
        first = status;
        if (error != NULL)
            *error = own;
    }
}

aegis_status aegis_page_cache_flush_page(const aegis_page_cache *handle, uint32_t number,
                                         uint64_t page, aegis_page_error *error) {
    aegis_page_cache_shared *cache = handle->shared;
    aegis_status status;
    if (aegis_i_cache_lock_file(cache, number, &status, error) == NULL)
        return status;
    uint64_t hash = aegis_i_page_hash(cache, number, page);
    aegis_i_page_record record = {page, number,
                                  aegis_i_table_find(cache, hash, number, page, UINT32_MAX)};
    aegis_i_cache_unlock(cache);
    size_t written_count = 0;
    if (record.frame == AEGIS_I_NO_FRAME)
        return AEGIS_OK;
    return aegis_i_cache_write(cache, &record, 1, aegis_i_deadline_ns(cache->latch_wait_ns),
                               &written_count, error);
}

aegis_status aegis_page_cache_clean(const aegis_page_cache *handle, size_t page_count,
                                    size_t *written_count, aegis_page_error *error) {
    aegis_page_cache_shared *cache = handle->shared;
    sorter in;
    aegis_status status = AEGIS_OK;
    size_t done_count = 0;
    uint32_t seen_count = 0;
    if (written_count != NULL)
        *written_count = 0;
    if (aegis_i_cache_is_forked(cache))
        return aegis_i_page_fail(error, AEGIS_E_FORKED, AEGIS_PAGE_NONE, AEGIS_PAGE_NO_FILE, 0);
    /* One time around, from where the last call has stopped. Relaxed: any frame will do. */
    uint32_t at = aegis_i_load(&cache->clean_at, memory_order_relaxed);
    sorter_init(&in, aegis_i_min(page_count, dirty_pages(cache)));
    while (status == AEGIS_OK && done_count < page_count && seen_count < cache->max_frame_count) {
        if (at >= cache->max_frame_count)
            at = 0;
        uint32_t from = at;
        size_t count = gather(cache, AEGIS_PAGE_NO_FILE, &at, in.records,
                              aegis_i_min(page_count - done_count, in.most));
        seen_count += at - from;
        aegis_i_cache_sort(in.records, count);
        if (count != 0)
            status = aegis_i_cache_write(cache, in.records, count, AEGIS_I_SKIP_BUSY, &done_count,
                                         error);
    }
    aegis_i_record_free(in.many);
    aegis_i_store(&cache->clean_at, at, memory_order_relaxed);
    if (written_count != NULL)
        *written_count = done_count;
    return status;
}
