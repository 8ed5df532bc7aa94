/* SPDX-License-Identifier: Apache-2.0 */
/* Which block of an arena serves a request, and the three steps of an allocation: see chain.c. This
 * unit does not know who lends blocks: it calls the functions of an aegis_i_lender. Not
 * installed. */
#ifndef AEGIS_MEMORY_I_ARENA_CHAIN_H
#define AEGIS_MEMORY_I_ARENA_CHAIN_H

#include "blocks.h"

/* The functions of a lender. A lender takes the place of a source when the blocks of an arena are
 * parts of another object's memory. An arena with flag AEGIS_I_ARENA_LENT has a source whose
 * context begins with a pointer to an aegis_i_lender. */
typedef struct aegis_i_lender {
    /* Whether the arena may still use what it was lent. A debug build reports it if not. */
    bool (*is_current)(const aegis_arena *arena);
    /* Lends a block of `*total_bytes`, or of less but at least `least_bytes`, and sets
     * `*total_bytes` to that. It does what aegis_i_arena_acquire does for other arenas. */
    void *(*lend)(aegis_arena *arena, size_t *total_bytes, size_t least_bytes, bool optional,
                  bool *zeroed, aegis_i_refusal *why);
    /* Makes room for a request in the current block by moving the end of the block, if what follows
     * the block is free. False: there is no such room. */
    bool (*extend)(aegis_arena *arena, size_t size_bytes, size_t align_bytes);
} aegis_i_lender;

/* The lender of an arena with flag AEGIS_I_ARENA_LENT. */
static inline const aegis_i_lender *aegis_i_arena_lender(const aegis_arena *arena) {
    return *(const aegis_i_lender *const *)arena->source.context;
}

/* Whether an arena may be used. An arena that is lent its blocks may be used if its lender says so,
 * any other arena always. */
static inline bool aegis_i_arena_is_current(const aegis_arena *arena) {
    return (arena->flags & AEGIS_I_ARENA_LENT) == 0 ||
           aegis_i_arena_lender(arena)->is_current(arena);
}

/* A request that is being served: see chain.c. It begins as {size, alignment, 0, 0, zeroed, false,
 * regrows, false}. */
typedef struct aegis_i_request {
    size_t size_bytes;
    /* The alignment as asked for. Once it is found valid, it is raised to AEGIS_ARENA_ALIGN. */
    size_t align_bytes;
    /* The most that the request takes of a new block. */
    size_t need_bytes;
    /* The size of the block that is wanted, with its block header. 0: the request is done, with or
     * without success. */
    size_t block_bytes;
    /* Whether the allocated bytes must be zero. */
    bool zeroed;
    /* Whether the wanted block is of the growth step. */
    bool grows;
    /* Whether the allocation takes the place of a smaller one. Then it will probably grow again, so
     * room behind it is wanted. */
    bool regrows;
    /* Whether the wanted block takes what a refusal has left: see refused in chain.c. */
    bool takes_rest;
} aegis_i_request;

/* The least size of a block that serves the request. */
static inline size_t aegis_i_exact_block(const aegis_i_request *request) {
    return AEGIS_I_BLOCK_HEADER + request->need_bytes;
}

/* Whether the block that the request wants is larger than it must be. If such a block is refused,
 * the request wants a smaller one. */
static inline bool aegis_i_wants_more(const aegis_i_request *request) {
    return request->block_bytes > aegis_i_exact_block(request);
}

/* The first step of an allocation: serves the request from the blocks held. NULL: a block is wanted
 * (`block_bytes` is not 0), or the request has failed and the arena's error record says why. */
AEGIS_I_HIDDEN void *aegis_i_arena_serve(aegis_arena *arena, aegis_i_request *request);

/* The third step: takes over the acquired memory, or the refusal if `memory` is NULL, and serves
 * the request. NULL means the same as in the first step, so another block may be wanted. */
AEGIS_I_HIDDEN void *aegis_i_arena_receive(aegis_arena *arena, aegis_i_request *request,
                                           void *memory, bool zeroed, const aegis_i_refusal *why);
/* Allocates in place of a smaller allocation. If this needs a new block, the block has room behind
 * the allocation to grow into. */
AEGIS_I_HIDDEN void *aegis_i_arena_alloc_regrown(aegis_arena *arena, size_t size_bytes,
                                                 size_t align_bytes);

#endif
