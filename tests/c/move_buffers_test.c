/* SPDX-License-Identifier: Apache-2.0 */
/* Tests that buffers which are out can be charged to another budget, from any handle and any
 * thread. The oracle knows where the memory of each buffer is charged, and that a buffer of a pool
 * is charged to the pool's budget again when it comes home. */
#include "move_support.h"

#include <pthread.h>
#include <stdatomic.h>

#define ROUNDS 4000
#define BUFFERS 12
#define POOL_HOME 1

static aegis_buffer held[BUFFERS];
/* Where each is charged, how much, and where its bytes go when it is released: the home of a buffer
 * of the pool, or NODES. */
static size_t places[BUFFERS];
static size_t held_bytes[BUFFERS];
static size_t homes[BUFFERS];
/* What is charged to budget GATED beside the buffers. */
#define GATED 5
static size_t base_bytes;

static aegis_buffer frozen(aegis_buffer_mut *writer) {
    CHECK(aegis_buffer_mut_append(writer, "bytes", 5) == AEGIS_OK);
    return aegis_buffer_mut_freeze(writer);
}

/* Makes a buffer of a random kind. The oracle sees how much it charges. */
static void make_buffer(tree *t, size_t i, uint64_t *seed) {
    size_t place = random_below(seed, NODES), kind = random_below(seed, 4);
    size_t before = used(t->budgets[place]), pool_before = used(t->budgets[POOL_HOME]);
    aegis_buffer_mut writer;
    homes[i] = NODES;
    places[i] = place;
    if (kind == 0) {
        CHECK(aegis_buffer_copy(&held[i], "0123456789", 10, t->budgets[place], NULL) == AEGIS_OK);
    } else if (kind == 1) {
        aegis_arena arena;
        aegis_arena_options options = {0};
        options.budget = t->budgets[place];
        CHECK(aegis_arena_init(&arena, &options) == AEGIS_OK);
        void *bytes = aegis_arena_alloc(&arena, 3000);
        CHECK(aegis_buffer_from_arena(&held[i], &arena, bytes, 3000, NULL) == AEGIS_OK);
    } else if (kind == 2) {
        held[i] = aegis_buffer_from_static("static", 6);
        places[i] = NODES;
        held_bytes[i] = 0;
        return;
    } else {
        CHECK(aegis_buffer_pool_get(&pool, &writer, 10, NULL) == AEGIS_OK);
        held[i] = frozen(&writer);
        places[i] = POOL_HOME;
        /* A buffer of the heap that the pool made is charged when it is made. */
        held_bytes[i] = used(t->budgets[POOL_HOME]) - pool_before;
        if (held_bytes[i] == 0) {
            held_bytes[i] = block_bytes;
            homes[i] = POOL_HOME;
        }
        return;
    }
    held_bytes[i] = used(t->budgets[place]) - before;
    CHECK(held_bytes[i] != 0);
}

/* What each budget must have: the memory of the pool that is at home, and the buffers. */
static void expect(tree *t) {
    memset(t->held_bytes, 0, sizeof t->held_bytes);
    t->held_bytes[POOL_HOME] = pool_reserved();
    t->held_bytes[GATED] += base_bytes;
    for (size_t i = 0; i < BUFFERS; i++) {
        if (held[i].data == NULL)
            continue;
        t->held_bytes[places[i]] += held_bytes[i];
        if (homes[i] != NODES)
            t->held_bytes[homes[i]] -= held_bytes[i];
    }
    check_all(t);
}

/* Gives budget 5 a guarantee, so that all budgets on the way to its root are counted under the lock
 * of the tree. The guarantee is always in use, so it refuses nothing. */
static void gate(tree *t) {
    base_bytes = 1;
    CHECK(aegis_budget_charge(t->budgets[GATED], 1, NULL) == AEGIS_OK);
    CHECK(aegis_budget_set_guarantee(t->budgets[GATED], 1, NULL) == AEGIS_OK);
}

