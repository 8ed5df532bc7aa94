/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting for a frame. Not installed. */
#ifndef AEGIS_MEMORY_I_CACHE_WAIT_H
#define AEGIS_MEMORY_I_CACHE_WAIT_H

#include "frame.h"

/* Waits until the frame may be entered, or has another page. After AEGIS_I_GONE the caller looks
 * the page up again. An exclusive wait may end with AEGIS_I_ENTERED. */
AEGIS_I_HIDDEN uint32_t aegis_i_frame_wait(aegis_page_cache_shared *cache, uint32_t frame,
                                           uint32_t file, uint64_t page, bool exclusive,
                                           uint64_t deadline_ns);
/* Waits, as one of the readers, until the page was read. If that has failed, `error` says why, and
 * the thread is no longer counted. AEGIS_I_ENTERED: it has a pin to read. */
AEGIS_I_HIDDEN uint32_t aegis_i_frame_join(aegis_page_cache_shared *cache, uint32_t frame,
                                           uint64_t deadline_ns, aegis_page_error *error);
/* Makes a pin to read an exclusive one. With `deadline_ns` 0 it does not wait. */
AEGIS_I_HIDDEN uint32_t aegis_i_frame_upgrade(aegis_page_cache_shared *cache, uint32_t frame,
                                              uint64_t deadline_ns);
/* Waits until no thread writes the page of the frame to the store, or it has another page. */
AEGIS_I_HIDDEN uint32_t aegis_i_frame_wait_written(aegis_page_cache_shared *cache, uint32_t frame,
                                                   uint32_t file, uint64_t page,
                                                   uint64_t deadline_ns);

#endif
