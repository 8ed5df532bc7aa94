/* SPDX-License-Identifier: Apache-2.0 */
/* The external definitions of the inline functions of arena_heap_hooks.h: see base/inline.h. */
#include "aegis_memory/arena_heap.h"
#include "../base/inline.h"

#include "aegis_memory/arena_heap_hooks.h"
