/* SPDX-License-Identifier: Apache-2.0 */
/* Writing dirty pages back.
 *
 * A page goes to its store in four steps: WRITING is set and the page pinned to read; it is copied
 * to a write buffer, with its LSN; the pin is given up; and after the hooks and the store have done
 * their part, WRITING is cleared, and DIRTY too if the store has the page and nobody has changed it
 * since the copy (CHANGED). So nobody waits for the store except those who want to write or evict
 * the same page, and no older copy is written after a newer one, because WRITING belongs to one
 * thread.
 *
 * The write buffers are few, so threads wait for one. They hold nothing else meanwhile. */
#if !defined(_WIN32) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* condition.h */
#endif

#include "write.h"
#include "../base/cancel.h"
#include "latch.h"
#include "shared.h"
#include "wait.h"

#include <stdlib.h>

static int compare(const void *a, const void *b) {
    const aegis_i_page_record *left = (const aegis_i_page_record *)a;
    const aegis_i_page_record *right = (const aegis_i_page_record *)b;
    if (left->file != right->file)
        return left->file < right->file ? -1 : 1;
    return left->page < right->page ? -1 : left->page > right->page;
}

void aegis_i_cache_sort(aegis_i_page_record *records, size_t count) {
    qsort(records, count, sizeof *records, compare);
}

/* -- write buffers -- */

/* NULL: there is none at the moment, and the caller does not wait, or this is a child process. */
static aegis_i_write_buffer *take_buffer(aegis_page_cache_shared *cache, bool may_wait) {
    aegis_i_write_buffer *taken = NULL;
    if (!aegis_i_cache_lock(cache))
        return NULL;
    while (cache->writers_free == 0 && may_wait)
        (void)aegis_i_cache_wait(cache, UINT64_MAX);
    if (cache->writers_free != 0) {
        unsigned index = aegis_i_lowest_bit(cache->writers_free);
        cache->writers_free &= ~(1u << index);
        taken = &cache->writers[index];
    }
    aegis_i_cache_unlock(cache);
    return taken;
}

static void put_buffer(aegis_page_cache_shared *cache, const aegis_i_write_buffer *buffer) {
    if (!aegis_i_cache_lock(cache))
        return;
    cache->writers_free |= 1u << (buffer - cache->writers);
    aegis_i_cache_tell(cache);
    aegis_i_cache_unlock(cache);
}

/* -- one page -- */

/* Begins to write a page, which this thread then has pinned to read. AEGIS_I_GONE: there is nothing
 * to write. AEGIS_I_BLOCKED: a thread writes to it, or writes it to the store. */
static uint32_t begin_write(aegis_page_cache_shared *cache, const aegis_i_page_record *record) {
    aegis_page_frame *frame = &cache->frames[record->frame];
    uint64_t seen = aegis_i_frame_state(frame);
    do {
        if (!aegis_i_frame_has(frame, record->file, record->page))
            return AEGIS_I_GONE;
        /* A thread that has a clean page to itself, or reads one that was thrown away, is not
         * waited for. */
        if ((seen & AEGIS_I_DIRTY) == 0)
            return AEGIS_I_GONE;
        if ((seen & (AEGIS_I_EXCLUSIVE | AEGIS_I_WRITING)) != 0)
            return AEGIS_I_BLOCKED;
        /* Neither a writer that waits nor a crowd of readers keeps this thread out: it stays only
         * for a copy. Acquire pairs with the release of the writer that has changed the page. */
    } while (!aegis_i_cas_weak(aegis_i_frame_word(frame), &seen,
                               ((seen & ~AEGIS_I_CHANGED) | AEGIS_I_WRITING) + 1,
                               memory_order_acquire, memory_order_relaxed));
    return AEGIS_I_ENTERED;
}

/* Ends the writing of a page. */
static void end_write(aegis_page_cache_shared *cache, uint32_t number, bool written) {
    aegis_i_word64 *word = aegis_i_frame_word(&cache->frames[number]);
    uint64_t seen = aegis_i_load(word, memory_order_relaxed);
    uint64_t after;
    bool clean;
    do {
        clean = written && (seen & AEGIS_I_CHANGED) == 0;
        after = seen & ~AEGIS_I_WRITING;
        if (clean)
            after &= ~AEGIS_I_DIRTY;
        /* Release pairs with the acquire of the thread that takes the frame: the page was written
         * before it is evicted. */
    } while (!aegis_i_cas_weak(word, &seen, after, memory_order_release, memory_order_relaxed));
    if (clean && (seen & AEGIS_I_DIRTY) != 0)
        (void)aegis_i_sub(&cache->dirty_count, 1, memory_order_relaxed);
    if ((seen & AEGIS_I_ASLEEP) != 0)
        aegis_i_frame_wake(cache, number);
}

