/* SPDX-License-Identifier: Apache-2.0 */
/* Tests that objects can be charged to another budget. An oracle knows the budget of each object
 * and asks the object how much it has reserved, so after each step the counter of every budget is
 * known, and whether a move must be refused. Whatever fails must change nothing. */
#include "budget_tree_support.h"

#define ROUNDS 4000

/* -- arenas -- */

static const size_t arena_sizes[] = {16, 300, 2000, 9000};

static aegis_arena arena;
static aegis_lock_free_arena lock_free;
static aegis_locked_arena locked;

static void arena_make(aegis_budget *budget) {
    aegis_arena_options options = {0};
    options.budget = budget;
    CHECK(aegis_arena_init(&arena, &options) == AEGIS_OK);
}

static void arena_work(uint64_t *seed) {
    if (random_below(seed, 8) == 0)
        aegis_arena_clear(&arena);
    else
        (void)aegis_arena_alloc(&arena, arena_sizes[random_below(seed, 4)]);
}

static size_t arena_held(void) {
    aegis_arena_stats stats;
    aegis_arena_get_stats(&arena, &stats);
    return stats.reserved_bytes;
}

static aegis_status arena_move(aegis_budget *budget, aegis_error *error) {
    return aegis_arena_move_budget(&arena, budget, error);
}

static void arena_end(void) {
    aegis_arena_fini(&arena);
}

static void lock_free_make(aegis_budget *budget) {
    aegis_lock_free_arena_options options = {0};
    options.budget = budget;
    CHECK(aegis_lock_free_arena_init(&lock_free, &options, NULL) == AEGIS_OK);
}

static void lock_free_work(uint64_t *seed) {
    if (random_below(seed, 8) == 0)
        aegis_lock_free_arena_clear(&lock_free);
    else
        (void)aegis_lock_free_arena_alloc(&lock_free, arena_sizes[random_below(seed, 4)], NULL);
}

static size_t lock_free_held(void) {
    aegis_arena_stats stats;
    aegis_lock_free_arena_get_stats(&lock_free, &stats);
    return stats.reserved_bytes;
}

static aegis_status lock_free_move(aegis_budget *budget, aegis_error *error) {
    return aegis_lock_free_arena_move_budget(&lock_free, budget, error);
}

static void lock_free_end(void) {
    aegis_lock_free_arena_fini(&lock_free);
}

static void locked_make(aegis_budget *budget) {
    aegis_arena_options options = {0};
    options.budget = budget;
    CHECK(aegis_locked_arena_init(&locked, &options, NULL) == AEGIS_OK);
}

static void locked_work(uint64_t *seed) {
    if (random_below(seed, 8) == 0)
        aegis_locked_arena_clear(&locked);
    else
        (void)aegis_locked_arena_alloc(&locked, arena_sizes[random_below(seed, 4)], NULL);
}

static size_t locked_held(void) {
    aegis_arena_stats stats;
    aegis_locked_arena_get_stats(&locked, &stats);
    return stats.reserved_bytes;
}

static aegis_status locked_move(aegis_budget *budget, aegis_error *error) {
    return aegis_locked_arena_move_budget(&locked, budget, error);
}

static void locked_end(void) {
    aegis_locked_arena_fini(&locked);
}

/* -- pools -- */

#define POOL_BLOCKS 60

static void set_blocks(aegis_pool_options *blocks, aegis_budget *budget) {
    blocks->block_bytes = 500;
    blocks->block_count = 8;
    blocks->max_block_count = POOL_BLOCKS;
    blocks->budget = budget;
}

static aegis_pool pool;
static size_t pool_out;
static void *pool_blocks[POOL_BLOCKS];

static void pool_make(aegis_budget *budget) {
    aegis_pool_options options = {0};
    aegis_pool_options *blocks = &options;
    set_blocks(blocks, budget);
    CHECK(aegis_pool_init(&pool, &options) == AEGIS_OK);
    pool_out = 0;
}

static void pool_work(uint64_t *seed) {
    if (random_below(seed, 8) == 0) {
        while (pool_out != 0)
            CHECK(aegis_pool_free(&pool, pool_blocks[--pool_out]) == AEGIS_OK);
        aegis_pool_trim(&pool, 0);
        return;
    }
    for (size_t i = 0; i < 10 && pool_out < POOL_BLOCKS; i++) {
        void *block = aegis_pool_alloc(&pool);
        if (block != NULL)
            pool_blocks[pool_out++] = block;
    }
}

static size_t pool_held(void) {
    aegis_pool_stats stats;
    aegis_pool_get_stats(&pool, &stats);
    return stats.reserved_bytes;
}

