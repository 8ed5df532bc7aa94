/* SPDX-License-Identifier: Apache-2.0 */
/* Tests the inlined part of aegis_arena_reset against aegis_arena_reset_slow. Two arenas get the
 * same random calls, one is reset by the one function and one by the other. After each call both
 * must have the same statistics, the same room, and the same bytes that are known to be zero; the
 * same marks must be good, and the same functions have run. */
#include "support.h"

#define MARKS 8

/* One of the two arenas, and what belongs to it. */
typedef struct side {
    test_source source;
    aegis_arena arena;
    aegis_arena_scope scope;
    bool in_scope;
    aegis_arena_mark marks[MARKS];
    size_t run_count;
} side;

static side sides[2];
static uint64_t seed;

static size_t below(size_t bound) {
    return random_below(&seed, bound);
}

static void count_run(void *context) {
    ++*(size_t *)context;
}

static aegis_arena *arena_of(side *it, bool inner) {
    return inner && it->in_scope ? &it->scope.arena : &it->arena;
}

static void check_same(bool inner) {
    const aegis_arena *a = arena_of(&sides[0], inner), *b = arena_of(&sides[1], inner);
    aegis_arena_stats first = stats_of(a), second = stats_of(b);
    CHECK(memcmp(&first, &second, sizeof first) == 0);
    CHECK_SIZE((size_t)(a->limit - a->ptr), (size_t)(b->limit - b->ptr));
    CHECK(a->dirty_end - a->ptr == b->dirty_end - b->ptr);
    CHECK_SIZE(sides[0].run_count, sides[1].run_count);
    /* An outer arena may release blocks that its scope has acquired. */
    if (!sides[0].in_scope)
        check_figures(a);
}

/* Makes the same allocation on both sides, and dirties it. */
static void allocate(bool inner, size_t size_bytes, bool zeroed) {
    for (size_t i = 0; i < 2; i++) {
        aegis_arena *arena = arena_of(&sides[i], inner);
        void *p = zeroed ? aegis_arena_alloc_zeroed(arena, size_bytes)
                         : aegis_arena_alloc(arena, size_bytes);
        CHECK(p != NULL && (!zeroed || is_filled(p, 0, size_bytes)));
        memset(p, 0x5C, size_bytes);
    }
}

static void take_mark(bool inner, size_t which) {
    for (size_t i = 0; i < 2; i++)
        sides[i].marks[which] = aegis_arena_get_mark(arena_of(&sides[i], inner));
}

static void rewind_to(bool inner, size_t which) {
    aegis_status statuses[2];
    for (size_t i = 0; i < 2; i++)
        statuses[i] = aegis_arena_rewind(arena_of(&sides[i], inner), &sides[i].marks[which]);
    CHECK(statuses[0] == statuses[1]);
}

static void turn_scope(void) {
    for (size_t i = 0; i < 2; i++) {
        side *it = &sides[i];
        if (it->in_scope)
            aegis_arena_scope_end(&it->arena, &it->scope);
        else
            aegis_arena_scope_begin(&it->arena, &it->scope);
        it->in_scope = !it->in_scope;
    }
}

/* Resets both sides, each in its own way. */
static void reset(bool inner) {
    aegis_arena_reset(arena_of(&sides[0], inner));
    aegis_arena_reset_slow(arena_of(&sides[1], inner));
}

static void step(bool inner) {
    switch (below(16)) {
    case 0:
    case 1:
    case 2:
        reset(inner);
        break;
    case 3:
        take_mark(inner, below(MARKS));
        break;
    case 4:
    case 5:
        rewind_to(inner, below(MARKS));
        break;
    case 6:
        for (size_t i = 0; i < 2; i++)
            CHECK(aegis_arena_defer(arena_of(&sides[i], inner), count_run, &sides[i].run_count) ==
                  AEGIS_OK);
        break;
    case 7:
        turn_scope();
        break;
    case 8: {
        size_t keep_bytes = below(20000);
        for (size_t i = 0; i < 2; i++)
            aegis_arena_trim(arena_of(&sides[i], inner), keep_bytes);
        break;
    }
    default:
        allocate(inner, below(below(8) == 0 ? 5000 : 200), below(2) == 0);
    }
}

static void both_resets_leave_the_same(void) {
    static const uint32_t flag_sets[] = {0, AEGIS_ARENA_WIPE, AEGIS_ARENA_FILL, AEGIS_ARENA_GUARD,
                                         AEGIS_ARENA_OWN_BLOCKS};
    for (size_t set = 0; set < 2 * sizeof flag_sets / sizeof flag_sets[0]; set++) {
        size_t short_count = 0;
        seed = set + 1;
        memset(sides, 0, sizeof sides);
        for (size_t i = 0; i < 2; i++) {
            aegis_source source = test_source_get(&sides[i].source, set % 2 == 0);
            aegis_arena_options options = test_options(set < 4 ? 1000 : 0, 8192, &source, NULL, 0);
            options.flags = flag_sets[set / 2];
            CHECK(aegis_arena_init(&sides[i].arena, &options) == AEGIS_OK);
        }
        for (size_t which = 0; which < MARKS; which++)
            take_mark(false, which);
        allocate(false, 8, true);
        bool is_plain = flag_sets[set / 2] == 0 && !is_watched(&sides[0].arena);
        for (size_t round = 0; round < scaled(20000); round++) {
            bool inner = below(2) == 0;
            short_count += arena_of(&sides[0], inner)->home != NULL;
            step(inner);
            check_same(false);
            check_same(true);
        }
        /* An arena with a flag, or under a checker, always has more to do. */
        CHECK((short_count != 0) == is_plain);
        if (sides[0].in_scope)
            turn_scope();
        for (size_t i = 0; i < 2; i++) {
            aegis_arena_fini(&sides[i].arena);
            test_source_check_done(&sides[i].source);
        }
    }
}

int main(void) {
    RUN(both_resets_leave_the_same);
    return check_finish();
}
