/* SPDX-License-Identifier: Apache-2.0 */
/* Threads use pools and arenas that wait for room in one budget, which has too little for all of
 * them. Each object must have what it charges, no two threads may have the same bytes, and in the
 * end nothing may be charged. AEGIS_TEST_SCALE sets the work. */
#include "buffer_pool_support.h"
#include "wait_support.h"

#define THREADS 6
#define ROUNDS 400
#define BLOCK_BYTES ((size_t)1024)

static aegis_budget *tight;
static aegis_locked_pool locked_pool;
static aegis_lock_free_pool lock_free_pool;
static aegis_buffer_pool buffer_pools[3];
static atomic_size_t got_count;
static atomic_size_t refused_count;

/* Writes the bytes again and again, and demands that no other thread writes to them. */
static void use(unsigned char *bytes, size_t thread) {
    for (int turn = 0; turn < 20; turn++) {
        memset(bytes, (int)thread, BLOCK_BYTES);
        sched_yield();
        size_t i = 0;
        while (i < BLOCK_BYTES && bytes[i] == (unsigned char)thread)
            i++;
        CHECK_SIZE(i, BLOCK_BYTES);
    }
}

static void count(const void *got, const aegis_error *error) {
    CHECK(got != NULL || error->status == AEGIS_E_LIMIT_EXCEEDED ||
          error->status == AEGIS_E_EXHAUSTED);
    atomic_fetch_add(got != NULL ? &got_count : &refused_count, 1);
}

static void use_arena(size_t thread, uint64_t wait_ns) {
    aegis_arena_options options = {0, 0, NULL, NULL, 0, tight, NULL, 0, wait_ns};
    aegis_arena arena;
    aegis_error error;
    CHECK(aegis_arena_init(&arena, &options) == AEGIS_OK);
    for (int i = 0; i < 3; i++) {
        void *bytes = aegis_arena_alloc(&arena, BLOCK_BYTES);
        aegis_arena_last_error(&arena, &error);
        count(bytes, &error);
        if (bytes != NULL)
            use((unsigned char *)bytes, thread);
    }
    aegis_arena_fini(&arena);
}

static void use_locked_pool(size_t thread, uint64_t wait_ns) {
    aegis_error error;
    void *block = wait_ns % 2 != 0 ? aegis_locked_pool_alloc(&locked_pool, &error)
                                   : aegis_locked_pool_alloc_timeout(&locked_pool, wait_ns, &error);
    count(block, &error);
    if (block == NULL)
        return;
    use((unsigned char *)block, thread);
    CHECK(aegis_locked_pool_free(&locked_pool, block) == AEGIS_OK);
    aegis_locked_pool_trim(&locked_pool, 0);
}

static void use_lock_free_pool(size_t thread) {
    aegis_error error;
    void *block = aegis_lock_free_pool_alloc(&lock_free_pool, &error);
    count(block, &error);
    if (block == NULL)
        return;
    use((unsigned char *)block, thread);
    CHECK(aegis_lock_free_pool_free(&lock_free_pool, block) == AEGIS_OK);
}

static void use_buffer_pool(size_t thread, const aegis_buffer_pool *pool) {
    aegis_error error;
    aegis_buffer_mut writer;
    (void)aegis_buffer_pool_get(pool, &writer, BLOCK_BYTES, &error);
    count(writer.data, &error);
    if (writer.data == NULL)
        return;
    use(writer.data, thread);
    CHECK(aegis_buffer_mut_release(&writer) == AEGIS_OK);
}

static void *run(void *number) {
    size_t thread = *(const size_t *)number;
    uint64_t seed = thread + 1;
    size_t rounds = scaled(ROUNDS);
    for (size_t round = 0; round < rounds; round++) {
        uint64_t wait_ns = random_below(&seed, 2 * NS_PER_MS);
        switch (random_below(&seed, 12)) {
        case 0:
            use_arena(thread, wait_ns);
            break;
        case 1:
            use_locked_pool(thread, wait_ns);
            break;
        case 2:
            use_lock_free_pool(thread);
            break;
        default:
            /* The threads use the same pool at about the same time. */
            use_buffer_pool(thread, &buffer_pools[round / 32 % 3]);
        }
    }
    return NULL;
}

static void nothing_is_lost_when_many_threads_wait_for_one_budget(void) {
    static size_t numbers[THREADS];
    pthread_t threads[THREADS];
    aegis_budget *parent = aegis_budget_new("parent", LIMIT_BYTES, NULL);
    tight = aegis_budget_new("tight", AEGIS_BUDGET_UNLIMITED, parent);
    aegis_lock_free_pool_options options = {
        {BLOCK_BYTES, 1, 64, 0, NULL, tight, NULL, 2 * NS_PER_MS}, 0, 0};
    aegis_buffer_class classes[] = {{BLOCK_BYTES, 1, 3}, {2 * BLOCK_BYTES, 1, 2}};
    CHECK(aegis_locked_pool_init(&locked_pool, &options.blocks) == AEGIS_OK);
    CHECK(aegis_lock_free_pool_init(&lock_free_pool, &options) == AEGIS_OK);
    for (uint32_t policy = 0; policy < 3; policy++) {
        aegis_buffer_pool_options buffers = buffer_pool_options(classes, 2, NULL);
        buffers.budget = tight;
        buffers.when_empty = policy;
        buffers.timeout_ns = 3 * NS_PER_MS;
        buffers.wait_ns = 2 * NS_PER_MS;
        CHECK(aegis_buffer_pool_init(&buffer_pools[policy], &buffers) == AEGIS_OK);
    }
    /* Room for two slabs of a buffer pool at a time. */
    aegis_budget_set_limit(parent, used(parent) + 9 * BLOCK_BYTES);
    for (size_t i = 0; i < THREADS; i++) {
        numbers[i] = i;
        CHECK(pthread_create(&threads[i], NULL, run, &numbers[i]) == 0);
    }
    for (size_t i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(atomic_load(&got_count) != 0);
    CHECK_SIZE(waiting_bytes(parent), 0);
    CHECK(aegis_locked_pool_fini(&locked_pool) == AEGIS_OK);
    CHECK(aegis_lock_free_pool_fini(&lock_free_pool) == AEGIS_OK);
    for (size_t i = 0; i < 3; i++)
        aegis_buffer_pool_release(&buffer_pools[i]);
    CHECK_SIZE(used(tight), 0);
    CHECK_SIZE(used(parent), 0);
    aegis_budget_destroy(tight);
    aegis_budget_destroy(parent);
}

int main(void) {
    check_alarm(300);
    RUN(nothing_is_lost_when_many_threads_wait_for_one_budget);
    return check_finish();
}
