/* SPDX-License-Identifier: Apache-2.0 */
/** @file arena_recycler.h
 *  A recycler: a bounded stock of arenas, for servers that use one arena for each request. A
 *  thread gets an arena, works with it as its one owner, and puts it back. The recycler resets
 *  and trims the arena and keeps it for the next request.
 *
 *  The stock is a stack under a lock. So the next thread gets the arena that was used last,
 *  whose memory is still in the processor's caches. The recycler resets, trims, makes and
 *  finishes arenas while it does not hold the lock.
 *
 *  Bound: the stock holds at most `max_idle_count` arenas of at most `keep_bytes` each. Any
 *  number of arenas may be out. An arena that is put back into a full stock is finished.
 *
 *  After a fork the recycler works in the child process if no other thread was moving an arena
 *  into the stock or out of it at that moment. Otherwise aegis_arena_recycler_get and _fini
 *  return AEGIS_E_FORKED there, arenas that are put back are finished, and the statistics are 0.
 *  Arenas that other threads had out stay out.
 *
 *  An all-zero struct is not ready for use, but aegis_arena_recycler_fini accepts it.
 */
#ifndef AEGIS_MEMORY_ARENA_RECYCLER_H
#define AEGIS_MEMORY_ARENA_RECYCLER_H

#if defined(AEGIS_OMIT_THREADS) || defined(AEGIS_FREESTANDING)
#error "aegis_memory/arena_recycler.h needs threads: AEGIS_OMIT_THREADS leaves it out"
#endif

#include "arena.h"
#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

/** How a recycler is made. */
typedef struct aegis_arena_recycler_options {
    /** How each arena is made. `memory` must be NULL. Any thread that has an arena calls the
     *  source, several threads at once. The source is closed when the recycler is finished. */
    aegis_arena_options arena;
    /** The most arenas in stock. */
    size_t max_idle_count;
    /** What an arena in stock is trimmed to: bytes, block headers included. */
    size_t keep_bytes;
    /** Says why the recycler could not be made; it is written only then. aegis_error_explain
     *  writes it as a sentence. NULL: not wanted. */
    aegis_error *error;
} aegis_arena_recycler_options;

typedef struct aegis_arena_recycler_shared aegis_arena_recycler_shared;

/** A stock of arenas. */
typedef struct aegis_arena_recycler {
    aegis_arena_recycler_shared *shared;
} aegis_arena_recycler;

/** The statistics of a recycler. */
typedef struct aegis_arena_recycler_stats {
    /** Arenas in stock now. */
    size_t idle_count;
    /** Arenas out now. */
    size_t out_count;
    /** Arenas made so far. */
    uint64_t made_count;
    /** Arenas handed out from stock so far. */
    uint64_t reused_count;
} aegis_arena_recycler_stats;

/** aegis_arena_recycler_init for options of `options_bytes` bytes, whose first field has
 *  `arena_bytes` bytes: see "Structs that grow" in base.h. */
AEGIS_API aegis_status aegis_arena_recycler_init_sized(aegis_arena_recycler *recycler,
                                                       const aegis_arena_recycler_options *options,
                                                       size_t options_bytes, size_t arena_bytes);

/** Makes a recycler. It makes no arena yet.
 *  @param recycler  memory for the struct; its content is overwritten.
 *  @param options   not NULL; only read during the call.
 *  @return          AEGIS_OK; AEGIS_E_INVALID (no options, or memory in them);
 *                   AEGIS_E_INVALID_LAYOUT (max_idle_count too large); AEGIS_E_OUT_OF_MEMORY.
 *  On failure:      `recycler` is all-zero; the source is not closed.
 *  Ownership:       the caller's; finish it with aegis_arena_recycler_fini.
 *  Threads:         one, before any other uses it.
 *  Cost:            one allocation on the C heap.
 */
AEGIS_STATIC_INLINE aegis_status aegis_arena_recycler_init(
    aegis_arena_recycler *recycler, const aegis_arena_recycler_options *options) {
    return aegis_arena_recycler_init_sized(recycler, options, sizeof *options,
                                           sizeof options->arena);
}

/** Finishes every arena in stock, then closes the source.
 *  @param recycler  NULL and all-zero are accepted. All-zero afterwards.
 *  @return          AEGIS_OK; AEGIS_E_BUSY when arenas are out; AEGIS_E_FORKED.
 *  On failure:      nothing changed.
 *  Threads:         one, after all others are done with it.
 *  Cost:            O(blocks).
 */
