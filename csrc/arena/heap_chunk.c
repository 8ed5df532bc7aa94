/* SPDX-License-Identifier: Apache-2.0 */
/* The chunks of a heap: how a block is cut into chunks, and how free chunks are merged and found.
 *
 * Invariants:
 * 1. The chunks of a block lie one behind the other, up to a chunk header of size 0 at its end that
 *    counts as used (aegis_i_heap_enter). Their sizes are multiples of 16, and at least
 *    AEGIS_I_CHUNK_MIN.
 * 2. A chunk is out, in a quick list, in a bin, or the top. Only the last two count as free for
 *    merging, and no two of them lie side by side (aegis_i_heap_merge).
 * 3. A chunk in a bin has its size a second time behind its end, and the flag
 *    AEGIS_I_CHUNK_AFTER_USED of the chunk behind it is clear (link_chunk). So both chunks beside
 *    one that is freed are found in constant time.
 * 4. A bit of `bin_map` is set if and only if its bin has a chunk (link_chunk, unlink_chunk).
 * 5. The top is the end of the current block. It is in no bin, and is 0 or at least
 *    AEGIS_I_CHUNK_MIN bytes.
 *
 * A request looks at the bin of its own size, takes the best of the first few chunks there that
 * fit, and else the first chunk of the next larger bin that has one: by invariant 4 a few steps
 * over the map find it. If no bin has a chunk, the request gets the start of the top.
 *
 * Source: boundary tags are from D. E. Knuth, The Art of Computer Programming 1, 2.5. The bins with
 * a map and the top are as in D. Lea's malloc; eight bins between two powers of two are as in M.
 * Masmano and others, "TLSF: a new dynamic memory allocator for real-time systems" (2004). */
#include "heap_chunk.h"

#define WORD_BITS 64
/* Sizes below this have a bin each. */
#define EXACT_LIMIT ((size_t)1024)
/* So many chunks of a bin are looked at for one that fits. All are in the last bin, and after a
 * block was refused. */
#define LOOK_AT_MOST 8

static unsigned bin_of(size_t chunk_bytes) {
    if (chunk_bytes < EXACT_LIMIT)
        return (unsigned)(chunk_bytes / AEGIS_I_CHUNK_GRAIN);
    unsigned highest = aegis_i_highest_bit(chunk_bytes);
    unsigned bin = 64 + (highest - 10) * 8 + (unsigned)((chunk_bytes >> (highest - 3)) & 7);
    return bin < AEGIS_ARENA_HEAP_BINS ? bin : AEGIS_ARENA_HEAP_BINS - 1;
}

/* A chunk header at a place that had none. A checker lets the heap write it. */
static aegis_arena_heap_chunk *new_chunk(const void *from, size_t offset_bytes) {
    aegis_arena_heap_chunk *chunk = aegis_i_chunk_at(from, offset_bytes);
    if (AEGIS_I_CHECKED)
        AEGIS_I_SHOW(chunk, sizeof *chunk);
    return chunk;
}

/* Puts a free chunk into its bin, and says so at its end. */
static void link_chunk(aegis_arena_heap *heap, aegis_arena_heap_chunk *chunk, size_t chunk_bytes) {
    aegis_arena_heap_chunk *behind = aegis_i_chunk_at(chunk, chunk_bytes);
    unsigned bin = bin_of(chunk_bytes);
    chunk->head = chunk_bytes | AEGIS_I_CHUNK_AFTER_USED;
    behind->previous_bytes = chunk_bytes;
    behind->head &= ~AEGIS_I_CHUNK_AFTER_USED;
    chunk->previous = NULL;
    chunk->u.next = heap->bins[bin];
    if (chunk->u.next != NULL)
        chunk->u.next->previous = chunk;
    heap->bins[bin] = chunk;
    heap->bin_map[bin / WORD_BITS] |= UINT64_C(1) << bin % WORD_BITS;
    heap->binned_bytes += chunk_bytes;
}

/* Takes a chunk out of its bin. */
static void unlink_chunk(aegis_arena_heap *heap, aegis_arena_heap_chunk *chunk) {
    size_t chunk_bytes = aegis_i_chunk_bytes(chunk);
    heap->binned_bytes -= chunk_bytes;
    if (chunk->u.next != NULL)
        chunk->u.next->previous = chunk->previous;
    if (chunk->previous != NULL) {
        chunk->previous->u.next = chunk->u.next;
        return;
    }
    unsigned bin = bin_of(chunk_bytes);
    assert(heap->bins[bin] == chunk);
    heap->bins[bin] = chunk->u.next;
    if (chunk->u.next == NULL)
        heap->bin_map[bin / WORD_BITS] &= ~(UINT64_C(1) << bin % WORD_BITS);
}

