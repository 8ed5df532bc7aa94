/* SPDX-License-Identifier: Apache-2.0 */
/* Tests one buffer pool with more threads than cores. No block may have two owners or be lost, no
 * request may be refused while a buffer is free, and the last handle or buffer must free the pool.
 * Each block has an entry in an array of owners, which a thread sets with an exchange when it takes
 * the block. The block's content is a stamp that the last view checks. AEGIS_TEST_SCALE sets the
 * work. */
#if !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* sched_yield */
#endif
#include "buffer_pool_support.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#define THREADS 8
#define MAX_BUFFERS 256
#define HELD 16
#define BUFFER_BYTES 64

static aegis_buffer_pool pool;
static _Atomic uint32_t owners[MAX_BUFFERS];
/* How many views of each block are left. */
static _Atomic uint32_t view_counts[MAX_BUFFERS];
static atomic_size_t failure_count;
static atomic_size_t got_count;
/* Views that are on their way from one thread to another, each in a cell on the C heap. */
static _Atomic(aegis_buffer *) mailboxes[THREADS];
/* Whether the pool may refuse a request. */
static bool may_run_dry;

static void demand(bool condition) {
    if (!condition)
        atomic_fetch_add(&failure_count, 1);
}

static size_t id_of(const aegis_buffer_owner *owner) {
    size_t id = 0;
    demand(aegis_buffer_pool_id_of(&pool, owner, &id) == AEGIS_OK && id < MAX_BUFFERS);
    return id;
}

/* Takes a buffer, writes a stamp into it and makes two views of it. */
static bool take(uint64_t *seed, aegis_buffer views[2]) {
    aegis_buffer_mut writer;
    aegis_error error;
    aegis_status status =
        aegis_buffer_pool_get(&pool, &writer, 1 + random_below(seed, BUFFER_BYTES), &error);
    if (status != AEGIS_OK) {
        demand(may_run_dry && status == AEGIS_E_EXHAUSTED && error.status == status);
        return false;
    }
    atomic_fetch_add(&got_count, 1);
    size_t id = id_of(writer.owner);
    demand(atomic_exchange(&owners[id], 1) == 0);
    atomic_store(&view_counts[id], 2);
    unsigned char stamp = (unsigned char)random_next(seed);
    memset(writer.data, stamp, BUFFER_BYTES);
    writer.data[0] = (unsigned char)id;
    writer.length = BUFFER_BYTES;
    views[0] = aegis_buffer_mut_freeze(&writer);
    demand(aegis_buffer_split_to(&views[0], BUFFER_BYTES / 2, &views[1]) == AEGIS_OK);
    return true;
}

/* Releases a view. The last view of a block checks that the stamp is whole, and clears the entry of
 * the owner. */
static void put(aegis_buffer *view) {
    size_t id = id_of(view->owner);
    if (atomic_fetch_sub(&view_counts[id], 1) == 1) {
        const unsigned char *base = view->owner->base;
        demand(base[0] == (unsigned char)id && is_filled(base + 2, base[1], BUFFER_BYTES - 2));
        demand(atomic_exchange(&owners[id], 0) == 1);
    }
    demand(aegis_buffer_release(view) == AEGIS_OK);
}

/* Leaves a view to another thread and takes over the view that lay there. */
static void hand_over(uint64_t *seed, aegis_buffer *view) {
    aegis_buffer *cell = (aegis_buffer *)malloc(sizeof *cell);
    *cell = *view;
    cell = atomic_exchange(&mailboxes[random_below(seed, THREADS)], cell);
    memset(view, 0, sizeof *view);
    if (cell != NULL)
        *view = *cell;
    free(cell);
}

static void *work(void *argument) {
    uint64_t seed = 1000003 * (1 + (uint64_t)(uintptr_t)argument);
    aegis_buffer held[HELD];
    size_t held_count = 0;
    for (size_t i = 0; i < scaled(20000); i++) {
        size_t action = random_below(&seed, 8);
        if (action < 3 && held_count + 2 <= HELD) {
            if (take(&seed, held + held_count))
                held_count += 2;
        } else if (action < 7 && held_count != 0) {
            size_t pick = random_below(&seed, held_count);
            put(&held[pick]);
            held[pick] = held[--held_count];
        } else if (held_count != 0) {
            hand_over(&seed, &held[held_count - 1]);
            held_count -= held[held_count - 1].owner == NULL;
        }
    }
    while (held_count > 0)
        put(&held[--held_count]);
    return NULL;
}

/* Demands that every buffer is free, and each only once. */
static void check_complete(size_t expected) {
    static aegis_buffer_mut writers[MAX_BUFFERS + 1];
    bool seen[MAX_BUFFERS] = {false};
    size_t count = get_writers(&pool, writers, expected + 1, 1, NULL);
    CHECK_SIZE(count, expected);
    for (size_t i = 0; i < count; i++) {
        size_t id = id_of(writers[i].owner);
        CHECK(!seen[id]);
        seen[id] = true;
    }
    release_writers(writers, count);
}

static void stress(const aegis_buffer_class *classes, size_t class_count, size_t expected) {
    aegis_buffer_pool_options options = buffer_pool_options(classes, class_count, NULL);
    CHECK(aegis_buffer_pool_init(&pool, &options) == AEGIS_OK);
    atomic_store(&failure_count, 0);
    atomic_store(&got_count, 0);
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, work, (void *)(uintptr_t)i) == 0);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (size_t i = 0; i < THREADS; i++) {
        aegis_buffer *cell = atomic_exchange(&mailboxes[i], NULL);
        if (cell != NULL)
            put(cell);
        free(cell);
    }
    CHECK(atomic_load(&got_count) != 0);
    for (size_t i = 0; i < class_count; i++)
        CHECK_SIZE(buffer_pool_stats(&pool).classes[i].in_use, 0);
    check_complete(expected);
    CHECK_SIZE(atomic_load(&failure_count), 0);
    aegis_buffer_pool_release(&pool);
}

