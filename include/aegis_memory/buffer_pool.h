/* SPDX-License-Identifier: Apache-2.0 */
/** @file buffer_pool.h
 *  Pools of buffers for I/O: page-aligned, of one or several sizes. A buffer comes back to its
 *  pool by itself.
 *
 *  A pool has up to AEGIS_BUFFER_MAX_CLASSES size classes. Each is a lock-free pool of blocks
 *  (lock_free_pool.h) with bounded growth, and has one buffer header for each block, beside the
 *  slabs. A writer taken from the pool (aegis_buffer_pool_get) is frozen, split and shared like
 *  any buffer (buffer.h). A buffer is out until its last handle is released, by any thread; then
 *  it is free again. The pool lives until its handles are given up and no buffer is out.
 *
 *  A stripe is a small list of free buffers in front of a class. It belongs to one thread or is
 *  shared by several. A buffer in a stripe is cached.
 *  - A thread with a stripe of its own uses it without an atomic read-modify-write. This needs
 *    Linux's membarrier.
 *  - Threads share stripes on other systems, and where there are more threads than twice the
 *    processors. A flag guards each shared stripe, and is taken with one compare-and-swap. A
 *    thread that finds the flag taken does not wait, but goes to the lock-free pool behind the
 *    stripes.
 *  - Only a thread that finds nothing in that pool either searches all stripes. Only this search
 *    waits for other threads, each of which is in a stripe for a few instructions.
 *  - So no stripe of a thread can hide a buffer from another thread, and no class grows while it
 *    has a free buffer. A get is refused only if, for each class that would do, there was a
 *    moment at which all buffers of the class were out.
 *  - A search is expensive. After it, the threads do without stripes of their own until some
 *    thousand buffers have come back. So a pool is fast if it has more buffers than are out at a
 *    time. A get that is refused again makes no system call as long as they do without.
 *
 *  If the system refuses membarrier from some moment on, as a sandbox may, no call waits for it:
 *  - Threads then do without stripes of their own for good. Each thread moves the buffers of its
 *    stripe to the pool behind when it next uses the pool.
 *  - Until it does so or ends, a search does not find these buffers: at most 28 for each such
 *    thread and class.
 *  - If the last handle is given up before that, the pool stays until each of these threads has
 *    released a buffer, or for ever. A debug build reports that.
 *
 *  In the child process of a fork the pool works, whatever other threads of the parent were
 *  doing. The buffers that they had out, or were moving between a stripe and the pool behind,
 *  are not free there, and keep the pool. The child forgets the threads that waited.
 *
 *  A pool grows when it needs more buffers, and gives slabs back when it is told to
 *  (aegis_buffer_pool_trim, aegis_buffer_pool_trim_idle). No slab goes while one of its buffers
 *  is out. The first slab of each class stays as long as the pool.
 *
 *  A reclaimable pool (AEGIS_BUFFER_RECLAIMABLE) registers itself with its budget, so that others
 *  need not be refused while it has idle slabs:
 *  - Before the budget or one above it refuses a charge, it asks the pool for the bytes that are
 *    wanted. The pool gives back slabs of which no buffer is out, those of its largest class
 *    first, until that is enough. The budget is credited at once, and the budget that would have
 *    refused counts the bytes as reclaimed.
 *  - A growth of the pool itself asks the pool after all others. So a class can grow by what
 *    another class does not use.
 *  - A request that waits at the budget gets slabs that become idle later, too. Until then,
 *    released buffers are not cached in stripes. The thread that releases one tells the budget,
 *    which may call the waker of the request.
 *  - The pool works on the thread that charges. Its source is called there, and so is its `close`
 *    function if the last handle is given up meanwhile. So the source must not take a lock that a
 *    thread may hold while it charges a budget of the same tree.
 *  - When the last handle is given up, the pool can no longer be asked. If buffers are out then,
 *    the slabs of which no buffer is out go back at once, and the others at the end of the pool.
 *  - If all slabs are in use, a refused charge costs O(buffers made), and leaves the stripes
 *    alone.
 *
 *  The policy of a pool says what a get does when all buffers are out. It fails, takes a buffer
 *  from the C heap (charged to the same budget), or waits for a time. A thread that waits is
 *  woken when a buffer becomes free. Waiting threads are served in no particular order. While a
 *  class that would do may still grow, a waiting thread asks source and budget again every 10
 *  ms, and once more when its time is up.
 *
 *  A get asks the budget for a slab of each class that would do. If the budget refuses, the get
 *  asks once more for a slab of the smallest class that may grow. This time memory is reclaimed
 *  for it, it waits in the queue of the budget if the options say so (`wait_ns`), and counts as
 *  one refusal if it fails. What a waiting thread asks for every 10 ms is not reclaimed or waited
 *  for.
 *
 *  A request can also wait without a thread (aegis_buffer_pool_poll): a waker tells its owner when
 *  to ask again. So futures and event loops can be built on it.
 *  - A buffer that becomes free while requests wait wakes the oldest of those for which it is
 *    large enough, and no other request. It is not kept for that request: a thread may take it
 *    in between. Then the request keeps its place among those that wait.
 *  - A request that was woken, and is cancelled or has got another buffer, wakes the next one.
 *  - A waker is called with no lock held, by the thread that released the buffer, or made a class
 *    grow, inside of that call. It may use the pool.
 *  - A poll tries to make a class grow, as a get does. If the budget refuses, the request waits in
 *    the queue of the budget too, whatever `wait_ns` is, for a slab of the smallest class that may
 *    grow: room there wakes it as a buffer does. What was charged for it and is not needed goes
 *    back when it is polled or cancelled. The thread that makes room may be the one that calls the
 *    waker. Nothing wakes a request when the source has memory again.
 *  - A request keeps the pool, as a buffer that is out does. After the last handle was given up it
 *    can only be cancelled.
 *  - In the child process of a fork the requests of the parent have left the queue, and are not
 *    woken. They may be polled there, and then enter the queue of the child, or be cancelled.
 *
 *  Bounds, beside what lock_free_pool.h says: 64 bytes for each of `max_buffer_count` buffers,
 *  whose pages are touched at the first use; 256 bytes for each pair of stripes, of which each
 *  class has 4 to 64; and less than 1 KiB of the C heap for each request that waits.
 *
 *  The struct is a handle: all shared state lies elsewhere, so the handle may be moved with
 *  memcpy. An all-zero struct is not ready for use, but aegis_buffer_pool_release accepts it.
 */
