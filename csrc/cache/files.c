/* SPDX-License-Identifier: Apache-2.0 */
/* Opening and closing files, and pages that are forgotten.
 *
 * The number of a file is a place in the table of files, and how often that place was used. So the
 * number of a file that was closed is found out, unless its place was used 65,535 times since. */
#if !defined(_WIN32) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* condition.h */
#endif

#include "files.h"
#include "../base/cancel.h"
#include "../base/sized.h"
#include "../source.h"
#include "flush.h"
#include "lists.h"
#include "pin.h"
#include "shared.h"
#include "table.h"
#include "wait.h"

/* Makes room for one more file. The caller has the lock, which is given up meanwhile. */
static aegis_status grow_files(aegis_page_cache_shared *cache) {
    size_t old_size = cache->files_size;
    size_t size = old_size != 0 ? aegis_i_min(2 * old_size, AEGIS_PAGE_MAX_FILES) : 8;
    if (size == old_size)
        return AEGIS_E_EXHAUSTED;
    aegis_i_cache_unlock(cache);
    aegis_i_page_file **files = (aegis_i_page_file **)aegis_i_record_new(size * sizeof *files);
    uint32_t *generations = (uint32_t *)aegis_i_record_new(size * sizeof *generations);
    (void)aegis_i_cache_lock(cache);
    aegis_status status = files != NULL && generations != NULL ? AEGIS_OK : AEGIS_E_OUT_OF_MEMORY;
    if (status == AEGIS_OK && cache->files_size == old_size) {
        if (old_size != 0) {
            memcpy(files, cache->files, old_size * sizeof *files);
            memcpy(generations, cache->generations, old_size * sizeof *generations);
        }
        aegis_i_page_file **old_files = cache->files;
        uint32_t *old_generations = cache->generations;
        cache->files = files;
        cache->generations = generations;
        cache->files_size = size;
        files = old_files;
        generations = old_generations;
    }
    aegis_i_record_free(files);
    aegis_i_record_free(generations);
    return status;
}

/* Puts a file into the table. */
static aegis_status add_file(aegis_page_cache_shared *cache, aegis_i_page_file *file) {
    aegis_status status = AEGIS_OK;
    if (!aegis_i_cache_lock(cache))
        return AEGIS_E_FORKED;
    while (status == AEGIS_OK && cache->file_count == cache->files_size)
        status = grow_files(cache);
    for (size_t slot = 0; status == AEGIS_OK && slot < cache->files_size; slot++)
        if (cache->files[slot] == NULL) {
            /* Never 0, so no file has the number AEGIS_PAGE_NO_FILE. */
            file->number = (cache->generations[slot] % 0xffff + 1) << 16 | (uint32_t)slot;
            cache->files[slot] = file;
            cache->file_count++;
            /* Relaxed: a thread that begins to read a page of the file takes the lock after this.
             */
            if (file->hooks.verify != NULL)
                aegis_i_store(&cache->has_verify, 1, memory_order_relaxed);
            break;
        }
    aegis_i_cache_unlock(cache);
    return status;
}

aegis_status aegis_page_cache_open_sized(const aegis_page_cache *handle,
                                         const aegis_page_store *store, size_t store_bytes,
                                         const aegis_page_hooks *hooks, size_t hooks_bytes,
                                         uint32_t *number, aegis_page_error *error) {
    *number = AEGIS_PAGE_NO_FILE;
    aegis_i_page_file *file = (aegis_i_page_file *)aegis_i_record_new(sizeof *file);
    if (file == NULL)
        return aegis_i_page_fail(error, AEGIS_E_OUT_OF_MEMORY, AEGIS_PAGE_NONE, AEGIS_PAGE_NO_FILE,
                                 0);
    size_t known_bytes = sizeof file->store;
    size_t unknown = aegis_i_unknown_option(store, store_bytes, known_bytes);
    if (unknown == 0) {
        known_bytes = sizeof file->hooks;
        unknown = aegis_i_unknown_option(hooks, hooks_bytes, known_bytes);
    }
    aegis_i_copy_sized(&file->store, sizeof file->store, store, store_bytes);
    if (hooks != NULL)
        aegis_i_copy_sized(&file->hooks, sizeof file->hooks, hooks, hooks_bytes);
    file->epoch = 1;
    const aegis_page_store *has = &file->store;
    aegis_status status;
    if (unknown != 0)
        status = aegis_i_page_fail_bound(error, AEGIS_E_INVALID, AEGIS_PAGE_OPTION, unknown,
                                         known_bytes);
    else if (has->read == NULL || has->write_batch == NULL || has->sync == NULL ||
             has->len == NULL || has->truncate == NULL)
        status = aegis_i_page_fail_bound(error, AEGIS_E_INVALID, AEGIS_PAGE_FUNCTION, 0, 0);
    else if ((status = add_file(handle->shared, file)) != AEGIS_OK)
        (void)aegis_i_page_fail_bound(
            error, status, status == AEGIS_E_EXHAUSTED ? AEGIS_PAGE_FILES : AEGIS_PAGE_NONE,
            AEGIS_PAGE_MAX_FILES + 1, AEGIS_PAGE_MAX_FILES);
    if (status != AEGIS_OK)
        aegis_i_record_free(file);
    else
        *number = file->number;
    return status;
}

