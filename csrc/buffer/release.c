/* SPDX-License-Identifier: Apache-2.0 */
/* Releasing owners on a bounded stack. The release function of an owner may call code that is not
 * the library's. This may release other buffers, whose release functions do the same, as deep as
 * the user has nested them.
 *
 *  1. Each thread counts how many such release functions it is inside (call).
 *  2. While there are fewer than RELEASE_DEPTH, it calls the next one at once
 *     (aegis_buffer_owner_release).
 *  3. Otherwise the owner goes to the end of the thread's queue (put_last).
 *  4. The outermost call empties the queue before it returns (aegis_buffer_owner_release).
 *  5. The link of the queue lies in the owner's count of references, which is not in use after the
 *     last reference was given up. It is 0 again when the release function is called (take_first).
 * So at most RELEASE_DEPTH release functions are on the stack (1 to 3). Each is called once, by the
 * thread that gave up the last reference (3, 4). Owners in the queue are released in the order in
 * which they were given up (3). The queue takes no memory (5), and threads share nothing. */
#include "../base/threads.h"
#include "references.h"

/* The most release functions inside each other. Each takes a few hundred bytes of stack, together
 * with the library's functions that it calls. */
#define RELEASE_DEPTH 16

_Static_assert(sizeof(size_t) >= sizeof(void *), "a link fits the count of references");

static AEGIS_I_THREAD_LOCAL struct {
    size_t depth;
    aegis_buffer_owner *first;
    aegis_buffer_owner *last;
} pending;

/* Relaxed, here and below: only this thread still has the owner. */
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

/* Takes the first owner out of the queue; NULL if the queue is empty. */
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
