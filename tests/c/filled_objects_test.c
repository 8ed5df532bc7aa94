/* SPDX-License-Identifier: Apache-2.0 */
/* Tests that a function that makes an object or a handle in a struct of the caller fills the whole
 * struct, also when it fails: see filled_support.h. An object may be moved, so each call here
 * finishes a copy, and the struct is left for the check. */
#include "filled_support.h"

#include <stdio.h>

/* -- arenas -- */

static void arena_made(void *out, bool fails) {
    aegis_arena arena;
    aegis_arena_options options = test_options(100, 0, fails ? &filled_refusing : NULL, NULL, 0);
    CHECK((aegis_arena_init((aegis_arena *)out, &options) != AEGIS_OK) == fails);
    memcpy(&arena, out, sizeof arena);
    aegis_arena_fini(&arena);
}

static void scope_begun(void *out, bool fails) {
    aegis_arena arena;
    CHECK(!fails && aegis_arena_init(&arena, NULL) == AEGIS_OK);
    CHECK(aegis_arena_alloc(&arena, 100) != NULL);
    aegis_arena_scope_begin(&arena, (aegis_arena_scope *)out);
    aegis_arena_scope copy;
    memcpy(&copy, out, sizeof copy);
    aegis_arena_scope_end(&arena, (aegis_arena_scope *)out);
    memcpy(out, &copy, sizeof copy);
    aegis_arena_fini(&arena);
}

static void lock_free_arena_made(void *out, bool fails) {
    aegis_lock_free_arena arena;
    aegis_lock_free_arena_options options = {fails ? SIZE_MAX : 100, 0, NULL, NULL, NULL, 0};
    CHECK((aegis_lock_free_arena_init((aegis_lock_free_arena *)out, &options, NULL) != AEGIS_OK) ==
          fails);
    memcpy(&arena, out, sizeof arena);
    aegis_lock_free_arena_fini(&arena);
}

static void heap_made(void *out, bool fails) {
    aegis_arena_heap heap;
    aegis_arena_options options = test_options(100, 0, fails ? &filled_refusing : NULL, NULL, 0);
    CHECK((aegis_arena_heap_init((aegis_arena_heap *)out, &options) != AEGIS_OK) == fails);
    memcpy(&heap, out, sizeof heap);
    aegis_arena_heap_fini(&heap);
}

static void heap_made_in_an_arena(void *out, bool fails) {
    aegis_arena arena;
    aegis_arena_heap heap;
    CHECK(!fails && aegis_arena_init(&arena, NULL) == AEGIS_OK);
    aegis_arena_heap_init_in((aegis_arena_heap *)out, &arena);
    memcpy(&heap, out, sizeof heap);
    aegis_arena_heap_fini(&heap);
    aegis_arena_fini(&arena);
}

static void locked_heap_made(void *out, bool fails) {
    aegis_locked_arena_heap heap;
    aegis_arena_options options = test_options(100, 0, fails ? &filled_refusing : NULL, NULL, 0);
    CHECK((aegis_locked_arena_heap_init((aegis_locked_arena_heap *)out, &options, NULL) !=
           AEGIS_OK) == fails);
    memcpy(&heap, out, sizeof heap);
    aegis_locked_arena_heap_fini(&heap);
}

static void local_made(void *out, bool fails) {
    aegis_lock_free_arena arena;
    aegis_arena_local local;
    CHECK(aegis_lock_free_arena_init(&arena, NULL, NULL) == AEGIS_OK);
    CHECK((aegis_arena_local_init((aegis_arena_local *)out, &arena, fails ? UINT32_MAX : 0) !=
           AEGIS_OK) == fails);
    memcpy(&local, out, sizeof local);
    aegis_arena_local_fini(&local);
    aegis_lock_free_arena_fini(&arena);
}

static void locked_arena_made(void *out, bool fails) {
    aegis_locked_arena arena;
    aegis_arena_options options = test_options(100, 0, fails ? &filled_refusing : NULL, NULL, 0);
    CHECK((aegis_locked_arena_init((aegis_locked_arena *)out, &options, NULL) != AEGIS_OK) ==
          fails);
    memcpy(&arena, out, sizeof arena);
    aegis_locked_arena_fini(&arena);
}

