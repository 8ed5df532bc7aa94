/* SPDX-License-Identifier: Apache-2.0 */
/* The room in a budget that a polled request of a pool waits for. The request waits for a block of
 * the pool too, and whichever comes first calls the waker.
 *
 * Invariants:
 * 1. The waker lies in a bell, which is made for one poll. Only `state` of it changes. The thread
 *    that calls the waker, or withdraws it, has set `state` from ARMED to DONE before (claim). So
 * it is called at most once, and a call that withdraws it knows whether it was called.
 * 2. A poll arms its bell only if it leaves the request (aegis_i_polled_arm). So a poll that has a
 *    result after all has not given its waker to anyone. If the budget rings before that, the poll
 *    sees it there, and asks again. A reclaimer that always has more to free would make the budget
 *    ring each time. So after MOST_RINGS of them the poll leaves the request with its bell rung, so
 *    that no other thread can claim it, and calls the waker itself (aegis_i_polled_wake).
 * 3. A bell has a reference of the pool's request, and one of the budget's request as long as that
 *    has `ring` as its waker. The call that takes `ring` out of the budget's request drops that
 *    reference if `ring` was withdrawn, and `ring` drops it otherwise (withdraw, ring). So a bell
 *    exists as long as any thread may use it, also when the pool is gone.
 * 4. `ring` touches nothing except the bell: not the pool, and not its request. So the pool's lock
 *    has no place in the order of locks of the budget.
 * 5. Each poll that leaves a request polls the budget's request with a bell of its own. So the
 *    waker of the latest poll is called.
 * 6. What was charged is used by the poll that finds the charge made (aegis_i_polled_charge), or
 *    goes back when the request ends, or is to charge anything else (aegis_i_polled_end). */
#if !defined(_WIN32) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* for condition.h */
#endif

#include "polled.h"
#include "../base/atomics.h"
#include "../base/cancel.h"
#include "../source.h"
#include "charge.h"

/* States of a bell. OPEN: its poll runs. RUNG: the budget has called meanwhile. ARMED: its poll has
 * left the request. DONE: the waker was taken for its call, or withdrawn. */
#define OPEN UINT32_C(0)
#define RUNG UINT32_C(1)
#define ARMED UINT32_C(2)
#define DONE UINT32_C(3)

#define MOST_RINGS UINT32_C(4)

struct aegis_i_bell {
    AEGIS_I_ATOMIC(uint32_t) references;
    AEGIS_I_ATOMIC(uint32_t) state;
    aegis_wake_fn wake;
    void *context;
};

static aegis_i_bell *make_bell(aegis_wake_fn wake, void *context) {
    aegis_i_bell *bell = (aegis_i_bell *)aegis_i_record_new(sizeof *bell);
    if (bell == NULL)
        return NULL;
    aegis_i_atomic_init(&bell->references, 2);
    aegis_i_atomic_init(&bell->state, OPEN);
    bell->wake = wake;
    bell->context = context;
    return bell;
}

static void drop(aegis_i_bell *bell) {
    /* Release and acquire pair with the same subtraction by the other owner: the thread that frees
     * the bell does so after the other one has used it. */
    if (bell != NULL && aegis_i_sub(&bell->references, 1, memory_order_acq_rel) == 1)
        aegis_i_record_free(bell);
}

/* Changes the state. False: it was not `from`. */
static bool change(aegis_i_bell *bell, uint32_t from, uint32_t to) {
    /* Relaxed: the gate, or the pool's lock, has ordered what is in the bell before this. What the
     * budget has done is seen with the gate. */
    return aegis_i_cas(&bell->state, &from, to, memory_order_relaxed, memory_order_relaxed);
}

static bool claim(aegis_i_bell *bell) {
    return change(bell, ARMED, DONE);
}

/* The waker of the budget's request. */
static void ring(void *context) {
    aegis_i_bell *bell = (aegis_i_bell *)context;
    if (!change(bell, OPEN, RUNG) && claim(bell) && bell->wake != NULL)
        bell->wake(bell->context);
    drop(bell);
}

bool aegis_i_polled_arm(aegis_i_polled *polled) {
    if (polled->bell == NULL || change(polled->bell, OPEN, ARMED))
        return true;
    polled->is_to_wake = ++polled->rung_count == MOST_RINGS;
    return polled->is_to_wake;
}

void aegis_i_polled_begin(aegis_i_polled *polled, aegis_wake_fn wake, void *context) {
    polled->wake = wake;
    polled->context = context;
    polled->rung_count = 0;
    polled->is_to_wake = false;
}

void aegis_i_polled_wake(bool is_to_wake, aegis_wake_fn wake, void *context) {
    if (!is_to_wake || wake == NULL)
        return;
    int state = aegis_i_uncancelled_begin();
    wake(context);
    aegis_i_uncancelled_end(state);
}

/* Gives the bell of the poll before up. `withdrawn`: the budget does not ring it, and never will.
 */
static void withdraw(aegis_i_polled *polled, bool withdrawn) {
    aegis_i_bell *bell = polled->bell;
    polled->bell = NULL;
    if (withdrawn)
        drop(bell);
    drop(bell);
}

bool aegis_i_polled_claim(aegis_i_polled *polled) {
    return polled->bell == NULL || claim(polled->bell);
}

void aegis_i_polled_end(aegis_i_polled *polled) {
    aegis_budget_request *request = polled->request;
    polled->request = NULL;
    withdraw(polled, aegis_budget_request_cancel(request));
}

/* Says in `why` that the request could not be made. */
static aegis_status fail(aegis_i_refusal *why, aegis_status status) {
    memset(why, 0, sizeof *why);
    return why->status = status;
}

aegis_status aegis_i_polled_charge(aegis_i_polled *polled, aegis_budget *budget, size_t size_bytes,
                                   aegis_i_refusal *why) {
    aegis_i_bell *bell = make_bell(polled->wake, polled->context);
    if (polled->request != NULL && bell != NULL && polled->budget == budget &&
        polled->size_bytes == size_bytes)
        withdraw(polled, aegis_budget_request_disarm(polled->request));
    else
        aegis_i_polled_end(polled);
    if (bell == NULL)
        return fail(why, AEGIS_E_OUT_OF_MEMORY);
    aegis_status status =
        aegis_i_budget_poll(budget, size_bytes, &polled->request, ring, bell, why);
    if (status == AEGIS_PENDING) {
        polled->bell = bell;
        polled->budget = budget;
        polled->size_bytes = size_bytes;
        return fail(why, status);
    }
    aegis_i_record_free(bell);
    /* If no thread can wait in this process, the pool is told of a refusal. Otherwise it would take
     * the status for one of its own. */
    return status != AEGIS_E_FORKED
               ? status
               : aegis_i_budget_charge_below(budget, NULL, size_bytes, true, why);
}
