/* SPDX-License-Identifier: Apache-2.0 */
/* Budgets that wait, reclaim and guarantee, under the systematic scheduler. What is checked:
 *  - No thread sleeps when there is room for its request, or when its budget is closed.
 *  - Requests leave a queue in the order in which they came, and none goes by one that waits.
 *  - At every moment the bytes in use of a budget are at most its limit; and with what is reserved
 * for guarantees too, while no thread is inside the gate.
 *  - Nothing is lost when a budget is counted under the gate and without it by turns.
 *  - A time-out, a closing and a grant exclude each other.
 *  - Two threads that are refused at once do not reclaim more than they need.
 *  - A reclaimer is destroyed once, and not while it runs.
 *  - Once no charge is under way, no record of a peak is overdue. */
#include "budget/state.h"
#include "plain_system.h"

#include <string.h>

#define LIMIT_BYTES 10

static aegis_budget *root, *middle, *leaf;
/* What each thread holds, and what is held for no thread. Plain, because a thread reads and writes
 * them only between two atomic operations, where no other thread runs. */
static size_t held_bytes[MODEL_MAX_THREADS + 1];
#define NO_THREAD MODEL_MAX_THREADS
static aegis_budget *const *budget_of[MODEL_MAX_THREADS + 1];
static bool in_order;
static const aegis_i_budget_waiter *queue[MODEL_MAX_THREADS];
static size_t queue_length;

