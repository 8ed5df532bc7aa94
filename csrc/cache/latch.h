/* SPDX-License-Identifier: Apache-2.0 */
/* The latches: where threads sleep that wait for a frame. There are a few of them, which frames
 * share by their number.
 *
 * A thread that is to sleep locks the latch, finds in the frame's word that it must wait, and sets
 * ASLEEP in that same word by compare-and-swap. A thread that changes the word so that others may
 * go on finds ASLEEP in what the word was before its change; then it locks the latch, clears the
 * flag and wakes all. So either the compare-and-swap of the first fails because of the change, or
 * the second sees the flag; and it cannot wake between the flag and the sleep, because of the lock.
 * Each thread that is woken looks again, and sets the flag again if it must go on waiting.
 *
 * A writer that waits sets PENDING too. It clears that when it enters or gives up, and wakes the
 * others, which may have waited because of it. Not installed. */
#ifndef AEGIS_MEMORY_I_CACHE_LATCH_H
#define AEGIS_MEMORY_I_CACHE_LATCH_H

#include "word.h"

static inline aegis_i_latch *aegis_i_latch_of(aegis_page_cache_shared *cache, uint32_t number) {
    return &cache->latches[number % AEGIS_I_LATCHES];
}

/* Wakes the threads that sleep on a frame. */
AEGIS_I_HIDDEN void aegis_i_frame_wake(aegis_page_cache_shared *cache, uint32_t number);
/* Wakes all who sleep at a latch that the caller has locked, and clears flags that they waited for.
 */
AEGIS_I_HIDDEN void aegis_i_frame_wake_locked(aegis_page_cache_shared *cache, uint32_t number,
                                              uint64_t flags);

#endif
