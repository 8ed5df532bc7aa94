/* SPDX-License-Identifier: Apache-2.0 */
/* The size classes of a buffer pool: their stripes, and their slots, which are the headers of the
 * blocks. Not installed. What follows is the argument for pool_class.c. It goes on in pool_state.h
 * with how long the pool lives, and how a block wakes what waits for it (invariants 15 to 30).
 *
 * A free block is cached in a stripe, or is at home: in the lock-free pool of its class. (In the
 * code, a parameter `home` is the class.) A private stripe belongs to the thread that has its
 * number (threads.h). Every thread may use every shared stripe. A thread without a number uses only
 * shared stripes. So does a thread that calls by way of another copy of this library than the copy
 * that made the pool, because each copy has its own numbers. A thread is inside a stripe after it
 * has entered and before it leaves.
 *
 * Stripes:
 *  1. At most one thread is inside a shared stripe. It enters by a compare-and-swap of the flag,
 *     `taken` (try_flag).
 *  2. Only its own thread enters an open private stripe, and needs no read-modify-write. It stores
 *     `inside`, then loads `taken`, and leaves again if that is not AEGIS_I_STRIPE_OPEN
 *     (aegis_i_stripe_enter_private).
 *  3. A block moves between a stripe and its home only by a thread that is inside the stripe
 *     (take_near) or has closed it (move_home).
 *  4. Only three calls wait for a stripe: a search (aegis_i_buffer_class_search), a trim
 *     (aegis_i_buffer_class_bring_home), and the end of a class (aegis_i_buffer_class_close). Every
 *     other call tries its stripe once (enter).
 *  5. These calls take the flags of the shared stripes in ascending order and keep them. So two
 *     such calls cannot deadlock. A search may wait for a trim of the lock-free pool while it holds
 *     flags (aegis_i_lock_free_watch). That trim takes no flag: aegis_i_buffer_class_bring_home has
 *     left all stripes before.
 *  6. Only a thread that holds all flags closes private stripes (close_private). It stores
 *     AEGIS_I_STRIPE_CLOSED in each of them, makes all threads execute a memory barrier, waits for
 *     the threads that are inside (wait_for_thread), and moves the cached blocks home.
 *  7. Only a thread that is inside a shared stripe opens private stripes (enter, open_private).
 *
 * A search looks into the shared stripes first, then at home. If it has found no block, it holds
 * all flags. It closes the private stripes, if they are open, and looks at home again. If home is
 * empty, then every block of the class was out at that moment. Proof: The search has waited for
 * each thread that stored `inside` before the barrier (6). A thread that stores it after the
 * barrier loads AEGIS_I_STRIPE_CLOSED and leaves (2). No thread opens the stripes meanwhile (1, 7).
 * So no other thread is inside a stripe, and no block is on its way between a stripe and home (3).
 * The shared stripes were empty, and the private stripes have been emptied (6).
 * Source: D. Dice, H. Huang and M. Yang, "Asymmetric Dekker Synchronization" (2001).
 *
 * The barrier is expensive. So the private stripes stay closed after a search, and the shared ones
 * stand in for them. When AEGIS_I_CALM_COUNT blocks have come back to a shared stripe since the
 * private stripes were last closed, the thread that is inside opens them (enter). Only blocks that
 * come back count. So of the requests that are refused before that, one needs the barrier, however
 * many there are and whichever threads make them: the others find the private stripes closed.
 *
 * Without the barrier:
 * The system may refuse the barrier from some moment on. Then a thread may be inside its private
 * stripe although that is closed, and no other thread can know.
 *  8. Then no other thread touches this stripe as long as a thread has its number. The search marks
 *     the stripe AEGIS_I_STRIPE_LEFT (close_private). When the stripe's own thread comes next, it
 *     moves the blocks home and stores AEGIS_I_STRIPE_CLOSED (empty_own). Program order is enough
 *     for that, because only this thread uses a marked stripe.
 *  9. If no thread has the number, the search borrows it (aegis_i_thread_number_borrow). It then
 *     has the rights of the stripe's own thread, and empties the stripe (empty_private).
 * 10. As long as a stripe is marked, each later search that comes so far tries a barrier again.
 *     First it stores AEGIS_I_STRIPE_CLOSED in the marked stripes (close_private). A thread that
 *     still read the mark is inside while it empties its stripe (empty_own), so a search whose
 *     barrier succeeds waits for it.
 * 11. After a refused barrier no private stripe is opened until a barrier succeeds (open_private).
 * So a search misses at most `park_count` blocks for each living thread that has a private stripe
 * and has not come back. Blocks that cannot be moved home at the end of the pool stay counted in
 * `live`. They keep the pool until each of these threads has released one more buffer, or for ever.
 *
 * After a fork:
 * The child process has one thread, and the stripes as they were.
 * 12. A thread that is inside a stripe says so by the number of its process: in `taken` of a shared
 *     stripe (try_flag), in `inside` of a private one (aegis_i_stripe_begin). A thread of another
 *     process does not exist here. So its flag is taken over (take_over), and no thread waits until
 *     it leaves a private stripe (wait_for_thread). It may have moved blocks only in part, so all
 *     blocks in the stripe are lost. They stay counted in `live` and keep the pool. So do the
 *     blocks and handles that such threads had in use.
 * 13. The thread that was moving the blocks of a private stripe home does not exist here either.
 *     It had marked the stripe AEGIS_I_STRIPE_EMPTYING (empty_private). So the next thread that
 *     closes the stripe takes its blocks as lost. Every other private stripe in which no thread was
 *     is whole, and is emptied as usual.
 * 14. No thread of the child gets the number of a thread that does not exist here (begin_process in
 *     threads.c). It would store its own `inside` over the old one without a look at that (2).
 *
 * Spinning:
 * A thread spins for a flag (take_flag) or for a thread inside a private stripe (wait_for_thread).
 * A thread is inside a private stripe for a few instructions. It holds a flag for a few
 * instructions, and in close_private also over a call of membarrier(2), which returns, and over the
 * waits for private stripes. Inside a stripe a thread calls and waits for nothing else. A thread
 * that has spun for long sleeps in between, so that one of lower priority can run
 * (aegis_i_spin_pause). */
