/* SPDX-License-Identifier: Apache-2.0 */
/* The blocks of a heap that serve one large request each: see heap_large.c. Not installed. */
#ifndef AEGIS_MEMORY_I_ARENA_HEAP_LARGE_H
#define AEGIS_MEMORY_I_ARENA_HEAP_LARGE_H

#include "../acquire.h"
#include "heap_watch.h"

/* Puts a block into the list of those in use, and takes it out. */
AEGIS_I_HIDDEN void aegis_i_large_link(aegis_arena_heap *heap, aegis_arena_heap_large *large);
AEGIS_I_HIDDEN void aegis_i_large_unlink(aegis_arena_heap *heap, aegis_arena_heap_large *large);
/* The bytes of a block before its chunk. */
AEGIS_I_HIDDEN size_t aegis_i_large_offset(size_t align_bytes);
/* The size of a block for a request. */
AEGIS_I_HIDDEN size_t aegis_i_large_bytes_for(const aegis_arena_heap *heap, size_t align_bytes,
                                              size_t size_bytes);
/* Writes the header of the only chunk of a block, whose other fields are set. */
AEGIS_I_HIDDEN aegis_arena_heap_chunk *aegis_i_large_write_chunk(aegis_arena_heap_large *large);
/* Takes the first block that a reset has left; NULL: there is none. */
AEGIS_I_HIDDEN aegis_arena_heap_large *aegis_i_large_pop_idle(aegis_arena_heap *heap);
/* An allocation with a block of its own that is to grow. The steps are those of an allocation: the
 * second one alone calls the source, and the block is in no list meanwhile. */
typedef struct aegis_i_heap_growth {
    aegis_arena_heap_large *large;
    size_t old_bytes;
    size_t new_bytes;
} aegis_i_heap_growth;
/* Takes the block from its list. False: the allocation has no such block, or does not grow. */
AEGIS_I_HIDDEN bool aegis_i_heap_begin_growth(aegis_arena_heap *heap, const void *memory,
                                              size_t new_bytes, aegis_i_heap_growth *growth);
/* Makes the block larger, and moves it if it must. False: it is as it was. */
AEGIS_I_HIDDEN bool aegis_i_heap_grow(const aegis_arena_heap *heap, aegis_i_heap_growth *growth);
/* Puts the block into its list again. Returns where the allocation is now. */
AEGIS_I_HIDDEN void *aegis_i_heap_end_growth(aegis_arena_heap *heap,
                                             const aegis_i_heap_growth *growth, bool grown);
/* Releases large blocks that are in no list of the heap any more, up to the end of `next`. */
AEGIS_I_HIDDEN void aegis_i_heap_release_large(const aegis_arena_heap *heap,
                                               aegis_arena_heap_large *large);

#endif
