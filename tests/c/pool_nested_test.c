/* SPDX-License-Identifier: Apache-2.0 */
/* Tests sources that use their own pool while it acquires, trims and ends. The test makes random
 * operations on a pool of each form, and the source's functions make random operations inside
 * those. After each one the pool must agree with what the test knows of the blocks that are out and
 * of the slabs that the source has given. The source places slabs at random in one range, so that
 * addresses are used again and windows collide. */
#include "pool_support.h"

#define BLOCK_BYTES ((size_t)256)
#define STEP_COUNT ((size_t)8)
/* Room for a slab with its alignment, including what a checker adds to each block. */
#define PLACE_BYTES ((size_t)8192)
#define PLACES ((size_t)192)
#define MAX_SLABS ((size_t)24)
#define MAX_BLOCKS (STEP_COUNT * MAX_SLABS)
#define MAX_DEPTH 3

typedef struct form {
    aegis_status (*init)(const aegis_pool_options *options);
    aegis_status (*fini)(void);
    void *(*alloc)(aegis_error *error);
    aegis_status (*free)(void *block);
    void (*trim)(size_t keep_block_count);
    bool (*owns)(const void *block);
    aegis_status (*index_of)(const void *block, size_t *index);
    void *(*address_of)(size_t index);
    aegis_status (*get_slab)(size_t slab, aegis_pool_slab_info *info);
    void (*get_stats)(aegis_pool_stats *stats);
} form;

static aegis_pool one;
static aegis_keyed_pool keyed;
static aegis_lock_free_pool lock_free;
static aegis_locked_pool locked;

static aegis_status one_init(const aegis_pool_options *options) {
    return aegis_pool_init(&one, options);
}
static aegis_status one_fini(void) {
    return aegis_pool_fini(&one);
}
static void *one_alloc(aegis_error *error) {
    void *block = aegis_pool_alloc(&one);
    if (block == NULL)
        aegis_pool_last_error(&one, error);
    return block;
}
static aegis_status one_free(void *block) {
    return aegis_pool_free(&one, block);
}
static void one_trim(size_t keep_block_count) {
    aegis_pool_trim(&one, keep_block_count);
}
static bool one_owns(const void *block) {
    return aegis_pool_owns(&one, block);
}
static aegis_status one_index_of(const void *block, size_t *index) {
    return aegis_pool_index_of(&one, block, index);
}
static void *one_address_of(size_t index) {
    return aegis_pool_address_of(&one, index);
}
static aegis_status one_get_slab(size_t slab, aegis_pool_slab_info *info) {
    return aegis_pool_get_slab(&one, slab, info);
}
static void one_get_stats(aegis_pool_stats *stats) {
    aegis_pool_get_stats(&one, stats);
}

static aegis_status keyed_init(const aegis_pool_options *options) {
    return aegis_keyed_pool_init(&keyed, options);
}
static aegis_status keyed_fini(void) {
    return aegis_keyed_pool_fini(&keyed);
}
static void *keyed_alloc(aegis_error *error) {
    uint64_t key;
    /* It may fail, and the allocation may succeed nevertheless. */
    if (aegis_keyed_pool_len(&keyed) % 5 == 3)
        (void)aegis_keyed_pool_reserve(&keyed, STEP_COUNT * 2);
    void *block = aegis_keyed_pool_alloc(&keyed, &key);
    if (block == NULL)
        aegis_pool_last_error(&keyed.pool, error);
    CHECK(aegis_keyed_pool_get(&keyed, key) == block);
    return block;
}
static aegis_status keyed_free(void *block) {
    return aegis_keyed_pool_free(&keyed, aegis_keyed_pool_key_of(&keyed, block));
}
static void keyed_trim(size_t keep_block_count) {
    aegis_keyed_pool_trim(&keyed, keep_block_count);
}
static bool keyed_owns(const void *block) {
    return aegis_pool_owns(&keyed.pool, block);
}
static aegis_status keyed_index_of(const void *block, size_t *index) {
    return aegis_pool_index_of(&keyed.pool, block, index);
}
static void *keyed_address_of(size_t index) {
    return aegis_pool_address_of(&keyed.pool, index);
}
static aegis_status keyed_get_slab(size_t slab, aegis_pool_slab_info *info) {
    return aegis_pool_get_slab(&keyed.pool, slab, info);
}
static void keyed_get_stats(aegis_pool_stats *stats) {
    aegis_keyed_pool_get_stats(&keyed, stats);
    size_t key_count = 0;
    for (uint64_t key = 0; (key = aegis_keyed_pool_next(&keyed, key)) != 0;)
        key_count++;
    CHECK_SIZE(key_count, stats->in_use);
}

