/* SPDX-License-Identifier: Apache-2.0 */
/* libcurl on a locked heap of ours, by curl_global_init_mem. Two threads fetch the files of a
 * directory (those that Debian's shared-mime-info makes) as file:// addresses, each with a handle
 * of its own, and take the addresses apart and put them together again. client.h has the command
 * line and the report. */
#define _GNU_SOURCE
#include "client.h"

#include <curl/curl.h>
#include <pthread.h>

#define FOLDER "/usr/share/mime/application"
#define MAX_FILES 1024
#define THREADS 2

static aegis_locked_arena_heap heap;
static char *addresses[MAX_FILES];
static size_t address_count;
static bool has_heap;

/* libcurl passes no user pointer. Each handle may be on another thread, so the heap is the locked
 * one. */
AEGIS_DEFINE_MALLOC_HOOKS(aegis_locked_arena_heap_hook, fetch, &heap);

static void prepare(void) {
    address_count = client_list("file://", FOLDER, addresses, MAX_FILES);
}

static void use_heap(void) {
    aegis_source pages = aegis_source_pages(0);
    aegis_arena_options options = {0};
    options.source = &pages;
    client_require(aegis_locked_arena_heap_init(&heap, &options, NULL) == AEGIS_OK, "the heap");
    has_heap = true;
}

static void get_stats(aegis_arena_heap_stats *stats) {
    aegis_locked_arena_heap_get_stats(&heap, stats);
}

typedef struct fetched {
    size_t bytes;
    size_t address_bytes;
} fetched;

static size_t on_bytes(char *bytes, size_t size, size_t count, void *user) {
    (void)bytes;
    ((fetched *)user)->bytes += size * count;
    return size * count;
}

/* Takes an address apart, changes it, and returns the length of the new one. */
static size_t rewrite(const char *address) {
    CURLU *parts = curl_url();
    char *path = NULL, *whole = NULL;
    client_require(parts != NULL && curl_url_set(parts, CURLUPART_URL, address, 0) == CURLUE_OK &&
                       curl_url_get(parts, CURLUPART_PATH, &path, 0) == CURLUE_OK &&
                       curl_url_set(parts, CURLUPART_QUERY, path, CURLU_URLENCODE) == CURLUE_OK &&
                       curl_url_set(parts, CURLUPART_SCHEME, "https", 0) == CURLUE_OK &&
                       curl_url_set(parts, CURLUPART_HOST, "localhost", 0) == CURLUE_OK &&
                       curl_url_get(parts, CURLUPART_URL, &whole, 0) == CURLUE_OK,
                   address);
    size_t length = strlen(whole);
    curl_free(path);
    curl_free(whole);
    curl_url_cleanup(parts);
    return length;
}

static void *fetch_all(void *argument) {
    fetched *sum = (fetched *)argument;
    CURL *handle = curl_easy_init();
    client_require(handle != NULL, "curl_easy_init");
    curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, on_bytes);
    curl_easy_setopt(handle, CURLOPT_WRITEDATA, sum);
    for (size_t i = 0; i < address_count; i++) {
        curl_easy_setopt(handle, CURLOPT_URL, addresses[i]);
        client_require(curl_easy_perform(handle) == CURLE_OK, addresses[i]);
        sum->address_bytes += rewrite(addresses[i]);
    }
    curl_easy_cleanup(handle);
    return NULL;
}

static void work(char *result, size_t result_bytes) {
    /* No TLS is asked for, because the memory of OpenSSL is OpenSSL's own affair: see
     * CRYPTO_set_mem_functions. */
    CURLcode code = has_heap ? curl_global_init_mem(CURL_GLOBAL_NOTHING, fetch_malloc, fetch_free,
                                                    fetch_realloc, fetch_strdup, fetch_calloc)
                             : curl_global_init(CURL_GLOBAL_NOTHING);
    client_require(code == CURLE_OK, "curl_global_init");
    fetched sums[THREADS];
    pthread_t threads[THREADS];
    memset(sums, 0, sizeof sums);
    for (size_t i = 0; i < THREADS; i++)
        client_require(pthread_create(&threads[i], NULL, fetch_all, &sums[i]) == 0, "a thread");
    size_t bytes = 0, address_bytes = 0;
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        bytes += sums[i].bytes;
        address_bytes += sums[i].address_bytes;
    }
    curl_global_cleanup();
    snprintf(result, result_bytes,
             "%d threads have fetched %zu files, %zu bytes, and made %zu bytes of addresses",
             THREADS, address_count * THREADS, bytes, address_bytes);
}

int main(int argc, char **argv) {
    const client self = {"curl", prepare, use_heap, work, get_stats};
    return client_main(argc, argv, &self);
}
