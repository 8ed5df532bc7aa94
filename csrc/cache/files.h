/* SPDX-License-Identifier: Apache-2.0 */
/* The end of a file. Not installed. */
#ifndef AEGIS_MEMORY_I_CACHE_FILES_H
#define AEGIS_MEMORY_I_CACHE_FILES_H

#include "state.h"

/* Calls what a file wants to be called at its end, and frees it. */
AEGIS_I_HIDDEN void aegis_i_cache_end_file(aegis_i_page_file *file);

#endif
