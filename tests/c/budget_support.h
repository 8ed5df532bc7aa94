/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of budgets share: short ways to read a budget's numbers. */
#ifndef BUDGET_SUPPORT_H
#define BUDGET_SUPPORT_H

#include "base_support.h"

static inline aegis_budget_figures figures_of(const aegis_budget *budget) {
    aegis_budget_figures figures;
    aegis_budget_get_figures(budget, &figures);
    return figures;
}

static inline size_t used(const aegis_budget *budget) {
    return figures_of(budget).used_bytes;
}

static inline size_t peak(const aegis_budget *budget) {
    return figures_of(budget).peak_bytes;
}

#endif
