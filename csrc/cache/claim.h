/* SPDX-License-Identifier: Apache-2.0 */
/* How a page that is not resident gets a frame. Not installed. */
#ifndef AEGIS_MEMORY_I_CACHE_CLAIM_H
#define AEGIS_MEMORY_I_CACHE_CLAIM_H

#include "state.h"

/* Takes a frame for a page: from the list of free frames, or by evicting a page that is clean. The
 * caller has the lock, and the frame is exclusive and has no page. AEGIS_I_NO_FRAME: there is none
 * at hand, and `dirty` has up to AEGIS_I_MAX_DIRTY_LOOKS pages that must be written first. */
typedef struct aegis_i_dirty_pages {
    aegis_i_page_record records[AEGIS_I_MAX_DIRTY_LOOKS];
    uint32_t count;
} aegis_i_dirty_pages;
AEGIS_I_HIDDEN uint32_t aegis_i_cache_claim(aegis_page_cache_shared *cache,
                                            aegis_i_dirty_pages *dirty);
/* Makes room for a page, without the lock: writes the dirty pages, or waits until another thread
 * has written one, or until a page is no longer pinned. The caller then claims again. `attempt`
 * counts the calls of one request, and `deadline_ns` is AEGIS_I_OPTIONAL at the first. */
AEGIS_I_HIDDEN aegis_status aegis_i_cache_make_room(aegis_page_cache_shared *cache,
                                                    aegis_i_dirty_pages *dirty, bool may_wait,
                                                    uint32_t *attempt, uint64_t *deadline_ns,
                                                    aegis_page_error *error);
/* Fills in the error for a cache all of whose frames are pinned, and returns the status. The caller
 * has the lock. */
AEGIS_I_HIDDEN aegis_status aegis_i_cache_fail_pinned(aegis_page_cache_shared *cache,
                                                      aegis_status status, aegis_page_error *error);
/* Gives a claimed frame its page, which is LOADING, and enters it. The caller has the lock. */
AEGIS_I_HIDDEN void aegis_i_cache_enter(aegis_page_cache_shared *cache, aegis_i_page_file *file,
                                        uint32_t frame, uint64_t page, uint32_t hint);

#endif
