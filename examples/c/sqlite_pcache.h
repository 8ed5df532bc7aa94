/* SPDX-License-Identifier: Apache-2.0 */
/* SQLite's page cache on ours: sqlite3_pcache_methods2 over one aegis_page_cache, which bounds what
 * all connections and databases of the process keep in memory, together, by one budget.
 *
 * A file of our cache is a cache of SQLite, and SQLite's key is the number of the page. SQLite
 * reads and writes by itself, and unpins only what is clean. So our cache has no store to read
 * from: a page that is not resident is begun and completed at once, for SQLite to fill, and no page
 * is ever dirty. What SQLite has unpinned, whichever connection it belongs to, is evicted by the
 * policy.
 *
 * Beside each frame there is a struct `pcache_frame` and what SQLite keeps for a page. It belongs
 * to the cache of SQLite that has the frame pinned, and SQLite calls for one cache in one thread at
 * a time, so it needs no lock.
 *
 * SQLite fetches a page again and again while it has it pinned, and roots of trees at each use. So
 * a cache of SQLite finds the pages that it has pinned by itself, in a hash table, and keeps the
 * last PCACHE_IDLE that SQLite has unpinned pinned to our cache. These hits change nothing that
 * threads share.
 *
 * Bounds: a frame costs its page and 384 bytes. A connection that has pinned as much as it may is
 * asked to write dirty pages to its file (xFetch with 1). What SQLite cannot do without (xFetch
 * with 2: all pages of databases and tables in memory; those that ROLLBACK TO restores) makes our
 * cache grow, up to its limit or the budget's, and then fails with SQLITE_NOMEM. It shrinks again
 * when the pages are unpinned. A page larger than a frame is SQLITE_NOMEM too. */
#ifndef SQLITE_PCACHE_H
#define SQLITE_PCACHE_H

#include "aegis_memory.h"

#include <limits.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

/* SQLite promises to ask for less than 250 bytes beside a page. */
#define PCACHE_EXTRA_BYTES 256
/* How many pages that SQLite has unpinned stay pinned to our cache, for each cache of SQLite, at
 * most, and as a part of its size. */
#define PCACHE_IDLE 256
#define PCACHE_IDLE_PART 8
#define PCACHE_MIN_BUCKETS 64

typedef struct pcache_frame {
    /* What SQLite knows of. Its address is that of the struct. */
    sqlite3_pcache_page page;
    /* The pin of a cache of SQLite; all-zero if none has the frame pinned. */
    aegis_page_pin pin;
    /* The next in its bucket. */
    struct pcache_frame *next;
    /* SQLite has unpinned it: it is idle[idle_at]. */
    bool is_idle;
    uint32_t idle_at;
    _Alignas(16) unsigned char extra[PCACHE_EXTRA_BYTES];
} pcache_frame;

/* A cache of SQLite. */
typedef struct pcache {
    /* The pages that it has pinned, by their keys: chains, whose number is a power of two. */
    pcache_frame **buckets;
    size_t bucket_count;
    size_t pinned_count;
    /* Those of them that SQLite has unpinned, in the order of time, and NULLs; the next place. */
    pcache_frame *idle[PCACHE_IDLE];
    size_t idle_count;
    uint32_t idle_limit;
    uint32_t idle_next;
    uint32_t file;
    unsigned max_key;
    size_t extra_bytes;
    /* With so many pages in use, SQLite is asked to write dirty ones to its file. */
    size_t use_limit;
    /* The latest fetch was refused, and may be asked again. */
    bool has_refused;
    /* It has made our cache larger than it should be. */
    bool has_grown;
} pcache;

/* What all caches of the process share. The first four are set before sqlite3_initialize. */
static struct {
    size_t frame_count;
    size_t max_frame_count;
    size_t page_bytes;
    /* Charged for everything; the caller's. */
    aegis_budget *budget;
    aegis_page_cache cache;
    pcache_frame *frames;
    size_t frames_bytes;
    /* Our cache asks for a store. It stays empty. */
    aegis_page_store nothing;
} pcache_shared;

/* -- pinned pages -- */

static inline pcache_frame **pcache_bucket(const pcache *self, uint64_t key) {
    return &self->buckets[key & (self->bucket_count - 1)];
}

/* The frame of a page, if it is pinned. */
static inline pcache_frame *pcache_find(const pcache *self, uint64_t key) {
    pcache_frame *frame = *pcache_bucket(self, key);
    while (frame != NULL && frame->pin.page != key)
        frame = frame->next;
    return frame;
}

