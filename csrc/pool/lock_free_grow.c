/* SPDX-License-Identifier: Apache-2.0 */
/* How a lock-free pool gets another slab, and the gate that keeps growth and trims apart.
 *
 * The word `fresh` says what there is: a range of fresh blocks (ready), or else the number of the
 * slab to be added next, its target. The target is 0 as long as none is chosen.
 *
 * Invariants:
 * 1. Each change of `fresh` is a compare-and-swap. It gives the word the next tag, except that a
 *    taking which leaves some of the range only moves the number up
 *    (aegis_i_lock_free_take_fresh). So no value comes twice before the tag has come round, and a
 *    compare-and-swap that succeeds has missed no change.
 * 2. A slab is installed only as the target, by a thread in the gate, while `fresh` names it
 *    (install). A word that names a target changes only when the target is in the directory and in
 *    the window table (advance).
 * 3. A thread in the gate does not call the source or the budget, and waits for nothing. It
 * acquires memory outside, and looks then whether the word is still the one for which it did
 *    (aegis_i_lock_free_grow).
 * 4. While a trim is between aegis_i_lock_free_begin_trim and _end_trim, no thread is in the gate,
 *    and there is one such trim at most. A thread counts itself in `growers` before it reads
 *    `trimmer` (enter), and the trim sets `trimmer` before it reads `growers`. These four accesses
 *    are sequentially consistent, so one of the two sees the other.
 * 5. `trim_count` changes after `trimmer` is set, and before the trim takes the first block
 *    (aegis_i_lock_free_begin_trim).
 *
 * The first block of a slab belongs to the thread that has installed or revived the slab, and the
 * range begins behind it (advance). So no other thread can take all blocks that a thread has waited
 * for, and the thread does not have to wait again behind requests that came later.
 *
 * Several threads that find the pool empty may each acquire a slab for the same target. By 2 one of
 * them installs it. If the growth of the pool waits for the budget, another one takes a block
 * before it releases its memory, or keeps the memory for the next target of the same size (keep):
 * it too has waited. Any thread can do the steps that follow (advance). So a thread that is stopped
 * in the gate keeps no other thread from growing the pool. It only keeps trims waiting.
 *
 * A slab that is condemned and not released yet counts as a target like one that is not held. It is
 * taken back into use without a call of the source (aegis_i_slabs_revive).
 *
 * After a fork no thread is in the gate (adopt). What a thread of the parent had begun there is
 * completed as after any thread that was stopped. Blocks that a trim of the parent held are lost in
 * the child. A slab that this trim had condemned is whole: its blocks were all held, and what the
 * owner of the pool keeps about them was forgotten before (condemn in lock_free_trim.c). */
#include "../base/harden.h"
#include "lock_free_state.h"

/* Empties the gate if it belongs to a parent process. */
static void adopt(aegis_lock_free_pool_shared *shared) {
    if (aegis_i_process_claim(&shared->process) != AEGIS_I_PROCESS_CLAIM)
        return;
    /* Relaxed: the release in aegis_i_process_settle follows. */
    aegis_i_store(&shared->growers, 0, memory_order_relaxed);
    aegis_i_store(&shared->trimmer, 0, memory_order_relaxed);
    aegis_i_process_settle(&shared->process, true);
}

/* Waits until no trim holds blocks. */
static void wait_for_trim(aegis_lock_free_pool_shared *shared) {
    uint32_t trimmer;
    /* Acquire pairs with the release in aegis_i_lock_free_end_trim. */
    for (uint32_t round = 0; (trimmer = aegis_i_load(&shared->trimmer, memory_order_acquire)) != 0;
         round++)
        AEGIS_I_SPIN_PAUSE(&shared->trimmer, trimmer, round);
}

static void enter(aegis_lock_free_pool_shared *shared) {
    for (;;) {
        wait_for_trim(shared);
        /* Sequentially consistent, both: invariant 4. */
        (void)aegis_i_add(&shared->growers, 1, memory_order_seq_cst);
        if (aegis_i_load(&shared->trimmer, memory_order_seq_cst) == 0)
            return;
        (void)aegis_i_sub(&shared->growers, 1, memory_order_release);
    }
}

static void leave(aegis_lock_free_pool_shared *shared) {
    /* Release pairs with the acquire of the load in aegis_i_lock_free_begin_trim. */
    (void)aegis_i_sub(&shared->growers, 1, memory_order_release);
}

uint32_t aegis_i_lock_free_watch(aegis_lock_free_pool_shared *shared) {
    adopt(shared);
    /* Acquire pairs with the release in aegis_i_lock_free_begin_trim: if the trim is counted, the
     * wait that follows sees that it has begun. */
    uint32_t watch = aegis_i_load(&shared->trim_count, memory_order_acquire);
    wait_for_trim(shared);
    return watch;
}

