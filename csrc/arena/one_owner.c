/* SPDX-License-Identifier: Apache-2.0 */
/* The arena with one owner: init, fini and statistics. chain.c decides which block serves an
 * allocation, and mark.c goes back. */
#include "aegis_memory/arena.h"
#include "../base/harden.h"
#include "../base/sized.h"
#include "../base/text.h"
#include "../acquire.h"
#include "../source.h"
#include "blocks.h"
#include "defer.h"
#include "guard.h"
#include "mark.h"
#include "scope.h"
#include "stats.h"
#include "trim.h"

/* Makes the first block in the caller's memory, if that has room for one. */
static void adopt_memory(aegis_arena *arena, unsigned char *memory, size_t memory_bytes) {
    size_t pad_bytes = aegis_i_padding(memory, AEGIS_I_BLOCK_ALIGN);
    if (memory_bytes < pad_bytes + AEGIS_I_BLOCK_HEADER ||
        (uintptr_t)memory > AEGIS_I_TOP - memory_bytes)
        return;
    aegis_arena_block *block = aegis_i_block_lay(memory + pad_bytes, memory_bytes - pad_bytes,
                                                 false, AEGIS_I_BLOCK_CALLER);
    arena->capacity_bytes = aegis_i_block_capacity(block);
    arena->block_count = 1;
    aegis_i_arena_enter(arena, block);
}

/* Checks the options for an arena that is all-zero. If an option is wrong, the arena's error record
 * says which. */
static aegis_status check_options(aegis_arena *arena, const aegis_arena_options *options) {
    const uint32_t known = AEGIS_ARENA_WIPE | AEGIS_ARENA_FILL | AEGIS_ARENA_GUARD |
                           AEGIS_ARENA_OWN_BLOCKS | AEGIS_ARENA_NO_DEBUG;
    const size_t most_bytes = PTRDIFF_MAX - AEGIS_I_BLOCK_HEADER - AEGIS_I_BLOCK_ALIGN;
    if (options->capacity_bytes > most_bytes)
        return aegis_i_arena_refuse(arena, AEGIS_E_INVALID_LAYOUT, AEGIS_WHAT_BYTES,
                                    options->capacity_bytes, most_bytes);
    if (options->memory_bytes > PTRDIFF_MAX)
        return aegis_i_arena_refuse(arena, AEGIS_E_INVALID_LAYOUT, AEGIS_WHAT_BYTES,
                                    options->memory_bytes, PTRDIFF_MAX);
    if ((options->flags & ~known) != 0)
        return aegis_i_arena_refuse(arena, AEGIS_E_INVALID, AEGIS_WHAT_FLAGS, options->flags,
                                    known);
    if (options->memory != NULL && options->capacity_bytes != 0)
        return aegis_i_arena_refuse(arena, AEGIS_E_INVALID, AEGIS_WHAT_CAPACITY,
                                    options->capacity_bytes, 0);
    return AEGIS_OK;
}

/* Sets the flags, and the fields that depend on them. */
static void set_flags(aegis_arena *arena, uint32_t flags) {
    if (AEGIS_I_DEBUG && (flags & AEGIS_ARENA_NO_DEBUG) == 0)
        flags |= AEGIS_ARENA_FILL | AEGIS_ARENA_GUARD;
    if (AEGIS_I_CHECKED) {
        /* The checker's own gap finds an overrun as a guard would, and at once. */
        flags &= ~AEGIS_ARENA_GUARD;
        arena->guard_bytes = AEGIS_I_GUARD_BYTES;
    } else if ((flags & AEGIS_ARENA_GUARD) != 0) {
        arena->guard_bytes = aegis_i_guard_size();
    }
    if (AEGIS_I_CHECKED ||
        (flags & (AEGIS_ARENA_FILL | AEGIS_ARENA_GUARD | AEGIS_ARENA_OWN_BLOCKS)) != 0)
        flags |= AEGIS_I_ARENA_WATCHED;
    arena->flags = flags;
}

/* Sets the growth step and its maximum. A step must leave room behind the block header, and must
 * not overflow when it is doubled. */
