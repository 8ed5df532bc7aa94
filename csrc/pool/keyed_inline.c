/* SPDX-License-Identifier: Apache-2.0 */
/* The external definitions of the inline functions of keyed_pool.h: see base/inline.h. */
#include "aegis_memory/pool.h"
#include "../base/inline.h"

#include "aegis_memory/keyed_pool.h"
