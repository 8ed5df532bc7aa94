/* SPDX-License-Identifier: Apache-2.0 */
/* Guards, fill patterns, wiping, own blocks, leak reports. Each crime is committed in a child
 * process, whose reports the test reads; lawful use of the same calls must stay silent. */
#include "aegis_memory.h"
#include "check.h"

#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define TEST_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TEST_ASAN 1
#endif
#endif

/* With a checker compiled in, its own gap replaces the guards. */
#if defined(TEST_ASAN) || defined(AEGIS_VALGRIND)
#define TEST_CHECKED 1
#else
#define TEST_CHECKED 0
#endif

#if defined(AEGIS_VALGRIND)
#include <valgrind/memcheck.h>
#else
#define VALGRIND_DISABLE_ERROR_REPORTING ((void)0)
#define VALGRIND_ENABLE_ERROR_REPORTING ((void)0)
#endif

static bool is_debug(void) {
    return (aegis_build_flags() & AEGIS_BUILD_DEBUG) != 0;
}

static int report_pipe;

static void send_report(const char *message) {
    (void)!write(report_pipe, message, strlen(message));
    (void)!write(report_pipe, "\n", 1);
}

#if defined(AEGIS_VALGRIND)
/* Whether memcheck, which speaks through a channel of its own, objects to the deed. */
static bool is_found_by_memcheck(void (*deed)(void)) {
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        unsigned before = VALGRIND_COUNT_ERRORS;
        deed();
        _exit(VALGRIND_COUNT_ERRORS != before ? 9 : 0);
    }
    int status = 0;
    return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) &&
           WEXITSTATUS(status) == 9;
}
#endif

/* Runs the deed in a child process. Returns all that it reported and printed to stderr. */
static const char *reports_of(void (*deed)(void)) {
    static char words[65536];
    int ends[2];
    if (pipe(ends) != 0)
        return "no pipe";
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        (void)alarm(60); /* a chain that is a ring must not hang the test */
        report_pipe = ends[1];
        (void)dup2(ends[1], STDERR_FILENO);
        (void)aegis_set_report(send_report);
        deed();
        _exit(0);
    }
    (void)close(ends[1]);
    size_t count = 0;
    ssize_t got;
    while ((got = read(ends[0], words + count, sizeof words - 1 - count)) > 0)
        count += (size_t)got;
    words[count] = '\0';
    (void)close(ends[0]);
    (void)waitpid(child, NULL, 0);
    return words;
}

static void expect_reports(void (*deed)(void), const char *expected, int line) {
    const char *words = reports_of(deed);
    if (strcmp(words, expected) == 0)
        return;
    check_report(__FILE__, line, "the reports are as expected");
    fprintf(stderr, "    reported: %s    expected: %s", words, expected);
}

#define EXPECT(deed, expected) expect_reports(deed, expected, __LINE__)

static aegis_arena new_arena(uint32_t flags) {
    aegis_arena arena;
    aegis_arena_options options = {0};
    options.capacity_bytes = 2000;
    options.max_block_bytes = 8000; /* a larger allocation has a block of its own */
    options.name = "victim";
    options.flags = flags;
    CHECK(aegis_arena_init(&arena, &options) == AEGIS_OK);
    return arena;
}

static unsigned char *take(aegis_arena *arena, size_t size_bytes) {
    unsigned char *p = (unsigned char *)aegis_arena_alloc(arena, size_bytes);
    CHECK(p != NULL);
    memset(p, 0x11, size_bytes);
    return p;
}

/* Writes in a way that no compiler looks through. */
static void poke(unsigned char *p, size_t offset) {
    volatile unsigned char *place = p + offset;
    *place = 0x77;
}

/* --- Guards --- */

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
    poke(p, 16 + 18); /* the link to the guard before, and no byte of the pattern */
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

/* The latest allocation of the current block is freed while a newer one, in a block of its own,
 * is there; then its place is used again. */
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

static size_t random_below(uint64_t *state, size_t bound) {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return (size_t)((*state * UINT64_C(2685821657736338717) >> 16) % bound);
}

typedef struct piece {
    unsigned char *p;
    size_t size_bytes;
} piece;

/* Random lawful calls: a piece is used to its last byte, and only the latest is freed, so that
 * marks stay good. */
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

/* --- Fill patterns --- */

static bool is_filled(const unsigned char *p, unsigned char value, size_t size_bytes) {
    for (size_t i = 0; i < size_bytes; i++)
        if (p[i] != value)
            return false;
    return true;
}

