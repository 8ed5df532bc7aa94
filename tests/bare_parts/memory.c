/* SPDX-License-Identifier: Apache-2.0 */
/* All that the core asks of a C library. Compiled with -fno-builtin, so that no compiler makes a
 * call of a function from the loop of that function. */
#include <stddef.h>

void *memcpy(void *to, const void *from, size_t size_bytes);
void *memmove(void *to, const void *from, size_t size_bytes);
void *memset(void *to, int byte, size_t size_bytes);
int memcmp(const void *a, const void *b, size_t size_bytes);

void *memcpy(void *to, const void *from, size_t size_bytes) {
    for (size_t i = 0; i < size_bytes; i++)
        ((unsigned char *)to)[i] = ((const unsigned char *)from)[i];
    return to;
}

void *memmove(void *to, const void *from, size_t size_bytes) {
    unsigned char *target = (unsigned char *)to;
    const unsigned char *start = (const unsigned char *)from;
    if (target <= start)
        return memcpy(to, from, size_bytes);
    while (size_bytes-- != 0)
        target[size_bytes] = start[size_bytes];
    return to;
}

void *memset(void *to, int byte, size_t size_bytes) {
    for (size_t i = 0; i < size_bytes; i++)
        ((unsigned char *)to)[i] = (unsigned char)byte;
    return to;
}

int memcmp(const void *a, const void *b, size_t size_bytes) {
    const unsigned char *x = (const unsigned char *)a, *y = (const unsigned char *)b;
    for (size_t i = 0; i < size_bytes; i++)
        if (x[i] != y[i])
            return x[i] < y[i] ? -1 : 1;
    return 0;
}
