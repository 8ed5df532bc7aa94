/* SPDX-License-Identifier: Apache-2.0 */
/* Tests owners that release further buffers when they are released. They are nested as deep as
 * memory allows, on a stack that recursion would use up at once. Each owner must be released
 * exactly once, and in the order that buffer.h gives. */
#if !defined(_WIN32) && !defined(_POSIX_C_SOURCE)
#define _POSIX_C_SOURCE 200809L
#endif

#include "buffer_support.h"

#include <pthread.h>

#define LEVELS ((size_t)200000)
#define ARENA_LEVELS ((size_t)50000)
#define POOL_LEVELS ((size_t)5000)
#define STACK_BYTES ((size_t)256 * 1024)
/* A release function may run inside another one this many levels deep. */
#define DEPTH 16

static size_t release_count;

/* -- a chain of each kind of owner -- */

/* The context of a wrapped owner: the view that it holds. */
static void release_inner(void *context) {
    aegis_buffer *inner = (aegis_buffer *)context;
    release_count++;
    if (inner->data != NULL)
        CHECK(aegis_buffer_release(inner) == AEGIS_OK);
    free(inner);
}

static aegis_buffer wrap_around(const aegis_buffer *inner) {
    aegis_buffer view;
    aegis_buffer *context = (aegis_buffer *)malloc(sizeof *context);
    *context = *inner;
    CHECK(aegis_buffer_wrap(&view, "bytes", 5, release_inner, context, NULL) == AEGIS_OK);
    return view;
}

/* An owner whose header is in the caller's struct. */
typedef struct holder {
    aegis_buffer_owner owner;
    aegis_buffer inner;
} holder;

static unsigned char holder_bytes[4];

static void release_holder(aegis_buffer_owner *owner) {
    holder *held = (holder *)(void *)owner;
    CHECK_SIZE(owner->references, 0);
    release_count++;
    if (held->inner.data != NULL)
        CHECK(aegis_buffer_release(&held->inner) == AEGIS_OK);
    free(held);
}

static aegis_buffer adopt_around(const aegis_buffer *inner) {
    aegis_buffer_owner owner = {1, release_holder, holder_bytes, sizeof holder_bytes, 0, 0};
    /* The memory of every second owner is writable. */
    owner.flags = inner->length % 2 == 0 ? AEGIS_BUFFER_WRITABLE : 0;
    holder *held = (holder *)malloc(sizeof *held);
    held->owner = owner;
    held->inner = *inner;
    aegis_buffer view = aegis_buffer_adopt(&held->owner);
    CHECK(aegis_buffer_slice(&view, 0, inner->length % 2 == 0 ? 3 : 4, &view) == AEGIS_OK);
    return view;
}

static aegis_buffer arena_around(const aegis_buffer *inner) {
    aegis_arena arena;
    aegis_arena_options options;
    aegis_buffer view;
    memset(&options, 0, sizeof options);
    options.capacity_bytes = 256;
    options.flags = AEGIS_ARENA_NO_DEBUG;
    CHECK(aegis_arena_init(&arena, &options) == AEGIS_OK);
    aegis_buffer *context = (aegis_buffer *)malloc(sizeof *context);
    *context = *inner;
    CHECK(aegis_arena_defer(&arena, release_inner, context) == AEGIS_OK);
    CHECK(aegis_buffer_from_arena(&view, &arena, "bytes", 5, NULL) == AEGIS_OK);
    return view;
}

/* A pool that has handed out its only buffer. The pool's source holds the inner view. */
static aegis_buffer pool_around(const aegis_buffer *inner) {
    aegis_buffer_class only = {16, 1, 1};
    aegis_buffer_pool_options options;
    aegis_buffer_pool pool;
    aegis_buffer_mut writer;
    aegis_source source = aegis_source_heap();
    aegis_buffer *context = (aegis_buffer *)malloc(sizeof *context);
    *context = *inner;
    source.close = release_inner;
    source.context = context;
    memset(&options, 0, sizeof options);
    options.classes = &only;
    options.class_count = 1;
    options.align_bytes = 16;
    options.source = &source;
    CHECK(aegis_buffer_pool_init(&pool, &options) == AEGIS_OK);
    CHECK(aegis_buffer_pool_get(&pool, &writer, 5, NULL) == AEGIS_OK);
    CHECK(aegis_buffer_mut_append(&writer, "bytes", 5) == AEGIS_OK);
    aegis_buffer_pool_release(&pool);
    return aegis_buffer_mut_freeze(&writer);
}

static aegis_buffer any_around(const aegis_buffer *inner) {
    static size_t number;
    switch (number++ % 4) {
    case 0:
        return wrap_around(inner);
    case 1:
        return adopt_around(inner);
    case 2:
        return pool_around(inner);
    default:
        return arena_around(inner);
    }
}

typedef aegis_buffer (*around_fn)(const aegis_buffer *inner);

