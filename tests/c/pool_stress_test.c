/* SPDX-License-Identifier: Apache-2.0 */
/* Tests one pool with more threads than cores. No block may have two owners or be lost, and no
 * content may change under its owner. Each block has an entry in an array of owners, which a thread
 * sets with an exchange when it takes the block and clears before it gives the block back.
 * AEGIS_TEST_SCALE sets the work. */
#include "pool_support.h"

#include <pthread.h>
#include <stdatomic.h>

#define THREADS 8
#define BLOCK_BYTES 64
#define CAPACITY 200
#define HELD 24

static aegis_lock_free_pool lock_free;
static aegis_locked_pool locked;
static _Atomic uint32_t owners[CAPACITY + THREADS * AEGIS_POOL_CACHE_BLOCKS];
/* Blocks that are on their way from one thread to another. */
static _Atomic(unsigned char *) mailboxes[THREADS];
static atomic_size_t failure_count;

/* Through what a thread takes and gives back blocks. */
#define BY_POOL 0
#define BY_CACHE 1
#define BY_BOTH 2
#define BY_LOCK 3

typedef struct worker {
    int way;
    uint32_t number;
    uint64_t seed;
    size_t took_count;
    aegis_pool_cache cache;
    pthread_t thread;
} worker;

static void demand(bool condition) {
    if (!condition)
        atomic_fetch_add(&failure_count, 1);
}

static bool through_cache(worker *self) {
    return self->way == BY_CACHE || (self->way == BY_BOTH && random_below(&self->seed, 2) == 0);
}

static size_t take(worker *self, void **blocks, size_t count) {
    if (self->way == BY_LOCK)
        return aegis_locked_pool_alloc_n(&locked, blocks, count, NULL);
    if (through_cache(self))
        return aegis_pool_cache_alloc_n(&self->cache, blocks, count);
    return aegis_lock_free_pool_alloc_n(&lock_free, blocks, count, NULL);
}

static aegis_status put(worker *self, void **blocks, size_t count) {
    if (self->way == BY_LOCK)
        return aegis_locked_pool_free_n(&locked, blocks, count);
    if (through_cache(self))
        return count == 1 ? aegis_pool_cache_free(&self->cache, blocks[0])
                          : aegis_pool_cache_free_n(&self->cache, blocks, count);
    return count == 1 ? aegis_lock_free_pool_free(&lock_free, blocks[0])
                      : aegis_lock_free_pool_free_n(&lock_free, blocks, count);
}

static size_t index_of(worker *self, const void *block) {
    size_t index = 0;
    aegis_status status = self->way == BY_LOCK
                              ? aegis_locked_pool_index_of(&locked, block, &index)
                              : aegis_lock_free_pool_index_of(&lock_free, block, &index);
    demand(status == AEGIS_OK);
    return index;
}

static void own(worker *self, void *block) {
    demand(atomic_exchange(&owners[index_of(self, block)], self->number + 1) == 0);
    memset(block, (int)self->number + 1, BLOCK_BYTES);
}

static void disown(worker *self, void *block) {
    uint32_t owner = atomic_exchange(&owners[index_of(self, block)], 0);
    demand(owner != 0 && is_filled(block, (unsigned char)owner, BLOCK_BYTES));
}

/* Leaves a block to another thread and takes over the block that lay there. */
static void *hand_over(worker *self, void *block) {
    size_t to = random_below(&self->seed, THREADS);
    return atomic_exchange(&mailboxes[to], (unsigned char *)block);
}

