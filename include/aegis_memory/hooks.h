/* SPDX-License-Identifier: Apache-2.0 */
/** @file hooks.h
 *  The shapes of other libraries' allocator hooks that pass no user pointer, or pass it last.
 *
 *  A C library that lets its user replace malloc wants functions of certain types. If each of
 *  them takes a user pointer first, functions of the families below fit as they are. For the
 *  other shapes the macros of this header define static functions in the file of the user. So
 *  nothing is cast, and the library has no global state: the user's file says which object the
 *  functions use.
 *
 *  The first argument of each macro is the family of functions that do the work:
 *
 *      aegis_arena_heap_hook         an aegis_arena_heap: arena_heap_hooks.h
 *      aegis_locked_arena_heap_hook  an aegis_locked_arena_heap: locked_arena_heap_hooks.h
 *      aegis_arena_hook              an aegis_arena: arena_hooks.h
 *
 *  The last argument, where there is one, is an expression for a pointer to that object. It is
 *  evaluated at each call, and a pointer of another type is a compiler's error or warning. It may
 *  be the address of a static object, or a variable that the user sets, also a thread-local one.
 *  Memory must be freed by the object that allocated it. So if the pointer changes, the other
 *  library must have freed everything before. The calls of one object's functions follow the
 *  rules of that object for threads: a library that allocates on several threads needs a locked
 *  object.
 *
 *  Each macro is used at file scope, with a semicolon behind it. Functions that are not used cost
 *  nothing. docs/other-libraries.md says which macro serves which library.
 */
#ifndef AEGIS_MEMORY_HOOKS_H
#define AEGIS_MEMORY_HOOKS_H

#include "base.h"

/** Defines functions in the shapes of the C library, for hooks without a user pointer (Expat,
 *  libxml2, jansson, curl, libuv, cJSON, libevent):
 *
 *      void *prefix_malloc(size_t size_bytes);
 *      void *prefix_calloc(size_t count, size_t size_bytes);
 *      void *prefix_realloc(void *memory, size_t size_bytes);
 *      void prefix_free(void *memory);
 *      char *prefix_strdup(const char *text);
 *
 *  They do what the functions of the family with the same names do. `prefix_strdup` copies a
 *  string with the zero byte at its end, or returns NULL.
 *  @param family  the functions that do the work, such as aegis_arena_heap_hook.
 *  @param prefix  how the names begin.
 *  @param target  a pointer to the object, evaluated at each call.
 */
#define AEGIS_DEFINE_MALLOC_HOOKS(family, prefix, target)                                          \
    AEGIS_I_HOOK_TARGET(family, prefix, target)                                                    \
    AEGIS_I_STATIC void *prefix##_malloc(size_t size_bytes) {                                      \
        return family##_malloc(prefix##_target(), size_bytes);                                     \
    }                                                                                              \
    AEGIS_I_STATIC void *prefix##_calloc(size_t count, size_t size_bytes) {                        \
        return family##_calloc(prefix##_target(), count, size_bytes);                              \
    }                                                                                              \
    AEGIS_I_STATIC void *prefix##_realloc(void *memory, size_t size_bytes) {                       \
        return family##_realloc(prefix##_target(), memory, size_bytes);                            \
    }                                                                                              \
    AEGIS_I_STATIC void prefix##_free(void *memory) {                                              \
        family##_free(prefix##_target(), memory);                                                  \
    }                                                                                              \
    AEGIS_I_STATIC char *prefix##_strdup(const char *text) {                                       \
        void *copy;                                                                                \
        size_t size_bytes = 1;                                                                     \
        while (text[size_bytes - 1] != '\0') {                                                     \
            size_bytes++;                                                                          \
        }                                                                                          \
        copy = family##_malloc(prefix##_target(), size_bytes);                                     \
        if (copy != AEGIS_NULL)                                                                    \
            memcpy(copy, text, size_bytes);                                                        \
        return AEGIS_CAST(char *, copy);                                                           \
    }                                                                                              \
    struct prefix##_hooks_end

