/* SPDX-License-Identifier: Apache-2.0 */
/* The built-in sources: the C heap, anonymous pages, and a region of the caller's. Without a C
 * library (AEGIS_FREESTANDING) the region is the only one, and the user sets the default source.
 *
 * The heap source uses calloc. Its memory is zeroed, so an arena need not clear it for a zeroed
 * allocation, and calloc itself does not clear memory that it knows to be fresh from the system.
 * Memory of a larger alignment than calloc gives comes from another function, and is not zeroed.
 *
 * The pages source uses mmap or VirtualAlloc. How it gets an alignment that is larger than a page:
 * 1. With mmap it maps as many bytes more as the alignment may need, and unmaps those before and
 *    behind the aligned part. pages_release unmaps the rest, rounded up to pages in the same way.
 * 2. VirtualAlloc gives addresses that are multiples of 64 KiB. VirtualFree can release only what
 *    one VirtualAlloc has reserved. So for a larger alignment it reserves more bytes to find an
 *    aligned address, releases them, and allocates at that address. If another thread takes the
 *    address in between, it tries again; it makes at most 16 attempts.
 * 3. Where no interface to pages is known, such as on WASI, it takes whole pages from the C heap,
 *    and clears them. */
#if !defined(_WIN32) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* MAP_ANONYMOUS, madvise */
#endif

#include "source.h"
#include "base/arithmetic.h"

#if !defined(AEGIS_FREESTANDING)

#if defined(_WIN32)
#include <malloc.h>
#include <windows.h>
/* The system's granularity of reservations, on every version and processor. */
#define AEGIS_I_GRANULARITY ((size_t)65536)
#elif defined(__unix__) || defined(__APPLE__)
#include <sys/mman.h>
#include <unistd.h>
#define AEGIS_I_HAS_MMAP 1
#endif

#define AEGIS_I_HUGE_PAGE_BYTES ((size_t)2 << 20)

/* Whether the sum of size and alignment is a legal size. If so, no sum of them wraps, here or in a
 * function of the system that gets them. */
static bool is_possible(size_t size_bytes, size_t align_bytes) {
    return align_bytes <= PTRDIFF_MAX && size_bytes <= PTRDIFF_MAX - align_bytes;
}

static void *heap_acquire(void *context, size_t size_bytes, size_t align_bytes, bool *zeroed) {
    (void)context;
    if (!is_possible(size_bytes, align_bytes))
        return NULL;
    if (align_bytes <= AEGIS_I_HEAP_ALIGN) {
        *zeroed = true;
        return calloc(1, size_bytes);
    }
#if defined(_WIN32)
    return _aligned_malloc(size_bytes, align_bytes);
#else
    /* aligned_alloc wants a multiple of the alignment. */
    return aligned_alloc(align_bytes, aegis_i_round_up(size_bytes, align_bytes));
#endif
}

static void heap_release(void *context, void *memory, size_t size_bytes, size_t align_bytes) {
    (void)context;
    (void)size_bytes;
#if defined(_WIN32)
    if (align_bytes > AEGIS_I_HEAP_ALIGN) {
        _aligned_free(memory);
        return;
    }
#else
    (void)align_bytes;
#endif
    free(memory);
}

static void *uncleared_acquire(void *context, size_t size_bytes, size_t align_bytes, bool *zeroed) {
    if (align_bytes > AEGIS_I_HEAP_ALIGN)
        return heap_acquire(context, size_bytes, align_bytes, zeroed);
    return is_possible(size_bytes, align_bytes) ? malloc(size_bytes) : NULL;
}

aegis_source aegis_i_uncleared(aegis_source source) {
    if (source.acquire == heap_acquire)
        source.acquire = uncleared_acquire;
    return source;
}

void *aegis_i_source_resize(const aegis_source *source, void *memory, size_t size_bytes,
                            size_t align_bytes) {
    if (source->acquire != heap_acquire || align_bytes > AEGIS_I_HEAP_ALIGN ||
        !is_possible(size_bytes, align_bytes))
        return NULL;
    return realloc(memory, size_bytes);
}

aegis_source aegis_source_heap(void) {
    aegis_source source = {heap_acquire, heap_release, NULL, NULL};
    return source;
}

#if defined(AEGIS_I_HAS_MMAP)

static size_t page_bytes(void) {
    long bytes = sysconf(_SC_PAGESIZE);
    return bytes > 0 ? (size_t)bytes : 4096;
}

