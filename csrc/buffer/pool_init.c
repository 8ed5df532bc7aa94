/* SPDX-License-Identifier: Apache-2.0 */
/* Making and freeing a buffer pool.
 *
 * A class is a lock-free pool and its slots, which are acquired beside the slabs of that pool. The
 * shared state and the stripes of all classes are one piece of memory, which is acquired beside the
 * slabs of the first class. So each byte is charged and counted by one of the lock-free pools. Each
 * lock-free pool has a copy of the source without its `close` function. The buffer pool itself
 * calls `close` once, after everything has been released (release_pool). */
#if !defined(_WIN32) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* condition.h */
#endif

#include "pool_state.h"
#include "../base/harden.h"
#include "../base/sized.h"

#define DEFAULT_ALIGN ((size_t)4096)
#define MIN_STRIPES 4
#define MAX_STRIPES AEGIS_I_OWN_NUMBERS

_Static_assert(sizeof(struct aegis_buffer_pool_shared) % AEGIS_I_META_ALIGN == 0,
               "the stripes behind the struct are aligned");

/* A class under construction. */
typedef struct unfinished_class {
    aegis_lock_free_pool pool;
    aegis_i_buffer_slot *slots;
    size_t max_count;
} unfinished_class;

static size_t max_count_of(const aegis_buffer_class *wanted) {
    return wanted->max_buffer_count != 0 ? wanted->max_buffer_count : wanted->buffer_count;
}

/* The most buffers that a class may have, because their slots are one piece of memory. */
static size_t most_buffers(void) {
    return aegis_i_min(PTRDIFF_MAX / AEGIS_I_SLOT_BYTES, AEGIS_POOL_MAX_BLOCKS);
}

/* Checks a class, whose buffers must be larger than `last_bytes`. `error` says what is wrong. */
static aegis_status check_class(const aegis_buffer_class *wanted, size_t last_bytes,
                                aegis_error *error) {
    size_t max_count = max_count_of(wanted);
    if (wanted->buffer_bytes <= last_bytes)
        return aegis_i_error_refuse(error, AEGIS_E_INVALID, AEGIS_WHAT_CLASS_BYTES,
                                    wanted->buffer_bytes,
                                    last_bytes < SIZE_MAX ? last_bytes + 1 : SIZE_MAX);
    if (wanted->buffer_count == 0)
        return aegis_i_error_refuse(error, AEGIS_E_INVALID, AEGIS_WHAT_BLOCKS, 0, 1);
    if (max_count < wanted->buffer_count)
        return aegis_i_error_refuse(error, AEGIS_E_INVALID, AEGIS_WHAT_MAX_BLOCKS, max_count,
                                    wanted->buffer_count);
    if (max_count > most_buffers())
        return aegis_i_error_refuse(error, AEGIS_E_INVALID_LAYOUT,
                                    wanted->buffer_count > most_buffers() ? AEGIS_WHAT_BLOCKS
                                                                          : AEGIS_WHAT_MAX_BLOCKS,
                                    aegis_i_max(wanted->buffer_count, max_count), most_buffers());
    return AEGIS_OK;
}

/* Checks all options before any memory is acquired. `error` says what is wrong. */
static aegis_status check_options(const aegis_buffer_pool_options *options, aegis_error *error) {
    size_t class_count = options->classes != NULL ? options->class_count : 0;
    if (class_count == 0 || class_count > AEGIS_BUFFER_MAX_CLASSES)
        return aegis_i_error_refuse(error, AEGIS_E_INVALID, AEGIS_WHAT_CLASSES, class_count,
                                    class_count == 0 ? 1 : AEGIS_BUFFER_MAX_CLASSES);
    if (options->when_empty > AEGIS_BUFFER_WAIT)
        return aegis_i_error_refuse(error, AEGIS_E_INVALID, AEGIS_WHAT_POLICY, options->when_empty,
                                    AEGIS_BUFFER_WAIT);
    if ((options->flags & ~AEGIS_BUFFER_RECLAIMABLE) != 0)
        return aegis_i_error_refuse(error, AEGIS_E_INVALID, AEGIS_WHAT_FLAGS, options->flags,
                                    AEGIS_BUFFER_RECLAIMABLE);
    aegis_status status = AEGIS_OK;
    size_t last_bytes = 0;
    for (size_t i = 0; status == AEGIS_OK && i < class_count; i++) {
        status = check_class(&options->classes[i], last_bytes, error);
        last_bytes = options->classes[i].buffer_bytes;
        if (status != AEGIS_OK)
            error->requested_bytes = last_bytes;
    }
    return status;
}