static void set_steps(aegis_arena *arena, const aegis_arena_options *options) {
    size_t max_bytes =
        options->max_block_bytes != 0 ? options->max_block_bytes : AEGIS_ARENA_MAX_BLOCK;
    size_t first_bytes = options->memory != NULL ? options->memory_bytes
                         : options->capacity_bytes != 0
                             ? AEGIS_I_BLOCK_HEADER + options->capacity_bytes
                             : 0;
    size_t step_bytes =
        aegis_i_max(aegis_i_min(first_bytes, PTRDIFF_MAX / 2) * 2, AEGIS_ARENA_MIN_BLOCK);
    arena->max_block_bytes =
        aegis_i_max(aegis_i_min(max_bytes, PTRDIFF_MAX / 2), 2 * AEGIS_I_BLOCK_HEADER);
    arena->next_block_bytes = aegis_i_min(step_bytes, arena->max_block_bytes);
}

/* Fails an init: the arena is all-zero except for the error record. */
static aegis_status fail_init(aegis_arena *arena, const aegis_i_refusal *why, size_t size_bytes) {
    memset(arena, 0, sizeof *arena);
    (void)aegis_i_arena_fail(arena, why, size_bytes, AEGIS_ARENA_ALIGN);
    return why->status;
}

aegis_status aegis_arena_init_sized(aegis_arena *arena, const aegis_arena_options *given,
                                    size_t options_bytes) {
    static const aegis_arena_options defaults = {0, 0, NULL, NULL, 0, NULL, NULL, 0, 0};
    aegis_arena_options copy;
    memset(arena, 0, sizeof *arena);
    size_t unknown = aegis_i_unknown_option(given, options_bytes, sizeof copy);
    if (unknown != 0)
        return aegis_i_arena_refuse(arena, AEGIS_E_INVALID, AEGIS_WHAT_UNKNOWN_OPTION, unknown,
                                    sizeof copy);
    const aegis_arena_options *options =
        (const aegis_arena_options *)aegis_i_known_part(given, options_bytes, &copy, sizeof copy);
    if (options == NULL)
        options = &defaults;
    aegis_status status = check_options(arena, options);
    if (status != AEGIS_OK)
        return status;
    aegis_i_refusal why = {AEGIS_OK, AEGIS_REFUSED_LIMIT, NULL, 0, 0, 0};

    set_flags(arena, options->flags);
    set_steps(arena, options);
    if (options->source != NULL)
        arena->source = *options->source;
    else if (options->memory != NULL)
        /* There can be no other block than the one in the caller's memory. */
        arena->flags = (arena->flags & ~AEGIS_ARENA_OWN_BLOCKS) | AEGIS_I_ARENA_FIXED;
    else
        arena->source = AEGIS_I_ARENA_SOURCE();
    if (options->name != NULL)
        aegis_i_copy_name(arena->name, options->name, AEGIS_ARENA_NAME_BYTES);
    arena->budget = options->budget;
    arena->wait_ns = aegis_i_wait_ns(options->wait_ns);
    aegis_i_arena_forget_blocks(arena);
    if (options->memory != NULL)
        adopt_memory(arena, (unsigned char *)options->memory, options->memory_bytes);

    size_t first_bytes =
        aegis_i_round_up(AEGIS_I_BLOCK_HEADER + options->capacity_bytes, AEGIS_I_BLOCK_ALIGN);
    if (options->capacity_bytes != 0) {
        bool zeroed;
        void *first = aegis_i_arena_acquire(arena, first_bytes, false, &zeroed, &why);
        if (first == NULL)
            return fail_init(arena, &why, options->capacity_bytes);
        (void)aegis_i_arena_add(arena, first, first_bytes, zeroed);
    }
    (void)aegis_i_budget_keep(arena->budget);
    assert(aegis_i_arena_is_valid(arena));
    return AEGIS_OK;
}

