/* SPDX-License-Identifier: Apache-2.0 */
/* The buffer pool's handles, what it does for a request, and its figures. Where blocks lie, and how
 * long the pool lives, is in pool_class.c.
 *
 * A request first looks into the own stripe of the smallest class that would do; then everywhere in
 * that class, which grows if need be; then in the next larger one; and then does what the policy
 * says. */
#if !defined(_WIN32) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* condition.h */
#endif

#include "../base/harden.h"
#include "../base/text.h"
#include "owner.h"
#include "pool_state.h"

#include <stdlib.h>

/* How long a thread waits before it looks again whether there is memory to grow by. */
#define SLICE_NS (UINT64_C(10) * 1000 * 1000)

/* The header of a buffer on the C heap, at the start of its memory. */
typedef struct heap_buffer {
    aegis_buffer_owner owner;
    aegis_buffer_pool_shared *shared;
    size_t charged_bytes;
} heap_buffer;

aegis_status aegis_buffer_pool_retain(const aegis_buffer_pool *pool, aegis_buffer_pool *copy) {
    aegis_buffer_pool_shared *shared = pool->shared;
    copy->shared = NULL;
    if (shared == NULL)
        return AEGIS_E_INVALID;
    assert(aegis_i_buffer_pool_is_valid(shared));
    size_t seen = aegis_i_load(&shared->handles, memory_order_relaxed);
    do {
        if (seen >= AEGIS_I_MAX_REFERENCES)
            return AEGIS_E_LIMIT_EXCEEDED;
        /* Relaxed: the caller's own handle keeps the pool. */
    } while (!aegis_i_cas_weak(&shared->handles, &seen, seen + 1, memory_order_relaxed,
                               memory_order_relaxed));
    copy->shared = shared;
    return AEGIS_OK;
}

void aegis_buffer_pool_release(aegis_buffer_pool *pool) {
    if (pool == NULL || pool->shared == NULL)
        return;
    aegis_buffer_pool_shared *shared = pool->shared;
    assert(aegis_i_buffer_pool_is_valid(shared));
    pool->shared = NULL;
    /* Release and acquire pair with each other: the last one sees what calls on the others did. */
    if (aegis_i_sub(&shared->handles, 1, memory_order_acq_rel) != 1)
        return;
    size_t left_count = 0;
    for (size_t i = 0; i < shared->class_count; i++)
        left_count += aegis_i_buffer_class_close(&shared->classes[i]);
    if (AEGIS_I_DEBUG && left_count != 0)
        aegis_i_report("a buffer pool stays: the system refuses membarrier, and %zu free buffers "
                       "are parked by threads that use the pool no more",
                       left_count);
    aegis_i_buffer_pool_drop(shared);
}

static aegis_status hand_out(aegis_i_buffer_class *home, uint32_t index, aegis_buffer_mut *writer) {
    aegis_buffer_owner *owner = &home->slots[index].owner;
    aegis_i_set_references(owner, 1);
    AEGIS_I_SHOW(owner->base, owner->capacity_bytes);
    writer->data = owner->base;
    writer->length = 0;
    writer->capacity = owner->capacity_bytes;
    writer->owner = owner;
    writer->initialized = 0;
    return AEGIS_OK;
}

/* The smallest class that would do; NULL when none is large enough. */
static aegis_i_buffer_class *class_for(aegis_buffer_pool_shared *shared, size_t capacity_bytes) {
    aegis_i_buffer_class *home = shared->classes;
    while (home->buffer_bytes < capacity_bytes)
        if (++home == shared->classes_end)
            return NULL;
    return home;
}

/* Takes a block of class `*home` or a larger one, and says of which. AEGIS_I_NO_INDEX: `error` says
 * why, rather that memory was refused than that all is out. */
static uint32_t take_any(aegis_buffer_pool_shared *shared, aegis_i_buffer_class **home,
                         aegis_error *error) {
    const aegis_i_buffer_class *end = shared->classes_end;
    error->status = AEGIS_OK;
    for (aegis_i_buffer_class *from = *home; from != end; from++) {
        aegis_error failed;
        uint32_t index = aegis_i_buffer_class_take(from, &failed);
        if (index != AEGIS_I_NO_INDEX) {
            *home = from;
            return index;
        }
        if (error->status == AEGIS_OK ||
            (error->status == AEGIS_E_EXHAUSTED && failed.status != AEGIS_E_EXHAUSTED))
            *error = failed;
    }
    return AEGIS_I_NO_INDEX;
}

/* Looks everywhere, without growth. */
static uint32_t search_any(aegis_buffer_pool_shared *shared, aegis_i_buffer_class **home) {
    const aegis_i_buffer_class *end = shared->classes_end;
    for (aegis_i_buffer_class *from = *home; from != end; from++) {
        uint32_t index = aegis_i_buffer_class_search(from);
        if (index != AEGIS_I_NO_INDEX) {
            *home = from;
            return index;
        }
    }
    return AEGIS_I_NO_INDEX;
}

