/* SPDX-License-Identifier: Apache-2.0 */
/* How a page that is not resident gets a frame: a free one, or that of a page that is evicted. The
 * policy names the page to evict; this file knows why a page cannot be evicted at the moment.
 *
 * If no clean page is found among the coldest, the thread writes the dirty ones it has met, as one
 * batch, and tries again. If all pages are pinned, it waits or fails. */
#if !defined(_WIN32) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* condition.h */
#endif

#include "claim.h"
#include "../base/harden.h"
#include "frame.h"
#include "latch.h"
#include "lists.h"
#include "shared.h"
#include "table.h"
#include "wait.h"
#include "write.h"

/* A thread that waits for a frame looks again after this time at the latest: see
 * aegis_i_cache_is_wanted. */
#define LOOK_AGAIN_NS UINT64_C(10000000)
/* How often a request writes pages without getting one of their frames, because the writes fail or
 * other threads are faster. */
#define MAX_ATTEMPTS 64

typedef struct looker {
    aegis_page_cache_shared *cache;
    aegis_i_dirty_pages *dirty;
    /* The pins that were taken out of the words, not yet in `taken_hits`. */
    uint64_t hits;
} looker;

/* Tells the policy how a frame stands. */
static uint32_t look(void *context, uint32_t number, uint32_t *hits) {
    looker *self = (looker *)context;
    aegis_page_cache_shared *cache = self->cache;
    aegis_page_frame *frame = &cache->frames[number];
    uint64_t seen = aegis_i_frame_state(frame);
    /* A reader that is turned away may take its pin off meanwhile (aegis_i_frame_uncount). Relaxed:
     * it is only a count. */
    while (seen >> AEGIS_I_PINS_SHIFT != 0 &&
           !aegis_i_cas_weak(aegis_i_frame_word(frame), &seen, seen & (AEGIS_I_ONE_PIN - 1),
                             memory_order_relaxed, memory_order_relaxed))
        continue;
    *hits = (uint32_t)(seen >> AEGIS_I_PINS_SHIFT);
    self->hits += *hits;
    /* The thread that copies a page to write it is one of the readers for a moment. */
    if ((seen & AEGIS_I_WRITING) == 0 &&
        (seen & (AEGIS_I_READERS | AEGIS_I_EXCLUSIVE | AEGIS_I_PENDING)) != 0)
        return AEGIS_I_LOOK_PINNED;
    if ((seen & (AEGIS_I_DIRTY | AEGIS_I_WRITING)) == 0)
        return AEGIS_I_LOOK_CLEAN;
    if (self->dirty->count < AEGIS_I_MAX_DIRTY_LOOKS)
        self->dirty->records[self->dirty->count++] = aegis_i_frame_record(cache, number);
    return AEGIS_I_LOOK_DIRTY;
}

uint32_t aegis_i_cache_claim(aegis_page_cache_shared *cache, aegis_i_dirty_pages *dirty) {
    looker self = {cache, dirty, 0};
    /* Each round takes a frame out of the queues, or finds that it was pinned since the look. */
    for (uint32_t round = 0; round <= cache->max_frame_count; round++) {
        dirty->count = 0;
        uint32_t number = cache->free_frames;
        if (number != AEGIS_I_NO_FRAME) {
            cache->free_frames = cache->links[number].next;
            cache->free_count--;
        } else {
            number = aegis_i_policy_victim(&cache->policy, look, &self);
            /* Relaxed: it is only a count. */
            if (self.hits != 0)
                (void)aegis_i_add(&cache->taken_hits, self.hits, memory_order_relaxed);
            self.hits = 0;
            if (number == AEGIS_I_NO_FRAME)
                return AEGIS_I_NO_FRAME;
            if (!aegis_i_frame_take(cache, number, AEGIS_I_DIRTY))
                continue;
            cache->evicted_count++;
            aegis_i_cache_remove(cache, number, true);
            if (number >> cache->slab_shift == cache->leaving_slab) {
                aegis_i_cache_free_frame(cache, number);
                continue;
            }
        }
        AEGIS_I_SHOW(aegis_i_cache_bytes(cache, number), cache->page_bytes);
        return number;
    }
    return AEGIS_I_NO_FRAME;
}

