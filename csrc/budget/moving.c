/* SPDX-License-Identifier: Apache-2.0 */
/* Moves out of guarantees, under the gate. A budget whose guarantee covered bytes goes on claiming
 * them when they have left, and the other side claims them too. So the common ancestor must have
 * room for the difference, from the beginning of the move to its end.
 *
 * Invariants:
 * 1. From the beginning of a move to its end, each budget from the old one up to the common
 * ancestor counts the bytes in `moving_bytes` (set_moving). What a budget claims is then at least
 * its guarantee plus these bytes (claim_with in gated.h). So the claim of the old side is, at once,
 *    what it will be after the move, plus the bytes themselves.
 * 2. At the beginning one hold of the gate does three things: it compares the difference with the
 *    room of the common ancestor and of those above, charges the new side, and raises the claims of
 *    the old side (aegis_i_gate_begin_move). The common ancestor's own bytes do not change, so its
 *    total grows by just the difference. The charge comes first, because raised claims would take
 *    from the fair share of the new side.
 * 3. At the end, one hold of the gate takes the bytes out of `moving_bytes` and off the old side.
 * The claim of the old side falls by as many bytes as it has less in use, so no total of the common
 *    ancestor or above changes. A cancelled move undoes both of 2 in one hold of the gate.
 * 4. As long as a move is counted, the budgets of its way and all ancestors stay gated
 *    (must_be_gated in gate.c), so they are the same at the end.
 *
 * So the total of a common ancestor changes at the beginning of the move alone, by a difference for
 * which it had room: however many moves are under way, no guarantee and no limit is broken by them.
 *
 * Bound: a move is not counted if there was no guarantee beneath the common ancestor when it began.
 * If `from` or a budget above it is given a guarantee before such a move ends, the guarantee covers
 * bytes that then leave, and the total of the common ancestor may be above its limit by these
 * bytes. It then refuses all charges until bytes are given back. */
#if !defined(_WIN32) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* for condition.h */
#endif

#include "moving.h"
#include "gated.h"

/* What is claimed more of `stop` when the bytes are charged to a budget beneath it, or to itself.
 */
static size_t claim_rise(const aegis_budget *budget, const aegis_budget *stop, size_t size_bytes) {
    size_t claim_bytes = size_bytes;
    for (; budget != stop; budget = budget->parent)
        if (is_gated(budget))
            claim_bytes = claim_growth(budget, growth_of(budget, size_bytes, claim_bytes));
    return claim_bytes;
}

/* What is claimed less of `stop` when the bytes are uncharged. */
static size_t claim_fall(const aegis_budget *budget, const aegis_budget *stop, size_t size_bytes) {
    size_t claim_bytes = size_bytes;
    for (; budget != stop; budget = budget->parent)
        if (is_gated(budget)) {
            size_t total_bytes = total_of(budget);
            claim_bytes = claim_of(budget, total_bytes) -
                          claim_of(budget, difference_of(total_bytes, claim_bytes));
        }
    return claim_bytes;
}

/* Begins or ends to count the bytes of a move out of the budgets of its old side. */
static void set_moving(aegis_i_move *move, bool counted) {
    if (counted) {
        aegis_i_gate_freeze(renew(move->from));
        aegis_i_gate_guard(move->from, true);
    }
    for (aegis_budget *node = move->from; node != move->stop; node = node->parent) {
        size_t claim_bytes = aegis_i_gate_claim(renew(node));
        node->moving_bytes += counted ? move->size_bytes : 0 - move->size_bytes;
        aegis_i_gate_shift_claim(node, claim_bytes, false);
    }
    if (!counted)
        aegis_i_gate_guard(move->from, false);
    move->counted = counted;
}

aegis_budget *aegis_i_gate_begin_move(aegis_i_path *path, aegis_budget *to, aegis_i_move *move,
                                      size_t size_bytes, const aegis_i_budget_waiter *self,
                                      aegis_i_refusal *why) {
    aegis_budget *stop = aegis_i_stop_of(move);
    if (!aegis_i_move_may_be_counted(move) || stop->guarded_count == 0)
        return aegis_i_gate_charge(path, to, stop, size_bytes, self, why);
    size_t more_bytes =
        difference_of(claim_rise(to, stop, size_bytes), claim_fall(move->from, stop, size_bytes));
    aegis_budget *refusing = NULL;
    if (self != &aegis_i_gate_back)
        refusing = aegis_i_gate_refuses_claim(stop, more_bytes, why);
    if (refusing == NULL)
        refusing = aegis_i_gate_charge(path, to, stop, size_bytes, self, why);
    if (refusing == NULL)
        set_moving(move, true);
    return refusing;
}

aegis_status aegis_i_gate_end_move(aegis_i_move *move, bool cancelled) {
    aegis_budget *budget = cancelled ? move->to : move->from;
    bool has_bytes = budget == move->stop || aegis_i_budget_used(budget) >= move->size_bytes;
    if (!has_bytes && !cancelled)
        return AEGIS_E_INVALID;
    set_moving(move, false);
    if (has_bytes && budget != move->stop)
        aegis_i_gate_uncharge(budget, NULL, move->stop, move->size_bytes);
    return AEGIS_OK;
}