/* The bytes that a class has reserved. */
static size_t reserved_of(const unfinished_class *made) {
    aegis_pool_stats stats;
    aegis_i_slabs_get_stats(&made->pool.shared->slabs, &stats);
    return stats.reserved_bytes;
}

/* The options of the lock-free pool of a class, without a source and a budget. */
static aegis_lock_free_pool_options inner_options(const aegis_buffer_pool_options *options,
                                                  const aegis_buffer_class *wanted) {
    aegis_lock_free_pool_options inner;
    memset(&inner, 0, sizeof inner);
    inner.blocks.block_bytes = wanted->buffer_bytes;
    inner.blocks.block_count = wanted->buffer_count;
    inner.blocks.max_block_count = wanted->max_buffer_count;
    inner.blocks.align_bytes = options->align_bytes != 0 ? options->align_bytes : DEFAULT_ALIGN;
    inner.blocks.wait_ns = options->wait_ns;
    return inner;
}

/* Acquires the memory of a class. On failure it has released all of it again. */
static aegis_status make_class(unfinished_class *made, const aegis_buffer_pool_options *options,
                               const aegis_buffer_class *wanted, const aegis_source *source,
                               aegis_budget *budget, aegis_error *error) {
    aegis_lock_free_pool_options inner = inner_options(options, wanted);
    inner.blocks.source = source;
    inner.blocks.budget = budget;
    inner.blocks.error = error;
    aegis_status status = aegis_lock_free_pool_init(&made->pool, &inner);
    if (status != AEGIS_OK)
        return status;
    aegis_pool_slabs *slabs = &made->pool.shared->slabs;
    made->max_count = max_count_of(wanted);
    made->slots = (aegis_i_buffer_slot *)aegis_i_slabs_acquire_beside(
        slabs, made->max_count * AEGIS_I_SLOT_BYTES, AEGIS_I_SLOT_BYTES, error);
    if (made->slots != NULL)
        return AEGIS_OK;
    aegis_i_error_whole(error, aegis_i_blocks_bytes(slabs, wanted->buffer_count),
                        reserved_of(made));
    aegis_lock_free_pool_abandon(&made->pool);
    return error->status;
}

static void unmake_class(unfinished_class *made) {
    aegis_i_slabs_release_beside(&made->pool.shared->slabs, made->slots,
                                 made->max_count * AEGIS_I_SLOT_BYTES, AEGIS_I_SLOT_BYTES);
    aegis_lock_free_pool_abandon(&made->pool);
}

/* Gives back the first classes of a pool that cannot be made. If a budget refused the rest of it,
 * `error` tells of these classes too. */
static void unmake_classes(unfinished_class *made, size_t made_count,
                           const aegis_buffer_class *classes, aegis_error *error) {
    while (made_count-- > 0) {
        size_t buffers_bytes = made[made_count].pool.block_bytes * classes[made_count].buffer_count;
        aegis_i_error_whole(error, error->requested_bytes + buffers_bytes,
                            reserved_of(&made[made_count]));
        unmake_class(&made[made_count]);
    }
}