/* The best of the first chunks of a bin, or of all, that fit; NULL if none does. */
static aegis_arena_heap_chunk *best_of_bin(const aegis_arena_heap *heap, unsigned bin,
                                           size_t need_bytes, bool all) {
    aegis_arena_heap_chunk *best = NULL;
    size_t best_bytes = SIZE_MAX;
    size_t left_count = all || bin == AEGIS_ARENA_HEAP_BINS - 1 ? SIZE_MAX : LOOK_AT_MOST;
    for (aegis_arena_heap_chunk *chunk = heap->bins[bin]; chunk != NULL && left_count-- != 0;
         chunk = chunk->u.next) {
        size_t chunk_bytes = aegis_i_chunk_bytes(chunk);
        if (chunk_bytes < need_bytes || chunk_bytes >= best_bytes)
            continue;
        best = chunk;
        best_bytes = chunk_bytes;
        if (chunk_bytes == need_bytes)
            break;
    }
    return best;
}

/* The chunk of a bin that suits a request best; NULL if no bin has one that fits. */
static aegis_arena_heap_chunk *find_in_bins(const aegis_arena_heap *heap, size_t need_bytes,
                                            bool all) {
    unsigned bin = bin_of(need_bytes);
    unsigned word = bin / WORD_BITS;
    uint64_t map = heap->bin_map[word] & ~UINT64_C(0) << bin % WORD_BITS;
    for (;;) {
        while (map == 0) {
            if (++word == AEGIS_ARENA_HEAP_BINS / WORD_BITS)
                return NULL;
            map = heap->bin_map[word];
        }
        unsigned found = word * WORD_BITS + aegis_i_lowest_bit(map);
        /* Every chunk of a larger bin fits, and so does every one of a bin for one size. */
        aegis_arena_heap_chunk *chunk = found != bin || need_bytes < EXACT_LIMIT
                                            ? heap->bins[found]
                                            : best_of_bin(heap, found, need_bytes, all);
        if (chunk != NULL)
            return chunk;
        map &= map - 1;
    }
}

bool aegis_i_heap_is_valid(const aegis_arena_heap *heap) {
    if (heap->max_block_bytes == 0 || (heap->first == NULL && heap->last != NULL))
        return false;
    if (heap->used_bytes + heap->binned_bytes + heap->top_bytes > heap->capacity_bytes)
        return false;
    return (heap->top == NULL) == (heap->top_bytes == 0) &&
           heap->reserved_bytes <= heap->peak_reserved_bytes;
}

/* Takes the start of the top. The top has at least `need_bytes`. */
static aegis_arena_heap_chunk *take_from_top(aegis_arena_heap *heap, size_t need_bytes,
                                             unsigned char **clean) {
    aegis_arena_heap_chunk *chunk = heap->top;
    size_t rest_bytes = heap->top_bytes - need_bytes;
    size_t after_used = chunk->head & AEGIS_I_CHUNK_AFTER_USED;
    if (rest_bytes < AEGIS_I_CHUNK_MIN) {
        need_bytes = heap->top_bytes;
        heap->top = NULL;
        heap->top_bytes = 0;
        aegis_i_chunk_at(chunk, need_bytes)->head |= AEGIS_I_CHUNK_AFTER_USED;
    } else {
        heap->top = new_chunk(chunk, need_bytes);
        heap->top_bytes = rest_bytes;
        heap->top->head = rest_bytes | AEGIS_I_CHUNK_AFTER_USED;
    }
    chunk->head = need_bytes | after_used | AEGIS_I_CHUNK_USED | AEGIS_I_CHUNK_OUT;
    heap->used_bytes += need_bytes;
    *clean = heap->dirty_end;
    /* The header of the new top is not zero. */
    unsigned char *dirty_end =
        (unsigned char *)aegis_i_chunk_at(chunk, need_bytes) + offsetof(aegis_arena_heap_chunk, u);
    if (dirty_end > heap->dirty_end)
        heap->dirty_end = dirty_end;
    return chunk;
}

