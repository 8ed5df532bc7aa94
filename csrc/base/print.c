/* SPDX-License-Identifier: Apache-2.0 */
/* Sizes and bars as text, and lines that go to the standard error output past the C library's
 * streams, whose locks the stopped threads of a debugged program may hold. */
#include "print.h"
#include "arithmetic.h"

#if !defined(AEGIS_FREESTANDING)

#include <stdio.h>
#include <string.h>

#if defined(_WIN32)
#include <io.h>
#else
#include <unistd.h>
#endif

void aegis_i_size_text(char *buffer, uint64_t size_bytes) {
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = (double)size_bytes;
    size_t unit = 0;
    for (; value >= 1024.0 && unit < 6; unit++)
        value /= 1024.0;
    (void)snprintf(buffer, AEGIS_I_SIZE_TEXT, "%.*f %s", unit == 0 ? 0 : 1, value, units[unit]);
}

void aegis_i_bar(char *bar, size_t width, uint64_t used, uint64_t all) {
    double share = all != 0 ? (double)used / (double)all : 0.0;
    size_t full = share < 1.0 ? (size_t)(share * (double)width + 0.5) : width;
    memset(bar, '.', width);
    memset(bar, '#', full);
    bar[width] = '\0';
}

void aegis_i_print_to_stderr(void *context, const char *line) {
    (void)context;
    /* A line that cannot be written is lost. */
#if defined(_WIN32)
    (void)!_write(2, line, (unsigned)strlen(line));
    (void)!_write(2, "\n", 1);
#else
    (void)!write(STDERR_FILENO, line, strlen(line));
    (void)!write(STDERR_FILENO, "\n", 1);
#endif
}

#endif
