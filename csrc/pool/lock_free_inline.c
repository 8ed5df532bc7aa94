/* SPDX-License-Identifier: Apache-2.0 */
/* The external definitions of the inline functions of lock_free_pool.h: see base/inline.h. */
#include "aegis_memory/pool.h"
#include "../base/inline.h"

#include "aegis_memory/lock_free_pool.h"
