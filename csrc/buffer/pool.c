/* SPDX-License-Identifier: Apache-2.0 */
/* The buffer pool's handles, how it serves a request, and its statistics. pool_stripe.h says
 * where free blocks lie, and pool_state.h how long the pool lives.
 *
 * A request takes a block from the first of these places that has one:
 *  1. this thread's private stripe of the smallest class that fits (aegis_buffer_pool_get);
 *  2. any other place of that class, which grows if all its blocks are out (take_any);
 *  3. the next larger class, in the same way, and so on up to the largest one (take_any).
 * If there is none, the pool's policy decides: the request waits (wait_any), gets memory of the C
 * heap (make_heap_buffer), or is refused.
 *
 * How a request asks the budget (take_or_wait):
 *  1. If it has other means, growth is optional at first: larger classes, or the C heap. But if the
 *     pool is a reclaimer of its budget, the smallest class may grow by what another class does not
 *     use. So then memory is reclaimed for it at once.
 *  2. If a budget has refused, growth is tried once more, in the smallest class that may grow. This
 *     reclaims memory, and waits as the options say, but no longer than the request waits for a
 *     buffer. If the C heap is the means, the charge for that does so instead.
 *  3. All later attempts are optional, because they are repeated.
 * A thread that waits for the budget looks for a buffer whenever one has come home (look). */
#if !defined(_WIN32) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* condition.h */
#endif

#include "../base/harden.h"
#include "../base/sized.h"
#include "../base/text.h"
#include "owner.h"
#include "pool_state.h"

#include <stdlib.h>

/* How long a waiting thread sleeps before it asks again for memory for a class to grow. */
#define SLICE_NS (UINT64_C(10) * 1000 * 1000)

/* The header of a buffer on the C heap, at the start of its memory. It has a budget of its own,
 * which is the pool's at first. */
typedef struct heap_buffer {
    aegis_i_charged_owner head;
    aegis_buffer_pool_shared *shared;
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
    /* Release and acquire pair with the same subtraction by other threads: the thread that gives up
     * the last handle sees what calls on the other handles did. */
    if (aegis_i_sub(&shared->handles, 1, memory_order_acq_rel) != 1)
        return;
    bool reclaimable = shared->reclaimer != NULL;
    aegis_budget_reclaimer_remove(shared->reclaimer);
    size_t left_count = 0;
    for (size_t i = 0; i < shared->class_count; i++)
        left_count += aegis_i_buffer_class_close(&shared->classes[i]);
    if (AEGIS_I_DEBUG && left_count != 0)
        aegis_i_report("a buffer pool stays: the system refuses membarrier, and %zu free buffers "
                       "are parked by threads that use the pool no more",
                       left_count);
    /* The budget cannot ask for them any more. Relaxed: if this was the last part of `live`, all
     * goes now. */
    if (reclaimable && aegis_i_load(&shared->live, memory_order_relaxed) != 1)
        aegis_i_buffer_pool_give_rest_back(shared);
    aegis_i_buffer_pool_drop(shared);
}

