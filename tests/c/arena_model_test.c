/* SPDX-License-Identifier: Apache-2.0 */
/* Tests an arena with long random sequences of all calls, from fixed seeds, against a list of the
 * live allocations. What must hold after each call:
 * 1. every allocation is aligned and overlaps no other one;
 * 2. its content is unchanged until it is freed, and zero where the call promises zeroes;
 * 3. deferred calls run once and in the right order;
 * 4. the statistics agree with the blocks.
 *
 * Level 0 is the arena; level n + 1 is the arena of the scope that was begun on level n. All levels
 * may allocate at any time. Marks are taken and scopes are begun on the top level only. */
#include "support.h"

#define MAX_LIVE 120
#define MAX_LEVEL 4
#define MAX_MARKS 4
#define MAX_DEFERRED 64
#define MAX_SIZE 3000

typedef struct allocation {
    unsigned char *memory;
    size_t size_bytes;
    size_t align_bytes;
    size_t level;
    /* The time when it was made or last moved. Marks and scopes compare with it. */
    size_t time;
    unsigned char fill;
} allocation;

typedef struct mark_record {
    aegis_arena_mark mark;
    size_t time;
    size_t used_bytes;
} mark_record;

typedef struct deferred_record {
    size_t level;
    size_t time;
    size_t number;
} deferred_record;

static struct model {
    aegis_arena arena;
    aegis_arena_scope scopes[MAX_LEVEL];
    size_t top;
    allocation live[MAX_LIVE];
    size_t live_count;
    mark_record marks[MAX_LEVEL + 1][MAX_MARKS];
    size_t mark_count[MAX_LEVEL + 1];
    deferred_record deferred[MAX_DEFERRED];
    size_t deferred_count;
    size_t time;
    uint64_t random;
} model;

static test_source state;
static size_t numbers[MAX_DEFERRED];
static size_t ran[MAX_DEFERRED];
static size_t ran_count;

static void record_run(void *context) {
    if (ran_count < MAX_DEFERRED)
        ran[ran_count] = *(size_t *)context;
    ran_count++;
}

static aegis_arena *at_level(size_t level) {
    return level == 0 ? &model.arena : &model.scopes[level - 1].arena;
}

static size_t below(size_t bound) {
    return random_below(&model.random, bound);
}

static void check_content(const allocation *a) {
    CHECK(is_filled(a->memory, a->fill, a->size_bytes));
}

static void check_apart(const allocation *a) {
    for (size_t i = 0; i < model.live_count; i++) {
        const allocation *b = &model.live[i];
        if (a != b && a->size_bytes != 0 && b->size_bytes != 0)
            CHECK((uintptr_t)a->memory + a->size_bytes <= (uintptr_t)b->memory ||
                  (uintptr_t)b->memory + b->size_bytes <= (uintptr_t)a->memory);
    }
}

/* Gives the allocation new content and demands that it lies where it may lie. */
static void settle(allocation *a) {
    a->time = ++model.time;
    a->fill = (unsigned char)(1 + below(255));
    CHECK(a->memory != NULL && is_aligned(a->memory, a->align_bytes));
    if (a->size_bytes != 0)
        memset(a->memory, a->fill, a->size_bytes);
    check_apart(a);
}

/* Removes from the list what was allocated after `time` at `level` or a higher level. */
static void drop(size_t level, size_t time) {
    for (size_t i = model.live_count; i-- > 0;) {
        if (model.live[i].level < level || model.live[i].time <= time)
            continue;
        check_content(&model.live[i]);
        model.live[i] = model.live[--model.live_count];
    }
}

/* Demands that exactly the deferred calls of `level` that were registered after `time` have run,
 * the newest first. */
static void check_ran(size_t level, size_t time) {
    size_t seen = 0;
    for (size_t i = model.deferred_count; i-- > 0;) {
        if (model.deferred[i].level != level || model.deferred[i].time <= time)
            continue;
        CHECK(seen < ran_count && ran[seen] == model.deferred[i].number);
        seen++;
        memmove(&model.deferred[i], &model.deferred[i + 1],
                (--model.deferred_count - i) * sizeof model.deferred[0]);
    }
    CHECK_SIZE(ran_count, seen);
    ran_count = 0;
}

