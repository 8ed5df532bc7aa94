/* SPDX-License-Identifier: Apache-2.0 */
/* The shared state of a buffer pool: what its classes and its handles share, and what waits for a
 * block. Not installed. The classes, their stripes and their slots are in pool_stripe.h.
 *
 * The invariants go on from those of pool_stripe.h, which have the numbers 1 to 14. So a number
 * means the same in both files, and in all others.
 *
 * After a fork:
 * 15. What the mutex guards can be forgotten. So the first thread of the child that is about to
 *     wait, or to wake others, makes the mutex and the condition anew, empties the queues and sets
 *     `waiters` to 0 (aegis_i_buffer_pool_adopt). A request knows by its generation that it is in
 *     no queue.
 *
 * How long the pool lives:
 * `live` counts the blocks that are not at home (out or cached), the buffers on the C heap, the
 * requests (29), the registrations as a reclaimer (pool_reclaim.c), and 1 for all handles together.
 * The thread that brings it to 0 frees the pool (aegis_i_buffer_pool_drop).
 * 16. A block leaves its home only in a call on a handle, and the handles' 1 is in `live`. The
 *     block is counted before it is cached or handed out (count_live), so before any thread can
 *     release it.
 * 17. A block that goes home is counted until it is there (give_back_slow, move_home).
 * 18. A thread that moves cached blocks home has a block of its own or a handle, which is counted
 *     too. So the subtraction in move_home is never the last one.
 * 19. A block that is cached stays counted. Other threads can take it only after the thread that
 *     cached it has left the stripe, and from then on this thread does not touch the pool
 *     (give_back, give_back_slow).
 * 20. The thread that gives up the last handle takes all flags for good, closes the private stripes
 *     for good, and moves their blocks home (aegis_i_buffer_class_close). Only then it subtracts
 *     the handles' 1 (aegis_buffer_pool_release). After that a thread enters a stripe only to empty
 *     a marked one, with a block in hand (8).
 * So the pool lives while a thread touches it. The thread has a handle or a block, which is counted
 * (17, 18). Or it has cached its block and is still inside the stripe. Then the thread that gives
 * up the last handle waits for it, while the handles' 1 is counted (20). Without a barrier it does
 * not wait, but then no other thread takes the block, which is counted (8, 19).
 * The thread that frees the pool sees what all others did with it. A subtraction that may be the
 * last one acquires and releases (aegis_i_buffer_pool_drop). A thread that caches a block leaves
 * the stripe with a release (leave_shared, aegis_i_stripe_leave_private). The thread that empties
 * the stripe acquires (try_flag, wait_for_thread).
 *
 * Waiting:
 * A waiter is a thread that waits, or a request in a queue.
 * 21. A waiter is first added to `waiters`, then it searches (aegis_i_buffer_pool_begin_wait). So
 *     does a thread that waits for the budget (begin_patience in ../budget/wait.c, look in pool.c).
 * 22. A thread that releases a block caches it only if it has read inside the stripe that `waiters`
 *     is 0 (give_back, give_back_slow).
 * 23. Otherwise it moves the block home, and then executes a read-modify-write of `waiters`, which
 *     tells it whether to wake others (aegis_i_buffer_pool_wake).
 * 24. A waiter searches and falls asleep, or enters the queue, under the mutex. The thread that
 *     wakes it locks the mutex too, so no wake-up falls between search and sleep. A thread that
 *     waits for the budget is in the queue of the budget when it searches, and is called back if it
 *     is there (aegis_i_budget_call_all).
 * So a waiter misses no block. If the block was cached, the search enters that stripe later and
 * finds it, because a thread that enters after the search sees the waiter. If the block went home
 * and the read-modify-write came before the waiter's addition, the search finds the block at home.
 * If the read-modify-write came later, it saw the waiter, which is woken.
 *
 * Waking requests:
 * A block wakes all threads that wait, because each of them searches under the mutex and sleeps
 * again. Of the requests it wakes one, because each wake-up is a task that is polled.
 * 25. A block that becomes free while requests wait is promised to the oldest of those for which it
 *     is large enough. The promise takes the request out of the queue and names the block's class
 *     (wake_one in pool_queue.c).
 * 26. A request that is polled or cancelled gives up its promise. If it has taken a block of
 * another class, or was cancelled, it passes the promise on to the next request (pass_on in
 *     pool_poll.c). If it has taken no block, its search has found all blocks of that class out.
 * 27. A request keeps its number, so it comes back before the requests that came after it.
 * So while a request waits, the free blocks of a class that would do are never more than the
 * promises of this class that are open. A block that becomes free adds one to both (25). A taken
 * block takes one from the former. A promise is closed by a block of its class, by another promise,
 * or at a moment at which no block of the class was free (26). And at the moment at which a request
 * enters the queue no block that would do was free (21, 24). So a request waits for a block in vain
 * only as long as the task that it is promised to is not polled.
 * 28. No function of the user's runs under the mutex or inside of a stripe: a waker is called after
 *     both were left (wake_one, and the callers of aegis_i_buffer_pool_wake).
 * 29. A request is counted in `live`, so the pool lives until the request has ended.
 * 30. Only its own calls free a request. Others touch it only under the mutex and while it is in a
 *     queue. A waker is taken out of the request under the mutex before it is called, so it is
 *     called at most once, and a call that withdraws it knows whether it was taken.
 *
 * No thread wakes a thread that waits when a budget has room again, or when a thread ends that has
 * cached blocks in a marked stripe. So if a class may grow, or is AEGIS_I_PRIVATE_LOST, a thread
 * sleeps for short times only. In between it asks for memory again, without the mutex
 * (is_to_be_polled and wait_any in pool.c). A request waits only while a block is out that wakes it
 * when it comes home (can_come_home in pool_poll.c), or while it waits in the queue of the budget
 * too (aegis_i_buffer_pool_take_polled). Then whichever comes first wakes it: see
 * ../budget/polled.c. */
