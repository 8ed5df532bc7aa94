/* SPDX-License-Identifier: Apache-2.0 */
/* How a cache becomes larger and smaller, by whole slabs, and how it gives frames to its budget.
 *
 * One thread at a time changes the number of frames (`resizing`). To give a slab up, it marks the
 * slab as leaving. From then on a frame of that slab that has no page is counted as having left,
 * and never gets a page again. The thread takes the free frames of the slab out of the list, and
 * removes the pages of the others, dirty ones after they were written. When all frames have left,
 * no pin is in the slab, and it goes back to its source. If a page is pinned, the slab stays, and
 * its frames are free again. */
#if !defined(_WIN32) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* condition.h */
#endif

#include "resize.h"
#include "../base/harden.h"
#include "../budget/state.h"
#include "frame.h"
#include "lists.h"
#include "shared.h"
#include "write.h"

/* Misses after a refusal of the budget until the next attempt to get larger. */
#define REGROW_AFTER 256

/* The first frame of a slab, and how many it has; the last slab may have fewer than the others. */
static uint32_t first_of(const aegis_page_cache_shared *cache, uint32_t slab) {
    return slab << cache->slab_shift;
}

static uint32_t frames_of(const aegis_page_cache_shared *cache, uint32_t slab) {
    return aegis_i_slab_blocks(&cache->slabs, slab);
}

/* Claims the right to change the number of frames. */
static aegis_status claim_size(aegis_page_cache_shared *cache, aegis_page_error *error) {
    if (!aegis_i_cache_lock(cache))
        return aegis_i_page_fail(error, AEGIS_E_FORKED, AEGIS_PAGE_NONE, AEGIS_PAGE_NO_FILE, 0);
    bool busy = cache->resizing || cache->ending;
    cache->resizing |= !busy;
    aegis_i_cache_unlock(cache);
    return busy ? aegis_i_page_fail(error, AEGIS_E_BUSY, AEGIS_PAGE_RESIZING, AEGIS_PAGE_NO_FILE, 0)
                : AEGIS_OK;
}

static void yield_size(aegis_page_cache_shared *cache) {
    if (!aegis_i_cache_lock(cache))
        return;
    cache->resizing = false;
    aegis_i_cache_tell(cache);
    aegis_i_cache_unlock(cache);
}

/* -- larger -- */

/* Puts the frames of a slab that was acquired into the list. The caller has the lock, or is alone.
 */
static void add_frames(aegis_page_cache_shared *cache, uint32_t slab) {
    uint32_t first = first_of(cache, slab);
    for (uint32_t i = frames_of(cache, slab); i-- > 0;) {
        uint64_t seen = aegis_i_frame_state(&cache->frames[first + i]);
        /* A frame of a slab that was here before is exclusive already. */
        if ((seen & AEGIS_I_EXCLUSIVE) == 0)
            (void)aegis_i_add(aegis_i_frame_word(&cache->frames[first + i]), AEGIS_I_EXCLUSIVE,
                              memory_order_relaxed);
        aegis_i_cache_free_frame(cache, first + i);
    }
    cache->frame_count += frames_of(cache, slab);
    aegis_i_policy_resize(&cache->policy, cache->frame_count);
}

/* Zeroes a slab whose source does not: a store that is written in Rust reads into bytes that have a
 * value. */
static void clear_slab(const aegis_page_cache_shared *cache, uint32_t slab, uintptr_t entry) {
    size_t size_bytes = aegis_i_slab_bytes(&cache->slabs, slab);
    if (aegis_i_slab_is_zeroed(entry))
        return;
    AEGIS_I_SHOW(aegis_i_slab_base(entry), size_bytes);
    memset(aegis_i_slab_base(entry), 0, size_bytes);
    AEGIS_I_HIDE(aegis_i_slab_base(entry), size_bytes);
}

static aegis_status add_slab(aegis_page_cache_shared *cache, bool urgent, aegis_page_error *error) {
    uint32_t slab = 0;
    while (slab < cache->slabs.slab_limit && aegis_i_slab_is_held(&cache->slabs, slab))
        slab++;
    aegis_i_patience patience = aegis_i_slabs_patience(&cache->slabs);
    if (!urgent)
        patience.wait_ns = AEGIS_I_OPTIONAL;
    aegis_error why;
    uintptr_t entry = aegis_i_slabs_acquire(&cache->slabs, slab, &patience, &why);
    if (entry == 0) {
        (void)aegis_i_page_fail(error, why.status, AEGIS_PAGE_NONE, AEGIS_PAGE_NO_FILE, 0);
        if (error != NULL)
            error->memory = why;
        return why.status;
    }
    clear_slab(cache, slab, entry);
    bool locked = aegis_i_cache_lock(cache);
    (void)aegis_i_slabs_install(&cache->slabs, slab, entry);
    add_frames(cache, slab);
    if (locked)
        aegis_i_cache_unlock(cache);
    return AEGIS_OK;
}