/* What came of a page that was to be forgotten. */
typedef struct sweep {
    size_t gone_count;
    size_t pinned_count;
    /* A page that is pinned, and one that another thread reads or writes to the store. */
    uint32_t pinned_frame;
    uint32_t busy_frame;
} sweep;

/* Forgets the page of a frame, if it is one of the range. The caller has the lock. */
static void forget(aegis_page_cache_shared *cache, uint32_t number, bool dirty_too, sweep *result) {
    aegis_page_frame *frame = &cache->frames[number];
    if (aegis_i_frame_take(cache, number, dirty_too ? 0 : AEGIS_I_DIRTY)) {
        uint64_t dirty = aegis_i_frame_state(frame) & (AEGIS_I_DIRTY | AEGIS_I_CHANGED);
        if (dirty != 0) {
            /* Relaxed: the frame is exclusive, and has no page in a moment. */
            (void)aegis_i_sub(aegis_i_frame_word(frame), dirty, memory_order_relaxed);
            (void)aegis_i_sub(&cache->dirty_count, 1, memory_order_relaxed);
        }
        /* What is thrown away need not be durable. */
        if (!dirty_too)
            aegis_i_cache_leave_epoch(cache, number);
        aegis_i_cache_remove(cache, number, false);
        aegis_i_cache_free_frame(cache, number);
        result->gone_count++;
        return;
    }
    const uint64_t pinned = AEGIS_I_READERS | AEGIS_I_EXCLUSIVE | AEGIS_I_PENDING | AEGIS_I_FAILED;
    uint64_t seen = aegis_i_frame_state(frame);
    if ((seen & AEGIS_I_DIRTY) != 0 && !dirty_too && (seen & AEGIS_I_WRITING) == 0)
        return;
    /* What was in the way may have gone meanwhile. */
    if ((seen & (AEGIS_I_LOADING | AEGIS_I_WRITING)) != 0 || (seen & pinned) == 0) {
        result->busy_frame = number;
    } else {
        result->pinned_frame = number;
        result->pinned_count++;
    }
}

/* Forgets the pages of a file in a range, which ends with the last number there is at the latest;
 * UINT64_MAX pages are all from the first on. The caller has the lock, and the file is open. */
static void forget_range(aegis_page_cache_shared *cache, uint32_t file, uint64_t first_page,
                         uint64_t page_count, bool dirty_too, sweep *result) {
    result->pinned_count = 0;
    result->pinned_frame = result->busy_frame = AEGIS_I_NO_FRAME;
    const aegis_i_page_file *open = aegis_i_cache_file(cache, file);
    if (page_count == 0)
        return;
    uint64_t last_page = page_count - 1 < UINT64_MAX - first_page && page_count != UINT64_MAX
                             ? first_page + page_count - 1
                             : UINT64_MAX;
    if (page_count < cache->max_frame_count) {
        for (uint64_t i = 0; i <= last_page - first_page && open->resident_count != 0; i++) {
            uint64_t page = first_page + i;
            uint32_t number = aegis_i_table_find(cache, aegis_i_page_hash(cache, file, page), file,
                                                 page, UINT32_MAX);
            if (number != AEGIS_I_NO_FRAME)
                forget(cache, number, dirty_too, result);
        }
        return;
    }
    for (uint32_t i = 0; i < cache->max_frame_count && open->resident_count != 0; i++)
        if (aegis_i_frame_file(&cache->frames[i]) == file &&
            aegis_i_frame_page(&cache->frames[i]) >= first_page &&
            aegis_i_frame_page(&cache->frames[i]) <= last_page &&
            (aegis_i_frame_state(&cache->frames[i]) & AEGIS_I_FAILED) == 0)
            forget(cache, i, dirty_too, result);
}

