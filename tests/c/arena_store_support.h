/* SPDX-License-Identifier: Apache-2.0 */
/* A source whose memory a test can search after an arena has given it back. */
#ifndef ARENA_STORE_SUPPORT_H
#define ARENA_STORE_SUPPORT_H

#include "arena_debug_support.h"

#define STORE_BYTES ((size_t)1 << 20)

/* The store outlives the arena and is never used twice, so a test can search it. */
static _Alignas(16) unsigned char store[STORE_BYTES];
static size_t store_used;

static inline void *store_acquire(void *context, size_t size_bytes, size_t align_bytes,
                                  bool *zeroed) {
    (void)context;
    *zeroed = true;
    size_t start = (store_used + align_bytes - 1) & ~(align_bytes - 1);
    if (size_bytes > STORE_BYTES - start)
        return NULL;
    store_used = start + size_bytes;
    return store + start;
}

static inline void store_release(void *context, void *memory, size_t size_bytes,
                                 size_t align_bytes) {
    (void)context;
    (void)memory;
    (void)size_bytes;
    (void)align_bytes;
}

static inline aegis_arena new_arena_in_store(uint32_t flags) {
    static const aegis_source source = {store_acquire, store_release, NULL, NULL};
    memset(store, 0, sizeof store);
    store_used = 0;
    aegis_arena arena;
    aegis_arena_options options = {0};
    options.source = &source;
    options.flags = flags;
    CHECK(aegis_arena_init(&arena, &options) == AEGIS_OK);
    return arena;
}

#endif
