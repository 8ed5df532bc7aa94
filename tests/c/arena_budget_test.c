/* SPDX-License-Identifier: Apache-2.0 */
/* Tests arenas that charge a budget: when they charge and how much, what a refusal says, and that
 * every charge is taken back. The source and the budget refuse on demand, and pressure functions
 * use the arena that grows. After each step the use of the budget must be equal to what the arena
 * has reserved. */
#include "budget_support.h"

/* A source over the C heap that can refuse. It counts the blocks that are out. */
typedef struct counting {
    size_t live_bytes;
    bool refusing;
} counting;

static void *counting_acquire(void *context, size_t size_bytes, size_t align_bytes, bool *zeroed) {
    counting *state = (counting *)context;
    aegis_source heap = aegis_source_heap();
    if (state->refusing)
        return NULL;
    state->live_bytes += size_bytes;
    return heap.acquire(heap.context, size_bytes, align_bytes, zeroed);
}

static void counting_release(void *context, void *memory, size_t size_bytes, size_t align_bytes) {
    aegis_source heap = aegis_source_heap();
    ((counting *)context)->live_bytes -= size_bytes;
    heap.release(heap.context, memory, size_bytes, align_bytes);
}

static aegis_status init(aegis_arena *arena, counting *state, aegis_budget *budget,
                         size_t capacity_bytes) {
    aegis_source source = {counting_acquire, counting_release, NULL, NULL};
    source.context = state;
    memset(state, 0, sizeof *state);
    aegis_arena_options options = {0};
    options.source = &source;
    options.budget = budget;
    options.capacity_bytes = capacity_bytes;
    options.flags = AEGIS_ARENA_NO_DEBUG;
    return aegis_arena_init(arena, &options);
}

static void every_block_is_charged_whole_and_given_back(void) {
    aegis_budget *budget = aegis_budget_new("query", AEGIS_BUDGET_UNLIMITED, NULL);
    aegis_arena arena;
    counting state;
    CHECK(init(&arena, &state, budget, 5000) == AEGIS_OK);
    CHECK(used(budget) > 5000);
    for (size_t i = 0; i < 100; i++) {
        CHECK(aegis_arena_alloc(&arena, 10 + i * 40) != NULL);
        CHECK_SIZE(used(budget), state.live_bytes);
        CHECK_SIZE(used(budget), arena.reserved_bytes);
    }
    size_t full_bytes = used(budget);
    aegis_arena_reset(&arena);
    CHECK_SIZE(used(budget), full_bytes);
    aegis_arena_trim(&arena, full_bytes / 2);
    CHECK(used(budget) <= full_bytes / 2 && used(budget) != 0);
    CHECK_SIZE(used(budget), state.live_bytes);
    aegis_arena_clear(&arena);
    CHECK_SIZE(used(budget), 0);
    CHECK(aegis_arena_alloc(&arena, 100) != NULL);
    CHECK_SIZE(used(budget), state.live_bytes);
    aegis_arena_fini(&arena);
    CHECK_SIZE(used(budget), 0);
    CHECK_SIZE(state.live_bytes, 0);
    aegis_budget_destroy(budget);
}

static void blocks_of_scopes_are_charged_too(void) {
    aegis_budget *budget = aegis_budget_new("query", AEGIS_BUDGET_UNLIMITED, NULL);
    aegis_arena arena;
    counting state;
    CHECK(init(&arena, &state, budget, 0) == AEGIS_OK);
    for (size_t i = 0; i < 5; i++) {
        aegis_arena_scope scope;
        aegis_arena_scope_begin(&arena, &scope);
        CHECK(aegis_arena_alloc(&scope.arena, 3000) != NULL);
        CHECK(aegis_arena_alloc(&arena, 300) != NULL);
        CHECK_SIZE(used(budget), state.live_bytes);
        aegis_arena_scope_end(&arena, &scope);
        CHECK_SIZE(used(budget), arena.reserved_bytes);
    }
    aegis_arena_fini(&arena);
    CHECK_SIZE(used(budget), 0);
    aegis_budget_destroy(budget);
}

