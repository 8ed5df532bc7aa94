/* SPDX-License-Identifier: Apache-2.0 */
/* Budgets: counters that are charged from root to leaf, and uncharged from leaf to root. The tree
 * and its locks are described in budget_struct.h.
 *
 * Invariants of the counters:
 * 1. A counter changes only by a compare-and-swap from a value that allows the change. An addition
 *    starts from a value that leaves room below the limit (add), and a subtraction from a value
 *    that is not smaller than what is subtracted, or it ends at 0 (aegis_budget_uncharge,
 *    subtract).
 * 2. A charge adds its bytes from the root down (aegis_i_budget_charge). What takes bytes away
 *    begins at the lowest budget that has them and goes up (aegis_budget_uncharge, take_back).
 * 3. A peak is raised only when the whole charge has succeeded (aegis_i_budget_charge).
 *
 * So no charge brings a counter above the limit that it was compared with, and no counter wraps
 * (1). While a charge or an uncharge is under way, a budget holds its bytes only as long as all
 * its ancestors hold them (2). So a budget has in use at least what its children have together,
 * and a thread that finds a charge at a leaf finds it further up too. A refused charge raises no
 * peak by itself (3). The counters order nothing but themselves, so all their orders are relaxed.
 */
#include "aegis_memory/budget.h"
#include "base/arithmetic.h"
#include "base/cancel.h"
#include "base/text.h"
#include "budget.h"
#include "budget_struct.h"
#include "base/threads.h"

#include <stdio.h>
#include <stdlib.h>

/* A function that is told of pressure. It is not removed before its budget is freed. */
struct aegis_i_watcher {
    aegis_i_watcher *next;
    aegis_budget_pressure_fn function;
    void (*destroy)(void *context);
    void *context;
    uint32_t percent;
};

aegis_budget *aegis_budget_new(const char *name, size_t limit_bytes, aegis_budget *parent) {
    if (parent != NULL && parent->level + 1 >= AEGIS_BUDGET_MAX_DEPTH)
        return NULL;
    aegis_budget *budget = (aegis_budget *)calloc(1, sizeof *budget);
    if (budget == NULL)
        return NULL;
    atomic_init(&budget->used_bytes, 0);
    atomic_init(&budget->peak_bytes, 0);
    atomic_init(&budget->limit_bytes, limit_bytes);
    atomic_init(&budget->watchers, NULL);
    atomic_init(&budget->reference_count, 1);
    aegis_i_mutex_init(&budget->lock);
    aegis_i_copy_name(budget->name, name != NULL ? name : "", AEGIS_BUDGET_NAME_BYTES);
    budget->parent = parent;
    if (parent == NULL)
        return budget;

    if (!aegis_i_mutex_lock(&parent->lock)) {
        aegis_i_mutex_fini(&budget->lock);
        free(budget);
        return NULL;
    }
    (void)aegis_budget_retain(parent);
    budget->level = parent->level + 1;
    budget->previous_sibling = parent->last_child;
    if (parent->last_child != NULL)
        parent->last_child->next_sibling = budget;
    else
        parent->first_child = budget;
    parent->last_child = budget;
    aegis_i_mutex_unlock(&parent->lock);
    return budget;
}

aegis_budget *aegis_budget_retain(aegis_budget *budget) {
    size_t seen = aegis_i_load(&budget->reference_count, memory_order_relaxed);
    /* Relaxed: the caller's own reference keeps the budget. */
    while (seen <= AEGIS_I_MAX_REFERENCES &&
           !aegis_i_cas_weak(&budget->reference_count, &seen, seen + 1, memory_order_relaxed,
                             memory_order_relaxed))
        continue;
    return budget;
}

/* Gives up a reference. Returns whether it was the last one. A count above AEGIS_I_MAX_REFERENCES
 * does not say the number of references any more, and stays as it is. */
static bool drop_reference(aegis_budget *budget) {
    size_t seen = aegis_i_load(&budget->reference_count, memory_order_relaxed);
    /* Acquire pairs with the release here in other threads: what each of them did with the budget
     * comes before its end. */
    while (seen <= AEGIS_I_MAX_REFERENCES)
        if (aegis_i_cas_weak(&budget->reference_count, &seen, seen - 1, memory_order_acq_rel,
                             memory_order_relaxed))
            return seen == 1;
    return false;
}

static void unlink_from_parent(aegis_budget *budget) {
    aegis_budget *parent = budget->parent;
    if (!aegis_i_mutex_lock(&parent->lock))
        return;
    if (budget->previous_sibling != NULL)
        budget->previous_sibling->next_sibling = budget->next_sibling;
    else
        parent->first_child = budget->next_sibling;
    if (budget->next_sibling != NULL)
        budget->next_sibling->previous_sibling = budget->previous_sibling;
    else
        parent->last_child = budget->previous_sibling;
    aegis_i_mutex_unlock(&parent->lock);
}

