/* SPDX-License-Identifier: Apache-2.0 */
/* Where the bytes of buffers come from: the C heap, the caller, an arena.
 *
 * Each kind of owner is a struct that begins with the public header, and a release function that
 * knows the kind. On the heap the owner and its bytes are one allocation, the bytes behind; nothing
 * lies behind the bytes but slack for an alignment that malloc does not promise. */
#include "owner.h"

#include <stdlib.h>

#define DEFAULT_ALIGN ((size_t)16)

unsigned char aegis_i_buffer_nothing[1];

aegis_status aegis_i_buffer_fail(aegis_error *error, aegis_status status, size_t size_bytes,
                                 size_t align_bytes) {
    if (error != NULL)
        (void)aegis_i_error_bytes(error, status, size_bytes, align_bytes);
    return status;
}

aegis_status aegis_i_buffer_refuse(aegis_error *error, aegis_status status, uint32_t what,
                                   size_t size_bytes) {
    if (error != NULL) {
        (void)aegis_i_error_bytes(error, status, size_bytes, 0);
        error->what = what;
    }
    return status;
}

/* -- the C heap -- */

typedef struct heap_memory {
    aegis_buffer_owner owner;
    aegis_budget *budget;
    /* The whole allocation, as charged. */
    size_t total_bytes;
} heap_memory;

#define HEAP_HEAD ((sizeof(heap_memory) + DEFAULT_ALIGN - 1) & ~(DEFAULT_ALIGN - 1))

static void heap_release(aegis_buffer_owner *owner) {
    heap_memory *memory = (heap_memory *)(void *)owner;
    aegis_budget *budget = memory->budget;
    size_t total_bytes = memory->total_bytes;
    free(memory);
    (void)aegis_budget_uncharge(budget, total_bytes);
    aegis_budget_destroy(budget);
}

/* Charges the budget; says in `error` which one refused. */
static aegis_status charge(aegis_budget *budget, size_t total_bytes, size_t size_bytes,
                           size_t align_bytes, aegis_error *error) {
    aegis_i_refusal why;
    aegis_status status = aegis_i_budget_charge(budget, total_bytes, &why);
    if (status == AEGIS_OK)
        return AEGIS_OK;
    (void)aegis_i_buffer_fail(error, status, size_bytes, align_bytes);
    if (error != NULL)
        aegis_i_explain_refusal(&why, error);
    return status;
}

/* Says that no capacity fits behind the head at this alignment, a power of two. */
static aegis_status refuse_align(aegis_error *error, size_t capacity_bytes, size_t align_bytes) {
    (void)aegis_i_buffer_refuse(error, AEGIS_E_INVALID_LAYOUT, AEGIS_WHAT_ALIGN, capacity_bytes);
    if (error != NULL) {
        error->align_bytes = error->asked = align_bytes;
        error->allowed = align_bytes / 2;
    }
    return AEGIS_E_INVALID_LAYOUT;
}

aegis_status aegis_buffer_mut_alloc(aegis_buffer_mut *writer, size_t capacity_bytes,
                                    size_t align_bytes, aegis_budget *budget, aegis_error *error) {
    memset(writer, 0, sizeof *writer);
    size_t align = aegis_i_max(align_bytes, DEFAULT_ALIGN);
    size_t slack_bytes = align - aegis_i_min(align, AEGIS_I_HEAP_ALIGN);
    bool odd = (align_bytes & (align_bytes - 1)) != 0;
    size_t most_bytes = PTRDIFF_MAX - HEAP_HEAD - (odd ? 0 : slack_bytes);
    if (!odd && slack_bytes > PTRDIFF_MAX - HEAP_HEAD)
        return refuse_align(error, capacity_bytes, align_bytes);
    if (odd || capacity_bytes > most_bytes) {
        (void)aegis_i_buffer_fail(error, AEGIS_E_INVALID_LAYOUT, capacity_bytes,
                                  odd ? align_bytes : align);
        if (error != NULL)
            error->allowed = most_bytes;
        return AEGIS_E_INVALID_LAYOUT;
    }
    size_t total_bytes = HEAP_HEAD + slack_bytes + capacity_bytes;
    aegis_status status = charge(budget, total_bytes, capacity_bytes, align, error);
    if (status != AEGIS_OK)
        return status;
    heap_memory *memory = (heap_memory *)malloc(total_bytes);
    if (memory == NULL) {
        (void)aegis_budget_uncharge(budget, total_bytes);
        return aegis_i_buffer_fail(error, AEGIS_E_OUT_OF_MEMORY, capacity_bytes, align);
    }
    unsigned char *base = (unsigned char *)memory + HEAP_HEAD;
    base += aegis_i_padding(base, align);
    aegis_buffer_owner owner = {1, heap_release, base, capacity_bytes, AEGIS_BUFFER_WRITABLE};
    memory->owner = owner;
    memory->budget = budget != NULL ? aegis_budget_retain(budget) : NULL;
    memory->total_bytes = total_bytes;
    aegis_buffer_mut made = {base, 0, capacity_bytes, &memory->owner, 0};
    *writer = made;
    return AEGIS_OK;
}

