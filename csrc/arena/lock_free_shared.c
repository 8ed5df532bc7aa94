/* SPDX-License-Identifier: Apache-2.0 */
/* The calls that have a lock-free arena alone: making, resetting, trimming and finishing it. The
 * statistics are here too, but several threads may read them.
 *
 * Invariants:
 * 1. These calls see everything that other threads did, because the caller has ordered it before
 *    them. So their own loads and stores may be relaxed.
 * 2. After a reset every block is empty: its offset is 0, nothing is noted in `top_bytes`, and it
 *    is not taken (rewind_block). `dirty_bytes` covers all bytes that were handed out. So an
 *    allocation finds each block ready for use, and there is no second state "not yet rewound". The
 *    price is that a reset walks every block.
 * 3. After a reset the own blocks of before are idle and lie in the order in which they were
 *    acquired (retire_large). No deferred function and no remembered end of a shard is left.
 *    `current` is where it was at the beginning, so the same requests find the same room.
 * 4. A reset counts `generation` up, so every local handle from before is stale. */
#include "aegis_memory/lock_free_arena.h"
#include "../acquire.h"
#include "../base/error_record.h"
#include "../base/sized.h"
#include "../base/text.h"
#include "../budget/move.h"
#include "defer.h"
#include "lock_free_state.h"
#include "stats.h"

#include <stdlib.h>

/* Releases a block, which is in no list any more. */
static void release(aegis_lock_free_arena_shared *shared, aegis_i_shared_block *block) {
    size_t total_bytes = block->total_bytes;
    AEGIS_I_SHOW_ZEROED(aegis_i_shared_start(block), block->capacity_bytes);
    (void)aegis_i_sub(&shared->reserved_bytes, total_bytes, memory_order_relaxed);
    (void)aegis_i_sub(&shared->capacity_bytes, block->capacity_bytes, memory_order_relaxed);
    (void)aegis_i_sub(&shared->block_count, 1, memory_order_relaxed);
    shared->released_count++;
    aegis_i_give_back(&shared->source, shared->budget, block, total_bytes, AEGIS_I_BLOCK_ALIGN);
}

/* Sets the limits that follow from the largest growth step. */
static void set_limits(aegis_lock_free_arena_shared *shared, size_t max_bytes,
                       size_t capacity_bytes) {
    max_bytes = max_bytes != 0 ? max_bytes : AEGIS_ARENA_MAX_BLOCK;
    max_bytes = aegis_i_max(aegis_i_min(max_bytes, PTRDIFF_MAX / 2), AEGIS_ARENA_MIN_BLOCK) &
                ~(AEGIS_I_BLOCK_ALIGN - 1);
    size_t first_bytes = capacity_bytes != 0 ? capacity_bytes + AEGIS_I_SHARED_HEADER : 0;
    size_t step_bytes =
        aegis_i_max(aegis_i_min(first_bytes, PTRDIFF_MAX / 2) * 2, AEGIS_ARENA_MIN_BLOCK);
    shared->max_block_bytes = max_bytes;
    /* With 32-bit addresses an offset could wrap only if 16,384 threads overshot at once. */
    shared->add_limit_bytes = aegis_i_min(max_bytes / 4 - AEGIS_I_SHARED_HEADER, SIZE_MAX >> 15);
    shared->shard_max_bytes =
        aegis_i_min(max_bytes / 8, AEGIS_ARENA_LOCAL_MAX_SHARD) & ~(AEGIS_I_SHARED_HEADER - 1);
    atomic_init(&shared->next_block_bytes, aegis_i_min(step_bytes, max_bytes));
}

_Static_assert(_Alignof(aegis_lock_free_arena_shared) <= AEGIS_I_HEAP_ALIGN, "calloc aligns so");