static void *work(void *argument) {
    worker *self = (worker *)argument;
    void *held[HELD];
    size_t held_count = 0;
    for (size_t i = 0; i < scaled(20000); i++) {
        size_t action = random_below(&self->seed, 8);
        if (action < 4 && held_count < HELD) {
            size_t room = HELD - held_count;
            size_t want_count = action != 0 ? 1 : 1 + random_below(&self->seed, room);
            size_t got_count = take(self, held + held_count, want_count);
            for (size_t j = 0; j < got_count; j++)
                own(self, held[held_count + j]);
            held_count += got_count;
            self->took_count += got_count;
        } else if (action < 7 && held_count != 0) {
            size_t put_count = action != 6 ? 1 : 1 + random_below(&self->seed, held_count);
            held_count -= put_count;
            for (size_t j = 0; j < put_count; j++)
                disown(self, held[held_count + j]);
            demand(put(self, held + held_count, put_count) == AEGIS_OK);
        } else if (held_count != 0) {
            held[held_count - 1] = hand_over(self, held[held_count - 1]);
            held_count -= held[held_count - 1] == NULL;
        }
    }
    for (size_t j = 0; j < held_count; j++)
        disown(self, held[j]);
    demand(put(self, held, held_count) == AEGIS_OK);
    /* The thread leaves its cache open with blocks in it; the main thread finishes the cache. */
    return NULL;
}

/* Runs the threads and takes back what lies in the mailboxes. */
static void run_threads(int way) {
    static worker workers[THREADS];
    memset(workers, 0, sizeof workers);
    atomic_store(&failure_count, 0);
    for (uint32_t i = 0; i < THREADS; i++) {
        worker *self = &workers[i];
        self->way = way;
        self->number = i;
        self->seed = 1000003 * (i + 1);
        if (way == BY_CACHE || way == BY_BOTH)
            CHECK(aegis_pool_cache_init(&self->cache, &lock_free) == AEGIS_OK);
        CHECK(pthread_create(&self->thread, NULL, work, self) == 0);
    }
    size_t took_count = 0;
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(workers[i].thread, NULL);
        took_count += workers[i].took_count;
    }
    CHECK(took_count != 0);
    for (size_t i = 0; i < THREADS; i++) {
        void *block = atomic_exchange(&mailboxes[i], NULL);
        if (block == NULL)
            continue;
        disown(&workers[0], block);
        CHECK(put(&workers[i], &block, 1) == AEGIS_OK);
    }
    if (way == BY_CACHE || way == BY_BOTH) {
        CHECK(aegis_lock_free_pool_fini(&lock_free) == AEGIS_E_BUSY);
        for (size_t i = 0; i < THREADS; i++)
            aegis_pool_cache_fini(&workers[i].cache);
    }
    CHECK_SIZE(atomic_load(&failure_count), 0);
}

/* Demands that every block is free, and each only once. */
static void check_complete(size_t expected) {
    static void *blocks[CAPACITY + THREADS * AEGIS_POOL_CACHE_BLOCKS + 1];
    static bool seen[CAPACITY + THREADS * AEGIS_POOL_CACHE_BLOCKS];
    memset(seen, 0, sizeof seen);
    CHECK_SIZE(lock_free_stats(&lock_free).in_use, 0);
    CHECK_SIZE(lock_free_stats(&lock_free).parked, 0);
    size_t got_count = aegis_lock_free_pool_alloc_n(&lock_free, blocks, expected + 1, NULL);
    CHECK_SIZE(got_count, expected);
    for (size_t i = 0; i < got_count; i++) {
        size_t index = 0;
        CHECK(aegis_lock_free_pool_index_of(&lock_free, blocks[i], &index) == AEGIS_OK);
        CHECK(!seen[index]);
        seen[index] = true;
    }
    CHECK(aegis_lock_free_pool_free_n(&lock_free, blocks, got_count) == AEGIS_OK);
}

static void stress_lock_free(int way, size_t block_count, size_t cache_count, uint32_t flags) {
    aegis_lock_free_pool_options options =
        lock_free_options(BLOCK_BYTES, block_count, CAPACITY, cache_count, NULL);
    options.flags = flags;
    CHECK(aegis_lock_free_pool_init(&lock_free, &options) == AEGIS_OK);
    run_threads(way);
    check_complete(CAPACITY + cache_count * AEGIS_POOL_CACHE_BLOCKS);
    CHECK(aegis_lock_free_pool_fini(&lock_free) == AEGIS_OK);
}