static inline void pcache_link(pcache *self, pcache_frame *frame) {
    pcache_frame **bucket = pcache_bucket(self, frame->pin.page);
    frame->next = *bucket;
    *bucket = frame;
}

static inline void pcache_unlink(pcache *self, pcache_frame *frame) {
    pcache_frame **link = pcache_bucket(self, frame->pin.page);
    while (*link != frame)
        link = &(*link)->next;
    *link = frame->next;
}

/* Makes four times as many buckets. Without memory for them the chains get longer. */
static void pcache_add_buckets(pcache *self) {
    size_t old_count = self->bucket_count;
    pcache_frame **old = self->buckets;
    pcache_frame **buckets = (pcache_frame **)calloc(4 * old_count, sizeof(pcache_frame *));
    if (buckets == NULL)
        return;
    self->buckets = buckets;
    self->bucket_count = 4 * old_count;
    for (size_t i = 0; i < old_count; i++)
        for (pcache_frame *frame = old[i], *next; frame != NULL; frame = next) {
            next = frame->next;
            pcache_link(self, frame);
        }
    free(old);
}

/* Notes that a frame is pinned, for SQLite. */
static inline sqlite3_pcache_page *pcache_keep(pcache *self, const aegis_page_pin *pin) {
    pcache_frame *frame = &pcache_shared.frames[pin->frame];
    frame->pin = *pin;
    pcache_link(self, frame);
    if (++self->pinned_count > 2 * self->bucket_count)
        pcache_add_buckets(self);
    return &frame->page;
}

static inline void pcache_use(pcache *self, pcache_frame *frame) {
    if (frame->is_idle) {
        frame->is_idle = false;
        self->idle[frame->idle_at] = NULL;
        self->idle_count--;
    }
}

/* Unpins a frame. From then on another thread may have it. */
static inline void pcache_release(pcache *self, pcache_frame *frame) {
    aegis_page_pin pin = frame->pin;
    pcache_use(self, frame);
    pcache_unlink(self, frame);
    self->pinned_count--;
    memset(&frame->pin, 0, sizeof frame->pin);
    (void)aegis_page_cache_unpin(&pcache_shared.cache, &pin, 0);
}

/* Unpins the frames that SQLite has not pinned. */
static void pcache_release_idle(pcache *self) {
    for (size_t i = 0; i < PCACHE_IDLE; i++)
        if (self->idle[i] != NULL)
            pcache_release(self, self->idle[i]);
}

/* Unpins the frames of pages from `limit` on. */
static void pcache_release_from(pcache *self, unsigned limit) {
    for (size_t i = 0; i < self->bucket_count; i++)
        for (pcache_frame *frame = self->buckets[i], *next; frame != NULL; frame = next) {
            next = frame->next;
            if (frame->pin.page >= limit)
                pcache_release(self, frame);
        }
}

/* -- pages -- */

/* All frames are pinned, and SQLite cannot do without one more: it has nothing to write, or is in
 * the middle of a rollback. False: the limit is reached. */
static bool pcache_grow(pcache *self) {
    const aegis_page_cache *cache = &pcache_shared.cache;
    aegis_page_cache_stats stats;
    pcache_release_idle(self);
    aegis_page_cache_get_stats(cache, &stats);
    size_t wanted = stats.frame_count + stats.frame_count / 8;
    if (stats.frame_count == stats.max_frame_count)
        return false;
    aegis_status status = aegis_page_cache_resize(
        cache, wanted < stats.max_frame_count ? wanted : stats.max_frame_count, NULL);
    self->has_grown |= status == AEGIS_OK;
    return status == AEGIS_OK || status == AEGIS_E_BUSY; /* Another thread does it. */
}

/* Makes our cache as large as it should be, as far as others have not pinned the pages. */
static void pcache_settle(pcache *self) {
    self->has_grown = false;
    (void)aegis_page_cache_resize(&pcache_shared.cache, pcache_shared.frame_count, NULL);
}

/* Looks a page up in our cache. */
static sqlite3_pcache_page *pcache_fetch_slowly(pcache *self, unsigned key, int create) {
    const aegis_page_cache *cache = &pcache_shared.cache;
    aegis_page_pin pin;
    aegis_page_read read;
    aegis_status status;
    bool may_add =
        create == 2 || (create == 1 && self->pinned_count - self->idle_count < self->use_limit);
    do
        status = may_add
                     ? aegis_page_cache_begin_read(cache, self->file, key, 0, &pin, &read, NULL)
                     : aegis_page_cache_pin(cache, self->file, key, AEGIS_PIN_RESIDENT, &pin, NULL);
    while (status == AEGIS_E_BUSY && create == 2 && pcache_grow(self));
    if (status == AEGIS_OK)
        return pcache_keep(self, &pin);
    self->has_refused = create == 1;
    if (!may_add || status != AEGIS_PENDING ||
        aegis_page_cache_complete(cache, &read, AEGIS_OK, &pin, NULL) != AEGIS_OK)
        return NULL;
    self->has_refused = false;
    if (key > self->max_key)
        self->max_key = key;
    pcache_frame *frame = &pcache_shared.frames[pin.frame];
    frame->page.pBuf = pin.data;
    frame->page.pExtra = frame->extra;
    memset(frame->extra, 0, self->extra_bytes);
    return pcache_keep(self, &pin);
}

