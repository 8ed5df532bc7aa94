/* SPDX-License-Identifier: Apache-2.0 */
/* The pool with one owner: a stack of free blocks that is a sparse set, and a range of indices
 * that were never handed out. The invariants of the two are in pool.h. Taking a block from the
 * stack writes the height of the stack and nothing else.
 *
 * Why the peak costs the fast path nothing:
 * 1. `touched_count` counts the blocks of the slabs held that were ever handed out, so at any time
 *    at most that many are in use.
 * 2. A block that was never handed out is taken only when no other block is free
 *    (aegis_i_pool_take_held). At that moment all blocks that were handed out before are in use, so
 *    `touched_count` blocks are.
 * 3. It sets `peak_in_use` then, and only then does `touched_count` increase.
 *
 * So the largest number in use is reached at such a moment, and no other needs to be looked at. The
 * keyed pool, which lists blocks before they are handed out, counts its peak itself.
 *
 * Source: P. Briggs, L. Torczon, An efficient representation for sparse sets (1993). */
#include "aegis_memory/pool.h"
#include "../base/harden.h"
#include "../base/sized.h"
#include "one_owner.h"

/* Bytes beside each block: an entry of the stack of free blocks, and the block's position in that
 * stack. */
#define SIDE_BYTES (sizeof(void *) + sizeof(uint32_t))
/* The same in a keyed pool: an entry of the stack of free indices, the position, and the caller's
 * four bytes. */
#define KEYED_SIDE_BYTES (3 * sizeof(uint32_t))

bool aegis_i_pool_is_valid(const aegis_pool *pool) {
    /* The source may call a pool that is being finished: it has no slabs and no blocks then. */
    if (pool->slabs.meta == NULL)
        return pool->capacity == 0 && pool->top == NULL && pool->slabs.slab_limit == 0;
    return aegis_i_slabs_is_valid(&pool->slabs) && pool->positions != NULL &&
           (pool->free_blocks == NULL) != (pool->free_indices == NULL) &&
           aegis_i_pool_free_count(pool) <= pool->touched_count &&
           pool->fresh_next <= pool->fresh_end &&
           pool->touched_count + (pool->fresh_end - pool->fresh_next) == pool->capacity &&
           pool->capacity <= pool->slabs.index_limit && pool->grid.count <= pool->slabs.grid.count;
}

static size_t in_use(const aegis_pool *pool) {
    return pool->touched_count - aegis_i_pool_free_count(pool);
}

aegis_status aegis_pool_init_sized(aegis_pool *pool, const aegis_pool_options *options,
                                   size_t options_bytes) {
    return aegis_i_pool_init(pool, options, options_bytes, 0, false);
}

aegis_status aegis_i_pool_init(aegis_pool *pool, const aegis_pool_options *given,
                               size_t options_bytes, size_t head_bytes, bool keyed) {
    aegis_pool_options copy;
    memset(pool, 0, sizeof *pool);
    size_t unknown = aegis_i_unknown_option(given, options_bytes, sizeof copy);
    const aegis_pool_options *options =
        (const aegis_pool_options *)aegis_i_known_part(given, options_bytes, &copy, sizeof copy);
    if (options == NULL)
        return aegis_i_slabs_refuse(options, &pool->failed, AEGIS_E_INVALID, AEGIS_WHAT_OPTIONS, 0,
                                    0);
    if (unknown != 0)
        return aegis_i_slabs_refuse(options, &pool->failed, AEGIS_E_INVALID,
                                    AEGIS_WHAT_UNKNOWN_OPTION, unknown, sizeof copy);
    /* NULL stands below the stack. */
    aegis_status status =
        aegis_i_slabs_init(&pool->slabs, options, 0, head_bytes + sizeof(void *),
                           keyed ? KEYED_SIDE_BYTES : SIDE_BYTES, false, &pool->failed);
    if (status != AEGIS_OK)
        return status;
    if (keyed) {
        pool->free_indices = (uint32_t *)(void *)pool->slabs.side;
        pool->positions = pool->free_indices + pool->slabs.index_limit;
    } else {
        pool->free_blocks = (void **)(void *)pool->slabs.side;
        pool->positions = (uint32_t *)(void *)(pool->free_blocks + pool->slabs.index_limit);
        pool->top = pool->watched_top = pool->free_blocks;
        pool->placed = pool->free_blocks + pool->slabs.index_limit;
    }
    pool->grid = pool->slabs.grid;
    pool->grid.count = 0;
    pool->capacity = pool->fresh_end = pool->slabs.grid.count;
    pool->slab_count = 1;
    assert(aegis_i_pool_is_valid(pool));
    return AEGIS_OK;
}

