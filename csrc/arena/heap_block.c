/* SPDX-License-Identifier: Apache-2.0 */
/* The blocks of a heap, and which of its memory serves a request.
 *
 * A request gets, in this order: a chunk of a bin or of the top; a chunk of the next idle block; a
 * chunk that comes from merging the quick lists, if these hold more than 16 KiB and than a
 * sixteenth of what is reserved; a chunk of a new block. A new block has as many bytes as are
 * reserved, until those are 32 KiB, then an eighth of them, and not more than the largest growth
 * step. If that is refused, the heap merges the quick lists in any case, and looks at all chunks of
 * a bin. Then it asks for what is left below the limit of a budget. Last it releases blocks of
 * which nothing is out, as many as it needs, and asks for the least that the request needs. A large
 * request, which has a block of its own, asks for its exact size at once, and again after such a
 * release.
 *
 * Invariants:
 * 1. The blocks in use stand before the idle ones, up to `last` (add_block, aegis_i_heap_reset). No
 *    chunk of an idle block is in a list.
 * 2. Before the heap acquires a block, no idle block is left (find_chunk). So the same requests
 * after a reset acquire nothing, and the blocks are used in the same order.
 * 3. The quick lists have at most 16 KiB, or a sixteenth of what is reserved, when a block is
 *    acquired (find_chunk).
 * 4. After each refusal a request asks for less, and at last for the exact size (refused). So every
 *    request ends. Before that last time the heap has released what it does not use, and only then
 *    does the budget reclaim and wait.
 * 5. A reset takes the same time for any number of blocks: each list is joined to another one. What
 *    it leaves of large blocks is used or released by later large requests, one look for each block
 *    (take_idle_large).
 *
 * An allocation has three steps, as that of an arena (see chain.c): only the second step calls
 * functions of the user, and a locked heap gives its lock back for it. Each step looks again at
 * what the heap has, because it may have changed. A release calls functions of the user too, so the
 * blocks leave the lists first. */
#include "heap_block.h"
#include "../source.h"
#include "growth.h"

#define BLOCK_ALIGN ((size_t)AEGIS_ARENA_HEAP_ALIGN)
/* Below so many bytes what is reserved is doubled; above it grows by an eighth. */
#define DOUBLE_UNTIL ((size_t)32 << 10)

/* Writes the error record. Memory of a fixed size is full if its largest free chunk is too small.
 */
void *aegis_i_heap_fail(aegis_arena_heap *heap, const aegis_i_refusal *why, size_t size_bytes,
                        size_t align_bytes) {
    aegis_error error;
    (void)aegis_i_error_bytes(&error, why->status, size_bytes, align_bytes);
    error.in_use_bytes = heap->used_bytes + heap->large_bytes;
    aegis_i_explain_refusal(why, &error);
    if ((heap->flags & AEGIS_I_HEAP_FIXED) != 0 && why->status == AEGIS_E_OUT_OF_MEMORY) {
        error.status = AEGIS_E_EXHAUSTED;
        error.limit_bytes = heap->capacity_bytes;
        error.in_use_bytes = heap->capacity_bytes - aegis_i_heap_largest(heap);
        error.needed_bytes = aegis_i_chunk_need(heap, size_bytes) +
                             (align_bytes > BLOCK_ALIGN ? align_bytes + AEGIS_I_CHUNK_MIN : 0);
    }
    heap->failed = error;
    return NULL;
}

static void *fail(aegis_arena_heap *heap, aegis_i_heap_request *request, aegis_status status) {
    const aegis_i_refusal why = {status, AEGIS_REFUSED_LIMIT, NULL, 0, 0, 0};
    request->block_bytes = 0;
    return aegis_i_heap_fail(heap, &why, request->size_bytes, request->align_bytes);
}

/* Fails a request for which no block was to be had. */
static void *fail_refused(aegis_arena_heap *heap, const aegis_i_heap_request *request,
                          const aegis_i_refusal *why) {
    (void)aegis_i_heap_fail(heap, why, request->size_bytes, request->align_bytes);
    if ((heap->flags & AEGIS_I_HEAP_IN_ARENA) != 0 && why->status == AEGIS_E_OUT_OF_MEMORY) {
        /* The arena knows why it had none. */
        aegis_arena_last_error((const aegis_arena *)heap->source.context, &heap->failed);
        heap->failed.requested_bytes = heap->failed.asked = request->size_bytes;
        heap->failed.align_bytes = request->align_bytes;
    }
    return NULL;
}

