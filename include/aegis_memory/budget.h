/* SPDX-License-Identifier: Apache-2.0 */
/** @file budget.h
 *  Memory budgets: a tree of named limits, for instance process, database, query, operator.
 *
 *  An object charges a budget when it acquires memory, and uncharges it when it releases the
 *  memory. A charge counts in the budget and in each of its ancestors. If one of them would
 *  exceed its limit, the charge fails and names that budget: this is a refusal. Arenas and pools
 *  charge whole blocks, so an allocation itself pays nothing. Memory that does not belong to an
 *  object of this library is charged by hand. A consumer is a budget that bytes are charged to
 *  directly, not through a child.
 *
 *  How it works:
 *  1. A charge first looks at the budget and each ancestor, and fails if one has no room.
 *  2. It then adds its bytes with one compare-and-swap on each counter, from the root down. A
 *     counter is only changed from a value that leaves room. So no charge brings a counter above
 *     its limit, not even for a moment, and no counter wraps.
 *  3. If a counter has become too full since step 1, the charge takes back what it has added,
 *     and fails.
 *  4. An uncharge subtracts its bytes from the leaf up.
 *  5. A move charges the new budget and its ancestors, up to the lowest one that is above the old
 *     budget too, and then uncharges the old budget and its ancestors below that one. So the
 *     budgets above both count the bytes once at every moment. While a move is under way, both
 *     sides below have the bytes.
 *
 *  The counters are exact once all charges and uncharges have returned. While several charges
 *  race for the last bytes, one that will be refused has added bytes between steps 2 and 3.
 *  Because of them another charge that would have fitted may be refused, a peak may be higher,
 *  or a pressure function may run.
 *
 *  After a fork, charges, uncharges, limits and statistics work in the child process, wherever
 *  other threads were stopped. What the other threads had charged, or were charging, stays
 *  charged there. If another thread was reading the children of a budget, or making or freeing
 *  one, those children are lost to the child process. Reports on that budget then leave them
 *  out, and no new child of it can be made.
 *
 *  A budget lives as long as a handle to it, a child of it, or an object that charges it: each
 *  of them holds a reference. All functions may be called from any thread.
 */
#ifndef AEGIS_MEMORY_BUDGET_H
#define AEGIS_MEMORY_BUDGET_H

#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

/** A limit that never refuses. */
#define AEGIS_BUDGET_UNLIMITED SIZE_MAX
/** Bytes of a budget's name, with the zero byte at its end. A longer name is cut between
 *  characters. */
#define AEGIS_BUDGET_NAME_BYTES 48
/** The most levels of a tree of budgets, its root included. */
#define AEGIS_BUDGET_MAX_DEPTH 16
/** The most consumers that a refusal, or the record of a peak, names. */
#define AEGIS_BUDGET_CONSUMERS 3

typedef struct aegis_budget aegis_budget;

/** The statistics of one budget. */
typedef struct aegis_budget_figures {
    /** The budget's name; ends with a zero byte. */
    char name[AEGIS_BUDGET_NAME_BYTES];
    /** Bytes charged now, to this budget and its descendants. */
    size_t used_bytes;
    /** The largest used_bytes since the budget was made, or since aegis_budget_take_peak. */
    size_t peak_bytes;
    /** AEGIS_BUDGET_UNLIMITED when there is none. */
    size_t limit_bytes;
    /** 0 for the budget that the report is about, 1 for its children, and so on. */
    uint32_t depth;
    /** The distance of the budget from the root, which has 0. */
    uint32_t level;
    /** Requests that wait now until this budget has room. */
    size_t waiting_count;
    /** Charges that this budget refused since it was made. A charge that an ancestor refused
     *  counts there. A request that waits, in a thread or polled, counts only if it ends refused.
     *  If an object is refused a larger block than it needs, and then asks for a smaller one,
     *  only the last charge counts. */
    uint64_t refused_count;
    /** Requests that have waited because this budget had no room. */
    uint64_t wait_count;
    /** Those of them whose time was up. */
    uint64_t timeout_count;
    /** How often reclaimers were asked for memory because this budget had no room. */
    uint64_t reclaim_count;
    /** Bytes that the reclaimers then said that they gave back. */
    uint64_t reclaimed_bytes;
} aegis_budget_figures;

