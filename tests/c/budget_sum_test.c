/* SPDX-License-Identifier: Apache-2.0 */
/* Tests budgets near the largest number that a size_t can count: charges that race although their
 * sum does not fit, and wrong releases. A budget must stay exact, a wrong release must disturb no
 * other charge, and no number may wrap. TEST_CHARGES scales the runs down for slow tools. */
#include "budget_support.h"

#include <pthread.h>
#include <stdatomic.h>

#ifndef TEST_CHARGES
#define TEST_CHARGES 50000
#endif

#define THREADS 4

static aegis_budget *leaves[THREADS];
static atomic_size_t stuck_count;
static atomic_size_t got_count;

/* Runs a task on each of the threads. Each call of the task gets a pointer to its thread's
 * number. */
static void run_all(void *(*task)(void *)) {
    static size_t numbers[THREADS];
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++) {
        numbers[i] = i;
        CHECK(pthread_create(&threads[i], NULL, task, &numbers[i]) == 0);
    }
    for (size_t i = 0; i < THREADS; i++)
        (void)pthread_join(threads[i], NULL);
}

/* Exactly one pair fits together. Every other combination exceeds SIZE_MAX. */
static const size_t sizes[THREADS] = {SIZE_MAX / 100 * 75, SIZE_MAX / 2, SIZE_MAX / 2,
                                      SIZE_MAX / 100 * 40};

static void *charge_and_release(void *context) {
    size_t number = *(size_t *)context;
    for (size_t i = 0; i < TEST_CHARGES; i++) {
        if (aegis_budget_charge(leaves[number], sizes[number], NULL) != AEGIS_OK)
            continue;
        atomic_fetch_add(&got_count, 1);
        if (aegis_budget_uncharge(leaves[number], sizes[number]) != AEGIS_OK)
            atomic_fetch_add(&stuck_count, 1);
    }
    return NULL;
}

static void racing_charges_beyond_size_max_can_all_be_released(void) {
    static const size_t limits[] = {AEGIS_BUDGET_UNLIMITED, SIZE_MAX - 1, SIZE_MAX / 100 * 80};
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        /* In the first round all threads charge one budget, in the second each charges a child of
         * it. */
        for (size_t tree = 0; tree < 2; tree++) {
            aegis_budget *root = aegis_budget_new("root", limits[i], NULL);
            for (size_t n = 0; n < THREADS; n++)
                leaves[n] = tree == 0 ? aegis_budget_retain(root)
                                      : aegis_budget_new("leaf", AEGIS_BUDGET_UNLIMITED, root);
            atomic_store(&stuck_count, 0);
            atomic_store(&got_count, 0);
            run_all(charge_and_release);
            CHECK_SIZE(atomic_load(&stuck_count), 0);
            CHECK(atomic_load(&got_count) != 0);
            CHECK_SIZE(used(root), 0);
            CHECK(peak(root) >= sizes[3] && peak(root) <= limits[i]);
            for (size_t n = 0; n < THREADS; n++) {
                CHECK_SIZE(used(leaves[n]), 0);
                aegis_budget_destroy(leaves[n]);
            }
            aegis_budget_destroy(root);
        }
    }
}

/* The first thread charges all that the limit allows. The others release bytes that nobody
 * charged. */
static void *charge_or_release_wrongly(void *context) {
    size_t number = *(size_t *)context;
    for (size_t i = 0; i < TEST_CHARGES; i++) {
        if (number != 0) {
            if (aegis_budget_uncharge(leaves[0], 101 + i % 7) != AEGIS_E_INVALID)
                atomic_fetch_add(&stuck_count, 1);
        } else if (aegis_budget_charge(leaves[0], 100, NULL) != AEGIS_OK ||
                   used(leaves[0]) != 100 || aegis_budget_uncharge(leaves[0], 100) != AEGIS_OK) {
            atomic_fetch_add(&stuck_count, 1);
        }
    }
    return NULL;
}

static void wrong_releases_disturb_no_charge(void) {
    leaves[0] = aegis_budget_new("b", 100, NULL);
    atomic_store(&stuck_count, 0);
    run_all(charge_or_release_wrongly);
    CHECK_SIZE(atomic_load(&stuck_count), 0);
    CHECK_SIZE(used(leaves[0]), 0);
    CHECK_SIZE(peak(leaves[0]), 100);
    aegis_budget_destroy(leaves[0]);
}

static void release_at_the_wrong_budget_leaves_no_use_behind(void) {
    aegis_budget *root = aegis_budget_new("root", 100, NULL);
    aegis_budget *middle = aegis_budget_new("middle", 100, root);
    aegis_budget *leaf = aegis_budget_new("leaf", 100, middle);
    aegis_budget *other = aegis_budget_new("other", 100, root);
    CHECK(aegis_budget_charge(leaf, 50, NULL) == AEGIS_OK);
    CHECK(aegis_budget_charge(other, 20, NULL) == AEGIS_OK);
    /* The bytes were charged to the leaf, and the release is at the middle budget. */
    CHECK(aegis_budget_uncharge(middle, 50) == AEGIS_OK);
    CHECK_SIZE(used(root), 20);
    CHECK(aegis_budget_uncharge(leaf, 50) == AEGIS_OK);
    CHECK_SIZE(used(leaf), 0);
    CHECK_SIZE(used(middle), 0);
    CHECK_SIZE(used(root), 0);
    CHECK(aegis_budget_uncharge(other, 20) == AEGIS_OK);
    CHECK_SIZE(used(other), 0);
    CHECK_SIZE(used(root), 0);
    /* All of the limit can be charged again. */
    CHECK(aegis_budget_charge(leaf, 100, NULL) == AEGIS_OK);
    CHECK_SIZE(used(root), 100);
    CHECK(aegis_budget_uncharge(leaf, 100) == AEGIS_OK);
    aegis_budget_destroy(other);
    aegis_budget_destroy(leaf);
    aegis_budget_destroy(middle);
    aegis_budget_destroy(root);
}