/* Puts a block behind `last`, as the first idle one. */
static void add_block(aegis_arena_heap *heap, aegis_arena_heap_block *block) {
    aegis_arena_heap_block **link = heap->last != NULL ? &heap->last->next : &heap->first;
    block->next = *link;
    *link = block;
}

/* Makes the first idle block the current one. False: there is none. */
static bool enter_idle(aegis_arena_heap *heap) {
    aegis_arena_heap_block *block = heap->last != NULL ? heap->last->next : heap->first;
    if (block == NULL)
        return false;
    heap->last = block;
    aegis_i_heap_enter(heap, block);
    return true;
}

static void count_acquired(aegis_arena_heap *heap, size_t total_bytes) {
    heap->reserved_bytes += total_bytes;
    heap->peak_reserved_bytes = aegis_i_max(heap->peak_reserved_bytes, heap->reserved_bytes);
    heap->block_count++;
    heap->acquired_count++;
}

static void count_released(aegis_arena_heap *heap, size_t total_bytes) {
    heap->reserved_bytes -= total_bytes;
    heap->block_count--;
    heap->released_count++;
}

bool aegis_i_heap_add(aegis_arena_heap *heap, void *memory, size_t total_bytes, bool zeroed,
                      bool is_callers) {
    aegis_arena_heap_block *block = (aegis_arena_heap_block *)memory;
    size_t header_bytes = AEGIS_I_HEAP_BLOCK_HEADER;
    if (total_bytes < header_bytes + AEGIS_I_CHUNK_MIN + AEGIS_I_CHUNK_STOP)
        return false;
    block->total_bytes = total_bytes;
    block->capacity_bytes =
        (total_bytes - header_bytes - AEGIS_I_CHUNK_STOP) & ~(AEGIS_I_CHUNK_GRAIN - 1);
    block->is_callers = is_callers;
    block->is_zero = zeroed;
    add_block(heap, block);
    if (is_callers)
        heap->block_count++;
    else
        count_acquired(heap, total_bytes);
    return true;
}

/* Finds a chunk for the request in the blocks held. `all`: merges the quick lists although they
 * hold little. */
static aegis_arena_heap_chunk *find_chunk(aegis_arena_heap *heap,
                                          const aegis_i_heap_request *request, bool all,
                                          unsigned char **clean) {
    size_t need_bytes = request->need_bytes;
    aegis_arena_heap_chunk *chunk;
    do {
        chunk = aegis_i_heap_take(heap, need_bytes, request->is_refused, clean);
    } while (chunk == NULL && enter_idle(heap));
    size_t quick_bytes = aegis_i_heap_quick_bytes(heap);
    size_t little_bytes = all ? 0 : aegis_i_max(heap->capacity_bytes / 16, AEGIS_I_QUICK_LEAST);
    if (chunk != NULL || quick_bytes <= little_bytes)
        return chunk;
    aegis_i_heap_merge_quick(heap);
    return aegis_i_heap_take(heap, need_bytes, request->is_refused, clean);
}

/* Clears bytes, of which those from `clean` on are zero. */
static void clear(unsigned char *p, size_t size_bytes, const unsigned char *clean) {
    size_t dirty_bytes = p < clean ? (size_t)(clean - p) : 0;
    memset(p, 0, aegis_i_min(size_bytes, dirty_bytes));
}

/* Hands out the bytes of a chunk that was found for the request. */
static void *hand_out(aegis_arena_heap *heap, const aegis_i_heap_request *request,
                      aegis_arena_heap_chunk *chunk, const unsigned char *clean) {
    unsigned char *p = aegis_i_chunk_memory(chunk);
    if (request->align_bytes > BLOCK_ALIGN && !request->is_large) {
        size_t pad_bytes = aegis_i_padding(p, request->align_bytes);
        if (pad_bytes != 0 && pad_bytes < AEGIS_I_CHUNK_MIN)
            pad_bytes += request->align_bytes;
        if (pad_bytes != 0)
            chunk = aegis_i_heap_split_front(heap, chunk, pad_bytes);
        aegis_i_heap_split(heap, chunk, aegis_i_chunk_need(heap, request->size_bytes));
        p = aegis_i_chunk_memory(chunk);
    }
    if (aegis_i_heap_is_watched(heap))
        aegis_i_heap_mark_out(heap, p, 0, request->size_bytes);
    if (request->zeroed) {
        AEGIS_I_SHOW_ZEROED(p, request->size_bytes);
        /* A heap with fill patterns has written them where the source had zeros. */
        clear(p, request->size_bytes,
              aegis_i_heap_is_watched(heap) ? p + request->size_bytes : clean);
    }
    return p;
}

