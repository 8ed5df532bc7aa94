/* SPDX-License-Identifier: Apache-2.0 */
/* Charging an arena with one owner to another budget. In a file of its own, because a program that
 * calls this links the code of budgets (budget/calls.h). */
#include "../budget/move.h"
#include "state.h"

static aegis_status look(void *object, aegis_budget ***place, size_t *held_bytes) {
    aegis_arena *arena = (aegis_arena *)object;
    assert(aegis_i_arena_is_valid(arena));
    /* While a scope is open, both arenas have blocks that were charged before it, and the inner one
     * has no reference of its own. */
    if ((arena->flags & (AEGIS_I_ARENA_SCOPED | AEGIS_I_ARENA_OUTER)) != 0)
        return AEGIS_E_BUSY;
    *place = &arena->budget;
    *held_bytes = arena->reserved_bytes;
    /* The blocks of a local arena are charged by the arena that it belongs to. */
    return (arena->flags & AEGIS_I_ARENA_LENT) == 0 ? AEGIS_OK : AEGIS_E_INVALID;
}

static void leave(void *object, bool moved) {
    if (moved)
        ((aegis_arena *)object)->failed_budget = NULL;
}

aegis_status aegis_arena_move_budget(aegis_arena *arena, aegis_budget *budget, aegis_error *error) {
    const aegis_i_movable movable = {arena, look, leave, AEGIS_WHAT_SCOPE};
    return aegis_i_move_object(&movable, budget, error);
}