bool aegis_i_lock_free_trimmed_since(const aegis_lock_free_pool_shared *shared, uint32_t watch) {
    /* Relaxed: the caller has read a word that the trim changed, and has acquired with it. */
    return aegis_i_load(&shared->trim_count, memory_order_relaxed) != watch;
}

bool aegis_i_lock_free_begin_trim(aegis_lock_free_pool_shared *shared) {
    uint32_t trimmer = 0;
    uint32_t growers;
    adopt(shared);
    /* Sequentially consistent, here and below: invariant 4. Acquire pairs with the release in
     * aegis_i_lock_free_end_trim, and below with the release in leave. */
    if (!aegis_i_cas(&shared->trimmer, &trimmer, 1, memory_order_seq_cst, memory_order_relaxed))
        return false;
    for (uint32_t round = 0; (growers = aegis_i_load(&shared->growers, memory_order_seq_cst)) != 0;
         round++)
        AEGIS_I_SPIN_PAUSE(&shared->growers, growers, round);
    /* Release pairs with the acquire in aegis_i_lock_free_watch. */
    (void)aegis_i_add(&shared->trim_count, 1, memory_order_release);
    return true;
}

void aegis_i_lock_free_end_trim(aegis_lock_free_pool_shared *shared) {
    /* Release pairs with the acquire in wait_for_trim and in aegis_i_lock_free_begin_trim. */
    aegis_i_store(&shared->trimmer, 0, memory_order_release);
}

/* A number for the next slab: that of a slab that went back, or the next one. 0: there is none. The
 * caller is in the gate, so no slab is condemned meanwhile. The number is good only if `fresh` has
 * not changed since the caller read it. */
static uint32_t choose_target(aegis_lock_free_pool_shared *shared) {
    const aegis_pool_slabs *slabs = &shared->slabs;
    /* All relaxed: the word `fresh` orders them. A number that is chosen in vain is found again as
     * one that is not held. */
    uint32_t end = aegis_i_load(&shared->slab_end, memory_order_relaxed);
    if (aegis_i_load(&shared->slab_count, memory_order_relaxed) < end)
        for (uint32_t slab = 1; slab < end; slab++)
            if (!aegis_i_slab_is_held(slabs, slab))
                return slab;
    if (end >= slabs->slab_limit)
        return 0;
    /* If this fails, another thread has chosen the same number. */
    uint32_t seen = end;
    (void)aegis_i_cas(&shared->slab_end, &seen, end + 1, memory_order_relaxed,
                      memory_order_relaxed);
    return end;
}

/* What advance finds. */
typedef enum progress { READY, WANTED, FULL } progress;

/* Goes on with the growth as far as that needs no memory. READY: there was a range, or the slab of
 * `*own` has been added. WANTED: memory is needed for the target that `*word` names. FULL: all
 * slabs are held, and there is no range. The caller is in the gate. `*own` is its block, or
 * AEGIS_I_NO_INDEX. */
static progress advance(aegis_lock_free_pool_shared *shared, uint64_t *word, uint32_t *own) {
    aegis_pool_slabs *slabs = &shared->slabs;
    for (;;) {
        /* Acquire, here and on failure below, pairs with the release below and in
         * aegis_i_lock_free_take_fresh. */
        *word = aegis_i_load(&shared->fresh, memory_order_acquire);
        if (aegis_i_fresh_ready(shared, *word))
            return READY;
        uint32_t slab = aegis_i_fresh_number(shared, *word);
        uint64_t next = aegis_i_fresh_next(shared, *word);
        if (*own != AEGIS_I_NO_INDEX && slab != aegis_i_slab_of(slabs, *own))
            return READY;
        if (slab == 0) {
            slab = choose_target(shared);
            /* If the word is still the same, no other thread was adding a slab while this one
             * looked for a number. So all slabs are held, and each has had its range. */
            if (slab == 0 && aegis_i_load(&shared->fresh, memory_order_acquire) == *word)
                return FULL;
            if (slab == 0)
                continue;
            (void)aegis_i_cas(&shared->fresh, word, next | slab, memory_order_acq_rel,
                              memory_order_relaxed);
            continue;
        }
        uintptr_t entry = aegis_i_slab_word(slabs, slab);
        if (entry == 0)
            return WANTED;
        uint32_t first = aegis_i_slab_start(slabs, slab);
        uint32_t block_count = aegis_i_slab_blocks(slabs, slab);
        if ((entry & AEGIS_I_SLAB_CONDEMNED) != 0) {
            if (!aegis_i_slabs_revive(slabs, slab))
                continue;
            *own = first;
        }
        aegis_i_slabs_enter_windows(slabs, slab);
        /* A range that would have no block is skipped. */
        if (block_count > 1)
            next |= UINT64_C(1) << shared->index_bits | (first + 1);
        /* Release pairs with the acquires of `fresh`: a thread that takes a block of the slab sees
         * its entries. */
        if (!aegis_i_cas(&shared->fresh, word, next, memory_order_acq_rel, memory_order_relaxed))
            continue;
        (void)aegis_i_add(&shared->block_count, block_count, memory_order_relaxed);
        /* Release pairs with the acquire in aegis_i_buffer_class_is_full_grown
         * (../buffer/pool_class.c). */
        (void)aegis_i_add(&shared->slab_count, 1, memory_order_release);
        return READY;
    }
}