static sqlite3_pcache_page *pcache_fetch(sqlite3_pcache *handle, unsigned key, int create) {
    pcache *self = (pcache *)handle;
    pcache_frame *frame = pcache_find(self, key);
    if (frame == NULL)
        return pcache_fetch_slowly(self, key, create);
    pcache_use(self, frame);
    return &frame->page;
}

static void pcache_unpin(sqlite3_pcache *handle, sqlite3_pcache_page *page, int discard) {
    pcache *self = (pcache *)handle;
    pcache_frame *frame = (pcache_frame *)page;
    if (discard) {
        uint64_t key = frame->pin.page;
        pcache_release(self, frame);
        (void)aegis_page_cache_discard(&pcache_shared.cache, self->file, key, 1, NULL, NULL);
        return;
    }
    uint32_t at = self->idle_next;
    self->idle_next = at + 1 < self->idle_limit ? at + 1 : 0;
    if (self->idle[at] != NULL)
        pcache_release(self, self->idle[at]);
    self->idle[at] = frame;
    self->idle_count++;
    frame->idle_at = at;
    frame->is_idle = true;
}

static void pcache_rekey(sqlite3_pcache *handle, sqlite3_pcache_page *page, unsigned old_key,
                         unsigned new_key) {
    pcache *self = (pcache *)handle;
    pcache_frame *frame = (pcache_frame *)page;
    const aegis_page_cache *cache = &pcache_shared.cache;
    (void)old_key;
    pcache_frame *other = pcache_find(self, new_key);
    if (other != NULL)
        pcache_release(self, other);
    pcache_unlink(self, frame);
    /* Nobody else has the page pinned, so none of these fails. */
    if (aegis_page_cache_upgrade(cache, &frame->pin, 0, NULL) != AEGIS_OK ||
        aegis_page_cache_rekey(cache, &frame->pin, new_key, NULL) != AEGIS_OK ||
        aegis_page_cache_downgrade(cache, &frame->pin, 0) != AEGIS_OK)
        abort();
    pcache_link(self, frame);
    if (new_key > self->max_key)
        self->max_key = new_key;
}

/* SQLite calls this at the end of each transaction that has written. */
static void pcache_truncate(sqlite3_pcache *handle, unsigned limit) {
    pcache *self = (pcache *)handle;
    if (self->has_grown && self->pinned_count < self->use_limit / 2)
        pcache_settle(self);
    if (limit > self->max_key)
        return;
    pcache_release_from(self, limit);
    (void)aegis_page_cache_discard(&pcache_shared.cache, self->file, limit,
                                   (uint64_t)self->max_key - limit + 1, NULL, NULL);
    self->max_key = limit > 0 ? limit - 1 : 0;
}

/* -- caches -- */

static void pcache_set_size(sqlite3_pcache *handle, int page_count) {
    size_t size = page_count > 0 ? (size_t)page_count : 0;
    if (size > pcache_shared.frame_count)
        size = pcache_shared.frame_count;
    pcache *self = (pcache *)handle;
    size_t idle_limit = size / PCACHE_IDLE_PART;
    self->use_limit = size - size / 8;
    self->idle_limit = (uint32_t)(idle_limit < PCACHE_IDLE ? idle_limit + 1 : PCACHE_IDLE);
    self->idle_next = 0;
}

static sqlite3_pcache *pcache_create(int page_bytes, int extra_bytes, int is_purgeable) {
    (void)is_purgeable; /* SQLite itself leaves the pages pinned if they are not. */
    if ((size_t)page_bytes > pcache_shared.page_bytes || extra_bytes > PCACHE_EXTRA_BYTES)
        return NULL;
    pcache *self = (pcache *)calloc(1, sizeof *self);
    if (self == NULL)
        return NULL;
    self->extra_bytes = (size_t)extra_bytes;
    self->bucket_count = PCACHE_MIN_BUCKETS;
    self->buckets = (pcache_frame **)calloc(PCACHE_MIN_BUCKETS, sizeof(pcache_frame *));
    pcache_set_size((sqlite3_pcache *)self, 100);
    aegis_page_store nothing = pcache_shared.nothing;
    nothing.close = NULL; /* Other files have it too. */
    if (self->buckets != NULL &&
        aegis_page_cache_open(&pcache_shared.cache, &nothing, NULL, &self->file, NULL) == AEGIS_OK)
        return (sqlite3_pcache *)self;
    free(self->buckets);
    free(self);
    return NULL;
}

