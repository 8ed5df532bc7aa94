/* SPDX-License-Identifier: Apache-2.0 */
/* Tests the heap in an arena by random calls beside a simple model: every call that allocates,
 * resizes, frees or releases, on heaps of every kind. The model knows for each allocation which
 * byte it is full of, so it sees when two of them overlap or when bytes are lost. */
#include "arena_heap_support.h"
#include "budget_support.h"

#define MODEL_SLOTS 200
#define MODEL_RUNS 32

typedef struct model_slot {
    unsigned char *memory;
    size_t size_bytes;
    size_t align_bytes;
    unsigned char value;
} model_slot;

/* One heap, what is below it, and what it must agree with. */
typedef struct model {
    aegis_arena_heap heap;
    test_source state;
    aegis_budget *budget;
    aegis_arena arena;
    bool in_arena;
    bool has_source;
    /* A request may be refused. */
    bool may_fail;
    uint64_t seed;
    size_t out_count;
    model_slot slots[MODEL_SLOTS];
} model;

static unsigned char callers_memory[150001];

/* The kind of a heap follows from the run, so that each is met; its settings are random. */
static void begin(model *m, uint64_t run) {
    static const size_t max_blocks[] = {0, 0, 64, 5000, 40000, 3000000};
    static const uint32_t flags[] = {0,
                                     0,
                                     AEGIS_ARENA_GUARD,
                                     AEGIS_ARENA_FILL,
                                     AEGIS_ARENA_WIPE,
                                     AEGIS_ARENA_WIPE | AEGIS_ARENA_GUARD,
                                     AEGIS_ARENA_OWN_BLOCKS,
                                     AEGIS_ARENA_OWN_BLOCKS | AEGIS_ARENA_GUARD};
    memset(m, 0, sizeof *m);
    m->seed = run * 7919;
    size_t kind = (size_t)run % 8;
    aegis_source source = test_source_get(&m->state, random_below(&m->seed, 2) == 0);
    aegis_arena_options options = heap_options(&source);
    options.flags = flags[random_below(&m->seed, 8)];
    if (random_below(&m->seed, 2) == 0)
        options.flags |= AEGIS_ARENA_NO_DEBUG;
    options.max_block_bytes = max_blocks[random_below(&m->seed, 6)];
    if (kind == 1 || kind == 2) {
        size_t skip_bytes = random_below(&m->seed, 17);
        options.memory = callers_memory + skip_bytes;
        options.memory_bytes = sizeof callers_memory - skip_bytes;
        options.source = kind == 1 ? NULL : &source;
        memset(callers_memory, 0x33, sizeof callers_memory);
    } else if (kind == 3) {
        m->budget = aegis_budget_new("heap", 400000, NULL);
        options.budget = m->budget;
    } else if (kind == 4) {
        options.source = NULL; /* the C heap */
        m->budget = aegis_budget_new("heap", 3000000, NULL);
        options.budget = m->budget;
    } else if (kind == 5) {
        options.capacity_bytes = random_below(&m->seed, 100000);
    }
    m->has_source = options.source != NULL;
    m->may_fail = m->budget != NULL || kind == 1;
    m->in_arena = kind == 6;
    if (m->in_arena) {
        CHECK(aegis_arena_init(&m->arena, &options) == AEGIS_OK);
        aegis_arena_heap_init_in(&m->heap, &m->arena);
    } else {
        CHECK(aegis_arena_heap_init(&m->heap, &options) == AEGIS_OK);
    }
}

static void end(model *m) {
    aegis_arena_heap_fini(&m->heap);
    if (m->in_arena)
        aegis_arena_fini(&m->arena);
    if (m->has_source) {
        test_source_check_done(&m->state);
        CHECK_SIZE(m->state.close_count, 1);
    }
    if (m->budget != NULL) {
        CHECK_SIZE(used(m->budget), 0);
        aegis_budget_destroy(m->budget);
    }
}

/* What must hold between two calls. */
static void check_sums(const model *m) {
    aegis_arena_heap_stats stats = heap_stats(&m->heap);
    CHECK(stats.used_bytes - stats.large_bytes + stats.quick_bytes <= stats.capacity_bytes);
    CHECK((stats.used_bytes == 0) == (m->out_count == 0));
    CHECK(stats.peak_reserved_bytes >= stats.reserved_bytes);
    if (m->has_source && !m->in_arena) {
        CHECK_SIZE(stats.reserved_bytes, m->state.live_bytes);
        CHECK_SIZE((size_t)(stats.acquired_count - stats.released_count), m->state.live_count);
    }
    if (m->budget != NULL)
        CHECK_SIZE(stats.reserved_bytes, used(m->budget));
}

