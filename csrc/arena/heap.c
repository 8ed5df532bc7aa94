/* SPDX-License-Identifier: Apache-2.0 */
/* The heap in an arena: its functions and its fast paths. heap_chunk.c cuts and merges chunks,
 * heap_block.c decides which memory serves a request.
 *
 * The fast paths are the quick lists: a chunk below 1 KiB that is freed stays whole, with the flag
 * AEGIS_I_CHUNK_OUT taken from its header, and the next request of its size gets it
 * (aegis_i_heap_take_quick, aegis_i_heap_free_quick). In a watched heap the quick lists stay empty,
 * because `quick_limit_bytes` is 0, so each call takes the slow path. A debug build does not read
 * the header of a pointer before it knows that the pointer is of this heap. */
#include "aegis_memory/arena_heap.h"
#include "../base/sized.h"
#include "../base/text.h"
#include "../budget/move.h"
#include "../source.h"
#include "heap_block.h"

static aegis_status refuse(aegis_arena_heap *heap, aegis_status status, uint32_t what, size_t asked,
                           size_t allowed) {
    if (what != AEGIS_WHAT_BYTES)
        return aegis_i_error_refuse(&heap->failed, status, what, asked, allowed);
    (void)aegis_i_error_bytes(&heap->failed, status, asked, AEGIS_ARENA_HEAP_ALIGN);
    heap->failed.allowed = allowed;
    return status;
}

/* Checks the options for a heap that is all-zero. */
static aegis_status check_options(aegis_arena_heap *heap, const aegis_arena_options *options) {
    const uint32_t known = AEGIS_ARENA_WIPE | AEGIS_ARENA_FILL | AEGIS_ARENA_GUARD |
                           AEGIS_ARENA_OWN_BLOCKS | AEGIS_ARENA_NO_DEBUG;
    const size_t most_bytes = PTRDIFF_MAX - 1024;
    if (options->capacity_bytes > most_bytes)
        return refuse(heap, AEGIS_E_INVALID_LAYOUT, AEGIS_WHAT_BYTES, options->capacity_bytes,
                      most_bytes);
    if (options->memory_bytes > PTRDIFF_MAX)
        return refuse(heap, AEGIS_E_INVALID_LAYOUT, AEGIS_WHAT_BYTES, options->memory_bytes,
                      PTRDIFF_MAX);
    if ((options->flags & ~known) != 0)
        return refuse(heap, AEGIS_E_INVALID, AEGIS_WHAT_FLAGS, options->flags, known);
    if (options->memory != NULL && options->capacity_bytes != 0)
        return refuse(heap, AEGIS_E_INVALID, AEGIS_WHAT_CAPACITY, options->capacity_bytes, 0);
    return AEGIS_OK;
}

static void set_flags(aegis_arena_heap *heap, uint32_t flags) {
    if (AEGIS_I_DEBUG && (flags & AEGIS_ARENA_NO_DEBUG) == 0)
        flags |= AEGIS_ARENA_FILL | AEGIS_ARENA_GUARD;
    if (AEGIS_I_CHECKED) {
        /* The checker's own gap finds an overrun as a guard would, and at once. */
        flags &= ~AEGIS_ARENA_GUARD;
        heap->guard_bytes = AEGIS_I_GUARD_BYTES;
    } else if ((flags & AEGIS_ARENA_GUARD) != 0) {
        heap->guard_bytes = aegis_i_heap_guard_size();
    }
    const uint32_t watched =
        AEGIS_ARENA_FILL | AEGIS_ARENA_GUARD | AEGIS_ARENA_WIPE | AEGIS_ARENA_OWN_BLOCKS;
    if (AEGIS_I_CHECKED || (flags & watched) != 0)
        flags |= AEGIS_I_HEAP_WATCHED;
    heap->flags = flags;
    heap->quick_limit_bytes = (flags & AEGIS_I_HEAP_WATCHED) != 0 ? 0 : AEGIS_I_QUICK_LIMIT;
}