/* Whether blocks of a class that would do may come without a wake-up: it may grow once memory is to
 * be had again, or its threads may end. */
static bool is_to_be_polled(const aegis_buffer_pool_shared *shared,
                            const aegis_i_buffer_class *home) {
    for (; home != shared->classes_end; home++)
        if (!aegis_i_buffer_class_wakes(home))
            return true;
    return false;
}

/* A thread is cancelled while it waits, and has the lock. */
static void give_up(void *context) {
    aegis_buffer_pool_shared *shared = (aegis_buffer_pool_shared *)context;
    aegis_i_mutex_unlock(&shared->mutex);
    /* Relaxed: as in sleep_for_block. */
    (void)aegis_i_sub(&shared->waiters, 1, memory_order_relaxed);
}

/* Sleeps until a block is found, or until the deadline or, where it is to be looked again, for a
 * while. */
static uint32_t sleep_for_block(aegis_buffer_pool_shared *shared, aegis_i_buffer_class **home,
                                uint64_t deadline_ns) {
    uint64_t slice_ns = aegis_i_deadline_ns(SLICE_NS);
    uint32_t index;
    /* Acquire and release pair with the addition in aegis_i_buffer_pool_wake. */
    (void)aegis_i_add(&shared->waiters, 1, memory_order_acq_rel);
    (void)aegis_i_mutex_lock(&shared->mutex);
    for (;;) {
        index = search_any(shared, home);
        bool polled = slice_ns < deadline_ns && is_to_be_polled(shared, *home);
        uint64_t until_ns = polled ? slice_ns : deadline_ns;
        if (index != AEGIS_I_NO_INDEX || (until_ns != UINT64_MAX && aegis_i_now_ns() >= until_ns))
            break;
        aegis_i_condition_wait(&shared->came_home, &shared->mutex, until_ns, give_up, shared);
    }
    aegis_i_mutex_unlock(&shared->mutex);
    /* Relaxed: a thread that sees it too late only looks for waiters in vain. */
    (void)aegis_i_sub(&shared->waiters, 1, memory_order_relaxed);
    return index;
}

/* Waits for a block. Whenever it has slept it looks once more, which is also when it may grow a
 * class: source and budget are called neither under the mutex nor by a thread that is counted as
 * waiting. `error` is about the last such look. */
static uint32_t wait_any(aegis_buffer_pool_shared *shared, aegis_i_buffer_class **home,
                         uint64_t timeout_ns, aegis_error *error) {
    uint64_t deadline_ns = aegis_i_deadline_ns(timeout_ns);
    uint32_t index;
    bool late;
    (void)aegis_i_add(&shared->wait_count, 1, memory_order_relaxed);
    do {
        if (!aegis_i_buffer_pool_adopt(shared)) {
            (void)aegis_i_error_bytes(error, AEGIS_E_FORKED, (*home)->buffer_bytes,
                                      shared->align_bytes);
            return AEGIS_I_NO_INDEX;
        }
        index = sleep_for_block(shared, home, deadline_ns);
        late = deadline_ns != UINT64_MAX && aegis_i_now_ns() >= deadline_ns;
        if (index == AEGIS_I_NO_INDEX)
            index = take_any(shared, home, error);
    } while (index == AEGIS_I_NO_INDEX && !late);
    if (index == AEGIS_I_NO_INDEX)
        (void)aegis_i_add(&shared->timeout_count, 1, memory_order_relaxed);
    return index;
}

/* The release function of buffers on the C heap. */
static void free_heap_buffer(aegis_buffer_owner *owner) {
    heap_buffer *buffer = (heap_buffer *)(void *)owner;
    aegis_buffer_pool_shared *shared = buffer->shared;
    size_t charged_bytes = buffer->charged_bytes;
    /* Before the heap has it again, so that the sum never exceeds what the heap can give. */
    (void)aegis_i_sub(&shared->heap_bytes, charged_bytes, memory_order_relaxed);
    free(buffer);
    (void)aegis_budget_uncharge(shared->budget, charged_bytes);
    aegis_i_buffer_pool_drop(shared);
}

void (*const aegis_i_buffer_free_heap)(aegis_buffer_owner *owner) = free_heap_buffer;

