/* SPDX-License-Identifier: Apache-2.0 */
/* Tests the checksum of pages: published values, and every length around the places where the
 * algorithm changes, against a division bit by bit, both with the processor's instruction, if it
 * has one, and without it. */
#include "support.h"

#include "../../csrc/cache/checksum.h"

#include <pthread.h>

#define BYTES 9000

static unsigned char bytes[BYTES + 8];

static uint32_t bit_by_bit(uint32_t crc, const unsigned char *at, size_t size_bytes) {
    crc = ~crc;
    for (size_t i = 0; i < size_bytes; i++) {
        crc ^= at[i];
        for (int bit = 0; bit < 8; bit++)
            crc = (crc & 1) != 0 ? crc >> 1 ^ UINT32_C(0x82F63B78) : crc >> 1;
    }
    return ~crc;
}

static void fill(void) {
    uint32_t state = 12345;
    for (size_t i = 0; i < sizeof bytes; i++) {
        state = state * UINT32_C(1664525) + UINT32_C(1013904223);
        bytes[i] = (unsigned char)(state >> 24);
    }
}

static void expect(const void *content, size_t size_bytes, uint32_t expected) {
    CHECK(aegis_crc32c(0, content, size_bytes) == expected);
    CHECK(aegis_i_crc32c_by_tables(0, content, size_bytes) == expected);
}

/* The vectors of RFC 3720, appendix B.4, and the check value of the catalogue of CRCs. */
static void published_values_are_met(void) {
    static const unsigned char command[48] = {
        0x01, 0xC0, 0, 0,    0, 0, 0, 0,    0,    0, 0, 0, 0, 0, 0, 0, 0x14, 0, 0, 0, 0, 0, 4, 0,
        0,    0,    0, 0x14, 0, 0, 0, 0x18, 0x28, 0, 0, 0, 0, 0, 0, 0, 0x02, 0, 0, 0, 0, 0, 0, 0};
    unsigned char block[32];
    memset(block, 0, sizeof block);
    expect(block, 32, UINT32_C(0x8A9136AA));
    memset(block, 0xFF, sizeof block);
    expect(block, 32, UINT32_C(0x62A8AB43));
    for (size_t i = 0; i < 32; i++)
        block[i] = (unsigned char)i;
    expect(block, 32, UINT32_C(0x46DD794E));
    for (size_t i = 0; i < 32; i++)
        block[i] = (unsigned char)(31 - i);
    expect(block, 32, UINT32_C(0x113FDB5C));
    expect(command, sizeof command, UINT32_C(0xD9963A56));
    expect("123456789", 9, UINT32_C(0xE3069283));
    expect("", 0, 0);
    expect(NULL, 0, 0);
}

static void every_length_and_address_agrees_with_a_division_bit_by_bit(void) {
    fill();
    for (size_t size_bytes = 0; size_bytes < 64; size_bytes++)
        for (size_t lead = 0; lead < 8; lead++)
            expect(bytes + lead, size_bytes, bit_by_bit(0, bytes + lead, size_bytes));
    for (size_t size_bytes = 4000; size_bytes < 4200; size_bytes += 7)
        expect(bytes + 1, size_bytes, bit_by_bit(0, bytes + 1, size_bytes));
    for (size_t size_bytes = 8150; size_bytes <= BYTES; size_bytes += 41)
        expect(bytes + 3, size_bytes, bit_by_bit(0, bytes + 3, size_bytes));
}

static void parts_have_the_checksum_of_the_whole(void) {
    fill();
    uint32_t whole = aegis_crc32c(0, bytes, BYTES);
    for (size_t cut = 0; cut <= BYTES; cut += 59) {
        uint32_t front = aegis_crc32c(0, bytes, cut);
        CHECK(aegis_crc32c(front, bytes + cut, BYTES - cut) == whole);
        CHECK(aegis_i_crc32c_by_tables(front, bytes + cut, BYTES - cut) == whole);
    }
}

static void each_flipped_bit_of_a_page_is_noticed(void) {
    fill();
    uint32_t good = aegis_crc32c(0, bytes, 4096);
    for (size_t bit = 0; bit < 8 * 4096; bit += 5) {
        bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
        CHECK(aegis_crc32c(0, bytes, 4096) != good);
        bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
    }
    CHECK(aegis_crc32c(0, bytes, 4096) == good);
}

/* Both threads may be the first to use the tables. */
static void *sum_in_thread(void *expected) {
    CHECK(aegis_i_crc32c_by_tables(0, bytes, BYTES) == *(const uint32_t *)expected);
    CHECK(aegis_crc32c(0, bytes, BYTES) == *(const uint32_t *)expected);
    return NULL;
}

static void threads_that_begin_at_the_same_time_agree(void) {
    pthread_t threads[2];
    fill();
    uint32_t expected = bit_by_bit(0, bytes, BYTES);
    for (size_t i = 0; i < 2; i++)
        CHECK(pthread_create(&threads[i], NULL, sum_in_thread, &expected) == 0);
    for (size_t i = 0; i < 2; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
}

int main(void) {
    RUN(threads_that_begin_at_the_same_time_agree);
    RUN(published_values_are_met);
    RUN(every_length_and_address_agrees_with_a_division_bit_by_bit);
    RUN(parts_have_the_checksum_of_the_whole);
    RUN(each_flipped_bit_of_a_page_is_noticed);
    return check_finish();
}
