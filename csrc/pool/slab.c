/* SPDX-License-Identifier: Apache-2.0 */
/* The slabs under a pool of any form: how they are acquired, found and given back. slab_plan.c has
 * what follows from the options alone.
 *
 * Slabs after the first are found through a table of address windows (aegis_i_slabs_find). A window
 * is as large as a slab, rounded up to a power of two.
 * 1. A slab touches at most two windows, and is entered under each (add_windows).
 * 2. A window is touched by at most three slabs of full size and the last one, which may be
 *    smaller.
 * 3. The table is open-addressed and has four places for each slab that it may hold
 *    (aegis_i_slabs_lay_out), so at most half of it is in use.
 *
 * So a look-up is O(1) for any number of slabs, and an empty place ends it. Places of entries that
 * were removed do not end it. They are used again first, and each row of them ends with an entry
 * that is in use (remove_window).
 *
 * All memory comes and goes through acquire and give_back below. */
#include "slab.h"
#include "../base/harden.h"
#include "../base/sized.h"
#include "../source.h"

/* Only statistics read the counters of growth, so these orders are all relaxed. */
static void count_up(size_t *counter, size_t value) {
    (void)aegis_i_add((AEGIS_I_ATOMIC(size_t) *)counter, value, memory_order_relaxed);
}

static void count_down(size_t *counter, size_t value) {
    (void)aegis_i_sub((AEGIS_I_ATOMIC(size_t) *)counter, value, memory_order_relaxed);
}

static size_t read_count(const size_t *counter) {
    return aegis_i_load((const AEGIS_I_ATOMIC(size_t) *)counter, memory_order_relaxed);
}

void aegis_i_slabs_fail(const aegis_pool_slabs *slabs, size_t size_bytes, size_t align_bytes,
                        const aegis_i_refusal *why, aegis_error *error) {
    (void)aegis_i_error_bytes(error, AEGIS_E_OUT_OF_MEMORY, size_bytes, align_bytes);
    error->in_use_bytes = read_count(&slabs->reserved_bytes);
    if (why != NULL)
        aegis_i_explain_refusal(why, error);
}

/* A reference to the budget of the slabs. A function of the user's may move the pool to another
 * one meanwhile. */
static aegis_budget *keep_budget(const aegis_pool_slabs *slabs) {
    return aegis_i_budget_keep(slabs->budget);
}

/* The one place that acquires memory. NULL: `error` says why; if a budget refused, as for a request
 * for one block. If the pool was moved meanwhile, the memory is charged to the wrong budget: it
 * goes back, and is acquired anew. */
static void *acquire(aegis_pool_slabs *slabs, size_t size_bytes, size_t align_bytes,
                     aegis_i_patience *patience, bool *zeroed, aegis_error *error) {
    aegis_i_refusal why = {AEGIS_OK, AEGIS_REFUSED_LIMIT, NULL, 0, 0, 0};
    aegis_i_patience plain = aegis_i_slabs_patience(slabs);
    void *memory;
    bool moved;
    if (patience == NULL)
        patience = &plain;
    uint64_t wait_ns = patience->wait_ns;
    do {
        aegis_budget *budget = keep_budget(slabs);
        /* The new budget has refused nothing yet. */
        if (patience->wait_ns != AEGIS_I_OPTIONAL)
            wait_ns = patience->wait_ns;
        patience->wait_ns = wait_ns;
        memory = aegis_i_acquire_patiently(&slabs->source, budget, size_bytes, align_bytes,
                                           patience, zeroed, &why);
        moved = slabs->budget != budget;
        if (moved && memory != NULL)
            aegis_i_give_back(&slabs->source, budget, memory, size_bytes, align_bytes);
        aegis_i_budget_give_up(budget);
    } while (moved);
    if (memory == NULL) {
        aegis_i_slabs_fail(slabs, size_bytes, align_bytes, &why, error);
        aegis_i_error_whole(error, slabs->block_bytes, 0);
        if (error->refused != NULL)
            error->align_bytes = slabs->align_bytes;
        return NULL;
    }
    count_up(&slabs->reserved_bytes, size_bytes);
    count_up(&slabs->acquired_count, 1);
    return memory;
}

