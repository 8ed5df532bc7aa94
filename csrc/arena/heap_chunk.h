/* SPDX-License-Identifier: Apache-2.0 */
/* The chunks of a heap, and the lists of free ones: see heap_chunk.c. This unit knows one heap and
 * the memory of its blocks, but not how blocks are acquired. Not installed. */
#ifndef AEGIS_MEMORY_I_ARENA_HEAP_CHUNK_H
#define AEGIS_MEMORY_I_ARENA_HEAP_CHUNK_H

#include "../base/arithmetic.h"
#include "../base/harden.h"
#include "aegis_memory/arena_heap.h"

/* A chunk. While it is out, only `head` is in use. In a build without a checker the bytes of the
 * user begin at `next`, and reach to the end of the field `previous_bytes` of the chunk behind. In
 * a build with a checker they begin behind the struct, so that all of them can be hidden. */
struct aegis_arena_heap_chunk {
    /* The size of the chunk before, if that is in a bin. In a large block: the bytes from the start
     * of the block. */
    size_t previous_bytes;
    /* The size of this chunk and AEGIS_I_CHUNK_*. */
    size_t head;
    union {
        aegis_arena_heap_chunk *next;
        /* In a build with a checker, while the chunk is out: the bytes asked for. */
        size_t requested_bytes;
    } u;
    aegis_arena_heap_chunk *previous;
};

/* A block: the block header. Chunks follow it, and a chunk header at its end stops them. */
struct aegis_arena_heap_block {
    aegis_arena_heap_block *next;
    size_t total_bytes;
    /* The size of all chunks together. */
    size_t capacity_bytes;
    /* Whether it lies in the caller's memory, and whether nothing of it was ever handed out and it
     * is all zero. */
    bool is_callers;
    bool is_zero;
};

/* A block of its own for a large request. The list is circular in `previous` only. */
struct aegis_arena_heap_large {
    aegis_arena_heap_large *next;
    aegis_arena_heap_large *previous;
    size_t total_bytes;
    size_t align_bytes;
    /* Where its chunk is. */
    size_t offset_bytes;
};

/* The chunk before is not in a bin. */
#define AEGIS_I_CHUNK_AFTER_USED ((size_t)1)
/* The chunk is neither in a bin nor the top: it is out or in a quick list. */
#define AEGIS_I_CHUNK_USED ((size_t)2)
/* The chunk is out: a user has it. */
#define AEGIS_I_CHUNK_OUT ((size_t)4)
/* The chunk has a block of its own. */
#define AEGIS_I_CHUNK_LARGE ((size_t)8)
#define AEGIS_I_CHUNK_FLAGS ((size_t)15)

/* Where the bytes of the user begin, how many bytes of a chunk they are not, and the smallest
 * chunk. */
#if AEGIS_I_CHECKED
#define AEGIS_I_CHUNK_START sizeof(aegis_arena_heap_chunk)
#define AEGIS_I_CHUNK_OVERHEAD sizeof(aegis_arena_heap_chunk)
#else
#define AEGIS_I_CHUNK_START (2 * sizeof(size_t))
#define AEGIS_I_CHUNK_OVERHEAD sizeof(size_t)
#endif
#define AEGIS_I_CHUNK_GRAIN ((size_t)AEGIS_ARENA_HEAP_ALIGN)
#define AEGIS_I_CHUNK_MIN sizeof(aegis_arena_heap_chunk)
/* The chunk header at the end of a block. */
#define AEGIS_I_CHUNK_STOP (2 * sizeof(size_t))
/* The quick lists are not merged for less. */
#define AEGIS_I_QUICK_LEAST ((size_t)16 << 10)
/* Chunks below this size may be in quick lists. */
#define AEGIS_I_QUICK_LIMIT (AEGIS_I_CHUNK_GRAIN * AEGIS_ARENA_HEAP_QUICK)

/* The bytes at the start of a block before the first chunk, if the block is aligned to
 * AEGIS_ARENA_HEAP_ALIGN. */
#define AEGIS_I_HEAP_BLOCK_HEADER                                                                  \
    (((sizeof(aegis_arena_heap_block) + AEGIS_I_CHUNK_START + AEGIS_I_CHUNK_GRAIN - 1) &           \
      ~(AEGIS_I_CHUNK_GRAIN - 1)) -                                                                \
     AEGIS_I_CHUNK_START)

_Static_assert(sizeof(aegis_arena_heap_chunk) % AEGIS_ARENA_HEAP_ALIGN == 0,
               "chunks keep the alignment");