aegis_arena_heap_chunk *aegis_i_heap_take(aegis_arena_heap *heap, size_t need_bytes, bool all,
                                          unsigned char **clean) {
    aegis_arena_heap_chunk *chunk =
        heap->binned_bytes >= need_bytes ? find_in_bins(heap, need_bytes, all) : NULL;
    if (chunk == NULL)
        return heap->top_bytes >= need_bytes ? take_from_top(heap, need_bytes, clean) : NULL;
    unlink_chunk(heap, chunk);
    size_t chunk_bytes = aegis_i_chunk_bytes(chunk);
    size_t rest_bytes = chunk_bytes - need_bytes;
    if (rest_bytes >= AEGIS_I_CHUNK_MIN) {
        chunk_bytes = need_bytes;
        link_chunk(heap, new_chunk(chunk, need_bytes), rest_bytes);
    } else {
        aegis_i_chunk_at(chunk, chunk_bytes)->head |= AEGIS_I_CHUNK_AFTER_USED;
    }
    chunk->head = chunk_bytes | AEGIS_I_CHUNK_AFTER_USED | AEGIS_I_CHUNK_USED | AEGIS_I_CHUNK_OUT;
    heap->used_bytes += chunk_bytes;
    *clean = (unsigned char *)aegis_i_chunk_at(chunk, chunk_bytes) + AEGIS_I_CHUNK_STOP;
    return chunk;
}

void aegis_i_heap_merge(aegis_arena_heap *heap, aegis_arena_heap_chunk *chunk) {
    size_t chunk_bytes = aegis_i_chunk_bytes(chunk);
    aegis_arena_heap_chunk *behind = aegis_i_chunk_at(chunk, chunk_bytes);
    /* A second free of this memory finds that it is not out. */
    chunk->head &= ~(AEGIS_I_CHUNK_USED | AEGIS_I_CHUNK_OUT);
    if ((chunk->head & AEGIS_I_CHUNK_AFTER_USED) == 0) {
        size_t before_bytes = chunk->previous_bytes;
        chunk = (aegis_arena_heap_chunk *)(void *)((unsigned char *)chunk - before_bytes);
        unlink_chunk(heap, chunk);
        chunk_bytes += before_bytes;
    }
    if (behind == heap->top) {
        heap->top = chunk;
        heap->top_bytes += chunk_bytes;
        chunk->head = heap->top_bytes | AEGIS_I_CHUNK_AFTER_USED;
        return;
    }
    if ((behind->head & AEGIS_I_CHUNK_USED) == 0) {
        unlink_chunk(heap, behind);
        chunk_bytes += aegis_i_chunk_bytes(behind);
    }
    link_chunk(heap, chunk, chunk_bytes);
}

void aegis_i_heap_split(aegis_arena_heap *heap, aegis_arena_heap_chunk *chunk, size_t need_bytes) {
    size_t chunk_bytes = aegis_i_chunk_bytes(chunk);
    size_t rest_bytes = chunk_bytes - need_bytes;
    if (rest_bytes < AEGIS_I_CHUNK_MIN)
        return;
    aegis_arena_heap_chunk *rest = new_chunk(chunk, need_bytes);
    chunk->head -= rest_bytes;
    rest->head = rest_bytes | AEGIS_I_CHUNK_AFTER_USED;
    heap->used_bytes -= rest_bytes;
    aegis_i_heap_merge(heap, rest);
}

aegis_arena_heap_chunk *aegis_i_heap_split_front(aegis_arena_heap *heap,
                                                 aegis_arena_heap_chunk *chunk,
                                                 size_t offset_bytes) {
    aegis_arena_heap_chunk *rest = new_chunk(chunk, offset_bytes);
    rest->head =
        (aegis_i_chunk_bytes(chunk) - offset_bytes) | AEGIS_I_CHUNK_USED | AEGIS_I_CHUNK_OUT;
    chunk->head = offset_bytes | (chunk->head & AEGIS_I_CHUNK_AFTER_USED);
    heap->used_bytes -= offset_bytes;
    aegis_i_heap_merge(heap, chunk);
    return rest;
}

