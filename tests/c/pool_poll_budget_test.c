/* SPDX-License-Identifier: Apache-2.0 */
/* Tests polled requests of a locked pool and of a buffer pool that a budget has refused: they wait
 * for a block and for room in the budget, and whichever comes first wakes them. An alarm ends a
 * test that hangs. */
#if !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* sched_yield */
#endif
#include "buffer_pool_support.h"
#include "wait_support.h"

#include <stdlib.h>

#define BLOCK_BYTES ((size_t)4096)

enum { LOCKED, BUFFERS, FORMS };

static int form;
static aegis_budget *budget;
static size_t rest_bytes;
static aegis_locked_pool blocks;
static aegis_buffer_pool buffers;
/* What is out since `make`. */
static void *block_out;
static aegis_buffer_mut writer_out;

/* A request, what it got, and how often its wakers were called. */
typedef struct request {
    aegis_locked_pool_request *locked;
    aegis_buffer_pool_request *buffer;
    void *block;
    aegis_buffer_mut writer;
    atomic_size_t woken_count;
} request;

/* Makes a pool of one block that may grow to `max_count`, takes that block, and charges all that
 * the budget has left. */
static void make(int which, size_t max_count) {
    aegis_pool_options options = {BLOCK_BYTES, 1, max_count, 0, NULL, NULL, NULL, 0};
    aegis_buffer_class only = {BLOCK_BYTES, 1, max_count};
    aegis_buffer_pool_options buffer_options = buffer_pool_options(&only, 1, NULL);
    form = which;
    budget = aegis_budget_new("b", LIMIT_BYTES, NULL);
    options.budget = buffer_options.budget = budget;
    if (form == LOCKED) {
        CHECK(aegis_locked_pool_init(&blocks, &options) == AEGIS_OK);
        block_out = aegis_locked_pool_alloc(&blocks, NULL);
    } else {
        CHECK(aegis_buffer_pool_init(&buffers, &buffer_options) == AEGIS_OK);
        CHECK(aegis_buffer_pool_get(&buffers, &writer_out, 1, NULL) == AEGIS_OK);
    }
    rest_bytes = LIMIT_BYTES - used(budget);
    CHECK(aegis_budget_charge(budget, rest_bytes, NULL) == AEGIS_OK);
}

static void wake(void *context) {
    atomic_fetch_add((atomic_size_t *)context, 1);
}

static aegis_status poll_with(request *self, atomic_size_t *count) {
    return form == LOCKED
               ? aegis_locked_pool_poll(&blocks, &self->locked, &self->block, wake, count, NULL)
               : aegis_buffer_pool_poll(&buffers, &self->buffer, &self->writer, 1, wake, count,
                                        NULL);
}

static aegis_status poll_once(request *self) {
    return poll_with(self, &self->woken_count);
}

static bool cancel(request *self) {
    bool withdrawn = form == LOCKED ? aegis_locked_pool_request_cancel(self->locked)
                                    : aegis_buffer_pool_request_cancel(self->buffer);
    self->locked = NULL;
    self->buffer = NULL;
    return withdrawn;
}

/* Gives back what the request got. */
static void give_back(request *self) {
    if (form == LOCKED)
        CHECK(aegis_locked_pool_free(&blocks, self->block) == AEGIS_OK);
    else
        CHECK(aegis_buffer_mut_release(&self->writer) == AEGIS_OK);
}

/* Gives back the block that is out since `make`. */
static void free_out(void) {
    if (form == LOCKED)
        CHECK(aegis_locked_pool_free(&blocks, block_out) == AEGIS_OK);
    else
        CHECK(aegis_buffer_mut_release(&writer_out) == AEGIS_OK);
}

static void uncharge(size_t size_bytes) {
    CHECK(aegis_budget_uncharge(budget, size_bytes) == AEGIS_OK);
    rest_bytes -= size_bytes;
}

