/* SPDX-License-Identifier: Apache-2.0 */
/* Tests callers that were compiled with an older or a newer header: their structs of options,
 * statistics and reports are shorter or longer than those of the library. tests/filled_structs.rs
 * demands that each `_sized` function of the library stands in this file, which makes it longer
 * than 500 lines. */
#include "base_support.h"

#define ROOM_BYTES 8192
#define GUARD 0xA5
/* How much longer than the library's the struct of a newer caller is. */
#define LONGER_BYTES ((size_t)40)

typedef union room {
    max_align_t aligned;
    unsigned char bytes[ROOM_BYTES];
} room;

/* The objects that are read. */
static aegis_budget *budget, *child;
static aegis_error refused;
static aegis_budget_peak peak;
static aegis_budget_refusal refusal;
static aegis_arena arena;
static aegis_locked_arena locked_arena;
static aegis_lock_free_arena lock_free_arena;
static aegis_arena_heap heap;
static aegis_locked_arena_heap locked_heap;
static aegis_arena_recycler recycler;
static aegis_pool pool;
static aegis_keyed_pool keyed_pool;
static aegis_locked_pool locked_pool;
static aegis_lock_free_pool lock_free_pool;
static aegis_buffer_pool buffer_pool;
static aegis_page_store page_store;
static aegis_page_cache page_cache;
static uint32_t page_file;

static const aegis_buffer_class classes[] = {{64, 4, 8}, {4096, 2, 0}};

static void make_objects(void) {
    aegis_arena_recycler_options recycling;
    aegis_pool_options blocks;
    aegis_lock_free_pool_options lock_free;
    aegis_buffer_pool_options buffers;
    aegis_page_cache_options pages;
    memset(&recycling, 0, sizeof recycling);
    memset(&blocks, 0, sizeof blocks);
    memset(&lock_free, 0, sizeof lock_free);
    memset(&buffers, 0, sizeof buffers);
    memset(&pages, 0, sizeof pages);
    recycling.max_idle_count = 2;
    blocks.block_bytes = 64;
    blocks.block_count = 4;
    lock_free.blocks = blocks;
    lock_free.max_cache_count = 1;
    buffers.classes = classes;
    buffers.class_count = 2;
    pages.frame_count = 8;
    budget = aegis_budget_new("parent", 1000, NULL);
    child = aegis_budget_new("child", SIZE_MAX, budget);
    CHECK(budget != NULL && child != NULL);
    CHECK(aegis_budget_charge(child, 900, NULL) == AEGIS_OK);
    CHECK(aegis_budget_charge(child, 200, &refused) == AEGIS_E_LIMIT_EXCEEDED);
    aegis_budget_get_peak(budget, &peak);
    aegis_budget_get_refusal(&refused, &refusal);
    CHECK(aegis_arena_init(&arena, NULL) == AEGIS_OK);
    CHECK(aegis_arena_alloc(&arena, 100) != NULL);
    CHECK(aegis_locked_arena_init(&locked_arena, NULL, NULL) == AEGIS_OK);
    CHECK(aegis_locked_arena_alloc(&locked_arena, 100, NULL) != NULL);
    CHECK(aegis_lock_free_arena_init(&lock_free_arena, NULL, NULL) == AEGIS_OK);
    CHECK(aegis_lock_free_arena_alloc(&lock_free_arena, 100, NULL) != NULL);
    CHECK(aegis_arena_recycler_init(&recycler, &recycling) == AEGIS_OK);
    CHECK(aegis_arena_heap_init(&heap, NULL) == AEGIS_OK);
    CHECK(aegis_locked_arena_heap_init(&locked_heap, NULL, NULL) == AEGIS_OK);
    CHECK(aegis_pool_init(&pool, &blocks) == AEGIS_OK);
    CHECK(aegis_keyed_pool_init(&keyed_pool, &blocks) == AEGIS_OK);
    CHECK(aegis_locked_pool_init(&locked_pool, &blocks) == AEGIS_OK);
    CHECK(aegis_lock_free_pool_init(&lock_free_pool, &lock_free) == AEGIS_OK);
    CHECK(aegis_buffer_pool_init(&buffer_pool, &buffers) == AEGIS_OK);
    CHECK(aegis_page_cache_init(&page_cache, &pages) == AEGIS_OK);
    CHECK(aegis_page_store_memory(&page_store, NULL) == AEGIS_OK);
    CHECK(aegis_page_cache_open(&page_cache, &page_store, NULL, &page_file, NULL) == AEGIS_OK);
}

