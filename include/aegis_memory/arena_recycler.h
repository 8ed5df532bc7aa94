/* SPDX-License-Identifier: Apache-2.0 */
/** @file arena_recycler.h
 *  A bounded stock of arenas for servers with one arena a request: a thread gets an arena, works
 *  with it as its one owner, and puts it back, reset and trimmed, for the next request.
 *
 *  The stock is a stack under a lock, so that the arena used last, whose memory is warm, is used
 *  next. Resetting, trimming, making and finishing arenas happen outside of the lock.
 *
 *  Bound: the stock holds at most `max_idle_count` arenas of at most `keep_bytes` each. There may
 *  be any number of arenas out; those put back beyond the stock's bound are finished.
 *
 *  After a fork the recycler works in the child process if no other thread was moving an arena into
 *  the stock or out of it at that moment. Else aegis_arena_recycler_get and _fini return
 *  AEGIS_E_FORKED there, arenas put back are finished, and the figures are 0. Arenas that other
 *  threads had out stay out.
 *
 *  All-zero is not ready for use, but aegis_arena_recycler_fini accepts it.
 */
#ifndef AEGIS_MEMORY_ARENA_RECYCLER_H
#define AEGIS_MEMORY_ARENA_RECYCLER_H

#include "arena.h"
#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

/** How a recycler is to be made. */
typedef struct aegis_arena_recycler_options {
    /** How each arena is made. `memory` must be NULL. The source is called by any thread that has
     *  an arena, several at once, and closed when the recycler is finished. */
    aegis_arena_options arena;
    /** Arenas kept at most. */
    size_t max_idle_count;
    /** What an arena in stock is trimmed to: bytes, block heads included. */
    size_t keep_bytes;
    /** Says why the recycler could not be made; written then only. NULL: not wanted. */
    aegis_error *error;
} aegis_arena_recycler_options;

typedef struct aegis_arena_recycler_shared aegis_arena_recycler_shared;

/** A stock of arenas. */
typedef struct aegis_arena_recycler {
    aegis_arena_recycler_shared *shared;
} aegis_arena_recycler;

/** The figures of a recycler. */
typedef struct aegis_arena_recycler_stats {
    /** Arenas in stock now. */
    size_t idle_count;
    /** Arenas out now. */
    size_t out_count;
    /** Arenas ever made. */
    uint64_t made_count;
    /** Arenas ever handed out from stock. */
    uint64_t reused_count;
} aegis_arena_recycler_stats;

/** Makes a recycler. It makes no arena yet.
 *  @param recycler  memory for the struct; its content is overwritten.
 *  @param options   not NULL; may go at once.
 *  @return          AEGIS_OK; AEGIS_E_INVALID (no options, or memory in them);
 *                   AEGIS_E_INVALID_LAYOUT (max_idle_count too large); AEGIS_E_OUT_OF_MEMORY.
 *  On failure:      `recycler` is all-zero; the source is not closed.
 *  Ownership:       the caller's; finish it with aegis_arena_recycler_fini.
 *  Threads:         one, before any other uses it.
 *  Cost:            one allocation on the C heap.
 */
AEGIS_API aegis_status aegis_arena_recycler_init(aegis_arena_recycler *recycler,
                                                 const aegis_arena_recycler_options *options);

/** Finishes every arena in stock, then closes the source.
 *  @param recycler  NULL and all-zero are accepted. All-zero afterwards.
 *  @return          AEGIS_OK; AEGIS_E_BUSY when arenas are out; AEGIS_E_FORKED.
 *  On failure:      nothing changed.
 *  Threads:         one, after all others are done with it.
 *  Cost:            O(blocks).
 */
AEGIS_API aegis_status aegis_arena_recycler_fini(aegis_arena_recycler *recycler);

/** Hands out an arena: from stock, else a new one.
 *  @param arena  memory for the struct; its content is overwritten.
 *  @param error  overwritten on failure; NULL if the reason is not wanted.
 *  @return       as aegis_arena_init; AEGIS_E_EXHAUSTED when SIZE_MAX arenas are out;
 *                AEGIS_E_FORKED.
 *  On failure:   `arena` is all-zero but for its error record.
 *  Ownership:    the caller's, until aegis_arena_recycler_put of it, or of wherever it was moved.
 *  Threads:      any thread.
 *  Cost:         one lock; O(1), and at most one acquire for a new arena.
 */
AEGIS_API aegis_status aegis_arena_recycler_get(const aegis_arena_recycler *recycler,
                                                aegis_arena *arena, aegis_error *error);

/** Takes an arena back: resets it, trims it, and stocks it if there is room.
 *  @param arena  from aegis_arena_recycler_get of this recycler. All-zero afterwards; all-zero is
 *                accepted and ignored.
 *  Ownership:    every pointer into the arena is dead.
 *  Threads:      any thread.
 *  Cost:         one lock, not held meanwhile; O(blocks + deferred functions).
 */
AEGIS_API void aegis_arena_recycler_put(const aegis_arena_recycler *recycler, aegis_arena *arena);

/** Gives the arenas in stock up until at most `keep_count` are left.
 *  Threads:  any thread.
 *  Cost:     O(blocks) outside of the lock.
 */
AEGIS_API void aegis_arena_recycler_trim(const aegis_arena_recycler *recycler, size_t keep_count);

/** Reports the recycler's figures, all of one moment.
 *  @param stats  overwritten.
 *  Threads:      any thread.
 *  Cost:         one lock; O(1).
 */
AEGIS_API void aegis_arena_recycler_get_stats(const aegis_arena_recycler *recycler,
                                              aegis_arena_recycler_stats *stats);

#ifdef __cplusplus
}
#endif

#endif