/** Why a charge was refused. */
typedef struct aegis_budget_refusal {
    /** The budget that refused: the one that was charged, or an ancestor. Its depth is 0. Its
     *  limit and its use are those of the error record. */
    aegis_budget_figures budget;
    /** Bytes asked for. */
    size_t requested_bytes;
    /** Bytes that were to be charged for them: see aegis_error. */
    size_t needed_bytes;
    /** What is charged to that budget directly, not through a child. */
    size_t direct_bytes;
    /** How many of `consumers` are set. */
    size_t consumer_count;
    /** The largest consumers below that budget, at any depth, the largest first. Their
     *  `used_bytes` is what is charged to them directly, not through a child. */
    aegis_budget_figures consumers[AEGIS_BUDGET_CONSUMERS];
    /** AEGIS_REFUSED_*: what of that budget refused. */
    uint32_t reason;
} aegis_budget_refusal;

/** A consumer in a record of a peak. */
typedef struct aegis_budget_consumer {
    /** The budget's name; ends with a zero byte. */
    char name[AEGIS_BUDGET_NAME_BYTES];
    /** What was charged to it directly, not through a child. */
    size_t direct_bytes;
    /** 1 for a child of the budget that the record is about, 2 for its children, and so on. */
    uint32_t depth;
    /** The distance of the consumer from the root, which has 0. */
    uint32_t level;
} aegis_budget_consumer;

/** The peak of a budget, and what the largest consumers below it held then: see
 *  aegis_budget_get_peak. */
typedef struct aegis_budget_peak {
    /** The name of the budget. */
    char name[AEGIS_BUDGET_NAME_BYTES];
    /** As in the statistics. */
    size_t peak_bytes;
    /** What was in use when the consumers were recorded. */
    size_t used_bytes;
    /** What was then charged to the budget directly, not through a child. */
    size_t direct_bytes;
    /** How many of `consumers` are set. */
    size_t consumer_count;
    /** The largest consumers below the budget, at any depth, the largest first. */
    aegis_budget_consumer consumers[AEGIS_BUDGET_CONSUMERS];
} aegis_budget_peak;

/** Runs when use has risen to a threshold, or when the budget refuses a charge. For a refused
 *  charge `used_bytes` is what would have been in use, which is above `limit_bytes`. For a forced
 *  charge that is first told as refused, and it may be told again when it is in use. No lock is
 *  held: the function may charge, uncharge and allocate, even from the arena whose growth made
 *  it run. */
typedef void (*aegis_budget_pressure_fn)(void *context, size_t used_bytes, size_t limit_bytes);
/** The same as aegis_print_fn. */
typedef aegis_print_fn aegis_budget_print_fn;

/** Makes a budget.
 *  @param name         a string ended with a zero byte; it is copied. NULL means "".
 *  @param limit_bytes  AEGIS_BUDGET_UNLIMITED for no limit. 0 refuses every charge except one of
 *                      0.
 *  @param parent       NULL for a root. The new budget holds a reference to its parent.
 *  @return             the budget; NULL if there is no memory, if it would be too deep in the
 *                      tree, or if the children of `parent` are lost in this process (see
 *                      above).
 *  Ownership:          the caller's; give it up with aegis_budget_destroy.
 *  Threads:            any thread.
 *  Cost:               one allocation on the C heap; two locks if there is a parent.
 */
AEGIS_API aegis_budget *aegis_budget_new(const char *name, size_t limit_bytes,
                                         aegis_budget *parent);

/** Takes one more reference. References above SIZE_MAX / 2 are not counted: the budget is then
 *  never freed.
 *  @return   `budget`.
 *  Threads:  any thread that holds a reference.
 *  Cost:     O(1).
 */
AEGIS_API aegis_budget *aegis_budget_retain(aegis_budget *budget);

/** Gives a reference up. The last one frees the budget.
 *  @param budget  NULL is accepted. If the last reference is given up while something is
 *                 charged, a debug build reports the name of the budget.
 *  Threads:       any thread.
 *  Cost:          O(1); the last reference takes up to three locks, and calls the `destroy`
 *                 functions of the budget. If requests wait, they get its room. If the parent is
 *                 freed with it, the same again.
 */
AEGIS_API void aegis_budget_destroy(aegis_budget *budget);

