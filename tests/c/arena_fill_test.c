/* SPDX-License-Identifier: Apache-2.0 */
/* Tests what is in fresh and in freed memory. With AEGIS_ARENA_FILL both must have their patterns.
 * With AEGIS_ARENA_WIPE no byte of a secret may be left in memory that an arena frees or gives
 * back. The source is over a store that outlives the arena, so a test can search all of it. */
#include "arena_store_support.h"

#if defined(AEGIS_VALGRIND)
#include <valgrind/memcheck.h>
#else
#define VALGRIND_DISABLE_ERROR_REPORTING ((void)0)
#define VALGRIND_ENABLE_ERROR_REPORTING ((void)0)
#endif

/* Reads memory that is not allocated. A checker would object to that, so it does not look here. */
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
#if !defined(AEGIS_VALGRIND) /* for Valgrind the filled bytes are undefined */
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

/* Whether no four bytes of the secret in a row are left. Fewer than four may be part of an
 * address. */
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

/* Puts secrets in the current block, in closed blocks, and in blocks of their own. */
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
    aegis_arena arena = new_arena_in_store(flags);
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
    (void)aegis_arena_realloc(&arena, p, 200, 3); /* not the latest allocation */
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
    aegis_arena arena = new_arena_in_store(AEGIS_ARENA_NO_DEBUG);
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
    take_secret(&arena, 5000); /* no own blocks in the caller's memory: the flag has no effect */
    CHECK(!is_store_clean());
    aegis_arena_reset(&arena);
    CHECK(is_store_clean());
    take_secret(&arena, 5000);
    aegis_arena_fini(&arena);
    CHECK(is_store_clean());
}

int main(void) {
    RUN(fresh_and_freed_memory_have_their_patterns);
    RUN(release_build_does_not_fill_unless_asked);
    RUN(wipe_leaves_no_byte_in_freed_memory);
    RUN(without_wipe_the_secret_stays);
    RUN(wipe_clears_the_callers_memory);
    return check_finish();
}