/** Defines the functions of SQLite's sqlite3_mem_methods, in the order of its fields:
 *
 *      void *prefix_malloc(int size_bytes);
 *      void prefix_free(void *memory);
 *      void *prefix_realloc(void *memory, int size_bytes);
 *      int prefix_size(void *memory);
 *      int prefix_roundup(int size_bytes);
 *      int prefix_init(void *data);
 *      void prefix_shutdown(void *data);
 *
 *  `prefix_roundup` rounds up to a multiple of 8. `prefix_init` returns 0, which is SQLITE_OK.
 *  It and `prefix_shutdown` do nothing: the user makes the object before sqlite3_initialize and
 *  finishes it after sqlite3_shutdown.
 *  @param family, prefix, target  as for AEGIS_DEFINE_MALLOC_HOOKS.
 */
#define AEGIS_DEFINE_SQLITE_HOOKS(family, prefix, target)                                          \
    AEGIS_I_HOOK_TARGET(family, prefix, target)                                                    \
    AEGIS_I_STATIC void *prefix##_malloc(int size_bytes) {                                         \
        return family##_malloc(prefix##_target(), AEGIS_CAST(size_t, size_bytes));                 \
    }                                                                                              \
    AEGIS_I_STATIC void prefix##_free(void *memory) {                                              \
        family##_free(prefix##_target(), memory);                                                  \
    }                                                                                              \
    AEGIS_I_STATIC void *prefix##_realloc(void *memory, int size_bytes) {                          \
        return family##_realloc(prefix##_target(), memory, AEGIS_CAST(size_t, size_bytes));        \
    }                                                                                              \
    AEGIS_I_STATIC int prefix##_size(void *memory) {                                               \
        return AEGIS_CAST(int, family##_usable_size(prefix##_target(), memory));                   \
    }                                                                                              \
    AEGIS_I_STATIC int prefix##_roundup(int size_bytes) {                                          \
        return (size_bytes + 7) & ~7;                                                              \
    }                                                                                              \
    AEGIS_I_STATIC int prefix##_init(void *data) {                                                 \
        (void)data;                                                                                \
        return 0;                                                                                  \
    }                                                                                              \
    AEGIS_I_STATIC void prefix##_shutdown(void *data) {                                            \
        (void)data;                                                                                \
    }                                                                                              \
    struct prefix##_hooks_end

/** Defines functions in the shapes of the C library with a user pointer behind the other
 *  arguments (nghttp2, PCRE2). The user pointer is the object.
 *
 *      void *prefix_malloc(size_t size_bytes, void *object);
 *      void *prefix_calloc(size_t count, size_t size_bytes, void *object);
 *      void *prefix_realloc(void *memory, size_t size_bytes, void *object);
 *      void prefix_free(void *memory, void *object);
 *
 *  @param family, prefix  as for AEGIS_DEFINE_MALLOC_HOOKS.
 */
#define AEGIS_DEFINE_POINTER_LAST_HOOKS(family, prefix)                                            \
    AEGIS_I_STATIC void *prefix##_malloc(size_t size_bytes, void *object) {                        \
        return family##_malloc(object, size_bytes);                                                \
    }                                                                                              \
    AEGIS_I_STATIC void *prefix##_calloc(size_t count, size_t size_bytes, void *object) {          \
        return family##_calloc(object, count, size_bytes);                                         \
    }                                                                                              \
    AEGIS_I_STATIC void *prefix##_realloc(void *memory, size_t size_bytes, void *object) {         \
        return family##_realloc(object, memory, size_bytes);                                       \
    }                                                                                              \
    AEGIS_I_STATIC void prefix##_free(void *memory, void *object) {                                \
        family##_free(object, memory);                                                             \
    }                                                                                              \
    struct prefix##_hooks_end

/* The one place where the user's expression stands: its type is checked here. */
#define AEGIS_I_HOOK_TARGET(family, prefix, target)                                                \
    AEGIS_I_STATIC family##_target *prefix##_target(void) {                                        \
        return (target);                                                                           \
    }

#endif