static void recycler_made(void *out, bool fails) {
    aegis_arena_recycler recycler;
    aegis_arena_recycler_options options;
    memset(&options, 0, sizeof options);
    CHECK((aegis_arena_recycler_init((aegis_arena_recycler *)out, fails ? NULL : &options) !=
           AEGIS_OK) == fails);
    memcpy(&recycler, out, sizeof recycler);
    CHECK(aegis_arena_recycler_fini(&recycler) == AEGIS_OK);
}

static void arena_recycled(void *out, bool fails) {
    aegis_arena_recycler recycler;
    aegis_arena_recycler_options options;
    aegis_arena arena;
    memset(&options, 0, sizeof options);
    options.arena = test_options(100, 0, fails ? &filled_refusing : NULL, NULL, 0);
    CHECK(aegis_arena_recycler_init(&recycler, &options) == AEGIS_OK);
    CHECK((aegis_arena_recycler_get(&recycler, (aegis_arena *)out, NULL) != AEGIS_OK) == fails);
    memcpy(&arena, out, sizeof arena);
    aegis_arena_recycler_put(&recycler, &arena);
    CHECK(aegis_arena_recycler_fini(&recycler) == AEGIS_OK);
}

/* -- pools -- */

static void pool_made(void *out, bool fails) {
    aegis_pool pool;
    aegis_pool_options options = pool_options(64, fails ? 0 : 4, 0, NULL);
    CHECK((aegis_pool_init((aegis_pool *)out, &options) != AEGIS_OK) == fails);
    memcpy(&pool, out, sizeof pool);
    aegis_pool_abandon(&pool);
}

static void keyed_pool_made(void *out, bool fails) {
    aegis_keyed_pool pool;
    aegis_pool_options options = pool_options(64, fails ? 0 : 4, 0, NULL);
    CHECK((aegis_keyed_pool_init((aegis_keyed_pool *)out, &options) != AEGIS_OK) == fails);
    memcpy(&pool, out, sizeof pool);
    aegis_keyed_pool_abandon(&pool);
}

static void lock_free_pool_made(void *out, bool fails) {
    aegis_lock_free_pool pool;
    aegis_lock_free_pool_options options = lock_free_options(64, fails ? 0 : 4, 0, 0, NULL);
    CHECK((aegis_lock_free_pool_init((aegis_lock_free_pool *)out, &options) != AEGIS_OK) == fails);
    memcpy(&pool, out, sizeof pool);
    aegis_lock_free_pool_abandon(&pool);
}

static void locked_pool_made(void *out, bool fails) {
    aegis_locked_pool pool;
    aegis_pool_options options = pool_options(64, fails ? 0 : 4, 0, NULL);
    CHECK((aegis_locked_pool_init((aegis_locked_pool *)out, &options) != AEGIS_OK) == fails);
    memcpy(&pool, out, sizeof pool);
    aegis_locked_pool_abandon(&pool);
}

static void cache_made(void *out, bool fails) {
    aegis_lock_free_pool pool;
    aegis_pool_cache cache;
    aegis_lock_free_pool_options options = lock_free_options(64, 4, 0, fails ? 0 : 1, NULL);
    CHECK(aegis_lock_free_pool_init(&pool, &options) == AEGIS_OK);
    CHECK((aegis_pool_cache_init((aegis_pool_cache *)out, &pool) != AEGIS_OK) == fails);
    memcpy(&cache, out, sizeof cache);
    aegis_pool_cache_fini(&cache);
    CHECK(aegis_lock_free_pool_fini(&pool) == AEGIS_OK);
}

/* -- buffers -- */

static void finish_view(const void *out) {
    aegis_buffer buffer;
    memcpy(&buffer, out, sizeof buffer);
    if (buffer.data != NULL)
        CHECK(aegis_buffer_release(&buffer) == AEGIS_OK);
}

static void finish_writer(const void *out) {
    aegis_buffer_mut writer;
    memcpy(&writer, out, sizeof writer);
    if (writer.data != NULL)
        CHECK(aegis_buffer_mut_release(&writer) == AEGIS_OK);
}

