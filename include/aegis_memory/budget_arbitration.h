/* SPDX-License-Identifier: Apache-2.0 */
/** @file budget_arbitration.h
 *  What budgets do before they refuse: reclaim, wait, keep what is guaranteed, share fairly.
 *
 *  What happens to a charge that a budget on the way to the root refuses:
 *  1. Reclaim. The reclaimers of that budget and of the budgets beneath it are asked, one after
 *     the other, until there is room: those with the lowest priority first, and among equals
 *     those of the budget that uses most. Then the charge is tried again. If another thread is
 *     reclaiming for the same budget, this one first waits for that, but at most a second.
 *  2. Pressure. The pressure functions of that budget run (see budget.h), and the charge is
 *     tried again.
 *  3. Wait, if the caller gave a time. The request stands in the queue of the budget that
 *     refuses it. The budgets below have promised it the bytes. Once it is the first in the
 *     queue, the reclaimers are asked for it again, because what they free now goes to no other
 *     charge. As soon as there is room, the thread that made the room makes the charge for the
 *     first request, and wakes only that; if there are reclaimers, also the one that is the
 *     first then. If a budget further up refuses the request, it waits there, and asks the
 *     reclaimers of that budget. A limit or a share that was lowered in the meantime holds for
 *     it too.
 *  4. Refuse.
 *
 *  While a request waits at a budget, that budget refuses the requests that come later
 *  (AEGIS_REFUSED_QUEUE), or they wait behind it. So small requests do not starve a large one.
 *
 *  Guarantees. Bytes that are guaranteed to a budget count in all its ancestors, used or not. So
 *  no other budget's growth can take them, and no reclaimer beneath the budget is asked for them
 *  on behalf of another budget.
 *
 *  Shares. A budget with the policy AEGIS_BUDGET_FAIR divides its limit among its children that
 *  have a weight. First it sets aside what is guaranteed, and what is charged to it directly or
 *  to children without a weight. Of what is left each child may have a part by its weight, and
 *  its guarantee beside that. A child has its share as long as it exists, whether it uses it or
 *  not. A charge beyond the share is refused (AEGIS_REFUSED_SHARE), even if there is room.
 *  DataFusion's fair pool works like this.
 *
 *  How it works: a budget with waiters, a guarantee or a share is counted under a lock that its
 *  tree has once. All other budgets are counted by compare-and-swap, at the same cost as without
 *  these functions. csrc/budget/gate.c has the argument. No lock is held while a function of the
 *  user's runs.
 *
 *  After a fork the child process forgets the threads that waited, and what was promised to
 *  them. If another thread was inside the lock at that moment, the budgets of the tree have no
 *  guarantees, shares and queues in the child, none is closed, and the functions here fail with
 *  AEGIS_E_FORKED. Charges and uncharges still work.
 */
#ifndef AEGIS_MEMORY_BUDGET_ARBITRATION_H
#define AEGIS_MEMORY_BUDGET_ARBITRATION_H

#include "budget.h"

