/* SPDX-License-Identifier: Apache-2.0 */
/* Sections in which a thread is not cancelled. */
#include "cancel.h"

#if defined(_WIN32) || defined(__ANDROID__) || defined(AEGIS_OMIT_THREADS)

/* Threads are not cancelled here. */
int aegis_i_uncancelled_begin(void) {
    return 0;
}

void aegis_i_uncancelled_end(int state) {
    (void)state;
}

#else

#include <pthread.h>

int aegis_i_uncancelled_begin(void) {
    int state = PTHREAD_CANCEL_ENABLE;
    (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    return state;
}

void aegis_i_uncancelled_end(int state) {
    int disabled;
    (void)pthread_setcancelstate(state, &disabled);
}

#endif
