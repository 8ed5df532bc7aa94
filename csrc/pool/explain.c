/* SPDX-License-Identifier: Apache-2.0 */
/* The error record of a pool as a sentence. In a file of its own, because only a program that calls
 * this links the sentences. */
#include "aegis_memory/pool.h"

size_t aegis_pool_explain(const aegis_pool *pool, char *buffer, size_t buffer_bytes) {
    return aegis_error_explain(&pool->failed, buffer, buffer_bytes);
}