#ifndef AEGIS_MEMORY_BUFFER_POOL_H
#define AEGIS_MEMORY_BUFFER_POOL_H

#if defined(AEGIS_OMIT_THREADS) || defined(AEGIS_FREESTANDING)
#error "aegis_memory/buffer_pool.h needs threads: AEGIS_OMIT_THREADS leaves it out"
#endif

#include "base.h"
#include "buffer.h"
#include "budget.h"
#include "locked_pool.h"
#include "source.h"

#ifdef __cplusplus
extern "C" {
#endif

/** The most size classes of a pool. */
#define AEGIS_BUFFER_MAX_CLASSES 8

/** aegis_buffer_pool_options.when_empty: the request fails. */
#define AEGIS_BUFFER_FAIL 0u
/** aegis_buffer_pool_options.when_empty: the request gets memory of the C heap, charged to the
 *  pool's budget. It has the size of the smallest class that would do. If the request is larger
 *  than every class, it has the size that was asked for. */
#define AEGIS_BUFFER_HEAP 1u
/** aegis_buffer_pool_options.when_empty: the request waits until a buffer is free. */
#define AEGIS_BUFFER_WAIT 2u

/** aegis_buffer_pool_options.flags: the pool is a reclaimer of its budget
 *  (budget_arbitration.h). */
#define AEGIS_BUFFER_RECLAIMABLE 1u

/** One size class of a pool. */
typedef struct aegis_buffer_class {
    /** Capacity of each buffer: at least 1, and more than in the class before. */
    size_t buffer_bytes;
    /** Buffers made at once; at least 1. */
    size_t buffer_count;
    /** The class grows up to this many buffers, `buffer_count` at a time. 0: it never grows. */
    size_t max_buffer_count;
} aegis_buffer_class;

/** How a pool is made. A field that is zero means a default, except `classes` and
 *  `class_count`. */
typedef struct aegis_buffer_pool_options {
    /** Only read during the call. */
    const aegis_buffer_class *classes;
    /** 1 to AEGIS_BUFFER_MAX_CLASSES. */
    size_t class_count;
    /** Alignment of every buffer: a power of two. 0: 4096. */
    size_t align_bytes;
    /** Where memory comes from; the struct is copied. Any thread may call it. NULL: anonymous
     *  pages. */
    const aegis_source *source;
    /** Charged for all memory of the pool. NULL: no limit. The pool holds a reference to the
     *  budget. A class grows by whole slabs of `buffer_count` buffers. */
    aegis_budget *budget;
    /** AEGIS_BUFFER_FAIL, _HEAP or _WAIT. */
    uint32_t when_empty;
    /** AEGIS_BUFFER_RECLAIMABLE or 0. Without a budget the flag has no effect. */
    uint32_t flags;
    /** Reclaimers with a low number are asked first. Only used with AEGIS_BUFFER_RECLAIMABLE. */
    int32_t reclaim_priority;
    /** The longest wait, with AEGIS_BUFFER_WAIT. 0 does not wait; AEGIS_WAIT_FOREVER has no end.
     *  A thread may be cancelled while it waits. */
    uint64_t timeout_ns;
    /** Says why the pool could not be made; it is written only then. aegis_error_explain writes it
     *  as a sentence. If the budget refused, `requested_bytes` are the buffers of the classes up
     *  to the one that found no room, or of all classes if `wait_ns` is not 0. `needed_bytes` is
     *  all that was to be taken for them. NULL: not wanted. */
    aegis_error *error;
    /** The longest wait for room in the budget: of a get, and of a new pool, for all that it takes
     *  at once. 0 does not wait; AEGIS_WAIT_FOREVER has no end. A get that waits for a buffer
     *  waits no longer than for that, both together. With AEGIS_BUFFER_HEAP it is the charge for
     *  the buffer of the C heap that waits. A get that waits for the budget takes a buffer that
     *  comes back meanwhile. It is not cancelled. */
    uint64_t wait_ns;
} aegis_buffer_pool_options;

typedef struct aegis_buffer_pool_shared aegis_buffer_pool_shared;

/** A handle to a pool. */
typedef struct aegis_buffer_pool {
    aegis_buffer_pool_shared *shared;
} aegis_buffer_pool;

/** A request that waits for a buffer. One thread at a time uses it. */
typedef struct aegis_buffer_pool_request aegis_buffer_pool_request;

/** The statistics of one size class. */
typedef struct aegis_buffer_class_stats {
    /** Bytes of each buffer. */
    size_t buffer_bytes;
    /** Buffers made so far. */
    size_t capacity;
    /** Buffers that there may be. */
    size_t max_capacity;
    /** Buffers that are out. */
    size_t in_use;
    /** Free buffers that are cached in stripes. */
    size_t parked;
} aegis_buffer_class_stats;

/** The statistics of a pool. */
typedef struct aegis_buffer_pool_stats {
    /** How many of `classes` there are. */
    size_t class_count;
    /** The size classes, the smallest buffers first. */
    aegis_buffer_class_stats classes[AEGIS_BUFFER_MAX_CLASSES];
    /** How many requests got memory of the C heap so far. */
    uint64_t heap_count;
    /** The bytes of that memory that are out now, as they are charged. */
    size_t heap_bytes;
    /** Requests that waited, in a thread or polled. */
    uint64_t wait_count;
    /** Those of them whose time was up without a buffer. */
    uint64_t timeout_count;
    /** Requests that were refused for any reason, at once or after waiting. */
    uint64_t refused_count;
    /** Bytes acquired from the source and not released: buffers and everything beside them. A
     *  build with AddressSanitizer or Valgrind support adds 16 to each buffer before it rounds
     *  up to the alignment. */
    size_t reserved_bytes;
} aegis_buffer_pool_stats;

/** aegis_buffer_pool_init for options of `options_bytes` bytes: see "Structs that grow" in
 *  base.h. */
AEGIS_API aegis_status aegis_buffer_pool_init_sized(aegis_buffer_pool *pool,
                                                    const aegis_buffer_pool_options *options,
                                                    size_t options_bytes);

/** Makes a pool.
 *  @param pool     overwritten.
 *  @param options  not NULL; see there.
 *  @return         AEGIS_OK; AEGIS_E_INVALID (no options or classes, classes out of order, a
 *                  class of 0 bytes or buffers, a maximum below the count, an unknown policy or
 *                  flag); AEGIS_E_INVALID_LAYOUT (an alignment that is not a power of two, too
 *                  many buffers or bytes); AEGIS_E_OUT_OF_MEMORY; AEGIS_E_LIMIT_EXCEEDED;
 *                  AEGIS_E_FORKED (a reclaimable pool in a child process, if another thread was
 *                  inside the lock of the budget's tree at the fork).
 *  On failure:     `pool` is all-zero; the source is not closed.
 *  Ownership:      the caller's first handle; give it up with aegis_buffer_pool_release. The
 *                  source is closed at the end of the pool.
 *  Threads:        any thread.
 *  Cost:           O(classes), one acquire and three for each class; O(buffers) if the source
 *                  does not zero its memory. A reclaimable pool: also one allocation on the C
 *                  heap.
 */
AEGIS_STATIC_INLINE aegis_status aegis_buffer_pool_init(aegis_buffer_pool *pool,
                                                        const aegis_buffer_pool_options *options) {
    return aegis_buffer_pool_init_sized(pool, options, sizeof *options);
}

/** Makes another handle to the pool.
 *  @param copy  overwritten; all-zero on failure.
 *  @return      AEGIS_OK; AEGIS_E_INVALID for no pool; AEGIS_E_LIMIT_EXCEEDED when there are
 *               SIZE_MAX / 2 handles.
 *  Ownership:   the caller's; give it up with aegis_buffer_pool_release.
 *  Threads:     any thread.
 *  Cost:        one relaxed compare-and-swap.
 */
AEGIS_API aegis_status aegis_buffer_pool_retain(const aegis_buffer_pool *pool,
                                                aegis_buffer_pool *copy);

/** Gives a handle up. The last handle ends the pool. If buffers are out at that time, the pool
 *  ends when the last of them is released: at once, except deep inside of release functions,
 *  where it waits as an owner does (buffer.h).
 *  @param pool  NULL and all-zero are accepted. All-zero afterwards.
 *  Threads:     any thread.
 *  Cost:        O(1). The last handle: O(stripes) and a system call, O(slabs) when the pool
 *               ends, and O(buffers made) for a reclaimable pool with buffers out.
 */
AEGIS_API void aegis_buffer_pool_release(aegis_buffer_pool *pool);

/** Takes an empty writer from the pool.
 *  @param writer              overwritten.
 *  @param min_capacity_bytes  the least capacity of the writer. The buffer is of the smallest
 *                             class that is large enough and has one left.
 *  @param error               overwritten on failure; aegis_error_explain writes it as a
 *                             sentence. NULL if the reason is not wanted. When the pool is
 *                             exhausted, the sizes are those of the smallest class that would
 *                             do. Otherwise they are as for aegis_pool_last_error, but if a
 *                             budget refused, `requested_bytes` is min_capacity_bytes.
 *  @return                    AEGIS_OK; AEGIS_E_LIMIT_EXCEEDED for more bytes than the largest
 *                             class has (`limit_bytes` says how many), or when the budget
 *                             refused; AEGIS_E_EXHAUSTED when all buffers that would do are out;
 *                             AEGIS_E_OUT_OF_MEMORY when the pool had to grow, or asked the C
 *                             heap, without success; AEGIS_E_INVALID_LAYOUT for more bytes than
 *                             the C heap can have; AEGIS_E_INVALID for no pool. If the policy is
 *                             to wait, the status says how things are when the time is up.
 *  On failure:                `writer` is all-zero.
 *  Ownership:                 the caller's; release it, or freeze it and release all views.
 *  Threads:                   any thread.
 *  Cost:                      O(1), a few instructions if the thread's stripe has a buffer;
 *                             O(stripes) if no other place has one, with one system call for
 *                             some thousand buffers that came back; one acquire when the pool
 *                             grows.
 */
AEGIS_API aegis_status aegis_buffer_pool_get(const aegis_buffer_pool *pool,
                                             aegis_buffer_mut *writer, size_t min_capacity_bytes,
                                             aegis_error *error);

/** Takes an empty writer from the pool, and waits for one up to a time, whatever the policy of
 *  the pool is. The writer never comes from the C heap.
 *  @param timeout_ns  0 does not wait; AEGIS_WAIT_FOREVER has no end.
 *  Other parameters, @return, On failure, Ownership, Threads, Cost: as for
 *  aegis_buffer_pool_get.
 */
AEGIS_API aegis_status aegis_buffer_pool_get_timeout(const aegis_buffer_pool *pool,
                                                     aegis_buffer_mut *writer,
                                                     size_t min_capacity_bytes, uint64_t timeout_ns,
                                                     aegis_error *error);

/** Takes an empty writer from the pool, or enters a request for one into the queue, without
 *  waiting in either case and whatever the policy of the pool is. The writer never comes from the
 *  C heap.
 *  @param request             in and out. NULL in it makes a new request, and a request of this
 *                             pool asks for its result. Afterwards it is NULL, except after
 *                             AEGIS_PENDING.
 *  @param writer              overwritten; all-zero unless the result is AEGIS_OK.
 *  @param min_capacity_bytes  as for aegis_buffer_pool_get.
 *  @param wake                called once, with `context`, when the request should be polled
 *                             again. It replaces the waker of the poll before. NULL: nothing is
 *                             called.
 *  @param error               overwritten when the result is an error; aegis_error_explain writes
 *                             it as a sentence. NULL if the reason is not wanted.
 *  @return                    AEGIS_OK: the writer is there. AEGIS_PENDING: the request waits. It
 *                             is polled again when its waker was called, or at any other time,
 *                             and may be PENDING again. Errors: AEGIS_E_INVALID (a handle that
 *                             was released; the request is cancelled); AEGIS_E_LIMIT_EXCEEDED (a
 *                             request larger than every class); AEGIS_E_OUT_OF_MEMORY, when the
 *                             C heap has no memory for the request; AEGIS_E_FORKED. Other errors
 *                             of aegis_buffer_pool_get only if no buffer is known to be out that
 *                             would wake the request when it comes home.
 *  Ownership:                 the writer as that of aegis_buffer_pool_get. The request is the
 *                             caller's until a poll makes it NULL or it is cancelled. A context
 *                             may be released when its waker has run. It may be released before
 *                             only if aegis_buffer_pool_request_disarm or _cancel has returned
 *                             true. So whoever counts references to contexts calls _disarm
 *                             before each poll of a request.
 *  Threads:                   any thread; one at a time for a request.
 *  Cost:                      as aegis_buffer_pool_get. If no buffer is free: two searches, the
 *                             pool's mutex, and at the first poll an allocation on the C heap.
 *                             While a request waits, each release takes the way through the
 *                             mutex. No cancellation point.
 */
AEGIS_API aegis_status aegis_buffer_pool_poll(const aegis_buffer_pool *pool,
                                              aegis_buffer_pool_request **request,
                                              aegis_buffer_mut *writer, size_t min_capacity_bytes,
                                              aegis_wake_fn wake, void *context,
                                              aegis_error *error);

/** Withdraws the waker of a request, which stays in the queue.
 *  @param request  not NULL.
 *  @return         true: the waker was not called and will not be, and its context is not used
 *                  any more. False: the waker was called, or is being called by another thread at
 *                  this moment, this once; or the request has no waker.
 *  Threads:        any thread; one at a time for a request. The waker itself may call it.
 *  Cost:           O(1) under the pool's mutex.
 */
AEGIS_API bool aegis_buffer_pool_request_disarm(aegis_buffer_pool_request *request);

/** Gives a request up: its place in the queue and its waker. If it was woken, the next request is
 *  woken.
 *  @param request  NULL is accepted. Freed, and with it the pool if nothing else keeps that.
 *  @return         as for aegis_buffer_pool_request_disarm; false for NULL.
 *  Threads:        any thread; no other one uses the request.
 *  Cost:           O(1) under the pool's mutex, and the waker of another. No cancellation point.
 */
AEGIS_API bool aegis_buffer_pool_request_cancel(aegis_buffer_pool_request *request);

/** Tells which block of a pool a buffer lies in, to name a registered buffer to the kernel.
 *  @param owner  the `owner` of a view or a writer; any pointer.
 *  @param id     overwritten: the place of the block in the table of aegis_buffer_pool_iovecs.
 *  @return       AEGIS_OK; AEGIS_E_INVALID when the buffer is in no block of this pool. A buffer
 *                on the C heap is in none.
 *  On failure:   `id` is untouched.
 *  Threads:      any thread.
 *  Cost:         O(classes).
 */
AEGIS_API aegis_status aegis_buffer_pool_id_of(const aegis_buffer_pool *pool,
                                               const aegis_buffer_owner *owner, size_t *id);

/** Lists the pool's blocks, whether they are out or not, to register them with the kernel (for
 *  instance as registered buffers of io_uring). Every block that the pool may grow to has a
 *  place, class after class. A block that is not made yet, or whose slab went back, has a NULL
 *  base and no length. Places never change. When a slab comes back, its blocks may lie at other
 *  addresses.
 *  @param iovecs  room for `count` entries; NULL if `count` is 0.
 *  @return        how many places there are; entries beyond `count` are not written.
 *  Threads:       any thread.
 *  Cost:          O(count).
 */
AEGIS_API size_t aegis_buffer_pool_iovecs(const aegis_buffer_pool *pool, aegis_iovec *iovecs,
                                          size_t count);

/** Charges the memory of a pool to another budget instead of the present one. Later growth is
 *  charged there too, and that budget asks a reclaimable pool. Buffers on the C heap that are
 *  out stay charged as they are; see aegis_buffer_move_budget for these, and for buffers of the
 *  pool that are out.
 *  @param pool    the only handle.
 *  @param budget  the new budget; NULL for none. The pool holds a reference to it, and gives up
 *                 that to the old budget.
 *  @param error   overwritten on failure: it names the budget that refused. NULL if the reason
 *                 is not wanted.
 *  @return        AEGIS_OK; AEGIS_E_LIMIT_EXCEEDED and AEGIS_E_CLOSED as of aegis_budget_move;
 *                 AEGIS_E_BUSY (AEGIS_WHAT_OUT) while there is another handle, a buffer of the
 *                 pool is out, another thread tells those that wait of a buffer that it has
 *                 released, or a budget asks a reclaimable pool for bytes on another thread;
 *                 AEGIS_E_OUT_OF_MEMORY if a reclaimable pool cannot be registered with the new
 *                 budget, AEGIS_E_FORKED as of aegis_budget_on_reclaim; AEGIS_E_INVALID for no
 *                 pool.
 *  On failure:    nothing changed.
 *  Threads:       one, while no other uses this handle. Others may release buffers, and cancel
 *                 requests.
 *  Cost:          O(buffers), and aegis_budget_move.
 */
AEGIS_API aegis_status aegis_buffer_pool_move_budget(aegis_buffer_pool *pool, aegis_budget *budget,
                                                     aegis_error *error);

/** Gives slabs back to the source, of each class those of which no buffer is out, the last one
 *  first. Buffers that are cached in stripes are not out: they are brought home before. The
 *  first slab of each class stays. The budget is credited before the call returns.
 *  @param keep_count  a slab stays if its class would have fewer buffers than this without it.
 *  Threads:           any thread, while others take and release buffers. Of several trims of one
 *                     class at a time, those that find another one sorting do nothing.
 *  Cost:              O(buffers made) for each class that has grown, a system call, and one
 *                     release for each slab that goes. The free buffers are sorted first: during
 *                     that time a get that finds no other buffer free waits. The source is
 *                     called after. For a while the threads do without stripes of their own, as
 *                     after a search.
 */
AEGIS_API void aegis_buffer_pool_trim(const aegis_buffer_pool *pool, size_t keep_count);

/** Gives the slabs back that were not used since the latest call, as aegis_buffer_pool_trim
 *  does. A server that calls it every minute decays to what it needs. A slab was used if one of
 *  its buffers was out, or was moved to a stripe. The buffers of slabs that are not used are set
 *  aside: they are taken only when the pool behind the stripes has no others. So a slab that is
 *  not needed stays idle, and the next call gives it back.
 *  Threads, Cost:  as for aegis_buffer_pool_trim.
 */
AEGIS_API void aegis_buffer_pool_trim_idle(const aegis_buffer_pool *pool);

/** aegis_buffer_pool_get_stats for statistics of `stats_bytes` bytes: see "Structs that grow" in
 *  base.h. */
AEGIS_API void aegis_buffer_pool_get_stats_sized(const aegis_buffer_pool *pool,
                                                 aegis_buffer_pool_stats *stats,
                                                 size_t stats_bytes);

/** Reports the pool's statistics. They are exact when no other thread uses the pool; otherwise
 *  each buffer is counted as it was at some moment during the call.
 *  @param stats  overwritten.
 *  Threads:      any thread.
 *  Cost:         O(buffers).
 */
AEGIS_STATIC_INLINE void aegis_buffer_pool_get_stats(const aegis_buffer_pool *pool,
                                                     aegis_buffer_pool_stats *stats) {
    aegis_buffer_pool_get_stats_sized(pool, stats, sizeof *stats);
}

#ifdef __cplusplus
}
#endif

#endif