bool aegis_i_heap_extend(aegis_arena_heap *heap, aegis_arena_heap_chunk *chunk, size_t need_bytes) {
    size_t chunk_bytes = aegis_i_chunk_bytes(chunk);
    aegis_arena_heap_chunk *behind = aegis_i_chunk_at(chunk, chunk_bytes);
    size_t flags = chunk->head & AEGIS_I_CHUNK_FLAGS;
    unsigned char *clean;
    if (behind == heap->top) {
        if (heap->top_bytes < need_bytes - chunk_bytes)
            return false;
        (void)take_from_top(heap, aegis_i_max(need_bytes - chunk_bytes, AEGIS_I_CHUNK_GRAIN),
                            &clean);
        chunk->head = (chunk_bytes + aegis_i_chunk_bytes(behind)) | flags;
        return true;
    }
    if ((behind->head & AEGIS_I_CHUNK_USED) != 0 ||
        aegis_i_chunk_bytes(behind) < need_bytes - chunk_bytes)
        return false;
    unlink_chunk(heap, behind);
    size_t whole_bytes = chunk_bytes + aegis_i_chunk_bytes(behind);
    heap->used_bytes += whole_bytes - chunk_bytes;
    chunk->head = whole_bytes | flags;
    aegis_i_chunk_at(chunk, whole_bytes)->head |= AEGIS_I_CHUNK_AFTER_USED;
    aegis_i_heap_split(heap, chunk, need_bytes);
    return true;
}

void aegis_i_heap_merge_quick(aegis_arena_heap *heap) {
    for (size_t i = 0; i < AEGIS_ARENA_HEAP_QUICK; i++) {
        aegis_arena_heap_chunk *chunk = heap->quick[i];
        heap->quick[i] = NULL;
        while (chunk != NULL) {
            aegis_arena_heap_chunk *next = chunk->u.next;
            aegis_i_heap_merge(heap, chunk);
            chunk = next;
        }
    }
    aegis_i_heap_settle(heap);
}

/* Puts the top into a bin. */
static void retire_top(aegis_arena_heap *heap) {
    if (heap->top != NULL)
        link_chunk(heap, heap->top, heap->top_bytes);
    heap->top = NULL;
    heap->top_bytes = 0;
}

void aegis_i_heap_enter(aegis_arena_heap *heap, aegis_arena_heap_block *block) {
    retire_top(heap);
    heap->top = aegis_i_block_chunks(block);
    heap->top_bytes = block->capacity_bytes;
    if (AEGIS_I_CHECKED) {
        AEGIS_I_HIDE(heap->top, heap->top_bytes);
        AEGIS_I_SHOW(heap->top, sizeof *heap->top);
    }
    heap->top->head = heap->top_bytes | AEGIS_I_CHUNK_AFTER_USED;
    aegis_i_chunk_at(heap->top, heap->top_bytes)->head = AEGIS_I_CHUNK_USED;
    heap->dirty_end =
        (unsigned char *)heap->top + (block->is_zero ? offsetof(aegis_arena_heap_chunk, u)
                                                     : heap->top_bytes + AEGIS_I_CHUNK_STOP);
    block->is_zero = false;
    heap->capacity_bytes += block->capacity_bytes;
}

bool aegis_i_heap_leave(aegis_arena_heap *heap, const aegis_arena_heap_block *block) {
    aegis_arena_heap_chunk *chunk = aegis_i_block_chunks(block);
    if ((chunk->head & AEGIS_I_CHUNK_USED) != 0 ||
        aegis_i_chunk_bytes(chunk) != block->capacity_bytes)
        return false;
    if (chunk == heap->top) {
        heap->top = NULL;
        heap->top_bytes = 0;
    } else {
        unlink_chunk(heap, chunk);
    }
    heap->capacity_bytes -= block->capacity_bytes;
    return true;
}

size_t aegis_i_heap_largest(const aegis_arena_heap *heap) {
    size_t largest_bytes = heap->top_bytes;
    unsigned bin = AEGIS_ARENA_HEAP_BINS;
    while (bin-- != 0 && heap->bins[bin] == NULL)
        continue;
    if (bin < AEGIS_ARENA_HEAP_BINS)
        for (const aegis_arena_heap_chunk *chunk = heap->bins[bin]; chunk != NULL;
             chunk = chunk->u.next)
            largest_bytes = aegis_i_max(largest_bytes, aegis_i_chunk_bytes(chunk));
    return largest_bytes;
}

void aegis_i_heap_forget(aegis_arena_heap *heap) {
    memset(heap->quick, 0, sizeof heap->quick);
    memset(heap->bins, 0, sizeof heap->bins);
    memset(heap->bin_map, 0, sizeof heap->bin_map);
    heap->top = NULL;
    heap->top_bytes = heap->binned_bytes = heap->used_bytes = heap->capacity_bytes = 0;
    heap->dirty_end = NULL;
    heap->least_used_bytes = 0;
}
