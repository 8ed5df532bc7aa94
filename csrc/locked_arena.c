/* SPDX-License-Identifier: Apache-2.0 */
/* An arena behind a mutex. The lock is held to find room, not to fill it. What frees has the arena
 * alone and takes the lock for a moment only, to find out whether the arena is whole: after a fork
 * it may be half changed, and then no function of arena.h may touch it. */
#include "aegis_memory/locked_arena.h"
#include "internal.h"
#include "mutex.h"

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

/* Takes the lock, for one request. NULL: the arena is lost in this process. */
static aegis_arena *enter(const aegis_locked_arena *arena) {
    return aegis_i_mutex_lock(&arena->shared->lock) ? &arena->shared->arena : NULL;
}

/* The arena, for a call that has it alone. NULL: it is lost in this process. */
static aegis_arena *whole(const aegis_locked_arena *arena) {
    aegis_arena *inner = enter(arena);
    if (inner != NULL)
        aegis_i_mutex_unlock(&arena->shared->lock);
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

/* Gives the lock back, and the reason of a failure to who wants it. */
static void *leave(const aegis_locked_arena *arena, void *memory, aegis_error *error) {
    if (memory == NULL && error != NULL)
        aegis_arena_last_error(&arena->shared->arena, error);
    aegis_i_mutex_unlock(&arena->shared->lock);
    return memory;
}

void *aegis_locked_arena_alloc(const aegis_locked_arena *arena, size_t size_bytes,
                               aegis_error *error) {
    aegis_arena *inner = enter(arena);
    if (inner == NULL)
        return fail_forked(size_bytes, AEGIS_ARENA_ALIGN, error);
    return leave(arena, aegis_arena_alloc(inner, size_bytes), error);
}

void *aegis_locked_arena_alloc_zeroed(const aegis_locked_arena *arena, size_t size_bytes,
                                      aegis_error *error) {
    aegis_arena *inner = enter(arena);
    if (inner == NULL)
        return fail_forked(size_bytes, AEGIS_ARENA_ALIGN, error);
    return leave(arena, aegis_arena_alloc_zeroed(inner, size_bytes), error);
}

void *aegis_locked_arena_alloc_aligned(const aegis_locked_arena *arena, size_t size_bytes,
                                       size_t align_bytes, aegis_error *error) {
    aegis_arena *inner = enter(arena);
    if (inner == NULL)
        return fail_forked(size_bytes, align_bytes, error);
    return leave(arena, aegis_arena_alloc_aligned(inner, size_bytes, align_bytes), error);
}

void *aegis_locked_arena_alloc_aligned_zeroed(const aegis_locked_arena *arena, size_t size_bytes,
                                              size_t align_bytes, aegis_error *error) {
    aegis_arena *inner = enter(arena);
    if (inner == NULL)
        return fail_forked(size_bytes, align_bytes, error);
    /* The slow path is complete by itself, and the one that zeroes at an alignment. */
    return leave(arena, aegis_arena_alloc_slow(inner, size_bytes, align_bytes, true), error);
}

bool aegis_locked_arena_resize_in_place(const aegis_locked_arena *arena, void *memory,
                                        size_t old_bytes, size_t new_bytes) {
    aegis_arena *inner = enter(arena);
    if (inner == NULL)
        return false;
    bool resized = aegis_arena_resize_in_place(inner, memory, old_bytes, new_bytes);
    aegis_i_mutex_unlock(&arena->shared->lock);
    return resized;
}

void *aegis_locked_arena_realloc_aligned(const aegis_locked_arena *arena, void *memory,
                                         size_t old_bytes, size_t new_bytes, size_t align_bytes,
                                         aegis_error *error) {
    aegis_arena *inner = enter(arena);
    if (inner == NULL)
        return fail_forked(new_bytes, align_bytes, error);
    return leave(arena,
                 aegis_arena_realloc_aligned(inner, memory, old_bytes, new_bytes, align_bytes),
                 error);
}

void aegis_locked_arena_free_last(const aegis_locked_arena *arena, void *memory,
                                  size_t size_bytes) {
    aegis_arena *inner = enter(arena);
    if (inner == NULL)
        return;
    aegis_arena_free_last(inner, memory, size_bytes);
    aegis_i_mutex_unlock(&arena->shared->lock);
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
    aegis_arena *inner = enter(arena);
    if (inner == NULL) {
        (void)fail_forked(0, AEGIS_ARENA_ALIGN, error);
        return AEGIS_E_FORKED;
    }
    aegis_status status = aegis_arena_defer(inner, function, context);
    (void)leave(arena, status == AEGIS_OK ? arena->shared : NULL, error);
    return status;
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
    aegis_i_mutex_unlock(&arena->shared->lock);
}