/* Finishes all. All blocks must be free. */
static void finish(void) {
    CHECK_SIZE(waiting_bytes(budget), 0);
    if (rest_bytes != 0)
        uncharge(rest_bytes);
    if (form == LOCKED)
        CHECK(aegis_locked_pool_fini(&blocks) == AEGIS_OK);
    else
        aegis_buffer_pool_release(&buffers);
    CHECK_SIZE(used(budget), 0);
    aegis_budget_destroy(budget);
}

static void room_in_the_budget_wakes_a_request(void) {
    for (int which = 0; which < FORMS; which++) {
        request self = {0};
        make(which, 4);
        CHECK(poll_once(&self) == AEGIS_PENDING);
        size_t slab_bytes = waiting_bytes(budget);
        CHECK(slab_bytes >= BLOCK_BYTES && slab_bytes <= 3 * BLOCK_BYTES);
        uncharge(slab_bytes - 1);
        CHECK_SIZE(atomic_load(&self.woken_count), 0);
        uncharge(1);
        CHECK_SIZE(atomic_load(&self.woken_count), 1);
        CHECK(poll_once(&self) == AEGIS_OK);
        CHECK_SIZE(used(budget), LIMIT_BYTES);
        CHECK_SIZE(atomic_load(&self.woken_count), 1);
        give_back(&self);
        free_out();
        finish();
    }
}

static void block_that_comes_home_ends_the_wait_for_the_budget(void) {
    for (int which = 0; which < FORMS; which++) {
        request self = {0};
        make(which, 4);
        CHECK(poll_once(&self) == AEGIS_PENDING);
        free_out();
        CHECK_SIZE(atomic_load(&self.woken_count), 1);
        CHECK(poll_once(&self) == AEGIS_OK);
        CHECK_SIZE(waiting_bytes(budget), 0);
        CHECK_SIZE(used(budget), LIMIT_BYTES);
        uncharge(rest_bytes);
        CHECK_SIZE(atomic_load(&self.woken_count), 1);
        give_back(&self);
        finish();
    }
}

/* Both come before the request is polled. It takes the block, and the budget gets its bytes back.
 */
static void request_to_which_both_come_is_woken_once_and_charges_nothing(void) {
    for (int first = 0; first < 2 * FORMS; first++) {
        request self = {0};
        make(first % FORMS, 4);
        CHECK(poll_once(&self) == AEGIS_PENDING);
        size_t slab_bytes = waiting_bytes(budget);
        if (first < FORMS)
            free_out();
        uncharge(slab_bytes);
        if (first >= FORMS)
            free_out();
        CHECK_SIZE(used(budget), LIMIT_BYTES);
        CHECK_SIZE(atomic_load(&self.woken_count), 1);
        CHECK(poll_once(&self) == AEGIS_OK);
        CHECK_SIZE(used(budget), LIMIT_BYTES - slab_bytes);
        give_back(&self);
        finish();
    }
}

static void cancelled_request_leaves_the_budget(void) {
    for (int which = 0; which < FORMS; which++) {
        for (int room = 0; room < 2; room++) {
            request self = {0};
            make(which, 4);
            CHECK(poll_once(&self) == AEGIS_PENDING);
            size_t slab_bytes = waiting_bytes(budget);
            if (room == 1)
                uncharge(slab_bytes);
            CHECK(cancel(&self) == (room == 0));
            CHECK_SIZE(atomic_load(&self.woken_count), (size_t)room);
            CHECK_SIZE(waiting_bytes(budget), 0);
            CHECK_SIZE(used(budget), LIMIT_BYTES - (room == 1 ? slab_bytes : 0));
            free_out();
            finish();
        }
    }
}