/* Sets the largest growth step, and the size from which on a request has a block of its own. */
static void set_sizes(aegis_arena_heap *heap, size_t max_block_bytes) {
    size_t max_bytes = max_block_bytes != 0 ? max_block_bytes : AEGIS_ARENA_MAX_BLOCK;
    heap->max_block_bytes = aegis_i_max(aegis_i_min(max_bytes, PTRDIFF_MAX / 2), 64);
    heap->large_limit_bytes = (heap->flags & AEGIS_ARENA_OWN_BLOCKS) != 0
                                  ? 0
                                  : aegis_i_max(heap->max_block_bytes / 32, AEGIS_I_QUICK_LIMIT);
    if ((heap->flags & (AEGIS_I_HEAP_FIXED | AEGIS_I_HEAP_IN_ARENA)) != 0)
        heap->large_limit_bytes = SIZE_MAX;
}

/* Makes the first block in the caller's memory, if that has room for one. */
static void adopt_memory(aegis_arena_heap *heap, unsigned char *memory, size_t memory_bytes) {
    size_t pad_bytes = aegis_i_padding(memory, AEGIS_ARENA_HEAP_ALIGN);
    if (memory_bytes < pad_bytes || (uintptr_t)memory > AEGIS_I_TOP - memory_bytes)
        return;
    (void)aegis_i_heap_add(heap, memory + pad_bytes, memory_bytes - pad_bytes, false, true);
}

/* Acquires the first block. On failure the heap is all-zero except for the error record. */
static aegis_status acquire_first(aegis_arena_heap *heap, size_t capacity_bytes) {
    aegis_i_heap_request request;
    aegis_i_heap_request_init(&request, capacity_bytes, AEGIS_ARENA_HEAP_ALIGN, false);
    request.is_last = true;
    request.block_align_bytes = AEGIS_ARENA_HEAP_ALIGN;
    request.block_bytes = request.exact_bytes =
        aegis_i_round_up(AEGIS_I_HEAP_BLOCK_HEADER + AEGIS_I_CHUNK_STOP +
                             aegis_i_max(capacity_bytes, AEGIS_I_CHUNK_MIN),
                         AEGIS_I_CHUNK_GRAIN);
    bool zeroed;
    aegis_i_refusal why;
    void *block = aegis_i_heap_acquire(heap, &request, &zeroed, &why);
    if (block != NULL) {
        (void)aegis_i_heap_add(heap, block, request.block_bytes, zeroed, false);
        return AEGIS_OK;
    }
    memset(heap, 0, sizeof *heap);
    (void)aegis_i_heap_fail(heap, &why, capacity_bytes, AEGIS_ARENA_HEAP_ALIGN);
    return why.status;
}

aegis_status aegis_arena_heap_init_sized(aegis_arena_heap *heap, const aegis_arena_options *given,
                                         size_t options_bytes) {
    aegis_arena_options options;
    memset(&options, 0, sizeof options);
    memset(heap, 0, sizeof *heap);
    size_t unknown = aegis_i_unknown_option(given, options_bytes, sizeof options);
    if (unknown != 0)
        return refuse(heap, AEGIS_E_INVALID, AEGIS_WHAT_UNKNOWN_OPTION, unknown, sizeof options);
    if (given != NULL)
        aegis_i_copy_sized(&options, sizeof options, given, options_bytes);
    aegis_status status = check_options(heap, &options);
    if (status != AEGIS_OK)
        return status;
    set_flags(heap, options.flags);
    if (options.source != NULL) {
        heap->source = *options.source;
    } else if (options.memory != NULL) {
        heap->flags = (heap->flags & ~AEGIS_ARENA_OWN_BLOCKS) | AEGIS_I_HEAP_FIXED;
    } else {
        heap->source = AEGIS_I_ARENA_SOURCE();
    }
    set_sizes(heap, options.max_block_bytes);
    if (options.name != NULL)
        aegis_i_copy_name(heap->name, options.name, AEGIS_ARENA_NAME_BYTES);
    heap->budget = options.budget;
    heap->wait_ns = aegis_i_wait_ns(options.wait_ns);
    if (options.memory != NULL)
        adopt_memory(heap, (unsigned char *)options.memory, options.memory_bytes);
    if (options.capacity_bytes != 0)
        status = acquire_first(heap, options.capacity_bytes);
    if (status == AEGIS_OK && heap->budget != NULL)
        (void)aegis_i_budget_keep(heap->budget);
    return status;
}

