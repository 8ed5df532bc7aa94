/* SPDX-License-Identifier: Apache-2.0 */
/* What budgets do that cannot be done by one compare-and-swap: requests that wait in queues,
 * guarantees, and fair shares. All of it happens under the gate, which is the lock of the root.
 *
 * A budget is counted in one of two ways. An open budget has its bytes in its counter, which
 * charge.c changes without the gate. A gated budget has them in `held_bytes`, which only a thread
 * with the gate changes. A budget is gated only as long as it must be (must_be_gated). So charges
 * in a tree without waiters, guarantees and shares never take the gate.
 *
 * Invariants of the counters:
 * 1. The counter of a gated budget is AEGIS_I_COUNTER_GATED. That is more than any charge without
 *    the gate accepts, and leaves more than AEGIS_I_COUNTER_MAX after any uncharge without the gate
 *    (counter.h). So both leave it as it is, and come here.
 * 2. Only a thread with the gate makes a budget gated (aegis_i_gate_freeze, by a compare-and-swap
 *    from the bytes that it has copied into `held_bytes`) or open (aegis_i_gate_thaw). So no charge
 *    and no uncharge is lost between the two.
 * 3. A charge without the gate that began before its budget was gated fails in its
 *    compare-and-swap, or was counted before.
 *
 * Guarantees. A budget's total is what it has in use plus `reserved_bytes`. It claims of its parent
 * its total, but at least its guarantee, and beyond that what is on the move out of it (moving.c).
 * 4. `reserved_bytes` of a budget is the sum, over its children, of what they claim beyond what
 * they have in use. It can differ from 0 only if a child has a guarantee, or has such a child. Then
 *    the budget is gated, and so is that child (must_be_gated, guarded_count).
 * 5. A charge adds to a budget what its child's claim grows by (look, add), so nothing if the
 *    guarantee of the child covers it. It is refused if the total would be above the limit, except
 *    of bytes that come back to a pool or are charged by force (aegis_i_gate_back). A guarantee is
 *    given only if all totals above have room for it, with these budgets gated (terms.c).
 * So the bytes that a guarantee keeps free are in the totals of all budgets above, and no other
 * charge can take them. An uncharge that names an ancestor of the budget that was charged makes
 * totals too small, but no number wraps (growth_of, aegis_i_gate_uncharge).
 *
 * Shares. A budget with the policy AEGIS_BUDGET_FAIR divides among its children that have a weight
 * what its limit leaves, by these weights (share_of).
 * 6. `shared_bytes` is the sum of the claims of the children that have a weight. All children of
 *    such a budget are gated from the beginning, because the policy is chosen before there are any.
 *
 * Waiting (queue.c):
 * 7. A request that a budget refuses stands in the queue of this budget. The budgets below, which
 *    have accepted it, have promised it the bytes (aegis_i_gate_wait_at): they are kept for it but
 *    not counted as in use. All budgets up to the queue were gated before the last look at them
 *    (aegis_i_gate_freeze_way). The budgets above have not been asked.
 * 8. A budget whose queue is not empty refuses all other requests (fits). So no request that comes
 *    later takes what the first one is waiting for.
 * 9. Each change that makes room serves the queues where it makes room, before the gate is given up
 *    (aegis_i_gate_serve after an uncharge, a raised limit, a withdrawn request, a lowered
 *    guarantee). It makes the charge of the first request, or moves that request to the queue of
 *    another budget that refuses it: one further up, or one below whose limit or share is less than
 *    when it promised the bytes. A grant or a move that gives promises back notes that there is
 *    room beneath too (note_room), and these queues are served before the gate is given up.
 * So a request that waits is the first that gets what becomes free in front of it (8, 9), and none
 * sleeps while there is room for it (9): a budget with a queue is gated, so each uncharge comes
 * here (1). Requests cannot wait for each other in a circle: a request holds promises only below
 * the budget where it waits, and waits for bytes that are in use or were promised to a request
 * further up (7).
 *
 * In a child process the gate may be broken (base/mutex.h). Then the first thread that needs it
 * makes the gated budgets on its way open (aegis_i_gate_give_up), and they stay open: a tree whose
 * gate is broken has no guarantees, shares and queues. If the gate is whole, the child forgets the
 * waiters of the parent and what was promised to them (renew).
 *
 * Source: a semaphore with a queue, as in tokio and Folly, in each budget; guarantees and weights
 * as in Linux cgroups; moving up a tree of budgets as in Velox' memory arbitration. */
