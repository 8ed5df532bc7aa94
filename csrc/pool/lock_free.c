/* SPDX-License-Identifier: Apache-2.0 */
/* The lock-free pool hands blocks out and takes them back. Free blocks that were out before lie on
 * a stack of indices. Its head is one word: the index of the top block, and a tag. A second stack
 * of the same kind holds blocks that aegis_lock_free_pool_trim_idle has set aside. Blocks that were
 * not handed out since their slab was acquired are on no stack, but in a range that the word
 * `fresh` names. Blocks between two caches lie in the depot (depot.c). A request looks at the stack
 * first, then at the depot, the range and the second stack, and asks the source for a slab only if
 * all have nothing.
 *
 * Invariants:
 * 1. A block on a stack has as its link the index of the block below it, or `nil` (push,
 *    aegis_i_lock_free_put and aegis_i_lock_free_put_blocks set it before the head names the
 *    block).
 * 2. Only the one thread that has claimed or taken a block writes its link: of several claims one
 *    succeeds (the compare-and-swap in aegis_i_lock_free_claim), and so does one of several takes
 *    (those in pop, in aegis_i_lock_free_take_fresh and of a trim). While a block is on a stack,
 *    its link is constant.
 * 3. Each removal increases the tag of the stack, and an addition leaves it as it is (pop, push,
 *    and seize in lock_free_trim.c).
 * 4. The links are words of a side array, which is there as long as the pool, and never bytes of a
 *    block. So no slab is read, and it may go back to the source at any time. pop looks at no link
 *    with an index beyond the array.
 * 5. No value of `fresh` comes twice (invariant 1 of lock_free_grow.c).
 * 6. Only a trim puts blocks on the second stack, and only growth makes a new range.
 *
 * Proof that pop removes only blocks of the stack: it reads the head, follows the links, and then
 * sets the head by one compare-and-swap. If that succeeds, the tag is the one that was read, so by
 * 3 nothing was removed in between. Without a removal an addition changes the top for good, so
 * nothing was added either. By 1 and 2 the links that pop read are then those of the stack. If
 * anything was removed, the swap fails, and what was read is not used; by 4 reading it was
 * harmless. The tag comes round after 2^(64 - index_bits) removals: to be deceived, a thread would
 * have to sleep through a multiple of that number and then find the same index on top.
 *
 * Proof that a request fails for exhaustion only if at one moment no block was free outside of
 * caches (found_nothing): It reads `fresh`, which has no range; then it finds the second stack
 * empty, and after that the first one. Let this be the moment. Then it reads `fresh` again, and
 * finds the same word: so by 5 there was no range at that moment. It finds the depot empty with the
 * same word before and after, so the depot was empty at that moment (invariant 2 of depot.c). What
 * moves blocks from the depot to the stack counts as a trim (take_depot). And no trim held blocks
 * between the wait in aegis_i_lock_free_watch, which came before all this, and the end. So by 6 the
 * second stack was still empty at that moment, and no block was held by a trim. If the pool may
 * grow, then growth found all slabs held at a time after the wait. No slab went since then without
 * a trim.
 *
 * Orders: the release in push pairs with the acquire in pop. All changes of the head in between are
 * read-modify-writes, so they continue the release sequence. So the thread that takes a block sees
 * all that was done with it before, and its link. In the same way the thread that finds a stack
 * empty because of a trim sees that trim counted.
 *
 * Source: R. K. Treiber's stack (IBM RJ 5118, 1986), with a tag. */
#include "aegis_memory/lock_free_pool.h"
#include "../base/harden.h"
#include "lock_free_state.h"

/* The longest pause after a lost race is 2^BACKOFF_LIMIT times the processor's own. */
#define BACKOFF_LIMIT 7
/* Indices that bulk operations hold on the machine stack. */
#define BATCH 64

/* Waits a while, longer each time up to the limit, so that one of the racing threads can finish. */
static void back_off(uint32_t *round) {
    for (uint32_t i = 0; i < UINT32_C(1) << *round; i++)
        aegis_i_cpu_relax();
    if (*round < BACKOFF_LIMIT)
        (*round)++;
}

/* Takes up to `want_count` blocks off a stack with one compare-and-swap. Returns how many it took;
 * 0: the stack is empty. */