static aegis_status pool_move(aegis_budget *budget, aegis_error *error) {
    return aegis_pool_move_budget(&pool, budget, error);
}

static void pool_end(void) {
    aegis_pool_abandon(&pool);
}

static aegis_lock_free_pool free_pool;
static size_t free_pool_out;
static void *free_pool_blocks[POOL_BLOCKS];

static void free_pool_make(aegis_budget *budget) {
    aegis_lock_free_pool_options options = {0};
    aegis_pool_options *blocks = &options.blocks;
    set_blocks(blocks, budget);
    CHECK(aegis_lock_free_pool_init(&free_pool, &options) == AEGIS_OK);
    free_pool_out = 0;
}

static void free_pool_work(uint64_t *seed) {
    if (random_below(seed, 8) == 0) {
        while (free_pool_out != 0)
            CHECK(aegis_lock_free_pool_free(&free_pool, free_pool_blocks[--free_pool_out]) ==
                  AEGIS_OK);
        aegis_lock_free_pool_trim(&free_pool, 0);
        return;
    }
    for (size_t i = 0; i < 10 && free_pool_out < POOL_BLOCKS; i++) {
        void *block = aegis_lock_free_pool_alloc(&free_pool, NULL);
        if (block != NULL)
            free_pool_blocks[free_pool_out++] = block;
    }
}

static size_t free_pool_held(void) {
    aegis_pool_stats stats;
    aegis_lock_free_pool_get_stats(&free_pool, &stats);
    return stats.reserved_bytes;
}

static aegis_status free_pool_move(aegis_budget *budget, aegis_error *error) {
    return aegis_lock_free_pool_move_budget(&free_pool, budget, error);
}

static void free_pool_end(void) {
    aegis_lock_free_pool_abandon(&free_pool);
}

static aegis_locked_pool locked_pool;
static size_t locked_pool_out;
static void *locked_pool_blocks[POOL_BLOCKS];

static void locked_pool_make(aegis_budget *budget) {
    aegis_pool_options options = {0};
    aegis_pool_options *blocks = &options;
    set_blocks(blocks, budget);
    CHECK(aegis_locked_pool_init(&locked_pool, &options) == AEGIS_OK);
    locked_pool_out = 0;
}

static void locked_pool_work(uint64_t *seed) {
    if (random_below(seed, 8) == 0) {
        while (locked_pool_out != 0)
            CHECK(aegis_locked_pool_free(&locked_pool, locked_pool_blocks[--locked_pool_out]) ==
                  AEGIS_OK);
        aegis_locked_pool_trim(&locked_pool, 0);
        return;
    }
    for (size_t i = 0; i < 10 && locked_pool_out < POOL_BLOCKS; i++) {
        void *block = aegis_locked_pool_alloc(&locked_pool, NULL);
        if (block != NULL)
            locked_pool_blocks[locked_pool_out++] = block;
    }
}

static size_t locked_pool_held(void) {
    aegis_pool_stats stats;
    aegis_locked_pool_get_stats(&locked_pool, &stats);
    return stats.reserved_bytes;
}

static aegis_status locked_pool_move(aegis_budget *budget, aegis_error *error) {
    return aegis_locked_pool_move_budget(&locked_pool, budget, error);
}

static void locked_pool_end(void) {
    aegis_locked_pool_abandon(&locked_pool);
}

/* -- all objects -- */

typedef struct object {
    void (*make)(aegis_budget *budget);
    void (*work)(uint64_t *seed);
    size_t (*held)(void);
    aegis_status (*move)(aegis_budget *budget, aegis_error *error);
    void (*end)(void);
} object;

static const object objects[] = {
    {arena_make, arena_work, arena_held, arena_move, arena_end},
    {lock_free_make, lock_free_work, lock_free_held, lock_free_move, lock_free_end},
    {locked_make, locked_work, locked_held, locked_move, locked_end},
    {pool_make, pool_work, pool_held, pool_move, pool_end},
    {free_pool_make, free_pool_work, free_pool_held, free_pool_move, free_pool_end},
    {locked_pool_make, locked_pool_work, locked_pool_held, locked_pool_move, locked_pool_end},
};
#define OBJECTS (sizeof objects / sizeof objects[0])

/* Where each object is charged, by number. */
static size_t places[OBJECTS];

static void count_held(tree *t) {
    memset(t->held_bytes, 0, sizeof t->held_bytes);
    for (size_t i = 0; i < OBJECTS; i++)
        t->held_bytes[places[i]] += objects[i].held();
}