/* Each poll has a waker of its own. The budget must call that of the latest poll. */
static void latest_waker_is_called(void) {
    for (int which = 0; which < FORMS; which++) {
        request self = {0};
        atomic_size_t counts[3];
        make(which, 4);
        for (int i = 0; i < 3; i++) {
            atomic_init(&counts[i], 0);
            CHECK(poll_with(&self, &counts[i]) == AEGIS_PENDING);
        }
        uncharge(waiting_bytes(budget));
        CHECK(atomic_load(&counts[0]) == 0 && atomic_load(&counts[1]) == 0);
        CHECK_SIZE(atomic_load(&counts[2]), 1);
        CHECK(poll_once(&self) == AEGIS_OK);
        give_back(&self);
        free_out();
        finish();
    }
}

static void withdrawn_waker_is_not_called_by_the_budget(void) {
    for (int which = 0; which < FORMS; which++) {
        request self = {0};
        make(which, 4);
        CHECK(poll_once(&self) == AEGIS_PENDING);
        CHECK(form == LOCKED ? aegis_locked_pool_request_disarm(self.locked)
                             : aegis_buffer_pool_request_disarm(self.buffer));
        uncharge(waiting_bytes(budget));
        CHECK_SIZE(atomic_load(&self.woken_count), 0);
        CHECK(poll_once(&self) == AEGIS_OK);
        give_back(&self);
        free_out();
        finish();
    }
}

/* Two requests, and room for one slab at a time: they get it in the order in which they came. */
static void requests_get_room_in_the_order_of_arrival(void) {
    for (int which = 0; which < FORMS; which++) {
        request requests[2];
        memset(requests, 0, sizeof requests);
        make(which, 4);
        for (int i = 0; i < 2; i++)
            CHECK(poll_once(&requests[i]) == AEGIS_PENDING);
        size_t slab_bytes = waiting_bytes(budget) / 2;
        for (size_t i = 0; i < 2; i++) {
            /* The first request of a locked pool is woken when it has become the first. */
            CHECK(poll_once(&requests[i]) == AEGIS_PENDING);
            for (size_t k = 0; k < 2; k++)
                atomic_store(&requests[k].woken_count, 0);
            uncharge(slab_bytes);
            CHECK_SIZE(atomic_load(&requests[i].woken_count), 1);
            CHECK_SIZE(atomic_load(&requests[1 - i].woken_count), 0);
            CHECK(poll_once(&requests[i]) == AEGIS_OK);
        }
        for (int i = 0; i < 2; i++)
            give_back(&requests[i]);
        free_out();
        finish();
    }
}

/* A thread gets the last slab that the pool may have. The request goes on waiting for a block only.
 */
static void request_of_a_pool_that_cannot_grow_leaves_the_budget(void) {
    for (int which = 0; which < FORMS; which++) {
        request self = {0}, other = {0};
        make(which, 2);
        CHECK(poll_once(&self) == AEGIS_PENDING);
        CHECK(poll_once(&other) == AEGIS_PENDING);
        size_t slab_bytes = waiting_bytes(budget) / 2;
        uncharge(slab_bytes);
        CHECK(poll_once(&self) == AEGIS_OK);
        CHECK(poll_once(&other) == AEGIS_PENDING);
        CHECK_SIZE(waiting_bytes(budget), 0);
        atomic_store(&other.woken_count, 0);
        give_back(&self);
        CHECK_SIZE(atomic_load(&other.woken_count), 1);
        CHECK(poll_once(&other) == AEGIS_OK);
        give_back(&other);
        free_out();
        finish();
    }
}

/* The end of a budget wakes the request, which then waits for a block only. */
static void closed_budget_wakes_a_request(void) {
    for (int which = 0; which < FORMS; which++) {
        request self = {0};
        make(which, 4);
        CHECK(poll_once(&self) == AEGIS_PENDING);
        aegis_budget_close(budget);
        CHECK_SIZE(atomic_load(&self.woken_count), 1);
        CHECK(poll_once(&self) == AEGIS_PENDING);
        free_out();
        CHECK_SIZE(atomic_load(&self.woken_count), 2);
        CHECK(poll_once(&self) == AEGIS_OK);
        give_back(&self);
        finish();
    }
}

