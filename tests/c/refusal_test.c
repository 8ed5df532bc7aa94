/* SPDX-License-Identifier: Apache-2.0 */
/* Tests that the numbers of a refusal add up, in the error record and in its sentence. Random
 * requests to every kind of object run under small budgets, whose parent or which themselves have
 * the lower limit, and in memory of a fixed size. In every refusal `requested_bytes` is what the
 * caller asked for, `needed_bytes` and `in_use_bytes` are together above `limit_bytes`, and the
 * sentence has these numbers. */
#include "base_support.h"

#include <pthread.h>

#define ROUNDS 60
#define REQUESTS 80
#define TEXT_BYTES 640

static uint64_t seed = 2024;
static size_t refusal_count;
static size_t exhausted_count;

/* How the sentence about memory of a fixed size must begin. What was needed stands there if the
 * bytes asked for would fit. */
static void write_exhausted(char *wanted, const aegis_error *error) {
    int length = snprintf(wanted, TEXT_BYTES,
                          "fixed memory exhausted: %zu bytes requested at "
                          "alignment %zu, ",
                          error->requested_bytes, error->align_bytes);
    if (error->requested_bytes + error->in_use_bytes <= error->limit_bytes)
        length += snprintf(wanted + length, TEXT_BYTES - (size_t)length, "%zu bytes needed, ",
                           error->needed_bytes);
    (void)snprintf(wanted + length, TEXT_BYTES - (size_t)length, "%zu of %zu bytes in use",
                   error->in_use_bytes, error->limit_bytes);
}

static void write_pool(char *wanted, const aegis_error *error, size_t block_bytes) {
    (void)snprintf(wanted, TEXT_BYTES,
                   "pool exhausted: %zu block of %zu bytes requested, %zu of %zu blocks in use",
                   error->asked, block_bytes, error->in_use_bytes / block_bytes,
                   error->limit_bytes / block_bytes);
}

static void write_refusal(char *wanted, const aegis_error *error) {
    aegis_budget_figures figures;
    aegis_budget_get_figures(error->refused, &figures);
    int length = snprintf(wanted, TEXT_BYTES, "budget '%s' refused %zu bytes", figures.name,
                          error->needed_bytes);
    if (error->needed_bytes != error->requested_bytes)
        length += snprintf(wanted + length, TEXT_BYTES - (size_t)length,
                           " for a request of %zu bytes", error->requested_bytes);
    (void)snprintf(wanted + length, TEXT_BYTES - (size_t)length,
                   ": limit %zu bytes, %zu bytes in use", error->limit_bytes, error->in_use_bytes);
}

/* Checks the record of a call that asked for `asked_bytes` and failed. */
static void check_error(const aegis_error *error, size_t asked_bytes) {
    char text[TEXT_BYTES], wanted[TEXT_BYTES];
    (void)aegis_error_explain(error, text, sizeof text);
    CHECK_SIZE(error->requested_bytes, asked_bytes);
    CHECK(error->needed_bytes > error->limit_bytes ||
          error->in_use_bytes > error->limit_bytes - error->needed_bytes);
    if (error->status == AEGIS_E_EXHAUSTED) {
        exhausted_count++;
        if (error->what == AEGIS_WHAT_BLOCKS)
            write_pool(wanted, error, asked_bytes);
        else
            write_exhausted(wanted, error);
    } else {
        refusal_count++;
        CHECK(error->status == AEGIS_E_LIMIT_EXCEEDED && error->refused != NULL);
        write_refusal(wanted, error);
        aegis_budget_refusal refusal;
        aegis_budget_get_refusal(error, &refusal);
        CHECK_SIZE(refusal.requested_bytes, asked_bytes);
        CHECK_SIZE(refusal.needed_bytes, error->needed_bytes);
        CHECK_SIZE(refusal.budget.limit_bytes, error->limit_bytes);
        CHECK_SIZE(refusal.budget.used_bytes, error->in_use_bytes);
    }
    CHECK(strncmp(text, wanted, strlen(wanted)) == 0);
    if (strncmp(text, wanted, strlen(wanted)) != 0)
        fprintf(stderr, "    %s\n    %s\n", text, wanted);
}

/* A budget with a parent, one of which has the limit, and bytes of a sibling in use beside it. */
typedef struct tree {
    aegis_budget *parent;
    aegis_budget *sibling;
    aegis_budget *budget;
    size_t beside_bytes;
} tree;

