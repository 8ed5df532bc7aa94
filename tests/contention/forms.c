/* SPDX-License-Identifier: Apache-2.0 */
/* What threads do with each shared form: operations that a thread repeats. It writes to the memory
 * that it gets, as a user does, so lines of a block that move from thread to thread are counted
 * too, and lines in which allocations of two threads lie.
 *
 * Compiled like the core, because its inline functions are a part of the core. Nothing is freed at
 * the end: each case is a process of its own. */
#include "forms.h"
#include "ledger.h"

#include "aegis_memory.h"

#include <stdio.h>
#include <stdlib.h>

#define BURST 48

/* What belongs to one thread, in lines of its own. */
typedef struct own {
    _Alignas(128) void *blocks[BURST];
    aegis_buffer_mut writer;
    aegis_buffer view;
    aegis_buffer copy;
    aegis_pool_cache cache;
    aegis_arena_local local;
    aegis_arena arena;
    aegis_budget *budget;
} own;

static own owns[LEDGER_THREADS];
static int threads;
static aegis_lock_free_arena lock_free_arena;
static aegis_locked_arena locked_arena;
static aegis_locked_arena_heap locked_heap;
static aegis_arena_recycler recycler;
static aegis_lock_free_pool lock_free_pool;
static aegis_locked_pool locked_pool;
static aegis_buffer_pool buffer_pool;
static aegis_buffer shared_view;
static aegis_budget *root;

static void demand(bool holds, const char *what) {
    if (!holds) {
        fprintf(stderr, "contention: no %s\n", what);
        abort();
    }
}

static void use(void *memory) {
    demand(memory != NULL, "memory");
    *(volatile char *)memory = 1;
}

/* The thread to which this one hands things: it does its calls after this one. */
static int next_of(int thread) {
    return (thread + 1) % threads;
}

/* Arenas. They have one block, so the calls that acquire a block are not among those counted. */

static void begin_lock_free_arena(int thread_count) {
    threads = thread_count;
    aegis_lock_free_arena_options options = {.capacity_bytes = (size_t)32 << 20};
    demand(aegis_lock_free_arena_init(&lock_free_arena, &options, NULL) == AEGIS_OK, "arena");
}

static void call_lock_free_arena(int thread, size_t number) {
    (void)thread;
    (void)number;
    use(aegis_lock_free_arena_alloc(&lock_free_arena, 16, NULL));
}

static void open_local(int thread) {
    demand(aegis_arena_local_init(&owns[thread].local, &lock_free_arena, 0) == AEGIS_OK, "handle");
}

static void call_local(int thread, size_t number) {
    (void)number;
    use(aegis_arena_alloc(&owns[thread].local.arena, 16));
}

static void begin_locked_arena(int thread_count) {
    threads = thread_count;
    aegis_arena_options options = {.capacity_bytes = (size_t)32 << 20};
    demand(aegis_locked_arena_init(&locked_arena, &options, NULL) == AEGIS_OK, "arena");
}

static void call_locked_arena(int thread, size_t number) {
    (void)thread;
    (void)number;
    use(aegis_locked_arena_alloc(&locked_arena, 16, NULL));
}

static void begin_locked_heap(int thread_count) {
    threads = thread_count;
    aegis_arena_options options = {.capacity_bytes = (size_t)32 << 20};
    demand(aegis_locked_arena_heap_init(&locked_heap, &options, NULL) == AEGIS_OK, "heap");
}

static void call_locked_heap(int thread, size_t number) {
    void **block = &owns[thread].blocks[0];
    if (number % 2 == 0)
        use(*block = aegis_locked_arena_heap_alloc(&locked_heap, 64, NULL));
    else
        aegis_locked_arena_heap_free(&locked_heap, *block);
}

static void begin_recycler(int thread_count) {
    threads = thread_count;
    aegis_arena_recycler_options options = {
        .arena = {.capacity_bytes = 4096}, .max_idle_count = LEDGER_THREADS, .keep_bytes = 1 << 20};
    demand(aegis_arena_recycler_init(&recycler, &options) == AEGIS_OK, "recycler");
}

static void call_recycler(int thread, size_t number) {
    aegis_arena *arena = &owns[thread].arena;
    if (number % 2 == 0) {
        demand(aegis_arena_recycler_get(&recycler, arena, NULL) == AEGIS_OK, "arena");
        use(aegis_arena_alloc(arena, 64));
    } else {
        aegis_arena_recycler_put(&recycler, arena);
    }
}

/* Pools. */

static void begin_lock_free_pool(int thread_count) {
    threads = thread_count;
    aegis_lock_free_pool_options options = {
        .blocks = {.block_bytes = 64, .block_count = 64 * BURST},
        .max_cache_count = LEDGER_THREADS};
    demand(aegis_lock_free_pool_init(&lock_free_pool, &options) == AEGIS_OK, "pool");
}

