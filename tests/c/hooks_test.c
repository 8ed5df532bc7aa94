/* SPDX-License-Identifier: Apache-2.0 */
/* Tests the shapes of hooks.h, and that functions fit the hooks of other libraries without a cast.
 * The types below are copied from the headers of those libraries, so that none of them must be
 * installed; tests/hook_types compiles the same assignments against the real headers. */
#include "support.h"

#include <limits.h>

static aegis_arena arena;
static aegis_arena *current;
static aegis_arena_heap heap;
#if !defined(AEGIS_OMIT_THREADS)
static aegis_locked_arena_heap locked_heap;
#endif

AEGIS_DEFINE_MALLOC_HOOKS(aegis_arena_hook, plain, &arena);
AEGIS_DEFINE_MALLOC_HOOKS(aegis_arena_hook, chosen, current);
AEGIS_DEFINE_SQLITE_HOOKS(aegis_arena_hook, sqlite, &arena);
AEGIS_DEFINE_POINTER_LAST_HOOKS(aegis_arena_hook, last);

AEGIS_DEFINE_MALLOC_HOOKS(aegis_arena_heap_hook, of_heap, &heap);
#if !defined(AEGIS_OMIT_THREADS)
AEGIS_DEFINE_MALLOC_HOOKS(aegis_locked_arena_heap_hook, of_locked_heap, &locked_heap);
#endif
AEGIS_DEFINE_SQLITE_HOOKS(aegis_arena_heap_hook, sqlite_heap, &heap);

/* A family of functions with a user pointer first, for the tests that each must pass. */
typedef struct family {
    void *(*malloc)(void *object, size_t size_bytes);
    void *(*calloc)(void *object, size_t count, size_t size_bytes);
    void *(*zalloc)(void *object, unsigned count, unsigned size_bytes);
    void *(*realloc)(void *object, void *memory, size_t size_bytes);
    void (*free)(void *object, void *memory);
    size_t (*usable_size)(void *object, const void *memory);
    void *(*resize_sized)(void *object, void *memory, size_t old_bytes, size_t new_bytes);
    void *object;
} family;

/* expat.h */
typedef struct expat_suite {
    void *(*malloc_fcn)(size_t size);
    void *(*realloc_fcn)(void *ptr, size_t size);
    void (*free_fcn)(void *ptr);
} expat_suite;

/* libxml/xmlmemory.h: xmlMemSetup takes these; curl_global_init_mem and uv_replace_allocator take
 * the same and a calloc; json_set_alloc_funcs takes the first two. */
typedef struct libxml2_functions {
    void (*free)(void *mem);
    void *(*malloc)(size_t size);
    void *(*realloc)(void *mem, size_t size);
    char *(*strdup)(const char *str);
    void *(*calloc)(size_t count, size_t size);
} libxml2_functions;

/* sqlite3.h */
typedef struct sqlite_methods {
    void *(*xMalloc)(int);
    void (*xFree)(void *);
    void *(*xRealloc)(void *, int);
    int (*xSize)(void *);
    int (*xRoundup)(int);
    int (*xInit)(void *);
    void (*xShutdown)(void *);
    void *pAppData;
} sqlite_methods;

/* zlib.h, zstd.h and brotli/types.h, lua.h */
typedef void *(*zlib_alloc)(void *opaque, unsigned items, unsigned size);
typedef void (*zlib_free)(void *opaque, void *address);
typedef void *(*zstd_alloc)(void *opaque, size_t size);
typedef void *(*lua_alloc)(void *ud, void *ptr, size_t osize, size_t nsize);

/* nghttp2.h; pcre2_general_context_create takes the first two. */
typedef struct nghttp2_functions {
    void *mem_user_data;
    void *(*malloc)(size_t size, void *mem_user_data);
    void (*free)(void *ptr, void *mem_user_data);
    void *(*calloc)(size_t nmemb, size_t size, void *mem_user_data);
    void *(*realloc)(void *ptr, size_t size, void *mem_user_data);
} nghttp2_functions;

/* An arena over a few bytes, and no source. */
static void init_small_arena(void) {
    static unsigned char memory[256];
    aegis_arena_options options = {0};
    options.memory = memory;
    options.memory_bytes = sizeof memory;
    CHECK(aegis_arena_init(&arena, &options) == AEGIS_OK);
}

