/* SPDX-License-Identifier: Apache-2.0 */
/* The state of a lock-free arena, and the functions that the files lock_free*.c and local.c share.
 * This unit does not know how local handles allocate: it has a pointer to their lender only. Not
 * installed. */
#ifndef AEGIS_MEMORY_I_ARENA_LOCK_FREE_STATE_H
#define AEGIS_MEMORY_I_ARENA_LOCK_FREE_STATE_H

#include "aegis_memory/arena_local.h"
#include "aegis_memory/lock_free_arena.h"
#include "../base/atomics.h"
#include "../base/harden.h"
#include "chain.h"

typedef struct aegis_i_shared_block aegis_i_shared_block;

/* The block header. The usable bytes of the block follow it. */
struct aegis_i_shared_block {
    /* The offset that allocation adds to. It counts the bytes that are handed out, and more after
     * an addition that found no room. */
    _Atomic size_t used_bytes;
    size_t capacity_bytes;
    /* The bytes that are handed out, after an addition has overshot; SIZE_MAX before that. */
    _Atomic size_t top_bytes;
    /* The bytes at or above this offset are zero until they are handed out. */
    _Atomic size_t dirty_bytes;
    /* The next block of the chain, or of a list of own blocks. */
    _Atomic(aegis_i_shared_block *) next;
    /* The size of the block as acquired from the source, with the block header. */
    size_t total_bytes;
    /* Whether the block, if it is in the list `large_idle`, was taken since the reset. */
    _Atomic uint32_t taken;
};

/* The block header fills a cache line, so that it shares none with the usable bytes, if the block
 * is aligned to one. */
#define AEGIS_I_SHARED_HEADER ((size_t)64)
_Static_assert(sizeof(aegis_i_shared_block) <= 64, "a head is a cache line");

/* The number of slots for the unused ends of shards. */
#define AEGIS_I_TAILS 16

struct aegis_lock_free_arena_shared {
    /* How local handles get their shards: see chain.h. This is the first field. */
    const aegis_i_lender *lender;
    /* The current block. Every allocation reads this field; it is written when a block is full. */
    _Atomic(aegis_i_shared_block *) current;
    /* A request for more bytes does not add to an offset, so that no offset can wrap: see
     * take_by_add. If it finds no room it gets an own block, unless it will grow again. */
    size_t add_limit_bytes;
    size_t max_block_bytes;
    size_t shard_max_bytes;
    aegis_source source;
    aegis_budget *budget;
    uint64_t wait_ns;
    char name[AEGIS_ARENA_NAME_BYTES];
    /* Counts the resets. It has 64 bits on every platform: after 2^32 resets a counter of 32 bits
     * would take an old handle for a fresh one. */
    AEGIS_I_ATOMIC_U64 generation;
    char pad[64];
    /* The start of the chain: a block of no bytes. Because of it `current` is never NULL. */
    aegis_i_shared_block origin;
    /* Own blocks: each is for one request. This list has those that were acquired since the reset,
     * the newest first. Blocks are only pushed to it. */
    _Atomic(aegis_i_shared_block *) large;
    /* The own blocks from before the reset, the oldest first. The list does not change between two
     * resets. */
    aegis_i_shared_block *large_idle;
    /* A block of `large_idle`: all blocks before it are taken. NULL: all blocks of the list are. */
    _Atomic(aegis_i_shared_block *) large_untaken;
    /* The deferred functions, the newest first. Entries are only pushed until the reset. */
    _Atomic(aegis_arena_deferred *) deferred;
    /* The slots for unused ends of shards: see local.c. An empty slot is 0. */
    _Atomic uintptr_t tails[AEGIS_I_TAILS];
    _Atomic size_t next_block_bytes;
    _Atomic size_t capacity_bytes;
    _Atomic size_t reserved_bytes;
    _Atomic size_t block_count;
    _Atomic size_t acquired_count;
    _Atomic size_t peak_used_bytes;
    uint64_t released_count;
    uint64_t reset_count;
    /* Whether the first block was acquired when the arena was made. Then it is always the first
     * one. */
    bool starts_with_block;
};

static inline unsigned char *aegis_i_shared_start(const aegis_i_shared_block *block) {
    return (unsigned char *)(uintptr_t)block + AEGIS_I_SHARED_HEADER;
}

/* The bytes that a request of `size_bytes` (below SIZE_MAX - 64) takes of a block. */
static inline size_t aegis_i_shared_span(size_t size_bytes) {
    return aegis_i_round_up(size_bytes, AEGIS_ARENA_ALIGN) + AEGIS_I_GUARD_BYTES;
}

