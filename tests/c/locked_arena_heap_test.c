/* SPDX-License-Identifier: Apache-2.0 */
/* Tests the heap behind a lock: every call from one thread, and then all calls from several, which
 * free and resize what others have allocated while the source fails now and then. */
#include "arena_heap_support.h"
#include "shared_support.h"

#include <pthread.h>

#define THREADS 6
#define ROUNDS 4000
#define PLACES 64

static aegis_locked_arena_heap heap;

static aegis_arena_heap_stats locked_stats(void) {
    aegis_arena_heap_stats stats;
    aegis_locked_arena_heap_get_stats(&heap, &stats);
    return stats;
}

static void begin(shared_source *state, size_t capacity_bytes) {
    aegis_source source = shared_source_get(state, capacity_bytes != 0);
    state->any_size = true;
    aegis_arena_options options = heap_options(&source);
    options.capacity_bytes = capacity_bytes;
    options.max_block_bytes = 65536;
    CHECK(aegis_locked_arena_heap_init(&heap, &options, NULL) == AEGIS_OK);
}

static void end(shared_source *state) {
    aegis_locked_arena_heap_fini(&heap);
    aegis_locked_arena_heap_fini(&heap);
    aegis_locked_arena_heap_fini(NULL);
    shared_source_check_done(state);
}

static void each_call_does_what_that_of_a_heap_does(void) {
    shared_source state;
    begin(&state, 4096);
    unsigned char *p = (unsigned char *)aegis_locked_arena_heap_alloc(&heap, 100, NULL);
    unsigned char *q = (unsigned char *)aegis_locked_arena_heap_alloc_zeroed(&heap, 100, NULL);
    CHECK(is_aligned(p, 16) && is_filled(q, 0, 100));
    CHECK(aegis_locked_arena_heap_usable_size(&heap, p) >= 100);
    CHECK_SIZE(aegis_locked_arena_heap_usable_size(&heap, NULL), 0);
    memset(p, 5, 100);
    aegis_locked_arena_heap_free(&heap, q);
    q = (unsigned char *)aegis_locked_arena_heap_alloc_zeroed(&heap, 100, NULL);
    CHECK(is_filled(q, 0, 100));
    aegis_locked_arena_heap_free_sized(&heap, q, 100);
    aegis_locked_arena_heap_free(&heap, NULL);
    q = (unsigned char *)aegis_locked_arena_heap_alloc_aligned(&heap, 100, 512, true, NULL);
    CHECK(is_aligned(q, 512) && is_filled(q, 0, 100));
    q = (unsigned char *)aegis_locked_arena_heap_realloc_aligned(&heap, q, 100, 9000, 512, NULL);
    CHECK(is_aligned(q, 512) && is_filled(q, 0, 100));
    CHECK(aegis_locked_arena_heap_resize_in_place(&heap, q, 8000));
    CHECK(!aegis_locked_arena_heap_resize_in_place(&heap, q, 1000000));
    CHECK(!aegis_locked_arena_heap_resize_in_place(&heap, NULL, 8));
    p = (unsigned char *)aegis_locked_arena_heap_realloc(&heap, p, 20000, NULL);
    CHECK(is_filled(p, 5, 100));
    CHECK(aegis_locked_arena_heap_realloc(&heap, NULL, 20, NULL) != NULL);
    size_t live = atomic_load(&state.live_count);
    aegis_locked_arena_heap_free(&heap, p);
    CHECK_SIZE(atomic_load(&state.live_count), live - 1);
    aegis_locked_arena_heap_reset(&heap);
    CHECK_SIZE(locked_stats().used_bytes, 0);
    aegis_locked_arena_heap_trim(&heap, 0);
    CHECK_SIZE(locked_stats().reserved_bytes, 0);
    CHECK(aegis_locked_arena_heap_alloc(&heap, 8, NULL) != NULL);
    aegis_locked_arena_heap_clear(&heap);
    CHECK_SIZE(locked_stats().block_count, 0);
    end(&state);
}

static void failures_say_why_and_change_nothing(void) {
    shared_source state;
    aegis_error error;
    begin(&state, 64);
    CHECK(aegis_locked_arena_heap_alloc(&heap, SIZE_MAX, &error) == NULL);
    CHECK(error.status == AEGIS_E_INVALID_LAYOUT);
    CHECK(aegis_locked_arena_heap_alloc_aligned(&heap, 1, 3, false, &error) == NULL);
    CHECK(error.status == AEGIS_E_INVALID_LAYOUT && error.align_bytes == 3);
    unsigned char *p = (unsigned char *)aegis_locked_arena_heap_alloc(&heap, 8, NULL);
    CHECK(p != NULL);
    memset(p, 3, 8);
    aegis_arena_heap_stats before = locked_stats();
    atomic_store(&state.fail_from, 1);
    CHECK(aegis_locked_arena_heap_alloc(&heap, 1000, &error) == NULL);
    CHECK(error.status == AEGIS_E_OUT_OF_MEMORY && error.requested_bytes == 1000);
    CHECK(aegis_locked_arena_heap_alloc_zeroed(&heap, 100000, NULL) == NULL);
    CHECK(aegis_locked_arena_heap_realloc(&heap, p, 5000, &error) == NULL);
    CHECK(is_filled(p, 3, 8));
    /* What becomes smaller stays where it is if there is no smaller place. */
    atomic_store(&state.fail_from, 0);
    unsigned char *q = (unsigned char *)aegis_locked_arena_heap_alloc(&heap, 300000, NULL);
    memset(q, 4, 300000);
    atomic_store(&state.fail_from, 1);
    error.status = AEGIS_OK;
    CHECK(aegis_locked_arena_heap_realloc(&heap, q, 20000, &error) == q && is_filled(q, 4, 20000));
    CHECK(error.status == AEGIS_OK);
    CHECK(aegis_locked_arena_heap_realloc(&heap, q, 400000, &error) == NULL);
    CHECK(error.status == AEGIS_E_OUT_OF_MEMORY && error.requested_bytes == 400000);
    aegis_locked_arena_heap_free(&heap, q);
    aegis_arena_heap_stats after = locked_stats();
    CHECK_SIZE(before.used_bytes, after.used_bytes);
    CHECK_SIZE(before.reserved_bytes, after.reserved_bytes);
    end(&state);

    aegis_source source = shared_source_get(&state, false);
    aegis_arena_options options = heap_options(&source);
    options.capacity_bytes = 64;
    atomic_store(&state.fail_from, 1);
    CHECK(aegis_locked_arena_heap_init(&heap, &options, &error) == AEGIS_E_OUT_OF_MEMORY);
    CHECK(heap.shared == NULL && error.requested_bytes == 64);
    options.flags = 1u << 30;
    CHECK(aegis_locked_arena_heap_init(&heap, &options, NULL) == AEGIS_E_INVALID);
}