aegis_status aegis_buffer_copy(aegis_buffer *buffer, const void *data, size_t length,
                               aegis_budget *budget, aegis_error *error) {
    memset(buffer, 0, sizeof *buffer);
    if (data == NULL && length != 0)
        return aegis_i_buffer_refuse(error, AEGIS_E_INVALID, AEGIS_WHAT_DATA, length);
    if (length == 0) {
        *buffer = aegis_buffer_from_static(NULL, 0);
        return AEGIS_OK;
    }
    aegis_buffer_mut writer;
    aegis_status status = aegis_buffer_mut_alloc(&writer, length, 0, budget, error);
    if (status != AEGIS_OK)
        return status;
    (void)aegis_buffer_mut_append(&writer, data, length);
    *buffer = aegis_buffer_mut_freeze(&writer);
    return AEGIS_OK;
}

/* -- the caller's memory -- */

aegis_buffer aegis_buffer_from_static(const void *data, size_t length) {
    aegis_buffer buffer = {aegis_i_buffer_bytes(data), length, NULL};
    aegis_buffer none = {NULL, 0, NULL};
    return data != NULL || length == 0 ? buffer : none;
}

aegis_buffer aegis_buffer_adopt(aegis_buffer_owner *owner) {
    owner->base = aegis_i_buffer_bytes(owner->base);
    owner->flags &= AEGIS_BUFFER_WRITABLE;
    owner->flags |= AEGIS_I_BUFFER_FOREIGN;
    aegis_buffer buffer = {owner->base, owner->capacity_bytes, owner};
    return buffer;
}

typedef struct wrapped_memory {
    aegis_buffer_owner owner;
    aegis_buffer_release_fn release;
    void *context;
} wrapped_memory;

static void wrapped_release(aegis_buffer_owner *owner) {
    wrapped_memory *memory = (wrapped_memory *)(void *)owner;
    aegis_buffer_release_fn release = memory->release;
    void *context = memory->context;
    free(memory);
    release(context);
}

aegis_status aegis_buffer_wrap(aegis_buffer *buffer, const void *data, size_t length,
                               aegis_buffer_release_fn release, void *context, aegis_error *error) {
    memset(buffer, 0, sizeof *buffer);
    if (release == NULL)
        return aegis_i_buffer_refuse(error, AEGIS_E_INVALID, AEGIS_WHAT_FUNCTION, length);
    if (data == NULL && length != 0)
        return aegis_i_buffer_refuse(error, AEGIS_E_INVALID, AEGIS_WHAT_DATA, length);
    if (length > PTRDIFF_MAX)
        return aegis_i_buffer_fail(error, AEGIS_E_INVALID_LAYOUT, length, 1);
    wrapped_memory *memory = (wrapped_memory *)malloc(sizeof *memory);
    if (memory == NULL)
        return aegis_i_buffer_fail(error, AEGIS_E_OUT_OF_MEMORY, sizeof *memory, 0);
    aegis_buffer_owner owner = {1, wrapped_release, (unsigned char *)(uintptr_t)data, length, 0};
    memory->owner = owner;
    memory->release = release;
    memory->context = context;
    *buffer = aegis_buffer_adopt(&memory->owner);
    return AEGIS_OK;
}

/* -- an arena -- */

/* Lies in the arena itself. */
typedef struct arena_memory {
    aegis_buffer_owner owner;
    aegis_arena arena;
} arena_memory;

_Static_assert(_Alignof(arena_memory) <= AEGIS_ARENA_ALIGN, "the header fits any allocation");

static void arena_release(aegis_buffer_owner *owner) {
    /* What the arena is finished from must not lie in it. */
    aegis_arena arena = ((arena_memory *)(void *)owner)->arena;
    aegis_arena_fini(&arena);
}

/* Whether a scope is open on the arena, or it is the arena of one. */
static bool is_in_scope(const aegis_arena *arena) {
    return (arena->flags & (AEGIS_I_ARENA_OUTER | AEGIS_I_ARENA_SCOPED)) != 0;
}

aegis_status aegis_buffer_from_arena(aegis_buffer *buffer, aegis_arena *arena, const void *data,
                                     size_t length, aegis_error *error) {
    memset(buffer, 0, sizeof *buffer);
    if (arena->ptr == NULL || (arena->flags & AEGIS_I_ARENA_LOCAL) != 0)
        return aegis_i_buffer_refuse(error, AEGIS_E_INVALID, AEGIS_WHAT_HANDLE, length);
    if (data == NULL && length != 0)
        return aegis_i_buffer_refuse(error, AEGIS_E_INVALID, AEGIS_WHAT_DATA, length);
    if (length > PTRDIFF_MAX)
        return aegis_i_buffer_fail(error, AEGIS_E_INVALID_LAYOUT, length, 1);
    if (is_in_scope(arena))
        return aegis_i_buffer_refuse(error, AEGIS_E_BUSY, AEGIS_WHAT_SCOPE, length);
    if (length == 0) {
        *buffer = aegis_buffer_from_static(NULL, 0);
        aegis_arena_fini(arena);
        return AEGIS_OK;
    }
    arena_memory *memory = (arena_memory *)aegis_arena_alloc(arena, sizeof *memory);
    if (memory == NULL) {
        aegis_error reason;
        aegis_arena_last_error(arena, &reason);
        if (error != NULL)
            *error = reason;
        return reason.status;
    }
    aegis_buffer_owner owner = {1, arena_release, (unsigned char *)(uintptr_t)data, length, 0};
    memory->owner = owner;
    memory->arena = *arena;
    memset(arena, 0, sizeof *arena);
    *buffer = aegis_buffer_adopt(&memory->owner);
    return AEGIS_OK;
}
