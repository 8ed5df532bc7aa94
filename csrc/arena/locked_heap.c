/* SPDX-License-Identifier: Apache-2.0 */
/* A heap behind a mutex.
 *
 * Invariants:
 * 1. Allocating, resizing, freeing, trimming and reading the statistics use the changing fields of
 *    the heap only under the lock (enter, leave). Bytes are copied when the lock is free.
 * 2. Reset, clear, fini and a move have the heap alone, as the public header demands. They take the
 *    lock for a moment only (whole), to find out whether the heap is usable in this process.
 * 3. No function of the user runs under the lock. Only the second step of an allocation and the
 *    release of blocks call such functions (see heap_block.c). serve_and_leave gives the lock back
 *    before the second step and takes it again for the third. Blocks leave the lists under the lock
 *    and are released after leave; so are mistakes reported. The quick lists call nothing.
 * 4. After a fork the heap may be half changed. Then aegis_i_mutex_lock fails, so enter returns
 *    NULL, and nothing touches the heap. */
#include "aegis_memory/locked_arena_heap.h"
#include "../base/error_record.h"
#include "../base/mutex.h"
#include "heap_block.h"

#include <stdlib.h>

struct aegis_locked_arena_heap_shared {
    aegis_i_mutex lock;
    aegis_arena_heap heap;
};

_Static_assert(_Alignof(aegis_locked_arena_heap_shared) <= AEGIS_I_HEAP_ALIGN, "malloc aligns so");

/* The same as in locked.c. */
static aegis_arena_heap *enter(const aegis_locked_arena_heap *heap) {
    return aegis_i_mutex_lock(&heap->shared->lock) ? &heap->shared->heap : NULL;
}

static void leave(const aegis_locked_arena_heap *heap) {
    aegis_i_mutex_unlock(&heap->shared->lock);
}

/* Returns the heap for a call that has it alone. NULL: the heap is lost in this process. */
static aegis_arena_heap *whole(const aegis_locked_arena_heap *heap) {
    aegis_arena_heap *inner = enter(heap);
    if (inner != NULL)
        leave(heap);
    return inner;
}

/* Reports that the heap is lost in this process. */
static void *fail_forked(size_t size_bytes, size_t align_bytes, aegis_error *error) {
    if (error != NULL)
        (void)aegis_i_error_bytes(error, AEGIS_E_FORKED, size_bytes, align_bytes);
    return NULL;
}

aegis_status aegis_locked_arena_heap_init_sized(aegis_locked_arena_heap *heap,
                                                const aegis_arena_options *options,
                                                size_t options_bytes, aegis_error *error) {
    heap->shared = NULL;
    aegis_locked_arena_heap_shared *shared =
        (aegis_locked_arena_heap_shared *)malloc(sizeof *shared);
    if (shared == NULL) {
        aegis_error unwanted;
        return aegis_i_error_bytes(error != NULL ? error : &unwanted, AEGIS_E_OUT_OF_MEMORY,
                                   sizeof *shared, AEGIS_ARENA_HEAP_ALIGN);
    }
    aegis_status status = aegis_arena_heap_init_sized(&shared->heap, options, options_bytes);
    if (status != AEGIS_OK) {
        if (error != NULL)
            *error = shared->heap.failed;
        free(shared);
        return status;
    }
    aegis_i_mutex_init_staying(&shared->lock);
    heap->shared = shared;
    return AEGIS_OK;
}

void aegis_locked_arena_heap_fini(aegis_locked_arena_heap *heap) {
    if (heap == NULL || heap->shared == NULL)
        return;
    aegis_arena_heap *inner = whole(heap);
    /* The blocks of a lost heap cannot be found, so they are not released. */
    if (inner != NULL) {
        aegis_arena_heap_fini(inner);
        aegis_i_mutex_fini(&heap->shared->lock);
        free(heap->shared);
    }
    heap->shared = NULL;
}

/* Serves a request. The lock is held at the call, and free at the return. */
static void *serve_and_leave(const aegis_locked_arena_heap *heap, size_t size_bytes,
                             size_t align_bytes, bool zeroed, aegis_error *error) {
    aegis_arena_heap *inner = &heap->shared->heap;
    aegis_i_heap_request request;
    aegis_i_heap_request_init(&request, size_bytes, align_bytes, zeroed);
    void *memory = aegis_i_heap_serve(inner, &request);
    while (request.block_bytes != 0) {
        leave(heap);
        bool block_zeroed;
        aegis_i_refusal why;
        aegis_i_heap_release(inner, &request.surplus);
        void *block = aegis_i_heap_acquire(inner, &request, &block_zeroed, &why);
        if (enter(heap) == NULL) {
            /* The source has forked, and this is the child process. */
            if (block != NULL)
                aegis_i_give_back(&inner->source, inner->budget, block, request.block_bytes,
                                  request.block_align_bytes);
            return fail_forked(size_bytes, align_bytes, error);
        }
        memory = aegis_i_heap_receive(inner, &request, block, block_zeroed, &why);
    }
    if (memory == NULL && error != NULL)
        *error = inner->failed;
    leave(heap);
    aegis_i_heap_release(inner, &request.surplus);
    return memory;
}

