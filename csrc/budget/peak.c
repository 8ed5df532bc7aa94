/* SPDX-License-Identifier: Apache-2.0 */
/* Peaks that are read and begun anew in one step, with the record of who made them.
 *
 * The peak of a budget is the peak of a period. The period ends where aegis_budget_take_peak
 * exchanges the peak, and the next period begins there. The use and the peak are two words, so a
 * charge may add its bytes before the exchange and raise the peak after it, or the other way round.
 *
 * Invariants:
 * 1. A successful charge first adds its bytes to the use, and then raises the peak to what its
 *    addition made of the use (charge_open, charge_regardless_open, aegis_i_gate_charge).
 * 2. The peak changes only by a compare-and-swap to a higher value, and by the exchange
 *    (aegis_i_peak_rise, aegis_budget_take_peak).
 * 3. After the exchange the taking thread reads the use by an operation that also writes it, and
 *    raises the peak to that (aegis_budget_take_peak). The operation has the order release, the
 *    additions of charges have the order acquire, and whatever changes the use in between reads it
 *    and writes it in one operation (invariant 1 of charge.c).
 * 4. The gate is held from the exchange to the end of 3, so no other thread takes the peak in
 *    between. A child process in which the gate is broken does without it. Charges to a gated
 *    budget are made with the gate, and so is their step of 1.
 * 5. The record of the new period is made while the lock of the budget is held, which is taken
 *    before the exchange (invariants 1 and 3 of peak_record.c).
 *
 * So a charge raises the peak either before the exchange or after it, and is in that period (2). If
 * it only sees that the peak is high enough, then it is in the period of the peak that it has seen.
 * Bytes that are held when a period begins are in its peak too. If they were added before the
 * operation of 3, the taking thread sees them there. If they were added after it, that addition
 * reads what the operation has written, and so the charge sees the exchange before it looks at the
 * peak: it raises the peak of the new period by itself. The gate does the same for gated budgets.
 */
#if !defined(_WIN32) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* for condition.h */
#endif

#include "gate.h"
#include "peak_record.h"

size_t aegis_budget_take_peak(aegis_budget *budget) {
    bool has_gate = aegis_i_gate_enter(budget);
    bool locked = aegis_i_mutex_lock(&budget->lock);
    bool recorded = locked && budget->recorded;
    if (recorded)
        aegis_i_store(&budget->record_due_bytes, 0, memory_order_relaxed);
    size_t used_bytes = aegis_i_budget_used(budget);
    /* Release pairs with the acquire in aegis_i_peak_rise. */
    size_t peak_bytes = aegis_i_exchange(&budget->peak_bytes, used_bytes, memory_order_release);
    /* Release pairs with the acquire of aegis_i_counter_add. */
    used_bytes = aegis_i_add(&budget->used_bytes, 0, memory_order_release);
    if (used_bytes > AEGIS_I_COUNTER_MAX)
        used_bytes = aegis_i_budget_used(budget);
    (void)aegis_i_peak_rise(budget, used_bytes);
    if (recorded)
        aegis_i_renew_record(budget);
    if (locked)
        aegis_i_mutex_unlock(&budget->lock);
    if (has_gate)
        aegis_i_gate_leave(budget);
    return peak_bytes;
}
