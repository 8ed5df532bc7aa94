/* SPDX-License-Identifier: Apache-2.0 */
/* The peak of a budget, which charges raise, and the record of who made it: see peak_record.c. Not
 * installed. */
#ifndef AEGIS_MEMORY_I_BUDGET_PEAK_RECORD_H
#define AEGIS_MEMORY_I_BUDGET_PEAK_RECORD_H

#include "state.h"
#include "../base/port.h"

/* Records what the largest consumers hold, if the peak has come so high that the record is due. The
 * caller holds the lock of no budget. */
AEGIS_I_HIDDEN AEGIS_I_COLD void aegis_i_record_peak(aegis_budget *budget);
/* Makes the first record of a new period. The caller holds the budget's lock. */
AEGIS_I_HIDDEN void aegis_i_renew_record(aegis_budget *budget);
/* Prepares a budget for its first child. The caller holds the budget's lock, and the gate if it can
 * be had. */
AEGIS_I_HIDDEN void aegis_i_peak_first_child(aegis_budget *budget);
/* Raises the peaks of a way that was charged under the gate, which the caller has. */
AEGIS_I_HIDDEN void aegis_i_raise_peaks(const aegis_i_path *path, size_t size_bytes);
/* Makes the records that are due because of aegis_i_raise_peaks. The caller has the gate, and holds
 * the lock of no budget. */
AEGIS_I_HIDDEN void aegis_i_record_peaks(aegis_i_gate *gate);

/* Raises the peak to the use that an addition has made, if it is lower. Returns whether it was. */
static inline bool aegis_i_peak_rise(aegis_budget *budget, size_t used_bytes) {
    size_t peak_bytes = aegis_i_load(&budget->peak_bytes, memory_order_relaxed);
    /* Acquire pairs with the release in aegis_budget_take_peak and in aegis_i_peak_first_child. */
    while (peak_bytes < used_bytes)
        if (aegis_i_cas_weak(&budget->peak_bytes, &peak_bytes, used_bytes, memory_order_acquire,
                             memory_order_relaxed))
            return true;
    return false;
}

/* Whether the peak is to be recorded if it has come to `used_bytes`. */
static inline bool aegis_i_record_is_due(aegis_budget *budget, size_t used_bytes) {
    return used_bytes >= aegis_i_load(&budget->record_due_bytes, memory_order_relaxed);
}

/* Raises the peak, if it is lower. Returns whether it was and is to be recorded now. */
static inline bool aegis_i_raise_peak(aegis_budget *budget, size_t used_bytes) {
    return aegis_i_peak_rise(budget, used_bytes) && aegis_i_record_is_due(budget, used_bytes);
}

#endif
