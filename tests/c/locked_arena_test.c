/* SPDX-License-Identifier: Apache-2.0 */
/* Tests the arena behind a lock: every form of allocation from one thread, and then all forms from
 * several. It must do what an arena of one owner does, and two threads must never share a byte. */
#include "shared_support.h"

#include <pthread.h>

#define THREADS 6
#define ROUNDS 3000

static aegis_locked_arena locked_arena(size_t capacity_bytes, const aegis_source *source) {
    aegis_arena_options options = {capacity_bytes,       0, source, NULL, 0, NULL, NULL,
                                   AEGIS_ARENA_NO_DEBUG, 0};
    aegis_locked_arena arena;
    CHECK(aegis_locked_arena_init(&arena, &options, NULL) == AEGIS_OK);
    return arena;
}

static aegis_arena_stats locked_stats(const aegis_locked_arena *arena) {
    aegis_arena_stats stats;
    aegis_locked_arena_get_stats(arena, &stats);
    return stats;
}

static void each_form_allocates_as_an_arena_does(void) {
    aegis_locked_arena arena = locked_arena(4096, NULL);
    unsigned char *p = (unsigned char *)aegis_locked_arena_alloc(&arena, 5, NULL);
    unsigned char *q = (unsigned char *)aegis_locked_arena_alloc_zeroed(&arena, 5, NULL);
    CHECK(is_gapped() || q == p + 8);
    CHECK(is_filled(q, 0, 5));
    p = (unsigned char *)aegis_locked_arena_alloc_aligned(&arena, 5, 256, NULL);
    CHECK(is_aligned(p, 256));
    memset(p, 1, 5);
    CHECK(aegis_locked_arena_realloc_aligned(&arena, p, 5, 50, 256, NULL) == p);
    CHECK(aegis_locked_arena_resize_in_place(&arena, p, 50, 60));
    CHECK(!aegis_locked_arena_resize_in_place(&arena, p, 60, 100000));
    CHECK(!aegis_locked_arena_resize_in_place(&arena, NULL, 0, 8));
    CHECK(aegis_locked_arena_resize_in_place(&arena, p, 60, 50));
    aegis_locked_arena_free_last(&arena, p, 50);
    q = (unsigned char *)aegis_locked_arena_alloc_aligned_zeroed(&arena, 50, 256, NULL);
    CHECK(q == p && is_filled(q, 0, 50));
    CHECK(strcmp(aegis_locked_arena_strdup(&arena, "text", NULL), "text") == 0);
    CHECK(memcmp(aegis_locked_arena_memdup(&arena, "ab", 2, NULL), "ab", 2) == 0);
    CHECK(aegis_locked_arena_memdup(&arena, NULL, 0, NULL) != NULL);
    CHECK_SIZE(locked_stats(&arena).block_count, 1);
    aegis_locked_arena_reset(&arena);
    CHECK_SIZE(locked_stats(&arena).used_bytes, 0);
    aegis_locked_arena_trim(&arena, 0);
    CHECK_SIZE(locked_stats(&arena).block_count, 0);
    CHECK(aegis_locked_arena_alloc(&arena, 8, NULL) != NULL);
    aegis_locked_arena_clear(&arena);
    CHECK_SIZE(locked_stats(&arena).block_count, 0);
    aegis_locked_arena_fini(&arena);
    aegis_locked_arena_fini(&arena);
    aegis_locked_arena_fini(NULL);
}

