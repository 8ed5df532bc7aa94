/* SPDX-License-Identifier: Apache-2.0 */
/* Tests two copies of the library in one process, as in a program with a plugin. This program has
 * one copy linked in and loads the other from the shared library that its argument names. What one
 * copy makes, the other must be able to use: buffer pools, buffers, mapped files. AEGIS_TEST_SCALE
 * sets the work. */
#if !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* mkstemp */
#endif
#include "buffer_pool_support.h"

#include <pthread.h>
#include <stdatomic.h>

#if defined(_WIN32)
#include <windows.h>
#else
#include <dlfcn.h>
#include <unistd.h>
#endif

#define BLOCKS 64
#define BLOCK_BYTES 4096
#define THREADS 4
#define TURNS 500000

/* The functions that the test calls in both copies. */
typedef struct copy {
    aegis_status (*pool_init)(aegis_buffer_pool *, const aegis_buffer_pool_options *, size_t);
    void (*pool_release)(aegis_buffer_pool *);
    aegis_status (*pool_get)(const aegis_buffer_pool *, aegis_buffer_mut *, size_t, aegis_error *);
    aegis_status (*pool_get_timeout)(const aegis_buffer_pool *, aegis_buffer_mut *, size_t,
                                     uint64_t, aegis_error *);
    aegis_status (*release_writer)(aegis_buffer_mut *);
    aegis_status (*release_view)(aegis_buffer *);
    aegis_status (*map_file)(aegis_buffer *, const char *, int *);
    aegis_status (*check_file)(const aegis_buffer *);
} copy;

static copy copies[2] = {{aegis_buffer_pool_init_sized, aegis_buffer_pool_release,
                          aegis_buffer_pool_get, aegis_buffer_pool_get_timeout,
                          aegis_buffer_mut_release, aegis_buffer_release, aegis_buffer_map_file,
                          aegis_buffer_check_file},
                         {NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL}};

#if defined(_WIN32)

typedef HMODULE library_handle;
typedef FARPROC function_address;

static library_handle library_load(const char *path) {
    return LoadLibraryA(path);
}

static function_address library_find(library_handle library, const char *name) {
    return GetProcAddress(library, name);
}

static bool library_unload(library_handle library) {
    return FreeLibrary(library);
}

#else

typedef void *library_handle;
typedef void *function_address;

static library_handle library_load(const char *path) {
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL)
        fprintf(stderr, "%s\n", dlerror());
    return library;
}

static function_address library_find(library_handle library, const char *name) {
    return dlsym(library, name);
}

static bool library_unload(library_handle library) {
    return dlclose(library) == 0;
}

#endif

/* Looks up a function and stores its address through `function`. */
static void find(library_handle library, const char *name, void *function) {
    function_address address = library_find(library, name);
    CHECK(address != NULL);
    memcpy(function, &address, sizeof address);
}

static library_handle second_library;

static void load_second(const char *path) {
    library_handle library = second_library = library_load(path);
    if (library == NULL) {
        fprintf(stderr, "cannot load %s\n", path);
        exit(2);
    }
    copy *second = &copies[1];
    find(library, "aegis_buffer_pool_init_sized", &second->pool_init);
    find(library, "aegis_buffer_pool_release", &second->pool_release);
    find(library, "aegis_buffer_pool_get", &second->pool_get);
    find(library, "aegis_buffer_pool_get_timeout", &second->pool_get_timeout);
    find(library, "aegis_buffer_mut_release", &second->release_writer);
    find(library, "aegis_buffer_release", &second->release_view);
    find(library, "aegis_buffer_map_file", &second->map_file);
    find(library, "aegis_buffer_check_file", &second->check_file);
}

static void the_copies_are_two(void) {
    CHECK(copies[0].pool_get != copies[1].pool_get);
}

/* Two threads run the code of one copy and two that of the other. Each copy numbers its own
 * threads. */
