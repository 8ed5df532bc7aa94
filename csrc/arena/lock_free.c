/* SPDX-License-Identifier: Apache-2.0 */
/* The lock-free arena's allocation: an atomic addition to the offset of the current block.
 * lock_free_next.c finds another block, and lock_free_shared.c makes, resets and trims the arena.
 *
 * The chain is origin -> block -> block -> ... -> NULL. `current` points to one of its blocks.
 * Invariants of the chain, between two resets:
 * 1. The `next` of a block changes once, from NULL to a block (aegis_i_shared_next).
 * 2. `current` moves only forward along the chain, from a block to the block behind it (take_slow).
 * 3. No block is released: only trim, clear and fini do that, and they have the arena alone
 *    (lock_free_shared.c).
 *
 * So these words never return to an old value. A compare-and-swap that succeeds has seen the only
 * history there is, and the ABA problem cannot occur.
 *
 * The offset of a block is `used_bytes`. Invariants of the offset:
 * 4. A thread adds to the offset only if its request fitted when it looked (take_by_add). A
 *    compare-and-swap never moves the offset above the capacity (take_by_cas,
 *    aegis_i_shared_extend).
 * 5. An addition overshoots if other threads have taken the room since the look. The first thread
 *    that overshoots finds in the old value the bytes that are handed out, and notes them in
 *    `top_bytes` (take_by_add). From then on the offset stays above the capacity until the reset.
 * 6. By 4 and 5 each thread inside a call overshoots a block at most once. So the offset exceeds
 *    the capacity by at most add_limit_bytes for each such thread, and cannot wrap (set_limits in
 *    lock_free_shared.c).
 * 7. The offset moves back only by a compare-and-swap from the end of an allocation to its start,
 *    or to a place inside it, by the owner of the allocation (aegis_i_shared_give_back). A shard of
 *    a local handle counts as an allocation here.
 * 8. Bytes that are given back may be other than zero, so `dirty_bytes` is raised before the offset
 *    moves back (aegis_i_shared_give_back).
 *
 * No byte has two owners. The values of the offset are one sequence, in which each addition or
 * compare-and-swap reads the value that the one before has written. If it moves the offset up, its
 * thread owns the bytes between the two values. If an owner moves the offset back, the offset is
 * the end of its allocation at that moment. So nothing lies behind the allocation, whatever
 * happened in between, and only the owner's bytes become free. After an overshoot the offset is the
 * end of no allocation, so it does not move back. By 8 the next owner of such bytes sees that they
 * are not zero.
 *
 * The deferred functions are R. K. Treiber's stack (IBM RJ 5118, 1986), which is only pushed to
 * while several threads use it. */
#include "aegis_memory/lock_free_arena.h"
#include "../base/error_record.h"
#include "defer.h"
#include "lock_free_state.h"

/* Raises an atomic maximum. It orders no other memory access: the release in
 * aegis_i_shared_give_back does that. */
static void raise_to(_Atomic size_t *maximum, size_t value) {
    size_t seen = aegis_i_load(maximum, memory_order_relaxed);
    while (seen < value &&
           !aegis_i_cas_weak(maximum, &seen, value, memory_order_relaxed, memory_order_relaxed))
        continue;
}

/* Takes `span_bytes` by an addition. If the alignment is above AEGIS_ARENA_ALIGN, at most
 * AEGIS_I_BLOCK_ALIGN, the span includes room for the padding. Returns the offset, or SIZE_MAX when
 * there is no room. */
static inline size_t take_by_add(aegis_i_shared_block *block, size_t span_bytes) {
    size_t capacity_bytes = block->capacity_bytes;
    size_t used_bytes = aegis_i_load(&block->used_bytes, memory_order_relaxed);
    if (AEGIS_UNLIKELY(used_bytes > capacity_bytes || capacity_bytes - used_bytes < span_bytes))
        return SIZE_MAX;
    /* Acquire pairs with the release in aegis_i_shared_give_back, because that may have freed these
     * bytes. So their former owner's use of them, and the raised dirty_bytes, come before this
     * thread's use. */
    used_bytes = aegis_i_add(&block->used_bytes, span_bytes, memory_order_acquire);
    if (AEGIS_UNLIKELY(used_bytes > capacity_bytes || capacity_bytes - used_bytes < span_bytes)) {
        if (used_bytes <= capacity_bytes)
            aegis_i_store(&block->top_bytes, used_bytes, memory_order_relaxed);
        return SIZE_MAX;
    }
    return used_bytes;
}

