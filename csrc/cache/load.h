/* SPDX-License-Identifier: Apache-2.0 */
/* Reading pages. Not installed. */
#ifndef AEGIS_MEMORY_I_CACHE_LOAD_H
#define AEGIS_MEMORY_I_CACHE_LOAD_H

#include "state.h"

/* Reads neighbouring pages into frames that are LOADING. On failure `error` says why; the frames
 * are still LOADING. `read_count` is the number of pages that are whole. */
AEGIS_I_HIDDEN aegis_status aegis_i_cache_read(aegis_page_cache_shared *cache,
                                               const aegis_i_page_file *file, uint64_t first_page,
                                               unsigned char *const *pages, uint32_t page_count,
                                               uint32_t *read_count, aegis_page_error *error);
/* Runs the hook of a page that was read. */
AEGIS_I_HIDDEN aegis_status aegis_i_cache_verify(aegis_page_cache_shared *cache,
                                                 const aegis_i_page_file *file, uint64_t page,
                                                 unsigned char *bytes, aegis_page_error *error);
/* How many pages a miss of a scan should read at once, from `page` on; 1: the page alone. It
 * doubles while the scan goes on. The caller has the lock. */
AEGIS_I_HIDDEN uint32_t aegis_i_cache_scan(aegis_page_cache_shared *cache, aegis_i_page_file *file,
                                           uint64_t page);
/* Removes a page that could not be read. */
AEGIS_I_HIDDEN void aegis_i_cache_give_up(aegis_page_cache_shared *cache, uint32_t frame,
                                          const aegis_page_error *error);

#endif
