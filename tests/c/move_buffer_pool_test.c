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

int main(void) {
    RUN(buffer_comes_home_above_the_limit_of_its_pool);
    RUN(buffer_comes_home_to_a_guarantee_that_covers_it);
    RUN(buffer_comes_home_past_a_queue_and_to_a_closed_budget);
    RUN(pool_moves_when_nothing_of_it_is_out);
    RUN(pool_moves_when_another_thread_has_released_the_last_buffer);
    return check_finish();
}