/* Takes room for a request of any size and alignment by compare-and-swap. Unlike take_by_add it
 * never overshoots, and it takes only the padding that this place needs. */
static size_t take_by_cas(aegis_i_shared_block *block, size_t size_bytes, size_t align_bytes) {
    size_t capacity_bytes = block->capacity_bytes;
    const unsigned char *start = aegis_i_shared_start(block);
    size_t used_bytes = aegis_i_load(&block->used_bytes, memory_order_relaxed);
    for (;;) {
        if (used_bytes > capacity_bytes)
            return SIZE_MAX;
        size_t pad_bytes = aegis_i_padding(start + used_bytes, align_bytes);
        size_t room_bytes = capacity_bytes - used_bytes;
        size_t span_bytes = aegis_i_shared_span(size_bytes);
        if (pad_bytes > room_bytes || room_bytes - pad_bytes < span_bytes)
            return SIZE_MAX;
        /* Acquire: as in take_by_add. */
        if (aegis_i_cas_weak(&block->used_bytes, &used_bytes, used_bytes + pad_bytes + span_bytes,
                             memory_order_acquire, memory_order_relaxed))
            return used_bytes + pad_bytes;
    }
}

/* Hands out the bytes at an offset of a block. `dirty_bytes` may be NULL. */
static inline unsigned char *hand_out(const aegis_i_shared_block *block, size_t offset_bytes,
                                      size_t size_bytes, size_t *dirty_bytes) {
    unsigned char *p = aegis_i_shared_start(block) + offset_bytes;
    AEGIS_I_SHOW(p, size_bytes);
    if (dirty_bytes != NULL) {
        size_t dirty = aegis_i_load(&block->dirty_bytes, memory_order_relaxed);
        *dirty_bytes = dirty > offset_bytes ? dirty - offset_bytes : 0;
    }
    return p;
}

/* Allocates from one block, or returns NULL. */
static unsigned char *take_from(const aegis_lock_free_arena_shared *shared,
                                aegis_i_shared_block *block, size_t size_bytes, size_t align_bytes,
                                size_t *dirty_bytes) {
    size_t offset_bytes;
    if (size_bytes <= shared->add_limit_bytes && align_bytes <= AEGIS_I_BLOCK_ALIGN) {
        size_t slack_bytes = align_bytes - AEGIS_ARENA_ALIGN;
        offset_bytes = take_by_add(block, aegis_i_shared_span(size_bytes) + slack_bytes);
        if (offset_bytes != SIZE_MAX)
            offset_bytes +=
                aegis_i_padding(aegis_i_shared_start(block) + offset_bytes, align_bytes);
    } else {
        offset_bytes = take_by_cas(block, size_bytes, align_bytes);
    }
    return offset_bytes != SIZE_MAX ? hand_out(block, offset_bytes, size_bytes, dirty_bytes) : NULL;
}