static void do_alloc(void) {
    if (model.live_count == MAX_LIVE)
        return;
    allocation a = {NULL, 0, AEGIS_ARENA_ALIGN, 0, 0, 0};
    a.level = below(4) == 0 ? below(model.top + 1) : model.top;
    a.size_bytes = below(8) == 0   ? below(MAX_SIZE * 4)
                   : below(4) == 0 ? below(MAX_SIZE)
                                   : below(99);
    aegis_arena *arena = at_level(a.level);
    switch (below(4)) {
    case 0:
        a.memory = (unsigned char *)aegis_arena_alloc_zeroed(arena, a.size_bytes);
        CHECK(is_filled(a.memory, 0, a.size_bytes));
        break;
    case 1:
        a.align_bytes = (size_t)1 << below(10);
        a.memory = (unsigned char *)aegis_arena_alloc_aligned(arena, a.size_bytes, a.align_bytes);
        break;
    case 2:
        a.align_bytes = (size_t)8 << below(7);
        a.memory =
            (unsigned char *)aegis_arena_alloc_slow(arena, a.size_bytes, a.align_bytes, true);
        CHECK(is_filled(a.memory, 0, a.size_bytes));
        break;
    default:
        a.memory = (unsigned char *)aegis_arena_alloc(arena, a.size_bytes);
    }
    model.live[model.live_count] = a;
    settle(&model.live[model.live_count++]);
}

/* Half of the time the latest allocation of the list, which can be resized and freed in place. */
static allocation *pick(void) {
    if (model.live_count == 0)
        return NULL;
    return &model.live[below(2) == 0 ? model.live_count - 1 : below(model.live_count)];
}

static void do_realloc(void) {
    allocation *a = pick();
    if (a == NULL)
        return;
    check_content(a);
    size_t size_bytes = below(3) == 0 ? below(a->size_bytes + 1) : below(MAX_SIZE);
    unsigned char *moved = (unsigned char *)aegis_arena_realloc_aligned(
        at_level(a->level), a->memory, a->size_bytes, size_bytes, a->align_bytes);
    CHECK(size_bytes > a->size_bytes || moved == a->memory);
    a->memory = moved;
    if (size_bytes < a->size_bytes)
        a->size_bytes = size_bytes;
    check_content(a);
    a->size_bytes = size_bytes;
    settle(a);
}

static void do_free_last(void) {
    allocation *a = pick();
    if (a == NULL)
        return;
    check_content(a);
    aegis_arena_free_last(at_level(a->level), a->memory, a->size_bytes);
    *a = model.live[--model.live_count];
}

static void do_defer(void) {
    if (model.deferred_count == MAX_DEFERRED)
        return;
    deferred_record record = {below(model.top + 1), ++model.time, model.time % MAX_DEFERRED};
    numbers[record.number] = record.number;
    model.deferred[model.deferred_count++] = record;
    CHECK(aegis_arena_defer(at_level(record.level), record_run, &numbers[record.number]) ==
          AEGIS_OK);
}

static void do_mark(void) {
    if (model.mark_count[model.top] == MAX_MARKS)
        return;
    mark_record record;
    record.mark = aegis_arena_get_mark(at_level(model.top));
    record.time = model.time;
    record.used_bytes = stats_of(at_level(model.top)).used_bytes;
    model.marks[model.top][model.mark_count[model.top]++] = record;
}

static void do_rewind(void) {
    size_t count = model.mark_count[model.top];
    if (count == 0)
        return;
    size_t i = below(count);
    const mark_record *record = &model.marks[model.top][i];
    drop(model.top, record->time);
    CHECK(aegis_arena_rewind(at_level(model.top), &record->mark) == AEGIS_OK);
    size_t used_bytes = stats_of(at_level(model.top)).used_bytes;
    /* The guard of an older allocation, freed since, counts as used memory once the allocation is
     * gone. */
    if ((at_level(model.top)->flags & AEGIS_ARENA_GUARD) != 0)
        CHECK(used_bytes >= record->used_bytes);
    else
        CHECK_SIZE(used_bytes, record->used_bytes);
    check_ran(model.top, record->time);
    /* The mark that was used stays good. */
    model.mark_count[model.top] = i + 1;
}

static void do_scope_begin(void) {
    if (model.top == MAX_LEVEL)
        return;
    aegis_arena_scope_begin(at_level(model.top), &model.scopes[model.top]);
    model.mark_count[++model.top] = 0;
}

