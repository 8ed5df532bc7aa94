/* SPDX-License-Identifier: Apache-2.0 */
/* Tests which marks an arena accepts. An arena must accept every good mark and refuse every stale
 * one, whatever scopes, resets and rewinds lie between. A refusal must change nothing. The last
 * test makes random calls and compares the answers with a model that knows the state of each
 * mark. */
#include "support.h"

static aegis_arena new_arena(void) {
    aegis_arena arena;
    aegis_arena_options options = test_options(1024, 0, NULL, NULL, 0);
    CHECK(aegis_arena_init(&arena, &options) == AEGIS_OK);
    return arena;
}

/* Demands that the arena refuses the mark and that this changes nothing. */
static void check_stale(aegis_arena *arena, const aegis_arena_mark *mark) {
    aegis_arena before;
    memcpy(&before, arena, sizeof before);
    CHECK(aegis_arena_rewind(arena, mark) == AEGIS_E_INVALID);
    CHECK(memcmp(&before, arena, sizeof before) == 0);
}

static void mark_of_an_ended_scope_is_stale_in_every_later_one(void) {
    aegis_arena arena = new_arena();
    aegis_arena_scope scope;
    aegis_arena_mark outer[20], inner[20];
    for (int i = 0; i < 20; i++) {
        aegis_arena_scope_begin(&arena, &scope);
        for (int j = 0; j < i; j++) {
            check_stale(&arena, &outer[j]);
            check_stale(&arena, &inner[j]);
            check_stale(&scope.arena, &outer[j]);
            check_stale(&scope.arena, &inner[j]);
        }
        outer[i] = aegis_arena_get_mark(&arena);
        inner[i] = aegis_arena_get_mark(&scope.arena);
        check_stale(&arena, &inner[i]);
        check_stale(&scope.arena, &outer[i]);
        CHECK(aegis_arena_rewind(&arena, &outer[i]) == AEGIS_OK);
        CHECK(aegis_arena_rewind(&scope.arena, &inner[i]) == AEGIS_OK);
        /* A generation that the scope skips must not be used again after the scope. */
        if (i % 3 == 1)
            aegis_arena_reset(&scope.arena);
        if (i % 3 == 2)
            aegis_arena_trim(&arena, 0);
        aegis_arena_scope_end(&arena, &scope);
        check_stale(&arena, &outer[i]);
        check_stale(&arena, &inner[i]);
    }
    aegis_arena_fini(&arena);
}

static void mark_from_before_a_scope_is_good_again_after_it_only(void) {
    aegis_arena arena = new_arena();
    (void)aegis_arena_alloc(&arena, 100);
    aegis_arena_mark before = aegis_arena_get_mark(&arena);
    size_t used_bytes = stats_of(&arena).used_bytes;
    aegis_arena_scope scope, nested, second;
    aegis_arena_scope_begin(&arena, &scope);
    aegis_arena_scope_begin(&scope.arena, &nested);
    aegis_arena_scope_begin(&arena, &second);
    check_stale(&arena, &before);
    check_stale(&scope.arena, &before);
    check_stale(&nested.arena, &before);
    check_stale(&second.arena, &before);
    aegis_arena_scope_end(&arena, &second);
    aegis_arena_scope_end(&scope.arena, &nested);
    check_stale(&scope.arena, &before);
    aegis_arena_scope_end(&arena, &scope);
    CHECK(aegis_arena_rewind(&arena, &before) == AEGIS_OK);
    CHECK_SIZE(stats_of(&arena).used_bytes, used_bytes);
    aegis_arena_fini(&arena);
}