/* The whole allocation when the fast path does not serve it. */
static unsigned char *take_slow(aegis_lock_free_arena_shared *shared, size_t size_bytes,
                                size_t align_bytes, bool regrows, bool optional,
                                size_t *dirty_bytes, aegis_error *error) {
    assert(aegis_i_shared_is_valid(shared));
    size_t excess_bytes = align_bytes > AEGIS_ARENA_ALIGN ? align_bytes - 1 : 0;
    aegis_i_refusal why = {AEGIS_E_INVALID_LAYOUT, AEGIS_REFUSED_LIMIT, NULL, 0, 0, 0};
    if (!aegis_i_is_power_of_two(align_bytes) || size_bytes > PTRDIFF_MAX - excess_bytes)
        return aegis_i_shared_fail(shared, &why, size_bytes, align_bytes, error);
    size_t asked_align_bytes = align_bytes;
    align_bytes = aegis_i_max(align_bytes, AEGIS_ARENA_ALIGN);
    /* The most that the request can take of a new block. Both terms of the sum are below
     * PTRDIFF_MAX + 64, so it does not wrap. */
    size_t slack_bytes = align_bytes > AEGIS_I_BLOCK_ALIGN ? align_bytes - AEGIS_I_BLOCK_ALIGN
                                                           : align_bytes - AEGIS_ARENA_ALIGN;
    size_t need_bytes =
        aegis_i_round_up(slack_bytes + aegis_i_shared_span(size_bytes), AEGIS_I_BLOCK_ALIGN);
    why.status = AEGIS_E_OUT_OF_MEMORY;
    if (need_bytes > PTRDIFF_MAX - AEGIS_I_SHARED_HEADER)
        return aegis_i_shared_fail(shared, &why, size_bytes, asked_align_bytes, error);
    aegis_i_take request = {need_bytes, regrows && need_bytes <= PTRDIFF_MAX / 4, optional};
    for (;;) {
        /* Acquire pairs with the release at the end of this loop: the block header is written. */
        aegis_i_shared_block *block = aegis_i_load(&shared->current, memory_order_acquire);
        unsigned char *p = take_from(shared, block, size_bytes, align_bytes, dirty_bytes);
        if (p != NULL)
            return p;
        bool follows = aegis_i_shared_may_follow(shared, block, &request);
        aegis_i_shared_block *own = aegis_i_shared_own(shared, &request, follows, &why);
        aegis_i_shared_block *next = NULL;
        if (own == NULL && follows)
            next = aegis_i_shared_next(shared, block, &request, &why);
        if (own == NULL && next == NULL) {
            /* Another thread, or the source, may have added a block meanwhile. Then the request is
             * tried again. */
            if (aegis_i_load(&shared->current, memory_order_relaxed) != block ||
                (!follows && aegis_i_shared_may_follow(shared, block, &request)))
                continue;
            /* An idle block that is much too large is still better than a refusal. */
            own = aegis_i_shared_take_idle(shared, need_bytes, SIZE_MAX);
            if (own == NULL)
                break;
        }
        if (own != NULL) {
            size_t pad_bytes = aegis_i_padding(aegis_i_shared_start(own), align_bytes);
            return hand_out(own, pad_bytes, size_bytes, dirty_bytes);
        }
        /* Release pairs with the acquire at the start of this loop. It publishes the block header,
         * which the acquire in aegis_i_shared_next has made visible to this thread. If this fails,
         * another thread has moved `current`, which is as good. */
        (void)aegis_i_cas(&shared->current, &block, next, memory_order_release,
                          memory_order_relaxed);
    }
    return aegis_i_shared_fail(shared, &why, size_bytes, asked_align_bytes, error);
}

unsigned char *aegis_i_shared_take(aegis_lock_free_arena_shared *shared, size_t size_bytes,
                                   size_t align_bytes, bool optional, size_t *dirty_bytes,
                                   aegis_error *error) {
    return take_slow(shared, size_bytes, align_bytes, false, optional, dirty_bytes, error);
}

size_t aegis_i_shared_room(const aegis_lock_free_arena_shared *shared, size_t align_bytes) {
    /* Acquire: as in take_slow. */
    const aegis_i_shared_block *block = aegis_i_load(&shared->current, memory_order_acquire);
    size_t used_bytes = aegis_i_load(&block->used_bytes, memory_order_relaxed);
    if (used_bytes > block->capacity_bytes)
        return 0;
    size_t room_bytes = block->capacity_bytes - used_bytes;
    size_t lost_bytes = aegis_i_padding(aegis_i_shared_start(block) + used_bytes, align_bytes) +
                        AEGIS_I_GUARD_BYTES;
    return room_bytes > lost_bytes ? (room_bytes - lost_bytes) & ~(align_bytes - 1) : 0;
}

bool aegis_i_shared_give_back(aegis_lock_free_arena_shared *shared, unsigned char *from,
                              unsigned char *end, bool clean) {
    /* Acquire: as in take_slow. */
    aegis_i_shared_block *block = aegis_i_load(&shared->current, memory_order_acquire);
    uintptr_t start = (uintptr_t)aegis_i_shared_start(block);
    if ((uintptr_t)from < start || (uintptr_t)end > start + block->capacity_bytes)
        return false;
    size_t end_bytes = (size_t)((uintptr_t)end - start);
    if (!clean)
        raise_to(&block->dirty_bytes, end_bytes);
    /* Release pairs with the acquires in take_by_add, take_by_cas and aegis_i_shared_extend. The
     * additions and compare-and-swaps in between continue the release sequence. */
    return aegis_i_cas(&block->used_bytes, &end_bytes, (size_t)((uintptr_t)from - start),
                       memory_order_release, memory_order_relaxed);
}

/* The whole allocation: the fast path first. The reason of a failure is kept only if the caller
 * wants it. */