/* -- a batch -- */

typedef struct batch {
    aegis_i_write_buffer *buffer;
    uint32_t file;
    uint32_t count;
    uint64_t max_lsn;
} batch;

/* Copies a page into the batch. Returns as begin_write. */
static uint32_t add_page(aegis_page_cache_shared *cache, batch *to,
                         const aegis_i_page_record *record) {
    uint32_t result = begin_write(cache, record);
    if (result != AEGIS_I_ENTERED)
        return result;
    aegis_page_frame *frame = &cache->frames[record->frame];
    if (!aegis_i_frame_has(frame, record->file, record->page)) {
        /* Another page, which happens to be dirty too. */
        end_write(cache, record->frame, false);
        aegis_i_frame_leave(cache, record->frame);
        return AEGIS_I_GONE;
    }
    unsigned char *copy = to->buffer->bytes + to->count * cache->page_bytes;
    memcpy(copy, aegis_i_cache_bytes(cache, record->frame), cache->page_bytes);
    /* Relaxed: under the pin. */
    uint64_t lsn = aegis_i_load((aegis_i_word64 *)(void *)&frame->lsn, memory_order_relaxed);
    aegis_i_frame_leave(cache, record->frame);
    to->max_lsn = lsn > to->max_lsn ? lsn : to->max_lsn;
    to->buffer->pages[to->count].page = record->page;
    to->buffer->pages[to->count].bytes = copy;
    to->buffer->frames[to->count++] = record->frame;
    return AEGIS_I_ENTERED;
}

/* Calls the hooks and the store. */
static aegis_status write_out(aegis_page_cache_shared *cache, const aegis_i_page_file *file,
                              const batch *full, aegis_page_error *error) {
    const aegis_page_hooks *hooks = &file->hooks;
    aegis_status status = AEGIS_OK;
    if (hooks->before_write != NULL && full->max_lsn != 0)
        status = hooks->before_write(hooks->context, file->number, full->max_lsn);
    if (status != AEGIS_OK) {
        (void)aegis_i_page_fail(error, status < 0 ? status : AEGIS_E_IO, AEGIS_PAGE_LOG,
                                file->number, full->buffer->pages[0].page);
        if (error != NULL)
            error->asked = full->max_lsn;
        return status < 0 ? status : AEGIS_E_IO;
    }
    for (uint32_t i = 0; hooks->seal != NULL && i < full->count; i++) {
        status = hooks->seal(hooks->context, full->buffer->pages[i].page,
                             full->buffer->bytes + i * cache->page_bytes, cache->page_bytes);
        if (status != AEGIS_OK)
            return aegis_i_page_fail(error, status < 0 ? status : AEGIS_E_IO, AEGIS_PAGE_SEAL,
                                     file->number, full->buffer->pages[i].page);
    }
    status = file->store.write_batch(file->store.context, full->buffer->pages, full->count,
                                     cache->page_bytes);
    if (status == AEGIS_OK)
        return AEGIS_OK;
    return aegis_i_page_fail(error, status < 0 ? status : AEGIS_E_IO, AEGIS_PAGE_WRITE,
                             file->number, full->buffer->pages[0].page);
}

