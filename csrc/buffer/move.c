/* SPDX-License-Identifier: Apache-2.0 */
/* Charging the memory of a buffer to another budget: what is the same for all kinds of owners. The
 * argument is in move.h. */
#include "move.h"
#include "../base/error_record.h"
#include "../budget/move.h"

bool aegis_i_buffer_begin_move(aegis_i_charged_owner *memory, uintptr_t *seen, aegis_error *error) {
    *seen = aegis_i_load(&memory->charged, memory_order_relaxed);
    do {
        if ((*seen & AEGIS_I_CHARGED_MOVING) != 0) {
            (void)aegis_i_buffer_refuse(error, AEGIS_E_BUSY, AEGIS_WHAT_MOVE,
                                        memory->owner.retained_bytes);
            return false;
        }
        /* Acquire pairs with the release in aegis_i_buffer_end_move: what an earlier mover did is
         * seen. */
    } while (!aegis_i_cas_weak(&memory->charged, seen, *seen | AEGIS_I_CHARGED_MOVING,
                               memory_order_acquire, memory_order_relaxed));
    return true;
}

aegis_status aegis_i_buffer_charge(aegis_i_patience *patience, size_t size_bytes, uintptr_t *word,
                                   aegis_i_refusal *why) {
    uint64_t wait_ns = patience->wait_ns;
    const aegis_i_refusal none = *why;
    for (;;) {
        /* The new budget has refused nothing yet, and the time that was waited counts. */
        if (patience->wait_ns != AEGIS_I_OPTIONAL)
            wait_ns = patience->wait_ns;
        aegis_budget *budget = *patience->place;
        /* With the reference of the word the budget is alive throughout. */
        *word = aegis_i_charged_to(budget);
        *why = none;
        patience->wait_ns = wait_ns;
        aegis_status status = aegis_i_budget_charge_patiently(budget, size_bytes, patience, why);
        bool moved = *patience->place != budget;
        if (status == AEGIS_OK && !moved)
            return AEGIS_OK;
        if (status == AEGIS_OK)
            (void)aegis_budget_uncharge(budget, size_bytes);
        aegis_budget_destroy(budget);
        if (!moved)
            return status;
    }
}

void aegis_i_buffer_uncharge(uintptr_t word, size_t size_bytes) {
    aegis_budget *budget = (aegis_budget *)(word & ~AEGIS_I_CHARGED_AWAY);
    (void)aegis_budget_uncharge(budget, size_bytes);
    aegis_budget_destroy(budget);
}

aegis_status aegis_i_buffer_exchange(aegis_i_charged_owner *memory, aegis_budget *home,
                                     void (*release)(aegis_buffer_owner *owner),
                                     aegis_budget *budget, aegis_error *error) {
    size_t size_bytes = memory->owner.retained_bytes;
    uintptr_t word;
    if (!aegis_i_buffer_begin_move(memory, &word, error))
        return AEGIS_E_BUSY;
    bool away = (word & AEGIS_I_CHARGED_AWAY) != 0;
    aegis_budget *old = away ? (aegis_budget *)(word & ~AEGIS_I_CHARGED_AWAY) : NULL;
    aegis_i_refusal why = {AEGIS_OK, AEGIS_REFUSED_LIMIT, NULL, 0, 0, 0};
    aegis_status status = aegis_i_budget_move(away ? old : home, budget, size_bytes, &why);
    if (status == AEGIS_OK) {
        word = aegis_i_charged_to(budget);
        if (release != NULL)
            memory->owner.release = release;
    }
    aegis_i_buffer_end_move(memory, word);
    if (status != AEGIS_OK)
        return aegis_i_explain_move(&why, size_bytes, error);
    aegis_budget_destroy(old);
    return AEGIS_OK;
}

static aegis_status move(aegis_buffer_owner *owner, aegis_budget *budget, aegis_error *error) {
    if (owner == NULL || (owner->flags & AEGIS_I_BUFFER_CHARGED) == 0)
        return AEGIS_OK;
    const aegis_i_owner_kind *kind = ((const aegis_i_charged_owner *)(const void *)owner)->kind;
    return kind != NULL ? kind->move(owner, budget, error) : AEGIS_OK;
}

aegis_status aegis_buffer_move_budget(const aegis_buffer *buffer, aegis_budget *budget,
                                      aegis_error *error) {
    assert(aegis_i_buffer_is_valid(buffer));
    if (buffer->data == NULL)
        return aegis_i_buffer_refuse(error, AEGIS_E_INVALID, AEGIS_WHAT_HANDLE, 0);
    return move(buffer->owner, budget, error);
}

aegis_status aegis_buffer_mut_move_budget(const aegis_buffer_mut *writer, aegis_budget *budget,
                                          aegis_error *error) {
    assert(aegis_i_buffer_mut_is_valid(writer));
    if (writer->data == NULL)
        return aegis_i_buffer_refuse(error, AEGIS_E_INVALID, AEGIS_WHAT_HANDLE, 0);
    return move(writer->owner, budget, error);
}