static void finish_objects(void) {
    CHECK(aegis_budget_uncharge(child, 900) == AEGIS_OK);
    aegis_budget_destroy(child);
    aegis_budget_destroy(budget);
    aegis_arena_fini(&arena);
    aegis_locked_arena_fini(&locked_arena);
    aegis_lock_free_arena_fini(&lock_free_arena);
    aegis_arena_heap_fini(&heap);
    aegis_locked_arena_heap_fini(&locked_heap);
    CHECK(aegis_arena_recycler_fini(&recycler) == AEGIS_OK);
    CHECK(aegis_pool_fini(&pool) == AEGIS_OK);
    CHECK(aegis_keyed_pool_fini(&keyed_pool) == AEGIS_OK);
    CHECK(aegis_locked_pool_fini(&locked_pool) == AEGIS_OK);
    CHECK(aegis_lock_free_pool_fini(&lock_free_pool) == AEGIS_OK);
    aegis_buffer_pool_release(&buffer_pool);
    CHECK(aegis_page_cache_destroy(&page_cache, NULL) == AEGIS_OK);
}

/* -- functions that fill a struct -- */

/* READS(name, type, call): a function that makes the call. */
#define READS(name, type, call)                                                                    \
    static void name(void *out, size_t bytes) {                                                    \
        type *to = (type *)out;                                                                    \
        (void)call;                                                                                \
    }

READS(arena_stats, aegis_arena_stats, aegis_arena_get_stats_sized(&arena, to, bytes))
READS(locked_arena_stats, aegis_arena_stats,
      aegis_locked_arena_get_stats_sized(&locked_arena, to, bytes))
READS(lock_free_arena_stats, aegis_arena_stats,
      aegis_lock_free_arena_get_stats_sized(&lock_free_arena, to, bytes))
READS(heap_stats, aegis_arena_heap_stats, aegis_arena_heap_get_stats_sized(&heap, to, bytes))
READS(locked_heap_stats, aegis_arena_heap_stats,
      aegis_locked_arena_heap_get_stats_sized(&locked_heap, to, bytes))
READS(recycler_stats, aegis_arena_recycler_stats,
      aegis_arena_recycler_get_stats_sized(&recycler, to, bytes))
READS(block_info, aegis_arena_block_info, aegis_arena_next_block_sized(&arena, NULL, to, bytes))
READS(pool_stats, aegis_pool_stats, aegis_pool_get_stats_sized(&pool, to, bytes))
READS(keyed_pool_stats, aegis_pool_stats, aegis_keyed_pool_get_stats_sized(&keyed_pool, to, bytes))
READS(locked_pool_stats, aegis_pool_stats,
      aegis_locked_pool_get_stats_sized(&locked_pool, to, bytes))
READS(lock_free_pool_stats, aegis_pool_stats,
      aegis_lock_free_pool_get_stats_sized(&lock_free_pool, to, bytes))
READS(pool_slab, aegis_pool_slab_info, aegis_pool_get_slab_sized(&pool, 0, to, bytes))
READS(locked_pool_slab, aegis_pool_slab_info,
      aegis_locked_pool_get_slab_sized(&locked_pool, 0, to, bytes))
READS(lock_free_pool_slab, aegis_pool_slab_info,
      aegis_lock_free_pool_get_slab_sized(&lock_free_pool, 0, to, bytes))
READS(buffer_pool_stats, aegis_buffer_pool_stats,
      aegis_buffer_pool_get_stats_sized(&buffer_pool, to, bytes))
READS(page_cache_stats, aegis_page_cache_stats,
      aegis_page_cache_get_stats_sized(&page_cache, to, bytes))
READS(page_file_stats, aegis_page_file_stats,
      aegis_page_cache_get_file_stats_sized(&page_cache, page_file, to, bytes))
READS(budget_figures, aegis_budget_figures, aegis_budget_get_figures_sized(child, to, bytes))
READS(budget_snapshot, aegis_budget_figures, aegis_budget_snapshot_sized(budget, to, bytes, 1))
READS(budget_peak, aegis_budget_peak, aegis_budget_get_peak_sized(budget, to, bytes))
READS(budget_refusal, aegis_budget_refusal, aegis_budget_get_refusal_sized(&refused, to, bytes))
READS(budget_terms, aegis_budget_terms, aegis_budget_get_terms_sized(budget, to, bytes))

