/* SPDX-License-Identifier: Apache-2.0 */
/* Tests the reports of guards, word for word. Each overrun happens in a child process, and its
 * report must name the arena, the allocation and its size. Lawful use of the same calls, at random
 * too, must report nothing. */
#include "arena_debug_support.h"
#include "report_support.h"

static void overrun_and_reset(void) {
    aegis_arena arena = new_arena(AEGIS_ARENA_GUARD);
    take(&arena, 100);
    poke(take(&arena, 24), 24);
    take(&arena, 100);
    aegis_arena_reset(&arena);
    aegis_arena_fini(&arena);
}

static void overrun_of_padding_and_fini(void) {
    aegis_arena arena = new_arena(AEGIS_ARENA_GUARD);
    poke(take(&arena, 13), 13);
    aegis_arena_fini(&arena);
}

static void overrun_by_sixteen_and_fini(void) {
    aegis_arena arena = new_arena(AEGIS_ARENA_GUARD);
    memset(take(&arena, 16), 0x77, 32);
    aegis_arena_fini(&arena);
}

static void overrun_by_more_and_fini(void) {
    aegis_arena arena = new_arena(AEGIS_ARENA_GUARD);
    take(&arena, 8);
    memset(take(&arena, 16), 0x77, 48);
    aegis_arena_fini(&arena);
}

static void stray_write_into_a_guard(void) {
    aegis_arena arena = new_arena(AEGIS_ARENA_GUARD);
    take(&arena, 8);
    unsigned char *p = take(&arena, 16);
    poke(p, 16 + 18); /* the link to the guard before, not a byte of the pattern */
    aegis_arena_fini(&arena);
}

static void overrun_and_rewind(void) {
    aegis_arena arena = new_arena(AEGIS_ARENA_GUARD);
    unsigned char *before = take(&arena, 8);
    aegis_arena_mark mark = aegis_arena_get_mark(&arena);
    poke(take(&arena, 40), 40);
    poke(before, 8);
    CHECK(aegis_arena_rewind(&arena, &mark) == AEGIS_OK);
    send_report("rewound");
    aegis_arena_fini(&arena);
}

static void overrun_in_a_large_block(void) {
    aegis_arena arena = new_arena(AEGIS_ARENA_GUARD);
    take(&arena, 100);
    poke(take(&arena, 100000), 100000);
    aegis_arena_reset(&arena);
    aegis_arena_fini(&arena);
}

static void overrun_and_free_last(void) {
    aegis_arena arena = new_arena(AEGIS_ARENA_GUARD);
    unsigned char *p = take(&arena, 40);
    poke(p, 41);
    aegis_arena_free_last(&arena, p, 40);
    send_report("freed");
    aegis_arena_fini(&arena);
}

static void overrun_and_grow(void) {
    aegis_arena arena = new_arena(AEGIS_ARENA_GUARD);
    unsigned char *p = take(&arena, 40);
    poke(p, 40);
    p = (unsigned char *)aegis_arena_realloc(&arena, p, 40, 60);
    send_report("grown");
    poke(p, 60);
    aegis_arena_fini(&arena);
}

static void overrun_of_both_sides_of_a_scope(void) {
    aegis_arena arena = new_arena(AEGIS_ARENA_GUARD);
    aegis_arena_scope scope;
    take(&arena, 8);
    aegis_arena_scope_begin(&arena, &scope);
    poke(take(&scope.arena, 30), 30);
    poke(take(&arena, 50), 50);
    aegis_arena_scope_end(&arena, &scope);
    send_report("scope ended");
    aegis_arena_fini(&arena);
}

static void broken_chain_at_the_end_of_a_scope(void) {
    aegis_arena arena = new_arena(AEGIS_ARENA_GUARD);
    aegis_arena_scope scope;
    take(&arena, 8);
    aegis_arena_scope_begin(&arena, &scope);
    take(&arena, 50);
    memset(take(&arena, 16), 0x77, 48);
    aegis_arena_scope_end(&arena, &scope);
    send_report("scope ended");
    aegis_arena_fini(&arena);
}