/* Makes a buffer on the C heap, which keeps the pool as a block does that is out. */
static aegis_status make_heap_buffer(aegis_buffer_pool_shared *shared, aegis_buffer_mut *writer,
                                     size_t capacity_bytes, aegis_error *error) {
    const aegis_pool_slabs *slabs = &shared->classes[0].pool.shared->slabs;
    size_t beside_bytes = sizeof(heap_buffer) + shared->align_bytes;
    if (capacity_bytes > PTRDIFF_MAX - beside_bytes) {
        (void)aegis_i_error_bytes(error, AEGIS_E_INVALID_LAYOUT, capacity_bytes,
                                  shared->align_bytes);
        error->allowed = PTRDIFF_MAX - beside_bytes;
        return error->status;
    }
    size_t total_bytes = beside_bytes + capacity_bytes;
    aegis_i_refusal why = {AEGIS_E_OUT_OF_MEMORY, NULL, 0, 0};
    heap_buffer *buffer = NULL;
    if (aegis_i_budget_charge(shared->budget, total_bytes, &why) == AEGIS_OK) {
        buffer = (heap_buffer *)malloc(total_bytes);
        if (buffer == NULL)
            (void)aegis_budget_uncharge(shared->budget, total_bytes);
    }
    if (buffer == NULL) {
        aegis_i_slabs_fail(slabs, total_bytes, shared->align_bytes, &why, error);
        return error->status;
    }
    unsigned char *base = (unsigned char *)(buffer + 1);
    base += aegis_i_padding(base, shared->align_bytes);
    aegis_buffer_owner owner = {1, shared->free_heap_buffer, base, capacity_bytes,
                                AEGIS_BUFFER_WRITABLE};
    buffer->owner = owner;
    buffer->shared = shared;
    buffer->charged_bytes = total_bytes;
    /* All relaxed: the caller's handle keeps the pool, and the buffer is not handed out yet. */
    (void)aegis_i_add(&shared->live, 1, memory_order_relaxed);
    (void)aegis_i_add(&shared->heap_count, 1, memory_order_relaxed);
    (void)aegis_i_add(&shared->heap_bytes, total_bytes, memory_order_relaxed);
    aegis_buffer_mut made = {base, 0, capacity_bytes, &buffer->owner, 0};
    *writer = made;
    return AEGIS_OK;
}

/* Says that no class is large enough. */
static void too_large(const aegis_buffer_pool_shared *shared, size_t capacity_bytes,
                      aegis_error *error) {
    (void)aegis_i_error_bytes(error, AEGIS_E_LIMIT_EXCEEDED, capacity_bytes, shared->align_bytes);
    error->limit_bytes = error->allowed = (shared->classes_end - 1)->buffer_bytes;
    error->what = AEGIS_WHAT_BUFFER_BYTES;
}

/* A handle that was released. */
static aegis_status no_pool(aegis_buffer_mut *writer, size_t capacity_bytes, aegis_error *error) {
    memset(writer, 0, sizeof *writer);
    return aegis_i_buffer_refuse(error, AEGIS_E_INVALID, AEGIS_WHAT_HANDLE, capacity_bytes);
}

/* All that a request may come to. */
static aegis_status get(aegis_buffer_pool_shared *shared, aegis_buffer_mut *writer,
                        size_t capacity_bytes, uint32_t when_empty, uint64_t timeout_ns,
                        aegis_error *error) {
    assert(aegis_i_buffer_pool_is_valid(shared));
    aegis_error failed;
    aegis_i_buffer_class *home = class_for(shared, capacity_bytes);
    size_t heap_bytes = capacity_bytes;
    if (home != NULL) {
        heap_bytes = home->buffer_bytes;
        uint32_t index = take_any(shared, &home, &failed);
        if (index == AEGIS_I_NO_INDEX && when_empty == AEGIS_BUFFER_WAIT && timeout_ns != 0)
            index = wait_any(shared, &home, timeout_ns, &failed);
        if (index != AEGIS_I_NO_INDEX)
            return hand_out(home, index, writer);
    } else {
        too_large(shared, capacity_bytes, &failed);
    }
    if (when_empty == AEGIS_BUFFER_HEAP &&
        make_heap_buffer(shared, writer, heap_bytes, &failed) == AEGIS_OK)
        return AEGIS_OK;
    (void)aegis_i_add(&shared->refused_count, 1, memory_order_relaxed);
    memset(writer, 0, sizeof *writer);
    if (error != NULL)
        *error = failed;
    return failed.status;
}

/* A request that finds nothing in a private stripe. */
static AEGIS_I_COLD aegis_status get_slow(const aegis_buffer_pool *pool, aegis_buffer_mut *writer,
                                          size_t capacity_bytes, aegis_error *error) {
    aegis_buffer_pool_shared *shared = pool->shared;
    if (shared == NULL)
        return no_pool(writer, capacity_bytes, error);
    return get(shared, writer, capacity_bytes, shared->when_empty, shared->timeout_ns, error);
}

