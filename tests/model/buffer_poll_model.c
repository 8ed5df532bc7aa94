/* SPDX-License-Identifier: Apache-2.0 */
/* Polled requests of a buffer pool under the systematic scheduler, beside threads that wait. What
 * is checked:
 *  - No wake-up is lost: a task that sleeps until its waker is called gets a block.
 *  - A block wakes one request, and a request that does not take the block wakes the next one.
 *  - No block has two owners, and none is lost.
 *  - Each waker is called at most once, and not after it was withdrawn.
 *  - The pool is freed with the last handle, buffer or request, and not touched afterwards. */
#include "buffer_model.h"

/* A waker's context. It is alive from the poll that gives it until the waker has run or was
 * withdrawn. */
typedef struct context {
    _Atomic uint32_t called;
    bool alive;
} context;

/* A thread that polls. It uses a context for each poll. */
typedef struct task {
    aegis_buffer_pool_request *request;
    context contexts[16];
    size_t poll_count;
} task;

static task tasks[MODEL_MAX_THREADS];
/* Whether the child process has done all its work. */
static bool child_ended;

static void call(void *argument) {
    context *self = (context *)argument;
    model_yield();
    MODEL_CHECK(self->alive && self->called == 0);
    self->called = 1;
}

/* Ends a context. If its waker was not withdrawn, it was called, or another thread calls it. */
static void settle(context *self, bool withdrawn) {
    if (!withdrawn)
        model_wait_while(&self->called, 0);
    self->alive = false;
}

static context *last_context(task *self) {
    return &self->contexts[self->poll_count - 1];
}

static aegis_status poll_task(int number, aegis_buffer_mut *writer) {
    task *self = &tasks[number];
    MODEL_CHECK(self->poll_count < sizeof self->contexts / sizeof *self->contexts);
    if (self->request != NULL)
        settle(last_context(self), aegis_buffer_pool_request_disarm(self->request));
    context *next = &self->contexts[self->poll_count++];
    next->alive = true;
    aegis_status status =
        aegis_buffer_pool_poll(&pools[number], &self->request, writer, 1, call, next, NULL);
    MODEL_CHECK((status == AEGIS_PENDING) == (self->request != NULL));
    if (status != AEGIS_PENDING)
        next->alive = false;
    if (status == AEGIS_OK)
        own(number, writer);
    return status;
}

static void cancel(int number) {
    task *self = &tasks[number];
    settle(last_context(self), aegis_buffer_pool_request_cancel(self->request));
    self->request = NULL;
}

/* Polls until there is a block, and sleeps in between. */
static aegis_buffer_mut await_block(int number) {
    aegis_buffer_mut writer;
    while (poll_task(number, &writer) == AEGIS_PENDING)
        model_wait_while(&last_context(&tasks[number])->called, 0);
    return writer;
}

static void use_awaited(int number) {
    aegis_buffer_mut writer = await_block(number);
    put(&writer);
}

static void use_waiting(int number) {
    aegis_buffer_mut writer;
    MODEL_CHECK(try_get(number, FOREVER, &writer) == AEGIS_OK);
    put(&writer);
}

static void pend(int number) {
    aegis_buffer_mut writer;
    MODEL_CHECK(poll_task(number, &writer) == AEGIS_PENDING);
}

/* `count` blocks, all of them out. */
static void make_out(size_t count, size_t max_count) {
    memset(tasks, 0, sizeof tasks);
    make(count, max_count);
    for (size_t i = 0; i < count; i++)
        writers[i] = get(0);
}

/* All contexts have ended, and no thread counts as waiting. */
static void check_contexts(void) {
    for (int i = 0; i < MODEL_MAX_THREADS; i++)
        for (size_t k = 0; k < tasks[i].poll_count; k++)
            MODEL_CHECK(!tasks[i].contexts[k].alive);
}

static void end_one(void) {
    check_contexts();
    MODEL_CHECK(pools[0].shared->waiters == 0);
    drain(1);
}

static void end_two(void) {
    check_contexts();
    MODEL_CHECK(pools[0].shared->waiters == 0);
    drain(2);
}

/* One block for three tasks. */
static void begin_three(void) {
    make_out(1, 0);
    put(&writers[0]);
}

