/* SPDX-License-Identifier: Apache-2.0 */
/* Charging a buffer pool to another budget.
 *
 * 1. The caller has the only handle, and no other thread uses that. Between look and leave the
 *    number of handles is 0, so no other thread gets a handle of its own (retain_unless_ended in
 *    pool_reclaim.c). So no thread takes a buffer or polls a request, no class grows, and the
 *    reclaimer does not trim.
 * 2. No buffer of a slab is out, and none is coming home to the old budget (is_out). A thread that
 *    releases another buffer, or cancels a request, reads the budget only with a handle of its own
 *    (tell_budget in pool_reclaim.c).
 * 3. Buffers on the C heap have a budget of their own (make_heap_buffer), and stay as they are.
 * 4. A reclaimable pool is registered with the new budget before it moves there, and with the old
 *    one until it has moved. A reclaimer that found the pool between look and leave gave nothing
 *    back, so the requests that wait are to ask again at the end.
 * So nothing reads the pool's budget while it changes. All classes move at once, because what all
 * of them have reserved is charged in one step. */
#if !defined(_WIN32) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* condition.h */
#endif

#include "../budget/move.h"
#include "owner.h"
#include "pool_state.h"

/* Whether a buffer is out, or comes home from another budget at this moment.
 *
 * The thread that gives up the last reference stores the 0 with no order. So the 0 alone does not
 * say that an earlier move of the buffer is seen, and `charged` is read by a read-modify-write. If
 * that came before the move in the order of changes of `charged`, the mover would acquire from it
 * (aegis_i_buffer_begin_move), so the 0 would be stored after it was read. So it comes after the
 * move, and finds 0 only after come_home has stored it. */
static bool is_out(aegis_i_buffer_slot *slot) {
    const _Atomic size_t *references = (const _Atomic size_t *)&slot->head.owner.references;
    if (aegis_i_load(references, memory_order_relaxed) != 0)
        return true;
    /* A block that was never out is not written to. Acquire pairs with the release in come_home.
     * Release pairs with the acquire in aegis_i_buffer_begin_move. */
    return slot->head.kind != NULL &&
           aegis_i_add(&slot->head.charged, 0, memory_order_acq_rel) != 0;
}

static bool has_buffers_out(const aegis_buffer_pool_shared *shared) {
    for (size_t i = 0; i < shared->class_count; i++)
        for (uint32_t index = 0; index < shared->classes[i].max_count; index++)
            if (is_out(&shared->classes[i].slots[index]))
                return true;
    return false;
}

typedef struct moving {
    aegis_buffer_pool_shared *shared;
    /* The registration with the new budget; after the move the one with the old budget. */
    aegis_budget_reclaimer *other;
} moving;

static void restore_handle(aegis_buffer_pool_shared *shared) {
    /* Release pairs with the acquire in retain_unless_ended: a thread with a new handle sees the
     * new budget. */
    aegis_i_store(&shared->handles, 1, memory_order_release);
}

static aegis_status look(void *object, aegis_budget ***place, size_t *held_bytes) {
    aegis_buffer_pool_shared *shared = ((moving *)object)->shared;
    size_t own = 1;
    /* Acquire pairs with the subtraction in aegis_buffer_pool_release: what was done by way of
     * other handles comes before. */
    if (!aegis_i_cas(&shared->handles, &own, 0, memory_order_acquire, memory_order_relaxed))
        return AEGIS_E_BUSY;
    if (has_buffers_out(shared)) {
        restore_handle(shared);
        return AEGIS_E_BUSY;
    }
    *place = &shared->budget;
    *held_bytes = 0;
    for (size_t i = 0; i < shared->class_count; i++) {
        aegis_pool_stats stats;
        aegis_i_slabs_get_stats(&shared->classes[i].pool.shared->slabs, &stats);
        *held_bytes += stats.reserved_bytes;
    }
    return AEGIS_OK;
}

/* The slabs of each class have a reference. The move itself exchanges that of the first class. */
static void leave(void *object, bool moved) {
    aegis_buffer_pool_shared *shared = ((moving *)object)->shared;
    for (size_t i = 0; moved && i < shared->class_count; i++) {
        aegis_pool_slabs *slabs = &shared->classes[i].pool.shared->slabs;
        if (i != 0) {
            aegis_budget_destroy(slabs->budget);
            if (shared->budget != NULL)
                (void)aegis_budget_retain(shared->budget);
        }
        slabs->budget = shared->budget;
    }
    if (moved) {
        aegis_budget_reclaimer *old = shared->reclaimer;
        shared->reclaimer = ((moving *)object)->other;
        ((moving *)object)->other = old;
    }
    restore_handle(shared);
}

aegis_status aegis_buffer_pool_move_budget(aegis_buffer_pool *pool, aegis_budget *budget,
                                           aegis_error *error) {
    if (pool->shared == NULL)
        return aegis_i_buffer_refuse(error, AEGIS_E_INVALID, AEGIS_WHAT_HANDLE, 0);
    assert(aegis_i_buffer_pool_is_valid(pool->shared));
    moving move = {pool->shared, NULL};
    const aegis_i_movable movable = {&move, look, leave, AEGIS_WHAT_OUT};
    aegis_error failed;
    aegis_status status = pool->shared->enlist(pool->shared, budget, &move.other, &failed);
    if (status == AEGIS_OK)
        status = aegis_i_move_object(&movable, budget, error);
    else if (error != NULL)
        *error = failed;
    aegis_budget_reclaimer_remove(move.other);
    aegis_budget_reclaimer_notify(pool->shared->reclaimer);
    return status;
}
