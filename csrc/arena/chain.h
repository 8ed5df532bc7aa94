/* SPDX-License-Identifier: Apache-2.0 */
/* Which block of an arena serves a request. Not installed. */
#ifndef AEGIS_MEMORY_I_ARENA_CHAIN_H
#define AEGIS_MEMORY_I_ARENA_CHAIN_H

#include "blocks.h"

/* What gives an arena its blocks in place of a source, when they are parts of the memory of another
 * object: with flag AEGIS_I_ARENA_LENT, the context of the arena's source begins with a pointer to
 * one. */
typedef struct aegis_i_lender {
    /* Whether the arena may still use what it was lent. Reports it otherwise. */
    bool (*is_current)(const aegis_arena *arena);
    /* Lends a block: what aegis_i_arena_acquire is to other arenas. */
    void *(*lend)(aegis_arena *arena, size_t total_bytes, bool *zeroed, aegis_i_refusal *why);
    /* Makes room for a request in the current block, by moving its end, if what follows the block
     * is free. */
    bool (*extend)(aegis_arena *arena, size_t size_bytes, size_t align_bytes);
} aegis_i_lender;

/* The lender of an arena with flag AEGIS_I_ARENA_LENT. */
static inline const aegis_i_lender *aegis_i_arena_lender(const aegis_arena *arena) {
    return *(const aegis_i_lender *const *)arena->source.context;
}

/* Whether an arena may be used: any arena whose blocks are its own, and one that is lent blocks if
 * its lender says so. */
static inline bool aegis_i_arena_is_current(const aegis_arena *arena) {
    return (arena->flags & AEGIS_I_ARENA_LENT) == 0 ||
           aegis_i_arena_lender(arena)->is_current(arena);
}

/* An allocation under way: see chain.c. Begins as {size, alignment, 0, 0, zeroed, false,
 * regrows}. */
typedef struct aegis_i_request {
    size_t size_bytes;
    /* As asked for, until it is found valid and raised to AEGIS_ARENA_ALIGN. */
    size_t align_bytes;
    /* The most that it takes of a new block. */
    size_t need_bytes;
    /* The block that is wanted, head included. 0: the request is done, well or not. */
    size_t block_bytes;
    /* Whether its bytes must be zero. */
    bool zeroed;
    /* Whether that block is of the growth step. */
    bool grows;
    /* Whether what is allocated takes the place of a smaller allocation: it will grow again, so
     * room behind it is wanted. */
    bool regrows;
} aegis_i_request;

/* The first step of an allocation: serves it from the blocks held. NULL: a block is wanted, or the
 * request has failed and the arena's record says why. */
AEGIS_I_HIDDEN void *aegis_i_arena_serve(aegis_arena *arena, aegis_i_request *request);

/* The third: takes the memory over, or the refusal, and serves the request. As for the first, NULL
 * may mean that another block is wanted. */
AEGIS_I_HIDDEN void *aegis_i_arena_receive(aegis_arena *arena, aegis_i_request *request,
                                           void *memory, bool zeroed, const aegis_i_refusal *why);
/* Allocates what takes the place of a smaller allocation, with room behind it to grow where a new
 * block is needed for it. */
AEGIS_I_HIDDEN void *aegis_i_arena_alloc_regrown(aegis_arena *arena, size_t size_bytes,
                                                 size_t align_bytes);

#endif
