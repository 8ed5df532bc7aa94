/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of buffers need: an owner whose references and releases a test can read, a counter
 * of reports, and short functions that say what a handle is. */
#ifndef BUFFER_SUPPORT_H
#define BUFFER_SUPPORT_H

#include "shared_support.h"

#define OWNER_BYTES 32
/* How often the library reports a mistake: once in a debug build, never in other builds. */
#define ONE_REPORT (aegis_build_flags() & AEGIS_BUILD_DEBUG)

/* An owner that lives longer than its release. Its memory holds the bytes 0, 1, 2 and so on. */
typedef struct test_owner {
    aegis_buffer_owner owner;
    size_t release_count;
    unsigned char memory[OWNER_BYTES];
} test_owner;

static inline void test_owner_release(aegis_buffer_owner *owner) {
    CHECK_SIZE(owner->references, 0);
    ((test_owner *)(void *)owner)->release_count++;
}

static inline aegis_buffer test_owner_adopt(test_owner *state, uint32_t flags) {
    aegis_buffer_owner owner = {1, test_owner_release, state->memory, OWNER_BYTES, flags, 0};
    state->owner = owner;
    state->release_count = 0;
    for (size_t i = 0; i < OWNER_BYTES; i++)
        state->memory[i] = (unsigned char)i;
    return aegis_buffer_adopt(&state->owner);
}

/* An empty writer over all of the owner's memory. */
static inline aegis_buffer_mut test_owner_writer(test_owner *state) {
    aegis_buffer buffer = test_owner_adopt(state, AEGIS_BUFFER_WRITABLE);
    aegis_buffer_mut writer;
    CHECK(aegis_buffer_try_into_mut(&buffer, &writer) == AEGIS_OK);
    writer.length = 0;
    return writer;
}

static inline bool is_no_buffer(const aegis_buffer *buffer) {
    return buffer->data == NULL && buffer->length == 0 && buffer->owner == NULL;
}

static inline bool is_no_writer(const aegis_buffer_mut *writer) {
    return writer->data == NULL && writer->length == 0 && writer->capacity == 0 &&
           writer->owner == NULL && writer->initialized == 0;
}

static inline bool is_same_buffer(const aegis_buffer *a, const aegis_buffer *b) {
    return a->data == b->data && a->length == b->length && a->owner == b->owner;
}

static inline bool is_same_writer(const aegis_buffer_mut *a, const aegis_buffer_mut *b) {
    return a->data == b->data && a->length == b->length && a->capacity == b->capacity &&
           a->owner == b->owner && a->initialized == b->initialized;
}

/* Whether the view has exactly these bytes of the text. */
static inline bool holds(const aegis_buffer *buffer, const void *bytes, size_t length) {
    return buffer->data != NULL && buffer->length == length &&
           (length == 0 || memcmp(buffer->data, bytes, length) == 0);
}

static inline size_t budget_used(const aegis_budget *budget) {
    aegis_budget_figures figures;
    aegis_budget_get_figures(budget, &figures);
    return figures.used_bytes;
}

/* Counts the reports from `watch_reports` on. */
static atomic_size_t report_count;

static inline void count_report(const char *message) {
    (void)message;
    atomic_fetch_add(&report_count, 1);
}

static inline aegis_report_fn watch_reports(void) {
    atomic_store(&report_count, 0);
    return aegis_set_report(count_report);
}

#endif