static inline aegis_arena_heap_chunk *aegis_i_chunk_at(const void *chunk, size_t offset_bytes) {
    return (aegis_arena_heap_chunk *)(void *)((unsigned char *)(uintptr_t)chunk + offset_bytes);
}

static inline size_t aegis_i_chunk_bytes(const aegis_arena_heap_chunk *chunk) {
    return chunk->head & ~AEGIS_I_CHUNK_FLAGS;
}

/* The chunk behind. */
static inline aegis_arena_heap_chunk *aegis_i_chunk_behind(const aegis_arena_heap_chunk *chunk) {
    return aegis_i_chunk_at(chunk, aegis_i_chunk_bytes(chunk));
}

static inline unsigned char *aegis_i_chunk_memory(const aegis_arena_heap_chunk *chunk) {
    return (unsigned char *)(uintptr_t)chunk + AEGIS_I_CHUNK_START;
}

static inline aegis_arena_heap_chunk *aegis_i_chunk_of(const void *memory) {
    return (aegis_arena_heap_chunk *)(void *)((unsigned char *)(uintptr_t)memory -
                                              AEGIS_I_CHUNK_START);
}

/* The bytes of a chunk that a user may have. */
static inline size_t aegis_i_chunk_room(const aegis_arena_heap_chunk *chunk) {
    return aegis_i_chunk_bytes(chunk) - AEGIS_I_CHUNK_OVERHEAD;
}

/* The size of the chunk for a request, which is at most PTRDIFF_MAX with its guard. */
static inline size_t aegis_i_chunk_need(const aegis_arena_heap *heap, size_t size_bytes) {
    size_t need_bytes = aegis_i_round_up(size_bytes + heap->guard_bytes + AEGIS_I_CHUNK_OVERHEAD,
                                         AEGIS_I_CHUNK_GRAIN);
    return aegis_i_max(need_bytes, AEGIS_I_CHUNK_MIN);
}

/* The first chunk of a block. */
static inline aegis_arena_heap_chunk *aegis_i_block_chunks(const aegis_arena_heap_block *block) {
    const unsigned char *from = (const unsigned char *)(block + 1);
    return aegis_i_chunk_at(from, aegis_i_padding(from + AEGIS_I_CHUNK_START, AEGIS_I_CHUNK_GRAIN));
}

/* The only chunk of a large block. */
static inline aegis_arena_heap_chunk *aegis_i_large_chunk(const aegis_arena_heap_large *large) {
    return aegis_i_chunk_at(large, large->offset_bytes);
}

/* Merges all chunks of the quick lists. */
AEGIS_I_HIDDEN void aegis_i_heap_merge_quick(aegis_arena_heap *heap);

/* The bytes in the quick lists. */
static inline size_t aegis_i_heap_quick_bytes(const aegis_arena_heap *heap) {
    return heap->capacity_bytes - heap->used_bytes - heap->binned_bytes - heap->top_bytes;
}

/* The largest request that the quick lists serve. */
#define AEGIS_I_QUICK_MAX (AEGIS_I_QUICK_LIMIT - AEGIS_I_CHUNK_GRAIN - AEGIS_I_CHUNK_OVERHEAD)
/* Whether no call may take the fast path. */
#define AEGIS_I_NEVER_QUICK (AEGIS_I_DEBUG || AEGIS_I_CHECKED)

/* The list for requests of at most AEGIS_I_QUICK_MAX bytes. */
static inline size_t aegis_i_quick_of(size_t size_bytes) {
    size_t list =
        (size_bytes + AEGIS_I_CHUNK_OVERHEAD + AEGIS_I_CHUNK_GRAIN - 1) / AEGIS_I_CHUNK_GRAIN;
    return aegis_i_max(list, AEGIS_I_CHUNK_MIN / AEGIS_I_CHUNK_GRAIN);
}

/* Takes a chunk from its quick list; NULL if that is empty. */
static inline void *aegis_i_heap_take_quick(aegis_arena_heap *heap, size_t size_bytes) {
    if (AEGIS_UNLIKELY(size_bytes > AEGIS_I_QUICK_MAX))
        return NULL;
    size_t list = aegis_i_quick_of(size_bytes);
    aegis_arena_heap_chunk *chunk = heap->quick[list];
    if (AEGIS_UNLIKELY(chunk == NULL))
        return NULL;
    heap->quick[list] = chunk->u.next;
    chunk->head |= AEGIS_I_CHUNK_OUT;
    heap->used_bytes += list * AEGIS_I_CHUNK_GRAIN;
    return aegis_i_chunk_memory(chunk);
}

