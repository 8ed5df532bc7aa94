/* SPDX-License-Identifier: Apache-2.0 */
/* What every view and every writer does with its owner: references, validity, and views of memory
 * that has no owner or one that its maker fills in. */
#include "owner.h"
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

static aegis_status report_dead_owner(const aegis_buffer_owner *owner) {
    (void)owner;
    if (AEGIS_I_DEBUG)
        aegis_i_report("a buffer is used after its last release (owner %p)", (const void *)owner);
    return AEGIS_E_INVALID;
}

aegis_status aegis_i_buffer_ref(aegis_buffer_owner *owner) {
    if (owner == NULL)
        return AEGIS_OK;
    /* Relaxed: the caller has a reference, so the count cannot fall to 0 meanwhile. */
    size_t before = aegis_i_add(aegis_i_references(owner), 1, memory_order_relaxed);
    if (AEGIS_UNLIKELY(before == 0 || before >= AEGIS_I_MAX_REFERENCES)) {
        (void)aegis_i_sub(aegis_i_references(owner), 1, memory_order_relaxed);
        return before == 0 ? report_dead_owner(owner) : AEGIS_E_LIMIT_EXCEEDED;
    }
    return AEGIS_OK;
}

aegis_status aegis_i_buffer_unref(aegis_buffer_owner *owner) {
    if (owner == NULL)
        return AEGIS_OK;
    _Atomic size_t *references = aegis_i_references(owner);
    /* Acquire pairs with the decrement below, by the threads that had a reference before. */
    size_t seen = aegis_i_load(references, memory_order_acquire);
    if (AEGIS_UNLIKELY(seen == 0))
        return report_dead_owner(owner);
    if (seen == 1) {
        /* So that a stale copy of the handle is found out where the header outlives the memory. */
        aegis_i_store(references, 0, memory_order_relaxed);
    } else {
        /* Release pairs with every acquire load of the count: this holder's use of the bytes comes
         * before the last one's. */
        if (aegis_i_sub(references, 1, memory_order_release) != 1)
            return AEGIS_OK;
        /* Acquire pairs with the same decrement by the others. */
        (void)aegis_i_load(references, memory_order_acquire);
    }
    if (aegis_i_buffer_owner_is_plain(owner))
        owner->release(owner);
    else
        aegis_buffer_owner_release(owner);
    return AEGIS_OK;
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

aegis_status aegis_i_buffer_report_none(void) {
    if (AEGIS_I_DEBUG)
        aegis_i_report("a buffer is released that was released or moved before");
    return AEGIS_E_INVALID;
}