static const struct reader {
    const char *name;
    void (*read)(void *out, size_t bytes);
    size_t known_bytes;
} readers[] = {
    {"arena_stats", arena_stats, sizeof(aegis_arena_stats)},
    {"locked_arena_stats", locked_arena_stats, sizeof(aegis_arena_stats)},
    {"heap_stats", heap_stats, sizeof(aegis_arena_heap_stats)},
    {"locked_heap_stats", locked_heap_stats, sizeof(aegis_arena_heap_stats)},
    {"lock_free_arena_stats", lock_free_arena_stats, sizeof(aegis_arena_stats)},
    {"recycler_stats", recycler_stats, sizeof(aegis_arena_recycler_stats)},
    {"block_info", block_info, sizeof(aegis_arena_block_info)},
    {"pool_stats", pool_stats, sizeof(aegis_pool_stats)},
    {"keyed_pool_stats", keyed_pool_stats, sizeof(aegis_pool_stats)},
    {"locked_pool_stats", locked_pool_stats, sizeof(aegis_pool_stats)},
    {"lock_free_pool_stats", lock_free_pool_stats, sizeof(aegis_pool_stats)},
    {"pool_slab", pool_slab, sizeof(aegis_pool_slab_info)},
    {"locked_pool_slab", locked_pool_slab, sizeof(aegis_pool_slab_info)},
    {"lock_free_pool_slab", lock_free_pool_slab, sizeof(aegis_pool_slab_info)},
    {"buffer_pool_stats", buffer_pool_stats, sizeof(aegis_buffer_pool_stats)},
    {"page_cache_stats", page_cache_stats, sizeof(aegis_page_cache_stats)},
    {"page_file_stats", page_file_stats, sizeof(aegis_page_file_stats)},
    {"budget_figures", budget_figures, sizeof(aegis_budget_figures)},
    {"budget_snapshot", budget_snapshot, sizeof(aegis_budget_figures)},
    {"budget_peak", budget_peak, sizeof(aegis_budget_peak)},
    {"budget_refusal", budget_refusal, sizeof(aegis_budget_refusal)},
    {"budget_terms", budget_terms, sizeof(aegis_budget_terms)},
};

/* Reads into a struct of so many bytes. What both structs have must be as in `whole`, the rest of
 * the struct zero, and what lies behind it untouched. */
static bool reads_like(const struct reader *reader, size_t bytes, const room *whole) {
    static room part;
    size_t both_bytes = bytes < reader->known_bytes ? bytes : reader->known_bytes;
    memset(&part, GUARD, sizeof part);
    reader->read(&part, bytes);
    return memcmp(part.bytes, whole->bytes, both_bytes) == 0 &&
           is_filled(part.bytes + both_bytes, 0, bytes - both_bytes) &&
           is_filled(part.bytes + bytes, GUARD, ROOM_BYTES - bytes);
}

static void no_more_is_written_than_the_struct_of_the_caller(void) {
    static room whole;
    for (size_t i = 0; i < sizeof readers / sizeof readers[0]; i++) {
        const struct reader *reader = &readers[i];
        bool same = reader->known_bytes + LONGER_BYTES < ROOM_BYTES;
        memset(&whole, GUARD, sizeof whole);
        reader->read(&whole, reader->known_bytes);
        for (size_t bytes = 0; same && bytes <= reader->known_bytes + LONGER_BYTES; bytes += 4)
            same = reads_like(reader, bytes, &whole);
        if (!same)
            check_report(__FILE__, __LINE__, reader->name);
    }
}

/* An array is written in steps of the caller's struct. */
static void array_has_the_steps_of_the_caller(void) {
    static room many;
    aegis_budget_figures figures[2];
    CHECK(aegis_budget_snapshot(budget, figures, 2) == 2);
    for (size_t bytes = 8; bytes < sizeof figures[0] + LONGER_BYTES; bytes += 8) {
        size_t both_bytes = bytes < sizeof figures[0] ? bytes : sizeof figures[0];
        memset(&many, GUARD, sizeof many);
        CHECK(aegis_budget_snapshot_sized(budget, (aegis_budget_figures *)(void *)&many, bytes,
                                          2) == 2);
        for (size_t i = 0; i < 2; i++)
            CHECK(memcmp(many.bytes + i * bytes, &figures[i], both_bytes) == 0);
        CHECK(is_filled(many.bytes + 2 * bytes, GUARD, ROOM_BYTES - 2 * bytes));
    }
}

