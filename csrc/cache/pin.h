/* SPDX-License-Identifier: Apache-2.0 */
/* The hit of the page cache. src/cache/hit.rs does the same. Not installed. */
#ifndef AEGIS_MEMORY_I_CACHE_PIN_H
#define AEGIS_MEMORY_I_CACHE_PIN_H

#include "frame.h"
#include "table.h"

/* Whether a handle is a pin of this cache, as far as can be seen. */
AEGIS_I_HIDDEN bool aegis_i_is_pin(const aegis_page_cache *handle, const aegis_page_pin *pin,
                                   bool exclusive);
/* Fails for a handle that is none, and reports it in a debug build. */
AEGIS_I_HIDDEN aegis_status aegis_i_refuse_pin(const aegis_page_pin *pin, aegis_page_error *error);

/* The error of a page that cannot be entered: AEGIS_I_REFUSED, or the wait was too long. */
AEGIS_I_HIDDEN aegis_status aegis_i_pin_fail(uint32_t file, uint64_t page, uint32_t result,
                                             aegis_page_error *error);

/* Fills in the handle of a page that is pinned. */
static inline void aegis_i_pin_fill(const aegis_page_cache_shared *cache, uint32_t frame,
                                    uint32_t file, uint64_t page, uint32_t mode,
                                    aegis_page_pin *pin) {
    pin->data = aegis_i_cache_bytes(cache, frame);
    pin->page = page;
    pin->file = file;
    pin->frame = frame;
    pin->mode = mode;
}

/* What a pin adds to the count of pins, and where those are counted that add nothing: a pin with
 * the hint AEGIS_PIN_ONCE does not make a page hotter. */
static inline uint64_t aegis_i_pins_of(uint32_t mode) {
    return (mode & AEGIS_PIN_ONCE) != 0 ? 0 : AEGIS_I_ONE_PIN;
}

static inline void aegis_i_pin_count_once(aegis_page_cache_shared *cache, uint32_t frame,
                                          uint32_t mode) {
    if ((mode & AEGIS_PIN_ONCE) != 0)
        /* Relaxed: it is only a count. */
        (void)aegis_i_add(&cache->once_hits[frame % AEGIS_I_LATCHES], 1, memory_order_relaxed);
}

/* Pins a resident page to read, if it is found and free of writers, and takes no lock. False: the
 * caller goes the long way. `mode` has none of the flags of AEGIS_PIN_FRESH. */
static inline bool aegis_i_pin_hit(const aegis_page_cache *handle, uint32_t file, uint64_t page,
                                   uint32_t mode, aegis_page_pin *pin) {
    aegis_page_cache_shared *cache = handle->shared;
    uint64_t hash = aegis_i_page_hash(cache, file, page);
    uint32_t number = aegis_i_table_find(cache, hash, file, page, AEGIS_PAGE_MAX_STEPS);
    if (AEGIS_UNLIKELY(number == AEGIS_I_NO_FRAME || (mode & AEGIS_PIN_ONCE) != 0))
        return false;
    aegis_page_frame *frame = &cache->frames[number];
    /* Acquire pairs with the release of each thread that had the frame exclusively: this thread
     * sees the page as that one left it. */
    uint64_t before =
        aegis_i_add(aegis_i_frame_word(frame), AEGIS_I_ONE_PIN + 1, memory_order_acquire);
    if (AEGIS_UNLIKELY((before & AEGIS_I_CLOSED_TO_READERS) != 0 ||
                       !aegis_i_frame_has(frame, file, page))) {
        aegis_i_frame_uncount(frame);
        aegis_i_frame_leave(cache, number);
        return false;
    }
    aegis_i_pin_fill(cache, number, file, page, AEGIS_PIN_READ, pin);
    return true;
}

#endif
