/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the buffers share: the count of references, whose protocol stands here in full,
 * and the error record. Not installed.
 *
 * The count: whoever increments has a reference, so incrementing orders nothing. Each decrement but
 * the last releases, and the last holder acquires, so that it sees what the others did with the
 * bytes. A holder that reads 1 is the last one: nobody else can increment, so it needs no
 * read-modify-write. All changes in between are read-modify-writes, hence one acquire load that
 * reads the value of any of them synchronizes with every release before it. */
#ifndef AEGIS_MEMORY_I_BUFFER_OWNER_H
#define AEGIS_MEMORY_I_BUFFER_OWNER_H

#include "aegis_memory/buffer.h"
#include "../base/atomics.h"
#include "../internal.h"

/* aegis_buffer_owner.flags: the owner is an aegis_i_file_owner. */
#define AEGIS_I_BUFFER_FILE (UINT32_C(1) << 31)
/* aegis_buffer_owner.flags: the release function is not the library's. (The Rust wrapper has the
 * bit below for itself: the header is followed by the mark of the copy that made it.) */
#define AEGIS_I_BUFFER_FOREIGN (UINT32_C(1) << 30)

/* The owner of a file's mapping, as far as every copy of this library in the process knows it: what
 * lies behind is known to the copy that made it, whose functions these are. */
typedef struct aegis_i_file_owner {
    aegis_buffer_owner owner;
    aegis_status (*check)(const struct aegis_i_file_owner *owner);
} aegis_i_file_owner;

/* Whether the release function calls nobody's code but the library's: that of memory which the
 * library has allocated to be written. */
static inline bool aegis_i_buffer_owner_is_plain(const aegis_buffer_owner *owner) {
    return owner->flags == AEGIS_BUFFER_WRITABLE;
}

static inline _Atomic size_t *aegis_i_references(aegis_buffer_owner *owner) {
    return (_Atomic size_t *)&owner->references;
}

/* Whether the caller's handle is the only one. */
static inline bool aegis_i_buffer_owner_is_unique(const aegis_buffer_owner *owner) {
    /* Acquire pairs with the releasing decrement in aegis_i_buffer_unref: the bytes may be written
     * after this, so the reads of former holders must come before. */
    return aegis_i_load((const _Atomic size_t *)&owner->references, memory_order_acquire) == 1;
}

/* Takes one more reference; NULL has bytes that live for ever. AEGIS_E_LIMIT_EXCEEDED, or
 * AEGIS_E_INVALID for an owner without references. */
AEGIS_I_HIDDEN aegis_status aegis_i_buffer_ref(aegis_buffer_owner *owner);
/* Gives a reference up, and with the last one calls the release function. AEGIS_E_INVALID for an
 * owner without references. */
AEGIS_I_HIDDEN aegis_status aegis_i_buffer_unref(aegis_buffer_owner *owner);

/* What an empty view points at when its maker has no address for it. */
AEGIS_I_HIDDEN extern unsigned char aegis_i_buffer_nothing[1];

/* The address as a buffer keeps it: writable in type, and not NULL. */
static inline unsigned char *aegis_i_buffer_bytes(const void *data) {
    return data != NULL ? (unsigned char *)(uintptr_t)data : aegis_i_buffer_nothing;
}

/* Fills in the record of a failure, if one is wanted; returns `status`. */
AEGIS_I_HIDDEN aegis_status aegis_i_buffer_fail(aegis_error *error, aegis_status status,
                                                size_t size_bytes, size_t align_bytes);
/* The same for an argument that cannot be accepted: AEGIS_WHAT_*, with the bytes in question. */
AEGIS_I_HIDDEN aegis_status aegis_i_buffer_refuse(aegis_error *error, aegis_status status,
                                                  uint32_t what, size_t size_bytes);

/* O(1) consistency, for asserts. */
AEGIS_I_HIDDEN bool aegis_i_buffer_is_valid(const aegis_buffer *buffer);
AEGIS_I_HIDDEN bool aegis_i_buffer_mut_is_valid(const aegis_buffer_mut *writer);

#endif
