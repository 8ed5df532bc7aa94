/* SPDX-License-Identifier: Apache-2.0 */
/* One size class of a buffer pool: stripes in front of a lock-free pool.
 *
 * A free block lies in a stripe or in the lock-free pool ("at home"). A private stripe belongs to
 * the thread with its number (threads.h), which enters and leaves it with plain stores; a shared
 * one is entered with a compare-and-swap. Threads without a number use the shared ones only, and so
 * do all that call by way of another copy of this library than the one that made the pool: its
 * numbers are others. Only a thread that searches waits for a stripe, and that in order: first all
 * shared stripes, whose flags it keeps meanwhile, then home, then the private ones. Those it
 * closes: it says so in each, has all threads execute a barrier, and waits for those that are
 * inside. A thread that comes later sees that its stripe is closed; one that came before has been
 * waited for. This is asymmetric synchronisation as D. Dice, H. Huang and M. Yang have it (2001).
 * The barrier is expensive, so private stripes stay closed, and the shared ones stand in for them,
 * until those have been used for a while without one. With all flags held and the private stripes
 * closed nothing is on its way between stripes and home, so an empty home then means that every
 * block made was out at that moment. Private stripes are opened inside of a shared one, so never
 * during that.
 *
 * Without the barrier, which the system may refuse from some moment on, a thread may be inside of
 * its stripe though that is closed, and nobody else can know. So nobody else touches that stripe:
 * it is marked, and its own thread, when it comes next, moves what it parks home and sets it to
 * closed; its program order is all that takes. A thread with that number is not there if the number
 * can be borrowed, and then the stripe is emptied under it, by one that has the rights of its
 * thread. A search then misses at most park_count blocks for each thread that has a private stripe,
 * lives and has not come back. Each later search tries a barrier again as long as a stripe is
 * marked; it first sets the marked ones to closed, so a thread that empties its own is inside while
 * it does, and is waited for. After a barrier that was refused the stripes stay closed, unless a
 * later one succeeds. What cannot be emptied at the pool's end stays counted, and so keeps the
 * pool: it goes when these threads bring a last buffer each, or never.
 *
 * After a fork the child has one thread, and the stripes as they were. A thread says that it is
 * inside, of either kind of stripe, by the number of its process. One of another process does not
 * exist here: a flag of it is taken over, and a private stripe of it is not waited for. What the
 * stripe held may have been half moved, so those blocks are lost; they stay counted, and the pool
 * stays with them, as with all that such threads had in hand. A private stripe that nobody was
 * inside of is whole, and is emptied like any other. Its number is never given to another thread,
 * which would enter without a look at what it was. The mutex guards nothing that could be half
 * changed, so the first thread of the child that would wait or wake makes it anew, with the
 * condition, and forgets the waiters.
 *
 * What a spinning thread waits for: a flag, which is held over a few instructions, over a wait for
 * the threads inside of private stripes, again a few instructions each, and over a call of
 * membarrier(2), which returns. No thread calls or waits for anything else inside. A thread that
 * has spun for long sleeps in between, so that one of lower priority gets on.
 *
 * How long the pool lives. `live` counts the blocks that are not at home, out and parked alike,
 * buffers on the C heap, and 1 for all handles together. The thread that brings it to 0 frees the
 * pool. It never gets there early:
 * - A block leaves its home in a call on a handle, whose 1 is counted; `live` grows before the
 *   block is parked or handed out, so before anybody can bring it back.
 * - A block that goes home is counted until it is there. A thread that moves others home on the way
 *   still has its own block, or a handle, which is counted; so that subtraction is never the last.
 * - A block that is parked instead stays counted, and its thread touches the pool no more once it
 *   has left the stripe: only then can others get at the block.
 * - The thread that gives up the last handle takes all flags and closes the private stripes for
 *   good, moves what they park home, and then takes the handles' 1 off. Until then that keeps the
 *   pool for a thread still inside a stripe, and from then on no thread gets into one.
 * Each subtraction that may be the last acquires and releases, and a thread that parked released
 * the stripe to the thread that closed it: so the thread that frees the pool sees all that others
 * did with it.
 *
 * Waiting. A waiter adds itself to `waiters` and then searches. A thread that brings a block either
 * parks it, having read inside the stripe that no thread waits: the search gets at the stripe later
 * and finds the block, since earlier it would have shown the waiter. Or the block goes home, and a
 * read-modify-write of `waiters` follows: if it comes before the waiter's own, the search finds the
 * block, else the waiter is seen. It searches and falls asleep under the mutex, which the thread
 * that wakes it takes too. No thread wakes it when a budget has room again, or when a thread ends
 * that has parked blocks out of reach; while a class may grow or has lost its private stripes, it
 * sleeps for short times only, and in between asks for memory again, outside of the mutex. */
