/* SPDX-License-Identifier: Apache-2.0 */
/* The program of program.c, and what a machine gives it. */
#ifndef PROGRAM_H
#define PROGRAM_H

#include <stddef.h>

/* Runs all checks. Returns how many have failed. */
size_t program(void);
/* Writes a text, which ends with a zero byte. */
void program_print(const char *text);

#endif
