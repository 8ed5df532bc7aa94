/* SPDX-License-Identifier: Apache-2.0 */
/* Our own mutex under the systematic scheduler. What is checked:
 *  - Two threads are never in a section at once, and no thread sleeps for ever.
 *  - A mutex from another process is adopted by one thread if it was free, and by none if it was
 *    held. Then each attempt to lock it fails.
 *  - The same for a mutex that stays, also if a processor delays the store that unlocks it behind
 *    the load that follows, and if the system refuses the barrier. */
#include "base/mutex.h"

static aegis_i_mutex mutex;
static bool is_delayed;
/* How many barriers the system executes before it refuses them. */
static int barriers_left;
static struct {
    _Atomic uint32_t *word;
    uint32_t value;
} delayed[MODEL_MAX_THREADS];
static int inside_count, entered_count, refused_count, adopted_count;
static _Atomic uint32_t asleep[MODEL_MAX_THREADS];

uintptr_t model_thread_id(void) {
    return (uintptr_t)(model_running() + 1);
}

uint32_t model_process(void) {
    return 1;
}

static void take_effect(int thread) {
    if (delayed[thread].word != NULL)
        *delayed[thread].word = delayed[thread].value;
    delayed[thread].word = NULL;
}

void model_store_begin(_Atomic uint32_t *word, uint32_t value) {
    model_yield();
    delayed[model_running()].word = word;
    delayed[model_running()].value = value;
    if (!is_delayed)
        take_effect(model_running());
}

void model_store_end(void) {
    model_yield();
    take_effect(model_running());
}

bool model_barrier(void) {
    model_yield();
    if (barriers_left == 0)
        return false;
    barriers_left--;
    for (int i = 0; i < MODEL_MAX_THREADS; i++)
        take_effect(i);
    return true;
}

void model_futex_wait(const _Atomic uint32_t *word, uint32_t value) {
    model_yield();
    if (*word != value)
        return;
    asleep[model_running()] = 1;
    model_wait_while(&asleep[model_running()], 1);
}

void model_futex_wake_one(const _Atomic uint32_t *word) {
    (void)word;
    model_yield();
    for (int i = 0; i < MODEL_MAX_THREADS; i++) {
        if (asleep[i] != 0) {
            asleep[i] = 0;
            return;
        }
    }
}

static void begin_with(uint32_t word) {
    aegis_i_mutex_init(&mutex);
    mutex.word = word;
    inside_count = entered_count = refused_count = adopted_count = 0;
}

static void begin_new(void) {
    begin_with(AEGIS_I_MUTEX_WORD(model_process(), AEGIS_I_MUTEX_FREE));
}

static void begin_staying(void) {
    begin_new();
    is_delayed = false;
    barriers_left = 99;
    mutex.staying = true;
}

static void begin_delayed(void) {
    begin_staying();
    is_delayed = true;
}

static void begin_refused(void) {
    begin_delayed();
    barriers_left = 0;
}

static void begin_refused_later(void) {
    begin_delayed();
    barriers_left = 1;
}

static void begin_staying_elsewhere(void) {
    begin_with(AEGIS_I_MUTEX_WORD(model_process() + 1, AEGIS_I_MUTEX_FREE));
    is_delayed = false;
    barriers_left = 99;
    mutex.staying = true;
}

static void begin_free_elsewhere(void) {
    begin_with(AEGIS_I_MUTEX_WORD(model_process() + 1, AEGIS_I_MUTEX_FREE));
}

static void begin_held_elsewhere(void) {
    begin_with(AEGIS_I_MUTEX_WORD(model_process() + 1, AEGIS_I_MUTEX_HELD));
}

static void begin_awaited_elsewhere(void) {
    begin_with(AEGIS_I_MUTEX_WORD(model_process() + 1, AEGIS_I_MUTEX_AWAITED));
}

static void inside(void) {
    MODEL_CHECK(++inside_count == 1);
    model_yield();
    adopted_count += aegis_i_mutex_take_adoption(&mutex);
    entered_count++;
    inside_count--;
}

static void enter(void) {
    if (!aegis_i_mutex_lock(&mutex)) {
        refused_count++;
        return;
    }
    inside();
    aegis_i_mutex_unlock(&mutex);
}

static void thread_once(int number) {
    (void)number;
    enter();
}

static void thread_twice(int number) {
    (void)number;
    enter();
    enter();
}

static void thread_tries(int number) {
    if (number != 0) {
        enter();
    } else if (aegis_i_mutex_try_lock(&mutex)) {
        inside();
        aegis_i_mutex_unlock(&mutex);
    } else {
        refused_count++;
    }
}

static void check_end(int calls, uint32_t state) {
    MODEL_CHECK(mutex.word == AEGIS_I_MUTEX_WORD(model_process(), state));
    MODEL_CHECK(inside_count == 0 && entered_count + refused_count == calls);
}

static void end_once(void) {
    check_end(3, AEGIS_I_MUTEX_FREE);
    MODEL_CHECK(refused_count == 0 && adopted_count == 0);
}

static void end_twice(void) {
    check_end(4, AEGIS_I_MUTEX_FREE);
    MODEL_CHECK(refused_count == 0 && adopted_count == 0);
}

static void end_tries(void) {
    check_end(3, AEGIS_I_MUTEX_FREE);
    MODEL_CHECK(entered_count >= 2 && adopted_count == 0);
}

static void end_adopted(void) {
    check_end(3, AEGIS_I_MUTEX_FREE);
    MODEL_CHECK(refused_count == 0 && adopted_count == 1);
}

static void end_broken(void) {
    check_end(3, AEGIS_I_MUTEX_BROKEN);
    MODEL_CHECK(refused_count == 3 && !aegis_i_mutex_try_lock(&mutex));
}

static const model_scenario scenarios[] = {
    {"three threads lock a mutex", begin_new, thread_once, end_once, 3, 4, NULL},
    {"two threads lock it twice", begin_new, thread_twice, end_twice, 2, 6, NULL},
    {"a thread only tries", begin_new, thread_tries, end_tries, 3, 3, NULL},
    {"a free mutex of another process", begin_free_elsewhere, thread_once, end_adopted, 3, 3, NULL},
    {"one that a thread there held", begin_held_elsewhere, thread_once, end_broken, 3, 3, NULL},
    {"three threads, the mutex stays", begin_staying, thread_once, end_once, 3, 4, NULL},
    {"two lock it twice", begin_staying, thread_twice, end_twice, 2, 5, NULL},
    {"three threads, delayed stores", begin_delayed, thread_once, end_once, 3, 4, NULL},
    {"two lock it twice, delayed stores", begin_delayed, thread_twice, end_twice, 2, 5, NULL},
    {"delayed stores, and no barrier", begin_refused, thread_once, end_once, 3, 3, NULL},
    {"and only one barrier", begin_refused_later, thread_once, end_once, 3, 3, NULL},
    {"the same, two lock it twice", begin_refused_later, thread_twice, end_twice, 2, 4, NULL},
    {"one of another process that stays", begin_staying_elsewhere, thread_once, end_adopted, 3, 3,
     NULL},
    {"and that others awaited", begin_awaited_elsewhere, thread_once, end_broken, 3, 3, NULL},
};

int main(void) {
    return model_explore_all(scenarios, sizeof scenarios / sizeof *scenarios);
}
