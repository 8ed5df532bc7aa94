/* SPDX-License-Identifier: Apache-2.0 */
/* Local handles: an arena whose blocks are shards of a lock-free arena. The arena itself allocates,
 * resizes, and keeps marks and guards. This file says where shards come from (lend, extend) and
 * where they go (release_shard, aegis_arena_local_fini).
 *
 * The unused end of a shard that cannot be given back to its block is remembered in one of a few
 * slots. A slot is one word. It is 0 when the slot is empty. Otherwise it holds the address of the
 * end, which is a multiple of 64, and in its low bits the logarithm of the end's size, rounded
 * down. The exact size stands at the start of the end's memory.
 *
 * Invariants:
 * 1. The bytes of an end in a slot belong to no allocation and to no shard, and only one slot has
 *    them: the thread that calls put_tail owns them (give_back, take_tail) until its
 *    compare-and-swap puts them into an empty slot.
 * 2. The exact size is written before the word is in the slot (put_tail).
 * 3. A thread owns an end once its compare-and-swap has changed the slot from the end's word to 0.
 *    It reads the end's memory only after that (take_tail).
 * 4. A reset empties every slot, with the arena alone (aegis_lock_free_arena_reset). After it a
 *    handle from before the reset is lent nothing (is_current) and gives nothing back
 *    (aegis_arena_local_fini).
 *
 * So an end has one owner: of the threads that try to take it, the compare-and-swap of one
 * succeeds. Between the load of a word and its compare-and-swap, other threads may take the end and
 * put an end with the same word into the slot (an ABA history). This does no harm: the thread takes
 * the end that is in the slot now, and reads its size afterwards. The size is large enough, because
 * the logarithm is a part of the word that was compared. The logarithm also lets a thread pass over
 * an end that is too small without taking it. */
#include "aegis_memory/arena_local.h"
#include "../base/text.h"
#include "blocks.h"
#include "defer.h"
#include "guard.h"
#include "lock_free_state.h"

/* The alignment of shards and remembered ends: a cache line, so that two handles share no line. */
#define SHARD_ALIGN ((size_t)64)
/* An end with fewer bytes is not remembered. */
#define TAIL_MIN_BYTES ((size_t)256)
/* Shards double up to this size. Beyond it their size follows from the bytes that the handle has
 * carved. */
#define SHARD_DOUBLED_BYTES ((size_t)8192)
/* The first shard of another block of the shared arena has at most this size. */
#define FIRST_SHARD_BYTES ((size_t)32768)
/* The next shard may have the bytes that the handle has carved, divided by this. */
#define SHARD_PART 24

static aegis_lock_free_arena_shared *shared_of(const aegis_arena *arena) {
    return (aegis_lock_free_arena_shared *)arena->source.context;
}

static bool is_same_generation(const aegis_arena *arena) {
    return aegis_i_load(&shared_of(arena)->generation, memory_order_relaxed) ==
           arena->shared_generation;
}

static bool is_current(const aegis_arena *arena) {
    if (is_same_generation(arena))
        return true;
    if (AEGIS_I_DEBUG)
        aegis_i_report("lock-free arena '%s': a local handle is used after a reset", arena->name);
    return false;
}

static unsigned log2_of(size_t value) {
    unsigned log = 0;
    while ((value >>= 1) != 0)
        log++;
    return log;
}

/* Puts free bytes, which the caller owns, into an empty slot. Does nothing if they are too few or
 * if no slot is empty. */
static void put_tail(aegis_lock_free_arena_shared *shared, unsigned char *p, size_t size_bytes) {
    size_t pad_bytes = aegis_i_padding(p, SHARD_ALIGN);
    if (size_bytes < pad_bytes + TAIL_MIN_BYTES)
        return;
    p += pad_bytes;
    size_bytes -= pad_bytes;
    AEGIS_I_SHOW(p, sizeof size_bytes);
    memcpy(p, &size_bytes, sizeof size_bytes);
    for (size_t i = 0; i < AEGIS_I_TAILS; i++) {
        uintptr_t empty = 0;
        /* Release pairs with the acquire in take_tail: the size is written, and the former owner
         * has finished with the bytes, before another thread takes them. */
        if (aegis_i_load(&shared->tails[i], memory_order_relaxed) == 0 &&
            aegis_i_cas(&shared->tails[i], &empty, (uintptr_t)p | log2_of(size_bytes),
                        memory_order_release, memory_order_relaxed))
            return;
    }
    AEGIS_I_HIDE(p, sizeof size_bytes);
}

