/* SPDX-License-Identifier: Apache-2.0 */
/* Tests what a memory checker sees of an arena. Each wrong access is made in a child process, and
 * the checker must end that process. Each has a lawful twin, which must pass. Without a checker
 * compiled in, only the twins run. */
#include "support.h"

#if defined(AEGIS_VALGRIND)
#include <valgrind/memcheck.h>
#define CHECKER_RUNS (RUNNING_ON_VALGRIND != 0)
#define CHECKER_ERRORS ((unsigned)VALGRIND_COUNT_ERRORS)
#define CHECKER_NAME "valgrind"
#elif defined(TEST_ASAN)
#define CHECKER_RUNS true
#define CHECKER_ERRORS 0u
#define CHECKER_NAME "AddressSanitizer"
#else
#define CHECKER_RUNS false
#define CHECKER_ERRORS 0u
#define CHECKER_NAME "no checker"
#endif

#if defined(__unix__) || defined(__APPLE__)
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>
#define CAN_FORK 1
#endif

/* Reads a byte in a way that no compiler removes. */
static void touch(const unsigned char *p) {
    volatile unsigned char sink = *(const volatile unsigned char *)p;
    (void)sink;
}

static unsigned char memory[4096];

static aegis_arena new_arena(void) {
    aegis_arena arena;
    aegis_arena_options options = test_options(1000, 0, NULL, NULL, 0);
    CHECK(aegis_arena_init(&arena, &options) == AEGIS_OK);
    return arena;
}

static void use_after_reset(bool crime) {
    aegis_arena arena = new_arena();
    unsigned char *p = (unsigned char *)aegis_arena_alloc_zeroed(&arena, 100);
    touch(p + 99);
    aegis_arena_reset(&arena);
    if (crime)
        touch(p + 50);
    aegis_arena_fini(&arena);
}

static void use_of_a_later_block_after_reset(bool crime) {
    aegis_arena arena = new_arena();
    aegis_arena_alloc(&arena, 900);
    unsigned char *p = (unsigned char *)aegis_arena_alloc_zeroed(&arena, 5000);
    touch(p + 4999);
    aegis_arena_reset(&arena);
    if (crime)
        touch(p + 4999);
    aegis_arena_fini(&arena);
}

static void overflow_by_one(bool crime) {
    aegis_arena arena = new_arena();
    unsigned char *p = (unsigned char *)aegis_arena_alloc_zeroed(&arena, 13);
    unsigned char *q = (unsigned char *)aegis_arena_alloc_zeroed(&arena, 16);
    touch(p + 12);
    touch(q + 15);
    if (crime)
        p[13] = 1;
    aegis_arena_fini(&arena);
}

static void overflow_of_a_whole_word_size(bool crime) {
    aegis_arena arena = new_arena();
    unsigned char *p = (unsigned char *)aegis_arena_alloc_aligned(&arena, 64, 64);
    unsigned char *q = (unsigned char *)aegis_arena_alloc_zeroed(&arena, 16);
    memset(p, 1, 64);
    touch(q);
    if (crime)
        p[64] = 1;
    aegis_arena_fini(&arena);
}

static void use_after_rewind(bool crime) {
    aegis_arena arena = new_arena();
    unsigned char *kept = (unsigned char *)aegis_arena_alloc_zeroed(&arena, 100);
    aegis_arena_mark mark = aegis_arena_get_mark(&arena);
    unsigned char *p = (unsigned char *)aegis_arena_alloc_zeroed(&arena, 100);
    touch(p);
    CHECK(aegis_arena_rewind(&arena, &mark) == AEGIS_OK);
    touch(kept + 99);
    if (crime)
        touch(p);
    aegis_arena_fini(&arena);
}

static void use_after_scope(bool crime) {
    aegis_arena arena = new_arena();
    aegis_arena_scope scope;
    aegis_arena_scope_begin(&arena, &scope);
    unsigned char *p = (unsigned char *)aegis_arena_alloc_zeroed(&scope.arena, 100);
    unsigned char *kept = (unsigned char *)aegis_arena_alloc_zeroed(&arena, 100);
    touch(p);
    aegis_arena_scope_end(&arena, &scope);
    touch(kept + 99);
    if (crime)
        touch(p);
    aegis_arena_fini(&arena);
}

static void use_after_trim(bool crime) {
    aegis_arena arena = new_arena();
    unsigned char *p = (unsigned char *)aegis_arena_alloc_zeroed(&arena, 100);
    touch(p);
    aegis_arena_reset(&arena);
    aegis_arena_trim(&arena, 0);
    if (crime)
        touch(p);
    aegis_arena_fini(&arena);
}

static void use_after_shrink(bool crime) {
    aegis_arena arena = new_arena();
    unsigned char *p = (unsigned char *)aegis_arena_alloc_zeroed(&arena, 100);
    unsigned char *q = (unsigned char *)aegis_arena_alloc_zeroed(&arena, 100);
    CHECK(aegis_arena_realloc(&arena, p, 100, 50) == p);
    CHECK(aegis_arena_realloc(&arena, q, 100, 50) == q);
    touch(p + 49);
    touch(q + 49);
    if (crime)
        touch(p + 50);
    aegis_arena_fini(&arena);
}

