/* SPDX-License-Identifier: Apache-2.0 */
/* The lock of a page cache, its table of files, and its end. Not installed. */
#ifndef AEGIS_MEMORY_I_CACHE_SHARED_H
#define AEGIS_MEMORY_I_CACHE_SHARED_H

#include "state.h"

/* Whether this is a child of the cache's process. */
static inline bool aegis_i_cache_is_forked(const aegis_page_cache_shared *cache) {
    return cache->process != AEGIS_I_PROCESS();
}
/* Takes the lock of the cache. False: this is a child of the cache's process. */
AEGIS_I_HIDDEN bool aegis_i_cache_lock(aegis_page_cache_shared *cache);
static inline void aegis_i_cache_unlock(aegis_page_cache_shared *cache) {
    aegis_i_mutex_unlock(&cache->mutex);
}
/* Takes the lock and finds an open file, or fills in `error` and returns NULL, without the lock. */
AEGIS_I_HIDDEN aegis_i_page_file *aegis_i_cache_lock_file(aegis_page_cache_shared *cache,
                                                          uint32_t file, aegis_status *status,
                                                          aegis_page_error *error);
/* Gives up one reference to the memory of the cache. */
AEGIS_I_HIDDEN void aegis_i_cache_drop(aegis_page_cache_shared *cache);

/* How many buffers over pages are out. */
static inline size_t aegis_i_cache_buffers(aegis_page_cache_shared *cache) {
    /* One reference is the handle's, and one the reclaimer's. Acquire pairs with the release in
     * aegis_i_cache_drop: the pin of a buffer that is not counted any more is gone. */
    return aegis_i_load(&cache->references, memory_order_acquire) - 1 -
           (cache->reclaimer != NULL ? 1 : 0);
}

/* Takes back what the caller added to `users` of a file. */
AEGIS_I_HIDDEN void aegis_i_cache_leave_file(aegis_page_cache_shared *cache,
                                             aegis_i_page_file *file);

/* -- under the lock -- */

/* The file with this number, closing or not; NULL: there is none. */
AEGIS_I_HIDDEN aegis_i_page_file *aegis_i_cache_file(aegis_page_cache_shared *cache, uint32_t file);
/* Says all threads that wait under the lock that something has changed. */
static inline void aegis_i_cache_tell(aegis_page_cache_shared *cache) {
    aegis_i_condition_broadcast(&cache->changed);
}
/* Waits for that. False: the time is up. */
AEGIS_I_HIDDEN bool aegis_i_cache_wait(aegis_page_cache_shared *cache, uint64_t deadline_ns);

#endif
