/* SPDX-License-Identifier: Apache-2.0 */
/* What the two tests of filled errors share: what refuses, and the rows of a call that can fail for
 * two kinds of reasons. In the first row a budget refuses. In the second row, the one of
 * FILLS_ON_FAILURE, no budget does: the source refuses, or the argument is wrong, or there is
 * nothing left. */
#ifndef FILLED_ERRORS_SUPPORT_H
#define FILLED_ERRORS_SUPPORT_H

#include "filled_support.h"

static aegis_budget *full_budget;

/* A budget that refuses every charge, or NULL. */
static inline aegis_budget *budget_unless(bool fails) {
    return fails ? NULL : full_budget;
}

static inline const aegis_source *source_if(bool fails) {
    return fails ? &filled_refusing : NULL;
}

static inline void nothing(void *context) {
    (void)context;
}

static inline aegis_arena_options arena_options(size_t capacity_bytes, bool fails) {
    aegis_arena_options options = test_options(capacity_bytes, 0, source_if(fails), NULL, 0);
    options.budget = budget_unless(fails);
    return options;
}

#define BOTH(function, parameter, call)                                                            \
    FILLS(function, parameter, aegis_error, call),                                                 \
        FILLS_ON_FAILURE(function, parameter, aegis_error, call)

static inline void filled_check_errors(const filled_row *rows, size_t count) {
    full_budget = aegis_budget_new("full", 0, NULL);
    aegis_report_fn report = aegis_set_report(NULL); /* the stale handles are meant */
    filled_check_all(rows, count);
    (void)aegis_set_report(report);
    aegis_budget_destroy(full_budget);
}

#endif