static void copied(void *out, bool fails) {
    CHECK((aegis_buffer_copy((aegis_buffer *)out, fails ? NULL : "byte", 4, NULL, NULL) !=
           AEGIS_OK) == fails);
    finish_view(out);
}

static void nothing(void *context) {
    (void)context;
}

static void wrapped(void *out, bool fails) {
    CHECK((aegis_buffer_wrap((aegis_buffer *)out, "byte", 4, fails ? NULL : nothing, NULL, NULL) !=
           AEGIS_OK) == fails);
    finish_view(out);
}

static void wrapped_sized(void *out, bool fails) {
    CHECK((aegis_buffer_wrap_sized((aegis_buffer *)out, fails ? NULL : "byte", 4, 9, nothing, NULL,
                                   NULL) != AEGIS_OK) == fails);
    finish_view(out);
}

static void from_arena(void *out, bool fails) {
    aegis_arena arena;
    CHECK(aegis_arena_init(&arena, NULL) == AEGIS_OK);
    CHECK((aegis_buffer_from_arena((aegis_buffer *)out, &arena, fails ? NULL : "byte", 4, NULL) !=
           AEGIS_OK) == fails);
    finish_view(out);
    aegis_arena_fini(&arena);
}

/* This file, or one that is not there. The program runs in the root of the project. */
static void file_mapped(void *out, bool fails) {
    const char *path = fails ? "tests/c/no such file" : "tests/c/filled_objects_test.c";
    CHECK((aegis_buffer_map_file((aegis_buffer *)out, path, NULL) != AEGIS_OK) == fails);
    finish_view(out);
}

static void descriptor_mapped(void *out, bool fails) {
    CHECK(fails && aegis_buffer_map_descriptor((aegis_buffer *)out, -1, 0, 1, NULL) != AEGIS_OK);
}

static aegis_buffer view_of_four(void) {
    aegis_buffer buffer;
    CHECK(aegis_buffer_copy(&buffer, "byte", 4, NULL, NULL) == AEGIS_OK);
    return buffer;
}

#define FROM_VIEW(name, finish, made)                                                              \
    static void name(void *out, bool fails) {                                                      \
        aegis_buffer view = view_of_four();                                                        \
        size_t at = fails ? 5 : 2;                                                                 \
        (void)at;                                                                                  \
        CHECK(((made) != AEGIS_OK) == fails);                                                      \
        finish(out);                                                                               \
        if (view.data != NULL)                                                                     \
            CHECK(aegis_buffer_release(&view) == AEGIS_OK);                                        \
    }

FROM_VIEW(sliced, finish_view, aegis_buffer_slice(&view, 1, at, (aegis_buffer *)out))
FROM_VIEW(split_to, finish_view, aegis_buffer_split_to(&view, at, (aegis_buffer *)out))
FROM_VIEW(split_off, finish_view, aegis_buffer_split_off(&view, at, (aegis_buffer *)out))

static void retained(void *out, bool fails) {
    aegis_buffer none = aegis_buffer_from_static(NULL, 1);
    aegis_buffer view = view_of_four();
    CHECK((aegis_buffer_retain(fails ? &none : &view, (aegis_buffer *)out) != AEGIS_OK) == fails);
    finish_view(out);
    CHECK(aegis_buffer_release(&view) == AEGIS_OK);
}

static void into_writer(void *out, bool fails) {
    aegis_buffer view = aegis_buffer_from_static(fails ? NULL : "byte", 4);
    CHECK((aegis_buffer_into_mut(&view, (aegis_buffer_mut *)out, NULL, NULL) != AEGIS_OK) == fails);
    finish_writer(out);
}

static void tried_into_writer(void *out, bool fails) {
    aegis_buffer view = view_of_four();
    aegis_buffer fixed = aegis_buffer_from_static("byte", 4);
    CHECK((aegis_buffer_try_into_mut(fails ? &fixed : &view, (aegis_buffer_mut *)out) !=
           AEGIS_OK) == fails);
    finish_writer(out);
    CHECK(!fails || aegis_buffer_release(&view) == AEGIS_OK);
}

static void writer_made(void *out, bool fails) {
    CHECK((aegis_buffer_mut_alloc((aegis_buffer_mut *)out, fails ? SIZE_MAX : 100, 0, NULL, NULL) !=
           AEGIS_OK) == fails);
    finish_writer(out);
}

