/* SPDX-License-Identifier: Apache-2.0 */
/* A tree of budgets, drawn: a line for each budget, and who held the memory at the peak. */
#if !defined(_WIN32) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* for condition.h */
#endif

#include "../base/arithmetic.h"
#include "../base/cancel.h"
#include "../base/print.h"
#include "../base/text.h"
#include "state.h"

#include <stdlib.h>

#define BAR_WIDTH 24
#define NAME_WIDTH 28

/* Adds those counts that are not 0. */
static void add_counts(aegis_i_text *line, const aegis_budget_figures *figures) {
    const struct {
        uint64_t count;
        const char *word;
    } counts[] = {
        {figures->refused_count, "refused"},
        {figures->waiting_count, "waiting"},
        {figures->wait_count, "waited"},
        {figures->timeout_count, "timed out"},
    };
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        if (counts[i].count != 0)
            aegis_i_text_add(line, ", %llu %s", (unsigned long long)counts[i].count,
                             counts[i].word);
    if (figures->reclaim_count == 0)
        return;
    char bytes[AEGIS_I_SIZE_TEXT];
    aegis_i_size_text(bytes, figures->reclaimed_bytes);
    aegis_i_text_add(line, ", %s by %llu %s", bytes, (unsigned long long)figures->reclaim_count,
                     figures->reclaim_count == 1 ? "reclaim" : "reclaims");
}

static void print_line(const aegis_budget_figures *figures, aegis_budget_print_fn print,
                       void *context) {
    char buffer[AEGIS_BUDGET_NAME_BYTES + 320];
    aegis_i_text line = {buffer, sizeof buffer, 0};
    char used[AEGIS_I_SIZE_TEXT], peak[AEGIS_I_SIZE_TEXT], limit[AEGIS_I_SIZE_TEXT];
    char bar[BAR_WIDTH + 1];
    aegis_i_size_text(used, figures->used_bytes);
    aegis_i_size_text(peak, figures->peak_bytes);
    aegis_i_size_text(limit, figures->limit_bytes);
    bool limited = figures->limit_bytes != AEGIS_BUDGET_UNLIMITED;
    /* For the share a limit of 0 counts as 1. */
    uint64_t all = limited ? aegis_i_max(figures->limit_bytes, 1) : 0;
    double percent = limited ? 100.0 * (double)figures->used_bytes / (double)all : 0.0;
    aegis_i_bar(bar, BAR_WIDTH, figures->used_bytes, all);
    int indent = (int)figures->depth * 2;
    int width = NAME_WIDTH > indent ? NAME_WIDTH - indent : 0;
    if (limited)
        aegis_i_text_add(&line, "%*s%-*s [%s] %3.0f%%  %s of %s, peak %s", indent, "", width,
                         figures->name, bar, percent, used, limit, peak);
    else
        aegis_i_text_add(&line, "%*s%-*s [%s]   -   %s, no limit, peak %s", indent, "", width,
                         figures->name, bar, used, peak);
    add_counts(&line, figures);
    print(context, buffer);
}

/* Adds a line on who held the memory at the peak, if more was in use than now. */
static void print_peak(aegis_budget *budget, size_t used_bytes, aegis_budget_print_fn print,
                       void *context) {
    char buffer[(1 + AEGIS_BUDGET_CONSUMERS) * (AEGIS_BUDGET_NAME_BYTES + 32)],
        bytes[AEGIS_I_SIZE_TEXT];
    aegis_i_text line = {buffer, sizeof buffer, 0};
    aegis_budget_peak peak;
    aegis_budget_get_peak(budget, &peak);
    if (peak.consumer_count == 0 || peak.used_bytes <= used_bytes)
        return;
    aegis_i_size_text(bytes, peak.used_bytes);
    aegis_i_text_add(&line, "peak, recorded at %s: ", bytes);
    for (size_t i = 0; i < peak.consumer_count; i++) {
        aegis_i_size_text(bytes, peak.consumers[i].direct_bytes);
        aegis_i_text_add(&line, "%s'%s' %s", i != 0 ? ", " : "", peak.consumers[i].name, bytes);
    }
    aegis_i_size_text(bytes, peak.direct_bytes);
    if (peak.direct_bytes != 0)
        aegis_i_text_add(&line, "; %s held directly", bytes);
    print(context, buffer);
}

/* Draws the tree for a debugger: see the public header. AEGIS_BUDGET_MAX_DEPTH bounds the
 * recursion. */
static void print_now(aegis_budget *budget, uint32_t depth) {
    aegis_budget_figures figures;
    aegis_budget_get_figures(budget, &figures);
    figures.depth = depth;
    print_line(&figures, aegis_i_print_to_stderr, NULL);
    if (!aegis_i_mutex_try_lock(&budget->lock)) {
        char buffer[160];
        aegis_i_text line = {buffer, sizeof buffer, 0};
        aegis_i_text_add(&line, "%*s(a thread holds the lock of its children)", (int)depth * 2 + 2,
                         "");
        aegis_i_print_to_stderr(NULL, buffer);
        return;
    }
    for (aegis_budget *child = budget->first_child; child != NULL; child = child->next_sibling)
        print_now(child, depth + 1);
    aegis_i_mutex_unlock(&budget->lock);
}

aegis_status aegis_budget_print(aegis_budget *budget, aegis_budget_print_fn print, void *context) {
    if (print == NULL) {
        print_now(budget, 0);
        return AEGIS_OK;
    }
    /* Budgets may be made between the two calls of aegis_budget_snapshot. Then the print leaves out
     * what does not fit. */
    size_t capacity = aegis_budget_snapshot(budget, NULL, 0);
    aegis_budget_figures *figures =
        (aegis_budget_figures *)calloc(capacity, sizeof(aegis_budget_figures));
    if (figures == NULL)
        return AEGIS_E_OUT_OF_MEMORY;
    size_t count = aegis_i_min(aegis_budget_snapshot(budget, figures, capacity), capacity);
    /* Printing is often a cancellation point, and a cancelled thread would not free the memory. */
    int state = aegis_i_uncancelled_begin();
    for (size_t i = 0; i < count; i++)
        print_line(&figures[i], print, context);
    print_peak(budget, figures[0].used_bytes, print, context);
    free(figures);
    aegis_i_uncancelled_end(state);
    return AEGIS_OK;
}
