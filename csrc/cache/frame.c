/* SPDX-License-Identifier: Apache-2.0 */
/* How threads enter and leave a frame without waiting. word.h has the bits and the invariants. */
#if !defined(_WIN32) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* condition.h */
#endif

#include "frame.h"
#include "latch.h"
#include "lists.h"
#include "shared.h"

/* Takes the upper half of the count of pins out of a word where it is full. */
static void take_full_pins(aegis_page_cache_shared *cache, aegis_page_frame *frame) {
    uint64_t seen = aegis_i_load(aegis_i_frame_word(frame), memory_order_relaxed);
    while ((seen & AEGIS_I_PINS_FULL) != 0)
        /* Relaxed: only the count of pins changes. */
        if (aegis_i_cas_weak(aegis_i_frame_word(frame), &seen, seen - AEGIS_I_PINS_FULL,
                             memory_order_relaxed, memory_order_relaxed)) {
            (void)aegis_i_add(&cache->taken_hits, AEGIS_I_PINS_FULL >> AEGIS_I_PINS_SHIFT,
                              memory_order_relaxed);
            return;
        }
}

void aegis_i_frame_uncount(aegis_page_frame *frame) {
    uint64_t seen = aegis_i_load(aegis_i_frame_word(frame), memory_order_relaxed);
    /* Not below 0: the policy may have taken it out meanwhile. Relaxed: it is only a count. */
    while (seen >> AEGIS_I_PINS_SHIFT != 0 &&
           !aegis_i_cas_weak(aegis_i_frame_word(frame), &seen, seen - AEGIS_I_ONE_PIN,
                             memory_order_relaxed, memory_order_relaxed))
        continue;
}

/* The status of an attempt to enter that a flag of the word has stopped. */
static uint32_t why_closed(uint64_t seen) {
    if ((seen & AEGIS_I_FAILED) != 0)
        return AEGIS_I_GONE;
    return (seen & AEGIS_I_CROWDED) != 0 ? AEGIS_I_REFUSED : AEGIS_I_BLOCKED;
}

uint32_t aegis_i_frame_enter_shared(aegis_page_cache_shared *cache, uint32_t number, uint32_t file,
                                    uint64_t page, uint64_t pins) {
    aegis_page_frame *frame = &cache->frames[number];
    /* Acquire pairs with the release of each thread that had the frame exclusively: this thread
     * sees the page as that one left it. */
    uint64_t before = aegis_i_add(aegis_i_frame_word(frame), pins + 1, memory_order_acquire);
    if (AEGIS_UNLIKELY((before & AEGIS_I_PINS_FULL) != 0))
        take_full_pins(cache, frame);
    uint64_t closed = before & (AEGIS_I_CLOSED_TO_READERS & ~AEGIS_I_PINS_FULL);
    bool same = aegis_i_frame_has(frame, file, page);
    if (closed == 0 && same)
        return AEGIS_I_ENTERED;
    /* The identity was set before the flag (aegis_i_cache_enter), and stays as long as this
     * thread is counted. */
    if (same && (before & AEGIS_I_LOADING) != 0 && (before & AEGIS_I_CROWDED) == 0)
        return AEGIS_I_JOINED;
    /* It was no pin after all. */
    if (pins != 0)
        aegis_i_frame_uncount(frame);
    aegis_i_frame_leave(cache, number);
    return same && closed != 0 ? why_closed(before) : AEGIS_I_GONE;
}

uint32_t aegis_i_frame_enter_exclusive(aegis_page_cache_shared *cache, uint32_t number,
                                       uint32_t file, uint64_t page, uint64_t pins) {
    aegis_page_frame *frame = &cache->frames[number];
    uint64_t seen = aegis_i_load(aegis_i_frame_word(frame), memory_order_relaxed);
    do {
        if (AEGIS_UNLIKELY((seen & AEGIS_I_PINS_FULL) != 0)) {
            take_full_pins(cache, frame);
            seen = aegis_i_load(aegis_i_frame_word(frame), memory_order_relaxed);
        }
        if (!aegis_i_frame_has(frame, file, page))
            return AEGIS_I_GONE;
        if ((seen & (AEGIS_I_CLOSED_TO_WRITERS | AEGIS_I_PENDING)) != 0)
            return (seen & AEGIS_I_FAILED) != 0 ? AEGIS_I_GONE : AEGIS_I_BLOCKED;
        /* Acquire pairs with the releases of the readers and writers before. */
    } while (!aegis_i_cas_weak(aegis_i_frame_word(frame), &seen, (seen | AEGIS_I_EXCLUSIVE) + pins,
                               memory_order_acquire, memory_order_relaxed));
    if (aegis_i_frame_has(frame, file, page))
        return AEGIS_I_ENTERED;
    aegis_i_frame_leave_exclusive(cache, number, false, false);
    return AEGIS_I_GONE;
}

