/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of objects that wait for their budget share: how many bytes wait there. */
#ifndef WAIT_SUPPORT_H
#define WAIT_SUPPORT_H

#if !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* sched_yield */
#endif
#include "budget_support.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#if !defined(NS_PER_MS)
#define NS_PER_MS UINT64_C(1000000)
#endif
#define LIMIT_BYTES ((size_t)1 << 20)

/* The bytes of the requests that wait at the budget itself. A budget with such requests refuses
 * all others and counts them as if they were in use. */
static inline size_t waiting_bytes(aegis_budget *budget) {
    aegis_error error;
    memset(&error, 0, sizeof error);
    if (aegis_budget_charge(budget, 1, &error) == AEGIS_OK) {
        CHECK(aegis_budget_uncharge(budget, 1) == AEGIS_OK);
        return 0;
    }
    size_t used_bytes = used(budget);
    return error.refusal == AEGIS_REFUSED_QUEUE && error.in_use_bytes > used_bytes
               ? error.in_use_bytes - used_bytes
               : 0;
}

/* Returns when more than `old_bytes` wait. */
static inline void wait_for_more_waiting(aegis_budget *budget, size_t old_bytes) {
    while (waiting_bytes(budget) <= old_bytes)
        sched_yield();
}

static atomic_size_t told_count;

/* A pressure function that counts its calls. */
static inline void count_pressure(void *context, size_t used_bytes, size_t limit_bytes) {
    (void)context;
    (void)used_bytes;
    (void)limit_bytes;
    atomic_fetch_add(&told_count, 1);
}

#endif