#if !defined(_WIN32) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* condition.h */
#endif

#include "pool_state.h"
#include "../base/harden.h"

/* Takes the flag of a thread that does not exist in this process. Its stripe was half changed, so
 * the blocks in there are lost. */
static AEGIS_I_COLD bool take_over(aegis_i_stripe *stripe, uint32_t process, uint32_t taken) {
    /* Acquire for the sake of form: that thread released nothing, and the fork came between. */
    if (taken == process || taken == AEGIS_I_STRIPE_ENDED ||
        !aegis_i_cas(&stripe->taken, &taken, process, memory_order_acquire, memory_order_relaxed))
        return false;
    aegis_i_store(&stripe->count, 0, memory_order_relaxed);
    stripe->calm_count = 0;
    return true;
}

static bool try_flag(aegis_i_stripe *stripe, uint32_t *taken) {
    uint32_t process = AEGIS_I_PROCESS();
    *taken = 0;
    /* Acquire pairs with the release in leave_shared. */
    return aegis_i_cas(&stripe->taken, taken, process, memory_order_acquire,
                       memory_order_relaxed) ||
           take_over(stripe, process, *taken);
}

static void take_flag(aegis_i_stripe *stripe) {
    uint32_t taken;
    for (uint32_t round = 0; !try_flag(stripe, &taken); round++)
        AEGIS_I_SPIN_PAUSE(&stripe->taken, taken, round);
}

static void leave_shared(aegis_i_stripe *stripe) {
    /* Release pairs with the acquire in try_flag. */
    aegis_i_store(&stripe->taken, 0, memory_order_release);
}

/* Leaves a stripe of either kind. */
static void leave(const aegis_i_buffer_class *home, aegis_i_stripe *stripe) {
    if (stripe < home->stripes + home->private_count)
        aegis_i_stripe_leave_private(stripe);
    else
        leave_shared(stripe);
}

/* By a thread's id, the end of which is its number, or by the stripe's own number. */
static aegis_i_stripe *shared_stripe(const aegis_i_buffer_class *home, uintptr_t number) {
    return &home->stripes[home->private_count + (number & home->stripe_mask)];
}

/* Moves the `count` blocks that lie lowest in a stripe home, inside. The caller has a block or a
 * handle, so `live` stays above 0. */
static void move_home(aegis_i_buffer_class *home, aegis_i_stripe *stripe, uint32_t count) {
    uint32_t left_count = aegis_i_load(&stripe->count, memory_order_relaxed) - count;
    if (count == 0)
        return;
    aegis_i_lock_free_put(home->pool.shared, stripe->items, count);
    /* A model forks here too, where blocks are in two places. */
    AEGIS_I_YIELD();
    memmove(stripe->items, stripe->items + count, left_count * sizeof *stripe->items);
    aegis_i_store(&stripe->count, left_count, memory_order_relaxed);
    /* Relaxed: whatever ends what this thread still has releases. */
    (void)aegis_i_sub(&home->shared->live, count, memory_order_relaxed);
}

/* Waits, after a barrier, for a thread that is inside of its private stripe. One that does not
 * exist in this process is inside for ever, and has lost the blocks in there. */