/** Charges bytes to a budget and its ancestors, then runs the pressure functions that are due.
 *  Before it fails, it asks reclaimers: see budget_arbitration.h.
 *  @param budget      NULL is accepted and has no limit.
 *  @param size_bytes  how many; 0 is accepted.
 *  @param error       overwritten on failure: it names the budget that refused. NULL if the
 *                     reason is not wanted.
 *  @return            AEGIS_OK, AEGIS_E_LIMIT_EXCEEDED, AEGIS_E_CLOSED.
 *  On failure:        every counter is as before, except the count of refusals.
 *  Threads:           any thread.
 *  Cost:              one compare-and-swap for each ancestor, repeated when threads collide. A
 *                     charge that raises a peak may record it: see aegis_budget_get_peak.
 */
AEGIS_API aegis_status aegis_budget_charge(aegis_budget *budget, size_t size_bytes,
                                           aegis_error *error);

/** Charges bytes to a budget and its ancestors even if they have no room, for memory that is in
 *  use already or that the caller cannot do without. First it does what aegis_budget_charge does
 *  before it fails: it asks reclaimers and runs the pressure functions. What is then still
 *  refused is charged beyond the limits, also to a closed budget. Those budgets refuse all other
 *  charges until their use has fallen. No refusal is counted.
 *  @param budget      NULL is accepted, and nothing is done.
 *  @param size_bytes  how many; 0: nothing is done. No counter rises above SIZE_MAX.
 *  Threads:           any thread.
 *  Cost:              as aegis_budget_charge; beyond a limit the same again, and up to one lock.
 */
AEGIS_API void aegis_budget_force_charge(aegis_budget *budget, size_t size_bytes);

/** Takes a charge back.
 *  @param budget      the budget that was charged; NULL is accepted.
 *  @param size_bytes  how many bytes of its charges to take back.
 *  @return            AEGIS_OK; AEGIS_E_INVALID for more bytes than are charged. If the bytes
 *                     were charged to a descendant and not to this budget, the call does not
 *                     detect that. The ancestors then count less than is in use, but never less
 *                     than 0.
 *  On failure:        no counter was changed, not even for a moment.
 *  Threads:           any thread.
 *  Cost:              one compare-and-swap for each ancestor, repeated when threads collide.
 */
AEGIS_API aegis_status aegis_budget_uncharge(aegis_budget *budget, size_t size_bytes);

/** Moves a charge to another budget: what was charged to `from` is charged to `to` instead. The
 *  budgets that are above both do not change, not even for a moment. So a move fits whenever the
 *  budgets above `to` alone have room, however full the common ones are. One of the two may be
 *  above the other. There is one exception: what a guarantee of `from` or above it covered stays
 *  guaranteed there, unused. So the common budgets must have room for that, as for a charge, and
 *  ask no reclaimer. Runs the pressure functions that are due on `to`'s side.
 *  @param from        the budget that was charged; NULL for bytes that are charged to none, so
 *                     that the call is a charge.
 *  @param to          the budget to be charged. NULL for none, so that the call is an uncharge.
 *  @param size_bytes  how many bytes of the charges of `from`; 0 is accepted.
 *  @param error       overwritten on failure: it names the budget that refused. NULL if the
 *                     reason is not wanted.
 *  @return            AEGIS_OK; AEGIS_E_LIMIT_EXCEEDED if `to`, or a budget above it and not
 *                     above `from`, has no room, or a common one for a guarantee that is left
 *                     unused; AEGIS_E_INVALID for more bytes than are charged to `from`, as of
 *                     aegis_budget_uncharge.
 *  On failure:        every counter is as before. If threads move or uncharge the same bytes at
 *                     once, only one call succeeds; another that fails then may have raised
 *                     `to`'s peak.
 *  Threads:           any thread.
 *  Cost:              one compare-and-swap for each budget that changes, repeated when threads
 *                     collide.
 */
AEGIS_API aegis_status aegis_budget_move(aegis_budget *from, aegis_budget *to, size_t size_bytes,
                                         aegis_error *error);

/** Changes the limit. If more is in use, the reclaimers of the budget and of the budgets beneath
 *  it are asked for the excess (see budget_arbitration.h). What they do not give back stays in
 *  use, and the budget refuses charges until use has fallen. A higher limit serves the requests
 *  that wait.
 *  @param limit_bytes  AEGIS_BUDGET_UNLIMITED for no limit.
 *  Threads:            any thread.
 *  Cost:               one lock, the reclaimers that are asked, O(pressure functions).
 */
AEGIS_API void aegis_budget_set_limit(aegis_budget *budget, size_t limit_bytes);

