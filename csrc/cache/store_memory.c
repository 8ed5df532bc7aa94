/* SPDX-License-Identifier: Apache-2.0 */
/* Pages in memory. A store is an array of bytes that is made of pieces of one size. A piece has
 * memory when a byte of it was written.
 *
 * 1. The size of a piece is that of a page, or a few pages if these are small (piece_bytes). It is
 *    settled by the first page that is written.
 * 2. No byte at or behind `size_bytes` is other than zero: a write makes the store longer, and what
 *    truncate cuts off is cleared or given back.
 * 3. Memory is acquired and given back without the lock, because that may call functions of the
 *    user's, which may use this store. A write that has acquired memory looks again whether it is
 *    still needed (write_piece). */
#include "store.h"

#include "aegis_memory/source.h"
#include "../acquire.h"
#include "../base/arithmetic.h"
#include "../base/cancel.h"
#include "../base/mutex.h"

/* The smallest piece. */
#define MIN_PIECE_BYTES ((size_t)4096)

typedef struct memory_store {
    aegis_budget *budget;
    aegis_source source;
    aegis_i_mutex mutex;
    /* The fields below are guarded by the lock. 0: no page was written yet. */
    size_t piece_bytes;
    uint64_t size_bytes;
    aegis_i_pieces pieces;
} memory_store;

/* Memory that a write has acquired and may need. */
typedef struct spare_memory {
    unsigned char *piece;
    aegis_i_piece *slots;
    size_t slot_count;
} spare_memory;

static void *acquire(const memory_store *store, size_t size_bytes, aegis_status *status) {
    aegis_i_refusal why;
    bool zeroed = false;
    void *memory = aegis_i_acquire(&store->source, store->budget, size_bytes, AEGIS_I_HEAP_ALIGN, 0,
                                   &zeroed, &why);
    if (memory == NULL)
        *status = why.status;
    else if (!zeroed)
        memset(memory, 0, size_bytes);
    return memory;
}

static void give_back(const memory_store *store, void *memory, size_t size_bytes) {
    if (memory != NULL)
        aegis_i_give_back(&store->source, store->budget, memory, size_bytes, AEGIS_I_HEAP_ALIGN);
}

/* Adds memory for a piece that has none, if the spare has what it takes. The lock is held. */
static unsigned char *add_piece(memory_store *store, uint64_t number, spare_memory *spare) {
    aegis_i_pieces *pieces = &store->pieces;
    if (aegis_i_pieces_are_full(pieces) && spare->slot_count > pieces->slot_count) {
        size_t old_count = pieces->slot_count;
        spare->slots = aegis_i_pieces_move(pieces, spare->slots, spare->slot_count);
        spare->slot_count = old_count;
    }
    unsigned char *memory = spare->piece;
    if (memory == NULL || aegis_i_pieces_are_full(pieces))
        return NULL;
    aegis_i_pieces_put(pieces, number, memory);
    spare->piece = NULL;
    return memory;
}

/* Acquires what add_piece has lacked, now that the lock is given up. `slot_count` is that of the
 * table then, or 0 if it was not full. */
static aegis_status acquire_spare(const memory_store *store, size_t piece_bytes, size_t slot_count,
                                  spare_memory *spare) {
    aegis_status status = AEGIS_OK;
    if (spare->piece == NULL)
        spare->piece = (unsigned char *)acquire(store, piece_bytes, &status);
    if (status != AEGIS_OK || slot_count == 0)
        return status;
    give_back(store, spare->slots, spare->slot_count * sizeof *spare->slots);
    spare->slot_count = 2 * slot_count;
    spare->slots =
        (aegis_i_piece *)acquire(store, spare->slot_count * sizeof *spare->slots, &status);
    if (status != AEGIS_OK)
        spare->slot_count = 0;
    return status;
}

/* Writes bytes that lie in one piece. */
static aegis_status write_piece(memory_store *store, uint64_t offset, const unsigned char *bytes,
                                size_t size_bytes, spare_memory *spare) {
    /* It was settled by the caller, and does not change any more. */
    size_t piece_bytes = store->piece_bytes;
    uint64_t number = offset / piece_bytes;
    for (;;) {
        if (!aegis_i_mutex_lock(&store->mutex))
            return AEGIS_E_FORKED;
        unsigned char *memory = aegis_i_pieces_get(&store->pieces, number);
        if (memory == NULL)
            memory = add_piece(store, number, spare);
        size_t slot_count = aegis_i_pieces_are_full(&store->pieces) ? store->pieces.slot_count : 0;
        if (memory != NULL) {
            memcpy(memory + offset % piece_bytes, bytes, size_bytes);
            if (store->size_bytes < offset + size_bytes)
                store->size_bytes = offset + size_bytes;
        }
        aegis_i_mutex_unlock(&store->mutex);
        if (memory != NULL)
            return AEGIS_OK;
        aegis_status status = acquire_spare(store, piece_bytes, slot_count, spare);
        if (status != AEGIS_OK)
            return status;
    }
}