void aegis_i_cache_enter(aegis_page_cache_shared *cache, aegis_i_page_file *file, uint32_t number,
                         uint64_t page, uint32_t hint) {
    aegis_page_frame *frame = &cache->frames[number];
    uint64_t hash = aegis_i_page_hash(cache, file->number, page);
    /* Relaxed: the frame is exclusive, and the next two releases publish its identity, to those
     * who come by the page table and to those who come by an old link. */
    aegis_i_store((aegis_i_word64 *)(void *)&frame->page, page, memory_order_relaxed);
    aegis_i_store((aegis_i_word32 *)(void *)&frame->file, file->number, memory_order_relaxed);
    aegis_i_store((aegis_i_word64 *)(void *)&frame->lsn, 0, memory_order_relaxed);
    aegis_i_store(&cache->epochs[number], 0, memory_order_relaxed);
    aegis_i_store(&cache->first_lsns[number], 0, memory_order_relaxed);
    uint64_t vacant = aegis_i_frame_state(frame) & AEGIS_I_VACANT;
    uint64_t before =
        aegis_i_add(aegis_i_frame_word(frame), AEGIS_I_LOADING - vacant, memory_order_release);
    /* Threads that wait for the page that was here look for it elsewhere. */
    if ((before & AEGIS_I_ASLEEP) != 0)
        aegis_i_frame_wake(cache, number);
    aegis_i_table_add(cache, hash, number);
    aegis_i_policy_insert(&cache->policy, number, aegis_i_page_key(hash),
                          ((hint & AEGIS_PIN_ONCE) != 0 ? AEGIS_I_HINT_ONCE : 0) |
                              ((hint & AEGIS_PIN_KEEP) != 0 ? AEGIS_I_HINT_KEEP : 0));
    file->resident_count++;
}

aegis_status aegis_i_cache_fail_pinned(aegis_page_cache_shared *cache, aegis_status status,
                                       aegis_page_error *error) {
    (void)aegis_i_page_fail(error, status, AEGIS_PAGE_ALL_PINNED, AEGIS_PAGE_NO_FILE, 0);
    if (error == NULL)
        return status;
    error->asked = 1;
    error->allowed = cache->frame_count;
    /* The file with most pins, by the vote of Boyer and Moore, and then its number of pins. If no
     * file has more than half, it is one of those with many. */
    size_t votes = 0;
    for (int pass = 0; pass < 2; pass++)
        for (uint32_t i = 0; i < cache->max_frame_count; i++) {
            aegis_page_frame *frame = &cache->frames[i];
            uint32_t file = aegis_i_frame_file(frame);
            uint64_t seen = aegis_i_frame_state(frame);
            if ((seen & (AEGIS_I_READERS | AEGIS_I_EXCLUSIVE)) == 0 || file == AEGIS_PAGE_NO_FILE)
                continue;
            if (pass == 1) {
                error->pinned_count++;
                error->pinned_file_count += file == error->pinned_file;
            } else if (votes == 0) {
                error->pinned_file = file;
                votes = 1;
            } else {
                votes += file == error->pinned_file ? 1 : SIZE_MAX;
            }
        }
    return status;
}

