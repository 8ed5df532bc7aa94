/* SPDX-License-Identifier: Apache-2.0 */
/* A budget that is sized from the machine: a share of the memory that this process may use, which
 * csrc/base/system_memory.c finds. */
#include "aegis_memory/budget_system.h"
#include "../base/error_record.h"
#include "../base/system_memory.h"
#include "charge.h"
#include "system.h"

#include <stdio.h>

/* A share in percent, rounded up, for an error. 0 for one that is not above 0, or not a number. */
static size_t percent_of(double share) {
    double percent = share * 100.0;
    if (!(percent > 0.0))
        return 0;
    if (percent >= (double)SIZE_MAX)
        return SIZE_MAX;
    size_t whole = (size_t)percent;
    return (double)whole < percent ? whole + 1 : whole;
}

/* The share of a number of bytes, rounded down. A double may be larger than the number that it was
 * made of, so it is compared before it becomes a number again. */
static size_t share_of(size_t bytes, double share) {
    double part = (double)bytes * share;
    return part < (double)bytes ? aegis_i_min((size_t)part, bytes) : bytes;
}

aegis_status aegis_i_budget_of_memory(aegis_budget **budget, aegis_i_system_memory memory,
                                      double share, aegis_error *error) {
    aegis_error unwanted;
    error = error != NULL ? error : &unwanted;
    *budget = NULL;
    if (!(share > 0.0 && share <= 1.0))
        return aegis_i_error_refuse(error, AEGIS_E_INVALID, AEGIS_WHAT_SHARE, percent_of(share),
                                    100);
    if (memory.bytes == 0)
        return aegis_i_error_refuse(error, AEGIS_E_UNSUPPORTED, AEGIS_WHAT_SHARE, percent_of(share),
                                    0);
    /* The machine may have more than this process can have addresses for. SIZE_MAX would be no
     * limit. */
    if (memory.bytes > SIZE_MAX - 1) {
        memory.bytes = SIZE_MAX - 1;
        memory.origin = "address space";
    }
    char name[AEGIS_BUDGET_NAME_BYTES];
    (void)snprintf(name, sizeof name, "%.4g%% of %s", share * 100.0, memory.origin);
    *budget = aegis_budget_new(name, share_of((size_t)memory.bytes, share), NULL);
    if (*budget == NULL)
        return aegis_i_error_bytes(error, AEGIS_E_OUT_OF_MEMORY, aegis_i_budget_bytes(),
                                   AEGIS_I_HEAP_ALIGN);
    return AEGIS_OK;
}

aegis_status aegis_budget_of_system(aegis_budget **budget, double share, aegis_error *error) {
    return aegis_i_budget_of_memory(
        budget, aegis_i_system_memory_under("", aegis_i_physical_bytes()), share, error);
}