static void *arena_acquire(void *context, size_t size_bytes, size_t align_bytes, bool *zeroed) {
    (void)zeroed;
    return aegis_arena_alloc_aligned((aegis_arena *)context, size_bytes, align_bytes);
}

static void arena_release(void *context, void *memory, size_t size_bytes, size_t align_bytes) {
    (void)align_bytes;
    aegis_arena_free_last((aegis_arena *)context, memory, size_bytes);
}

void aegis_arena_heap_init_in(aegis_arena_heap *heap, aegis_arena *arena) {
    const aegis_source source = {arena_acquire, arena_release, NULL, arena};
    const uint32_t kept = AEGIS_ARENA_WIPE | AEGIS_ARENA_FILL | AEGIS_ARENA_GUARD;
    aegis_arena_options options;
    memset(&options, 0, sizeof options);
    /* A debug build has set the flags of the arena already. */
    options.flags = (arena->flags & kept) | AEGIS_ARENA_NO_DEBUG;
    (void)aegis_arena_heap_init_sized(heap, &options, sizeof options);
    heap->source = source;
    heap->flags |= AEGIS_I_HEAP_IN_ARENA;
    memcpy(heap->name, arena->name, sizeof heap->name);
    set_sizes(heap, arena->max_block_bytes);
}

void aegis_arena_heap_fini(aegis_arena_heap *heap) {
    if (heap == NULL || heap->max_block_bytes == 0)
        return;
    assert(aegis_i_heap_is_valid(heap));
    aegis_i_heap_reset(heap);
    /* From now on the source may still use the heap, but the heap gets no more blocks. */
    heap->source.acquire = NULL;
    aegis_i_heap_surplus surplus = aegis_i_heap_trim(heap, 0);
    aegis_i_heap_release(heap, &surplus);
    if (heap->first != NULL)
        AEGIS_I_SHOW_ZEROED(heap->first, heap->first->total_bytes); /* the caller's memory */
    aegis_i_budget_give_up(heap->budget);
    if (heap->source.close != NULL)
        heap->source.close(heap->source.context);
    memset(heap, 0, sizeof *heap);
}

static void *alloc_slow(aegis_arena_heap *heap, size_t size_bytes, size_t align_bytes,
                        bool zeroed) {
    aegis_i_heap_request request;
    aegis_i_heap_request_init(&request, size_bytes, align_bytes, zeroed);
    assert(aegis_i_heap_is_valid(heap));
    void *memory = aegis_i_heap_serve(heap, &request);
    while (request.block_bytes != 0) {
        bool block_zeroed;
        aegis_i_refusal why;
        aegis_i_heap_release(heap, &request.surplus);
        void *block = aegis_i_heap_acquire(heap, &request, &block_zeroed, &why);
        memory = aegis_i_heap_receive(heap, &request, block, block_zeroed, &why);
    }
    aegis_i_heap_release(heap, &request.surplus);
    return memory;
}

static void *alloc_usual(aegis_arena_heap *heap, size_t size_bytes, bool zeroed) {
    void *memory = aegis_i_heap_take_usual(heap, size_bytes, zeroed);
    return memory != NULL ? memory : alloc_slow(heap, size_bytes, AEGIS_ARENA_HEAP_ALIGN, zeroed);
}

void *aegis_arena_heap_alloc(aegis_arena_heap *heap, size_t size_bytes) {
    void *memory = aegis_i_heap_take_quick(heap, size_bytes);
    return memory != NULL ? memory : alloc_usual(heap, size_bytes, false);
}

