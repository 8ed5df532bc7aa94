/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of shared arenas need: a thread-safe source that counts, fails on demand, and
 * gives either dirty or zeroed memory. */
#ifndef SHARED_SUPPORT_H
#define SHARED_SUPPORT_H

#include "support.h"

#include <stdatomic.h>

#if defined(TEST_TSAN)
/* For the same reason as AddressSanitizer's in base_support.h. */
const char *__tsan_default_options(void);
const char *__tsan_default_options(void) {
    return "allocator_may_return_null=1";
}
#endif

typedef struct shared_source {
    bool zeroing;
    /* True: a block's size need not be a multiple of its alignment, as it is for a lock-free
     * arena. */
    bool any_size;
    /* Every `fail_each`-th acquire fails, and every one after `fail_from`. 0: none fails. */
    atomic_size_t fail_each;
    atomic_size_t fail_from;
    atomic_size_t asked_count;
    atomic_size_t live_count;
    atomic_size_t live_bytes;
    atomic_size_t close_count;
} shared_source;

static inline void *shared_source_acquire(void *context, size_t size_bytes, size_t align_bytes,
                                          bool *zeroed) {
    shared_source *source = (shared_source *)context;
    size_t number = atomic_fetch_add(&source->asked_count, 1) + 1;
    size_t each = atomic_load(&source->fail_each);
    size_t from = atomic_load(&source->fail_from);
    if ((each != 0 && number % each == 0) || (from != 0 && number >= from) ||
        size_bytes > (size_t)1 << 30)
        return NULL;
    if (!source->any_size)
        CHECK_SIZE(size_bytes % align_bytes, 0);
    aegis_source heap = aegis_source_heap();
    void *memory = heap.acquire(heap.context, size_bytes, align_bytes, zeroed);
    if (memory == NULL)
        return NULL;
    memset(memory, source->zeroing ? 0 : TEST_SOURCE_FILL, size_bytes);
    *zeroed = source->zeroing;
    atomic_fetch_add(&source->live_count, 1);
    atomic_fetch_add(&source->live_bytes, size_bytes);
    return memory;
}

static inline void shared_source_release(void *context, void *memory, size_t size_bytes,
                                         size_t align_bytes) {
    shared_source *source = (shared_source *)context;
    aegis_source heap = aegis_source_heap();
    memset(memory, 0xDD, size_bytes);
    heap.release(heap.context, memory, size_bytes, align_bytes);
    atomic_fetch_sub(&source->live_count, 1);
    atomic_fetch_sub(&source->live_bytes, size_bytes);
}

static inline void shared_source_close(void *context) {
    atomic_fetch_add(&((shared_source *)context)->close_count, 1);
}

static inline aegis_source shared_source_get(shared_source *state, bool zeroing) {
    memset(state, 0, sizeof *state);
    state->zeroing = zeroing;
    aegis_source source = {shared_source_acquire, shared_source_release, shared_source_close,
                           state};
    return source;
}

/* Demands that everything was given back and that the source was closed once. */
static inline void shared_source_check_done(shared_source *source) {
    CHECK_SIZE(atomic_load(&source->live_count), 0);
    CHECK_SIZE(atomic_load(&source->live_bytes), 0);
    CHECK_SIZE(atomic_load(&source->close_count), 1);
}

static inline aegis_lock_free_arena shared_arena(size_t capacity_bytes, size_t max_block_bytes,
                                                 const aegis_source *source) {
    aegis_lock_free_arena_options options = {capacity_bytes, max_block_bytes, source,
                                             NULL,           "test",          0};
    aegis_lock_free_arena arena;
    CHECK(aegis_lock_free_arena_init(&arena, &options, NULL) == AEGIS_OK);
    return arena;
}

static inline aegis_arena_stats shared_stats(const aegis_lock_free_arena *arena) {
    aegis_arena_stats stats;
    aegis_lock_free_arena_get_stats(arena, &stats);
    return stats;
}

/* Whether a checker adds gaps, so that neither adjacency nor exact statistics can be tested. */
static inline bool is_gapped(void) {
    aegis_lock_free_arena arena = shared_arena(64, 0, NULL);
    (void)aegis_lock_free_arena_alloc(&arena, 8, NULL);
    bool gapped = shared_stats(&arena).used_bytes != 8;
    aegis_lock_free_arena_fini(&arena);
    return gapped;
}

#endif