#if !defined(_WIN32) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* clock_gettime, pthread_condattr_setclock */
#endif

#include "gate.h"
#include "../base/arithmetic.h"
#include "../base/cancel.h"
#include "counter.h"
#include "gated.h"
#include "peak_record.h"

const aegis_i_budget_waiter aegis_i_gate_back = {0};

bool aegis_i_gate_enter(aegis_budget *budget) {
    aegis_i_gate *gate = &budget->root->gate;
    if (!aegis_i_mutex_lock(&gate->mutex))
        return false;
    if (aegis_i_mutex_take_adoption(&gate->mutex)) {
        /* The threads that waited or asked reclaimers are not in this process. */
        gate->generation++;
        gate->sessions = NULL;
        gate->first_due = gate->last_due = NULL;
        gate->session_marks = 0;
        (void)aegis_i_condition_init(&gate->session_ended);
    }
    return true;
}

void aegis_i_gate_leave(aegis_budget *budget) {
    aegis_i_gate *gate = &budget->root->gate;
    aegis_budget_request *due;
    aegis_i_record_peaks(gate);
    while ((due = gate->first_due) != NULL) {
        aegis_wake_fn wake = due->wake;
        void *context = due->context;
        gate->first_due = due->next_due;
        if (gate->first_due == NULL)
            gate->last_due = NULL;
        due->wake = NULL;
        due->is_due = false;
        aegis_i_mutex_unlock(&gate->mutex);
        /* From now on the request may be gone. A waker may be a cancellation point. A thread that
         * ended here would leave its own request in a queue, or lose its charge. */
        int state = aegis_i_uncancelled_begin();
        wake(context);
        aegis_i_uncancelled_end(state);
        if (!aegis_i_gate_enter(budget))
            return;
    }
    aegis_i_mutex_unlock(&gate->mutex);
}

void aegis_i_gate_give_up(aegis_budget *budget, const aegis_budget *stop) {
    for (; budget != stop; budget = budget->parent) {
        size_t gated = AEGIS_I_COUNTER_GATED;
        size_t used_bytes = aegis_i_min(load(&budget->held_bytes), AEGIS_I_COUNTER_MAX);
        /* Of several threads one succeeds. Relaxed: `held_bytes` does not change any more. */
        (void)aegis_i_cas(&budget->used_bytes, &gated, used_bytes, memory_order_relaxed,
                          memory_order_relaxed);
        store(&budget->reserved_bytes, 0);
    }
}

static bool has_share(const aegis_budget *budget) {
    return is_fair(budget->parent) && aegis_i_load(&budget->weight, memory_order_relaxed) != 0;
}

static bool must_be_gated(const aegis_budget *budget) {
    return budget->first_waiter != NULL || budget->promised_bytes != 0 ||
           load(&budget->guaranteed_bytes) != 0 || budget->guarded_count != 0 ||
           budget->moving_bytes != 0 || is_fair(budget) || is_fair(budget->parent) ||
           budget->closed || load(&budget->held_bytes) > AEGIS_I_COUNTER_MAX;
}

void aegis_i_gate_freeze(aegis_budget *budget) {
    size_t used_bytes = load(&budget->used_bytes);
    while (used_bytes != AEGIS_I_COUNTER_GATED) {
        store(&budget->held_bytes, used_bytes);
        /* Release pairs with the acquire in aegis_i_budget_used. */
        if (aegis_i_cas_weak(&budget->used_bytes, &used_bytes, AEGIS_I_COUNTER_GATED,
                             memory_order_release, memory_order_relaxed))
            return;
    }
}

bool aegis_i_gate_freeze_way(aegis_budget *budget, const aegis_budget *last) {
    bool any = false;
    for (; budget != NULL; budget = budget != last ? budget->parent : NULL)
        if (!is_gated(renew(budget))) {
            aegis_i_gate_freeze(budget);
            any = true;
        }
    return any;
}

