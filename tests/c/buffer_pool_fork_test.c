/* SPDX-License-Identifier: Apache-2.0 */
/* Tests a process that forks while its threads use a buffer pool. The pool must work in the child,
 * where those threads do not exist: no block has two owners there, no call hangs, and the pool is
 * freed when all of its blocks are back. AEGIS_TEST_SCALE sets the work. */
#if !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* usleep */
#endif
#include "buffer_pool_support.h"

#if defined(__unix__) || defined(__APPLE__)

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

/* Under ThreadSanitizer the child of a process with threads cannot start threads of its own. */
#if defined(TEST_TSAN)
#define CHILD_THREADS 0
#else
#define CHILD_THREADS 2
#endif

#define NS_PER_MS UINT64_C(1000000)
#define CLASSES 2
#define CLASS_BUFFERS 24
#define BUFFERS (CLASSES * CLASS_BUFFERS)
#define THREADS 4
#define CHILDREN 50
#define HELD 3

static const aegis_buffer_class classes[CLASSES] = {{64, 8, CLASS_BUFFERS},
                                                    {256, 8, CLASS_BUFFERS}};
static aegis_buffer_pool pool;
/* Whether a buffer is out, as far as the threads of the test know. */
static _Atomic uint32_t owners[BUFFERS];
static atomic_size_t failure_count;
static _Atomic bool stop;

static void demand(bool condition) {
    if (!condition)
        atomic_fetch_add(&failure_count, 1);
}

/* Runs the work in a child process, which must end in time or is killed. Returns whether all checks
 * there passed. */
static bool child_succeeds(void (*work)(void)) {
    int status = -1;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        alarm(20);
        check_failures = 0;
        atomic_store(&failure_count, 0);
        work();
        _exit(check_failures == 0 && atomic_load(&failure_count) == 0 ? 0 : 1);
    }
    return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) &&
           WEXITSTATUS(status) == 0;
}

static size_t own(const aegis_buffer_mut *writer) {
    size_t id = 0;
    demand(aegis_buffer_pool_id_of(&pool, writer->owner, &id) == AEGIS_OK && id < BUFFERS);
    demand(atomic_exchange(&owners[id], 1) == 0);
    memset(writer->data, (int)id, writer->capacity);
    return id;
}

static void disown(aegis_buffer_mut *writer, size_t id) {
    demand(is_filled(writer->data, (unsigned char)id, writer->capacity));
    atomic_store(&owners[id], 0);
    demand(aegis_buffer_mut_release(writer) == AEGIS_OK);
}

/* Gives the buffer back as `disown` does, but as two views. */
static void disown_in_parts(aegis_buffer_mut *writer, size_t id) {
    aegis_buffer front, back;
    writer->length = writer->capacity;
    back = aegis_buffer_mut_freeze(writer);
    demand(aegis_buffer_split_to(&back, 16, &front) == AEGIS_OK);
    demand(is_filled(back.data, (unsigned char)id, back.length));
    demand(aegis_buffer_release(&back) == AEGIS_OK);
    atomic_store(&owners[id], 0);
    demand(aegis_buffer_release(&front) == AEGIS_OK);
}

/* Takes buffers, sometimes more than the pool has, and then waits for a short time. Gives them all
 * back. */
static void use(uint64_t *seed) {
    aegis_buffer_mut held[CLASS_BUFFERS];
    size_t ids[CLASS_BUFFERS];
    size_t want_count = 1 + random_below(seed, CLASS_BUFFERS);
    size_t got_count = 0;
    while (got_count < want_count) {
        size_t capacity_bytes = 1 + random_below(seed, 256);
        uint64_t timeout_ns = random_below(seed, 8) == 0 ? random_below(seed, NS_PER_MS) : 0;
        if (aegis_buffer_pool_get_timeout(&pool, &held[got_count], capacity_bytes, timeout_ns,
                                          NULL) != AEGIS_OK)
            break;
        ids[got_count] = own(&held[got_count]);
        got_count++;
    }
    for (size_t i = 0; i < got_count; i++) {
        if (random_below(seed, 2) == 0)
            disown(&held[i], ids[i]);
        else
            disown_in_parts(&held[i], ids[i]);
    }
}

static void *hammer(void *argument) {
    uint64_t seed = (uint64_t)(uintptr_t)argument;
    while (!atomic_load(&stop))
        use(&seed);
    return NULL;
}

static void *hammer_for_a_while(void *argument) {
    uint64_t seed = (uint64_t)(uintptr_t)argument;
    for (int i = 0; i < 50; i++)
        use(&seed);
    return NULL;
}

/* The buffers that the forking thread holds. */
static aegis_buffer_mut kept[HELD];
static size_t kept_ids[HELD];

/* Takes all buffers that are free in this process, at one time. `own` demands that each has no
 * owner. */
static void take_all(void) {
    aegis_buffer_mut all[BUFFERS + 1];
    size_t ids[BUFFERS];
    aegis_error error;
    size_t got_count = 0;
    while (got_count <= BUFFERS &&
           aegis_buffer_pool_get(&pool, &all[got_count], 1, &error) == AEGIS_OK) {
        ids[got_count] = own(&all[got_count]);
        got_count++;
    }
    demand(got_count <= BUFFERS - HELD && error.status == AEGIS_E_EXHAUSTED);
    demand(aegis_buffer_pool_get_timeout(&pool, &all[got_count], 1, NS_PER_MS, &error) ==
           AEGIS_E_EXHAUSTED);
    for (size_t i = 0; i < got_count; i++)
        disown(&all[i], ids[i]);
}