static void near_the_limit_a_smaller_block_serves(void) {
    aegis_budget *budget = aegis_budget_new("query", 10000, NULL);
    aegis_arena arena;
    counting state;
    CHECK(init(&arena, &state, budget, 4000) == AEGIS_OK);
    CHECK(aegis_arena_alloc(&arena, 3900) != NULL);
    /* The next step is above 8000 bytes. The budget does not have that many left, so the arena
     * takes what is left. */
    CHECK(aegis_arena_alloc(&arena, 1000) != NULL);
    CHECK(used(budget) > 10000 - 16 && used(budget) <= 10000);
    CHECK(aegis_arena_alloc(&arena, 4000) != NULL);
    aegis_arena_fini(&arena);
    CHECK_SIZE(used(budget), 0);
    aegis_budget_destroy(budget);
}

static void refusal_leaves_arena_and_counters_and_explains(void) {
    aegis_budget *root = aegis_budget_new("database", 10000, NULL);
    aegis_budget *other = aegis_budget_new("query 1", 10000, root);
    aegis_budget *budget = aegis_budget_new("query 2", 20000, root);
    CHECK(aegis_budget_charge(other, 3000, NULL) == AEGIS_OK);
    aegis_arena arena;
    counting state;
    CHECK(init(&arena, &state, budget, 4000) == AEGIS_OK);
    CHECK(aegis_arena_alloc(&arena, 10) != NULL);
    size_t used_before = used(budget);
    aegis_arena before = arena;
    CHECK(aegis_arena_alloc(&arena, 5000) == NULL);
    CHECK(memcmp(&before, &arena, offsetof(aegis_arena, failed_bytes)) == 0);
    CHECK_SIZE(used(budget), used_before);
    CHECK_SIZE(used(root), used_before + 3000);
    aegis_error error;
    aegis_arena_last_error(&arena, &error);
    CHECK(error.status == AEGIS_E_LIMIT_EXCEEDED);
    CHECK_SIZE(error.requested_bytes, 5000);
    CHECK_SIZE(error.limit_bytes, 10000);
    CHECK_SIZE(error.in_use_bytes, used_before + 3000);
    CHECK(error.needed_bytes > 5000 && error.needed_bytes <= 5100);
    char text[256], expected[256];
    size_t length = aegis_arena_explain(&arena, text, sizeof text);
    snprintf(expected, sizeof expected,
             "budget 'database' refused %zu bytes for a request of 5000 bytes: limit 10000 bytes, "
             "%zu bytes in use; largest: 'query 2' %zu bytes, 'query 1' 3000 bytes",
             error.needed_bytes, used_before + 3000, used_before);
    CHECK(strcmp(text, expected) == 0);
    CHECK_SIZE(length, strlen(expected));
    CHECK_SIZE(aegis_arena_explain(&arena, text, 10), strlen(expected));
    CHECK(strcmp(text, "budget 'd") == 0);

    /* A refused request is served once the other query is done, also one with an alignment. */
    CHECK(aegis_budget_uncharge(other, 3000) == AEGIS_OK);
    CHECK(aegis_arena_alloc_aligned(&arena, 5000, 16) != NULL);
    aegis_arena_fini(&arena);
    CHECK_SIZE(used(root), 0);
    aegis_budget_destroy(budget);
    aegis_budget_destroy(other);
    aegis_budget_destroy(root);
}