void aegis_arena_fini(aegis_arena *arena) {
    if (arena == NULL || arena->ptr == NULL)
        return;
    assert(aegis_i_arena_is_valid(arena));
    if ((arena->flags & AEGIS_I_ARENA_SCOPED) != 0) {
        /* The blocks belong to the outer arena, and the scope has still to be ended. */
        if (AEGIS_I_DEBUG)
            aegis_i_report("arena '%s': the arena of a scope was finished", arena->name);
        aegis_arena_reset(arena);
        return;
    }
    bool scope_open = aegis_i_arena_leave_scopes(arena);
    if (AEGIS_I_DEBUG && scope_open)
        aegis_i_report("arena '%s' finished with a scope open", arena->name);
    aegis_i_arena_run_deferred(arena, NULL);
    /* From now on the source may still use the arena. But the arena gets no more blocks, and it no
     * longer has the blocks that the source takes back. */
    arena->source.acquire = NULL;
    aegis_i_arena_free_since(arena, NULL);
    aegis_arena_block *list = arena->first;
    aegis_i_arena_forget_blocks(arena);
    aegis_i_arena_release(arena, list);
    aegis_i_budget_give_up(arena->budget);
    if (arena->source.close != NULL && !scope_open)
        arena->source.close(arena->source.context);
    memset(arena, 0, sizeof *arena);
}

void aegis_arena_trim(aegis_arena *arena, size_t keep_bytes) {
    assert(aegis_i_arena_is_valid(arena));
    if (arena->block == NULL)
        return;
    const aegis_arena_mark *floor = aegis_i_arena_floor(arena);
    /* The blocks that were in use when a scope began stay, for the end of the scope and for the
     * marks from before the scope. */
    if (aegis_i_arena_is_unused(arena) && (floor == NULL || floor->block == NULL)) {
        aegis_i_arena_trim_unused(arena, keep_bytes);
        aegis_i_arena_renew(arena);
    } else {
        aegis_i_arena_trim_idle(arena, keep_bytes);
    }
    /* Growth begins again from what is kept, so that the next request does not at once acquire
     * again what was just released. */
    size_t step_bytes =
        aegis_i_max(aegis_i_min(arena->reserved_bytes, PTRDIFF_MAX / 2) * 2, AEGIS_ARENA_MIN_BLOCK);
    arena->next_block_bytes = aegis_i_min(arena->next_block_bytes, step_bytes);
    assert(aegis_i_arena_is_valid(arena));
}

void aegis_arena_clear(aegis_arena *arena) {
    aegis_arena_reset(arena);
    aegis_arena_trim(arena, 0);
}

void aegis_arena_get_stats_sized(const aegis_arena *arena, aegis_arena_stats *stats,
                                 size_t stats_bytes) {
    size_t used_bytes = aegis_i_arena_used(arena);
    size_t peak_used_bytes = aegis_i_max(arena->peak_used_bytes, used_bytes);
    size_t remaining_bytes = (size_t)(aegis_i_arena_end(arena) - arena->ptr);
    aegis_i_arena_fill_stats(stats, stats_bytes, arena->capacity_bytes, arena->reserved_bytes,
                             used_bytes, peak_used_bytes, remaining_bytes,
                             aegis_i_arena_wasted(arena), arena->block_count, arena->acquired_count,
                             arena->released_count, arena->reset_count + arena->scoped_reset_count);
}

const aegis_arena_block *aegis_arena_next_block_sized(const aegis_arena *arena,
                                                      const aegis_arena_block *previous,
                                                      aegis_arena_block_info *info,
                                                      size_t info_bytes) {
    const aegis_arena_block *block = previous == NULL ? arena->first : previous->next;
    if (block == NULL || info == NULL)
        return block;
    /* The blocks behind `last` are idle, so a block behind an idle one is idle too. */
    aegis_arena_block_info filled;
    bool idle = previous != NULL && previous == arena->last;
    if (previous != NULL && !idle) {
        aegis_i_copy_sized(&filled, sizeof filled, info, info_bytes);
        idle = filled.state == AEGIS_ARENA_BLOCK_IDLE;
    }
    const unsigned char *top = block == arena->block ? arena->ptr : block->top;
    memset(&filled, 0, sizeof filled);
    filled.capacity_bytes = aegis_i_block_capacity(block);
    filled.used_bytes = idle ? 0 : (size_t)(top - aegis_i_block_start(block));
    filled.state = block == arena->block ? AEGIS_ARENA_BLOCK_CURRENT
                   : idle                ? AEGIS_ARENA_BLOCK_IDLE
                                         : AEGIS_ARENA_BLOCK_CLOSED;
    filled.start = aegis_i_block_start(block);
    aegis_i_copy_sized(info, info_bytes, &filled, sizeof filled);
    return block;
}