static void writer_split(void *out, bool fails, bool front) {
    aegis_buffer_mut writer;
    size_t at = fails ? 101 : 2;
    aegis_buffer_mut *part = (aegis_buffer_mut *)out;
    CHECK(aegis_buffer_mut_alloc(&writer, 100, 0, NULL, NULL) == AEGIS_OK);
    CHECK(aegis_buffer_mut_append(&writer, "byte", 4) == AEGIS_OK);
    CHECK(((front ? aegis_buffer_mut_split_to(&writer, at, part)
                  : aegis_buffer_mut_split_off(&writer, at, part)) != AEGIS_OK) == fails);
    finish_writer(out);
    CHECK(aegis_buffer_mut_release(&writer) == AEGIS_OK);
}

static void writer_split_to(void *out, bool fails) {
    writer_split(out, fails, true);
}

static void writer_split_off(void *out, bool fails) {
    writer_split(out, fails, false);
}

/* -- pools of buffers -- */

static aegis_status make_buffer_pool(aegis_buffer_pool *pool, size_t class_count) {
    static const aegis_buffer_class one_class = {4096, 1, 0};
    aegis_buffer_pool_options options;
    memset(&options, 0, sizeof options);
    options.classes = &one_class;
    options.class_count = class_count;
    return aegis_buffer_pool_init(pool, &options);
}

static void finish_buffer_pool(const void *out) {
    aegis_buffer_pool pool;
    memcpy(&pool, out, sizeof pool);
    aegis_buffer_pool_release(&pool);
}

static void buffer_pool_made(void *out, bool fails) {
    CHECK((make_buffer_pool((aegis_buffer_pool *)out, fails ? 0 : 1) != AEGIS_OK) == fails);
    finish_buffer_pool(out);
}

static void buffer_pool_retained(void *out, bool fails) {
    aegis_buffer_pool pool = {NULL};
    CHECK(fails || make_buffer_pool(&pool, 1) == AEGIS_OK);
    CHECK((aegis_buffer_pool_retain(&pool, (aegis_buffer_pool *)out) != AEGIS_OK) == fails);
    finish_buffer_pool(out);
    aegis_buffer_pool_release(&pool);
}

static void writer_taken(void *out, bool fails, bool waits) {
    aegis_buffer_pool pool;
    aegis_buffer_mut *writer = (aegis_buffer_mut *)out;
    CHECK(make_buffer_pool(&pool, 1) == AEGIS_OK);
    size_t size_bytes = fails ? 5000 : 1;
    CHECK(((waits ? aegis_buffer_pool_get_timeout(&pool, writer, size_bytes, 1, NULL)
                  : aegis_buffer_pool_get(&pool, writer, size_bytes, NULL)) != AEGIS_OK) == fails);
    finish_writer(out);
    aegis_buffer_pool_release(&pool);
}

static void writer_got(void *out, bool fails) {
    writer_taken(out, fails, false);
}

static void writer_waited_for(void *out, bool fails) {
    writer_taken(out, fails, true);
}

/* On failure the request has to wait, or is for too many bytes. */
static void writer_polled(void *out, bool fails) {
    aegis_buffer_pool pool;
    aegis_buffer_mut held, *writer = (aegis_buffer_mut *)out;
    aegis_buffer_pool_request *request = NULL;
    CHECK(make_buffer_pool(&pool, 1) == AEGIS_OK);
    if (fails) {
        CHECK(aegis_buffer_pool_get(&pool, &held, 1, NULL) == AEGIS_OK);
        CHECK(aegis_buffer_pool_poll(&pool, &request, writer, 1, NULL, NULL, NULL) ==
              AEGIS_PENDING);
        CHECK(writer->data == NULL && writer->owner == NULL);
        memset(writer, 0x5A, sizeof *writer);
        CHECK(aegis_buffer_pool_poll(&pool, &request, writer, 5000, NULL, NULL, NULL) ==
              AEGIS_E_LIMIT_EXCEEDED);
        CHECK(aegis_buffer_mut_release(&held) == AEGIS_OK);
    } else {
        CHECK(aegis_buffer_pool_poll(&pool, &request, writer, 1, NULL, NULL, NULL) == AEGIS_OK);
    }
    CHECK(request == NULL);
    finish_writer(out);
    aegis_buffer_pool_release(&pool);
}

