/* SPDX-License-Identifier: Apache-2.0 */
/* The list of free frames, and how a page leaves the page table. */
#if !defined(_WIN32) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* condition.h */
#endif

#include "lists.h"
#include "../base/harden.h"
#include "latch.h"
#include "shared.h"
#include "table.h"

void aegis_i_cache_free_frame(aegis_page_cache_shared *cache, uint32_t number) {
    aegis_page_frame *frame = &cache->frames[number];
    /* Relaxed: the frame is exclusive, and the thread that takes it from the list has the lock. */
    aegis_i_store((aegis_i_word32 *)(void *)&frame->file, AEGIS_PAGE_NO_FILE, memory_order_relaxed);
    /* A frame that has left and comes back is vacant already. */
    uint64_t seen = aegis_i_frame_state(frame);
    if ((seen & AEGIS_I_VACANT) == 0)
        /* Release pairs with the acquire of a thread that looks again before it sleeps: it sees
         * that the page has gone. */
        seen = aegis_i_add(aegis_i_frame_word(frame), AEGIS_I_VACANT, memory_order_release);
    if ((seen & AEGIS_I_ASLEEP) != 0)
        aegis_i_frame_wake(cache, number);
    AEGIS_I_HIDE(aegis_i_cache_bytes(cache, number), cache->page_bytes);
    if (number >> cache->slab_shift == cache->leaving_slab) {
        cache->left_count++;
    } else {
        cache->links[number].next = cache->free_frames;
        cache->free_frames = number;
        cache->free_count++;
    }
    if (aegis_i_cache_is_wanted(cache))
        aegis_i_cache_tell(cache);
}

void aegis_i_cache_leave_epoch(aegis_page_cache_shared *cache, uint32_t number) {
    aegis_i_page_file *file = aegis_i_cache_file(cache, aegis_i_frame_file(&cache->frames[number]));
    /* Relaxed: the acquire by which the frame was taken pairs with the release of the thread that
     * wrote the page. */
    uint32_t epoch = aegis_i_load(&cache->epochs[number], memory_order_relaxed);
    uint64_t lsn = aegis_i_load(&cache->first_lsns[number], memory_order_relaxed);
    if (epoch <= file->synced)
        return;
    if (epoch > file->evicted_epoch)
        file->evicted_epoch = epoch;
    file->evicted_lsn = aegis_i_lower_lsn(file->evicted_lsn, lsn);
}

void aegis_i_cache_remove(aegis_page_cache_shared *cache, uint32_t number, bool evicted) {
    aegis_page_frame *frame = &cache->frames[number];
    aegis_i_page_file *file = aegis_i_cache_file(cache, aegis_i_frame_file(frame));
    uint64_t hash = aegis_i_page_hash(cache, aegis_i_frame_file(frame), aegis_i_frame_page(frame));
    aegis_i_table_remove(cache, hash, number);
    aegis_i_policy_remove(&cache->policy, number, aegis_i_page_key(hash), evicted);
    file->resident_count--;
    if (evicted)
        aegis_i_cache_leave_epoch(cache, number);
}

void aegis_i_cache_move(aegis_page_cache_shared *cache, uint32_t number, uint64_t new_page) {
    aegis_page_frame *frame = &cache->frames[number];
    uint32_t file = aegis_i_frame_file(frame);
    aegis_i_table_remove(cache, aegis_i_page_hash(cache, file, aegis_i_frame_page(frame)), number);
    aegis_i_cache_leave_epoch(cache, number);
    /* Relaxed: the frame is exclusive. The release by which the writer leaves publishes both to
     * those who enter, and the links that are set below publish the number to those who search. */
    aegis_i_store(&cache->epochs[number], 0, memory_order_relaxed);
    aegis_i_store((aegis_i_word64 *)(void *)&frame->page, new_page, memory_order_relaxed);
    aegis_i_table_add(cache, aegis_i_page_hash(cache, file, new_page), number);
}