static void call_lock_free_pool(int thread, size_t number) {
    void **block = &owns[thread].blocks[0];
    if (number % 2 == 0)
        use(*block = aegis_lock_free_pool_alloc(&lock_free_pool, NULL));
    else
        demand(aegis_lock_free_pool_free(&lock_free_pool, *block) == AEGIS_OK, "free");
}

static void open_cache(int thread) {
    demand(aegis_pool_cache_init(&owns[thread].cache, &lock_free_pool) == AEGIS_OK, "cache");
}

static void call_cache(int thread, size_t number) {
    void **block = &owns[thread].blocks[number / 2 % BURST];
    if (number % 2 == 0)
        use(*block = aegis_pool_cache_alloc(&owns[thread].cache));
    else
        demand(aegis_pool_cache_free(&owns[thread].cache, *block) == AEGIS_OK, "free");
}

/* The first half of BURST operations takes blocks, the other half frees them. */
static void call_cache_burst(int thread, size_t number) {
    size_t place = number % (2 * BURST);
    if (place < BURST)
        use(owns[thread].blocks[place] = aegis_pool_cache_alloc(&owns[thread].cache));
    else
        demand(aegis_pool_cache_free(&owns[thread].cache, owns[thread].blocks[place - BURST]) ==
                   AEGIS_OK,
               "free");
}

/* The same, but the blocks are freed by another thread. */
static void call_cache_handed(int thread, size_t number) {
    size_t place = number % (2 * BURST);
    if (place < BURST)
        use(owns[thread].blocks[place] = aegis_pool_cache_alloc(&owns[thread].cache));
    else
        demand(aegis_pool_cache_free(&owns[thread].cache,
                                     owns[next_of(thread)].blocks[place - BURST]) == AEGIS_OK,
               "free");
}

static void begin_locked_pool(int thread_count) {
    threads = thread_count;
    aegis_pool_options options = {.block_bytes = 64, .block_count = 64 * BURST};
    demand(aegis_locked_pool_init(&locked_pool, &options) == AEGIS_OK, "pool");
}

static void call_locked_pool(int thread, size_t number) {
    void **block = &owns[thread].blocks[0];
    if (number % 2 == 0)
        use(*block = aegis_locked_pool_alloc(&locked_pool, NULL));
    else
        demand(aegis_locked_pool_free(&locked_pool, *block) == AEGIS_OK, "free");
}

/* Buffers. */

static void begin_buffer_pool(int thread_count) {
    threads = thread_count;
    aegis_buffer_class size = {.buffer_bytes = 512, .buffer_count = 4 * LEDGER_THREADS * 32};
    aegis_buffer_pool_options options = {.classes = &size, .class_count = 1, .align_bytes = 64};
    demand(aegis_buffer_pool_init(&buffer_pool, &options) == AEGIS_OK, "buffer pool");
}

static void get_buffer(int thread) {
    aegis_buffer_mut *writer = &owns[thread].writer;
    demand(aegis_buffer_pool_get(&buffer_pool, writer, 512, NULL) == AEGIS_OK, "buffer");
    demand(aegis_buffer_mut_append(writer, "x", 1) == AEGIS_OK, "room");
}

static void call_buffer_pool(int thread, size_t number) {
    if (number % 2 == 0)
        get_buffer(thread);
    else
        (void)aegis_buffer_mut_release(&owns[thread].writer);
}

static void call_buffer_pool_handed(int thread, size_t number) {
    if (number % 2 == 0)
        get_buffer(thread);
    else
        (void)aegis_buffer_mut_release(&owns[next_of(thread)].writer);
}

static void begin_views(int thread_count) {
    threads = thread_count;
    demand(aegis_buffer_copy(&shared_view, "view", 4, NULL, NULL) == AEGIS_OK, "view");
}

static void open_own_view(int thread) {
    char bytes[256] = {0};
    demand(aegis_buffer_copy(&owns[thread].view, bytes, sizeof bytes, NULL, NULL) == AEGIS_OK,
           "view");
}

static void open_shared_view(int thread) {
    demand(aegis_buffer_retain(&shared_view, &owns[thread].view) == AEGIS_OK, "view");
}

static void call_view(int thread, size_t number) {
    if (number % 2 == 0)
        demand(aegis_buffer_retain(&owns[thread].view, &owns[thread].copy) == AEGIS_OK, "view");
    else
        (void)aegis_buffer_release(&owns[thread].copy);
}

/* Budgets. */

static void begin_budget(int thread_count) {
    threads = thread_count;
    root = aegis_budget_new("root", (size_t)1 << 30, NULL);
    demand(root != NULL, "budget");
}

static void open_root(int thread) {
    owns[thread].budget = aegis_budget_retain(root);
}

static void open_child(int thread) {
    owns[thread].budget = aegis_budget_new("child", (size_t)1 << 30, root);
    demand(owns[thread].budget != NULL, "budget");
}

