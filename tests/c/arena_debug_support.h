/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of an arena's debugging aids share. These tests do not include support.h, because
 * the arenas of support.h have none of these aids. */
#ifndef ARENA_DEBUG_SUPPORT_H
#define ARENA_DEBUG_SUPPORT_H

#include "base_support.h"

static inline aegis_arena new_arena(uint32_t flags) {
    aegis_arena arena;
    aegis_arena_options options = {0};
    options.capacity_bytes = 2000;
    options.max_block_bytes = 8000; /* a larger allocation has a block of its own */
    options.name = "victim";
    options.flags = flags;
    CHECK(aegis_arena_init(&arena, &options) == AEGIS_OK);
    return arena;
}

static inline unsigned char *take(aegis_arena *arena, size_t size_bytes) {
    unsigned char *p = (unsigned char *)aegis_arena_alloc(arena, size_bytes);
    CHECK(p != NULL);
    memset(p, 0x11, size_bytes);
    return p;
}

/* Writes in a way that a compiler cannot see through. */
static inline void poke(unsigned char *p, size_t offset) {
    volatile unsigned char *place = p + offset;
    *place = 0x77;
}

#endif