static tree make_tree(size_t limit_bytes) {
    tree made;
    size_t which = random_below(&seed, 3);
    size_t own_bytes = which == 0   ? limit_bytes
                       : which == 1 ? AEGIS_BUDGET_UNLIMITED
                                    : 2 * limit_bytes;
    made.parent = aegis_budget_new("p", which == 0 ? 2 * limit_bytes : limit_bytes, NULL);
    made.sibling = aegis_budget_new("s", AEGIS_BUDGET_UNLIMITED, made.parent);
    made.budget = aegis_budget_new("b", own_bytes, made.parent);
    made.beside_bytes = random_below(&seed, limit_bytes / 2 + 1);
    CHECK(aegis_budget_charge(made.sibling, made.beside_bytes, NULL) == AEGIS_OK);
    return made;
}

static void end_tree(tree *made) {
    aegis_budget_figures figures;
    aegis_budget_get_figures(made->budget, &figures);
    CHECK_SIZE(figures.used_bytes, 0);
    CHECK(aegis_budget_uncharge(made->sibling, made->beside_bytes) == AEGIS_OK);
    aegis_budget_destroy(made->budget);
    aegis_budget_destroy(made->sibling);
    aegis_budget_destroy(made->parent);
}

static size_t random_size(void) {
    static const size_t bounds[] = {64, 2000, 40000};
    return random_below(&seed, bounds[random_below(&seed, 3)]);
}

static size_t random_align(void) {
    return (size_t)8 << random_below(&seed, 7);
}

static void drive_arena(aegis_arena *arena) {
    aegis_error error;
    for (size_t i = 0; i < REQUESTS; i++) {
        size_t size_bytes = random_size();
        void *memory = i % 2 == 0 ? aegis_arena_alloc(arena, size_bytes)
                                  : aegis_arena_alloc_aligned(arena, size_bytes, random_align());
        if (memory == NULL) {
            aegis_arena_last_error(arena, &error);
            check_error(&error, size_bytes);
        }
    }
}

static uint32_t random_flags(void) {
    static const uint32_t flags[] = {0, AEGIS_ARENA_NO_DEBUG, AEGIS_ARENA_GUARD,
                                     AEGIS_ARENA_OWN_BLOCKS | AEGIS_ARENA_FILL};
    return flags[random_below(&seed, 4)];
}

static void arenas_under_budgets_add_up(void) {
    size_t before_count = refusal_count;
    for (size_t round = 0; round < scaled(ROUNDS); round++) {
        tree made = make_tree(random_size() * 4);
        aegis_arena arena;
        aegis_arena_options options = {0};
        aegis_error error;
        options.budget = made.budget;
        options.capacity_bytes = round % 2 == 0 ? 0 : random_size();
        options.flags = random_flags();
        if (aegis_arena_init(&arena, &options) == AEGIS_OK) {
            aegis_arena_scope scope;
            drive_arena(&arena);
            aegis_arena_scope_begin(&arena, &scope);
            drive_arena(&scope.arena);
            aegis_arena_scope_end(&arena, &scope);
            aegis_arena_reset(&arena);
            drive_arena(&arena);
        } else {
            aegis_arena_last_error(&arena, &error);
            check_error(&error, options.capacity_bytes);
        }
        aegis_arena_fini(&arena);
        end_tree(&made);
    }
    CHECK(refusal_count - before_count >= scaled(ROUNDS));
}

static void recyclers_under_budgets_add_up(void) {
    size_t before_count = refusal_count;
    for (size_t round = 0; round < scaled(ROUNDS); round++) {
        tree made = make_tree(random_size() * 2);
        aegis_arena_recycler recycler;
        aegis_arena_recycler_options options = {0};
        aegis_arena arenas[8];
        aegis_error error;
        options.arena.budget = made.budget;
        options.arena.capacity_bytes = random_size() / 4;
        options.max_idle_count = 2;
        options.keep_bytes = 1000;
        CHECK(aegis_arena_recycler_init(&recycler, &options) == AEGIS_OK);
        for (size_t i = 0; i < 8; i++)
            if (aegis_arena_recycler_get(&recycler, &arenas[i], &error) == AEGIS_OK)
                drive_arena(&arenas[i]);
            else
                check_error(&error, options.arena.capacity_bytes);
        for (size_t i = 0; i < 8; i++)
            aegis_arena_recycler_put(&recycler, &arenas[i]);
        CHECK(aegis_arena_recycler_fini(&recycler) == AEGIS_OK);
        end_tree(&made);
    }
    CHECK(refusal_count - before_count >= scaled(ROUNDS));
}

