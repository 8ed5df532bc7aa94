/* SPDX-License-Identifier: Apache-2.0 */
/* Pinning and unpinning pages: the long way of a pin, and what can be done with a pin. pin.h has
 * the short way. */
#if !defined(_WIN32) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* condition.h */
#endif

#include "pin.h"
#include "../buffer/owner.h"
#include "../source.h"
#include "claim.h"
#include "load.h"
#include "resize.h"
#include "shared.h"
#include "wait.h"

#define KNOWN_MODES                                                                                \
    (AEGIS_PIN_FRESH | AEGIS_PIN_TRY | AEGIS_PIN_ONCE | AEGIS_PIN_KEEP | AEGIS_PIN_RESIDENT)

/* A pin that goes the long way. */
typedef struct request {
    aegis_page_cache_shared *cache;
    uint64_t hash;
    uint64_t page;
    uint32_t file;
    uint32_t mode;
    /* The end of the waits for a latch, set at the first; and for a frame. */
    uint64_t deadline_ns;
    uint64_t frame_deadline_ns;
    uint32_t attempt;
    bool read_ahead;
    aegis_page_error *error;
} request;

static bool is_exclusive(const request *self) {
    return (self->mode & AEGIS_PIN_WRITE) != 0;
}

/* The end of a wait that begins now, or has begun before. */
static uint64_t deadline_of(request *self) {
    if (self->deadline_ns == AEGIS_I_OPTIONAL)
        self->deadline_ns =
            (self->mode & AEGIS_PIN_TRY) != 0 ? 0 : aegis_i_deadline_ns(self->cache->latch_wait_ns);
    return self->deadline_ns;
}

aegis_status aegis_i_pin_fail(uint32_t file, uint64_t page, uint32_t result,
                              aegis_page_error *error) {
    if (result != AEGIS_I_REFUSED)
        return aegis_i_page_fail(error, AEGIS_E_BUSY, AEGIS_PAGE_PINNED, file, page);
    (void)aegis_i_page_fail(error, AEGIS_E_LIMIT_EXCEEDED, AEGIS_PAGE_PINS, file, page);
    if (error != NULL)
        error->allowed = AEGIS_I_CROWDED;
    return AEGIS_E_LIMIT_EXCEEDED;
}

/* Enters the frame of a page that is resident, and waits if it must. AEGIS_PENDING: the page is not
 * there any more. */
static aegis_status enter(request *self, uint32_t number) {
    aegis_page_cache_shared *cache = self->cache;
    uint64_t pins = aegis_i_pins_of(self->mode);
    bool exclusive = is_exclusive(self);
    bool reads = false;
    uint32_t result =
        exclusive ? aegis_i_frame_enter_exclusive(cache, number, self->file, self->page, pins)
                  : aegis_i_frame_enter_shared(cache, number, self->file, self->page, pins);
    if (exclusive && result == AEGIS_I_BLOCKED &&
        (aegis_i_frame_state(&cache->frames[number]) & AEGIS_I_LOADING) != 0) {
        /* A writer waits for the reading as a reader, so as to be told the error of it. */
        result = aegis_i_frame_enter_shared(cache, number, self->file, self->page, 0);
        reads = result == AEGIS_I_ENTERED || result == AEGIS_I_JOINED;
    }
    if (result == AEGIS_I_JOINED) {
        aegis_page_error why;
        why.status = AEGIS_OK;
        result = aegis_i_frame_join(cache, number, deadline_of(self), &why);
        if (result == AEGIS_I_GONE && why.status != AEGIS_OK) {
            if (self->error != NULL)
                *self->error = why;
            return why.status;
        }
    } else if (result == AEGIS_I_BLOCKED) {
        result =
            aegis_i_frame_wait(cache, number, self->file, self->page, exclusive, deadline_of(self));
    }
    /* Another thread could throw the page away between the end of the reading and a new attempt,
     * each time again. */
    if (reads && result == AEGIS_I_ENTERED && !aegis_i_frame_become_writer(cache, number, pins)) {
        aegis_i_frame_leave(cache, number);
        result = AEGIS_I_GONE;
    }
    if (result == AEGIS_I_GONE)
        return AEGIS_PENDING;
    if (result != AEGIS_I_ENTERED)
        return aegis_i_pin_fail(self->file, self->page, result, self->error);
    aegis_i_pin_count_once(cache, number, self->mode);
    return AEGIS_OK;
}

