/* SPDX-License-Identifier: Apache-2.0 */
/* The shared state of a buffer pool: its classes, their stripes, and the slots, one header a block.
 * Not installed. pool_class.c says how they work together. */
#ifndef AEGIS_MEMORY_I_BUFFER_POOL_STATE_H
#define AEGIS_MEMORY_I_BUFFER_POOL_STATE_H

#include "aegis_memory/buffer_pool.h"
#include "../base/condition.h"
#include "../pool/lock_free_state.h"
#include "../base/threads.h"

/* The most free buffers a stripe parks; with 28 it fills AEGIS_I_META_ALIGN bytes. */
#ifndef AEGIS_I_STRIPE_ITEMS
#define AEGIS_I_STRIPE_ITEMS 28
#endif
/* So often a shared stripe stands in for private ones before they are opened again. */
#ifndef AEGIS_I_CALM_COUNT
#define AEGIS_I_CALM_COUNT 16384
#endif
#define AEGIS_I_SLOT_BYTES ((size_t)64)

/* States of a private stripe: its thread may enter; it may not; it may to empty the stripe and set
 * it to closed, which nobody else could do. */
#define AEGIS_I_STRIPE_OPEN UINT32_C(0)
#define AEGIS_I_STRIPE_CLOSED UINT32_C(1)
#define AEGIS_I_STRIPE_LEFT UINT32_C(2)
/* What a shared stripe is when the last handle was given up: no number of a process. */
#define AEGIS_I_STRIPE_ENDED UINT32_MAX

/* States of all private stripes of a class: closed and empty; in use; closed for good, and those in
 * AEGIS_I_STRIPE_LEFT may not be empty. */
#define AEGIS_I_PRIVATE_CLOSED UINT32_C(0)
#define AEGIS_I_PRIVATE_OPEN UINT32_C(1)
#define AEGIS_I_PRIVATE_LOST UINT32_C(2)

/* A magazine of free buffers. Only the thread inside of the stripe uses it; others may
 * read `count`. */
typedef struct aegis_i_stripe {
    /* A shared stripe: the number of the process while one of its threads is inside, and
     * AEGIS_I_STRIPE_ENDED in the end. A private one: its state. */
    _Alignas(AEGIS_I_META_ALIGN) _Atomic uint32_t taken;
    /* A private stripe: the process while its thread is inside, or looks whether it may be. */
    _Atomic uint32_t inside;
    _Atomic uint32_t count;
    /* A shared stripe: how often it stood in for a private one that was closed. */
    uint32_t calm_count;
    uint32_t items[AEGIS_I_STRIPE_ITEMS];
} aegis_i_stripe;

typedef struct aegis_i_buffer_class aegis_i_buffer_class;

/* The header of a block. All but `references` is set when the block first leaves its pool. */
typedef struct aegis_i_buffer_slot {
    _Alignas(AEGIS_I_SLOT_BYTES) aegis_buffer_owner owner;
    aegis_i_buffer_class *home;
} aegis_i_buffer_slot;

_Static_assert(sizeof(aegis_i_buffer_slot) == AEGIS_I_SLOT_BYTES, "what the header promises");
_Static_assert(sizeof(aegis_i_stripe) <= AEGIS_I_META_ALIGN, "what the header promises");

/* Nothing but what the stripes and the pool hold, and `private_state`, changes after the init. */
struct aegis_i_buffer_class {
    size_t buffer_bytes;
    /* private_count private ones, then stripe_mask + 1 shared ones. */
    aegis_i_stripe *stripes;
    /* Of the copy of this library that made the pool: a private stripe belongs to the thread with
     * its number in there. */
    aegis_i_thread_table *threads;
    /* Of the same copy: what blocks are released by, whichever copy hands them out first. Another
     * one may be unloaded before they are. */
    void (*give_back)(aegis_buffer_owner *owner);
    aegis_i_buffer_slot *slots;
    aegis_buffer_pool_shared *shared;
    uint32_t private_count;
    uint32_t stripe_mask;
    /* The most that a stripe of this class parks, and what moves between it and the pool. */
    uint32_t park_count;
    uint32_t move_count;
    uint32_t max_count;
    /* AEGIS_I_PRIVATE_*. Written with all flags held, to _OPEN under one of them. */
    _Atomic uint32_t private_state;
    aegis_lock_free_pool pool;
};

struct aegis_buffer_pool_shared {
    /* Threads that wait. Read by every release, seldom written. */
    _Alignas(AEGIS_I_META_ALIGN) _Atomic uint32_t waiters;
    uint32_t when_empty;
    uint64_t timeout_ns;
    const aegis_i_buffer_class *classes_end;
    size_t class_count;
    aegis_i_buffer_class classes[AEGIS_BUFFER_MAX_CLASSES];
    size_t align_bytes;
    aegis_budget *budget;
    /* As give_back of a class, for buffers on the C heap. */
    void (*free_heap_buffer)(aegis_buffer_owner *owner);
    void (*close)(void *context);
    void *close_context;
    size_t memory_bytes;
    /* How the pool is freed: its release function is that of the copy of this library that made the
     * pool. */
    aegis_buffer_owner end;