static void failures_say_why_and_change_nothing(void) {
    shared_source state;
    aegis_source source = shared_source_get(&state, true);
    aegis_locked_arena arena = locked_arena(64, &source);
    aegis_error error;
    aegis_arena_stats before = locked_stats(&arena);
    CHECK(aegis_locked_arena_alloc(&arena, SIZE_MAX, &error) == NULL);
    CHECK(error.status == AEGIS_E_INVALID_LAYOUT);
    CHECK(aegis_locked_arena_alloc_aligned(&arena, 1, 3, &error) == NULL);
    CHECK(error.status == AEGIS_E_INVALID_LAYOUT && error.align_bytes == 3);
    atomic_store(&state.fail_from, 1);
    CHECK(aegis_locked_arena_alloc(&arena, 1000, &error) == NULL);
    CHECK(error.status == AEGIS_E_OUT_OF_MEMORY && error.requested_bytes == 1000);
    CHECK(aegis_locked_arena_alloc_zeroed(&arena, 1000, NULL) == NULL);
    CHECK(aegis_locked_arena_memdup(&arena, &state, 1000, NULL) == NULL);
    CHECK(aegis_locked_arena_defer(&arena, NULL, NULL, &error) == AEGIS_E_INVALID);
    CHECK(error.status == AEGIS_E_INVALID);
    aegis_arena_stats after = locked_stats(&arena);
    CHECK_SIZE(before.used_bytes, after.used_bytes);
    CHECK_SIZE(before.reserved_bytes, after.reserved_bytes);
    CHECK_SIZE(before.block_count, after.block_count);
    CHECK_SIZE(before.acquired_count, after.acquired_count);
    aegis_locked_arena_fini(&arena);
    shared_source_check_done(&state);

    aegis_arena_options options = {64, 0, &source, NULL, 0, NULL, NULL, 0, 0};
    CHECK(aegis_locked_arena_init(&arena, &options, &error) == AEGIS_E_OUT_OF_MEMORY);
    CHECK(arena.shared == NULL && error.requested_bytes == 64);
    options.flags = 1u << 30;
    CHECK(aegis_locked_arena_init(&arena, &options, NULL) == AEGIS_E_INVALID);
}

static aegis_locked_arena shared;
static atomic_size_t failure_count;

static void count_and_allocate(void *context) {
    ++*(int *)context;
    /* A reset runs the functions without holding the lock. */
    if (aegis_locked_arena_alloc(&shared, 8, NULL) == NULL)
        atomic_fetch_add(&failure_count, 1);
}

static void deferred_functions_run_at_reset_and_may_allocate(void) {
    int calls = 0;
    shared = locked_arena(0, NULL);
    CHECK(aegis_locked_arena_defer(&shared, count_and_allocate, &calls, NULL) == AEGIS_OK);
    aegis_locked_arena_reset(&shared);
    CHECK_SIZE(calls, 1);
    CHECK(aegis_locked_arena_defer(&shared, count_and_allocate, &calls, NULL) == AEGIS_OK);
    aegis_locked_arena_fini(&shared);
    CHECK_SIZE(calls, 2);
    CHECK_SIZE(atomic_load(&failure_count), 0);
}

static void *work(void *context) {
    unsigned char mark = (unsigned char)(uintptr_t)context;
    unsigned char *kept[64];
    size_t sizes[64];
    uint64_t seed = mark;
    for (int i = 0; i < ROUNDS; i++) {
        size_t size = random_below(&seed, 60);
        int slot = i % 64;
        unsigned char *p =
            (unsigned char *)(i % 3 == 0
                                  ? aegis_locked_arena_alloc_zeroed(&shared, size, NULL)
                                  : aegis_locked_arena_alloc_aligned(&shared, size, 16, NULL));
        if (p == NULL || (i % 3 == 0 && !is_filled(p, 0, size)) ||
            (i >= 64 && !is_filled(kept[slot], mark, sizes[slot])))
            atomic_fetch_add(&failure_count, 1);
        if (p == NULL)
            return NULL;
        memset(p, mark, size);
        if (i % 5 == 0) {
            p = (unsigned char *)aegis_locked_arena_realloc_aligned(&shared, p, size, size + 40, 16,
                                                                    NULL);
            if (p == NULL || !is_filled(p, mark, size))
                atomic_fetch_add(&failure_count, 1);
        }
        kept[slot] = p;
        sizes[slot] = size;
    }
    return NULL;
}

static void threads_never_share_a_byte(void) {
    pthread_t threads[THREADS];
    shared = locked_arena(0, NULL);
    for (int round = 0; round < 3; round++) {
        for (uintptr_t i = 0; i < THREADS; i++)
            CHECK(pthread_create(&threads[i], NULL, work, (void *)(i + 1)) == 0);
        for (int i = 0; i < THREADS; i++)
            CHECK(pthread_join(threads[i], NULL) == 0);
        aegis_locked_arena_reset(&shared);
    }
    CHECK_SIZE(atomic_load(&failure_count), 0);
    aegis_locked_arena_fini(&shared);
}

int main(void) {
    RUN(each_form_allocates_as_an_arena_does);
    RUN(failures_say_why_and_change_nothing);
    RUN(deferred_functions_run_at_reset_and_may_allocate);
    RUN(threads_never_share_a_byte);
    return check_finish();
}
