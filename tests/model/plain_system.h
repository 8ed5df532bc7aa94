/* SPDX-License-Identifier: Apache-2.0 */
/* What blocking.h needs, for models in which each thread has a number of its own, no barrier fails
 * and no process forks. */
#ifndef MODEL_PLAIN_SYSTEM_H
#define MODEL_PLAIN_SYSTEM_H

uint64_t model_now_ns;
int model_short_waits;
uintptr_t model_thread_id(void) {
    return (uintptr_t)(model_running() + 1);
}
bool model_barrier(void) {
    return true;
}
uint32_t model_process(void) {
    return 1;
}

#endif