/* Hands out a block for one large request. */
static void *use_large(aegis_arena_heap *heap, const aegis_i_heap_request *request, void *block,
                       size_t total_bytes, bool zeroed) {
    aegis_arena_heap_large *large = (aegis_arena_heap_large *)block;
    large->total_bytes = total_bytes;
    large->align_bytes = request->block_align_bytes;
    large->offset_bytes = aegis_i_large_offset(request->block_align_bytes);
    aegis_arena_heap_chunk *chunk = aegis_i_large_write_chunk(large);
    aegis_i_large_link(heap, large);
    return hand_out(heap, request, chunk, zeroed ? NULL : (unsigned char *)block + total_bytes);
}

/* Looks through the large blocks that a reset has left for one that fits. Those that do not fit are
 * to be released. */
static void *take_idle_large(aegis_arena_heap *heap, aegis_i_heap_request *request) {
    aegis_arena_heap_large *large;
    while ((large = aegis_i_large_pop_idle(heap)) != NULL) {
        if (large->align_bytes == request->block_align_bytes &&
            large->total_bytes >= request->exact_bytes &&
            large->total_bytes - request->exact_bytes <= request->exact_bytes / 16)
            return use_large(heap, request, large, large->total_bytes, false);
        count_released(heap, large->total_bytes);
        large->next = request->surplus.large;
        request->surplus.large = large;
    }
    return NULL;
}

static void *serve_held(aegis_arena_heap *heap, aegis_i_heap_request *request, bool all) {
    if (request->is_large)
        return take_idle_large(heap, request);
    unsigned char *clean;
    aegis_arena_heap_chunk *chunk = find_chunk(heap, request, all, &clean);
    void *memory = chunk != NULL ? hand_out(heap, request, chunk, clean) : NULL;
    aegis_i_heap_settle(heap);
    return memory;
}

/* The size of the next block, if it need not be larger for the request. */
static size_t step_of(const aegis_arena_heap *heap) {
    size_t held_bytes = aegis_i_max(heap->reserved_bytes - heap->large_bytes, heap->capacity_bytes);
    size_t step_bytes = held_bytes <= DOUBLE_UNTIL ? held_bytes : held_bytes / 8;
    if (held_bytes > DOUBLE_UNTIL)
        step_bytes = aegis_i_round_up(aegis_i_max(step_bytes, DOUBLE_UNTIL / 4), 4096);
    step_bytes = aegis_i_max(step_bytes, AEGIS_ARENA_MIN_BLOCK);
    return aegis_i_min(step_bytes, heap->max_block_bytes) & ~(BLOCK_ALIGN - 1);
}

/* Whether the heap may have blocks to release. An arena would not get them back. */
static bool may_have_surplus(const aegis_arena_heap *heap) {
    return (heap->flags & AEGIS_I_HEAP_IN_ARENA) == 0 &&
           (heap->first != NULL || heap->idle_large != NULL);
}

void *aegis_i_heap_take_usual(aegis_arena_heap *heap, size_t size_bytes, bool zeroed) {
    if (size_bytes > PTRDIFF_MAX - 1024 || aegis_i_heap_is_watched(heap))
        return NULL;
    size_t need_bytes = aegis_i_chunk_need(heap, size_bytes);
    if (need_bytes > heap->large_limit_bytes)
        return NULL;
    unsigned char *clean;
    aegis_arena_heap_chunk *chunk = aegis_i_heap_take(heap, need_bytes, false, &clean);
    if (chunk == NULL)
        return NULL;
    unsigned char *p = aegis_i_chunk_memory(chunk);
    if (zeroed)
        clear(p, size_bytes, clean);
    aegis_i_heap_settle(heap);
    return p;
}