/* Looks at memory that is handed out to nobody, which a checker would object to. */
#if defined(__GNUC__)
__attribute__((no_sanitize("address"), noinline))
#endif
static bool
is_filled_unchecked(const volatile unsigned char *p, unsigned char value, size_t size_bytes) {
    bool filled = true;
    VALGRIND_DISABLE_ERROR_REPORTING;
    for (size_t i = 0; i < size_bytes; i++)
        if (p[i] != value)
            filled = false;
    VALGRIND_ENABLE_ERROR_REPORTING;
    return filled;
}

static void fresh_and_freed_memory_have_their_patterns(void) {
    aegis_arena arena = new_arena(AEGIS_ARENA_FILL | AEGIS_ARENA_NO_DEBUG);
#if !defined(AEGIS_VALGRIND) /* to whom the fill is as undefined as the memory */
    CHECK(is_filled((unsigned char *)aegis_arena_alloc(&arena, 50), 0xA5, 50));
    CHECK(is_filled((unsigned char *)aegis_arena_alloc_aligned(&arena, 50, 64), 0xA5, 50));
    unsigned char *grown = take(&arena, 20);
    grown = (unsigned char *)aegis_arena_realloc(&arena, grown, 20, 90);
    CHECK(is_filled(grown, 0x11, 20));
    CHECK(is_filled(grown + 20, 0xA5, 70));
#endif
    CHECK(is_filled((unsigned char *)aegis_arena_alloc_zeroed(&arena, 50), 0, 50));
    unsigned char *large = take(&arena, 50000);
    unsigned char *p = take(&arena, 60);
    (void)aegis_arena_realloc(&arena, p, 60, 20);
    CHECK(is_filled(p, 0x11, 20));
    CHECK(is_filled_unchecked(p + 20, 0xDF, 40));
    aegis_arena_reset(&arena);
    CHECK(is_filled_unchecked(p, 0xDF, 60));
    CHECK(is_filled_unchecked(large, 0xDF, 50000));
    CHECK(is_filled((unsigned char *)aegis_arena_alloc_zeroed(&arena, 500), 0, 500));
    aegis_arena_fini(&arena);
}

static void release_build_does_not_fill_unless_asked(void) {
    aegis_arena arena = new_arena(AEGIS_ARENA_NO_DEBUG);
    unsigned char *p = take(&arena, 50);
    aegis_arena_reset(&arena);
    CHECK(is_filled_unchecked(p, 0x11, 50));
    aegis_arena_fini(&arena);
}

/* --- Wiping --- */

#define SECRET 0x5E
#define STORE_BYTES ((size_t)1 << 20)

/* A source over a store that outlives the arena and reuses nothing, so it can be searched. */
static _Alignas(16) unsigned char store[STORE_BYTES];
static size_t store_used;

static void *store_acquire(void *context, size_t size_bytes, size_t align_bytes, bool *zeroed) {
    (void)context;
    *zeroed = true;
    size_t start = (store_used + align_bytes - 1) & ~(align_bytes - 1);
    if (size_bytes > STORE_BYTES - start)
        return NULL;
    store_used = start + size_bytes;
    return store + start;
}

static void store_release(void *context, void *memory, size_t size_bytes, size_t align_bytes) {
    (void)context;
    (void)memory;
    (void)size_bytes;
    (void)align_bytes;
}

/* Whether no four bytes of the secret are left: fewer may be part of an address. */
#if defined(__GNUC__)
__attribute__((no_sanitize("address"), noinline))
#endif
static bool
is_store_clean(void) {
    size_t run = 0;
    bool clean = true;
    const volatile unsigned char *bytes = store;
    VALGRIND_DISABLE_ERROR_REPORTING;
    for (size_t i = 0; i < store_used; i++) {
        run = bytes[i] == SECRET ? run + 1 : 0;
        clean = clean && run < 4;
    }
    VALGRIND_ENABLE_ERROR_REPORTING;
    return clean;
}

static unsigned char *take_secret(aegis_arena *arena, size_t size_bytes) {
    unsigned char *p = take(arena, size_bytes);
    memset(p, SECRET, size_bytes);
    return p;
}

static aegis_arena new_wiping_arena(uint32_t flags) {
    static const aegis_source source = {store_acquire, store_release, NULL, NULL};
    memset(store, 0, sizeof store);
    store_used = 0;
    aegis_arena arena;
    aegis_arena_options options = {0};
    options.source = &source;
    options.flags = flags;
    CHECK(aegis_arena_init(&arena, &options) == AEGIS_OK);
    return arena;
}

/* Secrets in the current block, in closed ones, and in ones of their own. */
static void take_secrets(aegis_arena *arena) {
    for (size_t i = 0; i < 40; i++)
        take_secret(arena, 37 + i * 5);
    take_secret(arena, 20000);
    take_secret(arena, 100);
    unsigned char *aligned = (unsigned char *)aegis_arena_alloc_aligned(arena, 100, 256);
    CHECK(aligned != NULL);
    memset(aligned, SECRET, 100);
    CHECK(!is_store_clean());
}

