/* SPDX-License-Identifier: Apache-2.0 */
/* The fields of a budget, for this folder and for tests that set a counter close to its maximum.
 * Not installed. A file that includes this header defines _GNU_SOURCE first, except on Windows.
 *
 * Invariants of the tree:
 * 1. A budget's lock guards its list of children, with their links to each other, and the record
 *    of its peak. Locks are taken from parent to child (snapshot in report.c and
 *    aegis_i_note_consumers in consumers.c), so threads cannot wait in a circle. The gate of the
 *    tree, if it is taken too, is taken before them.
 * 2. A child holds a reference to its parent (aegis_budget_new, aegis_budget_destroy), and leaves
 *    the parent's list under the parent's lock before it is freed (unlink_from_parent).
 * 3. Whatever reads the list or its links takes the lock first.
 *
 * So a thread that holds the lock of a budget may read the budget's children.
 *
 * In a child process the list is lost if another thread held its lock at the fork: the lock is
 * broken there (base/mutex.h). By 3 no thread reads the list or the links of its budgets again, so
 * such a budget is freed without being taken out of the list. */
#ifndef AEGIS_MEMORY_I_BUDGET_STATE_H
#define AEGIS_MEMORY_I_BUDGET_STATE_H

#include "aegis_memory/budget_arbitration.h"
#include "../base/atomics.h"
#include "../base/condition.h"
#include "patience.h"

/* The most bytes that a counter has. A budget that has more in use is counted under the gate. */
#define AEGIS_I_COUNTER_MAX ((size_t)PTRDIFF_MAX)
/* What the counter of a budget is that is counted under the gate: see gate.c. */
#define AEGIS_I_COUNTER_GATED SIZE_MAX

typedef struct aegis_i_watcher aegis_i_watcher;
typedef struct aegis_i_budget_waiter aegis_i_budget_waiter;
typedef struct aegis_i_session aegis_i_session;

/* What was in use when a peak was recorded, and by whom: see peak_record.c. */
typedef struct aegis_i_peak_record {
    /* `used_bytes`, but no more than the peak that the record was made for. */
    size_t reached_bytes;
    size_t used_bytes;
    size_t direct_bytes;
    size_t consumer_count;
    aegis_budget_consumer consumers[AEGIS_BUDGET_CONSUMERS];
} aegis_i_peak_record;

/* For `record_due_bytes`: no peak is recorded. */
#define AEGIS_I_RECORD_NEVER SIZE_MAX

/* The way of a charge, from the budget that is charged (number 0) up. For each budget: what the
 * charge adds to what its child claims of it (see gate.c), and what was in use before the charge.
 */
typedef struct aegis_i_path {
    size_t count;
    aegis_budget *budgets[AEGIS_BUDGET_MAX_DEPTH];
    size_t claim_bytes[AEGIS_BUDGET_MAX_DEPTH];
    /* What the last budget of the way claims more of its parent than before. */
    size_t top_claim_bytes;
    size_t used_bytes[AEGIS_BUDGET_MAX_DEPTH];
} aegis_i_path;

/* A request that waits. The thread that waits has it on its stack, or it is a request that is
 * polled (wait.c). */
struct aegis_i_budget_waiter {
    aegis_i_budget_waiter *next;
    aegis_i_budget_waiter *previous;
    /* The budget that is to be charged. */
    aegis_budget *budget;
    /* The budget in whose queue the request is; NULL when it is in none. */
    aegis_budget *at;
    size_t size_bytes;
    /* So many budgets of the way, from `budget` up, have promised the bytes. */
    size_t promised_count;
    /* AEGIS_PENDING, AEGIS_OK when the charge was made, or why it will not be made. */
    aegis_status status;
    /* Since it came to this queue, all reclaimers were asked for it while it was the first. */
    bool asked;
    /* How its thread is called back to the object that it waits for, or NULL; and whether it is. */
    aegis_i_patience *patience;
    bool called;
    /* The generation of the gate at which the request came. */
    uint64_t generation;
    /* The way of the charge that was made. */
    aegis_i_path path;
    /* Tells the thread, or the poller, that `status` has changed, or that it should ask the
     * reclaimers. Called under the gate. */
    void (*settle)(aegis_i_budget_waiter *waiter);
    aegis_i_condition arrived;
};

