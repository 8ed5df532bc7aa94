/* SPDX-License-Identifier: Apache-2.0 */
/* Tests that the statistics of an arena are the same with every debug option and in every build,
 * except for what the documentation says that an option adds. Each form of arena runs the same
 * operations once plainly and once with each option, and all statistics are compared after each
 * operation. The table `fields` has the rule for each field.
 *
 * Guards count in a field as if each request were larger by one guard. So these fields must equal
 * those of a plain run in which each request is larger by that. */
#include "budget_support.h"
#include "statistics_support.h"

enum { ARENA, FIXED, LOCAL, LOCKED, RECYCLED, FORM_COUNT };

/* One run: an arena of some form, and what was seen of it. */
typedef struct run {
    int form;
    /* The bytes that each request is enlarged by. */
    size_t extra_bytes;
    /* NULL for a locked arena, whose inner arena is hidden. */
    aegis_arena *inner;
    aegis_arena owned;
    aegis_arena_local local;
    aegis_lock_free_arena shared;
    aegis_locked_arena locked;
    aegis_arena_recycler recycler;
    aegis_budget *budget;
    unsigned char memory[40000];
    aegis_arena_stats seen[MAX_SAMPLES];
    size_t count;
    /* The bytes of the allocations that were freed, moved or resized so far; with each sample. */
    size_t given_up_bytes;
    size_t given_up[MAX_SAMPLES];
} run;

static void begin(run *r, int form, uint32_t flags, size_t extra_bytes) {
    static const aegis_source source = {steady_acquire, steady_release, NULL, NULL};
    memset(r, 0, sizeof *r);
    r->form = form;
    r->extra_bytes = extra_bytes;
    r->budget = aegis_budget_new("run", SIZE_MAX, NULL);
    aegis_arena_options options = {0};
    options.source = &source;
    options.budget = r->budget;
    options.flags = flags;
    aegis_lock_free_arena_options shared = {0};
    aegis_arena_recycler_options recycler = {0};
    if (form == FIXED) {
        options.source = NULL;
        options.memory = r->memory + (size_t)(0 - (uintptr_t)r->memory) % 64;
        options.memory_bytes = sizeof r->memory - 64;
    }
    shared.source = &source;
    shared.budget = r->budget;
    recycler.arena = options;
    recycler.max_idle_count = 2;
    recycler.keep_bytes = 100000;
    r->inner = &r->owned;
    aegis_status status = AEGIS_OK;
    if (form == LOCKED) {
        r->inner = NULL;
        status = aegis_locked_arena_init(&r->locked, &options, NULL);
    } else if (form == LOCAL) {
        CHECK(aegis_lock_free_arena_init(&r->shared, &shared, NULL) == AEGIS_OK);
        status = aegis_arena_local_init(&r->local, &r->shared, flags);
        r->inner = &r->local.arena;
    } else if (form == RECYCLED) {
        CHECK(aegis_arena_recycler_init(&r->recycler, &recycler) == AEGIS_OK);
        status = aegis_arena_recycler_get(&r->recycler, &r->owned, NULL);
    } else {
        status = aegis_arena_init(&r->owned, &options);
    }
    CHECK(status == AEGIS_OK);
}

static void end(run *r) {
    aegis_arena_recycler_stats recycled;
    if (r->form == RECYCLED) {
        aegis_arena_recycler_put(&r->recycler, &r->owned);
        aegis_arena_recycler_get_stats(&r->recycler, &recycled);
        CHECK(recycled.idle_count == 1 && recycled.out_count == 0 && recycled.made_count == 1 &&
              recycled.reused_count == 1);
        CHECK(aegis_arena_recycler_fini(&r->recycler) == AEGIS_OK);
    }
    aegis_arena_local_fini(&r->local);
    aegis_lock_free_arena_fini(&r->shared);
    aegis_locked_arena_fini(&r->locked);
    aegis_arena_fini(&r->owned);
    CHECK_SIZE(used(r->budget), 0);
    aegis_budget_destroy(r->budget);
}

static void keep(run *r, const aegis_arena_stats *stats) {
    CHECK(r->count < MAX_SAMPLES);
    if (r->count == MAX_SAMPLES)
        return;
    r->given_up[r->count] = r->given_up_bytes;
    r->seen[r->count++] = *stats;
}

