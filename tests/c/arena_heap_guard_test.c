/* SPDX-License-Identifier: Apache-2.0 */
/* Tests what a heap reports about mistakes, word for word, and its fill patterns. Each mistake
 * happens in a child process. A release build looks for overruns only, and only with
 * AEGIS_ARENA_GUARD. */
#include "arena_heap_support.h"
#include "report_support.h"

static aegis_arena_heap guarded(void) {
    aegis_arena_options options = heap_options(NULL);
    options.flags = AEGIS_ARENA_GUARD;
    options.name = "plugin";
    aegis_arena_heap heap;
    CHECK(aegis_arena_heap_init(&heap, &options) == AEGIS_OK);
    return heap;
}

static void overrun_and_free(void) {
    aegis_arena_heap heap = guarded();
    unsigned char *p = (unsigned char *)aegis_arena_heap_alloc(&heap, 24);
    p[24] = 1;
    aegis_arena_heap_free(&heap, p);
    aegis_arena_heap_fini(&heap);
}

static void overrun_and_reset(void) {
    aegis_arena_heap heap = guarded();
    unsigned char *p = (unsigned char *)aegis_arena_heap_alloc(&heap, 100);
    (void)aegis_arena_heap_alloc(&heap, 100);
    p[115] = 1;
    aegis_arena_heap_reset(&heap);
    aegis_arena_heap_fini(&heap);
}

static void overrun_of_a_large_block_and_realloc(void) {
    aegis_arena_heap heap = guarded();
    unsigned char *p = (unsigned char *)aegis_arena_heap_alloc(&heap, 200000);
    p[200000] = 1;
    CHECK(aegis_arena_heap_realloc(&heap, p, 10) != NULL);
    aegis_arena_heap_fini(&heap);
}

static void overrun_by_more_and_free(void) {
    aegis_arena_heap heap = guarded();
    unsigned char *p = (unsigned char *)aegis_arena_heap_alloc(&heap, 16);
    unsigned char *q = (unsigned char *)aegis_arena_heap_alloc(&heap, 16);
    memset(p, 0x77, (size_t)(q - p)); /* with the header of the next allocation */
    aegis_arena_heap_free(&heap, p);
    CHECK(aegis_arena_heap_alloc(&heap, 16) != p);
    aegis_arena_heap_free(&heap, q);
    CHECK(aegis_arena_heap_realloc(&heap, p, 20) == NULL);
    aegis_arena_heap_fini(&heap);
}

static void overruns_are_reported(void) {
    if (TEST_CHECKED)
        return; /* the checker ends the program at once */
    EXPECT(overrun_and_free, "heap 'plugin': an allocation of 24 bytes was overrun\n");
    EXPECT(overrun_and_reset, "heap 'plugin': an allocation of 100 bytes was overrun\n");
    EXPECT(overrun_of_a_large_block_and_realloc,
           "heap 'plugin': an allocation of 200000 bytes was overrun\n");
    const char *words = reports_of(overrun_by_more_and_free);
    CHECK(strstr(words, "heap 'plugin': an allocation was overrun by 16 bytes or more\n") == words);
}

static void freed_twice(void) {
    aegis_arena_heap heap = guarded();
    void *p = aegis_arena_heap_alloc(&heap, 24);
    (void)aegis_arena_heap_alloc(&heap, 24);
    aegis_arena_heap_free(&heap, p);
    aegis_arena_heap_free(&heap, p);
    CHECK(aegis_arena_heap_realloc(&heap, p, 10) == NULL);
    aegis_arena_heap_fini(&heap);
}

static void foreign_pointer(void) {
    aegis_arena_heap heap = guarded(), other = guarded();
    void *p = aegis_arena_heap_alloc(&heap, 24);
    aegis_arena_heap_free(&other, p);
    aegis_arena_heap_free(&heap, (unsigned char *)p + 8);
    aegis_arena_heap_fini(&heap);
    aegis_arena_heap_fini(&other);
}

static void wrong_size(void) {
    aegis_arena_heap heap = guarded();
    aegis_arena_heap_free_sized(&heap, aegis_arena_heap_alloc(&heap, 24), 25);
    void *p = aegis_arena_heap_alloc(&heap, 300000);
    CHECK(aegis_arena_heap_realloc_aligned(&heap, p, 1, 400000, 16) != NULL);
    aegis_arena_heap_fini(&heap);
}

#if !defined(AEGIS_OMIT_THREADS)
static void locked_mistakes(void) {
    aegis_arena_options options = heap_options(NULL);
    options.name = "shared";
    aegis_locked_arena_heap heap;
    CHECK(aegis_locked_arena_heap_init(&heap, &options, NULL) == AEGIS_OK);
    void *p = aegis_locked_arena_heap_alloc(&heap, 24, NULL);
    aegis_locked_arena_heap_free_sized(&heap, p, 8);
    CHECK(aegis_locked_arena_heap_realloc(&heap, (void *)&options, 8, NULL) == NULL);
    aegis_locked_arena_heap_fini(&heap);
}
#endif