/* Frees a budget to which there is no reference. */
static void free_budget(aegis_budget *budget) {
    size_t used_bytes = aegis_i_load(&budget->used_bytes, memory_order_relaxed);
    if (used_bytes != 0) {
        if (AEGIS_I_DEBUG)
            aegis_i_report("budget '%s' destroyed with %zu bytes charged", budget->name,
                           used_bytes);
        /* No thread can uncharge these bytes any more, so they must leave the ancestors now. */
        (void)aegis_budget_uncharge(budget, used_bytes);
    }
    if (budget->parent != NULL)
        unlink_from_parent(budget);
    aegis_i_watcher *watch = aegis_i_load(&budget->watchers, memory_order_relaxed);
    while (watch != NULL) {
        aegis_i_watcher *next = watch->next;
        if (watch->destroy != NULL)
            watch->destroy(watch->context);
        free(watch);
        watch = next;
    }
    aegis_i_mutex_fini(&budget->lock);
    free(budget);
}

void aegis_budget_destroy(aegis_budget *budget) {
    while (budget != NULL && drop_reference(budget)) {
        aegis_budget *parent = budget->parent;
        free_budget(budget);
        budget = parent;
    }
}

/* The use from which on a watcher is told: its share of the limit, rounded up, and at least 1. */
static size_t threshold_bytes(const aegis_i_watcher *watch, size_t limit_bytes) {
    size_t share_bytes =
        limit_bytes / 100 * watch->percent + (limit_bytes % 100 * watch->percent + 99) / 100;
    return aegis_i_max(share_bytes, 1);
}

/* Acquire pairs with the release in aegis_budget_on_pressure: the watcher's fields are seen. */
static const aegis_i_watcher *watchers_of(aegis_budget *budget) {
    return aegis_i_load(&budget->watchers, memory_order_acquire);
}

/* Tells the watchers with a threshold that one addition has reached. Additions to a counter come
 * one after the other, so of several threads exactly one sees each rise. */
static void tell_rise(aegis_budget *budget, size_t from_bytes, size_t to_bytes) {
    for (const aegis_i_watcher *watch = watchers_of(budget); watch != NULL; watch = watch->next) {
        size_t limit_bytes = aegis_i_load(&budget->limit_bytes, memory_order_relaxed);
        size_t threshold = threshold_bytes(watch, limit_bytes);
        if (from_bytes < threshold && threshold <= to_bytes)
            watch->function(watch->context, to_bytes, limit_bytes);
    }
}

/* The way of a charge, from the budget that is charged (number 0) to its root. For each budget: the
 * most that may be in use before the addition, and what is in use before it. The latter is first
 * the value that was seen by `look`, and then the one that the addition found. */
typedef struct way {
    size_t count;
    aegis_budget *budgets[AEGIS_BUDGET_MAX_DEPTH];
    size_t most_bytes[AEGIS_BUDGET_MAX_DEPTH];
    size_t used_bytes[AEGIS_BUDGET_MAX_DEPTH];
} way;

/* Looks at each budget from `budget` up. Returns the first one that has no room, or NULL. */
static inline aegis_budget *look(way *up, aegis_budget *budget, size_t size_bytes,
                                 aegis_i_refusal *why) {
    size_t i = 0;
    for (; budget != NULL; budget = budget->parent, i++) {
        size_t limit_bytes = aegis_i_load(&budget->limit_bytes, memory_order_relaxed);
        size_t used_bytes = aegis_i_load(&budget->used_bytes, memory_order_relaxed);
        if (size_bytes > limit_bytes || used_bytes > limit_bytes - size_bytes) {
            why->limit_bytes = limit_bytes;
            why->in_use_bytes = used_bytes;
            break;
        }
        up->budgets[i] = budget;
        up->most_bytes[i] = limit_bytes - size_bytes;
        up->used_bytes[i] = used_bytes;
    }
    up->count = i;
    return budget;
}

/* Adds to number `i` of the way. False: its limit does not allow that. */
static inline bool add(way *up, size_t i, size_t size_bytes) {
    while (up->used_bytes[i] <= up->most_bytes[i])
        if (aegis_i_cas_weak(&up->budgets[i]->used_bytes, &up->used_bytes[i],
                             up->used_bytes[i] + size_bytes, memory_order_relaxed,
                             memory_order_relaxed))
            return true;
    return false;
}

