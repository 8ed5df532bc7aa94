/* SPDX-License-Identifier: Apache-2.0 */
/* The blocks of a heap that serve one large request each: the list of those in use, that of those
 * which a reset has left, and how one grows.
 *
 * The list of those in use is circular in `previous` only, so that a block leaves it, and the whole
 * list joins the other one at a reset, in constant time. */
#include "heap_large.h"

void aegis_i_large_link(aegis_arena_heap *heap, aegis_arena_heap_large *large) {
    aegis_arena_heap_large *head = heap->large;
    large->next = head;
    large->previous = head != NULL ? head->previous : large;
    if (head != NULL)
        head->previous = large;
    heap->large = large;
    heap->large_bytes += large->total_bytes;
}

void aegis_i_large_unlink(aegis_arena_heap *heap, aegis_arena_heap_large *large) {
    if (heap->large == large)
        heap->large = large->next;
    else
        large->previous->next = large->next;
    if (large->next != NULL)
        large->next->previous = large->previous;
    else if (heap->large != NULL)
        heap->large->previous = large->previous;
    heap->large_bytes -= large->total_bytes;
}

size_t aegis_i_large_offset(size_t align_bytes) {
    return aegis_i_round_up(sizeof(aegis_arena_heap_large) + AEGIS_I_CHUNK_START, align_bytes) -
           AEGIS_I_CHUNK_START;
}

size_t aegis_i_large_bytes_for(const aegis_arena_heap *heap, size_t align_bytes,
                               size_t size_bytes) {
    return aegis_i_round_up(aegis_i_large_offset(align_bytes) + AEGIS_I_CHUNK_START +
                                aegis_i_chunk_need(heap, size_bytes) - AEGIS_I_CHUNK_OVERHEAD,
                            (size_t)AEGIS_ARENA_HEAP_ALIGN);
}

aegis_arena_heap_chunk *aegis_i_large_write_chunk(aegis_arena_heap_large *large) {
    aegis_arena_heap_chunk *chunk = aegis_i_large_chunk(large);
    /* The chunk reaches into no other, so the last word that chunks share is not there. */
    size_t chunk_bytes =
        large->total_bytes - large->offset_bytes - AEGIS_I_CHUNK_START + AEGIS_I_CHUNK_OVERHEAD;
    chunk->previous_bytes = large->offset_bytes;
    chunk->head = (chunk_bytes & ~AEGIS_I_CHUNK_FLAGS) | AEGIS_I_CHUNK_LARGE | AEGIS_I_CHUNK_USED |
                  AEGIS_I_CHUNK_OUT | AEGIS_I_CHUNK_AFTER_USED;
    return chunk;
}

aegis_arena_heap_large *aegis_i_large_pop_idle(aegis_arena_heap *heap) {
    aegis_arena_heap_large *large = heap->idle_large;
    if (large == NULL)
        return NULL;
    heap->idle_large = large->next;
    if (large->next != NULL)
        large->next->previous = large->previous;
    return large;
}

bool aegis_i_heap_begin_growth(aegis_arena_heap *heap, const void *memory, size_t new_bytes,
                               aegis_i_heap_growth *growth) {
    const aegis_arena_heap_chunk *chunk = aegis_i_chunk_of(memory);
    /* A checker or a guard is to see each allocation begin and end. */
    if ((chunk->head & AEGIS_I_CHUNK_LARGE) == 0 || aegis_i_heap_is_watched(heap) ||
        new_bytes > PTRDIFF_MAX - 4096)
        return false;
    aegis_arena_heap_large *large =
        (aegis_arena_heap_large *)(void *)((unsigned char *)chunk - chunk->previous_bytes);
    growth->large = large;
    growth->old_bytes = large->total_bytes;
    growth->new_bytes = aegis_i_large_bytes_for(heap, large->align_bytes, new_bytes);
    if (growth->new_bytes <= growth->old_bytes)
        return false;
    aegis_i_large_unlink(heap, large);
    return true;
}

bool aegis_i_heap_grow(const aegis_arena_heap *heap, aegis_i_heap_growth *growth) {
    /* If this fails, the caller goes the usual way, which may wait and which says why it failed. */
    void *moved =
        aegis_i_acquire_larger(&heap->source, heap->budget, growth->large, growth->old_bytes,
                               growth->new_bytes, growth->large->align_bytes);
    if (moved == NULL)
        return false;
    growth->large = (aegis_arena_heap_large *)moved;
    return true;
}

void *aegis_i_heap_end_growth(aegis_arena_heap *heap, const aegis_i_heap_growth *growth,
                              bool grown) {
    aegis_arena_heap_large *large = growth->large;
    if (grown) {
        large->total_bytes = growth->new_bytes;
        heap->reserved_bytes += growth->new_bytes - growth->old_bytes;
        heap->peak_reserved_bytes = aegis_i_max(heap->peak_reserved_bytes, heap->reserved_bytes);
        aegis_i_large_write_chunk(large);
    }
    aegis_i_large_link(heap, large);
    return aegis_i_chunk_memory(aegis_i_large_chunk(large));
}

void aegis_i_heap_release_large(const aegis_arena_heap *heap, aegis_arena_heap_large *large) {
    while (large != NULL) {
        aegis_arena_heap_large *next = large->next;
        size_t total_bytes = large->total_bytes, align_bytes = large->align_bytes;
        AEGIS_I_SHOW_ZEROED(large, total_bytes);
        aegis_i_give_back(&heap->source, heap->budget, large, total_bytes, align_bytes);
        large = next;
    }
}