static void shared_arenas_under_budgets_add_up(void) {
    size_t before_count = refusal_count;
    for (size_t round = 0; round < scaled(ROUNDS); round++) {
        tree made = make_tree(random_size() * 4);
        aegis_error error;
        size_t capacity_bytes = round % 2 == 0 ? 0 : random_size();
        aegis_lock_free_arena_options options = {capacity_bytes, 0, NULL, made.budget, NULL, 0};
        aegis_lock_free_arena arena;
        if (aegis_lock_free_arena_init(&arena, &options, &error) == AEGIS_OK) {
            aegis_arena_local local;
            CHECK(aegis_arena_local_init(&local, &arena, 0) == AEGIS_OK);
            drive_arena(&local.arena);
            aegis_arena_local_fini(&local);
            for (size_t i = 0; i < REQUESTS; i++) {
                size_t size_bytes = random_size();
                if (aegis_lock_free_arena_alloc_aligned(&arena, size_bytes, random_align(),
                                                        &error) == NULL)
                    check_error(&error, size_bytes);
            }
            aegis_lock_free_arena_fini(&arena);
        } else {
            check_error(&error, capacity_bytes);
        }

        aegis_locked_arena locked;
        aegis_arena_options locked_options = {0};
        locked_options.capacity_bytes = capacity_bytes;
        locked_options.budget = made.budget;
        if (aegis_locked_arena_init(&locked, &locked_options, &error) == AEGIS_OK) {
            for (size_t i = 0; i < REQUESTS; i++) {
                size_t size_bytes = random_size();
                if (aegis_locked_arena_alloc(&locked, size_bytes, &error) == NULL)
                    check_error(&error, size_bytes);
            }
            aegis_locked_arena_fini(&locked);
        } else {
            check_error(&error, capacity_bytes);
        }
        end_tree(&made);
    }
    CHECK(refusal_count - before_count >= scaled(ROUNDS));
}

static void arenas_of_a_fixed_size_add_up(void) {
    static unsigned char memory[20000];
    size_t before_count = exhausted_count;
    for (size_t round = 0; round < scaled(ROUNDS); round++) {
        aegis_arena arena;
        aegis_arena_options options = {0};
        size_t skip_bytes = random_below(&seed, 64);
        options.memory = memory + skip_bytes;
        options.memory_bytes = random_below(&seed, sizeof memory - skip_bytes);
        options.flags = random_flags();
        CHECK(aegis_arena_init(&arena, &options) == AEGIS_OK);
        drive_arena(&arena);
        aegis_arena_scope scope;
        aegis_arena_scope_begin(&arena, &scope);
        drive_arena(&scope.arena);
        drive_arena(&arena);
        aegis_error before, after;
        aegis_arena_last_error(&arena, &before);
        aegis_arena_scope_end(&arena, &scope);
        aegis_arena_last_error(&arena, &after);
        CHECK_SIZE(after.needed_bytes, before.needed_bytes);
        aegis_arena_fini(&arena);
    }
    CHECK(exhausted_count - before_count > scaled(ROUNDS) * 10);
}

static aegis_pool_options random_pool(aegis_budget *budget, aegis_error *error) {
    aegis_pool_options options = {0};
    options.block_bytes = 1 + random_below(&seed, 2000);
    options.block_count = 1 + random_below(&seed, 20);
    options.max_block_count = options.block_count * (1 + random_below(&seed, 20));
    options.align_bytes = random_below(&seed, 2) == 0 ? 0 : random_align();
    options.budget = budget;
    options.error = error;
    return options;
}

static void pools_under_budgets_add_up(void) {
    size_t before_count = refusal_count;
    for (size_t round = 0; round < scaled(ROUNDS); round++) {
        tree made = make_tree(random_size() * 4);
        aegis_error error;
        aegis_pool_options options = random_pool(made.budget, &error);
        size_t first_bytes = options.block_bytes * options.block_count;

        aegis_pool pool;
        if (aegis_pool_init(&pool, &options) == AEGIS_OK) {
            while (aegis_pool_alloc(&pool) != NULL)
                continue;
            aegis_pool_last_error(&pool, &error);
            check_error(&error, options.block_bytes);
            aegis_pool_abandon(&pool);
        } else {
            check_error(&error, first_bytes);
        }

        aegis_locked_pool locked;
        if (aegis_locked_pool_init(&locked, &options) == AEGIS_OK) {
            while (aegis_locked_pool_alloc(&locked, &error) != NULL)
                continue;
            check_error(&error, options.block_bytes);
            CHECK(aegis_locked_pool_alloc_timeout(&locked, 1000, &error) == NULL);
            check_error(&error, options.block_bytes);
            aegis_locked_pool_abandon(&locked);
        } else {
            check_error(&error, first_bytes);
        }

        aegis_lock_free_pool lock_free;
        aegis_lock_free_pool_options more = {options, random_below(&seed, 3), 0};
        if (aegis_lock_free_pool_init(&lock_free, &more) == AEGIS_OK) {
            aegis_pool_cache cache;
            if (aegis_pool_cache_init(&cache, &lock_free) == AEGIS_OK) {
                while (aegis_pool_cache_alloc(&cache) != NULL)
                    continue;
                aegis_pool_cache_last_error(&cache, &error);
                check_error(&error, options.block_bytes);
            }
            while (aegis_lock_free_pool_alloc(&lock_free, &error) != NULL)
                continue;
            check_error(&error, options.block_bytes);
            aegis_lock_free_pool_abandon(&lock_free);
        } else {
            check_error(&error, first_bytes);
        }
        end_tree(&made);
    }
    CHECK(refusal_count - before_count >= scaled(ROUNDS));
}