void *aegis_arena_heap_alloc_zeroed(aegis_arena_heap *heap, size_t size_bytes) {
    void *memory = aegis_i_heap_take_quick(heap, size_bytes);
    return memory != NULL ? memset(memory, 0, size_bytes) : alloc_usual(heap, size_bytes, true);
}

void *aegis_arena_heap_alloc_aligned(aegis_arena_heap *heap, size_t size_bytes, size_t align_bytes,
                                     bool zeroed) {
    if (align_bytes - 1 < AEGIS_ARENA_HEAP_ALIGN && aegis_i_is_power_of_two(align_bytes))
        return zeroed ? aegis_arena_heap_alloc_zeroed(heap, size_bytes)
                      : aegis_arena_heap_alloc(heap, size_bytes);
    return alloc_slow(heap, size_bytes, align_bytes, zeroed);
}

static void free_slow(aegis_arena_heap *heap, void *memory, size_t named_bytes) {
    aegis_i_heap_damage damage = {AEGIS_I_HEAP_SOUND, NULL, 0, 0};
    aegis_arena_heap_large *large = NULL;
    assert(aegis_i_heap_is_valid(heap));
    if (aegis_i_heap_is_out(heap, memory, named_bytes, &damage))
        large = aegis_i_heap_free(heap, memory);
    aegis_i_heap_release_large(heap, large);
    aegis_i_heap_report(heap, &damage);
}

void aegis_arena_heap_free(aegis_arena_heap *heap, void *memory) {
    if (memory != NULL && !aegis_i_heap_free_quick(heap, memory))
        free_slow(heap, memory, AEGIS_I_ANY_BYTES);
}

void aegis_arena_heap_free_sized(aegis_arena_heap *heap, void *memory, size_t size_bytes) {
    if (memory != NULL && (AEGIS_I_NEVER_QUICK || !aegis_i_heap_free_quick(heap, memory)))
        free_slow(heap, memory, size_bytes);
}

/* Resizes an allocation where it is. `*damage` says whether it is one. */
static bool resize(aegis_arena_heap *heap, void *memory, size_t named_bytes, size_t new_bytes,
                   aegis_i_heap_damage *damage) {
    assert(aegis_i_heap_is_valid(heap));
    damage->kind = AEGIS_I_HEAP_SOUND;
    bool is_out = aegis_i_heap_is_out(heap, memory, named_bytes, damage);
    bool resized = is_out && aegis_i_heap_resize(heap, memory, new_bytes, false);
    aegis_i_heap_report(heap, damage);
    if (!is_out)
        damage->size_bytes = AEGIS_I_ANY_BYTES;
    return resized;
}

bool aegis_arena_heap_resize_in_place(aegis_arena_heap *heap, void *memory, size_t new_bytes) {
    aegis_i_heap_damage damage;
    return memory != NULL && resize(heap, memory, AEGIS_I_ANY_BYTES, new_bytes, &damage);
}

static void *resize_or_move(aegis_arena_heap *heap, void *memory, size_t named_bytes,
                            size_t new_bytes, size_t align_bytes) {
    aegis_i_heap_damage damage;
    if (resize(heap, memory, named_bytes, new_bytes, &damage))
        return memory;
    if (damage.size_bytes == AEGIS_I_ANY_BYTES) {
        (void)aegis_i_error_refuse(&heap->failed, AEGIS_E_INVALID, AEGIS_WHAT_HANDLE, 0, 0);
        return NULL;
    }
    aegis_i_heap_growth growth;
    if (align_bytes <= AEGIS_ARENA_HEAP_ALIGN &&
        aegis_i_heap_begin_growth(heap, memory, new_bytes, &growth)) {
        bool grown = aegis_i_heap_grow(heap, &growth);
        memory = aegis_i_heap_end_growth(heap, &growth, grown);
        if (grown)
            return memory;
    }
    aegis_error failed = heap->failed;
    void *moved = aegis_arena_heap_alloc_aligned(heap, new_bytes, align_bytes, false);
    if (moved == NULL) {
        /* What becomes smaller stays where it is. Users of realloc rely on that. */
        if (new_bytes > damage.size_bytes || !aegis_i_heap_resize(heap, memory, new_bytes, true))
            return NULL;
        heap->failed = failed;
        return memory;
    }
    memcpy(moved, memory, aegis_i_min(damage.size_bytes, new_bytes));
    if (!aegis_i_heap_free_quick(heap, memory))
        aegis_i_heap_release_large(heap, aegis_i_heap_free(heap, memory));
    return moved;
}

