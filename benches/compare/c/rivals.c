/* SPDX-License-Identifier: Apache-2.0 */
/* The C rivals: aegis_arena compared with the smallest inline bump, obstack, APR pools and talloc.
 *
 * LOOPS defines the loops of one rival, one loop for each operation. The loops use the rival's
 * NAME_alloc, an inline function that gets its size at run time, and NAME_zeroed. Each loop ends
 * with NAME_reset, so a call is a round. The rival `nothing` allocates nothing and shows what the
 * loop itself costs. */
#include "aegis_memory/arena.h"

#include <apr_pools.h>
#include <obstack.h>
#include <stdlib.h>
#include <string.h>
#include <talloc.h>

#define CAPACITY_BYTES ((size_t)4 << 20)

/* Afterwards the compiler knows nothing of the value any more and must assume that memory was
 * read. */
#define HIDE(value) __asm__ volatile("" : "+r"(value) : : "memory")

typedef void (*round_fn)(void *state, size_t count);

/* The loops have the order of OPERATIONS in src/c.rs. */
typedef struct rival {
    const char *name;
    void *(*make)(void);
    round_fn rounds[5];
} rival;

#define LOOP(name, operation, ...)                                                                 \
    static void name##_loop_##operation(void *state, size_t count) {                               \
        name *rival = (name *)state;                                                               \
        HIDE(rival);                                                                               \
        for (size_t i = 0; i < count; i++) {                                                       \
            HIDE(i);                                                                               \
            __VA_ARGS__;                                                                           \
        }                                                                                          \
        name##_reset(rival);                                                                       \
    }

/* Writes to the allocation, unless the rival allocates nothing. */
#define WRITE(name, statement)                                                                     \
    do {                                                                                           \
        if (name##_allocates)                                                                      \
            statement;                                                                             \
        HIDE(p);                                                                                   \
    } while (0)

#define LOOPS(name)                                                                                \
    LOOP(name, value, {                                                                            \
        uint64_t value = i;                                                                        \
        HIDE(value);                                                                               \
        uint64_t *p = name##_alloc(rival, sizeof *p);                                              \
        WRITE(name, *p = value);                                                                   \
    })                                                                                             \
    LOOP(name, record, {                                                                           \
        record value = {i, i, i};                                                                  \
        HIDE(value.key);                                                                           \
        HIDE(value.offset);                                                                        \
        HIDE(value.length);                                                                        \
        record *p = name##_alloc(rival, sizeof *p);                                                \
        WRITE(name, *p = value);                                                                   \
    })                                                                                             \
    LOOP(name, size, {                                                                             \
        size_t size_bytes = 24;                                                                    \
        HIDE(size_bytes);                                                                          \
        void *p = name##_alloc(rival, size_bytes);                                                 \
        HIDE(p);                                                                                   \
    })                                                                                             \
    LOOP(name, copy16, {                                                                           \
        const char *source = sixteen;                                                              \
        HIDE(source);                                                                              \
        void *p = name##_alloc(rival, 16);                                                         \
        WRITE(name, memcpy(p, source, 16));                                                        \
    })                                                                                             \
    LOOP(name, zeroed, {                                                                           \
        size_t size_bytes = 1024;                                                                  \
        HIDE(size_bytes);                                                                          \
        void *p = name##_zeroed(rival, size_bytes);                                                \
        HIDE(p);                                                                                   \
    })

#define RIVAL(label, name)                                                                         \
    {                                                                                              \
        label, name##_make, {                                                                      \
            name##_loop_value, name##_loop_record, name##_loop_size, name##_loop_copy16,           \
                name##_loop_zeroed                                                                 \
        }                                                                                          \
    }

typedef struct record {
    uint64_t key;
    uint64_t offset;
    uint64_t length;
} record;

static const char sixteen[] = "Europe/Amsterdam";

static void *need(void *memory) {
    if (memory == NULL)
        abort();
    return memory;
}

/* nothing: the loop alone. */
typedef char nothing;
enum { nothing_allocates = 0 };

static void *nothing_make(void) {
    return need(malloc(1));
}

static inline void *nothing_alloc(nothing *rival, size_t size_bytes) {
    (void)size_bytes;
    return rival;
}

#define nothing_zeroed nothing_alloc