void *aegis_i_heap_serve(aegis_arena_heap *heap, aegis_i_heap_request *request) {
    size_t size_bytes = request->size_bytes, align_bytes = request->align_bytes;
    size_t excess_bytes = align_bytes > AEGIS_I_MIN_ALIGN ? align_bytes - 1 : 0;
    if (!aegis_i_is_power_of_two(align_bytes) || size_bytes > PTRDIFF_MAX - excess_bytes)
        return fail(heap, request, AEGIS_E_INVALID_LAYOUT);
    request->align_bytes = align_bytes = aegis_i_max(align_bytes, BLOCK_ALIGN);
    /* Neither sum wraps: both of its terms are below PTRDIFF_MAX + 1 KiB. */
    size_t need_bytes = aegis_i_chunk_need(heap, size_bytes);
    size_t slack_bytes = align_bytes > BLOCK_ALIGN ? align_bytes + AEGIS_I_CHUNK_MIN : 0;
    if (need_bytes > PTRDIFF_MAX - 1024 || slack_bytes > PTRDIFF_MAX - 1024 - need_bytes)
        return fail(heap, request, AEGIS_E_OUT_OF_MEMORY);
    request->need_bytes = need_bytes + slack_bytes;
    request->is_large = request->need_bytes > heap->large_limit_bytes;
    request->block_align_bytes = request->is_large ? align_bytes : BLOCK_ALIGN;
    request->exact_bytes =
        request->is_large
            ? aegis_i_large_bytes_for(heap, align_bytes, size_bytes)
            : aegis_i_round_up(AEGIS_I_HEAP_BLOCK_HEADER + AEGIS_I_CHUNK_STOP + request->need_bytes,
                               BLOCK_ALIGN);
    request->block_bytes = 0;
    void *memory = serve_held(heap, request, false);
    if (memory != NULL)
        return memory;
    request->block_bytes =
        request->is_large ? request->exact_bytes : aegis_i_max(request->exact_bytes, step_of(heap));
    request->is_last = request->block_bytes == request->exact_bytes && !may_have_surplus(heap);
    return NULL;
}

void *aegis_i_heap_acquire(const aegis_arena_heap *heap, const aegis_i_heap_request *request,
                           bool *zeroed, aegis_i_refusal *why) {
    /* Memory that will be used again need not be zero, unless the first request wants it. */
    aegis_source source = request->zeroed ? heap->source : aegis_i_uncleared(heap->source);
    return aegis_i_acquire(&source, heap->budget, request->block_bytes, request->block_align_bytes,
                           request->is_last ? heap->wait_ns : AEGIS_I_OPTIONAL, zeroed, why);
}

/* Takes free blocks out of the lists for the request. False: there are none. */
static bool take_surplus(aegis_arena_heap *heap, aegis_i_heap_request *request) {
    if (!may_have_surplus(heap))
        return false;
    size_t most_bytes = aegis_i_min(heap->reserved_bytes, request->exact_bytes);
    request->surplus = aegis_i_heap_trim(heap, heap->reserved_bytes - most_bytes);
    return request->surplus.blocks != NULL || request->surplus.large != NULL;
}

/* The block that the request wanted was refused. Serves the request from merged quick lists, or
 * says which block is wanted now, or fails it. */
static void *refused(aegis_arena_heap *heap, aegis_i_heap_request *request,
                     const aegis_i_refusal *why) {
    request->is_refused = true;
    void *memory = request->is_large ? NULL : serve_held(heap, request, true);
    size_t exact_bytes = request->exact_bytes;
    size_t refused_bytes = request->block_bytes;
    request->block_bytes = 0;
    if (memory != NULL)
        return memory;
    if (request->is_last || why->status == AEGIS_E_SOURCE)
        return fail_refused(heap, request, why);
    size_t rest_bytes = 0;
    if (why->status == AEGIS_E_LIMIT_EXCEEDED && !request->takes_rest)
        rest_bytes = aegis_i_rest_block(heap->budget, refused_bytes, exact_bytes);
    request->takes_rest = rest_bytes != 0;
    request->block_bytes = rest_bytes;
    if (rest_bytes != 0)
        return NULL;
    bool asks_source_again = take_surplus(heap, request) || refused_bytes > exact_bytes;
    if (!asks_source_again && why->status == AEGIS_E_OUT_OF_MEMORY)
        return fail_refused(heap, request, why);
    request->block_bytes = exact_bytes;
    request->is_last = true;
    return NULL;
}

void *aegis_i_heap_receive(aegis_arena_heap *heap, aegis_i_heap_request *request, void *block,
                           bool zeroed, const aegis_i_refusal *why) {
    if (block == NULL)
        return refused(heap, request, why);
    size_t total_bytes = request->block_bytes;
    request->block_bytes = 0;
    if (request->is_large) {
        count_acquired(heap, total_bytes);
        return use_large(heap, request, block, total_bytes, zeroed);
    }
    (void)aegis_i_heap_add(heap, block, total_bytes, zeroed, false);
    void *memory = serve_held(heap, request, true);
    assert(memory != NULL);
    return memory;
}

aegis_arena_heap_large *aegis_i_heap_free(aegis_arena_heap *heap, void *memory) {
    aegis_arena_heap_chunk *chunk = aegis_i_chunk_of(memory);
    if (aegis_i_heap_is_watched(heap))
        aegis_i_heap_mark_freed(heap, memory);
    if ((chunk->head & AEGIS_I_CHUNK_LARGE) == 0) {
        heap->used_bytes -= aegis_i_chunk_bytes(chunk);
        aegis_i_heap_merge(heap, chunk);
        aegis_i_heap_settle(heap);
        return NULL;
    }
    aegis_arena_heap_large *large =
        (aegis_arena_heap_large *)(void *)((unsigned char *)chunk - chunk->previous_bytes);
    aegis_i_large_unlink(heap, large);
    count_released(heap, large->total_bytes);
    large->next = NULL;
    return large;
}

