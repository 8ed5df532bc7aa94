/* SPDX-License-Identifier: Apache-2.0 */
/* Polled requests of a locked pool under the systematic scheduler, beside threads that wait, also
 * threads that wait for the budget. What is checked:
 *  - No wake-up is lost: a task that sleeps until its waker is called gets its block.
 *  - No block has two owners, and none is lost, also if the request that was given it is cancelled.
 *  - Each waker is called at most once, and not after it was withdrawn. */
#include "aegis_memory.h"
#include "base/threads.h"

#include <string.h>

#define BLOCK_BYTES 64
#define FOREVER AEGIS_WAIT_FOREVER

uint64_t model_now_ns;
int model_short_waits;

uintptr_t model_thread_id(void) {
    return (uintptr_t)&aegis_i_threads + (uintptr_t)(model_running() < 0 ? 0 : model_running());
}

bool model_barrier(void) {
    model_yield();
    return true;
}

uint32_t model_process(void) {
    return 1;
}

/* A waker's context. It is alive from the poll that gives it until the waker has run or was
 * withdrawn. */
typedef struct context {
    _Atomic uint32_t called;
    bool alive;
} context;

/* A thread that polls. It uses a context for each poll. */
typedef struct task {
    aegis_locked_pool_request *request;
    context contexts[16];
    size_t poll_count;
} task;

static aegis_locked_pool pool;
static task tasks[MODEL_MAX_THREADS];
static void *held[MODEL_MAX_THREADS];

#define MEMORY_BYTES 32768
static _Alignas(4096) unsigned char memory[MEMORY_BYTES];
static size_t used_bytes;
static bool dry;
/* The thread that is refused memory; -2: none. */
static int refused_thread;
/* The budget of the next pool that is made, for which its growth waits without a time limit; or
 * NULL. */
static aegis_budget *budget;

static void *acquire(void *unused, size_t size_bytes, size_t align_bytes, bool *zeroed) {
    (void)unused;
    model_yield();
    size_t at = (used_bytes + align_bytes - 1) & ~(align_bytes - 1);
    if (dry || model_running() == refused_thread)
        return NULL;
    MODEL_CHECK(at + size_bytes <= MEMORY_BYTES);
    memset(memory + at, 0, size_bytes);
    used_bytes = at + size_bytes;
    *zeroed = true;
    return memory + at;
}

static void release(void *unused, void *piece, size_t size_bytes, size_t align_bytes) {
    (void)unused;
    (void)piece;
    (void)size_bytes;
    (void)align_bytes;
    model_yield();
}

static void make(size_t count, size_t max_count) {
    static const aegis_source source = {acquire, release, NULL, NULL};
    aegis_pool_options options;
    memset(&options, 0, sizeof options);
    options.block_bytes = BLOCK_BYTES;
    options.block_count = count;
    options.max_block_count = max_count;
    options.source = &source;
    options.budget = budget;
    options.wait_ns = budget != NULL ? FOREVER : 0;
    used_bytes = 0;
    dry = false;
    refused_thread = -2;
    model_now_ns = 1;
    model_short_waits = 0;
    memset(tasks, 0, sizeof tasks);
    MODEL_CHECK(aegis_locked_pool_init(&pool, &options) == AEGIS_OK);
    held[0] = aegis_locked_pool_alloc(&pool, NULL);
    MODEL_CHECK(held[0] != NULL);
}

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

static aegis_status poll_task(task *self, void **block) {
    MODEL_CHECK(self->poll_count < sizeof self->contexts / sizeof *self->contexts);
    if (self->request != NULL)
        settle(last_context(self), aegis_locked_pool_request_disarm(self->request));
    context *next = &self->contexts[self->poll_count++];
    next->alive = true;
    aegis_status status = aegis_locked_pool_poll(&pool, &self->request, block, call, next, NULL);
    MODEL_CHECK((status == AEGIS_PENDING) == (self->request != NULL));
    MODEL_CHECK((status == AEGIS_OK) == (*block != NULL));
    if (status != AEGIS_PENDING)
        next->alive = false;
    return status;
}

static void cancel(task *self) {
    settle(last_context(self), aegis_locked_pool_request_cancel(self->request));
    self->request = NULL;
}

/* Polls until there is a block, and sleeps in between. */
static void *await_block(task *self) {
    void *block;
    while (poll_task(self, &block) == AEGIS_PENDING)
        model_wait_while(&last_context(self)->called, 0);
    MODEL_CHECK(block != NULL);
    return block;
}

