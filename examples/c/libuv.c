/* SPDX-License-Identifier: Apache-2.0 */
/* libuv on a locked heap of ours, by uv_replace_allocator. Two threads have an event loop each. A
 * loop reads the files of a directory (those that Debian's shared-mime-info makes), a few at a
 * time, on the threads of libuv's pool, and counts the languages that they are translated to.
 * client.h has the command line and the report. */
#define _GNU_SOURCE
#include "client.h"

#include <uv.h>

#define FOLDER "/usr/share/mime/application"
#define MAX_FILES 1024
#define AT_A_TIME 8
#define LOOPS 2

static aegis_locked_arena_heap heap;
static char *paths[MAX_FILES];
static size_t path_count;

/* libuv passes no user pointer. Each loop allocates on its own thread, so the heap is the locked
 * one. uv_replace_allocator comes before every other call of libuv. */
AEGIS_DEFINE_MALLOC_HOOKS(aegis_locked_arena_heap_hook, loop, &heap);

/* What the program itself allocates from. */
static void *(*allocate)(size_t size_bytes) = malloc;
static void (*release)(void *memory) = free;

static void prepare(void) {
    path_count = client_list("", FOLDER, paths, MAX_FILES);
}

static void use_heap(void) {
    aegis_source pages = aegis_source_pages(0);
    aegis_arena_options options = {0};
    options.source = &pages;
    client_require(aegis_locked_arena_heap_init(&heap, &options, NULL) == AEGIS_OK, "the heap");
    client_require(uv_replace_allocator(loop_malloc, loop_realloc, loop_calloc, loop_free) == 0,
                   "uv_replace_allocator");
    allocate = loop_malloc;
    release = loop_free;
}

static void get_stats(aegis_arena_heap_stats *stats) {
    aegis_locked_arena_heap_get_stats(&heap, stats);
}

typedef struct reader {
    uv_loop_t loop;
    size_t next; /* the file that is opened next */
    size_t bytes;
    size_t translations;
} reader;

/* A file that is being read. */
typedef struct job {
    uv_fs_t request;
    reader *owner;
    uv_file file;
    size_t size_bytes;
    char *bytes;
} job;

static void open_next(reader *owner);

static job *job_of(uv_fs_t *request) {
    return (job *)request->data;
}

static void on_close(uv_fs_t *request) {
    job *done = job_of(request);
    reader *owner = done->owner;
    uv_fs_req_cleanup(request);
    release(done->bytes);
    release(done);
    open_next(owner);
}

static void on_read(uv_fs_t *request) {
    job *now = job_of(request);
    client_require(request->result == (ssize_t)now->size_bytes, "uv_fs_read");
    uv_fs_req_cleanup(request);
    now->bytes[now->size_bytes] = '\0';
    now->owner->bytes += now->size_bytes;
    for (const char *at = now->bytes; (at = strstr(at, "xml:lang=")) != NULL; at++)
        now->owner->translations++;
    uv_fs_close(&now->owner->loop, request, now->file, on_close);
}

static void on_stat(uv_fs_t *request) {
    job *now = job_of(request);
    now->size_bytes = (size_t)request->statbuf.st_size;
    uv_fs_req_cleanup(request);
    now->bytes = (char *)allocate(now->size_bytes + 1);
    client_require(now->bytes != NULL, "memory for a file");
    uv_buf_t buffer = uv_buf_init(now->bytes, (unsigned)now->size_bytes);
    uv_fs_read(&now->owner->loop, request, now->file, &buffer, 1, 0, on_read);
}

static void on_open(uv_fs_t *request) {
    job *now = job_of(request);
    client_require(request->result >= 0, "uv_fs_open");
    now->file = (uv_file)request->result;
    uv_fs_req_cleanup(request);
    uv_fs_fstat(&now->owner->loop, request, now->file, on_stat);
}

static void open_next(reader *owner) {
    if (owner->next == path_count)
        return;
    job *opened = (job *)allocate(sizeof *opened);
    client_require(opened != NULL, "memory for a request");
    opened->owner = owner;
    opened->request.data = opened;
    uv_fs_open(&owner->loop, &opened->request, paths[owner->next++], UV_FS_O_RDONLY, 0, on_open);
}

static void run_loop(void *argument) {
    reader *own = (reader *)argument;
    client_require(uv_loop_init(&own->loop) == 0, "uv_loop_init");
    for (size_t i = 0; i < AT_A_TIME; i++)
        open_next(own);
    client_require(uv_run(&own->loop, UV_RUN_DEFAULT) == 0, "uv_run");
    client_require(uv_loop_close(&own->loop) == 0, "uv_loop_close");
}

static void work(char *result, size_t result_bytes) {
    reader readers[LOOPS];
    uv_thread_t threads[LOOPS];
    memset(readers, 0, sizeof readers);
    for (size_t i = 0; i < LOOPS; i++)
        client_require(uv_thread_create(&threads[i], run_loop, &readers[i]) == 0, "a thread");
    size_t bytes = 0, translations = 0;
    for (size_t i = 0; i < LOOPS; i++) {
        uv_thread_join(&threads[i]);
        bytes += readers[i].bytes;
        translations += readers[i].translations;
    }
    snprintf(result, result_bytes, "%d loops have read %zu files, %zu bytes, %zu translations",
             LOOPS, path_count * LOOPS, bytes, translations);
}

int main(int argc, char **argv) {
    const client self = {"libuv", prepare, use_heap, work, get_stats};
    return client_main(argc, argv, &self);
}
