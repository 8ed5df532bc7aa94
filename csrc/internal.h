/* SPDX-License-Identifier: Apache-2.0 */
/* What the core's own files share: checked arithmetic, the block header, and the block chain's
 * functions that arena.c calls. Not installed. */
#ifndef AEGIS_MEMORY_INTERNAL_H
#define AEGIS_MEMORY_INTERNAL_H

#if !defined(_MSC_VER) && (!defined(__STDC_VERSION__) || __STDC_VERSION__ < 201112L)
#error "the library itself, unlike its headers, is written in C11: compile it with -std=c11"
#endif

#include "aegis_memory/arena.h"

/* AEGIS_DEBUG, an option of its own, turns on guards, fill patterns, reports of misuse and the
 * asserts. NDEBUG says nothing here: whether it is set by default depends on the build system. */
#undef NDEBUG
#if defined(AEGIS_DEBUG) && AEGIS_DEBUG
#define AEGIS_I_DEBUG 1
#else
#define AEGIS_I_DEBUG 0
#define NDEBUG
#endif
#include <assert.h>

/* Internal functions have external linkage between our files, none outside. */
#if defined(__GNUC__) && !defined(_WIN32)
#define AEGIS_I_HIDDEN __attribute__((visibility("hidden")))
#else
#define AEGIS_I_HIDDEN
#endif

/* Keeps a rare case out of its caller, whose registers it would cost. */
#if defined(__GNUC__)
#define AEGIS_I_COLD __attribute__((__noinline__))
#else
#define AEGIS_I_COLD
#endif

#if defined(__MINGW32__)
/* To the compiler printf is that of Windows' first C library, which knew no %zu; the header knows
 * which functions it declares. */
#include <stdio.h>
#define AEGIS_I_FORMAT(text, values)                                                               \
    __attribute__((__format__(__MINGW_PRINTF_FORMAT, text, values)))
#elif defined(__GNUC__)
#define AEGIS_I_FORMAT(text, values) __attribute__((__format__(__printf__, text, values)))
#else
#define AEGIS_I_FORMAT(text, values)
#endif

/* What malloc and calloc align memory of 16 bytes and more to, everywhere we run. The standard's
 * promise, max_align_t, is more than some keep (the GNU C library for 32-bit x86 before 2.26, the
 * Windows C library for 32 bits with gcc's max_align_t); two pointers would be more than it
 * promises on some others. So it is the lesser of the two. */
#if defined(_WIN32)
#define AEGIS_I_HEAP_ALIGN (2 * sizeof(void *))
#else
#define AEGIS_I_HEAP_ALIGN                                                                         \
    (_Alignof(max_align_t) < 2 * sizeof(void *) ? _Alignof(max_align_t) : 2 * sizeof(void *))
#endif

static inline bool aegis_i_is_power_of_two(size_t value) {
    return value != 0 && (value & (value - 1)) == 0;
}

/* Rounds up to a power of two. The caller knows that the result fits. */
static inline size_t aegis_i_round_up(size_t value, size_t power_of_two) {
    return (value + (power_of_two - 1)) & ~(power_of_two - 1);
}

/* Bytes from `p` up to the next multiple of `align_bytes`. */
static inline size_t aegis_i_padding(const unsigned char *p, size_t align_bytes) {
    return (size_t)(0 - (uintptr_t)p) & (align_bytes - 1);
}

static inline size_t aegis_i_min(size_t a, size_t b) {
    return a < b ? a : b;
}

static inline size_t aegis_i_max(size_t a, size_t b) {
    return a > b ? a : b;
}

/* Reports a mistake of the user, as printf does. Debug builds and guards only. */
AEGIS_I_HIDDEN void aegis_i_report(const char *format, ...) AEGIS_I_FORMAT(1, 2);

/* Copies a name into `bytes` of room, cut before a UTF-8 continuation byte if it is too long. */
AEGIS_I_HIDDEN void aegis_i_copy_name(char *to, const char *from, size_t bytes);

/* Fills in the record of a request for bytes. With AEGIS_E_INVALID_LAYOUT, `allowed` says how many
 * there can be at this alignment, unless the caller knows better. */
