/* SPDX-License-Identifier: Apache-2.0 */
/* A tree of budgets, drawn: a line for each budget, and who held the memory at the peak. */
#include "aegis_memory/budget.h"
#include "../base/arithmetic.h"
#include "../base/cancel.h"
#include "../base/text.h"

#include <stdio.h>
#include <stdlib.h>

/* Writes a size with a unit in which the number is easy to read. */
static void size_text(char *buffer, size_t buffer_bytes, uint64_t size_bytes) {
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = (double)size_bytes;
    size_t unit = 0;
    for (; value >= 1024.0 && unit < 6; unit++)
        value /= 1024.0;
    (void)snprintf(buffer, buffer_bytes, "%.*f %s", unit == 0 ? 0 : 1, value, units[unit]);
}

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
    char bytes[24];
    size_text(bytes, sizeof bytes, figures->reclaimed_bytes);
    aegis_i_text_add(line, ", %s by %llu %s", bytes, (unsigned long long)figures->reclaim_count,
                     figures->reclaim_count == 1 ? "reclaim" : "reclaims");
}

static void print_line(const aegis_budget_figures *figures, aegis_budget_print_fn print,
                       void *context) {
    char buffer[AEGIS_BUDGET_NAME_BYTES + 320];
    aegis_i_text line = {buffer, sizeof buffer, 0};
    char used[24], peak[24], limit[24], bar[BAR_WIDTH + 1];
    size_text(used, sizeof used, figures->used_bytes);
    size_text(peak, sizeof peak, figures->peak_bytes);
    size_text(limit, sizeof limit, figures->limit_bytes);
    bool limited = figures->limit_bytes != AEGIS_BUDGET_UNLIMITED;
    /* For the share a limit of 0 counts as 1. A share above 1 gives a full bar. */
    double share =
        limited ? (double)figures->used_bytes / (double)aegis_i_max(figures->limit_bytes, 1) : 0.0;
    size_t full = share < 1.0 ? (size_t)(share * BAR_WIDTH + 0.5) : BAR_WIDTH;
    memset(bar, '.', BAR_WIDTH);
    memset(bar, '#', full);
    bar[BAR_WIDTH] = '\0';
    int indent = (int)figures->depth * 2;
    int width = NAME_WIDTH > indent ? NAME_WIDTH - indent : 0;
    if (limited)
        aegis_i_text_add(&line, "%*s%-*s [%s] %3.0f%%  %s of %s, peak %s", indent, "", width,
                         figures->name, bar, share * 100.0, used, limit, peak);
    else
        aegis_i_text_add(&line, "%*s%-*s [%s]   -   %s, no limit, peak %s", indent, "", width,
                         figures->name, bar, used, peak);
    add_counts(&line, figures);
    print(context, buffer);
}

/* Adds a line on who held the memory at the peak, if more was in use than now. */
static void print_peak(aegis_budget *budget, size_t used_bytes, aegis_budget_print_fn print,
                       void *context) {
    char buffer[(1 + AEGIS_BUDGET_CONSUMERS) * (AEGIS_BUDGET_NAME_BYTES + 32)], bytes[24];
    aegis_i_text line = {buffer, sizeof buffer, 0};
    aegis_budget_peak peak;
    aegis_budget_get_peak(budget, &peak);
    if (peak.consumer_count == 0 || peak.used_bytes <= used_bytes)
        return;
    size_text(bytes, sizeof bytes, peak.used_bytes);
    aegis_i_text_add(&line, "peak, recorded at %s: ", bytes);
    for (size_t i = 0; i < peak.consumer_count; i++) {
        size_text(bytes, sizeof bytes, peak.consumers[i].direct_bytes);
        aegis_i_text_add(&line, "%s'%s' %s", i != 0 ? ", " : "", peak.consumers[i].name, bytes);
    }
    size_text(bytes, sizeof bytes, peak.direct_bytes);
    if (peak.direct_bytes != 0)
        aegis_i_text_add(&line, "; %s held directly", bytes);
    print(context, buffer);
}

aegis_status aegis_budget_print(aegis_budget *budget, aegis_budget_print_fn print, void *context) {
    if (print == NULL)
        return AEGIS_E_INVALID;
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
