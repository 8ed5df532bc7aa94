/* SPDX-License-Identifier: Apache-2.0 */
/* Tests pools that wait for room in their budget when they grow. */
#if !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* sched_yield */
#endif
#include "pool_wait_support.h"
#include "support.h"
#include "../../csrc/pool/lock_free_state.h"

#include <time.h>

static void growth_of_each_form_waits_until_another_thread_uncharges(void) {
    for (int form = 0; form < FORMS; form++) {
        aegis_budget *budget = aegis_budget_new("b", LIMIT_BYTES, NULL);
        any_pool pool;
        requester waiter;
        make(&pool, form, 1, budget, AEGIS_WAIT_FOREVER);
        size_t rest_bytes = fill(&pool, 1, budget);
        start_waiting(&waiter, &pool, NO_TIMEOUT, budget);
        size_t slab_bytes = waiting_bytes(budget);
        CHECK(slab_bytes >= BLOCK_BYTES && slab_bytes < 2 * BLOCK_BYTES);
        CHECK(aegis_budget_uncharge(budget, slab_bytes - 1) == AEGIS_OK);
        CHECK_SIZE(waiting_bytes(budget), slab_bytes);
        CHECK(aegis_budget_uncharge(budget, rest_bytes - (slab_bytes - 1)) == AEGIS_OK);
        join(&waiter);
        CHECK(waiter.block != NULL);
        finish(&pool);
        CHECK_SIZE(used(budget), 0);
        aegis_budget_destroy(budget);
    }
}

static void time_that_is_up_leaves_a_whole_error_and_nothing_else(void) {
    for (int form = 0; form < FORMS; form++) {
        aegis_budget *budget = aegis_budget_new("b", LIMIT_BYTES, NULL);
        any_pool pool;
        aegis_error error;
        make(&pool, form, 1, budget, NS_PER_MS);
        size_t rest_bytes = fill(&pool, 1, budget);
        CHECK(alloc(&pool, &error) == NULL);
        CHECK(error.status == AEGIS_E_LIMIT_EXCEEDED && error.refused == budget);
        CHECK_SIZE(error.requested_bytes, BLOCK_BYTES);
        CHECK_SIZE(error.limit_bytes, LIMIT_BYTES);
        CHECK_SIZE(error.in_use_bytes, LIMIT_BYTES);
        CHECK(error.needed_bytes >= BLOCK_BYTES && error.needed_bytes < 2 * BLOCK_BYTES);
        CHECK_SIZE(waiting_bytes(budget), 0);
        CHECK_SIZE(used(budget), LIMIT_BYTES);
        CHECK(aegis_budget_uncharge(budget, rest_bytes) == AEGIS_OK);
        CHECK(alloc(&pool, &error) != NULL);
        finish(&pool);
        aegis_budget_destroy(budget);
    }
}

