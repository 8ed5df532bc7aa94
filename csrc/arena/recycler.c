/* SPDX-License-Identifier: Apache-2.0 */
/* A stack of arenas under a mutex. An arena may be moved, so arenas are copied into the stack and
 * out of it.
 *
 * Invariants:
 * 1. The first `stats.idle_count` arenas of the stack are idle and belong to the recycler. The
 *    stack and the statistics change only under the lock (aegis_arena_recycler_get, _put,
 *    _trim and _trim_idle).
 * 2. Arenas are made, reset, trimmed and finished while the lock is free, by the thread that has
 *    the arena. So the source and the other functions of the user may use the recycler.
 * 3. `stats.out_count` counts the arenas that are out. aegis_arena_recycler_get counts an arena
 *    before it makes it, and takes that back if it fails. aegis_arena_recycler_fini refuses while
 *    the count is not 0, and _get refuses an arena that the count has no room for.
 * 4. The arenas of the stack are charged to the budget of the recycler, `options.budget`: an arena
 *    that comes back is moved to it before it is stocked, or is finished
 * (aegis_arena_recycler_put), and a move of the recycler moves the whole stack at once (look,
 * leave). The budget changes only under the lock. A thread that makes an arena keeps a reference
 * meanwhile.
 * 5. The lowest `unused_count` arenas of the stack were not handed out since the latest call of
 *    aegis_arena_recycler_trim_idle. The lowest `doomed_count` of these are about to be finished.
 * An arena leaves the stack on top, which lowers both counts if need be (take_top), or at the
 * bottom (aegis_arena_recycler_trim_idle). So nothing is written when an arena is put back.
 * 6. Each arena has a copy of the source without `close` (aegis_arena_recycler_init). The recycler
 *    closes the source once (aegis_arena_recycler_fini).
 *
 * So no two threads have one arena: the section under the lock that copies an arena out of the
 * stack also lowers idle_count, and only the thread that has the arena puts it back. */
#include "aegis_memory/arena_recycler.h"
#include "../base/error_record.h"
#include "../base/mutex.h"
#include "../base/sized.h"
#include "../base/text.h"
#include "../budget/move.h"

#include <stdlib.h>

/* How many arenas aegis_arena_recycler_trim_idle holds on the machine stack. */
#define BATCH ((size_t)8)

struct aegis_arena_recycler_shared {
    aegis_i_mutex lock;
    /* Changed and read only under the lock. */
    aegis_arena_recycler_stats stats;
    size_t unused_count;
    size_t doomed_count;
    /* The budget in them changes only under the lock. The other fields, and those that follow, do
     * not change after the init. */
    aegis_arena_options options;
    aegis_source source;
    void (*close)(void *context);
    size_t max_idle_count;
    size_t keep_bytes;
    char name[AEGIS_ARENA_NAME_BYTES];
    /* The budget of the init, and those of later moves, for the records of errors. */
    aegis_budget *first_budget;
    _Atomic(aegis_i_former *) former;
    /* Behind the struct lie max_idle_count arenas. The first stats.idle_count of them are in
     * stock. */
};

static aegis_arena *stock(aegis_arena_recycler_shared *shared) {
    return (aegis_arena *)(void *)(shared + 1);
}

_Static_assert(_Alignof(aegis_arena_recycler_shared) <= AEGIS_I_HEAP_ALIGN, "malloc aligns so");
_Static_assert(sizeof(aegis_arena_recycler_shared) % _Alignof(aegis_arena) == 0,
               "the stock behind the struct is aligned");

_Static_assert(offsetof(aegis_arena_recycler_options, max_idle_count) ==
                   sizeof(aegis_arena_options),
               "the options of the arenas may grow");