/* The moves of an object, as the oracle expects them. Returns whether it was moved. */
static bool move_as_expected(tree *t, size_t number, size_t to) {
    size_t size_bytes = objects[number].held(), from = places[number];
    size_t full = size_bytes != 0 ? refuser(t, from, to, size_bytes) : NODES;
    aegis_error error;
    aegis_status status = objects[number].move(t->budgets[to], &error);
    CHECK(status == (full == NODES ? AEGIS_OK : AEGIS_E_LIMIT_EXCEEDED));
    if (status == AEGIS_OK) {
        places[number] = to;
    } else {
        CHECK(error.status == status && error.refused == t->budgets[full]);
        CHECK_SIZE(error.requested_bytes, size_bytes);
        CHECK_SIZE(error.needed_bytes, size_bytes);
        CHECK_SIZE(error.in_use_bytes, expected_use(t, full));
    }
    CHECK_SIZE(objects[number].held(), size_bytes);
    return status == AEGIS_OK;
}

static void random_moves_of_objects_agree_with_the_oracle(void) {
    static const size_t limits[NODES] = {400000, 200000, 150000, 90000,
                                         60000,  70000,  180000, 90000};
    uint64_t seed = 4;
    size_t moved_count = 0, refused_count = 0;
    tree t;
    make(&t, limits);
    for (size_t i = 0; i < OBJECTS; i++) {
        places[i] = i % (NODES + 1);
        objects[i].make(t.budgets[places[i]]);
    }
    for (size_t round = 0; round < ROUNDS; round++) {
        size_t number = random_below(&seed, OBJECTS);
        if (random_below(&seed, 3) == 0) {
            bool moved = move_as_expected(&t, number, random_below(&seed, NODES + 1));
            moved_count += moved;
            refused_count += !moved;
        } else {
            objects[number].work(&seed);
        }
        count_held(&t);
        check_all(&t);
    }
    CHECK(moved_count > ROUNDS / 10 && refused_count > ROUNDS / 100);
    for (size_t i = 0; i < OBJECTS; i++)
        objects[i].end();
    memset(t.held_bytes, 0, sizeof t.held_bytes);
    take_apart(&t);
}

static void the_reference_of_an_object_moves_with_it(void) {
    for (size_t i = 0; i < OBJECTS; i++) {
        size_t freed_count = 0;
        uint64_t seed = 3;
        aegis_budget *first = new_noted(&freed_count), *second = new_noted(&freed_count);
        objects[i].make(first);
        objects[i].work(&seed);
        aegis_budget_destroy(first);
        CHECK_SIZE(freed_count, 0);
        CHECK(objects[i].move(second, NULL) == AEGIS_OK);
        CHECK_SIZE(used(second), objects[i].held());
        CHECK_SIZE(freed_count, 1);
        aegis_budget_destroy(second);
        CHECK_SIZE(freed_count, 1);
        CHECK(objects[i].move(NULL, NULL) == AEGIS_OK);
        CHECK_SIZE(freed_count, 2);
        objects[i].work(&seed);
        objects[i].end();
        CHECK_SIZE(freed_count, 2);
    }
}

/* A pressure function that uses the object while the move charges the new budget. */
static size_t number_in_use;
static size_t used_count;

static void use_object(void *context, size_t used_bytes, size_t limit_bytes) {
    (void)used_bytes;
    (void)limit_bytes;
    if (++used_count <= 3) {
        size_t held_bytes = objects[number_in_use].held();
        while (objects[number_in_use].held() == held_bytes)
            objects[number_in_use].work((uint64_t *)context);
    }
}

static void object_may_change_while_it_is_moved(void) {
    for (size_t i = 0; i < OBJECTS; i++) {
        uint64_t seed = 5;
        aegis_budget *from = aegis_budget_new("from", AEGIS_BUDGET_UNLIMITED, NULL);
        aegis_budget *to = aegis_budget_new("to", 1000, NULL);
        objects[i].make(from);
        while (objects[i].held() < 1000)
            objects[i].work(&seed);
        CHECK(aegis_budget_on_pressure(to, 1, use_object, NULL, &seed) == AEGIS_OK);
        aegis_budget_set_limit(to, (size_t)1 << 30);
        CHECK(aegis_budget_charge(to, ((size_t)1 << 30) / 100 - 500, NULL) == AEGIS_OK);
        number_in_use = i;
        used_count = 0;
        CHECK(objects[i].move(to, NULL) == AEGIS_OK);
        CHECK(used_count >= 1);
        CHECK_SIZE(used(from), 0);
        CHECK_SIZE(used(to), objects[i].held() + ((size_t)1 << 30) / 100 - 500);
        objects[i].end();
        CHECK(aegis_budget_uncharge(to, ((size_t)1 << 30) / 100 - 500) == AEGIS_OK);
        CHECK_SIZE(used(to), 0);
        aegis_budget_destroy(from);
        aegis_budget_destroy(to);
    }
}