static void *alloc(const aegis_locked_arena_heap *heap, size_t size_bytes, size_t align_bytes,
                   bool zeroed, aegis_error *error) {
    aegis_arena_heap *inner = enter(heap);
    if (inner == NULL)
        return fail_forked(size_bytes, align_bytes, error);
    bool is_usual = align_bytes <= AEGIS_ARENA_HEAP_ALIGN && aegis_i_is_power_of_two(align_bytes);
    void *memory = is_usual ? aegis_i_heap_take_quick(inner, size_bytes) : NULL;
    if (memory != NULL) {
        leave(heap);
        return zeroed ? memset(memory, 0, size_bytes) : memory;
    }
    memory = is_usual ? aegis_i_heap_take_usual(inner, size_bytes, zeroed) : NULL;
    if (memory == NULL)
        return serve_and_leave(heap, size_bytes, align_bytes, zeroed, error);
    leave(heap);
    return memory;
}

void *aegis_locked_arena_heap_alloc(const aegis_locked_arena_heap *heap, size_t size_bytes,
                                    aegis_error *error) {
    return alloc(heap, size_bytes, AEGIS_ARENA_HEAP_ALIGN, false, error);
}

void *aegis_locked_arena_heap_alloc_zeroed(const aegis_locked_arena_heap *heap, size_t size_bytes,
                                           aegis_error *error) {
    return alloc(heap, size_bytes, AEGIS_ARENA_HEAP_ALIGN, true, error);
}

void *aegis_locked_arena_heap_alloc_aligned(const aegis_locked_arena_heap *heap, size_t size_bytes,
                                            size_t align_bytes, bool zeroed, aegis_error *error) {
    return alloc(heap, size_bytes, align_bytes, zeroed, error);
}

/* Resizes an allocation where it is. On failure `*old_bytes` is its size, or AEGIS_I_ANY_BYTES if
 * it is none, or if the heap is lost, which `*lost` says. */
static bool resize(const aegis_locked_arena_heap *heap, void *memory, size_t named_bytes,
                   size_t new_bytes, size_t *old_bytes, bool *lost) {
    aegis_i_heap_damage damage = {AEGIS_I_HEAP_SOUND, NULL, 0, 0};
    *old_bytes = AEGIS_I_ANY_BYTES;
    aegis_arena_heap *inner = enter(heap);
    *lost = inner == NULL;
    if (inner == NULL)
        return false;
    bool is_out = aegis_i_heap_is_out(inner, memory, named_bytes, &damage);
    bool resized = is_out && aegis_i_heap_resize(inner, memory, new_bytes, false);
    leave(heap);
    aegis_i_heap_report(inner, &damage);
    if (is_out)
        *old_bytes = damage.size_bytes;
    return resized;
}

bool aegis_locked_arena_heap_resize_in_place(const aegis_locked_arena_heap *heap, void *memory,
                                             size_t new_bytes) {
    size_t old_bytes;
    bool lost;
    return memory != NULL && resize(heap, memory, AEGIS_I_ANY_BYTES, new_bytes, &old_bytes, &lost);
}

/* Makes the block of a large allocation larger. NULL: that is not possible. */
static void *grow_large(const aegis_locked_arena_heap *heap, void *memory, size_t new_bytes) {
    aegis_i_heap_growth growth;
    aegis_arena_heap *inner = enter(heap);
    bool begun = inner != NULL && aegis_i_heap_begin_growth(inner, memory, new_bytes, &growth);
    if (inner != NULL)
        leave(heap);
    if (!begun)
        return NULL;
    bool grown = aegis_i_heap_grow(inner, &growth);
    if (enter(heap) == NULL) /* the process has forked meanwhile, so the lists are lost */
        return grown ? aegis_i_chunk_memory(aegis_i_large_chunk(growth.large)) : NULL;
    memory = aegis_i_heap_end_growth(inner, &growth, grown);
    leave(heap);
    return grown ? memory : NULL;
}

/* What becomes smaller, and has no smaller place, stays where it is. */
static bool stay(const aegis_locked_arena_heap *heap, void *memory, size_t old_bytes,
                 size_t new_bytes) {
    aegis_arena_heap *inner = new_bytes <= old_bytes ? enter(heap) : NULL;
    if (inner == NULL)
        return false;
    bool resized = aegis_i_heap_resize(inner, memory, new_bytes, true);
    leave(heap);
    return resized;
}

static void *fail(const aegis_error *failed, aegis_error *error) {
    if (error != NULL)
        *error = *failed;
    return NULL;
}