/* Makes pages resident: with one call where the system has it, otherwise by writing to each page.
 */
static void prefault(unsigned char *memory, size_t size_bytes) {
#if defined(MADV_POPULATE_WRITE)
    if (madvise(memory, size_bytes, MADV_POPULATE_WRITE) == 0)
        return;
#endif
    size_t step_bytes = page_bytes();
    for (size_t i = 0; i < size_bytes; i += step_bytes)
        *(volatile unsigned char *)(memory + i) = 0;
}

static void *pages_acquire(void *context, size_t size_bytes, size_t align_bytes, bool *zeroed) {
    uint32_t flags = (uint32_t)(uintptr_t)context;
    size_t page = page_bytes();
    if ((flags & ~(AEGIS_PAGES_HUGE | AEGIS_PAGES_PREFAULT)) != 0 ||
        size_bytes > PTRDIFF_MAX - page)
        return NULL;
    size_t size = aegis_i_round_up(size_bytes, page);
    if ((flags & AEGIS_PAGES_HUGE) != 0 && size >= AEGIS_I_HUGE_PAGE_BYTES)
        align_bytes = aegis_i_max(align_bytes, AEGIS_I_HUGE_PAGE_BYTES);
    size_t slack = align_bytes > page ? align_bytes - page : 0;
    if (size > PTRDIFF_MAX - slack)
        return NULL;

    void *mapped =
        mmap(NULL, size + slack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED)
        return NULL;
    /* The bytes before and behind the aligned part go back. */
    unsigned char *memory = (unsigned char *)mapped;
    if (slack != 0) {
        size_t before = aegis_i_padding(memory, align_bytes);
        if (before != 0)
            (void)munmap(memory, before);
        memory += before;
        if (slack != before)
            (void)munmap(memory + size, slack - before);
    }
#if defined(MADV_HUGEPAGE)
    if ((flags & AEGIS_PAGES_HUGE) != 0)
        (void)madvise(memory, size, MADV_HUGEPAGE);
#endif
    if ((flags & AEGIS_PAGES_PREFAULT) != 0)
        prefault(memory, size);
    *zeroed = true;
    return memory;
}

static void pages_release(void *context, void *memory, size_t size_bytes, size_t align_bytes) {
    (void)context;
    (void)align_bytes;
    (void)munmap(memory, aegis_i_round_up(size_bytes, page_bytes()));
}

#elif defined(_WIN32)

/* An address with the alignment and that many free bytes behind it, or NULL. */
static void *find_aligned(size_t size_bytes, size_t align_bytes) {
    unsigned char *probe =
        (unsigned char *)VirtualAlloc(NULL, size_bytes + align_bytes, MEM_RESERVE, PAGE_NOACCESS);
    if (probe == NULL)
        return NULL;
    (void)VirtualFree(probe, 0, MEM_RELEASE);
    return probe + aegis_i_padding(probe, align_bytes);
}