/* Notes the statistics of the arena, and of a lock-free arena behind it. */
static void sample(run *r) {
    aegis_arena_stats stats;
    if (r->inner != NULL)
        aegis_arena_get_stats(r->inner, &stats);
    else
        aegis_locked_arena_get_stats(&r->locked, &stats);
    keep(r, &stats);
    size_t reserved_bytes = stats.reserved_bytes;
    if (r->form == LOCAL) {
        aegis_lock_free_arena_get_stats(&r->shared, &stats);
        reserved_bytes = stats.reserved_bytes;
        /* The shards are what the arena has handed out, so guards count in all its fields. */
        stats.used_bytes = stats.peak_used_bytes = 0;
        keep(r, &stats);
    }
    CHECK_SIZE(used(r->budget), reserved_bytes);
}

static void sample_scope(run *r, const aegis_arena_scope *scope) {
    aegis_arena_stats stats;
    aegis_arena_get_stats(r->inner, &stats);
    keep(r, &stats);
    aegis_arena_get_stats(&scope->arena, &stats);
    keep(r, &stats);
}

/* The size of a request in this run. A request for 0 bytes takes nothing and has no guard. */
static size_t enlarged(const run *r, size_t size_bytes) {
    if (size_bytes == 0)
        return 0;
    return size_bytes > PTRDIFF_MAX - 1000 ? size_bytes
                                           : ((size_bytes + 7) & ~(size_t)7) + r->extra_bytes;
}

static void *take(run *r, size_t size_bytes) {
    size_bytes = enlarged(r, size_bytes);
    void *p = r->inner != NULL ? aegis_arena_alloc(r->inner, size_bytes)
                               : aegis_locked_arena_alloc(&r->locked, size_bytes, NULL);
    sample(r);
    return p;
}

static void *resize(run *r, void *p, size_t old_bytes, size_t new_bytes) {
    old_bytes = enlarged(r, old_bytes);
    new_bytes = enlarged(r, new_bytes);
    r->given_up_bytes += old_bytes + 8;
    p = r->inner != NULL
            ? aegis_arena_realloc(r->inner, p, old_bytes, new_bytes)
            : aegis_locked_arena_realloc_aligned(&r->locked, p, old_bytes, new_bytes, 8, NULL);
    CHECK(p != NULL);
    sample(r);
    return p;
}

static void give_up(run *r, void *p, size_t size_bytes) {
    size_bytes = enlarged(r, size_bytes);
    r->given_up_bytes += size_bytes;
    if (r->inner != NULL)
        aegis_arena_free_last(r->inner, p, size_bytes);
    else
        aegis_locked_arena_free_last(&r->locked, p, size_bytes);
    sample(r);
}

static void reset(run *r) {
    if (r->inner != NULL)
        aegis_arena_reset(r->inner);
    else
        aegis_locked_arena_reset(&r->locked);
    sample(r);
}

static void trim(run *r, size_t keep_bytes) {
    if (r->inner != NULL)
        aegis_arena_trim(r->inner, keep_bytes);
    else
        aegis_locked_arena_trim(&r->locked, keep_bytes);
    sample(r);
}

static void clear(run *r) {
    if (r->inner != NULL)
        aegis_arena_clear(r->inner);
    else
        aegis_locked_arena_clear(&r->locked);
    sample(r);
}

/* Operations in one block: requests, resizing, freeing the latest, refusals. */
static void work_in_place(run *r) {
    char *first = (char *)take(r, 100);
    for (size_t i = 0; i < 6; i++)
        take(r, i);
    char *p = (char *)take(r, 24);
    p = (char *)resize(r, p, 24, 48);
    p = (char *)resize(r, p, 48, 10);
    give_up(r, p, 10);
    p = (char *)resize(r, first, 100, 120); /* not the latest, so it moves */
    give_up(r, p, 120);
    CHECK(take(r, SIZE_MAX) == NULL);
    CHECK(take(r, (size_t)2 << 20) == NULL); /* more than the source gives */
}

/* Requests that need several blocks, of the growth step and of their own size. */
static void work_in_blocks(run *r) {
    static const size_t sizes[] = {16, 200, 8, 1000, 0, 40, 500, 24};
    for (size_t i = 0; i < 40; i++) {
        void *p = take(r, sizes[i % 8]);
        if (i % 16 == 0)
            give_up(r, p, 16);
        if (i == 20 && r->form != FIXED)
            take(r, 90000);
    }
}

