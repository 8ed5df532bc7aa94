/* SPDX-License-Identifier: Apache-2.0 */
/* A buffer pool as a reclaimer of its budget: another consumer that the budget would refuse gets
 * the bytes of slabs that are idle.
 *
 * Invariants:
 * 1. Each registration is counted in `live` until the budget destroys it (forget). So the shared
 *    state exists whenever a thread calls the reclaimer (give_back).
 * 2. The reclaimer works on the pool only with a handle of its own. It gets one only as long as
 *    there is another, which no call moves to another budget (retain_unless_ended). So it never
 * works beside or after the end of the classes (20 in pool_state.h), and is a call on a handle like
 * any other (16 and 18 there).
 * 3. The registration is no handle. The thread that gives up the last handle removes it
 *    (aegis_buffer_pool_release). This may be the thread that runs the reclaimer.
 * 4. No thread is in a stripe, in the gate of a lock-free pool, or has the mutex, while it calls
 *    the source or the budget. So a growth of this pool that is refused may ask this pool itself.
 * 5. Giving back waits only for threads that are in a stripe or in the gate of a lock-free pool,
 *    and for another trim until it has put back what it holds. None of these calls a function of
 *    the user or waits for a budget (4, ../pool/lock_free_trim.c). So threads whose pools ask each
 *    other do not wait in a circle.
 * 6. A request that waits at the budget asks the reclaimer when it is the first in its queue, and
 *    again after aegis_budget_reclaimer_notify. If the reclaimer cannot give it enough, it adds 1
 *    to `wanted` and to `waiters`. Then it looks again, also into all stripes (give_back).
 * 7. While `waiters` is not 0, no released block is cached (22 in pool_state.h), and no stripe is
 *    filled with blocks that are not taken at once (take_near in pool_class.c).
 * 8. A thread that brings such a block home then executes a read-modify-write of `waiters` (23
 *    there). If it sees that it is not 0, it reads `wanted`, and if that is not 0 either, it takes
 *    back what was added to both and notifies (aegis_i_buffer_pool_wake, tell_budget).
 *
 * So a pool ends as it would without a registration: with its last handle and its last buffer, and
 * at the latest when a reclaimer returns that was running then. By 2 that reclaimer has found that
 * the pool has ended, or it held the last handle itself.
 *
 * And no request waits at the budget while the slabs that the pool could give back would be enough.
 * Proof: Take the release after which a slab is idle. If its block was cached, or was at home
 * before the addition to `waiters` in 6, the look that follows finds it, as a search does (24 in
 * pool_state.h), and by 7 finds no other block of the slab in a stripe. Otherwise the thread that
 * has released it sees the addition (8). It notifies, unless another thread has taken back what was
 * added and notifies. Then the request asks again, and adds again before it looks. Blocks in
 * stripes that are marked AEGIS_I_STRIPE_LEFT are not found, as in a search. */
#if !defined(_WIN32) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* condition.h */
#endif

#include "../budget/reclaimer.h"
#include "../budget/state.h"
#include "pool_state.h"

#include <stddef.h>

/* Makes a handle, unless the last one was given up. */
static bool retain_unless_ended(aegis_buffer_pool_shared *shared, aegis_buffer_pool *own) {
    size_t seen = aegis_i_load(&shared->handles, memory_order_relaxed);
    own->shared = NULL;
    do {
        if (seen == 0 || seen >= AEGIS_I_MAX_REFERENCES)
            return false;
        /* Acquire pairs with the release in restore_handle (pool_move.c). Otherwise relaxed would
         * do: the registration keeps the shared state. What other threads do with the pool is
         * ordered by the words that they do it with, as for a handle that was copied. */
    } while (!aegis_i_cas_weak(&shared->handles, &seen, seen + 1, memory_order_acquire,
                               memory_order_relaxed));
    own->shared = shared;
    return true;
}

/* The reclaimer. */
static size_t give_back(void *context, size_t want_bytes) {
    aegis_buffer_pool own;
    if (!retain_unless_ended((aegis_buffer_pool_shared *)context, &own))
        return 0;
    size_t gone_bytes = aegis_i_buffer_pool_give_back(own.shared, want_bytes, false);
    if (gone_bytes < want_bytes && aegis_i_budget_is_waited_for(own.shared->budget) &&
        aegis_i_buffer_pool_adopt(own.shared)) {
        /* The first addition is released by the second, which pairs with the one in
         * aegis_i_buffer_pool_wake. A thread that takes both back in between leaves `waiters` below
         * 0 until the second: then it is not 0 either. */
        (void)aegis_i_add(&own.shared->wanted, 1, memory_order_relaxed);
        (void)aegis_i_add(&own.shared->waiters, 1, memory_order_acq_rel);
        gone_bytes += aegis_i_buffer_pool_give_back(own.shared, want_bytes - gone_bytes, true);
    }
    aegis_buffer_pool_release(&own);
    return gone_bytes;
}

/* Tells the budget that a block has come home, if the reclaimer has asked for that, and calls back
 * the threads that wait for the budget, if `first`. The caller has acquired with `waiters`, and may
 * call aegis_i_buffer_pool_wake. Runs functions of the user. */
static void tell_budget(aegis_buffer_pool_shared *shared, bool first) {
    aegis_buffer_pool own;
    uint32_t count = aegis_i_load(&shared->wanted, memory_order_relaxed);
    if (count != 0)
        count = aegis_i_exchange(&shared->wanted, 0, memory_order_relaxed);
    if (count != 0)
        (void)aegis_i_sub(&shared->waiters, count, memory_order_relaxed);
    /* With a handle the budget and the registration stay. If there is none, all idle slabs go
     * anyway, or a call that moves the pool notifies at its end. In both cases no thread waits for
     * the budget, because such a thread is in a call on a handle. */
    if (!retain_unless_ended(shared, &own))
        return;
    if (count != 0)
        aegis_budget_reclaimer_notify(shared->reclaimer);
    if (first)
        aegis_i_budget_call_all(shared->budget, shared);
    aegis_buffer_pool_release(&own);
}

/* No thread will call the reclaimer any more. */
static void forget(void *context) {
    aegis_i_buffer_pool_drop((aegis_buffer_pool_shared *)context);
}

aegis_status aegis_i_buffer_pool_enlist(aegis_buffer_pool_shared *shared, aegis_budget *budget,
                                        aegis_budget_reclaimer **reclaimer, aegis_error *error) {
    *reclaimer = NULL;
    /* The init sets it. Later other threads may read it. */
    if (shared->tell_budget == NULL)
        shared->tell_budget = tell_budget;
    if ((shared->flags & AEGIS_BUFFER_RECLAIMABLE) == 0 || budget == NULL)
        return AEGIS_OK;
    /* Relaxed: the caller has a handle. */
    (void)aegis_i_add(&shared->live, 1, memory_order_relaxed);
    aegis_status status =
        aegis_budget_on_reclaim(budget, shared->reclaim_priority, AEGIS_RECLAIM_OWN_LAST, give_back,
                                forget, shared, reclaimer);
    if (status == AEGIS_OK)
        return AEGIS_OK;
    (void)aegis_i_sub(&shared->live, 1, memory_order_relaxed);
    aegis_i_slabs_fail(&shared->classes[0].pool.shared->slabs, aegis_i_budget_reclaimer_bytes(),
                       _Alignof(max_align_t), NULL, error);
    return error->status = status;
}