static size_t walk(size_t bytes) {
    static room part;
    const aegis_arena_block *block = NULL;
    size_t idle_count = 0;
    memset(&part, GUARD, sizeof part);
    while ((block = aegis_arena_next_block_sized(
                &arena, block, (aegis_arena_block_info *)(void *)&part, bytes)) != NULL) {
        aegis_arena_block_info *info = (aegis_arena_block_info *)(void *)&part;
        idle_count += info->state == AEGIS_ARENA_BLOCK_IDLE;
        CHECK(is_filled(part.bytes + bytes, GUARD, ROOM_BYTES - bytes));
    }
    return idle_count;
}

static void walk_over_blocks_tells_idle_ones_with_any_struct_that_has_the_state(void) {
    for (size_t i = 0; i < 3; i++)
        CHECK(aegis_arena_alloc(&arena, 10000) != NULL);
    aegis_arena_reset(&arena);
    size_t idle_count = walk(sizeof(aegis_arena_block_info));
    CHECK(idle_count > 1);
    CHECK_SIZE(walk(offsetof(aegis_arena_block_info, start)), idle_count);
    CHECK_SIZE(walk(sizeof(aegis_arena_block_info) + LONGER_BYTES), idle_count);
    CHECK(aegis_arena_alloc(&arena, 100) != NULL);
}

static void longer_and_shorter_reports_are_explained(void) {
    static room longer;
    char expected[1000], text[1000];
    size_t length = aegis_budget_explain_peak(&peak, expected, sizeof expected);
    memset(&longer, GUARD, sizeof longer);
    memcpy(&longer, &peak, sizeof peak);
    CHECK_SIZE(aegis_budget_explain_peak_sized((aegis_budget_peak *)(void *)&longer,
                                               sizeof peak + LONGER_BYTES, text, sizeof text),
               length);
    CHECK(strcmp(text, expected) == 0);
    memset(longer.bytes + offsetof(aegis_budget_peak, consumer_count), GUARD,
           sizeof peak - offsetof(aegis_budget_peak, consumer_count));
    (void)aegis_budget_explain_peak_sized((aegis_budget_peak *)(void *)&longer,
                                          offsetof(aegis_budget_peak, consumer_count), text,
                                          sizeof text);
    CHECK(strstr(text, "'parent' peaked at 900") != NULL && strstr(text, "largest") == NULL);

    length = aegis_budget_explain(&refusal, expected, sizeof expected);
    memset(&longer, GUARD, sizeof longer);
    memcpy(&longer, &refusal, sizeof refusal);
    CHECK_SIZE(aegis_budget_explain_sized((aegis_budget_refusal *)(void *)&longer,
                                          sizeof refusal + LONGER_BYTES, text, sizeof text),
               length);
    CHECK(strcmp(text, expected) == 0);
    memset(longer.bytes + offsetof(aegis_budget_refusal, reason), GUARD,
           sizeof refusal - offsetof(aegis_budget_refusal, reason));
    CHECK_SIZE(aegis_budget_explain_sized((aegis_budget_refusal *)(void *)&longer,
                                          offsetof(aegis_budget_refusal, reason), text,
                                          sizeof text),
               length);
    CHECK(strcmp(text, expected) == 0);
}

/* -- options -- */

/* INITS(name, object, options, call, fini): a function that makes the call, and finishes the object
 * if it was made. `head` is the size of the options that lie in the options. */
#define INITS(name, object, options, call, fini)                                                   \
    static aegis_status name(const void *given, size_t bytes, size_t head, aegis_error *error) {   \
        object made;                                                                               \
        const options *from = (const options *)given;                                              \
        aegis_status status = call;                                                                \
        if (status == AEGIS_OK)                                                                    \
            (void)fini(&made);                                                                     \
        (void)head;                                                                                \
        (void)error;                                                                               \
        return status;                                                                             \
    }

static aegis_status init_arena(const void *given, size_t bytes, size_t head, aegis_error *error) {
    aegis_arena made;
    aegis_status status = aegis_arena_init_sized(&made, (const aegis_arena_options *)given, bytes);
    (void)head;
    aegis_arena_last_error(&made, error);
    aegis_arena_fini(&made);
    return status;
}