aegis_status aegis_pool_fini(aegis_pool *pool) {
    if (pool == NULL)
        return AEGIS_OK;
    if (pool->slabs.meta != NULL) {
        assert(aegis_i_pool_is_valid(pool));
        if (in_use(pool) != 0)
            return AEGIS_E_BUSY;
    }
    aegis_pool_abandon(pool);
    return AEGIS_OK;
}

void aegis_pool_abandon(aegis_pool *pool) {
    if (pool == NULL)
        return;
    aegis_pool_slabs slabs = pool->slabs;
    memset(pool, 0, sizeof *pool);
    aegis_i_slabs_fini(&slabs);
}

bool aegis_i_pool_has_free(const aegis_pool *pool) {
    return aegis_i_pool_free_count(pool) != 0 || pool->fresh_next != pool->fresh_end;
}

bool aegis_i_pool_can_grow(const aegis_pool *pool) {
    return pool->slab_count < pool->slabs.slab_limit;
}

/* Counts a slab that the pool holds from now on. Its blocks become the range of those that were
 * never handed out. */
static void count_slab(aegis_pool *pool, uint32_t slab) {
    pool->slab_count++;
    pool->fresh_next = aegis_i_slab_start(&pool->slabs, slab);
    pool->fresh_end = pool->fresh_next + aegis_i_slab_blocks(&pool->slabs, slab);
    pool->capacity += aegis_i_slab_blocks(&pool->slabs, slab);
}

uint32_t aegis_i_pool_next_slab(const aegis_pool *pool) {
    const aegis_pool_slabs *slabs = &pool->slabs;
    /* A trim may have left holes in the directory. If there are none, the first place is free. */
    uint32_t slab = (uint32_t)pool->slab_count;
    for (uint32_t i = 0; i < slabs->slab_limit; i++) {
        if (slabs->directory[slab] == 0)
            return slab;
        slab = slab + 1 < slabs->slab_limit ? slab + 1 : 1;
    }
    return 0;
}

bool aegis_i_pool_revive(aegis_pool *pool) {
    uint32_t slab = pool->slabs.slab_limit;
    if (aegis_i_pool_next_slab(pool) != 0)
        return false;
    while (--slab != 0 && !aegis_i_slab_is_condemned(&pool->slabs, slab))
        continue;
    if (slab == 0)
        return false;
    (void)aegis_i_slabs_revive(&pool->slabs, slab);
    count_slab(pool, slab);
    return true;
}

/* Adds a slab that was acquired for place `slab`, at that place or at another one of its size.
 * False: there is no such place any more. No block is in the range of those never handed out. */
static bool place_slab(aegis_pool *pool, uint32_t slab, uintptr_t entry) {
    const aegis_pool_slabs *slabs = &pool->slabs;
    uint32_t place = slab;
    if (slabs->directory[slab] != 0)
        place = aegis_i_pool_next_slab(pool);
    if (place == 0 || aegis_i_slab_blocks(slabs, place) != aegis_i_slab_blocks(slabs, slab))
        return false;
    (void)aegis_i_slabs_install(&pool->slabs, place, entry);
    count_slab(pool, place);
    return true;
}

bool aegis_i_pool_add_slab(aegis_pool *pool, uint32_t slab, uintptr_t entry) {
    if (aegis_i_pool_has_free(pool) || !aegis_i_pool_can_grow(pool))
        return false;
    return place_slab(pool, slab, entry);
}

/* Adds a slab. The source, or a pressure function of the budget, may use the pool meanwhile. If it
 * leaves a block free, no slab is needed any more. */
