/* SPDX-License-Identifier: Apache-2.0 */
/* What the end of an arena does with the scopes that are open on it. The rest of scope.c is public.
 * Not installed. */
#ifndef AEGIS_MEMORY_I_ARENA_SCOPE_H
#define AEGIS_MEMORY_I_ARENA_SCOPE_H

#include "../base/port.h"
#include "aegis_memory/arena.h"

/* Detaches the scopes that are open on an arena which is finished too early. Each scope's arena
 * must then be finished like any other arena. The arena of the first scope closes the source.
 * False: no scope is open. */
AEGIS_I_HIDDEN bool aegis_i_arena_leave_scopes(aegis_arena *arena);

#endif