static aegis_status init_heap(const void *given, size_t bytes, size_t head, aegis_error *error) {
    aegis_arena_heap made;
    aegis_status status =
        aegis_arena_heap_init_sized(&made, (const aegis_arena_options *)given, bytes);
    (void)head;
    aegis_arena_heap_last_error(&made, error);
    aegis_arena_heap_fini(&made);
    return status;
}

INITS(init_locked_heap, aegis_locked_arena_heap, aegis_arena_options,
      aegis_locked_arena_heap_init_sized(&made, from, bytes, error), aegis_locked_arena_heap_fini)
INITS(init_locked_arena, aegis_locked_arena, aegis_arena_options,
      aegis_locked_arena_init_sized(&made, from, bytes, error), aegis_locked_arena_fini)
INITS(init_lock_free_arena, aegis_lock_free_arena, aegis_lock_free_arena_options,
      aegis_lock_free_arena_init_sized(&made, from, bytes, error), aegis_lock_free_arena_fini)
INITS(init_recycler, aegis_arena_recycler, aegis_arena_recycler_options,
      aegis_arena_recycler_init_sized(&made, from, bytes, head), aegis_arena_recycler_fini)
INITS(init_pool, aegis_pool, aegis_pool_options, aegis_pool_init_sized(&made, from, bytes),
      aegis_pool_fini)
INITS(init_keyed_pool, aegis_keyed_pool, aegis_pool_options,
      aegis_keyed_pool_init_sized(&made, from, bytes), aegis_keyed_pool_fini)
INITS(init_locked_pool, aegis_locked_pool, aegis_pool_options,
      aegis_locked_pool_init_sized(&made, from, bytes), aegis_locked_pool_fini)
INITS(init_lock_free_pool, aegis_lock_free_pool, aegis_lock_free_pool_options,
      aegis_lock_free_pool_init_sized(&made, from, bytes, head), aegis_lock_free_pool_fini)
INITS(init_buffer_pool, aegis_buffer_pool, aegis_buffer_pool_options,
      aegis_buffer_pool_init_sized(&made, from, bytes), aegis_buffer_pool_release)

static aegis_error reason;
static aegis_page_error page_reason;

static aegis_status init_page_cache(const void *given, size_t bytes, size_t head,
                                    aegis_error *error) {
    aegis_page_cache made;
    aegis_status status =
        aegis_page_cache_init_sized(&made, (const aegis_page_cache_options *)given, bytes);
    (void)head;
    if (status == AEGIS_OK) {
        aegis_page_cache_abandon(&made);
        return status;
    }
    error->status = page_reason.status;
    error->asked = (size_t)page_reason.asked;
    error->allowed = (size_t)page_reason.allowed;
    if (page_reason.reason == AEGIS_PAGE_OPTION)
        error->what = AEGIS_WHAT_UNKNOWN_OPTION;
    return status;
}

static aegis_arena_options arena_options;
static aegis_lock_free_arena_options lock_free_arena_options;
static aegis_arena_recycler_options recycler_options;
static aegis_pool_options block_options;
static aegis_lock_free_pool_options lock_free_pool_options;
static aegis_buffer_pool_options buffer_options;
static aegis_page_cache_options page_options;

static const struct initer {
    const char *name;
    aegis_status (*init)(const void *options, size_t bytes, size_t head, aegis_error *error);
    const void *options;
    size_t known_bytes;
    /* So many bytes are enough: the options of the first version of a caller. */
    size_t short_bytes;
    /* The same of the options that lie at the start of the options; 0: there are none. */
    size_t head_bytes;
    size_t short_head_bytes;
} initers[] = {
    {"arena", init_arena, &arena_options, sizeof arena_options,
     offsetof(aegis_arena_options, source), 0, 0},
    {"heap", init_heap, &arena_options, sizeof arena_options, offsetof(aegis_arena_options, source),
     0, 0},
    {"locked_heap", init_locked_heap, &arena_options, sizeof arena_options,
     offsetof(aegis_arena_options, source), 0, 0},
    {"locked_arena", init_locked_arena, &arena_options, sizeof arena_options,
     offsetof(aegis_arena_options, source), 0, 0},
    {"lock_free_arena", init_lock_free_arena, &lock_free_arena_options,
     sizeof lock_free_arena_options, offsetof(aegis_lock_free_arena_options, source), 0, 0},
    {"recycler", init_recycler, &recycler_options, sizeof recycler_options,
     offsetof(aegis_arena_recycler_options, keep_bytes), sizeof(aegis_arena_options),
     offsetof(aegis_arena_options, source)},
    {"pool", init_pool, &block_options, sizeof block_options, offsetof(aegis_pool_options, source),
     0, 0},
    {"keyed_pool", init_keyed_pool, &block_options, sizeof block_options,
     offsetof(aegis_pool_options, source), 0, 0},
    {"locked_pool", init_locked_pool, &block_options, sizeof block_options,
     offsetof(aegis_pool_options, source), 0, 0},
    {"lock_free_pool", init_lock_free_pool, &lock_free_pool_options, sizeof lock_free_pool_options,
     offsetof(aegis_lock_free_pool_options, flags), sizeof(aegis_pool_options),
     offsetof(aegis_pool_options, wait_ns)},
    {"buffer_pool", init_buffer_pool, &buffer_options, sizeof buffer_options,
     offsetof(aegis_buffer_pool_options, source), 0, 0},
    {"page_cache", init_page_cache, &page_options, sizeof page_options,
     offsetof(aegis_page_cache_options, source), 0, 0},
};