static aegis_status lock_free_init(const aegis_pool_options *options) {
    aegis_lock_free_pool_options all;
    memset(&all, 0, sizeof all);
    all.blocks = *options;
    return aegis_lock_free_pool_init(&lock_free, &all);
}
static aegis_status lock_free_fini(void) {
    return aegis_lock_free_pool_fini(&lock_free);
}
static void *lock_free_alloc(aegis_error *error) {
    return aegis_lock_free_pool_alloc(&lock_free, error);
}
static aegis_status lock_free_free(void *block) {
    return aegis_lock_free_pool_free(&lock_free, block);
}
static void lock_free_trim(size_t keep_block_count) {
    if (keep_block_count % 4 == 1)
        aegis_lock_free_pool_trim_idle(&lock_free);
    else
        aegis_lock_free_pool_trim(&lock_free, keep_block_count);
}
static bool lock_free_owns(const void *block) {
    return aegis_lock_free_pool_owns(&lock_free, block);
}
static aegis_status lock_free_index_of(const void *block, size_t *index) {
    return aegis_lock_free_pool_index_of(&lock_free, block, index);
}
static void *lock_free_address_of(size_t index) {
    return aegis_lock_free_pool_address_of(&lock_free, index);
}
static aegis_status lock_free_get_slab(size_t slab, aegis_pool_slab_info *info) {
    return aegis_lock_free_pool_get_slab(&lock_free, slab, info);
}
static void lock_free_get_stats(aegis_pool_stats *stats) {
    aegis_lock_free_pool_get_stats(&lock_free, stats);
}

static aegis_status locked_init(const aegis_pool_options *options) {
    return aegis_locked_pool_init(&locked, options);
}
static aegis_status locked_fini(void) {
    return aegis_locked_pool_fini(&locked);
}
static void *locked_alloc(aegis_error *error) {
    return aegis_locked_pool_alloc(&locked, error);
}
static aegis_status locked_free(void *block) {
    return aegis_locked_pool_free(&locked, block);
}
static void locked_trim(size_t keep_block_count) {
    aegis_locked_pool_trim(&locked, keep_block_count);
}
static bool locked_owns(const void *block) {
    return aegis_locked_pool_owns(&locked, block);
}
static aegis_status locked_index_of(const void *block, size_t *index) {
    return aegis_locked_pool_index_of(&locked, block, index);
}
static void *locked_address_of(size_t index) {
    return aegis_locked_pool_address_of(&locked, index);
}
static aegis_status locked_get_slab(size_t slab, aegis_pool_slab_info *info) {
    return aegis_locked_pool_get_slab(&locked, slab, info);
}
static void locked_get_stats(aegis_pool_stats *stats) {
    aegis_locked_pool_get_stats(&locked, stats);
}

#define FORM(name)                                                                                 \
    static const form name##_form = {                                                              \
        name##_init, name##_fini,     name##_alloc,      name##_free,     name##_trim,             \
        name##_owns, name##_index_of, name##_address_of, name##_get_slab, name##_get_stats}
FORM(one);
FORM(keyed);
FORM(lock_free);
FORM(locked);

/* What the test knows. */
static const form *tested;
static uint64_t seed;
static size_t depth;
static bool finishing;
static size_t nested_count;
static unsigned char *range;
static bool used[PLACES];
static size_t used_count;
static void *out[MAX_BLOCKS];
static size_t out_count;
/* Requests that are not finished. A locked pool may give them blocks that come back meanwhile, as
 * it does for waiting threads. */
static size_t request_count;

static void act(void);
static void check_all(void);

/* The side memory is not a slab: it comes from the heap. */
static bool is_slab(size_t size_bytes, size_t align_bytes) {
    return align_bytes == AEGIS_POOL_SLAB_ALIGN && size_bytes <= PLACE_BYTES;
}

static void act_nested(void) {
    if (depth >= MAX_DEPTH || tested == NULL)
        return;
    depth++;
    for (size_t i = random_below(&seed, 4); i > 0; i--) {
        nested_count++;
        act();
    }
    check_all();
    depth--;
}

static void *acquire(void *context, size_t size_bytes, size_t align_bytes, bool *zeroed) {
    (void)context;
    if (!is_slab(size_bytes, align_bytes))
        return aegis_source_heap().acquire(NULL, size_bytes, align_bytes, zeroed);
    act_nested();
    if (used_count == PLACES || random_below(&seed, 10) == 0)
        return NULL;
    size_t place = random_below(&seed, PLACES);
    while (used[place])
        place = (place + 1) % PLACES;
    used[place] = true;
    used_count++;
    return range + place * PLACE_BYTES;
}

static void release(void *context, void *memory, size_t size_bytes, size_t align_bytes) {
    (void)context;
    if (!is_slab(size_bytes, align_bytes)) {
        memset(memory, 0xDD, size_bytes);
        aegis_source_heap().release(NULL, memory, size_bytes, align_bytes);
        act_nested();
        return;
    }
    size_t place = (size_t)((unsigned char *)memory - range) / PLACE_BYTES;
    CHECK(used[place]);
    /* Once before the memory has gone, and once after. */
    act_nested();
    memset(memory, 0xDD, size_bytes);
    used[place] = false;
    used_count--;
    act_nested();
}

static bool is_out(const void *block) {
    for (size_t i = 0; i < out_count; i++)
        if (out[i] == block)
            return true;
    return false;
}

