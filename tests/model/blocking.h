/* SPDX-License-Identifier: Apache-2.0 */
/* Included before every file of the models of buffers and budgets, in place of mutex.h and
 * condition.h. It makes mutexes, condition variables and the clock by means of the scheduler, so
 * that the scheduler knows which thread waits for what. There are few stripes, and they are small.
 * The model says which thread has which number. */
#ifndef MODEL_BLOCKING_H
#define MODEL_BLOCKING_H

#define AEGIS_MEMORY_I_BASE_MUTEX_H
#define AEGIS_MEMORY_I_BASE_CONDITION_H

#include "system.h"

/* The time now. When a wait with a deadline times out, this becomes the deadline. */
extern uint64_t model_now_ns;
/* How many waits with a deadline still end at once. Later waits end when the thread is woken, or
 * when no thread can go on. */
extern int model_short_waits;

#define AEGIS_I_STRIPE_COUNT 2
#define AEGIS_I_STRIPE_ITEMS 2
#define AEGIS_I_CALM_COUNT 1

typedef struct aegis_i_mutex {
    _Atomic uint32_t locked;
} aegis_i_mutex;

typedef struct aegis_i_condition {
    _Atomic uint32_t wake_count;
} aegis_i_condition;

#define AEGIS_I_MUTEX_INITIALIZER                                                                  \
    { 0 }

static inline void aegis_i_mutex_init(aegis_i_mutex *mutex) {
    mutex->locked = 0;
}

static inline void aegis_i_mutex_fini(aegis_i_mutex *mutex) {
    MODEL_CHECK(mutex->locked == 0);
}

static inline void aegis_i_mutex_init_staying(aegis_i_mutex *mutex) {
    aegis_i_mutex_init(mutex);
}

/* A mutex that another thread held at a fork must have been made anew, or no thread can go on. */
static inline bool aegis_i_mutex_lock(aegis_i_mutex *mutex) {
    model_yield();
    MODEL_CHECK(mutex->locked <= 1);
    model_wait_while(&mutex->locked, 1);
    mutex->locked = 1;
    return true;
}

static inline bool aegis_i_mutex_try_lock(aegis_i_mutex *mutex) {
    model_yield();
    if (mutex->locked != 0)
        return false;
    mutex->locked = 1;
    return true;
}

static inline bool aegis_i_mutex_lock_contended(aegis_i_mutex *mutex) {
    return aegis_i_mutex_lock(mutex);
}

static inline bool aegis_i_mutex_take_adoption(aegis_i_mutex *mutex) {
    (void)mutex;
    return false;
}

static inline void aegis_i_mutex_unlock(aegis_i_mutex *mutex) {
    model_yield();
    MODEL_CHECK(mutex->locked == 1);
    mutex->locked = 0;
}

static inline uintptr_t aegis_i_thread_self(void) {
    return model_thread_id();
}

static inline bool aegis_i_condition_init(aegis_i_condition *condition) {
    condition->wake_count = 0;
    return true;
}

static inline void aegis_i_condition_fini(aegis_i_condition *condition) {
    (void)condition;
}

static inline void aegis_i_condition_broadcast(aegis_i_condition *condition) {
    condition->wake_count++;
}

static inline void aegis_i_condition_signal(aegis_i_condition *condition) {
    condition->wake_count++;
}

static inline uint64_t aegis_i_now_ns(void) {
    return model_now_ns;
}

static inline uint64_t aegis_i_deadline_ns(uint64_t timeout_ns) {
    return timeout_ns != UINT64_MAX ? model_now_ns + timeout_ns : UINT64_MAX;
}

static inline bool aegis_i_deadline_has_come(uint64_t deadline_ns) {
    return deadline_ns == 0 || (deadline_ns != UINT64_MAX && model_now_ns >= deadline_ns);
}

typedef void (*aegis_i_give_up_fn)(void *context);

/* No thread is cancelled here. */
static inline void aegis_i_condition_wait(aegis_i_condition *condition, aegis_i_mutex *mutex,
                                          uint64_t deadline_ns, aegis_i_give_up_fn give_up,
                                          void *context) {
    (void)give_up;
    (void)context;
    uint32_t wake_count = condition->wake_count;
    mutex->locked = 0;
    if (deadline_ns == UINT64_MAX) {
        model_wait_while(&condition->wake_count, wake_count);
    } else if (model_short_waits > 0) {
        /* The time is up, whether or not the thread was woken. */
        model_short_waits--;
        model_yield();
        model_now_ns = deadline_ns;
    } else {
        model_wait_or_idle(&condition->wake_count, wake_count);
        if (condition->wake_count == wake_count && model_now_ns < deadline_ns)
            model_now_ns = deadline_ns;
    }
    aegis_i_mutex_lock(mutex);
}

#endif