/* Subtracts from one budget, but not below 0. Returns what is left. */
static inline size_t subtract(aegis_budget *budget, size_t size_bytes) {
    size_t used_bytes = aegis_i_load(&budget->used_bytes, memory_order_relaxed);
    size_t left_bytes;
    do {
        left_bytes = used_bytes > size_bytes ? used_bytes - size_bytes : 0;
    } while (!aegis_i_cas_weak(&budget->used_bytes, &used_bytes, left_bytes, memory_order_relaxed,
                               memory_order_relaxed));
    return left_bytes;
}

static inline void raise_peak(aegis_budget *budget, size_t used_bytes) {
    size_t peak_bytes = aegis_i_load(&budget->peak_bytes, memory_order_relaxed);
    while (peak_bytes < used_bytes &&
           !aegis_i_cas_weak(&budget->peak_bytes, &peak_bytes, used_bytes, memory_order_relaxed,
                             memory_order_relaxed))
        continue;
}

/* Takes a charge back from number `first` of the way up to the root. */
static AEGIS_I_COLD void take_back(const way *up, size_t first, size_t size_bytes) {
    size_t left_bytes[AEGIS_BUDGET_MAX_DEPTH];
    for (size_t i = first; i < up->count; i++)
        left_bytes[i] = subtract(up->budgets[i], size_bytes);
    /* While this charge was there, others may have been added on top of it. If this charge had
     * reached a threshold and the others still reach it without this charge, they saw no rise: so
     * this thread tells it. */
    for (size_t i = first; i < up->count; i++)
        tell_rise(up->budgets[i], up->used_bytes[i],
                  aegis_i_min(up->used_bytes[i] + size_bytes, left_bytes[i]));
}

aegis_status aegis_i_budget_charge(aegis_budget *budget, size_t size_bytes, aegis_i_refusal *why) {
    way up;
    /* The charge looks first, so that a charge that does not fit is not in the way of others. Only
     * a race for the last bytes is decided by the additions. */
    aegis_budget *full = look(&up, budget, size_bytes, why);
    if (full == NULL) {
        size_t i = up.count;
        while (i != 0 && add(&up, i - 1, size_bytes))
            i--;
        if (i != 0) {
            full = up.budgets[i - 1];
            why->limit_bytes = up.most_bytes[i - 1] + size_bytes;
            why->in_use_bytes = up.used_bytes[i - 1];
            take_back(&up, i, size_bytes);
        }
    }
    if (full != NULL) {
        why->budget = full;
        why->needed_bytes = size_bytes;
        return why->status = AEGIS_E_LIMIT_EXCEEDED;
    }
    /* Peaks are raised only now, because a refused charge must leave none. All are raised before a
     * watcher is told. */
    bool watched = false;
    for (size_t i = 0; i < up.count; i++) {
        raise_peak(up.budgets[i], up.used_bytes[i] + size_bytes);
        watched = watched || watchers_of(up.budgets[i]) != NULL;
    }
    for (size_t i = 0; watched && i < up.count; i++)
        tell_rise(up.budgets[i], up.used_bytes[i], up.used_bytes[i] + size_bytes);
    return AEGIS_OK;
}

aegis_status aegis_budget_charge(aegis_budget *budget, size_t size_bytes, aegis_error *error) {
    aegis_i_refusal why;
    aegis_status status = aegis_i_budget_charge(budget, size_bytes, &why);
    if (status != AEGIS_OK && error != NULL) {
        (void)aegis_i_error_bytes(error, status, size_bytes, 0);
        aegis_i_explain_refusal(&why, error);
    }
    return status;
}

aegis_status aegis_budget_uncharge(aegis_budget *budget, size_t size_bytes) {
    if (budget == NULL)
        return AEGIS_OK;
    size_t used_bytes = aegis_i_load(&budget->used_bytes, memory_order_relaxed);
    do {
        if (used_bytes < size_bytes)
            return AEGIS_E_INVALID;
    } while (!aegis_i_cas_weak(&budget->used_bytes, &used_bytes, used_bytes - size_bytes,
                               memory_order_relaxed, memory_order_relaxed));
    /* What was charged here was charged to each ancestor too. An ancestor has less only if an
     * earlier uncharge named it instead of a budget beneath it: then it comes to 0. That is
     * not reported, because the caller may be in the middle of a change of its own. */
    for (aegis_budget *node = budget->parent; node != NULL; node = node->parent)
        (void)subtract(node, size_bytes);
    return AEGIS_OK;
}

