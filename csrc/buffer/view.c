/* SPDX-License-Identifier: Apache-2.0 */
/* Views and writers: arithmetic on ranges, and a reference for each handle.
 *
 * A call checks first, then takes the reference that it needs, which is the last step that can
 * fail, and only then writes to the handles. So a call that fails has changed nothing. */
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

/* -- references -- */

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

/* -- validity -- */

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

/* -- views -- */

static const aegis_buffer no_buffer = {NULL, 0, NULL};
static const aegis_buffer_mut no_writer = {NULL, 0, 0, NULL, 0};

static aegis_status report_no_buffer(void) {
    if (AEGIS_I_DEBUG)
        aegis_i_report("a buffer is released that was released or moved before");
    return AEGIS_E_INVALID;
}

aegis_status aegis_buffer_retain(const aegis_buffer *buffer, aegis_buffer *copy) {
    return aegis_buffer_slice(buffer, 0, buffer->length, copy);
}

aegis_status aegis_buffer_release(aegis_buffer *buffer) {
    aegis_buffer_owner *owner = buffer->owner;
    if (AEGIS_UNLIKELY(buffer->data == NULL))
        return report_no_buffer();
    *buffer = no_buffer;
    return aegis_i_buffer_unref(owner);
}

/* The part of a view, without a reference of its own. One of no bytes needs none. */
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
    return narrows && !needs_reference ? aegis_i_buffer_unref(owner) : AEGIS_OK;
}

/* Cuts a view at `at`, which is at most its length; `front` or `back` is the view itself. The one
 * reference does for both parts if one has no bytes. */
