/* SPDX-License-Identifier: Apache-2.0 */
/* Hooks that keep a checksum in each page.
 *
 * The sum is the CRC32C of the number of the page, 8 bytes, least significant first, and of all
 * bytes of the page but the sum itself. With the number in it a page that was written to the wrong
 * place is found out. */
#include "aegis_memory/page_cache.h"
#include "aegis_memory/page_checksum.h"

#include <string.h>

#define SUM_BYTES 4

static uint32_t sum_of(uint64_t page, const unsigned char *bytes, size_t page_bytes,
                       size_t sum_at) {
    unsigned char number[8];
    for (int i = 0; i < 8; i++)
        number[i] = (unsigned char)(page >> 8 * i);
    uint32_t sum = aegis_crc32c(0, number, sizeof number);
    sum = aegis_crc32c(sum, bytes, sum_at);
    return aegis_crc32c(sum, bytes + sum_at + SUM_BYTES, page_bytes - sum_at - SUM_BYTES);
}

static bool is_inside(size_t sum_at, size_t page_bytes) {
    return page_bytes >= SUM_BYTES && sum_at <= page_bytes - SUM_BYTES;
}

static bool is_all_zero(const unsigned char *bytes, size_t page_bytes) {
    return bytes[0] == 0 && memcmp(bytes, bytes + 1, page_bytes - 1) == 0;
}

static aegis_status verify(void *context, uint64_t page, unsigned char *bytes, size_t page_bytes) {
    size_t sum_at = (size_t)(uintptr_t)context;
    if (!is_inside(sum_at, page_bytes))
        return AEGIS_E_INVALID;
    uint32_t stored = 0;
    for (int i = 0; i < SUM_BYTES; i++)
        stored |= (uint32_t)bytes[sum_at + (size_t)i] << 8 * i;
    bool right =
        stored == sum_of(page, bytes, page_bytes, sum_at) || is_all_zero(bytes, page_bytes);
    return right ? AEGIS_OK : AEGIS_E_IO;
}

static aegis_status seal(void *context, uint64_t page, unsigned char *bytes, size_t page_bytes) {
    size_t sum_at = (size_t)(uintptr_t)context;
    if (!is_inside(sum_at, page_bytes))
        return AEGIS_E_INVALID;
    uint32_t sum = sum_of(page, bytes, page_bytes, sum_at);
    for (int i = 0; i < SUM_BYTES; i++)
        bytes[sum_at + (size_t)i] = (unsigned char)(sum >> 8 * i);
    return AEGIS_OK;
}

aegis_page_hooks aegis_page_hooks_crc32c(size_t sum_at) {
    aegis_page_hooks hooks = {NULL, verify, seal, NULL, (void *)(uintptr_t)sum_at};
    return hooks;
}
