/* SPDX-License-Identifier: Apache-2.0 */
/* Records of peaks: what the largest consumers held when the peak was about as high as now. A
 * record reads every budget beneath, so it is made only when it is due.
 *
 * Invariants:
 * 1. The record and `recorded` are guarded by the budget's lock, which comes after the gate. A
 *    thread makes a record while it holds that lock (aegis_i_record_peak, aegis_i_renew_record).
 *    It takes no list lock but those beneath, from parent to child (aegis_i_note_consumers).
 * 2. The thread that has raised the peak to `record_due_bytes` or more makes a record, unless it
 *    finds under the lock that another one has moved that number above the peak (charge_open,
 *    charge_regardless_open, aegis_i_record_peak). A charge under the gate may be made while a list
 *    lock is held (serve_shares), so it only notes the budget (aegis_i_raise_peaks). The same
 *    thread makes the record before it gives the gate up (aegis_i_gate_leave). So the list of
 *    those noted is empty while the gate is free, and while a thread that had the gate waits for a
 *    condition, because it has charged nothing. A budget is noted only for a charge or a request
 *    that keeps it alive, so none is freed while it is in the list.
 * 3. A record for a peak of P bytes sets `record_due_bytes` to P and a sixteenth of it
 *    (make_record). Only a new period, or the first child, sets the number down. That store comes
 *    before an operation on the peak that has the order release, and a thread that raises the peak
 *    afterwards does that with the order acquire (aegis_i_peak_rise), so it sees the number.
 *
 * So when no charge is under way, the peak is less than 17/16 of a peak that was recorded in the
 * period (2, 3), and a peak that grows from 1 byte to B bytes is recorded about 11 log2(B) times. A
 * record reads the use and the consumers after the rise, when other threads may have changed them.
 * It says which use it has found. If that is lower than the one of an earlier record of the period,
 * the earlier record stays.
 *
 * As long as a budget has had no child, all that it has in use is charged to it directly. So it
 * needs no record, and `record_due_bytes` is as high as no use is.
 */
#if !defined(_WIN32) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* for condition.h */
#endif

#include "peak_record.h"
#include "../base/arithmetic.h"
#include "../base/sized.h"
#include "../base/text.h"
#include "consumers.h"

/* The use at which the next record is due after one for `peak_bytes`. */
static size_t next_due(size_t peak_bytes) {
    size_t step_bytes = aegis_i_max(peak_bytes / 16, 1);
    return peak_bytes + aegis_i_min(step_bytes, SIZE_MAX - peak_bytes);
}

/* Makes a record because the peak has come to `peak_bytes`. The caller holds the lock. */
static void make_record(aegis_budget *budget, size_t peak_bytes) {
    aegis_i_peak_record *record = &budget->record;
    aegis_i_consumers consumers = {0};
    size_t used_bytes = aegis_i_budget_used(budget);
    size_t direct_bytes = aegis_i_note_consumers(budget, used_bytes, 0, &consumers);
    aegis_i_store(&budget->record_due_bytes, next_due(peak_bytes), memory_order_relaxed);
    /* What is in use above the peak is of charges that are under way and may be refused. */
    size_t reached_bytes = aegis_i_min(used_bytes, peak_bytes);
    if (reached_bytes < record->reached_bytes)
        return;
    record->reached_bytes = reached_bytes;
    record->used_bytes = used_bytes;
    record->direct_bytes = direct_bytes;
    record->consumer_count = consumers.count;
    for (size_t i = 0; i < consumers.count; i++) {
        const aegis_budget_figures *from = &consumers.largest[i];
        aegis_budget_consumer *to = &record->consumers[i];
        memcpy(to->name, from->name, sizeof to->name);
        to->direct_bytes = from->used_bytes;
        to->depth = from->depth;
        to->level = from->level;
    }
}

void aegis_i_renew_record(aegis_budget *budget) {
    budget->record.reached_bytes = 0;
    make_record(budget, aegis_i_load(&budget->peak_bytes, memory_order_relaxed));
}