bool aegis_i_heap_resize(aegis_arena_heap *heap, void *memory, size_t new_bytes, bool stays) {
    aegis_arena_heap_chunk *chunk = aegis_i_chunk_of(memory);
    if (new_bytes > PTRDIFF_MAX - 1024)
        return false;
    size_t old_bytes = aegis_i_heap_is_watched(heap) ? aegis_i_heap_size_of(heap, memory) : 0;
    size_t need_bytes = aegis_i_chunk_need(heap, new_bytes);
    size_t chunk_bytes = aegis_i_chunk_bytes(chunk);
    if ((chunk->head & AEGIS_I_CHUNK_LARGE) != 0) {
        /* What shrinks to less than half moves to a smaller place, so that the rest is released. */
        if (need_bytes > chunk_bytes || (need_bytes < chunk_bytes / 2 && !stays))
            return false;
    } else if (need_bytes > chunk_bytes && !aegis_i_heap_extend(heap, chunk, need_bytes)) {
        return false;
    }
    if (new_bytes < old_bytes)
        aegis_i_heap_mark_cut(heap, memory, old_bytes, new_bytes);
    if ((chunk->head & AEGIS_I_CHUNK_LARGE) == 0 && chunk_bytes > need_bytes &&
        chunk_bytes - need_bytes >= aegis_i_max(chunk_bytes / 8, AEGIS_I_CHUNK_MIN))
        aegis_i_heap_split(heap, chunk, need_bytes);
    aegis_i_heap_settle(heap);
    if (aegis_i_heap_is_watched(heap))
        aegis_i_heap_mark_out(heap, memory, aegis_i_min(old_bytes, new_bytes), new_bytes);
    return true;
}

void aegis_i_heap_reset(aegis_arena_heap *heap) {
    if (aegis_i_heap_is_watched(heap))
        aegis_i_heap_mark_reset(heap);
    aegis_i_heap_forget(heap);
    heap->last = NULL;
    if (heap->large != NULL) {
        aegis_arena_heap_large *idle = heap->idle_large, *end = heap->large->previous;
        end->next = idle;
        if (idle != NULL) {
            heap->large->previous = idle->previous;
            idle->previous = end;
        }
        heap->idle_large = heap->large;
    }
    heap->large = NULL;
    heap->large_bytes = 0;
    heap->reset_count++;
}

aegis_i_heap_surplus aegis_i_heap_trim(aegis_arena_heap *heap, size_t keep_bytes) {
    aegis_i_heap_surplus surplus = {NULL, NULL};
    aegis_i_heap_merge_quick(heap);
    aegis_arena_heap_large *large;
    while (heap->reserved_bytes > keep_bytes && (large = aegis_i_large_pop_idle(heap)) != NULL) {
        count_released(heap, large->total_bytes);
        large->next = surplus.large;
        surplus.large = large;
    }
    bool in_use = heap->last != NULL;
    aegis_arena_heap_block *last = NULL;
    aegis_arena_heap_block **link = &heap->first, *block;
    while ((block = *link) != NULL) {
        bool was_last = block == heap->last;
        if (!block->is_callers && heap->reserved_bytes > keep_bytes &&
            (!in_use || aegis_i_heap_leave(heap, block))) {
            *link = block->next;
            count_released(heap, block->total_bytes);
            block->next = surplus.blocks;
            surplus.blocks = block;
        } else {
            if (in_use)
                last = block;
            link = &block->next;
        }
        in_use = in_use && !was_last;
    }
    heap->last = last;
    aegis_i_heap_settle(heap);
    return surplus;
}

void aegis_i_heap_release(const aegis_arena_heap *heap, aegis_i_heap_surplus *surplus) {
    aegis_arena_heap_block *block = surplus->blocks;
    aegis_i_heap_release_large(heap, surplus->large);
    surplus->blocks = NULL;
    surplus->large = NULL;
    while (block != NULL) {
        aegis_arena_heap_block *next = block->next;
        size_t total_bytes = block->total_bytes;
        AEGIS_I_SHOW_ZEROED(block, total_bytes);
        aegis_i_give_back(&heap->source, heap->budget, block, total_bytes, BLOCK_ALIGN);
        block = next;
    }
}
