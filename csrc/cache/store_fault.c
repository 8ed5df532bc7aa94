/* SPDX-License-Identifier: Apache-2.0 */
/* A store that passes calls on to another one and makes some fail.
 *
 * Each rule (aegis_page_fault) is asked once for each call of its function (strikes), so a
 * countdown counts calls. Random numbers are those of splitmix64, a function of the seed and of how
 * many were drawn before.
 *
 * If pages can be lost (`lost_pages`), the store remembers what each page that was written since
 * the last good sync had before (`former`):
 * 1. A page is remembered before it is written, and only if it is not remembered yet. So `former`
 *    has the content at the last good sync (remember, add_former).
 * 2. A sync is alone: no write or truncation is under way (enter). So a good sync covers all that
 *    is remembered, which is forgotten then, and a lost one undoes no write that it does not tell
 *    of. A write inside of another one, by the same thread, does not wait, because a sync waits
 *    until there is none of them.
 * 3. What is read of the inner store, or written to it, is so without the lock, because it may call
 *    functions of the user's, which may write pages to this store. For the same reason a lost page
 *    is written only if that changes it (lose): this needs no new memory. */
#if !defined(_WIN32) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* nanosleep */
#endif

#include "store.h"

#include "../base/atomics.h"
#include "../base/cancel.h"
#include "../base/mutex.h"
#include "../base/threads.h"

#include <stdlib.h>

#if defined(_WIN32)
#include <windows.h>
#else
#include <errno.h>
#include <time.h>
#endif

#define NS_PER_S UINT64_C(1000000000)

typedef struct fault_store {
    aegis_page_store inner;
    aegis_page_faults *faults;
    aegis_i_mutex mutex;
    /* The fields below are guarded by the lock. Writes and truncations that are under way. */
    size_t change_count;
    /* A sync is under way. */
    bool is_alone;
    /* One of these was under way in another process, so it never ends in this one. */
    bool is_lost;
    /* Of what is in `former`. 0: nothing was remembered yet. */
    size_t page_bytes;
    aegis_i_pieces former;
} fault_store;

static bool keeps_pages(const fault_store *store) {
    return store->faults->lost_pages != AEGIS_LOST_NONE;
}

/* The fields are counts and probabilities, which tell nothing of other memory. So all orders here
 * are relaxed. */
static size_t load(const size_t *word) {
    return aegis_i_load((const _Atomic size_t *)word, memory_order_relaxed);
}

static void count(size_t *word, size_t more) {
    (void)aegis_i_add((_Atomic size_t *)word, more, memory_order_relaxed);
}

