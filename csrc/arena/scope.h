/* SPDX-License-Identifier: Apache-2.0 */
/* What the end of an arena does with scopes that are open on it. Not installed. */
#ifndef AEGIS_MEMORY_I_ARENA_SCOPE_H
#define AEGIS_MEMORY_I_ARENA_SCOPE_H

#include "../base/port.h"
#include "aegis_memory/arena.h"

/* Leaves the scopes open on an arena, which is finished too early, to themselves: each one's arena
 * is to be finished like any other, and the first one's closes the source. False: none is open. */
AEGIS_I_HIDDEN bool aegis_i_arena_leave_scopes(aegis_arena *arena);

#endif
