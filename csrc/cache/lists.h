/* SPDX-License-Identifier: Apache-2.0 */
/* How frames go into the list of free frames, and out of the page table. Not installed. */
#ifndef AEGIS_MEMORY_I_CACHE_LISTS_H
#define AEGIS_MEMORY_I_CACHE_LISTS_H

#include "state.h"

/* Puts a frame that this thread has exclusively into the list of free frames, or counts it as left
 * if its slab is on the way out. */
AEGIS_I_HIDDEN void aegis_i_cache_free_frame(aegis_page_cache_shared *cache, uint32_t frame);
/* Unlinks the page of an exclusive frame, which has no page afterwards. */
AEGIS_I_HIDDEN void aegis_i_cache_remove(aegis_page_cache_shared *cache, uint32_t frame,
                                         bool evicted);
/* Gives the page of a frame that this thread has to write a number that no resident page has. */
AEGIS_I_HIDDEN void aegis_i_cache_move(aegis_page_cache_shared *cache, uint32_t frame,
                                       uint64_t new_page);

/* A page leaves its frame, or its number, without being discarded. What was written of it and is
 * not durable is then out of reach of a sync that fails. */
AEGIS_I_HIDDEN void aegis_i_cache_leave_epoch(aegis_page_cache_shared *cache, uint32_t frame);

#endif