static void init_refused_by_the_budget_charges_nothing(void) {
    aegis_budget *root = aegis_budget_new("root", 1000, NULL);
    aegis_budget *budget = aegis_budget_new("leaf", 100000, root);
    aegis_arena arena;
    counting state;
    CHECK(init(&arena, &state, budget, 5000) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK(arena.ptr == NULL && arena.budget == NULL);
    CHECK_SIZE(used(budget), 0);
    CHECK_SIZE(state.live_bytes, 0);
    char text[128];
    (void)aegis_arena_explain(&arena, text, sizeof text);
    CHECK(strncmp(text, "budget 'root' refused 5", 23) == 0);
    CHECK(strstr(text, " bytes for a request of 5000 bytes: limit 1000 bytes, 0 bytes in use") !=
          NULL);
    aegis_arena_fini(&arena);
    aegis_budget_destroy(budget);
    aegis_budget_destroy(root);
}

static void source_failure_gives_the_charge_back(void) {
    aegis_budget *budget = aegis_budget_new("query", 100000, NULL);
    aegis_arena arena;
    counting state;
    CHECK(init(&arena, &state, budget, 1000) == AEGIS_OK);
    size_t used_before = used(budget);
    state.refusing = true;
    CHECK(aegis_arena_alloc(&arena, 5000) == NULL);
    CHECK_SIZE(used(budget), used_before);
    aegis_error error;
    aegis_arena_last_error(&arena, &error);
    CHECK(error.status == AEGIS_E_OUT_OF_MEMORY);
    aegis_arena_fini(&arena);
    CHECK_SIZE(used(budget), 0);
    aegis_budget_destroy(budget);
}

static void callers_memory_is_not_charged(void) {
    static _Alignas(16) unsigned char memory[2000];
    aegis_budget *budget = aegis_budget_new("query", 5000, NULL);
    aegis_source heap = aegis_source_heap();
    aegis_arena arena;
    aegis_arena_options options = {0};
    options.memory = memory;
    options.memory_bytes = sizeof memory;
    options.source = &heap;
    options.budget = budget;
    CHECK(aegis_arena_init(&arena, &options) == AEGIS_OK);
    CHECK(aegis_arena_alloc(&arena, 100) != NULL);
    CHECK_SIZE(used(budget), 0);
    CHECK(aegis_arena_alloc(&arena, 3000) != NULL);
    CHECK(used(budget) > 3000);
    CHECK(aegis_arena_alloc(&arena, 3000) == NULL);
    aegis_arena_fini(&arena);
    CHECK_SIZE(used(budget), 0);
    aegis_budget_destroy(budget);
}

static void arena_keeps_its_budget_alive(void) {
    aegis_budget *root = aegis_budget_new("root", 4000, NULL);
    aegis_budget *budget = aegis_budget_new("query", 100000, root);
    aegis_arena arena;
    counting state;
    CHECK(init(&arena, &state, budget, 1000) == AEGIS_OK);
    aegis_budget_destroy(budget);
    aegis_budget_destroy(root);
    CHECK(aegis_arena_alloc(&arena, 2000) != NULL);
    CHECK(aegis_arena_alloc(&arena, 2000) == NULL);
    char text[128];
    (void)aegis_arena_explain(&arena, text, sizeof text);
    CHECK(strncmp(text, "budget 'root' refused 2", 23) == 0);
    CHECK(strstr(text, " bytes for a request of 2000 bytes: limit 4000 bytes, ") != NULL);
    aegis_arena_fini(&arena);
}

static void own_blocks_are_charged_one_by_one(void) {
    aegis_budget *budget = aegis_budget_new("query", 5000, NULL);
    aegis_arena arena;
    aegis_arena_options options = {0};
    options.budget = budget;
    options.flags = AEGIS_ARENA_OWN_BLOCKS;
    CHECK(aegis_arena_init(&arena, &options) == AEGIS_OK);
    for (size_t round = 0; round < 20; round++) {
        CHECK(aegis_arena_alloc(&arena, 1000) != NULL);
        CHECK(aegis_arena_alloc(&arena, 1000) != NULL);
        CHECK_SIZE(used(budget), arena.reserved_bytes);
        aegis_arena_reset(&arena);
        CHECK_SIZE(used(budget), 0);
    }
    aegis_arena_fini(&arena);
    aegis_budget_destroy(budget);
}

/* What a pressure function needs to use the arena that grows and so makes the function run. */
typedef struct pressed {
    aegis_arena *arena;
    counting *state;
    size_t count;
    void *memory;
} pressed;

static void allocate_from_the_same_arena(void *context, size_t used_bytes, size_t limit_bytes) {
    pressed *p = (pressed *)context;
    (void)used_bytes;
    (void)limit_bytes;
    p->count++;
    p->memory = aegis_arena_alloc(p->arena, 700);
    CHECK(p->memory != NULL);
    memset(p->memory, 0x77, 700);
}

static void pressure_function_may_allocate_from_the_growing_arena(void) {
    for (size_t first_bytes = 0; first_bytes <= 4000; first_bytes += 500) {
        aegis_budget *budget = aegis_budget_new("query", 1000000, NULL);
        aegis_arena arena;
        counting state;
        CHECK(init(&arena, &state, budget, 0) == AEGIS_OK);
        pressed p = {&arena, &state, 0, NULL};
        if (first_bytes != 0)
            CHECK(aegis_arena_alloc(&arena, first_bytes) != NULL);
        CHECK(aegis_budget_on_pressure(budget, 1, allocate_from_the_same_arena, NULL, &p) ==
              AEGIS_OK);
        unsigned char *memory = (unsigned char *)aegis_arena_alloc(&arena, 20000);
        CHECK(memory != NULL);
        memset(memory, 0x11, 20000);
        CHECK_SIZE(p.count, 1);
        CHECK(*(unsigned char *)p.memory == 0x77);
        CHECK_SIZE(used(budget), arena.reserved_bytes);
        aegis_arena_fini(&arena);
        CHECK_SIZE(used(budget), 0);
        aegis_budget_destroy(budget);
    }
}

static void reset_and_clear_the_same_arena(void *context, size_t used_bytes, size_t limit_bytes) {
    pressed *p = (pressed *)context;
    (void)used_bytes;
    (void)limit_bytes;
    p->count++;
    aegis_arena_clear(p->arena);
}

static void pressure_function_may_clear_the_growing_arena(void) {
    aegis_budget *budget = aegis_budget_new("query", 1000000, NULL);
    aegis_arena arena;
    counting state;
    CHECK(init(&arena, &state, budget, 2000) == AEGIS_OK);
    CHECK(aegis_arena_alloc(&arena, 9000) != NULL);
    pressed p = {&arena, &state, 0, NULL};
    CHECK(aegis_budget_on_pressure(budget, 2, reset_and_clear_the_same_arena, NULL, &p) ==
          AEGIS_OK);
    CHECK(aegis_arena_alloc(&arena, 50000) != NULL);
    CHECK_SIZE(p.count, 1);
    CHECK_SIZE(used(budget), arena.reserved_bytes);
    CHECK_SIZE(used(budget), state.live_bytes);
    aegis_arena_fini(&arena);
    aegis_budget_destroy(budget);
}

static void fail_in_the_same_arena(void *context, size_t used_bytes, size_t limit_bytes) {
    pressed *p = (pressed *)context;
    (void)used_bytes;
    (void)limit_bytes;
    p->count++;
    CHECK(aegis_arena_alloc(p->arena, 2000000) == NULL);
    p->state->refusing = true;
}

static void failure_inside_a_pressure_function_is_not_mistaken_for_the_outer_one(void) {
    aegis_budget *budget = aegis_budget_new("query", 1000000, NULL);
    aegis_arena arena;
    counting state;
    CHECK(init(&arena, &state, budget, 0) == AEGIS_OK);
    pressed p = {&arena, &state, 0, NULL};
    CHECK(aegis_budget_on_pressure(budget, 50, fail_in_the_same_arena, NULL, &p) == AEGIS_OK);
    CHECK(aegis_arena_alloc(&arena, 600000) == NULL);
    CHECK(p.count >= 1);
    aegis_error error;
    aegis_arena_last_error(&arena, &error);
    CHECK(error.status == AEGIS_E_OUT_OF_MEMORY);
    CHECK_SIZE(used(budget), 0);
    aegis_arena_fini(&arena);
    aegis_budget_destroy(budget);
}

static void notice(void *context, size_t used_bytes, size_t limit_bytes) {
    pressed *p = (pressed *)context;
    (void)used_bytes;
    (void)limit_bytes;
    p->count++;
}

static void giving_blocks_back_runs_no_pressure_function(void) {
    aegis_budget *budget = aegis_budget_new("query", 1000000, NULL);
    aegis_arena arena;
    counting state;
    CHECK(init(&arena, &state, budget, 0) == AEGIS_OK);
    for (size_t i = 0; i < 50; i++)
        CHECK(aegis_arena_alloc(&arena, 5000) != NULL);
    pressed p = {&arena, &state, 0, NULL};
    for (uint32_t percent = 1; percent <= 100; percent++)
        CHECK(aegis_budget_on_pressure(budget, percent, notice, NULL, &p) == AEGIS_OK);
    aegis_arena_reset(&arena);
    aegis_arena_trim(&arena, 20000);
    aegis_arena_fini(&arena);
    CHECK_SIZE(p.count, 0);
    aegis_budget_destroy(budget);
}

int main(void) {
    RUN(every_block_is_charged_whole_and_given_back);
    RUN(blocks_of_scopes_are_charged_too);
    RUN(near_the_limit_a_smaller_block_serves);
    RUN(refusal_leaves_arena_and_counters_and_explains);
    RUN(init_refused_by_the_budget_charges_nothing);
    RUN(source_failure_gives_the_charge_back);
    RUN(callers_memory_is_not_charged);
    RUN(arena_keeps_its_budget_alive);
    RUN(own_blocks_are_charged_one_by_one);
    RUN(pressure_function_may_allocate_from_the_growing_arena);
    RUN(pressure_function_may_clear_the_growing_arena);
    RUN(failure_inside_a_pressure_function_is_not_mistaken_for_the_outer_one);
    RUN(giving_blocks_back_runs_no_pressure_function);
    return check_finish();
}