    /* What keeps the pool: the blocks that are not in the lock-free pools, buffers on the C heap,
     * and 1 for all handles together. */
    _Alignas(AEGIS_I_META_ALIGN) _Atomic size_t live;
    _Atomic size_t handles;
    _Atomic size_t heap_bytes;
    AEGIS_I_ATOMIC_U64 heap_count;
    AEGIS_I_ATOMIC_U64 wait_count;
    AEGIS_I_ATOMIC_U64 timeout_count;
    AEGIS_I_ATOMIC_U64 refused_count;
    /* The process whose threads `waiters`, the mutex and the condition are about, as
     * aegis_i_process_claim has it. */
    _Atomic uint32_t process;
    aegis_i_mutex mutex;
    aegis_i_condition came_home;
};

/* The release functions of this copy of the library. */
extern AEGIS_I_HIDDEN void (*const aegis_i_buffer_give_back)(aegis_buffer_owner *owner);
extern AEGIS_I_HIDDEN void (*const aegis_i_buffer_free_heap)(aegis_buffer_owner *owner);
/* Takes a block, from any place and by growth. AEGIS_I_NO_INDEX: `error` says why. */
AEGIS_I_HIDDEN uint32_t aegis_i_buffer_class_take(aegis_i_buffer_class *home, aegis_error *error);
/* Looks for a free block everywhere. AEGIS_I_NO_INDEX: at one moment all that were made were out,
 * or lay in private stripes of a class that has lost them. Calls neither the source nor the budget.
 */
AEGIS_I_HIDDEN uint32_t aegis_i_buffer_class_search(aegis_i_buffer_class *home);
/* Whether every block that can come to a search wakes the threads that wait. */
AEGIS_I_HIDDEN bool aegis_i_buffer_class_wakes(const aegis_i_buffer_class *home);
/* Keeps all threads out of the stripes for good and moves what they park home. Returns how many
 * blocks were left, with threads that nothing is known of. */
AEGIS_I_HIDDEN size_t aegis_i_buffer_class_close(aegis_i_buffer_class *home);
/* Makes what threads wait with anew if that is of a parent process. False: it could not be made. */
AEGIS_I_HIDDEN bool aegis_i_buffer_pool_adopt(aegis_buffer_pool_shared *shared);
/* Wakes the threads that wait, if there are any. */
AEGIS_I_HIDDEN void aegis_i_buffer_pool_wake(aegis_buffer_pool_shared *shared);
/* Gives up 1 of what keeps the pool, and frees it with the last: the caller's last touch. */
AEGIS_I_HIDDEN void aegis_i_buffer_pool_drop(aegis_buffer_pool_shared *shared);
/* O(1) consistency, for asserts, while a handle or a buffer is held. */
AEGIS_I_HIDDEN bool aegis_i_buffer_pool_is_valid(const aegis_buffer_pool_shared *shared);

/* Says that this thread is in its private stripe, before it looks whether it may be. */
static inline void aegis_i_stripe_begin(aegis_i_stripe *stripe) {
    /* Relaxed, and no more than the compiler is kept from moving the load up that follows: the
     * barrier in close_private does the rest. */
    aegis_i_store(&stripe->inside, AEGIS_I_PROCESS_CACHED(), memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst);
}

/* Leaves a private stripe. */
static inline void aegis_i_stripe_leave_private(aegis_i_stripe *stripe) {
    /* Release pairs with the acquire in close_private. */
    aegis_i_store(&stripe->inside, 0, memory_order_release);
}

/* Enters this thread's private stripe. NULL: it has none, or that is closed. */
static inline aegis_i_stripe *aegis_i_stripe_enter_private(const aegis_i_buffer_class *home,
                                                           uintptr_t thread_id) {
    uintptr_t number = aegis_i_thread_number(home->threads, thread_id);
    if (number >= home->private_count)
        return NULL;
    aegis_i_stripe *stripe = &home->stripes[number];
    aegis_i_stripe_begin(stripe);
    /* Acquire pairs with the release in open_private. */
    if (!AEGIS_UNLIKELY(aegis_i_load(&stripe->taken, memory_order_acquire) != AEGIS_I_STRIPE_OPEN))
        return stripe;
    aegis_i_stripe_leave_private(stripe);
    return NULL;
}

/* Takes the top item, inside. */
static inline uint32_t aegis_i_stripe_pop(aegis_i_stripe *stripe) {
    uint32_t count = aegis_i_load(&stripe->count, memory_order_relaxed);
    if (count == 0)
        return AEGIS_I_NO_INDEX;
    aegis_i_store(&stripe->count, count - 1, memory_order_relaxed);
    return stripe->items[count - 1];
}

/* Puts an item, for which there is room, inside. */
static inline void aegis_i_stripe_push(aegis_i_stripe *stripe, uint32_t index) {
    uint32_t count = aegis_i_load(&stripe->count, memory_order_relaxed);
    stripe->items[count] = index;
    aegis_i_store(&stripe->count, count + 1, memory_order_relaxed);
}

static inline void aegis_i_set_references(aegis_buffer_owner *owner, size_t count) {
    /* Relaxed: nobody but this thread and statistics can see the owner now. */
    aegis_i_store((_Atomic size_t *)&owner->references, count, memory_order_relaxed);
}

#endif
