/* SPDX-License-Identifier: Apache-2.0 */
/* What views and writers have in common: the references of their owner, the memory that it keeps,
 * and checks of validity. Also views of memory that has no owner, or an owner that the caller has
 * filled in. */
#include "owner.h"
#include "../base/arithmetic.h"
#include "../base/cancel.h"
#include "../base/error_record.h"
#include "../base/text.h"

unsigned char aegis_i_buffer_nothing[1];

aegis_status aegis_i_buffer_fail(aegis_error *error, aegis_status status, size_t size_bytes,
                                 size_t align_bytes) {
    if (error != NULL)
        (void)aegis_i_error_bytes(error, status, size_bytes, align_bytes);
    return status;
}

aegis_status aegis_i_buffer_refuse(aegis_error *error, aegis_status status, uint32_t what,
                                   size_t size_bytes) {
    if (error != NULL) {
        (void)aegis_i_error_bytes(error, status, size_bytes, 0);
        error->what = what;
    }
    return status;
}

/* Whether a range lies in the owner's memory. */
static bool range_is_valid(const aegis_buffer_owner *owner, const unsigned char *data,
                           size_t length) {
    uintptr_t base = (uintptr_t)owner->base;
    return (uintptr_t)data >= base && (uintptr_t)data - base <= owner->capacity_bytes &&
           length <= owner->capacity_bytes - ((uintptr_t)data - base);
}

bool aegis_i_buffer_is_valid(const aegis_buffer *buffer) {
    if (buffer->data == NULL)
        return buffer->length == 0 && buffer->owner == NULL;
    return buffer->owner == NULL || range_is_valid(buffer->owner, buffer->data, buffer->length);
}

bool aegis_i_buffer_mut_is_valid(const aegis_buffer_mut *writer) {
    if (writer->data == NULL)
        return writer->length == 0 && writer->capacity == 0 && writer->owner == NULL;
    return writer->owner != NULL && writer->length <= writer->capacity &&
           writer->initialized <= writer->capacity &&
           range_is_valid(writer->owner, writer->data, writer->capacity);
}

size_t aegis_i_buffer_owner_retained(const aegis_buffer_owner *owner) {
    return owner != NULL ? aegis_i_max(owner->capacity_bytes, owner->retained_bytes) : 0;
}

bool aegis_i_buffer_owner_shares(const aegis_buffer_owner *a, const aegis_buffer_owner *b) {
    if (a == NULL || b == NULL)
        return false;
    /* Both are alive, so what lies at the same addresses is the same memory. */
    size_t behind_a = (size_t)((uintptr_t)b->base - (uintptr_t)a->base);
    size_t behind_b = (size_t)((uintptr_t)a->base - (uintptr_t)b->base);
    bool overlaps = a->capacity_bytes != 0 && b->capacity_bytes != 0 &&
                    (behind_a < a->capacity_bytes || behind_b < b->capacity_bytes);
    return a == b || overlaps;
}

aegis_buffer aegis_buffer_from_static(const void *data, size_t length) {
    aegis_buffer buffer = {aegis_i_buffer_bytes(data), length, NULL};
    aegis_buffer none = {NULL, 0, NULL};
    return data != NULL || length == 0 ? buffer : none;
}

aegis_buffer aegis_buffer_adopt(aegis_buffer_owner *owner) {
    owner->base = aegis_i_buffer_bytes(owner->base);
    owner->flags &= AEGIS_BUFFER_WRITABLE;
    owner->flags |= AEGIS_I_BUFFER_FOREIGN;
    aegis_buffer buffer = {owner->base, owner->capacity_bytes, owner};
    return buffer;
}

aegis_status aegis_buffer_check_file(const aegis_buffer *buffer) {
    const aegis_buffer_owner *owner = buffer->owner;
    if (owner == NULL || (owner->flags & AEGIS_I_BUFFER_FILE) == 0)
        return AEGIS_OK;
    const aegis_i_file_owner *file = (const aegis_i_file_owner *)(const void *)owner;
    int state = aegis_i_uncancelled_begin();
    aegis_status status = file->check(file);
    aegis_i_uncancelled_end(state);
    return status;
}