/* The one place that gives memory back. */
static void give_back(aegis_pool_slabs *slabs, void *memory, size_t size_bytes,
                      size_t align_bytes) {
    count_down(&slabs->reserved_bytes, size_bytes);
    count_up(&slabs->released_count, 1);
    aegis_budget *budget = keep_budget(slabs);
    aegis_i_give_back(&slabs->source, budget, memory, size_bytes, align_bytes);
    aegis_i_budget_give_up(budget);
}

void *aegis_i_slabs_acquire_beside(aegis_pool_slabs *slabs, size_t size_bytes, size_t align_bytes,
                                   aegis_error *error) {
    bool zeroed;
    void *memory = acquire(slabs, size_bytes, align_bytes, NULL, &zeroed, error);
    if (memory != NULL && !zeroed)
        memset(memory, 0, size_bytes);
    return memory;
}

void aegis_i_slabs_release_beside(aegis_pool_slabs *slabs, void *memory, size_t size_bytes,
                                  size_t align_bytes) {
    give_back(slabs, memory, size_bytes, align_bytes);
}

size_t aegis_i_slab_bytes(const aegis_pool_slabs *slabs, uint32_t slab) {
    /* The stride is never 0. */
    return aegis_i_slab_blocks(slabs, slab) * slabs->grid.stride_bytes;
}

/* Acquires the side memory. On failure `error` says why. */
static aegis_status acquire_meta(aegis_pool_slabs *slabs, size_t head_bytes, size_t side_bytes,
                                 aegis_error *error) {
    aegis_i_meta_layout at = aegis_i_slabs_lay_out(slabs, head_bytes, side_bytes);
    unsigned char *meta = (unsigned char *)aegis_i_slabs_acquire_beside(slabs, slabs->meta_bytes,
                                                                        AEGIS_I_META_ALIGN, error);
    if (meta == NULL)
        return error->status;
    slabs->meta = meta;
    slabs->side = meta + at.side_at;
    slabs->directory = (uintptr_t *)(void *)(meta + at.directory_at);
    slabs->windows = (uint32_t *)(void *)(meta + at.windows_at);
    return AEGIS_OK;
}

/* Acquires the side memory and the first slab, both of which are charged already. On failure
 * `error` says why. */
static aegis_status acquire_charged(aegis_pool_slabs *slabs, size_t head_bytes, size_t side_bytes,
                                    aegis_error *error) {
    if (acquire_meta(slabs, head_bytes, side_bytes, error) != AEGIS_OK)
        return error->status;
    uintptr_t entry = aegis_i_slabs_acquire(slabs, 0, NULL, error);
    if (entry == 0) {
        give_back(slabs, slabs->meta, slabs->meta_bytes, AEGIS_I_META_ALIGN);
        return error->status;
    }
    slabs->grid.base = aegis_i_slab_base(entry);
    slabs->directory[0] = entry;
    return AEGIS_OK;
}

/* The same, and charges both at once: a pool that waited for its first slab with the side memory in
 * hand could wait for bytes that it has itself. On failure `error` says why; if a budget refused,
 * as for a request for the first blocks, which needs both. */
