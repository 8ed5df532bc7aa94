/* SPDX-License-Identifier: Apache-2.0 */
/* Tests a locked pool in a process that forks while a thread waits for a block, or inside a call on
 * the pool. The pool must serve the parent and the child. The child must end; an alarm in the child
 * ends it otherwise. */
#include "fork_support.h"

#if defined(_WIN32)

int main(void) {
    RUN(nothing_forks_here);
    return check_finish();
}

#else

static aegis_locked_pool locked_pool;

static void *wait_for_block(void *block) {
    *(void **)block = aegis_locked_pool_alloc_timeout(&locked_pool, AEGIS_WAIT_FOREVER, NULL);
    return NULL;
}

static void serve_nobody_but_this_thread(void) {
    CHECK_SIZE(aegis_locked_pool_waiting(&locked_pool), 0);
    CHECK(aegis_locked_pool_alloc_timeout(&locked_pool, NS_PER_MS, NULL) == NULL);
}

static void waiting_threads_are_forgotten_in_a_child(void) {
    aegis_pool_options options = pool_options(64, 1, 0, NULL);
    CHECK(aegis_locked_pool_init(&locked_pool, &options) == AEGIS_OK);
    void *block = aegis_locked_pool_alloc(&locked_pool, NULL);
    void *waited = NULL;
    pthread_t waiter;
    CHECK(pthread_create(&waiter, NULL, wait_for_block, &waited) == 0);
    while (aegis_locked_pool_waiting(&locked_pool) != 1)
        sched_yield();
    /* Once the waiting thread sleeps, no thread is inside a call, but that thread may still be on
     * its way to sleep. */
    for (int i = 0; i < 100; i++)
        sched_yield();
    run_in_child(serve_nobody_but_this_thread);
    CHECK(aegis_locked_pool_free(&locked_pool, block) == AEGIS_OK);
    CHECK(pthread_join(waiter, NULL) == 0);
    CHECK(waited == block);
    CHECK(aegis_locked_pool_free(&locked_pool, waited) == AEGIS_OK);
    CHECK(aegis_locked_pool_fini(&locked_pool) == AEGIS_OK);
}

/* Requests that were polled before the fork: one waits, and one has a block already. */
static aegis_locked_pool_request *waiting_request, *served_request;
static void *held_block;
static size_t wake_count;

static void count_wake(void *context) {
    (void)context;
    wake_count++;
}

static aegis_status poll_request(aegis_locked_pool_request **request, void **block) {
    return aegis_locked_pool_poll(&locked_pool, request, block, count_wake, NULL, NULL);
}

/* Only in the parent the request that waits is woken. */
static void use_requests(bool in_parent) {
    void *block;
    wake_count = 0;
    CHECK_SIZE(aegis_locked_pool_waiting(&locked_pool), in_parent ? 1 : 0);
    CHECK(aegis_locked_pool_free(&locked_pool, held_block) == AEGIS_OK);
    CHECK_SIZE(wake_count, in_parent ? 1 : 0);
    CHECK(poll_request(&waiting_request, &block) == AEGIS_OK);
    CHECK(block == held_block);
    void *served = NULL;
    CHECK(poll_request(&served_request, &served) == AEGIS_OK);
    CHECK(poll_request(&waiting_request, &block) == AEGIS_PENDING);
    CHECK_SIZE(aegis_locked_pool_waiting(&locked_pool), 1);
    CHECK(aegis_locked_pool_free(&locked_pool, served) == AEGIS_OK);
    CHECK_SIZE(wake_count, in_parent ? 2 : 1);
    CHECK(poll_request(&waiting_request, &block) == AEGIS_OK);
    CHECK(aegis_locked_pool_free(&locked_pool, block) == AEGIS_OK);
    CHECK(aegis_locked_pool_free(&locked_pool, held_block) == AEGIS_OK);
    CHECK(aegis_locked_pool_fini(&locked_pool) == AEGIS_OK);
}

static void use_requests_of_the_parent(void) {
    use_requests(false);
}

/* Neither the queue of the child nor a waker there has to do with the parent's requests. */
static void cancel_requests(void) {
    CHECK(aegis_locked_pool_request_cancel(waiting_request));
    CHECK(!aegis_locked_pool_request_cancel(served_request));
    CHECK(aegis_locked_pool_free(&locked_pool, held_block) == AEGIS_OK);
    CHECK_SIZE(wake_count, 1);
    CHECK(aegis_locked_pool_fini(&locked_pool) == AEGIS_OK);
}

