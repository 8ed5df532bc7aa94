/* SPDX-License-Identifier: Apache-2.0 */
/* What depends on the compiler and on the build: the language version, asserts, visibility, printf.
 * Not installed. */
#ifndef AEGIS_MEMORY_I_BASE_PORT_H
#define AEGIS_MEMORY_I_BASE_PORT_H

#if !defined(_MSC_VER) && (!defined(__STDC_VERSION__) || __STDC_VERSION__ < 201112L)
#error "the library itself, unlike its headers, is written in C11: compile it with -std=c11"
#endif

#include "aegis_memory/base.h"

/* AEGIS_DEBUG turns on guards, fill patterns, reports of misuse and the asserts. It is an option of
 * its own. NDEBUG has no effect here, because it depends on the build system whether it is set. */
#undef NDEBUG
#if defined(AEGIS_DEBUG) && AEGIS_DEBUG
#define AEGIS_I_DEBUG 1
#else
#define AEGIS_I_DEBUG 0
#define NDEBUG
#endif
#if !defined(AEGIS_FREESTANDING)
#include <assert.h>
#include <string.h>
#elif AEGIS_I_DEBUG && defined(__GNUC__)
#define assert(condition) ((condition) ? (void)0 : __builtin_trap())
#else
#define assert(condition) ((void)0)
#endif

/* Internal functions can be called from all files of the library, but not from outside it. */
#if defined(__GNUC__) && !defined(_WIN32)
#define AEGIS_I_HIDDEN __attribute__((visibility("hidden")))
#else
#define AEGIS_I_HIDDEN
#endif

#if defined(AEGIS_FREESTANDING)
static inline size_t aegis_i_length(const char *text) {
    size_t length = 0;
    /* Volatile, so that no compiler makes a call of strlen from the loop. */
    for (const volatile char *each = text; *each != '\0'; each++)
        length++;
    return length;
}
#else
#define aegis_i_length(text) strlen(text)
#endif

/* Marks a function for a rare case, which is not inlined: inlined, it would take registers from its
 * caller. */
#if defined(__GNUC__)
#define AEGIS_I_COLD __attribute__((__noinline__))
#else
#define AEGIS_I_COLD
#endif

#if defined(__MINGW32__)
/* The compiler takes printf for that of Windows' first C library, which has no %zu. The header
 * knows which functions it declares. */
#include <stdio.h>
#define AEGIS_I_FORMAT(text, values)                                                               \
    __attribute__((__format__(__MINGW_PRINTF_FORMAT, text, values)))
#elif defined(__GNUC__)
#define AEGIS_I_FORMAT(text, values) __attribute__((__format__(__printf__, text, values)))
#else
#define AEGIS_I_FORMAT(text, values)
#endif

/* The alignment that malloc and calloc give memory of 16 bytes and more on every platform. The
 * standard promises max_align_t, but some libraries do not keep that (the GNU C library for 32-bit
 * x86 before 2.26, the Windows C library for 32 bits with gcc's max_align_t). On some other
 * platforms the size of two pointers is more than the standard promises. So this is the smaller of
 * the two. */
#if defined(_WIN32)
#define AEGIS_I_HEAP_ALIGN (2 * sizeof(void *))
#else
#define AEGIS_I_HEAP_ALIGN                                                                         \
    (_Alignof(max_align_t) < 2 * sizeof(void *) ? _Alignof(max_align_t) : 2 * sizeof(void *))
#endif

#endif
