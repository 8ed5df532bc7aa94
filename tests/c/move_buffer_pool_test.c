/* SPDX-License-Identifier: Apache-2.0 */
/* Tests that a buffer of a pool which was charged elsewhere is charged to the budget of the pool
 * again when it comes home, whatever that budget would refuse, and that a pool itself moves. */
#include "move_support.h"

#include <pthread.h>
#include <stdatomic.h>

#define POOL_HOME 1

static tree shared;
static atomic_size_t failure_count;

static void buffer_comes_home_above_the_limit_of_its_pool(void) {
    aegis_budget *root = aegis_budget_new("root", AEGIS_BUDGET_UNLIMITED, NULL);
    aegis_budget *home = aegis_budget_new("home", AEGIS_BUDGET_UNLIMITED, root);
    aegis_budget *away = aegis_budget_new("away", AEGIS_BUDGET_UNLIMITED, root);
    aegis_buffer_mut writer;
    aegis_error error;
    pool_make(home, AEGIS_BUFFER_FAIL);
    size_t reserved_bytes = pool_reserved();
    CHECK(aegis_buffer_pool_get(&pool, &writer, 1, NULL) == AEGIS_OK);
    CHECK(aegis_buffer_mut_move_budget(&writer, away, NULL) == AEGIS_OK);
    CHECK_SIZE(used(home), reserved_bytes - block_bytes);
    CHECK_SIZE(used(away), block_bytes);
    /* The room is taken by another charge, so a move back is refused, but the release is not. */
    aegis_budget_set_limit(home, reserved_bytes);
    CHECK(aegis_budget_charge(home, block_bytes, NULL) == AEGIS_OK);
    CHECK(aegis_buffer_mut_move_budget(&writer, home, &error) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK(error.refused == home);
    aegis_budget_destroy(away);
    CHECK(aegis_buffer_mut_release(&writer) == AEGIS_OK);
    CHECK_SIZE(aegis_budget_snapshot(root, NULL, 0), 2);
    CHECK_SIZE(used(home), reserved_bytes + block_bytes);
    CHECK_SIZE(used(root), reserved_bytes + block_bytes);
    CHECK(aegis_budget_charge(home, 1, NULL) == AEGIS_E_LIMIT_EXCEEDED);
    /* The buffer is as before: it can be had and moved again. */
    CHECK(aegis_buffer_pool_get(&pool, &writer, 1, NULL) == AEGIS_OK);
    CHECK(aegis_buffer_mut_move_budget(&writer, NULL, NULL) == AEGIS_OK);
    CHECK_SIZE(used(root), reserved_bytes);
    aegis_buffer_pool_release(&pool);
    CHECK_SIZE(used(root), reserved_bytes);
    CHECK(aegis_buffer_mut_release(&writer) == AEGIS_OK);
    CHECK_SIZE(used(home), block_bytes);
    CHECK(aegis_budget_uncharge(home, block_bytes) == AEGIS_OK);
    CHECK_SIZE(used(root), 0);
    aegis_budget_destroy(home);
    aegis_budget_destroy(root);
}

static void buffer_comes_home_to_a_guarantee_that_covers_it(void) {
    aegis_budget *root = aegis_budget_new("root", AEGIS_BUDGET_UNLIMITED, NULL);
    aegis_budget *home = aegis_budget_new("home", AEGIS_BUDGET_UNLIMITED, root);
    aegis_budget *away = aegis_budget_new("away", AEGIS_BUDGET_UNLIMITED, root);
    aegis_buffer_mut writer;
    pool_make(home, AEGIS_BUFFER_FAIL);
    size_t reserved_bytes = pool_reserved(), limit_bytes = reserved_bytes + 4 * block_bytes;
    aegis_budget_set_limit(root, limit_bytes);
    CHECK(aegis_budget_set_guarantee(home, reserved_bytes + block_bytes, NULL) == AEGIS_OK);
    for (int round = 0; round < 3; round++) {
        CHECK(aegis_buffer_pool_get(&pool, &writer, 1, NULL) == AEGIS_OK);
        CHECK(aegis_buffer_mut_move_budget(&writer, away, NULL) == AEGIS_OK);
        CHECK_SIZE(used(home), reserved_bytes - block_bytes);
        CHECK_SIZE(used(root), reserved_bytes);
        /* What home is guaranteed stays free for it. */
        CHECK(aegis_budget_charge(root, 2 * block_bytes + 1, NULL) == AEGIS_E_LIMIT_EXCEEDED);
        CHECK(aegis_budget_charge(root, 2 * block_bytes, NULL) == AEGIS_OK);
        CHECK(aegis_buffer_mut_release(&writer) == AEGIS_OK);
        CHECK_SIZE(used(root), reserved_bytes + 2 * block_bytes);
        CHECK_SIZE(used(home), reserved_bytes);
        CHECK(aegis_budget_charge(root, block_bytes + 1, NULL) == AEGIS_E_LIMIT_EXCEEDED);
        CHECK(aegis_budget_charge(root, block_bytes, NULL) == AEGIS_OK);
        CHECK(aegis_budget_uncharge(root, 3 * block_bytes) == AEGIS_OK);
    }
    aegis_buffer_pool_release(&pool);
    CHECK_SIZE(used(root), 0);
    CHECK(aegis_budget_charge(root, limit_bytes - reserved_bytes - block_bytes, NULL) == AEGIS_OK);
    CHECK(aegis_budget_charge(root, 1, NULL) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK(aegis_budget_uncharge(root, used(root)) == AEGIS_OK);
    aegis_budget_destroy(away);
    aegis_budget_destroy(home);
    aegis_budget_destroy(root);
}

static void count_wake(void *context) {
    ++*(size_t *)context;
}

/* The bytes that come home are the pool's, so they are not in the queue, and a closed budget takes
 * them too. */
static void buffer_comes_home_past_a_queue_and_to_a_closed_budget(void) {
    aegis_budget *root = aegis_budget_new("root", AEGIS_BUDGET_UNLIMITED, NULL);
    aegis_budget *home = aegis_budget_new("home", AEGIS_BUDGET_UNLIMITED, root);
    aegis_budget_request *request = NULL;
    aegis_buffer_mut writers[2];
    size_t woken_count = 0;
    pool_make(home, AEGIS_BUFFER_FAIL);
    size_t reserved_bytes = pool_reserved();
    for (size_t i = 0; i < 2; i++) {
        CHECK(aegis_buffer_pool_get(&pool, &writers[i], 1, NULL) == AEGIS_OK);
        CHECK(aegis_buffer_mut_move_budget(&writers[i], NULL, NULL) == AEGIS_OK);
    }
    CHECK(aegis_budget_charge(home, 2 * block_bytes, NULL) == AEGIS_OK);
    aegis_budget_set_limit(home, reserved_bytes);
    CHECK(aegis_budget_poll_charge(home, block_bytes, &request, count_wake, &woken_count, NULL) ==
          AEGIS_PENDING);
    /* Only the budgets up to the queue are counted under the lock. The root is not. */
    aegis_budget_set_limit(root, reserved_bytes);
    CHECK(aegis_buffer_mut_release(&writers[0]) == AEGIS_OK);
    CHECK_SIZE(used(home), reserved_bytes + block_bytes);
    CHECK(aegis_budget_uncharge(home, block_bytes) == AEGIS_OK);
    CHECK_SIZE(woken_count, 0);
    CHECK(aegis_budget_uncharge(home, block_bytes) == AEGIS_OK);
    CHECK_SIZE(woken_count, 1);
    CHECK(aegis_budget_poll_charge(home, block_bytes, &request, count_wake, &woken_count, NULL) ==
          AEGIS_OK);
    CHECK_SIZE(used(home), reserved_bytes);
    aegis_budget_close(home);
    CHECK(aegis_buffer_mut_move_budget(&writers[1], home, NULL) == AEGIS_E_CLOSED);
    CHECK(aegis_buffer_mut_release(&writers[1]) == AEGIS_OK);
    CHECK_SIZE(used(home), reserved_bytes + block_bytes);
    CHECK_SIZE(used(root), reserved_bytes + block_bytes);
    aegis_buffer_pool_release(&pool);
    CHECK_SIZE(used(home), block_bytes);
    CHECK(aegis_budget_uncharge(home, block_bytes) == AEGIS_OK);
    CHECK_SIZE(used(root), 0);
    aegis_budget_destroy(home);
    aegis_budget_destroy(root);
}

static void pool_moves_when_nothing_of_it_is_out(void) {
    aegis_budget *from = aegis_budget_new("from", AEGIS_BUDGET_UNLIMITED, NULL);
    aegis_budget *to = aegis_budget_new("to", 10, NULL);
    aegis_buffer_class classes[2] = {{500, 2, 6}, {2000, 2, 6}};
    aegis_buffer_pool_options options = {0};
    aegis_buffer_pool other;
    aegis_buffer_mut writers[3];
    aegis_error error;
    options.classes = classes;
    options.class_count = 2;
    options.budget = from;
    options.when_empty = AEGIS_BUFFER_HEAP;
    CHECK(aegis_buffer_pool_init(&pool, &options) == AEGIS_OK);
    CHECK(aegis_buffer_pool_move_budget(&pool, to, &error) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK(error.refused == to && error.needed_bytes == used(from));
    aegis_budget_set_limit(to, AEGIS_BUDGET_UNLIMITED);
    CHECK(aegis_buffer_pool_retain(&pool, &other) == AEGIS_OK);
    CHECK(aegis_buffer_pool_move_budget(&pool, to, &error) == AEGIS_E_BUSY);
    CHECK(error.status == AEGIS_E_BUSY && error.what == AEGIS_WHAT_OUT);
    aegis_buffer_pool_release(&other);
    CHECK(aegis_buffer_pool_get(&pool, &writers[0], 1, NULL) == AEGIS_OK);
    CHECK(aegis_buffer_mut_move_budget(&writers[0], NULL, NULL) == AEGIS_OK);
    CHECK(aegis_buffer_pool_move_budget(&pool, to, &error) == AEGIS_E_BUSY);
    CHECK_SIZE(used(to), 0);
    CHECK(aegis_buffer_mut_release(&writers[0]) == AEGIS_OK);
    /* Memory on the heap is the buffer's own affair. */
    CHECK(aegis_buffer_pool_get(&pool, &writers[1], 9000, NULL) == AEGIS_OK);
    size_t heap_bytes = used(from) - pool_reserved();
    CHECK(aegis_buffer_pool_move_budget(&pool, to, NULL) == AEGIS_OK);
    CHECK_SIZE(used(to), pool_reserved());
    CHECK_SIZE(used(from), heap_bytes);
    CHECK(aegis_buffer_mut_release(&writers[1]) == AEGIS_OK);
    CHECK_SIZE(used(from), 0);
    aegis_budget_destroy(from);
    /* It grows where it is now, and a buffer comes home there. */
    for (size_t i = 0; i < 3; i++)
        CHECK(aegis_buffer_pool_get(&pool, &writers[i], 600, NULL) == AEGIS_OK);
    CHECK_SIZE(used(to), pool_reserved());
    CHECK(aegis_buffer_mut_move_budget(&writers[0], NULL, NULL) == AEGIS_OK);
    CHECK_SIZE(used(to), pool_reserved() - aegis_buffer_mut_retained_bytes(&writers[0]));
    for (size_t i = 0; i < 3; i++)
        CHECK(aegis_buffer_mut_release(&writers[i]) == AEGIS_OK);
    CHECK_SIZE(used(to), pool_reserved());
    CHECK(aegis_buffer_pool_move_budget(&pool, NULL, NULL) == AEGIS_OK);
    CHECK_SIZE(used(to), 0);
    aegis_budget_destroy(to);
    aegis_buffer_pool_release(&pool);
    CHECK(aegis_buffer_pool_move_budget(&pool, NULL, &error) == AEGIS_E_INVALID);
}

/* Releases buffers that another thread has taken. */
static void *release_writers(void *context) {
    aegis_buffer_mut *writers = (aegis_buffer_mut *)context;
    for (size_t i = 0; i < 3; i++)
        if (aegis_buffer_mut_release(&writers[i]) != AEGIS_OK)
            atomic_fetch_add(&failure_count, 1);
    return NULL;
}

/* The pool moves as soon as the last buffer has come home to the old budget. */
static void pool_moves_when_another_thread_has_released_the_last_buffer(void) {
    make(&shared, NULL);
    pool_make(shared.budgets[POOL_HOME], AEGIS_BUFFER_FAIL);
    atomic_store(&failure_count, 0);
    for (size_t round = 0; round < scaled(200); round++) {
        static const size_t stops[] = {2, 4, NODES, POOL_HOME};
        aegis_buffer_mut writers[3];
        pthread_t thread;
        aegis_status status;
        for (size_t i = 0; i < 3; i++) {
            CHECK(aegis_buffer_pool_get(&pool, &writers[i], 1, NULL) == AEGIS_OK);
            CHECK(i == 0 || aegis_buffer_mut_move_budget(
                                &writers[i], shared.budgets[i == 1 ? NODES : 5], NULL) == AEGIS_OK);
        }
        CHECK(pthread_create(&thread, NULL, release_writers, writers) == 0);
        do {
            status = aegis_buffer_pool_move_budget(&pool, shared.budgets[stops[round % 4]], NULL);
        } while (status == AEGIS_E_BUSY);
        CHECK(status == AEGIS_OK);
        memset(shared.held_bytes, 0, sizeof shared.held_bytes);
        shared.held_bytes[stops[round % 4]] = pool_reserved();
        check_all(&shared);
        (void)pthread_join(thread, NULL);
    }
    CHECK_SIZE(atomic_load(&failure_count), 0);
    aegis_buffer_pool_release(&pool);
    memset(shared.held_bytes, 0, sizeof shared.held_bytes);
    take_apart(&shared);
}

static void no_wake(void *context) {
    (void)context;
}

static void *release_writer(void *context) {
    if (aegis_buffer_mut_release((aegis_buffer_mut *)context) != AEGIS_OK)
        atomic_fetch_add(&failure_count, 1);
    return NULL;
}

/* A thread that releases the buffer wakes the request, and would call back threads that wait for
 * the budget. The pool leaves that budget meanwhile, which ends. */
static void pool_moves_when_another_thread_wakes_a_request(void) {
    aegis_buffer_class class_of = {POOL_BYTES, 1, 1};
    aegis_buffer_pool_options options = {0};
    aegis_budget *budget = aegis_budget_new("budget", AEGIS_BUDGET_UNLIMITED, NULL);
    options.classes = &class_of;
    options.class_count = 1;
    options.budget = budget;
    options.wait_ns = 1000;
    CHECK(aegis_buffer_pool_init(&pool, &options) == AEGIS_OK);
    atomic_store(&failure_count, 0);
    for (size_t round = 0; round < scaled(200); round++) {
        aegis_budget *next = aegis_budget_new("budget", AEGIS_BUDGET_UNLIMITED, NULL);
        aegis_buffer_pool_request *request = NULL;
        aegis_buffer_mut writer, none;
        pthread_t thread;
        aegis_status status;
        CHECK(aegis_buffer_pool_get(&pool, &writer, 1, NULL) == AEGIS_OK);
        CHECK(aegis_buffer_pool_poll(&pool, &request, &none, 1, no_wake, NULL, NULL) ==
              AEGIS_PENDING);
        CHECK(pthread_create(&thread, NULL, release_writer, &writer) == 0);
        do {
            status = aegis_buffer_pool_move_budget(&pool, next, NULL);
        } while (status == AEGIS_E_BUSY);
        CHECK(status == AEGIS_OK);
        aegis_budget_destroy(budget);
        budget = next;
        (void)pthread_join(thread, NULL);
        (void)aegis_buffer_pool_request_cancel(request);
    }
    CHECK_SIZE(atomic_load(&failure_count), 0);
    aegis_buffer_pool_release(&pool);
    CHECK_SIZE(used(budget), 0);
    aegis_budget_destroy(budget);
}

static aegis_budget *next_home;

/* Moves the pool, and gives up its old budget. */
static void leave_home(void *context, size_t used_bytes, size_t limit_bytes) {
    aegis_budget **home = (aegis_budget **)context;
    (void)used_bytes;
    (void)limit_bytes;
    if (*home == NULL)
        return;
    CHECK(aegis_buffer_pool_move_budget(&pool, next_home, NULL) == AEGIS_OK);
    aegis_budget_destroy(*home);
    *home = NULL;
}

static void pool_moves_while_a_buffer_of_the_heap_is_charged(void) {
    size_t freed_count = 0;
    aegis_budget *home = new_noted(&freed_count);
    aegis_buffer_mut writer;
    next_home = aegis_budget_new("next", AEGIS_BUDGET_UNLIMITED, NULL);
    pool_make(home, AEGIS_BUFFER_HEAP);
    CHECK(aegis_budget_on_pressure(home, 1, leave_home, NULL, &home) == AEGIS_OK);
    aegis_budget_set_limit(home, 100 * (used(home) + 9000));
    CHECK(aegis_buffer_pool_get(&pool, &writer, 9000 + used(home), NULL) == AEGIS_OK);
    CHECK(home == NULL);
    CHECK_SIZE(freed_count, 1);
    CHECK_SIZE(used(next_home), pool_reserved() + aegis_buffer_mut_retained_bytes(&writer));
    CHECK(aegis_buffer_mut_release(&writer) == AEGIS_OK);
    CHECK_SIZE(used(next_home), pool_reserved());
    aegis_buffer_pool_release(&pool);
    CHECK_SIZE(used(next_home), 0);
    aegis_budget_destroy(next_home);
}

/* -- reclaimable pools -- */

#define PAGES 16

static aegis_budget *sides[2];

/* A pool of up to four slabs, charged to the first side. */
static void make_reclaimable(void) {
    aegis_buffer_class class_of = {4096, PAGES / 4, PAGES};
    aegis_buffer_pool_options options = {0};
    for (size_t i = 0; i < 2; i++)
        sides[i] = aegis_budget_new("side", AEGIS_BUDGET_UNLIMITED, NULL);
    options.classes = &class_of;
    options.class_count = 1;
    options.budget = sides[0];
    options.flags = AEGIS_BUFFER_RECLAIMABLE;
    CHECK(aegis_buffer_pool_init(&pool, &options) == AEGIS_OK);
}

static void end_sides(void) {
    for (size_t i = 0; i < 2; i++) {
        CHECK_SIZE(used(sides[i]), 0);
        aegis_budget_destroy(sides[i]);
    }
}

/* Takes buffers and gives them back, so that slabs are idle afterwards. */
static size_t use_pages(size_t count) {
    aegis_buffer_mut writers[PAGES];
    size_t got_count = 0;
    while (got_count < count &&
           aegis_buffer_pool_get(&pool, &writers[got_count], 1, NULL) == AEGIS_OK)
        got_count++;
    for (size_t i = 0; i < got_count; i++)
        CHECK(aegis_buffer_mut_release(&writers[i]) == AEGIS_OK);
    return got_count;
}

/* Whether the budget gets a page from the pool, which has idle slabs. */
static bool gives_to(aegis_budget *budget) {
    size_t full_bytes = pool_reserved();
    aegis_budget_set_limit(budget, used(budget));
    bool given = aegis_budget_charge(budget, 4096, NULL) == AEGIS_OK;
    if (given)
        CHECK(aegis_budget_uncharge(budget, 4096) == AEGIS_OK);
    CHECK(given == (pool_reserved() < full_bytes));
    aegis_budget_set_limit(budget, AEGIS_BUDGET_UNLIMITED);
    CHECK_SIZE(use_pages(PAGES), PAGES);
    return given;
}

static void new_budget_asks_a_reclaimable_pool_and_the_old_one_does_not(void) {
    make_reclaimable();
    CHECK_SIZE(use_pages(PAGES), PAGES);
    CHECK(gives_to(sides[0]) && !gives_to(sides[1]));
    CHECK(aegis_buffer_pool_move_budget(&pool, sides[1], NULL) == AEGIS_OK);
    CHECK_SIZE(used(sides[0]), 0);
    CHECK_SIZE(used(sides[1]), pool_reserved());
    CHECK(!gives_to(sides[0]) && gives_to(sides[1]));
    aegis_budget_set_limit(sides[0], 0);
    CHECK(aegis_buffer_pool_move_budget(&pool, sides[0], NULL) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK_SIZE(used(sides[1]), pool_reserved());
    CHECK_SIZE(use_pages(PAGES), PAGES);
    CHECK(!gives_to(sides[0]) && gives_to(sides[1]));
    CHECK(aegis_buffer_pool_move_budget(&pool, NULL, NULL) == AEGIS_OK);
    CHECK(!gives_to(sides[0]) && !gives_to(sides[1]));
    CHECK(aegis_buffer_pool_move_budget(&pool, sides[1], NULL) == AEGIS_OK);
    CHECK(gives_to(sides[1]));
    aegis_buffer_pool_release(&pool);
    end_sides();
}

/* Charges one side again and again, so that it asks the pool. */
static void *charge_side(void *context) {
    aegis_budget *budget = (aegis_budget *)context;
    for (size_t i = 0; i < scaled(300); i++)
        if (aegis_budget_charge(budget, 20000, NULL) == AEGIS_OK &&
            aegis_budget_uncharge(budget, 20000) != AEGIS_OK)
            atomic_fetch_add(&failure_count, 1);
    return NULL;
}

static void reclaimable_pool_moves_while_both_budgets_ask_it(void) {
    pthread_t threads[2];
    size_t moved_count = 0;
    make_reclaimable();
    CHECK_SIZE(use_pages(PAGES), PAGES);
    atomic_store(&failure_count, 0);
    for (size_t i = 0; i < 2; i++) {
        aegis_budget_set_limit(sides[i], pool_reserved() + 10000);
        CHECK(pthread_create(&threads[i], NULL, charge_side, sides[i]) == 0);
    }
    for (size_t i = 0; i < scaled(300); i++) {
        aegis_status status = aegis_buffer_pool_move_budget(&pool, sides[(i + 1) % 2], NULL);
        CHECK(status == AEGIS_OK || status == AEGIS_E_BUSY || status == AEGIS_E_LIMIT_EXCEEDED);
        moved_count += status == AEGIS_OK;
        (void)use_pages(PAGES);
    }
    for (size_t i = 0; i < 2; i++)
        (void)pthread_join(threads[i], NULL);
    CHECK(moved_count != 0);
    CHECK_SIZE(atomic_load(&failure_count), 0);
    CHECK_SIZE(used(sides[0]) + used(sides[1]), pool_reserved());
    CHECK(used(sides[0]) == 0 || used(sides[1]) == 0);
    aegis_buffer_pool_release(&pool);
    end_sides();
}

int main(void) {
    RUN(buffer_comes_home_above_the_limit_of_its_pool);
    RUN(buffer_comes_home_to_a_guarantee_that_covers_it);
    RUN(buffer_comes_home_past_a_queue_and_to_a_closed_budget);
    RUN(pool_moves_when_nothing_of_it_is_out);
    RUN(pool_moves_when_another_thread_has_released_the_last_buffer);
    RUN(pool_moves_when_another_thread_wakes_a_request);
    RUN(pool_moves_while_a_buffer_of_the_heap_is_charged);
    RUN(new_budget_asks_a_reclaimable_pool_and_the_old_one_does_not);
    RUN(reclaimable_pool_moves_while_both_budgets_ask_it);
    return check_finish();
}
