/* SPDX-License-Identifier: Apache-2.0 */
/* A block taken from the pool and given back, as C inlines it. */
#include "aegis_memory/pool.h"

#include <stdlib.h>

void compare_pool_pairs(aegis_pool *pool, size_t count);

void compare_pool_pairs(aegis_pool *pool, size_t count) {
    for (size_t i = 0; i < count; i++) {
        void *block = aegis_pool_alloc(pool);
        __asm__ volatile("" : "+r"(block) : : "memory");
        if (aegis_pool_free(pool, block) != AEGIS_OK)
            abort();
    }
}