/** aegis_budget_get_figures for figures of `figures_bytes` bytes: see "Structs that grow" in
 *  base.h. */
AEGIS_API void aegis_budget_get_figures_sized(const aegis_budget *budget,
                                              aegis_budget_figures *figures, size_t figures_bytes);

/** Reports the statistics of one budget.
 *  @param figures  overwritten.
 *  Threads:        any thread; the numbers are read one after the other.
 *  Cost:           O(1).
 */
AEGIS_STATIC_INLINE void aegis_budget_get_figures(const aegis_budget *budget,
                                                  aegis_budget_figures *figures) {
    aegis_budget_get_figures_sized(budget, figures, sizeof *figures);
}

/** aegis_budget_snapshot for figures of `figures_bytes` bytes each: see "Structs that grow" in
 *  base.h. */
AEGIS_API size_t aegis_budget_snapshot_sized(aegis_budget *budget, aegis_budget_figures *figures,
                                             size_t figures_bytes, size_t capacity);

/** Reports the statistics of a budget and its descendants: a parent before its children, and
 *  children in the order in which they were made.
 *  @param figures  room for `capacity` entries; may be NULL if that is 0.
 *  @return         the number of budgets, which may be more than were written.
 *  Threads:        any thread.
 *  Cost:           O(budgets), under their locks.
 */
AEGIS_STATIC_INLINE size_t aegis_budget_snapshot(aegis_budget *budget,
                                                 aegis_budget_figures *figures, size_t capacity) {
    return aegis_budget_snapshot_sized(budget, figures, sizeof *figures, capacity);
}

/** Reads the peak of a budget and begins a new one, which starts at the present use. In the same
 *  step what its consumers held at the peak (aegis_budget_get_peak) is replaced by what they hold
 *  now. Peaks of its ancestors and descendants stay as they are.
 *  @return   the largest use since the budget was made, or since the call before.
 *  Threads:  any thread. A charge that is under way counts in the peak that is returned, or in the
 *            new one. What is in use when the call returns is in the new one.
 *  Cost:     O(budgets below), under their locks and that of the tree, to record the present
 *            consumers.
 */
AEGIS_API size_t aegis_budget_take_peak(aegis_budget *budget);

/** aegis_budget_get_peak for a report of `peak_bytes` bytes: see "Structs that grow" in base.h. */
AEGIS_API void aegis_budget_get_peak_sized(aegis_budget *budget, aegis_budget_peak *peak,
                                           size_t peak_bytes);

/** Reports the peak of a budget, and what the largest consumers below it held at that time.
 *
 *  Consumers are recorded by the thread whose charge raises the peak, but not at each rise: only
 *  if the peak comes to at least 17/16 of the peak recorded before, and at least 1 byte above it.
 *  The record is of the last of these rises, so the peak is less than 1/16, or 1 byte, above the
 *  use of the record. No time is spent on a budget that has had no children: all of its peak was
 *  charged to it directly.
 *
 *  If other threads charge or uncharge while a record is made, its numbers are of slightly
 *  different moments, and bytes of a charge that is under way may count as charged directly.
 *  `used_bytes` is what the record found. That may be lower than said above if others uncharged
 *  between the rise and the record, and higher than the peak by charges that were under way.
 *
 *  @param peak  overwritten. If the children of the budget are lost in this process (see above),
 *               it has the name and the peak only.
 *  Threads:     any thread.
 *  Cost:        O(1), one lock. A record costs the charge that makes it O(budgets below), under
 *               their locks.
 */
AEGIS_STATIC_INLINE void aegis_budget_get_peak(aegis_budget *budget, aegis_budget_peak *peak) {
    aegis_budget_get_peak_sized(budget, peak, sizeof *peak);
}

/** aegis_budget_explain_peak for a report of `peak_bytes` bytes: see "Structs that grow" in
 *  base.h. */
AEGIS_API size_t aegis_budget_explain_peak_sized(const aegis_budget_peak *peak, size_t peak_bytes,
                                                 char *buffer, size_t buffer_bytes);

/** Writes a peak and its consumers as an English sentence.
 *  @param buffer  where the text goes, ended with a zero byte unless buffer_bytes is 0. The text
 *                 is cut if the buffer is too small.
 *  @return        the bytes of the whole text, without the zero byte.
 *  Threads:       any thread.
 *  Cost:          O(text).
 */