uint32_t aegis_i_buffer_pool_search_any(aegis_buffer_pool_shared *shared,
                                        aegis_i_buffer_class **home) {
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

/* Looks for a block that has come home, on behalf of a thread that waits for the budget. True:
 * there is one, or the class for which the thread waits has all its slabs. */
static bool look(aegis_i_patience *patience) {
    aegis_i_buffer_taker *self = (aegis_i_buffer_taker *)(void *)patience;
    /* A charge that begins again must not lose the block that was found before. */
    if (self->smallest != NULL && self->found == AEGIS_I_NO_INDEX) {
        self->found_in = self->smallest;
        self->found = aegis_i_buffer_pool_search_any(self->shared, &self->found_in);
    }
    return self->found != AEGIS_I_NO_INDEX ||
           (self->asked != NULL && aegis_i_buffer_class_is_full_grown(self->asked));
}

void aegis_i_buffer_taker_begin(aegis_i_buffer_taker *taker, aegis_buffer_pool_shared *shared,
                                aegis_i_buffer_class *smallest) {
    memset(taker, 0, sizeof *taker);
    taker->patience.place = &shared->budget;
    taker->patience.look = look;
    taker->patience.waiting_count = &shared->waiters;
    taker->patience.key = shared;
    taker->shared = shared;
    taker->smallest = smallest;
    taker->found = AEGIS_I_NO_INDEX;
}

/* Sets how the next charge waits. */
static void set_wait(aegis_i_buffer_taker *self, uint64_t wait_ns) {
    bool waits = wait_ns != 0 && wait_ns != AEGIS_I_OPTIONAL;
    self->patience.wait_ns = waits && !aegis_i_buffer_pool_adopt(self->shared) ? 0 : wait_ns;
}

uint32_t aegis_i_buffer_pool_take_any(aegis_i_buffer_taker *taker, uint64_t wait_ns,
                                      aegis_i_buffer_class **home, aegis_error *error) {
    aegis_i_buffer_class *from = taker->smallest;
    error->status = AEGIS_OK;
    set_wait(taker, wait_ns);
    while (from != taker->shared->classes_end) {
        aegis_error failed;
        *home = from;
        taker->asked = from;
        uint32_t index = aegis_i_buffer_class_take(from, &taker->patience, &failed);
        if (index != AEGIS_I_NO_INDEX)
            return index;
        if (taker->found != AEGIS_I_NO_INDEX)
            break;
        bool pending = failed.status == AEGIS_PENDING;
        /* The thread was called back because this class has grown. */
        if (pending && taker->patience.polled == NULL)
            continue;
        /* A polled request waits for one slab only. */
        if (failed.status != AEGIS_E_EXHAUSTED)
            taker->patience.polled = NULL;
        taker->was_refused = taker->was_refused || failed.refused != NULL;
        if (error->status == AEGIS_OK ||
            (error->status == AEGIS_E_EXHAUSTED && failed.status != AEGIS_E_EXHAUSTED))
            *error = failed;
        from++;
    }
    taker->asked = NULL;
    *home = taker->found != AEGIS_I_NO_INDEX ? taker->found_in : taker->smallest;
    return taker->found;
}

/* The time to wait of the first attempt of a request that has other means than growth. */
static uint64_t first_wait(const aegis_buffer_pool_shared *shared) {
    return (shared->flags & AEGIS_BUFFER_RECLAIMABLE) != 0 ? 0 : AEGIS_I_OPTIONAL;
}

uint32_t aegis_i_buffer_pool_take_polled(aegis_i_buffer_taker *taker, aegis_i_polled *room,
                                         bool repeated, aegis_i_buffer_class **home,
                                         aegis_error *error) {
    if (room->request == NULL) {
        bool has_larger = taker->smallest + 1 != taker->shared->classes_end;
        uint64_t wait_ns = has_larger && !repeated ? first_wait(taker->shared) : AEGIS_I_OPTIONAL;
        taker->patience.uncounted = true;
        uint32_t index = aegis_i_buffer_pool_take_any(taker, wait_ns, home, error);
        if (index != AEGIS_I_NO_INDEX || !taker->was_refused)
            return index;
    }
    const aegis_i_bell *old = room->bell;
    taker->patience.polled = room;
    uint32_t index = aegis_i_buffer_pool_take_any(taker, AEGIS_I_OPTIONAL, home, error);
    /* No class may grow any more. */
    if (room->bell == old)
        aegis_i_polled_end(room);
    return index;
}

/* Whether a block of a class that is large enough may become free without a wake-up: the class may
 * grow when there is memory again, or a thread may end that has cached blocks in a marked stripe.
 */
static bool is_to_be_polled(const aegis_buffer_pool_shared *shared,
                            const aegis_i_buffer_class *home) {
    for (; home != shared->classes_end; home++)
        if (!aegis_i_buffer_class_wakes(home))
            return true;
    return false;
}

/* What a thread does that is cancelled while it waits. It has locked the mutex. */
static void give_up(void *context) {
    aegis_buffer_pool_shared *shared = (aegis_buffer_pool_shared *)context;
    aegis_i_mutex_unlock(&shared->mutex);
    /* Relaxed: as in sleep_for_block. */
    (void)aegis_i_sub(&shared->waiters, 1, memory_order_relaxed);
}

/* Searches and sleeps until a block is found or the deadline has passed. While is_to_be_polled, it
 * returns after SLICE_NS at the latest. */
static uint32_t sleep_for_block(aegis_buffer_pool_shared *shared, aegis_i_buffer_class **home,
                                uint64_t deadline_ns) {
    uint64_t slice_ns = aegis_i_deadline_ns(SLICE_NS);
    uint32_t index;
    aegis_i_buffer_pool_begin_wait(shared);
    for (;;) {
        index = aegis_i_buffer_pool_search_any(shared, home);
        bool polled = slice_ns < deadline_ns && is_to_be_polled(shared, *home);
        uint64_t until_ns = polled ? slice_ns : deadline_ns;
        if (index != AEGIS_I_NO_INDEX || aegis_i_deadline_has_come(until_ns))
            break;
        aegis_i_condition_wait(&shared->came_home, &shared->mutex, until_ns, give_up, shared);
    }
    aegis_i_mutex_unlock(&shared->mutex);
    /* Relaxed: a thread that sees this late only tries to wake a waiter that has gone. */
    (void)aegis_i_sub(&shared->waiters, 1, memory_order_relaxed);
    return index;
}

/* Waits for a block. Each time it has slept without success it calls take_any, which may grow a
 * class. So source and budget are called neither under the mutex nor by a thread that is counted in
 * `waiters`. `error` is that of the last such call. */
static uint32_t wait_any(aegis_i_buffer_taker *self, aegis_i_buffer_class **home,
                         uint64_t deadline_ns, aegis_error *error) {
    aegis_buffer_pool_shared *shared = self->shared;
    uint32_t index;
    bool late;
    (void)aegis_i_add(&shared->wait_count, 1, memory_order_relaxed);
    do {
        *home = self->smallest;
        if (!aegis_i_buffer_pool_adopt(shared)) {
            (void)aegis_i_error_bytes(error, AEGIS_E_FORKED, (*home)->buffer_bytes,
                                      shared->align_bytes);
            return AEGIS_I_NO_INDEX;
        }
        index = sleep_for_block(shared, home, deadline_ns);
        late = aegis_i_deadline_has_come(deadline_ns);
        if (index == AEGIS_I_NO_INDEX)
            index = aegis_i_buffer_pool_take_any(self, AEGIS_I_OPTIONAL, home, error);
    } while (index == AEGIS_I_NO_INDEX && !late);
    if (index == AEGIS_I_NO_INDEX)
        (void)aegis_i_add(&shared->timeout_count, 1, memory_order_relaxed);
    return index;
}

/* Takes a block by every means except the C heap: see the start of the file. */
static uint32_t take_or_wait(aegis_i_buffer_taker *self, aegis_i_buffer_class **home,
                             uint32_t when_empty, uint64_t timeout_ns, aegis_error *error) {
    bool waits = when_empty == AEGIS_BUFFER_WAIT;
    bool heap = when_empty == AEGIS_BUFFER_HEAP;
    uint64_t deadline_ns = waits && timeout_ns != 0 ? aegis_i_deadline_ns(timeout_ns) : 0;
    uint64_t budget_ns = self->shared->wait_ns;
    if (waits && timeout_ns < budget_ns)
        budget_ns = aegis_i_wait_ns(timeout_ns);
    uint64_t first_ns = budget_ns;
    if (heap || self->smallest + 1 != self->shared->classes_end)
        first_ns = first_wait(self->shared);
    self->patience.uncounted = heap || first_ns != budget_ns;
    uint32_t index = aegis_i_buffer_pool_take_any(self, first_ns, home, error);
    self->patience.uncounted = false;
    if (index != AEGIS_I_NO_INDEX || heap)
        return index;
    if (first_ns != budget_ns && self->was_refused)
        index = aegis_i_buffer_pool_take_any(self, budget_ns, home, error);
    if (index == AEGIS_I_NO_INDEX && waits && timeout_ns != 0)
        index = wait_any(self, home, deadline_ns, error);
    return index;
}

/* The release function of buffers on the C heap. */
static void free_heap_buffer(aegis_buffer_owner *owner) {
    heap_buffer *buffer = (heap_buffer *)(void *)owner;
    aegis_buffer_pool_shared *shared = buffer->shared;
    size_t charged_bytes = buffer->head.owner.retained_bytes;
    aegis_budget *budget = aegis_i_charged_budget(&buffer->head);
    /* Before `free`, so that `heap_bytes` never exceeds what the heap can give at one time. */
    (void)aegis_i_sub(&shared->heap_bytes, charged_bytes, memory_order_relaxed);
    free(buffer);
    (void)aegis_budget_uncharge(budget, charged_bytes);
    aegis_budget_destroy(budget);
    aegis_i_buffer_pool_drop(shared);
}

static aegis_status move_heap_buffer(aegis_buffer_owner *owner, aegis_budget *budget,
                                     aegis_error *error) {
    heap_buffer *buffer = (heap_buffer *)(void *)owner;
    return aegis_i_buffer_exchange(&buffer->head, NULL, NULL, budget, error);
}

void (*const aegis_i_buffer_free_heap)(aegis_buffer_owner *owner) = free_heap_buffer;
const aegis_i_owner_kind aegis_i_buffer_heap_kind = {move_heap_buffer};

/* Makes a buffer on the C heap. It keeps the pool alive, as a block that is out does. If a block
 * came home while the thread waited for the budget, hands that out. */
static aegis_status make_heap_buffer(aegis_i_buffer_taker *self, aegis_buffer_mut *writer,
                                     size_t capacity_bytes, aegis_error *error) {
    aegis_buffer_pool_shared *shared = self->shared;
    const aegis_pool_slabs *slabs = &shared->classes[0].pool.shared->slabs;
    size_t beside_bytes = sizeof(heap_buffer) + shared->align_bytes;
    if (capacity_bytes > PTRDIFF_MAX - beside_bytes) {
        (void)aegis_i_error_bytes(error, AEGIS_E_INVALID_LAYOUT, capacity_bytes,
                                  shared->align_bytes);
        error->allowed = PTRDIFF_MAX - beside_bytes;
        return error->status;
    }
    size_t total_bytes = beside_bytes + capacity_bytes;
    aegis_i_refusal why = {AEGIS_E_OUT_OF_MEMORY, AEGIS_REFUSED_LIMIT, NULL, 0, 0, 0};
    heap_buffer *buffer = NULL;
    uintptr_t word;
    set_wait(self, shared->wait_ns);
    if (aegis_i_buffer_charge(&self->patience, total_bytes, &word, &why) == AEGIS_OK) {
        if (self->found == AEGIS_I_NO_INDEX)
            buffer = (heap_buffer *)malloc(total_bytes);
        if (buffer == NULL)
            aegis_i_buffer_uncharge(word, total_bytes);
    }
    if (self->found != AEGIS_I_NO_INDEX)
        return aegis_i_buffer_hand_out(self->found_in, self->found, writer);
    if (buffer == NULL) {
        aegis_i_slabs_fail(slabs, total_bytes, shared->align_bytes, &why, error);
        return error->status;
    }
    unsigned char *base = (unsigned char *)(buffer + 1);
    base += aegis_i_padding(base, shared->align_bytes);
    aegis_buffer_owner owner = {
        1, shared->free_heap_buffer, base, capacity_bytes, AEGIS_I_BUFFER_PLAIN, total_bytes};
    buffer->head.owner = owner;
    buffer->head.kind = shared->heap_kind;
    atomic_init(&buffer->head.charged, word);
    buffer->shared = shared;
    /* All relaxed: the caller's handle keeps the pool, and no other thread has the buffer yet. */
    (void)aegis_i_add(&shared->live, 1, memory_order_relaxed);
    (void)aegis_i_add(&shared->heap_count, 1, memory_order_relaxed);
    (void)aegis_i_add(&shared->heap_bytes, total_bytes, memory_order_relaxed);
    aegis_buffer_mut made = {base, 0, capacity_bytes, &buffer->head.owner, 0};
    *writer = made;
    return AEGIS_OK;
}

void aegis_i_buffer_pool_too_large(const aegis_buffer_pool_shared *shared, size_t capacity_bytes,
                                   aegis_error *error) {
    (void)aegis_i_error_bytes(error, AEGIS_E_LIMIT_EXCEEDED, capacity_bytes, shared->align_bytes);
    error->limit_bytes = error->allowed = (shared->classes_end - 1)->buffer_bytes;
    error->what = AEGIS_WHAT_BUFFER_BYTES;
}

aegis_status aegis_i_buffer_pool_no_pool(aegis_buffer_mut *writer, size_t capacity_bytes,
                                         aegis_error *error) {
    memset(writer, 0, sizeof *writer);
    return aegis_i_buffer_refuse(error, AEGIS_E_INVALID, AEGIS_WHAT_HANDLE, capacity_bytes);
}

aegis_status aegis_i_buffer_pool_refuse(aegis_buffer_pool_shared *shared, aegis_buffer_mut *writer,
                                        size_t capacity_bytes, aegis_error *failed,
                                        aegis_error *error) {
    (void)aegis_i_add(&shared->refused_count, 1, memory_order_relaxed);
    memset(writer, 0, sizeof *writer);
    /* A budget refused a slab, or a buffer of the C heap. */
    aegis_i_error_whole(failed, capacity_bytes, 0);
    if (error != NULL)
        *error = *failed;
    return failed->status;
}

/* Serves a request by every means that there is. */
static aegis_status get(aegis_buffer_pool_shared *shared, aegis_buffer_mut *writer,
                        size_t capacity_bytes, uint32_t when_empty, uint64_t timeout_ns,
                        aegis_error *error) {
    assert(aegis_i_buffer_pool_is_valid(shared));
    aegis_error failed;
    aegis_i_buffer_taker self;
    aegis_i_buffer_class *home = aegis_i_buffer_class_for(shared, capacity_bytes);
    size_t heap_bytes = capacity_bytes;
    aegis_i_buffer_taker_begin(&self, shared, home);
    if (home != NULL) {
        heap_bytes = home->buffer_bytes;
        uint32_t index = take_or_wait(&self, &home, when_empty, timeout_ns, &failed);
        if (index != AEGIS_I_NO_INDEX)
            return aegis_i_buffer_hand_out(home, index, writer);
    } else {
        aegis_i_buffer_pool_too_large(shared, capacity_bytes, &failed);
    }
    if (when_empty == AEGIS_BUFFER_HEAP &&
        make_heap_buffer(&self, writer, heap_bytes, &failed) == AEGIS_OK)
        return AEGIS_OK;
    return aegis_i_buffer_pool_refuse(shared, writer, capacity_bytes, &failed, error);
}

/* Serves a request that found no block in a private stripe. */
static AEGIS_I_COLD aegis_status get_slow(const aegis_buffer_pool *pool, aegis_buffer_mut *writer,
                                          size_t capacity_bytes, aegis_error *error) {
    aegis_buffer_pool_shared *shared = pool->shared;
    if (shared == NULL)
        return aegis_i_buffer_pool_no_pool(writer, capacity_bytes, error);
    return get(shared, writer, capacity_bytes, shared->when_empty, shared->timeout_ns, error);
}

aegis_status aegis_buffer_pool_get(const aegis_buffer_pool *pool, aegis_buffer_mut *writer,
                                   size_t min_capacity_bytes, aegis_error *error) {
    aegis_buffer_pool_shared *shared = pool->shared;
    aegis_i_buffer_class *home =
        shared != NULL ? aegis_i_buffer_class_for(shared, min_capacity_bytes) : NULL;
    if (home != NULL) {
        aegis_i_stripe *stripe = aegis_i_stripe_enter_private(home, AEGIS_I_THREAD_ID_KEPT());
        if (stripe != NULL) {
            uint32_t index = aegis_i_stripe_pop(stripe);
            aegis_i_stripe_leave_private(stripe);
            if (index != AEGIS_I_NO_INDEX)
                return aegis_i_buffer_hand_out(home, index, writer);
        }
    }
    return get_slow(pool, writer, min_capacity_bytes, error);
}

aegis_status aegis_buffer_pool_get_timeout(const aegis_buffer_pool *pool, aegis_buffer_mut *writer,
                                           size_t min_capacity_bytes, uint64_t timeout_ns,
                                           aegis_error *error) {
    if (pool->shared == NULL)
        return aegis_i_buffer_pool_no_pool(writer, min_capacity_bytes, error);
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
    /* The slabs held need not be the first ones. */
    size_t end = aegis_i_lock_free_index_end(home->pool.shared);
    for (size_t i = 0; i < end; i++) {
        const void *references = &home->slots[i].head.owner.references;
        stats->in_use +=
            aegis_i_load((const _Atomic size_t *)references, memory_order_relaxed) != 0;
    }
    for (uint32_t i = 0; i < home->private_count + home->stripe_mask + 1; i++)
        stats->parked += aegis_i_load(&home->stripes[i].count, memory_order_relaxed);
}

void aegis_buffer_pool_get_stats_sized(const aegis_buffer_pool *pool,
                                       aegis_buffer_pool_stats *stats, size_t stats_bytes) {
    const aegis_buffer_pool_shared *shared = pool->shared;
    aegis_buffer_pool_stats filled;
    memset(&filled, 0, sizeof filled);
    if (shared != NULL) {
        assert(aegis_i_buffer_pool_is_valid(shared));
        filled.class_count = shared->class_count;
        for (size_t i = 0; i < shared->class_count; i++) {
            aegis_pool_stats inner;
            get_class_stats(&shared->classes[i], &filled.classes[i]);
            aegis_i_slabs_get_stats(&shared->classes[i].pool.shared->slabs, &inner);
            filled.reserved_bytes += inner.reserved_bytes;
        }
        filled.heap_count = aegis_i_load(&shared->heap_count, memory_order_relaxed);
        filled.heap_bytes = aegis_i_load(&shared->heap_bytes, memory_order_relaxed);
        filled.wait_count = aegis_i_load(&shared->wait_count, memory_order_relaxed);
        filled.timeout_count = aegis_i_load(&shared->timeout_count, memory_order_relaxed);
        filled.refused_count = aegis_i_load(&shared->refused_count, memory_order_relaxed);
    }
    aegis_i_copy_sized(stats, stats_bytes, &filled, sizeof filled);
}