/* Forgets the pages of a range, and waits for reads and writes of them that are on their way. The
 * caller has the lock, and counts in `users` or has set `closing`. */
static aegis_status forget_all(aegis_page_cache_shared *cache, uint32_t file, uint64_t first_page,
                               uint64_t page_count, bool dirty_too, size_t *gone_count,
                               aegis_page_error *error) {
    sweep result;
    result.gone_count = 0;
    uint64_t deadline_ns = aegis_i_deadline_ns(cache->latch_wait_ns);
    bool waited = true;
    do {
        forget_range(cache, file, first_page, page_count, dirty_too, &result);
        if (result.pinned_count != 0 || result.busy_frame == AEGIS_I_NO_FRAME)
            break;
        uint64_t page = aegis_i_frame_page(&cache->frames[result.busy_frame]);
        bool writing =
            (aegis_i_frame_state(&cache->frames[result.busy_frame]) & AEGIS_I_WRITING) != 0;
        aegis_i_cache_unlock(cache);
        waited =
            (writing ? aegis_i_frame_wait_written(cache, result.busy_frame, file, page, deadline_ns)
                     : aegis_i_frame_wait(cache, result.busy_frame, file, page, false,
                                          deadline_ns)) != AEGIS_I_TIMED_OUT;
        (void)aegis_i_cache_lock(cache);
    } while (waited);
    *gone_count = result.gone_count;
    uint32_t in_the_way = result.pinned_count != 0 ? result.pinned_frame : result.busy_frame;
    if (in_the_way == AEGIS_I_NO_FRAME)
        return AEGIS_OK;
    (void)aegis_i_page_fail(error, AEGIS_E_BUSY, AEGIS_PAGE_PINNED, file,
                            aegis_i_frame_page(&cache->frames[in_the_way]));
    if (error != NULL)
        error->pinned_count = result.pinned_count;
    return AEGIS_E_BUSY;
}

aegis_status aegis_page_cache_discard(const aegis_page_cache *handle, uint32_t number,
                                      uint64_t first_page, uint64_t page_count,
                                      size_t *discarded_count, aegis_page_error *error) {
    aegis_page_cache_shared *cache = handle->shared;
    aegis_status status;
    size_t gone_count = 0;
    aegis_i_page_file *file = aegis_i_cache_lock_file(cache, number, &status, error);
    if (file != NULL) {
        file->users++;
        status = forget_all(cache, number, first_page, page_count, true, &gone_count, error);
        aegis_i_cache_unlock(cache);
        aegis_i_cache_leave_file(cache, file);
    }
    if (discarded_count != NULL)
        *discarded_count = gone_count;
    return status;
}

bool aegis_page_cache_contains(const aegis_page_cache *handle, uint32_t file, uint64_t page) {
    aegis_page_cache_shared *cache = handle->shared;
    if (!aegis_i_cache_lock(cache))
        return false;
    uint32_t number =
        aegis_i_table_find(cache, aegis_i_page_hash(cache, file, page), file, page, UINT32_MAX);
    bool there = number != AEGIS_I_NO_FRAME &&
                 (aegis_i_frame_state(&cache->frames[number]) & AEGIS_I_LOADING) == 0;
    aegis_i_cache_unlock(cache);
    return there;
}

void aegis_i_cache_end_file(aegis_i_page_file *file) {
    int state = aegis_i_uncancelled_begin();
    if (file->store.close != NULL)
        file->store.close(file->store.context);
    if (file->hooks.close != NULL)
        file->hooks.close(file->hooks.context);
    aegis_i_uncancelled_end(state);
    aegis_i_record_free(file);
}

size_t aegis_page_cache_count(const aegis_page_cache *handle, uint32_t number) {
    aegis_page_cache_shared *cache = handle->shared;
    if (!aegis_i_cache_lock(cache))
        return 0;
    const aegis_i_page_file *file = aegis_i_cache_file(cache, number);
    size_t count = file != NULL ? file->resident_count : 0;
    aegis_i_cache_unlock(cache);
    return count;
}

