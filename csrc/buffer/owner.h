/* SPDX-License-Identifier: Apache-2.0 */
/* What all files of the buffers use of owners, and how they fill in an error record. Not
 * installed. */
#ifndef AEGIS_MEMORY_I_BUFFER_OWNER_H
#define AEGIS_MEMORY_I_BUFFER_OWNER_H

#include "../base/text.h"
#include "references.h"

/* aegis_buffer_owner.flags: the owner is an aegis_i_file_owner. */
#define AEGIS_I_BUFFER_FILE (UINT32_C(1) << 31)
/* aegis_buffer_owner.flags: aegis_buffer_adopt has made the view, so the release function may call
 * code that is not the library's. (The bit below this one belongs to the Rust wrapper. It means
 * that behind the header there is the mark of the copy of the wrapper that made the owner.) */
#define AEGIS_I_BUFFER_FOREIGN (UINT32_C(1) << 30)

/* The owner of a mapping of a file, as far as every copy of this library in the process knows it.
 * The functions are those of the copy that made the owner, and only that copy knows what lies
 * behind this struct. */
typedef struct aegis_i_file_owner {
    aegis_buffer_owner owner;
    aegis_status (*check)(const struct aegis_i_file_owner *owner);
} aegis_i_file_owner;

/* Reports the use of an owner without references, and returns AEGIS_E_INVALID. */
static inline aegis_status aegis_i_buffer_report_dead(const aegis_buffer_owner *owner) {
    (void)owner;
    if (AEGIS_I_DEBUG)
        aegis_i_report("a buffer is used after its last release (owner %p)", (const void *)owner);
    return AEGIS_E_INVALID;
}

/* Takes one more reference. An owner that is NULL needs none: its bytes live for ever. Fails with
 * AEGIS_E_LIMIT_EXCEEDED at the highest count, and with AEGIS_E_INVALID if the owner has no
 * references. */
static inline aegis_status aegis_i_buffer_ref(aegis_buffer_owner *owner) {
    if (owner == NULL)
        return AEGIS_OK;
    /* Relaxed: the caller has a reference, so the count cannot fall to 0 meanwhile. */
    size_t before = aegis_i_add(aegis_i_references(owner), 1, memory_order_relaxed);
    if (AEGIS_UNLIKELY(before == 0 || before >= AEGIS_I_MAX_REFERENCES)) {
        (void)aegis_i_sub(aegis_i_references(owner), 1, memory_order_relaxed);
        return before == 0 ? aegis_i_buffer_report_dead(owner) : AEGIS_E_LIMIT_EXCEEDED;
    }
    return AEGIS_OK;
}

/* Gives up a reference. With the last one it calls the release function. Fails with
 * AEGIS_E_INVALID if the owner has no references. */
static inline aegis_status aegis_i_buffer_unref(aegis_buffer_owner *owner) {
    if (owner == NULL)
        return AEGIS_OK;
    _Atomic size_t *references = aegis_i_references(owner);
    /* Acquire pairs with the releasing subtraction below by threads that had a reference. */
    size_t seen = aegis_i_load(references, memory_order_acquire);
    if (AEGIS_UNLIKELY(seen == 0))
        return aegis_i_buffer_report_dead(owner);
    if (seen == 1) {
        /* If the header outlives the memory, a later call on a stale copy of the handle finds the
         * 0 and is reported. */
        aegis_i_store(references, 0, memory_order_relaxed);
    } else {
        /* Release pairs with every acquire load of the count: what this thread did with the bytes
         * comes before what the last holder does with them. */
        if (aegis_i_sub(references, 1, memory_order_release) != 1)
            return AEGIS_OK;
        /* Acquire pairs with the releasing subtraction above by the other threads. */
        (void)aegis_i_load(references, memory_order_acquire);
    }
    if (aegis_i_buffer_owner_is_plain(owner))
        owner->release(owner);
    else
        aegis_buffer_owner_release(owner);
    return AEGIS_OK;
}

/* Bytes of memory that the owner keeps; 0 without an owner. */
AEGIS_I_HIDDEN size_t aegis_i_buffer_owner_retained(const aegis_buffer_owner *owner);
/* Whether two owners keep the same memory. False if there is none. */
AEGIS_I_HIDDEN bool aegis_i_buffer_owner_shares(const aegis_buffer_owner *a,
                                                const aegis_buffer_owner *b);

/* What an empty view points at when its maker has no address for it. */
AEGIS_I_HIDDEN extern unsigned char aegis_i_buffer_nothing[1];

/* The address as a buffer stores it: never NULL, and without `const` in its type. */
static inline unsigned char *aegis_i_buffer_bytes(const void *data) {
    return data != NULL ? (unsigned char *)(uintptr_t)data : aegis_i_buffer_nothing;
}

/* Fills in the error record, if `error` is not NULL. Returns `status`. */
AEGIS_I_HIDDEN aegis_status aegis_i_buffer_fail(aegis_error *error, aegis_status status,
                                                size_t size_bytes, size_t align_bytes);
/* The same for an argument that is refused: `what` is an AEGIS_WHAT_*, `size_bytes` the number of
 * bytes that the call is about. */
AEGIS_I_HIDDEN aegis_status aegis_i_buffer_refuse(aegis_error *error, aegis_status status,
                                                  uint32_t what, size_t size_bytes);

/* Reports in a debug build that a handle is released that is empty. Returns AEGIS_E_INVALID. */
static inline aegis_status aegis_i_buffer_report_none(void) {
    if (AEGIS_I_DEBUG)
        aegis_i_report("a buffer is released that was released or moved before");
    return AEGIS_E_INVALID;
}

/* O(1) checks of consistency, for asserts. */
AEGIS_I_HIDDEN bool aegis_i_buffer_is_valid(const aegis_buffer *buffer);
AEGIS_I_HIDDEN bool aegis_i_buffer_mut_is_valid(const aegis_buffer_mut *writer);

#endif
