/* SPDX-License-Identifier: Apache-2.0 */
/** @file source.h
 *  Where blocks come from. An aegis_source is a pair of functions and a context; every object of
 *  this library takes its memory through one, a block at a time.
 *
 *  Three are built in: the C heap, anonymous pages of the operating system, and a region of
 *  memory that the caller supplies. A user's own is a struct filled in by hand.
 *
 *  After a fork the built-in ones work in the child process. Another one must see to that itself: a
 *  lock of its own may be held by a thread that the child does not have.
 */
#ifndef AEGIS_MEMORY_SOURCE_H
#define AEGIS_MEMORY_SOURCE_H

#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

/** A supplier of blocks. Copied by value into the object that uses it. */
typedef struct aegis_source {
    /** Returns `size_bytes` bytes (never 0) aligned to `align_bytes` (a power of two), or NULL.
     *  `*zeroed` is false on entry; set it true if every byte returned is zero. Memory that is not
     *  aligned so is given back at once, and the request fails with AEGIS_E_SOURCE. Beware of
     *  malloc: on 32-bit systems it often aligns to 8 bytes, and objects ask for 16 and more. */
    void *(*acquire)(void *context, size_t size_bytes, size_t align_bytes, bool *zeroed);
    /** Takes back what `acquire` returned, with the same size and alignment. NULL: never. */
    void (*release)(void *context, void *memory, size_t size_bytes, size_t align_bytes);
    /** Called once by an object that is finished, after its last release. NULL: not called. */
    void (*close)(void *context);
    /** Handed to all three. */
    void *context;
} aegis_source;

/** aegis_source_pages: back the pages with huge ones where the system can. */
#define AEGIS_PAGES_HUGE 1u
/** aegis_source_pages: make the pages resident at once, so that first use does not fault. */
#define AEGIS_PAGES_PREFAULT 2u

/** A piece of the caller's memory that a source hands out from, lowest address first. */
typedef struct aegis_region {
    unsigned char *base;
    size_t size_bytes;
    size_t used_bytes;
} aegis_region;

/** Returns the C heap as a source. Its blocks are zeroed (calloc) up to the alignment that malloc
 *  keeps everywhere: 16 bytes with 64-bit addresses, 8 with 32.
 *  @return   a source without state.
 *  Threads:  any thread; the source may be shared.
 *  Cost:     O(1).
 */
AEGIS_API aegis_source aegis_source_heap(void);

/** Returns anonymous pages of the system as a source. Its blocks are zeroed and page-aligned,
 *  and go back to the system when released. Sizes are rounded up to whole pages inside.
 *  @param flags  AEGIS_PAGES_* or 0. On a system that lacks a flag's feature, the flag is a hint
 *                without effect. Unknown bits make every acquire fail.
 *  @return       a source without state.
 *  Threads:      any thread; the source may be shared.
 *  Cost:         O(1); each acquire and release is a system call.
 */
AEGIS_API aegis_source aegis_source_pages(uint32_t flags);

/** Returns a source over the caller's memory. It hands out successive pieces and, when none is
 *  left, refuses. Releasing the latest piece makes it available again; others stay taken.
 *  @param region  set `base` and `size_bytes`, leave `used_bytes` 0.
 *  @return        a source whose context is `region`.
 *  Ownership:     `region` and its memory are the caller's and outlive every user of the source.
 *  Threads:       one owner.
 *  Cost:          O(1), never a system call.
 */
AEGIS_API aegis_source aegis_source_region(aegis_region *region);

#ifdef __cplusplus
}
#endif

#endif
