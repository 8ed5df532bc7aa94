/* SPDX-License-Identifier: Apache-2.0 */
/* How a charge waits that an object makes, and how it is called back. Not installed. */
#ifndef AEGIS_MEMORY_I_BUDGET_PATIENCE_H
#define AEGIS_MEMORY_I_BUDGET_PATIENCE_H

#include "aegis_memory/budget_arbitration.h"
#include "../base/atomics.h"
#include "../base/port.h"

#include <stdbool.h>

/* A waker that the budget and the pool share: see polled.c. */
typedef struct aegis_i_bell aegis_i_bell;

/* What a polled request of a pool has at the budget. Only the calls of the request's owner change
 * it, and no two of them run at a time. */
typedef struct aegis_i_polled {
    /* The waker of the poll that runs. */
    aegis_wake_fn wake;
    void *context;
    /* The request for the room, and what it is to charge. NULL: there is none. */
    aegis_budget_request *request;
    aegis_budget *budget;
    size_t size_bytes;
    /* The waker of the latest poll that has left a request; NULL: there is none. */
    aegis_i_bell *bell;
    /* How often the budget has called while the poll ran, and whether the poll is to call its waker
     * itself for that reason (aegis_i_polled_arm). */
    uint32_t rung_count;
    bool is_to_wake;
} aegis_i_polled;

/* How a charge that is refused waits on behalf of an object, and how other threads call the thread
 * that waits back to the object. The thread that charges fills it in; what is not wanted is 0. */
typedef struct aegis_i_patience aegis_i_patience;
struct aegis_i_patience {
    /* The longest wait, or AEGIS_I_OPTIONAL. A charge takes off this the time that it has waited.
     * After a charge that fails it is AEGIS_I_OPTIONAL: so a request that tries again waits once,
     * and is counted as one refusal. */
    uint64_t wait_ns;
    /* Where the object keeps its budget. A wait ends if that is not the one that is charged: a
     * function of the user's has moved the object. May be NULL. */
    aegis_budget *const *place;
    /* Looks whether the object has now what the thread waits for, so that the wait is to end. The
     * thread that waits calls this at the beginning of the wait and each time it is called back,
     * without the gate. It may take a lock of the object. NULL: the thread is never called back. */
    bool (*look)(aegis_i_patience *patience);
    /* Counts the threads that wait; it is raised before `look` is called first. May be NULL. */
    AEGIS_I_ATOMIC(uint32_t) * waiting_count;
    /* By this aegis_i_budget_call_all finds the thread. */
    const void *key;
    /* A refusal is not counted, because the request asks once more. */
    bool uncounted;
    /* The charge is one of a polled request: it does not wait, but enters the queue
     * (aegis_i_polled_charge). NULL: it is not. */
    aegis_i_polled *polled;
};

/* Calls back all threads that wait for the budget or an ancestor and have this key. A thread that
 * begins to wait later looks at its object after that. The caller may hold a lock of an object,
 * because no thread takes such a lock under a gate. No function of the user's is called. */
AEGIS_I_HIDDEN void aegis_i_budget_call_all(aegis_budget *budget, const void *key);

#endif
