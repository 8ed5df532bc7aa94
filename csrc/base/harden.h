/* SPDX-License-Identifier: Apache-2.0 */
/* What the memory checkers are told, as macros that do nothing when the checker is off.
 * AddressSanitizer is on when the file is compiled with it, Valgrind when AEGIS_VALGRIND is
 * defined.
 *
 * Valgrind's mempool requests are not used. With them memcheck reported the allocations of an arena
 * that lives to the end of the program as lost, and after a reset it described the block and not
 * the allocation. AEGIS_ARENA_OWN_BLOCKS gives both stacks and a clean leak check instead.
 *
 * A checker must see every allocation. So in such a build every arena is watched (see
 * AEGIS_I_ARENA_WATCHED), and AEGIS_I_GUARD_BYTES that belong to no allocation follow each one. */
#ifndef AEGIS_MEMORY_I_BASE_HARDEN_H
#define AEGIS_MEMORY_I_BASE_HARDEN_H

#if defined(__SANITIZE_ADDRESS__)
#define AEGIS_I_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define AEGIS_I_ASAN 1
#endif
#endif

#if defined(AEGIS_I_ASAN)
#include <sanitizer/asan_interface.h>
#define AEGIS_I_ASAN_HIDE(p, n) ASAN_POISON_MEMORY_REGION((p), (n))
#define AEGIS_I_ASAN_SHOW(p, n) ASAN_UNPOISON_MEMORY_REGION((p), (n))
#else
#define AEGIS_I_ASAN_HIDE(p, n) ((void)(p), (void)(n))
#define AEGIS_I_ASAN_SHOW(p, n) ((void)(p), (void)(n))
#endif

#if defined(AEGIS_VALGRIND)
#include <valgrind/memcheck.h>
#define AEGIS_I_VG_HIDE(p, n) ((void)VALGRIND_MAKE_MEM_NOACCESS((p), (n)))
#define AEGIS_I_VG_SHOW(p, n) ((void)VALGRIND_MAKE_MEM_UNDEFINED((p), (n)))
#define AEGIS_I_VG_SHOW_ZEROED(p, n) ((void)VALGRIND_MAKE_MEM_DEFINED((p), (n)))
#else
#define AEGIS_I_VG_HIDE(p, n) ((void)0)
#define AEGIS_I_VG_SHOW(p, n) ((void)0)
#define AEGIS_I_VG_SHOW_ZEROED(p, n) ((void)0)
#endif

/* Whether a checker is compiled in, and how many bytes it wants behind each allocation. */
#if defined(AEGIS_I_ASAN) || defined(AEGIS_VALGRIND)
#define AEGIS_I_CHECKED 1
#define AEGIS_I_GUARD_BYTES ((size_t)16)
#else
#define AEGIS_I_CHECKED 0
#define AEGIS_I_GUARD_BYTES ((size_t)0)
#endif

/* The bytes belong to no allocation: an access to them is an error. */
#define AEGIS_I_HIDE(p, n)                                                                         \
    do {                                                                                           \
        AEGIS_I_ASAN_HIDE((p), (n));                                                               \
        AEGIS_I_VG_HIDE((p), (n));                                                                 \
    } while (0)

/* The bytes are handed out, with undefined content. */
#define AEGIS_I_SHOW(p, n)                                                                         \
    do {                                                                                           \
        AEGIS_I_ASAN_SHOW((p), (n));                                                               \
        AEGIS_I_VG_SHOW((p), (n));                                                                 \
    } while (0)

/* The bytes are handed out or go back to the source, with their content. */
#define AEGIS_I_SHOW_ZEROED(p, n)                                                                  \
    do {                                                                                           \
        AEGIS_I_ASAN_SHOW((p), (n));                                                               \
        AEGIS_I_VG_SHOW_ZEROED((p), (n));                                                          \
    } while (0)

#endif