static void threads_on_the_stack(void) {
    stress_lock_free(BY_POOL, CAPACITY, 0, 0);
}

/* The threads want more blocks than there are, so the pool is empty most of the time. The slabs are
 * small, so that several threads want to grow the pool at the same time. */
static void threads_on_a_growing_pool(void) {
    for (size_t i = 0; i < scaled(20); i++)
        stress_lock_free(BY_POOL, 7, 0, 0);
}

static void threads_on_caches_that_end_with_blocks_parked(void) {
    stress_lock_free(BY_CACHE, CAPACITY, THREADS, 0);
    stress_lock_free(BY_CACHE, CAPACITY, THREADS, AEGIS_POOL_NO_RACING_FREES);
}

static void threads_on_caches_and_stack_together(void) {
    stress_lock_free(BY_BOTH, 50, THREADS, 0);
}

static void threads_on_the_locked_pool(void) {
    aegis_pool_options options = pool_options(BLOCK_BYTES, 50, CAPACITY, NULL);
    CHECK(aegis_locked_pool_init(&locked, &options) == AEGIS_OK);
    run_threads(BY_LOCK);
    CHECK_SIZE(locked_stats(&locked).in_use, 0);
    CHECK(aegis_locked_pool_fini(&locked) == AEGIS_OK);
}

/* All threads free the same blocks. For each block exactly one of these frees must succeed. */
#define RACED 64
static void *raced[RACED];
static atomic_size_t success_count;

static void *race(void *argument) {
    aegis_pool_cache *cache = (aegis_pool_cache *)argument;
    for (size_t i = 0; i < RACED; i++) {
        aegis_status status = cache != NULL ? aegis_pool_cache_free(cache, raced[i])
                                            : aegis_lock_free_pool_free(&lock_free, raced[i]);
        if (status == AEGIS_OK)
            atomic_fetch_add(&success_count, 1);
    }
    return NULL;
}

static void of_racing_frees_one_succeeds(void) {
    aegis_lock_free_pool_options options = lock_free_options(BLOCK_BYTES, RACED, 0, 2, NULL);
    CHECK(aegis_lock_free_pool_init(&lock_free, &options) == AEGIS_OK);
    aegis_pool_cache caches[2];
    CHECK(aegis_pool_cache_init(&caches[0], &lock_free) == AEGIS_OK);
    CHECK(aegis_pool_cache_init(&caches[1], &lock_free) == AEGIS_OK);
    aegis_pool_cache_flush(&caches[0]);
    aegis_pool_cache_flush(&caches[1]);
    for (size_t i = 0; i < scaled(200); i++) {
        pthread_t threads[3];
        atomic_store(&success_count, 0);
        CHECK_SIZE(aegis_lock_free_pool_alloc_n(&lock_free, raced, RACED, NULL), RACED);
        CHECK(pthread_create(&threads[0], NULL, race, NULL) == 0);
        CHECK(pthread_create(&threads[1], NULL, race, &caches[0]) == 0);
        CHECK(pthread_create(&threads[2], NULL, race, &caches[1]) == 0);
        for (size_t j = 0; j < 3; j++)
            pthread_join(threads[j], NULL);
        CHECK_SIZE(atomic_load(&success_count), RACED);
        CHECK_SIZE(lock_free_stats(&lock_free).in_use, 0);
    }
    aegis_pool_cache_fini(&caches[0]);
    aegis_pool_cache_fini(&caches[1]);
    CHECK(aegis_lock_free_pool_fini(&lock_free) == AEGIS_OK);
}

int main(void) {
    RUN(threads_on_the_stack);
    RUN(threads_on_a_growing_pool);
    RUN(threads_on_caches_that_end_with_blocks_parked);
    RUN(threads_on_caches_and_stack_together);
    RUN(threads_on_the_locked_pool);
    RUN(of_racing_frees_one_succeeds);
    return check_finish();
}