void aegis_i_gate_thaw(aegis_budget *budget) {
    for (; budget != NULL; budget = budget->parent)
        if (is_gated(budget) && !must_be_gated(renew(budget)))
            store(&budget->used_bytes, load(&budget->held_bytes));
}

size_t aegis_i_gate_claim(const aegis_budget *budget) {
    return claim_of(budget, total_of(budget));
}

size_t aegis_i_gate_claim_with(const aegis_budget *budget, size_t guaranteed_bytes) {
    return claim_with(budget, guaranteed_bytes, total_of(budget));
}

/* The fair share of a budget that has a weight, in bytes that it may have in total: its guarantee,
 * and by weight a part of what the parent's limit leaves beyond all guarantees and beyond what is
 * not shared. */
static size_t share_of(const aegis_budget *budget) {
    const aegis_budget *parent = budget->parent;
    size_t guaranteed_bytes = load(&budget->guaranteed_bytes);
    size_t unshared_bytes = difference_of(total_of(parent), parent->shared_bytes);
    size_t left_bytes = difference_of(load(&parent->limit_bytes), unshared_bytes);
    left_bytes = difference_of(left_bytes, parent->guarantee_sum_bytes);
    uint64_t weight = aegis_i_load(&budget->weight, memory_order_relaxed);
    uint64_t sum = parent->weight_sum;
    /* The products do not overflow: a weight is at most AEGIS_BUDGET_MAX_WEIGHT, and a sum of
     * weights is less than 2^40. */
    uint64_t part = (uint64_t)left_bytes / sum * weight + (uint64_t)left_bytes % sum * weight / sum;
    return sum_of(guaranteed_bytes, (size_t)part);
}

size_t aegis_i_gate_cap(const aegis_budget *budget, bool *is_share) {
    size_t limit_bytes = load(&budget->limit_bytes);
    *is_share = false;
    if (!has_share(budget) || load(&budget->parent->limit_bytes) == AEGIS_BUDGET_UNLIMITED)
        return limit_bytes;
    size_t share_bytes = share_of(budget);
    *is_share = share_bytes < limit_bytes;
    return aegis_i_min(share_bytes, limit_bytes);
}

static bool has_room(size_t limit_bytes, size_t kept_bytes, size_t take_bytes) {
    return take_bytes <= limit_bytes && kept_bytes <= limit_bytes - take_bytes;
}

/* Whether a gated budget accepts a charge of `take_bytes` to its total, by the request `self`, to
 * which it may have promised the bytes. If not, `why` says why. */
static bool fits(aegis_budget *budget, size_t take_bytes, const aegis_i_budget_waiter *self,
                 bool promised, aegis_i_refusal *why) {
    bool is_share;
    size_t cap_bytes = aegis_i_gate_cap(budget, &is_share);
    size_t kept_bytes = sum_of(total_of(budget), promised ? 0 : budget->promised_bytes);
    why->status = budget->closed ? AEGIS_E_CLOSED : AEGIS_E_LIMIT_EXCEEDED;
    why->reason = is_share ? AEGIS_REFUSED_SHARE : AEGIS_REFUSED_LIMIT;
    if (!budget->closed && !promised && budget->first_waiter != NULL &&
        budget->first_waiter != self) {
        why->reason = AEGIS_REFUSED_QUEUE;
        kept_bytes = sum_of(kept_bytes, budget->waiting_bytes);
    }
    why->limit_bytes = cap_bytes;
    why->in_use_bytes = kept_bytes;
    if (!budget->closed && why->reason != AEGIS_REFUSED_QUEUE &&
        has_room(cap_bytes, kept_bytes, take_bytes))
        return true;
    if (has_room(cap_bytes, total_of(budget), take_bytes))
        why->reason = AEGIS_REFUSED_QUEUE; /* The rest was promised. */
    else if (why->reason == AEGIS_REFUSED_LIMIT &&
             has_room(cap_bytes, load(&budget->held_bytes), take_bytes))
        why->reason = AEGIS_REFUSED_GUARANTEE;
    return false;
}

/* Whether an open budget accepts the charge. One that is to have more in use than its counter can
 * say becomes gated. */