/* Writes all over a block, lets other threads run, and frees the block. */
static void use_block(void *block) {
    memset(block, model_running() + 1, BLOCK_BYTES);
    model_yield();
    for (size_t i = 0; i < BLOCK_BYTES; i++)
        MODEL_CHECK(((unsigned char *)block)[i] == model_running() + 1);
    MODEL_CHECK(aegis_locked_pool_free(&pool, block) == AEGIS_OK);
}

static void use_waiting(void) {
    void *block = aegis_locked_pool_alloc_timeout(&pool, FOREVER, NULL);
    MODEL_CHECK(block != NULL);
    use_block(block);
}

static void free_held(void) {
    void *block = held[0];
    held[0] = NULL;
    MODEL_CHECK(aegis_locked_pool_free(&pool, block) == AEGIS_OK);
}

/* Demands that no block is out and no request is left. */
static void end(void) {
    for (int i = 0; i < MODEL_MAX_THREADS; i++)
        for (size_t k = 0; k < tasks[i].poll_count; k++)
            MODEL_CHECK(!tasks[i].contexts[k].alive);
    if (held[0] != NULL)
        free_held();
    MODEL_CHECK(aegis_locked_pool_fini(&pool) == AEGIS_OK);
}

static void pend(task *self) {
    void *block;
    MODEL_CHECK(poll_task(self, &block) == AEGIS_PENDING);
}

/* One block for three tasks. */
static void begin_free(void) {
    make(1, 0);
    free_held();
}

static void thread_three_tasks(int number) {
    use_block(await_block(&tasks[number]));
}

/* A task, a thread that waits, and the one that frees the block. */
static void begin_one(void) {
    make(1, 0);
}

static void thread_mixed(int number) {
    if (number == 0)
        free_held();
    else if (number == 1)
        use_block(await_block(&tasks[1]));
    else
        use_waiting();
}

/* A request is cancelled while the block is given to it. The next one must get the block. */
static void begin_cancel(void) {
    make(1, 0);
    pend(&tasks[1]);
    pend(&tasks[2]);
}

static void thread_cancel(int number) {
    if (number == 0)
        free_held();
    else if (number == 1)
        cancel(&tasks[1]);
    else
        use_block(await_block(&tasks[2]));
}

/* The same when the next one is a thread that waits. */
static void begin_cancel_for_thread(void) {
    make(1, 0);
    pend(&tasks[1]);
}

static void thread_cancel_for_thread(int number) {
    if (number == 2)
        use_waiting();
    else
        thread_cancel(number);
}

/* A request gets another waker, and another one again, while the block is given to it. */
static void thread_replace(int number) {
    void *block;
    if (number == 0) {
        free_held();
        return;
    }
    for (int i = 0; i < 2; i++) {
        if (poll_task(&tasks[1], &block) == AEGIS_OK) {
            use_block(block);
            return;
        }
    }
    use_block(await_block(&tasks[1]));
}

/* One thread makes the pool grow while a task comes, and frees nothing. The task waits for the
 * result, and then asks for memory itself, or gets the block that is left. */
static void begin_growth(void) {
    make(1, 4);
}

static void thread_growth(int number) {
    if (number == 0)
        held[1] = aegis_locked_pool_alloc(&pool, NULL);
    else
        use_block(await_block(&tasks[number]));
}

static void end_growth(void) {
    MODEL_CHECK(held[1] != NULL && aegis_locked_pool_free(&pool, held[1]) == AEGIS_OK);
    end();
}

/* The growth of a thread is refused while a task waits for the result. No block is freed, but the
 * source has memory for the task, and for the request before it that is not polled meanwhile. */
static void begin_refused_growth(void) {
    make(1, 3);
    dry = true;
    pend(&tasks[2]);
    dry = false;
    refused_thread = 0;
}

static void thread_refused_growth(int number) {
    if (number != 0) {
        use_block(await_block(&tasks[number]));
        return;
    }
    void *block = aegis_locked_pool_alloc(&pool, NULL);
    if (block != NULL)
        use_block(block);
}

static void end_refused_growth(void) {
    use_block(await_block(&tasks[2]));
    end();
}

/* A request was refused memory. A thread comes, makes the pool grow for the request, and must wait
 * itself until the request's task frees the block. */
