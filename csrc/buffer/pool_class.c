/* SPDX-License-Identifier: Apache-2.0 */
/* One size class of a buffer pool: stripes of free blocks in front of a lock-free pool. Also how
 * the pool is freed.
 *
 * The argument is a list of numbered invariants at the start of pool_stripe.h, which goes on in
 * pool_state.h. A comment below that says "invariant" with a number means this list. */
#if !defined(_WIN32) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* condition.h */
#endif

#include "../budget/move.h"
#include "pool_state.h"
#include "../base/harden.h"

/* Takes over the flag of a thread that does not exist in this process. That thread may have left
 * the stripe half changed, so the blocks in it are lost. */
static AEGIS_I_COLD bool take_over(aegis_i_stripe *stripe, uint32_t process, uint32_t taken) {
    /* Acquire as in try_flag, though no release pairs with it: that thread never left the stripe,
     * and the fork orders what it did before this. */
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

/* The shared stripe for a thread's id, whose low bits are the thread's number, or the shared stripe
 * with this number. */
static aegis_i_stripe *shared_stripe(const aegis_i_buffer_class *home, uintptr_t number) {
    return &home->stripes[home->private_count + (number & home->stripe_mask)];
}

/* Moves the lowest `count` blocks of a stripe home. The caller is inside the stripe or has closed
 * it. It holds a block or a handle, so `live` stays above 0. */
static void move_home(aegis_i_buffer_class *home, aegis_i_stripe *stripe, uint32_t count) {
    uint32_t left_count = aegis_i_load(&stripe->count, memory_order_relaxed) - count;
    if (count == 0)
        return;
    aegis_i_lock_free_put(home->pool.shared, stripe->items, count);
    /* A model check can fork here too, while the blocks are in two places. */
    AEGIS_I_YIELD();
    memmove(stripe->items, stripe->items + count, left_count * sizeof *stripe->items);
    aegis_i_store(&stripe->count, left_count, memory_order_relaxed);
    /* Relaxed: this thread still holds a block or a handle. It releases when it caches that block
     * (leave) or gives up what it holds (aegis_i_buffer_pool_drop). */
    (void)aegis_i_sub(&home->shared->live, count, memory_order_relaxed);
}

/* Waits until the stripe's own thread is not inside. The caller has made a barrier, or has the
 * rights of that thread. If a thread is inside that does not exist in this process, it never
 * leaves: then the blocks in the stripe are lost. */
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

/* Moves all blocks of a private stripe home. False: nothing was moved, because the stripe's own
 * thread may be inside. This is so if there was no barrier, and a thread other than the caller has
 * the stripe's number. */
static bool empty_private(aegis_i_buffer_class *home, uint32_t number, bool barrier) {
    aegis_i_stripe *stripe = &home->stripes[number];
    bool own = aegis_i_thread_number(home->threads, AEGIS_I_THREAD_ID_KEPT()) == number;
    bool borrow = !barrier && !own;
    if (borrow && !aegis_i_thread_number_borrow(home->threads, number))
        return false;
    wait_for_thread(stripe);
    /* Relaxed: only a child process reads this (invariant 13), and the release of the blocks that
     * go home keeps it before them. */
    aegis_i_store(&stripe->taken, AEGIS_I_STRIPE_EMPTYING, memory_order_relaxed);
    move_home(home, stripe, aegis_i_load(&stripe->count, memory_order_relaxed));
    /* Release keeps it behind the change of the stripe. */
    aegis_i_store(&stripe->taken, AEGIS_I_STRIPE_CLOSED, memory_order_release);
    if (borrow)
        aegis_i_thread_number_return(home->threads, number);
    return true;
}

/* Keeps threads out of their private stripes, and moves the blocks of these stripes home. The
 * caller holds all flags. If the barrier is refused, each stripe that cannot be emptied is left to
 * its own thread. */
static void close_private(aegis_i_buffer_class *home) {
    uint64_t full = 0;
    for (uint32_t i = 0; i < home->private_count; i++) {
        aegis_i_stripe *stripe = &home->stripes[i];
        /* Acquire pairs with the release in empty_own: the blocks that the stripe's own thread has
         * moved home are seen there. A stripe that is closed but not empty was closed by a thread
         * of a parent process. If such a thread was emptying it, the blocks in it are lost. */
        uint32_t taken = aegis_i_load(&stripe->taken, memory_order_acquire);
        if (taken == AEGIS_I_STRIPE_EMPTYING)
            aegis_i_store(&stripe->count, 0, memory_order_relaxed);
        if (taken == AEGIS_I_STRIPE_CLOSED &&
            aegis_i_load(&stripe->count, memory_order_relaxed) == 0)
            continue;
        full |= UINT64_C(1) << i;
        aegis_i_store(&stripe->taken, AEGIS_I_STRIPE_CLOSED, memory_order_relaxed);
    }
    if (full == 0)
        return;
    /* The barrier pairs with the order of two accesses, the store of `inside` in
     * aegis_i_stripe_begin and the load of `taken` that follows it in aegis_i_stripe_enter_private
     * and in empty_own. */
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

/* Lets threads into their private stripes again. The caller is inside a shared stripe. */
static void open_private(aegis_i_buffer_class *home) {
    /* Relaxed: the flag orders it. */
    if (aegis_i_load(&home->private_state, memory_order_relaxed) != AEGIS_I_PRIVATE_CLOSED)
        return;
    aegis_i_store(&home->private_state, AEGIS_I_PRIVATE_OPEN, memory_order_relaxed);
    for (uint32_t i = 0; i < home->private_count; i++) {
        /* Release pairs with the acquire in aegis_i_stripe_enter_private: the stripe's own thread
         * sees what the closing thread did. */
        aegis_i_store(&home->stripes[i].taken, AEGIS_I_STRIPE_OPEN, memory_order_release);
    }
}

/* Empties this thread's private stripe, which is marked because another thread could not empty it.
 * Program order is enough, because only this thread uses a marked stripe. If a closing thread's
 * barrier succeeds meanwhile, that thread finds this one inside and waits. */
static AEGIS_I_COLD void empty_own(aegis_i_buffer_class *home, aegis_i_stripe *stripe) {
    aegis_i_stripe_begin(stripe);
    bool left = aegis_i_load(&stripe->taken, memory_order_relaxed) == AEGIS_I_STRIPE_LEFT;
    uint32_t count = aegis_i_load(&stripe->count, memory_order_relaxed);
    if (left) {
        move_home(home, stripe, count);
        /* Release pairs with the acquire in close_private. */
        aegis_i_store(&stripe->taken, AEGIS_I_STRIPE_CLOSED, memory_order_release);
    }
    aegis_i_stripe_leave_private(stripe);
    if (left)
        aegis_i_buffer_pool_wake(home, count);
}

/* Enters this thread's private stripe if it can, and its shared stripe otherwise. NULL: another
 * thread is inside the shared stripe. `returns`: with a block, which counts as a sign of calm. */
static aegis_i_stripe *enter(aegis_i_buffer_class *home, bool returns) {
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
    if (returns && has_private && ++stripe->calm_count >= AEGIS_I_CALM_COUNT) {
        stripe->calm_count = 0;
        open_private(home);
    }
    return stripe;
}

/* Counts blocks that have left their home in `live`, and fills in the headers of those that left it
 * for the first time. */
static void count_live(aegis_i_buffer_class *home, const uint32_t *indices, size_t count) {
    /* Relaxed: a block gets to another thread by way of a stripe, or by the user's own
     * synchronisation. Either orders this addition before the subtraction for the block's return.
     */
    (void)aegis_i_add(&home->shared->live, count, memory_order_relaxed);
    for (size_t i = 0; i < count; i++) {
        aegis_i_buffer_slot *slot = &home->slots[indices[i]];
        aegis_buffer_owner *owner = &slot->head.owner;
        if (slot->head.kind != NULL)
            continue;
        slot->head.kind = &home->kind;
        owner->release = home->give_back;
        owner->base = aegis_i_slabs_address(&home->pool.shared->slabs, indices[i]);
        owner->capacity_bytes = home->buffer_bytes;
        owner->flags = AEGIS_I_BUFFER_PLAIN;
        owner->retained_bytes = home->pool.shared->slabs.grid.stride_bytes;
    }
}

/* Takes up to `want_count` blocks from home. 0: no block of the slabs acquired so far is there. */
static size_t take_home(aegis_i_buffer_class *home, uint32_t *indices, size_t want_count) {
    size_t got_count = aegis_i_lock_free_take_held(home->pool.shared, indices, want_count);
    if (got_count != 0)
        count_live(home, indices, got_count);
    return got_count;
}

/* Takes one block from home; AEGIS_I_NO_INDEX if there is none in the slabs acquired so far. */
static uint32_t take_one_home(aegis_i_buffer_class *home) {
    uint32_t index;
    return take_home(home, &index, 1) != 0 ? index : AEGIS_I_NO_INDEX;
}

/* Takes a block from this thread's stripe, which is filled from home if it is empty. If another
 * thread is inside the stripe, takes a block from home. */
static uint32_t take_near(aegis_i_buffer_class *home) {
    aegis_i_stripe *stripe = enter(home, false);
    if (stripe == NULL)
        return take_one_home(home);
    if (aegis_i_load(&stripe->count, memory_order_relaxed) == 0) {
        /* While a waiter looks for free blocks, none is cached ahead of its use. Relaxed: entering
         * the stripe orders it. */
        bool calm = aegis_i_load(&home->shared->waiters, memory_order_relaxed) == 0;
        size_t got_count = take_home(home, stripe->items, calm ? home->move_count : 1);
        aegis_i_store(&stripe->count, (uint32_t)got_count, memory_order_relaxed);
    }
    uint32_t index = aegis_i_stripe_pop(stripe);
    leave(home, stripe);
    return index;
}

uint32_t aegis_i_buffer_class_search(aegis_i_buffer_class *home) {
    uint32_t index = AEGIS_I_NO_INDEX;
    uint32_t taken_count = 0;
    /* In ascending order, so that two searches do not wait for each other. */
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

bool aegis_i_buffer_class_is_full_grown(const aegis_i_buffer_class *home) {
    const aegis_lock_free_pool_shared *blocks = home->pool.shared;
    /* Acquire pairs with the release of the thread that added the last slab (advance in
     * ../pool/lock_free_grow.c): a search after this sees that slab. */
    return aegis_i_load(&blocks->slab_count, memory_order_acquire) == blocks->slabs.slab_limit;
}

bool aegis_i_buffer_class_wakes(const aegis_i_buffer_class *home) {
    /* Relaxed: the caller has searched before this, so it sees the state that its search found. */
    return aegis_i_buffer_class_is_full_grown(home) &&
           aegis_i_load(&home->private_state, memory_order_relaxed) != AEGIS_I_PRIVATE_LOST;
}

/* Takes a block from home, which grows if it has none. */
static uint32_t take_growing(aegis_i_buffer_class *home, aegis_i_patience *patience,
                             aegis_error *error) {
    uint32_t index;
    bool clean;
    _Atomic uint32_t *slab_count = &home->pool.shared->slab_count;
    uint32_t old_count = aegis_i_load(slab_count, memory_order_relaxed);
    size_t got_count =
        aegis_i_lock_free_take(home->pool.shared, &index, 1, &clean, patience, error);
    if (got_count != 0)
        count_live(home, &index, 1);
    /* A new slab may have more blocks than the one taken here, and other threads may have cached
     * some of them. So those that wait search again. Relaxed: a thread sees the slab that it has
     * added itself. */
    if (aegis_i_load(slab_count, memory_order_relaxed) != old_count)
        aegis_i_buffer_pool_wake(home, home->pool.shared->slabs.step_count);
    return got_count != 0 ? index : AEGIS_I_NO_INDEX;
}

uint32_t aegis_i_buffer_class_take(aegis_i_buffer_class *home, aegis_i_patience *patience,
                                   aegis_error *error) {
    aegis_lock_free_pool_shared *blocks = home->pool.shared;
    uint32_t index = take_near(home);
    if (index != AEGIS_I_NO_INDEX)
        return index;
    /* Since `watch` no slab has gone, unless there was a trim. So a class that had all its slabs
     * after that still has them after the search. */
    uint32_t watch = aegis_i_lock_free_watch(blocks);
    bool full_grown = aegis_i_buffer_class_is_full_grown(home);
    while ((index = aegis_i_buffer_class_search(home)) == AEGIS_I_NO_INDEX) {
        if (full_grown && !aegis_i_lock_free_trimmed_since(blocks, watch)) {
            aegis_i_slabs_exhausted(&blocks->slabs, error, home->max_count, home->max_count);
            break;
        }
        watch = aegis_i_lock_free_watch(blocks);
        index = take_growing(home, patience, error);
        if (index != AEGIS_I_NO_INDEX || error->status != AEGIS_E_EXHAUSTED)
            break;
        full_grown = true;
    }
    return index;
}

/* Caches a block. If a thread waits, or another thread is inside the stripe, moves it home. */
static AEGIS_I_COLD void give_back_slow(aegis_i_buffer_class *home, uint32_t index) {
    aegis_buffer_pool_shared *shared = home->shared;
    assert(aegis_i_buffer_pool_is_valid(shared));
    aegis_i_stripe *stripe = enter(home, true);
    if (stripe != NULL) {
        /* Relaxed, here and below: entering the stripe orders it (invariant 22). */
        if (aegis_i_load(&shared->waiters, memory_order_relaxed) == 0) {
            if (aegis_i_load(&stripe->count, memory_order_relaxed) == home->park_count)
                move_home(home, stripe, home->move_count);
            aegis_i_stripe_push(stripe, index);
            /* After this the pool may be freed (invariant 19). */
            leave(home, stripe);
            return;
        }
        leave(home, stripe);
    }
    aegis_i_lock_free_put(home->pool.shared, &index, 1);
    aegis_i_buffer_pool_wake(home, 1);
    aegis_i_buffer_pool_drop(shared);
}

/* The release function of all blocks. Caches the block in this thread's private stripe if that has
 * room and no thread waits. */
static void give_back(aegis_buffer_owner *owner) {
    aegis_i_buffer_slot *slot = (aegis_i_buffer_slot *)(void *)owner;
    aegis_i_buffer_class *home = aegis_i_slot_home(slot);
    uint32_t index = (uint32_t)(slot - home->slots);
    AEGIS_I_HIDE(owner->base, owner->capacity_bytes);
    aegis_i_set_references(owner, 0);
    aegis_i_stripe *stripe = aegis_i_stripe_enter_private(home, AEGIS_I_THREAD_ID_KEPT());
    if (stripe != NULL) {
        bool room = aegis_i_load(&stripe->count, memory_order_relaxed) < home->park_count;
        if (room && aegis_i_load(&home->shared->waiters, memory_order_relaxed) == 0) {
            aegis_i_stripe_push(stripe, index);
            /* After this the pool may be freed (invariant 19). */
            aegis_i_stripe_leave_private(stripe);
            return;
        }
        aegis_i_stripe_leave_private(stripe);
    }
    give_back_slow(home, index);
}

void (*const aegis_i_buffer_give_back)(aegis_buffer_owner *owner) = give_back;

/* The release function of a block that is charged to another budget. The pool's budget takes the
 * bytes back, whatever its limit is now. */
static void come_home(aegis_buffer_owner *owner) {
    aegis_i_charged_owner *block = &((aegis_i_buffer_slot *)(void *)owner)->head;
    aegis_i_buffer_class *home = aegis_i_slot_home((aegis_i_buffer_slot *)(void *)owner);
    aegis_budget *budget = aegis_i_charged_budget(block);
    aegis_i_move_home(budget, home->shared->budget, owner->retained_bytes);
    /* Release pairs with the acquire in is_out: the pool's budget was read before this. */
    aegis_i_store(&block->charged, 0, memory_order_release);
    owner->release = home->give_back;
    aegis_budget_destroy(budget);
    owner->release(owner);
}

static aegis_status move_slot(aegis_buffer_owner *owner, aegis_budget *budget, aegis_error *error) {
    aegis_i_buffer_slot *slot = (aegis_i_buffer_slot *)(void *)owner;
    return aegis_i_buffer_exchange(&slot->head, aegis_i_slot_home(slot)->shared->budget, come_home,
                                   budget, error);
}

const aegis_i_owner_kind aegis_i_buffer_slot_kind = {move_slot};

bool aegis_i_buffer_pool_is_valid(const aegis_buffer_pool_shared *shared) {
    const aegis_i_buffer_class *first = &shared->classes[0];
    return shared->class_count != 0 && shared->class_count <= AEGIS_BUFFER_MAX_CLASSES &&
           first->shared == shared && first->slots != NULL && first->pool.shared != NULL &&
           aegis_i_is_power_of_two((size_t)first->stripe_mask + 1) && first->move_count != 0 &&
           first->park_count == 2 * first->move_count &&
           first->park_count <= AEGIS_I_STRIPE_ITEMS && shared->when_empty <= AEGIS_BUFFER_WAIT;
}

void aegis_i_buffer_class_bring_home(aegis_i_buffer_class *home) {
    for (uint32_t i = 0; i <= home->stripe_mask; i++) {
        aegis_i_stripe *stripe = shared_stripe(home, i);
        take_flag(stripe);
        move_home(home, stripe, aegis_i_load(&stripe->count, memory_order_relaxed));
    }
    /* Relaxed: the flags order it. */
    if (aegis_i_load(&home->private_state, memory_order_relaxed) != AEGIS_I_PRIVATE_CLOSED)
        close_private(home);
    for (uint32_t i = 0; i <= home->stripe_mask; i++)
        leave_shared(shared_stripe(home, i));
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
    /* For good: take_over accepts no stripe that has ended, not even in a child process in which
     * this thread does not exist. */
    for (uint32_t i = 0; i <= home->stripe_mask; i++)
        aegis_i_store(&shared_stripe(home, i)->taken, AEGIS_I_STRIPE_ENDED, memory_order_relaxed);
    for (uint32_t i = 0; i < home->private_count; i++)
        left_count += aegis_i_load(&home->stripes[i].count, memory_order_relaxed);
    return left_count;
}

void aegis_i_buffer_pool_drop(aegis_buffer_pool_shared *shared) {
    /* Release and acquire pair with the same subtraction by other threads: the thread that frees
     * the pool sees what all others did with it. */
    if (aegis_i_sub(&shared->live, 1, memory_order_acq_rel) != 1)
        return;
    /* The pool's source may hold the last buffer of another pool, and so on. The call bounds the
     * stack that this takes (release.c). */
    aegis_buffer_owner_release(&shared->end);
}