#ifndef AEGIS_MEMORY_I_BUFFER_POOL_STATE_H
#define AEGIS_MEMORY_I_BUFFER_POOL_STATE_H

#include "aegis_memory/buffer_pool.h"
#include "aegis_memory/budget_arbitration.h"
#include "../base/condition.h"
#include "../base/harden.h"
#include "../budget/polled.h"
#include "pool_stripe.h"

/* A request that is polled. It lies on the C heap, and is counted in `live`. The mutex guards all
 * fields except `shared` and `number`. */
struct aegis_buffer_pool_request {
    aegis_buffer_pool_shared *shared;
    /* The place in the queue of class `home`, the smallest that is large enough, if `is_queued`. */
    aegis_buffer_pool_request *next;
    aegis_buffer_pool_request *previous;
    aegis_i_buffer_class *home;
    bool is_queued;
    /* The class that had a free block when the request was woken, until the request is polled or
     * cancelled; otherwise NULL. */
    aegis_i_buffer_class *promised;
    /* The `generation` of the pool when the request entered the queue. In a child process it is
     * another one: then the request is in no queue, and nothing is promised to it. */
    uint64_t generation;
    /* A request that was made later has a higher number. */
    uint64_t number;
    /* The waker; `wake` is NULL if there is none, and after it was taken for its call. */
    aegis_wake_fn wake;
    void *context;
    /* The room in the budget that it waits for. Only its own calls change this. While the request
     * has a waker, the bell in this is that of the waker. */
    aegis_i_polled room;
};

/* Takes the waker out of a request. NULL: it has none, or the budget has called it. The caller
 * holds the mutex, if that can be had. */
static inline aegis_wake_fn aegis_i_buffer_take_waker(aegis_buffer_pool_request *request) {
    aegis_wake_fn wake = request->wake;
    request->wake = NULL;
    return wake != NULL && aegis_i_polled_claim(&request->room) ? wake : NULL;
}

