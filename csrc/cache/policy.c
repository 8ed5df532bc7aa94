/* SPDX-License-Identifier: Apache-2.0 */
/* The eviction policy of the page cache: two queues, and for how long the pages at their tails were
 * idle.
 *
 * The small queue has the pages that were not hit since they came, the main queue those that were.
 * A page at a tail that was hit moves to the head of the main queue. Of two idle pages at the tails
 * that of the main queue goes if it was idle for 2^bias times as long as the other. With a bias of
 * 0 that is nearly LRU. With a large one the small queue is short, and scans and loops pass through
 * it without harm.
 *
 * A page that returns goes to the main queue only if it was away for less time than the page at the
 * tail there was idle. So of a loop that is too long, as much stays as there is room for.
 *
 * The bias follows from how many of the pages that leave the small queue return early, while a
 * slightly longer queue would still have had them. Where pages are drawn from a fixed distribution,
 * or scanned, these are less than 2 %, and the bias rises. Where the working set moves they are 5 %
 * and more, and it falls.
 *
 * Invariants:
 * 1. A frame is in one queue or in none, as its bits say.
 * 2. The stamps in a queue do not increase from head to tail.
 * 3. An eviction from the small queue lets the bias rise during the next window, when its page can
 *    return. If it did so at once, the bias would fall by chance and on and on: the small queue
 *    grows then, nothing leaves it, and what left it before still returns.
 * 4. The ghosts lie in buckets of WAYS words; 0 is none. The oldest one makes room for a new one.
 *
 * Sources: J. Yang and others, FIFO queues are all you need for cache eviction (SOSP 2023).
 * S. Jiang, X. Zhang, LIRS (SIGMETRICS 2002). S. Jiang, F. Chen, X. Zhang, CLOCK-Pro (USENIX 2005).
 * N. Megiddo, D. Modha, ARC (FAST 2003). The constants are measured with
 * benches/compare/benches/hit_ratios, whose ours.rs does the same without hints, pins and writes.
 */
#include "policy.h"
#include "../base/arithmetic.h"
#include "../base/harden.h"

#define BIAS_ONE (INT32_C(1) << 24)
#define MIN_BIAS (-3 * BIAS_ONE / 2)
#define MAX_BIAS (15 * BIAS_ONE / 2)
#define START_BIAS (3 * BIAS_ONE)
/* Below this bias a page that the main queue would not take lowers it too. */
#define LOW_BIAS BIAS_ONE
/* From this bias on a page that was hit often stays for more turns of the main queue. */
#define HEAT_BIAS (6 * BIAS_ONE)
#define MAX_HEAT 2
/* Of so many pages that leave the small queue one may return early. */
#define RETURN_SHARE 64
/* A window has this share of the capacity in misses. */
#define WINDOW_SHARE 24
/* This share of the frames, and one more, is left to the small queue. */
#define SMALL_SHARE 64
/* The most frames of a queue that a call finds to be used before it takes one of them. */
#define MAX_SMALL_LOOKS 256
#define MAX_MAIN_LOOKS 64
/* So many pages with the hint ONCE, and at most this share, stay as long as other new pages. */
#define MAX_ONCE 32
#define ONCE_SHARE 16

/* The bits of a frame: queue (2), heat (2), KEEP (1), stamp. */
#define HEAT_SHIFT 2
#define KEEP_BIT (UINT32_C(1) << 4)
#define STAMP_SHIFT 5
#define STAMP_MASK (UINT32_MAX >> STAMP_SHIFT)
/* A ghost: fingerprint (15), whether it left the small queue (1), stamp (16). */
#define WAYS 4
#define GHOST_STAMP_MASK UINT32_C(0xFFFF)
#define GHOST_MAX_AGE UINT32_C(0x7FFF)
#define GHOST_SMALL (UINT32_C(1) << 16)
#define GHOST_SHIFT 17
/* As many misses as there are ghosts take 2^12 stamps or up to twice as many, if there are so many.
 */
#define STAMP_BITS 12

_Static_assert(sizeof(aegis_i_frame_links) == 12, "what a frame costs");
_Static_assert(AEGIS_I_QUEUE_COUNT <= 4, "a queue has two bits");

static uint32_t now(const aegis_i_policy *policy) {
    return (uint32_t)(policy->miss_count >> policy->stamp_shift);
}

static uint32_t queue_of(const aegis_i_policy *policy, uint32_t frame) {
    return policy->links[frame].bits & 3;
}

static uint32_t heat_of(const aegis_i_policy *policy, uint32_t frame) {
    return policy->links[frame].bits >> HEAT_SHIFT & 3;
}

