/* SPDX-License-Identifier: Apache-2.0 */
/* Structs of the caller that may be of another version of the headers: shorter or longer than the
 * struct of the same name that this library knows. Fields are added at the end only, so the shorter
 * of the two is the start of the longer one. "Structs that grow" in aegis_memory/base.h has the
 * rules for callers. Not installed. */
#ifndef AEGIS_MEMORY_I_BASE_SIZED_H
#define AEGIS_MEMORY_I_BASE_SIZED_H

#include "port.h"

/* Copies a struct into one of another length. What only the longer one has is zero there. */
static inline void aegis_i_copy_sized(void *to, size_t to_bytes, const void *from,
                                      size_t from_bytes) {
    if (to_bytes == from_bytes) {
        memcpy(to, from, from_bytes);
        return;
    }
    size_t both_bytes = to_bytes < from_bytes ? to_bytes : from_bytes;
    if (both_bytes != 0)
        memcpy(to, from, both_bytes);
    memset((unsigned char *)to + both_bytes, 0, to_bytes - both_bytes);
}

/* Returns the caller's options for reading. If they lack fields, they are copied to `copy`, with
 * zero for what they lack. NULL stays NULL. */
static inline const void *aegis_i_known_part(const void *given, size_t given_bytes, void *copy,
                                             size_t known_bytes) {
    if (given == NULL || given_bytes >= known_bytes)
        return given;
    aegis_i_copy_sized(copy, known_bytes, given, given_bytes);
    return copy;
}

/* The offset of the first byte that is set beyond what this library knows; 0: none is. */
static inline size_t aegis_i_unknown_option(const void *given, size_t given_bytes,
                                            size_t known_bytes) {
    if (given != NULL)
        for (size_t at = known_bytes; at < given_bytes; at++)
            if (((const unsigned char *)given)[at] != 0)
                return at;
    return 0;
}

/* The same for options whose first field is a struct of options, which may grow too: the caller's
 * has `head_bytes` bytes. No padding is behind it. */
static inline const void *aegis_i_known_parts(const void *given, size_t given_bytes,
                                              size_t head_bytes, void *copy, size_t known_bytes,
                                              size_t known_head_bytes) {
    if (given == NULL || head_bytes == known_head_bytes)
        return aegis_i_known_part(given, given_bytes, copy, known_bytes);
    aegis_i_copy_sized(copy, known_head_bytes, given, head_bytes);
    aegis_i_copy_sized((unsigned char *)copy + known_head_bytes, known_bytes - known_head_bytes,
                       (const unsigned char *)given + head_bytes, given_bytes - head_bytes);
    return copy;
}

static inline size_t aegis_i_unknown_nested_option(const void *given, size_t given_bytes,
                                                   size_t head_bytes, size_t known_bytes,
                                                   size_t known_head_bytes) {
    size_t in_head = aegis_i_unknown_option(given, head_bytes, known_head_bytes);
    if (in_head != 0)
        return in_head;
    return aegis_i_unknown_option(given, given_bytes, head_bytes + known_bytes - known_head_bytes);
}

#endif