static bool fits_open(aegis_budget *budget, size_t size_bytes, aegis_i_refusal *why) {
    size_t limit_bytes = load(&budget->limit_bytes);
    size_t used_bytes = load(&budget->used_bytes);
    why->status = AEGIS_E_LIMIT_EXCEEDED;
    why->reason = AEGIS_REFUSED_LIMIT;
    why->limit_bytes = limit_bytes;
    why->in_use_bytes = used_bytes;
    if (!has_room(limit_bytes, used_bytes, size_bytes))
        return false;
    if (!has_room(AEGIS_I_COUNTER_MAX, used_bytes, size_bytes))
        aegis_i_gate_freeze(budget);
    return true;
}

/* Looks at each budget from `budget` up. Returns the first that refuses, or NULL. */
static aegis_budget *look(aegis_i_path *path, aegis_budget *budget, const aegis_budget *stop,
                          size_t size_bytes, const aegis_i_budget_waiter *self,
                          aegis_i_refusal *why) {
    size_t claim_bytes = size_bytes;
    size_t i = 0;
    for (; budget != stop; budget = budget->parent, i++) {
        bool promised = self != NULL && i < self->promised_count;
        (void)renew(budget);
        if (!is_gated(budget) && !fits_open(budget, size_bytes, why))
            break;
        path->budgets[i] = budget;
        path->claim_bytes[i] = claim_bytes;
        if (!is_gated(budget))
            continue;
        size_t take_bytes = growth_of(budget, size_bytes, claim_bytes);
        if ((take_bytes != 0 || budget->closed) && self != &aegis_i_gate_back &&
            !fits(budget, take_bytes, self, promised, why))
            break;
        claim_bytes = claim_growth(budget, take_bytes);
    }
    path->count = i;
    path->top_claim_bytes = claim_bytes;
    return budget != stop ? budget : NULL;
}

/* Counts a change of a child's claim in the budget that divides its room among its children. */
static void count_share(aegis_budget *budget, const aegis_budget *child, size_t more_bytes,
                        size_t less_bytes) {
    if (child != NULL && child->parent == budget && has_share(child))
        budget->shared_bytes = difference_of(budget->shared_bytes + more_bytes, less_bytes);
}

/* Adds to number i of the path, which has accepted the bytes. False: it is open, and has become too
 * full. */
static bool add(aegis_i_path *path, size_t i, size_t size_bytes,
                const aegis_i_budget_waiter *self) {
    aegis_budget *budget = path->budgets[i];
    size_t claim_bytes = path->claim_bytes[i];
    if (!is_gated(budget)) {
        size_t most_bytes = load(&budget->counter_limit_bytes);
        path->used_bytes[i] = load(&budget->used_bytes);
        return size_bytes <= most_bytes && aegis_i_counter_add(budget, &path->used_bytes[i],
                                                               size_bytes, most_bytes - size_bytes);
    }
    size_t take_bytes = growth_of(budget, size_bytes, claim_bytes);
    path->used_bytes[i] = load(&budget->held_bytes);
    store(&budget->held_bytes, sum_of(path->used_bytes[i], size_bytes));
    store(&budget->reserved_bytes, load(&budget->reserved_bytes) - (size_bytes - take_bytes));
    count_share(budget, i != 0 ? path->budgets[i - 1] : NULL, claim_bytes, 0);
    if (self != NULL && i < self->promised_count)
        budget->promised_bytes = difference_of(budget->promised_bytes, size_bytes);
    return true;
}

void aegis_i_gate_shift_claim(aegis_budget *budget, size_t old_bytes, bool counted) {
    size_t new_bytes = aegis_i_gate_claim(budget);
    for (aegis_budget *node = budget->parent; node != NULL && new_bytes != old_bytes;
         budget = node, node = node->parent) {
        size_t claim_bytes = aegis_i_gate_claim(renew(node));
        size_t reserved_bytes = load(&node->reserved_bytes);
        store(&node->reserved_bytes, difference_of(reserved_bytes + new_bytes, old_bytes));
        if (!counted)
            count_share(node, budget, new_bytes, old_bytes);
        counted = false;
        old_bytes = claim_bytes;
        new_bytes = aegis_i_gate_claim(node);
    }
}

