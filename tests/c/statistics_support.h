/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of statistics share: a source whose blocks all have the same alignment, so that
 * runs can be compared, and a limit on the number of samples. */
#ifndef STATISTICS_SUPPORT_H
#define STATISTICS_SUPPORT_H

#include "base_support.h"

#define MAX_SAMPLES 512

/* Every block starts at a multiple of this. */
#define STEADY_ALIGN ((size_t)4096)
/* A larger block is refused. */
#define STEADY_MOST_BYTES ((size_t)1 << 20)

static inline void *steady_acquire(void *context, size_t size_bytes, size_t align_bytes,
                                   bool *zeroed) {
    (void)context;
    if (size_bytes > STEADY_MOST_BYTES || align_bytes > STEADY_ALIGN)
        return NULL;
    unsigned char *raw = (unsigned char *)malloc(size_bytes + 2 * STEADY_ALIGN);
    if (raw == NULL)
        return NULL;
    unsigned char *memory = raw + STEADY_ALIGN;
    memory += (size_t)(0 - (uintptr_t)memory) % STEADY_ALIGN;
    memcpy(memory - sizeof raw, &raw, sizeof raw);
    *zeroed = false;
    return memory;
}

static inline void steady_release(void *context, void *memory, size_t size_bytes,
                                  size_t align_bytes) {
    (void)context, (void)size_bytes, (void)align_bytes;
    unsigned char *raw;
    memcpy(&raw, (unsigned char *)memory - sizeof raw, sizeof raw);
    free(raw);
}

#endif