static size_t pop(aegis_lock_free_pool_shared *shared, _Atomic uint64_t *stack, uint32_t *indices,
                  size_t want_count) {
    uint32_t round = 0;
    /* Acquire, here and in the loop, pairs with the release in push. */
    uint64_t head = aegis_i_load(stack, memory_order_acquire);
    for (;;) {
        uint32_t index = (uint32_t)head & shared->nil;
        if (index == shared->nil)
            return 0;
        size_t got_count = 0;
        while (got_count < want_count && index < shared->slabs.index_limit) {
            indices[got_count++] = index;
            index = aegis_i_load(&shared->links[index], memory_order_relaxed);
        }
        if (index >= shared->slabs.index_limit && index != shared->nil) {
            /* This was the link of a block that another thread has taken meanwhile. */
            head = aegis_i_load(stack, memory_order_acquire);
            continue;
        }
        uint64_t tag = (head >> shared->index_bits) + AEGIS_I_TAG_STEP;
        /* Acquire, on success and on failure, pairs with the release in push. */
        if (aegis_i_cas_weak(stack, &head, tag << shared->index_bits | index, memory_order_acquire,
                             memory_order_acquire))
            return got_count;
        back_off(&round);
    }
}

void aegis_i_lock_free_push(aegis_lock_free_pool_shared *shared, _Atomic uint64_t *stack,
                            uint32_t first, uint32_t last) {
    uint32_t round = 0;
    uint64_t head = aegis_i_load(stack, memory_order_relaxed);
    for (;;) {
        uint32_t below = (uint32_t)head & shared->nil;
        aegis_i_store(&shared->links[last], below, memory_order_relaxed);
        /* Release pairs with the acquire in pop. The tag stays, because nothing is removed. */
        if (aegis_i_cas_weak(stack, &head, (head ^ below) | first, memory_order_release,
                             memory_order_relaxed))
            return;
        back_off(&round);
    }
}

static void push(aegis_lock_free_pool_shared *shared, uint32_t first, uint32_t last) {
    aegis_i_lock_free_push(shared, &shared->head, first, last);
}

/* Takes blocks that were set aside. */
static size_t take_aside(aegis_lock_free_pool_shared *shared, uint32_t *indices,
                         size_t want_count) {
    size_t got_count = pop(shared, &shared->aside, indices, want_count);
    /* Relaxed: only statistics read the count. */
    if (got_count != 0)
        (void)aegis_i_sub(&shared->aside_count, (uint32_t)got_count, memory_order_relaxed);
    return got_count;
}

static bool depot_is_empty(const aegis_lock_free_pool_shared *shared, uint64_t *word) {
    /* Acquire as in pop of depot.c. */
    *word = aegis_i_load(&shared->full, memory_order_acquire);
    return aegis_i_depot_top(*word) == 0;
}

/* Takes blocks of the depot, after it has moved all of them to the stack. The others that it moves
 * are hidden meanwhile. So it is a trim to the gate, for which requests wait that find nothing. */
static size_t take_depot(aegis_lock_free_pool_shared *shared, uint32_t *indices,
                         size_t want_count) {
    uint64_t word;
    size_t got_count = 0;
    while (got_count == 0 && !depot_is_empty(shared, &word)) {
        if (aegis_i_lock_free_begin_trim(shared)) {
            aegis_i_lock_free_spill(shared);
            aegis_i_lock_free_end_trim(shared);
        } else {
            (void)aegis_i_lock_free_watch(shared);
        }
        got_count = pop(shared, &shared->head, indices, want_count);
    }
    return got_count;
}

/* Takes up to `want_count` free blocks of the slabs held. */
static size_t take_free(aegis_lock_free_pool_shared *shared, uint32_t *indices, size_t want_count,
                        bool *clean) {
    *clean = false;
    size_t got_count = pop(shared, &shared->head, indices, want_count);
    if (got_count == 0)
        got_count = take_depot(shared, indices, want_count);
    if (got_count == 0)
        got_count = aegis_i_lock_free_take_fresh(shared, indices, want_count, clean);
    if (got_count == 0)
        got_count = take_aside(shared, indices, want_count);
    return got_count;
}

/* Tries once more to take blocks, after aegis_i_lock_free_watch has returned `watch`. True: nothing
 * was taken, and at one moment no block was free. */