/* -- what is special -- */

static void arena_with_an_open_scope_is_not_moved(void) {
    aegis_budget *from = aegis_budget_new("from", AEGIS_BUDGET_UNLIMITED, NULL);
    aegis_budget *to = aegis_budget_new("to", AEGIS_BUDGET_UNLIMITED, NULL);
    aegis_arena_scope scope;
    aegis_error error;
    arena_make(from);
    CHECK(aegis_arena_alloc(&arena, 100) != NULL);
    aegis_arena_scope_begin(&arena, &scope);
    size_t used_bytes = used(from);
    CHECK(aegis_arena_move_budget(&arena, to, &error) == AEGIS_E_BUSY);
    CHECK(error.status == AEGIS_E_BUSY && error.what == AEGIS_WHAT_SCOPE);
    CHECK(aegis_arena_move_budget(&scope.arena, to, &error) == AEGIS_E_BUSY);
    CHECK(error.status == AEGIS_E_BUSY && error.what == AEGIS_WHAT_SCOPE);
    CHECK_SIZE(used(from), used_bytes);
    CHECK_SIZE(used(to), 0);
    aegis_arena_scope_end(&arena, &scope);
    CHECK(aegis_arena_move_budget(&arena, to, NULL) == AEGIS_OK);
    CHECK_SIZE(used(to), used_bytes);
    aegis_arena_fini(&arena);
    aegis_budget_destroy(from);
    aegis_budget_destroy(to);
}

static void local_arena_is_not_moved_by_itself(void) {
    aegis_budget *from = aegis_budget_new("from", AEGIS_BUDGET_UNLIMITED, NULL);
    aegis_arena_local local;
    aegis_error error;
    lock_free_make(from);
    CHECK(aegis_arena_local_init(&local, &lock_free, 0) == AEGIS_OK);
    CHECK(aegis_arena_alloc(&local.arena, 100) != NULL);
    CHECK(aegis_arena_move_budget(&local.arena, NULL, &error) == AEGIS_E_INVALID);
    CHECK(error.status == AEGIS_E_INVALID);
    /* Its blocks move with those of the shared arena, and it goes on. */
    aegis_budget *to = aegis_budget_new("to", AEGIS_BUDGET_UNLIMITED, NULL);
    CHECK(aegis_lock_free_arena_move_budget(&lock_free, to, NULL) == AEGIS_OK);
    aegis_budget_destroy(from);
    CHECK_SIZE(used(to), lock_free_held());
    CHECK(aegis_arena_alloc(&local.arena, 20000) != NULL);
    CHECK_SIZE(used(to), lock_free_held());
    aegis_arena_local_fini(&local);
    aegis_lock_free_arena_fini(&lock_free);
    CHECK_SIZE(used(to), 0);
    aegis_budget_destroy(to);
}

static void error_record_of_an_arena_names_no_budget_after_a_move(void) {
    aegis_budget *from = aegis_budget_new("from", 5000, NULL);
    aegis_error error;
    char text[200];
    arena_make(from);
    CHECK(aegis_arena_alloc(&arena, 100) != NULL);
    CHECK(aegis_arena_alloc(&arena, 10000) == NULL);
    aegis_arena_last_error(&arena, &error);
    CHECK(error.refused == from);
    CHECK(aegis_arena_move_budget(&arena, NULL, NULL) == AEGIS_OK);
    aegis_budget_destroy(from);
    aegis_arena_last_error(&arena, &error);
    CHECK(error.status == AEGIS_E_LIMIT_EXCEEDED && error.refused == NULL);
    CHECK(aegis_arena_explain(&arena, text, sizeof text) != 0);
    aegis_arena_fini(&arena);
}

/* -- pools: what is special -- */

/* A source that moves the pool to another budget while the pool acquires a slab or releases one. */
static aegis_budget *next_budget;
static size_t nested_count;

static void move_nested(void) {
    aegis_budget *budget = next_budget;
    next_budget = NULL;
    if (budget != NULL) {
        nested_count++;
        CHECK(aegis_pool_move_budget(&pool, budget, NULL) == AEGIS_OK);
        aegis_budget_destroy(budget);
    }
}

