/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the buffer pool need in addition to pool_support.h: options, pools and
 * writers. */
#ifndef BUFFER_POOL_SUPPORT_H
#define BUFFER_POOL_SUPPORT_H

#include "pool_support.h"

static inline aegis_buffer_pool_options buffer_pool_options(const aegis_buffer_class *classes,
                                                            size_t class_count,
                                                            const aegis_source *source) {
    aegis_buffer_pool_options options;
    memset(&options, 0, sizeof options);
    options.classes = classes;
    options.class_count = class_count;
    options.source = source;
    return options;
}

/* A pool of one class. */
static inline aegis_buffer_pool buffer_pool_of(size_t buffer_bytes, size_t buffer_count,
                                               size_t max_buffer_count,
                                               const aegis_source *source) {
    aegis_buffer_pool pool;
    aegis_buffer_class only = {buffer_bytes, buffer_count, max_buffer_count};
    aegis_buffer_pool_options options = buffer_pool_options(&only, 1, source);
    CHECK(aegis_buffer_pool_init(&pool, &options) == AEGIS_OK);
    return pool;
}

static inline aegis_buffer_pool_stats buffer_pool_stats(const aegis_buffer_pool *pool) {
    aegis_buffer_pool_stats stats;
    aegis_buffer_pool_get_stats(pool, &stats);
    return stats;
}

/* Takes up to `count` writers; returns how many there were. */
static inline size_t get_writers(const aegis_buffer_pool *pool, aegis_buffer_mut *writers,
                                 size_t count, size_t capacity_bytes, aegis_error *error) {
    for (size_t i = 0; i < count; i++)
        if (aegis_buffer_pool_get(pool, &writers[i], capacity_bytes, error) != AEGIS_OK)
            return i;
    return count;
}

static inline void release_writers(aegis_buffer_mut *writers, size_t count) {
    for (size_t i = 0; i < count; i++)
        CHECK(aegis_buffer_mut_release(&writers[i]) == AEGIS_OK);
}

static inline bool is_no_writer(const aegis_buffer_mut *writer) {
    return writer->data == NULL && writer->length == 0 && writer->capacity == 0 &&
           writer->owner == NULL && writer->initialized == 0;
}

#endif
