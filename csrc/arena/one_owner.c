/* SPDX-License-Identifier: Apache-2.0 */
/* The arena's public functions: making, resizing, trimming, figures. Which block an allocation goes
 * to is decided in arena_block.c; going back is in arena_mark.c. */
#include "aegis_memory/arena.h"
#include "../base/harden.h"
#include "../internal.h"

/* Where `ptr` and `limit` of an arena without blocks point: never written, in read-only memory. */
static const _Alignas(AEGIS_ARENA_ALIGN) unsigned char nowhere[AEGIS_ARENA_ALIGN] = {0};

/* Leaves the arena without blocks; its other fields are untouched. */
void aegis_i_arena_forget_blocks(aegis_arena *arena) {
    arena->block = arena->first = arena->last = NULL;
    arena->deferred = NULL;
    arena->guards = NULL;
    arena->closed_bytes = arena->wasted_bytes = arena->guards_bytes = 0;
    arena->dirty_end = (unsigned char *)(uintptr_t)nowhere;
    aegis_i_arena_set_ptr(arena, (unsigned char *)(uintptr_t)nowhere);
}

/* Lays the first block over the caller's memory, as far as it has room for one. */
static void adopt_memory(aegis_arena *arena, unsigned char *memory, size_t memory_bytes) {
    size_t pad_bytes = aegis_i_padding(memory, AEGIS_I_BLOCK_ALIGN);
    if (memory_bytes < pad_bytes + AEGIS_I_BLOCK_HEAD ||
        (uintptr_t)memory > AEGIS_I_TOP - memory_bytes)
        return;
    aegis_arena_block *block = aegis_i_block_lay(memory + pad_bytes, memory_bytes - pad_bytes,
                                                 false, AEGIS_I_BLOCK_CALLER);
    arena->capacity_bytes = aegis_i_block_capacity(block);
    arena->block_count = 1;
    aegis_i_arena_enter(arena, block);
}

aegis_status aegis_i_arena_refuse(aegis_arena *arena, aegis_status status, uint32_t what,
                                  size_t asked, size_t allowed) {
    const aegis_i_refusal why = {status, NULL, 0, 0};
    (void)aegis_i_arena_fail(arena, &why, asked, AEGIS_ARENA_ALIGN);
    arena->failed_limit_bytes = allowed;
    arena->failed_what = what;
    return status;
}