/* The lender of local handles: see local.c. */
extern AEGIS_I_HIDDEN const aegis_i_lender aegis_i_local_lender;
/* Whether the fields that do not change are consistent; O(1), for asserts. */
AEGIS_I_HIDDEN bool aegis_i_shared_is_valid(const aegis_lock_free_arena_shared *shared);
/* Fills in an error record; returns NULL. */
AEGIS_I_HIDDEN unsigned char *aegis_i_shared_fail(const aegis_lock_free_arena_shared *shared,
                                                  const aegis_i_refusal *why, size_t size_bytes,
                                                  size_t align_bytes, aegis_error *error);
/* Allocates. Sets `*dirty_bytes`, unless it is NULL, to the number of bytes, counted from the
 * first, that may be other than zero; it may be more than size_bytes. On failure returns NULL, and
 * `error`, which must not be NULL, says why. `optional`: the caller asks for less then. */
AEGIS_I_HIDDEN unsigned char *aegis_i_shared_take(aegis_lock_free_arena_shared *shared,
                                                  size_t size_bytes, size_t align_bytes,
                                                  bool optional, size_t *dirty_bytes,
                                                  aegis_error *error);
/* The most that a request at this alignment can get of the current block now, as a multiple of the
 * alignment. Other threads may take it meanwhile. */
AEGIS_I_HIDDEN size_t aegis_i_shared_room(const aegis_lock_free_arena_shared *shared,
                                          size_t align_bytes);
/* Acquires a block of `total_bytes`, a multiple of 16. The block is in no list yet. `optional`: if
 * it is refused, the caller asks for a smaller one. NULL: it is refused, and `why` says why. */
AEGIS_I_HIDDEN aegis_i_shared_block *aegis_i_shared_acquire(aegis_lock_free_arena_shared *shared,
                                                            size_t total_bytes, bool optional,
                                                            aegis_i_refusal *why);
/* A request: the most bytes that it takes of a new block, without the block header; whether it
 * takes the place of a smaller allocation, which will probably grow again; and whether a smaller
 * request follows if it is refused. */
typedef struct aegis_i_take {
    size_t need_bytes;
    bool regrows;
    bool optional;
} aegis_i_take;

/* Whether a request that finds no room in `block` goes on along the chain. It goes to a block that
 * is there if the blocks before that one are small beside the request, or to a new block. At least
 * four such requests must fit into a new block, so that the end of the block before is small beside
 * it. Before the first block there is no such end, so there the four are not needed. */
AEGIS_I_HIDDEN bool aegis_i_shared_may_follow(const aegis_lock_free_arena_shared *shared,
                                              const aegis_i_shared_block *block,
                                              const aegis_i_take *request);
/* Returns the block behind `block`, and acquires it if there is none yet. NULL: the block is
 * refused. */
AEGIS_I_HIDDEN aegis_i_shared_block *aegis_i_shared_next(aegis_lock_free_arena_shared *shared,
                                                         aegis_i_shared_block *block,
                                                         const aegis_i_take *request,
                                                         aegis_i_refusal *why);
/* Takes an idle own block for a request, with room for at most `most_bytes`. NULL: there is none.
 * It takes the smallest block that has enough room. So requests of the same sizes as before the
 * reset find the same blocks, in whatever order they come. */
AEGIS_I_HIDDEN aegis_i_shared_block *aegis_i_shared_take_idle(aegis_lock_free_arena_shared *shared,
                                                              size_t need_bytes, size_t most_bytes);
/* Finds an own block for a request. If `follows`, the request may also go on along the chain. Then
 * it takes only an idle block of its own size, as it got one before the reset, and acquires none.
 * This is enough: if only some requests of a size were served from the chain, the others came
 * first, when the growth step was smaller, and after the reset they come first again. */
AEGIS_I_HIDDEN aegis_i_shared_block *aegis_i_shared_own(aegis_lock_free_arena_shared *shared,
                                                        const aegis_i_take *request, bool follows,
                                                        aegis_i_refusal *why);
/* Hands out `more_bytes`, a multiple of AEGIS_ARENA_ALIGN, behind `end`, which is the end of an
 * allocation of the caller. False: the allocation is not the last one of the current block, or
 * there is no room. Sets `*dirty` to whether the bytes may be other than zero. */
AEGIS_I_HIDDEN bool aegis_i_shared_extend(aegis_lock_free_arena_shared *shared,
                                          const unsigned char *end, size_t more_bytes, bool *dirty);
/* Makes the bytes from `from` to `end` free again, if they are the last bytes that are handed out
 * of the current block; else returns false. `clean` says that they are still zero where they were
 * zero when they were handed out. */
AEGIS_I_HIDDEN bool aegis_i_shared_give_back(aegis_lock_free_arena_shared *shared,
                                             unsigned char *from, unsigned char *end, bool clean);

#endif
