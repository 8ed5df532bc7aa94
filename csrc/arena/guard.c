/* SPDX-License-Identifier: Apache-2.0 */
/* What an arena does about mistakes and secrets when its flags ask for it: guards behind
 * allocations, fill patterns, wiping.
 *
 * A guard is a struct behind an allocation. Its first bytes are a pattern. Then come its fields,
 * and last a seal, which is computed from the fields.
 *
 * Invariants:
 * 1. Each allocation of a guarded arena has a guard behind it, and each guard points to the one
 *    that was the newest before it (aegis_i_guard_set). So one walk along the chain finds them all.
 * 2. The pattern lies before the fields, so an overrun changes the pattern first (struct
 *    aegis_arena_guard). The padding between the allocation and its guard is part of the pattern
 *    (aegis_i_guard_set, inspect).
 * 3. A pointer of the chain is followed only if the seal of its guard is good (is_sealed, called by
 *    inspect, aegis_i_guard_drop and aegis_i_guard_merge).
 * 4. Every guard in the chain lies in memory that is handed out. Before that memory is freed, its
 *    guards leave the chain: aegis_i_guard_check when the arena goes back, aegis_i_guard_drop when
 *    one allocation is freed or resized.
 * 5. Numbers rise along the chain, and no number is given twice (aegis_i_guard_set,
 *    aegis_i_guard_merge). A mark keeps the number of the newest guard at its time.
 * 6. `guards_bytes` counts the bytes that guards take of the memory in use, and the checkers' gaps
 *    (state.h). This file does not change it: the code that moves `ptr` does, in the same step. So
 *    the used bytes are right at every sample, even if an overrun has broken the chain.
 *
 * What follows: by 1 and 2 a check of the chain finds an overrun that changes the first byte behind
 * the allocation or any byte of the pattern. By 3 and 4 the walk never reads memory that is no
 * guard: an overrun that reaches the fields breaks the seal, so the walk ends there and reports it.
 * By 5 a rewind knows the guards that are newer than its mark by their numbers, whatever was freed
 * since. */
#include "guard.h"
#include "../base/harden.h"
#include "../base/text.h"

#define PATTERN_BYTES 16
#define PATTERN_GUARD 0xFD
#define PATTERN_FRESH 0xA5
#define PATTERN_FREED 0xDF

struct aegis_arena_guard {
    unsigned char pattern[PATTERN_BYTES];
    aegis_arena_guard *previous;
    size_t size_bytes;
    uint64_t number;
    uint64_t seal;
};

_Static_assert(sizeof(aegis_arena_guard) % AEGIS_ARENA_ALIGN == 0, "guards keep the alignment");

size_t aegis_i_guard_size(void) {
    return sizeof(aegis_arena_guard);
}

/* The address of the guard behind an allocation. */
static aegis_arena_guard *guard_of(unsigned char *p, size_t size_bytes) {
    return (aegis_arena_guard *)(void *)(p + aegis_i_round_up(size_bytes, AEGIS_ARENA_ALIGN));
}

/* The value that the seal must have: the fields, multiplied by odd factors, so that a change of one
 * field shows. */
static uint64_t seal_of(const aegis_arena_guard *guard) {
    return ((uint64_t)(uintptr_t)guard->previous ^ UINT64_C(0x9E3779B97F4A7C15)) * 3 +
           (uint64_t)guard->size_bytes * 5 + guard->number * 7;
}

static bool is_sealed(const aegis_arena_guard *guard) {
    return guard->seal == seal_of(guard);
}

void aegis_i_guard_set(aegis_arena *arena, unsigned char *p, size_t size_bytes) {
    aegis_arena_guard *guard = guard_of(p, size_bytes);
    /* The padding before the guard is a part of the pattern. */
    memset(p + size_bytes, PATTERN_GUARD, (size_t)((unsigned char *)guard - p) - size_bytes);
    memset(guard->pattern, PATTERN_GUARD, PATTERN_BYTES);
    guard->previous = arena->guards;
    guard->size_bytes = size_bytes;
    guard->number = ++arena->guard_count;
    guard->seal = seal_of(guard);
    arena->guards = guard;
}

/* Whether `count` bytes still have the value of the pattern. */
static bool is_intact(const unsigned char *bytes, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (bytes[i] != PATTERN_GUARD)
            return false;
    return true;
}

/* Writes into `damage` what is wrong with a guard. Returns the guard before it, or NULL if that is
 * not known. */