/* How many shared stripes a class has, and how many private ones if the system has the barrier. It
 * is a power of two from MIN_STRIPES to MAX_STRIPES, and at least twice the number of processors
 * unless that is more than MAX_STRIPES. A model check sets the number itself. */
static uint32_t count_stripes(void) {
#if defined(AEGIS_I_STRIPE_COUNT)
    return AEGIS_I_STRIPE_COUNT;
#else
    uint32_t wanted_count = aegis_i_processor_count() * 2;
    uint32_t stripe_count = MIN_STRIPES;
    while (stripe_count < MAX_STRIPES && stripe_count < wanted_count)
        stripe_count *= 2;
    return stripe_count;
#endif
}

/* Lays class number `i` into the shared state. */
static void lay_class(aegis_buffer_pool_shared *shared, size_t i, const unfinished_class *made,
                      uint32_t private_count, uint32_t stripe_count) {
    aegis_i_buffer_class *home = &shared->classes[i];
    /* A quarter of the class, divided among the shared stripes. Filling each of them once leaves
     * three quarters of a small class at home, and more of a large one. */
    size_t share_count = made->max_count / ((size_t)stripe_count * 4);
    home->kind = aegis_i_buffer_slot_kind;
    home->buffer_bytes = made->pool.block_bytes;
    home->stripes = (aegis_i_stripe *)(void *)(shared + 1) + i * (private_count + stripe_count);
    home->threads = &aegis_i_threads;
    home->give_back = aegis_i_buffer_give_back;
    home->private_count = private_count;
    home->slots = made->slots;
    home->shared = shared;
    home->stripe_mask = stripe_count - 1;
    home->move_count = (uint32_t)aegis_i_min(aegis_i_max(share_count, 1), AEGIS_I_STRIPE_ITEMS / 2);
    home->park_count = home->move_count * 2;
    home->max_count = (uint32_t)made->max_count;
    home->pool = made->pool;
    atomic_init(&home->private_state,
                private_count != 0 ? AEGIS_I_PRIVATE_OPEN : AEGIS_I_PRIVATE_CLOSED);
}

/* Frees everything, and leaves the source open. */
static void free_pool(aegis_buffer_pool_shared *shared) {
    unfinished_class made[AEGIS_BUFFER_MAX_CLASSES];
    size_t class_count = shared->class_count;
    size_t memory_bytes = shared->memory_bytes;
    for (size_t i = 0; i < class_count; i++) {
        made[i].pool = shared->classes[i].pool;
        made[i].slots = shared->classes[i].slots;
        made[i].max_count = shared->classes[i].max_count;
    }
    /* In a child process, threads of the parent may have waited on the condition when the process
     * forked. So it is made anew first, because one that threads wait on cannot be destroyed. */
    if (aegis_i_buffer_pool_adopt(shared))
        aegis_i_condition_fini(&shared->came_home);
    aegis_i_mutex_fini(&shared->mutex);
    aegis_i_slabs_release_beside(&made[0].pool.shared->slabs, shared, memory_bytes,
                                 AEGIS_I_META_ALIGN);
    while (class_count > 0)
        unmake_class(&made[--class_count]);
}

/* The release function of `end`. */
static void release_pool(aegis_buffer_owner *end) {
    void *start = (unsigned char *)(void *)end - offsetof(aegis_buffer_pool_shared, end);
    aegis_buffer_pool_shared *shared = (aegis_buffer_pool_shared *)start;
    void (*close)(void *context) = shared->close;
    void *close_context = shared->close_context;
    free_pool(shared);
    if (close != NULL)
        close(close_context);
}

/* How many stripes each class has, and the bytes of the shared state with all of them. */
typedef struct stripe_counts {
    uint32_t shared_count;
    uint32_t private_count;
    size_t memory_bytes;
} stripe_counts;