#define BOTH(function, parameter, type, call)                                                      \
    FILLS(function, parameter, type, call), FILLS_ON_FAILURE(function, parameter, type, call)

static const filled_row rows[] = {
    BOTH(aegis_arena_init, arena, aegis_arena, arena_made),
    FILLS(aegis_arena_scope_begin, scope, aegis_arena_scope, scope_begun),
    BOTH(aegis_lock_free_arena_init, arena, aegis_lock_free_arena, lock_free_arena_made),
    BOTH(aegis_arena_local_init, local, aegis_arena_local, local_made),
    BOTH(aegis_arena_heap_init, heap, aegis_arena_heap, heap_made),
    FILLS(aegis_arena_heap_init_in, heap, aegis_arena_heap, heap_made_in_an_arena),
    BOTH(aegis_locked_arena_heap_init, heap, aegis_locked_arena_heap, locked_heap_made),
    BOTH(aegis_locked_arena_init, arena, aegis_locked_arena, locked_arena_made),
    BOTH(aegis_arena_recycler_init, recycler, aegis_arena_recycler, recycler_made),
    BOTH(aegis_arena_recycler_get, arena, aegis_arena, arena_recycled),
    BOTH(aegis_pool_init, pool, aegis_pool, pool_made),
    BOTH(aegis_keyed_pool_init, pool, aegis_keyed_pool, keyed_pool_made),
    BOTH(aegis_lock_free_pool_init, pool, aegis_lock_free_pool, lock_free_pool_made),
    BOTH(aegis_locked_pool_init, pool, aegis_locked_pool, locked_pool_made),
    BOTH(aegis_pool_cache_init, cache, aegis_pool_cache, cache_made),
    BOTH(aegis_buffer_copy, buffer, aegis_buffer, copied),
    BOTH(aegis_buffer_wrap, buffer, aegis_buffer, wrapped),
    BOTH(aegis_buffer_wrap_sized, buffer, aegis_buffer, wrapped_sized),
    BOTH(aegis_buffer_from_arena, buffer, aegis_buffer, from_arena),
    BOTH(aegis_buffer_map_file, buffer, aegis_buffer, file_mapped),
    FILLS_ON_FAILURE(aegis_buffer_map_descriptor, buffer, aegis_buffer, descriptor_mapped),
    BOTH(aegis_buffer_retain, copy, aegis_buffer, retained),
    BOTH(aegis_buffer_slice, part, aegis_buffer, sliced),
    BOTH(aegis_buffer_split_to, front, aegis_buffer, split_to),
    BOTH(aegis_buffer_split_off, back, aegis_buffer, split_off),
    BOTH(aegis_buffer_into_mut, writer, aegis_buffer_mut, into_writer),
    BOTH(aegis_buffer_try_into_mut, writer, aegis_buffer_mut, tried_into_writer),
    BOTH(aegis_buffer_mut_alloc, writer, aegis_buffer_mut, writer_made),
    BOTH(aegis_buffer_mut_split_to, front, aegis_buffer_mut, writer_split_to),
    BOTH(aegis_buffer_mut_split_off, back, aegis_buffer_mut, writer_split_off),
    BOTH(aegis_buffer_pool_init, pool, aegis_buffer_pool, buffer_pool_made),
    BOTH(aegis_buffer_pool_retain, copy, aegis_buffer_pool, buffer_pool_retained),
    BOTH(aegis_buffer_pool_get, writer, aegis_buffer_mut, writer_got),
    BOTH(aegis_buffer_pool_get_timeout, writer, aegis_buffer_mut, writer_waited_for),
    BOTH(aegis_buffer_pool_poll, writer, aegis_buffer_mut, writer_polled),
};

static void every_field_of_an_object_is_filled(void) {
    filled_check_all(rows, sizeof rows / sizeof rows[0]);
}

int main(void) {
    RUN(every_field_of_an_object_is_filled);
    return check_finish();
}
