/* SPDX-License-Identifier: Apache-2.0 */
/* Budgets: counters that are charged from leaf to root.
 *
 * `used` of every node is changed only by atomic addition, so any interleaving of charges and
 * releases sums to the same. The counters order nothing but themselves and are relaxed. The tree's
 * shape is under the locks: a node's lock guards its list of children, and locks are taken from
 * parent to child. A node leaves its parent's list under the parent's lock before it is freed, so
 * whoever holds that lock may read the children. */
#include "aegis_memory/budget.h"
#include "internal.h"
#include "mutex.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

/* A function told of pressure. Never removed before its budget is freed. */
typedef struct watcher {
    struct watcher *next;
    aegis_budget_pressure_fn function;
    void (*destroy)(void *context);
    void *context;
    uint32_t percent;
} watcher;

struct aegis_budget {
    atomic_size_t used_bytes;
    atomic_size_t peak_bytes;
    atomic_size_t limit_bytes;
    _Atomic(watcher *) watchers;
    aegis_budget *parent;
    atomic_size_t reference_count;
    aegis_i_mutex lock;
    aegis_budget *first_child;
    aegis_budget *last_child;
    aegis_budget *previous_sibling;
    aegis_budget *next_sibling;
    uint32_t level;
    char name[AEGIS_BUDGET_NAME_BYTES];
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

    (void)aegis_budget_retain(parent);
    budget->level = parent->level + 1;
    (void)aegis_i_mutex_lock(&parent->lock);
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
    atomic_fetch_add_explicit(&budget->reference_count, 1, memory_order_relaxed);
    return budget;
}