aegis_status aegis_i_cache_grow_to(aegis_page_cache_shared *cache, uint32_t frame_count,
                                   bool urgent, aegis_page_error *error) {
    aegis_status status = AEGIS_OK;
    /* The first slab came with the cache. */
    if (cache->frame_count == 0) {
        clear_slab(cache, 0, aegis_i_slab_word(&cache->slabs, 0));
        add_frames(cache, 0);
    }
    while (status == AEGIS_OK && cache->frame_count < frame_count)
        status = add_slab(cache, urgent, error);
    return status;
}

bool aegis_i_cache_is_to_regrow(aegis_page_cache_shared *cache) {
    if (cache->free_frames != AEGIS_I_NO_FRAME || cache->frame_count >= cache->target_count ||
        cache->resizing)
        return false;
    if (cache->regrow_in == 0)
        return true;
    cache->regrow_in--;
    return false;
}

void aegis_i_cache_regrow(aegis_page_cache_shared *cache) {
    if (claim_size(cache, NULL) != AEGIS_OK)
        return;
    uint32_t before = cache->frame_count;
    if (before < cache->target_count)
        (void)add_slab(cache, false, NULL);
    if (aegis_i_cache_lock(cache)) {
        cache->regrow_in = cache->frame_count > before ? 0 : REGROW_AFTER;
        cache->regrown_frame_count += cache->frame_count - before;
        aegis_i_cache_unlock(cache);
    }
    yield_size(cache);
}

/* -- smaller -- */

/* Takes the free frames of the leaving slab out of the list. The caller has the lock. */
static void take_free_frames(aegis_page_cache_shared *cache) {
    uint32_t *link = &cache->free_frames;
    while (*link != AEGIS_I_NO_FRAME) {
        uint32_t number = *link;
        if (number >> cache->slab_shift != cache->leaving_slab) {
            link = &cache->links[number].next;
            continue;
        }
        *link = cache->links[number].next;
        cache->free_count--;
        cache->left_count++;
    }
}

/* Removes the pages of the leaving slab that are idle and clean, and notes those that are dirty.
 * Returns whether one is pinned. The caller has the lock. */
static bool empty_frames(aegis_page_cache_shared *cache, aegis_i_page_record *dirty,
                         size_t *dirty_count, size_t max_dirty_count) {
    bool pinned = false;
    uint32_t first = first_of(cache, cache->leaving_slab);
    *dirty_count = 0;
    for (uint32_t i = first; i < first + frames_of(cache, cache->leaving_slab); i++) {
        aegis_page_frame *frame = &cache->frames[i];
        uint64_t seen = aegis_i_frame_state(frame);
        if (aegis_i_frame_file(frame) == AEGIS_PAGE_NO_FILE)
            continue;
        if (aegis_i_frame_take(cache, i, AEGIS_I_DIRTY)) {
            aegis_i_cache_remove(cache, i, true);
            aegis_i_cache_free_frame(cache, i);
        } else if ((seen & (AEGIS_I_READERS | AEGIS_I_EXCLUSIVE | AEGIS_I_PENDING |
                            AEGIS_I_FAILED)) != 0 ||
                   *dirty_count == max_dirty_count) {
            pinned = true;
        } else {
            dirty[(*dirty_count)++] = aegis_i_frame_record(cache, i);
        }
    }
    return pinned;
}

/* Gives the leaving slab up for good, or takes its frames back. The caller has the lock. Returns
 * the entry to release, or 0. */
static uintptr_t settle(aegis_page_cache_shared *cache) {
    uint32_t slab = cache->leaving_slab;
    uint32_t first = first_of(cache, slab);
    uint32_t count = frames_of(cache, slab);
    bool gone = cache->left_count == count;
    cache->leaving_slab = UINT32_MAX;
    cache->left_count = 0;
    if (!gone) {
        /* A frame that has left has no page, is exclusive, and is in no list. A frame that a thread
         * has just claimed for a page looks the same, but is not of this slab. */
        for (uint32_t i = first; i < first + count; i++)
            if (aegis_i_frame_file(&cache->frames[i]) == AEGIS_PAGE_NO_FILE)
                aegis_i_cache_free_frame(cache, i);
        return 0;
    }
    cache->frame_count -= count;
    aegis_i_policy_resize(&cache->policy, cache->frame_count);
    aegis_i_slabs_condemn(&cache->slabs, slab);
    return aegis_i_slabs_take_condemned(&cache->slabs, slab);
}

#define MAX_DIRTY 256