static bool found_nothing(aegis_lock_free_pool_shared *shared, uint32_t *indices, size_t want_count,
                          bool *clean, uint32_t watch, size_t *got_count) {
    /* Acquire as in aegis_i_lock_free_take_fresh. */
    uint64_t word = aegis_i_load(&shared->fresh, memory_order_acquire);
    uint64_t depot, depot_after;
    bool depot_empty = depot_is_empty(shared, &depot);
    *got_count = take_free(shared, indices, want_count, clean);
    if (*got_count == 0)
        *got_count = pop(shared, &shared->head, indices, want_count);
    return *got_count == 0 && depot_empty && depot_is_empty(shared, &depot_after) &&
           depot == depot_after && !aegis_i_fresh_ready(shared, word) &&
           aegis_i_load(&shared->fresh, memory_order_acquire) == word &&
           !aegis_i_lock_free_trimmed_since(shared, watch);
}

/* Takes blocks of the slabs held. 0: at one moment no block was free. */
static size_t take_held(aegis_lock_free_pool_shared *shared, uint32_t *indices, size_t want_count,
                        bool *clean) {
    size_t got_count = take_free(shared, indices, want_count, clean);
    while (got_count == 0) {
        uint32_t watch = aegis_i_lock_free_watch(shared);
        if (found_nothing(shared, indices, want_count, clean, watch, &got_count))
            break;
    }
    return got_count;
}

/* A thread that waits for the budget so that the pool can grow. */
typedef struct grower {
    aegis_i_patience patience;
    aegis_lock_free_pool_shared *shared;
    uint32_t *indices;
    size_t want_count;
    /* The blocks that the thread took while it waited. */
    size_t got_count;
    bool clean;
} grower;

/* Takes blocks of a slab that another thread has added. A trim may hold them meanwhile, and calls
 * no thread back when it puts them down. So this waits for it. True: there were some blocks, or the
 * pool can have no further slab. */
static bool look(aegis_i_patience *patience) {
    grower *self = (grower *)(void *)patience;
    const aegis_lock_free_pool_shared *shared = self->shared;
    self->got_count = take_held(self->shared, self->indices, self->want_count, &self->clean);
    /* Relaxed: a thread that adds the last slab later than this load calls this one back. */
    return self->got_count != 0 ||
           aegis_i_load(&shared->slab_count, memory_order_relaxed) == shared->slabs.slab_limit;
}

/* Takes the block that the growth has given to the thread, and fresh ones beside it. */
static void take_with(grower *self, uint32_t index, bool clean) {
    bool rest_clean = true;
    self->indices[0] = index;
    self->got_count = 1;
    if (self->want_count > 1)
        self->got_count += aegis_i_lock_free_take_fresh(self->shared, self->indices + 1,
                                                        self->want_count - 1, &rest_clean);
    self->clean = clean && rest_clean;
}

/* Grows the pool and takes blocks. It waits for the budget as `patience` says; NULL: as the options
 * say. True: no block was taken, and `error` says why. */
static bool grow(grower *self, aegis_i_patience *patience, aegis_error *error) {
    aegis_lock_free_pool_shared *shared = self->shared;
    bool own = patience == NULL;
    uint32_t watch = aegis_i_lock_free_watch(shared);
    uint32_t index;
    bool clean;
    aegis_status status =
        aegis_i_lock_free_grow(shared, own ? &self->patience : patience, &index, &clean, error);
    if (!own && status == AEGIS_PENDING)
        return true;
    if (index != AEGIS_I_NO_INDEX)
        take_with(self, index, clean);
    bool nothing = self->got_count == 0 && found_nothing(shared, self->indices, self->want_count,
                                                         &self->clean, watch, &self->got_count);
    /* If there is a new slab, the other threads that wait for the budget are called back. This
     * thread has taken its own blocks before. */
    if (own && status == AEGIS_OK && shared->slabs.wait_ns != 0)
        aegis_i_budget_call_all(shared->slabs.budget, &shared->slabs);
    return nothing && status != AEGIS_OK && status != AEGIS_PENDING;
}

/* Takes blocks when none was free. */
static AEGIS_I_COLD size_t take_growing(aegis_lock_free_pool_shared *shared, uint32_t *indices,
                                        size_t want_count, bool *clean, aegis_i_patience *patience,
                                        aegis_error *error) {
    grower self = {aegis_i_slabs_patience(&shared->slabs), shared, indices, want_count, 0, false};
    aegis_error failed;
    bool over = false;
    self.patience.look = look;
    self.patience.key = &shared->slabs;
    while (self.got_count == 0 && !over)
        over = grow(&self, patience, &failed);
    if (self.got_count == 0 && error != NULL)
        *error = failed;
    *clean = self.clean;
    return self.got_count;
}

