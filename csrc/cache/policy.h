/* SPDX-License-Identifier: Apache-2.0 */
/* Which page of a cache goes. The policy knows frames by their indices and pages by a hash of their
 * keys, and touches neither. A hit tells it nothing: it asks for the hits of a frame when it comes
 * by. All calls are made by one thread at a time, which holds the lock of the cache. Not installed.
 */
#ifndef AEGIS_MEMORY_I_CACHE_POLICY_H
#define AEGIS_MEMORY_I_CACHE_POLICY_H

#include "../base/port.h"

#define AEGIS_I_NO_FRAME UINT32_MAX

/* Hints for a page that comes in. ONCE: it is part of a scan, goes out first, and its hits do not
 * count. KEEP: it starts hot, and a hit makes it hot again. */
#define AEGIS_I_HINT_ONCE UINT32_C(1)
#define AEGIS_I_HINT_KEEP UINT32_C(2)

/* What a frame is found to be. A frame that is dirty stays where it is. One that is pinned counts
 * as used now. */
#define AEGIS_I_LOOK_CLEAN UINT32_C(0)
#define AEGIS_I_LOOK_DIRTY UINT32_C(1)
#define AEGIS_I_LOOK_PINNED UINT32_C(2)

/* So many frames that are idle but dirty are stepped over in a call. */
#define AEGIS_I_MAX_DIRTY_LOOKS 32

/* The queues; a frame is in one of them or in none. */
enum {
    AEGIS_I_QUEUE_NONE,
    AEGIS_I_QUEUE_SMALL,
    AEGIS_I_QUEUE_MAIN,
    AEGIS_I_QUEUE_ONCE,
    AEGIS_I_QUEUE_COUNT
};

/* What the policy keeps of a frame: its neighbours towards the warm end (prev) and the cold end,
 * and its queue, heat and stamp in `bits`. */
typedef struct aegis_i_frame_links {
    uint32_t prev;
    uint32_t next;
    uint32_t bits;
} aegis_i_frame_links;

/* Frames come in at the head, which is the warm end, and go from the tail. */
typedef struct aegis_i_frame_queue {
    uint32_t head;
    uint32_t tail;
    uint32_t count;
} aegis_i_frame_queue;

typedef struct aegis_i_policy {
    aegis_i_frame_links *links;
    uint32_t *ghosts;
    uint32_t bucket_count;
    /* The frames in use. */
    uint32_t capacity;
    aegis_i_frame_queue queues[AEGIS_I_QUEUE_COUNT];
    /* Misses are the clock. A stamp is their number without the last `stamp_shift` bits. */
    uint64_t miss_count;
    uint32_t stamp_shift;
    /* How long the frame at the tail of the main queue was idle when a victim was last looked for;
     * 0 if none there was. */
    uint32_t cold_age;
    /* The logarithm (base 2) of how many times as long as a page of the small queue one of the main
     * queue must be idle to go before it, and by how much one early return lowers it. In units of
     * 2^-24.
     */
    int32_t bias;
    int32_t step;
    /* By how much the bias rises with each miss, because of what was evicted in the last window. */
    int32_t rise;
    /* The pages that were evicted from the small queue in this window, and where the window began.
     */
    uint32_t small_evictions;
    uint64_t window_at;
    /* The stamps that the tail of the small queue had at the last two beginnings of a window. */
    uint32_t edges[2];
} aegis_i_policy;

/* Tells about a frame: whether it can go, and in `hits` how often it was hit since the last time.
 */
typedef uint32_t (*aegis_i_policy_look)(void *context, uint32_t frame, uint32_t *hits);

/* The memory is the caller's, and zeroed: links for all frames that there may ever be, and
 * `ghost_count` words, best as many as there are frames. */
AEGIS_I_HIDDEN void aegis_i_policy_init(aegis_i_policy *policy, aegis_i_frame_links *links,
                                        uint32_t *ghosts, uint32_t ghost_count);
/* Sets how many frames are in use; at least 1. The caller evicts those that are too many. */
AEGIS_I_HIDDEN void aegis_i_policy_resize(aegis_i_policy *policy, uint32_t capacity);
/* A page is in a frame that was in no queue. `key_hash` has 64 good bits of its key. */
AEGIS_I_HIDDEN void aegis_i_policy_insert(aegis_i_policy *policy, uint32_t frame, uint64_t key_hash,
                                          uint32_t hint);
/* Finds the frame that should go. It stays in its queue. If it cannot go after all, call again.
 * AEGIS_I_NO_FRAME: those that should go are dirty, or all are pinned. Cost: at most 32 dirty
 * frames, 32 + 256 + 64 others, and all that are pinned if no other is left; for each miss and
 * each hit it is constant on average. */
AEGIS_I_HIDDEN uint32_t aegis_i_policy_victim(aegis_i_policy *policy, aegis_i_policy_look look,
                                              void *context);
/* Takes a frame out of its queue. If its page was evicted, it is remembered, to be known if it
 * returns soon. If it was discarded, it is not. */
AEGIS_I_HIDDEN void aegis_i_policy_remove(aegis_i_policy *policy, uint32_t frame, uint64_t key_hash,
                                          bool evicted);
/* Moves a frame to the head of its queue: it cannot go for now, and others are to be tried. */
AEGIS_I_HIDDEN void aegis_i_policy_postpone(aegis_i_policy *policy, uint32_t frame);
/* For pictures: 0 goes first, 1 was not hit yet, 2 was hit, 3 is hot. */
AEGIS_I_HIDDEN uint32_t aegis_i_policy_temperature(const aegis_i_policy *policy, uint32_t frame);
AEGIS_I_HIDDEN bool aegis_i_policy_is_valid(const aegis_i_policy *policy);

#endif