aegis_status aegis_lock_free_arena_init_sized(aegis_lock_free_arena *arena,
                                              const aegis_lock_free_arena_options *given,
                                              size_t options_bytes, aegis_error *error) {
    static const aegis_lock_free_arena_options defaults = {0, 0, NULL, NULL, NULL, 0};
    aegis_lock_free_arena_options copy;
    aegis_error unwanted;
    error = error != NULL ? error : &unwanted;
    arena->shared = NULL;
    size_t unknown = aegis_i_unknown_option(given, options_bytes, sizeof copy);
    if (unknown != 0)
        return aegis_i_error_refuse(error, AEGIS_E_INVALID, AEGIS_WHAT_UNKNOWN_OPTION, unknown,
                                    sizeof copy);
    const aegis_lock_free_arena_options *options =
        (const aegis_lock_free_arena_options *)aegis_i_known_part(given, options_bytes, &copy,
                                                                  sizeof copy);
    if (options == NULL)
        options = &defaults;
    aegis_lock_free_arena_shared *shared =
        (aegis_lock_free_arena_shared *)calloc(1, sizeof *shared);
    if (shared == NULL) {
        return aegis_i_error_bytes(error, AEGIS_E_OUT_OF_MEMORY, sizeof *shared, AEGIS_ARENA_ALIGN);
    }
    atomic_init(&shared->current, &shared->origin);
    atomic_init(&shared->origin.top_bytes, SIZE_MAX);
    shared->lender = &aegis_i_local_lender;
    shared->source = options->source != NULL ? *options->source : aegis_source_heap();
    shared->budget = options->budget;
    shared->wait_ns = aegis_i_wait_ns(options->wait_ns);
    if (options->name != NULL)
        aegis_i_copy_name(shared->name, options->name, AEGIS_ARENA_NAME_BYTES);
    size_t capacity_bytes = options->capacity_bytes;
    const size_t most_bytes = PTRDIFF_MAX - AEGIS_I_SHARED_HEADER - AEGIS_I_BLOCK_ALIGN;
    bool valid = capacity_bytes <= most_bytes;
    set_limits(shared, options->max_block_bytes, valid ? capacity_bytes : 0);

    aegis_i_refusal why = {AEGIS_E_INVALID_LAYOUT, AEGIS_REFUSED_LIMIT, NULL, 0, 0, 0};
    aegis_i_shared_block *first = NULL;
    if (valid && capacity_bytes != 0)
        first = aegis_i_shared_acquire(
            shared, aegis_i_round_up(capacity_bytes, AEGIS_I_BLOCK_ALIGN) + AEGIS_I_SHARED_HEADER,
            false, &why);
    if (!valid || (capacity_bytes != 0 && first == NULL)) {
        (void)aegis_i_shared_fail(shared, &why, capacity_bytes, AEGIS_ARENA_ALIGN, error);
        if (!valid)
            error->allowed = most_bytes;
        free(shared);
        return error->status;
    }
    if (first != NULL) {
        atomic_init(&shared->origin.next, first);
        atomic_init(&shared->current, first);
    }
    shared->starts_with_block = first != NULL;
    if (shared->budget != NULL)
        (void)aegis_budget_retain(shared->budget);
    arena->shared = shared;
    assert(aegis_i_shared_is_valid(shared));
    return AEGIS_OK;
}

static aegis_i_shared_block *after(const aegis_i_shared_block *block) {
    /* Acquire pairs with the release that appended the block, in aegis_i_shared_next. Only the
     * statistics need it: they do not have the arena alone. */
    return aegis_i_load(&block->next, memory_order_acquire);
}

/* The bytes of a block that are handed out. */
static size_t used_of(const aegis_i_shared_block *block) {
    size_t used_bytes = aegis_i_load(&block->used_bytes, memory_order_relaxed);
    size_t top_bytes = aegis_i_load(&block->top_bytes, memory_order_relaxed);
    return aegis_i_min(aegis_i_min(used_bytes, top_bytes), block->capacity_bytes);
}

/* The bytes that are handed out in all blocks. Sets `*wasted_bytes` to the unused ends of the
 * blocks before the current one. */
static size_t sum_used(const aegis_lock_free_arena_shared *shared, size_t *wasted_bytes) {
    /* Acquire pairs with the release of `current` in take_slow: the block header is written. */
    const aegis_i_shared_block *current = aegis_i_load(&shared->current, memory_order_acquire);
    size_t used_bytes = 0;
    *wasted_bytes = 0;
    bool before = true;
    for (const aegis_i_shared_block *block = &shared->origin; block != NULL; block = after(block)) {
        size_t used = used_of(block);
        before = before && block != current;
        used_bytes += used;
        *wasted_bytes += before ? block->capacity_bytes - used : 0;
    }
    for (const aegis_i_shared_block *block = shared->large_idle; block != NULL;
         block = after(block))
        used_bytes += used_of(block);
    /* Acquire pairs with the release of `large` in acquire_own (lock_free_next.c). */
    for (const aegis_i_shared_block *block = aegis_i_load(&shared->large, memory_order_acquire);
         block != NULL; block = after(block))
        used_bytes += used_of(block);
    return used_bytes;
}

/* Makes all bytes of a block free. */
static void rewind_block(aegis_i_shared_block *block) {
    size_t dirty_bytes = aegis_i_load(&block->dirty_bytes, memory_order_relaxed);
    aegis_i_store(&block->dirty_bytes, aegis_i_max(dirty_bytes, used_of(block)),
                  memory_order_relaxed);
    aegis_i_store(&block->used_bytes, 0, memory_order_relaxed);
    aegis_i_store(&block->top_bytes, SIZE_MAX, memory_order_relaxed);
    aegis_i_store(&block->taken, 0, memory_order_relaxed);
    AEGIS_I_HIDE(aegis_i_shared_start(block), block->capacity_bytes);
}