/* Marks and scopes, for an arena that has them. Each scope's outer arena allocates too. */
static void work_nested(run *r) {
    if (r->inner == NULL)
        return;
    aegis_arena_mark mark = aegis_arena_get_mark(r->inner);
    take(r, 300);
    aegis_arena_scope scope;
    for (size_t i = 0; i < 3; i++) {
        aegis_arena_scope_begin(r->inner, &scope);
        for (size_t n = 0; n < 10; n++) {
            CHECK(aegis_arena_alloc(&scope.arena, enlarged(r, 16 * n)) != NULL);
            (void)aegis_arena_alloc(r->inner, enlarged(r, 16));
            sample_scope(r, &scope);
        }
        if (i == 1)
            aegis_arena_reset(r->inner);
        aegis_arena_reset(&scope.arena);
        sample_scope(r, &scope);
        CHECK(aegis_arena_alloc(&scope.arena, enlarged(r, 40)) != NULL);
        aegis_arena_scope_end(r->inner, &scope);
        sample(r);
    }
    /* The reset of the outer arena has made the mark stale. */
    CHECK(aegis_arena_rewind(r->inner, &mark) == AEGIS_E_INVALID);
    mark = aegis_arena_get_mark(r->inner);
    take(r, 1000);
    take(r, 2000);
    CHECK(aegis_arena_rewind(r->inner, &mark) == AEGIS_OK);
    sample(r);
}

static void recycle(run *r) {
    if (r->form != RECYCLED)
        return;
    aegis_arena_recycler_put(&r->recycler, &r->owned);
    CHECK(aegis_arena_recycler_get(&r->recycler, &r->owned, NULL) == AEGIS_OK);
    sample(r);
}

static void work(run *r) {
    sample(r);
    work_in_place(r);
    reset(r);
    work_in_blocks(r);
    reset(r);
    work_in_blocks(r);
    work_nested(r);
    trim(r, 2000);
    reset(r);
    trim(r, 5000);
    recycle(r);
    take(r, 16);
    clear(r);
    take(r, 16);
}

/* What a field must equal: the field of the plain run, or of the run of enlarged requests. */
enum { AS_PLAIN, AS_ENLARGED };

#define FIELD(name, rule)                                                                          \
    { #name, offsetof(aegis_arena_stats, name), sizeof(((aegis_arena_stats *)NULL)->name), rule }

static const struct {
    const char *name;
    size_t offset;
    size_t size_bytes;
    int rule;
} fields[] = {
    FIELD(capacity_bytes, AS_ENLARGED),  FIELD(reserved_bytes, AS_ENLARGED),
    FIELD(used_bytes, AS_PLAIN),         FIELD(peak_used_bytes, AS_PLAIN),
    FIELD(remaining_bytes, AS_ENLARGED), FIELD(wasted_bytes, AS_ENLARGED),
    FIELD(block_count, AS_ENLARGED),     FIELD(acquired_count, AS_ENLARGED),
    FIELD(released_count, AS_ENLARGED),  FIELD(reset_count, AS_PLAIN),
};

static void every_field_has_a_rule(void) {
    size_t total_bytes = 0;
    for (size_t f = 0; f < sizeof fields / sizeof *fields; f++)
        total_bytes += fields[f].size_bytes;
    CHECK(sizeof(aegis_arena_stats) - total_bytes < sizeof(uint64_t)); /* padding at most */
}

static uint64_t value_of(const aegis_arena_stats *stats, size_t field) {
    uint64_t wide = 0;
    size_t narrow = 0;
    const char *from = (const char *)stats + fields[field].offset;
    if (fields[field].size_bytes == sizeof wide)
        memcpy(&wide, from, sizeof wide);
    else
        memcpy(&narrow, from, sizeof narrow);
    return wide + narrow;
}

static const char *const form_names[] = {"arena", "fixed", "local", "locked", "recycled"};

static void compare(const run *with, const run *plain, const run *larger, uint32_t flags) {
    CHECK(with->count == plain->count && with->count == larger->count && with->count > 100);
    for (size_t i = 0; i < with->count; i++) {
        for (size_t f = 0; f < sizeof fields / sizeof *fields; f++) {
            const run *expected = fields[f].rule == AS_PLAIN ? plain : larger;
            uint64_t left = value_of(&with->seen[i], f), right = value_of(&expected->seen[i], f);
            if (left != right)
                fprintf(stderr, "%s, flags %u, sample %zu: %s\n", form_names[with->form],
                        (unsigned)flags, i, fields[f].name);
            CHECK_SIZE(left, right);
        }
    }
}

/* The bytes that the flags put behind each allocation. */
static size_t added_by(uint32_t flags) {
    size_t room_bytes[2];
    for (size_t i = 0; i < 2; i++) {
        aegis_arena arena;
        aegis_arena_options options = {0};
        options.capacity_bytes = 1000;
        options.flags = i == 0 ? AEGIS_ARENA_NO_DEBUG : flags;
        CHECK(aegis_arena_init(&arena, &options) == AEGIS_OK);
        CHECK(aegis_arena_alloc(&arena, 8) != NULL);
        aegis_arena_stats stats;
        aegis_arena_get_stats(&arena, &stats);
        room_bytes[i] = stats.remaining_bytes;
        aegis_arena_fini(&arena);
    }
    return room_bytes[0] - room_bytes[1];
}

static run plain, larger, with;

static void no_debug_option_changes_a_statistic_except_by_its_rule(void) {
    static const uint32_t options[] = {
        0,
        AEGIS_ARENA_NO_DEBUG,
        AEGIS_ARENA_FILL,
        AEGIS_ARENA_GUARD,
        AEGIS_ARENA_WIPE | AEGIS_ARENA_NO_DEBUG,
        AEGIS_ARENA_WIPE | AEGIS_ARENA_FILL | AEGIS_ARENA_GUARD,
        AEGIS_ARENA_GUARD | AEGIS_ARENA_NO_DEBUG,
        AEGIS_ARENA_FILL | AEGIS_ARENA_NO_DEBUG,
    };
    for (int f = ARENA; f < FORM_COUNT; f++) {
        begin(&plain, f, AEGIS_ARENA_NO_DEBUG, 0);
        work(&plain);
        for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
            if (f == LOCAL && (options[i] & AEGIS_ARENA_WIPE) != 0)
                continue; /* handles have no such option */
            begin(&larger, f, AEGIS_ARENA_NO_DEBUG, added_by(options[i]));
            work(&larger);
            begin(&with, f, options[i], 0);
            work(&with);
            compare(&with, &plain, &larger, options[i]);
            end(&with);
            end(&larger);
        }
        end(&plain);
    }
}

