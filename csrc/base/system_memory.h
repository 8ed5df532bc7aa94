/* SPDX-License-Identifier: Apache-2.0 */
/* How much memory this process may use. Not installed. */
#ifndef AEGIS_MEMORY_I_BASE_SYSTEM_MEMORY_H
#define AEGIS_MEMORY_I_BASE_SYSTEM_MEMORY_H

#include "port.h"

/* A number of bytes, and in words of what it is the size: a static text. */
typedef struct aegis_i_system_memory {
    /* 0 if it is not known. */
    uint64_t bytes;
    const char *origin;
} aegis_i_system_memory;

/* The memory of the machine; 0 if the system does not say it. */
AEGIS_I_HIDDEN uint64_t aegis_i_physical_bytes(void);

/* The smallest of `physical_bytes` and the limits of the control groups that this process is in.
 * `root` is put before each path that is read: it is "" except in tests. */
AEGIS_I_HIDDEN aegis_i_system_memory aegis_i_system_memory_under(const char *root,
                                                                 uint64_t physical_bytes);

#endif
