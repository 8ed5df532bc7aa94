/* SPDX-License-Identifier: Apache-2.0 */
/* The table of struct layouts, for tests. Not installed. */
#ifndef AEGIS_MEMORY_I_ABI_H
#define AEGIS_MEMORY_I_ABI_H

#include "base/port.h"

/* One line of the table: the size or the alignment of a struct, or the offset of a field. */
typedef struct aegis_i_abi_entry {
    const char *type;
    const char *field;
    size_t value;
    /* The size of the field; 0 in the lines of the struct itself. */
    size_t field_bytes;
} aegis_i_abi_entry;

/* Returns the table, which is in static memory, and the number of its lines. */
AEGIS_I_HIDDEN const aegis_i_abi_entry *aegis_i_abi_table(size_t *count);

#endif
