/* SPDX-License-Identifier: Apache-2.0 */
/* What has a lock-free arena for itself: making, resetting and trimming it. Those walk every block,
 * so that allocation finds each ready for use and needs no second state for "not yet rewound". They
 * see what other threads did because the caller has ordered it before; so their loads and stores
 * are relaxed. */
#include "aegis_memory/lock_free_arena.h"
#include "../acquire.h"
#include "../base/error_record.h"
#include "../base/text.h"
#include "defer.h"
#include "lock_free_state.h"

#include <stdlib.h>

/* Gives a block, which is in no list any more, back to the source. */
static void release(aegis_lock_free_arena_shared *shared, aegis_i_shared_block *block) {
    size_t total_bytes = block->total_bytes;
    AEGIS_I_SHOW_ZEROED(aegis_i_shared_start(block), block->capacity_bytes);
    (void)aegis_i_sub(&shared->reserved_bytes, total_bytes, memory_order_relaxed);
    (void)aegis_i_sub(&shared->capacity_bytes, block->capacity_bytes, memory_order_relaxed);
    (void)aegis_i_sub(&shared->block_count, 1, memory_order_relaxed);
    shared->released_count++;
    aegis_i_give_back(&shared->source, shared->budget, block, total_bytes, AEGIS_I_BLOCK_ALIGN);
}

/* Chooses the limits that follow from the largest growth step. */
static void set_limits(aegis_lock_free_arena_shared *shared, size_t max_bytes,
                       size_t capacity_bytes) {
    max_bytes = max_bytes != 0 ? max_bytes : AEGIS_ARENA_MAX_BLOCK;
    max_bytes = aegis_i_max(aegis_i_min(max_bytes, PTRDIFF_MAX / 2), AEGIS_ARENA_MIN_BLOCK) &
                ~(AEGIS_I_BLOCK_ALIGN - 1);
    size_t first_bytes = capacity_bytes != 0 ? capacity_bytes + AEGIS_I_SHARED_HEADER : 0;
    size_t step_bytes =
        aegis_i_max(aegis_i_min(first_bytes, PTRDIFF_MAX / 2) * 2, AEGIS_ARENA_MIN_BLOCK);
    shared->max_block_bytes = max_bytes;
    /* With 32-bit addresses an offset could wrap when 16,384 threads overshot at once. */
    shared->add_limit_bytes = aegis_i_min(max_bytes / 4 - AEGIS_I_SHARED_HEADER, SIZE_MAX >> 15);
    shared->shard_max_bytes =
        aegis_i_min(max_bytes / 8, AEGIS_ARENA_LOCAL_MAX_SHARD) & ~(AEGIS_I_SHARED_HEADER - 1);
    atomic_init(&shared->next_block_bytes, aegis_i_min(step_bytes, max_bytes));
}

_Static_assert(_Alignof(aegis_lock_free_arena_shared) <= AEGIS_I_HEAP_ALIGN, "calloc aligns so");

aegis_status aegis_lock_free_arena_init(aegis_lock_free_arena *arena,
                                        const aegis_lock_free_arena_options *options,
                                        aegis_error *error) {
    static const aegis_lock_free_arena_options defaults = {0, 0, NULL, NULL, NULL};
    aegis_error unwanted;
    error = error != NULL ? error : &unwanted;
    options = options != NULL ? options : &defaults;
    arena->shared = NULL;
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
    if (options->name != NULL)
        aegis_i_copy_name(shared->name, options->name, AEGIS_ARENA_NAME_BYTES);
    size_t capacity_bytes = options->capacity_bytes;
    const size_t most_bytes = PTRDIFF_MAX - AEGIS_I_SHARED_HEADER - AEGIS_I_BLOCK_ALIGN;
    bool valid = capacity_bytes <= most_bytes;
    set_limits(shared, options->max_block_bytes, valid ? capacity_bytes : 0);

    aegis_i_refusal why = {AEGIS_E_INVALID_LAYOUT, NULL, 0, 0};
    aegis_i_shared_block *first = NULL;
    if (valid && capacity_bytes != 0)
        first = aegis_i_shared_acquire(
            shared, aegis_i_round_up(capacity_bytes, AEGIS_I_BLOCK_ALIGN) + AEGIS_I_SHARED_HEADER,
            &why);
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
    /* Acquire pairs with the release that appended the block, for the figures, which do not have
     * the arena alone. */
    return aegis_i_load(&block->next, memory_order_acquire);
}

/* Bytes of a block that are handed out. */
static size_t used_of(const aegis_i_shared_block *block) {
    size_t used_bytes = aegis_i_load(&block->used_bytes, memory_order_relaxed);
    size_t top_bytes = aegis_i_load(&block->top_bytes, memory_order_relaxed);
    return aegis_i_min(aegis_i_min(used_bytes, top_bytes), block->capacity_bytes);
}

/* The bytes handed out in all, and in `*wasted_bytes` the ends of blocks before the current. */
static size_t sum_used(const aegis_lock_free_arena_shared *shared, size_t *wasted_bytes) {
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

/* Puts the blocks of their own, newest first, behind the idle ones, oldest first. */
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

/* Runs what was deferred, newest first. As aegis_i_arena_run_deferred, it takes each entry off
 * before it runs, and goes on until none is left, since a function may register others. */
static void run_deferred(aegis_lock_free_arena_shared *shared) {
    aegis_arena_deferred *entry;
    /* Acquire pairs with the release in aegis_lock_free_arena_defer, of this entry and, as each
     * followed another by a compare-and-swap, of all below it (a release sequence). */
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
    /* As at the beginning: the same requests are to find the same room. */
    aegis_i_store(&shared->current, shared->starts_with_block ? first : &shared->origin,
                  memory_order_relaxed);
    (void)aegis_i_add(&shared->generation, 1, memory_order_relaxed);
    shared->reset_count++;
}

/* The bytes of blocks of a list that nothing is allocated in. */
static size_t idle_bytes(const aegis_i_shared_block *block) {
    size_t bytes = 0;
    for (; block != NULL; block = after(block))
        bytes += used_of(block) == 0 ? block->total_bytes : 0;
    return bytes;
}

/* Gives the idle blocks of the chain back that do not fit into what is to be kept, and returns what
 * is left of that. */
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

/* As trim_chain, for the blocks of their own. */
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
    /* Growth begins anew from what is kept. */
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

void aegis_lock_free_arena_get_stats(const aegis_lock_free_arena *arena, aegis_arena_stats *stats) {
    const aegis_lock_free_arena_shared *shared = arena->shared;
    assert(aegis_i_shared_is_valid(shared));
    const aegis_i_shared_block *current = aegis_i_load(&shared->current, memory_order_acquire);
    const aegis_i_shared_block *first = current == &shared->origin ? after(current) : NULL;
    stats->remaining_bytes = first != NULL ? first->capacity_bytes - used_of(first)
                                           : current->capacity_bytes - used_of(current);
    stats->used_bytes = sum_used(shared, &stats->wasted_bytes);
    stats->peak_used_bytes = aegis_i_max(
        aegis_i_load(&shared->peak_used_bytes, memory_order_relaxed), stats->used_bytes);
    stats->capacity_bytes = aegis_i_load(&shared->capacity_bytes, memory_order_relaxed);
    stats->reserved_bytes = aegis_i_load(&shared->reserved_bytes, memory_order_relaxed);
    stats->block_count = aegis_i_load(&shared->block_count, memory_order_relaxed);
    stats->acquired_count = aegis_i_load(&shared->acquired_count, memory_order_relaxed);
    stats->released_count = shared->released_count;
    stats->reset_count = shared->reset_count;
}