/* Fills a frame that this thread has entered as LOADING, and keeps it pinned. */
static aegis_status load(request *self, const aegis_i_page_file *file, uint32_t number) {
    aegis_page_cache_shared *cache = self->cache;
    unsigned char *bytes = aegis_i_cache_bytes(cache, number);
    bool fresh = (self->mode & AEGIS_PIN_FRESH) == AEGIS_PIN_FRESH;
    if (fresh) {
        memset(bytes, 0, cache->page_bytes);
    } else {
        uint32_t read_count;
        aegis_page_error why;
        aegis_status status =
            aegis_i_cache_read(cache, file, self->page, &bytes, 1, &read_count, &why);
        if (status == AEGIS_OK)
            status = aegis_i_cache_verify(cache, file, self->page, bytes, &why);
        if (status != AEGIS_OK) {
            aegis_i_cache_give_up(cache, number, &why);
            if (self->error != NULL)
                *self->error = why;
            return status;
        }
    }
    aegis_i_frame_loaded(cache, number, is_exclusive(self));
    return AEGIS_OK;
}

/* If the miss is one of a scan, reads the page together with those behind it, and gives the lock up
 * for that. Returns whether it did. An error is found again when the page is read alone. */
static bool read_ahead(request *self, const aegis_page_cache *handle, aegis_i_page_file *file) {
    if ((self->mode & (AEGIS_PIN_ONCE | AEGIS_PIN_WRITE)) != AEGIS_PIN_ONCE || self->read_ahead)
        return false;
    uint32_t count = aegis_i_cache_scan(self->cache, file, self->page);
    self->read_ahead = true;
    if (count == 1)
        return false;
    aegis_i_cache_unlock(self->cache);
    (void)aegis_page_cache_prefetch(handle, self->file, self->page, count, AEGIS_PIN_ONCE, NULL,
                                    NULL);
    return true;
}

static aegis_status pin_slowly(request *self, const aegis_page_cache *handle, aegis_page_pin *pin) {
    aegis_page_cache_shared *cache = self->cache;
    for (;;) {
        aegis_status status;
        aegis_i_page_file *file = aegis_i_cache_lock_file(cache, self->file, &status, self->error);
        if (file == NULL)
            return status;
        uint32_t number = aegis_i_table_find(cache, self->hash, self->file, self->page, UINT32_MAX);
        if (number != AEGIS_I_NO_FRAME) {
            aegis_i_cache_unlock(cache);
            status = enter(self, number);
            if (status == AEGIS_OK && (self->mode & AEGIS_PIN_FRESH) == AEGIS_PIN_FRESH)
                memset(aegis_i_cache_bytes(cache, number), 0, cache->page_bytes);
        } else if ((self->mode & AEGIS_PIN_RESIDENT) != 0) {
            aegis_i_cache_unlock(cache);
            return AEGIS_PENDING;
        } else {
            aegis_i_dirty_pages dirty;
            if (aegis_i_cache_is_to_regrow(cache)) {
                aegis_i_cache_unlock(cache);
                aegis_i_cache_regrow(cache);
                continue;
            }
            if (read_ahead(self, handle, file))
                continue;
            number = aegis_i_cache_claim(cache, &dirty);
            if (number == AEGIS_I_NO_FRAME) {
                aegis_i_cache_unlock(cache);
                status =
                    aegis_i_cache_make_room(cache, &dirty, (self->mode & AEGIS_PIN_TRY) == 0,
                                            &self->attempt, &self->frame_deadline_ns, self->error);
                if (status != AEGIS_OK)
                    return status;
                continue;
            }
            aegis_i_cache_enter(cache, file, number, self->page, self->mode);
            if ((self->mode & AEGIS_PIN_FRESH) == AEGIS_PIN_FRESH)
                cache->fresh_count++;
            else
                cache->miss_count++;
            aegis_i_cache_unlock(cache);
            status = load(self, file, number);
        }
        if (status == AEGIS_PENDING)
            continue;
        if (status == AEGIS_OK)
            aegis_i_pin_fill(cache, number, self->file, self->page, self->mode & AEGIS_PIN_FRESH,
                             pin);
        return status;
    }
}

/* Pins a resident page to write, if it is found and nobody uses it, and takes no lock. False: the
 * caller goes the long way. */
static inline bool write_hit(const aegis_page_cache *handle, uint32_t file, uint64_t page,
                             aegis_page_pin *pin) {
    aegis_page_cache_shared *cache = handle->shared;
    uint32_t number = aegis_i_table_find(cache, aegis_i_page_hash(cache, file, page), file, page,
                                         AEGIS_PAGE_MAX_STEPS);
    /* Relaxed: see aegis_page_cache_close. */
    if (number == AEGIS_I_NO_FRAME || aegis_i_cache_is_forked(cache) ||
        aegis_i_load(&cache->closing_count, memory_order_relaxed) != 0 ||
        aegis_i_frame_enter_exclusive(cache, number, file, page, AEGIS_I_ONE_PIN) !=
            AEGIS_I_ENTERED)
        return false;
    aegis_i_pin_fill(cache, number, file, page, AEGIS_PIN_WRITE, pin);
    return true;
}

