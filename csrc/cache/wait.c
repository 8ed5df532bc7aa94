/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting for a frame: to enter it, for its page to be read or written, or to be its only reader.
 * latch.h says why no thread sleeps for ever. */
#if !defined(_WIN32) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* condition.h */
#endif

#include "wait.h"
#include "latch.h"

/* Sets flags in a word that is still as the caller saw it, and sleeps. False: the time is up. */
static bool sleep_on(aegis_page_cache_shared *cache, uint32_t number, uint64_t seen, uint64_t flags,
                     uint64_t deadline_ns) {
    aegis_i_latch *latch = aegis_i_latch_of(cache, number);
    if (aegis_i_deadline_has_come(deadline_ns))
        return false;
    /* Relaxed: the flags publish nothing. */
    if (aegis_i_cas(aegis_i_frame_word(&cache->frames[number]), &seen,
                    seen | flags | AEGIS_I_ASLEEP, memory_order_relaxed, memory_order_relaxed)) {
        (void)aegis_i_add(&cache->latch_wait_count, 1, memory_order_relaxed);
        aegis_i_condition_wait(&latch->changed, &latch->mutex, deadline_ns, NULL, NULL);
    }
    return true;
}

#define LOOK_AGAIN UINT32_MAX

/* One look of a thread that waits to enter. AEGIS_I_BLOCKED: it must sleep. LOOK_AGAIN: the word
 * has changed meanwhile. */
static uint32_t look(aegis_page_cache_shared *cache, uint32_t number, uint32_t file, uint64_t page,
                     bool exclusive, uint64_t seen) {
    aegis_page_frame *frame = &cache->frames[number];
    if (!aegis_i_frame_has(frame, file, page) || (seen & AEGIS_I_FAILED) != 0)
        return AEGIS_I_GONE;
    if (!exclusive)
        return (seen & (AEGIS_I_EXCLUSIVE | AEGIS_I_PENDING)) == 0 ? AEGIS_I_GONE : AEGIS_I_BLOCKED;
    if ((seen & (AEGIS_I_READERS | AEGIS_I_EXCLUSIVE)) != 0)
        return AEGIS_I_BLOCKED;
    /* Acquire pairs with the releases of those who left. */
    if (!aegis_i_cas(aegis_i_frame_word(frame), &seen,
                     ((seen & ~AEGIS_I_PENDING) | AEGIS_I_EXCLUSIVE) + AEGIS_I_ONE_PIN,
                     memory_order_acquire, memory_order_relaxed))
        return LOOK_AGAIN;
    return AEGIS_I_ENTERED;
}

uint32_t aegis_i_frame_wait(aegis_page_cache_shared *cache, uint32_t number, uint32_t file,
                            uint64_t page, bool exclusive, uint64_t deadline_ns) {
    aegis_i_latch *latch = aegis_i_latch_of(cache, number);
    if (!aegis_i_mutex_lock(&latch->mutex))
        return AEGIS_I_TIMED_OUT;
    bool pending = false;
    uint32_t result;
    for (;;) {
        uint64_t seen = aegis_i_frame_state(&cache->frames[number]);
        result = look(cache, number, file, page, exclusive, seen);
        if (result == LOOK_AGAIN)
            continue;
        if (result != AEGIS_I_BLOCKED)
            break;
        /* A page that is being read, or a frame that is taken for another page, is not made to
         * wait for a writer. */
        uint64_t flags = exclusive && (seen & AEGIS_I_LOADING) == 0 ? AEGIS_I_PENDING : 0;
        pending |= flags != 0;
        if (!sleep_on(cache, number, seen, flags, deadline_ns)) {
            result = AEGIS_I_TIMED_OUT;
            break;
        }
    }
    /* Those who wait because of this writer look again; another writer sets the flag again. */
    if (pending)
        aegis_i_frame_wake_locked(cache, number, AEGIS_I_PENDING);
    aegis_i_mutex_unlock(&latch->mutex);
    if (result != AEGIS_I_ENTERED || aegis_i_frame_has(&cache->frames[number], file, page))
        return result;
    aegis_i_frame_leave_exclusive(cache, number, false, false);
    return AEGIS_I_GONE;
}