static void mark_from_before_a_scope_is_stale_after_a_reset_during_it(void) {
    aegis_arena arena = new_arena();
    (void)aegis_arena_alloc(&arena, 100);
    aegis_arena_mark before = aegis_arena_get_mark(&arena);
    aegis_arena_scope first, second;
    aegis_arena_scope_begin(&arena, &first);
    aegis_arena_mark during = aegis_arena_get_mark(&arena);
    aegis_arena_scope_begin(&arena, &second);
    aegis_arena_reset(&arena);
    aegis_arena_scope_end(&arena, &second);
    check_stale(&arena, &during);
    aegis_arena_scope_end(&arena, &first);
    check_stale(&arena, &before);
    aegis_arena_scope_begin(&arena, &first);
    aegis_arena_mark mark = aegis_arena_get_mark(&first.arena);
    CHECK(aegis_arena_rewind(&first.arena, &mark) == AEGIS_OK);
    aegis_arena_scope_end(&arena, &first);
    aegis_arena_fini(&arena);
}

static void rewind_to_an_earlier_mark_makes_the_later_ones_stale(void) {
    aegis_arena arena = new_arena();
    aegis_arena_mark marks[6];
    for (int i = 0; i < 6; i++) {
        marks[i] = aegis_arena_get_mark(&arena);
        (void)aegis_arena_alloc(&arena, 3000);
    }
    CHECK(aegis_arena_rewind(&arena, &marks[3]) == AEGIS_OK);
    check_stale(&arena, &marks[4]);
    check_stale(&arena, &marks[5]);
    aegis_arena_mark later = aegis_arena_get_mark(&arena);
    (void)aegis_arena_alloc(&arena, 3000);
    CHECK(aegis_arena_rewind(&arena, &later) == AEGIS_OK);
    CHECK(aegis_arena_rewind(&arena, &marks[3]) == AEGIS_OK);
    check_stale(&arena, &later);
    CHECK(aegis_arena_rewind(&arena, &marks[0]) == AEGIS_OK);
    /* The trim may give back the blocks of stale marks, because no rewind can lead to them. */
    aegis_arena_trim(&arena, 0);
    for (int i = 0; i < 6; i++)
        check_stale(&arena, &marks[i]);
    aegis_arena_fini(&arena);
}

static void marks_that_a_scope_suspends_stay_stale_if_they_were(void) {
    aegis_arena arena = new_arena();
    aegis_arena_mark first = aegis_arena_get_mark(&arena);
    aegis_arena_mark later = aegis_arena_get_mark(&arena);
    CHECK(aegis_arena_rewind(&arena, &first) == AEGIS_OK);
    aegis_arena_scope scope;
    aegis_arena_scope_begin(&arena, &scope);
    aegis_arena_mark inner = aegis_arena_get_mark(&scope.arena);
    (void)aegis_arena_get_mark(&scope.arena);
    CHECK(aegis_arena_rewind(&scope.arena, &inner) == AEGIS_OK);
    aegis_arena_reset(&scope.arena);
    aegis_arena_scope_end(&arena, &scope);
    check_stale(&arena, &later);
    CHECK(aegis_arena_rewind(&arena, &first) == AEGIS_OK);
    aegis_arena_fini(&arena);
}

static void good_marks_stay_good_however_many_have_stale_ones_behind_them(void) {
    aegis_arena arena = new_arena();
    enum { COUNT = 4 * AEGIS_ARENA_STALE_SPANS };
    aegis_arena_mark good[COUNT], stale[COUNT];
    size_t used_bytes[COUNT];
    for (int i = 0; i < COUNT; i++) {
        used_bytes[i] = stats_of(&arena).used_bytes;
        good[i] = aegis_arena_get_mark(&arena);
        (void)aegis_arena_alloc(&arena, 64);
        stale[i] = aegis_arena_get_mark(&arena);
        CHECK(aegis_arena_rewind(&arena, &good[i]) == AEGIS_OK);
        (void)aegis_arena_alloc(&arena, 64);
    }
    for (int i = 0; i < COUNT; i++)
        check_stale(&arena, &stale[i]);
    for (int i = COUNT; i-- > 0;) {
        CHECK(aegis_arena_rewind(&arena, &good[i]) == AEGIS_OK);
        /* A span of stale marks that has no room in the struct is kept in the arena's memory. */
        size_t span_bytes = stats_of(&arena).used_bytes - used_bytes[i];
        CHECK(span_bytes <= (i >= AEGIS_ARENA_STALE_SPANS ? 64 : 0));
        for (int j = 0; j < COUNT; j++)
            check_stale(&arena, &stale[j]);
    }
    aegis_arena_fini(&arena);
}