static void wait_for_thread(aegis_i_stripe *stripe) {
    uint32_t process = AEGIS_I_PROCESS();
    uint32_t inside;
    /* Acquire pairs with the release in aegis_i_stripe_leave_private. */
    for (uint32_t round = 0;
         (inside = aegis_i_load(&stripe->inside, memory_order_acquire)) == process; round++)
        AEGIS_I_SPIN_PAUSE(&stripe->inside, process, round);
    if (inside == 0)
        return;
    aegis_i_store(&stripe->count, 0, memory_order_relaxed);
    aegis_i_store(&stripe->inside, 0, memory_order_relaxed);
}

/* Moves all that a private stripe parks home. False: its thread may be inside, for there was no
 * barrier, it is another one than the caller, and it has not ended. */
static bool empty_private(aegis_i_buffer_class *home, uint32_t number, bool barrier) {
    aegis_i_stripe *stripe = &home->stripes[number];
    bool own = aegis_i_thread_number(home->threads, AEGIS_I_THREAD_ID_KEPT()) == number;
    bool borrow = !barrier && !own;
    if (borrow && !aegis_i_thread_number_borrow(home->threads, number))
        return false;
    wait_for_thread(stripe);
    move_home(home, stripe, aegis_i_load(&stripe->count, memory_order_relaxed));
    if (borrow)
        aegis_i_thread_number_return(home->threads, number);
    return true;
}

/* Keeps threads out of their private stripes and moves what these park home, with all flags held.
 * Without a barrier it does so as far as it can, and leaves the rest to the stripes' threads. */
static void close_private(aegis_i_buffer_class *home) {
    uint64_t full = 0;
    for (uint32_t i = 0; i < home->private_count; i++) {
        aegis_i_stripe *stripe = &home->stripes[i];
        /* Acquire pairs with the release in empty_own: what its thread has moved home is there. A
         * closed stripe that is not empty was closed by a thread of a parent process. */
        if (aegis_i_load(&stripe->taken, memory_order_acquire) == AEGIS_I_STRIPE_CLOSED &&
            aegis_i_load(&stripe->count, memory_order_relaxed) == 0)
            continue;
        full |= UINT64_C(1) << i;
        aegis_i_store(&stripe->taken, AEGIS_I_STRIPE_CLOSED, memory_order_relaxed);
    }
    if (full == 0)
        return;
    /* Pairs with the order of store and load in aegis_i_stripe_enter_private and in empty_own. */
    bool barrier = AEGIS_I_BARRIER();
    for (uint32_t i = 0; i < home->private_count; i++)
        if ((full >> i & 1) != 0 && !empty_private(home, i, barrier))
            aegis_i_store(&home->stripes[i].taken, AEGIS_I_STRIPE_LEFT, memory_order_relaxed);
    for (uint32_t i = 0; i <= home->stripe_mask; i++)
        shared_stripe(home, i)->calm_count = 0;
    /* Relaxed: the flags order it. */
    aegis_i_store(&home->private_state, barrier ? AEGIS_I_PRIVATE_CLOSED : AEGIS_I_PRIVATE_LOST,
                  memory_order_relaxed);
}

/* Lets threads into their private stripes again, inside of a shared one. */
static void open_private(aegis_i_buffer_class *home) {
    /* Relaxed: the flag orders it. */
    if (aegis_i_load(&home->private_state, memory_order_relaxed) != AEGIS_I_PRIVATE_CLOSED)
        return;
    aegis_i_store(&home->private_state, AEGIS_I_PRIVATE_OPEN, memory_order_relaxed);
    for (uint32_t i = 0; i < home->private_count; i++) {
        /* Release pairs with the acquire in aegis_i_stripe_enter_private: what the closer did is
         * seen. */
        aegis_i_store(&home->stripes[i].taken, AEGIS_I_STRIPE_OPEN, memory_order_release);
    }
}

/* A thread that comes to its private stripe finds that another could not empty it, and does so. Its
 * own program order is all it needs, and a barrier that succeeds meanwhile finds it inside. */
