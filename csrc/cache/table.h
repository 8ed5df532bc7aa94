/* SPDX-License-Identifier: Apache-2.0 */
/* The page table: which frame has a page. Chains of frames by hash, linked through their headers.
 * Not installed.
 *
 * A search takes no lock. Chains change under the cache's lock. A frame that leaves a chain keeps
 * its link, so a search that stands on it goes on; if the frame then enters another chain, the
 * search goes on there, and may miss what it looks for. So a search that finds nothing proves
 * nothing: the caller searches again under the lock. A search that finds a frame proves nothing
 * either before the frame was pinned (word.h). It ends, because it takes a bounded number of
 * steps. */
#ifndef AEGIS_MEMORY_I_CACHE_TABLE_H
#define AEGIS_MEMORY_I_CACHE_TABLE_H

#include "word.h"

/* The chain of a hash. */
static inline aegis_i_word32 *aegis_i_table_chain(aegis_page_cache_shared *cache, uint64_t hash) {
    uint32_t chain = (uint32_t)(((hash >> 32) * cache->chain_count) >> 32);
    return (aegis_i_word32 *)(void *)&cache->chains[chain];
}

/* Searches for a page. Without the lock the result is a guess. */
static inline uint32_t aegis_i_table_find(aegis_page_cache_shared *cache, uint64_t hash,
                                          uint32_t file, uint64_t page, uint32_t max_steps) {
    /* Acquire pairs with the releases in aegis_i_table_add: the header of a frame is seen as it was
     * when the frame was linked, or later. */
    uint32_t link = aegis_i_load(aegis_i_table_chain(cache, hash), memory_order_acquire);
    for (uint32_t i = 0; link != 0 && i < max_steps; i++) {
        aegis_page_frame *frame = &cache->frames[link - 1];
        if (aegis_i_frame_has(frame, file, page))
            return link - 1;
        link = aegis_i_load((aegis_i_word32 *)(void *)&frame->next, memory_order_acquire);
    }
    return AEGIS_I_NO_FRAME;
}

/* Links a frame, whose identity is set. The caller has the lock. */
static inline void aegis_i_table_add(aegis_page_cache_shared *cache, uint64_t hash,
                                     uint32_t frame) {
    aegis_i_word32 *chain = aegis_i_table_chain(cache, hash);
    aegis_i_word32 *next = (aegis_i_word32 *)(void *)&cache->frames[frame].next;
    /* Release pairs with the acquires in aegis_i_table_find, also of a search that comes here from
     * another chain. */
    aegis_i_store(next, aegis_i_load(chain, memory_order_relaxed), memory_order_release);
    aegis_i_store(chain, frame + 1, memory_order_release);
}

/* Unlinks a frame, which is linked. The caller has the lock. */
static inline void aegis_i_table_remove(aegis_page_cache_shared *cache, uint64_t hash,
                                        uint32_t frame) {
    aegis_i_word32 *link = aegis_i_table_chain(cache, hash);
    uint32_t at;
    /* Relaxed: links change only under the lock. */
    while ((at = aegis_i_load(link, memory_order_relaxed)) != frame + 1) {
        assert(at != 0 && "the frame is in its chain");
        link = (aegis_i_word32 *)(void *)&cache->frames[at - 1].next;
    }
    aegis_i_word32 *next = (aegis_i_word32 *)(void *)&cache->frames[frame].next;
    /* Release: what comes behind is seen whole, as in aegis_i_table_add. */
    aegis_i_store(link, aegis_i_load(next, memory_order_relaxed), memory_order_release);
}

#endif