bool aegis_i_frame_become_writer(aegis_page_cache_shared *cache, uint32_t number, uint64_t pins) {
    aegis_i_word64 *word = aegis_i_frame_word(&cache->frames[number]);
    uint64_t seen = aegis_i_load(word, memory_order_relaxed);
    while ((seen & AEGIS_I_READERS) == 1)
        /* Acquire pairs with the releases of the other readers. */
        if (aegis_i_cas_weak(word, &seen, ((seen - 1) | AEGIS_I_EXCLUSIVE) + pins,
                             memory_order_acquire, memory_order_relaxed))
            return true;
    return false;
}

bool aegis_i_frame_take(aegis_page_cache_shared *cache, uint32_t number, uint64_t needless) {
    aegis_page_frame *frame = &cache->frames[number];
    uint64_t seen = aegis_i_load(aegis_i_frame_word(frame), memory_order_relaxed);
    needless |=
        AEGIS_I_READERS | AEGIS_I_EXCLUSIVE | AEGIS_I_FAILED | AEGIS_I_PENDING | AEGIS_I_WRITING;
    do {
        if ((seen & needless) != 0)
            return false;
        /* Acquire pairs with the releases of those who left. */
    } while (!aegis_i_cas_weak(aegis_i_frame_word(frame), &seen, seen | AEGIS_I_EXCLUSIVE,
                               memory_order_acquire, memory_order_relaxed));
    return true;
}

void aegis_i_frame_leave_exclusive(aegis_page_cache_shared *cache, uint32_t number, bool dirty,
                                   bool downgrade) {
    aegis_page_frame *frame = &cache->frames[number];
    uint64_t set = dirty ? AEGIS_I_DIRTY | AEGIS_I_CHANGED : 0;
    uint64_t seen = aegis_i_load(aegis_i_frame_word(frame), memory_order_relaxed);
    bool counted = false;
    uint64_t after;
    do {
        /* Counted before it is so, lest the thread that cleans the page takes it off first. */
        if (dirty && !counted && (seen & AEGIS_I_DIRTY) == 0) {
            (void)aegis_i_add(&cache->dirty_count, 1, memory_order_relaxed);
            counted = true;
        }
        after = ((seen & ~AEGIS_I_EXCLUSIVE) | set) + (downgrade ? 1 : 0);
        /* Release pairs with the acquires of those who enter: they see the page. */
    } while (!aegis_i_cas_weak(aegis_i_frame_word(frame), &seen, after, memory_order_release,
                               memory_order_relaxed));
    /* A failed sync has made the page dirty meanwhile (aegis_i_frame_redirty). */
    if (counted && (seen & AEGIS_I_DIRTY) != 0)
        (void)aegis_i_sub(&cache->dirty_count, 1, memory_order_relaxed);
    if ((seen & AEGIS_I_ASLEEP) != 0)
        aegis_i_frame_wake(cache, number);
    if (!downgrade && aegis_i_cache_is_wanted(cache))
        aegis_i_frame_left(cache, number, 1);
}

void aegis_i_frame_redirty(aegis_page_cache_shared *cache, uint32_t number) {
    aegis_i_word64 *word = aegis_i_frame_word(&cache->frames[number]);
    (void)aegis_i_add(&cache->dirty_count, 1, memory_order_relaxed);
    uint64_t seen = aegis_i_load(word, memory_order_relaxed);
    /* Relaxed: no bytes have changed. */
    while (!aegis_i_cas_weak(word, &seen, seen | AEGIS_I_DIRTY | AEGIS_I_CHANGED,
                             memory_order_relaxed, memory_order_relaxed))
        continue;
    if ((seen & AEGIS_I_DIRTY) != 0)
        (void)aegis_i_sub(&cache->dirty_count, 1, memory_order_relaxed);
}

