/* SPDX-License-Identifier: Apache-2.0 */
/* The word of a frame, which says who may use its page. Not installed.
 *
 * The word `state` of a frame, its lower half:
 * - READERS: how many threads have the page pinned to read. A thread adds itself first and looks
 *   at the flags of the word afterwards. If they say no, it takes itself off again. So the number
 *   may count threads that are not let in.
 * - EXCLUSIVE: one thread has the frame for itself: it writes the page, reads it from the store,
 *   evicts it, or has the frame in the list of free frames.
 * - PENDING: a writer waits until the readers have gone. No more readers are let in.
 * - UPGRADING: the writer that waits is itself one of the readers.
 * - LOADING: with EXCLUSIVE: the page is being read. Readers of this page stay counted and wait.
 * - FAILED: the page could not be read, and is no longer in the page table. Readers that waited for
 *   it are still to see the error, which is in `first_lsns` and `lsn`. Who leaves last frees the
 *   frame.
 * - ASLEEP: threads sleep until something of this changes (wait.c).
 * - DIRTY: the store does not have the page as it is here.
 * - CHANGED: with DIRTY: the page was changed after its latest copy for the store was made.
 * - WRITING: one thread writes a copy of the page to the store.
 * - VACANT: with EXCLUSIVE: the frame has no page. A thread that was about to sleep until the page
 *   that was here is free finds its word changed.
 * The upper half counts the pins of a resident page since the policy looked last. Its highest bit
 * is one of the flags that send a thread to the slow path, where the count is taken out.
 *
 * Invariants:
 * 1. `page` and `file` change only while a thread has the frame EXCLUSIVE, under the cache's lock.
 *    So a reader that was let in sees the page that it stays, and need only compare it with the one
 *    it wants: the pin and the check of identity are one step.
 * 2. Nobody stores the word: each change is an addition or a compare-and-swap of what was read, so
 *    no count of another thread is overwritten.
 * 3. The frame of a page that is pinned, DIRTY, WRITING or FAILED is not evicted: the
 *    compare-and-swap that takes it needs a word without any of these.
 * 4. DIRTY is cleared only by the thread that has WRITING, and only if CHANGED is not set. CHANGED
 *    is cleared where the copy begins, under a pin to read, so while no writer is inside.
 * 5. No frame's memory for its header is ever freed while the cache lives, and a frame that is
 *    not in use is EXCLUSIVE. So a thread that comes late, through an old link of the page
 *    table, is turned away by the word or by the identity. */
#ifndef AEGIS_MEMORY_I_CACHE_WORD_H
#define AEGIS_MEMORY_I_CACHE_WORD_H

#include "state.h"

#define AEGIS_I_READERS ((UINT64_C(1) << 20) - 1)
/* So many readers that one more is refused; the other half is for threads that are turned away. */
#define AEGIS_I_CROWDED (UINT64_C(1) << 19)
#define AEGIS_I_EXCLUSIVE (UINT64_C(1) << 20)
#define AEGIS_I_PENDING (UINT64_C(1) << 21)
#define AEGIS_I_UPGRADING (UINT64_C(1) << 22)
#define AEGIS_I_LOADING (UINT64_C(1) << 23)
#define AEGIS_I_FAILED (UINT64_C(1) << 24)
#define AEGIS_I_ASLEEP (UINT64_C(1) << 25)
#define AEGIS_I_DIRTY (UINT64_C(1) << 26)
#define AEGIS_I_CHANGED (UINT64_C(1) << 27)
#define AEGIS_I_WRITING (UINT64_C(1) << 28)
#define AEGIS_I_VACANT (UINT64_C(1) << 29)
#define AEGIS_I_PINS_SHIFT 32
#define AEGIS_I_ONE_PIN (UINT64_C(1) << AEGIS_I_PINS_SHIFT)
#define AEGIS_I_PINS_FULL (UINT64_C(1) << 63)
/* A reader that finds one of these is not let in, or not without more ado. */
#define AEGIS_I_CLOSED_TO_READERS                                                                  \
    (AEGIS_I_CROWDED | AEGIS_I_EXCLUSIVE | AEGIS_I_PENDING | AEGIS_I_FAILED | AEGIS_I_PINS_FULL)
/* An inline implementation in another language has these numbers from the header. */
_Static_assert(AEGIS_I_READERS == AEGIS_FRAME_READERS && AEGIS_I_ONE_PIN == AEGIS_FRAME_ONE_PIN &&
                   AEGIS_I_CLOSED_TO_READERS == AEGIS_FRAME_CLOSED &&
                   (AEGIS_I_ASLEEP | AEGIS_I_FAILED) == AEGIS_FRAME_TELL,
               "page_cache.h has the same bits");
_Static_assert(offsetof(aegis_page_cache_shared, wanted_count) == 0, "it is the first word");
/* A writer needs a word without these. */
#define AEGIS_I_CLOSED_TO_WRITERS                                                                  \
    (AEGIS_I_READERS | AEGIS_I_EXCLUSIVE | AEGIS_I_FAILED | AEGIS_I_PINS_FULL)

static inline aegis_i_word64 *aegis_i_frame_word(aegis_page_frame *frame) {
    return (aegis_i_word64 *)(void *)&frame->state;
}

/* Relaxed: identity is read under a pin, or is only a hint that is checked under one. */
static inline uint64_t aegis_i_frame_page(const aegis_page_frame *frame) {
    return aegis_i_load((const aegis_i_word64 *)(const void *)&frame->page, memory_order_relaxed);
}

static inline uint32_t aegis_i_frame_file(const aegis_page_frame *frame) {
    return aegis_i_load((const aegis_i_word32 *)(const void *)&frame->file, memory_order_relaxed);
}

static inline bool aegis_i_frame_has(const aegis_page_frame *frame, uint32_t file, uint64_t page) {
    return aegis_i_frame_page(frame) == page && aegis_i_frame_file(frame) == file;
}

/* The page of a frame, for sorting. */
static inline aegis_i_page_record aegis_i_frame_record(const aegis_page_cache_shared *cache,
                                                       uint32_t number) {
    const aegis_page_frame *frame = &cache->frames[number];
    aegis_i_page_record record = {aegis_i_frame_page(frame), aegis_i_frame_file(frame), number};
    return record;
}

static inline uint64_t aegis_i_frame_state(aegis_page_frame *frame) {
    /* Acquire pairs with the releases of those who left: what they did is seen. */
    return aegis_i_load(aegis_i_frame_word(frame), memory_order_acquire);
}

#endif