/* Takes `size_bytes` from a remembered end. NULL: no end is large enough. */
static unsigned char *take_tail(aegis_lock_free_arena_shared *shared, size_t size_bytes) {
    size_t span_bytes = aegis_i_round_up(aegis_i_shared_span(size_bytes), SHARD_ALIGN);
    for (size_t i = 0; i < AEGIS_I_TAILS; i++) {
        uintptr_t word = aegis_i_load(&shared->tails[i], memory_order_relaxed);
        /* Acquire pairs with the release in put_tail. */
        if (word == 0 || (size_t)1 << (word & (SHARD_ALIGN - 1)) < span_bytes ||
            !aegis_i_cas(&shared->tails[i], &word, 0, memory_order_acquire, memory_order_relaxed))
            continue;
        unsigned char *p = (unsigned char *)(word & ~(uintptr_t)(SHARD_ALIGN - 1));
        size_t tail_bytes;
        memcpy(&tail_bytes, p, sizeof tail_bytes);
        put_tail(shared, p + span_bytes, tail_bytes - span_bytes);
        AEGIS_I_SHOW(p, size_bytes);
        return p;
    }
    return NULL;
}

/* Sets the largest size of the next shard of an arena that has carved `carved_bytes`. */
static void set_step(aegis_arena *arena, size_t carved_bytes) {
    size_t step_bytes =
        aegis_i_max(carved_bytes / SHARD_PART, aegis_i_min(carved_bytes, SHARD_DOUBLED_BYTES)) &
        ~(SHARD_ALIGN - 1);
    arena->max_block_bytes = aegis_i_min(aegis_i_max(step_bytes, AEGIS_ARENA_LOCAL_MIN_SHARD),
                                         shared_of(arena)->shard_max_bytes);
}

/* The size of a shard that should have `total_bytes` and at least `least_bytes`, if the shared
 * arena's block has `room_bytes` left. A larger shard takes that rest, so that the rest is not
 * lost. If the rest is too little, another block is needed. The first shard of that is small,
 * because the shared arena gives a large request a block of its own. */
static size_t fit_block(size_t room_bytes, size_t total_bytes, size_t least_bytes) {
    if (room_bytes >= aegis_i_max(least_bytes, AEGIS_ARENA_LOCAL_MIN_SHARD))
        return aegis_i_min(total_bytes, room_bytes);
    return aegis_i_max(aegis_i_min(total_bytes, FIRST_SHARD_BYTES), least_bytes);
}

/* Carves a shard out of the shared arena, or takes it from a remembered end. */
static void *lend(aegis_arena *arena, size_t *total, size_t least_bytes, bool optional,
                  bool *zeroed, aegis_i_refusal *why) {
    *zeroed = false;
    aegis_lock_free_arena_shared *shared = shared_of(arena);
    unsigned char *p = take_tail(shared, *total);
    if (p == NULL) {
        size_t dirty_bytes = 0;
        aegis_error error;
        if (*total > least_bytes)
            *total = fit_block(aegis_i_shared_room(shared, SHARD_ALIGN), *total, least_bytes);
        p = aegis_i_shared_take(shared, *total, SHARD_ALIGN, optional, &dirty_bytes, &error);
        if (p == NULL) {
            why->status = error.status;
            why->budget = error.refused;
            why->limit_bytes = error.limit_bytes;
            why->in_use_bytes = error.in_use_bytes;
            why->needed_bytes = error.needed_bytes;
            return NULL;
        }
        *zeroed = dirty_bytes == 0;
    }
    set_step(arena, arena->reserved_bytes + *total);
    return p;
}

