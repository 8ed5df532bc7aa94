/* SPDX-License-Identifier: Apache-2.0 */
/* Tests the built-in sources by calling them as an object does. Each must give memory that is
 * writable, aligned as asked and zeroed as it says, and must refuse what no system can give. At the
 * end an arena runs over each source. */
#include "../../csrc/base/arithmetic.h"
#include "support.h"

static void *acquire(const aegis_source *source, size_t size_bytes, size_t align_bytes,
                     bool *zeroed) {
    *zeroed = false;
    return source->acquire(source->context, size_bytes, align_bytes, zeroed);
}

/* Acquires, writes and releases a piece at every alignment up to 2 MiB. */
static void check_alignments(aegis_source source, size_t size_bytes) {
    for (size_t align_bytes = 1; align_bytes <= (size_t)2 << 20; align_bytes *= 2) {
        bool zeroed;
        void *memory = acquire(&source, size_bytes, align_bytes, &zeroed);
        CHECK(memory != NULL);
        if (memory == NULL)
            return;
        CHECK(is_aligned(memory, align_bytes));
        CHECK(!zeroed || is_filled(memory, 0, size_bytes));
        memset(memory, 0x5A, size_bytes);
        source.release(source.context, memory, size_bytes, align_bytes);
    }
}

static void heap_at_every_alignment_gives_writable_aligned_memory(void) {
    check_alignments(aegis_source_heap(), 1);
    check_alignments(aegis_source_heap(), 100000);
}

static void heap_at_small_alignment_is_zeroed(void) {
    aegis_source source = aegis_source_heap();
    bool zeroed;
    void *memory = acquire(&source, 4096, AEGIS_I_HEAP_ALIGN, &zeroed);
    CHECK(memory != NULL && zeroed && is_filled(memory, 0, 4096));
    source.release(source.context, memory, 4096, AEGIS_I_HEAP_ALIGN);
}

static void heap_beyond_memory_gives_null(void) {
    aegis_source source = aegis_source_heap();
    bool zeroed;
    test_hoard hoard = test_hoard_take();
    CHECK(acquire(&source, PTRDIFF_MAX - 4096, 16, &zeroed) == NULL);
    test_hoard_give_back(&hoard);
    CHECK(acquire(&source, SIZE_MAX - 10, 4096, &zeroed) == NULL);
}

/* For each of these, the size plus the alignment is more than an object can have; some sums
 * wrap. */
static void sizes_that_wrap_with_their_alignment_give_null(void) {
    static const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 10, SIZE_MAX - 65536,
                                   (size_t)PTRDIFF_MAX + 1, PTRDIFF_MAX};
    static unsigned char memory[64];
    aegis_region region = {memory, sizeof memory, 0};
    aegis_source sources[] = {aegis_source_heap(), aegis_source_pages(0),
                              aegis_source_pages(AEGIS_PAGES_HUGE), aegis_source_region(&region)};
    for (size_t k = 0; k < sizeof sources / sizeof sources[0]; k++) {
        bool zeroed;
        for (size_t align_bytes = 1; align_bytes != 0; align_bytes *= 2)
            for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
                CHECK(acquire(&sources[k], sizes[i], align_bytes, &zeroed) == NULL);
        /* The size by itself is small. */
        CHECK(acquire(&sources[k], PTRDIFF_MAX / 2 + 100000, PTRDIFF_MAX / 2 + 1, &zeroed) == NULL);
        CHECK(acquire(&sources[k], 4096, (size_t)PTRDIFF_MAX + 1, &zeroed) == NULL);
    }
}