/* Counts in the ancestor where a way ends that a child's claim has changed, while what is in use
 * there has not: the child has `more_bytes` or `less_bytes` in use, and claims `more_claim_bytes`
 * or `less_claim_bytes`. */
static void settle_above(aegis_budget *stop, const aegis_budget *child, size_t more_bytes,
                         size_t less_bytes, size_t more_claim_bytes, size_t less_claim_bytes) {
    if (stop == NULL || !is_gated(renew(stop)))
        return;
    size_t claim_bytes = aegis_i_gate_claim(stop);
    size_t reserved_bytes = load(&stop->reserved_bytes);
    reserved_bytes = reserved_bytes + more_claim_bytes + less_bytes;
    store(&stop->reserved_bytes, difference_of(reserved_bytes, less_claim_bytes + more_bytes));
    count_share(stop, child, more_claim_bytes, less_claim_bytes);
    aegis_i_gate_shift_claim(stop, claim_bytes, false);
}

/* Adds from the root down. False: an open budget has become too full, and all are as before. All
 * budgets with promises are gated and beneath it, so none of them was added to. */
static bool add_all(aegis_i_path *path, const aegis_budget *stop, size_t size_bytes,
                    const aegis_i_budget_waiter *self) {
    size_t i = path->count;
    while (i != 0 && add(path, i - 1, size_bytes, self))
        i--;
    if (i != 0 && i < path->count)
        aegis_i_gate_uncharge(path->budgets[i], path->budgets[i - 1], stop, size_bytes);
    return i == 0;
}

aegis_budget *aegis_i_gate_charge(aegis_i_path *path, aegis_budget *budget,
                                  const aegis_budget *stop, size_t size_bytes,
                                  const aegis_i_budget_waiter *self, aegis_i_refusal *why) {
    aegis_budget *refusing;
    /* It is repeated only when a charge without the gate has taken the room in between. */
    do {
        refusing = look(path, budget, stop, size_bytes, self, why);
    } while (refusing == NULL && !add_all(path, stop, size_bytes, self));
    if (refusing != NULL) {
        why->budget = refusing;
        why->needed_bytes = size_bytes;
        return refusing;
    }
    if (path->count != 0)
        settle_above((aegis_budget *)(uintptr_t)stop, path->budgets[path->count - 1], size_bytes, 0,
                     path->top_claim_bytes, 0);
    aegis_i_raise_peaks(path, size_bytes);
    return NULL;
}

void aegis_i_gate_subtract_open(aegis_budget *budget, size_t size_bytes) {
    size_t used_bytes = load(&budget->used_bytes);
    while (!aegis_i_cas_weak(&budget->used_bytes, &used_bytes,
                             difference_of(used_bytes, size_bytes), memory_order_relaxed,
                             memory_order_relaxed))
        continue;
}

void aegis_i_gate_uncharge(aegis_budget *budget, const aegis_budget *child,
                           const aegis_budget *stop, size_t size_bytes) {
    /* What the child's claim falls by. */
    size_t claim_bytes = size_bytes;
    for (; budget != stop; child = budget, budget = budget->parent) {
        if (!is_gated(renew(budget))) {
            aegis_i_gate_subtract_open(budget, size_bytes);
            continue;
        }
        size_t used_bytes = load(&budget->held_bytes);
        size_t taken_bytes = aegis_i_min(used_bytes, size_bytes);
        size_t old_bytes = aegis_i_gate_claim(budget);
        size_t give_bytes = aegis_i_min(claim_bytes, taken_bytes);
        store(&budget->held_bytes, used_bytes - taken_bytes);
        store(&budget->reserved_bytes, load(&budget->reserved_bytes) + (taken_bytes - give_bytes));
        count_share(budget, child, 0, claim_bytes);
        claim_bytes = old_bytes - aegis_i_gate_claim(budget);
    }
    if (child != NULL)
        settle_above((aegis_budget *)(uintptr_t)stop, child, 0, size_bytes, 0, claim_bytes);
}

