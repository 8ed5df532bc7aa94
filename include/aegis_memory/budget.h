/* SPDX-License-Identifier: Apache-2.0 */
/** @file budget.h
 *  Memory budgets: a tree of named limits, such as process, database, query, operator.
 *
 *  A charge to a budget counts in it and in every ancestor; if one of them would exceed its limit,
 *  the charge fails and names it. Arenas and pools charge whole blocks, so allocation itself pays
 *  nothing. Memory that is not ours is charged by hand.
 *
 *  Algorithm: a look at each ancestor, then one compare-and-swap on each, from the root down, taken
 *  back if one has become too full in between; a release goes from the leaf up. The counters are
 *  exact once charges and releases have returned. Of charges that race for the last bytes, one that
 *  is being refused may, for that moment, make another one be refused that would just have fitted,
 *  or count in a peak or a pressure; never the reverse: no charge brings a counter above its limit,
 *  not even for a moment, and none wraps.
 *
 *  After a fork charges, releases, limits and figures work in the child process, wherever other
 *  threads were stopped; what these had charged, or were charging, stays charged there. If one of
 *  them was looking at a budget's children, or making or ending one, they are lost to the child:
 *  reports on that budget leave them out, and no more can be made beneath it.
 *
 *  A budget lives as long as a handle to it, a child of it, or an object that charges it: each
 *  holds a reference. All functions may be called from any thread.
 */
#ifndef AEGIS_MEMORY_BUDGET_H
#define AEGIS_MEMORY_BUDGET_H

#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

/** A limit that never refuses. */
#define AEGIS_BUDGET_UNLIMITED SIZE_MAX
/** Bytes of a budget's name, terminator included. A longer name is cut between characters. */
#define AEGIS_BUDGET_NAME_BYTES 48
/** Budgets on the longest way from root to leaf. */
#define AEGIS_BUDGET_MAX_DEPTH 16
/** Consumers that a refusal names. */
#define AEGIS_BUDGET_CONSUMERS 3

typedef struct aegis_budget aegis_budget;

/** The figures of one budget. */
typedef struct aegis_budget_figures {
    char name[AEGIS_BUDGET_NAME_BYTES];
    /** Bytes charged now, to it and its descendants. */
    size_t used_bytes;
    /** The largest used_bytes so far. */
    size_t peak_bytes;
    /** AEGIS_BUDGET_UNLIMITED when there is none. */
    size_t limit_bytes;
    /** 0 for the budget that was asked, 1 for its children, and so on. */
    uint32_t depth;
    /** Its distance from the root, which has 0. */
    uint32_t level;
} aegis_budget_figures;

/** Why a charge was refused. */
typedef struct aegis_budget_refusal {
    /** The budget that refused: the one charged or an ancestor. Its depth is 0. */
    aegis_budget_figures budget;
    size_t requested_bytes;
    /** What is charged to it directly, not through a child. */
    size_t direct_bytes;
    /** How many of `consumers` are set. */
    size_t consumer_count;
    /** The largest consumers beneath it, however deep, largest first. Their `used_bytes` is what
     *  is charged to them directly, not through a child. */
    aegis_budget_figures consumers[AEGIS_BUDGET_CONSUMERS];
} aegis_budget_refusal;

/** Told that use has risen to a threshold. No lock is held: it may charge, release, allocate, even
 *  from the arena whose growth made it run. */
typedef void (*aegis_budget_pressure_fn)(void *context, size_t used_bytes, size_t limit_bytes);
/** Handed one line of text without a line end. */
typedef void (*aegis_budget_print_fn)(void *context, const char *line);

/** Makes a budget.
 *  @param name         a terminated string, copied; NULL means "".
 *  @param limit_bytes  AEGIS_BUDGET_UNLIMITED for none; 0 refuses every charge but 0.
 *  @param parent       NULL for a root. The new budget holds a reference to it.
 *  @return             the budget; NULL without memory, when it would be too deep, or when the
 *                      parent's children are lost in this process (see above).
 *  Ownership:          the caller's; give it up with aegis_budget_destroy.
 *  Threads:            any thread.
 *  Cost:               one allocation on the C heap, one lock.
 */
AEGIS_API aegis_budget *aegis_budget_new(const char *name, size_t limit_bytes,
                                         aegis_budget *parent);

/** Takes one more reference. More than SIZE_MAX / 2 are not counted: from then on the budget is
 *  never freed.
 *  @return   `budget`.
 *  Threads:  any thread that holds a reference.
 *  Cost:     O(1).
 */
AEGIS_API aegis_budget *aegis_budget_retain(aegis_budget *budget);