/* Settles the size of a piece, unless that is settled. */
static aegis_status settle_piece(memory_store *store, size_t page_bytes) {
    if (!aegis_i_mutex_lock(&store->mutex))
        return AEGIS_E_FORKED;
    if (store->piece_bytes == 0)
        store->piece_bytes =
            page_bytes >= MIN_PIECE_BYTES ? page_bytes : MIN_PIECE_BYTES / page_bytes * page_bytes;
    aegis_i_mutex_unlock(&store->mutex);
    return AEGIS_OK;
}

static aegis_status memory_write(void *context, const aegis_page_write *pages, size_t page_count,
                                 size_t page_bytes) {
    memory_store *store = (memory_store *)context;
    if (!aegis_i_writes_fit(pages, page_count, page_bytes))
        return AEGIS_E_INVALID_LAYOUT;
    int state = aegis_i_uncancelled_begin();
    spare_memory spare = {NULL, NULL, 0};
    aegis_status status = settle_piece(store, page_bytes);
    for (size_t i = 0; i < page_count && status == AEGIS_OK; i++) {
        uint64_t offset = pages[i].page * page_bytes;
        for (size_t done = 0, count; done < page_bytes && status == AEGIS_OK; done += count) {
            size_t room = store->piece_bytes - (size_t)((offset + done) % store->piece_bytes);
            count = aegis_i_min(room, page_bytes - done);
            status = write_piece(store, offset + done, pages[i].bytes + done, count, &spare);
        }
    }
    give_back(store, spare.piece, store->piece_bytes);
    give_back(store, spare.slots, spare.slot_count * sizeof *spare.slots);
    aegis_i_uncancelled_end(state);
    return status;
}

/* Reads bytes that lie before the end. The lock is held. */
static void read_bytes_of(const memory_store *store, uint64_t offset, unsigned char *into,
                          size_t size_bytes) {
    while (size_bytes != 0) {
        size_t piece_bytes = store->piece_bytes;
        size_t count = size_bytes;
        const unsigned char *memory = NULL;
        /* A store may have a length before any page was written. */
        if (piece_bytes != 0) {
            size_t inside = (size_t)(offset % piece_bytes);
            count = aegis_i_min(piece_bytes - inside, size_bytes);
            memory = aegis_i_pieces_get(&store->pieces, offset / piece_bytes);
            if (memory != NULL)
                memcpy(into, memory + inside, count);
        }
        if (memory == NULL)
            memset(into, 0, count);
        offset += count;
        into += count;
        size_bytes -= count;
    }
}

static aegis_status memory_read(void *context, uint64_t first_page, unsigned char *const *pages,
                                size_t page_count, size_t page_bytes, size_t *read_bytes) {
    memory_store *store = (memory_store *)context;
    *read_bytes = 0;
    if (!aegis_i_pages_fit(first_page, page_count, page_bytes))
        return AEGIS_E_INVALID_LAYOUT;
    for (size_t i = 0; i < page_count; i++) {
        uint64_t offset = (first_page + i) * page_bytes;
        size_t count = 0;
        /* The lock is given up after each page, so that no thread waits for long. */
        if (!aegis_i_mutex_lock(&store->mutex))
            return AEGIS_E_FORKED;
        if (offset < store->size_bytes) {
            uint64_t left = store->size_bytes - offset;
            count = left < page_bytes ? (size_t)left : page_bytes;
            read_bytes_of(store, offset, pages[i], count);
        }
        aegis_i_mutex_unlock(&store->mutex);
        *read_bytes += count;
        if (count < page_bytes)
            break;
    }
    return AEGIS_OK;
}

static aegis_status memory_sync(void *context) {
    (void)context;
    return AEGIS_OK;
}