static void pages_with_every_flag_give_zeroed_page_aligned_memory(void) {
    static const uint32_t flags[] = {0, AEGIS_PAGES_HUGE, AEGIS_PAGES_PREFAULT,
                                     AEGIS_PAGES_HUGE | AEGIS_PAGES_PREFAULT};
    static const size_t sizes[] = {1, 4096, 4097, 100000, (size_t)3 << 20};
    for (size_t f = 0; f < sizeof flags / sizeof flags[0]; f++) {
        aegis_source source = aegis_source_pages(flags[f]);
        for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
            bool zeroed;
            void *memory = acquire(&source, sizes[s], 16, &zeroed);
            CHECK(memory != NULL && zeroed);
            if (memory == NULL)
                continue;
            CHECK(is_aligned(memory, 4096) && is_filled(memory, 0, sizes[s]));
            memset(memory, 0x5A, sizes[s]);
            source.release(source.context, memory, sizes[s], 16);
        }
    }
}

static void pages_at_every_alignment_give_writable_aligned_memory(void) {
    check_alignments(aegis_source_pages(0), 1);
    check_alignments(aegis_source_pages(0), 100000);
    check_alignments(aegis_source_pages(AEGIS_PAGES_HUGE), (size_t)2 << 20);
}

static void pages_above_page_alignment_are_aligned_wherever_the_system_puts_them(void) {
    aegis_source source = aegis_source_pages(0);
    void *single[64];
    void *aligned[64];
    bool zeroed;
    /* The single pages in between move the next mapping by one page or not at all. */
    for (size_t i = 0; i < 64; i++) {
        single[i] = i % 3 != 0 ? acquire(&source, 4096, 4096, &zeroed) : NULL;
        aligned[i] = acquire(&source, 4096, 8192, &zeroed);
        CHECK(aligned[i] != NULL && is_aligned(aligned[i], 8192));
        memset(aligned[i], 0x5A, 4096);
    }
    for (size_t i = 0; i < 64; i++) {
        source.release(source.context, aligned[i], 4096, 8192);
        if (single[i] != NULL)
            source.release(source.context, single[i], 4096, 4096);
    }
}

static void pages_huge_of_huge_size_are_aligned_to_a_huge_page(void) {
    aegis_source source = aegis_source_pages(AEGIS_PAGES_HUGE);
    bool zeroed;
    size_t size_bytes = (size_t)4 << 20;
    void *memory = acquire(&source, size_bytes, 16, &zeroed);
    CHECK(memory != NULL);
#if defined(__linux__)
    CHECK(is_aligned(memory, (size_t)2 << 20));
#endif
    source.release(source.context, memory, size_bytes, 16);
}

static void pages_with_unknown_flag_refuse(void) {
    aegis_source source = aegis_source_pages(UINT32_C(4));
    bool zeroed;
    CHECK(acquire(&source, 4096, 16, &zeroed) == NULL);
}

static void pages_beyond_memory_give_null(void) {
    aegis_source source = aegis_source_pages(0);
    bool zeroed;
    CHECK(acquire(&source, SIZE_MAX, 16, &zeroed) == NULL);
    CHECK(acquire(&source, PTRDIFF_MAX, 16, &zeroed) == NULL);
    /* The size fits by itself, but not with the bytes that its alignment may cost. */
    CHECK(acquire(&source, PTRDIFF_MAX - 65535, (size_t)2 << 20, &zeroed) == NULL);
    /* The size is legal, but the system has no room for it. */
    test_hoard hoard = test_hoard_take();
    CHECK(acquire(&source, PTRDIFF_MAX / 2 + 1, 16, &zeroed) == NULL);
    test_hoard_give_back(&hoard);
}