/* Takes blocks when the stack was empty. */
static AEGIS_I_COLD size_t take_slow(aegis_lock_free_pool_shared *shared, uint32_t *indices,
                                     size_t want_count, bool *clean, aegis_i_patience *patience,
                                     aegis_error *error) {
    size_t got_count = take_free(shared, indices, want_count, clean);
    return got_count != 0 ? got_count
                          : take_growing(shared, indices, want_count, clean, patience, error);
}

size_t aegis_i_lock_free_take(aegis_lock_free_pool_shared *shared, uint32_t *indices,
                              size_t want_count, bool *clean, aegis_i_patience *patience,
                              aegis_error *error) {
    size_t got_count = pop(shared, &shared->head, indices, want_count);
    *clean = false;
    return got_count != 0 ? got_count
                          : take_slow(shared, indices, want_count, clean, patience, error);
}

size_t aegis_i_lock_free_take_held(aegis_lock_free_pool_shared *shared, uint32_t *indices,
                                   size_t want_count) {
    bool clean;
    return take_held(shared, indices, want_count, &clean);
}

void aegis_i_lock_free_put(aegis_lock_free_pool_shared *shared, const uint32_t *indices,
                           size_t count) {
    if (count == 0)
        return;
    for (size_t i = 0; i + 1 < count; i++)
        aegis_i_store(&shared->links[indices[i]], indices[i + 1], memory_order_relaxed);
    push(shared, indices[0], indices[count - 1]);
}

void aegis_i_lock_free_spill(aegis_lock_free_pool_shared *shared) {
    uint32_t indices[AEGIS_I_MAGAZINE_BLOCKS];
    /* Caches may fill magazines meanwhile. So this ends after as many as there are. */
    for (uint32_t i = shared->slot_limit * AEGIS_I_SLOT_MAGAZINES; i > 0; i--) {
        size_t count = aegis_i_depot_take(shared, indices);
        if (count == 0)
            return;
        aegis_i_lock_free_put(shared, indices, count);
    }
}

/* Whether a claimed block of a later slab is the one at the address. If not, gives the claim up. A
 * slab with a claimed block does not go. So if the address is another one now, the slab that was
 * found has gone before the claim: this is a wrong free, and the block is another thread's. */
static AEGIS_I_COLD bool is_there(aegis_lock_free_pool_shared *shared, uint32_t index,
                                  const void *block) {
    if (aegis_i_slabs_address(&shared->slabs, index) == (const unsigned char *)block)
        return true;
    aegis_i_store(&shared->links[index], AEGIS_POOL_LINK_OUT, memory_order_relaxed);
    return false;
}

uint32_t aegis_i_lock_free_claim(aegis_lock_free_pool_shared *shared, const void *block) {
    uint32_t index = aegis_i_slabs_find(&shared->slabs, block);
    uint32_t out = AEGIS_POOL_LINK_OUT;
    /* Relaxed: the block came to the caller from the thread that took it, and with it the mark that
     * the block is out. */
    if (index == AEGIS_I_NO_INDEX ||
        !aegis_i_cas(&shared->links[index], &out, AEGIS_POOL_LINK_PARKED, memory_order_relaxed,
                     memory_order_relaxed))
        return AEGIS_I_NO_INDEX;
    if (AEGIS_UNLIKELY(index >= shared->slabs.grid.count) && !is_there(shared, index, block))
        return AEGIS_I_NO_INDEX;
    AEGIS_I_HIDE(block, shared->slabs.block_bytes);
    return index;
}

bool aegis_i_lock_free_claim_n(aegis_lock_free_pool_shared *shared, void *const *blocks,
                               size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (aegis_i_lock_free_claim(shared, blocks[i]) != AEGIS_I_NO_INDEX)
            continue;
        while (i-- > 0) {
            uint32_t index = aegis_i_slabs_find(&shared->slabs, blocks[i]);
            AEGIS_I_SHOW_ZEROED(blocks[i], shared->slabs.block_bytes);
            aegis_i_store(&shared->links[index], AEGIS_POOL_LINK_OUT, memory_order_relaxed);
        }
        return false;
    }
    return true;
}