static void buffers_under_budgets_add_up(void) {
    size_t before_count = refusal_count;
    static const unsigned char data[40000] = {0};
    for (size_t round = 0; round < scaled(ROUNDS); round++) {
        tree made = make_tree(random_size() * 2);
        aegis_error error;
        aegis_buffer_mut writer = {NULL, 0, 0, NULL, 0}, held[REQUESTS];
        aegis_buffer buffer;
        size_t held_count = 0;
        CHECK(aegis_buffer_mut_alloc(&writer, 0, 0, NULL, NULL) == AEGIS_OK);
        for (size_t i = 0; i < REQUESTS; i++) {
            size_t size_bytes = random_size();
            if (aegis_buffer_mut_reserve(&writer, size_bytes, made.budget, &error) == AEGIS_OK)
                (void)aegis_buffer_mut_append(&writer, data, size_bytes / 2);
            else
                check_error(&error, size_bytes);
            if (aegis_buffer_mut_alloc(&held[held_count], size_bytes, random_align(), made.budget,
                                       &error) == AEGIS_OK)
                held_count++;
            else
                check_error(&error, size_bytes);
            if (aegis_buffer_copy(&buffer, data, size_bytes, made.budget, &error) == AEGIS_OK)
                CHECK(aegis_buffer_release(&buffer) == AEGIS_OK);
            else
                check_error(&error, size_bytes);
            buffer = aegis_buffer_from_static(data, size_bytes);
            aegis_buffer_mut copy;
            if (aegis_buffer_into_mut(&buffer, &copy, made.budget, &error) == AEGIS_OK)
                CHECK(aegis_buffer_mut_release(&copy) == AEGIS_OK);
            else
                check_error(&error, size_bytes);
            if (aegis_budget_charge(made.budget, size_bytes, &error) == AEGIS_OK)
                CHECK(aegis_budget_uncharge(made.budget, size_bytes) == AEGIS_OK);
            else
                check_error(&error, size_bytes);
        }
        CHECK(aegis_buffer_mut_release(&writer) == AEGIS_OK);
        while (held_count > 0)
            CHECK(aegis_buffer_mut_release(&held[--held_count]) == AEGIS_OK);
        end_tree(&made);
    }
    CHECK(refusal_count - before_count >= scaled(ROUNDS));
}

/* Takes buffers until one is refused. */
static void drive_buffer_pool(aegis_buffer_pool *pool, size_t most_bytes) {
    aegis_buffer_mut writers[200];
    aegis_error error;
    size_t taken_count = 0;
    while (taken_count < 200) {
        size_t size_bytes = random_below(&seed, most_bytes + 1);
        if (aegis_buffer_pool_get(pool, &writers[taken_count], size_bytes, &error) != AEGIS_OK) {
            /* An exhausted pool tells of the buffers of a class. */
            bool blocks = error.status == AEGIS_E_EXHAUSTED;
            CHECK(!blocks || error.requested_bytes >= size_bytes);
            check_error(&error, blocks ? error.requested_bytes : size_bytes);
            break;
        }
        taken_count++;
    }
    while (taken_count > 0)
        CHECK(aegis_buffer_mut_release(&writers[--taken_count]) == AEGIS_OK);
}

