/* SPDX-License-Identifier: Apache-2.0 */
/* The arena in the shapes of malloc. The functions that get no size when they free keep the size in
 * a header of 16 bytes before the memory. The header also keeps the alignment. */
#include "aegis_memory/arena_hooks.h"
#include "../base/arithmetic.h"

#define HOOK_ALIGN ((size_t)16)

static unsigned char *head_of(const void *memory) {
    return (unsigned char *)(uintptr_t)memory - HOOK_ALIGN;
}

static size_t size_of(const void *memory) {
    size_t size_bytes;
    memcpy(&size_bytes, head_of(memory), sizeof size_bytes);
    return size_bytes;
}

/* Writes the header at `block` and returns the memory behind it. If `block` is NULL, returns
 * NULL. */
static void *with_head(void *block, size_t size_bytes) {
    if (block == NULL)
        return NULL;
    memcpy(block, &size_bytes, sizeof size_bytes);
    return (unsigned char *)block + HOOK_ALIGN;
}

/* The size with its header, or a size that every allocation refuses. */
static size_t with_head_bytes(size_t size_bytes) {
    return size_bytes <= PTRDIFF_MAX ? size_bytes + HOOK_ALIGN : SIZE_MAX;
}

void *aegis_arena_hook_malloc(void *arena, size_t size_bytes) {
    return with_head(
        aegis_arena_alloc_aligned((aegis_arena *)arena, with_head_bytes(size_bytes), HOOK_ALIGN),
        size_bytes);
}

/* The size of an array, or a size that every allocation refuses. */
static size_t array_bytes(size_t count, size_t size_bytes) {
    size_t total_bytes = count * size_bytes;
    return size_bytes != 0 && total_bytes / size_bytes != count ? SIZE_MAX : total_bytes;
}

void *aegis_arena_hook_calloc(void *arena, size_t count, size_t size_bytes) {
    size_t total_bytes = array_bytes(count, size_bytes);
    return with_head(aegis_arena_alloc_slow((aegis_arena *)arena, with_head_bytes(total_bytes),
                                            HOOK_ALIGN, true),
                     total_bytes);
}

void *aegis_arena_hook_zalloc(void *arena, unsigned count, unsigned size_bytes) {
    return aegis_arena_hook_malloc(arena, array_bytes(count, size_bytes));
}

void *aegis_arena_hook_realloc(void *arena, void *memory, size_t size_bytes) {
    if (memory == NULL)
        return aegis_arena_hook_malloc(arena, size_bytes);
    if (size_bytes == 0) {
        aegis_arena_hook_free(arena, memory);
        return NULL;
    }
    return with_head(aegis_arena_realloc_aligned((aegis_arena *)arena, head_of(memory),
                                                 size_of(memory) + HOOK_ALIGN,
                                                 with_head_bytes(size_bytes), HOOK_ALIGN),
                     size_bytes);
}

void aegis_arena_hook_free(void *arena, void *memory) {
    if (memory != NULL)
        aegis_arena_free_last((aegis_arena *)arena, head_of(memory), size_of(memory) + HOOK_ALIGN);
}

size_t aegis_arena_hook_usable_size(void *arena, const void *memory) {
    (void)arena;
    return memory != NULL ? size_of(memory) : 0;
}

void *aegis_arena_hook_resize_sized(void *arena, void *memory, size_t old_bytes, size_t new_bytes) {
    if (new_bytes == 0) {
        aegis_arena_hook_free_sized(arena, memory, old_bytes);
        return NULL;
    }
    return aegis_arena_realloc_aligned((aegis_arena *)arena, memory, memory != NULL ? old_bytes : 0,
                                       new_bytes, HOOK_ALIGN);
}

void aegis_arena_hook_free_sized(void *arena, void *memory, size_t size_bytes) {
    aegis_arena_free_last((aegis_arena *)arena, memory, size_bytes);
}