void aegis_i_lock_free_put_blocks(aegis_lock_free_pool_shared *shared, void *const *blocks,
                                  size_t count) {
    if (count == 0)
        return;
    uint32_t first = aegis_i_slabs_find(&shared->slabs, blocks[0]);
    uint32_t last = first;
    for (size_t i = 1; i < count; i++) {
        uint32_t index = aegis_i_slabs_find(&shared->slabs, blocks[i]);
        aegis_i_store(&shared->links[last], index, memory_order_relaxed);
        last = index;
    }
    push(shared, first, last);
}

/* Takes a block and hands it out. */
static void *take_block(const aegis_lock_free_pool *pool, bool zeroed, aegis_error *error) {
    aegis_lock_free_pool_shared *shared = pool->shared;
    uint32_t index;
    bool clean;
    if (aegis_i_lock_free_take(shared, &index, 1, &clean, NULL, error) == 0)
        return NULL;
    aegis_i_store(&shared->links[index], AEGIS_POOL_LINK_OUT, memory_order_relaxed);
    void *block = aegis_i_slabs_address(&shared->slabs, index);
    aegis_i_slabs_show(&shared->slabs, block, zeroed, clean);
    return block;
}

void *aegis_lock_free_pool_alloc(const aegis_lock_free_pool *pool, aegis_error *error) {
    return take_block(pool, false, error);
}

void *aegis_lock_free_pool_alloc_zeroed(const aegis_lock_free_pool *pool, aegis_error *error) {
    return take_block(pool, true, error);
}

size_t aegis_lock_free_pool_alloc_n(const aegis_lock_free_pool *pool, void **blocks, size_t count,
                                    aegis_error *error) {
    aegis_lock_free_pool_shared *shared = pool->shared;
    size_t done_count = 0;
    while (done_count < count) {
        uint32_t indices[BATCH];
        bool clean;
        size_t got_count = aegis_i_lock_free_take(
            shared, indices, aegis_i_min(count - done_count, BATCH), &clean, NULL, error);
        if (got_count == 0)
            break;
        for (size_t i = 0; i < got_count; i++) {
            aegis_i_store(&shared->links[indices[i]], AEGIS_POOL_LINK_OUT, memory_order_relaxed);
            void *block = aegis_i_slabs_address(&shared->slabs, indices[i]);
            aegis_i_slabs_show(&shared->slabs, block, false, clean);
            blocks[done_count++] = block;
        }
    }
    return done_count;
}

aegis_status aegis_lock_free_pool_free(const aegis_lock_free_pool *pool, void *block) {
    uint32_t index = aegis_i_lock_free_claim(pool->shared, block);
    if (index == AEGIS_I_NO_INDEX)
        return AEGIS_E_INVALID;
    push(pool->shared, index, index);
    return AEGIS_OK;
}

aegis_status aegis_lock_free_pool_free_n(const aegis_lock_free_pool *pool, void *const *blocks,
                                         size_t count) {
    if (!aegis_i_lock_free_claim_n(pool->shared, blocks, count))
        return AEGIS_E_INVALID;
    aegis_i_lock_free_put_blocks(pool->shared, blocks, count);
    return AEGIS_OK;
}

aegis_status aegis_lock_free_pool_index_of(const aegis_lock_free_pool *pool, const void *block,
                                           size_t *index) {
    uint32_t found = aegis_i_slabs_find(&pool->shared->slabs, block);
    if (found == AEGIS_I_NO_INDEX)
        return AEGIS_E_INVALID;
    *index = found;
    return AEGIS_OK;
}

void *aegis_lock_free_pool_address_of(const aegis_lock_free_pool *pool, size_t index) {
    return aegis_i_slabs_address(&pool->shared->slabs, index);
}

bool aegis_lock_free_pool_owns(const aegis_lock_free_pool *pool, const void *block) {
    return aegis_i_slabs_find(&pool->shared->slabs, block) != AEGIS_I_NO_INDEX;
}

aegis_status aegis_lock_free_pool_get_slab_sized(const aegis_lock_free_pool *pool, size_t slab,
                                                 aegis_pool_slab_info *info, size_t info_bytes) {
    return aegis_i_slabs_get(&pool->shared->slabs, slab, info, info_bytes);
}