static bool grow(aegis_pool *pool) {
    aegis_pool_slabs *slabs = &pool->slabs;
    if (!aegis_i_pool_can_grow(pool)) {
        aegis_i_slabs_exhausted(slabs, &pool->failed, slabs->index_limit, in_use(pool));
        return false;
    }
    if (aegis_i_pool_revive(pool))
        return true;
    uint32_t slab = aegis_i_pool_next_slab(pool);
    aegis_error error;
    uintptr_t entry = aegis_i_slabs_acquire(slabs, slab, NULL, &error);
    if (entry == 0) {
        if (aegis_i_pool_has_free(pool))
            return true;
        pool->failed = error;
        return false;
    }
    if (!aegis_i_pool_add_slab(pool, slab, entry))
        aegis_i_slabs_release(slabs, slab, entry);
    return true;
}

bool aegis_i_pool_make_free(aegis_pool *pool) {
    while (!aegis_i_pool_has_free(pool))
        if (!grow(pool))
            return false;
    return true;
}

void aegis_i_pool_list_fresh(aegis_pool *pool, size_t count) {
    count = aegis_i_min(count, pool->fresh_end - pool->fresh_next);
    memmove(pool->free_indices + count, pool->free_indices, pool->free_count * sizeof(uint32_t));
    for (size_t i = 0; i < count; i++)
        pool->free_indices[count - 1 - i] = (uint32_t)(pool->fresh_next + i);
    pool->free_count += count;
    pool->touched_count += count;
    pool->fresh_next += count;
    if (pool->fresh_next <= pool->slabs.grid.count && !AEGIS_I_CHECKED)
        pool->grid.count = pool->fresh_next;
}

/* Adds a slab although blocks are free. The source may use the pool meanwhile. False: it cannot,
 * and `failed` says why. */
static bool grow_ahead(aegis_pool *pool) {
    aegis_i_pool_list_fresh(pool, SIZE_MAX);
    if (aegis_i_pool_revive(pool))
        return true;
    uint32_t slab = aegis_i_pool_next_slab(pool);
    aegis_error error;
    uintptr_t entry = aegis_i_slabs_acquire(&pool->slabs, slab, NULL, &error);
    if (entry == 0) {
        pool->failed = error;
        return false;
    }
    if (aegis_i_pool_can_grow(pool)) {
        aegis_i_pool_list_fresh(pool, SIZE_MAX);
        if (place_slab(pool, slab, entry))
            return true;
    }
    aegis_i_slabs_release(&pool->slabs, slab, entry);
    return true;
}

bool aegis_i_pool_make_available(aegis_pool *pool, size_t count) {
    const aegis_pool_slabs *slabs = &pool->slabs;
    while (pool->capacity - in_use(pool) < count) {
        if (count > slabs->index_limit - in_use(pool)) {
            aegis_i_slabs_exhausted(slabs, &pool->failed, slabs->index_limit, in_use(pool));
            pool->failed.requested_bytes = aegis_i_blocks_bytes(slabs, count);
            pool->failed.needed_bytes = pool->failed.requested_bytes;
            pool->failed.asked = count;
            return false;
        }
        if (!grow_ahead(pool))
            return false;
    }
    return true;
}

void *aegis_i_pool_take_held(aegis_pool *pool, bool *clean) {
    *clean = false;
    if (aegis_i_pool_free_count(pool) != 0)
        return *--*aegis_i_pool_top(pool);
    if (pool->fresh_next == pool->fresh_end)
        return NULL;
    uint32_t index = (uint32_t)pool->fresh_next++;
    pool->touched_count++;
    pool->peak_in_use = aegis_i_max(pool->peak_in_use, pool->touched_count);
    uint32_t slab = aegis_i_slab_of(&pool->slabs, index);
    *clean = aegis_i_slab_is_zeroed(pool->slabs.directory[slab]);
    if (slab == 0 && !AEGIS_I_CHECKED)
        pool->grid.count = pool->fresh_next;
    return aegis_i_slabs_address(&pool->slabs, index);
}

void *aegis_pool_alloc_slow(aegis_pool *pool, bool zeroed) {
    assert(aegis_i_pool_is_valid(pool));
    bool clean = false;
    if (!aegis_i_pool_make_free(pool))
        return NULL;
    void *block = aegis_i_pool_take_held(pool, &clean);
    aegis_i_slabs_show(&pool->slabs, block, zeroed, clean);
    return block;
}

