/* SPDX-License-Identifier: Apache-2.0 */
/* Making and freeing a page cache.
 *
 * The memory of a cache is that of a pool of blocks (pool/slab.h): the state of the cache and what
 * is kept beside the frames are the side memory of the pool, and a frame is a block. */
#if !defined(_WIN32) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* condition.h */
#endif

#include "../base/sized.h"
#include "files.h"
#include "flush.h"
#include "resize.h"
#include "shared.h"
#include "word.h"

#define DEFAULT_PAGE_BYTES ((size_t)4096)
#define DEFAULT_LATCH_WAIT_NS (UINT64_C(30) * 1000000000)
#define MAX_SLAB_BYTES ((size_t)2 << 20)
#define MAX_BATCH_BYTES ((size_t)1 << 20)
#define MIN_BATCH_PAGES 8
#define MAX_BATCH_PAGES 1024
#define FRAMES_OF_A_BATCH_PAGE 256

/* What the side memory of the pool has for each frame: its header, its first LSN, its links, its
 * epoch, a chain of the page table, and a ghost of the policy. */
#define SIDE_BYTES                                                                                 \
    (sizeof(aegis_page_frame) + sizeof(uint64_t) + sizeof(aegis_i_frame_links) +                   \
     3 * sizeof(uint32_t))
_Static_assert(sizeof(aegis_page_frame) == 32 && SIDE_BYTES == 64, "64 bytes beside each frame");

/* -- making -- */

/* Checks the options that the pool below does not check. */
static aegis_status check_options(const aegis_page_cache_options *options,
                                  aegis_page_error *error) {
    if (options == NULL)
        return aegis_i_page_fail_bound(error, AEGIS_E_INVALID, AEGIS_PAGE_OPTION, 0, 1);
    size_t page_bytes = options->page_bytes != 0 ? options->page_bytes : DEFAULT_PAGE_BYTES;
    if (!aegis_i_is_power_of_two(page_bytes) || page_bytes < AEGIS_PAGE_MIN_BYTES ||
        page_bytes > AEGIS_PAGE_MAX_BYTES)
        return aegis_i_page_fail_bound(error, AEGIS_E_INVALID_LAYOUT, AEGIS_PAGE_SIZE, page_bytes,
                                       page_bytes < AEGIS_PAGE_MIN_BYTES ? AEGIS_PAGE_MIN_BYTES
                                                                         : AEGIS_PAGE_MAX_BYTES);
    size_t most = aegis_i_max(options->frame_count, options->max_frame_count);
    if (options->frame_count == 0 || most > AEGIS_PAGE_MAX_FRAMES)
        return aegis_i_page_fail_bound(error, AEGIS_E_INVALID, AEGIS_PAGE_FRAMES, most,
                                       most == 0 ? 1 : AEGIS_PAGE_MAX_FRAMES);
    if (options->max_frame_count != 0 && options->max_frame_count < options->frame_count)
        return aegis_i_page_fail_bound(error, AEGIS_E_INVALID, AEGIS_PAGE_FRAMES,
                                       options->frame_count, options->max_frame_count);
    if ((options->flags & ~AEGIS_PAGE_CACHE_RECLAIMABLE) != 0)
        return aegis_i_page_fail_bound(error, AEGIS_E_INVALID, AEGIS_PAGE_FLAGS, options->flags,
                                       AEGIS_PAGE_CACHE_RECLAIMABLE);
    return AEGIS_OK;
}

/* Frames of a slab, as a power of two: an eighth of the cache, so that it can become smaller in
 * steps; at least a page of memory, and at most a huge page. */
static uint32_t slab_shift_of(size_t frame_count, size_t page_bytes) {
    uint32_t shift = 0;
    while (page_bytes << shift < AEGIS_I_FRAME_ALIGN)
        shift++;
    while (page_bytes << (shift + 1) <= MAX_SLAB_BYTES &&
           (size_t)1 << (shift + 1) <= frame_count / 8)
        shift++;
    return shift;
}

