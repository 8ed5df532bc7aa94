/* SPDX-License-Identifier: Apache-2.0 */
/* Charging a pool to another budget. All that a pool has charged is counted in `reserved_bytes` of
 * its slabs: the slabs, the side memory, and what lies beside them.
 *
 * The caller has the pool alone, as for a trim of a lock-free pool. A function of the user's that
 * the move calls may use the pool (see aegis_i_move_object). A move out of a function that a growth
 * or a trim calls is right too: slab.c keeps the budget that it has charged meanwhile, and does not
 * add memory that is charged to another budget than the pool's. */
#include "move.h"
#include "../budget/move.h"
#include "one_owner.h"

static aegis_status look(void *object, aegis_budget ***place, size_t *held_bytes) {
    aegis_pool_slabs *slabs = (aegis_pool_slabs *)object;
    *place = &slabs->budget;
    *held_bytes =
        aegis_i_load((const AEGIS_I_ATOMIC(size_t) *)&slabs->reserved_bytes, memory_order_relaxed);
    return AEGIS_OK;
}

static void leave(void *object, bool moved) {
    (void)object;
    (void)moved;
}

aegis_status aegis_i_slabs_move(aegis_pool_slabs *slabs, aegis_budget *budget, aegis_error *error) {
    const aegis_i_movable movable = {slabs, look, leave, AEGIS_WHAT_BYTES};
    return aegis_i_move_object(&movable, budget, error);
}

aegis_status aegis_pool_move_budget(aegis_pool *pool, aegis_budget *budget, aegis_error *error) {
    assert(aegis_i_pool_is_valid(pool));
    aegis_status status = aegis_i_slabs_move(&pool->slabs, budget, error);
    if (status == AEGIS_OK)
        pool->failed.refused = NULL;
    return status;
}