static inline unsigned char *take(const aegis_lock_free_arena *arena, size_t size_bytes,
                                  size_t *dirty_bytes, aegis_error *error) {
    aegis_lock_free_arena_shared *shared = arena->shared;
    if (size_bytes <= shared->add_limit_bytes) {
        /* Acquire: as in take_slow. */
        aegis_i_shared_block *block = aegis_i_load(&shared->current, memory_order_acquire);
        size_t offset_bytes = take_by_add(block, aegis_i_shared_span(size_bytes));
        if (offset_bytes != SIZE_MAX)
            return hand_out(block, offset_bytes, size_bytes, dirty_bytes);
    }
    aegis_error unwanted;
    return aegis_i_shared_take(shared, size_bytes, AEGIS_ARENA_ALIGN, false, dirty_bytes,
                               error != NULL ? error : &unwanted);
}

/* Clears those of the bytes that may be other than zero. */
static inline void *cleared(unsigned char *p, size_t size_bytes, size_t dirty_bytes) {
    if (p == NULL)
        return NULL;
    AEGIS_I_SHOW_ZEROED(p, size_bytes);
    if (dirty_bytes != 0)
        memset(p, 0, aegis_i_min(size_bytes, dirty_bytes));
    return p;
}

void *aegis_lock_free_arena_alloc(const aegis_lock_free_arena *arena, size_t size_bytes,
                                  aegis_error *error) {
    return take(arena, size_bytes, NULL, error);
}

void *aegis_lock_free_arena_alloc_zeroed(const aegis_lock_free_arena *arena, size_t size_bytes,
                                         aegis_error *error) {
    size_t dirty_bytes = 0;
    unsigned char *p = take(arena, size_bytes, &dirty_bytes, error);
    return cleared(p, size_bytes, dirty_bytes);
}

void *aegis_lock_free_arena_alloc_aligned(const aegis_lock_free_arena *arena, size_t size_bytes,
                                          size_t align_bytes, aegis_error *error) {
    aegis_error unwanted;
    return aegis_i_shared_take(arena->shared, size_bytes, align_bytes, false, NULL,
                               error != NULL ? error : &unwanted);
}

void *aegis_lock_free_arena_alloc_aligned_zeroed(const aegis_lock_free_arena *arena,
                                                 size_t size_bytes, size_t align_bytes,
                                                 aegis_error *error) {
    size_t dirty_bytes = 0;
    aegis_error unwanted;
    unsigned char *p = aegis_i_shared_take(arena->shared, size_bytes, align_bytes, false,
                                           &dirty_bytes, error != NULL ? error : &unwanted);
    return cleared(p, size_bytes, dirty_bytes);
}

bool aegis_i_shared_extend(aegis_lock_free_arena_shared *shared, const unsigned char *end,
                           size_t more_bytes, bool *dirty) {
    /* Acquire: as in take_slow. */
    aegis_i_shared_block *block = aegis_i_load(&shared->current, memory_order_acquire);
    uintptr_t start = (uintptr_t)aegis_i_shared_start(block);
    if ((uintptr_t)end < start || (uintptr_t)end > start + block->capacity_bytes)
        return false;
    size_t end_bytes = (size_t)((uintptr_t)end - start);
    /* The offset is looked at before the compare-and-swap. Other threads have often allocated
     * behind `end`, and a load finds that at a lower cost. */
    if (block->capacity_bytes - end_bytes < more_bytes ||
        aegis_i_load(&block->used_bytes, memory_order_relaxed) != end_bytes)
        return false;
    /* Acquire: as in take_by_add. */
    if (!aegis_i_cas(&block->used_bytes, &end_bytes, end_bytes + more_bytes, memory_order_acquire,
                     memory_order_relaxed))
        return false;
    *dirty = aegis_i_load(&block->dirty_bytes, memory_order_relaxed) > end_bytes;
    return true;
}

/* Resizes the allocation at `p` in place, if that is possible: a smaller size always is, a larger
 * one if the allocation is the last of the current block. */