static void random_moves_agree_with_the_oracle(bool gated) {
    static const size_t limits[NODES] = {60000, 40000, 20000, 9000, 12000, 8000, 12000, 6000};
    uint64_t seed = 21;
    size_t moved_count = 0, refused_count = 0;
    tree t;
    make(&t, NULL);
    base_bytes = 0;
    if (gated)
        gate(&t);
    pool_make(t.budgets[POOL_HOME], AEGIS_BUFFER_HEAP);
    memset(held, 0, sizeof held);
    for (size_t round = 0; round < ROUNDS; round++) {
        size_t i = random_below(&seed, BUFFERS), to = random_below(&seed, NODES + 1);
        /* Only moves are bounded, so that nothing else is refused. */
        if (held[i].data == NULL) {
            make_buffer(&t, i, &seed);
        } else if (random_below(&seed, 4) == 0) {
            CHECK(aegis_buffer_release(&held[i]) == AEGIS_OK);
        } else if (random_below(&seed, 8) == 0 && held[i].length > 2) {
            /* A part of a buffer shares its memory, and can stand for it. */
            aegis_buffer part;
            CHECK(aegis_buffer_slice(&held[i], 1, held[i].length, &part) == AEGIS_OK);
            CHECK(aegis_buffer_release(&held[i]) == AEGIS_OK);
            held[i] = part;
        } else {
            aegis_error error;
            memcpy(t.limit_bytes, limits, sizeof limits);
            for (size_t n = 0; n < NODES; n++)
                aegis_budget_set_limit(t.budgets[n], limits[n]);
            expect(&t);
            size_t full = held_bytes[i] != 0 ? refuser(&t, places[i], to, held_bytes[i]) : NODES;
            aegis_status status = aegis_buffer_move_budget(&held[i], t.budgets[to], &error);
            CHECK(status == (full == NODES ? AEGIS_OK : AEGIS_E_LIMIT_EXCEEDED));
            if (status == AEGIS_OK && held_bytes[i] != 0)
                places[i] = to;
            if (status != AEGIS_OK) {
                CHECK(error.refused == t.budgets[full]);
                CHECK_SIZE(error.needed_bytes, held_bytes[i]);
            }
            moved_count += status == AEGIS_OK;
            refused_count += status != AEGIS_OK;
            for (size_t n = 0; n < NODES; n++)
                aegis_budget_set_limit(t.budgets[n], AEGIS_BUDGET_UNLIMITED);
        }
        expect(&t);
    }
    CHECK(moved_count > ROUNDS / 10 && refused_count > ROUNDS / 100);
    for (size_t i = 0; i < BUFFERS; i++)
        if (held[i].data != NULL)
            CHECK(aegis_buffer_release(&held[i]) == AEGIS_OK);
    aegis_buffer_pool_release(&pool);
    memset(t.held_bytes, 0, sizeof t.held_bytes);
    t.held_bytes[GATED] = base_bytes;
    take_apart(&t);
}

static void random_moves_of_buffers_agree_with_the_oracle(void) {
    random_moves_agree_with_the_oracle(false);
}

static void random_moves_beside_a_guarantee_agree_with_the_oracle(void) {
    random_moves_agree_with_the_oracle(true);
}

static void the_reference_of_the_memory_moves_with_it(void) {
    size_t freed_count = 0;
    aegis_budget *budgets[3];
    aegis_buffer buffer, other;
    for (size_t i = 0; i < 3; i++)
        budgets[i] = new_noted(&freed_count);
    CHECK(aegis_buffer_copy(&buffer, "text", 4, budgets[0], NULL) == AEGIS_OK);
    CHECK(aegis_buffer_retain(&buffer, &other) == AEGIS_OK);
    size_t size_bytes = used(budgets[0]);
    aegis_budget_destroy(budgets[0]);
    CHECK(aegis_buffer_move_budget(&other, budgets[1], NULL) == AEGIS_OK);
    CHECK_SIZE(freed_count, 1);
    CHECK_SIZE(used(budgets[1]), size_bytes);
    aegis_budget_destroy(budgets[1]);
    CHECK(aegis_buffer_move_budget(&buffer, budgets[2], NULL) == AEGIS_OK);
    CHECK_SIZE(freed_count, 2);
    CHECK(aegis_buffer_release(&buffer) == AEGIS_OK);
    CHECK_SIZE(used(budgets[2]), size_bytes);
    CHECK(aegis_buffer_release(&other) == AEGIS_OK);
    CHECK_SIZE(used(budgets[2]), 0);
    aegis_budget_destroy(budgets[2]);
    CHECK_SIZE(freed_count, 3);
}