/** Gives a reference up; the last one frees the budget.
 *  @param budget  NULL is accepted. In a debug build, a last reference given up while something is
 *                 charged is reported by name.
 *  Threads:       any thread.
 *  Cost:          O(siblings) and one lock for the last reference.
 */
AEGIS_API void aegis_budget_destroy(aegis_budget *budget);

/** Charges bytes to a budget and its ancestors, then tells the pressure functions.
 *  @param budget   NULL is accepted and unlimited.
 *  @param refused  set to the budget that refused, good while `budget` is. May be NULL.
 *  @return         AEGIS_OK or AEGIS_E_LIMIT_EXCEEDED.
 *  On failure:     every counter is as before.
 *  Threads:        any thread.
 *  Cost:           one compare-and-swap per ancestor, repeated when threads collide.
 */
AEGIS_API aegis_status aegis_budget_charge(aegis_budget *budget, size_t size_bytes,
                                           const aegis_budget **refused);

/** Takes a charge back.
 *  @param budget  the one that was charged; NULL is accepted.
 *  @return        AEGIS_OK; AEGIS_E_INVALID when more is released than is charged. A release to a
 *                 budget of what was charged to one beneath is not found out; the ancestors then
 *                 have less in use than they should, but never less than 0.
 *  On failure:    every counter is as before, and was so all the while.
 *  Threads:       any thread.
 *  Cost:          one compare-and-swap per ancestor, repeated when threads collide.
 */
AEGIS_API aegis_status aegis_budget_uncharge(aegis_budget *budget, size_t size_bytes);

/** Changes the limit. A limit below the present use refuses charges until use has fallen.
 *  Threads:  any thread.
 *  Cost:     O(pressure functions).
 */
AEGIS_API void aegis_budget_set_limit(aegis_budget *budget, size_t limit_bytes);

/** Reports the figures of one budget.
 *  @param figures  overwritten.
 *  Threads:        any thread; the figures are read one by one.
 *  Cost:           O(1).
 */
AEGIS_API void aegis_budget_get_figures(const aegis_budget *budget, aegis_budget_figures *figures);

/** Reports the figures of a budget and its descendants, parents first, children in the order they
 *  were made.
 *  @param figures   room for `capacity` entries; may be NULL if that is 0.
 *  @return          the number of budgets there are, which may be more than was written.
 *  Threads:         any thread.
 *  Cost:            O(budgets), under their locks.
 */
AEGIS_API size_t aegis_budget_snapshot(aegis_budget *budget, aegis_budget_figures *figures,
                                       size_t capacity);

/** Says why a charge that `budget` refused was refused.
 *  @param budget       what aegis_budget_charge put into `refused`.
 *  @param refusal      overwritten.
 *  Threads:            any thread; best asked at once, since the figures are those of now.
 *  Cost:               O(budgets beneath), under their locks.
 */
AEGIS_API void aegis_budget_get_refusal(const aegis_budget *budget, size_t requested_bytes,
                                        aegis_budget_refusal *refusal);

/** Writes a refusal as an English sentence.
 *  @param buffer         terminated unless buffer_bytes is 0; cut if it is too small.
 *  @return               the bytes of the whole text, terminator excluded.
 *  Threads:              any thread.
 *  Cost:                 O(text).
 */
AEGIS_API size_t aegis_budget_explain(const aegis_budget_refusal *refusal, char *buffer,
                                      size_t buffer_bytes);

/** Registers a function to be told when use rises to a share of the limit, or a lowered limit makes
 *  it one: once per rise, and again only after use has been below. It stays for the budget's life.
 *  @param percent   1 to 100.
 *  @param function  runs on the thread whose charge, or change of the limit, crossed the threshold,
 *                   after that. A release never runs it.
 *  @param destroy   called with `context` when the budget is freed; may be NULL.
 *  @return          AEGIS_OK, AEGIS_E_INVALID (percent or function), AEGIS_E_OUT_OF_MEMORY.
 *  On failure:      nothing is registered; `destroy` is not called.
 *  Threads:         any thread.
 *  Cost:            one allocation on the C heap.
 */
AEGIS_API aegis_status aegis_budget_on_pressure(aegis_budget *budget, uint32_t percent,
                                                aegis_budget_pressure_fn function,
                                                void (*destroy)(void *context), void *context);

/** Draws a budget and its descendants, a line each: name, use as a bar and in figures, peak, limit.
 *  @param print  called once per line, with no lock held.
 *  @return       AEGIS_OK, AEGIS_E_INVALID (no function), AEGIS_E_OUT_OF_MEMORY.
 *  Threads:      any thread.
 *  Cost:         O(budgets), one allocation on the C heap.
 */
AEGIS_API aegis_status aegis_budget_print(aegis_budget *budget, aegis_budget_print_fn print,
                                          void *context);

#ifdef __cplusplus
}
#endif

#endif
