/* SPDX-License-Identifier: Apache-2.0 */
/* Views: arithmetic on ranges, and a reference for each handle.
 *
 * A call works in this order:
 *  1. It checks its arguments.
 *  2. It takes the reference that it needs (aegis_i_buffer_ref). No later step can fail, except for
 *     a view that is used after its last release.
 *  3. It writes to the handles.
 * So a failed call leaves its views as they were. The handle that it was to make is empty then. */
#include "owner.h"

#if defined(__unix__) || defined(__APPLE__)
#include <sys/uio.h>

_Static_assert(sizeof(aegis_iovec) == sizeof(struct iovec), "aegis_iovec is struct iovec");
_Static_assert(offsetof(aegis_iovec, base) == offsetof(struct iovec, iov_base),
               "aegis_iovec is struct iovec");
_Static_assert(offsetof(aegis_iovec, length) == offsetof(struct iovec, iov_len),
               "aegis_iovec is struct iovec");
_Static_assert(sizeof(((struct iovec *)0)->iov_len) == sizeof(size_t),
               "aegis_iovec is struct iovec");
#endif

static const aegis_buffer no_buffer = {NULL, 0, NULL};
static const aegis_buffer_mut no_writer = {NULL, 0, 0, NULL, 0};

aegis_status aegis_buffer_retain(const aegis_buffer *buffer, aegis_buffer *copy) {
    return aegis_buffer_slice(buffer, 0, buffer->length, copy);
}

aegis_status aegis_buffer_release(aegis_buffer *buffer) {
    aegis_buffer_owner *owner = buffer->owner;
    if (AEGIS_UNLIKELY(buffer->data == NULL))
        return aegis_i_buffer_report_none();
    *buffer = no_buffer;
    return aegis_i_buffer_unref(owner);
}

/* Gives up the reference of a view that has no bytes left, which is rare. */
static AEGIS_I_COLD aegis_status give_up(aegis_buffer_owner *owner) {
    return aegis_i_buffer_unref(owner);
}

/* Makes a part of a view, without taking a reference. A part of no bytes has no owner. */
static aegis_buffer part_of(const aegis_buffer *buffer, size_t start, size_t end) {
    aegis_buffer part = {buffer->data + start, end - start, buffer->owner};
    assert(aegis_i_buffer_is_valid(&part));
    return start != end ? part : aegis_buffer_from_static(NULL, 0);
}

aegis_status aegis_buffer_slice(const aegis_buffer *buffer, size_t start, size_t end,
                                aegis_buffer *part) {
    assert(aegis_i_buffer_is_valid(buffer));
    bool narrows = part == buffer;
    bool needs_reference = start != end;
    aegis_buffer_owner *owner = buffer->owner;
    aegis_status status = AEGIS_E_INVALID;
    if (buffer->data != NULL && start <= end && end <= buffer->length)
        status = needs_reference && !narrows ? aegis_i_buffer_ref(owner) : AEGIS_OK;
    if (status != AEGIS_OK) {
        if (!narrows)
            *part = no_buffer;
        return status;
    }
    *part = part_of(buffer, start, end);
    return narrows && !needs_reference ? give_up(owner) : AEGIS_OK;
}

/* Cuts a view at `at`, which is at most its length. `front` or `back` is the view itself. If a part
 * has no bytes, the view's own reference is enough for both parts. */
static aegis_status split(const aegis_buffer *buffer, size_t at, aegis_buffer *front,
                          aegis_buffer *back) {
    aegis_buffer whole = *buffer;
    bool needs_two = at != 0 && at != whole.length;
    aegis_status status = needs_two ? aegis_i_buffer_ref(whole.owner) : AEGIS_OK;
    if (status != AEGIS_OK)
        return status;
    *front = part_of(&whole, 0, at);
    *back = part_of(&whole, at, whole.length);
    return whole.length == 0 ? give_up(whole.owner) : AEGIS_OK;
}

aegis_status aegis_buffer_split_to(aegis_buffer *buffer, size_t at, aegis_buffer *front) {
    assert(aegis_i_buffer_is_valid(buffer));
    *front = no_buffer;
    if (buffer->data == NULL || at > buffer->length)
        return AEGIS_E_INVALID;
    return split(buffer, at, front, buffer);
}

aegis_status aegis_buffer_split_off(aegis_buffer *buffer, size_t at, aegis_buffer *back) {
    assert(aegis_i_buffer_is_valid(buffer));
    *back = no_buffer;
    if (buffer->data == NULL || at > buffer->length)
        return AEGIS_E_INVALID;
    return split(buffer, at, buffer, back);
}

aegis_status aegis_buffer_unsplit(aegis_buffer *buffer, aegis_buffer *back) {
    assert(aegis_i_buffer_is_valid(buffer) && aegis_i_buffer_is_valid(back));
    if (buffer->data == NULL || back->data == NULL || buffer == back)
        return AEGIS_E_INVALID;
    if (buffer->length == 0) {
        aegis_buffer empty = *buffer;
        *buffer = *back;
        *back = no_buffer;
        return aegis_buffer_release(&empty);
    }
    if (back->length != 0) {
        if (buffer->owner == NULL || buffer->owner != back->owner ||
            buffer->data + buffer->length != back->data)
            return AEGIS_E_INVALID;
        buffer->length += back->length;
    }
    assert(aegis_i_buffer_is_valid(buffer));
    return aegis_buffer_release(back);
}

bool aegis_buffer_is_unique(const aegis_buffer *buffer) {
    return buffer->owner != NULL && aegis_i_buffer_owner_is_unique(buffer->owner);
}

size_t aegis_buffer_retained_bytes(const aegis_buffer *buffer) {
    assert(aegis_i_buffer_is_valid(buffer));
    return aegis_i_buffer_owner_retained(buffer->owner);
}

bool aegis_buffer_same_memory(const aegis_buffer *a, const aegis_buffer *b) {
    assert(aegis_i_buffer_is_valid(a) && aegis_i_buffer_is_valid(b));
    return aegis_i_buffer_owner_shares(a->owner, b->owner);
}

aegis_status aegis_buffer_try_into_mut(aegis_buffer *buffer, aegis_buffer_mut *writer) {
    assert(aegis_i_buffer_is_valid(buffer));
    *writer = no_writer;
    aegis_buffer_owner *owner = buffer->owner;
    if (owner == NULL || (owner->flags & AEGIS_BUFFER_WRITABLE) == 0)
        return AEGIS_E_INVALID;
    if (!aegis_i_buffer_owner_is_unique(owner))
        return AEGIS_E_BUSY;
    size_t offset = (size_t)(buffer->data - owner->base);
    aegis_buffer_mut made = {owner->base + offset, buffer->length, owner->capacity_bytes - offset,
                             owner, 0};
    *writer = made;
    *buffer = no_buffer;
    assert(aegis_i_buffer_mut_is_valid(writer));
    return AEGIS_OK;
}

size_t aegis_buffer_iovecs(const aegis_buffer *buffers, size_t count, aegis_iovec *iovecs) {
    size_t total_bytes = 0;
    for (size_t i = 0; i < count; i++) {
        iovecs[i].base = (void *)(uintptr_t)buffers[i].data;
        iovecs[i].length = buffers[i].length;
        bool fits = buffers[i].length <= SIZE_MAX - total_bytes;
        total_bytes = fits ? total_bytes + buffers[i].length : SIZE_MAX;
    }
    return total_bytes;
}
