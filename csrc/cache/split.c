/* SPDX-License-Identifier: Apache-2.0 */
/* Reads in two steps, for callers that do the I/O themselves. */
#if !defined(_WIN32) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* condition.h */
#endif

#include "claim.h"
#include "load.h"
#include "pin.h"
#include "shared.h"

/* Pins a page that was found in a frame, without waiting. AEGIS_PENDING: it is gone. */
static aegis_status pin_found(aegis_page_cache_shared *cache, uint32_t frame, uint32_t file,
                              uint64_t page, uint32_t mode, aegis_page_pin *pin,
                              aegis_page_error *error) {
    uint64_t pins = aegis_i_pins_of(mode);
    uint32_t result = aegis_i_frame_enter_shared(cache, frame, file, page, pins);
    if (result == AEGIS_I_GONE)
        return AEGIS_PENDING;
    if (result == AEGIS_I_JOINED) {
        if (pins != 0)
            aegis_i_frame_uncount(&cache->frames[frame]);
        aegis_i_frame_leave(cache, frame);
    }
    if (result != AEGIS_I_ENTERED)
        return aegis_i_pin_fail(file, page, result, error);
    aegis_i_pin_count_once(cache, frame, mode);
    aegis_i_pin_fill(cache, frame, file, page, AEGIS_PIN_READ, pin);
    return AEGIS_OK;
}

aegis_status aegis_page_cache_begin_read(const aegis_page_cache *handle, uint32_t number,
                                         uint64_t page, uint32_t mode, aegis_page_pin *pin,
                                         aegis_page_read *read, aegis_page_error *error) {
    aegis_page_cache_shared *cache = handle->shared;
    aegis_status status;
    aegis_i_dirty_pages dirty;
    const uint32_t known = AEGIS_PIN_ONCE | AEGIS_PIN_KEEP;
    memset(read, 0, sizeof *read);
    if ((mode & ~known) == 0 && aegis_i_pin_hit(handle, number, page, mode, pin))
        return AEGIS_OK;
    memset(pin, 0, sizeof *pin);
    if ((mode & ~known) != 0)
        return aegis_i_page_fail_bound(error, AEGIS_E_INVALID, AEGIS_PAGE_FLAGS, mode, known);
    uint64_t hash = aegis_i_page_hash(cache, number, page);
    aegis_i_page_file *file;
    uint32_t frame;
    for (;;) {
        file = aegis_i_cache_lock_file(cache, number, &status, error);
        if (file == NULL)
            return status;
        frame = aegis_i_table_find(cache, hash, number, page, UINT32_MAX);
        if (frame == AEGIS_I_NO_FRAME)
            break;
        aegis_i_cache_unlock(cache);
        status = pin_found(cache, frame, number, page, mode, pin, error);
        if (status != AEGIS_PENDING)
            return status;
    }
    frame = aegis_i_cache_claim(cache, &dirty);
    if (frame == AEGIS_I_NO_FRAME) {
        if (dirty.count == 0)
            status = aegis_i_cache_fail_pinned(cache, AEGIS_E_BUSY, error);
        else
            status = aegis_i_page_fail(error, AEGIS_E_BUSY, AEGIS_PAGE_ALL_DIRTY, number, page);
        aegis_i_cache_unlock(cache);
        return status;
    }
    aegis_i_cache_enter(cache, file, frame, page, mode);
    cache->miss_count++;
    aegis_i_cache_unlock(cache);
    read->data = aegis_i_cache_bytes(cache, frame);
    read->page = page;
    read->file = number;
    read->frame = frame;
    return AEGIS_PENDING;
}

/* Passes a page that was read to the file's `verify`. It is LOADING, so its file is open
 * (aegis_page_cache_close). */
static aegis_status verify(aegis_page_cache_shared *cache, const aegis_page_read *read,
                           aegis_page_error *why) {
    if (!aegis_i_cache_lock(cache))
        return aegis_i_page_fail(why, AEGIS_E_FORKED, AEGIS_PAGE_NONE, read->file, read->page);
    const aegis_i_page_file *file = aegis_i_cache_file(cache, read->file);
    aegis_i_cache_unlock(cache);
    return aegis_i_cache_verify(cache, file, read->page, read->data, why);
}

aegis_status aegis_page_cache_complete(const aegis_page_cache *handle, aegis_page_read *read,
                                       aegis_status result, aegis_page_pin *pin,
                                       aegis_page_error *error) {
    aegis_page_cache_shared *cache = handle->shared;
    aegis_page_error why;
    memset(pin, 0, sizeof *pin);
    bool valid = read->data != NULL && read->frame < cache->max_frame_count &&
                 aegis_i_frame_has(&cache->frames[read->frame], read->file, read->page) &&
                 (aegis_i_frame_state(&cache->frames[read->frame]) & AEGIS_I_LOADING) != 0;
    if (!valid || result > 0)
        return aegis_i_page_fail(error, AEGIS_E_INVALID, AEGIS_PAGE_HANDLE, read->file, read->page);
    if (aegis_i_cache_is_forked(cache))
        return aegis_i_page_fail(error, AEGIS_E_FORKED, AEGIS_PAGE_NONE, read->file, read->page);
    if (result != AEGIS_OK) {
        (void)aegis_i_page_fail(&why, result, AEGIS_PAGE_READ, read->file, read->page);
        (void)aegis_i_add(&cache->read_error_count, 1, memory_order_relaxed);
    } else if (aegis_i_load(&cache->has_verify, memory_order_relaxed) != 0) {
        /* Relaxed: see add_file. */
        result = verify(cache, read, &why);
    }
    if (result != AEGIS_OK) {
        aegis_i_cache_give_up(cache, read->frame, &why);
        if (error != NULL)
            *error = why;
    } else {
        aegis_i_frame_loaded(cache, read->frame, false);
        aegis_i_pin_fill(cache, read->frame, read->file, read->page, AEGIS_PIN_READ, pin);
    }
    memset(read, 0, sizeof *read);
    return result;
}