/* Gives a slab back to its source. AEGIS_E_BUSY: a page in it is pinned. `patience` is as for
 * aegis_i_cache_write. The caller has claimed the size. */
static aegis_status remove_slab(aegis_page_cache_shared *cache, uint32_t slab, uint64_t patience,
                                aegis_page_error *error) {
    aegis_i_page_record dirty[MAX_DIRTY];
    aegis_status status = AEGIS_OK;
    if (!aegis_i_cache_lock(cache))
        return AEGIS_E_FORKED;
    cache->leaving_slab = slab;
    take_free_frames(cache);
    /* Each round writes what was dirty in the round before. A page that is made dirty again and
     * again is in use. */
    for (uint32_t round = 0; status == AEGIS_OK && round < 8; round++) {
        size_t dirty_count;
        size_t written_count = 0;
        bool pinned = empty_frames(cache, dirty, &dirty_count, MAX_DIRTY);
        if (cache->left_count == frames_of(cache, slab))
            break;
        if (dirty_count == 0 && pinned)
            break;
        aegis_i_cache_unlock(cache);
        aegis_i_cache_sort(dirty, dirty_count);
        status = aegis_i_cache_write(cache, dirty, dirty_count, patience, &written_count, error);
        if (!aegis_i_cache_lock(cache))
            return AEGIS_E_FORKED;
    }
    uintptr_t entry = settle(cache);
    aegis_i_cache_unlock(cache);
    if (entry != 0) {
        aegis_i_slabs_release(&cache->slabs, slab, entry);
        return AEGIS_OK;
    }
    return status != AEGIS_OK
               ? status
               : aegis_i_page_fail(error, AEGIS_E_BUSY, AEGIS_PAGE_PINNED, AEGIS_PAGE_NO_FILE, 0);
}

/* What it costs to give a slab up: the more, the hotter its pages; UINT64_MAX if one is pinned. The
 * caller has the lock. */
static uint64_t cost_of(aegis_page_cache_shared *cache, uint32_t slab) {
    uint64_t cost = 0;
    uint32_t first = first_of(cache, slab);
    for (uint32_t i = first; i < first + frames_of(cache, slab); i++) {
        uint64_t seen = aegis_i_frame_state(&cache->frames[i]);
        if (aegis_i_frame_file(&cache->frames[i]) == AEGIS_PAGE_NO_FILE)
            continue;
        if ((seen & (AEGIS_I_READERS | AEGIS_I_EXCLUSIVE | AEGIS_I_FAILED)) != 0)
            return UINT64_MAX;
        cost += 1 + 4 * aegis_i_policy_temperature(&cache->policy, i) +
                ((seen & AEGIS_I_DIRTY) != 0 ? 8 : 0);
    }
    return cost;
}

/* The slab that is cheapest to give up, of those that were not tried; UINT32_MAX: none. */
static uint32_t cheapest(aegis_page_cache_shared *cache, uint64_t *tried_cost,
                         uint32_t *tried_slab) {
    uint32_t best = UINT32_MAX;
    uint64_t best_cost = UINT64_MAX;
    if (!aegis_i_cache_lock(cache))
        return UINT32_MAX;
    /* The first slab stays as long as the cache. */
    for (uint32_t slab = 1; slab < cache->slabs.slab_limit; slab++) {
        if (!aegis_i_slab_is_held(&cache->slabs, slab))
            continue;
        uint64_t cost = cost_of(cache, slab);
        bool later = cost > *tried_cost || (cost == *tried_cost && slab > *tried_slab);
        if (later && cost < best_cost) {
            best = slab;
            best_cost = cost;
        }
    }
    aegis_i_cache_unlock(cache);
    *tried_cost = best_cost;
    *tried_slab = best;
    return best;
}

/* Gives slabs up as long as the cache keeps so many frames. */
static aegis_status shrink_to(aegis_page_cache_shared *cache, uint32_t frame_count,
                              uint64_t patience, aegis_page_error *error) {
    aegis_status status = AEGIS_OK;
    uint64_t tried_cost = 0;
    uint32_t tried_slab = 0;
    while (cache->frame_count >> cache->slab_shift > 1 &&
           cache->frame_count - (UINT32_C(1) << cache->slab_shift) >= frame_count) {
        uint32_t slab = cheapest(cache, &tried_cost, &tried_slab);
        if (slab == UINT32_MAX)
            return status != AEGIS_OK ? status
                                      : aegis_i_page_fail(error, AEGIS_E_BUSY, AEGIS_PAGE_PINNED,
                                                          AEGIS_PAGE_NO_FILE, 0);
        aegis_status one = remove_slab(cache, slab, patience, error);
        if (one == AEGIS_OK) {
            /* What was too dear before may be cheaper now. */
            tried_cost = tried_slab = 0;
            status = AEGIS_OK;
        } else {
            status = one;
        }
    }
    return AEGIS_OK;
}