static void move_wakes_the_requests_of_a_locked_pool(void) {
    request self = {0};
    make(LOCKED, 4);
    aegis_budget *other = aegis_budget_new("other", LIMIT_BYTES, NULL);
    CHECK(poll_once(&self) == AEGIS_PENDING);
    CHECK(aegis_locked_pool_move_budget(&blocks, other, NULL) == AEGIS_OK);
    CHECK_SIZE(atomic_load(&self.woken_count), 1);
    CHECK(poll_once(&self) == AEGIS_OK);
    CHECK_SIZE(used(budget), rest_bytes);
    give_back(&self);
    free_out();
    finish();
    CHECK_SIZE(used(other), 0);
    aegis_budget_destroy(other);
}

#define THREADS 4
#define ROUNDS 200

static atomic_size_t got_count;

/* A waker's context on the heap. It is freed by the waker, or by the thread that knows that the
 * waker will not be called. A checker finds it if it is freed twice, or never. */
typedef struct heap_context {
    atomic_size_t *woken_count;
} heap_context;

static atomic_size_t woken_counts[THREADS];

static void wake_and_free(void *context) {
    heap_context *self = (heap_context *)context;
    atomic_fetch_add(self->woken_count, 1);
    free(self);
}

/* Polls once. `*context` is that of the poll before, or NULL, and then that of this one. */
static aegis_status poll_counting(request *self, heap_context **context, atomic_size_t *count) {
    bool withdrawn = false;
    if (self->locked != NULL)
        withdrawn = aegis_locked_pool_request_disarm(self->locked);
    if (self->buffer != NULL)
        withdrawn = aegis_buffer_pool_request_disarm(self->buffer);
    if (withdrawn)
        free(*context);
    heap_context *next = (heap_context *)malloc(sizeof *next);
    next->woken_count = count;
    aegis_status status = form == LOCKED
                              ? aegis_locked_pool_poll(&blocks, &self->locked, &self->block,
                                                       wake_and_free, next, NULL)
                              : aegis_buffer_pool_poll(&buffers, &self->buffer, &self->writer, 1,
                                                       wake_and_free, next, NULL);
    if (status != AEGIS_PENDING)
        free(next);
    *context = next;
    return status;
}

/* Polls until there is a block, or gives up after a while. */
static void *poll_and_use(void *number) {
    uint64_t seed = *(const size_t *)number + 1;
    atomic_size_t *count = &woken_counts[*(const size_t *)number];
    size_t rounds = scaled(ROUNDS);
    for (size_t round = 0; round < rounds; round++) {
        request self = {0};
        heap_context *context = NULL;
        size_t turn_count = random_below(&seed, 200);
        size_t seen = atomic_load(count);
        aegis_status status;
        while ((status = poll_counting(&self, &context, count)) == AEGIS_PENDING &&
               turn_count != 0) {
            for (; turn_count != 0 && atomic_load(count) == seen; turn_count--)
                sched_yield();
            seen = atomic_load(count);
        }
        if (status == AEGIS_PENDING) {
            if (cancel(&self))
                free(context);
            continue;
        }
        CHECK(status == AEGIS_OK);
        void *bytes = form == LOCKED ? self.block : (void *)self.writer.data;
        memset(bytes, (int)seed, BLOCK_BYTES);
        atomic_fetch_add(&got_count, 1);
        give_back(&self);
        if (random_below(&seed, 4) == 0 && form == LOCKED)
            aegis_locked_pool_trim(&blocks, 0);
        else if (random_below(&seed, 4) == 0 && form == BUFFERS)
            aegis_buffer_pool_trim(&buffers, 0);
    }
    return NULL;
}

/* Charges and uncharges, so that there is sometimes room for a slab. Idle slabs may be in the way
 * of a charge, so it does not wait for ever. */