static void begin_growth_for_request(void) {
    make(1, 2);
    dry = true;
    pend(&tasks[0]);
    dry = false;
}

static void thread_growth_for_request(int number) {
    if (number == 0) {
        model_wait_while(&last_context(&tasks[0])->called, 0);
        use_block(await_block(&tasks[0]));
    } else {
        use_waiting();
    }
}

/* A request is the first of the queue, and the thread behind it asks for memory again, until there
 * is some. */
static void begin_memory_comes(void) {
    make(1, 3);
    dry = true;
    pend(&tasks[0]);
}

static void thread_memory_comes(int number) {
    if (number == 2) {
        model_yield();
        dry = false;
    } else if (number == 1) {
        use_waiting();
    } else {
        model_wait_while(&last_context(&tasks[0])->called, 0);
        use_block(await_block(&tasks[0]));
    }
}

/* Threads want a block. The pool could grow, but the budget has no room, so they wait for that. The
 * block that another thread frees must end the wait of each of them in turn. */
static void begin_budget(void) {
    aegis_budget_figures figures;
    budget = aegis_budget_new("b", AEGIS_BUDGET_UNLIMITED, NULL);
    make(1, 2);
    aegis_budget_get_figures(budget, &figures);
    aegis_budget_set_limit(budget, figures.used_bytes);
}

static void thread_budget(int number) {
    if (number == 0) {
        free_held();
        return;
    }
    void *block = aegis_locked_pool_alloc(&pool, NULL);
    MODEL_CHECK(block != NULL);
    use_block(block);
}

/* The block is freed and the budget gets room at about the same time. Neither the block nor the new
 * slab may be lost. */
static void thread_room(int number) {
    thread_budget(number);
    if (number == 0)
        aegis_budget_set_limit(budget, AEGIS_BUDGET_UNLIMITED);
}

/* A task waits for a block and for the budget. The block is freed and the budget gets room at about
 * the same time. */
static void thread_task_room(int number) {
    if (number == 1)
        use_block(await_block(&tasks[1]));
    else if (number == 0)
        free_held();
    else
        aegis_budget_set_limit(budget, AEGIS_BUDGET_UNLIMITED);
}

/* Room comes for two tasks, one of which is cancelled. No block is freed. */
static void begin_room_for_tasks(void) {
    begin_budget();
    pend(&tasks[0]);
}

static void thread_room_for_tasks(int number) {
    if (number == 0)
        cancel(&tasks[0]);
    else if (number == 1)
        use_block(await_block(&tasks[1]));
    else
        aegis_budget_set_limit(budget, AEGIS_BUDGET_UNLIMITED);
}

static void end_budget(void) {
    aegis_budget_figures figures;
    end();
    aegis_budget_get_figures(budget, &figures);
    MODEL_CHECK(figures.used_bytes == 0 && figures.waiting_count == 0);
    aegis_budget_destroy(budget);
    budget = NULL;
}

int main(void) {
    static const model_scenario scenarios[] = {
        {"three tasks", begin_free, thread_three_tasks, end, 3, 2, NULL},
        {"a task and a thread", begin_one, thread_mixed, end, 3, 3, NULL},
        {"cancel", begin_cancel, thread_cancel, end, 3, 3, NULL},
        {"cancel for a thread", begin_cancel_for_thread, thread_cancel_for_thread, end, 3, 3, NULL},
        {"replace", begin_cancel_for_thread, thread_replace, end, 2, 4, NULL},
        {"growth", begin_growth, thread_growth, end_growth, 3, 2, NULL},
        {"refused growth", begin_refused_growth, thread_refused_growth, end_refused_growth, 2, 3,
         NULL},
        {"growth for a request", begin_growth_for_request, thread_growth_for_request, end, 2, 3,
         NULL},
        {"memory comes", begin_memory_comes, thread_memory_comes, end, 3, 2, NULL},
        {"budget", begin_budget, thread_budget, end_budget, 3, 2, NULL},
        {"budget with room", begin_budget, thread_room, end_budget, 2, 3, NULL},
        {"a task and room", begin_budget, thread_task_room, end_budget, 3, 2, NULL},
        {"room for tasks", begin_room_for_tasks, thread_room_for_tasks, end_budget, 3, 2, NULL},
    };
    return model_explore_all(scenarios, sizeof scenarios / sizeof *scenarios);
}
