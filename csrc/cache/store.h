/* SPDX-License-Identifier: Apache-2.0 */
/* What the built-in stores share: the limits of page numbers, and a map from numbers to memory.
 * Not installed.
 *
 * The map is a hash table with linear probing. It allocates nothing itself: its owner adds slots
 * when aegis_i_pieces_are_full says so. The table is at most three quarters full, so each search
 * ends at a free slot. Between the slot where a number belongs and the one where it is, no slot is
 * free: aegis_i_pieces_remove moves the entries behind the one that it takes out. */
#ifndef AEGIS_MEMORY_I_CACHE_STORE_H
#define AEGIS_MEMORY_I_CACHE_STORE_H

#include "aegis_memory/page_store.h"
#include "../base/port.h"

/* Whether the bytes of the pages lie at offsets that a store may have. */
static inline bool aegis_i_pages_fit(uint64_t first_page, uint64_t page_count, size_t page_bytes) {
    if (page_bytes == 0 || page_bytes > AEGIS_STORE_MAX_PAGE_BYTES)
        return false;
    uint64_t most = (uint64_t)INT64_MAX / page_bytes;
    return page_count <= most && first_page <= most - page_count;
}

/* The same for the pages of a write. */
static inline bool aegis_i_writes_fit(const aegis_page_write *pages, size_t page_count,
                                      size_t page_bytes) {
    /* The last page has the highest number. */
    return aegis_i_pages_fit(page_count == 0 ? 0 : pages[page_count - 1].page, 1, page_bytes);
}

typedef struct aegis_i_piece {
    /* The number plus one; 0: the slot is free. */
    uint64_t key;
    /* NULL only in a free slot. */
    unsigned char *memory;
} aegis_i_piece;

typedef struct aegis_i_pieces {
    aegis_i_piece *slots;
    /* A power of two. */
    size_t slot_count;
    /* Slots that are not free. */
    size_t used_count;
} aegis_i_pieces;

#define AEGIS_I_PIECES_FIRST_SLOTS ((size_t)16)

/* Where a number belongs. */
static inline size_t aegis_i_pieces_home(const aegis_i_pieces *pieces, uint64_t number) {
    uint64_t hash = number * UINT64_C(0x9E3779B97F4A7C15);
    return (size_t)(hash >> 32) & (pieces->slot_count - 1);
}

/* The slot of the number, or the free one where it would be. */
static inline aegis_i_piece *aegis_i_pieces_find(const aegis_i_pieces *pieces, uint64_t number) {
    size_t at = aegis_i_pieces_home(pieces, number);
    while (pieces->slots[at].key != 0 && pieces->slots[at].key != number + 1)
        at = (at + 1) & (pieces->slot_count - 1);
    return &pieces->slots[at];
}

/* The memory of the number; NULL: it has none. */
static inline unsigned char *aegis_i_pieces_get(const aegis_i_pieces *pieces, uint64_t number) {
    return pieces->slots == NULL ? NULL : aegis_i_pieces_find(pieces, number)->memory;
}

/* Whether the table must get more slots before the next aegis_i_pieces_put. */
static inline bool aegis_i_pieces_are_full(const aegis_i_pieces *pieces) {
    return pieces->used_count >= pieces->slot_count / 4 * 3;
}

/* Adds a number that has no memory yet. */
static inline void aegis_i_pieces_put(aegis_i_pieces *pieces, uint64_t number,
                                      unsigned char *memory) {
    assert(!aegis_i_pieces_are_full(pieces));
    aegis_i_piece *slot = aegis_i_pieces_find(pieces, number);
    assert(slot->key == 0 && memory != NULL);
    pieces->used_count++;
    slot->key = number + 1;
    slot->memory = memory;
}

/* Takes the entry of a slot out. Another entry may lie in the slot then. */
static inline void aegis_i_pieces_remove(aegis_i_pieces *pieces, size_t hole) {
    size_t mask = pieces->slot_count - 1;
    for (size_t at = (hole + 1) & mask; pieces->slots[at].key != 0; at = (at + 1) & mask) {
        size_t home = aegis_i_pieces_home(pieces, pieces->slots[at].key - 1);
        /* An entry that belongs behind the hole stays. */
        if (((at - home) & mask) < ((at - hole) & mask))
            continue;
        pieces->slots[hole] = pieces->slots[at];
        hole = at;
    }
    pieces->slots[hole].key = 0;
    pieces->slots[hole].memory = NULL;
    pieces->used_count--;
}

/* Moves all to other slots, which are more and all zero. Returns the old ones, which are the
 * caller's now. */
static inline aegis_i_piece *aegis_i_pieces_move(aegis_i_pieces *pieces, aegis_i_piece *slots,
                                                 size_t slot_count) {
    aegis_i_pieces old = *pieces;
    pieces->slots = slots;
    pieces->slot_count = slot_count;
    pieces->used_count = 0;
    for (size_t i = 0; i < old.slot_count; i++)
        if (old.slots[i].memory != NULL)
            aegis_i_pieces_put(pieces, old.slots[i].key - 1, old.slots[i].memory);
    return old.slots;
}

#endif