/* Checks the options for an arena that is all-zero, and keeps what is wrong with them in it. */
static aegis_status check_options(aegis_arena *arena, const aegis_arena_options *options) {
    const uint32_t known = AEGIS_ARENA_WIPE | AEGIS_ARENA_FILL | AEGIS_ARENA_GUARD |
                           AEGIS_ARENA_OWN_BLOCKS | AEGIS_ARENA_NO_DEBUG;
    const size_t most_bytes = PTRDIFF_MAX - AEGIS_I_BLOCK_HEAD - AEGIS_I_BLOCK_ALIGN;
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

/* Sets the flags, and what follows from them. */
static void set_flags(aegis_arena *arena, uint32_t flags) {
    if (AEGIS_I_DEBUG && (flags & AEGIS_ARENA_NO_DEBUG) == 0)
        flags |= AEGIS_ARENA_FILL | AEGIS_ARENA_GUARD;
    if (AEGIS_I_CHECKED) {
        /* The checker's own gap does what a guard would, and at once. */
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

/* Chooses the step limits. A step must leave room for something behind the block's head, and for
 * doubling. */
static void set_steps(aegis_arena *arena, const aegis_arena_options *options) {
    size_t max_bytes =
        options->max_block_bytes != 0 ? options->max_block_bytes : AEGIS_ARENA_MAX_BLOCK;
    size_t first_bytes = options->memory != NULL ? options->memory_bytes
                         : options->capacity_bytes != 0
                             ? AEGIS_I_BLOCK_HEAD + options->capacity_bytes
                             : 0;
    size_t step_bytes =
        aegis_i_max(aegis_i_min(first_bytes, PTRDIFF_MAX / 2) * 2, AEGIS_ARENA_MIN_BLOCK);
    arena->max_block_bytes =
        aegis_i_max(aegis_i_min(max_bytes, PTRDIFF_MAX / 2), 2 * AEGIS_I_BLOCK_HEAD);
    arena->next_block_bytes = aegis_i_min(step_bytes, arena->max_block_bytes);
}

/* Fails an init: the arena is all-zero but for the error record. */
static aegis_status fail_init(aegis_arena *arena, const aegis_i_refusal *why, size_t size_bytes) {
    memset(arena, 0, sizeof *arena);
    (void)aegis_i_arena_fail(arena, why, size_bytes, AEGIS_ARENA_ALIGN);
    return why->status;
}

aegis_status aegis_arena_init(aegis_arena *arena, const aegis_arena_options *options) {
    static const aegis_arena_options defaults = {0, 0, NULL, NULL, 0, NULL, NULL, 0};
    if (options == NULL)
        options = &defaults;
    memset(arena, 0, sizeof *arena);
    aegis_status status = check_options(arena, options);
    if (status != AEGIS_OK)
        return status;
    aegis_i_refusal why = {AEGIS_OK, NULL, 0, 0};

    set_flags(arena, options->flags);
    set_steps(arena, options);
    if (options->source != NULL)
        arena->source = *options->source;
    else if (options->memory != NULL)
        /* There are no other blocks to be had than the caller's. */
        arena->flags = (arena->flags & ~AEGIS_ARENA_OWN_BLOCKS) | AEGIS_I_ARENA_FIXED;
    else
        arena->source = aegis_source_heap();
    if (options->name != NULL)
        aegis_i_copy_name(arena->name, options->name, AEGIS_ARENA_NAME_BYTES);
    arena->budget = options->budget;
    aegis_i_arena_forget_blocks(arena);
    if (options->memory != NULL)
        adopt_memory(arena, (unsigned char *)options->memory, options->memory_bytes);

    size_t first_bytes =
        aegis_i_round_up(AEGIS_I_BLOCK_HEAD + options->capacity_bytes, AEGIS_I_BLOCK_ALIGN);
    if (options->capacity_bytes != 0) {
        bool zeroed;
        void *first = aegis_i_arena_acquire(arena, first_bytes, &zeroed, &why);
        if (first == NULL)
            return fail_init(arena, &why, options->capacity_bytes);
        (void)aegis_i_arena_add(arena, first, first_bytes, zeroed);
    }
    if (arena->budget != NULL)
        (void)aegis_budget_retain(arena->budget);
    assert(aegis_i_arena_is_valid(arena));
    return AEGIS_OK;
}

/* Runs what was deferred after `stop`, newest first. Each entry is taken off before it runs, so
 * the arena is consistent whatever the function does with it. */
void aegis_i_arena_run_deferred(aegis_arena *arena, const aegis_arena_deferred *stop) {
    while (arena->deferred != stop && arena->deferred != NULL) {
        aegis_arena_deferred *entry = arena->deferred;
        arena->deferred = entry->next;
        entry->function(entry->context);
    }
}

void aegis_arena_clear(aegis_arena *arena) {
    aegis_arena_reset(arena);
    aegis_arena_trim(arena, 0);
}

/* Whether a scope's arena has the memory from before the scope: it is not its to change. */
static bool is_older_than_scope(const aegis_arena *arena, const unsigned char *p) {
    const aegis_arena_mark *floor = aegis_i_arena_floor(arena);
    if (floor == NULL || floor->block == NULL)
        return false;
    const aegis_arena_block *block = arena->first;
    while (block != floor->last && (p < aegis_i_block_start(block) || p > block->end))
        block = block->next;
    if (p < aegis_i_block_start(block) || p > block->end)
        return false;
    return block != floor->block || p < floor->ptr;
}

/* Whether the allocation lies at the end of what the current block has handed out, to be freed or
 * resized there. */
static bool is_latest(const aegis_arena *arena, const unsigned char *p, size_t size_bytes) {
    const aegis_arena_mark *floor = aegis_i_arena_floor(arena);
    if (floor != NULL && floor->block == arena->block && p < floor->ptr)
        return false;
    return arena->block != NULL && p >= aegis_i_block_start(arena->block) && p <= arena->ptr &&
           size_bytes <= (size_t)(arena->ptr - p) &&
           p + aegis_i_round_up(size_bytes, AEGIS_ARENA_ALIGN) + arena->guard_bytes == arena->ptr;
}

/* Cleans the last bytes of the allocation at `p`, which is given up, and hides them. */
static void drop_bytes(const aegis_arena *arena, unsigned char *p, unsigned char *from,
                       size_t size_bytes) {
    const uint32_t cleaned = AEGIS_ARENA_WIPE | AEGIS_ARENA_FILL;
    if (!AEGIS_I_CHECKED && (arena->flags & cleaned) == 0)
        return;
    if (is_older_than_scope(arena, p))
        return;
    aegis_i_clean_bytes(arena, from, size_bytes);
    AEGIS_I_HIDE(from, size_bytes);
}

void aegis_i_arena_free_last(aegis_arena *arena, void *memory, size_t size_bytes,
                             aegis_i_damage *damage) {
    if (is_latest(arena, (unsigned char *)memory, size_bytes)) {
        aegis_i_arena_sync_block(arena);
        aegis_i_guard_drop(arena, (unsigned char *)memory, size_bytes, damage);
        aegis_i_arena_set_ptr(arena, (unsigned char *)memory);
    }
    drop_bytes(arena, (unsigned char *)memory, (unsigned char *)memory, size_bytes);
}

void aegis_arena_free_last(aegis_arena *arena, void *memory, size_t size_bytes) {
    if (memory == NULL)
        return;
    aegis_i_damage damage = {AEGIS_I_INTACT, 0, 0};
    aegis_i_arena_free_last(arena, memory, size_bytes, &damage);
    aegis_i_guard_report(arena, &damage);
}

/* Resizes the latest allocation where it is. False when the block has no room for it. */
static bool resize_latest(aegis_arena *arena, unsigned char *p, size_t old_bytes, size_t new_bytes,
                          aegis_i_damage *damage) {
    size_t room_bytes = (size_t)(aegis_i_arena_end(arena) - p);
    if (new_bytes > room_bytes)
        return false;
    size_t span_bytes = aegis_i_round_up(new_bytes, AEGIS_ARENA_ALIGN) + arena->guard_bytes;
    if (span_bytes > room_bytes)
        return false;
    aegis_i_arena_sync_block(arena);
    aegis_i_guard_drop(arena, p, old_bytes, damage);
    if (new_bytes > old_bytes) {
        aegis_i_show_fresh(arena, p + old_bytes, new_bytes - old_bytes);
    } else {
        aegis_i_clean_bytes(arena, p + new_bytes, old_bytes - new_bytes);
        AEGIS_I_HIDE(p + new_bytes, old_bytes - new_bytes);
    }
    if ((arena->flags & AEGIS_ARENA_GUARD) != 0)
        aegis_i_guard_set(arena, p, new_bytes);
    aegis_i_arena_set_ptr(arena, p + span_bytes);
    return true;
}

bool aegis_i_arena_resize(aegis_arena *arena, unsigned char *p, size_t old_bytes, size_t new_bytes,
                          aegis_i_damage *damage) {
    assert(aegis_i_arena_is_valid(arena));
    if (is_latest(arena, p, old_bytes) && resize_latest(arena, p, old_bytes, new_bytes, damage))
        return true;
    if (new_bytes > old_bytes)
        return false;
    drop_bytes(arena, p, p + new_bytes, old_bytes - new_bytes);
    return true;
}

bool aegis_arena_resize_in_place(aegis_arena *arena, void *memory, size_t old_bytes,
                                 size_t new_bytes) {
    aegis_i_damage damage = {AEGIS_I_INTACT, 0, 0};
    bool resized = memory != NULL && aegis_i_arena_resize(arena, (unsigned char *)memory, old_bytes,
                                                          new_bytes, &damage);
    aegis_i_guard_report(arena, &damage);
    return resized;
}

void *aegis_arena_realloc_aligned(aegis_arena *arena, void *memory, size_t old_bytes,
                                  size_t new_bytes, size_t align_bytes) {
    if (memory == NULL)
        return aegis_arena_alloc_aligned(arena, new_bytes, align_bytes);
    if (aegis_arena_resize_in_place(arena, memory, old_bytes, new_bytes))
        return memory;
    void *moved = aegis_i_arena_alloc_regrown(arena, new_bytes, align_bytes);
    if (moved == NULL)
        return NULL;
    memcpy(moved, memory, old_bytes);
    aegis_arena_free_last(arena, memory, old_bytes);
    return moved;
}

void *aegis_arena_realloc(aegis_arena *arena, void *memory, size_t old_bytes, size_t new_bytes) {
    return aegis_arena_realloc_aligned(arena, memory, old_bytes, new_bytes, AEGIS_ARENA_ALIGN);
}

void *aegis_arena_memdup(aegis_arena *arena, const void *bytes, size_t size_bytes) {
    void *copy = aegis_arena_alloc(arena, size_bytes);
    if (copy != NULL && size_bytes != 0)
        memcpy(copy, bytes, size_bytes);
    return copy;
}

char *aegis_arena_strdup(aegis_arena *arena, const char *text) {
    return (char *)aegis_arena_memdup(arena, text, strlen(text) + 1);
}

aegis_status aegis_arena_defer(aegis_arena *arena, aegis_arena_defer_fn function, void *context) {
    if (function == NULL)
        return aegis_i_arena_refuse(arena, AEGIS_E_INVALID, AEGIS_WHAT_FUNCTION, 0, 0);
    aegis_arena_deferred *entry = (aegis_arena_deferred *)aegis_arena_alloc(arena, sizeof *entry);
    if (entry == NULL)
        return arena->failed_status;
    aegis_i_arena_chain_deferred(arena, entry, function, context);
    return AEGIS_OK;
}

void aegis_arena_fini(aegis_arena *arena) {
    if (arena == NULL || arena->ptr == NULL)
        return;
    assert(aegis_i_arena_is_valid(arena));
    if ((arena->flags & AEGIS_I_ARENA_SCOPED) != 0) {
        /* Its blocks are the outer arena's, and the scope is still to be ended. */
        if (AEGIS_I_DEBUG)
            aegis_i_report("arena '%s': the arena of a scope was finished", arena->name);
        aegis_arena_reset(arena);
        return;
    }
    bool scope_open = aegis_i_arena_leave_scopes(arena);
    if (AEGIS_I_DEBUG && scope_open)
        aegis_i_report("arena '%s' finished with a scope open", arena->name);
    aegis_i_arena_run_deferred(arena, NULL);
    /* From now on the source finds an arena that gets no more, nor has what it takes back. */
    arena->source.acquire = NULL;
    aegis_i_arena_free_since(arena, NULL);
    aegis_arena_block *list = arena->first;
    aegis_i_arena_forget_blocks(arena);
    aegis_i_arena_release(arena, list);
    aegis_budget_destroy(arena->budget);
    if (arena->source.close != NULL && !scope_open)
        arena->source.close(arena->source.context);
    memset(arena, 0, sizeof *arena);
}

/* Splits the list: blocks that fit into `keep_bytes`, first come, first kept, and the caller's,
 * stay; the rest is returned. */
static aegis_arena_block *split_off(aegis_arena_block **list, size_t keep_bytes) {
    aegis_arena_block *released = NULL;
    while (*list != NULL) {
        aegis_arena_block *block = *list;
        bool callers = (block->flags & AEGIS_I_BLOCK_CALLER) != 0;
        if (callers || block->total_bytes <= keep_bytes) {
            keep_bytes -= callers ? 0 : block->total_bytes;
            list = &block->next;
        } else {
            *list = block->next;
            block->next = released;
            released = block;
        }
    }
    return released;
}

void aegis_i_arena_trim_unused(aegis_arena *arena, size_t keep_bytes) {
    aegis_arena_block *list = arena->first;
    aegis_i_guard_check(arena, 0);
    aegis_i_arena_sync_block(arena);
    aegis_arena_block *released = split_off(&list, keep_bytes);
    aegis_i_arena_forget_blocks(arena);
    if (list != NULL)
        aegis_i_arena_enter(arena, list);
    /* Last: the source may use the arena as it takes them back. */
    aegis_i_arena_release(arena, released);
}

void aegis_arena_trim(aegis_arena *arena, size_t keep_bytes) {
    assert(aegis_i_arena_is_valid(arena));
    if (arena->block == NULL)
        return;
    const aegis_arena_mark *floor = aegis_i_arena_floor(arena);
    /* The blocks in use when a scope began stay for its end, and for the marks from before. */
    if (aegis_i_arena_is_unused(arena) && (floor == NULL || floor->block == NULL)) {
        aegis_i_arena_trim_unused(arena, keep_bytes);
        aegis_i_arena_renew(arena);
    } else {
        size_t idle_bytes = 0;
        for (aegis_arena_block *block = arena->last->next; block != NULL; block = block->next)
            idle_bytes += block->total_bytes;
        size_t busy_bytes = arena->reserved_bytes - idle_bytes;
        size_t keep_idle_bytes = keep_bytes > busy_bytes ? keep_bytes - busy_bytes : 0;
        aegis_i_arena_release(arena, split_off(&arena->last->next, keep_idle_bytes));
    }
    /* Growth begins anew from what is kept: the next request is not to bring back at once what has
     * just been given up. */
    size_t step_bytes =
        aegis_i_max(aegis_i_min(arena->reserved_bytes, PTRDIFF_MAX / 2) * 2, AEGIS_ARENA_MIN_BLOCK);
    arena->next_block_bytes = aegis_i_min(arena->next_block_bytes, step_bytes);
    assert(aegis_i_arena_is_valid(arena));
}

void aegis_arena_get_stats(const aegis_arena *arena, aegis_arena_stats *stats) {
    size_t used_bytes = aegis_i_arena_used(arena);
    stats->capacity_bytes = arena->capacity_bytes;
    stats->reserved_bytes = arena->reserved_bytes;
    stats->used_bytes = used_bytes;
    stats->peak_used_bytes = aegis_i_max(arena->peak_used_bytes, used_bytes);
    stats->remaining_bytes = (size_t)(aegis_i_arena_end(arena) - arena->ptr);
    stats->wasted_bytes = arena->wasted_bytes;
    stats->block_count = arena->block_count;
    stats->acquired_count = arena->acquired_count;
    stats->released_count = arena->released_count;
    stats->reset_count = arena->reset_count;
}

const aegis_arena_block *aegis_arena_next_block(const aegis_arena *arena,
                                                const aegis_arena_block *previous,
                                                aegis_arena_block_info *info) {
    const aegis_arena_block *block = previous == NULL ? arena->first : previous->next;
    if (block == NULL || info == NULL)
        return block;
    /* Idle blocks begin behind `last`; what was idle before stays idle. */
    bool idle =
        previous != NULL && (previous == arena->last || info->state == AEGIS_ARENA_BLOCK_IDLE);
    const unsigned char *top = block == arena->block ? arena->ptr : block->top;
    info->capacity_bytes = aegis_i_block_capacity(block);
    info->used_bytes = idle ? 0 : (size_t)(top - aegis_i_block_start(block));
    info->state = block == arena->block ? AEGIS_ARENA_BLOCK_CURRENT
                  : idle                ? AEGIS_ARENA_BLOCK_IDLE
                                        : AEGIS_ARENA_BLOCK_CLOSED;
    return block;
}

void aegis_arena_last_error(const aegis_arena *arena, aegis_error *error) {
    aegis_status status = arena->failed_status;
    uint32_t what = arena->failed_what;
    if (what != AEGIS_WHAT_BYTES) {
        (void)aegis_i_error_refuse(error, status, what, arena->failed_bytes,
                                   arena->failed_limit_bytes);
        return;
    }
    (void)aegis_i_error_bytes(error, status, arena->failed_bytes, arena->failed_align_bytes);
    error->in_use_bytes = arena->failed_in_use_bytes;
    if (status != AEGIS_E_INVALID_LAYOUT)
        error->limit_bytes = arena->failed_limit_bytes;
    else if (arena->failed_limit_bytes != 0)
        error->allowed = arena->failed_limit_bytes;
    error->refused = arena->failed_budget;
    /* Bytes are refused so by a local handle that is stale. */
    if (status == AEGIS_E_INVALID)
        error->what = AEGIS_WHAT_HANDLE;
}

size_t aegis_arena_explain(const aegis_arena *arena, char *buffer, size_t buffer_bytes) {
    aegis_error error;
    aegis_arena_last_error(arena, &error);
    return aegis_error_explain(&error, buffer, buffer_bytes);
}