/* Makes room in the current shard by moving its end, if nothing was carved behind it. */
static bool extend(aegis_arena *arena, size_t size_bytes, size_t align_bytes) {
    aegis_arena_block *block = arena->block;
    if (block == NULL)
        return false;
    size_t step_bytes = arena->max_block_bytes;
    size_t need_bytes = aegis_i_round_up(size_bytes, AEGIS_ARENA_ALIGN) + arena->guard_bytes +
                        aegis_i_padding(arena->ptr, align_bytes);
    const unsigned char *end = (unsigned char *)block + aegis_i_shared_span(block->total_bytes);
    bool dirty;
    if (need_bytes > step_bytes ||
        !aegis_i_shared_extend(shared_of(arena), end, step_bytes, &dirty))
        return false;
    block->total_bytes += step_bytes;
    block->end += step_bytes;
    arena->capacity_bytes += step_bytes;
    arena->reserved_bytes += step_bytes;
    if (dirty)
        arena->dirty_end = block->dirty_end = block->end;
    aegis_i_arena_set_ptr(arena, arena->ptr);
    set_step(arena, arena->reserved_bytes);
    arena->next_block_bytes = arena->max_block_bytes;
    return true;
}

const aegis_i_lender aegis_i_local_lender = {is_current, lend, extend};

/* Frees the bytes from `from` to `end`. If nothing lies behind them, they go back to their block,
 * for every allocation. Otherwise they go into a slot, for local handles. */
static void give_back(aegis_lock_free_arena_shared *shared, unsigned char *from, unsigned char *end,
                      bool clean) {
    AEGIS_I_HIDE(from, (size_t)(end - from));
    if (!aegis_i_shared_give_back(shared, from, end, clean) &&
        (size_t)(end - from) > AEGIS_I_GUARD_BYTES)
        put_tail(shared, from, (size_t)(end - from) - AEGIS_I_GUARD_BYTES);
}

/* The release function of a local arena's source. */
static void release_shard(void *context, void *memory, size_t size_bytes, size_t align_bytes) {
    (void)align_bytes;
    unsigned char *p = (unsigned char *)memory;
    give_back((aegis_lock_free_arena_shared *)context, p, p + aegis_i_shared_span(size_bytes),
              false);
}

aegis_status aegis_arena_local_init(aegis_arena_local *local, const aegis_lock_free_arena *shared,
                                    uint32_t flags) {
    aegis_source source = {NULL, release_shard, NULL, shared->shared};
    aegis_arena_options options = {0, 0, &source, NULL, 0, NULL, shared->shared->name, flags, 0};
    const uint32_t known = AEGIS_ARENA_FILL | AEGIS_ARENA_GUARD | AEGIS_ARENA_NO_DEBUG;
    if ((flags & ~known) != 0) {
        memset(local, 0, sizeof *local);
        return aegis_i_arena_refuse(&local->arena, AEGIS_E_INVALID, AEGIS_WHAT_FLAGS, flags, known);
    }
    aegis_status status = aegis_arena_init(&local->arena, &options);
    if (status != AEGIS_OK)
        return status;
    local->arena.flags |= AEGIS_I_ARENA_LENT;
    local->arena.shared_generation =
        aegis_i_load(&shared->shared->generation, memory_order_relaxed);
    local->arena.max_block_bytes =
        aegis_i_min(AEGIS_ARENA_LOCAL_MIN_SHARD, shared->shared->shard_max_bytes);
    local->arena.next_block_bytes = local->arena.max_block_bytes;
    return AEGIS_OK;
}

/* Gives back the unused parts of the handle's shards. */
static void give_up_shards(aegis_arena *arena) {
    aegis_arena_block *idle = arena->last->next;
    arena->last->next = NULL;
    aegis_i_arena_release(arena, idle);
    aegis_i_arena_sync_block(arena);
    aegis_arena_block *block = arena->block;
    bool clean = arena->dirty_end <= arena->ptr;
    unsigned char *start = (unsigned char *)block;
    unsigned char *end = start + aegis_i_shared_span(block->total_bytes);
    give_back(shared_of(arena), arena->ptr, end, clean);
}

void aegis_arena_local_fini(aegis_arena_local *local) {
    if (local == NULL || local->arena.ptr == NULL)
        return;
    if (is_same_generation(&local->arena)) {
        aegis_i_arena_run_deferred(&local->arena, NULL);
        aegis_i_guard_check(&local->arena, 0);
        if (local->arena.block != NULL)
            give_up_shards(&local->arena);
    }
    memset(local, 0, sizeof *local);
}
