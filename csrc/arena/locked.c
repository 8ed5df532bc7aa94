/* SPDX-License-Identifier: Apache-2.0 */
/* An arena behind a mutex.
 *
 * Invariants:
 * 1. Allocating, resizing, deferring and reading the statistics use the changing fields of the
 *    arena only under the lock (enter, leave). The lock is held to find room, not to fill it: bytes
 *    are copied when the lock is free. What the arena itself writes, such as zeros and guards, it
 *    writes under the lock.
 * 2. Reset, trim, clear, fini and a move have the arena alone, as the public header demands. They
 * take the lock for a moment only (whole), to find out whether the arena is usable in this process.
 * 3. No function of the user runs under the lock. Only step 2 of an allocation calls such functions
 *    (see chain.c), and serve_and_leave gives the lock back before step 2 and takes it again for
 *    step 3. The fast paths of arena.h could do all three steps, so they are called only if is_fast
 *    has found that the first one succeeds. Damage to guards is reported after leave.
 * 4. After a fork the arena may be half changed. Then aegis_i_mutex_lock fails, so enter returns
 *    NULL, and no function of arena.h touches the arena.
 *
 * So while a thread acquires a block, other threads can allocate, and the source and the pressure
 * functions can use the arena. Step 3 is right after such changes, because it looks for room again
 * before it uses the new block. */
#include "aegis_memory/locked_arena.h"
#include "../base/error_record.h"
#include "../base/mutex.h"
#include "blocks.h"
#include "chain.h"
#include "defer.h"
#include "resize.h"

#include <stdlib.h>

struct aegis_locked_arena_shared {
    aegis_i_mutex lock;
    aegis_arena arena;
};

_Static_assert(_Alignof(aegis_locked_arena_shared) <= AEGIS_I_HEAP_ALIGN, "malloc aligns so");

aegis_status aegis_locked_arena_init_sized(aegis_locked_arena *arena,
                                           const aegis_arena_options *options, size_t options_bytes,
                                           aegis_error *error) {
    arena->shared = NULL;
    aegis_locked_arena_shared *shared = (aegis_locked_arena_shared *)malloc(sizeof *shared);
    if (shared == NULL) {
        aegis_error unwanted;
        return aegis_i_error_bytes(error != NULL ? error : &unwanted, AEGIS_E_OUT_OF_MEMORY,
                                   sizeof *shared, AEGIS_ARENA_ALIGN);
    }
    aegis_status status = aegis_arena_init_sized(&shared->arena, options, options_bytes);
    if (status != AEGIS_OK) {
        if (error != NULL)
            aegis_arena_last_error(&shared->arena, error);
        free(shared);
        return status;
    }
    aegis_i_mutex_init_staying(&shared->lock);
    arena->shared = shared;
    return AEGIS_OK;
}

/* Takes the lock, in order to read or change the arena. No function of the user runs under it.
 * NULL: the arena is lost in this process. */
static aegis_arena *enter(const aegis_locked_arena *arena) {
    return aegis_i_mutex_lock(&arena->shared->lock) ? &arena->shared->arena : NULL;
}

/* Gives the lock back. */
static void leave(const aegis_locked_arena *arena) {
    aegis_i_mutex_unlock(&arena->shared->lock);
}

/* Returns the arena for a call that has it alone. NULL: the arena is lost in this process. */
static aegis_arena *whole(const aegis_locked_arena *arena) {
    aegis_arena *inner = enter(arena);
    if (inner != NULL)
        leave(arena);
    return inner;
}

/* Reports that the arena is lost in this process. */
static void *fail_forked(size_t size_bytes, size_t align_bytes, aegis_error *error) {
    if (error != NULL)
        (void)aegis_i_error_bytes(error, AEGIS_E_FORKED, size_bytes, align_bytes);
    return NULL;
}

void aegis_locked_arena_fini(aegis_locked_arena *arena) {
    if (arena == NULL || arena->shared == NULL)
        return;
    aegis_arena *inner = whole(arena);
    /* The blocks of a lost arena cannot be found, so they are not released. */
    if (inner != NULL) {
        aegis_arena_fini(inner);
        aegis_i_mutex_fini(&arena->shared->lock);
        free(arena->shared);
    }
    arena->shared = NULL;
}

/* Gives the lock back at the end of a request. If the request failed, first copies the error
 * record, which is still that of this request. */
static void *leave_with(const aegis_locked_arena *arena, void *memory, aegis_error *error) {
    if (memory == NULL && error != NULL)
        aegis_arena_last_error(&arena->shared->arena, error);
    leave(arena);
    return memory;
}

/* Allocates. The lock is held at the call, and free at the return. While a block is acquired the
 * lock is free, so other threads can allocate, and so can the source and the pressure functions. */