static aegis_buffer nested(around_fn around, size_t levels) {
    aegis_buffer view = {NULL, 0, NULL};
    for (size_t i = 0; i < levels; i++)
        view = around(&view);
    return view;
}

static void *release_view(void *view) {
    CHECK(aegis_buffer_release((aegis_buffer *)view) == AEGIS_OK);
    return NULL;
}

/* Runs a function in a thread with a small stack. */
static void run_small(void *(*function)(void *), void *argument) {
    pthread_attr_t attributes;
    pthread_t thread;
    CHECK(pthread_attr_init(&attributes) == 0);
    CHECK(pthread_attr_setstacksize(&attributes, STACK_BYTES) == 0);
    CHECK(pthread_create(&thread, &attributes, function, argument) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(pthread_attr_destroy(&attributes) == 0);
}

static void expect_each_released_once(around_fn around, size_t levels) {
    aegis_buffer view = nested(around, levels);
    release_count = 0;
    run_small(release_view, &view);
    CHECK_SIZE(release_count, levels);
}

static void wrapped_owners_nested_deep_are_each_released_once(void) {
    expect_each_released_once(wrap_around, LEVELS);
}

static void adopted_owners_nested_deep_are_each_released_once(void) {
    expect_each_released_once(adopt_around, LEVELS);
}

static void arenas_nested_deep_are_each_finished_once(void) {
    expect_each_released_once(arena_around, ARENA_LEVELS);
}

static void pools_whose_sources_hold_buffers_of_pools_are_each_freed_once(void) {
    expect_each_released_once(pool_around, POOL_LEVELS);
}

static void owners_of_all_kinds_nested_deep_are_each_released_once(void) {
    expect_each_released_once(any_around, POOL_LEVELS);
}

/* -- every way to give up a reference -- */

static void *give_up_in_all_ways(void *argument) {
    aegis_buffer *views = (aegis_buffer *)argument;
    aegis_buffer_mut writer, other;
    aegis_buffer empty;
    CHECK(aegis_buffer_into_mut(&views[0], &writer, NULL, NULL) == AEGIS_OK);
    CHECK(aegis_buffer_mut_release(&writer) == AEGIS_OK);
    CHECK(aegis_buffer_slice(&views[1], 0, 1, &views[1]) == AEGIS_OK);
    CHECK(aegis_buffer_compact(&views[1], NULL, NULL) == AEGIS_OK);
    CHECK(aegis_buffer_release(&views[1]) == AEGIS_OK);
    CHECK(aegis_buffer_slice(&views[2], 0, 0, &views[2]) == AEGIS_OK);
    empty = aegis_buffer_from_static("", 0);
    CHECK(aegis_buffer_unsplit(&empty, &views[2]) == AEGIS_OK);
    CHECK(aegis_buffer_try_into_mut(&views[3], &writer) == AEGIS_OK);
    CHECK(aegis_buffer_mut_split_to(&writer, 1, &other) == AEGIS_OK);
    CHECK(aegis_buffer_mut_release(&other) == AEGIS_OK);
    CHECK(aegis_buffer_mut_reserve(&writer, 1000, NULL, NULL) == AEGIS_OK);
    CHECK(aegis_buffer_mut_release(&writer) == AEGIS_OK);
    return NULL;
}

static void every_way_to_give_a_reference_up_releases_nested_owners(void) {
    aegis_buffer views[4];
    for (size_t i = 0; i < 4; i++)
        views[i] = nested(i == 3 ? adopt_around : wrap_around, LEVELS / 4);
    /* The memory of the outermost owner is writable. */
    views[3].owner->flags |= AEGIS_BUFFER_WRITABLE;
    release_count = 0;
    run_small(give_up_in_all_ways, views);
    CHECK_SIZE(release_count, LEVELS / 4 * 4);
}

/* -- the order -- */

typedef struct node {
    aegis_buffer inner[2];
    size_t number;
} node;

static size_t entered[64], left[64], entered_count, left_count;

static void release_node(void *context) {
    node *held = (node *)context;
    entered[entered_count++] = held->number;
    for (size_t i = 0; i < 2; i++)
        if (held->inner[i].data != NULL)
            CHECK(aegis_buffer_release(&held->inner[i]) == AEGIS_OK);
    left[left_count++] = held->number;
    free(held);
}

static aegis_buffer node_around(size_t number, const aegis_buffer *first,
                                const aegis_buffer *second) {
    static const aegis_buffer none = {NULL, 0, NULL};
    aegis_buffer view;
    node *held = (node *)malloc(sizeof *held);
    held->inner[0] = first != NULL ? *first : none;
    held->inner[1] = second != NULL ? *second : none;
    held->number = number;
    CHECK(aegis_buffer_wrap(&view, held, 1, release_node, held, NULL) == AEGIS_OK);
    return view;
}

static void sixteen_levels_are_released_before_the_call_returns(void) {
    aegis_buffer view = node_around(DEPTH - 1, NULL, NULL);
    for (size_t i = DEPTH - 1; i > 0; i--)
        view = node_around(i - 1, &view, NULL);
    entered_count = left_count = 0;
    CHECK(aegis_buffer_release(&view) == AEGIS_OK);
    CHECK_SIZE(left_count, DEPTH);
    for (size_t i = 0; i < DEPTH; i++)
        CHECK(entered[i] == i && left[i] == DEPTH - 1 - i);
}

/* Level 16 and deeper levels wait for the outermost call. Each pair is then released in the order
 * in which it was given up. */
static void deeper_levels_wait_in_the_order_they_were_given_up_in(void) {
    aegis_buffer pair[2], view;
    for (size_t i = 0; i < 2; i++) {
        view = node_around(DEPTH + 2 + i, NULL, NULL);
        pair[i] = node_around(DEPTH + i, &view, NULL);
    }
    view = node_around(DEPTH - 1, &pair[0], &pair[1]);
    for (size_t i = DEPTH - 1; i > 0; i--)
        view = node_around(i - 1, &view, NULL);
    entered_count = left_count = 0;
    CHECK(aegis_buffer_release(&view) == AEGIS_OK);
    static const size_t then[] = {DEPTH, DEPTH + 2, DEPTH + 1, DEPTH + 3};
    CHECK_SIZE(entered_count, DEPTH + 4);
    for (size_t i = 0; i < DEPTH; i++)
        CHECK(entered[i] == i && left[i] == DEPTH - 1 - i);
    for (size_t i = 0; i < 4; i++)
        CHECK_SIZE(entered[DEPTH + i], then[i]);
}

/* -- the function for bindings -- */

static void owner_without_references_is_released_as_by_the_last_handle(void) {
    test_owner state;
    aegis_buffer view = test_owner_adopt(&state, 0);
    state.owner.references = 0;
    aegis_buffer_owner_release(view.owner);
    CHECK_SIZE(state.release_count, 1);
    aegis_buffer_mut writer;
    CHECK(aegis_buffer_mut_alloc(&writer, 100, 0, NULL, NULL) == AEGIS_OK);
    writer.owner->references = 0;
    aegis_buffer_owner_release(writer.owner);
}

/* -- threads -- */

static void *release_two(void *argument) {
    aegis_buffer *views = (aegis_buffer *)argument;
    CHECK(aegis_buffer_release(&views[0]) == AEGIS_OK);
    CHECK(aegis_buffer_release(&views[1]) == AEGIS_OK);
    return NULL;
}

static atomic_size_t shared_count;

static void release_shared_inner(void *context) {
    aegis_buffer *inner = (aegis_buffer *)context;
    atomic_fetch_add(&shared_count, 1);
    if (inner->data != NULL)
        (void)aegis_buffer_release(inner);
    free(inner);
}

static void threads_release_their_own_and_shared_owners_once(void) {
    pthread_t threads[4];
    aegis_buffer views[4][2];
    aegis_buffer common = {NULL, 0, NULL};
    const size_t levels = 5000;
    for (size_t k = 0; k < 5; k++) {
        aegis_buffer view = {NULL, 0, NULL};
        for (size_t i = 0; i < levels; i++) {
            aegis_buffer *context = (aegis_buffer *)malloc(sizeof *context);
            *context = view;
            CHECK(aegis_buffer_wrap(&view, "x", 1, release_shared_inner, context, NULL) ==
                  AEGIS_OK);
        }
        if (k == 4)
            common = view;
        else
            views[k][0] = view;
    }
    for (size_t k = 0; k < 4; k++)
        CHECK(aegis_buffer_retain(&common, &views[k][1]) == AEGIS_OK);
    CHECK(aegis_buffer_release(&common) == AEGIS_OK);
    atomic_store(&shared_count, 0);
    for (size_t k = 0; k < 4; k++)
        CHECK(pthread_create(&threads[k], NULL, release_two, views[k]) == 0);
    for (size_t k = 0; k < 4; k++)
        CHECK(pthread_join(threads[k], NULL) == 0);
    CHECK_SIZE(atomic_load(&shared_count), 5 * levels);
}

int main(void) {
    RUN(wrapped_owners_nested_deep_are_each_released_once);
    RUN(adopted_owners_nested_deep_are_each_released_once);
    RUN(arenas_nested_deep_are_each_finished_once);
    RUN(pools_whose_sources_hold_buffers_of_pools_are_each_freed_once);
    RUN(owners_of_all_kinds_nested_deep_are_each_released_once);
    RUN(every_way_to_give_a_reference_up_releases_nested_owners);
    RUN(sixteen_levels_are_released_before_the_call_returns);
    RUN(deeper_levels_wait_in_the_order_they_were_given_up_in);
    RUN(owner_without_references_is_released_as_by_the_last_handle);
    RUN(threads_release_their_own_and_shared_owners_once);
    return check_finish();
}
