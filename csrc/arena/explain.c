/* SPDX-License-Identifier: Apache-2.0 */
/* The error record of an arena as a sentence. In a file of its own, because only a program that
 * calls this links the sentences. */
#include "aegis_memory/arena.h"

size_t aegis_arena_explain(const aegis_arena *arena, char *buffer, size_t buffer_bytes) {
    aegis_error error;
    aegis_arena_last_error(arena, &error);
    return aegis_error_explain(&error, buffer, buffer_bytes);
}
