/* SPDX-License-Identifier: Apache-2.0 */
/* How a cache becomes larger and smaller. Not installed. */
#ifndef AEGIS_MEMORY_I_CACHE_RESIZE_H
#define AEGIS_MEMORY_I_CACHE_RESIZE_H

#include "state.h"

/* Adds slabs until the cache has so many frames. `urgent`: others are asked to give memory back for
 * it, and a refusal is counted. The caller has claimed `resizing`, or is alone. */
AEGIS_I_HIDDEN aegis_status aegis_i_cache_grow_to(aegis_page_cache_shared *cache,
                                                  uint32_t frame_count, bool urgent,
                                                  aegis_page_error *error);
/* Whether a miss is to try to get a slab first. The caller has the lock. */
AEGIS_I_HIDDEN bool aegis_i_cache_is_to_regrow(aegis_page_cache_shared *cache);
/* Adds one slab if the cache has fewer frames than it wants and the budget has room. */
AEGIS_I_HIDDEN void aegis_i_cache_regrow(aegis_page_cache_shared *cache);
/* Makes the cache a reclaimer of its budget, if the options say so. */
AEGIS_I_HIDDEN aegis_status aegis_i_cache_enlist(aegis_page_cache_shared *cache,
                                                 const aegis_page_cache_options *options,
                                                 aegis_page_error *error);

#endif