/* Acquires the write buffers. */
static bool make_writers(aegis_page_cache_shared *cache, aegis_error *error) {
    size_t pages = cache->frame_count / FRAMES_OF_A_BATCH_PAGE;
    pages = aegis_i_max(pages, aegis_i_min(MIN_BATCH_PAGES, cache->frame_count / 4));
    pages = aegis_i_min(pages, aegis_i_min(MAX_BATCH_BYTES / cache->page_bytes, MAX_BATCH_PAGES));
    pages = aegis_i_max(pages, 1);
    size_t one_bytes = pages * (cache->page_bytes + sizeof(aegis_page_write) + sizeof(uint32_t));
    one_bytes = (one_bytes + AEGIS_I_FRAME_ALIGN - 1) / AEGIS_I_FRAME_ALIGN * AEGIS_I_FRAME_ALIGN;
    unsigned char *memory = (unsigned char *)aegis_i_slabs_acquire_beside(
        &cache->slabs, one_bytes * AEGIS_I_WRITE_BUFFERS, AEGIS_I_FRAME_ALIGN, error);
    if (memory == NULL)
        return false;
    cache->batch_pages = (uint32_t)pages;
    cache->writers_bytes = one_bytes * AEGIS_I_WRITE_BUFFERS;
    for (uint32_t i = 0; i < AEGIS_I_WRITE_BUFFERS; i++, memory += one_bytes) {
        aegis_i_write_buffer *writer = &cache->writers[i];
        writer->bytes = memory;
        writer->pages = (aegis_page_write *)(void *)(memory + pages * cache->page_bytes);
        writer->frames = (uint32_t *)(void *)(writer->pages + pages);
    }
    cache->writers_free = (1u << AEGIS_I_WRITE_BUFFERS) - 1;
    return true;
}

/* Makes the mutexes and the condition variables. */
static bool make_locks(aegis_page_cache_shared *cache) {
    uint32_t made = 0;
    if (!aegis_i_condition_init(&cache->changed))
        return false;
    while (made < AEGIS_I_LATCHES && aegis_i_condition_init(&cache->latches[made].changed))
        aegis_i_mutex_init_staying(&cache->latches[made++].mutex);
    aegis_i_mutex_init_staying(&cache->mutex);
    if (made == AEGIS_I_LATCHES)
        return true;
    while (made-- > 0)
        aegis_i_condition_fini(&cache->latches[made].changed);
    aegis_i_condition_fini(&cache->changed);
    return false;
}

/* The largest prime number up to this one; 1 for 1. */
static uint32_t prime_up_to(uint32_t number) {
    for (;; number--) {
        uint32_t divisor = 2;
        while ((uint64_t)divisor * divisor <= number && number % divisor != 0)
            divisor++;
        if ((uint64_t)divisor * divisor > number)
            return number;
    }
}

/* What the number of a page is multiplied with, so that the upper half of the product says its
 * chain.
 *
 * The factor of Fibonacci hashing is 2^64 divided by the golden ratio (Knuth, The Art of Computer
 * Programming, volume 3, 6.4): neighbours come to lie far apart and in different chains, but one
 * page in eight shares its chain, with one that another thread may use. A search reads the headers
 * of both. So the golden ratio is rounded to a fraction whose denominator is the number of chains.
 * That is prime: as many pages as there are chains have one each, if they are neighbours, or if
 * their distance is any other number that is not a multiple of the prime. */
static uint64_t page_factor(uint32_t chain_count) {
    uint64_t part = (chain_count * UINT64_C(0x9E3779B9) + (UINT64_C(1) << 31)) >> 32;
    uint64_t high = (part << 32) / chain_count;
    uint64_t low = ((part << 32) % chain_count << 32) / chain_count;
    /* Rounded up, and odd, so that no two pages have the same hash. */
    return ((high << 32 | low) + 1) | 1;
}