static void buffer_pools_under_budgets_add_up(void) {
    size_t before_count = refusal_count;
    static const aegis_buffer_class classes[] = {{100, 4, 40}, {3000, 3, 30}, {20000, 2, 20}};
    for (size_t round = 0; round < scaled(ROUNDS) * 4; round++) {
        tree made = make_tree(random_size() * 16);
        aegis_error error;
        aegis_buffer_pool pool;
        aegis_buffer_pool_options options = {0};
        options.classes = classes;
        options.class_count = 3;
        options.align_bytes = random_align();
        options.budget = made.budget;
        options.when_empty = (uint32_t)random_below(&seed, 3);
        options.timeout_ns = 1000;
        options.error = &error;
        if (aegis_buffer_pool_init(&pool, &options) == AEGIS_OK) {
            drive_buffer_pool(&pool, options.when_empty == AEGIS_BUFFER_HEAP ? 40000 : 20000);
            aegis_buffer_pool_release(&pool);
        } else {
            /* The buffers of the classes up to the one that was refused. */
            size_t asked_bytes = error.requested_bytes;
            CHECK(asked_bytes == 400 || asked_bytes == 9400 || asked_bytes == 49400);
            CHECK(error.needed_bytes > asked_bytes);
            check_error(&error, asked_bytes);
        }
        end_tree(&made);
    }
    CHECK(refusal_count - before_count >= scaled(ROUNDS));
}

/* What the threads of a race use. */
typedef struct racers {
    const aegis_lock_free_arena *arena;
    const aegis_lock_free_pool *pool;
    aegis_budget *budget;
    size_t block_bytes;
    uint64_t seed;
    size_t refused_count;
    size_t wrong_count;
} racers;

static void count_wrong(racers *mine, const aegis_error *error, size_t asked_bytes) {
    bool adds_up = error->needed_bytes > error->limit_bytes ||
                   error->in_use_bytes > error->limit_bytes - error->needed_bytes;
    mine->refused_count++;
    mine->wrong_count += !adds_up || error->requested_bytes != asked_bytes;
}

static void *race(void *context) {
    racers *mine = (racers *)context;
    aegis_error error;
    for (size_t i = 0; i < scaled(20000); i++) {
        size_t size_bytes = random_below(&mine->seed, 400);
        if (aegis_lock_free_arena_alloc(mine->arena, size_bytes, &error) == NULL)
            count_wrong(mine, &error, size_bytes);
        void *block = aegis_lock_free_pool_alloc(mine->pool, &error);
        if (block == NULL)
            count_wrong(mine, &error, mine->block_bytes);
        else
            CHECK(aegis_lock_free_pool_free(mine->pool, block) == AEGIS_OK);
        aegis_buffer_mut writer;
        if (aegis_buffer_mut_alloc(&writer, size_bytes, 0, mine->budget, &error) == AEGIS_OK)
            CHECK(aegis_buffer_mut_release(&writer) == AEGIS_OK);
        else
            count_wrong(mine, &error, size_bytes);
    }
    return NULL;
}

/* The numbers are those of the charge, although other threads change the use all the time. */
static void refusals_of_a_race_add_up(void) {
    aegis_budget *budget = aegis_budget_new("b", 30000, NULL);
    aegis_lock_free_arena arena;
    aegis_lock_free_arena_options arena_options = {0, 2000, NULL, budget, NULL, 0};
    aegis_lock_free_pool pool;
    aegis_lock_free_pool_options options = {{0}, 0, 0};
    options.blocks.block_bytes = 500;
    options.blocks.block_count = 1;
    options.blocks.max_block_count = 100;
    options.blocks.budget = budget;
    CHECK(aegis_lock_free_arena_init(&arena, &arena_options, NULL) == AEGIS_OK);
    CHECK(aegis_lock_free_pool_init(&pool, &options) == AEGIS_OK);
    racers both[2];
    pthread_t threads[2];
    for (size_t i = 0; i < 2; i++) {
        both[i] = (racers){&arena, &pool, budget, 500, 77 + i, 0, 0};
        CHECK(pthread_create(&threads[i], NULL, race, &both[i]) == 0);
    }
    for (size_t i = 0; i < 2; i++) {
        (void)pthread_join(threads[i], NULL);
        CHECK(both[i].refused_count != 0);
        CHECK_SIZE(both[i].wrong_count, 0);
    }
    CHECK(aegis_lock_free_pool_fini(&pool) == AEGIS_OK);
    aegis_lock_free_arena_fini(&arena);
    aegis_budget_destroy(budget);
}

int main(void) {
    RUN(arenas_under_budgets_add_up);
    RUN(recyclers_under_budgets_add_up);
    RUN(shared_arenas_under_budgets_add_up);
    RUN(arenas_of_a_fixed_size_add_up);
    RUN(pools_under_budgets_add_up);
    RUN(buffers_under_budgets_add_up);
    RUN(buffer_pools_under_budgets_add_up);
    RUN(refusals_of_a_race_add_up);
    return check_finish();
}