static void requests_of_a_parent_can_be_polled_and_cancelled_in_a_child(void) {
    aegis_pool_options options = pool_options(64, 2, 0, NULL);
    CHECK(aegis_locked_pool_init(&locked_pool, &options) == AEGIS_OK);
    void *block = aegis_locked_pool_alloc(&locked_pool, NULL);
    held_block = aegis_locked_pool_alloc(&locked_pool, NULL);
    void *none;
    wake_count = 0;
    waiting_request = served_request = NULL;
    CHECK(poll_request(&served_request, &none) == AEGIS_PENDING);
    CHECK(poll_request(&waiting_request, &none) == AEGIS_PENDING);
    CHECK(aegis_locked_pool_free(&locked_pool, block) == AEGIS_OK);
    CHECK_SIZE(wake_count, 1);
    run_in_child(use_requests_of_the_parent);
    run_in_child(cancel_requests);
    use_requests(true);
}

static aegis_source pages;
static bool forking;
static pid_t forked;

static void fork_here(void) {
    if (!forking)
        return;
    forking = false;
    forked = fork();
    if (forked == 0) {
        check_failures = 0;
        alarm(10);
    }
}

static void *forking_acquire(void *context, size_t size_bytes, size_t align_bytes, bool *zeroed) {
    fork_here();
    return pages.acquire(context, size_bytes, align_bytes, zeroed);
}

static void forking_release(void *context, void *memory, size_t size_bytes, size_t align_bytes) {
    fork_here();
    pages.release(context, memory, size_bytes, align_bytes);
}

static void forking_pressure(void *context, size_t used_bytes, size_t limit_bytes) {
    (void)context;
    (void)used_bytes;
    (void)limit_bytes;
    fork_here();
}

/* In the child: ends the process. In the parent: waits for the child. */
static void meet(void) {
    int status = -1;
    if (forked == 0)
        _exit(check_failures != 0);
    CHECK(forked > 0 && waitpid(forked, &status, 0) == forked);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* The call that forks goes on in both processes. */
static void source_that_forks_serves_parent_and_child(void) {
    pages = aegis_source_pages(0);
    aegis_source source = {forking_acquire, forking_release, NULL, pages.context};
    aegis_pool_options options = pool_options(64, 1, 4, &source);
    CHECK(aegis_locked_pool_init(&locked_pool, &options) == AEGIS_OK);
    void *blocks[2] = {aegis_locked_pool_alloc(&locked_pool, NULL), NULL};
    forking = true;
    blocks[1] = aegis_locked_pool_alloc_timeout(&locked_pool, AEGIS_WAIT_FOREVER, NULL);
    CHECK(blocks[1] != NULL);
    CHECK_SIZE(locked_stats(&locked_pool).in_use, 2);
    CHECK_SIZE(aegis_locked_pool_waiting(&locked_pool), 0);
    CHECK(aegis_locked_pool_free_n(&locked_pool, blocks, 2) == AEGIS_OK);
    if (forked == 0)
        CHECK(aegis_locked_pool_fini(&locked_pool) == AEGIS_OK);
    meet();
    forking = true;
    aegis_locked_pool_trim(&locked_pool, 0);
    CHECK_SIZE(locked_stats(&locked_pool).slab_count, 1);
    CHECK(aegis_locked_pool_fini(&locked_pool) == AEGIS_OK);
    meet();
}

static void pressure_function_that_forks_serves_parent_and_child(void) {
    aegis_budget *budget = aegis_budget_new("all", (size_t)1 << 20, NULL);
    aegis_pool_options options = pool_options(64, 1, 4, NULL);
    options.budget = budget;
    CHECK(aegis_locked_pool_init(&locked_pool, &options) == AEGIS_OK);
    void *blocks[4];
    aegis_budget_figures figures;
    aegis_budget_get_figures(budget, &figures);
    aegis_budget_set_limit(budget, figures.used_bytes * 2);
    CHECK(aegis_budget_on_pressure(budget, 51, forking_pressure, NULL, NULL) == AEGIS_OK);
    forking = true;
    size_t count = aegis_locked_pool_alloc_n(&locked_pool, blocks, 4, NULL);
    CHECK(!forking && count >= 2);
    CHECK(aegis_locked_pool_free_n(&locked_pool, blocks, count) == AEGIS_OK);
    CHECK(aegis_locked_pool_fini(&locked_pool) == AEGIS_OK);
    aegis_budget_get_figures(budget, &figures);
    CHECK_SIZE(figures.used_bytes, 0);
    aegis_budget_destroy(budget);
    meet();
}

int main(void) {
    RUN(waiting_threads_are_forgotten_in_a_child);
    RUN(requests_of_a_parent_can_be_polled_and_cancelled_in_a_child);
    RUN(source_that_forks_serves_parent_and_child);
    RUN(pressure_function_that_forks_serves_parent_and_child);
    return check_finish();
}

#endif