void aegis_budget_set_limit(aegis_budget *budget, size_t limit_bytes) {
    size_t old_bytes = aegis_i_exchange(&budget->limit_bytes, limit_bytes, memory_order_relaxed);
    size_t used_bytes = aegis_i_load(&budget->used_bytes, memory_order_relaxed);
    for (const aegis_i_watcher *watch = watchers_of(budget); watch != NULL; watch = watch->next)
        if (used_bytes < threshold_bytes(watch, old_bytes) &&
            used_bytes >= threshold_bytes(watch, limit_bytes))
            watch->function(watch->context, used_bytes, limit_bytes);
}

aegis_status aegis_budget_on_pressure(aegis_budget *budget, uint32_t percent,
                                      aegis_budget_pressure_fn function,
                                      void (*destroy)(void *context), void *context) {
    if (percent < 1 || percent > 100 || function == NULL)
        return AEGIS_E_INVALID;
    aegis_i_watcher *watch = (aegis_i_watcher *)calloc(1, sizeof *watch);
    if (watch == NULL)
        return AEGIS_E_OUT_OF_MEMORY;
    watch->function = function;
    watch->destroy = destroy;
    watch->context = context;
    watch->percent = percent;
    watch->next = aegis_i_load(&budget->watchers, memory_order_relaxed);
    /* Release pairs with the acquire in watchers_of. No watcher is removed, so a head that has the
     * value seen was not changed in between. */
    while (!aegis_i_cas_weak(&budget->watchers, &watch->next, watch, memory_order_release,
                             memory_order_relaxed))
        continue;
    return AEGIS_OK;
}

void aegis_budget_get_figures(const aegis_budget *budget, aegis_budget_figures *figures) {
    memset(figures, 0, sizeof *figures);
    memcpy(figures->name, budget->name, sizeof figures->name);
    figures->used_bytes = aegis_i_load(&budget->used_bytes, memory_order_relaxed);
    figures->peak_bytes = aegis_i_load(&budget->peak_bytes, memory_order_relaxed);
    figures->limit_bytes = aegis_i_load(&budget->limit_bytes, memory_order_relaxed);
    figures->depth = 0;
    figures->level = budget->level;
}

/* Writes the tree into the entries from number `count` on, as far as there is room. Returns the
 * count with the entries of the tree. AEGIS_BUDGET_MAX_DEPTH bounds the recursion. */
static size_t snapshot(aegis_budget *budget, uint32_t depth, aegis_budget_figures *figures,
                       size_t capacity, size_t count) {
    if (count < capacity) {
        aegis_budget_get_figures(budget, &figures[count]);
        figures[count].depth = depth;
    }
    count++;
    if (!aegis_i_mutex_lock(&budget->lock))
        return count;
    for (aegis_budget *child = budget->first_child; child != NULL; child = child->next_sibling)
        count = snapshot(child, depth + 1, figures, capacity, count);
    aegis_i_mutex_unlock(&budget->lock);
    return count;
}

size_t aegis_budget_snapshot(aegis_budget *budget, aegis_budget_figures *figures, size_t capacity) {
    return snapshot(budget, 0, figures, capacity, 0);
}

/* Writes a size with a unit in which the number is easy to read. */
static void size_text(char *buffer, size_t buffer_bytes, size_t size_bytes) {
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = (double)size_bytes;
    size_t unit = 0;
    for (; value >= 1024.0 && unit < 6; unit++)
        value /= 1024.0;
    (void)snprintf(buffer, buffer_bytes, "%.*f %s", unit == 0 ? 0 : 1, value, units[unit]);
}

#define BAR_WIDTH 24
#define NAME_WIDTH 28

static void print_line(const aegis_budget_figures *figures, aegis_budget_print_fn print,
                       void *context) {
    char line[AEGIS_BUDGET_NAME_BYTES + 160];
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
        (void)snprintf(line, sizeof line, "%*s%-*s [%s] %3.0f%%  %s of %s, peak %s", indent, "",
                       width, figures->name, bar, share * 100.0, used, limit, peak);
    else
        (void)snprintf(line, sizeof line, "%*s%-*s [%s]   -   %s, no limit, peak %s", indent, "",
                       width, figures->name, bar, used, peak);
    print(context, line);
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
    free(figures);
    aegis_i_uncancelled_end(state);
    return AEGIS_OK;
}

size_t aegis_i_budget_bytes(void) {
    return sizeof(aegis_budget);
}

size_t aegis_i_budget_watcher_bytes(void) {
    return sizeof(aegis_i_watcher);
}

bool aegis_i_budget_is_lost(aegis_budget *budget) {
    if (!aegis_i_mutex_lock(&budget->lock))
        return true;
    aegis_i_mutex_unlock(&budget->lock);
    return false;
}
