/* SPDX-License-Identifier: Apache-2.0 */
/* An arena behind a mutex. The lock is held to find room, not to fill it, and not while a block is
 * acquired: see the three steps of an allocation in chain.c. What frees has the arena alone
 * and takes the lock for a moment only, to find out whether the arena is whole: after a fork it may
 * be half changed, and then no function of arena.h may touch it. */
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

aegis_status aegis_locked_arena_init(aegis_locked_arena *arena, const aegis_arena_options *options,
                                     aegis_error *error) {
    arena->shared = NULL;
    aegis_locked_arena_shared *shared = (aegis_locked_arena_shared *)malloc(sizeof *shared);
    if (shared == NULL) {
        aegis_error unwanted;
        return aegis_i_error_bytes(error != NULL ? error : &unwanted, AEGIS_E_OUT_OF_MEMORY,
                                   sizeof *shared, AEGIS_ARENA_ALIGN);
    }
    aegis_status status = aegis_arena_init(&shared->arena, options);
    if (status != AEGIS_OK) {
        if (error != NULL)
            aegis_arena_last_error(&shared->arena, error);
        free(shared);
        return status;
    }
    aegis_i_mutex_init(&shared->lock);
    arena->shared = shared;
    return AEGIS_OK;
}

/* Takes the lock, to look at the arena or change it. No function of the user runs under it. NULL:
 * the arena is lost in this process. */
static aegis_arena *enter(const aegis_locked_arena *arena) {
    return aegis_i_mutex_lock(&arena->shared->lock) ? &arena->shared->arena : NULL;
}

/* Gives the lock back. */
static void leave(const aegis_locked_arena *arena) {
    aegis_i_mutex_unlock(&arena->shared->lock);
}

/* The arena, for a call that has it alone. NULL: it is lost in this process. */
static aegis_arena *whole(const aegis_locked_arena *arena) {
    aegis_arena *inner = enter(arena);
    if (inner != NULL)
        leave(arena);
    return inner;
}

/* Says that the arena is lost in this process. */
static void *fail_forked(size_t size_bytes, size_t align_bytes, aegis_error *error) {
    if (error != NULL)
        (void)aegis_i_error_bytes(error, AEGIS_E_FORKED, size_bytes, align_bytes);
    return NULL;
}

void aegis_locked_arena_fini(aegis_locked_arena *arena) {
    if (arena == NULL || arena->shared == NULL)
        return;
    aegis_arena *inner = whole(arena);
    /* The blocks of one that is lost cannot be told: they stay. */
    if (inner != NULL) {
        aegis_arena_fini(inner);
        aegis_i_mutex_fini(&arena->shared->lock);
        free(arena->shared);
    }
    arena->shared = NULL;
}

/* Gives the lock back at the end of a request, and the reason of a failure, which is still that of
 * this request, to the caller. */
static void *leave_with(const aegis_locked_arena *arena, void *memory, aegis_error *error) {
    if (memory == NULL && error != NULL)
        aegis_arena_last_error(&arena->shared->arena, error);
    leave(arena);
    return memory;
}

/* Allocates, the lock being held, and gives it back. While a block is acquired the lock is free:
 * other threads allocate, and so may the source and the functions told of pressure. */
static void *serve_and_leave(const aegis_locked_arena *arena, aegis_i_request *request,
                             aegis_error *error) {
    aegis_arena *inner = &arena->shared->arena;
    size_t size_bytes = request->size_bytes, align_bytes = request->align_bytes;
    void *memory = aegis_i_arena_serve(inner, request);
    while (request->block_bytes != 0) {
        leave(arena);
        bool block_zeroed;
        aegis_i_refusal why;
        void *block = aegis_i_arena_acquire(inner, request->block_bytes, &block_zeroed, &why);
        if (enter(arena) == NULL) {
            /* The source has forked, and this is the child. */
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
    aegis_i_request request = {size_bytes, align_bytes, 0, 0, zeroed, false, false};
    return serve_and_leave(arena, &request, error);
}

/* Allocates what takes the place of a smaller allocation, with room behind it to grow where a new
 * block is needed for it. The Rust wrapper calls it too. */
AEGIS_I_HIDDEN void *aegis_i_locked_alloc_regrown(const aegis_locked_arena *arena,
                                                  size_t size_bytes, size_t align_bytes,
                                                  aegis_error *error);

void *aegis_i_locked_alloc_regrown(const aegis_locked_arena *arena, size_t size_bytes,
                                   size_t align_bytes, aegis_error *error) {
    if (enter(arena) == NULL)
        return fail_forked(size_bytes, align_bytes, error);
    aegis_i_request request = {size_bytes, align_bytes, 0, 0, false, false, true};
    return serve_and_leave(arena, &request, error);
}

/* Whether the fast paths of arena.h serve the request, and so call no function of the user. */
static inline bool is_fast(const aegis_arena *arena, size_t size_bytes, size_t align_bytes) {
    size_t room_bytes = (size_t)(arena->limit - arena->ptr);
    size_t pad_bytes = aegis_i_padding(arena->ptr, align_bytes);
    return aegis_i_is_power_of_two(align_bytes) && pad_bytes <= room_bytes &&
           size_bytes <= room_bytes - pad_bytes;
}

void *aegis_locked_arena_alloc(const aegis_locked_arena *arena, size_t size_bytes,
                               aegis_error *error) {
    aegis_arena *inner = enter(arena);
    if (inner == NULL)
        return fail_forked(size_bytes, AEGIS_ARENA_ALIGN, error);
    if (!is_fast(inner, size_bytes, AEGIS_ARENA_ALIGN))
        return alloc_and_leave(arena, size_bytes, AEGIS_ARENA_ALIGN, false, error);
    void *memory = aegis_arena_alloc(inner, size_bytes);
    leave(arena);
    return memory;
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
    aegis_arena *inner = enter(arena);
    if (inner == NULL)
        return fail_forked(size_bytes, align_bytes, error);
    if (!is_fast(inner, size_bytes, align_bytes))
        return alloc_and_leave(arena, size_bytes, align_bytes, false, error);
    void *memory = aegis_arena_alloc_aligned(inner, size_bytes, align_bytes);
    leave(arena);
    return memory;
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
    /* Both places are the caller's alone: the bytes are copied with the lock free. */
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

void aegis_locked_arena_get_stats(const aegis_locked_arena *arena, aegis_arena_stats *stats) {
    aegis_arena *inner = enter(arena);
    memset(stats, 0, sizeof *stats);
    if (inner == NULL)
        return;
    aegis_arena_get_stats(inner, stats);
    leave(arena);
}