/* Whether the reports are these lines; `%` stands for a pointer. */
static bool is_like(const char *words, const char *expected) {
    while (*expected != '\0') {
        if (*expected != '%') {
            if (*words++ != *expected++)
                return false;
            continue;
        }
        expected++;
        while (*words != ' ' && *words != '\0')
            words++;
    }
    return *words == '\0';
}

#define FOREIGN " is not an allocation of this heap\n"
#define OTHER_SIZE " bytes was named with a size of "

static void debug_builds_report_other_mistakes(void) {
    if (!is_debug())
        return;
    CHECK(is_like(reports_of(freed_twice), "heap 'plugin': % was freed before\n"
                                           "heap 'plugin': % was freed before\n"));
    CHECK(is_like(reports_of(foreign_pointer),
                  "heap 'plugin': %" FOREIGN "heap 'plugin': %" FOREIGN));
    EXPECT(wrong_size, "heap 'plugin': an allocation of 24" OTHER_SIZE "25\n"
                       "heap 'plugin': an allocation of 300000" OTHER_SIZE "1\n");
#if !defined(AEGIS_OMIT_THREADS)
    CHECK(is_like(reports_of(locked_mistakes), "heap 'shared': an allocation of 24" OTHER_SIZE "8\n"
                                               "heap 'shared': %" FOREIGN));
#endif
}

static void release_heap(aegis_arena_heap *heap) {
    aegis_arena_options options = heap_options(NULL);
    options.flags = AEGIS_ARENA_NO_DEBUG;
    CHECK(aegis_arena_heap_init(heap, &options) == AEGIS_OK);
}

static void second_free_changes_nothing_in_any_build(void) {
    aegis_report_fn before = aegis_set_report(NULL);
    for (size_t size = 8; size < 5000; size *= 5) {
        aegis_arena_heap heap;
        release_heap(&heap);
        void *p = aegis_arena_heap_alloc(&heap, size);
        void *behind = aegis_arena_heap_alloc(&heap, size);
        aegis_arena_heap_free(&heap, p);
        aegis_arena_heap_free(&heap, p);
        void *q = aegis_arena_heap_alloc(&heap, size);
        void *r = aegis_arena_heap_alloc(&heap, size);
        CHECK(q != r && q != behind && r != behind);
        aegis_arena_heap_fini(&heap);
    }
    (void)aegis_set_report(before);
}

static void fill_patterns_and_wiping(void) {
    aegis_arena_options options = heap_options(NULL);
    options.flags = AEGIS_ARENA_FILL | AEGIS_ARENA_NO_DEBUG;
    aegis_arena_heap heap;
    CHECK(aegis_arena_heap_init(&heap, &options) == AEGIS_OK);
    unsigned char *p = (unsigned char *)aegis_arena_heap_alloc(&heap, 1000);
#if !defined(AEGIS_VALGRIND)
    CHECK(is_filled(p, 0xA5, 1000));
#endif
    p = (unsigned char *)aegis_arena_heap_alloc_zeroed(&heap, 1000);
    CHECK(is_filled(p, 0, 1000));
    aegis_arena_heap_fini(&heap);
    static unsigned char memory[4096];
    options.flags = AEGIS_ARENA_WIPE | AEGIS_ARENA_NO_DEBUG;
    options.memory = memory;
    options.memory_bytes = sizeof memory;
    for (int reset = 0; reset < 2; reset++) {
        CHECK(aegis_arena_heap_init(&heap, &options) == AEGIS_OK);
        p = (unsigned char *)aegis_arena_heap_alloc(&heap, 1000);
        memset(p, 0x99, 1000);
        p = (unsigned char *)aegis_arena_heap_realloc(&heap, p, 500);
        (void)aegis_arena_heap_alloc(&heap, 8);
        if (reset == 1)
            aegis_arena_heap_reset(&heap);
        else
            aegis_arena_heap_free(&heap, p);
        aegis_arena_heap_fini(&heap);
        size_t left = 0;
        for (size_t i = 0; i < sizeof memory; i++)
            left += memory[i] == 0x99;
        CHECK_SIZE(left, 0);
    }
}

static void own_blocks_are_released_when_they_are_freed(void) {
    test_source state;
    aegis_source source = test_source_get(&state, true);
    aegis_arena_options options = heap_options(&source);
    options.flags = AEGIS_ARENA_OWN_BLOCKS;
    aegis_arena_heap heap;
    CHECK(aegis_arena_heap_init(&heap, &options) == AEGIS_OK);
    void *p = aegis_arena_heap_alloc(&heap, 10);
    void *q = aegis_arena_heap_alloc(&heap, 10);
    CHECK_SIZE(state.live_count, 2);
    aegis_arena_heap_free(&heap, p);
    CHECK_SIZE(state.live_count, 1);
    q = aegis_arena_heap_realloc(&heap, q, 10000);
    CHECK(q != NULL);
    CHECK_SIZE(state.live_count, 1);
    finish_heap(&heap, &state);
}

int main(void) {
    RUN(overruns_are_reported);
    RUN(debug_builds_report_other_mistakes);
    RUN(second_free_changes_nothing_in_any_build);
    RUN(fill_patterns_and_wiping);
    RUN(own_blocks_are_released_when_they_are_freed);
    return check_finish();
}
