/* SPDX-License-Identifier: Apache-2.0 */
/* Writing pages back. Not installed. */
#ifndef AEGIS_MEMORY_I_CACHE_WRITE_H
#define AEGIS_MEMORY_I_CACHE_WRITE_H

#include "state.h"

/* In place of a deadline: pages that are being written to are skipped. */
#define AEGIS_I_SKIP_BUSY UINT64_C(0)
/* The same, and it does not wait for a write buffer either, but fails with AEGIS_E_BUSY. A
 * reclaimer does so, because the threads that have the buffers may wait for the budget. */
#define AEGIS_I_WAIT_FOR_NOTHING UINT64_C(1)

/* Writes pages, which are sorted by file and page, and skips those that are not dirty any more.
 * With a deadline it waits for pages that are being written to. `written_count` is raised. If a
 * batch fails, the others are still written, and the first error is returned. */
AEGIS_I_HIDDEN aegis_status aegis_i_cache_write(aegis_page_cache_shared *cache,
                                                const aegis_i_page_record *records, size_t count,
                                                uint64_t deadline_ns, size_t *written_count,
                                                aegis_page_error *error);
AEGIS_I_HIDDEN void aegis_i_cache_sort(aegis_i_page_record *records, size_t count);

#endif
