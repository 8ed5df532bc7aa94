/* SPDX-License-Identifier: Apache-2.0 */
/* Included before every file of the model of our own mutex: the scheduler makes the system calls.
 */
#ifndef MODEL_FUTEX_H
#define MODEL_FUTEX_H

#include "system.h"

/* Sleeps until a thread wakes this one, if the word has the value. */
void model_futex_wait(const _Atomic uint32_t *word, uint32_t value);
/* Wakes one thread that sleeps on the word. */
void model_futex_wake_one(const _Atomic uint32_t *word);

/* A store by the running thread that others see only from model_store_end on, or from the next
 * barrier of any thread on, if the scenario lets processors delay stores. */
void model_store_begin(_Atomic uint32_t *word, uint32_t value);
void model_store_end(void);

#define AEGIS_I_UNLOCKING_STORE(word, value) model_store_begin((word), (value))
#define AEGIS_I_UNLOCKING_STORE_END() model_store_end()
#define AEGIS_I_FUTEX_WAIT(word, value) model_futex_wait((word), (value))
#define AEGIS_I_FUTEX_WAKE_ONE(word) model_futex_wake_one(word)
#define AEGIS_I_MUTEX_SPINS 1

#endif