static void open_deep(int thread) {
    open_child(thread);
    for (int level = 0; level < 2; level++) {
        owns[thread].budget = aegis_budget_new("deeper", (size_t)1 << 30, owns[thread].budget);
        demand(owns[thread].budget != NULL, "budget");
    }
}

static void open_alone(int thread) {
    owns[thread].budget = aegis_budget_new("alone", (size_t)1 << 30, NULL);
    demand(owns[thread].budget != NULL, "budget");
}

static void open_gated(int thread) {
    open_child(thread);
    demand(aegis_budget_set_guarantee(owns[thread].budget, 1024, NULL) == AEGIS_OK, "guarantee");
}

static void call_budget(int thread, size_t number) {
    aegis_budget *budget = owns[thread].budget;
    if (number % 2 == 0)
        demand(aegis_budget_charge(budget, 4096, NULL) == AEGIS_OK, "room");
    else
        demand(aegis_budget_uncharge(budget, 4096) == AEGIS_OK, "charge");
}

/* What is promised of a form.
 * OWN      each thread has something of its own, and other threads cost it nothing
 * ONCE     all threads write the same few words. How many threads there are does not matter
 * AWAITED  the same, but what waits for a mutex takes more steps than one that finds it free, and a
 *          few threads need not sleep
 * RETRIED  the same with compare-and-swaps, which fail when another thread was faster */
#define OWN                                                                                        \
    { 1, false }
#define ONCE                                                                                       \
    { 2, false }
#define AWAITED                                                                                    \
    { 16, false }
#define RETRIED                                                                                    \
    { 2, true }

const form forms[] = {
    {"LockFreeArena, 16 B", 32, ONCE, AWAITED, 1, 32, 96, begin_lock_free_arena, NULL,
     call_lock_free_arena},
    {"LocalArena, 16 B", 32, OWN, OWN, 1, 512, 512, begin_lock_free_arena, open_local, call_local},
    {"LockedArena, 16 B", 32, ONCE, AWAITED, 1, 32, 96, begin_locked_arena, NULL,
     call_locked_arena},
    {"LockedArenaHeap, 64 B and free", 32, ONCE, AWAITED, 2, 32, 96, begin_locked_heap, NULL,
     call_locked_heap},
    {"ArenaRecycler, get, 64 B and put", 32, AWAITED, AWAITED, 2, 32, 96, begin_recycler, NULL,
     call_recycler},
    {"LockFreePool, get and put", 32, ONCE, RETRIED, 2, 32, 96, begin_lock_free_pool, NULL,
     call_lock_free_pool},
    {"PoolCache, get and put", 32, OWN, OWN, 2, 32, 96, begin_lock_free_pool, open_cache,
     call_cache},
    {"PoolCache, 48 out", 32, OWN, OWN, 2, 2 * BURST, 4 * BURST, begin_lock_free_pool, open_cache,
     call_cache_burst, .calls_only = true},
    {"PoolCache, 48 put by another", 32, ONCE, ONCE, 2, 2 * BURST, 4 * BURST, begin_lock_free_pool,
     open_cache, call_cache_handed, .calls_only = true},
    {"LockedPool, get and put", 32, ONCE, AWAITED, 2, 32, 96, begin_locked_pool, NULL,
     call_locked_pool},
    {"BufferPool, get and return", 32, OWN, OWN, 2, 32, 96, begin_buffer_pool, NULL,
     call_buffer_pool},
    {"BufferPool, returned by another", 32, ONCE, ONCE, 2, 32, 96, begin_buffer_pool, NULL,
     call_buffer_pool_handed, .calls_only = true},
    {"BufferPool on 2 processors",
     2,
     {16, false},
     RETRIED,
     2,
     64,
     192,
     begin_buffer_pool,
     NULL,
     call_buffer_pool},
    {"Buffer, clone and drop, own owner", 32, OWN, OWN, 2, 32, 96, begin_views, open_own_view,
     call_view},
    {"Buffer, clone and drop, one owner", 32, ONCE, RETRIED, 2, 32, 96, begin_views,
     open_shared_view, call_view},
    {"Budget of each thread", 32, OWN, OWN, 2, 32, 96, begin_budget, open_alone, call_budget},
    {"Budget, one for all", 32, ONCE, RETRIED, 2, 32, 96, begin_budget, open_root, call_budget},
    {"Budget, children of one parent", 32, ONCE, RETRIED, 2, 32, 96, begin_budget, open_child,
     call_budget},
    {"Budget, 3 levels below one", 32, ONCE, RETRIED, 2, 32, 96, begin_budget, open_deep,
     call_budget},
    {"Budget, children with guarantees", 32, AWAITED, AWAITED, 2, 32, 96, begin_budget, open_gated,
     call_budget},
};
const size_t form_count = sizeof forms / sizeof forms[0];
