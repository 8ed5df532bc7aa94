/* SPDX-License-Identifier: Apache-2.0 */
/* Reports of mistakes, and texts under construction. Not installed. */
#ifndef AEGIS_MEMORY_I_BASE_TEXT_H
#define AEGIS_MEMORY_I_BASE_TEXT_H

#include "port.h"

/* Reports a mistake of the user; the arguments are those of printf. Only debug builds and guards
 * report. */
AEGIS_I_HIDDEN void aegis_i_report(const char *format, ...) AEGIS_I_FORMAT(1, 2);

/* Copies a name into `bytes` bytes. A name that is too long is cut between UTF-8 characters. */
AEGIS_I_HIDDEN void aegis_i_copy_name(char *to, const char *from, size_t bytes);

/* A text under construction. Bytes that do not fit are counted but not written. */
typedef struct aegis_i_text {
    char *buffer;
    size_t buffer_bytes;
    size_t length;
} aegis_i_text;

AEGIS_I_HIDDEN void aegis_i_text_add(aegis_i_text *text, const char *format, ...)
    AEGIS_I_FORMAT(2, 3);

#endif
