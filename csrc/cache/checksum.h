/* SPDX-License-Identifier: Apache-2.0 */
/* The checksum without the processor's instruction, which tests compare with the other way. Not
 * installed. */
#ifndef AEGIS_MEMORY_I_CACHE_CHECKSUM_H
#define AEGIS_MEMORY_I_CACHE_CHECKSUM_H

#include "aegis_memory/page_checksum.h"
#include "../base/port.h"

/* As aegis_crc32c. */
AEGIS_I_HIDDEN uint32_t aegis_i_crc32c_by_tables(uint32_t crc, const void *bytes,
                                                 size_t size_bytes);

#endif
