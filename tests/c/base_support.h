/* SPDX-License-Identifier: Apache-2.0 */
/* What all C tests need: which sanitizer is compiled in, a pseudo-random generator, functions that
 * look at memory, and the scale of a long test. */
#ifndef BASE_SUPPORT_H
#define BASE_SUPPORT_H

#include "aegis_memory.h"
#include "check.h"

#if defined(__SANITIZE_ADDRESS__)
#define TEST_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TEST_ASAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define TEST_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TEST_TSAN 1
#endif
#endif
#if defined(TEST_ASAN)
/* The tests ask for more memory than there is. They want NULL for it, not an abort. */
const char *__asan_default_options(void);
const char *__asan_default_options(void) {
    return "allocator_may_return_null=1";
}
#endif

/* xorshift64*: on every machine the same sequence for the same seed. */
static inline uint64_t random_next(uint64_t *state) {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * UINT64_C(2685821657736338717);
}

/* A pseudo-random number below `bound`. */
static inline size_t random_below(uint64_t *state, size_t bound) {
    return (size_t)((random_next(state) >> 16) % bound);
}

static inline bool is_aligned(const void *memory, size_t align_bytes) {
    return ((uintptr_t)memory & (align_bytes - 1)) == 0;
}

static inline bool is_filled(const void *memory, unsigned char value, size_t size_bytes) {
    const unsigned char *bytes = (const unsigned char *)memory;
    for (size_t i = 0; i < size_bytes; i++)
        if (bytes[i] != value)
            return false;
    return true;
}

/* Scales a number of rounds: AEGIS_TEST_SCALE is in percent, 100 by default, 1 under Valgrind. */
static inline size_t scaled(size_t rounds) {
    const char *text = getenv("AEGIS_TEST_SCALE");
    size_t percent = text != NULL ? (size_t)strtoul(text, NULL, 10) : 100;
    size_t result = rounds * percent / 100;
    return result != 0 ? result : 1;
}

#endif