/* A task, a thread that waits, and the one that releases the block. */
static void begin_one(void) {
    make_out(1, 0);
}

static void thread_mixed(int number) {
    if (number == 0)
        put(&writers[0]);
    else if (number == 1)
        use_awaited(number);
    else
        use_waiting(number);
}

/* Two tasks wait. The third thread releases both blocks and takes none. */
static void begin_two(void) {
    make_out(2, 0);
}

static void thread_arrival(int number) {
    if (number == 0) {
        put(&writers[0]);
        put(&writers[1]);
        return;
    }
    use_awaited(number);
}

/* A request is cancelled while the block wakes it. The next one must be woken. */
static void begin_cancel(void) {
    make_out(1, 0);
    pend(1);
    pend(2);
}

static void thread_cancel(int number) {
    if (number == 0)
        put(&writers[0]);
    else if (number == 1)
        cancel(1);
    else
        use_awaited(2);
}

/* The same when a thread takes and releases the block in between. */
static void begin_thief(void) {
    make_out(1, 0);
    pend(2);
}

static void thread_thief(int number) {
    aegis_buffer_mut writer;
    if (number == 0)
        put(&writers[0]);
    else if (number == 2)
        use_awaited(2);
    else if (try_get(1, 0, &writer) == AEGIS_OK)
        put(&writer);
}

/* A request gets another waker, and another one again, while the block becomes free. */
static void thread_replace(int number) {
    aegis_buffer_mut writer;
    if (number == 0) {
        put(&writers[0]);
        return;
    }
    for (int i = 0; i < 2; i++) {
        if (poll_task(1, &writer) == AEGIS_OK) {
            put(&writer);
            return;
        }
    }
    use_awaited(1);
}

static void begin_replace(void) {
    make_out(1, 0);
    pend(1);
}

/* Two classes of one block each. A request for any block is woken for the large one and may get the
 * small one. Then the request for a large block must be woken. */
static void begin_classes(void) {
    memset(tasks, 0, sizeof tasks);
    make_classes();
    writers[0] = get(0);
    MODEL_CHECK(aegis_buffer_pool_get(&pools[0], &writers[1], 2 * BLOCK_BYTES, NULL) == AEGIS_OK);
    own(0, &writers[1]);
    memset(&writers[2], 0, sizeof writers[2]);
    pend(1);
}

static void thread_classes(int number) {
    if (number == 0) {
        put(&writers[1]);
        put(&writers[0]);
    } else if (number == 1) {
        /* It keeps the small block, so that only the wake-up that is passed on helps the other. */
        writers[2] = await_block(1);
        if (writers[2].capacity != BLOCK_BYTES)
            put(&writers[2]);
    } else {
        task *self = &tasks[2];
        aegis_buffer_mut writer;
        for (;;) {
            if (self->request != NULL)
                settle(last_context(self), aegis_buffer_pool_request_disarm(self->request));
            context *next = &self->contexts[self->poll_count++];
            next->alive = true;
            aegis_status status = aegis_buffer_pool_poll(&pools[2], &self->request, &writer,
                                                         2 * BLOCK_BYTES, call, next, NULL);
            if (status == AEGIS_OK) {
                next->alive = false;
                break;
            }
            MODEL_CHECK(status == AEGIS_PENDING);
            model_wait_while(&next->called, 0);
        }
        own(2, &writer);
        put(&writer);
    }
}

static void end_classes(void) {
    check_contexts();
    MODEL_CHECK(pools[0].shared->waiters == 0);
    if (writers[2].owner != NULL)
        put(&writers[2]);
    for (int i = 0; i < MODEL_MAX_THREADS; i++)
        aegis_buffer_pool_release(&pools[i]);
    check_gone();
}

/* Growth by two blocks after it was refused. One thread takes one of them, and the other block is
 * for the request. No block is released. */
static void begin_growth(void) {
    make_out(2, 4);
    model_short_waits = 0;
    dry = true;
    pend(1);
}

static void thread_growth(int number) {
    if (number == 0) {
        dry = false;
        writers[2] = get(0);
    } else {
        model_wait_while(&last_context(&tasks[1])->called, 0);
        writers[3] = await_block(1);
    }
}