void aegis_i_record_peak(aegis_budget *budget) {
    if (!aegis_i_mutex_lock(&budget->lock))
        return;
    size_t peak_bytes = aegis_i_load(&budget->peak_bytes, memory_order_relaxed);
    /* Another thread may have made the record meanwhile. */
    if (budget->recorded && aegis_i_record_is_due(budget, peak_bytes))
        make_record(budget, peak_bytes);
    aegis_i_mutex_unlock(&budget->lock);
}

void aegis_i_raise_peaks(const aegis_i_path *path, size_t size_bytes) {
    for (size_t i = 0; i < path->count; i++) {
        aegis_budget *budget = path->budgets[i];
        aegis_i_gate *gate = &budget->root->gate;
        size_t sum_bytes =
            path->used_bytes[i] + aegis_i_min(size_bytes, SIZE_MAX - path->used_bytes[i]);
        if (!aegis_i_raise_peak(budget, sum_bytes) || budget->to_be_recorded)
            continue;
        budget->to_be_recorded = true;
        budget->next_recorded = gate->to_be_recorded;
        gate->to_be_recorded = budget;
    }
}

void aegis_i_record_peaks(aegis_i_gate *gate) {
    aegis_budget *budget;
    while ((budget = gate->to_be_recorded) != NULL) {
        gate->to_be_recorded = budget->next_recorded;
        budget->to_be_recorded = false;
        aegis_i_record_peak(budget);
    }
}

void aegis_i_peak_first_child(aegis_budget *budget) {
    budget->recorded = true;
    /* From here on each rise of the peak waits for the lock. */
    aegis_i_store(&budget->record_due_bytes, 0, memory_order_relaxed);
    /* Release pairs with the acquire in aegis_i_peak_rise. */
    size_t peak_bytes = aegis_i_add(&budget->peak_bytes, 0, memory_order_release);
    budget->record.reached_bytes = peak_bytes;
    budget->record.used_bytes = peak_bytes;
    budget->record.direct_bytes = peak_bytes;
    aegis_i_store(&budget->record_due_bytes, next_due(peak_bytes), memory_order_relaxed);
}

static void read_peak(aegis_budget *budget, aegis_budget_peak *peak) {
    memset(peak, 0, sizeof *peak);
    memcpy(peak->name, budget->name, sizeof peak->name);
    bool locked = aegis_i_mutex_lock(&budget->lock);
    peak->peak_bytes = aegis_i_load(&budget->peak_bytes, memory_order_relaxed);
    if (!locked)
        return;
    if (budget->recorded) {
        peak->used_bytes = budget->record.used_bytes;
        peak->direct_bytes = budget->record.direct_bytes;
        peak->consumer_count = budget->record.consumer_count;
        memcpy(peak->consumers, budget->record.consumers,
               peak->consumer_count * sizeof peak->consumers[0]);
    } else {
        peak->used_bytes = peak->direct_bytes = peak->peak_bytes;
    }
    aegis_i_mutex_unlock(&budget->lock);
}

void aegis_budget_get_peak_sized(aegis_budget *budget, aegis_budget_peak *peak, size_t peak_bytes) {
    aegis_budget_peak filled;
    read_peak(budget, &filled);
    aegis_i_copy_sized(peak, peak_bytes, &filled, sizeof filled);
}

size_t aegis_budget_explain_peak_sized(const aegis_budget_peak *given, size_t peak_bytes,
                                       char *buffer, size_t buffer_bytes) {
    aegis_budget_peak copy;
    const aegis_budget_peak *peak =
        (const aegis_budget_peak *)aegis_i_known_part(given, peak_bytes, &copy, sizeof copy);
    aegis_i_text text = {buffer, buffer_bytes, 0};
    aegis_i_text_add(&text, "budget '%s' peaked at %zu bytes", peak->name, peak->peak_bytes);
    if (peak->consumer_count != 0)
        aegis_i_text_add(&text, "; largest at %zu bytes", peak->used_bytes);
    for (size_t i = 0; i < peak->consumer_count; i++)
        aegis_i_text_add(&text, "%s'%s' %zu bytes", i == 0 ? ": " : ", ", peak->consumers[i].name,
                         peak->consumers[i].direct_bytes);
    if (peak->direct_bytes != 0)
        aegis_i_text_add(&text, "; %zu bytes held directly", peak->direct_bytes);
    return text.length;
}