/* The index of the block that stands at this height of the stack. */
static uint32_t index_at(const aegis_pool *pool, size_t height) {
    return pool->free_indices != NULL ? pool->free_indices[height]
                                      : aegis_i_slabs_find(&pool->slabs, pool->free_blocks[height]);
}

void aegis_i_pool_place(const aegis_pool *pool) {
    size_t free_count = aegis_i_pool_free_count(pool), i = 0;
    if (pool->free_indices == NULL)
        i = aegis_i_min((size_t)(pool->placed - pool->free_blocks), free_count);
    for (; i < free_count; i++)
        pool->positions[index_at(pool, i)] = (uint32_t)i;
}

/* Whether a block is out. Its slab is held, and the blocks of the stack are placed. */
static bool is_out(const aegis_pool *pool, uint32_t index) {
    uint32_t position = pool->positions[index];
    bool is_free = position < aegis_i_pool_free_count(pool) && index_at(pool, position) == index;
    bool is_fresh = index >= pool->fresh_next && index < pool->fresh_end;
    return !is_free && !is_fresh;
}

/* Puts a block on the stack. False: it is not a block that is out. */
static bool put(aegis_pool *pool, void *block) {
    uint32_t index = aegis_i_slabs_find(&pool->slabs, block);
    if (index == AEGIS_I_NO_INDEX)
        return false;
    aegis_i_pool_place(pool);
    pool->placed = pool->free_blocks + pool->slabs.index_limit;
    if (!is_out(pool, index))
        return false;
    void ***top = aegis_i_pool_top(pool);
    pool->positions[index] = (uint32_t)(*top - pool->free_blocks);
    *(*top)++ = block;
    return true;
}

aegis_status aegis_pool_free_slow(aegis_pool *pool, void *block) {
    assert(aegis_i_pool_is_valid(pool));
    if (!put(pool, block))
        return AEGIS_E_INVALID;
    AEGIS_I_HIDE(block, pool->slabs.block_bytes);
    return AEGIS_OK;
}

size_t aegis_pool_alloc_n(aegis_pool *pool, void **blocks, size_t count) {
    assert(aegis_i_pool_is_valid(pool));
    for (size_t i = 0; i < count; i++) {
        blocks[i] = aegis_pool_alloc(pool);
        if (blocks[i] == NULL)
            return i;
    }
    return count;
}

aegis_status aegis_pool_free_n(aegis_pool *pool, void *const *blocks, size_t count) {
    assert(aegis_i_pool_is_valid(pool));
    void ***top = aegis_i_pool_top(pool), **old_top = *top;
    for (size_t i = 0; i < count; i++) {
        if (!put(pool, blocks[i])) {
            /* An index above the height of the stack counts as out again. */
            *top = old_top;
            return AEGIS_E_INVALID;
        }
    }
    for (size_t i = 0; AEGIS_I_CHECKED && i < count; i++)
        AEGIS_I_HIDE(blocks[i], pool->slabs.block_bytes);
    return AEGIS_OK;
}

aegis_status aegis_pool_index_of(const aegis_pool *pool, const void *block, size_t *index) {
    uint32_t found = aegis_i_slabs_find(&pool->slabs, block);
    if (found == AEGIS_I_NO_INDEX)
        return AEGIS_E_INVALID;
    *index = found;
    return AEGIS_OK;
}

void *aegis_pool_address_of(const aegis_pool *pool, size_t index) {
    return aegis_i_slabs_address(&pool->slabs, index);
}

bool aegis_pool_owns(const aegis_pool *pool, const void *block) {
    return aegis_i_slabs_find(&pool->slabs, block) != AEGIS_I_NO_INDEX;
}

aegis_status aegis_pool_get_slab_sized(const aegis_pool *pool, size_t slab,
                                       aegis_pool_slab_info *info, size_t info_bytes) {
    return aegis_i_slabs_get(&pool->slabs, slab, info, info_bytes);
}

size_t aegis_i_pool_count_out(const aegis_pool *pool, uint32_t slab) {
    uint32_t index = aegis_i_slab_start(&pool->slabs, slab);
    uint32_t end = index + aegis_i_slab_blocks(&pool->slabs, slab);
    size_t out_count = 0;
    for (; index < end; index++)
        out_count += is_out(pool, index);
    return out_count;
}