/* A function that is registered to give memory back (reclaim.c). */
struct aegis_budget_reclaimer {
    aegis_budget_reclaimer *next;
    /* The budget that it was registered with; NULL when that was freed or the reclaimer removed. */
    aegis_budget *budget;
    aegis_budget_reclaim_fn function;
    void (*destroy)(void *context);
    void *context;
    int32_t priority;
    uint32_t flags;
    /* A bit for each session that runs now: it has asked this one. */
    uint64_t asked_by;
    AEGIS_I_ATOMIC(size_t) reference_count;
};

/* The time during which a thread runs functions of the user for one refused charge. It lies on the
 * thread's stack. */
struct aegis_i_session {
    aegis_i_session *next;
    uintptr_t thread;
    /* The budget that was charged: its own reclaimers are asked last or not at all. */
    const aegis_budget *requester;
    /* The budget that has refused. NULL: the session has not begun, or only tells of pressure. */
    const aegis_budget *budget;
    /* Other threads do not wait longer than this for the session. */
    uint64_t overdue_ns;
    /* How long this charge waits for the sessions of other threads; 0: it has not waited yet. */
    uint64_t patient_ns;
    /* The bit of this session in `asked_by`. */
    uint64_t mark;
    /* How many sessions were run for this charge. */
    uint32_t round;
    /* The budget for which all reclaimers were asked. */
    const aegis_budget *exhausted;
};

/* A request that is polled (poll.c). */
struct aegis_budget_request {
    aegis_i_budget_waiter waiter;
    /* The waker, until it is called or withdrawn. */
    aegis_wake_fn wake;
    void *context;
    /* Whether the request is in the list of those whose wakers are to be called. */
    bool is_due;
    aegis_budget_request *next_due;
};

/* What the gate of a tree guards beside the fields of its budgets. Only the root's is used. */
typedef struct aegis_i_gate {
    aegis_i_mutex mutex;
    /* A child process forgets all waiters of its parent. So each budget has the number of the
     * process generation in which its queue was last used. */
    uint64_t generation;
    /* All reclaimers of the tree, and the sessions that run now (reclaim.c). */
    aegis_budget_reclaimer *reclaimers;
    aegis_i_session *sessions;
    /* The bits that the sessions have. */
    uint64_t session_marks;
    aegis_i_condition session_ended;
    /* The requests whose wakers are to be called when the gate is given up, in this order. */
    aegis_budget_request *first_due;
    aegis_budget_request *last_due;
    /* The budgets from which on queues have to be served before the gate is given up (queue.c). */
    aegis_budget *to_be_served;
    /* The budgets whose peaks have to be recorded before the gate is given up
     * (peak_record.c). */
    aegis_budget *to_be_recorded;
    /* Whether a reclaimer was ever registered in the tree, or a thread has run pressure functions
     * for a refused charge. */
    AEGIS_I_ATOMIC(uint32_t) has_callees;
} aegis_i_gate;

struct aegis_budget {
    /* The counter: the bytes in use, or AEGIS_I_COUNTER_GATED. */
    AEGIS_I_ATOMIC(size_t) used_bytes;
    /* The aegis_i_budget_calls of the objects that charge the budget, which see nothing else of
     * it. The counter comes first, so that a charge needs no offset. */
    const void *calls;
    AEGIS_I_ATOMIC(size_t) peak_bytes;
    /* What charges compare the counter with: the limit, but at most AEGIS_I_COUNTER_MAX. */
    AEGIS_I_ATOMIC(size_t) counter_limit_bytes;
    /* The functions that aegis_budget_on_pressure registered, newest first. */
    AEGIS_I_ATOMIC(aegis_i_watcher *) watchers;
    aegis_budget *parent;
    aegis_budget *root;
    /* Above AEGIS_I_MAX_REFERENCES it does not say the number of references any more, and the
     * budget is never freed. */
    AEGIS_I_ATOMIC(size_t) reference_count;
    AEGIS_I_ATOMIC(size_t) limit_bytes;