aegis_status aegis_page_cache_rekey(const aegis_page_cache *handle, aegis_page_pin *pin,
                                    uint64_t new_page, aegis_page_error *error) {
    aegis_page_cache_shared *cache = handle->shared;
    aegis_status status;
    size_t gone_count;
    if (!aegis_i_is_pin(handle, pin, true))
        return aegis_i_refuse_pin(pin, error);
    if (new_page == pin->page)
        return AEGIS_OK;
    /* Nobody in a child ends a write that was going on at the fork. */
    if (aegis_i_cache_is_forked(cache))
        return aegis_i_page_fail(error, AEGIS_E_FORKED, AEGIS_PAGE_NONE, pin->file, pin->page);
    /* No copy of the page is begun while it is pinned to write. One that is being written would
     * end with another page clean. */
    (void)aegis_i_frame_wait_written(cache, pin->frame, pin->file, pin->page, UINT64_MAX);
    aegis_i_page_file *file = aegis_i_cache_lock_file(cache, pin->file, &status, error);
    if (file == NULL)
        return status;
    file->users++;
    status = forget_all(cache, pin->file, new_page, 1, true, &gone_count, error);
    if (status == AEGIS_OK)
        aegis_i_cache_move(cache, pin->frame, new_page);
    aegis_i_cache_unlock(cache);
    aegis_i_cache_leave_file(cache, file);
    if (status == AEGIS_OK)
        pin->page = new_page;
    return status;
}

/* Empties a file that is marked as closing. */
static aegis_status empty(aegis_page_cache_shared *cache, aegis_i_page_file *file, bool discard,
                          aegis_page_error *error) {
    size_t gone_count;
    aegis_status status = AEGIS_OK;
    /* A thread that had a page pinned may have made it dirty again after the flush. */
    for (int attempt = 0; attempt < 8 && status == AEGIS_OK; attempt++) {
        if (!discard)
            status = aegis_i_cache_flush_file(cache, file, error);
        if (status != AEGIS_OK || !aegis_i_cache_lock(cache))
            return status;
        status = forget_all(cache, file->number, 0, UINT64_MAX, discard, &gone_count, error);
        /* A page that was cleaned after the sync, and then removed, needs another sync. */
        bool is_empty =
            file->resident_count == 0 && (discard || file->evicted_epoch <= file->synced);
        aegis_i_cache_unlock(cache);
        if (is_empty)
            return AEGIS_OK;
    }
    return status != AEGIS_OK
               ? status
               : aegis_i_page_fail(error, AEGIS_E_BUSY, AEGIS_PAGE_PINNED, file->number, 0);
}

aegis_status aegis_page_cache_close(const aegis_page_cache *handle, uint32_t number, uint32_t flags,
                                    aegis_page_error *error) {
    aegis_page_cache_shared *cache = handle->shared;
    aegis_status status;
    if ((flags & ~AEGIS_CLOSE_DISCARD) != 0)
        return aegis_i_page_fail_bound(error, AEGIS_E_INVALID, AEGIS_PAGE_FLAGS, flags,
                                       AEGIS_CLOSE_DISCARD);
    aegis_i_page_file *file = aegis_i_cache_lock_file(cache, number, &status, error);
    if (file == NULL)
        return status;
    file->closing = true;
    /* Relaxed: a pin that does not see it yet is like one from before. */
    (void)aegis_i_add(&cache->closing_count, 1, memory_order_relaxed);
    /* No call begins to use the file any more, and those that do end by themselves. */
    while (file->users != 0)
        (void)aegis_i_cache_wait(cache, UINT64_MAX);
    aegis_i_cache_unlock(cache);
    status = empty(cache, file, flags != 0, error);
    if (!aegis_i_cache_lock(cache))
        return aegis_i_page_fail(error, AEGIS_E_FORKED, AEGIS_PAGE_NONE, number, 0);
    file->closing = status == AEGIS_OK;
    (void)aegis_i_sub(&cache->closing_count, 1, memory_order_relaxed);
    if (status == AEGIS_OK) {
        cache->files[number & 0xffff] = NULL;
        cache->generations[number & 0xffff]++;
        cache->file_count--;
    }
    aegis_i_cache_unlock(cache);
    if (status == AEGIS_OK)
        aegis_i_cache_end_file(file);
    return status;
}