aegis_status aegis_page_cache_resize(const aegis_page_cache *handle, size_t frame_count,
                                     aegis_page_error *error) {
    aegis_page_cache_shared *cache = handle->shared;
    if (frame_count == 0 || frame_count > cache->max_frame_count)
        return aegis_i_page_fail_bound(error, AEGIS_E_INVALID, AEGIS_PAGE_FRAMES, frame_count,
                                       frame_count == 0 ? 1 : cache->max_frame_count);
    aegis_status status = claim_size(cache, error);
    if (status != AEGIS_OK)
        return status;
    uint32_t frames = (uint32_t)frame_count;
    status = frames >= cache->frame_count ? aegis_i_cache_grow_to(cache, frames, true, error)
                                          : shrink_to(cache, frames, AEGIS_I_SKIP_BUSY, error);
    if (aegis_i_cache_lock(cache)) {
        cache->target_count = cache->frame_count;
        cache->regrow_in = 0;
        aegis_i_cache_unlock(cache);
    }
    yield_size(cache);
    return status;
}

aegis_status aegis_page_cache_get_slab(const aegis_page_cache *handle, size_t slab,
                                       aegis_page_slab *info) {
    aegis_pool_slab_info found;
    aegis_status status = aegis_i_slabs_get(&handle->shared->slabs, slab, &found, sizeof found);
    memset(info, 0, sizeof *info);
    if (status != AEGIS_OK)
        return status;
    info->base = (unsigned char *)found.base;
    info->size_bytes = found.size_bytes;
    info->first_frame = found.first_index;
    info->frame_count = found.block_count;
    return AEGIS_OK;
}

/* -- the budget -- */

static void tell_budget(aegis_page_cache_shared *cache) {
    aegis_budget_reclaimer_notify(cache->reclaimer);
}

/* The reclaimer: gives slabs up until so many bytes are uncharged. */
static size_t give_back(void *context, size_t wanted_bytes) {
    aegis_page_cache_shared *cache = (aegis_page_cache_shared *)context;
    aegis_page_error why;
    if (claim_size(cache, &why) != AEGIS_OK)
        return 0;
    size_t frame_bytes = cache->slabs.grid.stride_bytes;
    uint32_t before = cache->frame_count;
    size_t frames = wanted_bytes / frame_bytes + (wanted_bytes % frame_bytes != 0);
    /* Whole slabs, and not below the minimum. */
    uint32_t most = before > cache->min_frame_count ? before - cache->min_frame_count : 0;
    frames = (frames >> cache->slab_shift) + (frames % (1u << cache->slab_shift) != 0);
    uint32_t wanted = (uint32_t)aegis_i_min(frames, most >> cache->slab_shift) << cache->slab_shift;
    if (wanted != 0)
        (void)shrink_to(cache, before - wanted, AEGIS_I_WAIT_FOR_NOTHING, &why);
    uint32_t gone = before - cache->frame_count;
    if (aegis_i_cache_lock(cache)) {
        cache->reclaimed_frame_count += gone;
        cache->regrow_in = REGROW_AFTER;
        /* The next page that is unpinned tells the budget to ask again. */
        if (gone < wanted && !cache->budget_waits &&
            aegis_i_budget_is_waited_for(cache->slabs.budget)) {
            cache->budget_waits = true;
            (void)aegis_i_add(&cache->wanted_count, 1, memory_order_relaxed);
        }
        aegis_i_cache_unlock(cache);
    }
    yield_size(cache);
    return gone * frame_bytes;
}

/* No thread will call the reclaimer any more. */
static void forget_cache(void *context) {
    aegis_i_cache_drop((aegis_page_cache_shared *)context);
}

aegis_status aegis_i_cache_enlist(aegis_page_cache_shared *cache,
                                  const aegis_page_cache_options *options,
                                  aegis_page_error *error) {
    if ((options->flags & AEGIS_PAGE_CACHE_RECLAIMABLE) == 0 || options->budget == NULL ||
        cache->slabs.slab_limit < 2)
        return AEGIS_OK;
    cache->tell_budget = tell_budget;
    (void)aegis_i_add(&cache->references, 1, memory_order_relaxed);
    aegis_status status =
        aegis_budget_on_reclaim(options->budget, options->reclaim_priority, 0, give_back,
                                forget_cache, cache, &cache->reclaimer);
    if (status == AEGIS_OK)
        return AEGIS_OK;
    (void)aegis_i_sub(&cache->references, 1, memory_order_relaxed);
    return aegis_i_page_fail(error, status, AEGIS_PAGE_NONE, AEGIS_PAGE_NO_FILE, 0);
}