/* Writes the batch and empties it. */
static aegis_status write_batch(aegis_page_cache_shared *cache, batch *full, size_t *written_count,
                                aegis_page_error *error) {
    if (full->count == 0)
        return AEGIS_OK;
    aegis_i_page_file *file = NULL;
    /* A page that is WRITING keeps its file open. */
    if (aegis_i_cache_lock(cache)) {
        file = aegis_i_cache_file(cache, full->file);
        aegis_i_cache_unlock(cache);
    }
    int state = aegis_i_uncancelled_begin();
    aegis_status status =
        file != NULL ? write_out(cache, file, full, error)
                     : aegis_i_page_fail(error, AEGIS_E_FORKED, AEGIS_PAGE_NONE, full->file, 0);
    aegis_i_uncancelled_end(state);
    if (file != NULL && aegis_i_cache_lock(cache)) {
        cache->write_batch_count++;
        cache->write_page_count += status == AEGIS_OK ? full->count : 0;
        cache->write_error_count += status != AEGIS_OK;
        if (full->count > cache->largest_batch_count)
            cache->largest_batch_count = full->count;
        /* The write has returned, so a sync that begins now makes it durable. Relaxed: guarded by
         * the lock here and where it matters, in aegis_i_cache_remove and at the end of a sync. */
        for (uint32_t i = 0; status == AEGIS_OK && i < full->count; i++)
            aegis_i_store(&cache->epochs[full->buffer->frames[i]], file->epoch,
                          memory_order_relaxed);
        aegis_i_cache_unlock(cache);
    }
    for (uint32_t i = 0; i < full->count; i++)
        end_write(cache, full->buffer->frames[i], status == AEGIS_OK);
    if (status == AEGIS_OK)
        *written_count += full->count;
    full->count = 0;
    full->max_lsn = 0;
    return status;
}

/* Waits until a page that is in the way can be written. */
static uint32_t wait_for(aegis_page_cache_shared *cache, const aegis_i_page_record *record,
                         uint64_t deadline_ns) {
    uint64_t seen = aegis_i_frame_state(&cache->frames[record->frame]);
    if ((seen & AEGIS_I_WRITING) != 0)
        return aegis_i_frame_wait_written(cache, record->frame, record->file, record->page,
                                          deadline_ns);
    return aegis_i_frame_wait(cache, record->frame, record->file, record->page, false, deadline_ns);
}

/* Keeps the first of several errors. */
static void note(aegis_status status, const aegis_page_error *why, aegis_status *first,
                 aegis_page_error *error) {
    if (status == AEGIS_OK || *first != AEGIS_OK)
        return;
    *first = status;
    if (error != NULL)
        *error = *why;
}

aegis_status aegis_i_cache_write(aegis_page_cache_shared *cache, const aegis_i_page_record *records,
                                 size_t count, uint64_t deadline_ns, size_t *written_count,
                                 aegis_page_error *error) {
    aegis_page_error why;
    aegis_status first = AEGIS_OK;
    bool waits = deadline_ns != AEGIS_I_SKIP_BUSY && deadline_ns != AEGIS_I_WAIT_FOR_NOTHING;
    batch to = {take_buffer(cache, deadline_ns != AEGIS_I_WAIT_FOR_NOTHING), 0, 0, 0};
    for (size_t i = 0; to.buffer != NULL && i < count;) {
        if (to.count == cache->batch_pages || (to.count != 0 && records[i].file != to.file)) {
            note(write_batch(cache, &to, written_count, &why), &why, &first, error);
            continue;
        }
        to.file = records[i].file;
        if (add_page(cache, &to, &records[i]) == AEGIS_I_BLOCKED && waits) {
            /* The thread that is in the way may need a write buffer before it gets out of it. */
            note(write_batch(cache, &to, written_count, &why), &why, &first, error);
            put_buffer(cache, to.buffer);
            uint32_t result = wait_for(cache, &records[i], deadline_ns);
            if (result == AEGIS_I_TIMED_OUT)
                note(aegis_i_page_fail(&why, AEGIS_E_BUSY, AEGIS_PAGE_PINNED, records[i].file,
                                       records[i].page),
                     &why, &first, error);
            i += result == AEGIS_I_TIMED_OUT;
            to.buffer = take_buffer(cache, true);
            continue;
        }
        i++;
    }
    if (to.buffer == NULL && deadline_ns == AEGIS_I_WAIT_FOR_NOTHING)
        return aegis_i_page_fail(error, AEGIS_E_BUSY, AEGIS_PAGE_ALL_DIRTY, AEGIS_PAGE_NO_FILE, 0);
    if (to.buffer == NULL)
        return aegis_i_page_fail(error, AEGIS_E_FORKED, AEGIS_PAGE_NONE, AEGIS_PAGE_NO_FILE, 0);
    note(write_batch(cache, &to, written_count, &why), &why, &first, error);
    put_buffer(cache, to.buffer);
    return first;
}