/* After such a release the children of a budget have more bytes than the budget itself. The numbers
 * of a refusal must not wrap then. */
static void refusal_after_a_wrong_release_counts_nothing_twice(void) {
    aegis_budget *root = aegis_budget_new("root", AEGIS_BUDGET_UNLIMITED, NULL);
    aegis_budget *first = aegis_budget_new("first", AEGIS_BUDGET_UNLIMITED, root);
    aegis_budget *second = aegis_budget_new("second", AEGIS_BUDGET_UNLIMITED, root);
    CHECK(aegis_budget_charge(first, SIZE_MAX / 4 * 3, NULL) == AEGIS_OK);
    CHECK(aegis_budget_uncharge(root, SIZE_MAX / 4 * 3) == AEGIS_OK);
    CHECK(aegis_budget_charge(second, SIZE_MAX / 4 * 3, NULL) == AEGIS_OK);
    aegis_error error;
    aegis_budget_refusal refusal;
    CHECK(aegis_budget_charge(root, SIZE_MAX, &error) == AEGIS_E_LIMIT_EXCEEDED);
    aegis_budget_get_refusal(&error, &refusal);
    CHECK_SIZE(refusal.direct_bytes, 0);
    CHECK_SIZE(refusal.consumer_count, 2);
    CHECK(aegis_budget_uncharge(first, SIZE_MAX / 4 * 3) == AEGIS_OK);
    CHECK(aegis_budget_uncharge(second, SIZE_MAX / 4 * 3) == AEGIS_OK);
    CHECK_SIZE(used(root), 0);
    aegis_budget_destroy(first);
    aegis_budget_destroy(second);
    aegis_budget_destroy(root);
}

#define PIECE_BYTES ((size_t)60000)
#define PIECE_LIMIT ((size_t)100000)

static aegis_budget *shared_budget;
static atomic_size_t refused_count;
static atomic_size_t contradiction_count;

/* Acquires a piece through the kind of object that has this number, and gives the piece back. The
 * record of a refusal shows another thread's piece, which that thread may have given back by
 * then. */
static aegis_status use_piece(size_t number, aegis_error *error) {
    aegis_status status = AEGIS_OK;
    aegis_source heap = aegis_source_heap();
    if (number == 0) {
        aegis_buffer_mut writer;
        status = aegis_buffer_mut_alloc(&writer, PIECE_BYTES, 16, shared_budget, error);
        if (status == AEGIS_OK)
            (void)aegis_buffer_mut_release(&writer);
    } else if (number == 1) {
        aegis_arena arena;
        aegis_arena_options options = {PIECE_BYTES, 0, &heap, NULL, 0, shared_budget, NULL, 0, 0};
        status = aegis_arena_init(&arena, &options);
        aegis_arena_last_error(&arena, error);
        aegis_arena_fini(&arena);
    } else if (number == 2) {
        aegis_lock_free_arena arena;
        aegis_lock_free_arena_options options = {PIECE_BYTES, 0, &heap, shared_budget, NULL, 0};
        status = aegis_lock_free_arena_init(&arena, &options, error);
        aegis_lock_free_arena_fini(&arena);
    } else {
        aegis_locked_pool pool;
        aegis_pool_options options;
        memset(&options, 0, sizeof options);
        options.block_bytes = PIECE_BYTES;
        options.block_count = 1;
        options.source = &heap;
        options.budget = shared_budget;
        options.error = error;
        status = aegis_locked_pool_init(&pool, &options);
        (void)aegis_locked_pool_fini(&pool);
    }
    return status;
}

static void *use_pieces(void *argument) {
    size_t number = *(const size_t *)argument;
    for (size_t i = 0; i < (size_t)4 * TEST_CHARGES; i++) {
        aegis_error error;
        if (use_piece(number, &error) == AEGIS_OK)
            continue;
        atomic_fetch_add(&refused_count, 1);
        if (error.status != AEGIS_E_LIMIT_EXCEEDED || error.limit_bytes != PIECE_LIMIT ||
            error.in_use_bytes < PIECE_LIMIT / 4)
            atomic_fetch_add(&contradiction_count, 1);
    }
    return NULL;
}

static void refusal_shows_the_use_that_it_met(void) {
    shared_budget = aegis_budget_new("shared", PIECE_LIMIT, NULL);
    run_all(use_pieces);
    printf("%zu of %zu refusals contradict themselves\n", atomic_load(&contradiction_count),
           atomic_load(&refused_count));
    CHECK_SIZE(atomic_load(&contradiction_count), 0);
    CHECK_SIZE(used(shared_budget), 0);
    aegis_budget_destroy(shared_budget);
}

int main(void) {
    RUN(racing_charges_beyond_size_max_can_all_be_released);
    RUN(wrong_releases_disturb_no_charge);
    RUN(release_at_the_wrong_budget_leaves_no_use_behind);
    RUN(refusal_after_a_wrong_release_counts_nothing_twice);
    RUN(refusal_shows_the_use_that_it_met);
    return check_finish();
}
