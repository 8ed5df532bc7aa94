/* SPDX-License-Identifier: Apache-2.0 */
/* The memory of small writers that a thread has released, which it takes again instead of calling
 * malloc. The header of a writer lies in front of its bytes, so that a freeze needs no memory. With
 * it a kilobyte is more than a C library caches for each thread; and a free and a malloc take
 * longer than the writer itself. Not installed.
 *
 *  1. Only the thread itself touches its cache, so there are no atomics. Memory that it has
 *     released is its own: the last reference was given up.
 *  2. Memory of one size, in units, is a list, linked by `base` of the owner. The count of
 *     references stays 0, so the use of a stale handle is reported as before.
 *  3. A cache has at most AEGIS_I_CACHE_BYTES, and nothing until a thread has released a writer.
 *  4. When the thread ends, its cache is freed, and what it releases after that goes to the C
 *     library. A cache begins only if the end of its thread will be known
 *     (aegis_i_heap_cache_begin).
 * There are caches on Linux only. By 4 the variables of a thread must outlive the destructors of
 * its keys, which they do not where variables are keys themselves, as on macOS. And there are none
 * in a build in which a checker of memory is to see each release. */
#ifndef AEGIS_MEMORY_I_BUFFER_HEAP_CACHE_H
#define AEGIS_MEMORY_I_BUFFER_HEAP_CACHE_H

#include "../base/harden.h"
#include "../base/threads.h"
#include "aegis_memory/buffer.h"

#if defined(__linux__) && !AEGIS_I_CHECKED
#define AEGIS_I_CACHES 1
#else
#define AEGIS_I_CACHES 0
#endif

#define AEGIS_I_CACHE_UNIT ((size_t)16)
/* The largest piece: a writer of 1 KiB with its header. */
#define AEGIS_I_CACHE_LARGEST ((size_t)1024 + 64)
#define AEGIS_I_CACHE_BYTES ((size_t)16 << 10)

typedef struct aegis_i_heap_cache {
    /* How many bytes it may still take: 0 in a cache that has not begun or has ended. */
    size_t room_bytes;
    bool has_begun;
    aegis_buffer_owner *first[AEGIS_I_CACHE_LARGEST / AEGIS_I_CACHE_UNIT + 1];
} aegis_i_heap_cache;

extern AEGIS_I_HIDDEN AEGIS_I_THREAD_LOCAL aegis_i_heap_cache aegis_i_own_cache;

/* Begins the cache of this thread. False: it has begun before, or cannot be had. */
AEGIS_I_HIDDEN bool aegis_i_heap_cache_begin(void);

/* The size of the piece that is allocated for so many bytes, which are at most PTRDIFF_MAX. */
static inline size_t aegis_i_heap_cache_piece(size_t size_bytes) {
    return (size_bytes + AEGIS_I_CACHE_UNIT - 1) & ~(AEGIS_I_CACHE_UNIT - 1);
}

/* Whether pieces of this size are kept at all. */
static inline bool aegis_i_heap_cache_is_for(size_t piece_bytes) {
    return AEGIS_I_CACHES && piece_bytes <= AEGIS_I_CACHE_LARGEST;
}

/* Takes a piece of this size; NULL if there is none. */
static inline aegis_buffer_owner *aegis_i_heap_cache_take(size_t piece_bytes) {
    if (!aegis_i_heap_cache_is_for(piece_bytes))
        return NULL;
    aegis_i_heap_cache *cache = &aegis_i_own_cache;
    aegis_buffer_owner **first = &cache->first[piece_bytes / AEGIS_I_CACHE_UNIT];
    aegis_buffer_owner *owner = *first;
    if (AEGIS_UNLIKELY(owner == NULL))
        return NULL;
    *first = (aegis_buffer_owner *)(void *)owner->base;
    cache->room_bytes += piece_bytes;
    return owner;
}

/* Keeps a piece of this size. False: there is no room for it. */
static inline bool aegis_i_heap_cache_put(aegis_buffer_owner *owner, size_t piece_bytes) {
    if (!aegis_i_heap_cache_is_for(piece_bytes))
        return false;
    aegis_i_heap_cache *cache = &aegis_i_own_cache;
    aegis_buffer_owner **first = &cache->first[piece_bytes / AEGIS_I_CACHE_UNIT];
    if (AEGIS_UNLIKELY(piece_bytes > cache->room_bytes))
        return false;
    owner->base = (unsigned char *)(void *)*first;
    *first = owner;
    cache->room_bytes -= piece_bytes;
    return true;
}

#endif