static void act(void) {
    size_t what = random_below(&seed, 16);
    if (finishing) {
        aegis_error error;
        CHECK(tested->alloc(&error) == NULL && error.status == AEGIS_E_EXHAUSTED);
        CHECK(tested->free(range) == AEGIS_E_INVALID);
        if (tested == &locked_form)
            CHECK(aegis_locked_pool_alloc_timeout(&locked, AEGIS_WAIT_FOREVER, &error) == NULL);
        CHECK(error.status == AEGIS_E_EXHAUSTED && tested->fini() == AEGIS_OK);
        tested->trim(0);
    } else if (what < 9) {
        aegis_error error;
        request_count += tested == &locked_form;
        void *block = tested->alloc(&error);
        request_count -= tested == &locked_form;
        CHECK(block != NULL || error.status == AEGIS_E_EXHAUSTED ||
              error.status == AEGIS_E_OUT_OF_MEMORY);
        if (block == NULL)
            return;
        CHECK(!is_out(block) && out_count < MAX_BLOCKS);
        memset(block, (int)((uintptr_t)block >> 8) & 0xFF, BLOCK_BYTES);
        out[out_count++] = block;
    } else if (what < 14 && out_count != 0) {
        size_t which = random_below(&seed, out_count);
        void *block = out[which];
        CHECK(is_filled(block, (unsigned char)((uintptr_t)block >> 8), BLOCK_BYTES));
        out[which] = out[--out_count];
        CHECK(tested->free(block) == AEGIS_OK);
        CHECK(request_count != 0 || tested->free(block) == AEGIS_E_INVALID);
    } else {
        tested->trim(random_below(&seed, 2) == 0 ? 0 : random_below(&seed, MAX_BLOCKS));
    }
}

/* Compares everything that the pool says with what the test knows. */
static void check_all(void) {
    aegis_pool_stats stats;
    size_t slab_count = 0, block_count = 0;
    tested->get_stats(&stats);
    CHECK(stats.in_use >= out_count && stats.in_use <= out_count + request_count);
    for (size_t slab = 0; slab < MAX_SLABS; slab++) {
        aegis_pool_slab_info info;
        if (tested->get_slab(slab, &info) != AEGIS_OK)
            continue;
        slab_count++;
        block_count += info.block_count;
        CHECK(used[(size_t)((unsigned char *)info.base - range) / PLACE_BYTES]);
        CHECK(tested->owns(info.base));
        CHECK(tested->address_of(info.first_index) == info.base);
    }
    CHECK_SIZE(slab_count, stats.slab_count);
    CHECK_SIZE(block_count, stats.capacity);
    CHECK(stats.capacity <= MAX_BLOCKS && used_count >= slab_count);
    for (size_t i = 0; i < out_count; i++) {
        size_t index = SIZE_MAX;
        CHECK(tested->index_of(out[i], &index) == AEGIS_OK);
        CHECK(tested->address_of(index) == out[i]);
    }
    for (size_t place = 0; place < PLACES; place++)
        CHECK(used[place] || !tested->owns(range + place * PLACE_BYTES));
}

static void run_rounds(const form *wanted, uint64_t first_seed) {
    for (size_t round = 0; round < scaled(60); round++) {
        aegis_source source = {acquire, release, NULL, NULL};
        aegis_pool_options options = pool_options(BLOCK_BYTES, STEP_COUNT, MAX_BLOCKS, &source);
        seed = first_seed + round * 977;
        tested = NULL;
        finishing = false;
        depth = 0;
        while (wanted->init(&options) != AEGIS_OK) {
        }
        tested = wanted;
        for (size_t i = 0; i < 200; i++) {
            act();
            check_all();
        }
        while (out_count != 0)
            CHECK(tested->free(out[--out_count]) == AEGIS_OK);
        finishing = true;
        CHECK(tested->fini() == AEGIS_OK);
        CHECK_SIZE(used_count, 0);
    }
}

static void nested_use_of_a_pool_changes_nothing_but_what_it_does(void) {
    run_rounds(&one_form, 11);
}

static void nested_use_of_a_keyed_pool_changes_nothing_but_what_it_does(void) {
    run_rounds(&keyed_form, 44);
}

static void nested_use_of_a_lock_free_pool_changes_nothing_but_what_it_does(void) {
    run_rounds(&lock_free_form, 22);
}

static void nested_use_of_a_locked_pool_changes_nothing_but_what_it_does(void) {
    run_rounds(&locked_form, 33);
}

int main(void) {
    check_alarm(300);
    unsigned char *raw = (unsigned char *)malloc(PLACES * PLACE_BYTES + AEGIS_POOL_SLAB_ALIGN);
    range = raw + ((size_t)(0 - (uintptr_t)raw) & (AEGIS_POOL_SLAB_ALIGN - 1));
    RUN(nested_use_of_a_pool_changes_nothing_but_what_it_does);
    RUN(nested_use_of_a_keyed_pool_changes_nothing_but_what_it_does);
    RUN(nested_use_of_a_lock_free_pool_changes_nothing_but_what_it_does);
    RUN(nested_use_of_a_locked_pool_changes_nothing_but_what_it_does);
    CHECK(nested_count != 0);
    free(raw);
    return check_finish();
}
