/* SPDX-License-Identifier: Apache-2.0 */
/* Arithmetic on sizes and addresses. Not installed. */
#ifndef AEGIS_MEMORY_I_BASE_ARITHMETIC_H
#define AEGIS_MEMORY_I_BASE_ARITHMETIC_H

#include "port.h"

static inline bool aegis_i_is_power_of_two(size_t value) {
    return value != 0 && (value & (value - 1)) == 0;
}

/* Rounds up to a power of two. The caller knows that the result fits. */
static inline size_t aegis_i_round_up(size_t value, size_t power_of_two) {
    return (value + (power_of_two - 1)) & ~(power_of_two - 1);
}

/* Bytes from `p` up to the next multiple of `align_bytes`. */
static inline size_t aegis_i_padding(const unsigned char *p, size_t align_bytes) {
    return (size_t)(0 - (uintptr_t)p) & (align_bytes - 1);
}

/* The number of the lowest and of the highest bit that is set; there is one. */
static inline unsigned aegis_i_lowest_bit(uint64_t value) {
#if defined(__GNUC__)
    return (unsigned)__builtin_ctzll(value);
#else
    unsigned bit = 0;
    for (; (value & 0xFF) == 0; value >>= 8)
        bit += 8;
    for (; (value & 1) == 0; value >>= 1)
        bit++;
    return bit;
#endif
}

static inline unsigned aegis_i_highest_bit(size_t value) {
#if defined(__GNUC__)
    return 63 - (unsigned)__builtin_clzll(value);
#else
    unsigned bit = 0;
    for (; value > 0xFF; value >>= 8)
        bit += 8;
    for (; value > 1; value >>= 1)
        bit++;
    return bit;
#endif
}

static inline size_t aegis_i_min(size_t a, size_t b) {
    return a < b ? a : b;
}

static inline size_t aegis_i_max(size_t a, size_t b) {
    return a > b ? a : b;
}

#endif