AEGIS_STATIC_INLINE size_t aegis_budget_explain_peak(const aegis_budget_peak *peak, char *buffer,
                                                     size_t buffer_bytes) {
    return aegis_budget_explain_peak_sized(peak, sizeof *peak, buffer, buffer_bytes);
}

/** aegis_budget_get_refusal for a report of `refusal_bytes` bytes: see "Structs that grow" in
 *  base.h. */
AEGIS_API void aegis_budget_get_refusal_sized(const aegis_error *error,
                                              aegis_budget_refusal *refusal, size_t refusal_bytes);

/** Says why a budget refused a charge.
 *  @param error    the record of a call that a budget refused: `error->refused` is not NULL.
 *  @param refusal  overwritten; all-zero if no budget refused. Its consumers are those of now, so
 *                  ask at once.
 *  Threads:        any thread, while the budget in the record is good.
 *  Cost:           O(budgets below), under their locks.
 */
AEGIS_STATIC_INLINE void aegis_budget_get_refusal(const aegis_error *error,
                                                  aegis_budget_refusal *refusal) {
    aegis_budget_get_refusal_sized(error, refusal, sizeof *refusal);
}

/** aegis_budget_explain for a report of `refusal_bytes` bytes: see "Structs that grow" in
 *  base.h. */
AEGIS_API size_t aegis_budget_explain_sized(const aegis_budget_refusal *refusal,
                                            size_t refusal_bytes, char *buffer,
                                            size_t buffer_bytes);

/** Writes a refusal as an English sentence.
 *  @param buffer  where the text goes, ended with a zero byte unless buffer_bytes is 0. The text
 *                 is cut if the buffer is too small.
 *  @return        the bytes of the whole text, without the zero byte.
 *  Threads:       any thread.
 *  Cost:          O(text).
 */
AEGIS_STATIC_INLINE size_t aegis_budget_explain(const aegis_budget_refusal *refusal, char *buffer,
                                                size_t buffer_bytes) {
    return aegis_budget_explain_sized(refusal, sizeof *refusal, buffer, buffer_bytes);
}

/** Registers a pressure function, which runs when use reaches a share of the limit: the
 *  threshold. Use reaches it by rising, or because a lowered limit moves the threshold. The
 *  function runs once each time, and runs again only after use has been below the threshold.
 *
 *  It also runs for each charge that the budget itself would refuse, whatever the threshold.
 *  After that the charge is tried once more, so the function may make room for it. A charge that
 *  such a function makes does not run it again.
 *
 *  The function stays registered as long as the budget lives.
 *  @param percent   the share, 1 to 100.
 *  @param function  runs on the thread whose charge, or change of the limit, reached the
 *                   threshold, after that, or whose charge is refused. An uncharge never runs
 *                   it.
 *  @param destroy   called with `context` when the budget is freed; may be NULL.
 *  @param context   passed to `function` and `destroy`.
 *  @return          AEGIS_OK, AEGIS_E_INVALID (percent or function), AEGIS_E_OUT_OF_MEMORY.
 *  On failure:      nothing is registered; `destroy` is not called.
 *  Threads:         any thread.
 *  Cost:            one allocation on the C heap.
 */
AEGIS_API aegis_status aegis_budget_on_pressure(aegis_budget *budget, uint32_t percent,
                                                aegis_budget_pressure_fn function,
                                                void (*destroy)(void *context), void *context);

#if !defined(AEGIS_FREESTANDING)

/** Draws a budget and its descendants, one line for each: the name, the use as a bar and in
 *  numbers, the limit, the peak, and those counts of the statistics that are not 0. If more was
 *  in use when the peak of `budget` was recorded than is now, a last line says what the largest
 *  consumers held then (aegis_budget_get_peak).
 *  @param print    called once for each line, with no lock held. NULL is for debuggers: the lines
 *                  go to the standard error output, nothing is allocated, no lock is waited for,
 *                  and the last line is left out. If a thread holds the lock of a list of
 *                  children, a line says so in their place.
 *  @param context  passed to `print`.
 *  @return         AEGIS_OK, or AEGIS_E_OUT_OF_MEMORY if `print` is not NULL.
 *  Threads:        any thread.
 *  Cost:           O(budgets), one allocation on the C heap unless `print` is NULL.
 */
AEGIS_API aegis_status aegis_budget_print(aegis_budget *budget, aegis_budget_print_fn print,
                                          void *context);

#endif

#ifdef __cplusplus
}
#endif

#endif
