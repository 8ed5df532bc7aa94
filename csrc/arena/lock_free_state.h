/* SPDX-License-Identifier: Apache-2.0 */
/* The state of a lock-free arena, and what the files of its name and local.c share. Not
 * installed. */
#ifndef AEGIS_MEMORY_I_ARENA_LOCK_FREE_STATE_H
#define AEGIS_MEMORY_I_ARENA_LOCK_FREE_STATE_H

#include "aegis_memory/arena_local.h"
#include "aegis_memory/lock_free_arena.h"
#include "../base/atomics.h"
#include "../base/harden.h"
#include "chain.h"

typedef struct aegis_i_shared_block aegis_i_shared_block;

/* The head of a block; its usable bytes follow. */
struct aegis_i_shared_block {
    /* The offset that allocation adds to: bytes handed out, or more after an addition that found no
     * room. */
    _Atomic size_t used_bytes;
    size_t capacity_bytes;
    /* The bytes handed out, once an addition has overshot; SIZE_MAX before. */
    _Atomic size_t top_bytes;
    /* Bytes at or above this offset are zero until they are handed out. */
    _Atomic size_t dirty_bytes;
    /* The chain, or a list of blocks of their own. */
    _Atomic(aegis_i_shared_block *) next;
    /* As acquired from the source, head included. */
    size_t total_bytes;
    /* Of an idle block of the `large_idle` list: whether it was taken since the reset. */
    _Atomic uint32_t taken;
};

/* The head has its cache line for itself, up to the alignment of the block. */
#define AEGIS_I_SHARED_HEADER ((size_t)64)
_Static_assert(sizeof(aegis_i_shared_block) <= 64, "a head is a cache line");

/* How many ends of shards are remembered. */
#define AEGIS_I_TAILS 16

struct aegis_lock_free_arena_shared {
    /* How local handles get their shards: see chain.h. The first field. */
    const aegis_i_lender *lender;
    /* Read by every allocation, written when a block is full. */
    _Atomic(aegis_i_shared_block *) current;
    /* A larger request does not add to an offset, so that no offset can wrap: see take_by_add. One
     * that finds no room gets a block of its own, unless it is to grow there. */
    size_t add_limit_bytes;
    size_t max_block_bytes;
    size_t shard_max_bytes;
    aegis_source source;
    aegis_budget *budget;
    char name[AEGIS_ARENA_NAME_BYTES];
    /* Counts resets. 64 bits everywhere: a handle must not be taken for a fresh one after as many
     * resets as a word counts. */
    AEGIS_I_ATOMIC_U64 generation;
    char pad[64];
    /* The start of the chain: a block of no bytes. It makes `current` never NULL. */
    aegis_i_shared_block origin;
    /* Blocks of one request each, acquired since the reset, newest first: only pushed to. */
    _Atomic(aegis_i_shared_block *) large;
    /* Such blocks from before the reset, oldest first: the list does not change in between. */
    aegis_i_shared_block *large_idle;
    /* One of them, or NULL: all before it are taken. */
    _Atomic(aegis_i_shared_block *) large_untaken;
    /* What is to run at the reset, newest first: only pushed to. */
    _Atomic(aegis_arena_deferred *) deferred;
    /* Unused ends of shards: see local.c. 0 where there is none. */
    _Atomic uintptr_t tails[AEGIS_I_TAILS];
    _Atomic size_t next_block_bytes;
    _Atomic size_t capacity_bytes;
    _Atomic size_t reserved_bytes;
    _Atomic size_t block_count;
    _Atomic size_t acquired_count;
    _Atomic size_t peak_used_bytes;
    uint64_t released_count;
    uint64_t reset_count;
    /* Whether the first block was acquired when the arena was made, and so stays the first. */
    bool starts_with_block;
};

static inline unsigned char *aegis_i_shared_start(const aegis_i_shared_block *block) {
    return (unsigned char *)(uintptr_t)block + AEGIS_I_SHARED_HEADER;
}

/* What a request of `size_bytes` (below SIZE_MAX - 64) takes of a block. */
static inline size_t aegis_i_shared_span(size_t size_bytes) {
    return aegis_i_round_up(size_bytes, AEGIS_ARENA_ALIGN) + AEGIS_I_GUARD_BYTES;
}

