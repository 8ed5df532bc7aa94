/* SPDX-License-Identifier: Apache-2.0 */
/* The blocks of a heap, and the three steps of an allocation: see heap_block.c. Not installed. */
#ifndef AEGIS_MEMORY_I_ARENA_HEAP_BLOCK_H
#define AEGIS_MEMORY_I_ARENA_HEAP_BLOCK_H

#include "heap_large.h"

/* What is taken out of the lists of a heap in order to be released. */
typedef struct aegis_i_heap_surplus {
    aegis_arena_heap_block *blocks;
    aegis_arena_heap_large *large;
} aegis_i_heap_surplus;

/* A request that is being served: see aegis_i_heap_request_init. */
typedef struct aegis_i_heap_request {
    size_t size_bytes;
    size_t align_bytes;
    bool zeroed;
    /* The chunk that is cut off for the request, with room to align it. */
    size_t need_bytes;
    /* The least that a block must have, and what is wanted of the source. The latter is 0 when the
     * request is done, with or without success. */
    size_t exact_bytes;
    size_t block_bytes;
    size_t block_align_bytes;
    /* The request has a block of its own. */
    bool is_large;
    /* The wanted block takes what a refusal has left. */
    bool takes_rest;
    /* A block was refused, so the heap has looked for memory that it does not use. */
    bool is_refused;
    /* The wanted block is asked for a last time, so the budget does all that it can for it. */
    bool is_last;
    /* Blocks of which nothing is out. The caller releases them before it asks for a block, and
     * when it has served the request. */
    aegis_i_heap_surplus surplus;
} aegis_i_heap_request;

static inline void aegis_i_heap_request_init(aegis_i_heap_request *request, size_t size_bytes,
                                             size_t align_bytes, bool zeroed) {
    memset(request, 0, sizeof *request);
    request->size_bytes = size_bytes;
    request->align_bytes = align_bytes;
    request->zeroed = zeroed;
}

/* Serves a request of the usual alignment from a chunk of the blocks in use, without the steps
 * below. NULL: they must be taken. */
AEGIS_I_HIDDEN void *aegis_i_heap_take_usual(aegis_arena_heap *heap, size_t size_bytes,
                                             bool zeroed);
/* The first step: serves the request from the blocks held. NULL: a block is wanted, or the request
 * has failed and the error record says why. */
AEGIS_I_HIDDEN void *aegis_i_heap_serve(aegis_arena_heap *heap, aegis_i_heap_request *request);
/* The second step: asks the source for the wanted block. Reads only what does not change between
 * init and fini, so that the heap may be in use meanwhile. */
AEGIS_I_HIDDEN void *aegis_i_heap_acquire(const aegis_arena_heap *heap,
                                          const aegis_i_heap_request *request, bool *zeroed,
                                          aegis_i_refusal *why);
/* The third step: takes the block over, or the refusal if it is NULL, and serves the request. NULL
 * means the same as in the first step. */
AEGIS_I_HIDDEN void *aegis_i_heap_receive(aegis_arena_heap *heap, aegis_i_heap_request *request,
                                          void *block, bool zeroed, const aegis_i_refusal *why);
/* Frees an allocation that is out. Returns its block if that is to be released. */
AEGIS_I_HIDDEN aegis_arena_heap_large *aegis_i_heap_free(aegis_arena_heap *heap, void *memory);
/* Resizes an allocation that is out, where it is. `stays`: also if less than half of a block of its
 * own is left in use. */
AEGIS_I_HIDDEN bool aegis_i_heap_resize(aegis_arena_heap *heap, void *memory, size_t new_bytes,
                                        bool stays);
/* Makes a block of acquired or lent memory, as an idle block. False: it is too small. */
AEGIS_I_HIDDEN bool aegis_i_heap_add(aegis_arena_heap *heap, void *memory, size_t total_bytes,
                                     bool zeroed, bool is_callers);
/* Makes all blocks idle. */
AEGIS_I_HIDDEN void aegis_i_heap_reset(aegis_arena_heap *heap);
/* Takes free blocks out of the lists until at most `keep_bytes` are reserved. */
AEGIS_I_HIDDEN aegis_i_heap_surplus aegis_i_heap_trim(aegis_arena_heap *heap, size_t keep_bytes);
/* Releases them; nothing is left. */
AEGIS_I_HIDDEN void aegis_i_heap_release(const aegis_arena_heap *heap,
                                         aegis_i_heap_surplus *surplus);
/* Writes the error record of a request; returns NULL. */
AEGIS_I_HIDDEN void *aegis_i_heap_fail(aegis_arena_heap *heap, const aegis_i_refusal *why,
                                       size_t size_bytes, size_t align_bytes);

#endif