static aegis_status split(const aegis_buffer *buffer, size_t at, aegis_buffer *front,
                          aegis_buffer *back) {
    aegis_buffer whole = *buffer;
    bool needs_two = at != 0 && at != whole.length;
    aegis_status status = needs_two ? aegis_i_buffer_ref(whole.owner) : AEGIS_OK;
    if (status != AEGIS_OK)
        return status;
    *front = part_of(&whole, 0, at);
    *back = part_of(&whole, at, whole.length);
    return whole.length == 0 ? aegis_i_buffer_unref(whole.owner) : AEGIS_OK;
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

/* Copies a view to the heap. The view stays. */
static aegis_status copy_view(const aegis_buffer *buffer, aegis_buffer_mut *writer,
                              aegis_budget *budget, aegis_error *error) {
    aegis_status status = buffer->length != 0 ? aegis_buffer_check_file(buffer) : AEGIS_OK;
    if (status != AEGIS_OK)
        return aegis_i_buffer_fail(error, status, buffer->length, 0);
    status = aegis_buffer_mut_alloc(writer, buffer->length, 0, budget, error);
    if (status == AEGIS_OK)
        (void)aegis_buffer_mut_append(writer, buffer->data, buffer->length);
    return status;
}

aegis_status aegis_buffer_into_mut(aegis_buffer *buffer, aegis_buffer_mut *writer,
                                   aegis_budget *budget, aegis_error *error) {
    aegis_status status = aegis_buffer_try_into_mut(buffer, writer);
    if (status == AEGIS_OK)
        return AEGIS_OK;
    if (buffer->data == NULL)
        return aegis_i_buffer_refuse(error, AEGIS_E_INVALID, AEGIS_WHAT_HANDLE, 0);
    status = copy_view(buffer, writer, budget, error);
    return status == AEGIS_OK ? aegis_buffer_release(buffer) : status;
}

aegis_status aegis_buffer_compact(aegis_buffer *buffer, aegis_budget *budget, aegis_error *error) {
    assert(aegis_i_buffer_is_valid(buffer));
    if (buffer->data == NULL)
        return aegis_i_buffer_refuse(error, AEGIS_E_INVALID, AEGIS_WHAT_HANDLE, 0);
    aegis_buffer_owner *owner = buffer->owner;
    if (owner == NULL || buffer->length >= owner->capacity_bytes - buffer->length)
        return AEGIS_OK;
    aegis_buffer_mut writer;
    aegis_status status = copy_view(buffer, &writer, budget, error);
    if (status != AEGIS_OK)
        return status;
    *buffer = aegis_buffer_mut_freeze(&writer);
    return aegis_i_buffer_unref(owner);
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

/* -- writers -- */

/* The most that a writer is given of the capacity of the memory that it was a part of, when it
 * moves to memory of its own. */
#define INHERITED_BYTES ((size_t)64 << 10)

aegis_status aegis_buffer_mut_release(aegis_buffer_mut *writer) {
    aegis_buffer_owner *owner = writer->owner;
    if (AEGIS_UNLIKELY(owner == NULL))
        return report_no_buffer();
    *writer = no_writer;
    return aegis_i_buffer_unref(owner);
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

/* Gives a writer that has its memory for itself all of it, if that holds `needed_bytes`. The bytes
 * move only when at least as much room is won as is moved: a window that slides over the memory a
 * little at a time would otherwise be moved each time. */
static bool extend_in_place(aegis_buffer_mut *writer, size_t needed_bytes) {
    const aegis_buffer_owner *owner = writer->owner;
    if (needed_bytes > owner->capacity_bytes || !aegis_i_buffer_owner_is_unique(owner))
        return false;
    size_t offset = (size_t)(writer->data - owner->base);
    if (needed_bytes > owner->capacity_bytes - offset) {
        if (offset < writer->length)
            return false;
        memmove(owner->base, writer->data, writer->length);
        writer->data = owner->base;
        writer->initialized = 0;
        offset = 0;
    }
    writer->capacity = owner->capacity_bytes - offset;
    assert(aegis_i_buffer_mut_is_valid(writer));
    return true;
}

/* Makes an empty writer that takes over from `writer`: of twice its capacity, or of that of the
 * memory it is a part of, so that a writer which is split again and again does not begin small each
 * time. If that is refused, of as much as is needed. */
static aegis_status alloc_larger(const aegis_buffer_mut *writer, size_t needed_bytes,
                                 aegis_buffer_mut *larger, aegis_budget *budget,
                                 aegis_error *error) {
    size_t wanted_bytes = aegis_i_max(2 * writer->capacity,
                                      aegis_i_min(writer->owner->capacity_bytes, INHERITED_BYTES));
    if (wanted_bytes > needed_bytes &&
        aegis_buffer_mut_alloc(larger, wanted_bytes, 0, budget, NULL) == AEGIS_OK)
        return AEGIS_OK;
    return aegis_buffer_mut_alloc(larger, needed_bytes, 0, budget, error);
}

aegis_status aegis_buffer_mut_reserve(aegis_buffer_mut *writer, size_t additional_bytes,
                                      aegis_budget *budget, aegis_error *error) {
    assert(aegis_i_buffer_mut_is_valid(writer));
    if (writer->data == NULL)
        return aegis_i_buffer_refuse(error, AEGIS_E_INVALID, AEGIS_WHAT_HANDLE, additional_bytes);
    if (additional_bytes <= writer->capacity - writer->length)
        return AEGIS_OK;
    if (additional_bytes > PTRDIFF_MAX - writer->length) {
        (void)aegis_i_buffer_fail(error, AEGIS_E_INVALID_LAYOUT, additional_bytes, 1);
        if (error != NULL)
            error->allowed = PTRDIFF_MAX - writer->length;
        return AEGIS_E_INVALID_LAYOUT;
    }
    size_t needed_bytes = writer->length + additional_bytes;
    if (extend_in_place(writer, needed_bytes))
        return AEGIS_OK;

    aegis_buffer_mut larger;
    aegis_status status = alloc_larger(writer, needed_bytes, &larger, budget, error);
    if (status != AEGIS_OK)
        return status;
    (void)aegis_buffer_mut_append(&larger, writer->data, writer->length);
    aegis_buffer_owner *owner = writer->owner;
    *writer = larger;
    return aegis_i_buffer_unref(owner);
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

/* Cuts a writer at `at`, which is at most its capacity. */
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
