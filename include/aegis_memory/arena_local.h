/* SPDX-License-Identifier: Apache-2.0 */
/** @file arena_local.h
 *  A local handle: a thread's own arena on top of a lock-free arena (lock_free_arena.h), here
 *  called the shared arena. A local handle is an aegis_arena whose blocks are shards. A shard is
 *  a part of a block of the shared arena, which the handle carves out with one atomic addition.
 *
 *  Allocate from `local.arena` with every function of arena.h. The inlined fast path is the same
 *  code, without atomic operations. The handle is an explicit object, not a thread-local
 *  variable. So it works wherever a pointer can be passed, and no destructor must run in some
 *  order.
 *
 *  What a handle allocates lives as long as the shared arena's memory: aegis_arena_local_fini
 *  leaves it in place. (aegis_arena_reset and aegis_arena_fini on `local.arena` free it earlier,
 *  and every handle may then reuse it.)
 *
 *  Sizes: the first shard is 1 KiB. The next ones double up to 8 KiB. Then they grow with the
 *  bytes that the handle has carved, up to 512 KiB, but at most to an eighth of the shared
 *  arena's largest growth step. A shard that is larger than what the shared arena's block has
 *  left takes that rest, if it is 1 KiB or more. The first shard of another block is at most
 *  32 KiB. While nothing else is carved behind a shard, the shard grows where it is by the same
 *  amount, instead of giving way to a new one. A request that is larger than a shard is taken
 *  from the shared arena directly.
 *
 *  Bounds: the unused end of an open handle's shard is at most what the handle has used. It is
 *  also at most 8 KiB or 1/24 of the bytes that the handle has carved, whichever is more. With
 *  64 handles on an arena of 64 MiB that is less than 5 %. A handle that is finished gives that
 *  end back to the block if nothing was carved behind it. Otherwise it leaves the end to later
 *  handles, which take such ends first (16 are remembered). The ends of earlier shards are
 *  smaller than the requests that found no room in them.
 *
 *  After a fork a handle works in the child process if its thread is the one that forked, or was
 *  not inside a call on the handle. A new handle can be made in any case.
 *
 *  After a reset of the shared arena a handle must not be used any more. Every build then
 *  refuses it a new shard with AEGIS_E_INVALID. A debug build refuses it every allocation, and
 *  reports that.
 */
#ifndef AEGIS_MEMORY_ARENA_LOCAL_H
#define AEGIS_MEMORY_ARENA_LOCAL_H

#if defined(AEGIS_OMIT_THREADS) || defined(AEGIS_FREESTANDING)
#error "aegis_memory/arena_local.h needs threads: AEGIS_OMIT_THREADS leaves it out"
#endif

#include "arena.h"
#include "base.h"
#include "lock_free_arena.h"

#ifdef __cplusplus
extern "C" {
#endif

/** The largest shard, in bytes (512 KiB). */
#define AEGIS_ARENA_LOCAL_MAX_SHARD 524288
/** The first shard, in bytes. */
#define AEGIS_ARENA_LOCAL_MIN_SHARD 1024

/** A local handle of one thread. It may be moved with memcpy, and to another thread. */
typedef struct aegis_arena_local {
    aegis_arena arena;
} aegis_arena_local;

/** Makes a handle. The first allocation carves its first shard.
 *  @param local   memory for the struct; its content is overwritten.
 *  @param shared  outlives the handle; its struct may be moved.
 *  @param flags   AEGIS_ARENA_GUARD, _FILL, _NO_DEBUG (see arena.h) or 0.
 *  @return        AEGIS_OK; AEGIS_E_INVALID for another flag.
 *  On failure:    `local` is all-zero except for the error record of its arena.
 *  Ownership:     the caller's; finish it with aegis_arena_local_fini, before or after a reset.
 *  Threads:       any thread, each for a handle of its own.
 *  Cost:          O(1).
 */
AEGIS_API aegis_status aegis_arena_local_init(aegis_arena_local *local,
                                              const aegis_lock_free_arena *shared, uint32_t flags);

/** Finishes a handle: runs the functions that were deferred to it, newest first, and gives the
 *  unused end of its shard back. What it has allocated stays good. After a reset of the shared
 *  arena this call only clears the handle.
 *  @param local  NULL and all-zero are accepted. All-zero afterwards.
 *  Threads:      one owner.
 *  Cost:         O(idle shards + deferred functions), lock-free.
 */
AEGIS_API void aegis_arena_local_fini(aegis_arena_local *local);

#ifdef __cplusplus
}
#endif

#endif