static void *pages_acquire(void *context, size_t size_bytes, size_t align_bytes, bool *zeroed) {
    uint32_t flags = (uint32_t)(uintptr_t)context;
    if ((flags & ~(AEGIS_PAGES_HUGE | AEGIS_PAGES_PREFAULT)) != 0 ||
        !is_possible(size_bytes, align_bytes))
        return NULL;
    void *address = NULL;
    for (int attempt = 0; attempt < 16; attempt++) {
        if (align_bytes > AEGIS_I_GRANULARITY &&
            (address = find_aligned(size_bytes, align_bytes)) == NULL)
            return NULL;
        unsigned char *memory = (unsigned char *)VirtualAlloc(
            address, size_bytes, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
        if (memory != NULL) {
            if ((flags & AEGIS_PAGES_PREFAULT) != 0)
                for (size_t i = 0; i < size_bytes; i += 4096)
                    *(volatile unsigned char *)(memory + i) = 0;
            *zeroed = true;
            return memory;
        }
        if (address == NULL)
            return NULL;
    }
    return NULL;
}

static void pages_release(void *context, void *memory, size_t size_bytes, size_t align_bytes) {
    (void)context;
    (void)size_bytes;
    (void)align_bytes;
    (void)VirtualFree(memory, 0, MEM_RELEASE);
}

#else

#define PAGE_BYTES ((size_t)4096)

static void *pages_acquire(void *context, size_t size_bytes, size_t align_bytes, bool *zeroed) {
    uint32_t flags = (uint32_t)(uintptr_t)context;
    align_bytes = aegis_i_max(align_bytes, PAGE_BYTES);
    if ((flags & ~(AEGIS_PAGES_HUGE | AEGIS_PAGES_PREFAULT)) != 0 ||
        !is_possible(size_bytes, align_bytes))
        return NULL;
    size_bytes = aegis_i_round_up(size_bytes, PAGE_BYTES);
    void *memory = heap_acquire(NULL, size_bytes, align_bytes, zeroed);
    if (memory != NULL && !*zeroed)
        memset(memory, 0, size_bytes);
    *zeroed = true;
    return memory;
}

static void pages_release(void *context, void *memory, size_t size_bytes, size_t align_bytes) {
    (void)context;
    heap_release(NULL, memory, size_bytes, aegis_i_max(align_bytes, PAGE_BYTES));
}

#endif

aegis_source aegis_source_pages(uint32_t flags) {
    aegis_source source = {pages_acquire, pages_release, NULL, NULL};
    source.context = (void *)(uintptr_t)flags;
    return source;
}

#else

#if defined(AEGIS_I_FIRST_ACQUIRE)
/* The build names two functions that are the first default source. */
void *AEGIS_I_FIRST_ACQUIRE(void *context, size_t size_bytes, size_t align_bytes, bool *zeroed);
void AEGIS_I_FIRST_RELEASE(void *context, void *memory, size_t size_bytes, size_t align_bytes);
static aegis_source default_source = {AEGIS_I_FIRST_ACQUIRE, AEGIS_I_FIRST_RELEASE, NULL, NULL};
#else
static aegis_source default_source;
#endif

aegis_source aegis_set_default_source(aegis_source source) {
    aegis_source before = default_source;
    default_source = source;
    return before;
}

aegis_source aegis_i_default_source(void) {
    return default_source;
}

/* In front of a record: its bytes with these. As large as the alignment. */
#define RECORD_HEADER_BYTES ((size_t)16)

void *aegis_i_record_new(size_t size_bytes) {
    size_t whole_bytes = RECORD_HEADER_BYTES + size_bytes;
    bool zeroed = false;
    if (default_source.acquire == NULL)
        return NULL;
    unsigned char *memory = (unsigned char *)default_source.acquire(
        default_source.context, whole_bytes, RECORD_HEADER_BYTES, &zeroed);
    if (memory == NULL)
        return NULL;
    if (aegis_i_padding(memory, RECORD_HEADER_BYTES) != 0) {
        if (default_source.release != NULL)
            default_source.release(default_source.context, memory, whole_bytes,
                                   RECORD_HEADER_BYTES);
        return NULL;
    }
    if (!zeroed)
        memset(memory, 0, whole_bytes);
    memcpy(memory, &whole_bytes, sizeof whole_bytes);
    return memory + RECORD_HEADER_BYTES;
}

void aegis_i_record_free(void *record) {
    if (record == NULL || default_source.release == NULL)
        return;
    unsigned char *memory = (unsigned char *)record - RECORD_HEADER_BYTES;
    size_t whole_bytes;
    memcpy(&whole_bytes, memory, sizeof whole_bytes);
    default_source.release(default_source.context, memory, whole_bytes, RECORD_HEADER_BYTES);
}

#endif

static void *region_acquire(void *context, size_t size_bytes, size_t align_bytes, bool *zeroed) {
    (void)zeroed;
    aegis_region *region = (aegis_region *)context;
    size_t left_bytes = region->size_bytes - region->used_bytes;
    if (size_bytes > left_bytes)
        return NULL; /* an empty region, which may have a NULL base, ends here too */
    size_t pad_bytes = aegis_i_padding(region->base + region->used_bytes, align_bytes);
    if (pad_bytes > left_bytes || size_bytes > left_bytes - pad_bytes)
        return NULL;
    unsigned char *memory = region->base + region->used_bytes + pad_bytes;
    region->used_bytes += pad_bytes + size_bytes;
    return memory;
}

static void region_release(void *context, void *memory, size_t size_bytes, size_t align_bytes) {
    (void)align_bytes;
    aegis_region *region = (aegis_region *)context;
    unsigned char *piece = (unsigned char *)memory;
    if (piece + size_bytes == region->base + region->used_bytes)
        region->used_bytes = (size_t)(piece - region->base);
}

aegis_source aegis_source_region(aegis_region *region) {
    aegis_source source = {region_acquire, region_release, NULL, region};
    return source;
}