static void check_slot(const model *m, const model_slot *slot) {
    CHECK(is_aligned(slot->memory, slot->align_bytes) && is_aligned(slot->memory, 16));
    CHECK(aegis_arena_heap_usable_size(&m->heap, slot->memory) >= slot->size_bytes);
    CHECK(is_filled(slot->memory, slot->value, slot->size_bytes));
}

static void fill_slot(model *m, model_slot *slot, size_t size_bytes) {
    slot->size_bytes = size_bytes;
    slot->value = (unsigned char)random_next(&m->seed);
    memset(slot->memory, slot->value, size_bytes);
}

static size_t model_size(uint64_t *seed) {
    static const size_t bounds[] = {16, 64, 300, 2000, 20000, 300000};
    return random_below(
        seed, bounds[random_below(seed, 100) < 90 ? random_below(seed, 4) : random_below(seed, 6)]);
}

static size_t model_align(uint64_t *seed) {
    size_t which = random_below(seed, 100);
    return which < 85 ? 16 : (size_t)1 << random_below(seed, which < 97 ? 13 : 20);
}

static void allocate(model *m, model_slot *slot) {
    size_t size = model_size(&m->seed), which = random_below(&m->seed, 4);
    slot->align_bytes = which < 2 ? 16 : model_align(&m->seed);
    void *p = which == 0 ? aegis_arena_heap_alloc(&m->heap, size)
              : which == 1
                  ? aegis_arena_heap_alloc_zeroed(&m->heap, size)
                  : aegis_arena_heap_alloc_aligned(&m->heap, size, slot->align_bytes, which == 3);
    slot->memory = (unsigned char *)p;
    if (p == NULL) {
        aegis_error error;
        aegis_arena_heap_last_error(&m->heap, &error);
        CHECK(m->may_fail && error.status != AEGIS_OK && error.requested_bytes == size);
        return;
    }
    CHECK(which % 2 == 0 || is_filled(slot->memory, 0, size));
    m->out_count++;
    fill_slot(m, slot, size);
    check_slot(m, slot);
}

static void resize(model *m, model_slot *slot) {
    size_t size = random_below(&m->seed, 3) == 0 ? slot->size_bytes / 3 : model_size(&m->seed);
    size_t which = random_below(&m->seed, 3);
    void *p = slot->memory;
    if (which == 0) {
        if (!aegis_arena_heap_resize_in_place(&m->heap, p, size))
            p = NULL;
    } else if (which == 1 && slot->align_bytes <= 16) {
        p = aegis_arena_heap_realloc(&m->heap, p, size);
    } else {
        p = aegis_arena_heap_realloc_aligned(&m->heap, p, slot->size_bytes, size,
                                             slot->align_bytes);
    }
    CHECK(p != NULL || which == 0 || (m->may_fail && size > slot->size_bytes));
    if (p != NULL) {
        slot->memory = (unsigned char *)p;
        slot->size_bytes = size < slot->size_bytes ? size : slot->size_bytes;
    }
    check_slot(m, slot);
    if (p != NULL)
        fill_slot(m, slot, size);
}

static void release(model *m, model_slot *slot) {
    if (random_below(&m->seed, 2) == 0)
        aegis_arena_heap_free(&m->heap, slot->memory);
    else
        aegis_arena_heap_free_sized(&m->heap, slot->memory, slot->size_bytes);
    slot->memory = NULL;
    m->out_count--;
}

static void step(model *m) {
    model_slot *slot = &m->slots[random_below(&m->seed, MODEL_SLOTS)];
    size_t rare = random_below(&m->seed, 3000);
    if (slot->memory == NULL) {
        allocate(m, slot);
    } else {
        check_slot(m, slot);
        if (random_below(&m->seed, 5) < 2)
            resize(m, slot);
        else
            release(m, slot);
    }
    if (rare == 0)
        aegis_arena_heap_trim(&m->heap, random_below(&m->seed, 500000));
    if (rare == 1 || rare == 2) {
        if (rare == 1)
            aegis_arena_heap_reset(&m->heap);
        else
            aegis_arena_heap_clear(&m->heap);
        memset(m->slots, 0, sizeof m->slots);
        m->out_count = 0;
    }
    if (rare < 50)
        check_sums(m);
}

static void random_calls_agree_with_a_model(void) {
    static model m;
    for (uint64_t run = 1; run <= MODEL_RUNS; run++) {
        begin(&m, run);
        for (size_t i = scaled(8000); i != 0; i--)
            step(&m);
        for (size_t i = 0; i < MODEL_SLOTS; i++) {
            if (m.slots[i].memory == NULL)
                continue;
            check_slot(&m, &m.slots[i]);
            release(&m, &m.slots[i]);
        }
        check_sums(&m);
        aegis_arena_heap_trim(&m.heap, 0);
        CHECK_SIZE(heap_stats(&m.heap).reserved_bytes, 0);
        end(&m);
    }
}

int main(void) {
    RUN(random_calls_agree_with_a_model);
    return check_finish();
}
