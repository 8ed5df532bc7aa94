/* SPDX-License-Identifier: Apache-2.0 */
/* CRC-32C of bytes: the remainder of a division by a polynomial of degree 32, whose coefficients
 * are bits. Bit 31 of a word is the coefficient of x^0.
 *
 * With the processor's instruction, which takes 8 bytes: its result comes some cycles after its
 * start, but the next may start at once if it needs no result. So long inputs are three streams
 * with a checksum each (by_instruction). A checksum is linear: that of the whole is the sum of the
 * three, each multiplied by x^n, where n is the number of bits behind its stream. To multiply takes
 * 32 shifts (multiply).
 *
 * Without it: "slicing by 8" (M. Kounavis and F. Berry, 2005), eight tables, of which table k has
 * the checksum of each byte with k zero bytes behind it. The first call makes them. Threads that do
 * so at the same time all store the same words, and a thread uses the tables only when it has
 * stored all of them, or sees that another has (aegis_i_crc32c_by_tables). */
#include "checksum.h"

#include "../base/atomics.h"
#include "../base/crc32c.h"

#define POLYNOMIAL UINT32_C(0x82F63B78)

static _Atomic uint32_t tables[8][256];
static _Atomic uint32_t has_tables;

static uint32_t shift(uint32_t word) {
    return word >> 1 ^ (POLYNOMIAL & (0 - (word & 1)));
}

static AEGIS_I_COLD void make_tables(void) {
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t word = byte;
        for (int bit = 0; bit < 8; bit++)
            word = shift(word);
        /* Relaxed: the store below publishes the words. */
        aegis_i_store(&tables[0][byte], word, memory_order_relaxed);
    }
    for (size_t k = 1; k < 8; k++)
        for (size_t byte = 0; byte < 256; byte++) {
            uint32_t word = aegis_i_load(&tables[k - 1][byte], memory_order_relaxed);
            uint32_t low = aegis_i_load(&tables[0][word & 255], memory_order_relaxed);
            aegis_i_store(&tables[k][byte], word >> 8 ^ low, memory_order_relaxed);
        }
    /* Release pairs with the acquire in aegis_i_crc32c_by_tables. */
    aegis_i_store(&has_tables, 1, memory_order_release);
}

static uint32_t look_up(size_t table, uint32_t byte) {
    return atomic_load_explicit(&tables[table][byte & 255], memory_order_relaxed);
}

static uint32_t word_of(const unsigned char *bytes) {
    return bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

uint32_t aegis_i_crc32c_by_tables(uint32_t crc, const void *bytes, size_t size_bytes) {
    const unsigned char *at = (const unsigned char *)bytes;
    /* Acquire pairs with the release in make_tables. */
    if (AEGIS_UNLIKELY(aegis_i_load(&has_tables, memory_order_acquire) == 0))
        make_tables();
    crc = ~crc;
    for (; size_bytes >= 8; size_bytes -= 8, at += 8) {
        uint32_t low = crc ^ word_of(at), high = word_of(at + 4);
        crc = look_up(7, low) ^ look_up(6, low >> 8) ^ look_up(5, low >> 16) ^
              look_up(4, low >> 24) ^ look_up(3, high) ^ look_up(2, high >> 8) ^
              look_up(1, high >> 16) ^ look_up(0, high >> 24);
    }
    for (; size_bytes != 0; size_bytes--, at++)
        crc = crc >> 8 ^ look_up(0, crc ^ *at);
    return ~crc;
}

#if defined(AEGIS_I_HAS_CRC32C)

/* The bytes of a stream. Three are a little less than 4096. */
#define STREAM_BYTES ((size_t)1360)
/* x^(8 * STREAM_BYTES), and its square. */
#define BEHIND_ONE_STREAM UINT32_C(0xD6A79573)
#define BEHIND_TWO_STREAMS UINT32_C(0x4672C7F2)

/* Whether the processor has the instruction: not known yet, or one of the others. */
#define NOT_ASKED UINT32_C(0)
#define IS_THERE UINT32_C(1)
#define IS_MISSING UINT32_C(2)

static _Atomic uint32_t instruction;

static uint32_t multiply(uint32_t factor, uint32_t word) {
    uint32_t product = 0;
    for (int bit = 31; bit >= 0; bit--) {
        product ^= word & (0 - (factor >> bit & 1));
        word = shift(word);
    }
    return product;
}

static uint64_t load_u64(const unsigned char *bytes) {
    uint64_t value;
    memcpy(&value, bytes, sizeof value);
    return value;
}

static uint32_t by_instruction(uint32_t crc, const unsigned char *at, size_t size_bytes) {
    crc = ~crc;
    for (; size_bytes >= 3 * STREAM_BYTES; size_bytes -= 3 * STREAM_BYTES) {
        uint32_t second = 0, third = 0;
        const unsigned char *end = at + STREAM_BYTES;
        for (; at != end; at += 8) {
            crc = aegis_i_crc32c_u64(crc, load_u64(at));
            second = aegis_i_crc32c_u64(second, load_u64(at + STREAM_BYTES));
            third = aegis_i_crc32c_u64(third, load_u64(at + 2 * STREAM_BYTES));
        }
        at += 2 * STREAM_BYTES;
        crc = multiply(BEHIND_TWO_STREAMS, crc) ^ multiply(BEHIND_ONE_STREAM, second) ^ third;
    }
    for (; size_bytes >= 8; size_bytes -= 8, at += 8)
        crc = aegis_i_crc32c_u64(crc, load_u64(at));
    for (; size_bytes != 0; size_bytes--, at++)
        crc = aegis_i_crc32c_u8(crc, *at);
    return ~crc;
}

uint32_t aegis_crc32c(uint32_t crc, const void *bytes, size_t size_bytes) {
    /* Relaxed: all threads find the same answer, and it tells nothing of other memory. */
    uint32_t known = aegis_i_load(&instruction, memory_order_relaxed);
    if (AEGIS_UNLIKELY(known == NOT_ASKED)) {
        known = aegis_i_crc32c_is_there() ? IS_THERE : IS_MISSING;
        aegis_i_store(&instruction, known, memory_order_relaxed);
    }
    if (AEGIS_UNLIKELY(known == IS_MISSING))
        return aegis_i_crc32c_by_tables(crc, bytes, size_bytes);
    return by_instruction(crc, (const unsigned char *)bytes, size_bytes);
}

#else

uint32_t aegis_crc32c(uint32_t crc, const void *bytes, size_t size_bytes) {
    return aegis_i_crc32c_by_tables(crc, bytes, size_bytes);
}

#endif