static inline void nothing_reset(nothing *rival) {
    (void)rival;
}

LOOPS(nothing)

/* aegis */
typedef aegis_arena aegis;
enum { aegis_allocates = 1 };

static void *aegis_make(void) {
    aegis_arena_options options = {.capacity_bytes = CAPACITY_BYTES};
    aegis_arena *arena = need(malloc(sizeof *arena));
    if (aegis_arena_init(arena, &options) != AEGIS_OK)
        abort();
    return arena;
}

#define aegis_alloc aegis_arena_alloc
#define aegis_zeroed aegis_arena_alloc_zeroed
#define aegis_reset aegis_arena_reset

LOOPS(aegis)

/* bump: one block, aligned to 8, with only what a bump allocator needs. */
typedef struct bump {
    char *ptr;
    char *limit;
    char *start;
} bump;
enum { bump_allocates = 1 };

static void *bump_make(void) {
    bump *rival = need(malloc(sizeof *rival));
    rival->ptr = rival->start = need(malloc(CAPACITY_BYTES));
    rival->limit = rival->start + CAPACITY_BYTES;
    return rival;
}

static inline void *bump_alloc(bump *rival, size_t size_bytes) {
    char *p = rival->ptr;
    char *next = p + ((size_bytes + 7) & ~(size_t)7);
    if (__builtin_expect(next > rival->limit, 0))
        return NULL;
    rival->ptr = next;
    return p;
}

static inline void *bump_zeroed(bump *rival, size_t size_bytes) {
    void *p = bump_alloc(rival, size_bytes);
    return p == NULL ? NULL : memset(p, 0, size_bytes);
}

static inline void bump_reset(bump *rival) {
    rival->ptr = rival->start;
}

LOOPS(bump)

/* obstack, of the C library */
typedef struct stack {
    struct obstack obstack;
    void *bottom;
} stack;
enum { stack_allocates = 1 };

#define obstack_chunk_alloc malloc
#define obstack_chunk_free free

static void *stack_make(void) {
    stack *rival = need(malloc(sizeof *rival));
    obstack_begin(&rival->obstack, CAPACITY_BYTES);
    obstack_alignment_mask(&rival->obstack) = 7;
    rival->bottom = obstack_alloc(&rival->obstack, 0);
    return rival;
}

static inline void *stack_alloc(stack *rival, size_t size_bytes) {
    return obstack_alloc(&rival->obstack, size_bytes);
}

static inline void *stack_zeroed(stack *rival, size_t size_bytes) {
    return memset(stack_alloc(rival, size_bytes), 0, size_bytes);
}

static inline void stack_reset(stack *rival) {
    obstack_free(&rival->obstack, rival->bottom);
    rival->bottom = obstack_alloc(&rival->obstack, 0);
}

LOOPS(stack)

/* APR pools, which keep their blocks over a clear */
typedef apr_pool_t apr;
enum { apr_allocates = 1 };

static void *apr_make(void) {
    apr_pool_t *pool = NULL;
    if (apr_initialize() != APR_SUCCESS || apr_pool_create(&pool, NULL) != APR_SUCCESS)
        abort();
    return pool;
}

#define apr_alloc apr_palloc
/* apr_pcalloc is a macro for these two calls. */
#define apr_zeroed(rival, size_bytes) memset(apr_palloc(rival, size_bytes), 0, size_bytes)
#define apr_reset apr_pool_clear

LOOPS(apr)

/* talloc, with a pool that has room for a round and its headers */
typedef void tall;
enum { tall_allocates = 1 };

static void *tall_make(void) {
    return need(talloc_pool(NULL, CAPACITY_BYTES));
}

#define tall_alloc talloc_size
#define tall_zeroed talloc_zero_size
#define tall_reset talloc_free_children

LOOPS(tall)

static const rival rivals[] = {
    RIVAL("C nothing", nothing), RIVAL("C aegis_arena", aegis), RIVAL("C inline bump", bump),
    RIVAL("C obstack", stack),   RIVAL("C APR pool", apr),      RIVAL("C talloc pool", tall),
};

/* The rival with that index; NULL behind the last one. */
const rival *compare_rival(size_t index);

const rival *compare_rival(size_t index) {
    return index < sizeof rivals / sizeof rivals[0] ? &rivals[index] : NULL;
}