static inline aegis_status aegis_i_error_bytes(aegis_error *error, aegis_status status,
                                               size_t size_bytes, size_t align_bytes) {
    size_t excess_bytes = align_bytes > AEGIS_ARENA_ALIGN && aegis_i_is_power_of_two(align_bytes)
                              ? align_bytes - 1
                              : 0;
    memset(error, 0, sizeof *error);
    error->status = status;
    error->requested_bytes = error->asked = size_bytes;
    error->align_bytes = align_bytes;
    error->allowed = status == AEGIS_E_INVALID_LAYOUT ? PTRDIFF_MAX - excess_bytes : 0;
    return status;
}

/* Fills in the record of an argument that cannot be accepted. */
static inline aegis_status aegis_i_error_refuse(aegis_error *error, aegis_status status,
                                                uint32_t what, size_t asked, size_t allowed) {
    memset(error, 0, sizeof *error);
    error->status = status;
    error->what = what;
    error->asked = asked;
    error->allowed = allowed;
    return status;
}

/* The bytes that a budget takes of the C heap, for the error when they are not to be had. */
AEGIS_I_HIDDEN size_t aegis_i_budget_bytes(void);
/* The same for a function that is told of pressure. */
AEGIS_I_HIDDEN size_t aegis_i_budget_watcher_bytes(void);
/* Whether the budget's children are lost in this process, so that no more can be made. */
AEGIS_I_HIDDEN bool aegis_i_budget_is_lost(aegis_budget *budget);

/* A text under construction: what does not fit is only counted. */
typedef struct aegis_i_text {
    char *buffer;
    size_t buffer_bytes;
    size_t length;
} aegis_i_text;

AEGIS_I_HIDDEN void aegis_i_text_add(aegis_i_text *text, const char *format, ...)
    AEGIS_I_FORMAT(2, 3);

/* Why memory was refused, and by which budget if that is why, with the figures that the charge
 * met: they may be others by the time that somebody asks. */
typedef struct aegis_i_refusal {
    aegis_status status;
    const aegis_budget *budget;
    size_t limit_bytes;
    size_t in_use_bytes;
} aegis_i_refusal;

/* As aegis_budget_charge; a refusal is written into `why`, which is else left as it is. */
AEGIS_I_HIDDEN aegis_status aegis_i_budget_charge(aegis_budget *budget, size_t size_bytes,
                                                  aegis_i_refusal *why);

/* Charges the budget, which may be NULL, and acquires memory from the source: no other code calls
 * an acquire function. It calls the user's functions (source, pressure), which may use the object
 * that asks; so it is called with no lock held, and knows nothing of that object. NULL: `why`. */
AEGIS_I_HIDDEN void *aegis_i_acquire(const aegis_source *source, aegis_budget *budget,
                                     size_t size_bytes, size_t align_bytes, bool *zeroed,
                                     aegis_i_refusal *why);
/* Releases what was acquired so, and takes the charge back. */
AEGIS_I_HIDDEN void aegis_i_give_back(const aegis_source *source, aegis_budget *budget,
                                      void *memory, size_t size_bytes, size_t align_bytes);
/* Writes into an error record why memory was refused; if a budget refused, in its figures. */
AEGIS_I_HIDDEN void aegis_i_explain_refusal(const aegis_i_refusal *why, aegis_error *error);

/* The head of a block; its usable bytes follow. The block knows no arena, so arenas can move. */
struct aegis_arena_block {
    aegis_arena_block *next;
    /* As acquired from the source, head included. */
    size_t total_bytes;
    /* One past the usable bytes; a multiple of AEGIS_ARENA_ALIGN. */
    unsigned char *end;
    /* Bytes at or above are zero. While the block is current, the arena's copy counts. */
    unsigned char *dirty_end;
    /* One past the bytes handed out, once the block is closed. */
    unsigned char *top;
    /* AEGIS_I_BLOCK_* */
    uint32_t flags;
};

/* The block lies in the caller's memory: never released. */
#define AEGIS_I_BLOCK_CALLER UINT32_C(1)
/* Acquired by an arena during a scope on it: given to such an arena again by the next scope at the
 * same depth. The bits above the flags count that depth. */
#define AEGIS_I_BLOCK_OUTER UINT32_C(2)
#define AEGIS_I_BLOCK_DEPTH_SHIFT 2
/* What the source is asked to align blocks to; the usable bytes start as aligned. */
#define AEGIS_I_BLOCK_ALIGN ((size_t)16)
#define AEGIS_I_BLOCK_HEAD                                                                         \
    ((sizeof(aegis_arena_block) + AEGIS_I_BLOCK_ALIGN - 1) & ~(AEGIS_I_BLOCK_ALIGN - 1))

