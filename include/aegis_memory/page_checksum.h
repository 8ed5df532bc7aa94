/* SPDX-License-Identifier: Apache-2.0 */
/** @file page_checksum.h
 *  A checksum for pages: CRC-32C (Castagnoli), as iSCSI, ext4 and most databases use it.
 *
 *  It detects every burst of up to 32 wrong bits, and any other damage with a probability of
 *  1 - 2^-32. It does not protect against intent.
 */
#ifndef AEGIS_MEMORY_PAGE_CHECKSUM_H
#define AEGIS_MEMORY_PAGE_CHECKSUM_H

#if defined(AEGIS_OMIT_THREADS) || defined(AEGIS_FREESTANDING)
#error "aegis_memory/page_checksum.h needs threads: AEGIS_OMIT_THREADS leaves it out"
#endif

#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Returns the CRC-32C of bytes, or of bytes that follow others.
 *
 *  The value is the same on every machine. It is the one with all bits inverted before and
 *  after, so that of "123456789" is 0xE3069283.
 *  @param crc         0 for the first bytes, then what this function returned for those before.
 *  @param bytes       may be NULL if `size_bytes` is 0.
 *  @param size_bytes  any number.
 *  @return            the checksum of all bytes so far; 0 of none.
 *  Threads:           any thread.
 *  Cost:              O(size_bytes): with the instruction of the processor (SSE4.2 on x86 with
 *                     64 bits, CRC32 on 64-bit ARM) 8 bytes at a time, in three streams from
 *                     4080 bytes on; elsewhere 8 look-ups for 8 bytes.
 */
AEGIS_API uint32_t aegis_crc32c(uint32_t crc, const void *bytes, size_t size_bytes);

#ifdef __cplusplus
}
#endif

#endif
