/* SPDX-License-Identifier: Apache-2.0 */
/* The begin and the end of a thread's cache of memory for small writers. A thread-specific key of
 * the system's tells that the thread ends. Other destructors may still run on it then; what they
 * release goes to the C library. */
#include "heap_cache.h"

AEGIS_I_THREAD_LOCAL aegis_i_heap_cache aegis_i_own_cache;

#if AEGIS_I_CACHES

#include <pthread.h>
#include <stdlib.h>

/* What is known of the key. UNKNOWN: nothing yet. NONE: the system has none left, or the library is
 * being unloaded. KEY or more: the value minus KEY is the key. */
#define UNKNOWN UINT64_C(0)
#define NONE UINT64_C(1)
#define KEY UINT64_C(2)
static _Atomic uint64_t key_state;

static void end(void *value) {
    aegis_i_heap_cache *cache = (aegis_i_heap_cache *)value;
    cache->room_bytes = 0;
    for (size_t i = 0; i < sizeof cache->first / sizeof *cache->first; i++)
        while (cache->first[i] != NULL) {
            aegis_buffer_owner *owner = cache->first[i];
            cache->first[i] = (aegis_buffer_owner *)(void *)owner->base;
            free(owner);
        }
}

/* Several threads may make the key at once, and that of one of them is kept. pthread_once is not
 * used: if the process forks meanwhile, some systems leave it hanging in the child. */
static uint64_t make_key(void) {
    pthread_key_t key = 0;
    uint64_t known = UNKNOWN;
    bool made = pthread_key_create(&key, end) == 0;
    uint64_t state = made ? KEY + key : NONE;
    /* Relaxed: nothing but the state is passed on. */
    if (aegis_i_cas(&key_state, &known, state, memory_order_relaxed, memory_order_relaxed))
        return state;
    if (made)
        (void)pthread_key_delete(key);
    return known;
}

#if defined(__GNUC__)
/* The library is unloaded, or the process ends. Threads that end later must not call into it; what
 * they have cached is lost then. */
static void __attribute__((destructor)) forget_key(void) {
    uint64_t state = aegis_i_exchange(&key_state, NONE, memory_order_relaxed);
    if (state >= KEY)
        (void)pthread_key_delete((pthread_key_t)(state - KEY));
    aegis_i_own_cache.has_begun = true;
    end(&aegis_i_own_cache);
}
#endif

bool aegis_i_heap_cache_begin(void) {
    aegis_i_heap_cache *cache = &aegis_i_own_cache;
    if (cache->has_begun)
        return false;
    cache->has_begun = true;
    uint64_t state = aegis_i_load(&key_state, memory_order_relaxed);
    if (state == UNKNOWN)
        state = make_key();
    if (state < KEY || pthread_setspecific((pthread_key_t)(state - KEY), cache) != 0)
        return false;
    cache->room_bytes = AEGIS_I_CACHE_BYTES;
    return true;
}

#else

bool aegis_i_heap_cache_begin(void) {
    return false;
}

#endif