static AEGIS_I_COLD void empty_own(aegis_i_buffer_class *home, aegis_i_stripe *stripe) {
    aegis_i_stripe_begin(stripe);
    bool left = aegis_i_load(&stripe->taken, memory_order_relaxed) == AEGIS_I_STRIPE_LEFT;
    if (left) {
        move_home(home, stripe, aegis_i_load(&stripe->count, memory_order_relaxed));
        /* Release pairs with the acquire in close_private. */
        aegis_i_store(&stripe->taken, AEGIS_I_STRIPE_CLOSED, memory_order_release);
    }
    aegis_i_stripe_leave_private(stripe);
    if (left)
        aegis_i_buffer_pool_wake(home->shared);
}

/* Enters this thread's stripe, the private one if it can. NULL: another thread is inside. */
static aegis_i_stripe *enter(aegis_i_buffer_class *home) {
    uintptr_t id = AEGIS_I_THREAD_ID();
    aegis_i_stripe *stripe = aegis_i_stripe_enter_private(home, id);
    if (stripe != NULL)
        return stripe;
    uintptr_t number = aegis_i_thread_number(home->threads, id);
    bool has_private = number < home->private_count;
    if (has_private &&
        aegis_i_load(&home->stripes[number].taken, memory_order_relaxed) == AEGIS_I_STRIPE_LEFT)
        empty_own(home, &home->stripes[number]);
    uint32_t taken;
    stripe = shared_stripe(home, id);
    if (!try_flag(stripe, &taken))
        return NULL;
    if (has_private && ++stripe->calm_count >= AEGIS_I_CALM_COUNT) {
        stripe->calm_count = 0;
        open_private(home);
    }
    return stripe;
}

/* Counts blocks that have left their home, and fills in the headers of those that never had. */
static void count_live(aegis_i_buffer_class *home, const uint32_t *indices, size_t count) {
    /* Relaxed: handing the blocks on, by a flag or by the caller, orders this before they return.
     */
    (void)aegis_i_add(&home->shared->live, count, memory_order_relaxed);
    for (size_t i = 0; i < count; i++) {
        aegis_i_buffer_slot *slot = &home->slots[indices[i]];
        if (slot->home != NULL)
            continue;
        slot->home = home;
        slot->owner.release = home->give_back;
        slot->owner.base = aegis_i_slabs_address(&home->pool.shared->slabs, indices[i]);
        slot->owner.capacity_bytes = home->buffer_bytes;
        slot->owner.flags = AEGIS_BUFFER_WRITABLE;
    }
}

/* Takes up to `want_count` blocks from home; 0: there is none in the slabs held. */
static size_t take_home(aegis_i_buffer_class *home, uint32_t *indices, size_t want_count) {
    size_t got_count = aegis_i_lock_free_take_held(home->pool.shared, indices, want_count);
    if (got_count != 0)
        count_live(home, indices, got_count);
    return got_count;
}

/* Takes one. The index written means nothing unless a block was got. */
static uint32_t take_one_home(aegis_i_buffer_class *home) {
    uint32_t index;
    return take_home(home, &index, 1) != 0 ? index : AEGIS_I_NO_INDEX;
}

/* Takes from the own stripe, or from home when another thread is inside. */
static uint32_t take_near(aegis_i_buffer_class *home) {
    aegis_i_stripe *stripe = enter(home);
    if (stripe == NULL)
        return take_one_home(home);
    if (aegis_i_load(&stripe->count, memory_order_relaxed) == 0) {
        size_t got_count = take_home(home, stripe->items, home->move_count);
        aegis_i_store(&stripe->count, (uint32_t)got_count, memory_order_relaxed);
    }
    uint32_t index = aegis_i_stripe_pop(stripe);
    leave(home, stripe);
    return index;
}

uint32_t aegis_i_buffer_class_search(aegis_i_buffer_class *home) {
    uint32_t index = AEGIS_I_NO_INDEX;
    uint32_t taken_count = 0;
    /* In order, so that two that search do not wait for each other. */
    while (index == AEGIS_I_NO_INDEX && taken_count <= home->stripe_mask) {
        aegis_i_stripe *stripe = shared_stripe(home, taken_count++);
        take_flag(stripe);
        index = aegis_i_stripe_pop(stripe);
    }
    if (index == AEGIS_I_NO_INDEX)
        index = take_one_home(home);
    /* Relaxed: the flags order it. */
    if (index == AEGIS_I_NO_INDEX &&
        aegis_i_load(&home->private_state, memory_order_relaxed) != AEGIS_I_PRIVATE_CLOSED) {
        close_private(home);
        index = take_one_home(home);
    }
    while (taken_count-- > 0)
        leave_shared(shared_stripe(home, taken_count));
    return index;
}