static void *take_and_give_room(void *number) {
    uint64_t seed = *(const size_t *)number + 1;
    size_t rounds = scaled(ROUNDS) * 4;
    size_t held_bytes = 3 * BLOCK_BYTES;
    for (size_t round = 0; round < rounds; round++) {
        CHECK(aegis_budget_uncharge(budget, held_bytes) == AEGIS_OK);
        for (size_t i = random_below(&seed, 20); i != 0; i--)
            sched_yield();
        held_bytes = 3 * BLOCK_BYTES;
        if (aegis_budget_charge_timeout(budget, held_bytes, NS_PER_MS / 10, NULL) != AEGIS_OK)
            held_bytes = 0;
    }
    CHECK(aegis_budget_uncharge(budget, held_bytes) == AEGIS_OK);
    rest_bytes -= 3 * BLOCK_BYTES;
    return NULL;
}

static void nothing_is_lost_when_many_threads_poll(void) {
    for (int which = 0; which < FORMS; which++) {
        static size_t numbers[THREADS + 1];
        pthread_t threads[THREADS + 1];
        make(which, 4);
        free_out();
        atomic_store(&got_count, 0);
        for (size_t i = 0; i <= THREADS; i++) {
            numbers[i] = i;
            CHECK(pthread_create(&threads[i], NULL, i < THREADS ? poll_and_use : take_and_give_room,
                                 &numbers[i]) == 0);
        }
        for (size_t i = 0; i <= THREADS; i++)
            CHECK(pthread_join(threads[i], NULL) == 0);
        CHECK(atomic_load(&got_count) != 0);
        finish();
    }
}

/* Says in each call that it can free more, and frees nothing. */
static size_t promise_more(void *handle, size_t wanted_bytes) {
    (void)wanted_bytes;
    aegis_budget_reclaimer_notify(*(aegis_budget_reclaimer **)handle);
    return 0;
}

static void reclaimer_that_always_has_more_keeps_no_poll_from_its_end(void) {
    for (int which = 0; which < FORMS; which++) {
        aegis_budget_reclaimer *handle;
        request one;
        memset(&one, 0, sizeof one);
        make(which, 4);
        CHECK(aegis_budget_on_reclaim(budget, 0, AEGIS_RECLAIM_OWN_LAST, promise_more, NULL,
                                      (void *)&handle, &handle) == AEGIS_OK);
        for (size_t i = 1; i < 4; i++) {
            CHECK(poll_once(&one) == AEGIS_PENDING);
            /* Each waker is called once, so that the request is polled again. */
            CHECK_SIZE(atomic_load(&one.woken_count), i);
        }
        aegis_budget_reclaimer_remove(handle);
        CHECK(poll_once(&one) == AEGIS_PENDING);
        CHECK_SIZE(atomic_load(&one.woken_count), 3);
        uncharge(rest_bytes);
        CHECK_SIZE(atomic_load(&one.woken_count), 4);
        CHECK(poll_once(&one) == AEGIS_OK);
        give_back(&one);
        free_out();
        finish();
    }
}

int main(void) {
    check_alarm(120);
    RUN(room_in_the_budget_wakes_a_request);
    RUN(block_that_comes_home_ends_the_wait_for_the_budget);
    RUN(request_to_which_both_come_is_woken_once_and_charges_nothing);
    RUN(cancelled_request_leaves_the_budget);
    RUN(latest_waker_is_called);
    RUN(withdrawn_waker_is_not_called_by_the_budget);
    RUN(requests_get_room_in_the_order_of_arrival);
    RUN(request_of_a_pool_that_cannot_grow_leaves_the_budget);
    RUN(closed_budget_wakes_a_request);
    RUN(move_wakes_the_requests_of_a_locked_pool);
    RUN(reclaimer_that_always_has_more_keeps_no_poll_from_its_end);
    RUN(nothing_is_lost_when_many_threads_poll);
    return check_finish();
}
