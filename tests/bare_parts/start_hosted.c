/* SPDX-License-Identifier: Apache-2.0 */
/* The program on a system with a C library. */
#include "program.h"

#include <stdio.h>

void program_print(const char *text) {
    (void)fputs(text, stdout);
}

int main(void) {
    return program() == 0 ? 0 : 1;
}
