/* SPDX-License-Identifier: Apache-2.0 */
/* Filling in error records. Not installed. */
#ifndef AEGIS_MEMORY_I_BASE_ERROR_RECORD_H
#define AEGIS_MEMORY_I_BASE_ERROR_RECORD_H

#include "arithmetic.h"

/* The alignment that all memory has. A request for it does not make the largest possible size
 * smaller. */
#define AEGIS_I_MIN_ALIGN ((size_t)8)

/* Fills in the record of a request for bytes. With AEGIS_E_INVALID_LAYOUT, `allowed` says how many
 * bytes there can be at this alignment; a caller that has a lower bound overwrites it. */
static inline aegis_status aegis_i_error_bytes(aegis_error *error, aegis_status status,
                                               size_t size_bytes, size_t align_bytes) {
    size_t excess_bytes = align_bytes > AEGIS_I_MIN_ALIGN && aegis_i_is_power_of_two(align_bytes)
                              ? align_bytes - 1
                              : 0;
    memset(error, 0, sizeof *error);
    error->status = status;
    error->requested_bytes = error->asked = size_bytes;
    error->align_bytes = align_bytes;
    error->allowed = status == AEGIS_E_INVALID_LAYOUT ? PTRDIFF_MAX - excess_bytes : 0;
    return status;
}

/* Changes the record of one part of a request into that of the whole request, if a budget refused
 * the part. `size_bytes` is what the caller asked for. `held_bytes` were charged before for other
 * parts, and are given back: they count as needed, and not as in use. */
static inline void aegis_i_error_whole(aegis_error *error, size_t size_bytes, size_t held_bytes) {
    if (error->refused == NULL)
        return;
    error->requested_bytes = error->asked = size_bytes;
    error->needed_bytes += held_bytes;
    error->in_use_bytes -= aegis_i_min(held_bytes, error->in_use_bytes);
}

/* Fills in the record of an argument that cannot be accepted. */
static inline aegis_status aegis_i_error_refuse(aegis_error *error, aegis_status status,
                                                uint32_t what, size_t asked, size_t allowed) {
    memset(error, 0, sizeof *error);
    error->status = status;
    error->what = what;
    error->asked = asked;
    error->allowed = allowed;
    return status;
}

#endif