/* Lays out the side memory, and sets what follows from the options. */
static void set_up(aegis_page_cache_shared *cache, const aegis_page_cache_options *options) {
    size_t count = cache->slabs.index_limit;
    unsigned char *at = cache->slabs.side;
    cache->process = AEGIS_I_PROCESS();
    cache->frames = (aegis_page_frame *)(void *)at;
    at += count * sizeof(aegis_page_frame);
    cache->first_lsns = (aegis_i_word64 *)(void *)at;
    at += count * sizeof(uint64_t);
    cache->links = (aegis_i_frame_links *)(void *)at;
    at += count * sizeof(aegis_i_frame_links);
    cache->epochs = (aegis_i_word32 *)(void *)at;
    at += count * sizeof(uint32_t);
    cache->chains = (uint32_t *)(void *)at;
    at += count * sizeof(uint32_t);
    cache->max_frame_count = (uint32_t)count;
    cache->chain_count = prime_up_to(cache->max_frame_count);
    cache->chain_factor = page_factor(cache->chain_count);
    cache->page_bytes = cache->slabs.block_bytes;
    uint32_t slab_count = cache->slabs.step_count;
    while ((UINT32_C(1) << cache->slab_shift) < slab_count)
        cache->slab_shift++;
    aegis_i_policy_init(&cache->policy, cache->links, (uint32_t *)(void *)at, (uint32_t)count);
    size_t least = options->min_frame_count != 0 ? options->min_frame_count
                                                 : aegis_i_max(options->frame_count / 8, 1);
    cache->min_frame_count = (uint32_t)aegis_i_min(least, count);
    cache->target_count = (uint32_t)options->frame_count;
    cache->frame_wait_ns = options->frame_wait_ns;
    cache->latch_wait_ns =
        options->latch_wait_ns != 0 ? options->latch_wait_ns : DEFAULT_LATCH_WAIT_NS;
    cache->free_frames = AEGIS_I_NO_FRAME;
    cache->leaving_slab = UINT32_MAX;
    aegis_i_atomic_init(&cache->references, 1);
}

/* Makes the cache that the options ask for, which are valid. */
static aegis_page_cache_shared *make(const aegis_page_cache_options *options,
                                     aegis_page_error *error) {
    aegis_pool_options blocks;
    memset(&blocks, 0, sizeof blocks);
    blocks.block_bytes = options->page_bytes != 0 ? options->page_bytes : DEFAULT_PAGE_BYTES;
    blocks.align_bytes = aegis_i_min(blocks.block_bytes, AEGIS_I_FRAME_ALIGN);
    uint32_t shift = slab_shift_of(options->frame_count, blocks.block_bytes);
    blocks.block_count = (size_t)1 << shift;
    blocks.max_block_count = aegis_i_max(options->frame_count, options->max_frame_count);
    /* A small cache has one slab. */
    blocks.block_count = aegis_i_min(blocks.block_count, blocks.max_block_count);
    blocks.source = options->source;
    blocks.budget = options->budget;
    aegis_pool_slabs slabs;
    error->status = aegis_i_slabs_init(&slabs, &blocks, 0, sizeof(aegis_page_cache_shared),
                                       SIDE_BYTES, false, &error->memory);
    if (error->status != AEGIS_OK)
        return NULL;
    aegis_page_cache_shared *cache = (aegis_page_cache_shared *)slabs.meta;
    cache->slabs = slabs;
    set_up(cache, options);
    if (!make_locks(cache)) {
        aegis_i_slabs_fini(&cache->slabs);
        error->status = AEGIS_E_OUT_OF_MEMORY;
        return NULL;
    }
    error->status = aegis_i_cache_grow_to(cache, cache->target_count, true, error);
    if (error->status == AEGIS_OK && !make_writers(cache, &error->memory))
        error->status = error->memory.status;
    if (error->status == AEGIS_OK)
        error->status = aegis_i_cache_enlist(cache, options, error);
    if (error->status == AEGIS_OK)
        return cache;
    cache->slabs.source.close = NULL;
    aegis_i_cache_drop(cache);
    return NULL;
}

