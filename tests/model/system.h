/* SPDX-License-Identifier: Apache-2.0 */
/* What the core asks of the system, for models that say it: which thread has which number, and
 * which process this is. */
#ifndef MODEL_SYSTEM_H
#define MODEL_SYSTEM_H

#include "yield.h"
#include "scheduler.h"

/* The id of the running thread. */
uintptr_t model_thread_id(void);
/* Whether the system executes a barrier. This is all that it does here, because a thread of a model
 * always sees what other threads have stored. */
bool model_barrier(void);
/* The number of the process. */
uint32_t model_process(void);

#define AEGIS_I_THREAD_ID() model_thread_id()
#define AEGIS_I_THREAD_ID_KEPT() model_thread_id()
#define AEGIS_I_SPIN_PAUSE(word, value, round) ((void)(round), model_wait_while((word), (value)))
#define AEGIS_I_BARRIER() model_barrier()
#define AEGIS_I_PROCESS() model_process()
#define AEGIS_I_PROCESS_CACHED() model_process()
#endif
