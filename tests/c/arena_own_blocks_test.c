/* SPDX-License-Identifier: Apache-2.0 */
/* Tests AEGIS_ARENA_OWN_BLOCKS, which gives each allocation a block of its own. The block must go
 * back to the source when its allocation is freed, so that a checker of the heap finds a later use.
 * A child process makes such a use, and the checker must report it. */
#include "arena_store_support.h"
#include "report_support.h"

#if defined(AEGIS_VALGRIND)
#include <valgrind/memcheck.h>

/* Whether memcheck reports the use. Memcheck does not write to the program's stderr. */
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

static void own_blocks_go_back_at_reset_rewind_and_scope_end(void) {
    aegis_arena arena = new_arena_in_store(AEGIS_ARENA_OWN_BLOCKS);
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

int main(int argc, char **argv) {
    /* For a script that reads what a checker of the heap prints. */
    if (argc == 2 && strcmp(argv[1], "use_of_an_own_block_after_reset") == 0) {
        use_of_an_own_block_after_reset();
        return 0;
    }
    RUN(own_blocks_go_back_at_reset_rewind_and_scope_end);
    RUN(use_of_an_own_block_after_reset_is_found_by_a_heap_checker);
    return check_finish();
}