static void do_scope_end(void) {
    if (model.top == 0)
        return;
    drop(model.top, 0);
    size_t level = model.top--;
    aegis_arena_scope_end(at_level(model.top), &model.scopes[model.top]);
    check_ran(level, 0);
}

static void do_reset(void) {
    while (model.top != 0)
        do_scope_end();
    drop(0, 0);
    if (below(4) == 0)
        aegis_arena_clear(&model.arena);
    else
        aegis_arena_reset(&model.arena);
    check_ran(0, 0);
    model.mark_count[0] = 0;
    CHECK_SIZE(stats_of(&model.arena).used_bytes, 0);
}

static void do_trim(void) {
    aegis_arena *arena = at_level(model.top);
    size_t keep_bytes = below(100000);
    if (stats_of(arena).used_bytes == 0)
        model.mark_count[model.top] = 0;
    aegis_arena_trim(arena, keep_bytes);
}

static void step(void) {
    size_t dice = below(100);
    if (dice < 50)
        do_alloc();
    else if (dice < 68)
        do_realloc();
    else if (dice < 75)
        do_free_last();
    else if (dice < 79)
        do_defer();
    else if (dice < 84)
        do_mark();
    else if (dice < 88)
        do_rewind();
    else if (dice < 92)
        do_scope_begin();
    else if (dice < 97)
        do_scope_end();
    else if (dice < 98)
        do_reset();
    else
        do_trim();
}

/* The flags of the following runs. */
static uint32_t flags;

static void run(uint64_t seed, bool zeroing, size_t capacity_bytes, size_t max_block_bytes) {
    memset(&model, 0, sizeof model);
    model.random = seed;
    aegis_source source = test_source_get(&state, zeroing);
    aegis_arena_options options = test_options(capacity_bytes, max_block_bytes, &source, NULL, 0);
    options.flags = flags;
    CHECK(aegis_arena_init(&model.arena, &options) == AEGIS_OK);
    for (size_t i = 0; i < 5000 && check_failures == 0; i++) {
        step();
        for (size_t level = 0; level <= model.top && i % 8 == 0; level++)
            check_figures(at_level(level));
        if (check_failures != 0)
            fprintf(stderr, "seed %u, step %zu\n", (unsigned)seed, i);
    }
    do_reset();
    aegis_arena_fini(&model.arena);
    test_source_check_done(&state);
}

static void random_calls_over_a_zeroing_source_match_the_model(void) {
    for (uint64_t seed = 1; seed <= 6; seed++)
        run(seed, true, 0, 0);
}

static void random_calls_over_a_dirty_source_match_the_model(void) {
    for (uint64_t seed = 11; seed <= 16; seed++)
        run(seed, false, 1, 4096);
}

static void random_calls_in_tiny_blocks_match_the_model(void) {
    for (uint64_t seed = 21; seed <= 24; seed++)
        run(seed, true, 0, 1);
}

static void random_calls_in_one_large_block_match_the_model(void) {
    for (uint64_t seed = 31; seed <= 34; seed++)
        run(seed, true, (size_t)1 << 20, 0);
}

static void random_calls_with_every_flag_match_the_model(void) {
    static const uint32_t each[] = {AEGIS_ARENA_WIPE,
                                    AEGIS_ARENA_FILL,
                                    AEGIS_ARENA_GUARD,
                                    AEGIS_ARENA_OWN_BLOCKS,
                                    AEGIS_ARENA_NO_DEBUG,
                                    AEGIS_ARENA_GUARD | AEGIS_ARENA_WIPE,
                                    AEGIS_ARENA_FILL | AEGIS_ARENA_OWN_BLOCKS};
    for (size_t i = 0; i < sizeof each / sizeof each[0]; i++) {
        flags = each[i];
        run(41 + i, true, 0, 0);
        run(61 + i, false, 1000, 4096);
    }
    flags = 0;
}

/* Lawful use must report nothing, whatever the flags. */
static void fail_on_report(const char *message) {
    check_report(__FILE__, __LINE__, message);
}

int main(void) {
    (void)aegis_set_report(fail_on_report);
    RUN(random_calls_over_a_zeroing_source_match_the_model);
    RUN(random_calls_over_a_dirty_source_match_the_model);
    RUN(random_calls_in_tiny_blocks_match_the_model);
    RUN(random_calls_in_one_large_block_match_the_model);
    RUN(random_calls_with_every_flag_match_the_model);
    return check_finish();
}