static void overrun_without_flags(void) {
    aegis_arena arena = new_arena(0);
    poke(take(&arena, 24), 24);
    aegis_arena_reset(&arena);
    aegis_arena_fini(&arena);
}

static void overrun_without_debug(void) {
    aegis_arena arena = new_arena(AEGIS_ARENA_NO_DEBUG);
    poke(take(&arena, 24), 24);
    aegis_arena_reset(&arena);
    aegis_arena_fini(&arena);
}

static void overrun_is_reported_with_the_allocation(void) {
    EXPECT(overrun_and_reset, "arena 'victim': allocation 2, of 24 bytes, was overrun\n");
    EXPECT(overrun_of_padding_and_fini, "arena 'victim': allocation 1, of 13 bytes, was overrun\n");
    EXPECT(overrun_by_sixteen_and_fini, "arena 'victim': allocation 1, of 16 bytes, was overrun\n");
    EXPECT(overrun_by_more_and_fini,
           "arena 'victim': an allocation was overrun by 16 bytes or more\n");
    EXPECT(stray_write_into_a_guard,
           "arena 'victim': an allocation was overrun by 16 bytes or more\n");
    EXPECT(overrun_and_rewind, "arena 'victim': allocation 2, of 40 bytes, was overrun\n"
                               "rewound\n"
                               "arena 'victim': allocation 1, of 8 bytes, was overrun\n");
    EXPECT(overrun_in_a_large_block,
           "arena 'victim': allocation 2, of 100000 bytes, was overrun\n");
    EXPECT(overrun_and_free_last, "arena 'victim': allocation 1, of 40 bytes, was overrun\n"
                                  "freed\n");
    EXPECT(overrun_and_grow, "arena 'victim': allocation 1, of 40 bytes, was overrun\n"
                             "grown\n"
                             "arena 'victim': allocation 2, of 60 bytes, was overrun\n");
}

static void overrun_around_a_scope_is_reported_on_each_side(void) {
    EXPECT(overrun_of_both_sides_of_a_scope,
           "arena 'victim': allocation 2, of 30 bytes, was overrun\n"
           "scope ended\n"
           "arena 'victim': allocation 2, of 50 bytes, was overrun\n");
    EXPECT(broken_chain_at_the_end_of_a_scope,
           "arena 'victim': an allocation was overrun by 16 bytes or more\n"
           "scope ended\n");
}

static void guards_are_on_in_debug_builds_only_unless_asked_for(void) {
    if (is_debug())
        EXPECT(overrun_without_flags, "arena 'victim': allocation 1, of 24 bytes, was overrun\n");
    else
        EXPECT(overrun_without_flags, "");
    EXPECT(overrun_without_debug, "");
}

/* Frees the latest allocation of the current block while a newer allocation has a block of its own,
 * and then uses the freed place again. */
static void free_last_behind_a_newer_block(void) {
    aegis_arena arena = new_arena(AEGIS_ARENA_GUARD);
    take(&arena, 8);
    unsigned char *p = take(&arena, 40);
    take(&arena, 100000);
    CHECK(arena.block == arena.first);
    aegis_arena_free_last(&arena, p, 40);
    CHECK(take(&arena, 40) == p);
    aegis_arena_reset(&arena);
    CHECK_SIZE(arena.guards_bytes, 0);
    aegis_arena_fini(&arena);
}

static void realloc_behind_a_newer_block(void) {
    aegis_arena arena = new_arena(AEGIS_ARENA_GUARD);
    unsigned char *p = take(&arena, 40);
    take(&arena, 100000);
    CHECK(arena.block == arena.first);
    CHECK(aegis_arena_realloc(&arena, p, 40, 39) == p);
    CHECK(aegis_arena_realloc(&arena, p, 39, 140) == p);
    memset(p, 0x22, 140);
    aegis_arena_fini(&arena);
}

static void free_last_below_a_mark(void) {
    aegis_arena arena = new_arena(AEGIS_ARENA_GUARD);
    take(&arena, 8);
    unsigned char *p = take(&arena, 40);
    aegis_arena_mark mark = aegis_arena_get_mark(&arena);
    aegis_arena_free_last(&arena, p, 40);
    take(&arena, 300);
    CHECK(aegis_arena_rewind(&arena, &mark) == AEGIS_OK);
    memset(take(&arena, 500), 0x33, 500);
    aegis_arena_reset(&arena);
    aegis_arena_fini(&arena);
}