/* A thread never holds more than 16 views, so 8 threads and their mailboxes never hold 136 views.
 * So no request may be refused, wherever the free buffers lie. */
static void threads_with_enough_are_never_refused(void) {
    aegis_buffer_class only = {BUFFER_BYTES, 136, 0};
    may_run_dry = false;
    stress(&only, 1, 136);
}

/* The slabs are small, so that several threads want to grow the pool at the same time. */
static void threads_on_a_growing_pool_are_never_refused(void) {
    aegis_buffer_class only = {BUFFER_BYTES, 5, 136};
    may_run_dry = false;
    for (size_t i = 0; i < scaled(10); i++)
        stress(&only, 1, 136);
}

static void threads_on_a_pool_that_runs_dry(void) {
    aegis_buffer_class only = {BUFFER_BYTES, 3, 20};
    may_run_dry = true;
    for (size_t i = 0; i < scaled(4); i++)
        stress(&only, 1, 20);
}

static void threads_on_several_classes(void) {
    aegis_buffer_class classes[3] = {
        {BUFFER_BYTES, 4, 16}, {BUFFER_BYTES * 2, 50, 0}, {BUFFER_BYTES * 4, 1, 70}};
    may_run_dry = false;
    stress(classes, 3, 136);
}

/* There are as many buffers as threads, and each thread wants one at a time. No request may be
 * refused. */
static void *take_turns(void *argument) {
    uint64_t seed = 7 + (uint64_t)(uintptr_t)argument;
    for (size_t i = 0; i < scaled(20000); i++) {
        aegis_buffer views[2];
        if (!take(&seed, views))
            continue;
        put(&views[0]);
        put(&views[1]);
    }
    return NULL;
}

static void as_many_threads_as_buffers_always_get_one(void) {
    aegis_buffer_class only = {BUFFER_BYTES, THREADS, 0};
    aegis_buffer_pool_options options = buffer_pool_options(&only, 1, NULL);
    CHECK(aegis_buffer_pool_init(&pool, &options) == AEGIS_OK);
    may_run_dry = false;
    atomic_store(&failure_count, 0);
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, take_turns, (void *)(uintptr_t)i) == 0);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    CHECK_SIZE(atomic_load(&failure_count), 0);
    CHECK(buffer_pool_stats(&pool).refused_count == 0);
    check_complete(THREADS);
    aegis_buffer_pool_release(&pool);
}

/* At the end, threads release handles and buffers at the same time. Exactly one of these calls, the
 * last, must free the pool. */
static atomic_size_t close_count;
static atomic_size_t ready_count;

static void count_close(void *context) {
    (void)context;
    atomic_fetch_add(&close_count, 1);
}

typedef struct ending {
    aegis_buffer_pool handle;
    aegis_buffer_mut writers[4];
} ending;

static void *end_all(void *argument) {
    ending *self = (ending *)argument;
    aegis_buffer_mut writer;
    atomic_fetch_add(&ready_count, 1);
    while (atomic_load(&ready_count) != 4)
        sched_yield();
    demand(aegis_buffer_mut_release(&self->writers[0]) == AEGIS_OK);
    demand(aegis_buffer_pool_get(&self->handle, &writer, 1, NULL) == AEGIS_OK);
    demand(aegis_buffer_mut_release(&self->writers[1]) == AEGIS_OK);
    aegis_buffer_pool_release(&self->handle);
    demand(aegis_buffer_mut_release(&self->writers[2]) == AEGIS_OK);
    demand(aegis_buffer_mut_release(&writer) == AEGIS_OK);
    demand(aegis_buffer_mut_release(&self->writers[3]) == AEGIS_OK);
    return NULL;
}

static void the_pool_is_freed_once_by_the_last_of_all(void) {
    aegis_source source = aegis_source_heap();
    source.close = count_close;
    atomic_store(&failure_count, 0);
    atomic_store(&close_count, 0);
    size_t round_count = scaled(300);
    for (size_t round = 0; round < round_count; round++) {
        pthread_t threads[4];
        ending endings[4];
        aegis_buffer_pool first = buffer_pool_of(BUFFER_BYTES, 16 + round % 200, 0, &source);
        atomic_store(&ready_count, 0);
        for (size_t i = 0; i < 4; i++) {
            CHECK(aegis_buffer_pool_retain(&first, &endings[i].handle) == AEGIS_OK);
            CHECK_SIZE(get_writers(&first, endings[i].writers, 4, 1, NULL), 4);
        }
        aegis_buffer_pool_release(&first);
        for (size_t i = 0; i < 4; i++)
            CHECK(pthread_create(&threads[i], NULL, end_all, &endings[i]) == 0);
        for (size_t i = 0; i < 4; i++)
            pthread_join(threads[i], NULL);
        CHECK_SIZE(atomic_load(&close_count), round + 1);
    }
    CHECK_SIZE(atomic_load(&failure_count), 0);
}

int main(void) {
    RUN(threads_with_enough_are_never_refused);
    RUN(threads_on_a_growing_pool_are_never_refused);
    RUN(threads_on_a_pool_that_runs_dry);
    RUN(threads_on_several_classes);
    RUN(as_many_threads_as_buffers_always_get_one);
    RUN(the_pool_is_freed_once_by_the_last_of_all);
    return check_finish();
}
