/* SPDX-License-Identifier: Apache-2.0 */
/* Going back to a mark or to the start, for scopes and for the end of an arena. This unit knows
 * where a scope's memory begins (aegis_i_arena_floor), but does not begin or end scopes. Not
 * installed. */
#ifndef AEGIS_MEMORY_I_ARENA_MARK_H
#define AEGIS_MEMORY_I_ARENA_MARK_H

#include "state.h"

/* Runs the functions that were deferred after a mark, and frees what was allocated after it. The
 * mark must be good. NULL: everything. */
AEGIS_I_HIDDEN void aegis_i_arena_free_since(aegis_arena *arena, const aegis_arena_mark *mark);

/* Makes every mark of the arena stale. Marks that a scope has suspended are not changed: they
 * belong to the outer arena. */
AEGIS_I_HIDDEN void aegis_i_arena_renew(aegis_arena *arena);
/* Drops the spans of stale marks that begin at the number `stamp` or later. The caller makes sure
 * that no mark in them can be good. */
AEGIS_I_HIDDEN void aegis_i_arena_forget_marks(aegis_arena *arena, uint64_t stamp);

#endif