#define INITERS (sizeof initers / sizeof initers[0])

static void set_options(void) {
    arena_options.capacity_bytes = 1000;
    lock_free_arena_options.capacity_bytes = 1000;
    recycler_options.max_idle_count = 2;
    recycler_options.error = &reason;
    block_options.block_bytes = 64;
    block_options.block_count = 4;
    block_options.error = &reason;
    lock_free_pool_options.blocks = block_options;
    lock_free_pool_options.max_cache_count = 1;
    buffer_options.classes = classes;
    buffer_options.class_count = 2;
    buffer_options.error = &reason;
    page_options.frame_count = 8;
    page_options.error = &page_reason;
}

/* The options with a first part and a whole of other sizes. What the library's struct has is
 * copied, the rest is `fill`. What lies behind the struct is no option and no zero. */
static const room *resize(const struct initer *initer, size_t bytes, size_t head,
                          unsigned char fill) {
    static room given;
    const unsigned char *known = (const unsigned char *)initer->options;
    size_t copied = head < initer->head_bytes ? head : initer->head_bytes;
    memset(&given, 0xFF, sizeof given);
    memset(&given, fill, bytes);
    memcpy(&given, known, copied);
    size_t rest = bytes - head, known_rest = initer->known_bytes - initer->head_bytes;
    memcpy(given.bytes + head, known + initer->head_bytes, rest < known_rest ? rest : known_rest);
    return &given;
}

static void check_init(const struct initer *initer, size_t bytes, size_t head, unsigned char fill,
                       size_t unknown) {
    char text[300];
    const room *given = resize(initer, bytes, head, fill);
    aegis_status expected = unknown != 0 ? AEGIS_E_INVALID : AEGIS_OK;
    memset(&reason, 0, sizeof reason);
    bool same = initer->init(given, bytes, head, &reason) == expected;
    if (unknown != 0) {
        same = same && reason.status == AEGIS_E_INVALID && reason.asked == unknown &&
               reason.what == AEGIS_WHAT_UNKNOWN_OPTION && reason.allowed == initer->known_bytes;
        (void)aegis_error_explain(&reason, text, sizeof text);
        same = same && strstr(text, "it is older than the header") != NULL;
    }
    if (!same)
        check_report(__FILE__, __LINE__, initer->name);
}

static void missing_options_have_their_default(void) {
    for (size_t i = 0; i < INITERS; i++) {
        const struct initer *initer = &initers[i];
        for (size_t bytes = initer->short_bytes; bytes <= initer->known_bytes; bytes += 4)
            check_init(initer, bytes, initer->head_bytes, 0, 0);
        size_t lost_bytes = initer->head_bytes - initer->short_head_bytes;
        check_init(initer, initer->known_bytes - lost_bytes, initer->short_head_bytes, 0, 0);
    }
}

static void unknown_options_are_accepted_as_long_as_they_are_not_set(void) {
    for (size_t i = 0; i < INITERS; i++) {
        const struct initer *initer = &initers[i];
        size_t head = initer->head_bytes, known_bytes = initer->known_bytes;
        check_init(initer, known_bytes + LONGER_BYTES, head, 0, 0);
        check_init(initer, known_bytes + LONGER_BYTES, head, 1, known_bytes);
        if (head == 0)
            continue;
        check_init(initer, known_bytes + 2 * LONGER_BYTES, head + LONGER_BYTES, 0, 0);
        check_init(initer, known_bytes + LONGER_BYTES, head + LONGER_BYTES, 1, head);
        /* A newer whole with an older first part. */
        head = initer->short_head_bytes;
        known_bytes -= initer->head_bytes - head;
        check_init(initer, known_bytes + LONGER_BYTES, head, 0, 0);
        check_init(initer, known_bytes + LONGER_BYTES, head, 1, known_bytes);
    }
}