static void hooks_without_user_pointer_do_what_their_names_say(void) {
    CHECK(aegis_arena_init(&arena, NULL) == AEGIS_OK);
    libxml2_functions use = {plain_free, plain_malloc, plain_realloc, plain_strdup, plain_calloc};
    unsigned char *p = (unsigned char *)use.malloc(100);
    CHECK(p != NULL && is_aligned(p, 16));
    memset(p, 1, 100);
    p = (unsigned char *)use.realloc(p, 300);
    CHECK(p != NULL && is_filled(p, 1, 100));
    CHECK_SIZE(aegis_arena_hook_usable_size(&arena, p), 300);
    unsigned char *zeroed = (unsigned char *)use.calloc(10, 7);
    CHECK(zeroed != NULL && is_filled(zeroed, 0, 70));
    CHECK(use.calloc(SIZE_MAX, 2) == NULL);
    char *copy = use.strdup("a text");
    CHECK(copy != NULL && strcmp(copy, "a text") == 0);
    CHECK_SIZE(aegis_arena_hook_usable_size(&arena, copy), 7);
    char *empty = use.strdup("");
    CHECK(empty != NULL && *empty == '\0');
    use.free(empty);
    CHECK(use.malloc(0) == (void *)empty);
    use.free(NULL);
    CHECK(use.realloc(p, 0) == NULL);
    aegis_arena_fini(&arena);
}

static void strdup_of_a_full_arena_gives_null(void) {
    init_small_arena();
    static char text[300];
    memset(text, 'x', sizeof text - 1);
    CHECK(plain_strdup(text) == NULL);
    CHECK(plain_strdup("short") != NULL);
    aegis_arena_fini(&arena);
}

static void target_is_read_at_each_call(void) {
    aegis_arena arenas[2];
    for (size_t i = 0; i < 2; i++) {
        CHECK(aegis_arena_init(&arenas[i], NULL) == AEGIS_OK);
        current = &arenas[i];
        CHECK(chosen_malloc(1000 * (i + 1)) != NULL);
    }
    CHECK(stats_of(&arenas[0]).used_bytes >= 1000 && stats_of(&arenas[0]).used_bytes < 2000);
    CHECK(stats_of(&arenas[1]).used_bytes >= 2000);
    for (size_t i = 0; i < 2; i++)
        aegis_arena_fini(&arenas[i]);
}

static void expat_shape_is_a_part_of_the_plain_one(void) {
    CHECK(aegis_arena_init(&arena, NULL) == AEGIS_OK);
    expat_suite use = {plain_malloc, plain_realloc, plain_free};
    void *p = use.malloc_fcn(10);
    CHECK(p != NULL);
    use.free_fcn(use.realloc_fcn(p, 20));
    aegis_arena_fini(&arena);
}

static void sqlite_shape_takes_int_and_knows_sizes(void) {
    CHECK(aegis_arena_init(&arena, NULL) == AEGIS_OK);
    sqlite_methods use = {sqlite_malloc,  sqlite_free, sqlite_realloc,  sqlite_size,
                          sqlite_roundup, sqlite_init, sqlite_shutdown, NULL};
    CHECK(use.xInit(use.pAppData) == 0);
    CHECK(use.xRoundup(1) == 8 && use.xRoundup(8) == 8 && use.xRoundup(9) == 16);
    unsigned char *p = (unsigned char *)use.xMalloc(40);
    CHECK(p != NULL && use.xSize(p) == 40);
    memset(p, 7, 40);
    p = (unsigned char *)use.xRealloc(p, 4000);
    CHECK(p != NULL && use.xSize(p) == 4000 && is_filled(p, 7, 40));
    CHECK(use.xMalloc(-1) == NULL);
    use.xFree(p);
    use.xFree(NULL);
    use.xShutdown(use.pAppData);
    aegis_arena_fini(&arena);
}