/* Allocations that any thread may take over: the first bytes have the size. */
static _Atomic(unsigned char *) places[PLACES];
static atomic_size_t failed_count;

static void check_and_free(unsigned char *p) {
    size_t size;
    if (p == NULL)
        return;
    memcpy(&size, p, sizeof size);
    CHECK(is_filled(p + sizeof size, (unsigned char)size, size - sizeof size));
    if (size % 2 == 0)
        aegis_locked_arena_heap_free_sized(&heap, p, size);
    else
        aegis_locked_arena_heap_free(&heap, p);
}

static unsigned char *made(uint64_t *seed, unsigned char *old) {
    size_t size = sizeof size + random_below(seed, random_below(seed, 50) == 0 ? 20000 : 400);
    void *p = old != NULL ? aegis_locked_arena_heap_realloc(&heap, old, size, NULL)
                          : aegis_locked_arena_heap_alloc(&heap, size, NULL);
    if (p == NULL) {
        atomic_fetch_add_explicit(&failed_count, 1, memory_order_relaxed);
        return old;
    }
    memcpy(p, &size, sizeof size);
    memset((unsigned char *)p + sizeof size, (int)(unsigned char)size, size - sizeof size);
    return (unsigned char *)p;
}

static void *work(void *argument) {
    uint64_t seed = (uint64_t)(uintptr_t)argument * 7919;
    for (size_t round = scaled(ROUNDS); round-- != 0;) {
        _Atomic(unsigned char *) *place = &places[random_below(&seed, PLACES)];
        unsigned char *mine = made(&seed, NULL);
        if (random_below(&seed, 4) == 0)
            mine = made(&seed, mine);
        /* The release and the acquire hand the bytes to another thread. */
        check_and_free(atomic_exchange_explicit(place, mine, memory_order_acq_rel));
        if (random_below(&seed, 200) == 0)
            aegis_locked_arena_heap_trim(&heap, random_below(&seed, 100000));
    }
    return NULL;
}

static void threads_free_what_others_have_allocated(void) {
    for (size_t fail_each = 0; fail_each <= 9; fail_each += 9) {
        shared_source state;
        pthread_t threads[THREADS];
        begin(&state, 0);
        atomic_store(&state.fail_each, fail_each);
        for (uintptr_t i = 0; i < THREADS; i++)
            CHECK(pthread_create(&threads[i], NULL, work, (void *)(i + 1)) == 0);
        for (size_t i = 0; i < THREADS; i++)
            CHECK(pthread_join(threads[i], NULL) == 0);
        for (size_t i = 0; i < PLACES; i++)
            check_and_free(atomic_exchange(&places[i], NULL));
        CHECK(fail_each != 0 || atomic_load(&failed_count) == 0);
        CHECK_SIZE(locked_stats().used_bytes, 0);
        aegis_locked_arena_heap_trim(&heap, 0);
        CHECK_SIZE(locked_stats().reserved_bytes, 0);
        end(&state);
    }
}

/* A source that uses the heap for which it gets memory. */
static void *nested_acquire(void *context, size_t size_bytes, size_t align_bytes, bool *zeroed) {
    static bool inside = false;
    if (!inside) {
        inside = true;
        void *p = aegis_locked_arena_heap_alloc(&heap, 700, NULL);
        CHECK(p != NULL);
        aegis_locked_arena_heap_free(&heap, p);
        inside = false;
    }
    aegis_source below = aegis_source_heap();
    (void)context;
    return below.acquire(NULL, size_bytes, align_bytes, zeroed);
}

static void source_may_use_the_heap(void) {
    aegis_source source = aegis_source_heap();
    source.acquire = nested_acquire;
    aegis_arena_options options = heap_options(&source);
    CHECK(aegis_locked_arena_heap_init(&heap, &options, NULL) == AEGIS_OK);
    for (size_t i = 0; i < 200; i++)
        CHECK(aegis_locked_arena_heap_alloc(&heap, i * 10, NULL) != NULL);
    aegis_locked_arena_heap_fini(&heap);
}

int main(void) {
    check_alarm(300);
    RUN(each_call_does_what_that_of_a_heap_does);
    RUN(failures_say_why_and_change_nothing);
    RUN(threads_free_what_others_have_allocated);
    RUN(source_may_use_the_heap);
    return check_finish();
}
