/* SPDX-License-Identifier: Apache-2.0 */
/* The external definitions of the inline functions of locked_arena_heap_hooks.h: see base/inline.h.
 */
#include "aegis_memory/locked_arena_heap.h"
#include "../base/inline.h"

#include "aegis_memory/locked_arena_heap_hooks.h"
