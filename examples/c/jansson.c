/* SPDX-License-Identifier: Apache-2.0 */
/* jansson on a heap of ours, by json_set_alloc_funcs. It reads the languages of ISO 639-3 (Debian's
 * iso-codes), groups them by type, and writes the groups as text.
 * client.h has the command line and the report. */
#define _GNU_SOURCE
#include "client.h"

#include <jansson.h>

#define LANGUAGES "/usr/share/iso-codes/json/iso_639-3.json"

static aegis_arena_heap heap;
static client_file languages;

/* jansson passes no user pointer. It frees the text of json_dumps with the same function, so the
 * program must do so too. */
AEGIS_DEFINE_MALLOC_HOOKS(aegis_arena_heap_hook, js, &heap);

static void prepare(void) {
    languages = client_read(LANGUAGES);
}

static void use_heap(void) {
    aegis_source pages = aegis_source_pages(0);
    aegis_arena_options options = {0};
    options.source = &pages;
    /* Requests up to 512 KiB share blocks, so that tables that grow are not mapped each time. */
    options.max_block_bytes = (size_t)16 << 20;
    client_require(aegis_arena_heap_init(&heap, &options) == AEGIS_OK, "the heap");
    json_set_alloc_funcs(js_malloc, js_free);
}

static void get_stats(aegis_arena_heap_stats *stats) {
    aegis_arena_heap_get_stats(&heap, stats);
}

static void work(char *result, size_t result_bytes) {
    json_malloc_t allocate;
    json_free_t release;
    json_get_alloc_funcs(&allocate, &release);
    json_error_t error;
    json_t *root = json_loadb(languages.bytes, languages.size_bytes, 0, &error);
    client_require(root != NULL, error.text);
    json_t *groups = json_object(), *entry;
    size_t at;
    json_array_foreach(json_object_get(root, "639-3"), at, entry) {
        const char *type = json_string_value(json_object_get(entry, "type"));
        json_t *group = json_object_get(groups, type);
        if (group == NULL) {
            group = json_array();
            client_require(json_object_set_new(groups, type, group) == 0, "a group");
        }
        client_require(json_array_append_new(group, json_deep_copy(entry)) == 0, "an entry");
    }
    size_t living = json_array_size(json_object_get(groups, "L"));
    char *text = json_dumps(groups, JSON_SORT_KEYS | JSON_INDENT(1));
    client_require(text != NULL, "json_dumps");
    snprintf(result, result_bytes,
             "%zu languages in %zu groups, %zu living; grouped they are %zu bytes", at,
             json_object_size(groups), living, strlen(text));
    release(text);
    json_decref(groups);
    json_decref(root);
}

int main(int argc, char **argv) {
    const client self = {"jansson", prepare, use_heap, work, get_stats};
    return client_main(argc, argv, &self);
}