/* Whether no block of the slab is out. */
static bool is_empty(const aegis_pool *pool, uint32_t slab) {
    uint32_t index = aegis_i_slab_start(&pool->slabs, slab);
    uint32_t end = index + aegis_i_slab_blocks(&pool->slabs, slab);
    while (index < end && !is_out(pool, index))
        index++;
    return index == end;
}

/* Condemns a slab of which no block is out, and takes it out of the counts. If the range of the
 * blocks that were never handed out lies in this slab, the range becomes empty. */
static void condemn_slab(aegis_pool *pool, uint32_t slab) {
    uint32_t start = aegis_i_slab_start(&pool->slabs, slab);
    uint32_t block_count = aegis_i_slab_blocks(&pool->slabs, slab);
    size_t fresh_count = 0;
    if (pool->fresh_end == (size_t)start + block_count) {
        fresh_count = pool->fresh_end - pool->fresh_next;
        pool->fresh_next = pool->fresh_end;
    }
    pool->touched_count -= block_count - fresh_count;
    pool->capacity -= block_count;
    pool->slab_count--;
    aegis_i_slabs_condemn(&pool->slabs, slab);
}

/* Takes the blocks of condemned slabs off the stack. A look-up does not find those. */
static void drop_condemned_blocks(aegis_pool *pool) {
    const aegis_pool_slabs *slabs = &pool->slabs;
    size_t free_count = aegis_i_pool_free_count(pool), kept_count = 0;
    for (size_t i = 0; i < free_count; i++) {
        uint32_t index = index_at(pool, i);
        if (index == AEGIS_I_NO_INDEX ||
            aegis_i_slab_is_condemned(slabs, aegis_i_slab_of(slabs, index)))
            continue;
        pool->positions[index] = (uint32_t)kept_count;
        if (pool->free_indices != NULL)
            pool->free_indices[kept_count++] = index;
        else
            pool->free_blocks[kept_count++] = pool->free_blocks[i];
    }
    if (pool->free_indices != NULL)
        pool->free_count = kept_count;
    else
        *aegis_i_pool_top(pool) = pool->free_blocks + kept_count;
}

bool aegis_i_pool_condemn(aegis_pool *pool, size_t keep_block_count) {
    aegis_pool_slabs *slabs = &pool->slabs;
    bool condemned = false;
    aegis_i_pool_place(pool);
    for (uint32_t slab = slabs->slab_limit; slab-- > 1;) {
        uint32_t block_count = aegis_i_slab_blocks(slabs, slab);
        if (!aegis_i_slab_is_held(slabs, slab) || pool->capacity - block_count < keep_block_count ||
            !is_empty(pool, slab))
            continue;
        condemn_slab(pool, slab);
        condemned = true;
    }
    if (condemned)
        drop_condemned_blocks(pool);
    assert(aegis_i_pool_is_valid(pool));
    return condemned;
}

void aegis_pool_trim(aegis_pool *pool, size_t keep_block_count) {
    assert(aegis_i_pool_is_valid(pool));
    aegis_pool_slabs *slabs = &pool->slabs;
    if (!aegis_i_pool_condemn(pool, keep_block_count))
        return;
    for (uint32_t slab = slabs->slab_limit; slab-- > 1;) {
        uintptr_t entry = aegis_i_slabs_take_condemned(slabs, slab);
        if (entry != 0)
            aegis_i_slabs_release(slabs, slab, entry);
    }
    assert(aegis_i_pool_is_valid(pool));
}

void aegis_pool_get_stats_sized(const aegis_pool *pool, aegis_pool_stats *stats,
                                size_t stats_bytes) {
    aegis_pool_stats filled;
    aegis_i_slabs_get_stats(&pool->slabs, &filled);
    filled.capacity = pool->capacity;
    filled.in_use = in_use(pool);
    filled.available = pool->capacity - filled.in_use;
    filled.peak_in_use = pool->peak_in_use;
    filled.slab_count = pool->slab_count;
    aegis_i_copy_sized(stats, stats_bytes, &filled, sizeof filled);
}

void aegis_pool_last_error(const aegis_pool *pool, aegis_error *error) {
    *error = pool->failed;
}