/* The same as advance, for a caller that is not in the gate. */
static progress advance_outside(aegis_lock_free_pool_shared *shared, uint64_t *word,
                                uint32_t *own) {
    enter(shared);
    progress found = advance(shared, word, own);
    leave(shared);
    return found;
}

/* Installs memory for the target of `word`, if that is still the target and has none. False: the
 * memory is not needed. Either way the growth goes on. */
static bool install(aegis_lock_free_pool_shared *shared, uint64_t word, uintptr_t entry,
                    uint32_t *own) {
    uint64_t now;
    uint32_t slab = aegis_i_fresh_number(shared, word);
    enter(shared);
    bool installed = aegis_i_load(&shared->fresh, memory_order_acquire) == word &&
                     aegis_i_slabs_install(&shared->slabs, slab, entry) == entry;
    if (installed)
        *own = aegis_i_slab_start(&shared->slabs, slab);
    (void)advance(shared, &now, own);
    leave(shared);
    return installed;
}

size_t aegis_i_lock_free_take_fresh(aegis_lock_free_pool_shared *shared, uint32_t *indices,
                                    size_t want_count, bool *clean) {
    /* Acquire, here and on failure below, pairs with the release of the thread that made the range
     * (advance) or took of it before. */
    uint64_t word = aegis_i_load(&shared->fresh, memory_order_acquire);
    uint64_t next;
    uint32_t got_count;
    do {
        uint32_t left_count = aegis_i_fresh_left(shared, word);
        if (left_count == 0)
            return 0;
        got_count = want_count < left_count ? (uint32_t)want_count : left_count;
        next = got_count < left_count ? word + got_count : aegis_i_fresh_next(shared, word);
    } while (
        !aegis_i_cas_weak(&shared->fresh, &word, next, memory_order_acq_rel, memory_order_acquire));
    uint32_t first = aegis_i_fresh_number(shared, word);
    for (uint32_t i = 0; i < got_count; i++)
        indices[i] = first + i;
    uint32_t slab = aegis_i_slab_of(&shared->slabs, first);
    *clean = aegis_i_slab_is_zeroed(aegis_i_slabs_entry(&shared->slabs, slab));
    return got_count;
}

/* Uses memory of the size of slab number `slab` for the target of `word`. If that has memory and
 * growth waits for the budget, takes a block of that slab, or uses the memory for the next target.
 * It releases memory that it does not use. Returns whether all bytes of the block are zero. */
static bool keep(aegis_lock_free_pool_shared *shared, uint64_t word, uint32_t slab, uintptr_t entry,
                 uint32_t *own) {
    aegis_pool_slabs *slabs = &shared->slabs;
    bool waits = slabs->wait_ns != 0;
    bool clean = false;
    while (!install(shared, word, entry, own)) {
        progress found = advance_outside(shared, &word, own);
        bool again = false;
        if (waits && *own == AEGIS_I_NO_INDEX && found == READY)
            again = aegis_i_lock_free_take_fresh(shared, own, 1, &clean) == 0;
        else if (waits && *own == AEGIS_I_NO_INDEX && found == WANTED)
            again = aegis_i_slab_bytes(slabs, aegis_i_fresh_number(shared, word)) ==
                    aegis_i_slab_bytes(slabs, slab);
        if (again)
            continue;
        aegis_i_slabs_release(slabs, slab, entry);
        return clean;
    }
    return aegis_i_slab_is_zeroed(entry);
}

aegis_status aegis_i_lock_free_grow(aegis_lock_free_pool_shared *shared, aegis_i_patience *patience,
                                    uint32_t *own, bool *clean, aegis_error *error) {
    aegis_pool_slabs *slabs = &shared->slabs;
    uint64_t word;
    adopt(shared);
    *own = AEGIS_I_NO_INDEX;
    *clean = false;
    progress found = advance_outside(shared, &word, own);
    if (found == READY)
        return AEGIS_OK;
    if (found == FULL) {
        uint32_t max_count = aegis_i_max_blocks(shared);
        aegis_i_slabs_exhausted(slabs, error, max_count, max_count);
        return AEGIS_E_EXHAUSTED;
    }
    uint32_t slab = aegis_i_fresh_number(shared, word);
    /* The source may use the pool, and the pool may be finished by it. */
    uintptr_t entry = aegis_i_slabs_acquire(slabs, slab, patience, error);
    if (entry == 0)
        return error->status != AEGIS_PENDING &&
                       aegis_i_load(&shared->fresh, memory_order_acquire) != word
                   ? AEGIS_OK
                   : error->status;
    *clean = keep(shared, word, slab, entry, own);
    return AEGIS_OK;
}
