/* SPDX-License-Identifier: Apache-2.0 */
/* What the functions that draw objects have in common. Not installed. */
#ifndef AEGIS_MEMORY_I_BASE_PRINT_H
#define AEGIS_MEMORY_I_BASE_PRINT_H

#include "port.h"

/* Room for a size as text. */
#define AEGIS_I_SIZE_TEXT 24
/* The longest bar. */
#define AEGIS_I_BAR_WIDTH 32

/* Writes a size with a unit in which the number is easy to read, into AEGIS_I_SIZE_TEXT bytes. */
AEGIS_I_HIDDEN void aegis_i_size_text(char *buffer, uint64_t size_bytes);

/* Draws a bar of `width` letters, of which a share of used / all is full, and a zero byte. A share
 * above 1 gives a full bar. */
AEGIS_I_HIDDEN void aegis_i_bar(char *bar, size_t width, uint64_t used, uint64_t all);

/* Writes a line to the standard error output. It takes no lock and allocates nothing, because a
 * debugger calls it in a program that stands anywhere. */
AEGIS_I_HIDDEN void aegis_i_print_to_stderr(void *context, const char *line);

#endif
