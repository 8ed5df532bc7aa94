/* SPDX-License-Identifier: Apache-2.0 */
/* Writers: arithmetic on ranges, and a reference for each handle. A failed call leaves its writers
 * as they were, for the reason that view.c gives. */
#include "writer.h"
#include "../base/arithmetic.h"
#include "owner.h"

static const aegis_buffer_mut no_writer = {NULL, 0, 0, NULL, 0};

aegis_status aegis_buffer_mut_release(aegis_buffer_mut *writer) {
    aegis_buffer_owner *owner = writer->owner;
    if (AEGIS_UNLIKELY(owner == NULL))
        return aegis_i_buffer_report_none();
    *writer = no_writer;
    return aegis_i_buffer_unref(owner);
}

size_t aegis_buffer_mut_retained_bytes(const aegis_buffer_mut *writer) {
    assert(aegis_i_buffer_mut_is_valid(writer));
    return aegis_i_buffer_owner_retained(writer->owner);
}

bool aegis_buffer_mut_same_memory(const aegis_buffer_mut *a, const aegis_buffer_mut *b) {
    assert(aegis_i_buffer_mut_is_valid(a) && aegis_i_buffer_mut_is_valid(b));
    return aegis_i_buffer_owner_shares(a->owner, b->owner);
}

aegis_status aegis_buffer_mut_append(aegis_buffer_mut *writer, const void *data, size_t length) {
    assert(aegis_i_buffer_mut_is_valid(writer));
    if (writer->data == NULL || (data == NULL && length != 0))
        return AEGIS_E_INVALID;
    if (length > writer->capacity - writer->length)
        return AEGIS_E_EXHAUSTED;
    if (length != 0)
        memcpy(writer->data + writer->length, data, length);
    writer->length += length;
    return AEGIS_OK;
}

bool aegis_i_buffer_mut_extend(aegis_buffer_mut *writer, size_t needed_bytes, size_t align_bytes) {
    const aegis_buffer_owner *owner = writer->owner;
    if (needed_bytes > owner->capacity_bytes || !aegis_i_buffer_owner_is_unique(owner))
        return false;
    size_t offset = (size_t)(writer->data - owner->base);
    if (needed_bytes > owner->capacity_bytes - offset ||
        aegis_i_padding(writer->data, align_bytes) != 0) {
        size_t first = aegis_i_padding(owner->base, align_bytes);
        /* A writer without bytes may also go on to the first aligned address. */
        if (offset < first ? writer->length != 0 : offset - first < writer->length)
            return false;
        if (first > owner->capacity_bytes || needed_bytes > owner->capacity_bytes - first)
            return false;
        memmove(owner->base + first, writer->data, writer->length);
        writer->data = owner->base + first;
        writer->initialized = 0;
        offset = first;
    }
    writer->capacity = owner->capacity_bytes - offset;
    assert(aegis_i_buffer_mut_is_valid(writer));
    return true;
}

bool aegis_buffer_mut_try_reclaim(aegis_buffer_mut *writer, size_t additional_bytes) {
    assert(aegis_i_buffer_mut_is_valid(writer));
    if (writer->data == NULL)
        return false;
    if (additional_bytes <= writer->capacity - writer->length)
        return true;
    return additional_bytes <= PTRDIFF_MAX - writer->length &&
           aegis_i_buffer_mut_extend(writer, writer->length + additional_bytes, 1);
}

aegis_buffer aegis_buffer_mut_freeze(aegis_buffer_mut *writer) {
    assert(aegis_i_buffer_mut_is_valid(writer));
    aegis_buffer buffer = {writer->data, writer->length, writer->owner};
    *writer = no_writer;
    if (buffer.data == NULL || buffer.length != 0)
        return buffer;
    (void)aegis_i_buffer_unref(buffer.owner);
    return aegis_buffer_from_static(NULL, 0);
}

/* Cuts a writer at `at`, which is at most its capacity. `front` or `back` is the writer itself. */
static aegis_status cut(const aegis_buffer_mut *writer, size_t at, aegis_buffer_mut *front,
                        aegis_buffer_mut *back) {
    aegis_status status = aegis_i_buffer_ref(writer->owner);
    if (status != AEGIS_OK)
        return status;
    size_t front_length = aegis_i_min(writer->length, at);
    size_t front_initialized = aegis_i_min(writer->initialized, at);
    aegis_buffer_mut before = {writer->data, front_length, at, writer->owner, front_initialized};
    aegis_buffer_mut behind = {writer->data + at, writer->length - front_length,
                               writer->capacity - at, writer->owner,
                               writer->initialized - front_initialized};
    *front = before;
    *back = behind;
    assert(aegis_i_buffer_mut_is_valid(front) && aegis_i_buffer_mut_is_valid(back));
    return AEGIS_OK;
}

aegis_status aegis_buffer_mut_split_to(aegis_buffer_mut *writer, size_t at,
                                       aegis_buffer_mut *front) {
    assert(aegis_i_buffer_mut_is_valid(writer));
    *front = no_writer;
    if (writer->data == NULL || at > writer->length)
        return AEGIS_E_INVALID;
    return cut(writer, at, front, writer);
}

aegis_status aegis_buffer_mut_split_off(aegis_buffer_mut *writer, size_t at,
                                        aegis_buffer_mut *back) {
    assert(aegis_i_buffer_mut_is_valid(writer));
    *back = no_writer;
    if (writer->data == NULL || at > writer->capacity)
        return AEGIS_E_INVALID;
    return cut(writer, at, writer, back);
}

aegis_status aegis_buffer_mut_unsplit(aegis_buffer_mut *writer, aegis_buffer_mut *back) {
    assert(aegis_i_buffer_mut_is_valid(writer) && aegis_i_buffer_mut_is_valid(back));
    if (writer->data == NULL || back->data == NULL || writer == back)
        return AEGIS_E_INVALID;
    if (back->capacity != 0) {
        if (writer->owner != back->owner || writer->data + writer->capacity != back->data ||
            (writer->length != writer->capacity && back->length != 0))
            return AEGIS_E_INVALID;
        if (aegis_i_max(writer->length, writer->initialized) == writer->capacity)
            writer->initialized = writer->capacity + back->initialized;
        writer->length += back->length;
        writer->capacity += back->capacity;
    }
    assert(aegis_i_buffer_mut_is_valid(writer));
    return aegis_buffer_mut_release(back);
}