AEGIS_API aegis_status aegis_arena_recycler_fini(aegis_arena_recycler *recycler);

/** Hands out an arena: one from stock, or a new one if the stock is empty.
 *  @param arena  memory for the struct; its content is overwritten.
 *  @param error  overwritten on failure; aegis_error_explain writes it as a sentence. NULL if
 *                the reason is not wanted.
 *  @return       as aegis_arena_init; AEGIS_E_EXHAUSTED when SIZE_MAX arenas are out;
 *                AEGIS_E_FORKED.
 *  On failure:   `arena` is all-zero except for its error record.
 *  Ownership:    the caller's, until it is passed to aegis_arena_recycler_put. The struct may be
 *                moved in between.
 *  Threads:      any thread.
 *  Cost:         one lock; O(1), and at most one acquire for a new arena.
 */
AEGIS_API aegis_status aegis_arena_recycler_get(const aegis_arena_recycler *recycler,
                                                aegis_arena *arena, aegis_error *error);

/** Takes an arena back: resets it, trims it, and puts it into the stock if there is room. If the
 *  arena is charged to another budget than the recycler, it moves there first.
 *  @param arena  from aegis_arena_recycler_get of this recycler. All-zero afterwards. All-zero
 *                is accepted and ignored.
 *  Ownership:    every pointer into the arena is dead.
 *  Threads:      any thread.
 *  Cost:         O(blocks + deferred functions), and one lock, which is not held during that
 *                work.
 */
AEGIS_API void aegis_arena_recycler_put(const aegis_arena_recycler *recycler, aegis_arena *arena);

/** Finishes arenas in stock until at most `keep_count` are left.
 *  @param keep_count  the most arenas to keep.
 *  Threads:           any thread.
 *  Cost:              O(blocks) while the lock is not held.
 */
AEGIS_API void aegis_arena_recycler_trim(const aegis_arena_recycler *recycler, size_t keep_count);

/** Charges the arenas in stock to another budget instead of the present one, and those that are
 *  made later. Arenas that are out stay charged as they are. When such an arena is put back, it
 *  moves to the recycler's budget; if that refuses, the arena is finished.
 *  @param budget  the new budget; NULL for none. The recycler holds a reference to each budget
 *                 that it was charged to until it is finished, because the error record of
 *                 another thread may name it.
 *  @param error   overwritten on failure: it names the budget that refused. NULL if the reason
 *                 is not wanted.
 *  @return        AEGIS_OK; AEGIS_E_LIMIT_EXCEEDED as of aegis_budget_move;
 *                 AEGIS_E_OUT_OF_MEMORY; AEGIS_E_FORKED.
 *  On failure:    nothing changed.
 *  Threads:       any thread.
 *  Cost:          O(arenas in stock) under the lock, aegis_budget_move, and one allocation on the
 *                 C heap.
 */
AEGIS_API aegis_status aegis_arena_recycler_move_budget(const aegis_arena_recycler *recycler,
                                                        aegis_budget *budget, aegis_error *error);
/** Finishes the arenas in stock that were not handed out since the latest call. A server that
 *  calls it every minute decays to the arenas that it needs. The arenas' memory goes back to the
 *  source, and the budget is credited, before the call returns.
 *  Threads:  any thread.
 *  Cost:     O(blocks) while the lock is not held. Under the lock, the stock is moved up once for
 *            each 8 arenas that are finished.
 */
AEGIS_API void aegis_arena_recycler_trim_idle(const aegis_arena_recycler *recycler);

/** aegis_arena_recycler_get_stats for statistics of `stats_bytes` bytes: see "Structs that grow"
 *  in base.h. */
AEGIS_API void aegis_arena_recycler_get_stats_sized(const aegis_arena_recycler *recycler,
                                                    aegis_arena_recycler_stats *stats,
                                                    size_t stats_bytes);

/** Reports the recycler's statistics, all of the same moment.
 *  @param stats  overwritten.
 *  Threads:      any thread.
 *  Cost:         one lock; O(1).
 */
AEGIS_STATIC_INLINE void aegis_arena_recycler_get_stats(const aegis_arena_recycler *recycler,
                                                        aegis_arena_recycler_stats *stats) {
    aegis_arena_recycler_get_stats_sized(recycler, stats, sizeof *stats);
}

#ifdef __cplusplus
}
#endif

#endif