static void region_hands_out_successive_aligned_pieces_until_exhausted(void) {
    static unsigned char memory[1024];
    aegis_region region = {memory + 1, sizeof memory - 1, 0};
    aegis_source source = aegis_source_region(&region);
    bool zeroed;
    unsigned char *a = (unsigned char *)acquire(&source, 100, 16, &zeroed);
    unsigned char *b = (unsigned char *)acquire(&source, 100, 64, &zeroed);
    CHECK(a != NULL && b != NULL && !zeroed);
    CHECK(is_aligned(a, 16) && is_aligned(b, 64) && b >= a + 100);
    CHECK(a >= memory + 1 && b + 100 <= memory + sizeof memory);
    CHECK(acquire(&source, 1024, 1, &zeroed) == NULL);
    CHECK(acquire(&source, SIZE_MAX, 16, &zeroed) == NULL);
    CHECK(acquire(&source, 1, (size_t)1 << 30, &zeroed) == NULL);
    /* What is left would be enough without the padding. */
    CHECK(acquire(&source, region.size_bytes - region.used_bytes, 64, &zeroed) == NULL);
    size_t left_bytes = region.size_bytes - region.used_bytes;
    CHECK(acquire(&source, left_bytes + 1, 1, &zeroed) == NULL);
    CHECK(acquire(&source, left_bytes, 1, &zeroed) != NULL);
    CHECK(acquire(&source, 1, 1, &zeroed) == NULL);
}

static void region_release_of_latest_piece_makes_it_available_again(void) {
    static unsigned char memory[256];
    aegis_region region = {memory, sizeof memory, 0};
    aegis_source source = aegis_source_region(&region);
    bool zeroed;
    void *a = acquire(&source, 64, 1, &zeroed);
    void *b = acquire(&source, 192, 1, &zeroed);
    CHECK(a != NULL && b != NULL);
    source.release(source.context, a, 64, 1);
    CHECK(acquire(&source, 1, 1, &zeroed) == NULL);
    source.release(source.context, b, 192, 1);
    CHECK(acquire(&source, 192, 1, &zeroed) == b);
}

static void region_of_nothing_refuses(void) {
    aegis_region region = {NULL, 0, 0};
    aegis_source source = aegis_source_region(&region);
    bool zeroed;
    CHECK(acquire(&source, 1, 1, &zeroed) == NULL);
}

static void arena_over_each_source_works_and_gives_all_back(void) {
    static unsigned char memory[100000];
    aegis_region region = {memory, sizeof memory, 0};
    aegis_source sources[4];
    sources[0] = aegis_source_heap();
    sources[1] = aegis_source_pages(0);
    sources[2] = aegis_source_pages(AEGIS_PAGES_HUGE | AEGIS_PAGES_PREFAULT);
    sources[3] = aegis_source_region(&region);
    for (size_t s = 0; s < 4; s++) {
        aegis_arena arena;
        aegis_arena_options options = test_options(1000, 0, &sources[s], NULL, 0);
        CHECK(aegis_arena_init(&arena, &options) == AEGIS_OK);
        for (size_t i = 0; i < 100; i++) {
            unsigned char *p = (unsigned char *)aegis_arena_alloc_zeroed(&arena, 100);
            CHECK(p != NULL && is_filled(p, 0, 100));
            if (p != NULL)
                memset(p, 0xFF, 100);
        }
        check_figures(&arena);
        aegis_arena_fini(&arena);
    }
}

int main(void) {
    RUN(heap_at_every_alignment_gives_writable_aligned_memory);
    RUN(heap_at_small_alignment_is_zeroed);
    RUN(heap_beyond_memory_gives_null);
    RUN(sizes_that_wrap_with_their_alignment_give_null);
    RUN(pages_with_every_flag_give_zeroed_page_aligned_memory);
    RUN(pages_at_every_alignment_give_writable_aligned_memory);
    RUN(pages_above_page_alignment_are_aligned_wherever_the_system_puts_them);
    RUN(pages_huge_of_huge_size_are_aligned_to_a_huge_page);
    RUN(pages_with_unknown_flag_refuse);
    RUN(pages_beyond_memory_give_null);
    RUN(region_hands_out_successive_aligned_pieces_until_exhausted);
    RUN(region_release_of_latest_piece_makes_it_available_again);
    RUN(region_of_nothing_refuses);
    RUN(arena_over_each_source_works_and_gives_all_back);
    return check_finish();
}
