/* SPDX-License-Identifier: Apache-2.0 */
/* Tests what draws objects: the lines of arenas and pools, and what a debugger gets, which is
 * written past the streams of the C library and waits for no lock. The lines of budgets are tested
 * in budget_text_test.c. */
#if !defined(_WIN32) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE
#endif
#include "../../csrc/budget/state.h"
#include "pool_support.h"
#include "support.h"

#if defined(_WIN32)
#include <io.h>
#define dup _dup
#define dup2 _dup2
#define close _close
#define fileno _fileno
#else
#include <unistd.h>
#endif

static char printed[4096];

static void keep(void *context, const char *line) {
    size_t length = strlen(printed);
    snprintf(printed + length, sizeof printed - length, "%s\n", line);
    ++*(size_t *)context;
}

static void check_printed(const char *expected) {
    CHECK(strcmp(printed, expected) == 0);
    if (strcmp(printed, expected) != 0)
        fprintf(stderr, "printed:\n%s", printed);
}

/* What is written to the standard error output between the two calls goes to `printed`. */
static FILE *captured;
static int kept_stderr;

static void capture_begin(void) {
    fflush(stderr);
    captured = tmpfile();
    CHECK(captured != NULL);
    kept_stderr = dup(2);
    CHECK(dup2(fileno(captured), 2) >= 0);
}

static void capture_end(void) {
    CHECK(dup2(kept_stderr, 2) >= 0);
    close(kept_stderr);
    rewind(captured);
    size_t length = fread(printed, 1, sizeof printed - 1, captured);
    printed[length] = '\0';
    fclose(captured);
}

/* An arena with guards would use other sizes. */
static void init_arena(aegis_arena *arena, const char *name) {
    aegis_arena_options options = {0};
    options.capacity_bytes = 1024;
    options.name = name;
    options.flags = AEGIS_ARENA_NO_DEBUG;
    CHECK(aegis_arena_init(arena, &options) == AEGIS_OK);
}

static void arena_is_drawn_block_by_block(void) {
    aegis_arena arena;
    init_arena(&arena, "requests");
    bool has_gaps = (aegis_build_flags() & (AEGIS_BUILD_ASAN | AEGIS_BUILD_VALGRIND)) != 0;
    CHECK(aegis_arena_alloc(&arena, 512) != NULL);
    size_t line_count = 0;
    printed[0] = '\0';
    aegis_arena_print(&arena, keep, &line_count);
    CHECK_SIZE(line_count, 2);
    if (!has_gaps)
        check_printed("arena 'requests': 512 B of 1.0 KiB used in 1 block\n"
                      "  1 current [################................] 512 B of 1.0 KiB\n");
    /* This one has a block of its own, and the first block stays the current one. */
    CHECK(aegis_arena_alloc(&arena, 700) != NULL);
    printed[0] = '\0';
    aegis_arena_print(&arena, keep, &line_count);
    CHECK_SIZE(line_count, 2 + 3);
    CHECK(strstr(printed, " used in 2 blocks\n  1 current [####") != NULL);
    CHECK(strstr(printed, "\n  2 closed  [####") != NULL);
    aegis_arena_reset(&arena);
    printed[0] = '\0';
    aegis_arena_print(&arena, keep, &line_count);
    CHECK(strstr(printed, " idle    [................................] 0 B of ") != NULL);
    aegis_arena_scope scope;
    aegis_arena_scope_begin(&arena, &scope);
    printed[0] = '\0';
    aegis_arena_print(&arena, keep, &line_count);
    CHECK(strstr(printed, ", a scope is open\n") != NULL);
    aegis_arena_scope_end(&arena, &scope);
    aegis_arena_fini(&arena);
}

static void arena_without_name_and_blocks_is_one_line(void) {
    aegis_arena arena;
    CHECK(aegis_arena_init(&arena, NULL) == AEGIS_OK);
    size_t line_count = 0;
    printed[0] = '\0';
    aegis_arena_print(&arena, keep, &line_count);
    check_printed("arena: 0 B of 0 B used in 0 blocks\n");
    aegis_arena_fini(&arena);
}

static void heap_is_drawn_in_one_line(void) {
    aegis_arena_options options = {0};
    options.capacity_bytes = 4096;
    options.name = "parser";
    options.flags = AEGIS_ARENA_NO_DEBUG;
    aegis_arena_heap heap;
    CHECK(aegis_arena_heap_init(&heap, &options) == AEGIS_OK);
    size_t line_count = 0;
    printed[0] = '\0';
    aegis_arena_heap_print(&heap, keep, &line_count);
    CHECK(strstr(printed, "heap 'parser': [................................] 0 B of ") == printed);
    CHECK(strstr(printed, " KiB out in 1 block\n") != NULL);
    void *p = aegis_arena_heap_alloc(&heap, 1000);
    CHECK(p != NULL && aegis_arena_heap_alloc(&heap, 300000) != NULL);
    printed[0] = '\0';
    aegis_arena_heap_print(&heap, keep, &line_count);
    CHECK(strstr(printed, " in 2 blocks, ") != NULL);
    CHECK(strstr(printed, " KiB in blocks of their own\n") != NULL);
    CHECK_SIZE(line_count, 2);
    aegis_arena_heap_fini(&heap);
}

