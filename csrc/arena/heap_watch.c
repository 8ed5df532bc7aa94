/* SPDX-License-Identifier: Apache-2.0 */
/* What a heap does about mistakes and secrets when its flags ask for it: guards, fill patterns,
 * wiping; and what it tells checkers.
 *
 * Invariants:
 * 1. In a guarded heap a seal ends the chunk of each allocation. It is computed from the size that
 *    was asked for and from the address. The bytes between the allocation and the seal have a
 *    pattern, and there are at least PATTERN_BYTES (aegis_i_heap_mark_out).
 * 2. A heap with a checker in the build has no guards: the bytes behind an allocation are hidden,
 *    at least AEGIS_I_GUARD_BYTES, and the header of the chunk has the size.
 * 3. In a watched heap the quick lists are empty, so a chunk that is freed is merged at once.
 *
 * A pointer is taken for an allocation that is out if it lies in a block, if its header and the one
 * behind it agree, and, in a guarded heap, if the seal is good. No chunk is looked for, so this
 * costs O(blocks). */
#include "heap_watch.h"
#include "../base/text.h"

#define PATTERN_BYTES 16
#define PATTERN_GUARD 0xFD
#define PATTERN_FRESH 0xA5
#define PATTERN_FREED 0xDF

static const size_t seal_bytes = sizeof(size_t);

size_t aegis_i_heap_guard_size(void) {
    return PATTERN_BYTES + sizeof(size_t);
}

static bool is_guarded(const aegis_arena_heap *heap) {
    return (heap->flags & AEGIS_ARENA_GUARD) != 0;
}

/* Where the seal of a chunk is. */
static unsigned char *seal_of(const aegis_arena_heap_chunk *chunk) {
    return aegis_i_chunk_memory(chunk) + aegis_i_chunk_room(chunk) - seal_bytes;
}

/* The size by its seal, or the seal by its size. */
static size_t sealed(const aegis_arena_heap_chunk *chunk, size_t value) {
    return value ^ (size_t)(uintptr_t)chunk * 3 ^ (size_t)0x9E3779B9u;
}

static size_t unsealed_size(const aegis_arena_heap_chunk *chunk) {
    size_t seal;
    memcpy(&seal, seal_of(chunk), sizeof seal);
    return sealed(chunk, seal);
}

/* Whether the seal of an allocation names a size that its chunk can have. */
static bool is_sealed(const aegis_arena_heap_chunk *chunk) {
    size_t room_bytes = aegis_i_chunk_room(chunk);
    return room_bytes >= aegis_i_heap_guard_size() &&
           unsealed_size(chunk) <= room_bytes - aegis_i_heap_guard_size();
}

/* Whether nothing was written between the allocation and its seal, which is good. */
static bool is_intact(const aegis_arena_heap_chunk *chunk) {
    const unsigned char *p = aegis_i_chunk_memory(chunk) + unsealed_size(chunk);
    for (; p < seal_of(chunk); p++)
        if (*p != PATTERN_GUARD)
            return false;
    return true;
}

void aegis_i_heap_report(const aegis_arena_heap *heap, const aegis_i_heap_damage *damage) {
    if (damage->kind == AEGIS_I_HEAP_OVERRUN && damage->size_bytes == AEGIS_I_ANY_BYTES)
        aegis_i_report("heap '%s': an allocation was overrun by %d bytes or more", heap->name,
                       PATTERN_BYTES);
    else if (damage->kind == AEGIS_I_HEAP_OVERRUN)
        aegis_i_report("heap '%s': an allocation of %zu bytes was overrun", heap->name,
                       damage->size_bytes);
    else if (!AEGIS_I_DEBUG)
        return;
    else if (damage->kind == AEGIS_I_HEAP_FOREIGN)
        aegis_i_report("heap '%s': %p is not an allocation of this heap", heap->name,
                       (void *)(uintptr_t)damage->memory);
    else if (damage->kind == AEGIS_I_HEAP_FREED)
        aegis_i_report("heap '%s': %p was freed before", heap->name,
                       (void *)(uintptr_t)damage->memory);
    else if (damage->kind == AEGIS_I_HEAP_OTHER_SIZE)
        aegis_i_report("heap '%s': an allocation of %zu bytes was named with a size of %zu",
                       heap->name, damage->size_bytes, damage->named_bytes);
}

