/* SPDX-License-Identifier: Apache-2.0 */
/* Views of the caller's memory, and of memory in an arena. Each kind of owner is a struct that
 * begins with the public header. Its release function knows what follows the header. */
#include "../arena/state.h"
#include "move.h"
#include "owner.h"

#include <stdlib.h>

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
    return aegis_buffer_wrap_sized(buffer, data, length, length, release, context, error);
}

aegis_status aegis_buffer_wrap_sized(aegis_buffer *buffer, const void *data, size_t length,
                                     size_t retained_bytes, aegis_buffer_release_fn release,
                                     void *context, aegis_error *error) {
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
    aegis_buffer_owner owner = {1, wrapped_release, (unsigned char *)(uintptr_t)data, length,
                                0, retained_bytes};
    memory->owner = owner;
    memory->release = release;
    memory->context = context;
    *buffer = aegis_buffer_adopt(&memory->owner);
    return AEGIS_OK;
}

/* The owner of memory in an arena. It lies in that arena, and finishes it in the end. */
typedef struct arena_memory {
    /* Its word has only the flag AEGIS_I_CHARGED_MOVING: the arena has the budget. */
    aegis_i_charged_owner head;
    aegis_arena arena;
} arena_memory;

_Static_assert(_Alignof(arena_memory) <= AEGIS_ARENA_ALIGN, "the header fits any allocation");

static void arena_release(aegis_buffer_owner *owner) {
    /* A copy, because the owner lies in memory that this call releases. */
    aegis_arena arena = ((arena_memory *)(void *)owner)->arena;
    aegis_arena_fini(&arena);
}

/* Only this function uses the arena while the buffer lives, and only one call at a time. */
static aegis_status arena_move(aegis_buffer_owner *owner, aegis_budget *budget,
                               aegis_error *error) {
    arena_memory *memory = (arena_memory *)(void *)owner;
    uintptr_t word;
    if (!aegis_i_buffer_begin_move(&memory->head, &word, error))
        return AEGIS_E_BUSY;
    aegis_status status = aegis_arena_move_budget(&memory->arena, budget, error);
    aegis_i_buffer_end_move(&memory->head, word);
    return status;
}

static const aegis_i_owner_kind arena_kind = {arena_move};

/* Whether a scope is open on the arena, or the arena itself belongs to a scope. */
static bool is_in_scope(const aegis_arena *arena) {
    return (arena->flags & (AEGIS_I_ARENA_OUTER | AEGIS_I_ARENA_SCOPED)) != 0;
}

aegis_status aegis_buffer_from_arena(aegis_buffer *buffer, aegis_arena *arena, const void *data,
                                     size_t length, aegis_error *error) {
    memset(buffer, 0, sizeof *buffer);
    if (arena->ptr == NULL || (arena->flags & AEGIS_I_ARENA_LENT) != 0)
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
    aegis_buffer_owner owner = {1, arena_release,        (unsigned char *)(uintptr_t)data, length,
                                0, arena->reserved_bytes};
    memory->head.owner = owner;
    memory->head.kind = &arena_kind;
    atomic_init(&memory->head.charged, 0);
    memory->arena = *arena;
    memset(arena, 0, sizeof *arena);
    *buffer = aegis_buffer_adopt(&memory->head.owner);
    memory->head.owner.flags |= AEGIS_I_BUFFER_CHARGED;
    return AEGIS_OK;
}