static bool resize_last(aegis_lock_free_arena_shared *shared, unsigned char *p, size_t old_bytes,
                        size_t new_bytes) {
    unsigned char *old_end = p + aegis_i_shared_span(old_bytes);
    if (new_bytes <= old_bytes) {
        unsigned char *new_end = p + aegis_i_shared_span(new_bytes);
        AEGIS_I_HIDE(p + new_bytes, old_bytes - new_bytes);
        if (new_end != old_end)
            (void)aegis_i_shared_give_back(shared, new_end, old_end, false);
        return true;
    }
    bool dirty;
    if (new_bytes > PTRDIFF_MAX ||
        !aegis_i_shared_extend(shared, old_end,
                               aegis_i_shared_span(new_bytes) - aegis_i_shared_span(old_bytes),
                               &dirty))
        return false;
    AEGIS_I_SHOW(p + old_bytes, new_bytes - old_bytes);
    return true;
}

bool aegis_lock_free_arena_resize_in_place(const aegis_lock_free_arena *arena, void *memory,
                                           size_t old_bytes, size_t new_bytes) {
    return memory != NULL &&
           resize_last(arena->shared, (unsigned char *)memory, old_bytes, new_bytes);
}

/* Allocates in place of a smaller allocation. If this needs a new block, the block has room behind
 * the allocation to grow into. The Rust wrapper calls it too. */
AEGIS_I_HIDDEN void *aegis_i_lock_free_alloc_regrown(const aegis_lock_free_arena *arena,
                                                     size_t size_bytes, size_t align_bytes,
                                                     aegis_error *error);

void *aegis_i_lock_free_alloc_regrown(const aegis_lock_free_arena *arena, size_t size_bytes,
                                      size_t align_bytes, aegis_error *error) {
    aegis_error unwanted;
    return take_slow(arena->shared, size_bytes, align_bytes, true, false, NULL,
                     error != NULL ? error : &unwanted);
}

void *aegis_lock_free_arena_realloc_aligned(const aegis_lock_free_arena *arena, void *memory,
                                            size_t old_bytes, size_t new_bytes, size_t align_bytes,
                                            aegis_error *error) {
    if (memory == NULL)
        return aegis_lock_free_arena_alloc_aligned(arena, new_bytes, align_bytes, error);
    if (resize_last(arena->shared, (unsigned char *)memory, old_bytes, new_bytes))
        return memory;
    void *moved = aegis_i_lock_free_alloc_regrown(arena, new_bytes, align_bytes, error);
    if (moved != NULL)
        memcpy(moved, memory, old_bytes);
    return moved;
}

void aegis_lock_free_arena_free_last(const aegis_lock_free_arena *arena, void *memory,
                                     size_t size_bytes) {
    if (memory == NULL)
        return;
    unsigned char *p = (unsigned char *)memory;
    AEGIS_I_HIDE(p, size_bytes);
    (void)aegis_i_shared_give_back(arena->shared, p, p + aegis_i_shared_span(size_bytes), false);
}

void *aegis_lock_free_arena_memdup(const aegis_lock_free_arena *arena, const void *bytes,
                                   size_t size_bytes, aegis_error *error) {
    void *copy = aegis_lock_free_arena_alloc(arena, size_bytes, error);
    if (copy != NULL && size_bytes != 0)
        memcpy(copy, bytes, size_bytes);
    return copy;
}

char *aegis_lock_free_arena_strdup(const aegis_lock_free_arena *arena, const char *text,
                                   aegis_error *error) {
    return (char *)aegis_lock_free_arena_memdup(arena, text, strlen(text) + 1, error);
}

aegis_status aegis_lock_free_arena_defer(const aegis_lock_free_arena *arena,
                                         aegis_arena_defer_fn function, void *context,
                                         aegis_error *error) {
    aegis_lock_free_arena_shared *shared = arena->shared;
    aegis_error unwanted;
    error = error != NULL ? error : &unwanted;
    if (function == NULL)
        return aegis_i_error_refuse(error, AEGIS_E_INVALID, AEGIS_WHAT_FUNCTION, 0, 0);
    aegis_arena_deferred *entry =
        (aegis_arena_deferred *)aegis_lock_free_arena_alloc(arena, sizeof *entry, error);
    if (entry == NULL)
        return error->status;
    entry->function = function;
    entry->context = context;
    entry->next = aegis_i_load(&shared->deferred, memory_order_relaxed);
    /* Entries are removed only when the arena has one user, so no entry becomes the newest a second
     * time (no ABA problem). Release pairs with the acquire in run_deferred. */
    while (!aegis_i_cas_weak(&shared->deferred, &entry->next, entry, memory_order_release,
                             memory_order_relaxed))
        continue;
    return AEGIS_OK;
}
