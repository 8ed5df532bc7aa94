/* SPDX-License-Identifier: Apache-2.0 */
/* The table of struct layouts, for tests. Not installed. */
#ifndef AEGIS_MEMORY_I_ABI_H
#define AEGIS_MEMORY_I_ABI_H

#include "base/port.h"

/* One line of the table of struct layouts: a struct's size or alignment, or a field's offset. */
typedef struct aegis_i_abi_entry {
    const char *type;
    const char *field;
    size_t value;
} aegis_i_abi_entry;

/* Returns the table, in static memory, and how many lines it has. */
AEGIS_I_HIDDEN const aegis_i_abi_entry *aegis_i_abi_table(size_t *count);

#endif
