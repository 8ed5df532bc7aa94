/* SPDX-License-Identifier: Apache-2.0 */
/* The only code by which an object of this library gets memory from its source, and the only code
 * by which the object gives it back.
 *
 * 1. The budget is charged for exactly what the object holds: the charge comes before the memory.
 *    It is taken back if the source has none (aegis_i_acquire), and after the memory was released
 *    (aegis_i_give_back).
 * 2. No object sees memory that is not aligned as it asked for, or that reaches into the headroom
 *    (see the invariants in arena.h): aegis_i_acquire gives such memory back at once.
 * 3. A thread is not cancelled while it waits for the budget (aegis_i_budget_take): the
 *    caller may have taken memory or a place in a queue already, which would be lost. */
#include "acquire.h"
#include "base/arithmetic.h"
#include "source.h"

void *aegis_i_acquire(const aegis_source *source, aegis_budget *budget, size_t size_bytes,
                      size_t align_bytes, uint64_t wait_ns, bool *zeroed, aegis_i_refusal *why) {
    aegis_i_patience patience = {wait_ns, NULL, NULL, NULL, NULL, false, NULL};
    return aegis_i_acquire_patiently(source, budget, size_bytes, align_bytes, &patience, zeroed,
                                     why);
}

void *aegis_i_acquire_patiently(const aegis_source *source, aegis_budget *budget, size_t size_bytes,
                                size_t align_bytes, aegis_i_patience *patience, bool *zeroed,
                                aegis_i_refusal *why) {
    why->status = AEGIS_E_OUT_OF_MEMORY;
    why->budget = NULL;
    *zeroed = false;
    if (source->acquire == NULL)
        return NULL;
    if (aegis_i_budget_take(budget, size_bytes, patience, why) != AEGIS_OK)
        return NULL;
    void *memory = source->acquire(source->context, size_bytes, align_bytes, zeroed);
    if (memory == NULL) {
        aegis_i_budget_put_back(budget, size_bytes);
        return NULL;
    }
    bool aligned = aegis_i_padding((const unsigned char *)memory, align_bytes) == 0;
    if (aligned && (uintptr_t)memory <= AEGIS_I_TOP - size_bytes)
        return memory;
    aegis_i_give_back(source, budget, memory, size_bytes, align_bytes);
    why->status = aligned ? AEGIS_E_OUT_OF_MEMORY : AEGIS_E_SOURCE;
    return NULL;
}

void aegis_i_give_back(const aegis_source *source, aegis_budget *budget, void *memory,
                       size_t size_bytes, size_t align_bytes) {
    if (source->release != NULL)
        source->release(source->context, memory, size_bytes, align_bytes);
    aegis_i_budget_put_back(budget, size_bytes);
}

void *aegis_i_acquire_larger(const aegis_source *source, aegis_budget *budget, void *memory,
                             size_t old_bytes, size_t new_bytes, size_t align_bytes) {
    aegis_i_patience patience = {AEGIS_I_OPTIONAL, NULL, NULL, NULL, NULL, false, NULL};
    aegis_i_refusal why;
    if (aegis_i_budget_take(budget, new_bytes - old_bytes, &patience, &why) != AEGIS_OK)
        return NULL;
    void *moved = aegis_i_source_resize(source, memory, new_bytes, align_bytes);
    if (moved == NULL)
        aegis_i_budget_put_back(budget, new_bytes - old_bytes);
    return moved;
}