#ifdef __cplusplus
extern "C" {
#endif

/** The policy of a budget towards its children: first come, first served. */
#define AEGIS_BUDGET_GREEDY 0u
/** The policy of a budget towards its children: fair shares by weight. */
#define AEGIS_BUDGET_FAIR 1u
/** The weight of a new budget. */
#define AEGIS_BUDGET_DEFAULT_WEIGHT 100u
/** The largest weight. */
#define AEGIS_BUDGET_MAX_WEIGHT 10000u

/** aegis_budget_on_reclaim: the reclaimer is asked for charges to its own budget too, after all
 *  others. Without this flag it is not. */
#define AEGIS_RECLAIM_OWN_LAST 1u

/** What a budget may have, and how it stands towards others. */
typedef struct aegis_budget_terms {
    /** What aegis_budget_set_guarantee has set. */
    size_t guaranteed_bytes;
    /** The most that the budget may have in use at this moment: its fair share of its parent's
     *  room, but at most its limit. If the parent does not share, or the budget has no weight:
     *  the limit. */
    size_t share_bytes;
    /** How many requests wait at this budget. */
    size_t waiting_count;
    /** What aegis_budget_set_weight has set. */
    uint32_t weight;
    /** AEGIS_BUDGET_GREEDY or AEGIS_BUDGET_FAIR. */
    uint32_t policy;
    /** Whether the budget or an ancestor was closed: 1 or 0. */
    uint32_t closed;
} aegis_budget_terms;

/** A function that gives memory back: it frees memory that is charged to its budget or beneath,
 *  so that `wanted_bytes` are uncharged, or as many of them as it can spare. It may free more.
 *  No lock is held: it may charge, uncharge and allocate. A charge by the same thread to a
 *  budget of the same tree that is refused in the meantime fails at once, with
 *  AEGIS_REFUSED_NESTED: it neither asks reclaimers nor waits. Several threads may call the
 *  function at the same time. A charge asks a reclaimer at most once while it reclaims, and
 *  reclaims again in each queue in which it is the first. A charge that is larger than the limit
 *  asks none. A thread that is cancelled in the function acts on that after it.
 *  @return  the bytes that it has freed; 0 if none. */
typedef size_t (*aegis_budget_reclaim_fn)(void *context, size_t wanted_bytes);

/** A reclaimer that is registered. */
typedef struct aegis_budget_reclaimer aegis_budget_reclaimer;

/** Registers a function that gives memory back.
 *  @param budget     the budget whose memory it can free, with the budgets beneath.
 *  @param priority   reclaimers with a low number are asked first.
 *  @param flags      AEGIS_RECLAIM_OWN_LAST or 0.
 *  @param destroy    called with `context` when the function will not be called any more: after
 *                    the reclaimer was removed or the budget freed, and the last call of
 *                    `function` has returned. It may run on any thread. May be NULL.
 *  @param context    passed to `function` and `destroy`.
 *  @param reclaimer  set to a handle, which keeps the budget alive. It is given up with
 *                    aegis_budget_reclaimer_remove or aegis_budget_reclaimer_keep. NULL:
 *                    the reclaimer stays as long as the budget lives.
 *  @return           AEGIS_OK, AEGIS_E_INVALID (function or flags), AEGIS_E_OUT_OF_MEMORY,
 *                    AEGIS_E_FORKED.
 *  On failure:       nothing is registered; `destroy` is not called.
 *  Threads:          any thread.
 *  Cost:             one allocation on the C heap, one lock.
 */
AEGIS_API aegis_status aegis_budget_on_reclaim(aegis_budget *budget, int32_t priority,
                                               uint32_t flags, aegis_budget_reclaim_fn function,
                                               void (*destroy)(void *context), void *context,
                                               aegis_budget_reclaimer **reclaimer);

/** Removes a reclaimer. No call of its function begins afterwards. A call that another thread
 *  has begun may still run: `destroy` comes after it.
 *  @param reclaimer  NULL is accepted.
 *  Ownership:        the handle is used up.
 *  Threads:          any thread; also from inside the function.
 *  Cost:             O(reclaimers of the tree) under one lock.
 */
AEGIS_API void aegis_budget_reclaimer_remove(aegis_budget_reclaimer *reclaimer);

/** Leaves a reclaimer registered for as long as the budget lives.
 *  @param reclaimer  NULL is accepted.
 *  Ownership:        the handle is used up, and no longer keeps the budget alive.
 *  Threads:          any thread.
 *  Cost:             O(1); if the budget is freed, as aegis_budget_destroy.
 */
AEGIS_API void aegis_budget_reclaimer_keep(aegis_budget_reclaimer *reclaimer);

/** Says that a reclaimer can free more than when it was last asked, for example because pages are
 *  no longer pinned. The request that is first in the queue of the budget, or of one above it,
 *  then asks the reclaimers again. Without this it waits until bytes are uncharged.
 *  @param reclaimer  NULL is accepted.
 *  Threads:          any thread; also from inside the function. What the thread did before is seen
 *                    by the function when it is asked.
 *  Cost:             an atomic addition a level. If a request waits, one lock, and its thread is
 *                    woken or its waker called.
 */
AEGIS_API void aegis_budget_reclaimer_notify(aegis_budget_reclaimer *reclaimer);

/** Charges bytes to a budget and its ancestors, and waits for room if that is necessary.
 *  Requests that wait at a budget get room in the order in which they came there. A request for
 *  more than a limit on its way does not wait, because no uncharge makes room for it. If a limit
 *  is lowered so far while a request waits, it is refused then.
 *  @param budget      NULL is accepted and has no limit.
 *  @param timeout_ns  the longest wait. 0 does not wait; AEGIS_WAIT_FOREVER has no end.
 *  @param error       as for aegis_budget_charge. It says how things are when the time is up.
 *  @return            AEGIS_OK, AEGIS_E_LIMIT_EXCEEDED, AEGIS_E_CLOSED, AEGIS_E_FORKED.
 *  On failure:        every counter is as before, except the count of refusals.
 *  Threads:           any thread. A thread may be cancelled while it waits.
 *  Cost:              as aegis_budget_charge, and the wait.
 */
AEGIS_API aegis_status aegis_budget_charge_timeout(aegis_budget *budget, size_t size_bytes,
                                                   uint64_t timeout_ns, aegis_error *error);

/** A request that waits for room in a budget. One thread at a time uses it. */
typedef struct aegis_budget_request aegis_budget_request;

/** Charges bytes to a budget and its ancestors, or enters a request into the queue of the budget
 *  that refuses it, without waiting in either case. A charge that was made for a request is kept
 *  until the request is polled or cancelled.
 *  @param budget      not NULL. The same at each poll of a request, as `size_bytes`.
 *  @param request     in and out. NULL in it makes a new request, and a request of this budget
 *                     asks for its result. Afterwards it is NULL, except after AEGIS_PENDING.
 *  @param wake        called once, with `context`, when the request should be polled again. It
 *                     replaces the waker of the poll before. NULL: nothing is called. It is
 *                     called with no lock held, by the thread that made the room, or inside of
 *                     the poll if a reclaimer has said meanwhile that it can free more.
 *  @param error       as for aegis_budget_charge.
 *  @return            AEGIS_OK: the bytes are charged, and are uncharged as usual. AEGIS_PENDING:
 *                     the request waits. Errors: AEGIS_E_OUT_OF_MEMORY, when the C heap has no
 *                     memory for the request; otherwise as for aegis_budget_charge_timeout. A
 *                     new request asks reclaimers and runs pressure functions before it waits.
 *  On failure:        every counter is as before, except the count of refusals.
 *  Ownership:         the request is the caller's until a poll makes it NULL or it is cancelled.
 *                     It keeps the budget alive. A context may be released when its waker has
 *                     run. It may be released before only if aegis_budget_request_disarm or
 *                     _cancel has returned true. So whoever counts references to contexts calls
 *                     _disarm before each poll of a request.
 *  Threads:           any thread; one at a time for a request.
 *  Cost:              as aegis_budget_charge, and an allocation on the C heap if it has to wait.
 *                     No cancellation point.
 */
AEGIS_API aegis_status aegis_budget_poll_charge(aegis_budget *budget, size_t size_bytes,
                                                aegis_budget_request **request, aegis_wake_fn wake,
                                                void *context, aegis_error *error);

/** Withdraws the waker of a request, which stays in the queue.
 *  @param request  not NULL.
 *  @return         true: the waker was not called and will not be, and its context is not used
 *                  any more. False: the waker was called, or is being called by another thread at
 *                  this moment, this once; or the request has no waker.
 *  Threads:        any thread; one at a time for a request. The waker itself may call it.
 *  Cost:           O(1) under one lock.
 */
AEGIS_API bool aegis_budget_request_disarm(aegis_budget_request *request);

/** Gives a request up: its place in the queue, its waker, and the charge that was made for it.
 *  @param request  NULL is accepted. Freed.
 *  @return         as for aegis_budget_request_disarm; false for NULL.
 *  Threads:        any thread; no other one uses the request.
 *  Cost:           O(levels) under one lock, and the wakers of others. No cancellation point.
 */
AEGIS_API bool aegis_budget_request_cancel(aegis_budget_request *request);

/** Closes a budget for good. All requests to charge it or a budget beneath it fail with
 *  AEGIS_E_CLOSED, also those that wait. Uncharges work as before.
 *  Threads:  any thread.
 *  Cost:     O(budgets beneath + waiting requests), under locks.
 */
AEGIS_API void aegis_budget_close(aegis_budget *budget);

/** Guarantees bytes to a budget: see above. Charges to the budget and to its ancestors then take
 *  the lock of the tree.
 *  @param guaranteed_bytes  at most the limit of the budget and PTRDIFF_MAX; 0 for no
 *                           guarantee. A limit that is lowered below it later lowers the
 *                           guarantee for good.
 *  @param error             overwritten on failure. NULL if the reason is not wanted.
 *  @return                  AEGIS_OK; AEGIS_E_INVALID for more than the limit;
 *                           AEGIS_E_LIMIT_EXCEEDED if an ancestor has no room for it;
 *                           AEGIS_E_FORKED.
 *  On failure:              nothing has changed.
 *  Threads:                 any thread.
 *  Cost:                    O(levels), under one lock.
 */
AEGIS_API aegis_status aegis_budget_set_guarantee(aegis_budget *budget, size_t guaranteed_bytes,
                                                  aegis_error *error);

/** Sets the weight of a budget, which matters if its parent shares fairly. A new budget has
 *  AEGIS_BUDGET_DEFAULT_WEIGHT.
 *  @param weight  up to AEGIS_BUDGET_MAX_WEIGHT. 0: the budget has no share. It may have what it
 *                 can get, and that leaves less to be shared.
 *  @param error   overwritten on failure. NULL if the reason is not wanted.
 *  @return        AEGIS_OK, AEGIS_E_INVALID, AEGIS_E_FORKED.
 *  On failure:    nothing has changed.
 *  Threads:       any thread.
 *  Cost:          O(levels), under one lock.
 */
AEGIS_API aegis_status aegis_budget_set_weight(aegis_budget *budget, uint32_t weight,
                                               aegis_error *error);

/** Chooses how a budget divides its room among its children. A new budget is greedy.
 *  @param policy  AEGIS_BUDGET_GREEDY or AEGIS_BUDGET_FAIR.
 *  @param error   overwritten on failure. NULL if the reason is not wanted.
 *  @return        AEGIS_OK; AEGIS_E_INVALID for another policy; AEGIS_E_BUSY if the budget has
 *                 children or bytes in use (AEGIS_WHAT_USED_BUDGET); AEGIS_E_FORKED.
 *  On failure:    nothing has changed.
 *  Threads:       any thread.
 *  Cost:          O(1), under one lock.
 */
AEGIS_API aegis_status aegis_budget_set_policy(aegis_budget *budget, uint32_t policy,
                                               aegis_error *error);

/** aegis_budget_get_terms for terms of `terms_bytes` bytes: see "Structs that grow" in base.h. */
AEGIS_API void aegis_budget_get_terms_sized(aegis_budget *budget, aegis_budget_terms *terms,
                                            size_t terms_bytes);

/** Reports the terms of a budget.
 *  @param terms  overwritten.
 *  Threads:      any thread.
 *  Cost:         O(levels), under one lock.
 */
AEGIS_STATIC_INLINE void aegis_budget_get_terms(aegis_budget *budget, aegis_budget_terms *terms) {
    aegis_budget_get_terms_sized(budget, terms, sizeof *terms);
}

#ifdef __cplusplus
}
#endif

#endif