/* With blocks of their own, it depends on the block whether a freed or moved allocation leaves
 * `used_bytes` at once. Nothing is wasted, and the blocks follow from what is in use. */
static void own_blocks_change_statistics_by_their_rules(void) {
    const uint32_t none = AEGIS_ARENA_OWN_BLOCKS | AEGIS_ARENA_NO_DEBUG;
    const uint32_t guard = AEGIS_ARENA_OWN_BLOCKS | AEGIS_ARENA_GUARD | AEGIS_ARENA_NO_DEBUG;
    const int forms[] = {ARENA, LOCKED, RECYCLED};
    const size_t header_bytes = sizeof(void *) == 8 ? 48 : 32;
    for (size_t f = 0; f < 3; f++) {
        begin(&plain, forms[f], AEGIS_ARENA_NO_DEBUG, 0);
        work(&plain);
        begin(&larger, forms[f], none, 0);
        work(&larger);
        begin(&with, forms[f], guard, 0);
        work(&with);
        CHECK(with.count == plain.count && larger.count == plain.count);
        for (size_t i = 0; i < plain.count; i++) {
            const aegis_arena_stats *p = &plain.seen[i], *o = &larger.seen[i], *g = &with.seen[i];
            CHECK(o->used_bytes + larger.given_up[i] >= p->used_bytes);
            CHECK(o->used_bytes <= p->used_bytes + larger.given_up[i]);
            CHECK(o->peak_used_bytes + larger.given_up[i] >= p->peak_used_bytes);
            CHECK(o->peak_used_bytes <= p->peak_used_bytes + larger.given_up[i]);
            CHECK_SIZE(o->wasted_bytes, 0);
            CHECK_SIZE(o->reserved_bytes, o->capacity_bytes + o->block_count * header_bytes);
            CHECK_SIZE(o->block_count, o->acquired_count - o->released_count);
            CHECK_SIZE(o->reset_count, p->reset_count);
            /* Guards make each block larger and change nothing else. */
            size_t guards_bytes = o->block_count * added_by(AEGIS_ARENA_GUARD);
            CHECK_SIZE(g->used_bytes, o->used_bytes);
            CHECK_SIZE(g->peak_used_bytes, o->peak_used_bytes);
            CHECK_SIZE(g->block_count, o->block_count);
            CHECK_SIZE(g->capacity_bytes, o->capacity_bytes + guards_bytes);
            CHECK_SIZE(g->reserved_bytes, o->reserved_bytes + guards_bytes);
            CHECK_SIZE(g->acquired_count, o->acquired_count);
            CHECK_SIZE(g->released_count, o->released_count);
            CHECK_SIZE(g->reset_count, o->reset_count);
            CHECK_SIZE(g->wasted_bytes, 0);
        }
        end(&with);
        end(&larger);
        end(&plain);
    }
}

int main(void) {
    check_alarm(300);
    RUN(every_field_has_a_rule);
    RUN(no_debug_option_changes_a_statistic_except_by_its_rule);
    RUN(own_blocks_change_statistics_by_their_rules);
    return check_finish();
}
