/* SPDX-License-Identifier: Apache-2.0 */
/** @file source.h
 *  Where memory comes from. A source is a pair of functions and a context (aegis_source). Every
 *  object of this library acquires its memory from a source, one block at a time, and releases
 *  it to that source. A block here is one piece of memory of any size.
 *
 *  Three sources are built in: the C heap, anonymous pages of the operating system, and a region
 *  of memory that the caller supplies. A user makes another source by filling in the struct. In a
 *  library without a C library (AEGIS_FREESTANDING) only the region is built in.
 *
 *  After a fork the built-in sources work in the child process. The author of another source
 *  must take care of that: a thread that the child does not have may hold a lock of the source.
 */
#ifndef AEGIS_MEMORY_SOURCE_H
#define AEGIS_MEMORY_SOURCE_H

#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

/** A source. An object that uses it keeps a copy of the struct. */
typedef struct aegis_source {
    /** Returns `size_bytes` bytes (never 0) aligned to `align_bytes` (a power of two), or NULL.
     *  `*zeroed` is false on entry; the function sets it to true if every byte returned is zero.
     *  The object releases memory that is not aligned as asked at once, and the request fails
     *  with AEGIS_E_SOURCE. Beware of malloc: on 32-bit systems it often aligns to 8 bytes, and
     *  objects ask for 16 and more. */
    void *(*acquire)(void *context, size_t size_bytes, size_t align_bytes, bool *zeroed);
    /** Takes back what `acquire` returned, with the same size and alignment. NULL: the memory is
     *  never taken back. */
    void (*release)(void *context, void *memory, size_t size_bytes, size_t align_bytes);
    /** The object that is being finished calls it once, after its last release. NULL: not
     *  called. */
    void (*close)(void *context);
    /** Passed to all three functions. */
    void *context;
} aegis_source;

/** aegis_source_pages: use huge pages if the system can. */
#define AEGIS_PAGES_HUGE 1u
/** aegis_source_pages: make the pages resident at once, so that the first use does not fault. */
#define AEGIS_PAGES_PREFAULT 2u

/** A piece of the caller's memory that a source hands out from, lowest address first. */
typedef struct aegis_region {
    /** The first byte. */
    unsigned char *base;
    /** Bytes of the piece. */
    size_t size_bytes;
    /** Bytes handed out so far, with padding. At first 0. */
    size_t used_bytes;
} aegis_region;

#if !defined(AEGIS_FREESTANDING)

/** Returns the C heap as a source. Its blocks are zeroed (calloc) if their alignment is at most
 *  the one that malloc always gives: 16 bytes with 64-bit addresses, 8 bytes with 32-bit ones.
 *  @return   a source without state.
 *  Threads:  any thread; several objects may share the source.
 *  Cost:     O(1).
 */
AEGIS_API aegis_source aegis_source_heap(void);

/** Returns anonymous pages of the system as a source. Its blocks are zeroed and page-aligned,
 *  and go back to the system when they are released. The source rounds sizes up to whole pages.
 *  On a system that has no such pages, as WASI, the C heap gives the memory, with the same
 *  promises.
 *  @param flags  AEGIS_PAGES_* or 0. On a system that lacks the feature of a flag, the flag has
 *                no effect. If unknown bits are set, every acquire fails.
 *  @return       a source without state.
 *  Threads:      any thread; several objects may share the source.
 *  Cost:         O(1); each acquire and each release is a system call.
 */
AEGIS_API aegis_source aegis_source_pages(uint32_t flags);

#else

/** Sets the default source. Objects that are given no source take it, and so does the library for
 *  what it keeps beside the objects: budgets, the functions that are registered with them, and
 *  requests that are polled. Before the first call, the default source has no memory.
 *  @param source  its `close` is not called. An all-zero struct: no memory.
 *  @return        the source that was set before.
 *  Ownership:     what `context` points to outlives all of the above.
 *  Threads:       one owner. Not while there are budgets or requests, because they go back to
 *                 the source that is set when they are freed.
 *  Cost:          O(1).
 */
aegis_source aegis_set_default_source(aegis_source source);

#endif

/** Returns a source over the caller's memory. It hands out successive pieces, and refuses when
 *  no room is left. If the latest piece is released, its bytes are available again. Any other
 *  piece that is released stays taken.
 *  @param region  the caller sets `base` and `size_bytes`, and leaves `used_bytes` at 0.
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