/* For how long a frame is idle, as far as is known. */
static uint32_t age_of(const aegis_i_policy *policy, uint32_t frame) {
    return (now(policy) - (policy->links[frame].bits >> STAMP_SHIFT)) & STAMP_MASK;
}

static void unlink_frame(aegis_i_policy *policy, uint32_t frame) {
    aegis_i_frame_links *links = &policy->links[frame];
    aegis_i_frame_queue *queue = &policy->queues[queue_of(policy, frame)];
    *(links->prev == AEGIS_I_NO_FRAME ? &queue->head : &policy->links[links->prev].next) =
        links->next;
    *(links->next == AEGIS_I_NO_FRAME ? &queue->tail : &policy->links[links->next].prev) =
        links->prev;
    queue->count--;
    links->bits &= KEEP_BIT;
}

/* Puts a frame that is in no queue at the head of one, as used now. */
static void link_frame(aegis_i_policy *policy, uint32_t frame, uint32_t to, uint32_t heat) {
    aegis_i_frame_links *links = &policy->links[frame];
    aegis_i_frame_queue *queue = &policy->queues[to];
    links->prev = AEGIS_I_NO_FRAME;
    links->next = queue->head;
    links->bits = (links->bits & KEEP_BIT) | to | heat << HEAT_SHIFT | now(policy) << STAMP_SHIFT;
    *(queue->head == AEGIS_I_NO_FRAME ? &queue->tail : &policy->links[queue->head].prev) = frame;
    queue->head = frame;
    queue->count++;
}

/* The ghosts */

static uint32_t *bucket_of(const aegis_i_policy *policy, uint64_t key_hash) {
    return policy->ghosts + ((key_hash >> 32) * policy->bucket_count >> 32) * WAYS;
}

static uint32_t fingerprint_of(uint64_t key_hash) {
    uint32_t fingerprint = (uint32_t)key_hash & (UINT32_MAX >> GHOST_SHIFT);
    return fingerprint != 0 ? fingerprint : 1;
}

/* How long the page was idle, with the time before its eviction. Where there is none: longer. */
static uint32_t ghost_age(const aegis_i_policy *policy, uint32_t ghost) {
    return ghost != 0 ? (now(policy) - ghost) & GHOST_STAMP_MASK : UINT32_MAX;
}

static void remember(aegis_i_policy *policy, uint32_t frame, uint64_t key_hash) {
    if (policy->bucket_count == 0 || age_of(policy, frame) > GHOST_MAX_AGE)
        return;
    uint32_t *bucket = bucket_of(policy, key_hash);
    uint32_t *oldest = bucket;
    for (uint32_t *way = bucket + 1; way < bucket + WAYS; way++)
        if (ghost_age(policy, *way) >= ghost_age(policy, *oldest))
            oldest = way;
    uint32_t stamp = policy->links[frame].bits >> STAMP_SHIFT & GHOST_STAMP_MASK;
    *oldest = fingerprint_of(key_hash) << GHOST_SHIFT | stamp;
    if (queue_of(policy, frame) == AEGIS_I_QUEUE_SMALL)
        *oldest |= GHOST_SMALL;
}

/* The ghost of a page, which is one no longer; 0: there is none. */
static uint32_t recall(aegis_i_policy *policy, uint64_t key_hash) {
    if (policy->bucket_count == 0)
        return 0;
    uint32_t *bucket = bucket_of(policy, key_hash);
    for (uint32_t *way = bucket; way < bucket + WAYS; way++) {
        uint32_t ghost = *way;
        if (ghost >> GHOST_SHIFT == fingerprint_of(key_hash)) {
            *way = 0;
            return ghost;
        }
    }
    return 0;
}

/* Pages that come and go */

/* Time goes on by a miss. */
static void tick(aegis_i_policy *policy) {
    policy->miss_count++;
    policy->bias += policy->rise;
    if (policy->bias > MAX_BIAS)
        policy->bias = MAX_BIAS;
    uint32_t window = (uint32_t)aegis_i_max(policy->capacity / WINDOW_SHARE, 1);
    if (policy->miss_count - policy->window_at < window)
        return;
    uint32_t tail = policy->queues[AEGIS_I_QUEUE_SMALL].tail;
    policy->edges[0] = policy->edges[1];
    policy->edges[1] = now(policy) - (tail == AEGIS_I_NO_FRAME ? 0 : age_of(policy, tail));
    policy->window_at = policy->miss_count;
    /* There can be more when the cache shrinks. */
    size_t evictions = aegis_i_min(policy->small_evictions, window);
    policy->rise =
        (int32_t)((uint64_t)policy->step * evictions / ((uint64_t)RETURN_SHARE * window));
    policy->small_evictions = 0;
}