/* Lends shards to local handles: see local.c. */
extern AEGIS_I_HIDDEN const aegis_i_lender aegis_i_local_lender;
/* O(1) consistency of what does not change, for asserts. */
AEGIS_I_HIDDEN bool aegis_i_shared_is_valid(const aegis_lock_free_arena_shared *shared);
/* Fills in an error record; returns NULL. */
AEGIS_I_HIDDEN unsigned char *aegis_i_shared_fail(const aegis_lock_free_arena_shared *shared,
                                                  const aegis_i_refusal *why, size_t size_bytes,
                                                  size_t align_bytes, aegis_error *error);
/* Allocates. `*dirty_bytes`, unless NULL: how many of the bytes, from the first, may be other than
 * zero; may be more than size_bytes. On failure NULL, and `error`, which is not NULL, says why. */
AEGIS_I_HIDDEN unsigned char *aegis_i_shared_take(aegis_lock_free_arena_shared *shared,
                                                  size_t size_bytes, size_t align_bytes,
                                                  size_t *dirty_bytes, aegis_error *error);
/* Acquires a block of `total_bytes`, a multiple of 16, that is in no list yet. NULL when that is
 * refused: `why` says why. */
AEGIS_I_HIDDEN aegis_i_shared_block *aegis_i_shared_acquire(aegis_lock_free_arena_shared *shared,
                                                            size_t total_bytes,
                                                            aegis_i_refusal *why);
/* What is to be allocated: the most that it takes of a new block, without the head, and whether it
 * takes the place of a smaller allocation, which will grow again. */
typedef struct aegis_i_take {
    size_t need_bytes;
    bool regrows;
} aegis_i_take;

/* Whether a request that `block` has no room for goes on along the chain: to a block that is there,
 * if those before it are small beside the request, or to a new one. Four such requests or more must
 * fit into a new one, so that the end of the block before is small beside it; before the first
 * block there is no such end. */
AEGIS_I_HIDDEN bool aegis_i_shared_may_follow(const aegis_lock_free_arena_shared *shared,
                                              const aegis_i_shared_block *block,
                                              const aegis_i_take *request);
/* The block behind `block`, acquired if there is none yet. NULL when that is refused. */
AEGIS_I_HIDDEN aegis_i_shared_block *aegis_i_shared_next(aegis_lock_free_arena_shared *shared,
                                                         aegis_i_shared_block *block,
                                                         const aegis_i_take *request,
                                                         aegis_i_refusal *why);
/* Takes an idle block of its own for a request, with room for no more than `most_bytes`; NULL if
 * there is none. Of several each takes the smallest that fits, so requests of the same sizes as
 * before the reset find theirs in whatever order they come. */
AEGIS_I_HIDDEN aegis_i_shared_block *aegis_i_shared_take_idle(aegis_lock_free_arena_shared *shared,
                                                              size_t need_bytes, size_t most_bytes);
/* Finds a block of its own for a request. One that may go on along the chain takes no other than
 * its own of before the reset: if some requests of a size were served from the chain, those that
 * were not came before them, when the growth step was smaller. */
AEGIS_I_HIDDEN aegis_i_shared_block *aegis_i_shared_own(aegis_lock_free_arena_shared *shared,
                                                        const aegis_i_take *request, bool follows,
                                                        aegis_i_refusal *why);
/* Hands out `more_bytes`, a multiple of AEGIS_ARENA_ALIGN, behind `end`, the end of an allocation
 * of the caller's, if it is the last of the current block. `*dirty`: whether they may be other than
 * zero. */
AEGIS_I_HIDDEN bool aegis_i_shared_extend(aegis_lock_free_arena_shared *shared,
                                          const unsigned char *end, size_t more_bytes, bool *dirty);
/* Makes the bytes from `from` to `end` free again, if they are the last of the current block.
 * `clean`: they are as zero as they were when handed out. */
AEGIS_I_HIDDEN bool aegis_i_shared_give_back(aegis_lock_free_arena_shared *shared,
                                             unsigned char *from, unsigned char *end, bool clean);

#endif