aegis_status aegis_page_cache_pin(const aegis_page_cache *handle, uint32_t file, uint64_t page,
                                  uint32_t mode, aegis_page_pin *pin, aegis_page_error *error) {
    /* What is said of misses and waits does not matter to a hit. */
    uint32_t kind = mode & ~(AEGIS_PIN_TRY | AEGIS_PIN_KEEP | AEGIS_PIN_RESIDENT);
    if ((kind == AEGIS_PIN_READ && aegis_i_pin_hit(handle, file, page, mode, pin)) ||
        (kind == AEGIS_PIN_WRITE && write_hit(handle, file, page, pin)))
        return AEGIS_OK;
    request self = {handle->shared,
                    aegis_i_page_hash(handle->shared, file, page),
                    page,
                    file,
                    mode,
                    AEGIS_I_OPTIONAL,
                    AEGIS_I_OPTIONAL,
                    0,
                    false,
                    error};
    memset(pin, 0, sizeof *pin);
    if ((mode & ~KNOWN_MODES) != 0 || (mode & AEGIS_PIN_FRESH) == 2)
        return aegis_i_page_fail_bound(error, AEGIS_E_INVALID, AEGIS_PAGE_FLAGS, mode, KNOWN_MODES);
    return pin_slowly(&self, handle, pin);
}

static inline bool is_pin(const aegis_page_cache *handle, const aegis_page_pin *pin,
                          bool exclusive) {
    aegis_page_cache_shared *cache = handle->shared;
    if (pin->data == NULL || pin->frame >= cache->max_frame_count ||
        (pin->mode != AEGIS_PIN_READ && pin->mode != AEGIS_PIN_WRITE &&
         pin->mode != AEGIS_PIN_FRESH) ||
        (exclusive && pin->mode == AEGIS_PIN_READ))
        return false;
    aegis_page_frame *frame = &cache->frames[pin->frame];
    uint64_t seen = aegis_i_load(aegis_i_frame_word(frame), memory_order_relaxed);
    bool held = pin->mode == AEGIS_PIN_READ
                    ? (seen & AEGIS_I_READERS) != 0
                    : (seen & (AEGIS_I_EXCLUSIVE | AEGIS_I_LOADING)) == AEGIS_I_EXCLUSIVE;
    return held && aegis_i_frame_has(frame, pin->file, pin->page) &&
           pin->data == aegis_i_cache_bytes(cache, pin->frame);
}

bool aegis_i_is_pin(const aegis_page_cache *handle, const aegis_page_pin *pin, bool exclusive) {
    return is_pin(handle, pin, exclusive);
}

aegis_status aegis_i_refuse_pin(const aegis_page_pin *pin, aegis_page_error *error) {
    if (AEGIS_I_DEBUG)
        aegis_i_report("page %llu of file %u: the handle is no pin of this page cache, or not of "
                       "the needed mode, or was given up before",
                       (unsigned long long)pin->page, (unsigned)pin->file);
    return aegis_i_page_fail(error, AEGIS_E_INVALID, AEGIS_PAGE_HANDLE, pin->file, pin->page);
}

aegis_status aegis_page_cache_unpin(const aegis_page_cache *handle, aegis_page_pin *pin,
                                    uint32_t flags) {
    if (AEGIS_UNLIKELY((flags & ~AEGIS_UNPIN_DIRTY) != 0 || !is_pin(handle, pin, flags != 0)))
        return aegis_i_refuse_pin(pin, NULL);
    if (pin->mode == AEGIS_PIN_READ)
        aegis_i_frame_leave(handle->shared, pin->frame);
    else
        aegis_i_frame_leave_exclusive(handle->shared, pin->frame,
                                      flags != 0 || pin->mode == AEGIS_PIN_FRESH, false);
    memset(pin, 0, sizeof *pin);
    return AEGIS_OK;
}

void aegis_page_cache_left(const aegis_page_cache *handle, uint32_t frame, uint64_t before) {
    aegis_i_frame_left(handle->shared, frame, before);
}

