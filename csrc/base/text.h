/* SPDX-License-Identifier: Apache-2.0 */
/* Reports of mistakes, and texts under construction. Not installed. */
#ifndef AEGIS_MEMORY_I_BASE_TEXT_H
#define AEGIS_MEMORY_I_BASE_TEXT_H

#include "port.h"

/* Reports a mistake of the user, as printf does. Debug builds and guards only. */
AEGIS_I_HIDDEN void aegis_i_report(const char *format, ...) AEGIS_I_FORMAT(1, 2);

/* Copies a name into `bytes` of room, cut before a UTF-8 continuation byte if it is too long. */
AEGIS_I_HIDDEN void aegis_i_copy_name(char *to, const char *from, size_t bytes);

/* A text under construction: what does not fit is only counted. */
typedef struct aegis_i_text {
    char *buffer;
    size_t buffer_bytes;
    size_t length;
} aegis_i_text;

AEGIS_I_HIDDEN void aegis_i_text_add(aegis_i_text *text, const char *format, ...)
    AEGIS_I_FORMAT(2, 3);

#endif