static aegis_arena_guard *inspect(const aegis_arena_guard *guard, aegis_i_damage *damage) {
    if (!is_sealed(guard)) {
        /* The overrun has reached the fields, so they are not valid. */
        damage->kind = AEGIS_I_OVERRUN_FAR;
        return NULL;
    }
    size_t padding = aegis_i_round_up(guard->size_bytes, AEGIS_ARENA_ALIGN) - guard->size_bytes;
    damage->kind = is_intact(guard->pattern - padding, PATTERN_BYTES + padding) ? AEGIS_I_INTACT
                                                                                : AEGIS_I_OVERRUN;
    damage->size_bytes = guard->size_bytes;
    damage->number = guard->number;
    return guard->previous;
}

void aegis_i_guard_report(const aegis_arena *arena, const aegis_i_damage *damage) {
    if (damage->kind == AEGIS_I_OVERRUN_FAR)
        aegis_i_report("arena '%s': an allocation was overrun by %d bytes or more", arena->name,
                       PATTERN_BYTES);
    else if (damage->kind == AEGIS_I_OVERRUN)
        aegis_i_report("arena '%s': allocation %llu, of %zu bytes, was overrun", arena->name,
                       (unsigned long long)damage->number, damage->size_bytes);
}

void aegis_i_guard_drop(aegis_arena *arena, unsigned char *p, size_t size_bytes,
                        aegis_i_damage *damage) {
    const aegis_arena_guard *wanted = guard_of(p, size_bytes);
    /* Allocations in blocks of their own may be newer than the latest allocation of the current
     * block. */
    aegis_arena_guard *newer = NULL;
    aegis_arena_guard *guard = arena->guards;
    for (; guard != NULL && guard != wanted && is_sealed(guard); guard = guard->previous)
        newer = guard;
    if (guard == NULL || guard != wanted)
        return;
    aegis_arena_guard *previous = inspect(guard, damage);
    if (newer == NULL) {
        arena->guards = previous;
    } else {
        newer->previous = previous;
        newer->seal = seal_of(newer);
    }
}

void aegis_i_guard_check(aegis_arena *arena, uint64_t kept) {
    /* A guard with a broken seal is inspected, whatever its number is, because the number may be
     * wrong too. */
    while (arena->guards != NULL && (arena->guards->number > kept || !is_sealed(arena->guards))) {
        aegis_i_damage damage;
        arena->guards = inspect(arena->guards, &damage);
        aegis_i_guard_report(arena, &damage);
    }
}

void aegis_i_guard_merge(aegis_arena *to, aegis_arena *from) {
    aegis_arena_guard *oldest = from->guards;
    if (oldest == NULL)
        return;
    while (is_sealed(oldest) && oldest->previous != NULL)
        oldest = oldest->previous;
    if (!is_sealed(oldest)) {
        /* The chain is broken: the part of it that can be followed is checked now. */
        aegis_i_guard_check(from, 0);
        return;
    }
    to->guard_count = from->guard_count > to->guard_count ? from->guard_count : to->guard_count;
    oldest->previous = to->guards;
    oldest->seal = seal_of(oldest);
    to->guards = from->guards;
}

void aegis_i_show_fresh(const aegis_arena *arena, unsigned char *p, size_t size_bytes) {
    AEGIS_I_SHOW(p, size_bytes);
    if ((arena->flags & AEGIS_ARENA_FILL) == 0)
        return;
    memset(p, PATTERN_FRESH, size_bytes);
    AEGIS_I_SHOW(p, size_bytes);
}

/* A memset that the compiler must keep, because it does not know which function is called. */
static void *(*volatile const wipe)(void *, int, size_t) = memset;

void aegis_i_clean_bytes(const aegis_arena *arena, unsigned char *p, size_t size_bytes) {
    if ((arena->flags & (AEGIS_ARENA_WIPE | AEGIS_ARENA_FILL)) == 0 || size_bytes == 0)
        return;
    AEGIS_I_SHOW_ZEROED(p, size_bytes);
    wipe(p, (arena->flags & AEGIS_ARENA_WIPE) != 0 ? 0 : PATTERN_FREED, size_bytes);
}

void aegis_i_clean(const aegis_arena *arena, aegis_arena_block *block, unsigned char *from) {
    if (from >= block->dirty_end)
        return;
    aegis_i_clean_bytes(arena, from, (size_t)(block->dirty_end - from));
    if ((arena->flags & AEGIS_ARENA_WIPE) != 0)
        block->dirty_end = from;
}
