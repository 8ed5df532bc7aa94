/* SPDX-License-Identifier: Apache-2.0 */
/* The memory of buffers that moves between budgets, under the systematic scheduler. What is
 * checked:
 *  - Of several moves of one buffer at the same time, each is made or fails at once. What is above
 *    all budgets of the moves has the bytes once throughout.
 *  - The release finds the budget that the last move has charged, and each budget gets back as many
 *    references as it gave.
 *  - Moves out of a guarantee, however many at the same time, keep the total of the budget above
 *    within its limit, and no other charge takes what they need. A move that is refused, or ends
 *    refused, leaves nothing.
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

/* -- moves out of a guarantee -- */

#define GUARANTEE 4
#define MOVED_BYTES 2
#define LOST_BYTES 3
#define MOVE_LIMIT 11

static size_t moved_count;

/* What is in use and what guarantees keep free, of a budget that is under the gate. */
static size_t total(const aegis_budget *budget) {
    return plain(&budget->held_bytes) + plain(&budget->reserved_bytes);
}

/* Between two steps under the gate the numbers do not fit together. */
static void observe_guarantee(void) {
    if (root->gate.mutex.locked != 0)
        return;
    MODEL_CHECK(total(root) <= MOVE_LIMIT);
    size_t free_bytes = GUARANTEE > used(leaves[0]) ? GUARANTEE - used(leaves[0]) : 0;
    MODEL_CHECK(used(root) + free_bytes <= MOVE_LIMIT + leaves[0]->moving_bytes);
}

/* The guarantee is used in full. There is room for what one move leaves unused of it, and not for
 * two of them. */
static void begin_guarantee(void) {
    make(MOVE_LIMIT);
    moved_count = 0;
    MODEL_CHECK(aegis_budget_set_guarantee(leaves[0], GUARANTEE, NULL) == AEGIS_OK);
    MODEL_CHECK(aegis_budget_charge(leaves[0], GUARANTEE, NULL) == AEGIS_OK);
    MODEL_CHECK(aegis_budget_charge(root, MOVE_LIMIT - GUARANTEE - 3, NULL) == AEGIS_OK);
}

static void move_two(aegis_budget *to) {
    aegis_status status = aegis_budget_move(leaves[0], to, MOVED_BYTES, NULL);
    MODEL_CHECK(status == AEGIS_OK || status == AEGIS_E_LIMIT_EXCEEDED);
    moved_count += status == AEGIS_OK;
}

static void thread_guarantee(int number) {
    move_two(number == 0 ? leaves[1] : root);
}

/* What is left of a guarantee ends with it. */
static void end_terms(void) {
    size_t guaranteed_bytes = plain(&leaves[0]->guaranteed_bytes), left_bytes = used(leaves[0]);
    MODEL_CHECK(leaves[0]->moving_bytes == 0 && root->guarded_count == 1);
    MODEL_CHECK(plain(&root->reserved_bytes) ==
                (guaranteed_bytes > left_bytes ? guaranteed_bytes - left_bytes : 0));
    MODEL_CHECK(aegis_budget_set_guarantee(leaves[0], 0, NULL) == AEGIS_OK);
    MODEL_CHECK(plain(&root->reserved_bytes) == 0 && root->guarded_count == 0);
    MODEL_CHECK(plain(&root->used_bytes) == used(root));
    MODEL_CHECK(aegis_budget_uncharge(leaves[0], used(leaves[0])) == AEGIS_OK);
    MODEL_CHECK(aegis_budget_uncharge(leaves[1], used(leaves[1])) == AEGIS_OK);
    MODEL_CHECK(aegis_budget_uncharge(root, used(root)) == AEGIS_OK);
    take_apart();
}

static void end_moved(void) {
    MODEL_CHECK(used(leaves[0]) == GUARANTEE - MOVED_BYTES * moved_count);
    end_terms();
}

static void end_guarantee(void) {
    MODEL_CHECK(moved_count == 1);
    end_moved();
}

/* Beside charges to the root, which may take the room before the move, but not during it. */
static void thread_guarantee_charged(int number) {
    if (number == 0)
        move_two(leaves[1]);
    else
        (void)aegis_budget_charge(root, MOVED_BYTES, NULL);
}

/* Beside a thread that gives back some of the bytes. One of the two threads gets them. */
static void thread_guarantee_lost(int number) {
    if (number == 0) {
        aegis_status status = aegis_budget_move(leaves[0], leaves[1], LOST_BYTES, NULL);
        MODEL_CHECK(status == AEGIS_OK || status == AEGIS_E_INVALID);
        moved_count += status == AEGIS_OK;
    } else if (aegis_budget_uncharge(leaves[0], MOVED_BYTES) == AEGIS_OK) {
        /* The guarantee covers them. */
        MODEL_CHECK(aegis_budget_charge(leaves[0], MOVED_BYTES, NULL) == AEGIS_OK);
    }
}

static void end_lost(void) {
    MODEL_CHECK(used(leaves[1]) == LOST_BYTES * moved_count);
    MODEL_CHECK(used(leaves[0]) == GUARANTEE - LOST_BYTES * moved_count);
    end_terms();
}

/* Beside a guarantee that is raised during the move. It does not cover what is on the move, and
 * there is no room for both. */
static void begin_guaranteed(void) {
    begin_guarantee();
    MODEL_CHECK(aegis_budget_set_guarantee(leaves[0], 1, NULL) == AEGIS_OK);
    MODEL_CHECK(aegis_budget_charge(root, 2, NULL) == AEGIS_OK);
}

static void thread_guaranteed(int number) {
    if (number == 0)
        move_two(leaves[1]);
    else
        (void)aegis_budget_set_guarantee(leaves[0], GUARANTEE, NULL);
}

static void observe_guaranteed(void) {
    MODEL_CHECK(root->gate.mutex.locked != 0 || total(root) <= MOVE_LIMIT);
}

int main(void) {
    static const model_scenario scenarios[] = {
        {"moves of one buffer", begin_buffer, thread_buffer, end_buffer, 3, 3, NULL},
        {"bytes that come back", begin_back, thread_back, end_back, 3, 3, observe_back},
        {"bytes that come back beside the gate", begin_back, thread_back_gated, end_back, 3, 2,
         observe_back},
        {"bytes that come back past a queue", begin_back_queue, thread_back_queue, end_back, 3, 2,
         observe_back},
        {"moves out of a guarantee", begin_guarantee, thread_guarantee, end_guarantee, 2, 4,
         observe_guarantee},
        {"a move out of a guarantee beside charges", begin_guarantee, thread_guarantee_charged,
         end_moved, 3, 2, observe_guarantee},
        {"a move of bytes that are given back", begin_guarantee, thread_guarantee_lost, end_lost, 2,
         3, observe_guarantee},
        {"a guarantee beside a move", begin_guaranteed, thread_guaranteed, end_terms, 2, 4,
         observe_guaranteed},
    };
    return model_explore_all(scenarios, sizeof scenarios / sizeof *scenarios);
}