struct aegis_buffer_pool_shared {
    /* How many threads wait, how many requests are in the queues, and `wanted`. Every release reads
     * this, and few calls write it. */
    _Alignas(AEGIS_I_META_ALIGN) _Atomic uint32_t waiters;
    uint32_t when_empty;
    uint64_t timeout_ns;
    const aegis_i_buffer_class *classes_end;
    size_t class_count;
    aegis_i_buffer_class classes[AEGIS_BUFFER_MAX_CLASSES];
    size_t align_bytes;
    aegis_budget *budget;
    /* The longest wait for the budget. */
    uint64_t wait_ns;
    /* AEGIS_BUFFER_RECLAIMABLE or 0. */
    uint32_t flags;
    int32_t reclaim_priority;
    /* How often the reclaimer has asked to be told of a block that comes home, and what tells the
     * budget then, and the threads that wait for it (`first`): see pool_reclaim.c. The function is
     * of the same copy as give_back of a class. */
    _Atomic uint32_t wanted;
    void (*tell_budget)(aegis_buffer_pool_shared *shared, bool first);
    /* aegis_i_buffer_pool_enlist of that copy. */
    aegis_status (*enlist)(aegis_buffer_pool_shared *shared, aegis_budget *budget,
                           aegis_budget_reclaimer **reclaimer, aegis_error *error);
    /* The registration with `budget`, or NULL. A call that moves the pool to another budget first
     * enlists it there, and removes this one when it has moved. Otherwise only the thread that
     * gives up the last handle uses it. */
    aegis_budget_reclaimer *reclaimer;
    /* The release function of buffers on the C heap, of the same copy as give_back of a class. */
    void (*free_heap_buffer)(aegis_buffer_owner *owner);
    /* How these buffers move to another budget, of the same copy. */
    const aegis_i_owner_kind *heap_kind;
    void (*close)(void *context);
    void *close_context;
    size_t memory_bytes;
    /* The pool is freed by releasing this owner. So the release function is that of the copy of
     * this library that made the pool. */
    aegis_buffer_owner end;

    /* What keeps the pool: the number of blocks that are not at home, plus the numbers of buffers
     * on the C heap, of requests, and of registrations with budgets, plus 1 for all handles
     * together.
     */
    _Alignas(AEGIS_I_META_ALIGN) _Atomic size_t live;
    _Atomic size_t handles;
    _Atomic size_t heap_bytes;
    AEGIS_I_ATOMIC_U64 heap_count;
    AEGIS_I_ATOMIC_U64 wait_count;
    AEGIS_I_ATOMIC_U64 timeout_count;
    AEGIS_I_ATOMIC_U64 refused_count;
    /* The process that `waiters`, the mutex and the condition belong to: a word for
     * aegis_i_process_claim. */
    _Atomic uint32_t process;
    /* Guarded by the mutex: how often the pool came to another process, and the number of the next
     * request. */
    uint64_t generation;
    uint64_t next_number;
    aegis_i_mutex mutex;
    aegis_i_condition came_home;
};

/* The release functions of this copy of the library. */
extern AEGIS_I_HIDDEN void (*const aegis_i_buffer_give_back)(aegis_buffer_owner *owner);
extern AEGIS_I_HIDDEN void (*const aegis_i_buffer_free_heap)(aegis_buffer_owner *owner);
/* How blocks, and buffers on the C heap, move to another budget. */
extern AEGIS_I_HIDDEN const aegis_i_owner_kind aegis_i_buffer_slot_kind;
extern AEGIS_I_HIDDEN const aegis_i_owner_kind aegis_i_buffer_heap_kind;
/* Takes a block from wherever one is free, or from a new slab, which waits for the budget as
 * `patience` says. AEGIS_I_NO_INDEX: `error` says why there is none; with AEGIS_PENDING the thread
 * was called back while it waited. */
AEGIS_I_HIDDEN uint32_t aegis_i_buffer_class_take(aegis_i_buffer_class *home,
                                                  aegis_i_patience *patience, aegis_error *error);
/* Looks for a free block in all stripes and at home. AEGIS_I_NO_INDEX: at one moment each block
 * made so far was out, or was cached in a private stripe that is marked AEGIS_I_STRIPE_LEFT. Calls
 * neither the source nor the budget. */
