/* SPDX-License-Identifier: Apache-2.0 */
/** @file arena_local.h
 *  A thread's own handle to a lock-free arena: an aegis_arena whose blocks are shards, carved out
 *  of the shared arena by an atomic addition each.
 *
 *  Allocate from `local.arena` with every function of arena.h: the inlined fast path is the same
 *  code, without atomic operations. The handle is explicit, not thread-local: it works wherever a
 *  pointer can be passed, and has no destructor to run in some order.
 *
 *  What it allocates lives as long as the shared arena: aegis_arena_local_fini leaves it in place.
 *  (aegis_arena_reset and aegis_arena_fini on `local.arena` free it earlier, for reuse by all.)
 *
 *  Shards start at 1 KiB, double up to 8 KiB, and then grow with what the handle has had, to at
 *  most 32 KiB or an eighth of the shared arena's growth step. While nothing is carved behind a
 *  shard, it grows in place by as much, instead of giving way to another. A larger request is taken
 *  from the shared arena as it is.
 *
 *  Bound: an open handle strands, at the end of its shard, no more than it has used, and no more
 *  than 8 KiB or 1/24 of the bytes it has carved, whichever is more: with 64 handles on an arena of
 *  64 MiB, less than 5 %. A closed handle gives that end back, if nothing was carved behind it, or
 *  leaves it to the next handles, which take such ends first (16 are remembered). The ends of
 *  earlier shards are smaller than the requests that they had no room for.
 *
 *  After a fork a handle works in the child process if its thread is the one that forked, or was
 *  not inside of a call on it; a new one can be made in any case.
 *
 *  Use after a reset of the shared arena: every build refuses the next shard with AEGIS_E_INVALID;
 *  a debug build refuses every allocation, and reports it.
 */
#ifndef AEGIS_MEMORY_ARENA_LOCAL_H
#define AEGIS_MEMORY_ARENA_LOCAL_H

#include "arena.h"
#include "base.h"
#include "lock_free_arena.h"

#ifdef __cplusplus
extern "C" {
#endif

/** The largest shard, in bytes (32 KiB). */
#define AEGIS_ARENA_LOCAL_MAX_SHARD 32768
/** The first shard, in bytes. */
#define AEGIS_ARENA_LOCAL_MIN_SHARD 1024

/** A handle of one thread. May be moved with memcpy, and to another thread. */
typedef struct aegis_arena_local {
    aegis_arena arena;
} aegis_arena_local;

/** Makes a handle. The first allocation carves its first shard.
 *  @param local   memory for the struct; its content is overwritten.
 *  @param shared  outlives the handle; its struct may be moved.
 *  @param flags   AEGIS_ARENA_GUARD, _FILL, _NO_DEBUG (see arena.h) or 0.
 *  @return        AEGIS_OK; AEGIS_E_INVALID for another flag.
 *  On failure:    `local` is all-zero but for the error record of its arena.
 *  Ownership:     the caller's; finish it with aegis_arena_local_fini, before or after a reset.
 *  Threads:       any thread, each for a handle of its own.
 *  Cost:          O(1).
 */
AEGIS_API aegis_status aegis_arena_local_init(aegis_arena_local *local,
                                              const aegis_lock_free_arena *shared, uint32_t flags);

/** Ends a handle: runs what was deferred to it, newest first, and gives the unused end of its shard
 *  back. What it has allocated stays good. After a reset of the shared arena, only clears it.
 *  @param local  NULL and all-zero are accepted. All-zero afterwards.
 *  Threads:      one owner.
 *  Cost:         O(idle shards + deferred functions), lock-free.
 */
AEGIS_API void aegis_arena_local_fini(aegis_arena_local *local);

#ifdef __cplusplus
}
#endif

#endif