static void pcache_destroy(sqlite3_pcache *handle) {
    pcache *self = (pcache *)handle;
    pcache_truncate(handle, 0);
    (void)aegis_page_cache_close(&pcache_shared.cache, self->file, AEGIS_CLOSE_DISCARD, NULL);
    if (self->has_grown)
        pcache_settle(self);
    free(self->buckets);
    free(self);
}

/* SQLite looks at this number when it was refused a page, and writes dirty ones to its file if the
 * number is above its cache size. We want that in any case: frames are short, whoever has them. */
static int pcache_count(sqlite3_pcache *handle) {
    const pcache *self = (const pcache *)handle;
    return self->has_refused ? INT_MAX
                             : (int)aegis_page_cache_count(&pcache_shared.cache, self->file);
}

/* Forgets all pages that SQLite has not pinned. */
static void pcache_shrink(sqlite3_pcache *handle) {
    pcache_release_idle((pcache *)handle);
    (void)aegis_page_cache_discard(&pcache_shared.cache, ((pcache *)handle)->file, 0, UINT64_MAX,
                                   NULL, NULL);
}

/* -- all of them -- */

static void pcache_shutdown(void *argument) {
    (void)argument;
    aegis_page_cache_abandon(&pcache_shared.cache);
    if (pcache_shared.nothing.close != NULL)
        pcache_shared.nothing.close(pcache_shared.nothing.context);
    memset(&pcache_shared.nothing, 0, sizeof pcache_shared.nothing);
    free(pcache_shared.frames);
    if (pcache_shared.frames != NULL)
        (void)aegis_budget_uncharge(pcache_shared.budget, pcache_shared.frames_bytes);
    pcache_shared.frames = NULL;
}

static bool pcache_make(void) {
    aegis_page_cache_options options = {0};
    aegis_page_cache_stats stats;
    options.page_bytes = pcache_shared.page_bytes;
    options.frame_count = pcache_shared.frame_count;
    options.max_frame_count = pcache_shared.max_frame_count;
    options.budget = pcache_shared.budget;
    if (aegis_page_store_memory(&pcache_shared.nothing, NULL) != AEGIS_OK ||
        aegis_page_cache_init(&pcache_shared.cache, &options) != AEGIS_OK)
        return false;
    aegis_page_cache_get_stats(&pcache_shared.cache, &stats);
    pcache_shared.frames_bytes = stats.max_frame_count * sizeof(pcache_frame);
    if (aegis_budget_charge(pcache_shared.budget, pcache_shared.frames_bytes, NULL) != AEGIS_OK)
        return false;
    pcache_shared.frames = (pcache_frame *)calloc(stats.max_frame_count, sizeof(pcache_frame));
    if (pcache_shared.frames == NULL)
        (void)aegis_budget_uncharge(pcache_shared.budget, pcache_shared.frames_bytes);
    return pcache_shared.frames != NULL;
}

static int pcache_init(void *argument) {
    if (pcache_make())
        return SQLITE_OK;
    pcache_shutdown(argument);
    return SQLITE_NOMEM;
}

/* Makes SQLite use our cache. Call it before sqlite3_initialize.
 * There are `frame_count` frames for pages of up to `page_bytes`; and up to `max_frame_count` while
 * SQLite has more pages pinned than that, as far as the budget allows. */
static int pcache_install(size_t frame_count, size_t max_frame_count, size_t page_bytes,
                          aegis_budget *budget) {
    static sqlite3_pcache_methods2 methods = {1,
                                              NULL,
                                              pcache_init,
                                              pcache_shutdown,
                                              pcache_create,
                                              pcache_set_size,
                                              pcache_count,
                                              pcache_fetch,
                                              pcache_unpin,
                                              pcache_rekey,
                                              pcache_truncate,
                                              pcache_destroy,
                                              pcache_shrink};
    pcache_shared.frame_count = frame_count;
    pcache_shared.max_frame_count = max_frame_count;
    pcache_shared.page_bytes = page_bytes;
    pcache_shared.budget = budget;
    return sqlite3_config(SQLITE_CONFIG_PCACHE2, &methods);
}

#endif