typedef struct piece {
    unsigned char *p;
    size_t size_bytes;
} piece;

/* Random lawful calls. Each allocation is used up to its last byte. Only the latest allocation is
 * freed, so that marks stay good. */
static void lawful_calls(uint64_t seed, uint32_t flags) {
    aegis_arena arena = new_arena(flags);
    piece pieces[64];
    aegis_arena_mark marks[65];
    size_t count = 0;
    for (size_t step = 0; step < 400; step++) {
        size_t choice = random_below(&seed, 16);
        size_t size_bytes = random_below(&seed, random_below(&seed, 12) == 0 ? 9000 : 90);
        if (choice < 8 && count < 64) {
            marks[count] = aegis_arena_get_mark(&arena);
            pieces[count].p = take(&arena, size_bytes);
            pieces[count++].size_bytes = size_bytes;
        } else if (choice < 11 && count > 0) {
            piece *last = &pieces[count - 1];
            last->p =
                (unsigned char *)aegis_arena_realloc(&arena, last->p, last->size_bytes, size_bytes);
            last->size_bytes = size_bytes;
            memset(last->p, 0x44, size_bytes);
        } else if (choice < 13 && count > 0) {
            count--;
            aegis_arena_free_last(&arena, pieces[count].p, pieces[count].size_bytes);
        } else if (choice < 14 && count > 0) {
            count = random_below(&seed, count);
            CHECK(aegis_arena_rewind(&arena, &marks[count]) == AEGIS_OK);
        } else if (choice < 15) {
            aegis_arena_scope scope;
            aegis_arena_scope_begin(&arena, &scope);
            take(&scope.arena, size_bytes);
            take(&scope.arena, 10);
            aegis_arena_scope_end(&arena, &scope);
        } else if (random_below(&seed, 4) == 0) {
            aegis_arena_reset(&arena);
            aegis_arena_trim(&arena, random_below(&seed, 4000));
            count = 0;
        }
        aegis_arena_stats stats;
        aegis_arena_get_stats(&arena, &stats);
        CHECK(stats.used_bytes <= stats.capacity_bytes);
    }
    aegis_arena_fini(&arena);
}

static void many_lawful_calls(void) {
    static const uint32_t flags[] = {AEGIS_ARENA_GUARD, AEGIS_ARENA_GUARD | AEGIS_ARENA_WIPE,
                                     AEGIS_ARENA_GUARD | AEGIS_ARENA_OWN_BLOCKS,
                                     AEGIS_ARENA_NO_DEBUG | AEGIS_ARENA_WIPE};
    int before = check_failures;
    for (uint64_t seed = 1; seed <= 60; seed++)
        lawful_calls(seed * 977, flags[seed % 4]);
    send_report(check_failures == before ? "all well" : "failed");
}

static void lawful_use_is_not_reported(void) {
    EXPECT(free_last_behind_a_newer_block, "");
    EXPECT(realloc_behind_a_newer_block, "");
    EXPECT(free_last_below_a_mark, "");
    EXPECT(many_lawful_calls, "all well\n");
}

static void print_a_report(void) {
    (void)aegis_set_report(aegis_set_report(NULL)); /* returns the function that was set */
    aegis_arena arena = new_arena(AEGIS_ARENA_GUARD);
    poke(take(&arena, 24), 24);
    (void)aegis_set_report(NULL);
    aegis_arena_fini(&arena);
}

static void null_silences_reports(void) {
    EXPECT(print_a_report, "");
}

int main(void) {
    if (!TEST_CHECKED) {
        RUN(overrun_is_reported_with_the_allocation);
        RUN(overrun_around_a_scope_is_reported_on_each_side);
        RUN(guards_are_on_in_debug_builds_only_unless_asked_for);
        RUN(null_silences_reports);
    }
    RUN(lawful_use_is_not_reported);
    return check_finish();
}
