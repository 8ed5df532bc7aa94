/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of waiting, reclaiming, guarantees and shares have in common: threads that wait
 * for a charge, and a check of all that the budgets of a tree count about each other. */
#ifndef ARBITRATION_SUPPORT_H
#define ARBITRATION_SUPPORT_H

#if !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* condition.h, sched_yield, alarm */
#endif
#include "../../csrc/budget/state.h"
#include "budget_support.h"

#include <pthread.h>
#include <sched.h>

#define NS_PER_MS UINT64_C(1000000)
/* Longer than any test: a wait with this end must not reach it. */
#define LONG_NS (60000 * NS_PER_MS)

/* A charge that is made by a thread of its own. */
typedef struct waiting {
    aegis_budget *budget;
    size_t size_bytes;
    uint64_t timeout_ns;
    aegis_status status;
    aegis_error error;
    pthread_t thread;
    /* Set when the charge has returned. */
    atomic_bool ended;
} waiting;

static inline void *waiting_run(void *context) {
    waiting *request = (waiting *)context;
    request->status = aegis_budget_charge_timeout(request->budget, request->size_bytes,
                                                  request->timeout_ns, &request->error);
    atomic_store(&request->ended, true);
    return NULL;
}

/* The number of requests in the queue of a budget. */
static inline size_t waiting_at(const aegis_budget *budget) {
    return atomic_load(&budget->waiting_count);
}

/* Returns once the threads that were inside the gate have given it up. */
static inline void pass_gate(const aegis_budget *budget) {
    CHECK(aegis_i_mutex_lock(&budget->root->gate.mutex));
    aegis_i_mutex_unlock(&budget->root->gate.mutex);
}

/* Returns once so many requests are in the queue of a budget, and their threads have given the gate
 * up, inside which they join it. A child that is forked then can have the gate. */
static inline void await_waiting(const aegis_budget *budget, size_t count) {
    while (waiting_at(budget) != count)
        sched_yield();
    pass_gate(budget);
}

/* Starts a thread that charges `budget`, and returns once it waits in the queue of `at`, or has
 * ended: a short time may be up before this thread looks. */
static inline void waiting_start(waiting *request, aegis_budget *budget, size_t size_bytes,
                                 uint64_t timeout_ns, const aegis_budget *at) {
    size_t before = waiting_at(at);
    request->budget = budget;
    request->size_bytes = size_bytes;
    request->timeout_ns = timeout_ns;
    request->status = AEGIS_PENDING;
    atomic_init(&request->ended, false);
    CHECK(pthread_create(&request->thread, NULL, waiting_run, request) == 0);
    while (waiting_at(at) != before + 1 && !atomic_load(&request->ended))
        sched_yield();
    pass_gate(at);
}

static inline aegis_status waiting_join(waiting *request) {
    CHECK(pthread_join(request->thread, NULL) == 0);
    return request->status;
}

static inline bool is_gated_budget(const aegis_budget *budget) {
    return atomic_load(&budget->used_bytes) == AEGIS_I_COUNTER_GATED;
}

static inline size_t total_of_budget(const aegis_budget *budget) {
    return aegis_i_budget_used(budget) + atomic_load(&budget->reserved_bytes);
}

static inline size_t claim_of_budget(const aegis_budget *budget) {
    size_t guaranteed_bytes = atomic_load(&budget->guaranteed_bytes);
    size_t total_bytes = total_of_budget(budget);
    return guaranteed_bytes > total_bytes ? guaranteed_bytes : total_bytes;
}

/* Checks what the budgets of a tree count about each other, while no other thread uses the tree.
 * `direct_bytes`, which may be NULL, says what is charged to a budget itself. Returns how many
 * budgets of the tree have a guarantee. */
static inline size_t check_tree(const aegis_budget *budget,
                                size_t (*direct_bytes)(const aegis_budget *budget)) {
    size_t guarded_count = 0, used_bytes = 0, reserved_bytes = 0, beneath_count = 0;
    size_t shared_bytes = 0, guarantee_bytes = 0;
    uint64_t weight_sum = 0;
    for (const aegis_budget *child = budget->first_child; child != NULL;
         child = child->next_sibling) {
        uint32_t weight = atomic_load(&child->weight);
        guarded_count += check_tree(child, direct_bytes);
        used_bytes += aegis_i_budget_used(child);
        reserved_bytes += claim_of_budget(child) - aegis_i_budget_used(child);
        beneath_count += waiting_at(child);
        weight_sum += weight;
        shared_bytes += weight != 0 ? claim_of_budget(child) : 0;
        guarantee_bytes += weight != 0 ? atomic_load(&child->guaranteed_bytes) : 0;
        CHECK(child->parent == budget && child->root == budget->root);
    }
    size_t own_bytes = aegis_i_budget_used(budget);
    CHECK(own_bytes >= used_bytes);
    if (direct_bytes != NULL)
        CHECK_SIZE(own_bytes - used_bytes, direct_bytes(budget));
    CHECK_SIZE(budget->guarded_count, guarded_count);
    CHECK_SIZE(atomic_load(&budget->reserved_bytes), reserved_bytes);
    CHECK_SIZE(budget->waiting_beneath_count, beneath_count);
    CHECK(peak(budget) >= own_bytes);
    if (atomic_load(&budget->policy) == AEGIS_BUDGET_FAIR) {
        CHECK(budget->weight_sum == weight_sum);
        CHECK_SIZE(budget->shared_bytes, shared_bytes);
        CHECK_SIZE(budget->guarantee_sum_bytes, guarantee_bytes);
    }
    return guarded_count + (atomic_load(&budget->guaranteed_bytes) != 0);
}

/* Demands that the budgets of a way are counted without the gate. */
static inline void check_open(const aegis_budget *budget) {
    for (; budget != NULL; budget = budget->parent) {
        CHECK(!is_gated_budget(budget));
        CHECK_SIZE(budget->promised_bytes, 0);
        CHECK_SIZE(waiting_at(budget), 0);
    }
}

static inline void destroy_all(aegis_budget *const *budgets, size_t count) {
    while (count != 0)
        aegis_budget_destroy(budgets[--count]);
}

#endif