/* Whether a longer small queue would still have had the page that returns. */
static bool is_early(const aegis_i_policy *policy, uint32_t ghost) {
    uint32_t age = ghost_age(policy, ghost);
    return (ghost & GHOST_SMALL) != 0 && age <= now(policy) - policy->edges[0] &&
           age < (policy->capacity - policy->capacity / 16) >> policy->stamp_shift;
}

void aegis_i_policy_insert(aegis_i_policy *policy, uint32_t frame, uint64_t key_hash,
                           uint32_t hint) {
    assert(aegis_i_policy_is_valid(policy) && queue_of(policy, frame) == AEGIS_I_QUEUE_NONE);
    tick(policy);
    policy->links[frame].bits = 0;
    if ((hint & AEGIS_I_HINT_ONCE) != 0) {
        link_frame(policy, frame, AEGIS_I_QUEUE_ONCE, 0);
        return;
    }
    uint32_t most_main = policy->capacity - policy->capacity / SMALL_SHARE - 1;
    bool has_room = policy->queues[AEGIS_I_QUEUE_MAIN].count < most_main;
    bool is_main = has_room && policy->queues[AEGIS_I_QUEUE_SMALL].count == 0;
    uint32_t ghost = recall(policy, key_hash);
    if (ghost != 0) {
        bool is_warm = ghost_age(policy, ghost) < policy->cold_age;
        if (is_early(policy, ghost) && (is_warm || policy->bias < LOW_BIAS)) {
            policy->bias -= policy->step;
            if (policy->bias < MIN_BIAS)
                policy->bias = MIN_BIAS;
        }
        is_main = is_main || is_warm || has_room;
    }
    if ((hint & AEGIS_I_HINT_KEEP) != 0) {
        policy->links[frame].bits = KEEP_BIT;
        link_frame(policy, frame, AEGIS_I_QUEUE_MAIN, MAX_HEAT);
    } else {
        link_frame(policy, frame, is_main ? AEGIS_I_QUEUE_MAIN : AEGIS_I_QUEUE_SMALL, 0);
    }
}

void aegis_i_policy_remove(aegis_i_policy *policy, uint32_t frame, uint64_t key_hash,
                           bool evicted) {
    uint32_t queue = queue_of(policy, frame);
    assert(aegis_i_policy_is_valid(policy) && queue != AEGIS_I_QUEUE_NONE);
    if (evicted && queue != AEGIS_I_QUEUE_ONCE) {
        policy->small_evictions += queue == AEGIS_I_QUEUE_SMALL;
        remember(policy, frame, key_hash);
    }
    unlink_frame(policy, frame);
    policy->links[frame].bits = 0;
}

void aegis_i_policy_postpone(aegis_i_policy *policy, uint32_t frame) {
    uint32_t queue = queue_of(policy, frame);
    uint32_t heat = heat_of(policy, frame);
    /* It may have left meanwhile. */
    if (queue == AEGIS_I_QUEUE_NONE)
        return;
    unlink_frame(policy, frame);
    link_frame(policy, frame, queue, heat);
}

/* The search for a victim */

typedef struct victim_search {
    aegis_i_policy *policy;
    aegis_i_policy_look look;
    void *context;
    uint32_t victim;
    uint32_t max_heat;
    uint32_t dirty_looks;
    /* Whether a frame goes if only it is clean, because none is idle. */
    bool takes_used;
    struct {
        /* Where to look next; NO_FRAME: the queue was walked through. */
        uint32_t cursor;
        /* How many more frames that were used may be looked at. */
        uint32_t looks_left;
        /* The frame that was found and can go, or could if it was not dirty. */
        uint32_t found;
        bool is_dirty;
    } at[AEGIS_I_QUEUE_COUNT];
} victim_search;

/* Begins at the tail of a queue. */
static void begin(victim_search *search, uint32_t queue, size_t most_looks) {
    search->at[queue].cursor = search->policy->queues[queue].tail;
    search->at[queue].looks_left = (uint32_t)most_looks;
    search->at[queue].found = AEGIS_I_NO_FRAME;
}

/* Moves a frame that was used to a head: one that was hit to that of the main queue. One that only
 * was hot cools down. */