static void wipe_with(uint32_t flags) {
    aegis_arena arena = new_wiping_arena(flags);
    for (size_t round = 0; round < 3; round++) {
        take_secrets(&arena);
        aegis_arena_reset(&arena);
        CHECK(is_store_clean());
    }
    aegis_arena_mark mark = aegis_arena_get_mark(&arena);
    take_secrets(&arena);
    CHECK(aegis_arena_rewind(&arena, &mark) == AEGIS_OK);
    CHECK(is_store_clean());
    take(&arena, 300);
    mark = aegis_arena_get_mark(&arena);
    take_secrets(&arena);
    CHECK(aegis_arena_rewind(&arena, &mark) == AEGIS_OK);
    CHECK(is_store_clean());

    aegis_arena_scope scope;
    aegis_arena_scope_begin(&arena, &scope);
    take_secrets(&scope.arena);
    unsigned char *outer = take(&arena, 200);
    aegis_arena_scope_end(&arena, &scope);
    CHECK(is_store_clean());
    CHECK(is_filled(outer, 0x11, 200));

    unsigned char *p = take_secret(&arena, 200);
    p = (unsigned char *)aegis_arena_realloc(&arena, p, 200, 3);
    CHECK(is_store_clean());
    CHECK(is_filled(p, SECRET, 3));
    aegis_arena_free_last(&arena, p, 3);
    CHECK(is_filled_unchecked(p, 0, 3));
    p = take_secret(&arena, 200);
    take(&arena, 8);
    (void)aegis_arena_realloc(&arena, p, 200, 3); /* not the latest */
    CHECK(is_store_clean());
    p = take_secret(&arena, 200);
    aegis_arena_free_last(&arena, p, 200);
    CHECK(is_store_clean());
    p = take_secret(&arena, 200);
    take(&arena, 8);
    unsigned char *moved = (unsigned char *)aegis_arena_realloc(&arena, p, 200, 400);
    CHECK(moved != p && is_filled(moved, SECRET, 200));
    CHECK(is_filled_unchecked(p, 0, 200));
    aegis_arena_reset(&arena);

    take_secrets(&arena);
    aegis_arena_reset(&arena);
    aegis_arena_trim(&arena, 0);
    CHECK(is_store_clean());
    take_secrets(&arena);
    aegis_arena_clear(&arena);
    CHECK(is_store_clean());
    take_secrets(&arena);
    aegis_arena_fini(&arena);
    CHECK(is_store_clean());
}

static void wipe_leaves_no_byte_in_freed_memory(void) {
    wipe_with(AEGIS_ARENA_WIPE);
    wipe_with(AEGIS_ARENA_WIPE | AEGIS_ARENA_NO_DEBUG);
    wipe_with(AEGIS_ARENA_WIPE | AEGIS_ARENA_GUARD | AEGIS_ARENA_FILL);
    wipe_with(AEGIS_ARENA_WIPE | AEGIS_ARENA_NO_DEBUG | AEGIS_ARENA_OWN_BLOCKS);
}

static void without_wipe_the_secret_stays(void) {
    aegis_arena arena = new_wiping_arena(AEGIS_ARENA_NO_DEBUG);
    take_secrets(&arena);
    aegis_arena_reset(&arena);
    CHECK(!is_store_clean());
    aegis_arena_fini(&arena);
    CHECK(!is_store_clean());
}

static void wipe_clears_the_callers_memory(void) {
    aegis_arena arena;
    memset(store, 0, sizeof store);
    store_used = 10000;
    aegis_arena_options options = {0};
    options.memory = store;
    options.memory_bytes = store_used;
    options.flags = AEGIS_ARENA_WIPE | AEGIS_ARENA_OWN_BLOCKS;
    CHECK(aegis_arena_init(&arena, &options) == AEGIS_OK);
    take_secret(&arena, 5000); /* own blocks cannot be had here, so the flag has no effect */
    CHECK(!is_store_clean());
    aegis_arena_reset(&arena);
    CHECK(is_store_clean());
    take_secret(&arena, 5000);
    aegis_arena_fini(&arena);
    CHECK(is_store_clean());
}

/* --- Own blocks --- */

