/* SPDX-License-Identifier: Apache-2.0 */
/* The processor's instruction for CRC-32C, if it has one. Not installed.
 *
 * The instruction is written in assembler, so that it can be used in a file that is compiled for
 * processors without it. Microsoft's compiler has no assembler. AEGIS_I_HAS_CRC32C says that the
 * processor may have it: then aegis_i_crc32c_is_there must be asked before one of the steps is
 * called. */
#ifndef AEGIS_MEMORY_I_BASE_CRC32C_H
#define AEGIS_MEMORY_I_BASE_CRC32C_H

#include "port.h"

#if (defined(__GNUC__) || defined(__clang__)) && defined(__x86_64__)
#include <cpuid.h>
#define AEGIS_I_HAS_CRC32C 1

static inline bool aegis_i_crc32c_is_there(void) {
    unsigned a = 0, b = 0, c = 0, d = 0;
    return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c >> 20 & 1) != 0; /* SSE4.2 */
}

static inline uint32_t aegis_i_crc32c_u64(uint32_t crc, uint64_t value) {
    uint64_t wide = crc;
    __asm__("crc32q %1, %0" : "+r"(wide) : "r"(value));
    return (uint32_t)wide;
}

static inline uint32_t aegis_i_crc32c_u8(uint32_t crc, unsigned char value) {
    __asm__("crc32b %1, %0" : "+r"(crc) : "q"(value));
    return crc;
}

#elif defined(__GNUC__) && defined(__aarch64__) && !defined(__AARCH64EB__) &&                      \
    (defined(__linux__) || defined(__APPLE__) || defined(__ARM_FEATURE_CRC32))
#if defined(__linux__) && !defined(__ARM_FEATURE_CRC32)
#include <sys/auxv.h>
#endif
#define AEGIS_I_HAS_CRC32C 1

static inline bool aegis_i_crc32c_is_there(void) {
#if defined(__linux__) && !defined(__ARM_FEATURE_CRC32)
    return (getauxval(AT_HWCAP) >> 7 & 1) != 0; /* HWCAP_CRC32 */
#else
    return true;
#endif
}

static inline uint32_t aegis_i_crc32c_u64(uint32_t crc, uint64_t value) {
    __asm__(".arch_extension crc\n\tcrc32cx %w0, %w0, %1" : "+r"(crc) : "r"(value));
    return crc;
}

static inline uint32_t aegis_i_crc32c_u8(uint32_t crc, unsigned char value) {
    __asm__(".arch_extension crc\n\tcrc32cb %w0, %w0, %w1" : "+r"(crc) : "r"((uint32_t)value));
    return crc;
}

#endif

#endif