aegis_status aegis_page_cache_init_sized(aegis_page_cache *cache,
                                         const aegis_page_cache_options *given,
                                         size_t given_bytes) {
    aegis_page_cache_options copy;
    const aegis_page_cache_options *options = (const aegis_page_cache_options *)aegis_i_known_part(
        given, given_bytes, &copy, sizeof copy);
    aegis_page_error error;
    aegis_page_cache_shared *shared = NULL;
    memset(cache, 0, sizeof *cache);
    size_t unknown = aegis_i_unknown_option(given, given_bytes, sizeof copy);
    aegis_status status = unknown != 0
                              ? aegis_i_page_fail_bound(&error, AEGIS_E_INVALID, AEGIS_PAGE_OPTION,
                                                        unknown, sizeof copy)
                              : check_options(options, &error);
    if (status == AEGIS_OK) {
        (void)aegis_i_page_fail(&error, AEGIS_OK, AEGIS_PAGE_NONE, AEGIS_PAGE_NO_FILE, 0);
        shared = make(options, &error);
    }
    if (shared == NULL) {
        if (options != NULL && options->error != NULL)
            *options->error = error;
        return error.status;
    }
    cache->shared = shared;
    cache->chains = shared->chains;
    cache->frames = shared->frames;
    cache->slabs = shared->slabs.directory;
    cache->stride_bytes = shared->slabs.grid.stride_bytes;
    cache->page_bytes = shared->page_bytes;
    cache->chain_factor = shared->chain_factor;
    cache->chain_count = shared->chain_count;
    cache->slab_shift = shared->slab_shift;
    return AEGIS_OK;
}

/* -- the end -- */

/* Whether pages are pinned, other than by buffers. */
static bool is_pinned(aegis_page_cache_shared *cache, aegis_page_error *error) {
    size_t pinned = 0;
    for (uint32_t i = 0; i < cache->max_frame_count; i++) {
        uint64_t seen = aegis_i_frame_state(&cache->frames[i]);
        pinned += (size_t)(seen & AEGIS_I_READERS);
        /* A frame without a page is exclusive too. */
        pinned += (seen & AEGIS_I_EXCLUSIVE) != 0 &&
                  aegis_i_frame_file(&cache->frames[i]) != AEGIS_PAGE_NO_FILE;
    }
    size_t buffers = aegis_i_cache_buffers(cache);
    if (pinned <= buffers)
        return false;
    (void)aegis_i_page_fail(error, AEGIS_E_BUSY, AEGIS_PAGE_PINNED, AEGIS_PAGE_NO_FILE, 0);
    if (error != NULL)
        error->pinned_count = pinned - buffers;
    return true;
}

aegis_status aegis_page_cache_destroy(aegis_page_cache *cache, aegis_page_error *error) {
    if (cache == NULL || cache->shared == NULL)
        return AEGIS_OK;
    if (is_pinned(cache->shared, error))
        return AEGIS_E_BUSY;
    aegis_status status = aegis_page_cache_flush_all(cache, error);
    if (status == AEGIS_OK)
        aegis_page_cache_abandon(cache);
    return status;
}

void aegis_page_cache_abandon(aegis_page_cache *cache) {
    aegis_page_cache_shared *shared = cache != NULL ? cache->shared : NULL;
    if (shared == NULL)
        return;
    memset(cache, 0, sizeof *cache);
    /* A call of the reclaimer may run on another thread. It ends before the stores are closed. A
     * thread that releases a buffer may be about to use the reclaimer. */
    if (aegis_i_cache_lock(shared)) {
        shared->ending = true;
        while (shared->resizing || shared->telling_count != 0)
            (void)aegis_i_cache_wait(shared, UINT64_MAX);
        aegis_i_cache_unlock(shared);
    }
    aegis_budget_reclaimer_remove(shared->reclaimer);
    for (size_t i = 0; i < shared->files_size; i++)
        if (shared->files[i] != NULL)
            aegis_i_cache_end_file(shared->files[i]);
    shared->files_size = 0;
    aegis_i_cache_drop(shared);
}