static aegis_status acquire_first(aegis_pool_slabs *slabs, size_t head_bytes, size_t side_bytes,
                                  aegis_error *error) {
    aegis_i_refusal why;
    aegis_budget *budget = slabs->budget;
    aegis_i_patience patience = aegis_i_slabs_patience(slabs);
    /* Neither is larger than PTRDIFF_MAX. */
    size_t size_bytes = slabs->meta_bytes + aegis_i_slab_bytes(slabs, 0);
    if (aegis_i_budget_take(budget, size_bytes, &patience, &why) != AEGIS_OK) {
        size_t asked_bytes = aegis_i_blocks_bytes(slabs, slabs->step_count);
        aegis_i_slabs_fail(slabs, asked_bytes, slabs->align_bytes, &why, error);
        aegis_i_error_whole(error, asked_bytes, 0);
        return error->status;
    }
    slabs->budget = NULL;
    aegis_status status = acquire_charged(slabs, head_bytes, side_bytes, error);
    slabs->budget = budget;
    if (status != AEGIS_OK)
        aegis_i_budget_put_back(budget, size_bytes);
    return status;
}

aegis_status aegis_i_slabs_init(aegis_pool_slabs *slabs, const aegis_pool_options *options,
                                size_t reserve_count, size_t head_bytes, size_t side_bytes,
                                bool optional, aegis_error *error) {
    aegis_status status =
        aegis_i_slabs_plan(slabs, options, reserve_count, head_bytes, side_bytes, error);
    slabs->source = options->source != NULL ? *options->source : AEGIS_I_POOL_SOURCE();
    slabs->budget = options->budget;
    slabs->wait_ns = optional ? AEGIS_I_OPTIONAL : aegis_i_wait_ns(options->wait_ns);
    if (status == AEGIS_OK)
        status = acquire_first(slabs, head_bytes, side_bytes, error);
    slabs->wait_ns = aegis_i_wait_ns(options->wait_ns);
    if (status == AEGIS_OK) {
        (void)aegis_i_budget_keep(slabs->budget);
        return AEGIS_OK;
    }
    memset(slabs, 0, sizeof *slabs);
    if (error->what != AEGIS_WHAT_BYTES)
        return aegis_i_slabs_refuse(options, error, status, error->what, error->asked,
                                    error->allowed);
    if (options->error != NULL)
        *options->error = *error;
    return status;
}

void aegis_i_slabs_empty(aegis_pool_slabs *slabs, aegis_pool_slabs *rest) {
    *rest = *slabs;
    memset(slabs, 0, sizeof *slabs);
    for (uint32_t slab = rest->slab_limit; slab-- > 0;) {
        uintptr_t entry = rest->directory[slab];
        rest->directory[slab] = 0;
        if (entry != 0)
            aegis_i_slabs_release(rest, slab, entry);
    }
}

void aegis_i_slabs_close(aegis_pool_slabs *rest) {
    /* The source may have finished the pool while the pool was being finished. */
    if (rest->meta == NULL)
        return;
    give_back(rest, rest->meta, rest->meta_bytes, AEGIS_I_META_ALIGN);
    if (rest->source.close != NULL)
        rest->source.close(rest->source.context);
    aegis_i_budget_give_up(rest->budget);
}

void aegis_i_slabs_fini(aegis_pool_slabs *slabs) {
    aegis_pool_slabs rest;
    aegis_i_slabs_empty(slabs, &rest);
    aegis_i_slabs_close(&rest);
}

bool aegis_i_slabs_is_valid(const aegis_pool_slabs *slabs) {
    const aegis_pool_grid *grid = &slabs->grid;
    return grid->base != NULL && grid->count >= slabs->step_count && slabs->step_count != 0 &&
           grid->count <= slabs->index_limit && slabs->slab_limit != 0 &&
           aegis_i_is_power_of_two(slabs->align_bytes) &&
           grid->stride_bytes % slabs->align_bytes == 0 &&
           aegis_i_padding(grid->base, aegis_i_slab_align(slabs)) == 0 &&
           (grid->stride_bytes >> grid->rotate) * grid->inverse == 1 &&
           aegis_i_slab_base(slabs->directory[0]) == grid->base;
}