AEGIS_I_HIDDEN uint32_t aegis_i_buffer_class_search(aegis_i_buffer_class *home);
/* Whether the class has all its slabs. */
AEGIS_I_HIDDEN bool aegis_i_buffer_class_is_full_grown(const aegis_i_buffer_class *home);
/* Whether the threads that wait are woken whenever a block becomes free that a search can find. */
AEGIS_I_HIDDEN bool aegis_i_buffer_class_wakes(const aegis_i_buffer_class *home);
/* Moves all cached blocks home, except those in marked stripes. Threads may cache others meanwhile.
 */
AEGIS_I_HIDDEN void aegis_i_buffer_class_bring_home(aegis_i_buffer_class *home);
/* Gives slabs without a block out back to the source, those of the largest class first, until that
 * makes `want_bytes` or more, or no more slab can go. The first slab of each class stays. Returns
 * how many bytes went back. The budget is credited before it returns. It may be called on any
 * thread that is not inside a stripe, also while the source or the budget is being asked for a
 * slab. The caller holds a handle. A class that has no idle slab is left alone, unless `thorough`.
 */
AEGIS_I_HIDDEN size_t aegis_i_buffer_pool_give_back(aegis_buffer_pool_shared *shared,
                                                    size_t want_bytes, bool thorough);
/* Gives all slabs without a block out back, when the last handle was given up and the classes are
 * closed. The caller still has the handles' 1 of `live`. */
AEGIS_I_HIDDEN void aegis_i_buffer_pool_give_rest_back(aegis_buffer_pool_shared *shared);
/* Registers the pool as a reclaimer of a budget, if it is reclaimable and `budget` is not NULL, and
 * stores what aegis_budget_reclaimer_remove takes, otherwise NULL. The caller has a handle. On
 * failure nothing is registered, and `error` says why. */
AEGIS_I_HIDDEN aegis_status aegis_i_buffer_pool_enlist(aegis_buffer_pool_shared *shared,
                                                       aegis_budget *budget,
                                                       aegis_budget_reclaimer **reclaimer,
                                                       aegis_error *error);
/* Keeps all threads out of the stripes for good, and moves the cached blocks home. Returns how many
 * blocks stay in stripes whose own threads may be inside (invariant 8 of pool_stripe.h). */
AEGIS_I_HIDDEN size_t aegis_i_buffer_class_close(aegis_i_buffer_class *home);
/* Makes the mutex and the condition anew, and forgets the queues, if they belong to a parent
 * process. False: the system could not make them. */
AEGIS_I_HIDDEN bool aegis_i_buffer_pool_adopt(aegis_buffer_pool_shared *shared);
/* `count` blocks of a class have become free. Wakes all threads that wait, and as many requests for
 * which such blocks are large enough. The caller has locked nothing, is in no stripe, and holds a
 * block or a handle, or has a request. */
AEGIS_I_HIDDEN void aegis_i_buffer_pool_wake(aegis_i_buffer_class *home, size_t count);
/* Puts a request, which is counted in `waiters`, into the queue of a class. The caller holds the
 * mutex. */
AEGIS_I_HIDDEN void aegis_i_buffer_pool_enqueue(aegis_buffer_pool_request *request,
                                                aegis_i_buffer_class *home);
/* Takes a request out of its queue and out of `waiters`. The caller holds the mutex. */
AEGIS_I_HIDDEN void aegis_i_buffer_pool_dequeue(aegis_buffer_pool_request *request);
/* A request that found no block in a private stripe, as pool.c and pool_poll.c have it. */
typedef struct aegis_i_buffer_taker {
    aegis_i_patience patience;
    aegis_buffer_pool_shared *shared;
    /* The smallest class that is large enough; NULL if there is none. */
    aegis_i_buffer_class *smallest;
    /* The class that is being asked for a block. */
    const aegis_i_buffer_class *asked;
    /* The block that was found while the thread waited for the budget, and its class. */
    uint32_t found;
    aegis_i_buffer_class *found_in;
    /* Whether a budget has refused a slab. */
    bool was_refused;
} aegis_i_buffer_taker;

AEGIS_I_HIDDEN void aegis_i_buffer_taker_begin(aegis_i_buffer_taker *taker,
                                               aegis_buffer_pool_shared *shared,
                                               aegis_i_buffer_class *smallest);