static void zlib_shape_multiplies_unsigned_numbers(void) {
    CHECK(aegis_arena_init(&arena, NULL) == AEGIS_OK);
    zlib_alloc allocate = aegis_arena_hook_zalloc;
    zlib_free release = aegis_arena_hook_free;
    void *p = allocate(&arena, 30, 50);
    CHECK(p != NULL && is_aligned(p, 16));
    CHECK_SIZE(aegis_arena_hook_usable_size(&arena, p), 1500);
    memset(p, 1, 1500);
    release(&arena, p);
    CHECK(allocate(&arena, 0, 50) == p);
    CHECK(allocate(&arena, 50, 0) != NULL);
    aegis_arena_fini(&arena);
    /* With 32-bit addresses the products overflow. Otherwise they are larger than the memory. */
    init_small_arena();
    CHECK(allocate(&arena, UINT_MAX, UINT_MAX) == NULL);
    CHECK(allocate(&arena, 1u << 31, 2) == NULL);
    aegis_arena_fini(&arena);
}

static void shapes_with_a_user_pointer_first_need_no_macro(void) {
    CHECK(aegis_arena_init(&arena, NULL) == AEGIS_OK);
    zstd_alloc allocate = aegis_arena_hook_malloc;
    lua_alloc resize = aegis_arena_hook_resize_sized;
    CHECK(allocate(&arena, 10) != NULL);
    CHECK(resize(&arena, NULL, 0, 10) != NULL);
    aegis_arena_fini(&arena);
}

static void check_family(const family *of) {
    for (size_t size = 0; size < 3000; size += 37) {
        unsigned char *p = (unsigned char *)of->malloc(of->object, size);
        CHECK(p != NULL && is_aligned(p, 16) && of->usable_size(of->object, p) >= size);
        memset(p, 1, size);
        p = (unsigned char *)of->realloc(of->object, p, size * 2 + 1);
        CHECK(p != NULL && is_aligned(p, 16) && is_filled(p, 1, size));
        CHECK(of->usable_size(of->object, p) >= size * 2 + 1);
        of->free(of->object, p);
    }
    CHECK(of->usable_size(of->object, NULL) == 0);
    unsigned char *zeroed = (unsigned char *)of->calloc(of->object, 30, 11);
    CHECK(zeroed != NULL && is_filled(zeroed, 0, 330));
    CHECK(of->realloc(of->object, zeroed, 0) == NULL);
    CHECK(of->calloc(of->object, SIZE_MAX / 2 + 1, 2) == NULL);
    CHECK(of->calloc(of->object, SIZE_MAX, SIZE_MAX) == NULL);
    void *none = of->calloc(of->object, 0, 9);
    CHECK(none != NULL);
    of->free(of->object, none);
    void *items = of->zalloc(of->object, 30, 50);
    CHECK(items != NULL && of->usable_size(of->object, items) >= 1500);
    of->free(of->object, items);
    if (sizeof(size_t) == sizeof(unsigned))
        CHECK(of->zalloc(of->object, UINT_MAX, UINT_MAX) == NULL);
    void *fresh = of->realloc(of->object, NULL, 10);
    CHECK(fresh != NULL);
    of->free(of->object, fresh);
    of->free(of->object, NULL);
}

/* Lua frees what is not there, and then wants NULL. */
static void check_sized_shape(const family *of) {
    CHECK(of->resize_sized(of->object, NULL, 4, 0) == NULL);
    unsigned char *p = (unsigned char *)of->resize_sized(of->object, NULL, 4, 100);
    CHECK(p != NULL && is_aligned(p, 16));
    memset(p, 2, 100);
    p = (unsigned char *)of->resize_sized(of->object, p, 100, 5000);
    CHECK(p != NULL && is_filled(p, 2, 100));
    p = (unsigned char *)of->resize_sized(of->object, p, 5000, 10);
    CHECK(p != NULL && is_filled(p, 2, 10));
    CHECK(of->resize_sized(of->object, p, 10, 0) == NULL);
}

static void functions_of_an_arena_are_those_of_the_c_library(void) {
    CHECK(aegis_arena_init(&arena, NULL) == AEGIS_OK);
    const family of = {aegis_arena_hook_malloc,       aegis_arena_hook_calloc,
                       aegis_arena_hook_zalloc,       aegis_arena_hook_realloc,
                       aegis_arena_hook_free,         aegis_arena_hook_usable_size,
                       aegis_arena_hook_resize_sized, &arena};
    check_family(&of);
    check_sized_shape(&of);
    aegis_arena_fini(&arena);
}