#ifndef AEGIS_MEMORY_I_BUFFER_POOL_STRIPE_H
#define AEGIS_MEMORY_I_BUFFER_POOL_STRIPE_H

#include "aegis_memory/buffer_pool.h"
#include "../base/harden.h"
#include "../base/threads.h"
#include "../pool/lock_free_state.h"
#include "move.h"

/* The most blocks that a stripe caches. With 28 a stripe fills AEGIS_I_META_ALIGN bytes. */
#ifndef AEGIS_I_STRIPE_ITEMS
#define AEGIS_I_STRIPE_ITEMS 28
#endif
/* How many blocks come back to a shared stripe, which stands in for closed private stripes, before
 * these are opened again. */
#ifndef AEGIS_I_CALM_COUNT
#define AEGIS_I_CALM_COUNT 8192
#endif
#define AEGIS_I_SLOT_BYTES ((size_t)64)

/* States of a private stripe. OPEN: its own thread may enter. CLOSED: no thread may enter. LEFT (a
 * marked stripe): its own thread may enter to empty it and set it to CLOSED. EMPTYING: the thread
 * that has closed it moves its blocks home. */
#define AEGIS_I_STRIPE_OPEN UINT32_C(0)
#define AEGIS_I_STRIPE_CLOSED UINT32_C(1)
#define AEGIS_I_STRIPE_LEFT UINT32_C(2)
#define AEGIS_I_STRIPE_EMPTYING UINT32_C(3)
/* What `taken` of a shared stripe is after the last handle was given up. No process has this
 * number. */
#define AEGIS_I_STRIPE_ENDED UINT32_MAX

/* States of all private stripes of a class together. CLOSED: all are closed and empty. OPEN: all
 * are in use. LOST: all are closed until a barrier succeeds, and those that are marked
 * AEGIS_I_STRIPE_LEFT may cache blocks. */
#define AEGIS_I_PRIVATE_CLOSED UINT32_C(0)
#define AEGIS_I_PRIVATE_OPEN UINT32_C(1)
#define AEGIS_I_PRIVATE_LOST UINT32_C(2)

/* A list of free blocks. Only the thread that is inside the stripe, or that has closed it, uses
 * `calm_count` and `items` and writes `count`. Every thread may read `count`. */
typedef struct aegis_i_stripe {
    /* Of a shared stripe: its flag. This is 0, or the number of the process while one of its
     * threads is inside, or AEGIS_I_STRIPE_ENDED. Of a private stripe: its state. */
    _Alignas(AEGIS_I_META_ALIGN) _Atomic uint32_t taken;
    /* Of a private stripe: the number of the process while the stripe's own thread is inside, or
     * looks whether it may enter; otherwise 0. */
    _Atomic uint32_t inside;
    _Atomic uint32_t count;
    /* Of a shared stripe: the blocks that came back to it instead of to a private one since those
     * were closed. */
    uint32_t calm_count;
    uint32_t items[AEGIS_I_STRIPE_ITEMS];
} aegis_i_stripe;