uintptr_t aegis_i_slabs_entry(const aegis_pool_slabs *slabs, uint32_t slab) {
    /* The acquire in aegis_i_slab_word pairs with the release in aegis_i_slabs_install: what the
     * source wrote into the slab is seen. */
    uintptr_t entry = aegis_i_slab_word(slabs, slab);
    return (entry & AEGIS_I_SLAB_CONDEMNED) == 0 ? entry : 0;
}

/* The place in the table where the search for a window begins. */
static uint32_t window_slot(const aegis_pool_slabs *slabs, uintptr_t window) {
    return (uint32_t)(((uint64_t)window * UINT64_C(0x9E3779B97F4A7C15)) >> 32) & slabs->window_mask;
}

uint32_t aegis_i_slabs_find(const aegis_pool_slabs *slabs, const void *block) {
    size_t slot_index = aegis_pool_grid_find(&slabs->grid, block);
    if (slot_index < slabs->grid.count)
        return (uint32_t)slot_index;
    /* There are no slabs while the pool is being finished. */
    if (slabs->slab_limit <= 1)
        return AEGIS_I_NO_INDEX;
    uint32_t at = window_slot(slabs, (uintptr_t)block >> slabs->window_shift);
    /* At most half of the table is in use, so the search ends at an empty place. The bound of the
     * loop holds in any case. */
    for (uint32_t i = 0; i <= slabs->window_mask; i++, at = (at + 1) & slabs->window_mask) {
        /* Acquire pairs with the release in add_window: the slab's directory entry is seen. */
        uint32_t slab = aegis_i_load((const AEGIS_I_ATOMIC(uint32_t) *)&slabs->windows[at],
                                     memory_order_acquire);
        if (slab == 0)
            return AEGIS_I_NO_INDEX;
        if (slab == AEGIS_I_WINDOW_REMOVED)
            continue;
        uintptr_t entry = aegis_i_slabs_entry(slabs, slab);
        aegis_pool_grid grid = slabs->grid;
        grid.base = aegis_i_slab_base(entry);
        slot_index = aegis_pool_grid_find(&grid, block);
        if (entry != 0 && slot_index < aegis_i_slab_blocks(slabs, slab))
            return aegis_i_slab_start(slabs, slab) + (uint32_t)slot_index;
    }
    return AEGIS_I_NO_INDEX;
}

unsigned char *aegis_i_slabs_address(const aegis_pool_slabs *slabs, size_t index) {
    if (index < slabs->grid.count)
        return slabs->grid.base + index * slabs->grid.stride_bytes;
    if (index >= slabs->index_limit)
        return NULL;
    uint32_t slab = aegis_i_slab_of(slabs, (uint32_t)index);
    uintptr_t entry = aegis_i_slabs_entry(slabs, slab);
    if (entry == 0)
        return NULL;
    return aegis_i_slab_base(entry) +
           (index - aegis_i_slab_start(slabs, slab)) * slabs->grid.stride_bytes;
}

uintptr_t aegis_i_slabs_acquire(aegis_pool_slabs *slabs, uint32_t slab, aegis_i_patience *patience,
                                aegis_error *error) {
    bool zeroed;
    size_t size_bytes = aegis_i_slab_bytes(slabs, slab);
    void *memory = acquire(slabs, size_bytes, aegis_i_slab_align(slabs), patience, &zeroed, error);
    if (memory == NULL)
        return 0;
    AEGIS_I_HIDE(memory, size_bytes);
    return (uintptr_t)memory | (uintptr_t)zeroed;
}

/* Enters a slab under a window, unless it is entered there already. */
static void add_window(aegis_pool_slabs *slabs, uint32_t slab, uintptr_t window) {
    uint32_t at = window_slot(slabs, window);
    for (uint32_t i = 0; i <= slabs->window_mask; i++, at = (at + 1) & slabs->window_mask) {
        AEGIS_I_ATOMIC(uint32_t) *place = (AEGIS_I_ATOMIC(uint32_t) *)&slabs->windows[at];
        uint32_t found = aegis_i_load(place, memory_order_relaxed);
        /* Release pairs with the acquire in aegis_i_slabs_find. */
        if (((found == 0 || found == AEGIS_I_WINDOW_REMOVED) &&
             aegis_i_cas(place, &found, slab, memory_order_release, memory_order_relaxed)) ||
            found == slab)
            return;
    }
    assert(false && "the table has two places for each window of each slab held");
}