static void each_unknown_byte_is_found(void) {
    static room given;
    aegis_arena made;
    aegis_error error;
    for (size_t at = sizeof arena_options; at < sizeof arena_options + LONGER_BYTES; at++) {
        memset(&given, 0, sizeof given);
        memcpy(&given, &arena_options, sizeof arena_options);
        given.bytes[at] = 0x80;
        CHECK(aegis_arena_init_sized(&made, (aegis_arena_options *)(void *)&given,
                                     sizeof arena_options + LONGER_BYTES) == AEGIS_E_INVALID);
        aegis_arena_last_error(&made, &error);
        CHECK_SIZE(error.asked, at);
        CHECK(aegis_arena_init_sized(&made, (aegis_arena_options *)(void *)&given, at) == AEGIS_OK);
        aegis_arena_fini(&made);
    }
}

static size_t closed_count;

static void count_close(void *context) {
    (void)context;
    closed_count++;
}

/* Opens a file with a store and hooks of these sizes, of which what the library does not know is
 * `fill`. */
static aegis_status open_file(size_t store_bytes, size_t hooks_bytes, unsigned char fill,
                              aegis_page_error *error) {
    static room store, hooks;
    aegis_page_hooks with_close;
    uint32_t file;
    memset(&with_close, 0, sizeof with_close);
    with_close.close = count_close;
    memset(&store, fill, sizeof store);
    memset(&hooks, fill, sizeof hooks);
    memcpy(&store, &page_store, sizeof page_store);
    memcpy(&hooks, &with_close, sizeof with_close);
    ((aegis_page_store *)(void *)&store)->close = NULL; /* it is the other file's */
    aegis_status status = aegis_page_cache_open_sized(
        &page_cache, (const aegis_page_store *)(const void *)&store, store_bytes,
        (const aegis_page_hooks *)(const void *)&hooks, hooks_bytes, &file, error);
    if (status == AEGIS_OK)
        CHECK(aegis_page_cache_close(&page_cache, file, 0, NULL) == AEGIS_OK);
    return status;
}

static void stores_and_hooks_may_be_of_another_size(void) {
    const size_t store = sizeof(aegis_page_store), hooks = sizeof(aegis_page_hooks);
    aegis_page_error error;
    CHECK(open_file(store + LONGER_BYTES, hooks + LONGER_BYTES, 0, NULL) == AEGIS_OK);
    CHECK_SIZE(closed_count, 1);
    CHECK(open_file(store, offsetof(aegis_page_hooks, close), 1, NULL) == AEGIS_OK);
    CHECK_SIZE(closed_count, 1);
    CHECK(open_file(offsetof(aegis_page_store, truncate), hooks, 1, &error) == AEGIS_E_INVALID);
    CHECK_SIZE(error.reason, AEGIS_PAGE_FUNCTION);
    CHECK(open_file(store + LONGER_BYTES, hooks, 1, &error) == AEGIS_E_INVALID);
    CHECK(error.reason == AEGIS_PAGE_OPTION && error.asked == store && error.allowed == store);
    CHECK(open_file(store, hooks + LONGER_BYTES, 1, &error) == AEGIS_E_INVALID);
    CHECK(error.reason == AEGIS_PAGE_OPTION && error.asked == hooks && error.allowed == hooks);
    CHECK_SIZE(closed_count, 1);
}

int main(void) {
    make_objects();
    set_options();
    RUN(no_more_is_written_than_the_struct_of_the_caller);
    RUN(array_has_the_steps_of_the_caller);
    RUN(walk_over_blocks_tells_idle_ones_with_any_struct_that_has_the_state);
    RUN(longer_and_shorter_reports_are_explained);
    RUN(missing_options_have_their_default);
    RUN(unknown_options_are_accepted_as_long_as_they_are_not_set);
    RUN(each_unknown_byte_is_found);
    RUN(stores_and_hooks_may_be_of_another_size);
    finish_objects();
    return check_finish();
}