static void end_growth(void) {
    check_contexts();
    for (int i = 0; i < 4; i++)
        put(&writers[i]);
    drain(4);
}

/* The last handle is given up while a request is in the queue, and the last block is released. */
static void begin_end_of_request(void) {
    make_out(1, 0);
    pend(1);
    aegis_buffer_pool_release(&pools[2]);
}

static void thread_end_of_request(int number) {
    if (number == 0)
        aegis_buffer_pool_release(&pools[0]);
    else if (number == 1) {
        aegis_buffer_pool_release(&pools[1]);
        cancel(1);
    } else
        put(&writers[0]);
}

static void end_of_pool(void) {
    check_contexts();
    check_gone();
}

/* The process forks while a request is in the queue and others wake it or are woken. The child has
 * thread 0 only. */
static void begin_fork(void) {
    make_out(2, 0);
    pend(0);
}

static void thread_fork(int number) {
    if (number == 0) {
        model_yield();
        fork_process();
        /* If the waker was taken, the thread that took it does not exist here. */
        (void)aegis_buffer_pool_request_disarm(tasks[0].request);
        last_context(&tasks[0])->alive = false;
        aegis_buffer_mut writer;
        tasks[0].contexts[1].alive = true;
        tasks[0].poll_count = 2;
        aegis_status status = aegis_buffer_pool_poll(&pools[0], &tasks[0].request, &writer, 1, call,
                                                     &tasks[0].contexts[1], NULL);
        if (status == AEGIS_PENDING) {
            put(&writers[0]);
            MODEL_CHECK(tasks[0].contexts[1].called == 1);
            MODEL_CHECK(aegis_buffer_pool_poll(&pools[0], &tasks[0].request, &writer, 1, NULL, NULL,
                                               NULL) == AEGIS_OK);
        }
        child_ended = true;
    } else if (number == 1) {
        put(&writers[1]);
    } else {
        use_awaited(2);
    }
}

static void end_fork(void) {
    MODEL_CHECK(child_ended && close_count == 0);
    child_ended = false;
}

/* A task waits for a block and for the budget. The block comes home and the budget gets room at
 * about the same time. */
static void begin_room(void) {
    aegis_budget_figures figures;
    waited_for = aegis_budget_new("b", AEGIS_BUDGET_UNLIMITED, NULL);
    make_out(1, 2);
    aegis_budget_get_figures(waited_for, &figures);
    aegis_budget_set_limit(waited_for, figures.used_bytes);
}

static void thread_room(int number) {
    if (number == 1)
        use_awaited(1);
    else if (number == 0)
        put(&writers[0]);
    else
        aegis_budget_set_limit(waited_for, AEGIS_BUDGET_UNLIMITED);
}

static void end_room(void) {
    aegis_budget_figures figures;
    end_two();
    aegis_budget_get_figures(waited_for, &figures);
    MODEL_CHECK(figures.used_bytes == 0 && figures.waiting_count == 0);
    aegis_budget_destroy(waited_for);
    waited_for = NULL;
}

static void thread_three_tasks(int number) {
    use_awaited(number);
}

int main(void) {
    static const model_scenario scenarios[] = {
        {"three tasks", begin_three, thread_three_tasks, end_one, 3, 2, NULL},
        {"a task and a thread", begin_one, thread_mixed, end_one, 3, 2, NULL},
        {"arrival", begin_two, thread_arrival, end_two, 3, 2, NULL},
        {"cancel", begin_cancel, thread_cancel, end_one, 3, 2, NULL},
        {"thief", begin_thief, thread_thief, end_one, 3, 2, NULL},
        {"replace", begin_replace, thread_replace, end_one, 2, 3, NULL},
        {"classes", begin_classes, thread_classes, end_classes, 3, 2, NULL},
        {"growth", begin_growth, thread_growth, end_growth, 2, 3, NULL},
        {"end", begin_end_of_request, thread_end_of_request, end_of_pool, 3, 2, NULL},
        {"fork", begin_fork, thread_fork, end_fork, 3, 2, NULL},
        {"room", begin_room, thread_room, end_room, 3, 1, NULL},
    };
    return model_explore_all(scenarios, sizeof scenarios / sizeof *scenarios);
}