/* Removes a slab from under a window. No thread adds entries meanwhile, but threads look up. */
static void remove_window(aegis_pool_slabs *slabs, uint32_t slab, uintptr_t window) {
    AEGIS_I_ATOMIC(uint32_t) *places = (AEGIS_I_ATOMIC(uint32_t) *)slabs->windows;
    uint32_t mask = slabs->window_mask;
    uint32_t at = window_slot(slabs, window);
    /* All relaxed: a look-up that finds the slab sees in the directory that it is condemned. */
    for (uint32_t i = 0; i <= mask; i++, at = (at + 1) & mask) {
        uint32_t found = aegis_i_load(&places[at], memory_order_relaxed);
        if (found == 0)
            return;
        if (found != slab)
            continue;
        aegis_i_store(&places[at], AEGIS_I_WINDOW_REMOVED, memory_order_relaxed);
        if (aegis_i_load(&places[(at + 1) & mask], memory_order_relaxed) != 0)
            continue;
        /* An empty place follows, so no search goes on from here. */
        for (; aegis_i_load(&places[at], memory_order_relaxed) == AEGIS_I_WINDOW_REMOVED;
             at = (at - 1) & mask)
            aegis_i_store(&places[at], 0, memory_order_relaxed);
        return;
    }
}

/* Enters a slab under each window that it touches. */
static void add_windows(aegis_pool_slabs *slabs, uint32_t slab, uintptr_t entry) {
    uintptr_t first = (uintptr_t)aegis_i_slab_base(entry);
    uintptr_t last = first + (aegis_i_slab_bytes(slabs, slab) - 1);
    add_window(slabs, slab, first >> slabs->window_shift);
    if (last >> slabs->window_shift != first >> slabs->window_shift)
        add_window(slabs, slab, last >> slabs->window_shift);
}

void aegis_i_slabs_enter_windows(aegis_pool_slabs *slabs, uint32_t slab) {
    add_windows(slabs, slab, aegis_i_slabs_entry(slabs, slab));
}

uintptr_t aegis_i_slabs_install(aegis_pool_slabs *slabs, uint32_t slab, uintptr_t entry) {
    uintptr_t found = 0;
    /* Release pairs with the acquire in aegis_i_slabs_entry. Acquire, on failure, pairs with the
     * release here of the thread that was faster. */
    if (!aegis_i_cas((AEGIS_I_ATOMIC(uintptr_t) *)&slabs->directory[slab], &found, entry,
                     memory_order_release, memory_order_acquire))
        entry = found;
    add_windows(slabs, slab, entry);
    return entry;
}

void aegis_i_slabs_release(aegis_pool_slabs *slabs, uint32_t slab, uintptr_t entry) {
    size_t size_bytes = aegis_i_slab_bytes(slabs, slab);
    AEGIS_I_SHOW_ZEROED(aegis_i_slab_base(entry), size_bytes);
    give_back(slabs, aegis_i_slab_base(entry), size_bytes, aegis_i_slab_align(slabs));
}

void aegis_i_slabs_condemn(aegis_pool_slabs *slabs, uint32_t slab) {
    uintptr_t entry = aegis_i_slab_word(slabs, slab);
    assert(slab != 0 && aegis_i_slab_is_held(slabs, slab));
    /* Release pairs with the acquire in aegis_i_slab_word: a thread that takes the slab back into
     * use sees what was done with it before. */
    aegis_i_store((AEGIS_I_ATOMIC(uintptr_t) *)&slabs->directory[slab],
                  entry | AEGIS_I_SLAB_CONDEMNED, memory_order_release);
    uintptr_t first = (uintptr_t)aegis_i_slab_base(entry);
    uintptr_t last = first + (aegis_i_slab_bytes(slabs, slab) - 1);
    remove_window(slabs, slab, first >> slabs->window_shift);
    if (last >> slabs->window_shift != first >> slabs->window_shift)
        remove_window(slabs, slab, last >> slabs->window_shift);
}