/* A request that takes no more of a block, head included, is small. */
#define AEGIS_I_SMALL_MAX ((size_t)64 << 10)

/* The block of the growth step, or of a half or less of it, that a request may have which takes
 * `exact_bytes` of it, heads included: into which several such requests fit, or which is hardly
 * larger than the request; 0 if there is none. A block of the request's own size is the other
 * choice, so no request reserves much more than it asks for; several in one block spare the source
 * as many calls. A large request may have a block for several when that adds a tenth at most to
 * what the arena has reserved. */
static inline size_t aegis_i_step_block(size_t step_bytes, size_t exact_bytes,
                                        size_t reserved_bytes) {
    bool is_small = exact_bytes <= AEGIS_I_SMALL_MAX;
    while (!is_small && step_bytes > reserved_bytes / 10 && exact_bytes <= step_bytes / 8)
        step_bytes = step_bytes / 2 & ~(size_t)15;
    if (exact_bytes <= step_bytes / 4 && (is_small || step_bytes <= reserved_bytes / 10))
        return step_bytes;
    bool is_near = exact_bytes <= step_bytes &&
                   step_bytes - exact_bytes <= exact_bytes / 32 + AEGIS_ARENA_MIN_BLOCK;
    return is_near ? step_bytes : 0;
}

/* Whether a request that got a block of its own size moves the growth step on: by itself it says
 * nothing of what follows, but another one of as much does. */
static inline bool aegis_i_moves_step(size_t step_bytes, size_t exact_bytes,
                                      size_t reserved_bytes) {
    bool is_small = exact_bytes <= AEGIS_I_SMALL_MAX;
    return exact_bytes <= reserved_bytes && (is_small || step_bytes <= reserved_bytes / 20);
}

/* The block of its own that a request gets which takes `exact_bytes` of it, head included: one of
 * 32 sizes between a power of two and the next, so that a request of about the same size can have
 * it after a reset. */
static inline size_t aegis_i_own_block(size_t exact_bytes) {
    size_t grain_bytes = 16;
    while (grain_bytes <= exact_bytes / 64)
        grain_bytes *= 2;
    size_t block_bytes = aegis_i_round_up(exact_bytes, grain_bytes);
    return block_bytes <= PTRDIFF_MAX ? block_bytes : exact_bytes;
}

/* No block ends above: see the invariants in arena.h. With 64-bit addresses that is the lower half
 * of the address space, so that an address and a valid size add up without wrapping. */
#if UINTPTR_MAX > UINT32_MAX
#define AEGIS_I_TOP ((uintptr_t)INTPTR_MAX - AEGIS_ARENA_HEADROOM)
#else
#define AEGIS_I_TOP (UINTPTR_MAX - AEGIS_ARENA_HEADROOM)
#endif

/* aegis_arena.flags of a scope's arena: what AEGIS_I_ARENA_OUTER and AEGIS_I_ARENA_RESET were in
 * the outer one when the scope began. */
#define AEGIS_I_ARENA_WAS_OUTER (UINT32_C(1) << 11)
#define AEGIS_I_ARENA_WAS_RESET (UINT32_C(1) << 12)
/* aegis_arena.flags: the arena was reset since the latest scope that is open on it began. */
#define AEGIS_I_ARENA_RESET (UINT32_C(1) << 13)
/* aegis_arena.flags: the arena of a scope, the first member of its aegis_arena_scope. */
#define AEGIS_I_ARENA_SCOPED (UINT32_C(1) << 14)
/* aegis_arena.flags: the blocks are shards of a lock-free arena, its source's context. */
#define AEGIS_I_ARENA_LOCAL (UINT32_C(1) << 15)
/* aegis_arena.flags: the arena has the caller's memory only and cannot grow. */
#define AEGIS_I_ARENA_FIXED (UINT32_C(1) << 16)
/* aegis_arena.flags: `limit` is kept at `ptr`, so that every allocation takes the slow path and
 * is seen by the checkers of harden.h. The inlined fast paths need no change for it. */
#define AEGIS_I_ARENA_WATCHED (UINT32_C(1) << 17)
/* aegis_arena.flags: a scope has the arena's memory; its new blocks are outer ones. */
#define AEGIS_I_ARENA_OUTER (UINT32_C(1) << 18)
/* aegis_arena.flags: some blocks may be outer ones. */
#define AEGIS_I_ARENA_HAS_OUTER (UINT32_C(1) << 19)
/* aegis_arena.flags: how many scopes the arena is inside of, in the bits from this one up. Counts
 * modulo 4096: deeper scopes share their blocks with shallow ones. */
