/* SPDX-License-Identifier: Apache-2.0 */
/* The lock of a page cache, its table of files, and the end of its memory. */
#if !defined(_WIN32) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* condition.h */
#endif

#include "shared.h"
#include "../source.h"

bool aegis_i_cache_lock(aegis_page_cache_shared *cache) {
    return !aegis_i_cache_is_forked(cache) && aegis_i_mutex_lock(&cache->mutex);
}

bool aegis_i_cache_wait(aegis_page_cache_shared *cache, uint64_t deadline_ns) {
    if (aegis_i_deadline_has_come(deadline_ns))
        return false;
    aegis_i_condition_wait(&cache->changed, &cache->mutex, deadline_ns, NULL, NULL);
    return true;
}

aegis_i_page_file *aegis_i_cache_file(aegis_page_cache_shared *cache, uint32_t file) {
    size_t slot = file & 0xffff;
    aegis_i_page_file *found = slot < cache->files_size ? cache->files[slot] : NULL;
    return found != NULL && found->number == file ? found : NULL;
}

aegis_i_page_file *aegis_i_cache_lock_file(aegis_page_cache_shared *cache, uint32_t file,
                                           aegis_status *status, aegis_page_error *error) {
    if (!aegis_i_cache_lock(cache)) {
        *status = aegis_i_page_fail(error, AEGIS_E_FORKED, AEGIS_PAGE_NONE, file, 0);
        return NULL;
    }
    aegis_i_page_file *found = aegis_i_cache_file(cache, file);
    *status = AEGIS_OK;
    if (found != NULL && !found->closing)
        return found;
    aegis_i_cache_unlock(cache);
    *status = aegis_i_page_fail(error, found == NULL ? AEGIS_E_INVALID : AEGIS_E_CLOSED,
                                AEGIS_PAGE_FILE, file, 0);
    return NULL;
}

void aegis_i_cache_leave_file(aegis_page_cache_shared *cache, aegis_i_page_file *file) {
    if (!aegis_i_cache_lock(cache))
        return;
    if (--file->users == 0)
        aegis_i_cache_tell(cache);
    aegis_i_cache_unlock(cache);
}

/* -- the end -- */

/* Frees the memory of a cache that nobody uses any more. */
static void finish(aegis_page_cache_shared *cache) {
    for (uint32_t i = 0; i < AEGIS_I_LATCHES; i++) {
        aegis_i_mutex_fini(&cache->latches[i].mutex);
        aegis_i_condition_fini(&cache->latches[i].changed);
    }
    aegis_i_mutex_fini(&cache->mutex);
    aegis_i_condition_fini(&cache->changed);
    aegis_i_record_free(cache->files);
    aegis_i_record_free(cache->generations);
    if (cache->writers[0].bytes != NULL)
        aegis_i_slabs_release_beside(&cache->slabs, cache->writers[0].bytes, cache->writers_bytes,
                                     AEGIS_I_FRAME_ALIGN);
    aegis_i_slabs_fini(&cache->slabs);
}

void aegis_i_cache_drop(aegis_page_cache_shared *cache) {
    /* Release pairs with the acquire load of the last one: what each did comes before the end. */
    if (aegis_i_sub(&cache->references, 1, memory_order_release) != 1)
        return;
    (void)aegis_i_load(&cache->references, memory_order_acquire);
    finish(cache);
}