static void wrong_handles_and_memory_without_a_charge(void) {
    aegis_budget *budget = aegis_budget_new("b", 10, NULL);
    aegis_buffer none = {NULL, 0, NULL};
    aegis_buffer_mut no_writer = {NULL, 0, 0, NULL, 0};
    aegis_error error;
    CHECK(aegis_buffer_move_budget(&none, budget, &error) == AEGIS_E_INVALID);
    CHECK(error.status == AEGIS_E_INVALID && error.what == AEGIS_WHAT_HANDLE);
    CHECK(aegis_buffer_mut_move_budget(&no_writer, budget, &error) == AEGIS_E_INVALID);
    unsigned char bytes[20] = {0};
    aegis_buffer_owner owner = {1, NULL, bytes, sizeof bytes, AEGIS_BUFFER_WRITABLE, 0};
    aegis_buffer lent = aegis_buffer_adopt(&owner);
    CHECK(aegis_buffer_move_budget(&lent, budget, NULL) == AEGIS_OK);
    CHECK_SIZE(used(budget), 0);
    /* The heap's memory without a budget is charged from now on, or refused. */
    aegis_buffer copy;
    CHECK(aegis_buffer_copy(&copy, bytes, sizeof bytes, NULL, NULL) == AEGIS_OK);
    CHECK(aegis_buffer_move_budget(&copy, budget, &error) == AEGIS_E_LIMIT_EXCEEDED);
    aegis_budget_set_limit(budget, 1000);
    CHECK(aegis_buffer_move_budget(&copy, budget, NULL) == AEGIS_OK);
    CHECK(used(budget) >= sizeof bytes);
    CHECK(aegis_buffer_release(&copy) == AEGIS_OK);
    CHECK_SIZE(used(budget), 0);
    aegis_budget_destroy(budget);
}

/* A pressure function that moves the buffer which is being moved. */
static aegis_status nested_status[3];
static size_t nested_count;

static void move_nested(void *context, size_t used_bytes, size_t limit_bytes) {
    (void)used_bytes;
    (void)limit_bytes;
    aegis_error error;
    nested_status[nested_count] = aegis_buffer_move_budget((aegis_buffer *)context, NULL, &error);
    CHECK(error.status == AEGIS_E_BUSY && error.what == AEGIS_WHAT_MOVE);
    nested_count++;
}

static void move_inside_a_move_is_refused(void) {
    aegis_buffer buffers[3];
    aegis_buffer_mut writer;
    aegis_arena arena;
    pool_make(NULL, AEGIS_BUFFER_FAIL);
    CHECK(aegis_buffer_copy(&buffers[0], "text", 4, NULL, NULL) == AEGIS_OK);
    CHECK(aegis_buffer_pool_get(&pool, &writer, 1, NULL) == AEGIS_OK);
    buffers[1] = frozen(&writer);
    CHECK(aegis_arena_init(&arena, NULL) == AEGIS_OK);
    void *bytes = aegis_arena_alloc(&arena, 100);
    CHECK(aegis_buffer_from_arena(&buffers[2], &arena, bytes, 100, NULL) == AEGIS_OK);
    nested_count = 0;
    for (size_t i = 0; i < 3; i++) {
        aegis_budget *budget = aegis_budget_new("b", 100000, NULL);
        CHECK(aegis_budget_on_pressure(budget, 1, move_nested, NULL, &buffers[i]) == AEGIS_OK);
        CHECK(aegis_budget_charge(budget, 999, NULL) == AEGIS_OK);
        CHECK(aegis_buffer_move_budget(&buffers[i], budget, NULL) == AEGIS_OK);
        CHECK_SIZE(nested_count, i + 1);
        CHECK(nested_status[i] == AEGIS_E_BUSY);
        CHECK(used(budget) > 999);
        CHECK(aegis_buffer_release(&buffers[i]) == AEGIS_OK);
        CHECK(aegis_budget_uncharge(budget, 999) == AEGIS_OK);
        CHECK_SIZE(used(budget), 0);
        aegis_budget_destroy(budget);
    }
    aegis_buffer_pool_release(&pool);
}