static void *resize_or_move(const aegis_locked_arena_heap *heap, void *memory, size_t named_bytes,
                            size_t new_bytes, size_t align_bytes, aegis_error *error) {
    size_t old_bytes;
    bool lost;
    if (memory == NULL)
        return alloc(heap, new_bytes, align_bytes, false, error);
    if (resize(heap, memory, named_bytes, new_bytes, &old_bytes, &lost))
        return memory;
    if (lost)
        return fail_forked(new_bytes, align_bytes, error);
    if (old_bytes == AEGIS_I_ANY_BYTES) {
        if (error != NULL)
            (void)aegis_i_error_refuse(error, AEGIS_E_INVALID, AEGIS_WHAT_HANDLE, 0, 0);
        return NULL;
    }
    void *grown =
        align_bytes <= AEGIS_ARENA_HEAP_ALIGN ? grow_large(heap, memory, new_bytes) : NULL;
    if (grown != NULL)
        return grown;
    /* Only the caller uses the old and the new place, so the bytes are copied without the lock. */
    aegis_error failed;
    void *moved = alloc(heap, new_bytes, align_bytes, false, &failed);
    if (moved == NULL)
        return stay(heap, memory, old_bytes, new_bytes) ? memory : fail(&failed, error);
    memcpy(moved, memory, aegis_i_min(old_bytes, new_bytes));
    aegis_arena_heap *inner = enter(heap);
    if (inner != NULL) {
        /* Its mistakes are reported already. */
        aegis_arena_heap_large *large =
            aegis_i_heap_free_quick(inner, memory) ? NULL : aegis_i_heap_free(inner, memory);
        leave(heap);
        aegis_i_heap_release_large(inner, large);
    }
    return moved;
}

void *aegis_locked_arena_heap_realloc(const aegis_locked_arena_heap *heap, void *memory,
                                      size_t new_bytes, aegis_error *error) {
    return resize_or_move(heap, memory, AEGIS_I_ANY_BYTES, new_bytes, AEGIS_ARENA_HEAP_ALIGN,
                          error);
}

void *aegis_locked_arena_heap_realloc_aligned(const aegis_locked_arena_heap *heap, void *memory,
                                              size_t old_bytes, size_t new_bytes,
                                              size_t align_bytes, aegis_error *error) {
    return resize_or_move(heap, memory, old_bytes, new_bytes, align_bytes, error);
}

static void free_named(const aegis_locked_arena_heap *heap, void *memory, size_t named_bytes) {
    aegis_arena_heap *inner = memory != NULL ? enter(heap) : NULL;
    if (inner == NULL)
        return;
    aegis_i_heap_damage damage = {AEGIS_I_HEAP_SOUND, NULL, 0, 0};
    aegis_arena_heap_large *large = NULL;
    if (!aegis_i_heap_free_quick(inner, memory) &&
        aegis_i_heap_is_out(inner, memory, named_bytes, &damage))
        large = aegis_i_heap_free(inner, memory);
    leave(heap);
    aegis_i_heap_release_large(inner, large);
    aegis_i_heap_report(inner, &damage);
}

void aegis_locked_arena_heap_free(const aegis_locked_arena_heap *heap, void *memory) {
    free_named(heap, memory, AEGIS_I_ANY_BYTES);
}

void aegis_locked_arena_heap_free_sized(const aegis_locked_arena_heap *heap, void *memory,
                                        size_t size_bytes) {
    free_named(heap, memory, size_bytes);
}

size_t aegis_locked_arena_heap_usable_size(const aegis_locked_arena_heap *heap,
                                           const void *memory) {
    /* The header of a chunk has a bit about the chunk before it, which other threads change. */
    aegis_arena_heap *inner = memory != NULL ? enter(heap) : NULL;
    if (inner == NULL)
        return 0;
    size_t size_bytes = aegis_i_heap_size_of(inner, memory);
    leave(heap);
    return size_bytes;
}

void aegis_locked_arena_heap_reset(aegis_locked_arena_heap *heap) {
    aegis_arena_heap *inner = whole(heap);
    if (inner != NULL)
        aegis_arena_heap_reset(inner);
}

void aegis_locked_arena_heap_trim(const aegis_locked_arena_heap *heap, size_t keep_bytes) {
    aegis_arena_heap *inner = enter(heap);
    if (inner == NULL)
        return;
    aegis_i_heap_surplus surplus = aegis_i_heap_trim(inner, keep_bytes);
    leave(heap);
    aegis_i_heap_release(inner, &surplus);
}

void aegis_locked_arena_heap_clear(aegis_locked_arena_heap *heap) {
    aegis_arena_heap *inner = whole(heap);
    if (inner != NULL)
        aegis_arena_heap_clear(inner);
}

aegis_status aegis_locked_arena_heap_move_budget(aegis_locked_arena_heap *heap,
                                                 aegis_budget *budget, aegis_error *error) {
    aegis_arena_heap *inner = whole(heap);
    if (inner != NULL)
        return aegis_arena_heap_move_budget(inner, budget, error);
    (void)fail_forked(0, 0, error);
    return AEGIS_E_FORKED;
}

void aegis_locked_arena_heap_get_stats_sized(const aegis_locked_arena_heap *heap,
                                             aegis_arena_heap_stats *stats, size_t stats_bytes) {
    aegis_arena_heap *inner = enter(heap);
    memset(stats, 0, stats_bytes);
    if (inner == NULL)
        return;
    aegis_arena_heap_get_stats_sized(inner, stats, stats_bytes);
    leave(heap);
}