bool aegis_i_slabs_revive(aegis_pool_slabs *slabs, uint32_t slab) {
    uintptr_t found = aegis_i_slab_word(slabs, slab);
    uintptr_t entry = (uintptr_t)aegis_i_slab_base(found);
    /* Release pairs with the acquire in aegis_i_slab_word. */
    if ((found & AEGIS_I_SLAB_CONDEMNED) == 0 ||
        !aegis_i_cas((AEGIS_I_ATOMIC(uintptr_t) *)&slabs->directory[slab], &found, entry,
                     memory_order_release, memory_order_relaxed))
        return false;
    add_windows(slabs, slab, entry);
    return true;
}

uintptr_t aegis_i_slabs_take_condemned(aegis_pool_slabs *slabs, uint32_t slab) {
    /* The source may have finished the pool meanwhile: then there is no directory. */
    if (slab >= slabs->slab_limit)
        return 0;
    uintptr_t entry = aegis_i_slab_word(slabs, slab);
    /* Release pairs with the acquire in aegis_i_slab_word: the thread that puts another slab here
     * sees what was done with this one. */
    if ((entry & AEGIS_I_SLAB_CONDEMNED) == 0 ||
        !aegis_i_cas((AEGIS_I_ATOMIC(uintptr_t) *)&slabs->directory[slab], &entry, 0,
                     memory_order_release, memory_order_relaxed))
        return 0;
    return entry;
}

aegis_status aegis_i_slabs_get(const aegis_pool_slabs *slabs, size_t slab,
                               aegis_pool_slab_info *info, size_t info_bytes) {
    if (slab >= slabs->slab_limit)
        return AEGIS_E_INVALID;
    uintptr_t entry = aegis_i_slabs_entry(slabs, (uint32_t)slab);
    if (entry == 0)
        return AEGIS_E_EXHAUSTED;
    aegis_pool_slab_info filled;
    memset(&filled, 0, sizeof filled);
    filled.base = aegis_i_slab_base(entry);
    filled.size_bytes = aegis_i_slab_bytes(slabs, (uint32_t)slab);
    filled.first_index = aegis_i_slab_start(slabs, (uint32_t)slab);
    filled.block_count = aegis_i_slab_blocks(slabs, (uint32_t)slab);
    aegis_i_copy_sized(info, info_bytes, &filled, sizeof filled);
    return AEGIS_OK;
}

void aegis_i_slabs_show(const aegis_pool_slabs *slabs, void *block, bool zeroed, bool clean) {
    if (!zeroed) {
        AEGIS_I_SHOW(block, slabs->block_bytes);
        return;
    }
    AEGIS_I_SHOW_ZEROED(block, slabs->block_bytes);
    if (!clean)
        memset(block, 0, slabs->block_bytes);
}

void aegis_i_slabs_get_stats(const aegis_pool_slabs *slabs, aegis_pool_stats *stats) {
    memset(stats, 0, sizeof *stats);
    stats->block_bytes = slabs->block_bytes;
    stats->stride_bytes = slabs->grid.stride_bytes;
    stats->align_bytes = slabs->align_bytes;
    stats->max_capacity = slabs->index_limit - (slabs->grid.count - slabs->step_count);
    stats->reserved_bytes = read_count(&slabs->reserved_bytes);
    stats->acquired_count = read_count(&slabs->acquired_count);
    stats->released_count = read_count(&slabs->released_count);
}