/* -- threads -- */

#define THREADS 4
static tree shared;
static aegis_buffer thread_handles[THREADS][3];
static atomic_size_t failure_count;

/* Moves the three buffers by handles of this thread, copies and drops handles. */
static void *move_around(void *context) {
    static const size_t stops[] = {5, 4, 2, 3, NODES};
    size_t number = *(size_t *)context, failures = 0;
    uint64_t seed = 40 + number;
    for (size_t round = 0; round < scaled(20000); round++) {
        aegis_buffer *handle = &thread_handles[number][random_below(&seed, 3)];
        aegis_buffer copy;
        aegis_error error;
        failures += aegis_buffer_retain(handle, &copy) != AEGIS_OK;
        aegis_budget *to = shared.budgets[stops[random_below(&seed, 5)]];
        aegis_status status = aegis_buffer_move_budget(&copy, to, &error);
        failures += status != AEGIS_OK && status != AEGIS_E_BUSY;
        failures += aegis_buffer_release(&copy) != AEGIS_OK;
    }
    for (size_t k = 0; k < 3; k++)
        failures += aegis_buffer_release(&thread_handles[number][k]) != AEGIS_OK;
    atomic_fetch_add(&failure_count, failures);
    return NULL;
}

static void move_the_same_buffers(bool gated) {
    static size_t numbers[THREADS];
    pthread_t threads[THREADS];
    aegis_buffer_mut writer;
    aegis_arena arena;
    make(&shared, NULL);
    base_bytes = 0;
    if (gated)
        gate(&shared);
    pool_make(shared.budgets[1], AEGIS_BUFFER_FAIL);
    atomic_store(&failure_count, 0);
    CHECK(aegis_buffer_copy(&thread_handles[0][0], "text", 4, shared.budgets[5], NULL) == AEGIS_OK);
    CHECK(aegis_buffer_pool_get(&pool, &writer, 1, NULL) == AEGIS_OK);
    thread_handles[0][1] = frozen(&writer);
    CHECK(aegis_arena_init(&arena, NULL) == AEGIS_OK);
    void *bytes = aegis_arena_alloc(&arena, 100);
    CHECK(aegis_buffer_from_arena(&thread_handles[0][2], &arena, bytes, 100, NULL) == AEGIS_OK);
    for (size_t i = 1; i < THREADS; i++)
        for (size_t k = 0; k < 3; k++)
            CHECK(aegis_buffer_retain(&thread_handles[0][k], &thread_handles[i][k]) == AEGIS_OK);
    for (size_t i = 0; i < THREADS; i++) {
        numbers[i] = i;
        CHECK(pthread_create(&threads[i], NULL, move_around, &numbers[i]) == 0);
    }
    for (size_t i = 0; i < THREADS; i++)
        (void)pthread_join(threads[i], NULL);
    CHECK_SIZE(atomic_load(&failure_count), 0);
    shared.held_bytes[GATED] = base_bytes;
    shared.held_bytes[1] = pool_reserved();
    check_all(&shared);
    aegis_buffer_pool_release(&pool);
    shared.held_bytes[1] = 0;
    take_apart(&shared);
}

static void threads_move_the_same_buffers_and_release_them(void) {
    move_the_same_buffers(false);
}

static void threads_move_the_same_buffers_beside_a_guarantee(void) {
    move_the_same_buffers(true);
}

int main(void) {
    RUN(random_moves_of_buffers_agree_with_the_oracle);
    RUN(random_moves_beside_a_guarantee_agree_with_the_oracle);
    RUN(the_reference_of_the_memory_moves_with_it);
    RUN(wrong_handles_and_memory_without_a_charge);
    RUN(move_inside_a_move_is_refused);
    RUN(threads_move_the_same_buffers_and_release_them);
    RUN(threads_move_the_same_buffers_beside_a_guarantee);
    return check_finish();
}
