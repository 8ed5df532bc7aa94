/* SPDX-License-Identifier: Apache-2.0 */
/* Where memory comes from if the user names no source: that of objects, and that of the records
 * which the library keeps beside them. Such a record is a budget, a function that is registered
 * with one, or a request. Not installed. */
#ifndef AEGIS_MEMORY_I_SOURCE_H
#define AEGIS_MEMORY_I_SOURCE_H

#include "aegis_memory/source.h"
#include "base/port.h"

#if defined(AEGIS_FREESTANDING)

/* The source that aegis_set_default_source has set; before that one that has no memory. */
AEGIS_I_HIDDEN aegis_source aegis_i_default_source(void);
#define AEGIS_I_ARENA_SOURCE() aegis_i_default_source()
#define AEGIS_I_POOL_SOURCE() aegis_i_default_source()

/* See below. */
static inline aegis_source aegis_i_uncleared(aegis_source source) {
    return source;
}
static inline void *aegis_i_source_resize(const aegis_source *source, void *memory,
                                          size_t size_bytes, size_t align_bytes) {
    (void)source;
    (void)memory;
    (void)size_bytes;
    (void)align_bytes;
    return NULL;
}

/* Memory for a record, which is all zero; NULL: there is none. */
AEGIS_I_HIDDEN void *aegis_i_record_new(size_t size_bytes);
AEGIS_I_HIDDEN void aegis_i_record_free(void *record);

#else

#include <stdlib.h>

#define AEGIS_I_ARENA_SOURCE() aegis_source_heap()
#define AEGIS_I_POOL_SOURCE() aegis_source_pages(0)

/* A source with the same release function that need not clear its memory. If the C heap is the
 * source, that is malloc in place of calloc. */
AEGIS_I_HIDDEN aegis_source aegis_i_uncleared(aegis_source source);
/* Resizes memory of a source as realloc does, which may move pages and copy nothing. NULL: the
 * source is not the C heap, or it has no room; the memory is as it was. */
AEGIS_I_HIDDEN void *aegis_i_source_resize(const aegis_source *source, void *memory,
                                           size_t size_bytes, size_t align_bytes);

static inline void *aegis_i_record_new(size_t size_bytes) {
    return calloc(1, size_bytes);
}

static inline void aegis_i_record_free(void *record) {
    free(record);
}

#endif

#endif