static void use_as_a_grandchild(void) {
    take_all();
}

static void use_as_a_child(void) {
    pthread_t threads[CHILD_THREADS + 1];
    take_all();
    for (size_t i = 0; i + 1 <= CHILD_THREADS; i++)
        demand(pthread_create(&threads[i], NULL, hammer_for_a_while, (void *)(i + 77)) == 0);
    demand(child_succeeds(use_as_a_grandchild));
    for (size_t i = 0; i + 1 <= CHILD_THREADS; i++)
        pthread_join(threads[i], NULL);
    take_all();
    for (size_t i = 0; i < HELD; i++)
        disown(&kept[i], kept_ids[i]);
    aegis_buffer_pool_release(&pool);
}

static void make(const aegis_source *source) {
    aegis_buffer_pool_options options = buffer_pool_options(classes, CLASSES, source);
    CHECK(aegis_buffer_pool_init(&pool, &options) == AEGIS_OK);
    for (size_t i = 0; i < BUFFERS; i++)
        atomic_store(&owners[i], 0);
}

static void a_pool_in_use_at_a_fork_works_in_the_child(void) {
    pthread_t threads[THREADS];
    make(NULL);
    for (size_t i = 0; i < HELD; i++) {
        CHECK(aegis_buffer_pool_get(&pool, &kept[i], 1, NULL) == AEGIS_OK);
        kept_ids[i] = own(&kept[i]);
    }
    for (size_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, hammer, (void *)(i + 1)) == 0);
    size_t child_count = scaled(CHILDREN);
    size_t success_count = 0;
    for (size_t i = 0; i < child_count; i++) {
        uint64_t seed = i;
        use(&seed);
        success_count += child_succeeds(use_as_a_child);
    }
    atomic_store(&stop, true);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    CHECK_SIZE(success_count, child_count);
    take_all();
    for (size_t i = 0; i < HELD; i++)
        disown(&kept[i], kept_ids[i]);
    CHECK_SIZE(atomic_load(&failure_count), 0);
    aegis_buffer_pool_release(&pool);
}

static test_source state;

static void end_pool_with_buffers_out(void) {
    aegis_buffer_pool_release(&pool);
    CHECK_SIZE(state.close_count, 0);
    for (size_t i = 0; i < HELD; i++)
        disown(&kept[i], kept_ids[i]);
    test_source_check_done(&state);
}

static void *wait_for_ever(void *unused) {
    aegis_buffer_mut writer;
    (void)unused;
    CHECK(aegis_buffer_pool_get_timeout(&pool, &writer, 1, AEGIS_WAIT_FOREVER, NULL) == AEGIS_OK);
    CHECK(aegis_buffer_mut_release(&writer) == AEGIS_OK);
    return NULL;
}

/* A condition variable that counts a waiting thread cannot be destroyed as it is, and in the child
 * that thread does not exist. */
static void a_pool_that_is_waited_for_at_a_fork_ends_in_the_child(void) {
    static const aegis_buffer_class only = {64, HELD, 0};
    pthread_t thread;
    aegis_source source = test_source_get(&state, true);
    aegis_buffer_pool_options options = buffer_pool_options(&only, 1, &source);
    CHECK(aegis_buffer_pool_init(&pool, &options) == AEGIS_OK);
    for (size_t i = 0; i < HELD; i++) {
        CHECK(aegis_buffer_pool_get(&pool, &kept[i], 1, NULL) == AEGIS_OK);
        kept_ids[i] = own(&kept[i]);
    }
    CHECK(pthread_create(&thread, NULL, wait_for_ever, NULL) == 0);
    while (buffer_pool_stats(&pool).wait_count == 0)
        sched_yield();
    usleep(1000);
    CHECK(child_succeeds(end_pool_with_buffers_out));
    for (size_t i = 0; i < HELD; i++)
        disown(&kept[i], kept_ids[i]);
    pthread_join(thread, NULL);
    aegis_buffer_pool_release(&pool);
    test_source_check_done(&state);
}

static void give_back_the_last(void) {
    for (size_t i = 0; i < HELD; i++)
        disown(&kept[i], kept_ids[i]);
    test_source_check_done(&state);
}

static void buffers_of_an_ended_pool_end_it_in_the_child_too(void) {
    aegis_source source = test_source_get(&state, true);
    make(&source);
    for (size_t i = 0; i < HELD; i++) {
        CHECK(aegis_buffer_pool_get(&pool, &kept[i], 1, NULL) == AEGIS_OK);
        kept_ids[i] = own(&kept[i]);
    }
    aegis_buffer_pool_release(&pool);
    CHECK(child_succeeds(give_back_the_last));
    give_back_the_last();
}

int main(void) {
    if (test_can_fork_beside_threads()) {
        RUN(a_pool_in_use_at_a_fork_works_in_the_child);
        RUN(a_pool_that_is_waited_for_at_a_fork_ends_in_the_child);
    }
    RUN(buffers_of_an_ended_pool_end_it_in_the_child_too);
    return check_finish();
}

#else

int main(void) {
    printf("nothing forks here: 1 passed, 0 failed\n");
    return 0;
}

#endif