static void unlink_from_parent(aegis_budget *budget) {
    aegis_budget *parent = budget->parent;
    (void)aegis_i_mutex_lock(&parent->lock);
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

/* Frees a budget that nobody refers to. */
static void free_budget(aegis_budget *budget) {
    size_t used_bytes = atomic_load_explicit(&budget->used_bytes, memory_order_relaxed);
    if (used_bytes != 0) {
        if (AEGIS_I_DEBUG)
            aegis_i_report("budget '%s' destroyed with %zu bytes charged", budget->name,
                           used_bytes);
        /* Nobody can take the charge back any more: the ancestors must not carry it for ever. */
        (void)aegis_budget_uncharge(budget, used_bytes);
    }
    if (budget->parent != NULL)
        unlink_from_parent(budget);
    watcher *watch = atomic_load_explicit(&budget->watchers, memory_order_relaxed);
    while (watch != NULL) {
        watcher *next = watch->next;
        if (watch->destroy != NULL)
            watch->destroy(watch->context);
        free(watch);
        watch = next;
    }
    aegis_i_mutex_fini(&budget->lock);
    free(budget);
}

void aegis_budget_destroy(aegis_budget *budget) {
    while (budget != NULL) {
        /* Release: what this thread did with the budget happens before its end, which the last
         * one's acquire sees. */
        if (atomic_fetch_sub_explicit(&budget->reference_count, 1, memory_order_acq_rel) != 1)
            return;
        aegis_budget *parent = budget->parent;
        free_budget(budget);
        budget = parent;
    }
}

/* The use at which a watcher is told: at least its share of the limit, and never 0. */
static size_t threshold_bytes(const watcher *watch, size_t limit_bytes) {
    size_t share_bytes =
        limit_bytes / 100 * watch->percent + (limit_bytes % 100 * watch->percent + 99) / 100;
    return aegis_i_max(share_bytes, 1);
}

/* Acquire: pairs with the release that published the watcher in aegis_budget_on_pressure. */
static const watcher *watchers_of(aegis_budget *budget) {
    return atomic_load_explicit(&budget->watchers, memory_order_acquire);
}

/* Tells the watchers whose threshold use has risen to by one addition. Additions to `used` are
 * totally ordered, so just one of several threads sees each rise. */
static void tell_rise(aegis_budget *budget, size_t from_bytes, size_t to_bytes) {
    for (const watcher *watch = watchers_of(budget); watch != NULL; watch = watch->next) {
        size_t limit_bytes = atomic_load_explicit(&budget->limit_bytes, memory_order_relaxed);
        size_t threshold = threshold_bytes(watch, limit_bytes);
        if (from_bytes < threshold && threshold <= to_bytes)
            watch->function(watch->context, to_bytes, limit_bytes);
    }
}

/* Whether a charge fits beside what is in use. */
static bool fits(size_t used_bytes, size_t size_bytes, size_t limit_bytes) {
    return used_bytes <= limit_bytes && size_bytes <= limit_bytes - used_bytes;
}

/* The first budget from `budget` up that has no room, or NULL. */
static aegis_budget *find_full(aegis_budget *budget, size_t size_bytes) {
    for (; budget != NULL; budget = budget->parent)
        if (!fits(atomic_load_explicit(&budget->used_bytes, memory_order_relaxed), size_bytes,
                  atomic_load_explicit(&budget->limit_bytes, memory_order_relaxed)))
            break;
    return budget;
}

/* Adds to one budget unless its limit forbids. `*before_bytes` is the use it found. */
static bool add(aegis_budget *budget, size_t size_bytes, size_t *before_bytes) {
    size_t limit_bytes = atomic_load_explicit(&budget->limit_bytes, memory_order_relaxed);
    *before_bytes =
        atomic_fetch_add_explicit(&budget->used_bytes, size_bytes, memory_order_relaxed);
    if (fits(*before_bytes, size_bytes, limit_bytes))
        return true;
    atomic_fetch_sub_explicit(&budget->used_bytes, size_bytes, memory_order_relaxed);
    return false;
}

static void raise_peak(aegis_budget *budget, size_t used_bytes) {
    size_t peak_bytes = atomic_load_explicit(&budget->peak_bytes, memory_order_relaxed);
    while (peak_bytes < used_bytes &&
           !atomic_compare_exchange_weak_explicit(&budget->peak_bytes, &peak_bytes, used_bytes,
                                                  memory_order_relaxed, memory_order_relaxed)) {
    }
}

/* Takes a charge back from `budget` up to, but not including, `full`. */
static void take_back(aegis_budget *budget, const aegis_budget *full, size_t size_bytes,
                      const size_t *before_bytes) {
    size_t left_bytes[AEGIS_BUDGET_MAX_DEPTH];
    size_t i = 0;
    for (aegis_budget *node = budget; node != full; node = node->parent, i++)
        left_bytes[i] =
            atomic_fetch_sub_explicit(&node->used_bytes, size_bytes, memory_order_relaxed) -
            size_bytes;
    /* Beside this charge others may have risen to a threshold that it had reached before them: they
     * saw no rise, so it is told here. */
    i = 0;
    for (aegis_budget *node = budget; node != full; node = node->parent, i++)
        tell_rise(node, before_bytes[i], aegis_i_min(before_bytes[i] + size_bytes, left_bytes[i]));
}

aegis_status aegis_budget_charge(aegis_budget *budget, size_t size_bytes,
                                 const aegis_budget **refused) {
    size_t before_bytes[AEGIS_BUDGET_MAX_DEPTH];
    /* Asked first, so that a charge that does not fit disturbs nobody; only a race for the last
     * bytes is decided by the additions. */
    aegis_budget *full = find_full(budget, size_bytes);
    if (full == NULL) {
        size_t i = 0;
        for (full = budget; full != NULL; full = full->parent)
            if (!add(full, size_bytes, &before_bytes[i++]))
                break;
        if (full != NULL)
            take_back(budget, full, size_bytes, before_bytes);
    }
    if (full != NULL) {
        if (refused != NULL)
            *refused = full;
        return AEGIS_E_LIMIT_EXCEEDED;
    }
    /* Peaks only now: a refused charge leaves none. */
    size_t i = 0;
    for (aegis_budget *node = budget; node != NULL; node = node->parent, i++)
        raise_peak(node, before_bytes[i] + size_bytes);
    i = 0;
    for (aegis_budget *node = budget; node != NULL; node = node->parent, i++)
        tell_rise(node, before_bytes[i], before_bytes[i] + size_bytes);
    return AEGIS_OK;
}

aegis_status aegis_budget_uncharge(aegis_budget *budget, size_t size_bytes) {
    if (budget == NULL)
        return AEGIS_OK;
    /* Asked first, so that a wrong release does not disturb others. */
    if (atomic_load_explicit(&budget->used_bytes, memory_order_relaxed) < size_bytes)
        return AEGIS_E_INVALID;
    size_t used_bytes =
        atomic_fetch_sub_explicit(&budget->used_bytes, size_bytes, memory_order_relaxed);
    if (used_bytes < size_bytes) {
        atomic_fetch_add_explicit(&budget->used_bytes, size_bytes, memory_order_relaxed);
        return AEGIS_E_INVALID;
    }
    /* What was charged here was charged to every ancestor too. Nobody is told: whoever releases
     * may be in the middle of a change of its own. */
    for (aegis_budget *node = budget->parent; node != NULL; node = node->parent)
        atomic_fetch_sub_explicit(&node->used_bytes, size_bytes, memory_order_relaxed);
    return AEGIS_OK;
}

void aegis_budget_set_limit(aegis_budget *budget, size_t limit_bytes) {
    size_t old_bytes =
        atomic_exchange_explicit(&budget->limit_bytes, limit_bytes, memory_order_relaxed);
    size_t used_bytes = atomic_load_explicit(&budget->used_bytes, memory_order_relaxed);
    for (const watcher *watch = watchers_of(budget); watch != NULL; watch = watch->next)
        if (used_bytes < threshold_bytes(watch, old_bytes) &&
            used_bytes >= threshold_bytes(watch, limit_bytes))
            watch->function(watch->context, used_bytes, limit_bytes);
}

aegis_status aegis_budget_on_pressure(aegis_budget *budget, uint32_t percent,
                                      aegis_budget_pressure_fn function,
                                      void (*destroy)(void *context), void *context) {
    if (percent < 1 || percent > 100 || function == NULL)
        return AEGIS_E_INVALID;
    watcher *watch = (watcher *)calloc(1, sizeof *watch);
    if (watch == NULL)
        return AEGIS_E_OUT_OF_MEMORY;
    watch->function = function;
    watch->destroy = destroy;
    watch->context = context;
    watch->percent = percent;
    watch->next = atomic_load_explicit(&budget->watchers, memory_order_relaxed);
    /* Release: pairs with the acquire in watchers_of. Nothing is ever removed: no ABA. */
    while (!atomic_compare_exchange_weak_explicit(&budget->watchers, &watch->next, watch,
                                                  memory_order_release, memory_order_relaxed)) {
    }
    return AEGIS_OK;
}

void aegis_budget_get_figures(const aegis_budget *budget, aegis_budget_figures *figures) {
    memcpy(figures->name, budget->name, sizeof figures->name);
    figures->used_bytes = atomic_load_explicit(&budget->used_bytes, memory_order_relaxed);
    figures->peak_bytes = atomic_load_explicit(&budget->peak_bytes, memory_order_relaxed);
    figures->limit_bytes = atomic_load_explicit(&budget->limit_bytes, memory_order_relaxed);
    figures->depth = 0;
    figures->level = budget->level;
}

/* Writes the tree from entry `count` on, as far as there is room; returns the count after it.
 * Recursion is bounded by AEGIS_BUDGET_MAX_DEPTH. */
static size_t snapshot(aegis_budget *budget, uint32_t depth, aegis_budget_figures *figures,
                       size_t capacity, size_t count) {
    if (count < capacity) {
        aegis_budget_get_figures(budget, &figures[count]);
        figures[count].depth = depth;
    }
    count++;
    (void)aegis_i_mutex_lock(&budget->lock);
    for (aegis_budget *child = budget->first_child; child != NULL; child = child->next_sibling)
        count = snapshot(child, depth + 1, figures, capacity, count);
    aegis_i_mutex_unlock(&budget->lock);
    return count;
}

size_t aegis_budget_snapshot(aegis_budget *budget, aegis_budget_figures *figures, size_t capacity) {
    return snapshot(budget, 0, figures, capacity, 0);
}

/* Inserts a consumer into the list, sorted by use, if it is among the largest. */
static void note_consumer(aegis_budget_refusal *refusal, const aegis_budget_figures *consumer) {
    size_t place = refusal->consumer_count;
    while (place > 0 && refusal->consumers[place - 1].used_bytes < consumer->used_bytes)
        place--;
    if (place == AEGIS_BUDGET_CONSUMERS)
        return;
    if (refusal->consumer_count < AEGIS_BUDGET_CONSUMERS)
        refusal->consumer_count++;
    memmove(&refusal->consumers[place + 1], &refusal->consumers[place],
            (refusal->consumer_count - 1 - place) * sizeof refusal->consumers[0]);
    refusal->consumers[place] = *consumer;
}

/* Notes what is charged directly to a budget and to those beneath it. Recursion is bounded by
 * AEGIS_BUDGET_MAX_DEPTH. */
static void note_direct(aegis_budget *budget, uint32_t depth, aegis_budget_refusal *refusal) {
    aegis_budget_figures figures;
    size_t beneath_bytes = 0;
    (void)aegis_i_mutex_lock(&budget->lock);
    aegis_budget_get_figures(budget, &figures);
    for (aegis_budget *child = budget->first_child; child != NULL; child = child->next_sibling) {
        beneath_bytes += atomic_load_explicit(&child->used_bytes, memory_order_relaxed);
        note_direct(child, depth + 1, refusal);
    }
    aegis_i_mutex_unlock(&budget->lock);
    /* The figures are read one by one, so the parts may for once be more than the whole. */
    size_t direct_bytes =
        figures.used_bytes > beneath_bytes ? figures.used_bytes - beneath_bytes : 0;
    if (depth == 0) {
        refusal->budget = figures;
        refusal->direct_bytes = direct_bytes;
    } else if (direct_bytes != 0) {
        figures.used_bytes = direct_bytes;
        figures.depth = depth;
        note_consumer(refusal, &figures);
    }
}

void aegis_budget_get_refusal(const aegis_budget *budget, size_t requested_bytes,
                              aegis_budget_refusal *refusal) {
    memset(refusal, 0, sizeof *refusal);
    refusal->requested_bytes = requested_bytes;
    note_direct((aegis_budget *)(uintptr_t)budget, 0, refusal);
}

size_t aegis_budget_explain(const aegis_budget_refusal *refusal, char *buffer,
                            size_t buffer_bytes) {
    aegis_i_text text = {buffer, buffer_bytes, 0};
    aegis_i_text_add(&text, "budget '%s' refused %zu bytes: limit %zu bytes, %zu bytes in use",
                     refusal->budget.name, refusal->requested_bytes, refusal->budget.limit_bytes,
                     refusal->budget.used_bytes);
    for (size_t i = 0; i < refusal->consumer_count; i++)
        aegis_i_text_add(&text, "%s'%s' %zu bytes", i == 0 ? "; largest: " : ", ",
                         refusal->consumers[i].name, refusal->consumers[i].used_bytes);
    if (refusal->direct_bytes != 0 && refusal->consumer_count != 0)
        aegis_i_text_add(&text, "; %zu bytes held directly", refusal->direct_bytes);
    return text.length;
}

/* Writes bytes in the unit a person would choose. */
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
    /* A limit of 0 that is exceeded counts as 1, and no bar is longer than full. */
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
    /* Budgets may be made between the two calls: then the picture leaves the newest out. */
    size_t capacity = aegis_budget_snapshot(budget, NULL, 0);
    aegis_budget_figures *figures =
        (aegis_budget_figures *)calloc(capacity, sizeof(aegis_budget_figures));
    if (figures == NULL)
        return AEGIS_E_OUT_OF_MEMORY;
    size_t count = aegis_i_min(aegis_budget_snapshot(budget, figures, capacity), capacity);
    for (size_t i = 0; i < count; i++)
        print_line(&figures[i], print, context);
    free(figures);
    return AEGIS_OK;
}