void aegis_i_frame_loaded(aegis_page_cache_shared *cache, uint32_t number, bool exclusive) {
    aegis_i_word64 *word = aegis_i_frame_word(&cache->frames[number]);
    uint64_t seen = aegis_i_load(word, memory_order_relaxed);
    uint64_t after;
    do {
        after = seen & ~AEGIS_I_LOADING;
        if (!exclusive)
            after = (after & ~AEGIS_I_EXCLUSIVE) + 1;
        /* Release pairs with the acquires of those who enter: they see the page. */
    } while (!aegis_i_cas_weak(word, &seen, after, memory_order_release, memory_order_relaxed));
    if ((seen & AEGIS_I_ASLEEP) != 0)
        aegis_i_frame_wake(cache, number);
}

void aegis_i_frame_loaded_unpinned(aegis_page_cache_shared *cache, uint32_t number) {
    aegis_i_frame_loaded(cache, number, false);
    aegis_i_frame_leave(cache, number);
}

bool aegis_i_frame_load_failed(aegis_page_cache_shared *cache, uint32_t number,
                               const aegis_page_error *error) {
    aegis_i_word64 *word = aegis_i_frame_word(&cache->frames[number]);
    /* Relaxed: released by the compare-and-swap below. */
    aegis_i_store(&cache->first_lsns[number],
                  (uint64_t)error->reason << 32 | (uint32_t)error->status, memory_order_relaxed);
    aegis_i_store((aegis_i_word64 *)(void *)&cache->frames[number].lsn, error->allowed,
                  memory_order_relaxed);
    uint64_t seen = aegis_i_load(word, memory_order_relaxed);
    uint64_t after;
    bool kept;
    do {
        kept = (seen & AEGIS_I_READERS) == 0;
        after = seen & ~AEGIS_I_LOADING;
        if (!kept)
            after = (after & ~AEGIS_I_EXCLUSIVE) | AEGIS_I_FAILED;
        /* Release pairs with the acquire of the readers that wait (aegis_i_frame_join). */
    } while (!aegis_i_cas_weak(word, &seen, after, memory_order_release, memory_order_relaxed));
    if ((seen & AEGIS_I_ASLEEP) != 0)
        aegis_i_frame_wake(cache, number);
    return kept;
}

/* If the frame has failed and no reader is left, makes it free. */
static void free_failed(aegis_page_cache_shared *cache, uint32_t number) {
    aegis_i_word64 *word = aegis_i_frame_word(&cache->frames[number]);
    /* Under the lock, so that no other thread with the lock finds the frame exclusive while it
     * still has the number of a page that is not there. */
    if (!aegis_i_cache_lock(cache))
        return;
    uint64_t seen = aegis_i_load(word, memory_order_relaxed);
    /* Readers that are turned away come and go; each looks here when it leaves, and one of them is
     * the last. Acquire pairs with the releases of the readers that have left. */
    while ((seen & AEGIS_I_FAILED) != 0 && (seen & AEGIS_I_READERS) == 0)
        if (aegis_i_cas_weak(word, &seen, (seen & ~AEGIS_I_FAILED) | AEGIS_I_EXCLUSIVE,
                             memory_order_acquire, memory_order_relaxed)) {
            aegis_i_cache_free_frame(cache, number);
            break;
        }
    aegis_i_cache_unlock(cache);
}

void aegis_i_frame_left(aegis_page_cache_shared *cache, uint32_t number, uint64_t before) {
    bool last = (before & AEGIS_I_READERS) == 1;
    if ((before & AEGIS_I_ASLEEP) != 0 && (last || (before & AEGIS_I_UPGRADING) != 0))
        aegis_i_frame_wake(cache, number);
    if (!last)
        return;
    if ((before & AEGIS_I_FAILED) != 0)
        free_failed(cache, number);
    if (!aegis_i_cache_is_wanted(cache) || !aegis_i_cache_lock(cache))
        return;
    aegis_i_cache_tell(cache);
    /* Without the handle the reclaimer is gone, while buffers may still be released. */
    bool budget_waits = cache->budget_waits && !cache->ending;
    if (budget_waits) {
        cache->telling_count++;
        cache->budget_waits = false;
        (void)aegis_i_sub(&cache->wanted_count, 1, memory_order_relaxed);
    }
    aegis_i_cache_unlock(cache);
    if (!budget_waits)
        return;
    cache->tell_budget(cache);
    if (aegis_i_cache_lock(cache)) {
        cache->telling_count--;
        aegis_i_cache_tell(cache);
        aegis_i_cache_unlock(cache);
    }
}