/* Puts a chunk into its quick list. False: it must take the slow path. */
static inline bool aegis_i_heap_free_quick(aegis_arena_heap *heap, void *memory) {
    if (AEGIS_I_NEVER_QUICK && heap->quick_limit_bytes == 0)
        return false;
    aegis_arena_heap_chunk *chunk = aegis_i_chunk_of(memory);
    size_t head = chunk->head, chunk_bytes = head & ~AEGIS_I_CHUNK_FLAGS;
    /* A chunk of a block of its own is small too if only its alignment is large. */
    if (AEGIS_UNLIKELY(chunk_bytes >= heap->quick_limit_bytes ||
                       (head & (AEGIS_I_CHUNK_OUT | AEGIS_I_CHUNK_LARGE)) != AEGIS_I_CHUNK_OUT))
        return false;
    chunk->head = head & ~AEGIS_I_CHUNK_OUT;
    chunk->u.next = heap->quick[chunk_bytes / AEGIS_I_CHUNK_GRAIN];
    heap->quick[chunk_bytes / AEGIS_I_CHUNK_GRAIN] = chunk;
    heap->used_bytes -= chunk_bytes;
    if (AEGIS_UNLIKELY(heap->used_bytes < heap->least_used_bytes))
        aegis_i_heap_merge_quick(heap);
    return true;
}

/* Whether the fields are consistent; O(1), for asserts. */
AEGIS_I_HIDDEN bool aegis_i_heap_is_valid(const aegis_arena_heap *heap);
/* Takes a chunk of at least `need_bytes` from the bins or the top, and counts it as out. `*clean`
 * is where its bytes begin to be zero. `all`: looks at every chunk of a bin. NULL: there is none.
 */
AEGIS_I_HIDDEN aegis_arena_heap_chunk *aegis_i_heap_take(aegis_arena_heap *heap, size_t need_bytes,
                                                         bool all, unsigned char **clean);
/* Merges a chunk that is neither out nor in a bin with the free chunks beside it. */
AEGIS_I_HIDDEN void aegis_i_heap_merge(aegis_arena_heap *heap, aegis_arena_heap_chunk *chunk);
/* Gives back what a chunk that is out has beyond `need_bytes`, if that makes a chunk. */
AEGIS_I_HIDDEN void aegis_i_heap_split(aegis_arena_heap *heap, aegis_arena_heap_chunk *chunk,
                                       size_t need_bytes);
/* Gives back the first `offset_bytes` of a chunk that is out, which are at least
 * AEGIS_I_CHUNK_MIN. Returns the rest, which is out. */
AEGIS_I_HIDDEN aegis_arena_heap_chunk *aegis_i_heap_split_front(aegis_arena_heap *heap,
                                                                aegis_arena_heap_chunk *chunk,
                                                                size_t offset_bytes);
/* Makes a chunk that is out larger by what follows it. False: what follows is not free or too
 * small. */
AEGIS_I_HIDDEN bool aegis_i_heap_extend(aegis_arena_heap *heap, aegis_arena_heap_chunk *chunk,
                                        size_t need_bytes);
/* Makes the chunks of `block` the top; the old top goes to a bin. */
AEGIS_I_HIDDEN void aegis_i_heap_enter(aegis_arena_heap *heap, aegis_arena_heap_block *block);
/* Takes the only chunk of a block, which is free, from its bin or from the top. False: something
 * of the block is out or in a quick list. */
AEGIS_I_HIDDEN bool aegis_i_heap_leave(aegis_arena_heap *heap, const aegis_arena_heap_block *block);
/* The size of the largest free chunk. */
AEGIS_I_HIDDEN size_t aegis_i_heap_largest(const aegis_arena_heap *heap);
/* Finds out how many bytes must be out so that the quick lists do not have too much: an eighth, or
 * 16 KiB when nothing is out, because chunks that are left there would lie all over the blocks.
 * Each function that changes what is in bins and in the top calls it. */
static inline void aegis_i_heap_settle(aegis_arena_heap *heap) {
    size_t taken_bytes = heap->capacity_bytes - heap->binned_bytes - heap->top_bytes;
    size_t most_bytes = aegis_i_max(heap->capacity_bytes / 8, AEGIS_I_QUICK_LEAST);
    heap->least_used_bytes = taken_bytes > most_bytes            ? taken_bytes - most_bytes
                             : taken_bytes > AEGIS_I_QUICK_LEAST ? 1
                                                                 : 0;
}
/* Forgets all chunks. */
AEGIS_I_HIDDEN void aegis_i_heap_forget(aegis_arena_heap *heap);

#endif