/* Adds what a budget counts for its parent's shares, or takes it away. */
static void count_terms(aegis_budget *budget, bool counted) {
    aegis_budget *parent = budget->parent;
    uint32_t weight = aegis_i_load(&budget->weight, memory_order_relaxed);
    size_t guaranteed_bytes = load(&budget->guaranteed_bytes);
    if (!has_share(budget))
        return;
    size_t claim_bytes = aegis_i_gate_claim(budget);
    parent->weight_sum += counted ? weight : 0 - (uint64_t)weight;
    parent->guarantee_sum_bytes += counted ? guaranteed_bytes : 0 - guaranteed_bytes;
    parent->shared_bytes = counted ? parent->shared_bytes + claim_bytes
                                   : difference_of(parent->shared_bytes, claim_bytes);
}

void aegis_i_gate_join(aegis_budget *budget) {
    if (!is_fair(budget->parent))
        return;
    aegis_i_gate_freeze(budget);
    count_terms(budget, true);
}

void aegis_i_gate_guard(aegis_budget *budget, bool guarded) {
    for (aegis_budget *node = budget->parent; node != NULL; node = node->parent) {
        aegis_i_gate_freeze(node);
        node->guarded_count += guarded ? 1 : SIZE_MAX;
    }
}

void aegis_i_gate_set_terms(aegis_budget *budget, size_t guaranteed_bytes, uint32_t weight) {
    bool was_guarded = load(&budget->guaranteed_bytes) != 0;
    if (guaranteed_bytes != 0)
        aegis_i_gate_freeze(budget);
    if (was_guarded != (guaranteed_bytes != 0))
        aegis_i_gate_guard(budget, guaranteed_bytes != 0);
    size_t claim_bytes = aegis_i_gate_claim(budget);
    count_terms(budget, false);
    store(&budget->guaranteed_bytes, guaranteed_bytes);
    aegis_i_store(&budget->weight, weight, memory_order_relaxed);
    count_terms(budget, true);
    aegis_i_gate_shift_claim(budget, claim_bytes, true);
}

void aegis_i_gate_part(aegis_budget *budget) {
    aegis_i_gate_set_terms(budget, 0, aegis_i_load(&budget->weight, memory_order_relaxed));
    count_terms(budget, false);
}

size_t aegis_i_gate_lacking(aegis_budget *charged, const aegis_budget *budget, size_t size_bytes) {
    size_t claim_bytes = size_bytes;
    for (aegis_budget *node = charged; node != NULL; node = node->parent) {
        bool gated = is_gated(renew(node)), is_share = false;
        size_t take_bytes = gated ? growth_of(node, size_bytes, claim_bytes) : size_bytes;
        if (node == budget) {
            size_t cap_bytes = gated ? aegis_i_gate_cap(node, &is_share) : load(&node->limit_bytes);
            size_t total_bytes = gated ? total_of(node) : load(&node->used_bytes);
            size_t kept_bytes = sum_of(total_bytes, node->promised_bytes);
            /* A charge that a guarantee covers is not refused, even above the limit. */
            if (take_bytes == 0 && size_bytes != 0)
                return 0;
            return take_bytes <= cap_bytes ? difference_of(kept_bytes, cap_bytes - take_bytes)
                                           : sum_of(kept_bytes, take_bytes - cap_bytes);
        }
        if (gated)
            claim_bytes = claim_growth(node, take_bytes);
    }
    return 0;
}

aegis_budget *aegis_i_gate_refuses_claim(aegis_budget *budget, size_t more_bytes,
                                         aegis_i_refusal *why) {
    for (; budget != NULL && more_bytes != 0; budget = budget->parent) {
        bool is_share;
        size_t cap_bytes = aegis_i_gate_cap(budget, &is_share);
        size_t kept_bytes = sum_of(total_of(budget), budget->promised_bytes);
        if (!has_room(cap_bytes, kept_bytes, more_bytes)) {
            bool in_use = !has_room(cap_bytes, load(&budget->held_bytes), more_bytes);
            why->status = AEGIS_E_LIMIT_EXCEEDED;
            why->reason = is_share ? AEGIS_REFUSED_SHARE
                          : in_use ? AEGIS_REFUSED_LIMIT
                                   : AEGIS_REFUSED_GUARANTEE;
            why->budget = budget;
            why->limit_bytes = cap_bytes;
            why->in_use_bytes = kept_bytes;
            why->needed_bytes = more_bytes;
            return budget;
        }
        more_bytes = claim_growth(budget, more_bytes);
    }
    return NULL;
}