static void pool_is_made_when_the_budget_has_room(void) {
    aegis_budget *budget = aegis_budget_new("b", LIMIT_BYTES, NULL);
    aegis_error error;
    any_pool pool;
    aegis_pool_options options = options_for(1, budget, NS_PER_MS);
    options.error = &error;
    CHECK(aegis_budget_charge(budget, LIMIT_BYTES, NULL) == AEGIS_OK);
    CHECK(aegis_locked_pool_init(&pool.locked, &options) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK(error.refused == budget && error.requested_bytes == BLOCK_BYTES);
    CHECK_SIZE(used(budget), LIMIT_BYTES);
    CHECK(aegis_budget_uncharge(budget, LIMIT_BYTES) == AEGIS_OK);
    CHECK(aegis_locked_pool_init(&pool.locked, &options) == AEGIS_OK);
    CHECK(aegis_locked_pool_fini(&pool.locked) == AEGIS_OK);
    aegis_budget_destroy(budget);
}

/* The side memory and the first slab each fit below the limit, but not both. A pool that had the
 * one and waited for the other would wait for itself. */
static void pool_that_never_fits_is_refused_at_once_and_holds_nothing(void) {
    for (int form = SINGLE; form < CACHED; form++) {
        any_pool pool;
        aegis_error error;
        aegis_budget *budget = aegis_budget_new("b", LIMIT_BYTES, NULL);
        make(&pool, form, 8, budget, 0);
        size_t first_bytes = used(budget);
        finish(&pool);
        aegis_lock_free_pool_options options = {options_for(8, budget, AEGIS_WAIT_FOREVER), 1, 0};
        options.blocks.error = &error;
        aegis_budget_set_limit(budget, first_bytes - 1);
        CHECK((form == SINGLE      ? aegis_pool_init(&pool.single, &options.blocks)
               : form == LOCK_FREE ? aegis_lock_free_pool_init(&pool.lock_free, &options)
                                   : aegis_locked_pool_init(&pool.locked, &options.blocks)) ==
              AEGIS_E_LIMIT_EXCEEDED);
        CHECK_SIZE(error.needed_bytes, first_bytes);
        CHECK_SIZE(error.in_use_bytes, 0);
        CHECK_SIZE(used(budget), 0);
        CHECK(figures_of(budget).refused_count == 1);
        aegis_budget_destroy(budget);
    }
}

static void pools_of_all_forms_are_served_in_the_order_of_arrival(void) {
    aegis_budget *budget = aegis_budget_new("b", LIMIT_BYTES, NULL);
    any_pool pools[FORMS];
    requester waiters[FORMS];
    aegis_error error;
    for (int i = 0; i < FORMS; i++) {
        make(&pools[i], i, 1, budget, AEGIS_WAIT_FOREVER);
        for (int j = 0; j < (i == CACHED ? 1 + AEGIS_POOL_CACHE_BLOCKS : 1); j++)
            CHECK(alloc(&pools[i], &error) != NULL);
    }
    size_t rest_bytes = LIMIT_BYTES - used(budget);
    CHECK(aegis_budget_charge(budget, rest_bytes, NULL) == AEGIS_OK);
    for (int i = 0; i < FORMS; i++)
        start_waiting(&waiters[i], &pools[i], NO_TIMEOUT, budget);
    for (int i = 0; i < FORMS; i++) {
        size_t old_bytes = waiting_bytes(budget);
        while (waiting_bytes(budget) == old_bytes) {
            CHECK(aegis_budget_uncharge(budget, 512) == AEGIS_OK);
            rest_bytes -= 512;
        }
        /* Were it not the first that was served, this would not end. */
        join(&waiters[i]);
        CHECK(waiters[i].block != NULL);
    }
    for (int i = 0; i < FORMS; i++)
        finish(&pools[i]);
    CHECK_SIZE(used(budget), rest_bytes);
    CHECK(aegis_budget_uncharge(budget, rest_bytes) == AEGIS_OK);
    aegis_budget_destroy(budget);
}

static void block_that_comes_home_ends_the_wait_for_the_budget(void) {
    const uint64_t timeouts[] = {NO_TIMEOUT, AEGIS_WAIT_FOREVER, 1000000 * NS_PER_MS};
    for (size_t i = 0; i < 3; i++) {
        aegis_budget *budget = aegis_budget_new("b", LIMIT_BYTES, NULL);
        any_pool pool;
        requester waiter;
        aegis_error error;
        make(&pool, LOCKED, 1, budget, AEGIS_WAIT_FOREVER);
        void *block = alloc(&pool, &error);
        size_t rest_bytes = LIMIT_BYTES - used(budget);
        CHECK(aegis_budget_charge(budget, rest_bytes, NULL) == AEGIS_OK);
        start_waiting(&waiter, &pool, timeouts[i], budget);
        CHECK(aegis_locked_pool_fini(&pool.locked) == AEGIS_E_BUSY);
        CHECK(aegis_locked_pool_free(&pool.locked, block) == AEGIS_OK);
        join(&waiter);
        CHECK(waiter.block == block);
        CHECK_SIZE(waiting_bytes(budget), 0);
        CHECK_SIZE(used(budget), LIMIT_BYTES);
        CHECK(aegis_locked_pool_free(&pool.locked, block) == AEGIS_OK);
        CHECK(aegis_locked_pool_fini(&pool.locked) == AEGIS_OK);
        CHECK(aegis_budget_uncharge(budget, rest_bytes) == AEGIS_OK);
        aegis_budget_destroy(budget);
    }
}

#define THREADS 4

static void one_slab_ends_the_waits_of_all_threads_that_it_serves(void) {
    for (int form = LOCK_FREE; form <= LOCKED; form++) {
        aegis_budget *budget = aegis_budget_new("b", LIMIT_BYTES, NULL);
        any_pool pool;
        requester waiters[THREADS];
        make(&pool, form, THREADS, budget, AEGIS_WAIT_FOREVER);
        size_t rest_bytes = fill(&pool, THREADS, budget);
        for (size_t i = 0; i < THREADS; i++)
            start_waiting(&waiters[i], &pool, NO_TIMEOUT, budget);
        size_t slab_bytes = waiting_bytes(budget) / THREADS;
        CHECK(slab_bytes >= THREADS * BLOCK_BYTES);
        CHECK(aegis_budget_uncharge(budget, slab_bytes) == AEGIS_OK);
        for (size_t i = 0; i < THREADS; i++) {
            join(&waiters[i]);
            CHECK(waiters[i].block != NULL);
        }
        CHECK_SIZE(used(budget), LIMIT_BYTES);
        CHECK_SIZE(waiting_bytes(budget), 0);
        finish(&pool);
        CHECK(aegis_budget_uncharge(budget, rest_bytes - slab_bytes) == AEGIS_OK);
        CHECK_SIZE(used(budget), 0);
        aegis_budget_destroy(budget);
    }
}

static void time_of_a_request_bounds_its_wait_for_the_budget(void) {
    aegis_budget *budget = aegis_budget_new("b", LIMIT_BYTES, NULL);
    any_pool pool;
    requester waiter;
    aegis_error error;
    make(&pool, LOCKED, 1, budget, AEGIS_WAIT_FOREVER);
    size_t rest_bytes = fill(&pool, 1, budget);
    /* Without that bound neither of these would end. */
    CHECK(aegis_locked_pool_alloc_timeout(&pool.locked, 0, &error) == NULL);
    CHECK(error.status == AEGIS_E_LIMIT_EXCEEDED && error.refused == budget);
    CHECK(aegis_locked_pool_alloc_timeout(&pool.locked, NS_PER_MS, &error) == NULL);
    CHECK(error.status == AEGIS_E_LIMIT_EXCEEDED && error.refused == budget);
    /* While one thread waits in the budget, the time of another one ends all the same. */
    start_waiting(&waiter, &pool, NO_TIMEOUT, budget);
    CHECK(aegis_locked_pool_alloc_timeout(&pool.locked, NS_PER_MS, &error) == NULL);
    CHECK(error.status == AEGIS_E_LIMIT_EXCEEDED && error.refused == budget);
    CHECK(!atomic_load(&waiter.ended));
    CHECK(aegis_budget_uncharge(budget, rest_bytes) == AEGIS_OK);
    join(&waiter);
    CHECK(waiter.block != NULL);
    finish(&pool);
    aegis_budget_destroy(budget);
}

/* The pool is not locked while a thread waits for the budget: others allocate, free and are served
 * in the order in which they came. */
static void locked_pool_serves_threads_while_others_wait_for_the_budget(void) {
    aegis_budget *budget = aegis_budget_new("b", LIMIT_BYTES, NULL);
    any_pool pool;
    requester waiters[2];
    void *blocks[3];
    make(&pool, LOCKED, 3, budget, AEGIS_WAIT_FOREVER);
    for (size_t i = 0; i < 3; i++)
        blocks[i] = aegis_locked_pool_alloc(&pool.locked, NULL);
    size_t rest_bytes = LIMIT_BYTES - used(budget);
    CHECK(aegis_budget_charge(budget, rest_bytes, NULL) == AEGIS_OK);
    for (size_t i = 0; i < 2; i++)
        start_waiting(&waiters[i], &pool, NO_TIMEOUT, budget);
    CHECK_SIZE(aegis_locked_pool_waiting(&pool.locked), 2);
    CHECK(aegis_locked_pool_free(&pool.locked, blocks[0]) == AEGIS_OK);
    join(&waiters[0]);
    CHECK(waiters[0].block == blocks[0]);
    CHECK(!atomic_load(&waiters[1].ended));
    CHECK(aegis_locked_pool_free(&pool.locked, blocks[1]) == AEGIS_OK);
    join(&waiters[1]);
    CHECK(waiters[1].block == blocks[1]);
    CHECK(aegis_locked_pool_free(&pool.locked, blocks[2]) == AEGIS_OK);
    CHECK(aegis_locked_pool_alloc(&pool.locked, NULL) == blocks[2]);
    CHECK_SIZE(used(budget), LIMIT_BYTES);
    finish(&pool);
    CHECK(aegis_budget_uncharge(budget, rest_bytes) == AEGIS_OK);
    aegis_budget_destroy(budget);
}

static size_t outsider_bytes;
static atomic_bool outsider_ended;

static void *charge_as_outsider(void *budget) {
    CHECK(aegis_budget_charge_timeout((aegis_budget *)budget, outsider_bytes, AEGIS_WAIT_FOREVER,
                                      NULL) == AEGIS_OK);
    atomic_store(&outsider_ended, true);
    return NULL;
}

/* Each slab has one block, so each call back is in vain for all threads except one. They must not
 * lose their places to a request that came later, and no slab is acquired in vain. */
static void threads_of_a_lock_free_pool_keep_their_places_in_the_queue(void) {
    aegis_budget *budget = aegis_budget_new("b", LIMIT_BYTES, NULL);
    any_pool pool;
    requester waiters[THREADS];
    pthread_t outsider;
    make(&pool, LOCK_FREE, 1, budget, AEGIS_WAIT_FOREVER);
    size_t rest_bytes = fill(&pool, 1, budget);
    for (size_t i = 0; i < THREADS; i++)
        start_waiting(&waiters[i], &pool, NO_TIMEOUT, budget);
    size_t old_bytes = waiting_bytes(budget);
    outsider_bytes = old_bytes / THREADS;
    atomic_store(&outsider_ended, false);
    CHECK(pthread_create(&outsider, NULL, charge_as_outsider, budget) == 0);
    wait_for_more_waiting(budget, old_bytes);
    for (size_t i = 0; i < THREADS; i++) {
        CHECK(aegis_budget_uncharge(budget, outsider_bytes) == AEGIS_OK);
        rest_bytes -= outsider_bytes;
        size_t ended_count = 0;
        while (ended_count <= i) {
            ended_count = 0;
            for (size_t j = 0; j < THREADS; j++)
                ended_count += atomic_load(&waiters[j].ended);
            sched_yield();
        }
        CHECK(!atomic_load(&outsider_ended));
    }
    for (size_t i = 0; i < THREADS; i++) {
        join(&waiters[i]);
        CHECK(waiters[i].block != NULL);
    }
    aegis_pool_stats stats;
    aegis_lock_free_pool_get_stats(&pool.lock_free, &stats);
    CHECK_SIZE(stats.slab_count, 1 + THREADS);
    CHECK_SIZE(stats.released_count, 0);
    CHECK(aegis_budget_uncharge(budget, rest_bytes) == AEGIS_OK);
    CHECK(pthread_join(outsider, NULL) == 0);
    CHECK(aegis_budget_uncharge(budget, outsider_bytes) == AEGIS_OK);
    finish(&pool);
    CHECK_SIZE(used(budget), 0);
    aegis_budget_destroy(budget);
}

/* Two threads wait so that the pool can have its last slab. If the second went on waiting, it would
 * not end: no room comes for it, and the pool could not use it. */
static void pool_that_cannot_grow_any_more_ends_the_wait(void) {
    aegis_budget *budget = aegis_budget_new("b", LIMIT_BYTES, NULL);
    aegis_lock_free_pool_options options = {options_for(1, budget, AEGIS_WAIT_FOREVER), 0, 0};
    any_pool pool;
    requester waiters[2];
    memset(&pool, 0, sizeof pool);
    pool.form = LOCK_FREE;
    options.blocks.max_block_count = 2;
    CHECK(aegis_lock_free_pool_init(&pool.lock_free, &options) == AEGIS_OK);
    size_t rest_bytes = fill(&pool, 1, budget);
    for (size_t i = 0; i < 2; i++)
        start_waiting(&waiters[i], &pool, NO_TIMEOUT, budget);
    size_t slab_bytes = waiting_bytes(budget) / 2;
    CHECK(aegis_budget_uncharge(budget, slab_bytes) == AEGIS_OK);
    for (size_t i = 0; i < 2; i++)
        join(&waiters[i]);
    const requester *refused = &waiters[waiters[0].block != NULL ? 1 : 0];
    CHECK(refused->block == NULL && refused->error.status == AEGIS_E_EXHAUSTED);
    CHECK((waiters[0].block == NULL) != (waiters[1].block == NULL));
    CHECK_SIZE(waiting_bytes(budget), 0);
    finish(&pool);
    CHECK(aegis_budget_uncharge(budget, rest_bytes - slab_bytes) == AEGIS_OK);
    aegis_budget_destroy(budget);
}

/* Calls the threads that wait back while the trim holds all free blocks. */
static void call_back(void *context, uint32_t first_index, uint32_t block_count) {
    const struct timespec moment = {0, 10 * 1000 * 1000};
    const aegis_lock_free_pool *pool = (const aegis_lock_free_pool *)context;
    (void)first_index;
    (void)block_count;
    aegis_i_budget_call_all(pool->shared->slabs.budget, &pool->shared->slabs);
    (void)nanosleep(&moment, NULL);
}

/* The room of the slab that goes is too little for the outsider, which is the first in the queue.
 * So the thread has only the block that the trim puts back. */
static void thread_that_is_called_back_in_a_trim_finds_what_the_trim_held(void) {
    aegis_budget *budget = aegis_budget_new("b", LIMIT_BYTES, NULL);
    any_pool pool;
    requester waiter;
    pthread_t outsider;
    aegis_error error;
    void *blocks[3];
    make(&pool, LOCK_FREE, 1, budget, AEGIS_WAIT_FOREVER);
    for (size_t i = 0; i < 3; i++)
        CHECK((blocks[i] = alloc(&pool, &error)) != NULL);
    size_t rest_bytes = LIMIT_BYTES - used(budget);
    CHECK(aegis_budget_charge(budget, rest_bytes, NULL) == AEGIS_OK);
    outsider_bytes = LIMIT_BYTES / 2;
    CHECK(pthread_create(&outsider, NULL, charge_as_outsider, budget) == 0);
    wait_for_more_waiting(budget, 0);
    start_waiting(&waiter, &pool, NO_TIMEOUT, budget);
    for (size_t i = 1; i < 3; i++)
        CHECK(aegis_lock_free_pool_free(&pool.lock_free, blocks[i]) == AEGIS_OK);
    const aegis_i_trim wanted = {0, 1, 0, call_back, &pool.lock_free};
    CHECK(aegis_i_lock_free_trim(pool.lock_free.shared, &wanted) != 0);
    join(&waiter);
    CHECK(waiter.block != NULL);
    CHECK(aegis_budget_uncharge(budget, rest_bytes) == AEGIS_OK);
    CHECK(pthread_join(outsider, NULL) == 0);
    CHECK(aegis_budget_uncharge(budget, outsider_bytes) == AEGIS_OK);
    finish(&pool);
    CHECK_SIZE(used(budget), 0);
    aegis_budget_destroy(budget);
}

/* A source whose first slab is asked for once more meanwhile. When it gets a slab back, it takes
 * the blocks that are free, and the room. */
typedef struct rival {
    test_source state;
    aegis_source memory;
    aegis_lock_free_pool pool;
    aegis_budget *budget;
    bool armed;
    void *block;
    size_t stolen_count;
} rival;

static void *acquire_twice(void *context, size_t size_bytes, size_t align_bytes, bool *zeroed) {
    rival *self = (rival *)context;
    if (self->armed) {
        self->armed = false;
        self->block = aegis_lock_free_pool_alloc(&self->pool, NULL);
        CHECK(self->block != NULL);
    }
    return self->memory.acquire(self->memory.context, size_bytes, align_bytes, zeroed);
}

static void release_and_steal(void *context, void *place, size_t size_bytes, size_t align_bytes) {
    rival *self = (rival *)context;
    uint32_t indices[2];
    self->memory.release(self->memory.context, place, size_bytes, align_bytes);
    if (self->budget == NULL)
        return;
    self->stolen_count = aegis_i_lock_free_take_held(self->pool.shared, indices, 2);
    aegis_budget_set_limit(self->budget, 1);
}

/* The thread has its room and its memory when another request has added the same slab. It must not
 * give the room up before it has a block: it would have to wait again. */
static void memory_that_is_not_needed_goes_back_after_a_block_was_taken(void) {
    aegis_budget *budget = aegis_budget_new("b", LIMIT_BYTES, NULL);
    rival self;
    void *blocks[4];
    memset(&self, 0, sizeof self);
    self.memory = test_source_get(&self.state, true);
    const aegis_source source = {acquire_twice, release_and_steal, NULL, &self};
    aegis_lock_free_pool_options options = {options_for(2, budget, NS_PER_MS), 0, 0};
    options.blocks.source = &source;
    CHECK(aegis_lock_free_pool_init(&self.pool, &options) == AEGIS_OK);
    for (size_t i = 0; i < 2; i++)
        blocks[i] = aegis_lock_free_pool_alloc(&self.pool, NULL);
    self.armed = true;
    self.budget = budget;
    blocks[2] = aegis_lock_free_pool_alloc(&self.pool, NULL);
    blocks[3] = self.block;
    CHECK(blocks[2] != NULL && used(budget) > 1 && figures_of(budget).limit_bytes == 1);
    CHECK_SIZE(self.stolen_count, 0);
    self.budget = NULL;
    CHECK(aegis_lock_free_pool_free_n(&self.pool, blocks, 4) == AEGIS_OK);
    CHECK(aegis_lock_free_pool_fini(&self.pool) == AEGIS_OK);
    test_source_check_done(&self.state);
    CHECK_SIZE(used(budget), 0);
    aegis_budget_destroy(budget);
}

int main(void) {
    check_alarm(120);
    RUN(growth_of_each_form_waits_until_another_thread_uncharges);
    RUN(time_that_is_up_leaves_a_whole_error_and_nothing_else);
    RUN(pool_is_made_when_the_budget_has_room);
    RUN(pool_that_never_fits_is_refused_at_once_and_holds_nothing);
    RUN(pools_of_all_forms_are_served_in_the_order_of_arrival);
    RUN(block_that_comes_home_ends_the_wait_for_the_budget);
    RUN(one_slab_ends_the_waits_of_all_threads_that_it_serves);
    RUN(time_of_a_request_bounds_its_wait_for_the_budget);
    RUN(locked_pool_serves_threads_while_others_wait_for_the_budget);
    RUN(threads_of_a_lock_free_pool_keep_their_places_in_the_queue);
    RUN(memory_that_is_not_needed_goes_back_after_a_block_was_taken);
    RUN(pool_that_cannot_grow_any_more_ends_the_wait);
    RUN(thread_that_is_called_back_in_a_trim_finds_what_the_trim_held);
    return check_finish();
}
