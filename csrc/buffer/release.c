/* SPDX-License-Identifier: Apache-2.0 */
/* Releasing owners whose release function calls the code of others, which may release further
 * buffers, whose owners may do the same: as deep as the user has nested them. The stack is not.
 *
 * Each thread counts how many such release functions it is inside of. Up to RELEASE_DEPTH they are
 * called at once. An owner that is given up deeper down goes to the end of the thread's queue, and
 * the outermost call empties that before it returns. So what is in use of the stack is bounded,
 * each function is called once, by the thread that gave the last reference up, and owners that wait
 * are released in the order in which they were given up.
 *
 * The queue takes no memory: the link lies in the count of references, which nobody uses when the
 * last one is gone, and which is 0 again when the function is called. Threads: nothing is shared.
 */
#include "../base/threads.h"
#include "references.h"

/* Release functions inside of each other: a few hundred bytes of stack each, with what they call.
 */
#define RELEASE_DEPTH 16

_Static_assert(sizeof(size_t) >= sizeof(void *), "a link fits the count of references");

static AEGIS_I_THREAD_LOCAL struct {
    size_t depth;
    aegis_buffer_owner *first;
    aegis_buffer_owner *last;
} pending;

/* Relaxed, here and below: only this thread knows of the owner any more. */
static void set_link(aegis_buffer_owner *owner, aegis_buffer_owner *next) {
    aegis_i_store(aegis_i_references(owner), (size_t)(uintptr_t)next, memory_order_relaxed);
}

static void put_last(aegis_buffer_owner *owner) {
    set_link(owner, NULL);
    if (pending.first == NULL)
        pending.first = owner;
    else
        set_link(pending.last, owner);
    pending.last = owner;
}

/* NULL if none waits. */
static aegis_buffer_owner *take_first(void) {
    aegis_buffer_owner *owner = pending.first;
    if (owner != NULL) {
        size_t next = aegis_i_load(aegis_i_references(owner), memory_order_relaxed);
        pending.first = (aegis_buffer_owner *)(uintptr_t)next;
        set_link(owner, NULL);
    }
    return owner;
}

static void call(aegis_buffer_owner *owner) {
    pending.depth++;
    owner->release(owner);
    pending.depth--;
}

void aegis_buffer_owner_release(aegis_buffer_owner *owner) {
    if (aegis_i_buffer_owner_is_plain(owner)) {
        owner->release(owner);
    } else if (pending.depth >= RELEASE_DEPTH) {
        put_last(owner);
    } else {
        call(owner);
        while (pending.depth == 0 && (owner = take_first()) != NULL)
            call(owner);
    }
}
