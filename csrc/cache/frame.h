/* SPDX-License-Identifier: Apache-2.0 */
/* How threads enter and leave a frame. word.h has the bits and the invariants. Not installed. */
#ifndef AEGIS_MEMORY_I_CACHE_FRAME_H
#define AEGIS_MEMORY_I_CACHE_FRAME_H

#include "word.h"

/* What came of an attempt to enter a frame. */
#define AEGIS_I_ENTERED 0
/* The frame has another page now: look the page up again. */
#define AEGIS_I_GONE 1
/* Another thread is inside: see aegis_i_frame_wait. */
#define AEGIS_I_BLOCKED 2
/* The page is being read, and this thread is counted among its readers: see aegis_i_frame_join. */
#define AEGIS_I_JOINED 3
/* There are too many readers. */
#define AEGIS_I_REFUSED 4
/* The wait was too long. */
#define AEGIS_I_TIMED_OUT 5

/* The parts of the functions below that are rare. */
AEGIS_I_HIDDEN void aegis_i_frame_left(aegis_page_cache_shared *cache, uint32_t frame,
                                       uint64_t before);
/* Takes this thread off the readers. */
static inline void aegis_i_frame_leave(aegis_page_cache_shared *cache, uint32_t number) {
    aegis_page_frame *frame = &cache->frames[number];
    /* Release pairs with the acquire of a writer's compare-and-swap: it changes the page after this
     * thread has read it. */
    uint64_t before = aegis_i_sub(aegis_i_frame_word(frame), 1, memory_order_release);
    if (AEGIS_UNLIKELY((before & (AEGIS_I_ASLEEP | AEGIS_I_FAILED)) != 0 ||
                       ((before & AEGIS_I_READERS) == 1 && aegis_i_cache_is_wanted(cache))))
        aegis_i_frame_left(cache, number, before);
}

/* Takes a pin off the count that was none after all. */
AEGIS_I_HIDDEN void aegis_i_frame_uncount(aegis_page_frame *frame);

/* Enters a frame to read a page, counting the pin if `pins` is AEGIS_I_ONE_PIN and not if it is 0.
 */
AEGIS_I_HIDDEN uint32_t aegis_i_frame_enter_shared(aegis_page_cache_shared *cache, uint32_t frame,
                                                   uint32_t file, uint64_t page, uint64_t pins);
/* Enters a frame to write a page. It never returns AEGIS_I_JOINED. */
AEGIS_I_HIDDEN uint32_t aegis_i_frame_enter_exclusive(aegis_page_cache_shared *cache,
                                                      uint32_t frame, uint32_t file, uint64_t page,
                                                      uint64_t pins);
/* Makes a reader of the page its writer, if no other thread reads it. False: it is still a reader.
 */
AEGIS_I_HIDDEN bool aegis_i_frame_become_writer(aegis_page_cache_shared *cache, uint32_t frame,
                                                uint64_t pins);
/* Takes a frame for eviction or removal if nobody uses it. `needless` are flags that it must not
 * have beside those of invariant 3; AEGIS_I_DIRTY is one of them unless the page is discarded. The
 * caller has the cache's lock. */
AEGIS_I_HIDDEN bool aegis_i_frame_take(aegis_page_cache_shared *cache, uint32_t frame,
                                       uint64_t needless);
/* Gives an exclusive frame up, and keeps it to read if `downgrade`. */
AEGIS_I_HIDDEN void aegis_i_frame_leave_exclusive(aegis_page_cache_shared *cache, uint32_t frame,
                                                  bool dirty, bool downgrade);
/* Marks a page dirty that somebody may have pinned. */
AEGIS_I_HIDDEN void aegis_i_frame_redirty(aegis_page_cache_shared *cache, uint32_t frame);

/* Ends the loading of a page that this thread has read. With `exclusive` the frame stays this
 * thread's alone, and the readers that wait go on waiting. Otherwise the thread is one of them
 * afterwards. */
AEGIS_I_HIDDEN void aegis_i_frame_loaded(aegis_page_cache_shared *cache, uint32_t frame,
                                         bool exclusive);
/* Ends the loading without keeping the page pinned. */
AEGIS_I_HIDDEN void aegis_i_frame_loaded_unpinned(aegis_page_cache_shared *cache, uint32_t frame);
/* Ends the loading of a page that could not be read. The caller has unlinked the page. True: no
 * reader waits, and the frame is still exclusive. */
AEGIS_I_HIDDEN bool aegis_i_frame_load_failed(aegis_page_cache_shared *cache, uint32_t frame,
                                              const aegis_page_error *error);

#endif