aegis_status aegis_arena_recycler_init_sized(aegis_arena_recycler *recycler,
                                             const aegis_arena_recycler_options *given,
                                             size_t options_bytes, size_t arena_bytes) {
    aegis_arena_recycler_options copy;
    recycler->shared = NULL;
    if (given == NULL)
        return AEGIS_E_INVALID;
    size_t unknown = aegis_i_unknown_nested_option(given, options_bytes, arena_bytes, sizeof copy,
                                                   sizeof copy.arena);
    const aegis_arena_recycler_options *options =
        (const aegis_arena_recycler_options *)aegis_i_known_parts(
            given, options_bytes, arena_bytes, &copy, sizeof copy, sizeof copy.arena);
    aegis_error unwanted;
    aegis_error *error = options->error != NULL ? options->error : &unwanted;
    if (unknown != 0)
        return aegis_i_error_refuse(error, AEGIS_E_INVALID, AEGIS_WHAT_UNKNOWN_OPTION, unknown,
                                    sizeof copy);
    if (options->arena.memory != NULL)
        return aegis_i_error_refuse(error, AEGIS_E_INVALID, AEGIS_WHAT_MEMORY,
                                    options->arena.memory_bytes, 0);
    const size_t most_count =
        (PTRDIFF_MAX - sizeof(aegis_arena_recycler_shared)) / sizeof(aegis_arena);
    if (options->max_idle_count > most_count)
        return aegis_i_error_refuse(error, AEGIS_E_INVALID_LAYOUT, AEGIS_WHAT_IDLE_ARENAS,
                                    options->max_idle_count, most_count);
    size_t memory_bytes =
        sizeof(aegis_arena_recycler_shared) + options->max_idle_count * sizeof(aegis_arena);
    aegis_arena_recycler_shared *shared = (aegis_arena_recycler_shared *)malloc(memory_bytes);
    if (shared == NULL)
        return aegis_i_error_bytes(error, AEGIS_E_OUT_OF_MEMORY, memory_bytes,
                                   _Alignof(aegis_arena_recycler_shared));
    memset(shared, 0, sizeof *shared);
    aegis_i_mutex_init(&shared->lock);
    shared->options = options->arena;
    shared->source = options->arena.source != NULL ? *options->arena.source : aegis_source_heap();
    shared->close = shared->source.close;
    shared->source.close = NULL;
    shared->options.source = &shared->source;
    if (options->arena.name != NULL)
        aegis_i_copy_name(shared->name, options->arena.name, AEGIS_ARENA_NAME_BYTES);
    shared->options.name = shared->name;
    shared->max_idle_count = options->max_idle_count;
    shared->keep_bytes = options->keep_bytes;
    shared->first_budget = shared->options.budget;
    atomic_init(&shared->former, NULL);
    if (shared->options.budget != NULL) {
        (void)aegis_budget_retain(shared->options.budget);
        (void)aegis_budget_retain(shared->first_budget);
    }
    recycler->shared = shared;
    return AEGIS_OK;
}

aegis_status aegis_arena_recycler_fini(aegis_arena_recycler *recycler) {
    if (recycler == NULL || recycler->shared == NULL)
        return AEGIS_OK;
    aegis_arena_recycler_shared *shared = recycler->shared;
    if (!aegis_i_mutex_lock(&shared->lock))
        return AEGIS_E_FORKED;
    bool busy = shared->stats.out_count != 0;
    aegis_i_mutex_unlock(&shared->lock);
    if (busy)
        return AEGIS_E_BUSY;
    aegis_arena_recycler_trim(recycler, 0);
    aegis_budget_destroy(shared->options.budget);
    aegis_budget_destroy(shared->first_budget);
    aegis_i_forget_former(&shared->former);
    if (shared->close != NULL)
        shared->close(shared->source.context);
    aegis_i_mutex_fini(&shared->lock);
    free(shared);
    recycler->shared = NULL;
    return AEGIS_OK;
}

/* Takes the top arena out of the stack, which is not empty. The caller has locked it. */
static aegis_arena take_top(aegis_arena_recycler_shared *shared) {
    size_t left_count = --shared->stats.idle_count;
    shared->unused_count = aegis_i_min(shared->unused_count, left_count);
    shared->doomed_count = aegis_i_min(shared->doomed_count, left_count);
    return stock(shared)[left_count];
}