static void marks_without_room_for_what_is_stale_are_refused_rather_than_stale_ones_taken(void) {
    static _Alignas(16) unsigned char memory[1024];
    aegis_arena arena;
    aegis_arena_options options = test_options(0, 0, NULL, memory, sizeof memory);
    CHECK(aegis_arena_init(&arena, &options) == AEGIS_OK);
    /* The memory is full, so there is room for marks but not for spans of stale marks. */
    while (aegis_arena_alloc(&arena, 8) != NULL)
        continue;
    enum { COUNT = 4 * AEGIS_ARENA_STALE_SPANS };
    aegis_arena_mark good[COUNT], stale[COUNT];
    aegis_error before = error_of(&arena);
    for (int i = 0; i < COUNT; i++) {
        good[i] = aegis_arena_get_mark(&arena);
        stale[i] = aegis_arena_get_mark(&arena);
        CHECK(aegis_arena_rewind(&arena, &good[i]) == AEGIS_OK);
        for (int j = 0; j <= i; j++)
            check_stale(&arena, &stale[j]);
    }
    CHECK(error_of(&arena).status == before.status);
    CHECK(aegis_arena_rewind(&arena, &good[COUNT - 2]) == AEGIS_OK);
    CHECK(aegis_arena_rewind(&arena, &good[0]) == AEGIS_OK);
    aegis_arena_fini(&arena);
}

/* With a last span in the arena's memory, and no room for another one behind it. */
static void mark_that_was_rewound_to_stays_good_without_room_for_what_is_stale(void) {
    enum { COUNT = AEGIS_ARENA_STALE_SPANS + 3 };
    for (size_t left_bytes = 0; left_bytes < 160; left_bytes += 8) {
        static _Alignas(16) unsigned char memory[4096];
        aegis_arena arena;
        aegis_arena_options options = test_options(0, 0, NULL, memory, sizeof memory);
        options.flags |= AEGIS_ARENA_NO_DEBUG;
        CHECK(aegis_arena_init(&arena, &options) == AEGIS_OK);
        aegis_arena_mark stale[COUNT];
        for (int i = 0; i < COUNT; i++) {
            if (i == AEGIS_ARENA_STALE_SPANS + 1) {
                size_t rest_bytes = stats_of(&arena).remaining_bytes - arena.guard_bytes;
                CHECK(aegis_arena_alloc(&arena, rest_bytes - left_bytes) != NULL);
            }
            aegis_arena_mark good = aegis_arena_get_mark(&arena);
            stale[i] = aegis_arena_get_mark(&arena);
            CHECK(aegis_arena_rewind(&arena, &good) == AEGIS_OK);
            CHECK(aegis_arena_rewind(&arena, &good) == AEGIS_OK);
            for (int j = 0; j <= i; j++)
                check_stale(&arena, &stale[j]);
            (void)aegis_arena_alloc(&arena, 8);
        }
        aegis_arena_fini(&arena);
    }
}

/* -- random use, compared with a model that knows each mark -- */

#define LEVELS 6
#define MARKS 200

typedef struct model_mark {
    aegis_arena_mark mark;
    /* The level of the mark's arena, and how many scopes were open on it. */
    int level, open_count;
    /* False: the mark is stale for ever. */
    bool alive;
} model_mark;

static struct {
    aegis_arena root;
    aegis_arena_scope scopes[LEVELS];
    int parents[LEVELS];
    int open_counts[LEVELS];
    int count;
    model_mark marks[MARKS];
    int mark_count;
    int rewind_count, refused_count;
} model;

static aegis_arena *arena_at(int level) {
    return level == 0 ? &model.root : &model.scopes[level].arena;
}

static bool is_good(const model_mark *mark, int level) {
    return mark->alive && mark->level == level && mark->open_count == model.open_counts[level];
}