static size_t plain(const _Atomic size_t *counter) {
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static size_t used(const aegis_budget *budget) {
    size_t bytes = plain(&budget->used_bytes);
    return bytes <= AEGIS_I_COUNTER_MAX ? bytes : plain(&budget->held_bytes);
}

/* The requests that were seen before and wait no more are the first ones. */
static void check_order(void) {
    const aegis_i_budget_waiter *now[MODEL_MAX_THREADS];
    size_t length = 0, first = 0;
    for (aegis_i_budget_waiter *each = root->first_waiter; each != NULL; each = each->next)
        now[length++] = each;
    while (first < queue_length && (length == 0 || queue[first] != now[0]))
        first++;
    for (size_t i = first; i < queue_length; i++)
        MODEL_CHECK(i - first < length && queue[i] == now[i - first]);
    for (size_t i = 0; i < first; i++)
        for (size_t k = 0; k < length; k++)
            MODEL_CHECK(queue[i] != now[k]);
    memcpy(queue, now, sizeof queue);
    queue_length = length;
}

/* A charge without the gate compares with the limit that it has read. If that is lowered meanwhile,
 * use may rise above it; but under the gate it may not. */
static bool limit_falls;
static size_t last_used_bytes[3];

static void observe(void) {
    aegis_budget *const all[] = {root, middle, leaf};
    for (size_t i = 0; i < 3; i++) {
        size_t use = used(all[i]), limit_bytes = plain(&all[i]->limit_bytes);
        bool gated = plain(&all[i]->used_bytes) == AEGIS_I_COUNTER_GATED;
        MODEL_CHECK(use <= limit_bytes || (limit_falls && (!gated || use <= last_used_bytes[i])));
        MODEL_CHECK(root->gate.mutex.locked != 0 || !gated || limit_falls ||
                    use + plain(&all[i]->reserved_bytes) + all[i]->promised_bytes <= limit_bytes);
        last_used_bytes[i] = use;
    }
    if (in_order && root->gate.mutex.locked == 0)
        check_order();
}

/* Whether peaks are recorded. They are not where they would only add schedules. */
static void record(bool recorded) {
    aegis_budget *const all[] = {root, middle};
    for (size_t i = 0; i < 2; i++) {
        all[i]->recorded = recorded;
        all[i]->record.reached_bytes = all[i]->record.used_bytes = 0;
        all[i]->record_due_bytes = recorded ? plain(&all[i]->peak_bytes) + 1 : AEGIS_I_RECORD_NEVER;
    }
}

static void make(size_t middle_limit, size_t held) {
    model_now_ns = 1;
    model_short_waits = 0;
    in_order = limit_falls = false;
    queue_length = 0;
    memset(last_used_bytes, 0, sizeof last_used_bytes);
    memset(held_bytes, 0, sizeof held_bytes);
    root = aegis_budget_new("root", LIMIT_BYTES, NULL);
    middle = aegis_budget_new("middle", middle_limit, root);
    leaf = aegis_budget_new("leaf", AEGIS_BUDGET_UNLIMITED, middle);
    record(false);
    budget_of[NO_THREAD] = &root;
    held_bytes[NO_THREAD] = held;
    MODEL_CHECK(aegis_budget_charge(root, held, NULL) == AEGIS_OK);
}

static aegis_status charge(int number, aegis_budget *const *budget, size_t size_bytes,
                           uint64_t timeout_ns) {
    aegis_error error;
    aegis_status status = aegis_budget_charge_timeout(*budget, size_bytes, timeout_ns, &error);
    if (status == AEGIS_OK) {
        budget_of[number] = budget;
        held_bytes[number] += size_bytes;
    } else if (status == AEGIS_E_LIMIT_EXCEEDED) {
        MODEL_CHECK(error.needed_bytes > error.limit_bytes ||
                    error.in_use_bytes > error.limit_bytes - error.needed_bytes);
    }
    return status;
}

static void release(int number) {
    size_t size_bytes = held_bytes[number];
    held_bytes[number] = 0;
    MODEL_CHECK(aegis_budget_uncharge(*budget_of[number], size_bytes) == AEGIS_OK);
}

/* Charges with a wait that must end by a grant, and uncharges. */
static void pass(int number, aegis_budget *const *budget, size_t size_bytes) {
    MODEL_CHECK(charge(number, budget, size_bytes, AEGIS_WAIT_FOREVER) == AEGIS_OK);
    release(number);
}

/* All that is held is in use, and nothing else; afterwards nothing is. */
static void end(void) {
    size_t sums[3] = {0, 0, 0};
    aegis_budget *const all[] = {root, middle, leaf};
    for (int i = 0; i <= NO_THREAD; i++)
        for (size_t k = 0; k < 3 && held_bytes[i] != 0; k++)
            for (aegis_budget *node = *budget_of[i]; node != NULL; node = node->parent)
                sums[k] += node == all[k] ? held_bytes[i] : 0;
    for (size_t k = 0; k < 3; k++) {
        MODEL_CHECK(used(all[k]) == sums[k]);
        MODEL_CHECK(all[k]->promised_bytes == 0 && all[k]->first_waiter == NULL);
        MODEL_CHECK(plain(&all[k]->waiting_count) == 0 && all[k]->waiting_beneath_count == 0);
        MODEL_CHECK(plain(&all[k]->peak_bytes) < plain(&all[k]->record_due_bytes));
        MODEL_CHECK(!all[k]->to_be_recorded);
    }
    for (int i = 0; i <= NO_THREAD; i++)
        if (held_bytes[i] != 0)
            release(i);
    aegis_budget_destroy(leaf);
    aegis_budget_destroy(middle);
    MODEL_CHECK(used(root) == 0 && plain(&root->reserved_bytes) == 0);
    MODEL_CHECK(root->gate.sessions == NULL && root->gate.to_be_served == NULL);
    aegis_budget_destroy(root);
}

/* A full budget: two threads wait, and one makes room without knowing of them. */
static void begin_full(void) {
    make(AEGIS_BUDGET_UNLIMITED, LIMIT_BYTES);
    in_order = true;
}

static void thread_full(int number) {
    if (number == 0)
        release(NO_THREAD);
    else
        pass(number, number == 1 ? &leaf : &root, number == 1 ? 6 : 7);
}

/* A large request beside small ones that come again and again. */
static void begin_large(void) {
    make(AEGIS_BUDGET_UNLIMITED, 5);
    in_order = true;
}

static void thread_large(int number) {
    if (number == 0) {
        pass(0, &leaf, LIMIT_BYTES);
        return;
    }
    if (number == 1) {
        release(NO_THREAD);
        return;
    }
    const aegis_i_budget_waiter *first = queue_length != 0 ? queue[0] : NULL;
    if (charge(2, &root, 3, 0) == AEGIS_OK) {
        /* It has not gone by one that had been waiting before. */
        MODEL_CHECK(first == NULL || root->first_waiter != first);
        release(2);
    }
}

/* Charges and uncharges without the gate, while a request comes and goes. */
static void begin_freeze(void) {
    make(AEGIS_BUDGET_UNLIMITED, 2);
    record(true);
}

static void thread_freeze(int number) {
    if (number == 0)
        pass(0, &root, 8);
    else if (charge(number, number == 1 ? &leaf : &root, 4, 0) == AEGIS_OK)
        release(number);
}

/* The same, and what was charged stays. */
static void thread_freeze_held(int number) {
    if (number == 0)
        (void)charge(0, &root, 8, 1);
    else
        (void)charge(number, number == 1 ? &leaf : &root, 4, 0);
}

static void begin_freeze_held(void) {
    make(AEGIS_BUDGET_UNLIMITED, 2);
    record(true);
    model_short_waits = 1;
}

/* A time-out beside a grant. The request behind it has room in any case. */
static void begin_timeout(void) {
    make(AEGIS_BUDGET_UNLIMITED, 5);
    model_short_waits = 1;
}

static void thread_timeout(int number) {
    if (number == 0) {
        aegis_status status = charge(0, &leaf, 8, 1);
        MODEL_CHECK(status == AEGIS_OK || status == AEGIS_E_LIMIT_EXCEEDED);
        if (status == AEGIS_OK)
            release(0);
    } else if (number == 1) {
        pass(1, &root, 2);
    } else {
        MODEL_CHECK(aegis_budget_uncharge(root, 3) == AEGIS_OK);
        held_bytes[NO_THREAD] -= 3;
    }
}

/* Nobody makes room: only the end of the first request's time does. */
static void thread_timeout_alone(int number) {
    if (number != 2)
        thread_timeout(number);
}

/* Closing beside a grant. */
static void thread_close(int number) {
    if (number == 0) {
        aegis_status status = charge(0, &leaf, 8, AEGIS_WAIT_FOREVER);
        MODEL_CHECK(status == AEGIS_OK || status == AEGIS_E_CLOSED);
    } else if (number == 1) {
        pass(1, &root, 2);
    } else {
        aegis_budget_close(middle);
        MODEL_CHECK(aegis_budget_charge(leaf, 1, NULL) == AEGIS_E_CLOSED);
    }
}

static void begin_close(void) {
    make(AEGIS_BUDGET_UNLIMITED, 5);
}

static void thread_close_or_grant(int number) {
    if (number == 1)
        release(NO_THREAD);
    else
        thread_close(number);
}

/* A request that waits at the root, while another one wants what the middle has promised to it. */
static void begin_promise(void) {
    make(9, 5);
}

static void thread_promise(int number) {
    if (number == 0)
        pass(0, &leaf, 6);
    else if (number == 1)
        release(NO_THREAD);
    else
        pass(2, &middle, 4);
}

/* A limit that is lowered below what a request that waits would bring the use to, and raised again.
 * One byte of the leaf is in use throughout. */
static void begin_limit(void) {
    make(AEGIS_BUDGET_UNLIMITED, 5);
    MODEL_CHECK(aegis_budget_charge(leaf, 1, NULL) == AEGIS_OK);
    limit_falls = true;
}

static void thread_limit(int number) {
    if (number == 0) {
        pass(0, &leaf, 6);
    } else if (number == 1) {
        release(NO_THREAD);
    } else {
        aegis_budget_set_limit(leaf, 6);
        aegis_budget_set_limit(leaf, 7);
    }
}

static void end_limit(void) {
    MODEL_CHECK(aegis_budget_uncharge(leaf, 1) == AEGIS_OK);
    end();
}

/* A guarantee that is set beside charges. */
static void thread_guarantee(int number) {
    if (number == 0) {
        if (aegis_budget_set_guarantee(middle, 5, NULL) != AEGIS_OK)
            return;
        MODEL_CHECK(charge(0, &leaf, 5, 0) == AEGIS_OK);
        release(0);
        MODEL_CHECK(aegis_budget_set_guarantee(middle, 0, NULL) == AEGIS_OK);
    } else if (charge(number, &root, 2 + (size_t)number, 0) == AEGIS_OK) {
        release(number);
    }
}

static void begin_guarantee(void) {
    make(AEGIS_BUDGET_UNLIMITED, 1);
}

static aegis_budget_reclaimer *reclaimer;
static size_t cached_bytes;
static size_t freed_bytes;
static int running_count;
static int destroy_count;

/* Frees whole pages, so one call frees what two threads need. */
#define PAGE_BYTES 6

static size_t give_back(void *context, size_t wanted_bytes) {
    (void)context;
    size_t size_bytes = wanted_bytes > PAGE_BYTES ? wanted_bytes : PAGE_BYTES;
    if (size_bytes > cached_bytes)
        size_bytes = cached_bytes;
    MODEL_CHECK(destroy_count == 0);
    running_count++;
    cached_bytes -= size_bytes;
    freed_bytes += size_bytes;
    MODEL_CHECK(aegis_budget_uncharge(middle, size_bytes) == AEGIS_OK);
    running_count--;
    return size_bytes;
}

static void note_destroyed(void *context) {
    (void)context;
    MODEL_CHECK(running_count == 0);
    destroy_count++;
}

static void begin_reclaim(void) {
    make(AEGIS_BUDGET_UNLIMITED, 0);
    cached_bytes = LIMIT_BYTES;
    freed_bytes = 0;
    destroy_count = running_count = 0;
    MODEL_CHECK(aegis_budget_charge(middle, LIMIT_BYTES, NULL) == AEGIS_OK);
    MODEL_CHECK(aegis_budget_on_reclaim(middle, 0, 0, give_back, note_destroyed, NULL,
                                        &reclaimer) == AEGIS_OK);
}

/* Both get their bytes. */
static void thread_reclaim(int number) {
    MODEL_CHECK(charge(number, &root, 3, 0) == AEGIS_OK);
}

static void end_reclaim(void) {
    MODEL_CHECK(freed_bytes == PAGE_BYTES);
    MODEL_CHECK(aegis_budget_uncharge(middle, cached_bytes) == AEGIS_OK);
    aegis_budget_reclaimer_remove(reclaimer);
    MODEL_CHECK(destroy_count == 1);
    end();
}

/* Two threads wait for what the cache has, and the cache grows by parts. What the reclaimer cannot
 * free, because the cache does not know of a part yet, leaves enough room for each. */
#define PART_BYTES 4

static void thread_refill(int number) {
    if (number != 2) {
        pass(number, &root, LIMIT_BYTES - PART_BYTES);
        return;
    }
    for (int i = 0; i < 2; i++)
        if (aegis_budget_charge(middle, PART_BYTES, NULL) == AEGIS_OK)
            cached_bytes += PART_BYTES;
}

static void end_refill(void) {
    MODEL_CHECK(aegis_budget_uncharge(middle, cached_bytes) == AEGIS_OK);
    aegis_budget_reclaimer_remove(reclaimer);
    end();
}

/* A cache that grows by so much at once that a request which does not find it there has no room. */
static void thread_notify(int number) {
    if (number == 0) {
        pass(0, &leaf, PAGE_BYTES);
    } else if (aegis_budget_charge(middle, PAGE_BYTES, NULL) == AEGIS_OK) {
        cached_bytes += PAGE_BYTES;
        aegis_budget_reclaimer_notify(reclaimer);
    }
}

static void begin_notify(void) {
    begin_reclaim();
    cached_bytes = 0;
    MODEL_CHECK(aegis_budget_uncharge(middle, LIMIT_BYTES) == AEGIS_OK);
}

static void thread_remove(int number) {
    if (number == 0)
        (void)charge(0, &root, 3, 0);
    else
        aegis_budget_reclaimer_remove(reclaimer);
}

static void end_remove(void) {
    MODEL_CHECK(destroy_count == 1 && (freed_bytes == 0 || freed_bytes == PAGE_BYTES));
    MODEL_CHECK((held_bytes[0] != 0) == (freed_bytes != 0));
    MODEL_CHECK(aegis_budget_uncharge(middle, cached_bytes) == AEGIS_OK);
    end();
}

int main(void) {
    static const model_scenario scenarios[] = {
        {"a full budget", begin_full, thread_full, end, 3, 2, observe},
        {"a large request", begin_large, thread_large, end, 3, 2, observe},
        {"with and without the gate", begin_freeze, thread_freeze, end, 3, 2, observe},
        {"with and without the gate, held", begin_freeze_held, thread_freeze_held, end, 3, 2,
         observe},
        {"a time-out", begin_timeout, thread_timeout, end, 3, 2, observe},
        {"a time-out alone", begin_timeout, thread_timeout_alone, end, 3, 2, observe},
        {"a closed budget", begin_close, thread_close, end, 3, 2, observe},
        {"a closed budget or a grant", begin_close, thread_close_or_grant, end, 3, 2, observe},
        {"a promise", begin_promise, thread_promise, end, 3, 2, observe},
        {"a lowered limit", begin_limit, thread_limit, end_limit, 3, 2, observe},
        {"a guarantee", begin_guarantee, thread_guarantee, end, 3, 2, observe},
        {"one need of two", begin_reclaim, thread_reclaim, end_reclaim, 2, 3, observe},
        {"a cache that grows again", begin_reclaim, thread_refill, end_refill, 3, 2, observe},
        {"a cache that can free more", begin_notify, thread_notify, end_refill, 2, 3, observe},
        {"a reclaimer that goes", begin_reclaim, thread_remove, end_remove, 2, 3, observe},
    };
    return model_explore_all(scenarios, sizeof scenarios / sizeof *scenarios);
}