static uint64_t draw(aegis_page_faults *faults) {
    uint64_t drawn = aegis_i_add((_Atomic size_t *)&faults->drawn_count, 1, memory_order_relaxed);
    uint64_t mixed = faults->seed + (drawn + 1) * UINT64_C(0x9E3779B97F4A7C15);
    mixed = (mixed ^ mixed >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    mixed = (mixed ^ mixed >> 27) * UINT64_C(0x94D049BB133111EB);
    return mixed ^ mixed >> 31;
}

/* A number below `bound`, which is not 0. */
static size_t draw_below(aegis_page_faults *faults, size_t bound) {
    return (size_t)(draw(faults) % bound);
}

static void garble(aegis_page_faults *faults, unsigned char *bytes, size_t size_bytes) {
    for (size_t i = 0; i < size_bytes; i += sizeof(uint64_t)) {
        uint64_t random = draw(faults);
        memcpy(bytes + i, &random, size_bytes - i < sizeof random ? size_bytes - i : sizeof random);
    }
}

/* Counts a call for a rule, and says whether it has the fault. */
static bool strikes(aegis_page_faults *faults, aegis_page_fault *fault) {
    _Atomic size_t *countdown = (_Atomic size_t *)&fault->countdown;
    size_t left = aegis_i_load(countdown, memory_order_relaxed);
    while (left != 0 && !aegis_i_cas_weak(countdown, &left, left - 1, memory_order_relaxed,
                                          memory_order_relaxed))
        continue;
    size_t per_million = load(&fault->per_million);
    return left == 1 || (per_million != 0 && draw_below(faults, 1000000) < per_million);
}

/* Counts a call for all rules of its function. Returns the number of the first that strikes, from 1
 * on; 0: none does. */
static size_t first_strike(aegis_page_faults *faults, aegis_page_fault *const *rules,
                           size_t rule_count) {
    size_t first = 0;
    for (size_t i = rule_count; i != 0; i--)
        if (strikes(faults, rules[i - 1]))
            first = i;
    count(&faults->counts.fault_count, first != 0);
    return first;
}

static void delay(uint64_t time_ns) {
    if (time_ns == 0)
        return;
#if defined(_WIN32)
    Sleep((DWORD)((time_ns + 999999) / 1000000));
#else
    struct timespec left = {(time_t)(time_ns / NS_PER_S), (long)(time_ns % NS_PER_S)};
    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        continue;
#endif
}

/* Waits until a call may change pages, or, with `alone`, until it alone may. */
static aegis_status enter(fault_store *store, bool alone) {
    for (uint32_t round = 0;; round += round != UINT32_MAX) {
        if (!aegis_i_mutex_lock(&store->mutex))
            return AEGIS_E_FORKED;
        if (aegis_i_mutex_take_adoption(&store->mutex))
            store->is_lost = store->is_alone || store->change_count != 0;
        bool lost = store->is_lost;
        bool may = !lost && !store->is_alone && (!alone || store->change_count == 0);
        if (may && alone)
            store->is_alone = true;
        else if (may)
            store->change_count++;
        aegis_i_mutex_unlock(&store->mutex);
        if (may || lost)
            return lost ? AEGIS_E_FORKED : AEGIS_OK;
        aegis_i_spin_pause(round);
    }
}

static void leave(fault_store *store, bool alone) {
    if (!aegis_i_mutex_lock(&store->mutex))
        return;
    if (alone)
        store->is_alone = false;
    else
        store->change_count--;
    aegis_i_mutex_unlock(&store->mutex);
}

/* Reads a page, with zeros for what lies behind the end. */
static aegis_status read_page(fault_store *store, uint64_t page, unsigned char *bytes,
                              size_t page_bytes) {
    size_t read_bytes = 0;
    aegis_status status =
        store->inner.read(store->inner.context, page, &bytes, 1, page_bytes, &read_bytes);
    if (status == AEGIS_OK)
        memset(bytes + read_bytes, 0, page_bytes - read_bytes);
    return status;
}

static aegis_status write_page(fault_store *store, uint64_t page, const unsigned char *bytes,
                               size_t page_bytes) {
    aegis_page_write write = {page, bytes};
    return store->inner.write_batch(store->inner.context, &write, 1, page_bytes);
}

/* Adds a page to `former`, unless it is there. Then, and on failure, `bytes` stays the caller's.
 * The lock is held. */
static aegis_status add_former(fault_store *store, uint64_t page, unsigned char **bytes) {
    aegis_i_pieces *former = &store->former;
    if (aegis_i_pieces_get(former, page) != NULL)
        return AEGIS_OK;
    if (aegis_i_pieces_are_full(former)) {
        size_t slot_count =
            former->slot_count == 0 ? AEGIS_I_PIECES_FIRST_SLOTS : 2 * former->slot_count;
        aegis_i_piece *slots = (aegis_i_piece *)calloc(slot_count, sizeof *slots);
        if (slots == NULL)
            return AEGIS_E_OUT_OF_MEMORY;
        free(aegis_i_pieces_move(former, slots, slot_count));
    }
    aegis_i_pieces_put(former, page, *bytes);
    *bytes = NULL;
    return AEGIS_OK;
}

/* Remembers what a page has before it is written. */
static aegis_status remember(fault_store *store, uint64_t page, size_t page_bytes) {
    if (!aegis_i_mutex_lock(&store->mutex))
        return AEGIS_E_FORKED;
    if (store->page_bytes == 0)
        store->page_bytes = page_bytes;
    bool fits = store->page_bytes == page_bytes;
    bool known = aegis_i_pieces_get(&store->former, page) != NULL;
    aegis_i_mutex_unlock(&store->mutex);
    if (!fits || known)
        return fits ? AEGIS_OK : AEGIS_E_INVALID;
    unsigned char *bytes = (unsigned char *)malloc(page_bytes);
    aegis_status status =
        bytes == NULL ? AEGIS_E_OUT_OF_MEMORY : read_page(store, page, bytes, page_bytes);
    if (status == AEGIS_OK && !aegis_i_mutex_lock(&store->mutex))
        status = AEGIS_E_FORKED;
    else if (status == AEGIS_OK) {
        status = add_former(store, page, &bytes);
        aegis_i_mutex_unlock(&store->mutex);
    }
    free(bytes);
    return status;
}

/* Forgets the pages from `first_page` on. The lock is held, or the caller is alone. */
static void forget(fault_store *store, uint64_t first_page) {
    aegis_i_pieces *former = &store->former;
    for (size_t i = 0; i < former->slot_count;) {
        if (former->slots[i].memory == NULL || former->slots[i].key - 1 < first_page) {
            i++;
            continue;
        }
        free(former->slots[i].memory);
        aegis_i_pieces_remove(former, i);
    }
}

/* Undoes or destroys all that was written since the last good sync. The caller is alone. */
static void lose(fault_store *store) {
    unsigned char *now = (unsigned char *)malloc(store->page_bytes != 0 ? store->page_bytes : 1);
    for (size_t i = 0; i < store->former.slot_count && now != NULL; i++) {
        const aegis_i_piece *slot = &store->former.slots[i];
        if (slot->memory == NULL ||
            read_page(store, slot->key - 1, now, store->page_bytes) != AEGIS_OK ||
            memcmp(now, slot->memory, store->page_bytes) == 0)
            continue;
        if (store->faults->lost_pages == AEGIS_LOST_GARBLED)
            garble(store->faults, slot->memory, store->page_bytes);
        (void)write_page(store, slot->key - 1, slot->memory, store->page_bytes);
    }
    free(now);
    forget(store, 0);
}

/* Writes the first pages of a batch, and of the next one only the first bytes. */
static aegis_status write_torn(fault_store *store, const aegis_page_write *pages, size_t page_count,
                               size_t page_bytes) {
    size_t whole_count = draw_below(store->faults, page_count);
    size_t torn_bytes = draw_below(store->faults, page_bytes);
    const aegis_page_write *torn = &pages[whole_count];
    unsigned char *bytes = (unsigned char *)malloc(page_bytes);
    if (bytes == NULL)
        return AEGIS_E_OUT_OF_MEMORY;
    aegis_status status = AEGIS_OK;
    if (whole_count != 0)
        status = store->inner.write_batch(store->inner.context, pages, whole_count, page_bytes);
    if (status == AEGIS_OK)
        status = read_page(store, torn->page, bytes, page_bytes);
    if (status == AEGIS_OK) {
        memcpy(bytes, torn->bytes, torn_bytes);
        status = write_page(store, torn->page, bytes, page_bytes);
    }
    free(bytes);
    return status == AEGIS_OK ? AEGIS_E_IO : status;
}

static aegis_status change_pages(fault_store *store, const aegis_page_write *pages,
                                 size_t page_count, size_t page_bytes, bool torn) {
    bool keeps = keeps_pages(store);
    aegis_status status = keeps ? enter(store, false) : AEGIS_OK;
    if (status != AEGIS_OK)
        return status;
    for (size_t i = 0; i < page_count && keeps && status == AEGIS_OK; i++)
        status = remember(store, pages[i].page, page_bytes);
    if (status == AEGIS_OK && torn)
        status = write_torn(store, pages, page_count, page_bytes);
    else if (status == AEGIS_OK)
        status = store->inner.write_batch(store->inner.context, pages, page_count, page_bytes);
    if (keeps)
        leave(store, false);
    return status;
}

static aegis_status fault_write(void *context, const aegis_page_write *pages, size_t page_count,
                                size_t page_bytes) {
    fault_store *store = (fault_store *)context;
    aegis_page_faults *faults = store->faults;
    int state = aegis_i_uncancelled_begin();
    count(&faults->counts.write_count, 1);
    delay(faults->write_delay_ns);
    aegis_page_fault *rules[] = {&faults->write, &faults->torn_write};
    size_t strike = first_strike(faults, rules, 2);
    bool torn = strike == 2 && page_count != 0 && page_bytes != 0;
    aegis_status status =
        strike == 1 ? AEGIS_E_IO : change_pages(store, pages, page_count, page_bytes, torn);
    if (status == AEGIS_OK)
        count(&faults->counts.written_page_count, page_count);
    aegis_i_uncancelled_end(state);
    return status;
}

/* Makes a part of what was read random: of so many bytes only the first are as read. */
static void tear(aegis_page_faults *faults, unsigned char *const *pages, size_t page_bytes,
                 size_t read_bytes) {
    size_t whole_bytes = read_bytes == 0 ? 0 : draw_below(faults, read_bytes);
    for (size_t at = whole_bytes, more; at < read_bytes; at += more) {
        more = page_bytes - at % page_bytes;
        more = more < read_bytes - at ? more : read_bytes - at;
        garble(faults, pages[at / page_bytes] + at % page_bytes, more);
    }
}

static aegis_status fault_read(void *context, uint64_t first_page, unsigned char *const *pages,
                               size_t page_count, size_t page_bytes, size_t *read_bytes) {
    fault_store *store = (fault_store *)context;
    aegis_page_faults *faults = store->faults;
    int state = aegis_i_uncancelled_begin();
    count(&faults->counts.read_count, 1);
    delay(faults->read_delay_ns);
    aegis_page_fault *rules[] = {&faults->read, &faults->short_read, &faults->torn_read};
    size_t strike = first_strike(faults, rules, 3);
    aegis_status status = AEGIS_E_IO;
    *read_bytes = 0;
    if (strike != 1)
        status = store->inner.read(store->inner.context, first_page, pages, page_count, page_bytes,
                                   read_bytes);
    if (status == AEGIS_OK && strike == 2 && *read_bytes != 0)
        *read_bytes = draw_below(faults, *read_bytes);
    if (status == AEGIS_OK && strike == 3) {
        tear(faults, pages, page_bytes, *read_bytes);
        status = AEGIS_E_IO;
    }
    if (status == AEGIS_OK && page_bytes != 0)
        count(&faults->counts.read_page_count, *read_bytes / page_bytes);
    aegis_i_uncancelled_end(state);
    return status;
}

static aegis_status sync_pages(fault_store *store, bool lost) {
    bool keeps = keeps_pages(store);
    aegis_status status = keeps ? enter(store, true) : AEGIS_OK;
    if (status != AEGIS_OK)
        return status;
    status = lost ? AEGIS_E_IO : store->inner.sync(store->inner.context);
    if (keeps && lost)
        lose(store);
    else if (keeps && status == AEGIS_OK)
        forget(store, 0);
    if (keeps)
        leave(store, true);
    return status;
}

static aegis_status fault_sync(void *context) {
    fault_store *store = (fault_store *)context;
    aegis_page_faults *faults = store->faults;
    int state = aegis_i_uncancelled_begin();
    count(&faults->counts.sync_count, 1);
    delay(faults->sync_delay_ns);
    aegis_page_fault *rules[] = {&faults->sync, &faults->lost_sync};
    size_t strike = first_strike(faults, rules, 2);
    aegis_status status = strike == 1 ? AEGIS_E_IO : sync_pages(store, strike == 2);
    aegis_i_uncancelled_end(state);
    return status;
}

static aegis_status fault_len(void *context, size_t page_bytes, uint64_t *page_count) {
    fault_store *store = (fault_store *)context;
    aegis_page_fault *rules[] = {&store->faults->len};
    if (first_strike(store->faults, rules, 1) != 0)
        return AEGIS_E_IO;
    return store->inner.len(store->inner.context, page_bytes, page_count);
}

static aegis_status fault_truncate(void *context, uint64_t page_count, size_t page_bytes) {
    fault_store *store = (fault_store *)context;
    aegis_page_fault *rules[] = {&store->faults->truncate};
    if (first_strike(store->faults, rules, 1) != 0)
        return AEGIS_E_IO;
    int state = aegis_i_uncancelled_begin();
    bool keeps = keeps_pages(store);
    aegis_status status = keeps ? enter(store, false) : AEGIS_OK;
    if (status == AEGIS_OK) {
        status = store->inner.truncate(store->inner.context, page_count, page_bytes);
        if (keeps && status == AEGIS_OK && aegis_i_mutex_lock(&store->mutex)) {
            forget(store, page_count);
            aegis_i_mutex_unlock(&store->mutex);
        }
        if (keeps)
            leave(store, false);
    }
    aegis_i_uncancelled_end(state);
    return status;
}

static void fault_close(void *context) {
    fault_store *store = (fault_store *)context;
    int state = aegis_i_uncancelled_begin();
    if (store->inner.close != NULL)
        store->inner.close(store->inner.context);
    forget(store, 0);
    free(store->former.slots);
    aegis_i_mutex_fini(&store->mutex);
    free(store);
    aegis_i_uncancelled_end(state);
}

aegis_status aegis_page_store_faults(aegis_page_store *store, const aegis_page_store *inner,
                                     aegis_page_faults *faults) {
    aegis_page_store wrapped = *inner;
    memset(store, 0, sizeof *store);
    if (faults->lost_pages > AEGIS_LOST_GARBLED)
        return AEGIS_E_INVALID;
    fault_store *made = (fault_store *)calloc(1, sizeof *made);
    if (made == NULL)
        return AEGIS_E_OUT_OF_MEMORY;
    made->inner = wrapped;
    made->faults = faults;
    aegis_i_mutex_init(&made->mutex);
    aegis_page_store functions = {fault_read,     fault_write, fault_sync, fault_len,
                                  fault_truncate, fault_close, made};
    *store = functions;
    return AEGIS_OK;
}

void aegis_page_fault_set(aegis_page_fault *fault, size_t countdown, size_t per_million) {
    aegis_i_store((_Atomic size_t *)&fault->countdown, countdown, memory_order_relaxed);
    aegis_i_store((_Atomic size_t *)&fault->per_million, per_million, memory_order_relaxed);
}

void aegis_page_faults_counts(const aegis_page_faults *faults, aegis_page_fault_counts *counts) {
    counts->read_count = load(&faults->counts.read_count);
    counts->read_page_count = load(&faults->counts.read_page_count);
    counts->write_count = load(&faults->counts.write_count);
    counts->written_page_count = load(&faults->counts.written_page_count);
    counts->sync_count = load(&faults->counts.sync_count);
    counts->fault_count = load(&faults->counts.fault_count);
}
