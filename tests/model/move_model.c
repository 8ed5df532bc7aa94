/* SPDX-License-Identifier: Apache-2.0 */
/* The memory of buffers that moves between budgets, under the systematic scheduler. What is
 * checked:
 *  - Of several moves of one buffer at the same time, each is made or fails at once. What is above
 *    all budgets of the moves has the bytes once throughout.
 *  - The release finds the budget that the last move has charged, and each budget gets back as many
 *    references as it gave.
 *  - Bytes that come back to a budget are in it and in all budgets above, whether these are counted
 *    under the gate or without it, and become the one or the other meanwhile. */
#include "aegis_memory/buffer.h"
#include "budget/charge.h"
#include "budget/state.h"
#include "plain_system.h"

#define LEAVES 2
#define SPARE_REFERENCES 8
#define BACK_BYTES 6

static aegis_budget *root, *leaves[LEAVES];
static aegis_buffer views[MODEL_MAX_THREADS];
static size_t buffer_bytes;
/* What the root has in use at least: bytes that have come, and that no thread takes away yet. */
static size_t held_bytes;

static size_t plain(const _Atomic size_t *counter) {
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static size_t used(const aegis_budget *budget) {
    size_t bytes = plain(&budget->used_bytes);
    return bytes <= AEGIS_I_COUNTER_MAX ? bytes : plain(&budget->held_bytes);
}

static aegis_budget *budget_of(int which) {
    return which == 0 ? root : leaves[which - 1];
}

static void make(size_t limit_bytes) {
    model_now_ns = 1;
    model_short_waits = 0;
    held_bytes = 0;
    root = aegis_budget_new("root", limit_bytes, NULL);
    for (size_t i = 0; i < LEAVES; i++)
        leaves[i] = aegis_budget_new("leaf", AEGIS_BUDGET_UNLIMITED, root);
}

static void take_apart(void) {
    for (size_t i = 0; i < LEAVES; i++)
        aegis_budget_destroy(leaves[i]);
    aegis_budget_destroy(root);
}

/* Threads move the memory of one buffer by their own handles, and release them. */
static void begin_buffer(void) {
    make(1000);
    /* Spare references, so that a wrong count is seen at the end and frees nothing before. */
    for (int i = 0; i < SPARE_REFERENCES; i++)
        (void)aegis_budget_retain(budget_of(i % 3));
    MODEL_CHECK(aegis_buffer_copy(&views[0], "text", 4, leaves[0], NULL) == AEGIS_OK);
    buffer_bytes = used(root);
    for (int i = 1; i < 3; i++)
        MODEL_CHECK(aegis_buffer_retain(&views[0], &views[i]) == AEGIS_OK);
}

static void thread_buffer(int number) {
    if (number != 2) {
        aegis_status status =
            aegis_buffer_move_budget(&views[number], number == 0 ? leaves[1] : root, NULL);
        MODEL_CHECK(status == AEGIS_OK || status == AEGIS_E_BUSY);
        MODEL_CHECK(used(root) == buffer_bytes);
    }
    MODEL_CHECK(aegis_buffer_release(&views[number]) == AEGIS_OK);
}

static void end_buffer(void) {
    MODEL_CHECK(used(root) == 0 && used(leaves[0]) == 0 && used(leaves[1]) == 0);
    /* The root has references of its leaves too. */
    MODEL_CHECK(root->reference_count == 1 + LEAVES + 3);
    MODEL_CHECK(leaves[0]->reference_count == 1 + 3 && leaves[1]->reference_count == 1 + 2);
    for (int i = 0; i < SPARE_REFERENCES; i++)
        aegis_budget_destroy(budget_of(i % 3));
    take_apart();
}

/* -- bytes that come back -- */

static void observe_back(void) {
    MODEL_CHECK(used(root) >= held_bytes);
    /* A leaf never has bytes that the root has not. Between two steps under the gate it may. */
    MODEL_CHECK(root->gate.mutex.locked != 0 || used(leaves[0]) + used(leaves[1]) <= used(root));
}

static void come_back(void) {
    aegis_i_budget_charge_back(leaves[0], NULL, BACK_BYTES);
    held_bytes += BACK_BYTES;
}

static void go(void) {
    held_bytes -= BACK_BYTES;
    MODEL_CHECK(aegis_budget_uncharge(leaves[0], BACK_BYTES) == AEGIS_OK);
}

/* The root is nearly full, so that the bytes come back above its limit. */
static void begin_back(void) {
    make(10);
    MODEL_CHECK(aegis_budget_charge(leaves[1], 8, NULL) == AEGIS_OK);
    held_bytes = 8;
}

static void charge_two(void) {
    if (aegis_budget_charge(root, 2, NULL) == AEGIS_OK)
        MODEL_CHECK(aegis_budget_uncharge(root, 2) == AEGIS_OK);
}

/* Beside charges without the gate. */
static void thread_back(int number) {
    if (number == 2) {
        charge_two();
        return;
    }
    come_back();
    if (number == 0)
        go();
}

/* Beside a guarantee, which makes all budgets gated and open again. */
static void thread_back_gated(int number) {
    if (number == 0) {
        come_back();
    } else if (number == 1) {
        if (aegis_budget_set_guarantee(leaves[0], 2, NULL) == AEGIS_OK)
            MODEL_CHECK(aegis_budget_set_guarantee(leaves[0], 0, NULL) == AEGIS_OK);
    } else {
        charge_two();
    }
}

/* A request waits at the root. It gets its room when the bytes that came back are gone. */
static void begin_back_queue(void) {
    make(10);
    MODEL_CHECK(aegis_budget_charge(leaves[1], 1, NULL) == AEGIS_OK);
    held_bytes = 1;
}

static void thread_back_queue(int number) {
    if (number == 0) {
        come_back();
        go();
    } else {
        size_t size_bytes = number == 1 ? 9 : 3;
        aegis_budget *budget = number == 1 ? leaves[0] : root;
        MODEL_CHECK(aegis_budget_charge_timeout(budget, size_bytes, AEGIS_WAIT_FOREVER, NULL) ==
                    AEGIS_OK);
        MODEL_CHECK(aegis_budget_uncharge(budget, size_bytes) == AEGIS_OK);
    }
}

static void end_back(void) {
    size_t left_bytes = used(leaves[0]), other_bytes = used(leaves[1]);
    MODEL_CHECK(left_bytes == 0 || left_bytes == BACK_BYTES);
    MODEL_CHECK(used(root) == held_bytes && left_bytes + other_bytes == held_bytes);
    MODEL_CHECK(root->reserved_bytes == 0);
    MODEL_CHECK(root->peak_bytes >= held_bytes && leaves[0]->peak_bytes >= BACK_BYTES);
    MODEL_CHECK(aegis_budget_uncharge(leaves[0], left_bytes) == AEGIS_OK);
    MODEL_CHECK(aegis_budget_uncharge(leaves[1], other_bytes) == AEGIS_OK);
    MODEL_CHECK(used(root) == 0);
    take_apart();
}

int main(void) {
    static const model_scenario scenarios[] = {
        {"moves of one buffer", begin_buffer, thread_buffer, end_buffer, 3, 3, NULL},
        {"bytes that come back", begin_back, thread_back, end_back, 3, 3, observe_back},
        {"bytes that come back beside the gate", begin_back, thread_back_gated, end_back, 3, 2,
         observe_back},
        {"bytes that come back past a queue", begin_back_queue, thread_back_queue, end_back, 3, 2,
         observe_back},
    };
    return model_explore_all(scenarios, sizeof scenarios / sizeof *scenarios);
}
