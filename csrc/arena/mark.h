/* SPDX-License-Identifier: Apache-2.0 */
/* Going back to a mark or to the start, for scopes and for the end of an arena. Not installed. */
#ifndef AEGIS_MEMORY_I_ARENA_MARK_H
#define AEGIS_MEMORY_I_ARENA_MARK_H

#include "state.h"

/* Runs what was deferred and frees what was allocated after a mark that is good; NULL: all. */
AEGIS_I_HIDDEN void aegis_i_arena_free_since(aegis_arena *arena, const aegis_arena_mark *mark);

/* Makes every mark of the arena stale; those that a scope suspends count as the outer arena's. */
AEGIS_I_HIDDEN void aegis_i_arena_renew(aegis_arena *arena);
/* Forgets which of the marks numbered `stamp` and above are stale: none of them can be good. */
AEGIS_I_HIDDEN void aegis_i_arena_forget_marks(aegis_arena *arena, uint64_t stamp);

#endif