static void *serve_and_leave(const aegis_locked_arena *arena, aegis_i_request *request,
                             aegis_error *error) {
    aegis_arena *inner = &arena->shared->arena;
    size_t size_bytes = request->size_bytes, align_bytes = request->align_bytes;
    void *memory = aegis_i_arena_serve(inner, request);
    while (request->block_bytes != 0) {
        leave(arena);
        bool block_zeroed;
        aegis_i_refusal why;
        void *block = aegis_i_arena_acquire(inner, request->block_bytes,
                                            aegis_i_wants_more(request), &block_zeroed, &why);
        if (enter(arena) == NULL) {
            /* The source has forked, and this is the child process. */
            if (block != NULL)
                aegis_i_give_back(&inner->source, inner->budget, block, request->block_bytes,
                                  AEGIS_I_BLOCK_ALIGN);
            return fail_forked(size_bytes, align_bytes, error);
        }
        memory = aegis_i_arena_receive(inner, request, block, block_zeroed, &why);
    }
    return leave_with(arena, memory, error);
}

static void *alloc_and_leave(const aegis_locked_arena *arena, size_t size_bytes, size_t align_bytes,
                             bool zeroed, aegis_error *error) {
    aegis_i_request request = {size_bytes, align_bytes, 0, 0, zeroed, false, false, false};
    return serve_and_leave(arena, &request, error);
}

/* Allocates in place of a smaller allocation. If this needs a new block, the block has room behind
 * the allocation to grow into. The Rust wrapper calls it too. */
AEGIS_I_HIDDEN void *aegis_i_locked_alloc_regrown(const aegis_locked_arena *arena,
                                                  size_t size_bytes, size_t align_bytes,
                                                  aegis_error *error);

void *aegis_i_locked_alloc_regrown(const aegis_locked_arena *arena, size_t size_bytes,
                                   size_t align_bytes, aegis_error *error) {
    if (enter(arena) == NULL)
        return fail_forked(size_bytes, align_bytes, error);
    aegis_i_request request = {size_bytes, align_bytes, 0, 0, false, false, true, false};
    return serve_and_leave(arena, &request, error);
}

/* Whether the fast paths of arena.h serve the request. Then they call no function of the user. */
static inline bool is_fast(const aegis_arena *arena, size_t size_bytes, size_t align_bytes) {
    size_t room_bytes = (size_t)(arena->limit - arena->ptr);
    size_t pad_bytes = aegis_i_padding(arena->ptr, align_bytes);
    return aegis_i_is_power_of_two(align_bytes) && pad_bytes <= room_bytes &&
           size_bytes <= room_bytes - pad_bytes;
}

/* Allocates; the other half of the functions below. If `entered` is true, the caller has taken the
 * lock. */
static AEGIS_I_COLD void *alloc_slow(const aegis_locked_arena *arena, bool entered,
                                     size_t size_bytes, size_t align_bytes, aegis_error *error) {
    if (!entered && !aegis_i_mutex_lock_contended(&arena->shared->lock))
        return fail_forked(size_bytes, align_bytes, error);
    return alloc_and_leave(arena, size_bytes, align_bytes, false, error);
}

/* The usual case calls no function, so it saves no registers. */
static inline void *alloc(const aegis_locked_arena *arena, size_t size_bytes, size_t align_bytes,
                          aegis_error *error) {
    aegis_arena *inner = &arena->shared->arena;
    bool entered = aegis_i_mutex_try_lock(&arena->shared->lock);
    if (AEGIS_UNLIKELY(!entered || !is_fast(inner, size_bytes, align_bytes)))
        return alloc_slow(arena, entered, size_bytes, align_bytes, error);
    unsigned char *memory = inner->ptr + aegis_i_padding(inner->ptr, align_bytes);
    inner->ptr = memory + aegis_i_round_up(size_bytes, AEGIS_ARENA_ALIGN);
    leave(arena);
    return memory;
}

void *aegis_locked_arena_alloc(const aegis_locked_arena *arena, size_t size_bytes,
                               aegis_error *error) {
    return alloc(arena, size_bytes, AEGIS_ARENA_ALIGN, error);
}

void *aegis_locked_arena_alloc_zeroed(const aegis_locked_arena *arena, size_t size_bytes,
                                      aegis_error *error) {
    aegis_arena *inner = enter(arena);
    if (inner == NULL)
        return fail_forked(size_bytes, AEGIS_ARENA_ALIGN, error);
    if (!is_fast(inner, size_bytes, AEGIS_ARENA_ALIGN))
        return alloc_and_leave(arena, size_bytes, AEGIS_ARENA_ALIGN, true, error);
    void *memory = aegis_arena_alloc_zeroed(inner, size_bytes);
    leave(arena);
    return memory;
}

void *aegis_locked_arena_alloc_aligned(const aegis_locked_arena *arena, size_t size_bytes,
                                       size_t align_bytes, aegis_error *error) {
    return alloc(arena, size_bytes, align_bytes, error);
}