/* The bytes from a chunk to the end of its block; 0: it lies in no block in use. */
static size_t left_in_block(const aegis_arena_heap *heap, const aegis_arena_heap_chunk *chunk) {
    uintptr_t address = (uintptr_t)chunk;
    for (const aegis_arena_heap_large *large = heap->large; large != NULL; large = large->next)
        if (chunk == aegis_i_large_chunk(large))
            return large->total_bytes;
    const aegis_arena_heap_block *block = heap->last != NULL ? heap->first : NULL;
    for (; block != NULL; block = block != heap->last ? block->next : NULL)
        if (address - (uintptr_t)aegis_i_block_chunks(block) < block->capacity_bytes)
            return block->capacity_bytes -
                   (size_t)(address - (uintptr_t)aegis_i_block_chunks(block));
    return 0;
}

bool aegis_i_heap_is_out(const aegis_arena_heap *heap, const void *memory, size_t named_bytes,
                         aegis_i_heap_damage *damage) {
    const aegis_arena_heap_chunk *chunk = aegis_i_chunk_of(memory);
    damage->memory = memory;
    damage->size_bytes = AEGIS_I_ANY_BYTES;
    bool sought = AEGIS_I_DEBUG || is_guarded(heap);
    size_t left_bytes = sought ? left_in_block(heap, chunk) : SIZE_MAX;
    if (left_bytes == 0 || (uintptr_t)memory % AEGIS_ARENA_HEAP_ALIGN != 0) {
        damage->kind = AEGIS_I_HEAP_FOREIGN;
        return false;
    }
    if ((chunk->head & AEGIS_I_CHUNK_OUT) == 0) {
        damage->kind = AEGIS_I_HEAP_FREED;
        return false;
    }
    size_t chunk_bytes = aegis_i_chunk_bytes(chunk);
    if (chunk_bytes < AEGIS_I_CHUNK_MIN || chunk_bytes > left_bytes) {
        /* An overrun of the allocation before has reached the header. */
        damage->kind = AEGIS_I_HEAP_OVERRUN;
        return false;
    }
    if (is_guarded(heap) && !is_sealed(chunk)) {
        /* Its size is not known, so the chunk is not used again before a reset. */
        damage->kind = AEGIS_I_HEAP_OVERRUN;
        return false;
    }
    size_t size_bytes = damage->size_bytes = aegis_i_heap_size_of(heap, memory);
    if (is_guarded(heap) && !is_intact(chunk)) {
        damage->kind = AEGIS_I_HEAP_OVERRUN;
    } else if (named_bytes != AEGIS_I_ANY_BYTES &&
               (is_guarded(heap) || AEGIS_I_CHECKED ? named_bytes != size_bytes
                                                    : named_bytes > size_bytes)) {
        damage->kind = AEGIS_I_HEAP_OTHER_SIZE;
        damage->named_bytes = named_bytes;
    }
    return true;
}

size_t aegis_i_heap_size_of(const aegis_arena_heap *heap, const void *memory) {
    const aegis_arena_heap_chunk *chunk = aegis_i_chunk_of(memory);
    if (AEGIS_I_CHECKED)
        return chunk->u.requested_bytes;
    if (is_guarded(heap))
        return is_sealed(chunk) ? unsealed_size(chunk) : 0;
    return aegis_i_chunk_room(chunk);
}