#define AEGIS_I_ARENA_DEPTH_ONE (UINT32_C(1) << 20)

/* The flags of a block that the arena acquires now. */
static inline uint32_t aegis_i_arena_block_flags(const aegis_arena *arena) {
    uint32_t depth = arena->flags / AEGIS_I_ARENA_DEPTH_ONE;
    bool outer = (arena->flags & AEGIS_I_ARENA_OUTER) != 0;
    return outer ? AEGIS_I_BLOCK_OUTER | depth << AEGIS_I_BLOCK_DEPTH_SHIFT : 0;
}

static inline unsigned char *aegis_i_block_start(const aegis_arena_block *block) {
    return (unsigned char *)(uintptr_t)block + AEGIS_I_BLOCK_HEAD;
}

static inline size_t aegis_i_block_capacity(const aegis_arena_block *block) {
    return (size_t)(block->end - aegis_i_block_start(block));
}

/* Where the current block ends; `limit` may be lower in a watched arena. */
static inline unsigned char *aegis_i_arena_end(const aegis_arena *arena) {
    return arena->block != NULL ? arena->block->end : arena->ptr;
}

static inline size_t aegis_i_arena_used(const aegis_arena *arena) {
    size_t current =
        arena->block != NULL ? (size_t)(arena->ptr - aegis_i_block_start(arena->block)) : 0;
    return arena->closed_bytes - arena->wasted_bytes + current - arena->guards_bytes;
}

/* Whether no byte is handed out, so that every block may count as idle. */
static inline bool aegis_i_arena_is_unused(const aegis_arena *arena) {
    /* Not by the bytes used: an allocation of 0 bytes may have a guard. */
    return arena->closed_bytes == 0 && arena->ptr == aegis_i_block_start(arena->block);
}

/* A function to run before its arena's memory is freed, in that memory. */
struct aegis_arena_deferred {
    aegis_arena_deferred *next;
    aegis_arena_defer_fn function;
    void *context;
};

/* Fills in an entry, which lies in the arena, and makes it the newest. */
static inline void aegis_i_arena_chain_deferred(aegis_arena *arena, aegis_arena_deferred *entry,
                                                aegis_arena_defer_fn function, void *context) {
    entry->next = arena->deferred;
    entry->function = function;
    entry->context = context;
    arena->deferred = entry;
}

/* Leaves the arena without blocks; its other fields are untouched. */
AEGIS_I_HIDDEN void aegis_i_arena_forget_blocks(aegis_arena *arena);
/* Runs what was deferred after `stop`, newest first. */
AEGIS_I_HIDDEN void aegis_i_arena_run_deferred(aegis_arena *arena,
                                               const aegis_arena_deferred *stop);
/* Runs what was deferred and frees what was allocated after a mark that is good; NULL: all. */
AEGIS_I_HIDDEN void aegis_i_arena_free_since(aegis_arena *arena, const aegis_arena_mark *mark);
/* Trims an arena with nothing in use: every block counts as idle, the first too. */
AEGIS_I_HIDDEN void aegis_i_arena_trim_unused(aegis_arena *arena, size_t keep_bytes);
/* Leaves the scopes open on an arena, which is finished too early, to themselves: each one's arena
 * is to be finished like any other, and the first one's closes the source. False: none is open. */
AEGIS_I_HIDDEN bool aegis_i_arena_leave_scopes(aegis_arena *arena);
/* Makes every mark of the arena stale; those that a scope suspends count as the outer arena's. */
AEGIS_I_HIDDEN void aegis_i_arena_renew(aegis_arena *arena);
/* Forgets which of the marks numbered `stamp` and above are stale: none of them can be good. */
AEGIS_I_HIDDEN void aegis_i_arena_forget_marks(aegis_arena *arena, uint64_t stamp);
/* Where the arena of a scope began, and below which nothing is its own; NULL for another arena, and
 * while a scope on this one has its memory. */
