/* SPDX-License-Identifier: Apache-2.0 */
/* The count of references of a buffer's owner, whose protocol stands here in full. Not installed.
 *
 * The count: whoever increments has a reference, so incrementing orders nothing. Each decrement but
 * the last releases, and the last holder acquires, so that it sees what the others did with the
 * bytes. A holder that reads 1 is the last one: nobody else can increment, so it needs no
 * read-modify-write. All changes in between are read-modify-writes, hence one acquire load that
 * reads the value of any of them synchronizes with every release before it. */
#ifndef AEGIS_MEMORY_I_BUFFER_REFERENCES_H
#define AEGIS_MEMORY_I_BUFFER_REFERENCES_H

#include "../base/atomics.h"
#include "../base/port.h"
#include "aegis_memory/buffer.h"

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

#endif
