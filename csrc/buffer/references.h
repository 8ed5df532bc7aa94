/* SPDX-License-Identifier: Apache-2.0 */
/* The count of references of a buffer's owner, and the argument for its memory orders. Not
 * installed.
 *
 *  1. Only a thread that has a reference adds one (aegis_i_buffer_ref). So the count does not fall
 *     to 0 meanwhile, and the addition orders nothing.
 *  2. A thread that loads 1 from the count has the last reference. No other thread has one, so no
 *     other thread can add one (1). So this thread may write the bytes
 *     (aegis_i_buffer_owner_is_unique), and gives its reference up without a read-modify-write
 *     (aegis_i_buffer_unref).
 *  3. Every other change of the count is a read-modify-write, and each subtraction that gives up a
 *     reference releases (aegis_i_buffer_unref).
 *  4. The thread with the last reference acquires: by the load that reads 1, or by a load after the
 *     subtraction that has brought the count to 0 (aegis_i_buffer_unref).
 * So the last thread sees what all others did with the bytes. Proof: the read-modify-writes (3)
 * continue the release sequence of each subtraction before them. So one acquire load that reads the
 * value of any of them synchronizes with every subtraction before it (4). */
#ifndef AEGIS_MEMORY_I_BUFFER_REFERENCES_H
#define AEGIS_MEMORY_I_BUFFER_REFERENCES_H

#include "../base/atomics.h"
#include "../base/port.h"
#include "aegis_memory/buffer.h"

/* aegis_buffer_owner.flags: the owner is an aegis_i_charged_owner (move.h). */
#define AEGIS_I_BUFFER_CHARGED (UINT32_C(1) << 28)
/* The flags of memory that the library itself has allocated for writers. (The Rust wrapper has the
 * same number in src/buffer/owner.rs.) */
#define AEGIS_I_BUFFER_PLAIN (AEGIS_BUFFER_WRITABLE | AEGIS_I_BUFFER_CHARGED)

/* Whether the release function calls only the library's own code. */
static inline bool aegis_i_buffer_owner_is_plain(const aegis_buffer_owner *owner) {
    return owner->flags == AEGIS_I_BUFFER_PLAIN;
}

static inline _Atomic size_t *aegis_i_references(aegis_buffer_owner *owner) {
    return (_Atomic size_t *)&owner->references;
}

/* Whether the caller's handle is the only one. */
static inline bool aegis_i_buffer_owner_is_unique(const aegis_buffer_owner *owner) {
    /* Acquire pairs with the releasing subtraction in aegis_i_buffer_unref: the caller may write
     * the bytes after this, so the reads by threads that had a reference must come before. */
    return aegis_i_load((const _Atomic size_t *)&owner->references, memory_order_acquire) == 1;
}

#endif