void aegis_i_heap_mark_out(const aegis_arena_heap *heap, void *memory, size_t old_bytes,
                           size_t size_bytes) {
    aegis_arena_heap_chunk *chunk = aegis_i_chunk_of(memory);
    unsigned char *p = (unsigned char *)memory;
    size_t room_bytes = aegis_i_chunk_room(chunk);
    if (AEGIS_I_CHECKED) {
        chunk->u.requested_bytes = size_bytes;
        if (size_bytes > old_bytes)
            AEGIS_I_SHOW(p + old_bytes, size_bytes - old_bytes);
        AEGIS_I_HIDE(p + size_bytes, room_bytes - size_bytes);
    }
    if ((heap->flags & AEGIS_ARENA_FILL) != 0 && size_bytes > old_bytes) {
        memset(p + old_bytes, PATTERN_FRESH, size_bytes - old_bytes);
        if (AEGIS_I_CHECKED)
            AEGIS_I_SHOW(p + old_bytes, size_bytes - old_bytes);
    }
    if (is_guarded(heap)) {
        size_t seal = sealed(chunk, size_bytes);
        memset(p + size_bytes, PATTERN_GUARD, room_bytes - seal_bytes - size_bytes);
        memcpy(seal_of(chunk), &seal, sizeof seal);
    }
}

/* A memset that the compiler must keep, because it does not know which function is called. */
static void *(*volatile const wipe)(void *, int, size_t) = memset;

static void clean(const aegis_arena_heap *heap, void *memory, size_t size_bytes) {
    if ((heap->flags & (AEGIS_ARENA_WIPE | AEGIS_ARENA_FILL)) == 0)
        return;
    AEGIS_I_SHOW_ZEROED(memory, size_bytes);
    wipe(memory, (heap->flags & AEGIS_ARENA_WIPE) != 0 ? 0 : PATTERN_FREED, size_bytes);
}

void aegis_i_heap_mark_freed(const aegis_arena_heap *heap, void *memory) {
    size_t room_bytes = aegis_i_chunk_room(aegis_i_chunk_of(memory));
    clean(heap, memory, room_bytes);
    if (AEGIS_I_CHECKED)
        AEGIS_I_HIDE(memory, room_bytes);
}

void aegis_i_heap_mark_cut(const aegis_arena_heap *heap, void *memory, size_t old_bytes,
                           size_t new_bytes) {
    clean(heap, (unsigned char *)memory + new_bytes, old_bytes - new_bytes);
    if (AEGIS_I_CHECKED)
        AEGIS_I_HIDE((unsigned char *)memory + new_bytes, old_bytes - new_bytes);
}

static void mark_reset(const aegis_arena_heap *heap, aegis_arena_heap_chunk *chunk) {
    aegis_i_heap_damage damage = {AEGIS_I_HEAP_SOUND, NULL, 0, 0};
    if ((chunk->head & AEGIS_I_CHUNK_OUT) == 0)
        return;
    (void)aegis_i_heap_is_out(heap, aegis_i_chunk_memory(chunk), AEGIS_I_ANY_BYTES, &damage);
    aegis_i_heap_report(heap, &damage);
    aegis_i_heap_mark_freed(heap, aegis_i_chunk_memory(chunk));
}

void aegis_i_heap_mark_reset(const aegis_arena_heap *heap) {
    for (aegis_arena_heap_large *large = heap->large; large != NULL; large = large->next)
        mark_reset(heap, aegis_i_large_chunk(large));
    aegis_arena_heap_block *block = heap->last != NULL ? heap->first : NULL;
    for (; block != NULL; block = block != heap->last ? block->next : NULL) {
        /* A header that was overrun may have any size. The walk ends at the first bad one. */
        aegis_arena_heap_chunk *chunk = aegis_i_block_chunks(block);
        size_t left_bytes = block->capacity_bytes, chunk_bytes;
        while ((chunk_bytes = aegis_i_chunk_bytes(chunk)) >= AEGIS_I_CHUNK_MIN &&
               chunk_bytes <= left_bytes) {
            left_bytes -= chunk_bytes;
            mark_reset(heap, chunk);
            chunk = aegis_i_chunk_at(chunk, chunk_bytes);
        }
    }
}