void *aegis_locked_arena_alloc_aligned_zeroed(const aegis_locked_arena *arena, size_t size_bytes,
                                              size_t align_bytes, aegis_error *error) {
    if (enter(arena) == NULL)
        return fail_forked(size_bytes, align_bytes, error);
    return alloc_and_leave(arena, size_bytes, align_bytes, true, error);
}

bool aegis_locked_arena_resize_in_place(const aegis_locked_arena *arena, void *memory,
                                        size_t old_bytes, size_t new_bytes) {
    aegis_arena *inner = memory != NULL ? enter(arena) : NULL;
    if (inner == NULL)
        return false;
    aegis_i_damage damage = {AEGIS_I_INTACT, 0, 0};
    bool resized =
        aegis_i_arena_resize(inner, (unsigned char *)memory, old_bytes, new_bytes, &damage);
    leave(arena);
    aegis_i_guard_report(inner, &damage);
    return resized;
}

void *aegis_locked_arena_realloc_aligned(const aegis_locked_arena *arena, void *memory,
                                         size_t old_bytes, size_t new_bytes, size_t align_bytes,
                                         aegis_error *error) {
    if (memory == NULL)
        return aegis_locked_arena_alloc_aligned(arena, new_bytes, align_bytes, error);
    if (aegis_locked_arena_resize_in_place(arena, memory, old_bytes, new_bytes))
        return memory;
    /* Only the caller uses the old and the new place, so the bytes are copied without the lock. */
    void *moved = aegis_i_locked_alloc_regrown(arena, new_bytes, align_bytes, error);
    if (moved == NULL)
        return NULL;
    memcpy(moved, memory, old_bytes);
    aegis_locked_arena_free_last(arena, memory, old_bytes);
    return moved;
}

void aegis_locked_arena_free_last(const aegis_locked_arena *arena, void *memory,
                                  size_t size_bytes) {
    if (memory == NULL)
        return;
    aegis_i_damage damage = {AEGIS_I_INTACT, 0, 0};
    aegis_arena *inner = enter(arena);
    if (inner == NULL)
        return;
    aegis_i_arena_free_last(inner, memory, size_bytes, &damage);
    leave(arena);
    aegis_i_guard_report(inner, &damage);
}

void *aegis_locked_arena_memdup(const aegis_locked_arena *arena, const void *bytes,
                                size_t size_bytes, aegis_error *error) {
    void *copy = aegis_locked_arena_alloc(arena, size_bytes, error);
    if (copy != NULL && size_bytes != 0)
        memcpy(copy, bytes, size_bytes);
    return copy;
}

char *aegis_locked_arena_strdup(const aegis_locked_arena *arena, const char *text,
                                aegis_error *error) {
    return (char *)aegis_locked_arena_memdup(arena, text, strlen(text) + 1, error);
}

aegis_status aegis_locked_arena_defer(const aegis_locked_arena *arena,
                                      aegis_arena_defer_fn function, void *context,
                                      aegis_error *error) {
    aegis_error unwanted;
    error = error != NULL ? error : &unwanted;
    if (function == NULL)
        return aegis_i_error_refuse(error, AEGIS_E_INVALID, AEGIS_WHAT_FUNCTION, 0, 0);
    aegis_arena_deferred *entry =
        (aegis_arena_deferred *)aegis_locked_arena_alloc(arena, sizeof *entry, error);
    if (entry == NULL)
        return error->status;
    aegis_arena *inner = enter(arena);
    if (inner == NULL) {
        (void)fail_forked(sizeof *entry, AEGIS_ARENA_ALIGN, error);
        return AEGIS_E_FORKED;
    }
    aegis_i_arena_chain_deferred(inner, entry, function, context);
    leave(arena);
    return AEGIS_OK;
}

void aegis_locked_arena_reset(aegis_locked_arena *arena) {
    aegis_arena *inner = whole(arena);
    if (inner != NULL)
        aegis_arena_reset(inner);
}

void aegis_locked_arena_trim(aegis_locked_arena *arena, size_t keep_bytes) {
    aegis_arena *inner = whole(arena);
    if (inner != NULL)
        aegis_arena_trim(inner, keep_bytes);
}

void aegis_locked_arena_clear(aegis_locked_arena *arena) {
    aegis_arena *inner = whole(arena);
    if (inner != NULL)
        aegis_arena_clear(inner);
}

aegis_status aegis_locked_arena_move_budget(aegis_locked_arena *arena, aegis_budget *budget,
                                            aegis_error *error) {
    aegis_arena *inner = whole(arena);
    if (inner != NULL)
        return aegis_arena_move_budget(inner, budget, error);
    (void)fail_forked(0, 0, error);
    return AEGIS_E_FORKED;
}

void aegis_locked_arena_get_stats_sized(const aegis_locked_arena *arena, aegis_arena_stats *stats,
                                        size_t stats_bytes) {
    aegis_arena *inner = enter(arena);
    memset(stats, 0, stats_bytes);
    if (inner == NULL)
        return;
    aegis_arena_get_stats_sized(inner, stats, stats_bytes);
    leave(arena);
}