aegis_status aegis_page_cache_upgrade(const aegis_page_cache *handle, aegis_page_pin *pin,
                                      uint32_t flags, aegis_page_error *error) {
    if ((flags & ~AEGIS_PIN_TRY) != 0)
        return aegis_i_page_fail_bound(error, AEGIS_E_INVALID, AEGIS_PAGE_FLAGS, flags,
                                       AEGIS_PIN_TRY);
    if (pin->mode != AEGIS_PIN_READ || !aegis_i_is_pin(handle, pin, false))
        return aegis_i_refuse_pin(pin, error);
    if (aegis_i_cache_is_forked(handle->shared))
        return aegis_i_page_fail(error, AEGIS_E_FORKED, AEGIS_PAGE_NONE, pin->file, pin->page);
    uint64_t deadline_ns = flags != 0 ? 0 : aegis_i_deadline_ns(handle->shared->latch_wait_ns);
    if (aegis_i_frame_upgrade(handle->shared, pin->frame, deadline_ns) != AEGIS_I_ENTERED)
        return aegis_i_page_fail(error, AEGIS_E_BUSY, AEGIS_PAGE_PINNED, pin->file, pin->page);
    pin->mode = AEGIS_PIN_WRITE;
    return AEGIS_OK;
}

aegis_status aegis_page_cache_downgrade(const aegis_page_cache *handle, aegis_page_pin *pin,
                                        uint32_t flags) {
    if ((flags & ~AEGIS_UNPIN_DIRTY) != 0 || !aegis_i_is_pin(handle, pin, true))
        return aegis_i_refuse_pin(pin, NULL);
    aegis_i_frame_leave_exclusive(handle->shared, pin->frame,
                                  flags != 0 || pin->mode == AEGIS_PIN_FRESH, true);
    pin->mode = AEGIS_PIN_READ;
    return AEGIS_OK;
}

aegis_status aegis_page_cache_set_lsn(const aegis_page_cache *handle, const aegis_page_pin *pin,
                                      uint64_t lsn) {
    aegis_page_cache_shared *cache = handle->shared;
    if (lsn == 0 || !aegis_i_is_pin(handle, pin, true))
        return aegis_i_refuse_pin(pin, NULL);
    aegis_page_frame *frame = &cache->frames[pin->frame];
    aegis_i_word64 *latest = (aegis_i_word64 *)(void *)&frame->lsn;
    aegis_i_word64 *first = &cache->first_lsns[pin->frame];
    /* Relaxed: the pin is exclusive, and its end publishes both. The figures may read them at any
     * time. */
    if (aegis_i_load(latest, memory_order_relaxed) < lsn)
        aegis_i_store(latest, lsn, memory_order_relaxed);
    /* Until a sync has made durable what the page had before, the log is needed from there on. */
    bool durable = (aegis_i_frame_state(frame) & AEGIS_I_DIRTY) == 0 &&
                   aegis_i_load(&cache->epochs[pin->frame], memory_order_relaxed) == 0;
    uint64_t seen = aegis_i_load(first, memory_order_relaxed);
    aegis_i_store(first, durable ? lsn : aegis_i_lower_lsn(seen, lsn), memory_order_relaxed);
    return AEGIS_OK;
}

/* -- buffers -- */

/* A page that is a buffer. */
typedef struct page_owner {
    aegis_buffer_owner owner;
    aegis_page_cache_shared *cache;
    uint32_t frame;
} page_owner;

static void release_page(aegis_buffer_owner *owner) {
    page_owner *self = (page_owner *)(void *)owner;
    aegis_page_cache_shared *cache = self->cache;
    aegis_i_frame_leave(cache, self->frame);
    aegis_i_record_free(self);
    aegis_i_cache_drop(cache);
}

aegis_status aegis_page_cache_into_buffer(const aegis_page_cache *handle, aegis_page_pin *pin,
                                          aegis_buffer *buffer, aegis_page_error *error) {
    memset(buffer, 0, sizeof *buffer);
    if (pin->mode != AEGIS_PIN_READ || !aegis_i_is_pin(handle, pin, false))
        return aegis_i_refuse_pin(pin, error);
    page_owner *self = (page_owner *)aegis_i_record_new(sizeof *self);
    if (self == NULL) {
        (void)aegis_i_page_fail(error, AEGIS_E_OUT_OF_MEMORY, AEGIS_PAGE_NONE, pin->file,
                                pin->page);
        return AEGIS_E_OUT_OF_MEMORY;
    }
    self->owner.references = 1;
    self->owner.release = release_page;
    /* The last buffer frees the memory of the cache, and so calls the source. */
    self->owner.flags = AEGIS_I_BUFFER_FOREIGN;
    self->owner.base = pin->data;
    self->owner.capacity_bytes = handle->page_bytes;
    self->cache = handle->shared;
    self->frame = pin->frame;
    /* Relaxed: the caller's handle keeps the cache. */
    (void)aegis_i_add(&handle->shared->references, 1, memory_order_relaxed);
    buffer->data = pin->data;
    buffer->length = handle->page_bytes;
    buffer->owner = &self->owner;
    memset(pin, 0, sizeof *pin);
    return AEGIS_OK;
}