static void move_up(aegis_i_policy *policy, uint32_t frame, uint32_t hits, bool is_pinned,
                    uint32_t max_heat) {
    uint32_t queue = queue_of(policy, frame);
    uint32_t heat = heat_of(policy, frame);
    if (hits == 0 && !is_pinned)
        heat--;
    else if ((policy->links[frame].bits & KEEP_BIT) != 0)
        heat = MAX_HEAT;
    else if (hits != 0)
        heat = (uint32_t)aegis_i_min((size_t)heat + hits - 1, max_heat);
    unlink_frame(policy, frame);
    if (queue == AEGIS_I_QUEUE_SMALL && (hits != 0 || is_pinned))
        queue = AEGIS_I_QUEUE_MAIN;
    link_frame(policy, frame, queue, heat);
}

/* Walks to the next frame of a queue that can go, or could if it was not dirty. */
static bool walk(victim_search *search, uint32_t queue) {
    aegis_i_policy *policy = search->policy;
    while (search->at[queue].looks_left > 0) {
        uint32_t frame = search->at[queue].cursor;
        if (frame == AEGIS_I_NO_FRAME)
            return false;
        uint32_t hits = 0;
        uint32_t state = search->look(search->context, frame, &hits);
        if (queue == AEGIS_I_QUEUE_ONCE)
            hits = 0;
        search->at[queue].cursor = policy->links[frame].prev;
        bool is_idle = hits == 0 && heat_of(policy, frame) == 0;
        if (state != AEGIS_I_LOOK_PINNED && (is_idle || search->takes_used)) {
            search->at[queue].found = frame;
            search->at[queue].is_dirty = state == AEGIS_I_LOOK_DIRTY;
            return true;
        }
        search->at[queue].looks_left--;
        move_up(policy, frame, hits, state == AEGIS_I_LOOK_PINNED, search->max_heat);
    }
    return false;
}

/* Whether there is such a frame. */
static inline bool find(victim_search *search, uint32_t queue) {
    return search->at[queue].found != AEGIS_I_NO_FRAME || walk(search, queue);
}

/* Whether pages that are read once go before all others. */
static bool is_turn_of_once(const aegis_i_policy *policy) {
    const aegis_i_frame_queue *once = &policy->queues[AEGIS_I_QUEUE_ONCE];
    uint32_t small = policy->queues[AEGIS_I_QUEUE_SMALL].tail;
    if (once->count == 0)
        return false;
    return small == AEGIS_I_NO_FRAME ||
           once->count > aegis_i_min(MAX_ONCE, policy->capacity / ONCE_SHARE) ||
           age_of(policy, once->tail) >= age_of(policy, small);
}

/* Whether the page that was found in the main queue goes before that in the small one: whether its
 * age is 2^bias times the other. Between powers of two there is a straight line. */
static bool is_main_colder(const victim_search *search) {
    const aegis_i_policy *policy = search->policy;
    uint64_t main_age = age_of(policy, search->at[AEGIS_I_QUEUE_MAIN].found);
    uint64_t small_age = age_of(policy, search->at[AEGIS_I_QUEUE_SMALL].found);
    uint32_t bias = (uint32_t)(policy->bias + 2 * BIAS_ONE);
    uint64_t limit = (small_age != 0 ? small_age : 1) * (BIAS_ONE + bias % BIAS_ONE);
    return (main_age != 0 ? main_age : 1) * (4 * BIAS_ONE) >= limit << bias / BIAS_ONE;
}

/* The queue from which the page goes that was found there; NONE: there is no such page. */
static uint32_t choose(victim_search *search) {
    if (!search->takes_used) {
        bool has_small = find(search, AEGIS_I_QUEUE_SMALL);
        bool has_main = find(search, AEGIS_I_QUEUE_MAIN);
        if (has_main)
            return has_small && !is_main_colder(search) ? AEGIS_I_QUEUE_SMALL : AEGIS_I_QUEUE_MAIN;
        if (has_small)
            return AEGIS_I_QUEUE_SMALL;
        search->takes_used = true;
        for (uint32_t queue = AEGIS_I_QUEUE_SMALL; queue < AEGIS_I_QUEUE_COUNT; queue++)
            begin(search, queue, search->policy->queues[queue].count);
    }
    if (find(search, AEGIS_I_QUEUE_MAIN))
        return AEGIS_I_QUEUE_MAIN;
    if (find(search, AEGIS_I_QUEUE_SMALL))
        return AEGIS_I_QUEUE_SMALL;
    return find(search, AEGIS_I_QUEUE_ONCE) ? AEGIS_I_QUEUE_ONCE : AEGIS_I_QUEUE_NONE;
}

