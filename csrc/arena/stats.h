/* SPDX-License-Identifier: Apache-2.0 */
/* The statistics of an arena of any form. Not installed. */
#ifndef AEGIS_MEMORY_I_ARENA_STATS_H
#define AEGIS_MEMORY_I_ARENA_STATS_H

#include "../base/sized.h"
#include "aegis_memory/arena.h"

_Static_assert(offsetof(aegis_arena_stats, reset_count) + sizeof(uint64_t) ==
                   sizeof(aegis_arena_stats),
               "each field is a parameter below, so a new field is a new parameter");

/* Fills the caller's struct of `stats_bytes` bytes. No other function writes its fields, and each
 * field is a parameter, in the order of the struct. So a form that does not count a new field does
 * not compile. */
static inline void aegis_i_arena_fill_stats(aegis_arena_stats *stats, size_t stats_bytes,
                                            size_t capacity_bytes, size_t reserved_bytes,
                                            size_t used_bytes, size_t peak_used_bytes,
                                            size_t remaining_bytes, size_t wasted_bytes,
                                            size_t block_count, uint64_t acquired_count,
                                            uint64_t released_count, uint64_t reset_count) {
    /* Padding is cleared too: on some 32-bit machines there is some before the counts. */
    aegis_arena_stats filled;
    memset(&filled, 0, sizeof filled);
    filled.capacity_bytes = capacity_bytes;
    filled.reserved_bytes = reserved_bytes;
    filled.used_bytes = used_bytes;
    filled.peak_used_bytes = peak_used_bytes;
    filled.remaining_bytes = remaining_bytes;
    filled.wasted_bytes = wasted_bytes;
    filled.block_count = block_count;
    filled.acquired_count = acquired_count;
    filled.released_count = released_count;
    filled.reset_count = reset_count;
    aegis_i_copy_sized(stats, stats_bytes, &filled, sizeof filled);
}

#endif
