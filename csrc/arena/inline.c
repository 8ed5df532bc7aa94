/* SPDX-License-Identifier: Apache-2.0 */
/* The external definitions of the inline functions of arena.h: see base/inline.h. */
#include "../base/inline.h"

#include "aegis_memory/arena.h"