static stripe_counts count_memory(size_t class_count) {
    stripe_counts stripes = {count_stripes(), 0, 0};
    if (aegis_i_barrier_prepare())
        stripes.private_count = stripes.shared_count;
    size_t all_count = class_count * (stripes.private_count + stripes.shared_count);
    stripes.memory_bytes = sizeof(aegis_buffer_pool_shared) + all_count * sizeof(aegis_i_stripe);
    return stripes;
}

/* Charges all that the pool takes when it is made, if it may wait for that: a pool that waited with
 * a part of it in hand could wait for bytes that it has itself. `*charged_bytes` is 0 if it does
 * not wait. On failure `error` says why. */
static aegis_status charge_all(const aegis_buffer_pool_options *options, size_t memory_bytes,
                               size_t *charged_bytes, aegis_error *error) {
    size_t buffers_bytes = 0, all_bytes = memory_bytes;
    aegis_i_refusal why;
    uint64_t wait_ns = aegis_i_wait_ns(options->wait_ns);
    aegis_i_patience patience = {wait_ns, NULL, NULL, NULL, NULL, false, NULL};
    *charged_bytes = 0;
    if (options->wait_ns == 0 || options->budget == NULL)
        return AEGIS_OK;
    for (size_t i = 0; i < options->class_count; i++) {
        const aegis_buffer_class *wanted = &options->classes[i];
        aegis_lock_free_pool_options inner = inner_options(options, wanted);
        size_t class_bytes = aegis_i_lock_free_first_bytes(&inner.blocks);
        size_t slots_bytes = max_count_of(wanted) * AEGIS_I_SLOT_BYTES;
        /* Nothing is taken for a pool that cannot be made: make_class says why. */
        if (class_bytes > SIZE_MAX - slots_bytes ||
            all_bytes > SIZE_MAX - slots_bytes - class_bytes)
            return AEGIS_OK;
        all_bytes += slots_bytes + class_bytes;
        buffers_bytes += wanted->buffer_bytes * wanted->buffer_count;
    }
    if (aegis_i_budget_charge_patiently(options->budget, all_bytes, &patience, &why) != AEGIS_OK) {
        aegis_i_explain_charge(&why, all_bytes, error);
        aegis_i_error_whole(error, buffers_bytes, 0);
        return why.status;
    }
    *charged_bytes = all_bytes;
    return AEGIS_OK;
}

/* Gives the budget to the classes, for which charge_all has charged it. */
static void take_charged(const unfinished_class *made, const aegis_buffer_pool_options *options) {
    for (size_t i = 0; i < options->class_count; i++)
        made[i].pool.shared->slabs.budget = aegis_budget_retain(options->budget);
}

/* Acquires the shared state and lays it out. NULL: `error` says why. */
static aegis_buffer_pool_shared *make_shared(const aegis_buffer_pool_options *options,
                                             const aegis_source *source,
                                             const unfinished_class *made,
                                             const stripe_counts *stripes, aegis_error *error) {
    size_t memory_bytes = stripes->memory_bytes;
    aegis_pool_slabs *slabs = &made[0].pool.shared->slabs;
    aegis_buffer_pool_shared *shared = (aegis_buffer_pool_shared *)aegis_i_slabs_acquire_beside(
        slabs, memory_bytes, AEGIS_I_META_ALIGN, error);
    if (shared == NULL)
        return NULL;
    if (!aegis_i_condition_init(&shared->came_home)) {
        aegis_i_slabs_fail(slabs, memory_bytes, AEGIS_I_META_ALIGN, NULL, error);
        aegis_i_slabs_release_beside(slabs, shared, memory_bytes, AEGIS_I_META_ALIGN);
        return NULL;
    }
    aegis_i_mutex_init(&shared->mutex);
    atomic_init(&shared->process, AEGIS_I_PROCESS());
    shared->when_empty = options->when_empty;
    shared->timeout_ns = options->timeout_ns;
    shared->class_count = options->class_count;
    shared->classes_end = shared->classes + options->class_count;
    shared->align_bytes = slabs->align_bytes;
    shared->budget = options->budget;
    shared->flags = options->flags;
    shared->reclaim_priority = options->reclaim_priority;
    shared->wait_ns = aegis_i_wait_ns(options->wait_ns);
    shared->free_heap_buffer = aegis_i_buffer_free_heap;
    shared->heap_kind = &aegis_i_buffer_heap_kind;
    shared->enlist = aegis_i_buffer_pool_enlist;
    aegis_buffer_owner end = {0, release_pool, NULL, 0, 0, 0};
    shared->end = end;
    shared->close = source->close;
    shared->close_context = source->context;
    shared->memory_bytes = memory_bytes;
    for (size_t i = 0; i < options->class_count; i++)
        lay_class(shared, i, &made[i], stripes->private_count, stripes->shared_count);
    atomic_init(&shared->live, 1);
    atomic_init(&shared->handles, 1);
    return shared;
}