typedef struct worker {
    const copy *code;
    const copy *releasing;
    const aegis_buffer_pool *pool;
    const unsigned char *first;
    size_t twice_count;
    size_t failure_count;
    pthread_t thread;
} worker;

static _Atomic uint32_t owners[BLOCKS];

static void *work(void *argument) {
    worker *self = (worker *)argument;
    for (size_t i = 0; i < scaled(TURNS); i++) {
        aegis_buffer_mut writer;
        if (self->code->pool_get_timeout(self->pool, &writer, 1, AEGIS_WAIT_FOREVER, NULL) !=
            AEGIS_OK) {
            self->failure_count++;
            continue;
        }
        size_t block = (size_t)(writer.data - self->first) / BLOCK_BYTES % BLOCKS;
        self->twice_count += atomic_fetch_add(&owners[block], 1) != 0;
        for (volatile int spin = 0; spin < 20; spin++)
            ;
        atomic_fetch_sub(&owners[block], 1);
        self->failure_count += self->releasing->release_writer(&writer) != AEGIS_OK;
    }
    return NULL;
}

/* Copy number `maker` makes the pool, and the threads use it through both copies. */
static void share_pool(size_t maker, size_t block_count, bool crossing) {
    aegis_buffer_class only = {BLOCK_BYTES, block_count, 0};
    test_source state;
    aegis_source source = test_source_get(&state, true);
    aegis_buffer_pool_options options = buffer_pool_options(&only, 1, &source);
    aegis_buffer_pool pool;
    aegis_buffer_mut writer;
    aegis_iovec blocks[BLOCKS];
    worker workers[THREADS];
    CHECK(copies[maker].pool_init(&pool, &options, sizeof options) == AEGIS_OK);
    CHECK_SIZE(aegis_buffer_pool_iovecs(&pool, blocks, block_count), block_count);
    for (size_t i = 0; i < THREADS; i++) {
        memset(&workers[i], 0, sizeof workers[i]);
        workers[i].code = &copies[i % 2];
        workers[i].releasing = &copies[crossing ? (i / 2) % 2 : i % 2];
        workers[i].pool = &pool;
        workers[i].first = (const unsigned char *)blocks[0].base;
        CHECK(pthread_create(&workers[i].thread, NULL, work, &workers[i]) == 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(workers[i].thread, NULL);
        CHECK_SIZE(workers[i].twice_count, 0);
        CHECK_SIZE(workers[i].failure_count, 0);
    }
    aegis_buffer_pool_stats stats = buffer_pool_stats(&pool);
    CHECK_SIZE(stats.classes[0].in_use, 0);
    /* The copy that did not make the pool ends it while a buffer is out. */
    CHECK(copies[maker].pool_get(&pool, &writer, 1, NULL) == AEGIS_OK);
    copies[1 - maker].pool_release(&pool);
    CHECK_SIZE(state.close_count, 0);
    CHECK(copies[1 - maker].release_writer(&writer) == AEGIS_OK);
    test_source_check_done(&state);
}

/* A copy numbers the threads that come after it has made its first pool. */
static void make_pools_of_their_own(aegis_buffer_pool own[2]) {
    aegis_buffer_class only = {BLOCK_BYTES, 1, 0};
    aegis_buffer_pool_options options = buffer_pool_options(&only, 1, NULL);
    for (size_t i = 0; i < 2; i++)
        CHECK(copies[i].pool_init(&own[i], &options, sizeof options) == AEGIS_OK);
}

static void a_block_has_one_owner_when_copies_share_a_pool(void) {
    aegis_buffer_pool own[2];
    make_pools_of_their_own(own);
    for (size_t maker = 0; maker < 2; maker++) {
        share_pool(maker, BLOCKS, false);
        share_pool(maker, BLOCKS, true);
        copies[maker].pool_release(&own[maker]);
    }
}

static void waiting_ends_when_copies_share_a_pool_of_few_blocks(void) {
    for (size_t maker = 0; maker < 2; maker++)
        share_pool(maker, 2, true);
}

#if !defined(_WIN32) /* there a file that is mapped cannot be truncated */

static void a_truncated_file_is_noticed_by_the_other_copy(void) {
    char path[] = "/tmp/aegis_two_copies_XXXXXX";
    int file = mkstemp(path);
    CHECK(file >= 0);
    for (size_t maker = 0; maker < 2; maker++) {
        aegis_buffer view;
        CHECK(ftruncate(file, BLOCK_BYTES) == 0);
        CHECK(copies[maker].map_file(&view, path, NULL) == AEGIS_OK);
        CHECK(copies[1 - maker].check_file(&view) == AEGIS_OK);
        CHECK(ftruncate(file, 1) == 0);
        CHECK(copies[1 - maker].check_file(&view) == AEGIS_E_IO);
        CHECK(copies[maker].check_file(&view) == AEGIS_E_IO);
        CHECK(copies[1 - maker].release_view(&view) == AEGIS_OK);
    }
    CHECK(close(file) == 0 && unlink(path) == 0);
}

#endif

static aegis_buffer_pool lent;

/* Takes all blocks of a pool and one buffer of the C heap through the second copy. Keeps the heap's
 * buffer and one of the pool's in `kept`, and gives the others back through that copy. */
static void *use_second(void *argument) {
    aegis_buffer_mut *kept = (aegis_buffer_mut *)argument;
    aegis_buffer_mut writers[BLOCKS];
    for (size_t i = 0; i < BLOCKS; i++)
        CHECK(copies[1].pool_get(&lent, &writers[i], 1, NULL) == AEGIS_OK);
    CHECK(copies[1].pool_get(&lent, &kept[1], 1, NULL) == AEGIS_OK);
    kept[0] = writers[0];
    for (size_t i = 1; i < BLOCKS; i++)
        CHECK(copies[1].release_writer(&writers[i]) == AEGIS_OK);
    return NULL;
}

/* This must be the last test, because it unloads the second copy. */
static void a_pool_does_without_a_copy_that_has_used_it_and_was_unloaded(void) {
    aegis_buffer_class only = {BLOCK_BYTES, BLOCKS, 0};
    test_source state;
    aegis_source source = test_source_get(&state, true);
    aegis_buffer_pool_options options = buffer_pool_options(&only, 1, &source);
    aegis_buffer_mut kept[2], writers[BLOCKS - 1];
    pthread_t thread;
    options.when_empty = AEGIS_BUFFER_HEAP;
    CHECK(copies[0].pool_init(&lent, &options, sizeof options) == AEGIS_OK);
    CHECK(pthread_create(&thread, NULL, use_second, kept) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(library_unload(second_library));
    for (size_t i = 0; i < BLOCKS - 1; i++)
        CHECK(copies[0].pool_get(&lent, &writers[i], 1, NULL) == AEGIS_OK);
    CHECK_SIZE(buffer_pool_stats(&lent).heap_count, 1);
    for (size_t i = 0; i < BLOCKS - 1; i++)
        CHECK(copies[0].release_writer(&writers[i]) == AEGIS_OK);
    for (size_t i = 0; i < 2; i++)
        CHECK(copies[0].release_writer(&kept[i]) == AEGIS_OK);
    copies[0].pool_release(&lent);
    test_source_check_done(&state);
}

int main(int argument_count, char **arguments) {
    if (argument_count != 2) {
        fprintf(stderr, "usage: %s SHARED_LIBRARY\n", arguments[0]);
        return 2;
    }
    check_alarm(300);
    load_second(arguments[1]);
    RUN(the_copies_are_two);
    RUN(a_block_has_one_owner_when_copies_share_a_pool);
    RUN(waiting_ends_when_copies_share_a_pool_of_few_blocks);
#if !defined(_WIN32)
    RUN(a_truncated_file_is_noticed_by_the_other_copy);
#endif
    RUN(a_pool_does_without_a_copy_that_has_used_it_and_was_unloaded);
    return check_finish();
}
