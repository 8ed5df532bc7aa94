/* SPDX-License-Identifier: Apache-2.0 */
/* Caches with a reclaimer, for the tests of reclaimers. Each has a budget of its own. A log says
 * which was asked for how much. */
#ifndef RECLAIM_SUPPORT_H
#define RECLAIM_SUPPORT_H

#include "arbitration_support.h"

#include <stdatomic.h>

/* What a cache does when it is asked. */
#define FREES 0
#define FREES_ALL 1
#define FREES_NOTHING 2
/* Says that it has freed all, and frees nothing. */
#define LIES 3
#define REMOVES_ITSELF 4
#define REGISTERS 5
/* Frees all and gives up the last reference to its budget. */
#define DESTROYS_BUDGET 6
/* Charges `charged`, with a wait, and frees nothing. */
#define CHARGES 7
/* Charges the whole room of `other`, and then frees what is wanted. */
#define MAKES_ROOM_LATE 8
#define CHARGED_INSIDE 50
/* Frees nothing now, and what is wanted when it is asked again. */
#define FREES_NEXT_TIME 9

typedef struct cache {
    aegis_budget *budget;
    aegis_budget_reclaimer *handle;
    int does;
    atomic_size_t held_bytes;
    /* The error of the charge that was made inside. */
    aegis_budget *charged;
    uint64_t timeout_ns;
    aegis_budget *other;
    aegis_error inner;
    bool inside;
    bool destroyed_inside;
    size_t destroy_count;
    size_t registered_count;
} cache;

static struct {
    const cache *from;
    size_t wanted_bytes;
} log_of[64];
static size_t log_count;

static inline void cache_destroyed(void *context) {
    cache *self = (cache *)context;
    self->destroy_count++;
    self->destroyed_inside = self->inside;
}

static inline size_t cache_free(cache *self, size_t size_bytes) {
    size_t held_bytes = atomic_load(&self->held_bytes);
    size_t freed_bytes = size_bytes < held_bytes ? size_bytes : held_bytes;
    atomic_store(&self->held_bytes, held_bytes - freed_bytes);
    CHECK(aegis_budget_uncharge(self->budget, freed_bytes) == AEGIS_OK);
    return freed_bytes;
}

static inline size_t cache_reclaim(void *context, size_t wanted_bytes) {
    cache *self = (cache *)context;
    size_t freed_bytes = 0;
    self->inside = true;
    if (log_count < 64) {
        log_of[log_count].from = self;
        log_of[log_count++].wanted_bytes = wanted_bytes;
    }
    switch (self->does) {
    case LIES:
        freed_bytes = atomic_load(&self->held_bytes);
        break;
    case FREES_NOTHING:
        break;
    case FREES_NEXT_TIME:
        self->does = FREES;
        break;
    case REMOVES_ITSELF:
        freed_bytes = cache_free(self, wanted_bytes);
        aegis_budget_reclaimer_remove(self->handle);
        self->handle = NULL;
        break;
    case REGISTERS:
        self->registered_count++;
        CHECK(aegis_budget_on_reclaim(self->budget, 0, 0, cache_reclaim, cache_destroyed, self,
                                      NULL) == AEGIS_OK);
        break;
    case DESTROYS_BUDGET:
        freed_bytes = cache_free(self, SIZE_MAX);
        aegis_budget_destroy(self->budget);
        self->budget = NULL;
        break;
    case CHARGES:
        memset(&self->inner, 0, sizeof self->inner);
        (void)aegis_budget_charge_timeout(self->charged != NULL ? self->charged : self->budget,
                                          CHARGED_INSIDE, self->timeout_ns, &self->inner);
        break;
    case MAKES_ROOM_LATE:
        freed_bytes = cache_free(self, wanted_bytes);
        CHECK(aegis_budget_charge(self->other,
                                  figures_of(self->other).limit_bytes - used(self->other),
                                  NULL) == AEGIS_OK);
        break;
    default:
        freed_bytes = cache_free(self, self->does == FREES_ALL ? SIZE_MAX : wanted_bytes);
    }
    self->inside = false;
    return freed_bytes;
}

static inline void cache_make(cache *self, aegis_budget *parent, size_t limit_bytes,
                              size_t held_bytes, int32_t priority, uint32_t flags) {
    memset(self, 0, sizeof *self);
    self->timeout_ns = AEGIS_WAIT_FOREVER;
    self->budget = aegis_budget_new("cache", limit_bytes, parent);
    atomic_store(&self->held_bytes, held_bytes);
    CHECK(aegis_budget_charge(self->budget, held_bytes, NULL) == AEGIS_OK);
    CHECK(aegis_budget_on_reclaim(self->budget, priority, flags, cache_reclaim, cache_destroyed,
                                  self, &self->handle) == AEGIS_OK);
}

static inline void cache_end(cache *self) {
    CHECK(aegis_budget_uncharge(self->budget, atomic_load(&self->held_bytes)) == AEGIS_OK);
    aegis_budget_reclaimer_remove(self->handle);
    aegis_budget_destroy(self->budget);
    CHECK(self->destroy_count != 0);
}

#endif