static void use_after_free_last(bool crime) {
    aegis_arena arena = new_arena();
    unsigned char *p = (unsigned char *)aegis_arena_hook_malloc(&arena, 100);
    memset(p, 1, 100);
    aegis_arena_hook_free(&arena, p);
    if (crime)
        touch(p);
    aegis_arena_fini(&arena);
}

static void use_of_the_callers_memory_that_is_not_handed_out(bool crime) {
    aegis_arena arena;
    aegis_arena_options options = test_options(0, 0, NULL, memory, sizeof memory);
    CHECK(aegis_arena_init(&arena, &options) == AEGIS_OK);
    unsigned char *p = (unsigned char *)aegis_arena_alloc_zeroed(&arena, 100);
    touch(p + 99);
    if (crime)
        touch(p + 2000);
    aegis_arena_fini(&arena);
    touch(memory + 4095);
}

#if defined(AEGIS_VALGRIND)
static void use_of_uninitialised_memory(bool crime) {
    aegis_arena arena = new_arena();
    unsigned char *p = (unsigned char *)(crime ? aegis_arena_alloc(&arena, 100)
                                               : aegis_arena_alloc_zeroed(&arena, 100));
    if (p[10] != 0)
        memory[0]++;
    aegis_arena_fini(&arena);
}
#endif

#if defined(CAN_FORK)
/* Reads what the child writes until the child ends. Returns true if it named the checker. */
static bool names_checker(int fd) {
    static char words[65536];
    size_t count = 0;
    for (ssize_t got = 1; got > 0 && count<sizeof words - 1; count += got> 0 ? (size_t)got : 0)
        got = read(fd, words + count, sizeof words - 1 - count);
    words[count] = '\0';
    return strstr(words, CHECKER_NAME) != NULL;
}

/* Whether the checker finds the wrong access, which is made in a child process. */
static bool is_found_out(void (*deed)(bool crime)) {
    int ends[2];
    if (pipe(ends) != 0)
        return false;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        (void)dup2(ends[1], STDERR_FILENO);
        unsigned before = CHECKER_ERRORS;
        deed(true);
        _exit(CHECKER_ERRORS != before ? 9 : 0);
    }
    (void)close(ends[1]);
    bool named = names_checker(ends[0]);
    (void)close(ends[0]);
    int status = 0;
    bool ended = child > 0 && waitpid(child, &status, 0) == child;
#if defined(AEGIS_VALGRIND)
    named = true; /* Valgrind does not write to this pipe; the exit code says what it found. */
#endif
    return ended && status != 0 && named;
}
#else
static bool is_found_out(void (*deed)(bool crime)) {
    (void)deed;
    return true;
}
#endif

static void check_deed(void (*deed)(bool crime)) {
    unsigned before = CHECKER_ERRORS;
    deed(false);
    CHECK(CHECKER_ERRORS == before);
    CHECK(!CHECKER_RUNS || is_found_out(deed));
}

#define DEED(name)                                                                                 \
    static void name##_is_found_out(void) {                                                        \
        check_deed(name);                                                                          \
    }
DEED(use_after_reset)
DEED(use_of_a_later_block_after_reset)
DEED(overflow_by_one)
DEED(overflow_of_a_whole_word_size)
DEED(use_after_rewind)
DEED(use_after_scope)
DEED(use_after_trim)
DEED(use_after_shrink)
DEED(use_after_free_last)
DEED(use_of_the_callers_memory_that_is_not_handed_out)
#if defined(AEGIS_VALGRIND)
DEED(use_of_uninitialised_memory)
#endif

static void arena_is_watched_just_when_a_checker_is_compiled_in(void) {
    aegis_arena arena = new_arena();
#if defined(AEGIS_VALGRIND) || defined(TEST_ASAN)
    CHECK(is_watched(&arena));
#else
    CHECK(!is_watched(&arena));
#endif
    aegis_arena_fini(&arena);
}

int main(void) {
    printf("checker: %s%s\n", CHECKER_NAME, CHECKER_RUNS ? "" : " (not running: lawful use only)");
    RUN(use_after_reset_is_found_out);
    RUN(use_of_a_later_block_after_reset_is_found_out);
    RUN(overflow_by_one_is_found_out);
    RUN(overflow_of_a_whole_word_size_is_found_out);
    RUN(use_after_rewind_is_found_out);
    RUN(use_after_scope_is_found_out);
    RUN(use_after_trim_is_found_out);
    RUN(use_after_shrink_is_found_out);
    RUN(use_after_free_last_is_found_out);
    RUN(use_of_the_callers_memory_that_is_not_handed_out_is_found_out);
#if defined(AEGIS_VALGRIND)
    RUN(use_of_uninitialised_memory_is_found_out);
#endif
    RUN(arena_is_watched_just_when_a_checker_is_compiled_in);
    return check_finish();
}