static void *moving_acquire(void *context, size_t size_bytes, size_t align_bytes, bool *zeroed) {
    aegis_source heap = aegis_source_heap();
    (void)context;
    move_nested();
    return heap.acquire(heap.context, size_bytes, align_bytes, zeroed);
}

static void moving_release(void *context, void *memory, size_t size_bytes, size_t align_bytes) {
    aegis_source heap = aegis_source_heap();
    (void)context;
    move_nested();
    heap.release(heap.context, memory, size_bytes, align_bytes);
}

static void pool_may_move_while_it_grows_or_is_trimmed(void) {
    aegis_source source = {moving_acquire, moving_release, NULL, NULL};
    aegis_pool_options options = {0};
    size_t freed_count = 0;
    aegis_budget *budgets[3];
    void *blocks[9];
    for (size_t i = 0; i < 3; i++)
        budgets[i] = new_noted(&freed_count);
    set_blocks(&options, budgets[0]);
    options.source = &source;
    nested_count = 0;
    CHECK(aegis_pool_init(&pool, &options) == AEGIS_OK);
    aegis_budget_destroy(budgets[0]);
    next_budget = aegis_budget_retain(budgets[1]);
    for (size_t i = 0; i < 9; i++)
        CHECK((blocks[i] = aegis_pool_alloc(&pool)) != NULL);
    CHECK(nested_count == 1 && freed_count == 1);
    CHECK_SIZE(used(budgets[1]), pool_held());
    next_budget = aegis_budget_retain(budgets[2]);
    aegis_budget_destroy(budgets[1]);
    for (size_t i = 0; i < 9; i++)
        CHECK(aegis_pool_free(&pool, blocks[i]) == AEGIS_OK);
    aegis_pool_trim(&pool, 0);
    CHECK(nested_count == 2 && freed_count == 2);
    CHECK_SIZE(used(budgets[2]), pool_held());
    aegis_pool_fini(&pool);
    CHECK_SIZE(used(budgets[2]), 0);
    aegis_budget_destroy(budgets[2]);
    CHECK_SIZE(freed_count, 3);
}

static void records_of_a_pool_and_its_caches_name_no_budget_after_a_move(void) {
    aegis_budget *from = aegis_budget_new("from", AEGIS_BUDGET_UNLIMITED, NULL);
    aegis_lock_free_pool_options options = {0};
    aegis_pool_cache cache;
    aegis_error error;
    char text[200];
    set_blocks(&options.blocks, from);
    options.max_cache_count = 1;
    CHECK(aegis_lock_free_pool_init(&free_pool, &options) == AEGIS_OK);
    pool_make(from);
    aegis_budget_set_limit(from, 0);
    while (aegis_pool_alloc(&pool) != NULL)
        continue;
    aegis_pool_last_error(&pool, &error);
    CHECK(error.refused == from);
    CHECK(aegis_pool_cache_init(&cache, &free_pool) == AEGIS_OK);
    while (aegis_pool_cache_alloc(&cache) != NULL)
        continue;
    aegis_pool_cache_last_error(&cache, &error);
    CHECK(error.refused == from);
    CHECK(aegis_lock_free_pool_move_budget(&free_pool, NULL, NULL) == AEGIS_OK);
    CHECK(aegis_pool_move_budget(&pool, NULL, NULL) == AEGIS_OK);
    CHECK_SIZE(used(from), 0);
    aegis_budget_destroy(from);
    aegis_pool_last_error(&pool, &error);
    CHECK(error.status == AEGIS_E_LIMIT_EXCEEDED && error.refused == NULL);
    aegis_pool_cache_last_error(&cache, &error);
    CHECK(error.status == AEGIS_E_LIMIT_EXCEEDED && error.refused == NULL);
    CHECK(aegis_pool_cache_explain(&cache, text, sizeof text) != 0);
    CHECK(aegis_pool_explain(&pool, text, sizeof text) != 0);
    aegis_pool_abandon(&pool);
    aegis_lock_free_pool_abandon(&free_pool);
}

int main(void) {
    RUN(random_moves_of_objects_agree_with_the_oracle);
    RUN(the_reference_of_an_object_moves_with_it);
    RUN(object_may_change_while_it_is_moved);
    RUN(arena_with_an_open_scope_is_not_moved);
    RUN(local_arena_is_not_moved_by_itself);
    RUN(error_record_of_an_arena_names_no_budget_after_a_move);
    RUN(pool_may_move_while_it_grows_or_is_trimmed);
    RUN(records_of_a_pool_and_its_caches_name_no_budget_after_a_move);
    return check_finish();
}