static void own_blocks_go_back_at_reset_rewind_and_scope_end(void) {
    aegis_arena arena = new_wiping_arena(AEGIS_ARENA_OWN_BLOCKS);
    for (size_t i = 0; i < 5; i++)
        take(&arena, 30);
    CHECK_SIZE(arena.block_count, 5);
    aegis_arena_mark mark = aegis_arena_get_mark(&arena);
    take(&arena, 30);
    take(&arena, 1);
    CHECK_SIZE(arena.block_count, 7);
    CHECK(aegis_arena_rewind(&arena, &mark) == AEGIS_OK);
    CHECK_SIZE(arena.block_count, 5);
    aegis_arena_scope scope;
    aegis_arena_scope_begin(&arena, &scope);
    take(&scope.arena, 30);
    take(&arena, 30);
    aegis_arena_scope_end(&arena, &scope);
    CHECK_SIZE(arena.block_count, 6);
    aegis_arena_reset(&arena);
    CHECK_SIZE(arena.block_count, 0);
    CHECK_SIZE(arena.reserved_bytes, 0);
    take(&arena, 30);
    CHECK_SIZE(arena.block_count, 1);
    aegis_arena_fini(&arena);
}

static void use_of_an_own_block_after_reset(void) {
    aegis_arena arena = new_arena(AEGIS_ARENA_OWN_BLOCKS);
    aegis_arena_clear(&arena);
    unsigned char *p = take(&arena, 100);
    aegis_arena_reset(&arena);
    poke(p, 50);
    aegis_arena_fini(&arena);
}

static void use_of_an_own_block_after_reset_is_found_by_a_heap_checker(void) {
#if defined(TEST_ASAN)
    CHECK(strstr(reports_of(use_of_an_own_block_after_reset), "heap-use-after-free") != NULL);
#elif defined(AEGIS_VALGRIND)
    CHECK(RUNNING_ON_VALGRIND == 0 || is_found_by_memcheck(use_of_an_own_block_after_reset));
#else
    (void)use_of_an_own_block_after_reset;
#endif
}

/* --- Leaks --- */

static void fini_with_a_scope_open(void) {
    aegis_arena arena = new_arena(0);
    static aegis_arena_scope scope; /* static: what it holds is lost on purpose */
    aegis_arena_scope_begin(&arena, &scope);
    take(&arena, 30);
    aegis_arena_fini(&arena);
    aegis_arena_fini(&scope.arena);
}

static void fini_after_scopes(void) {
    aegis_arena arena = new_arena(0);
    aegis_arena_scope outer, inner;
    aegis_arena_scope_begin(&arena, &outer);
    aegis_arena_scope_begin(&outer.arena, &inner);
    take(&inner.arena, 30);
    aegis_arena_scope_end(&outer.arena, &inner);
    aegis_arena_scope_end(&arena, &outer);
    aegis_arena_fini(&arena);
}

static void destroy_with_bytes_charged(void) {
    aegis_budget *budget = aegis_budget_new("query 7", 100, NULL);
    CHECK(aegis_budget_charge(budget, 10, NULL) == AEGIS_OK);
    aegis_budget_destroy(budget);
}

static void leaks_are_reported_in_debug_builds(void) {
    if (is_debug()) {
        EXPECT(fini_with_a_scope_open, "arena 'victim' finished with a scope open\n");
        EXPECT(destroy_with_bytes_charged, "budget 'query 7' destroyed with 10 bytes charged\n");
    } else {
        EXPECT(fini_with_a_scope_open, "");
        EXPECT(destroy_with_bytes_charged, "");
    }
    EXPECT(fini_after_scopes, "");
}

static void print_a_report(void) {
    (void)aegis_set_report(aegis_set_report(NULL)); /* what was set is given back */
    aegis_arena arena = new_arena(AEGIS_ARENA_GUARD);
    poke(take(&arena, 24), 24);
    (void)aegis_set_report(NULL);
    aegis_arena_fini(&arena);
}

static void null_silences_reports(void) {
    EXPECT(print_a_report, "");
}

int main(int argc, char **argv) {
    /* For a script that reads what a checker of the heap says. */
    if (argc == 2 && strcmp(argv[1], "use_of_an_own_block_after_reset") == 0) {
        use_of_an_own_block_after_reset();
        return 0;
    }
    if (!TEST_CHECKED) {
        RUN(overrun_is_reported_with_the_allocation);
        RUN(overrun_around_a_scope_is_reported_on_each_side);
        RUN(guards_are_on_in_debug_builds_only_unless_asked_for);
        RUN(null_silences_reports);
    }
    RUN(lawful_use_is_not_reported);
    RUN(fresh_and_freed_memory_have_their_patterns);
    RUN(release_build_does_not_fill_unless_asked);
    RUN(wipe_leaves_no_byte_in_freed_memory);
    RUN(without_wipe_the_secret_stays);
    RUN(wipe_clears_the_callers_memory);
    RUN(own_blocks_go_back_at_reset_rewind_and_scope_end);
    RUN(use_of_an_own_block_after_reset_is_found_by_a_heap_checker);
    RUN(leaks_are_reported_in_debug_builds);
    return check_finish();
}