static inline const aegis_arena_mark *aegis_i_arena_floor(const aegis_arena *arena) {
    const uint32_t which = AEGIS_I_ARENA_SCOPED | AEGIS_I_ARENA_OUTER;
    if ((arena->flags & which) != AEGIS_I_ARENA_SCOPED)
        return NULL;
    return &((const aegis_arena_scope *)(const void *)arena)->mark;
}
/* O(1) consistency, for asserts. */
AEGIS_I_HIDDEN bool aegis_i_arena_is_valid(const aegis_arena *arena);
/* Sets `ptr` and, from it, `limit`. */
static inline void aegis_i_arena_set_ptr(aegis_arena *arena, unsigned char *ptr) {
    arena->ptr = ptr;
    arena->limit = (arena->flags & AEGIS_I_ARENA_WATCHED) != 0 ? ptr : aegis_i_arena_end(arena);
}
/* Writes the guard behind an allocation and chains it. */
AEGIS_I_HIDDEN void aegis_i_guard_set(aegis_arena *arena, unsigned char *p, size_t size_bytes);
/* How far an allocation was overrun: not at all, into its guard, or beyond what the guard knows. */
typedef enum aegis_i_overrun {
    AEGIS_I_INTACT,
    AEGIS_I_OVERRUN,
    AEGIS_I_OVERRUN_FAR
} aegis_i_overrun;

/* What was found of an allocation, to be reported. */
typedef struct aegis_i_damage {
    aegis_i_overrun kind;
    size_t size_bytes;
    uint64_t number;
} aegis_i_damage;

/* Takes the guard of an allocation off and checks it. What is found is the caller's to report, by
 * the user's function, with no lock held. */
AEGIS_I_HIDDEN void aegis_i_guard_drop(aegis_arena *arena, unsigned char *p, size_t size_bytes,
                                       aegis_i_damage *damage);
/* Reports an overrun, if it is one. */
AEGIS_I_HIDDEN void aegis_i_guard_report(const aegis_arena *arena, const aegis_i_damage *damage);
/* As aegis_arena_free_last, except that damage is for the caller to report. */
AEGIS_I_HIDDEN void aegis_i_arena_free_last(aegis_arena *arena, void *memory, size_t size_bytes,
                                            aegis_i_damage *damage);
/* Resizes an allocation where it is, if it shrinks or is the latest one and fits. False: it must be
 * moved. */
AEGIS_I_HIDDEN bool aegis_i_arena_resize(aegis_arena *arena, unsigned char *p, size_t old_bytes,
                                         size_t new_bytes, aegis_i_damage *damage);
/* Checks and drops the guards with numbers above `kept`, reporting each that was changed. */
AEGIS_I_HIDDEN void aegis_i_guard_check(aegis_arena *arena, uint64_t kept);
/* Moves the guards of `from`, which are newer, into `to`. */
AEGIS_I_HIDDEN void aegis_i_guard_merge(aegis_arena *to, aegis_arena *from);
/* Shows bytes that are handed out uninitialised to the checkers, and fills them if asked. */
AEGIS_I_HIDDEN void aegis_i_show_fresh(const aegis_arena *arena, unsigned char *p,
                                       size_t size_bytes);
/* The size of a guard. */
AEGIS_I_HIDDEN size_t aegis_i_guard_size(void);
/* Wipes or fills freed bytes of a block from `from` on, as the flags ask. */
AEGIS_I_HIDDEN void aegis_i_clean(const aegis_arena *arena, aegis_arena_block *block,
                                  unsigned char *from);
/* Wipes freed bytes of the current block that stay below its dirty end, as the flags ask. */
AEGIS_I_HIDDEN void aegis_i_clean_bytes(const aegis_arena *arena, unsigned char *p,
                                        size_t size_bytes);
/* Keeps a failure for aegis_arena_last_error; returns NULL. The only writer of the record of a
 * request, called when it has failed for good. */
AEGIS_I_HIDDEN void *aegis_i_arena_fail(aegis_arena *arena, const aegis_i_refusal *why,
                                        size_t size_bytes, size_t align_bytes);
/* Keeps the refusal of an argument for aegis_arena_last_error, as aegis_i_error_refuse has it. */
AEGIS_I_HIDDEN aegis_status aegis_i_arena_refuse(aegis_arena *arena, aegis_status status,
                                                 uint32_t what, size_t asked, size_t allowed);
/* An allocation under way: see arena_block.c. Begins as {size, alignment, 0, 0, zeroed, false,
 * regrows}. */