/* Puts the own blocks that were acquired since the last reset behind the idle own blocks. The list
 * `large` has the newest one first, and the list of idle blocks gets the oldest one first. */
static void retire_large(aegis_lock_free_arena_shared *shared) {
    aegis_i_shared_block *oldest_first = NULL;
    aegis_i_shared_block *block = aegis_i_load(&shared->large, memory_order_relaxed);
    while (block != NULL) {
        aegis_i_shared_block *older = after(block);
        rewind_block(block);
        aegis_i_store(&block->next, oldest_first, memory_order_relaxed);
        oldest_first = block;
        block = older;
    }
    aegis_i_shared_block *last = NULL;
    for (block = shared->large_idle; block != NULL; block = after(block)) {
        rewind_block(block);
        last = block;
    }
    if (last != NULL)
        aegis_i_store(&last->next, oldest_first, memory_order_relaxed);
    else
        shared->large_idle = oldest_first;
    aegis_i_store(&shared->large_untaken, shared->large_idle, memory_order_relaxed);
    aegis_i_store(&shared->large, NULL, memory_order_relaxed);
}

/* Runs the deferred functions, newest first. Like aegis_i_arena_run_deferred it removes each entry
 * before its function runs. It goes on until none is left, because a function may defer others. */
static void run_deferred(aegis_lock_free_arena_shared *shared) {
    aegis_arena_deferred *entry;
    /* Acquire pairs with the release in aegis_lock_free_arena_defer, not only of this entry but of
     * all entries below it: each was pushed by a compare-and-swap on the one before, so they form a
     * release sequence. */
    while ((entry = aegis_i_load(&shared->deferred, memory_order_acquire)) != NULL) {
        aegis_i_store(&shared->deferred, entry->next, memory_order_relaxed);
        entry->function(entry->context);
    }
}

void aegis_lock_free_arena_reset(aegis_lock_free_arena *arena) {
    aegis_lock_free_arena_shared *shared = arena->shared;
    assert(aegis_i_shared_is_valid(shared));
    run_deferred(shared);
    size_t wasted_bytes;
    size_t used_bytes = sum_used(shared, &wasted_bytes);
    size_t peak_bytes = aegis_i_load(&shared->peak_used_bytes, memory_order_relaxed);
    aegis_i_store(&shared->peak_used_bytes, aegis_i_max(peak_bytes, used_bytes),
                  memory_order_relaxed);
    aegis_i_shared_block *first = after(&shared->origin);
    for (aegis_i_shared_block *block = first; block != NULL; block = after(block))
        rewind_block(block);
    retire_large(shared);
    for (size_t i = 0; i < AEGIS_I_TAILS; i++)
        aegis_i_store(&shared->tails[i], 0, memory_order_relaxed);
    aegis_i_store(&shared->origin.used_bytes, 0, memory_order_relaxed);
    /* `current` is set as at the beginning, so that the same requests find the same room. */
    aegis_i_store(&shared->current, shared->starts_with_block ? first : &shared->origin,
                  memory_order_relaxed);
    (void)aegis_i_add(&shared->generation, 1, memory_order_relaxed);
    shared->reset_count++;
}

/* The bytes of those blocks of a list in which nothing is allocated. */
static size_t idle_bytes(const aegis_i_shared_block *block) {
    size_t bytes = 0;
    for (; block != NULL; block = after(block))
        bytes += used_of(block) == 0 ? block->total_bytes : 0;
    return bytes;
}

/* Releases the idle blocks of the chain that do not fit into `keep_bytes`. Returns what is left of
 * `keep_bytes`. */
static size_t trim_chain(aegis_lock_free_arena_shared *shared, size_t keep_bytes) {
    aegis_i_shared_block *previous = &shared->origin;
    aegis_i_shared_block *block;
    while ((block = after(previous)) != NULL) {
        bool idle = used_of(block) == 0;
        if (!idle || block->total_bytes <= keep_bytes) {
            keep_bytes -= idle ? block->total_bytes : 0;
            previous = block;
            continue;
        }
        aegis_i_store(&previous->next, after(block), memory_order_relaxed);
        if (previous == &shared->origin)
            shared->starts_with_block = false;
        if (aegis_i_load(&shared->current, memory_order_relaxed) == block)
            aegis_i_store(&shared->current, previous, memory_order_relaxed);
        release(shared, block);
    }
    return keep_bytes;
}