/* Takes a block of the smallest class that is large enough, or of a larger class, and stores its
 * class in `*home`. Growth waits for the budget up to `wait_ns`, or is optional. AEGIS_I_NO_INDEX:
 * `error` says why. If memory was refused to one of the classes, it says that, even if the blocks
 * of another class are all out. */
AEGIS_I_HIDDEN uint32_t aegis_i_buffer_pool_take_any(aegis_i_buffer_taker *taker, uint64_t wait_ns,
                                                     aegis_i_buffer_class **home,
                                                     aegis_error *error);
/* The same for a request that is polled, `repeated` if it was before. If a budget refuses, it waits
 * in the queue of the budget for a slab of the smallest class that may grow: then it has a request
 * in `room`. */
AEGIS_I_HIDDEN uint32_t aegis_i_buffer_pool_take_polled(aegis_i_buffer_taker *taker,
                                                        aegis_i_polled *room, bool repeated,
                                                        aegis_i_buffer_class **home,
                                                        aegis_error *error);
/* Takes a block of class `*home` or of a larger class, and stores its class in `*home`. No class
 * grows. */
AEGIS_I_HIDDEN uint32_t aegis_i_buffer_pool_search_any(aegis_buffer_pool_shared *shared,
                                                       aegis_i_buffer_class **home);
/* Says that no class is large enough. */
AEGIS_I_HIDDEN void aegis_i_buffer_pool_too_large(const aegis_buffer_pool_shared *shared,
                                                  size_t capacity_bytes, aegis_error *error);
/* Refuses a request on a handle that was released. */
AEGIS_I_HIDDEN aegis_status aegis_i_buffer_pool_no_pool(aegis_buffer_mut *writer,
                                                        size_t capacity_bytes, aegis_error *error);
/* Ends a request that has failed. */
AEGIS_I_HIDDEN aegis_status aegis_i_buffer_pool_refuse(aegis_buffer_pool_shared *shared,
                                                       aegis_buffer_mut *writer,
                                                       size_t capacity_bytes, aegis_error *failed,
                                                       aegis_error *error);
/* Subtracts 1 from `live`, and frees the pool if that was the last. The caller does not touch the
 * pool after this. */
AEGIS_I_HIDDEN void aegis_i_buffer_pool_drop(aegis_buffer_pool_shared *shared);
/* An O(1) check of consistency for asserts. The caller holds a handle or a buffer. */
AEGIS_I_HIDDEN bool aegis_i_buffer_pool_is_valid(const aegis_buffer_pool_shared *shared);

static inline void aegis_i_set_references(aegis_buffer_owner *owner, size_t count) {
    /* Relaxed: only this thread and the statistics can see the owner now. */
    aegis_i_store((_Atomic size_t *)&owner->references, count, memory_order_relaxed);
}

/* Makes a block the caller's. */
static inline aegis_status aegis_i_buffer_hand_out(aegis_i_buffer_class *home, uint32_t index,
                                                   aegis_buffer_mut *writer) {
    aegis_buffer_owner *owner = &home->slots[index].head.owner;
    aegis_i_set_references(owner, 1);
    AEGIS_I_SHOW(owner->base, owner->capacity_bytes);
    writer->data = owner->base;
    writer->length = 0;
    writer->capacity = owner->capacity_bytes;
    writer->owner = owner;
    writer->initialized = 0;
    return AEGIS_OK;
}

/* The smallest class that is large enough; NULL if there is none. */
static inline aegis_i_buffer_class *aegis_i_buffer_class_for(aegis_buffer_pool_shared *shared,
                                                             size_t capacity_bytes) {
    aegis_i_buffer_class *home = shared->classes;
    while (home->buffer_bytes < capacity_bytes)
        if (++home == shared->classes_end)
            return NULL;
    return home;
}

/* Counts a waiter and locks the mutex. The waiter searches under the mutex. */
static inline void aegis_i_buffer_pool_begin_wait(aegis_buffer_pool_shared *shared) {
    /* Acquire and release pair with the addition in aegis_i_buffer_pool_wake (invariants 21 to 24).
     */
    (void)aegis_i_add(&shared->waiters, 1, memory_order_acq_rel);
    (void)aegis_i_mutex_lock(&shared->mutex);
}

#endif
