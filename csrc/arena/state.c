/* SPDX-License-Identifier: Apache-2.0 */
/* Which conditions hold in an arena at every moment, an arena without blocks, and the error
 * record. */
#include "state.h"
#include "../acquire.h"

const _Alignas(AEGIS_ARENA_ALIGN) unsigned char aegis_i_arena_nowhere[AEGIS_ARENA_ALIGN] = {0};

bool aegis_i_arena_is_valid(const aegis_arena *arena) {
    const aegis_arena_block *block = arena->block;
    if (((uintptr_t)arena->ptr | (uintptr_t)arena->limit) % AEGIS_ARENA_ALIGN != 0)
        return false;
    if (arena->ptr == NULL || arena->ptr > arena->limit ||
        aegis_i_arena_wasted(arena) > arena->closed_bytes)
        return false;
    if (arena->home != NULL && (arena->home != arena->first || !aegis_i_arena_is_plain(arena)))
        return false;
    if (block == NULL)
        return arena->first == NULL && arena->last == NULL && arena->limit == arena->ptr &&
               aegis_i_arena_guarded(arena) == 0;
    return arena->first != NULL && arena->last != NULL && arena->limit <= block->end &&
           arena->ptr >= aegis_i_block_start(block) && arena->dirty_end <= block->end &&
           arena->dirty_end == block->dirty_end &&
           arena->closed_bytes + aegis_i_block_capacity(block) <= arena->capacity_bytes;
}

/* Adds the sizes of memory of a fixed size that has no room left. Such an arena has one block at
 * most, and all of it that is not free counts as in use: guards too. */
static void add_limit_of_fixed(const aegis_arena *arena, aegis_error *error) {
    size_t room_bytes = (size_t)(aegis_i_arena_end(arena) - arena->ptr);
    size_t align_bytes = aegis_i_max(error->align_bytes, AEGIS_ARENA_ALIGN);
    error->limit_bytes = arena->capacity_bytes;
    error->in_use_bytes = arena->capacity_bytes - room_bytes;
    error->needed_bytes = aegis_i_padding(arena->ptr, align_bytes) +
                          aegis_i_arena_span(arena, error->requested_bytes);
}

void *aegis_i_arena_fail(aegis_arena *arena, const aegis_i_refusal *why, size_t size_bytes,
                         size_t align_bytes) {
    aegis_error error;
    (void)aegis_i_error_bytes(&error, why->status, size_bytes, align_bytes);
    error.in_use_bytes = aegis_i_arena_used(arena);
    aegis_i_explain_refusal(why, &error);
    if (why->status == AEGIS_E_EXHAUSTED)
        add_limit_of_fixed(arena, &error);
    arena->failed_status = error.status;
    arena->failed_what = AEGIS_WHAT_BYTES;
    arena->failed_bytes = error.requested_bytes;
    arena->failed_align_bytes = error.align_bytes;
    arena->failed_limit_bytes = error.limit_bytes;
    arena->failed_in_use_bytes = error.in_use_bytes;
    arena->failed_needed_bytes = error.needed_bytes;
    arena->failed_budget = error.refused;
    return NULL;
}

aegis_status aegis_i_arena_refuse(aegis_arena *arena, aegis_status status, uint32_t what,
                                  size_t asked, size_t allowed) {
    const aegis_i_refusal why = {status, AEGIS_REFUSED_LIMIT, NULL, 0, 0, 0};
    (void)aegis_i_arena_fail(arena, &why, asked, AEGIS_ARENA_ALIGN);
    arena->failed_limit_bytes = allowed;
    arena->failed_what = what;
    return status;
}

void aegis_arena_last_error(const aegis_arena *arena, aegis_error *error) {
    aegis_status status = arena->failed_status;
    uint32_t what = arena->failed_what;
    if (what != AEGIS_WHAT_BYTES) {
        (void)aegis_i_error_refuse(error, status, what, arena->failed_bytes,
                                   arena->failed_limit_bytes);
        return;
    }
    (void)aegis_i_error_bytes(error, status, arena->failed_bytes, arena->failed_align_bytes);
    error->in_use_bytes = arena->failed_in_use_bytes;
    error->needed_bytes = arena->failed_needed_bytes;
    if (status != AEGIS_E_INVALID_LAYOUT)
        error->limit_bytes = arena->failed_limit_bytes;
    else if (arena->failed_limit_bytes != 0)
        error->allowed = arena->failed_limit_bytes;
    error->refused = arena->failed_budget;
    /* A request for bytes is refused with this status only when it comes from a stale local
     * handle. */
    if (status == AEGIS_E_INVALID)
        error->what = AEGIS_WHAT_HANDLE;
}