static aegis_status memory_len(void *context, size_t page_bytes, uint64_t *page_count) {
    memory_store *store = (memory_store *)context;
    if (!aegis_i_pages_fit(0, 0, page_bytes))
        return AEGIS_E_INVALID_LAYOUT;
    if (!aegis_i_mutex_lock(&store->mutex))
        return AEGIS_E_FORKED;
    *page_count = store->size_bytes / page_bytes + (store->size_bytes % page_bytes != 0);
    aegis_i_mutex_unlock(&store->mutex);
    return AEGIS_OK;
}

/* Takes out the pieces at and behind the new end, as a list whose links lie in the pieces, and
 * clears what the last piece has behind the end. The lock is held. */
static unsigned char *cut(memory_store *store) {
    unsigned char *list = NULL;
    for (size_t i = 0; i < store->pieces.slot_count;) {
        aegis_i_piece *slot = &store->pieces.slots[i];
        uint64_t offset = slot->memory == NULL ? 0 : (slot->key - 1) * store->piece_bytes;
        if (slot->memory != NULL && offset >= store->size_bytes) {
            memcpy(slot->memory, &list, sizeof list);
            list = slot->memory;
            aegis_i_pieces_remove(&store->pieces, i);
            continue;
        }
        i++;
        if (slot->memory != NULL && store->size_bytes - offset < store->piece_bytes) {
            size_t kept_bytes = (size_t)(store->size_bytes - offset);
            memset(slot->memory + kept_bytes, 0, store->piece_bytes - kept_bytes);
        }
    }
    return list;
}

static aegis_status memory_truncate(void *context, uint64_t page_count, size_t page_bytes) {
    memory_store *store = (memory_store *)context;
    if (!aegis_i_pages_fit(0, page_count, page_bytes))
        return AEGIS_E_INVALID_LAYOUT;
    if (!aegis_i_mutex_lock(&store->mutex))
        return AEGIS_E_FORKED;
    bool shrinks = page_count * page_bytes < store->size_bytes;
    store->size_bytes = page_count * page_bytes;
    unsigned char *list = shrinks ? cut(store) : NULL;
    size_t piece_bytes = store->piece_bytes;
    aegis_i_mutex_unlock(&store->mutex);
    int state = aegis_i_uncancelled_begin();
    while (list != NULL) {
        unsigned char *next;
        memcpy(&next, list, sizeof next);
        give_back(store, list, piece_bytes);
        list = next;
    }
    aegis_i_uncancelled_end(state);
    return AEGIS_OK;
}

/* Gives the memory of the struct back, and the reference to the budget. */
static void free_store(memory_store *store) {
    aegis_budget *budget = store->budget;
    aegis_source source = store->source;
    aegis_i_mutex_fini(&store->mutex);
    aegis_i_give_back(&source, budget, store, sizeof *store, AEGIS_I_HEAP_ALIGN);
    aegis_budget_destroy(budget);
}

static void memory_close(void *context) {
    memory_store *store = (memory_store *)context;
    int state = aegis_i_uncancelled_begin();
    for (size_t i = 0; i < store->pieces.slot_count; i++)
        give_back(store, store->pieces.slots[i].memory, store->piece_bytes);
    give_back(store, store->pieces.slots, store->pieces.slot_count * sizeof *store->pieces.slots);
    free_store(store);
    aegis_i_uncancelled_end(state);
}

aegis_status aegis_page_store_memory(aegis_page_store *store, aegis_budget *budget) {
    memset(store, 0, sizeof *store);
    int state = aegis_i_uncancelled_begin();
    aegis_status status = AEGIS_OK;
    memory_store head;
    memset(&head, 0, sizeof head);
    head.source = aegis_source_heap();
    head.budget = budget;
    memory_store *made = (memory_store *)acquire(&head, sizeof *made, &status);
    if (made != NULL) {
        *made = head;
        made->budget = budget == NULL ? NULL : aegis_budget_retain(budget);
        aegis_i_mutex_init(&made->mutex);
        made->pieces.slot_count = AEGIS_I_PIECES_FIRST_SLOTS;
        made->pieces.slots = (aegis_i_piece *)acquire(
            made, made->pieces.slot_count * sizeof *made->pieces.slots, &status);
        if (made->pieces.slots == NULL)
            free_store(made);
    }
    if (status == AEGIS_OK) {
        aegis_page_store functions = {memory_read,     memory_write, memory_sync, memory_len,
                                      memory_truncate, memory_close, made};
        *store = functions;
    }
    aegis_i_uncancelled_end(state);
    return status;
}