/* Whether no slab can be added any more. */
static bool is_full_grown(const aegis_i_buffer_class *home) {
    const aegis_lock_free_pool_shared *blocks = home->pool.shared;
    /* Acquire pairs with the release when the last slab was added: a search then sees it. */
    return aegis_i_load(&blocks->slab_count, memory_order_acquire) == blocks->slabs.slab_limit;
}

bool aegis_i_buffer_class_wakes(const aegis_i_buffer_class *home) {
    /* Relaxed: the caller has searched, and sees what it found itself. */
    return is_full_grown(home) &&
           aegis_i_load(&home->private_state, memory_order_relaxed) != AEGIS_I_PRIVATE_LOST;
}

/* Takes from home, which grows if need be. */
static uint32_t take_growing(aegis_i_buffer_class *home, aegis_error *error) {
    uint32_t index;
    bool clean;
    _Atomic uint32_t *slab_count = &home->pool.shared->slab_count;
    uint32_t old_count = aegis_i_load(slab_count, memory_order_relaxed);
    size_t got_count = aegis_i_lock_free_take(home->pool.shared, &index, 1, &clean, error);
    if (got_count != 0)
        count_live(home, &index, 1);
    /* More blocks than ours may have been made, and others may have parked them. Relaxed: a thread
     * sees what it has added itself. */
    if (aegis_i_load(slab_count, memory_order_relaxed) != old_count)
        aegis_i_buffer_pool_wake(home->shared);
    return got_count != 0 ? index : AEGIS_I_NO_INDEX;
}

uint32_t aegis_i_buffer_class_take(aegis_i_buffer_class *home, aegis_error *error) {
    uint32_t index = take_near(home);
    while (index == AEGIS_I_NO_INDEX) {
        bool full_grown = is_full_grown(home);
        index = aegis_i_buffer_class_search(home);
        if (index != AEGIS_I_NO_INDEX)
            break;
        if (full_grown) {
            aegis_i_slabs_exhausted(&home->pool.shared->slabs, error, home->max_count,
                                    home->max_count);
            break;
        }
        index = take_growing(home, error);
        if (index == AEGIS_I_NO_INDEX && error->status != AEGIS_E_EXHAUSTED)
            break;
    }
    return index;
}

/* Parks a block, or brings it home when somebody waits or the stripe is not to be had. */
static AEGIS_I_COLD void give_back_slow(aegis_i_buffer_class *home, uint32_t index) {
    aegis_buffer_pool_shared *shared = home->shared;
    assert(aegis_i_buffer_pool_is_valid(shared));
    aegis_i_stripe *stripe = enter(home);
    if (stripe != NULL) {
        /* Relaxed, here and below: entering the stripe orders it, see above. */
        if (aegis_i_load(&shared->waiters, memory_order_relaxed) == 0) {
            if (aegis_i_load(&stripe->count, memory_order_relaxed) == home->park_count)
                move_home(home, stripe, home->move_count);
            aegis_i_stripe_push(stripe, index);
            /* The pool may be gone after this. */
            leave(home, stripe);
            return;
        }
        leave(home, stripe);
    }
    aegis_i_lock_free_put(home->pool.shared, &index, 1);
    aegis_i_buffer_pool_wake(shared);
    aegis_i_buffer_pool_drop(shared);
}