static void functions_of_a_heap_are_those_of_the_c_library(void) {
    CHECK(aegis_arena_heap_init(&heap, NULL) == AEGIS_OK);
    const family of = {aegis_arena_heap_hook_malloc,       aegis_arena_heap_hook_calloc,
                       aegis_arena_heap_hook_zalloc,       aegis_arena_heap_hook_realloc,
                       aegis_arena_heap_hook_free,         aegis_arena_heap_hook_usable_size,
                       aegis_arena_heap_hook_resize_sized, &heap};
    check_family(&of);
    check_sized_shape(&of);
    char *copy = of_heap_strdup("text");
    CHECK(copy != NULL && strcmp(copy, "text") == 0);
    of_heap_free(copy);
    void *p = sqlite_heap_malloc(100);
    CHECK(p != NULL && sqlite_heap_size(p) >= 100);
    sqlite_heap_free(sqlite_heap_realloc(p, 1000));
    aegis_arena_heap_stats stats;
    aegis_arena_heap_get_stats(&heap, &stats);
    CHECK_SIZE(stats.used_bytes, 0);
    aegis_arena_heap_fini(&heap);
}

#if !defined(AEGIS_OMIT_THREADS)
static void functions_of_a_locked_heap_are_those_of_the_c_library(void) {
    CHECK(aegis_locked_arena_heap_init(&locked_heap, NULL, NULL) == AEGIS_OK);
    const family of = {
        aegis_locked_arena_heap_hook_malloc,       aegis_locked_arena_heap_hook_calloc,
        aegis_locked_arena_heap_hook_zalloc,       aegis_locked_arena_heap_hook_realloc,
        aegis_locked_arena_heap_hook_free,         aegis_locked_arena_heap_hook_usable_size,
        aegis_locked_arena_heap_hook_resize_sized, &locked_heap};
    check_family(&of);
    check_sized_shape(&of);
    libxml2_functions use = {of_locked_heap_free, of_locked_heap_malloc, of_locked_heap_realloc,
                             of_locked_heap_strdup, of_locked_heap_calloc};
    use.free(use.realloc(use.malloc(3), 5));
    use.free(use.calloc(2, 2));
    use.free(use.strdup("text"));
    aegis_arena_heap_stats stats;
    aegis_locked_arena_heap_get_stats(&locked_heap, &stats);
    CHECK_SIZE(stats.used_bytes, 0);
    aegis_locked_arena_heap_fini(&locked_heap);
}
#endif

static void pointer_last_shape_passes_the_object_on(void) {
    aegis_arena own;
    CHECK(aegis_arena_init(&own, NULL) == AEGIS_OK);
    nghttp2_functions use = {&own, last_malloc, last_free, last_calloc, last_realloc};
    unsigned char *p = (unsigned char *)use.calloc(3, 11, use.mem_user_data);
    CHECK(p != NULL && is_filled(p, 0, 33));
    p = (unsigned char *)use.realloc(p, 66, use.mem_user_data);
    CHECK(p != NULL && is_filled(p, 0, 33));
    CHECK_SIZE(aegis_arena_hook_usable_size(&own, p), 66);
    use.free(p, use.mem_user_data);
    CHECK(use.malloc(1, use.mem_user_data) == p);
    aegis_arena_fini(&own);
}

int main(void) {
    RUN(hooks_without_user_pointer_do_what_their_names_say);
    RUN(strdup_of_a_full_arena_gives_null);
    RUN(target_is_read_at_each_call);
    RUN(expat_shape_is_a_part_of_the_plain_one);
    RUN(sqlite_shape_takes_int_and_knows_sizes);
    RUN(zlib_shape_multiplies_unsigned_numbers);
    RUN(shapes_with_a_user_pointer_first_need_no_macro);
    RUN(functions_of_an_arena_are_those_of_the_c_library);
    RUN(functions_of_a_heap_are_those_of_the_c_library);
#if !defined(AEGIS_OMIT_THREADS)
    RUN(functions_of_a_locked_heap_are_those_of_the_c_library);
#endif
    RUN(pointer_last_shape_passes_the_object_on);
    return check_finish();
}