typedef struct aegis_i_buffer_class aegis_i_buffer_class;

/* The header of a block. All fields except `references` and `charged` are set when the block leaves
 * its home for the first time since its slab was acquired (count_live). `kind` is the block's
 * class, or NULL while these fields are not set. While the block is charged to another budget than
 * the pool's, it has another release function (come_home). */
typedef struct aegis_i_buffer_slot {
    _Alignas(AEGIS_I_SLOT_BYTES) aegis_i_charged_owner head;
} aegis_i_buffer_slot;

_Static_assert(sizeof(aegis_i_buffer_slot) == AEGIS_I_SLOT_BYTES, "what the header promises");
_Static_assert(sizeof(aegis_i_stripe) <= AEGIS_I_META_ALIGN, "what the header promises");

/* After the init only `private_state`, the stripes, the slots and the lock-free pool change. */
struct aegis_i_buffer_class {
    /* How blocks move to another budget, of the same copy as `give_back`. It is first: see
     * aegis_i_slot_home. */
    aegis_i_owner_kind kind;
    size_t buffer_bytes;
    /* `private_count` private stripes, then `stripe_mask` + 1 shared ones. */
    aegis_i_stripe *stripes;
    /* The table of the copy of this library that made the pool. A private stripe belongs to the
     * thread that has the stripe's number in this table. */
    aegis_i_thread_table *threads;
    /* The release function of all blocks. It too is of the copy that made the pool, whichever copy
     * first hands a block out, because another copy may be unloaded before the block is released.
     */
    void (*give_back)(aegis_buffer_owner *owner);
    aegis_i_buffer_slot *slots;
    aegis_buffer_pool_shared *shared;
    uint32_t private_count;
    uint32_t stripe_mask;
    /* The most blocks that a stripe of this class caches, and how many blocks move at a time
     * between a stripe and its home. */
    uint32_t park_count;
    uint32_t move_count;
    uint32_t max_count;
    /* AEGIS_I_PRIVATE_*. A thread that holds one flag may set it to _OPEN, and one that holds all
     * flags to the other states. */
    _Atomic uint32_t private_state;
    /* The requests that wait for a block of this class or a larger one, the oldest first. The mutex
     * guards them. */
    aegis_buffer_pool_request *first_request;
    aegis_buffer_pool_request *last_request;
    aegis_lock_free_pool pool;
};

/* Says that this thread is inside its private stripe. Only afterwards the thread looks whether it
 * may enter. */
static inline void aegis_i_stripe_begin(aegis_i_stripe *stripe) {
    /* Relaxed. The fence keeps only the compiler from moving the load of `taken` that follows
     * before this store. It pairs with the barrier in close_private, which keeps the processor from
     * doing so. */
    aegis_i_store(&stripe->inside, AEGIS_I_PROCESS_CACHED(), memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst);
}

/* Leaves a private stripe. */
static inline void aegis_i_stripe_leave_private(aegis_i_stripe *stripe) {
    /* Release pairs with the acquire in wait_for_thread. */
    aegis_i_store(&stripe->inside, 0, memory_order_release);
}

/* Enters this thread's private stripe. NULL: the thread has none, or it is not open. */
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

/* Takes the top block. The caller is inside the stripe. */
static inline uint32_t aegis_i_stripe_pop(aegis_i_stripe *stripe) {
    uint32_t count = aegis_i_load(&stripe->count, memory_order_relaxed);
    if (count == 0)
        return AEGIS_I_NO_INDEX;
    aegis_i_store(&stripe->count, count - 1, memory_order_relaxed);
    return stripe->items[count - 1];
}

/* Caches a block, for which there is room. The caller is inside the stripe. */
static inline void aegis_i_stripe_push(aegis_i_stripe *stripe, uint32_t index) {
    uint32_t count = aegis_i_load(&stripe->count, memory_order_relaxed);
    stripe->items[count] = index;
    aegis_i_store(&stripe->count, count + 1, memory_order_relaxed);
}

/* The class of a block. */
static inline aegis_i_buffer_class *aegis_i_slot_home(const aegis_i_buffer_slot *slot) {
    return (aegis_i_buffer_class *)(uintptr_t)slot->head.kind;
}

#endif