/* Registers a pool that is made, if its options say so. If it cannot be registered, frees it. */
static aegis_status enlist(aegis_buffer_pool *pool, const aegis_buffer_pool_options *options) {
    aegis_buffer_pool_shared *shared = pool->shared;
    aegis_error error;
    assert(aegis_i_buffer_pool_is_valid(shared));
    aegis_status status =
        aegis_i_buffer_pool_enlist(shared, shared->budget, &shared->reclaimer, &error);
    if (status == AEGIS_OK)
        return AEGIS_OK;
    pool->shared = NULL;
    free_pool(shared);
    if (options->error != NULL)
        *options->error = error;
    return status;
}

aegis_status aegis_buffer_pool_init_sized(aegis_buffer_pool *pool,
                                          const aegis_buffer_pool_options *given,
                                          size_t options_bytes) {
    aegis_buffer_pool_options copy;
    size_t unknown = aegis_i_unknown_option(given, options_bytes, sizeof copy);
    const aegis_buffer_pool_options *options =
        (const aegis_buffer_pool_options *)aegis_i_known_part(given, options_bytes, &copy,
                                                              sizeof copy);
    unfinished_class made[AEGIS_BUFFER_MAX_CLASSES];
    aegis_error error;
    size_t made_count = 0;
    pool->shared = NULL;
    if (options == NULL)
        return AEGIS_E_INVALID;
    if (unknown != 0)
        return aegis_i_error_refuse(options->error != NULL ? options->error : &error,
                                    AEGIS_E_INVALID, AEGIS_WHAT_UNKNOWN_OPTION, unknown,
                                    sizeof copy);
    memset(&error, 0, sizeof error);
    aegis_source source = options->source != NULL ? *options->source : aegis_source_pages(0);
    aegis_source unclosed = source;
    unclosed.close = NULL;
    aegis_status status = check_options(options, &error);
    stripe_counts stripes = count_memory(options->class_count);
    size_t charged_bytes = 0;
    if (status == AEGIS_OK)
        status = charge_all(options, stripes.memory_bytes, &charged_bytes, &error);
    aegis_budget *budget = charged_bytes == 0 ? options->budget : NULL;
    while (status == AEGIS_OK && made_count < options->class_count) {
        status = make_class(&made[made_count], options, &options->classes[made_count], &unclosed,
                            budget, &error);
        made_count += status == AEGIS_OK;
    }
    if (status == AEGIS_OK) {
        pool->shared = make_shared(options, &source, made, &stripes, &error);
        if (pool->shared != NULL) {
            if (charged_bytes != 0)
                take_charged(made, options);
            return enlist(pool, options);
        }
        /* The caller asked for the buffers of the classes, which are added below. */
        aegis_i_error_whole(&error, 0, 0);
        status = error.status;
    }
    unmake_classes(made, made_count, options->classes, &error);
    if (charged_bytes != 0)
        (void)aegis_budget_uncharge(options->budget, charged_bytes);
    if (options->error != NULL)
        *options->error = error;
    return status;
}