/* Reports that no more arenas can be counted, or that the stock is lost in this process. */
static aegis_status refuse(aegis_arena *arena, aegis_status status, aegis_error *error) {
    memset(arena, 0, sizeof *arena);
    arena->failed_status = status;
    if (error != NULL)
        aegis_arena_last_error(arena, error);
    return status;
}

aegis_status aegis_arena_recycler_get(const aegis_arena_recycler *recycler, aegis_arena *arena,
                                      aegis_error *error) {
    aegis_arena_recycler_shared *shared = recycler->shared;
    if (!aegis_i_mutex_lock(&shared->lock))
        return refuse(arena, AEGIS_E_FORKED, error);
    /* One more arena would wrap the count to 0, so the recycler could be finished while arenas are
     * out. */
    if (shared->stats.out_count == SIZE_MAX) {
        aegis_i_mutex_unlock(&shared->lock);
        return refuse(arena, AEGIS_E_EXHAUSTED, error);
    }
    bool found = shared->stats.idle_count != 0;
    if (found) {
        *arena = take_top(shared);
        shared->stats.reused_count++;
    } else {
        shared->stats.made_count++;
    }
    shared->stats.out_count++;
    aegis_arena_options options = shared->options;
    if (!found && options.budget != NULL)
        (void)aegis_budget_retain(options.budget);
    aegis_i_mutex_unlock(&shared->lock);
    if (found)
        return AEGIS_OK;

    aegis_status status = aegis_arena_init(arena, &options);
    aegis_budget_destroy(options.budget);
    if (status == AEGIS_OK)
        return AEGIS_OK;
    if (error != NULL)
        aegis_arena_last_error(arena, error);
    if (aegis_i_mutex_lock(&shared->lock)) {
        shared->stats.made_count--;
        shared->stats.out_count--;
        aegis_i_mutex_unlock(&shared->lock);
    }
    return status;
}

/* Puts the arena into the stock, if there is room. Returns false if that cannot be decided yet: the
 * arena is charged to another budget than `*home`, which is then set, with a reference for the
 * caller. */
static bool try_stock(aegis_arena_recycler_shared *shared, const aegis_arena *arena, bool *stocked,
                      aegis_budget **home) {
    *stocked = false;
    *home = NULL;
    if (!aegis_i_mutex_lock(&shared->lock))
        return true;
    bool room = shared->stats.idle_count < shared->max_idle_count;
    bool at_home = arena->budget == shared->options.budget;
    *stocked = room && at_home;
    if (*stocked)
        stock(shared)[shared->stats.idle_count++] = *arena;
    if (room && !at_home && shared->options.budget != NULL)
        *home = aegis_budget_retain(shared->options.budget);
    if (!room || at_home)
        shared->stats.out_count--;
    aegis_i_mutex_unlock(&shared->lock);
    return !room || at_home;
}

/* Counts an arena that is not out any more and was not stocked. */
static void count_in(aegis_arena_recycler_shared *shared) {
    if (aegis_i_mutex_lock(&shared->lock)) {
        shared->stats.out_count--;
        aegis_i_mutex_unlock(&shared->lock);
    }
}

void aegis_arena_recycler_put(const aegis_arena_recycler *recycler, aegis_arena *arena) {
    aegis_arena_recycler_shared *shared = recycler->shared;
    if (arena->ptr == NULL)
        return;
    aegis_arena_reset(arena);
    aegis_arena_trim(arena, shared->keep_bytes);
    bool stocked;
    aegis_budget *home;
    /* The recycler may move meanwhile, so the arena may have to follow it. */
    while (!try_stock(shared, arena, &stocked, &home)) {
        aegis_status status = aegis_arena_move_budget(arena, home, NULL);
        aegis_budget_destroy(home);
        if (status != AEGIS_OK) {
            count_in(shared);
            break;
        }
    }
    if (stocked)
        memset(arena, 0, sizeof *arena);
    else
        aegis_arena_fini(arena);
}