static void pool_is_drawn_slab_by_slab(void) {
    aegis_pool_options options = {0};
    options.block_bytes = 64;
    options.block_count = 4;
    options.max_block_count = 10;
    aegis_pool pool;
    CHECK(aegis_pool_init(&pool, &options) == AEGIS_OK);
    void *blocks[10];
    for (size_t i = 0; i < 10; i++)
        CHECK((blocks[i] = aegis_pool_alloc(&pool)) != NULL);
    for (size_t i = 3; i < 8; i++)
        CHECK(aegis_pool_free(&pool, blocks[i]) == AEGIS_OK);
    size_t line_count = 0;
    printed[0] = '\0';
    aegis_pool_print(&pool, keep, &line_count);
    CHECK_SIZE(line_count, 4);
    CHECK(strstr(printed, "pool: 5 of 10 blocks of 64 B out, peak 10, at most 10; ") == printed);
    CHECK(strstr(printed, "\n  1 [########################........] 3 of 4 blocks, from ") != NULL);
    CHECK(strstr(printed, "\n  2 [................................] 0 of 4 blocks, from ") != NULL);
    CHECK(strstr(printed, "\n  3 [################################] 2 of 2 blocks, from ") != NULL);
    /* A slab that was given back is left out, and the others keep their numbers. */
    aegis_pool_trim(&pool, 0);
    line_count = 0;
    printed[0] = '\0';
    aegis_pool_print(&pool, keep, &line_count);
    CHECK_SIZE(line_count, 3);
    CHECK(strstr(printed, "\n  2 ") == NULL && strstr(printed, "\n  3 [####") != NULL);
    aegis_pool_fini(&pool);
}

static void without_a_function_lines_go_to_stderr(void) {
    aegis_arena arena;
    init_arena(&arena, "a");
    aegis_pool_options options = {0};
    options.block_bytes = 16;
    options.block_count = 4;
    aegis_pool pool;
    CHECK(aegis_pool_init(&pool, &options) == AEGIS_OK);
    aegis_budget *root = aegis_budget_new("process", 4096, NULL);
    aegis_budget *child = aegis_budget_new("database", AEGIS_BUDGET_UNLIMITED, root);
    capture_begin();
    aegis_arena_print(&arena, NULL, NULL);
    aegis_pool_print(&pool, NULL, NULL);
    aegis_status status = aegis_budget_print(root, NULL, NULL);
    capture_end();
    CHECK(status == AEGIS_OK);
    CHECK(strstr(printed, "arena 'a': 0 B of 1.0 KiB used in 1 block\n  1 current [") == printed);
    CHECK(strstr(printed, "\npool: 0 of 4 blocks of 16 B out") != NULL);
    CHECK(strstr(printed, "\nprocess                      [........................]   0%  "
                          "0 B of 4.0 KiB, peak 0 B\n  database  ") != NULL);
    aegis_budget_destroy(child);
    aegis_budget_destroy(root);
    aegis_pool_fini(&pool);
    aegis_arena_fini(&arena);
}

static void budget_whose_lock_is_held_is_drawn_without_waiting(void) {
    aegis_budget *root = aegis_budget_new("process", 4096, NULL);
    aegis_budget *child = aegis_budget_new("database", AEGIS_BUDGET_UNLIMITED, root);
    CHECK(aegis_i_mutex_lock(&root->lock));
    capture_begin();
    aegis_status status = aegis_budget_print(root, NULL, NULL);
    capture_end();
    aegis_i_mutex_unlock(&root->lock);
    CHECK(status == AEGIS_OK);
    CHECK(strstr(printed, "process ") == printed && strstr(printed, "database") == NULL);
    CHECK(strstr(printed, "\n  (a thread holds the lock of its children)\n") != NULL);
    aegis_budget_destroy(child);
    aegis_budget_destroy(root);
}

int main(void) {
    RUN(arena_is_drawn_block_by_block);
    RUN(arena_without_name_and_blocks_is_one_line);
    RUN(heap_is_drawn_in_one_line);
    RUN(pool_is_drawn_slab_by_slab);
    RUN(without_a_function_lines_go_to_stderr);
    RUN(budget_whose_lock_is_held_is_drawn_without_waiting);
    return check_finish();
}