void *aegis_arena_heap_realloc(aegis_arena_heap *heap, void *memory, size_t new_bytes) {
    if (memory == NULL)
        return aegis_arena_heap_alloc(heap, new_bytes);
    return resize_or_move(heap, memory, AEGIS_I_ANY_BYTES, new_bytes, AEGIS_ARENA_HEAP_ALIGN);
}

void *aegis_arena_heap_realloc_aligned(aegis_arena_heap *heap, void *memory, size_t old_bytes,
                                       size_t new_bytes, size_t align_bytes) {
    if (memory == NULL)
        return aegis_arena_heap_alloc_aligned(heap, new_bytes, align_bytes, false);
    return resize_or_move(heap, memory, old_bytes, new_bytes, align_bytes);
}

size_t aegis_arena_heap_usable_size(const aegis_arena_heap *heap, const void *memory) {
    return memory != NULL ? aegis_i_heap_size_of(heap, memory) : 0;
}

void aegis_arena_heap_reset(aegis_arena_heap *heap) {
    assert(aegis_i_heap_is_valid(heap));
    aegis_i_heap_reset(heap);
}

void aegis_arena_heap_trim(aegis_arena_heap *heap, size_t keep_bytes) {
    assert(aegis_i_heap_is_valid(heap));
    aegis_i_heap_surplus surplus = aegis_i_heap_trim(heap, keep_bytes);
    aegis_i_heap_release(heap, &surplus);
}

void aegis_arena_heap_clear(aegis_arena_heap *heap) {
    aegis_arena_heap_reset(heap);
    aegis_arena_heap_trim(heap, 0);
}

static aegis_status look(void *object, aegis_budget ***place, size_t *held_bytes) {
    aegis_arena_heap *heap = (aegis_arena_heap *)object;
    *place = &heap->budget;
    *held_bytes = heap->reserved_bytes;
    /* The blocks in an arena are charged by the arena. */
    return (heap->flags & AEGIS_I_HEAP_IN_ARENA) == 0 ? AEGIS_OK : AEGIS_E_INVALID;
}

static void leave(void *object, bool moved) {
    if (moved)
        ((aegis_arena_heap *)object)->failed.refused = NULL;
}

aegis_status aegis_arena_heap_move_budget(aegis_arena_heap *heap, aegis_budget *budget,
                                          aegis_error *error) {
    const aegis_i_movable movable = {heap, look, leave, AEGIS_WHAT_MOVE};
    return aegis_i_move_object(&movable, budget, error);
}

void aegis_arena_heap_get_stats_sized(const aegis_arena_heap *heap, aegis_arena_heap_stats *stats,
                                      size_t stats_bytes) {
    const aegis_arena_heap_stats filled = {
        heap->reserved_bytes, heap->peak_reserved_bytes, heap->used_bytes + heap->large_bytes,
        heap->large_bytes,    heap->capacity_bytes,      aegis_i_heap_quick_bytes(heap),
        heap->block_count,    heap->acquired_count,      heap->released_count,
        heap->reset_count};
    aegis_i_copy_sized(stats, stats_bytes, &filled, sizeof filled);
}

void aegis_arena_heap_last_error(const aegis_arena_heap *heap, aegis_error *error) {
    *error = heap->failed;
}

size_t aegis_arena_heap_explain(const aegis_arena_heap *heap, char *buffer, size_t buffer_bytes) {
    return aegis_error_explain(&heap->failed, buffer, buffer_bytes);
}