/* Does for the idle own blocks what trim_chain does for the chain. */
static void trim_large(aegis_lock_free_arena_shared *shared, size_t keep_bytes) {
    aegis_i_shared_block *kept = NULL, *block = shared->large_idle, *next;
    shared->large_idle = NULL;
    for (; block != NULL; block = next) {
        bool idle = used_of(block) == 0;
        next = after(block);
        if (idle && block->total_bytes > keep_bytes) {
            release(shared, block);
            continue;
        }
        keep_bytes -= idle ? block->total_bytes : 0;
        aegis_i_store(&block->next, NULL, memory_order_relaxed);
        if (kept != NULL)
            aegis_i_store(&kept->next, block, memory_order_relaxed);
        else
            shared->large_idle = block;
        kept = block;
    }
    aegis_i_store(&shared->large_untaken, shared->large_idle, memory_order_relaxed);
}

void aegis_lock_free_arena_trim(aegis_lock_free_arena *arena, size_t keep_bytes) {
    aegis_lock_free_arena_shared *shared = arena->shared;
    assert(aegis_i_shared_is_valid(shared));
    size_t reserved_bytes = aegis_i_load(&shared->reserved_bytes, memory_order_relaxed);
    size_t busy_bytes =
        reserved_bytes - idle_bytes(after(&shared->origin)) - idle_bytes(shared->large_idle);
    keep_bytes = keep_bytes > busy_bytes ? keep_bytes - busy_bytes : 0;
    trim_large(shared, trim_chain(shared, keep_bytes));
    /* Growth begins again from what is kept. */
    reserved_bytes = aegis_i_load(&shared->reserved_bytes, memory_order_relaxed);
    size_t step_bytes =
        aegis_i_max(aegis_i_min(reserved_bytes, PTRDIFF_MAX / 2) * 2, AEGIS_ARENA_MIN_BLOCK);
    size_t next_bytes = aegis_i_load(&shared->next_block_bytes, memory_order_relaxed);
    aegis_i_store(&shared->next_block_bytes, aegis_i_min(next_bytes, step_bytes),
                  memory_order_relaxed);
}

void aegis_lock_free_arena_clear(aegis_lock_free_arena *arena) {
    aegis_lock_free_arena_reset(arena);
    aegis_lock_free_arena_trim(arena, 0);
}

static aegis_status look(void *object, aegis_budget ***place, size_t *held_bytes) {
    aegis_lock_free_arena_shared *shared = (aegis_lock_free_arena_shared *)object;
    assert(aegis_i_shared_is_valid(shared));
    *place = &shared->budget;
    *held_bytes = aegis_i_load(&shared->reserved_bytes, memory_order_relaxed);
    return AEGIS_OK;
}

/* The call has the arena alone, and the arena keeps no error record. */
static void leave(void *object, bool moved) {
    (void)object;
    (void)moved;
}

aegis_status aegis_lock_free_arena_move_budget(aegis_lock_free_arena *arena, aegis_budget *budget,
                                               aegis_error *error) {
    const aegis_i_movable movable = {arena->shared, look, leave, AEGIS_WHAT_BYTES};
    return aegis_i_move_object(&movable, budget, error);
}

void aegis_lock_free_arena_fini(aegis_lock_free_arena *arena) {
    if (arena == NULL || arena->shared == NULL)
        return;
    aegis_lock_free_arena_shared *shared = arena->shared;
    aegis_lock_free_arena_clear(arena);
    aegis_budget_destroy(shared->budget);
    if (shared->source.close != NULL)
        shared->source.close(shared->source.context);
    free(shared);
    arena->shared = NULL;
}

void aegis_lock_free_arena_get_stats_sized(const aegis_lock_free_arena *arena,
                                           aegis_arena_stats *stats, size_t stats_bytes) {
    const aegis_lock_free_arena_shared *shared = arena->shared;
    assert(aegis_i_shared_is_valid(shared));
    /* Acquire: as in sum_used. */
    const aegis_i_shared_block *current = aegis_i_load(&shared->current, memory_order_acquire);
    const aegis_i_shared_block *first = current == &shared->origin ? after(current) : NULL;
    size_t remaining_bytes = first != NULL ? first->capacity_bytes - used_of(first)
                                           : current->capacity_bytes - used_of(current);
    size_t wasted_bytes;
    size_t used_bytes = sum_used(shared, &wasted_bytes);
    size_t peak_used_bytes =
        aegis_i_max(aegis_i_load(&shared->peak_used_bytes, memory_order_relaxed), used_bytes);
    aegis_i_arena_fill_stats(
        stats, stats_bytes, aegis_i_load(&shared->capacity_bytes, memory_order_relaxed),
        aegis_i_load(&shared->reserved_bytes, memory_order_relaxed), used_bytes, peak_used_bytes,
        remaining_bytes, wasted_bytes, aegis_i_load(&shared->block_count, memory_order_relaxed),
        aegis_i_load(&shared->acquired_count, memory_order_relaxed), shared->released_count,
        shared->reset_count);
}