/* Waits until a page is no longer pinned, or says which are. */
static aegis_status wait_for_frame(aegis_page_cache_shared *cache, uint64_t *deadline_ns,
                                   aegis_page_error *error) {
    if (!aegis_i_cache_lock(cache))
        return aegis_i_page_fail(error, AEGIS_E_FORKED, AEGIS_PAGE_NONE, AEGIS_PAGE_NO_FILE, 0);
    if (*deadline_ns == AEGIS_I_OPTIONAL) {
        *deadline_ns = cache->frame_wait_ns != 0 ? aegis_i_deadline_ns(cache->frame_wait_ns) : 0;
        cache->frame_wait_count += *deadline_ns != 0;
    }
    uint64_t now_ns = *deadline_ns != 0 ? aegis_i_now_ns() : 0;
    if (now_ns >= *deadline_ns) {
        aegis_status status = aegis_i_cache_fail_pinned(cache, AEGIS_E_EXHAUSTED, error);
        aegis_i_cache_unlock(cache);
        return status;
    }
    (void)aegis_i_add(&cache->wanted_count, 1, memory_order_relaxed);
    (void)aegis_i_cache_wait(cache, *deadline_ns - now_ns < LOOK_AGAIN_NS ? *deadline_ns
                                                                          : now_ns + LOOK_AGAIN_NS);
    (void)aegis_i_sub(&cache->wanted_count, 1, memory_order_relaxed);
    aegis_i_cache_unlock(cache);
    return AEGIS_OK;
}

/* Waits for one of the pages that another thread writes to the store, if there is one. */
static aegis_status wait_for_write(aegis_page_cache_shared *cache, const aegis_i_dirty_pages *dirty,
                                   aegis_page_error *error) {
    for (uint32_t i = 0; i < dirty->count; i++) {
        const aegis_i_page_record *record = &dirty->records[i];
        if ((aegis_i_frame_state(&cache->frames[record->frame]) & AEGIS_I_WRITING) == 0)
            continue;
        if (aegis_i_frame_wait_written(cache, record->frame, record->file, record->page,
                                       aegis_i_deadline_ns(cache->latch_wait_ns)) ==
            AEGIS_I_TIMED_OUT)
            return aegis_i_page_fail(error, AEGIS_E_BUSY, AEGIS_PAGE_ALL_DIRTY, AEGIS_PAGE_NO_FILE,
                                     0);
        break;
    }
    return AEGIS_OK;
}

aegis_status aegis_i_cache_make_room(aegis_page_cache_shared *cache, aegis_i_dirty_pages *dirty,
                                     bool may_wait, uint32_t *attempt, uint64_t *deadline_ns,
                                     aegis_page_error *error) {
    if (dirty->count != 0) {
        if (++*attempt > MAX_ATTEMPTS)
            return aegis_i_page_fail(error, AEGIS_E_BUSY, AEGIS_PAGE_ALL_DIRTY, AEGIS_PAGE_NO_FILE,
                                     0);
        size_t written_count = 0;
        aegis_i_cache_sort(dirty->records, dirty->count);
        aegis_status status = aegis_i_cache_write(cache, dirty->records, dirty->count,
                                                  AEGIS_I_SKIP_BUSY, &written_count, error);
        if (written_count != 0) {
            if (aegis_i_cache_lock(cache)) {
                cache->evicted_dirty_count += written_count;
                aegis_i_cache_unlock(cache);
            }
            return AEGIS_OK;
        }
        if (status == AEGIS_OK)
            return may_wait ? wait_for_write(cache, dirty, error) : AEGIS_OK;
        /* None of them can be written. Pages of other files, which may be further from the cold
         * end, are tried in their place. */
        if (!aegis_i_cache_lock(cache))
            return status;
        for (uint32_t i = 0; i < dirty->count; i++)
            aegis_i_policy_postpone(&cache->policy, dirty->records[i].frame);
        size_t tries = (size_t)cache->frame_count / AEGIS_I_MAX_DIRTY_LOOKS + 2;
        aegis_i_cache_unlock(cache);
        return *attempt >= aegis_i_min(tries, MAX_ATTEMPTS) ? status : AEGIS_OK;
    }
    if (!may_wait)
        *deadline_ns = 0;
    return wait_for_frame(cache, deadline_ns, error);
}