/* Takes what was found in a queue, or steps over it. */
static bool is_over(victim_search *search, uint32_t queue) {
    if (search->at[queue].is_dirty) {
        search->at[queue].found = AEGIS_I_NO_FRAME;
        return ++search->dirty_looks == AEGIS_I_MAX_DIRTY_LOOKS;
    }
    search->victim = search->at[queue].found;
    return true;
}

uint32_t aegis_i_policy_victim(aegis_i_policy *policy, aegis_i_policy_look look, void *context) {
    assert(aegis_i_policy_is_valid(policy));
    victim_search search = {.policy = policy, .look = look, .context = context};
    search.victim = AEGIS_I_NO_FRAME;
    search.max_heat = policy->bias < HEAT_BIAS ? 0 : MAX_HEAT;
    uint32_t once_count = policy->queues[AEGIS_I_QUEUE_ONCE].count;
    uint32_t small_count = policy->queues[AEGIS_I_QUEUE_SMALL].count;
    begin(&search, AEGIS_I_QUEUE_ONCE, aegis_i_min(once_count, MAX_ONCE));
    while (is_turn_of_once(policy) && find(&search, AEGIS_I_QUEUE_ONCE))
        if (is_over(&search, AEGIS_I_QUEUE_ONCE))
            return search.victim;
    begin(&search, AEGIS_I_QUEUE_SMALL, aegis_i_min(small_count, MAX_SMALL_LOOKS));
    (void)find(&search, AEGIS_I_QUEUE_SMALL);
    /* After the pages of the small queue that move here. */
    begin(&search, AEGIS_I_QUEUE_MAIN, MAX_MAIN_LOOKS);
    policy->cold_age = 0;
    if (find(&search, AEGIS_I_QUEUE_MAIN))
        policy->cold_age =
            (uint32_t)aegis_i_max(age_of(policy, search.at[AEGIS_I_QUEUE_MAIN].found), 1);
    uint32_t queue;
    do {
        queue = choose(&search);
    } while (queue != AEGIS_I_QUEUE_NONE && !is_over(&search, queue));
    return search.victim;
}

/* The policy as a whole */

void aegis_i_policy_init(aegis_i_policy *policy, aegis_i_frame_links *links, uint32_t *ghosts,
                         uint32_t ghost_count) {
    memset(policy, 0, sizeof *policy);
    policy->links = links;
    policy->ghosts = ghosts;
    policy->bucket_count = ghost_count / WAYS;
    for (uint32_t queue = 0; queue < AEGIS_I_QUEUE_COUNT; queue++)
        policy->queues[queue].head = policy->queues[queue].tail = AEGIS_I_NO_FRAME;
    unsigned bits = aegis_i_highest_bit(aegis_i_max(ghost_count, 1));
    policy->stamp_shift = bits > STAMP_BITS ? bits - STAMP_BITS : 0;
    policy->bias = START_BIAS;
    aegis_i_policy_resize(policy, (uint32_t)aegis_i_max(ghost_count, 1));
}

void aegis_i_policy_resize(aegis_i_policy *policy, uint32_t capacity) {
    /* 2 / capacity^(1/4), with the fourth roots of the powers below 16; between powers it does not
     * matter. */
    static const int32_t roots[4] = {0x2000000, 0x1AE89F9, 0x16A09E6, 0x1306FE0};
    unsigned bits = aegis_i_highest_bit(capacity);
    policy->capacity = capacity;
    policy->step = roots[bits % 4] >> bits / 4;
    assert(aegis_i_policy_is_valid(policy));
}

uint32_t aegis_i_policy_temperature(const aegis_i_policy *policy, uint32_t frame) {
    uint32_t queue = queue_of(policy, frame);
    if (queue == AEGIS_I_QUEUE_MAIN)
        return heat_of(policy, frame) != 0 ? 3 : 2;
    return queue == AEGIS_I_QUEUE_SMALL;
}

bool aegis_i_policy_is_valid(const aegis_i_policy *policy) {
    for (uint32_t queue = 0; queue < AEGIS_I_QUEUE_COUNT; queue++) {
        const aegis_i_frame_queue *at = &policy->queues[queue];
        if ((at->count == 0) != (at->head == AEGIS_I_NO_FRAME) ||
            (at->count == 0) != (at->tail == AEGIS_I_NO_FRAME))
            return false;
    }
    return policy->links != NULL && policy->capacity != 0 && policy->step > 0 &&
           policy->rise >= 0 && policy->bias >= MIN_BIAS && policy->bias <= MAX_BIAS &&
           policy->queues[AEGIS_I_QUEUE_NONE].count == 0;
}