uint32_t aegis_i_frame_join(aegis_page_cache_shared *cache, uint32_t number, uint64_t deadline_ns,
                            aegis_page_error *error) {
    aegis_page_frame *frame = &cache->frames[number];
    aegis_i_latch *latch = aegis_i_latch_of(cache, number);
    /* With 0 it does not wait. Relaxed: it is only a count. */
    if (deadline_ns != 0)
        (void)aegis_i_add(&cache->join_count, 1, memory_order_relaxed);
    uint64_t seen = aegis_i_frame_state(frame);
    bool timed_out = false;
    if (!aegis_i_mutex_lock(&latch->mutex)) {
        aegis_i_frame_leave(cache, number);
        return AEGIS_I_TIMED_OUT;
    }
    while ((seen = aegis_i_frame_state(frame), (seen & AEGIS_I_LOADING) != 0) && !timed_out)
        timed_out = !sleep_on(cache, number, seen, 0, deadline_ns);
    aegis_i_mutex_unlock(&latch->mutex);
    /* If the thread that has read the page keeps it to write, this one begins anew. */
    if ((seen & (AEGIS_I_LOADING | AEGIS_I_FAILED | AEGIS_I_EXCLUSIVE)) == 0)
        return AEGIS_I_ENTERED;
    if ((seen & AEGIS_I_FAILED) != 0) {
        /* Relaxed: the acquire of the word pairs with the release in aegis_i_frame_load_failed. */
        uint64_t why = aegis_i_load(&cache->first_lsns[number], memory_order_relaxed);
        (void)aegis_i_page_fail(error, (aegis_status)(uint32_t)why, (uint32_t)(why >> 32),
                                aegis_i_frame_file(frame), aegis_i_frame_page(frame));
        error->asked = error->page;
        error->allowed = aegis_i_load((aegis_i_word64 *)(void *)&frame->lsn, memory_order_relaxed);
    }
    aegis_i_frame_leave(cache, number);
    return (seen & AEGIS_I_LOADING) == 0 ? AEGIS_I_GONE : AEGIS_I_TIMED_OUT;
}

uint32_t aegis_i_frame_upgrade(aegis_page_cache_shared *cache, uint32_t number,
                               uint64_t deadline_ns) {
    aegis_i_latch *latch = aegis_i_latch_of(cache, number);
    const uint64_t flags = AEGIS_I_UPGRADING | AEGIS_I_PENDING;
    if (!aegis_i_mutex_lock(&latch->mutex))
        return AEGIS_I_TIMED_OUT;
    uint32_t result = AEGIS_I_BLOCKED;
    bool waits = false;
    while (result == AEGIS_I_BLOCKED) {
        uint64_t seen = aegis_i_frame_state(&cache->frames[number]);
        if (!waits && (seen & AEGIS_I_UPGRADING) != 0)
            result = AEGIS_I_REFUSED;
        else if (aegis_i_frame_become_writer(cache, number, 0))
            result = AEGIS_I_ENTERED;
        else if (!sleep_on(cache, number, seen, flags, deadline_ns))
            result = AEGIS_I_TIMED_OUT;
        else
            waits = true;
    }
    if (waits)
        aegis_i_frame_wake_locked(cache, number, flags);
    aegis_i_mutex_unlock(&latch->mutex);
    return result;
}

uint32_t aegis_i_frame_wait_written(aegis_page_cache_shared *cache, uint32_t number, uint32_t file,
                                    uint64_t page, uint64_t deadline_ns) {
    aegis_i_latch *latch = aegis_i_latch_of(cache, number);
    if (!aegis_i_mutex_lock(&latch->mutex))
        return AEGIS_I_TIMED_OUT;
    uint32_t result = AEGIS_I_BLOCKED;
    while (result == AEGIS_I_BLOCKED) {
        uint64_t seen = aegis_i_frame_state(&cache->frames[number]);
        if ((seen & AEGIS_I_WRITING) == 0 || !aegis_i_frame_has(&cache->frames[number], file, page))
            result = AEGIS_I_ENTERED;
        else if (!sleep_on(cache, number, seen, 0, deadline_ns))
            result = AEGIS_I_TIMED_OUT;
    }
    aegis_i_mutex_unlock(&latch->mutex);
    return result;
}