/* The release function of all blocks: parks the block in the private stripe if there is room. */
static void give_back(aegis_buffer_owner *owner) {
    aegis_i_buffer_slot *slot = (aegis_i_buffer_slot *)(void *)owner;
    aegis_i_buffer_class *home = slot->home;
    uint32_t index = (uint32_t)(slot - home->slots);
    AEGIS_I_HIDE(owner->base, owner->capacity_bytes);
    aegis_i_set_references(owner, 0);
    aegis_i_stripe *stripe = aegis_i_stripe_enter_private(home, AEGIS_I_THREAD_ID_KEPT());
    if (stripe != NULL) {
        bool room = aegis_i_load(&stripe->count, memory_order_relaxed) < home->park_count;
        if (room && aegis_i_load(&home->shared->waiters, memory_order_relaxed) == 0) {
            aegis_i_stripe_push(stripe, index);
            /* The pool may be gone after this. */
            aegis_i_stripe_leave_private(stripe);
            return;
        }
        aegis_i_stripe_leave_private(stripe);
    }
    give_back_slow(home, index);
}

void (*const aegis_i_buffer_give_back)(aegis_buffer_owner *owner) = give_back;

bool aegis_i_buffer_pool_is_valid(const aegis_buffer_pool_shared *shared) {
    const aegis_i_buffer_class *first = &shared->classes[0];
    return shared->class_count != 0 && shared->class_count <= AEGIS_BUFFER_MAX_CLASSES &&
           first->shared == shared && first->slots != NULL && first->pool.shared != NULL &&
           aegis_i_is_power_of_two((size_t)first->stripe_mask + 1) && first->move_count != 0 &&
           first->park_count == 2 * first->move_count &&
           first->park_count <= AEGIS_I_STRIPE_ITEMS && shared->when_empty <= AEGIS_BUFFER_WAIT;
}

bool aegis_i_buffer_pool_adopt(aegis_buffer_pool_shared *shared) {
    uint32_t whose = aegis_i_process_claim(&shared->process);
    if (whose != AEGIS_I_PROCESS_CLAIM)
        return whose == AEGIS_I_PROCESS_THIS;
    /* The mutex guards nothing that could be half changed. Relaxed: see aegis_i_process_settle. */
    aegis_i_store(&shared->waiters, 0, memory_order_relaxed);
    aegis_i_mutex_init(&shared->mutex);
    bool made = aegis_i_condition_init(&shared->came_home);
    aegis_i_process_settle(&shared->process, made);
    return made;
}

void aegis_i_buffer_pool_wake(aegis_buffer_pool_shared *shared) {
    /* Acquire and release pair with the waiter's own addition: see above. */
    if (aegis_i_add(&shared->waiters, 0, memory_order_acq_rel) == 0 ||
        !aegis_i_buffer_pool_adopt(shared))
        return;
    (void)aegis_i_mutex_lock(&shared->mutex);
    aegis_i_condition_broadcast(&shared->came_home);
    aegis_i_mutex_unlock(&shared->mutex);
}

size_t aegis_i_buffer_class_close(aegis_i_buffer_class *home) {
    size_t left_count = 0;
    for (uint32_t i = 0; i <= home->stripe_mask; i++) {
        aegis_i_stripe *stripe = shared_stripe(home, i);
        take_flag(stripe);
        move_home(home, stripe, aegis_i_load(&stripe->count, memory_order_relaxed));
    }
    /* Relaxed: the flags order it. */
    if (aegis_i_load(&home->private_state, memory_order_relaxed) != AEGIS_I_PRIVATE_CLOSED)
        close_private(home);
    /* For good: not even a child process, in which this thread may not exist, takes them over. */
    for (uint32_t i = 0; i <= home->stripe_mask; i++)
        aegis_i_store(&shared_stripe(home, i)->taken, AEGIS_I_STRIPE_ENDED, memory_order_relaxed);
    for (uint32_t i = 0; i < home->private_count; i++)
        left_count += aegis_i_load(&home->stripes[i].count, memory_order_relaxed);
    return left_count;
}

void aegis_i_buffer_pool_drop(aegis_buffer_pool_shared *shared) {
    /* Release and acquire pair: the thread that frees the pool sees what all others did. */
    if (aegis_i_sub(&shared->live, 1, memory_order_acq_rel) != 1)
        return;
    /* Its source may hold the last buffer of another pool, and so on: on a bounded stack. */
    aegis_buffer_owner_release(&shared->end);
}
