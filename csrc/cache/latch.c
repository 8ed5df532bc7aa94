/* SPDX-License-Identifier: Apache-2.0 */
/* Waking threads that wait for a frame. latch.h has the argument. */
#if !defined(_WIN32) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* condition.h */
#endif

#include "latch.h"

void aegis_i_frame_wake_locked(aegis_page_cache_shared *cache, uint32_t number, uint64_t flags) {
    /* Relaxed: each thread that is woken reads the word again. */
    aegis_i_word64 *word = aegis_i_frame_word(&cache->frames[number]);
    uint64_t seen = aegis_i_load(word, memory_order_relaxed);
    while (!aegis_i_cas_weak(word, &seen, seen & ~(flags | AEGIS_I_ASLEEP), memory_order_relaxed,
                             memory_order_relaxed))
        continue;
    aegis_i_condition_broadcast(&aegis_i_latch_of(cache, number)->changed);
}

void aegis_i_frame_wake(aegis_page_cache_shared *cache, uint32_t number) {
    aegis_i_latch *latch = aegis_i_latch_of(cache, number);
    if (!aegis_i_mutex_lock(&latch->mutex))
        return;
    aegis_i_frame_wake_locked(cache, number, 0);
    aegis_i_mutex_unlock(&latch->mutex);
}
