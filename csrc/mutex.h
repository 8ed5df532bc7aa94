/* SPDX-License-Identifier: Apache-2.0 */
/* The platform's mutex under one name. */
#ifndef AEGIS_MEMORY_MUTEX_H
#define AEGIS_MEMORY_MUTEX_H

#if defined(_WIN32)

#include <windows.h>

typedef SRWLOCK aegis_i_mutex;

static inline void aegis_i_mutex_init(aegis_i_mutex *mutex) {
    InitializeSRWLock(mutex);
}

static inline void aegis_i_mutex_fini(aegis_i_mutex *mutex) {
    (void)mutex;
}

static inline void aegis_i_mutex_lock(aegis_i_mutex *mutex) {
    AcquireSRWLockExclusive(mutex);
}

static inline void aegis_i_mutex_unlock(aegis_i_mutex *mutex) {
    ReleaseSRWLockExclusive(mutex);
}

#else

#include <pthread.h>

typedef pthread_mutex_t aegis_i_mutex;

/* A plain mutex: none of these calls can fail on one that is used correctly. */
static inline void aegis_i_mutex_init(aegis_i_mutex *mutex) {
    (void)pthread_mutex_init(mutex, NULL);
}

static inline void aegis_i_mutex_fini(aegis_i_mutex *mutex) {
    (void)pthread_mutex_destroy(mutex);
}

static inline void aegis_i_mutex_lock(aegis_i_mutex *mutex) {
    (void)pthread_mutex_lock(mutex);
}

static inline void aegis_i_mutex_unlock(aegis_i_mutex *mutex) {
    (void)pthread_mutex_unlock(mutex);
}

#endif

#endif