typedef struct aegis_i_request {
    size_t size_bytes;
    /* As asked for, until it is found valid and raised to AEGIS_ARENA_ALIGN. */
    size_t align_bytes;
    /* The most that it takes of a new block. */
    size_t need_bytes;
    /* The block that is wanted, head included. 0: the request is done, well or not. */
    size_t block_bytes;
    /* Whether its bytes must be zero. */
    bool zeroed;
    /* Whether that block is of the growth step. */
    bool grows;
    /* Whether what is allocated takes the place of a smaller allocation: it will grow again, so
     * room behind it is wanted. */
    bool regrows;
} aegis_i_request;

/* The first step of an allocation: serves it from the blocks held. NULL: a block is wanted, or the
 * request has failed and the arena's record says why. */
AEGIS_I_HIDDEN void *aegis_i_arena_serve(aegis_arena *arena, aegis_i_request *request);
/* The second: asks the source for memory, `*zeroed` if all of it is zero. NULL: `why` says why. It
 * reads only what does not change between init and fini: the arena may be in use meanwhile. */
AEGIS_I_HIDDEN void *aegis_i_arena_acquire(const aegis_arena *arena, size_t total_bytes,
                                           bool *zeroed, aegis_i_refusal *why);
/* The third: takes the memory over, or the refusal, and serves the request. As for the first, NULL
 * may mean that another block is wanted. */
AEGIS_I_HIDDEN void *aegis_i_arena_receive(aegis_arena *arena, aegis_i_request *request,
                                           void *memory, bool zeroed, const aegis_i_refusal *why);
/* Allocates what takes the place of a smaller allocation, with room behind it to grow where a new
 * block is needed for it. */
AEGIS_I_HIDDEN void *aegis_i_arena_alloc_regrown(aegis_arena *arena, size_t size_bytes,
                                                 size_t align_bytes);
/* The same of a locked and of a lock-free arena. */
struct aegis_locked_arena;
AEGIS_I_HIDDEN void *aegis_i_locked_alloc_regrown(const struct aegis_locked_arena *arena,
                                                  size_t size_bytes, size_t align_bytes,
                                                  aegis_error *error);
struct aegis_lock_free_arena;
AEGIS_I_HIDDEN void *aegis_i_lock_free_alloc_regrown(const struct aegis_lock_free_arena *arena,
                                                     size_t size_bytes, size_t align_bytes,
                                                     aegis_error *error);
/* Makes a block of memory that was acquired, and puts it behind `last` as idle. */
AEGIS_I_HIDDEN aegis_arena_block *aegis_i_arena_add(aegis_arena *arena, void *memory,
                                                    size_t total_bytes, bool zeroed);
/* Gives every block of the list back, except the caller's. */
AEGIS_I_HIDDEN void aegis_i_arena_release(aegis_arena *arena, aegis_arena_block *block);
/* Lays the head of a block over memory of at least AEGIS_I_BLOCK_HEAD bytes. */
AEGIS_I_HIDDEN aegis_arena_block *aegis_i_block_lay(void *memory, size_t total_bytes, bool zeroed,
                                                    uint32_t flags);
/* Whether the shared arena of a local one has not been reset since; reports it otherwise. */
AEGIS_I_HIDDEN bool aegis_i_local_is_current(const aegis_arena *arena);
/* Carves a shard out of the shared arena: what aegis_i_arena_acquire is to other arenas. */
AEGIS_I_HIDDEN void *aegis_i_local_acquire(aegis_arena *arena, size_t total_bytes, bool *zeroed,
                                           aegis_i_refusal *why);
/* Makes room in the current shard for a request, by moving its end, if nothing was carved behind
 * it. */
AEGIS_I_HIDDEN bool aegis_i_local_extend(aegis_arena *arena, size_t size_bytes, size_t align_bytes);
/* Sets the growth step that follows one of `step_bytes`. */
AEGIS_I_HIDDEN void aegis_i_arena_grow_step(aegis_arena *arena, size_t step_bytes);
/* Makes `block`, idle and behind `last`, the current one of an arena that has none. */
AEGIS_I_HIDDEN void aegis_i_arena_enter(aegis_arena *arena, aegis_arena_block *block);
/* Records in the current block, which there must be, what the arena knows of it. */
static inline void aegis_i_arena_sync_block(aegis_arena *arena) {
    arena->peak_used_bytes = aegis_i_max(arena->peak_used_bytes, aegis_i_arena_used(arena));
    if (arena->ptr > arena->dirty_end)
        arena->dirty_end = arena->ptr;
    arena->block->dirty_end = arena->dirty_end;
}

#endif