/* Makes stale the marks of a level that were taken while at least `open_count` scopes were open on
 * it. */
static void kill_marks(int level, int open_count, int from) {
    for (int i = from; i < model.mark_count; i++)
        if (model.marks[i].level == level && model.marks[i].open_count >= open_count)
            model.marks[i].alive = false;
}

static int good_count(int level) {
    int count = 0;
    for (int i = 0; i < model.mark_count; i++)
        count += is_good(&model.marks[i], level) ? 1 : 0;
    return count;
}

static void step_mark(uint64_t *seed, int level) {
    if (random_below(seed, 2) == 0) {
        if (model.mark_count == MARKS)
            return;
        model_mark mark = {aegis_arena_get_mark(arena_at(level)), level, model.open_counts[level],
                           true};
        model.marks[model.mark_count++] = mark;
    } else if (model.mark_count != 0) {
        int i = (int)random_below(seed, (size_t)model.mark_count);
        if (!is_good(&model.marks[i], level)) {
            check_stale(arena_at(level), &model.marks[i].mark);
            return;
        }
        model.rewind_count++;
        if (aegis_arena_rewind(arena_at(level), &model.marks[i].mark) == AEGIS_OK) {
            kill_marks(level, model.open_counts[level], i + 1);
        } else {
            /* Seldom: so many marks are good that some span of stale marks has no room. */
            CHECK(good_count(level) > AEGIS_ARENA_STALE_SPANS);
            model.marks[i].alive = false;
            model.refused_count++;
        }
    }
}

static void step_scope(uint64_t *seed, int level) {
    if (random_below(seed, 2) == 0 && model.count < LEVELS) {
        int opened = model.count++;
        model.parents[opened] = level;
        model.open_counts[opened] = 0;
        model.open_counts[level]++;
        aegis_arena_scope_begin(arena_at(level), &model.scopes[opened]);
    } else if (model.count > 1) {
        int ended = --model.count;
        int parent = model.parents[ended];
        aegis_arena_scope_end(arena_at(parent), &model.scopes[ended]);
        kill_marks(ended, 0, 0);
        kill_marks(parent, model.open_counts[parent], 0);
        model.open_counts[parent]--;
    }
}

static void random_marks_are_accepted_just_while_they_are_good(void) {
    int rewind_count = 0, refused_count = 0;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        uint64_t random = seed;
        memset(&model, 0, sizeof model);
        model.root = new_arena();
        model.count = 1;
        for (int step = 0; step < 400; step++) {
            int level = (int)random_below(&random, (size_t)model.count);
            size_t what = random_below(&random, 20);
            if (what < 8) {
                CHECK(aegis_arena_alloc(arena_at(level), random_below(&random, 600)) != NULL);
            } else if (what < 17) {
                step_mark(&random, level);
            } else if (what < 19) {
                step_scope(&random, level);
            } else {
                aegis_arena_reset(arena_at(level));
                kill_marks(level, 0, 0);
            }
        }
        while (model.count > 1)
            step_scope(&random, 0);
        aegis_arena_fini(&model.root);
        rewind_count += model.rewind_count;
        refused_count += model.refused_count;
    }
    CHECK(rewind_count > 1000 && refused_count < rewind_count / 50);
}

int main(void) {
    RUN(mark_of_an_ended_scope_is_stale_in_every_later_one);
    RUN(mark_from_before_a_scope_is_good_again_after_it_only);
    RUN(mark_from_before_a_scope_is_stale_after_a_reset_during_it);
    RUN(rewind_to_an_earlier_mark_makes_the_later_ones_stale);
    RUN(marks_that_a_scope_suspends_stay_stale_if_they_were);
    RUN(good_marks_stay_good_however_many_have_stale_ones_behind_them);
    RUN(marks_without_room_for_what_is_stale_are_refused_rather_than_stale_ones_taken);
    RUN(mark_that_was_rewound_to_stays_good_without_room_for_what_is_stale);
    RUN(random_marks_are_accepted_just_while_they_are_good);
    return check_finish();
}