    aegis_i_mutex lock;
    aegis_budget *first_child;
    aegis_budget *last_child;
    aegis_budget *previous_sibling;
    aegis_budget *next_sibling;
    uint32_t level;
    /* The budget has had a child, so its peak is recorded. Guarded by the lock, as the record is.
     */
    bool recorded;
    /* A peak is recorded when a charge raises it to this or more. */
    AEGIS_I_ATOMIC(size_t) record_due_bytes;
    aegis_i_peak_record record;
    /* What the statistics count. Only a charge that finds no room changes these. */
    AEGIS_I_ATOMIC(size_t) waiting_count;
    AEGIS_I_ATOMIC_U64 refused_count;
    AEGIS_I_ATOMIC_U64 wait_count;
    AEGIS_I_ATOMIC_U64 timeout_count;
    AEGIS_I_ATOMIC_U64 reclaim_count;
    AEGIS_I_ATOMIC_U64 reclaimed_bytes;
    char name[AEGIS_BUDGET_NAME_BYTES];

    /* What follows is guarded by the root's gate. Reports read the atomic fields without it. */
    aegis_i_gate gate;
    /* The bytes in use while the counter is AEGIS_I_COUNTER_GATED. */
    AEGIS_I_ATOMIC(size_t) held_bytes;
    /* What the guarantees of budgets beneath keep free here, beyond what those budgets use. */
    AEGIS_I_ATOMIC(size_t) reserved_bytes;
    /* What requests that wait further up have been promised here. */
    size_t promised_bytes;
    AEGIS_I_ATOMIC(size_t) guaranteed_bytes;
    AEGIS_I_ATOMIC(uint32_t) weight;
    AEGIS_I_ATOMIC(uint32_t) policy;
    /* How many budgets beneath have a guarantee, and how many moves out of budgets beneath are
     * under way that moving.c counts. */
    size_t guarded_count;
    /* The bytes of these moves out of this budget or one beneath: they are in use here until the
     * move ends. */
    size_t moving_bytes;
    /* Of a budget that shares fairly: the sums over its children that have a weight, of their
     * weights, of their guarantees, and of what they claim. */
    uint64_t weight_sum;
    size_t guarantee_sum_bytes;
    size_t shared_bytes;
    /* The queue of the requests that wait here: the first has waited longest. */
    aegis_i_budget_waiter *first_waiter;
    aegis_i_budget_waiter *last_waiter;
    size_t waiting_bytes;
    /* How many requests wait in the queues of children. */
    size_t waiting_beneath_count;
    uint64_t generation;
    /* In the gate's list of the budgets whose queues have to be served. */
    aegis_budget *next_served;
    bool to_be_served;
    /* In the gate's list of the budgets whose peaks have to be recorded. */
    bool to_be_recorded;
    aegis_budget *next_recorded;
    bool closed;
};

/* The bytes in use. */
static inline size_t aegis_i_budget_used(const aegis_budget *budget) {
    /* Acquire pairs with the release in aegis_i_gate_freeze: if the counter says so, `held_bytes`
     * is set. */
    size_t used_bytes = aegis_i_load(&budget->used_bytes, memory_order_acquire);
    return used_bytes <= AEGIS_I_COUNTER_MAX
               ? used_bytes
               : aegis_i_load(&budget->held_bytes, memory_order_relaxed);
}

/* Whether `which` is `budget` or above it. Reads nothing of `which`, which may be freed. */
static inline bool aegis_i_is_at_or_above(const aegis_budget *which, const aegis_budget *budget) {
    while (budget != NULL && budget != which)
        budget = budget->parent;
    return budget != NULL;
}

/* Whether a request waits at a budget or above it. Relaxed: a request that asks the reclaimer is
 * counted by its own thread. */
static inline bool aegis_i_budget_is_waited_for(const aegis_budget *budget) {
    for (; budget != NULL; budget = budget->parent)
        if (aegis_i_load(&budget->waiting_count, memory_order_relaxed) != 0)
            return true;
    return false;
}

#endif
