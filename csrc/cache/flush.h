/* SPDX-License-Identifier: Apache-2.0 */
/* Writing and syncing a whole file. Not installed. */
#ifndef AEGIS_MEMORY_I_CACHE_FLUSH_H
#define AEGIS_MEMORY_I_CACHE_FLUSH_H

#include "state.h"

/* Writes the dirty pages of a file and syncs it. The caller has counted itself in `users`. */
AEGIS_I_HIDDEN aegis_status aegis_i_cache_flush_file(aegis_page_cache_shared *cache,
                                                     aegis_i_page_file *file,
                                                     aegis_page_error *error);
#endif