/* The stock as an object that is moved. Takes the lock. */
static aegis_status look(void *object, aegis_budget ***place, size_t *held_bytes) {
    aegis_arena_recycler_shared *shared = (aegis_arena_recycler_shared *)object;
    if (!aegis_i_mutex_lock(&shared->lock))
        return AEGIS_E_FORKED;
    *place = &shared->options.budget;
    *held_bytes = 0;
    for (size_t i = 0; i < shared->stats.idle_count; i++)
        *held_bytes += stock(shared)[i].reserved_bytes;
    return AEGIS_OK;
}

/* Each arena in stock has a reference of its own. The caller has one to the old budget, so none of
 * those that are given up here is the last. */
static void leave(void *object, bool moved) {
    aegis_arena_recycler_shared *shared = (aegis_arena_recycler_shared *)object;
    for (size_t i = 0; moved && i < shared->stats.idle_count; i++) {
        aegis_arena *arena = &stock(shared)[i];
        aegis_budget_destroy(arena->budget);
        arena->budget = shared->options.budget;
        if (arena->budget != NULL)
            (void)aegis_budget_retain(arena->budget);
        arena->failed_budget = NULL;
    }
    aegis_i_mutex_unlock(&shared->lock);
}

aegis_status aegis_arena_recycler_move_budget(const aegis_arena_recycler *recycler,
                                              aegis_budget *budget, aegis_error *error) {
    const aegis_i_movable movable = {recycler->shared, look, leave, AEGIS_WHAT_BYTES};
    return aegis_i_move_shared(&movable, budget, &recycler->shared->former, error);
}

void aegis_arena_recycler_trim(const aegis_arena_recycler *recycler, size_t keep_count) {
    aegis_arena_recycler_shared *shared = recycler->shared;
    for (;;) {
        aegis_arena surplus;
        if (!aegis_i_mutex_lock(&shared->lock))
            return;
        bool some = shared->stats.idle_count > keep_count;
        if (some)
            surplus = take_top(shared);
        aegis_i_mutex_unlock(&shared->lock);
        if (!some)
            return;
        aegis_arena_fini(&surplus);
    }
}

/* Takes up to `most_count` of the arenas that are to be finished out of the stack. */
static size_t take_doomed(aegis_arena_recycler_shared *shared, aegis_arena *arenas,
                          size_t most_count) {
    if (!aegis_i_mutex_lock(&shared->lock))
        return 0;
    size_t count = aegis_i_min(shared->doomed_count, most_count);
    memcpy(arenas, stock(shared), count * sizeof *arenas);
    shared->stats.idle_count -= count;
    shared->unused_count -= count;
    shared->doomed_count -= count;
    memmove(stock(shared), stock(shared) + count, shared->stats.idle_count * sizeof *arenas);
    aegis_i_mutex_unlock(&shared->lock);
    return count;
}

void aegis_arena_recycler_trim_idle(const aegis_arena_recycler *recycler) {
    aegis_arena_recycler_shared *shared = recycler->shared;
    aegis_arena surplus[BATCH];
    size_t count;
    if (!aegis_i_mutex_lock(&shared->lock))
        return;
    shared->doomed_count = shared->unused_count;
    shared->unused_count = shared->stats.idle_count;
    aegis_i_mutex_unlock(&shared->lock);
    while ((count = take_doomed(shared, surplus, BATCH)) != 0)
        while (count-- > 0)
            aegis_arena_fini(&surplus[count]);
}

void aegis_arena_recycler_get_stats_sized(const aegis_arena_recycler *recycler,
                                          aegis_arena_recycler_stats *stats, size_t stats_bytes) {
    aegis_arena_recycler_shared *shared = recycler->shared;
    memset(stats, 0, stats_bytes);
    if (!aegis_i_mutex_lock(&shared->lock))
        return;
    aegis_i_copy_sized(stats, stats_bytes, &shared->stats, sizeof shared->stats);
    aegis_i_mutex_unlock(&shared->lock);
}