aegis_status aegis_buffer_pool_get(const aegis_buffer_pool *pool, aegis_buffer_mut *writer,
                                   size_t min_capacity_bytes, aegis_error *error) {
    aegis_buffer_pool_shared *shared = pool->shared;
    aegis_i_buffer_class *home = shared != NULL ? class_for(shared, min_capacity_bytes) : NULL;
    if (home != NULL) {
        aegis_i_stripe *stripe = aegis_i_stripe_enter_private(home, AEGIS_I_THREAD_ID_KEPT());
        if (stripe != NULL) {
            uint32_t index = aegis_i_stripe_pop(stripe);
            aegis_i_stripe_leave_private(stripe);
            if (index != AEGIS_I_NO_INDEX)
                return hand_out(home, index, writer);
        }
    }
    return get_slow(pool, writer, min_capacity_bytes, error);
}

aegis_status aegis_buffer_pool_get_timeout(const aegis_buffer_pool *pool, aegis_buffer_mut *writer,
                                           size_t min_capacity_bytes, uint64_t timeout_ns,
                                           aegis_error *error) {
    if (pool->shared == NULL)
        return no_pool(writer, min_capacity_bytes, error);
    return get(pool->shared, writer, min_capacity_bytes, AEGIS_BUFFER_WAIT, timeout_ns, error);
}

aegis_status aegis_buffer_pool_id_of(const aegis_buffer_pool *pool, const aegis_buffer_owner *owner,
                                     size_t *id) {
    size_t first_id = 0;
    size_t class_count = pool->shared != NULL ? pool->shared->class_count : 0;
    for (size_t i = 0; i < class_count; i++) {
        const aegis_i_buffer_class *home = &pool->shared->classes[i];
        size_t offset = (size_t)((uintptr_t)owner - (uintptr_t)home->slots);
        size_t index = offset / AEGIS_I_SLOT_BYTES;
        if (offset % AEGIS_I_SLOT_BYTES == 0 && index < home->max_count &&
            aegis_i_slabs_address(&home->pool.shared->slabs, index) != NULL) {
            *id = first_id + index;
            return AEGIS_OK;
        }
        first_id += home->max_count;
    }
    return AEGIS_E_INVALID;
}

size_t aegis_buffer_pool_iovecs(const aegis_buffer_pool *pool, aegis_iovec *iovecs, size_t count) {
    size_t id = 0;
    size_t class_count = pool->shared != NULL ? pool->shared->class_count : 0;
    for (size_t i = 0; i < class_count; i++) {
        const aegis_i_buffer_class *home = &pool->shared->classes[i];
        size_t written_count = id < count ? aegis_i_min(count - id, home->max_count) : 0;
        for (size_t index = 0; index < written_count; index++) {
            aegis_iovec *place = &iovecs[id + index];
            place->base = aegis_i_slabs_address(&home->pool.shared->slabs, index);
            place->length = place->base != NULL ? home->buffer_bytes : 0;
        }
        id += home->max_count;
    }
    return id;
}

static void get_class_stats(const aegis_i_buffer_class *home, aegis_buffer_class_stats *stats) {
    stats->buffer_bytes = home->buffer_bytes;
    stats->capacity = aegis_lock_free_pool_capacity(&home->pool);
    stats->max_capacity = home->max_count;
    for (size_t i = 0; i < stats->capacity; i++) {
        const size_t *references = &home->slots[i].owner.references;
        stats->in_use +=
            aegis_i_load((const _Atomic size_t *)references, memory_order_relaxed) != 0;
    }
    for (uint32_t i = 0; i < home->private_count + home->stripe_mask + 1; i++)
        stats->parked += aegis_i_load(&home->stripes[i].count, memory_order_relaxed);
}

void aegis_buffer_pool_get_stats(const aegis_buffer_pool *pool, aegis_buffer_pool_stats *stats) {
    const aegis_buffer_pool_shared *shared = pool->shared;
    memset(stats, 0, sizeof *stats);
    if (shared == NULL)
        return;
    assert(aegis_i_buffer_pool_is_valid(shared));
    stats->class_count = shared->class_count;
    for (size_t i = 0; i < shared->class_count; i++) {
        aegis_pool_stats inner;
        get_class_stats(&shared->classes[i], &stats->classes[i]);
        aegis_i_slabs_get_stats(&shared->classes[i].pool.shared->slabs, &inner);
        stats->reserved_bytes += inner.reserved_bytes;
    }
    stats->heap_count = aegis_i_load(&shared->heap_count, memory_order_relaxed);
    stats->heap_bytes = aegis_i_load(&shared->heap_bytes, memory_order_relaxed);
    stats->wait_count = aegis_i_load(&shared->wait_count, memory_order_relaxed);
    stats->timeout_count = aegis_i_load(&shared->timeout_count, memory_order_relaxed);
    stats->refused_count = aegis_i_load(&shared->refused_count, memory_order_relaxed);
}
